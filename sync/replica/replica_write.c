/*
 * Writing documents: edits made here, revisions made elsewhere.
 *
 * Both end in store_arrival(): the tree has been merged, and bodies go where they belong. The winner's body is in the
 * document's row; a losing leaf's body, and that of any revision that waits for publication, is in the table revision;
 * all other bodies are dropped. Everything a caller can get wrong is found before the first write.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/limits.h"
#include "sync/replica/json_internal.h"
#include "sync/replica/replica_internal.h"
#include "sync/replica/timestamp.h"

/* A document's row as found, and its tree. */
struct document_row {
	bool exists;
	int64_t number;
	unsigned flags;
	struct revtree *tree;
	size_t leaves;
	struct revtree_leaf winner; /* before the merge */
};

/* A revision about to be stored. */
struct arrival {
	const char *id;
	struct revision rev;
	bool deleted;
	bool pending;
	bool has_body; /* false: only the tree changes */
	bool gap;      /* it came with less ancestry than there is */
	struct json_slice body;
	struct json_slice attachments; /* canonical, as stored */
	const char *user;
	int64_t time;
};

static int find_document(struct replica *replica, const char *id, struct document_row *row, struct qosid_errbuf *err)
{
	sqlite3_stmt *found;
	int rc = replica_query(replica, STATEMENT_DOCUMENT_FIND, &found, err, "t", id);

	if (rc != 0)
		return rc;
	if (!found)
		return revtree_create(&row->tree, err);
	row->exists = true;
	row->number = sqlite3_column_int64(found, 3);
	row->flags =
	    replica_current_flags(replica, sqlite3_column_int64(found, 0), (unsigned)sqlite3_column_int64(found, 1));
	rc = replica_load_tree(replica, found, 2, id, &row->tree, err);
	replica_query_end(found);
	if (rc != 0)
		return rc;
	row->leaves = revtree_leaf_count(row->tree);
	if (!revtree_winner(row->tree, &row->winner))
		return qosid_error(err, QOSID_ERR_CORRUPT, "the revision tree of document \"%s\" is empty", id);
	return 0;
}

static bool same_revision(const struct revision *a, const struct revision *b)
{
	return revision_compare(a, b) == 0;
}

/* A branch is not stemmed while parts of it wait for publication: they are published with their ancestry, without which
 * they would look like conflicts to others. */
static size_t stem_limit(const struct document_row *row)
{
	return row->flags & FLAG_KEPT_PENDING ? 0 : LIMIT_REVISIONS;
}

/* ---- the table revision ---- */

static int insert_revision(struct replica *replica, const struct arrival *arrival, struct qosid_errbuf *err)
{
	return replica_run(replica, STATEMENT_REVISION_INSERT, err, "tiiititos", arrival->id, (int64_t)arrival->pending,
	    (int64_t)arrival->deleted, (int64_t)arrival->rev.generation, arrival->rev.hash, arrival->time,
	    arrival->user, arrival->attachments.text, arrival->attachments.len, arrival->body.text, arrival->body.len);
}

/* *number is 0 when the body is not there. */
static int find_revision(struct replica *replica, const char *id, const struct revision *rev, int64_t *number,
    bool *pending, struct qosid_errbuf *err)
{
	sqlite3_stmt *found;
	int rc = replica_query(
	    replica, STATEMENT_REVISION_FIND, &found, err, "tit", id, (int64_t)rev->generation, rev->hash);

	*number = 0;
	*pending = false;
	if (rc == 0 && found) {
		*number = sqlite3_column_int64(found, 0);
		*pending = sqlite3_column_int64(found, 1);
		replica_query_end(found);
	}
	return rc;
}

int replica_any_pending(struct replica *replica, const char *id, bool *any, struct qosid_errbuf *err)
{
	sqlite3_stmt *found;
	int rc = replica_query(replica, STATEMENT_REVISION_ANY_PENDING, &found, err, "t", id);

	*any = rc == 0 && found;
	if (rc == 0)
		replica_query_end(found);
	return rc;
}

/* Drop the published bodies of revisions that are no leaves any more. */
static int drop_superseded(
    struct replica *replica, const char *id, const struct revtree *tree, struct qosid_errbuf *err)
{
	sqlite3_stmt *loser;
	int rc = replica_query(replica, STATEMENT_REVISION_LOSERS, &loser, err, "t", id);

