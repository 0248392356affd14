/*
 * Documents as JSON text: taken apart, refused, put together, and the bytes of the body left alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sync/replica/document.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static int parse(struct document *document, const char *text, struct qosid_errbuf *err)
{
	return document_parse(document, text, strlen(text), err);
}

static struct json_slice slice_of(const char *text)
{
	return (struct json_slice){text, strlen(text)};
}

/* text, body as it must come back */
static const char *const bodies[][2] = {
    {"{}", "{}"},
    {"{\"_id\":\"x\"}", "{}"},
    {"{\"a\":1}", "{\"a\":1}"},
    {" { \"a\" : 1 } ", "{\"a\" : 1}"},
    {"{\"n\":123456789012345678901234567890,\"f\":1.0,\"z\":-0.0,\"e\":1e3}",
	"{\"n\":123456789012345678901234567890,\"f\":1.0,\"z\":-0.0,\"e\":1e3}"},
    {"{\"b\":1,\"_id\":\"x\",\"a\":2,\"_rev\":\"1-a\"}", "{\"b\":1,\"a\":2}"},
    {"{\"_id\":\"x\",\n \"b\" :\t[ 1 ,2 ] ,\n \"a\":{\"_c\":\"}\"}\n}", "{\"b\" :\t[ 1 ,2 ],\"a\":{\"_c\":\"}\"}}"},
    {"{\"\\u0061\":\"\\u0062\\/\",\"\":null}", "{\"\\u0061\":\"\\u0062\\/\",\"\":null}"},
    {"{\"a_b\":1,\"\\\\_\":2}", "{\"a_b\":1,\"\\\\_\":2}"},
    {"{\"_conflicts\":[\"1-a\"],\"_deleted_conflicts\":[],\"_revs_info\":[],\"_local_seq\":5,\"_revs_diff\":{},\"a\":"
     "1}",
	"{\"a\":1}"},
    {"{\"\\u005fid\":\"x\",\"a\":1}", "{\"a\":1}"},
};

static void test_bodies(void **state)
{
	struct document document = {0};

	(void)state;
	for (size_t i = 0; i < LENGTH(bodies); i++) {
		struct qosid_errbuf err = {0};

		if (parse(&document, bodies[i][0], &err) != 0)
			fail_msg("%s: %s", bodies[i][0], err.what);
		assert_string_equal(document.body.data, bodies[i][1]);
		assert_int_equal(document.body.len, strlen(bodies[i][1]));
	}
	document_free(&document);
	assert_null(document.body.data);
}

static void test_members(void **state)
{
	struct document document = {0};

	(void)state;
	assert_int_equal(parse(&document,
			     "{\"_id\":\"p\\u00e4\\\"1\",\"_rev\":\"3-ccc\",\"_deleted\":true,\"x\":1,"
			     "\"_revisions\":{\"start\":3,\"ids\":[\"ccc\",\"\\u0062b\",\"a\"]},"
			     "\"_attachments\":{ \"f\":{\"stub\":true} }}",
			     NULL),
	    0);
	assert_string_equal(document.id.data, "p\xc3\xa4\"1");
	assert_true(document.has_rev);
	assert_int_equal(document.rev.generation, 3);
	assert_string_equal(document.rev.hash, "ccc");
	assert_true(document.deleted);
	assert_true(document.has_revisions);
	assert_int_equal(document.revisions_start, 3);
	assert_int_equal(document.revision_count, 3);
	assert_string_equal(document.revisions[0], "ccc");
	assert_string_equal(document.revisions[1], "bb");
	assert_string_equal(document.revisions[2], "a");
	assert_int_equal(document.attachments.len, 21);
	assert_memory_equal(document.attachments.text, "{ \"f\":{\"stub\":true} }", 21);

	/* Nothing of it is left for the next text. */
	assert_int_equal(parse(&document, "{\"y\":2}", NULL), 0);
	assert_int_equal(document.id.len, 0);
	assert_false(document.has_rev);
	assert_false(document.deleted);
	assert_false(document.has_revisions);
	assert_int_equal(document.revision_count, 0);
	assert_int_equal(document.attachments.len, 0);
	assert_string_equal(document.body.data, "{\"y\":2}");

	/* _revisions alone names the revision; a path may be cut off. */
	assert_int_equal(
	    parse(&document, "{\"_deleted\":false,\"_revisions\":{\"ids\":[\"x\",\"y\"],\"start\":9}}", NULL), 0);
	assert_true(document.has_rev);
	assert_int_equal(document.rev.generation, 9);
	assert_string_equal(document.rev.hash, "x");
	assert_false(document.deleted);
	document_free(&document);
}

