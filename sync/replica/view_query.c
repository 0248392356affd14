/*
 * Reading: ranges of rows, their place, and their reductions.
 *
 * A range becomes a span of positions once; all reading is a walk between two positions. Keys of one group of
 * group_level are a span as well: those that begin with the sort keys of the same elements.
 */
#include <string.h>

#include "sync/replica/view_internal.h"

static const uint8_t above_all[] = {COLLATE_KEY_MAX};

static struct json_slice slice_of(const struct qosid_buf *buf)
{
	return (struct json_slice){buf->data != NULL ? (const char *)buf->data : "", buf->len};
}

static int order(struct json_slice a, struct json_slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int rc = len > 0 ? memcmp(a.text, b.text, len) : 0;

	return rc != 0 ? rc : (a.len > b.len) - (a.len < b.len);
}

/* ---- from a range to a span ---- */

enum edge { EDGE_BEFORE, EDGE_BEHIND };

/* The position before or behind the rows of a key, or those of a key and a document. An id is followed by a zero byte
 * in positions, and by nothing greater than 0xf4 in a longer id. */
static int append_edge(struct views *views, struct json_slice key, const char *id, enum edge edge,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	int rc = collate_key(views->collator, key, false, out, err);

	if (rc == 0 && id != NULL)
		rc = qosid_buf_append_text(out, id, err);
	if (rc == 0 && edge == EDGE_BEHIND)
		rc = qosid_buf_append_byte(out, id != NULL ? 1 : COLLATE_KEY_MAX, err);
	return rc;
}

static int make_span(
    struct views *views, const struct view_range *range, struct view_span *span, struct qosid_errbuf *err)
{
	struct qosid_buf *first = range->descending ? &span->to : &span->from;
	struct qosid_buf *last = range->descending ? &span->from : &span->to;
	bool end_behind = range->descending == range->exclusive_end;
	int rc = 0;

	if (range->start.len > 0)
		rc = append_edge(
		    views, range->start, range->start_id, range->descending ? EDGE_BEHIND : EDGE_BEFORE, first, err);
	if (rc == 0 && range->end.len > 0)
		rc = append_edge(views, range->end, range->end_id, end_behind ? EDGE_BEHIND : EDGE_BEFORE, last, err);
	if (rc == 0 && span->to.len == 0)
		rc = qosid_buf_append(&span->to, above_all, sizeof(above_all), err);
	return rc;
}

int views_check_range(struct views *views, const struct view_range *range, bool *possible, struct qosid_errbuf *err)
{
	int difference = 0;
	int rc = 0;

	*possible = true;
	if (range->start.len == 0 || range->end.len == 0)
		return 0;
	rc = collate_compare(views->collator, range->start, range->end, false, &difference, err);
	if (rc == 0 && difference == 0 && range->start_id != NULL && range->end_id != NULL)
		difference = strcmp(range->start_id, range->end_id);
	*possible = range->descending ? difference >= 0 : difference <= 0;
	return rc;
}

/* ---- rows ---- */

static int open_rows(struct views *views, int64_t number, struct json_slice from, struct json_slice to,
    const struct view_range *range, sqlite3_stmt **out, struct qosid_errbuf *err)
{
	const char *sql = range->descending
			      ? "SELECT id, key, value FROM row WHERE view = ?1 AND position >= ?2 AND position < ?3"
				" ORDER BY position DESC LIMIT ?4 OFFSET ?5"
			      : "SELECT id, key, value FROM row WHERE view = ?1 AND position >= ?2 AND position < ?3"
				" ORDER BY position LIMIT ?4 OFFSET ?5";

	return view_prepare(
	    views, sql, out, err, "ibbii", number, from.text, from.len, to.text, to.len, range->limit, range->skip);
}

static struct view_row row_of(sqlite3_stmt *row)
{
	return (struct view_row){(const char *)sqlite3_column_text(row, 0), view_column(row, 1), view_column(row, 2)};
}

int views_visit_rows(struct views *views, const struct view_group *group, size_t view, const struct view_range *range,
    view_visit_fn visit, void *context, struct qosid_errbuf *err)
{
	struct view_index index;
	struct view_span span = {0};
	sqlite3_stmt *row = NULL;
	int rc = view_find_index(views, group, &index, err);

	if (rc == 0)
		rc = make_span(views, range, &span, err);
	if (rc == 0)
		rc = open_rows(
		    views, view_number(&index, view), slice_of(&span.from), slice_of(&span.to), range, &row, err);
	while (rc == 0 && (rc = view_step(views, row, err)) == 1) {
		struct view_row found = row_of(row);

		rc = visit(context, &found, err);
	}
	sqlite3_finalize(row);
	view_span_free(&span);
	return rc;
}

/* ---- place ---- */

