/*
 * The decoder: age > zstd > lines, pushed through. Inflated bytes go straight into the one buffer that lines are cut
 * from, so memory is a line and an inflation step, beside what zstd's window and one age chunk take.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "crypto/sink.h"
#include "sync/changeset/codec.h"
#include "sync/limits.h"
#include "sync/replica/json.h"
#include "sync/replica/timestamp.h"

#define STEP_BYTES ((size_t)128 << 10)
#define WINDOW_LOG_MAX 27

struct decoder {
	const struct changeset_header *expected;
	changeset_line_fn visit;
	void *context;
	ZSTD_DCtx *zstd;
	size_t magic_seen;     /* bytes of the frame's magic number */
	bool ended;            /* the frame is complete */
	size_t padding_seen;   /* bytes behind it */
	size_t padding_length; /* that its head names */
	size_t inflated;       /* bytes so far */
	struct qosid_buf text; /* not yet cut into lines */
	size_t scanned;        /* of text, without a line feed */
	size_t number;         /* of the last line cut */
	struct document document;
	struct qosid_buf user;
};

/* ---- lines ---- */

/* The header as it is must be the header as it should be; all the rest of this finds out which part is not. */
static int explain_header(
    const struct changeset_header *expected, const char *text, size_t len, struct qosid_errbuf *err)
{
	struct json_slice object, kind, format, space, office, sequence;
	unsigned long long number;

	if (json_check_object(text, len, &object, NULL) != 0 || !json_find(object, "qosid", &kind) ||
	    !json_string_equal(kind, CODEC_HEADER_KIND) || !json_find(object, "format", &format))
		return qosid_error(err, QOSID_ERR_INVALID, "the first line is not the header of a change set");
	if (json_parse_unsigned(format, 1000000, &number, NULL) != 0 || number != CODEC_FORMAT) {
		(void)qosid_error(
		    err, QOSID_ERR_INVALID, "the change set has another format than the known one, %d", CODEC_FORMAT);
		qosid_error_hint(err, "Upgrade Qosid: the office that made it uses a newer one.");
		return QOSID_ERR_INVALID;
	}
	if (!json_find(object, "space", &space) || !json_find(object, "office", &office) ||
	    !json_find(object, "sequence", &sequence) || json_slice_kind(space) != JSON_STRING ||
	    json_slice_kind(office) != JSON_STRING)
		return qosid_error(err, QOSID_ERR_INVALID, "the header does not name space, office and sequence");
	if (!json_string_equal(space, expected->space))
		return qosid_error(err, QOSID_ERR_REFUSED, "the payload belongs to another space than its commit");
	if (!json_string_equal(office, expected->office))
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "the payload is by another office than its commit, which is by %s", expected->office);
	if (json_parse_unsigned(sequence, INT64_MAX, &number, NULL) != 0 || (int64_t)number != expected->sequence)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "the payload has another sequence than its commit, which has %" PRId64, expected->sequence);
	return qosid_error(err, QOSID_ERR_INVALID, "the header is not written in its exact form");
}

static int take_header(struct decoder *decoder, const char *text, size_t len, struct qosid_errbuf *err)
{
	struct qosid_buf wanted = {0};
	int rc = codec_format_header(&wanted, decoder->expected, err);

	/* wanted ends with the line feed that has been cut off here */
	if (rc == 0 && (wanted.len != len + 1 || memcmp(wanted.data, text, len) != 0))
		rc = explain_header(decoder->expected, text, len, err);
	qosid_buf_free(&wanted);
	return rc;
}

struct cursor {
	const char *at;
	const char *end;
};

static bool skip_text(struct cursor *cursor, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(cursor->end - cursor->at) < len || memcmp(cursor->at, text, len) != 0)
		return false;
	cursor->at += len;
	return true;
}

