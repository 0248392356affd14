/*
 * Purging: taking revisions out of this replica for good.
 *
 * The logs keep what has been published; other offices keep what they have. The table purged remembers every revision
 * that went, so that the next reading of a log does not bring it back, and so that a proof does not miss it.
 */
#include <string.h>

#include "sync/replica/replica_internal.h"

struct purge {
	struct replica *replica;
	const char *id;
	const struct revision *leaf; /* the one asked for */
	int64_t number;
	unsigned flags;
	struct revtree *tree;
	struct revtree_leaf winner; /* before */
};

/* The body beside the row, when it is there. */
static int drop_body(struct purge *purge, const struct revision *rev, struct qosid_errbuf *err)
{
	struct replica *replica = purge->replica;
	sqlite3_stmt *found;
	int64_t number;
	int rc = replica_query(
	    replica, STATEMENT_REVISION_FIND, &found, err, "tit", purge->id, (int64_t)rev->generation, rev->hash);

	if (rc != 0 || !found)
		return rc;
	number = sqlite3_column_int64(found, 0);
	replica->state.pending -= sqlite3_column_int64(found, 1);
	replica_query_end(found);
	return replica_run(replica, STATEMENT_REVISION_DELETE, err, "i", number);
}

static int note_gone(void *context, const struct revision *rev, struct qosid_errbuf *err)
{
	struct purge *purge = context;
	struct replica *replica = purge->replica;
	bool leaf = revision_compare(rev, purge->leaf) == 0;
	int rc = replica_run(replica, STATEMENT_PURGED_PUT, err, "titii", purge->id, (int64_t)rev->generation,
	    rev->hash, replica->state.sequence, (int64_t)leaf);

	if (rc == 0 && revision_compare(rev, &purge->winner.revision) == 0)
		replica->state.pending -= purge->flags & FLAG_PENDING ? 1 : 0; /* its body is in the row */
	else if (rc == 0)
		rc = drop_body(purge, rev, err);
	return rc;
}

static int find_document(struct purge *purge, bool *exists, struct qosid_errbuf *err)
{
	struct replica *replica = purge->replica;
	sqlite3_stmt *row;
	int rc = replica_query(replica, STATEMENT_DOCUMENT_FIND, &row, err, "t", purge->id);

	*exists = rc == 0 && row;
	if (!*exists)
		return rc;
	purge->number = sqlite3_column_int64(row, 3);
	purge->flags =
	    replica_current_flags(replica, sqlite3_column_int64(row, 0), (unsigned)sqlite3_column_int64(row, 1));
	rc = replica_load_tree(replica, row, 2, purge->id, &purge->tree, err);
	replica_query_end(row);
	if (rc == 0 && !revtree_winner(purge->tree, &purge->winner))
		rc = qosid_error(err, QOSID_ERR_CORRUPT, "the revision tree of document \"%s\" is empty", purge->id);
	return rc;
}

/* The body of the new winner moves into the row. */
static int move_winner(struct purge *purge, const struct revision *winner, unsigned *flags, struct qosid_errbuf *err)
{
	struct replica *replica = purge->replica;
	sqlite3_stmt *found;
	int64_t number;
	int rc = replica_query(
	    replica, STATEMENT_REVISION_FIND, &found, err, "tit", purge->id, (int64_t)winner->generation, winner->hash);

	if (rc == 0 && !found)
		rc = qosid_error(err, QOSID_ERR_CORRUPT, "the body of a leaf of document \"%s\" is missing", purge->id);
	if (rc != 0)
		return rc;
	number = sqlite3_column_int64(found, 0);
	*flags |= sqlite3_column_int64(found, 1) ? FLAG_PENDING : 0;
	replica_query_end(found);
	rc = replica_run(replica, STATEMENT_DOCUMENT_RESTORE, err, "iiibi", purge->number, replica->state.sequence,
	    (int64_t)*flags, replica->tree.data, replica->tree.len, number);
	return rc != 0 ? rc : replica_run(replica, STATEMENT_REVISION_DELETE, err, "i", number);
}

