/*
 * /{db}/{id}/{attachment}: the content of one attachment. Its name may hold slashes, raw or encoded.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api/encoding.h"
#include "daemon/api/store.h"

struct target {
	struct http_call *call;
	struct api_database *database;
	struct qosid_buf id;
	struct qosid_buf name;
};

static int read_target(struct target *target, struct qosid_errbuf *err)
{
	size_t rest;
	int rc = request_document_id(target->call, &target->id, &rest, err);

	for (size_t i = rest; rc == 0 && i < http_call_segment_count(target->call); i++) {
		if (i > rest)
			rc = qosid_buf_append_byte(&target->name, '/', err);
		if (rc == 0)
			rc = qosid_buf_append_text(&target->name, http_call_segment(target->call, i), err);
	}
	if (rc == 0)
		rc = request_check_id(target->call, (const char *)target->id.data);
	return rc;
}

/* ---- reading ---- */

struct content {
	struct api_database *database;
	uint8_t digest[DIGEST_BYTES];
};

static int produce(
    void *context, uint64_t offset, uint64_t len, const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	const struct content *content = context;

	return attachment_read(content->database->replica, content->digest, (int64_t)offset, (int64_t)len, sink, err);
}

/* A stored type is any text; only one that can be a header is sent. */
static int set_type(struct http_call *call, struct json_slice type, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int rc = json_string_decode(type, &text, err);

	if (rc == 0) {
		const char *value = text.len > 0 ? (const char *)text.data : "application/octet-stream";

		for (const char *at = value; *at; at++) {
			if ((unsigned char)*at < ' ' || *at == 127) {
				value = "application/octet-stream";
				break;
			}
		}
		rc = http_call_set_header(call, "Content-Type", value, err);
	}
	qosid_buf_free(&text);
	return rc;
}

/* The gzip form, whole: a range of it would be of no use to who does not have the rest in the same form. */
static int send_gzip(struct target *target, const struct attached *attached, struct qosid_errbuf *err)
{
	struct qosid_sink sink = spool_sink(http_call_out(target->call));
	int64_t length;
	int rc = http_call_set_header(target->call, "Content-Encoding", "gzip", err);

	if (rc == 0)
		rc = http_call_set_header(target->call, "Accept-Ranges", "none", err);
	return rc == 0 ? encoding_write(target->database, attached, &sink, &length, err) : rc;
}

/* Who asks for a range gets one of the content itself, unless the range goes on from an earlier answer (If-Range),
 * which may have been in gzip: both have the same ETag, as in CouchDB. */
static bool wants_gzip(const struct http_call *call)
{
	return encoding_accepted(http_call_header(call, "Accept-Encoding")) &&
	       (!http_call_header(call, "Range") || http_call_header(call, "If-Range"));
}

static int send_content(struct target *target, const struct attached *attached, struct qosid_errbuf *err)
{
	struct content content = {.database = target->database};
	char digest[ATTACHED_DIGEST_SIZE], etag[ATTACHED_DIGEST_SIZE + 2];
	int rc = attached_format_digest(target->database, attached, digest, err);

	if (rc != 0)
		return rc;
	memcpy(content.digest, attached->digest, DIGEST_BYTES);
	(void)snprintf(etag, sizeof(etag), "\"%s\"", strncmp(digest, "md5-", 4) == 0 ? digest + 4 : digest);
	rc = http_call_set_header(target->call, "ETag", etag, err);
	if (rc == 0)
		rc = set_type(target->call, attached->type, err);
	if (rc == 0 && encoding_applies(attached)) {
		rc = http_call_set_header(target->call, "Vary", "Accept-Encoding", err);
		if (rc == 0 && wants_gzip(target->call))
			return send_gzip(target, attached, err);
	}
	if (rc == 0)
		rc = http_call_send_range(target->call, (uint64_t)attached->length, produce, &content, err);
	return rc;
}

