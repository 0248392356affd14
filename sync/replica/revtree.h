/*
 * Revision trees: pure functions over grow-only sets of revision paths. No I/O, no documents. A tree belongs to one
 * thread, also for reading.
 *
 * A tree is three sets: revisions, edges from a revision to its parent, and the revisions that are tombstones. Merging
 * is their union, so it is commutative, associative and idempotent, and replicas converge whatever the order of
 * arrival. All else follows from the sets: a leaf is a revision without a known child; a path whose older part was cut
 * off joins as soon as any path brings the missing edge; a revision is a tombstone when any path said so. Stemming and
 * foreign peers can give several roots.
 *
 * A revision id stands for one node. Where peers give the same id under different parents (CouchDB allows it), it has
 * several parents and every path is kept; once it has a child under one of them it is a leaf under none. (A node for
 * each path could not converge: which of them a cut-off path extends would depend on what had arrived before.)
 *
 * Stemming keeps the revisions that are fewer than `limit` generations above some leaf. It is applied after a merge and
 * never changes the leaves. Trees merged after stemming have the leaves and the winner of the full trees as long as
 * every leaf of the one that is an ancestor in the other is still within the other's limit. What comes back from beyond
 * it cannot be known as an ancestor and shows up as a branch of its own, as in CouchDB: an old edit is never dropped in
 * silence.
 */
#ifndef QOSID_SYNC_REPLICA_REVTREE_H
#define QOSID_SYNC_REPLICA_REVTREE_H

#include <stdbool.h>
#include <stddef.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "sync/replica/revision.h"

struct revtree;

int revtree_create(struct revtree **out, struct qosid_errbuf *err);
void revtree_free(struct revtree *tree); /* accepts NULL */

/* The stored form: compact, versioned, deterministic (equal trees encode to equal bytes). Decoding checks everything;
 * damage is QOSID_ERR_CORRUPT. A tree of one revision takes about 20 bytes. */
int revtree_encode(const struct revtree *tree, struct qosid_buf *out, struct qosid_errbuf *err);
int revtree_decode(struct revtree **out, const void *data, size_t len, struct qosid_errbuf *err);

/* A path: the revision itself first, then its parent, its grandparent, ...: hashes[0] is of generation `generation`,
 * hashes[1] of generation - 1, and so on (CouchDB's _revisions). */
struct revtree_path {
	uint32_t generation;
	const char *const *hashes;
	size_t count;
	bool deleted; /* of the revision itself */
};

enum revtree_outcome {
	REVTREE_KNOWN,    /* nothing new */
	REVTREE_INNER,    /* the revision was known; the path fills in ancestors or the tombstone flag: no new leaf */
	REVTREE_EXTENDS,  /* a new leaf, and a leaf became its ancestor: there are no more leaves than before */
	REVTREE_BEGINS,   /* the first leaf of all */
	REVTREE_BRANCHES, /* a new leaf beside the others */
};

/* Merge one path, then stem to limit (0: do not stem). *outcome tells what it did to the leaves. */
int revtree_merge_path(struct revtree *tree, const struct revtree_path *path, size_t limit,
    enum revtree_outcome *outcome, struct qosid_errbuf *err);

/* Merge all of other into tree, then stem. */
int revtree_merge(struct revtree *tree, const struct revtree *other, size_t limit, struct qosid_errbuf *err);

/* Take a leaf out, with those of its ancestors that have no other descendant; gone is told each, parents first. The
 * tree may end up empty. QOSID_ERR_NOTFOUND when it is no leaf. After any other error the tree can only be freed. */
int revtree_purge_leaf(struct revtree *tree, const struct revision *leaf,
    int (*gone)(void *context, const struct revision *revision, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err);

struct revtree_leaf {
	struct revision revision;
	bool deleted;
};

/* Leaves in winning order: live before deleted, then higher generation, then higher hash by bytes. Index 0 is the
 * winner. revtree_leaf_at() returns false past the end. */
size_t revtree_leaf_count(const struct revtree *tree);
bool revtree_leaf_at(const struct revtree *tree, size_t index, struct revtree_leaf *out);

/* The winner in one call, without sorting. false for an empty tree. */
bool revtree_winner(const struct revtree *tree, struct revtree_leaf *out);

enum revtree_presence { REVTREE_ABSENT, REVTREE_ANCESTOR, REVTREE_LEAF };

/* Whether this revision is in the tree. *deleted may be NULL; left alone when it is absent. */
enum revtree_presence revtree_find(const struct revtree *tree, const struct revision *revision, bool *deleted);

/* hash is valid during the visit only. Visit the ancestry of a revision, itself first, then its parents (of several the
 * one with the longest path to a root, then the higher hash); visit returns false to stop early. Returns the number
 * visited, 0 when the revision is not in the tree. */
size_t revtree_walk_path(const struct revtree *tree, const struct revision *revision,
    bool (*visit)(void *context, uint32_t generation, const char *hash), void *context);

/* The newest revision that is an ancestor of (or equal to) both, of several the one with the highest hash; false when
 * they share none. */
bool revtree_common_ancestor(
    const struct revtree *tree, const struct revision *a, const struct revision *b, struct revision *out);

/* Number of nodes, for tests and statistics. */
size_t revtree_node_count(const struct revtree *tree);

#endif
