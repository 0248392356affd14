/*
 * Replication jobs and their scheduling: see replicator.h.
 */

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/api/replicator_internal.h"
#include "daemon/api/reply.h"

#define TICK_MS 500
#define RETRY_MIN_MS 5000
#define RETRY_MAX_MS 600000

/* ---- jobs ---- */

static void free_job(struct job *job)
{
	replicate_spec_free(&job->spec);
	qosid_buf_free(&job->history);
	free(job->doc_id);
	free(job);
}

/* The mutex is held. */
static void drop(struct job *job, unsigned references)
{
	job->references -= references;
	if (job->references == 0)
		free_job(job);
}

void job_release(struct job *job)
{
	struct replicator *replicator;

	if (job == NULL)
		return;
	replicator = job->replicator;
	(void)pthread_mutex_lock(&replicator->mutex);
	drop(job, 1);
	(void)pthread_mutex_unlock(&replicator->mutex);
}

const char *job_id(const struct job *job)
{
	return job->spec.id;
}

const char *job_topic(const struct job *job)
{
	return job->topic;
}

bool job_is_continuous(const struct job *job)
{
	return job->spec.options.continuous;
}

static void deadline_in(int64_t ms, struct timespec *out)
{
	(void)clock_gettime(CLOCK_REALTIME, out); /* cannot fail for this clock */
	out->tv_sec += ms / 1000;
	out->tv_nsec += (long)(ms % 1000) * 1000000L;
	if (out->tv_nsec >= 1000000000L) {
		out->tv_sec++;
		out->tv_nsec -= 1000000000L;
	}
}

bool job_wait(struct job *job, int64_t ms)
{
	struct replicator *replicator = job->replicator;
	struct timespec deadline;
	bool ended;

	deadline_in(ms, &deadline);
	(void)pthread_mutex_lock(&replicator->mutex);
	while (
	    !job->ended && ms > 0 && pthread_cond_timedwait(&replicator->changed, &replicator->mutex, &deadline) == 0)
		;
	ended = job->ended;
	(void)pthread_mutex_unlock(&replicator->mutex);
	return ended;
}

/* Take it off the list, whose reference the caller then has. */
static void unlist(struct replicator *replicator, struct job *job)
{
	struct job **at = &replicator->jobs;

	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	replicator->count--;
	job->listed = false;
}

/* ---- one job's thread ---- */

/* Numbers and names of a report; its texts stay where they are. */
static void copy_counts(struct job *job, const struct couch_report *report)
{
	job->counts = *report;
	job->counts.since = job->counts.through = job->counts.history = (struct qosid_buf){0};
	if (report->through.len > 0 && report->through.len < sizeof(job->through))
		memcpy(job->through, report->through.data, report->through.len + 1);
	job->updated = api_now();
}

static void on_progress(void *context, const struct couch_report *report)
{
	struct job *job = context;

	(void)pthread_mutex_lock(&job->replicator->mutex);
	copy_counts(job, report);
	(void)pthread_mutex_unlock(&job->replicator->mutex);
}

static void on_offline(void *context, const struct qosid_errbuf *reason, int64_t wait_ms)
{
	struct job *job = context;

	(void)wait_ms;
	(void)pthread_mutex_lock(&job->replicator->mutex);
	job->state = reason != NULL ? JOB_CRASHING : JOB_RUNNING;
	job->failure = reason != NULL ? *reason : (struct qosid_errbuf){0};
	job->errors = reason != NULL ? job->errors + 1 : 0;
	(void)pthread_mutex_unlock(&job->replicator->mutex);
}

static void on_committed(void *context)
{
	struct job *job = context;
	struct http_server *server = job->replicator->api->server;

	if (server != NULL)
		http_server_wake(server, job->spec.target.local);
}

