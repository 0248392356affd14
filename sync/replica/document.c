/*
 * Documents as JSON text: taking them apart and putting them together. See document.h.
 */
#include "sync/replica/document.h"

#include <stdlib.h>
#include <string.h>

#include "sync/replica/json_internal.h"

int document_check_id(const char *id, size_t len, struct qosid_errbuf *err)
{
	static const char *const kinds[] = {"_design/", "_local/"};

	if (len == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "a document id must not be empty");
	if (len > LIMIT_DOCUMENT_ID_BYTES)
		return qosid_error(err, QOSID_ERR_LIMIT, "a document id has %zu bytes, more than the limit of %u", len,
		    LIMIT_DOCUMENT_ID_BYTES);
	if (memchr(id, '\0', len) != NULL)
		return qosid_error(err, QOSID_ERR_INVALID, "a document id must not hold a NUL character");
	if (!json_is_utf8(id, len))
		return qosid_error(err, QOSID_ERR_INVALID, "a document id must be valid UTF-8");
	if (id[0] != '_')
		return 0;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t prefix = strlen(kinds[i]);

		if (len > prefix && memcmp(id, kinds[i], prefix) == 0)
			return 0;
	}
	return qosid_error(err, QOSID_ERR_INVALID,
	    "the document id \"%.*s\" begins with an underscore, which only _design/ and _local/ may",
	    json_shown(id, len, 80), id);
}

static int expect_kind(struct json_slice value, enum json_kind kind, const char *what, struct qosid_errbuf *err)
{
	if (json_slice_kind(value) != kind)
		return qosid_error(err, QOSID_ERR_INVALID, "%s", what);
	return 0;
}

static int take_id(struct document *document, struct json_slice value, struct qosid_errbuf *err)
{
	int rc = expect_kind(value, JSON_STRING, "_id must be a string", err);

	if (rc == 0)
		rc = json_string_decode(value, &document->id, err);
	if (rc == 0)
		rc = document_check_id((const char *)document->id.data, document->id.len, err);
	return rc;
}

static int take_rev(struct document *document, struct json_slice value, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int rc = expect_kind(value, JSON_STRING, "_rev must be a string", err);

	if (rc != 0)
		return rc;
	if (!json_string_escaped(value)) {
		rc = revision_parse(&document->rev, value.text + 1, value.len - 2, err);
	} else {
		rc = json_string_decode(value, &text, err);
		if (rc == 0)
			rc = revision_parse(&document->rev, (const char *)text.data, text.len, err);
		qosid_buf_free(&text);
	}
	if (rc != 0) {
		(void)qosid_error_within(err, "_rev");
		return rc;
	}
	document->has_rev = true;
	return 0;
}

static int take_deleted(struct document *document, struct json_slice value, struct qosid_errbuf *err)
{
	enum json_kind kind = json_slice_kind(value);

	if (kind != JSON_TRUE && kind != JSON_FALSE)
		return qosid_error(err, QOSID_ERR_INVALID, "_deleted must be true or false");
	document->deleted = kind == JSON_TRUE;
	return 0;
}

