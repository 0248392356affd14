/*
 * Logs: see log.h. All that decides whether a commit may follow another is in this file.
 */
#include "sync/exchange/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sshsig.h"

static const struct {
	const char *name;
	const char *payload;
	size_t payload_max;
} kinds[LOG_KINDS] = {
    [LOG_ROSTER] = {"roster", "operation.json", LIMIT_MESSAGE_BYTES},
    [LOG_OFFICE] = {"office", "changes.age", LIMIT_CHANGESET_BYTES},
    [LOG_FILES] = {"files", "part.age", LIMIT_FILE_PART_BYTES + LIMIT_MESSAGE_BYTES},
};

const char *log_kind_name(enum log_kind kind)
{
	return kinds[kind].name;
}

const char *log_payload_name(enum log_kind kind)
{
	return kinds[kind].payload;
}

void log_init(struct log *log, enum log_kind kind, const char *office)
{
	log->kind = kind;
	(void)snprintf(log->office, sizeof(log->office), "%s", office);
	(void)snprintf(log->name, sizeof(log->name), "%s/%s", kinds[kind].name, log->office);
}

int log_parse(struct log *log, const char *name, struct qosid_errbuf *err)
{
	const char *slash = strchr(name, '/');
	int kind, rc;

	for (kind = 0; slash != NULL && kind < LOG_KINDS; kind++) {
		size_t len = strlen(kinds[kind].name);

		if ((size_t)(slash - name) != len || memcmp(name, kinds[kind].name, len) != 0)
			continue;
		rc = slug_check(slash + 1, err);
		if (rc != 0) {
			(void)qosid_error_within(err, "log %s", name);
			return rc;
		}
		log_init(log, (enum log_kind)kind, slash + 1);
		return 0;
	}
	return qosid_error(err, QOSID_ERR_INVALID, "%s is not the name of a log", name);
}

void log_format_head(char out[LOG_REF_SIZE], const struct log *log)
{
	(void)snprintf(out, LOG_REF_SIZE, "refs/heads/%s", log->name);
}

void log_format_verified(char out[LOG_REF_SIZE], const struct log *log)
{
	(void)snprintf(out, LOG_REF_SIZE, "refs/qosid/verified/%s", log->name);
}

void log_format_remote(char out[LOG_REF_SIZE], const struct log *log, const char *remote)
{
	(void)snprintf(out, LOG_REF_SIZE, "refs/remotes/%s/%s", remote, log->name);
}

void log_format_tip(char out[LOG_REF_SIZE], const struct log *log, const char *own_office)
{
	if (strcmp(log->office, own_office) == 0)
		log_format_head(out, log);
	else
		log_format_verified(out, log);
}

int log_read_point(struct replica *replica, const struct log *log, struct log_point *out, struct qosid_errbuf *err)
{
	struct replica_position position = {0};
	int rc;

	*out = (struct log_point){0};
	if ((rc = replica_read_position(replica, log->name, &position, err)) != 0)
		return rc;
	if (position.sequence == 0)
		return 0;
	if (git_oid_fromstr(&out->commit, position.commit) != 0)
		return qosid_error(err, QOSID_ERR_CORRUPT, "the replica's position of %s is damaged", log->name);
	out->sequence = position.sequence;
	out->time = position.time;
	memcpy(out->digest, position.digest, DIGEST_BYTES);
	return 0;
}

int log_put_point(
    struct replica *replica, const struct log *log, const struct log_point *point, struct qosid_errbuf *err)
{
	struct replica_position position = {.sequence = point->sequence, .time = point->time};

	git_oid_tostr(position.commit, sizeof(position.commit), &point->commit);
	memcpy(position.digest, point->digest, DIGEST_BYTES);
	return replica_put_position(replica, log->name, &position, err);
}

int log_read_commit(struct repo *repo, const git_oid *id, struct commit *commit, struct qosid_errbuf *err)
{
	struct qosid_buf raw = {0}, signature = {0}, signed_bytes = {0};
	int rc = repo_read(repo, id, GIT_OBJECT_COMMIT, LIMIT_COMMIT_BYTES, &raw, err);

	if (rc == 0)
		rc = commit_parse(commit, raw.data, raw.len, &signature, &signed_bytes, err);
	qosid_buf_free(&raw);
	qosid_buf_free(&signature);
	qosid_buf_free(&signed_bytes);
	return rc;
}

