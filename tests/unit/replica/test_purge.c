/*
 * Purging: leaves go with what led to nothing else, counts and publication stay right, a log does not bring them back.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store_support.h"
#include "sync/replica/replica_query.h"

static bool purge(struct scratch *s, const char *id, const char *rev)
{
	struct revision parsed = rev_of(rev);
	bool done = true;

	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, replica_purge(s->replica, id, &parsed, 1, &done, &s->err), 0);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	return done;
}

static bool is_purged(struct scratch *s, const char *id, const char *rev)
{
	struct revision parsed = rev_of(rev);
	bool out;

	assert_rc(s, replica_is_purged(s->replica, id, &parsed, &out, &s->err), 0);
	return out;
}

static bool exists(struct scratch *s, const char *id)
{
	struct replica_record record = {0};
	int rc = replica_read_head(s->replica, id, &record, &s->err);

	replica_record_free(&record);
	assert_true(rc == 0 || rc == QOSID_ERR_NOTFOUND);
	return rc == 0;
}

static void test_whole_document(void **state)
{
	struct scratch *s = *state;
	char a[REVISION_TEXT_SIZE], b[REVISION_TEXT_SIZE];
	int64_t before, purged;

	strcpy(a, edit(s, "x", NULL, "{\"n\":1}"));
	strcpy(b, edit(s, "x", a, "{\"n\":2}"));
	(void)edit(s, "y", NULL, "{}");
	before = info(s).sequence;
	assert_false(purge(s, "x", a)); /* no leaf */
	assert_false(purge(s, "absent", a));
	assert_int_equal(info(s).sequence, before);
	assert_int_equal(info(s).documents, 2);
	assert_true(purge(s, "x", b));
	assert_int_equal(info(s).sequence, before + 1);
	assert_int_equal(info(s).documents, 1);
	assert_int_equal(info(s).pending, 1); /* y; what was not published never will be */
	assert_false(exists(s, "x"));
	assert_true(is_purged(s, "x", a) && is_purged(s, "x", b));
	assert_false(is_purged(s, "y", a));
	assert_rc(s, replica_purge_sequence(s->replica, &purged, &s->err), 0);
	assert_int_equal(purged, before + 1);
	assert_false(purge(s, "x", b));
	/* Written again, it is the same revision, and waits for publication. */
	assert_string_equal(edit(s, "x", NULL, "{\"n\":1}"), a);
	assert_int_equal(info(s).pending, 2);
	expect_winner(s, "x", a, false, "{\"n\":1}");
}

static void test_branches(void **state)
{
	struct scratch *s = *state;

	merge(s, "x", "3-c b a", false, "{\"n\":3}", true);
	merge(s, "x", "3-d b a", false, "{\"n\":4}", true);
	merge(s, "x", "2-z a", true, "{}", false);
	assert_int_equal(info(s).conflicts, 1);
	expect_winner(s, "x", "3-d", false, "{\"n\":4}");
	assert_true(purge(s, "x", "3-d"));
	expect_winner(s, "x", "3-c", false, "{\"n\":3}");
	assert_int_equal(info(s).conflicts, 0);
	assert_int_equal(info(s).documents, 1);
	assert_int_equal(info(s).pending, 1);
	expect_pending(s, "x@3-c");
	assert_false(is_purged(s, "x", "2-b"));
	assert_true(purge(s, "x", "3-c"));
	expect_winner(s, "x", "2-z", true, "{}");
	assert_true(is_purged(s, "x", "2-b"));
	assert_false(is_purged(s, "x", "1-a"));
	assert_int_equal(info(s).documents, 0);
	assert_int_equal(info(s).deleted, 1);
	assert_int_equal(info(s).pending, 0);
	expect_pending(s, "");
}

/* A log that is read again brings nothing back; a descendant, a peer, or an edit may. */
static void test_logs(void **state)
{
	struct scratch *s = *state;

	merge(s, "x", "2-b a", false, "{\"n\":2}", false);
	assert_true(purge(s, "x", "2-b"));
	assert_int_equal(merge(s, "x", "2-b a", false, "{\"n\":2}", false), REVTREE_KNOWN);
	assert_int_equal(merge(s, "x", "1-a", false, "{\"n\":1}", false), REVTREE_KNOWN);
	assert_false(exists(s, "x"));
	scratch_reopen(s);
	assert_int_equal(merge(s, "x", "2-b a", false, "{\"n\":2}", false), REVTREE_KNOWN);
	assert_int_equal(merge(s, "x", "3-c b a", false, "{\"n\":3}", false), REVTREE_BEGINS);
	expect_winner(s, "x", "3-c", false, "{\"n\":3}");
	merge(s, "y", "1-a", false, "{}", false);
	assert_true(purge(s, "y", "1-a"));
	assert_int_equal(merge(s, "y", "1-a", false, "{}", true), REVTREE_BEGINS);
	expect_pending(s, "y@1-a");
}

/* Whatever is purged in whatever order: at the end nothing is left, not even a count. */
static void test_random(void **state)
{
	struct scratch *s = *state;
	uint64_t seed = 7;
	struct replica_record record = {0};
	char path[64], text[REVISION_TEXT_SIZE];

	for (int round = 0; round < 60; round++) {
		for (int i = 0; i < 8; i++) {
			unsigned r = random_next(&seed);

			(void)snprintf(path, sizeof(path), "3-%c%u %c%u a", 'c' + (int)(r % 3), r / 4 % 3,
			    'p' + (int)(r / 16 % 2), r / 64 % 2);
			merge(s, "x", path, r / 256 % 4 == 0, "{}", r / 1024 % 2);
		}
		while (exists(s, "x")) {
			struct revtree_leaf leaf;

			assert_rc(s, replica_read_head(s->replica, "x", &record, &s->err), 0);
			assert_true(
			    revtree_leaf_at(record.tree, random_next(&seed) % revtree_leaf_count(record.tree), &leaf));
			revision_format(text, &leaf.revision);
			replica_record_free(&record);
			assert_true(purge(s, "x", text));
		}
		assert_int_equal(info(s).documents + info(s).deleted + info(s).conflicts + info(s).pending, 0);
		expect_pending(s, "");
		/* Only what peers bring comes back. */
		merge(s, "x", "1-a", false, "{}", true);
		assert_true(purge(s, "x", "1-a"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_whole_document, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_branches, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_logs, scratch_setup, scratch_teardown),
	    cmocka_unit_test_setup_teardown(test_random, scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
