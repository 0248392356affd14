/*
 * The epoch keys that this office holds, unwrapped from the roster logs when they are first needed and wiped at the
 * end.
 */
#include <stdlib.h>

#include "sync/exchange/exchange.h"

struct keyring {
	struct {
		int64_t epoch;
		struct age_key *key;
	} * entries;
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
		age_key_free(keyring->entries[i].key);
	free(keyring->entries);
	free(keyring);
}

static const struct roster_epoch *find_epoch(const struct roster *roster, int64_t number)
{
	for (size_t i = 0; i < roster_epoch_count(roster, -1); i++) {
		const struct roster_epoch *epoch = roster_epoch_at(roster, -1, i);

		if (epoch->number == number)
			return epoch;
	}
	return NULL;
}

int keyring_find(struct exchange *exchange, int64_t epoch, const struct age_key **out, struct qosid_errbuf *err)
{
	struct keyring *keyring = exchange->keyring;
	const struct roster_epoch *described;
	struct qosid_buf wrapped = {0};
	struct age_key *key = NULL;
	void *entries;
	int rc;

	for (size_t i = 0; i < keyring->count; i++) {
		if (keyring->entries[i].epoch == epoch) {
			*out = keyring->entries[i].key;
			return 0;
		}
	}
	described = find_epoch(exchange->roster, epoch);
	if (described == NULL)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "the roster names no epoch %lld", (long long)epoch);
	if ((rc = roster_log_read_epoch(exchange, epoch, &wrapped, err)) != 0)
		goto out;
	if ((rc = epoch_unwrap(&key, wrapped.data, wrapped.len, identity_age_key(exchange->identity),
		 described->recipient, err)) != 0)
		goto out;
	entries = realloc(keyring->entries, (keyring->count + 1) * sizeof(*keyring->entries));
	if (entries == NULL) {
		rc = qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the epoch keys");
		goto out;
	}
	keyring->entries = entries;
	keyring->entries[keyring->count].epoch = epoch;
	keyring->entries[keyring->count++].key = key;
	*out = key;
	key = NULL;
out:
	age_key_free(key);
	qosid_buf_free(&wrapped);
	return rc;
}