static void take_generation(struct log_point *point, const struct commit *commit)
{
	point->generation = commit->generation;
	point->in_snapshot = commit->snapshot == SNAPSHOT_FIRST || commit->snapshot == SNAPSHOT_PART;
}

int log_read_generation(struct repo *repo, struct log_point *point, struct qosid_errbuf *err)
{
	struct commit commit = {0};
	int rc;

	if (point->generation != 0)
		return 0;
	if (point->sequence == 0) {
		point->generation = 1;
		return 0;
	}
	if ((rc = log_read_commit(repo, &point->commit, &commit, err)) == 0)
		take_generation(point, &commit);
	commit_free(&commit);
	return rc;
}

/* What may stand beside the payload in the tree. */
static bool is_beside(const struct log *log, const struct commit *commit, const struct repo_entry *entry)
{
	if (log->kind == LOG_ROSTER)
		return strcmp(entry->name, "epochs") == 0 && entry->is_tree;
	return commit->brings_dictionary && strcmp(entry->name, LOG_DICTIONARY_NAME) == 0 && !entry->is_tree;
}

/* The payload's entry of the tree: alone, but for the epochs folder that a roster commit may have, and the dictionary
 * that a change set may bring. */
static int read_payload(struct repo *repo, const struct log *log, const struct commit *commit,
    struct qosid_buf *payload, struct qosid_errbuf *err)
{
	struct repo_entry entries[LIMIT_TREE_ENTRIES];
	struct qosid_buf tree = {0};
	size_t count = 0, found = LIMIT_TREE_ENTRIES;
	int rc;

	if ((rc = repo_read(repo, &commit->tree, GIT_OBJECT_TREE, LIMIT_MESSAGE_BYTES, &tree, err)) != 0 ||
	    (rc = repo_parse_tree(&tree, entries, &count, err)) != 0)
		goto out;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(entries[i].name, kinds[log->kind].payload) == 0 && !entries[i].is_tree)
			found = i;
		else if (!is_beside(log, commit, &entries[i])) {
			rc = qosid_error(
			    err, QOSID_ERR_INVALID, "the tree holds %s, which does not belong there", entries[i].name);
			goto out;
		}
	}
	if (found == LIMIT_TREE_ENTRIES)
		rc = qosid_error(err, QOSID_ERR_INVALID, "the tree holds no %s", kinds[log->kind].payload);
	else
		rc = repo_read(repo, &entries[found].id, GIT_OBJECT_BLOB, kinds[log->kind].payload_max, payload, err);
out:
	qosid_buf_free(&tree);
	return rc;
}

int log_read_dictionary(struct repo *repo, const struct commit *commit, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct repo_entry entries[LIMIT_TREE_ENTRIES];
	uint8_t digest[DIGEST_BYTES];
	struct qosid_buf tree = {0};
	size_t count = 0, i = 0;
	int rc;

	qosid_buf_reset(out);
	if ((rc = repo_read(repo, &commit->tree, GIT_OBJECT_TREE, LIMIT_MESSAGE_BYTES, &tree, err)) != 0 ||
	    (rc = repo_parse_tree(&tree, entries, &count, err)) != 0)
		goto out;
	while (i < count && strcmp(entries[i].name, LOG_DICTIONARY_NAME) != 0)
		i++;
	if (i == count) {
		rc = qosid_error(err, QOSID_ERR_INVALID, "the tree holds no %s", LOG_DICTIONARY_NAME);
		goto out;
	}
	if ((rc = repo_read(repo, &entries[i].id, GIT_OBJECT_BLOB, LIMIT_DICTIONARY_SEALED_BYTES, out, err)) != 0)
		goto out;
	digest_compute(digest, out->data, out->len);
	if (memcmp(digest, commit->dictionary_content, DIGEST_BYTES) != 0)
		rc = qosid_error(
		    err, QOSID_ERR_REFUSED, "%s is not what Qosid-Dictionary-Content says", LOG_DICTIONARY_NAME);
out:
	qosid_buf_free(&tree);
	return rc;
}

/* The key that must have signed: for a roster log as the roster says, for others the member's in the state that the
 * commit names, who must have been a writer then. Reads claims of a commit whose signature has not been checked yet. */
