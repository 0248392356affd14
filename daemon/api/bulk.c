/*
 * Many documents in one call, and what replicators ask before they send: _bulk_docs, _bulk_get, _revs_diff,
 * _missing_revs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/render.h"
#include "daemon/api/store.h"
#include "sync/replica/replica_query.h"

/* ---- _bulk_docs ---- */

struct bulk {
	struct store store;
	bool replicated;
	struct writer writer;
	size_t rows;
};

static void begin_row(struct bulk *bulk, const char *id)
{
	writer_text(&bulk->writer, bulk->rows++ > 0 ? ",{" : "{");
	if (id) {
		writer_text(&bulk->writer, "\"id\":");
		writer_string(&bulk->writer, id);
		writer_text(&bulk->writer, ",");
	}
}

static void write_ok(struct bulk *bulk, const char *id, const char *rev)
{
	writer_text(&bulk->writer, bulk->rows++ > 0 ? ",{\"ok\":true,\"id\":" : "{\"ok\":true,\"id\":");
	writer_string(&bulk->writer, id);
	writer_text(&bulk->writer, ",\"rev\":");
	writer_string(&bulk->writer, rev);
	writer_text(&bulk->writer, "}");
}

static void write_refused(struct bulk *bulk, const char *id, const char *error, const char *reason)
{
	char rev[REVISION_TEXT_SIZE];

	begin_row(bulk, id);
	if (bulk->replicated && bulk->store.document.has_rev) {
		revision_format(rev, &bulk->store.document.rev);
		writer_text(&bulk->writer, "\"rev\":");
		writer_string(&bulk->writer, rev);
		writer_text(&bulk->writer, ",");
	}
	writer_text(&bulk->writer, "\"error\":");
	writer_string(&bulk->writer, error);
	writer_text(&bulk->writer, ",\"reason\":");
	writer_string(&bulk->writer, reason);
	writer_text(&bulk->writer, "}");
}

/* Whether the object is a _local document, whose id is then in id. */
static int find_local(struct json_slice object, struct qosid_buf *id, bool *local, struct qosid_errbuf *err)
{
	struct json_slice value;
	int rc = 0;

	qosid_buf_reset(id);
	*local = json_slice_kind(object) == JSON_OBJECT && json_find(object, "_id", &value) &&
		 json_slice_kind(value) == JSON_STRING;
	if (*local)
		rc = json_string_decode(value, id, err);
	*local = *local && id->len > 7 && memcmp(id->data, "_local/", 7) == 0 && !memchr(id->data, '\0', id->len);
	return rc;
}

static int put_local(struct bulk *bulk, const char *id, struct json_slice object, struct qosid_errbuf *err)
{
	struct json_slice value;
	char rev[LOCAL_REV_SIZE];
	bool deleted = json_find(object, "_deleted", &value) && json_slice_kind(value) == JSON_TRUE;
	int rc = local_put(bulk->store.database, id, object, deleted, rev, err);

	if (rc == 0 && !bulk->replicated)
		write_ok(bulk, id, rev);
	return rc;
}

/* A refusal that concerns one document becomes its row; anything else ends the call. */
static int note_result(struct bulk *bulk, int rc, const struct qosid_errbuf *err)
{
	const char *id = (const char *)bulk->store.document.id.data, *error, *reason;
	char rev[REVISION_TEXT_SIZE];

	switch (rc) {
	case 0:
		revision_format(rev, &bulk->store.written);
		if (!bulk->replicated)
			write_ok(bulk, id, rev);
		return 0;
	case QOSID_ERR_CONFLICT:
	case QOSID_ERR_REFUSED:
	case QOSID_ERR_LIMIT:
	case QOSID_ERR_FAILED: /* a function that judges documents does not work */
		reply_words(err, &error, &reason);
		write_refused(bulk, id, error, reason);
		return 0;
	default:
		return rc;
	}
}

static int put_one(struct bulk *bulk, struct json_slice object, struct qosid_errbuf *err)
{
	struct store *store = &bulk->store;
	int rc = store_parse(store, object, NULL, err);

	if (rc == QOSID_ERR_REFUSED) {
		const char *error, *reason;

		reply_words(err, &error, &reason);
		write_refused(bulk, NULL, error, reason);
		return 0;
	}
	if (rc != 0)
		return rc;
	if (strncmp((const char *)store->document.id.data, "_design/", 8) == 0 &&
	    !api_is_administrator(store->call, store->database)) {
		write_refused(
		    bulk, (const char *)store->document.id.data, "forbidden", "You are not a db or server admin.");
		return 0;
	}
	rc = store_put(store, store->document.has_rev ? &store->document.rev : NULL, bulk->replicated, err);
	return note_result(bulk, rc, err);
}

static int put_all(struct bulk *bulk, struct json_slice docs, struct qosid_errbuf *err)
{
	struct json_slice name, object;
	struct qosid_buf id = {0};
	size_t position = 0;
	bool local;
	int rc = 0;

	while (rc == 0 && bulk->writer.rc == 0 && json_next(docs, &position, &name, &object)) {
		rc = find_local(object, &id, &local, err);
		if (rc == 0 && local)
			rc = put_local(bulk, (const char *)id.data, object, err);
		else if (rc == 0)
			rc = put_one(bulk, object, err);
	}
	qosid_buf_free(&id);
	return rc;
}

