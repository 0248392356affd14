/* qosidd.conf: what is read, and that what is wrong is named with file, line and key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config.h"

static char folder[] = "/tmp/qosid-test-config-XXXXXX";
static char file[64];

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder) || git_libgit2_init() < 0)
		return -1;
	(void)snprintf(file, sizeof file, "%s/qosidd.conf", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlink(file);
	(void)git_libgit2_shutdown();
	return rmdir(folder);
}

static void write_file(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
}

static void assert_good(struct config *config, const char *text)
{
	struct qosid_errbuf err = {0};
	write_file(file, text);
	if (config_load(config, file, &err) != 0)
		fail_msg("%s: %s", err.where, err.what);
}

/* Refused as the user's fault; the message, place included, has all these words. */
static void assert_bad(const char *text, const char *where, const char *what)
{
	struct config config = {0};
	struct qosid_errbuf err = {0};
	char place[128];
	write_file(file, text);
	assert_int_equal(config_load(&config, file, &err), QOSID_ERR_USAGE);
	assert_int_equal(qosid_error_exit_code(err.code), 2);
	assert_null(config.spaces);
	if (where) {
		(void)snprintf(place, sizeof place, "%s line %s", file, where);
		assert_string_equal(err.where, place);
	}
	if (!strstr(err.what, what))
		fail_msg("\"%s\" is not in \"%s\"", what, err.what);
}

static void reads_what_is_there(void **state)
{
	(void)state;
	struct config config = {0};
	assert_good(&config, "[daemon]\n"
			     "\tinterval = 10m\n"
			     "\tjitter = 5\n"
			     "[space \"register\"]\n"
			     "\tpath = /srv/register/\n"
			     "\tinterval = 1h 30m\n"
			     "\tpassphraseFile = /srv/pass\n"
			     "[space \"plan-2\"]\n"
			     "\tpath = /srv/plan\n"
			     "\tpassphraseCredential = plan\n"
			     "\tdebounce = 500ms\n"
			     "\tbackoffMax = 90\n");
	assert_int_equal(config.count, 2);
	const struct config_space *space = config_find(&config, "register");
	assert_non_null(space);
	assert_string_equal(space->path, "/srv/register");
	assert_string_equal(space->passphrase_file, "/srv/pass");
	assert_int_equal(space->timing.interval, 5400000);
	assert_int_equal(space->timing.debounce, 2000);
	assert_int_equal(space->timing.backoff_max, 3600000);
	assert_int_equal(space->timing.jitter, 5);
	space = config_find(&config, "plan-2");
	assert_non_null(space);
	assert_string_equal(space->credential, "plan");
	assert_int_equal(space->timing.interval, 600000);
	assert_int_equal(space->timing.debounce, 500);
	assert_int_equal(space->timing.backoff_max, 90000);
	assert_null(config_find(&config, "plan"));
	config_free(&config);
}

static void defaults_count_wherever_they_stand(void **state)
{
	(void)state;
	struct config config = {0};
	assert_good(&config, "[space \"a\"]\npath = /a\n[daemon] interval = 7s\n");
	assert_int_equal(config.spaces[0].timing.interval, 7000);
	config_free(&config);
	assert_good(&config, "");
	assert_int_equal(config.count, 0);
	config_free(&config);
}

static void home_is_expanded(void **state)
{
	(void)state;
	struct config config = {0};
	assert_good(&config, "[space \"a\"]\npath = ~/spaces/a\n");
	assert_true(config.spaces[0].path[0] == '/');
	assert_non_null(strstr(config.spaces[0].path, "/spaces/a"));
	config_free(&config);
}

static void equality_sees_every_setting(void **state)
{
	(void)state;
	struct config_space a = {.name = "a", .path = "/a", .timing = {1, 2, 3, 4}}, b = a;
	assert_true(config_space_equal(&a, &b));
	(void)strcpy(b.path, "/b"), assert_false(config_space_equal(&a, &b)), b = a;
	(void)strcpy(b.passphrase_file, "/b"), assert_false(config_space_equal(&a, &b)), b = a;
	(void)strcpy(b.credential, "b"), assert_false(config_space_equal(&a, &b)), b = a;
	b.timing.interval++, assert_false(config_space_equal(&a, &b)), b = a;
	b.timing.debounce++, assert_false(config_space_equal(&a, &b)), b = a;
	b.timing.backoff_max++, assert_false(config_space_equal(&a, &b)), b = a;
	b.timing.jitter++, assert_false(config_space_equal(&a, &b));
}

