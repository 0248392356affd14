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
#include "sync/changeset/changeset.h"
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
	size_t restarts; /* generations of the own log begun */
};

/* Progress for long work: stage is "publish", "fetch", "verify", "push"; total 0 when not known. */
struct exchange_progress {
	void (*report)(void *context, const char *stage, size_t done, size_t total); /* may be NULL */
	bool (*cancel)(void *context); /* asked every moment while a link is used; may be NULL */
	void *context;
};

/* How this office publishes. All zeros: as it comes. */
struct exchange_settings {
	bool no_dictionary; /* train none, and use none */
	bool pad;
	size_t inline_max; /* attachments above this many bytes go into the files log; 0: as large as may be */
};

/* Whether files logs (large attachments) go over a remote. */
enum exchange_files {
	EXCHANGE_FILES_ALWAYS,    /* in every meeting, after the records */
	EXCHANGE_FILES_ON_DEMAND, /* pushed, but fetched by exchange_fetch_file() only */
	EXCHANGE_FILES_NEVER      /* neither */
};

/* When the own log starts anew, and what becomes of the generations before: this office's settings. */
struct exchange_generations {
	int64_t bytes; /* of payload since the last snapshot, when that is also more than the snapshot; 0: no limit */
	int64_t days;  /* since the generation began; 0: no limit */
	bool keep;     /* old generations, the own and others', in the repository and in remotes */
	bool fetch;    /* those that a remote has and this office has not: for auditors */
};

#define EXCHANGE_GENERATION_BYTES (INT64_C(64) << 20)
#define EXCHANGE_GENERATION_DAYS 365

