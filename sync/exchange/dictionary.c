/*
 * Dictionaries in logs: when an office trains one, and what a reader may open with which.
 *
 * One is in use at a time in a log: the newest that one of its change sets brought, and only in the generation and
 * under the epoch in which it came. So whoever may read a change set has the dictionary from the same log, and a
 * dictionary never shows pieces of records to anyone but that epoch's readers. The replica keeps the one in use, beside
 * the records that it is made of.
 */
#include <stdio.h>
#include <string.h>

#include "crypto/age.h"
#include "sync/exchange/exchange.h"

#define TRY_EVERY 32     /* change sets from one trial to the next, as long as none paid */
#define LATELY 256       /* change sets that may count for a dictionary */
#define RENEW_AFTER 1000 /* change sets with one dictionary before a better one is looked for */

void dictionary_use_end(struct dictionary_use *use)
{
	changeset_dictionary_free(use->dictionary);
	*use = (struct dictionary_use){0};
}

int dictionary_use_read(
    struct exchange *exchange, const struct log *log, struct dictionary_use *out, struct qosid_errbuf *err)
{
	struct replica_dictionary stored = {0};
	int rc;

	dictionary_use_end(out);
	if ((rc = replica_read_dictionary(exchange->replica, log->name, &stored, err)) != 0 || stored.sequence == 0)
		goto out;
	rc = changeset_dictionary_load(&out->dictionary, stored.data.data, stored.data.len, err);
	if (rc != 0 || stored.recipient.len >= sizeof(out->recipient)) {
		rc = qosid_error(err, QOSID_ERR_CORRUPT, "the replica's dictionary of %s is damaged", log->name);
		goto out;
	}
	(void)snprintf(out->recipient, sizeof(out->recipient), "%s", (const char *)stored.recipient.data);
	out->sequence = stored.sequence;
out:
	qosid_buf_free(&stored.recipient);
	qosid_buf_wipe(&stored.data);
	return rc;
}

int dictionary_use_put(
    struct exchange *exchange, const struct log *log, const struct dictionary_use *use, struct qosid_errbuf *err)
{
	size_t len;
	const void *data = changeset_dictionary_data(use->dictionary, &len);

	return replica_put_dictionary(exchange->replica, log->name, use->recipient, use->sequence, data, len, err);
}

int dictionary_use_forget(struct exchange *exchange, const struct log *log, struct qosid_errbuf *err)
{
	return replica_put_dictionary(exchange->replica, log->name, "", 0, "", 0, err);
}

static bool is_named(const struct commit *commit, const struct changeset_dictionary *dictionary)
{
	return memcmp(changeset_dictionary_digest(dictionary), commit->dictionary, DIGEST_BYTES) == 0;
}

/* Open the dictionary that a commit brings. */
static int open_brought(struct exchange *exchange, const struct commit *commit, const struct age_key *key,
    struct changeset_dictionary **out, struct qosid_errbuf *err)
{
	struct qosid_buf sealed = {0}, plain = {0};
	struct qosid_buf_sink target = {&plain, LIMIT_DICTIONARY_BYTES};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	struct age_unlock unlock = {&key, 1, NULL, 0};
	struct age_decryptor *decryptor = NULL;
	int rc;

	if ((rc = log_read_dictionary(exchange->repo, commit, &sealed, err)) == 0 &&
	    (rc = age_decryptor_open(&decryptor, &unlock, &sink, err)) == 0 &&
	    (rc = age_decryptor_write(decryptor, sealed.data, sealed.len, err)) == 0 &&
	    (rc = age_decryptor_finish(decryptor, err)) == 0)
		rc = changeset_dictionary_load(out, plain.data, plain.len, err);
	if (rc == 0 && !is_named(commit, *out)) {
		changeset_dictionary_free(*out);
		*out = NULL;
		rc = qosid_error(err, QOSID_ERR_INVALID, "it is not what Qosid-Dictionary says");
	}
	if (rc != 0)
		(void)qosid_error_within(err, "%s", LOG_DICTIONARY_NAME);
	age_decryptor_free(decryptor);
	qosid_buf_free(&sealed);
	qosid_buf_wipe(&plain);
	return rc;
}

int dictionary_use_follow(struct exchange *exchange, const struct commit *commit, const struct age_key *key,
    struct dictionary_use *use, struct qosid_errbuf *err)
{
	struct changeset_dictionary *brought = NULL;
	int rc;