	while (rc == 0 && loser) {
		struct revision rev = {.generation = (uint32_t)sqlite3_column_int64(loser, 1)};
		const char *hash = (const char *)sqlite3_column_text(loser, 2);
		size_t len = (size_t)sqlite3_column_bytes(loser, 2);

		if (!hash || len >= sizeof(rev.hash)) {
			replica_query_end(loser);
			return qosid_error(
			    err, QOSID_ERR_CORRUPT, "a stored revision of document \"%s\" has no proper hash", id);
		}
		memcpy(rev.hash, hash, len);
		if (revtree_find(tree, &rev, NULL) != REVTREE_LEAF)
			rc = replica_run(replica, STATEMENT_REVISION_DELETE, err, "i", sqlite3_column_int64(loser, 0));
		if (rc != 0)
			replica_query_end(loser);
		else
			rc = replica_query_next(replica, &loser, err);
	}
	return rc;
}

/* ---- the table document ---- */

static int write_row(struct replica *replica, enum replica_statement statement, int64_t row_number, unsigned flags,
    const struct arrival *arrival, struct qosid_errbuf *err)
{
	const struct qosid_buf *tree = &replica->tree;

	if (statement == STATEMENT_DOCUMENT_INSERT)
		return replica_run(replica, statement, err, "itiitbos", replica->state.sequence, arrival->id,
		    (int64_t)flags, arrival->time, arrival->user, tree->data, tree->len, arrival->attachments.text,
		    arrival->attachments.len, arrival->body.text, arrival->body.len);
	return replica_run(replica, statement, err, "iiiitbos", row_number, replica->state.sequence, (int64_t)flags,
	    arrival->time, arrival->user, tree->data, tree->len, arrival->attachments.text, arrival->attachments.len,
	    arrival->body.text, arrival->body.len);
}

/* The body of the old winner leaves the row: keep it beside when it is still wanted. */
static int keep_old_winner(
    struct replica *replica, const struct document_row *row, unsigned *flags, struct qosid_errbuf *err)
{
	const struct revision *rev = &row->winner.revision;
	bool pending = row->flags & FLAG_PENDING;

	if (!pending && revtree_find(row->tree, rev, NULL) != REVTREE_LEAF)
		return 0;
	if (pending)
		*flags |= FLAG_KEPT_PENDING;
	return replica_run(replica, STATEMENT_REVISION_KEEP, err, "iiti", row->number, (int64_t)rev->generation,
	    rev->hash, (int64_t)pending);
}

/* Another leaf than the one that arrived has become the winner: its body moves into the row. */
static int restore_winner(struct replica *replica, const struct document_row *row, const char *id,
    const struct revision *winner, unsigned *flags, struct qosid_errbuf *err)
{
	const struct qosid_buf *tree = &replica->tree;
	int64_t number;
	bool pending;
	int rc = find_revision(replica, id, winner, &number, &pending, err);

	if (rc == 0 && number == 0)
		rc = qosid_error(err, QOSID_ERR_CORRUPT, "the body of a leaf of document \"%s\" is missing", id);
	if (rc == 0 && pending)
		*flags |= FLAG_PENDING;
	if (rc == 0)
		rc = replica_run(replica, STATEMENT_DOCUMENT_RESTORE, err, "iiibi", row->number,
		    replica->state.sequence, (int64_t)*flags, tree->data, tree->len, number);
	if (rc == 0)
		rc = replica_run(replica, STATEMENT_REVISION_DELETE, err, "i", number);
	if (rc == 0 && pending) {
		rc = replica_any_pending(replica, id, &pending, err);
		if (rc == 0 && !pending)
			rc = replica_run(replica, STATEMENT_DOCUMENT_FLAGS, err, "ii", row->number,
			    (int64_t)(*flags & ~(unsigned)FLAG_KEPT_PENDING));
	}
	return rc;
}

static void count_change(struct replica_state *state, const struct document_row *row, unsigned flags)
{
	if (row->exists) {
		*(row->flags & FLAG_DELETED ? &state->deleted : &state->documents) -= 1;
		state->conflicts -= row->flags & FLAG_CONFLICT ? 1 : 0;
	}
	*(flags & FLAG_DELETED ? &state->deleted : &state->documents) += 1;
	state->conflicts += flags & FLAG_CONFLICT ? 1 : 0;
}

