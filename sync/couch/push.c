/*
 * A peer as the target: what it lacks (_revs_diff), and storing it (_bulk_docs with new_edits=false).
 *
 * Attachments are streamed from where they lie: as base64 in _bulk_docs, or, when they are large and the peer is a
 * CouchDB, as parts of a multipart/related PUT. (Other servers are not trusted to heed new_edits=false there, and would
 * make up a revision.)
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/couch/couch_internal.h"

#define BULK_BYTES (8u << 20)   /* of one _bulk_docs, unless a single document has more */
#define ANSWER_BYTES (8u << 20) /* to _bulk_docs */
#define BOUNDARY_HEX 32

/* ---- what it lacks ---- */

static int build_revs_diff(struct couch_session *session, struct qosid_errbuf *err)
{
	const struct couch_changes *changes = &session->changes;
	struct qosid_buf *out = &session->request;
	int code;

	qosid_buf_reset(out);
	code = qosid_buf_append_byte(out, '{', err);
	for (size_t i = 0; code == 0 && i < changes->row_count; i++) {
		const struct couch_row *row = &changes->rows[i];
		const char *id = couch_change_id(changes, i);

		code = i > 0 ? qosid_buf_append_byte(out, ',', err) : 0;
		if (code == 0)
			code = json_string_encode(out, id, strlen(id), err);
		for (size_t rev = row->first; code == 0 && rev < row->first + row->count; rev++) {
			const char *text = couch_change_rev(changes, rev);

			code = qosid_buf_append_text(out, rev == row->first ? ":[" : ",", err);
			if (code == 0)
				code = json_string_encode(out, text, strlen(text), err);
		}
		if (code == 0)
			code = qosid_buf_append_text(out, row->count == 0 ? ":[]" : "]", err);
	}
	return code != 0 ? code : qosid_buf_append_byte(out, '}', err);
}

static void mark_missing(struct couch_changes *changes, const struct couch_row *row, struct json_slice missing)
{
	struct json_slice name, rev;
	size_t position = 0;

	while (json_next(missing, &position, &name, &rev)) {
		if (json_slice_kind(rev) != JSON_STRING)
			continue;
		for (size_t i = row->first; i < row->first + row->count; i++) {
			if (json_string_equal(rev, couch_change_rev(changes, i)))
				changes->revs[i].wanted = true;
		}
	}
}

static int remote_mark_wanted(struct couch_session *session, struct qosid_errbuf *err)
{
	struct couch_changes *changes = &session->changes;
	struct couch_segment segment = {0};
	struct couch_request request = {
	    .method = "POST", .path = "_revs_diff", .body = &segment, .body_count = 1, .limit = COUCH_CHANGES_BYTES};
	struct couch_response response;
	struct json_slice answer, entry, missing;
	int code;

	if (changes->row_count == 0)
		return 0;
	code = build_revs_diff(session, err);
	segment.data = session->request.data;
	segment.len = session->request.len;
	if (code == 0)
		code = couch_http_json(session->target_http, &request, &response, &session->answer, err);
	if (code != 0)
		return code;
	if (response.status != 200)
		return couch_http_unexpected(
		    session->target_http, &response, "asking which revisions are missing", err);
	answer = couch_slice(&session->answer);
	if (json_slice_kind(answer) != JSON_OBJECT)
		return qosid_error(err, QOSID_ERR_INVALID, "%s: the answer to _revs_diff is malformed",
		    couch_http_name(session->target_http));
	for (size_t i = 0; i < changes->row_count; i++) {
		if (json_find(answer, couch_change_id(changes, i), &entry) && json_slice_kind(entry) == JSON_OBJECT &&
		    json_find(entry, "missing", &missing) && json_slice_kind(missing) == JSON_ARRAY)
			mark_missing(changes, &changes->rows[i], missing);
	}
	return 0;
}

/* ---- bodies in pieces ---- */

/* Content that is read as it is sent. */
struct content {
	struct couch_session *session;
	const struct couch_attachment *attachment;
};

