/* The daemon's log lines: their form, and that no value can forge a line or overrun it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "daemon/journal.h"

static char text[JOURNAL_LINE_BYTES * 2];
static int ends[2];

static int set_up(void **state)
{
	(void)state;
	return pipe(ends);
}

static int tear_down(void **state)
{
	(void)state;
	return close(ends[0]) + close(ends[1]);
}

/* The line as written. */
static const char *finish(struct journal_line *line)
{
	journal_end(line);
	ssize_t len = read(ends[0], text, sizeof text - 1);
	assert_true(len > 0);
	text[len] = '\0';
	assert_ptr_equal(strchr(text, '\n'), text + len - 1);
	return text;
}

static void journal_lines_have_their_priority(void **state)
{
	(void)state;
	struct journal journal = {.fd = ends[1], .level = LOG_INFO, .on_journal = true};
	struct journal_line line;
	journal_begin(&line, &journal, LOG_WARNING, "offline");
	journal_text(&line, "space", "register");
	journal_number(&line, "failures", -3);
	assert_string_equal(finish(&line), "<4>offline space=register failures=-3\n");
}

static void terminal_lines_have_the_time(void **state)
{
	(void)state;
	struct journal journal = {.fd = ends[1], .level = LOG_INFO};
	struct journal_line line;
	journal_begin(&line, &journal, LOG_ERR, "cannot run");
	assert_string_equal(finish(&line) + strlen("2026-01-01 00:00:00+0000"), " error: cannot run\n");
}

static void values_cannot_forge_a_line(void **state)
{
	(void)state;
	struct journal journal = {.fd = ends[1], .level = LOG_INFO, .on_journal = true};
	struct journal_line line;
	journal_begin(&line, &journal, LOG_INFO, "x");
	journal_text(&line, "a", "b\n<2>forged \"q\" \\ \x1b[0m");
	journal_text(&line, "b", "");
	journal_text(&line, "c", "дар");
	assert_string_equal(finish(&line), "<6>x a=\"b\\x0a<2>forged \\\"q\\\" \\\\ \\x1b[0m\" b=\"\" c=дар\n");
}

static void long_lines_are_cut(void **state)
{
	(void)state;
	struct journal journal = {.fd = ends[1], .level = LOG_INFO, .on_journal = true};
	struct journal_line line;
	static char value[JOURNAL_LINE_BYTES * 3];
	memset(value, '"', sizeof value - 1);
	journal_begin(&line, &journal, LOG_INFO, "x");
	journal_text(&line, "a", value);
	journal_text(&line, "b", "more");
	assert_int_equal(strlen(finish(&line)), JOURNAL_LINE_BYTES);
}

static void errors_have_their_parts(void **state)
{
	(void)state;
	struct journal journal = {.fd = ends[1], .level = LOG_INFO, .on_journal = true};
	struct journal_line line;
	struct qosid_errbuf err = {0};
	(void)qosid_error(&err, QOSID_ERR_OFFLINE, "gone");
	journal_begin(&line, &journal, LOG_INFO, "x");
	journal_error(&line, &err);
	assert_string_equal(finish(&line), "<6>x error=offline why=gone\n");
	(void)qosid_error_within(&err, "line 1");
	qosid_error_hint(&err, "wait");
	journal_begin(&line, &journal, LOG_INFO, "x");
	journal_error(&line, &err);
	assert_string_equal(finish(&line), "<6>x error=offline where=\"line 1\" why=gone hint=wait\n");
}

static void debug_needs_verbose(void **state)
{
	(void)state;
	struct journal journal = {.fd = ends[1], .level = LOG_INFO, .on_journal = true};
	struct journal_line line;
	journal_begin(&line, &journal, LOG_DEBUG, "quiet");
	journal_end(&line);
	journal.level = LOG_DEBUG;
	journal_begin(&line, &journal, LOG_DEBUG, "loud");
	assert_string_equal(finish(&line), "<7>loud\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(journal_lines_have_their_priority),
	    cmocka_unit_test(terminal_lines_have_the_time),
	    cmocka_unit_test(values_cannot_forge_a_line),
	    cmocka_unit_test(long_lines_are_cut),
	    cmocka_unit_test(errors_have_their_parts),
	    cmocka_unit_test(debug_needs_verbose),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
