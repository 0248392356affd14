/*
 * Blocks: runs of a view's rows that are counted, and reduced, together.
 *
 * The first block starts at the empty position, so that every position lies in one. Blocks are cut when the first build
 * of an index ends, since until then every batch would change them all; from then on they follow each row that comes or
 * goes. A block that has grown too long is split; one that has lost all its rows goes, unless it is the first.
 */
#include <stdlib.h>

#include "sync/replica/view_internal.h"

struct view_blocks {
	struct views *views;
	sqlite3_stmt *find;
	sqlite3_stmt *change;
	sqlite3_stmt *drop;
	sqlite3_stmt *middle;
	sqlite3_stmt *insert;
	struct qosid_buf start;
};

/* ---- cutting ---- */

int view_block_cut(struct views *views, int64_t number, struct qosid_errbuf *err)
{
	sqlite3_stmt *statement = NULL;
	int rc = view_prepare(views, "DELETE FROM block WHERE view = ?1", &statement, err, "i", number);

	if (rc == 0)
		rc = view_step(views, statement, err);
	sqlite3_finalize(statement);
	if (rc != 0)
		return rc;
	rc = view_prepare(views,
	    "INSERT INTO block (view, start, rows)"
	    " SELECT ?1, CASE WHEN piece = 0 THEN x'' ELSE min(position) END, count(*) FROM"
	    " (SELECT position, (row_number() OVER (ORDER BY position) - 1) / ?2 AS piece FROM row WHERE view = ?1)"
	    " GROUP BY piece UNION ALL"
	    " SELECT ?1, x'', 0 WHERE NOT EXISTS (SELECT 1 FROM row WHERE view = ?1)",
	    &statement, err, "ii", number, (int64_t)VIEW_BLOCK_ROWS);
	if (rc == 0)
		rc = view_step(views, statement, err);
	sqlite3_finalize(statement);
	return rc;
}

/* ---- following ---- */

