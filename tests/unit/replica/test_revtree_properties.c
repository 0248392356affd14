/*
 * Revision trees under random histories, against a model that is too simple to be wrong: plain lists of what was said.
 *
 * Every failure names its seed. The order of what arrives, its repetition, and how trees were merged must not show.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sync/replica/revtree.h"

#define MAX_EDITS 40
#define NOTHING SIZE_MAX

/* ---- random histories ---- */

struct edit {
	struct revision revision;
	size_t parent; /* NOTHING: a root */
	bool deleted;
};

struct history {
	struct edit edits[MAX_EDITS]; /* parents before children */
	size_t count;
};

static uint32_t random_next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static size_t random_below(uint32_t *seed, size_t limit)
{
	return random_next(seed) % limit;
}

/* With unique false few different hashes are used, so that ids meet again under other parents. */
static void make_history(struct history *history, uint32_t *seed, bool unique)
{
	history->count = 1 + random_below(seed, MAX_EDITS);
	for (size_t i = 0; i < history->count; i++) {
		struct edit *edit = &history->edits[i];
		bool root = i == 0 || random_below(seed, 12) == 0;

		/* Mostly long branches: from one of the newest. */
		edit->parent = root ? NOTHING : i - 1 - random_below(seed, random_below(seed, 4) == 0 ? i : 1 + i / 8);
		edit->deleted = random_below(seed, 6) == 0;
		edit->revision.generation = root ? 1 : history->edits[edit->parent].revision.generation + 1;
		if (!unique)
			(void)snprintf(edit->revision.hash, sizeof(edit->revision.hash), "%c",
			    (char)('a' + random_below(seed, 3)));
		else if (random_below(seed, 4) == 0)
			(void)snprintf(edit->revision.hash, sizeof(edit->revision.hash), "text-%zu", i);
		else
			(void)snprintf(edit->revision.hash, sizeof(edit->revision.hash), "%08x%08x%016zx",
			    random_next(seed), random_next(seed), i);
	}
}

/* The path of an edit, at most `most` revisions. */
static struct revtree_path path_of(
    const struct history *history, size_t edit, size_t most, const char *hashes[MAX_EDITS])
{
	struct revtree_path path = {.generation = history->edits[edit].revision.generation,
	    .hashes = hashes,
	    .deleted = history->edits[edit].deleted};

	for (size_t at = edit; at != NOTHING && path.count < most; at = history->edits[at].parent)
		hashes[path.count++] = history->edits[at].revision.hash;
	return path;
}

/* ---- the model ---- */

struct model {
	struct revision nodes[MAX_EDITS];
	bool deleted[MAX_EDITS];
	size_t count;
	size_t edges[MAX_EDITS * 2][2]; /* child, parent */
	size_t edge_count;
};

static size_t model_node(struct model *model, uint32_t generation, const char *hash)
{
	struct revision revision = {.generation = generation};
	size_t i;

	(void)snprintf(revision.hash, sizeof(revision.hash), "%s", hash);
	for (i = 0; i < model->count; i++) {
		if (revision_compare(&model->nodes[i], &revision) == 0)
			return i;
	}
	model->nodes[i] = revision;
	model->deleted[i] = false;
	model->count++;
	return i;
}

static void model_merge(struct model *model, const struct revtree_path *path)
{
	size_t child = NOTHING;

	for (size_t i = 0; i < path->count; i++) {
		size_t node = model_node(model, path->generation - (uint32_t)i, path->hashes[i]);
		bool known = child == NOTHING;

		if (i == 0)
			model->deleted[node] |= path->deleted;
		for (size_t j = 0; j < model->edge_count; j++)
			known |= model->edges[j][0] == child && model->edges[j][1] == node;
		if (!known) {
			model->edges[model->edge_count][0] = child;
			model->edges[model->edge_count++][1] = node;
		}
		child = node;
	}
}

static bool model_is_leaf(const struct model *model, size_t node)
{
	for (size_t i = 0; i < model->edge_count; i++) {
		if (model->edges[i][1] == node)
			return false;
	}
	return true;
}

static bool model_is_ancestor(const struct model *model, size_t ancestor, size_t node)
{
	if (ancestor == node)
		return true;
	for (size_t i = 0; i < model->edge_count; i++) {
		if (model->edges[i][0] == node && model_is_ancestor(model, ancestor, model->edges[i][1]))
			return true;
	}
	return false;
}

static bool wins(const struct revtree_leaf *a, const struct revtree_leaf *b)
{
	if (a->deleted != b->deleted)
		return b->deleted;
	return revision_compare(&a->revision, &b->revision) > 0;
}