static int find_signer(const struct log *log, const struct log_rules *rules, const struct commit *claims,
    const struct qosid_buf *payload, uint8_t signer[SIGNING_PUBLIC_BYTES], const char **cause, struct qosid_errbuf *err)
{
	const struct roster_member *member;
	int64_t state;
	int rc;

	if (log->kind == LOG_ROSTER) {
		*cause = "operation";
		return roster_expected_signer(rules->roster, log->office, payload->data, payload->len, signer, err);
	}
	*cause = "roster";
	if (claims->roster_count == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "the trailer Qosid-Roster is missing");
	if ((rc = roster_find_state(rules->roster, claims->roster, claims->roster_count, &state, err)) != 0)
		return rc;
	member = roster_find_member(rules->roster, state, log->office);
	if (member == NULL || member->roles == 0)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "%s is not a member in the roster state that the commit names", log->office);
	if ((member->roles & ROLE_WRITER) == 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "%s has no right to publish", log->office);
	memcpy(signer, member->signing_public, SIGNING_PUBLIC_BYTES);
	return 0;
}

/* The roster state that the commit at point names, plus one; 0 when that commit is not here any more. */
static int64_t find_state_at(struct repo *repo, const struct log_rules *rules, const struct log_point *point)
{
	struct commit commit = {0};
	int64_t state, found = point->state;

	if (found == 0 && point->sequence > 0 && log_read_commit(repo, &point->commit, &commit, NULL) == 0 &&
	    roster_find_state(rules->roster, commit.roster, commit.roster_count, &state, NULL) == 0)
		found = state + 1;
	commit_free(&commit);
	return found;
}

/* An office that has known a state cannot have acted under an older one later, and publishes under the newest epoch
 * that it knows. */
static int check_state(struct repo *repo, const struct log_rules *rules, const struct log_point *point,
    const struct commit *commit, int64_t *state, const char **cause, struct qosid_errbuf *err)
{
	int64_t before, now;
	int rc;

	if ((rc = roster_find_state(rules->roster, commit->roster, commit->roster_count, &now, err)) != 0)
		return rc;
	before = find_state_at(repo, rules, point);
	*state = now + 1;
	*cause = "roster";
	if (before > 0 && !roster_state_covers(rules->roster, now, before - 1))
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "it names an older roster state than the change set before it, which %s had known", commit->office);
	*cause = "epoch";
	if (commit->epoch != roster_epoch_count(rules->roster, now))
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "it is published under epoch %lld where the roster state it names has epoch %lld",
		    (long long)commit->epoch, (long long)roster_epoch_count(rules->roster, now));
	return 0;
}

/* The same for the commit that a generation begins with. What follows a point at once must link to exactly it; nothing
 * may begin before it; and what begins later is taken without its link, which only the archive can prove. */
static int check_beginning(const struct log *log, const struct log_point *point, const struct commit *commit,
    const char **cause, struct qosid_errbuf *err)
{
	*cause = "generation";
	if (log->kind != LOG_OFFICE)
		return qosid_error(err, QOSID_ERR_REFUSED, "a %s log has no generations", kinds[log->kind].name);
	if (commit->epoch < 1 || commit->file_digest[0] != '\0')
		return qosid_error(err, QOSID_ERR_REFUSED, "its trailers are not those of a change set");
	if (point->sequence == 0)
		return 0;
	if (commit->sequence <= point->sequence || commit->generation <= point->generation)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "generation %lld begins at %lld, but generation %lld was verified up to %lld",
		    (long long)commit->generation, (long long)commit->sequence, (long long)point->generation,
		    (long long)point->sequence);
	if (commit->sequence > point->sequence + 1)
		return 0;
	if (point->in_snapshot)
		return qosid_error(err, QOSID_ERR_REFUSED, "the snapshot before it is not complete");
	if (commit->generation != point->generation + 1 || !git_oid_equal(&commit->archive, &point->commit) ||
	    memcmp(commit->previous, point->digest, DIGEST_BYTES) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "generation %lld does not link to the last commit of generation %lld",
		    (long long)commit->generation, (long long)point->generation);
	return 0;
}

