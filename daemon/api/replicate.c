/*
 * Replication over HTTP: see replicate.h.
 *
 * A one-shot replication is answered when it has ended. For a few seconds the call's worker waits for that, so that
 * failures that show at once get their status; after that the call becomes a feed, which costs no thread, and whose
 * status is 200 whatever comes.
 */
#include "daemon/api/replicate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/replicator.h"
#include "daemon/api/reply.h"
#include "daemon/api/server.h"
#include "daemon/api/views.h"

#define WAIT_MS 3000
#define HEARTBEAT_MS 10000
#define DEFAULT_ATTEMPTS 3 /* somebody waits for the answer */
#define LIST_LIMIT 25      /* as in CouchDB */

bool replicate_has_route(const char *name)
{
	return strcmp(name, "_replicate") == 0 || strcmp(name, "_scheduler") == 0 || strcmp(name, API_REPLICATOR) == 0;
}

/* ---- POST /_replicate ---- */

static enum http_feed_state produce_answer(void *context, struct http_call *call, struct spool *out, bool timed_out)
{
	struct writer writer = writer_begin(out, NULL);

	(void)call;
	(void)timed_out;
	if (!job_wait(context, 0))
		return FEED_WAIT;
	(void)job_write_answer(context, &writer); /* the status has been sent */
	(void)writer_end(&writer);                /* a client that has gone */
	return FEED_END;
}

static void free_answer(void *context)
{
	job_release(context);
}

static int answer_later(struct http_call *call, struct job *job, struct qosid_errbuf *err)
{
	struct http_feed feed = {.produce = produce_answer,
	    .free_context = free_answer,
	    .context = job,
	    .heartbeat_ms = HEARTBEAT_MS,
	    .heartbeat_text = "\n"};

	(void)snprintf(feed.topic, sizeof(feed.topic), "%s", job_topic(job));
	return http_call_subscribe(call, &feed, err);
}

static int start(struct http_call *call, struct api *api, struct replicate_spec *spec, struct qosid_errbuf *err)
{
	struct writer writer = writer_begin(http_call_out(call), err);
	struct job *job;
	int rc;

	if (spec->source.peer.attempts == 0 && !spec->options.continuous)
		spec->source.peer.attempts = DEFAULT_ATTEMPTS;
	if (spec->target.peer.attempts == 0 && !spec->options.continuous)
		spec->target.peer.attempts = DEFAULT_ATTEMPTS;
	rc = replicator_add(api->replicator, spec, NULL, &job, err);
	if (rc == QOSID_ERR_LIMIT)
		return reply_error(call, 503, "too_many_replications", "Too many replications are under way.");
	if (rc != 0)
		return rc;
	if (job_is_continuous(job)) {
		rc = http_call_json(call, 202, "{\"ok\":true,\"_local_id\":\"%s\"}\n", job_id(job));
	} else if (job_wait(job, WAIT_MS)) {
		http_call_set_status(call, job_write_answer(job, &writer));
		rc = writer_end(&writer);
	} else {
		return answer_later(call, job, err);
	}
	job_release(job);
	return rc;
}

static int cancel(struct http_call *call, struct api *api, const struct replicate_spec *spec, struct qosid_errbuf *err)
{
	const char *id = spec->replication_id != NULL ? spec->replication_id : spec->id;
	struct writer writer = writer_begin(http_call_out(call), err);

	if (replicator_cancel(api->replicator, id, NULL) != 0)
		return reply_error(call, 404, "not_found", "missing");
	writer_text(&writer, "{\"ok\":true,\"_local_id\":");
	writer_string(&writer, id);
	writer_text(&writer, "}\n");
	return writer_end(&writer);
}

