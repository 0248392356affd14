/*
 * Shared by the files of the HTTP server.
 *
 * Who owns a call. The loop's thread makes it when the first line of a request has come and drops it when libmicrohttpd
 * says that the request is over. In between, while its connection is suspended, a worker has it alone. A feed's call is
 * used by several threads; its feed's fields are under http_server.feed_lock, and references keep it alive for as long
 * as a worker or the keeper may still look at it. A connection is resumed exactly once for each time it was suspended.
 *
 * Locks: feed_lock before queue.lock; connection_lock alone.
 */
#ifndef QOSID_DAEMON_HTTP_INTERNAL_H
#define QOSID_DAEMON_HTTP_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "daemon/clock.h"
#include "daemon/http/http.h"

#define HTTP_MEMORY_BYTES (64u << 10) /* of a spool; then it goes to a file */
#define HTTP_LISTENERS_MAX 8
#define HTTP_PROGRESS_BYTES 4096 /* of a body, wanted within the idle time-out */
#define HTTP_TOPIC_BUCKETS 1024u /* a power of two */

/* ---- spool.c ---- */

struct spool {
	struct qosid_buf memory; /* the end of the content */
	uint64_t flushed;        /* what is in the file, in front of it */
	int fd;                  /* 0: none yet, else the descriptor + 1, so that {0} is an empty spool */
};
void spool_reset(struct spool *spool); /* empty again, memory kept */
void spool_free(struct spool *spool);
/* All of it in a file whose descriptor is now the caller's. */
int spool_take_fd(struct spool *spool, int *fd, struct qosid_errbuf *err);

/* ---- target.c ---- */

struct http_parameter {
	const char *name;
	const char *value;
};

/* A request target taken apart; everything points into one allocation. Starts as {0}. */
struct http_target {
	char *raw; /* the path as sent, without the query */
	char *text;
	const char **segments;
	size_t segment_count;
	struct http_parameter *parameters;
	size_t parameter_count;
};
/* QOSID_ERR_INVALID: NUL bytes or text that is not UTF-8. QOSID_ERR_LIMIT: more segments than HTTP_SEGMENTS_MAX. */
int http_target_parse(struct http_target *out, const char *uri, struct qosid_errbuf *err);
void http_target_free(struct http_target *target);

/* ---- headers.c: pure functions of header values ---- */

/* The quality (0 to 1000) that an Accept value gives a media type; accept NULL: 1000. */
unsigned http_accept_quality(const char *accept, const char *type);
/* Whether a Content-Type value is this media type. */
bool http_type_is(const char *value, const char *type);
/* Whether an If-None-Match or If-Match list has this ETag ("*" has every one). Weak comparison. */
bool http_etag_listed(const char *list, const char *etag);
/* Read "bytes=a-b", "bytes=a-", "bytes=-n" for content of this length. 1: first and count are set; 0: not a single
 * byte range, to be ignored; -1: cannot be satisfied. */
int http_range_parse(const char *value, uint64_t length, uint64_t *first, uint64_t *count);
/* Whether a Host value, or the host of an Origin, may name this server: localhost, an IP address (which no rebound
 * DNS name can be), or one of names. */
bool http_host_allowed(const char *host, const char *const *names);
bool http_origin_allowed(const char *origin, const char *const *origins);
/* Whether an Origin is what a page of this very server would send. */
bool http_origin_is_host(const char *origin, const char *host);

/* ---- calls (call.c) ---- */

enum call_stage { CALL_NEW, CALL_BODY, CALL_RUNNING, CALL_READY };

/* One socket, from accept to close. */
struct http_connection {
	struct http_connection *next, *previous;
	int fd;
	int uid;       /* of a unix-socket client, else -1 */
	bool busy;     /* a whole request has come and is being answered */
	uint64_t mark; /* body bytes since the time below was set */
	int64_t since; /* when it last did what it should */
	char peer[56];
};

struct feed;

struct http_call {
	struct http_server *server;
	struct MHD_Connection *connection;
	struct http_connection *socket;
	struct http_call *next; /* in the queue */
	atomic_int references;
	enum call_stage stage;
	unsigned worker;

	enum http_method method;
	bool head;
	bool again;       /* the handler wants another turn */
	bool overflow;    /* the body was too long; what follows is dropped */
	uint64_t dropped; /* bytes of that */
	char method_text[24];
	struct http_target target;
	struct qosid_buf headers; /* name NUL value NUL ... */
	struct spool body;
	struct http_principal *principal;

	unsigned status;
	struct qosid_buf answer; /* headers, as above */
	struct spool out;
	struct feed *feed;
};

struct http_call *call_create(struct http_server *server, struct MHD_Connection *connection, const char *uri);
void call_unref(struct http_call *call);
const char *call_answer_header(const struct http_call *call, const char *name);