/* What the trailers must say for the commit to be the next one after point. */
static int check_place(const struct log *log, const struct log_rules *rules, const struct log_point *point,
    const struct commit *commit, const char **cause, struct qosid_errbuf *err)
{
	*cause = "place";
	if (strcmp(commit->space, rules->space) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "it belongs to another space, %s", commit->space);
	if (strcmp(commit->office, log->office) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "it names another office, %s", commit->office);
	if (commit_begins(commit))
		return check_beginning(log, point, commit, cause, err);
	*cause = "generation";
	if (point->sequence > 0 && commit->generation != point->generation)
		return qosid_error(err, QOSID_ERR_REFUSED, "it says generation %lld in generation %lld",
		    (long long)commit->generation, (long long)point->generation);
	if ((commit->snapshot != SNAPSHOT_NONE) != point->in_snapshot)
		return qosid_error(err, QOSID_ERR_REFUSED, "%s",
		    point->in_snapshot ? "the snapshot before it is not complete"
				       : "it continues a snapshot that is complete");
	*cause = "sequence";
	if (commit->sequence != point->sequence + 1)
		return qosid_error(err, QOSID_ERR_REFUSED, "its sequence is %lld where %lld must follow",
		    (long long)commit->sequence, (long long)point->sequence + 1);
	*cause = "chain";
	if (commit->has_parent != (point->sequence > 0) ||
	    (commit->has_parent && !git_oid_equal(&commit->parent, &point->commit)))
		return qosid_error(err, QOSID_ERR_REFUSED, "its parent is not the commit before it");
	if (commit->has_parent && memcmp(commit->previous, point->digest, DIGEST_BYTES) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "Qosid-Previous is not the hash of the commit before it");
	if (log->kind != LOG_ROSTER && commit->epoch < 1)
		return qosid_error(err, QOSID_ERR_REFUSED, "the trailer Qosid-Epoch is missing");
	if ((log->kind == LOG_FILES) != (commit->file_digest[0] != '\0'))
		return qosid_error(err, QOSID_ERR_REFUSED, "the trailer Qosid-File %s",
		    log->kind == LOG_FILES ? "is missing" : "does not belong here");
	if (log->kind != LOG_OFFICE && commit->has_dictionary)
		return qosid_error(err, QOSID_ERR_REFUSED, "the trailer Qosid-Dictionary does not belong here");
	return 0;
}

int log_verify_next(struct repo *repo, const struct log *log, const struct log_rules *rules, struct log_point *point,
    const git_oid *id, struct commit *commit, struct qosid_buf *payload, const char **cause, struct qosid_errbuf *err)
{
	uint8_t signer[SIGNING_PUBLIC_BYTES], digest[DIGEST_BYTES], content[DIGEST_BYTES];
	struct qosid_buf raw = {0}, signature = {0}, signed_bytes = {0};
	int64_t state = 0;
	int rc;

	qosid_buf_reset(payload);
	*cause = "damage";
	if ((rc = repo_read(repo, id, GIT_OBJECT_COMMIT, LIMIT_COMMIT_BYTES, &raw, err)) != 0)
		goto out;
	*cause = "form";
	if ((rc = commit_parse(commit, raw.data, raw.len, &signature, &signed_bytes, err)) != 0)
		goto out;
	*cause = "payload";
	if ((rc = read_payload(repo, log, commit, payload, err)) != 0)
		goto out;
	if ((rc = find_signer(log, rules, commit, payload, signer, cause, err)) != 0)
		goto out;
	*cause = "signature";
	if ((rc = sshsig_verify((const char *)signature.data, signature.len, SSHSIG_NAMESPACE_GIT, signed_bytes.data,
		 signed_bytes.len, signer, err)) != 0)
		goto out;
	*cause = "damage";
	if ((rc = log_read_generation(repo, point, err)) != 0 ||
	    (rc = check_place(log, rules, point, commit, cause, err)) != 0)
		goto out;
	if (log->kind != LOG_ROSTER && (rc = check_state(repo, rules, point, commit, &state, cause, err)) != 0)
		goto out;
	digest_compute(digest, raw.data, raw.len);
	if (log->kind == LOG_ROSTER && point->sequence == 0 && strcmp(log->office, rules->steward) == 0 &&
	    memcmp(digest, rules->root, DIGEST_BYTES) != 0) {
		*cause = "root";
		rc = qosid_error(
		    err, QOSID_ERR_REFUSED, "it is not the first roster commit that was pinned when joining");
		goto out;
	}
	*cause = "payload";
	digest_compute(content, payload->data, payload->len);
	if (memcmp(content, commit->content, DIGEST_BYTES) != 0) {
		rc = qosid_error(err, QOSID_ERR_REFUSED, "%s is not what Qosid-Content says", kinds[log->kind].payload);
		goto out;
	}
	if (commit->brings_dictionary && (rc = log_read_dictionary(repo, commit, &signed_bytes, err)) != 0)
		goto out;
	point->sequence = commit->sequence;
	git_oid_cpy(&point->commit, id);
	memcpy(point->digest, digest, DIGEST_BYTES);
	point->time = commit->time;
	point->state = state;
	take_generation(point, commit);
out:
	if (rc != 0) {
		commit_free(commit);
		*commit = (struct commit){0};
		(void)qosid_error_within(err, "%s change set %lld", log->name, (long long)point->sequence + 1);
	}
	qosid_buf_free(&raw);
	qosid_buf_free(&signature);
	qosid_buf_free(&signed_bytes);
	return rc;
}