static int read_total(struct views *views, int64_t number, int64_t *out, struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int rc = view_prepare(views, "SELECT rows FROM view WHERE number = ?1", &row, err, "i", number);

	*out = 0;
	if (rc == 0)
		rc = view_step(views, row, err);
	if (rc == 1)
		*out = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	return rc < 0 ? rc : 0;
}

int views_read_place(struct views *views, const struct view_group *group, size_t view, const struct view_range *range,
    struct view_place *out, struct qosid_errbuf *err)
{
	struct view_range one = {.limit = 1};
	struct view_index index;
	struct view_span span = {0};
	sqlite3_stmt *row = NULL;
	int64_t number;
	int64_t below;
	int rc = view_find_index(views, group, &index, err);

	*out = (struct view_place){0};
	number = view_number(&index, view);
	if (rc == 0)
		rc = read_total(views, number, &out->total, err);
	if (rc == 0)
		rc = make_span(views, range, &span, err);
	if (rc == 0)
		rc = open_rows(views, number, slice_of(&span.from), slice_of(&span.to), &one, &row, err);
	if (rc == 0)
		rc = view_step(views, row, err);
	out->any = rc == 1;
	sqlite3_finalize(row);
	if (rc < 0 || !out->any)
		goto out;
	rc = view_block_count(views, &index, number, slice_of(range->descending ? &span.to : &span.from), &below, err);
	if (rc == 0)
		out->before = range->descending ? out->total - below : below;
out:
	view_span_free(&span);
	return rc < 0 ? rc : 0;
}

/* ---- reductions ---- */

struct reading {
	struct views *views;
	struct view_index index;
	int64_t number;
	struct view_fold fold;
};

static int fold_rows(struct reading *r, struct json_slice from, struct json_slice to, struct qosid_errbuf *err)
{
	struct view_range all = {.limit = -1};
	sqlite3_stmt *row = NULL;
	int rc = open_rows(r->views, r->number, from, to, &all, &row, err);

	while (rc == 0 && (rc = view_step(r->views, row, err)) == 1) {
		struct view_row found = row_of(row);

		rc = view_fold_row(&r->fold, &found, err);
	}
	sqlite3_finalize(row);
	return rc;
}

/* A block from start to end, of which the span from..to is wanted. */
static int fold_block(struct reading *r, const struct qosid_buf *start, const struct qosid_buf *end,
    const struct qosid_buf *reduction, struct json_slice from, struct json_slice to, struct qosid_errbuf *err)
{
	struct json_slice low = slice_of(start);
	struct json_slice high = slice_of(end);

	if (reduction->len > 0 && order(low, from) >= 0 && order(high, to) <= 0)
		return view_fold_value(&r->fold, slice_of(reduction), err);
	return fold_rows(r, order(low, from) > 0 ? low : from, order(high, to) < 0 ? high : to, err);
}

static int copy_column(sqlite3_stmt *row, int column, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_slice text = view_column(row, column);

	qosid_buf_reset(out);
	return qosid_buf_append(out, text.text != NULL ? text.text : "", text.len, err);
}

/* Blocks from the one that from lies in. A block ends where the next one starts, so one is kept back until the next is
 * seen; the last one ends above all, as far as to reaches: it is whole only if to does so too. */
static int fold_blocks(struct reading *r, struct json_slice from, struct json_slice to, struct qosid_errbuf *err)
{
	struct qosid_buf start = {0};
	struct qosid_buf next = {0};
	struct qosid_buf reduction = {0};
	sqlite3_stmt *row = NULL;
	bool has = false;
	int rc = view_prepare(r->views,
	    "SELECT start, reduction FROM block WHERE view = ?1 AND start >="
	    " (SELECT max(start) FROM block WHERE view = ?1 AND start <= ?2) AND start < ?3 ORDER BY start",
	    &row, err, "ibb", r->number, from.text, from.len, to.text, to.len);

	while (rc == 0 && (rc = view_step(r->views, row, err)) == 1) {
		rc = copy_column(row, 0, &next, err);
		if (rc == 0 && has)
			rc = fold_block(r, &start, &next, &reduction, from, to, err);
		struct qosid_buf swap = start;
		start = next;
		next = swap;
		if (rc == 0)
			rc = copy_column(row, 1, &reduction, err);
		has = true;
	}
	sqlite3_finalize(row);
	qosid_buf_reset(&next);
	if (rc == 0)
		rc = qosid_buf_append(&next, above_all, sizeof(above_all), err);
	if (rc == 0 && has)
		rc = fold_block(r, &start, &next, &reduction, from, to, err);
	qosid_buf_free(&start);
	qosid_buf_free(&next);
	qosid_buf_wipe(&reduction);
	return rc;
}

static int reduce_span(struct reading *r, struct json_slice from, struct json_slice to, bool *any,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	int rc = r->index.blocks ? fold_blocks(r, from, to, err) : fold_rows(r, from, to, err);

	return rc != 0 ? rc : view_fold_end(&r->fold, true, any, out, err);
}

