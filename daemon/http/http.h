/*
 * The HTTP server of qosidd: libmicrohttpd's epoll loop in one thread, handlers in a few worker threads, feeds in none.
 *
 * A request is read by the loop (its body goes to memory or, past 64 KiB, to an unlinked file), then queued for a
 * worker, where its handler runs as plain blocking code: it reads http_call fields, writes the answer into call->out
 * (memory or an unlinked file likewise), and returns. The loop sends the answer at the client's pace, so neither a slow
 * sender nor a slow reader holds a worker, and memory per request is bounded by the two 64 KiB buffers. A queue that is
 * full answers 503 with Retry-After. A feed (http_call_subscribe()) gives its worker back and costs only memory until
 * there is something to send.
 *
 * Everything about HTTP itself is here: parsing of targets and queries, HEAD, both spellings with a trailing slash,
 * ETag and If-None-Match, ranges, Accept, CORS, the Host check against DNS rebinding, time-outs, limits. What a URL
 * means is daemon/api's business.
 */
#ifndef QOSID_DAEMON_HTTP_HTTP_H
#define QOSID_DAEMON_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "crypto/sink.h"
#include "daemon/journal.h"

#define HTTP_SEGMENTS_MAX 64

/* Bytes that start in memory and spill to an unlinked file (O_TMPFILE) past 64 KiB. */
struct spool;
int spool_write(struct spool *spool, const void *data, size_t len, struct qosid_errbuf *err);
struct qosid_sink spool_sink(struct spool *spool);
uint64_t spool_length(const struct spool *spool);
/* Read at an offset, at most len bytes; *got 0 at the end. */
int spool_read(
    const struct spool *spool, uint64_t offset, void *data, size_t len, size_t *got, struct qosid_errbuf *err);
/* The whole content in one buffer; QOSID_ERR_LIMIT when longer than limit. */
int spool_take(const struct spool *spool, size_t limit, struct qosid_buf *out, struct qosid_errbuf *err);

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_PUT, HTTP_POST, HTTP_DELETE, HTTP_COPY, HTTP_OPTIONS, HTTP_OTHER };

/* Who is asking, as the authenticator found out. */
struct http_principal {
	char name[128];     /* "" : nobody has logged in */
	bool admin;         /* server administrator ("_admin"), or the owner of the daemon by the unix socket */
	const char *method; /* "cookie", "default" (basic), "peer"; NULL for nobody */
	size_t role_count;
	char roles[16][128]; /* role_count of them; a call keeps no more, so copy nothing by assignment */
};

struct http_server;
struct http_call;

/* ---- what a handler sees; all strings live until the handler returns ---- */

struct http_server *http_call_server(const struct http_call *call);
void *http_call_context(const struct http_call *call); /* http_options.context */
unsigned http_call_worker(
    const struct http_call *call); /* 0 .. workers-1: which of the threads this is, for per-thread state */
enum http_method http_call_method(
    const struct http_call *call); /* HEAD is handed on as HTTP_GET; the body is then dropped */
const char *http_call_method_text(const struct http_call *call);
const char *http_call_target(const struct http_call *call); /* raw path as sent, without the query */

/* The path's segments, percent-decoded, without empty ones at the end ("/db/" has 1, "/" none). "%2F" stays inside its
 * segment as "/". */
size_t http_call_segment_count(const struct http_call *call);
const char *http_call_segment(const struct http_call *call, size_t index); /* NULL past the end */

/* A query parameter, decoded; NULL when absent. _bool reads true/false (QOSID_ERR_INVALID otherwise); _number a
 * non-negative integer. */
const char *http_call_query(const struct http_call *call, const char *name);
int http_call_query_bool(
    const struct http_call *call, const char *name, bool fallback, bool *out, struct qosid_errbuf *err);
int http_call_query_number(
    const struct http_call *call, const char *name, int64_t fallback, int64_t *out, struct qosid_errbuf *err);