/* Cut a string off without checking it. */
static bool cut_string(struct cursor *cursor, struct json_slice *string)
{
	const char *c = cursor->at;

	if (c == cursor->end || *c++ != '"')
		return false;
	while (c < cursor->end && *c != '"')
		c += *c == '\\' ? 2 : 1;
	if (c >= cursor->end)
		return false;
	string->text = cursor->at;
	string->len = (size_t)(c + 1 - cursor->at);
	cursor->at = c + 1;
	return true;
}

static int take_user(struct decoder *decoder, struct json_slice string, struct qosid_errbuf *err)
{
	int rc = json_check(string.text, string.len, err);

	qosid_buf_reset(&decoder->user);
	if (rc == 0)
		rc = qosid_buf_reserve(&decoder->user, 1, err); /* so that an empty one has its NUL */
	if (rc == 0)
		rc = json_string_decode(string, &decoder->user, err);
	if (rc != 0) {
		(void)qosid_error_within(err, "user");
		return rc;
	}
	if (memchr(decoder->user.data, '\0', decoder->user.len) != NULL)
		return qosid_error(err, QOSID_ERR_INVALID, "the user has a NUL character");
	return 0;
}

static int take_document(struct decoder *decoder, const char *text, size_t len, struct qosid_errbuf *err)
{
	struct document *document = &decoder->document;
	struct json_slice rev;
	int rc = document_parse(document, text, len, err);

	if (rc != 0) {
		(void)qosid_error_within(err, "document");
		return rc;
	}
	if (document->id.len == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "the document has no _id");
	if (strncmp((const char *)document->id.data, "_local/", 7) == 0)
		return qosid_error(
		    err, QOSID_ERR_INVALID, "the document is a _local one, which never leaves its office");
	/* has_rev is also set by _revisions alone, but CouchDB wants both */
	if (!document->has_revisions || !json_find((struct json_slice){text, len}, "_rev", &rev))
		return qosid_error(err, QOSID_ERR_INVALID, "the document lacks _rev or _revisions");
	if (document->revision_count > LIMIT_REVISIONS)
		return qosid_error(err, QOSID_ERR_LIMIT, "the document names more than %u revisions", LIMIT_REVISIONS);
	return 0;
}

static int take_revision(struct decoder *decoder, const char *text, size_t len, struct qosid_errbuf *err)
{
	struct cursor cursor = {text, text + len};
	struct changeset_line line = {.number = decoder->number, .document = &decoder->document};
	struct json_slice user;
	const char *stamp;
	int rc;

	if (!skip_text(&cursor, CODEC_BEFORE_TIME) || cursor.end - cursor.at < TIMESTAMP_BYTES)
		return qosid_error(err, QOSID_ERR_INVALID, "the line does not begin with a time");
	stamp = cursor.at;
	cursor.at += TIMESTAMP_BYTES;
	if (!skip_text(&cursor, CODEC_BEFORE_USER) || !cut_string(&cursor, &user))
		return qosid_error(err, QOSID_ERR_INVALID, "the line has no user after its time");
	if (!skip_text(&cursor, CODEC_BEFORE_DOC))
		return qosid_error(err, QOSID_ERR_INVALID, "the line has no document after its user");
	if (cursor.end - cursor.at < 3 || *cursor.at != '{' || cursor.end[-1] != '}' || cursor.end[-2] != '}')
		return qosid_error(err, QOSID_ERR_INVALID, "the line does not end with its document");
	rc = timestamp_parse(&line.time, stamp, TIMESTAMP_BYTES, err);
	if (rc == 0)
		rc = take_user(decoder, user, err);
	if (rc == 0)
		rc = take_document(decoder, cursor.at, (size_t)(cursor.end - cursor.at) - 1, err);
	if (rc != 0)
		return rc;
	line.user = (const char *)decoder->user.data;
	return decoder->visit(decoder->context, &line, err);
}

