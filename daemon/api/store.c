/* Writing one document; see store.h. */
#include "daemon/api/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api/render.h"
#include "sync/replica/replica_query.h"

void store_free(struct store *store)
{
	document_free(&store->document);
	qosid_buf_wipe(&store->text);
	qosid_buf_wipe(&store->attachments);
	validation_free(&store->validation);
}

/* ---- checks ---- */

/* Not what CouchDB's replicator writes into its documents, see document.h. */
static bool is_special(struct json_slice name)
{
	static const char ordinary[] = "\"_replication_";

	return name.len > 2 && name.text[1] == '_' &&
	       !(name.len > sizeof(ordinary) && memcmp(name.text, ordinary, sizeof(ordinary) - 1) == 0);
}

static int check_id_member(struct http_call *call, struct json_slice value)
{
	struct qosid_buf id = {0};
	int rc;

	if (json_slice_kind(value) != JSON_STRING)
		return reply_error(call, 400, "illegal_docid", "Document id must be a string");
	rc = json_string_decode(value, &id, NULL);
	if (rc == 0 && id.len > 0 && memchr(id.data, '\0', id.len))
		rc = reply_error(call, 400, "illegal_docid", "Document id must not hold a NUL character");
	else if (rc == 0)
		rc = request_check_id(call, id.data ? (const char *)id.data : "");
	qosid_buf_free(&id);
	return rc;
}

static int check_special(struct http_call *call, struct json_slice name, struct json_slice value)
{
	static const char *const dropped[] = {
	    "_revisions", "_conflicts", "_deleted_conflicts", "_revs_info", "_local_seq", "_revs_diff"};
	enum json_kind kind = json_slice_kind(value);
	char reason[160];
	struct revision rev;

	if (json_string_equal(name, "_id"))
		return check_id_member(call, value);
	if (json_string_equal(name, "_rev"))
		return kind != JSON_STRING ? reply_error(call, 400, "bad_request", "Invalid rev format")
					   : request_parse_rev(call, value.text + 1, value.len - 2, &rev);
	if (json_string_equal(name, "_deleted"))
		return kind == JSON_TRUE || kind == JSON_FALSE
			   ? 0
			   : reply_error(call, 400, "doc_validation", "`_deleted` must be a boolean");
	if (json_string_equal(name, "_attachments"))
		return kind == JSON_OBJECT
			   ? 0
			   : reply_error(call, 400, "doc_validation", "`_attachments` must be an object");
	for (size_t i = 0; i < sizeof(dropped) / sizeof(*dropped); i++) {
		if (json_string_equal(name, dropped[i]))
			return 0;
	}
	(void)snprintf(reason, sizeof(reason), "Bad special document member: %.*s",
	    name.len > 102 ? 100 : (int)name.len - 2, name.text + 1);
	return reply_error(call, 400, "doc_validation", reason);
}

int store_check_members(struct http_call *call, struct json_slice object)
{
	struct json_slice name, value;
	size_t position = 0;
	int rc = 0;

	if (json_slice_kind(object) != JSON_OBJECT)
		return reply_error(call, 400, "bad_request", "Document must be a JSON object");
	while (rc == 0 && json_next(object, &position, &name, &value)) {
		if (is_special(name))
			rc = check_special(call, name, value);
	}
	return rc;
}

/* ---- parsing ---- */

/* The object with this _id first, and without its own. */
static int replace_id(struct qosid_buf *out, struct json_slice object, const char *id, struct qosid_errbuf *err)
{
	struct json_slice name, value;
	size_t position = 0;
	int rc = qosid_buf_append_text(out, "{\"_id\":", err);

	if (rc == 0)
		rc = json_string_encode(out, id, strlen(id), err);
	while (rc == 0 && json_next(object, &position, &name, &value)) {
		if (json_string_equal(name, "_id"))
			continue;
		rc = qosid_buf_append_byte(out, ',', err);
		if (rc == 0)
			rc = qosid_buf_append(out, name.text, (size_t)(value.text + value.len - name.text), err);
	}
	return rc != 0 ? rc : qosid_buf_append_byte(out, '}', err);
}

