/*
 * Dictionaries in logs: an office that publishes small change sets trains one, everybody reads what needs it, it is not
 * used in another epoch, it comes back with a restored replica; and what a hostile office says about one is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/age.h"
#include "forge.h"
#include "sync/exchange/commit.h"
#include "sync/limits.h"

#define RECORDS 300
#define SETS 140

static void put_record(struct space *space, int number)
{
	char id[32], body[400];

	(void)snprintf(id, sizeof(id), "person:%05d", number);
	(void)snprintf(body, sizeof(body),
	    "{\"type\":\"person\",\"name\":{\"tg\":\"%08x\"},\"born\":%d,\"consent\":{\"purpose\":\"matching skills "
	    "with "
	    "projects\",\"given\":\"2026-%02d-11\",\"by\":\"registrar of the "
	    "office\"},\"contact\":{\"phone\":\"+992%07d\","
	    "\"language\":\"tajik\",\"preferred\":\"telephone\"},\"skills\":[{\"skill\":\"welding\",\"years\":%d}]}",
	    (unsigned)number * 2654435761u, 1950 + number % 50, 1 + number % 12, number * 7919 % 10000000, number % 30);
	put(space, id, body);
}

static void publish_one(struct space *space, int number)
{
	struct exchange_report report;
	struct qosid_errbuf err = {0};

	put_record(space, number);
	must(space_publish(space, NULL, &report, &err), &err);
	assert_int_equal(report.sets_published, 1);
}

/* The own log's newest change set. */
static void read_tip(struct space *space, struct commit *out, size_t *payload)
{
	char path[256], ref[128];
	struct qosid_buf signature = {0}, text = {0};
	git_repository *repository = NULL;
	git_odb_object *object = NULL;
	git_odb *odb = NULL;
	git_tree *tree = NULL;
	git_blob *blob = NULL;
	git_oid id;

	(void)snprintf(path, sizeof(path), "%s/log.git", space_dir(space));
	(void)snprintf(ref, sizeof(ref), "refs/heads/office/%s", space_office(space));
	assert_int_equal(git_repository_open(&repository, path), 0);
	assert_int_equal(git_reference_name_to_id(&id, repository, ref), 0);
	assert_int_equal(git_repository_odb(&odb, repository), 0);
	assert_int_equal(git_odb_read(&object, odb, &id), 0);
	assert_int_equal(
	    commit_parse(out, git_odb_object_data(object), git_odb_object_size(object), &signature, &text, NULL), 0);
	assert_int_equal(git_tree_lookup(&tree, repository, &out->tree), 0);
	assert_int_equal(git_tree_entrycount(tree), out->brings_dictionary ? 2 : 1);
	assert_int_equal(
	    git_blob_lookup(&blob, repository, git_tree_entry_id(git_tree_entry_byname(tree, "changes.age"))), 0);
	*payload = (size_t)git_blob_rawsize(blob);
	git_blob_free(blob);
	git_tree_free(tree);
	git_odb_object_free(object);
	git_odb_free(odb);
	git_repository_free(repository);
	qosid_buf_free(&signature);
	qosid_buf_free(&text);
}

/* Publish small change sets until one brings a dictionary; returns its sequence. */
static int64_t publish_until_trained(struct space *space, int *number)
{
	struct commit commit = {0};
	bool brings = false;
	int64_t sequence = 0;
	size_t payload;

	for (int i = 0; i < SETS && !brings; i++) {
		publish_one(space, (*number)++);
		read_tip(space, &commit, &payload);
		brings = commit.brings_dictionary;
		sequence = commit.sequence;
		assert_int_equal(commit.has_dictionary, brings);
		commit_free(&commit);
	}
	assert_true(brings);
	return sequence;
}

static void fill(struct space *space, int *number)
{
	struct exchange_report report;
	struct qosid_errbuf err = {0};

	while (*number < RECORDS)
		put_record(space, (*number)++);
	must(space_publish(space, NULL, &report, &err), &err);
}

static int visit_fault(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	(void)context;
	(void)err;
	fail_msg("%s: %s", finding->log, finding->detail);
	return 0;
}