/* Open one end of the job: a replica of this thread's own, or nothing for a peer. */
static int open_end(struct job *job, const struct replicate_end *end, bool create, struct replica **out,
    char dir[PATH_MAX], struct qosid_errbuf *err)
{
	struct api *api = job->replicator->api;
	char path[PATH_MAX];
	int rc;

	*out = NULL;
	if (end->local == NULL)
		return 0;
	if (strcmp(end->local, API_USERS) == 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "the database _users does not replicate");
	rc = api_locate_database(api, end->local, dir, err);
	if (rc == QOSID_ERR_NOTFOUND && create) {
		rc = api_make_database(api, end->local, err);
		if (rc == 0)
			rc = api_locate_database(api, end->local, dir, err);
	}
	if (rc == QOSID_ERR_NOTFOUND)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "could not open %s", end->local);
	if (rc == 0 && snprintf(path, sizeof(path), "%s/replica.db", dir) >= (int)sizeof(path))
		rc = qosid_error(err, QOSID_ERR_LIMIT, "the path of a database is too long");
	return rc != 0 ? rc : replica_open(out, path, 0, err);
}

static int replicate(struct job *job, struct couch_report *report, struct qosid_errbuf *err)
{
	struct couch_options options = job->spec.options;
	struct replica *source = NULL, *target = NULL;
	char source_dir[PATH_MAX] = "", target_dir[PATH_MAX] = "";
	int rc;

	if (job->spec.source.local != NULL && job->spec.target.local != NULL &&
	    strcmp(job->spec.source.local, job->spec.target.local) == 0)
		return qosid_error(err, QOSID_ERR_USAGE, "source and target are the same");
	rc = open_end(job, &job->spec.source, false, &source, source_dir, err);
	if (rc == 0)
		rc = open_end(job, &job->spec.target, options.create_target, &target, target_dir, err);
	options.source = (struct couch_end){.replica = source, .peer = source == NULL ? &job->spec.source.peer : NULL};
	options.target = (struct couch_end){.replica = target, .peer = target == NULL ? &job->spec.target.peer : NULL};
	options.cancel = &job->cancel;
	options.scratch = target != NULL ? target_dir : source != NULL ? source_dir : NULL;
	options.listener = (struct couch_listener){.progress = on_progress,
	    .offline = on_offline,
	    .committed = target != NULL ? on_committed : NULL,
	    .context = job};
	if (rc == 0)
		rc = couch_replicate(&options, report, err);
	replica_close(source);
	replica_close(target);
	return rc;
}

static void log_end(const struct job *job, int rc)
{
	const struct journal *journal = job->replicator->api->journal;
	struct journal_line line;

	if (journal == NULL)
		return;
	journal_begin(&line, journal, rc != 0 ? LOG_WARNING : LOG_INFO,
	    rc != 0 ? "a replication has failed" : "a replication has ended");
	journal_text(&line, "source", job->spec.source.shown);
	journal_text(&line, "target", job->spec.target.shown);
	journal_number(&line, "written", job->counts.written);
	if (rc != 0)
		journal_error(&line, &job->failure);
	journal_end(&line);
}

/* What comes after a run. The mutex is held. */
static void settle(struct job *job, int rc, bool cancelled)
{
	int64_t wait = RETRY_MIN_MS;

	if (cancelled) {
		job->ended = true;
		job->state = JOB_FAILED;
		(void)qosid_error(&job->failure, QOSID_ERR_FAILED, "the replication was cancelled");
	} else if (rc == 0) {
		job->ended = true;
		job->state = JOB_COMPLETED;
	} else if (job->doc_id == NULL || rc == QOSID_ERR_USAGE) {
		job->ended = true;
		job->state = JOB_FAILED;
	} else {
		for (unsigned i = 0; i < job->errors && wait < RETRY_MAX_MS; i++)
			wait *= 2;
		job->errors++;
		job->state = JOB_CRASHING;
		job->retry_time = api_now() + wait;
	}
	job->updated = api_now();
	job->thread_done = true;
}

