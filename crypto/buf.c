/*
 * A growable byte buffer: see buf.h. Growth doubles, so appending is linear in what is appended; one spare byte always
 * holds the NUL that makes text in it a C string.
 */
#include "crypto/buf.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int qosid_buf_reserve(struct qosid_buf *buf, size_t len, struct qosid_errbuf *err)
{
	size_t cap = buf->cap < 64 ? 64 : buf->cap;
	uint8_t *data;

	if (len >= SIZE_MAX / 2 - buf->len)
		return qosid_error(err, QOSID_ERR_NOMEM, "a buffer of %zu more bytes is too large", len);
	if (buf->data != NULL && buf->len + len < buf->cap)
		return 0;
	while (cap <= buf->len + len)
		cap *= 2;
	/* Not realloc(): it may leave a copy of a record's plaintext behind in freed memory. The whole capacity is
	 * wiped, because beyond len may be what a reset or a cut has left. */
	data = malloc(cap);
	if (data == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for %zu bytes", cap);
	if (buf->data != NULL) {
		memcpy(data, buf->data, buf->len);
		sodium_memzero(buf->data, buf->cap);
		free(buf->data);
	}
	data[buf->len] = 0;
	buf->data = data;
	buf->cap = cap;
	return 0;
}

int qosid_buf_append(struct qosid_buf *buf, const void *data, size_t len, struct qosid_errbuf *err)
{
	int rc;

	if ((rc = qosid_buf_reserve(buf, len, err)) != 0)
		return rc;
	if (len > 0)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = 0;
	return 0;
}

int qosid_buf_append_text(struct qosid_buf *buf, const char *text, struct qosid_errbuf *err)
{
	return qosid_buf_append(buf, text, strlen(text), err);
}

int qosid_buf_append_byte(struct qosid_buf *buf, uint8_t byte, struct qosid_errbuf *err)
{
	return qosid_buf_append(buf, &byte, 1, err);
}

int qosid_buf_append_format(struct qosid_buf *buf, struct qosid_errbuf *err, const char *fmt, ...)
{
	va_list ap;
	int n, rc;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return qosid_error(err, QOSID_ERR_FAILED, "a text could not be formatted");
	if ((rc = qosid_buf_reserve(buf, (size_t)n, err)) != 0)
		return rc;
	va_start(ap, fmt);
	(void)vsnprintf((char *)buf->data + buf->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf->len += (size_t)n;
	return 0;
}

void qosid_buf_cut(struct qosid_buf *buf, size_t len)
{
	buf->len = len;
	if (buf->data != NULL)
		buf->data[len] = 0;
}

void qosid_buf_reset(struct qosid_buf *buf)
{
	qosid_buf_cut(buf, 0);
}

void qosid_buf_free(struct qosid_buf *buf)
{
	free(buf->data);
	*buf = (struct qosid_buf){0};
}

void qosid_buf_wipe(struct qosid_buf *buf)
{
	if (buf->data != NULL)
		sodium_memzero(buf->data, buf->cap);
	qosid_buf_free(buf);
}
