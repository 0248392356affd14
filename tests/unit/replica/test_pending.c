/*
 * Publication: every revision of local origin is visited with its body until it is cleared, ancestors first, whatever
 * is merged in between.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store_support.h"

static void clear(struct scratch *s, const char *id, const char *rev)
{
	struct revision parsed = rev_of(rev);

	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, replica_clear_pending(s->replica, id, &parsed, &s->err), 0);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
}

static void test_inner_revisions(void **state)
{
	struct scratch *s = *state;
	char a[REVISION_TEXT_SIZE], b[REVISION_TEXT_SIZE], c[REVISION_TEXT_SIZE], expected[500];

	strcpy(a, edit(s, "x", NULL, "{\"n\":1}"));
	strcpy(b, edit(s, "x", a, "{\"n\":2}"));
	strcpy(c, edit_delete(s, "x", b));
	(void)snprintf(expected, sizeof(expected), "x@%s x@%s x@%s", a, b, c);
	expect_pending(s, expected);
	assert_int_equal(info(s).pending, 3);
	expect_revision(s, "x", a, "{\"n\":1}");
	expect_revision(s, "x", b, "{\"n\":2}");
	clear(s, "x", b);
	expect_missing(s, "x", b, "body not kept");
	(void)snprintf(expected, sizeof(expected), "x@%s x@%s", a, c);
	expect_pending(s, expected);
	clear(s, "x", b); /* not pending any more: no effect */
	clear(s, "x", c);
	clear(s, "x", a);
	clear(s, "absent", a);
	expect_pending(s, "");
	assert_int_equal(info(s).pending, 0);
	expect_revision(s, "x", c, "{}");
}

static int check_deleted(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	int *seen = context;

	(void)err;
	assert_int_equal(record->deleted, record->rev.generation == 2);
	assert_int_equal(record->sequence, 3);
	assert_string_equal((const char *)record->user.data, "tester");
	++*seen;
	return 0;
}

static void test_inner_tombstone(void **state)
{
	struct scratch *s = *state;
	int seen = 0;

	edit(s, "x", NULL, "{\"n\":1}");
	edit_delete(s, "x", s->text);
	edit(s, "x", s->text, "{\"n\":3}");
	assert_rc(s, replica_visit_pending(s->replica, check_deleted, &seen, &s->err), 0);
	assert_int_equal(seen, 3);
}

static void test_order_of_documents(void **state)
{
	struct scratch *s = *state;
	char x1[REVISION_TEXT_SIZE], x2[REVISION_TEXT_SIZE], y[REVISION_TEXT_SIZE], expected[500];

	strcpy(x1, edit(s, "x", NULL, "{}"));
	strcpy(y, edit(s, "y", NULL, "{\"y\":1}"));
	merge(s, "z", "1-z", false, "{}", false);
	strcpy(x2, edit(s, "x", x1, "{\"x\":2}"));
	(void)snprintf(expected, sizeof(expected), "y@%s x@%s x@%s", y, x1, x2);
	expect_pending(s, expected);
}

static void test_remote_does_not_pend(void **state)
{
	struct scratch *s = *state;

	merge(s, "x", "1-a", false, "{}", false);
	merge(s, "x", "1-b", false, "{}", false);
	expect_pending(s, "");
	assert_int_equal(info(s).pending, 0);
}

static void test_pending_moves_with_remote(void **state)
{
	struct scratch *s = *state;
	char mine[REVISION_TEXT_SIZE], path[REVISION_TEXT_SIZE * 2], expected[500];

	strcpy(mine, edit(s, "x", NULL, "{\"mine\":1}"));
	(void)snprintf(expected, sizeof(expected), "x@%s", mine);
	/* A remote branch wins: my body moves aside, still pending. */
	merge(s, "x", "5-e d c b a", false, "{\"theirs\":5}", false);
	expect_winner(s, "x", "5-e", false, "{\"theirs\":5}");
	expect_pending(s, expected);
	/* A remote child of mine makes it an inner revision. */
	(void)snprintf(path, sizeof(path), "2-z %s", mine + 2);
	merge(s, "x", path, false, "{\"theirs\":2}", false);
	expect_pending(s, expected);
	expect_revision(s, "x", mine, "{\"mine\":1}");
	/* The remote winner goes; the child of mine wins. */
	merge(s, "x", "6-f e d c b a", true, "{}", false);
	expect_winner(s, "x", "2-z", false, "{\"theirs\":2}");
	expect_pending(s, expected);
	clear(s, "x", mine);
	expect_pending(s, "");
	expect_missing(s, "x", mine, "body not kept");
	expect_revision(s, "x", "6-f", "{}");
}