/* Write the row with what is left of the tree. */
static int write_rest(struct purge *purge, struct qosid_errbuf *err)
{
	struct replica *replica = purge->replica;
	struct revtree_leaf winner, second;
	unsigned flags = purge->flags & FLAG_GAP;
	bool pending = false;
	int rc;

	if (!revtree_winner(purge->tree, &winner))
		return replica_run(replica, STATEMENT_DOCUMENT_DELETE, err, "i", purge->number);
	flags |= winner.deleted ? FLAG_DELETED : 0;
	flags |= revtree_leaf_at(purge->tree, 1, &second) && !second.deleted ? FLAG_CONFLICT : 0;
	qosid_buf_reset(&replica->tree);
	rc = revtree_encode(purge->tree, &replica->tree, err);
	if (rc != 0)
		return rc;
	if (revision_compare(&winner.revision, &purge->winner.revision) == 0) {
		flags |= purge->flags & FLAG_PENDING;
		rc = replica_run(replica, STATEMENT_DOCUMENT_MOVE, err, "iiib", purge->number, replica->state.sequence,
		    (int64_t)flags, replica->tree.data, replica->tree.len);
	} else {
		rc = move_winner(purge, &winner.revision, &flags, err);
	}
	if (rc == 0)
		rc = replica_any_pending(replica, purge->id, &pending, err);
	flags |= pending ? FLAG_KEPT_PENDING : 0;
	if (rc == 0)
		rc = replica_run(replica, STATEMENT_DOCUMENT_FLAGS, err, "ii", purge->number, (int64_t)flags);
	replica->state.documents += flags & FLAG_DELETED ? 0 : 1;
	replica->state.deleted += flags & FLAG_DELETED ? 1 : 0;
	replica->state.conflicts += flags & FLAG_CONFLICT ? 1 : 0;
	return rc;
}

int replica_purge(struct replica *replica, const char *id, const struct revision *revs, size_t count, bool *done,
    struct qosid_errbuf *err)
{
	struct purge purge = {.replica = replica, .id = id};
	bool exists = false, any = false;
	int rc = replica_need_transaction(replica, err);

	memset(done, 0, count * sizeof(*done));
	if (rc == 0)
		rc = find_document(&purge, &exists, err);
	for (size_t i = 0; rc == 0 && exists && i < count; i++) {
		if (revtree_find(purge.tree, &revs[i], NULL) != REVTREE_LEAF)
			continue;
		if (!any)
			replica->state.sequence++;
		any = done[i] = true;
		purge.leaf = &revs[i];
		rc = revtree_purge_leaf(purge.tree, &revs[i], note_gone, &purge, err);
	}
	if (rc == 0 && any) {
		replica->state.documents -= purge.flags & FLAG_DELETED ? 0 : 1;
		replica->state.deleted -= purge.flags & FLAG_DELETED ? 1 : 0;
		replica->state.conflicts -= purge.flags & FLAG_CONFLICT ? 1 : 0;
		rc = write_rest(&purge, err);
		replica->cleared = true;
	}
	revtree_free(purge.tree);
	return replica_settle(replica, rc);
}

/* ---- what was purged ---- */

int replica_is_purged(
    struct replica *replica, const char *id, const struct revision *rev, bool *out, struct qosid_errbuf *err)
{
	sqlite3_stmt *found;
	int rc =
	    replica_query(replica, STATEMENT_PURGED_FIND, &found, err, "tit", id, (int64_t)rev->generation, rev->hash);

	*out = rc == 0 && found;
	if (rc == 0)
		replica_query_end(found);
	return rc;
}

int replica_purge_sequence(struct replica *replica, int64_t *out, struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc = replica_query(replica, STATEMENT_PURGED_NEWEST, &row, err, "");

	*out = 0;
	if (rc == 0 && row) {
		*out = sqlite3_column_int64(row, 0);
		replica_query_end(row);
	}
	return rc;
}

static int visit_row(sqlite3_stmt *row,
    int (*visit)(void *context, const char *id, const struct revision *rev, int64_t sequence, struct qosid_errbuf *err),
    void *context, struct qosid_errbuf *err)
{
	struct revision rev = {.generation = (uint32_t)sqlite3_column_int64(row, 1)};
	const char *id = (const char *)sqlite3_column_text(row, 0), *hash = (const char *)sqlite3_column_text(row, 2);
	size_t len = (size_t)sqlite3_column_bytes(row, 2);

	if (!id || !hash || len >= sizeof(rev.hash))
		return qosid_error(err, QOSID_ERR_CORRUPT, "a purged revision has no proper name");
	memcpy(rev.hash, hash, len);
	return visit(context, id, &rev, sqlite3_column_int64(row, 3), err);
}

int replica_visit_purged(struct replica *replica, int64_t since, int64_t limit,
    int (*visit)(void *context, const char *id, const struct revision *rev, int64_t sequence, struct qosid_errbuf *err),
    void *context, struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int rc = replica_prepare(replica,
	    "SELECT id, generation, hash, sequence FROM (SELECT * FROM purged WHERE sequence > ?1 AND leaf = 1"
	    " ORDER BY sequence DESC, id DESC, generation DESC, hash DESC LIMIT ?2) ORDER BY sequence, id, generation, "
	    "hash",
	    &row, err);

	if (rc == 0)
		rc = replica_bind(replica, row, err, "ii", since, limit > 0 ? limit : (int64_t)-1);
	while (rc == 0 && (rc = replica_walk_next(replica, row, err)) == 1)
		rc = visit_row(row, visit, context, err);
	sqlite3_finalize(row);
	return rc;
}