	if (commit_begins(commit))
		dictionary_use_end(use);
	if (commit->brings_dictionary) {
		if ((rc = open_brought(exchange, commit, key, &brought, err)) != 0)
			return rc;
		dictionary_use_end(use);
		use->dictionary = brought;
		use->sequence = commit->sequence;
		(void)snprintf(use->recipient, sizeof(use->recipient), "%s", age_key_recipient(key));
		return 0;
	}
	if (!commit->has_dictionary)
		return 0;
	if (use->dictionary == NULL || !is_named(commit, use->dictionary))
		return qosid_error(err, QOSID_ERR_INVALID,
		    "Qosid-Dictionary names another dictionary than the one in use in this log");
	if (strcmp(use->recipient, age_key_recipient(key)) != 0)
		return qosid_error(err, QOSID_ERR_INVALID, "Qosid-Dictionary names a dictionary of another epoch");
	return 0;
}

/* ---- publishing ---- */

/* Whether everyone who reads under the newest epoch may also read what is from before it: the newest records may be. */
static bool is_open_to_all(const struct roster *roster)
{
	for (size_t i = 0; i < roster_member_count(roster, -1); i++) {
		const struct roster_member *member = roster_member_at(roster, -1, i);

		if (roster_is_entitled(member->roles) && member->first_epoch > 1)
			return false;
	}
	return true;
}

/* Whether it is time to try, and noting that it was tried. */
static int is_due(struct exchange *exchange, const struct log *log, const struct log_point *point,
    const struct dictionary_use *use, bool *due, struct qosid_errbuf *err)
{
	struct replica_position next = {0};
	char name[LOG_NAME_SIZE + 16];
	int rc;

	*due = false;
	if (use->dictionary != NULL && point->sequence - use->sequence < RENEW_AFTER)
		return 0;
	if (point->sequence < TRY_EVERY || !is_open_to_all(exchange->roster))
		return 0;
	(void)snprintf(name, sizeof(name), "dictionary/%s", log->name);
	if ((rc = replica_read_position(exchange->replica, name, &next, err)) != 0 || next.sequence > point->sequence)
		return rc;
	next.sequence = point->sequence + TRY_EVERY;
	if ((rc = replica_begin(exchange->replica, err)) != 0)
		return rc;
	if ((rc = replica_put_position(exchange->replica, name, &next, err)) == 0)
		rc = replica_commit(exchange->replica, err);
	replica_rollback(exchange->replica);
	*due = rc == 0;
	return rc;
}

/* What the change sets of lately would have saved at least, each as if it held one record, against what it costs. */
static bool pays(const struct changeset_gain *gain, const struct changeset_dictionary *dictionary, int64_t sequence)
{
	size_t sets = sequence < LATELY ? (size_t)sequence : LATELY, cost;

	(void)changeset_dictionary_data(dictionary, &cost);
	return gain->without > gain->with && (gain->without - gain->with) * sets / gain->samples > cost;
}

int dictionary_choose(struct exchange *exchange, const struct log *log, const struct log_point *point,
    const char *recipient, struct dictionary_use *use, bool *fresh, struct qosid_errbuf *err)
{
	struct changeset_dictionary *trained = NULL;
	struct changeset_gain gain;
	bool due;
	int rc;

	*fresh = false;
	dictionary_use_end(use);
	if (exchange->settings.no_dictionary)
		return 0;
	if ((rc = dictionary_use_read(exchange, log, use, err)) != 0)
		return rc;
	if (strcmp(use->recipient, recipient) != 0)
		dictionary_use_end(use);
	if ((rc = is_due(exchange, log, point, use, &due, err)) != 0 || !due)
		return rc;
	rc = changeset_dictionary_train(exchange->replica, use->dictionary, &trained, &gain, err);
	if (rc == 0 && trained != NULL && pays(&gain, trained, point->sequence)) {
		dictionary_use_end(use);
		use->dictionary = trained;
		(void)snprintf(use->recipient, sizeof(use->recipient), "%s", recipient);
		*fresh = true;
		return 0;
	}
	changeset_dictionary_free(trained);
	return rc;
}

int dictionary_carry_over(struct exchange *exchange, const struct log *log, const char *recipient,
    struct dictionary_use *use, bool *fresh, struct qosid_errbuf *err)
{
	int rc = 0;

	*fresh = false;
	dictionary_use_end(use);
	if (!exchange->settings.no_dictionary && (rc = dictionary_use_read(exchange, log, use, err)) != 0)
		return rc;
	*fresh = use->dictionary != NULL && strcmp(use->recipient, recipient) == 0;
	if (*fresh)
		return 0;
	dictionary_use_end(use);
	return dictionary_use_forget(exchange, log, err);
}