/* Text in memory with contents between. */
struct body {
	struct couch_session *session;
	struct qosid_buf text;
	size_t cut; /* text before this lies in segments already */
	struct couch_segment *segments;
	struct content *contents;
	size_t count, capacity;
};

static void body_free(struct body *body)
{
	qosid_buf_wipe(&body->text);
	free(body->segments);
	free(body->contents);
}

static int body_room(struct body *body, struct qosid_errbuf *err)
{
	size_t capacity = body->capacity != 0 ? body->capacity * 2 : 16;
	struct couch_segment *segments;
	struct content *contents;

	if (body->count < body->capacity)
		return 0;
	segments = reallocarray(body->segments, capacity, sizeof(*segments));
	if (segments != NULL)
		body->segments = segments;
	contents = reallocarray(body->contents, capacity, sizeof(*contents));
	if (contents != NULL)
		body->contents = contents;
	if (segments == NULL || contents == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	body->capacity = capacity;
	return 0;
}

static int read_content(
    void *context, uint64_t offset, uint64_t len, const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	const struct content *content = context;

	return couch_read_content(content->session, content->attachment, offset, len, sink, err);
}

/* End the piece of text; its address is filled in by body_finish(), when the text does not move any more. */
static int body_cut(struct body *body, struct qosid_errbuf *err)
{
	int code;

	if (body->text.len == body->cut)
		return 0;
	code = body_room(body, err);
	if (code != 0)
		return code;
	body->segments[body->count++] = (struct couch_segment){.len = body->text.len - body->cut};
	body->cut = body->text.len;
	return 0;
}

static int body_add_content(
    struct body *body, const struct couch_attachment *attachment, bool base64, struct qosid_errbuf *err)
{
	int code = body_cut(body, err);

	if (code == 0)
		code = body_room(body, err);
	if (code != 0)
		return code;
	body->contents[body->count] = (struct content){body->session, attachment};
	body->segments[body->count++] =
	    (struct couch_segment){.len = (uint64_t)attachment->length, .read = read_content, .base64 = base64};
	return 0;
}

static int body_finish(struct body *body, struct qosid_errbuf *err)
{
	const uint8_t *at;
	int code = body_cut(body, err);

	if (code != 0)
		return code;
	at = body->text.data;
	for (size_t i = 0; i < body->count; i++) {
		if (body->segments[i].read != NULL) {
			body->segments[i].context = &body->contents[i];
		} else {
			body->segments[i].data = at;
			at += body->segments[i].len;
		}
	}
	return 0;
}

static int append_attachment(
    struct body *body, const struct couch_attachment *attachment, bool follows, struct qosid_errbuf *err)
{
	struct qosid_buf *out = &body->text;
	int code = couch_append_attachment_head(out, attachment, err);

	if (code == 0 && attachment->revpos > 0)
		code = qosid_buf_append_format(out, err, ",\"revpos\":%lld", (long long)attachment->revpos);
	if (code != 0)
		return code;
	if (attachment->data.len > 0) {
		code = qosid_buf_append_text(out, ",\"data\":", err);
		if (code == 0)
			code = couch_append_slice(out, attachment->data, err);
		return code != 0 ? code : qosid_buf_append_byte(out, '}', err);
	}
	if (follows)
		return qosid_buf_append_format(
		    out, err, ",\"length\":%lld,\"follows\":true}", (long long)attachment->length);
	code = qosid_buf_append_text(out, ",\"data\":\"", err);
	if (code == 0)
		code = body_add_content(body, attachment, true, err);
	return code != 0 ? code : qosid_buf_append_text(out, "\"}", err);
}

/* The document as JSON. Its attachments come last: as base64, or (follows) announced. */
static int append_document(
    struct body *body, const struct couch_document *document, bool follows, struct qosid_errbuf *err)
{
	static const struct qosid_buf none;
	int code;

	if (document->attachment_count == 0)
		return couch_append_slice(&body->text, couch_slice(&document->text), err);
	code = couch_render(document, &none, &body->text, err);
	if (code != 0)
		return code;
	body->text.len--; /* its closing brace: one member follows */
	code = qosid_buf_append_text(&body->text, ",\"_attachments\":", err);
	for (size_t i = 0; code == 0 && i < document->attachment_count; i++) {
		code = qosid_buf_append_byte(&body->text, i == 0 ? '{' : ',', err);
		if (code == 0)
			code = append_attachment(body, &document->attachments[i], follows, err);
	}
	return code != 0 ? code : qosid_buf_append_text(&body->text, "}}", err);
}

/* ---- storing many ---- */

static void refuse_document(
    struct couch_session *session, const struct couch_document *document, const char *error, const char *reason)
{
	struct qosid_errbuf text = {0};
	char rev[REVISION_TEXT_SIZE];
	bool denied = strcmp(error, "unauthorized") == 0 || strcmp(error, "forbidden") == 0;

	revision_format(rev, &document->parsed.rev);
	(void)qosid_error(
	    &text, denied ? QOSID_ERR_REFUSED : QOSID_ERR_INVALID, "the peer does not take it: %s: %s", error, reason);
	if (denied)
		session->report->denied++;
	couch_refuse(session, couch_document_id(document), rev, &text);
}

static void decode_member(struct json_slice object, const char *name, char *out, size_t size)
{
	struct json_slice value;
	struct qosid_buf text = {0};

	out[0] = '\0';
	if (json_find(object, name, &value) && json_slice_kind(value) == JSON_STRING &&
	    json_string_decode(value, &text, NULL) == 0 && text.len > 0)
		(void)snprintf(out, size, "%s", (const char *)text.data);
	qosid_buf_free(&text);
}

/* Errors that say that this one document will never be taken, so that the others may go on. */
static bool concerns_document(const char *error)
{
	static const char *const known[] = {"unauthorized", "forbidden", "doc_validation", "bad_request",
	    "missing_stub", "invalid_attachment", "document_too_large", "too_large", "illegal_docid",
	    "attachment_too_large", "request_entity_too_large"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(error, known[i]) == 0)
			return true;
	}
	return false;
}

