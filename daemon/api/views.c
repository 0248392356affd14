/* Views over HTTP: the way from a request to its rows; see views.h. */
#include "daemon/api/views.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/views_internal.h"
#include "sync/replica/replica_query.h"

/* One request on its way. */
struct request {
	struct http_call *call;
	struct api_database *database;
	struct qosid_buf design; /* "_design/x" */
	struct replica_record record;
	struct view_group *group;
	int view;
	struct writer *writer;
};

static void request_free(struct request *request)
{
	qosid_buf_free(&request->design);
	replica_record_free(&request->record);
	view_group_free(request->group);
}

/* What the functions or the index said, in CouchDB's words. */
static int reply_failure(struct http_call *call, int rc, struct qosid_errbuf *err)
{
	if (rc < 0 && err && err->where[0] != '\0' &&
	    (rc == QOSID_ERR_FAILED || rc == QOSID_ERR_LIMIT || rc == QOSID_ERR_INVALID))
		return reply_error(call, 500, err->where, err->what);
	if (rc == QOSID_ERR_BUSY)
		return reply_error(call, 503, "service_unavailable", err ? err->what : "busy");
	return rc;
}

static int open_views(struct api_database *database, struct qosid_errbuf *err)
{
	char path[PATH_MAX];

	if (database->views)
		return 0;
	if (snprintf(path, sizeof(path), "%s/views.db", database->dir) >= (int)sizeof(path))
		return qosid_error(err, QOSID_ERR_LIMIT, "the path of a database is too long");
	return views_open(&database->views, path, database->instance, err);
}

/* Read and understand the design document that the path names. */
static int load_group(struct request *request, size_t *rest, struct qosid_errbuf *err)
{
	struct json_slice body;
	int rc = request_document_id(request->call, &request->design, rest, err);

	if (rc == 0)
		rc = replica_read_document(
		    request->database->replica, (const char *)request->design.data, NULL, &request->record, err);
	if (rc == QOSID_ERR_NOTFOUND)
		return reply_missing(request->call, request->record.deleted ? "deleted" : "missing");
	if (rc != 0)
		return rc;
	body = (struct json_slice){(const char *)request->record.body.data, request->record.body.len};
	rc = view_group_parse(&request->group, body, err);
	if (rc == 0)
		rc = open_views(request->database, err);
	return rc != 0 ? reply_failure(request->call, rc, err) : 0;
}

/* ---- rows ---- */

struct answer {
	struct request *request;
	const struct view_options *options;
	struct replica_record record;
	struct qosid_buf id;
	int64_t rows;
	int64_t skip; /* over several keys */
	int64_t left;
};

/* A member of an object value, decoded; false when there is none. */
static bool read_member(struct json_slice value, const char *name, struct qosid_buf *out)
{
	struct json_slice member;

	qosid_buf_reset(out);
	return json_slice_kind(value) == JSON_OBJECT && json_find(value, name, &member) &&
	       json_slice_kind(member) == JSON_STRING && json_string_decode(member, out, NULL) == 0 && out->len > 0;
}

/* The document of a row, or the one that its value links to; null when it is not there. */
static int write_doc(struct answer *answer, const struct view_row *row, struct qosid_errbuf *err)
{
	struct api_database *database = answer->request->database;
	struct writer *writer = answer->request->writer;
	struct qosid_buf text = {0};
	struct revision rev;
	bool has_rev = read_member(row->value, "_rev", &text) &&
		       revision_parse(&rev, (const char *)text.data, text.len, NULL) == 0;
	const char *id = read_member(row->value, "_id", &answer->id) ? (const char *)answer->id.data : row->id;
	int rc = replica_read_document(database->replica, id, has_rev ? &rev : NULL, &answer->record, err);

	writer_text(writer, ",\"doc\":");
	if (rc == 0)
		render_document(writer, database, &answer->record, &answer->options->render);
	else if (rc == QOSID_ERR_NOTFOUND)
		writer_text(writer, "null");
	qosid_buf_free(&text);
	if (rc == QOSID_ERR_NOTFOUND) {
		qosid_error_clear(err);
		rc = 0;
	}
	return rc != 0 ? rc : writer->rc;
}

static int write_row(void *context, const struct view_row *row, struct qosid_errbuf *err)
{
	struct answer *answer = context;
	struct writer *writer = answer->request->writer;
	int rc = 0;

	if (answer->skip > 0) {
		answer->skip--;
		return 0;
	}
	if (answer->left <= 0)
		return 1;
	answer->left--;
	writer_text(writer, answer->rows++ > 0 ? ",\r\n{" : "{");
	if (row->id) {
		writer_text(writer, "\"id\":");
		writer_string(writer, row->id);
		writer_text(writer, ",");
	}
	writer_text(writer, "\"key\":");
	writer_slice(writer, row->key);
	writer_text(writer, ",\"value\":");
	writer_slice(writer, row->value);
	if (answer->options->include_docs)
		rc = write_doc(answer, row, err);
	writer_text(writer, "}");
	return rc != 0 ? rc : writer->rc;
}

