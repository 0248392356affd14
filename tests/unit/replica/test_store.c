/*
 * Documents in a replica: edits, conflicts, tombstones, winners, reading, rendering, visits, the changes feed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store_support.h"

static void test_empty(void **state)
{
	struct scratch *s = *state;
	struct replica_info i = info(s);

	assert_int_equal(i.sequence, 0);
	assert_int_equal(i.documents + i.deleted + i.pending + i.conflicts + i.attachments, 0);
	assert_true(i.bytes > 0);
	expect_missing(s, "nobody", NULL, "missing");
	expect_pending(s, "");
}

static void test_new_and_update(void **state)
{
	struct scratch *s = *state;
	char first[REVISION_TEXT_SIZE], second[REVISION_TEXT_SIZE];

	strcpy(first, edit(s, "a", NULL, "{\"n\":123456789012345678901234567890,\"f\":1.0,\"z\":-0.0}"));
	assert_int_equal(strlen(first), 2 + REVISION_HASH_HEX);
	expect_winner(s, "a", first, false, "{\"n\":123456789012345678901234567890,\"f\":1.0,\"z\":-0.0}");
	strcpy(second, edit(s, "a", first, "{\"n\":2}"));
	assert_memory_equal(second, "2-", 2);
	expect_winner(s, "a", second, false, "{\"n\":2}");
	scratch_reopen(s);
	expect_winner(s, "a", second, false, "{\"n\":2}");
	assert_int_equal(info(s).documents, 1);
	assert_int_equal(info(s).sequence, 2);
}

static void test_record_fields(void **state)
{
	struct scratch *s = *state;
	struct replica_record record = {0};

	edit(s, "a", NULL, "{}");
	assert_rc(s, replica_read_document(s->replica, "a", NULL, &record, &s->err), 0);
	assert_string_equal((const char *)record.id.data, "a");
	assert_string_equal((const char *)record.user.data, "tester");
	assert_int_equal(record.time, 1764000000123);
	assert_int_equal(record.sequence, 1);
	assert_int_equal(record.attachments.len, 0);
	assert_int_equal(revtree_leaf_count(record.tree), 1);
	replica_record_free(&record);
}

static void test_conflicts_refused(void **state)
{
	struct scratch *s = *state;
	char first[REVISION_TEXT_SIZE];

	strcpy(first, edit(s, "a", NULL, "{\"n\":1}"));
	edit(s, "a", first, "{\"n\":2}");
	assert_rc(s, try_edit(s, "a", NULL, false, "{\"n\":3}", NULL), QOSID_ERR_CONFLICT);
	assert_rc(s, try_edit(s, "a", first, false, "{\"n\":3}", NULL), QOSID_ERR_CONFLICT);
	assert_rc(s, try_edit(s, "a", "7-unknown", false, "{\"n\":3}", NULL), QOSID_ERR_CONFLICT);
	assert_rc(s, try_edit(s, "b", first, false, "{\"n\":3}", NULL), QOSID_ERR_CONFLICT);
	assert_int_equal(info(s).sequence, 2);
	expect_missing(s, "b", NULL, "missing");
}

static void test_equal_edit_is_no_op(void **state)
{
	struct scratch *s = *state;
	char first[REVISION_TEXT_SIZE], second[REVISION_TEXT_SIZE];

	strcpy(first, edit(s, "a", NULL, "{\"n\":1}"));
	assert_string_equal(edit(s, "a", NULL, "{\"n\":1}"), first);
	strcpy(second, edit(s, "a", first, "{\"n\":2}"));
	assert_string_equal(edit(s, "a", first, "{\"n\":2}"), second);
	assert_int_equal(info(s).sequence, 2);
	assert_int_equal(info(s).pending, 2);
	/* Once it has been superseded, repeating it is a conflict. */
	assert_rc(s, try_edit(s, "a", NULL, false, "{\"n\":1}", NULL), QOSID_ERR_CONFLICT);
}

