/*
 * Indexes: their definitions, that what an index finds is what a scan of all documents finds, through updates and
 * deletions, and the answers around the rows.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store_support.h"
#include "sync/replica/mango.h"

static bool has(const struct qosid_buf *answer, const char *text)
{
	return strstr((const char *)answer->data, text) != NULL;
}

#define assert_has(answer, text)                                                                                       \
	do {                                                                                                           \
		if (!has(answer, text))                                                                                \
			fail_msg("no %s in %s", text, (const char *)(answer)->data);                                   \
	} while (0)

/* Run a query as a server does. Returns the first failure. */
static int try_query(struct scratch *scratch, const char *body, bool explain, struct qosid_buf *out)
{
	struct qosid_buf_sink target = {.buf = out};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	struct mango_query *query = NULL;
	bool ready = false;
	int rc = mango_query_parse(&query, slice(body), &scratch->err);

	qosid_buf_reset(out);
	while (rc == 0 && !ready) {
		rc = mango_query_ready(scratch->replica, query, &ready, &scratch->err);
		if (rc != 0 || ready)
			break;
		assert_rc(scratch, replica_begin(scratch->replica, &scratch->err), 0);
		assert_rc(scratch, mango_query_update(scratch->replica, query, &scratch->err), 0);
		assert_rc(scratch, replica_commit(scratch->replica, &scratch->err), 0);
	}
	if (rc == 0)
		rc = explain ? mango_query_explain(query, "db", out, &scratch->err)
			     : mango_query_run(scratch->replica, query, NULL, &sink, &scratch->err);
	mango_query_free(query);
	if (rc == 0)
		assert_int_equal(json_check((const char *)out->data, out->len, &scratch->err), 0);
	return rc;
}

static void query(struct scratch *scratch, const char *body, struct qosid_buf *out)
{
	if (try_query(scratch, body, false, out) != 0)
		fail_msg("%s: %s %s", body, scratch->err.where, scratch->err.what);
}

static void expect_refusal(struct scratch *scratch, const char *body, const char *name, const char *reason)
{
	struct qosid_buf out = {0};

	assert_int_equal(try_query(scratch, body, false, &out), QOSID_ERR_INVALID);
	assert_string_equal(scratch->err.where, name);
	assert_string_equal(scratch->err.what, reason);
	qosid_buf_free(&out);
}

/* The ids of an answer, joined by spaces. */
static void ids_of(const struct qosid_buf *answer, struct qosid_buf *ids)
{
	struct json_slice docs, name, doc, id;
	size_t position = 0;

	qosid_buf_reset(ids);
	assert_int_equal(qosid_buf_append_text(ids, "", NULL), 0);
	assert_true(json_find((struct json_slice){(const char *)answer->data, answer->len}, "docs", &docs));
	while (json_next(docs, &position, &name, &doc)) {
		assert_true(json_find(doc, "_id", &id));
		assert_int_equal(
		    qosid_buf_append_format(ids, NULL, "%s%.*s", ids->len > 0 ? " " : "", (int)id.len - 2, id.text + 1),
		    0);
	}
}

static void expect_ids(struct scratch *scratch, const char *body, const char *expected)
{
	struct qosid_buf answer = {0};
	struct qosid_buf ids = {0};

	query(scratch, body, &answer);
	ids_of(&answer, &ids);
	if (strcmp((const char *)ids.data, expected) != 0)
		fail_msg("%s finds \"%s\", not \"%s\"", body, (const char *)ids.data, expected);
	qosid_buf_free(&answer);
	qosid_buf_free(&ids);
}

/* POST _index. Returns whether it was there already. */
static bool add_index(struct scratch *scratch, const char *body, char id[128], char name[128])
{
	struct mango_index_request request = {0};
	struct replica_record record = {0};
	struct qosid_buf made = {0};
	struct json_slice current = {0};
	const char *ddoc;
	char parent[REVISION_TEXT_SIZE];
	bool exists;
	int rc;

	if (mango_index_request_parse(&request, slice(body), &scratch->err) != 0)
		fail_msg("%s: %s %s", body, scratch->err.where, scratch->err.what);
	ddoc = (const char *)request.ddoc.data;
	rc = replica_read_document(scratch->replica, ddoc, NULL, &record, &scratch->err);
	if (rc == 0)
		current = (struct json_slice){(const char *)record.body.data, record.body.len};
	assert_rc(scratch, mango_index_insert(&request, current, &exists, &made, &scratch->err), 0);
	if (!exists) {
		revision_format(parent, &record.rev);
		(void)edit(scratch, ddoc, rc == 0 ? parent : NULL, (const char *)made.data);
	}
	if (id != NULL)
		(void)snprintf(id, 128, "%s", ddoc);
	if (name != NULL)
		(void)snprintf(name, 128, "%s", (const char *)request.name.data);
	mango_index_request_free(&request);
	replica_record_free(&record);
	qosid_buf_free(&made);
	return exists;
}

