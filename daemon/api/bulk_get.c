/*
 * _bulk_get: many documents in one answer, as JSON or as multipart/mixed or related, whose parts are documents with
 * the contents of their attachments.
 */
#include "daemon/api/bulk_get.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/render.h"
#include "sync/replica/replica_query.h"

struct bulk_get {
	struct http_call *call;
	struct api_database *database;
	struct render render;
	bool latest;
	bool multipart;
	char boundary[33];
	struct writer writer;
	size_t count; /* of documents in the row */
};

/* ---- one document or error ---- */

static void write_error_object(
    struct writer *writer, const char *id, const char *rev, const char *error, const char *reason)
{
	writer_text(writer, "{\"id\":");
	writer_string(writer, id);
	writer_text(writer, ",\"rev\":");
	writer_string(writer, rev);
	writer_text(writer, ",\"error\":");
	writer_string(writer, error);
	writer_text(writer, ",\"reason\":");
	writer_string(writer, reason);
	writer_text(writer, "}");
}

static void write_get_error(
    struct bulk_get *get, const char *id, const char *rev, const char *error, const char *reason)
{
	struct writer *writer = &get->writer;

	get->count++;
	if (get->multipart) {
		writer_format(
		    writer, "\r\n--%s\r\nContent-Type: application/json; error=\"true\"\r\n\r\n", get->boundary);
		write_error_object(writer, id, rev, error, reason);
		return;
	}
	writer_text(writer, get->count > 1 ? ",{\"error\":" : "{\"error\":");
	write_error_object(writer, id, rev, error, reason);
	writer_text(writer, "}");
}

/* Whether an id can stand in a header. */
static bool is_header_value(const char *id)
{
	for (; *id; id++) {
		if ((unsigned char)*id < ' ' || *id == 0x7f)
			return false;
	}
	return true;
}

/* A part of the outer entity: the document, as an entity of its own when contents follow. */
static void write_get_part(struct bulk_get *get, const struct replica_record *record, const struct render *render)
{
	const char *id = (const char *)record->id.data;
	struct writer *writer = &get->writer;
	char inner[33], rev[REVISION_TEXT_SIZE];

	writer_format(writer, "\r\n--%s\r\n", get->boundary);
	if (!render_has_parts(get->database, record, render)) {
		writer_text(writer, "Content-Type: application/json\r\n\r\n");
		render_document(writer, get->database, record, render);
		return;
	}
	api_new_id(inner);
	revision_format(rev, &record->rev);
	if (is_header_value(id)) {
		writer_text(writer, "X-Doc-Id: ");
		writer_text(writer, id);
		writer_text(writer, "\r\n");
	}
	writer_format(writer, "X-Rev-Id: %s\r\nContent-Type: multipart/related; boundary=\"%s\"\r\n\r\n", rev, inner);
	render_multipart(writer, get->database, record, render, inner);
}

static void write_get_document(struct bulk_get *get, const struct replica_record *record, const struct render *render)
{
	get->count++;
	if (get->multipart) {
		write_get_part(get, record, render);
		return;
	}
	writer_text(&get->writer, get->count > 1 ? ",{\"ok\":" : "{\"ok\":");
	render_document(&get->writer, get->database, record, render);
	writer_text(&get->writer, "}");
}

static int write_get_revision(struct bulk_get *get, const char *id, const struct revision *rev, const char *since)
{
	struct replica_record record = {0};
	struct render render = get->render;
	char text[REVISION_TEXT_SIZE];
	int rc = replica_read_document(get->database->replica, id, rev, &record, get->writer.err);

	revision_format(text, rev);
	if (rc == QOSID_ERR_NOTFOUND) {
		rc = 0;
		write_get_error(get, id, text, "not_found", "missing");
	} else if (rc == 0) {
		if (since)
			rc = render_read_since(get->call, since, &record, &render);
		if (rc == 0)
			write_get_document(get, &record, &render);
	}
	replica_record_free(&record);
	return rc;
}

struct below {
	const struct revision *ancestor;
	bool found;
};

static bool match_below(void *context, uint32_t generation, const char *hash)
{
	struct below *below = context;

	below->found =
	    below->found || (generation == below->ancestor->generation && strcmp(hash, below->ancestor->hash) == 0);
	return !below->found && generation > below->ancestor->generation;
}

/* All leaves (rev NULL), or those at or below rev. */
static int write_get_leaves(struct bulk_get *get, const char *id, const struct revision *rev, const char *since)
{
	struct replica_record head = {0};
	struct revtree_leaf leaf;
	char text[REVISION_TEXT_SIZE] = "undefined";
	int rc = replica_read_head(get->database->replica, id, &head, get->writer.err);

	for (size_t i = 0; rc == 0 && revtree_leaf_at(head.tree, i, &leaf); i++) {
		struct below below = {.ancestor = rev};

		if (rev)
			(void)revtree_walk_path(head.tree, &leaf.revision, match_below, &below);
		if (!rev || below.found)
			rc = write_get_revision(get, id, &leaf.revision, since);
	}
	if (rev)
		revision_format(text, rev);
	if (rc == QOSID_ERR_NOTFOUND)
		rc = 0;
	if (rc == 0 && get->count == 0)
		write_get_error(get, id, text, "not_found", "missing");
	replica_record_free(&head);
	return rc;
}

