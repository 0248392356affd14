/*
 * Remotes that break: flipped bits in every kind of object and file, cut off packs, missing files, refs that point
 * nowhere, branches that go back, disappear or do not belong. What is intact is applied, the rest is found and waits
 * for the repair, other logs go on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "forge.h"

#define ROGUE_REF "refs/heads/office/khujand"

static void run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *fmt, ...)
{
	char command[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command) != 0) /* NOLINT(cert-env33-c): the test's own words */
		fail_msg("failed: %s", command);
}

/* ---- damaging the remote ---- */

enum place { COMMIT, TREE, BLOB };

static void find_object(struct stage *stage, const git_oid *commit_id, enum place place, git_oid *out)
{
	git_commit *commit = NULL;
	git_tree *tree = NULL;

	assert_int_equal(git_commit_lookup(&commit, stage->remote, commit_id), 0);
	assert_int_equal(git_commit_tree(&tree, commit), 0);
	if (place == COMMIT)
		*out = *commit_id;
	else if (place == TREE)
		*out = *git_tree_id(tree);
	else
		*out = *git_tree_entry_id(git_tree_entry_byindex(tree, 0));
	git_tree_free(tree);
	git_commit_free(commit);
}

static const char *loose_path(struct stage *stage, const git_oid *id)
{
	static char path[512];
	char hex[GIT_OID_HEXSZ + 1];

	git_oid_tostr(hex, sizeof(hex), id);
	(void)snprintf(path, sizeof(path), "%sobjects/%.2s/%s", git_repository_path(stage->remote), hex, hex + 2);
	return path;
}

