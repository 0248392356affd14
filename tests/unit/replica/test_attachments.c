/*
 * Attachments: contents stored once, streamed in and out, stubs, data and digests that must fit.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store_support.h"

#define HELLO "blake2b-256:324dcf027dd4a30a932c441f365a25e86b173defa4b8e58948253471b81b72cf"
#define HELLO_DATA "{\"content_type\":\"text/plain\",\"data\":\"aGVsbG8=\"}" /* "hello" */
#define BIG (10u << 20)

/* Store size patterned bytes in pieces of uneven size. */
static void write_content(struct scratch *s, size_t size, uint8_t digest[DIGEST_BYTES])
{
	struct attachment_writer *writer;
	uint8_t piece[70001];
	size_t done = 0;
	int64_t length;

	assert_rc(s, attachment_writer_open(&writer, s->replica, &s->err), 0);
	while (done < size) {
		size_t len = size - done < sizeof(piece) ? size - done : sizeof(piece);

		for (size_t i = 0; i < len; i++)
			piece[i] = (uint8_t)((done + i) * 131 >> 3);
		assert_rc(s, attachment_writer_write(writer, piece, len, &s->err), 0);
		done += len;
	}
	assert_rc(s, attachment_writer_finish(writer, digest, &length, &s->err), 0);
	assert_int_equal(length, size);
	attachment_writer_free(writer);
}

/* Read a range and compare it with the pattern. */
static void expect_content(
    struct scratch *s, const uint8_t digest[DIGEST_BYTES], int64_t offset, int64_t length, size_t expected)
{
	struct qosid_buf buf = {0};
	struct qosid_buf_sink target = {&buf, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target);

	assert_rc(s, attachment_read(s->replica, digest, offset, length, &sink, &s->err), 0);
	assert_int_equal(buf.len, expected);
	for (size_t i = 0; i < buf.len; i++)
		if (buf.data[i] != (uint8_t)(((size_t)offset + i) * 131 >> 3))
			fail_msg("byte %zu of the range from %lld differs", i, (long long)offset);
	qosid_buf_free(&buf);
}

static void test_streaming(void **state)
{
	struct scratch *s = *state;
	uint8_t digest[DIGEST_BYTES], again[DIGEST_BYTES];
	const size_t chunk = 256 << 10;
	bool found;
	int64_t length, bytes;

	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	write_content(s, BIG + 12345, digest);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	assert_int_equal(info(s).attachments, 1);
	scratch_reopen(s);
	assert_rc(s, attachment_find(s->replica, digest, &found, &length, &s->err), 0);
	assert_true(found);
	assert_int_equal(length, BIG + 12345);
	expect_content(s, digest, 0, -1, BIG + 12345);
	expect_content(s, digest, 1, 10, 10);
	expect_content(s, digest, (int64_t)chunk - 1, 2, 2);
	expect_content(s, digest, (int64_t)chunk, (int64_t)chunk, chunk);
	expect_content(s, digest, BIG, 99999999, 12345);
	expect_content(s, digest, BIG + 12345, -1, 0);
	expect_content(s, digest, 5, 0, 0);
	/* The same content again takes no room. */
	bytes = info(s).bytes;
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	write_content(s, BIG + 12345, again);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	assert_memory_equal(digest, again, DIGEST_BYTES);
	assert_int_equal(info(s).attachments, 1);
	scratch_reopen(s);
	assert_true(info(s).bytes < bytes + (int64_t)BIG * 2);
}

static void test_sizes_around_a_chunk(void **state)
{
	struct scratch *s = *state;
	const size_t chunk = 256 << 10, sizes[] = {0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk};
	uint8_t digests[6][DIGEST_BYTES];

	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	for (size_t i = 0; i < 6; i++)
		write_content(s, sizes[i], digests[i]);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	for (size_t i = 0; i < 6; i++)
		expect_content(s, digests[i], 0, -1, sizes[i]);
	assert_int_equal(info(s).attachments, 6);
}

