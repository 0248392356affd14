/*
 * An office's identity and its text form. The signing secret and the age key each live in sodium_malloc memory that is
 * read-only from the moment they are made; the public halves are beside them as text.
 */
#include "crypto/keys.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base64.h"
#include "crypto/keys_internal.h"
#include "crypto/sshsig.h"

#define TITLE "# qosid identity 1"
#define SIGNING_PUBLIC_LABEL "# signing-public: "
#define ENCRYPTION_PUBLIC_LABEL "# encryption-public: "
#define SIGNING_SECRET_LABEL "# signing-secret: "
#define SEED_BASE64_SIZE 45 /* 32 bytes in padded base64, and a NUL */
#define SECRET_TEXT_MAX 512 /* the whole text form, rounded up */

struct identity {
	uint8_t *signing_secret; /* sodium_malloc, read-only */
	struct age_key *age_key;
	uint8_t signing_public[SIGNING_PUBLIC_BYTES];
	char ssh_public[SSH_PUBLIC_SIZE];
};

/* seed is wiped by the caller. age_key is taken over, also on failure. */
static int build(
    struct identity **out, const uint8_t seed[SIGNING_SEED_BYTES], struct age_key *age_key, struct qosid_errbuf *err)
{
	struct identity *identity = calloc(1, sizeof(*identity));
	int rc;

	if (identity == NULL) {
		age_key_free(age_key);
		return keys_no_memory(err, "an identity");
	}
	identity->age_key = age_key;
	identity->signing_secret = sodium_malloc(SIGNING_SECRET_BYTES);
	if (identity->signing_secret == NULL) {
		rc = keys_no_memory(err, "an identity");
		goto fail;
	}
	if (crypto_sign_seed_keypair(identity->signing_public, identity->signing_secret, seed) != 0 ||
	    sodium_mprotect_readonly(identity->signing_secret) != 0) {
		(void)qosid_error(err, QOSID_ERR_FAILED, "the signing key cannot be derived from its seed");
		rc = QOSID_ERR_FAILED;
		goto fail;
	}
	sshkey_format_public(identity->ssh_public, identity->signing_public);
	*out = identity;
	return 0;
fail:
	identity_free(identity);
	return rc;
}

int identity_create(struct identity **out, struct qosid_errbuf *err)
{
	uint8_t seed[SIGNING_SEED_BYTES];
	struct age_key *age_key;
	int rc;

	*out = NULL;
	rc = age_key_create(&age_key, err);
	if (rc != 0)
		return rc;
	randombytes_buf(seed, sizeof(seed));
	rc = build(out, seed, age_key, err);
	sodium_memzero(seed, sizeof(seed));
	return rc;
}

/* A line of an identity's text, and where its value was found. */
enum field { SIGNING_PUBLIC, ENCRYPTION_PUBLIC, SIGNING_SECRET, AGE_SECRET, FIELDS };

struct value {
	const char *data;
	size_t len;
};

static const char *const labels[FIELDS] = {
    SIGNING_PUBLIC_LABEL, ENCRYPTION_PUBLIC_LABEL, SIGNING_SECRET_LABEL, "AGE-SECRET-KEY-"};

/* Note where a line's value is. Comments and blank lines of others are let be. */
static int take_line(struct value values[FIELDS], const char *line, size_t len, struct qosid_errbuf *err)
{
	for (int field = 0; field < FIELDS; field++) {
		size_t label_len = strlen(labels[field]);

		if (len < label_len || memcmp(line, labels[field], label_len) != 0)
			continue;
		if (values[field].data != NULL)
			return qosid_error(
			    err, QOSID_ERR_INVALID, "\"%s\" is there twice in the identity", labels[field]);
		if (field == AGE_SECRET)
			label_len = 0;
		values[field] = (struct value){line + label_len, len - label_len};
		return 0;
	}
	if (len > 0 && line[0] != '#')
		return qosid_error(
		    err, QOSID_ERR_INVALID, "the identity holds a line that is neither a comment nor a key");
	return 0;
}

