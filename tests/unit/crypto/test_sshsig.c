/*
 * OpenSSH signatures and keys: what stock ssh-keygen made is read and made again to the byte, and each deviation from
 * the one form is refused. Malformed signatures are put together here field by field.
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

#include "crypto/keys.h"
#include "crypto/sshsig.h"
#include "tests/unit/crypto/vectors.h"

#define BEGIN "-----BEGIN SSH SIGNATURE-----\n"
#define END "-----END SSH SIGNATURE-----\n"
#define MESSAGE "Records that outlive the program.\n"

static struct identity *new_identity(void)
{
	struct identity *identity;

	assert_int_equal(identity_create(&identity, NULL), 0);
	return identity;
}

static int verify(const struct qosid_buf *armor, const char *name_space, const char *message, const uint8_t *public_key)
{
	return sshsig_verify(
	    (const char *)armor->data, armor->len, name_space, message, strlen(message), public_key, NULL);
}

static void test_round_trip(void **state)
{
	static const size_t sizes[] = {0, 1, 127, 128, 1000000};
	struct identity *identity = new_identity();
	uint8_t *message = calloc(1, 1000000), signer[SIGNING_PUBLIC_BYTES];

	(void)state;
	assert_non_null(message);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct qosid_buf armor = {0}, again = {0};

		assert_int_equal(sshsig_sign(&armor, identity, "git", message, sizes[i], NULL), 0);
		assert_true(armor.len < SSHSIG_ARMOR_MAX);
		assert_int_equal(sshsig_verify((char *)armor.data, armor.len, "git", message, sizes[i],
				     identity_signing_public(identity), NULL),
		    0);
		assert_int_equal(sshsig_parse_signer((char *)armor.data, armor.len, signer, NULL), 0);
		assert_memory_equal(signer, identity_signing_public(identity), sizeof(signer));
		/* Ed25519 is deterministic. */
		assert_int_equal(sshsig_sign(&again, identity, "git", message, sizes[i], NULL), 0);
		assert_string_equal((char *)armor.data, (char *)again.data);
		qosid_buf_free(&armor);
		qosid_buf_free(&again);
	}
	free(message);
	identity_free(identity);
}

static void test_what_does_not_hold(void **state)
{
	struct identity *identity = new_identity(), *other = new_identity();
	const uint8_t *key = identity_signing_public(identity);
	struct qosid_buf armor = {0};
	struct qosid_errbuf err = {0};

	(void)state;
	assert_int_equal(sshsig_sign(&armor, identity, "git", MESSAGE, strlen(MESSAGE), NULL), 0);
	assert_int_equal(verify(&armor, "git", MESSAGE, key), 0);
	assert_int_equal(verify(&armor, "git", MESSAGE "x", key), QOSID_ERR_REFUSED);
	assert_int_equal(verify(&armor, "git", "", key), QOSID_ERR_REFUSED);
	assert_int_equal(verify(&armor, "file", MESSAGE, key), QOSID_ERR_REFUSED);
	assert_int_equal(verify(&armor, "gi", MESSAGE, key), QOSID_ERR_REFUSED);
	assert_int_equal(verify(&armor, "gitt", MESSAGE, key), QOSID_ERR_REFUSED);
	assert_int_equal(verify(&armor, "git", MESSAGE, identity_signing_public(other)), QOSID_ERR_REFUSED);
	assert_int_equal(verify(&armor, "", MESSAGE, key), QOSID_ERR_USAGE);
	assert_int_equal(sshsig_verify((char *)armor.data, armor.len, "file", MESSAGE, strlen(MESSAGE), key, &err),
	    QOSID_ERR_REFUSED);
	assert_non_null(strstr(err.what, "namespace"));
	qosid_buf_reset(&armor);
	assert_int_equal(sshsig_sign(&armor, identity, "", MESSAGE, strlen(MESSAGE), NULL), QOSID_ERR_USAGE);
	assert_int_equal(armor.len, 0);
	identity_free(identity);
	identity_free(other);
	qosid_buf_free(&armor);
}

