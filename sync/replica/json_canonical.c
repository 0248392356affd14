/*
 * json_canonicalize(): members are written as they come and then put in order, so that each byte of the input is read
 * once, and text that is in order already is not moved.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/replica/json.h"
#include "sync/replica/json_internal.h"

/* A member that has been written: where it lies in the output, counted from the start of its object. */
struct member {
	struct json_slice name; /* in the input */
	size_t begin;
	size_t end;
};

struct writer {
	const char *at; /* in the input */
	const char *end;
	struct qosid_buf *out;
	struct qosid_errbuf *err;
	struct member *members; /* of all open objects */
	size_t count;
	size_t capacity;
};

static int write_value(struct writer *w);

static int write_string(struct writer *w, struct json_slice string)
{
	struct qosid_buf text = {0};
	int rc;

	/* A checked string without a backslash has nothing to escape. */
	if (!json_string_escaped(string))
		return qosid_buf_append(w->out, string.text, string.len, w->err);
	rc = json_string_decode(string, &text, w->err);
	if (rc == 0)
		rc = json_string_encode(w->out, (const char *)text.data, text.len, w->err);
	qosid_buf_wipe(&text);
	return rc;
}

static int push_member(struct writer *w, const struct member *member)
{
	if (w->count == w->capacity) {
		size_t capacity = w->capacity > 0 ? w->capacity * 2 : 32;
		struct member *members = realloc(w->members, capacity * sizeof(*members));

		if (members == NULL)
			return qosid_error(w->err, QOSID_ERR_NOMEM, "out of memory while sorting JSON members");
		w->members = members;
		w->capacity = capacity;
	}
	w->members[w->count++] = *member;
	return 0;
}

static int compare_members(const void *left, const void *right)
{
	const struct member *a = left;
	const struct member *b = right;

	return json_string_compare(a->name, b->name);
}

/* Put the members from `first` on, which lie in the output from `begin` to its end, in order. */
static int sort_members(struct writer *w, size_t first, size_t begin)
{
	struct member *members = w->members + first;
	size_t count = w->count - first;
	size_t end = w->out->len;
	int rc;

	qsort(members, count, sizeof(*members), compare_members);
	rc = qosid_buf_reserve(w->out, end - begin, w->err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (i > 0)
			rc = qosid_buf_append_byte(w->out, ',', w->err);
		if (rc == 0)
			rc = qosid_buf_append(
			    w->out, w->out->data + begin + members[i].begin, members[i].end - members[i].begin, w->err);
	}
	if (rc != 0)
		return rc;
	memmove(w->out->data + begin, w->out->data + end, end - begin);
	w->out->len = end;
	w->out->data[end] = '\0';
	return 0;
}

/* w->at is at the name. */
static int write_member(struct writer *w, size_t object, bool *sorted, size_t first)
{
	struct member member;
	const char *name = w->at;
	int rc;

	w->at = json_skip_value(w->at, w->end);
	member.name = (struct json_slice){name, (size_t)(w->at - name)};
	member.begin = w->out->len - object;
	rc = write_string(w, member.name);
	if (rc == 0)
		rc = qosid_buf_append_byte(w->out, ':', w->err);
	if (rc != 0)
		return rc;
	w->at = json_skip_space(json_skip_space(w->at, w->end) + 1, w->end);
	rc = write_value(w);
	if (rc != 0)
		return rc;
	member.end = w->out->len - object;
	if (w->count > first && *sorted)
		*sorted = json_string_compare(w->members[w->count - 1].name, member.name) < 0;
	return push_member(w, &member);
}

/* w->at is at the opening bracket. */
static int write_container(struct writer *w)
{
	bool object = *w->at == '{';
	char close = object ? '}' : ']';
	size_t first = w->count;
	size_t begin;
	bool sorted = true;
	int rc;

	rc = qosid_buf_append_byte(w->out, (uint8_t)*w->at, w->err);
	begin = w->out->len;
	w->at = json_skip_space(w->at + 1, w->end);
	while (rc == 0 && w->at < w->end && *w->at != close) {
		if (*w->at == ',') {
			rc = qosid_buf_append_byte(w->out, ',', w->err);
			w->at = json_skip_space(w->at + 1, w->end);
		}
		if (rc == 0)
			rc = object ? write_member(w, begin, &sorted, first) : write_value(w);
		w->at = json_skip_space(w->at, w->end);
	}
	if (rc == 0 && !sorted)
		rc = sort_members(w, first, begin);
	w->count = first;
	w->at++;
	return rc != 0 ? rc : qosid_buf_append_byte(w->out, (uint8_t)close, w->err);
}

/* Recursion is bounded by LIMIT_JSON_DEPTH: the text is checked. */
static int write_value(struct writer *w)
{
	const char *begin = w->at;

	if (*begin == '{' || *begin == '[')
		return write_container(w);
	w->at = json_skip_value(begin, w->end);
	if (*begin == '"')
		return write_string(w, (struct json_slice){begin, (size_t)(w->at - begin)});
	return qosid_buf_append(w->out, begin, (size_t)(w->at - begin), w->err);
}

int json_canonicalize(struct json_slice value, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct writer w = {.end = value.text + value.len, .out = out, .err = err};
	size_t before = out->len;
	int rc;

	w.at = json_skip_space(value.text, w.end);
	if (w.at == w.end)
		return qosid_error(err, QOSID_ERR_INVALID, "there is no JSON value to bring into canonical form");
	rc = qosid_buf_reserve(out, value.len, err);
	if (rc == 0)
		rc = write_value(&w);
	if (rc != 0)
		qosid_buf_cut(out, before);
	free(w.members);
	return rc;
}
