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

static void http_is_read(void **state)
{
	(void)state;
	struct config config = {0}, other = {0};
	assert_good(&config, "");
	assert_false(config.http.enabled);
	config_free(&config);
	assert_good(&config, "[http]\ndataDir = /srv/data/\n");
	assert_true(config.http.enabled);
	assert_string_equal(config.http.data_dir, "/srv/data");
	assert_string_equal(config.http.address, "127.0.0.1");
	assert_int_equal(config.http.port, 5985);
	assert_false(config.http.open || config.http.listen_set);
	assert_null(config.http.hosts);
	assert_good(&other, "[http]\ndataDir = /srv/data\nlisten = [::1]:80\nsocket = /run/s\nhost = a.example\n"
			    "host = b.example\norigin = https://app.example:8443\norigin = *\nopen = loopback\n"
			    "maxBody = 2m\n");
	assert_string_equal(other.http.address, "::1");
	assert_int_equal(other.http.port, 80);
	assert_string_equal(other.http.socket, "/run/s");
	assert_string_equal(other.http.hosts[1], "b.example");
	assert_null(other.http.hosts[2]);
	assert_string_equal(other.http.origins[0], "https://app.example:8443");
	assert_true(other.http.open);
	assert_int_equal(other.http.body_max, 2 << 20);
	assert_false(config_http_equal(&config.http, &other.http));
	assert_true(config_http_equal(&other.http, &other.http));
	config_free(&config);
	config_free(&other);
	assert_good(&config, "[http]\ndataDir = /d\nlisten = off\n");
	assert_string_equal(config.http.address, "");
	config_free(&config);
	assert_good(&config, "[http]\ndataDir = /d\nlisten = 0\n");
	assert_int_equal(config.http.port, 0);
	config_free(&config);
}

static void bad_http_is_named(void **state)
{
	(void)state;
	static const char *const listens[] = {"", "x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80",
	    "[::1]80", "localhost:80", "127.0.0.1:8a", ":80"};
	char text[128];
	for (size_t i = 0; i < sizeof listens / sizeof listens[0]; i++) {
		(void)snprintf(text, sizeof text, "[http]\ndataDir = /d\nlisten = %s\n", listens[i]);
		assert_bad(text, "3", "http.listen");
	}
	assert_bad("[http]\nlisten = 80\n", NULL, "has no dataDir");
	assert_bad("[http]\ndataDir = d\n", "2", "is not an absolute path");
	assert_bad("[http]\nopen = yes\n", "2", "is not loopback or no");
	assert_bad("[http]\nhost = a:80\n", "2", "is not a host name without a port");
	assert_bad("[http]\norigin = app.example\n", "2", "is not an origin");
	assert_bad("[http]\norigin = https://app.example/\n", "2", "is not an origin");
	assert_bad("[http]\nmaxBody = 1\n", "2", "is not a size");
	assert_bad("[http]\nport = 80\n", "2", "unknown key http.port");
	assert_bad("[http \"x\"]\nlisten = 80\n", NULL, "unknown key");
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
	    cmocka_unit_test(http_is_read),
	    cmocka_unit_test(bad_http_is_named),
	    cmocka_unit_test(absent_file_is_said),
	    cmocka_unit_test(included_files_count),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
