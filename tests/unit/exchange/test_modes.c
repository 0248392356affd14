/* Who may read and write what is made in a repository: those whom its objects folder is for, whatever the umask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "git_fixture.h"
#include "sync/exchange/transfer.h"

#define GROUP 12345 /* the shared repository's, when the tests run as root; otherwise the own one */

struct fixture {
	char *scratch, *path;
	gid_t group;
	struct repo *repo;
	struct qosid_errbuf err;
	mode_t umask;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fixture->scratch = fixture_scratch();
	fixture->path = fixture_path(fixture->scratch, "repo.git");
	fixture->group = geteuid() == 0 ? GROUP : getegid();
	fixture->umask = umask(077);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	(void)umask(fixture->umask);
	repo_free(fixture->repo);
	free(fixture->path);
	fixture_remove(fixture->scratch);
	free(fixture);
	return 0;
}

/* A repository whose folders have this mode and group. */
static void open_with(struct fixture *fixture, const char *mode)
{
	assert_int_equal(fixture_shell("git init -q --bare '%s' && chgrp -R %u '%s' && "
				       "find '%s' -type d -exec chmod %s {} +",
			     fixture->path, fixture->group, fixture->path, fixture->path, mode),
	    0);
	assert_int_equal(repo_open(&fixture->repo, fixture->path, false, &fixture->err), 0);
}

/* That of a file or folder below the repository; the pattern has one match. */
static void check_mode(const struct fixture *fixture, const char *pattern, mode_t mode, gid_t group)
{
	char *path = fixture_output("ls -d '%s'/%s", fixture->path, pattern);
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	if ((status.st_mode & 07777) != mode || status.st_gid != group)
		fail_msg("%s has mode %04o and group %u, not %04o and %u", path, status.st_mode & 07777, status.st_gid,
		    mode, group);
	free(path);
}

static git_oid write_lone(struct fixture *fixture, const char *text)
{
	git_oid id;

	assert_int_equal(repo_write(fixture->repo, GIT_OBJECT_BLOB, text, strlen(text), &id, &fixture->err), 0);
	assert_int_equal(repo_flush(fixture->repo, &fixture->err), 0);
	return id;
}

#define LOOSE "objects/[0-9a-f][0-9a-f]"

