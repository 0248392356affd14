/*
 * Sinks for buffers and file descriptors: see sink.h.
 */
#include "crypto/sink.h"

#include <errno.h>
#include <sodium.h>
#include <stdint.h>
#include <unistd.h>

#define PUMP_BYTES 65536

static int write_to_buf(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct qosid_buf_sink *target = context;

	if (target->limit != 0 && (len > target->limit || target->buf->len > target->limit - len))
		return qosid_error(err, QOSID_ERR_LIMIT, "more than the %zu bytes allowed", target->limit);
	return qosid_buf_append(target->buf, data, len, err);
}

struct qosid_sink qosid_sink_to_buf(struct qosid_buf_sink *target)
{
	return (struct qosid_sink){write_to_buf, target};
}

static int write_to_fd(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	const uint8_t *p = data;
	int fd = *(const int *)context;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return qosid_error_errno(err, errno, "cannot write");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

struct qosid_sink qosid_sink_to_fd(int *fd)
{
	return (struct qosid_sink){write_to_fd, fd};
}

int qosid_sink_pump_fd(int fd, const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	uint8_t piece[PUMP_BYTES];
	int rc = 0;

	while (rc == 0) {
		ssize_t n = read(fd, piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = qosid_error_errno(err, errno, "cannot read");
		else if (n == 0)
			break;
		else
			rc = sink->write(sink->context, piece, (size_t)n, err);
	}
	sodium_memzero(piece, sizeof(piece));
	return rc;
}
