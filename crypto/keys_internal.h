/*
 * What the rest of crypto/ needs of keys and nobody else may see.
 */
#ifndef QOSID_CRYPTO_KEYS_INTERNAL_H
#define QOSID_CRYPTO_KEYS_INTERNAL_H

#include "crypto/keys.h"

#define X25519_BYTES 32
#define SIGNING_SECRET_BYTES 64 /* as libsodium and OpenSSH keep it: the seed, then the public key */
#define SIGNING_SEED_BYTES 32

/* libsodium is usable. Idempotent; each way of making a key or a stream goes through it. */
int keys_ready(struct qosid_errbuf *err);

/* Inline, so that static analysis sees that it never returns 0. */
static inline int keys_no_memory(struct qosid_errbuf *err, const char *purpose)
{
	(void)qosid_error(err, QOSID_ERR_NOMEM, "not enough memory for %s", purpose);
	return QOSID_ERR_NOMEM;
}

/* The point of an "age1..." recipient; QOSID_ERR_INVALID as age_recipient_check(). */
int age_recipient_parse(uint8_t public_key[X25519_BYTES], const char *text, struct qosid_errbuf *err);

/* The public half as a point; lives as long as key. */
const uint8_t *age_key_public(const struct age_key *key);

/* X25519(key's secret, share). -1 when the result is all zero, which means that share is a low-order point. */
int age_key_agree(uint8_t shared[X25519_BYTES], const struct age_key *key, const uint8_t share[X25519_BYTES]);

/* SIGNING_SECRET_BYTES; lives as long as identity. */
const uint8_t *identity_signing_secret(const struct identity *identity);

#endif
