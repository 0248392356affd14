/* The loop's side of the HTTP server: libmicrohttpd's callbacks, starting and stopping; see http.h. */
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/http/http_internal.h"

#define BODY_MAX ((1ull << 30) + (64ull << 20))
#define CONNECTIONS_MAX 12000
#define IDLE_TIMEOUT 60
#define QUEUE_MAX 4096
#define WORKERS 4
#define HEADER_BYTES (16u << 10)  /* of a request's first line and headers, with what the answer's headers need */
#define SWALLOW_BYTES (16u << 20) /* of a body that is too long; then the connection is closed */
#define STOP_WITHIN 3000
#define FEED_PIECE_BYTES 1024

/* ---- sockets ---- */

static void name_peer(struct http_connection *socket)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof address;
	struct ucred ucred;
	char host[46], port[8];
	socket->uid = -1;
	if (getpeername(socket->fd, (struct sockaddr *)&address, &len) < 0)
		return;
	if (address.ss_family == AF_UNIX) {
		len = sizeof ucred;
		if (getsockopt(socket->fd, SOL_SOCKET, SO_PEERCRED, &ucred, &len) == 0)
			socket->uid = (int)ucred.uid;
		(void)snprintf(socket->peer, sizeof socket->peer, "unix:uid=%d", socket->uid);
	} else if (getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
		       NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
		(void)snprintf(
		    socket->peer, sizeof socket->peer, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	}
}

static void on_connection(
    void *context, struct MHD_Connection *connection, void **socket_context, enum MHD_ConnectionNotificationCode code)
{
	struct http_server *server = context;
	struct http_connection *socket = *socket_context;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info =
		    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		socket = calloc(1, sizeof *socket);
		if (!socket || !info) {
			free(socket);
			return; /* its requests will be refused */
		}
		socket->fd = info->connect_fd;
		socket->since = clock_now();
		name_peer(socket);
		*socket_context = socket;
		(void)pthread_mutex_lock(&server->connection_lock);
		socket->next = server->connections;
		if (socket->next)
			socket->next->previous = socket;
		server->connections = socket;
		server->connection_count++;
		(void)pthread_mutex_unlock(&server->connection_lock);
	} else if (socket) {
		(void)pthread_mutex_lock(&server->connection_lock);
		if (socket->next)
			socket->next->previous = socket->previous;
		if (socket->previous)
			socket->previous->next = socket->next;
		else
			server->connections = socket->next;
		server->connection_count--;
		(void)pthread_mutex_unlock(&server->connection_lock);
		free(socket);
		*socket_context = NULL;
	}
}

static void set_busy(struct http_call *call, bool busy)
{
	struct http_server *server = call->server;
	struct http_connection *socket = call->socket;
	if (socket->busy == busy)
		return;
	(void)pthread_mutex_lock(&server->connection_lock);
	socket->busy = busy;
	socket->since = clock_now();
	socket->mark = 0;
	(void)pthread_mutex_unlock(&server->connection_lock);
	if (busy)
		atomic_fetch_add(&server->busy, 1);
	else
		atomic_fetch_sub(&server->busy, 1);
}

/* A body must come at some pace, or its connection is closed (keeper.c). */
static void note_progress(struct http_call *call, size_t bytes)
{
	struct http_connection *socket = call->socket;
	socket->mark += bytes;
	if (socket->mark < HTTP_PROGRESS_BYTES)
		return;
	(void)pthread_mutex_lock(&call->server->connection_lock);
	socket->since = clock_now();
	socket->mark = 0;
	(void)pthread_mutex_unlock(&call->server->connection_lock);
}

/* ---- the answer ---- */

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
	(void)MHD_add_response_header(response, name, value); /* fails for want of memory only; then it lacks one */
}

static void add_cors(struct http_call *call, struct MHD_Response *response)
{
	const char *origin = http_call_header(call, "Origin");
	if (!call->server->options.origins)
		return;
	add_header(response, "Vary", "Origin");
	if (!origin || !http_origin_allowed(origin, call->server->options.origins))
		return;
	add_header(response, "Access-Control-Allow-Origin", origin);
	add_header(response, "Access-Control-Allow-Credentials", "true");
	if (call->method != HTTP_OPTIONS)
		add_header(response, "Access-Control-Expose-Headers",
		    "content-type, cache-control, accept-ranges, etag, server, x-couch-request-id, "
		    "x-couch-update-newrev, x-couchdb-body-time");
}

