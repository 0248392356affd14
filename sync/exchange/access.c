/*
 * What the roster says about a verified change set when it is time to apply it: with which key this office reads it,
 * and whether it must be set aside.
 *
 * Whether a commit is valid is judged by the state that it names (log.c), for ever and by everybody alike. What is here
 * depends on what this office knows now: it holds no key, the change set's office has been removed meanwhile, or what
 * it published has been revoked.
 */
#include <string.h>

#include "sync/exchange/exchange.h"

/* The number that the newest state gives to an epoch of another one; 0 when it has no effect there. */
static int64_t find_number(const struct roster *roster, const char *recipient)
{
	const char *known;

	for (int64_t number = roster_epoch_count(roster, -1); number > 0; number--) {
		known = roster_epoch_recipient(roster, -1, number);
		if (strcmp(known, recipient) == 0)
			return number;
	}
	return 0;
}

static int find_key(struct exchange *exchange, const struct commit *commit, int64_t state, const struct age_key **key,
    struct qosid_errbuf *err)
{
	const struct roster_member *me = roster_find_member(exchange->roster, -1, exchange->office);
	const char *recipient;
	int rc;

	*key = NULL;
	if (me == NULL)
		return qosid_error(err, QOSID_ERR_WAITING, "this office has not been admitted yet, so it has no key");
	if (!roster_is_entitled(me->roles))
		return 0;
	rc = keyring_find(exchange, state, commit->epoch, key, err);
	if (rc != QOSID_ERR_REFUSED)
		return rc;
	qosid_error_clear(err);
	recipient = roster_epoch_recipient(exchange->roster, state, commit->epoch);
	if (recipient != NULL && find_number(exchange->roster, recipient) < me->first_epoch)
		return 0; /* from before its time */
	return qosid_error(err, QOSID_ERR_WAITING,
	    "this office has not been given the key of epoch %lld yet; a steward's `qosid rotate` will",
	    (long long)commit->epoch);
}

int exchange_find_access(struct exchange *exchange, const struct log *log, const struct commit *commit, int64_t state,
    struct exchange_access *out, struct qosid_errbuf *err)
{
	const struct roster_member *then = roster_find_member(exchange->roster, state, log->office);
	const struct roster_member *now = roster_find_member(exchange->roster, -1, log->office);

	*out = (struct exchange_access){0};
	if (then != NULL && now != NULL && log->kind == LOG_OFFICE) {
		out->revoked = now->revoked > 0 && commit->sequence >= now->revoked && then->revoked != now->revoked;
		out->late = now->roles == 0 && commit->sequence > now->until;
	}
	return find_key(exchange, commit, state, &out->key, err);
}
