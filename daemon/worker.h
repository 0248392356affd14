/*
 * One thread that keeps one space exchanged.
 *
 * The worker alone opens the space and touches it. Others hand over to it nothing but flags, and read from it nothing
 * but how it is doing. Every exchange step is a transaction that can be repeated (DESIGN section 2), so a worker may be
 * left behind at any instant, even killed, and the next run takes up what it was doing.
 */
#ifndef QOSID_DAEMON_WORKER_H
#define QOSID_DAEMON_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/error.h"
#include "daemon/config.h"
#include "daemon/journal.h"

struct worker;

enum worker_request {
	WORKER_STOP = 1,   /* end after the exchange that is going on, or, over ssh and https, in its middle */
	WORKER_CHANGE = 2, /* something in the folder changed */
	WORKER_POLL = 4,   /* nobody watches the folder: look every 2 s */
	WORKER_WATCHED = 8 /* it is watched again */
};

/* Start the thread. done_fd, an eventfd, is written when the worker has ended. once: exchange with every remote once,
 * then end. journal must outlive the worker. */
int worker_start(struct worker **out, const struct config_space *space, const struct journal *journal, int done_fd,
    bool once, struct qosid_errbuf *err);

/* Hand over requests: they merge with those not yet seen. */
void worker_request(struct worker *worker, unsigned requests);

const struct config_space *worker_space(const struct worker *worker);
bool worker_has_ended(const struct worker *worker);

/* How long it has been at work without any sign of progress, in ms; 0 when it waits. */
int64_t worker_silence(const struct worker *worker, int64_t now);

/* Wait for the end of the thread and free all. Returns 0 or, with once, the error that weighs most. */
int worker_join(struct worker *worker);

#endif
