/*
 * Update handlers, {db}/_design/{name}/_update/{function}[/{id}], and the request as functions see it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto/base64.h"
#include "daemon/api/design.h"
#include "daemon/api/render.h"
#include "daemon/api/store.h"

#define BODY_BYTES (16u << 20) /* of a request that a function is to see */

/* ---- the request ---- */

struct pairs {
	struct writer *writer;
	size_t count;
};

static int write_pair(void *context, const char *name, const char *value, struct qosid_errbuf *err)
{
	struct pairs *pairs = context;

	(void)err; /* the writer's own */
	writer_text(pairs->writer, pairs->count++ > 0 ? "," : "");
	writer_string(pairs->writer, name);
	writer_text(pairs->writer, ":");
	writer_string(pairs->writer, value);
	return pairs->writer->rc;
}

/* Those that functions have been seen to ask for. Credentials are not among them. */
static void write_headers(struct writer *writer, struct http_call *call)
{
	static const char *const names[] = {"Accept", "Accept-Language", "Content-Type", "Host", "If-Match",
	    "If-None-Match", "Origin", "Referer", "User-Agent", "X-Forwarded-For", "X-Forwarded-Host",
	    "X-Requested-With"};
	struct pairs pairs = {.writer = writer};

	writer_text(writer, "{");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *value = http_call_header(call, names[i]);

		if (value)
			(void)write_pair(&pairs, names[i], value, NULL); /* the writer remembers a failure */
	}
	writer_text(writer, "}");
}

static int write_body(struct writer *writer, struct http_call *call, struct qosid_errbuf *err)
{
	const struct spool *spool = http_call_body(call);
	struct pairs pairs = {.writer = writer};
	struct qosid_buf body = {0};
	int rc = spool ? spool_take(spool, BODY_BYTES, &body, err) : 0;

	if (rc == 0 && body.len == 0) {
		writer_text(writer, ",\"body\":\"undefined\",\"form\":{}");
	} else if (rc == 0) {
		writer_text(writer, ",\"body\":");
		writer_string(writer, (const char *)body.data);
		writer_text(writer, ",\"form\":{");
		if (http_call_content_is(call, "application/x-www-form-urlencoded"))
			rc = http_visit_form((const char *)body.data, write_pair, &pairs, err);
		writer_text(writer, "}");
	}
	qosid_buf_wipe(&body);
	return rc;
}

int design_write_request(struct writer *writer, struct http_call *call, struct api_database *database, const char *id)
{
	struct qosid_buf info = {0}, security = {0};
	struct pairs pairs = {.writer = writer};
	char uuid[33];
	int rc = api_append_database_info(database, &info, writer->err);

	if (rc == 0)
		rc = api_read_security(database, &security, writer->err);
	api_new_id(uuid);
	writer_text(writer, "{\"info\":");
	writer_bytes(writer, info.data, info.len);
	writer_text(writer, ",\"id\":");
	if (id)
		writer_string(writer, id);
	else
		writer_text(writer, "null");
	writer_format(writer, ",\"uuid\":\"%s\",\"method\":\"%s\",\"raw_path\":", uuid, http_call_method_text(call));
	writer_string(writer, http_call_target(call));
	writer_text(writer, ",\"path\":[");
	for (size_t i = 0; i < http_call_segment_count(call); i++) {
		writer_text(writer, i > 0 ? "," : "");
		writer_string(writer, http_call_segment(call, i));
	}
	writer_text(writer, "],\"query\":{");
	if (rc == 0)
		rc = http_call_visit_query(call, write_pair, &pairs, writer->err);
	writer_text(writer, "},\"headers\":");
	write_headers(writer, call);
	if (rc == 0)
		rc = write_body(writer, call, writer->err);
	writer_text(writer, ",\"cookie\":{},\"peer\":");
	writer_string(writer, http_call_peer(call));
	writer_text(writer, ",\"userCtx\":");
	design_write_user(writer, call, database);
	writer_text(writer, ",\"secObj\":");
	writer_bytes(writer, security.data, security.len);
	writer_text(writer, "}");
	qosid_buf_free(&info);
	qosid_buf_free(&security);
	return rc != 0 ? rc : writer->rc;
}

/* ---- the response ---- */

/* Headers that the server sets by itself, or that would break the answer apart. */
static bool is_settable(const char *name, const char *value)
{
	static const char *const own[] = {
	    "Content-Length", "Transfer-Encoding", "Connection", "Set-Cookie", "Date", "Server"};

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
		if (strcasecmp(name, own[i]) == 0)
			return false;
	}
	for (const char *at = value; *at; at++) {
		if ((unsigned char)*at < ' ' || *at == 127)
			return false;
	}
	return *name &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == strlen(name);
}

