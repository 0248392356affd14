/*
 * Views: that rows, places and reductions of random ranges are what a plain list of all rows gives, through updates,
 * deletions, splits of blocks and compactions; that builds go on where they stopped; what design documents mean; and
 * the built-in reduce functions.
 *
 * The engine is C: a document {"rows":[[key,value],..]} emits its rows in the group's every view, and the script reduce
 * function adds numbers up.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store_support.h"
#include "sync/replica/collate.h"
#include "sync/replica/view.h"

/* ---- the engine ---- */

struct counts {
	int mapped;
	int reduced;
	int fail_after; /* 0: never */
};

static int map(void *context, const struct view_group *group, const struct replica_record *record,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct counts *counts = context;
	struct json_slice body = {(const char *)record->body.data, record->body.len};
	struct json_slice rows = {"[]", 2};
	int rc = 0;

	if (counts->fail_after > 0 && counts->mapped >= counts->fail_after)
		return qosid_error(err, QOSID_ERR_LIMIT, "too slow");
	counts->mapped++;
	(void)json_find(body, "rows", &rows);
	for (size_t i = 0; rc == 0 && i < group->count; i++)
		rc = qosid_buf_append_format(out, err, "%s%.*s", i == 0 ? "[" : ",", (int)rows.len, rows.text);
	return rc != 0 ? rc : qosid_buf_append_byte(out, ']', err);
}

static long long add_up(struct json_slice list, bool rows)
{
	struct json_slice name, item, value;
	size_t position = 0;
	long long sum = 0;

	while (json_next(list, &position, &name, &item)) {
		size_t at = 0;

		value = item;
		while (rows && json_next(item, &at, &name, &value))
			;
		sum += strtoll(value.text, NULL, 10);
	}
	return sum;
}

static int reduce(
    void *context, struct json_slice source, struct json_slice rows, struct qosid_buf *out, struct qosid_errbuf *err)
{
	((struct counts *)context)->reduced++;
	assert_int_equal(json_check(rows.text, rows.len, err), 0);
	if (json_string_equal(source, "grow"))
		return qosid_buf_append(out, rows.text, rows.len, err);
	return qosid_buf_append_format(out, err, "%lld", add_up(rows, true));
}

static int rereduce(
    void *context, struct json_slice source, struct json_slice values, struct qosid_buf *out, struct qosid_errbuf *err)
{
	(void)source;
	((struct counts *)context)->reduced++;
	assert_int_equal(json_check(values.text, values.len, err), 0);
	return qosid_buf_append_format(out, err, "%lld", add_up(values, false));
}

/* ---- the index under test ---- */

struct bench {
	struct scratch *scratch;
	struct views *views;
	struct view_group *group;
	struct counts counts;
	struct view_engine engine;
};

static void open_bench(struct bench *b, struct scratch *scratch, const char *design)
{
	char path[400];

	(void)snprintf(path, sizeof(path), "%s/views.db", scratch->dir);
	*b = (struct bench){.scratch = scratch};
	b->engine = (struct view_engine){&b->counts, map, reduce, rereduce};
	assert_rc(scratch, views_open(&b->views, path, "one", &scratch->err), 0);
	assert_rc(scratch, view_group_parse(&b->group, slice(design), &scratch->err), 0);
}

static void close_bench(struct bench *b)
{
	views_close(b->views);
	view_group_free(b->group);
}

static void update(struct bench *b)
{
	bool done = false;

	while (!done)
		assert_rc(b->scratch,
		    views_update(b->views, b->scratch->replica, b->group, &b->engine, &done, &b->scratch->err), 0);
}

static void fold(struct bench *b, size_t view)
{
	bool done = false;

	while (!done)
		assert_rc(b->scratch, views_fold(b->views, b->group, view, &b->engine, &done, &b->scratch->err), 0);
}

