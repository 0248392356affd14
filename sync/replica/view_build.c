/*
 * Building: from documents to rows.
 *
 * The functions of a batch of documents run before its transaction begins, so that a slow function keeps nobody from
 * writing; what they emitted waits in memory, which is bounded. The transaction then looks whether the index is still
 * where it was, takes the documents' old rows away, and puts the new ones in.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/replica/view_internal.h"

/* A document or a row that waits, its texts in batch.text one after the other. view -1: a document. */
struct item {
	int view;
	size_t at;
	uint32_t position_len;
	uint32_t key_len;
	uint32_t value_len;
	uint32_t id_len;
};

struct batch {
	struct views *views;
	const struct view_group *group;
	const struct view_engine *engine;
	struct view_index index;
	struct qosid_buf text;
	struct item *items;
	size_t count;
	size_t capacity;
	int64_t documents;
	int64_t sequence; /* of the last document */
	struct qosid_buf emitted;
	bool full;
};

/* ---- running the functions ---- */

static int add_item(struct batch *batch, const struct item *item, struct qosid_errbuf *err)
{
	if (batch->count == batch->capacity) {
		size_t capacity = batch->capacity > 0 ? batch->capacity * 2 : 1024;
		struct item *items = realloc(batch->items, capacity * sizeof(*items));

		if (items == NULL)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
		batch->items = items;
		batch->capacity = capacity;
	}
	batch->items[batch->count++] = *item;
	return 0;
}

static int add_row(struct batch *batch, int view, uint32_t nth, const struct qosid_buf *id, struct json_slice pair,
    struct qosid_errbuf *err)
{
	const uint8_t number[5] = {0, (uint8_t)(nth >> 24), (uint8_t)(nth >> 16), (uint8_t)(nth >> 8), (uint8_t)nth};
	struct item item = {.view = view, .at = batch->text.len, .id_len = (uint32_t)id->len};
	struct json_slice name;
	struct json_slice key = {"null", 4};
	struct json_slice value = {"null", 4};
	size_t position = 0;
	int rc;

	if (json_slice_kind(pair) != JSON_ARRAY || !json_next(pair, &position, &name, &key) ||
	    !json_next(pair, &position, &name, &value))
		return qosid_error(err, QOSID_ERR_INVALID, "a view function has emitted what is no pair");
	rc = collate_key(batch->views->collator, key, false, &batch->text, err);
	if (rc == 0)
		rc = qosid_buf_append(&batch->text, id->data, id->len, err);
	if (rc == 0)
		rc = qosid_buf_append(&batch->text, number, sizeof(number), err);
	item.position_len = (uint32_t)(batch->text.len - item.at);
	item.key_len = (uint32_t)key.len;
	item.value_len = (uint32_t)value.len;
	if (rc == 0)
		rc = qosid_buf_append(&batch->text, key.text, key.len, err);
	if (rc == 0)
		rc = qosid_buf_append(&batch->text, value.text, value.len, err);
	if (rc == 0)
		rc = qosid_buf_append(&batch->text, id->data, id->len, err);
	return rc != 0 ? rc : add_item(batch, &item, err);
}

static int add_emitted(struct batch *batch, const struct qosid_buf *id, struct qosid_errbuf *err)
{
	struct json_slice all = {(const char *)batch->emitted.data, batch->emitted.len};
	struct json_slice name;
	struct json_slice list;
	struct json_slice pair;
	size_t position = 0;
	int view = 0;
	int rc = json_check(all.text != NULL ? all.text : "", all.len, err);

	if (rc == 0 && json_slice_kind(all) != JSON_ARRAY)
		rc = qosid_error(err, QOSID_ERR_INVALID, "a view function's answer is no list");
	for (; rc == 0 && json_next(all, &position, &name, &list) && (size_t)view < batch->group->count; view++) {
		size_t at = 0;
		uint32_t nth = 0;

		if (json_slice_kind(list) != JSON_ARRAY)
			continue;
		while (rc == 0 && json_next(list, &at, &name, &pair))
			rc = add_row(batch, view, nth++, id, pair, err);
	}
	return rc;
}

static int map_document(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct batch *batch = context;
	struct item document = {.view = -1, .at = batch->text.len, .id_len = (uint32_t)record->id.len};
	bool skipped = record->deleted ||
		       (!batch->group->include_design && strncmp((const char *)record->id.data, "_design/", 8) == 0);
	size_t kept_text;
	size_t kept_items;
	int rc;

	if (batch->documents == VIEW_BATCH_DOCUMENTS || batch->text.len > VIEW_BATCH_BYTES) {
		batch->full = true;
		return 1;
	}
	rc = qosid_buf_append(&batch->text, record->id.data, record->id.len, err);
	if (rc == 0)
		rc = add_item(batch, &document, err);
	batch->documents++;
	batch->sequence = record->sequence;
	if (rc != 0 || skipped)
		return rc;
	kept_text = batch->text.len;
	kept_items = batch->count;
	qosid_buf_reset(&batch->emitted);
	rc = batch->engine->map(batch->engine->context, batch->group, record, &batch->emitted, err);
	if (rc == 0)
		rc = add_emitted(batch, &record->id, err);
	if (rc == QOSID_ERR_INVALID || (rc == QOSID_ERR_LIMIT && batch->emitted.len > 0)) {
		/* What was emitted is not JSON that can be kept: the document has no rows. */
		qosid_buf_cut(&batch->text, kept_text);
		batch->count = kept_items;
		qosid_error_clear(err);
		rc = 0;
	}
	return rc;
}