static int set_headers(struct http_call *call, struct json_slice headers, struct qosid_errbuf *err)
{
	struct json_slice name, value;
	size_t position = 0;
	int rc = 0;

	while (rc == 0 && json_slice_kind(headers) == JSON_OBJECT && json_next(headers, &position, &name, &value)) {
		struct qosid_buf key = {0}, text = {0};

		rc = json_string_decode(name, &key, err);
		if (rc == 0 && json_slice_kind(value) == JSON_STRING)
			rc = json_string_decode(value, &text, err);
		if (rc == 0 && key.data && text.data && is_settable((const char *)key.data, (const char *)text.data))
			rc = http_call_set_header(call, (const char *)key.data, (const char *)text.data, err);
		qosid_buf_free(&key);
		qosid_buf_free(&text);
	}
	return rc;
}

static int decode_base64(struct qosid_buf *out, const struct qosid_buf *text, struct qosid_errbuf *err)
{
	size_t size = text->len / 4 * 3, len;
	int rc = qosid_buf_reserve(out, size, err);

	if (rc == 0 && text->len > 0 &&
	    base64_decode(out->data, size, &len, BASE64_PADDED, (const char *)text->data, text->len) != 0)
		rc = qosid_error(err, QOSID_ERR_INVALID, "the base64 of a function is not valid");
	if (rc == 0 && text->len > 0)
		out->len = len;
	return rc;
}

static int send_body(struct http_call *call, struct json_slice response, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0}, bytes = {0};
	struct json_slice value;
	int rc = 0;

	if (json_find(response, "json", &value)) {
		rc = qosid_buf_append(&bytes, value.text, value.len, err);
	} else if (json_find(response, "base64", &value) && json_slice_kind(value) == JSON_STRING) {
		rc = json_string_decode(value, &text, err);
		if (rc == 0)
			rc = decode_base64(&bytes, &text, err);
		if (rc == QOSID_ERR_INVALID)
			rc = reply_error(call, 500, "external_response_error", "The function's base64 is not valid.");
	} else if (json_find(response, "body", &value) && json_slice_kind(value) == JSON_STRING) {
		rc = json_string_decode(value, &bytes, err);
	}
	if (rc == 0 && bytes.len > 0)
		rc = spool_write(http_call_out(call), bytes.data, bytes.len, err);
	qosid_buf_free(&text);
	qosid_buf_free(&bytes);
	return rc;
}

static int send_response(struct http_call *call, struct json_slice response, unsigned status, struct qosid_errbuf *err)
{
	struct json_slice value;
	unsigned long long code = status;
	bool json = json_slice_kind(response) == JSON_OBJECT && json_find(response, "json", &value);
	int rc;

	if (json_slice_kind(response) != JSON_OBJECT)
		return reply_error(call, 500, "external_response_error", "The function's response is not an object.");
	if (json_find(response, "code", &value) && (json_parse_unsigned(value, 599, &code, NULL) != 0 || code < 200))
		return reply_error(call, 500, "external_response_error", "The function's response has no valid code.");
	http_call_set_status(call, (unsigned)code);
	rc = http_call_set_header(call, "Content-Type", json ? "application/json" : "text/html; charset=utf-8", err);
	if (rc == 0 && json_find(response, "headers", &value))
		rc = set_headers(call, value, err);
	return rc == 0 ? send_body(call, response, err) : rc;
}

/* ---- the handler ---- */

/* Store what the function returned, like a PUT of it. */
static int store_result(
    struct http_call *call, struct api_database *database, struct json_slice object, struct qosid_errbuf *err)
{
	struct store store = {.call = call, .database = database};
	const char *id;
	char rev[REVISION_TEXT_SIZE];
	int rc = api_begin_write(database, err);

	if (rc != 0)
		return rc;
	rc = store_parse(&store, object, NULL, err);
	id = (const char *)store.document.id.data;
	if (rc == 0 && strncmp(id, "_design/", 8) == 0)
		rc = api_authorize(call, database, true, err);
	if (rc == 0 && strncmp(id, "_local/", 7) == 0)
		rc = reply_error(call, 400, "illegal_docid", "An update handler cannot write a _local document.");
	if (rc == 0 && (rc = store_put(&store, store.document.has_rev ? &store.document.rev : NULL, false, err)) != 0)
		rc = reply_store_failure(call, rc, err);
	if (rc == 0)
		rc = api_commit_write(database, err);
	else
		api_abort_write(database);
	if (rc == 0) {
		revision_format(rev, &store.written);
		rc = http_call_set_header(call, "X-Couch-Update-NewRev", rev, err);
	}
	if (rc == 0 && is_settable("X-Couch-Id", id))
		rc = http_call_set_header(call, "X-Couch-Id", id, err);
	store_free(&store);
	return rc;
}

