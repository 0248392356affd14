/*
 * Selectors: how they are normalised, and what is refused with which of CouchDB's errors.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store_support.h"
#include "sync/replica/mango.h"

static const struct {
	const char *selector;
	const char *normal;
} normal_forms[] = {
    {"{}", "{}"},
    {"{\"a\":1}", "{\"a\":{\"$eq\":1}}"},
    {"{\"a\":\"x\"}", "{\"a\":{\"$eq\":\"x\"}}"},
    {"{\"a\":[1,2]}", "{\"a\":{\"$eq\":[1,2]}}"},
    {"{\"a\":{}}", "{\"a\":{\"$eq\":{}}}"},
    {"{\"a\":1,\"b\":2}", "{\"$and\":[{\"a\":{\"$eq\":1}},{\"b\":{\"$eq\":2}}]}"},
    {"{\"a\":{\"b\":3}}", "{\"a.b\":{\"$eq\":3}}"},
    {"{\"a\":{\"b\":{\"c\":{\"$gt\":3}}}}", "{\"a.b.c\":{\"$gt\":3}}"},
    {"{\"a\":{\"$gt\":1,\"$lt\":5}}", "{\"$and\":[{\"a\":{\"$gt\":1}},{\"a\":{\"$lt\":5}}]}"},
    {"{\"a\":{\"b\":1,\"c\":2}}", "{\"$and\":[{\"a.b\":{\"$eq\":1}},{\"a.c\":{\"$eq\":2}}]}"},
    {"{\"a\":{\"$or\":[1,{\"$gt\":5}]}}", "{\"$or\":[{\"a\":{\"$eq\":1}},{\"a\":{\"$gt\":5}}]}"},
    {"{\"$and\":[]}", "{\"$and\":[]}"},
    {"{\"$or\":[{\"a\":1},{\"b\":2}]}", "{\"$or\":[{\"a\":{\"$eq\":1}},{\"b\":{\"$eq\":2}}]}"},
    {"{\"$nor\":[{\"a\":1},{\"b\":{\"$lt\":2}}]}", "{\"$and\":[{\"a\":{\"$ne\":1}},{\"b\":{\"$gte\":2}}]}"},
    {"{\"$not\":{\"a\":1}}", "{\"a\":{\"$ne\":1}}"},
    {"{\"a\":{\"$not\":{\"$lte\":1}}}", "{\"a\":{\"$gt\":1}}"},
    {"{\"$not\":{\"a\":1,\"b\":2}}", "{\"$or\":[{\"a\":{\"$ne\":1}},{\"b\":{\"$ne\":2}}]}"},
    {"{\"$not\":{\"$or\":[{\"a\":1},{\"b\":2}]}}", "{\"$and\":[{\"a\":{\"$ne\":1}},{\"b\":{\"$ne\":2}}]}"},
    {"{\"$not\":{\"$not\":{\"a\":1}}}", "{\"a\":{\"$eq\":1}}"},
    {"{\"$not\":{\"a\":{\"$in\":[1]}}}", "{\"a\":{\"$nin\":[1]}}"},
    {"{\"$not\":{\"a\":{\"$nin\":[1]}}}", "{\"a\":{\"$in\":[1]}}"},
    {"{\"$not\":{\"a\":{\"$exists\":true}}}", "{\"a\":{\"$exists\":false}}"},
    {"{\"$not\":{\"a\":{\"$size\":3}}}", "{\"a\":{\"$not\":{\"$size\":3}}}"},
    {"{\"$not\":{\"$not\":{\"a\":{\"$size\":3}}}}", "{\"a\":{\"$size\":3}}"},
    {"{\"$not\":{\"a\":{\"$ne\":1}}}", "{\"a\":{\"$eq\":1}}"},
    {"{\"$not\":{\"a\":{\"$gte\":1}}}", "{\"a\":{\"$lt\":1}}"},
    {"{\"$not\":{\"a\":{\"$gt\":1}}}", "{\"a\":{\"$lte\":1}}"},
    {"{\"a\":{\"$elemMatch\":{\"$gt\":5}}}", "{\"a\":{\"$elemMatch\":{\"$gt\":5}}}"},
    {"{\"a\":{\"$elemMatch\":{\"b\":5,\"c\":{\"$lt\":1}}}}",
	"{\"a\":{\"$elemMatch\":{\"$and\":[{\"b\":{\"$eq\":5}},{\"c\":{\"$lt\":1}}]}}}"},
    {"{\"a\":{\"$allMatch\":{\"b\":5}}}", "{\"a\":{\"$allMatch\":{\"b\":{\"$eq\":5}}}}"},
    {"{\"a\":{\"$keyMapMatch\":{\"$eq\":\"k\"}}}", "{\"a\":{\"$keyMapMatch\":{\"$eq\":\"k\"}}}"},
    {"{\"a\\\\.b\":1}", "{\"a\\\\.b\":{\"$eq\":1}}"},
    {"{\"a\":{\"$regex\":\"^x\"}}", "{\"a\":{\"$regex\":\"^x\"}}"},
    {"{\"\\u0024and\":[{\"a\":1}]}", "{\"$and\":[{\"a\":{\"$eq\":1}}]}"},
    {"{\"a\":12345678901234567890123.50}", "{\"a\":{\"$eq\":12345678901234567890123.50}}"},
};

static void test_normal_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(normal_forms) / sizeof(*normal_forms); i++) {
		struct mango_selector *selector = NULL;
		struct qosid_errbuf err = {0};
		struct qosid_buf out = {0};

		if (mango_selector_parse(&selector, slice(normal_forms[i].selector), &err) != 0)
			fail_msg("%s: %s %s", normal_forms[i].selector, err.where, err.what);
		assert_int_equal(mango_selector_render(selector, &out, &err), 0);
		assert_string_equal((const char *)out.data, normal_forms[i].normal);
		qosid_buf_free(&out);
		mango_selector_free(selector);
	}
}

static const struct {
	const char *selector;
	const char *name;
	const char *reason;
} refusals[] = {
    {"[]", "invalid_selector_json", "Selector must be a JSON object, not: []"},
    {"\"foo\"", "invalid_selector_json", "Selector must be a JSON object, not: <<102,111,111>>"},
    {"null", "invalid_selector_json", "Selector must be a JSON object, not: null"},
    {"{\"a\":{\"$foo\":1}}", "invalid_operator", "Invalid operator: $foo"},
    {"{\"$foo\":[]}", "invalid_operator", "Invalid operator: $foo"},
    {"{\"a\":{\"$where\":\"x\"}}", "not_supported", "Unsupported operator: $where"},
    {"{\"$and\":{}}", "bad_arg", "Bad argument for operator $and: {[]}"},
    {"{\"$or\":5}", "bad_arg", "Bad argument for operator $or: 5"},
    {"{\"$nor\":\"x\"}", "bad_arg", "Bad argument for operator $nor: <<120>>"},
    {"{\"$not\":[1,true]}", "bad_arg", "Bad argument for operator $not: [1,true]"},
    {"{\"a\":{\"$in\":5}}", "bad_arg", "Bad argument for operator $in: 5"},
    {"{\"a\":{\"$nin\":{\"b\":1}}}", "bad_arg", "Bad argument for operator $nin: {[{<<98>>,1}]}"},
    {"{\"a\":{\"$all\":null}}", "bad_arg", "Bad argument for operator $all: null"},
    {"{\"a\":{\"$exists\":1}}", "bad_arg", "Bad argument for operator $exists: 1"},
    {"{\"a\":{\"$type\":1}}", "bad_arg", "Bad argument for operator $type: 1"},
    {"{\"a\":{\"$size\":-1}}", "bad_arg", "Bad argument for operator $size: -1"},
    {"{\"a\":{\"$size\":1.5}}", "bad_arg", "Bad argument for operator $size: 1.5"},
    {"{\"a\":{\"$mod\":[0,1]}}", "bad_arg", "Bad argument for operator $mod: [0,1]"},
    {"{\"a\":{\"$mod\":[2]}}", "bad_arg", "Bad argument for operator $mod: [2]"},
    {"{\"a\":{\"$mod\":[2,1,1]}}", "bad_arg", "Bad argument for operator $mod: [2,1,1]"},
    {"{\"a\":{\"$mod\":[2,1.5]}}", "bad_arg", "Bad argument for operator $mod: [2,1.5]"},
    {"{\"a\":{\"$regex\":5}}", "bad_arg", "Bad argument for operator $regex: 5"},
    {"{\"a\":{\"$regex\":\"[\"}}", "bad_arg", "Bad argument for operator $regex: <<91>>"},
    {"{\"a\":{\"$regex\":\"(a)\\\\1\"}}", "bad_arg", "Bad argument for operator $regex: <<40,97,41,92,49>>"},
    {"{\"a\":{\"$regex\":\"a)|(?:b\"}}", "bad_arg", NULL},
    {"{\"a\":{\"$regex\":\"((a{1000}){1000}){1000}\"}}", "bad_arg", NULL},
    {"{\"a\":{\"$beginsWith\":5}}", "bad_arg", "Bad argument for operator $beginsWith: 5"},
    {"{\"a\":{\"$elemMatch\":5}}", "bad_arg", "Bad argument for operator $elemMatch: 5"},
    {"{\"a\":{\"$allMatch\":[]}}", "bad_arg", "Bad argument for operator $allMatch: []"},
    {"{\"a\":{\"$keyMapMatch\":\"\"}}", "bad_arg", "Bad argument for operator $keyMapMatch: <<>>"},
    {"{\"\":5}", "bad_field", "Invalid field normalization on selector: {[{<<>>,5}]}"},
    {"{\"$eq\":5}", "bad_field", "Invalid field normalization on selector: {[{<<36,101,113>>,5}]}"},
    {"{\"$and\":[{\"$gt\":5}]}", "bad_field", NULL},
    {"{\"a..b\":5}", "invalid_field_name", "Invalid field name: a..b"},
    {"{\".a\":5}", "invalid_field_name", "Invalid field name: .a"},
    {"{\"a.\":5}", "invalid_field_name", "Invalid field name: a."},
};

static void test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		struct mango_selector *selector = NULL;
		struct qosid_errbuf err = {0};

		if (mango_selector_parse(&selector, slice(refusals[i].selector), &err) != QOSID_ERR_INVALID)
			fail_msg("%s was accepted", refusals[i].selector);
		assert_null(selector);
		assert_string_equal(err.where, refusals[i].name);
		if (refusals[i].reason != NULL)
			assert_string_equal(err.what, refusals[i].reason);
	}
}

static void repeat(struct qosid_buf *out, const char *text, int count)
{
	for (int i = 0; i < count; i++)
		assert_int_equal(qosid_buf_append_text(out, text, NULL), 0);
}

static void parse_large(const struct qosid_buf *text, int expected)
{
	struct mango_selector *selector = NULL;
	struct json_slice value = {(const char *)text->data, text->len};

	assert_int_equal(json_check(value.text, value.len, NULL), 0);
	assert_int_equal(mango_selector_parse(&selector, value, NULL), expected);
	mango_selector_free(selector);
}

/* As deep and as wide as they come. */
static void test_large_selectors(void **state)
{
	struct qosid_buf text = {0};

	(void)state;
	repeat(&text, "{\"$not\":", 198);
	repeat(&text, "{\"a\":1", 1);
	repeat(&text, "}", 199);
	parse_large(&text, 0);

	qosid_buf_reset(&text);
	repeat(&text, "{\"a\":", 199);
	repeat(&text, "1", 1);
	repeat(&text, "}", 199);
	parse_large(&text, 0);

	qosid_buf_reset(&text);
	repeat(&text, "{\"$or\":[{\"a\":1}", 1);
	repeat(&text, ",{\"a\":2}", 4000);
	repeat(&text, "]}", 1);
	parse_large(&text, 0);

	qosid_buf_reset(&text);
	repeat(&text, "{\"$or\":[{\"a\":1}", 1);
	repeat(&text, ",{\"a\":2}", 20000);
	repeat(&text, "]}", 1);
	parse_large(&text, QOSID_ERR_INVALID);

	qosid_buf_reset(&text);
	repeat(&text, "{\"", 1);
	repeat(&text, "long", 1000);
	repeat(&text, "\":1}", 1);
	parse_large(&text, QOSID_ERR_INVALID);
	qosid_buf_free(&text);
}

