/*
 * Generations: the own log restarted from a snapshot, so that it costs the same after ten years as on the first day.
 *
 * A snapshot carries what the log carries that is still live, no more (docs/format.md says why that is enough, and who
 * else carries the rest). It is made in one transaction, with nothing pending, so that it is exactly the log's content:
 * the commits are written first, then the old generation gets its archive ref, then the log's head moves, and SQLite is
 * committed last. Killed before the head moves, the old generation stands and the commits are litter; killed after it,
 * the next run takes the new generation over from the log itself.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sync/exchange/publish_internal.h"

#define TRIES 20 /* against programs that keep on storing while the log is being published */
#define DAY_SECONDS INT64_C(86400)

static void format_position(char out[LOG_NAME_SIZE + 8], const char *what, const struct log *log)
{
	(void)snprintf(out, LOG_NAME_SIZE + 8, "%s/%s", what, log->name);
}

int generation_note_begin(
    struct exchange *exchange, const struct log *log, const struct log_point *point, struct qosid_errbuf *err)
{
	struct replica_position position = {.sequence = point->sequence, .time = point->time};
	char name[LOG_NAME_SIZE + 8];

	format_position(name, "begin", log);
	git_oid_tostr(position.commit, sizeof(position.commit), &point->commit);
	memcpy(position.digest, point->digest, DIGEST_BYTES);
	return replica_put_position(exchange->replica, name, &position, err);
}

int generation_read_begin(struct exchange *exchange, const struct log *log, git_oid *begin, struct qosid_errbuf *err)
{
	struct replica_position position = {0};
	char name[LOG_NAME_SIZE + 8];
	int rc;

	format_position(name, "begin", log);
	if ((rc = replica_read_position(exchange->replica, name, &position, err)) != 0)
		return rc;
	if (position.sequence == 0)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "nothing of %s is here", log->name);
	if (git_oid_fromstr(begin, position.commit) != 0)
		return qosid_error(err, QOSID_ERR_CORRUPT, "the replica's position of %s is damaged", name);
	return 0;
}

/* ---- how much the own log has grown ---- */

/* What a commit's payload takes, for a log whose growth was not counted. */
static int measure_commit(
    struct exchange *exchange, const struct commit *commit, struct qosid_buf *scratch, size_t *bytes)
{
	struct repo_entry entries[LIMIT_TREE_ENTRIES];
	struct qosid_buf tree = {0};
	size_t count = 0;
	int rc = repo_read(exchange->repo, &commit->tree, GIT_OBJECT_TREE, LIMIT_MESSAGE_BYTES, &tree, NULL);

	qosid_buf_reset(scratch);
	if (rc == 0 && (rc = repo_parse_tree(&tree, entries, &count, NULL)) == 0 && count > 0)
		rc = repo_read(exchange->repo, &entries[0].id, GIT_OBJECT_BLOB, LIMIT_CHANGESET_BYTES, scratch, NULL);
	*bytes = scratch->len;
	qosid_buf_free(&tree);
	return rc;
}

/* Add up a generation anew: after the log was taken over from the repository. What cannot be read counts nothing; it is
 * reported where it matters. */
static void measure(struct exchange *exchange, const struct log_point *tip, struct replica_position *size)
{
	struct log_point nothing = {0};
	struct log_chain chain = {0};
	struct qosid_buf scratch = {0};
	enum log_relation relation;

	*size = (struct replica_position){0};
	if (tip->sequence == 0 || log_compare(exchange->repo, &nothing, &tip->commit, &relation, &chain, NULL) != 0)
		goto out;
	for (size_t i = 0; i < chain.count; i++) {
		struct commit commit = {0};
		size_t bytes;

		if (log_read_commit(exchange->repo, &chain.ids[i], &commit, NULL) == 0 &&
		    measure_commit(exchange, &commit, &scratch, &bytes) == 0)
			*(commit.snapshot != SNAPSHOT_NONE ? &size->time : &size->sequence) += (int64_t)bytes;
		commit_free(&commit);
	}
out:
	log_chain_free(&chain);
	qosid_buf_free(&scratch);
}

static int read_size(struct exchange *exchange, const struct log *log, const struct log_point *tip,
    struct replica_position *size, struct qosid_errbuf *err)
{
	char name[LOG_NAME_SIZE + 8];
	git_oid counted;
	int rc;

	format_position(name, "size", log);
	if ((rc = replica_read_position(exchange->replica, name, size, err)) != 0)
		return rc;
	if (tip->sequence > 0 &&
	    (git_oid_fromstr(&counted, size->commit) != 0 || !git_oid_equal(&counted, &tip->commit)))
		measure(exchange, tip, size);
	return 0;
}