static int prepare_user(struct store *store, struct json_slice object, struct qosid_errbuf *err)
{
	struct qosid_buf prepared = {0};
	int rc = api_users_prepare(store->call, store->database, object, &prepared, err);

	if (rc == 0) {
		qosid_buf_wipe(&store->text);
		store->text = prepared;
	} else {
		qosid_buf_wipe(&prepared);
	}
	return rc;
}

int store_parse(struct store *store, struct json_slice object, const char *id, struct qosid_errbuf *err)
{
	char made[33];
	struct json_slice value;
	int rc = store_check_members(store->call, object);

	if (rc != 0)
		return rc;
	if (!id && !json_find(object, "_id", &value)) {
		api_new_id(made);
		id = made;
	}
	qosid_buf_reset(&store->text);
	if (id)
		rc = replace_id(&store->text, object, id, err);
	else
		rc = qosid_buf_append(&store->text, object.text, object.len, err);
	if (rc == 0 && api_is_users(store->database)) {
		struct json_slice whole = {(const char *)store->text.data, store->text.len};

		rc = prepare_user(store, whole, err);
	}
	if (rc == 0)
		rc = document_parse(&store->document, (const char *)store->text.data, store->text.len, err);
	if (rc == QOSID_ERR_LIMIT)
		return reply_error(store->call, 413, "document_too_large", err ? err->what : "too large");
	if (rc == QOSID_ERR_INVALID)
		return reply_error(store->call, 400, "bad_request", err ? err->what : "invalid document");
	return rc;
}

/* ---- attachments ---- */

static int push_writer(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	return attachment_writer_write(context, data, len, err);
}

int store_content(struct api_database *database, const struct spool *body, uint64_t offset, uint64_t length, bool gzip,
    uint8_t digest[DIGEST_BYTES], int64_t *stored, struct qosid_errbuf *err)
{
	struct attachment_writer *writer;
	struct qosid_sink sink;
	int rc = attachment_writer_open(&writer, database->replica, err);

	if (rc != 0)
		return rc;
	sink = (struct qosid_sink){push_writer, writer};
	if (gzip)
		rc = spool_pump_gunzip(body, offset, length, LIMIT_ATTACHMENT_BYTES, &sink, err);
	else if (length > 0)
		rc = spool_pump(body, offset, length, &sink, err);
	if (rc == 0)
		rc = attachment_writer_finish(writer, digest, stored, err);
	attachment_writer_free(writer);
	return rc;
}

static bool is_true(struct json_slice object, const char *name)
{
	struct json_slice value;

	return json_find(object, name, &value) && json_slice_kind(value) == JSON_TRUE;
}

/* The part with the attachment's name, else the next one without a name, else the next one. */
static const struct multipart_part *find_part(struct store *store, struct json_slice name)
{
	struct multipart_part *unnamed = NULL, *any = NULL, *found = NULL;

	for (size_t i = 0; i < store->part_count && !found; i++) {
		struct multipart_part *part = &store->parts[i];

		if (part->taken)
			continue;
		if (part->filename[0] != '\0' && json_string_equal(name, part->filename))
			found = part;
		if (!unnamed && part->filename[0] == '\0')
			unnamed = part;
		if (!any)
			any = part;
	}
	if (!found)
		found = unnamed ? unnamed : any;
	if (found)
		found->taken = true;
	return found;
}

/* Write what the replica takes for content that it has. */
static void write_stub(
    struct writer *writer, struct json_slice object, const uint8_t digest[DIGEST_BYTES], int64_t length)
{
	struct json_slice value;
	unsigned long long number;
	char text[DIGEST_TEXT_SIZE];

