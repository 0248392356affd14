/*
 * Commits that are wrong in one way each, in the log of an office that means ill: refused by everybody who meets them,
 * with a finding that names log, sequence and cause; nothing of them is applied, the logs of others go on, and once the
 * log is good again it is taken up where it stopped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/sshsig.h"
#include "forge.h"
#include "sync/limits.h"

#define ROGUE_REF "refs/heads/office/khujand"

static const struct identity *key_of(struct space *space)
{
	const struct identity *identity = NULL;
	struct qosid_errbuf err = {0};

	must(space_identity(space, &identity, &err), &err);
	return identity;
}

/* Try the forged log on the victim, put the good one back, and see that it is taken up again. applied is 2, or 1 when
 * the forged commit cannot be read at all, so that the victim does not learn what came before it. */
static void conclude(
    struct stage *stage, struct forgery *forgery, int64_t applied, const char *causes, const char *name)
{
	stage_assert_refused(stage, applied, causes, name);
	stage_set_ref(stage, ROGUE_REF, &stage->commits[2]);
	stage_assert_healed(stage, name);
	forge_free(forgery);
	stage_close(stage);
}

/* A forged change set that is right in everything is taken: what the others are refused for is what they say. */
static void test_control(void **state)
{
	struct stage stage;
	struct forgery forgery;

	stage_open(&stage, *state);
	forge_begin(&stage, &forgery);
	forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
	(void)meet(stage.victim, "origin");
	assert_int_equal(count_findings(stage.victim, NULL), 0);
	assert_non_null(get(stage.victim, "evil"));
	forge_free(&forgery);
	stage_close(&stage);
}

/* ---- lines of the commit, all signed by khujand ---- */

struct line_case {
	const char *name;
	const char *prefix;
	const char *line;
	const char *causes; /* NULL: waits */
};

#define ZERO_DIGEST "blake2b-256:0000000000000000000000000000000000000000000000000000000000000000"
#define PERSON_TAIL " <khujand@00000000.qosid> 1795500000 +0000"

static const struct line_case lines[] = {
    {"skipped sequence", "Qosid-Sequence: ", "Qosid-Sequence: 4", "sequence"},
    {"repeated sequence", "Qosid-Sequence: ", "Qosid-Sequence: 2", "sequence"},
    {"sequence 0", "Qosid-Sequence: ", "Qosid-Sequence: 0", "form|sequence"},
    {"negative sequence", "Qosid-Sequence: ", "Qosid-Sequence: -3", "form"},
    {"sequence with a sign", "Qosid-Sequence: ", "Qosid-Sequence: +3", "form"},
    {"sequence with a zero in front", "Qosid-Sequence: ", "Qosid-Sequence: 03", "form"},
    {"huge sequence", "Qosid-Sequence: ", "Qosid-Sequence: 99999999999999999999", "form"},
    {"wrong Qosid-Previous", "Qosid-Previous: ", "Qosid-Previous: " ZERO_DIGEST, "chain"},
    {"no Qosid-Previous", "Qosid-Previous: ", NULL, "form|chain"},
    {"wrong space", "Qosid-Space: ", "Qosid-Space: 00000000000000000000000000000000", "form|place"},
    {"another office", "Qosid-Office: ", "Qosid-Office: bokhtar", "form|place"},
    {"another format", "Qosid-Format: ", "Qosid-Format: 2", "form"},
    {"unknown roster state", "Qosid-Roster: ", "Qosid-Roster: " ZERO_DIGEST, NULL},
    {"no roster state", "Qosid-Roster: ", NULL, "form|roster"},
    {"no epoch", "Qosid-Epoch: ", NULL, "form|chain|epoch"},
    {"epoch 0", "Qosid-Epoch: ", "Qosid-Epoch: 0", "form|chain|epoch"},
    {"unknown epoch", "Qosid-Epoch: ", "Qosid-Epoch: 2", "epoch"},
    {"other content", "Qosid-Content: ", "Qosid-Content: " ZERO_DIGEST, "payload|content"},
    {"no content", "Qosid-Content: ", NULL, "form"},
    {"upper case digest", "Qosid-Previous: ", "Qosid-Previous: BLAKE2B-256:00", "form"},
    {"part of a file", "Qosid-Previous: ", "Qosid-File: " ZERO_DIGEST "\nQosid-Part: 1/1\nQosid-Previous: " ZERO_DIGEST,
	"chain|form"},
    {"trailer twice", "Qosid-Epoch: ", "Qosid-Epoch: 1\nQosid-Epoch: 1", "form"},
    {"trailers out of order", "Qosid-Epoch: 1", "Qosid-Epoch: 1\nQosid-Format: 1", "form"},
    {"unknown trailer", "Qosid-Epoch: ", "Qosid-Epoch: 1\nQosid-More: 1", "form"},
    {"trailer with CRLF", "Qosid-Epoch: ", "Qosid-Epoch: 1\r", "form"},
    {"trailer with two spaces", "Qosid-Epoch: ", "Qosid-Epoch:  1", "form"},
    {"other author", "author ", "author bokhtar" PERSON_TAIL, "form"},
    {"other committer", "committer ", "committer khujand" PERSON_TAIL, "form"},
    {"no committer", "committer ", NULL, "form"},
    {"extra header", "committer ", "committer khujand" PERSON_TAIL "\nencoding ISO-8859-1", "form"},
    {"extra header above all", "author ", "mergetag x\nauthor khujand" PERSON_TAIL, "form"},
    {"control character in the subject", "khujand: ", "khujand: \033[2J", "form"},
    {"invalid UTF-8 in the subject", "khujand: ", "khujand: \xff", "form"},
    {"no subject", "khujand: ", "", "form"},
    {"tree that is not there", "tree ", "tree 0123456789012345678901234567890123456789", "damage"},
    {"seen itself backwards", "Qosid-Previous: ", "Qosid-Previous: x\nQosid-Seen: b@1:x\nQosid-Seen: a@1:x", "form"},
};