static int grow_revisions(struct document *document, struct qosid_errbuf *err)
{
	size_t capacity = document->revision_capacity > 0 ? document->revision_capacity * 2 : 16;
	const char **revisions = realloc(document->revisions, capacity * sizeof(*revisions));

	if (revisions == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory while reading _revisions");
	document->revisions = revisions;
	document->revision_capacity = capacity;
	return 0;
}

/* Append one hash and its NUL to revisions_text. */
static int take_hash(struct document *document, struct json_slice value, struct qosid_errbuf *err)
{
	struct qosid_buf *text = &document->revisions_text;
	size_t begin = text->len;
	int rc;

	rc = expect_kind(value, JSON_STRING, "an element of _revisions.ids must be a string", err);
	if (rc == 0)
		rc = json_string_decode(value, text, err);
	if (rc != 0)
		return rc;
	if (text->len == begin || text->len - begin > LIMIT_REVISION_HASH_BYTES)
		return qosid_error(err, QOSID_ERR_INVALID, "a hash in _revisions has %zu bytes, not 1 to %u",
		    text->len - begin, LIMIT_REVISION_HASH_BYTES);
	for (size_t i = begin; i < text->len; i++) {
		if (text->data[i] <= ' ' || text->data[i] > '~')
			return qosid_error(
			    err, QOSID_ERR_INVALID, "a hash in _revisions holds something else than printable ASCII");
	}
	return qosid_buf_append_byte(text, '\0', err);
}

static int take_hashes(struct document *document, struct json_slice ids, struct qosid_errbuf *err)
{
	struct json_slice name;
	struct json_slice value;
	size_t position = 0;
	const char *at;
	int rc;

	while (json_next(ids, &position, &name, &value)) {
		if (document->revision_count == document->revisions_start)
			return qosid_error(err, QOSID_ERR_INVALID, "_revisions holds more ids than its start allows");
		rc = take_hash(document, value, err);
		if (rc == 0 && document->revision_count == document->revision_capacity)
			rc = grow_revisions(document, err);
		if (rc != 0)
			return rc;
		document->revision_count++;
	}
	if (document->revision_count == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "_revisions.ids must not be empty");
	/* Only now does the text stay where it is. */
	at = (const char *)document->revisions_text.data;
	for (size_t i = 0; i < document->revision_count; i++) {
		document->revisions[i] = at;
		at += strlen(at) + 1;
	}
	return 0;
}

static int take_revisions(struct document *document, struct json_slice value, struct qosid_errbuf *err)
{
	struct json_slice start;
	struct json_slice ids;
	unsigned long long number;
	int rc;

	if (json_slice_kind(value) != JSON_OBJECT || !json_find(value, "start", &start) ||
	    !json_find(value, "ids", &ids) || json_slice_kind(ids) != JSON_ARRAY)
		return qosid_error(
		    err, QOSID_ERR_INVALID, "_revisions must be an object with a number start and an array ids");
	rc = json_parse_unsigned(start, UINT32_MAX, &number, err);
	if (rc != 0) {
		(void)qosid_error_within(err, "_revisions.start");
		return rc;
	}
	document->revisions_start = (uint32_t)number;
	document->has_revisions = true;
	return take_hashes(document, ids, err);
}

static int take_special(
    struct document *document, struct json_slice name, struct json_slice value, struct qosid_errbuf *err)
{
	static const char *const dropped[] = {
	    "_conflicts", "_deleted_conflicts", "_revs_info", "_local_seq", "_revs_diff"};

	if (json_string_equal(name, "_id"))
		return take_id(document, value, err);
	if (json_string_equal(name, "_rev"))
		return take_rev(document, value, err);
	if (json_string_equal(name, "_deleted"))
		return take_deleted(document, value, err);
	if (json_string_equal(name, "_revisions"))
		return take_revisions(document, value, err);
	if (json_string_equal(name, "_attachments")) {
		document->attachments = value;
		return expect_kind(value, JSON_OBJECT, "_attachments must be an object", err);
	}
	for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++) {
		if (json_string_equal(name, dropped[i]))
			return 0;
	}
	return qosid_error(err, QOSID_ERR_INVALID,
	    "the document member %.*s begins with an underscore, which is kept for special members",
	    json_shown(name.text, name.len, 100), name.text);
}

/* _rev and _revisions must tell the same story; either alone names the revision. */
static int check_rev(struct document *document, struct qosid_errbuf *err)
{
	struct revision newest = {.generation = document->revisions_start};

	if (!document->has_revisions)
		return 0;
	memcpy(newest.hash, document->revisions[0], strlen(document->revisions[0]) + 1);
	if (document->has_rev && revision_compare(&document->rev, &newest) != 0)
		return qosid_error(err, QOSID_ERR_INVALID, "_rev is %lu-%s, but _revisions begins with %lu-%s",
		    (unsigned long)document->rev.generation, document->rev.hash, (unsigned long)newest.generation,
		    newest.hash);
	document->rev = newest;
	document->has_rev = true;
	return 0;
}

static void reset(struct document *document)
{
	qosid_buf_reset(&document->id);
	document->has_rev = false;
	document->rev = (struct revision){0};
	document->deleted = false;
	document->has_revisions = false;
	document->revisions_start = 0;
	qosid_buf_reset(&document->revisions_text);
	document->revision_count = 0;
	document->attachments = (struct json_slice){0};
	qosid_buf_reset(&document->body);
}

/* Whether a member name means something that begins with an underscore, escaped or not. What CouchDB's replicator
 * writes into its documents (_replication_state and the like) is part of the body, as there. */
static bool is_special(struct json_slice name)
{
	static const char ordinary[] = "\"_replication_";
	struct json_points points = json_points_of(name);
	uint32_t point;

	if (name.len > sizeof(ordinary) && memcmp(name.text, ordinary, sizeof(ordinary) - 1) == 0)
		return false;
	return json_points_next(&points, &point) && point == '_';
}

/* Members that follow each other with nothing but commas between them. */
static int append_run(struct qosid_buf *body, const char *begin, const char *end, struct qosid_errbuf *err)
{
	int rc = 0;

	if (begin == end)
		return 0;
	if (body->len > 1)
		rc = qosid_buf_append_byte(body, ',', err);
	return rc != 0 ? rc : qosid_buf_append(body, begin, (size_t)(end - begin), err);
}

