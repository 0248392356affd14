/*
 * An epoch's key, wrapped for those who may decrypt. What is inside is an age identity file, so that a member with the
 * stock tools alone gets at the key, and with the key at the records.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/age.h"
#include "sync/roster/operation.h"
#include "sync/roster/roster.h"

#define EPOCH_FILE_MAX 4096 /* of the identity file inside; it takes about 170 bytes */

static size_t list_recipients(
    const char **recipients, const struct roster *roster, int64_t state, const struct roster_member *joining)
{
	size_t count = 0, members = roster_member_count(roster, state);

	for (size_t i = 0; i < members; i++) {
		const struct roster_member *member = roster_member_at(roster, state, i);
		if (roster_is_entitled(member->roles))
			recipients[count++] = member->recipient;
	}
	if (joining != NULL && roster_is_entitled(joining->roles))
		recipients[count++] = joining->recipient;
	return count;
}

int epoch_wrap(struct qosid_buf *out, const struct roster *roster, int64_t state, const struct roster_member *joining,
    int64_t number, const struct age_key *key, struct qosid_errbuf *err)
{
	size_t room = roster_member_count(roster, state) + 1;
	const char **recipients = calloc(room, sizeof(*recipients));
	struct qosid_buf text = {0};
	size_t count;
	int rc;

	if (recipients == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for %zu recipients", room);
	count = list_recipients(recipients, roster, state, joining);
	rc = qosid_buf_reserve(&text, EPOCH_FILE_MAX, err); /* at once, so that no copy of the key stays behind */
	if (rc == 0)
		rc = qosid_buf_append_format(
		    &text, err, "# qosid epoch %" PRId64 "\n# public: %s\n", number, age_key_recipient(key));
	if (rc == 0)
		rc = age_key_format_secret(key, &text, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(&text, '\n', err);
	if (rc == 0)
		rc = age_encrypt_buf(out, recipients, count, text.data, text.len, err);
	qosid_buf_wipe(&text);
	free(recipients);
	return rc;
}

int epoch_unwrap(struct age_key **out, const void *data, size_t len, const struct age_key *member_key,
    const char *recipient, struct qosid_errbuf *err)
{
	const struct age_unlock unlock = {.keys = &member_key, .key_count = 1};
	struct age_key *key = NULL;
	struct qosid_buf text = {0};
	int rc = qosid_buf_reserve(&text, EPOCH_FILE_MAX, err);

	if (rc == 0)
		rc = age_decrypt_buf(&text, &unlock, data, len, EPOCH_FILE_MAX, err);
	if (rc == 0)
		rc = age_key_parse_file(&key, (const char *)text.data, text.len, err);
	if (rc == 0 && strcmp(age_key_recipient(key), recipient) != 0)
		rc = qosid_error(err, QOSID_ERR_REFUSED, "the epoch file holds another key than the roster names");
	qosid_buf_wipe(&text);
	if (rc != 0) {
		age_key_free(key);
		return rc;
	}
	*out = key;
	return 0;
}
