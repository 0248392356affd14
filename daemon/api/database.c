/*
 * /{db} itself and its small endpoints, and the way from a database's URL to the family that answers it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api/design.h"
#include "daemon/api/purge.h"
#include "daemon/api/setting.h"
#include "daemon/api/store.h"
#include "daemon/api/views.h"

static const struct setting revs_limit = {
    "_api/revs_limit", LIMIT_REVISIONS, "`revs_limit` must be a positive integer"};

/* ---- /{db} ---- */

int api_append_database_info(struct api_database *database, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct replica_info info;
	struct writer writer = {.buf = *out, .err = err};
	char sequence[API_SEQUENCE_SIZE], purges[API_SEQUENCE_SIZE];
	int64_t purged = 0;
	int rc = replica_read_info(database->replica, &info, err);

	if (rc == 0)
		rc = replica_purge_sequence(database->replica, &purged, err);
	if (rc != 0)
		return rc;
	api_format_sequence(database, purged, purges);
	api_format_sequence(database, info.sequence, sequence);
	writer_text(&writer, "{\"instance_start_time\":\"0\",\"db_name\":");
	writer_string(&writer, database->name);
	writer_format(&writer,
	    ",\"purge_seq\":\"%s\",\"update_seq\":\"%s\",\"sizes\":{\"file\":%" PRId64 ",\"external\":%" PRId64
	    ",\"active\":%" PRId64 "},\"props\":{},\"doc_del_count\":%" PRId64 ",\"doc_count\":%" PRId64
	    ",\"disk_format_version\":8,\"compact_running\":false,\"cluster\":{\"q\":1,\"n\":1,\"w\":1,\"r\":1}}",
	    purges, sequence, info.bytes, info.bytes, info.bytes, info.deleted, info.documents);
	*out = writer.buf;
	return writer.rc;
}

static int get_info(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int rc = api_append_database_info(database, &text, err);

	if (rc == 0)
		rc = qosid_buf_append_byte(&text, '\n', err);
	if (rc == 0)
		rc = spool_write(http_call_out(call), text.data, text.len, err);
	qosid_buf_free(&text);
	return rc;
}

/* POST /{db}: a document with the id that it names, or a new one. */
static int post_document(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct store store = {.call = call, .database = database};
	struct qosid_buf text = {0};
	struct json_slice object;
	int rc = request_need_json(call);

	if (rc == 0)
		rc = request_read_json(call, &text, &object, err);
	if (rc == 0 && json_slice_kind(object) != JSON_OBJECT)
		rc = reply_error(call, 400, "bad_request", "Document must be a JSON object");
	if (rc == 0)
		rc = json_check_object(object.text, object.len, &object, err);
	if (rc == 0)
		rc = store_check_members(call, object);
	if (rc == 0)
		rc = api_begin_write(database, err);
	if (rc == 0) {
		rc = store_parse(&store, object, NULL, err);
		if (rc == 0 && strncmp((const char *)store.document.id.data, "_design/", 8) == 0)
			rc = api_authorize(call, database, true, err);
		if (rc == 0)
			rc = store_and_reply(
			    &store, store.document.has_rev ? &store.document.rev : NULL, false, 201, err);
		else
			api_abort_write(database);
	}
	store_free(&store);
	qosid_buf_wipe(&text);
	return rc;
}

static int create_database(struct http_call *call, const char *name, struct qosid_errbuf *err)
{
	const char *host = http_call_header(call, "Host");
	char location[512];
	int rc = api_need_server_admin(call);

	if (rc != 0)
		return rc;
	rc = api_create_database(call, name, err);
	if (rc == QOSID_ERR_EXISTS)
		return reply_error(
		    call, 412, "file_exists", "The database could not be created, the file already exists.");
	if (rc == QOSID_ERR_INVALID)
		return reply_error(call, 400, "illegal_database_name", err ? err->what : "illegal name");
	if (rc != 0)
		return rc;
	(void)snprintf(location, sizeof(location), "%s%.200s/%s", host ? "http://" : "", host ? host : "", name);
	rc = http_call_set_header(call, "Location", location, err);
	return rc != 0 ? rc : http_call_json(call, 201, "{\"ok\":true}");
}

static int delete_database(struct http_call *call, const char *name, struct qosid_errbuf *err)
{
	int rc = api_need_server_admin(call);

	if (rc != 0)
		return rc;
	if (http_call_query(call, "rev"))
		return reply_error(call, 400, "bad_request",
		    "You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document "
		    "instead?");
	rc = api_delete_database(call, name, err);
	if (rc == QOSID_ERR_NOTFOUND)
		return reply_missing(call, "Database does not exist.");
	return rc != 0 ? rc : http_call_json(call, 200, "{\"ok\":true}");
}

