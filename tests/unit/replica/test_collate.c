/*
 * View collation: the order that CouchDB documents, and that keys sort as values compare.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store_support.h"
#include "sync/replica/collate.h"

static int open_collator(void **state)
{
	struct collator *collator = NULL;

	if (collator_open(&collator, NULL) != 0)
		return -1;
	*state = collator;
	return 0;
}

static int close_collator(void **state)
{
	collator_close(*state);
	return 0;
}

static int sign(int order)
{
	return order < 0 ? -1 : order > 0;
}

static int compare(struct collator *collator, const char *a, const char *b, bool raw)
{
	int order;

	assert_int_equal(collate_compare(collator, slice(a), slice(b), raw, &order, NULL), 0);
	return sign(order);
}

static int compare_keys(struct collator *collator, const char *a, const char *b, bool raw)
{
	struct qosid_buf left = {0};
	struct qosid_buf right = {0};
	size_t shorter;
	int order;

	assert_int_equal(collate_key(collator, slice(a), raw, &left, NULL), 0);
	assert_int_equal(collate_key(collator, slice(b), raw, &right, NULL), 0);
	shorter = left.len < right.len ? left.len : right.len;
	order = memcmp(left.data, right.data, shorter);
	if (order == 0)
		order = left.len < right.len ? -1 : left.len > right.len;
	assert_true(left.data[0] < COLLATE_KEY_MAX);
	qosid_buf_free(&left);
	qosid_buf_free(&right);
	return sign(order);
}

static void expect(struct collator *collator, const char *a, const char *b, int order)
{
	if (compare(collator, a, b, false) != order || compare(collator, b, a, false) != -order)
		fail_msg("%s and %s compare as %d, not %d", a, b, compare(collator, a, b, false), order);
	if (compare_keys(collator, a, b, false) != order)
		fail_msg(
		    "the keys of %s and %s compare as %d, not %d", a, b, compare_keys(collator, a, b, false), order);
}

static void test_documented_order(void **state)
{
	/* From CouchDB's page on view collation, and what it implies. */
	static const char *const ascending[] = {
	    "null",
	    "false",
	    "true",
	    "-1e999",
	    "-1e300",
	    "-123456789012345678901234567890.5",
	    "-123456789012345678901234567890",
	    "-3",
	    "-2.5",
	    "-2.45",
	    "-2",
	    "-0.001",
	    "0",
	    "1e-200",
	    "1e-20",
	    "0.1",
	    "0.11",
	    "1",
	    "2",
	    "3.0",
	    "4",
	    "10",
	    "99.99",
	    "100",
	    "9007199254740992",
	    "9007199254740993",
	    "123456789012345678901234567890",
	    "123456789012345678901234567891",
	    "1e300",
	    "1e999",
	    "\"\"",
	    "\"_\"",
	    "\"-\"",
	    "\"1\"",
	    "\"9\"",
	    "\"a\"",
	    "\"A\"",
	    "\"\xc3\xa4\"",
	    "\"aa\"",
	    "\"b\"",
	    "\"B\"",
	    "\"ba\"",
	    "\"bb\"",
	    "\"\xd0\xb0\"",
	    "\"\xd0\xb1\"",
	    "[]",
	    "[null]",
	    "[\"a\"]",
	    "[\"b\"]",
	    "[\"b\",\"c\"]",
	    "[\"b\",\"c\",\"a\"]",
	    "[\"b\",\"d\"]",
	    "[\"b\",\"d\",\"e\"]",
	    "[[]]",
	    "[{}]",
	    "{}",
	    "{\"a\":1}",
	    "{\"a\":2}",
	    "{\"b\":1}",
	    "{\"b\":2}",
	    "{\"b\":2,\"a\":1}",
	    "{\"b\":2,\"c\":2}",
	};
	size_t count = sizeof(ascending) / sizeof(*ascending);

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < count; j++)
			expect(*state, ascending[i], ascending[j], i < j ? -1 : i > j);
	}
}

static void test_equal_values(void **state)
{
	expect(*state, "1", "1.0", 0);
	expect(*state, "1", "10e-1", 0);
	expect(*state, "100", "1E2", 0);
	expect(*state, "-0", "0.000e7", 0);
	expect(*state, "0.5", "5e-1", 0);
	expect(*state, "12000", "1.2e+4", 0);
	expect(*state, "\"a\"", "\"\\u0061\"", 0);
	expect(*state, "\"\\n\"", "\"\\u000a\"", 0);
	expect(*state, "[1,2]", " [ 1 , 2.0 ]", 0);
	expect(*state, "{\"a\":1}", "{ \"a\" : 1e0 }", 0);
	/* ICU ignores control characters. */
	expect(*state, "\"a\"", "\"a\\u0001\"", 0);
}

