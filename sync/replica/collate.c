/*
 * View collation. See collate.h for the promises.
 *
 * A key is a tag byte a value, then: for a number its sign, decimal exponent and digits (all complemented when it is
 * negative); for a string ICU's sort key, which has no zero byte but its last; for an array or object its elements or
 * members and TAG_END, which is less than any tag.
 */
#include "sync/replica/collate.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unicode/ucol.h>

#include "sync/replica/json_internal.h"

enum tag { TAG_END = 1, TAG_NULL, TAG_FALSE, TAG_TRUE, TAG_NUMBER, TAG_STRING, TAG_ARRAY, TAG_OBJECT };

#define EXPONENT_MAX INT64_C(1000000000000000) /* farther out all exponents are one */
#define EXPONENT_SHORT 100                     /* up to here it takes one byte */

struct collator {
	UCollator *icu;
	struct qosid_buf utf16;
	struct qosid_buf left;
	struct qosid_buf right;
};

int collator_open(struct collator **out, struct qosid_errbuf *err)
{
	struct collator *collator = calloc(1, sizeof(*collator));
	UErrorCode status = U_ZERO_ERROR;

	*out = NULL;
	if (collator == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	collator->icu = ucol_open("root", &status);
	if (U_FAILURE(status)) {
		collator_close(collator);
		return qosid_error(err, QOSID_ERR_FAILED, "cannot open ICU's root collation: %s", u_errorName(status));
	}
	*out = collator;
	return 0;
}

void collator_close(struct collator *collator)
{
	if (collator == NULL)
		return;
	if (collator->icu != NULL)
		ucol_close(collator->icu);
	qosid_buf_wipe(&collator->utf16);
	qosid_buf_wipe(&collator->left);
	qosid_buf_wipe(&collator->right);
	free(collator);
}

static enum tag tag_of(struct json_slice value)
{
	switch (json_slice_kind(value)) {
	case JSON_NULL:
		return TAG_NULL;
	case JSON_FALSE:
		return TAG_FALSE;
	case JSON_TRUE:
		return TAG_TRUE;
	case JSON_NUMBER:
		return TAG_NUMBER;
	case JSON_STRING:
		return TAG_STRING;
	case JSON_ARRAY:
		return TAG_ARRAY;
	default:
		return TAG_OBJECT;
	}
}

/* ---- numbers ---- */

/* A number as 0.DIGITS times ten to the exponent; the first and the last digit are not zero. */
struct decimal {
	int sign; /* -1, 0, 1 */
	int64_t exponent;
	const char *digits; /* a decimal point may lie among them */
	const char *end;
};

static int64_t read_exponent(const char *at, const char *end)
{
	int64_t value = 0;
	bool negative = *at == '-';

	if (*at == '-' || *at == '+')
		at++;
	for (; at < end && value < EXPONENT_MAX; at++)
		value = value * 10 + (*at - '0');
	if (value > EXPONENT_MAX)
		value = EXPONENT_MAX;
	return negative ? -value : value;
}

static struct decimal read_decimal(struct json_slice number)
{
	struct decimal decimal = {.sign = 1};
	const char *at = number.text;
	const char *end = at + number.len;
	bool point = false;
	int64_t whole = 0; /* digits before the point from the first that counts, or minus zeros after it */

	if (at < end && *at == '-') {
		decimal.sign = -1;
		at++;
	}
	for (; at < end && *at != 'e' && *at != 'E'; at++) {
		if (*at == '.') {
			point = true;
			continue;
		}
		if (decimal.digits == NULL && *at == '0') {
			whole -= point;
			continue;
		}
		if (decimal.digits == NULL)
			decimal.digits = at;
		whole += !point;
		if (*at != '0')
			decimal.end = at + 1;
	}
	if (decimal.digits == NULL)
		return (struct decimal){0};
	decimal.exponent = whole;
	if (at < end)
		decimal.exponent += read_exponent(at + 1, end);
	return decimal;
}

/* The next digit, 0 past the end. */
static int next_digit(struct decimal *decimal)
{
	if (decimal->digits < decimal->end && *decimal->digits == '.')
		decimal->digits++;
	return decimal->digits < decimal->end ? *decimal->digits++ - '0' : 0;
}

int collate_numbers(struct json_slice a, struct json_slice b)
{
	struct decimal x = read_decimal(a);
	struct decimal y = read_decimal(b);

	if (x.sign != y.sign)
		return x.sign < y.sign ? -1 : 1;
	if (x.exponent != y.exponent)
		return x.exponent < y.exponent ? -x.sign : x.sign;
	while (x.digits < x.end || y.digits < y.end) {
		int left = next_digit(&x);
		int right = next_digit(&y);

		if (left != right)
			return left < right ? -x.sign : x.sign;
	}
	return 0;
}

static int append_exponent(int64_t exponent, uint8_t flip, struct qosid_buf *out, struct qosid_errbuf *err)
{
	uint64_t bits = (uint64_t)(exponent + EXPONENT_MAX * 2);
	uint8_t bytes[9];

	if (exponent >= -EXPONENT_SHORT && exponent <= EXPONENT_SHORT)
		return qosid_buf_append_byte(out, (uint8_t)(0x80 + exponent) ^ flip, err);
	bytes[0] = (exponent < 0 ? 0x01 : 0xfe) ^ flip;
	for (int i = 0; i < 8; i++)
		bytes[1 + i] = (uint8_t)(bits >> (56 - 8 * i)) ^ flip;
	return qosid_buf_append(out, bytes, sizeof(bytes), err);
}

static int number_key(struct json_slice value, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct decimal decimal = read_decimal(value);
	uint8_t flip = decimal.sign < 0 ? 0xff : 0;
	int rc = qosid_buf_append_byte(out, (uint8_t)(2 + decimal.sign), err);

	if (rc != 0 || decimal.sign == 0)
		return rc;
	rc = append_exponent(decimal.exponent, flip, out, err);
	while (rc == 0 && decimal.digits < decimal.end) {
		int pair = next_digit(&decimal) * 10;

		pair += next_digit(&decimal);
		rc = qosid_buf_append_byte(out, (uint8_t)(pair + 1) ^ flip, err);
	}
	return rc != 0 ? rc : qosid_buf_append_byte(out, flip, err);
}

/* ---- strings ---- */

static int icu_error(UErrorCode status, struct qosid_errbuf *err)
{
	if (status == U_MEMORY_ALLOCATION_ERROR)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory while collating");
	return qosid_error(err, QOSID_ERR_FAILED, "cannot collate a string: %s", u_errorName(status));
}

static int compare_points(struct json_slice a, struct json_slice b)
{
	struct json_points left = json_points_of(a);
	struct json_points right = json_points_of(b);
	uint32_t x;
	uint32_t y;

	for (;;) {
		bool more = json_points_next(&left, &x);

		if (!json_points_next(&right, &y))
			return more;
		if (!more)
			return -1;
		if (x != y)
			return x < y ? -1 : 1;
	}
}

/* A string's UTF-8, decoded into scratch only when it has escapes. */
static int plain_text(
    struct json_slice string, struct qosid_buf *scratch, struct json_slice *out, struct qosid_errbuf *err)
{
	int rc;

	*out = (struct json_slice){string.text + 1, string.len - 2};
	if (!json_string_escaped(string))
		return 0;
	qosid_buf_reset(scratch);
	rc = json_string_decode(string, scratch, err);
	*out = (struct json_slice){(const char *)scratch->data, scratch->len};
	return rc;
}

static int compare_strings(
    struct collator *collator, struct json_slice a, struct json_slice b, bool raw, int *order, struct qosid_errbuf *err)
{
	UErrorCode status = U_ZERO_ERROR;
	struct json_slice left;
	struct json_slice right;
	int rc;

	*order = 0;
	if (a.len == b.len && memcmp(a.text, b.text, a.len) == 0)
		return 0;
	if (raw) {
		*order = compare_points(a, b);
		return 0;
	}
	rc = plain_text(a, &collator->left, &left, err);
	if (rc == 0)
		rc = plain_text(b, &collator->right, &right, err);
	if (rc != 0)
		return rc;
	*order = ucol_strcollUTF8(collator->icu, left.text, (int32_t)left.len, right.text, (int32_t)right.len, &status);
	return U_FAILURE(status) ? icu_error(status, err) : 0;
}

/* Bytes 0 and 1 are written as 1 and the byte plus 1, so that 0 can end the key. */
static int raw_key(struct json_slice string, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_points points = json_points_of(string);
	uint32_t point;
	int rc = 0;

	while (rc == 0 && json_points_next(&points, &point)) {
		char utf8[4] = {1, (char)(point + 1)};

		rc = qosid_buf_append(out, utf8, point <= 1 ? 2 : json_utf8_put(utf8, point), err);
	}
	return rc != 0 ? rc : qosid_buf_append_byte(out, 0, err);
}

static int string_key(
    struct collator *collator, struct json_slice string, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_points points = json_points_of(string);
	UChar *units;
	int32_t count = 0;
	int32_t room;
	int32_t needed;
	uint32_t point;
	int rc;

	qosid_buf_reset(&collator->utf16);
	rc = qosid_buf_reserve(&collator->utf16, string.len * sizeof(UChar), err);
	if (rc != 0)
		return rc;
	units = (UChar *)(void *)collator->utf16.data;
	while (json_points_next(&points, &point)) {
		if (point < 0x10000) {
			units[count++] = (UChar)point;
			continue;
		}
		units[count++] = (UChar)(0xd7c0 + (point >> 10));
		units[count++] = (UChar)(0xdc00 + (point & 0x3ff));
	}
	for (room = count * 2 + 32;; room = needed) {
		rc = qosid_buf_reserve(out, (size_t)room, err);
		if (rc != 0)
			return rc;
		needed = ucol_getSortKey(collator->icu, units, count, out->data + out->len, room);
		if (needed <= 0)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory while making a sort key");
		if (needed <= room)
			break;
	}
	out->len += (size_t)needed;
	out->data[out->len] = 0;
	return 0;
}

/* ---- values ---- */

static int compare_containers(
    struct collator *collator, struct json_slice a, struct json_slice b, int *order, struct qosid_errbuf *err)
{
	struct json_slice name_a;
	struct json_slice name_b;
	struct json_slice value_a;
	struct json_slice value_b;
	size_t at_a = 0;
	size_t at_b = 0;
	int rc = 0;

	*order = 0;
	while (rc == 0 && *order == 0) {
		bool more = json_next(a, &at_a, &name_a, &value_a);

		if (!json_next(b, &at_b, &name_b, &value_b)) {
			*order = more;
			break;
		}
		if (!more) {
			*order = -1;
			break;
		}
		if (name_a.len > 0)
			rc = compare_strings(collator, name_a, name_b, false, order, err);
		if (rc == 0 && *order == 0)
			rc = collate_compare(collator, value_a, value_b, false, order, err);
	}
	return rc;
}

int collate_compare(
    struct collator *collator, struct json_slice a, struct json_slice b, bool raw, int *order, struct qosid_errbuf *err)
{
	enum tag left = tag_of(a);
	enum tag right = tag_of(b);

	*order = 0;
	if (left != right) {
		*order = left < right ? -1 : 1;
		return 0;
	}
	switch (left) {
	case TAG_NUMBER:
		*order = collate_numbers(a, b);
		return 0;
	case TAG_STRING:
		return compare_strings(collator, a, b, raw, order, err);
	case TAG_ARRAY:
	case TAG_OBJECT:
		return compare_containers(collator, a, b, order, err);
	default:
		return 0;
	}
}

static int container_key(
    struct collator *collator, struct json_slice container, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_slice name;
	struct json_slice value;
	size_t position = 0;
	int rc = 0;

	while (rc == 0 && json_next(container, &position, &name, &value)) {
		if (name.len > 0)
			rc = collate_key(collator, name, false, out, err);
		if (rc == 0)
			rc = collate_key(collator, value, false, out, err);
	}
	return rc != 0 ? rc : qosid_buf_append_byte(out, TAG_END, err);
}

int collate_key(
    struct collator *collator, struct json_slice value, bool raw, struct qosid_buf *out, struct qosid_errbuf *err)
{
	enum tag tag = tag_of(value);
	int rc = qosid_buf_append_byte(out, (uint8_t)tag, err);

	if (rc != 0)
		return rc;
	switch (tag) {
	case TAG_NUMBER:
		return number_key(value, out, err);
	case TAG_STRING:
		return raw ? raw_key(value, out, err) : string_key(collator, value, out, err);
	case TAG_ARRAY:
	case TAG_OBJECT:
		return container_key(collator, value, out, err);
	default:
		return 0;
	}
}
