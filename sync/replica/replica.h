/*
 * A replica: one space's documents in one SQLite file.
 *
 * Guarantees. Every change is made in a transaction with synchronous=FULL on a WAL, so what has been acknowledged
 * survives kill -9 and power loss. Any number of processes may have the file open; a writer waits for another's
 * transaction up to 30 s, then fails with QOSID_ERR_BUSY. Sequences only grow. A document's current body and its whole
 * revision tree are one row; bodies of losing leaves, and of inner revisions that have not been published yet, are kept
 * beside it.
 *
 * Not thread-safe: one struct replica a thread. Functions that write need a transaction begun by replica_begin(), so
 * that callers choose the batch; functions that read may be called inside or outside one. A refused call (CONFLICT,
 * INVALID, LIMIT, USAGE, NOTFOUND) has written nothing and the transaction goes on; any other failure of a write dooms
 * it: replica_commit() then rolls back and fails. A visitor may read the replica, also by other visits, but not write.
 */
#ifndef QOSID_SYNC_REPLICA_REPLICA_H
#define QOSID_SYNC_REPLICA_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/digest.h"
#include "crypto/error.h"
#include "crypto/sink.h"
#include "sync/replica/document.h"
#include "sync/replica/revision.h"
#include "sync/replica/revtree.h"

struct replica;

enum replica_flags { REPLICA_CREATE = 1, REPLICA_READ_ONLY = 2 };

/* Open (REPLICA_CREATE: or make) the file; migrate an older schema; refuse a newer one with a hint to upgrade. */
int replica_open(struct replica **out, const char *path, unsigned flags, struct qosid_errbuf *err);
void replica_close(struct replica *replica); /* rolls back what is open; accepts NULL */

/* One write transaction at a time; they do not nest. */
int replica_begin(struct replica *replica, struct qosid_errbuf *err);
int replica_commit(struct replica *replica, struct qosid_errbuf *err);
void replica_rollback(struct replica *replica); /* no effect without a transaction */

/* The newest sequence, 0 when nothing was ever written; number of documents whose winner is live, and is deleted. */
struct replica_info {
	int64_t sequence;
	int64_t documents;
	int64_t deleted;
	int64_t pending;     /* revisions of local origin not yet published */
	int64_t conflicts;   /* documents with more than one live leaf */
	int64_t attachments; /* distinct attachment contents */
	int64_t bytes;       /* of the database file, WAL included */
};
int replica_read_info(struct replica *replica, struct replica_info *out, struct qosid_errbuf *err);

/* A number that changes when another connection has committed (PRAGMA data_version). */
int replica_data_version(struct replica *replica, int64_t *out, struct qosid_errbuf *err);

/* ---- writing documents (replica_write.c) ---- */

/* An interactive edit (CouchDB's new_edits=true). */
struct replica_edit {
	const char *id;
	const struct revision
	    *parent; /* NULL: a new document, or one whose every leaf is deleted (then it extends the winner) */
	bool deleted;
	struct json_slice body; /* checked object without underscore members, as document.h makes it */
	struct json_slice
	    attachments;  /* raw _attachments of the edit: inline "data" (base64), or "stub":true; len 0: none */
	const char *user; /* who, free text in UTF-8; "" when unknown */
	int64_t time;     /* when, Unix milliseconds; of the years that timestamp.h writes */
};

/* Store an edit. QOSID_ERR_CONFLICT when parent is not a leaf (or is missing while a live leaf exists). On success
 * *written is the new revision and the edit is pending publication. An edit equal to the current leaf's child that
 * exists already is a no-op. */
int replica_put_edit(
    struct replica *replica, const struct replica_edit *edit, struct revision *written, struct qosid_errbuf *err);

/* A revision made elsewhere (new_edits=false). */
struct replica_revision {
	const char *id;
	struct revtree_path path; /* path.deleted says whether it is a tombstone */
	struct json_slice body;
	struct json_slice attachments; /* as in replica_edit; a stub's "digest" (blake2b-256:..) may name content that
					  has not arrived yet */
	const char *user;
	int64_t time;
	bool pending; /* true: from a CouchDB peer, to be published in this office's log; false: from another office */
};

/* Merge a revision. Idempotent. Stores the body when the revision is (or was, and must still be published as) more than
 * an ancestor. *outcome may be NULL. */
int replica_put_revision(struct replica *replica, const struct replica_revision *revision,
    enum revtree_outcome *outcome, struct qosid_errbuf *err);

/* ---- purging (replica_purge.c) ---- */

/* Take leaves of a document out of this replica, with the ancestors that led to nothing else; without a leaf left the
 * document is gone. done[i] tells whether revs[i] was a leaf. What waited for publication is never published; what has
 * been stays in the logs, but a purged revision is not taken from a log again (replica_put_revision() with pending
 * false then has no effect). An edit or a peer may bring it back. The purge takes a sequence of its own, under which
 * indexes find it. */
int replica_purge(struct replica *replica, const char *id, const struct revision *revs, size_t count, bool *done,
    struct qosid_errbuf *err);

int replica_is_purged(
    struct replica *replica, const char *id, const struct revision *rev, bool *out, struct qosid_errbuf *err);

