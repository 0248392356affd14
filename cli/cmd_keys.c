/*
 * qosid keys: what an auditor with stock tools needs: the list of signers, and the key of an epoch.
 */
#include <string.h>

#include "cli/enrol.h"
#include "cli/file.h"
#include "cli/options.h"

static int write_signers(struct cli *cli, const char *path, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int code;

	code = space_format_allowed_signers(cli->space, &text, err);
	if (code == 0)
		code = enrol_write_text(path, &text, err);
	qosid_buf_free(&text);
	return code;
}

/* The epoch that is asked for, or the newest. */
static int choose_epoch(struct cli *cli, const char *number, int64_t *out, struct qosid_errbuf *err)
{
	const struct roster *roster = space_roster(cli->space);
	size_t count = roster_state_count(roster) > 0 ? roster_epoch_count(roster, -1) : 0;
	int code;

	if (count == 0) {
		code = qosid_error(err, QOSID_ERR_NOTFOUND, "the roster of this space has not arrived yet");
		qosid_error_hint(err, "qosid sync");
		return code;
	}
	*out = roster_epoch_at(roster, -1, count - 1)->number;
	if (number == NULL)
		return 0;
	code = options_number(out, "keys epoch", number, INT32_MAX, err);
	if (code != 0)
		return code;
	for (size_t i = 0; i < count; i++) {
		if (roster_epoch_at(roster, -1, i)->number == *out)
			return 0;
	}
	return qosid_error(err, QOSID_ERR_NOTFOUND, "there is no epoch %lld in this space", (long long)*out);
}

static int write_epoch(struct cli *cli, const char *number, const char *path, struct qosid_errbuf *err)
{
	struct qosid_buf secret = {0};
	int64_t epoch = 0;
	int code;

	code = choose_epoch(cli, number, &epoch, err);
	if (code != 0)
		return code;
	code = qosid_buf_reserve(&secret, 4096, err); /* so that it never moves and leaves a copy behind */
	if (code == 0)
		code = space_export_epoch_key(cli->space, epoch, &secret, err);
	if (code == 0)
		code = file_write_secret(path, secret.data, secret.len, err);
	if (code == 0 && !cli->quiet)
		(void)fprintf(stderr,
		    "warning: %s now holds the key of epoch %lld: who has it can read all records published in that "
		    "epoch\n",
		    path, (long long)epoch);
	qosid_buf_wipe(&secret);
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"output", required_argument, NULL, 'o'}, OPTIONS_COMMON};
	const char *action, *path = NULL;
	int opt, code, given;
	bool epoch;

	while ((opt = options_next(cli, argc, argv, "o:", table, err)) > 0)
		path = optarg;
	code = opt < 0 ? opt : options_arguments(cli, argc, argv, 1, 2, err);
	if (code != 0)
		return code;
	given = argc - optind;
	action = argv[optind];
	epoch = strcmp(action, "epoch") == 0;
	if (!epoch && strcmp(action, "allowed-signers") != 0)
		return options_wrong(cli, err, "keys knows allowed-signers and epoch, not %s", action);
	if (!epoch && given > 1)
		return options_wrong(cli, err, "unexpected argument %s", argv[optind + 1]);
	if (epoch && (path == NULL || strcmp(path, "-") == 0))
		return options_wrong(cli, err, "keys epoch needs -o with a new file for the secret");
	code = cli_open_space(cli, err);
	if (code != 0)
		return code;
	if (epoch)
		return write_epoch(cli, given > 1 ? argv[optind + 1] : NULL, path, err);
	return write_signers(cli, path, err);
}

const struct command cmd_keys = {
    .name = "keys",
    .group = "Prove what happened",
    .synopsis = "allowed-signers [-o FILE] | epoch [N] -o FILE",
    .summary = "export what stock tools need to verify and read the history",
    .help = "  allowed-signers         the offices' signing keys, as git verify-commit and ssh-keygen -Y take them\n"
	    "  epoch [N]               the key of epoch N (the newest), as age -d -i takes it; a secret\n"
	    "  -o, --output FILE       write to FILE; for an epoch a new one of mode 0600\n\n"
	    "Example:\n"
	    "  qosid keys allowed-signers -o signers\n"
	    "  git -C log.git -c gpg.ssh.allowedSignersFile=$PWD/signers verify-commit office/khujand\n"
	    "  qosid keys epoch 1 -o epoch.key\n"
	    "  git -C log.git show office/khujand:changes.age | age -d -i epoch.key | zstd -d | jq .\n",
    .run = run,
};
