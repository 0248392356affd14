/*
 * Files that commands read and write: see file.h.
 */
#include "cli/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/output.h"

const char *file_name(const char *path)
{
	return strcmp(path, "-") == 0 ? "standard input" : path;
}

static int read_stream(FILE *stream, const char *path, size_t limit, struct qosid_buf *out, struct qosid_errbuf *err)
{
	char chunk[16384];
	size_t got;
	int code;

	while ((got = fread(chunk, 1, sizeof(chunk), stream)) > 0) {
		if (got > limit || out->len > limit - got)
			return qosid_error(
			    err, QOSID_ERR_LIMIT, "%s is larger than %zu MiB", file_name(path), limit >> 20);
		code = qosid_buf_append(out, chunk, got, err);
		if (code != 0)
			return code;
	}
	if (ferror(stream))
		return qosid_error_errno(err, errno, "cannot read %s", file_name(path));
	return 0;
}

int file_read(const char *path, size_t limit, struct qosid_buf *out, struct qosid_errbuf *err)
{
	FILE *stream;
	int code;

	if (strcmp(path, "-") == 0)
		return read_stream(stdin, path, limit, out, err);
	stream = fopen(path, "re");
	if (stream == NULL)
		return qosid_error_errno(err, errno, "cannot open %s", path);
	code = read_stream(stream, path, limit, out, err);
	(void)fclose(stream); /* it was only read */
	return code;
}

static int open_temporary(struct file_output *output, struct qosid_errbuf *err)
{
	int fd;

	if (asprintf(&output->temporary, "%s.XXXXXX", output->path) < 0) {
		output->temporary = NULL;
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	}
	fd = mkostemp(output->temporary, O_CLOEXEC);
	if (fd < 0) {
		free(output->temporary);
		output->temporary = NULL;
		return qosid_error_errno(err, errno, "cannot write %s", output->path);
	}
	output->stream = fdopen(fd, "w");
	if (output->stream == NULL) {
		(void)close(fd);
		return qosid_error_errno(err, errno, "cannot write %s", output->path);
	}
	return 0;
}

int file_output_open(struct file_output *output, const char *path, struct qosid_errbuf *err)
{
	struct stat st;

	if (path == NULL || strcmp(path, "-") == 0) {
		output->stream = stdout;
		return 0;
	}
	output->path = strdup(path);
	if (output->path == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		output->stream = fopen(path, "we");
		return output->stream != NULL ? 0 : qosid_error_errno(err, errno, "cannot write %s", path);
	}
	return open_temporary(output, err);
}

int file_output_write(struct file_output *output, const void *data, size_t len, struct qosid_errbuf *err)
{
	if (fwrite(data, 1, len, output->stream) == len)
		return 0;
	if (output->path == NULL)
		return output_check(err);
	return qosid_error_errno(err, errno, "cannot write %s", output->path);
}

static int sink_write(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	return file_output_write(context, data, len, err);
}

struct qosid_sink file_output_sink(struct file_output *output)
{
	return (struct qosid_sink){.write = sink_write, .context = output};
}

int file_output_commit(struct file_output *output, struct qosid_errbuf *err)
{
	int code = 0;

	if (output->path == NULL)
		return output_finish(err);
	if (fflush(output->stream) != 0 || (output->temporary != NULL && fsync(fileno(output->stream)) != 0))
		code = qosid_error_errno(err, errno, "cannot write %s", output->path);
	if (fclose(output->stream) != 0 && code == 0)
		code = qosid_error_errno(err, errno, "cannot write %s", output->path);
	output->stream = NULL;
	if (code == 0 && output->temporary != NULL) {
		if (rename(output->temporary, output->path) != 0)
			return qosid_error_errno(err, errno, "cannot write %s", output->path);
		free(output->temporary);
		output->temporary = NULL;
	}
	return code;
}

void file_output_close(struct file_output *output)
{
	if (output->stream != NULL && output->stream != stdout)
		(void)fclose(output->stream); /* given up, or a device */
	if (output->temporary != NULL)
		(void)unlink(output->temporary); /* nothing more can be done about it */
	free(output->temporary);
	free(output->path);
	*output = (struct file_output){0};
}

int file_write_secret(const char *path, const void *data, size_t len, struct qosid_errbuf *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	const char *at = data;
	int code;

	if (fd < 0) {
		code = qosid_error_errno(err, errno, "cannot make the file %s", path);
		if (code == QOSID_ERR_EXISTS)
			qosid_error_hint(err, "a secret is only written into a new file; choose another name");
		return code;
	}
	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0)
			break;
		at += n;
		len -= (size_t)n;
	}
	code = 0;
	if (len > 0 || fsync(fd) != 0)
		code = qosid_error_errno(err, errno, "cannot write %s", path);
	if (close(fd) != 0 && code == 0)
		code = qosid_error_errno(err, errno, "cannot write %s", path);
	if (code != 0)
		(void)unlink(path); /* half a secret helps nobody; the error says what happened */
	return code;
}
