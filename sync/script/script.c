/* The child that runs design functions, from the side of its parent; see script.h. */
#include "sync/script/script.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM_NAME "qosid-script"
#define EXIT_MEMORY 11    /* script/main.c */
#define EXIT_LINE 12      /* likewise */
#define LOOK_MS 250       /* how often the child's CPU time is read while it is silent */
#define PIECE (64u << 10) /* of reading */
#define NS_A_SECOND 1000000000LL

struct script {
	char *program;
	unsigned answer_seconds, memory_mib;
	unsigned long generation;
	pid_t pid; /* 0: no child */
	int fd;
	struct qosid_buf input; /* read, not taken yet */
};

/* ---- finding the program ---- */

/* Beside this program as it was built, or where `make install` puts it. */
static char *find_program(void)
{
	static const char *const places[] = {"/" PROGRAM_NAME, "/../libexec/qosid/" PROGRAM_NAME};
	char self[PATH_MAX], *path;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	*strrchr(self, '/') = '\0'; /* the kernel's paths are absolute */
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		if (asprintf(&path, "%s%s", self, places[i]) < 0)
			return NULL;
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

int script_open(struct script **out, const struct script_limits *limits, struct qosid_errbuf *err)
{
	struct script *script = calloc(1, sizeof(*script));

	if (!script)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	script->fd = -1;
	script->answer_seconds = limits->answer_seconds ? limits->answer_seconds : SCRIPT_ANSWER_SECONDS;
	script->memory_mib = limits->memory_mib ? limits->memory_mib : SCRIPT_MEMORY_MIB;
	if (limits->program && !(script->program = strdup(limits->program))) {
		free(script);
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	}
	*out = script;
	return 0;
}

/* ---- the child's life ---- */

/* How the child ended, after having ended it. */
static int reap(struct script *script)
{
	int status = 0;

	if (script->pid == 0)
		return 0;
	(void)close(script->fd);          /* a socket that is dropped */
	(void)kill(script->pid, SIGKILL); /* fails when it is dead already */
	while (waitpid(script->pid, &status, 0) < 0 && errno == EINTR)
		;
	script->fd = -1;
	script->pid = 0;
	qosid_buf_wipe(&script->input);
	return status;
}

void script_end(struct script *script)
{
	(void)reap(script); /* it is of no interest how */
}

void script_close(struct script *script)
{
	if (!script)
		return;
	script_end(script);
	free(script->program);
	free(script);
}

/* posix_spawn() is safe with other threads about. The child closes what it inherits in any case. */
static int spawn(struct script *script, int socket, struct qosid_errbuf *err)
{
	char memory[16], seconds[16], *argv[] = {script->program, memory, seconds, NULL}, *environment[] = {NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int rc;

	(void)snprintf(memory, sizeof(memory), "%u", script->memory_mib);
	(void)snprintf(seconds, sizeof(seconds), "%u", script->answer_seconds);
	(void)sigemptyset(&none); /* these two cannot fail */
	(void)sigfillset(&all);
	rc = posix_spawn_file_actions_init(&actions);
	if (rc != 0)
		return qosid_error_errno(err, rc, "cannot start %s", script->program);
	rc = posix_spawnattr_init(&attributes);
	if (rc != 0) {
		(void)posix_spawn_file_actions_destroy(&actions); /* cannot fail */
		return qosid_error_errno(err, rc, "cannot start %s", script->program);
	}
	rc = posix_spawn_file_actions_adddup2(&actions, socket, STDIN_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, socket, STDOUT_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (rc == 0)
		rc = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (rc == 0)
		rc = posix_spawnattr_setsigmask(&attributes, &none);
	if (rc == 0)
		rc = posix_spawnattr_setsigdefault(&attributes, &all);
	if (rc == 0)
		rc = posix_spawn(&script->pid, script->program, &actions, &attributes, argv, environment);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (rc != 0)
		script->pid = 0;
	return rc == 0 ? 0 : qosid_error_errno(err, rc, "cannot start %s", script->program);
}

static int start(struct script *script, struct qosid_errbuf *err)
{
	int sockets[2], rc;

	if (!script->program && !(script->program = find_program()))
		return qosid_error(
		    err, QOSID_ERR_NOTFOUND, PROGRAM_NAME " is neither beside this program nor in ../libexec/qosid");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return qosid_error_errno(err, errno, "cannot make a socket for " PROGRAM_NAME);
	rc = spawn(script, sockets[1], err);
	(void)close(sockets[1]); /* the child's */
	if (rc == 0 && fcntl(sockets[0], F_SETFL, O_NONBLOCK) < 0)
		rc = qosid_error_errno(err, errno, "cannot set the socket of " PROGRAM_NAME);
	script->fd = sockets[0];
	if (rc == 0)
		script->generation++;
	else if (script->pid != 0)
		(void)reap(script);
	else
		(void)close(sockets[0]);
	return rc;
}

unsigned long script_generation(const struct script *script)
{
	return script->generation;
}

pid_t script_pid(const struct script *script)
{
	return script->pid;
}

/* ---- a call ---- */

struct exchange {
	const char *request;
	size_t len, sent; /* len + 1 bytes are sent: a line feed ends the line */
	int64_t cpu_end, wall_end;
};

static int64_t read_clock(clockid_t clock)
{
	struct timespec time;

	return clock_gettime(clock, &time) == 0 ? time.tv_sec * NS_A_SECOND + time.tv_nsec : 0;
}

/* 0 for a child that is gone, of which poll() tells as well. */
static int64_t child_time(const struct script *script)
{
	clockid_t clock;

	return clock_getcpuclockid(script->pid, &clock) == 0 ? read_clock(clock) : 0;
}

static int fail(struct script *script, struct qosid_errbuf *err)
{
	int status = reap(script);

	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_MEMORY)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "a function used more than %u MiB of memory", script->memory_mib);
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_LINE)
		return qosid_error(err, QOSID_ERR_LIMIT, "a request to a function is too long");
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF)
		return qosid_error(err, QOSID_ERR_LIMIT, "a function ran longer than %u s", script->answer_seconds);
	return qosid_error(err, QOSID_ERR_FAILED, "the process that runs functions ended with %s %d",
	    WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* Wait until the socket can do something more, within the limits. */
static int wait_for(struct script *script, const struct exchange *exchange, struct qosid_errbuf *err)
{
	struct pollfd poller = {script->fd, POLLIN, 0};

	if (exchange->sent <= exchange->len)
		poller.events |= POLLOUT;
	for (;;) {
		int n = poll(&poller, 1, LOOK_MS);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return qosid_error_errno(err, errno, "cannot wait for " PROGRAM_NAME);
		if (child_time(script) < exchange->cpu_end && read_clock(CLOCK_MONOTONIC) < exchange->wall_end)
			continue;
		script_end(script);
		return qosid_error(err, QOSID_ERR_LIMIT, "a function ran longer than %u s", script->answer_seconds);
	}
}

static int send_some(struct script *script, struct exchange *exchange, struct qosid_errbuf *err)
{
	bool last = exchange->sent == exchange->len;
	const char *data = last ? "\n" : exchange->request + exchange->sent;
	ssize_t n = send(script->fd, data, last ? 1 : exchange->len - exchange->sent, MSG_NOSIGNAL);

	if (n >= 0)
		exchange->sent += (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		return fail(script, err);
	return 0;
}

static int receive_some(struct script *script, struct qosid_errbuf *err)
{
	ssize_t n;
	int rc = qosid_buf_reserve(&script->input, PIECE, err);

	if (rc != 0) {
		script_end(script);
		return rc;
	}
	n = recv(script->fd, script->input.data + script->input.len, PIECE, 0);
	if (n > 0)
		script->input.len += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		return fail(script, err);
	if (script->input.len > SCRIPT_ANSWER_BYTES) {
		script_end(script);
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "the answer of a function is longer than %u MiB", SCRIPT_ANSWER_BYTES >> 20);
	}
	return 0;
}

/* Whether a whole answer has come; logs are skipped. *from is where to look for the next line, *seen how far it has
 * been looked for. */
static bool find_answer(const struct script *script, size_t *from, size_t *seen, size_t *len)
{
	static const char log[] = "[\"log\",";
	const struct qosid_buf *input = &script->input;

	while (*seen < input->len) {
		const uint8_t *line = input->data + *from, *end = memchr(input->data + *seen, '\n', input->len - *seen);

		if (!end) {
			*seen = input->len;
			return false;
		}
		*len = (size_t)(end - line);
		if (*len < sizeof(log) - 1 || memcmp(line, log, sizeof(log) - 1) != 0)
			return true;
		*from = *seen = (size_t)(end - input->data) + 1;
	}
	return false;
}

int script_call(
    struct script *script, const void *request, size_t len, struct qosid_buf *answer, struct qosid_errbuf *err)
{
	struct exchange exchange = {.request = request, .len = len};
	size_t from = 0, seen = 0, n = 0;
	int rc = 0;

	if (len > SCRIPT_REQUEST_BYTES)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "a request to a function is longer than %u MiB", SCRIPT_REQUEST_BYTES >> 20);
	if (memchr(request, '\n', len))
		return qosid_error(err, QOSID_ERR_USAGE, "a request to a function must be one line");
	if (script->pid == 0)
		rc = start(script, err);
	if (rc != 0)
		return rc;
	exchange.cpu_end = child_time(script) + script->answer_seconds * NS_A_SECOND;
	exchange.wall_end = read_clock(CLOCK_MONOTONIC) + SCRIPT_WALL_FACTOR * script->answer_seconds * NS_A_SECOND;
	qosid_buf_reset(&script->input);
	while (rc == 0) {
		if (exchange.sent <= exchange.len)
			rc = send_some(script, &exchange, err);
		if (rc == 0)
			rc = wait_for(script, &exchange, err);
		if (rc == 0)
			rc = receive_some(script, err);
		if (rc == 0 && find_answer(script, &from, &seen, &n))
			break;
	}
	if (rc == 0)
		rc = qosid_buf_append(answer, script->input.data + from, n, err);
	return rc;
}
