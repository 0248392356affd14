/*
 * /{db}/_local/{id}: documents that are never replicated, where replicators keep their checkpoints.
 *
 * As in CouchDB 3 their revisions are "0-N" and nothing is checked against them: a write without one begins again at
 * 0-1. Stored is {"_rev":"0-N", members}.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/store.h"

unsigned long long local_number(struct json_slice object)
{
	struct json_slice rev, number;
	unsigned long long value = 0;

	if (!json_find(object, "_rev", &rev) || rev.len < 5 || memcmp(rev.text, "\"0-", 3) != 0)
		return 0;
	number = (struct json_slice){rev.text + 3, rev.len - 4};
	return json_parse_unsigned(number, INT32_MAX, &value, NULL) == 0 ? value : 0;
}

/* Append the members that do not begin with an underscore, each with a comma in front. */
static void write_members(struct writer *writer, struct json_slice object)
{
	struct json_slice name, value;
	size_t position = 0;

	while (json_next(object, &position, &name, &value)) {
		if (name.len > 2 && name.text[1] == '_')
			continue;
		writer_text(writer, ",");
		writer_bytes(writer, name.text, (size_t)(value.text + value.len - name.text));
	}
}

int local_put(struct api_database *database, const char *id, struct json_slice object, bool deleted,
    char rev_out[LOCAL_REV_SIZE], struct qosid_errbuf *err)
{
	struct writer writer = {.err = err};
	int rc;

	if (deleted) {
		(void)snprintf(rev_out, LOCAL_REV_SIZE, "0-0");
		return replica_put_local(database->replica, id, (struct json_slice){0}, err);
	}
	(void)snprintf(rev_out, LOCAL_REV_SIZE, "0-%llu", local_number(object) + 1);
	writer_format(&writer, "{\"_rev\":\"%s\"", rev_out);
	write_members(&writer, object);
	writer_text(&writer, "}");
	rc = writer.rc;
	if (rc == 0 && writer.buf.len > LIMIT_DOCUMENT_BYTES)
		rc = qosid_error(
		    err, QOSID_ERR_LIMIT, "the local document has more than %u bytes", LIMIT_DOCUMENT_BYTES);
	if (rc == 0)
		rc = replica_put_local(
		    database->replica, id, (struct json_slice){(const char *)writer.buf.data, writer.buf.len}, err);
	qosid_buf_wipe(&writer.buf);
	return rc;
}

void local_render(struct writer *writer, const char *id, struct json_slice body)
{
	unsigned long long number = local_number(body);

	writer_text(writer, "{\"_id\":");
	writer_string(writer, id);
	writer_format(writer, ",\"_rev\":\"0-%llu\"", number > 0 ? number : 1);
	write_members(writer, body);
	writer_text(writer, "}");
}

static int get_local(struct http_call *call, struct api_database *database, const char *id, struct qosid_errbuf *err)
{
	struct writer writer = writer_begin(http_call_out(call), err);
	struct qosid_buf body = {0};
	int rc = replica_read_local(database->replica, id, &body, err);

	if (rc == QOSID_ERR_NOTFOUND) {
		rc = reply_missing(call, "missing");
	} else if (rc == 0) {
		local_render(&writer, id, (struct json_slice){(const char *)body.data, body.len});
		writer_text(&writer, "\n");
		rc = writer_end(&writer);
	}
	qosid_buf_wipe(&body);
	return rc;
}

static int write_local(struct http_call *call, struct api_database *database, const char *id, struct json_slice object,
    bool deleted, struct qosid_errbuf *err)
{
	struct writer writer = writer_begin(http_call_out(call), err);
	char rev[LOCAL_REV_SIZE];
	int rc = api_begin_write(database, err);

	if (rc != 0)
		return rc;
	rc = local_put(database, id, object, deleted, rev, err);
	if (rc != 0) {
		api_abort_write(database);
		return reply_store_failure(call, rc, err);
	}
	rc = api_commit_write(database, err);
	if (rc != 0)
		return rc;
	http_call_set_status(call, deleted ? 200 : 201);
	writer_text(&writer, "{\"ok\":true,\"id\":");
	writer_string(&writer, id);
	writer_format(&writer, ",\"rev\":\"%s\"}\n", rev);
	return writer_end(&writer);
}

static bool is_deletion(struct json_slice object)
{
	struct json_slice value;

	return json_find(object, "_deleted", &value) && json_slice_kind(value) == JSON_TRUE;
}

static int put_local(struct http_call *call, struct api_database *database, const char *id, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	struct json_slice object;
	int rc = request_read_json(call, &text, &object, err);

	if (rc == 0 && json_slice_kind(object) != JSON_OBJECT)
		rc = reply_error(call, 400, "bad_request", "Document must be a JSON object");
	if (rc == 0)
		rc = json_check_object(object.text, object.len, &object, err);
	if (rc == 0)
		rc = write_local(call, database, id, object, is_deletion(object), err);
	qosid_buf_wipe(&text);
	return rc;
}

static int delete_local(struct http_call *call, struct api_database *database, const char *id, struct qosid_errbuf *err)
{
	struct qosid_buf body = {0};
	int rc = replica_read_local(database->replica, id, &body, err);

	qosid_buf_wipe(&body);
	if (rc == QOSID_ERR_NOTFOUND)
		return reply_missing(call, "missing");
	return rc != 0 ? rc : write_local(call, database, id, (struct json_slice){"{}", 2}, true, err);
}

static int route(struct http_call *call, struct api_database *database, const char *id, struct qosid_errbuf *err)
{
	switch (http_call_method(call)) {
	case HTTP_GET:
	case HTTP_HEAD:
		return get_local(call, database, id, err);
	case HTTP_PUT:
		return put_local(call, database, id, err);
	case HTTP_DELETE:
		return delete_local(call, database, id, err);
	default:
		return reply_method(call, "DELETE,GET,HEAD,PUT");
	}
}

int api_local_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct qosid_buf id = {0};
	size_t rest;
	int rc = request_document_id(call, &id, &rest, err);

	if (rc == 0 && http_call_segment(call, rest))
		rc = reply_error(call, 400, "bad_request", "_local documents do not accept attachments.");
	if (rc == 0 && strncmp((const char *)id.data, "_local/", 7) != 0)
		rc = reply_error(call, 400, "bad_request", "Invalid _local document id.");
	if (rc == 0)
		rc = request_check_id(call, (const char *)id.data);
	if (rc == 0)
		rc = route(call, database, (const char *)id.data, err);
	qosid_buf_free(&id);
	return api_done(rc);
}
