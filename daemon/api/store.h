/*
 * Writing one document, the same way for every endpoint that does: PUT, POST, DELETE, COPY, _bulk_docs, attachments.
 */
#ifndef QOSID_DAEMON_API_STORE_H
#define QOSID_DAEMON_API_STORE_H

#include "daemon/api/design.h"
#include "daemon/api/multipart.h"
#include "daemon/api/reply.h"

/* Starts as {.call, .database}; may be used for document after document; store_free() ends it. */
struct store {
	struct http_call *call;
	struct api_database *database;
	struct document document;
	struct qosid_buf text; /* what the document was parsed from */
	struct qosid_buf attachments;
	struct multipart_part *parts; /* contents for "follows":true, in the call's body */
	size_t part_count;
	const char *attachment; /* what the Location of the answer names; NULL: the document */
	struct revision written;
	struct validation validation;
};
void store_free(struct store *store);

/* Take a document's JSON (checked, an object) apart. id: from the URL, in place of the document's own; NULL: the
 * document's, or a new one. Faults are answered as CouchDB does. In _users the document is prepared on the way, which
 * needs the transaction. */
int store_parse(struct store *store, struct json_slice object, const char *id, struct qosid_errbuf *err);

/* Store what was parsed, in a transaction. replicated: new_edits=false. Returns 0 or what replica_put_edit() and
 * replica_put_revision() return, or design_validate(); a missing stub is QOSID_ERR_INVALID with "missing_stub" in its
 * text. */
int store_put(struct store *store, const struct revision *parent, bool replicated, struct qosid_errbuf *err);

/* Whether an object has only special members that CouchDB knows, of the right types; answered otherwise. */
int store_check_members(struct http_call *call, struct json_slice object);

/* Store content of a request's body and say its digest. */
int store_content(struct api_database *database, const struct spool *body, uint64_t offset, uint64_t length, bool gzip,
    uint8_t digest[DIGEST_BYTES], int64_t *stored, struct qosid_errbuf *err);

/* The JSON of a stored document without its revision, to be parsed again as an edit: its attachments as stubs but the
 * one named without (NULL: all), then extra, a member of _attachments (len 0: none). */
int store_compose(const struct replica_record *record, const char *without, struct json_slice extra,
    struct qosid_buf *out, struct qosid_errbuf *err);

/* Store one parsed document, end the transaction, and answer 201 (202 with batch=ok) with ETag and Location. */
int store_and_reply(
    struct store *store, const struct revision *parent, bool replicated, unsigned status, struct qosid_errbuf *err);

/* ---- local.c ---- */

#define LOCAL_REV_SIZE 32
/* Write a _local document from its JSON object; deleted removes it. rev_out is its new "0-N". */
int local_put(struct api_database *database, const char *id, struct json_slice object, bool deleted,
    char rev_out[LOCAL_REV_SIZE], struct qosid_errbuf *err);
/* Write a stored one as clients see it. */
void local_render(struct writer *writer, const char *id, struct json_slice body);
/* The number N of "_rev":"0-N" in an object; 0 when there is none of that form. */
unsigned long long local_number(struct json_slice object);

#endif