static void *run_job(void *context)
{
	struct job *job = context;
	struct replicator *replicator = job->replicator;
	struct couch_report report = {0};
	struct qosid_errbuf err = {0};
	int rc = replicate(job, &report, &err);

	(void)pthread_mutex_lock(&replicator->mutex);
	copy_counts(job, &report);
	qosid_buf_free(&job->history);
	job->history = report.history;
	report.history = (struct qosid_buf){0};
	job->failure = err;
	settle(job, rc, report.cancelled);
	(void)pthread_cond_broadcast(&replicator->changed);
	(void)pthread_mutex_unlock(&replicator->mutex);
	log_end(job, rc);
	if (replicator->api->server != NULL)
		http_server_wake(replicator->api->server, job->topic);
	couch_report_free(&report);
	return NULL;
}

/* ---- scheduling; the mutex is held but where it says so ---- */

static void start_jobs(struct replicator *replicator)
{
	unsigned running = 0;
	int64_t now = api_now();

	for (struct job *job = replicator->jobs; job != NULL; job = job->next)
		running += job->threaded;
	for (struct job *job = replicator->jobs; job != NULL && running < REPLICATOR_THREADS; job = job->next) {
		if (job->threaded || job->ended || now < job->retry_time)
			continue;
		job->state = JOB_RUNNING;
		job->failure = (struct qosid_errbuf){0};
		job->thread_done = false;
		job->start_time = job->start_time != 0 ? job->start_time : now;
		job->references++;
		job->threaded = pthread_create(&job->thread, NULL, run_job, job) == 0;
		if (!job->threaded) { /* later, perhaps */
			job->state = JOB_PENDING;
			drop(job, 1);
			return;
		}
		running++;
	}
}

/* Join threads that have ended; the mutex is let go meanwhile, so the list is walked anew after each. */
static void reap(struct replicator *replicator, bool all)
{
	struct job *job = replicator->jobs;

	while (job != NULL) {
		pthread_t thread;
		bool leaves;

		if (!job->threaded || !(all || job->thread_done)) {
			job = job->next;
			continue;
		}
		thread = job->thread;
		(void)pthread_mutex_unlock(&replicator->mutex);
		(void)pthread_join(thread, NULL); /* it is joinable and not this one */
		(void)pthread_mutex_lock(&replicator->mutex);
		job->threaded = false;
		leaves = job->ended && job->doc_id == NULL && job->listed;
		if (leaves)
			unlist(replicator, job);
		drop(job, leaves ? 2 : 1); /* the thread's is one of them */
		job = replicator->jobs;
	}
}

static struct job *find_doc(const struct replicator *replicator, const char *doc_id)
{
	for (struct job *job = replicator->jobs; job != NULL; job = job->next) {
		if (job->doc_id != NULL && strcmp(job->doc_id, doc_id) == 0 && !atomic_load(&job->cancel))
			return job;
	}
	return NULL;
}

static void end_job(struct replicator *replicator, struct job *job)
{
	atomic_store(&job->cancel, true);
	if (!job->threaded) {
		job->ended = true;
		job->state = JOB_FAILED;
		unlist(replicator, job);
		(void)pthread_cond_broadcast(&replicator->changed);
		drop(job, 1);
	} else {
		free(job->doc_id); /* it is of no document any more, so it leaves when its thread has */
		job->doc_id = NULL;
	}
}

static struct job *make_job(struct replicator *replicator, struct replicate_spec *spec, const char *doc_id)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job != NULL && doc_id != NULL && (job->doc_id = strdup(doc_id)) == NULL) {
		free(job);
		job = NULL;
	}
	if (job == NULL)
		return NULL;
	job->replicator = replicator;
	job->spec = *spec;
	*spec = (struct replicate_spec){0};
	(void)snprintf(job->topic, sizeof(job->topic), "_replicate/%s", job->spec.id);
	job->references = 1;
	job->listed = true;
	job->updated = api_now();
	job->next = replicator->jobs;
	replicator->jobs = job;
	replicator->count++;
	return job;
}