static const struct {
	const char *text;
	const char *named; /* must be in the error */
} refused[] = {
    {"[]", "object"},
    {"\"a\"", "object"},
    {"{\"a\":1,}", "member name"},
    {"{\"a\":1,\"a\":2}", "twice"},
    {"{\"_id\":1}", "_id"},
    {"{\"_id\":null}", "_id"},
    {"{\"_id\":\"\"}", "empty"},
    {"{\"_id\":\"_x\"}", "underscore"},
    {"{\"_id\":\"_design/\"}", "underscore"},
    {"{\"_id\":\"_designs/x\"}", "underscore"},
    {"{\"_id\":\"a\\u0000b\"}", "NUL"},
    {"{\"_rev\":1}", "_rev"},
    {"{\"_rev\":\"\"}", "revision id"},
    {"{\"_rev\":\"0-a\"}", "revision id"},
    {"{\"_rev\":\"1-\\u0000\"}", "revision id"},
    {"{\"_deleted\":1}", "_deleted"},
    {"{\"_deleted\":null}", "_deleted"},
    {"{\"_deleted\":\"true\"}", "_deleted"},
    {"{\"_attachments\":[]}", "_attachments"},
    {"{\"_revisions\":[]}", "_revisions"},
    {"{\"_revisions\":{\"start\":1}}", "_revisions"},
    {"{\"_revisions\":{\"ids\":[\"a\"]}}", "_revisions"},
    {"{\"_revisions\":{\"start\":1,\"ids\":{}}}", "_revisions"},
    {"{\"_revisions\":{\"start\":1,\"ids\":[]}}", "empty"},
    {"{\"_revisions\":{\"start\":0,\"ids\":[\"a\"]}}", "more ids"},
    {"{\"_revisions\":{\"start\":1,\"ids\":[\"b\",\"a\"]}}", "more ids"},
    {"{\"_revisions\":{\"start\":-1,\"ids\":[\"a\"]}}", "whole number"},
    {"{\"_revisions\":{\"start\":1.0,\"ids\":[\"a\"]}}", "whole number"},
    {"{\"_revisions\":{\"start\":\"1\",\"ids\":[\"a\"]}}", "whole number"},
    {"{\"_revisions\":{\"start\":4294967296,\"ids\":[\"a\"]}}", "larger"},
    {"{\"_revisions\":{\"start\":2,\"ids\":[\"b\",1]}}", "string"},
    {"{\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"\"]}}", "0 bytes"},
    {"{\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a b\"]}}", "printable"},
    {"{\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\\u0000\"]}}", "printable"},
    {"{\"_rev\":\"2-x\",\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]}}", "2-x"},
    {"{\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]},\"_rev\":\"3-b\"}", "3-b"},
    {"{\"_foo\":1}", "\"_foo\""},
    {"{\"_\":1}", "\"_\""},
    {"{\"\\u005ffoo\":1}", "foo"},
    {"{\"_Id\":\"x\"}", "\"_Id\""},
};

static void test_refuses(void **state)
{
	struct document document = {0};

	(void)state;
	for (size_t i = 0; i < LENGTH(refused); i++) {
		struct qosid_errbuf err = {0};

		if (parse(&document, refused[i].text, &err) != QOSID_ERR_INVALID)
			fail_msg("%s: code %d, %s", refused[i].text, err.code, err.what);
		if (strstr(err.what, refused[i].named) == NULL)
			fail_msg("%s: \"%s\" does not name \"%s\"", refused[i].text, err.what, refused[i].named);
		assert_int_equal(parse(&document, refused[i].text, NULL), QOSID_ERR_INVALID);
	}
	document_free(&document);
}

static void test_ids(void **state)
{
	static const char *const good[] = {"a", " ", "a/b", "_design/x", "_local/x", "-_", "\xd2\xb7", "a\nb"};
	static const char *const bad[] = {"", "_", "_a", "_design", "_local/", "\xff", "a\xc3", "\xed\xa0\x80"};
	char longest[LIMIT_DOCUMENT_ID_BYTES + 1];

	(void)state;
	for (size_t i = 0; i < LENGTH(good); i++)
		assert_int_equal(document_check_id(good[i], strlen(good[i]), NULL), 0);
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_int_equal(document_check_id(bad[i], strlen(bad[i]), NULL), QOSID_ERR_INVALID);
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(document_check_id(longest, sizeof(longest) - 1, NULL), 0);
	assert_int_equal(document_check_id(longest, sizeof(longest), NULL), QOSID_ERR_LIMIT);
	assert_int_equal(document_check_id("a\0b", 3, NULL), QOSID_ERR_INVALID);
}

