/*
 * Roster logs in the repository: rebuilding the roster from its pinned root, extending it by what any steward has
 * written, and adding to the own log.
 *
 * The roster is small and decides everything else, so no derived state of it is stored: each program that opens a space
 * verifies it again from the first commit. Logs wait for each other's operations, so they are read in turns until none
 * gets further. When a steward has signed two operations of one sequence, the second one stands under
 * refs/qosid/forks/roster/<steward> as evidence, and is read as well: with both, that steward's log has no effect from
 * there on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sync/exchange/exchange.h"

#define EPOCH_FILE_MAX (2u << 20) /* an age header for LIMIT_MEMBERS recipients is about 100 KiB, a key 256 bytes */
#define FORKS "refs/qosid/forks/"

struct roster_logs {
	struct place {
		struct log log;
		struct log_point point;
	} * places;
	size_t count;
	git_oid *commits, *trees; /* of the roster's operations, by index */
	size_t operations;
};

int roster_logs_create(struct roster_logs **out, struct qosid_errbuf *err)
{
	*out = calloc(1, sizeof(**out));
	return *out != NULL ? 0 : qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the roster");
}

void roster_logs_free(struct roster_logs *logs)
{
	if (logs == NULL)
		return;
	free(logs->places);
	free(logs->commits);
	free(logs->trees);
	free(logs);
}

static struct place *find_place(const struct roster_logs *logs, const char *steward)
{
	for (size_t i = 0; i < logs->count; i++) {
		if (strcmp(logs->places[i].log.office, steward) == 0)
			return &logs->places[i];
	}
	return NULL;
}

void roster_log_read_point(const struct exchange *exchange, const char *steward, struct log_point *out)
{
	const struct place *place = find_place(exchange->logs, steward);

	*out = place != NULL ? place->point : (struct log_point){0};
}

static int set_point(
    struct roster_logs *logs, const struct log *log, const struct log_point *point, struct qosid_errbuf *err)
{
	struct place *place = find_place(logs, log->office);
	void *grown;

	if (place == NULL) {
		grown = reallocarray(logs->places, logs->count + 1, sizeof(*logs->places));
		if (grown == NULL)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the roster");
		logs->places = grown;
		place = &logs->places[logs->count++];
		place->log = *log;
	}
	place->point = *point;
	return 0;
}