int generation_count(struct exchange *exchange, const struct log *log, const struct log_point *before,
    const struct log_point *after, enum commit_snapshot snapshot, size_t bytes, struct qosid_errbuf *err)
{
	bool begins = snapshot == SNAPSHOT_FIRST || snapshot == SNAPSHOT_WHOLE;
	struct replica_position size = {0};
	char name[LOG_NAME_SIZE + 8];
	int rc;

	if (!begins && (rc = read_size(exchange, log, before, &size, err)) != 0)
		return rc;
	*(snapshot != SNAPSHOT_NONE ? &size.time : &size.sequence) += (int64_t)bytes;
	format_position(name, "size", log);
	git_oid_tostr(size.commit, sizeof(size.commit), &after->commit);
	return replica_put_position(exchange->replica, name, &size, err);
}

/* When the generation began: the time of its first commit. */
static int64_t read_age(struct exchange *exchange, const struct log *log, const struct log_point *tip)
{
	struct replica_position begin = {0};
	char name[LOG_NAME_SIZE + 8];
	struct log_point nothing = {0};
	struct log_chain chain = {0};
	enum log_relation relation;
	struct commit commit = {0};
	int64_t time_begun = (int64_t)time(NULL);

	format_position(name, "begin", log);
	if (replica_read_position(exchange->replica, name, &begin, NULL) == 0 && begin.sequence > 0)
		return (int64_t)time(NULL) - begin.time;
	/* A log that was begun before such notes were taken. */
	if (log_compare(exchange->repo, &nothing, &tip->commit, &relation, &chain, NULL) == 0 && chain.count > 0 &&
	    log_read_commit(exchange->repo, &chain.ids[0], &commit, NULL) == 0)
		time_begun = commit.time;
	commit_free(&commit);
	log_chain_free(&chain);
	return (int64_t)time(NULL) - time_begun;
}

/* ---- the snapshot ---- */

/* Collect what one change set carries. What was set aside is not carried on. */
static int collect_set(struct round *round, const struct log_point *point, const struct commit *commit,
    const struct qosid_buf *payload, struct dictionary_use *use, struct qosid_errbuf *err)
{
	struct exchange *exchange = round->exchange;
	struct changeset_header header = {exchange->space, exchange->office, commit->sequence};
	struct changeset_opening opening = {0};
	struct exchange_access access;
	int rc = exchange_find_access(exchange, &round->office, commit, point->state - 1, &access, err);

	if (rc != 0)
		return rc;
	if (access.key == NULL)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "%s may not read its own log, so it cannot make a snapshot of it", exchange->office);
	if ((rc = dictionary_use_follow(exchange, commit, access.key, use, err)) != 0 || access.revoked)
		return rc;
	opening.key = access.key;
	opening.dictionary = commit->has_dictionary ? use->dictionary : NULL;
	return changeset_add_carried(exchange->replica, payload->data, payload->len, &header, &opening, err);
}

/* Collect what every change set of the present generation carries. */
static int collect_carried(struct round *round, struct qosid_errbuf *err)
{
	struct exchange *exchange = round->exchange;
	struct log_rules rules = {exchange->space, exchange->roster, exchange->root, exchange->steward};
	struct log_point point = {0};
	struct log_chain chain = {0};
	struct qosid_buf payload = {0};
	struct dictionary_use use = {0};
	enum log_relation relation;
	const char *cause;
	int rc;

	rc = log_compare(exchange->repo, &point, &round->office_point.commit, &relation, &chain, err);
	for (size_t i = 0; rc == 0 && i < chain.count; i++) {
		struct commit commit = {0};

		if ((rc = log_verify_next(exchange->repo, &round->office, &rules, &point, &chain.ids[i], &commit,
			 &payload, &cause, err)) == 0)
			rc = collect_set(round, &point, &commit, &payload, &use, err);
		commit_free(&commit);
		exchange_report_progress(exchange, "snapshot", i + 1, chain.count);
	}
	dictionary_use_end(&use);
	qosid_buf_free(&payload);
	log_chain_free(&chain);
	return rc;
}

static int collect_next(struct round *round, int64_t sequence, struct replica_carried *after,
    struct changeset_batch *batch, struct qosid_errbuf *err)
{
	struct changeset_header header = {round->exchange->space, round->exchange->office, sequence};
	struct changeset_packing packing;

	publish_choose_packing(round, &packing);
	return changeset_collect_snapshot(
	    round->exchange->replica, &header, round->recipient, &packing, after, batch, err);
}

/* Append the snapshot. Each part is held until it is known whether another one follows. *begin is its first commit. */
static int append_snapshot(struct round *round, git_oid *begin, struct qosid_errbuf *err)
{
	struct exchange *exchange = round->exchange;
	struct changeset_batch batch = {0}, next = {0};
	struct replica_carried after = {0};
	bool first = true, last = false;
	int rc;

	rc = collect_next(round, round->office_point.sequence + 1, &after, &batch, err);
	while (rc == 0 && !last) {
		enum commit_snapshot snapshot;

		/* What this part carries inline, the next one need not. */
		for (size_t i = 0; rc == 0 && i < batch.inlined_count; i++)
			rc = attachment_set_published(exchange->replica, batch.inlined[i], err);
		if (rc != 0 || (rc = collect_next(round, round->office_point.sequence + 2, &after, &next, err)) != 0)
			break;
		last = next.revisions == 0;
		snapshot = first && last ? SNAPSHOT_WHOLE
			   : first       ? SNAPSHOT_FIRST
			   : last        ? SNAPSHOT_LAST
					 : SNAPSHOT_PART;
		if ((rc = publish_append(round, &batch, snapshot, err)) != 0)
			break;
		if (first) {
			git_oid_cpy(begin, &round->office_point.commit);
			rc = generation_note_begin(exchange, &round->office, &round->office_point, err);
		}
		first = false;
		changeset_batch_free(&batch);
		batch = next;
		next = (struct changeset_batch){0};
	}
	changeset_batch_free(&batch);
	changeset_batch_free(&next);
	return rc;
}

