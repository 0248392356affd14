/*
 * qosid changes: the changes feed, by sequence; with -f it waits for more.
 */
#include <errno.h>
#include <time.h>

#include "cli/options.h"
#include "cli/output.h"

#define POLL_MILLISECONDS 250

enum { OPTION_SINCE = OPTION_OWN, OPTION_LIMIT };

struct changes {
	struct cli *cli;
	int64_t since, limit, shown;
	bool follow;
};

static int print_change(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct changes *changes = context;
	char rev[REVISION_TEXT_SIZE];
	struct output_object object, change;
	cJSON *array;

	changes->since = record->sequence;
	changes->shown++;
	revision_format(rev, &record->rev);
	if (!changes->cli->json) {
		(void)printf("%lld  ", (long long)record->sequence);
		output_text(stdout, (const char *)record->id.data, record->id.len);
		(void)printf("  %s%s\n", rev, record->deleted ? "  deleted" : "");
		return output_check(err);
	}
	output_begin(&object);
	output_add_number(&object, "seq", record->sequence);
	output_add_text(&object, "id", (const char *)record->id.data);
	array = output_add_array(&object, "changes");
	output_begin(&change);
	output_add_text(&change, "rev", rev);
	output_end_into(&change, &object, array);
	if (record->deleted)
		output_add_bool(&object, "deleted", true);
	return output_end(&object, err);
}

/* Until another process has committed something. */
static int wait_for_change(struct replica *replica, int64_t *version, struct qosid_errbuf *err)
{
	int64_t seen = *version;
	int code = 0;

	while (code == 0 && *version == seen) {
		struct timespec pause = {.tv_nsec = POLL_MILLISECONDS * 1000000L};

		(void)nanosleep(&pause, NULL); /* woken early: looks early */
		code = replica_data_version(replica, version, err);
	}
	return code;
}

static int show(struct changes *changes, struct qosid_errbuf *err)
{
	struct replica *replica = space_replica(changes->cli->space);
	int64_t version;
	int code;

	code = replica_data_version(replica, &version, err);
	while (code == 0) {
		int64_t left = changes->limit == 0 ? 0 : changes->limit - changes->shown;

		code = replica_visit_changes(replica, changes->since, left, print_change, changes, err);
		if (code == 0)
			code = output_finish(err);
		if (!changes->follow || (changes->limit != 0 && changes->shown >= changes->limit))
			break;
		if (code == 0)
			code = wait_for_change(replica, &version, err);
	}
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"since", required_argument, NULL, OPTION_SINCE},
	    {"limit", required_argument, NULL, OPTION_LIMIT}, {"follow", no_argument, NULL, 'f'}, OPTIONS_COMMON};
	struct changes changes = {.cli = cli};
	int opt, code = 0;

	while (code == 0 && (opt = options_next(cli, argc, argv, "f", table, err)) != 0) {
		if (opt == OPTION_SINCE)
			code = options_number(&changes.since, "--since", optarg, INT64_MAX, err);
		else if (opt == OPTION_LIMIT)
			code = options_number(&changes.limit, "--limit", optarg, INT64_MAX, err);
		else if (opt == 'f')
			changes.follow = true;
		else
			code = opt;
	}
	if (code == 0)
		code = options_arguments(cli, argc, argv, 0, 0, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	return code == 0 ? show(&changes, err) : code;
}

const struct command cmd_changes = {
    .name = "changes",
    .group = "Work with records",
    .synopsis = "[--since N] [--limit N] [-f]",
    .summary = "list what has changed, in the order in which it changed here",
    .help = "Each document is listed once, at its latest change. Sequence numbers are this replica's own.\n\n"
	    "  --since N               only changes after sequence N\n"
	    "  --limit N               at most N\n"
	    "  -f, --follow            go on as further changes come, until interrupted\n\n"
	    "With --json, one object a change, as CouchDB's feed has them:\n"
	    "{\"seq\",\"id\",\"changes\":[{\"rev\"}]}, and \"deleted\":true for a deleted document.\n\n"
	    "Example:\n"
	    "  qosid changes --since 1200 -f\n",
    .run = run,
};
