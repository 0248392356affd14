/*
 * Logs: append-only chains of signed commits, each with one writer, and what makes the next commit of one valid.
 *
 * A log is named "office/<slug>" (change sets), "roster/<slug>" (membership operations) or "files/<slug>" (large
 * attachments). In a remote it is refs/heads/<name>. In an office's own repository the tip of its own log is
 * refs/heads/<name>, that of any other log refs/qosid/verified/<name>, and what a remote offered last is
 * refs/remotes/<remote>/<name>.
 *
 * A log_point is a place in a log that has been verified. log_verify_next() takes it one commit further or says why
 * not; the point moves only on success. It checks signature, form, space, office, sequence, the hash of the previous
 * commit and the hash of the payload, and, for change sets and files, that the roster state that the commit names let
 * this office publish.
 */
#ifndef QOSID_SYNC_EXCHANGE_LOG_H
#define QOSID_SYNC_EXCHANGE_LOG_H

#include <git2.h>
#include <stdbool.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/digest.h"
#include "crypto/error.h"
#include "sync/exchange/commit.h"
#include "sync/exchange/repo.h"
#include "sync/limits.h"
#include "sync/replica/replica.h"
#include "sync/roster/roster.h"

enum log_kind { LOG_ROSTER, LOG_OFFICE, LOG_FILES };

#define LOG_KINDS 3
#define LOG_NAME_SIZE (LIMIT_SLUG_BYTES + 8)
#define LOG_REF_SIZE (LOG_NAME_SIZE + LIMIT_SLUG_BYTES + 32)

struct log {
	enum log_kind kind;
	char office[LIMIT_SLUG_BYTES + 1];
	char name[LOG_NAME_SIZE]; /* "office/khujand" */
};

/* "office", "roster", "files". */
const char *log_kind_name(enum log_kind kind);

/* Name a log. office must be a slug. */
void log_init(struct log *log, enum log_kind kind, const char *office);

/* Read a name such as "office/khujand"; QOSID_ERR_INVALID for anything that is not kind and slug. */
int log_parse(struct log *log, const char *name, struct qosid_errbuf *err);

/* Ref names, see above. */
void log_format_head(char out[LOG_REF_SIZE], const struct log *log);
void log_format_verified(char out[LOG_REF_SIZE], const struct log *log);
void log_format_remote(char out[LOG_REF_SIZE], const struct log *log, const char *remote);

/* The ref that holds our tip of the log: the head when own, the verified ref otherwise. */
void log_format_tip(char out[LOG_REF_SIZE], const struct log *log, const char *own_office);

struct log_point {
	int64_t sequence; /* 0: before the first commit */
	git_oid commit;
	uint8_t digest[DIGEST_BYTES]; /* BLAKE2b-256 of the commit object */
	int64_t time;                 /* Unix seconds */
	int64_t state;                /* of the roster, that the commit names, plus one; 0: to be looked up */
	int64_t generation;           /* 0: not read yet, see log_read_generation() */
	bool in_snapshot;             /* its snapshot is not complete yet */
};

/* The point up to which the replica has applied the log, and noting a new one (in the caller's transaction). */
int log_read_point(struct replica *replica, const struct log *log, struct log_point *out, struct qosid_errbuf *err);
int log_put_point(
    struct replica *replica, const struct log *log, const struct log_point *point, struct qosid_errbuf *err);

/* Fill in the generation from the commit of the point, unless it is known. */
int log_read_generation(struct repo *repo, struct log_point *point, struct qosid_errbuf *err);

/* Commits of a log, oldest first. Starts as {0}; ended by log_chain_free(). */
struct log_chain {
	git_oid *ids;
	size_t count;
};
void log_chain_free(struct log_chain *chain);

/* Put older in front of chain. */
int log_chain_prepend(struct log_chain *chain, const struct log_chain *older, struct qosid_errbuf *err);

