/* The repository: limits, damage, the queue, refs, trees, repacking; stock git agrees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "git_fixture.h"
#include "sync/limits.h"

struct fixture {
	char *scratch, *path;
	struct repo *repo;
	struct qosid_errbuf err;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fixture->scratch = fixture_scratch();
	fixture->path = fixture_path(fixture->scratch, "repo.git");
	assert_int_equal(repo_open(&fixture->repo, fixture->path, true, &fixture->err), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	repo_free(fixture->repo);
	free(fixture->path);
	fixture_remove(fixture->scratch);
	free(fixture);
	return 0;
}

static void reopen(struct fixture *fixture)
{
	repo_free(fixture->repo);
	assert_int_equal(repo_open(&fixture->repo, fixture->path, false, &fixture->err), 0);
}

static git_oid write_blob(struct fixture *fixture, const void *data, size_t len)
{
	git_oid id;

	assert_int_equal(repo_write(fixture->repo, GIT_OBJECT_BLOB, data, len, &id, &fixture->err), 0);
	return id;
}

static void flush(struct fixture *fixture)
{
	assert_int_equal(repo_flush(fixture->repo, &fixture->err), 0);
}

static int read_blob(struct fixture *fixture, const git_oid *id, size_t limit)
{
	struct qosid_buf out = {0};
	int rc = repo_read(fixture->repo, id, GIT_OBJECT_BLOB, limit, &out, &fixture->err);

	qosid_buf_free(&out);
	return rc;
}

static int count(const struct fixture *fixture, const char *pattern)
{
	char *text = fixture_output("find '%s/objects' -type f -path '%s' | wc -l", fixture->path, pattern);
	int number = atoi(text);

	free(text);
	return number;
}

#define LOOSE "*/objects/[0-9a-f][0-9a-f]/*"
#define PACKS "*/pack/pack-*.idx"

static void fsck(const struct fixture *fixture)
{
	assert_int_equal(fixture_shell("git -C '%s' fsck --strict --full", fixture->path), 0);
}

static void test_open(void **state)
{
	struct fixture *fixture = *state;
	struct repo *repo;
	char *path = fixture_path(fixture->scratch, "elsewhere");

	fsck(fixture);
	assert_string_equal(repo_path(fixture->repo), fixture->path);
	assert_int_equal(repo_open(&repo, path, false, &fixture->err), QOSID_ERR_OFFLINE);
	assert_null(repo);
	assert_int_equal(fixture_shell("mkdir '%s' && touch '%s/letter'", path, path), 0);
	assert_int_equal(repo_open(&repo, path, false, &fixture->err), QOSID_ERR_INVALID);
	assert_int_equal(repo_open(&repo, path, true, &fixture->err), QOSID_ERR_INVALID);
	assert_int_equal(fixture_shell("rm '%s/letter' && mkdir '%s/objects'", path, path), 0);
	assert_int_equal(repo_open(&repo, path, true, &fixture->err), 0); /* creation that was cut short goes on */
	repo_free(repo);
	assert_int_equal(repo_open(&repo, path, true, &fixture->err), 0); /* and is left alone when it is there */
	repo_free(repo);
	assert_int_equal(fixture_shell("cd '%s' && [ $(git config gc.auto) = 0 ]", path), 0);
	free(path);
}

/* Whatever a killed maker has left, the next one goes on with it; stock git then stores as it always does. */
static void test_create_again(void **state)
{
	static const char *const left[] = {"rm HEAD", "rm HEAD config", "rm HEAD && mv config config.lock",
	    "rm -r HEAD refs", "rm -r HEAD config refs objects/pack", "rm HEAD && touch tmp_qosid_abcdef",
	    "rm -r HEAD config refs objects"};
	struct fixture *fixture = *state;
	struct repo *repo;

	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		char *path = fixture_path(fixture->scratch, "deep/in/folders.git");

		assert_int_equal(repo_open(&repo, path, true, &fixture->err), 0);
		repo_free(repo);
		assert_int_equal(fixture_shell("cd '%s' && %s", path, left[i]), 0);
		assert_int_equal(repo_open(&repo, path, false, &fixture->err), QOSID_ERR_INVALID);
		assert_int_equal(repo_open(&repo, path, true, &fixture->err), 0);
		repo_free(repo);
		assert_int_equal(
		    fixture_shell("cd '%s' && git fsck --strict && [ \"$(ls | tr '\\n' ' ')\" = 'HEAD config "
				  "objects refs ' ] && [ $(git config core.bare) = true ]",
			path),
		    0);
		assert_int_equal(fixture_shell("cd '%s' && echo x | git hash-object -w --stdin && [ -z \"$(ls "
					       "objects/pack)\" ] && rm -r '%s'",
				     path, path),
		    0);
		free(path);
	}
}

