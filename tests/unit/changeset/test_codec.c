/*
 * The change set codec: bytes come back as they went in, and every kind of malformed payload is refused with its line.
 */
#include "codec_tools.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sync/limits.h"

#define HEADER "{\"qosid\":\"change set\",\"format\":1,\"space\":\"" SPACE "\",\"office\":\"khujand\",\"sequence\":7}\n"
#define HEAD "{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":\"rano\",\"doc\":"
#define DOC_HEAD "{\"_id\":\"a\",\"_rev\":\"2-bb\",\"_revisions\":{\"start\":2,\"ids\":[\"bb\",\"aa\"]}"
#define DOC DOC_HEAD ",\"n\":1.0}"
#define LINE HEAD DOC "}\n"

static const struct changeset_header header = {.space = SPACE, .office = "khujand", .sequence = 7};
static struct age_key *key;
static struct qosid_buf payload;
static struct qosid_buf seen; /* what decoding handed on, as text */

static int make_key(void **state)
{
	(void)state;
	assert_done(age_key_create(&key, E));
	return 0;
}

static int free_key(void **state)
{
	(void)state;
	age_key_free(key);
	qosid_buf_free(&payload);
	qosid_buf_free(&seen);
	return 0;
}

static int note_line(void *context, const struct changeset_line *line, struct qosid_errbuf *err)
{
	const struct document *document = line->document;
	size_t *fail_at = context;
	int rc;

	if (fail_at != NULL && line->number == *fail_at)
		return qosid_error(err, QOSID_ERR_FULL, "the visitor stopped");
	rc = qosid_buf_append_format(&seen, err, "%zu %lld %s %s %u-%s %zu %d %s %.*s\n", line->number,
	    (long long)line->time, line->user, (const char *)document->id.data, document->rev.generation,
	    document->rev.hash, document->revision_count, document->deleted,
	    document->body.len < 10000 ? (const char *)document->body.data : "..", (int)document->attachments.len,
	    document->attachments.len > 0 ? document->attachments.text : "");
	return rc;
}

static int decode(struct qosid_errbuf *err)
{
	qosid_buf_reset(&seen);
	return changeset_decode(
	    payload.data, payload.len, &header, &(struct changeset_opening){.key = key}, note_line, NULL, err);
}

static void test_round_trip(void **state)
{
	(void)state;
	static const char *const docs[] = {DOC,
	    "{\"_id\":\"b\",\"_rev\":\"1-cc\",\"_deleted\":true,\"_revisions\":{\"start\":1,\"ids\":[\"cc\"]}}",
	    "{\"_id\":\"\xd2\x9b\xd0\xbe\xd1\x81\xd0\xb8\xd0\xb4\",\"_rev\":\"1-dd\",\"_revisions\":{\"start\":1,"
	    "\"ids\":["
	    "\"dd\"]},\"_attachments\":{\"x\":{\"stub\":true}},\"big\":123456789012345678901234567890,\"z\":-0.0,"
	    "\"s\":\"\\u00e9\\/\\\"\" }"};
	static const char *const users[] = {"rano", "", "\"q\\\\ \xd0\xaf\t\x01"};
	static const char expected[] = HEADER HEAD DOC
	    "}\n"
	    "{\"time\":\"1969-12-31T23:59:59.999Z\",\"user\":\"\",\"doc\":"
	    "{\"_id\":\"b\",\"_rev\":\"1-cc\",\"_deleted\":true,\"_revisions\":{\"start\":1,\"ids\":[\"cc\"]}}}\n"
	    "{\"time\":\"9999-12-31T23:59:59.999Z\",\"user\":\"\\\"q\\\\\\\\ \xd0\xaf\\t\\u0001\",\"doc\":"
	    "{\"_id\":\"\xd2\x9b\xd0\xbe\xd1\x81\xd0\xb8\xd0\xb4\",\"_rev\":\"1-dd\",\"_revisions\":{\"start\":1,"
	    "\"ids\":["
	    "\"dd\"]},\"_attachments\":{\"x\":{\"stub\":true}},\"big\":123456789012345678901234567890,\"z\":-0.0,"
	    "\"s\":\"\\u00e9\\/\\\"\" }}\n";
	static const int64_t times[] = {TIME, -1, INT64_C(253402300799999)};
	struct changeset_encoder *encoder;
	struct qosid_buf text = {0};

	qosid_buf_reset(&payload);
	assert_done(changeset_encoder_open(&encoder, &header, age_key_recipient(key), NULL, &payload, E));
	for (int i = 0; i < 3; i++)
		assert_done(changeset_encoder_add(encoder, times[i], users[i], docs[i], strlen(docs[i]), E));
	assert_int_equal(changeset_encoder_lines(encoder), 3);
	assert_int_equal(changeset_encoder_bytes(encoder), strlen(expected));
	assert_done(changeset_encoder_finish(encoder, E));
	changeset_encoder_free(encoder);

	open_payload(&text, &payload, key);
	assert_string_equal((char *)text.data, expected);
	assert_done(decode(E));
	assert_string_equal((char *)seen.data,
	    "2 1795593600123 rano a 2-bb 2 0 {\"n\":1.0} \n"
	    "3 -1  b 1-cc 1 1 {} \n"
	    "4 253402300799999 \"q\\\\ \xd0\xaf\t\x01 \xd2\x9b\xd0\xbe\xd1\x81\xd0\xb8\xd0\xb4 1-dd 1 0 "
	    "{\"big\":123456789012345678901234567890,\"z\":-0.0,\"s\":\"\\u00e9\\/\\\"\"} {\"x\":{\"stub\":true}}\n");
	qosid_buf_free(&text);
}

