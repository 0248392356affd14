/*
 * A peer as the source: its changes feed, the documents that the target lacks, their attachments.
 *
 * Documents are asked for by _bulk_get; from a peer without it, one by one with open_revs. Attachments come as stubs
 * and are fetched by themselves, so that their size never matters to memory. What a peer answers beside the question is
 * dropped.
 */
#include <stdio.h>
#include <string.h>

#include "sync/couch/address.h"
#include "sync/couch/couch_internal.h"

#define HEARTBEAT_PARTS 3 /* of the idle time-out */

/* ---- the database ---- */

int couch_remote_prepare(struct couch_session *session, struct couch_http *http, bool create, struct qosid_errbuf *err)
{
	struct couch_request get = {.method = "GET", .path = ""}, put = {.method = "PUT", .path = ""};
	struct couch_response response;
	struct json_slice name;
	int code;

	if (create) {
		code = couch_http_json(http, &put, &response, &session->answer, err);
		if (code != 0)
			return code;
		/* Refusals are judged by whether the database is there. */
		if (response.status >= 300 && response.status != 412 && response.status != 401 &&
		    response.status != 403)
			return couch_http_unexpected(http, &response, "making the database", err);
	}
	code = couch_http_json(http, &get, &response, &session->answer, err);
	if (code != 0)
		return code;
	if (response.status == 404) {
		(void)qosid_error(err, QOSID_ERR_NOTFOUND, "%s: no such database", couch_http_name(http));
		qosid_error_hint(err, "make it there, or replicate with --create-target");
		return QOSID_ERR_NOTFOUND;
	}
	if (response.status != 200)
		return couch_http_unexpected(http, &response, "looking at the database", err);
	if (json_slice_kind(couch_slice(&session->answer)) != JSON_OBJECT ||
	    !json_find(couch_slice(&session->answer), "db_name", &name))
		return qosid_error(
		    err, QOSID_ERR_INVALID, "%s does not answer as a database of CouchDB", couch_http_name(http));
	return 0;
}

int couch_append_document_path(struct qosid_buf *out, const char *id, struct qosid_errbuf *err)
{
	if (strncmp(id, "_design/", 8) == 0) {
		int code = qosid_buf_append_text(out, "_design/", err);

		return code != 0 ? code : couch_append_encoded(out, id + 8, strlen(id + 8), false, err);
	}
	return couch_append_encoded(out, id, strlen(id), false, err);
}

/* ---- changes ---- */

static int bad_changes(struct couch_session *session, const char *why, struct qosid_errbuf *err)
{
	return qosid_error(err, QOSID_ERR_INVALID, "%s: the changes feed is malformed: %s",
	    couch_http_name(session->source_http), why);
}

/* Append a sequence as a query parameter: a string's content, anything else as JSON. */
static int append_since(struct qosid_buf *out, struct json_slice since, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int code = 0;

	if (since.len > 0 && since.text[0] == '"')
		code = json_string_decode(since, &text, err);
	else
		code = couch_append_slice(&text, since, err);
	if (code == 0)
		code = couch_append_encoded(out, text.data, text.len, false, err);
	qosid_buf_free(&text);
	return code;
}

/* "&name=value" for each member of query_params. */
static int append_params(struct qosid_buf *out, const char *params, struct qosid_errbuf *err)
{
	struct json_slice object, name, value;
	struct qosid_buf text = {0};
	size_t position = 0;
	int code = json_check_object(params, strlen(params), &object, err);

	while (code == 0 && json_next(object, &position, &name, &value)) {
		qosid_buf_reset(&text);
		code = json_string_decode(name, &text, err);
		if (code == 0)
			code = qosid_buf_append_byte(out, '&', err);
		if (code == 0)
			code = couch_append_encoded(out, text.data, text.len, false, err);
		if (code == 0)
			code = qosid_buf_append_byte(out, '=', err);
		if (code == 0)
			code = append_since(out, value, err);
	}
	qosid_buf_free(&text);
	return code;
}

static int build_changes_path(
    struct couch_session *session, struct json_slice since, bool wait, struct qosid_buf *path, struct qosid_errbuf *err)
{
	const struct couch_options *options = session->options;
	unsigned idle = couch_http_idle_timeout(session->source_http);
	int code = qosid_buf_append_format(path, err,
	    "_changes?feed=%s&style=%s&limit=%u&since=", wait ? "longpoll" : "normal",
	    options->winning_revs_only ? "main_only" : "all_docs", options->changes_batch);

