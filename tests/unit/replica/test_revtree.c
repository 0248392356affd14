/*
 * Revision trees by example: outcomes, leaves, winners, joins, stemming, questions, the stored form.
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

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT(literal) (literal), sizeof(literal) - 1

static struct revtree *new_tree(void)
{
	struct revtree *tree = NULL;

	assert_int_equal(revtree_create(&tree, NULL), 0);
	return tree;
}

/* Merge a path written as "3 c b a", newest first; "3 c! b a" for a tombstone. */
static enum revtree_outcome merge(struct revtree *tree, const char *text, size_t limit)
{
	enum revtree_outcome outcome;
	const char *hashes[64];
	struct revtree_path path = {.hashes = hashes};
	char copy[512];
	char *save = NULL;

	(void)snprintf(copy, sizeof(copy), "%s", text);
	path.generation = (uint32_t)strtoul(strtok_r(copy, " ", &save), NULL, 10);
	for (char *word = strtok_r(NULL, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
		size_t len = strlen(word);

		if (word[len - 1] == '!') {
			word[len - 1] = '\0';
			path.deleted = true;
		}
		hashes[path.count++] = word;
	}
	assert_int_equal(revtree_merge_path(tree, &path, limit, &outcome, NULL), 0);
	return outcome;
}

static struct revision rev(const char *text)
{
	struct revision revision;

