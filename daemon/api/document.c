/*
 * /{db}/{id}: one document, read with all of CouchDB's options, written, deleted, copied.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/render.h"
#include "daemon/api/store.h"
#include "sync/replica/replica_query.h"

#define PARTS_MAX 1000 /* of one multipart document */

/* ---- reading ---- */

/* Leaves below (or equal to) a revision. */
struct descent {
	const struct revision *ancestor;
	bool found;
};

static bool match_ancestor(void *context, uint32_t generation, const char *hash)
{
	struct descent *descent = context;

	if (generation < descent->ancestor->generation)
		return false;
	descent->found = generation == descent->ancestor->generation && strcmp(hash, descent->ancestor->hash) == 0;
	return !descent->found;
}

static bool is_below(const struct revtree *tree, const struct revision *leaf, const struct revision *ancestor)
{
	struct descent descent = {.ancestor = ancestor};

	(void)revtree_walk_path(tree, leaf, match_ancestor, &descent);
	return descent.found;
}

/* With latest=true the newest leaf that comes from the wanted revision takes its place. */
static int find_latest(struct api_database *database, const char *id, struct revision *rev, struct qosid_errbuf *err)
{
	struct replica_record head = {0};
	struct revtree_leaf leaf;
	int rc = replica_read_head(database->replica, id, &head, err);

	for (size_t i = 0; rc == 0 && revtree_leaf_at(head.tree, i, &leaf); i++) {
		if (is_below(head.tree, &leaf.revision, rev)) {
			*rev = leaf.revision;
			break;
		}
	}
	replica_record_free(&head);
	return rc;
}

static int reply_multipart(struct http_call *call, struct api_database *database, const struct replica_record *record,
    const struct render *render, struct qosid_errbuf *err)
{
	struct writer writer = writer_begin(http_call_out(call), err);
	char boundary[33], type[96];
	int rc;

	api_new_id(boundary);
	(void)snprintf(type, sizeof(type), "multipart/related; boundary=\"%s\"", boundary);
	rc = http_call_set_header(call, "Content-Type", type, err);
	render_multipart(&writer, database, record, render, boundary);
	return writer_end(&writer) != 0 ? writer.rc : rc;
}

static bool is_plain(const struct render *render)
{
	return !render->revs && !render->revs_info && !render->conflicts && !render->deleted_conflicts &&
	       !render->local_seq && !render->encoding && render->attachments == ATTACHMENTS_STUBS;
}

static int reply_document(struct http_call *call, struct api_database *database, const struct replica_record *record,
    struct render *render, struct qosid_errbuf *err)
{
	const char *since = http_call_query(call, "atts_since");
	struct writer writer;
	char rev[REVISION_TEXT_SIZE], etag[REVISION_TEXT_SIZE + 2];
	int rc = 0;

	if (since) {
		render->attachments = ATTACHMENTS_INLINE;
		rc = render_read_since(call, since, record, render);
	}
	if (rc == 0 && is_plain(render)) {
		revision_format(rev, &record->rev);
		(void)snprintf(etag, sizeof(etag), "\"%s\"", rev);
		rc = http_call_set_header(call, "ETag", etag, err);
	}
	if (rc != 0)
		return rc;
	if (render->attachments != ATTACHMENTS_STUBS &&
	    http_call_prefers(call, "multipart/related", "application/json") &&
	    render_has_parts(database, record, render))
		return reply_multipart(call, database, record, render, err);
	writer = writer_begin(http_call_out(call), err);
	render_document(&writer, database, record, render);
	writer_text(&writer, "\n");
	return writer_end(&writer);
}

static int get_one(struct http_call *call, struct api_database *database, const char *id, struct render *render,
    struct qosid_errbuf *err)
{
	const char *rev_text = http_call_query(call, "rev");
	struct replica_record record = {0};
	struct revision rev;
	bool latest;
	int rc = request_bool(call, "latest", false, &latest);

	if (rc == 0 && rev_text)
		rc = request_parse_rev(call, rev_text, strlen(rev_text), &rev);
	if (rc == 0 && rev_text && latest)
		rc = find_latest(database, id, &rev, err);
	if (rc == 0)
		rc = replica_read_document(database->replica, id, rev_text ? &rev : NULL, &record, err);
	if (rc == 0)
		rc = reply_document(call, database, &record, render, err);
	else if (rc == QOSID_ERR_NOTFOUND)
		rc = reply_store_failure(call, rc, err);
	replica_record_free(&record);
	return rc;
}

