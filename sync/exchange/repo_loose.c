/*
 * Loose objects. libgit2 1.5 does not come back from one that is cut short, and opens whatever lies under the name, so
 * they are read here: only plain files, inflated no further than the size in front and the caller's limit, and hashed.
 * They are written here, because libgit2 gives them the mode that the umask leaves, and changes the umask of the whole
 * process to learn it.
 */
#define ZLIB_CONST
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "sync/exchange/pack.h"
#include "sync/exchange/repo_internal.h"

#define LOOSE_HEADER_BYTES 32u /* "commit 18446744073709551615" and a NUL fit */
#define LOOSE_INPUT_BYTES (32u << 10)

struct loose {
	int fd;
	z_stream stream;
	uint8_t input[LOOSE_INPUT_BYTES];
	bool ended; /* the zlib stream, as it should */
};

/* Inflate up to len bytes; *made is smaller only where the stream ends. False when it is damaged or cut short. */
static bool loose_inflate(struct loose *loose, void *out, size_t len, size_t *made)
{
	loose->stream.next_out = out;
	loose->stream.avail_out = (uInt)len;
	while (!loose->ended && loose->stream.avail_out > 0) {
		int status;

		if (loose->stream.avail_in == 0) {
			ssize_t got = read(loose->fd, loose->input, sizeof(loose->input));

			if (got < 0 && errno == EINTR)
				continue;
			if (got <= 0)
				return false;
			loose->stream.next_in = loose->input;
			loose->stream.avail_in = (uInt)got;
		}
		status = inflate(&loose->stream, Z_NO_FLUSH);
		if (status != Z_OK && status != Z_STREAM_END)
			return false;
		loose->ended = status == Z_STREAM_END;
	}
	*made = len - loose->stream.avail_out;
	return true;
}

/* Take "<type> <size>" and the NUL behind it. */
static bool loose_header(struct loose *loose, git_object_t *type, size_t *size)
{
	char header[LOOSE_HEADER_BYTES];
	char *space, *end;
	size_t used = 0, made;

	do {
		if (used == sizeof(header) || !loose_inflate(loose, header + used, 1, &made) || made == 0)
			return false;
	} while (header[used++] != '\0');
	space = strchr(header, ' ');
	if (space == NULL || space[1] < '0' || space[1] > '9')
		return false;
	*space = '\0';
	*type = git_object_string2type(header);
	errno = 0;
	*size = strtoul(space + 1, &end, 10);
	return errno == 0 && *end == '\0' && git_object_typeisloose(*type);
}

/* The whole stream behind the header: exactly size bytes, and nothing behind. */
static bool loose_body(struct loose *loose, uint8_t *out, size_t size)
{
	size_t made;
	uint8_t more;

	if (size > 0 && (!loose_inflate(loose, out, size, &made) || made != size))
		return false;
	return loose_inflate(loose, &more, 1, &made) && made == 0 && loose->stream.avail_in == 0 &&
	       read(loose->fd, &more, 1) == 0;
}

static int loose_read(struct repo *repo, struct loose *loose, const git_oid *id, git_object_t wanted, size_t limit,
    git_object_t *type, struct qosid_buf *out, struct qosid_errbuf *err)
{
	git_oid computed;
	size_t size, start = out->len;
	int rc;

	if (!loose_header(loose, type, &size))
		goto damaged;
	rc = repo_check_object(repo, id, *type, wanted, size, limit, err);
	if (rc == 0)
		rc = qosid_buf_reserve(out, size, err);
	if (rc != 0)
		return rc;
	if (!loose_body(loose, out->data + start, size))
		goto damaged;
	rc = pack_object_id(&computed, *type, out->data + start, size, err);
	if (rc != 0)
		return rc;
	if (!git_oid_equal(&computed, id))
		goto damaged;
	out->len += size;
	out->data[out->len] = '\0';
	return 0;
damaged:
	return qosid_error(
	    err, QOSID_ERR_CORRUPT, "object %s in %s is damaged (loose file)", git_oid_tostr_s(id), repo->path);
}

static int loose_read_file(struct repo *repo, int fd, const git_oid *id, git_object_t wanted, size_t limit,
    git_object_t *type, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct loose *loose;
	struct stat status;
	int rc;

	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		return qosid_error(
		    err, QOSID_ERR_CORRUPT, "object %s in %s is no plain file", git_oid_tostr_s(id), repo->path);
	loose = calloc(1, sizeof(*loose));
	if (loose == NULL || inflateInit(&loose->stream) != Z_OK) {
		free(loose);
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for object %s", git_oid_tostr_s(id));
	}
	loose->fd = fd;
	rc = loose_read(repo, loose, id, wanted, limit, type, out, err);
	(void)inflateEnd(&loose->stream); /* frees, and cannot fail for a stream that was initialised */
	free(loose);
	return rc;
}