static int print_row(void *context, const struct view_row *row, struct qosid_errbuf *err)
{
	return qosid_buf_append_format(context, err, "%s %.*s=%.*s\n", row->id ? row->id : "", (int)row->key.len,
	    row->key.text, (int)row->value.len, row->value.text);
}

static void read_rows(struct bench *b, size_t view, const struct view_range *range, struct qosid_buf *out)
{
	qosid_buf_reset(out);
	assert_rc(b->scratch, qosid_buf_append_text(out, "", NULL), 0);
	assert_rc(b->scratch, views_visit_rows(b->views, b->group, view, range, print_row, out, &b->scratch->err), 0);
}

static void read_groups(
    struct bench *b, size_t view, const struct view_range *range, int64_t level, struct qosid_buf *out)
{
	qosid_buf_reset(out);
	assert_rc(b->scratch, qosid_buf_append_text(out, "", NULL), 0);
	assert_rc(b->scratch,
	    views_visit_groups(b->views, b->group, view, range, level, &b->engine, print_row, out, &b->scratch->err),
	    0);
}

/* ---- the model: all rows in a list ---- */

#define DOCUMENTS 700
#define ROWS_MAX 4

struct model_row {
	char key[40];
	int value;
};
struct model_document {
	char id[8];
	char rev[REVISION_TEXT_SIZE];
	int count;
	struct model_row rows[ROWS_MAX];
};
struct listed {
	const char *id;
	const struct model_row *row;
	int nth;
	struct qosid_buf key;
};
struct model {
	struct model_document documents[DOCUMENTS];
	struct listed *list;
	size_t count;
};

static int compare_listed(const void *left, const void *right)
{
	const struct listed *a = left, *b = right;
	size_t len = a->key.len < b->key.len ? a->key.len : b->key.len;
	int order = memcmp(a->key.data, b->key.data, len);

	if (order == 0)
		order = (a->key.len > b->key.len) - (a->key.len < b->key.len);
	if (order == 0)
		order = strcmp(a->id, b->id);
	return order != 0 ? order : a->nth - b->nth;
}

static void free_list(struct model *m)
{
	for (size_t i = 0; i < m->count; i++)
		qosid_buf_free(&m->list[i].key);
	free(m->list);
	m->list = NULL;
	m->count = 0;
}

static void make_list(struct model *m, struct collator *collator)
{
	free_list(m);
	m->list = calloc((size_t)DOCUMENTS * ROWS_MAX, sizeof(*m->list));
	assert_non_null(m->list);
	for (int i = 0; i < DOCUMENTS; i++) {
		for (int k = 0; k < m->documents[i].count; k++) {
			struct listed *l = &m->list[m->count++];

			*l = (struct listed){m->documents[i].id, &m->documents[i].rows[k], k, {0}};
			assert_int_equal(collate_key(collator, slice(l->row->key), false, &l->key, NULL), 0);
		}
	}
	qsort(m->list, m->count, sizeof(*m->list), compare_listed);
}

static void random_key(uint64_t *seed, char out[40])
{
	unsigned a = random_next(seed) % 5, b = random_next(seed) % 12;

	switch (random_next(seed) % 8) {
	case 0:
		(void)snprintf(out, 40, "[%u]", a);
		break;
	case 1:
		(void)snprintf(out, 40, "\"k%u\"", b);
		break;
	case 2:
		(void)snprintf(out, 40, "%u", b);
		break;
	case 3:
		(void)snprintf(out, 40, "[%u,\"%c\",null]", a, 'a' + (int)(b % 4));
		break;
	default:
		(void)snprintf(out, 40, "[%u,\"%c\",%u]", a, 'a' + (int)(b % 4), random_next(seed) % 50);
	}
}