/* Visit all parameters in order. */
int http_call_visit_query(const struct http_call *call,
    int (*visit)(void *context, const char *name, const char *value, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err);

/* The same for the parameters of an application/x-www-form-urlencoded body. */
int http_visit_form(const char *text,
    int (*visit)(void *context, const char *name, const char *value, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err);

const char *http_call_header(const struct http_call *call, const char *name); /* NULL when absent */
/* Whether the Accept header prefers this media type at least as much as other ("multipart/mixed" over
 * "application/json"). */
bool http_call_prefers(const struct http_call *call, const char *type, const char *other);
/* Whether the body's Content-Type is this (parameters ignored). */
bool http_call_content_is(const struct http_call *call, const char *type);

const struct spool *http_call_body(const struct http_call *call);
const struct http_principal *http_call_principal(const struct http_call *call);
void http_call_set_principal(struct http_call *call, const struct http_principal *principal);
const char *http_call_peer(const struct http_call *call); /* "127.0.0.1:40122" or "unix:uid=1000" */
int http_call_peer_uid(const struct http_call *call);     /* of a unix-socket client; -1 otherwise */

/* ---- answering ---- */

/* Set the status (default 200) and headers. ETag values are given with their quotes; when one is set on a 200 answer to
 * GET and matches If-None-Match, the server makes it 304 without body. */
void http_call_set_status(struct http_call *call, unsigned status);
int http_call_set_header(struct http_call *call, const char *name, const char *value, struct qosid_errbuf *err);
struct spool *http_call_out(struct http_call *call); /* the answer's body */

/* CouchDB's forms. The content type is application/json unless the handler has set another; a line ends the text. */
int http_call_json(struct http_call *call, unsigned status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* {"error":error,"reason":reason} with proper escaping. Drops what was written to out. */
int http_call_error(struct http_call *call, unsigned status, const char *error, const char *reason);
/* The same for a failure inside: NOTFOUND 404 not_found, CONFLICT 409 conflict, INVALID 400 bad_request, LIMIT 413
 * too_large, REFUSED 403 forbidden, BUSY 503, FULL 507 insufficient_storage, else 500. */
int http_call_failure(struct http_call *call, const struct qosid_errbuf *err);

/* Answer a GET with a byte range of content that produce() can deliver from any offset (attachments): handles Range,
 * If-Range, 206, 416, Accept-Ranges, Content-Length. */
int http_call_send_range(struct http_call *call, uint64_t length,
    int (*produce)(
	void *context, uint64_t offset, uint64_t len, const struct qosid_sink *sink, struct qosid_errbuf *err),
    void *context, struct qosid_errbuf *err);

/* Instead of an answer: have the handler run once more, from its beginning, after the requests that wait now. For work
 * in pieces; what was written so far is dropped. */
void http_call_again(struct http_call *call);

/* ---- feeds: longpoll, continuous, eventsource ---- */

enum http_feed_state { FEED_MORE, FEED_WAIT, FEED_END };

struct http_feed {
	/* Runs on a worker: append what is new to out. FEED_MORE: call again as soon as this has been sent; FEED_WAIT:
	 * call again after http_server_wake() of this topic, or when the time-out has passed (timed_out is then true
	 * once); FEED_END: the answer is complete. */
	enum http_feed_state (*produce)(void *context, struct http_call *call, struct spool *out, bool timed_out);
	void (*free_context)(void *context);
	void *context;
	char topic[256];         /* what it waits for: a database's name */
	int64_t heartbeat_ms;    /* 0: none; else heartbeat text is sent whenever nothing was sent for so long */
	int64_t timeout_ms;      /* 0: none; overridden by a heartbeat, as in CouchDB */
	char heartbeat_text[32]; /* "\n" */
};

/* Instead of an ordinary answer: headers go out at once, then what produce() gives, chunked. Takes over spec->context
 * in any case. */
int http_call_subscribe(struct http_call *call, const struct http_feed *spec, struct qosid_errbuf *err);

/* Something with this topic has changed. Cheap; callable from any thread. */
void http_server_wake(struct http_server *server, const char *topic);

/* ---- the server ---- */

/* Answers one call; a non-zero return becomes http_call_failure() with err. */
typedef int (*http_handler)(struct http_call *call, struct qosid_errbuf *err);

struct http_options {
	const char *address;   /* "127.0.0.1"; NULL: no TCP */
	uint16_t port;         /* 0: any, see http_server_port() */
	const char *unix_path; /* NULL: none */
	const int *listen_fds; /* systemd socket activation; count 0: none */
	size_t listen_fd_count;
	unsigned workers;         /* 0: 4 */
	unsigned connections_max; /* 0: 12000 */
	unsigned queue_max;       /* requests that wait for a worker; one more is 503; 0: 4096 */
	uint64_t body_max;        /* a request body longer than this is 413; 0: 1 GiB + 64 MiB */
	unsigned idle_timeout_s;  /* for slow headers, slow bodies and idle keep-alive; 0: 60 */
	const char *const
	    *hosts; /* allowed Host names beside localhost, 127.0.0.1, [::1]; NULL-terminated; NULL: none */
	const char *const *origins; /* CORS: allowed origins ("*" or exact); NULL: CORS off */
	http_handler handler;       /* for every call but CORS preflights */
	void *context;
	/* Called with the context before the first request can come; may be NULL. */
	void (*started)(void *context, struct http_server *server);
	const struct journal *journal;
};

int http_server_start(struct http_server **out, const struct http_options *options, struct qosid_errbuf *err);
uint16_t http_server_port(const struct http_server *server);
/* Let running handlers end, close feeds, join all threads. Accepts NULL. */
void http_server_stop(struct http_server *server);

struct http_stats {
	uint64_t requests, bytes_in, bytes_out, refused;
	unsigned connections, feeds, queued;
	uint64_t by_status[600];
	uint64_t by_method[8];
};
void http_server_read_stats(struct http_server *server, struct http_stats *out);

#endif