/* Room for one operation more. */
static int make_room(struct roster_logs *logs, struct qosid_errbuf *err)
{
	void *grown = reallocarray(logs->commits, logs->operations + 1, sizeof(git_oid));

	if (grown != NULL) {
		logs->commits = grown;
		grown = reallocarray(logs->trees, logs->operations + 1, sizeof(git_oid));
	}
	if (grown == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the roster");
	logs->trees = grown;
	return 0;
}

const git_oid *roster_log_find_commit(const struct exchange *exchange, size_t index)
{
	return index < exchange->logs->operations ? &exchange->logs->commits[index] : NULL;
}

static struct log_rules rules_of(const struct exchange *exchange)
{
	return (struct log_rules){exchange->space, exchange->roster, exchange->root, exchange->steward};
}

/* Read epochs/<number>.age from the tree of a roster commit. */
static int read_epoch_file(
    struct repo *repo, const git_oid *tree, int64_t number, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct repo_entry entries[LIMIT_TREE_ENTRIES];
	struct qosid_buf raw = {0};
	char name[32];
	const char *wanted = "epochs";
	git_oid id = *tree;
	size_t count = 0;
	int rc = 0;

	(void)snprintf(name, sizeof(name), "%" PRId64 ".age", number);
	for (int level = 0; level < 2 && rc == 0; level++) {
		size_t i;

		qosid_buf_reset(&raw);
		if ((rc = repo_read(repo, &id, GIT_OBJECT_TREE, LIMIT_MESSAGE_BYTES, &raw, err)) != 0 ||
		    (rc = repo_parse_tree(&raw, entries, &count, err)) != 0)
			break;
		for (i = 0; i < count; i++) {
			if (strcmp(entries[i].name, wanted) == 0 && entries[i].is_tree == (level == 0))
				break;
		}
		if (i == count)
			rc = qosid_error(err, QOSID_ERR_NOTFOUND, "the roster commit has no epochs/%s", name);
		else
			git_oid_cpy(&id, &entries[i].id);
		wanted = name;
	}
	if (rc == 0)
		rc = repo_read(repo, &id, GIT_OBJECT_BLOB, EPOCH_FILE_MAX, out, err);
	qosid_buf_free(&raw);
	return rc;
}

/* The wrapped key in the commit's tree must be the one that the operation names. */
static int check_epoch_file(
    struct exchange *exchange, const git_oid *tree, const struct qosid_buf *operation, struct qosid_errbuf *err)
{
	struct qosid_buf file = {0};
	struct roster_epoch epoch = {0};
	uint8_t digest[DIGEST_BYTES];
	int rc = roster_parse_epoch(&epoch, operation->data, operation->len, err);

	if (rc != 0 || epoch.number == 0)
		return rc;
	rc = read_epoch_file(exchange->repo, tree, epoch.number, &file, err);
	if (rc == 0) {
		digest_compute(digest, file.data, file.len);
		if (memcmp(digest, epoch.file_digest, DIGEST_BYTES) != 0)
			rc = qosid_error(err, QOSID_ERR_REFUSED,
			    "epochs/%" PRId64 ".age is not what the operation says", epoch.number);
	}
	qosid_buf_free(&file);
	return rc;
}

/* Verify one roster commit after point and take its operation in. */
static int take_commit(struct exchange *exchange, const struct log *log, struct log_point *point, const git_oid *id,
    const char **cause, struct qosid_errbuf *err)
{
	struct log_rules rules = rules_of(exchange);
	uint8_t signer[SIGNING_PUBLIC_BYTES];
	struct log_point next = *point;
	struct qosid_buf operation = {0};
	struct commit commit = {0};
	int rc;

	if ((rc = log_verify_next(exchange->repo, log, &rules, &next, id, &commit, &operation, cause, err)) != 0)
		goto out;
	*cause = "epoch";
	if ((rc = check_epoch_file(exchange, &commit.tree, &operation, err)) != 0)
		goto out;
	*cause = "operation";
	if ((rc = make_room(exchange->logs, err)) != 0 ||
	    (rc = roster_expected_signer(exchange->roster, log->office, operation.data, operation.len, signer, err)) !=
		0 ||
	    (rc = roster_add_operation(
		 exchange->roster, log->office, next.sequence, signer, operation.data, operation.len, err)) != 0)
		goto out;
	if (roster_operation_count(exchange->roster) > exchange->logs->operations) {
		exchange->logs->commits[exchange->logs->operations] = *id;
		exchange->logs->trees[exchange->logs->operations++] = commit.tree;
	}
	*point = next;
out:
	commit_free(&commit);
	qosid_buf_free(&operation);
	return rc;
}

/* ---- forks ---- */

static int read_chain(struct repo *repo, const git_oid *tip, struct log_chain *chain, struct qosid_errbuf *err)
{
	const struct log_point start = {0};
	enum log_relation relation;

	return log_compare(repo, &start, tip, &relation, chain, err);
}

/* The point before number index of a chain that has been verified. */
static int point_before(struct exchange *exchange, const struct log_chain *chain, size_t index, struct log_point *out,
    struct qosid_errbuf *err)
{
	struct qosid_buf raw = {0};
	int rc;

	*out = (struct log_point){0};
	if (index == 0)
		return 0;
	rc = repo_read(exchange->repo, &chain->ids[index - 1], GIT_OBJECT_COMMIT, LIMIT_COMMIT_BYTES, &raw, err);
	if (rc == 0)
		digest_compute(out->digest, raw.data, raw.len);
	out->sequence = (int64_t)index;
	out->commit = chain->ids[index - 1];
	qosid_buf_free(&raw);
	return rc;
}

/* Take in the first commit of a second history, whose tip this is, as evidence against its steward. *id is that commit.
 * Whatever in it does not hold proves nothing, and is not taken in. */
static int take_fork(
    struct exchange *exchange, const struct log *log, const git_oid *tip, git_oid *id, struct qosid_errbuf *err)
{
	struct log_chain ours = {0}, theirs = {0};
	struct log_point point, known;
	const char *cause;
	size_t common = 0;
	int rc;

	roster_log_read_point(exchange, log->office, &known);
	if (known.sequence == 0)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "there is no first history of %s", log->name);
	if ((rc = read_chain(exchange->repo, &known.commit, &ours, err)) != 0 ||
	    (rc = read_chain(exchange->repo, tip, &theirs, err)) != 0)
		goto out;
	while (common < ours.count && common < theirs.count && git_oid_equal(&ours.ids[common], &theirs.ids[common]))
		common++;
	if (common == theirs.count || common == ours.count) {
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "%s has one history", log->name);
		goto out;
	}
	*id = theirs.ids[common];
	if ((rc = point_before(exchange, &ours, common, &point, err)) == 0)
		rc = take_commit(exchange, log, &point, id, &cause, err);
