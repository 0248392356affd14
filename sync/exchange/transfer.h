/*
 * Moving logs between two repositories that are both folders: straight from object store to pack, no delta search.
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
};

/* Copy the chain that ends in tip into target, back to the first commit that target has. Oldest first and flushed every
 * few MiB, so that an interrupted copy leaves a prefix that the next one builds on. target's ref `progress` (may be
 * NULL) is moved along with what is complete; watch may be NULL; *whole (may be NULL) says whether tip was reached. A
 * damaged or missing object is QOSID_ERR_CORRUPT, with the object's id in the text; what came before it stays (nothing
 * does when it is a commit: what came before is then not known). stats may be NULL; it is also filled after a failure.
 */
int transfer_chain(struct repo *source, struct repo *target, const git_oid *tip, const char *progress,
    const struct transfer_watch *watch, struct transfer_stats *stats, bool *whole, struct qosid_errbuf *err);

#endif
