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
	size_t compressed;
	size_t lines;
	bool pad;
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
		encoder->compressed += out.pos;
		if (out.pos > 0) {
			int rc = age_encryptor_write(encoder->age, out.dst, out.pos, err);
			if (rc != 0)
				return rc;
		}
	} while (in.pos < in.size || (directive == ZSTD_e_end && left > 0));
	encoder->bytes += len;
	return 0;
}

int codec_set_compression(ZSTD_CCtx *zstd, int level, const struct changeset_dictionary *dictionary)
{
	size_t len;

	if (ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, level == 0 ? DEFAULT_LEVEL : level)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_minMatch, MIN_MATCH)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1)))
		return -1;
	if (dictionary == NULL)
		return 0;
	const void *data = changeset_dictionary_data(dictionary, &len);
	return ZSTD_isError(ZSTD_CCtx_loadDictionary(zstd, data, len)) ? -1 : 0;
}

static int start_stream(struct changeset_encoder *encoder, const char *recipient,
    const struct changeset_packing *packing, struct qosid_errbuf *err)
{
	struct qosid_sink sink = qosid_sink_to_buf(&encoder->target);

	encoder->zstd = ZSTD_createCCtx();
	if (encoder->zstd == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for compression");
	if (codec_set_compression(encoder->zstd, packing->level, packing->dictionary) != 0)
		return qosid_error(err, QOSID_ERR_FAILED, "compression cannot be set up at level %d", packing->level);
	encoder->pad = packing->pad;
	return age_encryptor_open(&encoder->age, &recipient, 1, &sink, err);
}

int changeset_encoder_open(struct changeset_encoder **out_encoder, const struct changeset_header *header,
    const char *recipient, const struct changeset_packing *packing, struct qosid_buf *out, struct qosid_errbuf *err)
{
	static const struct changeset_packing plainly = {0};
	struct changeset_encoder *encoder = calloc(1, sizeof(*encoder));
	int rc;

	if (encoder == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for a change set");
	encoder->target.buf = out;
	rc = start_stream(encoder, recipient, packing != NULL ? packing : &plainly, err);
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

int codec_format_line_head(struct qosid_buf *out, int64_t time, const char *user, struct qosid_errbuf *err)
{
	char stamp[TIMESTAMP_SIZE];
	int rc = timestamp_format(stamp, time, err);

	if (rc == 0)
		rc = qosid_buf_append_text(out, CODEC_BEFORE_TIME, err);
	if (rc == 0)
		rc = qosid_buf_append(out, stamp, TIMESTAMP_BYTES, err);
	if (rc == 0)
		rc = qosid_buf_append_text(out, CODEC_BEFORE_USER, err);
	if (rc == 0)
		rc = json_string_encode(out, user, strlen(user), err);
	return rc == 0 ? qosid_buf_append_text(out, CODEC_BEFORE_DOC, err) : rc;
}

int changeset_encoder_add(struct changeset_encoder *encoder, int64_t time, const char *user, const void *doc,
    size_t len, struct qosid_errbuf *err)
{
	struct qosid_buf *head = &encoder->head;
	int rc;

	qosid_buf_reset(head);
	rc = codec_format_line_head(head, time, user, err);
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

/* Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019, section
 * 4): of a size, keep as many bits below the first as the first one's place has bits itself. */
static size_t pad_size(size_t size)
{
	unsigned exponent = 0, kept = 1;
	size_t mask;

	while (size >> exponent > 1)
		exponent++;
	while (exponent >> kept > 0)
		kept++;
	if (exponent <= kept)
		return size;
	mask = ((size_t)1 << (exponent - kept)) - 1;
	return (size + mask) & ~mask;
}

/* A skippable frame (RFC 8878, 3.1.2) of zeros, which every zstd passes over. */
static int append_padding(struct changeset_encoder *encoder, struct qosid_errbuf *err)
{
	size_t size = encoder->compressed + CODEC_PADDING_HEAD, left = pad_size(size) - size;
	uint8_t head[CODEC_PADDING_HEAD] = CODEC_PADDING_MAGIC;
	int rc;

	for (size_t i = 0; i < 4; i++)
		head[4 + i] = (uint8_t)(left >> (8 * i));
	rc = age_encryptor_write(encoder->age, head, sizeof(head), err);
	memset(encoder->chunk, 0, sizeof(encoder->chunk));
	for (size_t step; rc == 0 && left > 0; left -= step) {
		step = left < sizeof(encoder->chunk) ? left : sizeof(encoder->chunk);
		rc = age_encryptor_write(encoder->age, encoder->chunk, step, err);
	}
	return rc;
}

int changeset_encoder_finish(struct changeset_encoder *encoder, struct qosid_errbuf *err)
{
	int rc = compress(encoder, NULL, 0, ZSTD_e_end, err);

	if (rc == 0 && encoder->pad)
		rc = append_padding(encoder, err);
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
