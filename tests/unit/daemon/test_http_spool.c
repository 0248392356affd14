/* Spools: what goes in comes out, in memory and in a file, at any offset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/http/http_internal.h"

static char letter(uint64_t at)
{
	return (char)('a' + at * 7 % 26 + at / 4096 % 3);
}

static void fill(struct spool *spool, size_t total, size_t piece)
{
	char *data = malloc(piece);
	assert_non_null(data);
	for (size_t at = 0; at < total; at += piece) {
		size_t len = piece < total - at ? piece : total - at;
		for (size_t i = 0; i < len; i++)
			data[i] = letter(at + i);
		assert_int_equal(spool_write(spool, data, len, NULL), 0);
	}
	free(data);
	assert_int_equal(spool_length(spool), total);
}

static void assert_content(const struct spool *spool, uint64_t offset, size_t total)
{
	char piece[5000];
	size_t got;
	uint64_t at = offset;
	for (;;) {
		assert_int_equal(spool_read(spool, at, piece, sizeof piece, &got, NULL), 0);
		if (got == 0)
			break;
		for (size_t i = 0; i < got; i++) {
			if (piece[i] != letter(at + i))
				fail_msg("wrong byte at %llu", (unsigned long long)(at + i));
		}
		at += got;
	}
	assert_int_equal(at, offset > total ? offset : total);
}

static void all_sizes(void **state)
{
	static const size_t totals[] = {0, 1, 65535, 65536, 65537, 131072, 300000}, pieces[] = {1000, 65536, 70000};
	(void)state;
	for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) {
		for (size_t k = 0; k < sizeof pieces / sizeof pieces[0]; k++) {
			struct spool spool = {0};
			struct qosid_buf whole = {0};
			fill(&spool, totals[i], pieces[k]);
			assert_true(spool.memory.len <= HTTP_MEMORY_BYTES);
			assert_int_equal(spool.fd == 0, totals[i] <= HTTP_MEMORY_BYTES);
			assert_content(&spool, 0, totals[i]);
			assert_content(&spool, 1, totals[i]);
			assert_content(&spool, 65530, totals[i]);
			assert_content(&spool, totals[i] + 5, totals[i]);
			assert_int_equal(spool_take(&spool, totals[i], &whole, NULL), 0);
			assert_int_equal(whole.len, totals[i]);
			if (totals[i] > 0) {
				assert_int_equal(spool_take(&spool, totals[i] - 1, &whole, NULL), QOSID_ERR_LIMIT);
				assert_int_equal(whole.data[totals[i] - 1], letter(totals[i] - 1));
			}
			qosid_buf_free(&whole);
			spool_reset(&spool);
			assert_int_equal(spool_length(&spool), 0);
			fill(&spool, 100, 10);
			assert_content(&spool, 0, 100);
			spool_free(&spool);
		}
	}
}

static void the_file_can_be_taken(void **state)
{
	struct spool spool = {0};
	char piece[100];
	int fd = -1;
	(void)state;
	fill(&spool, 200050, 1000);
	assert_int_equal(spool_take_fd(&spool, &fd, NULL), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 200050);
	assert_int_equal(pread(fd, piece, sizeof piece, 199960), 90);
	for (size_t i = 0; i < 90; i++)
		assert_int_equal(piece[i], letter(199960 + i));
	assert_int_equal(spool_length(&spool), 0);
	(void)close(fd);
	spool_free(&spool);
}

static void no_folder_is_an_error(void **state)
{
	struct spool spool = {0};
	struct qosid_errbuf err = {0};
	char *data = calloc(1, 100000), *before = getenv("TMPDIR");
	(void)state;
	assert_non_null(data);
	before = before ? strdup(before) : NULL;
	assert_int_equal(setenv("TMPDIR", "/nonexistent/folder", 1), 0);
	assert_int_equal(spool_write(&spool, data, 100000, &err), QOSID_ERR_NOTFOUND);
	assert_non_null(strstr(err.what, "/nonexistent/folder"));
	assert_int_equal(before ? setenv("TMPDIR", before, 1) : unsetenv("TMPDIR"), 0);
	spool_free(&spool);
	free(before);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_sizes),
	    cmocka_unit_test(the_file_can_be_taken),
	    cmocka_unit_test(no_folder_is_an_error),
	};
	return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