/* Settings and hooks in a stranger's folder change nothing. */
static void test_foreign_settings(void **state)
{
	struct fixture *fixture = *state;
	git_oid id = write_blob(fixture, "x", 1), ref;
	struct stat status;
	char *marker = fixture_path(fixture->scratch, "marker");

	flush(fixture);
	assert_int_equal(
	    fixture_shell("cd '%s' && mkdir hooks && printf '#!/bin/sh\\ntouch %s\\n' >hooks/reference-transaction && "
			  "chmod +x hooks/* && cp hooks/reference-transaction hooks/post-update && "
			  "git config core.fsmonitor 'touch %s' && git config core.hooksPath hooks && "
			  "git config core.worktree / && git config core.logAllRefUpdates always && "
			  "git config include.path /nonexistent",
		fixture->path, marker, marker),
	    0);
	assert_true(geteuid() != 0 || chown(fixture->path, 12345, 12345) == 0);
	reopen(fixture);
	assert_int_equal(repo_update_ref(fixture->repo, "refs/heads/office/a", NULL, &id, &fixture->err), 0);
	assert_int_equal(repo_read_ref(fixture->repo, "refs/heads/office/a", &ref, &fixture->err), 0);
	assert_int_not_equal(stat(marker, &status), 0);
	assert_int_equal(fixture_shell("[ ! -e '%s/logs' ]", fixture->path), 0);
	free(marker);
}

static void test_read_limits(void **state)
{
	struct fixture *fixture = *state;
	git_oid absent = {{1, 2, 3}};
	git_oid id = write_blob(fixture, "12345", 5);
	struct qosid_buf out = {0};

	for (int flushed = 0; flushed < 2; flushed++) { /* from the queue, then from disk */
		assert_int_equal(read_blob(fixture, &id, 5), 0);
		assert_int_equal(read_blob(fixture, &id, 4), QOSID_ERR_LIMIT);
		assert_int_equal(
		    repo_read(fixture->repo, &id, GIT_OBJECT_TREE, 100, &out, &fixture->err), QOSID_ERR_INVALID);
		assert_non_null(strstr(fixture->err.what, "bd41cba781d8349272bf3eb92568285b411c027c"));
		assert_true(repo_has(fixture->repo, &id) && repo_has_known(fixture->repo, &id));
		flush(fixture);
	}
	assert_int_equal(qosid_buf_append_text(&out, "before ", NULL), 0);
	assert_int_equal(repo_read(fixture->repo, &id, GIT_OBJECT_BLOB, 5, &out, &fixture->err), 0);
	assert_string_equal((const char *)out.data, "before 12345");
	assert_int_equal(read_blob(fixture, &absent, 5), QOSID_ERR_NOTFOUND);
	assert_non_null(strstr(fixture->err.what, "0102030000000000000000000000000000000000"));
	assert_false(repo_has(fixture->repo, &absent) || repo_has_known(fixture->repo, &absent));
	qosid_buf_free(&out);
}