/* new_edits is a boolean, or a string of old clients. */
static int read_new_edits(struct http_call *call, struct json_slice body, bool *replicated)
{
	struct json_slice value;
	bool new_edits;
	int rc = request_bool(call, "new_edits", true, &new_edits);

	if (rc != 0)
		return rc;
	*replicated = !new_edits;
	if (!json_find(body, "new_edits", &value))
		return 0;
	if (json_slice_kind(value) == JSON_FALSE || json_string_equal(value, "false"))
		*replicated = true;
	else if (json_slice_kind(value) == JSON_TRUE || json_string_equal(value, "true"))
		*replicated = false;
	else
		return reply_error(call, 400, "bad_request", "`new_edits` parameter must be a boolean.");
	return 0;
}

static int find_docs(struct http_call *call, struct json_slice body, struct json_slice *docs)
{
	if (json_slice_kind(body) != JSON_OBJECT)
		return reply_error(call, 400, "bad_request", "Request body must be a JSON object");
	if (!json_find(body, "docs", docs))
		return reply_error(call, 400, "bad_request", "POST body must include `docs` parameter.");
	if (json_slice_kind(*docs) != JSON_ARRAY)
		return reply_error(call, 400, "bad_request", "`docs` parameter must be an array.");
	return 0;
}

static int bulk_docs(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct bulk bulk = {.store = {.call = call, .database = database}, .writer = {.err = err}};
	struct qosid_buf text = {0};
	struct json_slice body, docs = {0};
	int rc = request_need_json(call);

	if (rc == 0)
		rc = request_read_json(call, &text, &body, err);
	if (rc == 0)
		rc = find_docs(call, body, &docs);
	if (rc == 0)
		rc = read_new_edits(call, body, &bulk.replicated);
	if (rc == 0)
		rc = api_begin_write(database, err);
	if (rc != 0)
		goto done;
	writer_text(&bulk.writer, "[");
	rc = put_all(&bulk, docs, err);
	writer_text(&bulk.writer, "]\n");
	if (rc == 0)
		rc = bulk.writer.rc;
	if (rc != 0) {
		api_abort_write(database);
		rc = reply_store_failure(call, rc, err);
	} else {
		rc = api_commit_write(database, err);
	}
	if (rc == 0) {
		http_call_set_status(call, 201);
		rc = spool_write(http_call_out(call), bulk.writer.buf.data, bulk.writer.buf.len, err);
	}
done:
	qosid_buf_free(&bulk.writer.buf);
	store_free(&bulk.store);
	qosid_buf_wipe(&text);
	return rc;
}

/* ---- _bulk_get ---- */

struct bulk_get {
	struct http_call *call;
	struct api_database *database;
	struct render render;
	bool latest;
	struct writer writer;
	size_t count; /* of documents in the row */
};

static void write_get_error(
    struct bulk_get *get, const char *id, const char *rev, const char *error, const char *reason)
{
	struct writer *writer = &get->writer;

	writer_text(writer, get->count++ > 0 ? ",{\"error\":{\"id\":" : "{\"error\":{\"id\":");
	writer_string(writer, id);
	writer_text(writer, ",\"rev\":");
	writer_string(writer, rev);
	writer_text(writer, ",\"error\":");
	writer_string(writer, error);
	writer_text(writer, ",\"reason\":");
	writer_string(writer, reason);
	writer_text(writer, "}}");
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
		writer_text(&get->writer, get->count++ > 0 ? ",{\"ok\":" : "{\"ok\":");
		render_document(&get->writer, get->database, &record, &render);
		writer_text(&get->writer, "}");
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
	writer_text(&get->writer, "{\"id\":");
	writer_string(&get->writer, has_id ? (const char *)id->data : "null");
	writer_text(&get->writer, ",\"docs\":[");
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
	writer_text(&get->writer, "]}");
done:
	qosid_buf_free(&since);
	return rc;
}

static int bulk_get(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct bulk_get get = {.call = call, .database = database, .writer = writer_begin(http_call_out(call), err)};
	struct qosid_buf text = {0}, id = {0}, rev = {0};
	struct json_slice body, docs = {0}, name, item;
	size_t position = 0, rows = 0;
	int rc = request_need_json(call);

	if (rc == 0)
		rc = request_read_json(call, &text, &body, err);
	if (rc == 0 && (json_slice_kind(body) != JSON_OBJECT || !json_find(body, "docs", &docs)))
		rc = reply_error(call, 400, "bad_request", "Missing JSON list of 'docs'.");
	if (rc == 0 && json_slice_kind(docs) != JSON_ARRAY)
		rc = reply_error(call, 400, "bad_request", "`docs` parameter must be an array.");
	if (rc == 0)
		rc = render_options(call, &get.render);
	if (rc == 0)
		rc = request_bool(call, "latest", false, &get.latest);
	if (rc == 0)
		writer_text(&get.writer, "{\"results\":[");
	while (rc == 0 && get.writer.rc == 0 && json_next(docs, &position, &name, &item)) {
		writer_text(&get.writer, rows++ > 0 ? ",\n" : "");
		rc = write_get_row(&get, item, &id, &rev, err);
	}
	if (rc == 0)
		writer_text(&get.writer, "]}\n");
	else
		get.writer.out = NULL;
	if (writer_end(&get.writer) != 0 && rc == 0)
		rc = get.writer.rc;
	qosid_buf_wipe(&text);
	qosid_buf_free(&id);
	qosid_buf_free(&rev);
	return rc;
}

