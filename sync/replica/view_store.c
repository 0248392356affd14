/*
 * The file of indexes: its tables, its statements, what it says of itself.
 *
 * WAL with synchronous=NORMAL: after a loss of power the last transactions may be gone, never parts of them, and a
 * transaction holds both rows and how far they go; so an index may fall back, and is never wrong.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/replica/view_internal.h"

#define BUSY_MS 30000

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS replica (only INTEGER PRIMARY KEY CHECK (only = 1), instance TEXT NOT NULL) STRICT;"
    /* A number is never used again, so that a builder can tell that its index is gone. */
    "CREATE TABLE IF NOT EXISTS view_index ("
    " number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " signature TEXT NOT NULL UNIQUE,"
    " sequence INTEGER NOT NULL,"
    " blocks INTEGER NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS view (number INTEGER PRIMARY KEY, rows INTEGER NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS row ("
    " view INTEGER NOT NULL,"
    " position BLOB NOT NULL,"
    " id TEXT NOT NULL,"
    " key TEXT NOT NULL,"
    " value TEXT NOT NULL,"
    " PRIMARY KEY (view, position)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS row_id ON row (view, id);"
    "CREATE TABLE IF NOT EXISTS block ("
    " view INTEGER NOT NULL,"
    " start BLOB NOT NULL," /* up to the next one's; the first one's is empty */
    " rows INTEGER NOT NULL,"
    " reduction TEXT," /* NULL: to be made when next needed */
    " PRIMARY KEY (view, start)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS block_open ON block (view, start) WHERE reduction IS NULL;";

/* ---- statements ---- */

int view_sqlite_error(struct views *views, int rc, const char *what, struct qosid_errbuf *err)
{
	int code = QOSID_ERR_FAILED;

	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		code = QOSID_ERR_NOMEM;
		break;
	case SQLITE_FULL:
		code = QOSID_ERR_FULL;
		break;
	case SQLITE_BUSY:
		code = QOSID_ERR_BUSY;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		code = QOSID_ERR_CORRUPT;
		break;
	default:
		break;
	}
	(void)qosid_error(err, code, "%s: %s", what, views->db ? sqlite3_errmsg(views->db) : sqlite3_errstr(rc));
	if (code == QOSID_ERR_CORRUPT)
		qosid_error_hint(err, "delete %s: it is made again from the documents", views->path);
	return code;
}

int view_exec(struct views *views, const char *sql, struct qosid_errbuf *err)
{
	int rc = sqlite3_exec(views->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : view_sqlite_error(views, rc, "cannot use the indexes of views", err);
}

static int bind_all(sqlite3_stmt *statement, const char *format, va_list list)
{
	int rc = SQLITE_OK;

	for (int i = 1; rc == SQLITE_OK && *format; format++, i++) {
		const char *text;
		size_t len;

		if (*format == 'i') {
			rc = sqlite3_bind_int64(statement, i, va_arg(list, int64_t));
			continue;
		}
		text = va_arg(list, const char *);
		len = *format == 't' ? strlen(text) : va_arg(list, size_t);
		if (*format == 'b')
			rc = sqlite3_bind_blob64(statement, i, len > 0 ? text : "", len, SQLITE_STATIC);
		else
			rc = sqlite3_bind_text64(statement, i, len > 0 ? text : "", len, SQLITE_STATIC, SQLITE_UTF8);
	}
	return rc;
}

int view_bind(struct views *views, sqlite3_stmt *statement, struct qosid_errbuf *err, const char *format, ...)
{
	va_list list;
	int rc;

	va_start(list, format);
	rc = bind_all(statement, format, list);
	va_end(list);
	return rc == SQLITE_OK ? 0 : view_sqlite_error(views, rc, "cannot bind values", err);
}

int view_prepare(
    struct views *views, const char *sql, sqlite3_stmt **out, struct qosid_errbuf *err, const char *format, ...)
{
	va_list list;
	int rc = sqlite3_prepare_v2(views->db, sql, -1, out, NULL);

	if (rc == SQLITE_OK) {
		va_start(list, format);
		rc = bind_all(*out, format, list);
		va_end(list);
	}
	return rc == SQLITE_OK ? 0 : view_sqlite_error(views, rc, "cannot read the indexes of views", err);
}

int view_step(struct views *views, sqlite3_stmt *statement, struct qosid_errbuf *err)
{
	int rc = sqlite3_step(statement);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : view_sqlite_error(views, rc, "cannot use the indexes of views", err);
}

int view_run(struct views *views, sqlite3_stmt *statement, struct qosid_errbuf *err, const char *format, ...)
{
	va_list list;
	int rc;

	va_start(list, format);
	rc = bind_all(statement, format, list);
	va_end(list);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(statement);
	if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
		rc = view_sqlite_error(views, rc, "cannot change the indexes of views", err);
		(void)sqlite3_reset(statement); /* repeats the error */
		return rc;
	}
	(void)sqlite3_reset(statement); /* of a step that went well */
	return 0;
}

