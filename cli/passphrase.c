/*
 * Passphrases: see passphrase.h. While one is typed, the terminal's echo and its signal keys are off, and signals that
 * would end the program wait, so that the terminal never stays silent.
 */
#include "cli/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/file.h"

#define PASSPHRASE_MAX 1024
#define CONTROL_C 3
#define FILE_HINT "use --passphrase-file FILE or set QOSID_PASSPHRASE_FILE"

static const char *named_file(const struct cli *cli)
{
	const char *path = cli->passphrase_file != NULL ? cli->passphrase_file : getenv("QOSID_PASSPHRASE_FILE");

	return path != NULL && path[0] != '\0' ? path : NULL;
}

static int read_passphrase_file(const char *path, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	size_t len = 0;
	int code;

	code = qosid_buf_reserve(&text, 65536, err); /* so that it never moves and leaves a copy behind */
	if (code == 0)
		code = file_read(path, 65536, &text, err);
	if (code != 0)
		goto out;
	while (len < text.len && text.data[len] != '\n' && text.data[len] != '\r')
		len++;
	if (len == 0)
		code = qosid_error(err, QOSID_ERR_INVALID, "the passphrase file %s has an empty first line", path);
	else if (len > PASSPHRASE_MAX || memchr(text.data, '\0', len) != NULL)
		code = qosid_error(err, QOSID_ERR_INVALID,
		    "the first line of the passphrase file %s is longer than %d bytes or holds a NUL", path,
		    PASSPHRASE_MAX);
	else
		code = qosid_buf_append(buf, text.data, len, err);
out:
	qosid_buf_wipe(&text);
	return code;
}

/* Read one line from the terminal, of which echo and signal keys are off. */
static int read_line(int fd, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	char line[PASSPHRASE_MAX + 2];
	ssize_t n = read(fd, line, sizeof(line));
	int code;

	if (n <= 0 || line[n - 1] != '\n' || memchr(line, CONTROL_C, (size_t)n) != NULL)
		code = qosid_error(err, QOSID_ERR_REFUSED, "no passphrase was typed");
	else if (n == 1)
		code = qosid_error(err, QOSID_ERR_REFUSED, "the passphrase is empty");
	else
		code = qosid_buf_append(buf, line, (size_t)n - 1, err);
	sodium_memzero(line, sizeof(line));
	return code;
}

static int prompt_terminal(const char *prompt, const char *hint, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	struct termios shown, hidden;
	sigset_t ending, before;
	int code, fd;

	fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || tcgetattr(fd, &shown) != 0) {
		if (fd >= 0)
			(void)close(fd);
		code = qosid_error(err, QOSID_ERR_REFUSED, "a passphrase is needed and there is no terminal to ask at");
		qosid_error_hint(err, "%s", hint);
		return code;
	}
	(void)sigemptyset(&ending);
	(void)sigaddset(&ending, SIGINT);
	(void)sigaddset(&ending, SIGTERM);
	(void)sigaddset(&ending, SIGTSTP);
	(void)sigprocmask(SIG_BLOCK, &ending, &before);
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
	hidden.c_lflag |= ICANON | ECHONL;
	/* With ISIG off, Control-C is a byte; as a line's end it is seen at once. */
	hidden.c_cc[VEOL] = CONTROL_C;
	if (tcsetattr(fd, TCSAFLUSH, &hidden) != 0) {
		code = qosid_error_errno(err, errno, "cannot switch off the terminal's echo");
	} else {
		(void)dprintf(fd, "%s", prompt);
		code = read_line(fd, buf, err);
		(void)tcsetattr(fd, TCSAFLUSH, &shown); /* it took this state before */
	}
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	(void)close(fd);
	return code;
}

int passphrase_ask(void *context, const char *path, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	const char *file = named_file(context);
	char prompt[300];

	if (file != NULL)
		return read_passphrase_file(file, buf, err);
	(void)snprintf(prompt, sizeof(prompt), "Passphrase of %s: ", path);
	return prompt_terminal(prompt, FILE_HINT, buf, err);
}

/* Typed twice. */
static int prompt_new(const char *hint, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	struct qosid_buf again = {0};
	int code;

	code = prompt_terminal("New passphrase: ", hint, buf, err);
	if (code == 0)
		code = prompt_terminal("The same again: ", hint, &again, err);
	if (code == 0 && (again.len != buf->len || sodium_memcmp(again.data, buf->data, buf->len) != 0))
		code = qosid_error(err, QOSID_ERR_REFUSED, "the two passphrases differ");
	qosid_buf_wipe(&again);
	return code;
}

int passphrase_choose(struct cli *cli, bool prompt, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	const char *file = named_file(cli);

	if (file != NULL)
		return read_passphrase_file(file, buf, err);
	return prompt ? prompt_new(FILE_HINT, buf, err) : 0;
}

int passphrase_choose_new(const char *file, struct qosid_buf *buf, struct qosid_errbuf *err)
{
	if (file != NULL)
		return read_passphrase_file(file, buf, err);
	return prompt_new("use --new-passphrase-file FILE", buf, err);
}
