/*
 * qosid remote: the places where this space meets others.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/hostkey.h"
#include "cli/options.h"
#include "cli/output.h"

#define SECONDS_MAX (31L * 86400)
#define RATE_MAX ((int64_t)1 << 40)

enum {
	OPTION_CREATE = OPTION_OWN,
	OPTION_FINGERPRINT,
	OPTION_HELPER,
	OPTION_PROXY,
	OPTION_IDLE,
	OPTION_TOTAL,
	OPTION_RATE_UP,
	OPTION_RATE_DOWN,
	OPTION_FILES,
	OPTION_FILE /* and following, see files */
};

/* Options that name a file: what they set, and for which scheme. */
static const struct {
	const char *option;
	enum link_scheme scheme;
	size_t offset;
} files[] = {
    {"ssh-key", LINK_SSH, offsetof(struct link_target, ssh_key)},
    {"ca", LINK_HTTPS, offsetof(struct link_target, ca_file)},
    {"client-cert", LINK_HTTPS, offsetof(struct link_target, client_cert)},
    {"client-key", LINK_HTTPS, offsetof(struct link_target, client_key)},
    {"token-file", LINK_HTTPS, offsetof(struct link_target, token_file)},
};

enum { FILES = sizeof(files) / sizeof(files[0]) };

struct remote {
	struct cli *cli;
	struct space_remote settings;
	char *paths[FILES]; /* full, of the files */
	bool create, given; /* given: some option that only remote add has */
	const char *fingerprint;

	/* Of a test: lines that were printed before it began again, and whether it has. */
	size_t printed, skip;
	bool confirmed;
};

static const char **file_of(struct remote *remote, size_t i)
{
	return (const char **)(void *)((char *)&remote->settings.target + files[i].offset);
}

/* ---- options ---- */

static int take_number(struct remote *remote, int option, struct qosid_errbuf *err)
{
	struct link_limits *limits = &remote->settings.limits;
	bool seconds = option == OPTION_IDLE || option == OPTION_TOTAL;
	int64_t value;
	int code = options_number(&value,
	    option == OPTION_IDLE      ? "--idle-timeout"
	    : option == OPTION_TOTAL   ? "--total-timeout"
	    : option == OPTION_RATE_UP ? "--rate-up"
				       : "--rate-down",
	    optarg, seconds ? SECONDS_MAX : RATE_MAX, err);

	if (code != 0)
		return code;
	if (option == OPTION_IDLE)
		limits->idle_seconds = (unsigned)value;
	else if (option == OPTION_TOTAL)
		limits->total_seconds = (unsigned)value;
	else if (option == OPTION_RATE_UP)
		limits->rate_up = (uint64_t)value;
	else
		limits->rate_down = (uint64_t)value;
	return 0;
}

static int read_options(struct remote *remote, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"create", no_argument, NULL, OPTION_CREATE},
	    {"fingerprint", required_argument, NULL, OPTION_FINGERPRINT},
	    {"credential-helper", required_argument, NULL, OPTION_HELPER},
	    {"proxy", required_argument, NULL, OPTION_PROXY}, {"idle-timeout", required_argument, NULL, OPTION_IDLE},
	    {"total-timeout", required_argument, NULL, OPTION_TOTAL},
	    {"rate-up", required_argument, NULL, OPTION_RATE_UP},
	    {"rate-down", required_argument, NULL, OPTION_RATE_DOWN}, {"files", required_argument, NULL, OPTION_FILES},
	    {"ssh-key", required_argument, NULL, OPTION_FILE}, {"ca", required_argument, NULL, OPTION_FILE + 1},
	    {"client-cert", required_argument, NULL, OPTION_FILE + 2},
	    {"client-key", required_argument, NULL, OPTION_FILE + 3},
	    {"token-file", required_argument, NULL, OPTION_FILE + 4}, OPTIONS_COMMON};
	int opt, code = 0;

	while (code == 0 && (opt = options_next(remote->cli, argc, argv, "", table, err)) != 0) {
		if (opt < 0)
			return opt;
		if (opt == OPTION_FINGERPRINT) {
			remote->fingerprint = optarg;
			continue;
		}
		remote->given = true;
		if (opt == OPTION_CREATE)
			remote->create = true;
		else if (opt == OPTION_HELPER)
			remote->settings.target.credential_helper = optarg;
		else if (opt == OPTION_PROXY)
			remote->settings.target.proxy = optarg;
		else if (opt == OPTION_FILES)
			code = space_parse_files(&remote->settings.files, optarg, err);
		else if (opt >= OPTION_FILE)
			*file_of(remote, (size_t)(opt - OPTION_FILE)) = optarg;
		else
			code = take_number(remote, opt, err);
	}
	return code;
}