/* In a transaction in which nothing is pending. */
static int restart(struct round *round, struct qosid_errbuf *err)
{
	struct exchange *exchange = round->exchange;
	git_oid begin;
	int rc;

	if ((rc = replica_carried_begin(exchange->replica, err)) == 0 && (rc = collect_carried(round, err)) == 0 &&
	    (rc = attachment_forget_published(exchange->replica, LIMIT_ATTACHMENT_INLINE_BYTES, err)) == 0 &&
	    (rc = dictionary_carry_over(exchange, &round->office, round->recipient, &round->use, &round->fresh, err)) ==
		0 &&
	    (rc = append_snapshot(round, &begin, err)) == 0) {
		replica_carried_end(exchange->replica);
		rc = publish_finish(round, &begin, err);
	}
	return rc;
}

/* Publish until a transaction stands in which nothing is pending: what is pending is not in the log, and what it
 * follows is no leaf any more, so a snapshot would lose both until the next publication. */
static int settle(struct exchange *exchange, struct round *round, struct qosid_errbuf *err)
{
	struct replica_info info;
	bool may = false;
	int rc;

	for (int i = 0; i < TRIES; i++) {
		if ((rc = exchange_publish(exchange, err)) != 0 || (rc = publish_open(round, exchange, &may, err)) != 0)
			return rc;
		if (!may)
			return qosid_error(err, QOSID_ERR_REFUSED, "%s may not publish", exchange->office);
		if ((rc = publish_begin(round, err)) != 0)
			return rc;
		if ((rc = replica_read_info(exchange->replica, &info, err)) != 0 || info.pending == 0)
			return rc;
		replica_rollback(exchange->replica);
	}
	return qosid_error(err, QOSID_ERR_BUSY, "other programs keep on storing revisions");
}

/* A reader who was admitted to what is published from some epoch on only: a snapshot, which is under the newest one,
 * would show it what came before. */
static const char *find_newcomer(const struct exchange *exchange)
{
	for (size_t i = 0; i < roster_member_count(exchange->roster, -1); i++) {
		const struct roster_member *member = roster_member_at(exchange->roster, -1, i);

		if (roster_is_entitled(member->roles) && member->first_epoch > 1)
			return member->office;
	}
	return NULL;
}

int exchange_restart(struct exchange *exchange, struct qosid_errbuf *err)
{
	struct replica_position size;
	struct round round = {0};
	int rc;

	if (find_newcomer(exchange) != NULL) {
		qosid_error(err, QOSID_ERR_REFUSED,
		    "%s may read what was published since it was admitted only, and a snapshot "
		    "would show it what came before",
		    find_newcomer(exchange));
		qosid_error_hint(err, "a new generation can begin when it is no reader any more");
		return QOSID_ERR_REFUSED;
	}
	if ((rc = settle(exchange, &round, err)) != 0 ||
	    (rc = read_size(exchange, &round.office, &round.office_point, &size, err)) != 0)
		goto out;
	if (size.sequence == 0)
		rc = qosid_error(err, QOSID_ERR_USAGE, "nothing was published since this generation began");
	else if ((rc = restart(&round, err)) == 0)
		exchange->report.restarts++;
out:
	dictionary_use_end(&round.use);
	replica_rollback(exchange->replica);
	return rc != 0 ? rc : archive_drop_all(exchange, err);
}

int generation_check(struct exchange *exchange, struct qosid_errbuf *err)
{
	const struct exchange_generations *limits = &exchange->generations;
	struct replica_position size;
	struct log_point point;
	bool due = false;
	struct log log;
	int rc;

	log_init(&log, LOG_OFFICE, exchange->office);
	if ((rc = log_read_point(exchange->replica, &log, &point, err)) != 0 || point.sequence == 0 ||
	    (rc = read_size(exchange, &log, &point, &size, err)) != 0)
		return rc;
	if (limits->bytes > 0)
		due = size.sequence >= limits->bytes && size.sequence >= size.time;
	if (!due && limits->days > 0 && size.sequence > 0)
		due = read_age(exchange, &log, &point) / DAY_SECONDS >= limits->days;
	return due && find_newcomer(exchange) == NULL ? exchange_restart(exchange, err)
						      : archive_drop_all(exchange, err);
}