static void add_headers(struct http_call *call, struct MHD_Response *response)
{
	char id[11];
	uint8_t random[5];
	const char *p = (const char *)call->answer.data, *end = p + call->answer.len;
	while (p && p < end) {
		const char *value = p + strlen(p) + 1;
		add_header(response, p, value);
		p = value + strlen(value) + 1;
	}
	/* CouchDB calls JSON plain text to those who do not take JSON, so that a browser shows it. */
	if (!call_answer_header(call, "Content-Type") && (call->feed || spool_length(&call->out) > 0))
		add_header(response, "Content-Type",
		    http_accept_quality(http_call_header(call, "Accept"), "application/json") > 0
			? "application/json"
			: "text/plain; charset=utf-8");
	if (!call_answer_header(call, "Cache-Control"))
		add_header(response, "Cache-Control", "must-revalidate");
	add_header(response, "Server", "CouchDB/3.5.0 (Qosid/" QOSID_VERSION ")");
	randombytes_buf(random, sizeof random);
	add_header(response, "X-Couch-Request-ID", sodium_bin2hex(id, sizeof id, random, sizeof random));
	add_header(response, "X-CouchDB-Body-Time", "0");
	add_header(response, "X-Content-Type-Options", "nosniff");
	if (atomic_load(&call->server->closing))
		add_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	add_cors(call, response);
}

static struct MHD_Response *make_response(struct http_call *call)
{
	uint64_t length = spool_length(&call->out);
	int fd;
	if (call->feed)
		return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, FEED_PIECE_BYTES, feed_read, call, NULL);
	atomic_fetch_add(&call->server->bytes_out, length);
	if (call->out.fd == 0) /* the call lives until it is sent */
		return MHD_create_response_from_buffer(
		    call->out.memory.len, call->out.memory.data, MHD_RESPMEM_PERSISTENT);
	if (spool_take_fd(&call->out, &fd, NULL) < 0)
		return NULL;
	struct MHD_Response *response = MHD_create_response_from_fd64(length, fd);
	if (!response)
		(void)close(fd);
	return response;
}

static enum MHD_Result send_answer(struct http_call *call)
{
	struct http_server *server = call->server;
	call_finish(call);
	struct MHD_Response *response = make_response(call);
	if (!response)
		return MHD_NO;
	add_headers(call, response);
	atomic_fetch_add(&server->by_status[call->status < 600 ? call->status : 0], 1);
	enum MHD_Result result = MHD_queue_response(call->connection, call->status, response);
	MHD_destroy_response(response);
	return result;
}

/* Answer before a worker has seen the call. */
static enum MHD_Result refuse(struct http_call *call, unsigned status, const char *error, const char *reason)
{
	atomic_fetch_add(&call->server->refused, 1);
	if (http_call_error(call, status, error, reason) < 0)
		return MHD_NO;
	set_busy(call, true);
	return send_answer(call);
}

/* ---- the request ---- */

static enum http_method method_of(const char *text)
{
	static const char *const names[] = {
	    [HTTP_GET] = "GET",
	    [HTTP_HEAD] = "HEAD",
	    [HTTP_PUT] = "PUT",
	    [HTTP_POST] = "POST",
	    [HTTP_DELETE] = "DELETE",
	    [HTTP_COPY] = "COPY",
	    [HTTP_OPTIONS] = "OPTIONS",
	};
	for (int i = 0; i < HTTP_OTHER; i++) {
		if (strcmp(names[i], text) == 0)
			return (enum http_method)i;
	}
	return HTTP_OTHER;
}

static enum MHD_Result take_header(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct http_call *call = context;
	(void)kind;
	if (!value)
		value = "";
	return qosid_buf_append(&call->headers, name, strlen(name) + 1, NULL) == 0 &&
		       qosid_buf_append(&call->headers, value, strlen(value) + 1, NULL) == 0
		   ? MHD_YES
		   : MHD_NO;
}

/* Whether a POST may stand for it, for clients that know no other method. */
static bool may_override(enum http_method method)
{
	return method == HTTP_GET || method == HTTP_PUT || method == HTTP_DELETE || method == HTTP_COPY;
}

/* The headers have come. */
static enum MHD_Result begin(struct http_call *call, const char *method, const char *version, bool local)
{
	struct http_server *server = call->server;
	const char *host, *origin, *length, *override;
	enum http_method sent = method_of(method);
	(void)snprintf(call->method_text, sizeof call->method_text, "%s", method);
	call->method = sent;
	atomic_fetch_add(&server->requests, 1);
	atomic_fetch_add(&server->by_method[call->method], 1);
	(void)MHD_get_connection_values(call->connection, MHD_HEADER_KIND, take_header, call);

