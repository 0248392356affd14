/* Shared by the files that make up views: the connection, its rows, reductions. */
#ifndef QOSID_SYNC_REPLICA_VIEW_INTERNAL_H
#define QOSID_SYNC_REPLICA_VIEW_INTERNAL_H

#include <sqlite3.h>

#include "sync/replica/collate.h"
#include "sync/replica/view.h"

#define VIEW_FUNCTIONS_MAX 1000      /* of one design document; smaller than VIEW_NUMBERS */
#define VIEW_NUMBERS 1024            /* a view's number is its group's times this, plus its place */
#define VIEW_BATCH_DOCUMENTS 1000    /* of a transaction */
#define VIEW_BATCH_BYTES (8u << 20)  /* of rows that wait for one */
#define VIEW_BLOCK_ROWS 128          /* of a fresh block */
#define VIEW_BLOCK_ROWS_MAX 256      /* a longer one is split */
#define VIEW_FOLD_BLOCKS 64          /* reduced in a transaction */
#define VIEW_REDUCE_BYTES (1u << 20) /* of rows or values that a reduce function gets at once */
#define VIEW_REDUCE_VALUES 1000

struct views {
	sqlite3 *db;
	char *path;
	bool reading;
	struct collator *collator;
};

/* A range of positions: from (inclusive) to (exclusive). A row's position is its key's sort key, its document's id,
 * a zero byte, and four bytes that tell rows of one key and document apart. */
struct view_span {
	struct qosid_buf from;
	struct qosid_buf to;
};
void view_span_free(struct view_span *span);

/* One index as it stands. number 0: there is none. */
struct view_index {
	int64_t number;
	int64_t sequence;
	bool blocks; /* rows are in blocks: from the end of the first build on */
};

/* ---- view_store.c ---- */

int view_sqlite_error(struct views *views, int rc, const char *what, struct qosid_errbuf *err);
int view_exec(struct views *views, const char *sql, struct qosid_errbuf *err);
/* Prepare and bind; format as replica_run()'s: i, t, s, b, o. The caller ends it with sqlite3_finalize(). */
int view_prepare(
    struct views *views, const char *sql, sqlite3_stmt **out, struct qosid_errbuf *err, const char *format, ...);
int view_bind(struct views *views, sqlite3_stmt *statement, struct qosid_errbuf *err, const char *format, ...);
/* 1: a row, 0: the end, or a negative error. */
int view_step(struct views *views, sqlite3_stmt *statement, struct qosid_errbuf *err);
/* Bind, run to the end, and make ready for the next time. */
int view_run(struct views *views, sqlite3_stmt *statement, struct qosid_errbuf *err, const char *format, ...);
int view_find_index(
    struct views *views, const struct view_group *group, struct view_index *out, struct qosid_errbuf *err);
static inline int64_t view_number(const struct view_index *index, size_t view)
{
	return index->number * VIEW_NUMBERS + (int64_t)view;
}
static inline struct json_slice view_column(sqlite3_stmt *row, int column)
{
	const char *text = (const char *)sqlite3_column_blob(row, column);

	return (struct json_slice){text, (size_t)sqlite3_column_bytes(row, column)};
}

/* ---- view_block.c; all of them in a transaction ---- */

/* Cut a view's rows into blocks. */
int view_block_cut(struct views *views, int64_t number, struct qosid_errbuf *err);
/* A row has come to, or gone from, this position. */
struct view_blocks;
int view_blocks_open(struct view_blocks **out, struct views *views, struct qosid_errbuf *err);
void view_blocks_close(struct view_blocks *blocks);
int view_blocks_add(
    struct view_blocks *blocks, int64_t number, struct json_slice position, int change, struct qosid_errbuf *err);
/* How many rows lie before a position. */
int view_block_count(struct views *views, const struct view_index *index, int64_t number, struct json_slice position,
    int64_t *out, struct qosid_errbuf *err);

/* ---- view_reduce.c: from rows to a reduction ---- */

/* Takes rows and reductions of one view; memory is bounded. Starts as {.function, .engine, .collator}. */
struct view_fold {
	const struct view_function *function;
	const struct view_engine *engine;
	struct collator *collator;
	struct qosid_buf rows; /* what waits to be reduced, separated by commas */
	size_t row_count;
	struct qosid_buf values; /* and to be rereduced */
	size_t value_count;
};
void view_fold_free(struct view_fold *fold);
int view_fold_row(struct view_fold *fold, const struct view_row *row, struct qosid_errbuf *err);
int view_fold_value(struct view_fold *fold, struct json_slice value, struct qosid_errbuf *err);
/* Append the reduction of all, and begin anew. *any false: there was nothing, and nothing is appended. final: as the
 * reader sees it, otherwise as view_fold_value() takes it. */
int view_fold_end(struct view_fold *fold, bool final, bool *any, struct qosid_buf *out, struct qosid_errbuf *err);

/* ---- view_builtin.c: CouchDB's own reduce functions ---- */

/* list is an array: of rows' values (keys for REDUCER_DISTINCT, not looked at for REDUCER_COUNT), or of reductions. */
int view_builtin_reduce(enum view_reducer reducer, struct collator *collator, struct json_slice list, size_t count,
    struct qosid_buf *out, struct qosid_errbuf *err);
int view_builtin_rereduce(
    enum view_reducer reducer, struct json_slice list, struct qosid_buf *out, struct qosid_errbuf *err);
int view_builtin_finish(
    enum view_reducer reducer, struct json_slice value, struct qosid_buf *out, struct qosid_errbuf *err);

#endif