/* Every bit of the armour: there is only one text that stands for a signature of this width. */
static void test_every_bit_counts(void **state)
{
	struct identity *identity = new_identity();
	const uint8_t *key = identity_signing_public(identity);
	struct qosid_buf armor = {0};

	(void)state;
	assert_int_equal(sshsig_sign(&armor, identity, "git", MESSAGE, strlen(MESSAGE), NULL), 0);
	for (size_t bit = 0; bit < armor.len * 8; bit++) {
		armor.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (verify(&armor, "git", MESSAGE, key) == 0)
			fail_msg("bit %zu does not count", bit);
		armor.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	/* Only the last newline may be missing, as in a commit's gpgsig. */
	for (size_t len = 0; len < armor.len; len++) {
		struct qosid_buf cut = {armor.data, len, 0};

		assert_int_equal(verify(&cut, "git", MESSAGE, key), len == armor.len - 1 ? 0 : QOSID_ERR_INVALID);
	}
	identity_free(identity);
	qosid_buf_free(&armor);
}

/* ---- made by ssh-keygen
 * --------------------------------------------------------------------------------------------------- */

/* The seed of an unencrypted openssh-key-v1 file as an identity, beside a new age key. */
static struct identity *identity_from_openssh(const struct qosid_buf *file, const struct qosid_buf *public_line)
{
	static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
	const char *start = (const char *)file->data + strlen(begin), *end = strstr(start, "-----END");
	struct qosid_buf text = {0};
	struct identity *identity;
	struct age_key *age_key;
	uint8_t blob[512], *pair;
	char seed[45];
	size_t len;

	assert_memory_equal(file->data, begin, strlen(begin));
	assert_non_null(end);
	assert_int_equal(sodium_base642bin(blob, sizeof(blob), start, (size_t)(end - start), "\n", &len, NULL,
			     sodium_base64_VARIANT_ORIGINAL),
	    0);
	pair = memmem(blob, len, "\0\0\0\x40", 4);
	assert_non_null(pair);
	sodium_bin2base64(seed, sizeof(seed), pair + 4, 32, sodium_base64_VARIANT_ORIGINAL);
	assert_int_equal(age_key_create(&age_key, NULL), 0);
	assert_int_equal(qosid_buf_append_format(&text, NULL,
			     "# qosid identity 1\n# signing-public: %.80s\n# encryption-public: %s\n"
			     "# signing-secret: %s\n",
			     (const char *)public_line->data, age_key_recipient(age_key), seed),
	    0);
	assert_int_equal(age_key_format_secret(age_key, &text, NULL), 0);
	assert_int_equal(identity_parse(&identity, (char *)text.data, text.len, NULL), 0);
	age_key_free(age_key);
	qosid_buf_wipe(&text);
	return identity;
}

static void test_stock_signatures(void **state)
{
	struct qosid_buf message = {0}, public_line = {0}, git = {0}, file = {0}, key_file = {0}, own = {0};
	uint8_t public_key[SIGNING_PUBLIC_BYTES];
	struct identity *identity;

	(void)state;
	vector_read(&message, "ssh/message.txt");
	vector_read(&public_line, "ssh/key.pub");
	vector_read(&git, "ssh/message.git.sig");
	vector_read(&file, "ssh/message.file.sig");
	vector_read(&key_file, "ssh/key");
	assert_int_equal(sshkey_parse_public(public_key, (char *)public_line.data, public_line.len, NULL), 0);
	assert_int_equal(verify(&git, "git", (char *)message.data, public_key), 0);
	assert_int_equal(verify(&file, "file", (char *)message.data, public_key), 0);
	assert_int_equal(verify(&git, "file", (char *)message.data, public_key), QOSID_ERR_REFUSED);

	/* With the same key our bytes are the same. */
	identity = identity_from_openssh(&key_file, &public_line);
	assert_int_equal(sshsig_sign(&own, identity, "git", message.data, message.len, NULL), 0);
	assert_string_equal((char *)own.data, (char *)git.data);
	qosid_buf_reset(&own);
	assert_int_equal(sshsig_sign(&own, identity, "file", message.data, message.len, NULL), 0);
	assert_string_equal((char *)own.data, (char *)file.data);
	identity_free(identity);
	qosid_buf_free(&message);
	qosid_buf_free(&public_line);
	qosid_buf_free(&git);
	qosid_buf_free(&file);
	qosid_buf_free(&key_file);
	qosid_buf_free(&own);
}

static void test_stock_forms_that_are_refused(void **state)
{
	struct qosid_buf public_line = {0}, ecdsa_line = {0}, sha256 = {0}, ecdsa = {0};
	uint8_t public_key[SIGNING_PUBLIC_BYTES];

	(void)state;
	vector_read(&public_line, "ssh/key.pub");
	vector_read(&ecdsa_line, "ssh/ecdsa.pub");
	vector_read(&sha256, "ssh/message.sha256.sig");
	vector_read(&ecdsa, "ssh/message.ecdsa.sig");
	assert_int_equal(
	    sshkey_parse_public(public_key, (char *)ecdsa_line.data, ecdsa_line.len, NULL), QOSID_ERR_INVALID);
	assert_int_equal(sshkey_parse_public(public_key, (char *)public_line.data, public_line.len, NULL), 0);
	assert_int_equal(verify(&sha256, "git", MESSAGE, public_key), QOSID_ERR_INVALID);
	assert_int_equal(verify(&ecdsa, "git", MESSAGE, public_key), QOSID_ERR_INVALID);
	qosid_buf_free(&public_line);
	qosid_buf_free(&ecdsa_line);
	qosid_buf_free(&sha256);
	qosid_buf_free(&ecdsa);
}

/* An exported key holds what ssh-keygen writes into its own. */
static void test_export_equals_the_stock_file(void **state)
{
	struct qosid_buf key_file = {0}, public_line = {0}, own = {0};
	struct identity *identity, *again;

	(void)state;
	vector_read(&key_file, "ssh/key");
	vector_read(&public_line, "ssh/key.pub");
	identity = identity_from_openssh(&key_file, &public_line);
	assert_int_equal(identity_format_openssh(identity, &own, NULL), 0);
	again = identity_from_openssh(&own, &public_line);
	assert_string_equal(identity_ssh_public(again), identity_ssh_public(identity));
	/* The same first two lines: magic, cipher, public key. The rest has a random number and another comment. */
	assert_memory_equal(own.data, key_file.data, 36 + 71);
	identity_free(identity);
	identity_free(again);
	qosid_buf_wipe(&own);
	qosid_buf_free(&key_file);
	qosid_buf_free(&public_line);
}

/* ---- malformed ones
 * ------------------------------------------------------------------------------------------------------- */

/* The fields of a signature, each of which a case changes. */
struct fields {
	const char *magic;
	uint32_t version;
	const char *key_type;
	size_t key_len;
	const char *name_space;
	size_t name_space_len;
	const char *reserved, *hash, *signature_type;
	size_t signature_len;
	const char *key_trailing, *signature_trailing, *trailing;
	size_t cut; /* bytes left out at the end */
};

static void put_u32(struct qosid_buf *buf, uint32_t value)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		assert_int_equal(qosid_buf_append_byte(buf, value >> shift & 0xff, NULL), 0);
}

