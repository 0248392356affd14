/*
 * The ground that all layers stand on: errors, buffers, sinks, digests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/buf.h"
#include "crypto/digest.h"
#include "crypto/error.h"
#include "crypto/sink.h"

static void test_error_fills_and_returns_its_code(void **state)
{
	struct qosid_errbuf err = {0};

	(void)state;
	assert_int_equal(qosid_error(&err, QOSID_ERR_LIMIT, "%d are over %d", 5, 4), QOSID_ERR_LIMIT);
	assert_int_equal(err.code, QOSID_ERR_LIMIT);
	assert_string_equal(err.what, "5 are over 4");
	qosid_error_hint(&err, "take %s", "fewer");
	qosid_error_hint(&err, "a later hint");
	assert_string_equal(err.hint, "take fewer");
	assert_int_equal(qosid_error(&err, QOSID_ERR_IO, "another"), QOSID_ERR_IO);
	assert_string_equal(err.hint, "");
	qosid_error_clear(&err);
	assert_int_equal(err.code, 0);
	assert_string_equal(err.what, "");
}

static void test_error_without_a_buffer(void **state)
{
	(void)state;
	assert_int_equal(qosid_error(NULL, QOSID_ERR_BUSY, "nobody reads this"), QOSID_ERR_BUSY);
	assert_int_equal(qosid_error_errno(NULL, ENOSPC, "nor this"), QOSID_ERR_FULL);
	assert_int_equal(qosid_error_within(NULL, "nor here"), QOSID_ERR_FAILED);
	qosid_error_hint(NULL, "nor that");
	qosid_error_clear(NULL);
}

static void test_error_places_go_in_front(void **state)
{
	struct qosid_errbuf err = {0};

	(void)state;
	(void)qosid_error(&err, QOSID_ERR_INVALID, "bad");
	assert_int_equal(qosid_error_within(&err, "line %d", 3), QOSID_ERR_INVALID);
	assert_int_equal(qosid_error_within(&err, "change set %d", 12), QOSID_ERR_INVALID);
	assert_string_equal(err.where, "change set 12: line 3");
}

static void test_error_texts_are_cut(void **state)
{
	struct qosid_errbuf err = {0};
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)qosid_error(&err, QOSID_ERR_INVALID, "%s", text);
	assert_int_equal(strlen(err.what), sizeof(err.what) - 1);
	qosid_error_hint(&err, "%s", text);
	assert_int_equal(strlen(err.hint), sizeof(err.hint) - 1);
	(void)qosid_error_within(&err, "%s", text);
	(void)qosid_error_within(&err, "front");
	assert_int_equal(strlen(err.where), sizeof(err.where) - 1);
	assert_memory_equal(err.where, "front: xxx", 10);
	(void)qosid_error_errno(&err, EIO, "%s", text);
	assert_int_equal(strlen(err.what), sizeof(err.what) - 1);
}

static void test_error_from_errno(void **state)
{
	static const struct {
		int errnum, code;
	} pairs[] = {{ENOSPC, QOSID_ERR_FULL}, {EDQUOT, QOSID_ERR_FULL}, {EFBIG, QOSID_ERR_FULL},
	    {ENOMEM, QOSID_ERR_NOMEM}, {ENOENT, QOSID_ERR_NOTFOUND}, {EIO, QOSID_ERR_IO}, {EACCES, QOSID_ERR_IO}};
	struct qosid_errbuf err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		assert_int_equal(qosid_error_errno(&err, pairs[i].errnum, "cannot write %s", "f"), pairs[i].code);
		assert_int_equal(err.code, pairs[i].code);
		assert_memory_equal(err.what, "cannot write f: ", 16);
		assert_non_null(strstr(err.what, strerror(pairs[i].errnum)));
	}
}

static void test_error_exit_codes_and_names(void **state)
{
	(void)state;
	for (int code = 0; code >= QOSID_ERR_CANCELLED; code--) {
		assert_in_range(qosid_error_exit_code(code), code == 0 ? 0 : 1, 6);
		assert_non_null(qosid_error_name(code));
		if (code >= QOSID_ERR_OFFLINE)
			assert_int_equal(qosid_error_exit_code(code), -code);
		for (int other = code + 1; other <= 0; other++)
			assert_string_not_equal(qosid_error_name(code), qosid_error_name(other));
	}
	assert_string_equal(qosid_error_name(QOSID_ERR_CONFLICT), "conflict");
	assert_string_equal(qosid_error_name(QOSID_ERR_REFUSED), "refused");
	assert_string_equal(qosid_error_name(QOSID_ERR_WAITING), "waiting");
	assert_string_equal(qosid_error_name(QOSID_ERR_CANCELLED), "cancelled");
	assert_non_null(qosid_error_name(-99));
	assert_non_null(qosid_error_name(99));
	assert_int_equal(qosid_error_exit_code(-99), 1);
}

static void test_buf_appends(void **state)
{
	struct qosid_buf buf = {0};

	(void)state;
	assert_int_equal(qosid_buf_append(&buf, "a\0b", 3, NULL), 0);
	assert_int_equal(qosid_buf_append_text(&buf, "cd", NULL), 0);
	assert_int_equal(qosid_buf_append_byte(&buf, 'e', NULL), 0);
	assert_int_equal(qosid_buf_append_format(&buf, NULL, "%s-%d", "f", 7), 0);
	assert_int_equal(qosid_buf_append(&buf, NULL, 0, NULL), 0);
	assert_int_equal(buf.len, 9);
	assert_memory_equal(buf.data, "a\0bcdef-7", 10);
	qosid_buf_cut(&buf, 5);
	assert_int_equal(buf.len, 5);
	assert_memory_equal(buf.data, "a\0bcd", 6);
	qosid_buf_reset(&buf);
	assert_int_equal(buf.len, 0);
	assert_int_equal(buf.data[0], 0);
	qosid_buf_free(&buf);
	assert_null(buf.data);
	assert_int_equal(buf.cap, 0);
}

static void test_buf_empty_is_valid_everywhere(void **state)
{
	struct qosid_buf buf = {0};

	(void)state;
	qosid_buf_reset(&buf);
	qosid_buf_cut(&buf, 0);
	qosid_buf_free(&buf);
	qosid_buf_wipe(&buf);
	assert_int_equal(qosid_buf_reserve(&buf, 0, NULL), 0);
	qosid_buf_wipe(&buf);
	assert_null(buf.data);
}

static void test_buf_grows_and_keeps_its_bytes(void **state)
{
	struct qosid_buf buf = {0};

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(qosid_buf_append_byte(&buf, i % 251, NULL), 0);
	assert_int_equal(buf.len, 100000);
	assert_true(buf.cap > buf.len && buf.cap < 400000);
	assert_int_equal(buf.data[buf.len], 0);
	for (unsigned i = 0; i < 100000; i++) {
		if (buf.data[i] != i % 251)
			fail();
	}
	qosid_buf_free(&buf);
}

static void test_buf_reserve_is_room_without_moving(void **state)
{
	struct qosid_buf buf = {0};
	uint8_t *data;

	(void)state;
	assert_int_equal(qosid_buf_reserve(&buf, 1000, NULL), 0);
	data = buf.data;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(qosid_buf_append_byte(&buf, 'x', NULL), 0);
	assert_ptr_equal(buf.data, data);
	qosid_buf_free(&buf);
}

static void test_buf_too_large_leaves_it_as_it_was(void **state)
{
	struct qosid_buf buf = {0};
	struct qosid_errbuf err = {0};

	(void)state;
	assert_int_equal(qosid_buf_append_text(&buf, "kept", NULL), 0);
	assert_int_equal(qosid_buf_reserve(&buf, SIZE_MAX, &err), QOSID_ERR_NOMEM);
	assert_int_equal(err.code, QOSID_ERR_NOMEM);
	assert_int_equal(qosid_buf_reserve(&buf, SIZE_MAX - 4, NULL), QOSID_ERR_NOMEM);
	assert_string_equal((char *)buf.data, "kept");
	qosid_buf_free(&buf);
}

static void test_sink_to_buf_keeps_its_limit(void **state)
{
	struct qosid_buf buf = {0};
	struct qosid_buf_sink target = {&buf, 5};
	struct qosid_sink sink = qosid_sink_to_buf(&target);

	(void)state;
	assert_int_equal(sink.write(sink.context, "abc", 3, NULL), 0);
	assert_int_equal(sink.write(sink.context, "def", 3, NULL), QOSID_ERR_LIMIT);
	assert_int_equal(sink.write(sink.context, "abcdef", SIZE_MAX, NULL), QOSID_ERR_LIMIT);
	assert_int_equal(buf.len, 3);
	assert_int_equal(sink.write(sink.context, "de", 2, NULL), 0);
	assert_string_equal((char *)buf.data, "abcde");
	target.limit = 0;
	assert_int_equal(sink.write(sink.context, "fgh", 3, NULL), 0);
	assert_int_equal(buf.len, 8);
	qosid_buf_free(&buf);
}

static void test_sink_to_fd_and_pump(void **state)
{
	struct qosid_buf out = {0}, in = {0};
	struct qosid_buf_sink target = {&out, 0};
	struct qosid_sink to_buf = qosid_sink_to_buf(&target), to_fd;
	FILE *file = tmpfile();
	int fd;

	(void)state;
	assert_non_null(file);
	fd = fileno(file);
	to_fd = qosid_sink_to_fd(&fd);
	for (unsigned i = 0; i < 200001; i++)
		assert_int_equal(qosid_buf_append_byte(&in, i % 253, NULL), 0);
	assert_int_equal(to_fd.write(to_fd.context, in.data, in.len, NULL), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(qosid_sink_pump_fd(fd, &to_buf, NULL), 0);
	assert_int_equal(out.len, in.len);
	assert_memory_equal(out.data, in.data, in.len);

	/* The sink's refusal stops the pump. */
	target.limit = out.len + 70000;
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(qosid_sink_pump_fd(fd, &to_buf, NULL), QOSID_ERR_LIMIT);
	assert_int_equal(fclose(file), 0);
	qosid_buf_free(&in);
	qosid_buf_free(&out);
}

