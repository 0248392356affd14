/*
 * Choosing an index, and the part of it to walk.
 *
 * The rules are CouchDB's. An index is usable when every match must have all its fields (or the sort asks for them),
 * and when the sort's fields lead its columns, save for columns that the selector pins to one value. Partial indexes
 * are used only when asked for by use_index. Of the usable ones the index wins of whose columns the selector bounds
 * most, then the one with fewer columns, then by name. Bounds may be too wide, never too narrow: the selector decides
 * at last.
 */
#include <string.h>
#include <unicode/uchar.h>

#include "sync/replica/json_internal.h"
#include "sync/replica/mango_internal.h"

#define PREFIX_POINT_MAX 0xe00 /* from here on scripts collate vowels out of order */

static const char *column_name(const struct mango_index *index, size_t i)
{
	return index != NULL ? index->columns[i].text : "_id";
}

static size_t column_count(const struct mango_index *index)
{
	return index != NULL ? index->column_count : 1;
}

/* ---- which indexes will do ---- */

static bool is_sorted_by(const struct mango_query *query, const char *field)
{
	for (size_t i = 0; i < query->sort_count; i++) {
		if (strcmp(query->sort[i].text, field) == 0)
			return true;
	}
	return false;
}

static bool can_sort(const struct mango_query *query, const struct mango_index *index)
{
	size_t sorted = 0;

	for (size_t i = 0; i < column_count(index) && sorted < query->sort_count; i++) {
		const char *column = column_name(index, i);

		if (strcmp(column, query->sort[sorted].text) == 0)
			sorted++;
		else if (sorted > 0 || !mango_is_constant(query->selector->root, column))
			return false;
	}
	return sorted == query->sort_count;
}

bool mango_plan_is_usable(const struct mango_query *query, const struct mango_index *index)
{
	for (size_t i = 0; i < column_count(index); i++) {
		const char *column = column_name(index, i);

		if (strcmp(column, "_id") != 0 && strcmp(column, "_rev") != 0 && !is_sorted_by(query, column) &&
		    !mango_requires_field(query->selector->root, column))
			return false;
	}
	return can_sort(query, index);
}

static bool is_wished(const struct mango_query *query, const struct mango_index *index)
{
	return query->use_ddoc.len > 0 &&
	       strcmp((const char *)query->use_ddoc.data, (const char *)index->ddoc.data) == 0 &&
	       (query->use_name.len == 0 ||
		   strcmp((const char *)query->use_name.data, (const char *)index->name.data) == 0);
}

/* ---- bounds ---- */

static int narrow(struct mango_query *query, struct mango_range *range, bool low, struct json_slice bound, bool raw,
    struct qosid_errbuf *err)
{
	struct json_slice *current = low ? &range->low : &range->high;
	bool *has = low ? &range->has_low : &range->has_high;
	int order = low ? 1 : -1;
	int rc = 0;

	if (*has)
		rc = collate_compare(query->selector->collator, bound, *current, raw, &order, err);
	if (rc == 0 && (low ? order > 0 : order < 0)) {
		*current = bound;
		*has = true;
	}
	return rc;
}

/*
 * As much of a prefix as bounds the strings that begin with it. A letter and a combining mark can collate as another
 * letter, so what such a mark may follow is left out: the last letter, unless it is ASCII. From a mark on, and in
 * scripts that reorder letters, nothing can be used.
 */
static int cut_prefix(struct json_slice prefix, bool raw, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_points points = json_points_of(prefix);
	size_t last = 0; /* where the last letter begins */
	bool whole = true;
	uint32_t point = 0;
	int rc = 0;

	while (rc == 0 && whole && json_points_next(&points, &point)) {
		char utf8[4];

		whole = raw || (point < PREFIX_POINT_MAX && (U_GET_GC_MASK((UChar32)point) & U_GC_M_MASK) == 0);
		if (!whole)
			break;
		last = out->len;
		rc = qosid_buf_append(out, utf8, json_utf8_put(utf8, point), err);
	}
	if (rc == 0 && !raw && (!whole || point >= 0x80) && out->len > 0) {
		out->len = last;
		out->data[last] = '\0';
	}
	return rc;
}

