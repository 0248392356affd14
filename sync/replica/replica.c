/*
 * The replica's file: opening, schema and migrations, transactions, statements, errors.
 *
 * The schema keeps a document's current body and its revision tree in one row, because that is twice as fast as rows a
 * revision. The row stays where it is when it is updated, and an index leads from the change sequence to it: moving the
 * row to the end of the table instead, with the sequence as its key, was measured to cost updates a third more. The
 * last sequence is kept apart, so that none is ever given out twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/replica/replica_internal.h"

#define APPLICATION_ID 0x716f7369 /* "qosi" */
#define BUSY_TIMEOUT_MS 30000

/* Each entry brings the schema from its index to its index + 1. Entries are never changed once released. */
static const char *const migrations[REPLICA_SCHEMA_VERSION] = {
    "CREATE TABLE state ("
    " only INTEGER PRIMARY KEY CHECK (only = 1),"
    " sequence INTEGER NOT NULL,"
    " published INTEGER NOT NULL,"
    " documents INTEGER NOT NULL,"
    " deleted INTEGER NOT NULL,"
    " pending INTEGER NOT NULL,"
    " conflicts INTEGER NOT NULL,"
    " attachments INTEGER NOT NULL) STRICT;"
    "INSERT INTO state VALUES (1, 0, 0, 0, 0, 0, 0, 0);"
    /* The body comes last, so that the other columns are read without its overflow pages. */
    "CREATE TABLE document ("
    " number INTEGER PRIMARY KEY,"
    " sequence INTEGER NOT NULL UNIQUE,"
    " id TEXT NOT NULL UNIQUE,"
    " flags INTEGER NOT NULL,"
    " time INTEGER NOT NULL,"
    " user TEXT NOT NULL,"
    " tree BLOB NOT NULL,"
    " attachments TEXT,"
    " body TEXT NOT NULL) STRICT;"
    "CREATE INDEX document_conflict ON document (id) WHERE flags & 8;"
    "CREATE INDEX document_deleted ON document (id) WHERE flags & 1;"
    /* Bodies of losing leaves, and of inner revisions that wait for publication. */
    "CREATE TABLE revision ("
    " number INTEGER PRIMARY KEY,"
    " document INTEGER NOT NULL,"
    " pending INTEGER NOT NULL,"
    " deleted INTEGER NOT NULL,"
    " generation INTEGER NOT NULL,"
    " hash TEXT NOT NULL,"
    " time INTEGER NOT NULL,"
    " user TEXT NOT NULL,"
    " attachments TEXT,"
    " body TEXT NOT NULL) STRICT;"
    "CREATE INDEX revision_document ON revision (document, pending);"
    /* published: 1 in the log, 2 in the files log. digest is NULL while the content is being written. MD5 is for
       clients of CouchDB; nothing here rests on it. */
    "CREATE TABLE attachment ("
    " number INTEGER PRIMARY KEY,"
    " digest BLOB UNIQUE,"
    " md5 BLOB,"
    " length INTEGER NOT NULL,"
    " published INTEGER NOT NULL) STRICT;"
    "CREATE TABLE attachment_chunk ("
    " attachment INTEGER NOT NULL,"
    " number INTEGER NOT NULL,"
    " data BLOB NOT NULL,"
    " PRIMARY KEY (attachment, number)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE local (id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;"
    "CREATE TABLE position ("
    " log TEXT PRIMARY KEY,"
    " sequence INTEGER NOT NULL,"
    " git_commit TEXT NOT NULL,"
    " digest BLOB NOT NULL,"
    " time INTEGER NOT NULL) STRICT;"
    "CREATE TABLE finding ("
    " log TEXT NOT NULL,"
    " cause TEXT NOT NULL,"
    " sequence INTEGER NOT NULL,"
    " detail TEXT NOT NULL,"
    " evidence TEXT NOT NULL,"
    " time INTEGER NOT NULL,"
    " stops INTEGER NOT NULL,"
    " PRIMARY KEY (log, cause)) STRICT;",
    /* What was purged: that it never comes back from a log, and that indexes learn of it. leaf: it was asked for, not
     * an ancestor that went along. */
    "CREATE TABLE purged ("
    " id TEXT NOT NULL,"
    " generation INTEGER NOT NULL,"
    " hash TEXT NOT NULL,"
    " sequence INTEGER NOT NULL,"
    " leaf INTEGER NOT NULL,"
    " PRIMARY KEY (id, generation, hash)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX purged_sequence ON purged (sequence);",
    /* The dictionary in use in each log; and whose logs name an attachment whose content did not come along. */
    "CREATE TABLE dictionary ("
    " log TEXT PRIMARY KEY,"
    " recipient TEXT NOT NULL,"
    " sequence INTEGER NOT NULL,"
    " data BLOB NOT NULL) STRICT;"
    "CREATE TABLE carrier ("
    " digest BLOB NOT NULL,"
    " office TEXT NOT NULL,"
    " length INTEGER NOT NULL,"
    " PRIMARY KEY (digest, office)) STRICT, WITHOUT ROWID;",
    /* FLAG_GAP: which documents have gaps was not noted before, and to think so of all costs a snapshot some bytes
       only. */
    "UPDATE document SET flags = flags | 16;",
};