/* ---- open_revs ---- */

struct open_revs {
	struct http_call *call;
	struct api_database *database;
	const char *id;
	struct render render;
	bool latest;
	bool multipart;
	char boundary[33];
	struct writer writer;
	size_t count;
};

static void write_open_missing(struct open_revs *open, const char *rev)
{
	if (open->multipart)
		writer_format(
		    &open->writer, "--%s\r\nContent-Type: application/json; error=\"true\"\r\n\r\n", open->boundary);
	else
		writer_text(&open->writer, open->count > 0 ? "," : "");
	writer_text(&open->writer, "{\"missing\":");
	writer_string(&open->writer, rev);
	writer_text(&open->writer, open->multipart ? "}\r\n" : "}");
	open->count++;
}

static void write_open_document(struct open_revs *open, const struct replica_record *record)
{
	struct writer *writer = &open->writer;
	char inner[33];

	if (!open->multipart) {
		writer_text(writer, open->count++ > 0 ? ",{\"ok\":" : "{\"ok\":");
		render_document(writer, open->database, record, &open->render);
		writer_text(writer, "}");
		return;
	}
	open->count++;
	writer_format(writer, "--%s\r\n", open->boundary);
	if (render_has_parts(open->database, record, &open->render)) {
		api_new_id(inner);
		writer_format(writer, "Content-Type: multipart/related; boundary=\"%s\"\r\n\r\n", inner);
		render_multipart(writer, open->database, record, &open->render, inner);
	} else {
		writer_text(writer, "Content-Type: application/json\r\n\r\n");
		render_document(writer, open->database, record, &open->render);
	}
	writer_text(writer, "\r\n");
}

static int write_open_revision(struct open_revs *open, const struct revision *rev)
{
	struct replica_record record = {0};
	const char *since = http_call_query(open->call, "atts_since");
	char text[REVISION_TEXT_SIZE];
	int rc = replica_read_document(open->database->replica, open->id, rev, &record, open->writer.err);

	revision_format(text, rev);
	if (rc == QOSID_ERR_NOTFOUND) {
		rc = 0;
		write_open_missing(open, text);
	} else if (rc == 0) {
		if (since)
			rc = render_read_since(open->call, since, &record, &open->render);
		if (rc == 0)
			write_open_document(open, &record);
	}
	replica_record_free(&record);
	return rc;
}

/* The leaves that the wanted revisions stand for with latest=true, each once. */
static int write_latest(struct open_revs *open, const struct revtree *tree, const struct revision *wanted, size_t count)
{
	struct revtree_leaf leaf;
	char text[REVISION_TEXT_SIZE];
	int rc = 0;

	for (size_t i = 0; rc == 0 && revtree_leaf_at(tree, i, &leaf); i++) {
		for (size_t k = 0; k < count; k++) {
			if (is_below(tree, &leaf.revision, &wanted[k])) {
				rc = write_open_revision(open, &leaf.revision);
				break;
			}
		}
	}
	for (size_t k = 0; rc == 0 && k < count; k++) {
		if (revtree_find(tree, &wanted[k], NULL) != REVTREE_ABSENT)
			continue;
		revision_format(text, &wanted[k]);
		write_open_missing(open, text);
	}
	return rc;
}

static int write_all_leaves(struct open_revs *open, const struct revtree *tree)
{
	struct revtree_leaf leaf;
	int rc = 0;

	for (size_t i = 0; rc == 0 && revtree_leaf_at(tree, i, &leaf); i++)
		rc = write_open_revision(open, &leaf.revision);
	return rc;
}

/* Read a JSON array of revisions into out (count of them, malloc'ed). */
static int parse_revs(
    struct http_call *call, const char *text, struct revision **out, size_t *count, struct qosid_errbuf *err)
{
	struct json_slice list = {text, strlen(text)}, name, value;
	struct revision *revs = NULL;
	size_t position = 0;
	int rc = 0;

	*out = NULL;
	*count = 0;
	if (json_check(text, list.len, NULL) != 0 || json_slice_kind(list) != JSON_ARRAY)
		return reply_error(call, 400, "bad_request", "invalid UTF-8 JSON");
	while (rc == 0 && json_next(list, &position, &name, &value)) {
		struct revision *grown = reallocarray(revs, *count + 1, sizeof(*revs));

		if (!grown) {
			rc = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
			break;
		}
		revs = grown;
		if (json_slice_kind(value) != JSON_STRING)
			rc = reply_error(call, 400, "bad_request", "Invalid rev format");
		else
			rc = request_parse_rev(call, value.text + 1, value.len - 2, &revs[(*count)++]);
	}
	if (rc != 0)
		free(revs);
	else
		*out = revs;
	return rc;
}

