/* Asking for a new password; see ask.h. */
#include "daemon/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define PASSWORD_BYTES_MAX 1024

/* A line without its end, byte by byte, so that nothing of it stays in a stdio buffer. */
static int read_line(int fd, struct qosid_buf *out, struct qosid_errbuf *err)
{
	char c;
	ssize_t n;
	int rc = 0;
	while ((n = read(fd, &c, 1)) != 0 && rc == 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return qosid_error_errno(err, errno, "cannot read the password");
		if (c == '\n')
			return 0;
		rc = out->len < PASSWORD_BYTES_MAX ? qosid_buf_append_byte(out, (uint8_t)c, err)
						   : qosid_error(err, QOSID_ERR_LIMIT,
							 "the password is longer than %d bytes", PASSWORD_BYTES_MAX);
	}
	return rc;
}

static int ask_once(int tty, const char *prompt, const char *name, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct termios shown, hidden;
	if (tcgetattr(tty, &shown) < 0)
		return qosid_error_errno(err, errno, "cannot use the terminal");
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	(void)dprintf(tty, "%s %s: ", prompt, name);
	if (tcsetattr(tty, TCSAFLUSH, &hidden) < 0)
		return qosid_error_errno(err, errno, "cannot use the terminal");
	int rc = read_line(tty, out, err);
	(void)tcsetattr(tty, TCSAFLUSH, &shown); /* it was set the same way a moment ago */
	(void)dprintf(tty, "\n");
	return rc;
}

int ask_new_password(const char *name, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct qosid_buf again = {0};
	int rc;
	if (!isatty(STDIN_FILENO)) {
		rc = read_line(STDIN_FILENO, out, err);
	} else {
		int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
		if (tty < 0)
			return qosid_error_errno(err, errno, "cannot open the terminal");
		rc = ask_once(tty, "New password of", name, out, err);
		if (rc == 0)
			rc = ask_once(tty, "Again, the password of", name, &again, err);
		if (rc == 0 &&
		    (out->len != again.len || (out->len > 0 && memcmp(out->data, again.data, out->len) != 0)))
			rc = qosid_error(err, QOSID_ERR_USAGE, "the two passwords differ");
		(void)close(tty);
	}
	qosid_buf_wipe(&again);
	if (rc == 0 && (out->len == 0 || memchr(out->data, '\0', out->len)))
		rc = qosid_error(err, QOSID_ERR_USAGE, "a password must not be empty, nor have a NUL byte");
	return rc;
}
