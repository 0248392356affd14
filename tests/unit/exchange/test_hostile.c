/* A repository that a stranger prepared: links, pipes, bombs and locks do no harm to what others own, or to this
 * process.
 */
#define ZLIB_CONST
#include <fcntl.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "crypto/buf.h"
#include "git_fixture.h"
#include "sync/exchange/pack.h"
#include "sync/exchange/repo_internal.h"

#define XX "[0-9a-f][0-9a-f]"
#define REF "refs/heads/office/khujand"
#define PATIENCE_SECONDS 60 /* what hangs is ended */

struct fixture {
	char *scratch, *path, *victim;
	struct repo *repo;
	git_oid id;
	struct qosid_errbuf err;
};

static git_oid write_lone(struct repo *repo, const char *text)
{
	git_oid id;

	assert_int_equal(repo_write(repo, GIT_OBJECT_BLOB, text, strlen(text), &id, NULL), 0);
	assert_int_equal(repo_flush(repo, NULL), 0);
	return id;
}

/* The stranger's repository, with an object and a ref, and a victim's of the same kind. */
static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	(void)alarm(PATIENCE_SECONDS);
	fixture->scratch = fixture_scratch();
	fixture->path = fixture_path(fixture->scratch, "repo.git");
	fixture->victim = fixture_path(fixture->scratch, "victim.git");
	assert_int_equal(repo_open(&fixture->repo, fixture->victim, true, &fixture->err), 0);
	for (int i = 0; i < 10; i++) {
		char text[] = {(char)('a' + i), '\0'};

		fixture->id = write_lone(fixture->repo, text);
	}
	assert_int_equal(repo_update_ref(fixture->repo, REF, NULL, &fixture->id, &fixture->err), 0);
	repo_free(fixture->repo);
	assert_int_equal(fixture_shell("cp -a '%s' '%s'", fixture->victim, fixture->path), 0);
	assert_int_equal(repo_open(&fixture->repo, fixture->path, false, &fixture->err), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	(void)alarm(0);
	repo_free(fixture->repo);
	free(fixture->path);
	free(fixture->victim);
	fixture_remove(fixture->scratch);
	free(fixture);
	return 0;
}

/* Put something else in the place of a part, by a shell command that finds it in $part; the repository is refused. */
static void check_part_refused(struct fixture *fixture, const char *part, const char *command)
{
	char *path = fixture_path(fixture->path, part);
	struct repo *repo;

	assert_int_equal(
	    fixture_shell("cp -a '%s' '%s.kept'; part='%s'; %s", fixture->path, fixture->path, path, command), 0);
	for (int create = 0; create < 2; create++) {
		int rc = repo_open(&repo, fixture->path, create, &fixture->err);

		if (rc != QOSID_ERR_INVALID && rc != QOSID_ERR_LIMIT)
			fail_msg("%s after %s: %d", part, command, rc);
		assert_null(repo);
		assert_non_null(strstr(fixture->err.what, part));
	}
	assert_int_equal(
	    fixture_shell("rm -rf '%s' && mv '%s.kept' '%s'", fixture->path, fixture->path, fixture->path), 0);
	free(path);
}

static void test_parts(void **state)
{
	static const char *const files[] = {"HEAD", "config", "packed-refs", "objects/pack/multi-pack-index",
	    "objects/pack/pack-0000000000000000000000000000000000000000.idx"};
	static const char *const folders[] = {"objects", "objects/pack", "refs", "refs/heads"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		check_part_refused(fixture, files[i], "rm -f \"$part\" && mkfifo \"$part\"");
		check_part_refused(fixture, files[i], "rm -f \"$part\" && mkdir \"$part\"");
		check_part_refused(fixture, files[i], "rm -f \"$part\" && ln -s /etc/passwd \"$part\"");
		if (i < 3)
			check_part_refused(fixture, files[i], "truncate -s 100M \"$part\"");
	}
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		check_part_refused(
		    fixture, folders[i], "mv \"$part\" \"$part.real\" && ln -s \"$part.real\" \"$part\"");
		check_part_refused(fixture, folders[i], "rm -rf \"$part\" && touch \"$part\"");
	}
	check_part_refused(fixture, "", "git config --file \"$part/config\" extensions.objectformat sha256");
}