	digest_format(text, digest);
	writer_format(writer, "{\"digest\":\"%s\",\"length\":%" PRId64 ",\"stub\":true", text, length);
	if (json_find(object, "content_type", &value)) {
		writer_text(writer, ",\"content_type\":");
		writer_slice(writer, value);
	}
	if (json_find(object, "revpos", &value) && json_parse_unsigned(value, UINT32_MAX, &number, NULL) == 0 &&
	    number > 0)
		writer_format(writer, ",\"revpos\":%llu", number);
	writer_text(writer, "}");
}

static int take_part(struct store *store, struct writer *writer, struct json_slice name, struct json_slice object)
{
	const struct multipart_part *part = find_part(store, name);
	uint8_t digest[DIGEST_BYTES];
	struct json_slice value;
	int64_t length;
	bool gzip;
	int rc;

	if (!part)
		return qosid_error(
		    writer->err, QOSID_ERR_INVALID, "an attachment that follows has no part in the body");
	gzip = part->gzip || (json_find(object, "encoding", &value) && json_string_equal(value, "gzip"));
	rc = store_content(store->database, http_call_body(store->call), part->offset, part->length, gzip, digest,
	    &length, writer->err);
	if (rc == 0)
		write_stub(writer, object, digest, length);
	return rc;
}

/* A stub in a revision made elsewhere means what the nearest ancestor has under that name. */
static int take_ancestors(struct store *store, struct writer *writer, struct json_slice name, struct json_slice object)
{
	const struct document *document = &store->document;
	const char *id = (const char *)document->id.data;
	struct replica_record record = {0};
	struct qosid_buf text = {0};
	struct attached attached = {0};
	struct revision rev;
	bool found = false;
	int rc = json_string_decode(name, &text, writer->err);

	for (size_t i = 0; rc == 0 && !found && i < document->revision_count; i++) {
		rev = (struct revision){.generation = document->revisions_start - (uint32_t)i};
		(void)snprintf(rev.hash, sizeof(rev.hash), "%s", document->revisions[i]);
		rc = replica_read_document(store->database->replica, id, &rev, &record, writer->err);
		if (rc == 0)
			rc = attached_find(
			    store->database, &record, text.data ? (const char *)text.data : "", &attached, writer->err);
		found = rc == 0;
		if (rc == QOSID_ERR_NOTFOUND)
			rc = 0;
	}
	if (rc == 0 && !found)
		rc = qosid_error(writer->err, QOSID_ERR_INVALID, "Invalid attachment stub in %s for %s: missing_stub",
		    id, text.data ? (const char *)text.data : "");
	if (rc == 0)
		write_stub(writer, object, attached.digest, attached.length);
	replica_record_free(&record);
	qosid_buf_free(&text);
	return rc;
}

static bool has_own_digest(struct json_slice object)
{
	struct json_slice digest, length;

	return json_find(object, "digest", &digest) && digest.len > sizeof(DIGEST_PREFIX) &&
	       memcmp(digest.text + 1, DIGEST_PREFIX, strlen(DIGEST_PREFIX)) == 0 &&
	       json_find(object, "length", &length);
}

/* Bring _attachments into the form that the replica takes: parts are stored, peers' stubs resolved. */
static int take_attachments(struct store *store, bool replicated, struct qosid_errbuf *err)
{
	struct json_slice name, object, data, all = store->document.attachments;
	struct writer writer = {.buf = store->attachments, .err = err};
	const char *separator = "{";
	size_t position = 0;

	qosid_buf_reset(&writer.buf);
	while (writer.rc == 0 && json_next(all, &position, &name, &object)) {
		bool is_object = json_slice_kind(object) == JSON_OBJECT;
		bool has_data = is_object && json_find(object, "data", &data);
		int rc = 0;

		writer_text(&writer, separator);
		writer_slice(&writer, name);
		writer_text(&writer, ":");
		separator = ",";
		if (is_object && !has_data && is_true(object, "follows"))
			rc = take_part(store, &writer, name, object);
		else if (is_object && !has_data && replicated && !has_own_digest(object))
			rc = take_ancestors(store, &writer, name, object);
		else
			writer_slice(&writer, object);
		if (rc != 0 && writer.rc == 0)
			writer.rc = rc;
	}
	writer_text(&writer, *separator == '{' ? "{}" : "}");
	store->attachments = writer.buf;
	return writer.rc;
}

