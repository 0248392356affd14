/* Pages, feeds and heads; see replica_query.h. */
#include "sync/replica/replica_query.h"

#include <stdio.h>
#include <string.h>

#include "sync/replica/replica_internal.h"

#define HEAD_COLUMNS "sequence, id, flags, time, '', tree, NULL, ''"

/* ---- documents by id ---- */

/* A WHERE clause over `key` for a page; bounds are parameters 1 and 2. */
static int format_where(const struct replica_page *page, const char *key, char *out, size_t size)
{
	const char *begin = page->descending ? "<=" : ">=";
	const char *end = page->descending ? (page->to_exclusive ? ">" : ">=") : (page->to_exclusive ? "<" : "<=");
	char from[64] = "", to[64] = "";

	if (page->from)
		(void)snprintf(from, sizeof(from), " AND %s %s ?1", key, begin);
	if (page->to)
		(void)snprintf(to, sizeof(to), " AND %s %s ?2", key, end);
	return snprintf(out, size, "%s%s", from, to);
}

/* Bounds that were not asked for do not appear in the text, so binding them does nothing. */
static int bind_page(
    struct replica *replica, sqlite3_stmt *row, const struct replica_page *page, struct qosid_errbuf *err)
{
	int rc = SQLITE_OK;

	if (page->from)
		rc = sqlite3_bind_text(row, 1, page->from, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK && page->to)
		rc = sqlite3_bind_text(row, 2, page->to, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(row, 3, page->limit);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(row, 4, page->skip);
	return rc == SQLITE_OK ? 0 : replica_sqlite_error(replica, rc, "cannot bind a query", err);
}

int replica_visit_page(struct replica *replica, const struct replica_page *page, replica_visit_fn visit, void *context,
    struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	char where[128], sql[384];
	int rc;

	(void)format_where(page, "id", where, sizeof(where));
	(void)snprintf(sql, sizeof(sql),
	    "SELECT %s FROM document WHERE flags & 1 = 0%s ORDER BY id %s LIMIT ?3 OFFSET ?4",
	    page->heads_only ? HEAD_COLUMNS : DOCUMENT_COLUMNS, where, page->descending ? "DESC" : "ASC");
	rc = replica_prepare(replica, sql, &row, err);
	if (rc == 0)
		rc = bind_page(replica, row, page, err);
	if (rc != 0) {
		sqlite3_finalize(row);
		return rc;
	}
	return replica_visit_rows(replica, row, visit, context, err);
}

/* The number in the only row of a query with one number or text bound. */
static int read_count(struct replica *replica, sqlite3_stmt *row, int64_t *out, struct qosid_errbuf *err)
{
	int rc = replica_walk_next(replica, row, err);

	if (rc == 1)
		*out = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	return rc < 0 ? rc : 0;
}

int replica_count_before(
    struct replica *replica, const struct replica_page *page, int64_t *out, struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int rc;

	*out = 0;
	if (!page->from)
		return 0;
	rc = replica_prepare(replica,
	    page->descending ? "SELECT (SELECT count(*) FROM document WHERE id > ?1)"
			       " - (SELECT count(*) FROM document WHERE flags & 1 AND id > ?1)"
			     : "SELECT (SELECT count(*) FROM document WHERE id < ?1)"
			       " - (SELECT count(*) FROM document WHERE flags & 1 AND id < ?1)",
	    &row, err);
	if (rc == 0 && (rc = replica_bind(replica, row, err, "t", page->from)) != 0)
		sqlite3_finalize(row);
	return rc != 0 ? rc : read_count(replica, row, out, err);
}

/* ---- the changes feed ---- */

int replica_visit_feed(struct replica *replica, const struct replica_feed *feed, replica_visit_fn visit, void *context,
    struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	char sql[256];
	int rc;

	(void)snprintf(sql, sizeof(sql), "SELECT %s FROM document WHERE sequence > ?1 ORDER BY sequence %s",
	    feed->heads_only ? HEAD_COLUMNS : DOCUMENT_COLUMNS, feed->descending ? "DESC" : "ASC");
	rc = replica_prepare(replica, sql, &row, err);
	if (rc == 0)
		rc = replica_bind(replica, row, err, "i", feed->descending ? (int64_t)0 : feed->since);
	if (rc != 0) {
		sqlite3_finalize(row);
		return rc;
	}
	return replica_visit_rows(replica, row, visit, context, err);
}

int replica_count_changes(struct replica *replica, int64_t since, int64_t *out, struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int rc = replica_prepare(replica, "SELECT count(*) FROM document WHERE sequence > ?1", &row, err);

	*out = 0;
	if (rc == 0 && (rc = replica_bind(replica, row, err, "i", since)) != 0)
		sqlite3_finalize(row);
	return rc != 0 ? rc : read_count(replica, row, out, err);
}

/* ---- one document ---- */

int replica_read_head(struct replica *replica, const char *id, struct replica_record *record, struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int rc = replica_prepare(replica, "SELECT " HEAD_COLUMNS " FROM document WHERE id = ?1", &row, err);

	if (rc == 0)
		rc = replica_bind(replica, row, err, "t", id);
	if (rc == 0)
		rc = replica_walk_next(replica, row, err);
	if (rc == 0)
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "document \"%s\": missing", id);
	else if (rc == 1)
		rc = record_load_document(replica, row, record, err);
	sqlite3_finalize(row);
	return rc;
}

int replica_has_body(
    struct replica *replica, const char *id, const struct revision *rev, bool *out, struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc =
	    replica_query(replica, STATEMENT_REVISION_FIND, &row, err, "tit", id, (int64_t)rev->generation, rev->hash);

	*out = rc == 0 && row;
	if (rc == 0)
		replica_query_end(row);
	return rc;
}

int64_t replica_last_sequence(const struct replica *replica)
{
	return replica->state.sequence;
}

/* ---- local documents ---- */

int replica_visit_locals(struct replica *replica, const struct replica_page *page,
    int (*visit)(void *context, const char *id, struct json_slice body, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	char where[128], sql[384];
	int rc;

	(void)format_where(page, "id", where, sizeof(where));
	(void)snprintf(sql, sizeof(sql), "SELECT id, body FROM local WHERE 1%s ORDER BY id %s LIMIT ?3 OFFSET ?4",
	    where, page->descending ? "DESC" : "ASC");
	rc = replica_prepare(replica, sql, &row, err);
	if (rc == 0)
		rc = bind_page(replica, row, page, err);
	while (rc == 0 && (rc = replica_walk_next(replica, row, err)) == 1) {
		struct json_slice body = {
		    (const char *)sqlite3_column_text(row, 1), (size_t)sqlite3_column_bytes(row, 1)};

		rc = visit(context, (const char *)sqlite3_column_text(row, 0), body, err);
	}
	sqlite3_finalize(row);
	return rc;
}

/* ---- MD5 ---- */

int replica_read_md5(
    struct replica *replica, const uint8_t digest[DIGEST_BYTES], uint8_t out[MD5_BYTES], struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc = replica_query(replica, STATEMENT_ATTACHMENT_MD5, &row, err, "b", digest, (size_t)DIGEST_BYTES);

	if (rc != 0)
		return rc;
	if (!row)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "the attachment's content has not arrived yet");
	if (sqlite3_column_bytes(row, 0) == MD5_BYTES)
		memcpy(out, sqlite3_column_blob(row, 0), MD5_BYTES);
	else
		rc = qosid_error(err, QOSID_ERR_CORRUPT, "the MD5 of an attachment is missing");
	replica_query_end(row);
	return rc;
}