static int visit_range(struct answer *answer, const struct view_range *range, struct qosid_errbuf *err)
{
	struct request *request = answer->request;
	struct script_engine script = {.database = request->database, .group = request->group};
	struct view_engine engine = script_engine_bind(&script);
	int rc;

	if (!view_options_reduces(answer->options))
		return views_visit_rows(
		    request->database->views, request->group, (size_t)request->view, range, write_row, answer, err);
	rc = views_visit_groups(request->database->views, request->group, (size_t)request->view, range,
	    view_options_level(answer->options), &engine, write_row, answer, err);
	script_engine_end(&script);
	return rc;
}

/* Each key is a range of its own; skip and limit are of all. */
static int visit_keys(struct answer *answer, struct qosid_errbuf *err)
{
	struct json_slice name, key;
	size_t position = 0;
	int rc = 0;

	while (rc == 0 && answer->left > 0 && json_next(answer->options->keys, &position, &name, &key)) {
		struct view_range range = answer->options->range;

		range.start = range.end = key;
		range.skip = 0;
		range.limit = -1;
		rc = visit_range(answer, &range, err);
	}
	return rc == 1 ? 0 : rc;
}

/* ---- heads ---- */

/* The place of the first row: of the first key that has any. */
static int read_place(
    struct request *request, const struct view_options *options, struct view_place *place, struct qosid_errbuf *err)
{
	struct views *views = request->database->views;
	struct json_slice name, key;
	size_t position = 0;
	int rc = 0;

	if (options->keys.len == 0)
		return views_read_place(views, request->group, (size_t)request->view, &options->range, place, err);
	*place = (struct view_place){0};
	if (!json_next(options->keys, &position, &name, &key))
		return views_read_place(views, request->group, (size_t)request->view, &options->range, place, err);
	do {
		struct view_range range = options->range;

		range.start = range.end = key;
		rc = views_read_place(views, request->group, (size_t)request->view, &range, place, err);
	} while (rc == 0 && !place->any && json_next(options->keys, &position, &name, &key));
	return rc;
}

static int write_head(struct request *request, const struct view_options *options, struct qosid_errbuf *err)
{
	struct writer *writer = request->writer;
	char sequence[API_SEQUENCE_SIZE];
	struct view_place place;
	int64_t at, offset;
	int rc = views_read_sequence(request->database->views, request->group, &at, err);

	if (rc != 0)
		return rc;
	api_format_sequence(request->database, at, sequence);
	writer_text(writer, "{");
	if (!view_options_reduces(options) && !options->unsorted) {
		rc = read_place(request, options, &place, err);
		if (rc != 0)
			return rc;
		offset = place.any ? place.before + options->range.skip : place.total;
		if (offset > place.total)
			offset = place.total;
		writer_format(writer, "\"total_rows\":%" PRId64 ",", place.total);
		if (options->update_seq)
			writer_format(writer, "\"update_seq\":\"%s\",", sequence);
		writer_format(writer, "\"offset\":%" PRId64 ",", offset);
	} else if (options->update_seq) {
		writer_format(writer, "\"update_seq\":\"%s\",", sequence);
	}
	writer_text(writer, "\"rows\":[\r\n");
	return 0;
}

static int write_result(struct request *request, const struct view_options *options, struct qosid_errbuf *err)
{
	bool keys = options->keys.len > 0;
	struct answer answer = {.request = request, .options = options, .left = INT64_MAX};
	int rc = write_head(request, options, err);

	if (keys) {
		answer.skip = options->range.skip;
		answer.left = options->range.limit < 0 ? INT64_MAX : options->range.limit;
	}
	if (rc == 0)
		rc = keys ? visit_keys(&answer, err) : visit_range(&answer, &options->range, err);
	writer_text(request->writer, "\r\n]}");
	replica_record_free(&answer.record);
	qosid_buf_free(&answer.id);
	return rc;
}

/* ---- a query, or several ---- */

struct query_list {
	struct view_options *items;
	size_t count;
	bool several;
};

static void free_queries(struct query_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		view_options_free(&list->items[i]);
	free(list->items);
}

static int add_query(
    struct request *request, struct query_list *list, bool with_url, struct json_slice object, struct qosid_errbuf *err)
{
	struct view_options *items = reallocarray(list->items, list->count + 1, sizeof(*items));
	struct view_options *options;
	bool has_reduce = request->group->functions[request->view].reducer != REDUCER_NONE;
	int rc = 0;