/* Few go loose, many or large ones into one pack, several MiB at once without being asked. */
static void test_flush(void **state)
{
	struct fixture *fixture = *state;
	static uint8_t data[3u << 20];
	uint64_t seed = 1;
	git_oid id;

	for (int i = 0; i < 8; i++)
		id = write_blob(fixture, &i, sizeof(i));
	assert_int_equal(count(fixture, LOOSE) + count(fixture, PACKS), 0);
	flush(fixture);
	assert_int_equal(count(fixture, LOOSE), 8);
	for (int i = 0; i < 17; i++) /* eight of them known */
		id = write_blob(fixture, &i, sizeof(i));
	flush(fixture);
	assert_int_equal(count(fixture, LOOSE), 8);
	assert_int_equal(count(fixture, PACKS), 1);
	assert_int_equal(read_blob(fixture, &id, 4), 0);
	flush(fixture);
	assert_int_equal(count(fixture, PACKS), 1);
	for (int i = 0; i < 3; i++) {
		fixture_random(&seed, data, sizeof(data));
		id = write_blob(fixture, data, sizeof(data));
	}
	assert_int_equal(count(fixture, PACKS), 2);
	assert_int_equal(read_blob(fixture, &id, sizeof(data)), 0);
	reopen(fixture);
	assert_int_equal(read_blob(fixture, &id, sizeof(data)), 0);
	assert_int_equal(count(fixture, LOOSE), 8);
	fsck(fixture);
}

static void test_many_queued(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 10000; i++) {
		git_oid id = write_blob(fixture, &i, sizeof(i));

		assert_true(repo_has(fixture->repo, &id));
		assert_int_equal(read_blob(fixture, &id, sizeof(i)), 0);
	}
	flush(fixture);
	assert_int_equal(count(fixture, PACKS), 1);
}

static void test_damaged_loose(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[200];
	uint64_t seed = 4;
	char hex[GIT_OID_HEXSZ + 1];
	struct stat status;
	git_oid id;
	char *path;

	fixture_random(&seed, data, sizeof(data));
	id = write_blob(fixture, data, sizeof(data));
	git_oid_tostr(hex, sizeof(hex), &id);
	flush(fixture);
	path = fixture_loose(fixture->repo, &id);
	assert_int_equal(stat(path, &status), 0);
	for (long at = 0; at < status.st_size; at++) {
		struct qosid_buf out = {0};
		int rc;

		fixture_flip(path, at);
		rc = repo_read(fixture->repo, &id, GIT_OBJECT_BLOB, sizeof(data), &out, &fixture->err);
		if (rc == 0) /* a bit that zlib ignores */
			assert_memory_equal(out.data, data, sizeof(data));
		else
			assert_non_null(strstr(fixture->err.what, hex));
		assert_true(rc == 0 || rc == QOSID_ERR_CORRUPT || rc == QOSID_ERR_LIMIT || rc == QOSID_ERR_INVALID);
		assert_true(rc != 0 || at < 60);
		fixture_flip(path, at);
		qosid_buf_free(&out);
	}
	assert_int_equal(read_blob(fixture, &id, sizeof(data)), 0);
	assert_int_equal(truncate(path, status.st_size / 2), 0);
	assert_int_equal(read_blob(fixture, &id, sizeof(data)), QOSID_ERR_CORRUPT);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(read_blob(fixture, &id, sizeof(data)), QOSID_ERR_CORRUPT);
	assert_non_null(strstr(fixture->err.what, hex));
	free(path);
}

static void test_damaged_pack(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[200];
	uint64_t seed = 5;
	git_oid ids[20];
	struct stat status;
	char *path;
	int refused = 0;

	for (int i = 0; i < 20; i++) {
		fixture_random(&seed, data, sizeof(data));
		ids[i] = write_blob(fixture, data, sizeof(data));
	}
	flush(fixture);
	path = fixture_output("echo '%s'/objects/pack/*.pack", fixture->path);
	assert_int_equal(stat(path, &status), 0);
	for (long at = 0; at < status.st_size; at += 13) {
		fixture_flip(path, at);
		reopen(fixture);
		for (int i = 0; i < 20; i++) {
			struct qosid_buf out = {0};
			char hex[GIT_OID_HEXSZ + 1];
			git_oid is;
			int rc = repo_read(fixture->repo, &ids[i], GIT_OBJECT_BLOB, 200, &out, &fixture->err);

			git_oid_tostr(hex, sizeof(hex), &ids[i]);
			if (rc == 0) {
				assert_int_equal(git_odb_hash(&is, out.data, out.len, GIT_OBJECT_BLOB), 0);
				assert_true(git_oid_equal(&is, &ids[i]));
			} else {
				assert_non_null(strstr(fixture->err.what, hex));
				refused++;
			}
			qosid_buf_free(&out);
		}
		fixture_flip(path, at);
	}
	assert_true(refused > (int)(status.st_size / 13) / 2);
	assert_int_equal(truncate(path, status.st_size / 2), 0);
	reopen(fixture);
	for (int i = 0; i < 20; i++)
		assert_true(read_blob(fixture, &ids[i], 200) != 0);
	free(path);
}