/* ---- definitions ---- */

static void test_definitions(void **state)
{
	struct scratch *scratch = *state;
	struct replica_record record = {0};
	struct qosid_buf out = {0};
	char id[128];
	char name[128];
	char again[128];

	assert_false(add_index(
	    scratch, "{\"index\":{\"fields\":[\"a\",{\"b\":\"asc\"}]},\"ddoc\":\"one\",\"name\":\"ab\"}", id, name));
	assert_string_equal(id, "_design/one");
	assert_string_equal(name, "ab");
	assert_rc(scratch, replica_read_document(scratch->replica, id, NULL, &record, &scratch->err), 0);
	assert_string_equal((const char *)record.body.data,
	    "{\"language\":\"query\",\"views\":{\"ab\":{\"map\":{\"fields\":{\"a\":\"asc\",\"b\":\"asc\"},"
	    "\"partial_filter_selector\":{}},\"reduce\":\"_count\",\"options\":{\"def\":{\"fields\":[\"a\",{\"b\":"
	    "\"asc\"}]}}}}}");
	assert_true(add_index(
	    scratch, "{\"index\":{\"fields\":[\"a\",\"b\"]},\"ddoc\":\"_design/one\",\"name\":\"ab\"}", NULL, NULL));
	assert_false(
	    add_index(scratch, "{\"index\":{\"fields\":[\"c\"]},\"ddoc\":\"one\",\"name\":\"c\"}", NULL, NULL));
	assert_false(add_index(scratch, "{\"index\":{\"fields\":[\"d\"]}}", id, name));
	assert_int_equal(strlen(name), 40);
	assert_memory_equal(id, "_design/", 8);
	assert_string_equal(id + 8, name);
	assert_true(add_index(scratch, "{\"index\":{\"fields\":[\"d\"]},\"type\":\"json\"}", again, NULL));
	assert_string_equal(again, id);
	assert_rc(scratch, mango_index_list(scratch->replica, -1, 0, &out, &scratch->err), 0);
	assert_has(&out, "\"total_rows\":4,\"indexes\":[{\"ddoc\":null,\"name\":\"_all_docs\",\"type\":\"special\","
			 "\"def\":{\"fields\":[{\"_id\":\"asc\"}]}},");
	assert_has(&out, "{\"ddoc\":\"_design/one\",\"name\":\"ab\",\"type\":\"json\",\"partitioned\":false,"
			 "\"def\":{\"fields\":[{\"a\":\"asc\"},{\"b\":\"asc\"}]}}");
	qosid_buf_reset(&out);
	assert_rc(scratch, mango_index_list(scratch->replica, 1, 3, &out, &scratch->err), 0);
	assert_has(&out, "\"total_rows\":4,\"indexes\":[{\"ddoc\":\"_design/one\",\"name\":\"c\"");
	qosid_buf_free(&out);
	replica_record_free(&record);
}

static void test_removal(void **state)
{
	struct scratch *scratch = *state;
	struct json_slice two = slice("{\"language\":\"query\",\"x\":1,\"views\":{\"a\":{\"map\":{}},\"b\":{}}}");
	struct json_slice one = slice("{\"language\":\"query\",\"views\":{\"b\":{}}}");
	struct qosid_buf body = {0};
	bool empty;

	assert_rc(scratch, mango_index_remove(two, "a", &empty, &body, &scratch->err), 0);
	assert_false(empty);
	assert_string_equal((const char *)body.data, "{\"x\":1,\"language\":\"query\",\"views\":{\"b\":{}}}");
	qosid_buf_reset(&body);
	assert_rc(scratch, mango_index_remove(one, "b", &empty, &body, &scratch->err), 0);
	assert_true(empty);
	assert_rc(scratch, mango_index_remove(one, "c", &empty, &body, &scratch->err), QOSID_ERR_NOTFOUND);
	assert_rc(scratch,
	    mango_index_remove(
		slice("{\"language\":\"javascript\",\"views\":{\"b\":{}}}"), "b", &empty, &body, &scratch->err),
	    QOSID_ERR_NOTFOUND);
	qosid_buf_free(&body);
}

