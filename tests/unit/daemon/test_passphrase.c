/* Where the daemon gets a passphrase from, and which files it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config.h"
#include "daemon/passphrase.h"

static char folder[] = "/tmp/qosid-test-passphrase-XXXXXX";
static struct config_space space;

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(folder) ? setenv("CREDENTIALS_DIRECTORY", folder, 1) : -1;
}

static int tear_down(void **state)
{
	(void)state;
	(void)snprintf(space.passphrase_file, sizeof space.passphrase_file, "%s/pass", folder);
	return unlink(space.passphrase_file) + rmdir(folder);
}

static void write_file(const char *text, mode_t mode)
{
	space = (struct config_space){.name = "register"};
	(void)snprintf(space.passphrase_file, sizeof space.passphrase_file, "%s/pass", folder);
	FILE *file = fopen(space.passphrase_file, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(space.passphrase_file, mode), 0);
}

static void assert_passphrase(const char *expected)
{
	struct qosid_buf buf = {0};
	assert_int_equal(passphrase_ask(&space, "identity", &buf, NULL), 0);
	assert_string_equal((const char *)buf.data, expected);
	assert_int_equal(buf.len, strlen(expected));
	qosid_buf_wipe(&buf);
}

static void assert_refused(int code, const char *why)
{
	struct qosid_buf buf = {0};
	struct qosid_errbuf err = {0};
	assert_int_equal(passphrase_ask(&space, "identity", &buf, &err), code);
	if (!strstr(err.what, why))
		fail_msg("\"%s\" is not in \"%s\"", why, err.what);
	assert_int_equal(buf.len, 0);
	qosid_buf_wipe(&buf);
}

static void first_line_is_the_passphrase(void **state)
{
	(void)state;
	write_file("open sesame\nmore\n", 0600);
	assert_passphrase("open sesame");
	write_file("калид\r\n", 0400);
	assert_passphrase("калид");
	write_file("no end of line", 0600);
	assert_passphrase("no end of line");
}

static void credential_is_found_in_its_folder(void **state)
{
	(void)state;
	write_file("sesame\n", 0440); /* systemd decides the mode */
	space.passphrase_file[0] = '\0';
	(void)snprintf(space.credential, sizeof space.credential, "pass");
	assert_passphrase("sesame");
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	assert_refused(QOSID_ERR_REFUSED, "CREDENTIALS_DIRECTORY");
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
}

static void readable_by_others_is_refused(void **state)
{
	(void)state;
	static const mode_t modes[] = {0640, 0604, 0620, 0602, 0666};
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		write_file("sesame\n", modes[i]);
		assert_refused(QOSID_ERR_REFUSED, "others");
	}
}

static void useless_files_are_refused(void **state)
{
	(void)state;
	char text[1100];
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	write_file(text, 0600);
	assert_refused(QOSID_ERR_INVALID, "1024");
	text[1024] = '\0';
	write_file(text, 0600);
	assert_passphrase(text);
	write_file("\nsesame\n", 0600);
	assert_refused(QOSID_ERR_INVALID, "empty");
	write_file("", 0600);
	assert_refused(QOSID_ERR_INVALID, "empty");
	(void)snprintf(space.passphrase_file, sizeof space.passphrase_file, "%s/none", folder);
	assert_refused(QOSID_ERR_NOTFOUND, "/none");
}

static void nothing_configured_says_what_to_do(void **state)
{
	(void)state;
	struct qosid_buf buf = {0};
	struct qosid_errbuf err = {0};
	space = (struct config_space){.name = "register"};
	assert_int_equal(passphrase_ask(&space, "/s/identity", &buf, &err), QOSID_ERR_REFUSED);
	assert_non_null(strstr(err.what, "/s/identity"));
	assert_non_null(strstr(err.hint, "space \"register\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(first_line_is_the_passphrase),
	    cmocka_unit_test(credential_is_found_in_its_folder),
	    cmocka_unit_test(readable_by_others_is_refused),
	    cmocka_unit_test(useless_files_are_refused),
	    cmocka_unit_test(nothing_configured_says_what_to_do),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