/* Put the bodies where they belong and write the row. flags has everything but what is pending. */
static int place_bodies(struct replica *replica, const struct document_row *row, const struct arrival *arrival,
    const struct revision *winner, unsigned *flags, struct qosid_errbuf *err)
{
	bool takes_row = arrival->has_body && same_revision(winner, &arrival->rev);
	int rc = 0;

	if (arrival->has_body && arrival->pending)
		*flags |= takes_row ? FLAG_PENDING : FLAG_KEPT_PENDING;
	if (arrival->has_body && !takes_row)
		rc = insert_revision(replica, arrival, err);
	if (rc != 0)
		return rc;
	if (!row->exists)
		return write_row(replica, STATEMENT_DOCUMENT_INSERT, 0, *flags, arrival, err);
	if (same_revision(winner, &row->winner.revision)) {
		*flags |= row->flags & FLAG_PENDING;
		return replica_run(replica, STATEMENT_DOCUMENT_MOVE, err, "iiib", row->number, replica->state.sequence,
		    (int64_t)*flags, replica->tree.data, replica->tree.len);
	}
	rc = keep_old_winner(replica, row, flags, err);
	if (rc != 0)
		return rc;
	if (takes_row)
		return write_row(replica, STATEMENT_DOCUMENT_REPLACE, row->number, *flags, arrival, err);
	return restore_winner(replica, row, arrival->id, winner, flags, err);
}

/* Write the document anew. replica->tree holds row->tree, encoded after the merge. */
static int store_arrival(
    struct replica *replica, const struct document_row *row, const struct arrival *arrival, struct qosid_errbuf *err)
{
	struct replica_state *state = &replica->state;
	unsigned flags = (row->flags & (FLAG_KEPT_PENDING | FLAG_GAP)) | (arrival->gap ? FLAG_GAP : 0);
	struct revtree_leaf winner, second;
	int rc;

	if (!revtree_winner(row->tree, &winner))
		return qosid_error(err, QOSID_ERR_CORRUPT, "the tree of document \"%s\" is empty", arrival->id);
	if (winner.deleted)
		flags |= FLAG_DELETED;
	if (revtree_leaf_count(row->tree) > 1 && revtree_leaf_at(row->tree, 1, &second) && !second.deleted)
		flags |= FLAG_CONFLICT;
	state->sequence++;
	if (arrival->has_body && arrival->pending && state->pending++ == 0)
		state->published = state->sequence - 1;
	rc = place_bodies(replica, row, arrival, &winner.revision, &flags, err);
	if (rc == 0 && row->leaves > 1)
		rc = drop_superseded(replica, arrival->id, row->tree, err);
	if (rc == 0)
		count_change(state, row, flags);
	return rc;
}

static int encode_tree(struct replica *replica, const struct revtree *tree, struct qosid_errbuf *err)
{
	qosid_buf_reset(&replica->tree);
	return revtree_encode(tree, &replica->tree, err);
}

/* ---- edits ---- */

/* A user or a time that no change set can carry would stop publication for good. */
static int check_origin(const char *id, const char *user, int64_t time, struct qosid_errbuf *err)
{
	char text[TIMESTAMP_SIZE];

	if (user && !json_is_utf8(user, strlen(user)))
		return qosid_error(
		    err, QOSID_ERR_INVALID, "the user of a revision of document \"%s\" is not UTF-8", id);
	return timestamp_format(text, time, err);
}

static int check_put(const struct replica *replica, const char *id, struct json_slice body, const char *user,
    int64_t time, struct qosid_errbuf *err)
{
	int rc = replica_need_transaction(replica, err);

	if (rc == 0)
		rc = document_check_id(id, strlen(id), err);
	if (rc == 0 && strncmp(id, "_local/", 7) == 0)
		rc = qosid_error(err, QOSID_ERR_USAGE, "\"%s\" is a local document, which has no revisions", id);
	if (rc == 0 && body.len > LIMIT_DOCUMENT_BYTES)
		rc = qosid_error(err, QOSID_ERR_LIMIT, "document \"%s\" has %zu bytes, at most %u are allowed", id,
		    body.len, LIMIT_DOCUMENT_BYTES);
	return rc != 0 ? rc : check_origin(id, user, time, err);
}

static int conflict(struct qosid_errbuf *err, const char *id)
{
	qosid_error(err, QOSID_ERR_CONFLICT, "document \"%s\" has been changed since: update conflict", id);
	qosid_error_hint(err, "read the document again and repeat the edit on its current revision");
	return QOSID_ERR_CONFLICT;
}

/* The revision that the edit extends: NULL for a new document. *is_leaf: whether the edit may extend it. */
static const struct revision *choose_parent(
    const struct document_row *row, const struct replica_edit *edit, bool *is_leaf)
{
	if (edit->parent) {
		*is_leaf = row->exists && revtree_find(row->tree, edit->parent, NULL) == REVTREE_LEAF;
		return edit->parent;
	}
	*is_leaf = !row->exists || row->winner.deleted;
	return row->exists && row->winner.deleted ? &row->winner.revision : NULL;
}