static void check_against_model(const struct revtree *tree, const struct model *model, uint32_t seed)
{
	struct revtree_leaf leaf;
	struct revtree_leaf before;
	size_t leaves = 0;

	if (revtree_node_count(tree) != model->count)
		fail_msg("seed %u: %zu nodes, not %zu", seed, revtree_node_count(tree), model->count);
	for (size_t i = 0; i < model->count; i++) {
		bool is_leaf = model_is_leaf(model, i);
		bool deleted;

		if (revtree_find(tree, &model->nodes[i], &deleted) != (is_leaf ? REVTREE_LEAF : REVTREE_ANCESTOR) ||
		    deleted != model->deleted[i])
			fail_msg("seed %u: %u-%s is not as it should be", seed, model->nodes[i].generation,
			    model->nodes[i].hash);
		leaves += is_leaf;
	}
	if (revtree_leaf_count(tree) != leaves)
		fail_msg("seed %u: %zu leaves, not %zu", seed, revtree_leaf_count(tree), leaves);
	for (size_t i = 0; i < leaves; i++) {
		assert_true(revtree_leaf_at(tree, i, &leaf));
		if (i > 0 && !wins(&before, &leaf))
			fail_msg("seed %u: leaves are not in winning order", seed);
		before = leaf;
	}
	for (size_t i = 0; i < model->count * 2; i++) {
		size_t a = i * 7 % model->count;
		size_t b = i * 5 / 2 % model->count;
		struct revision expected = {0};
		struct revision found = {0};

		for (size_t j = 0; j < model->count; j++) {
			if (model_is_ancestor(model, j, a) && model_is_ancestor(model, j, b) &&
			    revision_compare(&model->nodes[j], &expected) > 0)
				expected = model->nodes[j];
		}
		(void)revtree_common_ancestor(tree, &model->nodes[a], &model->nodes[b], &found);
		if (revision_compare(&found, &expected) != 0)
			fail_msg("seed %u: the common ancestor is %u-%s, not %u-%s", seed, found.generation, found.hash,
			    expected.generation, expected.hash);
	}
}

/* ---- helpers ---- */

static struct revtree *new_tree(void)
{
	struct revtree *tree = NULL;

	assert_int_equal(revtree_create(&tree, NULL), 0);
	return tree;
}

static struct revtree *copy_tree(const struct revtree *tree)
{
	struct qosid_buf bytes = {0};
	struct revtree *copy = NULL;

	assert_int_equal(revtree_encode(tree, &bytes, NULL), 0);
	assert_int_equal(revtree_decode(&copy, bytes.data, bytes.len, NULL), 0);
	qosid_buf_free(&bytes);
	return copy;
}

static void expect_equal(const struct revtree *a, const struct revtree *b, uint32_t seed, const char *what)
{
	struct qosid_buf left = {0};
	struct qosid_buf right = {0};

	assert_int_equal(revtree_encode(a, &left, NULL), 0);
	assert_int_equal(revtree_encode(b, &right, NULL), 0);
	if (left.len != right.len || memcmp(left.data, right.data, left.len) != 0)
		fail_msg("seed %u: %s", seed, what);
	qosid_buf_free(&left);
	qosid_buf_free(&right);
}

static bool same_leaves(const struct revtree *a, const struct revtree *b)
{
	struct revtree_leaf left;
	struct revtree_leaf right;

	if (revtree_leaf_count(a) != revtree_leaf_count(b))
		return false;
	for (size_t i = 0; revtree_leaf_at(a, i, &left); i++) {
		assert_true(revtree_leaf_at(b, i, &right));
		if (revision_compare(&left.revision, &right.revision) != 0 || left.deleted != right.deleted)
			return false;
	}
	return true;
}

static struct revtree *merged(const struct revtree *a, const struct revtree *b, size_t limit)
{
	struct revtree *tree = copy_tree(a);

	assert_int_equal(revtree_merge(tree, b, limit, NULL), 0);
	return tree;
}

/* A tree that knows some of a history, by paths cut off anywhere. */
static struct revtree *random_tree(const struct history *history, uint32_t *seed, struct model *model)
{
	struct revtree *tree = new_tree();
	const char *hashes[MAX_EDITS];

	for (size_t i = random_below(seed, 12) + 1; i > 0; i--) {
		struct revtree_path path = path_of(history, random_below(seed, history->count),
		    random_below(seed, 2) == 0 ? MAX_EDITS : 1 + random_below(seed, 6), hashes);

		assert_int_equal(revtree_merge_path(tree, &path, 0, NULL, NULL), 0);
		if (model != NULL)
			model_merge(model, &path);
	}
	return tree;
}

