/*
 * Publishing: pending revisions become signed change sets in the own log.
 *
 * One round is one SQLite transaction around several change sets: they are collected and marked in it, then written to
 * git, the refs are moved, and only then is it committed. If the program dies before the refs move, SQLite forgets the
 * round and nothing was published. If it dies after, the own log is ahead of the replica, and the next run takes the
 * marks over from the log itself (apply_log() with the own office). So nothing is lost and nothing is published twice.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sync/exchange/publish_internal.h"

#define ROUND_BYTES ((size_t)16 << 20) /* of payload in one transaction: bounds how long writers wait */
#define SEEN_MAX 400                   /* trailers of a commit; the others wait for the next one */

/* Take over what the own log holds beyond the replica. */
static int recover_log(
    struct exchange *exchange, const struct log *log, struct log_point *point, struct qosid_errbuf *err)
{
	char ref[LOG_REF_SIZE];
	git_oid tip;
	int rc;

	log_format_head(ref, log);
	rc = repo_read_ref(exchange->repo, ref, &tip, err);
	if (rc != 0 && rc != QOSID_ERR_NOTFOUND)
		return rc;
	if (rc == 0 && (rc = apply_log(exchange, log, &tip, EXCHANGE_OWN_REPOSITORY, err)) != 0)
		return rc;
	if ((rc = log_read_point(exchange->replica, log, point, err)) != 0)
		return rc;
	if (point->sequence > 0 &&
	    (repo_read_ref(exchange->repo, ref, &tip, NULL) != 0 || !git_oid_equal(&tip, &point->commit))) {
		(void)qosid_error(err, QOSID_ERR_REFUSED,
		    "this office's own log %s does not fit what its replica remembers (change set %lld)", log->name,
		    (long long)point->sequence);
		qosid_error_hint(
		    err, "do not publish from this copy; see `qosid status` and the admin guide on restoring");
		return err != NULL ? err->code : QOSID_ERR_REFUSED;
	}
	return 0;
}

/* Whether a second history of the own log is known: then publishing would make it worse. */
static int refuse_fork(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	const struct round *round = context;

	if (!finding->stops ||
	    (strcmp(finding->log, round->office.name) != 0 && strcmp(finding->log, round->files.name) != 0))
		return 0;
	(void)qosid_error(err, QOSID_ERR_REFUSED, "this office's log has two histories: %s", finding->detail);
	qosid_error_hint(err, "its key is in use in two places; see the admin guide");
	return QOSID_ERR_REFUSED;
}

/* Fill commit->seen with the logs of others that moved since the own log's last commit, and remember them. */
static int collect_seen(struct round *round, struct commit *commit, struct commit_seen *seen, struct qosid_errbuf *err)
{
	const struct roster *roster = round->exchange->roster;
	struct replica *replica = round->exchange->replica;
	int rc;

	commit->seen = seen;
	for (size_t i = 0; i < roster_member_count(roster, -1) && commit->seen_count < SEEN_MAX; i++) {
		const struct roster_member *member = roster_member_at(roster, -1, i);
		struct replica_position current = {0}, before = {0};
		char name[LOG_NAME_SIZE + 8];
		struct log log;

		if (strcmp(member->office, round->exchange->office) == 0)
			continue;
		log_init(&log, LOG_OFFICE, member->office);
		(void)snprintf(name, sizeof(name), "seen/%s", log.name);
		if ((rc = replica_read_position(replica, log.name, &current, err)) != 0 ||
		    (rc = replica_read_position(replica, name, &before, err)) != 0)
			return rc;
		if (current.sequence == 0 || current.sequence == before.sequence)
			continue;
		(void)snprintf(seen[commit->seen_count].office, sizeof(seen[0].office), "%s", member->office);
		seen[commit->seen_count].sequence = current.sequence;
		if (git_oid_fromstr(&seen[commit->seen_count].commit, current.commit) != 0)
			return qosid_error(err, QOSID_ERR_CORRUPT, "the replica's position of %s is damaged", log.name);
		commit->seen_count++;
		if ((rc = replica_put_position(replica, name, &current, err)) != 0)
			return rc;
	}
	return 0;
}

