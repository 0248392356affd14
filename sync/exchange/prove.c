/*
 * Proving: every log that this office holds is verified again from its first commit (or, where generations before have
 * been dropped, from the first one that is here), as if nothing had been verified
 * before.
 *
 * Trust starts at the pinned root alone. The roster is rebuilt in a fresh struct roster, each commit is judged by
 * log_verify_next(), each payload is decrypted and read line by line when this office may, and each revision in it must
 * be in the replica. What does not hold is visited as a finding; the other logs go on.
 */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "sync/changeset/changeset.h"
#include "sync/exchange/exchange.h"

typedef int (*finding_fn)(void *context, const struct replica_finding *finding, struct qosid_errbuf *err);

struct proof {
	crypto_generichash_state hash; /* of the attachment whose parts are being read */
	struct exchange *exchange;
	bool decrypt;
	finding_fn visit;
	void *context;
	struct exchange_proof *result;
	struct replica_record record; /* scratch of find_line() */
	int64_t part;                 /* the last one of it; 0: between attachments */
	struct dictionary_use use;    /* in the log that is being read */
};

static int tell(struct proof *proof, const struct log *log, int64_t sequence, const git_oid *evidence,
    const char *cause, const struct qosid_errbuf *fault, struct qosid_errbuf *err)
{
	char id[GIT_OID_HEXSZ + 1] = "", detail[sizeof(fault->what) + sizeof(fault->where) + 4];
	struct replica_finding finding = {.log = log->name, .sequence = sequence, .cause = cause, .stops = true};

	if (evidence != NULL)
		git_oid_tostr(id, sizeof(id), evidence);
	(void)snprintf(
	    detail, sizeof(detail), "%s%s%s", fault->where, fault->where[0] != '\0' ? ": " : "", fault->what);
	finding.detail = detail;
	finding.evidence = id;
	return proof->visit(proof->context, &finding, err);
}

/* The replica must know each revision that a log carries. */
static int find_line(void *context, const struct changeset_line *line, struct qosid_errbuf *err)
{
	struct proof *proof = context;
	const struct revision *rev = &line->document->rev;
	const char *id = (const char *)line->document->id.data;
	bool purged = false;
	int rc;

	replica_record_free(&proof->record); /* a document that is absent leaves it as it was */
	rc = replica_read_document(proof->exchange->replica, id, NULL, &proof->record, NULL);
	if (rc != 0 && rc != QOSID_ERR_NOTFOUND)
		return qosid_error(err, rc, "the replica cannot be read");
	if (proof->record.tree && revtree_find(proof->record.tree, rev, NULL) != REVTREE_ABSENT)
		return 0;
	/* Taken out of this replica by its people, not lost. */
	rc = replica_is_purged(proof->exchange->replica, id, rev, &purged, err);
	if (rc != 0 || purged)
		return rc;
	if (proof->record.tree == NULL)
		return qosid_error(err, QOSID_ERR_CORRUPT, "document %s is not in the replica", id);
	/* An ancestor that revs_limit has cut off is gone by rule, and older than all that is left. */
	if (rev->generation + LIMIT_REVISIONS > proof->record.rev.generation)
		return qosid_error(err, QOSID_ERR_CORRUPT,
		    "revision %" PRIu32 "-%s of document %s is not in the replica", rev->generation, rev->hash, id);
	return 0;
}

/* ---- attachments in a files log: each part in turn into one hash ---- */

static int hash_part(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct proof *proof = context;

	(void)err;
	(void)crypto_generichash_update(&proof->hash, data, len); /* cannot fail */
	return 0;
}

static int prove_part(struct proof *proof, const struct commit *commit, const struct qosid_buf *payload,
    const struct age_key *key, struct qosid_errbuf *fault)
{
	struct age_unlock unlock = {&key, 1, NULL, 0};
	struct qosid_sink sink = {hash_part, proof};
	struct age_decryptor *decryptor = NULL;
	uint8_t digest[DIGEST_BYTES];
	char text[DIGEST_TEXT_SIZE];
	bool found;
	int rc;

	if (commit->file_part != proof->part + 1)
		return qosid_error(fault, QOSID_ERR_REFUSED,
		    "part %" PRId64 " of an attachment where part %" PRId64 " must follow", commit->file_part,
		    proof->part + 1);
	if (commit->file_part == 1)
		(void)crypto_generichash_init(&proof->hash, NULL, 0, DIGEST_BYTES); /* cannot fail */
	if ((rc = age_decryptor_open(&decryptor, &unlock, &sink, fault)) == 0 &&
	    (rc = age_decryptor_write(decryptor, payload->data, payload->len, fault)) == 0)
		rc = age_decryptor_finish(decryptor, fault);
	age_decryptor_free(decryptor);
	proof->part = commit->file_part < commit->file_parts ? commit->file_part : 0;
	if (rc != 0 || proof->part != 0)
		return rc;
	(void)crypto_generichash_final(&proof->hash, digest, sizeof(digest)); /* cannot fail */
	digest_format(text, digest);
	if (strcmp(text, commit->file_digest) != 0)
		return qosid_error(fault, QOSID_ERR_REFUSED, "an attachment is not what Qosid-File says");
	if ((rc = attachment_find(proof->exchange->replica, digest, &found, NULL, fault)) != 0 || found)
		return rc;
	return qosid_error(fault, QOSID_ERR_CORRUPT, "an attachment of this log is not in the replica");
}

