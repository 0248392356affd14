/*
 * qosid generation: where each log's present generation stands, beginning one, and the rules for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"

static int print_generation(void *context, const struct space_log *log, struct qosid_errbuf *err)
{
	const struct cli *cli = context;
	struct output_object object;
	char time[OUTPUT_TIME_SIZE];

	if (strncmp(log->name, "office/", sizeof("office/") - 1) != 0 || log->sequence == 0)
		return 0;
	if (cli->json) {
		output_begin(&object);
		output_add_text(&object, "log", log->name);
		output_add_number(&object, "generation", log->generation);
		output_add_number(&object, "begins", log->begins);
		output_add_number(&object, "sequence", log->sequence);
		output_add_number(&object, "archives", (int64_t)log->archives);
		return output_end(&object, err);
	}
	output_format_time_short(time, log->time * 1000);
	(void)printf("%-24s generation %lld, change sets %lld to %lld, the last %s", log->name,
	    (long long)log->generation, (long long)log->begins, (long long)log->sequence, time);
	if (log->generation > 1)
		(void)printf(", %zu of %lld before it kept here", log->archives, (long long)log->generation - 1);
	(void)putchar('\n');
	return output_check(err);
}

static int list(struct cli *cli, struct qosid_errbuf *err)
{
	struct exchange_generations settings;
	int code = space_visit_logs(cli->space, print_generation, cli, err);

	if (code != 0 || cli->json || cli->quiet || (code = space_read_generations(cli->space, &settings, err)) != 0)
		return code;
	(void)printf("\nbytes %lld, days %lld, archives %s, fetch %s\n", (long long)settings.bytes,
	    (long long)settings.days, settings.keep ? "keep" : "drop", settings.fetch ? "true" : "false");
	return output_check(err);
}

static int begin(struct cli *cli, struct qosid_errbuf *err)
{
	struct progress progress;
	struct exchange_progress drawn = progress_for_space(&progress);
	int code;

	progress_begin(&progress, cli);
	code = space_restart(cli->space, &drawn, NULL, err);
	progress_end(&progress);
	if (code == 0 && !cli->quiet && !cli->json)
		(void)printf("a new generation begins; qosid sync brings it to the remotes\n");
	return code;
}

static int set(struct cli *cli, const char *key, const char *value, struct qosid_errbuf *err)
{
	struct exchange_generations settings;
	int64_t number;
	int code = space_read_generations(cli->space, &settings, err);

	if (code != 0)
		return code;
	if (strcmp(key, "archives") == 0 && (strcmp(value, "keep") == 0 || strcmp(value, "drop") == 0))
		settings.keep = strcmp(value, "keep") == 0;
	else if (strcmp(key, "fetch") == 0 && (strcmp(value, "true") == 0 || strcmp(value, "false") == 0))
		settings.fetch = strcmp(value, "true") == 0;
	else if (strcmp(key, "bytes") == 0 || strcmp(key, "days") == 0) {
		if ((code = options_number(&number, key, value, INT64_C(1) << 50, err)) != 0)
			return code;
		*(key[0] == 'b' ? &settings.bytes : &settings.days) = number;
	} else
		return options_wrong(
		    cli, err, "generation set knows bytes N, days N, archives keep|drop, fetch true|false");
	return space_write_generations(cli->space, &settings, err);
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {OPTIONS_COMMON};
	const char *action;
	int code, given;

	code = options_next(cli, argc, argv, "", table, err);
	if (code == 0)
		code = options_arguments(cli, argc, argv, 0, 3, err);
	if (code != 0)
		return code;
	given = argc - optind;
	action = given > 0 ? argv[optind] : "ls";
	if (strcmp(action, "ls") != 0 && strcmp(action, "new") != 0 && strcmp(action, "set") != 0)
		return options_wrong(cli, err, "generation knows ls, new and set, not %s", action);
	if (strcmp(action, "set") == 0 ? given != 3 : given > 1)
		return options_wrong(cli, err, "generation set needs a key and a value, ls and new need nothing");
	if ((code = cli_open_space(cli, err)) != 0)
		return code;
	if (strcmp(action, "ls") == 0)
		return list(cli, err);
	return strcmp(action, "new") == 0 ? begin(cli, err) : set(cli, argv[optind + 1], argv[optind + 2], err);
}

const struct command cmd_generation = {
    .name = "generation",
    .group = "Meet the other offices",
    .synopsis = "[ls] | new | set KEY VALUE",
    .summary = "restart this office's log from a snapshot, so that it stays small",
    .help =
	"A new generation holds what this office published that is still live; the others need nothing older. It "
	"begins\n"
	"by itself when the log passes a limit, or by hand with `new`. The settings are this office's own:\n\n"
	"  bytes N                 published since the snapshot, when more than the snapshot (67108864; 0: no limit)\n"
	"  days N                  since the generation began (365; 0: no limit)\n"
	"  archives keep|drop      old generations: keep them here and bring them to remotes, or let go of them "
	"(keep)\n"
	"  fetch true|false        also fetch those that remotes have, for the full history (false)\n\n"
	"With --json, one object a log: {\"log\",\"generation\",\"begins\",\"sequence\",\"archives\"}.\n\n"
	"Example:\n"
	"  qosid generation new\n",
    .run = run,
};
