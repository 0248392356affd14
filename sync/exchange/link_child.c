/*
 * A program at the other end of a socket: see link_child.h.
 */
#include "sync/exchange/link_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENVIRONMENT_MAX 4096 /* entries; more is no environment but an attack */
#define TERM_GRACE_MS 300

/* ---- starting ---- */

/* Settings of language, which would translate the messages that are read here (and which OpenSSH sends to the server).
 */
static bool is_language(const char *entry)
{
	return strncmp(entry, "LC_", 3) == 0 || strncmp(entry, "LANG=", 5) == 0 || strncmp(entry, "LANGUAGE=", 9) == 0;
}

static bool is_set_by(const char *entry, const char *const *added)
{
	size_t name = strcspn(entry, "=") + 1;

	for (; added != NULL && *added != NULL; added++) {
		if (strncmp(entry, *added, name) == 0)
			return true;
	}
	return false;
}

/* An array of borrowed texts, to be freed. */
static char **build_environment(const char *const *added)
{
	static char locale[] = "LC_ALL=C", language[] = "LANG=C";
	size_t count = 0, more = 0, used = 0;
	char **out;

	while (environ != NULL && environ[count] != NULL && count < ENVIRONMENT_MAX)
		count++;
	while (added != NULL && added[more] != NULL)
		more++;
	if ((out = calloc(count + more + 3, sizeof(*out))) == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (!is_language(environ[i]) && !is_set_by(environ[i], added))
			out[used++] = environ[i];
	}
	out[used++] = locale;
	out[used++] = language;
	for (size_t i = 0; i < more; i++)
		memcpy(&out[used++], &added[i], sizeof(*added)); /* posix_spawn() changes no text */
	return out;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	int failed;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	failed = posix_spawnattr_setsigmask(attributes, &none);
	if (failed == 0)
		failed = posix_spawnattr_setsigdefault(attributes, &all);
	if (failed == 0)
		failed = posix_spawnattr_setflags(
		    attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return failed;
}

static int spawn(struct link_child *child, int io, int errors, const char *const *argv, char **environment)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char *const *words;
	int failed;

	memcpy(&words, &argv, sizeof(words)); /* posix_spawn() changes no word */
	if ((failed = posix_spawn_file_actions_init(&actions)) != 0)
		return failed;
	if ((failed = posix_spawnattr_init(&attributes)) != 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return failed;
	}
	if ((failed = set_attributes(&attributes)) == 0 &&
	    (failed = posix_spawn_file_actions_adddup2(&actions, io, 0)) == 0 &&
	    (failed = posix_spawn_file_actions_adddup2(&actions, io, 1)) == 0 &&
	    (failed = posix_spawn_file_actions_adddup2(&actions, errors, 2)) == 0 &&
	    (failed = posix_spawn_file_actions_addclosefrom_np(&actions, 3)) == 0)
		failed = posix_spawnp(&child->pid, words[0], &actions, &attributes, words, environment);
	if (failed != 0)
		child->pid = 0;
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return failed;
}

int link_child_start(
    struct link_child *child, const char *const *argv, const char *const *environment, struct qosid_errbuf *err)
{
	int sockets[2] = {-1, -1}, pipes[2] = {-1, -1}, failed, rc = 0;
	char **all = build_environment(environment);

	*child = (struct link_child){.pidfd = -1, .io = -1, .errors = -1};
	if (all == NULL) {
		rc = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
		goto out;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0 || pipe2(pipes, O_CLOEXEC) != 0 ||
	    fcntl(sockets[0], F_SETFL, O_NONBLOCK) != 0 || fcntl(pipes[0], F_SETFL, O_NONBLOCK) != 0) {
		rc = qosid_error_errno(err, errno, "cannot talk with %s", argv[0]);
		goto out;
	}
	if ((failed = spawn(child, sockets[1], pipes[1], argv, all)) != 0) {
		rc = qosid_error_errno(err, failed, "cannot run %s", argv[0]);
		goto out;
	}
	child->io = sockets[0];
	child->errors = pipes[0];
	sockets[0] = pipes[0] = -1;
	child->pidfd = pidfd_open(child->pid, 0);
	if (child->pidfd < 0)
		rc = qosid_error_errno(err, errno, "cannot watch %s", argv[0]);
out:
	for (size_t i = 0; i < 2; i++) { /* nothing has been written to them */
		if (sockets[i] >= 0)
			(void)close(sockets[i]);
		if (pipes[i] >= 0)
			(void)close(pipes[i]);
	}
	free(all);
	return rc;
}

/* ---- talking ---- */

/* Keep the last few KiB of what it says: the cause of a failure comes last. */
static int hear_errors(struct link_child *child, struct qosid_errbuf *err)
{
	char piece[1024];
	ssize_t got = read(child->errors, piece, sizeof(piece));
	int rc;

	if (got < 0)
		return errno == EAGAIN || errno == EINTR
			   ? 0
			   : qosid_error_errno(err, errno, "cannot read what the program says");
	if (got == 0) {
		(void)close(child->errors); /* opened for reading only */
		child->errors = -1;
		return 0;
	}
	if ((rc = qosid_buf_append(&child->said, piece, (size_t)got, err)) == 0 &&
	    child->said.len > LINK_CHILD_ERRORS_MAX) {
		size_t keep = LINK_CHILD_ERRORS_MAX / 2;

		memmove(child->said.data, child->said.data + child->said.len - keep, keep);
		qosid_buf_cut(&child->said, keep);
	}
	return rc;
}

