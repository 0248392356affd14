/*
 * Shared by the change set tests: payloads made by hand, so that they can be wrong in every way.
 */
#ifndef QOSID_TESTS_CHANGESET_CODEC_TOOLS_H
#define QOSID_TESTS_CHANGESET_CODEC_TOOLS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those above */
#include <cmocka.h>

#include "crypto/keys.h"
#include "sync/changeset/changeset.h"

#define SPACE "00112233445566778899aabbccddeeff"
#define TIME INT64_C(1795593600123) /* 2026-11-25T08:00:00.123Z */

/* Fails the test with the error's text. The call names its errbuf E. */
#define assert_done(call)                                                                                              \
	do {                                                                                                           \
		struct qosid_errbuf e_ = {0};                                                                          \
		if ((call) != 0)                                                                                       \
			fail_msg("%s: %s [%s]", #call, e_.what, e_.where);                                             \
	} while (0)
#define E (&e_)

/* Fails the test unless call fails with this code, and names this place and this cause. */
#define assert_refused(expected_code, expected_where, expected_text, call)                                             \
	do {                                                                                                           \
		struct qosid_errbuf e_ = {0};                                                                          \
		int code_ = (call);                                                                                    \
		if (code_ != (expected_code) || strstr(e_.where, (expected_where)) == NULL ||                          \
		    strstr(e_.what, (expected_text)) == NULL)                                                          \
			fail_msg("%s: got %d \"%s\" [%s]", #call, code_, e_.what, e_.where);                           \
	} while (0)

/* Append text repeated count times, as one zstd frame; window_log 0: zstd's choice. */
struct piece {
	const char *text;
	size_t count;
};
void append_frame(struct qosid_buf *out, const struct piece *pieces, size_t count, int window_log);

/* The age file around bytes. out is replaced. */
void encrypt(struct qosid_buf *out, const struct qosid_buf *plain, const struct age_key *key);

/* The payload around text: one frame, encrypted. out is replaced. */
void build_payload(struct qosid_buf *out, const char *text, const struct age_key *key);

/* The text inside a payload. Appended to out. */
void open_payload(struct qosid_buf *out, const struct qosid_buf *payload, const struct age_key *key);

#endif
