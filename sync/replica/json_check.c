/*
 * json_check(): one pass over the text with an explicit stack of open containers, so that depth costs no C stack.
 *
 * Member names of all open objects lie on one stack too. An object of a few members is compared name by name as it is
 * read; a larger one is sorted when it closes, so hostile objects cost n log n.
 */
#include "sync/replica/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sync/limits.h"
#include "sync/replica/json_internal.h"

#define NAMES_FEW 32    /* kept without allocating */
#define NAMES_LINEAR 32 /* compared one by one */

struct name {
	uint64_t tag; /* equal for equal names; rarely equal for others */
	struct json_slice string;
};

struct level {
	bool object;
	size_t first; /* of its names on the stack of names */
};

struct checker {
	const char *text;
	const char *at;
	const char *end;
	struct qosid_errbuf *err;
	struct json_members *members; /* of the outermost object, where they are wanted; else NULL */
	struct name *names;
	size_t name_count;
	size_t name_capacity;
	unsigned depth;
	struct level levels[LIMIT_JSON_DEPTH];
	struct name few[NAMES_FEW];
};

/* Put line and column of a byte into the error just made. */
static int at_place(struct checker *c, const char *place, int code)
{
	size_t line = 1;
	const char *begin = c->text;
	const char *newline;

	while ((newline = memchr(begin, '\n', (size_t)(place - begin))) != NULL) {
		begin = newline + 1;
		line++;
	}
	(void)qosid_error_within(c->err, "line %zu, column %zu", line, (size_t)(place - begin) + 1);
	return code;
}

static int refuse(struct checker *c, const char *place, const char *what)
{
	if (place >= c->end)
		return at_place(c, c->end,
		    qosid_error(c->err, QOSID_ERR_INVALID, "invalid JSON: the text ends too early, %s", what));
	return at_place(c, place, qosid_error(c->err, QOSID_ERR_INVALID, "invalid JSON: %s", what));
}

static bool read_hex4(const char *at, const char *end, uint32_t *out)
{
	uint32_t value = 0;

	if (end - at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		int digit = json_hex_digit(at[i]);

		if (digit < 0)
			return false;
		value = value << 4 | (uint32_t)digit;
	}
	*out = value;
	return true;
}

/* c->at is at a backslash. */
static int check_escape(struct checker *c)
{
	const char *at = c->at;
	uint32_t unit;
	uint32_t low;

	if (c->end - at < 2)
		return refuse(c, c->end, "inside an escape");
	if (at[1] != 'u') {
		if (at[1] == '\0' || strchr("\"\\/bfnrt", at[1]) == NULL)
			return refuse(c, at, "no such escape in a string");
		c->at = at + 2;
		return 0;
	}
	if (!read_hex4(at + 2, c->end, &unit))
		return refuse(c, at, "\\u needs four hexadecimal digits");
	c->at = at + 6;
	if (unit < 0xd800 || unit > 0xdfff)
		return 0;
	if (unit >= 0xdc00 || c->end - c->at < 6 || c->at[0] != '\\' || c->at[1] != 'u' ||
	    !read_hex4(c->at + 2, c->end, &low) || low < 0xdc00 || low > 0xdfff)
		return refuse(c, at, "half of a surrogate pair stands alone");
	c->at += 6;
	return 0;
}

/* c->at is at the opening quote; afterwards behind the closing one. */
static int check_string(struct checker *c)
{
	c->at++;
	for (;;) {
		const char *at = json_skip_plain(c->at, c->end);
		size_t step;
		int rc;

		c->at = at;
		if (at == c->end)
			return refuse(c, at, "inside a string");
		if (*at == '"') {
			c->at = at + 1;
			return 0;
		}
		if (*at == '\\') {
			rc = check_escape(c);
			if (rc != 0)
				return rc;
			continue;
		}
		if ((unsigned char)*at < 0x20)
			return at_place(c, at,
			    qosid_error(c->err, QOSID_ERR_INVALID,
				"invalid JSON: control character 0x%02x must be escaped in a string",
				(unsigned)(unsigned char)*at));
		do {
			step = json_utf8_step(at, c->end);
			if (step == 0)
				return refuse(c, at, "a string is not valid UTF-8");
			at += step;
		} while (at < c->end && (unsigned char)*at >= 0x80);
		c->at = at;
	}
}

static const char *skip_digits(const char *at, const char *end)
{
	while (at < end && *at >= '0' && *at <= '9')
		at++;
	return at;
}

static int check_number(struct checker *c)
{
	const char *at = c->at;
	const char *digits;

	if (*at == '-')
		at++;
	digits = at;
	at = skip_digits(at, c->end);
	if (at == digits)
		return refuse(c, at, "a digit must follow the minus sign");
	if (*digits == '0' && at > digits + 1)
		return refuse(c, digits, "a number must not begin with a zero");
	if (at < c->end && *at == '.') {
		digits = ++at;
		at = skip_digits(at, c->end);
		if (at == digits)
			return refuse(c, at, "a digit must follow the decimal point");
	}
	if (at < c->end && (*at == 'e' || *at == 'E')) {
		at++;
		if (at < c->end && (*at == '+' || *at == '-'))
			at++;
		digits = at;
		at = skip_digits(at, c->end);
		if (at == digits)
			return refuse(c, at, "an exponent needs a digit");
	}
	c->at = at;
	return 0;
}

