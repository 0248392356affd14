/*
 * Shared by the roster's tests: offices with keys, and a space with its steward.
 */
#ifndef QOSID_TESTS_ROSTER_FIXTURE_H
#define QOSID_TESTS_ROSTER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those above */
#include <cmocka.h>

#include "crypto/keys.h"
#include "sync/roster/roster.h"

#define SPACE "00112233445566778899aabbccddeeff"
#define TIME INT64_C(1795593600123) /* 2026-11-25T08:00:00.123Z */

/* Fails the test with the error's text. */
#define assert_done(call)                                                                                              \
	do {                                                                                                           \
		struct qosid_errbuf e_ = {0};                                                                          \
		if ((call) != 0)                                                                                       \
			fail_msg("%s: %s [%s]", #call, e_.what, e_.where);                                             \
	} while (0)
#define E (&e_)

/* Fails the test unless call fails with this code and says this. */
#define assert_refused(expected_code, expected_text, call)                                                             \
	do {                                                                                                           \
		struct qosid_errbuf e_ = {0};                                                                          \
		int code_ = (call);                                                                                    \
		if (code_ != (expected_code) || strstr(e_.what, (expected_text)) == NULL)                              \
			fail_msg("%s: got %d \"%s\"", #call, code_, e_.what);                                          \
	} while (0)

struct office {
	struct identity *identity;
	struct roster_member member;
};
void office_create(struct office *office, const char *name, unsigned roles);
void office_free(struct office *office);

struct space_fixture {
	struct roster *roster;
	struct office steward; /* "dushanbe": steward, writer, reader */
	struct age_key *epoch_key;
	struct roster_epoch epoch;
	struct qosid_buf created; /* the first operation */
};
void fixture_create(struct space_fixture *fixture);
void fixture_free(struct space_fixture *fixture);

/* The steward's next operation. Appended to out. */
void fixture_format(const struct space_fixture *fixture, const struct roster_change *change, struct qosid_buf *out);
/* The `add` operation that admits this member next, as the steward would write it. Appended to out. */
void fixture_format_add(const struct space_fixture *fixture, const struct roster_member *member, struct qosid_buf *out);
/* Give an operation to the roster as the steward's next. */
int fixture_give(struct space_fixture *fixture, const struct qosid_buf *operation, struct qosid_errbuf *err);
void fixture_admit(struct space_fixture *fixture, const struct roster_member *member);

/* A member with fresh keys whose secret halves nobody keeps. */
void make_member(struct roster_member *member, const char *name, unsigned roles);

/* Replace the first occurrence of from by to; fails the test when there is none. */
void replace_text(struct qosid_buf *buf, const char *from, const char *to);

#endif