static struct json_slice attachments_of(const struct store *store)
{
	if (store->document.attachments.len == 0)
		return (struct json_slice){0};
	return (struct json_slice){(const char *)store->attachments.data, store->attachments.len};
}

/* ---- storing ---- */

static struct json_slice body_of(const struct store *store)
{
	return (struct json_slice){(const char *)store->document.body.data, store->document.body.len};
}

static int put_revision(struct store *store, const struct revtree_path *path, struct qosid_errbuf *err)
{
	struct replica_revision revision = {
	    .id = (const char *)store->document.id.data,
	    .path = *path,
	    .body = body_of(store),
	    .attachments = attachments_of(store),
	    .user = api_user(store->call),
	    .time = api_now(),
	    .pending = true,
	};

	return replica_put_revision(store->database->replica, &revision, NULL, err);
}

static int put_replicated(struct store *store, struct qosid_errbuf *err)
{
	const struct document *document = &store->document;
	const char *own[1] = {document->rev.hash};
	struct revtree_path path = {document->rev.generation, own, 1, document->deleted};

	if (!document->has_rev)
		return qosid_error(err, QOSID_ERR_INVALID,
		    "When `new_edits: false`, the document needs `_rev` or `_revisions` specified");
	if (document->has_revisions) {
		path.hashes = document->revisions;
		path.count = document->revision_count;
	}
	store->written = document->rev;
	return put_revision(store, &path, err);
}

/* An edit of a revision of a document that is not here at all: CouchDB takes the client's word for the parent. */
static int put_orphan(struct store *store, const struct revision *parent, struct qosid_errbuf *err)
{
	struct revtree_path path = {.count = 2, .deleted = store->document.deleted};
	const char *hashes[2];
	int rc = revision_compute(
	    &store->written, parent, store->document.deleted, body_of(store), (struct json_slice){0}, err);

	hashes[0] = store->written.hash;
	hashes[1] = parent->hash;
	path.hashes = hashes;
	path.generation = store->written.generation;
	return rc != 0 ? rc : put_revision(store, &path, err);
}

int store_put(struct store *store, const struct revision *parent, bool replicated, struct qosid_errbuf *err)
{
	struct replica *replica = store->database->replica;
	struct replica_edit edit = {
	    .id = (const char *)store->document.id.data,
	    .parent = parent,
	    .deleted = store->document.deleted,
	    .body = body_of(store),
	    .user = api_user(store->call),
	    .time = api_now(),
	};
	struct replica_record head = {0};
	int64_t before;
	int rc = design_validate(store, parent, replicated, err);

	if (rc == 0 && store->document.attachments.len > 0)
		rc = take_attachments(store, replicated, err);
	if (rc != 0)
		return rc;
	if (replicated)
		return put_replicated(store, err);
	edit.attachments = attachments_of(store);
	before = replica_last_sequence(replica);
	rc = replica_put_edit(replica, &edit, &store->written, err);
	/* The same edit twice is one revision to the replica; a client of CouchDB is told that it came too late. */
	if (rc == 0 && replica_last_sequence(replica) == before)
		rc = qosid_error(err, QOSID_ERR_CONFLICT, "Document update conflict.");
	if (rc == QOSID_ERR_CONFLICT && parent && edit.attachments.len == 0 && strncmp(edit.id, "_design/", 8) != 0) {
		rc = replica_read_head(replica, edit.id, &head, err);
		if (rc == QOSID_ERR_NOTFOUND)
			rc = put_orphan(store, parent, err);
		else if (rc == 0)
			rc = qosid_error(err, QOSID_ERR_CONFLICT, "Document update conflict.");
		replica_record_free(&head);
	}
	return rc;
}

