/*
 * Reading documents: one, a range, the changes feed, conflicts; rendering; the digest over a whole replica.
 *
 * Visits hold one read snapshot from the first row to the last. A visitor may read anything, also by other visits; it
 * must not write documents, which would move rows under the walk.
 */
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/replica/replica_internal.h"

void replica_record_free(struct replica_record *record)
{
	qosid_buf_wipe(&record->id);
	qosid_buf_wipe(&record->body);
	qosid_buf_wipe(&record->attachments);
	qosid_buf_wipe(&record->user);
	revtree_free(record->tree);
	memset(record, 0, sizeof(*record));
}

int replica_load_tree(struct replica *replica, sqlite3_stmt *row, int column, const char *id, struct revtree **out,
    struct qosid_errbuf *err)
{
	const void *data = sqlite3_column_blob(row, column);
	int rc = revtree_decode(out, data, (size_t)sqlite3_column_bytes(row, column), err);

	if (rc != 0)
		(void)qosid_error_within(err, "replica %s: document \"%s\"", replica->path, id);
	return rc;
}

static int load_text(sqlite3_stmt *row, int column, struct qosid_buf *out, struct qosid_errbuf *err)
{
	const void *text = sqlite3_column_blob(row, column);

	qosid_buf_reset(out);
	return qosid_buf_append(out, text ? text : "", (size_t)sqlite3_column_bytes(row, column), err);
}

int record_load_document(
    struct replica *replica, sqlite3_stmt *row, struct replica_record *record, struct qosid_errbuf *err)
{
	struct revtree_leaf winner;
	int rc = load_text(row, 1, &record->id, err);

	if (rc != 0)
		return rc;
	record->sequence = sqlite3_column_int64(row, 0);
	record->time = sqlite3_column_int64(row, 3);
	revtree_free(record->tree);
	record->tree = NULL;
	rc = load_text(row, 4, &record->user, err);
	if (rc == 0)
		rc = replica_load_tree(replica, row, 5, (const char *)record->id.data, &record->tree, err);
	if (rc == 0)
		rc = load_text(row, 6, &record->attachments, err);
	if (rc == 0)
		rc = load_text(row, 7, &record->body, err);
	if (rc != 0)
		return rc;
	if (!revtree_winner(record->tree, &winner))
		return qosid_error(err, QOSID_ERR_CORRUPT, "the revision tree of document \"%s\" is empty",
		    (const char *)record->id.data);
	record->rev = winner.revision;
	record->deleted = winner.deleted;
	return 0;
}

int record_load_revision(
    struct replica *replica, sqlite3_stmt *row, struct replica_record *record, struct qosid_errbuf *err)
{
	size_t hash_len = (size_t)sqlite3_column_bytes(row, 2);
	int rc;

	if (hash_len == 0 || hash_len >= sizeof(record->rev.hash)) {
		(void)qosid_error(err, QOSID_ERR_CORRUPT, "a stored revision has no proper hash");
		(void)qosid_error_within(
		    err, "replica %s: document \"%s\"", replica->path, (const char *)record->id.data);
		return QOSID_ERR_CORRUPT;
	}
	record->deleted = sqlite3_column_int64(row, 0);
	record->rev.generation = (uint32_t)sqlite3_column_int64(row, 1);
	memcpy(record->rev.hash, sqlite3_column_blob(row, 2), hash_len);
	record->rev.hash[hash_len] = '\0';
	/* The tree knows better than the row: a later path may have said that this is a tombstone. */
	(void)revtree_find(record->tree, &record->rev, &record->deleted);
	record->time = sqlite3_column_int64(row, 3);
	rc = load_text(row, 4, &record->user, err);
	if (rc == 0)
		rc = load_text(row, 5, &record->attachments, err);
	if (rc == 0)
		rc = load_text(row, 6, &record->body, err);
	return rc;
}

/* ---- one document ---- */

