/*
 * Applying: verified commits of office and files logs become documents and attachments.
 *
 * Each change set is one SQLite transaction that also moves the log's point, so it is applied whole and once. A commit
 * that does not hold stops its log and leaves a finding; other logs go on. What failed is told apart from where: what
 * the peer sent (a finding) and the own disk or memory (an error that ends the exchange).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "crypto/age.h"
#include "crypto/sshsig.h"
#include "sync/changeset/changeset.h"
#include "sync/exchange/exchange.h"

/* One log on its way to a tip. */
struct run {
	struct exchange *exchange;
	const struct log *log;
	const char *remote;
	bool own;
	struct log_rules rules;
	struct log_point point; /* verified and applied */
	struct log_chain chain; /* commits after the first point */
	size_t next;            /* index into chain */
	size_t late;            /* change sets of an office that has been removed */
	size_t revoked;         /* that were set aside */
	bool contradicted;      /* another office has seen it otherwise */
	bool ahead;             /* the last commit says that it was made well after now */
	const char *cause;      /* of the fault */
	struct qosid_errbuf fault;
};

/* Failures that say nothing about the peer. */
static bool is_own_failure(int rc)
{
	return rc == QOSID_ERR_NOMEM || rc == QOSID_ERR_IO || rc == QOSID_ERR_FULL || rc == QOSID_ERR_BUSY ||
	       rc == QOSID_ERR_FAILED;
}

static int verify_next(struct run *run, struct log_point *point, struct commit *commit, struct qosid_buf *payload)
{
	return log_verify_next(run->exchange->repo, run->log, &run->rules, point, &run->chain.ids[run->next], commit,
	    payload, &run->cause, &run->fault);
}

/* What the change set is to this office. */
static int find_access(
    struct run *run, const struct log_point *point, const struct commit *commit, struct exchange_access *out)
{
	run->cause = "epoch";
	return exchange_find_access(run->exchange, run->log, commit, point->state - 1, out, &run->fault);
}

/* Remember where the part of a log begins that this office could not read, should it be given the keys later. */
static int note_unread(struct run *run, struct qosid_errbuf *err)
{
	struct replica_position position = {0};
	char name[LOG_NAME_SIZE + 8];
	int rc;

	(void)snprintf(name, sizeof(name), "unread/%s", run->log->name);
	if ((rc = replica_read_position(run->exchange->replica, name, &position, err)) != 0 || position.sequence > 0)
		return rc;
	position.sequence = run->point.sequence + 1;
	git_oid_tostr(position.commit, sizeof(position.commit), &run->point.commit);
	return replica_put_position(run->exchange->replica, name, &position, err);
}

/* The dictionary that a change set needs, if any; one that it brings is remembered. */
static int find_dictionary(
    struct run *run, const struct commit *commit, const struct age_key *key, struct dictionary_use *use)
{
	struct exchange *exchange = run->exchange;
	int rc;

	if (!commit->has_dictionary)
		return 0;
	run->cause = "replica";
	if ((rc = dictionary_use_read(exchange, run->log, use, &run->fault)) != 0)
		return rc;
	run->cause = "dictionary";
	if ((rc = dictionary_use_follow(exchange, commit, key, use, &run->fault)) != 0) {
		(void)qosid_error_within(&run->fault, "%s change set %" PRId64, run->log->name, commit->sequence);
		return rc;
	}
	return commit->brings_dictionary ? dictionary_use_put(exchange, run->log, use, &run->fault) : 0;
}

/* What others have seen of a log is remembered, as far as they are the furthest: a log that contradicts it was told to
 * them in another way than to us. */
static int note_witnesses(struct run *run, const struct commit *commit)
{
	struct exchange *exchange = run->exchange;
	char name[LOG_NAME_SIZE + 8];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < commit->seen_count; i++) {
		const struct commit_seen *seen = &commit->seen[i];
		struct replica_position position = {0};

		if (roster_find_member(exchange->roster, -1, seen->office) == NULL)
			continue;
		(void)snprintf(name, sizeof(name), "witness/office/%s", seen->office);
		if ((rc = replica_read_position(exchange->replica, name, &position, &run->fault)) != 0 ||
		    position.sequence >= seen->sequence)
			continue;
		position = (struct replica_position){.sequence = seen->sequence, .time = commit->time};
		git_oid_tostr(position.commit, sizeof(position.commit), &seen->commit);
		rc = replica_put_position(exchange->replica, name, &position, &run->fault);
	}
	return rc;
}

