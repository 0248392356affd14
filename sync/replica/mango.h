/*
 * Mango: CouchDB's declarative queries (_find, _index, _explain, and the _selector filter of _changes) over a replica.
 *
 * Documents are matched as text, never through a lossy tree: numbers compare exactly, whatever their size. Indexes are
 * defined by design documents of language "query", exactly as CouchDB stores them, so definitions replicate; their
 * entries live in SQLite tables of this file's own, with keys whose bytes sort as CouchDB collates (collate.h). An
 * index catches up with the changes feed before a query reads it, as CouchDB's do.
 *
 * Refusals. What a request gets wrong is QOSID_ERR_INVALID with CouchDB's reason in err->what and CouchDB's error name
 * ("invalid_operator", "bad_arg", "no_usable_index", ...) in err->where; the HTTP status is 400. A missing index is
 * QOSID_ERR_NOTFOUND in the same form.
 *
 * Nothing here is safe for two threads at once on one object.
 */
#ifndef QOSID_SYNC_REPLICA_MANGO_H
#define QOSID_SYNC_REPLICA_MANGO_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "crypto/sink.h"
#include "sync/replica/json.h"
#include "sync/replica/replica.h"

#define MANGO_REGEX_PATTERN_BYTES 1024u        /* a longer pattern is refused */
#define MANGO_REGEX_SUBJECT_BYTES (256u << 10) /* a longer string is matched by no $regex */
#define MANGO_INDEX_FIELDS 32u                 /* columns of one index */
#define MANGO_UPDATE_BATCH 2000                /* documents that one mango_query_update() takes in */

/* ---- selectors (mango_selector.c, mango_match.c) ---- */

struct mango_selector;

/* Compile checked JSON. The text is copied. */
int mango_selector_parse(struct mango_selector **out, struct json_slice selector, struct qosid_errbuf *err);
void mango_selector_free(struct mango_selector *selector); /* accepts NULL */

/* Append the normalised selector as JSON, as _explain shows it. */
int mango_selector_render(const struct mango_selector *selector, struct qosid_buf *out, struct qosid_errbuf *err);

/* A document as a selector sees it: the body's members and _id, _rev, _attachments, and _deleted of a tombstone. */
struct mango_subject {
	const char *id;
	const struct revision *rev; /* NULL: none */
	bool deleted;
	struct json_slice attachments; /* JSON object; len 0: none */
	struct json_slice body;        /* checked object */
};
struct mango_subject mango_subject_of(const struct replica_record *record);

/* Whether the subject matches. Fails only when memory runs out. */
int mango_match(
    struct mango_selector *selector, const struct mango_subject *subject, bool *matches, struct qosid_errbuf *err);

/* ---- index definitions (mango_index.c) ---- */

/* What POST _index asks for, checked and ready to be stored. */
struct mango_index_request {
	struct qosid_buf ddoc; /* "_design/..." */
	struct qosid_buf name;
	struct qosid_buf fields;  /* {"a":"asc",...} */
	struct qosid_buf partial; /* the normalised partial_filter_selector; "{}" when there is none */
	struct qosid_buf def;     /* as the client wrote it, with partial_filter_selector when given */
};

/* Read the body of POST _index (a checked object). Starts as {0}. */
int mango_index_request_parse(struct mango_index_request *request, struct json_slice body, struct qosid_errbuf *err);
void mango_index_request_free(struct mango_index_request *request);

/* Put the index into its design document. current is that document's body, len 0 when there is none yet. *exists: the
 * very same index is there already and body is left empty; otherwise body is the design document's new body. */
int mango_index_insert(const struct mango_index_request *request, struct json_slice current, bool *exists,
    struct qosid_buf *body, struct qosid_errbuf *err);

/* Take an index out of a design document's body. QOSID_ERR_NOTFOUND when it is not in there; *empty: no index is left,
 * so the document can be deleted. */
int mango_index_remove(
    struct json_slice current, const char *name, bool *empty, struct qosid_buf *body, struct qosid_errbuf *err);

/* Append the members "total_rows" and "indexes" of GET _index. limit < 0: all. */
int mango_index_list(
    struct replica *replica, int64_t limit, int64_t skip, struct qosid_buf *out, struct qosid_errbuf *err);

/* ---- queries (mango_query.c, mango_plan.c) ---- */

struct mango_query;

/* Read the body of POST _find or _explain (a checked object). */
int mango_query_parse(struct mango_query **out, struct json_slice body, struct qosid_errbuf *err);
void mango_query_free(struct mango_query *query); /* accepts NULL */

/*
 * Choose an index and see whether it is up to date with the replica as it was at the first call. While it is not ready,
 * begin a transaction, call mango_query_update(), commit, and ask again: each update is bounded by MANGO_UPDATE_BATCH
 * documents, so other writers get their turn.
 */
int mango_query_ready(struct replica *replica, struct mango_query *query, bool *ready, struct qosid_errbuf *err);
int mango_query_update(struct replica *replica, struct mango_query *query, struct qosid_errbuf *err);

/* How a document is shown when no fields were asked for: append it as JSON. */
struct mango_render {
	int (*append)(void *context, const struct replica_record *record, bool conflicts, struct qosid_buf *out,
	    struct qosid_errbuf *err);
	void *context;
};

/* Write the whole answer of _find, row by row, in one read snapshot. render NULL: by replica_render_record(). Call
 * mango_query_ready() before. QOSID_ERR_BUSY: the index has been dropped meanwhile. */
int mango_query_run(struct replica *replica, struct mango_query *query, const struct mango_render *render,
    const struct qosid_sink *sink, struct qosid_errbuf *err);

/* Append the answer of _explain. Call mango_query_ready() before (it need not be ready). */
int mango_query_explain(
    const struct mango_query *query, const char *database, struct qosid_buf *out, struct qosid_errbuf *err);

#endif