/* record holds the winner; replace it by another revision of the same document. */
static int read_other_revision(struct replica *replica, const char *id, const struct revision *rev,
    struct replica_record *record, struct qosid_errbuf *err)
{
	char text[REVISION_TEXT_SIZE];
	sqlite3_stmt *row;
	int rc =
	    replica_query(replica, STATEMENT_REVISION_READ, &row, err, "tit", id, (int64_t)rev->generation, rev->hash);

	if (rc != 0)
		return rc;
	if (row) {
		rc = record_load_revision(replica, row, record, err);
		replica_query_end(row);
		return rc;
	}
	revision_format(text, rev);
	if (revtree_find(record->tree, rev, NULL) == REVTREE_ABSENT)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "document \"%s\", revision %s: missing", id, text);
	return qosid_error(err, QOSID_ERR_NOTFOUND, "document \"%s\", revision %s: body not kept", id, text);
}

int replica_read_document(struct replica *replica, const char *id, const struct revision *rev,
    struct replica_record *record, struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc = replica_query(replica, STATEMENT_DOCUMENT_READ, &row, err, "t", id);

	if (rc != 0)
		return rc;
	if (!row)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "document \"%s\": missing", id);
	rc = record_load_document(replica, row, record, err);
	replica_query_end(row);
	if (rc != 0)
		return rc;
	if (rev && revision_compare(rev, &record->rev) != 0)
		return read_other_revision(replica, id, rev, record, err);
	if (!rev && record->deleted)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "document \"%s\": deleted", id);
	return 0;
}

/* ---- rendering ---- */

struct ancestry {
	struct qosid_buf *text; /* hashes, NUL-separated */
	struct qosid_errbuf *err;
	size_t count;
	int rc;
};

static bool collect_hash(void *context, uint32_t generation, const char *hash)
{
	struct ancestry *ancestry = context;

	(void)generation;
	ancestry->rc = qosid_buf_append(ancestry->text, hash, strlen(hash) + 1, ancestry->err);
	ancestry->count++;
	return ancestry->rc == 0;
}

/* Lay out _revisions: pointers in replica->list to hashes in replica->text. */
static int collect_revisions(
    struct replica *replica, const struct replica_record *record, struct document_head *head, struct qosid_errbuf *err)
{
	struct ancestry ancestry = {.text = &replica->text, .err = err};
	const char *hash;
	int rc = 0;

	qosid_buf_reset(&replica->text);
	qosid_buf_reset(&replica->list);
	if (revtree_walk_path(record->tree, &record->rev, collect_hash, &ancestry) == 0)
		(void)collect_hash(&ancestry, record->rev.generation, record->rev.hash); /* it has been stemmed away */
	if (ancestry.rc < 0)
		return ancestry.rc;
	hash = (const char *)replica->text.data;
	for (size_t i = 0; rc == 0 && i < ancestry.count; i++) {
		rc = qosid_buf_append(&replica->list, &hash, sizeof(hash), err);
		hash += strlen(hash) + 1;
	}
	head->revisions = (const char *const *)(const void *)replica->list.data;
	head->revision_count = ancestry.count;
	return rc;
}

/* The other live leaves as a JSON array; nothing when there are none. */
static int format_conflicts(const struct replica_record *record, struct qosid_buf *out, struct qosid_errbuf *err)
{
	char text[REVISION_TEXT_SIZE];
	struct revtree_leaf leaf;
	int rc = 0;

	for (size_t i = 0; rc == 0 && revtree_leaf_at(record->tree, i, &leaf) && !leaf.deleted; i++) {
		if (revision_compare(&leaf.revision, &record->rev) == 0)
			continue;
		revision_format(text, &leaf.revision);
		rc = qosid_buf_append_byte(out, out->len == 0 ? '[' : ',', err);
		if (rc == 0)
			rc = json_string_encode(out, text, strlen(text), err);
	}
	if (rc == 0 && out->len > 0)
		rc = qosid_buf_append_byte(out, ']', err);
	return rc;
}