/* ---- the properties ---- */

/* Any order and repetition gives the same bytes, and what the model says. */
static void test_any_order(void **state)
{
	static const size_t cuts[] = {2, 3, 7, MAX_EDITS};

	(void)state;
	for (uint32_t seed = 1; seed <= 600; seed++) {
		struct history history;
		struct model model = {0};
		uint32_t random = seed * 2654435761u;
		struct revtree *trees[3];

		make_history(&history, &random, seed % 3 != 0);
		for (size_t t = 0; t < 3; t++) {
			size_t order[MAX_EDITS * 3];
			size_t count = 0;

			trees[t] = new_tree();
			for (size_t copies = t + 1; copies > 0; copies--) {
				for (size_t i = 0; i < history.count; i++)
					order[count++] = i;
			}
			while (count > 0) {
				size_t pick = t == 0 ? 0 : random_below(&random, count);
				const char *hashes[MAX_EDITS];
				struct revtree_path path =
				    path_of(&history, order[pick], cuts[random_below(&random, 4)], hashes);

				assert_int_equal(revtree_merge_path(trees[t], &path, 0, NULL, NULL), 0);
				model_merge(&model, &path);
				memmove(order + pick, order + pick + 1, (--count - pick) * sizeof(order[0]));
			}
			check_against_model(trees[t], &model, seed);
			expect_equal(trees[0], trees[t], seed, "the order of arrival shows");
		}
		for (size_t t = 0; t < 3; t++)
			revtree_free(trees[t]);
	}
}

/* With whole paths of unique ids: leaves are the paths that are no beginning of another. */
static void test_against_paths(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 300; seed++) {
		struct history history;
		uint32_t random = seed * 40503u + 7;
		struct revtree *tree = new_tree();
		bool given[MAX_EDITS] = {false};
		bool known[MAX_EDITS] = {false};
		size_t nodes = 0;

		make_history(&history, &random, true);
		for (size_t i = random_below(&random, 20) + 1; i > 0; i--) {
			size_t edit = random_below(&random, history.count);
			const char *hashes[MAX_EDITS];
			struct revtree_path path = path_of(&history, edit, MAX_EDITS, hashes);
			size_t leaves = revtree_leaf_count(tree);
			bool extends = false;
			enum revtree_outcome outcome;
			enum revtree_outcome expected;

			for (size_t at = history.edits[edit].parent; at != NOTHING; at = history.edits[at].parent)
				extends |= revtree_find(tree, &history.edits[at].revision, NULL) == REVTREE_LEAF;
			expected = given[edit]   ? REVTREE_KNOWN
				   : known[edit] ? (history.edits[edit].deleted ? REVTREE_INNER : REVTREE_KNOWN)
				   : extends     ? REVTREE_EXTENDS
				   : leaves > 0  ? REVTREE_BRANCHES
						 : REVTREE_BEGINS;
			assert_int_equal(revtree_merge_path(tree, &path, 1000, &outcome, NULL), 0);
			if (outcome != expected)
				fail_msg("seed %u: outcome %d, not %d", seed, outcome, expected);
			assert_int_equal(revtree_leaf_count(tree), leaves + (expected >= REVTREE_BEGINS));
			given[edit] = true;
			for (size_t at = edit; at != NOTHING; at = history.edits[at].parent)
				known[at] = true;
		}
		for (size_t i = 0; i < history.count; i++) {
			bool leaf = known[i];

			nodes += known[i];
			for (size_t j = 0; j < history.count; j++)
				leaf &= !(known[j] && history.edits[j].parent == i);
			if ((revtree_find(tree, &history.edits[i].revision, NULL) == REVTREE_LEAF) != leaf)
				fail_msg("seed %u: edit %zu", seed, i);
		}
		assert_int_equal(revtree_node_count(tree), nodes);
		revtree_free(tree);
	}
}