static int check_word(struct checker *c, const char *word, size_t len)
{
	if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
		return refuse(c, c->at, "a value is expected here");
	c->at += len;
	return 0;
}

static uint64_t compute_tag(struct json_slice string)
{
	char first[8] = {0};
	uint64_t head;
	size_t len = 0;

	if (json_string_escaped(string)) {
		struct json_points points = json_points_of(string);
		uint32_t point;

		while (json_points_next(&points, &point)) {
			char utf8[4];
			size_t step = json_utf8_put(utf8, point);

			for (size_t i = 0; i < step && len + i < sizeof(first); i++)
				first[len + i] = utf8[i];
			len += step;
		}
	} else {
		len = string.len - 2;
		for (size_t i = 0; i < len && i < sizeof(first); i++)
			first[i] = string.text[i + 1];
	}
	memcpy(&head, first, sizeof(head));
	return head ^ (uint64_t)len << 56;
}

static int refuse_duplicate(struct checker *c, const struct name *name)
{
	return at_place(c, name->string.text,
	    qosid_error(c->err, QOSID_ERR_INVALID, "invalid JSON: the member %.*s occurs twice in one object",
		json_shown(name->string.text, name->string.len, 100), name->string.text));
}

static int grow_names(struct checker *c)
{
	size_t capacity = c->name_capacity * 2;
	struct name *names = c->names == c->few ? NULL : c->names;

	names = realloc(names, capacity * sizeof(*names));
	if (names == NULL)
		return qosid_error(c->err, QOSID_ERR_NOMEM, "out of memory while checking JSON");
	if (c->names == c->few)
		memcpy(names, c->few, sizeof(c->few));
	c->names = names;
	c->name_capacity = capacity;
	return 0;
}

static int push_member(struct checker *c, struct json_slice name)
{
	struct json_members *members = c->members;

	if (members->count == members->capacity) {
		size_t capacity = members->capacity > 0 ? members->capacity * 2 : 32;
		struct json_member *list = realloc(members->list, capacity * sizeof(*list));

		if (list == NULL)
			return qosid_error(c->err, QOSID_ERR_NOMEM, "out of memory while checking JSON");
		members->list = list;
		members->capacity = capacity;
	}
	members->list[members->count++] = (struct json_member){.name = name};
	return 0;
}

/* A value begins at c->at; or it has just ended there, when end is set. Note that of a listed member. */
static void mark_value(struct checker *c, bool end)
{
	struct json_member *member;

	if (c->members == NULL || c->depth != 1 || c->members->count == 0)
		return;
	member = &c->members->list[c->members->count - 1];
	if (end)
		member->value.len = (size_t)(c->at - member->value.text);
	else
		member->value.text = c->at;
}

/* c->at is where a member must begin; afterwards at its value. */
static int check_name(struct checker *c)
{
	size_t first = c->levels[c->depth - 1].first;
	const char *begin = c->at;
	struct name name;
	int rc;

	if (begin == c->end || *begin != '"')
		return refuse(c, begin, "a member name in double quotes is expected here");
	rc = check_string(c);
	if (rc != 0)
		return rc;
	name.string = (struct json_slice){begin, (size_t)(c->at - begin)};
	name.tag = compute_tag(name.string);
	if (c->name_count - first < NAMES_LINEAR) {
		for (size_t i = first; i < c->name_count; i++) {
			if (c->names[i].tag == name.tag && json_string_compare(c->names[i].string, name.string) == 0)
				return refuse_duplicate(c, &name);
		}
	}
	if (c->name_count == c->name_capacity) {
		rc = grow_names(c);
		if (rc != 0)
			return rc;
	}
	c->names[c->name_count++] = name;
	if (c->members != NULL && c->depth == 1) {
		rc = push_member(c, name.string);
		if (rc != 0)
			return rc;
	}
	c->at = json_skip_space(c->at, c->end);
	if (c->at == c->end || *c->at != ':')
		return refuse(c, c->at, "a colon is expected after a member name");
	c->at++;
	return 0;
}

static int compare_names(const void *left, const void *right)
{
	const struct name *a = left;
	const struct name *b = right;
	int order;

	if (a->tag != b->tag)
		return a->tag < b->tag ? -1 : 1;
	order = json_string_compare(a->string, b->string);
	if (order != 0)
		return order;
	return a->string.text < b->string.text ? -1 : 1;
}

