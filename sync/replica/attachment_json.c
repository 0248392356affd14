/*
 * _attachments as JSON: taken apart when a revision is written, put together when one is read.
 *
 * Stored form: the canonical JSON object {"name":{"content_type","digest","length","revpos"}}, so that equal
 * attachments are equal bytes. Content lies in attachment.c by its digest and may be missing while it is on its way.
 */
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base64.h"
#include "sync/limits.h"
#include "sync/replica/replica_internal.h"

#define DEFAULT_CONTENT_TYPE "\"application/octet-stream\""

void attachment_list_free(struct attachment_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		qosid_buf_wipe(&list->entries[i].content);
	free(list->entries);
	*list = (struct attachment_list){0};
}

/* ---- taking apart ---- */

static int name_error(struct json_slice name, struct qosid_errbuf *err, const char *problem)
{
	int shown = name.len < 128 ? (int)name.len : 128;

	return qosid_error(err, QOSID_ERR_INVALID, "attachment %.*s: %s", shown, name.text, problem);
}

int attachment_parse_digest(struct json_slice object, uint8_t out[DIGEST_BYTES], struct qosid_errbuf *err)
{
	struct json_slice value;

	if (!json_find(object, "digest", &value) || json_slice_kind(value) != JSON_STRING)
		return qosid_error(err, QOSID_ERR_INVALID, "an attachment has no digest");
	/* Inside its quotes; Qosid's form needs no escapes. */
	return digest_parse(out, value.text + 1, value.len - 2, err);
}

/* A digest of Qosid's form, as against those of CouchDB (md5-..) or none. */
static int find_digest(struct json_slice object, bool *found, uint8_t out[DIGEST_BYTES], struct qosid_errbuf *err)
{
	struct json_slice value;
	size_t prefix = strlen(DIGEST_PREFIX);

	*found = json_find(object, "digest", &value) && json_slice_kind(value) == JSON_STRING &&
		 value.len > prefix + 2 && memcmp(value.text + 1, DIGEST_PREFIX, prefix) == 0;
	return *found ? attachment_parse_digest(object, out, err) : 0;
}

static int find_number(struct json_slice object, const char *name, unsigned long long max, bool *found, int64_t *out,
    struct qosid_errbuf *err)
{
	struct json_slice value;
	unsigned long long number;
	int rc;

	*found = json_find(object, name, &value);
	if (!*found)
		return 0;
	rc = json_parse_unsigned(value, max, &number, err);
	if (rc != 0)
		return qosid_error_within(err, "attachment member \"%s\"", name), rc;
	*out = (int64_t)number;
	return 0;
}

/* Strict base64: padded, no white space, no stray bits. */
static int decode_data(struct json_slice data, struct json_slice name, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	size_t len = 0;
	int rc;

	if (json_slice_kind(data) != JSON_STRING)
		return name_error(name, err, "\"data\" must be a string");
	rc = json_string_decode(data, &text, err);
	if (rc == 0)
		rc = qosid_buf_reserve(out, text.len / 4 * 3 + 3, err);
	if (rc != 0 || text.len == 0)
		goto done;
	if (base64_decode(out->data, out->cap, &len, BASE64_PADDED, (const char *)text.data, text.len) != 0)
		rc = name_error(name, err, "\"data\" is not base64");
	out->len = len;
done:
	qosid_buf_wipe(&text);
	return rc;
}

static int take_data(struct json_slice data, struct attachment_entry *entry, struct qosid_errbuf *err)
{
	int rc = decode_data(data, entry->name, &entry->content, err);

	if (rc == 0 && entry->content.len > LIMIT_ATTACHMENT_BYTES)
		rc = qosid_error(err, QOSID_ERR_LIMIT, "an attachment has more than %llu bytes",
		    (unsigned long long)LIMIT_ATTACHMENT_BYTES);
	if (rc != 0)
		return rc;
	entry->has_content = true;
	entry->length = (int64_t)entry->content.len;
	digest_compute(entry->digest, entry->content.data, entry->content.len);
	return 0;
}

/* Name and content type, which all forms share. */
static int take_head(
    struct json_slice name, struct json_slice object, struct attachment_entry *entry, struct qosid_errbuf *err)
{
	struct qosid_buf decoded = {0};
	int rc = json_string_decode(name, &decoded, err);

	entry->name = name;
	if (rc == 0 && (decoded.len == 0 || decoded.data[0] == '_'))
		rc = name_error(name, err, "a name must not be empty or begin with an underscore");
	qosid_buf_free(&decoded);
	if (rc != 0)
		return rc;
	if (json_slice_kind(object) != JSON_OBJECT)
		return name_error(name, err, "it must be an object");
	if (json_find(object, "content_type", &entry->content_type) &&
	    json_slice_kind(entry->content_type) != JSON_STRING)
		return name_error(name, err, "\"content_type\" must be a string");
	return 0;
}