	if (code == 0)
		code = append_since(path, since, err);
	if (code == 0 && wait)
		code = qosid_buf_append_format(
		    path, err, "&heartbeat=%u&timeout=%u", idle * 1000 / HEARTBEAT_PARTS, idle * 1000 / 2);
	if (code == 0 && options->doc_ids != NULL)
		code = qosid_buf_append_text(path, "&filter=_doc_ids", err);
	else if (code == 0 && options->selector != NULL)
		code = qosid_buf_append_text(path, "&filter=_selector", err);
	else if (code == 0 && options->filter != NULL) {
		code = qosid_buf_append_text(path, "&filter=", err);
		if (code == 0)
			code = couch_append_encoded(path, options->filter, strlen(options->filter), true, err);
	}
	if (code == 0 && options->query_params != NULL)
		code = append_params(path, options->query_params, err);
	return code;
}

/* The body for filters that need one. */
static int build_changes_body(const struct couch_options *options, struct qosid_buf *body, struct qosid_errbuf *err)
{
	int code;

	if (options->doc_ids == NULL)
		return qosid_buf_append_format(body, err, "{\"selector\":%s}", options->selector);
	code = qosid_buf_append_text(body, "{\"doc_ids\":[", err);
	for (size_t i = 0; code == 0 && options->doc_ids[i] != NULL; i++) {
		if (i > 0)
			code = qosid_buf_append_byte(body, ',', err);
		if (code == 0)
			code = json_string_encode(body, options->doc_ids[i], strlen(options->doc_ids[i]), err);
	}
	return code != 0 ? code : qosid_buf_append_text(body, "]}", err);
}

static int take_revs(struct couch_session *session, struct json_slice list, struct qosid_errbuf *err)
{
	struct json_slice name, change, rev;
	struct qosid_buf text = {0};
	size_t position = 0;
	int code = 0;

	if (json_slice_kind(list) != JSON_ARRAY)
		return bad_changes(session, "\"changes\" is not a list", err);
	while (code == 0 && json_next(list, &position, &name, &change)) {
		if (json_slice_kind(change) != JSON_OBJECT || !json_find(change, "rev", &rev) ||
		    json_slice_kind(rev) != JSON_STRING) {
			code = bad_changes(session, "a change without \"rev\"", err);
			break;
		}
		qosid_buf_reset(&text);
		code = json_string_decode(rev, &text, err);
		if (code == 0)
			code = couch_changes_add_rev(&session->changes, (const char *)text.data, text.len, err);
	}
	qosid_buf_free(&text);
	return code;
}

static int take_row(struct couch_session *session, struct json_slice row, struct qosid_errbuf *err)
{
	struct json_slice id, list;
	struct qosid_buf text = {0};
	int code;

	if (json_slice_kind(row) != JSON_OBJECT)
		return bad_changes(session, "a row is not an object", err);
	if (!json_find(row, "id", &id) || json_slice_kind(id) != JSON_STRING || !json_find(row, "changes", &list))
		return bad_changes(session, "a row without \"id\" or \"changes\"", err);
	code = json_string_decode(id, &text, err);
	if (code == 0 && document_check_id((const char *)text.data, text.len, NULL) != 0) {
		struct qosid_errbuf reason = {0};

		(void)document_check_id((const char *)text.data, text.len, &reason);
		couch_refuse(session, text.len > 0 ? (const char *)text.data : "", "", &reason);
		qosid_buf_free(&text);
		return 0;
	}
	if (code == 0)
		code = couch_changes_add_row(&session->changes, (const char *)text.data, text.len, err);
	if (code == 0)
		code = take_revs(session, list, err);
	qosid_buf_free(&text);
	return code;
}

static int take_changes(struct couch_session *session, struct json_slice since, struct qosid_errbuf *err)
{
	struct json_slice answer = couch_slice(&session->answer), results, last, name, row, pending;
	unsigned long long left = 0;
	size_t position = 0, rows = 0;
	int code = 0;

	if (json_slice_kind(answer) != JSON_OBJECT || !json_find(answer, "results", &results) ||
	    json_slice_kind(results) != JSON_ARRAY)
		return bad_changes(session, "no \"results\"", err);
	if (!json_find(answer, "last_seq", &last) || last.len == 0 || last.len > COUCH_SEQ_BYTES)
		return bad_changes(session, "no usable \"last_seq\"", err);
	for (; code == 0 && json_next(results, &position, &name, &row); rows++)
		code = take_row(session, row, err);
	if (code == 0)
		code = couch_append_slice(&session->changes.last, last, err);
	if (code != 0)
		return code;
	if (rows > 0 && last.len == since.len && memcmp(last.text, since.text, since.len) == 0)
		return bad_changes(session, "it gives rows, but its \"last_seq\" does not move", err);
	session->changes.more = rows >= session->options->changes_batch ||
				(rows > 0 && json_find(answer, "pending", &pending) &&
				    json_parse_unsigned(pending, UINT32_MAX, &left, NULL) == 0 && left > 0);
	return 0;
}