#define DOCUMENT_OF_ID "(SELECT number FROM document WHERE id = ?1)"

static const char *const statement_sql[STATEMENT_COUNT] = {
    [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
    [STATEMENT_COMMIT] = "COMMIT",
    [STATEMENT_ROLLBACK] = "ROLLBACK",
    [STATEMENT_STATE_READ] =
	"SELECT sequence, published, documents, deleted, pending, conflicts, attachments FROM state",
    [STATEMENT_STATE_WRITE] = "UPDATE state SET sequence = ?1, published = ?2, documents = ?3, deleted = ?4,"
			      " pending = ?5, conflicts = ?6, attachments = ?7",
    [STATEMENT_DATA_VERSION] = "PRAGMA data_version",

    [STATEMENT_DOCUMENT_FIND] = "SELECT sequence, flags, tree, number FROM document WHERE id = ?1",
    [STATEMENT_DOCUMENT_READ] = "SELECT " DOCUMENT_COLUMNS " FROM document WHERE id = ?1",
    [STATEMENT_DOCUMENT_INSERT] = "INSERT INTO document (" DOCUMENT_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [STATEMENT_DOCUMENT_REPLACE] = "UPDATE document SET sequence = ?2, flags = ?3, time = ?4, user = ?5, tree = ?6,"
				   " attachments = ?7, body = ?8 WHERE number = ?1",
    [STATEMENT_DOCUMENT_RESTORE] = "UPDATE document SET sequence = ?2, flags = ?3, tree = ?4,"
				   " (time, user, attachments, body) ="
				   " (SELECT time, user, attachments, body FROM revision WHERE number = ?5)"
				   " WHERE number = ?1",
    [STATEMENT_DOCUMENT_MOVE] = "UPDATE document SET sequence = ?2, flags = ?3, tree = ?4 WHERE number = ?1",
    [STATEMENT_DOCUMENT_FLAGS] = "UPDATE document SET flags = ?2 WHERE number = ?1",
    [STATEMENT_DOCUMENT_FIRST_PENDING] = "SELECT sequence FROM document WHERE sequence > ?1 AND flags & 6"
					 " ORDER BY sequence LIMIT 1",
    [STATEMENT_DOCUMENT_DELETE] = "DELETE FROM document WHERE number = ?1",

    [STATEMENT_REVISION_FIND] = "SELECT number, pending FROM revision"
				" WHERE document = " DOCUMENT_OF_ID " AND generation = ?2 AND hash = ?3",
    [STATEMENT_REVISION_READ] = "SELECT " REVISION_COLUMNS " FROM revision"
				" WHERE document = " DOCUMENT_OF_ID " AND generation = ?2 AND hash = ?3",
    [STATEMENT_REVISION_INSERT] = "INSERT INTO revision (document, pending, deleted, generation, hash, time, user,"
				  " attachments, body) VALUES (" DOCUMENT_OF_ID ", ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [STATEMENT_REVISION_KEEP] = "INSERT INTO revision (document, pending, deleted, generation, hash, time, user,"
				" attachments, body) SELECT number, ?4, flags & 1, ?2, ?3, time, user,"
				" attachments, body FROM document WHERE number = ?1",
    [STATEMENT_REVISION_LOSERS] =
	"SELECT number, generation, hash FROM revision WHERE document = " DOCUMENT_OF_ID " AND pending = 0",
    [STATEMENT_REVISION_DELETE] = "DELETE FROM revision WHERE number = ?1",
    [STATEMENT_REVISION_PUBLISHED] = "UPDATE revision SET pending = 0 WHERE number = ?1",
    [STATEMENT_REVISION_ANY_PENDING] =
	"SELECT 1 FROM revision WHERE document = " DOCUMENT_OF_ID " AND pending = 1 LIMIT 1",

    [STATEMENT_ATTACHMENT_FIND] = "SELECT number, length, published FROM attachment WHERE digest = ?1",
    [STATEMENT_ATTACHMENT_MD5] = "SELECT md5 FROM attachment WHERE digest = ?1",
    [STATEMENT_ATTACHMENT_INSERT] = "INSERT INTO attachment (digest, length, published) VALUES (NULL, 0, 0)",
    [STATEMENT_ATTACHMENT_NAME] = "UPDATE attachment SET digest = ?2, length = ?3, md5 = ?4 WHERE number = ?1",
    [STATEMENT_ATTACHMENT_DELETE] = "DELETE FROM attachment WHERE number = ?1",
    [STATEMENT_ATTACHMENT_PUBLISHED] = "UPDATE attachment SET published = 1 WHERE digest = ?1 AND published = 0",
    [STATEMENT_ATTACHMENT_FILED] = "UPDATE attachment SET published = 2 WHERE digest = ?1 AND published < 2",
    [STATEMENT_ATTACHMENT_FORGET] = "UPDATE attachment SET published = 0 WHERE published = 1 AND length <= ?1",
    [STATEMENT_CHUNK_INSERT] = "INSERT INTO attachment_chunk (attachment, number, data) VALUES (?1, ?2, ?3)",
    [STATEMENT_CHUNK_DELETE] = "DELETE FROM attachment_chunk WHERE attachment = ?1",

    [STATEMENT_PURGED_PUT] = "INSERT INTO purged (id, generation, hash, sequence, leaf) VALUES (?1, ?2, ?3, ?4, ?5)"
			     " ON CONFLICT (id, generation, hash) DO UPDATE SET"
			     " sequence = excluded.sequence, leaf = excluded.leaf",
    [STATEMENT_PURGED_FIND] = "SELECT 1 FROM purged WHERE id = ?1 AND generation = ?2 AND hash = ?3",
    [STATEMENT_PURGED_ANY] = "SELECT 1 FROM purged WHERE id = ?1 LIMIT 1",
    [STATEMENT_PURGED_NEWEST] = "SELECT coalesce(max(sequence), 0) FROM purged",

    [STATEMENT_LOCAL_PUT] = "INSERT INTO local (id, body) VALUES (?1, ?2)"
			    " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    [STATEMENT_LOCAL_READ] = "SELECT body FROM local WHERE id = ?1",
    [STATEMENT_LOCAL_DELETE] = "DELETE FROM local WHERE id = ?1",
    [STATEMENT_POSITION_READ] = "SELECT sequence, git_commit, digest, time FROM position WHERE log = ?1",
    [STATEMENT_POSITION_PUT] =
	"INSERT INTO position (log, sequence, git_commit, digest, time)"
	" VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (log) DO UPDATE SET sequence = excluded.sequence,"
	" git_commit = excluded.git_commit, digest = excluded.digest, time = excluded.time",
    [STATEMENT_FINDING_PUT] = "INSERT INTO finding (log, cause, sequence, detail, evidence, time, stops)"
			      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (log, cause) DO UPDATE SET"
			      " sequence = excluded.sequence, detail = excluded.detail, evidence = excluded.evidence,"
			      " time = excluded.time, stops = excluded.stops",
    [STATEMENT_FINDING_CLEAR] = "DELETE FROM finding WHERE log = ?1",
    [STATEMENT_WARNINGS_CLEAR] = "DELETE FROM finding WHERE stops = 0",
    [STATEMENT_DICTIONARY_READ] = "SELECT recipient, sequence, data FROM dictionary WHERE log = ?1",
    [STATEMENT_DICTIONARY_PUT] = "INSERT OR REPLACE INTO dictionary (log, recipient, sequence, data)"
				 " VALUES (?1, ?2, ?3, ?4)",
    [STATEMENT_CARRIER_PUT] = "INSERT OR IGNORE INTO carrier (digest, office, length) VALUES (?1, ?2, ?3)",
};

/* ---- errors ---- */

/* SQLite keeps the system's errno of some failures only; a failed commit leaves it in errno itself, which is why the
 * statements below begin with errno 0. */
static int system_errno(struct replica *replica, int errnum)
{
	int kept = replica->db ? sqlite3_system_errno(replica->db) : 0;

	return kept ? kept : errnum;
}

static int code_of(struct replica *replica, int rc, int errnum)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return QOSID_ERR_FULL;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return QOSID_ERR_BUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return QOSID_ERR_CORRUPT;
	case SQLITE_NOMEM:
		return QOSID_ERR_NOMEM;
	case SQLITE_TOOBIG:
		return QOSID_ERR_LIMIT;
	case SQLITE_IOERR:
		switch (system_errno(replica, errnum)) {
		case ENOSPC:
		case EDQUOT:
		case EFBIG:
			return QOSID_ERR_FULL;
		default:
			return QOSID_ERR_IO;
		}
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return QOSID_ERR_IO;
	default:
		return QOSID_ERR_FAILED;
	}
}

