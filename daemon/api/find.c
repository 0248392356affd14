/*
 * _find, _explain, _index: Mango queries over HTTP. What they mean is sync/replica/mango.h's business; here are the
 * statuses, the transactions, and who may do what.
 */
#include <string.h>

#include "daemon/api/render.h"
#include "daemon/api/store.h"
#include "sync/limits.h"
#include "sync/replica/mango.h"

#define DOCIDS_MAX 1000 /* of one _bulk_delete */

/* Answer a refusal in CouchDB's words; other failures are returned as they are. */
static int reply_refusal(struct http_call *call, int rc, const struct qosid_errbuf *err)
{
	if (rc == QOSID_ERR_INVALID && err != NULL && err->where[0] != '\0')
		return reply_error(call, 400, err->where, err->what);
	if (rc == QOSID_ERR_BUSY && err != NULL && err->where[0] != '\0')
		return reply_error(call, 503, err->where, err->what);
	if (rc == QOSID_ERR_NOTFOUND)
		return reply_missing(call, "missing");
	return rc;
}

static int read_request(
    struct http_call *call, struct qosid_buf *text, struct json_slice *body, struct qosid_errbuf *err)
{
	int rc = request_need_json(call);

	if (rc == 0)
		rc = request_read_object(call, text, body, err);
	if (rc == 0 && body->len > LIMIT_DOCUMENT_BYTES)
		rc = reply_error(call, 413, "too_large", "the request entity is too large");
	return rc;
}

/* ---- _find, _explain ---- */

/* Bring the index up to date, a bounded transaction at a time. */
static int make_ready(struct api_database *database, struct mango_query *query, struct qosid_errbuf *err)
{
	bool ready = false;
	int rc;

	for (;;) {
		rc = mango_query_ready(database->replica, query, &ready, err);
		if (rc != 0 || ready)
			return rc;
		rc = api_begin_write(database, err);
		if (rc != 0)
			return rc;
		rc = mango_query_update(database->replica, query, err);
		if (rc != 0) {
			api_abort_write(database);
			return rc;
		}
		rc = api_commit_write(database, err);
		if (rc != 0)
			return rc;
	}
}

static int append_document(
    void *context, const struct replica_record *record, bool conflicts, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct render render = {.conflicts = conflicts};
	struct writer writer = writer_begin(NULL, err);
	int rc;

	render_document(&writer, context, record, &render);
	rc = writer.rc;
	if (rc == 0)
		rc = qosid_buf_append(out, writer.buf.data, writer.buf.len, err);
	qosid_buf_wipe(&writer.buf);
	return rc;
}

static int answer_query(struct http_call *call, struct api_database *database, struct mango_query *query, bool explain,
    struct qosid_errbuf *err)
{
	struct mango_render render = {append_document, database};
	struct qosid_sink sink = spool_sink(http_call_out(call));
	struct qosid_buf out = {0};
	int rc = make_ready(database, query, err);

	if (rc != 0)
		return rc;
	if (!explain)
		return mango_query_run(database->replica, query, &render, &sink, err);
	rc = mango_query_explain(query, database->name, &out, err);
	if (rc == 0)
		rc = sink.write(sink.context, out.data, out.len, err);
	qosid_buf_wipe(&out);
	return rc;
}

static int find(struct http_call *call, struct api_database *database, bool explain, struct qosid_errbuf *err)
{
	struct mango_query *query = NULL;
	struct qosid_buf text = {0};
	struct json_slice body;
	int rc;

	if (http_call_method(call) != HTTP_POST)
		return reply_method(call, "POST");
	rc = read_request(call, &text, &body, err);
	if (rc != 0)
		goto out;
	rc = mango_query_parse(&query, body, err);
	if (rc == 0)
		rc = answer_query(call, database, query, explain, err);
	if (rc != 0)
		rc = reply_refusal(call, rc, err);
out:
	mango_query_free(query);
	qosid_buf_wipe(&text);
	return rc;
}

