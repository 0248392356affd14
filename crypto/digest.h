/*
 * BLAKE2b-256, the hash that Qosid's chains rest on, and its one text form `blake2b-256:<64 lower-case hex>`.
 */
#ifndef QOSID_CRYPTO_DIGEST_H
#define QOSID_CRYPTO_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/error.h"

#define DIGEST_BYTES 32
#define DIGEST_PREFIX "blake2b-256:"
#define DIGEST_TEXT_SIZE (sizeof(DIGEST_PREFIX) + (size_t)2 * DIGEST_BYTES) /* with the NUL */

/* out = BLAKE2b-256(data), unkeyed (RFC 7693). */
void digest_compute(uint8_t out[DIGEST_BYTES], const void *data, size_t len);

/* Write the text form, NUL-terminated. */
void digest_format(char out[DIGEST_TEXT_SIZE], const uint8_t digest[DIGEST_BYTES]);

/* Read the text form of exactly len bytes; anything else (upper case, wrong prefix, trailing bytes) is
 * QOSID_ERR_INVALID. */
int digest_parse(uint8_t out[DIGEST_BYTES], const char *text, size_t len, struct qosid_errbuf *err);

#endif