static void test_bad_ids_and_calls(void **state)
{
	struct scratch *s = *state;
	struct replica_edit put = {.id = "a", .body = slice("{}"), .user = ""};
	struct revision written;

	assert_rc(s, replica_put_edit(s->replica, &put, &written, &s->err), QOSID_ERR_USAGE);
	assert_rc(s, try_edit(s, "_x", NULL, false, "{}", NULL), QOSID_ERR_INVALID);
	assert_rc(s, try_edit(s, "", NULL, false, "{}", NULL), QOSID_ERR_INVALID);
	assert_rc(s, try_edit(s, "_local/x", NULL, false, "{}", NULL), QOSID_ERR_USAGE);
	edit(s, "_design/x", NULL, "{}");
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, replica_begin(s->replica, &s->err), QOSID_ERR_USAGE);
	replica_rollback(s->replica);
	assert_rc(s, replica_commit(s->replica, &s->err), QOSID_ERR_USAGE);
}

static void test_tombstone_and_recreation(void **state)
{
	struct scratch *s = *state;
	char first[REVISION_TEXT_SIZE], gone[REVISION_TEXT_SIZE], again[REVISION_TEXT_SIZE];

	strcpy(first, edit(s, "a", NULL, "{\"n\":1}"));
	strcpy(gone, edit_delete(s, "a", first));
	expect_winner(s, "a", gone, true, "{}");
	expect_missing(s, "a", NULL, "deleted");
	expect_revision(s, "a", gone, "{}");
	assert_int_equal(info(s).documents, 0);
	assert_int_equal(info(s).deleted, 1);
	/* Without a parent the edit extends the tombstone, as does naming it. */
	strcpy(again, edit(s, "a", NULL, "{\"n\":2}"));
	assert_memory_equal(again, "3-", 2);
	expect_winner(s, "a", again, false, "{\"n\":2}");
	assert_int_equal(info(s).documents, 1);
	assert_int_equal(info(s).deleted, 0);
	strcpy(gone, edit_delete(s, "a", again));
	assert_memory_equal(edit(s, "a", gone, "{\"n\":3}"), "5-", 2);
	assert_int_equal(info(s).conflicts, 0);
}

static void test_winner_changes(void **state)
{
	struct scratch *s = *state;
	char mine[REVISION_TEXT_SIZE], gone[REVISION_TEXT_SIZE];

	merge(s, "a", "1-a", false, "{\"at\":\"1-a\"}", false);
	assert_int_equal(merge(s, "a", "2-b a", false, "{\"at\":\"2-b\"}", false), REVTREE_EXTENDS);
	expect_missing(s, "a", "1-a", "body not kept");
	expect_missing(s, "a", "1-zzz", "missing");
	/* A losing branch, then a winning one. */
	assert_int_equal(merge(s, "a", "2-a a", false, "{\"at\":\"2-a\"}", false), REVTREE_BRANCHES);
	expect_winner(s, "a", "2-b", false, "{\"at\":\"2-b\"}");
	assert_int_equal(merge(s, "a", "2-c a", false, "{\"at\":\"2-c\"}", false), REVTREE_BRANCHES);
	expect_winner(s, "a", "2-c", false, "{\"at\":\"2-c\"}");
	expect_revision(s, "a", "2-a", "{\"at\":\"2-a\"}");
	expect_revision(s, "a", "2-b", "{\"at\":\"2-b\"}");
	assert_int_equal(info(s).conflicts, 1);
	/* The losing branch grows past the winner. */
	merge(s, "a", "3-x a a", false, "{\"at\":\"3-x\"}", false);
	expect_winner(s, "a", "3-x", false, "{\"at\":\"3-x\"}");
	expect_missing(s, "a", "2-a", "body not kept");
	/* Deleting the winner brings the best of the others forward, its body with it. */
	strcpy(gone, edit_delete(s, "a", "3-x"));
	expect_winner(s, "a", "2-c", false, "{\"at\":\"2-c\"}");
	expect_revision(s, "a", gone, "{}");
	/* A local edit of a losing leaf. */
	strcpy(mine, edit(s, "a", "2-b", "{\"mine\":true}"));
	expect_winner(s, "a", mine, false, "{\"mine\":true}");
	edit_delete(s, "a", "2-c");
	assert_int_equal(info(s).conflicts, 0);
	expect_winner(s, "a", mine, false, "{\"mine\":true}");
	edit_delete(s, "a", mine);
	assert_int_equal(info(s).documents, 0);
	assert_int_equal(info(s).deleted, 1);
}