static void verify(struct space *space)
{
	struct qosid_errbuf err = {0};
	struct exchange_proof proof;

	must(space_verify(space, true, NULL, visit_fault, NULL, &proof, &err), &err);
}

static void test_trained_when_it_pays(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader"), *london;
	struct space *witness = offices_add(offices, "watcher", "witness");
	struct exchange_report report;
	struct commit commit = {0};
	size_t before, after;
	int64_t sequence;
	int number = 0;

	fill(offices->steward, &number);
	publish_one(offices->steward, number++);
	read_tip(offices->steward, &commit, &before);
	assert_false(commit.has_dictionary); /* too few change sets to pay for one */
	commit_free(&commit);
	sequence = publish_until_trained(offices->steward, &number);
	assert_true(sequence > 32);
	publish_one(offices->steward, number++);
	read_tip(offices->steward, &commit, &after);
	assert_true(commit.has_dictionary);
	assert_false(commit.brings_dictionary); /* once is enough */
	commit_free(&commit);
	assert_true(after + 100 < before);
	(void)meet(offices->steward, "origin");
	report = meet(khujand, "origin");
	assert_int_equal(report.findings, 0);
	assert_equal_replicas(offices->steward, khujand);
	/* The reader has it from an earlier meeting. */
	publish_one(offices->steward, number++);
	(void)meet(offices->steward, "origin");
	report = meet(khujand, "origin");
	assert_int_equal(report.findings, 0);
	assert_equal_replicas(offices->steward, khujand);
	report = meet(witness, "origin");
	assert_int_equal(report.findings, 0);
	london = offices_add(offices, "london", "reader");
	(void)meet(offices->steward, "origin");
	(void)meet(london, "origin");
	assert_equal_replicas(offices->steward, london);
	verify(offices->steward);
	verify(london);
	verify(witness);
	space_close(khujand);
	space_close(london);
	space_close(witness);
}

static void test_other_epoch(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct space_outcome outcome;
	struct exchange_report report;
	struct qosid_errbuf err = {0};
	struct commit commit = {0};
	size_t payload;
	int number = 0;

	fill(offices->steward, &number);
	(void)publish_until_trained(offices->steward, &number);
	must(space_rotate(offices->steward, &outcome, &err), &err);
	publish_one(offices->steward, number++);
	read_tip(offices->steward, &commit, &payload);
	assert_int_equal(commit.epoch, 2);
	assert_true(!commit.has_dictionary || commit.brings_dictionary);
	commit_free(&commit);
	(void)publish_until_trained(offices->steward, &number); /* one of its own */
	(void)meet(offices->steward, "origin");
	report = meet(khujand, "origin");
	assert_int_equal(report.findings, 0);
	assert_equal_replicas(offices->steward, khujand);
	verify(khujand);
	space_close(khujand);
}

/* The replica is from before the dictionary: it comes back from the own log, and goes on to be used. */
static void test_restored_replica(void **state)
{
	struct offices *offices = *state;
	struct commit first = {0}, second = {0};
	int number = 0;
	size_t payload;

	fill(offices->steward, &number);
	space_close(offices->steward);
	copy_folder(offices_path(offices, "dushanbe/replica.db"), offices_path(offices, "before.db"));
	offices->steward = offices_open(offices, "dushanbe");
	(void)publish_until_trained(offices->steward, &number);
	read_tip(offices->steward, &first, &payload);
	space_close(offices->steward);
	copy_folder(offices_path(offices, "before.db"), offices_path(offices, "dushanbe/replica.db"));
	offices->steward = offices_open(offices, "dushanbe");
	publish_one(offices->steward, number++);
	read_tip(offices->steward, &second, &payload);
	assert_int_equal(second.sequence, first.sequence + 1);
	assert_true(second.has_dictionary);
	assert_false(second.brings_dictionary);
	assert_memory_equal(first.dictionary, second.dictionary, DIGEST_BYTES);
	commit_free(&first);
	commit_free(&second);
	verify(offices->steward);
}

