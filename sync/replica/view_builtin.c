/*
 * CouchDB's own reduce functions: _sum, _count, _stats, _approx_count_distinct.
 *
 * Integers are summed exactly as long as they fit 64 bits, all else as doubles. A value of a wrong type makes the
 * result an object {"error":"builtin_reduce_error",...}, as in CouchDB's _sum, which outlives further reductions; it
 * spoils its own range only. Distinct keys are estimated by HyperLogLog with 2^11 registers, 2 % off, as in CouchDB.
 */
#include <inttypes.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/replica/view_internal.h"

#define SUM_REASON                                                                                                     \
	"The _sum function requires that map values be numbers, arrays of numbers, or objects of them, and not mixed"
#define STATS_REASON "The _stats function requires that map values be numbers or arrays of numbers"
#define CAUSE_BYTES 1000 /* a longer value is not repeated in the error */
#define DEPTH_MAX 32     /* of objects that are summed */

static bool next_value(struct json_slice list, size_t *position, struct json_slice *value)
{
	struct json_slice name;

	return json_next(list, position, &name, value);
}

/* ---- numbers ---- */

struct number {
	bool exact;
	int64_t integer;
	double real; /* the same as far as a double can */
};

static struct number number_of(int64_t integer)
{
	return (struct number){true, integer, (double)integer};
}

static struct number read_number(struct json_slice text)
{
	struct number out = {0};
	char plain[400];
	size_t len = text.len < sizeof(plain) ? text.len : sizeof(plain) - 1;

	memcpy(plain, text.text, len);
	plain[len] = '\0';
	out.real = strtod(plain, NULL);
	if (text.len < 19 && strpbrk(plain, ".eE") == NULL)
		out = number_of(strtoll(plain, NULL, 10));
	return out;
}

static struct number add(struct number a, struct number b)
{
	struct number out = {.real = a.real + b.real};

	if (a.exact && b.exact && !__builtin_add_overflow(a.integer, b.integer, &out.integer))
		return number_of(out.integer);
	return out;
}

static struct number square(struct number a)
{
	struct number out = {.real = a.real * a.real};

	if (a.exact && !__builtin_mul_overflow(a.integer, a.integer, &out.integer))
		return number_of(out.integer);
	return out;
}

static bool is_less(struct number a, struct number b)
{
	return a.exact && b.exact ? a.integer < b.integer : a.real < b.real;
}

/* The shortest text that reads back the same; a real number keeps a point or an exponent. */
static int write_number(struct qosid_buf *out, struct number number, struct qosid_errbuf *err)
{
	char text[40];

	if (number.exact)
		return qosid_buf_append_format(out, err, "%" PRId64, number.integer);
	if (!isfinite(number.real))
		return qosid_buf_append_text(
		    out, number.real > 0 ? "1.7976931348623157e308" : "-1.7976931348623157e308", err);
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, number.real);
		if (strtod(text, NULL) == number.real)
			break;
	}
	return qosid_buf_append_format(out, err, "%s%s", text, strpbrk(text, ".e") == NULL ? ".0" : "");
}

/* ---- errors within values ---- */

static bool is_failure(struct json_slice value)
{
	struct json_slice error;

	return json_slice_kind(value) == JSON_OBJECT && json_find(value, "error", &error) &&
	       json_string_equal(error, "builtin_reduce_error");
}

static int write_failure(struct qosid_buf *out, const char *reason, struct json_slice cause, struct qosid_errbuf *err)
{
	return qosid_buf_append_format(out, err,
	    "{\"error\":\"builtin_reduce_error\",\"reason\":\"%s\",\"caused_by\":%.*s}", reason,
	    cause.len <= CAUSE_BYTES ? (int)cause.len : 4, cause.len <= CAUSE_BYTES ? cause.text : "null");
}

/* ---- _sum ---- */

static int sum_pair(
    struct json_slice a, struct json_slice b, int depth, struct qosid_buf *out, struct qosid_errbuf *err);

/* Elements one by one; those of the longer one remain. */
static int sum_arrays(struct json_slice a, struct json_slice b, struct qosid_buf *out, struct qosid_errbuf *err)
{
	static const struct json_slice zero = {"0", 1};
	struct json_slice name;
	struct json_slice x;
	struct json_slice y;
	size_t at_a = 0;
	size_t at_b = 0;
	const char *separator = "[";
	int rc = 0;

	for (;;) {
		bool has_x = json_next(a, &at_a, &name, &x);
		bool has_y = json_next(b, &at_b, &name, &y);

		if (!has_x && !has_y)
			break;
		if ((has_x && json_slice_kind(x) != JSON_NUMBER) || (has_y && json_slice_kind(y) != JSON_NUMBER))
			return QOSID_ERR_INVALID;
		rc = qosid_buf_append_text(out, separator, err);
		if (rc == 0)
			rc = write_number(out, add(read_number(has_x ? x : zero), read_number(has_y ? y : zero)), err);
		if (rc != 0)
			return rc;
		separator = ",";
	}
	return qosid_buf_append_text(out, *separator == '[' ? "[]" : "]", err);
}