/* Apply the change set in payload and move the point, in one transaction. */
static int apply_set(
    struct run *run, const struct log_point *point, const struct commit *commit, const struct qosid_buf *payload)
{
	struct exchange *exchange = run->exchange;
	struct changeset_header header = {exchange->space, run->log->office, point->sequence};
	struct changeset_counts counts = {0};
	struct dictionary_use use = {0};
	struct exchange_access access;
	int rc;

	if ((rc = find_access(run, point, commit, &access)) != 0 ||
	    (rc = replica_begin(exchange->replica, &run->fault)) != 0)
		return rc;
	if (access.key == NULL && (rc = note_unread(run, &run->fault)) != 0)
		goto out;
	/* Before what it brings is noted. */
	if (commit_begins(commit) && (rc = dictionary_use_forget(exchange, run->log, &run->fault)) != 0)
		goto out;
	if (commit_begins(commit) && run->own &&
	    (rc = attachment_forget_published(exchange->replica, LIMIT_ATTACHMENT_INLINE_BYTES, &run->fault)) != 0)
		goto out;
	if (access.key != NULL && (rc = find_dictionary(run, commit, access.key, &use)) != 0)
		goto out;
	if (access.key != NULL && !access.revoked &&
	    (rc = changeset_apply(exchange->replica, payload->data, payload->len, &header,
		 &(struct changeset_opening){access.key, use.dictionary}, run->own, &counts, &run->fault)) != 0) {
		run->cause = rc == QOSID_ERR_CORRUPT ? "replica" : "payload";
		(void)qosid_error_within(&run->fault, "%s change set %" PRId64, run->log->name, point->sequence);
		goto out;
	}
	if ((rc = note_witnesses(run, commit)) != 0 ||
	    ((commit_begins(commit) || point->sequence == 1) && run->log->kind == LOG_OFFICE &&
		(rc = generation_note_begin(exchange, run->log, point, &run->fault)) != 0) ||
	    (rc = log_put_point(exchange->replica, run->log, point, &run->fault)) != 0 ||
	    (rc = replica_commit(exchange->replica, &run->fault)) != 0)
		goto out;
	run->point = *point;
	run->next++;
	run->ahead = commit->time > (int64_t)time(NULL) + LIMIT_CLOCK_SKEW_SECONDS;
	run->late += access.late && !access.revoked;
	run->revoked += access.revoked;
	exchange->report.sets_applied++;
	exchange->report.revisions_applied += counts.news;
	exchange->report.conflicts += counts.conflicts;
out:
	dictionary_use_end(&use);
	replica_rollback(exchange->replica);
	return rc;
}

/* Hold the commits to come against what another office has seen of this log. It may be that office that lies, so this
 * is a warning; the proof is the commit that it names, once that is here too. */