static const struct line_case unreadable_lines[] = {
    {"no tree", "tree ", NULL, "damage"},
    {"name of the tree cut short", "tree ", "tree 0123", "damage"},
};

static void try_lines(void **state, const struct line_case *cases, size_t count, int64_t applied)
{
	for (size_t i = 0; i < count; i++) {
		struct stage stage;
		struct forgery forgery;

		stage_open(&stage, *state);
		forge_begin(&stage, &forgery);
		forge_replace(&forgery, cases[i].prefix, cases[i].line);
		forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
		conclude(&stage, &forgery, applied, cases[i].causes, cases[i].name);
		offices_teardown(state);
		offices_setup(state);
	}
}

static void test_lines(void **state)
{
	try_lines(state, lines, sizeof(lines) / sizeof(lines[0]), 2);
}

static void test_unreadable_lines(void **state)
{
	try_lines(state, unreadable_lines, sizeof(unreadable_lines) / sizeof(unreadable_lines[0]), 1);
}

static void test_oversized_message(void **state)
{
	static const size_t sizes[] = {201, LIMIT_MESSAGE_BYTES + 1, LIMIT_COMMIT_BYTES + 1, (size_t)4 << 20};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *subject = malloc(sizes[i] + 1), name[64];
		struct stage stage;
		struct forgery forgery;

		assert_non_null(subject);
		memset(subject, 'x', sizes[i]);
		subject[sizes[i]] = '\0';
		(void)snprintf(name, sizeof(name), "subject of %zu bytes", sizes[i]);
		stage_open(&stage, *state);
		forge_begin(&stage, &forgery);
		forge_replace(&forgery, "khujand: ", subject);
		forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
		conclude(&stage, &forgery, sizes[i] > LIMIT_COMMIT_BYTES ? 1 : 2, "form|damage", name);
		free(subject);
		offices_teardown(state);
		offices_setup(state);
	}
}

/* ---- signatures ---- */

static void try_signer(
    void **state, const struct identity *(*choose)(struct stage *stage), const char *causes, const char *name)
{
	struct stage stage;
	struct forgery forgery;

	stage_open(&stage, *state);
	forge_begin(&stage, &forgery);
	forge_finish(&stage, &forgery, choose(&stage), NULL, NULL);
	conclude(&stage, &forgery, 2, causes, name);
}

