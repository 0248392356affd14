/* Logs from folder to folder: whole, cut short at any point, again, and from sources that are damaged or hostile. */
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "git_fixture.h"
#include "sync/exchange/transfer.h"
#include "sync/limits.h"

#define HEAD "refs/heads/office/khujand"
#define PROGRESS "refs/qosid/progress/khujand"

struct fixture {
	char *scratch;
	struct repo *source, *target;
	struct identity *identity;
	git_oid tip;
	int64_t sequence;
	struct qosid_errbuf err;
};

static struct repo *open_repo(const struct fixture *fixture, const char *name)
{
	char *path = fixture_path(fixture->scratch, name);
	struct repo *repo;

	assert_int_equal(repo_open(&repo, path, true, NULL), 0);
	free(path);
	return repo;
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fixture->scratch = fixture_scratch();
	fixture->source = open_repo(fixture, "source.git");
	fixture->target = open_repo(fixture, "target.git");
	assert_int_equal(identity_create(&fixture->identity, &fixture->err), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	repo_free(fixture->source);
	repo_free(fixture->target);
	identity_free(fixture->identity);
	fixture_remove(fixture->scratch);
	free(fixture);
	return 0;
}

/* Commits in the source, on disk. */
static void grow(struct fixture *fixture, size_t count, size_t blob_bytes)
{
	fixture_grow(fixture->source, fixture->identity, count, blob_bytes, &fixture->tip, &fixture->sequence);
	assert_int_equal(repo_flush(fixture->source, &fixture->err), 0);
}

static int transfer(struct fixture *fixture, struct transfer_stats *stats)
{
	return transfer_chain(
	    fixture->source, fixture->target, &fixture->tip, PROGRESS, NULL, stats, NULL, &fixture->err);
}

/* The target has the whole log, and git says it is sound. */
static void check_complete(struct fixture *fixture)
{
	char *number;
	git_oid at;

	assert_int_equal(repo_read_ref(fixture->target, PROGRESS, &at, &fixture->err), 0);
	assert_true(git_oid_equal(&at, &fixture->tip));
	assert_int_equal(
	    fixture_shell("git -C '%s' fsck --strict --full --connectivity-only", repo_path(fixture->target)), 0);
	assert_int_equal(fixture_shell("git -C '%s' fsck --strict --full", repo_path(fixture->target)), 0);
	number = fixture_output("git -C '%s' rev-list --count " PROGRESS, repo_path(fixture->target));
	assert_int_equal(atoi(number), fixture->sequence);
	free(number);
}

static void test_whole(void **state)
{
	struct fixture *fixture = *state;
	struct transfer_stats stats;

	grow(fixture, 300, 100);
	assert_int_equal(transfer(fixture, &stats), 0);
	assert_int_equal(stats.commits, 300);
	assert_int_equal(stats.objects, 900);
	assert_true(stats.bytes > 300 * 100);
	check_complete(fixture);
	assert_int_equal(transfer(fixture, &stats), 0);
	assert_int_equal(stats.commits + stats.objects + stats.bytes, 0);
	assert_int_equal(
	    transfer_chain(fixture->source, fixture->target, &fixture->tip, NULL, NULL, NULL, NULL, &fixture->err), 0);
}

static void test_incremental(void **state)
{
	struct fixture *fixture = *state;
	struct transfer_stats stats;

	for (size_t i = 1; i <= 4; i++) {
		grow(fixture, i * i, 50);
		assert_int_equal(transfer(fixture, &stats), 0);
		assert_int_equal(stats.commits, i * i);
		check_complete(fixture);
	}
}

/* Trees with folders, as roster logs have them, and one blob in several commits. */
static void test_folders(void **state)
{
	struct fixture *fixture = *state;
	struct repo_entry inner = {.name = "1.age"}, outer[2] = {{.name = "epochs", .is_tree = true}, {.name = "op"}};
	struct qosid_buf raw = {0};
	struct commit commit;
	struct transfer_stats stats;

	fixture_commit(&commit, 1);
	assert_int_equal(repo_write(fixture->source, GIT_OBJECT_BLOB, "key", 3, &inner.id, NULL), 0);
	git_oid_cpy(&outer[1].id, &inner.id);
	assert_int_equal(repo_format_tree(&raw, &inner, 1, NULL), 0);
	assert_int_equal(repo_write(fixture->source, GIT_OBJECT_TREE, raw.data, raw.len, &outer[0].id, NULL), 0);
	qosid_buf_reset(&raw);
	assert_int_equal(repo_format_tree(&raw, outer, 2, NULL), 0);
	assert_int_equal(repo_write(fixture->source, GIT_OBJECT_TREE, raw.data, raw.len, &commit.tree, NULL), 0);
	qosid_buf_reset(&raw);
	assert_int_equal(commit_format(&raw, &commit, fixture->identity, NULL), 0);
	assert_int_equal(repo_write(fixture->source, GIT_OBJECT_COMMIT, raw.data, raw.len, &fixture->tip, NULL), 0);
	fixture->sequence = 1;
	assert_int_equal(transfer(fixture, &stats), 0);
	assert_int_equal(stats.objects, 4);
	check_complete(fixture);
	commit_free(&commit);
	qosid_buf_free(&raw);
}

/* One blob is missing: everything before its commit arrives, and when it is back, the rest. */
static void check_resume(struct fixture *fixture, int missing)
{
	char *blob = fixture_output("git -C '%s' rev-parse %s~%d:changes.age", repo_path(fixture->source), HEAD,
	    (int)fixture->sequence - missing);
	char *path, *hidden = fixture_path(fixture->scratch, "hidden");
	struct transfer_stats stats;
	git_oid id;

	assert_int_equal(git_oid_fromstr(&id, blob), 0);
	path = fixture_loose(fixture->source, &id);
	assert_int_equal(rename(path, hidden), 0);
	assert_int_equal(transfer(fixture, &stats), QOSID_ERR_CORRUPT);
	assert_non_null(strstr(fixture->err.what, blob));
	assert_int_equal(stats.commits, missing - 1);
	assert_int_equal(
	    fixture_shell("git -C '%s' fsck --strict --full --connectivity-only", repo_path(fixture->target)), 0);
	assert_int_equal(rename(hidden, path), 0);
	assert_int_equal(transfer(fixture, &stats), 0);
	assert_int_equal(stats.commits, fixture->sequence - missing + 1);
	check_complete(fixture);
	free(path);
	free(hidden);
	free(blob);
}

static void test_resume(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 4; i++) { /* one by one: loose */
		fixture_grow(fixture->source, fixture->identity, 1, 50, &fixture->tip, &fixture->sequence);
		assert_int_equal(repo_flush(fixture->source, &fixture->err), 0);
	}
	assert_int_equal(repo_update_ref(fixture->source, HEAD, NULL, &fixture->tip, &fixture->err), 0);
	for (int missing = 1; missing <= 4; missing++) {
		check_resume(fixture, missing);
		assert_int_equal(fixture_shell("rm -rf '%s'", repo_path(fixture->target)), 0);
		repo_free(fixture->target);
		fixture->target = open_repo(fixture, "target.git");
	}
}

