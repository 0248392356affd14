/*
 * Bech32 as BIP-173 defines it. Secret keys pass through here, so everything on the stack is wiped.
 */
#include "crypto/bech32.h"

#include <sodium.h>
#include <string.h>

#define CHECKSUM_WORDS 6

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/* Locale-free, unlike tolower(). */
static char to_lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static char to_upper(char c)
{
	return (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
}

static uint32_t polymod_step(uint32_t state, uint8_t word)
{
	static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
	uint32_t top = state >> 25;

	state = (state & 0x1ffffff) << 5 ^ word;
	for (int i = 0; i < 5; i++) {
		if (top >> i & 1)
			state ^= generator[i];
	}
	return state;
}

static uint32_t polymod_prefix(const char *prefix, size_t len)
{
	uint32_t state = 1;

	for (size_t i = 0; i < len; i++)
		state = polymod_step(state, (uint8_t)to_lower(prefix[i]) >> 5);
	state = polymod_step(state, 0);
	for (size_t i = 0; i < len; i++)
		state = polymod_step(state, (uint8_t)to_lower(prefix[i]) & 31);
	return state;
}

static int has_one_case(const char *text, size_t len)
{
	int lower = 0, upper = 0;

	for (size_t i = 0; i < len; i++) {
		lower |= text[i] >= 'a' && text[i] <= 'z';
		upper |= text[i] >= 'A' && text[i] <= 'Z';
	}
	return !(lower && upper);
}

int bech32_parse(struct bech32 *out, const char *text, size_t len)
{
	size_t prefix_len = len;
	uint32_t state;

	memset(out, 0, sizeof(*out));
	if (len > BECH32_TEXT_MAX || !has_one_case(text, len))
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 33 || text[i] > 126)
			return -1;
		if (text[i] == '1')
			prefix_len = i;
	}
	if (prefix_len == 0 || len - prefix_len < 1 + CHECKSUM_WORDS)
		return -1;

	memcpy(out->prefix, text, prefix_len);
	state = polymod_prefix(text, prefix_len);
	for (size_t i = prefix_len + 1; i < len; i++) {
		const char *found = memchr(alphabet, to_lower(text[i]), sizeof(alphabet) - 1);

		if (found == NULL)
			return -1;
		state = polymod_step(state, (uint8_t)(found - alphabet));
		if (i < len - CHECKSUM_WORDS)
			out->words[out->count++] = (uint8_t)(found - alphabet);
	}
	return state == 1 ? 0 : -1;
}

int bech32_decode(uint8_t *data, size_t data_len, const char *prefix, const char *text, size_t len)
{
	struct bech32 parsed;
	size_t prefix_len = strlen(prefix), done = 0;
	uint32_t bits = 0;
	unsigned bit_count = 0;
	int ok;

	/* The rest of the text has the prefix's case, or it would be mixed; a prefix has at least one letter here. */
	ok = bech32_parse(&parsed, text, len) == 0 && strcmp(parsed.prefix, prefix) == 0 && prefix_len < len &&
	     parsed.count == (data_len * 8 + 4) / 5;
	for (size_t i = 0; ok && i < parsed.count; i++) {
		bits = bits << 5 | parsed.words[i];
		bit_count += 5;
		if (bit_count >= 8) {
			bit_count -= 8;
			data[done++] = (uint8_t)(bits >> bit_count);
			bits &= (1u << bit_count) - 1;
		}
	}
	ok = ok && bits == 0;
	sodium_memzero(&parsed, sizeof(parsed));
	sodium_memzero(&bits, sizeof(bits));
	return ok ? 0 : -1;
}

int bech32_encode(char out[BECH32_TEXT_MAX + 1], const char *prefix, const uint8_t *data, size_t data_len)
{
	size_t prefix_len = strlen(prefix), words = (data_len * 8 + 4) / 5, len = prefix_len;
	int upper = prefix[0] >= 'A' && prefix[0] <= 'Z';
	uint32_t state = polymod_prefix(prefix, prefix_len), bits = 0;
	unsigned bit_count = 0;

	if (prefix_len == 0 || prefix_len + 1 + words + CHECKSUM_WORDS > BECH32_TEXT_MAX)
		return -1;
	memcpy(out, prefix, prefix_len);
	out[len++] = '1';
	for (size_t i = 0, next = 0; i < words; i++) {
		uint8_t word;

		if (bit_count < 5) {
			bits = bits << 8 | (next < data_len ? data[next] : 0);
			next++;
			bit_count += 8;
		}
		bit_count -= 5;
		word = bits >> bit_count & 31;
		state = polymod_step(state, word);
		out[len++] = alphabet[word];
	}
	for (int i = 0; i < CHECKSUM_WORDS; i++)
		state = polymod_step(state, 0);
	state ^= 1;
	for (int i = 0; i < CHECKSUM_WORDS; i++)
		out[len++] = alphabet[state >> 5 * (CHECKSUM_WORDS - 1 - i) & 31];
	out[len] = '\0';
	for (size_t i = 0; upper && i < len; i++)
		out[i] = to_upper(out[i]);
	sodium_memzero(&bits, sizeof(bits));
	return 0;
}
