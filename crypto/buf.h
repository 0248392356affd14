/*
 * A growable byte buffer.
 *
 * Starts as {0}; owned by whoever declared it; qosid_buf_free() leaves it as {0} again. While data is not NULL there is
 * a NUL byte at data[len], so text in it is also a C string. Not for keys: those live in sodium_malloc memory (keys.h).
 * Plaintext of records goes through qosid_buf_wipe(), which zeroes before it frees.
 */
#ifndef QOSID_CRYPTO_BUF_H
#define QOSID_CRYPTO_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/error.h"

struct qosid_buf {
	uint8_t *data;
	size_t len;
	size_t cap;
};

/* Make room for len more bytes. QOSID_ERR_NOMEM leaves the buffer as it was. */
int qosid_buf_reserve(struct qosid_buf *buf, size_t len, struct qosid_errbuf *err);

/* Append bytes, a C string, one byte, or formatted text. QOSID_ERR_NOMEM leaves the buffer as it was. */
int qosid_buf_append(struct qosid_buf *buf, const void *data, size_t len, struct qosid_errbuf *err);
int qosid_buf_append_text(struct qosid_buf *buf, const char *text, struct qosid_errbuf *err);
int qosid_buf_append_byte(struct qosid_buf *buf, uint8_t byte, struct qosid_errbuf *err);
int qosid_buf_append_format(struct qosid_buf *buf, struct qosid_errbuf *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Set len to 0 and keep the memory for the next use. */
void qosid_buf_reset(struct qosid_buf *buf);

/* Take back what was appended since len was this; accepts {0} with 0. */
void qosid_buf_cut(struct qosid_buf *buf, size_t len);

/* Free, and the same after zeroing the memory. Both accept {0}. */
void qosid_buf_free(struct qosid_buf *buf);
void qosid_buf_wipe(struct qosid_buf *buf);

#endif