static void test_refs(void **state)
{
	static const char name[] = "refs/heads/office/khujand";
	struct fixture *fixture = *state;
	git_oid first = write_blob(fixture, "1", 1), second = write_blob(fixture, "2", 1), got;
	git_oid absent = {{1}};

	assert_int_equal(repo_read_ref(fixture->repo, name, &got, &fixture->err), QOSID_ERR_NOTFOUND);
	assert_int_equal(repo_update_ref(fixture->repo, name, &first, &second, &fixture->err), QOSID_ERR_CONFLICT);
	assert_int_equal(repo_update_ref(fixture->repo, name, NULL, &first, &fixture->err), 0);
	assert_int_equal(count(fixture, LOOSE), 2); /* a ref never moves before what it names is on disk */
	assert_int_equal(repo_update_ref(fixture->repo, name, NULL, &second, &fixture->err), QOSID_ERR_CONFLICT);
	assert_int_equal(repo_update_ref(fixture->repo, name, &second, &first, &fixture->err), QOSID_ERR_CONFLICT);
	assert_int_equal(repo_update_ref(fixture->repo, name, &first, &second, &fixture->err), 0);
	assert_int_equal(repo_read_ref(fixture->repo, name, &got, &fixture->err), 0);
	assert_true(git_oid_equal(&got, &second));
	assert_true(repo_update_ref(fixture->repo, name, &second, &absent, &fixture->err) != 0);
	assert_true(repo_update_ref(fixture->repo, "refs/heads/a..b", NULL, &first, &fixture->err) != 0);
	assert_true(repo_update_ref(fixture->repo, "refs/heads/office/khujand/x", NULL, &first, &fixture->err) != 0);
	assert_int_equal(fixture_shell("git -C '%s' pack-refs --all", fixture->path), 0);
	assert_int_equal(repo_read_ref(fixture->repo, name, &got, &fixture->err), 0);
	assert_int_equal(repo_update_ref(fixture->repo, name, &first, &second, &fixture->err), QOSID_ERR_CONFLICT);
	assert_int_equal(repo_update_ref(fixture->repo, name, &second, &first, &fixture->err), 0);
	assert_int_equal(fixture_shell("cd '%s' && git symbolic-ref refs/heads/office/s refs/heads/office/khujand && "
				       "printf x >refs/heads/office/broken",
			     fixture->path),
	    0);
	assert_int_equal(repo_read_ref(fixture->repo, "refs/heads/office/s", &got, &fixture->err), QOSID_ERR_INVALID);
	assert_int_equal(
	    repo_read_ref(fixture->repo, "refs/heads/office/broken", &got, &fixture->err), QOSID_ERR_CORRUPT);
}

/* A writer that was killed while it held a ref's lock does not block the next. */
static void test_abandoned_lock(void **state)
{
	static const char name[] = "refs/heads/office/khujand";
	struct fixture *fixture = *state;
	git_oid id = write_blob(fixture, "1", 1), got;

	assert_int_equal(
	    fixture_shell("cd '%s' && mkdir -p refs/heads/office && printf abc >%s.lock", fixture->path, name), 0);
	assert_int_equal(repo_update_ref(fixture->repo, name, NULL, &id, &fixture->err), 0);
	assert_int_equal(repo_read_ref(fixture->repo, name, &got, &fixture->err), 0);
	assert_int_equal(fixture_shell("[ ! -e '%s/%s.lock' ]", fixture->path, name), 0);
}

struct seen_refs {
	char text[256];
	int stop_after;
};