static void test_bad_requests(void **state)
{
	static const char *const bad[][2] = {
	    {"{}", "missing_required_key"},
	    {"{\"index\":{}}", "missing_required_key"},
	    {"{\"index\":5}", "invalid_object"},
	    {"{\"index\":{\"fields\":null}}", "invalid_sort_json"},
	    {"{\"index\":{\"fields\":\"bing\"}}", "invalid_sort_json"},
	    {"{\"index\":{\"fields\":{\"foo\":\"bar\"}}}", "invalid_sort_json"},
	    {"{\"index\":{\"fields\":[]}}", "invalid_index"},
	    {"{\"index\":{\"fields\":[{\"foo\":2}]}}", "invalid_sort_dir"},
	    {"{\"index\":{\"fields\":[{\"foo\":\"asc\",\"bar\":\"desc\"}]}}", "invalid_sort_field"},
	    {"{\"index\":{\"fields\":[{\"foo\":\"asc\"},{\"bar\":\"desc\"}]}}", "unsupported_mixed_sort"},
	    {"{\"index\":{\"fields\":[\"\"]}}", "invalid_sort_field"},
	    {"{\"index\":{\"fields\":[\"a\"],\"x\":1}}", "invalid_key"},
	    {"{\"index\":{\"fields\":[\"a\"]},\"x\":1}", "invalid_key"},
	    {"{\"index\":{\"fields\":[\"a\"]},\"name\":true}", "invalid_string"},
	    {"{\"index\":{\"fields\":[\"a\"]},\"ddoc\":1.5}", "invalid_string"},
	    {"{\"index\":{\"fields\":[\"a\"]},\"type\":\"foo\"}", "invalid_index"},
	    {"{\"index\":{\"fields\":[\"a\"],\"partial_filter_selector\":{\"a\":{\"$foo\":1}}}}", "invalid_operator"},
	    {"{\"index\":{\"fields\":[\"a\"]},\"partitioned\":true}", "invalid_partitioned_option"},
	};
	struct scratch *scratch = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct mango_index_request request = {0};

		if (mango_index_request_parse(&request, slice(bad[i][0]), &scratch->err) != QOSID_ERR_INVALID)
			fail_msg("%s was accepted", bad[i][0]);
		assert_string_equal(scratch->err.where, bad[i][1]);
		mango_index_request_free(&request);
	}
}

/* What is wrong in a design document that came by replication is passed over. */
static void test_bad_design_documents(void **state)
{
	struct scratch *scratch = *state;
	struct qosid_buf out = {0};

	(void)edit(scratch, "_design/a", NULL, "{\"language\":\"query\",\"views\":5}");
	(void)edit(scratch, "_design/b", NULL,
	    "{\"language\":\"query\",\"views\":{\"1\":5,\"2\":{},\"3\":{\"map\":5},\"4\":{\"map\":{\"fields\":5}},"
	    "\"5\":{\"map\":{\"fields\":[]}},\"6\":{\"map\":{\"fields\":{\"a\":\"asc\"},\"partial_filter_selector\":{"
	    "\"$x\":1}}},"
	    "\"7\":{\"map\":{\"fields\":{\"a..b\":\"asc\"}}},\"good\":{\"map\":{\"fields\":{\"a\":\"asc\"}}}}}");
	(void)edit(scratch, "_design/c", NULL,
	    "{\"language\":\"javascript\",\"views\":{\"v\":{\"map\":{\"fields\":{\"a\":\"asc\"}}}}}");
	(void)edit(scratch, "x", NULL, "{\"a\":1}");
	assert_rc(scratch, mango_index_list(scratch->replica, -1, 0, &out, &scratch->err), 0);
	assert_has(&out, "\"total_rows\":2,");
	query(scratch, "{\"selector\":{\"a\":1}}", &out);
	assert_has(&out, "\"x\"");
	assert_false(has(&out, "warning"));
	qosid_buf_free(&out);
}

/* ---- queries ---- */