static void put_string(struct qosid_buf *buf, const void *data, size_t len)
{
	put_u32(buf, (uint32_t)len);
	assert_int_equal(qosid_buf_append(buf, data, len, NULL), 0);
}

static void put_pair(struct qosid_buf *buf, const char *type, const uint8_t *data, size_t len, const char *trailing)
{
	struct qosid_buf pair = {0};

	put_string(&pair, type, strlen(type));
	put_string(&pair, data, len);
	assert_int_equal(qosid_buf_append_text(&pair, trailing, NULL), 0);
	put_string(buf, pair.data, pair.len);
	qosid_buf_free(&pair);
}

/* Sign MESSAGE with the fields as they are, so that nothing but the form is wrong. */
static void build(struct qosid_buf *armor, const struct fields *fields, const struct identity *identity)
{
	struct qosid_buf data = {0}, blob = {0};
	uint8_t hash[64], signature[80] = {0}, key[40] = {0};
	char text[2048];

	memcpy(key, identity_signing_public(identity), SIGNING_PUBLIC_BYTES);
	crypto_hash_sha512(hash, (const uint8_t *)MESSAGE, strlen(MESSAGE));
	assert_int_equal(qosid_buf_append_text(&data, fields->magic, NULL), 0);
	put_string(&data, fields->name_space, fields->name_space_len);
	put_string(&data, fields->reserved, strlen(fields->reserved));
	put_string(&data, fields->hash, strlen(fields->hash));
	put_string(&data, hash, sizeof(hash));
	assert_int_equal(identity_sign(identity, signature, data.data, data.len, NULL), 0);

	assert_int_equal(qosid_buf_append_text(&blob, fields->magic, NULL), 0);
	put_u32(&blob, fields->version);
	put_pair(&blob, fields->key_type, key, fields->key_len, fields->key_trailing);
	put_string(&blob, fields->name_space, fields->name_space_len);
	put_string(&blob, fields->reserved, strlen(fields->reserved));
	put_string(&blob, fields->hash, strlen(fields->hash));
	put_pair(&blob, fields->signature_type, signature, fields->signature_len, fields->signature_trailing);
	assert_int_equal(qosid_buf_append_text(&blob, fields->trailing, NULL), 0);
	sodium_bin2base64(text, sizeof(text), blob.data, blob.len - fields->cut, sodium_base64_VARIANT_ORIGINAL);
	qosid_buf_reset(armor);
	assert_int_equal(qosid_buf_append_text(armor, BEGIN, NULL), 0);
	for (size_t at = 0; at < strlen(text); at += 70)
		assert_int_equal(qosid_buf_append_format(armor, NULL, "%.70s\n", text + at), 0);
	assert_int_equal(qosid_buf_append_text(armor, END, NULL), 0);
	qosid_buf_free(&data);
	qosid_buf_free(&blob);
}