/* Settings are not followed, even to a pipe; nor is a folder that says it is part of another repository. */
static void test_settings(void **state)
{
	struct fixture *fixture = *state;
	struct repo *repo;
	git_oid id;

	assert_int_equal(
	    fixture_shell("cd '%s' && mkfifo pipe commondir gitdir && printf '[include]\\n path = %s/pipe\\n' "
			  ">>config && printf 'broken [' >>config",
		fixture->path, fixture->path),
	    0);
	assert_int_equal(repo_open(&repo, fixture->path, false, &fixture->err), 0);
	assert_int_equal(repo_read_ref(repo, REF, &id, &fixture->err), 0);
	repo_free(repo);
}

static void victim_is_whole(const struct fixture *fixture)
{
	assert_int_equal(fixture_shell("cd '%s' && [ $(find objects -type f | wc -l) = 10 ] && [ -z \"$(find . -name "
				       "'tmp_*' -o -name '*.lock')\" ] && [ $(find refs -type f) = " REF " ]",
			     fixture->victim),
	    0);
}

/* Folders of loose objects that are links: their objects are not packed away, and nothing is put there. */
static void test_linked_objects(void **state)
{
	struct fixture *fixture = *state;
	struct qosid_buf out = {0};

	assert_int_equal(
	    fixture_shell("cd '%s/objects' && for d in " XX "; do rm -rf $d && ln -s '%s'/objects/$d $d; done",
		fixture->path, fixture->victim),
	    0);
	assert_int_equal(repo_repack_loose(fixture->repo, 0, &fixture->err), 0);
	assert_int_equal(
	    repo_read(fixture->repo, &fixture->id, GIT_OBJECT_BLOB, 10, &out, &fixture->err), QOSID_ERR_CORRUPT);
	for (int i = 0; i < 8; i++)
		assert_int_equal(
		    repo_write_loose(fixture->repo, &fixture->id, GIT_OBJECT_BLOB, "other", 5, &fixture->err) == 0, 0);
	victim_is_whole(fixture);
	/* Single objects that are links, one of them to itself. */
	assert_int_equal(
	    fixture_shell("cd '%s/objects' && rm " XX " && for f in $(cd '%s/objects' && echo " XX "/*); do "
			  "mkdir -p ${f%%%%/*} && ln -s '%s'/objects/$f $f; done && cd %02x && ln -sf loop loop",
		fixture->path, fixture->victim, fixture->victim, fixture->id.id[0]),
	    0);
	assert_int_equal(
	    repo_read(fixture->repo, &fixture->id, GIT_OBJECT_BLOB, 10, &out, &fixture->err), QOSID_ERR_CORRUPT);
	assert_int_equal(repo_repack_loose(fixture->repo, 0, &fixture->err), QOSID_ERR_CORRUPT);
	victim_is_whole(fixture);
	qosid_buf_free(&out);
}

static int count_ref(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err)
{
	(void)name;
	(void)id;
	(void)err;
	++*(int *)context;
	return 0;
}

