/* Endpoints of the server as a whole, beside those of a node (node.c). */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/replicate.h"
#include "daemon/api/reply.h"
#include "daemon/api/server.h"

#define UUIDS_MAX 1000
#define DBS_INFO_MAX 100

/* ---- who may ---- */

int server_need_admin(struct http_call *call)
{
	if (http_call_principal(call)->admin)
		return 0;
	return reply_error(call, 401, "unauthorized", "You are not a server admin.");
}

static int need_get(struct http_call *call)
{
	return http_call_method(call) == HTTP_GET ? 0 : reply_method(call, "GET,HEAD");
}

/* ---- what it is ---- */

static int get_welcome(struct http_call *call, const struct api *api)
{
	int rc = need_get(call);
	return rc != 0 ? rc
		       : http_call_json(call, 200,
			     "{\"couchdb\":\"Welcome\",\"version\":\"" API_COUCHDB_VERSION
			     "\",\"git_sha\":\"" QOSID_VERSION "\",\"uuid\":\"%s\",\"features\":[\"scheduler\"],"
			     "\"vendor\":{\"name\":\"Qosid\",\"version\":\"" QOSID_VERSION "\"}}",
			     api->uuid);
}

static int get_up(struct http_call *call)
{
	int rc = need_get(call);
	return rc != 0 ? rc : http_call_json(call, 200, "{\"status\":\"ok\",\"seeds\":{}}");
}

static int get_uuids(struct http_call *call, struct qosid_errbuf *err)
{
	char etag[35];
	int64_t count = 1;
	int rc = http_call_method(call) == HTTP_GET ? 0 : reply_method(call, "GET");
	if (rc == 0 && http_call_query_number(call, "count", 1, &count, err) < 0)
		rc = reply_error(call, 400, "bad_request", "count must be a positive integer");
	if (rc == 0 && count > UUIDS_MAX)
		rc = reply_error(call, 400, "bad_request", "count parameter too large");
	api_new_id(etag + 1); /* no two answers are the same */
	etag[0] = etag[33] = '"';
	etag[34] = '\0';
	if (rc == 0)
		rc = http_call_set_header(call, "ETag", etag, err);
	if (rc == 0)
		rc = http_call_set_header(call, "Cache-Control", "must-revalidate, no-cache", err);
	if (rc == 0)
		rc = http_call_set_header(call, "Pragma", "no-cache", err);
	if (rc != 0)
		return rc;
	struct writer writer = writer_begin(http_call_out(call), err);
	writer_text(&writer, "{\"uuids\":[");
	for (int64_t i = 0; i < count; i++) {
		char id[33];
		api_new_id(id);
		writer_format(&writer, "%s\"%s\"", i ? "," : "", id);
	}
	writer_text(&writer, "]}\n");
	return writer_end(&writer);
}

/* ---- _all_dbs, _dbs_info ---- */

struct names {
	struct qosid_buf text; /* each with a NUL */
	size_t count;
};

static int add_name(void *context, const char *name, struct qosid_errbuf *err)
{
	struct names *names = context;
	names->count++;
	return qosid_buf_append(&names->text, name, strlen(name) + 1, err);
}

/* A key option under either of its names: a JSON string. *given false when it is absent. */
static int read_key(struct http_call *call, const char *name, const char *other, struct qosid_buf *out, bool *given)
{
	const char *text = http_call_query(call, name);
	if (!text)
		text = http_call_query(call, other);
	*given = text != NULL;
	if (!text)
		return 0;
	struct json_slice value = {text, strlen(text)};
	if (json_check(text, strlen(text), NULL) < 0 || json_slice_kind(value) != JSON_STRING)
		return reply_error(call, 400, "bad_request", "invalid UTF-8 JSON");
	while (value.text[0] != '"')
		value.text++, value.len--;
	while (value.text[value.len - 1] != '"')
		value.len--;
	int rc = json_string_decode(value, out, NULL);
	return rc == 0 && !out->data ? qosid_buf_append(out, "", 0, NULL) : rc;
}

struct selection {
	struct qosid_buf start, end;
	bool has_start, has_end, descending, inclusive;
	int64_t limit, skip;
};