	assert_int_equal(revision_parse(&revision, text, strlen(text), NULL), 0);
	return revision;
}

/* The leaves must be these, in winning order: "3-c 2-b!". */
static void expect_leaves(const struct revtree *tree, const char *expected)
{
	struct revtree_leaf leaf;
	struct qosid_buf text = {0};
	size_t count = 0;

	assert_int_equal(qosid_buf_append_text(&text, "", NULL), 0);
	while (revtree_leaf_at(tree, count, &leaf)) {
		assert_int_equal(qosid_buf_append_format(&text, NULL, "%s%u-%s%s", count > 0 ? " " : "",
				     leaf.revision.generation, leaf.revision.hash, leaf.deleted ? "!" : ""),
		    0);
		if (count++ == 0) {
			struct revtree_leaf winner;

			assert_true(revtree_winner(tree, &winner));
			assert_int_equal(revision_compare(&winner.revision, &leaf.revision), 0);
		}
	}
	assert_string_equal(text.data, expected);
	assert_int_equal(revtree_leaf_count(tree), count);
	qosid_buf_free(&text);
}

static bool append_visited(void *context, uint32_t generation, const char *hash)
{
	struct qosid_buf *text = context;

	assert_int_equal(qosid_buf_append_format(text, NULL, "%s%u-%s", text->len > 0 ? " " : "", generation, hash), 0);
	return strcmp(hash, "stop") != 0;
}

static void expect_path(const struct revtree *tree, const char *from, size_t count, const char *expected)
{
	struct revision revision = rev(from);
	struct qosid_buf text = {0};

	assert_int_equal(qosid_buf_append_text(&text, "", NULL), 0);
	assert_int_equal(revtree_walk_path(tree, &revision, append_visited, &text), count);
	assert_string_equal(text.data, expected);
	qosid_buf_free(&text);
}

static void test_empty(void **state)
{
	struct revtree *tree = new_tree(), *other = new_tree();
	struct revision revision = rev("1-a");
	struct revtree_leaf leaf;

	(void)state;
	assert_int_equal(revtree_merge(tree, other, 0, NULL), 0);
	revtree_free(other);
	expect_leaves(tree, "");
	assert_false(revtree_winner(tree, &leaf));
	assert_int_equal(revtree_find(tree, &revision, NULL), REVTREE_ABSENT);
	assert_int_equal(revtree_node_count(tree), 0);
	expect_path(tree, "1-a", 0, "");
	revtree_free(tree);
	revtree_free(NULL);
}

static void test_outcomes(void **state)
{
	struct revtree *tree = new_tree();

	(void)state;
	assert_int_equal(merge(tree, "1 a", 0), REVTREE_BEGINS);
	assert_int_equal(merge(tree, "1 a", 0), REVTREE_KNOWN);
	assert_int_equal(merge(tree, "2 b a", 0), REVTREE_EXTENDS);
	assert_int_equal(merge(tree, "1 a", 0), REVTREE_KNOWN);
	assert_int_equal(merge(tree, "2 b", 0), REVTREE_KNOWN);
	assert_int_equal(merge(tree, "4 d c b a", 0), REVTREE_EXTENDS);
	assert_int_equal(merge(tree, "3 c b", 0), REVTREE_KNOWN);
	assert_int_equal(merge(tree, "3 x b", 0), REVTREE_BRANCHES);
	expect_leaves(tree, "4-d 3-x");
	assert_int_equal(merge(tree, "4 y! x", 0), REVTREE_EXTENDS);
	expect_leaves(tree, "4-d 4-y!");
	assert_int_equal(merge(tree, "9 z", 0), REVTREE_BRANCHES);
	expect_leaves(tree, "9-z 4-d 4-y!");
	/* A leaf turns out to be an ancestor of another: nothing new but its edge. */
	assert_int_equal(merge(tree, "9 z v u t s d", 0), REVTREE_INNER);
	expect_leaves(tree, "9-z 4-y!");
	/* The tombstone flag of a known revision. */
	assert_int_equal(merge(tree, "9 z!", 0), REVTREE_INNER);
	assert_int_equal(merge(tree, "9 z", 0), REVTREE_KNOWN);
	expect_leaves(tree, "9-z! 4-y!");
	revtree_free(tree);
}

static void test_winners(void **state)
{
	struct revtree *tree = new_tree();

	(void)state;
	(void)merge(tree, "9 a!", 0);
	(void)merge(tree, "2 m", 0);
	(void)merge(tree, "10 a!", 0);
	(void)merge(tree, "2 n", 0);
	(void)merge(tree, "1 z", 0);
	(void)merge(tree, "2 0123456789abcdef0123456789abcdef", 0);
	(void)merge(tree, "2 0123456789abcdef0123456789abcdee0", 0);
	(void)merge(tree, "2 0123456789abcdef0123456789abcde", 0);
	(void)merge(tree, "2 Z", 0);
	(void)merge(tree, "2 mm", 0);
	expect_leaves(tree, "2-n 2-mm 2-m 2-Z 2-0123456789abcdef0123456789abcdef 2-0123456789abcdef0123456789abcdee0 "
			    "2-0123456789abcdef0123456789abcde 1-z 10-a! 9-a!");
	revtree_free(tree);
}

static void test_find(void **state)
{
	struct revtree *tree = new_tree();
	struct revision revision;
	bool deleted = false;

	(void)state;
	(void)merge(tree, "3 c! b a", 0);
	(void)merge(tree, "4 d c", 0);
	revision = rev("4-d");
	assert_int_equal(revtree_find(tree, &revision, &deleted), REVTREE_LEAF);
	assert_false(deleted);
	/* An edit on top of a tombstone does not make it another revision. */
	revision = rev("3-c");
	assert_int_equal(revtree_find(tree, &revision, &deleted), REVTREE_ANCESTOR);
	assert_true(deleted);
	revision = rev("2-c");
	assert_int_equal(revtree_find(tree, &revision, NULL), REVTREE_ABSENT);
	revision = rev("3-cc");
	assert_int_equal(revtree_find(tree, &revision, NULL), REVTREE_ABSENT);
	revtree_free(tree);
}

/* The same id under different parents: every path is kept, the revision is one leaf. */
static void test_several_parents(void **state)
{
	struct revtree *tree = new_tree();

	(void)state;
	(void)merge(tree, "3 c b a", 0);
	assert_int_equal(merge(tree, "3 c x a", 0), REVTREE_INNER);
	expect_leaves(tree, "3-c");
	assert_int_equal(revtree_node_count(tree), 4);
	expect_path(tree, "3-c", 3, "3-c 2-x 1-a");
	(void)merge(tree, "5 e d c y", 0);
	assert_int_equal(revtree_node_count(tree), 7);
	/* The longest path goes before the higher hash. */
	expect_path(tree, "5-e", 5, "5-e 4-d 3-c 2-x 1-a");
	expect_path(tree, "2-y", 1, "2-y");
	assert_int_equal(merge(tree, "2 y q", 0), REVTREE_INNER);
	expect_path(tree, "5-e", 5, "5-e 4-d 3-c 2-y 1-q");
	expect_leaves(tree, "5-e");
	revtree_free(tree);
}

static void test_walk(void **state)
{
	struct revtree *tree = new_tree();

	(void)state;
	(void)merge(tree, "4 d stop b a", 0);
	(void)merge(tree, "4 0123456789abcdef0123456789abcdef stop", 0);
	expect_path(tree, "4-d", 2, "4-d 3-stop");
	expect_path(tree, "2-b", 2, "2-b 1-a");
	expect_path(tree, "4-0123456789abcdef0123456789abcdef", 2, "4-0123456789abcdef0123456789abcdef 3-stop");
	expect_path(tree, "4-e", 0, "");
	revtree_free(tree);
}

static void expect_common(const struct revtree *tree, const char *a, const char *b, const char *expected)
{
	struct revision left = rev(a);
	struct revision right = rev(b);
	struct revision found;
	char text[REVISION_TEXT_SIZE] = "";

	if (revtree_common_ancestor(tree, &left, &right, &found))
		revision_format(text, &found);
	assert_string_equal(text, expected);
	text[0] = '\0';
	if (revtree_common_ancestor(tree, &right, &left, &found))
		revision_format(text, &found);
	assert_string_equal(text, expected);
}

static void test_common_ancestor(void **state)
{
	struct revtree *tree = new_tree();

	(void)state;
	(void)merge(tree, "5 e d c b a", 0);
	(void)merge(tree, "4 y x b", 0);
	(void)merge(tree, "2 lone", 0);
	expect_common(tree, "5-e", "4-y", "2-b");
	expect_common(tree, "5-e", "5-e", "5-e");
	expect_common(tree, "5-e", "3-c", "3-c");
	expect_common(tree, "1-a", "4-y", "1-a");
	expect_common(tree, "5-e", "2-lone", "");
	expect_common(tree, "5-e", "6-z", "");
	expect_common(tree, "5-e", "4-y", "2-b");
	(void)merge(tree, "4 y c", 0);
	expect_common(tree, "5-e", "4-y", "3-c");
	expect_common(tree, "5-e", "3-x", "2-b");
	revtree_free(tree);
}

/* Parts of a chain in any order make the chain. */
static void test_joins(void **state)
{
	static const char *const parts[] = {"6 f e", "3 c b", "2 b a", "5 e d", "4 d c"};
	struct revtree *tree = new_tree();

	(void)state;
	for (size_t i = 0; i < LENGTH(parts); i++)
		(void)merge(tree, parts[i], 0);
	expect_leaves(tree, "6-f");
	expect_path(tree, "6-f", 6, "6-f 5-e 4-d 3-c 2-b 1-a");
	revtree_free(tree);

	/* A cut-off path between two chains that both know its oldest revision. */
	tree = new_tree();
	(void)merge(tree, "3 c b", 0);
	assert_int_equal(merge(tree, "5 e d", 0), REVTREE_BRANCHES);
	expect_leaves(tree, "5-e 3-c");
	assert_int_equal(merge(tree, "6 f e d c", 0), REVTREE_EXTENDS);
	expect_leaves(tree, "6-f");
	revtree_free(tree);
}

static void test_stemming(void **state)
{
	struct revtree *tree = new_tree();

	(void)state;
	(void)merge(tree, "5 e d c b a", 3);
	assert_int_equal(revtree_node_count(tree), 3);
	expect_path(tree, "5-e", 3, "5-e 4-d 3-c");
	/* What is stemmed away again is not new. */
	assert_int_equal(merge(tree, "5 e d c b a", 3), REVTREE_KNOWN);
	assert_int_equal(merge(tree, "6 f e d", 3), REVTREE_EXTENDS);
	expect_path(tree, "6-f", 3, "6-f 5-e 4-d");
	/* An old branch keeps its own newest revisions. That 4-d came from 3-c has been forgotten. */
	(void)merge(tree, "5 y x c b a", 3);
	expect_leaves(tree, "6-f 5-y");
	expect_path(tree, "5-y", 3, "5-y 4-x 3-c");
	expect_path(tree, "6-f", 3, "6-f 5-e 4-d");
	(void)merge(tree, "8 h g f", 3);
	expect_path(tree, "8-h", 3, "8-h 7-g 6-f");
	expect_leaves(tree, "8-h 5-y");
	assert_int_equal(revtree_node_count(tree), 6);
	/* To one revision each. */
	(void)merge(tree, "8 h", 1);
	assert_int_equal(revtree_node_count(tree), 2);
	expect_leaves(tree, "8-h 5-y");
	/* From beyond the limit: kept as a branch, not dropped. */
	assert_int_equal(merge(tree, "2 b a", 3), REVTREE_BRANCHES);
	expect_leaves(tree, "8-h 5-y 2-b");
	revtree_free(tree);
}

static void test_refuses_paths(void **state)
{
	static const char *const none[] = {"a", "b"};
	static const char *const bad[][2] = {{"", "a"}, {"a", ""}, {"a b", "a"}, {"a", "\xc3\xa4"}, {"a\n", "a"}};
	struct revtree *tree = new_tree();
	struct revtree_path path = {.generation = 2, .hashes = none};
	struct qosid_errbuf err = {0};
	enum revtree_outcome outcome;
	char longest[LIMIT_REVISION_HASH_BYTES + 2];
	const char *hash = longest;

	(void)state;
	assert_int_equal(revtree_merge_path(tree, &path, 0, &outcome, &err), QOSID_ERR_INVALID);
	path = (struct revtree_path){.generation = 1, .hashes = none, .count = 2};
	assert_int_equal(revtree_merge_path(tree, &path, 0, NULL, NULL), QOSID_ERR_INVALID);
	for (size_t i = 0; i < LENGTH(bad); i++) {
		path = (struct revtree_path){.generation = 2, .hashes = bad[i], .count = 2};
		assert_int_equal(revtree_merge_path(tree, &path, 0, NULL, NULL), QOSID_ERR_INVALID);
	}
	memset(longest, 'x', sizeof(longest));
	longest[LIMIT_REVISION_HASH_BYTES + 1] = '\0';
	path = (struct revtree_path){.generation = 1, .hashes = &hash, .count = 1};
	assert_int_equal(revtree_merge_path(tree, &path, 0, NULL, NULL), QOSID_ERR_INVALID);
	longest[LIMIT_REVISION_HASH_BYTES] = '\0';
	assert_int_equal(revtree_merge_path(tree, &path, 0, NULL, NULL), 0);
	path.generation = UINT32_MAX;
	assert_int_equal(revtree_merge_path(tree, &path, 0, NULL, NULL), 0);
	assert_int_equal(revtree_node_count(tree), 2);
	revtree_free(tree);
}

/* ---- the stored form ---- */

#define HASH "0123456789abcdef0123456789abcdef"
#define RAW "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"

static const struct {
	const char *paths[4];
	const char *bytes;
	size_t len;
} forms[] = {
    {{NULL}, TEXT("\x01\x00")},
    {{"1 " HASH}, TEXT("\x01\x02\x10" RAW)},
    {{"1 " HASH "!"}, TEXT("\x01\x02\x11" RAW)},
    {{"2 " HASH " ~"}, TEXT("\x01\x04\x12\x01~\x14" RAW)},
    {{"300 x"}, TEXT("\x01\x02\x22\xac\x02\x01x")},
    {{"2 y x", "2 z x"}, TEXT("\x01\x06\x12\x01x\x16\x01y\x0a\x02\x01z")},
    {{"2 z x", "2 z y"}, TEXT("\x01\x07\x01\x12\x01x\x02\x01y\x1e\x02\x02\x01\x01z")},
    {{"1 0123456789ABCDEF0123456789ABCDEF"}, TEXT("\x01\x02\x12 0123456789ABCDEF0123456789ABCDEF")},
};

static void test_stored_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(forms); i++) {
		struct revtree *tree = new_tree();
		struct revtree *back = NULL;
		struct qosid_buf out = {0};

		for (size_t j = 0; forms[i].paths[j] != NULL; j++)
			(void)merge(tree, forms[i].paths[j], 0);
		assert_int_equal(revtree_encode(tree, &out, NULL), 0);
		if (out.len != forms[i].len || memcmp(out.data, forms[i].bytes, out.len) != 0) {
			for (size_t j = 0; j < out.len; j++)
				print_message("%02x ", out.data[j]);
			fail_msg("stored form %zu is different, %zu bytes", i, out.len);
		}
		assert_int_equal(revtree_decode(&back, out.data, out.len, NULL), 0);
		assert_int_equal(revtree_node_count(back), revtree_node_count(tree));
		qosid_buf_reset(&out);
		assert_int_equal(revtree_encode(back, &out, NULL), 0);
		assert_int_equal(out.len, forms[i].len);
		assert_memory_equal(out.data, forms[i].bytes, out.len);
		revtree_free(back);
		revtree_free(tree);
		qosid_buf_free(&out);
	}
}