/* ---- _index: reading ---- */

static int list_indexes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct writer writer = writer_begin(http_call_out(call), err);
	struct qosid_buf out = {0};
	int64_t limit = -1;
	int64_t skip = 0;
	int rc = 0;

	/* CouchDB takes this for a failure of its own. */
	if (http_call_query_number(call, "limit", -1, &limit, NULL) != 0 ||
	    http_call_query_number(call, "skip", 0, &skip, NULL) != 0 || limit == 0)
		rc = reply_error(call, 500, "invalid_list_index_params", "Index parameter ranges: limit > 1, skip > 0");
	if (rc == 0)
		rc = mango_index_list(database->replica, limit, skip, &out, err);
	if (rc == 0) {
		writer_text(&writer, "{");
		writer_bytes(&writer, out.data, out.len);
		writer_text(&writer, "}\n");
		rc = writer_end(&writer);
	}
	qosid_buf_free(&out);
	return rc;
}

/* ---- _index: writing ---- */

/* A design document as it is: rev NULL and body empty when there is none. */
struct design {
	struct replica_record record;
	const struct revision *rev;
	struct json_slice body;
};

static int read_design(struct api_database *database, const char *id, struct design *design, struct qosid_errbuf *err)
{
	int rc = replica_read_document(database->replica, id, NULL, &design->record, err);

	if (rc == QOSID_ERR_NOTFOUND)
		return 0;
	design->rev = &design->record.rev;
	design->body = (struct json_slice){(const char *)design->record.body.data, design->record.body.len};
	return rc;
}

/* Attachments of a design document stay, as stubs. */
static int append_stubs(const struct replica_record *record, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_slice stored = {(const char *)record->attachments.data, record->attachments.len};
	struct json_slice name;
	struct json_slice value;
	size_t position = 0;
	int rc = 0;

	if (stored.len == 0)
		return 0;
	while (rc == 0 && json_next(stored, &position, &name, &value))
		rc = qosid_buf_append_format(
		    out, err, "%s%.*s:{\"stub\":true}", out->len > 0 ? "," : "{", (int)name.len, name.text);
	return rc != 0 ? rc : qosid_buf_append_byte(out, '}', err);
}

/* Write the new body, or the deletion of it when that is empty. */
static int write_design(struct http_call *call, struct api_database *database, const char *id,
    const struct design *design, const struct qosid_buf *body, struct qosid_errbuf *err)
{
	struct qosid_buf stubs = {0};
	struct revision written;
	struct replica_edit edit = {
	    .id = id,
	    .parent = design->rev,
	    .deleted = body->len == 0,
	    .body = {(const char *)body->data, body->len},
	    .user = api_user(call),
	    .time = api_now(),
	};
	int rc = 0;

	if (edit.deleted)
		edit.body = (struct json_slice){"{}", 2};
	else
		rc = append_stubs(&design->record, &stubs, err);
	edit.attachments = (struct json_slice){(const char *)stubs.data, stubs.len};
	if (rc == 0)
		rc = replica_put_edit(database->replica, &edit, &written, err);
	qosid_buf_free(&stubs);
	return rc;
}

static int end_write(struct api_database *database, int rc, struct qosid_errbuf *err)
{
	if (rc == 0)
		return api_commit_write(database, err);
	api_abort_write(database);
	return rc;
}

static int insert_index(struct http_call *call, struct api_database *database,
    const struct mango_index_request *request, bool *exists, struct qosid_errbuf *err)
{
	const char *id = (const char *)request->ddoc.data;
	struct design design = {0};
	struct qosid_buf body = {0};
	int rc = api_begin_write(database, err);

	if (rc != 0)
		return rc;
	rc = read_design(database, id, &design, err);
	if (rc == 0)
		rc = mango_index_insert(request, design.body, exists, &body, err);
	if (rc == 0 && !*exists)
		rc = write_design(call, database, id, &design, &body, err);
	rc = end_write(database, rc, err);
	replica_record_free(&design.record);
	qosid_buf_free(&body);
	return rc;
}

