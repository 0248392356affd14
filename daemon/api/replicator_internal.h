/*
 * Jobs as their scheduling (replicator.c) and those who look at them (replicator_view.c) see them.
 */
#ifndef QOSID_DAEMON_API_REPLICATOR_INTERNAL_H
#define QOSID_DAEMON_API_REPLICATOR_INTERNAL_H

#include <pthread.h>

#include "daemon/api/api_internal.h"
#include "daemon/api/replicator.h"

#define THROUGH_SIZE 512
#define JOB_STATS_SIZE 512

struct job {
	struct job *next;
	struct replicator *replicator;
	unsigned references; /* the list, its thread, and whoever has it from replicator_add() */
	struct replicate_spec spec;
	char topic[REPLICATE_ID_SIZE + 16];
	char *doc_id;
	enum job_state state;
	bool ended; /* it will not run again */
	bool listed;
	bool threaded; /* thread is to be joined */
	bool thread_done;
	pthread_t thread;
	atomic_bool cancel;
	unsigned errors;
	int64_t start_time, updated; /* Unix milliseconds */
	int64_t retry_time;          /* not before */
	bool noted;                  /* its end stands in its document */
	/* results, guarded by the replicator's mutex */
	struct couch_report counts; /* numbers and names only */
	char through[THROUGH_SIZE];
	struct qosid_buf history;
	struct qosid_errbuf failure;
};

struct replicator {
	struct api *api;
	pthread_mutex_t mutex; /* jobs and everything in them that changes */
	pthread_cond_t changed;
	pthread_t thread;
	bool started;
	bool stop;
	struct job *jobs;
	size_t count;
	struct replicator_docs *docs; /* of the thread */
};

/* What it has counted, as a JSON object without its closing brace. */
void job_format_stats(const struct job *job, char out[JOB_STATS_SIZE]);

#endif
