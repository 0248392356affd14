/*
 * Payloads that an office signed and encrypted properly, and that are wrong inside: bombs, cut off, not what they
 * claim. Each begins with a good revision, of which nothing may stay.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/age.h"
#include "forge.h"
#include "sync/limits.h"

static const struct identity *key_of(struct space *space)
{
	const struct identity *identity = NULL;
	struct qosid_errbuf err = {0};

	must(space_identity(space, &identity, &err), &err);
	return identity;
}

/* Publish this payload as khujand's change set 3, and see that nobody takes it. */
static void try_payload(void **state, const struct qosid_buf *plain, unsigned seal,
    void (*spoil)(struct qosid_buf *sealed), const char *name)
{
	struct qosid_buf sealed = {0};
	struct stage stage;
	struct forgery forgery;

	stage_open(&stage, *state);
	forge_begin(&stage, &forgery);
	if (plain != NULL) {
		struct qosid_buf whole = {0};

		forge_format_header(&stage, &whole, "khujand", 3);
		forge_format_line(&whole, "evil");
		assert_int_equal(qosid_buf_append(&whole, plain->data, plain->len, NULL), 0);
		forge_seal(&stage, &sealed, whole.data, whole.len, seal);
		qosid_buf_free(&whole);
	} else
		assert_int_equal(qosid_buf_append(&sealed, forgery.payload.data, forgery.payload.len, NULL), 0);
	if (spoil != NULL)
		spoil(&sealed);
	forge_set_payload(&stage, &forgery, &sealed);
	forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
	stage_assert_refused(&stage, 2, "payload", name);
	stage_set_ref(&stage, "refs/heads/office/khujand", &stage.commits[2]);
	stage_assert_healed(&stage, name);
	qosid_buf_free(&sealed);
	forge_free(&forgery);
	stage_close(&stage);
	offices_teardown(state);
	offices_setup(state);
}

#define HEAD "{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":\"x\",\"doc\":{\"_id\":\"second\","
#define REV "\"_rev\":\"1-00000000000000000000000000000002\","
#define REVISIONS "\"_revisions\":{\"start\":1,\"ids\":[\"00000000000000000000000000000002\"]}"

static const struct {
	const char *name, *text;
} bad_lines[] = {
    {"no JSON", "rubbish\n"},
    {"cut off in a line", HEAD REV REVISIONS "}"},
    {"no line feed at the end", HEAD REV REVISIONS "}}"},
    {"empty line", "\n"},
    {"carriage return at the end", HEAD REV REVISIONS "}}\r\n"},
    {"duplicate keys", HEAD REV REVISIONS ",\"n\":1,\"n\":2}}\n"},
    {"keys that are the same when unescaped", HEAD REV REVISIONS ",\"n\":1,\"\\u006e\":2}}\n"},
    {"no _rev", HEAD REVISIONS "}}\n"},
    {"no _revisions", HEAD REV "\"n\":1}}\n"},
    {"no _id", "{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":\"x\",\"doc\":{" REV REVISIONS "}}\n"},
    {"_rev that is not in _revisions", HEAD "\"_rev\":\"1-f\"," REVISIONS "}}\n"},
    {"more ancestors than generations",
	HEAD REV "\"_revisions\":{\"start\":1,\"ids\":[\"00000000000000000000000000000002\",\"a\"]}}}\n"},
    {"an ancestor twice", HEAD "\"_rev\":\"2-a\",\"_revisions\":{\"start\":2,\"ids\":[\"a\",\"\"]}}}\n"},
    {"no ancestors", HEAD REV "\"_revisions\":{\"start\":1,\"ids\":[]}}}\n"},
    {"generation 0", HEAD "\"_rev\":\"0-a\",\"_revisions\":{\"start\":0,\"ids\":[\"a\"]}}}\n"},
    {"huge generation",
	HEAD "\"_rev\":\"99999999999999999999-a\",\"_revisions\":{\"start\":99999999999999999999,\"ids\":[\"a\"]}}}\n"},
    {"an unknown underscore member", HEAD REV REVISIONS ",\"_evil\":1}}\n"},
    {"a local document",
	"{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":\"x\",\"doc\":{\"_id\":\"_local/x\"," REV REVISIONS "}}\n"},
    {"a time that is none",
	"{\"time\":\"2026-02-30T08:00:00.123Z\",\"user\":\"x\",\"doc\":{\"_id\":\"second\"," REV REVISIONS "}}\n"},
    {"members in another order",
	"{\"user\":\"x\",\"time\":\"2026-11-25T08:00:00.123Z\",\"doc\":{\"_id\":\"second\"," REV REVISIONS "}}\n"},
    {"a user that is no text",
	"{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":7,\"doc\":{\"_id\":\"second\"," REV REVISIONS "}}\n"},
    {"one member more", HEAD REV REVISIONS "},\"more\":1}\n"},
    {"invalid UTF-8", HEAD REV REVISIONS ",\"n\":\"\xc3\x28\"}}\n"},
    {"a surrogate alone", HEAD REV REVISIONS ",\"n\":\"\\ud800\"}}\n"},
    {"a control character", HEAD REV REVISIONS ",\"n\":\"\x01\"}}\n"},
    {"a number that is none", HEAD REV REVISIONS ",\"n\":01}}\n"},
    {"text behind the document", HEAD REV REVISIONS "}} }\n"},
    {"a second header", "{\"qosid\":\"change set\",\"format\":1}\n"},
    {"inline content that is not what its digest says", HEAD REV REVISIONS
	",\"_attachments\":{\"a\":{\"content_type\":\"text/plain\",\"digest\":"
	"\"blake2b-256:0000000000000000000000000000000000000000000000000000000000000000\",\"length\":1,\"revpos\":1,"
	"\"data\":\"YQ==\"}}}}\n"},
    {"inline content that is no base64", HEAD REV REVISIONS
	",\"_attachments\":{\"a\":{\"content_type\":\"text/plain\",\"digest\":"
	"\"blake2b-256:0000000000000000000000000000000000000000000000000000000000000000\",\"length\":1,\"revpos\":1,"
	"\"data\":\"@@@@\"}}}}\n"},
    {"an attachment that is neither content nor stub",
	HEAD REV REVISIONS ",\"_attachments\":{\"a\":{\"content_type\":\"text/plain\"}}}}\n"},
    {"attachments that are no object", HEAD REV REVISIONS ",\"_attachments\":[]}}\n"},
};

