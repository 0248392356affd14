/*
 * The epoch keys that this office holds, unwrapped from the roster logs when they are first needed and wiped at the
 * end.
 *
 * A key is known by its public half, since two states may number epochs differently. The commit that started an epoch
 * carries its key for everybody entitled then; one that lets a member in, or gives it new keys, carries all keys that
 * the member may have.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/exchange/exchange.h"

struct keyring {
	struct age_key **keys;
	size_t count;
};

int keyring_create(struct keyring **out, struct qosid_errbuf *err)
{
	*out = calloc(1, sizeof(**out));
	return *out != NULL ? 0 : qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the epoch keys");
}

void keyring_free(struct keyring *keyring)
{
	if (keyring == NULL)
		return;
	for (size_t i = 0; i < keyring->count; i++)
		age_key_free(keyring->keys[i]);
	free(keyring->keys);
	free(keyring);
}

/* Try what one operation's commit carries. QOSID_ERR_REFUSED: it is not for this office, or not this key. */
static int try_entry(
    struct exchange *exchange, size_t index, const char *recipient, struct age_key **out, struct qosid_errbuf *err)
{
	struct qosid_buf wrapped = {0};
	int rc;

	if ((rc = roster_log_read_epoch(exchange, index, &wrapped, err)) == 0)
		rc = epoch_unwrap(out, wrapped.data, wrapped.len, identity_age_key(exchange->identity), recipient, err);
	if (rc == QOSID_ERR_REFUSED && exchange->next != NULL && exchange->next != exchange->identity) {
		qosid_error_clear(err);
		rc = epoch_unwrap(out, wrapped.data, wrapped.len, identity_age_key(exchange->next), recipient, err);
	}
	qosid_buf_free(&wrapped);
	return rc;
}

/* First what names this very epoch, then what may hold all keys for this office; the newest first. */
static int unwrap(struct exchange *exchange, const char *recipient, struct age_key **out, struct qosid_errbuf *err)
{
	const struct roster *roster = exchange->roster;
	struct roster_entry entry;
	int rc;

	for (int round = 0; round < 2; round++) {
		for (size_t i = roster_operation_count(roster); i-- > 0;) {
			bool exact, about_us;

			roster_read_entry(roster, i, &entry);
			exact = strcmp(entry.epoch.recipient, recipient) == 0;
			about_us = strcmp(entry.office, exchange->office) == 0;
			if (entry.epoch.number == 0 || (round == 0 ? !exact : exact || !about_us))
				continue;
			rc = try_entry(exchange, i, recipient, out, err);
			if (rc != QOSID_ERR_REFUSED)
				return rc;
			qosid_error_clear(err);
		}
	}
	return qosid_error(err, QOSID_ERR_REFUSED, "this office has not been given the key of this epoch");
}

int keyring_find(
    struct exchange *exchange, int64_t state, int64_t epoch, const struct age_key **out, struct qosid_errbuf *err)
{
	struct keyring *keyring = exchange->keyring;
	const char *recipient = roster_epoch_recipient(exchange->roster, state, epoch);
	struct age_key *key = NULL, **keys;
	int rc;

	if (roster_operation_count(exchange->roster) == 0)
		return qosid_error(err, QOSID_ERR_WAITING, "the roster has not arrived");
	if (recipient == NULL)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "the roster names no epoch %lld", (long long)epoch);
	for (size_t i = keyring->count; i-- > 0;) {
		if (strcmp(age_key_recipient(keyring->keys[i]), recipient) == 0) {
			*out = keyring->keys[i];
			return 0;
		}
	}
	if ((rc = unwrap(exchange, recipient, &key, err)) != 0)
		return rc;
	keys = reallocarray(keyring->keys, keyring->count + 1, sizeof(struct age_key *));
	if (keys == NULL) {
		age_key_free(key);
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the epoch keys");
	}
	keyring->keys = keys;
	*out = keyring->keys[keyring->count++] = key;
	return 0;
}