int replica_render_record(struct replica *replica, const struct replica_record *record, unsigned options,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_slice body = {(const char *)record->body.data, record->body.len};
	struct document_head head = {
	    .id = (const char *)record->id.data,
	    .rev = &record->rev,
	    .deleted = record->deleted,
	};
	struct qosid_buf attachments = {0}, conflicts = {0};
	struct json_slice conflicts_slice;
	int rc = 0;

	if (options & RENDER_REVISIONS)
		rc = collect_revisions(replica, record, &head, err);
	if (rc == 0 && (options & RENDER_CONFLICTS))
		rc = format_conflicts(record, &conflicts, err);
	if (rc == 0 && conflicts.len > 0) {
		conflicts_slice = (struct json_slice){(const char *)conflicts.data, conflicts.len};
		head.conflicts = &conflicts_slice;
	}
	if (rc == 0 && record->attachments.len > 0) {
		struct json_slice stored = {(const char *)record->attachments.data, record->attachments.len};

		rc = attachment_render(replica, stored, options & RENDER_ATTACHMENTS, &attachments, err);
		head.attachments = (struct json_slice){(const char *)attachments.data, attachments.len};
	}
	if (rc == 0)
		rc = document_render(out, &head, body, err);
	qosid_buf_free(&attachments);
	qosid_buf_free(&conflicts);
	return rc;
}

/* ---- visits ---- */

int replica_visit_rows(
    struct replica *replica, sqlite3_stmt *row, replica_visit_fn visit, void *context, struct qosid_errbuf *err)
{
	struct replica_record record = {0};
	int rc = 0;

	while (rc == 0 && (rc = replica_walk_next(replica, row, err)) == 1) {
		rc = record_load_document(replica, row, &record, err);
		if (rc == 0)
			rc = visit(context, &record, err);
	}
	sqlite3_finalize(row);
	replica_record_free(&record);
	return rc;
}

static int64_t limit_of(int64_t limit)
{
	return limit > 0 ? limit : INT64_MAX;
}

int replica_visit_documents(struct replica *replica, const struct replica_range *range, replica_visit_fn visit,
    void *context, struct qosid_errbuf *err)
{
	/* Without an upper bound the index would be left unused by "?2 IS NULL OR id <= ?2", so there are two. */
	static const char open_ended[] =
	    "SELECT " DOCUMENT_COLUMNS " FROM document WHERE id >= ?1 AND (?2 OR flags & 1 = 0) ORDER BY id LIMIT ?3";
	static const char bounded[] = "SELECT " DOCUMENT_COLUMNS " FROM document WHERE id >= ?1 AND id <= ?4"
				      " AND (?2 OR flags & 1 = 0) ORDER BY id LIMIT ?3";
	sqlite3_stmt *row;
	const char *from = range->from ? range->from : "";
	int64_t all = range->with_deleted, limit = limit_of(range->limit);
	int rc = replica_prepare(replica, range->to ? bounded : open_ended, &row, err);

	if (rc != 0)
		return rc;
	if (range->to)
		rc = replica_bind(replica, row, err, "tiit", from, all, limit, range->to);
	else
		rc = replica_bind(replica, row, err, "tii", from, all, limit);
	if (rc != 0) {
		sqlite3_finalize(row);
		return rc;
	}
	return replica_visit_rows(replica, row, visit, context, err);
}

int replica_visit_changes(struct replica *replica, int64_t since, int64_t limit, replica_visit_fn visit, void *context,
    struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc = replica_prepare(replica,
	    "SELECT " DOCUMENT_COLUMNS " FROM document WHERE sequence > ?1 ORDER BY sequence LIMIT ?2", &row, err);

	if (rc != 0)
		return rc;
	rc = replica_bind(replica, row, err, "ii", since, limit_of(limit));
	if (rc != 0) {
		sqlite3_finalize(row);
		return rc;
	}
	return replica_visit_rows(replica, row, visit, context, err);
}