static int read_selection(struct http_call *call, struct selection *out)
{
	int rc = read_key(call, "startkey", "start_key", &out->start, &out->has_start);
	if (rc == 0)
		rc = read_key(call, "endkey", "end_key", &out->end, &out->has_end);
	if (rc == 0)
		rc = request_bool(call, "descending", false, &out->descending);
	if (rc == 0)
		rc = request_bool(call, "inclusive_end", true, &out->inclusive);
	if (rc == 0)
		rc = request_number(call, "limit", INT64_MAX, &out->limit);
	return rc == 0 ? request_number(call, "skip", 0, &out->skip) : rc;
}

static bool is_selected(const struct selection *selection, const char *name)
{
	int start = selection->has_start ? strcmp(name, (const char *)selection->start.data) : 0;
	int end = selection->has_end ? strcmp(name, (const char *)selection->end.data) : 0;
	if (selection->descending ? start > 0 || end < 0 : start < 0 || end > 0)
		return false;
	return end != 0 || selection->inclusive || !selection->has_end;
}

/* Call write for the names that the request selects, in its order. */
static int visit_selected(struct http_call *call, struct api *api,
    int (*write)(struct http_call *call, struct writer *writer, const char *name, bool first), struct qosid_errbuf *err)
{
	struct selection selection = {0};
	struct names names = {0};
	struct writer writer = writer_begin(http_call_out(call), err);
	const char **list = NULL;
	bool first = true;
	int rc = read_selection(call, &selection);
	if (rc == 0)
		rc = api_visit_databases(api, add_name, &names, err);
	if (rc == 0 && !(list = calloc(names.count + 1, sizeof *list)))
		rc = qosid_error(err, QOSID_ERR_NOMEM, "no memory for a list of databases");
	if (rc != 0 || !list)
		goto out;
	const char *p = (const char *)names.text.data;
	for (size_t i = 0; i < names.count; i++, p += strlen(p) + 1)
		list[selection.descending ? names.count - 1 - i : i] = p;
	writer_text(&writer, "[");
	for (size_t i = 0; i < names.count && rc == 0 && selection.limit > 0; i++) {
		if (!is_selected(&selection, list[i]) || selection.skip-- > 0)
			continue;
		rc = write(call, &writer, list[i], first);
		selection.limit--;
		first = false;
	}
	writer_text(&writer, "]\n");
out:
	if (rc != 0)
		(void)writer_end(&writer); /* only to free it */
	else
		rc = writer_end(&writer);
	free(list);
	qosid_buf_free(&selection.start);
	qosid_buf_free(&selection.end);
	qosid_buf_free(&names.text);
	return rc;
}

static int write_name(struct http_call *call, struct writer *writer, const char *name, bool first)
{
	(void)call;
	writer_text(writer, first ? "" : ",");
	writer_string(writer, name);
	return writer->rc;
}

static int get_all_dbs(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	int rc = need_get(call);
	if (rc == 0)
		rc = server_need_admin(call);
	return rc == 0 ? visit_selected(call, api, write_name, err) : rc;
}

static int write_info(struct http_call *call, struct writer *writer, const char *name, bool first)
{
	struct api_database *database = NULL;
	struct qosid_buf info = {0};
	struct qosid_errbuf err = {0};
	int rc = api_open_database(call, name, &database, &err);
	if (rc == 0)
		rc = api_append_database_info(database, &info, &err);
	api_release_database(call, database);
	writer_text(writer, first ? "{\"key\":" : ",{\"key\":");
	writer_string(writer, name);
	if (rc == 0) {
		writer_text(writer, ",\"info\":");
		writer_bytes(writer, info.data, info.len);
	} else {
		writer_format(writer, ",\"error\":\"%s\"", rc == QOSID_ERR_NOTFOUND ? "not_found" : "unavailable");
	}
	writer_text(writer, "}");
	qosid_buf_free(&info);
	return writer->rc;
}

static int post_dbs_info(struct http_call *call, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0}, key = {0};
	struct json_slice object, keys, name, value;
	struct writer writer = writer_begin(http_call_out(call), err);
	size_t position = 0, count = 0;
	int rc = request_need_json(call);
	if (rc == 0)
		rc = request_read_object(call, &text, &object, err);
	if (rc == 0 && !json_find(object, "keys", &keys))
		rc = reply_error(call, 400, "bad_request", "`keys` member must exist.");
	if (rc == 0 && json_slice_kind(keys) != JSON_ARRAY)
		rc = reply_error(call, 400, "bad_request", "`keys` member must be an array.");
	writer_text(&writer, "[");
	while (rc == 0 && json_next(keys, &position, &name, &value)) {
		qosid_buf_reset(&key);
		if (++count > DBS_INFO_MAX)
			rc = reply_error(call, 400, "bad_request", "`keys` exceeds the maximum of 100.");
		else if (json_slice_kind(value) != JSON_STRING)
			rc = reply_error(call, 400, "bad_request", "`keys` must be an array of strings.");
		else
			rc = json_string_decode(value, &key, err);
		if (rc == 0)
			rc = write_info(call, &writer, key.data ? (const char *)key.data : "", count == 1);
	}
	writer_text(&writer, "]\n");
	if (rc != 0) {
		writer.out = NULL; /* an error has been written already */
		(void)writer_end(&writer);
	} else {
		rc = writer_end(&writer);
	}
	qosid_buf_free(&key);
	qosid_buf_free(&text);
	return rc;
}