/* The answer lists what was not stored; some servers list all. *refused: how many documents of the range. */
static int judge_bulk(
    struct couch_session *session, size_t first, size_t end, size_t *refused, struct qosid_errbuf *err)
{
	struct json_slice list = couch_slice(&session->answer), name, item, error, id;
	size_t position = 0;

	*refused = 0;
	if (json_slice_kind(list) != JSON_ARRAY)
		return qosid_error(err, QOSID_ERR_INVALID, "%s: the answer to _bulk_docs is malformed",
		    couch_http_name(session->target_http));
	while (json_next(list, &position, &name, &item)) {
		const struct couch_document *document = NULL;
		char text[64], reason[256];

		if (json_slice_kind(item) != JSON_OBJECT || !json_find(item, "error", &error) ||
		    json_slice_kind(error) == JSON_NULL || json_slice_kind(error) == JSON_FALSE)
			continue;
		decode_member(item, "error", text, sizeof(text));
		if (text[0] == '\0')
			decode_member(item, "name", text, sizeof(text)); /* PouchDB: "error":true,"name":".." */
		decode_member(item, "reason", reason, sizeof(reason));
		for (size_t i = first; i < end && document == NULL; i++) {
			if (json_find(item, "id", &id) && json_slice_kind(id) == JSON_STRING &&
			    json_string_equal(id, couch_document_id(&session->batch.documents[i])))
				document = &session->batch.documents[i];
		}
		if (document == NULL || !concerns_document(text))
			return qosid_error(err, QOSID_ERR_OFFLINE, "%s could not store a document: %s: %s",
			    couch_http_name(session->target_http), text, reason);
		refuse_document(session, document, text, reason);
		++*refused;
	}
	return 0;
}

static int build_bulk(struct body *body, size_t first, size_t end, struct qosid_errbuf *err)
{
	const struct couch_batch *batch = &body->session->batch;
	int code = qosid_buf_append_text(&body->text, "{\"new_edits\":false,\"docs\":[", err);

	for (size_t i = first; code == 0 && i < end; i++) {
		if (i > first)
			code = qosid_buf_append_byte(&body->text, ',', err);
		if (code == 0)
			code = append_document(body, &batch->documents[i], false, err);
	}
	if (code == 0)
		code = qosid_buf_append_text(&body->text, "]}", err);
	return code != 0 ? code : body_finish(body, err);
}