int repo_open_loose_folder(const struct repo *repo, unsigned first)
{
	struct qosid_buf path = {0};
	int fd = -1;

	if (qosid_buf_append_format(&path, NULL, "%s/objects/%02x", repo->folder, first) == 0)
		fd = open((const char *)path.data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	else
		errno = ENOMEM;
	qosid_buf_free(&path);
	return fd;
}

int repo_read_loose(struct repo *repo, const git_oid *id, git_object_t wanted, size_t limit, git_object_t *type,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	char hex[GIT_OID_HEXSZ + 1];
	int folder = repo_open_loose_folder(repo, id->id[0]);
	int fd = -1, rc;

	git_oid_tostr(hex, sizeof(hex), id);
	/* Not blocking: a stranger may have put a pipe there. */
	if (folder >= 0)
		fd = openat(folder, hex + 2, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd >= 0)
		rc = loose_read_file(repo, fd, id, wanted, limit, type, out, err);
	else if (errno == ENOENT)
		rc = QOSID_ERR_NOTFOUND;
	else if (errno == ENOTDIR || errno == ELOOP)
		rc = qosid_error(
		    err, QOSID_ERR_CORRUPT, "object %s in %s is no plain file in a plain folder", hex, repo->path);
	else
		rc = qosid_error_errno(err, errno, "cannot open object %s in %s", hex, repo->path);
	if (fd >= 0)
		(void)close(fd); /* opened for reading */
	if (folder >= 0)
		(void)close(folder);
	return rc;
}

/* ---- writing ---- */

/* Append header and data as one zlib stream to out. */
static int loose_deflate(
    git_object_t type, const void *data, size_t len, struct qosid_buf *out, struct qosid_errbuf *err)
{
	char header[LOOSE_HEADER_BYTES];
	int header_len = snprintf(header, sizeof(header), "%s %zu", git_object_type2string(type), len) + 1;
	z_stream stream = {0};
	int status, rc;

	if (len > INT32_MAX)
		return qosid_error(err, QOSID_ERR_LIMIT, "a git object of %zu bytes is too large", len);
	if (deflateInit(&stream, Z_DEFAULT_COMPRESSION) != Z_OK)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for compression");
	rc = qosid_buf_reserve(out, deflateBound(&stream, (uLong)header_len + len), err);
	if (rc == 0) {
		stream.next_out = out->data + out->len;
		stream.avail_out = (uInt)(out->cap - out->len);
		stream.next_in = (const uint8_t *)header;
		stream.avail_in = (uInt)header_len;
		status = deflate(&stream, Z_NO_FLUSH);
		stream.next_in = data;
		stream.avail_in = (uInt)len;
		if (status == Z_OK)
			status = deflate(&stream, Z_FINISH);
		out->len += stream.total_out;
		if (status != Z_STREAM_END)
			rc = qosid_error(err, QOSID_ERR_FAILED, "cannot compress a git object");
	}
	(void)deflateEnd(&stream); /* Z_DATA_ERROR says that data was left, as reported */
	return rc;
}

int repo_write_loose(
    struct repo *repo, const git_oid *id, git_object_t type, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct qosid_buf bytes = {0}, objects = {0}, folder = {0}, path = {0};
	struct newfile file = {.fd = -1};
	char hex[GIT_OID_HEXSZ + 1];
	int rc;

	git_oid_tostr(hex, sizeof(hex), id);
	if ((rc = loose_deflate(type, data, len, &bytes, err)) != 0 ||
	    (rc = repo_file(repo, &objects, "objects", err)) != 0 ||
	    (rc = qosid_buf_append_format(&folder, err, "%s/%.2s", (char *)objects.data, hex)) != 0 ||
	    (rc = qosid_buf_append_format(&path, err, "%s/%s", (char *)folder.data, hex + 2)) != 0 ||
	    (rc = sharing_make_folder(&repo->sharing, (const char *)objects.data, (const char *)folder.data, err)) !=
		0 ||
	    (rc = newfile_create(&file, (const char *)objects.data, err)) != 0 ||
	    (rc = newfile_write(&file, bytes.data, bytes.len, err)) != 0 ||
	    (rc = newfile_seal(&file, &repo->sharing, SHARING_READ_ONLY, err)) != 0 ||
	    (rc = newfile_rename(&file, (const char *)path.data, err)) != 0)
		goto out;
	rc = newfile_fsync_folder((const char *)folder.data, err);
out:
	newfile_remove(&file);
	qosid_buf_free(&path);
	qosid_buf_free(&folder);
	qosid_buf_free(&objects);
	qosid_buf_free(&bytes);
	return rc;
}
