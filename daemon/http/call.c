/* One request and its answer, as a handler sees them; see http.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/http/http_internal.h"
#include "sync/replica/json.h"

/* ---- life ---- */

struct http_call *call_create(struct http_server *server, struct MHD_Connection *connection, const char *uri)
{
	struct http_call *call = calloc(1, sizeof *call);
	struct qosid_errbuf err = {0};
	if (!call)
		return NULL;
	call->server = server;
	call->connection = connection;
	call->status = 200;
	atomic_init(&call->references, 1);
	if (http_target_parse(&call->target, uri, &err) == 0)
		return call;
	if (err.code == QOSID_ERR_NOMEM) {
		call_unref(call);
		return NULL;
	}
	(void)http_call_error(call, 400, "bad_request", err.what); /* seen when the headers have come */
	return call;
}

void call_unref(struct http_call *call)
{
	if (atomic_fetch_sub(&call->references, 1) > 1)
		return;
	if (call->feed && call->feed->spec.free_context)
		call->feed->spec.free_context(call->feed->spec.context);
	free(call->feed);
	http_target_free(&call->target);
	qosid_buf_wipe(&call->headers); /* passwords, cookies */
	qosid_buf_wipe(&call->answer);
	spool_free(&call->body);
	spool_free(&call->out);
	free(call->principal);
	free(call);
}

/* ---- the request ---- */

struct http_server *http_call_server(const struct http_call *call)
{
	return call->server;
}

void *http_call_context(const struct http_call *call)
{
	return call->server->options.context;
}

unsigned http_call_worker(const struct http_call *call)
{
	return call->worker;
}

enum http_method http_call_method(const struct http_call *call)
{
	return call->method == HTTP_HEAD ? HTTP_GET : call->method;
}

const char *http_call_method_text(const struct http_call *call)
{
	return call->method_text;
}

const char *http_call_target(const struct http_call *call)
{
	return call->target.raw;
}

size_t http_call_segment_count(const struct http_call *call)
{
	return call->target.segment_count;
}

const char *http_call_segment(const struct http_call *call, size_t index)
{
	return index < call->target.segment_count ? call->target.segments[index] : NULL;
}

const char *http_call_query(const struct http_call *call, const char *name)
{
	for (size_t i = 0; i < call->target.parameter_count; i++) {
		if (strcmp(call->target.parameters[i].name, name) == 0)
			return call->target.parameters[i].value;
	}
	return NULL;
}

int http_call_query_bool(
    const struct http_call *call, const char *name, bool fallback, bool *out, struct qosid_errbuf *err)
{
	const char *value = http_call_query(call, name);
	*out = value ? strcmp(value, "true") == 0 : fallback;
	if (!value || *out || strcmp(value, "false") == 0)
		return 0;
	return qosid_error(err, QOSID_ERR_INVALID, "Invalid boolean parameter: \"%.100s\"", value);
}

int http_call_query_number(
    const struct http_call *call, const char *name, int64_t fallback, int64_t *out, struct qosid_errbuf *err)
{
	const char *value = http_call_query(call, name);
	*out = fallback;
	if (!value)
		return 0;
	int64_t number = 0;
	bool good = *value != '\0';
	for (const char *p = value; *p && good; p++) {
		good = *p >= '0' && *p <= '9' && number <= (INT64_MAX - 9) / 10;
		if (good)
			number = number * 10 + (*p - '0');
	}
	if (!good)
		return qosid_error(err, QOSID_ERR_INVALID, "Invalid value for %s: \"%.100s\"", name, value);
	*out = number;
	return 0;
}

