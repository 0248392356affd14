/*
 * Roster operations: their form, and every kind of operation that must be refused. After each refusal the roster is as
 * it was.
 */
#include "fixture.h"

#include <string.h>

static struct space_fixture fixture;
static struct roster_member khujand;
static struct qosid_buf operation;
static uint8_t digest_before[DIGEST_BYTES];

static int setup(void **state)
{
	(void)state;
	fixture_create(&fixture);
	make_member(&khujand, "khujand", ROLE_WRITER | ROLE_READER);
	fixture_format_add(&fixture, &khujand, &operation);
	assert_done(roster_state_digest(fixture.roster, -1, digest_before, E));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	uint8_t digest[DIGEST_BYTES];

	/* what was refused left nothing behind, and the good operation still works */
	assert_int_equal(roster_operation_count(fixture.roster), 1);
	assert_done(roster_state_digest(fixture.roster, -1, digest, E));
	assert_memory_equal(digest, digest_before, DIGEST_BYTES);
	fixture_admit(&fixture, &khujand);
	fixture_free(&fixture);
	qosid_buf_free(&operation);
	return 0;
}

static void test_form(void **state)
{
	(void)state;
	const char *text = (const char *)operation.data;

	assert_non_null(strstr(text, "{\"epochs\":[{\"file\":\"blake2b-256:01"));
	assert_non_null(strstr(text, ",\"format\":1,\"member\":{\"encryption\":\"age1"));
	assert_non_null(
	    strstr(text, "\"office\":\"khujand\",\"roles\":\"reader,writer\",\"signing\":\"ssh-ed25519 AAAA"));
	assert_non_null(strstr(text, "},\"operation\":\"add\",\"seen\":[\"blake2b-256:"));
	assert_non_null(strstr(text, ",\"sequence\":2,\"space\":\"" SPACE "\",\"steward\":\"dushanbe\","
				     "\"time\":\"2026-11-25T08:00:00.123Z\"}"));
}

static void assert_form_refused(const char *from, const char *to, int code, const char *says)
{
	struct qosid_buf changed = {0};

	assert_done(qosid_buf_append(&changed, operation.data, operation.len, E));
	replace_text(&changed, from, to);
	assert_refused(code, says, fixture_give(&fixture, &changed, E));
	qosid_buf_free(&changed);
}