static void change_document(struct bench *b, struct model *m, uint64_t *seed)
{
	int i = (int)(random_next(seed) % DOCUMENTS);
	struct model_document *d = &m->documents[i];
	char body[400] = "{\"rows\":[";
	size_t len = strlen(body);

	(void)snprintf(d->id, sizeof(d->id), "d%03d", i);
	if (d->rev[0] != '\0' && random_next(seed) % 5 == 0) {
		(void)edit_delete(b->scratch, d->id, d->rev);
		d->rev[0] = '\0';
		d->count = 0;
		return;
	}
	d->count = (int)(random_next(seed) % (ROWS_MAX + 1));
	for (int k = 0; k < d->count; k++) {
		random_key(seed, d->rows[k].key);
		d->rows[k].value = (int)(random_next(seed) % 100);
		len += (size_t)snprintf(
		    body + len, sizeof(body) - len, "%s[%s,%d]", k > 0 ? "," : "", d->rows[k].key, d->rows[k].value);
	}
	(void)snprintf(body + len, sizeof(body) - len, "]}");
	(void)snprintf(d->rev, sizeof(d->rev), "%s", edit(b->scratch, d->id, d->rev[0] ? d->rev : NULL, body));
}

/* Whether a listed row lies between the range's bounds. */
static bool lies_in(struct collator *collator, const struct listed *l, const struct view_range *r)
{
	int sign = r->descending ? -1 : 1;
	int difference;

	if (r->start.len > 0) {
		assert_int_equal(collate_compare(collator, slice(l->row->key), r->start, false, &difference, NULL), 0);
		if (difference == 0 && r->start_id != NULL)
			difference = strcmp(l->id, r->start_id);
		if (difference * sign < 0)
			return false;
	}
	if (r->end.len > 0) {
		assert_int_equal(collate_compare(collator, slice(l->row->key), r->end, false, &difference, NULL), 0);
		if (difference == 0 && r->end_id != NULL)
			difference = strcmp(l->id, r->end_id);
		if (difference * sign > 0 || (difference == 0 && r->exclusive_end))
			return false;
	}
	return true;
}

static void model_rows(struct model *m, struct collator *collator, const struct view_range *r, struct qosid_buf *out,
    int64_t *before, bool *any)
{
	int64_t skip = r->skip, left = r->limit < 0 ? INT64_MAX : r->limit;

	qosid_buf_reset(out);
	assert_int_equal(qosid_buf_append_text(out, "", NULL), 0);
	*any = false;
	*before = 0;
	for (size_t i = 0; i < m->count; i++) {
		const struct listed *l = &m->list[r->descending ? m->count - 1 - i : i];

		if (!lies_in(collator, l, r)) {
			*before += !*any;
			continue;
		}
		*any = true;
		if (skip-- > 0 || left-- <= 0)
			continue;
		assert_int_equal(
		    qosid_buf_append_format(out, NULL, "%s %s=%d\n", l->id, l->row->key, l->row->value), 0);
	}
}

/* The group's key by counting commas, which the model's keys have between elements only. */
static void group_key(const char *key, int64_t level, char out[40])
{
	int64_t commas = 0;
	char *at = out;

	(void)snprintf(out, 40, "%s", key);
	if (level < 0 || key[0] != '[')
		return;
	for (; *at; at++) {
		if (*at == ',' && ++commas == level) {
			(void)snprintf(at, 3, "]");
			return;
		}
	}
}

static void model_groups(struct model *m, struct collator *collator, const struct view_range *r, int64_t level,
    bool counting, struct qosid_buf *out)
{
	int64_t skip = r->skip, left = r->limit < 0 ? INT64_MAX : r->limit;
	char key[40] = "", next[40] = "";
	long long sum = 0;

	qosid_buf_reset(out);
	assert_int_equal(qosid_buf_append_text(out, "", NULL), 0);
	for (size_t i = 0; i <= m->count; i++) {
		const struct listed *l = i == m->count ? NULL : &m->list[r->descending ? m->count - 1 - i : i];

		if (l != NULL && !lies_in(collator, l, r))
			continue;
		next[0] = '\0';
		if (l != NULL && level == 0)
			(void)snprintf(next, sizeof(next), "null");
		else if (l != NULL)
			group_key(l->row->key, level, next);
		if (strcmp(key, next) != 0 && key[0] != '\0') {
			if (skip-- <= 0 && left-- > 0)
				assert_int_equal(qosid_buf_append_format(out, NULL, " %s=%lld\n", key, sum), 0);
			sum = 0;
		}
		(void)snprintf(key, sizeof(key), "%s", next);
		sum += l == NULL ? 0 : counting ? 1 : l->row->value;
	}
}