/* The sequence of the newest purge; 0: none. */
int replica_purge_sequence(struct replica *replica, int64_t *out, struct qosid_errbuf *err);

/* Visit the leaves purged after `since`, oldest first, at most the newest `limit` (0: all). An index forgets the
 * document before it takes in the changes after `since`, among which the document is if anything of it is left or came
 * back. */
int replica_visit_purged(struct replica *replica, int64_t since, int64_t limit,
    int (*visit)(void *context, const char *id, const struct revision *rev, int64_t sequence, struct qosid_errbuf *err),
    void *context, struct qosid_errbuf *err);

/* ---- reading documents (replica_read.c) ---- */

/* A document row. Starts as {0}, reused over calls, freed with replica_record_free(). */
struct replica_record {
	struct qosid_buf id;
	int64_t sequence;
	struct revtree *tree;
	struct revision rev; /* of the body below */
	bool deleted;
	struct qosid_buf body;
	struct qosid_buf
	    attachments; /* stored JSON object {"name":{"content_type","digest","length","revpos"}}; len 0: none */
	struct qosid_buf user;
	int64_t time;
};
void replica_record_free(struct replica_record *record);

/* Read the winner (rev NULL) or one stored revision. QOSID_ERR_NOTFOUND: "missing", or "deleted" when rev is NULL and
 * the winner is a tombstone (record is filled all the same). A known ancestor whose body is gone: NOTFOUND, "body not
 * kept". */
int replica_read_document(struct replica *replica, const char *id, const struct revision *rev,
    struct replica_record *record, struct qosid_errbuf *err);

/* Append the document as JSON with its head. options: bits below. Attachments are stubs with {"stub":true} unless
 * inlined. */
enum replica_render { RENDER_REVISIONS = 1, RENDER_CONFLICTS = 2, RENDER_ATTACHMENTS = 4 };
int replica_render_record(struct replica *replica, const struct replica_record *record, unsigned options,
    struct qosid_buf *out, struct qosid_errbuf *err);

/* Visit documents in id order, from (inclusive) to (inclusive; NULL: no bound), live winners only unless with_deleted.
 * visit returns 0 to go on, anything else to stop; that value is returned. */
typedef int (*replica_visit_fn)(void *context, const struct replica_record *record, struct qosid_errbuf *err);
struct replica_range {
	const char *from;
	const char *to;
	int64_t limit; /* 0: all */
	bool with_deleted;
};
int replica_visit_documents(struct replica *replica, const struct replica_range *range, replica_visit_fn visit,
    void *context, struct qosid_errbuf *err);

/* The changes feed: documents with sequence > since, in sequence order. limit 0: all. */
int replica_visit_changes(struct replica *replica, int64_t since, int64_t limit, replica_visit_fn visit, void *context,
    struct qosid_errbuf *err);

/* Documents with more than one live leaf, in id order. */
int replica_visit_conflicts(struct replica *replica, replica_visit_fn visit, void *context, struct qosid_errbuf *err);

/* BLAKE2b-256 over all leaves of all documents in id order (id, every leaf's revision and deleted flag, the
 * attachments' digests): equal digests mean equal replicas, whatever the order in which they learned. */
int replica_compute_digest(struct replica *replica, uint8_t out[DIGEST_BYTES], struct qosid_errbuf *err);

/* ---- publication (replica_pending.c) ---- */

/* Visit revisions of local origin that are not published, oldest change first; record->rev may be any revision of its
 * document. Ancestors of a revision are visited before it. */
int replica_visit_pending(struct replica *replica, replica_visit_fn visit, void *context, struct qosid_errbuf *err);

/* Mark one as published; the body of a revision that is no leaf any more is dropped. Not pending: no effect. */
int replica_clear_pending(
    struct replica *replica, const char *id, const struct revision *rev, struct qosid_errbuf *err);

/* ---- what a new generation of the own log carries (replica_carried.c) ---- */

/* In one transaction: begin, add every revision that the own log carries, visit what must be carried on (a leaf each;
 * in the order of documents, from after *after on, which starts as {0} and moves past each one whose visit returned 0),
 * end. What was purged is passed over. QOSID_ERR_CORRUPT: the replica does not know a document that the log carries. */
struct replica_carried {
	int64_t document; /* the row's number */
	struct revision leaf;
};
int replica_carried_begin(struct replica *replica, struct qosid_errbuf *err);
int replica_carried_add(struct replica *replica, const char *id, const struct revision *rev, struct qosid_errbuf *err);
int replica_visit_carried(struct replica *replica, struct replica_carried *after, replica_visit_fn visit, void *context,
    struct qosid_errbuf *err);
void replica_carried_end(struct replica *replica);

/* ---- attachments (attachment.c) ---- */

/* Store content, de-duplicated by its digest, in pieces: begin, write*, finish -> digest and length. Needs a
 * transaction. */
struct attachment_writer;
int attachment_writer_open(struct attachment_writer **out, struct replica *replica, struct qosid_errbuf *err);
int attachment_writer_write(struct attachment_writer *writer, const void *data, size_t len, struct qosid_errbuf *err);
int attachment_writer_finish(
    struct attachment_writer *writer, uint8_t digest[DIGEST_BYTES], int64_t *length, struct qosid_errbuf *err);
