/*
 * The age v1 format, case by case: every category of the published test kit, made here with valid MACs around the one
 * thing that is wrong. Each file is fed in pieces of several sizes; each must end with the code it says and must have
 * released exactly the plaintext of the chunks before the first bad one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/age.h"
#include "crypto/bech32.h"
#include "tests/unit/crypto/age_builder.h"

#define FULL ((size_t)AGE_CHUNK_BYTES)
#define PASSPHRASE "password"
#define WORK_FACTOR 10

static const uint8_t secret[32] = {0x42, 1, 2, 3}, other_secret[32] = {0x99, 7, 7, 7};
static const uint8_t salt[24] = {0x51, 0x52, 0x53, 0x54};

/* ---- pieces
 * ---------------------------------------------------------------------------------------------------------- */

static void public_of(uint8_t public_key[32], const uint8_t scalar[32])
{
	assert_int_equal(crypto_scalarmult_base(public_key, scalar), 0);
}

/* A valid X25519 stanza for the test's key, and for another. */
static void ours(struct builder *b)
{
	uint8_t public_key[32];

	public_of(public_key, secret);
	builder_x25519(b, public_key);
}

static void theirs(struct builder *b)
{
	uint8_t public_key[32];

	public_of(public_key, other_secret);
	builder_x25519(b, public_key);
}

/* MAC, nonce and the one chunk "aaaa". */
static void rest(struct builder *b)
{
	builder_mac(b);
	builder_nonce(b);
	builder_chunk(b, 0, 1, 'a', 4);
}

/* A valid header and nonce. */
static void head(struct builder *b)
{
	ours(b);
	builder_mac(b);
	builder_nonce(b);
}

/* A header whose MAC line is fmt, filled with the MAC's text. */
static void mac_line(struct builder *b, const char *before, const char *after)
{
	char mac[BUILDER_SHARE_TEXT];

	ours(b);
	builder_mac_text(b, mac);
	builder_format(b, "%s%s%s\n", before, mac, after);
	builder_nonce(b);
	builder_chunk(b, 0, 1, 'a', 4);
}

/* The same value with unused bits set: decoders that are not strict take it. */
static void uncanonical(char *base64)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *last = base64 + strlen(base64) - 1;

	*last = alphabet[(strchr(alphabet, *last) - alphabet) | 1];
}

/* A stanza of type grease with this argument line and body, before ours. */
static void grease(struct builder *b, const char *stanza)
{
	builder_text(b, stanza);
	ours(b);
	rest(b);
}

static void x25519_with(struct builder *b, const char *type, const char *extra, int spoil_share, int spoil_body)
{
	char share[BUILDER_SHARE_TEXT], body[BUILDER_BODY_TEXT];
	uint8_t public_key[32];

	public_of(public_key, secret);
	builder_x25519_parts(b, public_key, NULL, share, body);
	if (spoil_share)
		uncanonical(share);
	if (spoil_body)
		uncanonical(body);
	builder_format(b, "-> %s %s%s\n%s\n", type, share, extra, body);
	rest(b);
}

static void x25519_share(struct builder *b, const uint8_t share[32])
{
	char share_text[BUILDER_SHARE_TEXT], body[BUILDER_BODY_TEXT];
	uint8_t public_key[32];

	public_of(public_key, secret);
	builder_x25519_parts(b, public_key, share, share_text, body);
	builder_format(b, "-> X25519 %s\n%s\n", share_text, body);
	rest(b);
}

