/*
 * Moving a log into a repository (transfer.h): a walk from the tip back to what the target has, which remembers 20
 * bytes a commit, then a copy from the oldest on.
 *
 * Within a commit the objects are written before what names them, so that a commit in the target, however the copying
 * ended, has all that belongs to it. Only the lines `tree` and `parent` of a commit are read here; anything else about
 * it is for log.h to judge.
 */
#include "sync/exchange/transfer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sync/limits.h"

#define TRANSFER_COMMITS_MAX (16u << 20) /* of one log: more than anyone publishes in a lifetime */
#define TRANSFER_BATCH_BYTES (4u << 20)
#define TRANSFER_BATCH_OBJECTS 6000u

struct transfer {
	const struct transfer_source *source;
	struct repo *target;
	const char *progress;
	const struct transfer_watch *watch;
	git_oid *chain; /* newest first */
	size_t count, cap;
	struct qosid_buf commit, blob;
	uint64_t batch_bytes;
	size_t batch_objects;
	struct transfer_stats stats;
};

/* ---- reading the source ---- */

/* Read an object of the source. Whatever is wrong with it, the text names it, and missing is damage here. */
static int read_source(struct transfer *transfer, const git_oid *id, git_object_t type, size_t limit,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	char hex[GIT_OID_HEXSZ + 1];
	int rc;

	qosid_buf_reset(out);
	rc = transfer->source->read(transfer->source->context, id, type, limit, out, err);
	if (rc != QOSID_ERR_NOTFOUND && rc != QOSID_ERR_IO)
		return rc;
	git_oid_tostr(hex, sizeof(hex), id);
	return qosid_error(err, QOSID_ERR_CORRUPT,
	    "object %s cannot be read in %s: it is missing, or what should hold it is damaged", hex,
	    transfer->source->name);
}

/* Take the line "<name> <id>\n" at *at, when it is there. */
static bool take_id(const char **at, const char *end, const char *name, git_oid *id)
{
	size_t name_len = strlen(name);

	if ((size_t)(end - *at) < name_len + 1 + GIT_OID_HEXSZ + 1 || memcmp(*at, name, name_len) != 0 ||
	    (*at)[name_len] != ' ' || (*at)[name_len + 1 + GIT_OID_HEXSZ] != '\n' ||
	    git_oid_fromstrn(id, *at + name_len + 1, GIT_OID_HEXSZ) != 0)
		return false;
	*at += name_len + 1 + GIT_OID_HEXSZ + 1;
	return true;
}

bool transfer_parse_commit(const struct qosid_buf *raw, git_oid *tree, git_oid *parent, bool *has_parent)
{
	const char *at = (const char *)raw->data;
	git_oid second;

	*has_parent = false;
	if (at == NULL || !take_id(&at, (const char *)raw->data + raw->len, "tree", tree))
		return false;
	*has_parent = take_id(&at, (const char *)raw->data + raw->len, "parent", parent);
	return !*has_parent || !take_id(&at, (const char *)raw->data + raw->len, "parent", &second);
}

/* Read a commit into transfer->commit. *has_parent says whether there is one before it. */
static int read_commit(struct transfer *transfer, const git_oid *id, git_oid *tree, git_oid *parent, bool *has_parent,
    struct qosid_errbuf *err)
{
	char hex[GIT_OID_HEXSZ + 1];
	int rc = read_source(transfer, id, GIT_OBJECT_COMMIT, LIMIT_COMMIT_BYTES, &transfer->commit, err);

	if (rc != 0 || transfer_parse_commit(&transfer->commit, tree, parent, has_parent))
		return rc;
	git_oid_tostr(hex, sizeof(hex), id);
	return qosid_error(err, QOSID_ERR_INVALID, "commit %s in %s %s", hex, transfer->source->name,
	    *has_parent ? "is a merge, which no log has" : "has no tree");
}

static int read_tree(struct transfer *transfer, const git_oid *id, struct qosid_buf *raw, struct repo_entry *entries,
    size_t *count, struct qosid_errbuf *err)
{
	int rc = read_source(transfer, id, GIT_OBJECT_TREE, TRANSFER_TREE_BYTES_MAX, raw, err);

	if (rc == 0)
		rc = repo_parse_tree(raw, entries, count, err);
	if (rc == QOSID_ERR_INVALID || rc == QOSID_ERR_LIMIT) {
		char hex[GIT_OID_HEXSZ + 1];

		git_oid_tostr(hex, sizeof(hex), id);
		(void)qosid_error_within(err, "tree %s", hex);
	}
	return rc;
}