int view_blocks_open(struct view_blocks **out, struct views *views, struct qosid_errbuf *err)
{
	struct view_blocks *blocks = calloc(1, sizeof(*blocks));
	int rc;

	*out = NULL;
	if (blocks == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	blocks->views = views;
	rc = view_prepare(views,
	    "SELECT start, rows FROM block WHERE view = ?1 AND start <= ?2 ORDER BY start DESC LIMIT 1", &blocks->find,
	    err, "");
	if (rc == 0)
		rc = view_prepare(views, "UPDATE block SET rows = ?3, reduction = NULL WHERE view = ?1 AND start = ?2",
		    &blocks->change, err, "");
	if (rc == 0)
		rc = view_prepare(views, "DELETE FROM block WHERE view = ?1 AND start = ?2", &blocks->drop, err, "");
	if (rc == 0)
		rc = view_prepare(views,
		    "SELECT position FROM row WHERE view = ?1 AND position >= ?2 ORDER BY position LIMIT 1 OFFSET ?3",
		    &blocks->middle, err, "");
	if (rc == 0)
		rc = view_prepare(
		    views, "INSERT INTO block (view, start, rows) VALUES (?1, ?2, ?3)", &blocks->insert, err, "");
	if (rc != 0) {
		view_blocks_close(blocks);
		return rc;
	}
	*out = blocks;
	return 0;
}

void view_blocks_close(struct view_blocks *blocks)
{
	if (blocks == NULL)
		return;
	sqlite3_finalize(blocks->find);
	sqlite3_finalize(blocks->change);
	sqlite3_finalize(blocks->drop);
	sqlite3_finalize(blocks->middle);
	sqlite3_finalize(blocks->insert);
	qosid_buf_free(&blocks->start);
	free(blocks);
}

/* blocks->start is the block's. The row that has come is in the table already. */
static int split(struct view_blocks *blocks, int64_t number, int64_t rows, struct qosid_errbuf *err)
{
	struct qosid_buf middle = {0};
	int64_t first = rows / 2;
	int rc =
	    view_bind(blocks->views, blocks->middle, err, "ibi", number, blocks->start.data, blocks->start.len, first);

	if (rc == 0)
		rc = view_step(blocks->views, blocks->middle, err);
	if (rc == 1) {
		struct json_slice at = view_column(blocks->middle, 0);

		rc = qosid_buf_append(&middle, at.text, at.len, err);
	} else if (rc == 0) {
		rc = qosid_error(err, QOSID_ERR_CORRUPT, "the blocks of a view do not fit its rows");
	}
	(void)sqlite3_reset(blocks->middle); /* repeats the error of the step */
	if (rc == 0)
		rc = view_run(
		    blocks->views, blocks->change, err, "ibi", number, blocks->start.data, blocks->start.len, first);
	if (rc == 0)
		rc = view_run(blocks->views, blocks->insert, err, "ibi", number, middle.data, middle.len, rows - first);
	qosid_buf_free(&middle);
	return rc;
}

int view_blocks_add(
    struct view_blocks *blocks, int64_t number, struct json_slice position, int change, struct qosid_errbuf *err)
{
	int64_t rows = 0;
	int rc = view_bind(blocks->views, blocks->find, err, "ib", number, position.text, position.len);

	if (rc == 0)
		rc = view_step(blocks->views, blocks->find, err);
	if (rc == 1) {
		struct json_slice start = view_column(blocks->find, 0);

		qosid_buf_reset(&blocks->start);
		rows = sqlite3_column_int64(blocks->find, 1) + change;
		rc = qosid_buf_append(&blocks->start, start.text, start.len, err);
	} else if (rc == 0) {
		rc = qosid_error(err, QOSID_ERR_CORRUPT, "the blocks of a view do not fit its rows");
	}
	(void)sqlite3_reset(blocks->find); /* repeats the error of the step */
	if (rc != 0)
		return rc;
	if (rows > VIEW_BLOCK_ROWS_MAX)
		return split(blocks, number, rows, err);
	if (rows <= 0 && blocks->start.len > 0)
		return view_run(blocks->views, blocks->drop, err, "ib", number, blocks->start.data, blocks->start.len);
	return view_run(blocks->views, blocks->change, err, "ibi", number, blocks->start.data, blocks->start.len, rows);
}

/* ---- counting ---- */

static int read_number(struct views *views, sqlite3_stmt *row, int rc, int64_t *out, struct qosid_errbuf *err)
{
	*out = 0;
	if (rc == 0)
		rc = view_step(views, row, err);
	if (rc == 1)
		*out = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	return rc < 0 ? rc : 0;
}

int view_block_count(struct views *views, const struct view_index *index, int64_t number, struct json_slice position,
    int64_t *out, struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int64_t whole = 0;
	int64_t part;
	int rc;

	if (!index->blocks) {
		rc = view_prepare(views, "SELECT count(*) FROM row WHERE view = ?1 AND position < ?2", &row, err, "ib",
		    number, position.text, position.len);
		return read_number(views, row, rc, out, err);
	}
	rc = view_prepare(views,
	    "SELECT coalesce(sum(rows), 0) FROM block WHERE view = ?1 AND start <"
	    " (SELECT max(start) FROM block WHERE view = ?1 AND start <= ?2)",
	    &row, err, "ib", number, position.text, position.len);
	rc = read_number(views, row, rc, &whole, err);
	if (rc != 0)
		return rc;
	row = NULL;
	rc = view_prepare(views,
	    "SELECT count(*) FROM row WHERE view = ?1 AND position < ?2 AND position >="
	    " (SELECT max(start) FROM block WHERE view = ?1 AND start <= ?2)",
	    &row, err, "ib", number, position.text, position.len);
	rc = read_number(views, row, rc, &part, err);
	*out = whole + part;
	return rc;
}