void view_span_free(struct view_span *span)
{
	qosid_buf_wipe(&span->from);
	qosid_buf_wipe(&span->to);
}

/* ---- opening ---- */

/* What another replica has left is of no use. */
static int take_instance(struct views *views, const char *instance, struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	bool same = false;
	int rc = view_prepare(views, "SELECT 1 FROM replica WHERE instance = ?1", &row, err, "t", instance);

	if (rc == 0)
		rc = view_step(views, row, err);
	same = rc == 1;
	sqlite3_finalize(row);
	if (rc != 0)
		return same ? 0 : rc;
	rc = view_exec(views,
	    "BEGIN IMMEDIATE; DELETE FROM row; DELETE FROM block; DELETE FROM view;"
	    " DELETE FROM view_index",
	    err);
	if (rc == 0)
		rc = view_prepare(
		    views, "INSERT OR REPLACE INTO replica (only, instance) VALUES (1, ?1)", &row, err, "t", instance);
	if (rc == 0)
		rc = view_step(views, row, err);
	if (rc == 0) {
		sqlite3_finalize(row);
		return view_exec(views, "COMMIT", err);
	}
	sqlite3_finalize(row);
	if (!sqlite3_get_autocommit(views->db))
		(void)view_exec(views, "ROLLBACK", NULL); /* the error before counts */
	return rc;
}

static int open_file(struct views *views, const char *instance, struct qosid_errbuf *err)
{
	int rc = sqlite3_open_v2(
	    views->path, &views->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc != SQLITE_OK)
		return view_sqlite_error(views, rc, "cannot open the indexes of views", err);
	(void)sqlite3_busy_timeout(views->db, BUSY_MS); /* cannot fail with an open file */
	rc = view_exec(views,
	    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;"
	    "PRAGMA cache_size = -16384; PRAGMA trusted_schema = OFF; PRAGMA journal_size_limit = 67108864",
	    err);
	if (rc == 0)
		rc = view_exec(views, schema, err);
	return rc != 0 ? rc : take_instance(views, instance, err);
}

static void remove_file(const char *path)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char name[4096];

	for (size_t i = 0; i < 3; i++) {
		if (snprintf(name, sizeof(name), "%s%s", path, suffixes[i]) < (int)sizeof(name))
			(void)unlink(name); /* what remains shows when it is opened again */
	}
}

int views_open(struct views **out, const char *path, const char *instance, struct qosid_errbuf *err)
{
	struct views *views = calloc(1, sizeof(*views));
	int rc;

	*out = NULL;
	if (views == NULL || (views->path = strdup(path)) == NULL) {
		free(views);
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	}
	rc = open_file(views, instance, err);
	if (rc == QOSID_ERR_CORRUPT) {
		(void)sqlite3_close(views->db);
		views->db = NULL;
		remove_file(path);
		qosid_error_clear(err);
		rc = open_file(views, instance, err);
	}
	if (rc == 0)
		rc = collator_open(&views->collator, err);
	if (rc != 0) {
		views_close(views);
		return rc;
	}
	*out = views;
	return 0;
}

void views_close(struct views *views)
{
	if (views == NULL)
		return;
	views_end_read(views);
	collator_close(views->collator);
	(void)sqlite3_close(views->db); /* all statements are finalized */
	free(views->path);
	free(views);
}

int views_begin_read(struct views *views, struct qosid_errbuf *err)
{
	int rc = view_exec(views, "BEGIN", err);

	views->reading = rc == 0;
	return rc;
}

void views_end_read(struct views *views)
{
	if (views->reading)
		(void)view_exec(views, "COMMIT", NULL); /* of reads */
	views->reading = false;
}

/* ---- facts ---- */

int view_find_index(
    struct views *views, const struct view_group *group, struct view_index *out, struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int rc = view_prepare(views, "SELECT number, sequence, blocks FROM view_index WHERE signature = ?1", &row, err,
	    "t", group->signature);

	*out = (struct view_index){0};
	if (rc == 0)
		rc = view_step(views, row, err);
	if (rc == 1) {
		out->number = sqlite3_column_int64(row, 0);
		out->sequence = sqlite3_column_int64(row, 1);
		out->blocks = sqlite3_column_int(row, 2) != 0;
	}
	sqlite3_finalize(row);
	return rc < 0 ? rc : 0;
}