int replica_sqlite_error(struct replica *replica, int rc, const char *what, struct qosid_errbuf *err)
{
	int code = code_of(replica, rc, errno);

	if (replica->writing)
		replica->failed = true;
	qosid_error(err, code, "%s: %s", what, replica->db ? sqlite3_errmsg(replica->db) : sqlite3_errstr(rc));
	qosid_error_within(err, "replica %s", replica->path);
	if (code == QOSID_ERR_FULL)
		qosid_error_hint(err, "make room on the disk and try again; nothing was stored in part");
	else if (code == QOSID_ERR_BUSY)
		qosid_error_hint(err, "another program is writing to this space; try again when it has finished");
	else if (code == QOSID_ERR_CORRUPT)
		qosid_error_hint(err,
		    "keep a copy of the file; what was published is in the logs and can be applied to a new replica");
	else if (code == QOSID_ERR_IO)
		qosid_error_hint(err, "check the permissions of the file and its folder, and the disk");
	return code;
}

int replica_need_transaction(const struct replica *replica, struct qosid_errbuf *err)
{
	if (!replica->writing)
		return qosid_error(err, QOSID_ERR_USAGE, "the replica is written outside a transaction");
	return 0;
}

int replica_settle(struct replica *replica, int rc)
{
	switch (rc) {
	case 0:
	case QOSID_ERR_CONFLICT:
	case QOSID_ERR_INVALID:
	case QOSID_ERR_LIMIT:
	case QOSID_ERR_USAGE:
	case QOSID_ERR_NOTFOUND:
		break;
	default:
		replica->failed = true;
	}
	return rc;
}