bool log_is_signed(struct repo *repo, const struct log *log, const struct log_rules *rules, const git_oid *id)
{
	struct qosid_buf raw = {0}, signature = {0}, signed_bytes = {0}, payload = {0};
	uint8_t signer[SIGNING_PUBLIC_BYTES];
	struct commit commit = {0};
	const char *cause;
	bool is_signed;

	is_signed = repo_read(repo, id, GIT_OBJECT_COMMIT, LIMIT_COMMIT_BYTES, &raw, NULL) == 0 &&
		    commit_parse(&commit, raw.data, raw.len, &signature, &signed_bytes, NULL) == 0 &&
		    strcmp(commit.space, rules->space) == 0 && strcmp(commit.office, log->office) == 0 &&
		    (commit.file_digest[0] != '\0') == (log->kind == LOG_FILES) &&
		    (commit.roster_count > 0) == (log->kind != LOG_ROSTER) &&
		    (log->kind != LOG_ROSTER || read_payload(repo, log, &commit, &payload, NULL) == 0) &&
		    find_signer(log, rules, &commit, &payload, signer, &cause, NULL) == 0 &&
		    sshsig_verify((const char *)signature.data, signature.len, SSHSIG_NAMESPACE_GIT, signed_bytes.data,
			signed_bytes.len, signer, NULL) == 0;
	commit_free(&commit);
	qosid_buf_free(&raw);
	qosid_buf_free(&signature);
	qosid_buf_free(&signed_bytes);
	qosid_buf_free(&payload);
	return is_signed;
}

int log_append(struct repo *repo, const struct log *log, const char *space, const struct identity *identity,
    struct log_point *point, struct commit *commit, const struct qosid_buf *payload,
    const struct repo_entry *tree_extra, size_t extra_count, struct qosid_errbuf *err)
{
	struct repo_entry entries[LIMIT_TREE_ENTRIES] = {{.name = kinds[log->kind].payload}};
	struct qosid_buf tree = {0}, raw = {0};
	git_oid id;
	int rc;

	if (extra_count >= LIMIT_TREE_ENTRIES)
		return qosid_error(err, QOSID_ERR_LIMIT, "a tree holds at most %u entries", LIMIT_TREE_ENTRIES);
	for (size_t i = 0; i < extra_count; i++)
		entries[1 + i] = tree_extra[i];
	(void)snprintf(commit->office, sizeof(commit->office), "%s", log->office);
	(void)snprintf(commit->space, sizeof(commit->space), "%s", space);
	if ((rc = log_read_generation(repo, point, err)) != 0)
		return rc;
	commit->sequence = point->sequence + 1;
	commit->generation = point->generation + commit_begins(commit);
	commit->has_parent = point->sequence > 0 && !commit_begins(commit);
	git_oid_cpy(commit_begins(commit) ? &commit->archive : &commit->parent, &point->commit);
	memcpy(commit->previous, point->digest, DIGEST_BYTES);
	digest_compute(commit->content, payload->data, payload->len);
	if ((rc = repo_write(repo, GIT_OBJECT_BLOB, payload->data, payload->len, &entries[0].id, err)) != 0 ||
	    (rc = repo_format_tree(&tree, entries, 1 + extra_count, err)) != 0 ||
	    (rc = repo_write(repo, GIT_OBJECT_TREE, tree.data, tree.len, &commit->tree, err)) != 0 ||
	    (rc = commit_format(&raw, commit, identity, err)) != 0 ||
	    (rc = repo_write(repo, GIT_OBJECT_COMMIT, raw.data, raw.len, &id, err)) != 0)
		goto out;
	point->sequence++;
	git_oid_cpy(&point->commit, &id);
	digest_compute(point->digest, raw.data, raw.len);
	point->time = commit->time;
	point->state = 0;
	take_generation(point, commit);
out:
	qosid_buf_free(&tree);
	qosid_buf_free(&raw);
	return rc;
}
