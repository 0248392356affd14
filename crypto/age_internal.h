/*
 * The pieces of the age v1 format that encryption and decryption share: key derivation, the header's text, the nonces
 * of the payload's chunks. Names are those of the specification.
 */
#ifndef QOSID_CRYPTO_AGE_INTERNAL_H
#define QOSID_CRYPTO_AGE_INTERNAL_H

#include "crypto/age.h"

#define AGE_INTRO "age-encryption.org/v1\n"
#define AGE_ARMOR_INTRO "-----BEGIN AGE"
#define AGE_MAC_PREFIX "---"
#define AGE_TYPE_X25519 "X25519"
#define AGE_TYPE_SCRYPT "scrypt"

#define AGE_KEY_BYTES 32 /* wrap keys, the payload key, the MAC key */
#define AGE_FILE_KEY_BYTES 16
#define AGE_TAG_BYTES 16
#define AGE_WRAPPED_KEY_BYTES (AGE_FILE_KEY_BYTES + AGE_TAG_BYTES)
#define AGE_SHARE_BYTES 32
#define AGE_SALT_BYTES 16
#define AGE_MAC_BYTES 32
#define AGE_NONCE_BYTES 16
#define AGE_CHUNK_NONCE_BYTES 12
#define AGE_SEALED_CHUNK_BYTES (AGE_CHUNK_BYTES + AGE_TAG_BYTES)
#define AGE_BODY_COLUMNS 64
#define AGE_BODY_LINE_BYTES (AGE_BODY_COLUMNS / 4 * 3)

/* The first 32 bytes of HKDF-SHA256. */
void age_hkdf(uint8_t out[AGE_KEY_BYTES], const void *secret, size_t secret_len, const void *salt, size_t salt_len,
    const void *info, size_t info_len);

/* MAC of a header from its first byte to the three hyphens of its last line. */
void age_header_mac(
    uint8_t mac[AGE_MAC_BYTES], const uint8_t file_key[AGE_FILE_KEY_BYTES], const void *header, size_t len);

void age_payload_key(
    uint8_t key[AGE_KEY_BYTES], const uint8_t file_key[AGE_FILE_KEY_BYTES], const uint8_t nonce[AGE_NONCE_BYTES]);

void age_chunk_nonce(uint8_t nonce[AGE_CHUNK_NONCE_BYTES], uint64_t counter, int last);

/* The key that wraps the file key for an X25519 recipient, and for a passphrase. */
void age_x25519_wrap_key(uint8_t key[AGE_KEY_BYTES], const uint8_t shared[AGE_SHARE_BYTES],
    const uint8_t share[AGE_SHARE_BYTES], const uint8_t recipient[AGE_SHARE_BYTES]);
int age_scrypt_wrap_key(uint8_t key[AGE_KEY_BYTES], const char *passphrase, const uint8_t salt[AGE_SALT_BYTES],
    int work_factor, struct qosid_errbuf *err);

/* Wrap and unwrap the file key. unwrap: 0, or -1 when the key does not fit. */
void age_wrap_file_key(uint8_t wrapped[AGE_WRAPPED_KEY_BYTES], const uint8_t file_key[AGE_FILE_KEY_BYTES],
    const uint8_t key[AGE_KEY_BYTES]);
int age_unwrap_file_key(uint8_t file_key[AGE_FILE_KEY_BYTES], const uint8_t wrapped[AGE_WRAPPED_KEY_BYTES],
    const uint8_t key[AGE_KEY_BYTES]);

/* A piece of the header's text; lives as long as the header. */
struct age_text {
	const char *data;
	size_t len;
};

int age_text_is(const struct age_text *text, const char *word);

/* Read canonical base64 without padding that stands for exactly len bytes. 0 or -1. */
int age_text_decode(const struct age_text *text, uint8_t *out, size_t len);

/* Append len bytes as base64 without padding. len is at most AGE_BODY_LINE_BYTES. */
int age_append_base64(struct qosid_buf *buf, const uint8_t *data, size_t len, struct qosid_errbuf *err);

#define AGE_STANZA_ARGUMENTS 4

struct age_stanza {
	struct age_text argument[AGE_STANZA_ARGUMENTS]; /* the first of them; argument[0] is the type */
	size_t argument_count;                          /* how many there are */
	uint8_t body[AGE_BODY_LINE_BYTES];              /* the first of it */
	size_t body_len;                                /* how long it is */
};

/* Reads a complete header, which lives as long as the reader, up to the newline of its MAC line. */
struct age_header_reader {
	const char *data;
	size_t len;
	size_t pos;
};

/* Start, and check the first line. */
int age_header_open(struct age_header_reader *reader, const void *header, size_t len, struct qosid_errbuf *err);

/* 1: stanza is filled; 0: the MAC line is next; or an error. */
int age_header_next(struct age_header_reader *reader, struct age_stanza *stanza, struct qosid_errbuf *err);

/* Read the MAC line, which must be the last. *covered is how much of the header the MAC is over. */
int age_header_read_mac(
    struct age_header_reader *reader, uint8_t mac[AGE_MAC_BYTES], size_t *covered, struct qosid_errbuf *err);

#endif
