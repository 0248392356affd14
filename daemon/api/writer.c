/* Text on its way into an answer; see writer.h. */
#include "daemon/api/writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLUSH_BYTES 16384

static void flush(struct writer *writer, size_t least)
{
	if (writer->rc != 0 || !writer->out || writer->buf.len < least)
		return;
	writer->rc = spool_write(writer->out, writer->buf.data, writer->buf.len, writer->err);
	qosid_buf_reset(&writer->buf);
}

void writer_bytes(struct writer *writer, const void *data, size_t len)
{
	if (writer->rc == 0)
		writer->rc = qosid_buf_append(&writer->buf, data, len, writer->err);
	flush(writer, FLUSH_BYTES);
}

void writer_text(struct writer *writer, const char *text)
{
	writer_bytes(writer, text, strlen(text));
}

void writer_slice(struct writer *writer, struct json_slice slice)
{
	writer_bytes(writer, slice.text, slice.len);
}

void writer_format(struct writer *writer, const char *fmt, ...)
{
	char small[512], *text = small;
	va_list args;
	int len;

	if (writer->rc != 0)
		return;
	va_start(args, fmt);
	len = vsnprintf(small, sizeof(small), fmt, args);
	va_end(args);
	if (len >= (int)sizeof(small)) {
		va_start(args, fmt);
		len = vasprintf(&text, fmt, args);
		va_end(args);
	}
	if (len < 0)
		writer->rc = qosid_error(writer->err, QOSID_ERR_NOMEM, "out of memory");
	else
		writer_bytes(writer, text, (size_t)len);
	if (text != small && len >= 0)
		free(text);
}

void writer_string(struct writer *writer, const char *text)
{
	if (writer->rc == 0)
		writer->rc = json_string_encode(&writer->buf, text, strlen(text), writer->err);
	flush(writer, FLUSH_BYTES);
}

void writer_revision(struct writer *writer, const struct revision *revision)
{
	char text[REVISION_TEXT_SIZE];

	revision_format(text, revision);
	writer_string(writer, text);
}

static int push(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct writer *writer = context;

	(void)err; /* the writer's own */
	writer_bytes(writer, data, len);
	return writer->rc;
}

struct qosid_sink writer_sink(struct writer *writer)
{
	return (struct qosid_sink){push, writer};
}

int writer_end(struct writer *writer)
{
	flush(writer, 1);
	qosid_buf_wipe(&writer->buf);
	return writer->rc;
}
