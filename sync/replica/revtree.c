/*
 * Revision trees: the store, and what can be asked of it. Merging is in revtree_merge.c, the stored form in
 * revtree_codec.c, the layout in revtree_internal.h.
 */
#include "sync/replica/revtree.h"

#include <stdlib.h>
#include <string.h>

#include "sync/replica/revtree_internal.h"

/* ---- hashes ---- */

#define NO_DIGIT 0xff

/* The value of '0' to 'f'. Only lower case, so that writing gives back what was read. */
static const uint8_t digit_values['f' - '0' + 1] = {
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9,                                                             /* 0 to 9 */
    NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT,                     /* : to @ */
    NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT,           /* A to H */
    NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, /* I to Q */
    NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, /* R to Z */
    NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT, NO_DIGIT,                               /* [ to ` */
    10, 11, 12, 13, 14, 15,                                                                   /* a to f */
};

static uint8_t digit_value(char c)
{
	unsigned index = (unsigned)(unsigned char)c - '0';

	return index < sizeof(digit_values) ? digit_values[index] : NO_DIGIT;
}

static bool read_raw(uint8_t out[REVTREE_RAW_BYTES], const char *text)
{
	for (size_t i = 0; i < REVTREE_RAW_BYTES; i++) {
		uint8_t high = digit_value(text[2 * i]);
		uint8_t low = digit_value(text[2 * i + 1]);

		if ((high | low) > 15)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool revtree_hash_read(struct revtree_hash *out, const char *text, size_t len)
{
	*out = (struct revtree_hash){0};
	if (len == REVISION_HASH_HEX && read_raw(out->u.raw, text))
		return true;
	if (len == 0 || len > LIMIT_REVISION_HASH_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	}
	out->u.text = text;
	out->text_len = (uint8_t)len;
	return true;
}

size_t revtree_hash_write(char out[LIMIT_REVISION_HASH_BYTES + 1], const struct revtree_hash *hash)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = hash->text_len;

	if (len > 0) {
		memcpy(out, hash->u.text, len);
	} else {
		for (size_t i = 0; i < REVTREE_RAW_BYTES; i++) {
			out[len++] = digits[hash->u.raw[i] >> 4];
			out[len++] = digits[hash->u.raw[i] & 0xf];
		}
	}
	out[len] = '\0';
	return len;
}

int revtree_node_compare(const struct revtree_node *a, const struct revtree_node *b)
{
	char left[LIMIT_REVISION_HASH_BYTES + 1];
	char right[LIMIT_REVISION_HASH_BYTES + 1];

	if (a->generation != b->generation)
		return a->generation < b->generation ? -1 : 1;
	/* Lower-case hex sorts as the bytes that it stands for. */
	if (a->hash.text_len == 0 && b->hash.text_len == 0)
		return memcmp(a->hash.u.raw, b->hash.u.raw, REVTREE_RAW_BYTES);
	(void)revtree_hash_write(left, &a->hash);
	(void)revtree_hash_write(right, &b->hash);
	return strcmp(left, right);
}

/* ---- the store ---- */

int revtree_store_open(struct revtree_store *store, size_t nodes, size_t parents, size_t text, struct qosid_errbuf *err)
{
	*store = (struct revtree_store){0};
	if (nodes > UINT32_MAX / 4 || parents > UINT32_MAX / 4)
		return qosid_error(err, QOSID_ERR_LIMIT, "a revision tree of %zu revisions is too large", nodes);
	if (nodes == 0)
		return 0;
	store->nodes = malloc(nodes * sizeof(*store->nodes) + (parents + nodes) * sizeof(*store->parents));
	if (store->nodes == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a revision tree of %zu revisions", nodes);
	store->parents = (uint32_t *)(void *)(store->nodes + nodes);
	store->leaves = store->parents + parents;
	if (text > 0) {
		store->text = malloc(text);
		if (store->text == NULL) {
			revtree_store_free(store);
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the hashes of a revision tree");
		}
	}
	return 0;
}

void revtree_store_free(struct revtree_store *store)
{
	free(store->nodes);
	free(store->text);
	*store = (struct revtree_store){0};
}

struct revtree_node *revtree_store_add(
    struct revtree_store *store, uint32_t generation, const struct revtree_hash *hash, bool deleted)
{
	struct revtree_node *node = &store->nodes[store->count++];

	*node = (struct revtree_node){
	    .generation = generation,
	    .parent = (uint32_t)store->parent_count,
	    .depth = 1,
	    .deleted = deleted,
	    .hash = *hash,
	};
	if (store->text != NULL && hash->text_len > 0)
		node->hash.u.text = memcpy(store->text + store->text_len, hash->u.text, hash->text_len);
	store->text_len += hash->text_len;
	return node;
}

void revtree_store_link(struct revtree_store *store, struct revtree_node *node, uint32_t parent)
{
	struct revtree_node *above = &store->nodes[parent];

	store->parents[store->parent_count++] = parent;
	node->parent_count++;
	if (node->depth <= above->depth)
		node->depth = above->depth + 1;
	above->inner = true;
}

/* The order of the nodes is the reverse of the order of winning, but for live before deleted. */
void revtree_store_finish(struct revtree_store *store)
{
	store->leaf_count = 0;
	for (int deleted = 0; deleted < 2; deleted++) {
		for (size_t i = store->count; i-- > 0;) {
			const struct revtree_node *node = &store->nodes[i];

			if (!node->inner && node->deleted == (deleted != 0))
				store->leaves[store->leaf_count++] = (uint32_t)i;
		}
	}
}

size_t revtree_store_find(const struct revtree_store *store, const struct revtree_node *wanted)
{
	size_t low = 0;
	size_t high = store->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = revtree_node_compare(&store->nodes[middle], wanted);

		if (order == 0)
			return middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return REVTREE_NO_NODE;
}

/* ---- trees ---- */

int revtree_create(struct revtree **out, struct qosid_errbuf *err)
{
	struct revtree *tree = calloc(1, sizeof(*tree));

	if (tree == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a revision tree");
	*out = tree;
	return 0;
}

void revtree_free(struct revtree *tree)
{
	if (tree == NULL)
		return;
	revtree_store_free(&tree->store);
	free(tree);
}

size_t revtree_node_count(const struct revtree *tree)
{
	return tree->store.count;
}

size_t revtree_leaf_count(const struct revtree *tree)
{
	return tree->store.leaf_count;
}

static void export_revision(struct revision *out, const struct revtree_node *node)
{
	out->generation = node->generation;
	(void)revtree_hash_write(out->hash, &node->hash);
}

bool revtree_leaf_at(const struct revtree *tree, size_t index, struct revtree_leaf *out)
{
	const struct revtree_node *node;

	if (index >= tree->store.leaf_count)
		return false;
	node = &tree->store.nodes[tree->store.leaves[index]];
	export_revision(&out->revision, node);
	out->deleted = node->deleted;
	return true;
}

bool revtree_winner(const struct revtree *tree, struct revtree_leaf *out)
{
	return revtree_leaf_at(tree, 0, out);
}

static size_t find_revision(const struct revtree_store *store, const struct revision *revision)
{
	struct revtree_node wanted = {.generation = revision->generation};

	if (!revtree_hash_read(&wanted.hash, revision->hash, strlen(revision->hash)))
		return REVTREE_NO_NODE;
	return revtree_store_find(store, &wanted);
}

enum revtree_presence revtree_find(const struct revtree *tree, const struct revision *revision, bool *deleted)
{
	size_t found = find_revision(&tree->store, revision);

	if (found == REVTREE_NO_NODE)
		return REVTREE_ABSENT;
	if (deleted != NULL)
		*deleted = tree->store.nodes[found].deleted;
	return tree->store.nodes[found].inner ? REVTREE_ANCESTOR : REVTREE_LEAF;
}

/* The parent with the longest path above it, of several the one with the highest hash. */
static size_t find_longest_parent(const struct revtree_store *store, const struct revtree_node *node)
{
	size_t best = REVTREE_NO_NODE;

	for (uint32_t i = 0; i < node->parent_count; i++) {
		uint32_t parent = store->parents[node->parent + i];

		if (best == REVTREE_NO_NODE || store->nodes[parent].depth >= store->nodes[best].depth)
			best = parent;
	}
	return best;
}

size_t revtree_walk_path(const struct revtree *tree, const struct revision *revision,
    bool (*visit)(void *context, uint32_t generation, const char *hash), void *context)
{
	const struct revtree_store *store = &tree->store;
	size_t at = find_revision(store, revision);
	size_t visited = 0;
	char hash[LIMIT_REVISION_HASH_BYTES + 1];

	while (at != REVTREE_NO_NODE) {
		(void)revtree_hash_write(hash, &store->nodes[at].hash);
		visited++;
		if (!visit(context, store->nodes[at].generation, hash))
			break;
		at = find_longest_parent(store, &store->nodes[at]);
	}
	return visited;
}

bool revtree_common_ancestor(
    const struct revtree *tree, const struct revision *a, const struct revision *b, struct revision *out)
{
	const struct revtree_store *store = &tree->store;
	size_t left = find_revision(store, a);
	size_t right = find_revision(store, b);
	bool found = false;

	if (left == REVTREE_NO_NODE || right == REVTREE_NO_NODE)
		return false;
	store->nodes[left].mark |= 1;
	store->nodes[right].mark |= 2;
	/* Hand the marks up from children to parents: the first node with both is the newest. */
	for (size_t i = (left > right ? left : right) + 1; i-- > 0;) {
		struct revtree_node *node = &store->nodes[i];

		if (!found && node->mark == 3) {
			export_revision(out, node);
			found = true;
		}
		for (uint32_t j = 0; !found && node->mark != 0 && j < node->parent_count; j++)
			store->nodes[store->parents[node->parent + j]].mark |= node->mark;
		node->mark = 0;
	}
	return found;
}
