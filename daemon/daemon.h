/*
 * The daemon's event loop: signals, timers, folder watches, and one worker a space, as the configuration wants them.
 *
 * The loop never touches a space, so nothing that a space or a remote does can stop it from answering signals and the
 * watchdog.
 */
#ifndef QOSID_DAEMON_DAEMON_H
#define QOSID_DAEMON_DAEMON_H

#include <signal.h>
#include <stdbool.h>

#include "crypto/error.h"
#include "daemon/config.h"
#include "daemon/journal.h"

struct daemon_options {
	const struct journal *journal;
	const char *config_path; /* read again on SIGHUP */
	sigset_t signals;        /* SIGTERM, SIGINT, SIGHUP; blocked already */
	bool once;               /* exchange once, then end */
};

/* Run until a signal, or with once until all is done. Takes over config. *abandoned: a worker had not ended in time;
 * its thread still runs, so the caller may only _exit(). Returns 0, with once the error that weighs most, or why it
 * could not run. */
int daemon_run(const struct daemon_options *options, struct config *config, bool *abandoned, struct qosid_errbuf *err);

#endif