static void test_known_revisions_change_nothing(void **state)
{
	struct scratch *s = *state;

	merge(s, "a", "3-c b a", false, "{\"n\":3}", false);
	assert_int_equal(info(s).sequence, 1);
	assert_int_equal(merge(s, "a", "3-c b a", false, "{\"n\":3}", false), REVTREE_KNOWN);
	merge(s, "a", "2-b a", false, "{\"n\":2}", false);
	assert_int_equal(info(s).sequence, 1);
	expect_winner(s, "a", "3-c", false, "{\"n\":3}");
	expect_missing(s, "a", "2-b", "body not kept");
}

static void test_one_path_covers_two_leaves(void **state)
{
	struct scratch *s = *state;

	merge(s, "a", "3-c", false, "{\"n\":3}", false);
	merge(s, "a", "5-e", false, "{\"n\":5}", false);
	assert_int_equal(info(s).conflicts, 1);
	merge(s, "a", "7-g f e d c b a", false, "{\"n\":7}", false);
	assert_int_equal(info(s).conflicts, 0);
	expect_winner(s, "a", "7-g", false, "{\"n\":7}");
	expect_missing(s, "a", "3-c", "body not kept");
	expect_missing(s, "a", "5-e", "body not kept");
}

static void test_bad_paths(void **state)
{
	struct scratch *s = *state;
	struct replica_revision revision = {.id = "a", .body = slice("{}"), .user = ""};
	const char *hashes[] = {"b", "a"};

	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, replica_put_revision(s->replica, &revision, NULL, &s->err), QOSID_ERR_INVALID);
	revision.path = (struct revtree_path){1, hashes, 2, false};
	assert_rc(s, replica_put_revision(s->replica, &revision, NULL, &s->err), QOSID_ERR_INVALID);
	replica_rollback(s->replica);
}

/* What no change set could carry is refused before it is written. */
static void test_bad_origins(void **state)
{
	struct scratch *s = *state;
	const char *hashes[] = {"a"};
	struct replica_edit edit = {.id = "a", .body = slice("{}"), .user = "caf\xe9"};
	struct replica_revision revision = {
	    .id = "a", .path = {1, hashes, 1, false}, .body = slice("{}"), .user = "caf\xe9"};
	struct revision written;

	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, replica_put_edit(s->replica, &edit, &written, &s->err), QOSID_ERR_INVALID);
	assert_rc(s, replica_put_revision(s->replica, &revision, NULL, &s->err), QOSID_ERR_INVALID);
	edit.user = revision.user = "caf\xc3\xa9";
	edit.time = revision.time = INT64_MAX;
	assert_rc(s, replica_put_edit(s->replica, &edit, &written, &s->err), QOSID_ERR_INVALID);
	assert_rc(s, replica_put_revision(s->replica, &revision, NULL, &s->err), QOSID_ERR_INVALID);
	edit.time = 0;
	assert_rc(s, replica_put_edit(s->replica, &edit, &written, &s->err), 0);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	assert_int_equal(info(s).pending, 1);
}