/* The stored attachments of a leaf. */
static int read_attachments(struct replica *replica, const char *id, const struct document_row *row,
    const struct revision *rev, struct qosid_buf *out, struct qosid_errbuf *err)
{
	bool winner = same_revision(rev, &row->winner.revision);
	int column = winner ? 6 : 5;
	sqlite3_stmt *found;
	int rc;

	if (winner)
		rc = replica_query(replica, STATEMENT_DOCUMENT_READ, &found, err, "t", id);
	else
		rc = replica_query(
		    replica, STATEMENT_REVISION_READ, &found, err, "tit", id, (int64_t)rev->generation, rev->hash);
	if (rc != 0 || !found)
		return rc;
	rc =
	    qosid_buf_append(out, sqlite3_column_blob(found, column), (size_t)sqlite3_column_bytes(found, column), err);
	replica_query_end(found);
	return rc;
}

/* Texts and contents of an edit's or arrival's attachments. */
struct attached {
	struct attachment_list list;
	struct qosid_buf parent; /* the parent's stored JSON, which the list points into */
	struct qosid_buf stored; /* canonical, with revpos */
	struct qosid_buf hashed; /* canonical, as the revision id covers it */
};

static void attached_free(struct attached *attached)
{
	attachment_list_free(&attached->list);
	qosid_buf_wipe(&attached->parent);
	qosid_buf_wipe(&attached->stored);
	qosid_buf_wipe(&attached->hashed);
}

static struct json_slice slice_of(const struct qosid_buf *buf)
{
	return (struct json_slice){(const char *)buf->data, buf->len};
}

static int attach_edit(struct replica *replica, const struct replica_edit *edit, const struct document_row *row,
    const struct revision *parent, struct attached *attached, struct qosid_errbuf *err)
{
	uint32_t generation = parent ? parent->generation + 1 : 1;
	int rc = 0;

	if (parent && row->exists)
		rc = read_attachments(replica, edit->id, row, parent, &attached->parent, err);
	if (rc == 0)
		rc = attachment_list_parse_edit(
		    replica, &attached->list, edit->attachments, slice_of(&attached->parent), generation, err);
	if (rc != 0 || attached->list.count == 0)
		return rc;
	rc = attachment_list_format(&attached->list, true, &attached->stored, err);
	if (rc == 0)
		rc = attachment_list_format(&attached->list, false, &attached->hashed, err);
	return rc;
}

/* Extend the leaf by the computed revision and store it. */
static int write_edit(struct replica *replica, const struct replica_edit *edit, struct document_row *row,
    const struct revision *parent, const struct revision *rev, const struct attached *attached,
    struct qosid_errbuf *err)
{
	const char *hashes[2] = {rev->hash, parent ? parent->hash : NULL};
	struct revtree_path path = {rev->generation, hashes, parent ? 2 : 1, edit->deleted};
	struct arrival arrival = {
	    .id = edit->id,
	    .rev = *rev,
	    .deleted = edit->deleted,
	    .pending = true,
	    .has_body = true,
	    .body = edit->body,
	    .attachments = slice_of(&attached->stored),
	    .user = edit->user ? edit->user : "",
	    .time = edit->time,
	};
	enum revtree_outcome outcome;
	int rc = revtree_merge_path(row->tree, &path, stem_limit(row), &outcome, err);

	if (rc == 0)
		rc = attachment_list_store(replica, &attached->list, err);
	if (rc == 0)
		rc = encode_tree(replica, row->tree, err);
	if (rc == 0)
		rc = store_arrival(replica, row, &arrival, err);
	return rc;
}

int replica_put_edit(
    struct replica *replica, const struct replica_edit *edit, struct revision *written, struct qosid_errbuf *err)
{
	struct document_row row = {0};
	struct attached attached = {0};
	const struct revision *parent;
	struct revision rev;
	bool is_leaf;
	enum revtree_presence presence;
	int rc = check_put(replica, edit->id, edit->body, edit->user, edit->time, err);

	if (rc != 0)
		return rc;
	rc = find_document(replica, edit->id, &row, err);
	if (rc != 0)
		goto out;
	parent = choose_parent(&row, edit, &is_leaf);
	if (edit->attachments.len > 0)
		rc = attach_edit(replica, edit, &row, parent, &attached, err);
	if (rc == QOSID_ERR_INVALID && !is_leaf)
		rc = conflict(err, edit->id); /* what its stubs name may be gone with the parent */
	if (rc == 0)
		rc = revision_compute(&rev, parent, edit->deleted, edit->body, slice_of(&attached.hashed), err);
	if (rc != 0)
		goto out;
	presence = revtree_find(row.tree, &rev, NULL);
	if (presence == REVTREE_LEAF)
		rc = attachment_list_store(replica, &attached.list, err); /* it may have come without them */
	else if (!is_leaf || presence == REVTREE_ANCESTOR)
		rc = conflict(err, edit->id);
	else
		rc = write_edit(replica, edit, &row, parent, &rev, &attached, err);
	if (rc == 0)
		*written = rev;
out:
	attached_free(&attached);
	revtree_free(row.tree);
	return replica_settle(replica, rc);
}