/* ---- groups ---- */

/* The key of a row's group, and the span of its rows. */
static int find_group(struct reading *r, struct json_slice key, int64_t level, struct qosid_buf *group,
    struct view_span *span, struct qosid_errbuf *err)
{
	struct json_slice name;
	struct json_slice element;
	size_t position = 0;
	int64_t count = 0;
	int rc;

	qosid_buf_reset(group);
	qosid_buf_reset(&span->from);
	qosid_buf_reset(&span->to);
	if (level > 0 && json_slice_kind(key) == JSON_ARRAY) {
		while (count < level && json_next(key, &position, &name, &element))
			count++;
	}
	rc = qosid_buf_append(group, key.text, count < level || level < 0 ? key.len : position, err);
	if (rc == 0 && level > 0 && count == level)
		rc = qosid_buf_append_byte(group, ']', err);
	if (rc == 0)
		rc = collate_key(r->views->collator, slice_of(group), false, &span->from, err);
	if (rc == 0 && level > 0 && count == level)
		qosid_buf_cut(&span->from, span->from.len - 1); /* the end of the array: longer ones belong here too */
	if (rc == 0)
		rc = qosid_buf_append(&span->to, span->from.data, span->from.len, err);
	return rc != 0 ? rc : qosid_buf_append_byte(&span->to, COLLATE_KEY_MAX, err);
}

struct grouping {
	int64_t level;
	struct qosid_buf key;
	struct view_span group;
	struct qosid_buf value;
	view_visit_fn visit;
	void *context;
};

/* The first group of the span in the direction; *found false: none. The span shrinks by it. */
static int next_group(struct reading *r, struct grouping *g, struct view_span *span, bool descending, bool *found,
    struct qosid_errbuf *err)
{
	struct view_range one = {.limit = 1, .descending = descending};
	sqlite3_stmt *row = NULL;
	int rc = open_rows(r->views, r->number, slice_of(&span->from), slice_of(&span->to), &one, &row, err);

	if (rc == 0)
		rc = view_step(r->views, row, err);
	*found = rc == 1;
	if (rc == 1)
		rc = find_group(r, view_column(row, 1), g->level, &g->key, &g->group, err);
	sqlite3_finalize(row);
	return rc;
}

static int visit_group(struct reading *r, struct grouping *g, const struct view_span *span, struct qosid_errbuf *err)
{
	struct json_slice from = slice_of(&g->group.from);
	struct json_slice to = slice_of(&g->group.to);
	struct view_row row = {.key = slice_of(&g->key)};
	bool any;
	int rc;

	if (order(from, slice_of(&span->from)) < 0)
		from = slice_of(&span->from);
	if (order(to, slice_of(&span->to)) > 0)
		to = slice_of(&span->to);
	qosid_buf_reset(&g->value);
	rc = reduce_span(r, from, to, &any, &g->value, err);
	row.value = slice_of(&g->value);
	return rc != 0 || !any ? rc : g->visit(g->context, &row, err);
}

static int visit_groups(struct reading *r, struct grouping *g, const struct view_range *range, struct view_span *span,
    struct qosid_errbuf *err)
{
	int64_t skip = range->skip;
	int64_t left = range->limit < 0 ? INT64_MAX : range->limit;
	bool found = true;
	int rc = 0;

	while (rc == 0 && left > 0) {
		rc = next_group(r, g, span, range->descending, &found, err);
		if (rc != 0 || !found)
			break;
		if (skip > 0) {
			skip--;
		} else {
			rc = visit_group(r, g, span, err);
			left--;
		}
		struct qosid_buf *bound = range->descending ? &span->to : &span->from;
		const struct qosid_buf *edge = range->descending ? &g->group.from : &g->group.to;

		qosid_buf_reset(bound);
		if (rc == 0)
			rc = qosid_buf_append(bound, edge->data, edge->len, err);
	}
	return rc;
}

int views_visit_groups(struct views *views, const struct view_group *group, size_t view, const struct view_range *range,
    int64_t level, const struct view_engine *engine, view_visit_fn visit, void *context, struct qosid_errbuf *err)
{
	struct reading r = {.views = views,
	    .fold = {.function = &group->functions[view], .engine = engine, .collator = views->collator}};
	struct grouping g = {.level = level, .visit = visit, .context = context};
	struct view_span span = {0};
	int rc = view_find_index(views, group, &r.index, err);

	r.number = view_number(&r.index, view);
	if (rc == 0)
		rc = make_span(views, range, &span, err);
	if (rc == 0 && level == VIEW_GROUP_NONE) {
		struct view_row row = {.key = {"null", 4}};
		bool any = false;

		if (range->skip == 0 && range->limit != 0)
			rc = reduce_span(&r, slice_of(&span.from), slice_of(&span.to), &any, &g.value, err);
		row.value = slice_of(&g.value);
		if (rc == 0 && any)
			rc = visit(context, &row, err);
	} else if (rc == 0) {
		rc = visit_groups(&r, &g, range, &span, err);
	}
	view_fold_free(&r.fold);
	qosid_buf_wipe(&g.key);
	qosid_buf_wipe(&g.value);
	view_span_free(&g.group);
	view_span_free(&span);
	return rc;
}