static void add_people(struct scratch *scratch)
{
	(void)edit(scratch, "p1", NULL, "{\"name\":\"Зарина\",\"age\":30,\"city\":\"Хуҷанд\",\"tags\":[\"a\",\"b\"]}");
	(void)edit(scratch, "p2", NULL, "{\"name\":\"Алишер\",\"age\":25,\"city\":\"Душанбе\",\"tags\":[\"b\"]}");
	(void)edit(scratch, "p3", NULL, "{\"name\":\"Ҷамшед\",\"age\":41,\"city\":\"Душанбе\"}");
	(void)edit(scratch, "p4", NULL, "{\"name\":\"Чаман\",\"age\":30}");
	(void)edit(scratch, "p5", NULL, "{\"name\":\"Шоира\",\"age\":\"unknown\",\"city\":null}");
	(void)edit(scratch, "p6", NULL, "{\"name\":\"ёдгор\",\"address\":{\"street\":\"Рӯдакӣ\",\"no\":12}}");
}

static void test_queries(void **state)
{
	struct scratch *scratch = *state;
	struct qosid_buf out = {0};

	add_people(scratch);
	expect_ids(scratch, "{\"selector\":{}}", "p1 p2 p3 p4 p5 p6");
	expect_ids(scratch, "{\"selector\":{\"age\":30}}", "p1 p4");
	expect_ids(scratch, "{\"selector\":{\"age\":{\"$gt\":26}}}", "p1 p3 p4 p5");
	expect_ids(scratch, "{\"selector\":{},\"limit\":2,\"skip\":1}", "p2 p3");
	expect_ids(scratch, "{\"selector\":{},\"limit\":0}", "");
	expect_ids(scratch, "{\"selector\":{\"_id\":{\"$gt\":\"p2\",\"$lte\":\"p4\"}}}", "p3 p4");
	expect_ids(scratch,
	    "{\"selector\":{\"_id\":{\"$beginsWith\":\"p\"}},\"sort\":[{\"_id\":\"desc\"}],\"limit\":2}", "p6 p5");
	expect_ids(scratch, "{\"selector\":{\"_id\":{\"$gt\":null}},\"sort\":[\"_id\"],\"limit\":1}", "p1");
	expect_ids(scratch, "{\"selector\":{\"_id\":{\"$gt\":[]}}}", "");
	query(scratch, "{\"selector\":{\"age\":25}}", &out);
	assert_has(&out, "\"warning\": \"No matching index found, create an index to optimize query time.\"");
	expect_refusal(scratch, "{\"selector\":{},\"sort\":[\"name\"]}", "no_usable_index",
	    "No index exists for this sort, try indexing by the sort fields.");
	expect_refusal(scratch, "{\"selector\":{\"age\":1},\"allow_fallback\":false}", "no_usable_index",
	    "There is no index available for this selector.");

	(void)add_index(scratch, "{\"index\":{\"fields\":[\"name\"]},\"ddoc\":\"names\",\"name\":\"n\"}", NULL, NULL);
	(void)add_index(
	    scratch, "{\"index\":{\"fields\":[\"city\",\"age\"]},\"ddoc\":\"cities\",\"name\":\"c\"}", NULL, NULL);
	expect_ids(scratch, "{\"selector\":{\"name\":{\"$gt\":null}},\"sort\":[\"name\"]}", "p2 p6 p1 p4 p3 p5");
	expect_ids(scratch, "{\"selector\":{},\"sort\":[{\"name\":\"desc\"}]}", "p5 p3 p4 p1 p6 p2");
	expect_ids(scratch, "{\"selector\":{\"name\":{\"$beginsWith\":\"Ч\"}}}", "p4");
	expect_ids(scratch, "{\"selector\":{\"city\":\"Душанбе\"},\"sort\":[\"age\"]}", "p2 p3");
	expect_ids(
	    scratch, "{\"selector\":{\"city\":\"Душанбе\",\"age\":{\"$lt\":40}},\"sort\":[{\"age\":\"desc\"}]}", "p2");
	expect_ids(scratch, "{\"selector\":{\"city\":null,\"age\":{\"$exists\":true}}}", "p5");
	query(scratch, "{\"selector\":{\"name\":\"Чаман\"},\"execution_stats\":true}", &out);
	assert_has(&out, "\"total_keys_examined\":1,\"total_docs_examined\":1,");
	assert_false(has(&out, "warning"));
	/* An index without some of the documents is not used for a selector that may match them. */
	query(scratch, "{\"selector\":{\"$or\":[{\"name\":\"x\"},{\"age\":30}]}}", &out);
	assert_has(&out, "No matching index found");
	query(scratch, "{\"selector\":{\"age\":30},\"use_index\":\"names\"}", &out);
	assert_has(&out, "_design/names was not used because it does not contain a valid index for this query.\\n"
			 "No matching index found");
	qosid_buf_free(&out);
}

