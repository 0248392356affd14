/*
 * Functions of design documents at work: validate_doc_update on every write, filters of _changes, update handlers.
 *
 * They run in qosid-script (sync/script); what they see and may answer is CouchDB's.
 */
#ifndef QOSID_DAEMON_API_DESIGN_H
#define QOSID_DAEMON_API_DESIGN_H

#include "daemon/api/reply.h"

/* Call one function: ["ddoc", id, path, arguments] with path and arguments as JSON texts, after the design document
 * has been told to the process if it does not know it. The answer is checked JSON in text. QOSID_ERR_NOTFOUND: no such
 * design document, or function. A function that fails by itself (an exception, bad syntax) is QOSID_ERR_FAILED with
 * CouchDB's word for it in err->where ("os_process_error" when it looped or grew) and its text in err->what. */
int design_call(struct api_database *database, const char *id, const char *path, struct json_slice arguments,
    struct qosid_buf *text, struct json_slice *answer, struct qosid_errbuf *err);

/* Answer a failure of design_call() as CouchDB does. */
int design_reply_failure(struct http_call *call, int rc, const struct qosid_errbuf *err);

/* {"db":..,"name":..,"roles":[..]} of the caller. */
void design_write_user(struct writer *writer, struct http_call *call, const struct api_database *database);

/* Ids of design documents that validate, and their functions' arguments; see design_validate.c. Starts as {0}. */
struct validation {
	bool loaded;
	struct qosid_buf ids; /* NUL-separated */
	size_t count;
	struct qosid_buf context; /* ",userCtx,security]": the end of the arguments */
};
void validation_free(struct validation *validation);

/* Whether what a store (store.h) is about to write passes every validate_doc_update of the database, inside the write
 * transaction. Design documents are checked by design_check() instead, _local documents not at all. QOSID_ERR_REFUSED
 * otherwise, with the function's reason, and "forbidden" or "unauthorized" in err->where. */
struct store;
int design_validate(struct store *store, const struct revision *parent, bool replicated, struct qosid_errbuf *err);

/* Whether a design document of this body may be stored: QOSID_ERR_FAILED with "invalid_design_doc" or
 * "compilation_error" in err->where otherwise. One in another language than JavaScript is not looked at. */
int design_check(struct api_database *database, struct json_slice body, struct qosid_errbuf *err);

/* The request as functions see it (CouchDB's req), as a JSON object. */
int design_write_request(struct writer *writer, struct http_call *call, struct api_database *database, const char *id);

/* ---- filters of _changes: design_filter.c ---- */

struct design_filter;
/* From filter=design/name or filter=_view with view=design/name. A bad one is answered. */
int design_filter_open(struct design_filter **out, struct http_call *call, struct api_database *database,
    const char *filter, struct qosid_errbuf *err);
void design_filter_free(struct design_filter *filter); /* accepts NULL */
/* Whether the filter wants the document. */
int design_filter_match(struct design_filter *filter, struct api_database *database,
    const struct replica_record *record, bool *match, struct qosid_errbuf *err);

/* ---- {db}/_design/{name}/_update/{function}[/{id}]: design_update.c ---- */
int api_update_routes(
    struct http_call *call, struct api_database *database, const char *design, size_t rest, struct qosid_errbuf *err);

#endif