/* What is set must fit the URL; files get their full names, since the daemon runs elsewhere. */
static int check_settings(struct remote *remote, enum link_scheme scheme, struct qosid_errbuf *err)
{
	const struct link_target *target = &remote->settings.target;
	struct stat stat_key;

	for (size_t i = 0; i < FILES; i++) {
		const char **file = file_of(remote, i);

		if (*file == NULL)
			continue;
		if (files[i].scheme != scheme)
			return options_wrong(remote->cli, err, "--%s belongs to %s remotes", files[i].option,
			    files[i].scheme == LINK_SSH ? "ssh" : "https");
		if ((remote->paths[i] = realpath(*file, NULL)) == NULL)
			return qosid_error_errno(err, errno, "there is no file %s for --%s", *file, files[i].option);
		*file = remote->paths[i];
	}
	if (scheme != LINK_HTTPS && (target->credential_helper != NULL || target->proxy != NULL))
		return options_wrong(remote->cli, err, "--credential-helper and --proxy belong to https remotes");
	if (target->token_file != NULL && target->credential_helper != NULL)
		return options_wrong(remote->cli, err, "give --token-file or --credential-helper, not both");
	if (target->client_key != NULL && target->client_cert == NULL)
		return options_wrong(remote->cli, err, "--client-key needs --client-cert");
	if (target->client_key != NULL && stat(target->client_key, &stat_key) == 0 && (stat_key.st_mode & 07) != 0) {
		(void)qosid_error(err, QOSID_ERR_REFUSED, "everybody may read the key %s", target->client_key);
		qosid_error_hint(err, "chmod 600 %.200s", target->client_key);
		return QOSID_ERR_REFUSED;
	}
	return 0;
}

/* ---- ls ---- */

static int print_remote(void *context, const char *name, const char *url, struct qosid_errbuf *err)
{
	const struct cli *cli = context;
	struct output_object object;

	if (cli->json) {
		output_begin(&object);
		output_add_text(&object, "name", name);
		output_add_text(&object, "url", url);
		return output_end(&object, err);
	}
	(void)printf("%-12s ", name);
	output_text(stdout, url, strlen(url));
	(void)putchar('\n');
	return output_check(err);
}

/* ---- add ---- */

/* See whether git answers there, letting a person confirm the host's key, and making the repository, on the way. */
static int reach(struct remote *remote, enum link_scheme scheme, struct qosid_errbuf *err)
{
	const struct space_remote *settings = &remote->settings;
	struct link_probe probe;
	int rc = link_try(&settings->target, "git-upload-pack", &settings->limits, &probe, err);

	if (rc != 0 && probe.host_unknown) {
		if ((rc = hostkey_confirm(remote->cli, settings, remote->fingerprint, err)) != 0)
			return rc;
		rc = link_try(&settings->target, "git-upload-pack", &settings->limits, &probe, err);
	}
	if (rc != QOSID_ERR_NOTFOUND || !remote->create)
		return rc;
	if (scheme != LINK_SSH) {
		if (err != NULL)
			err->hint[0] = '\0';
		qosid_error_hint(err, "over https nothing can be made: make it at the forge or on the server");
		return rc;
	}
	if ((rc = link_create_repository(&settings->target, &settings->limits, err)) != 0)
		return rc;
	return link_try(&settings->target, "git-upload-pack", &settings->limits, &probe, err);
}

