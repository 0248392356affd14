/*
 * What the two kinds of ends and the loop between them share. For sync/couch only.
 *
 * A replication knows its ends only by the two tables of functions below. local.c implements both for a replica, pull.c
 * the source and push.c the target for a peer; replicate.c runs the loop, checkpoint.c notes how far it came.
 */
#ifndef QOSID_SYNC_COUCH_INTERNAL_H
#define QOSID_SYNC_COUCH_INTERNAL_H

#include "crypto/digest.h"
#include "sync/couch/couch.h"
#include "sync/couch/http_client.h"
#include "sync/replica/document.h"
#include "sync/replica/json.h"
#include "sync/replica/mango.h"

#define COUCH_CHANGES_BYTES (32u << 20)   /* answer to _changes and _revs_diff */
#define COUCH_DOCUMENTS_BYTES (32u << 20) /* answer with documents: the largest one fits */
#define COUCH_BATCH_BYTES (4u << 20)      /* documents are stored when so much has been read */
#define COUCH_SPOOL_BYTES (64u << 20)     /* so are attachments */
#define COUCH_INLINE_BYTES (64u << 10)    /* attachments of a document that go within _bulk_docs */
#define COUCH_SEQ_BYTES 16384u
#define COUCH_CHECKPOINT_BYTES (1u << 20)

/* ---- changes ---- */

/* Offsets point into text, where each string ends with a NUL. */
struct couch_rev {
	size_t row;
	size_t text; /* "N-hash" */
	bool wanted; /* the target lacks it */
};

struct couch_row {
	size_t id;
	size_t first; /* in revs */
	size_t count;
};

/* A batch of changes. Starts as {0}; reused. */
struct couch_changes {
	struct qosid_buf text;
	struct couch_row *rows;
	size_t row_count, row_capacity;
	struct couch_rev *revs;
	size_t rev_count, rev_capacity;
	struct qosid_buf last; /* JSON: the sequence after this batch */
	bool more;             /* the source has more at once */
};
void couch_changes_reset(struct couch_changes *changes);
void couch_changes_free(struct couch_changes *changes);
int couch_changes_add_row(struct couch_changes *changes, const char *id, size_t len, struct qosid_errbuf *err);
/* Of the row added last. */
int couch_changes_add_rev(struct couch_changes *changes, const char *rev, size_t len, struct qosid_errbuf *err);

static inline const char *couch_change_id(const struct couch_changes *changes, size_t row)
{
	return (const char *)changes->text.data + changes->rows[row].id;
}

static inline const char *couch_change_rev(const struct couch_changes *changes, size_t rev)
{
	return (const char *)changes->text.data + changes->revs[rev].text;
}

/* ---- documents on their way ---- */

/* Attachments wait in an unlinked file. */
struct couch_spool {
	int fd; /* -1: not made yet */
	const char *folder;
	uint64_t used;
};
int couch_spool_write(struct couch_spool *spool, const void *data, size_t len, struct qosid_errbuf *err);
int couch_spool_read(const struct couch_spool *spool, uint64_t offset, uint64_t len, const struct qosid_sink *sink,
    struct qosid_errbuf *err);
int couch_spool_cut(struct couch_spool *spool, uint64_t used, struct qosid_errbuf *err);
void couch_spool_close(struct couch_spool *spool);

enum couch_content_place { CONTENT_NOWHERE, CONTENT_IN_SOURCE, CONTENT_IN_SPOOL, CONTENT_IN_TARGET };

struct couch_attachment {
	struct json_slice name;         /* JSON strings in the document's text */
	struct json_slice content_type; /* len 0: not said */
	struct json_slice data;         /* base64 that came along; len 0: none */
	int64_t length;                 /* -1: not said */
	int64_t revpos;
	enum couch_content_place place;
	uint8_t digest[DIGEST_BYTES]; /* IN_SOURCE, IN_TARGET: of a replica's content */
	uint64_t offset;              /* IN_SPOOL */
};

struct couch_document {
	struct qosid_buf text; /* JSON, with _revisions; attachments as stubs or with data */
	struct document parsed;
	struct couch_attachment *attachments;
	size_t attachment_count;
};

struct couch_batch {
	struct couch_document *documents;
	size_t count, capacity; /* those past count keep their memory */
	size_t bytes;
};
void couch_batch_reset(struct couch_batch *batch);
void couch_batch_free(struct couch_batch *batch);
/* Add a document from its text: parsed, its attachments listed. QOSID_ERR_INVALID or _LIMIT when it breaks a rule; it
 * is then not added. */
int couch_batch_add(struct couch_batch *batch, struct json_slice text, struct qosid_errbuf *err);

const char *couch_document_id(const struct couch_document *document);

/* Append an attachment's member as far as "name":{"content_type":"..", without what follows in the braces. */
int couch_append_attachment_head(
    struct qosid_buf *out, const struct couch_attachment *attachment, struct qosid_errbuf *err);