/* ---- writing ---- */

struct writing {
	struct batch *batch;
	sqlite3_stmt *old;
	sqlite3_stmt *remove;
	sqlite3_stmt *insert;
	struct view_blocks *blocks; /* NULL before they are cut */
	int64_t *change;            /* of each view's number of rows */
};

/* Old rows leave their blocks one by one. */
static int leave_blocks(struct writing *w, int64_t number, const char *id, size_t id_len, struct qosid_errbuf *err)
{
	struct views *views = w->batch->views;
	int rc = view_bind(views, w->old, err, "is", number, id, id_len);

	while (rc == 0 && (rc = view_step(views, w->old, err)) == 1)
		rc = view_blocks_add(w->blocks, number, view_column(w->old, 0), -1, err);
	(void)sqlite3_reset(w->old); /* repeats the error of the step */
	return rc;
}

static int remove_rows(struct writing *w, const struct item *item, struct qosid_errbuf *err)
{
	struct batch *batch = w->batch;
	const char *id = (const char *)batch->text.data + item->at;
	int rc = 0;

	if (batch->index.sequence == 0)
		return 0; /* nothing is there yet */
	for (size_t i = 0; rc == 0 && i < batch->group->count; i++) {
		int64_t number = view_number(&batch->index, i);

		if (w->blocks != NULL)
			rc = leave_blocks(w, number, id, item->id_len, err);
		if (rc == 0)
			rc = view_run(batch->views, w->remove, err, "is", number, id, (size_t)item->id_len);
		if (rc == 0)
			w->change[i] -= sqlite3_changes(batch->views->db);
	}
	return rc;
}

static int insert_row(struct writing *w, const struct item *item, struct qosid_errbuf *err)
{
	struct batch *batch = w->batch;
	int64_t number = view_number(&batch->index, (size_t)item->view);
	const char *position = (const char *)batch->text.data + item->at;
	const char *key = position + item->position_len;
	const char *value = key + item->key_len;
	const char *id = value + item->value_len;
	int rc = view_run(batch->views, w->insert, err, "ibsss", number, position, (size_t)item->position_len, id,
	    (size_t)item->id_len, key, (size_t)item->key_len, value, (size_t)item->value_len);

	w->change[item->view]++;
	if (rc == 0 && w->blocks != NULL)
		rc = view_blocks_add(w->blocks, number, (struct json_slice){position, item->position_len}, 1, err);
	return rc;
}

static int write_items(struct writing *w, struct qosid_errbuf *err)
{
	struct views *views = w->batch->views;
	int rc = view_prepare(views, "SELECT position FROM row WHERE view = ?1 AND id = ?2", &w->old, err, "");

	if (rc == 0)
		rc = view_prepare(views, "DELETE FROM row WHERE view = ?1 AND id = ?2", &w->remove, err, "");
	if (rc == 0)
		rc = view_prepare(views, "INSERT INTO row (view, position, id, key, value) VALUES (?1, ?2, ?3, ?4, ?5)",
		    &w->insert, err, "");
	if (rc == 0 && w->batch->index.blocks)
		rc = view_blocks_open(&w->blocks, views, err);
	for (size_t i = 0; rc == 0 && i < w->batch->count; i++) {
		const struct item *item = &w->batch->items[i];

		rc = item->view < 0 ? remove_rows(w, item, err) : insert_row(w, item, err);
	}
	sqlite3_finalize(w->old);
	sqlite3_finalize(w->remove);
	sqlite3_finalize(w->insert);
	view_blocks_close(w->blocks);
	return rc;
}

static int write_counts(struct writing *w, int64_t sequence, bool cut, struct qosid_errbuf *err)
{
	struct views *views = w->batch->views;
	const struct view_index *index = &w->batch->index;
	sqlite3_stmt *statement = NULL;
	int rc = view_prepare(views,
	    "INSERT INTO view (number, rows) VALUES (?1, ?2) ON CONFLICT (number) DO UPDATE SET rows = rows + ?2",
	    &statement, err, "");

	for (size_t i = 0; rc == 0 && i < w->batch->group->count; i++) {
		if (w->change[i] != 0)
			rc = view_run(views, statement, err, "ii", view_number(index, i), w->change[i]);
		if (rc == 0 && cut)
			rc = view_block_cut(views, view_number(index, i), err);
	}
	sqlite3_finalize(statement);
	statement = NULL;
	if (rc == 0)
		rc = view_prepare(views, "UPDATE view_index SET sequence = ?2, blocks = ?3 WHERE number = ?1",
		    &statement, err, "iii", index->number, sequence, (int64_t)(cut || index->blocks));
	if (rc == 0)
		rc = view_step(views, statement, err);
	sqlite3_finalize(statement);
	return rc;
}