/* ---- statements ---- */

int replica_prepare(struct replica *replica, const char *sql, sqlite3_stmt **out, struct qosid_errbuf *err)
{
	int rc = sqlite3_prepare_v3(replica->db, sql, -1, 0, out, NULL);

	return rc == SQLITE_OK ? 0 : replica_sqlite_error(replica, rc, "cannot prepare a query", err);
}

static int cached_statement(
    struct replica *replica, enum replica_statement number, sqlite3_stmt **out, struct qosid_errbuf *err)
{
	sqlite3_stmt **slot = &replica->statements[number];
	int rc;

	if (!*slot) {
		rc = sqlite3_prepare_v3(replica->db, statement_sql[number], -1, SQLITE_PREPARE_PERSISTENT, slot, NULL);
		if (rc != SQLITE_OK)
			return replica_sqlite_error(replica, rc, "cannot prepare a query", err);
	}
	*out = *slot;
	return 0;
}

/* Bound memory is the caller's and outlives the step, so nothing is copied. */
static int bind_all(sqlite3_stmt *statement, const char *format, va_list args)
{
	int rc = SQLITE_OK;

	for (int i = 1; *format && rc == SQLITE_OK; format++, i++) {
		const char *text;
		size_t len;

		switch (*format) {
		case 'i':
			rc = sqlite3_bind_int64(statement, i, va_arg(args, int64_t));
			break;
		case 't':
			rc = sqlite3_bind_text(statement, i, va_arg(args, const char *), -1, SQLITE_STATIC);
			break;
		case 'b':
			text = va_arg(args, const char *);
			len = va_arg(args, size_t);
			rc = sqlite3_bind_blob64(statement, i, text ? text : "", len, SQLITE_STATIC);
			break;
		default:
			text = va_arg(args, const char *);
			len = va_arg(args, size_t);
			if (*format == 'o' && len == 0)
				rc = sqlite3_bind_null(statement, i);
			else
				rc = sqlite3_bind_text64(
				    statement, i, text ? text : "", len, SQLITE_STATIC, SQLITE_UTF8);
		}
	}
	return rc;
}

