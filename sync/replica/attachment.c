/*
 * Attachment contents: stored once each by their BLAKE2b-256, in chunks, so that 1 GiB streams in and out through a few
 * hundred KiB of memory.
 *
 * Content is never removed here, also when no kept revision names it any more: another revision may arrive that does.
 */
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "sync/limits.h"
#include "sync/replica/replica_internal.h"
#include "sync/replica/replica_query.h"

struct attachment_writer {
	struct replica *replica;
	uint64_t transaction; /* the one it was opened in */
	bool finished;
	int64_t number; /* of the attachment; 0 while everything fits in the first chunk */
	int64_t chunks;
	int64_t length;
	struct qosid_buf chunk;
	EVP_MD_CTX *md5;
	crypto_generichash_state state;
};

int attachment_writer_open(struct attachment_writer **out, struct replica *replica, struct qosid_errbuf *err)
{
	struct attachment_writer *writer;
	int rc = replica_need_transaction(replica, err);

	*out = NULL;
	if (rc != 0)
		return rc;
	writer = calloc(1, sizeof(*writer));
	if (!writer)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	writer->md5 = EVP_MD_CTX_new();
	if (!writer->md5 || EVP_DigestInit_ex(writer->md5, EVP_md5(), NULL) != 1) {
		EVP_MD_CTX_free(writer->md5);
		free(writer);
		return qosid_error(err, QOSID_ERR_FAILED, "cannot compute an MD5");
	}
	writer->replica = replica;
	writer->transaction = replica->transaction;
	(void)crypto_generichash_init(&writer->state, NULL, 0, DIGEST_BYTES); /* fails on a bad length only */
	replica->writers++;
	*out = writer;
	return 0;
}

static bool is_alive(const struct attachment_writer *writer)
{
	return !writer->finished && writer->replica->writing && writer->replica->transaction == writer->transaction;
}

static int flush_chunk(struct attachment_writer *writer, struct qosid_errbuf *err)
{
	struct replica *replica = writer->replica;
	int rc = 0;

	if (writer->number == 0) {
		rc = replica_run(replica, STATEMENT_ATTACHMENT_INSERT, err, "");
		if (rc != 0)
			return rc;
		writer->number = sqlite3_last_insert_rowid(replica->db);
	}
	if (writer->chunk.len > 0)
		rc = replica_run(replica, STATEMENT_CHUNK_INSERT, err, "iib", writer->number, writer->chunks++,
		    writer->chunk.data, writer->chunk.len);
	qosid_buf_reset(&writer->chunk);
	return rc;
}

int attachment_writer_write(struct attachment_writer *writer, const void *data, size_t len, struct qosid_errbuf *err)
{
	const uint8_t *bytes = data;
	int rc = 0;

	if (!is_alive(writer))
		return qosid_error(err, QOSID_ERR_USAGE, "the attachment's transaction has ended");
	if (len > LIMIT_ATTACHMENT_BYTES - (uint64_t)writer->length)
		return qosid_error(err, QOSID_ERR_LIMIT, "an attachment has more than %llu bytes",
		    (unsigned long long)LIMIT_ATTACHMENT_BYTES);
	crypto_generichash_update(&writer->state, bytes, len);
	if (EVP_DigestUpdate(writer->md5, bytes, len) != 1)
		return qosid_error(err, QOSID_ERR_FAILED, "cannot compute an MD5");
	writer->length += (int64_t)len;
	while (rc == 0 && len > 0) {
		size_t room = REPLICA_CHUNK_BYTES - writer->chunk.len;
		size_t piece = len < room ? len : room;

		rc = qosid_buf_append(&writer->chunk, bytes, piece, err);
		bytes += piece;
		len -= piece;
		if (rc == 0 && writer->chunk.len == REPLICA_CHUNK_BYTES)
			rc = flush_chunk(writer, err);
	}
	return replica_settle(writer->replica, rc);
}

static int drop_pieces(struct attachment_writer *writer, struct qosid_errbuf *err)
{
	int rc = 0;

	if (writer->number == 0)
		return 0;
	rc = replica_run(writer->replica, STATEMENT_CHUNK_DELETE, err, "i", writer->number);
	if (rc == 0)
		rc = replica_run(writer->replica, STATEMENT_ATTACHMENT_DELETE, err, "i", writer->number);
	writer->number = 0;
	return rc;
}