static const struct {
	const char *bytes;
	size_t len;
} damaged[] = {
    {TEXT("")}, {TEXT("\x01")}, {TEXT("\x02\x00")},                    /* another version */
    {TEXT("\x01\x00\x00")},                                            /* trailing byte */
    {TEXT("\x01\x80\x00")},                                            /* a number longer than it must be */
    {TEXT("\x01\x01\x00")},                                            /* several parents announced, but none */
    {TEXT("\x01\x01\x01")},                                            /* ... or no nodes at all */
    {TEXT("\x01\xff\xff\xff\xff\x7f")},                                /* a number too large */
    {TEXT("\x01\xfe\xff\xff\xff\x0f")},                                /* more nodes than bytes */
    {TEXT("\x01\x02\x12\x01")},                                        /* cut off */
    {TEXT("\x01\x04\x12\x01x\x16\x01")},                               /* cut off */
    {TEXT("\x01\x02\x02\x01x")},                                       /* generation 0 */
    {TEXT("\x01\x02\x32\x01x")},                                       /* no such form of a generation */
    {TEXT("\x01\x02\x22\x01\x01x")},                                   /* a far generation that is near */
    {TEXT("\x01\x02\x52\x01x")},                                       /* unknown flag */
    {TEXT("\x01\x02\x16\x01x")},                                       /* a parent before the first */
    {TEXT("\x01\x02\x12\x00")},                                        /* no hash */
    {TEXT("\x01\x02\x12\x01 ")},                                       /* a hash with a space */
    {TEXT("\x01\x02\x12\x01\xc3")},                                    /* not ASCII */
    {TEXT("\x01\x02\x12 " HASH)},                                      /* text that should be raw */
    {TEXT("\x01\x04\x12\x01y\x02\x01x")},                              /* out of order */
    {TEXT("\x01\x04\x12\x01x\x02\x01x")},                              /* twice */
    {TEXT("\x01\x04\x12\x01x\x06\x01y")},                              /* a parent of the same generation */
    {TEXT("\x01\x04\x12\x01x\x26\x02\x01y")},                          /* a parent two generations up */
    {TEXT("\x01\x04\x12\x01x\x1a\x01\x01y")},                          /* the node before in the long form */
    {TEXT("\x01\x04\x12\x01x\x1a\x02\x01y")},                          /* a parent before the first */
    {TEXT("\x01\x04\x12\x01x\x1a\x00\x01y")},                          /* its own parent */
    {TEXT("\x01\x07\x01\x12\x01x\x02\x01y\x1e\x02\x01\x02\x01z")},     /* parents out of order */
    {TEXT("\x01\x07\x01\x12\x01x\x02\x01y\x1e\x02\x01\x01\x01z")},     /* the same parent twice */
    {TEXT("\x01\x06\x12\x01x\x02\x01y\x1e\x02\x02\x01\x01z")},         /* more parents than announced */
    {TEXT("\x01\x07\x02\x12\x01x\x02\x01y\x1e\x02\x02\x01\x01z\x01")}, /* fewer */
    {TEXT("\x01\x05\x01\x12\x01x\x1e\x01\x01\x01y")},                  /* several that are one */
};

