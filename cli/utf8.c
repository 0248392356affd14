/*
 * UTF-8 validation: see utf8.h.
 */
#include "cli/utf8.h"

#include <stdint.h>

/* Length of the sequence that starts here, 0 when it is not valid. */
static size_t sequence_length(const uint8_t *at, size_t left)
{
	uint8_t low = 0x80, high = 0xBF; /* of the second byte */
	size_t len;

	if (at[0] < 0x80)
		return 1;
	if (at[0] >= 0xC2 && at[0] <= 0xDF)
		len = 2;
	else if (at[0] >= 0xE0 && at[0] <= 0xEF)
		len = 3;
	else if (at[0] >= 0xF0 && at[0] <= 0xF4)
		len = 4;
	else
		return 0;
	if (at[0] == 0xE0)
		low = 0xA0;
	else if (at[0] == 0xED)
		high = 0x9F;
	else if (at[0] == 0xF0)
		low = 0x90;
	else if (at[0] == 0xF4)
		high = 0x8F;
	if (left < len || at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if (at[i] < 0x80 || at[i] > 0xBF)
			return 0;
	}
	return len;
}

bool utf8_valid(const char *text, size_t len, size_t *offset)
{
	const uint8_t *bytes = (const uint8_t *)text;
	size_t at = 0;

	while (at < len) {
		size_t n = sequence_length(bytes + at, len - at);

		if (n == 0) {
			if (offset != NULL)
				*offset = at;
			return false;
		}
		at += n;
	}
	return true;
}