int link_child_wait(struct link_child *child, bool read, bool write, int ms, struct qosid_errbuf *err)
{
	struct pollfd fds[2] = {{.fd = child->errors, .events = POLLIN},
	    {.fd = read || write ? child->io : -1, .events = (short)((read ? POLLIN : 0) | (write ? POLLOUT : 0))}};

	if (poll(fds, 2, ms) < 0 && errno != EINTR)
		return qosid_error_errno(err, errno, "cannot wait for the program");
	return child->errors >= 0 && (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 ? hear_errors(child, err) : 0;
}

int link_child_read(struct link_child *child, void *out, size_t size, size_t *done, struct qosid_errbuf *err)
{
	ssize_t got;

	*done = 0;
	if (child->output_ended)
		return 0;
	got = recv(child->io, out, size, MSG_DONTWAIT);
	if (got > 0)
		*done = (size_t)got;
	else if (got == 0 || errno == ECONNRESET) /* it left without having read all */
		child->output_ended = true;
	else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
		return qosid_error_errno(err, errno, "cannot read from the program");
	return 0;
}

int link_child_write(struct link_child *child, const void *data, size_t len, size_t *done, struct qosid_errbuf *err)
{
	ssize_t sent;

	*done = child->input_shut ? len : 0;
	if (child->input_shut)
		return 0;
	sent = send(child->io, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent >= 0)
		*done = (size_t)sent;
	else if (errno == EPIPE || errno == ECONNRESET) {
		child->input_shut = true;
		*done = len;
	} else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
		return qosid_error_errno(err, errno, "cannot write to the program");
	return 0;
}

void link_child_shut(struct link_child *child)
{
	if (!child->input_shut && child->io >= 0)
		(void)shutdown(child->io, SHUT_WR); /* fails when it has gone, and then it is shut */
	child->input_shut = true;
}

/* ---- ending ---- */

/* Reap it when it ends within ms. It may be held up by words that nobody hears. */
static bool reap(struct link_child *child, int ms)
{
	int64_t until = link_clock() + ms, left = ms;

	for (;;) {
		pid_t ended = waitpid(child->pid, &child->status, WNOHANG);

		if (ended == child->pid || (ended < 0 && errno == ECHILD)) {
			child->pid = 0;
			return true;
		}
		if (left <= 0 || child->pidfd < 0)
			return false;
		struct pollfd fds[2] = {
		    {.fd = child->pidfd, .events = POLLIN}, {.fd = child->errors, .events = POLLIN}};

		(void)poll(fds, 2, (int)left); /* interrupted or not, it is looked at */
		if (child->errors >= 0 && fds[1].revents != 0 && hear_errors(child, NULL) != 0) {
			(void)close(child->errors);
			child->errors = -1;
		}
		left = until - link_clock();
	}
}

void link_child_end(struct link_child *child, int grace_ms)
{
	if (child->pid != 0 && !reap(child, grace_ms)) {
		(void)kill(-child->pid, SIGTERM); /* its session: what it started goes, too */
		if (!reap(child, TERM_GRACE_MS)) {
			(void)kill(-child->pid, SIGKILL);
			while (waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR)
				;
			child->pid = 0;
		}
	}
	while (child->errors >= 0) { /* its last words */
		size_t before = child->said.len;

		if (hear_errors(child, NULL) != 0 || child->said.len == before)
			break;
	}
	if (child->io >= 0)
		(void)close(child->io); /* what it did not read is lost with it */
	if (child->errors >= 0)
		(void)close(child->errors);
	if (child->pidfd >= 0)
		(void)close(child->pidfd);
	child->io = child->errors = child->pidfd = -1;
	child->output_ended = child->input_shut = true;
}

void link_child_free(struct link_child *child)
{
	link_child_end(child, 0);
	qosid_buf_free(&child->said);
}

int link_child_exit_status(const struct link_child *child)
{
	return WIFEXITED(child->status) ? WEXITSTATUS(child->status) : -1;
}

int link_child_run(struct link_child *child, const char *const *argv, const char *const *environment,
    const struct qosid_buf *input, struct qosid_buf *output, size_t max, struct link_watch *watch,
    struct qosid_errbuf *err)
{
	size_t written = 0, done;
	uint8_t piece[4096];
	int rc = link_child_start(child, argv, environment, err);

	link_watch_hear(watch);
	while (rc == 0 && !child->output_ended) {
		bool more = input != NULL && written < input->len;

		if (!more)
			link_child_shut(child);
		if ((rc = link_watch_check(watch, err)) != 0 ||
		    (rc = link_child_wait(child, true, more, LINK_SLICE_MS, err)) != 0)
			break;
		if (more) {
			if ((rc = link_child_write(child, input->data + written, input->len - written, &done, err)) !=
			    0)
				break;
			written += done;
		}
		if ((rc = link_child_read(child, piece, sizeof(piece), &done, err)) != 0 || done == 0)
			continue;
		if (output->len + done > max)
			rc = qosid_error(err, QOSID_ERR_LIMIT, "%s says more than %zu bytes", argv[0], max);
		else
			rc = qosid_buf_append(output, piece, done, err);
	}
	sodium_memzero(piece, sizeof(piece));
	link_child_end(child, rc == 0 ? 1000 : 0);
	return rc;
}