static void test_size(void **state)
{
	struct document document = {0};
	size_t len = LIMIT_DOCUMENT_BYTES + 1;
	char *text = malloc(len + 1);

	(void)state;
	assert_non_null(text);
	memset(text, 'x', len);
	memcpy(text, "{\"a\":\"", 6);
	memcpy(text + len - 3, "\"} ", 4);
	assert_int_equal(document_parse(&document, text, len, NULL), 0);
	assert_int_equal(document.body.len, LIMIT_DOCUMENT_BYTES);
	memcpy(text + len - 3, "x\"}", 4);
	assert_int_equal(document_parse(&document, text, len, NULL), QOSID_ERR_LIMIT);
	free(text);
	document_free(&document);
}

static void test_render(void **state)
{
	static const char *const hashes[] = {"ccc", "b\"b"};
	struct revision rev = {.generation = 3, .hash = "ccc"};
	struct json_slice conflicts = slice_of("[\"2-x\"]");
	struct document_head head = {.id = "p\xc3\xa4\"1"};
	struct qosid_buf out = {0};

	(void)state;
	assert_int_equal(qosid_buf_append_text(&out, "<", NULL), 0);
	assert_int_equal(document_render(&out, &head, slice_of("{}"), NULL), 0);
	assert_string_equal(out.data, "<{\"_id\":\"p\xc3\xa4\\\"1\"}");
	qosid_buf_reset(&out);
	head = (struct document_head){.id = "x",
	    .rev = &rev,
	    .deleted = true,
	    .revisions = hashes,
	    .revision_count = 2,
	    .attachments = slice_of("{\"f\":{\"stub\":true}}"),
	    .conflicts = &conflicts};
	assert_int_equal(document_render(&out, &head, slice_of("{\"a\" : 1.0,\"b\":\"}\"}"), NULL), 0);
	assert_string_equal(out.data,
	    "{\"_id\":\"x\",\"_rev\":\"3-ccc\",\"_deleted\":true,\"_revisions\":{\"start\":3,\"ids\":[\"ccc\","
	    "\"b\\\"b\"]},"
	    "\"_attachments\":{\"f\":{\"stub\":true}},\"_conflicts\":[\"2-x\"],\"a\" : 1.0,\"b\":\"}\"}");
	qosid_buf_reset(&out);
	head = (struct document_head){0};
	assert_int_equal(document_render(&out, &head, slice_of(" { \"a\":1} "), NULL), 0);
	assert_string_equal(out.data, "{\"a\":1}");
	qosid_buf_reset(&out);
	assert_int_equal(document_render(&out, &head, (struct json_slice){0}, NULL), 0);
	assert_string_equal(out.data, "{}");
	qosid_buf_free(&out);
}

/* What was taken apart and put together means the same when it is taken apart again. */
static void test_round_trip(void **state)
{
	struct document first = {0};
	struct document second = {0};
	struct qosid_buf out = {0};

	(void)state;
	for (size_t i = 0; i < LENGTH(bodies); i++) {
		struct document_head head = {.id = "some id", .rev = &first.rev};
		struct json_slice body;

		assert_int_equal(parse(&first, bodies[i][0], NULL), 0);
		first.rev = (struct revision){.generation = 1, .hash = "r"};
		body = (struct json_slice){(char *)first.body.data, first.body.len};
		qosid_buf_reset(&out);
		assert_int_equal(document_render(&out, &head, body, NULL), 0);
		assert_int_equal(document_parse(&second, (char *)out.data, out.len, NULL), 0);
		assert_string_equal(second.id.data, "some id");
		assert_string_equal(second.rev.hash, "r");
		assert_string_equal(second.body.data, first.body.data);
	}
	document_free(&first);
	document_free(&second);
	qosid_buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bodies),
	    cmocka_unit_test(test_members),
	    cmocka_unit_test(test_refuses),
	    cmocka_unit_test(test_ids),
	    cmocka_unit_test(test_size),
	    cmocka_unit_test(test_render),
	    cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests_name("document", tests, NULL, NULL);
}
