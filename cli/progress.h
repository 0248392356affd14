/*
 * A bar on stderr for long work, when stderr is a terminal and -q was not given; silent otherwise.
 */
#ifndef QOSID_CLI_PROGRESS_H
#define QOSID_CLI_PROGRESS_H

#include "cli/cli.h"

struct progress {
	bool shown;         /* may draw */
	bool drawn;         /* something is on the line */
	int64_t drawn_time; /* monotonic milliseconds */
};

void progress_begin(struct progress *progress, const struct cli *cli);

/* Draw at most ten times a second; total 0 when not known. */
void progress_report(struct progress *progress, const char *stage, uint64_t done, uint64_t total);

/* Wipe the line, before anything else is printed. */
void progress_end(struct progress *progress);

/* As exchange.h wants it; progress must outlive it. */
struct exchange_progress progress_for_space(struct progress *progress);

#endif