static int add_link(struct remote *remote, const char *name, enum link_scheme scheme, struct qosid_errbuf *err)
{
	struct space *space = remote->cli->space;
	struct space_remote known;
	bool reached = true;
	int rc = space_read_remote(space, name, &known, err);

	if (rc == 0) {
		space_remote_free(&known);
		return space_put_remote(space, name, &remote->settings, err); /* which says that it is there */
	}
	if (rc != QOSID_ERR_NOTFOUND || (rc = space_place_remote(space, &remote->settings, err)) != 0)
		return rc;
	rc = reach(remote, scheme, err);
	if (rc == QOSID_ERR_OFFLINE) { /* offices are offline most of the time */
		reached = false;
		if (!remote->cli->quiet) {
			(void)fputs("note: ", stderr);
			output_text(stderr, err->what, strlen(err->what));
			(void)fprintf(stderr,
			    "; the remote is added all the same: see later with `qosid remote test %s`\n", name);
		}
	} else if (rc != 0)
		return rc;
	rc = space_put_remote(space, name, &remote->settings, err);
	if (rc == 0 && reached && remote->create && !remote->cli->quiet && remote->cli->verbose > 0)
		(void)fprintf(stderr, "The repository is ready.\n");
	return rc;
}

static int add(struct remote *remote, const char *name, const char *url, struct qosid_errbuf *err)
{
	enum link_scheme scheme;
	int code = link_parse_url(url, &scheme, err);

	if (code == 0)
		code = check_settings(remote, scheme, err);
	if (code != 0)
		return code;
	if (scheme != LINK_FOLDER) {
		remote->settings.target.url = url;
		return add_link(remote, name, scheme, err);
	}
	code = space_add_remote(remote->cli->space, name, url, remote->create, err);
	if (code != 0 && !remote->create)
		qosid_error_hint(err, "with --create the folder is made when it is not there");
	if (code == 0 && remote->settings.files != EXCHANGE_FILES_ALWAYS)
		code = space_set_remote_files(remote->cli->space, name, remote->settings.files, err);
	return code;
}

/* ---- test ---- */

enum { TEST_AGAIN = -2000 }; /* the host's key is known now */

static int print_check(const struct remote *remote, const char *name, bool good, const char *text, const char *hint,
    struct qosid_errbuf *err)
{
	struct output_object object;

	if (remote->cli->json) {
		output_begin(&object);
		output_add_text(&object, "check", name);
		output_add_bool(&object, "ok", good);
		output_add_text(&object, "text", text);
		if (hint[0] != '\0')
			output_add_text(&object, "hint", hint);
		return output_end(&object, err);
	}
	(void)printf("%-6s %-12s", good ? "ok" : "FAILS", name);
	output_text(stdout, text, strlen(text));
	(void)putchar('\n');
	if (hint[0] != '\0') {
		(void)printf("%19s", "");
		output_text(stdout, hint, strlen(hint));
		(void)putchar('\n');
	}
	return output_check(err);
}

static int visit_check(void *context, const struct space_check *check, struct qosid_errbuf *err)
{
	struct remote *remote = context;
	struct qosid_errbuf fault = {0};

	if (remote->skip > 0) {
		remote->skip--;
		return 0;
	}
	remote->printed++;
	if (!check->host_unknown || remote->confirmed)
		return print_check(remote, check->name, check->good, check->text, check->hint, err);
	if (hostkey_confirm(remote->cli, &remote->settings, remote->fingerprint, &fault) != 0)
		return print_check(remote, check->name, false, fault.what, fault.hint, err);
	remote->confirmed = true;
	remote->skip = remote->printed - 1;
	return TEST_AGAIN;
}

static int test(struct remote *remote, const char *name, struct qosid_errbuf *err)
{
	struct space *space = remote->cli->space;
	int code = space_read_remote(space, name, &remote->settings, err);

	if (code != 0)
		return code;
	code = space_test_remote(space, &remote->settings, visit_check, remote, err);
	if (code == TEST_AGAIN)
		code = space_test_remote(space, &remote->settings, visit_check, remote, err);
	if (code != 0 && remote->printed > 0)
		qosid_error_clear(err); /* the lines have said it */
	space_remote_free(&remote->settings);
	return code;
}

/* ---- the command ---- */

