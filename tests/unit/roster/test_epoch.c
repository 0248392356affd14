/*
 * Epoch keys: wrapped for those who decrypt and nobody else, and opened by the stock age as well.
 */
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As a steward wraps the key of epoch 1 after a state, for its members and one who joins. */
static void wrap(
    struct qosid_buf *out, const struct space_fixture *fixture, int64_t state, const struct roster_member *joining)
{
	const char *recipients[LIMIT_MEMBERS + 1];
	const struct age_key *key = fixture->epoch_key;
	size_t count = epoch_list_recipients(fixture->roster, state, joining, recipients);

	assert_done(epoch_wrap(out, recipients, count, &key, 1, 1, E));
}

static void test_entitled(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		unsigned roles;
		bool entitled;
	} cases[] = {{"writer", ROLE_WRITER, true}, {"reader", ROLE_READER, true}, {"auditor", ROLE_AUDITOR, true},
	    {"witness", ROLE_WITNESS, false}};
	struct space_fixture fixture;
	struct office offices[4], joining, stranger;
	struct qosid_buf wrapped = {0};
	struct age_key *key;

	fixture_create(&fixture);
	for (int i = 0; i < 4; i++) {
		office_create(&offices[i], cases[i].name, cases[i].roles);
		fixture_admit(&fixture, &offices[i].member);
	}
	office_create(&joining, "joining", ROLE_READER);
	office_create(&stranger, "stranger", ROLE_READER);
	wrap(&wrapped, &fixture, -1, &joining.member);
	for (int i = 0; i < 4; i++) {
		int rc = epoch_unwrap(&key, wrapped.data, wrapped.len, identity_age_key(offices[i].identity),
		    fixture.epoch.recipient, NULL);
		assert_int_equal(rc, cases[i].entitled ? 0 : QOSID_ERR_REFUSED);
		if (rc == 0) {
			assert_string_equal(age_key_recipient(key), fixture.epoch.recipient);
			age_key_free(key);
		}
	}
	assert_done(epoch_unwrap(
	    &key, wrapped.data, wrapped.len, identity_age_key(joining.identity), fixture.epoch.recipient, E));
	age_key_free(key);
	assert_done(epoch_unwrap(
	    &key, wrapped.data, wrapped.len, identity_age_key(fixture.steward.identity), fixture.epoch.recipient, E));
	age_key_free(key);
	assert_int_equal(epoch_unwrap(&key, wrapped.data, wrapped.len, identity_age_key(stranger.identity),
			     fixture.epoch.recipient, NULL),
	    QOSID_ERR_REFUSED);
	assert_refused(QOSID_ERR_REFUSED, "another key than the roster names",
	    epoch_unwrap(
		&key, wrapped.data, wrapped.len, identity_age_key(joining.identity), stranger.member.recipient, E));

	/* wrapped for the first state: members of later ones get nothing */
	qosid_buf_reset(&wrapped);
	wrap(&wrapped, &fixture, 0, NULL);
	assert_int_equal(epoch_unwrap(&key, wrapped.data, wrapped.len, identity_age_key(offices[0].identity),
			     fixture.epoch.recipient, NULL),
	    QOSID_ERR_REFUSED);
	for (int i = 0; i < 4; i++)
		office_free(&offices[i]);
	office_free(&joining);
	office_free(&stranger);
	qosid_buf_free(&wrapped);
	fixture_free(&fixture);
}

static void test_damaged(void **state)
{
	(void)state;
	struct space_fixture fixture;
	struct qosid_buf wrapped = {0};
	struct age_key *key;

	fixture_create(&fixture);
	wrap(&wrapped, &fixture, -1, NULL);
	for (size_t i = 0; i < wrapped.len; i++) {
		wrapped.data[i] ^= 4;
		assert_int_not_equal(epoch_unwrap(&key, wrapped.data, wrapped.len,
					 identity_age_key(fixture.steward.identity), fixture.epoch.recipient, NULL),
		    0);
		wrapped.data[i] ^= 4;
		assert_int_not_equal(epoch_unwrap(&key, wrapped.data, i, identity_age_key(fixture.steward.identity),
					 fixture.epoch.recipient, NULL),
		    0);
	}
	qosid_buf_free(&wrapped);
	fixture_free(&fixture);
}

