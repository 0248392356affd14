/*
 * Epoch keys, wrapped for those who may decrypt. What is inside is an age identity file, so that a member with the
 * stock tools alone gets at the keys, and with the keys at the records.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/age.h"
#include "sync/roster/operation.h"
#include "sync/roster/roster.h"

#define KEY_TEXT_BYTES 256 /* one key in the identity file; it takes about 170 */
#define EPOCH_FILE_MAX ((size_t)KEY_TEXT_BYTES * LIMIT_ROSTER_OPERATIONS)

size_t epoch_list_recipients(
    const struct roster *roster, int64_t state, const struct roster_member *member, const char **recipients)
{
	size_t count = 0, members = roster_member_count(roster, state);
	bool seen = member == NULL;

	for (size_t i = 0; i < members; i++) {
		const struct roster_member *listed = roster_member_at(roster, state, i);

		if (member != NULL && strcmp(listed->office, member->office) == 0) {
			listed = member;
			seen = true;
		}
		if (roster_is_entitled(listed->roles))
			recipients[count++] = listed->recipient;
	}
	if (!seen && roster_is_entitled(member->roles))
		recipients[count++] = member->recipient;
	return count;
}

int epoch_wrap(struct qosid_buf *out, const char *const *recipients, size_t recipient_count,
    const struct age_key *const *keys, size_t key_count, int64_t newest, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int rc = qosid_buf_reserve(&text, key_count * KEY_TEXT_BYTES, err); /* at once: no copy of a key stays behind */

	for (size_t i = 0; i < key_count && rc == 0; i++) {
		rc = qosid_buf_append_format(&text, err, "# qosid epoch %" PRId64 "\n# public: %s\n",
		    newest - (int64_t)i, age_key_recipient(keys[i]));
		if (rc == 0)
			rc = age_key_format_secret(keys[i], &text, err);
		if (rc == 0)
			rc = qosid_buf_append_byte(&text, '\n', err);
	}
	if (rc == 0)
		rc = age_encrypt_buf(out, recipients, recipient_count, text.data, text.len, err);
	qosid_buf_wipe(&text);
	return rc;
}

/* The key for recipient among those of an identity file. Each is tried alone, since a file may hold thousands. */
static int pick_key(struct age_key **out, const struct qosid_buf *text, const char *recipient, struct qosid_errbuf *err)
{
	const char *line = (const char *)text->data, *end = line + text->len;
	bool found = false;

	while (line < end && !found) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		struct age_key *key = NULL;
		int rc;

		if (stop == NULL)
			stop = end;
		if (line[0] != '#' && stop > line) {
			rc = age_key_parse_file(&key, line, (size_t)(stop - line), err);
			if (rc != 0)
				return rc;
			found = strcmp(age_key_recipient(key), recipient) == 0;
			if (found)
				*out = key;
			else
				age_key_free(key);
		}
		line = stop + 1;
	}
	return found ? 0
		     : qosid_error(err, QOSID_ERR_REFUSED, "the epoch file holds another key than the roster names");
}

int epoch_unwrap(struct age_key **out, const void *data, size_t len, const struct age_key *member_key,
    const char *recipient, struct qosid_errbuf *err)
{
	const struct age_unlock unlock = {.keys = &member_key, .key_count = 1};
	struct qosid_buf text = {0};
	int rc = qosid_buf_reserve(&text, len, err);

	if (rc == 0)
		rc = age_decrypt_buf(&text, &unlock, data, len, EPOCH_FILE_MAX, err);
	if (rc == 0)
		rc = pick_key(out, &text, recipient, err);
	qosid_buf_wipe(&text);
	return rc;
}
