/* Scratch folders, stock git and small logs for the tests of the exchange layer: see git_fixture.h. */
#include "git_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

char *fixture_scratch(void)
{
	const char *base = getenv("TMPDIR");
	char *path;

	if (base == NULL) /* these tests fsync much, which memory does at once */
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	assert_true(asprintf(&path, "%s/qosid-test-XXXXXX", base) > 0);
	assert_non_null(mkdtemp(path));
	assert_int_equal(setenv("HOME", path, 1), 0);
	assert_int_equal(setenv("GIT_CONFIG_NOSYSTEM", "1", 1), 0);
	assert_int_equal(setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1), 0);
	return path;
}

void fixture_remove(char *scratch)
{
	assert_int_equal(fixture_shell("rm -rf '%s'", scratch), 0);
	free(scratch);
}

char *fixture_path(const char *scratch, const char *name)
{
	char *path;

	assert_true(asprintf(&path, "%s/%s", scratch, name) > 0);
	return path;
}

int fixture_shell(const char *fmt, ...)
{
	char *command, *wrapped;
	va_list ap;
	int status;

	va_start(ap, fmt);
	assert_true(vasprintf(&command, fmt, ap) > 0);
	va_end(ap);
	assert_true(asprintf(&wrapped, "{ %s; } >\"$HOME/output\" 2>&1", command) > 0);
	status = system(wrapped);
	free(wrapped);
	free(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

char *fixture_output(const char *fmt, ...)
{
	char *command, *text = NULL;
	size_t cap = 0;
	ssize_t len;
	va_list ap;
	FILE *stream;

	va_start(ap, fmt);
	assert_true(vasprintf(&command, fmt, ap) > 0);
	va_end(ap);
	stream = popen(command, "r");
	assert_non_null(stream);
	len = getdelim(&text, &cap, '\0', stream);
	if (len > 0 && text[len - 1] == '\n')
		text[len - 1] = '\0';
	assert_int_equal(pclose(stream), 0);
	free(command);
	return text;
}

void fixture_random(uint64_t *seed, void *out, size_t len)
{
	uint8_t *bytes = out;

	for (size_t i = 0; i < len; i++) {
		if (i % 4 == 0)
			*seed = *seed * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (uint8_t)(*seed >> (32 + 8 * (i % 4)));
	}
}

void fixture_commit(struct commit *commit, int64_t sequence)
{
	*commit = (struct commit){.office = "khujand",
	    .space = FIXTURE_SPACE,
	    .sequence = sequence,
	    .time = 1735689600 + sequence,
	    .epoch = 1};
	commit->has_parent = sequence > 1;
	commit->roster_count = 1;
	memset(commit->tree.id, 0x11, sizeof(commit->tree.id));
	memset(commit->roster[0], 0x22, DIGEST_BYTES);
	memset(commit->content, 0x33, sizeof(commit->content));
	if (commit->has_parent) {
		memset(commit->parent.id, 0x44, sizeof(commit->parent.id));
		memset(commit->previous, 0x55, sizeof(commit->previous));
	}
	commit->subject = strdup("khujand: 12 changes in 9 documents");
	assert_non_null(commit->subject);
}

void fixture_grow(struct repo *repo, const struct identity *identity, size_t count, size_t blob_bytes, git_oid *tip,
    int64_t *sequence)
{
	struct qosid_errbuf err = {0};
	struct qosid_buf raw = {0};
	uint8_t *blob = malloc(blob_bytes);

	assert_non_null(blob);
	for (size_t i = 0; i < count; i++) {
		struct repo_entry entry = {.name = "changes.age"};
		struct commit commit;
		uint64_t seed = (uint64_t)++ * sequence;

		fixture_commit(&commit, *sequence);
		fixture_random(&seed, blob, blob_bytes);
		assert_int_equal(repo_write(repo, GIT_OBJECT_BLOB, blob, blob_bytes, &entry.id, &err), 0);
		qosid_buf_reset(&raw);
		assert_int_equal(repo_format_tree(&raw, &entry, 1, &err), 0);
		assert_int_equal(repo_write(repo, GIT_OBJECT_TREE, raw.data, raw.len, &commit.tree, &err), 0);
		digest_compute(commit.content, blob, blob_bytes);
		git_oid_cpy(&commit.parent, tip);
		qosid_buf_reset(&raw);
		assert_int_equal(commit_format(&raw, &commit, identity, &err), 0);
		assert_int_equal(repo_write(repo, GIT_OBJECT_COMMIT, raw.data, raw.len, tip, &err), 0);
		commit_free(&commit);
	}
	qosid_buf_free(&raw);
	free(blob);
}

void fixture_flip(const char *path, long at)
{
	FILE *stream;
	int byte;

	assert_int_equal(chmod(path, 0644), 0);
	stream = fopen(path, "r+b");
	assert_non_null(stream);
	assert_int_equal(fseek(stream, at, at < 0 ? SEEK_END : SEEK_SET), 0);
	byte = fgetc(stream);
	assert_true(byte != EOF);
	assert_int_equal(fseek(stream, -1, SEEK_CUR), 0);
	assert_int_equal(fputc(byte ^ 1, stream), byte ^ 1);
	assert_int_equal(fclose(stream), 0);
}

char *fixture_loose(const struct repo *repo, const git_oid *id)
{
	char hex[GIT_OID_HEXSZ + 1];
	char *path;

	git_oid_tostr(hex, sizeof(hex), id);
	assert_true(asprintf(&path, "%s/objects/%.2s/%s", repo_path(repo), hex, hex + 2) > 0);
	return path;
}
