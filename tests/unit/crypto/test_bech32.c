/*
 * Bech32 against the vectors of BIP-173, and what age keys add: whole bytes under a fixed prefix.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "crypto/bech32.h"

static void test_valid_vectors(void **state)
{
	static const struct {
		const char *text, *prefix;
		size_t count;
	} vectors[] = {
	    {"A12UEL5L", "A", 0},
	    {"a12uel5l", "a", 0},
	    {"an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
		"an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio", 0},
	    {"abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "abcdef", 32},
	    {"11qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqc8247j", "1", 82},
	    {"split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w", "split", 48},
	    {"?1ezyfcl", "?", 0},
	};
	struct bech32 parsed;

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		assert_int_equal(bech32_parse(&parsed, vectors[i].text, strlen(vectors[i].text)), 0);
		assert_string_equal(parsed.prefix, vectors[i].prefix);
		assert_int_equal(parsed.count, vectors[i].count);
	}
	assert_int_equal(bech32_parse(&parsed, vectors[3].text, strlen(vectors[3].text)), 0);
	for (uint8_t i = 0; i < 32; i++)
		assert_int_equal(parsed.words[i], i);
}

static void test_invalid_vectors(void **state)
{
	static const char *const vectors[] = {
	    "\x20"
	    "1nwldj5",
	    "\x7f"
	    "1axkwrx",
	    "\x80"
	    "1eym55h",
	    "an84characterslonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1569pvx",
	    "pzry9x0s0muk",  /* no separator */
	    "1pzry9x0s0muk", /* no prefix */
	    "x1b4n0q5v",     /* b is not a character of the alphabet */
	    "li1dgmt3",      /* checksum too short */
	    "de1lg7wt\xff",
	    "A1G7SGD8", /* checksum of the prefix in upper case */
	    "10a06t8",
	    "1qzzfhee",
	    "a12UEL5L", /* mixed case */
	    "",
	    "1",
	};
	struct bech32 parsed;

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		if (bech32_parse(&parsed, vectors[i], strlen(vectors[i])) == 0)
			fail_msg("%s was taken", vectors[i]);
	}
}

static void test_any_changed_character_is_noticed(void **state)
{
	char text[] = "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw";
	struct bech32 parsed;

	(void)state;
	for (size_t i = 0; i < strlen(text); i++) {
		char kept = text[i];

		for (const char *c = "023456789acdefghjklmnpqrstuvwxyz"; *c != '\0'; c++) {
			text[i] = *c;
			assert_int_equal(bech32_parse(&parsed, text, strlen(text)), *c == kept ? 0 : -1);
		}
		text[i] = kept;
	}
}

static void test_round_trips_of_all_lengths(void **state)
{
	uint8_t data[52], again[52];
	char text[BECH32_TEXT_MAX + 1];

	(void)state;
	for (size_t len = 0; len <= 49; len++) {
		randombytes_buf_deterministic(data, sizeof(data), (const uint8_t[randombytes_SEEDBYTES]){(uint8_t)len});
		assert_int_equal(bech32_encode(text, "xy", data, len), 0);
		assert_int_equal(bech32_decode(again, len, "xy", text, strlen(text)), 0);
		assert_memory_equal(again, data, len);
		assert_int_equal(bech32_decode(again, len, "xz", text, strlen(text)), -1);
		assert_int_equal(bech32_decode(again, len, "XY", text, strlen(text)), -1);
		assert_int_equal(bech32_encode(text, "XY", data, len), 0);
		assert_int_equal(bech32_decode(again, len, "XY", text, strlen(text)), 0);
		assert_memory_equal(again, data, len);
		assert_int_equal(bech32_decode(again, len, "xy", text, strlen(text)), -1);
		if (len > 0)
			assert_int_equal(bech32_decode(again, len - 1, "XY", text, strlen(text)), -1);
		if (len < sizeof(again))
			assert_int_equal(bech32_decode(again, len + 1, "XY", text, strlen(text)), -1);
	}
	assert_int_equal(bech32_encode(text, "xy", data, 52), -1);
	assert_int_equal(bech32_encode(text, "", data, 1), -1);
}

/* Texts with a right checksum, made by a program of their own: bits that belong to no byte are set, or a word is too
 * many. */
static void test_unused_bits_must_be_zero(void **state)
{
	static const char long_bad[] = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqpfwgqrs";
	static const char long_good[] = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqspe5dt3";
	struct bech32 parsed;
	uint8_t data[32];

	(void)state;
	assert_int_equal(bech32_decode(data, 1, "age", "age1qqpexly5", 12), 0);
	assert_int_equal(data[0], 0);
	assert_int_equal(bech32_parse(&parsed, "age1qpu0j2ex", 12), 0);
	assert_int_equal(bech32_decode(data, 1, "age", "age1qpu0j2ex", 12), -1);
	assert_int_equal(bech32_parse(&parsed, "age1qqqyst3gn", 13), 0);
	assert_int_equal(bech32_decode(data, 1, "age", "age1qqqyst3gn", 13), -1);
	assert_int_equal(bech32_parse(&parsed, "age1qdd35qf", 11), 0);
	assert_int_equal(bech32_decode(data, 1, "age", "age1qdd35qf", 11), -1);
	assert_int_equal(bech32_decode(data, 32, "age", long_good, strlen(long_good)), 0);
	assert_int_equal(data[31], 1);
	assert_int_equal(bech32_parse(&parsed, long_bad, strlen(long_bad)), 0);
	assert_int_equal(bech32_decode(data, 32, "age", long_bad, strlen(long_bad)), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_valid_vectors),
	    cmocka_unit_test(test_invalid_vectors),
	    cmocka_unit_test(test_any_changed_character_is_noticed),
	    cmocka_unit_test(test_round_trips_of_all_lengths),
	    cmocka_unit_test(test_unused_bits_must_be_zero),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
