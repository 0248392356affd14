/*
 * qosid members: who belongs to the space, with which roles and keys.
 */
#include <string.h>

#include "cli/enrol.h"
#include "cli/options.h"
#include "sync/replica/timestamp.h"

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
	output_add_time(&object, "since", member->since);
	output_add_number(&object, "first_epoch", member->first_epoch);
	output_add_bool(&object, "removed", member->roles == 0);
	if (member->revoked > 0)
		output_add_number(&object, "revoked_since", member->revoked);
	enrol_add_public(&object, keys);
	return output_end(&object, err);
}

/* office, roles, since when, and from which epoch on it reads. */
static void print_line(const struct cli *cli, const struct roster_member *member, const char *roles)
{
	char since[TIMESTAMP_SIZE] = "";

	(void)timestamp_format(since, member->since, NULL); /* a time that the roster has is in range */
	(void)printf("%-20s %-24s since %.10s", member->office, roles, since);
	if (roster_is_entitled(member->roles) && member->first_epoch > 1)
		(void)printf(", reads from epoch %lld", (long long)member->first_epoch);
	if (member->revoked > 0)
		(void)printf(", revoked from change set %lld", (long long)member->revoked);
	(void)printf("%s\n", strcmp(member->office, space_office(cli->space)) == 0 ? "  (this office)" : "");
}

static int print_member(struct cli *cli, const struct roster_member *member, struct qosid_errbuf *err)
{
	struct enrol_public keys = {0};
	struct qosid_buf roles = {0};
	int code;

	code = member->roles != 0 ? roster_format_roles(member->roles, &roles, err)
				  : qosid_buf_append_text(&roles, "", err);
	if (code == 0)
		code = enrol_member_public(member, &keys, err);
	if (code == 0 && cli->json)
		code = print_json(cli, member, (const char *)roles.data, &keys, err);
	else if (code == 0 && cli->verbose > 0)
		(void)printf("%s  %s%s\n    %s\n    %s\n    %s\n", member->office, roles.data,
		    strcmp(member->office, space_office(cli->space)) == 0 ? "  (this office)" : "", keys.words.data,
		    keys.ssh.data, keys.recipient.data);
	else if (code == 0)
		print_line(cli, member, member->roles != 0 ? (const char *)roles.data : "removed");
	if (code == 0)
		code = output_check(err);
	enrol_free_public(&keys);
	qosid_buf_free(&roles);
	return code;
}

/* What all share: epochs, and how many stewards must agree: for people, so that the list stays a list. */
static void print_space(const struct cli *cli, const struct roster *roster)
{
	const char *too_many, *missing;

	if (cli->json || cli->quiet)
		return;
	(void)fprintf(stderr, "epoch %lld; %lld of %zu steward%s must agree\n",
	    (long long)roster_epoch_count(roster, -1), (long long)roster_threshold(roster, -1),
	    roster_steward_count(roster, -1), roster_steward_count(roster, -1) == 1 ? "" : "s");
	if (roster_epoch_is_unfit(roster, -1, &too_many, &missing)) {
		if (*too_many != '\0')
			(void)fprintf(stderr,
			    "%s still holds the newest epoch's key: a steward must run qosid rotate\n", too_many);
		if (*missing != '\0')
			(void)fprintf(stderr,
			    "%s has not been given the newest epoch's key: a steward must run qosid rotate\n", missing);
	}
}

static const char *const kind_words[] = {"create the space", "add", "set the roles of", "remove", "start an epoch",
    "new keys of", "set the threshold", "endorse", "revoke"};

static int print_pending(const struct cli *cli, const struct roster_pending *pending, struct qosid_errbuf *err)
{
	struct output_object object;
	char digest[DIGEST_TEXT_SIZE];
	const struct roster_entry *entry = &pending->entry;

	digest_format(digest, entry->digest);
	if (!cli->json) {
		(void)printf("%.16s  %s: %s %s", digest + sizeof(DIGEST_PREFIX) - 1, entry->steward,
		    kind_words[entry->kind], entry->office);
		if (entry->kind == ROSTER_THRESHOLD)
			(void)printf("to %lld", (long long)entry->threshold);
		(void)printf("  (%zu of %lld)\n", pending->endorsed, (long long)pending->needed);
		return output_check(err);
	}
	output_begin(&object);
	output_add_text(&object, "operation", digest);
	output_add_text(&object, "kind", kind_words[entry->kind]);
	output_add_text(&object, "office", entry->office);
	output_add_text(&object, "steward", entry->steward);
	output_add_number(&object, "endorsed", (int64_t)pending->endorsed);
	output_add_number(&object, "needed", pending->needed);
	return output_end(&object, err);
}

static int list_pending(const struct cli *cli, const struct roster *roster, struct qosid_errbuf *err)
{
	struct roster_pending pending;
	int code = 0;

	for (size_t i = 0; code == 0 && roster_pending_at(roster, -1, i, &pending); i++)
		code = print_pending(cli, &pending, err);
	if (code == 0 && roster_pending_count(roster, -1) == 0 && !cli->quiet)
		(void)fprintf(stderr, "No operation waits for endorsement.\n");
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	enum { OPTION_PENDING = OPTION_OWN };
	static const struct option table[] = {{"pending", no_argument, NULL, OPTION_PENDING}, OPTIONS_COMMON};
	const struct roster *roster;
	bool pending = false;
	size_t count;
	int code;

	while ((code = options_next(cli, argc, argv, "", table, err)) > 0)
		pending = true;
	if (code == 0)
		code = options_arguments(cli, argc, argv, 0, 0, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code != 0)
		return code;
	roster = space_roster(cli->space);
	if (pending)
		return list_pending(cli, roster, err);
	count = roster_member_count(roster, -1);
	for (size_t i = 0; code == 0 && i < count; i++)
		code = print_member(cli, roster_member_at(roster, -1, i), err);
	if (code == 0 && count > 0)
		print_space(cli, roster);
	if (code == 0 && count == 0 && !cli->quiet)
		(void)fprintf(stderr, "The roster of this space has not arrived yet: qosid sync\n");
	return code;
}

const struct command cmd_members = {
    .name = "members",
    .group = "Start a space, and let others in",
    .synopsis = "[-v] [--pending]",
    .summary = "list the offices of this space, their roles, and with -v their keys",
    .help = "With --json, one object a member: {\"office\",\"own\",\"roles\":[..],\"since\",\"first_epoch\",\n"
	    "\"removed\",\"revoked_since\"?,\"signing\",\"encryption\",\"fingerprint\"}; it reads what was published\n"
	    "from first_epoch on.\n\n"
	    "  --pending               list the operations that wait for other stewards' endorsement\n\n"
	    "Example:\n"
	    "  qosid members -v\n",
    .run = run,
};