static void test_unfinished_writers(void **state)
{
	struct scratch *s = *state;
	struct attachment_writer *writer;
	static const uint8_t bytes[600 << 10];
	uint8_t digest[DIGEST_BYTES];
	int64_t length;

	assert_rc(s, attachment_writer_open(&writer, s->replica, &s->err), QOSID_ERR_USAGE);
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, attachment_writer_open(&writer, s->replica, &s->err), 0);
	assert_rc(s, attachment_writer_write(writer, bytes, sizeof(bytes), &s->err), 0);
	attachment_writer_free(writer);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	assert_int_equal(info(s).attachments, 0);
	/* A commit with one open is refused and rolls back; the writer is of no use then. */
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, attachment_writer_open(&writer, s->replica, &s->err), 0);
	assert_rc(s, attachment_writer_write(writer, bytes, sizeof(bytes), &s->err), 0);
	assert_rc(s, replica_commit(s->replica, &s->err), QOSID_ERR_USAGE);
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, attachment_writer_write(writer, bytes, 1, &s->err), QOSID_ERR_USAGE);
	assert_rc(s, attachment_writer_finish(writer, digest, &length, &s->err), QOSID_ERR_USAGE);
	attachment_writer_free(writer);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
}

static void test_absent_content(void **state)
{
	struct scratch *s = *state;
	struct qosid_buf buf = {0};
	struct qosid_buf_sink target = {&buf, 0};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	uint8_t digest[DIGEST_BYTES] = {1};
	bool found = true;

	assert_rc(s, attachment_find(s->replica, digest, &found, NULL, &s->err), 0);
	assert_false(found);
	assert_rc(s, attachment_read(s->replica, digest, 0, -1, &sink, &s->err), QOSID_ERR_NOTFOUND);
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	write_content(s, 10, digest);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	assert_rc(s, attachment_read(s->replica, digest, 11, -1, &sink, &s->err), QOSID_ERR_USAGE);
	assert_rc(s, attachment_read(s->replica, digest, -1, -1, &sink, &s->err), QOSID_ERR_USAGE);
}

static void test_published(void **state)
{
	struct scratch *s = *state;
	uint8_t digest[DIGEST_BYTES], absent[DIGEST_BYTES] = {1};
	bool published;

	assert_rc(s, attachment_set_published(s->replica, absent, &s->err), QOSID_ERR_USAGE);
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	write_content(s, 10, digest);
	assert_rc(s, attachment_is_published(s->replica, digest, &published, &s->err), 0);
	assert_false(published);
	assert_rc(s, attachment_set_published(s->replica, digest, &s->err), 0);
	assert_rc(s, attachment_set_published(s->replica, absent, &s->err), 0);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	assert_rc(s, attachment_is_published(s->replica, digest, &published, &s->err), 0);
	assert_true(published);
	assert_rc(s, attachment_is_published(s->replica, absent, &published, &s->err), 0);
	assert_false(published);
}

/* ---- in documents ---- */

static const char *edit_with(struct scratch *s, const char *id, const char *parent, const char *attachments)
{
	assert_rc(s, try_edit(s, id, parent, false, "{}", attachments), 0);
	return s->text;
}

static void expect_stored(struct scratch *s, const char *id, const char *rev, const char *expected)
{
	struct replica_record record = {0};
	struct revision wanted = rev_of(rev);

	assert_rc(s, replica_read_document(s->replica, id, &wanted, &record, &s->err), 0);
	assert_string_equal((const char *)record.attachments.data, expected);
	replica_record_free(&record);
}

static void test_inline_and_render(void **state)
{
	struct scratch *s = *state;
	char rev[REVISION_TEXT_SIZE], expected[1000];

	strcpy(rev, edit_with(s, "a", NULL, "{\"z.txt\":" HELLO_DATA ",\"b\\u0061\":{\"data\":\"aGVsbG8=\"}}"));
	/* Names sorted and written the one way, a default content type, one content. */
	expect_stored(s, "a", rev,
	    "{\"ba\":{\"content_type\":\"application/octet-stream\",\"digest\":\"" HELLO
	    "\",\"length\":5,\"revpos\":1},"
	    "\"z.txt\":{\"content_type\":\"text/plain\",\"digest\":\"" HELLO "\",\"length\":5,\"revpos\":1}}");
	assert_int_equal(info(s).attachments, 1);
	strcpy(rev, edit_with(s, "b", NULL, "{\"t\":" HELLO_DATA "}"));
	(void)snprintf(expected, sizeof(expected),
	    "{\"_id\":\"b\",\"_rev\":\"%s\",\"_attachments\":{\"t\":{\"content_type\":\"text/plain\","
	    "\"digest\":\"" HELLO "\",\"length\":5,\"revpos\":1,\"stub\":true}}}",
	    rev);
	expect_render(s, "b", NULL, 0, expected);
	(void)snprintf(expected, sizeof(expected),
	    "{\"_id\":\"b\",\"_rev\":\"%s\",\"_attachments\":{\"t\":{\"content_type\":\"text/plain\","
	    "\"digest\":\"" HELLO "\",\"length\":5,\"revpos\":1,\"data\":\"aGVsbG8=\"}}}",
	    rev);
	expect_render(s, "b", NULL, RENDER_ATTACHMENTS, expected);
	assert_int_equal(info(s).attachments, 1);
}