static int replicate_route(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	struct replicate_spec spec = {0};
	struct qosid_buf text = {0};
	struct json_slice object;
	struct qosid_errbuf fault = {0};
	int rc;

	if (http_call_method(call) != HTTP_POST)
		return reply_method(call, "POST");
	rc = request_need_json(call);
	if (rc == 0)
		rc = request_read_object(call, &text, &object, err);
	if (rc == 0 && replicate_spec_parse(&spec, object, &fault) != 0)
		rc = reply_error(call, 400, "bad_request", fault.what);
	qosid_buf_wipe(&text);
	if (rc != 0)
		return rc;
	rc = spec.cancel ? cancel(call, api, &spec, err) : start(call, api, &spec, err);
	replicate_spec_free(&spec);
	return rc;
}

/* ---- _scheduler ---- */

typedef size_t (*write_fn)(
    struct replicator *replicator, const char *wanted, int64_t skip, int64_t limit, struct writer *writer);

static int list(struct http_call *call, struct api *api, write_fn write, const char *name, struct qosid_errbuf *err)
{
	struct writer writer = writer_begin(http_call_out(call), err), items = writer_begin(NULL, err);
	int64_t limit, skip;
	size_t total;
	int rc = request_number(call, "limit", LIST_LIMIT, &limit);

	if (rc == 0)
		rc = request_number(call, "skip", 0, &skip);
	if (rc != 0)
		return rc;
	total = write(api->replicator, NULL, skip, limit, &items);
	writer_format(&writer, "{\"total_rows\":%zu,\"offset\":%lld,\"%s\":[", total, (long long)skip, name);
	writer_bytes(&writer, items.buf.data, items.buf.len);
	writer_text(&writer, "]}\n");
	rc = items.rc;
	qosid_buf_free(&items.buf);
	return rc != 0 ? rc : writer_end(&writer);
}

static int one(struct http_call *call, struct api *api, write_fn write, const char *wanted, struct qosid_errbuf *err)
{
	struct writer writer = writer_begin(http_call_out(call), err);

	if (write(api->replicator, wanted, 0, 1, &writer) == 0)
		return reply_missing(call, "missing");
	writer_text(&writer, "\n");
	return writer_end(&writer);
}

static int scheduler_route(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	const char *kind = http_call_segment(call, 1), *first = http_call_segment(call, 2);

	if (http_call_method(call) != HTTP_GET)
		return reply_method(call, "GET,HEAD");
	if (kind != NULL && strcmp(kind, "jobs") == 0)
		return first == NULL ? list(call, api, replicator_write_jobs, "jobs", err)
				     : one(call, api, replicator_write_jobs, first, err);
	if (kind == NULL || strcmp(kind, "docs") != 0)
		return reply_missing(call, "missing");
	if (first == NULL || (strcmp(first, API_REPLICATOR) == 0 && http_call_segment(call, 3) == NULL))
		return list(call, api, replicator_write_docs, "docs", err);
	return one(call, api, replicator_write_docs,
	    strcmp(first, API_REPLICATOR) == 0 ? http_call_segment(call, 3) : first, err);
}

int replicate_list_tasks(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	struct writer writer = writer_begin(http_call_out(call), err);
	int rc = http_call_method(call) == HTTP_GET ? server_need_admin(call) : reply_method(call, "GET,HEAD");

	if (rc != 0)
		return rc;
	writer_text(&writer, "[");
	bool first = replicator_write_tasks(api->replicator, &writer) == 0;
	(void)api_view_write_tasks(api, first, &writer); /* how many there are shows */
	writer_text(&writer, "]\n");
	return writer_end(&writer);
}

int api_replicate_routes(struct http_call *call, struct api *api, struct qosid_errbuf *err)
{
	const char *name = http_call_segment(call, 0);
	int rc = server_need_admin(call);

	if (rc != 0)
		return api_done(rc);
	if (strcmp(name, API_REPLICATOR) == 0)
		return api_database_routes(call, api, err);
	rc = strcmp(name, "_replicate") == 0 ? replicate_route(call, api, err) : scheduler_route(call, api, err);
	return api_done(rc);
}