int store_compose(const struct replica_record *record, const char *without, struct json_slice extra,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_slice all = {(const char *)record->attachments.data, record->attachments.len}, name, object;
	struct writer writer = {.err = err};
	size_t position = 0, count = 0;

	writer_text(&writer, "{");
	if (record->body.len > 2)
		writer_bytes(&writer, record->body.data + 1, record->body.len - 2);
	writer_text(&writer, record->body.len > 2 ? ",\"_attachments\":{" : "\"_attachments\":{");
	while (all.len > 0 && json_next(all, &position, &name, &object)) {
		if (without && json_string_equal(name, without))
			continue;
		writer_text(&writer, count++ > 0 ? "," : "");
		writer_slice(&writer, name);
		writer_text(&writer, ":");
		writer_bytes(&writer, object.text, object.len - 1);
		writer_text(&writer, ",\"stub\":true}");
	}
	if (extra.len > 0) {
		writer_text(&writer, count > 0 ? "," : "");
		writer_slice(&writer, extra);
	}
	writer_text(&writer, "}}");
	*out = writer.buf;
	return writer.rc;
}

/* "/db/id" or "/db/id/name", with what a path cannot hold escaped. */
static int set_location(struct store *store, struct qosid_errbuf *err)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~!*'()@:";
	const char *parts[3] = {store->database->name, (const char *)store->document.id.data, store->attachment};
	const char *host = http_call_header(store->call, "Host");
	struct writer writer = {.err = err};
	int rc;

	if (host)
		writer_format(&writer, "http://%s", host);
	for (size_t i = 0; i < 3 && parts[i]; i++) {
		bool design = i == 1 && strncmp(parts[i], "_design/", 8) == 0;

		writer_text(&writer, "/");
		for (const char *at = parts[i]; *at; at++) {
			if (strchr(plain, *at) || (design && at == parts[i] + 7))
				writer_bytes(&writer, at, 1);
			else
				writer_format(&writer, "%%%02X", (unsigned)(unsigned char)*at);
		}
	}
	rc = writer.rc;
	if (rc == 0)
		rc = http_call_set_header(store->call, "Location", (const char *)writer.buf.data, err);
	qosid_buf_free(&writer.buf);
	return rc;
}

int store_and_reply(
    struct store *store, const struct revision *parent, bool replicated, unsigned status, struct qosid_errbuf *err)
{
	struct http_call *call = store->call;
	char rev[REVISION_TEXT_SIZE], etag[REVISION_TEXT_SIZE + 2];
	const char *batch = http_call_query(call, "batch");
	struct writer writer;
	int rc = store_put(store, parent, replicated, err);

	if (rc != 0) {
		api_abort_write(store->database);
		return reply_store_failure(call, rc, err);
	}
	rc = api_commit_write(store->database, err);
	if (rc != 0)
		return rc;
	revision_format(rev, &store->written);
	(void)snprintf(etag, sizeof(etag), "\"%s\"", rev);
	if (batch && strcmp(batch, "ok") == 0)
		status = 202;
	http_call_set_status(call, status);
	if (status != 202)
		rc = http_call_set_header(call, "ETag", etag, err);
	if (rc == 0 && status != 200)
		rc = set_location(store, err);
	writer = writer_begin(http_call_out(call), err);
	writer_text(&writer, "{\"ok\":true,\"id\":");
	writer_string(&writer, (const char *)store->document.id.data);
	if (status != 202) {
		writer_text(&writer, ",\"rev\":");
		writer_string(&writer, rev);
	}
	writer_text(&writer, "}\n");
	return writer_end(&writer) != 0 ? writer.rc : rc;
}
