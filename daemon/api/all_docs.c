/*
 * _all_docs, _design_docs, _local_docs: documents by id, in the order of the id's bytes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/render.h"
#include "daemon/api/store.h"
#include "sync/replica/replica_query.h"

enum list_kind { LIST_ALL, LIST_DESIGN, LIST_LOCAL };

/* Where a bound of any JSON type lies among ids, which are strings. */
enum bound_kind { BOUND_NONE, BOUND_BELOW, BOUND_TEXT, BOUND_ABOVE };
struct bound {
	enum bound_kind kind;
	struct qosid_buf text;
};

struct list {
	struct http_call *call;
	struct api_database *database;
	enum list_kind kind;
	struct bound start, end;
	bool exclusive_end;
	bool descending;
	bool include_docs;
	bool update_seq;
	struct render render;
	int64_t skip;
	int64_t limit; /* negative: all */
	bool has_keys;
	struct json_slice keys;
	struct qosid_buf keys_text;
	struct writer *writer;
	size_t rows;
};

static void list_free(struct list *list)
{
	qosid_buf_free(&list->start.text);
	qosid_buf_free(&list->end.text);
	qosid_buf_free(&list->keys_text);
}

/* ---- options ---- */

static int set_bound(struct bound *bound, struct json_slice value, struct qosid_errbuf *err)
{
	int rc;

	qosid_buf_reset(&bound->text);
	switch (json_slice_kind(value)) {
	case JSON_STRING:
		bound->kind = BOUND_TEXT;
		rc = qosid_buf_append_text(&bound->text, "", err); /* so that an empty text is a text */
		return rc != 0 ? rc : json_string_decode(value, &bound->text, err);
	case JSON_OBJECT:
	case JSON_ARRAY:
		bound->kind = BOUND_ABOVE;
		return 0;
	default:
		bound->kind = BOUND_BELOW;
		return 0;
	}
}

static int parse_failure(struct list *list, const char *form, const char *name)
{
	char reason[160];

	(void)snprintf(reason, sizeof(reason), "Invalid %s value for `%.60s`", form, name);
	return reply_error(list->call, 400, "query_parse_error", reason);
}

static int set_flag(struct list *list, const char *name, struct json_slice value, bool *flag)
{
	enum json_kind kind = json_slice_kind(value);

	if (kind != JSON_TRUE && kind != JSON_FALSE && !json_string_equal(value, "true") &&
	    !json_string_equal(value, "false"))
		return parse_failure(list, "boolean", name);
	*flag = kind == JSON_TRUE || json_string_equal(value, "true");
	return 0;
}

static int set_number(struct list *list, const char *name, struct json_slice value, int64_t *number)
{
	unsigned long long parsed;

	if (json_slice_kind(value) != JSON_NUMBER || json_parse_unsigned(value, INT64_MAX, &parsed, NULL) != 0)
		return parse_failure(list, "integer", name);
	*number = (int64_t)parsed;
	return 0;
}

static int set_keys(struct list *list, struct json_slice value, struct qosid_errbuf *err)
{
	int rc;

	if (json_slice_kind(value) != JSON_ARRAY)
		return reply_error(list->call, 400, "bad_request", "`keys` body member must be an array.");
	qosid_buf_reset(&list->keys_text);
	rc = qosid_buf_append(&list->keys_text, value.text, value.len, err);
	list->keys = (struct json_slice){(const char *)list->keys_text.data, value.len};
	list->has_keys = true;
	return rc;
}

/* One option by its name; what is none is passed over, as CouchDB does. */
static int set_option(struct list *list, const char *name, struct json_slice value, struct qosid_errbuf *err)
{
	bool flag = false;
	int rc = 0;

	if (strcmp(name, "key") == 0) {
		rc = set_bound(&list->start, value, err);
		return rc != 0 ? rc : set_bound(&list->end, value, err);
	}
	if (strcmp(name, "keys") == 0)
		return set_keys(list, value, err);
	if (strcmp(name, "startkey") == 0 || strcmp(name, "start_key") == 0)
		return set_bound(&list->start, value, err);
	if (strcmp(name, "endkey") == 0 || strcmp(name, "end_key") == 0)
		return set_bound(&list->end, value, err);
	if (strcmp(name, "descending") == 0)
		return set_flag(list, name, value, &list->descending);
	if (strcmp(name, "include_docs") == 0)
		return set_flag(list, name, value, &list->include_docs);
	if (strcmp(name, "update_seq") == 0)
		return set_flag(list, name, value, &list->update_seq);
	if (strcmp(name, "conflicts") == 0)
		return set_flag(list, name, value, &list->render.conflicts);
	if (strcmp(name, "att_encoding_info") == 0)
		return set_flag(list, name, value, &list->render.encoding);
	if (strcmp(name, "inclusive_end") == 0) {
		rc = set_flag(list, name, value, &flag);
		list->exclusive_end = !flag;
	} else if (strcmp(name, "attachments") == 0) {
		rc = set_flag(list, name, value, &flag);
		list->render.attachments = flag ? ATTACHMENTS_INLINE : ATTACHMENTS_STUBS;
	} else if (strcmp(name, "skip") == 0) {
		rc = set_number(list, name, value, &list->skip);
	} else if (strcmp(name, "limit") == 0) {
		rc = set_number(list, name, value, &list->limit);
	}
	return rc;
}

