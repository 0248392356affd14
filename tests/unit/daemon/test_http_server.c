/* The HTTP server with real sockets on loopback and a handler of its own: what clients see, good and bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/http/http.h"

#define FEEDS_IDLE 2000
#define PATIENCE 10000 /* ms; nothing here takes so long, so it only bounds a failing test */

static struct http_server *server;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_int gate_waiting, feed_rows, feeds_alive, timed_out_count;

/* ---- the handler ---- */

static int produce_letters(
    void *context, uint64_t offset, uint64_t len, const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	(void)context;
	for (uint64_t i = offset; i < offset + len; i++) {
		char letter = (char)('a' + i % 26);
		int rc = sink->write(sink->context, &letter, 1, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* A feed of rows: as many as feed_rows says, each once. */
struct rows {
	int given;
	int end_at; /* 0: never */
};

static enum http_feed_state produce_rows(void *context, struct http_call *call, struct spool *out, bool timed_out)
{
	struct rows *rows = context;
	char row[32];
	(void)call;
	if (timed_out) {
		atomic_fetch_add(&timed_out_count, 1);
		(void)spool_write(out, "late\n", 5, NULL);
		return FEED_END;
	}
	int now = atomic_load(&feed_rows);
	if (rows->given == now)
		return FEED_WAIT;
	rows->given++;
	(void)snprintf(row, sizeof row, "row %d\n", rows->given);
	(void)spool_write(out, row, strlen(row), NULL);
	if (rows->given == rows->end_at)
		return FEED_END;
	return rows->given < now ? FEED_MORE : FEED_WAIT;
}

static void free_rows(void *context)
{
	atomic_fetch_sub(&feeds_alive, 1);
	free(context);
}

static int subscribe(struct http_call *call, struct qosid_errbuf *err)
{
	struct http_feed feed = {.produce = produce_rows, .free_context = free_rows, .topic = "rows"};
	int64_t end_at;
	struct rows *rows = calloc(1, sizeof *rows);
	assert_non_null(rows);
	atomic_fetch_add(&feeds_alive, 1);
	rows->given = atomic_load(&feed_rows);
	(void)snprintf(feed.heartbeat_text, sizeof feed.heartbeat_text, "\n");
	(void)http_call_query_number(call, "heartbeat", 0, &feed.heartbeat_ms, err);
	(void)http_call_query_number(call, "timeout", 0, &feed.timeout_ms, err);
	(void)http_call_query_number(call, "rows", 0, &end_at, err);
	rows->end_at = end_at > 0 ? rows->given + (int)end_at : 0;
	feed.context = rows;
	return http_call_subscribe(call, &feed, err);
}

static int handle(struct http_call *call, struct qosid_errbuf *err)
{
	const char *what = http_call_segment(call, 0);
	if (!what)
		return http_call_json(call, 200, "{\"root\":true}");
	if (strcmp(what, "echo") == 0) {
		struct qosid_buf body = {0};
		int rc = spool_take(http_call_body(call), 64 << 20, &body, err);
		if (rc == 0)
			rc = spool_write(http_call_out(call), body.data, body.len, err);
		qosid_buf_free(&body);
		return rc;
	}
	if (strcmp(what, "etag") == 0) {
		int rc = http_call_set_header(call, "ETag", "\"1-abc\"", err);
		return rc < 0 ? rc : http_call_json(call, 200, "{\"tagged\":true}");
	}
	if (strcmp(what, "range") == 0) {
		int rc = http_call_set_header(call, "ETag", "\"letters\"", err);
		return rc < 0 ? rc : http_call_send_range(call, 100000, produce_letters, NULL, err);
	}
	if (strcmp(what, "gate") == 0) {
		atomic_fetch_add(&gate_waiting, 1);
		(void)pthread_mutex_lock(&gate);
		(void)pthread_mutex_unlock(&gate);
		atomic_fetch_sub(&gate_waiting, 1);
		return http_call_json(call, 200, "{\"passed\":true}");
	}
	if (strcmp(what, "peer") == 0)
		return http_call_json(
		    call, 200, "{\"uid\":%d,\"peer\":\"%s\"}", http_call_peer_uid(call), http_call_peer(call));
	if (strcmp(what, "fail") == 0)
		return qosid_error(err, QOSID_ERR_CONFLICT, "a \"quoted\" \xff reason");
	if (strcmp(what, "inside") == 0)
		return qosid_error(err, QOSID_ERR_CORRUPT, "a secret path");
	if (strcmp(what, "feed") == 0)
		return subscribe(call, err);
	return http_call_error(call, 404, "not_found", "missing");
}

/* ---- a client ---- */

static int connect_tcp(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(http_server_port(server))};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static void send_bytes(int fd, const void *data, size_t len)
{
	for (const char *p = data; len > 0;) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		assert_true(n > 0);
		p += n;
		len -= (size_t)n;
	}
}

static void send_text(int fd, const char *text)
{
	send_bytes(fd, text, strlen(text));
}

/* What has come so far; grows until it contains what is waited for. */
struct answer {
	int fd;
	struct qosid_buf text;
	bool closed;
};

static void receive(struct answer *answer)
{
	char piece[65536];
	struct pollfd ready = {.fd = answer->fd, .events = POLLIN};
	assert_int_equal(poll(&ready, 1, PATIENCE), 1);
	ssize_t n = recv(answer->fd, piece, sizeof piece, 0);
	if (n <= 0)
		answer->closed = true;
	else
		assert_int_equal(qosid_buf_append(&answer->text, piece, (size_t)n, NULL), 0);
}

static const char *wait_text(struct answer *answer, const char *text)
{
	const char *found;
	while (!(found = answer->text.data ? strstr((const char *)answer->text.data, text) : NULL)) {
		if (answer->closed)
			fail_msg("closed without \"%s\" in: %s", text,
			    answer->text.data ? (const char *)answer->text.data : "");
		receive(answer);
	}
	return found;
}

static void wait_close(struct answer *answer)
{
	while (!answer->closed)
		receive(answer);
}

static size_t content_length(const char *text)
{
	const char *p = strstr(text, "Content-Length: ");
	return p ? (size_t)strtoull(p + 16, NULL, 10) : 0;
}

/* Read one answer with a Content-Length, drop what was there before; its status. */
static int read_answer(struct answer *answer, bool with_body)
{
	const char *body = wait_text(answer, "\r\n\r\n") + 4;
	size_t head = (size_t)(body - (const char *)answer->text.data);
	size_t want = head + (with_body ? content_length((const char *)answer->text.data) : 0);
	while (answer->text.len < want && !answer->closed)
		receive(answer);
	assert_true(answer->text.len >= want);
	return atoi((const char *)answer->text.data + 9);
}

static const char *body_of(const struct answer *answer)
{
	return strstr((const char *)answer->text.data, "\r\n\r\n") + 4;
}

static void assert_has(const struct answer *answer, const char *text)
{
	if (!strstr((const char *)answer->text.data, text))
		fail_msg("no \"%s\" in: %s", text, (const char *)answer->text.data);
}

static void assert_lacks(const struct answer *answer, const char *text)
{
	if (strstr((const char *)answer->text.data, text))
		fail_msg("\"%s\" in: %s", text, (const char *)answer->text.data);
}

static void finish(struct answer *answer)
{
	(void)close(answer->fd);
	qosid_buf_free(&answer->text);
}

/* One request on a connection of its own, which stays open. */
static struct answer ask(const char *request)
{
	struct answer answer = {.fd = connect_tcp()};
	send_text(answer.fd, request);
	return answer;
}

static void wait_for(atomic_int *value, int wanted)
{
	for (int64_t end = clock_now() + PATIENCE; atomic_load(value) != wanted;) {
		if (clock_now() > end)
			fail_msg("%d, not %d", atomic_load(value), wanted);
		(void)usleep(1000);
	}
}

static void add_row(void)
{
	atomic_fetch_add(&feed_rows, 1);
	http_server_wake(server, "rows");
}

#define HOST "Host: localhost:5985\r\n"

/* ---- requests and answers ---- */

static void keeps_the_connection(void **state)
{
	(void)state;
	struct answer answer = {.fd = connect_tcp()};
	for (int i = 0; i < 3; i++) {
		send_text(answer.fd, "GET / HTTP/1.1\r\n" HOST "\r\n");
		assert_int_equal(read_answer(&answer, true), 200);
		assert_string_equal(body_of(&answer), "{\"root\":true}\n");
		assert_has(&answer, "Content-Type: application/json\r\n");
		assert_has(&answer, "Cache-Control: must-revalidate\r\n");
		qosid_buf_reset(&answer.text);
	}
	finish(&answer);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	(void)state;
	struct answer answer =
	    ask("PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\noneGET /etag HTTP/1.1\r\n" HOST
		"\r\nGET /nothing HTTP/1.1\r\n" HOST "\r\n");
	const char *first = wait_text(&answer, "one");
	const char *last = wait_text(&answer, "{\"error\":\"not_found\",\"reason\":\"missing\"}\n");
	const char *second = wait_text(&answer, "{\"tagged\":true}");
	first = wait_text(&answer, "one");
	assert_true(first < second && second < last);
	finish(&answer);
}

static void head_has_no_body(void **state)
{
	(void)state;
	struct answer answer = ask("HEAD /etag HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
	(void)wait_text(&answer, "{\"root\":true}");
	assert_has(&answer, "Content-Length: 16\r\n");
	assert_lacks(&answer, "tagged");
	finish(&answer);
}

static void bodies_come_whole(void **state)
{
	(void)state;
	const size_t size = 1 << 20;
	char *body = malloc(size);
	assert_non_null(body);
	for (size_t i = 0; i < size; i++)
		body[i] = (char)('A' + i * 7 % 53);
	struct answer answer = ask("PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 1048576\r\n\r\n");
	send_bytes(answer.fd, body, size);
	assert_int_equal(read_answer(&answer, true), 200);
	assert_memory_equal(body_of(&answer), body, size);
	qosid_buf_reset(&answer.text);

	send_text(answer.fd, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
	for (size_t at = 0; at < size; at += 4096) {
		send_text(answer.fd, "1000\r\n");
		send_bytes(answer.fd, body + at, 4096);
		send_text(answer.fd, "\r\n");
	}
	send_text(answer.fd, "0\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 200);
	assert_memory_equal(body_of(&answer), body, size);
	finish(&answer);
	free(body);
}

static void continues_when_asked(void **state)
{
	(void)state;
	struct answer answer = ask("PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	(void)wait_text(&answer, "100 Continue\r\n\r\n");
	qosid_buf_reset(&answer.text);
	send_text(answer.fd, "hello");
	assert_int_equal(read_answer(&answer, true), 200);
	assert_string_equal(body_of(&answer), "hello");
	finish(&answer);
}

static void too_long_is_said_before_it_is_read(void **state)
{
	(void)state;
	struct answer answer = ask("PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 4294967296\r\n"
				   "Expect: 100-continue\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 413);
	assert_has(&answer, "{\"error\":\"too_large\"");
	finish(&answer);
	answer = ask("PUT /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
	char chunk[65536];
	memset(chunk, 'x', sizeof chunk);
	for (int i = 0; i < 48; i++) { /* 3 MiB; 2 are allowed */
		send_text(answer.fd, "10000\r\n");
		send_bytes(answer.fd, chunk, sizeof chunk);
		send_text(answer.fd, "\r\n");
	}
	send_text(answer.fd, "0\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 413);
	finish(&answer);
}

static void failures_become_answers(void **state)
{
	(void)state;
	struct answer answer = ask("GET /fail HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(read_answer(&answer, true), 409);
	assert_string_equal(body_of(&answer), "{\"error\":\"conflict\",\"reason\":\"a \\\"quoted\\\" ? reason\"}\n");
	finish(&answer);
	answer = ask("GET /inside HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(read_answer(&answer, true), 500);
	assert_lacks(&answer, "secret");
	finish(&answer);
	answer = ask("GET /a%00b HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(read_answer(&answer, true), 400);
	assert_has(&answer, "bad_request");
	finish(&answer);
	answer = ask("GET /a%ffb HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(read_answer(&answer, true), 400);
	finish(&answer);
	answer = ask("NONSENSE\r\n\r\n");
	wait_close(&answer);
	finish(&answer);
}

static void etags_spare_the_body(void **state)
{
	(void)state;
	struct answer answer = ask("GET /etag HTTP/1.1\r\n" HOST "If-None-Match: \"x\", \"1-abc\"\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 304);
	assert_has(&answer, "ETag: \"1-abc\"\r\n");
	assert_lacks(&answer, "tagged");
	finish(&answer);
	answer = ask("GET /etag HTTP/1.1\r\n" HOST "If-None-Match: \"1-abd\"\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 200);
	finish(&answer);
}

static void ranges(void **state)
{
	(void)state;
	struct answer answer = ask("GET /range HTTP/1.1\r\n" HOST "Range: bytes=26-51\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 206);
	assert_has(&answer, "Content-Range: bytes 26-51/100000\r\n");
	assert_string_equal(body_of(&answer), "abcdefghijklmnopqrstuvwxyz");
	finish(&answer);
	answer = ask("GET /range HTTP/1.1\r\n" HOST "Range: bytes=100000-\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 416);
	assert_has(&answer, "Content-Range: bytes */100000\r\n");
	finish(&answer);
	answer = ask("GET /range HTTP/1.1\r\n" HOST "Range: bytes=-4\r\nIf-Range: \"letters\"\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 206);
	assert_string_equal(body_of(&answer), "abcd");
	finish(&answer);
	answer = ask("GET /range HTTP/1.1\r\n" HOST "Range: bytes=0-1\r\nIf-Range: \"other\"\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 200);
	assert_int_equal(content_length((const char *)answer.text.data), 100000);
	finish(&answer);
}

/* ---- who may ask ---- */

static void rebound_names_are_refused(void **state)
{
	static const struct {
		const char *host;
		int status;
	} hosts[] = {{"evil.example", 421}, {"evil.example:5985", 421}, {"localhost.evil.example", 421},
	    {"127.0.0.1.evil.example", 421}, {"local host", 421}, {"", 421}, {"localhost", 200}, {"LOCALHOST:1", 200},
	    {"127.0.0.1:5985", 200}, {"[::1]:5985", 200}, {"records.example", 200}, {"192.168.1.5", 200}};
	(void)state;
	for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
		char request[128];
		(void)snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i].host);
		struct answer answer = ask(request);
		if (read_answer(&answer, true) != hosts[i].status)
			fail_msg("Host %s: %s", hosts[i].host, (const char *)answer.text.data);
		finish(&answer);
	}
	struct answer answer = ask("GET / HTTP/1.1\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 400);
	finish(&answer);
}

static void pages_of_other_origins(void **state)
{
	(void)state;
	struct answer answer = ask("OPTIONS /db HTTP/1.1\r\n" HOST "Origin: https://app.example\r\n"
				   "Access-Control-Request-Method: PUT\r\n"
				   "Access-Control-Request-Headers: content-type\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 204);
	assert_has(&answer, "Access-Control-Allow-Origin: https://app.example\r\n");
	assert_has(&answer, "Access-Control-Allow-Credentials: true\r\n");
	assert_has(&answer, "DELETE");
	finish(&answer);
	answer = ask("OPTIONS /db HTTP/1.1\r\n" HOST "Origin: https://evil.example\r\n"
		     "Access-Control-Request-Method: PUT\r\n\r\n");
	(void)read_answer(&answer, true);
	assert_lacks(&answer, "Access-Control-Allow-");
	finish(&answer);
	answer = ask("GET /etag HTTP/1.1\r\n" HOST "Origin: https://app.example\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 200);
	assert_has(&answer, "Access-Control-Allow-Origin: https://app.example\r\n");
	assert_has(&answer, "Access-Control-Expose-Headers: ");
	finish(&answer);
	answer = ask("POST /echo HTTP/1.1\r\n" HOST "Origin: https://evil.example\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 403);
	finish(&answer);
	answer = ask("POST /echo HTTP/1.1\r\n" HOST "Origin: http://localhost:5985\r\nContent-Length: 2\r\n\r\nok");
	assert_int_equal(read_answer(&answer, true), 200);
	finish(&answer);
}

static void unix_clients_are_known(void **state)
{
	const char *path = *state;
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	char wanted[32];
	(void)snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
	struct answer answer = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_int_equal(connect(answer.fd, (struct sockaddr *)&name, sizeof name), 0);
	send_text(answer.fd, "GET /peer HTTP/1.1\r\nHost: anything.example\r\n\r\n");
	assert_int_equal(read_answer(&answer, true), 200);
	(void)snprintf(wanted, sizeof wanted, "{\"uid\":%d,", (int)getuid());
	assert_has(&answer, wanted);
	finish(&answer);
	answer = ask("GET /peer HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(read_answer(&answer, true), 200);
	assert_has(&answer, "{\"uid\":-1,\"peer\":\"127.0.0.1:");
	finish(&answer);
}

/* ---- bad clients ---- */

static void slow_clients_block_nobody(void **state)
{
	(void)state;
	struct answer slow[50];
	for (int i = 0; i < 50; i++)
		slow[i] = ask(i % 2 ? "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nab" : "GET /ra");
	struct answer answer = ask("GET / HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(read_answer(&answer, true), 200);
	finish(&answer);
	send_text(slow[0].fd, "nge HTTP/1.1\r\n" HOST "\r\n"); /* a reader that does not read */
	send_text(slow[1].fd, "c");
	assert_int_equal(read_answer(&slow[1], true), 200);
	assert_string_equal(body_of(&slow[1]), "abc");
	for (int i = 0; i < 50; i++)
		finish(&slow[i]);
}

static void dawdlers_are_cut_off(void **state)
{
	(void)state;
	struct answer headers = ask("GET / HTTP/1.1\r\nX-Slow: "),
		      body = ask("PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\n");
	int64_t begun = clock_now();
	struct pollfd ready[2] = {{.fd = headers.fd, .events = POLLIN}, {.fd = body.fd, .events = POLLIN}};
	while (poll(ready, 2, 200) == 0) { /* a byte now and then does not help */
		assert_true(clock_now() < begun + PATIENCE);
		send_text(headers.fd, "x");
		send_text(body.fd, "y");
	}
	wait_close(&headers);
	wait_close(&body);
	assert_true(clock_now() >= begun + 1000);
	finish(&headers);
	finish(&body);
}

static void a_full_queue_says_so(void **state)
{
	(void)state;
	enum { WORKERS = 2, QUEUE = 4 };
	struct answer held[WORKERS + QUEUE];
	(void)pthread_mutex_lock(&gate);
	for (int i = 0; i < WORKERS; i++)
		held[i] = ask("GET /gate HTTP/1.1\r\n" HOST "\r\n");
	wait_for(&gate_waiting, WORKERS);
	struct http_stats stats = {0};
	for (int i = 0; i < QUEUE; i++)
		held[WORKERS + i] = ask("GET /gate HTTP/1.1\r\n" HOST "\r\n");
	for (int64_t end = clock_now() + PATIENCE; stats.queued < QUEUE && clock_now() < end; (void)usleep(1000))
		http_server_read_stats(server, &stats);
	assert_int_equal(stats.queued, QUEUE);
	struct answer answer = ask("GET / HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(read_answer(&answer, true), 503);
	assert_has(&answer, "Retry-After: 1\r\n");
	finish(&answer);
	(void)close(held[WORKERS].fd); /* one does not wait for its answer */
	(void)pthread_mutex_unlock(&gate);
	for (int i = 0; i < WORKERS + QUEUE; i++) {
		if (i != WORKERS)
			assert_int_equal(read_answer(&held[i], true), 200);
		if (i != WORKERS)
			(void)close(held[i].fd);
		qosid_buf_free(&held[i].text);
	}
}

/* ---- feeds ---- */

static void feeds_give_what_comes(void **state)
{
	(void)state;
	struct answer feed = ask("GET /feed?rows=3 HTTP/1.1\r\n" HOST "\r\n");
	wait_for(&feeds_alive, 1);
	(void)wait_text(&feed, "\r\n\r\n"); /* the headers come before there is anything to say */
	assert_has(&feed, "Transfer-Encoding: chunked\r\n");
	char row[32];
	for (int i = 1; i <= 3; i++) {
		add_row();
		(void)snprintf(row, sizeof row, "row %d\n", atomic_load(&feed_rows));
		(void)wait_text(&feed, row);
	}
	(void)wait_text(&feed, "\r\n0\r\n\r\n");
	wait_for(&feeds_alive, 0);
	send_text(feed.fd, "GET / HTTP/1.1\r\n" HOST "\r\n"); /* the connection goes on */
	(void)wait_text(&feed, "{\"root\":true}");
	finish(&feed);
}

static void no_row_is_missed(void **state)
{
	(void)state;
	struct answer feed = ask("GET /feed?rows=500 HTTP/1.1\r\n" HOST "\r\n");
	wait_for(&feeds_alive, 1);
	for (int i = 0; i < 500; i++) {
		add_row();
		if (i % 100 == 0)
			(void)usleep(1000);
	}
	(void)wait_text(&feed, "\r\n0\r\n\r\n");
	const char *p = (const char *)feed.text.data;
	int seen = 0;
	while ((p = strstr(p, "row "))) {
		seen++;
		assert_int_equal(atoi(p + 4), atomic_load(&feed_rows) - 500 + seen);
		p++;
	}
	assert_int_equal(seen, 500);
	finish(&feed);
	wait_for(&feeds_alive, 0);
}

static void heartbeats_and_timeouts(void **state)
{
	(void)state;
	int64_t begun = clock_now();
	struct answer feed = ask("GET /feed?heartbeat=50&timeout=10 HTTP/1.1\r\n" HOST "\r\n");
	(void)wait_text(&feed, "\r\n\r\n1\r\n\n\r\n1\r\n\n\r\n1\r\n\n\r\n");
	assert_true(clock_now() - begun >= 150);
	add_row();
	(void)wait_text(&feed, "row ");
	assert_int_equal(atomic_load(&timed_out_count), 0); /* a heartbeat overrides the time-out */
	finish(&feed);
	wait_for(&feeds_alive, 0);

	begun = clock_now();
	feed = ask("GET /feed?timeout=100 HTTP/1.1\r\n" HOST "\r\n");
	(void)wait_text(&feed, "late\n\r\n0\r\n\r\n");
	assert_true(clock_now() - begun >= 100);
	assert_int_equal(atomic_load(&timed_out_count), 1);
	finish(&feed);
	wait_for(&feeds_alive, 0);
}

static void clients_that_go_are_noticed(void **state)
{
	(void)state;
	struct answer feed = ask("GET /feed HTTP/1.1\r\n" HOST "\r\n");
	(void)wait_text(&feed, "\r\n\r\n");
	finish(&feed);
	wait_for(&feeds_alive, 0);
	feed = ask("GET /feed HTTP/1.1\r\n" HOST "\r\n");
	(void)wait_text(&feed, "\r\n\r\n");
	assert_int_equal(shutdown(feed.fd, SHUT_WR), 0);
	wait_for(&feeds_alive, 0);
	finish(&feed);
	feed = ask("GET /feed HTTP/1.1\r\n" HOST "\r\n");
	(void)wait_text(&feed, "\r\n\r\n");
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	assert_int_equal(setsockopt(feed.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
	finish(&feed);
	wait_for(&feeds_alive, 0);
	feed = ask("HEAD /feed HTTP/1.1\r\n" HOST "\r\n");
	(void)wait_text(&feed, "\r\n\r\n");
	wait_for(&feeds_alive, 0);
	finish(&feed);
}

static void many_feeds_rest_at_once(void **state)
{
	(void)state;
	static struct answer feeds[FEEDS_IDLE];
	char row[32];
	for (int i = 0; i < FEEDS_IDLE; i++)
		feeds[i] = ask("GET /feed?heartbeat=60000 HTTP/1.1\r\n" HOST "\r\n");
	for (int i = 0; i < FEEDS_IDLE; i++)
		(void)wait_text(&feeds[i], "\r\n\r\n");
	struct http_stats stats;
	http_server_read_stats(server, &stats);
	assert_int_equal(stats.feeds, FEEDS_IDLE);
	struct answer answer = ask("GET / HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(read_answer(&answer, true), 200);
	finish(&answer);
	add_row();
	(void)snprintf(row, sizeof row, "row %d\n", atomic_load(&feed_rows));
	for (int i = 0; i < FEEDS_IDLE; i++) {
		(void)wait_text(&feeds[i], row);
		finish(&feeds[i]);
	}
	wait_for(&feeds_alive, 0);
}

/* ---- starting, stopping ---- */

static char folder[] = "/tmp/qosid-test-http-XXXXXX";
static char socket_path[64];

static int start(void **state)
{
	static const char *const hosts[] = {"records.example", NULL};
	static const char *const origins[] = {"https://app.example", NULL};
	struct http_options options = {
	    .address = "127.0.0.1",
	    .unix_path = socket_path,
	    .workers = 2,
	    .queue_max = 4,
	    .body_max = 2 << 20,
	    .idle_timeout_s = 1,
	    .hosts = hosts,
	    .origins = origins,
	    .handler = handle,
	};
	struct qosid_errbuf err = {0};
	if (!socket_path[0]) {
		if (!mkdtemp(folder))
			return -1;
		(void)snprintf(socket_path, sizeof socket_path, "%s/socket", folder);
	}
	*state = socket_path;
	return http_server_start(&server, &options, &err);
}

static int stop(void **state)
{
	(void)state;
	http_server_stop(server);
	return access(socket_path, F_OK) == 0 ? -1 : rmdir(folder);
}

/* For tests that have more requests under way than the small queue takes. */
static int start_patient(void **state)
{
	struct http_options options = {.address = "127.0.0.1", .workers = 2, .queue_max = 4096, .handler = handle};
	struct qosid_errbuf err = {0};
	*state = NULL;
	return http_server_start(&server, &options, &err);
}

static int stop_patient(void **state)
{
	(void)state;
	http_server_stop(server);
	return 0;
}

static void stopping_ends_feeds_and_answers_requests(void **state)
{
	struct qosid_errbuf err = {0};
	(void)state;
	struct http_options options = {.address = "127.0.0.1", .workers = 2, .handler = handle};
	assert_int_equal(http_server_start(&server, &options, &err), 0);
	struct answer feed = ask("GET /feed?heartbeat=60000 HTTP/1.1\r\n" HOST "\r\n");
	(void)wait_text(&feed, "\r\n\r\n");
	struct answer answer = ask("GET /etag HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(read_answer(&answer, true), 200);
	http_server_stop(server);
	assert_int_equal(atomic_load(&feeds_alive), 0);
	wait_close(&feed);
	finish(&feed);
	finish(&answer);
}

static void cannot_listen_twice(void **state)
{
	struct http_server *second = NULL;
	struct qosid_errbuf err = {0};
	(void)state;
	struct http_options options = {.address = "127.0.0.1", .workers = 1, .handler = handle};
	assert_int_equal(http_server_start(&server, &options, &err), 0);
	options.port = http_server_port(server);
	assert_true(http_server_start(&second, &options, &err) < 0);
	assert_null(second);
	assert_non_null(strstr(err.what, "cannot listen on 127.0.0.1 port"));
	options.address = "no-address";
	assert_int_equal(http_server_start(&second, &options, &err), QOSID_ERR_USAGE);
	http_server_stop(server);
	http_server_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest requests[] = {
	    cmocka_unit_test(keeps_the_connection),
	    cmocka_unit_test(pipelined_requests_are_answered_in_order),
	    cmocka_unit_test(head_has_no_body),
	    cmocka_unit_test(bodies_come_whole),
	    cmocka_unit_test(continues_when_asked),
	    cmocka_unit_test(too_long_is_said_before_it_is_read),
	    cmocka_unit_test(failures_become_answers),
	    cmocka_unit_test(etags_spare_the_body),
	    cmocka_unit_test(ranges),
	    cmocka_unit_test(rebound_names_are_refused),
	    cmocka_unit_test(pages_of_other_origins),
	    cmocka_unit_test(unix_clients_are_known),
	    cmocka_unit_test(slow_clients_block_nobody),
	    cmocka_unit_test(dawdlers_are_cut_off),
	    cmocka_unit_test(a_full_queue_says_so),
	};
	const struct CMUnitTest feeds[] = {
	    cmocka_unit_test(feeds_give_what_comes),
	    cmocka_unit_test(no_row_is_missed),
	    cmocka_unit_test(heartbeats_and_timeouts),
	    cmocka_unit_test(clients_that_go_are_noticed),
	    cmocka_unit_test(many_feeds_rest_at_once),
	};
	const struct CMUnitTest life[] = {
	    cmocka_unit_test(stopping_ends_feeds_and_answers_requests),
	    cmocka_unit_test(cannot_listen_twice),
	};
	int failed = cmocka_run_group_tests_name("requests", requests, start, stop);
	failed += cmocka_run_group_tests_name("feeds", feeds, start_patient, stop_patient);
	return failed + cmocka_run_group_tests_name("life", life, NULL, NULL);
}
