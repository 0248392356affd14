/*
 * Moving logs into a repository: straight from object store to pack, no delta search. The source is another repository
 * in a folder, or the objects that came over the wire.
 *
 * A log is a chain of commits, each with a tree of at most LIMIT_TREE_ENTRIES entries (one level of directories below),
 * so what is missing is found by walking from the tip to what the target has. The source is not trusted: every object
 * is read capped and hashed; what its commits claim is checked later, by log.h.
 */
#ifndef QOSID_SYNC_EXCHANGE_TRANSFER_H
#define QOSID_SYNC_EXCHANGE_TRANSFER_H

#include <git2.h>
#include <stdbool.h>
#include <stdint.h>

#include "crypto/error.h"
#include "sync/exchange/repo.h"
#include "sync/limits.h"

struct transfer_stats {
	size_t commits;
	size_t objects;
	uint64_t bytes; /* of objects, uncompressed */
};

/* Who wants to look at what has arrived before more of it is fetched, so that no more than a batch of a stranger's
 * bytes is ever kept unverified. arrived is called with the newest whole commit after each batch but the last one; it
 * returns 0 to go on, 1 to leave it at that, or an error. */
struct transfer_watch {
	int (*arrived)(void *context, const git_oid *complete, struct qosid_errbuf *err);
	void *context;
	bool eager; /* a commit is a batch: not one more than needed */
};

/* Copy the chain that ends in tip into target, back to the first commit that target has. Oldest first and flushed every
 * few MiB, so that an interrupted copy leaves a prefix that the next one builds on. target's ref `progress` (may be
 * NULL) is moved along with what is complete; watch may be NULL; *whole (may be NULL) says whether tip was reached. A
 * damaged or missing object is QOSID_ERR_CORRUPT, with the object's id in the text; what came before it stays (nothing
 * does when it is a commit: what came before is then not known). stats may be NULL; it is also filled after a failure.
 */
int transfer_chain(struct repo *source, struct repo *target, const git_oid *tip, const char *progress,
    const struct transfer_watch *watch, struct transfer_stats *stats, bool *whole, struct qosid_errbuf *err);

/* Anything else that objects come from. read is as repo_read(); name is for error texts. */
struct transfer_source {
	int (*read)(void *context, const git_oid *id, git_object_t type, size_t limit, struct qosid_buf *out,
	    struct qosid_errbuf *err);
	void *context;
	const char *name;
};
int transfer_copy(const struct transfer_source *source, struct repo *target, const git_oid *tip, const char *progress,
    const struct transfer_watch *watch, struct transfer_stats *stats, bool *whole, struct qosid_errbuf *err);

/* Whether a repository has a commit and what it names. A commit alone, which some other program's pruning may have
 * left, is not enough to stop at. Does not look for what other programs added since. */
bool transfer_has_whole(struct repo *repo, const git_oid *id);

/* The tree and the first parent that a raw commit names; false when it has no tree or is a merge, which no log has. */
bool transfer_parse_commit(const struct qosid_buf *raw, git_oid *tree, git_oid *parent, bool *has_parent);

/* How large the tree of a log's commit may be. */
#define TRANSFER_TREE_BYTES_MAX ((size_t)LIMIT_TREE_ENTRIES * 300)

#endif