/* Strings that begin with a prefix lie between it and itself with the highest letter behind. */
static int narrow_prefix(
    struct mango_query *query, struct mango_range *range, struct json_slice prefix, bool raw, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	struct json_slice low;
	struct json_slice high;
	size_t middle = 0;
	int rc = 0;

	if (range->made.len > 0)
		return 0; /* another prefix has made a bound already */
	rc = cut_prefix(prefix, raw, &text, err);
	if (rc == 0)
		rc = json_string_encode(&range->made, (const char *)text.data, text.len, err);
	middle = range->made.len;
	if (rc == 0)
		rc = qosid_buf_append_text(&text, raw ? "\xf4\x8f\xbf\xbf" : "\xef\xbf\xbf", err);
	if (rc == 0)
		rc = json_string_encode(&range->made, (const char *)text.data, text.len, err);
	low = (struct json_slice){(const char *)range->made.data, middle};
	high = (struct json_slice){(const char *)range->made.data + middle, range->made.len - middle};
	if (rc == 0)
		rc = narrow(query, range, true, low, raw, err);
	if (rc == 0)
		rc = narrow(query, range, false, high, raw, err);
	qosid_buf_free(&text);
	return rc;
}

/* Find what a selector says of one field, in its conjunctions only. */
static int find_range(struct mango_query *query, const struct mango_node *node, const char *field,
    struct mango_range *range, struct qosid_errbuf *err)
{
	const struct mango_node *condition = node->child;
	int rc = 0;

	if (node->op == MANGO_AND) {
		for (; rc == 0 && condition != NULL; condition = condition->next)
			rc = find_range(query, condition, field, range, err);
		return rc;
	}
	if (node->op != MANGO_FIELD || strcmp(node->path.text, field) != 0)
		return 0;
	switch (condition->op) {
	case MANGO_EQ:
		rc = narrow(query, range, true, condition->argument, node->raw, err);
		return rc != 0 ? rc : narrow(query, range, false, condition->argument, node->raw, err);
	case MANGO_GT:
	case MANGO_GTE:
		return narrow(query, range, true, condition->argument, node->raw, err);
	case MANGO_LT:
	case MANGO_LTE:
		return narrow(query, range, false, condition->argument, node->raw, err);
	case MANGO_BEGINS_WITH:
		return narrow_prefix(query, range, condition->argument, node->raw, err);
	default:
		return 0;
	}
}

static void free_ranges(struct mango_range ranges[MANGO_INDEX_FIELDS], size_t count)
{
	for (size_t i = 0; i < count; i++)
		qosid_buf_free(&ranges[i].made);
}

/* Ranges of the leading columns, up to the first that has none. */
static int find_ranges(struct mango_query *query, const struct mango_index *index,
    struct mango_range ranges[MANGO_INDEX_FIELDS], size_t *count, struct qosid_errbuf *err)
{
	int rc = 0;

	*count = 0;
	for (size_t i = 0; rc == 0 && i < column_count(index); i++) {
		struct mango_range *range = &ranges[i];

		*range = (struct mango_range){0};
		rc = find_range(query, query->selector->root, column_name(index, i), range, err);
		if (rc == 0 && !range->has_low && !range->has_high) {
			qosid_buf_free(&range->made);
			break;
		}
		++*count;
	}
	return rc;
}

/* ---- the choice ---- */

/* Whether a is the better index. Both are usable; bounded is the number of leading columns with bounds. */
static bool is_better(const struct mango_index *a, size_t bounded_a, const struct mango_index *b, size_t bounded_b)
{
	if (bounded_a != bounded_b)
		return bounded_a > bounded_b;
	return a->column_count < b->column_count; /* the list is in order of names */
}

