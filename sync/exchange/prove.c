/*
 * Proving: every log that this office holds is verified again from its first commit, as if nothing had been verified
 * before.
 *
 * Trust starts at the pinned root alone. The roster is rebuilt in a fresh struct roster, each commit is judged by
 * log_verify_next(), each payload is decrypted and read line by line when this office may, and each revision in it must
 * be in the replica. What does not hold is visited as a finding; the other logs go on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sync/changeset/changeset.h"
#include "sync/exchange/exchange.h"

typedef int (*finding_fn)(void *context, const struct replica_finding *finding, struct qosid_errbuf *err);

struct proof {
	struct exchange *exchange;
	bool decrypt;
	finding_fn visit;
	void *context;
	size_t sets;
	struct replica_record record; /* scratch of find_line() */
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
	const char *id = (const char *)line->document->id.data;
	int rc;

	rc = replica_read_document(proof->exchange->replica, id, NULL, &proof->record, NULL);
	if (rc != 0 && rc != QOSID_ERR_NOTFOUND)
		return qosid_error(err, rc, "the replica cannot be read");
	if (rc == QOSID_ERR_NOTFOUND && proof->record.tree == NULL)
		return qosid_error(err, QOSID_ERR_CORRUPT, "document %s is not in the replica", id);
	/* An ancestor that revs_limit has cut off is gone by rule, and older than all that is left. */
	if (revtree_find(proof->record.tree, &line->document->rev, NULL) == REVTREE_ABSENT &&
	    line->document->rev.generation + LIMIT_REVISIONS > proof->record.rev.generation)
		return qosid_error(err, QOSID_ERR_CORRUPT,
		    "revision %" PRIu32 "-%s of document %s is not in the replica", line->document->rev.generation,
		    line->document->rev.hash, id);
	return 0;
}

static int prove_payload(struct proof *proof, const struct log *log, const struct commit *commit,
    const struct qosid_buf *payload, const char **cause, struct qosid_errbuf *fault)
{
	struct exchange *exchange = proof->exchange;
	struct changeset_header header = {exchange->space, log->office, commit->sequence};
	const struct age_key *key;
	int rc;

	if (!proof->decrypt || log->kind != LOG_OFFICE)
		return 0;
	*cause = "epoch";
	if ((rc = keyring_find(exchange, commit->epoch, &key, fault)) != 0)
		return rc;
	*cause = "payload";
	rc = changeset_decode(payload->data, payload->len, &header, key, find_line, proof, fault);
	if (rc != 0)
		(void)qosid_error_within(fault, "%s change set %" PRId64, log->name, commit->sequence);
	return rc;
}

static int prove_log(struct proof *proof, const struct log *log, const git_oid *tip, struct qosid_errbuf *err)
{
	struct exchange *exchange = proof->exchange;
	struct log_rules rules = {exchange->space, exchange->roster, exchange->root};
	struct log_point point = {0}, applied = {0};
	struct qosid_buf payload = {0};
	struct qosid_errbuf fault = {0};
	struct log_chain chain = {0};
	enum log_relation relation;
	const char *cause = "damage";
	size_t i = 0;
	int rc;

	rc = log_compare(exchange->repo, &point, tip, &relation, &chain, &fault);
	for (; rc == 0 && i < chain.count; i++) {
		struct commit commit = {0};

		rc = log_verify_next(
		    exchange->repo, log, &rules, &point, &chain.ids[i], &commit, &payload, &cause, &fault);
		if (rc == 0)
			rc = prove_payload(proof, log, &commit, &payload, &cause, &fault);
		commit_free(&commit);
		if (rc != 0)
			break;
		proof->sets++;
		exchange_report_progress(exchange, "verify", i + 1, chain.count);
	}
	if (rc != 0)
		rc = tell(proof, log, point.sequence + 1, i < chain.count ? &chain.ids[i] : tip, cause, &fault, err);
	else if ((rc = log_read_point(exchange->replica, log, &applied, err)) == 0 && log->kind != LOG_FILES &&
		 applied.sequence > point.sequence) {
		(void)qosid_error(&fault, QOSID_ERR_CORRUPT,
		    "the replica has applied %" PRId64 " change sets but the repository holds %" PRId64,
		    applied.sequence, point.sequence);
		rc = tell(proof, log, point.sequence + 1, tip, "position", &fault, err);
	}
	qosid_buf_free(&payload);
	log_chain_free(&chain);
	return rc;
}

static int visit_ref(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err)
{
	static const char *const prefixes[] = {"refs/heads/", "refs/qosid/verified/"};
	struct log log;

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t len = strlen(prefixes[i]);

		if (strncmp(name, prefixes[i], len) == 0 && log_parse(&log, name + len, NULL) == 0 &&
		    log.kind != LOG_ROSTER)
			return prove_log(context, &log, id, err);
	}
	return 0;
}

int exchange_prove(
    struct exchange *exchange, bool decrypt, finding_fn visit, void *context, size_t *sets, struct qosid_errbuf *err)
{
	/* The same office with a roster of its own: nothing that was verified before is taken over. */
	struct exchange fresh = *exchange;
	struct proof proof = {.exchange = &fresh, .decrypt = decrypt, .visit = visit, .context = context};
	struct qosid_errbuf fault = {0};
	struct log roster_log;
	int rc;

	fresh.roster = NULL;
	fresh.roster_point = (struct log_point){0};
	if ((rc = roster_create(&fresh.roster, err)) != 0)
		return rc;
	log_init(&roster_log, LOG_ROSTER, exchange->steward);
	if ((rc = exchange_load(&fresh, &fault)) != 0)
		rc = tell(&proof, &roster_log, fresh.roster_point.sequence + 1, NULL, "roster", &fault, err);
	proof.sets = (size_t)fresh.roster_point.sequence;
	if (rc == 0 && (rc = repo_visit_refs(fresh.repo, "refs/heads/", visit_ref, &proof, err)) == 0)
		rc = repo_visit_refs(fresh.repo, "refs/qosid/verified/", visit_ref, &proof, err);
	*sets = proof.sets;
	replica_record_free(&proof.record);
	roster_free(fresh.roster);
	return rc;
}