static const struct fields good = {
    "SSHSIG", 1, "ssh-ed25519", 32, "git", 3, "", "sha512", "ssh-ed25519", 64, "", "", "", 0};

#define WITH(...) fields = good, __VA_ARGS__, build(&armor, &fields, identity)
#define ASSERT_MALFORMED(...)                                                                                          \
	do {                                                                                                           \
		WITH(__VA_ARGS__);                                                                                     \
		assert_int_equal(verify(&armor, "git", MESSAGE, key), QOSID_ERR_INVALID);                              \
		assert_int_equal(sshsig_parse_signer((char *)armor.data, armor.len, signer, NULL), QOSID_ERR_INVALID); \
	} while (0)

static void test_malformed_fields(void **state)
{
	struct identity *identity = new_identity();
	const uint8_t *key = identity_signing_public(identity);
	uint8_t signer[SIGNING_PUBLIC_BYTES];
	struct qosid_buf armor = {0};
	struct fields fields;

	(void)state;
	/* The builder itself makes what sshsig_sign() makes. */
	WITH(fields.version = 1);
	assert_int_equal(verify(&armor, "git", MESSAGE, key), 0);

	ASSERT_MALFORMED(fields.magic = "SSHSIH");
	ASSERT_MALFORMED(fields.version = 0);
	ASSERT_MALFORMED(fields.version = 2);
	ASSERT_MALFORMED(fields.key_type = "ssh-rsa");
	ASSERT_MALFORMED(fields.key_type = "sk-ssh-ed25519@openssh.com");
	ASSERT_MALFORMED(fields.key_len = 31);
	ASSERT_MALFORMED(fields.key_len = 33);
	ASSERT_MALFORMED(fields.key_trailing = "x");
	ASSERT_MALFORMED(fields.name_space_len = 0);
	ASSERT_MALFORMED((fields.name_space = "git\0x", fields.name_space_len = 5));
	ASSERT_MALFORMED((fields.name_space = "git", fields.name_space_len = 4));
	ASSERT_MALFORMED((fields.name_space = "0123456789012345678901234567890123456789012345678901234567890123456789",
	    fields.name_space_len = 70));
	ASSERT_MALFORMED(fields.reserved = "x");
	ASSERT_MALFORMED(fields.hash = "sha256");
	ASSERT_MALFORMED(fields.hash = "");
	ASSERT_MALFORMED(fields.hash = "SHA512");
	ASSERT_MALFORMED(fields.signature_type = "ssh-ed448");
	ASSERT_MALFORMED(fields.signature_len = 63);
	ASSERT_MALFORMED(fields.signature_len = 65);
	ASSERT_MALFORMED(fields.signature_trailing = "x");
	ASSERT_MALFORMED(fields.trailing = "x");
	for (size_t cut = 1; cut < 150; cut++)
		ASSERT_MALFORMED(fields.cut = cut);
	identity_free(identity);
	qosid_buf_free(&armor);
}