/* What was built by hand is what the encoder builds, so the cases below differ from good ones in one thing only. */
static void test_hand_made(void **state)
{
	(void)state;
	build_payload(&payload, HEADER, key);
	assert_done(decode(E));
	assert_int_equal(seen.len, 0);
	build_payload(&payload, HEADER LINE LINE, key);
	assert_done(decode(E));
	assert_string_equal((char *)seen.data,
	    "2 1795593600123 rano a 2-bb 2 0 {\"n\":1.0} \n3 1795593600123 rano a 2-bb 2 0 {\"n\":1.0} \n");
}

/* White space in a document may hold line feeds; the line must not. */
static void test_line_feeds(void **state)
{
	(void)state;
	static const char doc[] =
	    "{\"_id\":\"a\",\"_rev\":\"1-a\",\"_revisions\":{\"start\":1,\"ids\":[\"a\"]},\"x\":[1,\r\n 2\n]}";
	struct changeset_encoder *encoder;

	qosid_buf_reset(&payload);
	assert_done(changeset_encoder_open(&encoder, &header, age_key_recipient(key), NULL, &payload, E));
	assert_done(changeset_encoder_add(encoder, TIME, "", doc, strlen(doc), E));
	assert_done(changeset_encoder_finish(encoder, E));
	changeset_encoder_free(encoder);
	assert_done(decode(E));
	assert_string_equal((char *)seen.data, "2 1795593600123  a 1-a 1 0 {\"x\":[1,   2 ]} \n");
}

struct malformed {
	const char *text;
	int code;
	const char *where;
	const char *what;
};

static void assert_malformed(const struct malformed *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		build_payload(&payload, cases[i].text, key);
		assert_refused(cases[i].code, cases[i].where, cases[i].what, decode(E));
		assert_int_equal(decode(NULL), cases[i].code);
	}
}

#define HEADER_WITH(space, office, sequence)                                                                           \
	"{\"qosid\":\"change set\",\"format\":1,\"space\":\"" space "\",\"office\":\"" office                          \
	"\",\"sequence\":" sequence "}\n"

