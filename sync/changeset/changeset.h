/*
 * Change sets: JSON Lines > zstd > age (docs/format.md, "Payload").
 *
 * The first line is a header object that must say what the commit around it says; then one line a revision:
 * {"time":"2026-11-25T08:00:00.123Z","user":"..","doc":{"_id":..,"_rev":..,"_revisions":{..},..}}. Each line's doc can
 * be posted to any CouchDB with new_edits=false. Encoder and decoder hold one line, one zstd window and one age chunk;
 * nothing is handed on from a payload whose end has not been seen intact unless the caller asked for it by doing its
 * work in a transaction.
 */
#ifndef QOSID_SYNC_CHANGESET_CHANGESET_H
#define QOSID_SYNC_CHANGESET_CHANGESET_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/age.h"
#include "crypto/buf.h"
#include "crypto/error.h"
#include "sync/replica/document.h"
#include "sync/replica/replica.h"

/* What the header line carries and the commit repeats. Strings stay the caller's. */
struct changeset_header {
	const char *space; /* 32 hex */
	const char *office;
	int64_t sequence;
};

/* ---- dictionaries (dictionary.c) ---- */

/* A zstd dictionary, immutable. It holds pieces of records: as secret as they are. */
struct changeset_dictionary;

/* Take one as `zstd -D` takes it; the data is copied. QOSID_ERR_INVALID, QOSID_ERR_LIMIT. */
int changeset_dictionary_load(
    struct changeset_dictionary **out, const void *data, size_t len, struct qosid_errbuf *err);
void changeset_dictionary_free(struct changeset_dictionary *dictionary); /* wipes; accepts NULL */
const void *changeset_dictionary_data(const struct changeset_dictionary *dictionary, size_t *len);
const uint8_t *changeset_dictionary_digest(
    const struct changeset_dictionary *dictionary); /* DIGEST_BYTES, of the data */

/* What a new dictionary would save: compressed bytes of samples that it was not trained on, each alone. */
struct changeset_gain {
	size_t samples;
	size_t with, without; /* without the new one, that is with the one in use now */
};

/* Train one on the newest records. *out is NULL when there are too few of them, or nothing common to them. current (may
 * be NULL) is the one in use now. */
int changeset_dictionary_train(struct replica *replica, const struct changeset_dictionary *current,
    struct changeset_dictionary **out, struct changeset_gain *gain, struct qosid_errbuf *err);

/* ---- codec (encode.c, decode.c): knows documents, no database ---- */

/* How a payload is packed. All zeros: plainly. */
struct changeset_packing {
	int level;                                     /* zstd's; 0: 6; others are brought into its range */
	const struct changeset_dictionary *dictionary; /* may be NULL; the reader must be told of it */
	size_t inline_max; /* larger attachments go into the files log; 0: LIMIT_ATTACHMENT_INLINE_BYTES */
	bool pad; /* bring the size to one of few (Padmé, at most 12 % more), so that it tells less about the content */
};

struct changeset_encoder;

/* Start one; ciphertext is appended to out as it comes. recipient is the epoch's. packing (may be NULL) stays the
 * caller's. */
int changeset_encoder_open(struct changeset_encoder **out_encoder, const struct changeset_header *header,
    const char *recipient, const struct changeset_packing *packing, struct qosid_buf *out, struct qosid_errbuf *err);

/* Add a line. doc is the rendered document (document_render()). Line feeds and carriage returns between its tokens are
 * written as spaces, because a line feed ends the line; all other bytes are kept. */
int changeset_encoder_add(struct changeset_encoder *encoder, int64_t time, const char *user, const void *doc,
    size_t len, struct qosid_errbuf *err);

/* Plaintext bytes and revision lines so far: callers close a change set when it nears LIMIT_CHANGESET_TARGET_*. */
size_t changeset_encoder_bytes(const struct changeset_encoder *encoder);
size_t changeset_encoder_lines(const struct changeset_encoder *encoder);

int changeset_encoder_finish(struct changeset_encoder *encoder, struct qosid_errbuf *err);
void changeset_encoder_free(struct changeset_encoder *encoder); /* wipes; accepts NULL */

