/*
 * Reading checked JSON: bytes, strings, members. See json.h for the promises.
 */
#include <string.h>

#include "sync/replica/json.h"
#include "sync/replica/json_internal.h"

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

enum byte_class {
	CLASS_PLAIN = 1,     /* stands for itself in a string */
	CLASS_SPACE = 2,     /* white space between tokens */
	CLASS_DELIMITER = 4, /* ends a number or a word */
};

/* Bytes from 0x80 are of no class. */
/* clang-format off */
static const uint8_t byte_classes[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 6, 0, 0, 6, 0, 0, /* 0x00 */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 0x10 */
    7, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 1, 1, 1, /* 0x20 */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* 0x30 */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* 0x40 */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 5, 1, 1, /* 0x50 */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* 0x60 */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 1, 1, /* 0x70 */
};
/* clang-format on */

static bool is_class(char byte, enum byte_class class)
{
	return (byte_classes[(unsigned char)byte] & class) != 0;
}

/* Whether one of eight bytes is zero. */
static uint64_t find_zero(uint64_t word)
{
	return (word - ONES) & ~word & HIGHS;
}

const char *json_skip_plain(const char *at, const char *end)
{
	while (end - at >= 8) {
		uint64_t word;
		uint64_t control;

		memcpy(&word, at, sizeof(word));
		control = (word - ONES * 0x20) & ~word;
		if ((((control | word) & HIGHS) | find_zero(word ^ ONES * '"') | find_zero(word ^ ONES * '\\')) != 0)
			break;
		at += 8;
	}
	while (at < end && is_class(*at, CLASS_PLAIN))
		at++;
	return at;
}

const char *json_skip_space(const char *at, const char *end)
{
	while (at < end && is_class(*at, CLASS_SPACE))
		at++;
	return at;
}

static bool is_continuation(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

size_t json_utf8_step(const char *at, const char *end)
{
	unsigned char first = (unsigned char)at[0];
	unsigned char second;
	size_t left = (size_t)(end - at);

	if (first < 0x80)
		return 1;
	if (first < 0xc2 || left < 2 || !is_continuation(at[1]))
		return 0;
	if (first < 0xe0)
		return 2;
	second = (unsigned char)at[1];
	if (left < 3 || !is_continuation(at[2]))
		return 0;
	if (first < 0xf0) {
		/* Overlong forms and surrogates show in the second byte. */
		if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f))
			return 0;
		return 3;
	}
	if (left < 4 || !is_continuation(at[3]) || first > 0xf4)
		return 0;
	if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
		return 0;
	return 4;
}

bool json_is_utf8(const char *text, size_t len)
{
	const char *end = text + len;

	while (text < end) {
		size_t step = json_utf8_step(text, end);

		if (step == 0)
			return false;
		text += step;
	}
	return true;
}

