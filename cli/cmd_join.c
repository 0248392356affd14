/*
 * qosid join: prepare to join a space by its invitation; prints the request that the steward must admit.
 */
#include "cli/enrol.h"
#include "cli/options.h"
#include "cli/passphrase.h"

enum { OPTION_OFFICE = OPTION_OWN, OPTION_REMOTE, OPTION_PASSPHRASE };

struct join {
	const char *office, *remote, *path;
	bool prompt;
};

static int read_options(struct cli *cli, int argc, char **argv, struct join *join, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"office", required_argument, NULL, OPTION_OFFICE},
	    {"remote", required_argument, NULL, OPTION_REMOTE}, {"passphrase", no_argument, NULL, OPTION_PASSPHRASE},
	    {"output", required_argument, NULL, 'o'}, OPTIONS_COMMON};
	int opt;

	while ((opt = options_next(cli, argc, argv, "o:", table, err)) > 0) {
		switch (opt) {
		case OPTION_OFFICE:
			join->office = optarg;
			break;
		case OPTION_REMOTE:
			join->remote = optarg;
			break;
		case OPTION_PASSPHRASE:
			join->prompt = true;
			break;
		default:
			join->path = optarg;
		}
	}
	if (opt < 0)
		return opt;
	if (join->office == NULL)
		return options_wrong(cli, err, "--office with this office's name is missing");
	return options_arguments(cli, argc, argv, 1, 2, err);
}

/* Words for the phone go to stderr, because stdout may be the request. */
static int tell(struct cli *cli, bool wrapped, const char *request_path, struct qosid_errbuf *err)
{
	struct enrol_public keys = {0};
	int code;

	if (cli->quiet)
		return 0;
	code = enrol_read_public(cli->space, &keys, err);
	if (code == 0) {
		(void)fprintf(stderr,
		    "Prepared %s to join the space %s.\n"
		    "Send the request%s%s to the steward (qosid admit FILE), and read these words to them over the "
		    "phone:\n    %s\nWhen they have admitted this office: qosid sync\n",
		    space_office(cli->space), space_id(cli->space), request_path != NULL ? " in " : "",
		    request_path != NULL ? request_path : "", keys.words.data);
		if (!wrapped)
			enrol_warn_clear(cli);
	}
	enrol_free_public(&keys);
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0}, request = {0}, passphrase = {0};
	struct roster_invitation invitation;
	struct join join = {0};
	const char *dir;
	int code;

	code = read_options(cli, argc, argv, &join, err);
	if (code == 0)
		code = slug_check(join.office, err);
	if (code == 0)
		code = enrol_read_text(argv[optind], &text, err);
	if (code == 0) {
		code = invitation_parse(&invitation, (const char *)text.data, text.len, err);
		if (code != 0)
			qosid_error_hint(err, "ask the steward for the output of qosid invite, unchanged");
	}
	if (code == 0 && join.remote != NULL)
		code = enrol_place_remote(cli, join.remote, &invitation, err);
	if (code != 0)
		goto out;
	dir = optind + 1 < argc ? argv[optind + 1] : ".";
	code = passphrase_choose(cli, join.prompt, &passphrase, err);
	if (code == 0)
		code = space_join(dir, join.office, &invitation, (const char *)passphrase.data, &request, err);
	if (code == 0)
		code = enrol_write_text(join.path, &request, err);
	if (code == 0)
		code = space_open(&cli->space, dir, false, &(struct space_unlock){passphrase_ask, cli}, err);
	if (code == 0)
		code = tell(cli, passphrase.len > 0, join.path, err);
out:
	qosid_buf_wipe(&passphrase);
	qosid_buf_free(&request);
	qosid_buf_free(&text);
	return code;
}

const struct command cmd_join = {
    .name = "join",
    .group = "Start a space, and let others in",
    .synopsis = "INVITATION --office NAME [DIR] [-o FILE]",
    .summary = "prepare to join a space, and print the request for its steward",
    .help = "INVITATION is the file that the steward made with qosid invite, - for standard input, or its\n"
	    "text. DIR is a new or empty folder; without it, the current one. The request is one line of\n"
	    "JSON with this office's public keys, signed by them; it is no secret.\n\n"
	    "  --office NAME           this office's name: small letters, digits and hyphens\n"
	    "  --remote URL            where the remote is for this office, when not as the invitation says: a URL,\n"
	    "                          or a folder, with its full path when it is not there now\n"
	    "  --passphrase            ask for a passphrase that protects the keys\n"
	    "  -o, --output FILE       write the request to FILE\n\n"
	    "Example:\n"
	    "  qosid join /mnt/stick/invitation.json --office khujand -o /mnt/stick/khujand.json /srv/records\n",
    .run = run,
};
