/*
 * qosid init: make a new space, with this office as its first member and steward.
 */
#include <string.h>

#include "cli/enrol.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/passphrase.h"

enum { OPTION_PASSPHRASE = OPTION_OWN };

static int report(struct cli *cli, bool wrapped, struct qosid_errbuf *err)
{
	struct output_object object;
	struct enrol_public keys = {0};
	int code;

	code = enrol_read_public(cli->space, &keys, err);
	if (code != 0)
		goto out;
	if (cli->json) {
		output_begin(&object);
		output_add_text(&object, "office", space_office(cli->space));
		output_add_text(&object, "space", space_id(cli->space));
		output_add_text(&object, "dir", space_dir(cli->space));
		enrol_add_public(&object, &keys);
		code = output_end(&object, err);
	} else if (!cli->quiet) {
		(void)printf("Made the space %s in %s.\nThis office is %s, its steward. Its fingerprint:\n    %s\n",
		    space_id(cli->space), space_dir(cli->space), space_office(cli->space), keys.words.data);
	}
	if (!wrapped)
		enrol_warn_clear(cli);
out:
	enrol_free_public(&keys);
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"passphrase", no_argument, NULL, OPTION_PASSPHRASE}, OPTIONS_COMMON};
	struct qosid_buf passphrase = {0};
	bool prompt = false;
	const char *dir;
	int opt, code;

	while ((opt = options_next(cli, argc, argv, "", table, err)) > 0) {
		if (opt == OPTION_PASSPHRASE)
			prompt = true;
	}
	code = opt < 0 ? opt : options_arguments(cli, argc, argv, 1, 2, err);
	if (code == 0)
		code = slug_check(argv[optind], err);
	if (code != 0)
		return code;
	dir = optind + 1 < argc ? argv[optind + 1] : ".";
	code = passphrase_choose(cli, prompt, &passphrase, err);
	if (code == 0)
		code = space_create(dir, argv[optind], (const char *)passphrase.data, err);
	if (code == 0)
		code = space_open(&cli->space, dir, false, &(struct space_unlock){passphrase_ask, cli}, err);
	if (code == 0)
		code = report(cli, passphrase.len > 0, err);
	qosid_buf_wipe(&passphrase);
	return code;
}

const struct command cmd_init = {
    .name = "init",
    .group = "Start a space, and let others in",
    .synopsis = "OFFICE [DIR]",
    .summary = "make a new space, with this office as its first member and steward",
    .help = "OFFICE is the office's name: small letters, digits and hyphens, at most 63. DIR is a new or\n"
	    "empty folder; without it, the current one. It will hold the records, the history and the\n"
	    "office's keys.\n\n"
	    "  --passphrase            ask for a passphrase that protects the keys\n\n"
	    "With --json: {\"office\",\"space\",\"dir\",\"signing\",\"encryption\",\"fingerprint\"}.\n\n"
	    "Example:\n"
	    "  qosid init dushanbe /srv/records\n",
    .run = run,
};