static void test_headers(void **state)
{
	(void)state;
	static const struct malformed cases[] = {
	    {"", QOSID_ERR_INVALID, "", "empty"},
	    {"\n", QOSID_ERR_INVALID, "line 1", "empty"},
	    {"\n" HEADER, QOSID_ERR_INVALID, "line 1", "empty"},
	    {"{\"qosid\"", QOSID_ERR_INVALID, "line 1", "line feed"},
	    {LINE, QOSID_ERR_INVALID, "line 1", "not the header"},
	    {HEADER HEADER, QOSID_ERR_INVALID, "line 2", "begin with a time"},
	    {"{}\n", QOSID_ERR_INVALID, "line 1", "not the header"},
	    {"null\n", QOSID_ERR_INVALID, "line 1", "not the header"},
	    {"\xff\n", QOSID_ERR_INVALID, "line 1", "not the header"},
	    {"{\"qosid\":\"invitation\",\"format\":1}\n", QOSID_ERR_INVALID, "line 1", "not the header"},
	    {"{\"qosid\":\"change set\",\"format\":2}\n", QOSID_ERR_INVALID, "line 1", "another format"},
	    {"{\"qosid\":\"change set\",\"format\":1}\n", QOSID_ERR_INVALID, "line 1", "does not name"},
	    {HEADER_WITH("ff112233445566778899aabbccddeeff", "khujand", "7"), QOSID_ERR_REFUSED, "line 1",
		"another space"},
	    {HEADER_WITH(SPACE, "dushanbe", "7"), QOSID_ERR_REFUSED, "line 1", "another office"},
	    {HEADER_WITH(SPACE, "khujand", "8"), QOSID_ERR_REFUSED, "line 1", "another sequence"},
	    {HEADER_WITH(SPACE, "khujand", "-7"), QOSID_ERR_REFUSED, "line 1", "another sequence"},
	    {HEADER_WITH(SPACE, "khujand", "\"7\""), QOSID_ERR_REFUSED, "line 1", "another sequence"},
	    {HEADER_WITH(SPACE, "khujand", " 7"), QOSID_ERR_INVALID, "line 1", "exact form"},
	    {HEADER_WITH(SPACE, "\\u006bhujand", "7"), QOSID_ERR_INVALID, "line 1", "exact form"},
	    {HEADER_WITH(SPACE, "khujand", "7,\"more\":1"), QOSID_ERR_INVALID, "line 1", "exact form"},
	    {HEADER_WITH(SPACE, "khujand", "7") "\n", QOSID_ERR_INVALID, "line 2", "empty"},
	};
	assert_malformed(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_malformed_lines(void **state)
{
	(void)state;
#define TIMED(time) "{\"time\":\"" time "\",\"user\":\"rano\",\"doc\":" DOC "}\n"
#define USED(user) "{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":" user ",\"doc\":" DOC "}\n"
	static const struct malformed cases[] = {
	    {HEADER "\n" LINE, QOSID_ERR_INVALID, "line 2", "empty"},
	    {HEADER LINE "\n", QOSID_ERR_INVALID, "line 3", "empty"},
	    {HEADER LINE HEAD DOC "}", QOSID_ERR_INVALID, "line 3", "line feed"},
	    {HEADER HEAD DOC "}\r\n", QOSID_ERR_INVALID, "line 2", "end with its document"},
	    {HEADER " " LINE, QOSID_ERR_INVALID, "line 2", "begin with a time"},
	    {HEADER LINE DOC "\n", QOSID_ERR_INVALID, "line 3", "begin with a time"},
	    {HEADER "{\"time\":\"2026\n", QOSID_ERR_INVALID, "line 2", "begin with a time"},
	    {HEADER TIMED("2026-11-25T08:00:00Z"), QOSID_ERR_INVALID, "line 2", ""},
	    {HEADER TIMED("2026-11-25T08:00:00.1234Z"), QOSID_ERR_INVALID, "line 2", ""},
	    {HEADER TIMED("2026-11-25T08:00:00+00:00"), QOSID_ERR_INVALID, "line 2", ""},
	    {HEADER TIMED("2026-11-25 08:00:00.123Z"), QOSID_ERR_INVALID, "line 2", "form"},
	    {HEADER TIMED("2026-11-25T08:00:00.123z"), QOSID_ERR_INVALID, "line 2", "form"},
	    {HEADER TIMED("2026-02-29T08:00:00.123Z"), QOSID_ERR_INVALID, "line 2", "does not exist"},
	    {HEADER TIMED("2026-00-25T08:00:00.123Z"), QOSID_ERR_INVALID, "line 2", "does not exist"},
	    {HEADER TIMED("2026-13-25T08:00:00.123Z"), QOSID_ERR_INVALID, "line 2", "does not exist"},
	    {HEADER TIMED("2026-11-31T08:00:00.123Z"), QOSID_ERR_INVALID, "line 2", "does not exist"},
	    {HEADER TIMED("2026-11-25T24:00:00.123Z"), QOSID_ERR_INVALID, "line 2", "does not exist"},
	    {HEADER TIMED("2026-11-25T08:60:00.123Z"), QOSID_ERR_INVALID, "line 2", "does not exist"},
	    {HEADER TIMED("2026-11-25T08:00:60.123Z"), QOSID_ERR_INVALID, "line 2", "does not exist"},
	    {HEADER USED("null"), QOSID_ERR_INVALID, "line 2", "no user"},
	    {HEADER USED("7"), QOSID_ERR_INVALID, "line 2", "no user"},
	    {HEADER USED("\"ra\nno\""), QOSID_ERR_INVALID, "line 2", ""},
	    {HEADER USED("\"ra\tno\""), QOSID_ERR_INVALID, "line 2: user", ""},
	    {HEADER USED("\"\\x\""), QOSID_ERR_INVALID, "line 2: user", ""},
	    {HEADER USED("\"\\ud800\""), QOSID_ERR_INVALID, "line 2: user", ""},
	    {HEADER USED("\"\xff\""), QOSID_ERR_INVALID, "line 2: user", ""},
	    {HEADER USED("\"ra\\u0000no\""), QOSID_ERR_INVALID, "line 2", "NUL"},
	    {HEADER USED("\"rano"), QOSID_ERR_INVALID, "line 2", ""},
	    {HEADER "{\"time\":\"2026-11-25T08:00:00.123Z\",\"user\":\"\\\n", QOSID_ERR_INVALID, "line 2", "no user"},
	    {HEADER USED("\"rano\" "), QOSID_ERR_INVALID, "line 2", "no document"},
	    {HEADER USED("\"rano\",\"ip\":\"::1\""), QOSID_ERR_INVALID, "line 2", "no document"},
	    {HEADER "{\"time\":\"2026-11-25T08:00:00.123Z\",\"doc\":" DOC "}\n", QOSID_ERR_INVALID, "line 2",
		"no user"},
	    {HEADER HEAD DOC "\n", QOSID_ERR_INVALID, "line 2", "end with its document"},
	    {HEADER HEAD "\n", QOSID_ERR_INVALID, "line 2", "end with its document"},
	    {HEADER HEAD "{}\n", QOSID_ERR_INVALID, "line 2", "end with its document"},
	    {HEADER HEAD "[]}\n", QOSID_ERR_INVALID, "line 2", "end with its document"},
	    {HEADER HEAD " " DOC "}\n", QOSID_ERR_INVALID, "line 2", "end with its document"},
	    {HEADER HEAD DOC " }\n", QOSID_ERR_INVALID, "line 2", "end with its document"},
	    {HEADER HEAD DOC "} \n", QOSID_ERR_INVALID, "line 2", "end with its document"},
	    {HEADER HEAD DOC "}}\n", QOSID_ERR_INVALID, "line 2", ""},
	    {HEADER HEAD DOC ",\"more\":1}\n", QOSID_ERR_INVALID, "line 2", "end with its document"},
	    {HEADER HEAD DOC ",\"more\":{}}\n", QOSID_ERR_INVALID, "line 2: document", ""},
	    {HEADER HEAD DOC DOC "}\n", QOSID_ERR_INVALID, "line 2: document", ""},
	    {HEADER HEAD "{}}\n", QOSID_ERR_INVALID, "line 2", "_id"},
	};
	assert_malformed(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_malformed_documents(void **state)
{
	(void)state;
#define REVS "\"_revisions\":{\"start\":1,\"ids\":[\"a\"]}"
	static const struct malformed cases[] = {
	    {HEADER LINE HEAD "{\"_rev\":\"1-a\"," REVS "}}\n", QOSID_ERR_INVALID, "line 3", "_id"},
	    {HEADER LINE HEAD "{\"_id\":\"\",\"_rev\":\"1-a\"," REVS "}}\n", QOSID_ERR_INVALID, "line 3", ""},
	    {HEADER LINE HEAD "{\"_id\":\"_local/a\",\"_rev\":\"1-a\"," REVS "}}\n", QOSID_ERR_INVALID, "line 3",
		"_local"},
	    {HEADER LINE HEAD "{\"_id\":\"a\",\"_rev\":\"1-a\"}}\n", QOSID_ERR_INVALID, "line 3", "_revisions"},
	    {HEADER LINE HEAD "{\"_id\":\"a\"," REVS "}}\n", QOSID_ERR_INVALID, "line 3", "_rev"},
	    {HEADER LINE HEAD "{\"_id\":\"a\",\"_rev\":\"1-b\"," REVS "}}\n", QOSID_ERR_INVALID, "line 3", ""},
	    {HEADER LINE HEAD "{\"_id\":\"a\",\"_rev\":\"2-a\"," REVS "}}\n", QOSID_ERR_INVALID, "line 3", ""},
	    {HEADER LINE HEAD DOC_HEAD ",\"n\":1,\"n\":2}}\n", QOSID_ERR_INVALID, "line 3", ""},
	    {HEADER LINE HEAD DOC_HEAD ",\"n\":01}}\n", QOSID_ERR_INVALID, "line 3", ""},
	    {HEADER LINE HEAD DOC_HEAD ",\"n\":\"\xc0\x80\"}}\n", QOSID_ERR_INVALID, "line 3", ""},
	    {HEADER LINE HEAD DOC_HEAD ",\"_what\":1}}\n", QOSID_ERR_INVALID, "line 3", "_what"},
	    {HEADER LINE HEAD DOC_HEAD ",\"_deleted\":1}}\n", QOSID_ERR_INVALID, "line 3", ""},
	    {HEADER LINE HEAD DOC_HEAD ",}}\n", QOSID_ERR_INVALID, "line 3", ""},
	};
	struct qosid_buf text = {0};

	assert_malformed(cases, sizeof(cases) / sizeof(cases[0]));

	/* a path longer than any replica keeps */
	assert_done(qosid_buf_append_format(&text, E,
	    HEADER HEAD "{\"_id\":\"a\",\"_rev\":\"%u-h\",\"_revisions\":{\"start\":%u,\"ids\":[\"h\"",
	    LIMIT_REVISIONS + 1, LIMIT_REVISIONS + 1));
	for (unsigned i = 0; i < LIMIT_REVISIONS; i++)
		assert_done(qosid_buf_append_text(&text, ",\"h\"", E));
	assert_done(qosid_buf_append_text(&text, "]}}}\n", E));
	build_payload(&payload, (char *)text.data, key);
	assert_refused(QOSID_ERR_LIMIT, "line 2", "1000 revisions", decode(E));
	qosid_buf_free(&text);
}

static void test_frames(void **state)
{
	(void)state;
	static const struct piece text = {HEADER LINE, 1}, no_text = {"", 0};
	static const char skippable[] = "\x50\x2a\x4d\x18\x04\0\0\0abcd", legacy[] = "\x27\xb5\x2f\xfd\0\0\0\0\0\0\0\0";
	struct qosid_buf frame = {0}, plain = {0};

	append_frame(&frame, &text, 1, 0);
	/* two frames, a second empty one, bytes after the frame */
	assert_done(qosid_buf_append(&plain, frame.data, frame.len, E));
	assert_done(qosid_buf_append(&plain, frame.data, frame.len, E));
	encrypt(&payload, &plain, key);
	assert_refused(QOSID_ERR_INVALID, "", "bytes after", decode(E));
	plain.len = frame.len;
	append_frame(&plain, &no_text, 1, 0);
	encrypt(&payload, &plain, key);
	assert_refused(QOSID_ERR_INVALID, "", "bytes after", decode(E));
	plain.len = frame.len;
	assert_done(qosid_buf_append(&plain, skippable, sizeof(skippable) - 1, E));
	encrypt(&payload, &plain, key);
	assert_refused(QOSID_ERR_INVALID, "", "padding is not", decode(E));
	plain.len = frame.len;
	assert_done(qosid_buf_append_byte(&plain, 0, E));
	encrypt(&payload, &plain, key);
	assert_refused(QOSID_ERR_INVALID, "", "bytes after", decode(E));

	/* something else before it */
	qosid_buf_reset(&plain);
	assert_done(qosid_buf_append(&plain, skippable, sizeof(skippable) - 1, E));
	assert_done(qosid_buf_append(&plain, frame.data, frame.len, E));
	encrypt(&payload, &plain, key);
	assert_refused(QOSID_ERR_INVALID, "", "not compressed with zstd", decode(E));
	qosid_buf_reset(&plain);
	assert_done(qosid_buf_append(&plain, legacy, sizeof(legacy) - 1, E));
	encrypt(&payload, &plain, key);
	assert_refused(QOSID_ERR_INVALID, "", "not compressed with zstd", decode(E));
	qosid_buf_reset(&plain);
	assert_done(qosid_buf_append_text(&plain, HEADER LINE, E));
	encrypt(&payload, &plain, key);
	assert_refused(QOSID_ERR_INVALID, "", "not compressed with zstd", decode(E));
	qosid_buf_reset(&plain);
	encrypt(&payload, &plain, key);
	assert_refused(QOSID_ERR_INVALID, "", "cut off", decode(E));

	/* a frame cut anywhere, and with any byte changed: age is intact, zstd is not */
	for (size_t len = 1; len < frame.len; len++) {
		qosid_buf_reset(&plain);
		assert_done(qosid_buf_append(&plain, frame.data, len, E));
		encrypt(&payload, &plain, key);
		assert_refused(QOSID_ERR_INVALID, "", "cut off", decode(E));
	}
	qosid_buf_free(&plain);
	qosid_buf_free(&frame);
}

static void test_damaged(void **state)
{
	(void)state;
	struct qosid_buf whole = {0};
	struct age_key *other;

	build_payload(&whole, HEADER LINE, key);
	assert_done(qosid_buf_reserve(&payload, whole.len, E));
	for (size_t i = 0; i < whole.len; i++) {
		memcpy(payload.data, whole.data, whole.len);
		payload.len = i;
		assert_int_not_equal(decode(NULL), 0);
		payload.len = whole.len;
		payload.data[i] ^= (uint8_t)(1u << (i % 8));
		assert_int_not_equal(decode(NULL), 0);
	}
	memcpy(payload.data, whole.data, whole.len);
	assert_done(decode(E));
	assert_done(qosid_buf_append_byte(&payload, 0, E));
	assert_int_not_equal(decode(NULL), 0);
	assert_done(age_key_create(&other, E));
	assert_int_equal(changeset_decode(whole.data, whole.len, &header, &(struct changeset_opening){.key = other},
			     note_line, NULL, NULL),
	    QOSID_ERR_REFUSED);
	age_key_free(other);
	qosid_buf_free(&whole);
}

static long peak_kilobytes(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_maxrss;
}

/* A few kilobytes that would become 256 MiB as one line, and 80 MiB as good ones. */
static void test_bombs(void **state)
{
	(void)state;
	char *filler = malloc((1u << 20) + 1), *line = malloc((4u << 20) + 1024);
	struct piece one_line[] = {{HEADER HEAD DOC_HEAD ",\"x\":\"", 1}, {filler, 256}};
	struct piece lines[] = {{HEADER, 1}, {line, 20}};
	struct qosid_buf frame = {0};
	long before;

	assert_non_null(filler);
	assert_non_null(line);
	memset(filler, ' ', 1u << 20);
	filler[1u << 20] = '\0';
	append_frame(&frame, one_line, 2, 0);
	assert_true(frame.len < 100000);
	encrypt(&payload, &frame, key);
	before = peak_kilobytes();
	assert_refused(QOSID_ERR_LIMIT, "line 2", "longer than 16777216 bytes", decode(E));

	(void)sprintf(line, "%s%s,\"x\":\"%*s\"}}\n", HEAD, DOC_HEAD, 4 << 20, "");
	qosid_buf_reset(&frame);
	append_frame(&frame, lines, 2, 0);
	assert_true(frame.len < 100000);
	encrypt(&payload, &frame, key);
	assert_refused(QOSID_ERR_LIMIT, "", "inflates to more than 67108864 bytes", decode(E));
	assert_true(peak_kilobytes() - before < 128 * 1024);
	qosid_buf_free(&frame);
	free(filler);
	free(line);
}

static void test_window(void **state)
{
	(void)state;
	static const struct piece text = {HEADER LINE, 1};
	struct qosid_buf frame = {0};

	append_frame(&frame, &text, 1, 27);
	encrypt(&payload, &frame, key);
	assert_done(decode(E));
	qosid_buf_reset(&frame);
	append_frame(&frame, &text, 1, 28);
	encrypt(&payload, &frame, key);
	assert_refused(QOSID_ERR_LIMIT, "", "window", decode(E));
	qosid_buf_free(&frame);
}

static void test_encoder_limits(void **state)
{
	(void)state;
	static const char doc[] =
	    "{\"_id\":\"a\",\"_rev\":\"1-a\",\"_revisions\":{\"start\":1,\"ids\":[\"a\"]},\"x\":\"\"}";
	char *big = malloc(LIMIT_LINE_BYTES);
	struct changeset_encoder *encoder;

	assert_non_null(big);
	memset(big, ' ', LIMIT_LINE_BYTES);
	qosid_buf_reset(&payload);
	assert_done(changeset_encoder_open(
	    &encoder, &header, age_key_recipient(key), &(struct changeset_packing){.level = 1}, &payload, E));
	assert_refused(QOSID_ERR_LIMIT, "", "line", changeset_encoder_add(encoder, TIME, "", big, LIMIT_LINE_BYTES, E));
	assert_refused(
	    QOSID_ERR_INVALID, "", "years", changeset_encoder_add(encoder, INT64_MAX, "", doc, strlen(doc), E));
	assert_int_equal(changeset_encoder_lines(encoder), 0);
	memcpy(big, doc, strlen(doc));
	for (int i = 0; i < 3; i++)
		assert_done(changeset_encoder_add(encoder, TIME, "", big, LIMIT_LINE_BYTES - 64, E));
	assert_refused(
	    QOSID_ERR_LIMIT, "", "more than", changeset_encoder_add(encoder, TIME, "", big, LIMIT_LINE_BYTES - 64, E));
	assert_done(changeset_encoder_add(encoder, TIME, "", doc, strlen(doc), E));
	assert_int_equal(changeset_encoder_lines(encoder), 4);
	changeset_encoder_free(encoder); /* unfinished */
	changeset_encoder_free(NULL);
	free(big);
}

/* Lines cut by inflation steps and age chunks in all places. */
static void test_many_lines(void **state)
{
	(void)state;
	struct changeset_encoder *encoder;
	struct qosid_buf doc = {0}, body = {0}, expected = {0};
	uint32_t random = 12345;

	qosid_buf_reset(&payload);
	assert_done(changeset_encoder_open(&encoder, &header, age_key_recipient(key), NULL, &payload, E));
	for (int i = 0; i < 3000; i++) {
		qosid_buf_reset(&doc);
		qosid_buf_reset(&body);
		assert_done(qosid_buf_append_text(&body, "\"x\":[0", E));
		random = random * 1664525u + 1013904223u;
		for (uint32_t j = random >> 24; j > 0; j--) {
			random = random * 1664525u + 1013904223u;
			assert_done(qosid_buf_append_format(&body, E, ",%u", random));
		}
		assert_done(qosid_buf_append_byte(&body, ']', E));
		assert_done(qosid_buf_append_format(&doc, E,
		    "{\"_id\":\"d%d\",\"_rev\":\"1-a\",\"_revisions\":{\"start\":1,\"ids\":[\"a\"]},%s}", i,
		    (char *)body.data));
		assert_done(changeset_encoder_add(encoder, TIME + i, "u", doc.data, doc.len, E));
		assert_done(qosid_buf_append_format(
		    &expected, E, "%d %lld u d%d 1-a 1 0 {%s} \n", i + 2, (long long)TIME + i, i, (char *)body.data));
	}
	assert_done(changeset_encoder_finish(encoder, E));
	changeset_encoder_free(encoder);
	assert_done(decode(E));
	assert_int_equal(seen.len, expected.len);
	assert_memory_equal(seen.data, expected.data, expected.len);
	qosid_buf_free(&doc);
	qosid_buf_free(&body);
	qosid_buf_free(&expected);
}

static void test_visitor_fails(void **state)
{
	(void)state;
	size_t fail_at = 3;

	build_payload(&payload, HEADER LINE LINE LINE, key);
	qosid_buf_reset(&seen);
	assert_refused(QOSID_ERR_FULL, "line 3", "the visitor stopped",
	    changeset_decode(
		payload.data, payload.len, &header, &(struct changeset_opening){.key = key}, note_line, &fail_at, E));
	assert_ptr_equal(strchr((char *)seen.data, '\n'), (char *)seen.data + seen.len - 1);
}

/* What an auditor does without Qosid. */
static void test_stock_tools(void **state)
{
	(void)state;
	char dir[] = "/tmp/qosid-codec-XXXXXX", path[64], command[512];
	struct changeset_encoder *encoder;
	struct qosid_buf secret = {0};
	const struct {
		const char *name;
		const struct qosid_buf *content;
	} files[] = {{"key", &secret}, {"changes.age", &payload}};

	qosid_buf_reset(&payload);
	assert_done(changeset_encoder_open(&encoder, &header, age_key_recipient(key), NULL, &payload, E));
	assert_done(changeset_encoder_add(encoder, TIME, "rano", DOC, strlen(DOC), E));
	assert_done(changeset_encoder_finish(encoder, E));
	changeset_encoder_free(encoder);
	assert_done(age_key_format_secret(key, &secret, E));
	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, files[i].name);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, files[i].content->data, files[i].content->len), files[i].content->len);
		assert_int_equal(close(fd), 0);
	}
	(void)snprintf(command, sizeof(command),
	    "cd %s && age -d -i key changes.age | zstd -dc >lines && test \"$(wc -l <lines)\" = 2 && "
	    "test \"$(jq -r '.qosid // .doc._rev' lines | tr '\\n' ' ')\" = 'change set 2-bb '",
	    dir);
	assert_int_equal(system(command), 0);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	qosid_buf_wipe(&secret);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_hand_made),
	    cmocka_unit_test(test_line_feeds),
	    cmocka_unit_test(test_headers),
	    cmocka_unit_test(test_malformed_lines),
	    cmocka_unit_test(test_malformed_documents),
	    cmocka_unit_test(test_frames),
	    cmocka_unit_test(test_damaged),
	    cmocka_unit_test(test_bombs),
	    cmocka_unit_test(test_window),
	    cmocka_unit_test(test_encoder_limits),
	    cmocka_unit_test(test_many_lines),
	    cmocka_unit_test(test_visitor_fails),
	    cmocka_unit_test(test_stock_tools),
	};
	return cmocka_run_group_tests_name("change set codec", tests, make_key, free_key);
}