static int write_open_revs(struct open_revs *open, const char *wanted, struct qosid_errbuf *err)
{
	struct replica_record head = {0};
	struct revision *revs = NULL;
	size_t count = 0;
	bool all = strcmp(wanted, "all") == 0, exists;
	int rc = all ? 0 : parse_revs(open->call, wanted, &revs, &count, err);

	if (rc == 0)
		rc = replica_read_head(open->database->replica, open->id, &head, err);
	exists = rc == 0;
	if (rc == QOSID_ERR_NOTFOUND && !all)
		rc = 0;
	else if (rc == QOSID_ERR_NOTFOUND)
		rc = reply_missing(open->call, "missing");
	if (rc != 0)
		goto done;
	writer_text(&open->writer, open->multipart ? "" : "[");
	if (all)
		rc = write_all_leaves(open, head.tree);
	else if (open->latest && exists)
		rc = write_latest(open, head.tree, revs, count);
	for (size_t i = 0; rc == 0 && !all && !(open->latest && exists) && i < count; i++)
		rc = write_open_revision(open, &revs[i]);
	if (open->multipart)
		writer_format(&open->writer, "--%s--", open->boundary);
	else
		writer_text(&open->writer, "]\n");
done:
	replica_record_free(&head);
	free(revs);
	return rc;
}

static int get_open_revs(struct http_call *call, struct api_database *database, const char *id, const char *wanted,
    const struct render *render, struct qosid_errbuf *err)
{
	struct open_revs open = {.call = call,
	    .database = database,
	    .id = id,
	    .render = *render,
	    .multipart = http_call_prefers(call, "multipart/mixed", "application/json"),
	    .writer = writer_begin(http_call_out(call), err)};
	char type[96];
	int rc = request_bool(call, "latest", false, &open.latest);

	api_new_id(open.boundary);
	if (open.multipart)
		open.render.attachments = ATTACHMENTS_FOLLOW;
	if (rc == 0)
		rc = write_open_revs(&open, wanted, err);
	if (rc == 0 && open.multipart) {
		(void)snprintf(type, sizeof(type), "multipart/mixed; boundary=\"%s\"", open.boundary);
		rc = http_call_set_header(call, "Content-Type", type, err);
	}
	if (rc != 0) /* the answer has been written, or will be */
		open.writer.out = NULL;
	return writer_end(&open.writer) != 0 ? open.writer.rc : rc;
}

static int get_document(struct http_call *call, struct api_database *database, const char *id, struct qosid_errbuf *err)
{
	const char *open_revs = http_call_query(call, "open_revs");
	struct render render;
	int rc = render_options(call, &render);

	if (rc == 0 && api_is_users(database) && !api_users_may_read(call, id))
		rc = reply_missing(call, "missing");
	if (rc != 0)
		return rc;
	if (open_revs)
		return get_open_revs(call, database, id, open_revs, &render, err);
	return get_one(call, database, id, &render, err);
}

/* ---- writing ---- */

/* Split a multipart body: the document's JSON text and the parts that follow. */
static int read_multipart(struct http_call *call, struct qosid_buf *text, struct multipart_part **parts, size_t *count,
    struct qosid_errbuf *err)
{
	struct qosid_buf_sink target = {text, API_JSON_BYTES};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	struct multipart multipart;
	struct multipart_part part = {0};
	int rc = multipart_open(&multipart, http_call_body(call), http_call_header(call, "Content-Type"), err);

	if (rc == 0)
		rc = multipart_next(&multipart, &part, err);
	if (rc == 0)
		rc = qosid_error(err, QOSID_ERR_INVALID, "the multipart body has no document");
	if (rc == 1)
		rc = part.gzip
			 ? spool_pump_gunzip(http_call_body(call), part.offset, part.length, API_JSON_BYTES, &sink, err)
			 : spool_pump(http_call_body(call), part.offset, part.length, &sink, err);
	while (rc == 0 && (rc = multipart_next(&multipart, &part, err)) == 1) {
		struct multipart_part *grown = reallocarray(*parts, *count + 1, sizeof(**parts));

		rc = 0;
		if (!grown || *count >= PARTS_MAX)
			return qosid_error(err, grown ? QOSID_ERR_LIMIT : QOSID_ERR_NOMEM, "too many attachments");
		*parts = grown;
		grown[(*count)++] = part;
	}
	return rc;
}