static void random_range(uint64_t *seed, struct view_range *r, char text[4][40])
{
	*r = (struct view_range){.limit = -1};
	r->descending = random_next(seed) % 2;
	r->exclusive_end = random_next(seed) % 3 == 0;
	if (random_next(seed) % 4 != 0) {
		random_key(seed, text[0]);
		r->start = slice(text[0]);
		if (random_next(seed) % 4 == 0) {
			(void)snprintf(text[2], 40, "d%03u", random_next(seed) % DOCUMENTS);
			r->start_id = text[2];
		}
	}
	if (random_next(seed) % 4 != 0) {
		random_key(seed, text[1]);
		r->end = slice(text[1]);
		if (random_next(seed) % 4 == 0) {
			(void)snprintf(text[3], 40, "d%03u", random_next(seed) % DOCUMENTS);
			r->end_id = text[3];
		}
	}
	if (random_next(seed) % 3 == 0)
		r->skip = random_next(seed) % 20;
	if (random_next(seed) % 3 == 0)
		r->limit = random_next(seed) % 30;
}

static void compare_once(struct bench *b, struct model *m, struct collator *collator, uint64_t *seed)
{
	struct qosid_buf found = {0}, wanted = {0};
	struct view_place place;
	struct view_range range;
	char text[4][40];
	int64_t before;
	bool any;

	random_range(seed, &range, text);
	model_rows(m, collator, &range, &wanted, &before, &any);
	read_rows(b, 0, &range, &found);
	assert_string_equal((char *)found.data, (char *)wanted.data);
	assert_rc(b->scratch, views_read_place(b->views, b->group, 0, &range, &place, &b->scratch->err), 0);
	assert_int_equal(place.total, m->count);
	assert_int_equal(place.any, any);
	if (any)
		assert_int_equal(place.before, before);
	for (int view = 0; view < 3; view++) {
		int64_t level = (int64_t)(random_next(seed) % 5) - 1;

		model_groups(m, collator, &range, level, view == 0, &wanted);
		read_groups(b, (size_t)view, &range, level, &found);
		assert_string_equal((char *)found.data, (char *)wanted.data);
	}
	qosid_buf_free(&found);
	qosid_buf_free(&wanted);
}

/* Views in the order of their names: a counts, b sums, c sums by script. */
#define THREE                                                                                                          \
	"{\"views\":{\"a\":{\"map\":\"m\",\"reduce\":\"_count\"},\"b\":{\"map\":\"m\",\"reduce\":\"_sum\"},"           \
	"\"c\":{\"map\":\"m\",\"reduce\":\"add\"}}}"

static void test_against_model(void **state)
{
	struct bench b;
	struct model *m = calloc(1, sizeof(*m));
	struct collator *collator = NULL;
	uint64_t seed = 11;

	assert_non_null(m);
	assert_int_equal(collator_open(&collator, NULL), 0);
	open_bench(&b, *state, THREE);
	for (int round = 0; round < 5; round++) {
		int changes = round == 0 ? 700 : 120;

		assert_rc(b.scratch, replica_begin(b.scratch->replica, &b.scratch->err), 0);
		for (int i = 0; i < changes; i++)
			change_document(&b, m, &seed);
		assert_rc(b.scratch, replica_commit(b.scratch->replica, &b.scratch->err), 0);
		update(&b);
		make_list(m, collator);
		for (int i = 0; i < 20; i++) {
			/* Some of the reductions are stored, some are made on the way. */
			if (i == 10) {
				fold(&b, 1);
				fold(&b, 2);
			}
			compare_once(&b, m, collator, &seed);
		}
		if (round == 3)
			assert_rc(b.scratch, views_compact(b.views, b.group, &b.scratch->err), 0);
	}
	free_list(m);
	free(m);
	collator_close(collator);
	close_bench(&b);
}