/* An office at work. All pointers are borrowed from the space; epoch keys are unwrapped when first needed. */
struct exchange {
	struct repo *repo;
	struct replica *replica;
	struct roster *roster;           /* filled by exchange_load() and exchange_meet() */
	const struct identity *identity; /* NULL until unlocked: then only exchange_load() works */
	const struct identity *next;     /* new keys that the stewards have been asked for, or NULL */
	const char *office;
	const char *space;
	const char *steward; /* whose roster log begins with the pinned root */
	uint8_t root[DIGEST_BYTES];
	struct roster_logs *logs; /* how far the roster has been read; the refs are the truth */
	struct keyring *keyring;
	struct exchange_settings settings;
	enum exchange_files files; /* at the remote of this meeting */
	struct exchange_generations generations;
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

struct roster_logs;
int roster_logs_create(struct roster_logs **out, struct qosid_errbuf *err);
void roster_logs_free(struct roster_logs *logs); /* accepts NULL */

/* How far a steward's log has been read; sequence 0 when nothing of it has. */
void roster_log_read_point(const struct exchange *exchange, const char *steward, struct log_point *out);

/* Sign with the new keys from when the roster names them. */
void exchange_choose_identity(struct exchange *exchange);

/* Rebuild the roster from the repository, from the pinned root on, verifying everything again: no cached state is
 * trusted. What has been read already is not read again. */
int exchange_load(struct exchange *exchange, struct qosid_errbuf *err);

/* Whether a member could ever write a roster log, so that one of its name is worth fetching. */
bool roster_log_is_expected(const struct exchange *exchange, const char *office);

/* Extend the roster by a steward's commits up to tip. Like apply_log() for the log kinds with records. */
int roster_log_extend(
    struct exchange *exchange, const struct log *log, const git_oid *tip, const char *remote, struct qosid_errbuf *err);

/* Write one operation as the next commit of the own roster log, with the wrapped key of the epoch it names (epoch 0:
 * none), and take it into the roster. On disk when it returns 0. */
int roster_log_append(struct exchange *exchange, const struct qosid_buf *operation, const struct qosid_buf *wrapped,
    int64_t epoch, const char *subject, struct qosid_errbuf *err);

/* Read the epoch file that the commit of the roster's operation number index carries. */
int roster_log_read_epoch(struct exchange *exchange, size_t index, struct qosid_buf *out, struct qosid_errbuf *err);

/* The commit of an operation, by its index. */
const git_oid *roster_log_find_commit(const struct exchange *exchange, size_t index);

/* ---- keyring.c ---- */

struct keyring;
int keyring_create(struct keyring **out, struct qosid_errbuf *err);
void keyring_free(struct keyring *keyring); /* wipes; accepts NULL */

/* The key of an epoch as a roster state numbers it (-1: the newest state), unwrapped with the own identity when first
 * asked for. QOSID_ERR_REFUSED: this office has not been given it; QOSID_ERR_NOTFOUND: the state has no such epoch;
 * QOSID_ERR_WAITING: the roster has not arrived. */
int keyring_find(
    struct exchange *exchange, int64_t state, int64_t epoch, const struct age_key **out, struct qosid_errbuf *err);

/* ---- access.c ---- */

struct exchange_access {
	const struct age_key *key; /* NULL: not for this office to read */
	bool revoked;              /* quarantined: published from the revoked sequence on, and without knowing of it */
	bool late;                 /* by an office that has been removed, after what the steward knew of it then */
};

/* What a verified change set means for this office now; state is the one it names. QOSID_ERR_WAITING: the key has not
 * arrived. */
int exchange_find_access(struct exchange *exchange, const struct log *log, const struct commit *commit, int64_t state,
    struct exchange_access *out, struct qosid_errbuf *err);

/* ---- dictionary.c: the zstd dictionary in use in an office's log ---- */

/* Starts as {0}: none. */
struct dictionary_use {
	struct changeset_dictionary *dictionary;
	char recipient[AGE_RECIPIENT_SIZE]; /* of the epoch under which it came, and only under which it may be used */
	int64_t sequence;                   /* of the change set that brought it */
};
void dictionary_use_end(struct dictionary_use *use); /* wipes */

/* What the replica remembers for a log, and noting it (in the caller's transaction). */
int dictionary_use_read(
    struct exchange *exchange, const struct log *log, struct dictionary_use *out, struct qosid_errbuf *err);
int dictionary_use_put(
    struct exchange *exchange, const struct log *log, const struct dictionary_use *use, struct qosid_errbuf *err);
int dictionary_use_forget(struct exchange *exchange, const struct log *log, struct qosid_errbuf *err);

/* Go on by a verified commit of the log: begin without one where a generation begins, take the dictionary that it
 * brings, or hold the one that it names against the one in use. QOSID_ERR_INVALID, QOSID_ERR_REFUSED: what the commit
 * says about it does not hold. */
int dictionary_use_follow(struct exchange *exchange, const struct commit *commit, const struct age_key *key,
    struct dictionary_use *use, struct qosid_errbuf *err);

/* Before publishing: which dictionary to use after point under this epoch's recipient. *fresh: it is a new one, and the
 * next change set has to bring it. Begins a transaction of its own. */
int dictionary_choose(struct exchange *exchange, const struct log *log, const struct log_point *point,
    const char *recipient, struct dictionary_use *use, bool *fresh, struct qosid_errbuf *err);

/* Where a generation begins, in the caller's transaction: the one in use so far, if it may be used on; then *fresh. */
int dictionary_carry_over(struct exchange *exchange, const struct log *log, const char *recipient,
    struct dictionary_use *use, bool *fresh, struct qosid_errbuf *err);

/* ---- publish.c ---- */

/* Take in what the own log holds beyond the replica (after a crash, or a restored replica), then publish all that is
 * pending. */
int exchange_publish(struct exchange *exchange, struct qosid_errbuf *err);

/* ---- generation.c ---- */

/* Begin a new generation of the own log: publish what is pending, then a snapshot of what the log carries that is still
 * live. QOSID_ERR_USAGE: nothing was published since the last snapshot. QOSID_ERR_REFUSED: a member was admitted to
 * later epochs only. */
int exchange_restart(struct exchange *exchange, struct qosid_errbuf *err);

/* The same when the log has passed a limit and nothing forbids it. */
int generation_check(struct exchange *exchange, struct qosid_errbuf *err);

/* Count the payload of a commit that was just appended to the own log, in the caller's transaction. */
int generation_count(struct exchange *exchange, const struct log *log, const struct log_point *before,
    const struct log_point *after, enum commit_snapshot snapshot, size_t bytes, struct qosid_errbuf *err);

/* Note in the caller's transaction that a generation begins at this point. */
int generation_note_begin(
    struct exchange *exchange, const struct log *log, const struct log_point *point, struct qosid_errbuf *err);

/* The commit that the present generation of a log begins with; QOSID_ERR_NOTFOUND: it is not known. */
int generation_read_begin(struct exchange *exchange, const struct log *log, git_oid *begin, struct qosid_errbuf *err);

/* ---- archive.c: old generations, refs/heads/archive/<office>/<n> (the own) and refs/qosid/verified/archive/... ----
 */

#define ARCHIVE_REF_SIZE (LOG_REF_SIZE + 32)

/* "archive/khujand/2"; false: it is no such name. */
bool archive_parse(const char *name, struct log *log, int64_t *generation);
void archive_format(
    char out[ARCHIVE_REF_SIZE], const struct exchange *exchange, const struct log *log, int64_t generation);

/* Keep (when the rule says so) the generation before the one that begins with this commit, if it is here. */
int archive_keep(struct exchange *exchange, const struct log *log, const git_oid *begin, struct qosid_errbuf *err);

/* The commit that the generation which ends in tip begins with. */
int archive_find_first(struct exchange *exchange, const git_oid *tip, git_oid *first, struct qosid_errbuf *err);

/* Let go of all archives, when the rule says so. */
int archive_drop_all(struct exchange *exchange, struct qosid_errbuf *err);

/* Verify that a chain that is here is generation `generation` of a log, whose last commit begin (the first of the next)
 * names; *first is its own first commit. What does not hold is told by cause and fault. */
int archive_verify(struct exchange *exchange, const struct log *log, const git_oid *begin, git_oid *first,
    const char **cause, struct qosid_errbuf *fault);

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

/* Fetch the rosters and an office's files log from a remote, no further than what brings the content of this digest.
 * *found: it is here. The report counts what was fetched. */
struct exchange_wanted {
	const char *office;    /* whose files log */
	const uint8_t *digest; /* DIGEST_BYTES */
};
int exchange_fetch_file(struct exchange *exchange, const char *remote, const struct link_target *target,
    const struct link_limits *limits, const struct exchange_wanted *wanted, bool *found, struct qosid_errbuf *err);

/* ---- prove.c ---- */

/* What was proved. partial: logs whose first generations are not here; 0: the full history was proved. */
struct exchange_proof {
	size_t sets; /* commits */
	size_t partial;
};

/* Verify every log from its first commit that is here again (see space_verify() in sync/space.h). */
int exchange_prove(struct exchange *exchange, bool decrypt,
    int (*visit)(void *context, const struct replica_finding *finding, struct qosid_errbuf *err), void *context,
    struct exchange_proof *out, struct qosid_errbuf *err);

#endif
