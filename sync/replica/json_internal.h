/*
 * What the JSON files of this folder share. Not for other layers.
 *
 * All functions but json_utf8_step() and json_is_utf8() take text that json_check() has accepted, so they need no error
 * returns and never look past the end of a slice.
 */
#ifndef QOSID_SYNC_REPLICA_JSON_INTERNAL_H
#define QOSID_SYNC_REPLICA_JSON_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sync/replica/json.h"

/* Skip bytes that stand for themselves in a string: ASCII but controls, quote and backslash. */
const char *json_skip_plain(const char *at, const char *end);

/* The length of the UTF-8 sequence at `at` (1 to 4), or 0 when it is not valid (RFC 3629). */
size_t json_utf8_step(const char *at, const char *end);
bool json_is_utf8(const char *text, size_t len);

const char *json_skip_space(const char *at, const char *end);

/* at is at the first byte of a value; returns the byte after it. */
const char *json_skip_value(const char *at, const char *end);

/* How many of len bytes to show in an error text: at most max, and no half of a UTF-8 sequence. */
int json_shown(const char *text, size_t len, size_t max);

/* The value of a hexadecimal digit, or -1. */
int json_hex_digit(char c);

/* The code points of a string slice, unescaped, one by one. */
struct json_points {
	const char *at;
	const char *end;
};
struct json_points json_points_of(struct json_slice string);
bool json_points_next(struct json_points *points, uint32_t *point);

/* Write a code point as UTF-8; returns the number of bytes. */
size_t json_utf8_put(char out[4], uint32_t point);

/* Whether a string slice holds a backslash. */
bool json_string_escaped(struct json_slice string);

/* Order two string slices by the UTF-16 code units they mean (RFC 8785 section 3.2.3): <0, 0, >0. */
int json_string_compare(struct json_slice a, struct json_slice b);

#endif