	override = http_call_header(call, "X-HTTP-Method-Override");
	if (sent == HTTP_POST && override && may_override(method_of(override))) {
		(void)snprintf(call->method_text, sizeof call->method_text, "%s", override);
		call->method = method_of(override);
	}
	call->stage = CALL_BODY;
	if (call->status == 400) { /* the target was bad */
		atomic_fetch_add(&server->refused, 1);
		set_busy(call, true);
		return send_answer(call);
	}
	host = http_call_header(call, "Host");
	origin = http_call_header(call, "Origin");
	length = http_call_header(call, "Content-Length");
	if (!host && strcmp(version, MHD_HTTP_VERSION_1_1) == 0)
		return refuse(call, 400, "bad_request", "The Host header is missing.");
	if (!local && host && !http_host_allowed(host, server->options.hosts))
		return refuse(call, 421, "misdirected_request", "The Host header names no host of this server.");
	/* Browsers add Origin to whatever a page makes them send. Reading is what CORS guards; this guards writing. */
	if (origin && sent != HTTP_GET && sent != HTTP_HEAD && sent != HTTP_OPTIONS &&
	    !(host && http_origin_is_host(origin, host)) && !http_origin_allowed(origin, server->options.origins))
		return refuse(call, 403, "forbidden", "Pages of this origin may not write here.");
	if (length && strtoull(length, NULL, 10) > server->options.body_max)
		return refuse(call, 413, "too_large", "The request entity is too large.");
	return MHD_YES;
}

static enum MHD_Result take_body(struct http_call *call, const char *data, size_t *size)
{
	struct http_server *server = call->server;
	size_t len = *size;
	*size = 0;
	atomic_fetch_add(&server->bytes_in, len);
	note_progress(call, len);
	if (!call->overflow && spool_length(&call->body) + len <= server->options.body_max) {
		if (spool_write(&call->body, data, len, NULL) == 0)
			return MHD_YES;
		call->status = 507;
	}
	/* An answer can only be given at the end of the body. */
	call->overflow = true;
	spool_reset(&call->body);
	call->status = call->status == 507 ? 507 : 413;
	call->dropped += len;
	return call->dropped <= SWALLOW_BYTES ? MHD_YES : MHD_NO;
}

static enum MHD_Result answer_preflight(struct http_call *call)
{
	const char *wanted = http_call_header(call, "Access-Control-Request-Headers");
	call->status = 204;
	if (http_origin_allowed(http_call_header(call, "Origin"), call->server->options.origins) &&
	    (http_call_set_header(
		 call, "Access-Control-Allow-Methods", "GET, HEAD, PUT, POST, DELETE, COPY, OPTIONS", NULL) < 0 ||
		http_call_set_header(call, "Access-Control-Allow-Headers",
		    wanted
			? wanted
			: "accept, authorization, content-type, origin, referer, if-match, if-none-match, destination",
		    NULL) < 0 ||
		http_call_set_header(call, "Access-Control-Max-Age", "600", NULL) < 0))
		return MHD_NO;
	set_busy(call, true);
	return send_answer(call);
}

/* All of the request has come: a worker's turn. */
static enum MHD_Result dispatch(struct http_call *call)
{
	struct http_server *server = call->server;
	if (call->overflow && call->status == 507)
		return refuse(call, 507, "insufficient_storage", "There is no room for the request's body.");
	if (call->overflow)
		return refuse(call, 413, "too_large", "The request entity is too large.");
	if (call->method == HTTP_OPTIONS && server->options.origins && http_call_header(call, "Origin") &&
	    http_call_header(call, "Access-Control-Request-Method"))
		return answer_preflight(call);
	if (!queue_reserve(&server->queue)) {
		if (http_call_set_header(call, "Retry-After", "1", NULL) < 0)
			return MHD_NO;
		return refuse(call, 503, "service_unavailable", "The server is busy, try again.");
	}
	set_busy(call, true);
	call->stage = CALL_RUNNING;
	MHD_suspend_connection(call->connection); /* before a worker can resume it */
	queue_push(&server->queue, call);
	return MHD_YES;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
    const char *version, const char *data, size_t *size, void **call_context)
{
	const struct http_listener *listener = context;
	struct http_call *call = *call_context;
	(void)connection;
	(void)url;
	if (!call || !call->socket)
		return MHD_NO;
	switch (call->stage) {
	case CALL_NEW:
		return begin(call, method, version, listener->local);
	case CALL_BODY:
		return *size > 0 ? take_body(call, data, size) : dispatch(call);
	case CALL_READY:
		return send_answer(call);
	case CALL_RUNNING:
		break;
	}
	return MHD_YES;
}

static void *on_uri(void *context, const char *uri, struct MHD_Connection *connection)
{
	struct http_call *call = call_create(context, connection, uri);
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	if (call && info)
		call->socket = info->socket_context;
	return call;
}