static void test_bad_lines(void **state)
{
	for (size_t i = 0; i < sizeof(bad_lines) / sizeof(bad_lines[0]); i++) {
		struct qosid_buf plain = {0};

		assert_int_equal(qosid_buf_append_text(&plain, bad_lines[i].text, NULL), 0);
		try_payload(state, &plain, FORGE_ZSTD | FORGE_AGE, NULL, bad_lines[i].name);
		qosid_buf_free(&plain);
	}
}

static void test_deep_line(void **state)
{
	struct qosid_buf plain = {0};

	assert_int_equal(qosid_buf_append_text(&plain, HEAD REV REVISIONS ",\"n\":", NULL), 0);
	for (unsigned i = 0; i < LIMIT_JSON_DEPTH + 1; i++)
		assert_int_equal(qosid_buf_append_byte(&plain, '[', NULL), 0);
	for (unsigned i = 0; i < LIMIT_JSON_DEPTH + 1; i++)
		assert_int_equal(qosid_buf_append_byte(&plain, ']', NULL), 0);
	assert_int_equal(qosid_buf_append_text(&plain, "}}\n", NULL), 0);
	try_payload(state, &plain, FORGE_ZSTD | FORGE_AGE, NULL, "nested too deep");
	qosid_buf_free(&plain);
}

static void test_many_revisions(void **state)
{
	struct qosid_buf plain = {0};

	assert_int_equal(qosid_buf_append_format(&plain, NULL,
			     HEAD "\"_rev\":\"%u-x1\",\"_revisions\":{\"start\":%u,\"ids\":[\"x1\"",
			     LIMIT_REVISIONS + 1, LIMIT_REVISIONS + 1),
	    0);
	for (unsigned i = 1; i <= LIMIT_REVISIONS; i++)
		assert_int_equal(qosid_buf_append_format(&plain, NULL, ",\"y%u\"", i), 0);
	assert_int_equal(qosid_buf_append_text(&plain, "]}}}\n", NULL), 0);
	try_payload(state, &plain, FORGE_ZSTD | FORGE_AGE, NULL, "too long an ancestry");
	qosid_buf_free(&plain);
}

/* ---- what is around the lines ---- */

static void spoil_garbage(struct qosid_buf *sealed)
{
	qosid_buf_reset(sealed);
	assert_int_equal(qosid_buf_append_text(sealed, "this is no age file\n", NULL), 0);
}

static void spoil_nothing(struct qosid_buf *sealed)
{
	qosid_buf_reset(sealed);
}

static void spoil_tail(struct qosid_buf *sealed)
{
	sealed->len -= 5;
}

static void spoil_middle(struct qosid_buf *sealed)
{
	sealed->data[sealed->len - 20] ^= 1;
}

static void spoil_header(struct qosid_buf *sealed)
{
	sealed->data[40] ^= 1;
}

