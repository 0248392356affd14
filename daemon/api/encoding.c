/* Attachments in gzip; see encoding.h. */
#include "daemon/api/encoding.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#define PIECE_BYTES 16384
#define LEVEL 8 /* CouchDB's compression_level */

struct gzip {
	z_stream stream;
	const struct qosid_sink *sink; /* NULL: only count */
	int64_t length;
	unsigned char out[PIECE_BYTES];
};

bool encoding_applies(const struct attached *attached)
{
	static const char *const types[] = {"text/*", "application/javascript", "application/json", "application/xml"};
	struct qosid_buf text = {0};
	bool found = false;

	if (!attached->here || attached->length > ENCODING_LIMIT_BYTES ||
	    json_string_decode(attached->type, &text, NULL) != 0 || text.len == 0) {
		qosid_buf_free(&text);
		return false;
	}
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]) && !found; i++) {
		const char *type = (const char *)text.data;
		size_t len = strlen(types[i]);

		if (types[i][len - 1] == '*')
			found = strncasecmp(type, types[i], len - 1) == 0;
		else
			found = strncasecmp(type, types[i], len) == 0 && strchr("; \t", type[len]) != NULL;
	}
	qosid_buf_free(&text);
	return found;
}

bool encoding_accepted(const char *value)
{
	while (value && *value) {
		size_t len, name;
		const char *weight;

		value += strspn(value, " \t,");
		len = strcspn(value, ",");
		name = strcspn(value, " \t;,");
		if ((name == 4 && strncasecmp(value, "gzip", 4) == 0) || (name == 1 && *value == '*')) {
			weight = strstr(value + name, "q=");
			/* "q=0", "q=0.000": not wanted */
			return !weight || weight >= value + len || strtod(weight + 2, NULL) > 0;
		}
		value += len;
	}
	return false;
}

static int run_deflate(struct gzip *gzip, int flush, struct qosid_errbuf *err)
{
	int status, rc = 0;

	do {
		size_t got;

		gzip->stream.next_out = gzip->out;
		gzip->stream.avail_out = sizeof(gzip->out);
		status = deflate(&gzip->stream, flush);
		if (status == Z_STREAM_ERROR)
			return qosid_error(err, QOSID_ERR_FAILED, "cannot compress an attachment");
		got = sizeof(gzip->out) - gzip->stream.avail_out;
		gzip->length += (int64_t)got;
		if (gzip->sink && got > 0)
			rc = gzip->sink->write(gzip->sink->context, gzip->out, got, err);
	} while (rc == 0 && gzip->stream.avail_out == 0);
	return rc;
}

static int push(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct gzip *gzip = context;

	gzip->stream.next_in = (unsigned char *)(uintptr_t)data; /* zlib only reads it */
	gzip->stream.avail_in = (unsigned)len;
	return run_deflate(gzip, Z_NO_FLUSH, err);
}

int encoding_write(struct api_database *database, const struct attached *attached, const struct qosid_sink *sink,
    int64_t *length, struct qosid_errbuf *err)
{
	struct gzip *gzip = calloc(1, sizeof(*gzip));
	struct qosid_sink deflating = {push, gzip};
	int rc;

	if (!gzip || deflateInit2(&gzip->stream, LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(gzip);
		return qosid_error(err, QOSID_ERR_NOMEM, "cannot set up gzip");
	}
	gzip->sink = sink;
	rc = attachment_read(database->replica, attached->digest, 0, -1, &deflating, err);
	if (rc == 0)
		rc = run_deflate(gzip, Z_FINISH, err);
	*length = gzip->length;
	(void)deflateEnd(&gzip->stream); /* complains of what was not finished, which does not matter then */
	free(gzip);
	return rc;
}