	if (!items)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	list->items = items;
	options = &items[list->count++];
	view_options_init(options, request->call, has_reduce);
	if (with_url)
		rc = view_options_read_query(options, err);
	if (rc == 0)
		rc = view_options_read_object(options, object, err);
	return rc != 0 ? rc : view_options_check(options, request->database->views, err);
}

static int read_queries(
    struct request *request, struct json_slice body, struct query_list *list, struct qosid_errbuf *err)
{
	struct json_slice queries, name, query;
	size_t position = 0;
	int rc = 0;

	if (!list->several)
		return add_query(request, list, true, body, err);
	if (json_slice_kind(body) != JSON_OBJECT || !json_find(body, "queries", &queries) ||
	    json_slice_kind(queries) != JSON_ARRAY)
		return reply_error(request->call, 400, "bad_request", "POST body must include `queries` parameter.");
	while (rc == 0 && json_next(queries, &position, &name, &query))
		rc = add_query(request, list, false, query, err);
	return rc;
}

/* Bring the index to where the queries want it; not ready: the call comes again. */
static int make_ready(struct request *request, const struct query_list *list, bool *ready, struct qosid_errbuf *err)
{
	const char *design = (const char *)request->design.data;
	bool wanted = false, reduces = false;

	for (size_t i = 0; i < list->count; i++) {
		bool fresh = list->items[i].freshness == VIEW_UPDATE;

		wanted = wanted || fresh;
		reduces = reduces || (fresh && view_options_reduces(&list->items[i]));
	}
	*ready = true;
	if (!wanted)
		return 0;
	return view_build_turn(request->database, request->group, reduces ? request->view : -1, design, ready, err);
}

/* update=lazy: what has been read is stale, and the next one's need not be. */
static int update_after(struct request *request, const struct query_list *list, struct qosid_errbuf *err)
{
	bool ready;

	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].freshness == VIEW_LAZY)
			return view_build_turn(
			    request->database, request->group, -1, (const char *)request->design.data, &ready, err);
	}
	return 0;
}

static int write_results(struct request *request, const struct query_list *list, struct qosid_errbuf *err)
{
	int rc = views_begin_read(request->database->views, err);

	if (rc != 0)
		return rc;
	if (list->several)
		writer_text(request->writer, "{\"results\":[\n");
	for (size_t i = 0; rc == 0 && i < list->count; i++) {
		writer_text(request->writer, i > 0 ? ",\n" : "");
		rc = write_result(request, &list->items[i], err);
	}
	writer_text(request->writer, list->several ? "\n]}\n" : "\n");
	views_end_read(request->database->views);
	return rc;
}

/* The answer changes with the index, and with the documents when it has them. */
static int set_etag(struct request *request, const struct query_list *list, struct qosid_errbuf *err)
{
	struct replica_info info;
	char etag[160];
	int64_t sequence;
	int rc = views_read_sequence(request->database->views, request->group, &sequence, err);

	if (rc == 0)
		rc = replica_read_info(request->database->replica, &info, err);
	if (rc != 0 || list->several || http_call_method(request->call) == HTTP_POST)
		return rc;
	(void)snprintf(etag, sizeof(etag), "\"%.32s-%.16s-%" PRIx64 "-%" PRIx64 "\"", request->group->signature,
	    request->database->instance, sequence, list->items[0].include_docs ? info.sequence : 0);
	return http_call_set_header(request->call, "ETag", etag, err);
}

static int answer_queries(struct request *request, bool several, struct qosid_errbuf *err)
{
	struct query_list list = {.several = several};
	struct qosid_buf text = {0};
	struct json_slice body = {"{}", 2};
	bool post = http_call_method(request->call) == HTTP_POST;
	bool ready = false;
	int rc = post ? request_need_json(request->call) : 0;

	if (rc == 0 && post)
		rc = request_read_object(request->call, &text, &body, err);
	if (rc == 0)
		rc = read_queries(request, body, &list, err);
	if (rc == 0)
		rc = make_ready(request, &list, &ready, err);
	if (rc == 0 && !ready) {
		http_call_again(request->call);
		goto out;
	}
	if (rc == 0)
		rc = set_etag(request, &list, err);
	if (rc == 0)
		rc = write_results(request, &list, err);
	if (rc == 0)
		rc = update_after(request, &list, err);
	if (rc < 0)
		rc = reply_failure(request->call, rc, err);
out:
	free_queries(&list);
	qosid_buf_wipe(&text);
	return rc;
}