static void test_revision_covers_content(void **state)
{
	struct scratch *s = *state;
	char one[REVISION_TEXT_SIZE];

	strcpy(one, edit_with(s, "a", NULL, "{\"t\":{\"data\":\"aGVsbG8=\"}}"));
	assert_string_not_equal(one, edit_with(s, "b", NULL, "{\"t\":{\"data\":\"aGVsbG8h\"}}"));
	assert_string_not_equal(one, edit_with(s, "c", NULL, NULL));
	assert_string_equal(one, edit_with(s, "d", NULL, "{ \"t\" : {\"data\":\"aGVsbG8=\"} }"));
}

static void test_stubs(void **state)
{
	struct scratch *s = *state;
	char one[REVISION_TEXT_SIZE], two[REVISION_TEXT_SIZE];

	strcpy(one, edit_with(s, "a", NULL, "{\"t\":" HELLO_DATA "}"));
	strcpy(two, edit_with(s, "a", one, "{\"t\":{\"stub\":true},\"u\":{\"data\":\"eA==\"}}"));
	expect_stored(s, "a", two,
	    "{\"t\":{\"content_type\":\"text/plain\",\"digest\":\"" HELLO "\",\"length\":5,\"revpos\":1},"
	    "\"u\":{\"content_type\":\"application/octet-stream\",\"digest\":\""
	    "blake2b-256:d161d71145abeec5ef15abcf0459cec60a27321e2f0ac0ef7ace5254f5944476"
	    "\",\"length\":1,\"revpos\":2}}");
}

static void test_stub_forms(void **state)
{
	struct scratch *s = *state;
	char one[REVISION_TEXT_SIZE], two[REVISION_TEXT_SIZE];

	strcpy(one, edit_with(s, "a", NULL, "{\"t\":" HELLO_DATA "}"));
	/* As a reader got it. */
	strcpy(two, edit_with(s, "a", one,
			"{\"t\":{\"content_type\":\"text/plain\",\"digest\":\"" HELLO
			"\",\"length\":5,\"revpos\":1,\"stub\":true}}"));
	expect_stored(s, "a", two,
	    "{\"t\":{\"content_type\":\"text/plain\",\"digest\":\"" HELLO "\",\"length\":5,\"revpos\":1}}");
	/* Content that is here, under a new name. */
	strcpy(one,
	    edit_with(s, "a", two, "{\"n\":{\"content_type\":\"image/png\",\"digest\":\"" HELLO "\",\"stub\":true}}"));
	expect_stored(
	    s, "a", one, "{\"n\":{\"content_type\":\"image/png\",\"digest\":\"" HELLO "\",\"length\":5,\"revpos\":3}}");
	/* Without _attachments they are gone. */
	edit(s, "a", one, "{}");
	assert_rc(s, try_edit(s, "a", s->text, false, "{}", "{\"n\":{\"stub\":true}}"), QOSID_ERR_INVALID);
	/* Data wins over stub. */
	strcpy(one, s->text);
	edit_with(s, "a", one, "{\"n\":{\"stub\":true,\"data\":\"aGVsbG8=\"}}");
}

static void test_missing_stub(void **state)
{
	struct scratch *s = *state;
	char one[REVISION_TEXT_SIZE];
	struct revision written, parent;
	struct replica_edit put = {.id = "a",
	    .body = slice("{}"),
	    .attachments = slice("{\"ok\":" HELLO_DATA ",\"lost\":{\"stub\":true}}"),
	    .user = ""};

	strcpy(one, edit_with(s, "a", NULL, "{\"t\":" HELLO_DATA "}"));
	parent = rev_of(one);
	put.parent = &parent;
	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_int_equal(replica_put_edit(s->replica, &put, &written, &s->err), QOSID_ERR_INVALID);
	assert_non_null(strstr(s->err.what, "\"lost\""));
	/* Nothing has been written: the transaction goes on. */
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	expect_winner(s, "a", one, false, "{}");
	/* A parent that is no leaf is a conflict, whatever its stubs. */
	edit(s, "a", one, "{\"n\":2}");
	assert_rc(s, try_edit(s, "a", one, false, "{}", "{\"x\":{\"stub\":true}}"), QOSID_ERR_CONFLICT);
}

