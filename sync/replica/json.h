/*
 * JSON as text: a validating scanner that never turns a body into a lossy tree.
 *
 * json_check() accepts exactly RFC 8259 with these additions: valid UTF-8 (no surrogates, no overlong forms, no lone
 * \ud800 escapes), no duplicate member names (compared after unescaping), nesting of at most LIMIT_JSON_DEPTH, nothing
 * after the value but white space. Errors are QOSID_ERR_INVALID (QOSID_ERR_LIMIT for depth) with "line L, column C" in
 * err->where; columns count bytes, from 1. All other functions take text that json_check() has accepted and allocate
 * nothing unless they say so.
 */
#ifndef QOSID_SYNC_REPLICA_JSON_H
#define QOSID_SYNC_REPLICA_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "crypto/buf.h"
#include "crypto/error.h"

struct json_slice {
	const char *text; /* not NUL-terminated; points into the checked text */
	size_t len;
};

enum json_kind { JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL };

int json_check(const char *text, size_t len, struct qosid_errbuf *err);

/* As json_check(), and the value must be an object. *value is it, without the white space around it. */
int json_check_object(const char *text, size_t len, struct json_slice *value, struct qosid_errbuf *err);

/* The members of an object, in their order. name includes its quotes; value has no white space around it. Starts as
 * {0}, may be used again, ends with json_members_free(). */
struct json_member {
	struct json_slice name;
	struct json_slice value;
};
struct json_members {
	struct json_member *list;
	size_t count;
	size_t capacity;
};

/* As json_check_object(), and lists the object's members, so that the text need not be read again. Allocates. */
int json_check_members(const char *text, size_t len, struct json_members *members, struct qosid_errbuf *err);
void json_members_free(struct json_members *members);

/* The kind of a checked value (leading white space allowed). */
enum json_kind json_slice_kind(struct json_slice value);

/* Walk the members of an object, or the elements of an array (name is then empty). Start with position 0. Returns false
 * at the end. name includes its quotes; value has no white space around it. */
bool json_next(struct json_slice container, size_t *position, struct json_slice *name, struct json_slice *value);

/* Whether a string slice (with quotes, maybe with escapes) means exactly this UTF-8 text. */
bool json_string_equal(struct json_slice string, const char *text);

/* Find a member by its unescaped name. */
bool json_find(struct json_slice object, const char *name, struct json_slice *value);

/* Append the unescaped UTF-8 of a string slice. A \u0000 becomes a NUL byte; callers that want C strings check for it.
 */
int json_string_decode(struct json_slice string, struct qosid_buf *out, struct qosid_errbuf *err);

/* Append text as a JSON string with quotes, minimally escaped (RFC 8785 section 3.2.2.2). text must be valid UTF-8. */
int json_string_encode(struct qosid_buf *out, const char *text, size_t len, struct qosid_errbuf *err);

/* Read an integer without sign, fraction or exponent of at most max; anything else is QOSID_ERR_INVALID. */
int json_parse_unsigned(
    struct json_slice value, unsigned long long max, unsigned long long *out, struct qosid_errbuf *err);

/* Append the canonical form: RFC 8785 member order and string escaping, no white space, numbers exactly as written (so
 * that 1, 1.0 and integers beyond 2^53 stay apart). Allocates while it sorts. */
int json_canonicalize(struct json_slice value, struct qosid_buf *out, struct qosid_errbuf *err);

#endif