int attachment_writer_finish(
    struct attachment_writer *writer, uint8_t digest[DIGEST_BYTES], int64_t *length, struct qosid_errbuf *err)
{
	struct replica *replica = writer->replica;
	uint8_t md5[MD5_BYTES];
	unsigned md5_len = 0;
	bool found;
	int rc;

	if (!is_alive(writer))
		return qosid_error(err, QOSID_ERR_USAGE, "the attachment's transaction has ended");
	if (EVP_DigestFinal_ex(writer->md5, md5, &md5_len) != 1)
		return qosid_error(err, QOSID_ERR_FAILED, "cannot compute an MD5");
	(void)crypto_generichash_final(&writer->state, digest, DIGEST_BYTES); /* fails on a bad length only */
	*length = writer->length;
	rc = attachment_find(replica, digest, &found, NULL, err);
	if (rc == 0 && found) {
		rc = drop_pieces(writer, err);
	} else if (rc == 0) {
		rc = flush_chunk(writer, err);
		if (rc == 0)
			rc = replica_run(replica, STATEMENT_ATTACHMENT_NAME, err, "ibib", writer->number, digest,
			    (size_t)DIGEST_BYTES, writer->length, md5, (size_t)md5_len);
		if (rc == 0)
			replica->state.attachments++;
	}
	if (rc == 0) {
		writer->finished = true;
		replica->writers--;
	}
	return rc;
}

void attachment_writer_free(struct attachment_writer *writer)
{
	if (!writer)
		return;
	if (is_alive(writer)) {
		(void)drop_pieces(writer, NULL); /* a failure dooms the transaction, and the pieces with it */
		writer->replica->writers--;
	}
	qosid_buf_wipe(&writer->chunk);
	sodium_memzero(&writer->state, sizeof(writer->state));
	EVP_MD_CTX_free(writer->md5);
	free(writer);
}

int attachment_store(
    struct replica *replica, const uint8_t digest[DIGEST_BYTES], const void *data, size_t len, struct qosid_errbuf *err)
{
	struct attachment_writer *writer = NULL;
	uint8_t written[DIGEST_BYTES];
	int64_t length;
	bool found;
	int rc = attachment_find(replica, digest, &found, NULL, err);

	if (rc != 0 || found)
		return rc;
	rc = attachment_writer_open(&writer, replica, err);
	if (!writer)
		return rc;
	rc = attachment_writer_write(writer, data, len, err);
	if (rc == 0)
		rc = attachment_writer_finish(writer, written, &length, err);
	attachment_writer_free(writer);
	return rc;
}

/* Facts of stored content; *number is 0 when it is not here. */
static int find_content(struct replica *replica, const uint8_t digest[DIGEST_BYTES], int64_t *number, int64_t *length,
    bool *published, struct qosid_errbuf *err)
{
	sqlite3_stmt *row;
	int rc = replica_query(replica, STATEMENT_ATTACHMENT_FIND, &row, err, "b", digest, (size_t)DIGEST_BYTES);

	*number = *length = 0;
	*published = false;
	if (rc == 0 && row) {
		*number = sqlite3_column_int64(row, 0);
		*length = sqlite3_column_int64(row, 1);
		*published = sqlite3_column_int64(row, 2);
		replica_query_end(row);
	}
	return rc;
}

int attachment_find(
    struct replica *replica, const uint8_t digest[DIGEST_BYTES], bool *found, int64_t *length, struct qosid_errbuf *err)
{
	int64_t number, bytes;
	bool published;
	int rc = find_content(replica, digest, &number, &bytes, &published, err);

	*found = number != 0;
	if (length)
		*length = bytes;
	return rc;
}

int attachment_is_published(
    struct replica *replica, const uint8_t digest[DIGEST_BYTES], bool *published, struct qosid_errbuf *err)
{
	int64_t number, length;

	return find_content(replica, digest, &number, &length, published, err);
}

int attachment_set_published(struct replica *replica, const uint8_t digest[DIGEST_BYTES], struct qosid_errbuf *err)
{
	int rc = replica_need_transaction(replica, err);

	if (rc != 0)
		return rc;
	return replica_run(replica, STATEMENT_ATTACHMENT_PUBLISHED, err, "b", digest, (size_t)DIGEST_BYTES);
}