/* Settings are the publisher's own matter. */
static void test_settings(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader");
	struct commit commit = {0};
	struct qosid_errbuf err = {0};
	struct space *refused;
	int number = 0;
	size_t payload;
	FILE *config;

	fill(offices->steward, &number);
	space_close(offices->steward);
	config = fopen(offices_path(offices, "dushanbe/config"), "a");
	assert_non_null(config);
	assert_true(fputs("[space]\n\tcompression-dictionary = off\n\tpadding = padme\n", config) >= 0);
	assert_int_equal(fclose(config), 0);
	offices->steward = offices_open(offices, "dushanbe");
	for (int i = 0; i < SETS; i++)
		publish_one(offices->steward, number++);
	read_tip(offices->steward, &commit, &payload);
	assert_false(commit.has_dictionary);
	assert_int_equal((payload - 200) % 8, 0); /* age adds 200 bytes to 256 to 511 of Padmé's sizes */
	commit_free(&commit);
	(void)meet(offices->steward, "origin");
	(void)meet(khujand, "origin");
	assert_equal_replicas(offices->steward, khujand);
	space_close(khujand);
	config = fopen(offices_path(offices, "khujand/config"), "a");
	assert_non_null(config);
	assert_true(fputs("[space]\n\tpadding = much\n", config) >= 0);
	assert_int_equal(fclose(config), 0);
	assert_int_equal(space_open(&refused, offices_path(offices, "khujand"), false, NULL, &err), QOSID_ERR_INVALID);
	assert_non_null(strstr(err.what, "space.padding"));
}

/* ---- hostile ---- */

enum lie { HONEST, NEVER_BROUGHT, NOT_NAMED, NOT_THERE, OTHER_CONTENT, OTHER_PLAIN, NO_DICTIONARY, LARGE, LIES };

static const struct identity *key_of(struct space *space)
{
	const struct identity *identity = NULL;
	struct qosid_errbuf err = {0};

	must(space_identity(space, &identity, &err), &err);
	return identity;
}

static void add_trailer(struct qosid_buf *line, const char *name, const void *data, size_t len)
{
	char text[DIGEST_TEXT_SIZE];
	uint8_t digest[DIGEST_BYTES];

	digest_compute(digest, data, len);
	digest_format(text, digest);
	assert_int_equal(qosid_buf_append_format(line, NULL, "\n%s: %s", name, text), 0);
}

static void forge_dictionary(struct stage *stage, struct forgery *forgery, enum lie lie, const void *data, size_t len)
{
	const char *recipient = roster_epoch_recipient(space_roster(stage->rogue), -1, 1), *content;
	struct qosid_buf sealed = {0}, tree = {0}, line = {0}, large = {0};
	git_oid blob;

	if (lie == LARGE) {
		assert_int_equal(qosid_buf_reserve(&large, LIMIT_DICTIONARY_SEALED_BYTES + 1, NULL), 0);
		memset(large.data, 7, LIMIT_DICTIONARY_SEALED_BYTES + 1);
		large.len = LIMIT_DICTIONARY_SEALED_BYTES + 1;
		data = large.data;
		len = large.len;
	} else if (lie == NO_DICTIONARY) {
		data = "nothing";
		len = strlen("nothing");
	}
	assert_int_equal(age_encrypt_buf(&sealed, &recipient, 1, data, len, NULL), 0);
	stage_write(stage, GIT_OBJECT_BLOB, sealed.data, sealed.len, &blob);
	forge_add_entry(&tree, "100644", "changes.age", &forgery->payload_id);
	if (lie != NEVER_BROUGHT && lie != NOT_THERE)
		forge_add_entry(&tree, "100644", "dictionary.age", &blob);
	forge_set_tree(stage, forgery, &tree);
	content = strstr((const char *)forgery->text.data, "Qosid-Content: ");
	assert_int_equal(qosid_buf_append(&line, content, strcspn(content, "\n"), NULL), 0);
	if (lie != NOT_NAMED)
		add_trailer(&line, "Qosid-Dictionary", data, lie == OTHER_PLAIN ? len - 1 : len);
	if (lie != NOT_NAMED && lie != NEVER_BROUGHT)
		add_trailer(
		    &line, "Qosid-Dictionary-Content", sealed.data, lie == OTHER_CONTENT ? sealed.len - 1 : sealed.len);
	forge_replace(forgery, "Qosid-Content: ", (const char *)line.data);
	qosid_buf_free(&sealed);
	qosid_buf_free(&tree);
	qosid_buf_free(&line);
	qosid_buf_free(&large);
}