static void spoil_more(struct qosid_buf *sealed)
{
	assert_int_equal(qosid_buf_append_byte(sealed, 0, NULL), 0);
}

static void spoil_recipient(struct qosid_buf *sealed)
{
	struct age_key *key = NULL;
	const char *recipient;

	assert_int_equal(age_key_create(&key, NULL), 0);
	recipient = age_key_recipient(key);
	qosid_buf_reset(sealed);
	assert_int_equal(age_encrypt_buf(sealed, &recipient, 1, "x", 1, NULL), 0);
	age_key_free(key);
}

static void test_wrapping(void **state)
{
	static const struct qosid_buf nothing;

	try_payload(state, NULL, 0, spoil_garbage, "not an age file");
	try_payload(state, NULL, 0, spoil_nothing, "nothing");
	try_payload(state, NULL, 0, spoil_tail, "age file cut off");
	try_payload(state, NULL, 0, spoil_middle, "bit flipped in the ciphertext");
	try_payload(state, NULL, 0, spoil_header, "bit flipped in the age header");
	try_payload(state, NULL, 0, spoil_more, "bytes after the age file");
	try_payload(state, NULL, 0, spoil_recipient, "encrypted for someone else");
	try_payload(state, &nothing, FORGE_AGE, NULL, "not compressed");
	try_payload(state, &nothing, FORGE_ZSTD, NULL, "not encrypted");
	try_payload(state, &nothing, 0, NULL, "neither compressed nor encrypted");
}

/* The compressed data itself, encrypted as it should be. */
static void try_compressed(void **state, const char *name, bool cut, bool twice)
{
	struct qosid_buf plain = {0}, packed = {0}, sealed = {0};
	struct stage stage;
	struct forgery forgery;

	stage_open(&stage, *state);
	forge_begin(&stage, &forgery);
	forge_format_header(&stage, &plain, "khujand", 3);
	forge_format_line(&plain, "evil");
	forge_seal(&stage, &packed, plain.data, plain.len, FORGE_ZSTD);
	if (twice) {
		struct qosid_buf copy = {0};

		assert_int_equal(qosid_buf_append(&copy, packed.data, packed.len, NULL), 0);
		assert_int_equal(qosid_buf_append(&packed, copy.data, copy.len, NULL), 0);
		qosid_buf_free(&copy);
	}
	if (cut)
		packed.len -= 3;
	forge_seal(&stage, &sealed, packed.data, packed.len, FORGE_AGE);
	forge_set_payload(&stage, &forgery, &sealed);
	forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
	stage_assert_refused(&stage, 2, "payload", name);
	qosid_buf_free(&plain);
	qosid_buf_free(&packed);
	qosid_buf_free(&sealed);
	forge_free(&forgery);
	stage_close(&stage);
	offices_teardown(state);
	offices_setup(state);
}

static void test_compression(void **state)
{
	try_compressed(state, "compressed data cut off", true, false);
	try_compressed(state, "two frames", false, true);
}

/* ---- the header line ---- */

static void try_header(void **state, const char *office, int64_t sequence, const char *name)
{
	struct qosid_buf plain = {0}, sealed = {0};
	struct stage stage;
	struct forgery forgery;

	stage_open(&stage, *state);
	forge_begin(&stage, &forgery);
	if (office != NULL)
		forge_format_header(&stage, &plain, office, sequence);
	forge_format_line(&plain, "evil");
	forge_seal(&stage, &sealed, plain.data, plain.len, FORGE_ZSTD | FORGE_AGE);
	forge_set_payload(&stage, &forgery, &sealed);
	forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
	stage_assert_refused(&stage, 2, "payload", name);
	qosid_buf_free(&plain);
	qosid_buf_free(&sealed);
	forge_free(&forgery);
	stage_close(&stage);
	offices_teardown(state);
	offices_setup(state);
}

static void test_headers(void **state)
{
	try_header(state, "bokhtar", 3, "the header names another office");
	try_header(state, "khujand", 4, "the header names a later sequence");
	try_header(state, "khujand", 2, "the header names an earlier sequence");
	try_header(state, "khujand\",\"x\":\"", 3, "the header has a member more");
	try_header(state, NULL, 0, "no header");
}

/* ---- bombs ---- */

/* One line that never ends. */
static void test_endless_line(void **state)
{
	struct qosid_buf plain = {0};
	size_t len = (size_t)LIMIT_LINE_BYTES + 100;

	assert_int_equal(qosid_buf_reserve(&plain, len, NULL), 0);
	memset(plain.data, ' ', len);
	plain.len = len;
	try_payload(state, &plain, FORGE_ZSTD | FORGE_AGE, NULL, "endless line");
	qosid_buf_free(&plain);
}