static int choose(struct mango_query *query, bool wished_only, struct qosid_errbuf *err)
{
	struct mango_range ranges[MANGO_INDEX_FIELDS];
	size_t best_bounded = 0;
	size_t count;
	int rc = 0;

	query->chosen = query->indexes.count;
	for (size_t i = 0; rc == 0 && i < query->indexes.count; i++) {
		const struct mango_index *index = &query->indexes.items[i];

		if ((wished_only && !is_wished(query, index)) || (!wished_only && mango_index_is_partial(index)) ||
		    !mango_plan_is_usable(query, index))
			continue;
		rc = find_ranges(query, index, ranges, &count, err);
		free_ranges(ranges, count);
		if (rc == 0 && (query->chosen == query->indexes.count ||
				   is_better(index, count, &query->indexes.items[query->chosen], best_bounded))) {
			query->chosen = i;
			best_bounded = count;
		}
	}
	return rc;
}

static int no_usable_index(const struct mango_query *query, struct qosid_errbuf *err)
{
	if (query->sort_count > 0)
		return mango_refuse(
		    err, "no_usable_index", "No index exists for this sort, try indexing by the sort fields.");
	return mango_refuse(err, "no_usable_index", "There is no index available for this selector.");
}

/* ---- what to walk ---- */

/* The key of the leading columns' bounds. *open: a column without this bound has ended it. */
static int make_bound(struct mango_query *query, const struct mango_index *index, bool low, struct qosid_buf *out,
    struct qosid_errbuf *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < query->range_count; i++) {
		const struct mango_range *range = &query->ranges[i];

		if (low ? !range->has_low : !range->has_high)
			break;
		rc = collate_key(query->selector->collator, low ? range->low : range->high,
		    strcmp(column_name(index, i), "_id") == 0, out, err);
	}
	if (rc == 0 && !low)
		rc = qosid_buf_append_byte(out, COLLATE_KEY_MAX, err);
	return rc;
}

/* Document ids compare as text, so only strings bound them. */
static int make_id_bound(const struct mango_range *range, bool low, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_slice bound = low ? range->low : range->high;

	if (!(low ? range->has_low : range->has_high) || json_slice_kind(bound) != JSON_STRING)
		return 0;
	return json_string_decode(bound, out, err);
}

static int set_bounds(struct mango_query *query, struct qosid_errbuf *err)
{
	const struct mango_index *index = mango_query_index(query);
	int rc = find_ranges(query, index, query->ranges, &query->range_count, err);

	if (rc == 0 && index != NULL) {
		rc = make_bound(query, index, true, &query->low, err);
		return rc != 0 ? rc : make_bound(query, index, false, &query->high, err);
	}
	if (rc == 0 && query->range_count > 0)
		rc = make_id_bound(&query->ranges[0], true, &query->low, err);
	if (rc == 0 && query->range_count > 0)
		rc = make_id_bound(&query->ranges[0], false, &query->high, err);
	return rc;
}

void mango_plan_reset(struct mango_query *query)
{
	free_ranges(query->ranges, query->range_count);
	query->range_count = 0;
	mango_index_list_free(&query->indexes);
	query->chosen = 0;
	query->planned = false;
	query->wish_refused = false;
	qosid_buf_reset(&query->low);
	qosid_buf_reset(&query->high);
}

int mango_plan_choose(struct mango_query *query, struct qosid_errbuf *err)
{
	bool wish = query->use_ddoc.len > 0;
	int rc = 0;

	query->chosen = query->indexes.count;
	if (wish)
		rc = choose(query, true, err);
	if (rc == 0 && query->chosen == query->indexes.count) {
		query->wish_refused = wish;
		if (wish && !query->allow_fallback)
			return no_usable_index(query, err);
		rc = choose(query, false, err);
	}
	if (rc != 0)
		return rc;
	if (query->chosen == query->indexes.count && (!mango_plan_is_usable(query, NULL) || !query->allow_fallback))
		return no_usable_index(query, err);
	return set_bounds(query, err);
}