out:
	log_chain_free(&ours);
	log_chain_free(&theirs);
	return rc;
}

/* Keep the evidence where exchange_load() finds it. A second root is against the pin and needs none. */
static int keep_fork(struct exchange *exchange, const struct log *log, const git_oid *tip, struct qosid_errbuf *err)
{
	char ref[LOG_REF_SIZE + sizeof(FORKS)];
	git_oid id, old;
	int rc;

	if (take_fork(exchange, log, tip, &id, NULL) != 0)
		return 0;
	(void)snprintf(ref, sizeof(ref), FORKS "%s", log->name);
	rc = repo_read_ref(exchange->repo, ref, &old, NULL);
	return rc == 0 ? 0 : repo_update_ref(exchange->repo, ref, NULL, &id, err);
}

/* ---- reading ---- */

/* Take in a log's commits up to tip. fault and *cause say why it stopped short: with QOSID_ERR_WAITING another log must
 * be read first. */
static int extend_to(struct exchange *exchange, const struct log *log, const git_oid *tip, const char **cause,
    struct qosid_errbuf *fault)
{
	struct log_rules rules = rules_of(exchange);
	struct log_chain chain = {0};
	struct log_point point;
	enum log_relation relation;
	int rc;

	*cause = "damage";
	roster_log_read_point(exchange, log->office, &point);
	if ((rc = log_compare(exchange->repo, &point, tip, &relation, &chain, fault)) != 0)
		goto out;
	if (relation == LOG_DIVERGED) {
		*cause = log_is_signed(exchange->repo, log, &rules, tip) ? "fork" : "chain";
		rc = qosid_error(fault, QOSID_ERR_REFUSED,
		    "it does not continue the roster that was verified up to %lld%s", (long long)point.sequence,
		    strcmp(*cause, "fork") == 0 ? ", and the steward has signed both" : "");
	}
	for (size_t i = 0; rc == 0 && i < chain.count; i++) {
		if ((rc = take_commit(exchange, log, &point, &chain.ids[i], cause, fault)) == 0)
			rc = set_point(exchange->logs, log, &point, fault);
	}
out:
	log_chain_free(&chain);
	return rc;
}

/* Roster logs of the own repository. */
struct held {
	struct held_log {
		struct log log;
		git_oid tip;
	} * logs;
	size_t count;
	size_t prefix; /* of the ref names, to be skipped */
};