static void test_bad_attachments(void **state)
{
	struct scratch *s = *state;
	static const char *const bad[] = {
	    "[]",
	    "{\"t\":1}",
	    "{\"t\":{}}",
	    "{\"t\":{\"stub\":false}}",
	    "{\"t\":{\"data\":1}}",
	    "{\"t\":{\"data\":\"aGVsbG8\"}}",
	    "{\"t\":{\"data\":\"aGVsbG9=\"}}",
	    "{\"t\":{\"data\":\"aGVs bG8=\"}}",
	    "{\"t\":{\"data\":\"aGVsbG8=x\"}}",
	    "{\"t\":{\"data\":\"aGVs_G8=\"}}",
	    "{\"t\":{\"content_type\":1,\"data\":\"\"}}",
	    "{\"\":{\"data\":\"\"}}",
	    "{\"_t\":{\"data\":\"\"}}",
	    "{\"\\u005ft\":{\"data\":\"\"}}",
	    "{\"t\":{\"stub\":true,\"digest\":\"blake2b-256:12\"}}",
	    "{\"t\":{\"stub\":true,\"digest\":\"md5-abc\"}}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		print_message("# %s\n", bad[i]);
		assert_rc(s, try_edit(s, "a", NULL, false, "{}", bad[i]), QOSID_ERR_INVALID);
	}
	edit_with(s, "a", NULL, "{\"t\":{\"data\":\"\"}}");
	edit_with(s, "b", NULL, "{\"t\":{\"data\":\"aGVs\\u0062G8=\"}}");
	edit_with(s, "c", NULL, "{}");
}

static void test_losing_leaf_keeps_its_own(void **state)
{
	struct scratch *s = *state;
	char mine[REVISION_TEXT_SIZE];

	strcpy(mine, edit_with(s, "a", NULL, "{\"t\":" HELLO_DATA "}"));
	merge(s, "a", "2-b a", false, "{}", false);
	expect_stored(s, "a", mine,
	    "{\"t\":{\"content_type\":\"text/plain\",\"digest\":\"" HELLO "\",\"length\":5,\"revpos\":1}}");
	/* A stub on a losing leaf takes that leaf's. */
	edit_with(s, "a", mine, "{\"t\":{\"stub\":true}}");
}

/* ---- from change sets and peers ---- */

static int try_merge_with(struct scratch *s, const char *path, const char *attachments)
{
	return try_merge(s, "a", path, false, "{}", attachments, false, NULL);
}

static void test_content_arrives_later(void **state)
{
	struct scratch *s = *state;
	uint8_t digest[DIGEST_BYTES];
	bool found;

	assert_int_equal(digest_parse(digest, HELLO, strlen(HELLO), NULL), 0);
	assert_rc(s,
	    try_merge_with(s, "2-b a",
		"{\"t\":{\"content_type\":\"text/plain\",\"digest\":\"" HELLO
		"\",\"length\":5,\"revpos\":1,\"stub\":true}}"),
	    0);
	assert_rc(s, attachment_find(s->replica, digest, &found, NULL, &s->err), 0);
	assert_false(found);
	/* Not here: rendered as a stub even when inlining is asked for. */
	expect_render(s, "a", NULL, RENDER_ATTACHMENTS,
	    "{\"_id\":\"a\",\"_rev\":\"2-b\",\"_attachments\":{\"t\":{\"content_type\":\"text/plain\","
	    "\"digest\":\"" HELLO "\",\"length\":5,\"revpos\":1,\"stub\":true}}}");
	/* The ancestor, although known already, brings the content. */
	assert_rc(s,
	    try_merge_with(s, "1-a",
		"{\"t\":{\"content_type\":\"text/plain\",\"digest\":\"" HELLO
		"\",\"length\":5,\"revpos\":1,\"data\":\"aGVsbG8=\"}}"),
	    0);
	assert_rc(s, attachment_find(s->replica, digest, &found, NULL, &s->err), 0);
	assert_true(found);
	expect_render(s, "a", NULL, RENDER_ATTACHMENTS,
	    "{\"_id\":\"a\",\"_rev\":\"2-b\",\"_attachments\":{\"t\":{\"content_type\":\"text/plain\","
	    "\"digest\":\"" HELLO "\",\"length\":5,\"revpos\":1,\"data\":\"aGVsbG8=\"}}}");
}

