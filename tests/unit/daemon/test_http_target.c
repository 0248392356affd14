/* Request targets and header values taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/http_internal.h"

/* ---- targets ---- */

static void assert_path(const char *uri, const char *raw, const char *const *segments)
{
	struct http_target target = {0};
	struct qosid_errbuf err = {0};
	if (http_target_parse(&target, uri, &err) != 0)
		fail_msg("%s: %s", uri, err.what);
	assert_string_equal(target.raw, raw);
	size_t count = 0;
	for (; segments[count]; count++) {
		assert_true(count < target.segment_count);
		assert_string_equal(target.segments[count], segments[count]);
	}
	assert_int_equal(target.segment_count, count);
	http_target_free(&target);
}

static void paths(void **state)
{
	(void)state;
	const char *const none[] = {NULL}, *const db[] = {"db", NULL}, *const slash[] = {"db", "a/b", NULL};
	const char *const design[] = {"db", "_design", "x", "_view", "y", NULL}, *const dots[] = {
										     "..", ".", "db", NULL};
	const char *const plus[] = {"db", "a+b c", NULL}, *const odd[] = {"db", "100%", "%zz", "%4", NULL};
	const char *const utf8[] = {"db", "\xd0\xb6\xf0\x9f\x98\x80", NULL};
	assert_path("/", "/", none);
	assert_path("", "", none);
	assert_path("*", "", none);
	assert_path("/db", "/db", db);
	assert_path("/db/", "/db/", db);
	assert_path("//db//", "//db//", db);
	assert_path("/db?x=/a/b", "/db", db);
	assert_path("/db#frag", "/db", db);
	assert_path("http://host:5985/db/", "/db/", db);
	assert_path("http://host", "", none);
	assert_path("/db/a%2Fb", "/db/a%2Fb", slash);
	assert_path("/db/a%2fb/", "/db/a%2fb/", slash);
	assert_path("/db/_design/x/_view/y", "/db/_design/x/_view/y", design);
	assert_path("/%2e%2E/./db", "/%2e%2E/./db", dots);
	assert_path("/db/a+b%20c", "/db/a+b%20c", plus);
	assert_path("/db/100%/%zz/%4", "/db/100%/%zz/%4", odd);
	assert_path("/db/%D0%B6%F0%9F%98%80", "/db/%D0%B6%F0%9F%98%80", utf8);
}

static void bad_targets(void **state)
{
	static const char *const bad[] = {"/a%00", "/%ff", "/%c0%af", "/%ed%a0%80", "/%f4%90%80%80", "/%e2%82", "/\xff",
	    "/?a=%00", "/?%80=1", "/%f8%88%80%80%80"};
	char deep[2 * HTTP_SEGMENTS_MAX + 3] = "";
	struct qosid_errbuf err = {0};
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct http_target target = {0};
		if (http_target_parse(&target, bad[i], &err) != QOSID_ERR_INVALID)
			fail_msg("%s is taken", bad[i]);
		http_target_free(&target);
	}
	for (int i = 0; i < HTTP_SEGMENTS_MAX; i++)
		strcat(deep, "/a");
	struct http_target target = {0};
	assert_int_equal(http_target_parse(&target, deep, &err), 0);
	http_target_free(&target);
	strcat(deep, "/a");
	assert_int_equal(http_target_parse(&target, deep, &err), QOSID_ERR_LIMIT);
	http_target_free(&target);
}

static void queries(void **state)
{
	(void)state;
	struct http_target target = {0};
	assert_int_equal(http_target_parse(&target, "/db?a=1&b=x+y%2B%26&&c&d=&=e&f=1=2&%D0%B6=%22#no=1", NULL), 0);
	static const char *const wanted[][2] = {
	    {"a", "1"}, {"b", "x y+&"}, {"c", ""}, {"d", ""}, {"", "e"}, {"f", "1=2"}, {"\xd0\xb6", "\""}};
	assert_int_equal(target.parameter_count, sizeof wanted / sizeof wanted[0]);
	for (size_t i = 0; i < target.parameter_count; i++) {
		assert_string_equal(target.parameters[i].name, wanted[i][0]);
		assert_string_equal(target.parameters[i].value, wanted[i][1]);
	}
	http_target_free(&target);
}

static int add_field(void *context, const char *name, const char *value, struct qosid_errbuf *err)
{
	return qosid_buf_append_format(context, err, "[%s|%s]", name, value);
}

static void forms(void **state)
{
	(void)state;
	struct qosid_buf seen = {0};
	assert_int_equal(http_visit_form("name=a%20b&password=%26+x&", add_field, &seen, NULL), 0);
	assert_string_equal((const char *)seen.data, "[name|a b][password|& x]");
	qosid_buf_reset(&seen);
	assert_int_equal(http_visit_form("", add_field, &seen, NULL), 0);
	assert_int_equal(seen.len, 0);
	assert_int_equal(http_visit_form("a=%00", add_field, &seen, NULL), QOSID_ERR_INVALID);
	qosid_buf_free(&seen);
}