static int read_document_text(struct http_call *call, struct qosid_buf *text, struct multipart_part **parts,
    size_t *count, struct json_slice *object, struct qosid_errbuf *err)
{
	int rc;

	if (!http_call_content_is(call, "multipart/related")) {
		rc = request_read_json(call, text, object, err);
	} else {
		rc = read_multipart(call, text, parts, count, err);
		if (rc == 0)
			rc = json_check((const char *)text->data, text->len, err);
		*object = (struct json_slice){(const char *)text->data, text->len};
		if (rc == QOSID_ERR_INVALID)
			return reply_error(call, 400, "bad_request", err ? err->what : "invalid multipart body");
	}
	if (rc == 0 && json_slice_kind(*object) != JSON_OBJECT)
		return reply_error(call, 400, "bad_request", "Document must be a JSON object");
	return rc != 0 ? rc : json_check_object(object->text, object->len, object, err);
}

/* The revision that the edit extends: of the URL, the header, the document; they must agree. */
static int choose_parent(
    struct http_call *call, const struct document *document, struct revision *out, const struct revision **parent)
{
	bool found;
	int rc = request_edit_rev(call, out, &found);

	*parent = NULL;
	if (rc != 0)
		return rc;
	if (found && document->has_rev && revision_compare(out, &document->rev) != 0)
		return reply_error(
		    call, 400, "bad_request", "Document rev from request body and query string have different values");
	if (document->has_rev)
		*out = document->rev;
	if (found || document->has_rev)
		*parent = out;
	return 0;
}

/* Design documents decide what the database does for all: only administrators change them. */
static int authorize_write(
    struct http_call *call, struct api_database *database, const char *id, struct qosid_errbuf *err)
{
	return strncmp(id, "_design/", 8) == 0 ? api_authorize(call, database, true, err) : 0;
}

static int put_parsed(struct store *store, struct json_slice object, const char *id, struct qosid_errbuf *err)
{
	const struct revision *parent;
	struct revision rev;
	bool new_edits;
	int rc = request_bool(store->call, "new_edits", true, &new_edits);

	if (rc == 0)
		rc = store_check_members(store->call, object);
	if (rc != 0)
		return rc;
	rc = api_begin_write(store->database, err);
	if (rc != 0)
		return rc;
	rc = store_parse(store, object, id, err);
	if (rc == 0)
		rc = choose_parent(store->call, &store->document, &rev, &parent);
	if (rc == 0 && !new_edits && !store->document.has_rev && parent) {
		store->document.rev = rev;
		store->document.has_rev = true;
	}
	if (rc == 0)
		return store_and_reply(store, parent, !new_edits, 201, err);
	api_abort_write(store->database);
	return rc;
}

static int put_document(struct http_call *call, struct api_database *database, const char *id, struct qosid_errbuf *err)
{
	struct store store = {.call = call, .database = database};
	struct qosid_buf text = {0};
	struct multipart_part *parts = NULL;
	struct json_slice object;
	int rc = request_check_id(call, id);

	if (rc == 0)
		rc = authorize_write(call, database, id, err);
	if (rc == 0)
		rc = read_document_text(call, &text, &parts, &store.part_count, &object, err);
	store.parts = parts;
	if (rc == 0)
		rc = put_parsed(&store, object, id, err);
	store_free(&store);
	qosid_buf_wipe(&text);
	free(parts);
	return rc;
}

/* DELETE looks whether there is something to delete before it asks for a revision. */
static int delete_document(
    struct http_call *call, struct api_database *database, const char *id, struct qosid_errbuf *err)
{
	static const char tombstone[] = "{\"_deleted\":true}";
	struct store store = {.call = call, .database = database};
	struct replica_record record = {0};
	const struct revision *parent = NULL;
	struct revision rev;
	bool found;
	int rc = authorize_write(call, database, id, err);

	if (rc == 0)
		rc = request_edit_rev(call, &rev, &found);
	if (rc != 0)
		return rc;
	parent = found ? &rev : NULL;
	rc = replica_read_document(database->replica, id, NULL, &record, err);
	if (rc == QOSID_ERR_NOTFOUND &&
	    !(parent && record.tree && revtree_find(record.tree, parent, NULL) == REVTREE_LEAF))
		rc = reply_store_failure(call, rc, err);
	else if (rc == QOSID_ERR_NOTFOUND || (rc == 0 && parent))
		rc = api_begin_write(database, err);
	else if (rc == 0)
		rc = reply_conflict(call);
	replica_record_free(&record);
	if (rc != 0)
		return rc;
	rc = store_parse(&store, (struct json_slice){tombstone, strlen(tombstone)}, id, err);
	if (rc == 0)
		rc = store_and_reply(&store, parent, false, 200, err);
	else
		api_abort_write(database);
	store_free(&store);
	return rc;
}

