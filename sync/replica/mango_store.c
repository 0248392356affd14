/*
 * Index entries in SQLite, and how they follow the documents.
 *
 * All indexes share one clustered table, ordered by index, key and document id, so that a walk of an index is a walk of
 * its leaves; a second index leads from a document to its entries, for when it changes. An index takes in changes when
 * a query needs it, in batches of a transaction each, as CouchDB's do: a writer pays nothing for indexes, and a crash
 * leaves an index that is behind, never one that is wrong. The tables are made with the first index.
 */
#include <string.h>

#include "sync/replica/mango_internal.h"
#include "sync/replica/replica_internal.h"

/* A number is never used again, so a query can tell that its index is gone. */
static const char schema[] = "CREATE TABLE IF NOT EXISTS mango_index ("
			     " number INTEGER PRIMARY KEY AUTOINCREMENT,"
			     " ddoc TEXT NOT NULL,"
			     " name TEXT NOT NULL,"
			     " fields TEXT NOT NULL,"
			     " partial TEXT NOT NULL,"
			     " sequence INTEGER NOT NULL,"
			     " UNIQUE (ddoc, name)) STRICT;"
			     "CREATE TABLE IF NOT EXISTS mango_entry ("
			     " number INTEGER NOT NULL,"
			     " key BLOB NOT NULL,"
			     " document_id TEXT NOT NULL,"
			     " PRIMARY KEY (number, key, document_id)) STRICT, WITHOUT ROWID;"
			     "CREATE INDEX IF NOT EXISTS mango_entry_id ON mango_entry (number, document_id);"
			     /* Which design documents the definitions were read from. */
			     "CREATE TABLE IF NOT EXISTS mango_designs ("
			     " only INTEGER PRIMARY KEY CHECK (only = 1),"
			     " documents INTEGER NOT NULL,"
			     " sequence INTEGER NOT NULL) STRICT;";

/* Run a statement of one call. */
static int run_once(
    struct replica *replica, const char *sql, struct qosid_errbuf *err, const char *format, int64_t a, int64_t b)
{
	sqlite3_stmt *statement = NULL;
	int rc = replica_prepare(replica, sql, &statement, err);

	if (rc == 0)
		rc = replica_bind(replica, statement, err, format, a, b);
	if (rc == 0)
		rc = replica_walk_next(replica, statement, err);
	sqlite3_finalize(statement);
	return rc < 0 ? rc : 0;
}

static int has_tables(struct replica *replica, bool *has, struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int rc = replica_prepare(replica, "SELECT 1 FROM sqlite_schema WHERE name = 'mango_designs'", &row, err);

	if (rc == 0)
		rc = replica_walk_next(replica, row, err);
	*has = rc == 1;
	sqlite3_finalize(row);
	return rc < 0 ? rc : 0;
}

/* ---- definitions ---- */

/* Number and newest sequence of all design documents, tombstones too: one of them changes with any change. */
static int read_pair(struct replica *replica, const char *sql, int64_t pair[2], struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int rc = replica_prepare(replica, sql, &row, err);

	pair[0] = pair[1] = 0;
	if (rc == 0)
		rc = replica_walk_next(replica, row, err);
	if (rc == 1) {
		pair[0] = sqlite3_column_int64(row, 0);
		pair[1] = sqlite3_column_int64(row, 1);
	}
	sqlite3_finalize(row);
	return rc < 0 ? rc : 0;
}

static int read_designs(struct replica *replica, int64_t pair[2], struct qosid_errbuf *err)
{
	return read_pair(replica,
	    "SELECT count(*), coalesce(max(sequence), 0) FROM document WHERE id >= '_design/' AND id < '_design0'",
	    pair, err);
}

int mango_store_is_current(struct replica *replica, bool *current, struct qosid_errbuf *err)
{
	int64_t designs[2];
	int64_t known[2];
	bool has;
	int rc = read_designs(replica, designs, err);

	*current = false;
	if (rc == 0)
		rc = has_tables(replica, &has, err);
	if (rc != 0)
		return rc;
	if (!has) {
		*current = designs[0] == 0;
		return 0;
	}
	rc = read_pair(replica, "SELECT documents, sequence FROM mango_designs", known, err);
	*current = rc == 0 && known[0] == designs[0] && known[1] == designs[1];
	return rc;
}

static int drop_index(struct replica *replica, int64_t number, struct qosid_errbuf *err)
{
	int rc = run_once(replica, "DELETE FROM mango_entry WHERE number = ?1", err, "i", number, 0);

	return rc != 0 ? rc : run_once(replica, "DELETE FROM mango_index WHERE number = ?1", err, "i", number, 0);
}