static int take_line(struct decoder *decoder, const char *text, size_t len, struct qosid_errbuf *err)
{
	int rc;

	decoder->number++;
	if (len > LIMIT_LINE_BYTES)
		rc = qosid_error(err, QOSID_ERR_LIMIT, "the line is longer than %u bytes", LIMIT_LINE_BYTES);
	else if (len == 0)
		rc = qosid_error(err, QOSID_ERR_INVALID, "the line is empty");
	else if (decoder->number == 1)
		rc = take_header(decoder, text, len, err);
	else
		rc = take_revision(decoder, text, len, err);
	if (rc != 0)
		(void)qosid_error_within(err, "line %zu", decoder->number);
	return rc;
}

/* Cut the complete lines off the text. What is left is moved to its front, once a step. */
static int take_lines(struct decoder *decoder, struct qosid_errbuf *err)
{
	struct qosid_buf *text = &decoder->text;
	const char *start = (const char *)text->data, *end = start + text->len, *from = start + decoder->scanned;
	const char *feed;

	while (from < end && (feed = memchr(from, '\n', (size_t)(end - from))) != NULL) {
		int rc = take_line(decoder, start, (size_t)(feed - start), err);
		if (rc != 0)
			return rc;
		start = from = feed + 1;
	}
	text->len = (size_t)(end - start);
	decoder->scanned = text->len;
	memmove(text->data, start, text->len);
	if (text->len > LIMIT_LINE_BYTES)
		return take_line(decoder, (const char *)text->data, text->len, err);
	return 0;
}

/* ---- inflation ---- */

/* libzstd would also read skippable frames and the formats of its youth. */
static int check_magic(struct decoder *decoder, const uint8_t *data, size_t len, struct qosid_errbuf *err)
{
	static const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd};

	for (size_t i = 0; i < len && decoder->magic_seen < sizeof(magic); i++) {
		if (data[i] != magic[decoder->magic_seen++])
			return qosid_error(err, QOSID_ERR_INVALID, "the payload is not compressed with zstd");
	}
	return 0;
}

static int inflate_error(size_t code, struct qosid_errbuf *err)
{
	switch (ZSTD_getErrorCode(code)) {
	case ZSTD_error_frameParameter_windowTooLarge:
		return qosid_error(err, QOSID_ERR_LIMIT, "the payload was compressed with a larger window than %u MiB",
		    1u << (WINDOW_LOG_MAX - 20));
	case ZSTD_error_dictionary_wrong:
		return qosid_error(err, QOSID_ERR_INVALID,
		    "the payload was compressed with another dictionary than the one that its commit names");
	case ZSTD_error_memory_allocation:
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory to inflate a payload");
	default:
		return qosid_error(
		    err, QOSID_ERR_INVALID, "the payload's compressed data is damaged: %s", ZSTD_getErrorName(code));
	}
}

/* Inflate one step. *more says that there may be more to come from the same input. */
static int inflate_step(struct decoder *decoder, ZSTD_inBuffer *in, bool *more, struct qosid_errbuf *err)
{
	struct qosid_buf *text = &decoder->text;
	size_t left = LIMIT_CHANGESET_BYTES + 1 - decoder->inflated;
	size_t step = left < STEP_BYTES ? left : STEP_BYTES;
	int rc = qosid_buf_reserve(text, step, err);

	if (rc != 0)
		return rc;
	ZSTD_outBuffer out = {text->data + text->len, step, 0};
	size_t result = ZSTD_decompressStream(decoder->zstd, &out, in);
	if (ZSTD_isError(result))
		return inflate_error(result, err);
	text->len += out.pos;
	decoder->inflated += out.pos;
	if (decoder->inflated > LIMIT_CHANGESET_BYTES)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "the payload inflates to more than %u bytes", LIMIT_CHANGESET_BYTES);
	decoder->ended = result == 0;
	*more = !decoder->ended && (in->pos < in->size || out.pos == out.size);
	return take_lines(decoder, err);
}