/* Pipes, folders, links and devices as refs: they are none, and do not hold up those that are. */
static void test_odd_refs(void **state)
{
	static const char *const odd[] = {"mkfifo x", "mkdir x", "ln -s khujand x", "ln -s /dev/zero x",
	    "mkfifo p; ln -s p x", "ln -s x x", "touch x", "head -c 100000 /dev/zero >x"};
	struct fixture *fixture = *state;
	git_oid id;

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		int seen = 0, rc;

		assert_int_equal(
		    fixture_shell("cd '%s/refs/heads/office' && rm -rf x p && { %s; }", fixture->path, odd[i]), 0);
		rc = repo_read_ref(fixture->repo, "refs/heads/office/x", &id, &fixture->err);
		assert_true(rc == QOSID_ERR_CORRUPT || rc == QOSID_ERR_NOTFOUND);
		assert_int_equal(
		    repo_visit_refs(fixture->repo, "refs/heads/office/", count_ref, &seen, &fixture->err), 0);
		assert_int_equal(seen, 1);
		rc = repo_update_ref(fixture->repo, "refs/heads/office/x", NULL, &fixture->id, &fixture->err);
		assert_true(rc == (i == 1 ? 0 : QOSID_ERR_CORRUPT));
	}
	assert_int_equal(
	    repo_read_ref(fixture->repo, "refs/heads/office/../office/khujand", &id, &fixture->err), QOSID_ERR_INVALID);
}

/* A folder of refs that is a link: nothing is read, written or removed behind it. */
static void test_linked_refs(void **state)
{
	struct fixture *fixture = *state;
	int seen = 0;
	git_oid id;

	assert_int_equal(fixture_shell("cd '%s/refs/heads' && rm -r office && ln -s '%s/refs/heads/office' office",
			     fixture->path, fixture->victim),
	    0);
	assert_int_equal(repo_read_ref(fixture->repo, REF, &id, &fixture->err), QOSID_ERR_INVALID);
	assert_non_null(strstr(fixture->err.what, "refs/heads/office is no plain folder"));
	assert_int_equal(
	    repo_visit_refs(fixture->repo, "refs/heads/office/", count_ref, &seen, &fixture->err), QOSID_ERR_INVALID);
	assert_int_equal(repo_visit_refs(fixture->repo, "refs/heads/", count_ref, &seen, &fixture->err), 0);
	assert_int_equal(seen, 0);
	assert_int_equal(repo_update_ref(fixture->repo, "refs/heads/office/new", NULL, &fixture->id, &fixture->err),
	    QOSID_ERR_INVALID);
	assert_int_equal(repo_delete_ref(fixture->repo, REF, &fixture->id, &fixture->err), QOSID_ERR_INVALID);
	victim_is_whole(fixture);
}

/* Lines in packed-refs that make no sense are passed over; a file of its own counts for more than a line. */
static void test_packed_refs(void **state)
{
	struct fixture *fixture = *state;
	char hex[GIT_OID_HEXSZ + 1];
	int seen = 0;
	git_oid id;

	git_oid_tostr(hex, sizeof(hex), &fixture->id);
	assert_int_equal(
	    fixture_shell("cd '%s' && printf '# pack-refs with: peeled\\n\\nx\\n%s\\n%s \\n%s "
			  "refs/heads/office/../x\\n%040d " REF
			  "\\n%s refs/heads/office/a\\n^%s\\n%s refs/heads/office/b\\n%s refs/heads/office/c' "
			  ">packed-refs",
		fixture->path, hex, hex, hex, 1, hex, hex, hex, hex),
	    0);
	assert_int_equal(repo_read_ref(fixture->repo, REF, &id, &fixture->err), 0);
	assert_true(git_oid_equal(&id, &fixture->id));
	assert_int_equal(repo_visit_refs(fixture->repo, "refs/heads/office/", count_ref, &seen, &fixture->err), 0);
	assert_int_equal(seen, 3);
	assert_int_equal(repo_delete_ref(fixture->repo, "refs/heads/office/a", &fixture->id, &fixture->err), 0);
	assert_int_equal(
	    fixture_shell(
		"cd '%s' && ! grep -q 'office/a\\|\\^' packed-refs && grep -q office/b packed-refs", fixture->path),
	    0);
	assert_int_equal(repo_delete_ref(fixture->repo, REF, &fixture->id, &fixture->err), 0);
	assert_int_equal(repo_read_ref(fixture->repo, REF, &id, &fixture->err), QOSID_ERR_NOTFOUND);
}

/* ---- the bomb ---- */

#define BASE_BYTES 200000000u

