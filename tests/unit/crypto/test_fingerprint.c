/*
 * Fingerprints: the word list's promises, a fixed vector, and what a person may type.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/digest.h"
#include "crypto/fingerprint.h"
#include "crypto/fingerprint_words.h"

/* Whether one inserted, left out or changed letter makes b of a. */
static int nearly_equal(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), front = 0, back = 0, longer = la > lb ? la : lb;

	while (a[front] != '\0' && a[front] == b[front])
		front++;
	while (back < la - front && back < lb - front && a[la - 1 - back] == b[lb - 1 - back])
		back++;
	return longer - front - back <= 1;
}

static void test_words_cannot_be_mistaken(void **state)
{
	size_t longest = 0;

	(void)state;
	assert_true(nearly_equal("ember", "amber") && nearly_equal("berry", "ferry") && nearly_equal("cat", "cart"));
	assert_false(nearly_equal("canoe", "canto"));
	for (int i = 0; i < FINGERPRINT_WORD_COUNT; i++) {
		const char *word = fingerprint_words[i];

		assert_true(strlen(word) >= 4);
		assert_int_equal(strspn(word, "abcdefghijklmnopqrstuvwxyz"), strlen(word));
		longest = strlen(word) > longest ? strlen(word) : longest;
		for (int other = 0; other < i; other++) {
			if (nearly_equal(word, fingerprint_words[other]) ||
			    strncmp(word, fingerprint_words[other], 4) == 0)
				fail_msg("%s and %s", word, fingerprint_words[other]);
		}
		if (i > 0)
			assert_true(strcmp(fingerprint_words[i - 1], word) < 0);
	}
	assert_int_equal(longest, FINGERPRINT_WORD_MAX);
}

/* The order of the words is part of the format. */
static void test_word_list_is_fixed(void **state)
{
	struct qosid_buf all = {0};
	uint8_t digest[DIGEST_BYTES];
	char text[DIGEST_TEXT_SIZE];

	(void)state;
	for (int i = 0; i < FINGERPRINT_WORD_COUNT; i++)
		assert_int_equal(qosid_buf_append_format(&all, NULL, "%s\n", fingerprint_words[i]), 0);
	digest_compute(digest, all.data, all.len);
	digest_format(text, digest);
	assert_string_equal(text, "blake2b-256:be6dff199d7c42ef35677bcf1708381536a9b1953531752daff64e51da3641ae");
	qosid_buf_free(&all);
}

static void test_vector(void **state)
{
	static const uint8_t key[SIGNING_PUBLIC_BYTES] = {1, 2, 3};
	static const char recipient[] = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
	struct qosid_buf out = {0}, hashed = {0};
	uint8_t digest[DIGEST_BYTES];
	const char *at;

	(void)state;
	assert_int_equal(qosid_buf_append_text(&out, "Yours: ", NULL), 0);
	assert_int_equal(fingerprint_format(&out, key, recipient, NULL), 0);
	assert_string_equal((char *)out.data,
	    "Yours: thunder blanket bottle - tiger swan temple - puzzle swan nylon - forest linen camel");

	/* And once more by the definition. */
	assert_int_equal(qosid_buf_append(&hashed, "qosid-fingerprint-1", 20, NULL), 0);
	assert_int_equal(qosid_buf_append(&hashed, key, sizeof(key), NULL), 0);
	assert_int_equal(qosid_buf_append_text(&hashed, recipient, NULL), 0);
	digest_compute(digest, hashed.data, hashed.len);
	at = (char *)out.data + strlen("Yours: ");
	for (int i = 0; i < FINGERPRINT_WORDS; i++) {
		const char *word = fingerprint_words[digest[i]];

		assert_memory_equal(at, word, strlen(word));
		at += strlen(word) + (i % 3 == 2 ? 3 : 1);
	}
	qosid_buf_free(&out);
	qosid_buf_free(&hashed);
}

static void test_different_keys_differ(void **state)
{
	uint8_t key[SIGNING_PUBLIC_BYTES] = {0};
	struct qosid_buf a = {0}, b = {0}, c = {0};

	(void)state;
	assert_int_equal(fingerprint_format(&a, key, "age1x", NULL), 0);
	assert_int_equal(fingerprint_format(&b, key, "age1y", NULL), 0);
	key[31] = 1;
	assert_int_equal(fingerprint_format(&c, key, "age1x", NULL), 0);
	assert_false(fingerprint_equal((char *)a.data, (char *)b.data));
	assert_false(fingerprint_equal((char *)a.data, (char *)c.data));
	assert_true(fingerprint_equal((char *)a.data, (char *)a.data));
	qosid_buf_free(&a);
	qosid_buf_free(&b);
	qosid_buf_free(&c);
}

static void test_what_a_person_may_type(void **state)
{
	static const char expected[] =
	    "acorn album amber - anchor ankle apple - apron arrow atlas - autumn badge bagel";
	static const char *const same[] = {
	    "acorn album amber anchor ankle apple apron arrow atlas autumn badge bagel",
	    "Acorn ALBUM aMber - anchor ankle apple - apron arrow atlas - autumn badge BAGEL",
	    "  acorn-album-amber-anchor-ankle-apple-apron-arrow-atlas-autumn-badge-bagel  \n",
	    "acorn\talbum   amber --- anchor\nankle apple - apron\r\narrow atlas - autumn badge bagel",
	};
	static const char *const different[] = {
	    "",
	    "-",
	    "acorn",
	    "album acorn amber - anchor ankle apple - apron arrow atlas - autumn badge bagel",
	    "acorn album amber - anchor ankle apple - apron arrow atlas - autumn badge",
	    "acorn album amber - anchor ankle apple - apron arrow atlas - autumn badge bagels",
	    "acorn album amber - anchor ankle apple - apron arrow atlas - autumn badge bage",
	    "acorn album amber - anchor ankle apple - apron arrow atlas - autumn badge bagel bagel",
	    "acornalbum amber - anchor ankle apple - apron arrow atlas - autumn badge bagel",
	    "acorn album amber - anchor ankle apple - apron arrow atlas - autumn badge bagel1",
	    "acorn album amber - anchor ankle apple - apron arrow atlas - autumn badge b\xc3\xa4gel",
	    "acorn album amber - anchor ankle apple - apron arrow atlas - autumn badge bagelbagelbagelbagel",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		if (!fingerprint_equal(same[i], expected))
			fail_msg("%s", same[i]);
	}
	for (size_t i = 0; i < sizeof(different) / sizeof(different[0]); i++) {
		if (fingerprint_equal(different[i], expected) || fingerprint_equal(expected, different[i]))
			fail_msg("%s", different[i]);
	}
	assert_false(fingerprint_equal("", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_words_cannot_be_mistaken),
	    cmocka_unit_test(test_word_list_is_fixed),
	    cmocka_unit_test(test_vector),
	    cmocka_unit_test(test_different_keys_differ),
	    cmocka_unit_test(test_what_a_person_may_type),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