static int insert_index(struct replica *replica, const struct mango_index *index, struct qosid_errbuf *err)
{
	sqlite3_stmt *statement = NULL;
	int rc = replica_prepare(replica,
	    "INSERT INTO mango_index (ddoc, name, fields, partial, sequence) VALUES (?1, ?2, ?3, ?4, 0)", &statement,
	    err);

	if (rc == 0)
		rc = replica_bind(replica, statement, err, "ssss", index->ddoc.data, index->ddoc.len, index->name.data,
		    index->name.len, index->fields.data, index->fields.len, index->partial.data, index->partial.len);
	if (rc == 0)
		rc = replica_walk_next(replica, statement, err);
	sqlite3_finalize(statement);
	return rc < 0 ? rc : 0;
}

static bool is_same(const struct mango_index *a, const struct mango_index *b)
{
	return strcmp((const char *)a->ddoc.data, (const char *)b->ddoc.data) == 0 &&
	       strcmp((const char *)a->name.data, (const char *)b->name.data) == 0 &&
	       strcmp((const char *)a->fields.data, (const char *)b->fields.data) == 0 &&
	       strcmp((const char *)a->partial.data, (const char *)b->partial.data) == 0;
}

static bool has_same(const struct mango_index_list *list, const struct mango_index *index)
{
	for (size_t i = 0; i < list->count; i++) {
		if (is_same(&list->items[i], index))
			return true;
	}
	return false;
}

static int read_text(sqlite3_stmt *row, int column, struct qosid_buf *out, struct qosid_errbuf *err)
{
	return qosid_buf_append(out, sqlite3_column_text(row, column), (size_t)sqlite3_column_bytes(row, column), err);
}

static int read_list(struct replica *replica, struct mango_index_list *list, struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	struct mango_index *index;
	int rc = replica_prepare(replica,
	    "SELECT number, sequence, ddoc, name, fields, partial FROM mango_index ORDER BY ddoc, name", &row, err);

	while (rc == 0 && (rc = replica_walk_next(replica, row, err)) == 1) {
		rc = mango_index_list_grow(list, &index, err);
		if (rc != 0)
			break;
		index->number = sqlite3_column_int64(row, 0);
		index->sequence = sqlite3_column_int64(row, 1);
		rc = read_text(row, 2, &index->ddoc, err);
		if (rc == 0)
			rc = read_text(row, 3, &index->name, err);
		if (rc == 0)
			rc = read_text(row, 4, &index->fields, err);
		if (rc == 0)
			rc = read_text(row, 5, &index->partial, err);
	}
	sqlite3_finalize(row);
	return rc;
}

static int replace_definitions(struct replica *replica, const struct mango_index_list *wanted,
    const struct mango_index_list *known, struct qosid_errbuf *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < known->count; i++) {
		if (!has_same(wanted, &known->items[i]))
			rc = drop_index(replica, known->items[i].number, err);
	}
	for (size_t i = 0; rc == 0 && i < wanted->count; i++) {
		if (!has_same(known, &wanted->items[i]))
			rc = insert_index(replica, &wanted->items[i], err);
	}
	return rc;
}

