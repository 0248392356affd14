/*
 * Fingerprints as words: see fingerprint.h.
 */
#include "crypto/fingerprint.h"

#include <sodium.h>
#include <string.h>

#include "crypto/digest.h"
#include "crypto/fingerprint_words.h"

#define CONTEXT "qosid-fingerprint-1" /* hashed with its NUL */
#define GROUP_WORDS 3

/* Words in slots of one size, zero-filled, so that two fingerprints compare in constant time. */
struct slots {
	char words[FINGERPRINT_WORDS][FINGERPRINT_WORD_MAX];
};

int fingerprint_format(struct qosid_buf *out, const uint8_t signing_public[SIGNING_PUBLIC_BYTES], const char *recipient,
    struct qosid_errbuf *err)
{
	uint8_t digest[DIGEST_BYTES];
	struct qosid_buf keys = {0};
	size_t before = out->len;
	int rc;

	rc = qosid_buf_append(&keys, CONTEXT, sizeof(CONTEXT), err);
	if (rc == 0)
		rc = qosid_buf_append(&keys, signing_public, SIGNING_PUBLIC_BYTES, err);
	if (rc == 0)
		rc = qosid_buf_append_text(&keys, recipient, err);
	if (rc != 0)
		goto out;
	digest_compute(digest, keys.data, keys.len);
	for (int i = 0; rc == 0 && i < FINGERPRINT_WORDS; i++) {
		const char *separator = i == 0 ? "" : i % GROUP_WORDS == 0 ? " - " : " ";

		rc = qosid_buf_append_format(out, err, "%s%s", separator, fingerprint_words[digest[i]]);
	}
	if (rc != 0)
		qosid_buf_cut(out, before);
out:
	qosid_buf_free(&keys);
	return rc;
}

static int is_separator(char c)
{
	return c == ' ' || c == '-' || c == '\t' || c == '\r' || c == '\n';
}

/* Fill slots with the words of text. -1 when they are not twelve, or cannot be words of the list. */
static int read_words(struct slots *slots, const char *text)
{
	size_t count = 0, len = 0;

	memset(slots, 0, sizeof(*slots));
	for (; *text != '\0'; text++) {
		char c = (char)(*text >= 'A' && *text <= 'Z' ? *text - 'A' + 'a' : *text);

		if (is_separator(c)) {
			count += len > 0;
			len = 0;
			continue;
		}
		if (c < 'a' || c > 'z' || count == FINGERPRINT_WORDS || len == FINGERPRINT_WORD_MAX)
			return -1;
		slots->words[count][len++] = c;
	}
	count += len > 0;
	return count == FINGERPRINT_WORDS ? 0 : -1;
}

int fingerprint_equal(const char *typed, const char *expected)
{
	struct slots a, b;

	if (read_words(&a, typed) != 0 || read_words(&b, expected) != 0)
		return 0;
	return sodium_memcmp(&a, &b, sizeof(a)) == 0;
}
