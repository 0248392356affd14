/*
 * qosid bundle: the logs in one file, to be carried where no link goes.
 */
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"

static int create(
    struct cli *cli, const char *path, const char *recipient, struct bundle_summary *summary, struct qosid_errbuf *err)
{
	struct progress progress;
	struct exchange_progress drawn = progress_for_space(&progress);
	int code;

	progress_begin(&progress, cli);
	code = space_publish(cli->space, &drawn, NULL, err);
	if (code == 0)
		code = space_create_bundle(cli->space, path, recipient, &drawn, summary, err);
	progress_end(&progress);
	return code;
}

static int print(
    const struct cli *cli, const char *path, const struct bundle_summary *summary, struct qosid_errbuf *err)
{
	struct output_object object;

	if (cli->json) {
		output_begin(&object);
		output_add_text(&object, "file", path);
		output_add_number(&object, "logs", (int64_t)summary->logs);
		output_add_number(&object, "commits", (int64_t)summary->commits);
		output_add_number(&object, "bytes", (int64_t)summary->bytes);
		return output_end(&object, err);
	}
	if (cli->quiet)
		return 0;
	if (summary->logs == 0)
		(void)puts("nothing new: no file was made");
	else
		(void)printf("%s: %zu commit%s of %zu log%s, %llu bytes\n", path, summary->commits,
		    output_plural(summary->commits), summary->logs, output_plural(summary->logs),
		    (unsigned long long)summary->bytes);
	return 0;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	enum { OPTION_FOR = OPTION_OWN, OPTION_ALL };
	static const struct option table[] = {
	    {"for", required_argument, NULL, OPTION_FOR}, {"all", no_argument, NULL, OPTION_ALL}, OPTIONS_COMMON};
	struct bundle_summary summary = {0};
	const char *recipient = NULL;
	bool all = false;
	int opt, code;

	while ((opt = options_next(cli, argc, argv, "", table, err)) > 0) {
		if (opt == OPTION_FOR)
			recipient = optarg;
		else
			all = true;
	}
	if (opt < 0)
		return opt;
	if ((code = options_arguments(cli, argc, argv, 2, 2, err)) != 0)
		return code;
	if (strcmp(argv[optind], "create") != 0)
		return options_wrong(cli, err, "there is no command bundle %s", argv[optind]);
	if (all == (recipient != NULL))
		return options_wrong(cli, err, "give either --all or --for OFFICE");
	if (recipient != NULL && (code = slug_check(recipient, err)) != 0)
		return code;
	if ((code = cli_open_space(cli, err)) != 0 ||
	    (code = create(cli, argv[optind + 1], recipient, &summary, err)) != 0)
		return code;
	return print(cli, argv[optind + 1], &summary, err);
}

const struct command cmd_bundle = {
    .name = "bundle",
    .group = "Meet the other offices",
    .synopsis = "create FILE --all | --for OFFICE",
    .summary = "write the logs to a file, to be carried on a stick",
    .help = "Publishes this office's changes, then writes all logs that it has verified to FILE, in git's bundle\n"
	    "format. Records in it are encrypted and signed as everywhere else.\n\n"
	    "  --all         everything; git clone --bare FILE NAME.git makes a remote of it\n"
	    "  --for OFFICE  without what that office had seen when it published last\n\n"
	    "With --json: {\"file\",\"logs\",\"commits\",\"bytes\"}; bytes is 0 when nothing was new and no file was "
	    "made.\n\n"
	    "Example:\n"
	    "  qosid bundle create /media/stick/records.bundle --all\n",
    .run = run,
};