static void test_malformed(void **state)
{
	(void)state;
	struct qosid_buf changed = {0};

	assert_form_refused("{\"epochs\"", "{ \"epochs\"", QOSID_ERR_INVALID, "canonical");
	assert_form_refused("dushanbe", "\\u0064ushanbe", QOSID_ERR_INVALID, "canonical");
	assert_form_refused("\"format\":1", "\"format\":2", QOSID_ERR_INVALID, "format 2");
	assert_form_refused("\"format\":1", "\"format\":1.0", QOSID_ERR_INVALID, "format");
	assert_form_refused("\"format\":1", "\"format\":\"1\"", QOSID_ERR_INVALID, "format");
	assert_form_refused("\"operation\":\"add\"", "\"operation\":\"promote\"", QOSID_ERR_INVALID, "no known kind");
	assert_form_refused("\"operation\":\"add\"", "\"operation\":null", QOSID_ERR_INVALID, "no known kind");
	assert_form_refused(",\"steward\":\"dushanbe\"", "", QOSID_ERR_INVALID, "\"steward\"");
	assert_form_refused("3Z\"}", "3Z\",\"until\":1}", QOSID_ERR_INVALID, "too many");
	assert_form_refused("3Z\"}", "3Z\",\"time\":1}", QOSID_ERR_INVALID, "");
	assert_form_refused("3Z\"}", "3Z\"}\n", QOSID_ERR_INVALID, "canonical");
	assert_form_refused("3Z\"}", "3Z\"", QOSID_ERR_INVALID, "");
	assert_form_refused("T08:", "T25:", QOSID_ERR_INVALID, "does not exist");
	assert_form_refused("00.123Z", "00Z", QOSID_ERR_INVALID, "time");
	assert_form_refused("\"sequence\":2", "\"sequence\":0", QOSID_ERR_INVALID, "\"sequence\"");
	assert_form_refused("\"sequence\":2", "\"sequence\":-2", QOSID_ERR_INVALID, "\"sequence\"");
	assert_form_refused("\"sequence\":2", "\"sequence\":2e0", QOSID_ERR_INVALID, "\"sequence\"");
	assert_form_refused("\"sequence\":2", "\"sequence\":18446744073709551618", QOSID_ERR_INVALID, "\"sequence\"");
	assert_form_refused("\"seen\":[\"blake2b-256:", "\"seen\":[\"sha-256:", QOSID_ERR_INVALID, "\"seen\"");
	assert_form_refused("\"number\":1", "\"number\":0", QOSID_ERR_INVALID, "\"number\"");
	assert_form_refused("\"number\":1", "\"number\":3", QOSID_ERR_REFUSED, "epoch 3");
	assert_form_refused("\"roles\":\"reader,writer\"", "\"roles\":\"writer,reader\"", QOSID_ERR_INVALID, "order");
	assert_form_refused("\"roles\":\"reader,writer\"", "\"roles\":\"\"", QOSID_ERR_INVALID, "role");
	assert_form_refused(
	    "\"roles\":\"reader,writer\"", "\"roles\":\"auditor,writer\"", QOSID_ERR_INVALID, "auditor");
	assert_form_refused("\"roles\":\"reader,writer\"", "\"roles\":[\"reader\"]", QOSID_ERR_INVALID, "\"roles\"");
	assert_form_refused("\"encryption\":\"age1", "\"encryption\":\"AGE1", QOSID_ERR_INVALID, "");
	assert_form_refused("\"encryption\":\"age1", "\"encryption\":\"age1qqqq", QOSID_ERR_INVALID, "");
	assert_form_refused("\"signing\":\"ssh-ed25519 ", "\"signing\":\"ssh-rsa ", QOSID_ERR_INVALID, "");
	assert_form_refused("\"signing\":\"ssh-ed25519 ", "\"signing\":\"ssh-ed25519  ", QOSID_ERR_INVALID, "");
	assert_form_refused("\"space\":\"0", "\"space\":\"G", QOSID_ERR_INVALID, "space");
	assert_form_refused("\"space\":\"00", "\"space\":\"0", QOSID_ERR_INVALID, "space");
	assert_form_refused("\"khujand\"", "\"Khujand\"", QOSID_ERR_INVALID, "office name");
	assert_form_refused("\"khujand\"", "\"kh\xd1\x83jand\"", QOSID_ERR_INVALID, "office name");
	assert_form_refused("\"khujand\"", "\"khujand\\u0000\"", QOSID_ERR_INVALID, "control");
	assert_form_refused("\"khujand\"", "\"\"", QOSID_ERR_INVALID, "office name");

	while (changed.len <= ROSTER_OPERATION_BYTES)
		assert_done(qosid_buf_append_text(&changed, "                                        ", E));
	assert_refused(QOSID_ERR_LIMIT, "larger", fixture_give(&fixture, &changed, E));
	qosid_buf_reset(&changed);
	assert_done(qosid_buf_append_text(&changed, "[]", E));
	assert_refused(QOSID_ERR_INVALID, "", fixture_give(&fixture, &changed, E));
	qosid_buf_free(&changed);
}

/* Cut at every byte: never accepted, never more than an error. */
static void test_truncated(void **state)
{
	(void)state;
	struct qosid_buf cut = operation;

	for (cut.len = 0; cut.len < operation.len; cut.len++)
		assert_int_not_equal(fixture_give(&fixture, &cut, NULL), 0);
}

static int give_as(const char *steward, int64_t sequence, const struct roster_member *signer, struct qosid_errbuf *err)
{
	return roster_add_operation(
	    fixture.roster, steward, sequence, signer->signing_public, operation.data, operation.len, err);
}