static const struct {
	const char *body;
	const char *name;
	const char *reason;
} query_refusals[] = {
    {"{}", "missing_required_key", "Missing required key: selector"},
    {"{\"selector\":{},\"foo\":1}", "invalid_key", "Invalid key foo for this request."},
    {"{\"selector\":{},\"limit\":-1}", "invalid_non_neg_integer", NULL},
    {"{\"selector\":{},\"limit\":\"a\"}", "invalid_non_neg_integer", NULL},
    {"{\"selector\":{},\"limit\":1.5}", "invalid_non_neg_integer", NULL},
    {"{\"selector\":{},\"skip\":null}", "invalid_non_neg_integer", NULL},
    {"{\"selector\":{},\"r\":0}", "invalid_pos_integer", NULL},
    {"{\"selector\":{},\"sort\":\"a\"}", "invalid_sort_json", "Sort must be an array of sort specs, not: <<97>>"},
    {"{\"selector\":{},\"sort\":[5]}", "invalid_sort_field", "Invalid sort field: 5"},
    {"{\"selector\":{},\"sort\":[{\"a\":\"up\"}]}", "invalid_sort_dir", NULL},
    {"{\"selector\":{},\"sort\":[{\"a\":\"asc\",\"b\":\"asc\"}]}", "invalid_sort_field", NULL},
    {"{\"selector\":{},\"sort\":[{\"a\":\"asc\"},{\"b\":\"desc\"}]}", "unsupported_mixed_sort",
	"Sorts currently only support a single direction for all fields."},
    {"{\"selector\":{},\"fields\":\"a\"}", "invalid_fields", "Fields must be an array of strings, not: <<97>>"},
    {"{\"selector\":{},\"fields\":[5]}", "invalid_field", "Invalid JSON for field spec: 5"},
    {"{\"selector\":{},\"use_index\":5}", "invalid_index_name", "Invalid index name: 5"},
    {"{\"selector\":{},\"use_index\":[\"a\",\"b\",\"c\"]}", "invalid_index_name", NULL},
    {"{\"selector\":{},\"use_index\":[\"a\",5]}", "invalid_index_name", NULL},
    {"{\"selector\":{},\"bookmark\":5}", "invalid_string", "Invalid string: 5"},
    {"{\"selector\":{},\"conflicts\":5}", "invalid_boolean", "Invalid boolean value: 5"},
    {"{\"selector\":{},\"execution_stats\":\"true\"}", "invalid_boolean", NULL},
    {"{\"selector\":5}", "invalid_selector_json", NULL},
};

