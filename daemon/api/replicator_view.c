/*
 * What there is to see of replications: answers, _scheduler, _active_tasks.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/api/replicator_internal.h"
#include "sync/replica/timestamp.h"

const char *job_state_name(enum job_state state)
{
	static const char *const names[] = {"pending", "running", "crashing", "completed", "failed"};

	return names[state];
}

void replicator_format_time(int64_t milliseconds, char out[32])
{
	char text[TIMESTAMP_SIZE] = "";

	if (timestamp_format(text, milliseconds, NULL) != 0)
		memcpy(text, "1970-01-01T00:00:00.000Z", TIMESTAMP_SIZE);
	(void)snprintf(out, 32, "%.19sZ", text);
}

void job_format_stats(const struct job *job, char out[JOB_STATS_SIZE])
{
	const struct couch_report *counts = &job->counts;

	(void)snprintf(out, JOB_STATS_SIZE - 1,
	    "{\"revisions_checked\":%lld,\"missing_revisions_found\":%lld,\"docs_read\":%lld,\"docs_written\":%lld,"
	    "\"changes_pending\":%s,\"doc_write_failures\":%lld,\"bulk_get_docs\":0,\"bulk_get_attempts\":0",
	    (long long)counts->checked, (long long)counts->missing, (long long)counts->read, (long long)counts->written,
	    job->state == JOB_COMPLETED ? "0" : "null", (long long)counts->failed);
}

unsigned job_write_answer(struct job *job, struct writer *writer)
{
	struct replicator *replicator = job->replicator;
	const struct couch_report *counts = &job->counts;
	unsigned status = 200;

	(void)pthread_mutex_lock(&replicator->mutex);
	if (job->state == JOB_COMPLETED) {
		writer_text(writer, "{\"ok\":true,");
		if (!counts->changed)
			writer_text(writer, "\"no_changes\":true,");
		writer_format(writer, "\"session_id\":\"%s\",\"source_last_seq\":%s,\"replication_id_version\":4",
		    counts->session, job->through[0] != '\0' ? job->through : "0");
		writer_text(writer, ",\"history\":");
		if (job->history.len > 0)
			writer_bytes(writer, job->history.data, job->history.len);
		else
			writer_text(writer, "[]");
		writer_text(writer, "}\n");
	} else {
		int code = job->failure.code;

		status = code == QOSID_ERR_NOTFOUND                             ? 404
			 : code == QOSID_ERR_REFUSED                            ? 401
			 : code == QOSID_ERR_USAGE || code == QOSID_ERR_INVALID ? 400
										: 500;
		writer_format(writer, "{\"error\":\"%s\",\"reason\":",
		    status == 404   ? "db_not_found"
		    : status == 401 ? "unauthorized"
		    : status == 400 ? "bad_request"
				    : "replication_failed");
		writer_string(writer, job->failure.what);
		writer_text(writer, "}\n");
	}
	(void)pthread_mutex_unlock(&replicator->mutex);
	return status;
}

static void write_info(const struct job *job, struct writer *writer)
{
	char stats[JOB_STATS_SIZE];

	if (job->failure.code != 0) {
		writer_text(writer, "{\"error\":");
		writer_string(writer, job->failure.what);
		writer_text(writer, "}");
		return;
	}
	job_format_stats(job, stats);
	writer_text(writer, stats);
	writer_format(writer, ",\"checkpointed_source_seq\":%s,\"source_seq\":%s,\"through_seq\":%s}",
	    job->through[0] != '\0' ? job->through : "0", job->through[0] != '\0' ? job->through : "0",
	    job->through[0] != '\0' ? job->through : "0");
}

static void write_ends(const struct job *job, struct writer *writer)
{
	writer_text(writer, "\"source\":");
	writer_string(writer, job->spec.source.shown != NULL ? job->spec.source.shown : "");
	writer_text(writer, ",\"target\":");
	writer_string(writer, job->spec.target.shown != NULL ? job->spec.target.shown : "");
}

static void write_job(const struct job *job, struct writer *writer)
{
	char begun[32], updated[32];

	replicator_format_time(job->start_time, begun);
	replicator_format_time(job->updated, updated);
	writer_format(writer, "{\"database\":%s,\"id\":\"%s\",\"pid\":%s,",
	    job->doc_id != NULL ? "\"" API_REPLICATOR "\"" : "null", job->spec.id,
	    job->state == JOB_RUNNING ? "\"<0.1.0>\"" : "null");
	write_ends(job, writer);
	writer_text(writer, ",\"user\":null,\"doc_id\":");
	if (job->doc_id != NULL)
		writer_string(writer, job->doc_id);
	else
		writer_text(writer, "null");
	writer_text(writer, ",\"info\":");
	write_info(job, writer);
	writer_format(writer,
	    ",\"history\":[{\"timestamp\":\"%s\",\"type\":\"%s\"},{\"timestamp\":\"%s\",\"type\":\"added\"}],"
	    "\"node\":\"nonode@nohost\",\"start_time\":\"%s\"}",
	    updated,
	    job->state == JOB_CRASHING  ? "crashed"
	    : job->state == JOB_RUNNING ? "started"
					: "pending",
	    begun, begun);
}

static void write_doc(const struct job *job, struct writer *writer)
{
	char begun[32], updated[32];

	replicator_format_time(job->start_time != 0 ? job->start_time : job->updated, begun);
	replicator_format_time(job->updated, updated);
	writer_text(writer, "{\"database\":\"" API_REPLICATOR "\",\"doc_id\":");
	writer_string(writer, job->doc_id);
	if (job->spec.id[0] != '\0' && !(job->ended && job->state == JOB_FAILED))
		writer_format(writer, ",\"id\":\"%s\",", job->spec.id);
	else
		writer_text(writer, ",\"id\":null,");
	write_ends(job, writer);
	writer_format(writer, ",\"state\":\"%s\",\"info\":", job_state_name(job->state));
	write_info(job, writer);
	writer_format(writer,
	    ",\"error_count\":%u,\"last_updated\":\"%s\",\"start_time\":\"%s\",\"node\":\"nonode@nohost\","
	    "\"source_proxy\":null,\"target_proxy\":null}",
	    job->errors, updated, begun);
}

/* The jobs that pass, between skip and limit; returns how many pass. */
static size_t write_list(struct replicator *replicator, bool (*pass)(const struct job *job, const char *wanted),
    const char *wanted, void (*write)(const struct job *job, struct writer *writer), int64_t skip, int64_t limit,
    struct writer *writer)
{
	size_t total = 0;
	int64_t written = 0;

