/*
 * A document as JSON text, taken apart and put together without touching the bytes of its members.
 *
 * The body is the object without its members that begin with an underscore: "{" + the remaining members, each exactly
 * as written from the first byte of its name to the last of its value, joined by "," + "}". So numbers, escapes, key
 * order and inner white space come back as they went in.
 */
#ifndef QOSID_SYNC_REPLICA_DOCUMENT_H
#define QOSID_SYNC_REPLICA_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "sync/replica/json.h"
#include "sync/replica/revision.h"

/* Starts as {0}; document_free() ends it; document_parse() may be called again on it and reuses its memory. */
struct document {
	struct qosid_buf id; /* unescaped; len 0 when the text has no _id */
	bool has_rev;
	struct revision rev; /* _rev, or the newest of _revisions when there is no _rev */
	bool deleted;
	bool has_revisions;
	uint32_t revisions_start;
	struct qosid_buf revisions_text; /* the hashes, NUL-separated; revisions[] points into it */
	const char **revisions;
	size_t revision_count;
	size_t revision_capacity;
	struct json_slice attachments; /* the raw _attachments object in the parsed text; len 0 when absent */
	struct qosid_buf body;         /* see above */
	struct json_members members;   /* all of the parsed text */
};

/* Take text apart. Checked: JSON (json.h), object, size of the body (LIMIT_DOCUMENT_BYTES), types of the special
 * members, _rev against _revisions, id length and form (not empty, at most LIMIT_DOCUMENT_ID_BYTES, no leading
 * underscore but _design/ and _local/, no NUL). _conflicts, _deleted_conflicts, _revs_info, _local_seq and _revs_diff
 * are accepted and dropped, as CouchDB does; members that begin with _replication_ are part of the body, as there; any
 * other underscore member is QOSID_ERR_INVALID naming it. */
int document_parse(struct document *document, const char *text, size_t len, struct qosid_errbuf *err);
void document_free(struct document *document);

/* What document_render() puts in front of a body's members. */
struct document_head {
	const char *id;
	const struct revision *rev; /* NULL: none */
	bool deleted;
	const char *const *revisions; /* NULL: no _revisions; else hashes, newest first, of rev's generation down */
	size_t revision_count;
	struct json_slice attachments;      /* JSON object text for _attachments; len 0: none */
	const struct json_slice *conflicts; /* a JSON array text for _conflicts, or NULL */
};

/* Append {"_id":..,"_rev":..,"_deleted":true?,"_revisions":{..}?,"_attachments":..?,"_conflicts":..?, members of body}.
 */
int document_render(
    struct qosid_buf *out, const struct document_head *head, struct json_slice body, struct qosid_errbuf *err);

/* Whether text is a legal document id (see document_parse()). */
int document_check_id(const char *id, size_t len, struct qosid_errbuf *err);

#endif
