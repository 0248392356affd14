/*
 * Publication: finding the revisions of local origin that no change set has carried yet, and marking them when one has.
 *
 * Every document with something pending has a sequence above state.published, so a collection starts there; a row below
 * it is published whatever its flags say. Inside a document the order is by generation, so that ancestors come before
 * their descendants.
 */
#include <string.h>

#include "sync/replica/replica_internal.h"

/* The bodies of one document that are kept beside its row. */
static int visit_kept(struct replica *replica, sqlite3_stmt *kept, struct replica_record *record, bool before,
    uint32_t generation, bool *more, replica_visit_fn visit, void *context, struct qosid_errbuf *err)
{
	int rc = 0;

	while (rc == 0 && *more) {
		if (before && (uint32_t)sqlite3_column_int64(kept, 1) >= generation)
			return 0;
		rc = record_load_revision(replica, kept, record, err);
		if (rc == 0)
			rc = visit(context, record, err);
		if (rc == 0) {
			rc = replica_walk_next(replica, kept, err);
			*more = rc == 1;
			rc = rc < 0 ? rc : 0;
		}
	}
	return rc;
}

static int visit_document(struct replica *replica, sqlite3_stmt *row, sqlite3_stmt *kept, struct replica_record *record,
    replica_visit_fn visit, void *context, struct qosid_errbuf *err)
{
	unsigned flags = (unsigned)sqlite3_column_int64(row, 2);
	bool more = false;
	uint32_t generation;
	int rc = record_load_document(replica, row, record, err);

	if (rc < 0)
		return rc;
	generation = record->rev.generation;
	if (flags & FLAG_KEPT_PENDING) {
		rc = replica_bind(replica, kept, err, "s", record->id.data, record->id.len);
		if (rc == 0)
			rc = replica_walk_next(replica, kept, err);
		if (rc < 0)
			return rc;
		more = rc == 1;
		rc = visit_kept(replica, kept, record, true, generation, &more, visit, context, err);
		if (rc == 0 && (flags & FLAG_PENDING))
			rc = record_load_document(replica, row, record, err);
	}
	if (rc == 0 && (flags & FLAG_PENDING))
		rc = visit(context, record, err);
	if (rc == 0)
		rc = visit_kept(replica, kept, record, false, 0, &more, visit, context, err);
	(void)sqlite3_reset(kept); /* repeats an error that was handled */
	return rc;
}

static int read_published(struct replica *replica, int64_t *published, struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc;

	*published = replica->state.published;
	if (replica->writing)
		return 0;
	rc = replica_query(replica, STATEMENT_STATE_READ, &row, err, "");
	if (rc == 0 && row) {
		*published = sqlite3_column_int64(row, 1);
		replica_query_end(row);
	}
	return rc;
}

int replica_visit_pending(struct replica *replica, replica_visit_fn visit, void *context, struct qosid_errbuf *err)
{
	struct replica_record record = {0};
	sqlite3_stmt *row = NULL, *kept = NULL;
	int64_t published;
	int rc = read_published(replica, &published, err);

	if (rc == 0)
		rc = replica_prepare(replica,
		    "SELECT " DOCUMENT_COLUMNS " FROM document WHERE sequence > ?1 AND flags & 6 ORDER BY sequence",
		    &row, err);
	if (rc == 0)
		rc = replica_prepare(replica,
		    "SELECT " REVISION_COLUMNS
		    " FROM revision WHERE document = (SELECT number FROM document WHERE id = ?1)"
		    " AND pending = 1 ORDER BY generation, hash",
		    &kept, err);
	if (rc == 0)
		rc = replica_bind(replica, row, err, "i", published);
	while (rc == 0 && (rc = replica_walk_next(replica, row, err)) == 1)
		rc = visit_document(replica, row, kept, &record, visit, context, err);
	sqlite3_finalize(row);
	sqlite3_finalize(kept);
	replica_record_free(&record);
	return rc;
}

/* A document as publication sees it. */
struct publishing {
	const char *id;
	int64_t number, sequence;
	unsigned flags;
};

