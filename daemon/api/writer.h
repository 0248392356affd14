/*
 * Text on its way into an answer. Errors stick: after the first one the other calls do nothing, and writer_end() tells.
 */
#ifndef QOSID_DAEMON_API_WRITER_H
#define QOSID_DAEMON_API_WRITER_H

#include <stddef.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "crypto/sink.h"
#include "daemon/http/http.h"
#include "sync/replica/json.h"
#include "sync/replica/revision.h"

struct writer {
	struct spool *out; /* NULL: everything stays in buf */
	struct qosid_buf buf;
	struct qosid_errbuf *err;
	int rc;
};

static inline struct writer writer_begin(struct spool *out, struct qosid_errbuf *err)
{
	return (struct writer){.out = out, .err = err};
}

void writer_bytes(struct writer *writer, const void *data, size_t len);
void writer_text(struct writer *writer, const char *text);
void writer_format(struct writer *writer, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void writer_slice(struct writer *writer, struct json_slice slice);
/* As a JSON string, with quotes. */
void writer_string(struct writer *writer, const char *text);
void writer_revision(struct writer *writer, const struct revision *revision);
/* What is pushed into it is written as it comes. */
struct qosid_sink writer_sink(struct writer *writer);
/* Flush, free, and return 0 or the first error. */
int writer_end(struct writer *writer);

#endif
