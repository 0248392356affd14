/*
 * Running a query: one walk in the order of the index, or of document ids, row by row to the sink. Only the row at hand
 * is in memory, whatever the size of the answer.
 */
#include <string.h>
#include <time.h>

#include "sync/replica/mango_internal.h"
#include "sync/replica/replica_internal.h"

#define FLUSH_BYTES (32u << 10)
#define SCAN_WARNING_RATIO 10 /* as in CouchDB */

struct run {
	struct replica *replica;
	struct mango_query *query;
	const struct mango_index *index;
	const struct mango_render *render;
	const struct qosid_sink *sink;
	struct qosid_errbuf *err;
	struct mango_place place; /* of the last row written */
	struct replica_record record;
	struct qosid_buf out;
	struct qosid_buf scratch;
	bool needs_rev; /* the selector looks at _rev, which takes decoding the tree */
	int64_t skipped;
	int64_t keys;
	int64_t documents;
	int64_t results;
	struct timespec begin;
};

/* ---- the walk ---- */

/* Without a bookmark the place is before all documents of the lowest key: (low, ""), or behind those of the highest. */
static int prepare_index(struct run *r, sqlite3_stmt **out)
{
	static const char up[] =
	    "SELECT " DOCUMENT_COLUMNS ", key FROM mango_entry CROSS JOIN document ON id = document_id"
	    " WHERE mango_entry.number = ?1 AND (key, document_id) > (?2, ?3) AND key < ?4"
	    " ORDER BY key, document_id";
	static const char down[] =
	    "SELECT " DOCUMENT_COLUMNS ", key FROM mango_entry CROSS JOIN document ON id = document_id"
	    " WHERE mango_entry.number = ?1 AND (key, document_id) < (?4, ?3) AND key >= ?2"
	    " ORDER BY key DESC, document_id DESC";
	const struct mango_query *q = r->query;
	const struct qosid_buf *low = r->place.set && !q->descending ? &r->place.key : &q->low;
	const struct qosid_buf *high = r->place.set && q->descending ? &r->place.key : &q->high;
	int rc = replica_prepare(r->replica, q->descending ? down : up, out, r->err);

	if (rc == 0)
		rc = replica_bind(r->replica, *out, r->err, "ibsb", r->index->number, low->data, low->len,
		    r->place.id.data, r->place.id.len, high->data, high->len);
	return rc;
}

static int prepare_all(struct run *r, sqlite3_stmt **out)
{
	static const char up[] = "SELECT " DOCUMENT_COLUMNS " FROM document WHERE id >= ?1 AND id > ?2 AND id <= ?3"
				 " AND flags & 1 = 0 ORDER BY id";
	static const char down[] = "SELECT " DOCUMENT_COLUMNS " FROM document WHERE id >= ?1 AND id <= ?3 AND id < ?2"
				   " AND flags & 1 = 0 ORDER BY id DESC";
	static const char top[] = "\xff"; /* above all UTF-8 */
	const struct mango_query *q = r->query;
	const char *high = q->high.len > 0 ? (const char *)q->high.data : top;
	size_t high_len = q->high.len > 0 ? q->high.len : 1;
	const char *after = r->place.set ? (const char *)r->place.id.data : q->descending ? top : "";
	int rc = replica_prepare(r->replica, q->descending ? down : up, out, r->err);

	if (rc == 0)
		rc = replica_bind(r->replica, *out, r->err, "sts", q->low.data, q->low.len, after, high, high_len);
	return rc;
}

/* ---- rows ---- */

static int flush(struct run *r, size_t above)
{
	int rc = 0;

	if (r->out.len > above) {
		rc = r->sink->write(r->sink->context, r->out.data, r->out.len, r->err);
		qosid_buf_reset(&r->out);
	}
	return rc;
}

static int append_document(struct run *r)
{
	const struct mango_query *q = r->query;
	struct mango_subject subject = mango_subject_of(&r->record);

	if (q->field_count > 0)
		return mango_project(q->fields, q->field_count, &subject, &r->scratch, &r->out, r->err);
	if (r->render != NULL)
		return r->render->append(r->render->context, &r->record, q->conflicts, &r->out, r->err);
	return replica_render_record(r->replica, &r->record, q->conflicts ? RENDER_CONFLICTS : 0, &r->out, r->err);
}

static int write_result(struct run *r, sqlite3_stmt *row)
{
	int rc = 0;

	if (r->skipped < r->query->skip) {
		r->skipped++;
		return 0;
	}
	rc = qosid_buf_append_text(&r->out, r->results > 0 ? ",\n" : "", r->err);
	if (rc == 0)
		rc = append_document(r);
	qosid_buf_reset(&r->place.key);
	qosid_buf_reset(&r->place.id);
	if (rc == 0 && r->index != NULL)
		rc = qosid_buf_append(
		    &r->place.key, sqlite3_column_blob(row, 8), (size_t)sqlite3_column_bytes(row, 8), r->err);
	if (rc == 0)
		rc = qosid_buf_append(&r->place.id, r->record.id.data, r->record.id.len, r->err);
	r->place.set = true;
	r->results++;
	return rc != 0 ? rc : flush(r, FLUSH_BYTES);
}

