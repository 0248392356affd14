/*
 * Projection: a document reduced to some fields. "a.b" and "a.c" share one object "a"; "a" next to "a.b" is all of "a".
 *
 * The fields are put in order of first appearance by looking back for an earlier field with the same beginning, so no
 * tree is built: the lists are short and the same for every row.
 */
#include <string.h>

#include "sync/replica/mango_internal.h"

struct projection {
	const struct mango_path *fields;
	size_t count;
	const struct mango_subject *subject;
	struct qosid_buf *scratch;
	struct qosid_buf *out;
	struct qosid_errbuf *err;
};

static bool share(const struct mango_path *a, const struct mango_path *b, size_t depth)
{
	if (a->count < depth || b->count < depth)
		return false;
	for (size_t i = 0; i < depth; i++) {
		if (strcmp(a->segments[i], b->segments[i]) != 0)
			return false;
	}
	return true;
}

/* Whether an earlier field below the same parent has written this segment. */
static bool is_written(const struct projection *p, size_t at, size_t depth)
{
	for (size_t i = 0; i < at; i++) {
		if (share(&p->fields[i], &p->fields[at], depth + 1))
			return true;
	}
	return false;
}

/* The field that asks for exactly this segment whole, or count. */
static size_t find_whole(const struct projection *p, size_t at, size_t depth)
{
	for (size_t i = 0; i < p->count; i++) {
		if (p->fields[i].count == depth + 1 && share(&p->fields[i], &p->fields[at], depth + 1))
			return i;
	}
	return p->count;
}

static int begin_member(struct projection *p, const struct mango_path *field, size_t depth, bool *first)
{
	int rc = *first ? 0 : qosid_buf_append_byte(p->out, ',', p->err);

	*first = false;
	if (rc == 0)
		rc = json_string_encode(p->out, field->segments[depth], strlen(field->segments[depth]), p->err);
	return rc != 0 ? rc : qosid_buf_append_byte(p->out, ':', p->err);
}

/* Whether a field below this segment is in the document. */
static int has_any(struct projection *p, size_t at, size_t depth, bool *any)
{
	struct json_slice value;
	int rc = 0;

	*any = false;
	for (size_t i = at; rc == 0 && !*any && i < p->count; i++) {
		if (share(&p->fields[i], &p->fields[at], depth + 1))
			rc = mango_path_read(&p->fields[i], p->subject, p->scratch, any, &value, p->err);
	}
	return rc;
}

/* Write the object of all fields that begin with the first `depth` segments of field `at`. */
static int write_object(struct projection *p, size_t at, size_t depth)
{
	struct json_slice value;
	bool first = true;
	int rc = qosid_buf_append_byte(p->out, '{', p->err);

	for (size_t i = at; rc == 0 && i < p->count; i++) {
		const struct mango_path *field = &p->fields[i];
		bool found;
		size_t whole;

		if (field->count <= depth || !share(field, &p->fields[at], depth) || is_written(p, i, depth))
			continue;
		rc = has_any(p, i, depth, &found);
		if (rc != 0 || !found)
			continue;
		whole = find_whole(p, i, depth);
		rc = begin_member(p, field, depth, &first);
		if (rc == 0 && whole == p->count) {
			rc = write_object(p, i, depth + 1);
			continue;
		}
		if (rc == 0)
			rc = mango_path_read(&p->fields[whole], p->subject, p->scratch, &found, &value, p->err);
		if (rc == 0)
			rc = qosid_buf_append(p->out, value.text, value.len, p->err);
	}
	return rc != 0 ? rc : qosid_buf_append_byte(p->out, '}', p->err);
}

int mango_project(const struct mango_path *fields, size_t count, const struct mango_subject *subject,
    struct qosid_buf *scratch, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct projection p = {fields, count, subject, scratch, out, err};

	return write_object(&p, 0, 0);
}