/* The function has thrown {"forbidden": reason} or the like. */
static int refuse(
    struct http_call *call, unsigned status, const char *word, struct json_slice reason, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int rc = json_slice_kind(reason) == JSON_STRING ? json_string_decode(reason, &text, err) : 0;

	if (rc == 0)
		rc = reply_error(call, status, word, text.data ? (const char *)text.data : "");
	qosid_buf_free(&text);
	return rc;
}

static int take_answer(
    struct http_call *call, struct api_database *database, struct json_slice answer, struct qosid_errbuf *err)
{
	static const struct {
		unsigned status;
		const char *word;
	} refusals[] = {{403, "forbidden"}, {401, "unauthorized"}};
	struct json_slice name, values[3];
	size_t position = 0, count = 0;
	unsigned status = 200;
	int rc = 0;

	for (size_t i = 0; json_slice_kind(answer) == JSON_OBJECT && i < 2; i++) {
		if (json_find(answer, refusals[i].word, &values[0]))
			return refuse(call, refusals[i].status, refusals[i].word, values[0], err);
	}
	while (
	    json_slice_kind(answer) == JSON_ARRAY && count < 3 && json_next(answer, &position, &name, &values[count]))
		count++;
	if (count < 3 || !json_string_equal(values[0], "up"))
		return reply_error(
		    call, 500, "external_response_error", "The function's answer is not [doc, response].");
	if (json_slice_kind(values[1]) == JSON_OBJECT) {
		rc = store_result(call, database, values[1], err);
		status = 201;
	}
	return rc == 0 ? send_response(call, values[2], status, err) : rc;
}

/* [doc or null, req] */
static int format_arguments(struct writer *arguments, struct http_call *call, struct api_database *database,
    const char *id, struct qosid_errbuf *err)
{
	struct replica_record record = {0};
	struct render render = {0};
	int rc = QOSID_ERR_NOTFOUND;

	writer_text(arguments, "[");
	if (id && !(api_is_users(database) && !api_users_may_read(call, id)))
		rc = replica_read_document(database->replica, id, NULL, &record, err);
	if (rc == 0)
		render_document(arguments, database, &record, &render);
	else if (rc == QOSID_ERR_NOTFOUND)
		writer_text(arguments, "null");
	replica_record_free(&record);
	if (rc != 0 && rc != QOSID_ERR_NOTFOUND)
		return rc;
	writer_text(arguments, ",");
	rc = design_write_request(arguments, call, database, id);
	writer_text(arguments, "]");
	return rc != 0 ? rc : arguments->rc;
}

/* The document's id may hold slashes. */
static int read_id(struct http_call *call, size_t first, struct qosid_buf *id, struct qosid_errbuf *err)
{
	int rc = 0;

	for (size_t i = first; rc == 0 && i < http_call_segment_count(call); i++) {
		if (i > first)
			rc = qosid_buf_append_byte(id, '/', err);
		if (rc == 0)
			rc = qosid_buf_append_text(id, http_call_segment(call, i), err);
	}
	return rc == 0 && id->len > 0 ? request_check_id(call, (const char *)id->data) : rc;
}

int api_update_routes(
    struct http_call *call, struct api_database *database, const char *design, size_t rest, struct qosid_errbuf *err)
{
	const char *function = http_call_segment(call, rest);
	enum http_method method = http_call_method(call);
	struct writer arguments = {.err = err}, path = {.err = err};
	struct qosid_buf id = {0}, text = {0};
	struct json_slice answer;
	int rc;

	if (method != HTTP_POST && method != HTTP_PUT)
		return api_done(reply_method(call, "POST,PUT"));
	if (!function)
		return api_done(reply_error(call, 404, "not_found", "The update function's name is missing."));
	rc = read_id(call, rest + 1, &id, err);
	if (rc == 0)
		rc = format_arguments(&arguments, call, database, id.len > 0 ? (const char *)id.data : NULL, err);
	writer_text(&path, "[\"updates\",");
	writer_string(&path, function);
	writer_text(&path, "]");
	if (rc == 0)
		rc = path.rc;
	if (rc == 0 &&
	    (rc = design_call(database, design, (const char *)path.buf.data,
		 (struct json_slice){(const char *)arguments.buf.data, arguments.buf.len}, &text, &answer, err)) != 0)
		rc = design_reply_failure(call, rc, err);
	if (rc == 0)
		rc = take_answer(call, database, answer, err);
	qosid_buf_wipe(&arguments.buf);
	qosid_buf_free(&path.buf);
	qosid_buf_free(&id);
	qosid_buf_wipe(&text);
	return api_done(rc);
}
