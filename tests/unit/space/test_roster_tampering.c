/*
 * The roster under attack: nobody but the steward changes who is a member, an office that joins accepts only the root
 * it was given, and a remote that shows a damaged roster is found out and survived.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/digest.h"
#include "forge.h"
#include "sync/exchange/log.h"

#define ROSTER_REF "refs/heads/roster/dushanbe"

static const struct identity *key_of(struct space *space)
{
	const struct identity *identity = NULL;
	struct qosid_errbuf err = {0};

	must(space_identity(space, &identity, &err), &err);
	return identity;
}

struct wanted {
	const char *log, *causes;
	size_t count;
};

static int check_finding(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	struct wanted *wanted = context;

	(void)err;
	if (strcmp(finding->log, wanted->log) != 0 || strstr(wanted->causes, finding->cause) == NULL ||
	    (finding->sequence < 1 && strcmp(finding->cause, "member") != 0) || finding->detail[0] == '\0')
		fail_msg("found %s at %lld, %s: %s", finding->log, (long long)finding->sequence, finding->cause,
		    finding->detail);
	wanted->count++;
	return 0;
}

static void assert_found(struct space *space, const char *log, const char *causes)
{
	struct wanted wanted = {.log = log, .causes = causes};
	struct qosid_errbuf err = {0};

	must(replica_visit_findings(space_replica(space), check_finding, &wanted, &err), &err);
	if (wanted.count != 1)
		fail_msg("%s: %zu findings where one of %s belongs", log, wanted.count, causes);
}

/* Append an operation to the roster log of this office in the remote, signed by signer, with the wrapped keys that the
 * steward's newest commit has. from_root: as if nothing had been before. */
static void append_operation(struct stage *stage, const char *office, const struct identity *signer,
    const struct qosid_buf *operation, bool from_root)
{
	char subject[] = "forged";
	struct commit commit = {.subject = subject, .time = 1795500000};
	struct log_point point = {0};
	struct repo_entry epochs = {.name = "epochs", .is_tree = true};
	struct qosid_errbuf err = {0};
	struct repo *repo = NULL;
	git_odb_object *object = NULL;
	git_commit *newest = NULL;
	git_tree *tree = NULL;
	git_odb *odb = NULL;
	char ref[LOG_REF_SIZE];
	struct log log;

	assert_int_equal(git_reference_name_to_id(&point.commit, stage->remote, ROSTER_REF), 0);
	assert_int_equal(git_commit_lookup(&newest, stage->remote, &point.commit), 0);
	assert_int_equal(git_commit_tree(&tree, newest), 0);
	epochs.id = *git_tree_entry_id(git_tree_entry_byname(tree, "epochs"));
	assert_int_equal(git_repository_odb(&odb, stage->remote), 0);
	assert_int_equal(git_odb_read(&object, odb, &point.commit), 0);
	digest_compute(point.digest, git_odb_object_data(object), git_odb_object_size(object));
	point.sequence = (int64_t)roster_operation_count(space_roster(stage->offices->steward));
	if (from_root)
		point = (struct log_point){0};
	log_init(&log, LOG_ROSTER, office);
	must(repo_open(&repo, offices_path(stage->offices, "remote.git"), false, &err), &err);
	must(log_append(repo, &log, space_id(stage->victim), signer, &point, &commit, operation, &epochs, 1, &err),
	    &err);
	must(repo_flush(repo, &err), &err);
	repo_free(repo);
	log_format_head(ref, &log);
	stage_set_ref(stage, ref, &point.commit);
	git_odb_object_free(object);
	git_odb_free(odb);
	git_tree_free(tree);
	git_commit_free(newest);
}

/* As the steward's newest operation names it. */
static struct roster_epoch newest_epoch(const struct stage *stage)
{
	const struct roster *roster = space_roster(stage->offices->steward);
	struct roster_entry entry;

	roster_read_entry(roster, roster_operation_count(roster) - 1, &entry);
	return entry.epoch;
}

/* The operation that lets a new member in, with these roles, as steward would say it. */
static void format_add(
    struct stage *stage, const char *steward, const char *office, unsigned roles, struct qosid_buf *out)
{
	const struct roster *roster = space_roster(stage->offices->steward);
	struct roster_member member = {.roles = roles};
	struct identity *identity = NULL;
	struct roster_epoch epoch = newest_epoch(stage);

	assert_int_equal(identity_create(&identity, NULL), 0);
	(void)snprintf(member.office, sizeof(member.office), "%s", office);
	memcpy(member.signing_public, identity_signing_public(identity), SIGNING_PUBLIC_BYTES);
	(void)snprintf(member.recipient, sizeof(member.recipient), "%s", identity_recipient(identity));
	assert_int_equal(roster_format_change(out, roster, steward, (int64_t)roster_operation_count(roster) + 1,
			     &(struct roster_change){.kind = ROSTER_ADD, .member = member, .epoch = &epoch},
			     INT64_C(1795500000000), NULL),
	    0);
	identity_free(identity);
}