int replica_visit_conflicts(struct replica *replica, replica_visit_fn visit, void *context, struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc = replica_prepare(
	    replica, "SELECT " DOCUMENT_COLUMNS " FROM document WHERE flags & 8 ORDER BY id", &row, err);

	return rc < 0 ? rc : replica_visit_rows(replica, row, visit, context, err);
}

/* ---- the digest ---- */

static void hash_number(crypto_generichash_state *state, uint64_t number)
{
	uint8_t bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(number >> (8 * i));
	crypto_generichash_update(state, bytes, sizeof(bytes));
}

static void hash_text(crypto_generichash_state *state, const void *text, size_t len)
{
	hash_number(state, len);
	crypto_generichash_update(state, text, len);
}

static int hash_attachments(crypto_generichash_state *state, const char *text, size_t len, struct qosid_errbuf *err)
{
	struct json_slice stored = {text, len}, name, object;
	uint8_t digest[DIGEST_BYTES];
	size_t position = 0;
	int rc = 0;

	while (len > 0 && rc == 0 && json_next(stored, &position, &name, &object)) {
		rc = attachment_parse_digest(object, digest, err);
		if (rc == 0)
			hash_text(state, digest, sizeof(digest));
	}
	hash_number(state, 0); /* ends the list: a digest's length is never 0 */
	return rc;
}

/* A leaf that is not the winner; its attachments are in the table revision. */
static int hash_loser(struct replica *replica, crypto_generichash_state *state, const char *id,
    const struct revision *rev, struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc =
	    replica_query(replica, STATEMENT_REVISION_READ, &row, err, "tit", id, (int64_t)rev->generation, rev->hash);

	if (rc != 0)
		return rc;
	if (!row)
		return qosid_error(err, QOSID_ERR_CORRUPT, "the body of a leaf of document \"%s\" is missing", id);
	rc = hash_attachments(
	    state, (const char *)sqlite3_column_text(row, 5), (size_t)sqlite3_column_bytes(row, 5), err);
	replica_query_end(row);
	return rc;
}

static int hash_document(
    struct replica *replica, crypto_generichash_state *state, sqlite3_stmt *row, struct qosid_errbuf *err)
{
	const char *id = (const char *)sqlite3_column_text(row, 0);
	char text[REVISION_TEXT_SIZE];
	struct revtree *tree = NULL;
	struct revtree_leaf leaf;
	int rc = replica_load_tree(replica, row, 1, id, &tree, err);

	if (rc != 0)
		return rc;
	hash_text(state, id, (size_t)sqlite3_column_bytes(row, 0));
	hash_number(state, revtree_leaf_count(tree));
	for (size_t i = 0; rc == 0 && revtree_leaf_at(tree, i, &leaf); i++) {
		revision_format(text, &leaf.revision);
		hash_text(state, text, strlen(text));
		hash_number(state, leaf.deleted);
		if (i == 0)
			rc = hash_attachments(state, (const char *)sqlite3_column_text(row, 2),
			    (size_t)sqlite3_column_bytes(row, 2), err);
		else
			rc = hash_loser(replica, state, id, &leaf.revision, err);
	}
	revtree_free(tree);
	return rc;
}

int replica_compute_digest(struct replica *replica, uint8_t out[DIGEST_BYTES], struct qosid_errbuf *err)
{
	static const char domain[] = "qosid-replica-1\n";
	crypto_generichash_state state;
	sqlite3_stmt *row = NULL;
	int rc = replica_prepare(replica, "SELECT id, tree, attachments FROM document ORDER BY id", &row, err);

	(void)crypto_generichash_init(&state, NULL, 0, DIGEST_BYTES); /* fails on a bad length only */
	crypto_generichash_update(&state, (const uint8_t *)domain, strlen(domain));
	while (rc == 0 && (rc = replica_walk_next(replica, row, err)) == 1)
		rc = hash_document(replica, &state, row, err);
	(void)crypto_generichash_final(&state, out, DIGEST_BYTES); /* as above */
	sqlite3_finalize(row);
	return rc;
}