static int visit(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err)
{
	struct seen_refs *seen = context;
	size_t used = strlen(seen->text);

	(void)snprintf(seen->text + used, sizeof(seen->text) - used, "%s=%02x ", name, id->id[0]);
	return --seen->stop_after == 0 ? qosid_error(err, QOSID_ERR_FAILED, "enough") : 0;
}

static void test_visit(void **state)
{
	static const char *const names[] = {
	    "refs/heads/office/c", "refs/heads/office/a", "refs/heads/roster/a", "refs/heads/office/b"};
	struct fixture *fixture = *state;
	git_oid id = write_blob(fixture, "1", 1); /* 56a6051ca2b02b04ef92d5150c9ef600403cb1de */
	struct seen_refs seen = {.stop_after = -1};

	assert_int_equal(repo_visit_refs(fixture->repo, "refs/heads/office/", visit, &seen, &fixture->err), 0);
	assert_string_equal(seen.text, "");
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(repo_update_ref(fixture->repo, names[i], NULL, &id, &fixture->err), 0);
		if (i == 0)
			assert_int_equal(fixture_shell("git -C '%s' pack-refs --all", fixture->path), 0);
	}
	assert_int_equal(repo_visit_refs(fixture->repo, "refs/heads/office/", visit, &seen, &fixture->err), 0);
	assert_string_equal(seen.text, "refs/heads/office/a=56 refs/heads/office/b=56 refs/heads/office/c=56 ");
	seen = (struct seen_refs){.stop_after = 2};
	assert_int_equal(repo_visit_refs(fixture->repo, "refs/heads/", visit, &seen, &fixture->err), QOSID_ERR_FAILED);
	assert_string_equal(seen.text, "refs/heads/office/a=56 refs/heads/office/b=56 ");
}

static void test_trees(void **state)
{
	struct fixture *fixture = *state;
	git_oid blob = write_blob(fixture, "x", 1), tree;
	/* Git sorts a folder as if its name ended in '/': "a.b" < "a" (folder) < "a0". */
	struct repo_entry entries[] = {
	    {.name = "a0", .id = blob}, {.name = "a", .is_tree = true}, {.name = "a.b", .id = blob}};
	struct repo_entry parsed[LIMIT_TREE_ENTRIES];
	struct qosid_buf raw = {0};
	size_t parsed_count;

	assert_int_equal(repo_write(fixture->repo, GIT_OBJECT_TREE, "", 0, &entries[1].id, &fixture->err), 0);
	assert_int_equal(repo_format_tree(&raw, entries, 3, &fixture->err), 0);
	assert_int_equal(repo_write(fixture->repo, GIT_OBJECT_TREE, raw.data, raw.len, &tree, &fixture->err), 0);
	flush(fixture);
	fsck(fixture);
	assert_int_equal(repo_parse_tree(&raw, parsed, &parsed_count, &fixture->err), 0);
	assert_int_equal(parsed_count, 3);
	assert_string_equal(parsed[0].name, "a.b");
	assert_string_equal(parsed[1].name, "a");
	assert_true(parsed[1].is_tree && !parsed[2].is_tree);
	assert_true(git_oid_equal(&parsed[2].id, &blob));
	for (size_t len = 1; len < raw.len; len++) {
		struct qosid_buf cut = {.data = raw.data, .len = len};

		if (len % (raw.len / 3) > 4) /* not at, or just after, the end of an entry */
			assert_true(
			    repo_parse_tree(&cut, parsed, &parsed_count, &fixture->err) != 0 || parsed_count < 3);
	}
	qosid_buf_free(&raw);
}

static void check_tree_refused(const char *raw, size_t len, int code)
{
	struct repo_entry parsed[LIMIT_TREE_ENTRIES];
	struct qosid_buf buf = {0};
	struct qosid_errbuf err = {0};
	size_t parsed_count;

	assert_int_equal(qosid_buf_append(&buf, raw, len, &err), 0);
	assert_int_equal(repo_parse_tree(&buf, parsed, &parsed_count, &err), code);
	qosid_buf_free(&buf);
}

#define OID "aaaaaaaaaaaaaaaaaaaa"
#define REFUSED(text) check_tree_refused(text, sizeof(text) - 1, QOSID_ERR_INVALID)