static int take_members(struct document *document, size_t len, struct qosid_errbuf *err)
{
	const struct json_members *members = &document->members;
	struct qosid_buf *body = &document->body;
	const char *begin = NULL;
	const char *end = NULL;
	int rc;

	rc = qosid_buf_reserve(body, len, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(body, '{', err);
	for (size_t i = 0; rc == 0 && i < members->count; i++) {
		struct json_slice name = members->list[i].name;
		struct json_slice value = members->list[i].value;

		if (is_special(name)) {
			rc = take_special(document, name, value, err);
			continue;
		}
		if (end == NULL || name.text != end + 1) {
			rc = append_run(body, begin, end, err);
			begin = name.text;
		}
		end = value.text + value.len;
	}
	if (rc == 0)
		rc = append_run(body, begin, end, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(body, '}', err);
	return rc;
}

int document_parse(struct document *document, const char *text, size_t len, struct qosid_errbuf *err)
{
	int rc;

	reset(document);
	rc = json_check_members(text, len, &document->members, err);
	if (rc == 0)
		rc = take_members(document, len, err);
	if (rc == 0 && document->body.len > LIMIT_DOCUMENT_BYTES)
		rc = qosid_error(err, QOSID_ERR_LIMIT, "the document body has %zu bytes, more than the limit of %u",
		    document->body.len, LIMIT_DOCUMENT_BYTES);
	if (rc == 0)
		rc = check_rev(document, err);
	return rc;
}

void document_free(struct document *document)
{
	qosid_buf_wipe(&document->id);
	qosid_buf_free(&document->revisions_text);
	qosid_buf_wipe(&document->body);
	free(document->revisions);
	json_members_free(&document->members);
	*document = (struct document){0};
}

/* ---- putting together ---- */

/* Append a comma unless the object has just begun, then ready-made text. */
static int append_member(struct qosid_buf *out, size_t begin, const char *text, struct qosid_errbuf *err)
{
	int rc = 0;

	if (out->len > begin + 1)
		rc = qosid_buf_append_byte(out, ',', err);
	return rc != 0 ? rc : qosid_buf_append_text(out, text, err);
}

static int append_slice(
    struct qosid_buf *out, size_t begin, const char *name, struct json_slice value, struct qosid_errbuf *err)
{
	int rc = append_member(out, begin, name, err);

	return rc != 0 ? rc : qosid_buf_append(out, value.text, value.len, err);
}

static int append_rev(struct qosid_buf *out, size_t begin, const struct revision *rev, struct qosid_errbuf *err)
{
	char text[REVISION_TEXT_SIZE];
	int rc = append_member(out, begin, "\"_rev\":", err);

	revision_format(text, rev);
	return rc != 0 ? rc : json_string_encode(out, text, strlen(text), err);
}

static int append_revisions(
    struct qosid_buf *out, size_t begin, const struct document_head *head, struct qosid_errbuf *err)
{
	int rc = append_member(out, begin, "\"_revisions\":{\"start\":", err);

	if (rc == 0)
		rc = qosid_buf_append_format(out, err, "%lu,\"ids\":[",
		    (unsigned long)(head->rev != NULL ? head->rev->generation : head->revision_count));
	for (size_t i = 0; rc == 0 && i < head->revision_count; i++) {
		if (i > 0)
			rc = qosid_buf_append_byte(out, ',', err);
		if (rc == 0)
			rc = json_string_encode(out, head->revisions[i], strlen(head->revisions[i]), err);
	}
	return rc != 0 ? rc : qosid_buf_append_text(out, "]}", err);
}

/* The members of a body without its braces, or an empty slice. */
static struct json_slice members_of(struct json_slice body)
{
	const char *end = body.text + body.len;
	const char *at = json_skip_space(body.text, end);

	while (end > at && end[-1] != '}')
		end--;
	if (end - at < 2)
		return (struct json_slice){0};
	at = json_skip_space(at + 1, end);
	return (struct json_slice){at, (size_t)(end - 1 - at)};
}

static int append_head(struct qosid_buf *out, size_t begin, const struct document_head *head, struct qosid_errbuf *err)
{
	int rc = 0;

	if (head->id != NULL) {
		rc = append_member(out, begin, "\"_id\":", err);
		if (rc == 0)
			rc = json_string_encode(out, head->id, strlen(head->id), err);
	}
	if (rc == 0 && head->rev != NULL)
		rc = append_rev(out, begin, head->rev, err);
	if (rc == 0 && head->deleted)
		rc = append_member(out, begin, "\"_deleted\":true", err);
	if (rc == 0 && head->revisions != NULL)
		rc = append_revisions(out, begin, head, err);
	if (rc == 0 && head->attachments.len > 0)
		rc = append_slice(out, begin, "\"_attachments\":", head->attachments, err);
	if (rc == 0 && head->conflicts != NULL)
		rc = append_slice(out, begin, "\"_conflicts\":", *head->conflicts, err);
	return rc;
}

int document_render(
    struct qosid_buf *out, const struct document_head *head, struct json_slice body, struct qosid_errbuf *err)
{
	struct json_slice members = body.len > 0 ? members_of(body) : body;
	size_t begin = out->len;
	int rc;

	rc = qosid_buf_reserve(out, body.len + 160, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(out, '{', err);
	if (rc == 0)
		rc = append_head(out, begin, head, err);
	if (rc == 0 && members.len > 0)
		rc = append_slice(out, begin, "", members, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(out, '}', err);
	if (rc != 0)
		qosid_buf_cut(out, begin);
	return rc;
}