static int check_words(const struct remote *remote, const char *action, int given, struct qosid_errbuf *err)
{
	struct cli *cli = remote->cli;
	bool adds = strcmp(action, "add") == 0, tests = strcmp(action, "test") == 0, lists = strcmp(action, "ls") == 0;

	if (adds && given != 3)
		return options_wrong(cli, err, "remote add needs a name and a folder or URL");
	if (tests && given != 2)
		return options_wrong(cli, err, "remote test needs the remote's name");
	if (strcmp(action, "rm") == 0 && given != 2)
		return options_wrong(cli, err, "remote rm needs the remote's name");
	if (lists && given > 1)
		return options_wrong(cli, err, "remote ls takes no name");
	if (!adds && !tests && !lists && strcmp(action, "rm") != 0)
		return options_wrong(cli, err, "remote knows add, rm, ls and test, not %s", action);
	if (remote->given && !adds)
		return options_wrong(cli, err, "that option belongs to remote add");
	if (remote->fingerprint != NULL && !adds && !tests)
		return options_wrong(cli, err, "--fingerprint belongs to remote add and remote test");
	return 0;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct remote remote = {.cli = cli};
	const char *action;
	int code, given;

	code = read_options(&remote, argc, argv, err);
	if (code == 0)
		code = options_arguments(cli, argc, argv, 0, 3, err);
	if (code != 0)
		return code;
	given = argc - optind;
	action = given > 0 ? argv[optind] : "ls";
	if ((code = check_words(&remote, action, given, err)) != 0 || (code = cli_open_space(cli, err)) != 0)
		return code;
	if (strcmp(action, "ls") == 0)
		code = space_visit_remotes(cli->space, print_remote, cli, err);
	else if (strcmp(action, "rm") == 0)
		code = space_remove_remote(cli->space, argv[optind + 1], err);
	else if (strcmp(action, "test") == 0)
		code = test(&remote, argv[optind + 1], err);
	else {
		code = add(&remote, argv[optind + 1], argv[optind + 2], err);
		for (size_t i = 0; i < FILES; i++)
			free(remote.paths[i]);
		free(remote.settings.known_hosts);
	}
	return code;
}

const struct command cmd_remote = {
    .name = "remote",
    .group = "Meet the other offices",
    .synopsis = "[ls] | add NAME URL [option...] | rm NAME | test NAME",
    .summary = "list, add, remove or try out the places where offices meet",
    .help = "A remote is a bare git repository: in a folder (a shared disk, a USB stick), behind ssh\n"
	    "(ssh://[USER@]HOST[:PORT]/PATH or USER@HOST:PATH) or behind https (https://HOST[:PORT]/PATH).\n"
	    "remote test says what works there, what does not, and why.\n\n"
	    "  --create                make the repository when it is not there yet (folder, ssh)\n"
	    "  --fingerprint SHA256:.. of an ssh server that is met for the first time: its key, instead of asking\n"
	    "  --ssh-key FILE          show this key to the server, instead of those in the agent\n"
	    "  --ca FILE               trust this authority's certificate alone (PEM)\n"
	    "  --client-cert FILE      show this certificate to the server (PEM)\n"
	    "  --client-key FILE       and this is its key\n"
	    "  --token-file FILE       log in with USER:TOKEN, or a bearer token, from a file of mode 0600\n"
	    "  --credential-helper X   ask this git credential helper (store, cache, or a full path)\n"
	    "  --proxy URL             go through this proxy\n"
	    "  --idle-timeout SECONDS  give up when the other side is silent for so long (60)\n"
	    "  --total-timeout SECONDS end an exchange after so long (3600)\n"
	    "  --rate-up BYTES         send no more than so many bytes a second\n"
	    "  --rate-down BYTES       receive no more than so many bytes a second\n"
	    "  --files WHEN            fetch large attachments always, on-demand (qosid fetch-file) or never\n\n"
	    "With --json, ls prints one object a remote, {\"name\",\"url\"}, and test one a check,\n"
	    "{\"check\",\"ok\",\"text\",\"hint\"}.\n\n"
	    "Examples:\n"
	    "  qosid remote add stick /mnt/stick/records.git --create\n"
	    "  qosid remote add origin ssh://git@server.example/srv/records.git --ssh-key ~/.ssh/office\n"
	    "  qosid remote test origin\n",
    .run = run,
};