/* Make one of everything, and look at it after each step. */
static void check_all(struct fixture *fixture, mode_t read_only, mode_t file, mode_t folder, gid_t group)
{
	static const char name[] = "refs/heads/office/khujand";
	git_oid first = write_lone(fixture, "1"), second, packed;

	check_mode(fixture, LOOSE, folder, group);
	check_mode(fixture, LOOSE "/*", read_only, group);
	assert_int_equal(repo_update_ref(fixture->repo, name, NULL, &first, &fixture->err), 0);
	check_mode(fixture, name, file, group);
	check_mode(fixture, "refs/heads/office", folder, group);
	assert_int_equal(repo_repack_loose(fixture->repo, 0, &fixture->err), 0);
	check_mode(fixture, "objects/pack/*.pack", read_only, group);
	check_mode(fixture, "objects/pack/*.idx", read_only, group);
	assert_int_equal(fixture_shell("rm '%s'/objects/pack/* && rmdir '%s'/" LOOSE, fixture->path, fixture->path), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(repo_write(fixture->repo, GIT_OBJECT_BLOB, &i, sizeof(i), &packed, &fixture->err), 0);
	assert_int_equal(repo_flush(fixture->repo, &fixture->err), 0);
	check_mode(fixture, "objects/pack/*.pack", read_only, group);
	check_mode(fixture, "objects/pack/*.idx", read_only, group);
	assert_int_equal(repo_update_ref(fixture->repo, name, &first, &packed, &fixture->err), 0);
	check_mode(fixture, name, file, group);
	second = write_lone(fixture, "2");
	assert_int_equal(
	    repo_update_ref(fixture->repo, "refs/remotes/stick/roster/a", NULL, &second, &fixture->err), 0);
	check_mode(fixture, "refs/remotes", folder, group);
	check_mode(fixture, "refs/remotes/stick", folder, group);
	check_mode(fixture, "refs/remotes/stick/roster/a", file, group);
	assert_int_equal(fixture_shell("git -C '%s' pack-refs --all", fixture->path), 0);
	assert_int_equal(repo_delete_ref(fixture->repo, name, &packed, &fixture->err), 0);
	check_mode(fixture, "packed-refs", file, group);
	assert_int_equal(umask(077), 077); /* libgit2 has not been at it */
	assert_int_equal(fixture_shell("[ -z \"$(find '%s' -name 'tmp_*' -o -name '*.lock')\" ]", fixture->path), 0);
}

static void test_private(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(repo_open(&fixture->repo, fixture->path, true, &fixture->err), 0);
	check_mode(fixture, "objects", 0700, getegid());
	check_mode(fixture, "HEAD", 0600, getegid());
	check_all(fixture, 0400, 0600, 0700, getegid());
}

static void test_group(void **state)
{
	struct fixture *fixture = *state;

	open_with(fixture, "2770");
	check_all(fixture, 0440, 0660, 02770, fixture->group);
}

static void test_everybody_reads(void **state)
{
	struct fixture *fixture = *state;

	open_with(fixture, "0755");
	check_all(fixture, 0444, 0644, 0755, fixture->group);
}

/* Without the setgid bit new files are given to the folder's group all the same. */
static void test_group_without_setgid(void **state)
{
	struct fixture *fixture = *state;

	open_with(fixture, "0770");
	check_all(fixture, 0440, 0660, 0770, fixture->group);
}

/* What an office brings to a shared remote is the group's; its own repository stays its own. */
static void test_transfer(void **state)
{
	struct fixture *fixture = *state;
	struct identity *identity;
	struct repo *own;
	char *path = fixture_path(fixture->scratch, "own.git");
	int64_t sequence = 0;
	git_oid tip;

	assert_int_equal(identity_create(&identity, &fixture->err), 0);
	assert_int_equal(repo_open(&own, path, true, &fixture->err), 0);
	open_with(fixture, "2770");
	fixture_grow(own, identity, 10, 1000, &tip, &sequence);
	assert_int_equal(
	    transfer_chain(own, fixture->repo, &tip, "refs/heads/office/a", NULL, NULL, NULL, &fixture->err), 0);
	check_mode(fixture, "objects/pack/*.pack", 0440, fixture->group);
	check_mode(fixture, "refs/heads/office", 02770, fixture->group);
	check_mode(fixture, "refs/heads/office/a", 0660, fixture->group);
	assert_int_equal(
	    fixture_shell("[ -z \"$(find '%s' ! -type l -perm /077)\" ] && git -C '%s' fsck --strict", path, path), 0);
	repo_free(own);
	identity_free(identity);
	free(path);
}

/* Removing compares, and takes packed ones too. */
static void test_delete_ref(void **state)
{
	static const char name[] = "refs/remotes/stick/office/a";
	struct fixture *fixture = *state;
	git_oid first, second, got;

	assert_int_equal(repo_open(&fixture->repo, fixture->path, true, &fixture->err), 0);
	first = write_lone(fixture, "1");
	second = write_lone(fixture, "2");
	assert_int_equal(repo_delete_ref(fixture->repo, name, &first, &fixture->err), QOSID_ERR_CONFLICT);
	assert_int_equal(repo_update_ref(fixture->repo, name, NULL, &first, &fixture->err), 0);
	assert_int_equal(repo_update_ref(fixture->repo, name, &first, &first, &fixture->err), 0);
	assert_int_equal(repo_delete_ref(fixture->repo, name, &second, &fixture->err), QOSID_ERR_CONFLICT);
	assert_int_equal(fixture_shell("git -C '%s' pack-refs --all", fixture->path), 0);
	assert_int_equal(
	    repo_update_ref(fixture->repo, name, &first, &second, &fixture->err), 0); /* loose over packed */
	assert_int_equal(repo_delete_ref(fixture->repo, name, &second, &fixture->err), 0);
	assert_int_equal(repo_read_ref(fixture->repo, name, &got, &fixture->err), QOSID_ERR_NOTFOUND);
	assert_int_equal(fixture_shell("[ -z \"$(git -C '%s' for-each-ref)\" ]", fixture->path), 0);
	assert_int_equal(repo_update_ref(fixture->repo, name, NULL, &first, &fixture->err), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_private), TEST(test_group), TEST(test_everybody_reads),
	    TEST(test_group_without_setgid), TEST(test_transfer), TEST(test_delete_ref)};

	(void)git_libgit2_init();
	return cmocka_run_group_tests_name("modes", tests, NULL, NULL);
}