static int remote_read_changes(
    struct couch_session *session, struct json_slice since, bool wait, struct qosid_errbuf *err)
{
	const struct couch_options *options = session->options;
	struct qosid_buf path = {0}, body = {0};
	struct couch_segment segment = {0};
	struct couch_request request = {.method = "GET", .limit = COUCH_CHANGES_BYTES, .waits = wait};
	struct couch_response response;
	int code = build_changes_path(session, since, wait, &path, err);

	couch_changes_reset(&session->changes);
	if (code == 0 && (options->doc_ids != NULL || options->selector != NULL)) {
		code = build_changes_body(options, &body, err);
		segment = (struct couch_segment){.data = body.data, .len = body.len};
		request.method = "POST";
		request.body = &segment;
		request.body_count = 1;
	}
	request.path = (const char *)path.data;
	if (code == 0)
		code = couch_http_json(session->source_http, &request, &response, &session->answer, err);
	if (code != 0)
		goto out;
	if (response.status == 0)
		code = couch_append_slice(&session->changes.last, since, err); /* it had nothing to say */
	else if (response.status != 200)
		code = couch_http_unexpected(session->source_http, &response, "reading the changes", err);
	else
		code = take_changes(session, since, err);
out:
	qosid_buf_free(&path);
	qosid_buf_free(&body);
	return code;
}

/* ---- documents ---- */

/* Add what was asked for; anything else is dropped. */
static void take_document(struct couch_session *session, const char *id, const char *rev, struct json_slice text)
{
	struct qosid_errbuf reason = {0};
	const struct couch_document *added;

	if (json_slice_kind(text) != JSON_OBJECT)
		(void)qosid_error(&reason, QOSID_ERR_INVALID, "the document is not an object");
	else if (couch_batch_add(&session->batch, text, &reason) == 0) {
		added = &session->batch.documents[session->batch.count - 1];
		if (strcmp(couch_document_id(added), id) == 0 && strlen(id) == added->parsed.id.len) {
			session->report->read++;
			return;
		}
		session->batch.count--; /* its memory is reused, or freed with the batch */
		session->batch.bytes -= text.len;
		(void)qosid_error(&reason, QOSID_ERR_INVALID, "the peer sent another document than the one asked for");
	}
	couch_refuse(session, id, rev, &reason);
}

/* {"ok":{..}} or {"error":{..}} (_bulk_get), {"missing":".."} (open_revs). */
static void take_answer(struct couch_session *session, const char *id, const char *rev, struct json_slice item)
{
	struct qosid_errbuf reason = {0};
	struct json_slice found;

	if (json_slice_kind(item) == JSON_OBJECT && json_find(item, "ok", &found)) {
		take_document(session, id, rev, found);
		return;
	}
	(void)qosid_error(&reason, QOSID_ERR_NOTFOUND, "the peer does not give the revision that its changes name");
	couch_refuse(session, id, rev, &reason);
}

/* From a peer without _bulk_get. */
static int read_one(struct couch_session *session, size_t number, struct qosid_errbuf *err)
{
	const char *id = couch_change_id(&session->changes, session->changes.revs[number].row);
	const char *rev = couch_change_rev(&session->changes, number);
	struct qosid_buf path = {0};
	struct couch_request request = {.method = "GET", .limit = COUCH_DOCUMENTS_BYTES};
	struct couch_response response;
	struct json_slice name, item;
	size_t position = 0;
	int code = couch_append_document_path(&path, id, err);

	if (code == 0)
		code = qosid_buf_append_text(&path, "?revs=true&open_revs=%5B%22", err);
	if (code == 0)
		code = couch_append_encoded(&path, rev, strlen(rev), false, err);
	if (code == 0)
		code = qosid_buf_append_text(&path, "%22%5D", err);
	request.path = (const char *)path.data;
	if (code == 0)
		code = couch_http_json(session->source_http, &request, &response, &session->answer, err);
	if (code == QOSID_ERR_INVALID || code == QOSID_ERR_LIMIT) {
		if (err != NULL)
			couch_refuse(session, id, rev, err);
		code = 0;
	} else if (code == 0 && response.status != 200 && response.status != 404 && response.status != 400) {
		code = couch_http_unexpected(session->source_http, &response, "reading a document", err);
	} else if (code == 0 &&
		   (response.status != 200 || json_slice_kind(couch_slice(&session->answer)) != JSON_ARRAY)) {
		take_answer(session, id, rev, (struct json_slice){"null", 4});
	} else if (code == 0) {
		while (json_next(couch_slice(&session->answer), &position, &name, &item))
			take_answer(session, id, rev, item);
	}
	qosid_buf_free(&path);
	return code;
}