static int create_index(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct writer writer = writer_begin(http_call_out(call), err);
	struct mango_index_request request = {0};
	struct qosid_buf text = {0};
	struct json_slice body;
	bool exists = false;
	int rc = read_request(call, &text, &body, err);

	if (rc != 0)
		goto out;
	rc = mango_index_request_parse(&request, body, err);
	if (rc == 0)
		rc = document_check_id((const char *)request.ddoc.data, request.ddoc.len, err);
	if (rc != 0) {
		rc = reply_refusal(call, rc, err);
		goto out;
	}
	rc = api_authorize(call, database, true, err);
	if (rc != 0)
		goto out;
	rc = insert_index(call, database, &request, &exists, err);
	if (rc != 0) {
		rc = reply_refusal(call, rc, err);
		goto out;
	}
	writer_format(&writer, "{\"result\":\"%s\",\"id\":", exists ? "exists" : "created");
	writer_string(&writer, (const char *)request.ddoc.data);
	writer_text(&writer, ",\"name\":");
	writer_string(&writer, (const char *)request.name.data);
	writer_text(&writer, "}\n");
	rc = writer_end(&writer);
out:
	mango_index_request_free(&request);
	qosid_buf_wipe(&text);
	return rc;
}

/* Take one index out of its design document; name NULL: all of that document, if it holds indexes. */
static int remove_index(
    struct http_call *call, struct api_database *database, const char *id, const char *name, struct qosid_errbuf *err)
{
	struct design design = {0};
	struct qosid_buf body = {0};
	struct json_slice language;
	bool empty = true;
	int rc = api_begin_write(database, err);

	if (rc != 0)
		return rc;
	rc = read_design(database, id, &design, err);
	if (rc == 0 && (design.body.len == 0 || !json_find(design.body, "language", &language) ||
			   !json_string_equal(language, "query")))
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "missing");
	if (rc == 0 && name != NULL)
		rc = mango_index_remove(design.body, name, &empty, &body, err);
	if (rc == 0)
		rc = write_design(call, database, id, &design, &body, err);
	rc = end_write(database, rc, err);
	replica_record_free(&design.record);
	qosid_buf_free(&body);
	return rc;
}

static int append_design_id(const char *text, size_t len, struct qosid_buf *id, struct qosid_errbuf *err)
{
	int rc = 0;

	if (len < 8 || strncmp(text, "_design/", 8) != 0)
		rc = qosid_buf_append_text(id, "_design/", err);
	return rc != 0 ? rc : qosid_buf_append(id, text, len, err);
}

/* {db}/_index/{ddoc}/json/{name}, also with _design/ in front of the ddoc. */
static int delete_index(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	const char *ddoc = http_call_segment(call, 2);
	size_t at = 3;
	struct qosid_buf id = {0};
	int rc;

	if (http_call_method(call) != HTTP_DELETE)
		return reply_method(call, "DELETE");
	rc = api_authorize(call, database, true, err);
	if (rc != 0)
		return rc;
	if (strcmp(ddoc, "_design") == 0)
		ddoc = http_call_segment(call, at++);
	if (ddoc == NULL || http_call_segment_count(call) != at + 2 || strcmp(http_call_segment(call, at), "json") != 0)
		return reply_missing(call, "missing");
	rc = append_design_id(ddoc, strlen(ddoc), &id, err);
	if (rc == 0)
		rc = remove_index(call, database, (const char *)id.data, http_call_segment(call, at + 1), err);
	rc = rc == 0 ? http_call_json(call, 200, "{\"ok\":true}") : reply_refusal(call, rc, err);
	qosid_buf_free(&id);
	return rc;
}