/* ---- COPY ---- */

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)((at - digits) % 16) : -1;
}

/* "target" or "target?rev=...", percent-encoded, maybe behind "/db/" or a whole URL. */
static int parse_destination(
    struct http_call *call, struct qosid_buf *id, struct revision *rev, bool *has_rev, struct qosid_errbuf *err)
{
	const char *text = http_call_header(call, "Destination");
	size_t len;
	const char *query;
	int rc = 0;

	*has_rev = false;
	if (!text || !*text)
		return reply_error(call, 400, "bad_request", "Destination header is mandatory for COPY.");
	if (strstr(text, "://"))
		return reply_error(call, 400, "bad_request", "Destination URL must be relative.");
	rc = qosid_buf_append_text(id, "", err); /* so that an empty id is a text */
	query = strchr(text, '?');
	len = query ? (size_t)(query - text) : strlen(text);
	for (size_t i = 0; rc == 0 && i < len; i++) {
		int high = text[i] == '%' && i + 2 < len ? hex_digit(text[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(text[i + 2]) : -1;

		if (low >= 0) {
			rc = qosid_buf_append_byte(id, (uint8_t)(high * 16 + low), err);
			i += 2;
		} else {
			rc = qosid_buf_append_byte(id, (uint8_t)text[i], err);
		}
	}
	if (rc == 0 && query && strncmp(query + 1, "rev=", 4) == 0) {
		*has_rev = true;
		rc = request_parse_rev(call, query + 5, strlen(query + 5), rev);
	}
	return rc;
}

static int copy_document(
    struct http_call *call, struct api_database *database, const char *id, struct qosid_errbuf *err)
{
	struct store store = {.call = call, .database = database};
	struct replica_record record = {0};
	struct qosid_buf target = {0}, text = {0};
	const char *source_text = http_call_query(call, "rev");
	struct revision source, rev;
	struct json_slice object;
	bool has_rev;
	int rc = parse_destination(call, &target, &rev, &has_rev, err);

	const char *target_id = target.data ? (const char *)target.data : "";
	if (rc == 0)
		rc = request_check_id(call, target_id);
	if (rc == 0)
		rc = authorize_write(call, database, target_id, err);
	if (rc == 0 && source_text)
		rc = request_parse_rev(call, source_text, strlen(source_text), &source);
	if (rc == 0 && api_is_users(database) && !api_users_may_read(call, id))
		rc = reply_missing(call, "missing");
	if (rc == 0 &&
	    (rc = replica_read_document(database->replica, id, source_text ? &source : NULL, &record, err)) != 0)
		rc = reply_store_failure(call, rc, err);
	if (rc == 0)
		rc = store_compose(&record, NULL, (struct json_slice){0}, &text, err);
	if (rc == 0)
		rc = json_check_object((const char *)text.data, text.len, &object, err);
	if (rc == 0)
		rc = api_begin_write(database, err);
	if (rc != 0)
		goto done;
	rc = store_parse(&store, object, target_id, err);
	if (rc == 0)
		rc = store_and_reply(&store, has_rev ? &rev : NULL, false, 201, err);
	else
		api_abort_write(database);
done:
	store_free(&store);
	replica_record_free(&record);
	qosid_buf_free(&target);
	qosid_buf_wipe(&text);
	return rc;
}

int api_document_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct qosid_buf id = {0};
	size_t rest;
	int rc = request_document_id(call, &id, &rest, err);

	if (rc == 0) {
		const char *text = id.data ? (const char *)id.data : "";

		switch (http_call_method(call)) {
		case HTTP_GET:
		case HTTP_HEAD:
			rc = get_document(call, database, text, err);
			break;
		case HTTP_PUT:
			rc = put_document(call, database, text, err);
			break;
		case HTTP_DELETE:
			rc = delete_document(call, database, text, err);
			break;
		case HTTP_COPY:
			rc = copy_document(call, database, text, err);
			break;
		default:
			rc = reply_method(call, "COPY,DELETE,GET,HEAD,PUT");
		}
	}
	qosid_buf_free(&id);
	return api_done(rc);
}