static int write_flags(
    struct replica *replica, const struct publishing *document, unsigned cleared, struct qosid_errbuf *err)
{
	return replica_run(
	    replica, STATEMENT_DOCUMENT_FLAGS, err, "ii", document->number, (int64_t)(document->flags & ~cleared));
}

/* A body beside the row: it goes when it belongs to no leaf. The row is written only when nothing else of the document
 * will be published, or else the mark does it (clear_winner()). */
static int clear_kept(struct replica *replica, const struct publishing *document, const struct revision *rev, bool leaf,
    struct qosid_errbuf *err)
{
	sqlite3_stmt *found;
	int64_t number;
	bool pending, any = true;
	int rc = replica_query(
	    replica, STATEMENT_REVISION_FIND, &found, err, "tit", document->id, (int64_t)rev->generation, rev->hash);

	if (rc != 0 || !found)
		return rc;
	number = sqlite3_column_int64(found, 0);
	pending = sqlite3_column_int64(found, 1);
	replica_query_end(found);
	if (!pending)
		return 0;
	rc = replica_run(replica, leaf ? STATEMENT_REVISION_PUBLISHED : STATEMENT_REVISION_DELETE, err, "i", number);
	if (rc == 0 && !(document->flags & FLAG_PENDING))
		rc = replica_any_pending(replica, document->id, &any, err);
	if (rc == 0 && !any)
		rc = write_flags(replica, document, FLAG_KEPT_PENDING, err);
	replica->state.pending--;
	replica->cleared = true;
	return rc;
}

/* The winner's body is published. When its document is the first that has anything pending, and has nothing else, the
 * mark steps over it and the row stays untouched; publishing in order costs hardly any row writes. */
static int clear_winner(struct replica *replica, const struct publishing *document, struct qosid_errbuf *err)
{
	struct replica_state *state = &replica->state;
	sqlite3_stmt *row;
	bool kept = false, first = false;
	int rc = 0;

	if (document->flags & FLAG_KEPT_PENDING)
		rc = replica_any_pending(replica, document->id, &kept, err);
	if (rc == 0 && !kept) {
		rc = replica_query(replica, STATEMENT_DOCUMENT_FIRST_PENDING, &row, err, "i", state->published);
		first = rc == 0 && row && sqlite3_column_int64(row, 0) == document->sequence;
		if (rc == 0)
			replica_query_end(row);
	}
	if (rc == 0 && first)
		state->published = document->sequence;
	else if (rc == 0)
		rc = write_flags(replica, document, kept ? FLAG_PENDING : FLAG_PENDING | FLAG_KEPT_PENDING, err);
	state->pending--;
	replica->cleared = true;
	return rc;
}

int replica_clear_pending(struct replica *replica, const char *id, const struct revision *rev, struct qosid_errbuf *err)
{
	struct publishing document = {.id = id};
	struct revtree *tree = NULL;
	struct revtree_leaf winner;
	sqlite3_stmt *row = NULL;
	int rc = replica_need_transaction(replica, err);

	if (rc == 0)
		rc = replica_query(replica, STATEMENT_DOCUMENT_FIND, &row, err, "t", id);
	if (rc != 0 || !row)
		return rc;
	document.number = sqlite3_column_int64(row, 3);
	document.sequence = sqlite3_column_int64(row, 0);
	document.flags = replica_current_flags(replica, document.sequence, (unsigned)sqlite3_column_int64(row, 1));
	if (document.flags & (FLAG_PENDING | FLAG_KEPT_PENDING))
		rc = replica_load_tree(replica, row, 2, id, &tree, err);
	replica_query_end(row);
	if (rc != 0 || !tree)
		return replica_settle(replica, rc);
	if (revtree_winner(tree, &winner) && revision_compare(&winner.revision, rev) == 0) {
		if (document.flags & FLAG_PENDING)
			rc = clear_winner(replica, &document, err);
	} else if (document.flags & FLAG_KEPT_PENDING) {
		rc = clear_kept(replica, &document, rev, revtree_find(tree, rev, NULL) == REVTREE_LEAF, err);
	}
	revtree_free(tree);
	return replica_settle(replica, rc);
}
