/*
 * Many documents in one call, and what replicators ask before they send: _bulk_docs, _revs_diff, _missing_revs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/bulk_get.h"
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
		return api_done(api_bulk_get(call, database, err));
	return api_done(revs_diff(call, database, strcmp(name, "_revs_diff") == 0, err));
}
