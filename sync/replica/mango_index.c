/*
 * Index definitions: out of design documents, and into them.
 *
 * A design document of language "query" holds a view for each index: {"map":{"fields":{"a":"asc"},
 * "partial_filter_selector":{}},"reduce":"_count","options":{"def":{...}}}. That is CouchDB's own form, so definitions
 * replicate to and from it. What is not valid in a design document is no index; only a request is told why.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "sync/replica/json_internal.h"
#include "sync/replica/mango_internal.h"

#define INDEXES_MAX 1000   /* more definitions than this are not looked at */
#define AUTO_NAME_BYTES 20 /* as long as CouchDB's */

/* ---- lists ---- */

int mango_index_list_grow(struct mango_index_list *list, struct mango_index **out, struct qosid_errbuf *err)
{
	*out = NULL;
	if (list->count == list->capacity) {
		size_t capacity = list->capacity > 0 ? list->capacity * 2 : 8;
		struct mango_index *items = realloc(list->items, capacity * sizeof(*items));

		if (items == NULL) {
			(void)qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
			return QOSID_ERR_NOMEM;
		}
		list->items = items;
		list->capacity = capacity;
	}
	*out = &list->items[list->count++];
	**out = (struct mango_index){0};
	return 0;
}

void mango_index_list_cut(struct mango_index_list *list, size_t count)
{
	while (list->count > count) {
		struct mango_index *index = &list->items[--list->count];

		qosid_buf_free(&index->ddoc);
		qosid_buf_free(&index->name);
		qosid_buf_free(&index->fields);
		qosid_buf_free(&index->partial);
		for (size_t i = 0; i < index->column_count; i++)
			mango_path_free(&index->columns[i]);
		mango_selector_free(index->filter);
	}
}

void mango_index_list_free(struct mango_index_list *list)
{
	mango_index_list_cut(list, 0);
	free(list->items);
	*list = (struct mango_index_list){0};
}

bool mango_index_is_partial(const struct mango_index *index)
{
	return index->partial.len > 2;
}

static struct json_slice slice_of(const struct qosid_buf *buf)
{
	return (struct json_slice){(const char *)buf->data, buf->len};
}

static const char *text_of(const struct qosid_buf *buf)
{
	return buf->data != NULL ? (const char *)buf->data : "";
}

int mango_index_prepare(struct mango_index *index, struct qosid_errbuf *err)
{
	struct json_slice name;
	struct json_slice direction;
	size_t position = 0;
	int rc = 0;

	while (rc == 0 && json_next(slice_of(&index->fields), &position, &name, &direction)) {
		if (index->column_count == MANGO_INDEX_FIELDS)
			return mango_refuse(err, "invalid_index", "There are more than %u fields", MANGO_INDEX_FIELDS);
		rc = mango_path_parse(&index->columns[index->column_count], name, err);
		index->column_count += rc == 0;
	}
	if (rc == 0 && mango_index_is_partial(index))
		rc = mango_selector_parse(&index->filter, slice_of(&index->partial), err);
	return rc;
}

/* ---- out of design documents ---- */

/* fields as an object ({"a":"asc"}) or as a list, brought into the first form. */
static int normalise_fields(struct json_slice fields, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct mango_path paths[MANGO_INDEX_FIELDS];
	struct json_slice name;
	struct json_slice direction;
	struct qosid_buf list = {0};
	size_t position = 0;
	size_t count = 0;
	bool descending;
	int rc = 0;

	if (json_slice_kind(fields) == JSON_OBJECT) {
		rc = qosid_buf_append_byte(&list, '[', err);
		while (rc == 0 && json_next(fields, &position, &name, &direction))
			rc = qosid_buf_append_format(&list, err, "%s{%.*s:%.*s}", list.len > 1 ? "," : "",
			    (int)name.len, name.text, (int)direction.len, direction.text);
		if (rc == 0)
			rc = qosid_buf_append_byte(&list, ']', err);
		fields = slice_of(&list);
	}
	if (rc == 0)
		rc = mango_sort_parse(fields, paths, &count, &descending, err);
	if (rc == 0 && count == 0)
		rc = mango_refuse(err, "invalid_index", "An index needs at least one field.");
	if (rc == 0)
		rc = mango_sort_render(paths, count, descending, out, err);
	for (size_t i = 0; i < count; i++)
		mango_path_free(&paths[i]);
	qosid_buf_free(&list);
	return rc;
}