/* Behind the frame: nothing, or one skippable frame of zeros, so that nothing can be hidden there. */
static int check_padding(struct decoder *decoder, const uint8_t *data, size_t len, struct qosid_errbuf *err)
{
	static const uint8_t magic[4] = CODEC_PADDING_MAGIC;

	for (size_t i = 0; i < len; i++, decoder->padding_seen++) {
		size_t at = decoder->padding_seen;

		if (at < sizeof(magic) && data[i] != magic[at])
			return qosid_error(
			    err, QOSID_ERR_INVALID, "there are bytes after the payload's compressed data");
		if (at >= sizeof(magic) && at < CODEC_PADDING_HEAD)
			decoder->padding_length |= (size_t)data[i] << (8 * (at - sizeof(magic)));
		if (at >= CODEC_PADDING_HEAD && (data[i] != 0 || at - CODEC_PADDING_HEAD >= decoder->padding_length))
			return qosid_error(err, QOSID_ERR_INVALID, "the payload's padding is not what it should be");
	}
	return 0;
}

static int inflate(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct decoder *decoder = context;
	ZSTD_inBuffer in = {data, len, 0};
	bool more = !decoder->ended && len > 0;
	int rc = check_magic(decoder, data, len, err);

	while (rc == 0 && more)
		rc = inflate_step(decoder, &in, &more, err);
	return rc == 0 ? check_padding(decoder, (const uint8_t *)data + in.pos, in.size - in.pos, err) : rc;
}

static int check_end(const struct decoder *decoder, struct qosid_errbuf *err)
{
	if (!decoder->ended)
		return qosid_error(err, QOSID_ERR_INVALID, "the payload's compressed data is cut off");
	if (decoder->padding_seen > 0 && decoder->padding_seen != CODEC_PADDING_HEAD + decoder->padding_length)
		return qosid_error(err, QOSID_ERR_INVALID, "the payload's padding is cut off");
	if (decoder->text.len > 0) {
		(void)qosid_error(err, QOSID_ERR_INVALID, "the last line does not end with a line feed");
		(void)qosid_error_within(err, "line %zu", decoder->number + 1);
		return QOSID_ERR_INVALID;
	}
	if (decoder->number == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "the payload is empty");
	return 0;
}

static int set_up(struct decoder *decoder, const struct changeset_dictionary *dictionary, struct qosid_errbuf *err)
{
	size_t len;

	decoder->zstd = ZSTD_createDCtx();
	if (decoder->zstd == NULL ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(decoder->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory to inflate a payload");
	if (dictionary == NULL)
		return 0;
	const void *data = changeset_dictionary_data(dictionary, &len);
	if (ZSTD_isError(ZSTD_DCtx_loadDictionary(decoder->zstd, data, len)))
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for a dictionary");
	return 0;
}

int changeset_decode(const void *data, size_t len, const struct changeset_header *expected,
    const struct changeset_opening *opening, changeset_line_fn visit, void *context, struct qosid_errbuf *err)
{
	struct decoder decoder = {.expected = expected, .visit = visit, .context = context};
	const struct age_unlock unlock = {.keys = &opening->key, .key_count = 1};
	const struct qosid_sink sink = {inflate, &decoder};
	struct age_decryptor *age = NULL;
	int rc = set_up(&decoder, opening->dictionary, err);

	if (rc != 0)
		goto out;
	rc = age_decryptor_open(&age, &unlock, &sink, err);
	if (rc == 0)
		rc = age_decryptor_write(age, data, len, err);
	if (rc == 0)
		rc = age_decryptor_finish(age, err);
	if (rc == 0)
		rc = check_end(&decoder, err);
out:
	age_decryptor_free(age);
	(void)ZSTD_freeDCtx(decoder.zstd); /* cannot fail: it is not static memory */
	qosid_buf_wipe(&decoder.text);
	qosid_buf_wipe(&decoder.user);
	document_free(&decoder.document);
	return rc;
}