static bool find_same(struct json_slice object, struct json_slice name, struct json_slice *value)
{
	struct json_slice other;
	size_t position = 0;

	while (json_next(object, &position, &other, value)) {
		if (other.len == name.len && memcmp(other.text, name.text, name.len) == 0)
			return true;
	}
	return false;
}

static int append_name(struct qosid_buf *out, struct json_slice name, const char *separator, struct qosid_errbuf *err)
{
	return qosid_buf_append_format(out, err, "%s%.*s:", separator, (int)name.len, name.text);
}

static int sum_objects(
    struct json_slice a, struct json_slice b, int depth, struct qosid_buf *out, struct qosid_errbuf *err)
{
	static const struct json_slice none = {"", 0};
	struct json_slice name;
	struct json_slice x;
	struct json_slice y;
	const char *separator = "{";
	int rc = 0;

	for (size_t at = 0; rc == 0 && json_next(a, &at, &name, &x); separator = ",") {
		rc = append_name(out, name, separator, err);
		if (rc == 0)
			rc = sum_pair(x, find_same(b, name, &y) ? y : none, depth + 1, out, err);
	}
	for (size_t at = 0; rc == 0 && json_next(b, &at, &name, &y);) {
		if (find_same(a, name, &x))
			continue;
		rc = append_name(out, name, separator, err);
		if (rc == 0)
			rc = sum_pair(y, none, depth + 1, out, err);
		separator = ",";
	}
	return rc != 0 ? rc : qosid_buf_append_text(out, *separator == '{' ? "{}" : "}", err);
}

/* b may be nothing at all (len 0). QOSID_ERR_INVALID without a text: these cannot be summed. */
static int sum_pair(
    struct json_slice a, struct json_slice b, int depth, struct qosid_buf *out, struct qosid_errbuf *err)
{
	enum json_kind kind_a = json_slice_kind(a);
	enum json_kind kind_b = b.len > 0 ? json_slice_kind(b) : kind_a;
	struct qosid_buf array = {0};
	int rc;

	if (depth > DEPTH_MAX)
		return QOSID_ERR_INVALID;
	if (kind_a == JSON_NUMBER && kind_b == JSON_NUMBER)
		return write_number(out, b.len > 0 ? add(read_number(a), read_number(b)) : read_number(a), err);
	if (kind_a == JSON_OBJECT && kind_b == JSON_OBJECT)
		return sum_objects(a, b.len > 0 ? b : (struct json_slice){"{}", 2}, depth, out, err);
	if (kind_a == JSON_ARRAY && kind_b == JSON_ARRAY)
		return sum_arrays(a, b.len > 0 ? b : (struct json_slice){"[]", 2}, out, err);
	if (kind_a == JSON_NUMBER && kind_b == JSON_ARRAY)
		return sum_pair(b, a, depth, out, err);
	if (kind_a != JSON_ARRAY || kind_b != JSON_NUMBER)
		return QOSID_ERR_INVALID;
	rc = qosid_buf_append_format(&array, err, "[%.*s]", (int)b.len, b.text);
	if (rc == 0)
		rc = sum_arrays(a, (struct json_slice){(const char *)array.data, array.len}, out, err);
	qosid_buf_free(&array);
	return rc;
}

static int sum_list(struct json_slice list, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct qosid_buf sum = {0};
	struct qosid_buf next = {0};
	struct number total = number_of(0);
	struct json_slice value;
	size_t position = 0;
	bool plain = true;
	int rc = 0;

	while (rc == 0 && next_value(list, &position, &value)) {
		if (is_failure(value)) {
			rc = qosid_buf_append(out, value.text, value.len, err);
			goto out;
		}
		if (plain && json_slice_kind(value) == JSON_NUMBER) {
			total = add(total, read_number(value));
			continue;
		}
		if (plain && total.real != 0)
			rc = write_number(&sum, total, err);
		plain = false;
		qosid_buf_reset(&next);
		if (rc == 0 && sum.len > 0)
			rc = sum_pair((struct json_slice){(const char *)sum.data, sum.len}, value, 0, &next, err);
		else if (rc == 0)
			rc = sum_pair(value, (struct json_slice){"", 0}, 0, &next, err);
		if (rc == QOSID_ERR_INVALID) {
			rc = write_failure(out, SUM_REASON, value, err);
			goto out;
		}
		struct qosid_buf swap = sum;
		sum = next;
		next = swap;
	}
	if (rc == 0)
		rc = plain ? write_number(out, total, err) : qosid_buf_append(out, sum.data, sum.len, err);
out:
	qosid_buf_free(&sum);
	qosid_buf_free(&next);
	return rc;
}

