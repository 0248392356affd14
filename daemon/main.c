/*
 * qosidd: keeps the spaces of an office exchanged with their remotes. Options, process hygiene, exit codes; the work is
 * in daemon.c and worker.c.
 */
#include <errno.h>
#include <getopt.h>
#include <git2.h>
#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/api/api.h"
#include "daemon/ask.h"
#include "daemon/config.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"

#define CONFIG_SYSTEM "/etc/qosid/qosidd.conf"

static const char usage_text[] = "usage: qosidd [-v] [-c FILE] [--once | --check-config | --add-admin NAME]\n"
				 "\n"
				 "Keep the spaces that FILE names exchanged with their remotes: soon after a local\n"
				 "change, and at intervals. Runs in the foreground; see qosidd(8), qosidd.conf(5).\n"
				 "\n"
				 "  -c, --config FILE   default " CONFIG_SYSTEM ", or for a user other than\n"
				 "                      root $XDG_CONFIG_HOME/qosid/qosidd.conf\n"
				 "      --add-admin NAME  make an administrator of the HTTP API, or change the\n"
				 "                      password; asks for it, or reads it from standard input\n"
				 "      --check-config  read the configuration, say what is wrong, and exit\n"
				 "      --once          exchange with every remote once, then exit\n"
				 "      --foreground    accepted for the sake of habit: there is no other mode\n"
				 "  -v, --verbose       log more\n"
				 "  -h, --help          this text\n"
				 "      --version       the version\n"
				 "\n"
				 "example: qosidd -c ~/qosidd.conf --once\n";

struct arguments {
	char config[PATH_MAX];
	const char *admin; /* NULL: run */
	bool check, once, verbose;
};

static void default_config(char out[PATH_MAX])
{
	const char *folder = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	if (geteuid() == 0 || (!folder && !home))
		(void)snprintf(out, PATH_MAX, "%s", CONFIG_SYSTEM);
	else if (folder && *folder == '/')
		(void)snprintf(out, PATH_MAX, "%s/qosid/qosidd.conf", folder);
	else
		(void)snprintf(out, PATH_MAX, "%s/.config/qosid/qosidd.conf", home ? home : "");
}

/* Returns -1 to go on, otherwise the exit code. */
static int parse_arguments(struct arguments *arguments, int argc, char **argv)
{
	enum { CHECK = 256, ADD_ADMIN, ONCE, FOREGROUND, VERSION };
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"add-admin", required_argument, NULL, ADD_ADMIN},
	    {"check-config", no_argument, NULL, CHECK},
	    {"once", no_argument, NULL, ONCE},
	    {"foreground", no_argument, NULL, FOREGROUND},
	    {"verbose", no_argument, NULL, 'v'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, VERSION},
	    {0},
	};
	int option;
	default_config(arguments->config);
	while ((option = getopt_long(argc, argv, "c:vh", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			(void)snprintf(arguments->config, PATH_MAX, "%s", optarg);
			break;
		case ADD_ADMIN:
			arguments->admin = optarg;
			break;
		case CHECK:
			arguments->check = true;
			break;
		case ONCE:
			arguments->once = true;
			break;
		case FOREGROUND:
			break;
		case 'v':
			arguments->verbose = true;
			break;
		case 'h':
			(void)fputs(usage_text, stdout);
			return 0;
		case VERSION:
			(void)puts("qosidd " QOSID_VERSION);
			return 0;
		default:
			(void)fputs("qosidd: see qosidd --help\n", stderr);
			return 2;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "qosidd: there is nothing to do with \"%s\"; see qosidd --help\n", argv[optind]);
		return 2;
	}
	return -1;
}

/* Nothing of a running daemon may end up on disk or with another user: no core dumps, no ptrace by others, no files
 * that others can read. */
static int harden(struct qosid_errbuf *err)
{
	const struct rlimit none = {0};
	(void)umask(077);
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return qosid_error_errno(err, errno, "cannot switch off core dumps");
#ifndef __SANITIZE_ADDRESS__ /* its leak check attaches to the process */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return qosid_error_errno(err, errno, "cannot switch off core dumps");
#endif
	return 0;
}

/* Signals are blocked before any thread starts, so only the event loop's signalfd gets them. */
static int block_signals(sigset_t *signals, struct qosid_errbuf *err)
{
	(void)sigemptyset(signals);
	(void)sigaddset(signals, SIGTERM);
	(void)sigaddset(signals, SIGINT);
	(void)sigaddset(signals, SIGHUP);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, signals, NULL) < 0)
		return qosid_error_errno(err, errno, "cannot block signals");
	return 0;
}

static int add_admin(const char *name, const struct config *config, struct qosid_errbuf *err)
{
	struct qosid_buf password = {0};
	if (!config->http.enabled)
		return qosid_error(
		    err, QOSID_ERR_USAGE, "the configuration has no [http], so there are no administrators");
	int rc = ask_new_password(name, &password, err);
	if (rc == 0)
		rc = api_add_admin(config->http.data_dir, name, (const char *)password.data, err);
	qosid_buf_wipe(&password);
	return rc;
}

static int run(
    const struct arguments *arguments, const struct journal *journal, bool *abandoned, struct qosid_errbuf *err)
{
	struct daemon_options options = {.journal = journal, .config_path = arguments->config, .once = arguments->once};
	struct config config = {0};
	int rc = harden(err);
	if (rc == 0)
		rc = block_signals(&options.signals, err);
	if (rc == 0 && (sodium_init() < 0 || git_libgit2_init() < 0))
		rc = qosid_error(err, QOSID_ERR_FAILED, "cannot initialise libsodium and libgit2");
	if (rc == 0)
		rc = config_load(&config, arguments->config, err);
	if (rc == 0 && arguments->admin)
		rc = add_admin(arguments->admin, &config, err);
	else if (rc == 0 && arguments->check)
		(void)printf("%s: good, spaces: %zu\n", arguments->config, config.count);
	else if (rc == 0)
		rc = daemon_run(&options, &config, abandoned, err);
	config_free(&config);
	return rc;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {0};
	struct qosid_errbuf err = {0};
	bool abandoned = false;
	int code = parse_arguments(&arguments, argc, argv);
	if (code >= 0)
		return code;

	struct journal journal = journal_open(arguments.verbose);
	int rc = run(&arguments, &journal, &abandoned, &err);
	if (rc < 0 && err.code != 0) {
		struct journal_line line;
		journal_begin(&line, &journal, LOG_ERR, "cannot run");
		journal_error(&line, &err);
		journal_end(&line);
	}
	code = qosid_error_exit_code(rc);
	if (abandoned)
		_exit(code);
	(void)git_libgit2_shutdown();
	return code;
}
