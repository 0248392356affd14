/*
 * qosid members: who belongs to the space, with which roles and keys.
 */
#include <string.h>

#include "cli/enrol.h"
#include "cli/options.h"

static int print_json(const struct cli *cli, const struct roster_member *member, const char *roles,
    const struct enrol_public *keys, struct qosid_errbuf *err)
{
	struct output_object object;
	cJSON *array;

	output_begin(&object);
	output_add_text(&object, "office", member->office);
	output_add_bool(&object, "own", strcmp(member->office, space_office(cli->space)) == 0);
	array = output_add_array(&object, "roles");
	while (*roles != '\0') {
		char word[16];
		int len = (int)strcspn(roles, ",");

		(void)snprintf(word, sizeof(word), "%.*s", len, roles);
		output_add_element(&object, array, cJSON_CreateString(word));
		roles += len + (roles[len] == ',');
	}
	output_add_number(&object, "since", member->since);
	enrol_add_public(&object, keys);
	return output_end(&object, err);
}

static int print_member(struct cli *cli, const struct roster_member *member, struct qosid_errbuf *err)
{
	struct enrol_public keys = {0};
	struct qosid_buf roles = {0};
	int code;

	code = roster_format_roles(member->roles, &roles, err);
	if (code == 0)
		code = enrol_member_public(member, &keys, err);
	if (code == 0 && cli->json)
		code = print_json(cli, member, (const char *)roles.data, &keys, err);
	else if (code == 0 && cli->verbose > 0)
		(void)printf("%s  %s%s\n    %s\n    %s\n    %s\n", member->office, roles.data,
		    strcmp(member->office, space_office(cli->space)) == 0 ? "  (this office)" : "", keys.words.data,
		    keys.ssh.data, keys.recipient.data);
	else if (code == 0)
		(void)printf("%-20s %s%s\n", member->office, roles.data,
		    strcmp(member->office, space_office(cli->space)) == 0 ? "  (this office)" : "");
	if (code == 0)
		code = output_check(err);
	enrol_free_public(&keys);
	qosid_buf_free(&roles);
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {OPTIONS_COMMON};
	const struct roster *roster;
	size_t count;
	int code;

	code = options_next(cli, argc, argv, "", table, err);
	if (code == 0)
		code = options_arguments(cli, argc, argv, 0, 0, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code != 0)
		return code;
	roster = space_roster(cli->space);
	count = roster_state_count(roster) > 0 ? roster_member_count(roster, -1) : 0;
	for (size_t i = 0; code == 0 && i < count; i++)
		code = print_member(cli, roster_member_at(roster, -1, i), err);
	if (code == 0 && count == 0 && !cli->quiet)
		(void)fprintf(stderr, "The roster of this space has not arrived yet: qosid sync\n");
	return code;
}

const struct command cmd_members = {
    .name = "members",
    .group = "Start a space, and let others in",
    .synopsis = "[-v]",
    .summary = "list the offices of this space, their roles, and with -v their keys",
    .help = "With --json, one object a member: {\"office\",\"own\",\"roles\":[..],\"since\",\"signing\",\n"
	    "\"encryption\",\"fingerprint\"}; since is the number of the roster state that admitted it.\n\n"
	    "Example:\n"
	    "  qosid members -v\n",
    .run = run,
};
