/*
 * Strict base64 on top of libsodium, which refuses unused bits that are set, and padding that is missing or too much.
 */
#include "crypto/base64.h"

#include <sodium.h>

int base64_decode(uint8_t *out, size_t size, size_t *len, enum base64_form form, const char *text, size_t text_len)
{
	/* libsodium 1.0.18 takes each byte over 127 for a '/'. */
	for (size_t i = 0; i < text_len; i++) {
		if ((unsigned char)text[i] > 127)
			return -1;
	}
	return sodium_base642bin(out, size, text, text_len, NULL, len, NULL,
	    form == BASE64_PADDED ? sodium_base64_VARIANT_ORIGINAL : sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
}
