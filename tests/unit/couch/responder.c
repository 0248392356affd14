/*
 * The scripted peer: see responder.h.
 */
#include "tests/unit/couch/responder.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define POLL_MS 20

struct responder {
	struct rule *rules;
	int listener;
	pthread_t thread;
	atomic_bool stop;
	char url[64];
};

static bool wait_readable(struct responder *responder, int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	while (!atomic_load(&responder->stop)) {
		if (poll(&poll_fd, 1, POLL_MS) > 0)
			return true;
	}
	return false;
}

/* Read a request whole. Returns false when the client has gone. */
static bool read_request(struct responder *responder, int fd, char method[16], char path[8192], struct qosid_buf *body)
{
	struct qosid_buf text = {0};
	char piece[8192];
	char *end = NULL, *length;
	size_t head = 0, wanted = 0;
	bool good = false;

	while (wait_readable(responder, fd)) {
		ssize_t n = read(fd, piece, sizeof(piece));

		if (n <= 0 || qosid_buf_append(&text, piece, (size_t)n, NULL) != 0)
			break;
		if (end == NULL) {
			end = strstr((char *)text.data, "\r\n\r\n");
			if (end == NULL)
				continue;
			head = (size_t)(end - (char *)text.data) + 4;
			length = strcasestr((char *)text.data, "\r\nContent-Length:");
			wanted = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
		}
		if (text.len >= head + wanted) {
			good = sscanf((char *)text.data, "%15s %8191s", method, path) == 2;
			break;
		}
	}
	qosid_buf_reset(body);
	if (good && qosid_buf_append(body, text.data + head, text.len - head, NULL) != 0)
		good = false;
	qosid_buf_free(&text);
	return good;
}

static bool fits(const struct rule *rule, const char *method, const char *path)
{
	if (rule->times != 0 && atomic_load(&rule->hits) >= rule->times)
		return false;
	if (rule->method != NULL && strcmp(rule->method, method) != 0)
		return false;
	if (rule->path == NULL)
		return true;
	return rule->path[0] == '=' ? strcmp(rule->path + 1, path) == 0 : strstr(path, rule->path) != NULL;
}

static void send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

static void send_endless(struct responder *responder, int fd)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
	char piece[4096];

	memset(piece, ' ', sizeof(piece));
	send_all(fd, head, sizeof(head) - 1);
	while (!atomic_load(&responder->stop) && send(fd, piece, sizeof(piece), MSG_NOSIGNAL) > 0)
		;
}

static void answer(struct responder *responder, int fd, struct rule *rule)
{
	const char *body = rule->body != NULL ? rule->body : "{\"ok\":true}";
	size_t len = strlen(body);
	char head[1024];
	struct pollfd gone = {.fd = fd, .events = POLLRDHUP};

	if (rule->kind == RESPOND_HANG) {
		while (!atomic_load(&responder->stop) && poll(&gone, 1, POLL_MS) == 0)
			;
		return;
	}
	if (rule->kind == RESPOND_HUGE) {
		send_endless(responder, fd);
		return;
	}
	(void)snprintf(head, sizeof(head),
	    "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n",
	    rule->status != 0 ? rule->status : 200, len, rule->headers != NULL ? rule->headers : "");
	send_all(fd, head, strlen(head));
	send_all(fd, body, rule->kind == RESPOND_DROP ? len / 2 : len);
}

static void serve(struct responder *responder, int fd)
{
	char method[16], path[8192];
	struct qosid_buf body = {0};

	if (read_request(responder, fd, method, path, &body)) {
		for (struct rule *rule = responder->rules; rule->method == NULL || rule->method[0] != '\0'; rule++) {
			if (!fits(rule, method, path))
				continue;
			atomic_fetch_add(&rule->hits, 1);
			qosid_buf_free(&rule->got);
			rule->got = body;
			body = (struct qosid_buf){0};
			answer(responder, fd, rule);
			break;
		}
	}
	qosid_buf_free(&body);
	(void)close(fd);
}

static void *run(void *context)
{
	struct responder *responder = context;

	while (wait_readable(responder, responder->listener)) {
		int fd = accept(responder->listener, NULL, NULL);

		if (fd >= 0)
			serve(responder, fd);
	}
	return NULL;
}

struct responder *responder_start(struct rule *rules)
{
	struct responder *responder = calloc(1, sizeof(*responder));
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);

	if (responder == NULL)
		abort();
	responder->rules = rules;
	responder->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (responder->listener < 0 || bind(responder->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(responder->listener, 16) != 0 ||
	    getsockname(responder->listener, (struct sockaddr *)&address, &size) != 0)
		abort();
	(void)snprintf(responder->url, sizeof(responder->url), "http://127.0.0.1:%u/db", ntohs(address.sin_port));
	if (pthread_create(&responder->thread, NULL, run, responder) != 0)
		abort();
	return responder;
}

void responder_stop(struct responder *responder)
{
	atomic_store(&responder->stop, true);
	if (pthread_join(responder->thread, NULL) != 0)
		abort();
	(void)close(responder->listener);
	free(responder);
}

const char *responder_url(const struct responder *responder)
{
	return responder->url;
}

void rules_free(struct rule *rules)
{
	for (; rules->method == NULL || rules->method[0] != '\0'; rules++)
		qosid_buf_free(&rules->got);
}