/* ---- small endpoints ---- */

static bool is_method(const struct http_call *call, enum http_method method)
{
	return http_call_method(call) == method || (method == HTTP_GET && http_call_method(call) == HTTP_HEAD);
}

static int prepare_housekeeping(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	int rc;

	if (!is_method(call, HTTP_POST))
		return reply_method(call, "POST");
	rc = request_need_json(call);
	return rc != 0 ? rc : api_authorize(call, database, true, err);
}

/* _compact: SQLite reuses what is free, so there is nothing to start. */
static int post_nothing(
    struct http_call *call, struct api_database *database, bool admin, unsigned status, struct qosid_errbuf *err)
{
	int rc;

	if (!is_method(call, HTTP_POST))
		return reply_method(call, "POST");
	rc = request_need_json(call);
	if (rc == 0 && admin)
		rc = api_authorize(call, database, true, err);
	return rc != 0 ? rc : http_call_json(call, status, "{\"ok\":true}");
}

static int compact_route(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	const char *design = http_call_segment(call, 2);
	struct replica_record record = {0};
	struct qosid_buf id = {0};
	int rc = design ? prepare_housekeeping(call, database, err) : 0;

	if (!design)
		return post_nothing(call, database, true, 202, err);
	if (rc == 0)
		rc = qosid_buf_append_format(&id, err, "_design/%s", design);
	if (rc == 0 && (rc = replica_read_document(database->replica, (const char *)id.data, NULL, &record, err)) != 0)
		rc = reply_store_failure(call, rc, err);
	if (rc == 0)
		rc = api_view_compact(
		    call, database, (struct json_slice){(const char *)record.body.data, record.body.len}, err);
	replica_record_free(&record);
	qosid_buf_free(&id);
	return rc != 0 ? rc : http_call_json(call, 202, "{\"ok\":true}");
}

static int cleanup_route(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	int rc = prepare_housekeeping(call, database, err);

	if (rc == 0)
		rc = api_view_cleanup(call, database, err);
	return rc != 0 ? rc : http_call_json(call, 202, "{\"ok\":true}");
}

static int full_commit_route(struct http_call *call, struct qosid_errbuf *err)
{
	int rc;

	(void)err; /* the type of all routes */
	if (!is_method(call, HTTP_POST))
		return reply_method(call, "POST");
	rc = request_need_json(call);
	return rc != 0 ? rc : http_call_json(call, 201, "{\"ok\":true,\"instance_start_time\":\"0\"}");
}

static int sync_shards_route(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	return post_nothing(call, database, true, 202, err);
}

/* One shard, all of it here. */
static int shards_route(struct http_call *call, struct qosid_errbuf *err)
{
	const char *id = http_call_segment(call, 2);
	struct writer writer = writer_begin(http_call_out(call), err);

	if (!is_method(call, HTTP_GET))
		return reply_method(call, "GET");
	if (id)
		writer_text(&writer, "{\"range\":\"00000000-ffffffff\",\"nodes\":[\"_local\"]}\n");
	else
		writer_text(&writer, "{\"shards\":{\"00000000-ffffffff\":[\"_local\"]}}\n");
	return writer_end(&writer);
}

/* ---- the way to the families ---- */

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++) {
		if (strcmp(name, *names) == 0)
			return true;
	}
	return false;
}

/* _design/{name}/_update/..: rest is the segment behind it. */
static int update_route(struct http_call *call, struct api_database *database, size_t rest, struct qosid_errbuf *err)
{
	const char *first = http_call_segment(call, 1);
	struct qosid_buf id = {0};
	int rc = strcmp(first, "_design") == 0
		     ? qosid_buf_append_format(&id, err, "_design/%s", http_call_segment(call, 2))
		     : qosid_buf_append_text(&id, first, err);

	if (rc == 0)
		rc = api_update_routes(call, database, (const char *)id.data, rest, err);
	qosid_buf_free(&id);
	return rc;
}

/* Documents, design documents and attachments. */
static int document_route(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	static const char *const views[] = {"_view", "_info", NULL};
	static const char *const functions[] = {
	    "_show", "_list", "_rewrite", "_search", "_search_info", "_nouveau", "_nouveau_info", NULL};
	const char *first = http_call_segment(call, 1), *second = http_call_segment(call, 2), *more;
	bool split = strcmp(first, "_design") == 0;

	if (split && !second)
		return reply_missing(call, "missing");
	more = http_call_segment(call, split ? 3 : 2);
	if ((split || strncmp(first, "_design/", 8) == 0) && more && is_one_of(more, views))
		return api_view_routes(call, database, err);
	if ((split || strncmp(first, "_design/", 8) == 0) && more && strcmp(more, "_update") == 0)
		return update_route(call, database, split ? 4 : 3, err);
	if ((split || strncmp(first, "_design/", 8) == 0) && more && is_one_of(more, functions))
		return reply_error(call, 501, "not_implemented", "functions of design documents are not run here");
	return more ? api_attachment_routes(call, database, err) : api_document_routes(call, database, err);
}

