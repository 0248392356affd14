/*
 * How a login at an https server is proven: from a file that only its owner can read, or from a git credential helper.
 *
 * Secrets lie in libsodium's memory, and go to a helper through its standard input, never through its words or its
 * environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/exchange/link_child.h"
#include "sync/exchange/link_kinds.h"

#define SECRET_MAX ((size_t)4096)
#define HELPER_OUTPUT_MAX (4 * SECRET_MAX)
#define HELPER_WORDS 16

void link_login_free(struct link_login *login)
{
	sodium_free(login->user); /* accepts NULL, and wipes */
	sodium_free(login->secret);
	*login = (struct link_login){0};
}

static int keep(char **out, const char *text, size_t len, struct qosid_errbuf *err)
{
	sodium_free(*out);
	if ((*out = sodium_malloc(len + 1)) == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	memcpy(*out, text, len);
	(*out)[len] = '\0';
	return 0;
}

static bool has_control(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return true;
	}
	return false;
}

/* ---- a file ---- */

static int take_token(
    struct link_login *login, const char *path, const char *text, size_t len, struct qosid_errbuf *err)
{
	const char *colon;
	int rc = 0;

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' '))
		len--;
	if (len == 0 || has_control(text, len))
		return qosid_error(err, QOSID_ERR_INVALID, "%s holds no token: one line, user:token or a token", path);
	colon = memchr(text, ':', len);
	login->bearer = colon == NULL;
	if (colon != NULL) {
		rc = keep(&login->user, text, (size_t)(colon - text), err);
		len -= (size_t)(colon + 1 - text);
		text = colon + 1;
	}
	return rc != 0 ? rc : keep(&login->secret, text, len, err);
}

int link_login_read(struct link_login *login, const char *path, struct qosid_errbuf *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0;
	char text[SECRET_MAX + 1];
	struct stat stat = {0};
	ssize_t len = 0;

	if (fd < 0 || fstat(fd, &stat) != 0 || (S_ISREG(stat.st_mode) && (len = read(fd, text, sizeof(text))) < 0))
		rc = qosid_error_errno(err, errno, "cannot read the token in %s", path);
	else if (!S_ISREG(stat.st_mode) || (size_t)len > SECRET_MAX)
		rc = qosid_error(err, QOSID_ERR_INVALID, "%s is no file with a token", path);
	else if ((stat.st_mode & 077) != 0) {
		rc = qosid_error(err, QOSID_ERR_REFUSED, "others may read the token in %s", path);
		qosid_error_hint(err, "chmod 600 %.200s", path);
	}
	if (fd >= 0)
		(void)close(fd); /* opened for reading only */
	if (rc == 0)
		rc = take_token(login, path, text, (size_t)len, err);
	sodium_memzero(text, sizeof(text));
	return rc;
}

/* ---- a helper ---- */

/* "store --file x" is git-credential-store; a path is a program of its own. There is no shell in between. */
static int split_helper(
    char *copy, const char **words, char *first, size_t size, const char *action, struct qosid_errbuf *err)
{
	size_t count = 0;
	char *save = NULL, *word = strtok_r(copy, " ", &save);

	if (word == NULL || (word[0] != '/' && strpbrk(word, "/!-") != NULL))
		return qosid_error(err, QOSID_ERR_USAGE,
		    "a credential helper is the name of one of git's (store, cache) or a full path");
	if (word[0] == '/')
		words[count++] = word;
	else {
		(void)snprintf(first, size, "credential-%s", word);
		words[count++] = "git";
		words[count++] = first;
	}
	while ((word = strtok_r(NULL, " ", &save)) != NULL && count < HELPER_WORDS - 2)
		words[count++] = word;
	if (word != NULL)
		return qosid_error(err, QOSID_ERR_USAGE, "the credential helper has too many words");
	words[count++] = action;
	words[count] = NULL;
	return 0;
}

static int describe(
    struct qosid_buf *out, const struct link_login *login, const struct link_url *url, struct qosid_errbuf *err)
{
	const char *user = login->user != NULL ? login->user : url->user[0] != '\0' ? url->user : NULL;
	char origin[LINK_ORIGIN_SIZE];
	int rc;

	link_url_format_origin(origin, url);
	rc = qosid_buf_append_format(out, err, "protocol=https\nhost=%s\n", origin + sizeof("https://") - 1);
	if (rc == 0 && user != NULL)
		rc = qosid_buf_append_format(out, err, "username=%s\n", user);
	if (rc == 0 && login->secret != NULL)
		rc = qosid_buf_append_format(out, err, "password=%s\n", login->secret);
	return rc != 0 ? rc : qosid_buf_append_byte(out, '\n', err);
}

static int read_answer(struct link_login *login, const struct qosid_buf *answer, struct qosid_errbuf *err)
{
	const char *line = (const char *)answer->data, *end = line + answer->len, *next;
	int rc = 0;

	for (; rc == 0 && line != NULL && line < end; line = next) {
		size_t len = strcspn(line, "\n");

		next = line + len + (line[len] == '\n');
		if (has_control(line, len))
			return qosid_error(err, QOSID_ERR_INVALID, "the credential helper says what cannot be read");
		if (strncmp(line, "username=", 9) == 0)
			rc = keep(&login->user, line + 9, len - 9, err);
		else if (strncmp(line, "password=", 9) == 0)
			rc = keep(&login->secret, line + 9, len - 9, err);
		if (next == line) /* a NUL */
			break;
	}
	return rc;
}

int link_login_ask(struct link_login *login, const char *helper, const struct link_url *url, const char *action,
    const struct link_limits *limits, struct qosid_errbuf *err)
{
	static const char *const environment[] = {"GIT_TERMINAL_PROMPT=0", NULL};
	struct link_child child = {.pidfd = -1, .io = -1, .errors = -1};
	struct qosid_buf question = {0}, answer = {0};
	const char *words[HELPER_WORDS];
	char *copy = strdup(helper), first[128];
	struct link_watch watch;
	int rc;

	link_watch_begin(&watch, limits);
	if (copy == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	if ((rc = split_helper(copy, words, first, sizeof(first), action, err)) != 0 ||
	    (rc = describe(&question, login, url, err)) != 0 ||
	    (rc = qosid_buf_reserve(&answer, HELPER_OUTPUT_MAX, err)) != 0 || /* so that no copy is left behind */
	    (rc = link_child_run(&child, words, environment, &question, &answer, HELPER_OUTPUT_MAX, &watch, err)) != 0)
		goto out;
	if (link_child_exit_status(&child) != 0)
		rc = qosid_error(err, QOSID_ERR_FAILED, "the credential helper %s failed (status %d)", words[0],
		    link_child_exit_status(&child));
	else if (strcmp(action, "get") == 0 && (rc = read_answer(login, &answer, err)) == 0)
		login->from_helper = login->secret != NULL;
out:
	if (rc != 0)
		(void)qosid_error_within(err, "credential helper");
	link_child_free(&child);
	qosid_buf_wipe(&question);
	qosid_buf_wipe(&answer);
	free(copy);
	return rc;
}