static void test_pending_loser_returns(void **state)
{
	struct scratch *s = *state;
	char mine[REVISION_TEXT_SIZE], expected[500];

	strcpy(mine, edit(s, "x", NULL, "{\"mine\":1}"));
	merge(s, "x", "2-b a", false, "{}", false);
	merge(s, "x", "3-c b a", true, "{}", false);
	expect_winner(s, "x", mine, false, "{\"mine\":1}");
	(void)snprintf(expected, sizeof(expected), "x@%s", mine);
	expect_pending(s, expected);
	clear(s, "x", mine);
	expect_pending(s, "");
	assert_int_equal(info(s).pending, 0);
	expect_winner(s, "x", mine, false, "{\"mine\":1}");
}

static void test_losing_leaf_is_kept_after_clear(void **state)
{
	struct scratch *s = *state;
	char mine[REVISION_TEXT_SIZE];

	strcpy(mine, edit(s, "x", NULL, "{\"mine\":1}"));
	merge(s, "x", "2-b a", false, "{}", false);
	clear(s, "x", mine);
	expect_revision(s, "x", mine, "{\"mine\":1}");
	expect_pending(s, "");
}

static void test_own_log_again(void **state)
{
	struct scratch *s = *state;
	char mine[REVISION_TEXT_SIZE], expected[500];

	/* The same edit comes back from a log: it stays pending until it is cleared. */
	strcpy(mine, edit(s, "x", NULL, "{\"mine\":1}"));
	(void)snprintf(expected, sizeof(expected), "1-%s", mine + 2);
	merge(s, "x", expected, false, "{\"mine\":1}", false);
	(void)snprintf(expected, sizeof(expected), "x@%s", mine);
	expect_pending(s, expected);
	clear(s, "x", mine);
	expect_pending(s, "");
}

static void test_peer_revisions(void **state)
{
	struct scratch *s = *state;

	/* From a CouchDB peer: to be published. One that fills a gap, too; one that is known, not. */
	merge(s, "x", "3-c", false, "{\"n\":3}", true);
	expect_pending(s, "x@3-c");
	merge(s, "x", "3-c b", false, "{\"n\":3}", true);
	expect_pending(s, "x@3-c");
	merge(s, "x", "2-b a", false, "{\"n\":2}", true);
	expect_pending(s, "x@3-c");
	assert_int_equal(info(s).pending, 1);
	merge(s, "y", "2-q p", false, "{\"n\":2}", true);
	merge(s, "y", "3-r", false, "{\"n\":3}", true);
	clear(s, "x", "3-c");
	merge(s, "x", "3-c b a", false, "{\"n\":3}", true);
	expect_pending(s, "y@2-q y@3-r");
}

static int visit_and_check_body(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct qosid_buf *list = context;
	char text[REVISION_TEXT_SIZE];

	revision_format(text, &record->rev);
	assert_int_not_equal(record->body.len, 0);
	return qosid_buf_append_format(
	    list, err, "%s@%s %s\n", (const char *)record->id.data, text, (const char *)record->body.data);
}

/* Whether line occurs exactly once in list. */
static void expect_once(const struct qosid_buf *list, const char *line)
{
	const char *found = strstr((const char *)list->data, line);

	assert_non_null(found);
	assert_null(strstr(found + 1, line));
}

#define EDITS 300

struct made {
	char id[8];
	char rev[REVISION_TEXT_SIZE];
	char body[48];
	bool published;
};

/* The place of "id@rev" in the list of pending revisions. */
static size_t place_of(const struct qosid_buf *list, const struct made *made)
{
	char line[REVISION_TEXT_SIZE + 80];
	const char *found;

	(void)snprintf(line, sizeof(line), "%s@%s %s\n", made->id, made->rev, made->body);
	expect_once(list, line);
	found = strstr((const char *)list->data, line);
	return (size_t)(found - (const char *)list->data);
}

/* Edits, remote merges and publications interleaved at random: what is pending is always exactly what was edited here
 * and has not been cleared. */