/* How a tip relates to a point. */
enum log_relation {
	LOG_SAME,
	LOG_AHEAD,    /* chain holds the commits after the point, oldest first */
	LOG_BEHIND,   /* the tip is an ancestor of the point */
	LOG_DIVERGED, /* neither: two histories */

	/* Of office logs only, where generations before have been dropped (log_relate()): */
	LOG_RESTARTED, /* chain starts with a generation that begins later than the change set after the point */
	LOG_OLDER      /* the tip is of a generation that ended before the point's began */
};

/* Compare by walking parents; claims in commits other than their parents are not trusted. Damage is QOSID_ERR_CORRUPT,
 * naming the object. */
int log_compare(struct repo *repo, const struct log_point *point, const git_oid *tip, enum log_relation *relation,
    struct log_chain *chain, struct qosid_errbuf *err);

/* The same over generations: where one begins, its Qosid-Archive stands for the parent, as far as that commit is here.
 * Sequences are believed in what is neither parent nor archive, so LOG_RESTARTED and LOG_OLDER say what verification
 * must show, not what is proved. For roster and files logs it is log_compare(). */
int log_relate(struct repo *repo, const struct log *log, const struct log_point *point, const git_oid *tip,
    enum log_relation *relation, struct log_chain *chain, struct qosid_errbuf *err);

/* Read a commit without judging it. */
int log_read_commit(struct repo *repo, const git_oid *id, struct commit *commit, struct qosid_errbuf *err);

/* What a commit is judged by. */
struct log_rules {
	const char *space;
	const struct roster *roster;
	const uint8_t *root; /* DIGEST_BYTES: the first roster commit, pinned */
	const char *steward; /* whose log it is in */
};

/* Verify the commit id as the successor of point. Fills commit (ended by commit_free()) and puts its payload
 * (changes.age, part.age or operation.json) into payload, which it resets first; the wrapped epoch keys of a roster
 * commit are checked against the operation by roster_log.c. *cause is a stable word for the finding. QOSID_ERR_WAITING:
 * it names a roster state (or an operation) that is not here yet. A generation may begin after a point only when its
 * first commit links to exactly that point, or is at least two change sets later: then what lies between is not
 * proved. */
int log_verify_next(struct repo *repo, const struct log *log, const struct log_rules *rules, struct log_point *point,
    const git_oid *id, struct commit *commit, struct qosid_buf *payload, const char **cause, struct qosid_errbuf *err);

/* Whether a commit, wherever it stands, is signed by who may write this log (and says that it belongs to it): then it
 * is proof against them. Anything else is at most proof against who handed it out. */
bool log_is_signed(struct repo *repo, const struct log *log, const struct log_rules *rules, const git_oid *id);

/* Queue payload, tree and signed commit as the successor of point, and move the point. The caller fills subject, epoch,
 * roster, seen and the file fields of commit; the rest is set here. tree_extra are further entries of the tree (may be
 * NULL). With commit->snapshot FIRST or WHOLE a generation begins: the commit has no parent, and links to the point by
 * Qosid-Archive and Qosid-Previous; otherwise it belongs to the point's generation. Nothing is on disk before
 * repo_flush(), and no ref is moved. */
int log_append(struct repo *repo, const struct log *log, const char *space, const struct identity *identity,
    struct log_point *point, struct commit *commit, const struct qosid_buf *payload,
    const struct repo_entry *tree_extra, size_t extra_count, struct qosid_errbuf *err);

/* Put the dictionary.age that a commit brings into out, which is reset first; it is what Qosid-Dictionary-Content says.
 */
int log_read_dictionary(
    struct repo *repo, const struct commit *commit, struct qosid_buf *out, struct qosid_errbuf *err);

/* The one name of the payload in the tree. */
const char *log_payload_name(enum log_kind kind);

/* What a dictionary stands under beside it. */
#define LOG_DICTIONARY_NAME "dictionary.age"

#endif