/* A path that says "tombstone" of a revision stored as live: whatever place its body has, it reads as deleted. */
static void test_late_tombstone_flags(void **state)
{
	struct scratch *s = *state;
	struct replica_record record = {0};
	struct revision rev;

	merge(s, "a", "1-x", false, "{\"at\":\"x\"}", false);
	merge(s, "a", "1-y", false, "{\"at\":\"y\"}", false);
	merge(s, "a", "1-z", false, "{\"at\":\"z\"}", false);
	assert_int_equal(merge(s, "a", "1-x", true, "{}", false), REVTREE_INNER);
	assert_int_equal(merge(s, "a", "1-z", true, "{}", false), REVTREE_INNER);
	expect_winner(s, "a", "1-y", false, "{\"at\":\"y\"}");
	for (const char *const *text = (const char *const[]){"1-x", "1-z", NULL}; *text; text++) {
		rev = rev_of(*text);
		assert_rc(s, replica_read_document(s->replica, "a", &rev, &record, &s->err), 0);
		assert_true(record.deleted);
	}
	replica_record_free(&record);
	assert_int_equal(info(s).conflicts, 0);
}

static void test_rollback(void **state)
{
	struct scratch *s = *state;

	edit(s, "a", NULL, "{\"n\":1}");
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	edit(s, "b", NULL, "{\"n\":1}");
	assert_int_equal(info(s).documents, 2);
	replica_rollback(s->replica);
	assert_int_equal(info(s).documents, 1);
	assert_int_equal(info(s).sequence, 1);
	expect_missing(s, "b", NULL, "missing");
	edit(s, "c", NULL, "{}");
	assert_int_equal(info(s).sequence, 2);
}

static void test_render(void **state)
{
	struct scratch *s = *state;

	merge(s, "a", "2-b a", false, "{\"x\": 1.0}", false);
	expect_render(s, "a", NULL, 0, "{\"_id\":\"a\",\"_rev\":\"2-b\",\"x\": 1.0}");
	expect_render(s, "a", NULL, RENDER_REVISIONS | RENDER_CONFLICTS,
	    "{\"_id\":\"a\",\"_rev\":\"2-b\",\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]},\"x\": 1.0}");
	merge(s, "a", "2-a a", false, "{\"y\":2}", false);
	merge(s, "a", "2-0 a", false, "{\"y\":0}", false);
	merge(s, "a", "3-d 9 a", true, "{}", false);
	expect_render(s, "a", NULL, RENDER_CONFLICTS,
	    "{\"_id\":\"a\",\"_rev\":\"2-b\",\"_conflicts\":[\"2-a\",\"2-0\"],\"x\": 1.0}");
	expect_render(s, "a", "2-a", RENDER_REVISIONS,
	    "{\"_id\":\"a\",\"_rev\":\"2-a\",\"_revisions\":{\"start\":2,\"ids\":[\"a\",\"a\"]},\"y\":2}");
	expect_render(s, "a", "3-d", RENDER_REVISIONS,
	    "{\"_id\":\"a\",\"_rev\":\"3-d\",\"_deleted\":true,"
	    "\"_revisions\":{\"start\":3,\"ids\":[\"d\",\"9\",\"a\"]}}");
}

static void expect_range(
    struct scratch *s, const char *from, const char *to, int64_t limit, bool with_deleted, const char *expected)
{
	struct replica_range range = {from, to, limit, with_deleted};
	struct qosid_buf list = {0};

	assert_rc(s, qosid_buf_append_text(&list, "", &s->err), 0);
	assert_rc(s, replica_visit_documents(s->replica, &range, list_record, &list, &s->err), 0);
	assert_string_equal((const char *)list.data, expected);
	qosid_buf_free(&list);
}

static void test_ranges(void **state)
{
	struct scratch *s = *state;

	merge(s, "d", "1-x", false, "{}", false);
	merge(s, "B", "1-x", false, "{}", false);
	merge(s, "\xd0\xb6", "1-x", false, "{}", false);
	merge(s, "a", "1-x", false, "{}", false);
	merge(s, "c", "1-x", true, "{}", false);
	expect_range(s, NULL, NULL, 0, false, "B@1-x a@1-x d@1-x \xd0\xb6@1-x");
	expect_range(s, NULL, NULL, 0, true, "B@1-x a@1-x c@1-x d@1-x \xd0\xb6@1-x");
	expect_range(s, "a", "d", 0, false, "a@1-x d@1-x");
	expect_range(s, "b", NULL, 1, false, "d@1-x");
	expect_range(s, NULL, "a", 0, true, "B@1-x a@1-x");
	expect_range(s, "e", "f", 0, true, "");
}