/* ---- headers ---- */

static void accept_values(void **state)
{
	static const char json[] = "application/json", mixed[] = "multipart/mixed";
	(void)state;
	assert_int_equal(http_accept_quality(NULL, json), 1000);
	assert_int_equal(http_accept_quality("*/*", json), 1000);
	assert_int_equal(http_accept_quality("application/json", json), 1000);
	assert_int_equal(http_accept_quality("Application/JSON;charset=utf-8", json), 1000);
	assert_int_equal(http_accept_quality("application/json", mixed), 0);
	assert_int_equal(http_accept_quality("multipart/mixed;q=0.5, application/json", mixed), 500);
	assert_int_equal(http_accept_quality("multipart/*; q=0.3, */*;q=0.1", mixed), 300);
	assert_int_equal(http_accept_quality("multipart/*; q=0.3, */*;q=0.1", json), 100);
	assert_int_equal(http_accept_quality("*/*, multipart/mixed;q=0", mixed), 0);
	assert_int_equal(http_accept_quality("", json), 0);
	assert_int_equal(http_accept_quality(",;,/;q=x", json), 0);
}

static void types(void **state)
{
	(void)state;
	assert_true(http_type_is("application/json", "application/json"));
	assert_true(http_type_is(" application/json ;charset=utf-8", "application/json"));
	assert_false(http_type_is("application/jsonx", "application/json"));
	assert_false(http_type_is(NULL, "application/json"));
}

static void etags(void **state)
{
	(void)state;
	assert_true(http_etag_listed("\"a\"", "\"a\""));
	assert_true(http_etag_listed("W/\"a\"", "\"a\""));
	assert_true(http_etag_listed("\"x,y\" , \"a\"", "\"a\""));
	assert_true(http_etag_listed("\"x,y\"", "\"x,y\""));
	assert_true(http_etag_listed("*", "\"a\""));
	assert_false(http_etag_listed("\"aa\"", "\"a\""));
	assert_false(http_etag_listed("\"a", "\"a\""));
	assert_false(http_etag_listed("", "\"a\""));
	assert_false(http_etag_listed(" , ,", "\"a\""));
}

static void byte_ranges(void **state)
{
	static const struct {
		const char *value;
		int result;
		uint64_t first, count;
	} ranges[] = {{"bytes=0-0", 1, 0, 1}, {"bytes=5-", 1, 5, 5}, {"bytes=5-99", 1, 5, 5}, {"bytes=-3", 1, 7, 3},
	    {"bytes=-99", 1, 0, 10}, {"bytes=9-9", 1, 9, 1}, {"bytes=10-", -1, 0, 0}, {"bytes=-0", -1, 0, 0},
	    {"bytes=99999999999999999999999-", -1, 0, 0}, {"bytes=3-99999999999999999999999", 1, 3, 7},
	    {"bytes=3-2", 0, 0, 0}, {"bytes=-", 0, 0, 0}, {"bytes=0-1,3-4", 0, 0, 0}, {"lines=0-1", 0, 0, 0},
	    {"bytes=a-b", 0, 0, 0}, {"bytes=1", 0, 0, 0}};
	(void)state;
	for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
		uint64_t first = 0, count = 0;
		int result = http_range_parse(ranges[i].value, 10, &first, &count);
		if (result != ranges[i].result || first != ranges[i].first || count != ranges[i].count)
			fail_msg("%s: %d %llu+%llu", ranges[i].value, result, (unsigned long long)first,
			    (unsigned long long)count);
	}
	uint64_t first, count;
	assert_int_equal(http_range_parse("bytes=0-", 0, &first, &count), -1);
	assert_int_equal(http_range_parse(NULL, 10, &first, &count), 0);
}

static void origins(void **state)
{
	static const char *const some[] = {"https://app.example", NULL}, *const all[] = {"*", NULL};
	(void)state;
	assert_true(http_origin_allowed("https://app.example", some));
	assert_false(http_origin_allowed("http://app.example", some));
	assert_false(http_origin_allowed("https://app.example.evil", some));
	assert_false(http_origin_allowed("null", some));
	assert_true(http_origin_allowed("null", all));
	assert_false(http_origin_allowed("https://app.example", NULL));
	assert_true(http_origin_is_host("http://localhost:5985", "localhost:5985"));
	assert_false(http_origin_is_host("http://localhost:5986", "localhost:5985"));
	assert_false(http_origin_is_host("null", "localhost:5985"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(paths),
	    cmocka_unit_test(bad_targets),
	    cmocka_unit_test(queries),
	    cmocka_unit_test(forms),
	    cmocka_unit_test(accept_values),
	    cmocka_unit_test(types),
	    cmocka_unit_test(etags),
	    cmocka_unit_test(byte_ranges),
	    cmocka_unit_test(origins),
	};
	return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