static void want_job(void *context, const char *doc_id, struct replicate_spec *spec, enum job_state state,
    const struct qosid_errbuf *fault)
{
	struct replicator *replicator = context;
	struct job *old, *job;

	(void)pthread_mutex_lock(&replicator->mutex);
	old = find_doc(replicator, doc_id);
	if (old != NULL && strcmp(old->spec.digest, spec->digest) == 0 && (state != JOB_PENDING || !old->ended)) {
		replicate_spec_free(spec); /* the document says what is so already */
		goto out;
	}
	if (old != NULL)
		end_job(replicator, old);
	job = replicator->count < REPLICATOR_JOBS_MAX ? make_job(replicator, spec, doc_id) : NULL;
	if (job == NULL) {
		replicate_spec_free(spec);
		goto out;
	}
	job->state = fault->code != 0 ? JOB_FAILED : state;
	job->ended = job->state != JOB_PENDING;
	job->noted = state != JOB_PENDING;
	job->failure = *fault;
out:
	(void)pthread_mutex_unlock(&replicator->mutex);
}

static void job_gone(void *context, const char *doc_id)
{
	struct replicator *replicator = context;
	struct job *job;

	(void)pthread_mutex_lock(&replicator->mutex);
	job = find_doc(replicator, doc_id);
	if (job != NULL)
		end_job(replicator, job);
	(void)pthread_mutex_unlock(&replicator->mutex);
}

/* Write the ends of documents' jobs into them. The mutex is let go meanwhile. */
static void note_ends(struct replicator *replicator)
{
	struct job *job = replicator->jobs;

	while (job != NULL) {
		char stats[JOB_STATS_SIZE], reason[sizeof(job->failure.what)], *doc_id;
		enum job_state state = job->state;
		char id[REPLICATE_ID_SIZE];

		if (!job->ended || job->noted || job->doc_id == NULL || atomic_load(&job->cancel)) {
			job = job->next;
			continue;
		}
		job->noted = true;
		doc_id = strdup(job->doc_id);
		if (doc_id == NULL)
			return;
		job_format_stats(job, stats);
		stats[strlen(stats) + 1] = '\0';
		stats[strlen(stats)] = '}';
		memcpy(reason, job->failure.what, sizeof(reason));
		memcpy(id, job->spec.id, sizeof(id));
		(void)pthread_mutex_unlock(&replicator->mutex);
		/* A document that has changed meanwhile is read again anyway. */
		(void)replicator_docs_note(replicator->docs, doc_id, state, id, state == JOB_FAILED ? reason : NULL,
		    state == JOB_COMPLETED ? stats : NULL, NULL);
		free(doc_id);
		(void)pthread_mutex_lock(&replicator->mutex);
		job = replicator->jobs;
	}
}

static void *schedule(void *context)
{
	struct replicator *replicator = context;
	struct replicator_orders orders = {.wanted = want_job, .gone = job_gone, .context = replicator};
	struct timespec deadline;

	(void)pthread_mutex_lock(&replicator->mutex);
	while (!replicator->stop) {
		(void)pthread_mutex_unlock(&replicator->mutex);
		if (replicator->docs == NULL && replicator->api->data_dir[0] != '\0')
			(void)replicator_docs_open(&replicator->docs, replicator->api, NULL); /* tried again */
		if (replicator->docs != NULL)
			(void)replicator_docs_read(replicator->docs, &orders, NULL); /* tried again */
		(void)pthread_mutex_lock(&replicator->mutex);
		reap(replicator, false);
		if (replicator->docs != NULL)
			note_ends(replicator);
		if (replicator->stop)
			break;
		start_jobs(replicator);
		deadline_in(TICK_MS, &deadline);
		(void)pthread_cond_timedwait(&replicator->changed, &replicator->mutex, &deadline);
	}
	for (struct job *job = replicator->jobs; job != NULL; job = job->next)
		atomic_store(&job->cancel, true);
	reap(replicator, true);
	(void)pthread_mutex_unlock(&replicator->mutex);
	replicator_docs_close(replicator->docs);
	return NULL;
}

