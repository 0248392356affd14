/*
 * How a revision tree lies in memory. For revtree*.c only.
 *
 * Nodes are sorted by generation, then hash by bytes, each id once. So a parent always lies before its children: one
 * pass upwards meets every parent before its children, one pass downwards every child before its parents. Two stores
 * that hold the same nodes, edges and flags are equal in every field, whatever the order of arrival was.
 */
#ifndef QOSID_SYNC_REPLICA_REVTREE_INTERNAL_H
#define QOSID_SYNC_REPLICA_REVTREE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sync/replica/revision.h"
#include "sync/replica/revtree.h"

#define REVTREE_RAW_BYTES (REVISION_HASH_HEX / 2)
#define REVTREE_NO_NODE SIZE_MAX

/* A hash of 32 lower-case hex digits is kept as 16 bytes, any other as text that lies elsewhere. */
struct revtree_hash {
	union {
		uint8_t raw[REVTREE_RAW_BYTES];
		const char *text; /* text_len bytes without a NUL */
	} u;
	uint8_t text_len; /* 0: raw */
};

struct revtree_node {
	uint32_t generation;
	uint32_t parent; /* its parents are store.parents[parent] and on, ascending, all of the generation before */
	uint32_t parent_count;
	uint32_t depth; /* nodes on the longest path from here to a root, itself included */
	bool deleted;
	bool inner;   /* has a child */
	uint8_t mark; /* scratch, 0 outside of the functions that use it */
	struct revtree_hash hash;
};

/* Built once, with revtree_store_open(), _add(), _link() and _finish(), then only read. */
struct revtree_store {
	struct revtree_node *nodes; /* one block of memory holds nodes, parents and leaves */
	size_t count;
	uint32_t *parents;
	size_t parent_count;
	uint32_t *leaves; /* in winning order; as many places as nodes, and scratch until _finish() */
	size_t leaf_count;
	char *text;      /* where the text of hashes lies; NULL: in memory of others that outlives the store */
	size_t text_len; /* of all hashes together */
};

struct revtree {
	struct revtree_store store;
};

/* Make room for exactly so much. With text 0 the hashes' text stays where it is. */
int revtree_store_open(
    struct revtree_store *store, size_t nodes, size_t parents, size_t text, struct qosid_errbuf *err);
void revtree_store_free(struct revtree_store *store);

/* Append a node, which must be greater than all before it. */
struct revtree_node *revtree_store_add(
    struct revtree_store *store, uint32_t generation, const struct revtree_hash *hash, bool deleted);

/* Give the node added last a further parent; parents come in ascending order. */
void revtree_store_link(struct revtree_store *store, struct revtree_node *node, uint32_t parent);

/* Find the leaves. */
void revtree_store_finish(struct revtree_store *store);

/* Drop all nodes whose every leaf is `limit` generations or more away (0: none). Before _finish(). */
void revtree_store_stem(struct revtree_store *store, size_t limit);

/* The index of the node with the generation and hash of this one, or REVTREE_NO_NODE. */
size_t revtree_store_find(const struct revtree_store *store, const struct revtree_node *wanted);

/* Whether text is a hash as a revision id may have it; if so, *out is its stored form (which may point to text). */
bool revtree_hash_read(struct revtree_hash *out, const char *text, size_t len);
/* Write the text form with its NUL; returns its length. */
size_t revtree_hash_write(char out[LIMIT_REVISION_HASH_BYTES + 1], const struct revtree_hash *hash);

/* Order by generation, then by the bytes of the text form. */
int revtree_node_compare(const struct revtree_node *a, const struct revtree_node *b);

#endif