void attachment_writer_free(struct attachment_writer *writer); /* without finish: the pieces are dropped */

/* Whether the content is here; its length (may be NULL). */
int attachment_find(struct replica *replica, const uint8_t digest[DIGEST_BYTES], bool *found, int64_t *length,
    struct qosid_errbuf *err);

/* Stream content from offset, at most length bytes (-1: to the end). QOSID_ERR_NOTFOUND when it has not arrived. */
int attachment_read(struct replica *replica, const uint8_t digest[DIGEST_BYTES], int64_t offset, int64_t length,
    const struct qosid_sink *sink, struct qosid_errbuf *err);

/* Whether this office's own log has already carried the content, and noting that it has. */
int attachment_is_published(
    struct replica *replica, const uint8_t digest[DIGEST_BYTES], bool *published, struct qosid_errbuf *err);
int attachment_set_published(struct replica *replica, const uint8_t digest[DIGEST_BYTES], struct qosid_errbuf *err);

/* Note that an office's log names content that did not come along, so that its files log must have it; and those whose
 * content is still not here. visit as ever; digest NULL: of all contents, ordered by digest and office. */
struct attachment_absence {
	uint8_t digest[DIGEST_BYTES];
	const char *office;
	int64_t length; /* as the log says */
};
int attachment_note_carrier(struct replica *replica, const uint8_t digest[DIGEST_BYTES], const char *office,
    int64_t length, struct qosid_errbuf *err);
int attachment_visit_absent(struct replica *replica, const uint8_t *digest,
    int (*visit)(void *context, const struct attachment_absence *absence, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err);
/* The same, by the files log: it stays so in later generations. */
int attachment_set_filed(struct replica *replica, const uint8_t digest[DIGEST_BYTES], struct qosid_errbuf *err);

/* A new generation has carried nothing yet: forget it for all contents of at most this length that the files log has
 * not. */
int attachment_forget_published(struct replica *replica, int64_t length, struct qosid_errbuf *err);

/* ---- small named things (local.c) ---- */

/* _local documents: never replicated, plain overwrite. body is a checked JSON object. Delete by body len 0. */
int replica_put_local(struct replica *replica, const char *id, struct json_slice body, struct qosid_errbuf *err);
int replica_read_local(struct replica *replica, const char *id, struct qosid_buf *body, struct qosid_errbuf *err);

/* How far a log has been applied; written in the same transaction as what it brought. */
struct replica_position {
	int64_t sequence;             /* 0: nothing yet */
	char commit[41];              /* hex id of the git commit, "" at sequence 0 */
	uint8_t digest[DIGEST_BYTES]; /* BLAKE2b-256 of that commit object */
	int64_t time;                 /* what its author line says, Unix seconds */
};
/* A log is named "office/khujand", "roster/dushanbe", "files/london". Other positions about it stand beside it:
 * "seen/<log>" up to where the own log has witnessed it, "witness/<log>" the furthest that another office's log has,
 * "begin/<log>" where its generation begins, "size/<log>" how much the own log has grown: there sequence is the bytes
 * of payload since the snapshot, time those of the snapshot, and commit where the log stood then. */
int replica_read_position(
    struct replica *replica, const char *log, struct replica_position *out, struct qosid_errbuf *err);
int replica_put_position(
    struct replica *replica, const char *log, const struct replica_position *position, struct qosid_errbuf *err);

/* The dictionary in use in a log. Starts as {0}; data holds pieces of records, so whoever is done with it wipes it. */
struct replica_dictionary {
	struct qosid_buf recipient; /* the epoch's, under which it came; text */
	int64_t sequence;           /* of the change set that brought it; 0: there is none */
	struct qosid_buf data;
};
int replica_read_dictionary(
    struct replica *replica, const char *log, struct replica_dictionary *out, struct qosid_errbuf *err);
int replica_put_dictionary(struct replica *replica, const char *log, const char *recipient, int64_t sequence,
    const void *data, size_t len, struct qosid_errbuf *err);

/* What was refused, with its evidence. One open finding a (log, cause); putting it again updates it. */
struct replica_finding {
	const char *log;
	int64_t sequence;     /* of the change set concerned; 0 when unknown */
	const char *cause;    /* a stable word: "signature", "sequence", "fork", "rewind", "payload", ... */
	const char *detail;   /* the error text */
	const char *evidence; /* hex id of the git object, or "" */
	int64_t time;         /* Unix milliseconds */
	bool stops;           /* the log stops here; otherwise it is a warning */
};
int replica_put_finding(struct replica *replica, const struct replica_finding *finding, struct qosid_errbuf *err);
int replica_clear_findings(struct replica *replica, const char *log, struct qosid_errbuf *err);
int replica_clear_warnings(struct replica *replica, struct qosid_errbuf *err); /* those that stop no log, of all logs */
int replica_visit_findings(struct replica *replica,
    int (*visit)(void *context, const struct replica_finding *finding, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err);

#endif