static void test_lies(void **state)
{
	static const char *const names[LIES] = {[NEVER_BROUGHT] = "never brought",
	    [NOT_NAMED] = "not named",
	    [NOT_THERE] = "not there",
	    [OTHER_CONTENT] = "other content",
	    [OTHER_PLAIN] = "other plaintext",
	    [NO_DICTIONARY] = "no dictionary",
	    [LARGE] = "too large"};
	struct changeset_dictionary *dictionary = NULL;
	struct offices *offices = *state;
	struct changeset_gain gain;
	struct qosid_errbuf err = {0};
	struct qosid_buf copy = {0};
	const void *data;
	int number = 0;
	size_t len;

	fill(offices->steward, &number);
	must(changeset_dictionary_train(space_replica(offices->steward), NULL, &dictionary, &gain, &err), &err);
	assert_non_null(dictionary);
	data = changeset_dictionary_data(dictionary, &len);
	assert_int_equal(qosid_buf_append(&copy, data, len, NULL), 0);
	changeset_dictionary_free(dictionary);
	for (enum lie lie = HONEST; lie < LIES; lie++) {
		struct stage stage;
		struct forgery forgery;

		offices_teardown(state);
		offices_setup(state);
		stage_open(&stage, *state);
		forge_begin(&stage, &forgery);
		forge_dictionary(&stage, &forgery, lie, copy.data, copy.len);
		forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
		if (lie == HONEST) { /* so that the others fail for the reason that they are meant to */
			struct exchange_report report = meet(stage.victim, "origin");

			assert_int_equal(report.findings, 0);
			assert_non_null(get(stage.victim, "evil"));
		} else
			stage_assert_refused(&stage, 2, "payload|dictionary", names[lie]);
		forge_free(&forgery);
		stage_close(&stage);
	}
	qosid_buf_free(&copy);
}

/* A new generation begins without the one in use, so its first change set brings it again: who joins then can read on.
 */
static void test_generation(void **state)
{
	struct offices *offices = *state;
	struct space *khujand = offices_add(offices, "khujand", "writer,reader"), *late;
	struct qosid_errbuf err = {0};
	struct commit commit = {0};
	size_t payload;
	int number = 0;

	fill(offices->steward, &number);
	(void)publish_until_trained(offices->steward, &number);
	(void)meet(offices->steward, "origin");
	(void)meet(khujand, "origin");
	must(space_restart(offices->steward, NULL, NULL, &err), &err);
	read_tip(offices->steward, &commit, &payload);
	assert_int_equal(commit.snapshot, SNAPSHOT_WHOLE);
	assert_true(commit.brings_dictionary);
	commit_free(&commit);
	publish_one(offices->steward, number++);
	read_tip(offices->steward, &commit, &payload);
	assert_true(commit.has_dictionary && !commit.brings_dictionary);
	commit_free(&commit);
	(void)meet(offices->steward, "origin");
	(void)meet(khujand, "origin");
	late = offices_add(offices, "geneva", "reader");
	(void)meet(offices->steward, "origin");
	(void)meet(late, "origin");
	assert_equal_replicas(offices->steward, khujand);
	assert_equal_replicas(offices->steward, late);
	verify(offices->steward);
	verify(late);
	space_close(late);
	space_close(khujand);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_trained_when_it_pays, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_generation, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_other_epoch, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_restored_replica, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_settings, offices_setup, offices_teardown),
	    cmocka_unit_test_setup_teardown(test_lies, offices_setup, offices_teardown),
	};

	return cmocka_run_group_tests(tests, offices_group_setup, offices_group_teardown);
}
