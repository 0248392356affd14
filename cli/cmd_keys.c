/*
 * qosid keys: what an auditor with stock tools needs: the list of signers, and the key of an epoch.
 */
#include <string.h>

#include "cli/enrol.h"
#include "cli/file.h"
#include "cli/options.h"
#include "cli/passphrase.h"

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
	int64_t count = roster_epoch_count(roster, -1);
	int code;

	if (count == 0) {
		code = qosid_error(err, QOSID_ERR_NOTFOUND, "the roster of this space has not arrived yet");
		qosid_error_hint(err, "qosid sync");
		return code;
	}
	*out = count;
	if (number == NULL)
		return 0;
	code = options_number(out, "keys epoch", number, INT32_MAX, err);
	if (code == 0 && *out > count)
		code = qosid_error(err, QOSID_ERR_NOTFOUND, "there is no epoch %lld in this space", (long long)*out);
	return code;
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

/* Make new keys, and the request for the stewards; a steward's own take effect at once. */
static int roll(struct cli *cli, bool prompt, const char *path, struct qosid_errbuf *err)
{
	struct qosid_buf passphrase = {0}, request = {0}, proof = {0};
	const struct roster_member *me = roster_find_member(space_roster(cli->space), -1, space_office(cli->space));
	struct roster_member member;
	struct space_outcome outcome;
	int code = passphrase_choose(cli, prompt, &passphrase, err);

	if (code == 0)
		code = space_roll_keys(cli->space, (const char *)passphrase.data, &request, err);
	if (code != 0)
		goto out;
	if (me != NULL && (me->roles & ROLE_STEWARD) != 0) {
		code = roll_parse(&member, &proof, space_id(cli->space), (const char *)request.data, request.len, err);
		if (code == 0)
			code = space_replace_keys(cli->space, &member, (const char *)proof.data, &outcome, err);
		if (code == 0 && !cli->quiet)
			(void)printf("This office has new keys. The next qosid sync tells the others.\n");
	} else {
		code = enrol_write_text(path, &request, err);
		if (code == 0 && !cli->quiet)
			(void)fprintf(stderr, "Send the request to a steward (qosid keys accept FILE). Until they have "
					      "accepted it and this office has synced, the old keys stay in use.\n");
	}
out:
	qosid_buf_wipe(&passphrase);
	qosid_buf_free(&request);
	qosid_buf_free(&proof);
	return code;
}

static int accept(struct cli *cli, const char *given, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0}, proof = {0};
	struct roster_member member;
	struct space_outcome outcome;
	int code = enrol_read_text(given, &text, err);

	if (code == 0)
		code = roll_parse(&member, &proof, space_id(cli->space), (const char *)text.data, text.len, err);
	if (code == 0)
		code = space_replace_keys(cli->space, &member, (const char *)proof.data, &outcome, err);
	if (code == 0 && !outcome.waits && !cli->quiet)
		(void)printf("%s has new keys. The next qosid sync tells the others.\n", member.office);
	if (code == 0)
		code = enrol_report_wait(cli, &outcome, err);
	qosid_buf_free(&text);
	qosid_buf_free(&proof);
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	enum { OPTION_PASSPHRASE = OPTION_OWN };
	static const struct option table[] = {{"output", required_argument, NULL, 'o'},
	    {"passphrase", no_argument, NULL, OPTION_PASSPHRASE}, OPTIONS_COMMON};
	const char *action, *path = NULL;
	bool epoch, accepts, rolls, prompt = false;
	int opt, code, given;

	while ((opt = options_next(cli, argc, argv, "o:", table, err)) > 0) {
		if (opt == 'o')
			path = optarg;
		else
			prompt = true;
	}
	code = opt < 0 ? opt : options_arguments(cli, argc, argv, 1, 2, err);
	if (code != 0)
		return code;
	given = argc - optind;
	action = argv[optind];
	epoch = strcmp(action, "epoch") == 0;
	accepts = strcmp(action, "accept") == 0;
	rolls = strcmp(action, "roll") == 0;
	if (!epoch && !accepts && !rolls && strcmp(action, "allowed-signers") != 0)
		return options_wrong(cli, err, "keys knows allowed-signers, epoch, roll and accept, not %s", action);
	if (accepts && given < 2)
		return options_wrong(cli, err, "keys accept needs the request that qosid keys roll has made");
	if (!epoch && !accepts && given > 1)
		return options_wrong(cli, err, "unexpected argument %s", argv[optind + 1]);
	if (epoch && (path == NULL || strcmp(path, "-") == 0))
		return options_wrong(cli, err, "keys epoch needs -o with a new file for the secret");
	code = cli_open_space(cli, err);
	if (code != 0)
		return code;
	if (rolls)
		return roll(cli, prompt, path, err);
	if (accepts)
		return accept(cli, argv[optind + 1], err);
	if (epoch)
		return write_epoch(cli, given > 1 ? argv[optind + 1] : NULL, path, err);
	return write_signers(cli, path, err);
}

const struct command cmd_keys = {
    .name = "keys",
    .group = "Prove what happened",
    .synopsis = "allowed-signers [-o FILE] | epoch [N] -o FILE | roll [-o FILE] | accept REQUEST",
    .summary = "export what stock tools need to verify and read, and change this office's keys",
    .help = "  allowed-signers         the offices' signing keys, as git verify-commit and ssh-keygen -Y take them\n"
	    "  epoch [N]               the key of epoch N (the newest), as age -d -i takes it; a secret\n"
	    "  roll                    make new keys for this office, and the request for the stewards; the old\n"
	    "                          ones stay in use until the roster names the new ones\n"
	    "  accept REQUEST          put an office's new keys into the roster (steward only)\n"
	    "  --passphrase            ask for a passphrase that protects the new keys\n"
	    "  -o, --output FILE       write to FILE; for an epoch a new one of mode 0600\n\n"
	    "Example:\n"
	    "  qosid keys allowed-signers -o signers\n"
	    "  git -C log.git -c gpg.ssh.allowedSignersFile=$PWD/signers verify-commit office/khujand\n"
	    "  qosid keys epoch 1 -o epoch.key\n"
	    "  git -C log.git show office/khujand:changes.age | age -d -i epoch.key | zstd -d | jq .\n",
    .run = run,
};