/* The next wanted revision from cursor on, or rev_count. */
static size_t next_wanted(const struct couch_changes *changes, size_t cursor)
{
	while (cursor < changes->rev_count && !changes->revs[cursor].wanted)
		cursor++;
	return cursor;
}

/* {"docs":[{"id":..,"rev":..},..]} for at most `count` revisions; *end is behind the last. */
static int build_bulk_get(
    struct couch_session *session, size_t cursor, size_t count, size_t *end, struct qosid_errbuf *err)
{
	const struct couch_changes *changes = &session->changes;
	struct qosid_buf *out = &session->request;
	size_t added = 0;
	int code;

	qosid_buf_reset(out);
	code = qosid_buf_append_text(out, "{\"docs\":[", err);
	for (cursor = next_wanted(changes, cursor); code == 0 && cursor < changes->rev_count && added < count;
	     cursor = next_wanted(changes, cursor + 1)) {
		const char *id = couch_change_id(changes, changes->revs[cursor].row);
		const char *rev = couch_change_rev(changes, cursor);

		code = qosid_buf_append_text(out, added++ > 0 ? ",{\"id\":" : "{\"id\":", err);
		if (code == 0)
			code = json_string_encode(out, id, strlen(id), err);
		if (code == 0)
			code = qosid_buf_append_text(out, ",\"rev\":", err);
		if (code == 0)
			code = json_string_encode(out, rev, strlen(rev), err);
		if (code == 0)
			code = qosid_buf_append_byte(out, '}', err);
	}
	*end = cursor;
	return code != 0 ? code : qosid_buf_append_text(out, "]}", err);
}

static int bad_bulk_get(struct couch_session *session, struct qosid_errbuf *err)
{
	return qosid_error(
	    err, QOSID_ERR_INVALID, "%s: the answer to _bulk_get is malformed", couch_http_name(session->source_http));
}

/* Results are in the order of the request, one entry for each revision asked for. */
static int take_bulk_get(struct couch_session *session, size_t cursor, struct qosid_errbuf *err)
{
	const struct couch_changes *changes = &session->changes;
	struct json_slice answer = couch_slice(&session->answer), results, name, entry, documents, item;
	size_t position = 0;

	if (json_slice_kind(answer) != JSON_OBJECT || !json_find(answer, "results", &results) ||
	    json_slice_kind(results) != JSON_ARRAY)
		return bad_bulk_get(session, err);
	while (json_next(results, &position, &name, &entry)) {
		const char *id, *rev;
		struct json_slice said;
		size_t inner = 0;

		cursor = next_wanted(changes, cursor);
		if (cursor == changes->rev_count || json_slice_kind(entry) != JSON_OBJECT ||
		    !json_find(entry, "docs", &documents) || json_slice_kind(documents) != JSON_ARRAY)
			return bad_bulk_get(session, err);
		id = couch_change_id(changes, changes->revs[cursor].row);
		rev = couch_change_rev(changes, cursor);
		if (!json_find(entry, "id", &said) || !json_string_equal(said, id))
			return bad_bulk_get(session, err);
		while (json_next(documents, &inner, &name, &item))
			take_answer(session, id, rev, item);
		cursor++;
	}
	return 0;
}