int replica_bind(struct replica *replica, sqlite3_stmt *statement, struct qosid_errbuf *err, const char *format, ...)
{
	va_list args;
	int rc;

	va_start(args, format);
	rc = bind_all(statement, format, args);
	va_end(args);
	return rc == SQLITE_OK ? 0 : replica_sqlite_error(replica, rc, "cannot bind a query", err);
}

static const char *verb_of(sqlite3_stmt *statement)
{
	/* A commit, too, is "read-only" to SQLite. */
	return sqlite3_stmt_readonly(statement) && sqlite3_column_count(statement) > 0 ? "cannot read the replica"
										       : "cannot write to the replica";
}

int replica_run(
    struct replica *replica, enum replica_statement number, struct qosid_errbuf *err, const char *format, ...)
{
	sqlite3_stmt *statement = NULL;
	va_list args;
	int rc = cached_statement(replica, number, &statement, err);

	if (rc != 0)
		return rc;
	va_start(args, format);
	rc = bind_all(statement, format, args);
	va_end(args);
	errno = 0;
	if (rc == SQLITE_OK)
		rc = sqlite3_step(statement);
	if (rc != SQLITE_DONE)
		rc = replica_sqlite_error(replica, rc, verb_of(statement), err);
	else
		rc = 0;
	(void)sqlite3_reset(statement); /* repeats the error of the step */
	return rc;
}

int replica_query(struct replica *replica, enum replica_statement number, sqlite3_stmt **out, struct qosid_errbuf *err,
    const char *format, ...)
{
	sqlite3_stmt *statement = NULL;
	va_list args;
	int rc = cached_statement(replica, number, &statement, err);

	*out = NULL;
	if (rc != 0)
		return rc;
	va_start(args, format);
	rc = bind_all(statement, format, args);
	va_end(args);
	if (rc != SQLITE_OK)
		return replica_sqlite_error(replica, rc, "cannot bind a query", err);
	*out = statement;
	return replica_query_next(replica, out, err);
}

int replica_query_next(struct replica *replica, sqlite3_stmt **out, struct qosid_errbuf *err)
{
	sqlite3_stmt *statement = *out;
	int rc = sqlite3_step(statement);

	if (rc == SQLITE_ROW)
		return 0;
	*out = NULL;
	rc = rc == SQLITE_DONE ? 0 : replica_sqlite_error(replica, rc, verb_of(statement), err);
	replica_query_end(statement);
	return rc;
}

void replica_query_end(sqlite3_stmt *statement)
{
	if (statement)
		(void)sqlite3_reset(statement); /* repeats the error of the step */
}

int replica_walk_next(struct replica *replica, sqlite3_stmt *statement, struct qosid_errbuf *err)
{
	int rc = sqlite3_step(statement);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : replica_sqlite_error(replica, rc, "cannot read the replica", err);
}