static int dbs_info_routes(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	int rc = server_need_admin(call);
	if (rc != 0)
		return rc;
	switch (http_call_method(call)) {
	case HTTP_GET:
		return visit_selected(call, api, write_info, err);
	case HTTP_POST:
		return post_dbs_info(call, err);
	default:
		return reply_method(call, "GET,HEAD,POST");
	}
}

/* ---- fixed answers ---- */

static int get_fixed(struct http_call *call, const char *text)
{
	int rc = need_get(call);
	if (rc == 0)
		rc = server_need_admin(call);
	return rc == 0 ? http_call_json(call, 200, "%s", text) : rc;
}

static const char landing_page[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Qosid</title>\n"
    "<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}</style></head>\n"
    "<body><h1>Qosid " QOSID_VERSION "</h1>\n"
    "<p>This server keeps an office's shared records and speaks the HTTP API of CouchDB " API_COUCHDB_VERSION ".\n"
    "Point a CouchDB or PouchDB client at it.</p>\n"
    "<ul><li><a href=\"/\">the server</a></li><li><a href=\"/_session\">who you are</a></li>\n"
    "<li><a href=\"/_all_dbs\">databases</a></li><li><a href=\"/_active_tasks\">tasks</a></li></ul>\n"
    "</body></html>\n";

static int get_utils(struct http_call *call, struct qosid_errbuf *err)
{
	const char *target = http_call_target(call);
	int rc = need_get(call);
	if (rc == 0 && http_call_segment_count(call) > 1 && strcmp(http_call_segment(call, 1), "index.html") != 0)
		rc = reply_missing(call, "missing");
	if (rc != 0)
		return rc;
	if (strcmp(target, "/_utils") == 0) {
		http_call_set_status(call, 301);
		return http_call_set_header(call, "Location", "/_utils/", err);
	}
	rc = http_call_set_header(call, "Content-Type", "text/html; charset=utf-8", err);
	if (rc == 0)
		rc = http_call_set_header(
		    call, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'", err);
	return rc == 0 ? spool_write(http_call_out(call), landing_page, sizeof landing_page - 1, err) : rc;
}

/* ---- the way to them ---- */

static int route(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	const char *name = http_call_segment(call, 0);
	if (!name)
		return get_welcome(call, api);
	if (strcmp(name, "_node") == 0)
		return node_routes(call, api, err);
	if (strcmp(name, "_utils") == 0)
		return get_utils(call, err);
	if (http_call_segment_count(call) > 1)
		return reply_missing(call, "missing");
	if (strcmp(name, "_up") == 0)
		return get_up(call);
	if (strcmp(name, "_uuids") == 0)
		return get_uuids(call, err);
	if (strcmp(name, "_all_dbs") == 0)
		return get_all_dbs(call, api, err);
	if (strcmp(name, "_dbs_info") == 0)
		return dbs_info_routes(call, api, err);
	if (strcmp(name, "_active_tasks") == 0)
		return replicate_list_tasks(call, api, err);
	if (strcmp(name, "_membership") == 0)
		return get_fixed(call, "{\"all_nodes\":[\"" NODE_NAME "\"],\"cluster_nodes\":[\"" NODE_NAME "\"]}");
	if (strcmp(name, "_cluster_setup") == 0)
		return get_fixed(call, "{\"state\":\"single_node_enabled\"}");
	return reply_missing(call, "missing");
}

bool server_has_route(const char *name)
{
	static const char *const names[] = {"_node", "_utils", "_up", "_uuids", "_all_dbs", "_dbs_info",
	    "_active_tasks", "_membership", "_cluster_setup"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

int api_server_routes(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	return api_done(route(call, api, err));
}