/* *end: behind the last revision that was read; where it began when the answer was too large. */
static int read_bulk(struct couch_session *session, size_t cursor, size_t *end, struct qosid_errbuf *err)
{
	struct couch_segment segment = {0};
	struct couch_request request = {.method = "POST",
	    .path = "_bulk_get?revs=true",
	    .body = &segment,
	    .body_count = 1,
	    .limit = COUCH_DOCUMENTS_BYTES};
	struct couch_response response;
	int code = build_bulk_get(session, cursor, session->documents_at_once, end, err);

	segment.data = session->request.data;
	segment.len = session->request.len;
	if (code == 0)
		code = couch_http_json(session->source_http, &request, &response, &session->answer, err);
	if (code == QOSID_ERR_LIMIT || code == QOSID_ERR_INVALID) {
		/* One of them is at fault: find it by asking for fewer, at last by itself. */
		if (session->documents_at_once > 1) {
			session->documents_at_once /= 2;
			*end = cursor;
			return 0;
		}
		cursor = next_wanted(&session->changes, cursor);
		if (err != NULL)
			couch_refuse(session, couch_change_id(&session->changes, session->changes.revs[cursor].row),
			    couch_change_rev(&session->changes, cursor), err);
		return 0;
	}
	if (code != 0)
		return code;
	if (response.status == 401 || response.status == 403 || (response.status >= 300 && response.status <= 399) ||
	    response.status == 429 || response.status == 503)
		return couch_http_unexpected(session->source_http, &response, "reading documents", err);
	if (response.status != 200) {
		session->no_bulk_get = true;
		*end = cursor;
		return 0;
	}
	return take_bulk_get(session, cursor, err);
}

static int remote_read_documents(struct couch_session *session, size_t *cursor, struct qosid_errbuf *err)
{
	const struct couch_changes *changes = &session->changes;
	int code = 0;

	*cursor = next_wanted(changes, *cursor);
	while (code == 0 && *cursor < changes->rev_count && session->batch.count == 0) {
		if (session->no_bulk_get) {
			code = read_one(session, (*cursor)++, err);
			*cursor = next_wanted(changes, *cursor);
		} else {
			size_t end = *cursor;

			code = read_bulk(session, *cursor, &end, err);
			*cursor = next_wanted(changes, end);
		}
	}
	return code;
}

/* ---- attachments ---- */

struct spooling {
	struct couch_spool *spool;
	uint64_t begin;
};

static int spool_piece(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct spooling *spooling = context;

	return couch_spool_write(spooling->spool, data, len, err);
}

static int spool_again(void *context, struct qosid_errbuf *err)
{
	struct spooling *spooling = context;

	return couch_spool_cut(spooling->spool, spooling->begin, err);
}

static int build_attachment_path(const struct couch_document *document, const struct couch_attachment *attachment,
    struct qosid_buf *path, struct qosid_errbuf *err)
{
	struct qosid_buf name = {0};
	char rev[REVISION_TEXT_SIZE];
	int code = couch_append_document_path(path, couch_document_id(document), err);

	revision_format(rev, &document->parsed.rev);
	if (code == 0)
		code = qosid_buf_append_byte(path, '/', err);
	if (code == 0)
		code = json_string_decode(attachment->name, &name, err);
	if (code == 0)
		code = couch_append_encoded(path, name.data, name.len, true, err);
	if (code == 0)
		code = qosid_buf_append_text(path, "?rev=", err);
	if (code == 0)
		code = couch_append_encoded(path, rev, strlen(rev), false, err);
	qosid_buf_free(&name);
	return code;
}

static int remote_load_attachment(struct couch_session *session, const struct couch_document *document,
    struct couch_attachment *attachment, struct qosid_errbuf *err)
{
	struct spooling spooling = {&session->spool, session->spool.used};
	struct qosid_sink sink = {spool_piece, &spooling};
	struct qosid_buf path = {0};
	struct couch_request request = {.method = "GET",
	    .accept = "*/*",
	    .sink = &sink,
	    .restart = spool_again,
	    .restart_context = &spooling,
	    .limit = LIMIT_ATTACHMENT_BYTES};
	struct couch_response response;
	uint64_t got;
	int code = build_attachment_path(document, attachment, &path, err);

	request.path = (const char *)path.data;
	if (code == 0)
		code = couch_http_request(session->source_http, &request, &response, err);
	qosid_buf_free(&path);
	if (code == 0 && response.status != 200) {
		code = couch_http_unexpected(session->source_http, &response, "reading an attachment", err);
		if (response.status == 404)
			code =
			    qosid_error(err, QOSID_ERR_INVALID, "the peer does not have an attachment that it names");
	}
	if (code != 0)
		return code;
	got = session->spool.used - spooling.begin;
	if (attachment->length >= 0 && (uint64_t)attachment->length != got)
		return qosid_error(err, QOSID_ERR_INVALID, "an attachment has %llu bytes, not the %lld announced",
		    (unsigned long long)got, (long long)attachment->length);
	attachment->length = (int64_t)got;
	attachment->offset = spooling.begin;
	attachment->place = CONTENT_IN_SPOOL;
	return 0;
}

const struct couch_source couch_remote_source = {
    .read_changes = remote_read_changes,
    .read_documents = remote_read_documents,
    .load_attachment = remote_load_attachment,
};