/* The parent's attachment of the same name, as the parent stored it. */
static bool find_by_name(struct json_slice parent, const struct qosid_buf *name, struct json_slice *object)
{
	return parent.len > 0 && memchr(name->data, '\0', name->len) == NULL &&
	       json_find(parent, (const char *)name->data, object);
}

static int take_stored(struct json_slice object, struct attachment_entry *entry, struct qosid_errbuf *err)
{
	bool found;
	int rc = attachment_parse_digest(object, entry->digest, err);

	(void)json_find(object, "content_type", &entry->content_type); /* a default stands in for it */
	if (rc == 0)
		rc = find_number(object, "length", LIMIT_ATTACHMENT_BYTES, &found, &entry->length, err);
	if (rc == 0)
		rc = find_number(object, "revpos", UINT32_MAX, &found, &entry->revpos, err);
	return rc;
}

static int take_stub(struct replica *replica, struct json_slice object, struct json_slice parent,
    struct attachment_entry *entry, struct qosid_errbuf *err)
{
	struct qosid_buf name = {0};
	struct json_slice stored, stub;
	uint8_t wanted[DIGEST_BYTES], had[DIGEST_BYTES];
	bool has_digest, here = false, has_stored;
	int rc = 0;

	if (!json_find(object, "stub", &stub) || json_slice_kind(stub) != JSON_TRUE)
		return name_error(entry->name, err, "it has neither \"data\" nor \"stub\":true");
	rc = find_digest(object, &has_digest, wanted, err);
	if (rc == 0)
		rc = json_string_decode(entry->name, &name, err);
	if (rc != 0)
		goto done;
	has_stored = find_by_name(parent, &name, &stored);
	if (has_stored && has_digest) {
		rc = attachment_parse_digest(stored, had, err);
		has_stored = rc == 0 && memcmp(had, wanted, sizeof(had)) == 0;
	}
	if (rc == 0 && has_stored) {
		rc = take_stored(stored, entry, err);
		goto done;
	}
	if (rc == 0 && has_digest)
		rc = attachment_find(replica, wanted, &here, &entry->length, err);
	if (rc == 0 && here)
		memcpy(entry->digest, wanted, sizeof(wanted));
	else if (rc == 0)
		rc = name_error(entry->name, err, "the stub names nothing that the revision before has: missing_stub");
done:
	qosid_buf_free(&name);
	return rc;
}

/* Room for every member of the object. */
static int make_entries(struct attachment_list *list, struct json_slice attachments, struct qosid_errbuf *err)
{
	struct json_slice name, object;
	size_t position = 0, count = 0;

	if (json_slice_kind(attachments) != JSON_OBJECT)
		return qosid_error(err, QOSID_ERR_INVALID, "\"_attachments\" must be an object");
	while (json_next(attachments, &position, &name, &object))
		count++;
	if (count == 0)
		return 0;
	list->entries = calloc(count, sizeof(*list->entries));
	if (!list->entries)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	return 0;
}

int attachment_list_parse_edit(struct replica *replica, struct attachment_list *list, struct json_slice attachments,
    struct json_slice parent, uint32_t generation, struct qosid_errbuf *err)
{
	struct json_slice name, object, data;
	size_t position = 0;
	int rc = make_entries(list, attachments, err);

	while (rc == 0 && json_next(attachments, &position, &name, &object)) {
		struct attachment_entry *entry = &list->entries[list->count++];

		entry->revpos = generation;
		rc = take_head(name, object, entry, err);
		if (rc != 0)
			break;
		if (json_find(object, "data", &data))
			rc = take_data(data, entry, err);
		else
			rc = take_stub(replica, object, parent, entry, err);
	}
	return rc;
}

/* What another office or peer says of one attachment. */
static int take_foreign(struct json_slice object, struct attachment_entry *entry, struct qosid_errbuf *err)
{
	struct json_slice data;
	uint8_t digest[DIGEST_BYTES];
	bool has_digest = false, has_length = false, has_revpos;
	int64_t length = 0;
	int rc = find_digest(object, &has_digest, digest, err);

	if (rc == 0)
		rc = find_number(object, "length", LIMIT_ATTACHMENT_BYTES, &has_length, &length, err);
	if (rc == 0)
		rc = find_number(object, "revpos", UINT32_MAX, &has_revpos, &entry->revpos, err);
	if (rc != 0)
		return rc;
	if (!json_find(object, "data", &data)) {
		if (!has_digest || !has_length)
			return name_error(entry->name, err, "it has neither \"data\" nor a digest and a length");
		memcpy(entry->digest, digest, sizeof(digest));
		entry->length = length;
		return 0;
	}
	rc = take_data(data, entry, err);
	if (rc == 0 && has_digest && memcmp(digest, entry->digest, sizeof(digest)) != 0)
		rc = name_error(entry->name, err, "the data does not have the digest stated for it");
	if (rc == 0 && has_length && length != entry->length)
		rc = name_error(entry->name, err, "the data does not have the length stated for it");
	return rc;
}

int attachment_list_parse_revision(
    struct attachment_list *list, struct json_slice attachments, uint32_t generation, struct qosid_errbuf *err)
{
	struct json_slice name, object;
	size_t position = 0;
	int rc = make_entries(list, attachments, err);

