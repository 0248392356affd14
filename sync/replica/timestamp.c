/*
 * Moments as text. Calendar arithmetic of its own: gmtime() and timegm() read time zone files and take locks, and a
 * change set writes and reads one moment a line.
 */
#include "sync/replica/timestamp.h"

#include <stdbool.h>
#include <string.h>

#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)
#define FIRST_MS (INT64_C(-719528) * DAY_MS)       /* 0000-01-01 */
#define LAST_MS (INT64_C(2932897) * DAY_MS - 1)    /* the last millisecond of 9999 */
#define DAYS_OF_400_YEARS 146097                   /* after which the Gregorian calendar repeats */
#define DAYS_TO_EPOCH 719468                       /* from 0000-03-01 to 1970-01-01 */
#define DAYS_BEFORE_MONTH(m) ((153 * (m) + 2) / 5) /* in a year that begins in March; m = 0 is March */

/* Years are counted from March, so that the leap day is the last one. */
static int64_t days_from_civil(int year, int month, int day)
{
	int shifted = year - (month <= 2);
	int era = (shifted >= 0 ? shifted : shifted - 399) / 400;
	int year_of_era = shifted - era * 400;
	int day_of_year = DAYS_BEFORE_MONTH(month > 2 ? month - 3 : month + 9) + day - 1;
	int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return (int64_t)era * DAYS_OF_400_YEARS + day_of_era - DAYS_TO_EPOCH;
}

static void civil_from_days(int64_t days, int *year, int *month, int *day)
{
	int64_t shifted = days + DAYS_TO_EPOCH;
	int64_t era = (shifted >= 0 ? shifted : shifted - (DAYS_OF_400_YEARS - 1)) / DAYS_OF_400_YEARS;
	int day_of_era = (int)(shifted - era * DAYS_OF_400_YEARS);
	int year_of_era =
	    (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (DAYS_OF_400_YEARS - 1)) / 365;
	int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int from_march = (5 * day_of_year + 2) / 153;

	*day = day_of_year - DAYS_BEFORE_MONTH(from_march) + 1;
	*month = from_march < 10 ? from_march + 3 : from_march - 9;
	*year = (int)(era * 400) + year_of_era + (*month <= 2);
}

static int month_length(int year, int month)
{
	static const unsigned char lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return lengths[month - 1] + (month == 2 && leap);
}

static void put_digits(char *out, int value, int count)
{
	for (int i = count - 1; i >= 0; i--) {
		out[i] = (char)('0' + value % 10);
		value /= 10;
	}
}

int timestamp_format(char out[TIMESTAMP_SIZE], int64_t milliseconds, struct qosid_errbuf *err)
{
	int year, month, day;

	if (milliseconds < FIRST_MS || milliseconds > LAST_MS)
		return qosid_error(err, QOSID_ERR_INVALID, "a time outside the years 0000 to 9999 cannot be written");

	int64_t days = milliseconds / DAY_MS - (milliseconds % DAY_MS < 0);
	int rest = (int)(milliseconds - days * DAY_MS);
	civil_from_days(days, &year, &month, &day);
	memcpy(out, "0000-00-00T00:00:00.000Z", TIMESTAMP_SIZE);
	put_digits(out, year, 4);
	put_digits(out + 5, month, 2);
	put_digits(out + 8, day, 2);
	put_digits(out + 11, rest / 3600000, 2);
	put_digits(out + 14, rest / 60000 % 60, 2);
	put_digits(out + 17, rest / 1000 % 60, 2);
	put_digits(out + 20, rest % 1000, 3);
	return 0;
}

static int get_digits(const char *text, int count)
{
	int value = 0;

	for (int i = 0; i < count; i++)
		value = value * 10 + (text[i] - '0');
	return value;
}

static bool has_form(const char *text, size_t len)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";

	if (len != TIMESTAMP_BYTES)
		return false;
	for (size_t i = 0; i < TIMESTAMP_BYTES; i++) {
		bool digit = text[i] >= '0' && text[i] <= '9';
		if (form[i] == 'd' ? !digit : text[i] != form[i])
			return false;
	}
	return true;
}

int timestamp_parse(int64_t *milliseconds, const char *text, size_t len, struct qosid_errbuf *err)
{
	if (!has_form(text, len))
		return qosid_error(err, QOSID_ERR_INVALID, "the time is not of the form 2026-11-25T08:00:00.123Z");

	int year = get_digits(text, 4);
	int month = get_digits(text + 5, 2);
	int day = get_digits(text + 8, 2);
	int hour = get_digits(text + 11, 2);
	int minute = get_digits(text + 14, 2);
	int second = get_digits(text + 17, 2);
	if (month < 1 || month > 12 || day < 1 || day > month_length(year, month) || hour > 23 || minute > 59 ||
	    second > 59)
		return qosid_error(err, QOSID_ERR_INVALID, "the time %.24s does not exist", text);
	*milliseconds = days_from_civil(year, month, day) * DAY_MS +
			((hour * 60 + minute) * 60 + second) * INT64_C(1000) + get_digits(text + 20, 3);
	return 0;
}
