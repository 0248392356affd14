/*
 * qosid log: the history, one change set a line, newest first.
 */
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"

static int print_entry(void *context, const struct space_entry *entry, struct qosid_errbuf *err)
{
	const struct cli *cli = context;
	char time[OUTPUT_TIME_SIZE];
	struct output_object object;

	if (cli->json) {
		output_begin(&object);
		output_add_text(&object, "log", entry->log);
		output_add_text(&object, "office", entry->office);
		output_add_number(&object, "sequence", entry->sequence);
		output_add_number(&object, "generation", entry->generation);
		output_add_time(&object, "time", entry->time * 1000);
		output_add_text(&object, "commit", entry->commit);
		output_add_text(&object, "subject", entry->subject);
		return output_end(&object, err);
	}
	output_format_time_short(time, entry->time * 1000);
	(void)printf("%.*s  %s  %s@%lld  ", cli->verbose > 0 ? 40 : 12, entry->commit, time, entry->log,
	    (long long)entry->sequence);
	if (entry->generation > 1)
		(void)printf("generation %lld  ", (long long)entry->generation);
	output_text(stdout, entry->subject, strlen(entry->subject));
	(void)putchar('\n');
	return output_check(err);
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"max-count", required_argument, NULL, 'n'}, OPTIONS_COMMON};
	const char *office;
	int64_t limit = 0;
	int opt, code = 0;

	while (code == 0 && (opt = options_next(cli, argc, argv, "n:", table, err)) != 0)
		code = opt == 'n' ? options_number(&limit, "-n", optarg, INT32_MAX, err) : opt;
	if (code == 0)
		code = options_arguments(cli, argc, argv, 0, 1, err);
	office = code == 0 && optind < argc ? argv[optind] : NULL;
	if (code == 0 && office != NULL)
		code = slug_check(office, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code != 0)
		return code;
	if (office != NULL && roster_find_member(space_roster(cli->space), -1, office) == NULL) {
		code = qosid_error(err, QOSID_ERR_NOTFOUND, "there is no office %s in this space", office);
		qosid_error_hint(err, "qosid members lists them");
		return code;
	}
	return space_visit_history(cli->space, office, (size_t)limit, print_entry, cli, err);
}

const struct command cmd_log = {
    .name = "log",
    .group = "Prove what happened",
    .synopsis = "[OFFICE] [-n N]",
    .summary = "list the published change sets, newest first",
    .help = "  -n, --max-count N       at most N\n\n"
	    "With -v, commits are shown in full: git -C DIR/log.git show COMMIT.\n"
	    "With --json, one object a change set: "
	    "{\"log\",\"office\",\"sequence\",\"generation\",\"time\",\"commit\",\"subject\"}.\n\n"
	    "Example:\n"
	    "  qosid log khujand -n 5\n",
    .run = run,
};