/* Any width of line is a signature, anything else around the base64 is not. */
static void test_armor(void **state)
{
	struct identity *identity = new_identity();
	const uint8_t *key = identity_signing_public(identity);
	struct qosid_buf armor = {0}, other = {0};
	char body[1024], *text;
	size_t len = 0;

	(void)state;
	assert_int_equal(sshsig_sign(&armor, identity, "git", MESSAGE, strlen(MESSAGE), NULL), 0);
	text = (char *)armor.data;
	for (size_t i = strlen(BEGIN); i < armor.len - strlen(END); i++) {
		if (text[i] != '\n')
			body[len++] = text[i];
	}
	body[len] = '\0';
	for (size_t width = 60; width <= 80; width++) {
		qosid_buf_reset(&other);
		assert_int_equal(qosid_buf_append_text(&other, BEGIN, NULL), 0);
		for (size_t at = 0; at < len; at += width)
			assert_int_equal(qosid_buf_append_format(&other, NULL, "%.*s\n", (int)width, body + at), 0);
		assert_int_equal(qosid_buf_append_text(&other, END, NULL), 0);
		assert_int_equal(verify(&other, "git", MESSAGE, key), width <= 76 ? 0 : QOSID_ERR_INVALID);
	}

#define ASSERT_ARMOR(expected, fmt, ...)                                                                               \
	do {                                                                                                           \
		qosid_buf_reset(&other);                                                                               \
		assert_int_equal(qosid_buf_append_format(&other, NULL, fmt, __VA_ARGS__), 0);                          \
		assert_int_equal(verify(&other, "git", MESSAGE, key), expected);                                       \
	} while (0)
	ASSERT_ARMOR(QOSID_ERR_INVALID, " %s", text);
	ASSERT_ARMOR(QOSID_ERR_INVALID, "\n%s", text);
	ASSERT_ARMOR(QOSID_ERR_INVALID, "%s\n", text);
	ASSERT_ARMOR(QOSID_ERR_INVALID, "%sx", text);
	ASSERT_ARMOR(QOSID_ERR_INVALID, "%s%s", text, text);
	ASSERT_ARMOR(
	    QOSID_ERR_INVALID, BEGIN "\n%.70s\n%.70s\n%.70s\n%s\n" END, body, body + 70, body + 140, body + 210);
	ASSERT_ARMOR(
	    QOSID_ERR_INVALID, BEGIN "%.70s\n\n%.70s\n%.70s\n%s\n" END, body, body + 70, body + 140, body + 210);
	ASSERT_ARMOR(
	    QOSID_ERR_INVALID, BEGIN "%.70s\r\n%.70s\n%.70s\n%s\n" END, body, body + 70, body + 140, body + 210);
	ASSERT_ARMOR(
	    QOSID_ERR_INVALID, BEGIN "%.70s \n%.70s\n%.70s\n%s\n" END, body, body + 70, body + 140, body + 210);
	ASSERT_ARMOR(QOSID_ERR_INVALID, BEGIN "%.70s\n%.70s\n%.70s\n%s" END, body, body + 70, body + 140, body + 210);
	ASSERT_ARMOR(
	    QOSID_ERR_INVALID, BEGIN "%.70s\n%.70s\n%.70s\n%s=\n" END, body, body + 70, body + 140, body + 210);
	ASSERT_ARMOR(QOSID_ERR_INVALID, BEGIN "%s", END);
	ASSERT_ARMOR(QOSID_ERR_INVALID, BEGIN "\n%s", END);
	ASSERT_ARMOR(0, BEGIN "%.70s\n%.70s\n%.70s\n%s\n" END, body, body + 70, body + 140, body + 210);

	qosid_buf_reset(&other);
	while (other.len <= SSHSIG_ARMOR_MAX)
		assert_int_equal(qosid_buf_append_text(&other, text, NULL), 0);
	assert_int_equal(verify(&other, "git", MESSAGE, key), QOSID_ERR_LIMIT);
	identity_free(identity);
	qosid_buf_free(&armor);
	qosid_buf_free(&other);
}

