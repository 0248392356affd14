/* Documents as CouchDB's clients see them; see render.h. */
#include "daemon/api/render.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api/encoding.h"
#include "sync/replica/replica_query.h"

#define BASE64_PIECE 49152 /* of content, a multiple of 3 */

/* ---- options ---- */

int render_options(struct http_call *call, struct render *out)
{
	bool meta = false, inlined = false;
	int rc = request_bool(call, "meta", false, &meta);

	*out = (struct render){0};
	if (rc == 0)
		rc = request_bool(call, "revs", false, &out->revs);
	if (rc == 0)
		rc = request_bool(call, "revs_info", meta, &out->revs_info);
	if (rc == 0)
		rc = request_bool(call, "conflicts", meta, &out->conflicts);
	if (rc == 0)
		rc = request_bool(call, "deleted_conflicts", meta, &out->deleted_conflicts);
	if (rc == 0)
		rc = request_bool(call, "local_seq", false, &out->local_seq);
	if (rc == 0)
		rc = request_bool(call, "attachments", false, &inlined);
	if (rc == 0)
		rc = request_bool(call, "att_encoding_info", false, &out->encoding);
	if (inlined)
		out->attachments = ATTACHMENTS_INLINE;
	return rc;
}

struct since {
	struct json_slice revs;
	int64_t known;
};

/* The newest ancestor that is in the list. */
static bool match_since(void *context, uint32_t generation, const char *hash)
{
	struct since *since = context;
	struct revision rev = {.generation = generation};
	struct json_slice name, value;
	char text[REVISION_TEXT_SIZE];
	size_t position = 0;

	(void)snprintf(rev.hash, sizeof(rev.hash), "%s", hash);
	revision_format(text, &rev);
	while (json_next(since->revs, &position, &name, &value)) {
		if (json_slice_kind(value) == JSON_STRING && json_string_equal(value, text)) {
			since->known = generation;
			return false;
		}
	}
	return true;
}

int render_read_since(
    struct http_call *call, const char *atts_since, const struct replica_record *record, struct render *out)
{
	struct since since = {.revs = {atts_since, strlen(atts_since)}};

	if (json_check(atts_since, since.revs.len, NULL) != 0 || json_slice_kind(since.revs) != JSON_ARRAY)
		return reply_error(call, 400, "bad_request", "atts_since must be a JSON array of revisions");
	(void)revtree_walk_path(record->tree, &record->rev, match_since, &since);
	out->known_revpos = since.known;
	return 0;
}

/* ---- attachments of a record ---- */

int attached_next(struct api_database *database, const struct replica_record *record, size_t *position,
    struct attached *out, struct qosid_errbuf *err)
{
	struct json_slice stored = {(const char *)record->attachments.data, record->attachments.len}, object, value;
	unsigned long long number = 0;
	int rc = 0;

	*out = (struct attached){0};
	if (stored.len == 0 || !json_next(stored, position, &out->name, &object))
		return 0;
	if (!json_find(object, "digest", &value) || value.len < 2 ||
	    digest_parse(out->digest, value.text + 1, value.len - 2, err) != 0)
		return qosid_error(err, QOSID_ERR_CORRUPT, "a stored attachment has no digest");
	if (json_find(object, "length", &value) && (rc = json_parse_unsigned(value, INT64_MAX, &number, err)) == 0)
		out->length = (int64_t)number;
	if (rc == 0 && json_find(object, "revpos", &value) &&
	    (rc = json_parse_unsigned(value, UINT32_MAX, &number, err)) == 0)
		out->revpos = (int64_t)number;
	(void)json_find(object, "content_type", &out->type); /* always stored */
	if (rc == 0)
		rc = attachment_find(database->replica, out->digest, &out->here, NULL, err);
	return rc != 0 ? rc : 1;
}

int attached_find(struct api_database *database, const struct replica_record *record, const char *name,
    struct attached *out, struct qosid_errbuf *err)
{
	size_t position = 0;
	int rc;

	while ((rc = attached_next(database, record, &position, out, err)) == 1) {
		if (json_string_equal(out->name, name))
			return 0;
	}
	return rc < 0 ? rc : qosid_error(err, QOSID_ERR_NOTFOUND, "Document is missing attachment");
}

int attached_format_digest(struct api_database *database, const struct attached *attached,
    char out[ATTACHED_DIGEST_SIZE], struct qosid_errbuf *err)
{
	uint8_t md5[MD5_BYTES];
	char text[MD5_BYTES * 2];
	int rc;

	if (!attached->here) {
		digest_format(out, attached->digest);
		return 0;
	}
	rc = replica_read_md5(database->replica, attached->digest, md5, err);
	if (rc == 0) {
		sodium_bin2base64(text, sizeof(text), md5, sizeof(md5), sodium_base64_VARIANT_ORIGINAL);
		(void)snprintf(out, ATTACHED_DIGEST_SIZE, "md5-%s", text);
	}
	return rc;
}