/* The index, made if there is none; *same tells whether it is where the batch began. */
static int claim_index(struct batch *batch, bool *same, struct qosid_errbuf *err)
{
	struct view_index now;
	sqlite3_stmt *statement = NULL;
	int rc = view_find_index(batch->views, batch->group, &now, err);

	*same = rc == 0 && now.number == batch->index.number && now.sequence == batch->index.sequence;
	if (rc != 0 || now.number != 0)
		return rc;
	rc = view_prepare(batch->views, "INSERT INTO view_index (signature, sequence, blocks) VALUES (?1, 0, 0)",
	    &statement, err, "t", batch->group->signature);
	if (rc == 0)
		rc = view_step(batch->views, statement, err);
	sqlite3_finalize(statement);
	batch->index.number = sqlite3_last_insert_rowid(batch->views->db);
	return rc;
}

static int write_batch(struct batch *batch, int64_t sequence, bool last, struct qosid_errbuf *err)
{
	struct writing w = {.batch = batch};
	bool same = false;
	int rc;

	w.change = calloc(batch->group->count + 1, sizeof(*w.change));
	if (w.change == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	rc = view_exec(batch->views, "BEGIN IMMEDIATE", err);
	if (rc == 0)
		rc = claim_index(batch, &same, err);
	if (rc == 0 && same) {
		rc = write_items(&w, err);
		if (rc == 0)
			rc = write_counts(&w, sequence, last && !batch->index.blocks, err);
	}
	if (rc == 0)
		rc = view_exec(batch->views, "COMMIT", err);
	if (rc != 0 && !sqlite3_get_autocommit(batch->views->db))
		(void)view_exec(batch->views, "ROLLBACK", NULL); /* the error before counts */
	free(w.change);
	return rc;
}

/* The rows of a purged document go; what is left of it, or has come back, is among the changes. */
static int forget_purged(
    void *context, const char *id, const struct revision *rev, int64_t sequence, struct qosid_errbuf *err)
{
	struct batch *batch = context;
	struct item document = {.view = -1, .at = batch->text.len, .id_len = (uint32_t)strlen(id)};
	int rc = qosid_buf_append(&batch->text, id, document.id_len, err);

	(void)rev;
	(void)sequence;
	return rc != 0 ? rc : add_item(batch, &document, err);
}

/* Take in purges and changes. *moved: there was a purge meanwhile, which a change after it could hide. */
static int collect_batch(struct batch *batch, struct replica *replica, bool *moved, struct qosid_errbuf *err)
{
	int64_t before, after = 0;
	int rc = replica_purge_sequence(replica, &before, err);

	if (rc == 0 && batch->index.sequence > 0)
		rc = replica_visit_purged(replica, batch->index.sequence, 0, forget_purged, batch, err);
	if (rc == 0)
		rc = replica_visit_changes(replica, batch->index.sequence, 0, map_document, batch, err);
	if (rc == 1 && batch->full)
		rc = 0;
	if (rc == 0)
		rc = replica_purge_sequence(replica, &after, err);
	*moved = after != before;
	return rc;
}

/* A replica that is behind its index is another one, put in its place: begin anew. */
static int restart_index(struct batch *batch, struct qosid_errbuf *err)
{
	static const char none[1][VIEW_SIGNATURE_SIZE];

	batch->index = (struct view_index){0};
	return views_clean(batch->views, none, 0, err);
}

int views_update(struct views *views, struct replica *replica, const struct view_group *group,
    const struct view_engine *engine, bool *done, struct qosid_errbuf *err)
{
	struct batch batch = {.views = views, .group = group, .engine = engine};
	struct replica_info info;
	bool moved = false;
	int rc = view_find_index(views, group, &batch.index, err);

	*done = false;
	/* Read first: what is written meanwhile comes with the next batch. */
	if (rc == 0)
		rc = replica_read_info(replica, &info, err);
	if (rc == 0 && batch.index.sequence > info.sequence)
		rc = restart_index(&batch, err);
	if (rc == 0 && batch.index.blocks && batch.index.sequence == info.sequence) {
		*done = true;
		return 0;
	}
	if (rc == 0)
		rc = collect_batch(&batch, replica, &moved, err);
	if (rc == 0 && !batch.full && batch.sequence < info.sequence)
		batch.sequence = info.sequence; /* the newest changes were of documents that have changed again */
	if (rc == 0 && !moved)
		rc = write_batch(&batch, batch.sequence, !batch.full, err);
	qosid_buf_wipe(&batch.text);
	qosid_buf_wipe(&batch.emitted);
	free(batch.items);
	return rc;
}
