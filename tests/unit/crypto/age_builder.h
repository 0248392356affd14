/*
 * Builds age files piece by piece, so that a test can get one piece wrong and leave all else valid, the MAC included.
 * Written from the specification and on libsodium alone: it shares no code with what it tests. Aborts when it fails.
 */
#ifndef QOSID_TESTS_AGE_BUILDER_H
#define QOSID_TESTS_AGE_BUILDER_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/buf.h"

struct builder {
	struct qosid_buf file;
	uint8_t file_key[32]; /* longer than the 16 bytes of age, for files that get it wrong */
	size_t file_key_len;
	uint8_t payload_key[32];
};

#define BUILDER_SHARE_TEXT 64
#define BUILDER_BODY_TEXT 96

/* Start over with a fixed file key and the version line. */
void builder_start(struct builder *builder);
void builder_free(struct builder *builder);

/* Append text or bytes as they are. */
void builder_text(struct builder *builder, const char *text);
void builder_bytes(struct builder *builder, const void *data, size_t len);
void builder_format(struct builder *builder, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The two base64 texts of an X25519 stanza to this public key; share NULL: a fixed ephemeral key's; otherwise this one,
 * with an all-zero shared secret. */
void builder_x25519_parts(const struct builder *builder, const uint8_t public_key[32], const uint8_t *share,
    char share_text[BUILDER_SHARE_TEXT], char body_text[BUILDER_BODY_TEXT]);
void builder_x25519(struct builder *builder, const uint8_t public_key[32]);

/* The base64 of a scrypt stanza's body, for a salt of any length. */
void builder_scrypt_body(const struct builder *builder, const char *passphrase, const uint8_t *salt, size_t salt_len,
    int work_factor, char body_text[BUILDER_BODY_TEXT]);

/* The valid MAC of the file so far and "---". */
void builder_mac_text(struct builder *builder, char mac_text[BUILDER_SHARE_TEXT]);

/* "--- MAC" with a valid MAC, and a fixed payload nonce. */
void builder_mac(struct builder *builder);
void builder_nonce(struct builder *builder);

/* One chunk of len bytes, each of them fill. */
void builder_chunk(struct builder *builder, uint64_t counter, int last, char fill, size_t len);

/* Turn a bit of the last byte round. */
void builder_spoil(struct builder *builder);

#endif