int http_call_visit_query(const struct http_call *call,
    int (*visit)(void *context, const char *name, const char *value, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	int rc = 0;
	for (size_t i = 0; i < call->target.parameter_count && rc == 0; i++)
		rc = visit(context, call->target.parameters[i].name, call->target.parameters[i].value, err);
	return rc;
}

/* Both kinds of headers are kept as "name NUL value NUL" in a row. */
static const char *find_header(const struct qosid_buf *headers, const char *name)
{
	const char *p = (const char *)headers->data, *end = p + headers->len;
	while (p && p < end) {
		const char *value = p + strlen(p) + 1;
		if (strcasecmp(p, name) == 0)
			return value;
		p = value + strlen(value) + 1;
	}
	return NULL;
}

const char *http_call_header(const struct http_call *call, const char *name)
{
	return find_header(&call->headers, name);
}

const char *call_answer_header(const struct http_call *call, const char *name)
{
	return find_header(&call->answer, name);
}

bool http_call_prefers(const struct http_call *call, const char *type, const char *other)
{
	const char *accept = http_call_header(call, "Accept");
	unsigned quality = http_accept_quality(accept, type);
	return quality > 0 && quality >= http_accept_quality(accept, other);
}

bool http_call_content_is(const struct http_call *call, const char *type)
{
	return http_type_is(http_call_header(call, "Content-Type"), type);
}

const struct spool *http_call_body(const struct http_call *call)
{
	return &call->body;
}

const struct http_principal *http_call_principal(const struct http_call *call)
{
	static const struct http_principal nobody;
	return call->principal ? call->principal : &nobody;
}

void http_call_set_principal(struct http_call *call, const struct http_principal *principal)
{
	size_t size = offsetof(struct http_principal, roles) + principal->role_count * sizeof principal->roles[0];
	free(call->principal);
	call->principal = malloc(size); /* without memory it stays nobody, which is the safe side */
	if (call->principal)
		memcpy(call->principal, principal, size);
}

const char *http_call_peer(const struct http_call *call)
{
	return call->socket ? call->socket->peer : "";
}

int http_call_peer_uid(const struct http_call *call)
{
	return call->socket ? call->socket->uid : -1;
}

/* ---- the answer ---- */

void http_call_set_status(struct http_call *call, unsigned status)
{
	call->status = status;
}

static void remove_header(struct http_call *call, const char *name)
{
	const char *value = call_answer_header(call, name);
	if (!value)
		return;
	uint8_t *end = call->answer.data + call->answer.len, *begin = call->answer.data;
	begin += (size_t)((const uint8_t *)value - call->answer.data);
	begin -= strlen(name) + 1;
	uint8_t *next = begin + strlen(name) + 1 + strlen(value) + 1;
	memmove(begin, next, (size_t)(end - next));
	call->answer.len -= (size_t)(next - begin);
}

int http_call_set_header(struct http_call *call, const char *name, const char *value, struct qosid_errbuf *err)
{
	if (strpbrk(value, "\r\n") || strpbrk(name, "\r\n: "))
		return qosid_error(err, QOSID_ERR_INVALID, "a line break cannot be part of the header %s", name);
	if (strcasecmp(name, "Set-Cookie") != 0)
		remove_header(call, name);
	size_t before = call->answer.len;
	int rc = qosid_buf_append(&call->answer, name, strlen(name) + 1, err);
	if (rc == 0)
		rc = qosid_buf_append(&call->answer, value, strlen(value) + 1, err);
	if (rc < 0)
		call->answer.len = before;
	return rc;
}

void http_call_again(struct http_call *call)
{
	call->again = true;
}

struct spool *http_call_out(struct http_call *call)
{
	return &call->out;
}

int http_call_json(struct http_call *call, unsigned status, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;
	va_start(ap, fmt);
	int len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0)
		return QOSID_ERR_NOMEM;
	call->status = status;
	int rc = spool_write(&call->out, text, (size_t)len, NULL);
	if (rc == 0 && (len == 0 || text[len - 1] != '\n'))
		rc = spool_write(&call->out, "\n", 1, NULL);
	free(text);
	return rc;
}

/* Append a JSON string; what is not UTF-8 in it becomes "?". */
static int append_string(struct qosid_buf *out, const char *text)
{
	struct qosid_buf checked = {0};
	size_t before = out->len;
	int rc = json_string_encode(out, text, strlen(text), NULL);
	if (rc == 0 && json_check((const char *)out->data + before, out->len - before, NULL) == 0)
		return 0;
	out->len = before;
	rc = qosid_buf_append_text(&checked, text, NULL);
	for (size_t i = 0; i < checked.len; i++) {
		if (checked.data[i] >= 0x80)
			checked.data[i] = '?';
	}
	if (rc == 0)
		rc = json_string_encode(out, (const char *)checked.data, checked.len, NULL);
	qosid_buf_free(&checked);
	return rc;
}