static void test_damage(void **state)
{
	(void)state;
	for (size_t i = 0; i < LENGTH(damaged); i++) {
		struct qosid_errbuf err = {0};
		struct revtree *tree = NULL;
		int rc = revtree_decode(&tree, damaged[i].bytes, damaged[i].len, &err);

		if (rc != QOSID_ERR_CORRUPT || err.code != rc || tree != NULL)
			fail_msg("damaged form %zu: code %d", i, rc);
		assert_int_equal(revtree_decode(&tree, damaged[i].bytes, damaged[i].len, NULL), QOSID_ERR_CORRUPT);
	}
}

/* ---- size ---- */

static void merge_numbered(struct revtree *tree, uint32_t generation, size_t count, uint32_t branch, size_t limit)
{
	char(*text)[40] = calloc(count, sizeof(*text));
	const char **hashes = calloc(count, sizeof(*hashes));
	struct revtree_path path = {.generation = generation, .hashes = hashes, .count = count};

	assert_non_null(text);
	assert_non_null(hashes);
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(
		    text[i], sizeof(text[i]), "%08x%08zx0000000000000000", i == 0 ? branch : 0, generation - i);
		hashes[i] = text[i];
	}
	assert_int_equal(revtree_merge_path(tree, &path, limit, NULL, NULL), 0);
	free(text);
	free(hashes);
}