/* Who joins late gets all keys in one file, and picks the one it needs; who leaves is not a recipient. */
static void test_several_keys(void **state)
{
	(void)state;
	const char *recipients[LIMIT_MEMBERS + 1];
	const struct age_key *keys[40];
	struct age_key *made[40], *key;
	struct space_fixture fixture;
	struct roster_member leaving;
	struct qosid_buf wrapped = {0};
	struct office reader;

	fixture_create(&fixture);
	office_create(&reader, "khujand", ROLE_READER);
	fixture_admit(&fixture, &reader.member);
	for (int i = 0; i < 40; i++) {
		assert_done(age_key_create(&made[i], E));
		keys[i] = made[i];
	}
	recipients[0] = reader.member.recipient;
	assert_done(epoch_wrap(&wrapped, recipients, 1, keys, 40, 40, E));
	for (int i = 0; i < 40; i++) {
		assert_done(epoch_unwrap(
		    &key, wrapped.data, wrapped.len, identity_age_key(reader.identity), age_key_recipient(made[i]), E));
		assert_string_equal(age_key_recipient(key), age_key_recipient(made[i]));
		age_key_free(key);
	}
	assert_refused(QOSID_ERR_REFUSED, "another key than the roster names",
	    epoch_unwrap(
		&key, wrapped.data, wrapped.len, identity_age_key(reader.identity), fixture.epoch.recipient, E));
	leaving = reader.member;
	leaving.roles = 0;
	assert_int_equal(epoch_list_recipients(fixture.roster, -1, NULL, recipients), 2);
	assert_int_equal(epoch_list_recipients(fixture.roster, -1, &leaving, recipients), 1);
	assert_string_equal(recipients[0], fixture.steward.member.recipient);
	for (int i = 0; i < 40; i++)
		age_key_free(made[i]);
	office_free(&reader);
	qosid_buf_free(&wrapped);
	fixture_free(&fixture);
}

static void write_file(const char *dir, const char *name, const struct qosid_buf *content)
{
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content->data, content->len), (ssize_t)content->len);
	assert_int_equal(close(fd), 0);
}

/* The stock age opens the epoch's file with the office's identity, and with what is inside what the epoch encrypts. */
static void test_stock_age(void **state)
{
	(void)state;
	char dir[] = "/tmp/qosid-epoch-XXXXXX", command[1024];
	struct space_fixture fixture;
	struct qosid_buf wrapped = {0}, identity = {0};

	fixture_create(&fixture);
	assert_non_null(mkdtemp(dir));
	wrap(&wrapped, &fixture, -1, NULL);
	assert_done(identity_format_secret(fixture.steward.identity, &identity, E));
	write_file(dir, "1.age", &wrapped);
	write_file(dir, "identity", &identity);
	(void)snprintf(command, sizeof(command),
	    "cd %s && age -d -i identity -o key 1.age && head -n 1 key | grep -qx '# qosid epoch 1' && "
	    "grep -qx '# public: %s' key && test \"$(wc -l <key)\" = 3 && "
	    "echo salom | age -r %s -o secret && test \"$(age -d -i key secret)\" = salom",
	    dir, fixture.epoch.recipient, fixture.epoch.recipient);
	assert_int_equal(system(command), 0);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	qosid_buf_free(&wrapped);
	qosid_buf_wipe(&identity);
	fixture_free(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_entitled),
	    cmocka_unit_test(test_several_keys),
	    cmocka_unit_test(test_damaged),
	    cmocka_unit_test(test_stock_age),
	};
	return cmocka_run_group_tests_name("roster epochs", tests, NULL, NULL);
}
