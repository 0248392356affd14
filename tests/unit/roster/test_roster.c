/*
 * The roster: roles, slugs, states and what they remember, and the order of a thousand members.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sshsig.h"

static void test_slugs(void **state)
{
	(void)state;
	static const char *const good[] = {"a", "0", "dushanbe", "iom-tj-2", "a-", "x--y",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	static const char *const bad[] = {"", "-a", "A", "Dushanbe", "a_b", "a.b", "a/b", "a b", "a\n", "..", "a.lock",
	    "du\xd1\x95hanbe", "kh\xd1\x83jand", "caf\xc3\xa9", "@", "a\x7f",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_done(slug_check(good[i], E));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(QOSID_ERR_INVALID, "the office name", slug_check(bad[i], E));
	assert_int_equal(slug_check("A", NULL), QOSID_ERR_INVALID);
}

static void assert_roles(const char *text, unsigned roles, const char *written)
{
	struct qosid_buf out = {0};
	unsigned parsed = 0;

	assert_done(roster_parse_roles(&parsed, text, E));
	assert_int_equal(parsed, roles);
	assert_done(roster_format_roles(roles, &out, E));
	assert_string_equal((char *)out.data, written);
	qosid_buf_free(&out);
}

static void test_roles(void **state)
{
	(void)state;
	static const char *const bad[] = {"", ",", "writer,", ",writer", "writer,,reader", "boss", "Writer",
	    "writer reader", "writer, reader", "writer,writer", "witness,reader", "witness,steward", "witness,auditor",
	    "auditor,writer", "readers", "read"};
	struct qosid_buf out = {0};
	unsigned roles = 77;

	assert_roles("writer", ROLE_WRITER, "writer");
	assert_roles("writer,reader", ROLE_WRITER | ROLE_READER, "reader,writer");
	assert_roles("writer,steward,reader", ROLE_WRITER | ROLE_READER | ROLE_STEWARD, "reader,steward,writer");
	assert_roles("auditor", ROLE_AUDITOR, "auditor");
	assert_roles("witness", ROLE_WITNESS, "witness");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(roster_parse_roles(&roles, bad[i], NULL), QOSID_ERR_INVALID);
		assert_int_equal(roles, 77);
	}
	assert_int_equal(roster_format_roles(0, &out, NULL), QOSID_ERR_INVALID);
	assert_int_equal(roster_format_roles(32, &out, NULL), QOSID_ERR_INVALID);
	assert_int_equal(roster_format_roles(ROLE_WITNESS | ROLE_READER, &out, NULL), QOSID_ERR_INVALID);
	qosid_buf_free(&out);
}

static void test_empty(void **state)
{
	(void)state;
	const uint8_t digest[1][DIGEST_BYTES] = {{0}};
	uint8_t digest_out[DIGEST_BYTES];
	struct roster *roster;
	int64_t number;

	assert_done(roster_create(&roster, E));
	assert_int_equal(roster_operation_count(roster), 0);
	assert_string_equal(roster_space(roster), "");
	assert_null(roster_find_member(roster, -1, "dushanbe"));
	assert_null(roster_member_at(roster, -1, 0));
	assert_int_equal(roster_member_count(roster, -1), 0);
	assert_int_equal(roster_epoch_count(roster, -1), 0);
	assert_null(roster_epoch_recipient(roster, -1, 1));
	assert_refused(QOSID_ERR_NOTFOUND, "state", roster_state_digest(roster, -1, digest_out, E));
	assert_refused(QOSID_ERR_WAITING, "not arrived", roster_find_state(roster, digest, 1, &number, E));
	roster_free(roster);
	roster_free(NULL);
}

/* Earlier states stay as they were when later ones come. */
static void test_states(void **state)
{
	(void)state;
	static const char *const names[] = {"khujand", "london", "almaty", "bokhtar"};
	struct space_fixture fixture;
	struct roster_member members[4];
	uint8_t digests[5][DIGEST_BYTES], again[DIGEST_BYTES], heads[LIMIT_ROSTER_HEADS][DIGEST_BYTES],
	    all[5][DIGEST_BYTES];
	size_t count;
	int64_t number;

	fixture_create(&fixture);
	assert_string_equal(roster_space(fixture.roster), SPACE);
	for (int i = 0; i < 5; i++) {
		if (i > 0) {
			make_member(&members[i - 1], names[i - 1], ROLE_WRITER | ROLE_READER);
			fixture_admit(&fixture, &members[i - 1]);
		}
		assert_done(roster_state_digest(fixture.roster, -1, digests[i], E));
		assert_done(roster_list_heads(fixture.roster, -1, heads, &count, E));
		assert_int_equal(count, 1);
		memcpy(all[i], heads[0], DIGEST_BYTES);
	}
	assert_int_equal(roster_operation_count(fixture.roster), 5);
	for (int i = 0; i < 5; i++) {
		assert_done(roster_find_state(fixture.roster, &all[i], 1, &number, E));
		assert_done(roster_state_digest(fixture.roster, number, again, E));
		assert_memory_equal(again, digests[i], DIGEST_BYTES);
		assert_int_equal(roster_member_count(fixture.roster, number), i + 1);
		assert_int_equal(roster_epoch_count(fixture.roster, number), 1);
		assert_true(roster_state_covers(fixture.roster, -1, number));
		assert_int_equal(roster_state_covers(fixture.roster, number, -1), i == 4);
		for (int j = 0; j < 4; j++)
			assert_int_equal(roster_find_member(fixture.roster, number, names[j]) != NULL, j < i);
		for (int j = 0; j + 1 <= i; j++)
			assert_true(strcmp(roster_member_at(fixture.roster, number, (size_t)j)->office,
					roster_member_at(fixture.roster, number, (size_t)j + 1)->office) < 0);
		assert_null(roster_member_at(fixture.roster, number, (size_t)i + 1));
	}
	assert_int_equal(roster_find_member(fixture.roster, -1, "almaty")->since, TIME);
	assert_memory_equal(roster_find_member(fixture.roster, -1, "almaty")->signing_public, members[2].signing_public,
	    SIGNING_PUBLIC_BYTES);
	assert_null(roster_find_member(fixture.roster, 5, "dushanbe"));
	assert_null(roster_find_member(fixture.roster, -2, "dushanbe"));
	fixture_free(&fixture);
}