static void append_number(struct qosid_buf *out, unsigned type, size_t number)
{
	uint8_t byte = type > 0 ? (uint8_t)(type << 4 | (number & 15)) : (uint8_t)(number & 0x7f);

	number >>= type > 0 ? 4 : 7;
	for (; number > 0; number >>= 7) {
		assert_int_equal(qosid_buf_append_byte(out, byte | 0x80, NULL), 0);
		byte = (uint8_t)(number & 0x7f);
	}
	assert_int_equal(qosid_buf_append_byte(out, byte, NULL), 0);
}

/* Zeros, as a zlib stream. */
static void append_zeros(struct qosid_buf *out, size_t len)
{
	static const uint8_t zeros[1u << 16];
	z_stream stream = {0};
	int status;

	assert_int_equal(deflateInit(&stream, 1), Z_OK);
	do {
		stream.next_in = zeros;
		stream.avail_in = (uInt)(len < sizeof(zeros) ? len : sizeof(zeros));
		len -= stream.avail_in;
		assert_int_equal(qosid_buf_reserve(out, 2 * sizeof(zeros), NULL), 0);
		stream.next_out = out->data + out->len;
		stream.avail_out = 2 * sizeof(zeros);
		status = deflate(&stream, len > 0 ? Z_NO_FLUSH : Z_FINISH);
		out->len += 2 * sizeof(zeros) - stream.avail_out;
	} while (status == Z_OK);
	assert_int_equal(status, Z_STREAM_END);
	(void)deflateEnd(&stream);
}

/* A pack with a small blob that is a delta on one of BASE_BYTES zeros; stock git makes the index. */
static git_oid write_bomb(const struct fixture *fixture)
{
	static const char target[] = "small";
	struct qosid_buf pack = {0}, delta = {0};
	uint8_t deflated[256], hash[GIT_OID_RAWSZ];
	uLongf deflated_len = sizeof(deflated);
	char *path = fixture_path(fixture->path, "objects/pack/pack-0123456789012345678901234567890123456789.pack");
	size_t base = 12, distance;
	git_oid id;
	FILE *file;

	assert_int_equal(qosid_buf_append(&pack, "PACK\0\0\0\2\0\0\0\2", 12, NULL), 0);
	append_number(&pack, GIT_OBJECT_BLOB, BASE_BYTES);
	append_zeros(&pack, BASE_BYTES);
	append_number(&delta, 0, BASE_BYTES);
	append_number(&delta, 0, sizeof(target) - 1);
	append_number(&delta, 0, sizeof(target) - 1); /* insert so many bytes */
	assert_int_equal(qosid_buf_append_text(&delta, target, NULL), 0);
	distance = pack.len - base;
	append_number(&pack, GIT_OBJECT_OFS_DELTA, delta.len);
	assert_true(distance < 1u << 21);
	/* Three digits to base 128, of which all but the last are one too small. */
	distance -= 128 + 16384;
	assert_int_equal(qosid_buf_append_byte(&pack, (uint8_t)(0x80 | (distance >> 14)), NULL), 0);
	assert_int_equal(qosid_buf_append_byte(&pack, (uint8_t)(0x80 | (distance >> 7 & 0x7f)), NULL), 0);
	assert_int_equal(qosid_buf_append_byte(&pack, (uint8_t)(distance & 0x7f), NULL), 0);
	assert_int_equal(compress(deflated, &deflated_len, delta.data, delta.len), Z_OK);
	assert_int_equal(qosid_buf_append(&pack, deflated, deflated_len, NULL), 0);
	assert_int_equal(EVP_Digest(pack.data, pack.len, hash, NULL, EVP_sha1(), NULL), 1);
	assert_int_equal(qosid_buf_append(&pack, hash, sizeof(hash), NULL), 0);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(pack.data, 1, pack.len, file), pack.len);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(fixture_shell("git -c core.bigFileThreshold=1 index-pack '%s'", path), 0);
	assert_int_equal(pack_object_id(&id, GIT_OBJECT_BLOB, target, sizeof(target) - 1, NULL), 0);
	qosid_buf_free(&delta);
	qosid_buf_free(&pack);
	free(path);
	return id;
}