int http_call_error(struct http_call *call, unsigned status, const char *error, const char *reason)
{
	struct qosid_buf text = {0};
	spool_reset(&call->out);
	remove_header(call, "ETag");
	remove_header(call, "Content-Type");
	remove_header(call, "Content-Encoding");
	call->status = status;
	int rc = qosid_buf_append_text(&text, "{\"error\":", NULL);
	if (rc == 0)
		rc = append_string(&text, error);
	if (rc == 0)
		rc = qosid_buf_append_text(&text, ",\"reason\":", NULL);
	if (rc == 0)
		rc = append_string(&text, reason);
	if (rc == 0)
		rc = qosid_buf_append_text(&text, "}\n", NULL);
	if (rc == 0)
		rc = spool_write(&call->out, text.data, text.len, NULL);
	qosid_buf_free(&text);
	return rc;
}

int http_call_failure(struct http_call *call, const struct qosid_errbuf *err)
{
	static const struct {
		int code;
		unsigned status;
		const char *error;
	} table[] = {
	    {QOSID_ERR_NOTFOUND, 404, "not_found"},
	    {QOSID_ERR_CONFLICT, 409, "conflict"},
	    {QOSID_ERR_INVALID, 400, "bad_request"},
	    {QOSID_ERR_USAGE, 400, "bad_request"},
	    {QOSID_ERR_LIMIT, 413, "too_large"},
	    {QOSID_ERR_REFUSED, 403, "forbidden"},
	    {QOSID_ERR_BUSY, 503, "service_unavailable"},
	    {QOSID_ERR_FULL, 507, "insufficient_storage"},
	    {QOSID_ERR_NOMEM, 503, "service_unavailable"},
	};
	char reason[sizeof err->where + sizeof err->what + 2];
	(void)snprintf(reason, sizeof reason, "%s%s%s", err->where, err->where[0] ? ": " : "", err->what);
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		if (table[i].code == err->code)
			return http_call_error(call, table[i].status, table[i].error, reason);
	}
	struct journal_line line;
	if (call->server->options.journal) { /* paths and database errors are for the log, not for clients */
		journal_begin(&line, call->server->options.journal, LOG_ERR, "a request failed");
		journal_text(&line, "method", call->method_text);
		journal_error(&line, err);
		journal_end(&line);
	}
	return http_call_error(call, 500, "internal_server_error", "the server's log says more");
}

/* ---- ranges, validators ---- */

static bool not_modified(const struct http_call *call)
{
	const char *etag = call_answer_header(call, "ETag"), *list = http_call_header(call, "If-None-Match");
	return call->status == 200 && http_call_method(call) == HTTP_GET && etag && list &&
	       http_etag_listed(list, etag);
}

int http_call_send_range(struct http_call *call, uint64_t length,
    int (*produce)(
	void *context, uint64_t offset, uint64_t len, const struct qosid_sink *sink, struct qosid_errbuf *err),
    void *context, struct qosid_errbuf *err)
{
	uint64_t first = 0, count = length;
	char text[80];
	int rc = http_call_set_header(call, "Accept-Ranges", "bytes", err);
	if (rc < 0 || not_modified(call))
		return rc;
	const char *condition = http_call_header(call, "If-Range"), *etag = call_answer_header(call, "ETag");
	int range = 0;
	if (!condition || (etag && http_etag_listed(condition, etag)))
		range = http_range_parse(http_call_header(call, "Range"), length, &first, &count);
	if (range < 0) {
		(void)snprintf(text, sizeof text, "bytes */%" PRIu64, length);
		rc = http_call_set_header(call, "Content-Range", text, err);
		return rc < 0 ? rc
			      : http_call_error(
				    call, 416, "requested_range_not_satisfiable", "Requested range not satisfiable");
	}
	if (range > 0) {
		(void)snprintf(
		    text, sizeof text, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, first + count - 1, length);
		rc = http_call_set_header(call, "Content-Range", text, err);
		if (rc < 0)
			return rc;
		call->status = 206;
	}
	struct qosid_sink sink = spool_sink(&call->out);
	return count > 0 ? produce(context, first, count, &sink, err) : 0;
}

void call_finish(struct http_call *call)
{
	if (!not_modified(call))
		return;
	call->status = 304;
	spool_reset(&call->out);
	remove_header(call, "Content-Type");
}