static int find_values(struct value values[FIELDS], const char *text, size_t len, struct qosid_errbuf *err)
{
	size_t line_number = 0;
	int rc;

	for (size_t pos = 0; pos < len;) {
		const char *line = text + pos;
		const char *end = memchr(line, '\n', len - pos);
		size_t line_len = end == NULL ? len - pos : (size_t)(end - line);

		line_number++;
		pos += line_len + 1;
		if (line_number == 1 && (line_len != strlen(TITLE) || memcmp(line, TITLE, line_len) != 0))
			break;
		rc = take_line(values, line, line_len, err);
		if (rc != 0) {
			(void)qosid_error_within(err, "line %zu", line_number); /* rc holds the code */
			return rc;
		}
	}
	for (int field = 0; field < FIELDS; field++) {
		if (values[field].data != NULL)
			continue;
		(void)qosid_error(err, QOSID_ERR_INVALID,
		    "not a qosid identity: it must start with \"" TITLE "\" and hold \"%s\"", labels[field]);
		return QOSID_ERR_INVALID;
	}
	return 0;
}

static int value_is(const struct value *value, const char *text)
{
	return value->len == strlen(text) && memcmp(value->data, text, value->len) == 0;
}

int identity_parse(struct identity **out, const char *text, size_t len, struct qosid_errbuf *err)
{
	struct value values[FIELDS] = {{NULL, 0}};
	uint8_t seed[SIGNING_SEED_BYTES];
	struct identity *identity = NULL;
	struct age_key *age_key;
	size_t seed_len = 0;
	int rc;

	*out = NULL;
	rc = keys_ready(err);
	if (rc == 0)
		rc = find_values(values, text, len, err);
	if (rc != 0)
		return rc;
	if (base64_decode(seed, sizeof(seed), &seed_len, BASE64_PADDED, values[SIGNING_SECRET].data,
		values[SIGNING_SECRET].len) != 0 ||
	    seed_len != sizeof(seed)) {
		rc = qosid_error(err, QOSID_ERR_INVALID, "the identity's signing secret is not 32 bytes in base64");
		goto out;
	}
	rc = age_key_parse(&age_key, values[AGE_SECRET].data, values[AGE_SECRET].len, err);
	if (rc != 0)
		goto out;
	rc = build(&identity, seed, age_key, err);
	if (rc != 0)
		goto out;
	if (!value_is(&values[SIGNING_PUBLIC], identity->ssh_public) ||
	    !value_is(&values[ENCRYPTION_PUBLIC], age_key_recipient(age_key))) {
		identity_free(identity);
		rc = qosid_error(err, QOSID_ERR_INVALID, "the identity's public keys do not belong to its secret keys");
		goto out;
	}
	*out = identity;
out:
	sodium_memzero(seed, sizeof(seed));
	return rc;
}

int identity_format_secret(const struct identity *identity, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	char seed[SEED_BASE64_SIZE];
	int rc;

	/* In one go, so that growing leaves no copies behind. */
	rc = qosid_buf_reserve(buf, SECRET_TEXT_MAX, err);
	if (rc != 0)
		return rc;
	rc = qosid_buf_append_format(buf, err, TITLE "\n" SIGNING_PUBLIC_LABEL "%s\n" ENCRYPTION_PUBLIC_LABEL "%s\n",
	    identity->ssh_public, age_key_recipient(identity->age_key));
	if (rc != 0)
		return rc;
	sodium_bin2base64(
	    seed, sizeof(seed), identity->signing_secret, SIGNING_SEED_BYTES, sodium_base64_VARIANT_ORIGINAL);
	rc = qosid_buf_append_text(buf, SIGNING_SECRET_LABEL, err);
	if (rc == 0)
		rc = qosid_buf_append_text(buf, seed, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(buf, '\n', err);
	if (rc == 0)
		rc = age_key_format_secret(identity->age_key, buf, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(buf, '\n', err);
	sodium_memzero(seed, sizeof(seed));
	return rc;
}

const uint8_t *identity_signing_public(const struct identity *identity)
{
	return identity->signing_public;
}

const uint8_t *identity_signing_secret(const struct identity *identity)
{
	return identity->signing_secret;
}

const char *identity_ssh_public(const struct identity *identity)
{
	return identity->ssh_public;
}

const char *identity_recipient(const struct identity *identity)
{
	return age_key_recipient(identity->age_key);
}

const struct age_key *identity_age_key(const struct identity *identity)
{
	return identity->age_key;
}

int identity_sign(
    const struct identity *identity, uint8_t signature[64], const void *data, size_t len, struct qosid_errbuf *err)
{
	if (crypto_sign_detached(signature, NULL, data, len, identity->signing_secret) != 0)
		return qosid_error(err, QOSID_ERR_FAILED, "signing failed");
	return 0;
}

void identity_free(struct identity *identity)
{
	if (identity == NULL)
		return;
	sodium_free(identity->signing_secret);
	age_key_free(identity->age_key);
	free(identity);
}
