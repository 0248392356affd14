/* Packs written directly, judged by stock git. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "git_fixture.h"
#include "sync/exchange/pack.h"

struct fixture {
	char *scratch, *repo, *packs;
};

static const struct sharing sharing = {.mode = 0755};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fixture->scratch = fixture_scratch();
	fixture->repo = fixture_path(fixture->scratch, "repo");
	fixture->packs = fixture_path(fixture->repo, "objects/pack");
	assert_int_equal(fixture_shell("git init -q --bare '%s'", fixture->repo), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	free(fixture->packs);
	free(fixture->repo);
	fixture_remove(fixture->scratch);
	free(fixture);
	return 0;
}

static struct pack_writer *writer_open(const struct fixture *fixture)
{
	struct qosid_errbuf err = {0};
	struct pack_writer *writer;

	assert_int_equal(pack_writer_open(&writer, fixture->packs, &sharing, &err), 0);
	return writer;
}

static void writer_finish(struct pack_writer *writer)
{
	struct qosid_errbuf err = {0};

	assert_int_equal(pack_writer_finish(writer, &err), 0);
	pack_writer_free(writer);
}

static void add_blob(struct pack_writer *writer, const void *data, size_t len)
{
	struct qosid_errbuf err = {0};
	git_oid id, expected;

	assert_int_equal(pack_writer_add(writer, GIT_OBJECT_BLOB, data, len, &id, &err), 0);
	assert_int_equal(git_odb_hash(&expected, data, len, GIT_OBJECT_BLOB), 0);
	assert_true(git_oid_equal(&id, &expected));
}

static int file_count(const struct fixture *fixture, const char *pattern)
{
	char *text = fixture_output("find '%s' -name '%s' | wc -l", fixture->packs, pattern);
	int count = atoi(text);

	free(text);
	return count;
}

/* Git accepts the only pack, and makes of it the very index that we made. */
static void check_by_git(const struct fixture *fixture)
{
	assert_int_equal(file_count(fixture, "*"), 3); /* the folder itself, pack and index */
	assert_int_equal(fixture_shell("git verify-pack '%s'/*.idx", fixture->packs), 0);
	assert_int_equal(fixture_shell("git index-pack --strict -o '%s/again.idx' '%s'/*.pack && "
				       "cmp '%s/again.idx' '%s'/*.idx",
			     fixture->scratch, fixture->packs, fixture->scratch, fixture->packs),
	    0);
	assert_int_equal(fixture_shell("git -C '%s' fsck --strict", fixture->repo), 0);
	assert_int_equal(fixture_shell("[ $(stat -c %%a '%s'/*.pack) = 444 ]", fixture->packs), 0);
}

static void test_empty(void **state)
{
	const struct fixture *fixture = *state;

	writer_finish(writer_open(fixture));
	assert_int_equal(file_count(fixture, "*"), 1);
}

static void test_all_types(void **state)
{
	static const char text[] = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a@b> 1 +0000\n"
				   "committer a <a@b> 1 +0000\n\nfirst\n";
	const struct fixture *fixture = *state;
	struct pack_writer *writer = writer_open(fixture);
	struct qosid_errbuf err = {0};
	char zeros[3000] = {0};

	add_blob(writer, "", 0);
	add_blob(writer, "x", 1);
	for (size_t len = 14; len < 18; len++) /* the size in the object header gets a second byte at 16 */
		add_blob(writer, zeros, len);
	for (size_t len = 2046; len < 2050; len++) /* and a third at 2048 */
		add_blob(writer, zeros, len);
	assert_int_equal(pack_writer_add(writer, GIT_OBJECT_TREE, "", 0, NULL, &err), 0);
	assert_int_equal(pack_writer_add(writer, GIT_OBJECT_COMMIT, text, strlen(text), NULL, &err), 0);
	assert_int_equal(pack_writer_count(writer), 12);
	writer_finish(writer);
	check_by_git(fixture);
}