static void count_stored(struct couch_session *session, size_t first, size_t end, size_t refused)
{
	const size_t stored = end - first > refused ? end - first - refused : 0;

	session->report->written += (int64_t)stored;
	for (size_t i = first; i < end; i++)
		session->report->attachments += (int64_t)session->batch.documents[i].attachment_count;
}

/* Store documents first to end; what is too large for the peer at once is halved. */
static int send_bulk(struct couch_session *session, size_t first, size_t end, struct qosid_errbuf *err)
{
	struct body body = {.session = session};
	struct couch_request request = {.method = "POST", .path = "_bulk_docs", .limit = ANSWER_BYTES};
	struct couch_response response = {0};
	size_t refused = 0;
	int code;

	if (first == end)
		return 0;
	code = build_bulk(&body, first, end, err);
	request.body = body.segments;
	request.body_count = body.count;
	if (code == 0)
		code = couch_http_json(session->target_http, &request, &response, &session->answer, err);
	body_free(&body);
	if (code != 0)
		return code;
	if (response.status == 413 && end - first > 1) {
		size_t middle = first + (end - first) / 2;

		code = send_bulk(session, first, middle, err);
		return code != 0 ? code : send_bulk(session, middle, end, err);
	}
	if (response.status == 413) {
		refuse_document(session, &session->batch.documents[first], "too_large",
		    response.reason[0] != '\0' ? response.reason : "no reason given");
		return 0;
	}
	if (response.status != 200 && response.status != 201 && response.status != 202)
		return couch_http_unexpected(session->target_http, &response, "storing documents", err);
	code = judge_bulk(session, first, end, &refused, err);
	if (code == 0)
		count_stored(session, first, end, refused);
	return code;
}

/* ---- storing one with its attachments as parts ---- */

static int append_part(
    struct body *body, const struct couch_attachment *attachment, const char *boundary, struct qosid_errbuf *err)
{
	struct qosid_buf type = {0};
	int code = 0;

	if (attachment->content_type.len > 0)
		code = json_string_decode(attachment->content_type, &type, err);
	for (size_t i = 0; i < type.len; i++) {
		if (type.data[i] < 0x20 || type.data[i] == 0x7f)
			qosid_buf_reset(&type); /* no header can say that; the JSON part does */
	}
	if (code == 0)
		code = qosid_buf_append_format(&body->text, err,
		    "\r\n--%s\r\nContent-Type: %s\r\nContent-Length: %lld\r\n\r\n", boundary,
		    type.len > 0 ? (const char *)type.data : "application/octet-stream", (long long)attachment->length);
	qosid_buf_free(&type);
	return code != 0 ? code : body_add_content(body, attachment, false, err);
}

static int build_multipart(
    struct body *body, const struct couch_document *document, const char *boundary, struct qosid_errbuf *err)
{
	int code =
	    qosid_buf_append_format(&body->text, err, "--%s\r\nContent-Type: application/json\r\n\r\n", boundary);

	if (code == 0)
		code = append_document(body, document, true, err);
	for (size_t i = 0; code == 0 && i < document->attachment_count; i++) {
		if (document->attachments[i].data.len == 0)
			code = append_part(body, &document->attachments[i], boundary, err);
	}
	if (code == 0)
		code = qosid_buf_append_format(&body->text, err, "\r\n--%s--", boundary);
	return code != 0 ? code : body_finish(body, err);
}

static int judge_put(
    struct couch_session *session, size_t number, const struct couch_response *response, struct qosid_errbuf *err)
{
	const struct couch_document *document = &session->batch.documents[number];
	char text[REVISION_TEXT_SIZE];
	struct json_slice rev, answer = couch_slice(&session->answer);
	const char *error = response->error[0] != '\0' ? response->error : "too_large";

