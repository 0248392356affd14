/*
 * The encoder: lines go through zstd and age into a buffer, nothing is held but their windows.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "crypto/sink.h"
#include "sync/changeset/codec.h"
#include "sync/limits.h"
#include "sync/replica/json.h"
#include "sync/replica/timestamp.h"

#define DEFAULT_LEVEL 6 /* links are slower than processors: see docs/performance.md */
#define MIN_MATCH 6     /* records share long texts or none */
#define CHUNK_BYTES 65536

struct changeset_encoder {
	ZSTD_CCtx *zstd;
	struct age_encryptor *age;
	struct qosid_buf_sink target;
	struct qosid_buf head; /* of the line being written */
	struct qosid_buf flat; /* a document without line feeds */
	size_t bytes;
	size_t lines;
	uint8_t chunk[CHUNK_BYTES]; /* compressed, on its way to age */
};

int codec_format_header(struct qosid_buf *out, const struct changeset_header *header, struct qosid_errbuf *err)
{
	return qosid_buf_append_format(out, err,
	    "{\"qosid\":\"%s\",\"format\":%d,\"space\":\"%s\",\"office\":\"%s\",\"sequence\":%" PRId64 "}\n",
	    CODEC_HEADER_KIND, CODEC_FORMAT, header->space, header->office, header->sequence);
}

static int compress(struct changeset_encoder *encoder, const void *data, size_t len, ZSTD_EndDirective directive,
    struct qosid_errbuf *err)
{
	ZSTD_inBuffer in = {data, len, 0};
	size_t left;

	do {
		ZSTD_outBuffer out = {encoder->chunk, sizeof(encoder->chunk), 0};
		left = ZSTD_compressStream2(encoder->zstd, &out, &in, directive);
		if (ZSTD_isError(left))
			return qosid_error(err, QOSID_ERR_NOMEM, "compression failed: %s", ZSTD_getErrorName(left));
		if (out.pos > 0) {
			int rc = age_encryptor_write(encoder->age, out.dst, out.pos, err);
			if (rc != 0)
				return rc;
		}
	} while (in.pos < in.size || (directive == ZSTD_e_end && left > 0));
	encoder->bytes += len;
	return 0;
}

static int start_stream(struct changeset_encoder *encoder, const char *recipient, int level, struct qosid_errbuf *err)
{
	struct qosid_sink sink = qosid_sink_to_buf(&encoder->target);

	encoder->zstd = ZSTD_createCCtx();
	if (encoder->zstd == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for compression");
	if (ZSTD_isError(
		ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_compressionLevel, level == 0 ? DEFAULT_LEVEL : level)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_minMatch, MIN_MATCH)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_checksumFlag, 1)))
		return qosid_error(err, QOSID_ERR_FAILED, "compression cannot be set up at level %d", level);
	return age_encryptor_open(&encoder->age, &recipient, 1, &sink, err);
}

int changeset_encoder_open(struct changeset_encoder **out_encoder, const struct changeset_header *header,
    const char *recipient, int level, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct changeset_encoder *encoder = calloc(1, sizeof(*encoder));
	int rc;

	if (encoder == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for a change set");
	encoder->target.buf = out;
	rc = start_stream(encoder, recipient, level, err);
	if (rc == 0)
		rc = codec_format_header(&encoder->head, header, err);
	if (rc == 0)
		rc = compress(encoder, encoder->head.data, encoder->head.len, ZSTD_e_continue, err);
	if (rc != 0) {
		changeset_encoder_free(encoder);
		return rc;
	}
	*out_encoder = encoder;
	return 0;
}

/* White space between a document's tokens may hold line feeds, which end lines here. In JSON text they stand nowhere
 * else, so a space in their place changes no value. */
static int flatten(struct changeset_encoder *encoder, const void **doc, size_t len, struct qosid_errbuf *err)
{
	int rc;

	if (memchr(*doc, '\n', len) == NULL && memchr(*doc, '\r', len) == NULL)
		return 0;
	qosid_buf_reset(&encoder->flat);
	rc = qosid_buf_append(&encoder->flat, *doc, len, err);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < len; i++) {
		if (encoder->flat.data[i] == '\n' || encoder->flat.data[i] == '\r')
			encoder->flat.data[i] = ' ';
	}
	*doc = encoder->flat.data;
	return 0;
}

int changeset_encoder_add(struct changeset_encoder *encoder, int64_t time, const char *user, const void *doc,
    size_t len, struct qosid_errbuf *err)
{
	struct qosid_buf *head = &encoder->head;
	char stamp[TIMESTAMP_SIZE];
	int rc = timestamp_format(stamp, time, err);

	qosid_buf_reset(head);
	if (rc == 0)
		rc = qosid_buf_append_text(head, CODEC_BEFORE_TIME, err);
	if (rc == 0)
		rc = qosid_buf_append(head, stamp, TIMESTAMP_BYTES, err);
	if (rc == 0)
		rc = qosid_buf_append_text(head, CODEC_BEFORE_USER, err);
	if (rc == 0)
		rc = json_string_encode(head, user, strlen(user), err);
	if (rc == 0)
		rc = qosid_buf_append_text(head, CODEC_BEFORE_DOC, err);
	if (rc == 0)
		rc = flatten(encoder, &doc, len, err);
	if (rc != 0)
		return rc;
	if (len > LIMIT_LINE_BYTES || head->len + len + 1 > LIMIT_LINE_BYTES)
		return qosid_error(err, QOSID_ERR_LIMIT,
		    "a document with its attachments takes more than the %u bytes of a "
		    "change set's line",
		    LIMIT_LINE_BYTES);
	if (encoder->bytes + head->len + len + 2 > LIMIT_CHANGESET_BYTES)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "a change set cannot hold more than %u bytes", LIMIT_CHANGESET_BYTES);
	rc = compress(encoder, head->data, head->len, ZSTD_e_continue, err);
	if (rc == 0)
		rc = compress(encoder, doc, len, ZSTD_e_continue, err);
	if (rc == 0)
		rc = compress(encoder, CODEC_AFTER_DOC "\n", strlen(CODEC_AFTER_DOC "\n"), ZSTD_e_continue, err);
	if (rc == 0)
		encoder->lines++;
	return rc;
}

size_t changeset_encoder_bytes(const struct changeset_encoder *encoder)
{
	return encoder->bytes;
}

size_t changeset_encoder_lines(const struct changeset_encoder *encoder)
{
	return encoder->lines;
}

int changeset_encoder_finish(struct changeset_encoder *encoder, struct qosid_errbuf *err)
{
	int rc = compress(encoder, NULL, 0, ZSTD_e_end, err);

	return rc != 0 ? rc : age_encryptor_finish(encoder->age, err);
}

void changeset_encoder_free(struct changeset_encoder *encoder)
{
	if (encoder == NULL)
		return;
	age_encryptor_free(encoder->age);
	(void)ZSTD_freeCCtx(encoder->zstd); /* cannot fail: it is not static memory */
	qosid_buf_wipe(&encoder->head);
	qosid_buf_wipe(&encoder->flat);
	explicit_bzero(encoder->chunk, sizeof(encoder->chunk));
	free(encoder);
}
