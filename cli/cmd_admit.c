/*
 * qosid admit: let an office in, after a person has compared the fingerprint of its keys.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/enrol.h"
#include "cli/options.h"
#include "crypto/fingerprint.h"

enum { OPTION_ROLES = OPTION_OWN, OPTION_FINGERPRINT, OPTION_YES, OPTION_FROM_NOW };

struct admit {
	const char *roles, *fingerprint;
	bool yes, from_now;
};

static int read_options(struct cli *cli, int argc, char **argv, struct admit *admit, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"roles", required_argument, NULL, OPTION_ROLES},
	    {"fingerprint", required_argument, NULL, OPTION_FINGERPRINT}, {"yes", no_argument, NULL, OPTION_YES},
	    {"role", required_argument, NULL, OPTION_ROLES}, {"from-now", no_argument, NULL, OPTION_FROM_NOW},
	    OPTIONS_COMMON};
	int opt;

	while ((opt = options_next(cli, argc, argv, "", table, err)) > 0) {
		switch (opt) {
		case OPTION_ROLES:
			admit->roles = optarg;
			break;
		case OPTION_FINGERPRINT:
			admit->fingerprint = optarg;
			break;
		case OPTION_FROM_NOW:
			admit->from_now = true;
			break;
		default:
			admit->yes = true;
		}
	}
	return opt < 0 ? opt : options_arguments(cli, argc, argv, 1, 1, err);
}

/* Ask at the terminal whether the words are the ones that were heard. */
static int ask_person(const char *office, const char *words, struct qosid_errbuf *err)
{
	char answer[16] = "";
	FILE *terminal = fopen("/dev/tty", "r+e");
	int code;

	if (terminal == NULL || isatty(STDIN_FILENO) != 1) {
		if (terminal != NULL)
			(void)fclose(terminal);
		code = qosid_error(
		    err, QOSID_ERR_REFUSED, "the fingerprint of %s has not been compared: %s", office, words);
		qosid_error_hint(err, "compare the words with the office over the phone, then give them: --fingerprint "
				      "\"...\" (or --yes)");
		return code;
	}
	(void)fprintf(terminal,
	    "The keys of %s have this fingerprint:\n    %s\nDo the same words stand at %s? Type yes: ", office, words,
	    office);
	(void)fflush(terminal);
	if (fgets(answer, sizeof(answer), terminal) == NULL)
		answer[0] = '\0';
	(void)fclose(terminal);
	answer[strcspn(answer, "\n")] = '\0';
	if (strcmp(answer, "yes") != 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "%s was not admitted", office);
	return 0;
}

static int compare(
    const struct admit *admit, const char *office, const struct enrol_public *keys, struct qosid_errbuf *err)
{
	const char *words = (const char *)keys->words.data;
	int code;

	if (admit->fingerprint != NULL) {
		if (fingerprint_equal(admit->fingerprint, words))
			return 0;
		code = qosid_error(err, QOSID_ERR_REFUSED,
		    "the fingerprint given is not that of the keys in the request of %s", office);
		qosid_error_hint(err, "the keys have: %s", words);
		return code;
	}
	return admit->yes ? 0 : ask_person(office, words, err);
}

static int report(struct cli *cli, const struct roster_member *member, unsigned roles, const struct enrol_public *keys,
    const struct space_outcome *outcome, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	struct output_object object;
	int code;

	code = roster_format_roles(roles, &text, err);
	if (code == 0 && cli->json) {
		output_begin(&object);
		output_add_text(&object, "office", member->office);
		output_add_text(&object, "roles", (const char *)text.data);
		enrol_add_public(&object, keys);
		output_add_bool(&object, "waits", outcome->waits);
		code = output_end(&object, err);
	} else if (code == 0 && !cli->quiet) {
		if (!outcome->waits)
			(void)printf(
			    "Admitted %s as %s. The next qosid sync tells the others.\n", member->office, text.data);
		code = enrol_report_wait(cli, outcome, err);
	}
	qosid_buf_free(&text);
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct admit admit = {.roles = "writer,reader"};
	struct enrol_public keys = {0};
	struct roster_member member;
	struct qosid_buf text = {0};
	struct space_outcome outcome;
	unsigned roles;
	int code;

	code = read_options(cli, argc, argv, &admit, err);
	if (code == 0 && roster_parse_roles(&roles, admit.roles, err) != 0) {
		code = err->code = QOSID_ERR_USAGE;
		qosid_error_hint(err, "roles are writer, reader, auditor, witness, steward, joined by commas");
	}
	if (code == 0)
		code = enrol_read_text(argv[optind], &text, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code == 0)
		code = request_parse(&member, space_id(cli->space), (const char *)text.data, text.len, err);
	if (code == 0)
		code = enrol_member_public(&member, &keys, err);
	if (code == 0)
		code = compare(&admit, member.office, &keys, err);
	if (code == 0)
		code = space_admit(cli->space, &member, roles, admit.from_now, &outcome, err);
	if (code == 0)
		code = report(cli, &member, roles, &keys, &outcome, err);
	enrol_free_public(&keys);
	qosid_buf_free(&text);
	return code;
}

const struct command cmd_admit = {
    .name = "admit",
    .alias = "accept",
    .group = "Start a space, and let others in",
    .synopsis = "REQUEST [--roles ROLES] [--from-now] [--fingerprint WORDS | --yes]",
    .summary = "admit an office by its request (steward only)",
    .help = "REQUEST is the file that the office made with qosid join, - for standard input, or its text.\n"
	    "Shows the fingerprint of its keys as twelve words and asks whether they are the same at the\n"
	    "office: compare them over the phone. Also called accept.\n\n"
	    "  --roles ROLES           writer,reader (the default), or others: steward, auditor, witness\n"
	    "  --from-now              it reads what is published from now on only; starts a new epoch\n"
	    "  --fingerprint WORDS     the words as the office has read them; nothing is asked then\n"
	    "  --yes                   admit without comparing\n\n"
	    "With --json: {\"office\",\"roles\",\"signing\",\"encryption\",\"fingerprint\",\"waits\"}.\n\n"
	    "Example:\n"
	    "  qosid admit /mnt/stick/khujand.json\n",
    .run = run,
};
