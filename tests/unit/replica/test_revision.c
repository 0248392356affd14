/*
 * Revision ids: reading and writing them, their order, and vectors that pin the hash for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "sync/replica/revision.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct json_slice slice_of(const char *text)
{
	return (struct json_slice){text, strlen(text)};
}

static int parse(struct revision *out, const char *text)
{
	return revision_parse(out, text, strlen(text), NULL);
}

static void test_parse(void **state)
{
	static const char *const good[] = {"1-a", "1-0123456789abcdef0123456789abcdef", "4294967295-x", "10-~!\"#\\-",
	    "2-0123456789ABCDEF0123456789ABCDEF"};
	static const char *const bad[] = {"", "1", "1-", "-", "-a", "0-a", "01-a", "+1-a", "-1-a", "1 -a", " 1-a",
	    "a-1", "4294967296-a", "99999999999999999999999-a", "1-a b", "1-a\n", "1-\xc3\xa4", "1-\x7f", "1.0-a"};
	char longest[3 + LIMIT_REVISION_HASH_BYTES + 1] = "1-";
	struct revision revision;
	char text[REVISION_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < LENGTH(good); i++) {
		assert_int_equal(parse(&revision, good[i]), 0);
		revision_format(text, &revision);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < LENGTH(bad); i++)
		assert_int_equal(parse(&revision, bad[i]), QOSID_ERR_INVALID);
	assert_int_equal(revision_parse(&revision, "1-a\0b", 5, NULL), QOSID_ERR_INVALID);
	assert_int_equal(revision_parse(&revision, "12-abc", 4, NULL), 0);
	assert_int_equal(revision.generation, 12);
	assert_string_equal(revision.hash, "a");
	memset(longest + 2, 'x', LIMIT_REVISION_HASH_BYTES + 1);
	assert_int_equal(revision_parse(&revision, longest, LIMIT_REVISION_HASH_BYTES + 2, NULL), 0);
	assert_int_equal(revision_parse(&revision, longest, LIMIT_REVISION_HASH_BYTES + 3, NULL), QOSID_ERR_INVALID);
	revision.generation = UINT32_MAX;
	memset(revision.hash, 'y', LIMIT_REVISION_HASH_BYTES);
	revision_format(text, &revision);
	assert_int_equal(strlen(text), 11 + LIMIT_REVISION_HASH_BYTES);
}

static void test_compare(void **state)
{
	static const char *const ascending[] = {"1-a", "1-aa", "1-b", "2-A", "2-a", "9-z", "10-a", "4294967295-0"};
	struct revision a;
	struct revision b;

	(void)state;
	for (size_t i = 0; i < LENGTH(ascending); i++) {
		for (size_t j = 0; j < LENGTH(ascending); j++) {
			int order;

			assert_int_equal(parse(&a, ascending[i]), 0);
			assert_int_equal(parse(&b, ascending[j]), 0);
			order = revision_compare(&a, &b);
			assert_int_equal(order < 0, i < j);
			assert_int_equal(order > 0, i > j);
		}
	}
}

struct vector {
	const char *parent;
	bool deleted;
	const char *body;
	const char *attachments;
	const char *hashed; /* what follows the prefix line */
	const char *id;
};

static const struct vector vectors[] = {
    {NULL, false, "{}", "", "{\"attachments\":{},\"body\":{},\"deleted\":false,\"parent\":null}",
	"1-ccf156d566db62a90c796755cbfc7910"},
    {"1-00000000000000000000000000000000", true, "{}", "",
	"{\"attachments\":{},\"body\":{},\"deleted\":true,\"parent\":\"1-00000000000000000000000000000000\"}",
	"2-85b026fc228355674d9f57654a3f78fd"},
    {NULL, false, "{\"b\": 1.0, \"a\": [123456789012345678901234567890, -0.0]}", "",
	"{\"attachments\":{},\"body\":{\"a\":[123456789012345678901234567890,-0.0],\"b\":1.0},\"deleted\":false,"
	"\"parent\":null}",
	"1-1a3131cede0f788de7bfdc5a989a1645"},
    {"7-foreign\"hash\\", false, "{\"name\":\"\xd0\x90\xd0\xbb\xd3\xa3\"}",
	"{\"p.jpg\":{\"content_type\":\"image/jpeg\",\"digest\":\"blake2b-256:00\",\"length\":5}}",
	"{\"attachments\":{\"p.jpg\":{\"content_type\":\"image/jpeg\",\"digest\":\"blake2b-256:00\",\"length\":5}},"
	"\"body\":{\"name\":\"\xd0\x90\xd0\xbb\xd3\xa3\"},\"deleted\":false,\"parent\":\"7-foreign\\\"hash\\\\\"}",
	"8-3418c2c3513a61afd3290b732a264100"},
};