static void test_wrong_signer(void **state)
{
	(void)state;
	struct roster_member stranger;

	make_member(&stranger, "stranger", ROLE_STEWARD);
	assert_refused(QOSID_ERR_REFUSED, "not signed by the steward", give_as("dushanbe", 2, &stranger, E));
	assert_refused(QOSID_ERR_REFUSED, "not signed by the steward", give_as("dushanbe", 2, &khujand, E));
	assert_refused(QOSID_ERR_REFUSED, "log of khujand", give_as("khujand", 2, &fixture.steward.member, E));
}

/* A member writes a roster log of its own, and makes itself or a friend something. */
static void test_self_promotion(void **state)
{
	(void)state;
	struct space_fixture other;
	struct roster_member friend;
	struct qosid_buf forged = {0};
	uint8_t signer[SIGNING_PUBLIC_BYTES];

	/* on a roster of its own, so that teardown's stays at one state */
	fixture_create(&other);
	fixture_admit(&other, &khujand);
	make_member(&friend, "friend", ROLE_WRITER | ROLE_READER);
	assert_done(roster_format_change(&forged, other.roster, "khujand", 1,
	    &(struct roster_change){.kind = ROSTER_ADD, .member = friend, .epoch = &other.epoch}, TIME, E));
	assert_refused(QOSID_ERR_REFUSED, "khujand is not a steward",
	    roster_add_operation(other.roster, "khujand", 1, khujand.signing_public, forged.data, forged.len, E));
	assert_refused(QOSID_ERR_REFUSED, "khujand is not a steward",
	    roster_expected_signer(other.roster, "khujand", forged.data, forged.len, signer, E));
	assert_refused(QOSID_ERR_REFUSED, "log of nobody",
	    roster_expected_signer(other.roster, "nobody", forged.data, forged.len, signer, E));

	/* it stays a member once, whatever the steward signs */
	qosid_buf_reset(&forged);
	khujand.roles = ROLE_READER;
	fixture_format_add(&other, &khujand, &forged);
	assert_refused(QOSID_ERR_REFUSED, "khujand is a member already", fixture_give(&other, &forged, E));
	qosid_buf_free(&forged);
	fixture_free(&other);
}

static void test_sequence(void **state)
{
	(void)state;
	struct space_fixture other;
	struct qosid_buf repeated = {0};

	assert_refused(QOSID_ERR_REFUSED, "its commit 3", give_as("dushanbe", 3, &fixture.steward.member, E));
	replace_text(&operation, "\"sequence\":2", "\"sequence\":3");
	assert_refused(QOSID_ERR_REFUSED, "expected is 2", give_as("dushanbe", 3, &fixture.steward.member, E));
	replace_text(&operation, "\"sequence\":3", "\"sequence\":1");
	assert_refused(QOSID_ERR_REFUSED, "expected is 2", give_as("dushanbe", 1, &fixture.steward.member, E));

	/* the same operation again: under its own number it changes nothing, under the next one it is another */
	fixture_create(&other);
	fixture_format_add(&other, &khujand, &repeated);
	assert_done(fixture_give(&other, &repeated, E));
	assert_done(roster_add_operation(
	    other.roster, "dushanbe", 2, other.steward.member.signing_public, repeated.data, repeated.len, E));
	assert_done(roster_add_operation(other.roster, "dushanbe", 1, other.steward.member.signing_public,
	    other.created.data, other.created.len, E));
	replace_text(&repeated, "\"sequence\":2", "\"sequence\":3");
	assert_refused(QOSID_ERR_REFUSED, "expected is 2", fixture_give(&other, &repeated, E));
	assert_int_equal(roster_operation_count(other.roster), 2);
	qosid_buf_free(&repeated);
	fixture_free(&other);
}

static void test_wrong_state(void **state)
{
	(void)state;
	struct space_fixture other;
	struct qosid_buf foreign = {0};

	replace_text(&operation, "\"space\":\"0", "\"space\":\"f");
	assert_refused(QOSID_ERR_REFUSED, "another space", fixture_give(&fixture, &operation, E));

	fixture_create(&other);
	fixture_format_add(&other, &khujand, &foreign);
	assert_refused(QOSID_ERR_WAITING, "not arrived", fixture_give(&fixture, &foreign, E));
	qosid_buf_free(&foreign);
	fixture_free(&other);
}