/* The digest is of the text that format.md names, and nothing else. */
static void test_digest_text(void **state)
{
	(void)state;
	struct space_fixture fixture;
	struct roster_member newcomer;
	struct qosid_buf text = {0};
	char dushanbe_key[SSH_PUBLIC_SIZE], almaty_key[SSH_PUBLIC_SIZE];
	uint8_t digest[DIGEST_BYTES], expected[DIGEST_BYTES];

	fixture_create(&fixture);
	make_member(&newcomer, "almaty", ROLE_AUDITOR);
	fixture_admit(&fixture, &newcomer);
	sshkey_format_public(dushanbe_key, fixture.steward.member.signing_public);
	sshkey_format_public(almaty_key, newcomer.signing_public);
	assert_done(qosid_buf_append_format(&text, E,
	    "{\"epochs\":[\"%s\"],\"members\":["
	    "{\"encryption\":\"%s\",\"first\":1,\"office\":\"almaty\",\"revoked\":0,\"roles\":\"auditor\",\"signing\":"
	    "\"%s\"},"
	    "{\"encryption\":\"%s\",\"first\":1,\"office\":\"dushanbe\",\"revoked\":0,\"roles\":\"reader,steward,"
	    "writer\","
	    "\"signing\":\"%s\"}],\"space\":\"" SPACE "\",\"threshold\":1,\"waiting\":[]}",
	    fixture.epoch.recipient, newcomer.recipient, almaty_key, fixture.steward.member.recipient, dushanbe_key));
	digest_compute(expected, text.data, text.len);
	assert_done(roster_state_digest(fixture.roster, -1, digest, E));
	assert_memory_equal(digest, expected, DIGEST_BYTES);
	qosid_buf_free(&text);
	fixture_free(&fixture);
}

static void test_limit(void **state)
{
	(void)state;
	struct space_fixture fixture;
	struct roster_member member;
	struct qosid_buf operation = {0};
	char name[32];

	fixture_create(&fixture);
	for (unsigned i = 1; i < LIMIT_MEMBERS; i++) {
		(void)snprintf(name, sizeof(name), "office-%u", (i * 7919) % 100003);
		make_member(&member, name, ROLE_WRITER | ROLE_READER);
		fixture_admit(&fixture, &member);
	}
	assert_int_equal(roster_member_count(fixture.roster, -1), LIMIT_MEMBERS);
	for (size_t i = 1; i < LIMIT_MEMBERS; i++)
		assert_true(strcmp(roster_member_at(fixture.roster, -1, i - 1)->office,
				roster_member_at(fixture.roster, -1, i)->office) < 0);
	make_member(&member, "one-too-many", ROLE_READER);
	fixture_format_add(&fixture, &member, &operation);
	assert_refused(QOSID_ERR_LIMIT, "1000 members", fixture_give(&fixture, &operation, E));
	assert_int_equal(roster_operation_count(fixture.roster), LIMIT_MEMBERS);
	qosid_buf_free(&operation);
	fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_slugs),
	    cmocka_unit_test(test_roles),
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_states),
	    cmocka_unit_test(test_digest_text),
	    cmocka_unit_test(test_limit),
	};
	return cmocka_run_group_tests_name("roster", tests, NULL, NULL);
}
