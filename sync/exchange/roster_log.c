/*
 * Roster logs in the repository: rebuilding the roster from its pinned root, extending it, and adding to the own one.
 *
 * The roster is small and decides everything else, so no derived state of it is stored: each program that opens a space
 * verifies it again from the first commit.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sync/exchange/exchange.h"

#define EPOCH_FILE_MAX (512u << 10) /* an age header for LIMIT_MEMBERS recipients is about 100 KiB */

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

/* The wrapped keys in the commit's tree must be those that the operation, now in the roster, names. */
static int check_epoch_files(struct exchange *exchange, const git_oid *tree, struct qosid_errbuf *err)
{
	struct qosid_buf file = {0};
	uint8_t digest[DIGEST_BYTES];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < roster_epoch_count(exchange->roster, -1); i++) {
		const struct roster_epoch *epoch = roster_epoch_at(exchange->roster, -1, i);

		qosid_buf_reset(&file);
		if ((rc = read_epoch_file(exchange->repo, tree, epoch->number, &file, err)) != 0)
			break;
		digest_compute(digest, file.data, file.len);
		if (memcmp(digest, epoch->file_digest, DIGEST_BYTES) != 0)
			rc = qosid_error(err, QOSID_ERR_REFUSED,
			    "epochs/%" PRId64 ".age is not what the operation says", epoch->number);
	}
	qosid_buf_free(&file);
	return rc;
}

/* Verify one roster commit after point and take its operation in. */
static int take_commit(struct exchange *exchange, const struct log *log, struct log_point *point, const git_oid *id,
    const char **cause, struct qosid_errbuf *err)
{
	struct log_rules rules = {exchange->space, exchange->roster, exchange->root};
	uint8_t signer[SIGNING_PUBLIC_BYTES];
	struct log_point next = *point;
	struct qosid_buf operation = {0};
	struct commit commit = {0};
	int rc;

	if ((rc = log_verify_next(exchange->repo, log, &rules, &next, id, &commit, &operation, cause, err)) != 0)
		goto out;
	*cause = "operation";
	if ((rc = roster_expected_signer(exchange->roster, log->office, operation.data, operation.len, signer, err)) !=
		0 ||
	    (rc = roster_add_operation(
		 exchange->roster, log->office, next.sequence, signer, operation.data, operation.len, err)) != 0)
		goto out;
	/* The operation is in; a steward whose files do not fit it has made the space unreadable, which the finding
	 * says. */
	*cause = "epoch";
	if ((rc = check_epoch_files(exchange, &commit.tree, err)) != 0)
		goto out;
	*point = next;
out:
	commit_free(&commit);
	qosid_buf_free(&operation);
	return rc;
}

/* Forget the roster and build it again up to where it stood: an operation is in it whose commit turned out not to hold.
 */
static int rebuild(struct exchange *exchange, const struct log *log, struct qosid_errbuf *err)
{
	git_oid good = exchange->roster_point.commit;
	bool empty = exchange->roster_point.sequence == 0;
	struct log_chain chain = {0};
	enum log_relation relation;
	struct roster *fresh;
	const char *cause;
	int rc;

	if ((rc = roster_create(&fresh, err)) != 0)
		return rc;
	roster_free(exchange->roster);
	exchange->roster = fresh;
	exchange->roster_point = (struct log_point){0};
	if (!empty)
		rc = log_compare(exchange->repo, &exchange->roster_point, &good, &relation, &chain, err);
	for (size_t i = 0; rc == 0 && i < chain.count; i++)
		rc = take_commit(exchange, log, &exchange->roster_point, &chain.ids[i], &cause, err);
	log_chain_free(&chain);
	return rc;
}

/* Take in the commits from the roster's point to tip. fault and *cause say why it stopped short; the roster is good up
 * to its point. */
static int extend_to(struct exchange *exchange, const struct log *log, const git_oid *tip, const char **cause,
    struct qosid_errbuf *fault)
{
	struct log_rules rules = {exchange->space, exchange->roster, exchange->root};
	struct log_chain chain = {0};
	enum log_relation relation;
	int rc;

	*cause = "damage";
	if ((rc = log_compare(exchange->repo, &exchange->roster_point, tip, &relation, &chain, fault)) != 0)
		goto out;
	if (relation == LOG_DIVERGED) {
		*cause = log_is_signed(exchange->repo, log, &rules, tip) ? "fork" : "chain";
		rc = qosid_error(fault, QOSID_ERR_REFUSED,
		    "it does not continue the roster that was verified up to %lld%s",
		    (long long)exchange->roster_point.sequence,
		    strcmp(*cause, "fork") == 0 ? ", and the steward has signed both" : "");
	}
	for (size_t i = 0; rc == 0 && i < chain.count; i++)
		rc = take_commit(exchange, log, &exchange->roster_point, &chain.ids[i], cause, fault);
	if (rc != 0 && strcmp(*cause, "epoch") == 0 && rebuild(exchange, log, NULL) != 0)
		*cause =
		    "damage"; /* the own repository has become unreadable meanwhile; opening it again will say how */
out:
	log_chain_free(&chain);
	return rc;
}

int exchange_load(struct exchange *exchange, struct qosid_errbuf *err)
{
	const char *cause;
	char ref[LOG_REF_SIZE];
	struct log log;
	git_oid tip;
	int rc;

	log_init(&log, LOG_ROSTER, exchange->steward);
	log_format_tip(ref, &log, exchange->office);
	rc = repo_read_ref(exchange->repo, ref, &tip, err);
	if (rc == QOSID_ERR_NOTFOUND) { /* a joiner who has not synced yet */
		qosid_error_clear(err);
		return 0;
	}
	if (rc == 0 && (rc = extend_to(exchange, &log, &tip, &cause, err)) != 0) {
		qosid_error_hint(err, "this office's own copy of the roster is damaged: restore log.git from a backup");
		(void)qosid_error_within(err, "%s", ref);
	}
	return rc;
}