/* Base64 of content, from pieces of any size. */
struct base64 {
	struct writer *writer;
	size_t kept;
	uint8_t in[BASE64_PIECE];
	char out[BASE64_PIECE / 3 * 4 + 1];
};

static void flush_base64(struct base64 *base64)
{
	if (base64->kept > 0) {
		sodium_bin2base64(
		    base64->out, sizeof(base64->out), base64->in, base64->kept, sodium_base64_VARIANT_ORIGINAL);
		writer_text(base64->writer, base64->out);
	}
	base64->kept = 0;
}

static int push_base64(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	struct base64 *base64 = context;
	const uint8_t *bytes = data;

	(void)err; /* the writer's own */
	while (len > 0) {
		size_t room = sizeof(base64->in) - base64->kept;
		size_t piece = len < room ? len : room;

		memcpy(base64->in + base64->kept, bytes, piece);
		base64->kept += piece;
		bytes += piece;
		len -= piece;
		if (base64->kept == sizeof(base64->in))
			flush_base64(base64);
	}
	return base64->writer->rc;
}

static void write_data(struct writer *writer, struct api_database *database, const struct attached *attached)
{
	struct base64 base64 = {.writer = writer};
	struct qosid_sink sink = {push_base64, &base64};
	int rc;

	writer_text(writer, ",\"data\":\"");
	rc = attachment_read(database->replica, attached->digest, 0, -1, &sink, writer->err);
	if (rc != 0 && writer->rc == 0)
		writer->rc = rc;
	flush_base64(&base64);
	writer_text(writer, "\"");
}

static void write_encoding(struct writer *writer, struct api_database *database, const struct attached *attached)
{
	int64_t length = 0;

	if (writer->rc == 0)
		writer->rc = encoding_write(database, attached, NULL, &length, writer->err);
	writer_format(writer, ",\"encoding\":\"gzip\",\"encoded_length\":%" PRId64, length);
}

static bool wants_content(const struct attached *attached, const struct render *render)
{
	return render->attachments != ATTACHMENTS_STUBS && attached->here && attached->revpos > render->known_revpos;
}

static void write_attachment(
    struct writer *writer, struct api_database *database, const struct attached *attached, const struct render *render)
{
	char digest[ATTACHED_DIGEST_SIZE];

	if (writer->rc == 0)
		writer->rc = attached_format_digest(database, attached, digest, writer->err);
	if (writer->rc != 0)
		return;
	writer_slice(writer, attached->name);
	writer_text(writer, ":{\"content_type\":");
	writer_slice(writer, attached->type);
	writer_format(writer, ",\"revpos\":%" PRId64 ",\"digest\":\"%s\"", attached->revpos, digest);
	if (!wants_content(attached, render))
		writer_format(writer, ",\"length\":%" PRId64 ",\"stub\":true", attached->length);
	else if (render->attachments == ATTACHMENTS_FOLLOW)
		writer_format(writer, ",\"length\":%" PRId64 ",\"follows\":true", attached->length);
	else
		write_data(writer, database, attached);
	/* Parts are sent as they are stored, so they have no encoding. */
	if (render->encoding && render->attachments != ATTACHMENTS_FOLLOW && encoding_applies(attached))
		write_encoding(writer, database, attached);
	writer_text(writer, "}");
}

static void write_attachments(struct writer *writer, struct api_database *database, const struct replica_record *record,
    const struct render *render)
{
	struct attached attached;
	size_t position = 0;
	const char *separator = "{";
	int rc = 0;

	writer_text(writer, ",\"_attachments\":");
	while (writer->rc == 0 && (rc = attached_next(database, record, &position, &attached, writer->err)) == 1) {
		writer_text(writer, separator);
		separator = ",";
		write_attachment(writer, database, &attached, render);
	}
	if (rc < 0)
		writer->rc = rc;
	writer_text(writer, *separator == '{' ? "{}" : "}");
}

/* ---- special members ---- */

struct ancestry {
	struct writer *writer;
	struct api_database *database;
	const struct replica_record *record;
	size_t count;
};

static bool write_hash(void *context, uint32_t generation, const char *hash)
{
	struct ancestry *ancestry = context;

	(void)generation;
	writer_text(ancestry->writer, ancestry->count++ > 0 ? "," : "");
	writer_string(ancestry->writer, hash);
	return ancestry->writer->rc == 0;
}

static void write_revisions(struct writer *writer, const struct replica_record *record)
{
	struct ancestry ancestry = {.writer = writer};

	writer_format(writer, ",\"_revisions\":{\"start\":%lu,\"ids\":[", (unsigned long)record->rev.generation);
	if (revtree_walk_path(record->tree, &record->rev, write_hash, &ancestry) == 0)
		(void)write_hash(&ancestry, record->rev.generation, record->rev.hash);
	writer_text(writer, "]}");
}

