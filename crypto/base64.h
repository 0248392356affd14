/*
 * Base64 of one form only: the alphabet of RFC 4648 section 4, nothing between the characters, unused bits zero.
 */
#ifndef QOSID_CRYPTO_BASE64_H
#define QOSID_CRYPTO_BASE64_H

#include <stddef.h>
#include <stdint.h>

enum base64_form { BASE64_PADDED, BASE64_UNPADDED };

/* Read all of text into at most size bytes. 0, or -1 when it is not canonical base64 of this form or too long. */
int base64_decode(uint8_t *out, size_t size, size_t *len, enum base64_form form, const char *text, size_t text_len);

#endif