static int answer_view(struct request *request, size_t rest, struct qosid_errbuf *err)
{
	const char *name = http_call_segment(request->call, rest + 1);
	const char *more = http_call_segment(request->call, rest + 2);
	struct writer writer = writer_begin(http_call_out(request->call), err);
	enum http_method method = http_call_method(request->call);
	bool several = more && strcmp(more, "queries") == 0;
	int rc;

	if (!name || (more && !several))
		return reply_missing(request->call, "missing");
	if (method != HTTP_POST && (several || (method != HTTP_GET && method != HTTP_HEAD)))
		return reply_method(request->call, several ? "POST" : "GET,HEAD,POST");
	request->view = view_group_find(request->group, name);
	if (request->view < 0)
		return reply_missing(request->call, "missing_named_view");
	request->writer = &writer;
	rc = answer_queries(request, several, err);
	if (rc != 0)
		writer.out = NULL; /* the error is the answer */
	if (writer_end(&writer) != 0 && rc == 0)
		rc = writer.rc;
	return rc;
}

/* ---- _info ---- */

static int answer_info(struct request *request, struct qosid_errbuf *err)
{
	struct api_database *database = request->database;
	struct writer writer = writer_begin(http_call_out(request->call), err);
	struct view_info info;
	int64_t pending, purged = 0;
	int rc = views_read_info(database->views, request->group, &info, err);

	if (http_call_method(request->call) != HTTP_GET && http_call_method(request->call) != HTTP_HEAD)
		return reply_method(request->call, "GET,HEAD");
	if (rc == 0)
		rc = replica_count_changes(database->replica, info.sequence, &pending, err);
	if (rc == 0)
		rc = replica_purge_sequence(database->replica, &purged, err);
	if (rc != 0)
		return rc;
	writer_text(&writer, "{\"name\":");
	writer_string(&writer, (const char *)request->design.data + strlen("_design/"));
	writer_format(&writer,
	    ",\"view_index\":{\"signature\":\"%s\",\"language\":\"javascript\",\"updater_running\":%s,"
	    "\"compact_running\":false,\"waiting_commit\":false,\"waiting_clients\":0,\"update_seq\":%" PRId64
	    ",\"purge_seq\":%" PRId64 ",\"sizes\":{\"file\":%" PRId64 ",\"external\":%" PRId64 ",\"active\":%" PRId64
	    "},\"updates_pending\":{\"total\":%" PRId64 ",\"preferred\":%" PRId64 ",\"minimum\":%" PRId64 "}}}\n",
	    request->group->signature, view_build_runs(database, request->group) ? "true" : "false", info.sequence,
	    purged, info.file, info.bytes, info.bytes, pending, pending, pending);
	return writer_end(&writer);
}

int api_view_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct request request = {.call = call, .database = database};
	size_t rest = 0;
	int rc = load_group(&request, &rest, err);

	if (rc == 0)
		rc = strcmp(http_call_segment(call, rest), "_info") == 0 ? answer_info(&request, err)
									 : answer_view(&request, rest, err);
	request_free(&request);
	return rc;
}

/* ---- housekeeping ---- */

struct signatures {
	char (*items)[VIEW_SIGNATURE_SIZE];
	size_t count;
};

static int add_signature(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct signatures *list = context;
	struct json_slice body = {(const char *)record->body.data, record->body.len};
	struct view_group *group;
	char(*items)[VIEW_SIGNATURE_SIZE];

	if (view_group_parse(&group, body, NULL) != 0)
		return 0; /* of another language, or without sense: it has no index */
	items = reallocarray(list->items, list->count + 1, sizeof(*items));
	if (items) {
		list->items = items;
		memcpy(list->items[list->count++], group->signature, VIEW_SIGNATURE_SIZE);
	}
	view_group_free(group);
	return items ? 0 : qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
}

int api_view_cleanup(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	static const struct replica_range designs = {.from = "_design/", .to = "_design/\xf4\x8f\xbf\xbf"};
	struct signatures list = {0};
	int rc = open_views(database, err);

	if (rc == 0)
		rc = replica_visit_documents(database->replica, &designs, add_signature, &list, err);
	if (rc == 0)
		rc = views_clean(database->views, (const char(*)[VIEW_SIGNATURE_SIZE])list.items, list.count, err);
	free(list.items);
	return rc != 0 ? reply_failure(call, rc, err) : 0;
}

int api_view_compact(
    struct http_call *call, struct api_database *database, struct json_slice design, struct qosid_errbuf *err)
{
	struct view_group *group = NULL;
	int rc = view_group_parse(&group, design, NULL);

	if (rc == QOSID_ERR_INVALID)
		return 0; /* it has no index */
	if (rc == 0)
		rc = open_views(database, err);
	if (rc == 0)
		rc = views_compact(database->views, group, err);
	view_group_free(group);
	return rc != 0 ? reply_failure(call, rc, err) : 0;
}