/* The victim meets the remote: nobody new is a member, records go on, the rest verifies. */
static void assert_unmoved(struct stage *stage, const char *stranger)
{
	size_t states = roster_operation_count(space_roster(stage->victim));
	struct exchange_report report;
	struct qosid_errbuf err = {0};

	put(stage->honest, "later", "{}");
	(void)meet(stage->honest, "origin");
	must(space_exchange(stage->victim, "origin", NULL, &report, &err), &err);
	assert_true(report.findings > 0);
	assert_int_equal(roster_operation_count(space_roster(stage->victim)), states);
	assert_null(roster_find_member(space_roster(stage->victim), -1, stranger));
	assert_non_null(get(stage->victim, "later"));
	assert_equal_replicas(stage->victim, stage->honest);
}

static void test_roster_of_someone_else(void **state)
{
	struct qosid_buf operation = {0};
	struct stage stage;

	stage_open(&stage, *state);
	format_add(&stage, "khujand", "accomplice", ROLE_WRITER, &operation);
	append_operation(&stage, "khujand", key_of(stage.rogue), &operation, false);
	assert_unmoved(&stage, "accomplice");
	assert_found(stage.victim, "roster/khujand@origin", "member");
	qosid_buf_free(&operation);
	stage_close(&stage);
}

/* Steps of the steward's own log that the steward did not take. */
static void try_forged_step(
    void **state, const char *steward, const char *office, unsigned roles, bool by_steward, const char *causes)
{
	struct qosid_buf operation = {0};
	struct stage stage;
	git_oid good;

	stage_open(&stage, *state);
	assert_int_equal(git_reference_name_to_id(&good, stage.remote, ROSTER_REF), 0);
	format_add(&stage, steward, office, roles, &operation);
	append_operation(
	    &stage, "dushanbe", key_of(by_steward ? stage.offices->steward : stage.rogue), &operation, false);
	assert_unmoved(&stage, by_steward ? "nobody" : office);
	assert_found(stage.victim, "roster/dushanbe@origin", causes);
	stage_set_ref(&stage, ROSTER_REF, &good);
	stage_assert_healed(&stage, "forged step of the roster");
	qosid_buf_free(&operation);
	stage_close(&stage);
	offices_teardown(state);
	offices_setup(state);
}

static void test_forged_steps(void **state)
{
	try_forged_step(state, "dushanbe", "accomplice", ROLE_WRITER, false, "signature");
	try_forged_step(state, "khujand", "accomplice", ROLE_WRITER, false, "signature operation");
	try_forged_step(state, "dushanbe", "accomplice", ROLE_STEWARD | ROLE_WRITER, false, "signature operation");
	/* Not even the steward makes a second member of a name. */
	try_forged_step(state, "dushanbe", "khujand", ROLE_STEWARD | ROLE_WRITER, true, "operation");
}

/* An operation that is right, but whose wrapped key is not the one it names. */
static void test_other_wrapped_key(void **state)
{
	struct qosid_buf operation = {0};
	struct stage stage;
	char *digest;

	stage_open(&stage, *state);
	format_add(&stage, "dushanbe", "accomplice", ROLE_WRITER, &operation);
	digest = strstr((char *)operation.data, "\"file\":\"blake2b-256:");
	assert_non_null(digest);
	memset(digest + 20, '0', 64);
	append_operation(&stage, "dushanbe", key_of(stage.offices->steward), &operation, false);
	put(stage.honest, "later", "{}");
	(void)meet(stage.honest, "origin");
	(void)meet(stage.victim, "origin");
	assert_found(stage.victim, "roster/dushanbe@origin", "epoch");
	assert_non_null(get(stage.victim, "later"));
	assert_equal_replicas(stage.victim, stage.honest);
	qosid_buf_free(&operation);
	stage_close(&stage);
}