/* Flip a bit at a part of the file's length: 0 is the first byte, 1 the last one. */
static void flip(const char *path, double part)
{
	struct stat status;
	FILE *file;
	long at;
	int byte;

	assert_int_equal(stat(path, &status), 0);
	at = (long)((double)(status.st_size - 1) * part);
	assert_int_equal(chmod(path, 0600), 0);
	file = fopen(path, "r+b");
	assert_non_null(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	byte = fgetc(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	assert_int_equal(fputc(byte ^ 4, file), byte ^ 4);
	assert_int_equal(fclose(file), 0);
}

static void cut(const char *path, double part)
{
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(truncate(path, (off_t)((double)status.st_size * part)), 0);
}

/* Keep a good copy of the remote, and bring it back. */
static void keep(struct stage *stage)
{
	copy_folder(offices_path(stage->offices, "remote.git"), offices_path(stage->offices, "good.git"));
}

static void repair(struct stage *stage)
{
	git_repository_free(stage->remote);
	remove_folder(offices_path(stage->offices, "remote.git"));
	copy_folder(offices_path(stage->offices, "good.git"), offices_path(stage->offices, "remote.git"));
	remove_folder(offices_path(stage->offices, "good.git"));
	assert_int_equal(git_repository_open(&stage->remote, offices_path(stage->offices, "remote.git")), 0);
}

/* The damage will be to change set 2, which the victim does not have yet. */
static void open_kept(struct stage *stage, struct offices *offices)
{
	stage_open(stage, offices);
	keep(stage);
}

static void close_and_renew(struct stage *stage, void **state)
{
	stage_close(stage);
	offices_teardown(state);
	offices_setup(state);
}

static const struct {
	const char *name;
	enum place place;
	double part;
} flips[] = {
    {"first byte of a commit", COMMIT, 0},
    {"middle of a commit", COMMIT, 0.5},
    {"last byte of a commit", COMMIT, 1},
    {"first byte of a tree", TREE, 0},
    {"middle of a tree", TREE, 0.5},
    {"last byte of a tree", TREE, 1},
    {"first byte of a payload", BLOB, 0},
    {"middle of a payload", BLOB, 0.5},
    {"last byte of a payload", BLOB, 1},
};

static void test_flipped_loose_objects(void **state)
{
	for (size_t i = 0; i < sizeof(flips) / sizeof(flips[0]); i++) {
		struct stage stage;
		git_oid id;

		open_kept(&stage, *state);
		find_object(&stage, &stage.commits[2], flips[i].place, &id);
		flip(loose_path(&stage, &id), flips[i].part);
		stage_assert_refused(&stage, 1, "damage", flips[i].name);
		repair(&stage);
		stage_assert_healed(&stage, flips[i].name);
		close_and_renew(&stage, state);
	}
}

static void test_other_loose_damage(void **state)
{
	static const char *const names[] = {"missing", "empty", "cut off", "a folder", "a pipe", "another object"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (enum place place = COMMIT; place <= BLOB; place++) {
			struct stage stage;
			git_oid id, other;
			char path[512];

			open_kept(&stage, *state);
			find_object(&stage, &stage.commits[1], place, &other);
			find_object(&stage, &stage.commits[2], place, &id);
			(void)snprintf(path, sizeof(path), "%s", loose_path(&stage, &id));
			if (i == 1 || i == 2)
				cut(path, i == 1 ? 0 : 0.6);
			else
				assert_int_equal(unlink(path), 0);
			if (i == 3)
				assert_int_equal(mkdir(path, 0700), 0);
			else if (i == 4)
				assert_int_equal(mkfifo(path, 0600), 0);
			else if (i == 5)
				copy_folder(loose_path(&stage, &other), path);
			stage_assert_refused(&stage, 1, "damage", names[i]);
			repair(&stage);
			stage_assert_healed(&stage, names[i]);
			close_and_renew(&stage, state);
		}
	}
}

/* ---- packs ---- */

/* Put change set 2 alone into a pack, all else into another; returns the path without its ending. */
static const char *pack_second(struct stage *stage)
{
	static char path[512];
	const char *remote = git_repository_path(stage->remote);
	char ids[3][GIT_OID_HEXSZ + 1];
	FILE *file;

	for (enum place place = COMMIT; place <= BLOB; place++) {
		git_oid id;

		find_object(stage, &stage->commits[2], place, &id);
		git_oid_tostr(ids[place], sizeof(ids[place]), &id);
	}
	run("cd %s && printf '%%s\\n' %s %s %s | git pack-objects -q objects/pack/pack >%s/name && "
	    "git prune-packed -q",
	    remote, ids[0], ids[1], ids[2], stage->offices->dir);
	(void)snprintf(path, sizeof(path), "%s/name", stage->offices->dir);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%40s", ids[0]), 1);
	assert_int_equal(fclose(file), 0);
	(void)snprintf(path, sizeof(path), "%sobjects/pack/pack-%s", remote, ids[0]);
	return path;
}

static void test_damaged_packs(void **state)
{
	static const struct {
		const char *name, *ending;
		double flip_at, cut_at;
	} damages[] = {
	    {"pack whose first byte is flipped", "pack", 0, -1},
	    {"pack with a bit flipped early", "pack", 0.1, -1},
	    {"pack with a bit flipped in the middle", "pack", 0.5, -1},
	    {"pack with a bit flipped late", "pack", 0.9, -1},
	    {"empty pack", "pack", -1, 0},
	    {"pack cut off in the middle", "pack", -1, 0.5},
	    {"pack cut off in its trailer", "pack", -1, 0.99},
	    {"missing pack", "pack", -1, -1},
	    {"missing index", "idx", -1, -1},
	    {"empty index", "idx", -1, 0},
	    {"index cut off in the middle", "idx", -1, 0.5},
	    {"index whose first byte is flipped", "idx", 0, -1},
	};

	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct stage stage;
		char path[512];

		open_kept(&stage, *state);
		(void)snprintf(path, sizeof(path), "%s.%s", pack_second(&stage), damages[i].ending);
		if (damages[i].flip_at >= 0)
			flip(path, damages[i].flip_at);
		else if (damages[i].cut_at >= 0)
			cut(path, damages[i].cut_at);
		else
			assert_int_equal(unlink(path), 0);
		stage_assert_refused(&stage, 1, "damage", damages[i].name);
		repair(&stage);
		stage_assert_healed(&stage, damages[i].name);
		close_and_renew(&stage, state);
	}
}

/* A bit flipped in the pack's own checksum spoils no object. */
static void test_damaged_pack_checksum(void **state)
{
	struct stage stage;
	char path[512];

	open_kept(&stage, *state);
	(void)snprintf(path, sizeof(path), "%s.pack", pack_second(&stage));
	flip(path, 1);
	(void)meet(stage.victim, "origin");
	assert_non_null(get(stage.victim, "honest"));
	repair(&stage);
	stage_assert_healed(&stage, "checksum of a pack");
	stage_close(&stage);
}

/* ---- refs ---- */

static void write_ref(struct stage *stage, const char *ref, const char *text)
{
	char path[512];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s%s", git_repository_path(stage->remote), ref);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void test_refs_to_something_else(void **state)
{
	static const char *const names[] = {"ref to a blob", "ref to a tree", "ref to a tag", "ref to nothing"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct stage stage;
		char text[64] = "0123456789012345678901234567890123456789";
		git_oid id;

		open_kept(&stage, *state);
		if (i < 2) {
			find_object(&stage, &stage.commits[2], i == 0 ? BLOB : TREE, &id);
		} else if (i == 2) {
			char tag[256], hex[GIT_OID_HEXSZ + 1];

			git_oid_tostr(hex, sizeof(hex), &stage.commits[2]);
			(void)snprintf(tag, sizeof(tag),
			    "object %s\ntype commit\ntag v1\ntagger x <x@x> 1795500000 +0000\n\nx\n", hex);
			stage_write(&stage, GIT_OBJECT_TAG, tag, strlen(tag), &id);
		}
		if (i < 3)
			git_oid_tostr(text, sizeof(text), &id);
		(void)snprintf(text + strlen(text), 2, "\n");
		write_ref(&stage, ROGUE_REF, text);
		stage_assert_refused(&stage, 1, "damage", names[i]);
		repair(&stage);
		stage_assert_healed(&stage, names[i]);
		close_and_renew(&stage, state);
	}
}

/* The same with objects that the victim has already. */
static void test_refs_to_known_objects(void **state)
{
	for (enum place place = TREE; place <= BLOB; place++) {
		struct stage stage;
		char text[64] = "";
		git_oid id;

		open_kept(&stage, *state);
		(void)meet(stage.victim, "origin");
		find_object(&stage, &stage.commits[2], place, &id);
		git_oid_tostr(text, GIT_OID_HEXSZ + 1, &id);
		write_ref(&stage, ROGUE_REF, text);
		put(stage.honest, "later", "{}");
		(void)meet(stage.honest, "origin");
		(void)meet(stage.victim, "origin");
		assert_int_equal(count_findings(stage.victim, "damage"), 1);
		assert_non_null(get(stage.victim, "later"));
		repair(&stage);
		(void)meet(stage.honest, "origin");
		stage_assert_healed(&stage, "ref to a known object");
		close_and_renew(&stage, state);
	}
}

/* What is no ref at all is as good as gone. */
static void test_refs_that_are_none(void **state)
{
	static const char *const texts[] = {"", "rubbish\n", "0123\n", "ref: refs/heads/office/bokhtar\n",
	    "ref: refs/heads/office/khujand\n", "ref: ../../../../etc/passwd\n"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct stage stage;

		open_kept(&stage, *state);
		write_ref(&stage, ROGUE_REF, texts[i]);
		(void)meet(stage.victim, "origin");
		assert_non_null(get(stage.victim, "honest"));
		assert_null(get(stage.victim, "good-2"));
		repair(&stage);
		(void)meet(stage.victim, "origin");
		assert_non_null(get(stage.victim, "good-2"));
		assert_equal_replicas(stage.victim, stage.honest);
		close_and_renew(&stage, state);
	}
}

static void test_junk_refs_are_ignored(void **state)
{
	static const char *const refs[] = {"refs/heads/main", "refs/heads/office/UPPER", "refs/heads/office/a/b",
	    "refs/heads/office/-x", "refs/heads/archive/khujand", "refs/heads/roster/dushanbe2/x", "refs/tags/office/x",
	    "refs/notes/office/khujand", "refs/qosid/verified/office/khujand", "refs/remotes/origin/office/khujand"};
	struct stage stage;

	stage_open(&stage, *state);
	for (size_t i = 0; i < sizeof(refs) / sizeof(refs[0]); i++)
		stage_set_ref(&stage, refs[i], &stage.commits[1]);
	write_ref(&stage, "HEAD", "rubbish\n");
	write_ref(&stage, "HEAD", "ref: refs/heads/nowhere\n");
	(void)meet(stage.victim, "origin");
	assert_int_equal(count_findings(stage.victim, NULL), 0);
	assert_equal_replicas(stage.victim, stage.honest);
	stage_assert_healed(&stage, "junk refs");
	stage_close(&stage);
}

/* The log of someone who is no member: a warning, which goes when the log does. */
static void test_log_of_a_stranger(void **state)
{
	struct stage stage;
	git_reference *ref = NULL;

	stage_open(&stage, *state);
	stage_set_ref(&stage, "refs/heads/office/stranger", &stage.commits[2]);
	(void)meet(stage.victim, "origin");
	assert_int_equal(count_findings(stage.victim, "member"), 1);
	assert_int_equal(count_findings(stage.victim, NULL), 1);
	assert_equal_replicas(stage.victim, stage.honest);
	assert_int_equal(git_reference_lookup(&ref, stage.remote, "refs/heads/office/stranger"), 0);
	assert_int_equal(git_reference_delete(ref), 0);
	git_reference_free(ref);
	stage_assert_healed(&stage, "log of a stranger");
	stage_close(&stage);
}

/* ---- branches that go back ---- */

static void forget(struct stage *stage)
{
	struct qosid_errbuf err = {0};

	must(space_forget_warnings(stage->victim, "office/khujand", &err), &err);
}

static void test_rewound_branch(void **state)
{
	struct stage stage;

	stage_open(&stage, *state);
	(void)meet(stage.victim, "origin");
	stage_set_ref(&stage, ROGUE_REF, &stage.commits[1]);
	(void)meet(stage.victim, "origin");
	assert_int_equal(count_findings(stage.victim, "rewind"), 1);
	assert_int_equal(count_findings(stage.victim, NULL), 1);
	assert_non_null(get(stage.victim, "good-2"));
	/* Who has more brings it back at once. */
	git_oid tip;
	assert_int_equal(git_reference_name_to_id(&tip, stage.remote, ROGUE_REF), 0);
	assert_true(git_oid_equal(&tip, &stage.commits[2]));
	forget(&stage);
	stage_assert_healed(&stage, "rewound branch");
	stage_close(&stage);
}

static void test_withdrawn_branch(void **state)
{
	git_reference *ref = NULL;
	struct stage stage;

	stage_open(&stage, *state);
	(void)meet(stage.victim, "origin");
	assert_int_equal(git_reference_lookup(&ref, stage.remote, ROGUE_REF), 0);
	assert_int_equal(git_reference_delete(ref), 0);
	git_reference_free(ref);
	(void)meet(stage.victim, "origin");
	assert_int_equal(count_findings(stage.victim, "rewind"), 1);
	assert_int_equal(count_findings(stage.victim, NULL), 1);
	git_oid tip;
	assert_int_equal(git_reference_name_to_id(&tip, stage.remote, ROGUE_REF), 0);
	assert_true(git_oid_equal(&tip, &stage.commits[2]));
	forget(&stage);
	stage_assert_healed(&stage, "withdrawn branch");
	stage_close(&stage);
}

/* ---- the office's own repository ---- */

static int count_visit(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	(void)err;
	if (strcmp(finding->log, "office/khujand") == 0 && finding->sequence == 2 && finding->detail[0] != '\0')
		(*(size_t *)context)++;
	return 0;
}

static void test_own_repository_is_proved(void **state)
{
	for (enum place place = COMMIT; place <= BLOB; place++) {
		struct stage stage;
		struct qosid_errbuf err = {0};
		struct exchange_proof proof;
		size_t count = 0;
		git_oid id;
		char hex[GIT_OID_HEXSZ + 1], path[512];

		stage_open(&stage, *state);
		(void)meet(stage.victim, "origin");
		find_object(&stage, &stage.commits[2], place, &id);
		git_oid_tostr(hex, sizeof(hex), &id);
		(void)snprintf(path, sizeof(path), "%s/log.git/objects/%.2s/%s", space_dir(stage.victim), hex, hex + 2);
		flip(path, 0.5);
		must(space_verify(stage.victim, true, NULL, count_visit, &count, &proof, &err), &err);
		/* Of a log whose newest commit is damaged, even the beginning cannot be found. */
		if (place != COMMIT && count != 1)
			fail_msg("object %d: %zu findings about change set 2", (int)place, count);
		put(stage.honest, "later", "{}");
		(void)meet(stage.honest, "origin");
		(void)meet(stage.victim, "origin");
		assert_non_null(get(stage.victim, "later"));
		close_and_renew(&stage, state);
	}
}

int main(void)
{
#define STAGE_TEST(f) cmocka_unit_test_setup_teardown(f, offices_setup, offices_teardown)
	const struct CMUnitTest tests[] = {
	    STAGE_TEST(test_flipped_loose_objects),
	    STAGE_TEST(test_other_loose_damage),
	    STAGE_TEST(test_damaged_packs),
	    STAGE_TEST(test_damaged_pack_checksum),
	    STAGE_TEST(test_refs_to_something_else),
	    STAGE_TEST(test_refs_to_known_objects),
	    STAGE_TEST(test_refs_that_are_none),
	    STAGE_TEST(test_junk_refs_are_ignored),
	    STAGE_TEST(test_log_of_a_stranger),
	    STAGE_TEST(test_rewound_branch),
	    STAGE_TEST(test_withdrawn_branch),
	    STAGE_TEST(test_own_repository_is_proved),
	};

	return cmocka_run_group_tests(tests, offices_group_setup, offices_group_teardown);
}
