/* CouchDB's usual answers, and reading a request's usual parts; see reply.h. */
#include "daemon/api/reply.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/api/multipart.h"

int reply_error(struct http_call *call, unsigned status, const char *error, const char *reason)
{
	int rc = http_call_error(call, status, error, reason);

	return rc < 0 ? rc : API_REPLIED;
}

int reply_method(struct http_call *call, const char *allowed)
{
	char reason[96];
	struct qosid_errbuf err = {0};
	int rc = http_call_set_header(call, "Allow", allowed, &err);

	if (rc < 0)
		return rc;
	(void)snprintf(reason, sizeof(reason), "Only %s allowed", allowed);
	return reply_error(call, 405, "method_not_allowed", reason);
}

int reply_conflict(struct http_call *call)
{
	return reply_error(call, 409, "conflict", "Document update conflict.");
}

int reply_missing(struct http_call *call, const char *reason)
{
	return reply_error(call, 404, "not_found", reason);
}

/* What a failure is to CouchDB's clients; status 0 when it has no such name. */
static unsigned classify(const struct qosid_errbuf *err, const char **error, const char **reason)
{
	*reason = err->what;
	switch (err->code) {
	case QOSID_ERR_CONFLICT:
		*error = "conflict";
		*reason = "Document update conflict.";
		return 409;
	case QOSID_ERR_NOTFOUND:
		*error = "not_found";
		*reason = strstr(err->what, ": deleted") ? "deleted" : "missing";
		return 404;
	case QOSID_ERR_LIMIT:
		*error = strstr(err->what, "attachment") ? "attachment_too_large" : "document_too_large";
		return 413;
	case QOSID_ERR_REFUSED:
		*error = strcmp(err->where, "unauthorized") == 0 ? "unauthorized" : "forbidden";
		return strcmp(err->where, "unauthorized") == 0 ? 401 : 403;
	case QOSID_ERR_INVALID:
		if (strstr(err->what, "missing_stub")) {
			*error = "missing_stub";
			return 412;
		}
		*error = "bad_request";
		return 400;
	case QOSID_ERR_FAILED: /* of a design function: design.h */
		if (*err->where && !strchr(err->where, ' ')) {
			*error = err->where;
			return strcmp(*error, "invalid_design_doc") == 0 || strcmp(*error, "compilation_error") == 0
				   ? 400
				   : 500;
		}
		*error = "internal_server_error";
		return 0;
	default:
		*error = "internal_server_error";
		return 0;
	}
}

int reply_store_failure(struct http_call *call, int rc, const struct qosid_errbuf *err)
{
	const char *error, *reason;
	unsigned status = rc < 0 && err ? classify(err, &error, &reason) : 0;

	return status == 0 ? rc : reply_error(call, status, error, reason);
}

void reply_words(const struct qosid_errbuf *err, const char **error, const char **reason)
{
	(void)classify(err, error, reason); /* the words are wanted, not the status */
}

int request_need_json(struct http_call *call)
{
	if (http_call_content_is(call, "application/json"))
		return 0;
	return reply_error(call, 415, "bad_content_type", "Content-Type must be application/json");
}

/* The body, which some clients (couchbackup) send in gzip. */
static int read_body(struct http_call *call, struct qosid_buf *text, struct qosid_errbuf *err)
{
	const struct spool *body = http_call_body(call);
	const char *encoding = http_call_header(call, "Content-Encoding");
	struct qosid_buf_sink target = {text, API_JSON_BYTES};
	struct qosid_sink sink = qosid_sink_to_buf(&target);

	if (!body)
		return 0;
	if (!encoding || strcmp(encoding, "gzip") != 0)
		return spool_take(body, API_JSON_BYTES, text, err);
	return spool_pump_gunzip(body, 0, spool_length(body), API_JSON_BYTES, &sink, err);
}

int request_read_json(
    struct http_call *call, struct qosid_buf *text, struct json_slice *value, struct qosid_errbuf *err)
{
	const char *encoding = http_call_header(call, "Content-Encoding");
	char reason[160];
	int rc;

	if (encoding && strcmp(encoding, "gzip") != 0 && strcmp(encoding, "identity") != 0) {
		(void)snprintf(reason, sizeof(reason), "%.100s is not a supported content encoding.", encoding);
		return reply_error(call, 415, "bad_content_type", reason);
	}
	rc = read_body(call, text, err);
	if (rc == QOSID_ERR_INVALID)
		return reply_error(call, 400, "bad_request", "the body is not in gzip");
	if (rc == QOSID_ERR_LIMIT)
		return reply_error(call, 413, "too_large", "the request entity is too large");
	if (rc == 0 && text->len == 0)
		return reply_error(call, 400, "bad_request", "invalid UTF-8 JSON: the body is empty");
	if (rc != 0)
		return rc;
	rc = json_check((const char *)text->data, text->len, err);
	if (rc == QOSID_ERR_INVALID || rc == QOSID_ERR_LIMIT) {
		char fault[sizeof(err->what) + sizeof(err->where) + 32];

		(void)snprintf(
		    fault, sizeof(fault), "invalid UTF-8 JSON: %s%s%s", err->where, *err->where ? ": " : "", err->what);
		return reply_error(call, 400, "bad_request", fault);
	}
	*value = (struct json_slice){(const char *)text->data, text->len};
	return rc;
}

