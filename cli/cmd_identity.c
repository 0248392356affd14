/*
 * qosid identity: show this office's public keys; write its secret ones into a file for stock tools.
 */
#include <string.h>

#include "cli/enrol.h"
#include "cli/file.h"
#include "cli/options.h"

enum { OPTION_AGE = OPTION_OWN, OPTION_SSH };

static int show(struct cli *cli, struct qosid_errbuf *err)
{
	struct enrol_public keys = {0};
	struct output_object object;
	int code;

	code = enrol_read_public(cli->space, &keys, err);
	if (code == 0 && cli->json) {
		output_begin(&object);
		output_add_text(&object, "office", space_office(cli->space));
		output_add_text(&object, "space", space_id(cli->space));
		enrol_add_public(&object, &keys);
		code = output_end(&object, err);
	} else if (code == 0) {
		(void)printf("office       %s\nspace        %s\nsigning      %s\nencryption   %s\nfingerprint  %s\n",
		    space_office(cli->space), space_id(cli->space), keys.ssh.data, keys.recipient.data,
		    keys.words.data);
	}
	enrol_free_public(&keys);
	return code;
}

static int format_age(const struct identity *identity, struct qosid_buf *secret, struct qosid_errbuf *err)
{
	int code;

	code = qosid_buf_append_format(secret, err, "# public key: %s\n", identity_recipient(identity));
	if (code == 0)
		code = age_key_format_secret(identity_age_key(identity), secret, err);
	if (code == 0)
		code = qosid_buf_append_byte(secret, '\n', err);
	return code;
}

static int export_secret(struct cli *cli, int form, const char *path, struct qosid_errbuf *err)
{
	const struct identity *identity;
	struct qosid_buf secret = {0};
	int code;

	code = space_identity(cli->space, &identity, err);
	if (code == 0)
		code = qosid_buf_reserve(&secret, 4096, err); /* so that it never moves and leaves a copy behind */
	if (code == 0)
		code = form == OPTION_AGE ? format_age(identity, &secret, err)
					  : identity_format_openssh(identity, &secret, err);
	if (code == 0)
		code = file_write_secret(path, secret.data, secret.len, err);
	if (code == 0 && !cli->quiet)
		(void)fprintf(stderr,
		    "warning: %s now holds a secret key without a passphrase: %s\n"
		    "hint: keep it off shared disks and mail, and delete it when it has served\n",
		    path,
		    form == OPTION_AGE ? "who has it can read what is encrypted to this office"
				       : "who has it can sign as this office");
	qosid_buf_wipe(&secret);
	return code;
}

/* The request again, for a joiner whose first one was lost. */
static int write_request(struct cli *cli, const char *path, struct qosid_errbuf *err)
{
	const struct identity *identity;
	struct qosid_buf request = {0};
	int code;

	code = space_identity(cli->space, &identity, err);
	if (code == 0)
		code = request_format(&request, space_id(cli->space), space_office(cli->space), identity, err);
	if (code == 0)
		code = enrol_write_text(path, &request, err);
	qosid_buf_free(&request);
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"age", no_argument, NULL, OPTION_AGE},
	    {"ssh", no_argument, NULL, OPTION_SSH}, {"output", required_argument, NULL, 'o'}, OPTIONS_COMMON};
	const char *action, *path = NULL;
	int opt, code, form = 0;

	while ((opt = options_next(cli, argc, argv, "o:", table, err)) > 0) {
		if (opt == 'o')
			path = optarg;
		else if (form != 0 && form != opt)
			return options_wrong(cli, err, "--age and --ssh exclude each other");
		else
			form = opt;
	}
	code = opt < 0 ? opt : options_arguments(cli, argc, argv, 0, 1, err);
	if (code != 0)
		return code;
	action = optind < argc ? argv[optind] : "show";
	if (strcmp(action, "export") == 0 && (form == 0 || path == NULL || strcmp(path, "-") == 0))
		return options_wrong(cli, err, "identity export needs --age or --ssh, and -o with a new file");
	if (strcmp(action, "export") != 0 && form != 0)
		return options_wrong(cli, err, "--age and --ssh belong to identity export");
	if (strcmp(action, "show") != 0 && strcmp(action, "export") != 0 && strcmp(action, "request") != 0)
		return options_wrong(cli, err, "identity knows show, export and request, not %s", action);
	code = cli_open_space(cli, err);
	if (code != 0)
		return code;
	if (strcmp(action, "export") == 0)
		return export_secret(cli, form, path, err);
	if (strcmp(action, "request") == 0)
		return write_request(cli, path, err);
	return show(cli, err);
}

const struct command cmd_identity = {
    .name = "identity",
    .group = "Start a space, and let others in",
    .synopsis = "[show | export --age|--ssh -o FILE | request [-o FILE]]",
    .summary = "show this office's public keys, or write its secret ones to a file",
    .help = "  show                    the public keys, and their fingerprint as twelve words (the default)\n"
	    "  export --age -o FILE    write the decryption key, as `age -d -i FILE` takes it\n"
	    "  export --ssh -o FILE    write the signing key, as `ssh-keygen -Y sign -f FILE` takes it\n"
	    "  request [-o FILE]       print this office's request to be admitted once more\n\n"
	    "export writes a new file with mode 0600 that no passphrase protects.\n"
	    "With --json, show prints {\"office\",\"space\",\"signing\",\"encryption\",\"fingerprint\"}.\n\n"
	    "Example:\n"
	    "  qosid identity export --age -o /root/dushanbe.key\n",
    .run = run,
};