/* ---- following ---- */

static void put_many(struct scratch *scratch, int from, int to)
{
	char id[20], body[64];

	assert_rc(scratch, replica_begin(scratch->replica, &scratch->err), 0);
	for (int i = from; i < to; i++) {
		(void)snprintf(id, sizeof(id), "n%05d", i);
		(void)snprintf(body, sizeof(body), "{\"rows\":[[%d,%d]]}", i, i);
		(void)edit(scratch, id, NULL, body);
	}
	assert_rc(scratch, replica_commit(scratch->replica, &scratch->err), 0);
}

static void test_resumes(void **state)
{
	static const struct view_range all = {.limit = -1};
	struct qosid_buf out = {0};
	struct bench b;
	int64_t sequence = 0;
	bool done = false;

	put_many(*state, 0, 2500);
	open_bench(&b, *state, THREE);
	b.counts.fail_after = 1500;
	assert_rc(b.scratch, views_update(b.views, b.scratch->replica, b.group, &b.engine, &done, &b.scratch->err), 0);
	assert_rc(b.scratch, views_update(b.views, b.scratch->replica, b.group, &b.engine, &done, &b.scratch->err),
	    QOSID_ERR_LIMIT);
	close_bench(&b);
	open_bench(&b, *state, THREE);
	assert_rc(b.scratch, views_read_sequence(b.views, b.group, &sequence, &b.scratch->err), 0);
	assert_int_equal(sequence, 1000);
	update(&b);
	assert_int_equal(b.counts.mapped, 1500);
	read_groups(&b, 0, &all, VIEW_GROUP_NONE, &out);
	assert_string_equal((char *)out.data, " null=2500\n");
	close_bench(&b);
	open_bench(&b, *state, THREE);
	qosid_buf_free(&out);
	close_bench(&b);
}

static void test_reductions_are_kept(void **state)
{
	static const struct view_range all = {.limit = -1};
	struct qosid_buf out = {0};
	struct bench b;

	put_many(*state, 0, 2000);
	open_bench(&b, *state, THREE);
	update(&b);
	fold(&b, 2);
	b.counts.reduced = 0;
	read_groups(&b, 2, &all, VIEW_GROUP_NONE, &out);
	assert_string_equal((char *)out.data, " null=1999000\n");
	assert_int_equal(b.counts.reduced, 1); /* one rereduce of the stored ones */
	qosid_buf_free(&out);
	close_bench(&b);
}

