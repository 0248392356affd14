/*
 * qosid invite: print the invitation that an office needs to ask for admission.
 */
#include "cli/enrol.h"
#include "cli/options.h"

enum { OPTION_REMOTE = OPTION_OWN };

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"remote", required_argument, NULL, OPTION_REMOTE},
	    {"output", required_argument, NULL, 'o'}, OPTIONS_COMMON};
	const char *remote = NULL, *path = NULL;
	struct roster_invitation invitation;
	struct qosid_buf text = {0};
	int opt, code;

	while ((opt = options_next(cli, argc, argv, "o:", table, err)) > 0) {
		if (opt == 'o')
			path = optarg;
		else
			remote = optarg;
	}
	code = opt < 0 ? opt : options_arguments(cli, argc, argv, 0, 0, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code == 0)
		code = space_invite(cli->space, &invitation, err);
	if (code == 0 && remote != NULL)
		code = enrol_place_remote(cli, remote, &invitation, err);
	if (code != 0)
		return code;
	code = invitation_format(&text, &invitation, err);
	if (code == 0)
		code = enrol_write_text(path, &text, err);
	qosid_buf_free(&text);
	if (code == 0 && !cli->quiet)
		(void)fprintf(stderr,
		    "Give the invitation to the office that joins: qosid join FILE --office NAME DIR. It is no secret, "
		    "but must arrive as it is.\n");
	return code;
}

const struct command cmd_invite = {
    .name = "invite",
    .group = "Start a space, and let others in",
    .synopsis = "[--remote URL] [-o FILE]",
    .summary = "print an invitation for an office that shall join",
    .help =
	"The invitation names the space, its steward, the first commit of its roster, which the joiner\n"
	"pins, and the remote where they meet. It is one line of JSON and no secret.\n\n"
	"  --remote URL            name this remote in it, instead of this office's first one: a URL, or a folder,\n"
	"                          with its full path when it is not there now\n"
	"  -o, --output FILE       write it to FILE\n\n"
	"Example:\n"
	"  qosid invite --remote /mnt/stick/records.git -o /mnt/stick/invitation.json\n",
    .run = run,
};