/* One id of _bulk_delete: a row for success or for fail. */
static int delete_design(struct http_call *call, struct api_database *database, struct json_slice docid,
    struct writer *success, struct writer *fail, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	struct qosid_buf id = {0};
	struct writer *writer = success;
	int rc = json_string_decode(docid, &text, err);

	if (rc == 0)
		rc = append_design_id((const char *)text.data, text.len, &id, err);
	if (rc == 0)
		rc = remove_index(call, database, (const char *)id.data, NULL, err);
	if (rc == QOSID_ERR_NOTFOUND || rc == QOSID_ERR_CONFLICT)
		writer = fail;
	else if (rc != 0)
		goto out;
	writer_text(writer, writer->buf.len > 0 ? ",{\"id\":" : "{\"id\":");
	writer_string(writer, (const char *)id.data);
	if (writer == success)
		writer_text(writer, ",\"ok\":true}");
	else
		writer_text(
		    writer, rc == QOSID_ERR_CONFLICT ? ",\"error\":\"conflict\"}" : ",\"error\":\"not_found\"}");
	rc = writer->rc;
out:
	qosid_buf_free(&text);
	qosid_buf_free(&id);
	return rc;
}

static int delete_list(
    struct http_call *call, struct api_database *database, struct json_slice docids, struct qosid_errbuf *err)
{
	struct writer success = writer_begin(NULL, err);
	struct writer fail = writer_begin(NULL, err);
	struct writer writer = writer_begin(http_call_out(call), err);
	struct json_slice name;
	struct json_slice docid;
	size_t position = 0;
	int count = 0;
	int rc = 0;

	while (rc == 0 && json_next(docids, &position, &name, &docid)) {
		if (json_slice_kind(docid) != JSON_STRING || ++count > DOCIDS_MAX) {
			rc = reply_error(call, 400, "bad_request", "docids must be an array of at most 1000 strings");
			break;
		}
		rc = delete_design(call, database, docid, &success, &fail, err);
	}
	if (rc == 0) {
		writer_text(&writer, "{\"success\":[");
		writer_bytes(&writer, success.buf.data, success.buf.len);
		writer_text(&writer, "],\"fail\":[");
		writer_bytes(&writer, fail.buf.data, fail.buf.len);
		writer_text(&writer, "]}\n");
		rc = writer_end(&writer);
	}
	qosid_buf_free(&success.buf);
	qosid_buf_free(&fail.buf);
	return rc;
}

static int bulk_delete(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	struct json_slice body;
	struct json_slice docids;
	int rc;

	if (http_call_method(call) != HTTP_POST)
		return reply_method(call, "POST");
	rc = api_authorize(call, database, true, err);
	if (rc == 0)
		rc = read_request(call, &text, &body, err);
	if (rc == 0 && (!json_find(body, "docids", &docids) || json_slice_kind(docids) != JSON_ARRAY))
		rc = reply_error(call, 400, "bad_request", "`docids` should be an array of strings");
	if (rc == 0)
		rc = delete_list(call, database, docids, err);
	qosid_buf_wipe(&text);
	return rc;
}

static int route_index(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	const char *third = http_call_segment(call, 2);

	if (third != NULL && strcmp(third, "_bulk_delete") == 0 && http_call_segment_count(call) == 3)
		return bulk_delete(call, database, err);
	if (third != NULL)
		return delete_index(call, database, err);
	switch (http_call_method(call)) {
	case HTTP_GET:
		return list_indexes(call, database, err);
	case HTTP_POST:
		return create_index(call, database, err);
	default:
		return reply_method(call, "GET,POST");
	}
}

int api_find_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	const char *endpoint = http_call_segment(call, 1);
	int rc = api_authorize(call, database, api_is_users(database), err);

	if (rc != 0)
		return api_done(rc);
	if (strcmp(endpoint, "_index") == 0)
		return api_done(route_index(call, database, err));
	if (http_call_segment_count(call) != 2)
		return api_done(reply_missing(call, "missing"));
	return api_done(find(call, database, strcmp(endpoint, "_explain") == 0, err));
}