static void test_sink_reports_what_the_system_says(void **state)
{
	struct qosid_errbuf err = {0};
	struct qosid_sink sink;
	FILE *full = fopen("/dev/full", "we");
	int fd = -1;

	(void)state;
	sink = qosid_sink_to_fd(&fd);
	assert_int_equal(sink.write(sink.context, "x", 1, &err), QOSID_ERR_IO);
	assert_int_equal(qosid_sink_pump_fd(-1, &sink, &err), QOSID_ERR_IO);
	if (full == NULL)
		return;
	fd = fileno(full);
	assert_int_equal(sink.write(sink.context, "x", 1, &err), QOSID_ERR_FULL);
	assert_string_not_equal(err.hint, "");
	(void)fclose(full); /* nothing is in it */
}

/* BLAKE2b-256, as `b2sum -l 256` computes it. */
static void test_digest_vectors(void **state)
{
	static const struct {
		const char *hex;
		size_t len;
	} vectors[] = {{"0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8", 0},
	    {"39a7eb9fedc19aabc83425c6755dd90e6f9d0c804964a1f4aaeea3b9fb599835", 256}};
	uint8_t data[256], digest[DIGEST_BYTES];
	char text[DIGEST_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		digest_compute(digest, data, vectors[i].len);
		digest_format(text, digest);
		assert_string_equal(text + strlen(DIGEST_PREFIX), vectors[i].hex);
	}
	digest_compute(digest, "abc", 3);
	digest_format(text, digest);
	assert_string_equal(text, "blake2b-256:bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

static void test_digest_text_is_strict(void **state)
{
	char text[DIGEST_TEXT_SIZE + 1];
	uint8_t digest[DIGEST_BYTES], again[DIGEST_BYTES];
	struct qosid_errbuf err = {0};
	size_t len = DIGEST_TEXT_SIZE - 1;

	(void)state;
	digest_compute(digest, "abc", 3);
	digest_format(text, digest);
	assert_int_equal(digest_parse(again, text, len, NULL), 0);
	assert_memory_equal(again, digest, sizeof(digest));
	assert_int_equal(digest_parse(again, text, len - 1, &err), QOSID_ERR_INVALID);
	assert_int_equal(err.code, QOSID_ERR_INVALID);
	text[len] = '0';
	assert_int_equal(digest_parse(again, text, len + 1, NULL), QOSID_ERR_INVALID);
	for (size_t i = 0; i < len; i++) {
		char kept = text[i];

		text[i] = i < strlen(DIGEST_PREFIX) ? 'z' : 'g';
		assert_int_equal(digest_parse(again, text, len, NULL), QOSID_ERR_INVALID);
		if (kept >= 'a' && kept <= 'f') {
			text[i] = (char)(kept - 'a' + 'A');
			assert_int_equal(digest_parse(again, text, len, NULL), QOSID_ERR_INVALID);
		}
		text[i] = kept;
	}
	assert_int_equal(digest_parse(again, text, 0, NULL), QOSID_ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_error_fills_and_returns_its_code),
	    cmocka_unit_test(test_error_without_a_buffer),
	    cmocka_unit_test(test_error_places_go_in_front),
	    cmocka_unit_test(test_error_texts_are_cut),
	    cmocka_unit_test(test_error_from_errno),
	    cmocka_unit_test(test_error_exit_codes_and_names),
	    cmocka_unit_test(test_buf_appends),
	    cmocka_unit_test(test_buf_empty_is_valid_everywhere),
	    cmocka_unit_test(test_buf_grows_and_keeps_its_bytes),
	    cmocka_unit_test(test_buf_reserve_is_room_without_moving),
	    cmocka_unit_test(test_buf_too_large_leaves_it_as_it_was),
	    cmocka_unit_test(test_sink_to_buf_keeps_its_limit),
	    cmocka_unit_test(test_sink_to_fd_and_pump),
	    cmocka_unit_test(test_sink_reports_what_the_system_says),
	    cmocka_unit_test(test_digest_vectors),
	    cmocka_unit_test(test_digest_text_is_strict),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
