/*
 * HTTP to one peer: a libcurl handle, what a request may cost, and when it is worth trying again.
 *
 * A request whose failure may pass (no connection, a time-out, 408, 429, 5xx) is made again after a wait that doubles,
 * with jitter, or as long as Retry-After says, up to the peer's number of attempts; then it is QOSID_ERR_OFFLINE. Any
 * other status is the caller's to judge. The bodies of answers of 2xx go to the request's sink, of others are read for
 * CouchDB's {"error","reason"}. Both are cut off at a limit, counted after decompression.
 */
#ifndef QOSID_SYNC_COUCH_HTTP_CLIENT_H
#define QOSID_SYNC_COUCH_HTTP_CLIENT_H

#include "crypto/sink.h"
#include "sync/couch/couch.h"

struct couch_http;

/* A piece of a request's body: bytes in memory, or content that is read as it is sent. */
struct couch_segment {
	const void *data; /* memory, when read is NULL */
	uint64_t len;
	/* Deliver content from an offset: at most len bytes, exactly len unless it fails. */
	int (*read)(
	    void *context, uint64_t offset, uint64_t len, const struct qosid_sink *sink, struct qosid_errbuf *err);
	void *context;
	bool base64; /* send it so */
};

struct couch_request {
	const char *method;
	const char *path;         /* below the database: "" or "_changes?..", percent-encoded */
	bool server;              /* below the server instead */
	const char *content_type; /* NULL: application/json */
	const char *accept;       /* NULL: application/json */
	const struct couch_segment *body;
	size_t body_count;
	const struct qosid_sink *sink; /* of a 2xx answer; NULL: dropped */
	int (*restart)(
	    void *context, struct qosid_errbuf *err); /* before a second attempt: forget what the sink has got */
	void *restart_context;
	uint64_t limit;    /* of a 2xx answer's body; 0: 1 MiB */
	unsigned attempts; /* 0: the peer's */
	bool waits;        /* a longpoll: silence is no fault; ends with status 0 when nothing came in time */
};

struct couch_response {
	long status; /* 0: a longpoll without an answer */
	char error[64];
	char reason[256];
};

int couch_http_open(
    struct couch_http **out, const struct couch_peer *peer, const atomic_bool *cancel, struct qosid_errbuf *err);
void couch_http_close(struct couch_http *http); /* accepts NULL */

/* "host/database", and the address without credentials. */
const char *couch_http_name(const struct couch_http *http);
const char *couch_http_address(const struct couch_http *http);
const char *couch_http_database(const struct couch_http *http);  /* percent-encoded */
unsigned couch_http_idle_timeout(const struct couch_http *http); /* seconds */

int couch_http_request(struct couch_http *http, const struct couch_request *request, struct couch_response *response,
    struct qosid_errbuf *err);

/* The same with the answer in out, which is emptied first and, when the status is 2xx, checked to be JSON. */
int couch_http_json(struct couch_http *http, const struct couch_request *request, struct couch_response *response,
    struct qosid_buf *out, struct qosid_errbuf *err);

/* Turn a status that the caller does not expect into an error: 401, 403 and 3xx REFUSED, 404 NOTFOUND, 413 LIMIT, else
 * INVALID. what: "reading the changes". */
int couch_http_unexpected(
    struct couch_http *http, const struct couch_response *response, const char *what, struct qosid_errbuf *err);

/* Wait, in slices, so that a cancel is noticed. Returns false when cancelled. */
bool couch_wait(const atomic_bool *cancel, int64_t ms);
bool couch_is_cancelled(const atomic_bool *cancel);
int couch_cancelled_error(struct qosid_errbuf *err);

#endif