static int match_row(struct run *r, sqlite3_stmt *row, bool *matches)
{
	struct mango_subject subject = {
	    .id = (const char *)sqlite3_column_text(row, 1),
	    .attachments = {(const char *)sqlite3_column_text(row, 6), (size_t)sqlite3_column_bytes(row, 6)},
	    .body = {(const char *)sqlite3_column_text(row, 7), (size_t)sqlite3_column_bytes(row, 7)},
	};
	int rc = 0;

	*matches = false;
	if ((sqlite3_column_int64(row, 2) & FLAG_DELETED) || strncmp(subject.id, "_design/", 8) == 0)
		return 0;
	r->documents++;
	if (r->needs_rev) {
		rc = record_load_document(r->replica, row, &r->record, r->err);
		subject = mango_subject_of(&r->record);
	}
	if (rc == 0)
		rc = mango_match(r->query->selector, &subject, matches, r->err);
	if (rc == 0 && *matches && !r->needs_rev)
		rc = record_load_document(r->replica, row, &r->record, r->err);
	return rc;
}

static int walk(struct run *r)
{
	sqlite3_stmt *row = NULL;
	int64_t sequence = 0;
	bool matches;
	int rc;

	if (r->query->limit == 0)
		return 0;
	rc = r->index != NULL ? prepare_index(r, &row) : prepare_all(r, &row);
	while (rc == 0 && r->results < r->query->limit && (rc = replica_walk_next(r->replica, row, r->err)) == 1) {
		r->keys++;
		rc = match_row(r, row, &matches);
		if (rc == 0 && matches)
			rc = write_result(r, row);
	}
	if (rc == 0 && r->index != NULL && r->keys == 0) {
		rc = mango_store_sequence(r->replica, r->index->number, &sequence, r->err);
		if (rc == 0 && sequence < 0)
			rc = qosid_error(r->err, QOSID_ERR_BUSY, "the index was dropped while it was about to be read");
	}
	sqlite3_finalize(row);
	return rc;
}

/* ---- around the rows ---- */

static int append_place(struct run *r)
{
	int rc = qosid_buf_append_text(&r->out, "\r\n],\n\"bookmark\": ", r->err);

	if (rc != 0)
		return rc;
	if (r->place.set)
		return mango_bookmark_render(&r->place, r->index, &r->out, r->err);
	return qosid_buf_append_text(&r->out, "\"nil\"", r->err);
}

static int append_stats(struct run *r)
{
	struct timespec now;
	double elapsed;

	if (!r->query->execution_stats)
		return 0;
	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	elapsed = (double)(now.tv_sec - r->begin.tv_sec) * 1e3 + (double)(now.tv_nsec - r->begin.tv_nsec) / 1e6;
	return qosid_buf_append_format(&r->out, r->err,
	    ",\n\"execution_stats\": {\"total_keys_examined\":%lld,\"total_docs_examined\":%lld,"
	    "\"total_quorum_docs_examined\":0,\"results_returned\":%lld,\"execution_time_ms\":%.3f}",
	    (long long)r->keys, (long long)r->documents, (long long)r->results, elapsed);
}

static int append_refused_wish(struct run *r, struct qosid_buf *text)
{
	const struct mango_query *q = r->query;

	if (!q->wish_refused)
		return 0;
	if (q->use_name.len == 0)
		return qosid_buf_append_format(text, r->err,
		    "%s was not used because it does not contain a valid index for this query.",
		    (const char *)q->use_ddoc.data);
	return qosid_buf_append_format(text, r->err,
	    "%s, %s was not used because it is not a valid index for this query.", (const char *)q->use_ddoc.data,
	    (const char *)q->use_name.data);
}

static int append_warning(struct run *r)
{
	struct qosid_buf text = {0};
	int rc = append_refused_wish(r, &text);

	if (rc == 0 && r->index == NULL)
		rc = qosid_buf_append_format(&text, r->err,
		    "%sNo matching index found, create an index to optimize query time.", text.len > 0 ? "\n" : "");
	if (rc == 0 && r->documents > SCAN_WARNING_RATIO * (r->results > 0 ? r->results : 1))
		rc = qosid_buf_append_format(&text, r->err,
		    "%sThe number of documents examined is high in proportion to the number of results returned. "
		    "Consider adding a more specific index to improve this.",
		    text.len > 0 ? "\n" : "");
	if (rc == 0 && text.len > 0)
		rc = qosid_buf_append_text(&r->out, ",\n\"warning\": ", r->err);
	if (rc == 0 && text.len > 0)
		rc = json_string_encode(&r->out, (const char *)text.data, text.len, r->err);
	qosid_buf_free(&text);
	return rc;
}

int mango_query_run(struct replica *replica, struct mango_query *query, const struct mango_render *render,
    const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	struct run r = {
	    .replica = replica,
	    .query = query,
	    .index = mango_query_index(query),
	    .render = render,
	    .sink = sink,
	    .err = err,
	    .needs_rev = mango_looks_at(query->selector->root, "_rev"),
	};
	int rc = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &r.begin); /* cannot fail */
	if (query->bookmark.len > 0)
		rc = mango_bookmark_parse(query->bookmark, r.index, &r.place, err);
	if (rc == 0)
		rc = qosid_buf_append_text(&r.out, "{\"docs\":[\n", err);
	if (rc == 0)
		rc = walk(&r);
	if (rc == 0)
		rc = append_place(&r);
	if (rc == 0)
		rc = append_stats(&r);
	if (rc == 0)
		rc = append_warning(&r);
	if (rc == 0)
		rc = qosid_buf_append_text(&r.out, "}\n", err);
	if (rc == 0)
		rc = flush(&r, 0);
	mango_place_free(&r.place);
	replica_record_free(&r.record);
	qosid_buf_wipe(&r.out);
	qosid_buf_wipe(&r.scratch);
	return rc;
}