/* Lines that are each within the limits, but too many: a few KiB that inflate to more than 64 MiB. */
static void test_inflating_lines(void **state)
{
	const size_t body = (size_t)7 << 20;
	struct qosid_buf plain = {0};

	assert_int_equal(qosid_buf_reserve(&plain, 10 * (body + 1024), NULL), 0);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(
		    qosid_buf_append_format(&plain, NULL,
			"{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":\"x\",\"doc\":{\"_id\":\"bomb-%d\"," REV
			    REVISIONS ",\"n\":\"",
			i),
		    0);
		memset(plain.data + plain.len, 'x', body);
		plain.len += body;
		assert_int_equal(qosid_buf_append_text(&plain, "\"}}\n", NULL), 0);
	}
	try_payload(state, &plain, FORGE_ZSTD | FORGE_AGE, NULL, "over-inflating payload");
	qosid_buf_free(&plain);
}

static void test_oversized_document(void **state)
{
	struct qosid_buf plain = {0};
	const size_t body = LIMIT_DOCUMENT_BYTES;

	assert_int_equal(qosid_buf_append_text(&plain, HEAD REV REVISIONS ",\"n\":\"", NULL), 0);
	assert_int_equal(qosid_buf_reserve(&plain, body + 16, NULL), 0);
	memset(plain.data + plain.len, 'x', body);
	plain.len += body;
	assert_int_equal(qosid_buf_append_text(&plain, "\"}}\n", NULL), 0);
	try_payload(state, &plain, FORGE_ZSTD | FORGE_AGE, NULL, "oversized document");
	qosid_buf_free(&plain);
}

/* A revision that is here, once more with another body or as a tombstone: trees only grow, and all keep the same. */
static void test_revision_told_twice(void **state)
{
	static const char *const again[] = {
	    "{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":\"x\",\"doc\":{\"_id\":\"evil\",\"_rev\":\"1-"
	    "00000000000000000000000000000001\",\"_revisions\":{\"start\":1,\"ids\":["
	    "\"00000000000000000000000000000001\"]},\"n\":2}}\n",
	    "{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":\"x\",\"doc\":{\"_id\":\"evil\",\"_rev\":\"1-"
	    "00000000000000000000000000000001\",\"_revisions\":{\"start\":1,\"ids\":["
	    "\"00000000000000000000000000000001\"]},\"_deleted\":true}}\n",
	    "{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":\"x\",\"doc\":{\"_id\":\"evil\",\"_rev\":\"2-b\","
	    "\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"00000000000000000000000000000001\"]}}}\n"
	    "{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":\"x\",\"doc\":{\"_id\":\"evil\",\"_rev\":\"2-b\","
	    "\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"other\"]}}}\n",
	};

	for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
		struct qosid_buf plain = {0}, sealed = {0};
		struct exchange_report report;
		struct qosid_errbuf err = {0};
		struct stage stage;
		struct forgery forgery;

		stage_open(&stage, *state);
		forge_begin(&stage, &forgery);
		forge_format_header(&stage, &plain, "khujand", 3);
		forge_format_line(&plain, "evil");
		assert_int_equal(qosid_buf_append_text(&plain, again[i], NULL), 0);
		forge_seal(&stage, &sealed, plain.data, plain.len, FORGE_ZSTD | FORGE_AGE);
		forge_set_payload(&stage, &forgery, &sealed);
		forge_finish(&stage, &forgery, key_of(stage.rogue), NULL, NULL);
		must(space_exchange(stage.victim, "origin", NULL, &report, &err), &err);
		must(space_exchange(stage.honest, "origin", NULL, &report, &err), &err);
		assert_non_null(get(stage.victim, "honest"));
		assert_equal_replicas(stage.victim, stage.honest);
		qosid_buf_free(&plain);
		qosid_buf_free(&sealed);
		forge_free(&forgery);
		stage_close(&stage);
		offices_teardown(state);
		offices_setup(state);
	}
}

int main(void)
{
#define STAGE_TEST(f) cmocka_unit_test_setup_teardown(f, offices_setup, offices_teardown)
	const struct CMUnitTest tests[] = {
	    STAGE_TEST(test_bad_lines),
	    STAGE_TEST(test_deep_line),
	    STAGE_TEST(test_many_revisions),
	    STAGE_TEST(test_wrapping),
	    STAGE_TEST(test_compression),
	    STAGE_TEST(test_headers),
	    STAGE_TEST(test_endless_line),
	    STAGE_TEST(test_inflating_lines),
	    STAGE_TEST(test_oversized_document),
	    STAGE_TEST(test_revision_told_twice),
	};

	return cmocka_run_group_tests(tests, offices_group_setup, offices_group_teardown);
}