/* ---- _stats ---- */

#define STATS_MAX 1000 /* elements of array values */

struct stats {
	struct number sum;
	struct number count;
	struct number min;
	struct number max;
	struct number squares;
};

static void merge_stats(struct stats *to, const struct stats *from)
{
	if (to->count.integer == 0 && to->count.exact) {
		*to = *from;
		return;
	}
	to->sum = add(to->sum, from->sum);
	to->count = add(to->count, from->count);
	to->squares = add(to->squares, from->squares);
	if (is_less(from->min, to->min))
		to->min = from->min;
	if (is_less(to->max, from->max))
		to->max = from->max;
}

/* A number, or what somebody has counted before. */
static bool read_stats(struct json_slice value, struct stats *out)
{
	static const char *const names[] = {"sum", "count", "min", "max", "sumsqr"};
	struct number *const fields[] = {&out->sum, &out->count, &out->min, &out->max, &out->squares};
	struct json_slice field;

	if (json_slice_kind(value) == JSON_NUMBER) {
		struct number number = read_number(value);

		*out = (struct stats){number, number_of(1), number, number, square(number)};
		return true;
	}
	if (json_slice_kind(value) != JSON_OBJECT)
		return false;
	for (size_t i = 0; i < 5; i++) {
		if (!json_find(value, names[i], &field) || json_slice_kind(field) != JSON_NUMBER)
			return false;
		*fields[i] = read_number(field);
	}
	return true;
}

static int write_stats(struct qosid_buf *out, const struct stats *stats, struct qosid_errbuf *err)
{
	static const char *const names[] = {"{\"sum\":", ",\"count\":", ",\"min\":", ",\"max\":", ",\"sumsqr\":"};
	const struct number *const fields[] = {&stats->sum, &stats->count, &stats->min, &stats->max, &stats->squares};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < 5; i++) {
		rc = qosid_buf_append_text(out, names[i], err);
		if (rc == 0)
			rc = write_number(out, *fields[i], err);
	}
	return rc != 0 ? rc : qosid_buf_append_byte(out, '}', err);
}

/* Take one value in: a single one, or an array of the same length as all others. */
static bool take_stats(struct stats *all, size_t *count, bool *array, struct json_slice value)
{
	struct json_slice name;
	struct json_slice element;
	struct stats one;
	size_t position = 0;
	size_t i = 0;
	bool first = *count == 0;
	bool is_array = json_slice_kind(value) == JSON_ARRAY;

	if (!first && is_array != *array)
		return false;
	*array = is_array;
	if (!is_array) {
		if (!read_stats(value, &one))
			return false;
		*count = 1;
		merge_stats(&all[0], &one);
		return true;
	}
	while (json_next(value, &position, &name, &element)) {
		if (i == STATS_MAX || (!first && i == *count) || !read_stats(element, &one))
			return false;
		merge_stats(&all[i++], &one);
	}
	if (!first && i != *count)
		return false;
	*count = i;
	return i > 0;
}

static int stats_list(struct json_slice list, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct stats *all = calloc(STATS_MAX, sizeof(*all));
	struct json_slice value;
	size_t position = 0;
	size_t count = 0;
	bool array = false;
	int rc = 0;

	if (all == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < STATS_MAX; i++)
		all[i].count = number_of(0);
	while (next_value(list, &position, &value)) {
		if (is_failure(value))
			rc = qosid_buf_append(out, value.text, value.len, err);
		else if (!take_stats(all, &count, &array, value))
			rc = write_failure(out, STATS_REASON, value, err);
		else
			continue;
		goto out;
	}
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (array)
			rc = qosid_buf_append_byte(out, i == 0 ? '[' : ',', err);
		if (rc == 0)
			rc = write_stats(out, &all[i], err);
	}
	if (rc == 0 && array)
		rc = qosid_buf_append_byte(out, ']', err);