static void test_fields(void **state)
{
	struct scratch *scratch = *state;
	struct qosid_buf out = {0};

	(void)edit(scratch, "x", NULL, "{\"a\":{\"b\":1,\"c\":[5,{\"d\":6}]},\"e.f\":2,\"g\":12345678901234567890123}");
	query(scratch,
	    "{\"selector\":{},\"fields\":[\"a.b\",\"_id\",\"a.c.1.d\",\"e\\\\.f\",\"g\",\"zz\",\"a.zz\",\"_id\"]}",
	    &out);
	assert_has(&out,
	    "\n{\"a\":{\"b\":1,\"c\":{\"1\":{\"d\":6}}},\"_id\":\"x\",\"e.f\":2,\"g\":12345678901234567890123}\r\n");
	query(scratch, "{\"selector\":{},\"fields\":[\"a.b\",\"a\",\"_rev\",\"_id\"]}", &out);
	assert_has(&out, "\n{\"a\":{\"b\":1,\"c\":[5,{\"d\":6}]},\"_rev\":\"1-");
	query(scratch, "{\"selector\":{},\"fields\":[\"nothing\"]}", &out);
	assert_has(&out, "[\n{}\r\n]");
	query(scratch, "{\"selector\":{},\"fields\":[]}", &out);
	assert_has(&out, "{\"_id\":\"x\",\"_rev\":\"1-");
	qosid_buf_free(&out);
}

static void test_partial_indexes(void **state)
{
	struct scratch *scratch = *state;
	struct qosid_buf out = {0};

	add_people(scratch);
	(void)add_index(scratch,
	    "{\"index\":{\"fields\":[\"age\"],\"partial_filter_selector\":{\"city\":\"Душанбе\"}},\"ddoc\":\"p\","
	    "\"name\":\"p\"}",
	    NULL, NULL);
	query(scratch, "{\"selector\":{\"age\":{\"$gt\":0}}}", &out);
	assert_has(&out, "No matching index found");
	expect_ids(scratch, "{\"selector\":{\"age\":{\"$gt\":0}},\"use_index\":\"p\"}", "p2 p3");
	expect_ids(scratch,
	    "{\"selector\":{\"age\":{\"$gt\":0}},\"use_index\":[\"_design/p\",\"p\"],\"sort\":[{\"age\":\"desc\"}]}",
	    "p3 p2");
	qosid_buf_free(&out);
}

static void test_explain(void **state)
{
	struct scratch *scratch = *state;
	struct qosid_buf out = {0};

	(void)add_index(scratch, "{\"index\":{\"fields\":[\"a\",\"b\"]},\"ddoc\":\"ab\",\"name\":\"ab\"}", NULL, NULL);
	(void)add_index(scratch, "{\"index\":{\"fields\":[\"a\"]},\"ddoc\":\"z\",\"name\":\"a\"}", NULL, NULL);
	assert_rc(scratch, try_query(scratch, "{\"selector\":{\"a\":5,\"b\":{\"$gt\":1}}}", true, &out), 0);
	assert_has(&out, "{\"dbname\":\"db\",\"index\":{\"ddoc\":\"_design/ab\"");
	assert_has(&out, "\"selector\":{\"$and\":[{\"a\":{\"$eq\":5}},{\"b\":{\"$gt\":1}}]}");
	assert_has(&out, "\"start_key\":[5,1],\"end_key\":[5,\"<MAX>\"],\"direction\":\"fwd\"");
	assert_rc(scratch, try_query(scratch, "{\"selector\":{\"a\":5}}", true, &out), 0);
	assert_has(&out, "\"index\":{\"ddoc\":\"_design/z\"");
	assert_rc(scratch,
	    try_query(scratch,
		"{\"selector\":{\"a\":{\"$gt\":5}},\"sort\":[{\"a\":\"desc\"}],\"limit\":3,\"fields\":[\"x\"]}", true,
		&out),
	    0);
	assert_has(&out, "\"start_key\":[\"<MAX>\"],\"end_key\":[5],\"direction\":\"rev\"");
	assert_has(&out, "\"sort\":{\"a\":\"desc\"},\"fields\":[\"x\"]");
	assert_rc(scratch, try_query(scratch, "{\"selector\":{\"c\":5},\"use_index\":\"ab\"}", true, &out), 0);
	assert_has(&out, "\"name\":\"_all_docs\"");
	qosid_buf_free(&out);
}

/* ---- bookmarks ---- */

