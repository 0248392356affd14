/*
 * Queries: reading what a client asks, and bringing the index it will use up to date.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/replica/json_internal.h"
#include "sync/replica/mango_internal.h"

#define DEFAULT_LIMIT 25
#define FIELDS_MAX 200

/* ---- options ---- */

static int read_bool(struct json_slice value, bool *out, struct qosid_errbuf *err)
{
	enum json_kind kind = json_slice_kind(value);

	if (kind != JSON_TRUE && kind != JSON_FALSE)
		return mango_refuse_value(err, "invalid_boolean", value, "Invalid boolean value: ");
	*out = kind == JSON_TRUE;
	return 0;
}

static int read_number(struct json_slice value, int64_t min, int64_t *out, struct qosid_errbuf *err)
{
	unsigned long long number = 0;

	if (json_slice_kind(value) != JSON_NUMBER || json_parse_unsigned(value, INT64_MAX, &number, NULL) != 0 ||
	    (int64_t)number < min)
		return min > 0
			   ? mango_refuse_value(err, "invalid_pos_integer", value, "Not an integer greater than zero: ")
			   : mango_refuse_value(err, "invalid_non_neg_integer", value,
				 "Not an integer greater than or equal to zero: ");
	*out = (int64_t)number;
	return 0;
}

/* A field of "fields": a name, or {name: anything} as old clients write. */
static int read_field(struct json_slice item, struct mango_path *path, struct qosid_errbuf *err)
{
	if (json_slice_kind(item) != JSON_STRING || item.len <= 2)
		return mango_refuse_value(err, "invalid_field", item, "Invalid JSON for field spec: ");
	return mango_path_parse(path, item, err);
}