int attachment_set_filed(struct replica *replica, const uint8_t digest[DIGEST_BYTES], struct qosid_errbuf *err)
{
	int rc = replica_need_transaction(replica, err);

	return rc != 0 ? rc : replica_run(replica, STATEMENT_ATTACHMENT_FILED, err, "b", digest, (size_t)DIGEST_BYTES);
}

int attachment_forget_published(struct replica *replica, int64_t length, struct qosid_errbuf *err)
{
	int rc = replica_need_transaction(replica, err);

	return rc != 0 ? rc : replica_run(replica, STATEMENT_ATTACHMENT_FORGET, err, "i", length);
}

/* Push the part of one chunk that lies in the wanted range. */
static int push_chunk(
    sqlite3_stmt *row, int64_t *offset, int64_t *left, const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	const uint8_t *data = sqlite3_column_blob(row, 1);
	int64_t begin = sqlite3_column_int64(row, 0) * REPLICA_CHUNK_BYTES;
	int64_t end = begin + sqlite3_column_bytes(row, 1);
	int64_t piece = end - *offset < *left ? end - *offset : *left;

	if (begin > *offset || piece <= 0)
		return qosid_error(err, QOSID_ERR_CORRUPT, "a piece of an attachment is missing");
	*left -= piece;
	data += *offset - begin;
	*offset += piece;
	return sink->write(sink->context, data, (size_t)piece, err);
}

int attachment_read(struct replica *replica, const uint8_t digest[DIGEST_BYTES], int64_t offset, int64_t length,
    const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int64_t number, total, left;
	bool published;
	int rc = find_content(replica, digest, &number, &total, &published, err);

	if (rc != 0)
		return rc;
	if (number == 0)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "the attachment's content has not arrived yet");
	if (offset < 0 || offset > total)
		return qosid_error(err, QOSID_ERR_USAGE, "the attachment has %lld bytes, offset %lld lies outside",
		    (long long)total, (long long)offset);
	left = length < 0 || length > total - offset ? total - offset : length;
	if (left == 0)
		return 0;
	rc = replica_prepare(replica,
	    "SELECT number, data FROM attachment_chunk WHERE attachment = ?1 AND number >= ?2 ORDER BY number", &row,
	    err);
	if (rc == 0)
		rc = replica_bind(replica, row, err, "ii", number, offset / REPLICA_CHUNK_BYTES);
	while (rc == 0 && left > 0) {
		rc = replica_walk_next(replica, row, err);
		if (rc == 1)
			rc = push_chunk(row, &offset, &left, sink, err);
		else if (rc == 0)
			rc = qosid_error(err, QOSID_ERR_CORRUPT, "the end of an attachment is missing");
	}
	sqlite3_finalize(row);
	return rc;
}

/* ---- content that is not here ---- */

int attachment_note_carrier(struct replica *replica, const uint8_t digest[DIGEST_BYTES], const char *office,
    int64_t length, struct qosid_errbuf *err)
{
	int rc = replica_need_transaction(replica, err);

	if (rc != 0)
		return rc;
	return replica_run(replica, STATEMENT_CARRIER_PUT, err, "bti", digest, (size_t)DIGEST_BYTES, office, length);
}

int attachment_visit_absent(struct replica *replica, const uint8_t *digest,
    int (*visit)(void *context, const struct attachment_absence *absence, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	sqlite3_stmt *row = NULL;
	int rc = replica_prepare(replica,
	    "SELECT digest, office, length FROM carrier WHERE (?1 IS NULL OR digest = ?1) AND"
	    " NOT EXISTS (SELECT 1 FROM attachment WHERE attachment.digest = carrier.digest) ORDER BY digest, office",
	    &row, err);

	if (rc == 0 && digest != NULL)
		rc = replica_bind(replica, row, err, "b", digest, (size_t)DIGEST_BYTES);
	while (rc == 0 && (rc = replica_walk_next(replica, row, err)) == 1) {
		struct attachment_absence absence = {
		    .office = (const char *)sqlite3_column_text(row, 1), .length = sqlite3_column_int64(row, 2)};

		if (sqlite3_column_bytes(row, 0) != DIGEST_BYTES) {
			rc = qosid_error(err, QOSID_ERR_CORRUPT, "a digest of an absent attachment is damaged");
			break;
		}
		memcpy(absence.digest, sqlite3_column_blob(row, 0), DIGEST_BYTES);
		rc = visit(context, &absence, err);
	}
	sqlite3_finalize(row);
	return rc;
}