/* ---- the walk ---- */

bool transfer_has_whole(struct repo *repo, const git_oid *id)
{
	struct qosid_buf raw = {0};
	struct repo_entry entries[LIMIT_TREE_ENTRIES];
	git_oid tree, parent;
	size_t count = 0;
	bool whole = false, has_parent;

	if (!repo_has_known(repo, id) || repo_read(repo, id, GIT_OBJECT_COMMIT, LIMIT_COMMIT_BYTES, &raw, NULL) != 0 ||
	    !transfer_parse_commit(&raw, &tree, &parent, &has_parent))
		goto out;
	qosid_buf_reset(&raw);
	if (repo_read(repo, &tree, GIT_OBJECT_TREE, TRANSFER_TREE_BYTES_MAX, &raw, NULL) != 0 ||
	    repo_parse_tree(&raw, entries, &count, NULL) != 0)
		goto out;
	whole = true;
	for (size_t i = 0; i < count && whole; i++)
		whole = repo_has_known(repo, &entries[i].id);
out:
	qosid_buf_free(&raw);
	return whole;
}

static int chain_add(struct transfer *transfer, const git_oid *id, struct qosid_errbuf *err)
{
	if (transfer->count == TRANSFER_COMMITS_MAX)
		return qosid_error(err, QOSID_ERR_LIMIT, "a log of more than %u commits", TRANSFER_COMMITS_MAX);
	if (transfer->count == transfer->cap) {
		size_t cap = transfer->cap == 0 ? 256 : transfer->cap * 2;
		git_oid *grown = realloc(transfer->chain, cap * sizeof(*grown));

		if (grown == NULL)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a log of %zu commits", cap);
		transfer->chain = grown;
		transfer->cap = cap;
	}
	git_oid_cpy(&transfer->chain[transfer->count++], id);
	return 0;
}

/* List what the target lacks. */
static int walk(struct transfer *transfer, const git_oid *tip, struct qosid_errbuf *err)
{
	git_oid id = *tip, tree, parent;
	bool has_parent = true;
	int rc = 0;

	while (rc == 0 && has_parent && !transfer_has_whole(transfer->target, &id)) {
		rc = read_commit(transfer, &id, &tree, &parent, &has_parent, err);
		if (rc == 0)
			rc = chain_add(transfer, &id, err);
		if (rc == 0 && has_parent)
			git_oid_cpy(&id, &parent);
	}
	return rc;
}

/* ---- the copy ---- */

static int write_target(struct transfer *transfer, git_object_t type, const struct qosid_buf *data, const git_oid *id,
    struct qosid_errbuf *err)
{
	git_oid written;
	int rc;

	if (repo_has_known(transfer->target, id))
		return 0;
	rc = repo_write(transfer->target, type, data->data, data->len, &written, err);
	if (rc != 0)
		return rc;
	if (!git_oid_equal(&written, id)) {
		char hex[GIT_OID_HEXSZ + 1];

		git_oid_tostr(hex, sizeof(hex), id);
		return qosid_error(
		    err, QOSID_ERR_CORRUPT, "object %s in %s is not what its name says", hex, transfer->source->name);
	}
	transfer->batch_bytes += data->len;
	transfer->batch_objects++;
	transfer->stats.bytes += data->len;
	transfer->stats.objects++;
	return 0;
}

static int copy_blob(struct transfer *transfer, const git_oid *id, struct qosid_errbuf *err)
{
	int rc;

	if (repo_has_known(transfer->target, id))
		return 0;
	rc = read_source(transfer, id, GIT_OBJECT_BLOB, LIMIT_CHANGESET_BYTES, &transfer->blob, err);
	return rc == 0 ? write_target(transfer, GIT_OBJECT_BLOB, &transfer->blob, id, err) : rc;
}

/* Copy a tree after what is in it; folders are allowed in the outermost one only. */
static int copy_tree(struct transfer *transfer, const git_oid *id, bool outermost, struct qosid_errbuf *err)
{
	struct repo_entry entries[LIMIT_TREE_ENTRIES];
	struct qosid_buf raw = {0};
	size_t count;
	int rc = read_tree(transfer, id, &raw, entries, &count, err);

	for (size_t i = 0; i < (rc == 0 ? count : 0); i++) {
		if (!entries[i].is_tree) {
			rc = copy_blob(transfer, &entries[i].id, err);
		} else if (outermost) {
			rc = copy_tree(transfer, &entries[i].id, false, err);
		} else {
			char hex[GIT_OID_HEXSZ + 1];

			git_oid_tostr(hex, sizeof(hex), id);
			rc = qosid_error(err, QOSID_ERR_INVALID, "tree %s in %s has folders in a folder", hex,
			    transfer->source->name);
		}
	}
	if (rc == 0)
		rc = write_target(transfer, GIT_OBJECT_TREE, &raw, id, err);
	qosid_buf_free(&raw);
	return rc;
}

