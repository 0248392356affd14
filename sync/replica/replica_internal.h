/*
 * Shared by the files that make up the replica: the connection, its statements, and rows in memory.
 *
 * Every statement has a number and is prepared once a connection. replica_run() and replica_query() bind by a format
 * string, so that a call reads like the SQL it runs. Any database error inside a transaction dooms it:
 * replica_commit() then rolls back and fails, so that nothing is ever stored in part.
 */
#ifndef QOSID_SYNC_REPLICA_INTERNAL_H
#define QOSID_SYNC_REPLICA_INTERNAL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/digest.h"
#include "crypto/error.h"
#include "sync/replica/json.h"
#include "sync/replica/replica.h"
#include "sync/replica/revision.h"
#include "sync/replica/revtree.h"

#define REPLICA_SCHEMA_VERSION 4
#define REPLICA_CHUNK_BYTES (256u << 10) /* of attachment content, so that 1 GiB streams in bounded memory */

/* document.flags; the SQL spells out the numbers. The marks of pending bodies count only in rows whose sequence is
 * above state.published (replica_current_flags()). */
enum document_flag {
	FLAG_DELETED = 1,      /* the winner is a tombstone */
	FLAG_PENDING = 2,      /* the winner waits for publication */
	FLAG_KEPT_PENDING = 4, /* so does, or did, a body in the table revision */
	FLAG_CONFLICT = 8,     /* more than one live leaf */
	FLAG_GAP = 16,         /* a revision came with less ancestry than there is (docs/format.md, "Generations") */
};

enum replica_statement {
	STATEMENT_BEGIN,
	STATEMENT_COMMIT,
	STATEMENT_ROLLBACK,
	STATEMENT_STATE_READ,
	STATEMENT_STATE_WRITE,
	STATEMENT_DATA_VERSION,
	STATEMENT_DOCUMENT_FIND,
	STATEMENT_DOCUMENT_READ,
	STATEMENT_DOCUMENT_INSERT,
	STATEMENT_DOCUMENT_REPLACE,
	STATEMENT_DOCUMENT_RESTORE,
	STATEMENT_DOCUMENT_MOVE,
	STATEMENT_DOCUMENT_FLAGS,
	STATEMENT_DOCUMENT_FIRST_PENDING,
	STATEMENT_DOCUMENT_DELETE,
	STATEMENT_REVISION_FIND,
	STATEMENT_REVISION_READ,
	STATEMENT_REVISION_INSERT,
	STATEMENT_REVISION_KEEP,
	STATEMENT_REVISION_LOSERS,
	STATEMENT_REVISION_DELETE,
	STATEMENT_REVISION_PUBLISHED,
	STATEMENT_REVISION_ANY_PENDING,
	STATEMENT_ATTACHMENT_FIND,
	STATEMENT_ATTACHMENT_MD5,
	STATEMENT_ATTACHMENT_INSERT,
	STATEMENT_ATTACHMENT_NAME,
	STATEMENT_ATTACHMENT_DELETE,
	STATEMENT_ATTACHMENT_PUBLISHED,
	STATEMENT_ATTACHMENT_FILED,
	STATEMENT_ATTACHMENT_FORGET,
	STATEMENT_CHUNK_INSERT,
	STATEMENT_CHUNK_DELETE,
	STATEMENT_PURGED_PUT,
	STATEMENT_PURGED_FIND,
	STATEMENT_PURGED_ANY,
	STATEMENT_PURGED_NEWEST,
	STATEMENT_LOCAL_PUT,
	STATEMENT_LOCAL_READ,
	STATEMENT_LOCAL_DELETE,
	STATEMENT_POSITION_READ,
	STATEMENT_POSITION_PUT,
	STATEMENT_FINDING_PUT,
	STATEMENT_FINDING_CLEAR,
	STATEMENT_WARNINGS_CLEAR,
	STATEMENT_DICTIONARY_READ,
	STATEMENT_DICTIONARY_PUT,
	STATEMENT_CARRIER_PUT,
	STATEMENT_COUNT
};

/* The one row of the table state: read when a transaction begins, written once when it commits. */
struct replica_state {
	int64_t sequence;  /* the last one given out; never used again */
	int64_t published; /* every document with something pending has a larger sequence */
	int64_t documents;
	int64_t deleted;
	int64_t pending;
	int64_t conflicts;
	int64_t attachments;
};

struct replica {
	sqlite3 *db;
	char *path;
	bool read_only;
	bool writing;                /* between replica_begin() and commit or rollback */
	bool failed;                 /* the transaction met a database error and can only be rolled back */
	bool cleared;                /* the transaction published something: state.published may move */
	unsigned writers;            /* attachment writers not finished yet */
	uint64_t transaction;        /* counts them, so that a writer knows its own */
	struct replica_state state;  /* of the transaction */
	struct replica_state stored; /* as the table has it */
	sqlite3_stmt *statements[STATEMENT_COUNT];
	struct qosid_buf tree; /* scratch: the encoded tree of the document being written */
	struct qosid_buf text; /* scratch: rendering */
	struct qosid_buf list; /* scratch: rendering */
};

/* A row's flags as they stand. */
static inline unsigned replica_current_flags(const struct replica *replica, int64_t sequence, unsigned flags)
{
	return sequence > replica->state.published ? flags : flags & ~(unsigned)(FLAG_PENDING | FLAG_KEPT_PENDING);
}

/* ---- replica.c ---- */