/* A second root, even one that the steward signed: who has the first one stays with it, who joins refuses it. */
static void test_second_root(void **state)
{
	struct qosid_buf operation = {0};
	struct roster_member member;
	struct roster_epoch epoch;
	struct qosid_errbuf err = {0};
	struct exchange_report report;
	struct space *joiner;
	struct stage stage;
	git_oid good;

	stage_open(&stage, *state);
	assert_int_equal(git_reference_name_to_id(&good, stage.remote, ROSTER_REF), 0);
	joiner = offices_add(stage.offices, "geneva", "reader");
	member = *roster_find_member(space_roster(stage.offices->steward), -1, "dushanbe");
	epoch = newest_epoch(&stage);
	must(roster_format_create(&operation, space_id(stage.victim), &member, &epoch, INT64_C(1795500000000), &err),
	    &err);
	append_operation(&stage, "dushanbe", key_of(stage.offices->steward), &operation, true);
	assert_unmoved(&stage, "nobody");
	assert_found(stage.victim, "roster/dushanbe", "fork");
	must(space_exchange(joiner, "origin", NULL, &report, &err), &err);
	assert_found(joiner, "roster/dushanbe@origin", "root");
	assert_int_equal(roster_operation_count(space_roster(joiner)), 0);
	assert_null(get(joiner, "good-1"));
	stage_set_ref(&stage, ROSTER_REF, &good);
	(void)meet(stage.offices->steward, "origin");
	(void)meet(joiner, "origin");
	assert_non_null(get(joiner, "good-1"));
	assert_equal_replicas(joiner, stage.honest);
	qosid_buf_free(&operation);
	space_close(joiner);
	stage_close(&stage);
}

/* ---- damage ---- */

static void flip_object(struct stage *stage, const git_oid *id)
{
	char path[512], hex[GIT_OID_HEXSZ + 1];
	struct stat status;
	FILE *file;
	int byte;

	git_oid_tostr(hex, sizeof(hex), id);
	(void)snprintf(path, sizeof(path), "%sobjects/%.2s/%s", git_repository_path(stage->remote), hex, hex + 2);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(chmod(path, 0600), 0);
	file = fopen(path, "r+b");
	assert_non_null(file);
	assert_int_equal(fseek(file, status.st_size / 2, SEEK_SET), 0);
	byte = fgetc(file);
	assert_int_equal(fseek(file, status.st_size / 2, SEEK_SET), 0);
	assert_int_equal(fputc(byte ^ 1, file), byte ^ 1);
	assert_int_equal(fclose(file), 0);
}

/* All that a roster commit consists of. The office that joins knows nothing yet; that which is a member goes on. */
static void test_flipped_bits(void **state)
{
	static const char *const parts[] = {"", "operation.json", "epochs", "epochs/1.age"};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct stage stage;
		struct space *joiner;
		git_commit *commit = NULL;
		git_tree_entry *entry = NULL;
		git_tree *tree = NULL;
		git_oid id;

		stage_open(&stage, *state);
		joiner = offices_add(stage.offices, "geneva", "reader");
		(void)meet(stage.offices->steward, "origin");
		assert_int_equal(git_reference_name_to_id(&id, stage.remote, ROSTER_REF), 0);
		assert_int_equal(git_commit_lookup(&commit, stage.remote, &id), 0);
		assert_int_equal(git_commit_tree(&tree, commit), 0);
		if (parts[i][0] != '\0') {
			assert_int_equal(git_tree_entry_bypath(&entry, tree, parts[i]), 0);
			id = *git_tree_entry_id(entry);
		}
		copy_folder(offices_path(stage.offices, "remote.git"), offices_path(stage.offices, "good.git"));
		flip_object(&stage, &id);
		put(stage.honest, "later", "{}");
		(void)meet(stage.honest, "origin");
		(void)meet(stage.victim, "origin");
		assert_found(stage.victim, "roster/dushanbe@origin", "damage");
		assert_non_null(get(stage.victim, "later"));
		(void)meet(joiner, "origin");
		assert_found(joiner, "roster/dushanbe@origin", "damage");
		assert_null(get(joiner, "good-1"));
		remove_folder(offices_path(stage.offices, "remote.git"));
		copy_folder(offices_path(stage.offices, "good.git"), offices_path(stage.offices, "remote.git"));
		(void)meet(stage.honest, "origin");
		(void)meet(joiner, "origin");
		(void)meet(stage.victim, "origin");
		assert_int_equal(count_findings(joiner, NULL), 0);
		assert_int_equal(count_findings(stage.victim, NULL), 0);
		assert_equal_replicas(joiner, stage.honest);
		git_tree_entry_free(entry);
		git_tree_free(tree);
		git_commit_free(commit);
		space_close(joiner);
		stage_close(&stage);
		offices_teardown(state);
		offices_setup(state);
	}
}

int main(void)
{
#define STAGE_TEST(f) cmocka_unit_test_setup_teardown(f, offices_setup, offices_teardown)
	const struct CMUnitTest tests[] = {
	    STAGE_TEST(test_roster_of_someone_else),
	    STAGE_TEST(test_forged_steps),
	    STAGE_TEST(test_other_wrapped_key),
	    STAGE_TEST(test_second_root),
	    STAGE_TEST(test_flipped_bits),
	};

	return cmocka_run_group_tests(tests, offices_group_setup, offices_group_teardown);
}