static void unknown_keys_are_named(void **state)
{
	(void)state;
	assert_bad("[daemon]\n\n  interval = 5m\n  intervall = 5m\n", "4", "unknown key daemon.intervall");
	assert_bad("[space \"a\"]\npath = /a\nPort = 5\n", "3", "unknown key space.a.port");
	assert_bad("[deamon]\ninterval = 5m\n", "2", "unknown key deamon.interval");
	assert_bad("[daemon \"x\"]\ninterval = 5m\n", "2", "unknown key daemon.x.interval");
	assert_bad("[space]\npath = /a\n", "2", "unknown key space.path");
	assert_bad("[SPACE \"a\"] path = /a\nurl = x\n", "2", "unknown key space.a.url");
}

static void bad_values_are_named(void **state)
{
	(void)state;
	static const char *const times[] = {
	    "", "m", "5x", "-5m", "0", "5m x", "9999999999999999999", "9999d", "1.5h", "5mm", "ms"};
	for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
		char text[128];
		(void)snprintf(text, sizeof text, "[daemon]\n# a comment\ninterval = %s\n", times[i]);
		assert_bad(text, "3", "is not a time between");
	}
	assert_bad("[daemon]\ninterval\n", "2", "daemon.interval");
	assert_bad("[daemon]\njitter = 101\n", "2", "is not a percentage");
	assert_bad("[daemon]\njitter = x\n", "2", "is not a percentage");
	assert_bad("[space \"a\"]\npath = spaces/a\n", "2", "is not an absolute path");
	assert_bad("[space \"a\"]\npath\n", "2", "is not an absolute path");
	assert_bad("[space \"a\"]\npath=/a\npassphraseCredential = ../x\n", "3", "credential");
}

static void bad_spaces_are_named(void **state)
{
	(void)state;
	assert_bad("[space \"a\"]\ninterval = 5m\n", NULL, "space \"a\"");
	assert_bad("[space \"A b\"]\npath = /a\n", "2", "the name of space \"A b\"");
	assert_bad("[space \"a\"]\npath = /a\n[space \"b\"]\npath = /a/\n", NULL, "\"a\" and \"b\"");
	assert_bad("[space \"a\"]\npath = /a\npassphraseFile = /p\npassphraseCredential = p\n", NULL, "both");
}

static void second_of_two_values_is_found(void **state)
{
	(void)state;
	assert_bad("[daemon]\ninterval = 5m\n[daemon]\nINTERVAL = soon\n", "4", "soon");
}

static void syntax_errors_have_a_line(void **state)
{
	(void)state;
	assert_bad("[daemon]\ninterval = 5m\n[space \"a\npath = /a\n", NULL, ":3");
}

static void absent_file_is_said(void **state)
{
	(void)state;
	struct config config = {0};
	struct qosid_errbuf err = {0};
	assert_int_equal(config_load(&config, "/nowhere/qosidd.conf", &err), QOSID_ERR_USAGE);
	assert_non_null(strstr(err.what, "/nowhere/qosidd.conf"));
	assert_true(err.hint[0]);
	assert_int_equal(config_load(&config, "/nowhere/qosidd.conf", NULL), QOSID_ERR_USAGE);
}

static void included_files_count(void **state)
{
	(void)state;
	struct config config = {0};
	char other[80], text[256];
	(void)snprintf(other, sizeof other, "%s/spaces.conf", folder);
	(void)snprintf(text, sizeof text, "[include]\npath = %s\n[daemon]\njitter = 0\n", other);
	write_file(other, "[space \"a\"]\npath = /a\n");
	assert_good(&config, text);
	assert_int_equal(config.count, 1);
	config_free(&config);
	write_file(other, "[space \"a\"]\npaht = /a\n");
	assert_bad(text, NULL, "unknown key space.a.paht");
	assert_int_equal(unlink(other), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_what_is_there),
	    cmocka_unit_test(defaults_count_wherever_they_stand),
	    cmocka_unit_test(home_is_expanded),
	    cmocka_unit_test(equality_sees_every_setting),
	    cmocka_unit_test(unknown_keys_are_named),
	    cmocka_unit_test(bad_values_are_named),
	    cmocka_unit_test(bad_spaces_are_named),
	    cmocka_unit_test(second_of_two_values_is_found),
	    cmocka_unit_test(syntax_errors_have_a_line),
	    cmocka_unit_test(absent_file_is_said),
	    cmocka_unit_test(included_files_count),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