static void test_alphabets(void **state)
{
	/* Letters of Russian and Tajik in the order of the root collation. */
	static const char *const letters[] = {"а", "б", "в", "г", "ғ", "д", "е", "ё", "ж", "з", "и", "й", "ӣ", "к", "қ",
	    "л", "м", "н", "о", "п", "р", "с", "т", "у", "ӯ", "ф", "х", "ҳ", "ц", "ч", "ҷ", "ш", "щ", "ъ", "ы", "ь",
	    "э", "ю", "я"};
	size_t count = sizeof(letters) / sizeof(*letters);
	char a[32];
	char b[32];
	int order;

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < count; j++) {
			(void)snprintf(a, sizeof(a), "\"%s\"", letters[i]);
			(void)snprintf(b, sizeof(b), "\"%s\"", letters[j]);
			order = compare(*state, a, b, false);
			assert_int_equal(order, compare_keys(*state, a, b, false));
			assert_int_equal(order == 0, i == j);
			/* The root collation puts ӣ with и, before й. */
			if (strcmp(letters[i], "ӣ") != 0 && strcmp(letters[j], "ӣ") != 0)
				assert_int_equal(order, i < j ? -1 : i > j);
		}
	}
	expect(*state, "\"Душанбе\"", "\"душанбе\"", 1);
	expect(*state, "\"душанбе\"", "\"Душанбе 2\"", -1);
	expect(*state, "\"Қӯрғонтеппа\"", "\"Кулоб\"", 1);
}

static void test_raw(void **state)
{
	static const char *const ascending[] = {"\"\"", "\"\\u0000\"", "\"\\u0000\\u0000\"", "\"\\u0001\"",
	    "\"\\u0002\"", "\"-\"", "\"A\"", "\"B\"", "\"a\"", "\"a\\u0000\"", "\"a\\u0001\"", "\"a\\u0002\"", "\"ab\"",
	    "\"b\"", "\"\xd0\xb0\"", "\"\xef\xbf\xbd\"", "\"\xf0\x9f\x98\x80\""};
	size_t count = sizeof(ascending) / sizeof(*ascending);

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < count; j++) {
			assert_int_equal(compare(*state, ascending[i], ascending[j], true), i < j ? -1 : i > j);
			assert_int_equal(compare_keys(*state, ascending[i], ascending[j], true), i < j ? -1 : i > j);
		}
	}
}

/* ---- random values ---- */

static void random_value(uint64_t *seed, struct qosid_buf *out, int depth)
{
	static const char *const letters[] = {"a", "A", "b", "\xc3\xa9", "e\xcc\x81", "ж", "ҷ", "\\u0001", "\\\"", " ",
	    "-", "_", "1", "\xf0\x9f\x98\x80", "\xe0\xb9\x80", "\xe0\xb8\x81", "ß", "\xe4\xb8\xad"};
	uint32_t kind = random_next(seed) % (depth > 0 ? 7 : 5);
	uint32_t count = random_next(seed) % 4;

	switch (kind) {
	case 0:
		assert_int_equal(qosid_buf_append_text(out,
				     count == 0   ? "null"
				     : count == 1 ? "true"
						  : "false",
				     NULL),
		    0);
		break;
	case 1:
		assert_int_equal(qosid_buf_append_format(out, NULL, "%d.%ue%d", (int)(random_next(seed) % 21) - 10,
				     random_next(seed) % 30, (int)(random_next(seed) % 7) - 3),
		    0);
		break;
	case 2:
		assert_int_equal(qosid_buf_append_format(out, NULL, "%d", (int)(random_next(seed) % 200) - 100), 0);
		break;
	case 3:
	case 4:
		assert_int_equal(qosid_buf_append_byte(out, '"', NULL), 0);
		for (uint32_t i = 0; i < count; i++)
			assert_int_equal(qosid_buf_append_text(out,
					     letters[random_next(seed) % (sizeof(letters) / sizeof(*letters))], NULL),
			    0);
		assert_int_equal(qosid_buf_append_byte(out, '"', NULL), 0);
		break;
	default:
		assert_int_equal(qosid_buf_append_byte(out, kind == 5 ? '[' : '{', NULL), 0);
		for (uint32_t i = 0; i < count; i++) {
			if (i > 0)
				assert_int_equal(qosid_buf_append_byte(out, ',', NULL), 0);
			if (kind == 6)
				assert_int_equal(qosid_buf_append_format(out, NULL, "\"%c\":", 'a' + (int)i), 0);
			random_value(seed, out, depth - 1);
		}
		assert_int_equal(qosid_buf_append_byte(out, kind == 5 ? ']' : '}', NULL), 0);
	}
}

static void test_keys_sort_like_values(void **state)
{
	uint64_t seed = 20261125;
	struct qosid_buf a = {0};
	struct qosid_buf b = {0};

	for (int i = 0; i < 20000; i++) {
		qosid_buf_reset(&a);
		qosid_buf_reset(&b);
		random_value(&seed, &a, 2);
		random_value(&seed, &b, 2);
		expect(*state, (const char *)a.data, (const char *)b.data,
		    compare(*state, (const char *)a.data, (const char *)b.data, false));
	}
	qosid_buf_free(&a);
	qosid_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_documented_order),
	    cmocka_unit_test(test_equal_values),
	    cmocka_unit_test(test_alphabets),
	    cmocka_unit_test(test_raw),
	    cmocka_unit_test(test_keys_sort_like_values),
	};

	return cmocka_run_group_tests(tests, open_collator, close_collator);
}