static int read_fields(struct mango_query *query, struct json_slice value, struct qosid_errbuf *err)
{
	struct json_slice name;
	struct json_slice item;
	size_t position = 0;
	size_t count = 0;
	int rc = 0;

	if (json_slice_kind(value) != JSON_ARRAY)
		return mango_refuse_value(err, "invalid_fields", value, "Fields must be an array of strings, not: ");
	while (json_next(value, &position, &name, &item))
		count++;
	if (count > FIELDS_MAX)
		return mango_refuse(err, "invalid_fields", "There are more than %d fields", FIELDS_MAX);
	query->fields = calloc(count + 1, sizeof(*query->fields));
	if (query->fields == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	position = 0;
	while (rc == 0 && json_next(value, &position, &name, &item)) {
		rc = read_field(item, &query->fields[query->field_count], err);
		query->field_count += rc == 0;
	}
	return rc;
}

static int bad_index_name(struct json_slice value, struct qosid_errbuf *err)
{
	return mango_refuse_value(err, "invalid_index_name", value, "Invalid index name: ");
}

/* "ddoc", "_design/ddoc" or "ddoc/name". */
static int read_index_text(struct mango_query *query, struct json_slice value, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	const char *begin;
	const char *slash;
	int rc = json_string_decode(value, &text, err);

	if (rc != 0)
		goto out;
	begin = (const char *)text.data;
	if (strncmp(begin, "_design/", 8) == 0)
		begin += 8;
	slash = strchr(begin, '/');
	if (*begin == '\0' || strlen(begin) != text.len - (size_t)(begin - (const char *)text.data)) {
		rc = bad_index_name(value, err);
		goto out;
	}
	rc = qosid_buf_append_format(
	    &query->use_ddoc, err, "_design/%.*s", slash ? (int)(slash - begin) : (int)strlen(begin), begin);
	if (rc == 0 && slash != NULL)
		rc = qosid_buf_append_text(&query->use_name, slash + 1, err);
out:
	qosid_buf_free(&text);
	return rc;
}

static int read_index(struct mango_query *query, struct json_slice value, struct qosid_errbuf *err)
{
	struct json_slice name;
	struct json_slice items[3];
	size_t position = 0;
	size_t count = 0;
	int rc;

	query->use_index = value;
	if (json_slice_kind(value) == JSON_NULL)
		return 0;
	if (json_slice_kind(value) == JSON_STRING)
		return read_index_text(query, value, err);
	if (json_slice_kind(value) != JSON_ARRAY)
		return bad_index_name(value, err);
	while (count < 3 && json_next(value, &position, &name, &items[count])) {
		if (json_slice_kind(items[count++]) != JSON_STRING)
			return bad_index_name(value, err);
	}
	if (count == 0)
		return 0;
	if (count > 2)
		return bad_index_name(value, err);
	rc = read_index_text(query, items[0], err);
	if (rc == 0 && count == 2) {
		qosid_buf_reset(&query->use_name);
		rc = json_string_decode(items[1], &query->use_name, err);
	}
	return rc;
}

static int read_string(struct json_slice value, struct json_slice *out, struct qosid_errbuf *err)
{
	if (json_slice_kind(value) != JSON_STRING)
		return mango_refuse_value(err, "invalid_string", value, "Invalid string: ");
	if (out != NULL)
		*out = value;
	return 0;
}

static int read_sort(struct mango_query *query, struct json_slice value, struct qosid_errbuf *err)
{
	return mango_sort_parse(value, query->sort, &query->sort_count, &query->descending, err);
}

static int read_stale(struct mango_query *query, struct json_slice value, struct qosid_errbuf *err)
{
	bool stale = true;
	int rc = 0;

	/* "ok" is what old clients say. */
	if (json_slice_kind(value) != JSON_STRING || !json_string_equal(value, "ok"))
		rc = read_bool(value, &stale, err);
	if (stale)
		query->update = false;
	return rc;
}

static int read_member(
    struct mango_query *query, struct json_slice name, struct json_slice value, struct qosid_errbuf *err)
{
	if (json_string_equal(name, "selector"))
		return mango_selector_parse(&query->selector, value, err);
	if (json_string_equal(name, "fields"))
		return read_fields(query, value, err);
	if (json_string_equal(name, "sort"))
		return read_sort(query, value, err);
	if (json_string_equal(name, "limit"))
		return read_number(value, 0, &query->limit, err);
	if (json_string_equal(name, "skip"))
		return read_number(value, 0, &query->skip, err);
	if (json_string_equal(name, "r"))
		return read_number(value, 1, &query->quorum, err);
	if (json_string_equal(name, "bookmark"))
		return read_string(value, &query->bookmark, err);
	if (json_string_equal(name, "use_index"))
		return read_index(query, value, err);
	if (json_string_equal(name, "conflicts"))
		return read_bool(value, &query->conflicts, err);
	if (json_string_equal(name, "update"))
		return read_bool(value, &query->update, err);
	if (json_string_equal(name, "stable"))
		return read_bool(value, &query->stable, err);
	if (json_string_equal(name, "stale"))
		return read_stale(query, value, err);
	if (json_string_equal(name, "execution_stats"))
		return read_bool(value, &query->execution_stats, err);
	if (json_string_equal(name, "allow_fallback"))
		return read_bool(value, &query->allow_fallback, err);
	if (json_string_equal(name, "partition"))
		return read_string(value, NULL, err);
	return mango_refuse(err, "invalid_key", "Invalid key %.*s for this request.",
	    json_shown(name.text + 1, name.len - 2, 100), name.text + 1);
}

int mango_query_parse(struct mango_query **out, struct json_slice body, struct qosid_errbuf *err)
{
	struct mango_query *query = calloc(1, sizeof(*query));
	struct json_slice text;
	struct json_slice name;
	struct json_slice value;
	size_t position = 0;
	int rc;

	*out = NULL;
	if (query == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	query->limit = DEFAULT_LIMIT;
	query->quorum = 1;
	query->update = true;
	query->allow_fallback = true;
	rc = qosid_buf_append(&query->text, body.text, body.len, err);
	text = (struct json_slice){(const char *)query->text.data, query->text.len};
	while (rc == 0 && json_next(text, &position, &name, &value))
		rc = read_member(query, name, value, err);
	if (rc == 0 && query->selector == NULL)
		rc = mango_refuse(err, "missing_required_key", "Missing required key: selector");
	if (rc != 0) {
		mango_query_free(query);
		return rc;
	}
	*out = query;
	return 0;
}

void mango_query_free(struct mango_query *query)
{
	if (query == NULL)
		return;
	mango_plan_reset(query);
	mango_selector_free(query->selector);
	for (size_t i = 0; i < query->field_count; i++)
		mango_path_free(&query->fields[i]);
	free(query->fields);
	for (size_t i = 0; i < query->sort_count; i++)
		mango_path_free(&query->sort[i]);
	qosid_buf_free(&query->use_ddoc);
	qosid_buf_free(&query->use_name);
	qosid_buf_free(&query->low);
	qosid_buf_free(&query->high);
	qosid_buf_wipe(&query->text);
	free(query);
}

/* ---- getting ready ---- */

const struct mango_index *mango_query_index(const struct mango_query *query)
{
	return query->chosen < query->indexes.count ? &query->indexes.items[query->chosen] : NULL;
}

static int plan(struct replica *replica, struct mango_query *query, struct qosid_errbuf *err)
{
	struct replica_info info;
	int rc = replica_read_info(replica, &info, err);

	mango_plan_reset(query);
	query->target = info.sequence;
	if (rc == 0)
		rc = mango_store_load(replica, &query->indexes, err);
	if (rc == 0)
		rc = mango_plan_choose(query, err);
	query->planned = rc == 0;
	return rc;
}

int mango_query_ready(struct replica *replica, struct mango_query *query, bool *ready, struct qosid_errbuf *err)
{
	struct mango_index *index;
	int rc = 0;

	*ready = false;
	if (!query->planned) {
		rc = mango_store_is_current(replica, ready, err);
		if (rc != 0 || !*ready)
			return rc;
		rc = plan(replica, query, err);
		if (rc != 0)
			return rc;
	}
	*ready = query->chosen == query->indexes.count;
	if (*ready)
		return 0;
	index = &query->indexes.items[query->chosen];
	rc = mango_store_sequence(replica, index->number, &index->sequence, err);
	if (index->sequence < 0)
		query->planned = false; /* dropped meanwhile: look again */
	*ready = query->planned && (!query->update || index->sequence >= query->target);
	return rc;
}

int mango_query_update(struct replica *replica, struct mango_query *query, struct qosid_errbuf *err)
{
	if (!query->planned)
		return mango_store_refresh(replica, err);
	if (query->chosen == query->indexes.count)
		return 0;
	return mango_store_update(replica, &query->indexes.items[query->chosen], err);
}