static void assert_change_refused(const struct roster_change *change, const char *says)
{
	struct qosid_buf forged = {0};

	fixture_format(&fixture, change, &forged);
	assert_refused(QOSID_ERR_REFUSED, says, fixture_give(&fixture, &forged, E));
	qosid_buf_free(&forged);
}

static void test_wrong_epochs(void **state)
{
	(void)state;
	struct roster_epoch epoch = fixture.epoch;
	struct roster_member witness;

	make_member(&witness, "witness", ROLE_WITNESS);
	assert_change_refused(&(struct roster_change){.kind = ROSTER_ADD, .member = khujand}, "names no epoch");
	assert_change_refused(&(struct roster_change){.kind = ROSTER_ROTATE}, "names no epoch");
	assert_change_refused(
	    &(struct roster_change){.kind = ROSTER_ADD, .member = witness, .epoch = &epoch}, "has no use for it");
	assert_change_refused(&(struct roster_change){.kind = ROSTER_ROTATE, .epoch = &epoch}, "where 2 must follow");
	epoch.number = 2;
	assert_change_refused(
	    &(struct roster_change){.kind = ROSTER_ROTATE, .epoch = &epoch}, "has the key of epoch 1");
	memcpy(epoch.recipient, khujand.recipient, AGE_RECIPIENT_SIZE);
	epoch.number = 3;
	assert_change_refused(
	    &(struct roster_change){.kind = ROSTER_ADD, .member = khujand, .epoch = &epoch}, "newest or 2");
	epoch.number = 1;
	assert_change_refused(&(struct roster_change){.kind = ROSTER_ADD, .member = khujand, .epoch = &epoch},
	    "changes the key of epoch 1");
}

static void assert_newcomer_refused(const struct roster_member *newcomer, const char *says)
{
	struct qosid_buf forged = {0};

	fixture_format_add(&fixture, newcomer, &forged);
	assert_refused(QOSID_ERR_REFUSED, says, fixture_give(&fixture, &forged, E));
	qosid_buf_free(&forged);
}

static void test_doubles(void **state)
{
	(void)state;
	static const char *const alike[] = {"dushanbe-", "dushanbe--"};
	struct roster_member twin;

	make_member(&twin, "dushanbe", ROLE_READER);
	assert_newcomer_refused(&twin, "dushanbe is a member already");
	for (size_t i = 0; i < sizeof(alike) / sizeof(alike[0]); i++) {
		make_member(&twin, alike[i], ROLE_READER);
		assert_newcomer_refused(&twin, "looks like");
	}
	twin = khujand;
	memcpy(twin.signing_public, fixture.steward.member.signing_public, SIGNING_PUBLIC_BYTES);
	assert_newcomer_refused(&twin, "signing key of the member dushanbe");
	twin = khujand;
	memcpy(twin.recipient, fixture.steward.member.recipient, AGE_RECIPIENT_SIZE);
	assert_newcomer_refused(&twin, "encryption key of the member dushanbe");
}

static void test_alike(void **state)
{
	(void)state;
	static const char *const alike[] = {"london-1", "1ondon-l", "l0ndon-i", "iondon--1", "london-1-"};
	static const char *const different[] = {"london-2", "london1", "londn-1"};
	struct space_fixture other;
	struct roster_member twin;
	struct qosid_buf forged = {0};

	fixture_create(&other);
	make_member(&twin, alike[0], ROLE_READER);
	fixture_admit(&other, &twin);
	for (size_t i = 1; i < sizeof(alike) / sizeof(alike[0]); i++) {
		make_member(&twin, alike[i], ROLE_READER);
		qosid_buf_reset(&forged);
		fixture_format_add(&other, &twin, &forged);
		assert_refused(
		    QOSID_ERR_REFUSED, "looks like that of the member london-1", fixture_give(&other, &forged, E));
	}
	for (size_t i = 0; i < sizeof(different) / sizeof(different[0]); i++) {
		make_member(&twin, different[i], ROLE_READER);
		fixture_admit(&other, &twin);
	}
	qosid_buf_free(&forged);
	fixture_free(&other);
}

