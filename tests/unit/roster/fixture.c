/*
 * Shared by the roster's tests: see fixture.h.
 */
#include "fixture.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

void office_create(struct office *office, const char *name, unsigned roles)
{
	*office = (struct office){0};
	assert_done(identity_create(&office->identity, E));
	(void)snprintf(office->member.office, sizeof(office->member.office), "%s", name);
	memcpy(office->member.signing_public, identity_signing_public(office->identity), SIGNING_PUBLIC_BYTES);
	memcpy(office->member.recipient, identity_recipient(office->identity), AGE_RECIPIENT_SIZE);
	office->member.roles = roles;
}

void office_free(struct office *office)
{
	identity_free(office->identity);
	office->identity = NULL;
}

void make_member(struct roster_member *member, const char *name, unsigned roles)
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
	struct age_key *key;

	assert_true(sodium_init() >= 0);
	*member = (struct roster_member){.roles = roles};
	(void)snprintf(member->office, sizeof(member->office), "%s", name);
	assert_int_equal(crypto_sign_keypair(member->signing_public, secret), 0);
	assert_done(age_key_create(&key, E));
	memcpy(member->recipient, age_key_recipient(key), AGE_RECIPIENT_SIZE);
	age_key_free(key);
}

void fixture_create(struct space_fixture *fixture)
{
	*fixture = (struct space_fixture){.epoch = {.number = 1, .file_digest = {1}}};
	office_create(&fixture->steward, "dushanbe", ROLE_STEWARD | ROLE_WRITER | ROLE_READER);
	assert_done(age_key_create(&fixture->epoch_key, E));
	memcpy(fixture->epoch.recipient, age_key_recipient(fixture->epoch_key), AGE_RECIPIENT_SIZE);
	assert_done(roster_create(&fixture->roster, E));
	assert_done(roster_format_create(&fixture->created, SPACE, &fixture->steward.member, &fixture->epoch, TIME, E));
	assert_done(fixture_give(fixture, &fixture->created, E));
}

void fixture_free(struct space_fixture *fixture)
{
	roster_free(fixture->roster);
	office_free(&fixture->steward);
	age_key_free(fixture->epoch_key);
	qosid_buf_free(&fixture->created);
}

void fixture_format(const struct space_fixture *fixture, const struct roster_change *change, struct qosid_buf *out)
{
	assert_done(roster_format_change(out, fixture->roster, fixture->steward.member.office,
	    (int64_t)roster_operation_count(fixture->roster) + 1, change, TIME, E));
}

void fixture_format_add(const struct space_fixture *fixture, const struct roster_member *member, struct qosid_buf *out)
{
	struct roster_change change = {.kind = ROSTER_ADD, .member = *member};

	if (roster_is_entitled(member->roles))
		change.epoch = &fixture->epoch;
	fixture_format(fixture, &change, out);
}

int fixture_give(struct space_fixture *fixture, const struct qosid_buf *operation, struct qosid_errbuf *err)
{
	return roster_add_operation(fixture->roster, fixture->steward.member.office,
	    (int64_t)roster_operation_count(fixture->roster) + 1, fixture->steward.member.signing_public,
	    operation->data, operation->len, err);
}

void fixture_admit(struct space_fixture *fixture, const struct roster_member *member)
{
	struct qosid_buf operation = {0};

	fixture_format_add(fixture, member, &operation);
	assert_done(fixture_give(fixture, &operation, E));
	qosid_buf_free(&operation);
}

void replace_text(struct qosid_buf *buf, const char *from, const char *to)
{
	struct qosid_buf result = {0};
	const char *text = (const char *)buf->data, *found = strstr(text, from);

	if (found == NULL)
		fail_msg("\"%s\" is not in %s", from, text);
	assert_done(qosid_buf_append(&result, text, (size_t)(found - text), E));
	assert_done(qosid_buf_append_text(&result, to, E));
	assert_done(qosid_buf_append_text(&result, found + strlen(from), E));
	qosid_buf_free(buf);
	*buf = result;
}
