/*
 * BLAKE2b-256 and its text form: see digest.h.
 */
#include "crypto/digest.h"

#include <sodium.h>
#include <string.h>

void digest_compute(uint8_t out[DIGEST_BYTES], const void *data, size_t len)
{
	/* Fails only on lengths that are constants here. */
	(void)crypto_generichash(out, DIGEST_BYTES, data, len, NULL, 0);
}

void digest_format(char out[DIGEST_TEXT_SIZE], const uint8_t digest[DIGEST_BYTES])
{
	size_t prefix = sizeof(DIGEST_PREFIX) - 1;

	memcpy(out, DIGEST_PREFIX, prefix);
	sodium_bin2hex(out + prefix, DIGEST_TEXT_SIZE - prefix, digest, DIGEST_BYTES);
}

int digest_parse(uint8_t out[DIGEST_BYTES], const char *text, size_t len, struct qosid_errbuf *err)
{
	uint8_t digest[DIGEST_BYTES];
	char again[DIGEST_TEXT_SIZE];
	size_t prefix = sizeof(DIGEST_PREFIX) - 1;

	if (len != DIGEST_TEXT_SIZE - 1 || memcmp(text, DIGEST_PREFIX, prefix) != 0 ||
	    sodium_hex2bin(digest, sizeof(digest), text + prefix, len - prefix, NULL, NULL, NULL) != 0)
		return qosid_error(err, QOSID_ERR_INVALID, "not a digest of the form blake2b-256:<64 hex digits>");
	digest_format(again, digest);
	if (memcmp(again, text, len) != 0) /* upper case */
		return qosid_error(err, QOSID_ERR_INVALID, "a digest's hex digits must be lower case");
	memcpy(out, digest, sizeof(digest));
	return 0;
}
