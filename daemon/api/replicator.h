/*
 * The replications of a server: jobs that POST /_replicate starts, and those that the documents of the database
 * _replicator ask for.
 *
 * At most REPLICATOR_THREADS run at once, each in a thread with replicas of its own; further ones wait. A job of a
 * document that fails is tried again, after a wait that doubles; what has become of it in the end is written into the
 * document as CouchDB does ("_replication_state"), so after a restart the unfinished ones begin again by themselves.
 */
#ifndef QOSID_DAEMON_API_REPLICATOR_H
#define QOSID_DAEMON_API_REPLICATOR_H

#include "daemon/api/replicate_spec.h"
#include "daemon/api/writer.h"

#define REPLICATOR_THREADS 8
#define REPLICATOR_JOBS_MAX 1000

struct api;
struct replicator;
struct job;

enum job_state { JOB_PENDING, JOB_RUNNING, JOB_CRASHING, JOB_COMPLETED, JOB_FAILED };

int replicator_create(struct replicator **out, struct api *api, struct qosid_errbuf *err);
/* Begin with the work, once the server can be woken. Without it nothing runs. */
int replicator_start(struct replicator *replicator, struct qosid_errbuf *err);
/* Cancel all jobs and wait for them; none begins after that. Accepts NULL, and may be called again. */
void replicator_stop(struct replicator *replicator);
/* Stop and free: when nobody has a job any more. Accepts NULL. */
void replicator_free(struct replicator *replicator);

/* Take over spec and run it. One that runs already under this id is handed out instead. *out is the caller's to
 * release. doc_id NULL: of POST /_replicate. QOSID_ERR_LIMIT when there are too many. */
int replicator_add(struct replicator *replicator, struct replicate_spec *spec, const char *doc_id, struct job **out,
    struct qosid_errbuf *err);
/* QOSID_ERR_NOTFOUND when there is no such job. */
int replicator_cancel(struct replicator *replicator, const char *id, struct qosid_errbuf *err);

void job_release(struct job *job);
const char *job_id(const struct job *job);
const char *job_topic(const struct job *job); /* of http_server_wake() when it ends */
bool job_is_continuous(const struct job *job);

/* Wait at most so long for the end; whether it has ended. */
bool job_wait(struct job *job, int64_t ms);
/* The answer of POST /_replicate; returns the status. Only after the end. */
unsigned job_write_answer(struct job *job, struct writer *writer);

/* Write the array of _scheduler/jobs or _scheduler/docs, of all or of one id or document, and return how many. */
size_t replicator_write_jobs(
    struct replicator *replicator, const char *id, int64_t skip, int64_t limit, struct writer *writer);
size_t replicator_write_docs(
    struct replicator *replicator, const char *doc_id, int64_t skip, int64_t limit, struct writer *writer);
/* The elements of _active_tasks. */
size_t replicator_write_tasks(struct replicator *replicator, struct writer *writer);

/* ---- replicator_docs.c: the database _replicator, used by the scheduling thread ---- */

struct replicator_docs;

/* What is to be done with a document's job. */
struct replicator_orders {
	/* spec is taken over; state is JOB_PENDING, or where it ended in an earlier run. fault: the document asks for
	 * nothing that can be done (spec is then empty). */
	void (*wanted)(void *context, const char *doc_id, struct replicate_spec *spec, enum job_state state,
	    const struct qosid_errbuf *fault);
	void (*gone)(void *context, const char *doc_id);
	void *context;
};

int replicator_docs_open(struct replicator_docs **out, struct api *api, struct qosid_errbuf *err);
void replicator_docs_close(struct replicator_docs *docs); /* accepts NULL */
/* Look at what has changed since the last time. */
int replicator_docs_read(
    struct replicator_docs *docs, const struct replicator_orders *orders, struct qosid_errbuf *err);
/* Write a final state, with a reason or with the counts as JSON (either may be NULL). */
int replicator_docs_note(struct replicator_docs *docs, const char *doc_id, enum job_state state, const char *id,
    const char *reason, const char *stats, struct qosid_errbuf *err);

const char *job_state_name(enum job_state state);
/* "2026-11-25T08:00:00Z" */
void replicator_format_time(int64_t milliseconds, char out[32]);

#endif