static void fill_commit(const struct round *round, struct commit *commit, char *subject)
{
	commit->subject = subject;
	commit->time = (int64_t)time(NULL);
	commit->epoch = round->epoch;
	commit->roster_count = round->roster_count;
	memcpy(commit->roster, round->roster, sizeof(commit->roster));
}

/* One large attachment: as many commits of the files log as it has parts. */
static int append_file(struct round *round, const uint8_t digest[DIGEST_BYTES], struct qosid_errbuf *err)
{
	struct exchange *exchange = round->exchange;
	struct qosid_buf part = {0}, sealed = {0};
	struct qosid_buf_sink target = {&part, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	int64_t length = 0, parts;
	bool found = false;
	char subject[64];
	int rc;

	if ((rc = attachment_find(exchange->replica, digest, &found, &length, err)) != 0)
		return rc;
	if (!found) /* a stub of content that another office has yet to bring */
		return 0;
	parts = (length + LIMIT_FILE_PART_BYTES - 1) / LIMIT_FILE_PART_BYTES;
	for (int64_t i = 0; rc == 0 && i < parts; i++) {
		struct commit commit = {.file_part = i + 1, .file_parts = parts};

		qosid_buf_reset(&part);
		qosid_buf_reset(&sealed);
		(void)snprintf(subject, sizeof(subject), "attachment, part %" PRId64 " of %" PRId64, i + 1, parts);
		fill_commit(round, &commit, subject);
		digest_format(commit.file_digest, digest);
		if ((rc = attachment_read(exchange->replica, digest, i * (int64_t)LIMIT_FILE_PART_BYTES,
			 (int64_t)LIMIT_FILE_PART_BYTES, &sink, err)) != 0 ||
		    (rc = age_encrypt_buf(&sealed, &round->recipient, 1, part.data, part.len, err)) != 0)
			break;
		rc = log_append(exchange->repo, &round->files, exchange->space, exchange->identity, &round->files_point,
		    &commit, &sealed, NULL, 0, err);
		round->bytes += sealed.len;
	}
	qosid_buf_wipe(&part);
	qosid_buf_free(&sealed);
	return rc;
}

/* Put the dictionary that is new beside the payload. */
static int bring_dictionary(
    struct round *round, struct commit *commit, struct repo_entry *entry, struct qosid_errbuf *err)
{
	struct qosid_buf sealed = {0};
	size_t len;
	const void *data = changeset_dictionary_data(round->use.dictionary, &len);
	int rc = age_encrypt_buf(&sealed, &round->recipient, 1, data, len, err);

	*entry = (struct repo_entry){.name = LOG_DICTIONARY_NAME};
	commit->brings_dictionary = true;
	if (rc == 0) {
		digest_compute(commit->dictionary_content, sealed.data, sealed.len);
		rc = repo_write(round->exchange->repo, GIT_OBJECT_BLOB, sealed.data, sealed.len, &entry->id, err);
	}
	qosid_buf_free(&sealed);
	return rc;
}

/* Queue the commit of a collected change set, with its dictionary. */
static int append_commit(
    struct round *round, struct commit *commit, const struct qosid_buf *payload, struct qosid_errbuf *err)
{
	struct exchange *exchange = round->exchange;
	struct repo_entry beside;
	size_t count = 0;
	int rc;

	if (round->use.dictionary != NULL) {
		commit->has_dictionary = true;
		memcpy(commit->dictionary, changeset_dictionary_digest(round->use.dictionary), DIGEST_BYTES);
	}
	if (round->fresh) {
		if ((rc = bring_dictionary(round, commit, &beside, err)) != 0)
			return rc;
		count = 1;
	}
	if ((rc = log_append(exchange->repo, &round->office, exchange->space, exchange->identity, &round->office_point,
		 commit, payload, &beside, count, err)) != 0 ||
	    !round->fresh)
		return rc;
	round->fresh = false;
	round->use.sequence = round->office_point.sequence;
	return dictionary_use_put(exchange, &round->office, &round->use, err);
}

int publish_append(
    struct round *round, struct changeset_batch *batch, enum commit_snapshot snapshot, struct qosid_errbuf *err)
{
	struct exchange *exchange = round->exchange;
	struct log_point before = round->office_point;
	struct commit commit = {.snapshot = snapshot};
	struct commit_seen seen[SEEN_MAX];
	char subject[160];
	int rc;

	for (size_t i = 0; i < batch->file_count; i++) {
		if ((rc = append_file(round, batch->files[i], err)) != 0)
			return rc;
	}
	(void)snprintf(subject, sizeof(subject), "%s: %s%zu %s%s in %zu document%s", exchange->office,
	    snapshot != SNAPSHOT_NONE ? "snapshot, " : "", batch->revisions,
	    snapshot != SNAPSHOT_NONE ? "revision" : "change", batch->revisions == 1 ? "" : "s", batch->documents,
	    batch->documents == 1 ? "" : "s");
	fill_commit(round, &commit, subject);
	if ((rc = collect_seen(round, &commit, seen, err)) != 0 ||
	    (rc = append_commit(round, &commit, &batch->payload, err)) != 0 ||
	    (before.sequence == 0 &&
		(rc = generation_note_begin(exchange, &round->office, &round->office_point, err)) != 0) ||
	    (rc = changeset_mark_published(exchange->replica, batch, err)) != 0 ||
	    (rc = generation_count(
		 exchange, &round->office, &before, &round->office_point, snapshot, batch->payload.len, err)) != 0)
		return rc;
	round->bytes += batch->payload.len;
	round->sets++;
	round->revisions += batch->revisions;
	return 0;
}

void publish_choose_packing(const struct round *round, struct changeset_packing *out)
{
	const struct exchange_settings *settings = &round->exchange->settings;

	*out = (struct changeset_packing){
	    .dictionary = round->use.dictionary, .inline_max = settings->inline_max, .pad = settings->pad};
}

/* Collect one change set and queue its commits. *done when nothing is pending any more. */
static int append_set(struct round *round, bool *done, struct qosid_errbuf *err)
{
	struct exchange *exchange = round->exchange;
	struct changeset_header header = {exchange->space, exchange->office, round->office_point.sequence + 1};
	struct changeset_packing packing;
	struct changeset_batch batch = {0};
	int rc;

	publish_choose_packing(round, &packing);
	if ((rc = changeset_collect(exchange->replica, &header, round->recipient, &packing, &batch, err)) == 0) {
		*done = batch.revisions == 0;
		if (!*done)
			rc = publish_append(round, &batch, SNAPSHOT_NONE, err);
	}
	changeset_batch_free(&batch);
	return rc;
}

/* Move a head from where the round found it to its new point. */
static int move_head(struct round *round, const struct log *log, const struct log_point *before,
    const struct log_point *after, struct qosid_errbuf *err)
{
	char ref[LOG_REF_SIZE];

	if (after->sequence == before->sequence)
		return 0;
	log_format_head(ref, log);
	return repo_update_ref(
	    round->exchange->repo, ref, before->sequence > 0 ? &before->commit : NULL, &after->commit, err);
}

int publish_begin(struct round *round, struct qosid_errbuf *err)
{
	round->bytes = round->sets = round->revisions = 0;
	round->office_before = round->office_point;
	round->files_before = round->files_point;
	return replica_begin(round->exchange->replica, err);
}

int publish_finish(struct round *round, const git_oid *begin, struct qosid_errbuf *err)
{
	struct exchange *exchange = round->exchange;
	int rc;

	if ((rc = log_put_point(exchange->replica, &round->office, &round->office_point, err)) != 0 ||
	    (round->files_point.sequence > 0 &&
		(rc = log_put_point(exchange->replica, &round->files, &round->files_point, err)) != 0))
		return rc;
	/* Files first: a change set whose files are missing would be worse than files that no change set names yet. And
	 * an archive before the log leaves its generation. */
	if ((rc = repo_flush(exchange->repo, err)) != 0 ||
	    (rc = move_head(round, &round->files, &round->files_before, &round->files_point, err)) != 0 ||
	    (begin != NULL && exchange->generations.keep &&
		(rc = archive_keep(exchange, &round->office, begin, err)) != 0) ||
	    (rc = move_head(round, &round->office, &round->office_before, &round->office_point, err)) != 0)
		return rc;
	return replica_commit(exchange->replica, err);
}

static int publish_round(struct round *round, bool *done, struct qosid_errbuf *err)
{
	struct exchange *exchange = round->exchange;
	int rc;

	if ((rc = publish_begin(round, err)) != 0)
		return rc;
	while (rc == 0 && !*done && round->bytes < ROUND_BYTES)
		rc = append_set(round, done, err);
	if (rc == 0 && round->sets > 0 && (rc = publish_finish(round, NULL, err)) == 0) {
		exchange->report.sets_published += round->sets;
		exchange->report.revisions_published += round->revisions;
	}
	replica_rollback(exchange->replica);
	return rc;
}

/* Whether this office may publish at all. With nothing pending the question does not arise. */
static int check_right(struct exchange *exchange, bool *may, struct qosid_errbuf *err)
{
	const struct roster_member *me = roster_find_member(exchange->roster, -1, exchange->office);
	struct replica_info info;
	int rc;

	exchange_choose_identity(exchange);
	*may = me != NULL && (me->roles & ROLE_WRITER) != 0;
	if (me == NULL) /* a joiner's edits wait until it has been admitted */
		return 0;
	if (*may &&
	    memcmp(me->signing_public, identity_signing_public(exchange->identity), SIGNING_PUBLIC_BYTES) != 0) {
		*may = false;
		(void)qosid_error(err, QOSID_ERR_REFUSED,
		    "the roster names other keys of %s than this machine has, so nothing can be published from it",
		    exchange->office);
		qosid_error_hint(err, "if this office did not ask for new keys, tell the stewards at once");
		return QOSID_ERR_REFUSED;
	}
	if (*may)
		return 0;
	if ((rc = replica_read_info(exchange->replica, &info, err)) != 0)
		return rc;
	if (info.pending == 0)
		return 0;
	(void)qosid_error(err, QOSID_ERR_REFUSED, "%s has no right to publish, so %lld revisions stay on this machine",
	    exchange->office, (long long)info.pending);
	qosid_error_hint(err, "ask the steward for the role writer");
	return QOSID_ERR_REFUSED;
}

int publish_open(struct round *round, struct exchange *exchange, bool *may, struct qosid_errbuf *err)
{
	int rc;

	*round = (struct round){.exchange = exchange};
	if ((rc = check_right(exchange, may, err)) != 0 || !*may)
		return rc;
	round->epoch = roster_epoch_count(exchange->roster, -1);
	round->recipient = roster_epoch_recipient(exchange->roster, -1, round->epoch);
	if (round->recipient == NULL)
		return qosid_error(err, QOSID_ERR_WAITING, "the roster names no epoch yet");
	log_init(&round->office, LOG_OFFICE, exchange->office);
	log_init(&round->files, LOG_FILES, exchange->office);
	if ((rc = roster_list_heads(exchange->roster, -1, round->roster, &round->roster_count, err)) != 0 ||
	    (rc = recover_log(exchange, &round->files, &round->files_point, err)) != 0 ||
	    (rc = recover_log(exchange, &round->office, &round->office_point, err)) != 0)
		return rc;
	return replica_visit_findings(exchange->replica, refuse_fork, round, err);
}

int exchange_publish(struct exchange *exchange, struct qosid_errbuf *err)
{
	bool may = false, done = false;
	struct replica_info info;
	struct round round;
	int rc;

	if ((rc = publish_open(&round, exchange, &may, err)) != 0 || !may ||
	    (rc = replica_read_info(exchange->replica, &info, err)) != 0)
		return rc;
	if (info.pending > 0)
		rc = dictionary_choose(
		    exchange, &round.office, &round.office_point, round.recipient, &round.use, &round.fresh, err);
	while (rc == 0 && !done) {
		rc = publish_round(&round, &done, err);
		exchange_report_progress(exchange, "publish", exchange->report.revisions_published, 0);
	}
	dictionary_use_end(&round.use);
	return rc;
}
