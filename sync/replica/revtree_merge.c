/*
 * Merging and stemming of revision trees.
 *
 * A tree is a set of nodes (generation, hash), a set of edges from a node to a parent, and a set of nodes that are
 * deleted. Merging is the union of these sets, so it is commutative, associative and idempotent by construction, and
 * with it everything that is computed from the sets alone: leaves, winner, depth, the stored form. A path whose older
 * part was cut off joins by itself as soon as any path brings the missing edge.
 */
#include <string.h>

#include "sync/replica/revtree.h"
#include "sync/replica/revtree_internal.h"

/* ---- union ---- */

/* One of two stores that are being merged. */
struct side {
	const struct revtree_store *store;
	uint32_t *places; /* where its nodes have gone */
	size_t at;
};

static const uint32_t *parents_of(const struct side *side, const struct revtree_node *node)
{
	return side->store->parents + node->parent;
}

/* Link a node to the union of its parents on both sides; either node may be NULL. Places keep the order. */
static void link_parents(struct revtree_store *out, struct revtree_node *node, const struct side *a,
    const struct revtree_node *left, const struct side *b, const struct revtree_node *right)
{
	uint32_t left_count = left != NULL ? left->parent_count : 0;
	uint32_t right_count = right != NULL ? right->parent_count : 0;
	uint32_t i = 0;
	uint32_t j = 0;

	while (i < left_count || j < right_count) {
		uint32_t x = i < left_count ? a->places[parents_of(a, left)[i]] : UINT32_MAX;
		uint32_t y = j < right_count ? b->places[parents_of(b, right)[j]] : UINT32_MAX;

		revtree_store_link(out, node, x < y ? x : y);
		i += x <= y;
		j += y <= x;
	}
}

static int merge_stores(struct revtree_store *out, const struct revtree_store *left, const struct revtree_store *right,
    struct qosid_errbuf *err)
{
	struct side a = {.store = left};
	struct side b = {.store = right};
	int rc;

	rc = revtree_store_open(out, left->count + right->count, left->parent_count + right->parent_count,
	    left->text_len + right->text_len, err);
	if (rc != 0 || out->nodes == NULL)
		return rc;
	a.places = out->leaves;
	b.places = out->leaves + left->count;
	for (;;) {
		const struct revtree_node *x = a.at < left->count ? &left->nodes[a.at] : NULL;
		const struct revtree_node *y = b.at < right->count ? &right->nodes[b.at] : NULL;
		int order = x != NULL && y != NULL ? revtree_node_compare(x, y) : 0;
		uint32_t place = (uint32_t)out->count;
		struct revtree_node *node;

		if (x == NULL && y == NULL)
			return 0;
		/* Of two different nodes the lesser one is next; equal ones become one. */
		if (order > 0)
			x = NULL;
		if (order < 0)
			y = NULL;
		if (x != NULL) {
			a.places[a.at++] = place;
			node = revtree_store_add(out, x->generation, &x->hash, x->deleted || (y != NULL && y->deleted));
		} else {
			node = revtree_store_add(out, y->generation, &y->hash, y->deleted);
		}
		if (y != NULL)
			b.places[b.at++] = place;
		link_parents(out, node, &a, x, &b, y);
	}
}

/* ---- stemming ---- */

/* Mark what stays: a node fewer than limit generations above its nearest leaf. */
static size_t mark_kept(struct revtree_store *store, size_t limit)
{
	uint32_t *nearest = store->leaves; /* the generation of the nearest leaf below each node */
	size_t kept = 0;

	memset(nearest, 0xff, store->count * sizeof(*nearest));
	for (size_t i = store->count; i-- > 0;) {
		struct revtree_node *node = &store->nodes[i];

		if (!node->inner)
			nearest[i] = node->generation;
		node->mark = nearest[i] - node->generation < limit;
		kept += node->mark;
		for (uint32_t j = 0; j < node->parent_count; j++) {
			uint32_t parent = store->parents[node->parent + j];

			if (nearest[i] < nearest[parent])
				nearest[parent] = nearest[i];
		}
	}
	return kept;
}