static void test_bomb(void **state)
{
	struct fixture *fixture = *state;
	git_oid id = write_bomb(fixture);
	struct rusage before, after;
	struct qosid_buf out = {0};
	struct repo *repo;
	int status;
	pid_t child;

	assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int rc = repo_open(&repo, fixture->path, false, NULL);

		if (rc == 0)
			rc = repo_read(repo, &id, GIT_OBJECT_BLOB, 100, &out, NULL);
		repo_free(repo);
		qosid_buf_free(&out);
		if (rc != QOSID_ERR_CORRUPT || getrusage(RUSAGE_SELF, &after) != 0)
			_exit(-1);
		_exit(after.ru_maxrss - before.ru_maxrss > (long)(BASE_BYTES / 4 / 1024)); /* both in KiB */
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- locks ---- */

/* A lock of a living process stays, however old. */
static void test_held_lock(void **state)
{
	struct fixture *fixture = *state;
	char *path = fixture_path(fixture->path, REF ".lock");
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	struct stat status;

	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(
	    repo_update_ref(fixture->repo, REF, &fixture->id, &fixture->id, &fixture->err), QOSID_ERR_BUSY);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(repo_update_ref(fixture->repo, REF, &fixture->id, &fixture->id, &fixture->err), 0);
	free(path);
}

/* Of two that found the same file abandoned, the second does not remove what the first has made since. */
static void test_break_lock(void **state)
{
	struct fixture *fixture = *state;
	int folder = open(fixture->path, O_RDONLY | O_DIRECTORY);
	int old = openat(folder, "x.lock", O_WRONLY | O_CREAT | O_EXCL, 0600);
	struct stat judged, now;
	int fresh;

	assert_true(folder >= 0 && old >= 0);
	assert_int_equal(fstat(old, &judged), 0);
	assert_int_equal(repo_break_lock(folder, "x.lock", old, &judged, &fixture->err), 0);
	assert_int_not_equal(fstatat(folder, "x.lock", &now, 0), 0);
	fresh = openat(folder, "x.lock", O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fresh >= 0);
	assert_int_equal(repo_break_lock(folder, "x.lock", old, &judged, &fixture->err), 0);
	assert_int_equal(repo_break_lock(folder, "x.lock", -1, &judged, &fixture->err), 0);
	assert_int_equal(fstatat(folder, "x.lock", &now, 0), 0);
	assert_int_equal(close(fresh) | close(old) | close(folder), 0);
}

/* Several find an abandoned lock at once: one moves the ref, the others see that, and no lock is left. */
static void test_many_breakers(void **state)
{
	struct fixture *fixture = *state;
	pid_t children[4];
	int moved = 0;

	assert_int_equal(fixture_shell("touch '%s/refs/heads/office/new.lock'", fixture->path), 0);
	for (int i = 0; i < 4; i++) {
		children[i] = fork();
		assert_true(children[i] >= 0);
		if (children[i] == 0)
			_exit(-repo_update_ref(fixture->repo, "refs/heads/office/new", NULL, &fixture->id, NULL));
	}
	for (int i = 0; i < 4; i++) {
		int status;

		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_true(WIFEXITED(status));
		moved += WEXITSTATUS(status) == 0;
		assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == -QOSID_ERR_CONFLICT);
	}
	assert_int_equal(moved, 1);
	assert_int_equal(fixture_shell("[ ! -e '%s/refs/heads/office/new.lock' ]", fixture->path), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_parts), TEST(test_settings), TEST(test_linked_objects),
	    TEST(test_odd_refs), TEST(test_linked_refs), TEST(test_packed_refs), TEST(test_bomb), TEST(test_held_lock),
	    TEST(test_break_lock), TEST(test_many_breakers)};

	(void)git_libgit2_init();
	return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