/* A share of another length than 32 bytes, otherwise right. */
static void x25519_share_length(struct builder *b, size_t len)
{
	uint8_t share_bytes[36] = {0}, public_key[32];
	char share[BUILDER_SHARE_TEXT], body[BUILDER_BODY_TEXT];

	public_of(public_key, secret);
	builder_x25519_parts(b, public_key, NULL, share, body);
	assert_int_equal(sodium_base642bin(share_bytes, sizeof(share_bytes), share, strlen(share), NULL, NULL, NULL,
			     sodium_base64_VARIANT_ORIGINAL_NO_PADDING),
	    0);
	sodium_bin2base64(share, sizeof(share), share_bytes, len, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	builder_format(b, "-> X25519 %s\n%s\n", share, body);
	rest(b);
}

/* A scrypt stanza for the passphrase with this type, salt length and text for the work factor. */
static void scrypt_stanza(struct builder *b, const char *type, size_t salt_len, const char *work_factor)
{
	char salt_text[BUILDER_SHARE_TEXT], body[BUILDER_BODY_TEXT];

	sodium_bin2base64(salt_text, sizeof(salt_text), salt, salt_len, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	builder_scrypt_body(b, PASSPHRASE, salt, salt_len, WORK_FACTOR, body);
	builder_format(b, "-> %s %s%s%s\n%s\n", type, salt_text, work_factor[0] == '\0' ? "" : " ", work_factor, body);
}

static void scrypt_with(struct builder *b, const char *work_factor)
{
	scrypt_stanza(b, "scrypt", 16, work_factor);
	rest(b);
}

static void scrypt_spoiled(struct builder *b, int spoil_salt, int spoil_body)
{
	char salt_text[BUILDER_SHARE_TEXT], body[BUILDER_BODY_TEXT];

	sodium_bin2base64(salt_text, sizeof(salt_text), salt, 16, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	builder_scrypt_body(b, PASSPHRASE, salt, 16, WORK_FACTOR, body);
	if (spoil_salt)
		uncanonical(salt_text);
	if (spoil_body)
		uncanonical(body);
	builder_format(b, "-> scrypt %s 10\n%s\n", salt_text, body);
	rest(b);
}

/* Replace the text's first occurrence in the file by another of the same length. */
static void replace(struct builder *b, const char *from, const char *to)
{
	uint8_t *at = memmem(b->file.data, b->file.len, from, strlen(from));

	assert_non_null(at);
	assert_int_equal(strlen(from), strlen(to));
	memcpy(at, to, strlen(to));
}

/* ---- cases
 * ------------------------------------------------------------------------------------------------------------ */

#define CASE(name, ...)                                                                                                \
	static void name(struct builder *b)                                                                            \
	{                                                                                                              \
		__VA_ARGS__;                                                                                           \
	}

CASE(empty, qosid_buf_reset(&b->file))
CASE(armor, qosid_buf_reset(&b->file);
     builder_text(b, "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n"))
CASE(version_unsupported, qosid_buf_reset(&b->file); builder_text(b, "age-encryption.org/v1234\n"); ours(b); rest(b))
CASE(version_only, (void)b)
CASE(no_stanza, rest(b))
CASE(header_cut, ours(b); b->file.len -= 10)
CASE(header_without_mac, ours(b))

static void header_crlf(struct builder *b)
{
	struct builder lf = {.file = {0}};

	builder_start(&lf);
	ours(&lf);
	qosid_buf_reset(&b->file);
	for (size_t i = 0; i < lf.file.len; i++) {
		if (lf.file.data[i] == '\n')
			builder_text(b, "\r");
		builder_bytes(b, lf.file.data + i, 1);
	}
	builder_free(&lf);
	rest(b);
}

static void header_too_long(struct builder *b)
{
	while (b->file.len < AGE_HEADER_MAX)
		builder_text(b, "-> grease\n\n");
	ours(b);
	rest(b);
}

static void header_line_too_long(struct builder *b)
{
	builder_text(b, "-> ");
	while (b->file.len <= AGE_HEADER_MAX)
		builder_text(b, "aaaaaaaaaaaaaaaa");
}

static void many_stanzas(struct builder *b)
{
	for (int i = 0; i < 1000; i++)
		theirs(b);
	ours(b);
	rest(b);
}

static void hmac_bad(struct builder *b)
{
	char mac[BUILDER_SHARE_TEXT];

	ours(b);
	builder_mac_text(b, mac);
	mac[0] = mac[0] == 'A' ? 'B' : 'A';
	builder_format(b, "--- %s\n", mac);
	builder_nonce(b);
	builder_chunk(b, 0, 1, 'a', 4);
}

static void hmac_not_canonical(struct builder *b)
{
	char mac[BUILDER_SHARE_TEXT];

	ours(b);
	builder_mac_text(b, mac);
	uncanonical(mac);
	builder_format(b, "--- %s\n", mac);
	builder_nonce(b);
	builder_chunk(b, 0, 1, 'a', 4);
}

static void hmac_truncated(struct builder *b)
{
	char mac[BUILDER_SHARE_TEXT];

	ours(b);
	builder_mac_text(b, mac);
	mac[40] = '\0'; /* 30 bytes, in whole groups */
	builder_format(b, "--- %s\n", mac);
	builder_nonce(b);
	builder_chunk(b, 0, 1, 'a', 4);
}

CASE(hmac_extra_space, mac_line(b, "---  ", ""))
CASE(hmac_garbage, mac_line(b, "--- ", "AAAA"))
CASE(hmac_missing, ours(b); builder_text(b, "---\n"); builder_nonce(b); builder_chunk(b, 0, 1, 'a', 4))
CASE(hmac_no_space, mac_line(b, "---", ""))
CASE(hmac_trailing_space, mac_line(b, "--- ", " "))
CASE(hmac_padding, mac_line(b, "--- ", "="))
CASE(hmac_high_bytes, mac_line(b, "--- ", ""); memset(b->file.data + b->file.len - 16 - 20 - 10, 0xaf, 1))
CASE(hmac_crlf, mac_line(b, "--- ", "\r"))
CASE(hmac_four_hyphens, mac_line(b, "---- ", ""))

/* The MAC must cover every stanza, not only those that are understood. */
CASE(hmac_stanza_changed, builder_text(b, "-> grease x\n\n"); ours(b); rest(b); replace(b, "grease x", "grease y"))

CASE(x25519, ours(b); rest(b))
CASE(x25519_lowercase, x25519_with(b, "x25519", "", 0, 0))
CASE(x25519_extra_argument, x25519_with(b, "X25519", " 1234", 0, 0))
CASE(x25519_not_canonical_share, x25519_with(b, "X25519", "", 1, 0))
CASE(x25519_not_canonical_body, x25519_with(b, "X25519", "", 0, 1))
CASE(x25519_share_padding, x25519_with(b, "X25519", "=", 0, 0))
CASE(x25519_short_share, x25519_share_length(b, 31))
CASE(x25519_long_share, x25519_share_length(b, 33))
CASE(x25519_no_share, builder_text(b, "-> X25519\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"); rest(b))
CASE(x25519_long_file_key, b->file_key_len = 24; ours(b); rest(b))
CASE(x25519_short_file_key, b->file_key_len = 8; ours(b); rest(b))
CASE(x25519_no_match, theirs(b); rest(b))
CASE(x25519_multiple_recipients, theirs(b); ours(b); rest(b))
CASE(x25519_grease, builder_text(b, "-> joint-grease a b c d e f\nQUJD\n"); ours(b); builder_text(b, "-> ]-grease\n\n");
     rest(b))
CASE(x25519_malformed_after_match, ours(b); builder_text(b, "-> X25519 AAAA\nAAAA\n"); rest(b))

static void x25519_bad_tag(struct builder *b)
{
	char share[BUILDER_SHARE_TEXT], body[BUILDER_BODY_TEXT];
	uint8_t public_key[32];

	public_of(public_key, secret);
	builder_x25519_parts(b, public_key, NULL, share, body);
	body[30] = body[30] == 'A' ? 'B' : 'A';
	builder_format(b, "-> X25519 %s\n%s\n", share, body);
	rest(b);
}

/* The points of order 1, 2, 4 and 8 of curve and twist, and their other encodings below 2^255. */
static const uint8_t low_order[][32] = {
    {0},
    {1},
    {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d,
	0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
    {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c,
	0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
};
CASE(x25519_identity, x25519_share(b, low_order[0]))
CASE(x25519_low_order_1, x25519_share(b, low_order[1]))
CASE(x25519_low_order_8a, x25519_share(b, low_order[2]))
CASE(x25519_low_order_8b, x25519_share(b, low_order[3]))
CASE(x25519_low_order_minus_1, x25519_share(b, low_order[4]))
CASE(x25519_low_order_p, x25519_share(b, low_order[5]))
CASE(x25519_low_order_p_plus_1, x25519_share(b, low_order[6]))

CASE(scrypt, scrypt_with(b, "10"))
CASE(scrypt_and_x25519, scrypt_stanza(b, "scrypt", 16, "10"); ours(b); rest(b))
CASE(scrypt_after_x25519, ours(b); scrypt_stanza(b, "scrypt", 16, "10"); rest(b))
CASE(scrypt_and_grease, scrypt_stanza(b, "scrypt", 16, "10"); builder_text(b, "-> grease\n\n"); rest(b))
CASE(scrypt_double, scrypt_stanza(b, "scrypt", 16, "10"); scrypt_stanza(b, "scrypt", 16, "10"); rest(b))
CASE(scrypt_extra_argument, scrypt_with(b, "10 10"))
CASE(scrypt_long_file_key, b->file_key_len = 24; scrypt_with(b, "10"))
CASE(scrypt_not_canonical_body, scrypt_spoiled(b, 0, 1))
CASE(scrypt_not_canonical_salt, scrypt_spoiled(b, 1, 0))
CASE(scrypt_salt_long, scrypt_stanza(b, "scrypt", 20, "10"); rest(b))
CASE(scrypt_salt_short, scrypt_stanza(b, "scrypt", 12, "10"); rest(b))
CASE(scrypt_salt_missing, builder_text(b, "-> scrypt 10\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"); rest(b))
CASE(scrypt_uppercase, scrypt_stanza(b, "SCRYPT", 16, "10"); rest(b))
CASE(scrypt_work_factor_23, scrypt_with(b, "23"))
CASE(scrypt_work_factor_hex, scrypt_with(b, "0xa"))
CASE(scrypt_work_factor_leading_garbage, scrypt_with(b, "a10"))
CASE(scrypt_work_factor_leading_plus, scrypt_with(b, "+10"))
CASE(scrypt_work_factor_leading_zero_decimal, scrypt_with(b, "010"))
CASE(scrypt_work_factor_leading_zero_octal, scrypt_with(b, "012"))
CASE(scrypt_work_factor_missing, scrypt_with(b, ""))
CASE(scrypt_work_factor_negative, scrypt_with(b, "-10"))
CASE(scrypt_work_factor_overflow, scrypt_with(b, "18446744073709551626"))
CASE(scrypt_work_factor_overflow_32, scrypt_with(b, "4294967306"))
CASE(scrypt_work_factor_trailing_garbage, scrypt_with(b, "10a"))
CASE(scrypt_work_factor_wrong, scrypt_with(b, "9"))
CASE(scrypt_work_factor_zero, scrypt_with(b, "0"))

static void scrypt_bad_tag(struct builder *b)
{
	char salt_text[BUILDER_SHARE_TEXT], body[BUILDER_BODY_TEXT];

	sodium_bin2base64(salt_text, sizeof(salt_text), salt, 16, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	builder_scrypt_body(b, PASSPHRASE, salt, 16, WORK_FACTOR, body);
	body[30] = body[30] == 'A' ? 'B' : 'A';
	builder_format(b, "-> scrypt %s 10\n%s\n", salt_text, body);
	rest(b);
}

static void scrypt_no_match(struct builder *b)
{
	char salt_text[BUILDER_SHARE_TEXT], body[BUILDER_BODY_TEXT];

	sodium_bin2base64(salt_text, sizeof(salt_text), salt, 16, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	builder_scrypt_body(b, "another " PASSPHRASE, salt, 16, WORK_FACTOR, body);
	builder_format(b, "-> scrypt %s 10\n%s\n", salt_text, body);
	rest(b);
}

#define LINE_64 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
CASE(stanza_bad_start, grease(b, "- > grease\nQUJD\n"))
CASE(stanza_no_space, grease(b, "->grease\nQUJD\n"))
CASE(stanza_leading_space, grease(b, " -> grease\nQUJD\n"))
CASE(stanza_two_spaces, grease(b, "->  grease\nQUJD\n"))
CASE(stanza_trailing_space, grease(b, "-> grease \nQUJD\n"))
CASE(stanza_tab, grease(b, "-> grease\ta\nQUJD\n"))
CASE(stanza_base64_padding, grease(b, "-> grease\nQQ==\n"))
CASE(stanza_empty_argument, grease(b, "-> grease  a\nQUJD\n"))
CASE(stanza_empty_body, grease(b, "-> grease\n\n"))
CASE(stanza_empty_last_line, grease(b, "-> grease\n" LINE_64 "\n\n"))
CASE(stanza_long_body, grease(b, "-> grease\n" LINE_64 "\n" LINE_64 "\n" LINE_64 "\nQQ\n"))
CASE(stanza_invalid_character, grease(b, "-> grease \xc3\xa8\nQUJD\n"))
CASE(stanza_control_character, grease(b, "-> grease \x7f\nQUJD\n"))
CASE(stanza_body_character, grease(b, "-> grease\nQU D\n"))
CASE(stanza_body_url_alphabet, grease(b, "-> grease\nQU-_\n"))
CASE(stanza_body_high_byte, grease(b, "-> grease\nQUJD\xafxxx\n"))
CASE(stanza_long_line, grease(b, "-> grease\n" LINE_64 "AAAA\n"))
CASE(stanza_missing_body, grease(b, "-> grease\n"))
CASE(stanza_missing_final_line, grease(b, "-> grease\n" LINE_64 "\n"))
CASE(stanza_multiple_short_lines, grease(b, "-> grease\nQUJD\nQUJD\n"))
CASE(stanza_extra_empty_line, grease(b, "-> grease\nQUJD\n\n"))
CASE(stanza_no_arguments, grease(b, "-> \nQUJD\n"))
CASE(stanza_nothing, grease(b, "->\nQUJD\n"))
CASE(stanza_not_canonical, grease(b, "-> grease\nQUJDRR\n"))
CASE(stanza_one_character, grease(b, "-> grease\nQUJDQ\n"))
CASE(stanza_spurious_cr, grease(b, "-> grease\r\nQUJD\n"))
CASE(stanza_spurious_cr_body, grease(b, "-> grease\nQUJD\r\n"))
CASE(stanza_nul, ours(b); builder_bytes(b, "-> gr\0ease\nQUJD\n", 16); rest(b))
CASE(stanza_valid_characters, grease(b, "-> !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_` "
					"abcdefghijklmnopqrstuvwxyz{|}~\nQUJD\n"))

CASE(stream_bad_tag, head(b); builder_chunk(b, 0, 1, 'a', 4); builder_spoil(b))
CASE(stream_bad_tag_second_chunk, head(b); builder_chunk(b, 0, 0, 'a', FULL); builder_chunk(b, 1, 1, 'b', 4);
     builder_spoil(b))
CASE(stream_bad_tag_second_chunk_full, head(b); builder_chunk(b, 0, 0, 'a', FULL); builder_chunk(b, 1, 0, 'b', FULL);
     builder_spoil(b); builder_chunk(b, 2, 1, 'c', 4))
CASE(stream_empty_payload, head(b); builder_chunk(b, 0, 1, 'a', 0))
CASE(stream_last_chunk_empty, head(b); builder_chunk(b, 0, 0, 'a', FULL); builder_chunk(b, 1, 1, 'b', 0))
CASE(stream_last_chunk_full, head(b); builder_chunk(b, 0, 1, 'a', FULL))
CASE(stream_last_chunk_full_second, head(b); builder_chunk(b, 0, 0, 'a', FULL); builder_chunk(b, 1, 1, 'b', FULL))
CASE(stream_missing_tag, head(b); builder_text(b, "aaaa"))
CASE(stream_half_tag, head(b); builder_chunk(b, 0, 1, 'a', 0); b->file.len -= 1)
CASE(stream_no_chunks, head(b))
CASE(stream_no_final, head(b); builder_chunk(b, 0, 0, 'a', 4))
CASE(stream_no_final_empty, head(b); builder_chunk(b, 0, 0, 'a', 0))
CASE(stream_no_final_full, head(b); builder_chunk(b, 0, 0, 'a', FULL))
CASE(stream_no_final_two_chunks, head(b); builder_chunk(b, 0, 0, 'a', FULL); builder_chunk(b, 1, 0, 'b', 4))
CASE(stream_no_final_two_chunks_full, head(b); builder_chunk(b, 0, 0, 'a', FULL); builder_chunk(b, 1, 0, 'b', FULL))
CASE(stream_no_nonce, ours(b); builder_mac(b))
CASE(stream_short_nonce, head(b); b->file.len -= 1)
CASE(stream_short_chunk, head(b); builder_chunk(b, 0, 0, 'a', 100); builder_chunk(b, 1, 1, 'b', 4))
CASE(stream_short_second_chunk, head(b); builder_chunk(b, 0, 0, 'a', FULL); builder_chunk(b, 1, 0, 'b', 100);
     builder_chunk(b, 2, 1, 'c', 4))
CASE(stream_two_chunks, head(b); builder_chunk(b, 0, 0, 'a', FULL); builder_chunk(b, 1, 1, 'b', 4))
CASE(stream_three_chunks, head(b); builder_chunk(b, 0, 0, 'a', FULL); builder_chunk(b, 1, 0, 'b', FULL);
     builder_chunk(b, 2, 1, 'c', 4))
CASE(stream_trailing_garbage_short, head(b); builder_chunk(b, 0, 1, 'a', 4); builder_text(b, "x"))
CASE(stream_trailing_garbage_tag, head(b); builder_chunk(b, 0, 1, 'a', FULL); builder_text(b, "x"))
CASE(stream_trailing_garbage_long, head(b); builder_chunk(b, 0, 1, 'a', FULL); builder_chunk(b, 7, 0, 'x', FULL))
CASE(stream_trailing_garbage_second, head(b); builder_chunk(b, 0, 0, 'a', FULL); builder_chunk(b, 1, 1, 'b', FULL);
     builder_text(b, "x"))
CASE(stream_two_final_chunks, head(b); builder_chunk(b, 0, 1, 'a', 4); builder_chunk(b, 1, 1, 'b', 4))
CASE(stream_two_final_chunks_full, head(b); builder_chunk(b, 0, 1, 'a', FULL); builder_chunk(b, 1, 1, 'b', FULL))
CASE(stream_chunks_swapped, head(b); builder_chunk(b, 1, 0, 'b', FULL); builder_chunk(b, 0, 0, 'a', FULL);
     builder_chunk(b, 2, 1, 'c', 4))
CASE(stream_chunk_repeated, head(b); builder_chunk(b, 0, 0, 'a', FULL); builder_chunk(b, 0, 0, 'a', FULL);
     builder_chunk(b, 1, 1, 'b', 4))
CASE(stream_chunk_left_out, head(b); builder_chunk(b, 0, 0, 'a', FULL); builder_chunk(b, 2, 1, 'c', 4))
CASE(stream_chunk_changed, head(b); builder_chunk(b, 0, 1, 'a', 4); b->file.data[b->file.len - 20] ^= 0x80)

/* released: how much of "aaaa...", a chunk of 'b', a chunk of 'c' reaches the sink. */
struct format_case {
	const char *name;
	void (*build)(struct builder *builder);
	int expected;
	size_t released;
};

#define OK(name, released)                                                                                             \
	{                                                                                                              \
#name, name, 0, released                                                                               \
	}
#define MALFORMED(name)                                                                                                \
	{                                                                                                              \
#name, name, QOSID_ERR_INVALID, 0                                                                      \
	}
#define REFUSED(name)                                                                                                  \
	{                                                                                                              \
#name, name, QOSID_ERR_REFUSED, 0                                                                      \
	}
#define TOO_LARGE(name)                                                                                                \
	{                                                                                                              \
#name, name, QOSID_ERR_LIMIT, 0                                                                        \
	}
#define LATE(name, expected, released)                                                                                 \
	{                                                                                                              \
#name, name, expected, released                                                                        \
	}

static struct format_case cases[] = {
    MALFORMED(empty),
    MALFORMED(armor),
    MALFORMED(version_unsupported),
    MALFORMED(version_only),
    MALFORMED(no_stanza),
    MALFORMED(header_cut),
    MALFORMED(header_without_mac),
    MALFORMED(header_crlf),
    TOO_LARGE(header_too_long),
    TOO_LARGE(header_line_too_long),
    OK(many_stanzas, 4),

    REFUSED(hmac_bad),
    MALFORMED(hmac_extra_space),
    MALFORMED(hmac_garbage),
    MALFORMED(hmac_missing),
    MALFORMED(hmac_no_space),
    MALFORMED(hmac_not_canonical),
    MALFORMED(hmac_trailing_space),
    MALFORMED(hmac_truncated),
    MALFORMED(hmac_padding),
    MALFORMED(hmac_crlf),
    MALFORMED(hmac_high_bytes),
    MALFORMED(hmac_four_hyphens),
    REFUSED(hmac_stanza_changed),

    OK(x25519, 4),
    REFUSED(x25519_bad_tag),
    MALFORMED(x25519_extra_argument),
    OK(x25519_grease, 4),
    MALFORMED(x25519_identity),
    MALFORMED(x25519_long_file_key),
    MALFORMED(x25519_short_file_key),
    MALFORMED(x25519_long_share),
    MALFORMED(x25519_short_share),
    MALFORMED(x25519_no_share),
    MALFORMED(x25519_share_padding),
    MALFORMED(x25519_low_order_1),
    MALFORMED(x25519_low_order_8a),
    MALFORMED(x25519_low_order_8b),
    MALFORMED(x25519_low_order_minus_1),
    MALFORMED(x25519_low_order_p),
    MALFORMED(x25519_low_order_p_plus_1),
    REFUSED(x25519_lowercase),
    OK(x25519_multiple_recipients, 4),
    REFUSED(x25519_no_match),
    MALFORMED(x25519_not_canonical_body),
    MALFORMED(x25519_not_canonical_share),
    MALFORMED(x25519_malformed_after_match),

    OK(scrypt, 4),
    MALFORMED(scrypt_and_x25519),
    MALFORMED(scrypt_after_x25519),
    MALFORMED(scrypt_and_grease),
    REFUSED(scrypt_bad_tag),
    MALFORMED(scrypt_double),
    MALFORMED(scrypt_extra_argument),
    MALFORMED(scrypt_long_file_key),
    REFUSED(scrypt_no_match),
    MALFORMED(scrypt_not_canonical_body),
    MALFORMED(scrypt_not_canonical_salt),
    MALFORMED(scrypt_salt_long),
    MALFORMED(scrypt_salt_missing),
    MALFORMED(scrypt_salt_short),
    REFUSED(scrypt_uppercase),
    TOO_LARGE(scrypt_work_factor_23),
    MALFORMED(scrypt_work_factor_hex),
    MALFORMED(scrypt_work_factor_leading_garbage),
    MALFORMED(scrypt_work_factor_leading_plus),
    MALFORMED(scrypt_work_factor_leading_zero_decimal),
    MALFORMED(scrypt_work_factor_leading_zero_octal),
    MALFORMED(scrypt_work_factor_missing),
    MALFORMED(scrypt_work_factor_negative),
    TOO_LARGE(scrypt_work_factor_overflow),
    TOO_LARGE(scrypt_work_factor_overflow_32),
    MALFORMED(scrypt_work_factor_trailing_garbage),
    REFUSED(scrypt_work_factor_wrong),
    MALFORMED(scrypt_work_factor_zero),

    MALFORMED(stanza_bad_start),
    MALFORMED(stanza_no_space),
    MALFORMED(stanza_leading_space),
    MALFORMED(stanza_two_spaces),
    MALFORMED(stanza_trailing_space),
    MALFORMED(stanza_tab),
    MALFORMED(stanza_base64_padding),
    MALFORMED(stanza_empty_argument),
    OK(stanza_empty_body, 4),
    OK(stanza_empty_last_line, 4),
    OK(stanza_long_body, 4),
    MALFORMED(stanza_invalid_character),
    MALFORMED(stanza_control_character),
    MALFORMED(stanza_body_character),
    MALFORMED(stanza_body_url_alphabet),
    MALFORMED(stanza_body_high_byte),
    MALFORMED(stanza_long_line),
    MALFORMED(stanza_missing_body),
    MALFORMED(stanza_missing_final_line),
    MALFORMED(stanza_multiple_short_lines),
    MALFORMED(stanza_extra_empty_line),
    MALFORMED(stanza_no_arguments),
    MALFORMED(stanza_nothing),
    MALFORMED(stanza_not_canonical),
    MALFORMED(stanza_one_character),
    MALFORMED(stanza_spurious_cr),
    MALFORMED(stanza_spurious_cr_body),
    MALFORMED(stanza_nul),
    OK(stanza_valid_characters, 4),

    REFUSED(stream_bad_tag),
    LATE(stream_bad_tag_second_chunk, QOSID_ERR_REFUSED, FULL),
    LATE(stream_bad_tag_second_chunk_full, QOSID_ERR_REFUSED, FULL),
    OK(stream_empty_payload, 0),
    LATE(stream_last_chunk_empty, QOSID_ERR_INVALID, FULL),
    OK(stream_last_chunk_full, FULL),
    OK(stream_last_chunk_full_second, 2 * FULL),
    MALFORMED(stream_missing_tag),
    MALFORMED(stream_half_tag),
    MALFORMED(stream_no_chunks),
    REFUSED(stream_no_final),
    REFUSED(stream_no_final_empty),
    REFUSED(stream_no_final_full),
    LATE(stream_no_final_two_chunks, QOSID_ERR_REFUSED, FULL),
    LATE(stream_no_final_two_chunks_full, QOSID_ERR_REFUSED, FULL),
    MALFORMED(stream_no_nonce),
    MALFORMED(stream_short_nonce),
    REFUSED(stream_short_chunk),
    LATE(stream_short_second_chunk, QOSID_ERR_REFUSED, FULL),
    OK(stream_two_chunks, FULL + 4),
    OK(stream_three_chunks, 2 * FULL + 4),
    REFUSED(stream_trailing_garbage_short),
    REFUSED(stream_trailing_garbage_tag),
    REFUSED(stream_trailing_garbage_long),
    LATE(stream_trailing_garbage_second, QOSID_ERR_REFUSED, FULL),
    REFUSED(stream_two_final_chunks),
    REFUSED(stream_two_final_chunks_full),
    REFUSED(stream_chunks_swapped),
    LATE(stream_chunk_repeated, QOSID_ERR_REFUSED, FULL),
    LATE(stream_chunk_left_out, QOSID_ERR_REFUSED, FULL),
    REFUSED(stream_chunk_changed),
};

/* ---- running them
 * ------------------------------------------------------------------------------------------------------ */

static struct age_key *test_key(void)
{
	char text[BECH32_TEXT_MAX + 1];
	struct age_key *key;

	assert_int_equal(bech32_encode(text, "AGE-SECRET-KEY-", secret, sizeof(secret)), 0);
	assert_int_equal(age_key_parse(&key, text, strlen(text), NULL), 0);
	return key;
}

/* Push a file in pieces, then finish; after a failure go on and see that nothing more comes. */
static int feed(struct age_decryptor *decryptor, const struct qosid_buf *file, size_t piece, struct qosid_errbuf *err)
{
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < file->len; at += piece) {
		size_t left = file->len - at;

		rc = age_decryptor_write(decryptor, file->data + at, left < piece ? left : piece, err);
	}
	if (rc == 0)
		rc = age_decryptor_finish(decryptor, err);
	if (rc < 0) {
		assert_int_equal(age_decryptor_write(decryptor, file->data, file->len, NULL), rc);
		assert_int_equal(age_decryptor_finish(decryptor, NULL), rc);
	}
	return rc;
}

static void check_released(const struct qosid_buf *plain, size_t released)
{
	assert_int_equal(plain->len, released);
	for (size_t i = 0; i < plain->len; i++) {
		if (plain->data[i] != "abc"[i / FULL])
			fail_msg("byte %zu is %02x", i, plain->data[i]);
	}
}

static void run_case(void **state)
{
	static const size_t pieces[] = {SIZE_MAX, 1, 7, 65536};
	const struct format_case *format_case = *state;
	struct age_key *key = test_key();
	const struct age_key *keys[] = {key};
	struct builder builder = {.file = {0}};

	builder_start(&builder);
	format_case->build(&builder);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct age_unlock unlock = {.keys = keys, .key_count = 1, .passphrase = PASSPHRASE};
		struct qosid_errbuf err = {0};
		struct qosid_buf plain = {0};
		struct qosid_buf_sink target = {&plain, 0};
		struct qosid_sink sink = qosid_sink_to_buf(&target);
		struct age_decryptor *decryptor;
		size_t piece = pieces[i] < builder.file.len ? pieces[i] : builder.file.len + 1;
		int rc;

		assert_int_equal(age_decryptor_open(&decryptor, &unlock, &sink, NULL), 0);
		rc = feed(decryptor, &builder.file, piece, &err);
		if (rc != format_case->expected)
			fail_msg(
			    "in pieces of %zu: code %d instead of %d: %s", piece, rc, format_case->expected, err.what);
		assert_true(rc == 0 || (err.code == rc && err.what[0] != '\0'));
		check_released(&plain, format_case->released);
		age_decryptor_free(decryptor);
		qosid_buf_free(&plain);
	}
	builder_free(&builder);
	age_key_free(key);
}

int main(void)
{
	static struct CMUnitTest tests[sizeof(cases) / sizeof(cases[0])];
	size_t count = sizeof(cases) / sizeof(cases[0]);

	if (sodium_init() < 0)
		return 1;
	for (size_t i = 0; i < count; i++)
		tests[i] = (struct CMUnitTest){cases[i].name, run_case, NULL, NULL, &cases[i]};
	return _cmocka_run_group_tests("age_format", tests, count, NULL, NULL);
}
