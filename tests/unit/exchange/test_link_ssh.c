/*
 * Links over ssh with a stand-in for ssh: what it is called with, and that whatever it does or leaves undone, the link
 * answers in time, in plain words, and leaves no process behind.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/exchange/link_kinds.h"
#include "sync/exchange/link_watch.h"

static char folder[64];
static char *old_path;

/* The stand-in notes its id and words, then does as $LINK_TEST says; the command follows the host after "--". */
static const char script[] =
    "#!/bin/bash\n"
    "echo $$ >\"$LINK_DIR/pid\"\n"
    "printf '%s\\n' \"$@\" \"protocol $GIT_PROTOCOL\" \"locale $LC_ALL\" >\"$LINK_DIR/words\"\n"
    "while [ \"$1\" != -- ]; do shift; done\n"
    "case $LINK_TEST in\n"
    "serve) exec sh -c \"$3\" ;;\n"
    "echo) printf ! ; exec cat ;;\n"
    "silent) exec sleep 100 ;;\n"
    "drip) while :; do printf x; sleep 0.3; done ;;\n"
    "stubborn) printf x; trap '' TERM; sleep 100 & echo $! >\"$LINK_DIR/pid2\"; wait; wait ;;\n"
    "babble) printf x; while :; do echo 'much ado about nothing' >&2; done ;;\n"
    "break) printf x; echo 'client_loop: send disconnect: Broken pipe' >&2; exit 255 ;;\n"
    "say) printf '%b' \"$LINK_SAYS\" >&2; exit \"$LINK_STATUS\" ;;\n"
    "esac\n";

