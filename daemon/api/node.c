/* _node/{name}: statistics, the system, Prometheus, and the configuration as far as there is one to show. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/api/reply.h"
#include "daemon/api/server.h"
#include "daemon/api/users.h"

static const char *const methods[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS", "OTHER"};

static int64_t uptime(const struct api *api)
{
	return (api_now() - api->started) / 1000;
}

static long long resident_bytes(void)
{
	char line[128];
	long long kb = 0;
	FILE *file = fopen("/proc/self/status", "re");
	while (file && fgets(line, sizeof line, file)) {
		if (strncmp(line, "VmRSS:", 6) == 0)
			kb = strtoll(line + 6, NULL, 10);
	}
	if (file)
		(void)fclose(file); /* only read */
	return kb * 1024;
}

/* ---- _stats, _system ---- */

static void write_counter(struct writer *writer, bool first, const char *name, uint64_t value, const char *desc)
{
	writer_format(writer, "%s\"%s\":{\"value\":%" PRIu64 ",\"type\":\"counter\",\"desc\":\"%s\"}", first ? "" : ",",
	    name, value, desc);
}

static void write_stats(struct writer *writer, const struct api *api)
{
	struct http_stats *stats = calloc(1, sizeof *stats);
	char code[8];
	bool first = true;
	if (!stats || !api->server) {
		free(stats);
		writer_text(writer, "{}");
		return;
	}
	http_server_read_stats(api->server, stats);
	writer_text(writer, "{\"couchdb\":{\"httpd\":{");
	write_counter(writer, true, "requests", stats->requests, "number of HTTP requests");
	write_counter(writer, false, "refused", stats->refused, "number of requests refused unread");
	write_counter(
	    writer, false, "clients_requesting_changes", stats->feeds, "number of clients waiting for changes");
	write_counter(writer, false, "connections", stats->connections, "number of open connections");
	write_counter(writer, false, "queued", stats->queued, "number of requests waiting for a worker");
	writer_text(writer, "},\"httpd_request_methods\":{");
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
		write_counter(writer, i == 0, methods[i], stats->by_method[i], "number of HTTP requests by method");
	writer_text(writer, "},\"httpd_status_codes\":{");
	for (size_t i = 100; i < 600; i++) {
		if (stats->by_status[i] == 0)
			continue;
		(void)snprintf(code, sizeof code, "%zu", i);
		write_counter(writer, first, code, stats->by_status[i], "number of HTTP answers by status");
		first = false;
	}
	writer_text(writer, "}}}");
	free(stats);
}

static void write_system(struct writer *writer, const struct api *api)
{
	struct http_stats *stats = calloc(1, sizeof *stats);
	if (stats && api->server)
		http_server_read_stats(api->server, stats);
	writer_format(writer,
	    "{\"uptime\":%" PRId64 ",\"memory\":{\"processes\":%lld},\"run_queue\":%u,\"os_proc_count\":1,"
	    "\"process_count\":%u,\"message_queues\":{},\"internal_replication_jobs\":0}",
	    uptime(api), resident_bytes(), stats ? stats->queued : 0, api->workers);
	free(stats);
}

/* Answer the part of a JSON text that the segments from first on lead to. */
static int send_part(struct http_call *call, struct writer *made, size_t first, const char *missing)
{
	struct json_slice value = {(const char *)made->buf.data, made->buf.len}, inner;
	const char *segment;
	int rc = made->rc;
	for (size_t i = first; rc == 0 && (segment = http_call_segment(call, i)); i++) {
		if (json_slice_kind(value) == JSON_OBJECT && json_find(value, segment, &inner))
			value = inner;
		else
			rc = reply_missing(call, missing);
	}
	if (rc == 0)
		rc = spool_write(http_call_out(call), value.text, value.len, made->err);
	if (rc == 0)
		rc = spool_write(http_call_out(call), "\n", 1, made->err);
	(void)writer_end(made); /* only to free it */
	return rc;
}

static int get_prometheus(struct http_call *call, const struct api *api, struct qosid_errbuf *err)
{
	struct http_stats *stats = calloc(1, sizeof *stats);
	struct writer writer = writer_begin(http_call_out(call), err);
	if (!stats)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for statistics");
	int rc = http_call_set_header(call, "Content-Type", "text/plain; version=2.0", err);
	if (rc == 0 && api->server)
		http_server_read_stats(api->server, stats);
	if (rc == 0) {
		writer_format(&writer,
		    "# TYPE couchdb_httpd_requests_total counter\ncouchdb_httpd_requests_total %" PRIu64 "\n"
		    "# TYPE couchdb_uptime_seconds counter\ncouchdb_uptime_seconds %" PRId64 "\n"
		    "# TYPE couchdb_httpd_connections gauge\ncouchdb_httpd_connections %u\n"
		    "# TYPE couchdb_httpd_clients_requesting_changes gauge\n"
		    "couchdb_httpd_clients_requesting_changes %u\n"
		    "# TYPE couchdb_erlang_memory_bytes gauge\ncouchdb_erlang_memory_bytes{memory_type=\"total\"} "
		    "%lld\n"
		    "# TYPE couchdb_httpd_request_methods counter\n",
		    stats->requests, uptime(api), stats->connections, stats->feeds, resident_bytes());
		for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
			writer_format(&writer, "couchdb_httpd_request_methods{method=\"%s\"} %" PRIu64 "\n", methods[i],
			    stats->by_method[i]);
		writer_text(&writer, "# TYPE couchdb_httpd_status_codes counter\n");
		for (size_t i = 100; i < 600; i++) {
			if (stats->by_status[i] > 0)
				writer_format(&writer, "couchdb_httpd_status_codes{code=\"%zu\"} %" PRIu64 "\n", i,
				    stats->by_status[i]);
		}
	}
	free(stats);
	int end = writer_end(&writer);
	return rc < 0 ? rc : end;
}