/* ---- opening ---- */

/* A number that a PRAGMA or query returns. */
static int read_number(struct replica *replica, const char *sql, int64_t *out, struct qosid_errbuf *err)
{
	sqlite3_stmt *statement = NULL;
	int rc = replica_prepare(replica, sql, &statement, err);

	*out = 0;
	if (rc == 0)
		rc = replica_walk_next(replica, statement, err);
	if (rc == 1)
		*out = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return rc < 0 ? rc : 0;
}

static int execute(struct replica *replica, const char *sql, const char *what, struct qosid_errbuf *err)
{
	int rc = sqlite3_exec(replica->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : replica_sqlite_error(replica, rc, what, err);
}

/* Refuse a file of another program and one of a newer Qosid. *version is 0 for an empty file. */
static int check_version(struct replica *replica, int64_t *version, struct qosid_errbuf *err)
{
	int64_t application, pages;
	int rc = read_number(replica, "PRAGMA application_id", &application, err);

	if (rc == 0)
		rc = read_number(replica, "PRAGMA user_version", version, err);
	if (rc == 0)
		rc = read_number(replica, "SELECT count(*) FROM sqlite_schema", &pages, err);
	if (rc != 0)
		return rc;
	if (application != APPLICATION_ID && (application != 0 || *version != 0 || pages != 0)) {
		qosid_error(err, QOSID_ERR_INVALID, "it is a database of another program, not a replica");
		return qosid_error_within(err, "replica %s", replica->path), QOSID_ERR_INVALID;
	}
	if (*version > REPLICA_SCHEMA_VERSION) {
		qosid_error(err, QOSID_ERR_INVALID, "its schema is version %lld, this program knows up to %d",
		    (long long)*version, REPLICA_SCHEMA_VERSION);
		qosid_error_hint(err, "upgrade Qosid");
		return qosid_error_within(err, "replica %s", replica->path), QOSID_ERR_INVALID;
	}
	return 0;
}

/* SQLite does not wait for another process that is switching the same new file to WAL, so we do. */
static int enable_wal(struct replica *replica, struct qosid_errbuf *err)
{
	int rc;

	for (int waited = 0;; waited += 20) {
		rc = sqlite3_exec(replica->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
		if ((rc & 0xff) != SQLITE_BUSY || waited >= BUSY_TIMEOUT_MS)
			break;
		sqlite3_sleep(20);
	}
	return rc == SQLITE_OK ? 0 : replica_sqlite_error(replica, rc, "cannot switch to write-ahead logging", err);
}

static int migrate(struct replica *replica, struct qosid_errbuf *err)
{
	char pragma[96];
	int64_t version;
	int rc = execute(replica, "BEGIN IMMEDIATE", "cannot begin the migration", err);

	if (rc != 0)
		return rc;
	rc = check_version(replica, &version, err); /* another process may have been faster */
	for (; rc == 0 && version < REPLICA_SCHEMA_VERSION; version++)
		rc = execute(replica, migrations[version], "cannot bring the schema up to date", err);
	if (rc == 0) {
		(void)snprintf(pragma, sizeof(pragma), "PRAGMA application_id = %d; PRAGMA user_version = %d",
		    APPLICATION_ID, REPLICA_SCHEMA_VERSION);
		rc = execute(replica, pragma, "cannot bring the schema up to date", err);
	}
	if (rc == 0)
		rc = execute(replica, "COMMIT", "cannot bring the schema up to date", err);
	if (rc != 0)
		(void)sqlite3_exec(replica->db, "ROLLBACK", NULL, NULL, NULL); /* the first error is the one to tell */
	return rc;
}

static int prepare_file(struct replica *replica, unsigned flags, struct qosid_errbuf *err)
{
	int64_t version;
	int rc;

	sqlite3_extended_result_codes(replica->db, 1);
	sqlite3_busy_timeout(replica->db, BUSY_TIMEOUT_MS);
	rc = execute(replica,
	    "PRAGMA page_size = 4096; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY;"
	    "PRAGMA cache_size = -32768; PRAGMA trusted_schema = OFF; PRAGMA secure_delete = FAST",
	    "cannot open the replica", err);
	if (rc == 0)
		rc = check_version(replica, &version, err);
	if (rc != 0)
		return rc;
	if (version == 0 && !(flags & REPLICA_CREATE)) {
		qosid_error(err, QOSID_ERR_INVALID, "it is empty, not a replica");
		return qosid_error_within(err, "replica %s", replica->path), QOSID_ERR_INVALID;
	}
	if (replica->read_only) {
		if (version == REPLICA_SCHEMA_VERSION)
			return 0;
		qosid_error(err, QOSID_ERR_INVALID, "its schema is version %lld and cannot be migrated read-only",
		    (long long)version);
		return qosid_error_within(err, "replica %s", replica->path), QOSID_ERR_INVALID;
	}
	rc = enable_wal(replica, err);
	if (rc == 0 && version < REPLICA_SCHEMA_VERSION)
		rc = migrate(replica, err);
	if (rc == 0)
		rc = execute(replica, "PRAGMA wal_autocheckpoint = 2000; PRAGMA journal_size_limit = 67108864",
		    "cannot open the replica", err);
	return rc;
}

/* Records are private: SQLite would make the file readable to all that the umask allows. */
static int create_file(const char *path, struct qosid_errbuf *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return qosid_error_errno(err, errno, "cannot create the replica %s", path);
	(void)close(fd); /* nothing was written */
	return 0;
}

int replica_open(struct replica **out, const char *path, unsigned flags, struct qosid_errbuf *err)
{
	struct replica *replica;
	struct stat status;
	int rc;

	*out = NULL;
	if ((flags & REPLICA_CREATE) && (flags & REPLICA_READ_ONLY))
		return qosid_error(err, QOSID_ERR_USAGE, "a replica cannot be created read-only");
	if (stat(path, &status) < 0) {
		if (errno != ENOENT || !(flags & REPLICA_CREATE))
			return qosid_error_errno(err, errno, "cannot open the replica %s", path);
		if ((rc = create_file(path, err)) < 0)
			return rc;
	}
	replica = calloc(1, sizeof(*replica));
	if (!replica || !(replica->path = strdup(path))) {
		free(replica);
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	}
	replica->read_only = flags & REPLICA_READ_ONLY;
	rc = sqlite3_open_v2(path, &replica->db,
	    SQLITE_OPEN_NOMUTEX | (replica->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE), NULL);
	if (rc != SQLITE_OK)
		rc = replica_sqlite_error(replica, rc, "cannot open the replica", err);
	else
		rc = prepare_file(replica, flags, err);
	if (rc != 0) {
		replica_close(replica);
		return rc;
	}
	*out = replica;
	return 0;
}

void replica_close(struct replica *replica)
{
	if (!replica)
		return;
	replica_rollback(replica);
	for (int i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(replica->statements[i]);
	sqlite3_close_v2(replica->db);
	qosid_buf_wipe(&replica->tree);
	qosid_buf_wipe(&replica->text);
	qosid_buf_wipe(&replica->list);
	free(replica->path);
	free(replica);
}

/* ---- transactions ---- */

static int read_state(struct replica *replica, struct replica_state *state, struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc = replica_query(replica, STATEMENT_STATE_READ, &row, err, "");

	if (rc != 0)
		return rc;
	if (!row) {
		qosid_error(err, QOSID_ERR_CORRUPT, "the replica %s has lost its state row", replica->path);
		return QOSID_ERR_CORRUPT;
	}
	state->sequence = sqlite3_column_int64(row, 0);
	state->published = sqlite3_column_int64(row, 1);
	state->documents = sqlite3_column_int64(row, 2);
	state->deleted = sqlite3_column_int64(row, 3);
	state->pending = sqlite3_column_int64(row, 4);
	state->conflicts = sqlite3_column_int64(row, 5);
	state->attachments = sqlite3_column_int64(row, 6);
	replica_query_end(row);
	return 0;
}

int replica_begin(struct replica *replica, struct qosid_errbuf *err)
{
	int rc;

	if (replica->writing)
		return qosid_error(err, QOSID_ERR_USAGE, "a transaction is open already");
	if (replica->read_only)
		return qosid_error(err, QOSID_ERR_USAGE, "the replica %s is open read-only", replica->path);
	rc = replica_run(replica, STATEMENT_BEGIN, err, "");
	if (rc != 0)
		return rc;
	replica->writing = true;
	replica->failed = false;
	replica->cleared = false;
	replica->writers = 0;
	replica->transaction++;
	rc = read_state(replica, &replica->state, err);
	replica->stored = replica->state;
	if (rc != 0)
		replica_rollback(replica);
	return rc;
}

/* Move the mark up to the first document that has something pending, so that the next collection starts there. */
static int advance_published(struct replica *replica, struct qosid_errbuf *err)
{
	struct replica_state *state = &replica->state;
	sqlite3_stmt *row;
	int rc;

	if (state->pending == 0) {
		state->published = state->sequence;
		return 0;
	}
	rc = replica_query(replica, STATEMENT_DOCUMENT_FIRST_PENDING, &row, err, "i", state->published);
	if (rc == 0 && row) {
		state->published = sqlite3_column_int64(row, 0) - 1;
		replica_query_end(row);
	}
	return rc;
}

static int write_state(struct replica *replica, struct qosid_errbuf *err)
{
	const struct replica_state *state = &replica->state;

	if (memcmp(state, &replica->stored, sizeof(*state)) == 0)
		return 0;
	return replica_run(replica, STATEMENT_STATE_WRITE, err, "iiiiiii", state->sequence, state->published,
	    state->documents, state->deleted, state->pending, state->conflicts, state->attachments);
}

int replica_commit(struct replica *replica, struct qosid_errbuf *err)
{
	int rc = replica_need_transaction(replica, err);

	if (rc != 0)
		return rc;
	if (replica->failed)
		rc = qosid_error(err, QOSID_ERR_FAILED, "the transaction met an error before and was rolled back");
	else if (replica->writers > 0)
		rc = qosid_error(err, QOSID_ERR_USAGE, "an attachment is still being written");
	if (rc == 0 && replica->cleared)
		rc = advance_published(replica, err);
	if (rc == 0)
		rc = write_state(replica, err);
	if (rc == 0)
		rc = replica_run(replica, STATEMENT_COMMIT, err, "");
	if (rc != 0)
		replica_rollback(replica);
	replica->writing = false;
	return rc;
}

void replica_rollback(struct replica *replica)
{
	if (!replica->writing)
		return;
	/* Some errors have made SQLite roll back by itself. A rollback that fails leaves a connection that fails on. */
	if (!sqlite3_get_autocommit(replica->db))
		(void)replica_run(replica, STATEMENT_ROLLBACK, NULL, "");
	replica->writing = false;
}

/* ---- facts ---- */

static int64_t file_bytes(const char *path, const char *suffix)
{
	char name[4096];
	struct stat status;
	int len = snprintf(name, sizeof(name), "%s%s", path, suffix);

	if (len < 0 || (size_t)len >= sizeof(name) || stat(name, &status) < 0)
		return 0; /* without a WAL there is no such file */
	return status.st_size;
}

int replica_read_info(struct replica *replica, struct replica_info *out, struct qosid_errbuf *err)
{
	struct replica_state state = replica->state;
	int rc = 0;

	if (!replica->writing)
		rc = read_state(replica, &state, err);
	if (rc != 0)
		return rc;
	*out = (struct replica_info){
	    .sequence = state.sequence,
	    .documents = state.documents,
	    .deleted = state.deleted,
	    .pending = state.pending,
	    .conflicts = state.conflicts,
	    .attachments = state.attachments,
	    .bytes = file_bytes(replica->path, "") + file_bytes(replica->path, "-wal"),
	};
	return 0;
}

int replica_data_version(struct replica *replica, int64_t *out, struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc = replica_query(replica, STATEMENT_DATA_VERSION, &row, err, "");

	*out = 0;
	if (rc == 0 && row) {
		*out = sqlite3_column_int64(row, 0);
		replica_query_end(row);
	}
	return rc;
}