static int prove_payload(struct proof *proof, const struct log *log, const struct commit *commit,
    const struct qosid_buf *payload, int64_t state, const char **cause, struct qosid_errbuf *fault)
{
	struct exchange *exchange = proof->exchange;
	struct exchange_access access;
	struct changeset_header header = {exchange->space, log->office, commit->sequence};
	struct changeset_opening opening = {0};
	const struct age_key *key;
	int rc;

	if (!proof->decrypt)
		return 0;
	*cause = "epoch";
	if ((rc = exchange_find_access(exchange, log, commit, state, &access, fault)) != 0)
		return rc;
	key = access.key;
	if (key == NULL || access.revoked) /* not for this office, or set aside: then there is nothing to compare */
		return 0;
	*cause = "dictionary";
	if ((rc = dictionary_use_follow(exchange, commit, key, &proof->use, fault)) != 0) {
		(void)qosid_error_within(fault, "%s change set %" PRId64, log->name, commit->sequence);
		return rc;
	}
	*cause = "payload";
	opening.key = key;
	opening.dictionary = commit->has_dictionary ? proof->use.dictionary : NULL;
	rc = log->kind == LOG_FILES
		 ? prove_part(proof, commit, payload, key, fault)
		 : changeset_decode(payload->data, payload->len, &header, &opening, find_line, proof, fault);
	if (rc != 0)
		(void)qosid_error_within(fault, "%s change set %" PRId64, log->name, commit->sequence);
	return rc;
}

/* What the replica has applied must be a part of what the repository holds. */
static int check_applied(struct proof *proof, const struct log *log, const struct log_chain *chain, int64_t last,
    const struct log_point *applied, struct qosid_errbuf *err)
{
	struct qosid_errbuf fault = {0};

	/* Before the oldest generation that is here: the next exchange takes this one in. */
	if (applied->sequence == 0 || applied->sequence <= last - (int64_t)chain->count)
		return 0;
	if (applied->sequence > last)
		(void)qosid_error(&fault, QOSID_ERR_CORRUPT,
		    "the replica has applied %" PRId64 " change sets but the repository holds %" PRId64,
		    applied->sequence, last);
	else if (!git_oid_equal(&chain->ids[chain->count - 1 - (size_t)(last - applied->sequence)], &applied->commit))
		(void)qosid_error(&fault, QOSID_ERR_CORRUPT, "the replica has applied another history than this");
	else
		return 0;
	return tell(proof, log, applied->sequence, &applied->commit, "position", &fault, err);
}

/* The commits of a log from as far back as they are here: the present generation, and those before it whose archives
 * are held. */
static int find_history(
    struct proof *proof, const struct log *log, const git_oid *tip, struct log_chain *chain, struct qosid_errbuf *fault)
{
	struct exchange *exchange = proof->exchange;
	struct log_point nothing = {0};
	enum log_relation relation;
	bool more = true;
	int rc = log_compare(exchange->repo, &nothing, tip, &relation, chain, fault);

	while (rc == 0 && more && log->kind == LOG_OFFICE) {
		struct log_chain older = {0};
		struct commit first = {0};
		char ref[ARCHIVE_REF_SIZE];
		git_oid archive;

		/* One that cannot be read will be told of when it is its turn. */
		more = log_read_commit(exchange->repo, &chain->ids[0], &first, NULL) == 0 && commit_begins(&first);
		if (more) {
			archive_format(ref, exchange, log, first.generation - 1);
			more = repo_read_ref(exchange->repo, ref, &archive, NULL) == 0 &&
			       git_oid_equal(&archive, &first.archive);
			proof->result->partial += !more;
		}
		if (more && (rc = log_compare(exchange->repo, &nothing, &archive, &relation, &older, fault)) == 0)
			rc = log_chain_prepend(chain, &older, fault);
		log_chain_free(&older);
		commit_free(&first);
	}
	return rc;
}

