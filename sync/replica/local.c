/*
 * Small named things: _local documents, positions of logs, dictionaries, findings. None of them is replicated.
 */
#include <string.h>

#include "sync/replica/replica_internal.h"

int replica_put_local(struct replica *replica, const char *id, struct json_slice body, struct qosid_errbuf *err)
{
	int rc = replica_need_transaction(replica, err);

	if (rc != 0)
		return rc;
	if (body.len == 0)
		return replica_run(replica, STATEMENT_LOCAL_DELETE, err, "t", id);
	return replica_run(replica, STATEMENT_LOCAL_PUT, err, "ts", id, body.text, body.len);
}

int replica_read_local(struct replica *replica, const char *id, struct qosid_buf *body, struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc = replica_query(replica, STATEMENT_LOCAL_READ, &row, err, "t", id);

	if (rc != 0)
		return rc;
	if (!row)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "local document \"%s\": missing", id);
	rc = qosid_buf_append(body, sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0), err);
	replica_query_end(row);
	return rc;
}

/* ---- positions ---- */

static int load_position(sqlite3_stmt *row, struct replica_position *out)
{
	size_t commit_len = (size_t)sqlite3_column_bytes(row, 1);

	if (commit_len >= sizeof(out->commit) || sqlite3_column_bytes(row, 2) != DIGEST_BYTES)
		return -1;
	out->sequence = sqlite3_column_int64(row, 0);
	if (commit_len > 0)
		memcpy(out->commit, sqlite3_column_text(row, 1), commit_len);
	memcpy(out->digest, sqlite3_column_blob(row, 2), DIGEST_BYTES);
	out->time = sqlite3_column_int64(row, 3);
	return 0;
}

int replica_read_position(
    struct replica *replica, const char *log, struct replica_position *out, struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc = replica_query(replica, STATEMENT_POSITION_READ, &row, err, "t", log);

	memset(out, 0, sizeof(*out));
	if (rc != 0 || !row)
		return rc;
	if (load_position(row, out) < 0)
		rc = qosid_error(err, QOSID_ERR_CORRUPT, "the stored position of %s is damaged", log);
	replica_query_end(row);
	return rc;
}

int replica_put_position(
    struct replica *replica, const char *log, const struct replica_position *position, struct qosid_errbuf *err)
{
	int rc = replica_need_transaction(replica, err);

	if (rc != 0)
		return rc;
	return replica_run(replica, STATEMENT_POSITION_PUT, err, "titbi", log, position->sequence, position->commit,
	    position->digest, sizeof(position->digest), position->time);
}

/* ---- dictionaries ---- */

int replica_read_dictionary(
    struct replica *replica, const char *log, struct replica_dictionary *out, struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc = replica_query(replica, STATEMENT_DICTIONARY_READ, &row, err, "t", log);

	out->sequence = 0;
	qosid_buf_reset(&out->recipient);
	qosid_buf_wipe(&out->data);
	if (rc != 0 || !row)
		return rc;
	rc = qosid_buf_append(&out->recipient, sqlite3_column_text(row, 0), (size_t)sqlite3_column_bytes(row, 0), err);
	if (rc == 0)
		rc = qosid_buf_append(
		    &out->data, sqlite3_column_blob(row, 2), (size_t)sqlite3_column_bytes(row, 2), err);
	if (rc == 0)
		out->sequence = sqlite3_column_int64(row, 1);
	replica_query_end(row);
	return rc;
}

int replica_put_dictionary(struct replica *replica, const char *log, const char *recipient, int64_t sequence,
    const void *data, size_t len, struct qosid_errbuf *err)
{
	int rc = replica_need_transaction(replica, err);

	if (rc != 0)
		return rc;
	return replica_run(replica, STATEMENT_DICTIONARY_PUT, err, "ttib", log, recipient, sequence, data, len);
}

/* ---- findings ---- */

int replica_put_finding(struct replica *replica, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	int rc = replica_need_transaction(replica, err);

	if (rc != 0)
		return rc;
	return replica_run(replica, STATEMENT_FINDING_PUT, err, "ttittii", finding->log, finding->cause,
	    finding->sequence, finding->detail, finding->evidence, finding->time, (int64_t)finding->stops);
}

int replica_clear_findings(struct replica *replica, const char *log, struct qosid_errbuf *err)
{
	int rc = replica_need_transaction(replica, err);

	return rc < 0 ? rc : replica_run(replica, STATEMENT_FINDING_CLEAR, err, "t", log);
}

int replica_clear_warnings(struct replica *replica, struct qosid_errbuf *err)
{
	int rc = replica_need_transaction(replica, err);

	return rc < 0 ? rc : replica_run(replica, STATEMENT_WARNINGS_CLEAR, err, "");
}

int replica_visit_findings(struct replica *replica,
    int (*visit)(void *context, const struct replica_finding *finding, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int rc = replica_prepare(replica,
	    "SELECT log, sequence, cause, detail, evidence, time, stops FROM finding ORDER BY log, cause", &row, err);

	while (rc == 0 && (rc = replica_walk_next(replica, row, err)) == 1) {
		struct replica_finding finding = {
		    .log = (const char *)sqlite3_column_text(row, 0),
		    .sequence = sqlite3_column_int64(row, 1),
		    .cause = (const char *)sqlite3_column_text(row, 2),
		    .detail = (const char *)sqlite3_column_text(row, 3),
		    .evidence = (const char *)sqlite3_column_text(row, 4),
		    .time = sqlite3_column_int64(row, 5),
		    .stops = sqlite3_column_int64(row, 6),
		};

		rc = visit(context, &finding, err);
	}
	sqlite3_finalize(row);
	return rc;
}