/* Page through everything and count; each document must come once. */
static int page_through(struct scratch *scratch, const char *head, int limit, struct qosid_buf *all)
{
	struct qosid_buf out = {0};
	struct qosid_buf ids = {0};
	char body[2048];
	char bookmark[1024] = "\"nil\"";
	int pages = 0;

	qosid_buf_reset(all);
	do {
		struct json_slice value;

		(void)snprintf(body, sizeof(body), "%s,\"limit\":%d,\"bookmark\":%s}", head, limit, bookmark);
		query(scratch, body, &out);
		ids_of(&out, &ids);
		if (ids.len > 0)
			assert_int_equal(
			    qosid_buf_append_format(all, NULL, "%s%s", all->len > 0 ? " " : "", (const char *)ids.data),
			    0);
		assert_true(json_find((struct json_slice){(const char *)out.data, out.len}, "bookmark", &value));
		assert_true(value.len < sizeof(bookmark));
		(void)snprintf(bookmark, sizeof(bookmark), "%.*s", (int)value.len, value.text);
		pages++;
	} while (ids.len > 0 && pages < 100);
	qosid_buf_free(&out);
	qosid_buf_free(&ids);
	return pages;
}

static void test_bookmarks(void **state)
{
	struct scratch *scratch = *state;
	struct qosid_buf all = {0};
	char id[16];
	char body[64];

	for (int i = 0; i < 10; i++) {
		(void)snprintf(id, sizeof(id), "d%d", i);
		(void)snprintf(body, sizeof(body), "{\"v\":%d}", i / 4); /* with ties */
		(void)edit(scratch, id, NULL, body);
	}
	assert_int_equal(page_through(scratch, "{\"selector\":{}", 3, &all), 5);
	assert_string_equal((const char *)all.data, "d0 d1 d2 d3 d4 d5 d6 d7 d8 d9");
	(void)page_through(scratch, "{\"selector\":{\"_id\":{\"$lt\":\"d8\"}},\"sort\":[{\"_id\":\"desc\"}]", 3, &all);
	assert_string_equal((const char *)all.data, "d7 d6 d5 d4 d3 d2 d1 d0");
	(void)add_index(scratch, "{\"index\":{\"fields\":[\"v\"]}}", NULL, NULL);
	(void)page_through(scratch, "{\"selector\":{\"v\":{\"$gte\":0}}", 3, &all);
	assert_string_equal((const char *)all.data, "d0 d1 d2 d3 d4 d5 d6 d7 d8 d9");
	(void)page_through(scratch, "{\"selector\":{\"v\":{\"$lte\":1}},\"sort\":[{\"v\":\"desc\"}]", 3, &all);
	assert_string_equal((const char *)all.data, "d7 d6 d5 d4 d3 d2 d1 d0");
	expect_refusal(
	    scratch, "{\"selector\":{},\"bookmark\":\"bad!\"}", "invalid_bookmark", "Invalid bookmark value: \"bad!\"");
	expect_refusal(
	    scratch, "{\"selector\":{},\"bookmark\":\"AAAA\"}", "invalid_bookmark", "Invalid bookmark value: \"AAAA\"");
	qosid_buf_free(&all);
}

/* ---- differential ---- */

static void random_scalar(uint64_t *seed, char *out, size_t size)
{
	static const char *const scalars[] = {"null", "true", "false", "0", "1", "1.0", "-3", "2.5", "9007199254740993",
	    "9007199254740992", "1e3", "\"\"", "\"a\"", "\"A\"", "\"b\"", "\"é\"", "\"e\xcc\x81\"", "\"и\"",
	    "\"и\xcc\x86мя\"", "\"йод\"", "\"ҷ\"", "\"ab\"", "\"a\\u0001\"", "\"เก\"", "[]", "[1]", "[1,\"a\"]", "{}",
	    "{\"x\":1}", "{\"x\":\"a\"}"};

	(void)snprintf(out, size, "%s", scalars[random_next(seed) % (sizeof(scalars) / sizeof(*scalars))]);
}

static void random_body(uint64_t *seed, char *out, size_t size)
{
	static const char names[] = "abc";
	size_t len = 1;
	char value[64];

	(void)snprintf(out, size, "{");
	for (int i = 0; i < 3; i++) {
		if (random_next(seed) % 5 == 0)
			continue;
		random_scalar(seed, value, sizeof(value));
		len += (size_t)snprintf(out + len, size - len, "%s\"%c\":%s", len > 1 ? "," : "", names[i], value);
	}
	(void)snprintf(out + len, size - len, "}");
}