/* ---- _config ---- */

static int write_admin(void *context, const char *name, struct qosid_errbuf *err)
{
	struct writer *writer = context;
	(void)err;
	if (writer->buf.data[writer->buf.len - 1] != '{')
		writer_text(writer, ",");
	writer_string(writer, name);
	writer_text(writer, ":\"-argon2id-\""); /* a hash is shown to nobody */
	return writer->rc;
}

static int write_config(struct writer *writer, const struct api *api, struct qosid_errbuf *err)
{
	int rc = 0;
	writer_text(writer, "{\"admins\":{");
	if (writer->rc == 0 && api->data_dir[0])
		rc = admins_visit(api->data_dir, write_admin, writer, err);
	writer_format(writer,
	    "},\"chttpd\":{\"require_valid_user\":\"%s\"},\"chttpd_auth\":{\"timeout\":\"600\"},"
	    "\"couchdb\":{\"uuid\":\"%s\",\"max_document_size\":\"%u\",\"single_node\":\"true\"},"
	    "\"cluster\":{\"n\":\"1\",\"q\":\"1\"},\"vendor\":{\"name\":\"Qosid\"}}",
	    api->open ? "false" : "true", api->uuid, LIMIT_DOCUMENT_BYTES);
	return rc < 0 ? rc : writer->rc;
}

/* PUT and DELETE of admins/{name}, as tools for CouchDB make administrators. */
static int change_admin(struct http_call *call, struct api *api, bool remove, struct qosid_errbuf *err)
{
	const char *name = http_call_segment(call, 4);
	struct qosid_buf text = {0}, password = {0};
	struct json_slice value = {0};
	int rc = remove ? 0 : request_read_json(call, &text, &value, err);
	if (rc == 0 && !remove) {
		while (value.len > 0 && strchr(" \t\r\n", value.text[0]))
			value.text++, value.len--;
		while (value.len > 0 && strchr(" \t\r\n", value.text[value.len - 1]))
			value.len--;
		rc = json_slice_kind(value) == JSON_STRING
			 ? json_string_decode(value, &password, err)
			 : reply_error(call, 400, "bad_request", "The password must be a JSON string.");
	}
	if (rc == 0)
		rc = users_put_admin(api, name, remove ? NULL : password.data ? (const char *)password.data : "", err);
	qosid_buf_wipe(&text);
	qosid_buf_wipe(&password);
	return rc != 0 ? rc : http_call_json(call, 200, "\"\"");
}

static int config_routes(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	enum http_method method = http_call_method(call);
	const char *section = http_call_segment(call, 3);
	if (method == HTTP_GET) {
		struct writer writer = writer_begin(NULL, err);
		int rc = write_config(&writer, api, err);
		if (rc < 0)
			writer.rc = rc;
		return send_part(call, &writer, 3, "unknown_config_value");
	}
	if (method != HTTP_PUT && method != HTTP_DELETE)
		return reply_method(call, "DELETE,GET,HEAD,PUT");
	if (http_call_segment_count(call) == 5 && strcmp(section, "admins") == 0)
		return change_admin(call, api, method == HTTP_DELETE, err);
	return reply_error(
	    call, 403, "forbidden", "The configuration is the file qosidd.conf; it is not changed over HTTP.");
}

/* ---- the way to them ---- */

int node_routes(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	const char *node = http_call_segment(call, 1), *what = http_call_segment(call, 2);
	struct writer writer = writer_begin(NULL, err);
	int rc = server_need_admin(call);
	if (rc != 0)
		return rc;
	if (!node || (strcmp(node, "_local") != 0 && strcmp(node, NODE_NAME) != 0))
		return reply_missing(call, "no such node");
	if (what && strcmp(what, "_config") == 0)
		return config_routes(call, api, err);
	if (http_call_method(call) != HTTP_GET)
		return reply_method(call, "GET,HEAD");
	if (!what)
		return http_call_json(call, 200, "{\"name\":\"" NODE_NAME "\"}");
	if (strcmp(what, "_prometheus") == 0)
		return get_prometheus(call, api, err);
	if (strcmp(what, "_stats") == 0)
		write_stats(&writer, api);
	else if (strcmp(what, "_system") == 0)
		write_system(&writer, api);
	else
		return reply_missing(call, "missing");
	return send_part(call, &writer, 3, "missing");
}