static bool write_info(void *context, uint32_t generation, const char *hash)
{
	struct ancestry *ancestry = context;
	struct writer *writer = ancestry->writer;
	const char *id = (const char *)ancestry->record->id.data;
	struct revision rev = {.generation = generation};
	struct revtree_leaf winner;
	bool deleted = false, here = false;

	(void)snprintf(rev.hash, sizeof(rev.hash), "%s", hash);
	(void)revtree_find(ancestry->record->tree, &rev, &deleted);
	if (revtree_winner(ancestry->record->tree, &winner) && revision_compare(&winner.revision, &rev) == 0)
		here = true;
	else if (writer->rc == 0)
		writer->rc = replica_has_body(ancestry->database->replica, id, &rev, &here, writer->err);
	writer_text(writer, ancestry->count++ > 0 ? ",{\"rev\":" : "{\"rev\":");
	writer_revision(writer, &rev);
	writer_format(writer, ",\"status\":\"%s\"}", !here ? "missing" : deleted ? "deleted" : "available");
	return writer->rc == 0;
}

/* The leaves beside the winner, live or deleted; nothing when there are none. */
static void write_leaves(struct writer *writer, const char *name, const struct replica_record *record, bool deleted)
{
	struct revtree_leaf leaf;
	size_t count = 0;

	for (size_t i = 1; revtree_leaf_at(record->tree, i, &leaf); i++) {
		if (leaf.deleted != deleted)
			continue;
		if (count++ == 0)
			writer_format(writer, ",\"%s\":[", name);
		else
			writer_text(writer, ",");
		writer_revision(writer, &leaf.revision);
	}
	if (count > 0)
		writer_text(writer, "]");
}

/* A body without its braces: it is stored as "{" members "}". */
static void write_members(struct writer *writer, const struct qosid_buf *body)
{
	if (body->len > 2) {
		writer_text(writer, ",");
		writer_bytes(writer, body->data + 1, body->len - 2);
	}
}

void render_document(struct writer *writer, struct api_database *database, const struct replica_record *record,
    const struct render *render)
{
	struct ancestry ancestry = {.writer = writer, .database = database, .record = record};

	writer_text(writer, "{\"_id\":");
	writer_string(writer, (const char *)record->id.data);
	writer_text(writer, ",\"_rev\":");
	writer_revision(writer, &record->rev);
	if (record->deleted)
		writer_text(writer, ",\"_deleted\":true");
	write_members(writer, &record->body);
	if (render->revs)
		write_revisions(writer, record);
	if (render->revs_info) {
		writer_text(writer, ",\"_revs_info\":[");
		(void)revtree_walk_path(record->tree, &record->rev, write_info, &ancestry);
		writer_text(writer, "]");
	}
	if (render->conflicts)
		write_leaves(writer, "_conflicts", record, false);
	if (render->deleted_conflicts)
		write_leaves(writer, "_deleted_conflicts", record, true);
	if (render->local_seq)
		writer_format(writer, ",\"_local_seq\":%" PRId64, record->sequence);
	if (record->attachments.len > 0)
		write_attachments(writer, database, record, render);
	writer_text(writer, "}");
}

/* ---- multipart ---- */

bool render_has_parts(struct api_database *database, const struct replica_record *record, const struct render *render)
{
	struct attached attached;
	size_t position = 0;

	while (attached_next(database, record, &position, &attached, NULL) == 1) {
		if (wants_content(&attached, render))
			return true;
	}
	return false;
}

static void write_part(struct writer *writer, struct api_database *database, const struct attached *attached)
{
	struct qosid_sink sink = writer_sink(writer);
	struct qosid_buf text = {0};
	int rc = json_string_decode(attached->type, &text, writer->err);

	writer_text(writer, "Content-Disposition: attachment; filename=");
	writer_slice(writer, attached->name);
	writer_text(writer, "\r\nContent-Type: ");
	/* A stored type is any text; one that is no header value must not become a header of its own. */
	if (rc == 0 && strpbrk(text.data ? (const char *)text.data : "\n", "\r\n") == NULL)
		writer_bytes(writer, text.data, text.len);
	else
		writer_text(writer, "application/octet-stream");
	writer_format(writer, "\r\nContent-Length: %" PRId64 "\r\n\r\n", attached->length);
	if (rc == 0 && writer->rc == 0)
		rc = attachment_read(database->replica, attached->digest, 0, -1, &sink, writer->err);
	if (rc != 0 && writer->rc == 0)
		writer->rc = rc;
	qosid_buf_free(&text);
}

void render_multipart(struct writer *writer, struct api_database *database, const struct replica_record *record,
    const struct render *render, const char *boundary)
{
	struct render follows = *render;
	struct attached attached;
	size_t position = 0;
	int rc = 0;

	follows.attachments = ATTACHMENTS_FOLLOW;
	writer_format(writer, "--%s\r\nContent-Type: application/json\r\n\r\n", boundary);
	render_document(writer, database, record, &follows);
	while (writer->rc == 0 && (rc = attached_next(database, record, &position, &attached, writer->err)) == 1) {
		if (!wants_content(&attached, &follows))
			continue;
		writer_format(writer, "\r\n--%s\r\n", boundary);
		write_part(writer, database, &attached);
	}
	if (rc < 0)
		writer->rc = rc;
	writer_format(writer, "\r\n--%s--", boundary);
}