/* ---- life ---- */

int replicator_create(struct replicator **out, struct api *api, struct qosid_errbuf *err)
{
	struct replicator *replicator = calloc(1, sizeof(*replicator));

	*out = NULL;
	if (replicator == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	replicator->api = api;
	(void)pthread_mutex_init(&replicator->mutex, NULL); /* cannot fail on Linux, like the next one */
	(void)pthread_cond_init(&replicator->changed, NULL);
	*out = replicator;
	return 0;
}

int replicator_start(struct replicator *replicator, struct qosid_errbuf *err)
{
	if (pthread_create(&replicator->thread, NULL, schedule, replicator) != 0)
		return qosid_error(err, QOSID_ERR_FAILED, "cannot start a thread for replications");
	replicator->started = true;
	return 0;
}

void replicator_stop(struct replicator *replicator)
{
	if (replicator == NULL)
		return;
	(void)pthread_mutex_lock(&replicator->mutex);
	replicator->stop = true;
	(void)pthread_cond_broadcast(&replicator->changed);
	(void)pthread_mutex_unlock(&replicator->mutex);
	if (replicator->started)
		(void)pthread_join(replicator->thread, NULL); /* it is joinable */
	(void)pthread_mutex_lock(&replicator->mutex);
	replicator->started = false;
	(void)pthread_mutex_unlock(&replicator->mutex);
}

void replicator_free(struct replicator *replicator)
{
	if (replicator == NULL)
		return;
	replicator_stop(replicator);
	while (replicator->jobs != NULL) {
		struct job *job = replicator->jobs;

		unlist(replicator, job);
		drop(job, 1);
	}
	(void)pthread_cond_destroy(&replicator->changed);
	(void)pthread_mutex_destroy(&replicator->mutex);
	free(replicator);
}

int replicator_add(struct replicator *replicator, struct replicate_spec *spec, const char *doc_id, struct job **out,
    struct qosid_errbuf *err)
{
	int rc = 0;

	*out = NULL;
	(void)pthread_mutex_lock(&replicator->mutex);
	for (struct job *job = replicator->jobs; job != NULL && *out == NULL; job = job->next) {
		if (strcmp(job->spec.id, spec->id) == 0 && !job->ended && !atomic_load(&job->cancel))
			*out = job;
	}
	if (*out != NULL)
		replicate_spec_free(spec);
	else if (replicator->count >= REPLICATOR_JOBS_MAX)
		rc = qosid_error(err, QOSID_ERR_LIMIT, "there are %d replications already", REPLICATOR_JOBS_MAX);
	else if ((*out = make_job(replicator, spec, doc_id)) == NULL)
		rc = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	if (*out != NULL)
		(*out)->references++;
	if (rc == 0 && replicator->started && !replicator->stop)
		start_jobs(replicator);
	(void)pthread_mutex_unlock(&replicator->mutex);
	return rc;
}

int replicator_cancel(struct replicator *replicator, const char *id, struct qosid_errbuf *err)
{
	struct job *found = NULL;

	(void)pthread_mutex_lock(&replicator->mutex);
	for (struct job *job = replicator->jobs; job != NULL && found == NULL; job = job->next) {
		if (strcmp(job->spec.id, id) == 0 && !job->ended && !atomic_load(&job->cancel))
			found = job;
	}
	if (found != NULL)
		end_job(replicator, found);
	(void)pthread_mutex_unlock(&replicator->mutex);
	return found != NULL ? 0 : qosid_error(err, QOSID_ERR_NOTFOUND, "no such replication");
}