/* ---- revisions made elsewhere ---- */

static int merge_arrival(struct replica *replica, struct document_row *row, const struct revtree_path *path,
    const struct attached *attached, struct arrival *arrival, enum revtree_outcome *outcome, struct qosid_errbuf *err)
{
	int rc;

	/* What a tree has as an ancestor never becomes a leaf, and what it does not have is a leaf when it comes. */
	arrival->has_body = revtree_find(row->tree, &arrival->rev, NULL) == REVTREE_ABSENT;
	rc = revtree_merge_path(row->tree, path, stem_limit(row), outcome, err);
	/* Even a known revision may bring content that had not arrived. */
	if (rc == 0)
		rc = attachment_list_store(replica, &attached->list, err);
	if (rc == 0 && *outcome == REVTREE_KNOWN && arrival->gap && !(row->flags & FLAG_GAP))
		rc = replica_run(
		    replica, STATEMENT_DOCUMENT_FLAGS, err, "ii", row->number, (int64_t)(row->flags | FLAG_GAP));
	if (rc != 0 || *outcome == REVTREE_KNOWN)
		return rc;
	rc = encode_tree(replica, row->tree, err);
	return rc != 0 ? rc : store_arrival(replica, row, arrival, err);
}

static int attach_revision(const struct replica_revision *revision, struct attached *attached, struct qosid_errbuf *err)
{
	int rc = attachment_list_parse_revision(&attached->list, revision->attachments, revision->path.generation, err);

	if (rc == 0 && attached->list.count > 0)
		rc = attachment_list_format(&attached->list, true, &attached->stored, err);
	return rc;
}

static int take_revision(const struct replica_revision *revision, struct arrival *arrival, struct qosid_errbuf *err)
{
	const struct revtree_path *path = &revision->path;
	size_t len;

	if (path->count == 0 || path->generation == 0 || path->count > path->generation)
		return qosid_error(
		    err, QOSID_ERR_INVALID, "the revision path of document \"%s\" does not fit", revision->id);
	len = strlen(path->hashes[0]);
	if (len == 0 || len > LIMIT_REVISION_HASH_BYTES)
		return qosid_error(
		    err, QOSID_ERR_INVALID, "the revision id of document \"%s\" has %zu bytes", revision->id, len);
	*arrival = (struct arrival){
	    .id = revision->id,
	    .rev = {.generation = path->generation},
	    .deleted = path->deleted,
	    .pending = revision->pending,
	    .gap = path->count < path->generation && path->count < LIMIT_REVISIONS,
	    .body = revision->body,
	    .user = revision->user ? revision->user : "",
	    .time = revision->time,
	};
	memcpy(arrival->rev.hash, path->hashes[0], len);
	return 0;
}

int replica_put_revision(struct replica *replica, const struct replica_revision *revision,
    enum revtree_outcome *outcome, struct qosid_errbuf *err)
{
	struct document_row row = {0};
	struct attached attached = {0};
	struct arrival arrival = {0};
	enum revtree_outcome merged = REVTREE_KNOWN;
	bool purged = false;
	int rc = check_put(replica, revision->id, revision->body, revision->user, revision->time, err);

	if (rc == 0)
		rc = take_revision(revision, &arrival, err);
	if (rc != 0)
		return rc;
	if (revision->attachments.len > 0)
		rc = attach_revision(revision, &attached, err);
	if (rc == 0)
		rc = find_document(replica, revision->id, &row, err);
	arrival.attachments = slice_of(&attached.stored);
	if (rc == 0 && !revision->pending && revtree_find(row.tree, &arrival.rev, NULL) == REVTREE_ABSENT)
		rc = replica_is_purged(replica, revision->id, &arrival.rev, &purged, err);
	if (rc == 0 && !purged)
		rc = merge_arrival(replica, &row, &revision->path, &attached, &arrival, &merged, err);
	if (rc == 0 && outcome)
		*outcome = merged;
	attached_free(&attached);
	revtree_free(row.tree);
	return replica_settle(replica, rc);
}