static void test_vectors(void **state)
{
	static const char prefix[] = "qosid-revision-1\n";

	(void)state;
	for (size_t i = 0; i < LENGTH(vectors); i++) {
		const struct vector *vector = &vectors[i];
		struct revision parent;
		struct revision revision;
		char text[REVISION_TEXT_SIZE];
		char hex[REVISION_HASH_HEX + 1];
		uint8_t raw[REVISION_HASH_HEX / 2];
		struct qosid_buf bytes = {0};

		if (vector->parent != NULL)
			assert_int_equal(parse(&parent, vector->parent), 0);
		assert_int_equal(revision_compute(&revision, vector->parent != NULL ? &parent : NULL, vector->deleted,
				     slice_of(vector->body), slice_of(vector->attachments), NULL),
		    0);
		revision_format(text, &revision);
		assert_string_equal(text, vector->id);

		assert_int_equal(qosid_buf_append_text(&bytes, prefix, NULL), 0);
		assert_int_equal(qosid_buf_append_text(&bytes, vector->hashed, NULL), 0);
		assert_int_equal(crypto_generichash(raw, sizeof(raw), bytes.data, bytes.len, NULL, 0), 0);
		assert_string_equal(revision.hash, sodium_bin2hex(hex, sizeof(hex), raw, sizeof(raw)));
		qosid_buf_free(&bytes);
	}
}

static struct revision compute(const struct revision *parent, bool deleted, const char *body, const char *attachments)
{
	struct revision out;

	assert_int_equal(revision_compute(&out, parent, deleted, slice_of(body), slice_of(attachments), NULL), 0);
	return out;
}

/* What is part of the edit changes the id; how it was written does not. */
static void test_meaning(void **state)
{
	static const char *const others[] = {"{\"a\":1.0,\"b\":\"x\"}", "{\"a\":\"1\",\"b\":\"x\"}",
	    "{\"a\":1,\"b\":\"x\",\"c\":null}", "{\"a\":1}", "{\"a\":1,\"B\":\"x\"}", "{}", "{\"a\":1,\"b\":\"x \"}"};
	struct revision base = compute(NULL, false, "{\"a\":1,\"b\":\"x\"}", "");
	struct revision other = compute(NULL, false, " {\"\\u0062\" : \"\\u0078\", \"a\" :1}\n", "{}");
	struct revision parent = base;

	(void)state;
	assert_int_equal(revision_compare(&base, &other), 0);
	for (size_t i = 0; i < LENGTH(others); i++) {
		other = compute(NULL, false, others[i], "");
		assert_int_not_equal(revision_compare(&base, &other), 0);
	}
	other = compute(NULL, true, "{\"a\":1,\"b\":\"x\"}", "");
	assert_string_not_equal(base.hash, other.hash);
	other = compute(NULL, false, "{\"a\":1,\"b\":\"x\"}", "{\"f\":{}}");
	assert_string_not_equal(base.hash, other.hash);
	other = compute(&parent, false, "{\"a\":1,\"b\":\"x\"}", "");
	assert_int_equal(other.generation, 2);
	assert_string_not_equal(base.hash, other.hash);
	parent.generation = UINT32_MAX;
	assert_int_equal(revision_compute(&other, &parent, false, slice_of("{}"), slice_of(""), NULL), QOSID_ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_compare),
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test(test_meaning),
	};

	return cmocka_run_group_tests_name("revision", tests, NULL, NULL);
}