static int add_held(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err)
{
	struct held *held = context;
	struct log log;
	void *grown;

	if (strlen(name) <= held->prefix || log_parse(&log, name + held->prefix, NULL) != 0 || log.kind != LOG_ROSTER)
		return 0;
	grown = reallocarray(held->logs, held->count + 1, sizeof(*held->logs));
	if (grown == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the roster");
	held->logs = grown;
	held->logs[held->count].log = log;
	held->logs[held->count++].tip = *id;
	return 0;
}

static int list_held(struct repo *repo, const char *prefix, struct held *held, struct qosid_errbuf *err)
{
	held->prefix = strlen(prefix);
	return repo_visit_refs(repo, prefix, add_held, held, err);
}

static int own_damage(int rc, const struct log *log, struct qosid_errbuf *err)
{
	qosid_error_hint(err, "this office's own copy of the roster is damaged: restore log.git from a backup");
	(void)qosid_error_within(err, "%s", log->name);
	return rc;
}

/* Read all logs in turns, as far as they go. */
static int read_held(struct exchange *exchange, const struct held *held, struct qosid_errbuf *err)
{
	const struct held_log *waiting;
	const char *cause;
	size_t before;
	int rc;

	do {
		before = roster_operation_count(exchange->roster);
		waiting = NULL;
		for (size_t i = 0; i < held->count; i++) {
			qosid_error_clear(err);
			rc = extend_to(exchange, &held->logs[i].log, &held->logs[i].tip, &cause, err);
			if (rc == QOSID_ERR_WAITING)
				waiting = &held->logs[i];
			else if (rc != 0)
				return own_damage(rc, &held->logs[i].log, err);
		}
	} while (waiting != NULL && roster_operation_count(exchange->roster) > before);
	if (waiting != NULL)
		return own_damage(QOSID_ERR_CORRUPT, &waiting->log, err);
	return 0;
}

int exchange_load(struct exchange *exchange, struct qosid_errbuf *err)
{
	struct held held = {0}, forks = {0};
	git_oid id;
	int rc;

	if ((rc = list_held(exchange->repo, "refs/heads/", &held, err)) != 0 ||
	    (rc = list_held(exchange->repo, "refs/qosid/verified/", &held, err)) != 0 ||
	    (rc = list_held(exchange->repo, FORKS, &forks, err)) != 0 || (rc = read_held(exchange, &held, err)) != 0)
		goto out;
	for (size_t i = 0; i < forks.count; i++) /* what is no evidence any more is none */
		(void)take_fork(exchange, &forks.logs[i].log, &forks.logs[i].tip, &id, NULL);
out:
	free(held.logs);
	free(forks.logs);
	return rc;
}

void exchange_choose_identity(struct exchange *exchange)
{
	const struct roster_member *me = roster_find_member(exchange->roster, -1, exchange->office);

	if (me != NULL && exchange->next != NULL &&
	    memcmp(me->signing_public, identity_signing_public(exchange->next), SIGNING_PUBLIC_BYTES) == 0)
		exchange->identity = exchange->next;
}

bool roster_log_is_expected(const struct exchange *exchange, const char *office)
{
	struct roster_entry entry;

	if (strcmp(office, exchange->steward) == 0)
		return true;
	for (size_t i = 0; i < roster_operation_count(exchange->roster); i++) {
		roster_read_entry(exchange->roster, i, &entry);
		if ((entry.roles & ROLE_STEWARD) != 0 && strcmp(entry.office, office) == 0)
			return true;
	}
	return false;
}

static int find_fork(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	(void)err;
	return finding->stops && strcmp(finding->log, context) == 0 ? 1 : 0;
}

int roster_log_extend(
    struct exchange *exchange, const struct log *log, const git_oid *tip, const char *remote, struct qosid_errbuf *err)
{
	struct qosid_errbuf fault = {0};
	struct log_point before, after;
	char ref[LOG_REF_SIZE], name[LOG_REF_SIZE];
	const char *cause = NULL;
	git_oid old;
	bool fork;
	int rc, failed;

	exchange_name_finding(name, log, NULL);
	rc = replica_visit_findings(exchange->replica, find_fork, name, err);
	if (rc != 0) { /* after a fork nothing more is taken in, until people have decided */
		exchange->report.findings += rc > 0;
		exchange->report.stopped += rc > 0;
		return rc < 0 ? rc : 0;
	}
	roster_log_read_point(exchange, log->office, &before);
	failed = extend_to(exchange, log, tip, &cause, &fault);
	roster_log_read_point(exchange, log->office, &after);
	if (failed == QOSID_ERR_WAITING) {
		exchange->report.waiting++;
	} else if (failed != 0) {
		fork = strcmp(cause, "fork") == 0;
		if (fork)
			rc = keep_fork(exchange, log, tip, err);
		if (rc == 0)
			rc = exchange_note_finding(
			    exchange, log, fork ? NULL : remote, after.sequence + 1, tip, cause, true, &fault, err);
	} else {
		rc = exchange_clear_findings(exchange, log, remote, err);
	}
	if (rc != 0 || after.sequence == before.sequence)
		return rc;
	log_format_tip(ref, log, exchange->office);
	rc = repo_read_ref(exchange->repo, ref, &old, err);
	if (rc != 0 && rc != QOSID_ERR_NOTFOUND)
		return rc;
	return repo_update_ref(exchange->repo, ref, rc == 0 ? &old : NULL, &after.commit, err);
}

/* ---- writing ---- */

/* Forget the roster and read it again: an operation is in it that did not reach the disk. */
static void reload(struct exchange *exchange)
{
	struct roster_logs *logs = NULL;
	struct roster *roster = NULL;

	if (roster_create(&roster, NULL) != 0 || roster_logs_create(&logs, NULL) != 0) {
		roster_free(roster);
		return; /* opening the space again will help */
	}
	roster_free(exchange->roster);
	roster_logs_free(exchange->logs);
	exchange->roster = roster;
	exchange->logs = logs;
	(void)exchange_load(exchange, NULL);
}

/* The folder with the one epoch file. */
static int write_epoch(struct repo *repo, const struct qosid_buf *wrapped, int64_t epoch, struct repo_entry *folder,
    struct qosid_errbuf *err)
{
	struct qosid_buf tree = {0};
	char name[32];
	struct repo_entry file = {.name = name};
	int rc;

	(void)snprintf(name, sizeof(name), "%" PRId64 ".age", epoch);
	*folder = (struct repo_entry){.name = "epochs", .is_tree = true};
	if ((rc = repo_write(repo, GIT_OBJECT_BLOB, wrapped->data, wrapped->len, &file.id, err)) == 0 &&
	    (rc = repo_format_tree(&tree, &file, 1, err)) == 0)
		rc = repo_write(repo, GIT_OBJECT_TREE, tree.data, tree.len, &folder->id, err);
	qosid_buf_free(&tree);
	return rc;
}

int roster_log_append(struct exchange *exchange, const struct qosid_buf *operation, const struct qosid_buf *wrapped,
    int64_t epoch, const char *subject, struct qosid_errbuf *err)
{
	struct log_point before, point;
	struct repo_entry folder;
	struct commit commit = {0};
	char ref[LOG_REF_SIZE];
	struct log log;
	int rc;

	log_init(&log, LOG_ROSTER, exchange->office);
	roster_log_read_point(exchange, exchange->office, &before);
	point = before;
	commit.subject = strdup(subject);
	commit.time = (int64_t)time(NULL);
	if (commit.subject == NULL) {
		rc = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
		goto out;
	}
	if ((epoch > 0 && (rc = write_epoch(exchange->repo, wrapped, epoch, &folder, err)) != 0) ||
	    (rc = make_room(exchange->logs, err)) != 0 ||
	    (rc = log_append(exchange->repo, &log, exchange->space, exchange->identity, &point, &commit, operation,
		 &folder, epoch > 0, err)) != 0)
		goto out;
	/* Judge it as everybody else will, before it can be seen by anybody. */
	if ((rc = roster_add_operation(exchange->roster, exchange->office, point.sequence,
		 identity_signing_public(exchange->identity), operation->data, operation->len, err)) != 0)
		goto out;
	log_format_head(ref, &log);
	if ((rc = repo_flush(exchange->repo, err)) != 0 ||
	    (rc = repo_update_ref(
		 exchange->repo, ref, before.sequence == 0 ? NULL : &before.commit, &point.commit, err)) != 0 ||
	    (rc = set_point(exchange->logs, &log, &point, err)) != 0) {
		reload(exchange);
		goto out;
	}
	if (exchange->logs->operations == 0)
		memcpy(exchange->root, point.digest, DIGEST_BYTES);
	exchange->logs->commits[exchange->logs->operations] = point.commit;
	exchange->logs->trees[exchange->logs->operations++] = commit.tree;
out:
	commit_free(&commit);
	return rc;
}

int roster_log_read_epoch(struct exchange *exchange, size_t index, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct roster_entry entry;

	if (index >= exchange->logs->operations)
		return qosid_error(err, QOSID_ERR_WAITING, "the roster has not arrived");
	roster_read_entry(exchange->roster, index, &entry);
	return read_epoch_file(exchange->repo, &exchange->logs->trees[index], entry.epoch.number, out, err);
}