/* Append the document with _revisions, and with this _attachments object (len 0: without). */
int couch_render(const struct couch_document *document, const struct qosid_buf *attachments, struct qosid_buf *out,
    struct qosid_errbuf *err);

/* ---- the replication ---- */

struct couch_session {
	const struct couch_options *options;
	struct couch_report *report;
	struct couch_http *source_http; /* NULL: a replica */
	struct couch_http *target_http;
	const char *user; /* "couchdb:host/database": who the revisions come from */
	struct couch_spool spool;
	struct mango_selector *selector; /* of a local source */
	const struct couch_source *source;
	const struct couch_target *target;
	struct couch_changes changes;
	struct couch_batch batch;
	struct qosid_buf answer;      /* scratch */
	struct qosid_buf request;     /* scratch */
	struct qosid_buf held;        /* JSON sequence that the checkpoint must not pass; len 0: none */
	struct qosid_buf source_name; /* in the replication's id: a uuid and a database, or an address */
	struct qosid_buf target_name;
	struct qosid_buf history; /* JSON objects with commas between: of earlier sessions */
	char source_rev[64];      /* of the checkpoints as they are there; "": none yet */
	char target_rev[64];
	bool no_bulk_get;          /* the source has none */
	bool no_multipart;         /* the target does not take multipart/related */
	bool no_source_checkpoint; /* the source may not be written to */
	size_t documents_at_once;  /* shrinks when answers are too large */
};

/* Count a document that was left out, and tell. */
void couch_refuse(struct couch_session *session, const char *id, const char *rev, const struct qosid_errbuf *reason);

struct couch_source {
	/* Fill session->changes with what follows since (JSON), waiting for something when wait is set. */
	int (*read_changes)(
	    struct couch_session *session, struct json_slice since, bool wait, struct qosid_errbuf *err);
	/* Add to session->batch from revs[*cursor] on, some wanted ones or none, and move the cursor. */
	int (*read_documents)(struct couch_session *session, size_t *cursor, struct qosid_errbuf *err);
	/* Bring the content of an attachment into the spool, or say that it is in the source; place NOWHERE: it is not
	 * to be had now. */
	int (*load_attachment)(struct couch_session *session, const struct couch_document *document,
	    struct couch_attachment *attachment, struct qosid_errbuf *err);
	/* IN_SOURCE content. NULL: never there. */
	int (*read_attachment)(struct couch_session *session, const struct couch_attachment *attachment,
	    uint64_t offset, uint64_t len, const struct qosid_sink *sink, struct qosid_errbuf *err);
};

struct couch_target {
	int (*mark_wanted)(struct couch_session *session, struct qosid_errbuf *err);
	/* Whether the content is at the target as part of an earlier revision: then place becomes IN_TARGET. NULL:
	 * cannot be known. */
	int (*find_attachment)(struct couch_session *session, const struct couch_document *document,
	    struct couch_attachment *attachment, struct qosid_errbuf *err);
	/* Store the first documents of session->batch. */
	int (*store)(struct couch_session *session, size_t count, struct qosid_errbuf *err);
	/* Make what was stored durable. NULL: store() has done it. */
	int (*commit)(struct couch_session *session, struct qosid_errbuf *err);
};

extern const struct couch_source couch_local_source, couch_remote_source;
extern const struct couch_target couch_local_target, couch_remote_target;

/* Content of an attachment wherever it waits, but for IN_TARGET. */
int couch_read_content(struct couch_session *session, const struct couch_attachment *attachment, uint64_t offset,
    uint64_t len, const struct qosid_sink *sink, struct qosid_errbuf *err);

/* Make the peer's database, or see that it is there. */
int couch_remote_prepare(struct couch_session *session, struct couch_http *http, bool create, struct qosid_errbuf *err);

/* Append the path of a document: "_design/x", "a%2Fb". */
int couch_append_document_path(struct qosid_buf *out, const char *id, struct qosid_errbuf *err);

/* ---- checkpoint.c ---- */

/* Work out report->id. */
int couch_identify(struct couch_session *session, struct qosid_errbuf *err);
/* The sequence to begin after: the newest that both ends know of, or 0. */
int couch_checkpoint_read(struct couch_session *session, struct qosid_buf *since, struct qosid_errbuf *err);
/* Note report->through on both ends, the target first. */
int couch_checkpoint_write(struct couch_session *session, struct qosid_errbuf *err);

/* ---- small things ---- */

int couch_append_slice(struct qosid_buf *out, struct json_slice slice, struct qosid_errbuf *err);
int64_t couch_now(void); /* Unix milliseconds */
static inline struct json_slice couch_slice(const struct qosid_buf *buf)
{
	return (struct json_slice){(const char *)buf->data, buf->len};
}

#endif