static void test_query_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(query_refusals) / sizeof(*query_refusals); i++) {
		struct mango_query *query = NULL;
		struct qosid_errbuf err = {0};

		if (mango_query_parse(&query, slice(query_refusals[i].body), &err) != QOSID_ERR_INVALID)
			fail_msg("%s was accepted", query_refusals[i].body);
		assert_null(query);
		assert_string_equal(err.where, query_refusals[i].name);
		if (query_refusals[i].reason != NULL)
			assert_string_equal(err.what, query_refusals[i].reason);
	}
}

static void test_queries(void **state)
{
	static const char *const bodies[] = {
	    "{\"selector\":{}}",
	    "{\"selector\":{},\"sort\":[\"a\",{\"b\":\"asc\"}],\"fields\":[],\"limit\":0,\"skip\":3}",
	    "{\"selector\":{},\"sort\":[{\"a\":\"desc\"},{\"b\":\"desc\"}],\"fields\":[\"a.b\",\"_id\"]}",
	    "{\"selector\":{},\"use_index\":\"_design/x\"}",
	    "{\"selector\":{},\"use_index\":\"x/y\"}",
	    "{\"selector\":{},\"use_index\":[\"_design/x\",\"y\"]}",
	    "{\"selector\":{},\"use_index\":[]}",
	    "{\"selector\":{},\"use_index\":null,\"bookmark\":\"nil\",\"update\":false,\"stable\":true,\"r\":2}",
	    "{\"selector\":{},\"stale\":\"ok\",\"execution_stats\":true,\"conflicts\":true,\"partition\":\"\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		struct mango_query *query = NULL;
		struct qosid_errbuf err = {0};

		if (mango_query_parse(&query, slice(bodies[i]), &err) != 0)
			fail_msg("%s: %s %s", bodies[i], err.where, err.what);
		mango_query_free(query);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_normal_forms),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_large_selectors),
	    cmocka_unit_test(test_query_refusals),
	    cmocka_unit_test(test_queries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