/* Copy in a process of its own that is killed as soon as a file grows past limit. */
static void transfer_killed(struct fixture *fixture, rlim_t limit)
{
	struct rlimit most = {.rlim_cur = limit, .rlim_max = limit}, no_core = {0};
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (signal(SIGXFSZ, SIG_DFL) != SIG_ERR && setrlimit(RLIMIT_CORE, &no_core) == 0 &&
		    setrlimit(RLIMIT_FSIZE, &most) == 0)
			(void)transfer(fixture, NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
	repo_free(fixture->target);
	fixture->target = open_repo(fixture, "target.git");
}

/* What a killed process leaves is a prefix, whole in itself, that the next copy builds on. */
static void test_killed(void **state)
{
	struct fixture *fixture = *state;
	struct transfer_stats stats;
	char *number;

	grow(fixture, 21, 200000); /* batches of 4.2 MB, 6 MB and 7.8 MB */
	grow(fixture, 2, 3000000);
	grow(fixture, 2, 3900000);
	transfer_killed(fixture, 1000000);
	assert_int_not_equal(
	    fixture_shell("git -C '%s' rev-parse -q --verify " PROGRESS, repo_path(fixture->target)), 0);
	transfer_killed(fixture, 4500000);
	transfer_killed(fixture, 7000000);
	number = fixture_output("git -C '%s' rev-list --count " PROGRESS, repo_path(fixture->target));
	assert_string_equal(number, "23");
	free(number);
	assert_int_equal(fixture_shell("git -C '%s' fsck --strict --full", repo_path(fixture->target)), 0);
	assert_int_equal(transfer(fixture, &stats), 0);
	assert_int_equal(stats.commits, 2);
	check_complete(fixture);
	assert_int_equal(fixture_shell("[ -z \"$(find '%s' -name 'tmp_*')\" ]", repo_path(fixture->target)), 0);
}

static void test_damaged_pack(void **state)
{
	struct fixture *fixture = *state;
	struct stat status;
	char *path;
	git_oid at;

	grow(fixture, 40, 1000);
	path = fixture_output("echo '%s'/objects/pack/*.pack", repo_path(fixture->source));
	assert_int_equal(stat(path, &status), 0);
	fixture_flip(path, status.st_size / 2);
	repo_free(fixture->source);
	fixture->source = open_repo(fixture, "source.git");
	assert_int_equal(transfer(fixture, NULL), QOSID_ERR_CORRUPT);
	assert_non_null(strstr(fixture->err.what, "object "));
	assert_int_equal(repo_read_ref(fixture->target, PROGRESS, &at, &fixture->err), 0); /* what came before */
	assert_false(git_oid_equal(&at, &fixture->tip));
	assert_int_equal(fixture_shell("git -C '%s' fsck --strict --full", repo_path(fixture->target)), 0);
	assert_int_equal(truncate(path, status.st_size / 2), 0);
	repo_free(fixture->source);
	fixture->source = open_repo(fixture, "source.git");
	assert_int_equal(transfer(fixture, NULL), QOSID_ERR_CORRUPT);
	free(path);
}

/* Make a commit with these bytes as its tree in the source, and try to transfer it. */
static int transfer_tree(struct fixture *fixture, const void *tree, size_t len)
{
	struct qosid_buf raw = {0};
	struct commit commit;

	fixture_commit(&commit, 1);
	assert_int_equal(repo_write(fixture->source, GIT_OBJECT_TREE, tree, len, &commit.tree, NULL), 0);
	assert_int_equal(commit_format(&raw, &commit, fixture->identity, NULL), 0);
	assert_int_equal(repo_write(fixture->source, GIT_OBJECT_COMMIT, raw.data, raw.len, &fixture->tip, NULL), 0);
	commit_free(&commit);
	qosid_buf_free(&raw);
	return transfer(fixture, NULL);
}

static int transfer_raw(struct fixture *fixture, const char *text)
{
	assert_int_equal(
	    repo_write(fixture->source, GIT_OBJECT_COMMIT, text, strlen(text), &fixture->tip, &fixture->err), 0);
	return transfer(fixture, NULL);
}

static void test_hostile(void **state)
{
	struct fixture *fixture = *state;
	struct repo_entry entry = {.name = "d", .is_tree = true};
	struct qosid_buf raw = {0};
	const size_t len = LIMIT_CHANGESET_BYTES + 1;
	uint8_t *large = calloc(1, len);
	git_oid id;

	assert_non_null(large);
	assert_int_equal(transfer_tree(fixture, "100644 a", 8), QOSID_ERR_INVALID);
	assert_int_equal(transfer_tree(fixture, large, 5000), QOSID_ERR_LIMIT);
	assert_int_equal(transfer_tree(fixture, "160000 a\0aaaaaaaaaaaaaaaaaaaa", 29), QOSID_ERR_INVALID);
	assert_int_equal(transfer_tree(fixture, "100644 a\0aaaaaaaaaaaaaaaaaaaa", 29), QOSID_ERR_CORRUPT);
	/* A folder in a folder. */
	assert_int_equal(repo_write(fixture->source, GIT_OBJECT_TREE, "", 0, &entry.id, NULL), 0);
	for (int depth = 0; depth < 2; depth++) {
		qosid_buf_reset(&raw);
		assert_int_equal(repo_format_tree(&raw, &entry, 1, NULL), 0);
		assert_int_equal(repo_write(fixture->source, GIT_OBJECT_TREE, raw.data, raw.len, &entry.id, NULL), 0);
	}
	assert_int_equal(transfer_tree(fixture, raw.data, raw.len), QOSID_ERR_INVALID);
	/* Too large a blob, and too large a commit. */
	assert_int_equal(repo_write(fixture->source, GIT_OBJECT_BLOB, large, len, &entry.id, NULL), 0);
	entry.is_tree = false;
	qosid_buf_reset(&raw);
	assert_int_equal(repo_format_tree(&raw, &entry, 1, NULL), 0);
	assert_int_equal(transfer_tree(fixture, raw.data, raw.len), QOSID_ERR_LIMIT);
	assert_int_equal(
	    repo_write(fixture->source, GIT_OBJECT_COMMIT, large, LIMIT_COMMIT_BYTES + 1, &fixture->tip, NULL), 0);
	assert_int_equal(transfer(fixture, NULL), QOSID_ERR_LIMIT);
	/* Not what a log is made of. */
	assert_int_equal(transfer_raw(fixture, "hello\n"), QOSID_ERR_INVALID);
	assert_int_equal(transfer_raw(fixture, "tree 4b825dc642cb6eb9a060e54bf8d69288fbee490"), QOSID_ERR_INVALID);
	assert_int_equal(transfer_raw(fixture, "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
					       "parent 1111111111111111111111111111111111111111\n"
					       "parent 2222222222222222222222222222222222222222\n"),
	    QOSID_ERR_INVALID);
	assert_int_equal(transfer_raw(fixture, "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
					       "parent 1111111111111111111111111111111111111111\n"),
	    QOSID_ERR_CORRUPT);
	assert_int_equal(repo_write(fixture->source, GIT_OBJECT_BLOB, "x", 1, &fixture->tip, NULL), 0);
	assert_int_equal(transfer(fixture, NULL), QOSID_ERR_INVALID);
	assert_int_equal(repo_read_ref(fixture->target, PROGRESS, &id, &fixture->err), QOSID_ERR_NOTFOUND);
	free(large);
	qosid_buf_free(&raw);
}

/* A commit in the target whose blob is gone does not end the walk: the copy makes it whole. */
static void test_heals(void **state)
{
	struct fixture *fixture = *state;
	struct transfer_stats stats;
	char *blob, *path;
	git_oid id;

	grow(fixture, 2, 50);
	assert_int_equal(transfer(fixture, NULL), 0);
	blob = fixture_output("git -C '%s' rev-parse %s:changes.age", repo_path(fixture->target), PROGRESS);
	assert_int_equal(git_oid_fromstr(&id, blob), 0);
	path = fixture_loose(fixture->target, &id);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(transfer(fixture, &stats), 0);
	assert_int_equal(stats.objects, 1);
	check_complete(fixture);
	free(path);
	free(blob);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_whole), TEST(test_incremental), TEST(test_folders),
	    TEST(test_resume), TEST(test_killed), TEST(test_damaged_pack), TEST(test_hostile), TEST(test_heals)};

	if (sodium_init() < 0)
		return 1;
	(void)git_libgit2_init();
	return cmocka_run_group_tests_name("transfer", tests, NULL, NULL);
}