int request_read_object(
    struct http_call *call, struct qosid_buf *text, struct json_slice *value, struct qosid_errbuf *err)
{
	int rc = request_read_json(call, text, value, err);

	if (rc != 0)
		return rc;
	if (json_slice_kind(*value) != JSON_OBJECT)
		return reply_error(call, 400, "bad_request", "Request body must be a JSON object");
	return json_check_object(value->text, value->len, value, err);
}

int request_bool(struct http_call *call, const char *name, bool fallback, bool *out)
{
	struct qosid_errbuf err = {0};
	char reason[160];

	if (http_call_query_bool(call, name, fallback, out, &err) == 0)
		return 0;
	(void)snprintf(reason, sizeof(reason), "Invalid boolean value for `%.100s`", name);
	return reply_error(call, 400, "query_parse_error", reason);
}

int request_number(struct http_call *call, const char *name, int64_t fallback, int64_t *out)
{
	struct qosid_errbuf err = {0};
	char reason[160];

	if (http_call_query_number(call, name, fallback, out, &err) == 0)
		return 0;
	(void)snprintf(reason, sizeof(reason), "Invalid value for integer: `%.100s`", name);
	return reply_error(call, 400, "query_parse_error", reason);
}

int request_parse_rev(struct http_call *call, const char *text, size_t len, struct revision *out)
{
	if (revision_parse(out, text, len, NULL) == 0)
		return 0;
	return reply_error(call, 400, "bad_request", "Invalid rev format");
}

int request_edit_rev(struct http_call *call, struct revision *out, bool *found)
{
	const char *query = http_call_query(call, "rev"), *header = http_call_header(call, "If-Match");
	struct revision other;
	size_t len;
	int rc = 0;

	*found = false;
	if (query && *query) {
		*found = true;
		rc = request_parse_rev(call, query, strlen(query), out);
	}
	if (rc != 0 || !header || strcmp(header, "*") == 0)
		return rc;
	len = strlen(header);
	if (len >= 2 && header[0] == '"' && header[len - 1] == '"') {
		header++;
		len -= 2;
	}
	rc = request_parse_rev(call, header, len, &other);
	if (rc == 0 && *found && revision_compare(out, &other) != 0)
		return reply_error(call, 400, "bad_request", "Document rev and etag have different values");
	*out = other;
	*found = true;
	return rc;
}

int request_check_id(struct http_call *call, const char *id)
{
	struct qosid_errbuf err = {0};
	int rc = document_check_id(id, strlen(id), &err);

	if (rc == 0)
		return 0;
	if (rc == QOSID_ERR_LIMIT)
		return reply_error(call, 400, "illegal_docid", "Document id is too long");
	if (id[0] == '\0')
		return reply_error(call, 400, "illegal_docid", "Document id must not be empty");
	if (id[0] == '_')
		return reply_error(call, 400, "illegal_docid", "Only reserved document ids may start with underscore.");
	return reply_error(call, 400, "illegal_docid", "Document id must be valid UTF-8");
}

int request_document_id(struct http_call *call, struct qosid_buf *id, size_t *rest, struct qosid_errbuf *err)
{
	const char *first = http_call_segment(call, 1), *second = http_call_segment(call, 2);
	bool split = second && (strcmp(first, "_design") == 0 || strcmp(first, "_local") == 0);
	int rc = qosid_buf_append_text(id, first, err);

	*rest = split ? 3 : 2;
	if (rc == 0 && split)
		rc = qosid_buf_append_byte(id, '/', err);
	if (rc == 0 && split)
		rc = qosid_buf_append_text(id, second, err);
	return rc;
}

void api_format_sequence(const struct api_database *database, int64_t sequence, char out[API_SEQUENCE_SIZE])
{
	(void)snprintf(out, API_SEQUENCE_SIZE, "%" PRId64 "-%s", sequence, database->instance);
}

int64_t api_now(void)
{
	struct timespec now = {0};

	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *api_user(const struct http_call *call)
{
	const struct http_principal *principal = http_call_principal(call);

	return principal ? principal->name : "";
}

void api_new_id(char out[33])
{
	unsigned char bytes[16];

	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2hex(out, 33, bytes, sizeof(bytes));
}
