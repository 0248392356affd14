/*
 * qosid passphrase: set, change or remove the passphrase that protects this office's keys.
 */
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/passphrase.h"

static int report(struct cli *cli, enum space_passphrase action, const struct space_passphrase_result *result,
    struct qosid_errbuf *err)
{
	struct output_object object;

	if (cli->json) {
		output_begin(&object);
		output_add_bool(&object, "passphrase", action != SPACE_PASSPHRASE_REMOVE);
		output_add_number(&object, "files", (int64_t)result->changed);
		output_add_number(&object, "others", (int64_t)result->foreign);
		return output_end(&object, err);
	}
	if (cli->quiet)
		return 0;
	if (action == SPACE_PASSPHRASE_REMOVE)
		(void)printf("No passphrase protects this office's keys any more.\n");
	else
		(void)printf("This office's keys have a new passphrase.\n");
	if (result->foreign > 0)
		(void)fprintf(stderr,
		    "note: %zu file(s) of replaced keys have another passphrase and stay as they are\n",
		    result->foreign);
	if (action == SPACE_PASSPHRASE_CHANGE)
		(void)fprintf(stderr,
		    "note: copies of the old files still open with the old passphrase; when somebody may "
		    "know it, also run qosid keys roll\n");
	return 0;
}

static int parse_action(struct cli *cli, const char *text, enum space_passphrase *out, struct qosid_errbuf *err)
{
	if (strcmp(text, "set") == 0)
		*out = SPACE_PASSPHRASE_SET;
	else if (strcmp(text, "change") == 0)
		*out = SPACE_PASSPHRASE_CHANGE;
	else if (strcmp(text, "remove") == 0)
		*out = SPACE_PASSPHRASE_REMOVE;
	else
		return options_wrong(cli, err, "passphrase knows set, change and remove, not %s", text);
	return 0;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	enum { OPTION_NEW_FILE = OPTION_OWN };
	static const struct option table[] = {
	    {"new-passphrase-file", required_argument, NULL, OPTION_NEW_FILE}, OPTIONS_COMMON};
	struct qosid_buf old = {0}, chosen = {0};
	struct space_passphrase_result result;
	enum space_passphrase action = SPACE_PASSPHRASE_SET;
	const char *file = NULL;
	int opt, code;

	while ((opt = options_next(cli, argc, argv, "", table, err)) > 0)
		file = optarg;
	code = opt < 0 ? opt : options_arguments(cli, argc, argv, 1, 1, err);
	if (code == 0)
		code = parse_action(cli, argv[optind], &action, err);
	if (code == 0 && action == SPACE_PASSPHRASE_REMOVE && file != NULL)
		code = options_wrong(cli, err, "passphrase remove takes no new passphrase");
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code == 0)
		code = space_check_passphrase(cli->space, action, err);
	if (code == 0 && action != SPACE_PASSPHRASE_SET)
		code = passphrase_ask(cli, space_dir(cli->space), &old, err);
	if (code == 0 && action != SPACE_PASSPHRASE_REMOVE)
		code = passphrase_choose_new(file, &chosen, err);
	if (code == 0)
		code = space_change_passphrase(
		    cli->space, action, (const char *)old.data, (const char *)chosen.data, &result, err);
	if (code == 0)
		code = report(cli, action, &result, err);
	qosid_buf_wipe(&old);
	qosid_buf_wipe(&chosen);
	return code;
}

const struct command cmd_passphrase = {
    .name = "passphrase",
    .group = "Start a space, and let others in",
    .synopsis = "set | change | remove [--new-passphrase-file FILE]",
    .summary = "set, change or remove the passphrase of this office's keys",
    .help = "  set                     protect keys that lie in clear\n"
	    "  change                  replace the passphrase by another one\n"
	    "  remove                  leave the keys in clear\n"
	    "  --new-passphrase-file FILE  the new passphrase is the first line of FILE; otherwise it is typed\n"
	    "                          twice at the terminal\n\n"
	    "--passphrase-file names the old one, when there is one. An interrupted command is finished by\n"
	    "the same one again. With --json: {\"passphrase\",\"files\",\"others\"}: whether there is one now, how\n"
	    "many files were changed, and how many of replaced keys have another one.\n\n"
	    "Example:\n"
	    "  qosid passphrase set\n",
    .run = run,
};