static int check_witness(struct run *run, const git_oid *tip, struct qosid_errbuf *err)
{
	struct qosid_errbuf fault = {0};
	struct replica_position seen = {0};
	char name[LOG_NAME_SIZE + 8];
	struct commit first = {0};
	int64_t sequence, last;
	bool contradicts;
	git_oid id;
	int rc;

	if (run->log->kind != LOG_OFFICE || (run->chain.count == 0 && !git_oid_equal(tip, &run->point.commit)))
		return 0;
	(void)snprintf(name, sizeof(name), "witness/%s", run->log->name);
	if ((rc = replica_read_position(run->exchange->replica, name, &seen, err)) != 0 || seen.sequence == 0 ||
	    git_oid_fromstr(&id, seen.commit) != 0 ||
	    log_read_commit(run->exchange->repo, run->chain.count > 0 ? &run->chain.ids[0] : tip, &first, NULL) != 0)
		return rc;
	sequence = first.sequence;
	last = run->chain.count > 0 ? sequence + (int64_t)run->chain.count - 1 : sequence;
	if (run->chain.count == 0) /* nothing new, in a generation that began behind what was seen */
		contradicts = first.generation > 1 && seen.sequence > last;
	else if (seen.sequence >= sequence && seen.sequence <= last)
		contradicts = !git_oid_equal(&run->chain.ids[seen.sequence - sequence], &id);
	else if (commit_begins(&first) && seen.sequence == sequence - 1)
		contradicts = !git_oid_equal(&first.archive, &id);
	else /* a generation that begins behind what was seen, and has not come to it */
		contradicts = commit_begins(&first) && run->point.sequence < sequence - 1 && seen.sequence > last;
	commit_free(&first);
	if (!contradicts)
		return 0;
	(void)qosid_error(&fault, QOSID_ERR_REFUSED,
	    "%s: another office has seen change set %" PRId64 " as %.12s, which what stands at %s does not hold",
	    run->log->name, seen.sequence, seen.commit, run->remote);
	run->contradicted = true;
	return exchange_note_finding(
	    run->exchange, run->log, run->remote, seen.sequence, &id, "witness", false, &fault, err);
}

static int take_set(struct run *run)
{
	struct qosid_buf payload = {0};
	struct log_point point = run->point;
	struct commit commit = {0};
	int rc;

	if ((rc = verify_next(run, &point, &commit, &payload)) == 0)
		rc = apply_set(run, &point, &commit, &payload);
	commit_free(&commit);
	qosid_buf_free(&payload);
	return rc;
}

/* Push the plaintext of one part into the attachment. */
static int write_part(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	return attachment_writer_write(context, data, len, err);
}

static int add_part(struct run *run, const struct log_point *point, const struct commit *commit,
    const struct qosid_buf *payload, struct attachment_writer *writer, bool *unread)
{
	struct qosid_sink sink = {write_part, writer};
	struct exchange_access access;
	struct age_unlock unlock = {&access.key, 1, NULL, 0};
	struct age_decryptor *decryptor = NULL;
	int rc;

	if ((rc = find_access(run, point, commit, &access)) != 0)
		return rc;
	if (access.key == NULL || writer == NULL) {
		*unread = true;
		return 0;
	}
	run->cause = "payload";
	if ((rc = age_decryptor_open(&decryptor, &unlock, &sink, &run->fault)) == 0 &&
	    (rc = age_decryptor_write(decryptor, payload->data, payload->len, &run->fault)) == 0)
		rc = age_decryptor_finish(decryptor, &run->fault);
	age_decryptor_free(decryptor);
	return rc;
}

/* The parts of one attachment must follow each other; part is the one expected, parts and file are those of its first.
 */
static int check_part(struct run *run, const struct commit *commit, const struct commit *first, int64_t part)
{
	if (commit->file_part == part && commit->file_parts == first->file_parts &&
	    commit->file_parts <= (int64_t)(LIMIT_ATTACHMENT_BYTES / LIMIT_FILE_PART_BYTES) &&
	    strcmp(commit->file_digest, first->file_digest) == 0)
		return 0;
	run->cause = "part";
	return qosid_error(&run->fault, QOSID_ERR_REFUSED,
	    "part %" PRId64 " of %" PRId64 " where part %" PRId64 " of %" PRId64 " must follow", commit->file_part,
	    commit->file_parts, part, first->file_parts);
}

static int finish_file(struct run *run, struct attachment_writer *writer, const char *expected)
{
	uint8_t digest[DIGEST_BYTES];
	char text[DIGEST_TEXT_SIZE];
	int64_t length;
	int rc;

	if ((rc = attachment_writer_finish(writer, digest, &length, &run->fault)) != 0)
		return rc;
	digest_format(text, digest);
	run->cause = "payload";
	if (strcmp(text, expected) != 0)
		return qosid_error(&run->fault, QOSID_ERR_REFUSED, "the attachment is not what Qosid-File says");
	return run->own ? attachment_set_filed(run->exchange->replica, digest, &run->fault) : 0;
}