static void on_completed(
    void *context, struct MHD_Connection *connection, void **call_context, enum MHD_RequestTerminationCode code)
{
	struct http_call *call = *call_context;
	(void)context;
	(void)connection;
	(void)code;
	*call_context = NULL;
	if (!call)
		return;
	if (call->feed)
		feed_end(call);
	if (call->socket)
		set_busy(call, false);
	call_unref(call);
}

__attribute__((format(printf, 2, 0))) static void on_log(void *context, const char *fmt, va_list ap)
{
	const struct http_server *server = context;
	char text[256];
	if (!server->options.journal || vsnprintf(text, sizeof text, fmt, ap) < 0)
		return;
	struct journal_line line;
	text[strcspn(text, "\n")] = '\0';
	journal_begin(&line, server->options.journal, LOG_DEBUG, "http");
	journal_text(&line, "why", text);
	journal_end(&line);
}

/* ---- workers ---- */

struct worker_start {
	struct http_server *server;
	unsigned index;
};

/* Put a call that wants another turn back into the queue. */
static int requeue(struct http_call *call, struct qosid_errbuf *err)
{
	call->again = false;
	call->status = 200;
	spool_reset(&call->out);
	qosid_buf_reset(&call->answer);
	return queue_push_again(&call->server->queue, call)
		   ? 1
		   : qosid_error(err, QOSID_ERR_BUSY, "the server is being stopped");
}

static void answer_call(struct http_call *call)
{
	struct qosid_errbuf err = {0};
	int rc = call->server->options.handler(call, &err);
	if (rc == 0 && call->again && (rc = requeue(call, &err)) == 1)
		return; /* another worker may have it already */
	if (rc < 0) {
		if (call->feed)
			feed_drop(call);
		if (err.code == 0)
			(void)qosid_error(&err, rc, "the request failed");
		(void)http_call_failure(call, &err); /* without memory the answer lacks its body */
	} else if (call->feed) {
		feed_begin(call);
	}
	spool_free(&call->body);
	call->stage = CALL_READY;
	MHD_resume_connection(call->connection); /* from here on it is the loop's */
}

static void *work(void *context)
{
	struct worker_start start = *(struct worker_start *)context;
	struct http_call *call;
	bool feed;
	free(context);
	while ((call = queue_pop(&start.server->queue, &feed))) {
		call->worker = start.index;
		if (feed)
			feed_continue(call);
		else
			answer_call(call);
	}
	return NULL;
}

static int start_workers(struct http_server *server, struct qosid_errbuf *err)
{
	server->workers = calloc(server->options.workers, sizeof *server->workers);
	if (!server->workers)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for the HTTP server");
	for (; server->worker_count < server->options.workers; server->worker_count++) {
		struct worker_start *start = malloc(sizeof *start);
		if (!start)
			return qosid_error(err, QOSID_ERR_NOMEM, "no memory for the HTTP server");
		*start = (struct worker_start){.server = server, .index = server->worker_count};
		int failed = pthread_create(&server->workers[server->worker_count], NULL, work, start);
		if (failed) {
			free(start);
			return qosid_error_errno(err, failed, "cannot start a thread");
		}
	}
	return 0;
}

/* ---- starting and stopping ---- */

/* Takes over the descriptor. */
static int start_listener(struct http_server *server, int fd, bool local, struct qosid_errbuf *err)
{
	const struct http_options *options = &server->options;
	if (server->listener_count == HTTP_LISTENERS_MAX) {
		(void)close(fd);
		return qosid_error(err, QOSID_ERR_LIMIT, "more than %d sockets to listen on", HTTP_LISTENERS_MAX);
	}
	struct http_listener *listener = &server->listeners[server->listener_count];
	*listener = (struct http_listener){.fd = fd, .local = local};
	listener->daemon =
	    MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL,
		NULL, on_request, listener, MHD_OPTION_EXTERNAL_LOGGER, on_log, server, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, options->connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
		options->idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
		MHD_OPTION_URI_LOG_CALLBACK, on_uri, server, MHD_OPTION_END);
	if (!listener->daemon) {
		(void)close(fd);
		return qosid_error(err, QOSID_ERR_FAILED, "cannot start the HTTP server");
	}
	server->listener_count++;
	return 0;
}