	while (rc == 0 && json_next(attachments, &position, &name, &object)) {
		struct attachment_entry *entry = &list->entries[list->count++];

		entry->revpos = generation;
		rc = take_head(name, object, entry, err);
		if (rc == 0)
			rc = take_foreign(object, entry, err);
	}
	return rc;
}

int attachment_list_store(struct replica *replica, const struct attachment_list *list, struct qosid_errbuf *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < list->count; i++) {
		const struct attachment_entry *entry = &list->entries[i];

		if (entry->has_content)
			rc = attachment_store(replica, entry->digest, entry->content.data, entry->content.len, err);
	}
	return rc;
}

/* ---- putting together ---- */

static int append_slice(struct qosid_buf *out, struct json_slice slice, struct qosid_errbuf *err)
{
	return qosid_buf_append(out, slice.text, slice.len, err);
}

static int append_entry(
    struct qosid_buf *out, const struct attachment_entry *entry, bool with_revpos, struct qosid_errbuf *err)
{
	struct json_slice type = entry->content_type;
	char digest[DIGEST_TEXT_SIZE];
	int rc = append_slice(out, entry->name, err);

	if (type.len == 0)
		type = (struct json_slice){DEFAULT_CONTENT_TYPE, strlen(DEFAULT_CONTENT_TYPE)};
	digest_format(digest, entry->digest);
	if (rc == 0)
		rc = qosid_buf_append_text(out, ":{\"content_type\":", err);
	if (rc == 0)
		rc = append_slice(out, type, err);
	if (rc == 0)
		rc = qosid_buf_append_format(out, err, ",\"digest\":\"%s\",\"length\":%" PRId64, digest, entry->length);
	if (rc == 0 && with_revpos)
		rc = qosid_buf_append_format(out, err, ",\"revpos\":%" PRId64, entry->revpos);
	return rc != 0 ? rc : qosid_buf_append_byte(out, '}', err);
}

int attachment_list_format(
    const struct attachment_list *list, bool with_revpos, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < list->count; i++) {
		rc = qosid_buf_append_byte(&text, i == 0 ? '{' : ',', err);
		if (rc == 0)
			rc = append_entry(&text, &list->entries[i], with_revpos, err);
	}
	if (rc == 0)
		rc = qosid_buf_append_byte(&text, '}', err);
	/* Sorts the names and writes every string the one way. */
	if (rc == 0)
		rc = json_canonicalize((struct json_slice){(const char *)text.data, text.len}, out, err);
	qosid_buf_free(&text);
	return rc;
}

/* "data":"<base64>" */
static int append_data(
    struct replica *replica, const uint8_t digest[DIGEST_BYTES], struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct qosid_buf content = {0};
	struct qosid_buf_sink target = {&content, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	size_t size;
	int rc = attachment_read(replica, digest, 0, -1, &sink, err);

	size = sodium_base64_encoded_len(content.len, sodium_base64_VARIANT_ORIGINAL); /* with a NUL */
	if (rc == 0)
		rc = qosid_buf_append_text(out, ",\"data\":\"", err);
	if (rc == 0)
		rc = qosid_buf_reserve(out, size, err);
	if (rc == 0) {
		static const uint8_t nothing[1];

		sodium_bin2base64((char *)out->data + out->len, size, content.data ? content.data : nothing,
		    content.len, sodium_base64_VARIANT_ORIGINAL);
		out->len += size - 1;
		rc = qosid_buf_append_byte(out, '"', err);
	}
	qosid_buf_wipe(&content);
	return rc;
}

static int render_entry(struct replica *replica, struct json_slice name, struct json_slice object, bool inlined,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	uint8_t digest[DIGEST_BYTES];
	bool here = false;
	int rc = append_slice(out, name, err);

	if (rc == 0)
		rc = qosid_buf_append_byte(out, ':', err);
	/* Without its closing brace: one member follows. */
	if (rc == 0)
		rc = qosid_buf_append(out, object.text, object.len - 1, err);
	if (rc == 0 && inlined)
		rc = attachment_parse_digest(object, digest, err);
	if (rc == 0 && inlined)
		rc = attachment_find(replica, digest, &here, NULL, err);
	if (rc == 0)
		rc = here ? append_data(replica, digest, out, err) : qosid_buf_append_text(out, ",\"stub\":true", err);
	return rc != 0 ? rc : qosid_buf_append_byte(out, '}', err);
}

int attachment_render(
    struct replica *replica, struct json_slice stored, bool inlined, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_slice name, object;
	size_t position = 0;
	char separator = '{';
	int rc = 0;

	while (rc == 0 && json_next(stored, &position, &name, &object)) {
		rc = qosid_buf_append_byte(out, (uint8_t)separator, err);
		separator = ',';
		if (rc == 0)
			rc = render_entry(replica, name, object, inlined, out, err);
	}
	return rc != 0 ? rc : qosid_buf_append_byte(out, '}', err);
}