/* Apply all parts of the next attachment in one transaction. When some have not arrived yet, nothing is moved and
 * *complete is false: the next exchange starts it again. */
static int take_file(struct run *run, bool *complete)
{
	struct exchange *exchange = run->exchange;
	const struct roster_member *me = roster_find_member(exchange->roster, -1, exchange->office);
	bool reads = me != NULL && roster_is_entitled(me->roles);
	struct attachment_writer *writer = NULL;
	struct commit commit = {0}, first = {0};
	struct log_point point = run->point;
	struct qosid_buf payload = {0};
	size_t begin = run->next;
	bool unread = false;
	int rc, part;

	*complete = false;
	if ((rc = replica_begin(exchange->replica, &run->fault)) != 0 ||
	    (reads && (rc = attachment_writer_open(&writer, exchange->replica, &run->fault)) != 0))
		goto out;
	for (part = 1; run->next < run->chain.count && !*complete; part++, run->next++) {
		struct commit *current = part == 1 ? &first : &commit;

		if ((rc = verify_next(run, &point, current, &payload)) != 0 ||
		    (rc = check_part(run, current, &first, part)) != 0)
			goto out;
		if (run->chain.count - begin <
		    (size_t)first.file_parts) /* do not decrypt again and again what has no end */
			goto out;
		if ((rc = add_part(run, &point, current, &payload, writer, &unread)) != 0)
			goto out;
		*complete = part == first.file_parts;
		commit_free(&commit);
		commit = (struct commit){0};
	}
	if (!*complete)
		goto out;
	if ((unread && (rc = note_unread(run, &run->fault)) != 0) ||
	    (!unread && reads && (rc = finish_file(run, writer, first.file_digest)) != 0) ||
	    (rc = log_put_point(exchange->replica, run->log, &point, &run->fault)) != 0 ||
	    (rc = replica_commit(exchange->replica, &run->fault)) != 0)
		goto out;
	run->point = point;
out:
	attachment_writer_free(writer);
	replica_rollback(exchange->replica);
	if (rc != 0)
		run->next = begin;
	commit_free(&commit);
	commit_free(&first);
	qosid_buf_free(&payload);
	return rc;
}

/* Turn run->fault into what it is: an own error, a log that waits, or a finding. */
static int settle_fault(struct run *run, const git_oid *tip, int fault, struct qosid_errbuf *err)
{
	struct exchange *exchange = run->exchange;
	const git_oid *evidence = run->next < run->chain.count ? &run->chain.ids[run->next] : tip;
	bool fork = strcmp(run->cause, "fork") == 0;

	if (is_own_failure(fault) || (fault == QOSID_ERR_CORRUPT && strcmp(run->cause, "replica") == 0)) {
		if (err != NULL)
			*err = run->fault;
		return fault;
	}
	if (fault == QOSID_ERR_WAITING) {
		exchange->report.waiting++;
		return 0;
	}
	return exchange_note_finding(exchange, run->log, fork ? NULL : run->remote, run->point.sequence + 1, evidence,
	    run->cause, true, &run->fault, err);
}

/* Times are never trusted for order, but a clock that is wrong misleads people. */
static int note_clock(struct run *run, struct qosid_errbuf *err)
{
	struct qosid_errbuf fault = {0};

	(void)qosid_error(&fault, QOSID_ERR_INVALID, "%s: the clock of %s is more than %d minutes ahead of ours",
	    run->log->name, run->log->office, LIMIT_CLOCK_SKEW_SECONDS / 60);
	return exchange_note_finding(
	    run->exchange, run->log, NULL, run->point.sequence, &run->point.commit, "clock", false, &fault, err);
}

/* An office that has been removed goes on to be heard for what it did while it did not know; people should look at it.
 */
static int note_late(struct run *run, struct qosid_errbuf *err)
{
	struct qosid_errbuf fault = {0};

	if (run->late == 0)
		return 0;
	(void)qosid_error(&fault, QOSID_ERR_REFUSED,
	    "%s: %zu change set%s of %s came in after it had been removed; they name a roster state from before, and "
	    "were "
	    "applied",
	    run->log->name, run->late, run->late == 1 ? "" : "s", run->log->office);
	return exchange_note_finding(
	    run->exchange, run->log, NULL, run->point.sequence, &run->point.commit, "late", false, &fault, err);
}

