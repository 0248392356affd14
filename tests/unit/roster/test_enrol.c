/*
 * Invitations and requests: they come back as they were, and nothing forged or damaged passes.
 */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

static struct roster_invitation sample = {.space = SPACE,
    .steward = "dushanbe",
    .root = {7, 8, 9},
    .remote = "/media/usb/\"\xd0\x91\xd0\xb0\xd0\xb7\xd0\xb0\""};

static void test_invitation(void **state)
{
	(void)state;
	struct roster_invitation again = {0};
	struct qosid_buf text = {0};

	assert_done(invitation_format(&text, &sample, E));
	assert_ptr_equal(strchr((char *)text.data, '\n'), (char *)text.data + text.len - 1);
	assert_non_null(strstr((char *)text.data,
	    "{\"qosid\":\"invitation\",\"format\":1,\"space\":\"" SPACE "\",\"steward\":\"dushanbe\",\"root\":"
	    "\"blake2b-256:070809"));
	assert_done(invitation_parse(&again, (char *)text.data, text.len, E));
	assert_string_equal(again.space, sample.space);
	assert_string_equal(again.steward, sample.steward);
	assert_string_equal(again.remote, sample.remote);
	assert_memory_equal(again.root, sample.root, DIGEST_BYTES);
	qosid_buf_free(&text);
}

static void assert_invitation_refused(const char *from, const char *to)
{
	struct roster_invitation again = {0};
	struct qosid_buf text = {0};

	assert_done(invitation_format(&text, &sample, E));
	replace_text(&text, from, to);
	assert_refused(QOSID_ERR_INVALID, "", invitation_parse(&again, (char *)text.data, text.len, E));
	qosid_buf_free(&text);
}

static void test_invitation_malformed(void **state)
{
	(void)state;
	struct roster_invitation wrong = sample, again;
	struct qosid_buf text = {0};

	assert_invitation_refused("invitation", "request");
	assert_invitation_refused("\"format\":1", "\"format\":2");
	assert_invitation_refused("\"format\":1,", "");
	assert_invitation_refused("dushanbe", "Dushanbe");
	assert_invitation_refused("0011", "0g11");
	assert_invitation_refused("0011", "0011ff");
	assert_invitation_refused("blake2b-256:", "sha256:");
	assert_invitation_refused("\"remote\":\"", "\"remote\":\"\\u0000");
	assert_invitation_refused("\"remote\":\"", "\"remote\":\"\\n");
	assert_invitation_refused("\"}\n", "\"}\nx");
	assert_invitation_refused("\"}\n", "\",\"more\":1}\n");
	assert_invitation_refused(",\"steward\"", ",\"stewards\"");

	memset(wrong.remote, 'r', sizeof(wrong.remote) - 1);
	assert_done(invitation_format(&text, &wrong, E));
	assert_done(invitation_parse(&again, (char *)text.data, text.len, E));
	replace_text(&text, "rrrr", "rrrrr");
	assert_refused(QOSID_ERR_INVALID, "longer", invitation_parse(&again, (char *)text.data, text.len, E));

	while (text.len <= 16384)
		assert_done(qosid_buf_append_text(&text, "                                ", E));
	assert_refused(QOSID_ERR_LIMIT, "larger", invitation_parse(&again, (char *)text.data, text.len, E));
	qosid_buf_reset(&text);
	wrong = sample;
	memcpy(wrong.steward, "No", 3);
	assert_refused(QOSID_ERR_INVALID, "office name", invitation_format(&text, &wrong, E));
	qosid_buf_free(&text);
}

static void test_request(void **state)
{
	(void)state;
	struct roster_member again = {.roles = 99};
	struct office office;
	struct qosid_buf text = {0};

	office_create(&office, "khujand", 0);
	assert_done(request_format(&text, SPACE, "khujand", office.identity, E));
	assert_ptr_equal(strchr((char *)text.data, '\n'), (char *)text.data + text.len - 1);
	assert_done(request_parse(&again, SPACE, (char *)text.data, text.len, E));
	assert_string_equal(again.office, "khujand");
	assert_string_equal(again.recipient, office.member.recipient);
	assert_memory_equal(again.signing_public, office.member.signing_public, SIGNING_PUBLIC_BYTES);
	assert_int_equal(again.roles, 0);
	assert_refused(QOSID_ERR_REFUSED, "another space",
	    request_parse(&again, "ff112233445566778899aabbccddeeff", (char *)text.data, text.len, E));
	for (size_t len = 0; len + 1 < text.len; len++)
		assert_int_not_equal(request_parse(&again, SPACE, (char *)text.data, len, NULL), 0);
	qosid_buf_free(&text);
	office_free(&office);
}

static void assert_request_refused(const struct office *office, const char *from, const char *to, int code)
{
	struct roster_member again = {.roles = 99};
	struct qosid_buf text = {0};

	assert_done(request_format(&text, SPACE, "khujand", office->identity, E));
	replace_text(&text, from, to);
	assert_int_equal(request_parse(&again, SPACE, (char *)text.data, text.len, NULL), code);
	assert_int_equal(again.roles, 99);
	qosid_buf_free(&text);
}

/* Everything in a request is signed, by the key that asks. */
static void test_request_forged(void **state)
{
	(void)state;
	struct office office, other;

	office_create(&office, "khujand", 0);
	office_create(&other, "other", 0);
	assert_request_refused(&office, "khujand", "khorog", QOSID_ERR_REFUSED);
	assert_request_refused(&office, office.member.recipient, other.member.recipient, QOSID_ERR_REFUSED);
	assert_request_refused(
	    &office, identity_ssh_public(office.identity), identity_ssh_public(other.identity), QOSID_ERR_REFUSED);
	assert_request_refused(&office, "khujand", "Khujand", QOSID_ERR_INVALID);
	assert_request_refused(&office, "\"request\"", "\"invitation\"", QOSID_ERR_INVALID);
	assert_request_refused(&office, "\"format\":1", "\"format\":9", QOSID_ERR_INVALID);
	assert_request_refused(&office, "BEGIN SSH", "BEGIN PGP", QOSID_ERR_INVALID);
	assert_request_refused(&office, "\"signature\":\"", "\"signature\":\"x", QOSID_ERR_INVALID);
	assert_request_refused(&office, ",\"signature\":\"", ",\"note\":\"", QOSID_ERR_INVALID);
	assert_request_refused(&office, "{\"qosid\"", "{\"a\":1,\"qosid\"", QOSID_ERR_INVALID);
	office_free(&office);
	office_free(&other);
}

static void test_request_refuses(void **state)
{
	(void)state;
	struct office office;
	struct qosid_buf text = {0};

	office_create(&office, "khujand", 0);
	assert_refused(QOSID_ERR_INVALID, "office name", request_format(&text, SPACE, "no/slug", office.identity, E));
	assert_refused(QOSID_ERR_INVALID, "space", request_format(&text, "short", "khujand", office.identity, E));
	assert_int_equal(text.len, 0);
	qosid_buf_free(&text);
	office_free(&office);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_invitation),
	    cmocka_unit_test(test_invitation_malformed),
	    cmocka_unit_test(test_request),
	    cmocka_unit_test(test_request_forged),
	    cmocka_unit_test(test_request_refuses),
	};
	return cmocka_run_group_tests_name("enrolment", tests, NULL, NULL);
}