static void test_long_and_wide(void **state)
{
	struct revtree *tree = new_tree();
	struct revtree *back = NULL;
	struct qosid_buf out = {0};
	struct revtree_leaf leaf;

	(void)state;
	merge_numbered(tree, 100000, 100000, 0, 0);
	assert_int_equal(revtree_node_count(tree), 100000);
	assert_int_equal(revtree_encode(tree, &out, NULL), 0);
	assert_true(out.len < 100000 * 17 + 8);
	assert_int_equal(revtree_decode(&back, out.data, out.len, NULL), 0);
	assert_int_equal(revtree_leaf_count(back), 1);
	merge_numbered(back, 100001, 2, 0, 1000);
	assert_int_equal(revtree_node_count(back), 1000);
	revtree_free(back);
	revtree_free(tree);
	qosid_buf_free(&out);

	tree = new_tree();
	for (uint32_t branch = 1; branch <= 2000; branch++)
		merge_numbered(tree, 3, 3, branch, 1000);
	assert_int_equal(revtree_node_count(tree), 2002);
	assert_int_equal(revtree_leaf_count(tree), 2000);
	assert_true(revtree_leaf_at(tree, 1999, &leaf));
	assert_string_equal(leaf.revision.hash, "00000001000000030000000000000000");
	assert_false(revtree_leaf_at(tree, 2000, &leaf));
	assert_int_equal(revtree_merge(tree, tree, 2, NULL), 0);
	assert_int_equal(revtree_node_count(tree), 2001);
	revtree_free(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_outcomes),
	    cmocka_unit_test(test_winners),
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_several_parents),
	    cmocka_unit_test(test_walk),
	    cmocka_unit_test(test_common_ancestor),
	    cmocka_unit_test(test_joins),
	    cmocka_unit_test(test_stemming),
	    cmocka_unit_test(test_refuses_paths),
	    cmocka_unit_test(test_stored_form),
	    cmocka_unit_test(test_damage),
	    cmocka_unit_test(test_long_and_wide),
	};

	return cmocka_run_group_tests_name("revtree", tests, NULL, NULL);
}