static int normalise_partial(struct json_slice partial, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct mango_selector *selector = NULL;
	int rc = mango_selector_parse(&selector, partial, err);

	if (rc == 0)
		rc = mango_selector_render(selector, out, err);
	mango_selector_free(selector);
	return rc;
}

/* One view of a design document of language "query". */
static int read_view(struct mango_index *index, struct json_slice view, struct qosid_errbuf *err)
{
	struct json_slice map;
	struct json_slice fields;
	struct json_slice partial = {"{}", 2};
	int rc;

	if (json_slice_kind(view) != JSON_OBJECT || !json_find(view, "map", &map) ||
	    json_slice_kind(map) != JSON_OBJECT || !json_find(map, "fields", &fields))
		return mango_refuse(err, "invalid_index", "Index is missing its definition.");
	/* Both may be absent; the second is what old versions of CouchDB have written. */
	if (!json_find(map, "partial_filter_selector", &partial))
		(void)json_find(map, "selector", &partial);
	rc = normalise_fields(fields, &index->fields, err);
	return rc != 0 ? rc : normalise_partial(partial, &index->partial, err);
}

static bool is_query_language(struct json_slice body)
{
	struct json_slice language;

	return json_find(body, "language", &language) && json_slice_kind(language) == JSON_STRING &&
	       json_string_equal(language, "query");
}

static int collect_document(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct mango_index_list *list = context;
	struct json_slice body = slice_of(&record->body);
	struct json_slice views;
	struct json_slice name;
	struct json_slice view;
	size_t position = 0;
	int rc = 0;

	if (!is_query_language(body) || !json_find(body, "views", &views) || json_slice_kind(views) != JSON_OBJECT)
		return 0;
	while (rc == 0 && list->count < INDEXES_MAX && json_next(views, &position, &name, &view)) {
		struct mango_index *index;

		rc = mango_index_list_grow(list, &index, err);
		if (rc == 0)
			rc = qosid_buf_append(&index->ddoc, record->id.data, record->id.len, err);
		if (rc == 0)
			rc = json_string_decode(name, &index->name, err);
		if (rc == 0)
			rc = read_view(index, view, err);
		if (rc == 0 && memchr(index->name.data, '\0', index->name.len) != NULL)
			rc = QOSID_ERR_INVALID;
		if (rc == QOSID_ERR_INVALID) {
			mango_index_list_cut(list, list->count - 1);
			rc = 0;
		}
	}
	return rc;
}

static int compare_indexes(const void *left, const void *right)
{
	const struct mango_index *a = left;
	const struct mango_index *b = right;
	int order = strcmp((const char *)a->ddoc.data, (const char *)b->ddoc.data);

	return order != 0 ? order : strcmp((const char *)a->name.data, (const char *)b->name.data);
}

int mango_index_collect(struct replica *replica, struct mango_index_list *list, struct qosid_errbuf *err)
{
	static const struct replica_range designs = {.from = "_design/", .to = "_design/\xf4\x8f\xbf\xbf"};
	int rc = replica_visit_documents(replica, &designs, collect_document, list, err);

	if (rc == 0 && list->count > 0)
		qsort(list->items, list->count, sizeof(*list->items), compare_indexes);
	return rc;
}

static int render_definition(const struct mango_index *index, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_slice name;
	struct json_slice direction;
	size_t position = 0;
	bool first = true;
	int rc = qosid_buf_append_text(out, "{\"ddoc\":", err);

	if (rc == 0)
		rc = json_string_encode(out, (const char *)index->ddoc.data, index->ddoc.len, err);
	if (rc == 0)
		rc = qosid_buf_append_text(out, ",\"name\":", err);
	if (rc == 0)
		rc = json_string_encode(out, (const char *)index->name.data, index->name.len, err);
	if (rc == 0)
		rc = qosid_buf_append_text(out, ",\"type\":\"json\",\"partitioned\":false,\"def\":{\"fields\":[", err);
	while (rc == 0 && json_next(slice_of(&index->fields), &position, &name, &direction)) {
		rc = qosid_buf_append_format(out, err, "%s{%.*s:%.*s}", first ? "" : ",", (int)name.len, name.text,
		    (int)direction.len, direction.text);
		first = false;
	}
	if (rc == 0)
		rc = qosid_buf_append_text(out, "]", err);
	if (rc == 0 && mango_index_is_partial(index))
		rc = qosid_buf_append_format(
		    out, err, ",\"partial_filter_selector\":%s", (const char *)index->partial.data);
	return rc != 0 ? rc : qosid_buf_append_text(out, "}}", err);
}