/* The first operation vouches for itself, but only in one form. */
static void test_first(void **state)
{
	(void)state;
	struct qosid_buf *created = &fixture.created;
	const uint8_t *key = fixture.steward.member.signing_public;
	uint8_t signer[SIGNING_PUBLIC_BYTES];
	struct roster *fresh;

	assert_refused(QOSID_ERR_REFUSED, "created already",
	    (replace_text(created, "\"sequence\":1", "\"sequence\":2"), fixture_give(&fixture, created, E)));
	replace_text(created, "\"sequence\":2", "\"sequence\":1");

	assert_done(roster_create(&fresh, E));
	assert_refused(QOSID_ERR_WAITING, "not arrived",
	    (replace_text(&operation, "\"sequence\":2", "\"sequence\":1"),
		roster_add_operation(fresh, "dushanbe", 1, key, operation.data, operation.len, E)));
	assert_refused(QOSID_ERR_WAITING, "not arrived",
	    roster_expected_signer(fresh, "dushanbe", operation.data, operation.len, signer, E));
	assert_refused(QOSID_ERR_REFUSED, "not signed by the key",
	    roster_add_operation(fresh, "dushanbe", 1, khujand.signing_public, created->data, created->len, E));
	assert_refused(QOSID_ERR_REFUSED, "log of khujand",
	    roster_add_operation(fresh, "khujand", 1, key, created->data, created->len, E));
	assert_refused(QOSID_ERR_REFUSED, "log of khujand",
	    roster_expected_signer(fresh, "khujand", created->data, created->len, signer, E));

	replace_text(created, "\"roles\":\"reader,steward,writer\"", "\"roles\":\"reader,writer\"");
	assert_refused(QOSID_ERR_REFUSED, "must be its steward",
	    roster_add_operation(fresh, "dushanbe", 1, key, created->data, created->len, E));
	replace_text(created, "\"roles\":\"reader,writer\"", "\"roles\":\"reader,steward,writer\"");
	assert_int_equal(roster_operation_count(fresh), 0);

	assert_done(roster_expected_signer(fresh, "dushanbe", created->data, created->len, signer, E));
	assert_memory_equal(signer, key, SIGNING_PUBLIC_BYTES);
	assert_done(roster_add_operation(fresh, "dushanbe", 1, signer, created->data, created->len, E));
	roster_free(fresh);
}

static void test_format_refuses(void **state)
{
	(void)state;
	struct qosid_buf out = {0};
	struct roster_member wrong = fixture.steward.member;
	struct roster_epoch epoch = fixture.epoch;

	assert_done(qosid_buf_append_text(&out, "kept", E));
	assert_refused(QOSID_ERR_INVALID, "space", roster_format_create(&out, "xyz", &wrong, &epoch, TIME, E));
	memcpy(wrong.office, "Wrong", 6);
	assert_refused(QOSID_ERR_INVALID, "office name", roster_format_create(&out, SPACE, &wrong, &epoch, TIME, E));
	wrong = fixture.steward.member;
	wrong.roles = ROLE_WITNESS | ROLE_READER;
	assert_refused(QOSID_ERR_INVALID, "witness", roster_format_create(&out, SPACE, &wrong, &epoch, TIME, E));
	wrong = fixture.steward.member;
	assert_refused(QOSID_ERR_INVALID, "years", roster_format_create(&out, SPACE, &wrong, &epoch, INT64_MAX, E));
	assert_int_equal(out.len, 4);
	qosid_buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_form, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_wrong_signer, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_self_promotion, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sequence, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_wrong_state, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_wrong_epochs, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_doubles, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_alike, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_first, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_format_refuses, setup, teardown),
	};
	return cmocka_run_group_tests_name("roster operations", tests, NULL, NULL);
}