static int visit_query(void *context, const char *name, const char *value, struct qosid_errbuf *err)
{
	static const char *const json[] = {"key", "keys", "startkey", "start_key", "endkey", "end_key", "descending",
	    "include_docs", "update_seq", "conflicts", "inclusive_end", "attachments", "att_encoding_info", "skip",
	    "limit", NULL};
	struct list *list = context;
	struct json_slice slice = {value, strlen(value)};
	const char *const *known = json;

	while (*known && strcmp(*known, name) != 0)
		known++;
	if (!*known)
		return 0;
	if (json_check(value, slice.len, NULL) != 0)
		return reply_error(list->call, 400, known - json < 6 ? "bad_request" : "query_parse_error",
		    known - json < 6 ? "invalid UTF-8 JSON" : "Invalid value for a query parameter");
	return set_option(list, name, slice, err);
}

static int read_object_options(struct list *list, struct json_slice object, struct qosid_errbuf *err)
{
	struct json_slice name, value;
	struct qosid_buf text = {0};
	size_t position = 0;
	int rc = 0;

	if (json_slice_kind(object) != JSON_OBJECT)
		return reply_error(list->call, 400, "bad_request", "Request body must be a JSON object");
	while (rc == 0 && json_next(object, &position, &name, &value)) {
		qosid_buf_reset(&text);
		rc = json_string_decode(name, &text, err);
		if (rc == 0 && text.len > 0)
			rc = set_option(list, (const char *)text.data, value, err);
	}
	qosid_buf_free(&text);
	return rc;
}

/* ---- rows ---- */

static void begin_row(struct list *list)
{
	writer_text(list->writer, list->rows++ > 0 ? ",\n" : "");
}

static void write_row(struct list *list, const struct replica_record *record)
{
	struct writer *writer = list->writer;

	begin_row(list);
	writer_text(writer, "{\"id\":");
	writer_string(writer, (const char *)record->id.data);
	writer_text(writer, ",\"key\":");
	writer_string(writer, (const char *)record->id.data);
	writer_text(writer, ",\"value\":{\"rev\":");
	writer_revision(writer, &record->rev);
	writer_text(writer, record->deleted ? ",\"deleted\":true}" : "}");
	if (list->include_docs && record->deleted) {
		writer_text(writer, ",\"doc\":null");
	} else if (list->include_docs) {
		writer_text(writer, ",\"doc\":");
		render_document(writer, list->database, record, &list->render);
	}
	writer_text(writer, "}");
}

static int visit_row(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct list *list = context;

	(void)err; /* the writer's own */
	write_row(list, record);
	return list->writer->rc;
}

static int visit_local_row(void *context, const char *id, struct json_slice body, struct qosid_errbuf *err)
{
	struct list *list = context;
	struct writer *writer = list->writer;
	unsigned long long number = local_number(body);

	(void)err; /* the writer's own */
	begin_row(list);
	writer_text(writer, "{\"id\":");
	writer_string(writer, id);
	writer_text(writer, ",\"key\":");
	writer_string(writer, id);
	writer_format(writer, ",\"value\":{\"rev\":\"0-%llu\"}", number > 0 ? number : 1);
	if (list->include_docs) {
		writer_text(writer, ",\"doc\":");
		local_render(writer, id, body);
	}
	writer_text(writer, "}");
	return writer->rc;
}

/* The row of one wanted key, in _all_docs and _design_docs also of a deleted document. */
static int write_key(struct list *list, struct json_slice key, struct replica_record *record, struct qosid_buf *text,
    struct qosid_errbuf *err)
{
	struct qosid_buf body = {0};
	const char *id = "";
	int rc = 0;

