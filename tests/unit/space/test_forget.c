/* Forgetting what was found: by name, all that is only a warning, and all that goes with a remote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "offices.h"

static void note(struct space *space, const char *log, const char *cause, bool stops)
{
	struct replica_finding finding = {
	    .log = log, .cause = cause, .detail = "for a test", .evidence = "", .stops = stops};
	struct replica *replica = space_replica(space);
	struct qosid_errbuf err = {0};

	must(replica_begin(replica, &err), &err);
	must(replica_put_finding(replica, &finding, &err), &err);
	must(replica_commit(replica, &err), &err);
}

static int count_ref(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err)
{
	(void)name;
	(void)id;
	(void)err;
	++*(size_t *)context;
	return 0;
}

static size_t count_refs(const struct offices *offices, const char *prefix)
{
	char path[256];
	struct qosid_errbuf err = {0};
	struct repo *repo;
	size_t count = 0;

	(void)snprintf(path, sizeof(path), "%s/log.git", space_dir(offices->steward));
	must(repo_open(&repo, path, false, &err), &err);
	must(repo_visit_refs(repo, prefix, count_ref, &count, &err), &err);
	repo_free(repo);
	return count;
}

static void test_by_name(void **state)
{
	struct offices *offices = *state;
	struct space *space = offices->steward;
	struct qosid_errbuf err = {0};
	char name[4096];

	note(space, "office/khujand", "fork", true);
	note(space, "office/khujand", "rewind", false);
	note(space, "office/khujand@origin", "signature", true);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(space_forget_warnings(space, "office/khujan", &err), QOSID_ERR_NOTFOUND);
	assert_int_equal(space_forget_warnings(space, "", &err), QOSID_ERR_NOTFOUND);
	assert_int_equal(space_forget_warnings(space, name, &err), QOSID_ERR_NOTFOUND);
	assert_int_equal(count_findings(space, NULL), 3);
	must(space_forget_warnings(space, "office/khujand", &err), &err);
	assert_int_equal(count_findings(space, NULL), 1);
	assert_int_equal(count_findings(space, "signature"), 1);
	assert_int_equal(space_forget_warnings(space, "office/khujand", &err), QOSID_ERR_NOTFOUND);
}

static void test_warnings(void **state)
{
	struct offices *offices = *state;
	struct space *space = offices->steward;
	struct qosid_errbuf err = {0};

	note(space, "office/khujand", "fork", true);
	note(space, "office/khujand", "rewind", false);
	note(space, "office/london@origin", "member", false);
	must(space_forget_warnings(space, NULL, &err), &err);
	assert_int_equal(count_findings(space, NULL), 1);
	assert_int_equal(count_findings(space, "fork"), 1);
	must(space_forget_warnings(space, NULL, &err), &err);
}

static void test_with_a_remote(void **state)
{
	struct offices *offices = *state;
	struct space *space = offices->steward;
	struct qosid_errbuf err = {0};

	must(space_add_remote(space, "gin", offices_path(offices, "gin.git"), true, &err), &err);
	put(space, "a", "{}");
	(void)meet(space, "origin");
	(void)meet(space, "gin");
	assert_int_equal(count_refs(offices, "refs/remotes/gin/"), 2); /* roster and own */
	note(space, "office/khujand@gin", "signature", true);
	note(space, "office/london@gin", "member", false);
	note(space, "office/khujand@origin", "damage", true);
	note(space, "office/gin", "fork", true);
	assert_int_equal(space_remove_remote(space, "stick", &err), QOSID_ERR_NOTFOUND);
	must(space_remove_remote(space, "gin", &err), &err);
	assert_int_equal(count_refs(offices, "refs/remotes/gin/"), 0);
	assert_int_equal(count_refs(offices, "refs/remotes/origin/"), 2);
	assert_int_equal(count_findings(space, NULL), 2);
	assert_int_equal(count_findings(space, "damage"), 1);
	assert_int_equal(count_findings(space, "fork"), 1);
	assert_int_equal(space_remove_remote(space, "gin", &err), QOSID_ERR_NOTFOUND);
	must(space_add_remote(space, "gin", offices_path(offices, "gin.git"), false, &err), &err);
	(void)meet(space, "gin"); /* as if for the first time */
	assert_int_equal(count_refs(offices, "refs/remotes/gin/"), 2);
	assert_int_equal(count_findings(space, NULL), 2);
}

int main(void)
{
#define OFFICE_TEST(f) cmocka_unit_test_setup_teardown(f, offices_setup, offices_teardown)
	const struct CMUnitTest tests[] = {
	    OFFICE_TEST(test_by_name),
	    OFFICE_TEST(test_warnings),
	    OFFICE_TEST(test_with_a_remote),
	};

	return cmocka_run_group_tests(tests, offices_group_setup, offices_group_teardown);
}