out:
	free(all);
	return rc;
}

/* ---- _approx_count_distinct ---- */

#define REGISTER_BITS 11
#define REGISTERS (1u << REGISTER_BITS)

/* 26 letters, so that none needs an escape: a rank above 25 comes once in 30 million keys a register. */
#define RANK_MAX 25

/* A reduction is a string of a letter for each register. */
static int write_registers(struct qosid_buf *out, const uint8_t registers[REGISTERS], struct qosid_errbuf *err)
{
	char text[REGISTERS + 3];

	text[0] = text[REGISTERS + 1] = '"';
	text[REGISTERS + 2] = '\0';
	for (size_t i = 0; i < REGISTERS; i++)
		text[i + 1] = (char)('A' + registers[i]); /* at most 'Z': see RANK_MAX */
	return qosid_buf_append_text(out, text, err);
}

static void put_hash(uint8_t registers[REGISTERS], uint64_t hash)
{
	size_t at = hash >> (64 - REGISTER_BITS);
	uint64_t rest = hash << REGISTER_BITS;
	int rank = rest == 0 ? RANK_MAX : __builtin_clzll(rest) + 1;

	if (rank > RANK_MAX)
		rank = RANK_MAX;
	if (registers[at] < rank)
		registers[at] = (uint8_t)rank;
}

static int distinct_list(
    struct collator *collator, struct json_slice list, struct qosid_buf *out, struct qosid_errbuf *err)
{
	uint8_t registers[REGISTERS] = {0};
	struct qosid_buf key = {0};
	struct json_slice value;
	size_t position = 0;
	int rc = 0;

	while (rc == 0 && next_value(list, &position, &value)) {
		uint8_t bytes[16];
		uint64_t hash;

		qosid_buf_reset(&key);
		rc = collate_key(collator, value, false, &key, err);
		if (rc != 0)
			break;
		(void)crypto_generichash(bytes, sizeof(bytes), key.data, key.len, NULL, 0); /* fits */
		memcpy(&hash, bytes, sizeof(hash));
		put_hash(registers, hash);
	}
	qosid_buf_wipe(&key);
	return rc != 0 ? rc : write_registers(out, registers, err);
}

static void merge_registers(uint8_t registers[REGISTERS], struct json_slice value)
{
	if (value.len != REGISTERS + 2)
		return;
	for (size_t i = 0; i < REGISTERS; i++) {
		int rank = value.text[i + 1] - 'A';

		if (rank > registers[i] && rank <= RANK_MAX)
			registers[i] = (uint8_t)rank;
	}
}

static int64_t estimate(const uint8_t registers[REGISTERS])
{
	const double m = REGISTERS;
	double sum = 0;
	double raw;
	unsigned empty = 0;

	for (size_t i = 0; i < REGISTERS; i++) {
		sum += 1.0 / (double)(1ull << registers[i]);
		empty += registers[i] == 0;
	}
	raw = 0.7213 / (1 + 1.079 / m) * m * m / sum;
	if (raw <= 2.5 * m && empty > 0)
		raw = m * log(m / empty);
	return (int64_t)(raw + 0.5);
}

/* ---- all of them ---- */

int view_builtin_reduce(enum view_reducer reducer, struct collator *collator, struct json_slice list, size_t count,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	switch (reducer) {
	case REDUCER_SUM:
		return sum_list(list, out, err);
	case REDUCER_STATS:
		return stats_list(list, out, err);
	case REDUCER_DISTINCT:
		return distinct_list(collator, list, out, err);
	default:
		return qosid_buf_append_format(out, err, "%zu", count);
	}
}

int view_builtin_rereduce(
    enum view_reducer reducer, struct json_slice list, struct qosid_buf *out, struct qosid_errbuf *err)
{
	uint8_t registers[REGISTERS] = {0};
	struct json_slice value;
	size_t position = 0;

	if (reducer == REDUCER_STATS)
		return stats_list(list, out, err);
	if (reducer != REDUCER_DISTINCT)
		return sum_list(list, out, err);
	while (next_value(list, &position, &value))
		merge_registers(registers, value);
	return write_registers(out, registers, err);
}

int view_builtin_finish(
    enum view_reducer reducer, struct json_slice value, struct qosid_buf *out, struct qosid_errbuf *err)
{
	uint8_t registers[REGISTERS] = {0};

	if (reducer != REDUCER_DISTINCT)
		return qosid_buf_append(out, value.text, value.len, err);
	merge_registers(registers, value);
	return qosid_buf_append_format(out, err, "%" PRId64, estimate(registers));
}