/* ---- storing reductions ---- */

/* The next block without a reduction, at or behind start. */
static int find_open(
    struct reading *r, const struct qosid_buf *start, struct view_span *block, bool *found, struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int rc = view_prepare(r->views,
	    "SELECT start, (SELECT min(next.start) FROM block AS next WHERE next.view = ?1 AND next.start > "
	    "block.start)"
	    " FROM block WHERE view = ?1 AND reduction IS NULL AND start >= ?2 AND rows > 0 ORDER BY start LIMIT 1",
	    &row, err, "ib", r->number, slice_of(start).text, start->len);

	if (rc == 0)
		rc = view_step(r->views, row, err);
	*found = rc == 1;
	if (rc == 1)
		rc = copy_column(row, 0, &block->from, err);
	if (rc == 0 && *found)
		rc = copy_column(row, 1, &block->to, err);
	if (rc == 0 && *found && block->to.len == 0)
		rc = qosid_buf_append(&block->to, above_all, sizeof(above_all), err);
	sqlite3_finalize(row);
	return rc;
}

static int store_reduction(
    struct reading *r, const struct view_span *block, const struct qosid_buf *value, struct qosid_errbuf *err)
{
	sqlite3_stmt *statement = NULL;
	int rc = view_prepare(r->views, "UPDATE block SET reduction = ?3 WHERE view = ?1 AND start = ?2", &statement,
	    err, "ibs", r->number, slice_of(&block->from).text, block->from.len, (const char *)value->data, value->len);

	if (rc == 0)
		rc = view_step(r->views, statement, err);
	sqlite3_finalize(statement);
	return rc;
}

static int fold_open_blocks(struct reading *r, bool *done, struct qosid_errbuf *err)
{
	struct view_span block = {0};
	struct qosid_buf start = {0};
	struct qosid_buf value = {0};
	bool any;
	int rc = 0;

	*done = false;
	for (int i = 0; rc == 0 && i < VIEW_FOLD_BLOCKS; i++) {
		bool found;

		rc = find_open(r, &start, &block, &found, err);
		if (rc != 0 || !found) {
			*done = rc == 0;
			break;
		}
		qosid_buf_reset(&value);
		rc = fold_rows(r, slice_of(&block.from), slice_of(&block.to), err);
		if (rc == 0)
			rc = view_fold_end(&r->fold, false, &any, &value, err);
		if (rc == 0 && any)
			rc = store_reduction(r, &block, &value, err);
		qosid_buf_reset(&start);
		if (rc == 0)
			rc = qosid_buf_append(&start, block.to.data, block.to.len, err);
	}
	view_span_free(&block);
	qosid_buf_free(&start);
	qosid_buf_wipe(&value);
	return rc;
}

int views_has_open(
    struct views *views, const struct view_group *group, size_t view, bool *out, struct qosid_errbuf *err)
{
	struct view_index index;
	sqlite3_stmt *row = NULL;
	int rc = view_find_index(views, group, &index, err);

	*out = false;
	if (rc == 0)
		rc = view_prepare(views,
		    "SELECT 1 FROM block WHERE view = ?1 AND reduction IS NULL AND rows > 0 LIMIT 1", &row, err, "i",
		    view_number(&index, view));
	if (rc == 0)
		rc = view_step(views, row, err);
	*out = rc == 1;
	sqlite3_finalize(row);
	return rc < 0 ? rc : 0;
}

int views_fold(struct views *views, const struct view_group *group, size_t view, const struct view_engine *engine,
    bool *done, struct qosid_errbuf *err)
{
	struct reading r = {.views = views,
	    .fold = {.function = &group->functions[view], .engine = engine, .collator = views->collator}};
	int rc = view_exec(views, "BEGIN IMMEDIATE", err);

	*done = true;
	if (rc == 0)
		rc = view_find_index(views, group, &r.index, err);
	r.number = view_number(&r.index, view);
	if (rc == 0 && r.index.blocks && r.fold.function->reducer != REDUCER_NONE)
		rc = fold_open_blocks(&r, done, err);
	if (rc == 0)
		rc = view_exec(views, "COMMIT", err);
	if (rc != 0 && !sqlite3_get_autocommit(views->db))
		(void)view_exec(views, "ROLLBACK", NULL); /* the error before counts */
	view_fold_free(&r.fold);
	return rc;
}