static void test_random_interleaving(void **state)
{
	struct scratch *s = *state;
	struct made *made = calloc(EDITS, sizeof(*made));
	char tips[6][REVISION_TEXT_SIZE] = {{0}}, path[64], id[8];
	size_t tip_of[6] = {0}, parent_of[EDITS];
	size_t count = 0, published = 0;
	uint64_t seed = 20260101;

	assert_non_null(made);
	while (count < EDITS) {
		unsigned n = random_next(&seed) % 6, what = random_next(&seed) % 10;
		struct qosid_buf list = {0};

		(void)snprintf(id, sizeof(id), "d%u", n);
		if (what < 5) {
			struct made *m = &made[count];

			strcpy(m->id, id);
			(void)snprintf(m->body, sizeof(m->body), "{\"edit\":%zu}", count);
			if (!tips[n][0]) {
				/* A branch of its own, so that a remote document of that name is no conflict. */
				merge(s, id, "1-root", false, "{}", false);
				strcpy(tips[n], "1-root");
				tip_of[n] = EDITS;
			}
			strcpy(m->rev, edit(s, id, tips[n], m->body));
			parent_of[count] = tip_of[n];
			tip_of[n] = count;
			strcpy(tips[n], m->rev);
			count++;
		} else if (what < 8) {
			unsigned generation = 2 + random_next(&seed) % 40, branch = random_next(&seed) % 3;

			(void)snprintf(path, sizeof(path), "%u-r%u.%u", generation, branch, generation);
			if (generation > 2)
				(void)snprintf(path + strlen(path), sizeof(path) - strlen(path), " r%u.%u", branch,
				    generation - 1);
			merge(s, id, path, random_next(&seed) % 4 == 0, "{\"remote\":true}", false);
		} else if (count > 0) {
			struct made *m = &made[random_next(&seed) % count];

			clear(s, m->id, m->rev);
			published += !m->published;
			m->published = true;
		}
		assert_int_equal(info(s).pending, count - published);
		if (count % 50 != 0)
			continue;
		assert_rc(s, qosid_buf_append_text(&list, "", &s->err), 0);
		assert_rc(s, replica_visit_pending(s->replica, visit_and_check_body, &list, &s->err), 0);
		for (size_t i = 0; i < count; i++) {
			size_t parent = parent_of[i];

			if (!made[i].published && parent < EDITS && !made[parent].published)
				assert_true(place_of(&list, &made[parent]) < place_of(&list, &made[i]));
			else if (!made[i].published)
				(void)place_of(&list, &made[i]);
			else
				assert_null(strstr((const char *)list.data, made[i].rev));
		}
		qosid_buf_free(&list);
	}
	free(made);
}

/* A branch longer than the stemming limit keeps its ancestry until it is published. */
static void test_long_pending_branch(void **state)
{
	struct scratch *s = *state;
	struct replica_record record = {0};
	char rev[REVISION_TEXT_SIZE] = "", first[REVISION_TEXT_SIZE] = "", body[40];
	struct revision first_rev;

	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	for (unsigned i = 0; i < LIMIT_REVISIONS + 20; i++) {
		(void)snprintf(body, sizeof(body), "{\"i\":%u}", i);
		strcpy(rev, edit(s, "a", rev[0] ? rev : NULL, body));
		if (i == 0)
			strcpy(first, rev);
	}
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	assert_int_equal(info(s).pending, LIMIT_REVISIONS + 20);
	expect_revision(s, "a", first, "{\"i\":0}");
	first_rev = rev_of(first);
	assert_rc(s, replica_read_document(s->replica, "a", &first_rev, &record, &s->err), 0);
	assert_int_equal(revtree_find(record.tree, &first_rev, NULL), REVTREE_ANCESTOR);
	replica_record_free(&record);
}

/* Publishing in order leaves the rows alone and moves a mark; what comes later must not take them for pending. */
static void test_published_in_order(void **state)
{
	struct scratch *s = *state;
	char a[REVISION_TEXT_SIZE], b[REVISION_TEXT_SIZE], c[REVISION_TEXT_SIZE], expected[500];

	strcpy(a, edit(s, "a", NULL, "{}"));
	merge(s, "m", "1-m", false, "{}", false);
	strcpy(b, edit(s, "b", NULL, "{}"));
	strcpy(c, edit(s, "c", NULL, "{}"));
	clear(s, "a", a);
	clear(s, "a", a);
	assert_int_equal(info(s).pending, 2);
	clear(s, "c", c);
	(void)snprintf(expected, sizeof(expected), "b@%s", b);
	expect_pending(s, expected);
	/* A published document that moves, and one that another branch wins. */
	merge(s, "a", "1-0", false, "{}", false);
	merge(s, "c", "9-z", false, "{\"z\":9}", false);
	expect_pending(s, expected);
	clear(s, "b", b);
	expect_pending(s, "");
	strcpy(c, edit(s, "b", b, "{\"n\":2}"));
	expect_missing(s, "b", b, "body not kept");
	(void)snprintf(expected, sizeof(expected), "b@%s", c);
	expect_pending(s, expected);
	scratch_reopen(s);
	expect_pending(s, expected);
	assert_int_equal(info(s).pending, 1);
}

static void test_survives_reopen(void **state)
{
	struct scratch *s = *state;
	char a[REVISION_TEXT_SIZE], b[REVISION_TEXT_SIZE], expected[500];

	strcpy(a, edit(s, "x", NULL, "{}"));
	strcpy(b, edit(s, "y", NULL, "{\"y\":1}"));
	clear(s, "x", a);
	scratch_reopen(s);
	(void)snprintf(expected, sizeof(expected), "y@%s", b);
	expect_pending(s, expected);
	assert_int_equal(info(s).pending, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_inner_revisions),
	    TEST(test_inner_tombstone),
	    TEST(test_order_of_documents),
	    TEST(test_remote_does_not_pend),
	    TEST(test_pending_moves_with_remote),
	    TEST(test_pending_loser_returns),
	    TEST(test_losing_leaf_is_kept_after_clear),
	    TEST(test_own_log_again),
	    TEST(test_peer_revisions),
	    TEST(test_random_interleaving),
	    TEST(test_long_pending_branch),
	    TEST(test_published_in_order),
	    TEST(test_survives_reopen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