static int find_fork(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	(void)err;
	return finding->stops && strcmp(finding->log, context) == 0 ? 1 : 0;
}

int roster_log_extend(
    struct exchange *exchange, const struct log *log, const git_oid *tip, const char *remote, struct qosid_errbuf *err)
{
	int64_t before = exchange->roster_point.sequence;
	struct qosid_errbuf fault = {0};
	char ref[LOG_REF_SIZE], name[LOG_REF_SIZE];
	const char *cause = NULL;
	bool fork;
	git_oid old;
	int rc;

	exchange_name_finding(name, log, NULL);
	rc = replica_visit_findings(exchange->replica, find_fork, name, err);
	if (rc != 0) { /* after a fork nothing more is taken in, until people have decided */
		exchange->report.findings += rc > 0;
		exchange->report.stopped += rc > 0;
		return rc < 0 ? rc : 0;
	}
	if (extend_to(exchange, log, tip, &cause, &fault) != 0) {
		fork = strcmp(cause, "fork") == 0;
		rc = exchange_note_finding(exchange, log, fork ? NULL : remote, exchange->roster_point.sequence + 1,
		    tip, cause, true, &fault, err);
	} else
		rc = exchange_clear_findings(exchange, log, remote, err);
	if (rc != 0 || exchange->roster_point.sequence == before)
		return rc;
	log_format_tip(ref, log, exchange->office);
	rc = repo_read_ref(exchange->repo, ref, &old, err);
	if (rc != 0 && rc != QOSID_ERR_NOTFOUND)
		return rc;
	return repo_update_ref(exchange->repo, ref, rc == 0 ? &old : NULL, &exchange->roster_point.commit, err);
}

int roster_log_append(struct exchange *exchange, const struct qosid_buf *operation, const struct qosid_buf *wrapped,
    const int64_t *epochs, size_t epoch_count, const char *subject, struct qosid_errbuf *err)
{
	struct repo_entry files[LIMIT_TREE_ENTRIES], folder = {.name = "epochs", .is_tree = true};
	char names[LIMIT_TREE_ENTRIES][32], ref[LOG_REF_SIZE], *text = NULL;
	struct commit commit = {0};
	struct qosid_buf tree = {0};
	struct log_point point = exchange->roster_point;
	bool first = point.sequence == 0, taken = false;
	struct log log;
	int rc;

	if (epoch_count > LIMIT_TREE_ENTRIES)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "a roster commit carries at most %u epochs", LIMIT_TREE_ENTRIES);
	log_init(&log, LOG_ROSTER, exchange->office);
	for (size_t i = 0; i < epoch_count; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%" PRId64 ".age", epochs[i]);
		files[i] = (struct repo_entry){.name = names[i]};
		if ((rc = repo_write(
			 exchange->repo, GIT_OBJECT_BLOB, wrapped[i].data, wrapped[i].len, &files[i].id, err)) != 0)
			goto out;
	}
	if ((rc = repo_format_tree(&tree, files, epoch_count, err)) != 0 ||
	    (rc = repo_write(exchange->repo, GIT_OBJECT_TREE, tree.data, tree.len, &folder.id, err)) != 0)
		goto out;
	text = strdup(subject);
	if (text == NULL) {
		rc = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
		goto out;
	}
	commit.subject = text;
	commit.time = (int64_t)time(NULL);
	if ((rc = log_append(exchange->repo, &log, exchange->space, exchange->identity, &point, &commit, operation,
		 &folder, 1, err)) != 0)
		goto out;
	/* Judge it as everybody else will, before it can be seen by anybody. */
	if ((rc = roster_add_operation(exchange->roster, exchange->office, point.sequence,
		 identity_signing_public(exchange->identity), operation->data, operation->len, err)) != 0)
		goto out;
	taken = true;
	if (first)
		memcpy(exchange->root, point.digest, DIGEST_BYTES);
	log_format_head(ref, &log);
	if ((rc = repo_flush(exchange->repo, err)) != 0 ||
	    (rc = repo_update_ref(
		 exchange->repo, ref, first ? NULL : &exchange->roster_point.commit, &point.commit, err)) != 0)
		goto out;
	exchange->roster_point = point;
	taken = false;
out:
	if (taken &&
	    !first) /* it is in the roster, but not on disk; if this fails too, opening the space again will help */
		(void)rebuild(exchange, &log, NULL);
	commit_free(&commit);
	qosid_buf_free(&tree);
	return rc;
}

int roster_log_read_epoch(struct exchange *exchange, int64_t number, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct qosid_buf raw = {0}, signature = {0}, payload = {0};
	struct commit commit = {0};
	int rc;

	if (exchange->roster_point.sequence == 0)
		return qosid_error(err, QOSID_ERR_WAITING, "the roster has not arrived");
	if ((rc = repo_read(exchange->repo, &exchange->roster_point.commit, GIT_OBJECT_COMMIT, LIMIT_COMMIT_BYTES, &raw,
		 err)) == 0 &&
	    (rc = commit_parse(&commit, raw.data, raw.len, &signature, &payload, err)) == 0)
		rc = read_epoch_file(exchange->repo, &commit.tree, number, out, err);
	commit_free(&commit);
	qosid_buf_free(&raw);
	qosid_buf_free(&signature);
	qosid_buf_free(&payload);
	return rc;
}
