/*
 * Bech32 (BIP-173), the text form of age keys. Strict: one case throughout, a right checksum, zero padding bits, at
 * most 90 characters.
 */
#ifndef QOSID_CRYPTO_BECH32_H
#define QOSID_CRYPTO_BECH32_H

#include <stddef.h>
#include <stdint.h>

#define BECH32_TEXT_MAX 90
#define BECH32_WORDS_MAX (BECH32_TEXT_MAX - 1 - 1) /* what the separator and a one-character prefix leave */

/* A text taken apart: the prefix in the case it was written in, and the 5-bit words without the checksum. */
struct bech32 {
	char prefix[BECH32_TEXT_MAX];
	uint8_t words[BECH32_WORDS_MAX];
	size_t count;
};

/* Take apart text of exactly len bytes. 0, or -1 when it is not Bech32. The caller wipes out when it is a secret. */
int bech32_parse(struct bech32 *out, const char *text, size_t len);

/* Read exactly data_len bytes under exactly this prefix, whose case is that of the whole text. 0 or -1. */
int bech32_decode(uint8_t *data, size_t data_len, const char *prefix, const char *text, size_t len);

/* Write data under prefix, whose case becomes that of the whole text, with a NUL. 0, or -1 when it would be longer than
 * BECH32_TEXT_MAX. */
int bech32_encode(char out[BECH32_TEXT_MAX + 1], const char *prefix, const uint8_t *data, size_t data_len);

#endif
