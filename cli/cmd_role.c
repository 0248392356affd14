/*
 * qosid role, remove, rotate, threshold, endorse, office revoke: what a steward does to the roster. Each says in words
 * what it did, what it waits for, and what it cannot do.
 */
#include <string.h>

#include "cli/enrol.h"
#include "cli/options.h"

static int begin(struct cli *cli, int argc, char **argv, int least, int most, struct qosid_errbuf *err)
{
	static const struct option table[] = {OPTIONS_COMMON};
	int code = options_next(cli, argc, argv, "", table, err);

	if (code == 0)
		code = options_arguments(cli, argc, argv, least, most, err);
	return code != 0 ? code : cli_open_space(cli, err);
}

/* With --json the outcome as an object; otherwise the sentence when it has taken effect, or what it waits for. */
static int report(
    const struct cli *cli, const struct space_outcome *outcome, const char *sentence, struct qosid_errbuf *err)
{
	struct output_object object;
	char digest[DIGEST_TEXT_SIZE];

	if (cli->json) {
		digest_format(digest, outcome->operation);
		output_begin(&object);
		output_add_text(&object, "operation", digest);
		output_add_bool(&object, "waits", outcome->waits);
		if (outcome->epoch > 0)
			output_add_number(&object, "epoch", outcome->epoch);
		return output_end(&object, err);
	}
	if (!outcome->waits && !cli->quiet)
		(void)printf("%s\n", sentence);
	return enrol_report_wait(cli, outcome, err);
}

static int parse_roles(unsigned *out, const char *text, struct qosid_errbuf *err)
{
	if (roster_parse_roles(out, text, err) == 0)
		return 0;
	if (err != NULL)
		err->code = QOSID_ERR_USAGE;
	qosid_error_hint(err, "roles are writer, reader, auditor, witness, steward, joined by commas");
	return QOSID_ERR_USAGE;
}

static int run_role(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	enum { OPTION_FROM_NOW = OPTION_OWN };
	static const struct option table[] = {{"from-now", no_argument, NULL, OPTION_FROM_NOW}, OPTIONS_COMMON};
	struct space_outcome outcome;
	char sentence[320];
	bool from_now = false;
	unsigned roles = 0;
	int code;

	while ((code = options_next(cli, argc, argv, "", table, err)) > 0)
		from_now = true;
	if (code == 0)
		code = options_arguments(cli, argc, argv, 2, 2, err);
	if (code == 0)
		code = parse_roles(&roles, argv[optind + 1], err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code == 0)
		code = space_set_roles(cli->space, argv[optind], roles, from_now, &outcome, err);
	if (code != 0)
		return code;
	(void)snprintf(sentence, sizeof(sentence), "%.63s is now %.60s. The next qosid sync tells the others.%s",
	    argv[optind], argv[optind + 1],
	    outcome.epoch > 0 && !roster_is_entitled(roles) ? " What it has received already, it can still read." : "");
	return report(cli, &outcome, sentence, err);
}

const struct command cmd_role = {
    .name = "role",
    .group = "Start a space, and let others in",
    .synopsis = "OFFICE ROLES [--from-now]",
    .summary = "change what an office may do (steward only)",
    .help = "ROLES replace those it has: writer publishes, reader and auditor read, an auditor never publishes,\n"
	    "a witness verifies without reading, a steward changes the roster. Who loses the right to read\n"
	    "costs a new epoch: it cannot read what is published from then on. With a threshold above one,\n"
	    "other stewards must endorse it.\n\n"
	    "  --from-now              who gains the right to read, gains it from now on only\n\n"
	    "With --json: {\"operation\",\"waits\",\"epoch\"?}.\n\n"
	    "Example:\n"
	    "  qosid role khujand steward,writer,reader\n",
    .run = run_role,
};

static int run_remove(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct space_outcome outcome;
	char sentence[640];
	int code = begin(cli, argc, argv, 1, 1, err);

	if (code == 0)
		code = space_remove(cli->space, argv[optind], &outcome, err);
	if (code != 0)
		return code;
	(void)snprintf(sentence, sizeof(sentence),
	    "Removed %.63s. The next qosid sync tells the others; they then publish under a new key that it does not "
	    "have.\n"
	    "What it has received already it keeps and can read, and so can whoever has its keys; copies cannot be "
	    "called\n"
	    "back. What it wrote before it knows of this still counts, and is listed by qosid status as late. To "
	    "quarantine\n"
	    "that too: qosid office revoke %.63s --since NUMBER",
	    argv[optind], argv[optind]);
	return report(cli, &outcome, sentence, err);
}

const struct command cmd_remove = {
    .name = "remove",
    .group = "Start a space, and let others in",
    .synopsis = "OFFICE",
    .summary = "remove an office from the space (steward only)",
    .help = "Starts a new epoch, whose key the office does not get. What it has received already it keeps and\n"
	    "can read: copies cannot be called back. What it published before it could know stays valid.\n"
	    "Its name and keys are never given to another.\n\n"
	    "With --json: {\"operation\",\"waits\",\"epoch\"?}.\n\n"
	    "Example:\n"
	    "  qosid remove khorog\n",
    .run = run_remove,
};