static int start_listeners(struct http_server *server, struct qosid_errbuf *err)
{
	const struct http_options *options = &server->options;
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof address;
	int fd, rc = 0;
	if (options->address) {
		rc = listen_tcp(options->address, options->port, &fd, err);
		if (rc == 0) {
			server->port = listen_port(fd);
			rc = start_listener(server, fd, false, err);
		}
	}
	if (rc == 0 && options->unix_path) {
		rc = listen_unix(options->unix_path, &fd, err);
		if (rc == 0) {
			(void)snprintf(server->unix_path, sizeof server->unix_path, "%s", options->unix_path);
			rc = start_listener(server, fd, true, err);
		}
	}
	for (size_t i = 0; i < options->listen_fd_count && rc == 0; i++) {
		len = sizeof address;
		fd = options->listen_fds[i];
		if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
			return qosid_error_errno(err, errno, "a socket that was handed over is none");
		rc = start_listener(server, fd, address.ss_family == AF_UNIX, err);
	}
	return rc;
}

int http_server_start(struct http_server **out, const struct http_options *options, struct qosid_errbuf *err)
{
	struct http_server *server = calloc(1, sizeof *server);
	if (!server || sodium_init() < 0) {
		free(server);
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for the HTTP server");
	}
	server->options = *options;
	if (server->options.workers == 0)
		server->options.workers = WORKERS;
	if (server->options.connections_max == 0)
		server->options.connections_max = CONNECTIONS_MAX;
	if (server->options.body_max == 0)
		server->options.body_max = BODY_MAX;
	if (server->options.idle_timeout_s == 0)
		server->options.idle_timeout_s = IDLE_TIMEOUT;
	server->keeper_epoll = server->keeper_event = -1;
	(void)pthread_mutex_init(&server->connection_lock, NULL); /* default attributes: cannot fail on Linux */
	(void)pthread_mutex_init(&server->feed_lock, NULL);
	queue_init(&server->queue, options->queue_max ? options->queue_max : QUEUE_MAX);
	listen_raise_limit(server->options.connections_max);

	int rc = keeper_start(server, err);
	if (rc == 0)
		rc = start_workers(server, err);
	if (rc == 0 && options->started)
		options->started(options->context, server);
	if (rc == 0)
		rc = start_listeners(server, err);
	if (rc < 0) {
		http_server_stop(server);
		return rc;
	}
	*out = server;
	return 0;
}

uint16_t http_server_port(const struct http_server *server)
{
	return server->port;
}

/* Workers end what is queued; then no connection is suspended but those of resting feeds, which are told to end. */
void http_server_stop(struct http_server *server)
{
	if (!server)
		return;
	for (size_t i = 0; i < server->listener_count; i++)
		(void)MHD_quiesce_daemon(server->listeners[i].daemon); /* nothing new comes in */
	atomic_store(&server->closing, true);
	queue_close(&server->queue);
	for (unsigned i = 0; i < server->worker_count; i++)
		(void)pthread_join(server->workers[i], NULL);
	keeper_stop(server);
	feed_close_all(server);
	for (int64_t end = clock_now() + STOP_WITHIN; atomic_load(&server->busy) > 0 && clock_now() < end;)
		(void)usleep(5000); /* answers are still being sent */
	for (size_t i = 0; i < server->listener_count; i++) {
		MHD_stop_daemon(server->listeners[i].daemon);
		(void)close(server->listeners[i].fd);
	}
	keeper_free(server);
	if (server->unix_path[0])
		(void)unlink(server->unix_path);
	free(server->workers);
	queue_destroy(&server->queue);
	(void)pthread_mutex_destroy(&server->feed_lock);
	(void)pthread_mutex_destroy(&server->connection_lock);
	free(server);
}

void http_server_read_stats(struct http_server *server, struct http_stats *out)
{
	*out = (struct http_stats){
	    .requests = atomic_load(&server->requests),
	    .bytes_in = atomic_load(&server->bytes_in),
	    .bytes_out = atomic_load(&server->bytes_out),
	    .refused = atomic_load(&server->refused),
	};
	for (size_t i = 0; i < sizeof out->by_status / sizeof out->by_status[0]; i++)
		out->by_status[i] = atomic_load(&server->by_status[i]);
	for (size_t i = 0; i < sizeof out->by_method / sizeof out->by_method[0]; i++)
		out->by_method[i] = atomic_load(&server->by_method[i]);
	(void)pthread_mutex_lock(&server->connection_lock);
	out->connections = server->connection_count;
	(void)pthread_mutex_unlock(&server->connection_lock);
	(void)pthread_mutex_lock(&server->feed_lock);
	out->feeds = server->feed_count;
	(void)pthread_mutex_unlock(&server->feed_lock);
	(void)pthread_mutex_lock(&server->queue.lock);
	out->queued = server->queue.length;
	(void)pthread_mutex_unlock(&server->queue.lock);
}