size_t json_utf8_put(char out[4], uint32_t point)
{
	if (point < 0x80) {
		out[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (char)(0xc0 | point >> 6);
		out[1] = (char)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (char)(0xe0 | point >> 12);
		out[1] = (char)(0x80 | (point >> 6 & 0x3f));
		out[2] = (char)(0x80 | (point & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | point >> 18);
	out[1] = (char)(0x80 | (point >> 12 & 0x3f));
	out[2] = (char)(0x80 | (point >> 6 & 0x3f));
	out[3] = (char)(0x80 | (point & 0x3f));
	return 4;
}

int json_shown(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return (int)len;
	while (max > 0 && is_continuation(text[max]))
		max--;
	return (int)max;
}

int json_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* ---- values and members ---- */

/* at is behind the opening quote; returns the byte after the closing one. */
static const char *skip_string(const char *at, const char *end)
{
	for (;;) {
		while (end - at >= 8) {
			uint64_t word;

			memcpy(&word, at, sizeof(word));
			if ((find_zero(word ^ ONES * '"') | find_zero(word ^ ONES * '\\')) != 0)
				break;
			at += 8;
		}
		while (at < end && *at != '"' && *at != '\\')
			at++;
		if (at == end)
			return end;
		if (*at == '"')
			return at + 1;
		at = end - at > 2 ? at + 2 : end;
	}
}

const char *json_skip_value(const char *at, const char *end)
{
	unsigned depth = 0;

	do {
		switch (at < end ? *at : '\0') {
		case '"':
			at = skip_string(at + 1, end);
			break;
		case '{':
		case '[':
			depth++;
			at++;
			break;
		case '}':
		case ']':
			depth--;
			at++;
			break;
		case ',':
		case ':':
			at++;
			break;
		default:
			while (at < end && !is_class(*at, CLASS_DELIMITER))
				at++;
		}
		if (depth > 0)
			at = json_skip_space(at, end);
	} while (depth > 0 && at < end);
	return at;
}

enum json_kind json_slice_kind(struct json_slice value)
{
	const char *end = value.text + value.len;
	const char *at = json_skip_space(value.text, end);

	switch (at < end ? *at : 'n') {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
		return JSON_TRUE;
	case 'f':
		return JSON_FALSE;
	case 'n':
		return JSON_NULL;
	default:
		return JSON_NUMBER;
	}
}

bool json_next(struct json_slice container, size_t *position, struct json_slice *name, struct json_slice *value)
{
	const char *end = container.text + container.len;
	const char *at = json_skip_space(container.text + *position, end);
	const char *begin;

	/* Here is the opening bracket (at the start), a comma, or the closing bracket (after the last). */
	if (at == end || *at == '}' || *at == ']')
		return false;
	at = json_skip_space(at + 1, end);
	if (at == end || *at == '}' || *at == ']')
		return false;
	*name = (struct json_slice){at, 0};
	begin = at;
	at = json_skip_value(at, end);
	*value = (struct json_slice){begin, (size_t)(at - begin)};
	*position = (size_t)(at - container.text);
	at = json_skip_space(at, end);
	if (at == end || *at != ':')
		return true;
	*name = *value;
	begin = json_skip_space(at + 1, end);
	at = json_skip_value(begin, end);
	*value = (struct json_slice){begin, (size_t)(at - begin)};
	*position = (size_t)(at - container.text);
	return true;
}

bool json_find(struct json_slice object, const char *name, struct json_slice *value)
{
	struct json_slice member;
	struct json_slice found;
	size_t position = 0;

	while (json_next(object, &position, &member, &found)) {
		if (json_string_equal(member, name)) {
			*value = found;
			return true;
		}
	}
	return false;
}

/* ---- strings ---- */

bool json_string_escaped(struct json_slice string)
{
	return memchr(string.text, '\\', string.len) != NULL;
}

struct json_points json_points_of(struct json_slice string)
{
	return (struct json_points){string.text + 1, string.text + string.len - 1};
}

static uint32_t read_unit(const char *at)
{
	uint32_t unit = 0;

	for (int i = 0; i < 4; i++)
		unit = unit << 4 | (uint32_t)json_hex_digit(at[i]);
	return unit;
}

/* points->at is behind a backslash. */
static uint32_t next_escaped(struct json_points *points)
{
	char c = *points->at++;
	uint32_t unit;

	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'u':
		break;
	default:
		return (unsigned char)c;
	}
	unit = read_unit(points->at);
	points->at += 4;
	if (unit >= 0xd800 && unit <= 0xdbff) {
		unit = 0x10000 + ((unit - 0xd800) << 10) + (read_unit(points->at + 2) - 0xdc00);
		points->at += 6;
	}
	return unit;
}

bool json_points_next(struct json_points *points, uint32_t *point)
{
	unsigned char first;
	unsigned more;
	uint32_t value;

	if (points->at >= points->end)
		return false;
	first = (unsigned char)*points->at++;
	if (first == '\\') {
		*point = next_escaped(points);
		return true;
	}
	if (first < 0x80) {
		*point = first;
		return true;
	}
	more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
	value = first & (0x3fu >> more);
	while (more-- > 0)
		value = value << 6 | ((unsigned char)*points->at++ & 0x3f);
	*point = value;
	return true;
}

/* Above the surrogates' code units lie those of U+E000 to U+FFFF: move these up past all that need pairs. */
static uint32_t utf16_rank(uint32_t point)
{
	return point >= 0xe000 && point <= 0xffff ? point + 0x200000 : point;
}

int json_string_compare(struct json_slice a, struct json_slice b)
{
	struct json_points left = json_points_of(a);
	struct json_points right = json_points_of(b);
	uint32_t x;
	uint32_t y;

	for (;;) {
		bool more = json_points_next(&left, &x);

		if (!json_points_next(&right, &y))
			return more ? 1 : 0;
		if (!more)
			return -1;
		if (x != y)
			return utf16_rank(x) < utf16_rank(y) ? -1 : 1;
	}
}

bool json_string_equal(struct json_slice string, const char *text)
{
	size_t len = strlen(text);
	struct json_points points;
	uint32_t point;

	if (!json_string_escaped(string))
		return string.len == len + 2 && memcmp(string.text + 1, text, len) == 0;
	points = json_points_of(string);
	while (json_points_next(&points, &point)) {
		char utf8[4];
		size_t step = json_utf8_put(utf8, point);

		if (step > len || memcmp(text, utf8, step) != 0)
			return false;
		text += step;
		len -= step;
	}
	return len == 0;
}

int json_string_decode(struct json_slice string, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_points points = json_points_of(string);
	size_t before = out->len;
	uint32_t point;
	int rc;

	/* Unescaping never makes a text longer. */
	rc = qosid_buf_reserve(out, string.len, err);
	while (rc == 0 && points.at < points.end) {
		const char *escape = memchr(points.at, '\\', (size_t)(points.end - points.at));
		const char *stop = escape != NULL ? escape : points.end;
		char utf8[4];

		rc = qosid_buf_append(out, points.at, (size_t)(stop - points.at), err);
		points.at = stop;
		if (rc == 0 && escape != NULL && json_points_next(&points, &point))
			rc = qosid_buf_append(out, utf8, json_utf8_put(utf8, point), err);
	}
	if (rc != 0)
		qosid_buf_cut(out, before);
	return rc;
}

static int append_escape(struct qosid_buf *out, char c, struct qosid_errbuf *err)
{
	static const char named[] = "\"\\\b\t\n\f\r";
	static const char letters[] = "\"\\btnfr";
	static const char hex[] = "0123456789abcdef";
	const char *found = c != '\0' ? strchr(named, c) : NULL;
	char escape[6] = {'\\', 'u', '0', '0'};

	if (found != NULL) {
		escape[1] = letters[found - named];
		return qosid_buf_append(out, escape, 2, err);
	}
	escape[4] = hex[(unsigned char)c >> 4];
	escape[5] = hex[c & 0xf];
	return qosid_buf_append(out, escape, sizeof(escape), err);
}

int json_string_encode(struct qosid_buf *out, const char *text, size_t len, struct qosid_errbuf *err)
{
	size_t before = out->len;
	const char *end = text + len;
	int rc;

	rc = qosid_buf_reserve(out, len + 2, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(out, '"', err);
	while (rc == 0 && text < end) {
		const char *stop = json_skip_plain(text, end);

		while (stop < end && (unsigned char)*stop >= 0x80)
			stop = json_skip_plain(stop + 1, end);
		rc = qosid_buf_append(out, text, (size_t)(stop - text), err);
		text = stop;
		if (rc == 0 && text < end)
			rc = append_escape(out, *text++, err);
	}
	if (rc == 0)
		rc = qosid_buf_append_byte(out, '"', err);
	if (rc != 0)
		qosid_buf_cut(out, before);
	return rc;
}

int json_parse_unsigned(
    struct json_slice value, unsigned long long max, unsigned long long *out, struct qosid_errbuf *err)
{
	unsigned long long number = 0;

	for (size_t i = 0; i < value.len; i++) {
		unsigned digit = (unsigned)(unsigned char)value.text[i] - '0';

		if (digit > 9)
			return qosid_error(err, QOSID_ERR_INVALID, "a whole number without sign is expected, not %.*s",
			    json_shown(value.text, value.len, 40), value.text);
		if (number > max / 10 || digit > max - number * 10)
			return qosid_error(err, QOSID_ERR_INVALID, "the number %.*s is larger than %llu",
			    json_shown(value.text, value.len, 40), value.text, max);
		number = number * 10 + digit;
	}
	if (value.len == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "a whole number is expected");
	*out = number;
	return 0;
}