void revtree_store_stem(struct revtree_store *store, size_t limit)
{
	uint32_t *places = store->leaves;
	size_t count = store->count;

	if (limit == 0 || count == 0 || store->nodes[count - 1].generation - store->nodes[0].generation < limit)
		return;
	if (mark_kept(store, limit) == count) {
		for (size_t i = 0; i < count; i++)
			store->nodes[i].mark = 0;
		return;
	}
	/* Move nodes and edges down over the gaps. What is read lies never below what is written. A node that stays and
	 * had children keeps one: the one towards its nearest leaf. */
	store->count = 0;
	store->parent_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct revtree_node node = store->nodes[i];
		struct revtree_node *moved;
		uint32_t old_parent = node.parent;
		uint32_t old_count = node.parent_count;

		places[i] = node.mark != 0 ? (uint32_t)store->count : UINT32_MAX;
		if (node.mark == 0)
			continue;
		moved = &store->nodes[store->count++];
		node.mark = 0;
		node.depth = 1;
		node.parent = (uint32_t)store->parent_count;
		node.parent_count = 0;
		*moved = node;
		for (uint32_t j = 0; j < old_count; j++) {
			uint32_t place = places[store->parents[old_parent + j]];

			if (place != UINT32_MAX)
				revtree_store_link(store, moved, place);
		}
	}
}

/* ---- trees ---- */

static bool same_store(const struct revtree_store *a, const struct revtree_store *b)
{
	if (a->count != b->count || a->parent_count != b->parent_count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct revtree_node *x = &a->nodes[i];
		const struct revtree_node *y = &b->nodes[i];

		if (x->deleted != y->deleted || x->parent_count != y->parent_count || revtree_node_compare(x, y) != 0)
			return false;
	}
	return a->parent_count == 0 || memcmp(a->parents, b->parents, a->parent_count * sizeof(*a->parents)) == 0;
}

/* Replace the tree's store by its stemmed union with another. *changed may be NULL. */
static int merge_into(
    struct revtree *tree, const struct revtree_store *other, size_t limit, bool *changed, struct qosid_errbuf *err)
{
	struct revtree_store merged;
	int rc;

	rc = merge_stores(&merged, &tree->store, other, err);
	if (rc != 0)
		return rc;
	revtree_store_stem(&merged, limit);
	if (changed != NULL)
		*changed = !same_store(&merged, &tree->store);
	revtree_store_finish(&merged);
	revtree_store_free(&tree->store);
	tree->store = merged;
	return 0;
}

int revtree_merge(struct revtree *tree, const struct revtree *other, size_t limit, struct qosid_errbuf *err)
{
	return merge_into(tree, &other->store, limit, NULL, err);
}

/* A path as a store of its own, oldest revision first. It borrows the text of hashes from the path. */
static int build_path(struct revtree_store *out, const struct revtree_path *path, struct qosid_errbuf *err)
{
	int rc;

	if (path->count == 0 || path->count > path->generation)
		return qosid_error(err, QOSID_ERR_INVALID, "a revision path of %zu hashes cannot end in generation %lu",
		    path->count, (unsigned long)path->generation);
	rc = revtree_store_open(out, path->count, path->count - 1, 0, err);
	if (rc != 0)
		return rc;
	for (size_t i = path->count; i-- > 0;) {
		struct revtree_hash hash;
		struct revtree_node *node;

		if (!revtree_hash_read(&hash, path->hashes[i], strlen(path->hashes[i]))) {
			revtree_store_free(out);
			return qosid_error(err, QOSID_ERR_INVALID,
			    "a hash in a revision path must be 1 to %u printable ASCII characters without spaces",
			    LIMIT_REVISION_HASH_BYTES);
		}
		node = revtree_store_add(out, path->generation - (uint32_t)i, &hash, i == 0 && path->deleted);
		if (out->count > 1)
			revtree_store_link(out, node, (uint32_t)out->count - 2);
	}
	return 0;
}

int revtree_merge_path(struct revtree *tree, const struct revtree_path *path, size_t limit,
    enum revtree_outcome *outcome, struct qosid_errbuf *err)
{
	size_t leaves = tree->store.leaf_count;
	struct revtree_store store = {0};
	bool known;
	bool changed;
	int rc;

	rc = build_path(&store, path, err);
	if (rc != 0)
		return rc;
	known = revtree_store_find(&tree->store, &store.nodes[store.count - 1]) != REVTREE_NO_NODE;
	rc = merge_into(tree, &store, limit, &changed, err);
	revtree_store_free(&store);
	if (rc != 0 || outcome == NULL)
		return rc;
	if (!changed)
		*outcome = REVTREE_KNOWN;
	else if (known)
		*outcome = REVTREE_INNER;
	else if (leaves == 0)
		*outcome = REVTREE_BEGINS;
	else
		*outcome = tree->store.leaf_count > leaves ? REVTREE_BRANCHES : REVTREE_EXTENDS;
	return 0;
}
