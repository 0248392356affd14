/*
 * Moments as text: the same calendar as the C library's, over the whole range, and nothing but the one form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those above */
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sync/replica/timestamp.h"

#define FIRST INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define LAST INT64_C(253402300799999)  /* 9999-12-31T23:59:59.999Z */

static void assert_moment(int64_t milliseconds)
{
	char text[TIMESTAMP_SIZE], expected[64];
	int64_t again;
	time_t seconds = (time_t)(milliseconds / 1000 - (milliseconds % 1000 < 0));
	struct tm tm;

	assert_int_equal(timestamp_format(text, milliseconds, NULL), 0);
	assert_non_null(gmtime_r(&seconds, &tm));
	(void)snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
	    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(milliseconds - seconds * 1000));
	assert_string_equal(text, expected);
	assert_int_equal(timestamp_parse(&again, text, TIMESTAMP_BYTES, NULL), 0);
	assert_true(again == milliseconds);
}

static void test_range(void **state)
{
	(void)state;
	static const int64_t edges[] = {FIRST, FIRST + 1, -1, 0, 1, 951782400000 - 1, 951782400000, 951868800000,
	    4107542400000 - 1, 4107542400000, LAST - 1, LAST};
	char text[TIMESTAMP_SIZE];

	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
		assert_moment(edges[i]);
	/* a step that is prime to the day, the year and the week */
	for (int64_t moment = FIRST; moment <= LAST; moment += INT64_C(7919317331))
		assert_moment(moment);
	assert_int_equal(timestamp_format(text, FIRST - 1, NULL), QOSID_ERR_INVALID);
	assert_int_equal(timestamp_format(text, LAST + 1, NULL), QOSID_ERR_INVALID);
	assert_int_equal(timestamp_format(text, INT64_MIN, NULL), QOSID_ERR_INVALID);
	assert_int_equal(timestamp_format(text, INT64_MAX, NULL), QOSID_ERR_INVALID);
}

static void test_malformed(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "2026-11-25T08:00:00Z", "2026-11-25T08:00:00.1234Z",
	    "2026-11-25T08:00:00,123Z", "2026-11-25t08:00:00.123Z", "2026-11-25T08:00:00.123z",
	    "2026-11-25 08:00:00.123Z", "2026-11-25T08:00:00.123+", "+026-11-25T08:00:00.123Z",
	    " 026-11-25T08:00:00.123Z", "2026-11-25T08:00:00.-23Z", "2026-11-25T08:00:00.123Z ",
	    "2026-00-25T08:00:00.123Z", "2026-13-25T08:00:00.123Z", "2026-11-00T08:00:00.123Z",
	    "2026-11-31T08:00:00.123Z", "2026-02-29T08:00:00.123Z", "2100-02-29T08:00:00.123Z",
	    "2026-11-25T24:00:00.123Z", "2026-11-25T08:60:00.123Z", "2016-12-31T23:59:60.123Z"};
	static const char *const good[] = {"2024-02-29T08:00:00.123Z", "2000-02-29T23:59:59.999Z"};
	int64_t moment = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(timestamp_parse(&moment, bad[i], strlen(bad[i]), NULL), QOSID_ERR_INVALID);
		assert_int_equal(moment, 7);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(timestamp_parse(&moment, good[i], strlen(good[i]), NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_range),
	    cmocka_unit_test(test_malformed),
	};
	return cmocka_run_group_tests_name("timestamps", tests, NULL, NULL);
}