/* Bring the answer into its last form: 304 for a matching ETag. */
void call_finish(struct http_call *call);

/* ---- the work queue (queue.c) ---- */

struct queue_list {
	struct http_call *head;
	struct http_call **tail;
};

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct queue_list requests, feeds;
	unsigned length;   /* requests in it or about to be */
	unsigned promised; /* of these, not yet pushed */
	unsigned most;
	bool feeds_turn, closed;
};

void queue_init(struct queue *queue, unsigned most);
void queue_destroy(struct queue *queue);
/* A place for a request: false when full or closed. Every place is used by queue_push(). */
bool queue_reserve(struct queue *queue);
void queue_push(struct queue *queue, struct http_call *call);
/* A request that has had a turn and wants another one, past the bound. False when closed. */
bool queue_push_again(struct queue *queue, struct http_call *call);
/* Feeds are as many as connections at most, and are never turned away. */
void queue_push_feed(struct queue *queue, struct http_call *call);
/* The next one, waiting for it; NULL when closed and empty. */
struct http_call *queue_pop(struct queue *queue, bool *feed);
void queue_close(struct queue *queue);

/* ---- feeds (feed.c, keeper.c) ---- */

enum feed_stage { FEED_RUNNING, FEED_SENDING, FEED_WAITING };

struct feed {
	struct http_feed spec;
	enum feed_stage stage;     /* who has call->out: a worker, the loop, nobody */
	enum http_feed_state last; /* what produce() said */
	bool woken;                /* the topic changed while it was not waiting */
	bool timed_out;
	bool beat;      /* a heartbeat is to be sent */
	bool suspended; /* the connection is */
	bool gone;      /* the client is */
	bool over;      /* the request is */
	bool listed, watched;
	uint64_t sent; /* of call->out */
	int64_t last_sent, wait_since;
	int64_t due; /* when the keeper looks at it */
	size_t slot; /* in the heap, from 1; 0: not there */
	struct http_call *topic_next, **topic_previous;
	struct http_call *grave_next;
};

/* The keeper's view: feeds by the time when something is due. */
struct feed_heap {
	struct http_call **slots; /* from 1 */
	size_t count, capacity;
};

/* On a worker: let the feed produce, and pass on what it gave. The second is for one that the queue gave. */
void feed_begin(struct http_call *call);
void feed_continue(struct http_call *call);
/* On the loop: MHD_ContentReaderCallback; the request is over. */
ssize_t feed_read(void *context, uint64_t position, char *buffer, size_t size);
void feed_end(struct http_call *call);
/* Forget a feed whose answer has not begun. */
void feed_drop(struct http_call *call);
/* For the keeper, with feed_lock held: something is due; the client has gone. */
void feed_tick(struct http_call *call, int64_t now);
void feed_leave(struct http_call *call);
/* End all of them. */
void feed_close_all(struct http_server *server);

int keeper_start(struct http_server *server, struct qosid_errbuf *err);
void keeper_stop(struct http_server *server);
void keeper_free(struct http_server *server); /* when no connection is left */
/* With feed_lock held: look at the feed at due (INT64_MAX: not any more); notice when the client goes. */
int keeper_reserve(struct http_server *server);
void keeper_set_due(struct http_call *call, int64_t due);
void keeper_watch(struct http_call *call);
void keeper_forget(struct http_call *call);

/* ---- sockets (listen.c) ---- */

int listen_tcp(const char *address, uint16_t port, int *fd, struct qosid_errbuf *err);
/* The port that a socket is bound to; 0 when it has none. */
uint16_t listen_port(int fd);
int listen_unix(const char *path, int *fd, struct qosid_errbuf *err);
/* Room for this many connections, as far as the system allows. */
void listen_raise_limit(unsigned connections);

/* ---- the server (server.c) ---- */

struct http_listener {
	struct MHD_Daemon *daemon;
	int fd;
	bool local; /* a unix socket: no Host check */
};

struct http_server {
	struct http_options options;
	char unix_path[108];
	uint16_t port;
	struct http_listener listeners[HTTP_LISTENERS_MAX];
	size_t listener_count;

	struct queue queue;
	pthread_t *workers;
	unsigned worker_count;

	pthread_mutex_t connection_lock;
	struct http_connection *connections;
	unsigned connection_count;

	pthread_mutex_t feed_lock;
	struct http_call *topics[HTTP_TOPIC_BUCKETS];
	unsigned feed_count;
	struct feed_heap heap;
	struct http_call *graves; /* over, but the keeper may have an event of theirs in hand */
	int64_t keeper_until;
	pthread_t keeper;
	bool keeper_running;
	int keeper_epoll, keeper_event;

	atomic_bool closing;
	atomic_uint busy;
	atomic_ullong requests, bytes_in, bytes_out, refused;
	atomic_ullong by_status[600];
	atomic_ullong by_method[8];
};

#endif
