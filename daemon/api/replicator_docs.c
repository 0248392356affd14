/*
 * The database _replicator as a list of wishes: its documents are read when they change, and told how theirs ended.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/api_internal.h"
#include "daemon/api/replicator.h"
#include "daemon/api/reply.h"

#define STATE_MEMBER "_replication_state"
#define STATE_PREFIX "\"_replication_"

struct replicator_docs {
	struct api *api;
	struct replica *replica;
	int64_t version; /* replica_data_version() when it was read last */
	int64_t sequence;
	bool read;
};

int replicator_docs_open(struct replicator_docs **out, struct api *api, struct qosid_errbuf *err)
{
	struct replicator_docs *docs = calloc(1, sizeof(*docs));
	char dir[PATH_MAX], path[PATH_MAX];
	int rc;

	*out = NULL;
	if (docs == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	docs->api = api;
	rc = api_locate_database(api, API_REPLICATOR, dir, err);
	if (rc == 0 && snprintf(path, sizeof(path), "%s/replica.db", dir) >= (int)sizeof(path))
		rc = qosid_error(err, QOSID_ERR_LIMIT, "the path of a database is too long");
	if (rc == 0)
		rc = replica_open(&docs->replica, path, 0, err);
	if (rc != 0) {
		free(docs);
		return rc;
	}
	*out = docs;
	return 0;
}

void replicator_docs_close(struct replicator_docs *docs)
{
	if (docs == NULL)
		return;
	replica_close(docs->replica);
	free(docs);
}

/* ---- reading ---- */

struct walk {
	struct replicator_docs *docs;
	const struct replicator_orders *orders;
};

/* Where the document says that it has ended. */
static enum job_state state_of(struct json_slice body)
{
	struct json_slice value;

	if (!json_find(body, STATE_MEMBER, &value) || json_slice_kind(value) != JSON_STRING)
		return JOB_PENDING;
	if (json_string_equal(value, "completed"))
		return JOB_COMPLETED;
	return json_string_equal(value, "failed") ? JOB_FAILED : JOB_PENDING;
}

static int read_document(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct walk *walk = context;
	const char *id = (const char *)record->id.data;
	struct json_slice body = {(const char *)record->body.data, record->body.len};
	struct replicate_spec spec = {0};
	struct qosid_errbuf fault = {0};

	(void)err;
	walk->docs->sequence = record->sequence;
	if (strncmp(id, "_design/", 8) == 0)
		return 0;
	if (record->deleted) {
		walk->orders->gone(walk->orders->context, id);
		return 0;
	}
	(void)replicate_spec_parse(&spec, body, &fault); /* the fault is passed on */
	walk->orders->wanted(walk->orders->context, id, &spec, state_of(body), &fault);
	return 0;
}

int replicator_docs_read(struct replicator_docs *docs, const struct replicator_orders *orders, struct qosid_errbuf *err)
{
	struct walk walk = {docs, orders};
	int64_t version;
	int rc = replica_data_version(docs->replica, &version, err);

	if (rc != 0 || (docs->read && version == docs->version))
		return rc;
	rc = replica_visit_changes(docs->replica, docs->sequence, 0, read_document, &walk, err);
	if (rc == 0) {
		docs->version = version;
		docs->read = true;
	}
	return rc;
}

/* ---- writing ---- */

/* The body without its members of this kind, and the new ones. */
static int compose(struct json_slice body, enum job_state state, const char *id, const char *reason, const char *stats,
    struct writer *writer)
{
	struct json_slice name, value;
	size_t position = 0;
	char time_text[32];

	replicator_format_time(api_now(), time_text);
	writer_text(writer, "{");
	while (json_next(body, &position, &name, &value)) {
		if (name.len > strlen(STATE_PREFIX) && memcmp(name.text, STATE_PREFIX, strlen(STATE_PREFIX)) == 0)
			continue;
		writer_bytes(writer, name.text, (size_t)(value.text + value.len - name.text));
		writer_text(writer, ",");
	}
	writer_format(
	    writer, "\"" STATE_MEMBER "\":\"%s\",\"_replication_state_time\":\"%s\"", job_state_name(state), time_text);
	if (id != NULL && id[0] != '\0')
		writer_format(writer, ",\"_replication_id\":\"%s\"", id);
	if (reason != NULL) {
		writer_text(writer, ",\"_replication_state_reason\":");
		writer_string(writer, reason);
	}
	if (stats != NULL)
		writer_format(writer, ",\"_replication_stats\":%s", stats);
	writer_text(writer, "}");
	return writer->rc;
}

static int put(struct replicator_docs *docs, const char *doc_id, const struct replica_record *record,
    const struct writer *writer, struct qosid_errbuf *err)
{
	struct replica_edit edit = {
	    .id = doc_id,
	    .parent = &record->rev,
	    .body = {(const char *)writer->buf.data, writer->buf.len},
	    .user = "",
	    .time = record->time,
	};
	struct revision written;
	int rc = replica_begin(docs->replica, err);

	if (rc != 0)
		return rc;
	rc = replica_put_edit(docs->replica, &edit, &written, err);
	if (rc != 0) {
		replica_rollback(docs->replica);
		return rc;
	}
	rc = replica_commit(docs->replica, err);
	docs->read = false; /* data_version does not tell of this connection's own changes */
	if (rc == 0 && docs->api->server != NULL)
		http_server_wake(docs->api->server, API_REPLICATOR);
	return rc;
}

int replicator_docs_note(struct replicator_docs *docs, const char *doc_id, enum job_state state, const char *id,
    const char *reason, const char *stats, struct qosid_errbuf *err)
{
	struct replica_record record = {0};
	struct writer writer = writer_begin(NULL, err);
	int rc = replica_read_document(docs->replica, doc_id, NULL, &record, err);
	struct json_slice body = {(const char *)record.body.data, record.body.len};

	if (rc == 0)
		rc = compose(body, state, id, reason, stats, &writer);
	if (rc == 0)
		rc = put(docs, doc_id, &record, &writer, err);
	qosid_buf_wipe(&writer.buf);
	replica_record_free(&record);
	return rc;
}