/* S + L is the same scalar in another encoding: it must not verify. */
static void test_ed25519_encoding_is_canonical(void **state)
{
	static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde,
	    0xf9, 0xde, 0x14, [31] = 0x10};
	struct identity *identity = new_identity();
	struct qosid_buf armor = {0}, changed = {0};
	uint8_t blob[512];
	char text[1024], body[1024];
	size_t len, text_len = 0;
	unsigned carry = 0;

	(void)state;
	assert_int_equal(sshsig_sign(&armor, identity, "git", MESSAGE, strlen(MESSAGE), NULL), 0);
	for (size_t i = strlen(BEGIN); i < armor.len - strlen(END); i++)
		body[text_len++] = (char)armor.data[i];
	assert_int_equal(
	    sodium_base642bin(blob, sizeof(blob), body, text_len, "\n", &len, NULL, sodium_base64_VARIANT_ORIGINAL), 0);
	for (size_t i = 0; i < 32; i++) {
		carry += blob[len - 32 + i] + order[i];
		blob[len - 32 + i] = carry & 0xff;
		carry >>= 8;
	}
	sodium_bin2base64(text, sizeof(text), blob, len, sodium_base64_VARIANT_ORIGINAL);
	assert_int_equal(qosid_buf_append_text(&changed, BEGIN, NULL), 0);
	for (size_t at = 0; at < strlen(text); at += 70)
		assert_int_equal(qosid_buf_append_format(&changed, NULL, "%.70s\n", text + at), 0);
	assert_int_equal(qosid_buf_append_text(&changed, END, NULL), 0);
	assert_int_equal(verify(&changed, "git", MESSAGE, identity_signing_public(identity)), QOSID_ERR_REFUSED);
	identity_free(identity);
	qosid_buf_free(&armor);
	qosid_buf_free(&changed);
}

/* ---- public key lines
 * ----------------------------------------------------------------------------------------------------- */

static int parse_line(const char *before, const char *text, const char *after)
{
	uint8_t public_key[SIGNING_PUBLIC_BYTES];
	char line[1024];
	int len = snprintf(line, sizeof(line), "%s%s%s", before, text, after);

	return sshkey_parse_public(public_key, line, (size_t)len, NULL);
}

