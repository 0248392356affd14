/*
 * A program at the other end of a socket: ssh, ssh-keyscan, a credential helper.
 *
 * It runs in a session of its own, so that neither the terminal's Ctrl-C reaches it nor can it ask anything there, and
 * with this process's open files closed, its blocked signals open and messages in English. Its standard input and
 * output are one non-blocking socket, its standard error a pipe of which the last few KiB are kept. It is always
 * reaped, and ended by the id it was started with.
 */
#ifndef QOSID_SYNC_EXCHANGE_LINK_CHILD_H
#define QOSID_SYNC_EXCHANGE_LINK_CHILD_H

#include <sys/types.h>

#include "crypto/buf.h"
#include "sync/exchange/link_watch.h"

#define LINK_CHILD_ERRORS_MAX 8192u

struct link_child {
	pid_t pid; /* 0: none, or reaped */
	int pidfd;
	int io;
	int errors;            /* -1 at its end */
	struct qosid_buf said; /* on standard error, the end of it */
	int status;            /* as waitpid() gives it, once reaped */
	bool output_ended;     /* nothing more comes from it */
	bool input_shut;       /* nothing more goes to it */
};

/* Start argv[0], found in PATH. environment: "NAME=value" texts to add, ended by NULL; may be NULL. *child need not be
 * initialised, and is to be ended whatever this returns. QOSID_ERR_NOTFOUND: there is no such program. */
int link_child_start(
    struct link_child *child, const char *const *argv, const char *const *environment, struct qosid_errbuf *err);

/* Wait up to ms for something to read, or (write) for room to write. Takes in what it says on standard error. */
int link_child_wait(struct link_child *child, bool read, bool write, int ms, struct qosid_errbuf *err);

/* Read or write what goes without waiting; *done 0: nothing now (see output_ended). Writing to one that has gone sets
 * input_shut and drops the bytes: what it said tells why. */
int link_child_read(struct link_child *child, void *out, size_t size, size_t *done, struct qosid_errbuf *err);
int link_child_write(struct link_child *child, const void *data, size_t len, size_t *done, struct qosid_errbuf *err);

/* Nothing more goes to it. */
void link_child_shut(struct link_child *child);

/* Let it end by itself for at most so long, then make it; free everything but said and status. Safe to repeat. */
void link_child_end(struct link_child *child, int grace_ms);
void link_child_free(struct link_child *child); /* ends it, too */

/* Give it a whole input and take its whole output of at most max bytes, within the limits of watch. 0 whatever its
 * exit status is, which is in child->status; the child has ended. */
int link_child_run(struct link_child *child, const char *const *argv, const char *const *environment,
    const struct qosid_buf *input, struct qosid_buf *output, size_t max, struct link_watch *watch,
    struct qosid_errbuf *err);

/* Its exit status, or -1 when a signal ended it. */
int link_child_exit_status(const struct link_child *child);

#endif