static void random_condition(uint64_t *seed, char *out, size_t size)
{
	static const char *const ops[] = {"$lt", "$lte", "$eq", "$ne", "$gte", "$gt"};
	static const char *const prefixes[] = {"a", "", "и", "e", "é", "й", "เ", "и\xcc\x86"};
	uint32_t kind = random_next(seed) % 10;
	char value[64];

	random_scalar(seed, value, sizeof(value));
	if (kind < 6)
		(void)snprintf(out, size, "{\"%s\":%s}", ops[kind], value);
	else if (kind == 6)
		(void)snprintf(out, size, "{\"$in\":[%s,1]}", value);
	else if (kind == 7)
		(void)snprintf(out, size, "{\"$exists\":%s}", random_next(seed) % 4 == 0 ? "false" : "true");
	else if (kind == 8)
		(void)snprintf(out, size, "{\"$beginsWith\":\"%s\"}", prefixes[random_next(seed) % 8]);
	else
		(void)snprintf(out, size, "{\"$not\":{\"$gt\":%s}}", value);
}

static void random_selector(uint64_t *seed, char *out, size_t size)
{
	char one[160];
	char two[160];
	char a = (char)('a' + (int)(random_next(seed) % 3));
	char b = (char)('a' + (int)(random_next(seed) % 3));

	random_condition(seed, one, sizeof(one));
	random_condition(seed, two, sizeof(two));
	switch (random_next(seed) % 4) {
	case 0:
		(void)snprintf(out, size, "{\"%c\":%s}", a, one);
		break;
	case 1:
		(void)snprintf(out, size, "{\"$or\":[{\"%c\":%s},{\"%c\":%s}]}", a, one, b, two);
		break;
	default:
		(void)snprintf(out, size, "{\"$and\":[{\"%c\":%s},{\"%c\":%s}]}", a, one, b, two);
	}
}

struct scan {
	struct mango_selector *selector;
	int count;
	struct qosid_buf ids;
};

static int scan_record(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct mango_subject subject = mango_subject_of(record);
	struct scan *scan = context;
	bool matches;

	if (strncmp(subject.id, "_design/", 8) == 0)
		return 0;
	assert_int_equal(mango_match(scan->selector, &subject, &matches, err), 0);
	scan->count += matches;
	return matches ? qosid_buf_append_format(&scan->ids, err, " %s ", subject.id) : 0;
}

/* Whether a query finds the same set as a scan. Returns whether an index was used. */
static bool compare_with_scan(struct scratch *scratch, const char *selector, const char *more)
{
	struct replica_range range = {0};
	struct scan scan = {0};
	struct qosid_buf answer = {0};
	struct qosid_buf ids = {0};
	char body[600];
	char key[32];
	char *save = NULL;
	int count = 0;
	bool used;

	assert_rc(scratch, mango_selector_parse(&scan.selector, slice(selector), &scratch->err), 0);
	assert_rc(scratch, replica_visit_documents(scratch->replica, &range, scan_record, &scan, &scratch->err), 0);
	(void)snprintf(body, sizeof(body), "{\"selector\":%s,\"limit\":10000%s}", selector, more);
	query(scratch, body, &answer);
	ids_of(&answer, &ids);
	for (char *id = strtok_r((char *)ids.data, " ", &save); id != NULL; id = strtok_r(NULL, " ", &save), count++) {
		(void)snprintf(key, sizeof(key), " %s ", id);
		if (scan.ids.len == 0 || strstr((const char *)scan.ids.data, key) == NULL)
			fail_msg("%s: the index finds %s, the scan does not", body, id);
	}
	if (count != scan.count)
		fail_msg("%s: the index finds %d, the scan %d", body, count, scan.count);
	used = !has(&answer, "No matching index");
	mango_selector_free(scan.selector);
	qosid_buf_free(&scan.ids);
	qosid_buf_free(&answer);
	qosid_buf_free(&ids);
	return used;
}