int mango_store_refresh(struct replica *replica, struct qosid_errbuf *err)
{
	struct mango_index_list wanted = {0};
	struct mango_index_list known = {0};
	int64_t designs[2];
	int rc = replica_need_transaction(replica, err);

	if (rc != 0)
		return rc;
	rc = sqlite3_exec(replica->db, schema, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return replica_sqlite_error(replica, rc, "cannot make the tables of indexes", err);
	rc = read_designs(replica, designs, err);
	if (rc == 0)
		rc = mango_index_collect(replica, &wanted, err);
	if (rc == 0)
		rc = read_list(replica, &known, err);
	if (rc == 0)
		rc = replace_definitions(replica, &wanted, &known, err);
	if (rc == 0)
		rc = run_once(replica,
		    "INSERT OR REPLACE INTO mango_designs (only, documents, sequence) VALUES (1, ?1, ?2)", err, "ii",
		    designs[0], designs[1]);
	mango_index_list_free(&wanted);
	mango_index_list_free(&known);
	return rc;
}

int mango_store_load(struct replica *replica, struct mango_index_list *list, struct qosid_errbuf *err)
{
	bool has;
	int rc = has_tables(replica, &has, err);

	if (rc == 0 && has)
		rc = read_list(replica, list, err);
	for (size_t i = 0; rc == 0 && i < list->count; i++)
		rc = mango_index_prepare(&list->items[i], err);
	return rc;
}

int mango_store_sequence(struct replica *replica, int64_t number, int64_t *sequence, struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int rc = replica_prepare(replica, "SELECT sequence FROM mango_index WHERE number = ?1", &row, err);

	*sequence = -1;
	if (rc == 0)
		rc = replica_bind(replica, row, err, "i", number);
	if (rc == 0)
		rc = replica_walk_next(replica, row, err);
	if (rc == 1)
		*sequence = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	return rc < 0 ? rc : 0;
}

/* ---- entries ---- */

struct update {
	struct replica *replica;
	struct mango_index *index;
	struct collator *collator;
	sqlite3_stmt *remove;
	sqlite3_stmt *insert;
	struct qosid_buf key;
	struct qosid_buf field;
	bool fresh; /* the index has no entries yet */
	int64_t sequence;
};

static int step_once(struct update *u, sqlite3_stmt *statement, int rc, struct qosid_errbuf *err)
{
	if (rc == 0)
		rc = replica_walk_next(u->replica, statement, err);
	(void)sqlite3_reset(statement); /* repeats the error of the step */
	return rc < 0 ? rc : 0;
}

/* The key of a document: *has is false when a column is missing or the filter says no. */
static int make_key(struct update *u, const struct mango_subject *subject, bool *has, struct qosid_errbuf *err)
{
	struct json_slice value;
	int rc = 0;

	*has = true;
	qosid_buf_reset(&u->key);
	if (u->index->filter != NULL)
		rc = mango_match(u->index->filter, subject, has, err);
	for (size_t i = 0; rc == 0 && *has && i < u->index->column_count; i++) {
		const struct mango_path *column = &u->index->columns[i];

		rc = mango_path_read(column, subject, &u->field, has, &value, err);
		if (rc == 0 && *has)
			rc = collate_key(u->collator, value, strcmp(column->text, "_id") == 0, &u->key, err);
	}
	return rc;
}

static int update_document(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct mango_subject subject = mango_subject_of(record);
	struct update *u = context;
	bool has = false;
	int rc = 0;

	if (!u->fresh)
		rc = step_once(u, u->remove,
		    replica_bind(u->replica, u->remove, err, "is", u->index->number, subject.id, record->id.len), err);
	if (rc == 0 && !record->deleted && strncmp(subject.id, "_design/", 8) != 0)
		rc = make_key(u, &subject, &has, err);
	if (rc == 0 && has)
		rc = step_once(u, u->insert,
		    replica_bind(u->replica, u->insert, err, "ibs", u->index->number, u->key.data, u->key.len,
			subject.id, record->id.len),
		    err);
	u->sequence = record->sequence;
	return rc;
}

static int forget_purged(
    void *context, const char *id, const struct revision *rev, int64_t sequence, struct qosid_errbuf *err)
{
	struct update *u = context;

	(void)rev;
	(void)sequence;
	return step_once(u, u->remove, replica_bind(u->replica, u->remove, err, "it", u->index->number, id), err);
}

static int update_entries(struct update *u, struct qosid_errbuf *err)
{
	int rc = collator_open(&u->collator, err);

	if (rc == 0)
		rc = replica_prepare(
		    u->replica, "DELETE FROM mango_entry WHERE number = ?1 AND document_id = ?2", &u->remove, err);
	if (rc == 0)
		rc = replica_prepare(u->replica,
		    "INSERT INTO mango_entry (number, key, document_id) VALUES (?1, ?2, ?3)", &u->insert, err);
	/* Every time, since a batch may end before the purge's own sequence. */
	if (rc == 0 && !u->fresh)
		rc = replica_visit_purged(u->replica, u->index->sequence, 0, forget_purged, u, err);
	if (rc == 0)
		rc = replica_visit_changes(u->replica, u->index->sequence, MANGO_UPDATE_BATCH, update_document, u, err);
	sqlite3_finalize(u->remove);
	sqlite3_finalize(u->insert);
	collator_close(u->collator);
	qosid_buf_wipe(&u->key);
	qosid_buf_wipe(&u->field);
	return rc;
}

int mango_store_update(struct replica *replica, struct mango_index *index, struct qosid_errbuf *err)
{
	struct update u = {.replica = replica, .index = index};
	int rc = replica_need_transaction(replica, err);

	/* Another connection may have been faster since the definitions were read. */
	if (rc == 0)
		rc = mango_store_sequence(replica, index->number, &index->sequence, err);
	if (rc != 0 || index->sequence < 0)
		return rc;
	u.fresh = index->sequence == 0;
	u.sequence = index->sequence;
	rc = update_entries(&u, err);
	if (rc == 0 && u.sequence == index->sequence)
		u.sequence = replica->state.sequence; /* the newest changes may be of documents that are no more */
	if (rc == 0 && u.sequence != index->sequence)
		rc = run_once(replica, "UPDATE mango_index SET sequence = ?2 WHERE number = ?1", err, "ii",
		    index->number, u.sequence);
	index->sequence = u.sequence;
	return rc;
}
