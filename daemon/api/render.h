/*
 * Documents as CouchDB's clients see them: special members, attachments as stubs, as base64, or as parts of a multipart
 * answer.
 */
#ifndef QOSID_DAEMON_API_RENDER_H
#define QOSID_DAEMON_API_RENDER_H

#include "daemon/api/reply.h"

enum render_attachments { ATTACHMENTS_STUBS, ATTACHMENTS_INLINE, ATTACHMENTS_FOLLOW };

struct render {
	bool revs;
	bool revs_info;
	bool conflicts;
	bool deleted_conflicts;
	bool local_seq;
	bool encoding; /* tell of the gzip form of attachments (encoding.h), but in multipart answers */
	enum render_attachments attachments;
	/* Attachments as old as a revision that the client has stay stubs: of revpos up to this. */
	int64_t known_revpos;
};

/* Read revs, revs_info, conflicts, deleted_conflicts, local_seq, meta, attachments, att_encoding_info; a bad value is
 * answered. */
int render_options(struct http_call *call, struct render *out);
/* known_revpos from atts_since (a JSON array of revisions) and the document's tree. */
int render_read_since(
    struct http_call *call, const char *atts_since, const struct replica_record *record, struct render *out);

/* Write the document as a JSON object. */
void render_document(struct writer *writer, struct api_database *database, const struct replica_record *record,
    const struct render *render);

/* Whether the document has attachments that ATTACHMENTS_FOLLOW would send as parts. */
bool render_has_parts(struct api_database *database, const struct replica_record *record, const struct render *render);

/* Write a whole multipart/related entity: the document with "follows":true, then its attachments, and the closing
 * boundary. */
void render_multipart(struct writer *writer, struct api_database *database, const struct replica_record *record,
    const struct render *render, const char *boundary);

/* ---- attachments of a record ---- */

struct attached {
	struct json_slice name; /* JSON string */
	struct json_slice type; /* JSON string */
	uint8_t digest[DIGEST_BYTES];
	int64_t length;
	int64_t revpos;
	bool here; /* its content has arrived */
};

/* Walk the attachments; start with position 0. 1, or 0 at the end. */
int attached_next(struct api_database *database, const struct replica_record *record, size_t *position,
    struct attached *out, struct qosid_errbuf *err);
/* Find one by its name: QOSID_ERR_NOTFOUND otherwise. */
int attached_find(struct api_database *database, const struct replica_record *record, const char *name,
    struct attached *out, struct qosid_errbuf *err);

/* "md5-<base64>" of what is here, Qosid's digest of what has not arrived. */
#define ATTACHED_DIGEST_SIZE DIGEST_TEXT_SIZE
int attached_format_digest(struct api_database *database, const struct attached *attached,
    char out[ATTACHED_DIGEST_SIZE], struct qosid_errbuf *err);

#endif