/* A line as decoded: document has been taken apart and checked, must have _rev and _revisions. Valid during the call
 * only. */
struct changeset_line {
	size_t number; /* of the line in the payload: 2 is the first revision */
	int64_t time;  /* Unix milliseconds */
	const char *user;
	const struct document *document;
};
typedef int (*changeset_line_fn)(void *context, const struct changeset_line *line, struct qosid_errbuf *err);

/* What opens a payload. */
struct changeset_opening {
	const struct age_key *key;
	const struct changeset_dictionary *dictionary; /* the one that the commit names; NULL: none */
};

/* Decrypt, inflate to at most LIMIT_CHANGESET_BYTES, check the header against expected and every line, and
 * hand the lines on. Lines are handed on as they come: a failure (malformed line, bad MAC, truncation, trailing bytes
 * after the zstd frame, a second frame) may follow lines already visited, so visit must work in a transaction that a
 * failure rolls back. Errors: QOSID_ERR_REFUSED, _INVALID, _LIMIT, with "line N" in err->where. */
int changeset_decode(const void *data, size_t len, const struct changeset_header *expected,
    const struct changeset_opening *opening, changeset_line_fn visit, void *context, struct qosid_errbuf *err);

/* ---- collect and apply (collect.c, apply.c): replica on one side, payload on the other ---- */

/* What a collected change set holds. Starts as {0}; changeset_batch_free(). */
struct changeset_batch {
	struct qosid_buf payload; /* changes.age */
	size_t revisions;
	size_t documents;               /* distinct ids */
	struct qosid_buf published;     /* the revisions in it, for changeset_mark_published() */
	uint8_t (*files)[DIGEST_BYTES]; /* attachments too large to go inline, here, not yet carried by this office */
	size_t file_count;
	uint8_t (*inlined)[DIGEST_BYTES]; /* attachments that went inline */
	size_t inlined_count;
};
void changeset_batch_free(struct changeset_batch *batch);

/* Put pending revisions of the replica into one payload, up to the target size. batch->revisions == 0: nothing pending.
 * Attachments up to LIMIT_ATTACHMENT_INLINE_BYTES that this office's log has not carried yet go inline as base64
 * "data" (once a batch, and while the line has room for them), all others as stubs with their digest. Reads only. */
int changeset_collect(struct replica *replica, const struct changeset_header *header, const char *recipient,
    const struct changeset_packing *packing, struct changeset_batch *batch, struct qosid_errbuf *err);

/* The same for a snapshot: leaves collected by replica_carried_add(), from after *after on, which moves past what is in
 * the payload. batch->revisions == 0: nothing is left; then the payload has a header line only. */
int changeset_collect_snapshot(struct replica *replica, const struct changeset_header *header, const char *recipient,
    const struct changeset_packing *packing, struct replica_carried *after, struct changeset_batch *batch,
    struct qosid_errbuf *err);

/* Hand each line of a payload of the own log to replica_carried_add(). */
int changeset_add_carried(struct replica *replica, const void *data, size_t len,
    const struct changeset_header *expected, const struct changeset_opening *opening, struct qosid_errbuf *err);

/* After the payload and batch->files are safely in git: clear the pending marks and note the attachments of both kinds
 * as published, in the caller's transaction. */
int changeset_mark_published(struct replica *replica, const struct changeset_batch *batch, struct qosid_errbuf *err);

struct changeset_counts {
	size_t revisions; /* lines */
	size_t news;      /* that were not known before */
	size_t conflicts; /* that made a second live leaf, or a further one */
};

/* Decode a verified payload and merge it, in the caller's transaction. own: it is this office's own log (recovery after
 * a crash or from a backup): pending marks of its revisions are cleared, its inline attachments noted as published. An
 * inline attachment whose content does not fit its digest is QOSID_ERR_INVALID. */
int changeset_apply(struct replica *replica, const void *data, size_t len, const struct changeset_header *expected,
    const struct changeset_opening *opening, bool own, struct changeset_counts *counts, struct qosid_errbuf *err);

#endif