static int prove_log(struct proof *proof, const struct log *log, const git_oid *tip, const struct log_point *applied,
    struct qosid_errbuf *err)
{
	struct exchange *exchange = proof->exchange;
	struct log_rules rules = {exchange->space, exchange->roster, exchange->root, exchange->steward};
	struct qosid_errbuf fault = {0};
	struct qosid_buf payload = {0};
	struct log_point point = {0};
	struct log_chain chain = {0};
	const char *cause = "damage";
	size_t i = 0;
	int rc = 0;

	proof->part = 0;
	dictionary_use_end(&proof->use);
	if (tip != NULL)
		rc = find_history(proof, log, tip, &chain, &fault);
	for (; rc == 0 && i < chain.count; i++) {
		struct commit commit = {0};

		rc = log_verify_next(
		    exchange->repo, log, &rules, &point, &chain.ids[i], &commit, &payload, &cause, &fault);
		if (rc == 0)
			rc = prove_payload(proof, log, &commit, &payload, point.state - 1, &cause, &fault);
		commit_free(&commit);
		if (rc != 0)
			break;
		proof->result->sets++;
		exchange_report_progress(exchange, "verify", i + 1, chain.count);
	}
	if (rc != 0)
		rc = tell(proof, log, point.sequence + 1, i < chain.count ? &chain.ids[i] : tip, cause, &fault, err);
	else
		rc = check_applied(proof, log, &chain, point.sequence, applied, err);
	qosid_buf_free(&payload);
	log_chain_free(&chain);
	return rc;
}

/* A member's log, whether it is there or not: one that has gone, while the replica knows of it, is a finding. */
static int prove_member(struct proof *proof, enum log_kind kind, const char *office, struct qosid_errbuf *err)
{
	struct exchange *exchange = proof->exchange;
	struct log_point applied;
	char ref[LOG_REF_SIZE];
	struct log log;
	git_oid tip;
	int rc;

	log_init(&log, kind, office);
	log_format_tip(ref, &log, exchange->office);
	if ((rc = log_read_point(exchange->replica, &log, &applied, err)) != 0)
		return rc;
	rc = repo_read_ref(exchange->repo, ref, &tip, err);
	if (rc != 0 && rc != QOSID_ERR_NOTFOUND)
		return rc;
	return prove_log(proof, &log, rc == 0 ? &tip : NULL, &applied, err);
}

int exchange_prove(struct exchange *exchange, bool decrypt, finding_fn visit, void *context, struct exchange_proof *out,
    struct qosid_errbuf *err)
{
	/* The same office with a roster of its own: nothing that was verified before is taken over. */
	struct exchange fresh = *exchange;
	struct proof proof = {.exchange = &fresh, .visit = visit, .context = context, .result = out};

	const struct roster_member *me;
	struct qosid_errbuf fault = {0};
	struct log roster_log;
	int rc;

	*out = (struct exchange_proof){0};
	fresh.roster = NULL;
	fresh.logs = NULL;
	if ((rc = roster_create(&fresh.roster, err)) != 0)
		return rc;
	if ((rc = roster_logs_create(&fresh.logs, err)) != 0) {
		roster_free(fresh.roster);
		return rc;
	}
	log_init(&roster_log, LOG_ROSTER, exchange->steward);
	if ((rc = exchange_load(&fresh, &fault)) != 0)
		rc = tell(&proof, &roster_log, (int64_t)roster_operation_count(fresh.roster) + 1, NULL, "roster",
		    &fault, err);
	out->sets = roster_operation_count(fresh.roster);
	me = roster_find_member(fresh.roster, -1, exchange->office);
	proof.decrypt = decrypt && me != NULL && roster_is_entitled(me->roles);
	for (size_t i = 0; rc == 0 && i < roster_member_count(fresh.roster, -1); i++) {
		const char *office = roster_member_at(fresh.roster, -1, i)->office;

		if ((rc = prove_member(&proof, LOG_OFFICE, office, err)) == 0)
			rc = prove_member(&proof, LOG_FILES, office, err);
	}
	dictionary_use_end(&proof.use);
	replica_record_free(&proof.record);
	roster_free(fresh.roster);
	roster_logs_free(fresh.logs);
	return rc;
}