static int note_office(void *context, const struct attachment_absence *absence, struct qosid_errbuf *err)
{
	return qosid_buf_append_format(
	    context, err, "%sfiles/%s", ((struct qosid_buf *)context)->len > 0 ? ", " : "", absence->office);
}

/* The document is here and this content is not: say where it is. */
static int reply_absent(struct target *target, const struct attached *attached, struct qosid_errbuf *err)
{
	struct qosid_buf where = {0};
	char reason[600];
	int rc = attachment_visit_absent(target->database->replica, attached->digest, note_office, &where, err);

	if (rc == 0 && where.len > 0)
		(void)snprintf(reason, sizeof(reason),
		    "The attachment's content (%" PRId64
		    " bytes) is not here but in %.200s; `qosid fetch-file` brings it",
		    attached->length, (const char *)where.data);
	else
		(void)snprintf(reason, sizeof(reason), "The attachment's content has not arrived yet");
	qosid_buf_free(&where);
	return rc == 0 ? reply_missing(target->call, reason) : rc;
}

static int get_attachment(struct target *target, struct qosid_errbuf *err)
{
	struct http_call *call = target->call;
	const char *rev_text = http_call_query(call, "rev"), *id = (const char *)target->id.data;
	struct replica_record record = {0};
	struct attached attached;
	struct revision rev;
	int rc = rev_text ? request_parse_rev(call, rev_text, strlen(rev_text), &rev) : 0;

	if (rc == 0 && api_is_users(target->database) && !api_users_may_read(call, id))
		rc = reply_missing(call, "missing");
	if (rc != 0)
		return rc;
	rc = replica_read_document(target->database->replica, id, rev_text ? &rev : NULL, &record, err);
	if (rc == QOSID_ERR_NOTFOUND) {
		rc = reply_store_failure(call, rc, err);
	} else if (rc == 0) {
		rc = attached_find(target->database, &record, (const char *)target->name.data, &attached, err);
		if (rc == QOSID_ERR_NOTFOUND)
			rc = reply_missing(call, "Document is missing attachment");
		else if (rc == 0 && !attached.here)
			rc = reply_absent(target, &attached, err);
		else if (rc == 0)
			rc = send_content(target, &attached, err);
	}
	replica_record_free(&record);
	return rc;
}

/* ---- writing ---- */

/* The revision to change, which the caller must name unless there is no live document. */
static int read_base(
    struct target *target, const struct revision *parent, struct replica_record *record, struct qosid_errbuf *err)
{
	const char *id = (const char *)target->id.data;
	int rc = replica_read_document(target->database->replica, id, parent, record, err);

	if (rc == 0 && !parent)
		return reply_conflict(target->call);
	if (rc != QOSID_ERR_NOTFOUND)
		return rc;
	if (parent)
		return record->tree ? reply_conflict(target->call) : reply_missing(target->call, "missing");
	/* A new document, or one upon a tombstone, begins empty. */
	qosid_buf_reset(&record->body);
	qosid_buf_reset(&record->attachments);
	return 0;
}

/* Inside the transaction: compose the document anew, with the attachment (extra) or without it, and store it. */
static int store_changed(struct target *target, const struct replica_record *record, const struct revision *parent,
    struct json_slice extra, unsigned status, struct qosid_errbuf *err)
{
	struct store store = {
	    .call = target->call, .database = target->database, .attachment = (const char *)target->name.data};
	struct qosid_buf text = {0};
	struct json_slice object;
	int rc = store_compose(record, (const char *)target->name.data, extra, &text, err);

	if (rc == 0)
		rc = json_check_object((const char *)text.data, text.len, &object, err);
	if (rc == 0)
		rc = store_parse(&store, object, (const char *)target->id.data, err);
	if (rc == 0)
		rc = store_and_reply(&store, parent, false, status, err);
	else
		api_abort_write(target->database);
	store_free(&store);
	qosid_buf_wipe(&text);
	return rc;
}