static int small_route(
    struct http_call *call, struct api_database *database, const char *name, struct qosid_errbuf *err)
{
	if (strcmp(name, "_compact") == 0)
		return compact_route(call, database, err);
	if (strcmp(name, "_view_cleanup") == 0)
		return cleanup_route(call, database, err);
	if (strcmp(name, "_ensure_full_commit") == 0)
		return full_commit_route(call, err);
	if (strcmp(name, "_revs_limit") == 0)
		return setting_route(call, database, &revs_limit, err);
	if (purge_has_route(name))
		return api_purge_routes(call, database, err);
	if (strcmp(name, "_sync_shards") == 0)
		return sync_shards_route(call, database, err);
	if (strcmp(name, "_shards") == 0)
		return shards_route(call, err);
	/* Not an endpoint, so an id that begins with an underscore. */
	if (is_method(call, HTTP_PUT) || is_method(call, HTTP_DELETE) || is_method(call, HTTP_GET))
		return is_method(call, HTTP_PUT) ? reply_error(call, 400, "illegal_docid",
						       "Only reserved document ids may start with underscore.")
						 : reply_missing(call, "missing");
	return reply_method(call, "DELETE,GET,HEAD,PUT");
}

static int endpoint_route(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	static const char *const lists[] = {"_all_docs", "_design_docs", "_local_docs", NULL};
	static const char *const bulks[] = {"_bulk_docs", "_bulk_get", "_revs_diff", "_missing_revs", NULL};
	static const char *const finds[] = {"_find", "_index", "_explain", NULL};
	const char *name = http_call_segment(call, 1);

	if (is_one_of(name, lists))
		return api_all_docs_routes(call, database, err);
	if (is_one_of(name, bulks))
		return api_bulk_routes(call, database, err);
	if (is_one_of(name, finds))
		return api_find_routes(call, database, err);
	if (strcmp(name, "_changes") == 0)
		return api_changes_routes(call, database, err);
	if (strcmp(name, "_security") == 0)
		return api_security_routes(call, database, err);
	if (strcmp(name, "_local") == 0 || strncmp(name, "_local/", 7) == 0)
		return api_local_routes(call, database, err);
	if (name[0] != '_' || strcmp(name, "_design") == 0 || strncmp(name, "_design/", 8) == 0)
		return document_route(call, database, err);
	return small_route(call, database, name, err);
}

/* Lists of _users tell names and hashes: they are for administrators. */
static bool needs_admin(const struct http_call *call, const struct api_database *database)
{
	static const char *const lists[] = {
	    "_all_docs", "_design_docs", "_local_docs", "_bulk_get", "_changes", "_find", "_explain", "_index", NULL};
	const char *name = http_call_segment(call, 1);

	return name && api_is_users(database) && is_one_of(name, lists);
}

static int open_route(struct http_call *call, const char *name, struct qosid_errbuf *err)
{
	struct api_database *database;
	int rc = api_open_database(call, name, &database, err);

	if (rc == QOSID_ERR_NOTFOUND)
		return reply_missing(call, "Database does not exist.");
	if (rc != 0)
		return rc;
	rc = api_authorize(call, database, needs_admin(call, database), err);
	if (rc == 0 && http_call_segment_count(call) > 1)
		rc = endpoint_route(call, database, err);
	else if (rc == 0 && is_method(call, HTTP_GET))
		rc = get_info(call, database, err);
	else if (rc == 0 && is_method(call, HTTP_POST))
		rc = post_document(call, database, err);
	else if (rc == 0)
		rc = reply_method(call, "DELETE,GET,HEAD,POST,PUT");
	api_release_database(call, database);
	return rc;
}

int api_database_routes(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	const char *name = http_call_segment(call, 0);

	(void)api; /* the call knows it */
	if (http_call_segment_count(call) == 1 && is_method(call, HTTP_PUT))
		return api_done(create_database(call, name, err));
	if (http_call_segment_count(call) == 1 && is_method(call, HTTP_DELETE))
		return api_done(delete_database(call, name, err));
	return api_done(open_route(call, name, err));
}