static int text_member(
    struct json_slice object, const char *name, struct qosid_buf *out, bool *found, struct qosid_errbuf *err)
{
	struct json_slice value;

	qosid_buf_reset(out);
	*found = json_slice_kind(object) == JSON_OBJECT && json_find(object, name, &value) &&
		 json_slice_kind(value) == JSON_STRING;
	return *found ? json_string_decode(value, out, err) : qosid_buf_append_text(out, "", err);
}

static int write_get_row(struct bulk_get *get, struct json_slice item, struct qosid_buf *id, struct qosid_buf *rev_text,
    struct qosid_errbuf *err)
{
	struct qosid_buf since = {0};
	struct json_slice value;
	struct revision rev;
	bool has_id, has_rev;
	int rc = text_member(item, "id", id, &has_id, err);

	if (rc == 0)
		rc = text_member(item, "rev", rev_text, &has_rev, err);
	if (rc == 0 && has_id && json_find(item, "atts_since", &value))
		rc = qosid_buf_append(&since, value.text, value.len, err);
	if (rc != 0)
		goto done;
	get->count = 0;
	if (!get->multipart) {
		writer_text(&get->writer, "{\"id\":");
		writer_string(&get->writer, has_id ? (const char *)id->data : "null");
		writer_text(&get->writer, ",\"docs\":[");
	}
	if (!has_id) {
		write_get_error(get, "null", "null", "bad_request", "document id missed");
	} else if (has_rev && revision_parse(&rev, (const char *)rev_text->data, rev_text->len, NULL) != 0) {
		write_get_error(
		    get, (const char *)id->data, (const char *)rev_text->data, "bad_request", "Invalid rev format");
	} else if (has_rev && !get->latest) {
		rc = write_get_revision(get, (const char *)id->data, &rev, (const char *)since.data);
	} else {
		rc = write_get_leaves(get, (const char *)id->data, has_rev ? &rev : NULL, (const char *)since.data);
	}
	writer_text(&get->writer, get->multipart ? "" : "]}");
done:
	qosid_buf_free(&since);
	return rc;
}

static int read_request(struct bulk_get *get, struct qosid_buf *text, struct json_slice *docs, struct qosid_errbuf *err)
{
	struct http_call *call = get->call;
	struct json_slice body;
	int rc = request_need_json(call);

	if (rc == 0)
		rc = request_read_json(call, text, &body, err);
	if (rc == 0 && (json_slice_kind(body) != JSON_OBJECT || !json_find(body, "docs", docs)))
		rc = reply_error(call, 400, "bad_request", "Missing JSON list of 'docs'.");
	if (rc == 0 && json_slice_kind(*docs) != JSON_ARRAY)
		rc = reply_error(call, 400, "bad_request", "`docs` parameter must be an array.");
	if (rc == 0)
		rc = render_options(call, &get->render);
	if (rc == 0)
		rc = request_bool(call, "latest", false, &get->latest);
	return rc;
}

static bool wants(const struct http_call *call, const char *type)
{
	return http_call_prefers(call, type, "application/json") && !http_call_prefers(call, "application/json", type);
}

/* JSON whenever the client takes it as gladly, as CouchDB does. */
static int choose_form(struct bulk_get *get, struct qosid_errbuf *err)
{
	bool mixed = wants(get->call, "multipart/mixed"), related = wants(get->call, "multipart/related");
	char type[96];

	get->multipart = mixed || related;
	if (!get->multipart)
		return 0;
	get->render.attachments = ATTACHMENTS_FOLLOW;
	api_new_id(get->boundary);
	(void)snprintf(type, sizeof(type), "multipart/%s; boundary=\"%s\"", mixed ? "mixed" : "related", get->boundary);
	return http_call_set_header(get->call, "Content-Type", type, err);
}

int api_bulk_get(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct bulk_get get = {.call = call, .database = database, .writer = writer_begin(http_call_out(call), err)};
	struct qosid_buf text = {0}, id = {0}, rev = {0};
	struct json_slice docs = {0}, name, item;
	size_t position = 0, rows = 0;
	int rc = read_request(&get, &text, &docs, err);

	if (rc == 0)
		rc = choose_form(&get, err);
	if (rc == 0 && !get.multipart)
		writer_text(&get.writer, "{\"results\":[");
	while (rc == 0 && get.writer.rc == 0 && json_next(docs, &position, &name, &item)) {
		writer_text(&get.writer, rows++ > 0 && !get.multipart ? ",\n" : "");
		rc = write_get_row(&get, item, &id, &rev, err);
	}
	if (rc != 0)
		get.writer.out = NULL;
	else if (get.multipart)
		writer_format(&get.writer, "\r\n--%s--\r\n", get.boundary);
	else
		writer_text(&get.writer, "]}\n");
	if (writer_end(&get.writer) != 0 && rc == 0)
		rc = get.writer.rc;
	qosid_buf_wipe(&text);
	qosid_buf_free(&id);
	qosid_buf_free(&rev);
	return rc;
}