static void expect_changes(struct scratch *s, int64_t since, int64_t limit, const char *expected)
{
	struct qosid_buf list = {0};

	assert_rc(s, qosid_buf_append_text(&list, "", &s->err), 0);
	assert_rc(s, replica_visit_changes(s->replica, since, limit, list_record, &list, &s->err), 0);
	assert_string_equal((const char *)list.data, expected);
	qosid_buf_free(&list);
}

static void test_changes(void **state)
{
	struct scratch *s = *state;

	merge(s, "a", "1-x", false, "{}", false);
	merge(s, "b", "1-x", false, "{}", false);
	merge(s, "c", "1-x", true, "{}", false);
	expect_changes(s, 0, 0, "a@1-x b@1-x c@1-x");
	merge(s, "a", "2-y x", false, "{}", false);
	expect_changes(s, 0, 0, "b@1-x c@1-x a@2-y");
	expect_changes(s, 2, 0, "c@1-x a@2-y");
	expect_changes(s, 2, 1, "c@1-x");
	/* A losing branch moves the document too; a known revision does not. */
	merge(s, "b", "1-a", false, "{}", false);
	merge(s, "c", "1-x", true, "{}", false);
	expect_changes(s, 3, 0, "a@2-y b@1-x");
	assert_int_equal(info(s).sequence, 5);
	/* The number of a row that moved away from the end is not given out again. */
	merge(s, "b", "2-z x", false, "{}", false);
	scratch_reopen(s);
	merge(s, "d", "1-x", false, "{}", false);
	assert_int_equal(info(s).sequence, 7);
	expect_changes(s, 5, 0, "b@2-z d@1-x");
}

static int remember_sequence(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	int64_t *last = context;

	(void)err;
	assert_true(record->sequence > *last);
	*last = record->sequence;
	return 0;
}

static void test_sequences_grow(void **state)
{
	struct scratch *s = *state;
	uint64_t seed = 4711;
	int64_t last = 0, before = 0;
	char id[8], revs[20][REVISION_TEXT_SIZE] = {{0}}, body[40];

	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	for (int i = 0; i < 400; i++) {
		unsigned n = random_next(&seed) % 20;

		(void)snprintf(id, sizeof(id), "d%u", n);
		(void)snprintf(body, sizeof(body), "{\"i\":%d}", i);
		strcpy(revs[n], edit(s, id, revs[n][0] ? revs[n] : NULL, body));
		assert_int_equal(info(s).sequence, before + 1);
		before = info(s).sequence;
	}
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	assert_rc(s, replica_visit_changes(s->replica, 0, 0, remember_sequence, &last, &s->err), 0);
	assert_int_equal(last, 400);
	assert_int_equal(info(s).documents, 20);
}

static void test_visit_conflicts(void **state)
{
	struct scratch *s = *state;
	struct qosid_buf list = {0};

	merge(s, "b", "1-x", false, "{}", false);
	merge(s, "b", "1-y", false, "{}", false);
	merge(s, "a", "1-x", false, "{}", false);
	merge(s, "a", "1-y", false, "{}", false);
	merge(s, "c", "1-x", false, "{}", false);
	merge(s, "c", "1-y", true, "{}", false);
	assert_rc(s, replica_visit_conflicts(s->replica, list_record, &list, &s->err), 0);
	assert_string_equal((const char *)list.data, "a@1-y b@1-y");
	qosid_buf_free(&list);
	assert_int_equal(info(s).conflicts, 2);
}

static int stop_at_once(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	(void)record;
	(void)err;
	return ++*(int *)context == 2 ? 42 : 0;
}