static void test_merge_laws(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 600; seed++) {
		struct history history;
		struct model model = {0};
		uint32_t random = seed * 69069u + 1;
		struct revtree *empty = new_tree();
		struct revtree *a;
		struct revtree *b;
		struct revtree *c;
		struct revtree *ab;
		struct revtree *ba;
		struct revtree *bc;
		struct revtree *left;
		struct revtree *right;

		make_history(&history, &random, seed % 2 == 0);
		a = random_tree(&history, &random, &model);
		b = random_tree(&history, &random, &model);
		c = random_tree(&history, &random, &model);
		ab = merged(a, b, 0);
		ba = merged(b, a, 0);
		bc = merged(b, c, 0);
		left = merged(ab, c, 0);
		right = merged(a, bc, 0);
		expect_equal(ab, ba, seed, "merge is not commutative");
		expect_equal(left, right, seed, "merge is not associative");
		check_against_model(left, &model, seed);
		assert_int_equal(revtree_merge(left, b, 0, NULL), 0);
		assert_int_equal(revtree_merge(left, left, 0, NULL), 0);
		assert_int_equal(revtree_merge(left, empty, 0, NULL), 0);
		expect_equal(left, right, seed, "merge is not idempotent");
		assert_int_equal(revtree_merge(empty, right, 0, NULL), 0);
		expect_equal(empty, right, seed, "the empty tree is not neutral");
		revtree_free(empty);
		revtree_free(a);
		revtree_free(b);
		revtree_free(c);
		revtree_free(ab);
		revtree_free(ba);
		revtree_free(bc);
		revtree_free(left);
		revtree_free(right);
	}
}

static bool count_visit(void *context, uint32_t generation, const char *hash)
{
	(void)context;
	(void)generation;
	(void)hash;
	return true;
}

/* Each leaf keeps exactly its newest revisions. */
static void check_stemmed(const struct revtree *full, const struct revtree *stemmed, size_t limit, uint32_t seed)
{
	struct revtree_leaf leaf;

	if (!same_leaves(full, stemmed))
		fail_msg("seed %u: stemming has changed the leaves", seed);
	for (size_t i = 0; revtree_leaf_at(full, i, &leaf); i++) {
		size_t whole = revtree_walk_path(full, &leaf.revision, count_visit, NULL);
		size_t kept = revtree_walk_path(stemmed, &leaf.revision, count_visit, NULL);

		if (kept < (whole < limit ? whole : limit) || kept > whole)
			fail_msg("seed %u: %zu of %zu revisions kept, with limit %zu", seed, kept, whole, limit);
		if (revtree_leaf_count(full) == 1 && kept > limit)
			fail_msg("seed %u: %zu revisions kept, with limit %zu", seed, kept, limit);
	}
}

/* Whether every leaf of one that the other knows as an ancestor has survived the other's stemming. */
static bool within_limit(const struct revtree *one, const struct revtree *other, const struct revtree *other_stemmed)
{
	struct revtree_leaf leaf;

	for (size_t i = 0; revtree_leaf_at(one, i, &leaf); i++) {
		if (revtree_find(other, &leaf.revision, NULL) == REVTREE_ANCESTOR &&
		    revtree_find(other_stemmed, &leaf.revision, NULL) == REVTREE_ABSENT)
			return false;
	}
	return true;
}

static void test_stemmed_merges(void **state)
{
	unsigned compared = 0;

	(void)state;
	for (uint32_t seed = 1; seed <= 1500; seed++) {
		struct history history;
		uint32_t random = seed * 22695477u + 1;
		size_t limit;
		struct revtree *empty = new_tree();
		struct revtree *full[2];
		struct revtree *stemmed[2];
		struct revtree *of_full;
		struct revtree *of_stemmed;
		struct revtree *again;

		make_history(&history, &random, seed % 4 != 0);
		limit = 1 + random_below(&random, 8);
		for (int i = 0; i < 2; i++) {
			full[i] = random_tree(&history, &random, NULL);
			stemmed[i] = merged(full[i], empty, limit);
			check_stemmed(full[i], stemmed[i], limit, seed);
			again = merged(stemmed[i], empty, limit);
			expect_equal(again, stemmed[i], seed, "stemming twice is not stemming once");
			revtree_free(again);
		}
		of_full = merged(full[0], full[1], 0);
		of_stemmed = merged(stemmed[0], stemmed[1], limit);
		again = merged(stemmed[1], stemmed[0], limit);
		expect_equal(of_stemmed, again, seed, "the merge of stemmed trees is not commutative");
		if (within_limit(full[0], full[1], stemmed[1]) && within_limit(full[1], full[0], stemmed[0])) {
			if (!same_leaves(of_full, of_stemmed))
				fail_msg("seed %u: stemming before the merge shows in the leaves", seed);
			compared++;
		}
		revtree_free(again);
		revtree_free(of_full);
		revtree_free(of_stemmed);
		for (int i = 0; i < 2; i++) {
			revtree_free(full[i]);
			revtree_free(stemmed[i]);
		}
		revtree_free(empty);
	}
	assert_true(compared > 500);
}

