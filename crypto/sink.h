/*
 * Where bytes go: the push end of every stream in Qosid.
 *
 * Encryption, decryption, compression and line splitting are all written as "bytes are pushed in, bytes are pushed on",
 * so that they can be put behind each other with memory bounded by their own windows.
 */
#ifndef QOSID_CRYPTO_SINK_H
#define QOSID_CRYPTO_SINK_H

#include <stddef.h>

#include "crypto/buf.h"
#include "crypto/error.h"

struct qosid_sink {
	/* Take all len bytes, or fail; a failure stops the stream and is returned to whoever pushed. */
	int (*write)(void *context, const void *data, size_t len, struct qosid_errbuf *err);
	void *context;
};

/* A sink that appends to buf and refuses with QOSID_ERR_LIMIT to let it grow past limit bytes (0: no limit). The struct
 * lives with the caller. */
struct qosid_buf_sink {
	struct qosid_buf *buf;
	size_t limit;
};
struct qosid_sink qosid_sink_to_buf(struct qosid_buf_sink *target);

/* A sink that writes to a file descriptor, through short writes and EINTR. *fd lives with the caller. */
struct qosid_sink qosid_sink_to_fd(int *fd);

/* Push everything readable from fd into sink in pieces of at most 64 KiB. */
int qosid_sink_pump_fd(int fd, const struct qosid_sink *sink, struct qosid_errbuf *err);

#endif
