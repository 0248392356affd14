/*
 * _purge, _purged_infos, _purged_infos_limit: taking revisions out of this replica (replica_purge()).
 *
 * What _purged_infos tells is cut at the limit; what keeps a purged revision from coming back is never cut.
 */
#include "daemon/api/purge.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/api/setting.h"
#include "sync/replica/replica.h"

/* CouchDB's [purge] max_document_id_number and max_revisions_number. */
#define PURGE_DOCUMENTS 100
#define PURGE_REVISIONS 1000

static const struct setting infos_limit = {
    "_api/purged_infos_limit", 1000, "`purge_infos_limit` must be positive integer"};

bool purge_has_route(const char *name)
{
	return strcmp(name, "_purge") == 0 || strcmp(name, "_purged_infos") == 0 ||
	       strcmp(name, "_purged_infos_limit") == 0;
}

struct purging {
	struct http_call *call;
	struct api_database *database;
	struct writer writer;
	struct qosid_buf id;
	size_t count;
	struct revision revs[PURGE_REVISIONS];
	bool done[PURGE_REVISIONS];
};

static int read_revs(struct purging *purging, struct json_slice list)
{
	struct json_slice name, value;
	size_t position = 0;
	int rc = 0;

	purging->count = 0;
	while (rc == 0 && json_next(list, &position, &name, &value))
		rc = request_parse_rev(purging->call, value.text + 1, value.len - 2, &purging->revs[purging->count++]);
	return rc;
}

/* Everything is looked at before the first revision goes. */
static int check_request(struct http_call *call, struct json_slice body)
{
	struct json_slice id, revs, name, value;
	struct revision rev;
	size_t position = 0, documents = 0, count = 0;
	int rc = 0;

	while (rc == 0 && json_next(body, &position, &id, &revs)) {
		size_t at = 0;

		if (++documents > PURGE_DOCUMENTS)
			return reply_error(call, 400, "bad_request", "Exceeded maximum number of documents.");
		if (json_slice_kind(revs) != JSON_ARRAY)
			return reply_error(call, 400, "bad_request", "Revisions must be a list");
		while (rc == 0 && json_next(revs, &at, &name, &value)) {
			if (++count > PURGE_REVISIONS)
				return reply_error(call, 400, "bad_request", "Exceeded maximum number of revisions.");
			if (json_slice_kind(value) != JSON_STRING)
				return reply_error(call, 400, "bad_request", "Invalid rev format");
			rc = request_parse_rev(call, value.text + 1, value.len - 2, &rev);
		}
	}
	return rc;
}

static int purge_one(struct purging *purging, struct json_slice id, struct json_slice revs, struct qosid_errbuf *err)
{
	size_t rows = 0;
	int rc;

	qosid_buf_reset(&purging->id);
	rc = json_string_decode(id, &purging->id, err);
	if (rc == 0)
		rc = qosid_buf_append_text(&purging->id, "", err); /* an empty id, too, ends with a NUL */
	if (rc == 0)
		rc = read_revs(purging, revs);
	if (rc == 0)
		rc = replica_purge(purging->database->replica, (const char *)purging->id.data, purging->revs,
		    purging->count, purging->done, err);
	if (rc != 0)
		return rc;
	writer_slice(&purging->writer, id);
	writer_text(&purging->writer, ":[");
	for (size_t i = 0; i < purging->count; i++) {
		if (!purging->done[i])
			continue;
		writer_text(&purging->writer, rows++ > 0 ? "," : "");
		writer_revision(&purging->writer, &purging->revs[i]);
	}
	writer_text(&purging->writer, "]");
	return 0;
}

static int purge_all(struct purging *purging, struct json_slice body, struct qosid_errbuf *err)
{
	struct json_slice id, revs;
	size_t position = 0, documents = 0;
	int rc = 0;

	writer_text(&purging->writer, "{\"purge_seq\":null,\"purged\":{");
	while (rc == 0 && json_next(body, &position, &id, &revs)) {
		writer_text(&purging->writer, documents++ > 0 ? "," : "");
		rc = purge_one(purging, id, revs, err);
	}
	writer_text(&purging->writer, "}}\n");
	return rc != 0 ? rc : purging->writer.rc;
}

static int post_purge(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct purging *purging = NULL;
	struct qosid_buf text = {0};
	struct json_slice body;
	int rc;

	if (http_call_method(call) != HTTP_POST)
		return reply_method(call, "POST");
	rc = api_need_server_admin(call);
	if (rc == 0)
		rc = request_need_json(call);
	if (rc == 0)
		rc = request_read_object(call, &text, &body, err);
	if (rc == 0)
		rc = check_request(call, body);
	if (rc == 0 && !(purging = calloc(1, sizeof(*purging))))
		rc = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	if (rc == 0)
		rc = api_begin_write(database, err);
	if (rc != 0)
		goto out;
	*purging = (struct purging){.call = call, .database = database, .writer = {.err = err}};
	rc = purge_all(purging, body, err);
	if (rc != 0)
		api_abort_write(database);
	else
		rc = api_commit_write(database, err);
	if (rc == 0) {
		http_call_set_status(call, 201);
		rc = spool_write(http_call_out(call), purging->writer.buf.data, purging->writer.buf.len, err);
	}
	qosid_buf_free(&purging->writer.buf);
	qosid_buf_free(&purging->id);
out:
	free(purging);
	qosid_buf_wipe(&text);
	return rc;
}

/* ---- what was purged ---- */

struct telling {
	struct writer writer;
	struct qosid_buf id;
	int64_t sequence;
	size_t rows;
};

/* What one purge took from one document is one row. */
static int tell_purged(
    void *context, const char *id, const struct revision *rev, int64_t sequence, struct qosid_errbuf *err)
{
	struct telling *telling = context;
	int rc = 0;

	if (telling->rows > 0 && telling->sequence == sequence && strcmp((const char *)telling->id.data, id) == 0) {
		writer_text(&telling->writer, ",");
	} else {
		writer_text(&telling->writer, telling->rows++ > 0 ? "]},\n{\"id\":" : "{\"id\":");
		writer_string(&telling->writer, id);
		writer_text(&telling->writer, ",\"revs\":[");
		qosid_buf_reset(&telling->id);
		telling->sequence = sequence;
		rc = qosid_buf_append_text(&telling->id, id, err);
	}
	writer_revision(&telling->writer, rev);
	return rc != 0 ? rc : telling->writer.rc;
}

static int get_infos(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct telling telling = {.writer = writer_begin(http_call_out(call), err)};
	int rc;

	if (http_call_method(call) != HTTP_GET && http_call_method(call) != HTTP_HEAD)
		return reply_method(call, "GET");
	writer_text(&telling.writer, "{\"purged_infos\":[");
	rc = replica_visit_purged(
	    database->replica, 0, setting_read(database, &infos_limit), tell_purged, &telling, err);
	writer_text(&telling.writer, telling.rows > 0 ? "]}]}\n" : "]}\n");
	if (writer_end(&telling.writer) != 0 && rc == 0)
		rc = telling.writer.rc;
	qosid_buf_free(&telling.id);
	return rc;
}

int api_purge_routes(struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	const char *name = http_call_segment(call, 1);

	if (strcmp(name, "_purge") == 0)
		return post_purge(call, database, err);
	if (strcmp(name, "_purged_infos") == 0)
		return get_infos(call, database, err);
	return setting_route(call, database, &infos_limit, err);
}
