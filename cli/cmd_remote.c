/*
 * qosid remote: the places where this space meets others.
 */
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"

enum { OPTION_CREATE = OPTION_OWN };

static int print_remote(void *context, const char *name, const char *url, struct qosid_errbuf *err)
{
	const struct cli *cli = context;
	struct output_object object;

	if (cli->json) {
		output_begin(&object);
		output_add_text(&object, "name", name);
		output_add_text(&object, "url", url);
		return output_end(&object, err);
	}
	(void)printf("%-12s ", name);
	output_text(stdout, url, strlen(url));
	(void)putchar('\n');
	return output_check(err);
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"create", no_argument, NULL, OPTION_CREATE}, OPTIONS_COMMON};
	const char *action;
	bool create = false;
	int opt, code, given;

	while ((opt = options_next(cli, argc, argv, "", table, err)) > 0)
		create = true;
	code = opt < 0 ? opt : options_arguments(cli, argc, argv, 0, 3, err);
	if (code != 0)
		return code;
	given = argc - optind;
	action = given > 0 ? argv[optind] : "ls";
	if (strcmp(action, "add") == 0 && given != 3)
		return options_wrong(cli, err, "remote add needs a name and a folder");
	if (strcmp(action, "rm") == 0 && given != 2)
		return options_wrong(cli, err, "remote rm needs the remote's name");
	if (strcmp(action, "ls") == 0 && given > 1)
		return options_wrong(cli, err, "remote ls takes no name");
	if (strcmp(action, "add") != 0 && strcmp(action, "rm") != 0 && strcmp(action, "ls") != 0)
		return options_wrong(cli, err, "remote knows add, rm and ls, not %s", action);
	if (create && strcmp(action, "add") != 0)
		return options_wrong(cli, err, "--create belongs to remote add");
	code = cli_open_space(cli, err);
	if (code != 0)
		return code;
	if (strcmp(action, "ls") == 0)
		return space_visit_remotes(cli->space, print_remote, cli, err);
	if (strcmp(action, "rm") == 0)
		return space_remove_remote(cli->space, argv[optind + 1], err);
	code = space_add_remote(cli->space, argv[optind + 1], argv[optind + 2], create, err);
	if (code != 0 && !create)
		qosid_error_hint(err, "with --create the folder is made when it is not there");
	return code;
}

const struct command cmd_remote = {
    .name = "remote",
    .group = "Meet the other offices",
    .synopsis = "[ls] | add NAME FOLDER [--create] | rm NAME",
    .summary = "list, add or remove the places where offices meet",
    .help = "A remote is a bare git repository in a folder: on a shared disk, a server's mount, a USB stick.\n\n"
	    "  --create                make the repository when the folder is not there yet\n\n"
	    "With --json, one object a remote: {\"name\",\"url\"}.\n\n"
	    "Example:\n"
	    "  qosid remote add stick /mnt/stick/records.git --create\n",
    .run = run,
};