int mango_index_describe(const struct mango_index *index, struct qosid_buf *out, struct qosid_errbuf *err)
{
	if (index == NULL)
		return qosid_buf_append_text(out,
		    "{\"ddoc\":null,\"name\":\"_all_docs\",\"type\":\"special\",\"def\":{\"fields\":[{\"_id\":\"asc\"}]"
		    "}}",
		    err);
	return render_definition(index, out, err);
}

int mango_index_list(
    struct replica *replica, int64_t limit, int64_t skip, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct mango_index_list list = {0};
	int rc = mango_index_collect(replica, &list, err);
	int64_t total = (int64_t)list.count + 1;
	bool first = true;

	if (rc == 0)
		rc = qosid_buf_append_format(out, err, "\"total_rows\":%lld,\"indexes\":[", (long long)total);
	for (int64_t i = skip; rc == 0 && i < total && (limit < 0 || i - skip < limit); i++) {
		if (!first)
			rc = qosid_buf_append_byte(out, ',', err);
		first = false;
		if (rc == 0)
			rc = mango_index_describe(i == 0 ? NULL : &list.items[i - 1], out, err);
	}
	if (rc == 0)
		rc = qosid_buf_append_byte(out, ']', err);
	mango_index_list_free(&list);
	return rc;
}

/* ---- requests ---- */

void mango_index_request_free(struct mango_index_request *request)
{
	qosid_buf_free(&request->ddoc);
	qosid_buf_free(&request->name);
	qosid_buf_free(&request->fields);
	qosid_buf_free(&request->partial);
	qosid_buf_free(&request->def);
}

static int parse_string(struct json_slice value, struct qosid_buf *out, struct qosid_errbuf *err)
{
	int rc;

	if (json_slice_kind(value) != JSON_STRING || value.len <= 2)
		return mango_refuse_value(err, "invalid_string", value, "Invalid string: ");
	rc = json_string_decode(value, out, err);
	if (rc == 0 && memchr(out->data, '\0', out->len) != NULL)
		rc = mango_refuse_value(err, "invalid_string", value, "Invalid string: ");
	return rc;
}

static int parse_type(struct json_slice value, struct qosid_errbuf *err)
{
	struct qosid_buf type = {0};
	int rc = parse_string(value, &type, err);

	if (rc == 0 && strcmp(text_of(&type), "text") == 0) {
		(void)mango_refuse(err, "required index service unavailable", "text");
		if (err != NULL)
			err->code = QOSID_ERR_BUSY;
		rc = QOSID_ERR_BUSY;
	} else if (rc == 0 && strcmp(text_of(&type), "json") != 0) {
		rc = mango_refuse(err, "invalid_index", "Invalid type for index: %s", text_of(&type));
	}
	qosid_buf_free(&type);
	return rc;
}

static int parse_partitioned(struct json_slice value, struct qosid_errbuf *err)
{
	switch (json_slice_kind(value)) {
	case JSON_FALSE:
		return 0;
	case JSON_TRUE:
		return mango_refuse(err, "invalid_partitioned_option",
		    "Partitioned indexes are not supported on non-partitioned database.");
	default:
		return mango_refuse_value(err, "invalid_boolean", value, "Invalid boolean value: ");
	}
}

