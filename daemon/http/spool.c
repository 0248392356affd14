/* Bodies of requests and answers; see http.h. The last part is in memory, what was in front of it in an unlinked file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/http/http_internal.h"

static int open_file(int *fd, struct qosid_errbuf *err)
{
	const char *folder = getenv("TMPDIR");
	char path[4096];
	if (!folder || *folder != '/')
		folder = "/var/tmp"; /* /tmp may be memory */
	*fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (*fd >= 0)
		return 0;
	(void)snprintf(path, sizeof path, "%s/qosid-XXXXXX", folder); /* a file system without O_TMPFILE */
	*fd = mkostemp(path, O_CLOEXEC);
	if (*fd < 0)
		return qosid_error_errno(err, errno, "cannot make a temporary file in %s", folder);
	(void)unlink(path); /* if it stays, it is a file of its owner's with mode 0600 */
	return 0;
}

static int write_file(struct spool *spool, const void *data, size_t len, struct qosid_errbuf *err)
{
	const char *p = data;
	int fd;
	if (spool->fd == 0) {
		int rc = open_file(&fd, err);
		if (rc < 0)
			return rc;
		spool->fd = fd + 1;
	}
	while (len > 0) {
		ssize_t n = pwrite(spool->fd - 1, p, len, (off_t)spool->flushed);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return qosid_error_errno(err, n < 0 ? errno : EIO, "cannot write a temporary file");
		p += n;
		len -= (size_t)n;
		spool->flushed += (uint64_t)n;
	}
	return 0;
}

static int flush(struct spool *spool, struct qosid_errbuf *err)
{
	int rc = write_file(spool, spool->memory.data, spool->memory.len, err);
	if (rc == 0)
		qosid_buf_reset(&spool->memory);
	return rc;
}

int spool_write(struct spool *spool, const void *data, size_t len, struct qosid_errbuf *err)
{
	if (len <= HTTP_MEMORY_BYTES - spool->memory.len)
		return len == 0 ? 0 : qosid_buf_append(&spool->memory, data, len, err);
	int rc = flush(spool, err);
	if (rc == 0)
		rc = len < HTTP_MEMORY_BYTES ? qosid_buf_append(&spool->memory, data, len, err)
					     : write_file(spool, data, len, err);
	return rc;
}

static int sink_write(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	return spool_write(context, data, len, err);
}

struct qosid_sink spool_sink(struct spool *spool)
{
	return (struct qosid_sink){.write = sink_write, .context = spool};
}

uint64_t spool_length(const struct spool *spool)
{
	return spool->flushed + spool->memory.len;
}

int spool_read(
    const struct spool *spool, uint64_t offset, void *data, size_t len, size_t *got, struct qosid_errbuf *err)
{
	*got = 0;
	if (offset >= spool_length(spool))
		return 0;
	if (offset >= spool->flushed) {
		size_t start = (size_t)(offset - spool->flushed), rest = spool->memory.len - start;
		*got = len < rest ? len : rest;
		memcpy(data, spool->memory.data + start, *got);
		return 0;
	}
	uint64_t rest = spool->flushed - offset;
	ssize_t n;
	do
		n = pread(spool->fd - 1, data, len < rest ? len : (size_t)rest, (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n <= 0 && len > 0)
		return qosid_error_errno(err, n < 0 ? errno : EIO, "cannot read a temporary file");
	*got = (size_t)n;
	return 0;
}

int spool_take(const struct spool *spool, size_t limit, struct qosid_buf *out, struct qosid_errbuf *err)
{
	uint64_t length = spool_length(spool), offset = 0;
	if (length > limit)
		return qosid_error(err, QOSID_ERR_LIMIT, "%llu bytes are more than the %zu that are allowed here",
		    (unsigned long long)length, limit);
	int rc = qosid_buf_reserve(out, (size_t)length, err);
	while (rc == 0 && offset < length) {
		size_t got;
		rc = spool_read(spool, offset, out->data + out->len, (size_t)(length - offset), &got, err);
		if (rc < 0)
			break;
		out->len += got;
		offset += got;
	}
	if (rc == 0 && out->data)
		out->data[out->len] = '\0';
	return rc;
}

int spool_take_fd(struct spool *spool, int *fd, struct qosid_errbuf *err)
{
	int rc = flush(spool, err);
	if (rc < 0)
		return rc;
	*fd = spool->fd - 1;
	spool->fd = 0;
	spool->flushed = 0;
	return 0;
}

void spool_reset(struct spool *spool)
{
	qosid_buf_reset(&spool->memory);
	if (spool->fd > 0)
		(void)close(spool->fd - 1);
	spool->fd = 0;
	spool->flushed = 0;
}

void spool_free(struct spool *spool)
{
	spool_reset(spool);
	qosid_buf_wipe(&spool->memory); /* records went through it */
}
