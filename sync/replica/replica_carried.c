/*
 * What a snapshot of the own log must carry (docs/format.md, "Generations"): the leaves among the revisions that the
 * log has carried, and, of documents whose ancestry came with gaps, every leaf that descends from such a revision.
 *
 * They are collected in a temporary table of this connection: in memory, as all that is temporary, and less than 100
 * bytes each. What was purged here is not carried on.
 */
#include <stdio.h>
#include <string.h>

#include "sync/replica/replica_internal.h"

static int execute(struct replica *replica, const char *sql, struct qosid_errbuf *err)
{
	int rc = sqlite3_exec(replica->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : replica_sqlite_error(replica, rc, "cannot collect what a snapshot carries", err);
}

int replica_carried_begin(struct replica *replica, struct qosid_errbuf *err)
{
	int rc = replica_need_transaction(replica, err);

	if (rc != 0)
		return rc;
	return execute(replica,
	    "DROP TABLE IF EXISTS temp.carried;"
	    "CREATE TEMP TABLE carried (document INTEGER NOT NULL, generation INTEGER NOT NULL, hash TEXT NOT NULL,"
	    " PRIMARY KEY (document, generation, hash)) WITHOUT ROWID",
	    err);
}

void replica_carried_end(struct replica *replica)
{
	(void)execute(replica, "DROP TABLE IF EXISTS temp.carried", NULL); /* it goes with the connection otherwise */
}

static int insert_leaf(struct replica *replica, int64_t document, const struct revision *leaf, struct qosid_errbuf *err)
{
	sqlite3_stmt *insert;
	int rc = replica_prepare(replica, "INSERT OR IGNORE INTO temp.carried VALUES (?1, ?2, ?3)", &insert, err);

	if (rc != 0)
		return rc;
	rc = replica_bind(replica, insert, err, "iit", document, (int64_t)leaf->generation, leaf->hash);
	if (rc == 0)
		rc = replica_walk_next(replica, insert, err);
	sqlite3_finalize(insert);
	return rc;
}

struct search {
	const struct revision *wanted;
	bool found;
};

static bool is_wanted(void *context, uint32_t generation, const char *hash)
{
	struct search *search = context;

	search->found = generation == search->wanted->generation && strcmp(hash, search->wanted->hash) == 0;
	return !search->found && generation > search->wanted->generation;
}

/* Every leaf of the document that has this revision in its ancestry. */
static int insert_descendants(struct replica *replica, int64_t document, const struct revtree *tree,
    const struct revision *rev, struct qosid_errbuf *err)
{
	struct revtree_leaf leaf;
	int rc = 0;

	for (size_t i = 0; rc == 0 && revtree_leaf_at(tree, i, &leaf); i++) {
		struct search search = {.wanted = rev};

		(void)revtree_walk_path(tree, &leaf.revision, is_wanted, &search);
		if (search.found)
			rc = insert_leaf(replica, document, &leaf.revision, err);
	}
	return rc;
}

/* A document that the log carries is here, unless people have purged all of it. */
static int check_purged(struct replica *replica, const char *id, struct qosid_errbuf *err)
{
	sqlite3_stmt *found;
	int rc = replica_query(replica, STATEMENT_PURGED_ANY, &found, err, "t", id);

	if (rc != 0)
		return rc;
	if (!found)
		return qosid_error(err, QOSID_ERR_CORRUPT, "document \"%s\" of the own log is not in the replica", id);
	replica_query_end(found);
	return 0;
}

int replica_carried_add(struct replica *replica, const char *id, const struct revision *rev, struct qosid_errbuf *err)
{
	enum revtree_presence presence;
	struct revtree *tree = NULL;
	int64_t document;
	sqlite3_stmt *row;
	unsigned flags;
	int rc;

	if ((rc = replica_query(replica, STATEMENT_DOCUMENT_FIND, &row, err, "t", id)) != 0)
		return rc;
	if (!row)
		return check_purged(replica, id, err);
	document = sqlite3_column_int64(row, 3);
	flags = (unsigned)sqlite3_column_int64(row, 1);
	rc = replica_load_tree(replica, row, 2, id, &tree, err);
	replica_query_end(row);
	if (rc != 0)
		return rc;
	presence = revtree_find(tree, rev, NULL);
	if (presence == REVTREE_LEAF)
		rc = insert_leaf(replica, document, rev, err);
	else if (presence == REVTREE_ANCESTOR && (flags & FLAG_GAP))
		rc = insert_descendants(replica, document, tree, rev, err);
	revtree_free(tree);
	return rc;
}

/* The record of one collected leaf: the document's row has it when it is the winner, else the table revision. */
static int load_carried(struct replica *replica, sqlite3_stmt *row, sqlite3_stmt *kept, int64_t document,
    const struct revision *leaf, struct replica_record *record, struct qosid_errbuf *err)
{
	int rc = record_load_document(replica, row, record, err);

	if (rc < 0 || revision_compare(&record->rev, leaf) == 0)
		return rc;
	rc = replica_bind(replica, kept, err, "iit", document, (int64_t)leaf->generation, leaf->hash);
	if (rc == 0)
		rc = replica_walk_next(replica, kept, err);
	if (rc == 0)
		rc = qosid_error(err, QOSID_ERR_CORRUPT, "the body of a leaf of document \"%s\" is missing",
		    (const char *)record->id.data);
	if (rc == 1)
		rc = record_load_revision(replica, kept, record, err);
	(void)sqlite3_reset(kept); /* repeats an error that was handled */
	return rc;
}

int replica_visit_carried(struct replica *replica, struct replica_carried *after, replica_visit_fn visit, void *context,
    struct qosid_errbuf *err)
{
	struct replica_record record = {0};
	sqlite3_stmt *row = NULL, *kept = NULL;
	int rc;

	if ((rc = replica_prepare(replica,
		 "SELECT " DOCUMENT_COLUMNS ", d.number, c.generation, c.hash"
		 " FROM temp.carried c JOIN document d ON d.number = c.document"
		 " WHERE (c.document, c.generation, c.hash) > (?1, ?2, ?3)"
		 " ORDER BY c.document, c.generation, c.hash",
		 &row, err)) != 0 ||
	    (rc = replica_prepare(replica,
		 "SELECT " REVISION_COLUMNS " FROM revision WHERE document = ?1 AND generation = ?2 AND hash = ?3",
		 &kept, err)) != 0 ||
	    (rc = replica_bind(
		 replica, row, err, "iit", after->document, (int64_t)after->leaf.generation, after->leaf.hash)) != 0)
		goto out;
	while ((rc = replica_walk_next(replica, row, err)) == 1) {
		struct replica_carried current = {.document = sqlite3_column_int64(row, 8)};

		current.leaf.generation = (uint32_t)sqlite3_column_int64(row, 9);
		(void)snprintf(
		    current.leaf.hash, sizeof(current.leaf.hash), "%s", (const char *)sqlite3_column_text(row, 10));
		if ((rc = load_carried(replica, row, kept, current.document, &current.leaf, &record, err)) != 0 ||
		    (rc = visit(context, &record, err)) != 0)
			break;
		*after = current;
	}
out:
	sqlite3_finalize(row);
	sqlite3_finalize(kept);
	replica_record_free(&record);
	return rc;
}