/* A visitor that reads through the same replica, and visits inside the visit. */
static int read_inside(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct scratch *s = context;
	struct replica_record other = {0};
	struct qosid_buf list = {0};
	struct replica_range all = {0};

	(void)record;
	assert_int_equal(replica_read_document(s->replica, "a", NULL, &other, err), 0);
	assert_int_equal(replica_visit_documents(s->replica, &all, list_record, &list, err), 0);
	assert_string_equal((const char *)list.data, "a@1-x b@1-x c@1-x");
	qosid_buf_free(&list);
	replica_record_free(&other);
	return 0;
}

static void test_visitors(void **state)
{
	struct scratch *s = *state;
	int seen = 0;

	merge(s, "a", "1-x", false, "{}", true);
	merge(s, "b", "1-x", false, "{}", true);
	merge(s, "c", "1-x", false, "{}", true);
	assert_int_equal(replica_visit_changes(s->replica, 0, 0, stop_at_once, &seen, &s->err), 42);
	assert_int_equal(seen, 2);
	seen = 0;
	assert_int_equal(replica_visit_pending(s->replica, stop_at_once, &seen, &s->err), 42);
	assert_int_equal(seen, 2);
	assert_rc(s, replica_visit_changes(s->replica, 0, 0, read_inside, s, &s->err), 0);
	assert_rc(s, replica_visit_pending(s->replica, read_inside, s, &s->err), 0);
}

static void test_data_version(void **state)
{
	struct scratch *s = *state;
	struct replica *other;
	int64_t before, after;

	assert_rc(s, replica_data_version(s->replica, &before, &s->err), 0);
	edit(s, "a", NULL, "{}");
	assert_rc(s, replica_data_version(s->replica, &after, &s->err), 0);
	assert_int_equal(before, after);
	assert_rc(s, replica_open(&other, s->path, 0, &s->err), 0);
	assert_rc(s, replica_begin(other, &s->err), 0);
	assert_rc(s, replica_put_local(other, "x", slice("{}"), &s->err), 0);
	assert_rc(s, replica_commit(other, &s->err), 0);
	replica_close(other);
	assert_rc(s, replica_data_version(s->replica, &after, &s->err), 0);
	assert_int_not_equal(before, after);
}

static void test_long_history_is_stemmed(void **state)
{
	struct scratch *s = *state;
	struct replica_record record = {0};
	char rev[REVISION_TEXT_SIZE] = "", body[40];
	struct revision written;

	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	for (int i = 0; i < 1200; i++) {
		(void)snprintf(body, sizeof(body), "{\"i\":%d}", i);
		strcpy(rev, edit(s, "a", rev[0] ? rev : NULL, body));
		written = rev_of(rev);
		assert_rc(s, replica_clear_pending(s->replica, "a", &written, &s->err), 0);
	}
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	assert_rc(s, replica_read_document(s->replica, "a", NULL, &record, &s->err), 0);
	assert_int_equal(revtree_node_count(record.tree), LIMIT_REVISIONS);
	assert_int_equal(record.rev.generation, 1200);
	replica_record_free(&record);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_empty),
	    TEST(test_new_and_update),
	    TEST(test_record_fields),
	    TEST(test_conflicts_refused),
	    TEST(test_equal_edit_is_no_op),
	    TEST(test_bad_ids_and_calls),
	    TEST(test_tombstone_and_recreation),
	    TEST(test_winner_changes),
	    TEST(test_known_revisions_change_nothing),
	    TEST(test_one_path_covers_two_leaves),
	    TEST(test_bad_paths),
	    TEST(test_bad_origins),
	    TEST(test_late_tombstone_flags),
	    TEST(test_rollback),
	    TEST(test_render),
	    TEST(test_ranges),
	    TEST(test_changes),
	    TEST(test_sequences_grow),
	    TEST(test_visit_conflicts),
	    TEST(test_visitors),
	    TEST(test_data_version),
	    TEST(test_long_history_is_stemmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