	qosid_buf_reset(text);
	if (json_slice_kind(key) == JSON_STRING)
		rc = json_string_decode(key, text, err);
	if (rc == 0 && text->len > 0)
		id = (const char *)text->data;
	if (rc == 0 && list->kind == LIST_LOCAL) {
		rc = replica_read_local(list->database->replica, id, &body, err);
		if (rc == 0)
			rc = visit_local_row(list, id, (struct json_slice){(const char *)body.data, body.len}, err);
		qosid_buf_free(&body);
	} else if (rc == 0) {
		rc = list->include_docs ? replica_read_document(list->database->replica, id, NULL, record, err)
					: replica_read_head(list->database->replica, id, record, err);
		if (rc == QOSID_ERR_NOTFOUND && list->include_docs && record->id.len > 0 &&
		    strcmp((const char *)record->id.data, id) == 0 && record->deleted)
			rc = 0;
		if (rc == 0)
			write_row(list, record);
	}
	if (rc == QOSID_ERR_NOTFOUND) {
		rc = 0;
		begin_row(list);
		writer_text(list->writer, "{\"key\":");
		writer_slice(list->writer, key);
		writer_text(list->writer, ",\"error\":\"not_found\"}");
	}
	return rc;
}

static int write_keys(struct list *list, struct qosid_errbuf *err)
{
	struct replica_record record = {0};
	struct qosid_buf text = {0};
	struct json_slice name, key, *keys = NULL;
	size_t position = 0, count = 0;
	int64_t left = list->limit < 0 ? INT64_MAX : list->limit;
	int rc = 0;

	while (json_next(list->keys, &position, &name, &key))
		count++;
	if (!(keys = calloc(count + 1, sizeof(*keys))))
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	position = 0;
	for (size_t i = 0; json_next(list->keys, &position, &name, &key); i++)
		keys[list->descending ? count - 1 - i : i] = key;
	for (size_t i = (size_t)list->skip; rc == 0 && i < count && left > 0 && list->writer->rc == 0; i++, left--)
		rc = write_key(list, keys[i], &record, &text, err);
	free(keys);
	replica_record_free(&record);
	qosid_buf_free(&text);
	return rc;
}

/* ---- a range ---- */

static bool before(const char *a, const char *b, bool descending)
{
	return descending ? strcmp(a, b) > 0 : strcmp(a, b) < 0;
}

/* The page that the bounds mean within the list's own range; false when nothing can lie in it. */
static bool find_page(const struct list *list, struct replica_page *page)
{
	static const char *const low[] = {NULL, "_design/", "_local/"}, *const high[] = {NULL, "_design0", "_local0"};
	enum bound_kind empty_start = list->descending ? BOUND_BELOW : BOUND_ABOVE;
	enum bound_kind empty_end = list->descending ? BOUND_ABOVE : BOUND_BELOW;
	const char *first = list->descending ? high[list->kind] : low[list->kind];
	const char *last = list->descending ? low[list->kind] : high[list->kind];

	*page = (struct replica_page){.descending = list->descending,
	    .skip = list->skip,
	    .limit = list->limit,
	    .heads_only = !list->include_docs};
	if (list->start.kind == empty_start || list->end.kind == empty_end)
		return false;
	page->from = first;
	page->to = last;
	if (list->start.kind == BOUND_TEXT &&
	    (!first || before(first, (const char *)list->start.text.data, list->descending)))
		page->from = (const char *)list->start.text.data;
	if (list->end.kind == BOUND_TEXT &&
	    (!last || before((const char *)list->end.text.data, last, list->descending))) {
		page->to = (const char *)list->end.text.data;
		page->to_exclusive = list->exclusive_end;
	}
	return true;
}

static int write_range(struct list *list, const struct replica_page *page, struct qosid_errbuf *err)
{
	if (list->kind == LIST_LOCAL)
		return replica_visit_locals(list->database->replica, page, visit_local_row, list, err);
	return replica_visit_page(list->database->replica, page, visit_row, list, err);
}

/* How many documents the list has in all: of _all_docs from the counters, of _design_docs counted. */
static int count_all(struct list *list, int64_t *out, struct qosid_errbuf *err)
{
	struct replica_page first = {.from = "_design/"}, after = {.from = "_design0"};
	struct replica_info info;
	int64_t begin, end;
	int rc;

	if (list->kind == LIST_ALL) {
		rc = replica_read_info(list->database->replica, &info, err);
		*out = rc == 0 ? info.documents : 0;
		return rc;
	}
	rc = replica_count_before(list->database->replica, &first, &begin, err);
	if (rc == 0)
		rc = replica_count_before(list->database->replica, &after, &end, err);
	*out = rc == 0 ? end - begin : 0;
	return rc;
}

static int count_offset(
    struct list *list, const struct replica_page *page, int64_t total, int64_t *out, struct qosid_errbuf *err)
{
	struct replica_page design = {
	    .from = page->descending ? "_design0" : "_design/", .descending = page->descending};
	int64_t begin = 0;
	int rc = replica_count_before(list->database->replica, page, out, err);