	switch (response->status) {
	case 200:
	case 201:
	case 202:
		revision_format(text, &document->parsed.rev);
		if (json_slice_kind(answer) == JSON_OBJECT && json_find(answer, "rev", &rev) &&
		    json_string_equal(rev, text)) {
			count_stored(session, number, number + 1, 0);
			return 0;
		}
		return qosid_error(
		    err, QOSID_ERR_INVALID, "%s does not heed new_edits=false", couch_http_name(session->target_http));
	case 400:
	case 415:
	case 405:
	case 501: /* perhaps only this way of sending it */
		session->no_multipart = true;
		return send_bulk(session, number, number + 1, err);
	case 403:
	case 412:
	case 413:
		refuse_document(session, document, error, response->reason);
		return 0;
	default:
		return couch_http_unexpected(session->target_http, response, "storing a document", err);
	}
}

static int send_multipart(struct couch_session *session, size_t number, struct qosid_errbuf *err)
{
	const struct couch_document *document = &session->batch.documents[number];
	struct body body = {.session = session};
	struct qosid_buf path = {0};
	char boundary[BOUNDARY_HEX + 1], type[128];
	uint8_t random[BOUNDARY_HEX / 2];
	struct couch_request request = {.method = "PUT", .content_type = type};
	struct couch_response response;
	int code;

	randombytes_buf(random, sizeof(random));
	(void)sodium_bin2hex(boundary, sizeof(boundary), random, sizeof(random));
	(void)snprintf(type, sizeof(type), "multipart/related; boundary=\"%s\"", boundary);
	code = couch_append_document_path(&path, couch_document_id(document), err);
	if (code == 0)
		code = qosid_buf_append_text(&path, "?new_edits=false", err);
	if (code == 0)
		code = build_multipart(&body, document, boundary, err);
	request.path = (const char *)path.data;
	request.body = body.segments;
	request.body_count = body.count;
	if (code == 0)
		code = couch_http_json(session->target_http, &request, &response, &session->answer, err);
	if (code == 0)
		code = judge_put(session, number, &response, err);
	body_free(&body);
	qosid_buf_free(&path);
	return code;
}

/* Bytes that a document takes in _bulk_docs. */
static uint64_t weigh(const struct couch_document *document, uint64_t *contents)
{
	*contents = 0;
	for (size_t i = 0; i < document->attachment_count; i++) {
		if (document->attachments[i].data.len == 0)
			*contents += (uint64_t)document->attachments[i].length;
	}
	return document->text.len + *contents / 3 * 4;
}

static int remote_store(struct couch_session *session, size_t count, struct qosid_errbuf *err)
{
	const struct couch_batch *batch = &session->batch;
	uint64_t bytes = 0, contents;
	size_t first = 0;
	int code = 0;

	for (size_t i = 0; code == 0 && i < count; i++) {
		uint64_t weight = weigh(&batch->documents[i], &contents);
		bool alone = contents > COUCH_INLINE_BYTES && !session->no_multipart;

		if (alone || bytes + weight > BULK_BYTES) {
			code = send_bulk(session, first, i, err);
			first = i;
			bytes = 0;
		}
		if (code == 0 && alone) {
			code = send_multipart(session, i, err);
			first = i + 1;
		} else {
			bytes += weight;
		}
	}
	return code != 0 ? code : send_bulk(session, first, count, err);
}

/* Servers that have nothing to flush may not know this. */
static int remote_commit(struct couch_session *session, struct qosid_errbuf *err)
{
	struct couch_request request = {.method = "POST", .path = "_ensure_full_commit"};
	struct couch_response response;
	static const char empty[] = "{}";
	struct couch_segment segment = {.data = empty, .len = sizeof(empty) - 1};
	int code;

	request.body = &segment;
	request.body_count = 1;
	code = couch_http_json(session->target_http, &request, &response, &session->answer, err);
	if (code == 0 && response.status >= 500)
		code = couch_http_unexpected(session->target_http, &response, "committing", err);
	return code;
}

const struct couch_target couch_remote_target = {
    .mark_wanted = remote_mark_wanted,
    .store = remote_store,
    .commit = remote_commit,
};