static const struct identity *choose_nobody(struct stage *stage)
{
	(void)stage;
	return NULL;
}

static const struct identity *choose_member(struct stage *stage)
{
	return key_of(stage->honest);
}

static const struct identity *choose_steward(struct stage *stage)
{
	return key_of(stage->offices->steward);
}

static void test_unsigned(void **state)
{
	try_signer(state, choose_nobody, "form|signature", "unsigned");
}

static void test_other_members_key(void **state)
{
	try_signer(state, choose_member, "signature", "key of another member");
}

static void test_stewards_key(void **state)
{
	try_signer(state, choose_steward, "signature", "key of the steward");
}

static void test_unknown_key(void **state)
{
	struct identity *stranger = NULL;
	struct stage stage;
	struct forgery forgery;

	assert_int_equal(identity_create(&stranger, NULL), 0);
	stage_open(&stage, *state);
	forge_begin(&stage, &forgery);
	forge_finish(&stage, &forgery, stranger, NULL, NULL);
	identity_free(stranger);
	conclude(&stage, &forgery, 2, "signature", "unknown key");
}

/* A good signature over other bytes. */
static void test_changed_after_signing(void **state)
{
	struct stage stage;
	struct forgery forgery;
	git_odb_object *object = NULL;
	git_odb *odb = NULL;
	git_oid id;
	char *copy, *at;

	stage_open(&stage, *state);
	forge_begin(&stage, &forgery);
	forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, &id);
	assert_int_equal(git_repository_odb(&odb, stage.remote), 0);
	assert_int_equal(git_odb_read(&object, odb, &id), 0);
	copy = strdup(git_odb_object_data(object));
	assert_non_null(copy);
	at = strstr(copy, "1 change");
	assert_non_null(at);
	*at = '2';
	stage_write(&stage, GIT_OBJECT_COMMIT, copy, git_odb_object_size(object), &id);
	stage_set_ref(&stage, ROGUE_REF, &id);
	free(copy);
	git_odb_object_free(object);
	git_odb_free(odb);
	conclude(&stage, &forgery, 2, "signature", "changed after signing");
}

/* ---- parents ---- */

static void format_parent(char out[64], const char *name, const git_oid *id)
{
	char hex[GIT_OID_HEXSZ + 1];

	git_oid_tostr(hex, sizeof(hex), id);
	(void)snprintf(out, 64, "%s %s", name, hex);
}

static void test_two_parents(void **state)
{
	struct stage stage;
	struct forgery forgery;
	char first[64], second[64], both[160];

	stage_open(&stage, *state);
	forge_begin(&stage, &forgery);
	format_parent(first, "parent", &stage.commits[2]);
	format_parent(second, "parent", &stage.commits[1]);
	(void)snprintf(both, sizeof(both), "%s\n%s", first, second);
	forge_replace(&forgery, "parent ", both);
	forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
	conclude(&stage, &forgery, 1, "damage", "two parents");
}

static void test_missing_parent(void **state)
{
	struct stage stage;
	struct forgery forgery;

	stage_open(&stage, *state);
	forge_begin(&stage, &forgery);
	forge_replace(&forgery, "parent ", "parent 0123456789012345678901234567890123456789");
	forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
	conclude(&stage, &forgery, 1, "damage", "parent that is not there");
}

/* The right previous digest, sequence and signature, but the parent is an older commit: for one who has change set 1
 * it comes where 2 belongs. */
static void test_wrong_parent(void **state)
{
	struct stage stage;
	struct forgery forgery;
	char parent[64];

	stage_open(&stage, *state);
	forge_begin(&stage, &forgery);
	format_parent(parent, "parent", &stage.commits[1]);
	forge_replace(&forgery, "parent ", parent);
	forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
	conclude(&stage, &forgery, 1, "sequence", "parent that is not the one before");
}

/* Two histories, both signed: the office is at fault, so the finding stays when the remote shows the first one again.
 */