/* Once for each revocation, and again when more has been set aside. */
static int note_revoked(struct run *run, struct qosid_errbuf *err)
{
	struct exchange *exchange = run->exchange;
	const struct roster_member *now = roster_find_member(exchange->roster, -1, run->log->office);
	struct replica_position noted = {0};
	struct qosid_errbuf fault = {0};
	char name[LOG_NAME_SIZE + 8];
	int rc;

	if (now == NULL || now->revoked == 0 || run->log->kind != LOG_OFFICE || run->point.sequence < now->revoked)
		return 0;
	(void)snprintf(name, sizeof(name), "revoked/%s", run->log->name);
	if ((rc = replica_read_position(exchange->replica, name, &noted, err)) != 0)
		return rc;
	if (noted.sequence == now->revoked && run->revoked == 0)
		return 0;
	noted.sequence = now->revoked;
	git_oid_tostr(noted.commit, sizeof(noted.commit), &run->point.commit);
	if (run->revoked > 0)
		(void)qosid_error(&fault, QOSID_ERR_REFUSED,
		    "%s: %zu change set%s of %s from number %" PRId64
		    " on are revoked: they are kept and were not applied",
		    run->log->name, run->revoked, run->revoked == 1 ? "" : "s", run->log->office, now->revoked);
	else
		(void)qosid_error(&fault, QOSID_ERR_REFUSED,
		    "%s: what %s published from change set %" PRId64
		    " on is revoked, and had been applied here before that was known: review it",
		    run->log->name, run->log->office, now->revoked);
	if ((rc = exchange_note_finding(
		 exchange, run->log, NULL, now->revoked, &run->point.commit, "revoked", false, &fault, err)) != 0 ||
	    (rc = replica_begin(exchange->replica, err)) != 0)
		return rc;
	if ((rc = replica_put_position(exchange->replica, name, &noted, err)) == 0)
		rc = replica_commit(exchange->replica, err);
	replica_rollback(exchange->replica);
	return rc;
}

/* The tip ref is about to leave a generation. */
static int keep_archive(struct run *run, const git_oid *old, struct qosid_errbuf *err)
{
	struct exchange *exchange = run->exchange;
	struct log_point before = {.sequence = 1, .commit = *old};
	git_oid begin;
	int rc;

	if (!exchange->generations.keep)
		return 0;
	if ((rc = log_read_generation(exchange->repo, &run->point, err)) != 0)
		return rc;
	/* What cannot be read is not kept. */
	if (log_read_generation(exchange->repo, &before, NULL) != 0 || before.generation >= run->point.generation)
		return 0;
	rc = generation_read_begin(exchange, run->log, &begin, err);
	return rc != 0 ? (rc == QOSID_ERR_NOTFOUND ? 0 : rc) : archive_keep(exchange, run->log, &begin, err);
}

/* Let the tip ref follow the point. */
static int move_tip(struct run *run, struct qosid_errbuf *err)
{
	char ref[LOG_REF_SIZE];
	git_oid old;
	int rc, keep;

	if (run->point.sequence == 0)
		return 0;
	log_format_tip(ref, run->log, run->exchange->office);
	rc = repo_read_ref(run->exchange->repo, ref, &old, err);
	if (rc != 0 && rc != QOSID_ERR_NOTFOUND)
		return rc;
	if (rc == 0 && git_oid_equal(&old, &run->point.commit))
		return 0;
	if (run->log->kind == LOG_OFFICE && rc == 0 && (keep = keep_archive(run, &old, err)) != 0)
		return keep;
	return repo_update_ref(run->exchange->repo, ref, rc == 0 ? &old : NULL, &run->point.commit, err);
}