static void test_other_replica(void **state)
{
	struct scratch *scratch = *state;
	struct views *views = NULL;
	struct bench b;
	char path[400];
	int64_t sequence;

	put_many(scratch, 0, 10);
	open_bench(&b, scratch, THREE);
	update(&b);
	assert_rc(scratch, views_read_sequence(b.views, b.group, &sequence, &scratch->err), 0);
	assert_int_equal(sequence, 10);
	views_close(b.views);
	(void)snprintf(path, sizeof(path), "%s/views.db", scratch->dir);
	assert_rc(scratch, views_open(&b.views, path, "two", &scratch->err), 0);
	assert_rc(scratch, views_read_sequence(b.views, b.group, &sequence, &scratch->err), 0);
	assert_int_equal(sequence, 0);
	update(&b);
	assert_rc(scratch, views_clean(b.views, NULL, 0, &scratch->err), 0);
	assert_rc(scratch, views_read_sequence(b.views, b.group, &sequence, &scratch->err), 0);
	assert_int_equal(sequence, 0);
	close_bench(&b);
	/* A file that is none is replaced. */
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < 1000; i++)
		assert_true(fputs("not a database ", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_rc(scratch, views_open(&views, path, "two", &scratch->err), 0);
	views_close(views);
}

/* ---- design documents ---- */

static void test_signatures(void **state)
{
	static const char *const designs[] = {
	    THREE,
	    "{\"views\":{\"a\":{\"map\":\"m\"}}}",
	    "{\"views\":{\"a\":{\"map\":\"n\"}}}",
	    "{\"views\":{\"a\":{\"map\":\"m\",\"reduce\":\"_sum\"}}}",
	    "{\"views\":{\"lib\":{\"x\":\"1\"},\"a\":{\"map\":\"m\"}}}",
	    "{\"views\":{\"a\":{\"map\":\"m\"}},\"options\":{\"local_seq\":true}}",
	    "{\"views\":{\"a\":{\"map\":\"m\"}},\"options\":{\"include_design\":true}}",
	};
	static const char same[] =
	    "{\"updates\":{},\"language\":\"javascript\",\"views\":{\"c\":{\"reduce\":\"add\",\"map\":\"m\"},"
	    "\"b\":{\"map\":\"m\",\"reduce\":\"_sum\"},\"a\":{\"map\":\"m\",\"reduce\":\"_count\"}}}";
	struct view_group *groups[8] = {0};
	struct qosid_errbuf err = {0};

	(void)state;
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(view_group_parse(&groups[i], slice(designs[i]), &err), 0);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(groups[i]->signature, groups[k]->signature);
	}
	assert_int_equal(view_group_parse(&groups[7], slice(same), &err), 0);
	assert_string_equal(groups[7]->signature, groups[0]->signature);
	assert_int_equal(view_group_find(groups[7], "c"), 2);
	assert_int_equal(view_group_find(groups[4], "lib"), -1);
	for (size_t i = 0; i < 8; i++)
		view_group_free(groups[i]);
	assert_int_equal(view_group_parse(&groups[0], slice("{\"language\":\"erlang\"}"), &err), QOSID_ERR_INVALID);
	assert_string_equal(err.where, "unknown_query_language");
	qosid_error_clear(&err);
	assert_int_equal(
	    view_group_parse(&groups[0], slice("{\"views\":{\"a\":{\"map\":\"m\",\"reduce\":\"_no\"}}}"), &err),
	    QOSID_ERR_INVALID);
	assert_string_equal(err.where, "invalid_design_doc");
}

/* ---- built-in functions ---- */

static void expect_reduce(void **state, const char *function, const char *rows, const char *expected)
{
	static const struct view_range all = {.limit = -1};
	struct qosid_buf out = {0};
	struct bench b;
	char design[200], body[1000], line[1000];

	(void)snprintf(design, sizeof(design), "{\"views\":{\"v\":{\"map\":\"%s\",\"reduce\":\"%s\"}}}", "m", function);
	(void)snprintf(body, sizeof(body), "{\"rows\":%s}", rows);
	(void)snprintf(line, sizeof(line), " null=%s\n", expected);
	(void)edit(*state, "only", NULL, body);
	open_bench(&b, *state, design);
	update(&b);
	read_groups(&b, 0, &all, VIEW_GROUP_NONE, &out);
	assert_string_equal((char *)out.data, line);
	fold(&b, 0);
	read_groups(&b, 0, &all, VIEW_GROUP_NONE, &out);
	assert_string_equal((char *)out.data, line);
	(void)edit_delete(*state, "only", b.scratch->text);
	update(&b);
	read_groups(&b, 0, &all, VIEW_GROUP_NONE, &out);
	assert_string_equal((char *)out.data, "");
	qosid_buf_free(&out);
	close_bench(&b);
}