static void test_public_key_lines(void **state)
{
	struct identity *identity = new_identity();
	const char *line = identity_ssh_public(identity);
	uint8_t public_key[SIGNING_PUBLIC_BYTES];
	char again[SSH_PUBLIC_SIZE];

	(void)state;
	assert_int_equal(sshkey_parse_public(public_key, line, strlen(line), NULL), 0);
	assert_memory_equal(public_key, identity_signing_public(identity), sizeof(public_key));
	sshkey_format_public(again, public_key);
	assert_string_equal(again, line);
	assert_int_equal(parse_line("", line, "\n"), 0);
	assert_int_equal(parse_line("", line, " a comment"), 0);
	assert_int_equal(parse_line("", line, " \xd0\xba\xd0\xbb\xd1\x8e\xd1\x87\n"), 0);
	assert_int_equal(parse_line("", line, "\n\n"), QOSID_ERR_INVALID);
	assert_int_equal(parse_line("", line, "\r\n"), QOSID_ERR_INVALID);
	assert_int_equal(parse_line("", line, "x"), QOSID_ERR_INVALID);
	assert_int_equal(parse_line("", line, "="), QOSID_ERR_INVALID);
	assert_int_equal(parse_line("", line, " a\nb"), QOSID_ERR_INVALID);
	assert_int_equal(parse_line(" ", line, ""), QOSID_ERR_INVALID);
	assert_int_equal(parse_line("ssh-ed25519  ", line + 12, ""), QOSID_ERR_INVALID);
	assert_int_equal(parse_line("ssh-rsa ", line + 12, ""), QOSID_ERR_INVALID);
	assert_int_equal(parse_line("", "ssh-ed25519 ", ""), QOSID_ERR_INVALID);
	assert_int_equal(parse_line("", "", ""), QOSID_ERR_INVALID);
	for (size_t len = 0; len < strlen(line); len++)
		assert_int_equal(sshkey_parse_public(public_key, line, len, NULL), QOSID_ERR_INVALID);
	identity_free(identity);
}

/* Keys under which anyone can sign, and encodings that are none. */
static void test_weak_public_keys(void **state)
{
	static const uint8_t keys[][32] = {
	    {0},                             /* order 4 */
	    {1},                             /* the identity */
	    {[31] = 0x80},                   /* order 4, other sign */
	    {1, [31] = 0x80},                /* the identity, not canonical */
	    {2},                             /* not on the curve */
	    {0xec, [1 ... 30] = 0xff, 0x7f}, /* order 2 */
	    {0xed, [1 ... 30] = 0xff, 0x7f}, /* p: 0, not canonical */
	    {0xee, [1 ... 30] = 0xff, 0x7f}, /* p + 1: the identity, not canonical */
	    {0xff, [1 ... 30] = 0xff, 0xff}, /* not canonical */
	    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
		0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}, /* order 8 */
	};
	uint8_t public_key[SIGNING_PUBLIC_BYTES];
	char line[SSH_PUBLIC_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		sshkey_format_public(line, keys[i]);
		assert_int_equal(sshkey_parse_public(public_key, line, strlen(line), NULL), QOSID_ERR_INVALID);
	}
}

static void test_allowed_signers(void **state)
{
	static const char *const bad[] = {"", "-a", "A", "a b", "a*", "a,b", "a\nb", "\xd1\x85", "a\"", "#a",
	    "a234567890123456789012345678901234567890123456789012345678901234"};
	struct identity *identity = new_identity();
	const uint8_t *key = identity_signing_public(identity);
	struct qosid_buf out = {0};
	char expected[256];

	(void)state;
	(void)snprintf(
	    expected, sizeof(expected), "dushanbe-2 namespaces=\"git,file\" %s\n", identity_ssh_public(identity));
	assert_int_equal(sshsig_format_allowed_signer(&out, "dushanbe-2", key, NULL), 0);
	assert_string_equal((char *)out.data, expected);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(sshsig_format_allowed_signer(&out, bad[i], key, NULL), QOSID_ERR_INVALID);
	assert_string_equal((char *)out.data, expected);
	assert_int_equal(sshsig_format_allowed_signer(
			     &out, "a23456789012345678901234567890123456789012345678901234567890123", key, NULL),
	    0);
	identity_free(identity);
	qosid_buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_what_does_not_hold),
	    cmocka_unit_test(test_every_bit_counts),
	    cmocka_unit_test(test_stock_signatures),
	    cmocka_unit_test(test_stock_forms_that_are_refused),
	    cmocka_unit_test(test_export_equals_the_stock_file),
	    cmocka_unit_test(test_malformed_fields),
	    cmocka_unit_test(test_armor),
	    cmocka_unit_test(test_ed25519_encoding_is_canonical),
	    cmocka_unit_test(test_public_key_lines),
	    cmocka_unit_test(test_weak_public_keys),
	    cmocka_unit_test(test_allowed_signers),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