	if (rc == 0 && list->kind == LIST_DESIGN)
		rc = replica_count_before(list->database->replica, &design, &begin, err);
	*out += list->skip - begin;
	if (*out > total)
		*out = total;
	return rc;
}

static int write_head(struct list *list, bool possible, const struct replica_page *page, struct qosid_errbuf *err)
{
	struct replica_info info;
	char sequence[API_SEQUENCE_SIZE];
	int64_t total, offset;
	int rc = 0;

	writer_text(list->writer, "{");
	if (list->update_seq) {
		rc = replica_read_info(list->database->replica, &info, err);
		if (rc != 0)
			return rc;
		api_format_sequence(list->database, info.sequence, sequence);
		writer_format(list->writer, "\"update_seq\":\"%s\",", sequence);
	}
	if (list->kind == LIST_LOCAL) {
		writer_text(list->writer, "\"total_rows\":null,\"offset\":null,\"rows\":[\n");
		return 0;
	}
	rc = count_all(list, &total, err);
	if (rc == 0 && !list->has_keys && possible)
		rc = count_offset(list, page, total, &offset, err);
	else
		offset = total;
	if (rc != 0)
		return rc;
	writer_format(list->writer, "\"total_rows\":%" PRId64, total);
	if (list->has_keys)
		writer_text(list->writer, ",\"offset\":null,\"rows\":[\n");
	else
		writer_format(list->writer, ",\"offset\":%" PRId64 ",\"rows\":[\n", offset);
	return 0;
}

static int write_list(struct list *list, struct qosid_errbuf *err)
{
	struct replica_page page;
	bool possible = find_page(list, &page);
	int rc = write_head(list, possible, &page, err);

	if (rc == 0 && list->has_keys)
		rc = write_keys(list, err);
	else if (rc == 0 && possible)
		rc = write_range(list, &page, err);
	writer_text(list->writer, "\n]}");
	return rc;
}

/* ---- routes ---- */

static int write_queries(struct list *defaults, struct json_slice body, struct qosid_errbuf *err)
{
	struct json_slice queries, name, query;
	size_t position = 0, count = 0;
	int rc = 0;

	if (json_slice_kind(body) != JSON_OBJECT || !json_find(body, "queries", &queries) ||
	    json_slice_kind(queries) != JSON_ARRAY)
		return reply_error(
		    defaults->call, 400, "query_parse_error", "POST body must include `queries` parameter.");
	writer_text(defaults->writer, "{\"results\":[\n");
	while (rc == 0 && json_next(queries, &position, &name, &query)) {
		struct list list = {.call = defaults->call,
		    .database = defaults->database,
		    .kind = defaults->kind,
		    .limit = -1,
		    .writer = defaults->writer};

		writer_text(list.writer, count++ > 0 ? ",\n" : "");
		rc = read_object_options(&list, query, err);
		if (rc == 0)
			rc = write_list(&list, err);
		list_free(&list);
	}
	writer_text(defaults->writer, "\n]}\n");
	return rc;
}

static int answer(struct list *list, bool queries, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	struct json_slice body = {"{}", 2};
	bool post = http_call_method(list->call) == HTTP_POST;
	int rc = post ? request_need_json(list->call) : 0;

	if (rc == 0 && post)
		rc = request_read_object(list->call, &text, &body, err);
	if (rc == 0)
		rc = http_call_visit_query(list->call, visit_query, list, err);
	if (rc == 0 && queries) {
		rc = write_queries(list, body, err);
	} else if (rc == 0) {
		rc = read_object_options(list, body, err);
		if (rc == 0)
			rc = write_list(list, err);
		writer_text(list->writer, "\n");
	}
	qosid_buf_wipe(&text);
	return rc;
}

int api_all_docs_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	const char *name = http_call_segment(call, 1), *second = http_call_segment(call, 2);
	struct writer writer = writer_begin(http_call_out(call), err);
	struct list list = {.call = call, .database = database, .limit = -1, .writer = &writer};
	enum http_method method = http_call_method(call);
	bool queries = second && strcmp(second, "queries") == 0;
	int rc;

	if (strcmp(name, "_design_docs") == 0)
		list.kind = LIST_DESIGN;
	else if (strcmp(name, "_local_docs") == 0)
		list.kind = LIST_LOCAL;
	if (second && !queries)
		return api_done(reply_missing(call, "missing"));
	if (method != HTTP_POST && (queries || (method != HTTP_GET && method != HTTP_HEAD)))
		return api_done(reply_method(call, queries ? "POST" : "GET,HEAD,POST"));
	rc = answer(&list, queries, err);
	if (rc != 0)
		writer.out = NULL; /* the error is the answer */
	if (writer_end(&writer) != 0 && rc == 0)
		rc = writer.rc;
	list_free(&list);
	return api_done(rc);
}