static void test_trees_refused(void **state)
{
	struct fixture *fixture = *state;
	struct repo_entry entries[LIMIT_TREE_ENTRIES + 1] = {{0}};
	struct qosid_buf raw = {0};

	check_tree_refused("100644 a\0" OID, 29, 0);
	REFUSED("100755 a\0" OID);
	REFUSED("120000 a\0" OID);
	REFUSED("160000 a\0" OID);
	REFUSED("040000 a\0" OID);
	REFUSED("100644 \0" OID);
	REFUSED("100644 a/b\0" OID);
	REFUSED("100644 .\0" OID);
	REFUSED("100644 ..\0" OID);
	REFUSED("40000 .git\0" OID);
	REFUSED("100644 .GITmodules\0" OID);
	REFUSED("100644 a\n\0" OID);
	REFUSED("100644 b\0" OID "100644 a\0" OID);
	REFUSED("100644 a\0" OID "100644 a\0" OID);
	REFUSED("100644 a\0" OID "100644 a.b\0" OID "40000 a\0" OID);
	REFUSED("100644 a\0aaaaaaaaaaaaaaaaaaa");
	REFUSED("100644 a");
	REFUSED("1");
	for (size_t i = 0; i <= LIMIT_TREE_ENTRIES; i++) {
		char entry[] = "100644 a\0" OID;

		entry[7] = (char)('a' + i);
		assert_int_equal(qosid_buf_append(&raw, entry, sizeof(entry) - 1, NULL), 0);
		entries[i].name = "x";
	}
	check_tree_refused((const char *)raw.data, raw.len, QOSID_ERR_LIMIT);
	check_tree_refused((const char *)raw.data, raw.len - 29, 0);
	qosid_buf_reset(&raw);
	assert_int_equal(repo_format_tree(&raw, entries, LIMIT_TREE_ENTRIES + 1, &fixture->err), QOSID_ERR_LIMIT);
	assert_int_equal(repo_format_tree(&raw, entries, 2, &fixture->err), QOSID_ERR_INVALID);
	entries[0].name = "a/b";
	assert_int_equal(repo_format_tree(&raw, entries, 1, &fixture->err), QOSID_ERR_INVALID);
	assert_int_equal(raw.len, 0);
	qosid_buf_free(&raw);
}

static void test_repack(void **state)
{
	struct fixture *fixture = *state;
	char hex[GIT_OID_HEXSZ + 1];
	git_oid ids[12];
	char *path;

	for (int i = 0; i < 12; i++) {
		ids[i] = write_blob(fixture, &i, sizeof(i));
		flush(fixture);
	}
	assert_int_equal(repo_repack_loose(fixture->repo, 12, &fixture->err), 0);
	assert_int_equal(count(fixture, LOOSE), 12);
	path = fixture_loose(fixture->repo, &ids[7]);
	fixture_flip(path, -1);
	git_oid_tostr(hex, sizeof(hex), &ids[7]);
	assert_int_equal(repo_repack_loose(fixture->repo, 11, &fixture->err), QOSID_ERR_CORRUPT);
	assert_non_null(strstr(fixture->err.what, hex));
	assert_int_equal(count(fixture, LOOSE), 1); /* the damaged one stays for whoever can mend it */
	fixture_flip(path, -1);
	assert_int_equal(repo_repack_loose(fixture->repo, 0, &fixture->err), 0);
	assert_int_equal(count(fixture, LOOSE), 0);
	assert_int_equal(count(fixture, PACKS), 2);
	for (int i = 0; i < 12; i++)
		assert_int_equal(read_blob(fixture, &ids[i], sizeof(i)), 0);
	fsck(fixture);
	free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_open), TEST(test_create_again), TEST(test_foreign_settings),
	    TEST(test_read_limits), TEST(test_flush), TEST(test_many_queued), TEST(test_damaged_loose),
	    TEST(test_damaged_pack), TEST(test_refs), TEST(test_abandoned_lock), TEST(test_visit), TEST(test_trees),
	    TEST(test_trees_refused), TEST(test_repack)};

	(void)git_libgit2_init();
	return cmocka_run_group_tests_name("repo", tests, NULL, NULL);
}