/* Put a SQLite result into err: what failed ("cannot store ..."), SQLite's words, a hint. Dooms a transaction. */
int replica_sqlite_error(struct replica *replica, int rc, const char *what, struct qosid_errbuf *err);

/* QOSID_ERR_USAGE unless a transaction is open. */
int replica_need_transaction(const struct replica *replica, struct qosid_errbuf *err);

/* Visit what a bound statement over DOCUMENT_COLUMNS returns, and finalize it (replica_read.c). */
int replica_visit_rows(
    struct replica *replica, sqlite3_stmt *row, replica_visit_fn visit, void *context, struct qosid_errbuf *err);

/* The end of every function that writes: returns rc, and dooms the transaction unless rc is 0 or a refusal, which alone
 * is certain to have written nothing. */
int replica_settle(struct replica *replica, int rc);

/* Run a statement that returns no rows. format has a letter for each parameter: i int64_t; t const char *; s text as
 * pointer and size_t; o the same, NULL when empty; b blob as pointer and size_t. */
int replica_run(
    struct replica *replica, enum replica_statement number, struct qosid_errbuf *err, const char *format, ...);

/* Run a statement up to its first row. *out is NULL when there is none; otherwise the caller reads its columns and ends
 * with replica_query_end(). Columns stay valid until then. */
int replica_query(struct replica *replica, enum replica_statement number, sqlite3_stmt **out, struct qosid_errbuf *err,
    const char *format, ...);
/* The next row; *out becomes NULL (and needs no end) when there is none. */
int replica_query_next(struct replica *replica, sqlite3_stmt **out, struct qosid_errbuf *err);
void replica_query_end(sqlite3_stmt *statement);

/* Prepare a statement of the caller's own, for walks whose visitor may call back into the replica. The caller binds,
 * walks it with replica_walk_next() and ends it with sqlite3_finalize(). */
int replica_prepare(struct replica *replica, const char *sql, sqlite3_stmt **out, struct qosid_errbuf *err);
int replica_bind(struct replica *replica, sqlite3_stmt *statement, struct qosid_errbuf *err, const char *format, ...);
/* Whether there is a next row: 1, 0, or a negative error. */
int replica_walk_next(struct replica *replica, sqlite3_stmt *statement, struct qosid_errbuf *err);

/* ---- replica_read.c ---- */

/* The columns that record_load_document() reads; DOCUMENT_COLUMNS come from the table document. */
#define DOCUMENT_COLUMNS "sequence, id, flags, time, user, tree, attachments, body"
#define REVISION_COLUMNS "deleted, generation, hash, time, user, attachments, body"

/* Fill a record from the current row; the second leaves id, sequence and tree as they are. */
int record_load_document(
    struct replica *replica, sqlite3_stmt *row, struct replica_record *record, struct qosid_errbuf *err);
int record_load_revision(
    struct replica *replica, sqlite3_stmt *row, struct replica_record *record, struct qosid_errbuf *err);

/* Decode a tree column. */
int replica_load_tree(struct replica *replica, sqlite3_stmt *row, int column, const char *id, struct revtree **out,
    struct qosid_errbuf *err);

/* ---- replica_write.c ---- */

/* Whether a body of this document in the table revision waits for publication. */
int replica_any_pending(struct replica *replica, const char *id, bool *any, struct qosid_errbuf *err);

/* ---- attachment.c ---- */

/* Store content of known digest unless it is here. */
int attachment_store(struct replica *replica, const uint8_t digest[DIGEST_BYTES], const void *data, size_t len,
    struct qosid_errbuf *err);

/* ---- attachment_json.c ---- */

/* One attachment of a revision. The slices point into the text it was parsed from. */
struct attachment_entry {
	struct json_slice name;         /* as a JSON string */
	struct json_slice content_type; /* as a JSON string; len 0: not said */
	uint8_t digest[DIGEST_BYTES];
	int64_t length;
	int64_t revpos;
	bool has_content;
	struct qosid_buf content;
};

struct attachment_list {
	struct attachment_entry *entries;
	size_t count;
};

/* Take _attachments of an edit apart. parent is the stored JSON of the parent revision's attachments, or empty. Reads
 * the database only. */
int attachment_list_parse_edit(struct replica *replica, struct attachment_list *list, struct json_slice attachments,
    struct json_slice parent, uint32_t generation, struct qosid_errbuf *err);

/* Take _attachments of a revision made elsewhere apart: each has inline data or names its digest. */
int attachment_list_parse_revision(
    struct attachment_list *list, struct json_slice attachments, uint32_t generation, struct qosid_errbuf *err);

/* Store the contents that came along. */
int attachment_list_store(struct replica *replica, const struct attachment_list *list, struct qosid_errbuf *err);

/* Append the canonical JSON object: as stored (with_revpos), or as revision_compute() wants it. */
int attachment_list_format(
    const struct attachment_list *list, bool with_revpos, struct qosid_buf *out, struct qosid_errbuf *err);
void attachment_list_free(struct attachment_list *list);

/* Append stored attachments JSON for a reader: with "stub":true, or with "data" when inlined and here. */
int attachment_render(
    struct replica *replica, struct json_slice stored, bool inlined, struct qosid_buf *out, struct qosid_errbuf *err);

/* The digest in one attachment's object; QOSID_ERR_INVALID when there is none of Qosid's form. */
int attachment_parse_digest(struct json_slice object, uint8_t out[DIGEST_BYTES], struct qosid_errbuf *err);

#endif