static int run_rotate(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct space_outcome outcome;
	char sentence[160];
	int code = begin(cli, argc, argv, 0, 0, err);

	if (code == 0)
		code = space_rotate(cli->space, &outcome, err);
	if (code != 0)
		return code;
	(void)snprintf(sentence, sizeof(sentence),
	    "Started epoch %lld. The next qosid sync tells the others; what was published before stays under the old "
	    "keys.",
	    (long long)outcome.epoch);
	return report(cli, &outcome, sentence, err);
}

const struct command cmd_rotate = {
    .name = "rotate",
    .group = "Start a space, and let others in",
    .synopsis = "",
    .summary = "start a new epoch: a new key for what is published from now on (steward only)",
    .help = "For when a key may have become known, or stewards who acted at once have left somebody with a key\n"
	    "or without one (qosid members says so). What was published before stays readable with the old\n"
	    "keys.\n\n"
	    "With --json: {\"operation\",\"waits\",\"epoch\"}.\n\n"
	    "Example:\n"
	    "  qosid rotate\n",
    .run = run_rotate,
};

static int run_threshold(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct space_outcome outcome;
	char sentence[160];
	int64_t threshold = 0;
	int code = begin(cli, argc, argv, 1, 1, err);

	if (code == 0)
		code = options_number(&threshold, "threshold", argv[optind], LIMIT_STEWARDS, err);
	if (code == 0 && threshold < 1)
		code = options_wrong(cli, err, "at least one steward must agree");
	if (code == 0)
		code = space_set_threshold(cli->space, threshold, &outcome, err);
	if (code != 0)
		return code;
	(void)snprintf(sentence, sizeof(sentence), "From now on %lld of %zu stewards must agree.", (long long)threshold,
	    roster_steward_count(space_roster(cli->space), -1));
	return report(cli, &outcome, sentence, err);
}

const struct command cmd_threshold = {
    .name = "threshold",
    .group = "Start a space, and let others in",
    .synopsis = "NUMBER",
    .summary = "set how many stewards must agree to an operation (steward only)",
    .help = "With 1, the default, each steward acts alone. With more, an operation takes effect when as many\n"
	    "stewards, its author among them, have endorsed it.\n\n"
	    "With --json: {\"operation\",\"waits\"}.\n\n"
	    "Example:\n"
	    "  qosid threshold 2\n",
    .run = run_threshold,
};

static int run_endorse(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct space_outcome outcome;
	int code = begin(cli, argc, argv, 1, 1, err);

	if (code == 0)
		code = space_endorse(cli->space, argv[optind], &outcome, err);
	return code != 0
		   ? code
		   : report(cli, &outcome, "Endorsed: it takes effect. The next qosid sync tells the others.", err);
}

const struct command cmd_endorse = {
    .name = "endorse",
    .group = "Start a space, and let others in",
    .synopsis = "OPERATION",
    .summary = "endorse another steward's operation (steward only)",
    .help = "OPERATION is what qosid members --pending lists, or its first 8 digits or more.\n\n"
	    "With --json: {\"operation\",\"waits\"}.\n\n"
	    "Example:\n"
	    "  qosid endorse 3fa0c2d19b44e817\n",
    .run = run_endorse,
};

static int run_office(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	enum { OPTION_SINCE = OPTION_OWN };
	static const struct option table[] = {{"since", required_argument, NULL, OPTION_SINCE}, OPTIONS_COMMON};
	struct space_outcome outcome;
	const char *number = NULL;
	char sentence[640];
	int64_t since = 0;
	int code;

	while ((code = options_next(cli, argc, argv, "", table, err)) > 0)
		number = optarg;
	if (code == 0)
		code = options_arguments(cli, argc, argv, 2, 2, err);
	if (code == 0 && strcmp(argv[optind], "revoke") != 0)
		code = options_wrong(cli, err, "office knows revoke, not %s", argv[optind]);
	if (code == 0 && number == NULL)
		code = options_wrong(cli, err, "--since with the number of the first change set to revoke is missing");
	if (code == 0)
		code = options_number(&since, "--since", number, INT64_MAX, err);
	if (code == 0 && since < 1)
		code = options_wrong(cli, err, "change sets are numbered from 1");
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code == 0)
		code = space_revoke(cli->space, argv[optind + 1], since, &outcome, err);
	if (code != 0)
		return code;
	(void)snprintf(sentence, sizeof(sentence),
	    "Revoked what %.63s published from change set %lld on. It is kept, and not applied where it arrives after "
	    "this;\n"
	    "where it has been applied already, qosid status says so, and people must review it. Its keys still read "
	    "what\n"
	    "was sealed to them: give the office new ones (qosid keys roll, qosid keys accept), then qosid rotate",
	    argv[optind + 1], (long long)since);
	return report(cli, &outcome, sentence, err);
}

const struct command cmd_office = {
    .name = "office",
    .group = "Start a space, and let others in",
    .synopsis = "revoke OFFICE --since NUMBER",
    .summary = "quarantine what an office published from a change set on (steward only)",
    .help = "For a lost or stolen computer. Change sets from NUMBER on that were made without knowing of this are\n"
	    "kept and not applied; qosid status lists them. Once the office has new keys, what it publishes with\n"
	    "them is valid again.\n\n"
	    "  --since NUMBER          the first change set that is not to be trusted (qosid log OFFICE)\n\n"
	    "With --json: {\"operation\",\"waits\"}.\n\n"
	    "Example:\n"
	    "  qosid office revoke khorog --since 118\n",
    .run = run_office,
};