	(void)pthread_mutex_lock(&replicator->mutex);
	for (const struct job *job = replicator->jobs; job != NULL; job = job->next) {
		if (!pass(job, wanted) || (int64_t)total++ < skip || written >= limit)
			continue;
		if (written++ > 0)
			writer_text(writer, ",");
		write(job, writer);
	}
	(void)pthread_mutex_unlock(&replicator->mutex);
	return total;
}

static bool is_job(const struct job *job, const char *wanted)
{
	return !job->ended && !atomic_load(&job->cancel) && (wanted == NULL || strcmp(wanted, job->spec.id) == 0);
}

static bool is_doc(const struct job *job, const char *wanted)
{
	return job->doc_id != NULL && (wanted == NULL || strcmp(wanted, job->doc_id) == 0);
}

static bool is_running(const struct job *job, const char *wanted)
{
	(void)wanted;
	return job->state == JOB_RUNNING;
}

static void write_task(const struct job *job, struct writer *writer)
{
	char stats[JOB_STATS_SIZE];

	writer_format(writer,
	    "{\"type\":\"replication\",\"node\":\"nonode@nohost\",\"pid\":\"<0.1.0>\",\"replication_id\":\"%s\","
	    "\"continuous\":%s,\"started_on\":%lld,\"updated_on\":%lld,\"doc_id\":",
	    job->spec.id, job->spec.options.continuous ? "true" : "false", (long long)job->start_time / 1000,
	    (long long)job->updated / 1000);
	if (job->doc_id != NULL)
		writer_string(writer, job->doc_id);
	else
		writer_text(writer, "null");
	writer_text(writer, ",");
	write_ends(job, writer);
	job_format_stats(job, stats);
	writer_format(writer, ",\"through_seq\":%s,%s}", job->through[0] != '\0' ? job->through : "0", stats + 1);
}

size_t replicator_write_jobs(
    struct replicator *replicator, const char *id, int64_t skip, int64_t limit, struct writer *writer)
{
	return write_list(replicator, is_job, id, write_job, skip, limit, writer);
}

size_t replicator_write_docs(
    struct replicator *replicator, const char *doc_id, int64_t skip, int64_t limit, struct writer *writer)
{
	return write_list(replicator, is_doc, doc_id, write_doc, skip, limit, writer);
}

size_t replicator_write_tasks(struct replicator *replicator, struct writer *writer)
{
	return write_list(replicator, is_running, NULL, write_task, 0, INT64_MAX, writer);
}
