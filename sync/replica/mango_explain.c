/*
 * _explain: what a query would do, in CouchDB's shape.
 */
#include <string.h>

#include "sync/replica/mango_internal.h"

/* Text on its way out: after the first error the other calls do nothing. */
struct writer {
	struct qosid_buf *out;
	struct qosid_errbuf *err;
	int rc;
};

static void put(struct writer *w, const char *text)
{
	if (w->rc == 0)
		w->rc = qosid_buf_append_text(w->out, text, w->err);
}

static void put_string(struct writer *w, const char *text)
{
	if (w->rc == 0)
		w->rc = json_string_encode(w->out, text, strlen(text), w->err);
}

static void put_number(struct writer *w, const char *name, int64_t number)
{
	if (w->rc == 0)
		w->rc = qosid_buf_append_format(w->out, w->err, ",\"%s\":%lld", name, (long long)number);
}

static void put_bool(struct writer *w, const char *name, bool value)
{
	if (w->rc == 0)
		w->rc = qosid_buf_append_format(w->out, w->err, ",\"%s\":%s", name, value ? "true" : "false");
}

static void put_fields(struct writer *w, const struct mango_query *q)
{
	put(w, ",\"fields\":");
	if (q->field_count == 0) {
		put(w, "\"all_fields\"");
		return;
	}
	for (size_t i = 0; i < q->field_count; i++) {
		put(w, i == 0 ? "[" : ",");
		put_string(w, q->fields[i].text);
	}
	put(w, "]");
}

static void put_wish(struct writer *w, const struct mango_query *q)
{
	put(w, "\"use_index\":[");
	if (q->use_ddoc.len > 0)
		put_string(w, (const char *)q->use_ddoc.data);
	if (q->use_name.len > 0) {
		put(w, ",");
		put_string(w, (const char *)q->use_name.data);
	}
	put(w, "],\"bookmark\":");
	if (q->bookmark.len > 0 && w->rc == 0)
		w->rc = qosid_buf_append(w->out, q->bookmark.text, q->bookmark.len, w->err);
	else
		put(w, "\"nil\"");
}

static void put_options(struct writer *w, const struct mango_query *q)
{
	put(w, ",\"opts\":{");
	put_wish(w, q);
	put_number(w, "limit", q->limit);
	put_number(w, "skip", q->skip);
	put(w, ",\"sort\":");
	if (w->rc == 0)
		w->rc = mango_sort_render(q->sort, q->sort_count, q->descending, w->out, w->err);
	put_fields(w, q);
	put(w, ",\"partition\":\"\"");
	put_number(w, "r", q->quorum);
	put_bool(w, "conflicts", q->conflicts);
	put_bool(w, "stale", false);
	put_bool(w, "update", q->update);
	put_bool(w, "stable", q->stable);
	put_bool(w, "execution_stats", q->execution_stats);
	put_bool(w, "allow_fallback", q->allow_fallback);
	put(w, "}");
}

static void put_key(struct writer *w, const struct mango_query *q, bool low)
{
	bool first = true;

	put(w, "[");
	for (size_t i = 0; i < q->range_count; i++) {
		const struct mango_range *range = &q->ranges[i];
		struct json_slice bound = low ? range->low : range->high;

		if (low ? !range->has_low : !range->has_high)
			break;
		put(w, first ? "" : ",");
		first = false;
		if (w->rc == 0)
			w->rc = qosid_buf_append(w->out, bound.text, bound.len, w->err);
	}
	if (!low)
		put(w, first ? "\"<MAX>\"" : ",\"<MAX>\"");
	put(w, "]");
}

/* Bounds over all documents are ids, not keys. */
static void put_id(struct writer *w, const struct qosid_buf *id, const char *otherwise)
{
	if (id->len == 0)
		put(w, otherwise);
	else if (w->rc == 0)
		w->rc = json_string_encode(w->out, (const char *)id->data, id->len, w->err);
}

static void put_bound(struct writer *w, const struct mango_query *q, bool low)
{
	if (mango_query_index(q) != NULL)
		put_key(w, q, low);
	else
		put_id(w, low ? &q->low : &q->high, low ? "null" : "\"\\ufff0\"");
}

static void put_walk(struct writer *w, const struct mango_query *q)
{
	put(w, ",\"mrargs\":{\"include_docs\":true,\"view_type\":\"map\",\"reduce\":false,\"partition\":null,\"start_"
	       "key\":");
	put_bound(w, q, !q->descending);
	put(w, ",\"end_key\":");
	put_bound(w, q, q->descending);
	put(w, q->descending ? ",\"direction\":\"rev\"" : ",\"direction\":\"fwd\"");
	put_bool(w, "stable", q->stable);
	put_bool(w, "update", q->update);
	put(w, ",\"conflicts\":");
	put(w, q->conflicts ? "true}" : "\"undefined\"}");
}

int mango_query_explain(
    const struct mango_query *query, const char *database, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct writer w = {.out = out, .err = err};

	put(&w, "{\"dbname\":");
	put_string(&w, database);
	put(&w, ",\"index\":");
	if (w.rc == 0)
		w.rc = mango_index_describe(mango_query_index(query), out, err);
	put(&w, ",\"partitioned\":\"undefined\",\"selector\":");
	if (w.rc == 0)
		w.rc = mango_selector_render(query->selector, out, err);
	put_options(&w, query);
	put_number(&w, "limit", query->limit);
	put_number(&w, "skip", query->skip);
	put_fields(&w, query);
	put(&w, ",\"index_candidates\":[],\"selector_hints\":[{\"type\":\"json\",\"indexable_fields\":[],"
		"\"unindexable_fields\":[]}]");
	put_walk(&w, query);
	put(&w, ",\"covering\":false}\n");
	return w.rc;
}
