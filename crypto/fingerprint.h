/*
 * Fingerprints that two people can compare over the phone: an identity's two public keys as twelve words (96 bits).
 */
#ifndef QOSID_CRYPTO_FINGERPRINT_H
#define QOSID_CRYPTO_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "crypto/keys.h"

#define FINGERPRINT_WORDS 12

/* Append twelve words in four groups of three: "amber bridge canoe - ...": the first 96 bits of BLAKE2b-256 over
 * "qosid-fingerprint-1" 0x00, the signing key's 32 bytes, and the recipient's text. */
int fingerprint_format(struct qosid_buf *out, const uint8_t signing_public[SIGNING_PUBLIC_BYTES], const char *recipient,
    struct qosid_errbuf *err);

/* Whether typed names the same words as expected: case, hyphens, extra spaces do not matter. Constant time in the
 * words. */
int fingerprint_equal(const char *typed, const char *expected);

#endif