static int parse_def(struct mango_index_request *request, struct json_slice def, struct qosid_errbuf *err)
{
	struct json_slice fields = {0};
	struct json_slice partial = {"{}", 2};
	struct json_slice name;
	struct json_slice value;
	size_t position = 0;
	int rc;

	while (json_next(def, &position, &name, &value)) {
		if (json_string_equal(name, "fields"))
			fields = value;
		else if (json_string_equal(name, "partial_filter_selector"))
			partial = value;
		else
			return mango_refuse(err, "invalid_key", "Invalid key %.*s for this request.",
			    json_shown(name.text + 1, name.len - 2, 100), name.text + 1);
	}
	if (fields.len == 0)
		return mango_refuse(err, "missing_required_key", "Missing required key: fields");
	if (json_slice_kind(fields) != JSON_ARRAY)
		return mango_refuse_value(
		    err, "invalid_sort_json", fields, "Sort must be an array of sort specs, not: ");
	rc = qosid_buf_append(&request->def, def.text, def.len, err);
	if (rc == 0)
		rc = normalise_fields(fields, &request->fields, err);
	return rc != 0 ? rc : normalise_partial(partial, &request->partial, err);
}

static int parse_request_member(struct mango_index_request *request, struct json_slice name, struct json_slice value,
    bool *has_index, struct qosid_errbuf *err)
{
	if (json_string_equal(name, "index")) {
		*has_index = true;
		if (json_slice_kind(value) != JSON_OBJECT)
			return mango_refuse_value(err, "invalid_object", value, "JSON object expected, not: ");
		return parse_def(request, value, err);
	}
	if (json_string_equal(name, "type"))
		return parse_type(value, err);
	if (json_string_equal(name, "name"))
		return parse_string(value, &request->name, err);
	if (json_string_equal(name, "ddoc"))
		return parse_string(value, &request->ddoc, err);
	if (json_string_equal(name, "partitioned"))
		return parse_partitioned(value, err);
	if (json_string_equal(name, "w"))
		return json_parse_unsigned(value, INT32_MAX, &(unsigned long long){0}, NULL) == 0
			   ? 0
			   : mango_refuse_value(
				 err, "invalid_pos_integer", value, "Not an integer greater than zero: ");
	return mango_refuse(err, "invalid_key", "Invalid key %.*s for this request.",
	    json_shown(name.text + 1, name.len - 2, 100), name.text + 1);
}

/* A name that depends on nothing but the request, so that asking twice makes one index. */
static int complete_names(struct mango_index_request *request, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	uint8_t hash[AUTO_NAME_BYTES];
	char name[AUTO_NAME_BYTES * 2 + 1];
	int rc = qosid_buf_append_format(&text, err, "%s\n%s\n%.*s\n%.*s", (const char *)request->fields.data,
	    (const char *)request->partial.data, (int)request->ddoc.len, (const char *)request->ddoc.data,
	    (int)request->name.len, (const char *)request->name.data);

	if (rc != 0)
		goto out;
	(void)crypto_generichash(hash, sizeof(hash), text.data, text.len, NULL, 0); /* fails on a bad length only */
	(void)sodium_bin2hex(name, sizeof(name), hash, sizeof(hash));
	if (request->name.len == 0)
		rc = qosid_buf_append_text(&request->name, name, err);
	qosid_buf_reset(&text);
	if (rc == 0 && (request->ddoc.len == 0 || strncmp((const char *)request->ddoc.data, "_design/", 8) != 0))
		rc = qosid_buf_append_text(&text, "_design/", err);
	if (rc == 0)
		rc = request->ddoc.len > 0 ? qosid_buf_append(&text, request->ddoc.data, request->ddoc.len, err)
					   : qosid_buf_append_text(&text, name, err);
	if (rc == 0) {
		qosid_buf_free(&request->ddoc);
		request->ddoc = text;
		return 0;
	}
out:
	qosid_buf_free(&text);
	return rc;
}

int mango_index_request_parse(struct mango_index_request *request, struct json_slice body, struct qosid_errbuf *err)
{
	struct json_slice name;
	struct json_slice value;
	size_t position = 0;
	bool has_index = false;
	int rc = 0;

	while (rc == 0 && json_next(body, &position, &name, &value))
		rc = parse_request_member(request, name, value, &has_index, err);
	if (rc == 0 && !has_index)
		rc = mango_refuse(err, "missing_required_key", "Missing required key: index");
	return rc != 0 ? rc : complete_names(request, err);
}

/* ---- into design documents ---- */

static int append_member(
    struct qosid_buf *out, struct json_slice name, struct json_slice value, struct qosid_errbuf *err)
{
	int rc = out->len > 0 ? qosid_buf_append_byte(out, ',', err) : 0;