static void fork_at(struct stage *stage, struct forgery *forgery, bool from_root)
{
	char parent[64];

	(void)meet(stage->victim, "origin"); /* has change set 2 */
	forge_begin(stage, forgery);
	format_parent(parent, "parent", &stage->commits[1]);
	forge_replace(forgery, "parent ", from_root ? NULL : parent);
	forge_replace(forgery, "Qosid-Sequence: ", from_root ? "Qosid-Sequence: 1" : "Qosid-Sequence: 2");
	if (from_root)
		forge_replace(forgery, "Qosid-Previous: ", NULL);
	forge_finish(stage, forgery, key_of(stage->rogue), NULL, NULL);
}

static void try_fork(void **state, bool from_root)
{
	struct stage stage;
	struct forgery forgery;
	struct exchange_report report;

	stage_open(&stage, *state);
	fork_at(&stage, &forgery, from_root);
	stage_assert_refused(&stage, 2, "fork", from_root ? "second root" : "fork");
	stage_set_ref(&stage, ROGUE_REF, &stage.commits[2]);
	put(stage.honest, "later", "{}");
	(void)meet(stage.honest, "origin");
	report = meet(stage.victim, "origin");
	assert_true(report.findings > 0);
	assert_int_equal(count_findings(stage.victim, "fork"), 1);
	assert_non_null(get(stage.victim, "later"));
	forge_free(&forgery);
	stage_close(&stage);
}

static void test_fork(void **state)
{
	try_fork(state, false);
}

static void test_second_root(void **state)
{
	try_fork(state, true);
}

/* A remote that shows a genuine commit of an office where it does not belong says nothing against the office. */
static void test_files_commit_in_the_office_log(void **state)
{
	struct stage stage;
	struct forgery forgery;
	struct qosid_buf tree = {0};
	git_oid id;

	stage_open(&stage, *state);
	(void)meet(stage.victim, "origin");
	forge_begin(&stage, &forgery);
	forge_add_entry(&tree, "100644", "part.age", &forgery.payload_id);
	forge_set_tree(&stage, &forgery, &tree);
	forge_replace(&forgery, "parent ", NULL);
	forge_replace(&forgery, "Qosid-Sequence: ", "Qosid-Sequence: 1");
	forge_replace(&forgery, "Qosid-Previous: ", "Qosid-File: " ZERO_DIGEST "\nQosid-Part: 1/2");
	forge_finish(&stage, &forgery, key_of(stage.rogue), "refs/heads/files/khujand", &id);
	stage_set_ref(&stage, ROGUE_REF, &id);
	(void)meet(stage.victim, "origin");
	assert_int_equal(count_findings(stage.victim, "fork"), 0);
	assert_true(count_findings(stage.victim, NULL) > 0);
	stage_set_ref(&stage, ROGUE_REF, &stage.commits[2]);
	stage_assert_healed(&stage, "commit of the files log in the office log");
	qosid_buf_free(&tree);
	forge_free(&forgery);
	stage_close(&stage);
}

/* The good log of one office under another's name. */
static void test_log_under_another_name(void **state)
{
	struct stage stage;
	struct forgery forgery = {0};

	git_oid id;

	stage_open(&stage, *state);
	assert_int_equal(git_reference_name_to_id(&id, stage.remote, "refs/heads/office/bokhtar"), 0);
	stage_set_ref(&stage, ROGUE_REF, &id);
	conclude(&stage, &forgery, 1, "chain", "the log of another office");
}

/* ---- trees ---- */

struct tree_case {
	const char *name, *mode, *file;
	bool keep; /* besides changes.age */
	bool is_tree;
	const char *causes;
};

static const struct tree_case trees[] = {
    {"executable payload", "100755", "changes.age", false, false, "damage|payload"},
    {"symlink", "120000", "changes.age", false, false, "damage|payload"},
    {"submodule", "160000", "changes.age", false, false, "damage|payload"},
    {"old group writable mode", "100664", "changes.age", false, false, "damage|payload"},
    {"mode with a zero in front", "0100644", "changes.age", false, false, "damage|payload"},
    {"payload is a folder", "40000", "changes.age", false, true, "damage|payload"},
    {"payload under another name", "100644", "changes.AGE", false, false, "damage|payload"},
    {"payload of another kind of log", "100644", "part.age", false, false, "damage|payload"},
    {"extra file", "100644", "extra", true, false, "damage|payload"},
    {"extra folder", "40000", "epochs", true, true, "damage|payload"},
    {"path that leads out", "100644", "../changes.age", true, false, "damage|payload"},
    {"folder behind it", "40000", "data", true, true, "damage|payload"},
    {"the same name twice", "100644", "changes.age", true, false, "damage|payload"},
};

