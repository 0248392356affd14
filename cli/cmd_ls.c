/*
 * qosid ls: list documents by their ids.
 */
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"

enum { OPTION_FROM = OPTION_OWN, OPTION_TO, OPTION_LIMIT, OPTION_DELETED };

struct ls {
	struct cli *cli;
	const char *prefix;
	struct replica_range range;
	bool is_long;
	int64_t left; /* < 0: no limit */
};

static int print_json(const struct replica_record *record, const char *rev, bool conflict, struct qosid_errbuf *err)
{
	struct output_object object;

	output_begin(&object);
	output_add_text(&object, "id", (const char *)record->id.data);
	output_add_text(&object, "rev", rev);
	output_add_number(&object, "seq", record->sequence);
	output_add_time(&object, "time", record->time);
	output_add_text(&object, "user", record->user.data != NULL ? (const char *)record->user.data : "");
	output_add_bool(&object, "conflict", conflict);
	if (record->deleted)
		output_add_bool(&object, "deleted", true);
	return output_end(&object, err);
}

static int print_record(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct ls *ls = context;
	struct revtree_leaf second;
	char rev[REVISION_TEXT_SIZE], time[OUTPUT_TIME_SIZE];
	bool conflict;

	if (ls->prefix != NULL && strncmp((const char *)record->id.data, ls->prefix, strlen(ls->prefix)) != 0)
		return CLI_DONE; /* past the last one */
	if (ls->left == 0)
		return CLI_DONE;
	ls->left--;
	revision_format(rev, &record->rev);
	conflict = revtree_leaf_at(record->tree, 1, &second) && !second.deleted;
	if (ls->cli->json)
		return print_json(record, rev, conflict, err);
	output_text(stdout, (const char *)record->id.data, record->id.len);
	if (ls->is_long) {
		output_format_time_short(time, record->time);
		(void)printf("  %s  %s  ", rev, time);
		output_text(stdout, (const char *)record->user.data, record->user.len);
		(void)fputs(record->deleted ? "  deleted" : conflict ? "  CONFLICT" : "", stdout);
	}
	(void)putchar('\n');
	return output_check(err);
}

static int read_options(struct cli *cli, int argc, char **argv, struct ls *ls, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"from", required_argument, NULL, OPTION_FROM},
	    {"to", required_argument, NULL, OPTION_TO}, {"limit", required_argument, NULL, OPTION_LIMIT},
	    {"deleted", no_argument, NULL, OPTION_DELETED}, {"long", no_argument, NULL, 'l'}, OPTIONS_COMMON};
	int opt, code = 0;

	while (code == 0 && (opt = options_next(cli, argc, argv, "l", table, err)) != 0) {
		switch (opt) {
		case OPTION_FROM:
			ls->range.from = optarg;
			break;
		case OPTION_TO:
			ls->range.to = optarg;
			break;
		case OPTION_LIMIT:
			code = options_number(&ls->left, "--limit", optarg, INT64_MAX, err);
			break;
		case OPTION_DELETED:
			ls->range.with_deleted = true;
			break;
		case 'l':
			ls->is_long = true;
			break;
		default:
			code = opt;
		}
	}
	if (code == 0)
		code = options_arguments(cli, argc, argv, 0, 1, err);
	if (code == 0 && optind < argc)
		ls->prefix = argv[optind];
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct ls ls = {.cli = cli, .left = -1};
	int code;

	code = read_options(cli, argc, argv, &ls, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code != 0)
		return code;
	if (ls.prefix != NULL && (ls.range.from == NULL || strcmp(ls.range.from, ls.prefix) < 0))
		ls.range.from = ls.prefix;
	code = replica_visit_documents(space_replica(cli->space), &ls.range, print_record, &ls, err);
	return code == CLI_DONE ? 0 : code;
}

const struct command cmd_ls = {
    .name = "ls",
    .group = "Work with records",
    .synopsis = "[PREFIX] [options]",
    .summary = "list documents in the order of their ids",
    .help = "PREFIX lists only documents whose ids begin with it.\n\n"
	    "  -l, --long              with revision, time and user of the last change, and conflicts\n"
	    "  --from ID, --to ID      only from the one to the other, both included\n"
	    "  --limit N               at most N\n"
	    "  --deleted               deleted ones too\n\n"
	    "With --json, one object a document: {\"id\",\"rev\",\"seq\",\"time\",\"user\",\"conflict\"}, and\n"
	    "\"deleted\":true for a deleted one.\n\n"
	    "Example:\n"
	    "  qosid ls person: -l --limit 20\n",
    .run = run,
};
