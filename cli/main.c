/*
 * qosid, the command line tool: finds the command, runs it, tells its error, and makes sure that what was printed has
 * arrived. No daemon is needed for anything here.
 */
#include <errno.h>
#include <git2.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/options.h"
#include "cli/output.h"

const struct command *const *command_table(void)
{
	static const struct command *const table[] = {
	    &cmd_init,
	    &cmd_identity,
	    &cmd_invite,
	    &cmd_join,
	    &cmd_admit,
	    &cmd_members,
	    &cmd_role,
	    &cmd_remove,
	    &cmd_rotate,
	    &cmd_threshold,
	    &cmd_endorse,
	    &cmd_office,
	    &cmd_passphrase,
	    &cmd_put,
	    &cmd_get,
	    &cmd_rm,
	    &cmd_ls,
	    &cmd_changes,
	    &cmd_conflicts,
	    &cmd_resolve,
	    &cmd_import,
	    &cmd_export,
	    &cmd_remote,
	    &cmd_sync,
	    &cmd_fetch_file,
	    &cmd_bundle,
	    &cmd_generation,
	    &cmd_couch,
	    &cmd_status,
	    &cmd_log,
	    &cmd_verify,
	    &cmd_digest,
	    &cmd_keys,
	    &cmd_help,
	    &cmd_version,
	    NULL,
	};
	return table;
}

const struct command *command_find(const char *name)
{
	for (const struct command *const *entry = command_table(); *entry != NULL; entry++) {
		const char *alias = (*entry)->alias;

		if (strcmp((*entry)->name, name) == 0 || (alias != NULL && strcmp(alias, name) == 0))
			return *entry;
	}
	return NULL;
}

static int run_help(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {OPTIONS_COMMON};
	const struct command *about;
	int code;

	code = options_next(cli, argc, argv, "", table, err);
	if (code == 0)
		code = options_arguments(cli, argc, argv, 0, 1, err);
	if (code != 0)
		return code;
	if (optind == argc) {
		output_command_list(stdout);
		return 0;
	}
	about = command_find(argv[optind]);
	if (about == NULL)
		return options_wrong(cli, err, "there is no command %s", argv[optind]);
	output_help(about);
	return 0;
}

const struct command cmd_help = {
    .name = "help",
    .group = "About",
    .synopsis = "[COMMAND]",
    .summary = "list the commands, or explain one",
    .help = "Example:\n"
	    "  qosid help import\n",
    .run = run_help,
};

static int run_version(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {OPTIONS_COMMON};
	struct output_object object;
	int code;

	code = options_next(cli, argc, argv, "", table, err);
	if (code == 0)
		code = options_arguments(cli, argc, argv, 0, 0, err);
	if (code != 0)
		return code;
	if (!cli->json) {
		(void)printf("qosid %s\n", QOSID_VERSION);
		return 0;
	}
	output_begin(&object);
	output_add_text(&object, "qosid", QOSID_VERSION);
	output_add_text(&object, "libgit2", LIBGIT2_VERSION);
	output_add_text(&object, "libsodium", sodium_version_string());
	return output_end(&object, err);
}

const struct command cmd_version = {
    .name = "version",
    .group = "About",
    .synopsis = "",
    .summary = "show the version of this program",
    .help = "With --json: {\"qosid\":..,\"libgit2\":..,\"libsodium\":..}.\n\n"
	    "Example:\n"
	    "  qosid version\n",
    .run = run_version,
};

/* Options before the command, then the command. */
static int dispatch(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	enum { OPTION_VERSION = OPTION_OWN };
	static const struct option table[] = {{"version", no_argument, NULL, OPTION_VERSION}, OPTIONS_COMMON};
	const char *name;
	int opt;

	opt = options_next(cli, argc, argv, "+", table, err);
	if (opt < 0)
		return opt;
	if (opt == OPTION_VERSION) {
		(void)printf("qosid %s\n", QOSID_VERSION);
		return 0;
	}
	if (optind == argc) {
		output_command_list(stderr);
		return qosid_error(err, QOSID_ERR_USAGE, "%s", "");
	}
	name = argv[optind];
	cli->command = command_find(name);
	if (cli->command == NULL)
		return options_wrong(cli, err, "there is no command %s", name);
	argc -= optind;
	argv += optind;
	optind = 0; /* getopt starts anew, on the command's own arguments */
	return cli->command->run(cli, argc, argv, err);
}

/* Nothing of this process may reach a core file or another user: it handles keys and records. */
static int harden(struct qosid_errbuf *err)
{
	struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return qosid_error_errno(err, errno, "cannot switch off core dumps");
#ifndef __SANITIZE_ADDRESS__ /* whose leak check has to read this process */
	if (prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) != 0)
		return qosid_error_errno(err, errno, "cannot switch off core dumps");
#endif
	(void)umask(077);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return qosid_error_errno(err, errno, "cannot ignore SIGPIPE");
	return 0;
}

int main(int argc, char **argv)
{
	struct cli cli = {0};
	struct qosid_errbuf err = {0}, late = {0};
	int code, written;

	code = harden(&err);
	if (code == 0 && sodium_init() < 0)
		code = qosid_error(&err, QOSID_ERR_FAILED, "libsodium cannot start");
	if (code == 0 && git_libgit2_init() < 0)
		code = qosid_error(&err, QOSID_ERR_FAILED, "libgit2 cannot start");
	if (code == 0) {
		code = dispatch(&cli, argc, argv, &err);
		space_close(cli.space);
		(void)git_libgit2_shutdown(); /* returns a count of users */
	}
	if (code == CLI_DONE)
		code = 0;
	written = code == CLI_PIPE ? code : output_finish(&late);
	if (written == CLI_PIPE) {
		(void)signal(SIGPIPE, SIG_DFL);
		(void)raise(SIGPIPE);
		return EXIT_FAILURE; /* only when SIGPIPE is blocked */
	}
	if (code != 0)
		output_error(&err);
	if (written != 0)
		output_error(&late);
	return qosid_error_exit_code(code != 0 ? code : written);
}