static void test_trees(void **state)
{
	for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
		const struct tree_case *tree = &trees[i];
		struct qosid_buf raw = {0}, inner = {0};
		struct stage stage;
		struct forgery forgery;
		git_oid folder;

		stage_open(&stage, *state);
		forge_begin(&stage, &forgery);
		forge_add_entry(&inner, "100644", "changes.age", &forgery.payload_id);
		stage_write(&stage, GIT_OBJECT_TREE, inner.data, inner.len, &folder);
		if (tree->keep)
			forge_add_entry(&raw, "100644", "changes.age", &forgery.payload_id);
		forge_add_entry(&raw, tree->mode, tree->file, tree->is_tree ? &folder : &forgery.payload_id);
		forge_set_tree(&stage, &forgery, &raw);
		forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
		conclude(&stage, &forgery, 2, tree->causes, tree->name);
		qosid_buf_free(&raw);
		qosid_buf_free(&inner);
		offices_teardown(state);
		offices_setup(state);
	}
}

static void test_empty_tree(void **state)
{
	struct stage stage;
	struct forgery forgery;
	struct qosid_buf raw = {0};

	stage_open(&stage, *state);
	forge_begin(&stage, &forgery);
	forge_set_tree(&stage, &forgery, &raw);
	forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
	conclude(&stage, &forgery, 2, "damage|payload", "empty tree");
}

static void test_payload_that_is_missing(void **state)
{
	struct stage stage;
	struct forgery forgery;
	struct qosid_buf raw = {0};
	git_oid id;

	stage_open(&stage, *state);
	assert_int_equal(git_oid_fromstr(&id, "0123456789012345678901234567890123456789"), 0);
	forge_begin(&stage, &forgery);
	forge_add_entry(&raw, "100644", "changes.age", &id);
	forge_set_tree(&stage, &forgery, &raw);
	forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
	qosid_buf_free(&raw);
	conclude(&stage, &forgery, 2, "damage", "payload that is missing");
}

/* More than fits is not even copied. */
static void test_oversized_payload(void **state)
{
	struct qosid_buf large = {0};
	struct stage stage;
	struct forgery forgery;

	assert_int_equal(qosid_buf_reserve(&large, LIMIT_CHANGESET_BYTES + 1u, NULL), 0);
	large.len = LIMIT_CHANGESET_BYTES + 1u;
	memset(large.data, 0, large.len);
	stage_open(&stage, *state);
	forge_begin(&stage, &forgery);
	forge_set_payload(&stage, &forgery, &large);
	forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
	qosid_buf_free(&large);
	conclude(&stage, &forgery, 2, "damage|payload", "oversized payload");
}

int main(void)
{
#define STAGE_TEST(f) cmocka_unit_test_setup_teardown(f, offices_setup, offices_teardown)
	const struct CMUnitTest tests[] = {
	    STAGE_TEST(test_control),
	    STAGE_TEST(test_lines),
	    STAGE_TEST(test_unreadable_lines),
	    STAGE_TEST(test_oversized_message),
	    STAGE_TEST(test_unsigned),
	    STAGE_TEST(test_other_members_key),
	    STAGE_TEST(test_stewards_key),
	    STAGE_TEST(test_unknown_key),
	    STAGE_TEST(test_changed_after_signing),
	    STAGE_TEST(test_two_parents),
	    STAGE_TEST(test_missing_parent),
	    STAGE_TEST(test_wrong_parent),
	    STAGE_TEST(test_fork),
	    STAGE_TEST(test_second_root),
	    STAGE_TEST(test_files_commit_in_the_office_log),
	    STAGE_TEST(test_log_under_another_name),
	    STAGE_TEST(test_trees),
	    STAGE_TEST(test_empty_tree),
	    STAGE_TEST(test_payload_that_is_missing),
	    STAGE_TEST(test_oversized_payload),
	};

	return cmocka_run_group_tests(tests, offices_group_setup, offices_group_teardown);
}