static void test_duplicates(void **state)
{
	const struct fixture *fixture = *state;
	struct pack_writer *writer = writer_open(fixture);

	for (int i = 0; i < 300; i++)
		add_blob(writer, &(char){(char)('a' + i % 3)}, 1);
	assert_int_equal(pack_writer_count(writer), 3);
	writer_finish(writer);
	check_by_git(fixture);
}

static void test_many(void **state)
{
	const struct fixture *fixture = *state;
	struct pack_writer *writer = writer_open(fixture);
	uint64_t seed = 1;
	uint8_t data[300];

	for (size_t i = 0; i < 10000; i++) {
		fixture_random(&seed, data, sizeof(data));
		add_blob(writer, data, 4 + i % (sizeof(data) - 4));
	}
	assert_int_equal(pack_writer_count(writer), 10000);
	writer_finish(writer);
	check_by_git(fixture);
}

static void test_large(void **state)
{
	const struct fixture *fixture = *state;
	struct pack_writer *writer = writer_open(fixture);
	const size_t len = 20u << 20;
	char *data = malloc(len);
	uint64_t seed = 2;

	assert_non_null(data);
	fixture_random(&seed, data, len);
	add_blob(writer, data, len);
	memset(data, 'a', len);
	add_blob(writer, data, len);
	writer_finish(writer);
	free(data);
	check_by_git(fixture);
	/* Random bytes are stored, with less than a thousandth around them, the other blob shrank to nothing. */
	assert_int_equal(
	    fixture_shell("s=$(stat -c %%s '%s'/*.pack); [ $s -gt 20971520 ] && [ $s -lt 21020000 ]", fixture->packs),
	    0);
}

static void test_abandoned(void **state)
{
	const struct fixture *fixture = *state;
	struct pack_writer *living = writer_open(fixture), *next;
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) { /* is killed between adding and finishing */
		struct pack_writer *writer = NULL;

		if (pack_writer_open(&writer, fixture->packs, &sharing, NULL) == 0 &&
		    pack_writer_add(writer, GIT_OBJECT_BLOB, "lost", 4, NULL, NULL) == 0)
			(void)raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(file_count(fixture, "pack-*"), 0);
	assert_int_equal(file_count(fixture, "tmp_*"), 2);
	next = writer_open(fixture); /* removes the killed writer's file, not the living one's */
	assert_int_equal(file_count(fixture, "tmp_*"), 2);
	pack_writer_free(next);
	add_blob(living, "kept", 4);
	writer_finish(living);
	check_by_git(fixture);
}

/* A file may not grow past 64 KiB: as on a full disk, the writer says so, and nothing is left. */
static void test_full_disk(void **state)
{
	const struct fixture *fixture = *state;
	static uint8_t data[1u << 20];
	struct rlimit limit, old;
	struct qosid_errbuf err = {0};
	struct pack_writer *writer = writer_open(fixture);
	uint64_t seed = 3;

	fixture_random(&seed, data, sizeof(data));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){.rlim_cur = 65536, .rlim_max = old.rlim_max};
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(pack_writer_add(writer, GIT_OBJECT_BLOB, data, sizeof(data), NULL, &err), QOSID_ERR_FULL);
	assert_int_equal(pack_writer_finish(writer, &err), QOSID_ERR_FAILED);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	pack_writer_free(writer);
	assert_int_equal(file_count(fixture, "*"), 1);
}

static void test_no_folder(void **state)
{
	const struct fixture *fixture = *state;
	struct qosid_errbuf err = {0};
	struct pack_writer *writer;

	assert_int_equal(pack_writer_open(&writer, fixture->packs, &sharing, &err), 0);
	pack_writer_free(writer);
	assert_int_equal(fixture_shell("rm -r '%s'", fixture->packs), 0);
	assert_int_equal(pack_writer_open(&writer, fixture->packs, &sharing, &err), QOSID_ERR_NOTFOUND);
	assert_null(writer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_empty), TEST(test_all_types), TEST(test_duplicates),
	    TEST(test_many), TEST(test_large), TEST(test_abandoned), TEST(test_full_disk), TEST(test_no_folder)};

	(void)git_libgit2_init();
	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