static void test_builtins(void **state)
{
	expect_reduce(state, "_count", "[[1,null],[2,\"x\"]]", "2");
	expect_reduce(state, "_sum", "[[1,9007199254740993],[2,1]]", "9007199254740994");
	expect_reduce(state, "_sum", "[[1,0.5],[2,0.5]]", "1.0");
	expect_reduce(state, "_sum", "[[1,[1,2]],[2,[10]],[3,5]]", "[16,2]");
	expect_reduce(state, "_sum", "[[1,{\"a\":1,\"b\":{\"c\":2}}],[2,{\"b\":{\"c\":3},\"d\":[1]}]]",
	    "{\"a\":1,\"b\":{\"c\":5},\"d\":[1]}");
	expect_reduce(state, "_stats", "[[1,2],[2,4]]", "{\"sum\":6,\"count\":2,\"min\":2,\"max\":4,\"sumsqr\":20}");
	expect_reduce(state, "_stats", "[[1,[1,5]],[2,[3,5]]]",
	    "[{\"sum\":4,\"count\":2,\"min\":1,\"max\":3,\"sumsqr\":10},"
	    "{\"sum\":10,\"count\":2,\"min\":5,\"max\":5,\"sumsqr\":50}]");
	expect_reduce(state, "_approx_count_distinct", "[[1,0],[1.0,0],[\"a\",0],[[1],0]]", "3");
}

static void test_builtin_errors(void **state)
{
	static const struct view_range all = {.limit = -1};
	struct qosid_buf out = {0};
	struct bench b;

	(void)edit(*state, "one", NULL, "{\"rows\":[[1,\"x\"],[2,3]]}");
	open_bench(&b, *state,
	    "{\"views\":{\"v\":{\"map\":\"m\",\"reduce\":\"_sum\"},\"w\":{\"map\":\"m\",\"reduce\":\"_stats\"}}}");
	update(&b);
	for (size_t view = 0; view < 2; view++) {
		read_groups(&b, view, &all, VIEW_GROUP_NONE, &out);
		assert_non_null(strstr((char *)out.data, "builtin_reduce_error"));
		assert_non_null(strstr((char *)out.data, "\"caused_by\":\"x\""));
		read_groups(&b, view, &all, VIEW_GROUP_EXACT, &out);
		assert_non_null(strstr((char *)out.data, view == 0 ? " 2=3\n" : " 2={\"sum\":3,"));
	}
	qosid_buf_free(&out);
	close_bench(&b);
}

static void test_overflow(void **state)
{
	static const struct view_range all = {.limit = -1};
	struct qosid_buf out = {0};
	struct bench b;

	put_many(*state, 0, 600);
	open_bench(&b, *state, "{\"views\":{\"v\":{\"map\":\"m\",\"reduce\":\"grow\"}}}");
	update(&b);
	read_groups(&b, 0, &all, VIEW_GROUP_NONE, &out);
	assert_non_null(strstr((char *)out.data, "reduce_overflow_error"));
	qosid_buf_free(&out);
	close_bench(&b);
}

/* 5,000 distinct keys: the estimate is within three standard errors. */
static void test_distinct(void **state)
{
	static const struct view_range all = {.limit = -1};
	struct qosid_buf out = {0};
	struct bench b;
	long long found;

	put_many(*state, 0, 5000);
	open_bench(&b, *state, "{\"views\":{\"v\":{\"map\":\"m\",\"reduce\":\"_approx_count_distinct\"}}}");
	update(&b);
	fold(&b, 0);
	read_groups(&b, 0, &all, VIEW_GROUP_NONE, &out);
	found = strtoll((char *)out.data + strlen(" null="), NULL, 10);
	assert_in_range(found, 4650, 5350);
	qosid_buf_free(&out);
	close_bench(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_against_model, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_resumes, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_reductions_are_kept, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_other_replica, scratch_setup, scratch_teardown),
	    cmocka_unit_test(test_signatures),
	    cmocka_unit_test_setup_teardown(test_builtins, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_builtin_errors, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_overflow, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_distinct, scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
