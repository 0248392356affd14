/*
 * Revision trees: taking leaves out. The one way in which a tree shrinks, for a person who wants something gone from
 * this replica; no part of merging.
 */
#include <string.h>

#include "sync/replica/revtree_internal.h"

enum { MARK_GONE = 1 };

/* Mark the leaf, and all above it that led to nothing else. places counts the children that stay. */
static void mark_gone(struct revtree_store *store, size_t leaf, uint32_t *children)
{
	memset(children, 0, store->count * sizeof(*children));
	for (size_t i = 0; i < store->parent_count; i++)
		children[store->parents[i]]++;
	store->nodes[leaf].mark = MARK_GONE;
	for (size_t i = leaf + 1; i-- > 0;) {
		const struct revtree_node *node = &store->nodes[i];

		for (uint32_t j = 0; node->mark == MARK_GONE && j < node->parent_count; j++) {
			uint32_t parent = store->parents[node->parent + j];

			if (--children[parent] == 0)
				store->nodes[parent].mark = MARK_GONE;
		}
	}
}

/* Move nodes and edges down over the gaps: what is read lies never below what is written. No parent of a node that
 * stays is gone. */
static void close_gaps(struct revtree_store *store, uint32_t *places)
{
	size_t count = store->count;

	store->count = 0;
	store->parent_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct revtree_node node = store->nodes[i], *moved;
		uint32_t first = node.parent, parents = node.parent_count;

		if (node.mark == MARK_GONE)
			continue;
		places[i] = (uint32_t)store->count;
		moved = &store->nodes[store->count++];
		node.depth = 1;
		node.parent = (uint32_t)store->parent_count;
		node.parent_count = 0;
		*moved = node;
		for (uint32_t j = 0; j < parents; j++)
			revtree_store_link(store, moved, places[store->parents[first + j]]);
	}
}

int revtree_purge_leaf(struct revtree *tree, const struct revision *leaf,
    int (*gone)(void *context, const struct revision *revision, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	struct revtree_store *store = &tree->store;
	struct revtree_node wanted = {.generation = leaf->generation};
	size_t at = REVTREE_NO_NODE;
	int rc = 0;

	if (revtree_hash_read(&wanted.hash, leaf->hash, strlen(leaf->hash)))
		at = revtree_store_find(store, &wanted);
	if (at == REVTREE_NO_NODE || store->nodes[at].inner)
		return qosid_error(
		    err, QOSID_ERR_NOTFOUND, "revision %u-%s is no leaf", (unsigned)leaf->generation, leaf->hash);
	mark_gone(store, at, store->leaves);
	for (size_t i = 0; rc == 0 && i < store->count; i++) {
		struct revision revision = {.generation = store->nodes[i].generation};

		(void)revtree_hash_write(revision.hash, &store->nodes[i].hash);
		if (store->nodes[i].mark == MARK_GONE)
			rc = gone(context, &revision, err);
	}
	close_gaps(store, store->leaves);
	revtree_store_finish(store);
	return rc;
}