/* Edits that arrive after their parents, each with a path of at least its parent: stemming never shows in the leaves.
 */
static void test_stemming_in_order(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 500; seed++) {
		struct history history;
		uint32_t random = seed * 1103515245u + 5;
		struct revtree *full = new_tree();
		struct revtree *stemmed = new_tree();
		size_t limit;

		make_history(&history, &random, true);
		limit = 1 + random_below(&random, 6);
		for (size_t i = 0; i < history.count; i++) {
			const char *hashes[MAX_EDITS];
			struct revtree_path path = path_of(&history, i, 2 + random_below(&random, limit + 2), hashes);
			enum revtree_outcome first;
			enum revtree_outcome second;

			assert_int_equal(revtree_merge_path(full, &path, 0, &first, NULL), 0);
			assert_int_equal(revtree_merge_path(stemmed, &path, limit, &second, NULL), 0);
			if (!same_leaves(full, stemmed) || first != second)
				fail_msg("seed %u: stemming shows after edit %zu", seed, i);
			assert_int_equal(revtree_merge_path(stemmed, &path, limit, &second, NULL), 0);
			if (second != REVTREE_KNOWN)
				fail_msg("seed %u: edit %zu is not known when it comes again", seed, i);
		}
		revtree_free(full);
		revtree_free(stemmed);
	}
}

/* What is accepted is exactly what would be written; every shortened form is refused. */
static void test_damaged_forms(void **state)
{
	unsigned accepted = 0;
	unsigned refused = 0;

	(void)state;
	for (uint32_t seed = 1; seed <= 150; seed++) {
		struct history history;
		uint32_t random = seed * 134775813u + 1;
		struct revtree *tree;
		struct qosid_buf bytes = {0};
		struct qosid_buf back = {0};

		make_history(&history, &random, seed % 2 == 0);
		tree = random_tree(&history, &random, NULL);
		assert_int_equal(revtree_encode(tree, &bytes, NULL), 0);
		revtree_free(tree);
		for (size_t len = 0; len < bytes.len; len++)
			assert_int_equal(revtree_decode(&tree, bytes.data, len, NULL), QOSID_ERR_CORRUPT);
		for (int round = 0; round < 100; round++) {
			uint8_t *copy = malloc(bytes.len);

			assert_non_null(copy);
			memcpy(copy, bytes.data, bytes.len);
			for (size_t flips = 1 + random_below(&random, 3); flips > 0; flips--)
				copy[random_below(&random, bytes.len)] ^= (uint8_t)(1u << random_below(&random, 8));
			if (revtree_decode(&tree, copy, bytes.len, NULL) == 0) {
				qosid_buf_reset(&back);
				assert_int_equal(revtree_encode(tree, &back, NULL), 0);
				if (back.len != bytes.len || memcmp(back.data, copy, back.len) != 0)
					fail_msg("seed %u: two stored forms of one tree", seed);
				revtree_free(tree);
				accepted++;
			} else {
				refused++;
			}
			free(copy);
		}
		qosid_buf_free(&bytes);
		qosid_buf_free(&back);
	}
	assert_true(accepted > 100);
	assert_true(refused > 1000);
}

/* Bytes that were never a tree. */
static void test_random_forms(void **state)
{
	uint32_t random = 99;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint8_t bytes[48] = {1, 2};
		size_t len = 2 + random_below(&random, sizeof(bytes) - 2);
		struct revtree *tree = NULL;

		bytes[1] = (uint8_t)random_below(&random, 12);
		for (size_t i = 2; i < len; i++)
			bytes[i] =
			    (uint8_t)(random_below(&random, 2) == 0 ? random_below(&random, 40) : random_next(&random));
		if (revtree_decode(&tree, bytes, len, NULL) == 0) {
			struct qosid_buf back = {0};

			assert_int_equal(revtree_encode(tree, &back, NULL), 0);
			assert_int_equal(back.len, len);
			assert_memory_equal(back.data, bytes, len);
			qosid_buf_free(&back);
		}
		revtree_free(tree);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_any_order),
	    cmocka_unit_test(test_against_paths),
	    cmocka_unit_test(test_merge_laws),
	    cmocka_unit_test(test_stemmed_merges),
	    cmocka_unit_test(test_stemming_in_order),
	    cmocka_unit_test(test_damaged_forms),
	    cmocka_unit_test(test_random_forms),
	};

	return cmocka_run_group_tests_name("revtree_properties", tests, NULL, NULL);
}
