/*
 * The exchange: what happens between one office's replica, its repository, and a remote.
 *
 * SQLite is the truth for what has been applied, git for what has been published. Publishing moves git first and then
 * SQLite; applying moves SQLite and then the verified ref. Each step can be repeated: after kill -9 between any two of
 * them, the next run sees where both stand and goes on, losing nothing and duplicating nothing.
 *
 * The caller holds the space's lock for all functions here except exchange_load().
 */
#ifndef QOSID_SYNC_EXCHANGE_EXCHANGE_H
#define QOSID_SYNC_EXCHANGE_EXCHANGE_H

#include <stdint.h>

#include "crypto/error.h"
#include "crypto/keys.h"
#include "sync/exchange/link.h"
#include "sync/exchange/log.h"
#include "sync/exchange/repo.h"
#include "sync/replica/replica.h"
#include "sync/roster/roster.h"

struct exchange_report {
	size_t sets_published, revisions_published;
	size_t sets_applied, revisions_applied, conflicts;
	size_t logs_pushed, commits_pushed, commits_fetched;
	uint64_t bytes_fetched, bytes_pushed;
	size_t findings; /* new or repeated in this exchange */
	size_t stopped;  /* of these, that stop a log */
	size_t waiting;  /* logs that wait for a roster state or a key that has not arrived */
};

/* Progress for long work: stage is "publish", "fetch", "verify", "push"; total 0 when not known. */
struct exchange_progress {
	void (*report)(void *context, const char *stage, size_t done, size_t total); /* may be NULL */
	bool (*cancel)(void *context); /* asked every moment while a link is used; may be NULL */
	void *context;
};

/* An office at work. All pointers are borrowed from the space; epoch keys are unwrapped when first needed. */
struct exchange {
	struct repo *repo;
	struct replica *replica;
	struct roster *roster;           /* filled by exchange_load() and exchange_meet() */
	const struct identity *identity; /* NULL until unlocked: then only exchange_load() works */
	const char *office;
	const char *space;
	const char *steward; /* whose roster log holds the pinned root */
	uint8_t root[DIGEST_BYTES];
	struct log_point roster_point; /* how far roster goes; the ref is the truth, not the replica's copy of it */
	struct keyring *keyring;
	struct exchange_progress progress;
	struct exchange_report report;
};

/* What stands for the remote in findings about commits that this office itself holds; no remote can have this name. */
#define EXCHANGE_OWN_REPOSITORY "log.git"

/* Loose objects of many lone change sets are brought into one pack once there are this many, here and at the remote. */
#define EXCHANGE_LOOSE_MAX 1000

void exchange_report_progress(const struct exchange *exchange, const char *stage, size_t done, size_t total);

/* Note a finding about a log, seen at a remote (NULL: in the own repository), and count it. err says what; it is not
 * cleared. Only a failure to store the finding is returned. */
int exchange_note_finding(struct exchange *exchange, const struct log *log, const char *remote, int64_t sequence,
    const git_oid *evidence, const char *cause, bool stops, const struct qosid_errbuf *fault, struct qosid_errbuf *err);

/* The name that findings about a log go by: "office/khujand@origin", or without remote "office/khujand". What a remote
 * offers is its own matter and is cleared when it offers something good; what stands under the plain name stays until
 * someone decides. */
void exchange_name_finding(char out[LOG_REF_SIZE], const struct log *log, const char *remote);
int exchange_clear_findings(
    struct exchange *exchange, const struct log *log, const char *remote, struct qosid_errbuf *err);

/* ---- roster_log.c ---- */

/* Rebuild the roster from the repository, from the pinned root on, verifying everything again: no cached state is
 * trusted. */
int exchange_load(struct exchange *exchange, struct qosid_errbuf *err);

/* Extend the roster by the commits after its point up to tip. Like apply_log() for the log kinds with records. */
int roster_log_extend(
    struct exchange *exchange, const struct log *log, const git_oid *tip, const char *remote, struct qosid_errbuf *err);

/* Write one operation, with the wrapped keys of the epochs it names, as the next commit of the own roster log, and take
 * it into the roster. On disk when it returns 0. */
int roster_log_append(struct exchange *exchange, const struct qosid_buf *operation, const struct qosid_buf *wrapped,
    const int64_t *epochs, size_t epoch_count, const char *subject, struct qosid_errbuf *err);

/* Read the newest epochs/<n>.age of the roster logs. */
int roster_log_read_epoch(struct exchange *exchange, int64_t number, struct qosid_buf *out, struct qosid_errbuf *err);

/* ---- keyring.c ---- */

struct keyring;
int keyring_create(struct keyring **out, struct qosid_errbuf *err);
void keyring_free(struct keyring *keyring); /* wipes; accepts NULL */

/* The key of an epoch, unwrapped with the own identity when first asked for. QOSID_ERR_REFUSED: this office is not
 * entitled to it; QOSID_ERR_NOTFOUND: the roster names no such epoch (a commit that does has named a roster state that
 * is known, and lies); QOSID_ERR_WAITING: the roster has not arrived. */
int keyring_find(struct exchange *exchange, int64_t epoch, const struct age_key **out, struct qosid_errbuf *err);

/* ---- publish.c ---- */

/* Take in what the own log holds beyond the replica (after a crash, or a restored replica), then publish all that is
 * pending. */
int exchange_publish(struct exchange *exchange, struct qosid_errbuf *err);

/* ---- apply.c ---- */

/* Verify and apply the commits of an office or files log up to tip, one transaction a change set. What does not hold
 * becomes a finding, stops this log and is not an error here; a log that waits is counted. Errors are of the own disk
 * only. */
int apply_log(
    struct exchange *exchange, const struct log *log, const git_oid *tip, const char *remote, struct qosid_errbuf *err);

/* ---- meet.c ---- */

/* One meeting with one remote: fetch, verify, apply, publish, push. limits may be NULL: the default ones. */
int exchange_meet(struct exchange *exchange, const char *remote, const struct link_target *target,
    const struct link_limits *limits, struct qosid_errbuf *err);

/* ---- prove.c ---- */

/* Verify every log from its first commit again (see space_verify() in sync/space.h). */
int exchange_prove(struct exchange *exchange, bool decrypt,
    int (*visit)(void *context, const struct replica_finding *finding, struct qosid_errbuf *err), void *context,
    size_t *sets, struct qosid_errbuf *err);

#endif