static int format_member(struct target *target, const uint8_t digest[DIGEST_BYTES], int64_t length,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	const char *type = http_call_header(target->call, "Content-Type");
	struct writer writer = {.err = err};
	char text[DIGEST_TEXT_SIZE];

	digest_format(text, digest);
	writer_string(&writer, (const char *)target->name.data);
	writer_text(&writer, ":{\"content_type\":");
	writer_string(&writer, type && *type ? type : "application/octet-stream");
	writer_format(&writer, ",\"digest\":\"%s\",\"length\":%" PRId64 ",\"stub\":true}", text, length);
	*out = writer.buf;
	return writer.rc;
}

static int put_attachment(struct target *target, const struct revision *parent, struct qosid_errbuf *err)
{
	const struct spool *body = http_call_body(target->call);
	const char *encoding = http_call_header(target->call, "Content-Encoding");
	struct replica_record record = {0};
	struct qosid_buf member = {0};
	uint8_t digest[DIGEST_BYTES];
	int64_t length;
	int rc = api_begin_write(target->database, err);

	if (rc != 0)
		return rc;
	rc = read_base(target, parent, &record, err);
	if (rc == 0)
		rc = store_content(target->database, body, 0, body ? spool_length(body) : 0,
		    encoding && strcmp(encoding, "gzip") == 0, digest, &length, err);
	if (rc == 0)
		rc = format_member(target, digest, length, &member, err);
	if (rc != 0)
		api_abort_write(target->database);
	else
		rc = store_changed(
		    target, &record, parent, (struct json_slice){(const char *)member.data, member.len}, 201, err);
	if (rc < 0)
		rc = reply_store_failure(target->call, rc, err);
	replica_record_free(&record);
	qosid_buf_free(&member);
	return rc;
}

static int delete_attachment(struct target *target, const struct revision *parent, struct qosid_errbuf *err)
{
	struct replica_record record = {0};
	struct attached attached;
	int rc = api_begin_write(target->database, err);

	if (rc != 0)
		return rc;
	rc = read_base(target, parent, &record, err);
	if (rc == 0) {
		rc = attached_find(target->database, &record, (const char *)target->name.data, &attached, err);
		if (rc == QOSID_ERR_NOTFOUND)
			rc = reply_missing(target->call, "Document is missing attachment");
	}
	if (rc != 0)
		api_abort_write(target->database);
	else
		rc = store_changed(target, &record, parent, (struct json_slice){0}, 200, err);
	replica_record_free(&record);
	return rc;
}

static int write_attachment(struct target *target, struct qosid_errbuf *err)
{
	struct http_call *call = target->call;
	struct revision rev;
	char reason[160];
	bool found, design = strncmp((const char *)target->id.data, "_design/", 8) == 0;
	int rc = design ? api_authorize(call, target->database, true, err) : 0;

	if (rc == 0)
		rc = request_edit_rev(call, &rev, &found);
	if (rc == 0 && target->name.len > 0 && target->name.data[0] == '_') {
		(void)snprintf(reason, sizeof(reason), "Attachment name '%.100s' starts with prohibited character '_'",
		    (const char *)target->name.data);
		rc = reply_error(call, 400, "bad_request", reason);
	}
	if (rc != 0)
		return rc;
	if (http_call_method(call) == HTTP_PUT)
		return put_attachment(target, found ? &rev : NULL, err);
	return delete_attachment(target, found ? &rev : NULL, err);
}

int api_attachment_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct target target = {.call = call, .database = database};
	int rc = read_target(&target, err);

	if (rc == 0) {
		switch (http_call_method(call)) {
		case HTTP_GET:
		case HTTP_HEAD:
			rc = get_attachment(&target, err);
			break;
		case HTTP_PUT:
		case HTTP_DELETE:
			rc = write_attachment(&target, err);
			break;
		default:
			rc = reply_method(call, "DELETE,GET,HEAD,PUT");
		}
	}
	qosid_buf_free(&target.id);
	qosid_buf_free(&target.name);
	return api_done(rc);
}