/* Compare, and say what a diverged tip means. */
static int find_chain(struct run *run, const git_oid *tip)
{
	enum log_relation relation;
	int rc;

	run->cause = "damage";
	if ((rc = log_relate(run->exchange->repo, run->log, &run->point, tip, &relation, &run->chain, &run->fault)) !=
	    0)
		return rc;
	/* An older generation shows nothing new; but it must be one. */
	if (relation == LOG_OLDER ? log_is_signed(run->exchange->repo, run->log, &run->rules, tip)
				  : relation != LOG_DIVERGED)
		return 0;
	/* Two histories are proof against the office when it has signed both, otherwise only against the remote. */
	if (relation == LOG_DIVERGED && log_is_signed(run->exchange->repo, run->log, &run->rules, tip)) {
		run->cause = "fork";
		return qosid_error(&run->fault, QOSID_ERR_REFUSED,
		    "%s: two histories signed by %s, the second one at %s", run->log->name, run->log->office,
		    run->remote);
	}
	run->cause = "chain";
	return qosid_error(&run->fault, QOSID_ERR_REFUSED,
	    "%s: it does not continue the log that was verified up to change set %" PRId64, run->log->name,
	    run->point.sequence);
}

/* Go back to where this office could not read, once it may: what was passed over is applied now. */
static int take_up_unread(struct run *run, struct qosid_errbuf *err)
{
	const struct exchange *exchange = run->exchange;
	const struct roster_member *me = roster_find_member(exchange->roster, -1, exchange->office);
	struct replica_position position = {0};
	char name[LOG_NAME_SIZE + 8];
	int rc;

	(void)snprintf(name, sizeof(name), "unread/%s", run->log->name);
	if (me == NULL || !roster_is_entitled(me->roles) || me->first_epoch > 1)
		return 0; /* who may read from some epoch on only has nothing to take up from before it */
	if ((rc = replica_read_position(exchange->replica, name, &position, err)) != 0 || position.sequence == 0 ||
	    (rc = replica_begin(exchange->replica, err)) != 0)
		return rc;
	/* From the first commit: applying a change set again changes nothing. */
	run->point = (struct log_point){0};
	position = (struct replica_position){0};
	if ((rc = replica_put_position(exchange->replica, name, &position, err)) == 0 &&
	    (rc = log_put_point(exchange->replica, run->log, &run->point, err)) == 0)
		rc = replica_commit(exchange->replica, err);
	replica_rollback(exchange->replica);
	return rc;
}

static int find_stop(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	struct run *run = context;

	(void)err;
	return finding->stops && strcmp(finding->log, run->log->name) == 0 ? 1 : 0;
}

int apply_log(
    struct exchange *exchange, const struct log *log, const git_oid *tip, const char *remote, struct qosid_errbuf *err)
{
	struct run run = {.exchange = exchange,
	    .log = log,
	    .remote = remote,
	    .own = strcmp(log->office, exchange->office) == 0,
	    .rules = {exchange->space, exchange->roster, exchange->root, exchange->steward},
	    .cause = "damage"};
	bool complete = true;
	int rc, fault;

	if ((rc = log_read_point(exchange->replica, log, &run.point, err)) != 0)
		return rc;
	rc = replica_visit_findings(exchange->replica, find_stop, &run, err);
	if (rc < 0)
		return rc;
	if (rc > 0) { /* stopped for good, until someone decides */
		exchange->report.findings++;
		return 0;
	}
	if ((rc = take_up_unread(&run, err)) != 0)
		return rc;
	fault = find_chain(&run, tip);
	if (fault == 0 && (rc = check_witness(&run, tip, err)) != 0)
		goto out;
	while (fault == 0 && run.next < run.chain.count && complete) {
		fault = log->kind == LOG_FILES ? take_file(&run, &complete) : take_set(&run);
		exchange_report_progress(exchange, "verify", run.next, run.chain.count);
	}
	if ((rc = move_tip(&run, err)) != 0 || (rc = note_late(&run, err)) != 0 || (rc = note_revoked(&run, err)) != 0)
		goto out;
	if (run.ahead && (rc = note_clock(&run, err)) != 0)
		goto out;
	if (fault != 0)
		rc = settle_fault(&run, tip, fault, err);
	else if (!run.contradicted)
		rc = exchange_clear_findings(exchange, log, remote, err);
out:
	log_chain_free(&run.chain);
	return rc;
}
