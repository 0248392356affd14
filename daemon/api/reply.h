/*
 * CouchDB's usual answers, and reading a request's usual parts. A function that may answer the call itself returns
 * API_REPLIED when it has; a route turns that into 0 with api_done().
 */
#ifndef QOSID_DAEMON_API_REPLY_H
#define QOSID_DAEMON_API_REPLY_H

#include "daemon/api/api.h"
#include "daemon/api/api_internal.h"
#include "daemon/api/writer.h"
#include "sync/replica/document.h"

#define API_REPLIED 1
#define API_JSON_BYTES (64u << 20) /* of a request body that is JSON */

static inline int api_done(int rc)
{
	return rc == API_REPLIED ? 0 : rc;
}

/* Each answers and returns API_REPLIED. */
int reply_error(struct http_call *call, unsigned status, const char *error, const char *reason);
int reply_method(struct http_call *call, const char *allowed); /* 405: "GET,HEAD" */
int reply_conflict(struct http_call *call);
int reply_missing(struct http_call *call, const char *reason);

/* A failure of the replica as CouchDB says it: conflict 409, missing stub 412, missing 404, ..; other codes are
 * returned as they are. */
int reply_store_failure(struct http_call *call, int rc, const struct qosid_errbuf *err);
/* The two words for a failure, for a row of _bulk_docs. */
void reply_words(const struct qosid_errbuf *err, const char **error, const char **reason);

/* 415 unless the body is said to be JSON. */
int request_need_json(struct http_call *call);
/* Read and check a JSON body into text; *value is it. One that is none is answered, also an
 * empty one. */
int request_read_json(
    struct http_call *call, struct qosid_buf *text, struct json_slice *value, struct qosid_errbuf *err);
/* The same, and it must be an object. */
int request_read_object(
    struct http_call *call, struct qosid_buf *text, struct json_slice *value, struct qosid_errbuf *err);

/* Query parameters; a bad value is answered with 400. */
int request_bool(struct http_call *call, const char *name, bool fallback, bool *out);
int request_number(struct http_call *call, const char *name, int64_t fallback, int64_t *out);

/* A revision's text; "Invalid rev format" is answered. */
int request_parse_rev(struct http_call *call, const char *text, size_t len, struct revision *out);
/* The revision that an edit names by ?rev= and If-Match; *found false when neither is there. */
int request_edit_rev(struct http_call *call, struct revision *out, bool *found);

/* Whether a document id may be used; answered otherwise. */
int request_check_id(struct http_call *call, const char *id);

/* The document that the path names ("_design/x" with a raw or an encoded slash alike); *rest is the first segment
 * behind it. */
int request_document_id(struct http_call *call, struct qosid_buf *id, size_t *rest, struct qosid_errbuf *err);

/* "N-<instance>", as this database's sequences look. */
#define API_SEQUENCE_SIZE 64
void api_format_sequence(const struct api_database *database, int64_t sequence, char out[API_SEQUENCE_SIZE]);

int64_t api_now(void); /* Unix milliseconds */
const char *api_user(const struct http_call *call);
/* 32 random hex digits. */
void api_new_id(char out[33]);

#endif