static void change_documents(struct scratch *scratch, uint64_t *seed, int count)
{
	char id[16];
	char body[256];
	char parent[REVISION_TEXT_SIZE];
	struct replica_record record = {0};

	assert_rc(scratch, replica_begin(scratch->replica, &scratch->err), 0);
	for (int i = 0; i < count; i++) {
		int rc;

		(void)snprintf(id, sizeof(id), "d%u", random_next(seed) % 150);
		random_body(seed, body, sizeof(body));
		rc = replica_read_document(scratch->replica, id, NULL, &record, &scratch->err);
		revision_format(parent, &record.rev);
		(void)try_edit(scratch, id, rc == 0 ? parent : NULL, rc == 0 && random_next(seed) % 4 == 0, body, NULL);
	}
	assert_rc(scratch, replica_commit(scratch->replica, &scratch->err), 0);
	replica_record_free(&record);
}

static void test_differential(void **state)
{
	struct scratch *scratch = *state;
	uint64_t seed = 4711;
	char selector[400];
	int used = 0;

	(void)add_index(scratch, "{\"index\":{\"fields\":[\"a\"]}}", NULL, NULL);
	(void)add_index(scratch, "{\"index\":{\"fields\":[\"a\",\"b\"]}}", NULL, NULL);
	(void)add_index(scratch, "{\"index\":{\"fields\":[\"b\",\"c\",\"a\"]}}", NULL, NULL);
	(void)add_index(scratch, "{\"index\":{\"fields\":[\"c\",\"_id\"]}}", NULL, NULL);
	for (int round = 0; round < 10; round++) {
		change_documents(scratch, &seed, 60);
		for (int i = 0; i < 60; i++) {
			random_selector(&seed, selector, sizeof(selector));
			used += compare_with_scan(scratch, selector, "");
		}
		if (round == 5)
			scratch_reopen(scratch);
	}
	assert_true(used > 250);
}

/* An index that is dropped and made anew, and one whose definition changes. */
static void test_definitions_change(void **state)
{
	struct scratch *scratch = *state;
	struct qosid_buf out = {0};
	char rev[REVISION_TEXT_SIZE];

	add_people(scratch);
	(void)snprintf(rev, sizeof(rev), "%s",
	    edit(scratch, "_design/i", NULL,
		"{\"language\":\"query\",\"views\":{\"v\":{\"map\":{\"fields\":{\"age\":\"asc\"}}}}}"));
	expect_ids(scratch, "{\"selector\":{\"age\":30},\"use_index\":\"i\",\"allow_fallback\":false}", "p1 p4");
	(void)snprintf(rev, sizeof(rev), "%s",
	    edit(scratch, "_design/i", rev,
		"{\"language\":\"query\",\"views\":{\"v\":{\"map\":{\"fields\":{\"name\":\"asc\"}}}}}"));
	expect_ids(scratch, "{\"selector\":{\"name\":\"Чаман\"},\"use_index\":\"i\",\"allow_fallback\":false}", "p4");
	query(scratch, "{\"selector\":{\"age\":30}}", &out);
	assert_has(&out, "No matching index");
	(void)edit_delete(scratch, "_design/i", rev);
	query(scratch, "{\"selector\":{\"name\":\"Чаман\"}}", &out);
	assert_has(&out, "No matching index");
	expect_refusal(scratch, "{\"selector\":{\"name\":\"x\"},\"sort\":[\"name\"]}", "no_usable_index",
	    "No index exists for this sort, try indexing by the sort fields.");
	qosid_buf_free(&out);
}

/* More documents than one update takes. */
static void test_many_documents(void **state)
{
	struct scratch *scratch = *state;
	struct qosid_buf out = {0};
	char id[16];
	char body[64];

	(void)add_index(scratch, "{\"index\":{\"fields\":[\"v\"]}}", NULL, NULL);
	assert_rc(scratch, replica_begin(scratch->replica, &scratch->err), 0);
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(id, sizeof(id), "d%05d", i);
		(void)snprintf(body, sizeof(body), "{\"v\":%d}", i % 100);
		(void)edit(scratch, id, NULL, body);
	}
	assert_rc(scratch, replica_commit(scratch->replica, &scratch->err), 0);
	query(scratch, "{\"selector\":{\"v\":77},\"limit\":1000,\"execution_stats\":true}", &out);
	assert_has(&out, "\"total_keys_examined\":50,\"total_docs_examined\":50,\"total_quorum_docs_examined\":0,"
			 "\"results_returned\":50,");
	query(scratch, "{\"selector\":{\"v\":77,\"w\":1},\"limit\":1000}", &out);
	assert_has(&out, "The number of documents examined is high");
	qosid_buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_definitions, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_removal, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_bad_requests, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_bad_design_documents, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_queries, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_fields, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_partial_indexes, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_explain, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_bookmarks, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_differential, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_definitions_change, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_many_documents, scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
