/*
 * age X25519 keys. The whole struct lives in sodium_malloc memory that is read-only from the moment the key is made.
 */
#include <sodium.h>
#include <string.h>

#include "crypto/bech32.h"
#include "crypto/keys_internal.h"

#define RECIPIENT_PREFIX "age"
#define SECRET_PREFIX "AGE-SECRET-KEY-"

/* Bytes only: sodium_malloc aligns the end of what it gives, not its start. */
struct age_key {
	uint8_t secret[X25519_BYTES];
	uint8_t public[X25519_BYTES];
	char recipient[BECH32_TEXT_MAX + 1];
};

int keys_ready(struct qosid_errbuf *err)
{
	if (sodium_init() < 0)
		return qosid_error(err, QOSID_ERR_FAILED, "libsodium cannot be initialised");
	return 0;
}

static int allocate(struct age_key **out, struct qosid_errbuf *err)
{
	int rc;

	*out = NULL;
	rc = keys_ready(err);
	if (rc != 0)
		return rc;
	*out = sodium_malloc(sizeof(**out));
	if (*out == NULL)
		return keys_no_memory(err, "a key");
	return 0;
}

/* Derive the public half and close the memory. Takes key over: it is freed on failure. */
static int seal(struct age_key **out, struct age_key *key, struct qosid_errbuf *err)
{
	if (crypto_scalarmult_base(key->public, key->secret) != 0 ||
	    bech32_encode(key->recipient, RECIPIENT_PREFIX, key->public, sizeof(key->public)) != 0 ||
	    sodium_mprotect_readonly(key) != 0) {
		age_key_free(key);
		return qosid_error(err, QOSID_ERR_FAILED, "the public half of a key cannot be derived");
	}
	*out = key;
	return 0;
}

int age_key_create(struct age_key **out, struct qosid_errbuf *err)
{
	struct age_key *key;
	int rc;

	*out = NULL;
	rc = allocate(&key, err);
	if (rc != 0)
		return rc;
	randombytes_buf(key->secret, sizeof(key->secret));
	return seal(out, key, err);
}

int age_key_parse(struct age_key **out, const char *text, size_t len, struct qosid_errbuf *err)
{
	struct age_key *key;
	int rc;

	*out = NULL;
	rc = allocate(&key, err);
	if (rc != 0)
		return rc;
	if (bech32_decode(key->secret, sizeof(key->secret), SECRET_PREFIX, text, len) != 0) {
		age_key_free(key);
		return qosid_error(err, QOSID_ERR_INVALID,
		    "not an age secret key: it must be " SECRET_PREFIX "1 and 58 more characters with a right "
		    "checksum");
	}
	return seal(out, key, err);
}

int age_key_parse_file(struct age_key **out, const char *text, size_t len, struct qosid_errbuf *err)
{
	size_t line_number = 0;

	*out = NULL;
	for (size_t pos = 0; pos < len;) {
		const char *line = text + pos;
		const char *end = memchr(line, '\n', len - pos);
		size_t line_len = end == NULL ? len - pos : (size_t)(end - line);
		int rc;

		line_number++;
		pos += line_len + 1;
		if (line_len > 0 && line[line_len - 1] == '\r')
			line_len--;
		if (line_len == 0 || line[0] == '#')
			continue;
		rc = age_key_parse(out, line, line_len, err);
		if (rc != 0)
			(void)qosid_error_within(err, "line %zu", line_number); /* rc holds the code */
		return rc;
	}
	return qosid_error(err, QOSID_ERR_INVALID, "there is no age secret key in it");
}

const char *age_key_recipient(const struct age_key *key)
{
	return key->recipient;
}

const uint8_t *age_key_public(const struct age_key *key)
{
	return key->public;
}

int age_key_format_secret(const struct age_key *key, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	char text[BECH32_TEXT_MAX + 1];
	int rc;

	if (bech32_encode(text, SECRET_PREFIX, key->secret, sizeof(key->secret)) != 0)
		return qosid_error(err, QOSID_ERR_FAILED, "the secret key cannot be written as text");
	rc = qosid_buf_append_text(buf, text, err);
	sodium_memzero(text, sizeof(text));
	return rc;
}

int age_key_agree(uint8_t shared[X25519_BYTES], const struct age_key *key, const uint8_t share[X25519_BYTES])
{
	/* libsodium refuses the known low-order points; the zero test is what the age specification asks for. */
	if (crypto_scalarmult(shared, key->secret, share) != 0 || sodium_is_zero(shared, X25519_BYTES)) {
		sodium_memzero(shared, X25519_BYTES);
		return -1;
	}
	return 0;
}

int age_recipient_parse(uint8_t public_key[X25519_BYTES], const char *text, struct qosid_errbuf *err)
{
	/* Any scalar does: multiplied by it a low-order point gives zero, and no other point does. */
	static const uint8_t probe[X25519_BYTES] = {8};
	uint8_t product[X25519_BYTES];

	if (bech32_decode(public_key, X25519_BYTES, RECIPIENT_PREFIX, text, strnlen(text, BECH32_TEXT_MAX + 1)) != 0)
		return qosid_error(err, QOSID_ERR_INVALID,
		    "\"%.80s\" is not an age recipient: it must be age1 and 58 more characters with a right checksum",
		    text);
	if (crypto_scalarmult(product, probe, public_key) != 0 || sodium_is_zero(product, sizeof(product)))
		return qosid_error(
		    err, QOSID_ERR_INVALID, "the age recipient \"%.80s\" is a weak key (a low-order point)", text);
	return 0;
}

int age_recipient_check(const char *text, struct qosid_errbuf *err)
{
	uint8_t public_key[X25519_BYTES];
	int rc;

	rc = keys_ready(err);
	return rc != 0 ? rc : age_recipient_parse(public_key, text, err);
}

void age_key_free(struct age_key *key)
{
	/* Makes the memory writable again, wipes it, unmaps it. */
	sodium_free(key);
}