/* The innermost container closes: judge the names of a large object, and forget them. */
static int close_level(struct checker *c)
{
	size_t first = c->levels[c->depth - 1].first;
	size_t count = c->name_count - first;
	struct name *names = c->names + first;
	const struct name *duplicate = NULL;

	c->depth--;
	c->at++;
	c->name_count = first;
	if (count <= NAMES_LINEAR)
		return 0;
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 1; i < count; i++) {
		if (names[i].tag == names[i - 1].tag &&
		    json_string_compare(names[i].string, names[i - 1].string) == 0 &&
		    (duplicate == NULL || names[i].string.text < duplicate->string.text))
			duplicate = &names[i];
	}
	return duplicate != NULL ? refuse_duplicate(c, duplicate) : 0;
}

/* c->at is at a bracket. *opened tells whether a first value follows; an empty container is closed at once. */
static int open_level(struct checker *c, bool *opened)
{
	bool object = *c->at == '{';

	if (c->depth == LIMIT_JSON_DEPTH)
		return at_place(c, c->at,
		    qosid_error(c->err, QOSID_ERR_LIMIT, "the JSON is nested deeper than %u", LIMIT_JSON_DEPTH));
	c->levels[c->depth++] = (struct level){object, c->name_count};
	c->at = json_skip_space(c->at + 1, c->end);
	*opened = c->at == c->end || *c->at != (object ? '}' : ']');
	if (!*opened)
		return close_level(c);
	return object ? check_name(c) : 0;
}

/* Take a scalar or an empty container whole, or enter a container. */
static int check_value(struct checker *c, bool *opened)
{
	*opened = false;
	c->at = json_skip_space(c->at, c->end);
	if (c->at == c->end)
		return refuse(c, c->at, "a value is expected here");
	mark_value(c, false);
	switch (*c->at) {
	case '{':
	case '[':
		return open_level(c, opened);
	case '"':
		return check_string(c);
	case 't':
		return check_word(c, "true", 4);
	case 'f':
		return check_word(c, "false", 5);
	case 'n':
		return check_word(c, "null", 4);
	default:
		if (*c->at == '-' || (*c->at >= '0' && *c->at <= '9'))
			return check_number(c);
		return refuse(c, c->at, "a value is expected here");
	}
}

/* After a value inside a container: go on behind a comma (*more), or leave the container. */
static int check_after(struct checker *c, bool *more)
{
	bool object = c->levels[c->depth - 1].object;

	mark_value(c, true);
	*more = false;
	c->at = json_skip_space(c->at, c->end);
	if (c->at < c->end && *c->at == ',') {
		*more = true;
		c->at++;
		if (!object)
			return 0;
		c->at = json_skip_space(c->at, c->end);
		return check_name(c);
	}
	if (c->at < c->end && *c->at == (object ? '}' : ']'))
		return close_level(c);
	return refuse(c, c->at,
	    object ? "a comma or a closing brace is expected here" : "a comma or a closing bracket is expected here");
}

static int check_text(struct checker *c, struct json_slice *value)
{
	const char *begin = json_skip_space(c->at, c->end);
	bool again;
	int rc;

	do {
		rc = check_value(c, &again);
		while (rc == 0 && !again && c->depth > 0)
			rc = check_after(c, &again);
		if (rc != 0)
			return rc;
	} while (again);
	*value = (struct json_slice){begin, (size_t)(c->at - begin)};
	c->at = json_skip_space(c->at, c->end);
	if (c->at != c->end)
		return refuse(c, c->at, "only white space may follow the value");
	return 0;
}

static int check(const char *text, size_t len, bool object, struct json_members *members, struct json_slice *value,
    struct qosid_errbuf *err)
{
	struct checker c; /* not zeroed as a whole: the stacks are large and filled as they grow */
	int rc;

	c.text = len > 0 ? text : "";
	c.at = c.text;
	c.end = c.text + len;
	c.err = err;
	c.members = members;
	c.names = c.few;
	c.name_count = 0;
	c.name_capacity = NAMES_FEW;
	c.depth = 0;
	rc = check_text(&c, value);
	if (rc == 0 && object && value->text[0] != '{')
		rc = at_place(&c, value->text, qosid_error(err, QOSID_ERR_INVALID, "the JSON value must be an object"));
	if (c.names != c.few)
		free(c.names);
	return rc;
}

int json_check(const char *text, size_t len, struct qosid_errbuf *err)
{
	struct json_slice value;

	return check(text, len, false, NULL, &value, err);
}

int json_check_object(const char *text, size_t len, struct json_slice *value, struct qosid_errbuf *err)
{
	struct json_slice found;
	int rc = check(text, len, true, NULL, &found, err);

	if (rc == 0)
		*value = found;
	return rc;
}

int json_check_members(const char *text, size_t len, struct json_members *members, struct qosid_errbuf *err)
{
	struct json_slice value;

	members->count = 0;
	return check(text, len, true, members, &value, err);
}

void json_members_free(struct json_members *members)
{
	free(members->list);
	*members = (struct json_members){0};
}