	if (rc == 0)
		rc = qosid_buf_append(out, name.text, name.len, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(out, ':', err);
	return rc != 0 ? rc : qosid_buf_append(out, value.text, value.len, err);
}

/* Copy all members but those named. */
static int copy_members(
    struct qosid_buf *out, struct json_slice object, const char *but, const char *nor, struct qosid_errbuf *err)
{
	struct json_slice name;
	struct json_slice value;
	size_t position = 0;
	int rc = 0;

	while (rc == 0 && object.len > 0 && json_next(object, &position, &name, &value)) {
		if (!json_string_equal(name, but) && !json_string_equal(name, nor))
			rc = append_member(out, name, value, err);
	}
	return rc;
}

/* Put a design document together: other members, language, views. */
static int write_design(
    struct json_slice current, const struct qosid_buf *views, struct qosid_buf *body, struct qosid_errbuf *err)
{
	struct qosid_buf members = {0};
	int rc = copy_members(&members, current, "language", "views", err);

	if (rc == 0)
		rc = qosid_buf_append_format(body, err, "{%.*s%s\"language\":\"query\",\"views\":{%.*s}}",
		    (int)members.len, (const char *)members.data, members.len > 0 ? "," : "", (int)views->len,
		    (const char *)views->data);
	qosid_buf_free(&members);
	return rc;
}

static int check_language(struct json_slice current, struct qosid_errbuf *err)
{
	struct json_slice language;

	if (current.len == 0 || !json_find(current, "language", &language) || is_query_language(current))
		return 0;
	return mango_refuse_value(err, "invalid_ddoc_lang", language, "Existing design doc has an invalid language: ");
}

static int is_same_index(
    const struct mango_index_request *request, struct json_slice view, bool *same, struct qosid_errbuf *err)
{
	struct mango_index index = {0};
	int rc = read_view(&index, view, err);

	*same = rc == 0 && strcmp(text_of(&index.fields), text_of(&request->fields)) == 0 &&
		strcmp(text_of(&index.partial), text_of(&request->partial)) == 0;
	qosid_buf_free(&index.fields);
	qosid_buf_free(&index.partial);
	return rc == QOSID_ERR_INVALID ? 0 : rc;
}

int mango_index_insert(const struct mango_index_request *request, struct json_slice current, bool *exists,
    struct qosid_buf *body, struct qosid_errbuf *err)
{
	const char *name = (const char *)request->name.data;
	struct qosid_buf members = {0};
	struct json_slice views = {0};
	struct json_slice view;
	int rc = check_language(current, err);

	*exists = false;
	if (rc == 0 && current.len > 0 && json_find(current, "views", &views) && json_slice_kind(views) != JSON_OBJECT)
		views.len = 0;
	if (rc == 0 && views.len > 0 && json_find(views, name, &view))
		rc = is_same_index(request, view, exists, err);
	if (rc != 0 || *exists)
		return rc;
	rc = copy_members(&members, views, name, name, err);
	if (rc == 0 && members.len > 0)
		rc = qosid_buf_append_byte(&members, ',', err);
	if (rc == 0)
		rc = json_string_encode(&members, name, request->name.len, err);
	if (rc == 0)
		rc = qosid_buf_append_format(&members, err,
		    ":{\"map\":{\"fields\":%s,\"partial_filter_selector\":%s},\"reduce\":\"_count\","
		    "\"options\":{\"def\":%s}}",
		    (const char *)request->fields.data, (const char *)request->partial.data,
		    (const char *)request->def.data);
	if (rc == 0)
		rc = write_design(current, &members, body, err);
	qosid_buf_free(&members);
	return rc;
}

int mango_index_remove(
    struct json_slice current, const char *name, bool *empty, struct qosid_buf *body, struct qosid_errbuf *err)
{
	struct qosid_buf members = {0};
	struct json_slice views;
	struct json_slice view;
	int rc;

	if (!is_query_language(current) || !json_find(current, "views", &views) ||
	    json_slice_kind(views) != JSON_OBJECT || !json_find(views, name, &view))
		return qosid_error(err, QOSID_ERR_NOTFOUND, "missing");
	rc = copy_members(&members, views, name, name, err);
	*empty = members.len == 0;
	if (rc == 0 && !*empty)
		rc = write_design(current, &members, body, err);
	qosid_buf_free(&members);
	return rc;
}