static int copy_commit(struct transfer *transfer, const git_oid *id, struct qosid_errbuf *err)
{
	git_oid tree, parent;
	bool has_parent;
	int rc = read_commit(transfer, id, &tree, &parent, &has_parent, err);

	if (rc == 0)
		rc = copy_tree(transfer, &tree, true, err);
	if (rc == 0)
		rc = write_target(transfer, GIT_OBJECT_COMMIT, &transfer->commit, id, err);
	if (rc == 0)
		transfer->stats.commits++;
	return rc;
}

/* Put on disk what was copied, and say so in the progress ref: complete is the newest whole commit. */
static int complete_batch(struct transfer *transfer, const git_oid *complete, struct qosid_errbuf *err)
{
	git_oid old_id;
	int rc = repo_flush(transfer->target, err);

	transfer->batch_bytes = 0;
	transfer->batch_objects = 0;
	if (rc != 0 || transfer->progress == NULL)
		return rc;
	rc = repo_read_ref(transfer->target, transfer->progress, &old_id, err);
	if (rc == QOSID_ERR_NOTFOUND) {
		qosid_error_clear(err);
		return repo_update_ref(transfer->target, transfer->progress, NULL, complete, err);
	}
	if (rc != 0 || git_oid_equal(&old_id, complete))
		return rc;
	return repo_update_ref(transfer->target, transfer->progress, &old_id, complete, err);
}

static bool is_batch(const struct transfer *transfer)
{
	return transfer->batch_bytes >= TRANSFER_BATCH_BYTES || transfer->batch_objects >= TRANSFER_BATCH_OBJECTS ||
	       (transfer->watch != NULL && transfer->watch->eager);
}

/* 1: the watcher has seen enough. */
static int copy_chain(struct transfer *transfer, const git_oid *tip, struct qosid_errbuf *err)
{
	const git_oid *complete = transfer->count == 0 ? tip : NULL;
	int rc = 0;

	for (size_t left = transfer->count; left > 0 && rc == 0; left--) {
		rc = copy_commit(transfer, &transfer->chain[left - 1], err);
		if (rc != 0)
			break;
		complete = &transfer->chain[left - 1];
		if (left == 1 || !is_batch(transfer))
			continue;
		rc = complete_batch(transfer, complete, err);
		if (rc == 0 && transfer->watch != NULL)
			rc = transfer->watch->arrived(transfer->watch->context, complete, err);
		if (rc != 0)
			return rc;
	}
	if (rc == 0)
		return complete_batch(transfer, complete, err);
	if (complete != NULL)
		(void)complete_batch(transfer, complete, NULL); /* the first failure is the one to report */
	return rc;
}

int transfer_copy(const struct transfer_source *source, struct repo *target, const git_oid *tip, const char *progress,
    const struct transfer_watch *watch, struct transfer_stats *stats, bool *whole, struct qosid_errbuf *err)
{
	struct transfer transfer = {.source = source, .target = target, .progress = progress, .watch = watch};
	int rc;

	(void)repo_has(target, tip); /* also sees what others added since; from here on that is not asked again */
	rc = walk(&transfer, tip, err);
	if (rc == 0)
		rc = copy_chain(&transfer, tip, err);
	if (stats != NULL)
		*stats = transfer.stats;
	if (whole != NULL)
		*whole = rc == 0;
	rc = rc > 0 ? 0 : rc;
	free(transfer.chain);
	qosid_buf_free(&transfer.commit);
	qosid_buf_free(&transfer.blob);
	return rc;
}

static int read_repo(
    void *context, const git_oid *id, git_object_t type, size_t limit, struct qosid_buf *out, struct qosid_errbuf *err)
{
	return repo_read(context, id, type, limit, out, err);
}

int transfer_chain(struct repo *source, struct repo *target, const git_oid *tip, const char *progress,
    const struct transfer_watch *watch, struct transfer_stats *stats, bool *whole, struct qosid_errbuf *err)
{
	const struct transfer_source folder = {read_repo, source, repo_path(source)};

	return transfer_copy(&folder, target, tip, progress, watch, stats, whole, err);
}
