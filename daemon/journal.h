/*
 * The daemon's log: one line an event on stderr, `message key=value key="a value"`.
 *
 * Lines are for systemd's journal (a <N> priority in front) when stderr goes there, else for people (the time in
 * front). A line is one write of at most JOURNAL_LINE_BYTES, so lines of different threads do not mix. Values are
 * quoted where needed and control characters escaped, so that no name or path can forge a line. Callers pass names,
 * counts and error texts; never records, never keys.
 */
#ifndef QOSID_DAEMON_JOURNAL_H
#define QOSID_DAEMON_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

#include "crypto/error.h"

#define JOURNAL_LINE_BYTES 2048

struct journal {
	int fd;
	int level;       /* least urgent priority that is written: LOG_INFO, or LOG_DEBUG */
	bool on_journal; /* <N> in front, no time */
};

/* A log on stderr in the form that suits where stderr goes. */
struct journal journal_open(bool verbose);

struct journal_line {
	const struct journal *journal;
	int priority;
	unsigned len;
	char text[JOURNAL_LINE_BYTES];
};

/* Begin a line; add fields; write it. */
void journal_begin(struct journal_line *line, const struct journal *journal, int priority, const char *message);
void journal_text(struct journal_line *line, const char *key, const char *value);
void journal_number(struct journal_line *line, const char *key, int64_t value);
void journal_error(struct journal_line *line, const struct qosid_errbuf *err); /* error=, where=, why=, hint= */
void journal_end(struct journal_line *line);

#endif