int views_read_sequence(struct views *views, const struct view_group *group, int64_t *out, struct qosid_errbuf *err)
{
	struct view_index index;
	int rc = view_find_index(views, group, &index, err);

	*out = index.sequence;
	return rc;
}

int views_read_info(
    struct views *views, const struct view_group *group, struct view_info *out, struct qosid_errbuf *err)
{
	struct view_index index;
	struct stat status;
	sqlite3_stmt *row = NULL;
	int rc = view_find_index(views, group, &index, err);

	*out = (struct view_info){.sequence = index.sequence};
	if (rc == 0)
		rc = view_prepare(views,
		    "SELECT count(*), coalesce(sum(length(CAST(key AS BLOB)) + length(CAST(value AS BLOB))), 0) FROM "
		    "row"
		    " WHERE view >= ?1 AND view < ?2",
		    &row, err, "ii", view_number(&index, 0), view_number(&index, VIEW_NUMBERS));
	if (rc == 0)
		rc = view_step(views, row, err);
	if (rc == 1) {
		out->rows = sqlite3_column_int64(row, 0);
		out->bytes = sqlite3_column_int64(row, 1);
	}
	sqlite3_finalize(row);
	if (stat(views->path, &status) == 0)
		out->file = status.st_size;
	return rc < 0 ? rc : 0;
}

/* ---- housekeeping ---- */

static int drop_index(struct views *views, int64_t number, struct qosid_errbuf *err)
{
	struct view_index index = {.number = number};
	char sql[512];

	(void)snprintf(sql, sizeof(sql),
	    "BEGIN IMMEDIATE; DELETE FROM row WHERE view >= %1$lld AND view < %2$lld;"
	    " DELETE FROM block WHERE view >= %1$lld AND view < %2$lld;"
	    " DELETE FROM view WHERE number >= %1$lld AND number < %2$lld;"
	    " DELETE FROM view_index WHERE number = %3$lld; COMMIT",
	    (long long)view_number(&index, 0), (long long)view_number(&index, VIEW_NUMBERS), (long long)number);
	return view_exec(views, sql, err);
}

/* The number of an index that nobody wants; 0: none. */
static int find_unwanted(struct views *views, const char (*signatures)[VIEW_SIGNATURE_SIZE], size_t count, int64_t *out,
    struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int rc = view_prepare(views, "SELECT number, signature FROM view_index", &row, err, "");

	*out = 0;
	while (rc == 0 && *out == 0 && (rc = view_step(views, row, err)) == 1) {
		const char *signature = (const char *)sqlite3_column_text(row, 1);
		bool wanted = false;

		for (size_t i = 0; signature != NULL && i < count; i++)
			wanted = wanted || strcmp(signatures[i], signature) == 0;
		if (!wanted)
			*out = sqlite3_column_int64(row, 0);
		rc = 0;
	}
	sqlite3_finalize(row);
	return rc < 0 ? rc : 0;
}

int views_clean(
    struct views *views, const char (*signatures)[VIEW_SIGNATURE_SIZE], size_t count, struct qosid_errbuf *err)
{
	int64_t number;
	int rc;

	do {
		rc = find_unwanted(views, signatures, count, &number, err);
		if (rc == 0 && number != 0)
			rc = drop_index(views, number, err);
	} while (rc == 0 && number != 0);
	if (rc != 0 && !sqlite3_get_autocommit(views->db))
		(void)view_exec(views, "ROLLBACK", NULL); /* the error before counts */
	return rc;
}

int views_compact(struct views *views, const struct view_group *group, struct qosid_errbuf *err)
{
	struct view_index index;
	int rc = view_exec(views, "BEGIN IMMEDIATE", err);

	if (rc == 0)
		rc = view_find_index(views, group, &index, err);
	for (size_t i = 0; rc == 0 && index.blocks && i < group->count; i++)
		rc = view_block_cut(views, view_number(&index, i), err);
	if (rc == 0)
		rc = view_exec(views, "COMMIT", err);
	if (rc != 0 && !sqlite3_get_autocommit(views->db))
		(void)view_exec(views, "ROLLBACK", NULL); /* the error before counts */
	return rc != 0 ? rc : view_exec(views, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)", err);
}