/* ---- _revs_diff, _missing_revs ---- */

struct diff {
	struct http_call *call;
	struct api_database *database;
	struct writer writer;
	bool ancestors; /* _revs_diff also tells possible ancestors */
	size_t rows;
};

/* Leaves of a lower generation than something that is missing. */
static void write_possible_ancestors(struct diff *diff, const struct revtree *tree, uint32_t newest)
{
	struct revtree_leaf leaf;
	size_t count = 0;

	for (size_t i = 0; revtree_leaf_at(tree, i, &leaf); i++) {
		if (leaf.revision.generation >= newest)
			continue;
		writer_text(&diff->writer, count++ > 0 ? "," : ",\"possible_ancestors\":[");
		writer_revision(&diff->writer, &leaf.revision);
	}
	if (count > 0)
		writer_text(&diff->writer, "]");
}

static int diff_one(struct diff *diff, struct json_slice id, struct json_slice revs, struct qosid_buf *text,
    struct replica_record *head, struct qosid_errbuf *err)
{
	struct json_slice name, value;
	struct revision rev;
	uint32_t newest = 0;
	size_t position = 0, missing = 0;
	bool exists;
	int rc;

	if (json_slice_kind(revs) != JSON_ARRAY)
		return reply_error(diff->call, 400, "bad_request", "Revisions must be a list");
	qosid_buf_reset(text);
	rc = json_string_decode(id, text, err);
	if (rc == 0)
		rc = replica_read_head(diff->database->replica, text->data ? (const char *)text->data : "", head, err);
	exists = rc == 0;
	if (rc == QOSID_ERR_NOTFOUND)
		rc = 0;
	while (rc == 0 && json_next(revs, &position, &name, &value)) {
		if (json_slice_kind(value) != JSON_STRING)
			return reply_error(diff->call, 400, "bad_request", "Invalid rev format");
		rc = request_parse_rev(diff->call, value.text + 1, value.len - 2, &rev);
		if (rc != 0 || (exists && revtree_find(head->tree, &rev, NULL) != REVTREE_ABSENT))
			continue;
		if (missing++ == 0) {
			writer_text(&diff->writer, diff->rows++ > 0 ? "," : "");
			writer_slice(&diff->writer, id);
			writer_text(&diff->writer, diff->ancestors ? ":{\"missing\":[" : ":[");
		} else {
			writer_text(&diff->writer, ",");
		}
		writer_slice(&diff->writer, value);
		if (rev.generation > newest)
			newest = rev.generation;
	}
	if (missing > 0) {
		writer_text(&diff->writer, "]");
		if (diff->ancestors && exists)
			write_possible_ancestors(diff, head->tree, newest);
		writer_text(&diff->writer, diff->ancestors ? "}" : "");
	}
	return rc;
}

static int revs_diff(struct http_call *call, struct api_database *database, bool ancestors, struct qosid_errbuf *err)
{
	struct diff diff = {.call = call,
	    .database = database,
	    .ancestors = ancestors,
	    .writer = writer_begin(http_call_out(call), err)};
	struct replica_record head = {0};
	struct qosid_buf text = {0}, id_text = {0};
	struct json_slice body, id, revs;
	size_t position = 0;
	int rc = request_need_json(call);

	if (rc == 0)
		rc = request_read_object(call, &text, &body, err);
	if (rc == 0)
		writer_text(&diff.writer, ancestors ? "{" : "{\"missing_revs\":{");
	while (rc == 0 && diff.writer.rc == 0 && json_next(body, &position, &id, &revs))
		rc = diff_one(&diff, id, revs, &id_text, &head, err);
	if (rc == 0)
		writer_text(&diff.writer, ancestors ? "}\n" : "}}\n");
	else
		diff.writer.out = NULL;
	if (writer_end(&diff.writer) != 0 && rc == 0)
		rc = diff.writer.rc;
	replica_record_free(&head);
	qosid_buf_free(&id_text);
	qosid_buf_wipe(&text);
	return rc;
}

int api_bulk_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	const char *name = http_call_segment(call, 1);

	if (http_call_method(call) != HTTP_POST)
		return api_done(reply_method(call, "POST"));
	if (strcmp(name, "_bulk_docs") == 0)
		return api_done(bulk_docs(call, database, err));
	if (strcmp(name, "_bulk_get") == 0)
		return api_done(bulk_get(call, database, err));
	return api_done(revs_diff(call, database, strcmp(name, "_revs_diff") == 0, err));
}
