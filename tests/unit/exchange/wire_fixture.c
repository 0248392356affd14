/* Links to a real git and to servers that lie: see wire_fixture.h. */
#include "wire_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/exchange/link_internal.h"

struct test_link {
	struct link link;
	struct wire_server *server;
	const char *service;
	int fd; /* of the child's socket; -1: none */
	pid_t child;
	size_t at;   /* in the script */
	size_t turn; /* in what is said again and again */
	struct qosid_buf question;
};

static void start(struct test_link *test, bool greet)
{
	const struct wire_server *server = test->server;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	test->child = fork();
	assert_true(test->child >= 0);
	if (test->child == 0) {
		const char *command = strchr(test->service, '-') + 1; /* of "git-upload-pack" */

		(void)dup2(pair[1], 0);
		(void)dup2(pair[1], 1);
		if (server->protocol != NULL)
			(void)setenv("GIT_PROTOCOL", server->protocol, 1);
		else
			(void)unsetenv("GIT_PROTOCOL");
		if (!server->is_stateless)
			(void)execlp("git", "git", command, server->repository, (char *)NULL);
		else if (greet)
			(void)execlp("git", "git", command, "--stateless-rpc", "--advertise-refs", server->repository,
			    (char *)NULL);
		else
			(void)execlp("git", "git", command, "--stateless-rpc", server->repository, (char *)NULL);
		_exit(127);
	}
	(void)close(pair[1]);
	test->fd = pair[0];
}

static void stop(struct test_link *test)
{
	if (test->fd < 0)
		return;
	(void)close(test->fd);
	test->fd = -1;
	assert_int_equal(waitpid(test->child, NULL, 0), test->child);
}

/* Count bytes; false when the wire breaks. */
static bool carry(struct test_link *test, uint64_t *sum, size_t *len)
{
	struct wire_server *server = test->server;
	uint64_t carried = server->up + server->down;

	if (server->cut != 0 && carried + *len > server->cut)
		*len = carried < server->cut ? (size_t)(server->cut - carried) : 0;
	*sum += *len;
	return *len > 0;
}

static int broken(struct qosid_errbuf *err)
{
	return qosid_error(err, QOSID_ERR_OFFLINE, "the wire is cut");
}

static int read_script(struct test_link *test, void *out, size_t size, size_t *got)
{
	struct wire_server *server = test->server;

	*got = server->script_len - test->at;
	if (*got > 0) {
		*got = *got < size ? *got : size;
		memcpy(out, server->script + test->at, *got);
		test->at += *got;
	} else {
		size_t len = server->endless > 0 ? strlen(server->frame) : 0;
		uint8_t *to = out;

		for (*got = 0; *got < size && server->endless > 0; ++*got, server->endless--)
			to[*got] = (uint8_t)server->frame[test->turn++ % len];
	}
	server->down += *got;
	return 0;
}

static int test_read(struct link *link, void *out, size_t size, size_t *got, struct qosid_errbuf *err)
{
	struct test_link *test = (struct test_link *)link;
	ssize_t len;
	size_t carried;

	if (test->server->repository == NULL)
		return read_script(test, out, size, got);
	if (test->server->cut != 0 && test->server->up + test->server->down >= test->server->cut)
		return broken(err);
	len = test->fd >= 0 ? recv(test->fd, out, size, 0) : 0;
	if (len < 0)
		len = 0;
	carried = (size_t)len;
	if (len > 0 && !carry(test, &test->server->down, &carried))
		return broken(err);
	*got = carried;
	link->traffic.down += carried;
	return 0;
}

static int test_write(struct link *link, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct test_link *test = (struct test_link *)link;
	const uint8_t *at = data;
	size_t carried = len;

	if (!carry(test, &test->server->up, &carried))
		return broken(err);
	link->traffic.up += carried;
	if (test->server->repository == NULL)
		return 0;
	if (test->server->is_stateless)
		return carried < len ? broken(err) : qosid_buf_append(&test->question, data, len, err);
	for (size_t left = carried; left > 0;) {
		ssize_t sent = send(test->fd, at, left, MSG_NOSIGNAL);

		if (sent <= 0)
			return broken(err);
		at += sent;
		left -= (size_t)sent;
	}
	return carried < len ? broken(err) : 0;
}

static int test_turn(struct link *link, struct qosid_errbuf *err)
{
	struct test_link *test = (struct test_link *)link;

	test->server->turns++;
	link->traffic.round_trips++;
	if (!test->server->is_stateless || test->server->repository == NULL)
		return 0;
	stop(test);
	start(test, false);
	for (size_t at = 0; at < test->question.len;) {
		ssize_t sent = send(test->fd, test->question.data + at, test->question.len - at, MSG_NOSIGNAL);

		if (sent <= 0)
			return broken(err);
		at += (size_t)sent;
	}
	qosid_buf_reset(&test->question);
	return shutdown(test->fd, SHUT_WR) == 0 ? 0 : broken(err);
}

static void test_close(struct link *link)
{
	struct test_link *test = (struct test_link *)link;

	stop(test);
	qosid_buf_free(&test->question);
	free(test);
}

static const struct link_class pipe_class = {test_read, test_write, test_turn, test_close, false};
static const struct link_class stateless_class = {test_read, test_write, test_turn, test_close, true};

static int dial(void *context, const char *service, struct link **out, struct qosid_errbuf *err)
{
	struct wire_server *server = context;
	struct test_link *test = calloc(1, sizeof(*test));

	(void)err;
	assert_non_null(test);
	test->link.class = server->is_stateless ? &stateless_class : &pipe_class;
	test->server = server;
	test->service = service;
	test->fd = -1;
	server->dials++;
	server->pushes += strcmp(service, "git-receive-pack") == 0;
	if (server->repository != NULL)
		start(test, true);
	*out = &test->link;
	return 0;
}

struct wire_dialer wire_server_dialer(struct wire_server *server)
{
	return (struct wire_dialer){dial, server, NULL};
}