static void write_file(const char *name, const char *text, mode_t mode)
{
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void read_file(const char *name, char *out, size_t size)
{
	char path[128];
	FILE *file;
	size_t len;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r");
	assert_non_null(file);
	len = fread(out, 1, size - 1, file);
	out[len] = '\0';
	(void)fclose(file);
}

static int make_fixture(void **state)
{
	char path[4096], command[256];

	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/qosid-link.XXXXXX");
	assert_non_null(mkdtemp(folder));
	write_file("ssh", script, 0755);
	old_path = strdup(getenv("PATH"));
	(void)snprintf(path, sizeof(path), "%s:%s", folder, old_path);
	assert_int_equal(setenv("PATH", path, 1), 0);
	assert_int_equal(setenv("LINK_DIR", folder, 1), 0);
	(void)snprintf(command, sizeof(command), "git init -q --bare \"%s/it's ok!.git\"", folder);
	assert_int_equal(system(command), 0);
	return 0;
}

static int remove_fixture(void **state)
{
	char command[128];

	(void)state;
	assert_int_equal(setenv("PATH", old_path, 1), 0);
	free(old_path);
	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static int open_as(const char *behaviour, struct link **link, const struct link_limits *limits,
    struct link_probe *probe, struct qosid_errbuf *err)
{
	struct link_target target = {.known_hosts = "/space/known \"%\" hosts", .ssh_key = "/keys/100%"};
	struct link_probe mine = {0};
	struct link_url url;
	char text[256];

	assert_int_equal(setenv("LINK_TEST", behaviour, 1), 0);
	(void)snprintf(text, sizeof(text), "ssh://git@example.org:2222%s/it's%%20ok!.git", folder);
	target.url = text;
	assert_int_equal(link_url_parse(&url, text, err), 0);
	*link = NULL;
	return link_ssh_open(link, &url, &target, "git-upload-pack", limits, probe != NULL ? probe : &mine, err);
}

/* A process that has ended, though nobody may have asked how. */
static bool is_zombie(pid_t pid)
{
	char path[64], state = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if ((file = fopen(path, "r")) == NULL)
		return false;
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	(void)fclose(file);
	return state == 'Z';
}

/* The process that noted its id is gone and reaped; what it started is gone after a moment. */
static void assert_gone(const char *name)
{
	char text[32];
	pid_t pid;

	read_file(name, text, sizeof(text));
	pid = (pid_t)strtol(text, NULL, 10);
	assert_true(pid > 1);
	if (strcmp(name, "pid2") == 0) { /* whose parent is init by now */
		for (int i = 0; i < 100 && kill(pid, 0) == 0 && !is_zombie(pid); i++)
			assert_int_equal(usleep(10000), 0);
		assert_true(kill(pid, 0) != 0 || is_zombie(pid));
		return;
	}
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

static void assert_line(const char *words, const char *line)
{
	char want[256];

	(void)snprintf(want, sizeof(want), "\n%s\n", line);
	if (strstr(words, want) == NULL)
		fail_msg("%s is not among the words:%s", line, words);
}

static void test_greeting(void **state)
{
	static const char *const expected[] = {"-oBatchMode=yes", "-oStrictHostKeyChecking=yes",
	    "-oSendEnv=GIT_PROTOCOL", "-oCompression=yes", "-oIdentitiesOnly=yes", "-oIdentityFile=\"/keys/100%%\"",
	    "-oUserKnownHostsFile=\"/space/known \\\"%%\\\" hosts\" ~/.ssh/known_hosts ~/.ssh/known_hosts2", "-p2222",
	    "-l\ngit\n--\nexample.org", "protocol version=2", "locale C"};
	struct qosid_errbuf err = {0};
	struct link_probe probe = {0};
	struct link_traffic traffic;
	char words[4096] = "\n", command[256], greeting[15] = "";
	size_t len = 0, got;
	struct link *link;

	(void)state;
	if (open_as("serve", &link, NULL, &probe, &err) != 0)
		fail_msg("%s", err.what);
	assert_int_equal(probe.stage, LINK_STAGE_REPOSITORY);
	while (len < 14) {
		assert_int_equal(link_read(link, greeting + len, 14 - len, &got, &err), 0);
		assert_true(got > 0);
		len += got;
	}
	assert_string_equal(greeting, "000eversion 2\n");
	link_read_traffic(link, &traffic);
	assert_true(traffic.down >= 14 && traffic.up == 0 && traffic.round_trips == 1);
	/* ls-refs of an empty repository, and its end. */
	assert_int_equal(link_write(link, "0014command=ls-refs\n0000", 24, &err), 0);
	assert_int_equal(link_turn(link, &err), 0);
	link_read_traffic(link, &traffic);
	assert_true(traffic.up == 24 && traffic.round_trips == 2);
	link_close(link);
	assert_gone("pid");
	read_file("words", words + 1, sizeof(words) - 1);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_line(words, expected[i]);
	(void)snprintf(command, sizeof(command), "git-upload-pack '%s/it'\\''s ok'\\!'.git'", folder);
	assert_line(words, command);
}

static void test_silence(void **state)
{
	struct link_limits limits = {.idle_seconds = 1, .total_seconds = 100};
	struct qosid_errbuf err = {0};
	int64_t begun = link_clock();
	struct link *link;

	(void)state;
	assert_int_equal(open_as("silent", &link, &limits, NULL, &err), QOSID_ERR_OFFLINE);
	assert_true(link_clock() - begun >= 1000);
	assert_true(link_clock() - begun < 3000);
	assert_non_null(strstr(err.what, "silent for 1 s"));
	assert_gone("pid");
}

/* Never silent for long, and never done. */
static void test_drip(void **state)
{
	struct link_limits limits = {.idle_seconds = 60, .total_seconds = 1};
	struct qosid_errbuf err = {0};
	int64_t begun = link_clock();
	struct link *link;
	size_t got = 1;
	char c;
	int rc;

	(void)state;
	assert_int_equal(open_as("drip", &link, &limits, NULL, &err), 0);
	while ((rc = link_read(link, &c, 1, &got, &err)) == 0)
		assert_int_equal(got, 1);
	assert_int_equal(rc, QOSID_ERR_OFFLINE);
	assert_non_null(strstr(err.what, "longer than the 1 s"));
	assert_true(link_clock() - begun < 4000);
	link_close(link);
	assert_gone("pid");
}

static bool is_past(void *context)
{
	return link_clock() >= *(int64_t *)context;
}

static void test_cancel(void **state)
{
	int64_t when = link_clock() + 300;
	struct link_limits limits = {.cancel = is_past, .context = &when};
	struct qosid_errbuf err = {0};
	struct link *link;

	(void)state;
	assert_int_equal(open_as("silent", &link, &limits, NULL, &err), QOSID_ERR_CANCELLED);
	assert_true(link_clock() - when < 1000);
	assert_gone("pid");
}

/* A child that will not go, and what it has started. */
static void test_stubborn(void **state)
{
	int64_t when = link_clock() + 300;
	struct link_limits limits = {.cancel = is_past, .context = &when};
	struct qosid_errbuf err = {0};
	struct link *link;
	size_t got;
	char text[2];

	(void)state;
	assert_int_equal(open_as("stubborn", &link, &limits, NULL, &err), 0);
	assert_int_equal(link_read(link, text, 2, &got, &err), 0);
	assert_int_equal(link_read(link, text, 2, &got, &err), QOSID_ERR_CANCELLED);
	link_close(link);
	assert_true(link_clock() - when < 2000);
	assert_gone("pid");
	assert_gone("pid2");
}

static void read_all(struct link *link, size_t want, char expected)
{
	static char piece[65536];
	struct qosid_errbuf err = {0};
	size_t got;

	for (; want > 0; want -= got) {
		assert_int_equal(link_read(link, piece, sizeof(piece) < want ? sizeof(piece) : want, &got, &err), 0);
		assert_true(got > 0);
		for (size_t i = 0; i < got; i++)
			assert_int_equal(piece[i], expected);
	}
}

/* The other side talks while this one does. */
static void test_both_talk(void **state)
{
	struct link_limits limits = {.idle_seconds = 1};
	const size_t len = 1u << 20;
	struct qosid_errbuf err = {0};
	struct link_traffic traffic;
	char *bytes = malloc(len);
	struct link *link;
	int rc = 0;

	(void)state;
	assert_non_null(bytes);
	memset(bytes, 'a', len);
	assert_int_equal(open_as("echo", &link, &limits, NULL, &err), 0);
	read_all(link, 1, '!');
	assert_int_equal(link_write(link, bytes, len, &err), 0);
	assert_int_equal(link_turn(link, &err), 0);
	read_all(link, len, 'a');
	link_read_traffic(link, &traffic);
	assert_int_equal(traffic.up, len);
	assert_int_equal(traffic.down, len + 1);
	/* One that will not listen until it is heard cannot make this side keep it all. */
	for (size_t i = 0; rc == 0 && i < 16; i++)
		rc = link_write(link, bytes, len, &err);
	assert_int_equal(rc, QOSID_ERR_OFFLINE);
	link_close(link);
	assert_gone("pid");
	free(bytes);
}

static void test_rates(void **state)
{
	struct link_limits limits = {.rate_up = 100000, .rate_down = 100000};
	struct qosid_errbuf err = {0};
	static char bytes[75000];
	struct link *link;
	int64_t begun;

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	assert_int_equal(open_as("echo", &link, &limits, NULL, &err), 0);
	read_all(link, 1, '!');
	begun = link_clock();
	assert_int_equal(link_write(link, bytes, sizeof(bytes), &err), 0);
	assert_int_equal(link_turn(link, &err), 0);
	assert_true(link_clock() - begun >= 400); /* 75,000 bytes less a burst of 25,000 at 100,000 a second */
	begun = link_clock();
	read_all(link, 50000, 'a');
	link_close(link);
	/* And none of it came before it might. */
	assert_true(link_clock() - begun < 4000);
}

static void test_babble(void **state)
{
	struct link_limits limits = {.total_seconds = 1};
	struct qosid_errbuf err = {0};
	struct link *link;
	size_t got;
	char text[2];

	(void)state;
	assert_int_equal(open_as("babble", &link, &limits, NULL, &err), 0);
	assert_int_equal(link_read(link, text, 2, &got, &err), 0);
	assert_int_equal(link_read(link, text, 2, &got, &err), QOSID_ERR_OFFLINE);
	link_close(link);
	assert_gone("pid");
}

static void test_break(void **state)
{
	struct qosid_errbuf err = {0};
	struct link *link;
	size_t got;
	char text[2];

	(void)state;
	assert_int_equal(open_as("break", &link, NULL, NULL, &err), 0);
	assert_int_equal(link_read(link, text, 2, &got, &err), 0);
	assert_int_equal(link_read(link, text, 2, &got, &err), QOSID_ERR_OFFLINE);
	assert_non_null(strstr(err.what, "Broken pipe"));
	link_close(link);
}

static void test_words(void **state)
{
	static const struct {
		const char *says, *status;
		int code;
		enum link_stage stage;
		bool unknown;
		const char *what;
	} cases[] = {
	    {"ssh: Could not resolve hostname example.org: Name or service not known\\r\\n", "255", QOSID_ERR_OFFLINE,
		LINK_STAGE_START, false, "the name example.org cannot be resolved"},
	    {"ssh: connect to host example.org port 2222: Connection refused\\r\\n", "255", QOSID_ERR_OFFLINE,
		LINK_STAGE_NAME, false, "Connection refused"},
	    {"kex_exchange_identification: Connection closed by remote host\\r\\n", "255", QOSID_ERR_OFFLINE,
		LINK_STAGE_CONNECT, false, "cannot be reached"},
	    {"No ED25519 host key is known for [example.org]:2222 and you have requested strict checking.\\r\\nHost "
	     "key "
	     "verification failed.\\r\\n",
		"255", QOSID_ERR_REFUSED, LINK_STAGE_CONNECT, true, "not known"},
	    {"@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\\r\\nHost key verification failed.\\r\\n", "255",
		QOSID_ERR_REFUSED, LINK_STAGE_CONNECT, false, "HAS CHANGED"},
	    {"git@example.org: Permission denied (publickey).\\r\\n", "255", QOSID_ERR_REFUSED, LINK_STAGE_HOST, false,
		"does not let this office in"},
	    {"fatal: '/x' does not appear to be a git repository\\n", "128", QOSID_ERR_NOTFOUND, LINK_STAGE_LOGIN,
		false, "there is no repository"},
	    {"bash: line 1: git-upload-pack: command not found\\n", "127", QOSID_ERR_FAILED, LINK_STAGE_LOGIN, false,
		"there is no git"},
	    {"fatal: detected dubious ownership in repository at '/x'\\n", "128", QOSID_ERR_REFUSED, LINK_STAGE_LOGIN,
		false, "owner"},
	    {"\\033[31mbo\\ao\\n", "7", QOSID_ERR_FAILED, LINK_STAGE_LOGIN, false, "status 7): ?[31mbo?o"},
	    {"", "0", QOSID_ERR_INVALID, LINK_STAGE_START, false, "nothing to say"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qosid_errbuf err = {0};
		struct link_probe probe = {0};
		struct link *link;

		assert_int_equal(setenv("LINK_SAYS", cases[i].says, 1), 0);
		assert_int_equal(setenv("LINK_STATUS", cases[i].status, 1), 0);
		assert_int_equal(open_as("say", &link, NULL, &probe, &err), cases[i].code);
		assert_int_equal(probe.stage, cases[i].stage);
		assert_int_equal(probe.host_unknown, cases[i].unknown);
		if (strstr(err.what, cases[i].what) == NULL)
			fail_msg("\"%s\" is not in \"%s\"", cases[i].what, err.what);
	}
}

static void test_no_ssh(void **state)
{
	struct qosid_errbuf err = {0};
	char *path = strdup(getenv("PATH"));
	struct link *link;

	(void)state;
	assert_int_equal(setenv("PATH", "/nonexistent", 1), 0);
	assert_int_equal(open_as("serve", &link, NULL, NULL, &err), QOSID_ERR_NOTFOUND);
	assert_non_null(strstr(err.hint, "OpenSSH"));
	assert_int_equal(setenv("PATH", path, 1), 0);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_greeting),
	    cmocka_unit_test(test_silence),
	    cmocka_unit_test(test_drip),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_stubborn),
	    cmocka_unit_test(test_both_talk),
	    cmocka_unit_test(test_rates),
	    cmocka_unit_test(test_babble),
	    cmocka_unit_test(test_break),
	    cmocka_unit_test(test_words),
	    cmocka_unit_test(test_no_ssh),
	};

	return cmocka_run_group_tests(tests, make_fixture, remove_fixture);
}