/* The same edit made here brings the content of a revision that came without it. */
static void test_equal_edit_brings_content(void **state)
{
	struct scratch *s = *state;
	char rev[REVISION_TEXT_SIZE];
	struct replica_edit same = {
	    .id = "a", .body = slice("{}"), .attachments = slice("{\"t\":" HELLO_DATA "}"), .user = ""};
	struct revision written;

	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, replica_put_edit(s->replica, &same, &written, &s->err), 0);
	replica_rollback(s->replica);
	revision_format(rev, &written);
	assert_rc(s,
	    try_merge_with(
		s, rev, "{\"t\":{\"content_type\":\"text/plain\",\"digest\":\"" HELLO "\",\"length\":5,\"revpos\":1}}"),
	    0);
	assert_int_equal(info(s).attachments, 0);
	assert_string_equal(edit_with(s, "a", NULL, "{\"t\":" HELLO_DATA "}"), rev);
	assert_int_equal(info(s).attachments, 1);
	assert_int_equal(info(s).pending, 0);
}

/* A refusal writes nothing, and the transaction goes on. */
static void test_refused_path_stores_no_content(void **state)
{
	struct scratch *s = *state;
	const char *hashes[] = {"b", "not a hash"};
	struct replica_revision revision = {.id = "a",
	    .path = {2, hashes, 2, false},
	    .body = slice("{}"),
	    .attachments = slice("{\"t\":" HELLO_DATA "}"),
	    .user = ""};

	assert_rc(s, replica_begin(s->replica, &s->err), 0);
	assert_rc(s, replica_put_revision(s->replica, &revision, NULL, &s->err), QOSID_ERR_INVALID);
	assert_rc(s, replica_commit(s->replica, &s->err), 0);
	assert_int_equal(info(s).attachments, 0);
}

static void test_foreign_attachments_are_checked(void **state)
{
	struct scratch *s = *state;
	static const char other[] = "blake2b-256:0000000000000000000000000000000000000000000000000000000000000000";
	char text[400];

	(void)snprintf(text, sizeof(text), "{\"t\":{\"digest\":\"%s\",\"length\":5,\"data\":\"aGVsbG8=\"}}", other);
	assert_rc(s, try_merge_with(s, "1-a", text), QOSID_ERR_INVALID);
	assert_rc(s, try_merge_with(s, "1-a", "{\"t\":{\"digest\":\"" HELLO "\",\"length\":6,\"data\":\"aGVsbG8=\"}}"),
	    QOSID_ERR_INVALID);
	assert_rc(s, try_merge_with(s, "1-a", "{\"t\":{\"stub\":true}}"), QOSID_ERR_INVALID);
	assert_rc(s, try_merge_with(s, "1-a", "{\"t\":{\"stub\":true,\"digest\":\"" HELLO "\"}}"), QOSID_ERR_INVALID);
	assert_rc(s, try_merge_with(s, "1-a", "{\"t\":{\"digest\":\"" HELLO "\",\"length\":-1}}"), QOSID_ERR_INVALID);
	assert_rc(s, try_merge_with(s, "1-a", "{\"t\":{\"digest\":\"" HELLO "\",\"length\":99999999999}}"),
	    QOSID_ERR_INVALID);
	assert_int_equal(info(s).attachments, 0);
	expect_missing(s, "a", NULL, "missing");
	/* A CouchDB peer's digest is of another kind. */
	assert_rc(s,
	    try_merge_with(s, "1-a",
		"{\"t\":{\"content_type\":\"text/plain\",\"digest\":\"md5-XUFAKrxLKna5cZ2REBfFkg==\",\"revpos\":1,"
		"\"data\":\"aGVsbG8=\"}}"),
	    0);
	expect_stored(s, "a", "1-a",
	    "{\"t\":{\"content_type\":\"text/plain\",\"digest\":\"" HELLO "\",\"length\":5,\"revpos\":1}}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_streaming),
	    TEST(test_sizes_around_a_chunk),
	    TEST(test_unfinished_writers),
	    TEST(test_absent_content),
	    TEST(test_published),
	    TEST(test_inline_and_render),
	    TEST(test_revision_covers_content),
	    TEST(test_stubs),
	    TEST(test_stub_forms),
	    TEST(test_missing_stub),
	    TEST(test_bad_attachments),
	    TEST(test_losing_leaf_keeps_its_own),
	    TEST(test_content_arrives_later),
	    TEST(test_equal_edit_brings_content),
	    TEST(test_refused_path_stores_no_content),
	    TEST(test_foreign_attachments_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
