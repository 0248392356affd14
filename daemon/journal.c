/* The daemon's log; see journal.h. */
#include "daemon/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct journal journal_open(bool verbose)
{
	/* A shell under a systemd user session inherits INVOCATION_ID, so a terminal decides first. */
	bool journal = !isatty(STDERR_FILENO) && (getenv("JOURNAL_STREAM") || getenv("INVOCATION_ID"));
	return (struct journal){.fd = STDERR_FILENO, .level = verbose ? LOG_DEBUG : LOG_INFO, .on_journal = journal};
}

static void append(struct journal_line *line, const char *text, size_t len)
{
	size_t room = sizeof line->text - 1 - line->len; /* a byte stays for the newline */
	if (len > room)
		len = room;
	memcpy(line->text + line->len, text, len);
	line->len += (unsigned)len;
}

static void append_text(struct journal_line *line, const char *text)
{
	append(line, text, strlen(text));
}

static const char *priority_word(int priority)
{
	switch (priority) {
	case LOG_ERR:
		return "error";
	case LOG_WARNING:
		return "warning";
	case LOG_NOTICE:
		return "notice";
	case LOG_DEBUG:
		return "debug";
	default:
		return "info";
	}
}

void journal_begin(struct journal_line *line, const struct journal *journal, int priority, const char *message)
{
	line->journal = journal;
	line->priority = priority;
	line->len = 0;
	char front[64];
	if (journal->on_journal) {
		(void)snprintf(front, sizeof front, "<%d>", priority);
	} else {
		struct tm tm;
		time_t now = time(NULL);
		char clock[40] = "";
		if (localtime_r(&now, &tm))
			(void)strftime(clock, sizeof clock, "%Y-%m-%d %H:%M:%S%z", &tm);
		(void)snprintf(front, sizeof front, "%s %s: ", clock, priority_word(priority));
	}
	append_text(line, front);
	append_text(line, message);
}

void journal_text(struct journal_line *line, const char *key, const char *value)
{
	append(line, " ", 1);
	append_text(line, key);
	bool quote = *value == '\0';
	for (const char *p = value; *p && !quote; p++)
		quote = (unsigned char)*p <= ' ' || *p == '"' || *p == '=' || *p == '\\' || *p == 0x7f;
	append_text(line, quote ? "=\"" : "=");
	for (const char *p = value; *p; p++) {
		char escaped[8];
		if (*p == '"' || *p == '\\')
			(void)snprintf(escaped, sizeof escaped, "\\%c", *p);
		else if ((unsigned char)*p < ' ' || *p == 0x7f)
			(void)snprintf(escaped, sizeof escaped, "\\x%02x", (unsigned char)*p);
		else
			(void)snprintf(escaped, sizeof escaped, "%c", *p);
		append_text(line, escaped);
	}
	if (quote)
		append(line, "\"", 1);
}

void journal_number(struct journal_line *line, const char *key, int64_t value)
{
	char text[24];
	(void)snprintf(text, sizeof text, "%lld", (long long)value);
	journal_text(line, key, text);
}

void journal_error(struct journal_line *line, const struct qosid_errbuf *err)
{
	journal_text(line, "error", qosid_error_name(err->code));
	if (err->where[0])
		journal_text(line, "where", err->where);
	journal_text(line, "why", err->what);
	if (err->hint[0])
		journal_text(line, "hint", err->hint);
}

void journal_end(struct journal_line *line)
{
	if (line->priority > line->journal->level)
		return;
	line->text[line->len++] = '\n';
	/* A log that cannot be written has nowhere to say so. */
	ssize_t written = write(line->journal->fd, line->text, line->len);
	(void)written;
}
