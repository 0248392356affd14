/*
 * qosid conflicts: which documents have versions in conflict, and where these versions differ.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"

/* ---- the list ---- */

static int print_document(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct cli *cli = context;
	struct revtree_leaf leaf;
	struct output_object object;
	char rev[REVISION_TEXT_SIZE];
	cJSON *array;

	revision_format(rev, &record->rev);
	if (!cli->json) {
		size_t live = 0;

		while (revtree_leaf_at(record->tree, live, &leaf) && !leaf.deleted)
			live++;
		output_text(stdout, (const char *)record->id.data, record->id.len);
		(void)printf("  %zu versions\n", live);
		return output_check(err);
	}
	output_begin(&object);
	output_add_text(&object, "id", (const char *)record->id.data);
	output_add_text(&object, "winner", rev);
	array = output_add_array(&object, "conflicts");
	for (size_t i = 1; revtree_leaf_at(record->tree, i, &leaf) && !leaf.deleted; i++) {
		revision_format(rev, &leaf.revision);
		output_add_element(&object, array, cJSON_CreateString(rev));
	}
	return output_end(&object, err);
}

/* ---- one document's versions ---- */

static struct json_slice body_of(const struct replica_record *record)
{
	return (struct json_slice){(const char *)record->body.data, record->body.len};
}

static bool same_value(struct json_slice a, struct json_slice b)
{
	return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

/* Find a member by the bytes of its name, as another version of the same document wrote it. */
static bool find_member(struct json_slice object, struct json_slice wanted, struct json_slice *value)
{
	size_t position = 0;
	struct json_slice name;

	while (json_next(object, &position, &name, value)) {
		if (same_value(name, wanted))
			return true;
	}
	return false;
}

/* Whether all versions have this member with the same bytes. */
static bool is_agreed(
    const struct replica_record *versions, size_t count, struct json_slice name, struct json_slice value)
{
	struct json_slice other;

	for (size_t i = 0; i < count; i++) {
		if (!find_member(body_of(&versions[i]), name, &other) || !same_value(value, other))
			return false;
	}
	return true;
}

static bool same_attachments(const struct replica_record *a, const struct replica_record *b)
{
	return a->attachments.len == b->attachments.len &&
	       (a->attachments.len == 0 || memcmp(a->attachments.data, b->attachments.data, a->attachments.len) == 0);
}

/* The members in which a version differs from another one. */
static void print_differences(const struct replica_record *versions, size_t count, size_t index)
{
	struct json_slice name, value;
	size_t position = 0;

	while (json_next(body_of(&versions[index]), &position, &name, &value)) {
		if (is_agreed(versions, count, name, value))
			continue;
		(void)fputs("    ", stdout);
		output_text(stdout, name.text, name.len);
		(void)fputs(": ", stdout);
		output_text(stdout, value.text, value.len);
		(void)putchar('\n');
	}
	for (size_t i = 0; i < count; i++) {
		if (same_attachments(&versions[index], &versions[i]))
			continue;
		(void)fputs("    _attachments: ", stdout);
		output_text(stdout, (const char *)versions[index].attachments.data, versions[index].attachments.len);
		(void)putchar('\n');
		break;
	}
}

static int print_version(
    struct cli *cli, const struct replica_record *versions, size_t count, size_t index, struct qosid_errbuf *err)
{
	const struct replica_record *version = &versions[index];
	char rev[REVISION_TEXT_SIZE], time[OUTPUT_TIME_SIZE];
	struct qosid_buf text = {0};
	struct output_object object;
	int code;

	revision_format(rev, &version->rev);
	if (!cli->json) {
		output_format_time_short(time, version->time);
		(void)printf("%s  %s  ", rev, time);
		output_text(stdout, (const char *)version->user.data, version->user.len);
		(void)printf("%s\n", index == 0 ? "  (shown as current)" : "");
		print_differences(versions, count, index);
		return output_check(err);
	}
	code = replica_render_record(space_replica(cli->space), version, 0, &text, err);
	if (code == 0) {
		output_begin(&object);
		output_add_text(&object, "rev", rev);
		output_add_bool(&object, "winner", index == 0);
		output_add_time(&object, "time", version->time);
		output_add_text(&object, "user", version->user.data != NULL ? (const char *)version->user.data : "");
		output_add_raw(&object, "doc", (const char *)text.data);
		code = output_end(&object, err);
	}
	qosid_buf_wipe(&text);
	return code;
}

static int print_versions(struct cli *cli, const char *id, struct qosid_errbuf *err)
{
	struct replica *replica = space_replica(cli->space);
	struct replica_record winner = {0};
	struct replica_record *versions = NULL;
	struct revtree_leaf leaf;
	size_t live = 0, read = 0;
	int code;

	code = replica_read_document(replica, id, NULL, &winner, err);
	if (code != 0)
		goto out;
	while (revtree_leaf_at(winner.tree, live, &leaf) && !leaf.deleted)
		live++;
	versions = calloc(live + 1, sizeof(*versions));
	if (versions == NULL) {
		code = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
		goto out;
	}
	while (code == 0 && read < live && revtree_leaf_at(winner.tree, read, &leaf))
		code = replica_read_document(replica, id, &leaf.revision, &versions[read++], err);
	for (size_t i = 0; code == 0 && i < live; i++)
		code = print_version(cli, versions, live, i, err);
	if (code == 0 && live == 1 && !cli->quiet)
		(void)fprintf(stderr, "This document has one version: nothing is in conflict.\n");
	else if (code == 0 && !cli->quiet && !cli->json)
		(void)fprintf(stderr, "Settle it: qosid resolve ID --keep REV, or --with FILE.\n");
out:
	for (size_t i = 0; i < read; i++)
		replica_record_free(&versions[i]);
	free(versions);
	replica_record_free(&winner);
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {OPTIONS_COMMON};
	int code;

	code = options_next(cli, argc, argv, "", table, err);
	if (code == 0)
		code = options_arguments(cli, argc, argv, 0, 1, err);
	if (code == 0 && optind < argc)
		code = cli_check_id(argv[optind], err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code != 0)
		return code;
	if (optind < argc)
		return print_versions(cli, argv[optind], err);
	return replica_visit_conflicts(space_replica(cli->space), print_document, cli, err);
}

const struct command cmd_conflicts = {
    .name = "conflicts",
    .group = "Work with records",
    .synopsis = "[ID]",
    .summary = "list documents that offices changed at the same time, or one's versions",
    .help = "A conflict arises when two offices change the same document before they have met. No change\n"
	    "is lost: every office shows the same version as current, and keeps the others. With ID, shows\n"
	    "all versions, who made them and when, and the members in which they differ.\n\n"
	    "With --json, one object a document: {\"id\",\"winner\",\"conflicts\":[REV,..]}; with ID, one a\n"
	    "version: {\"rev\",\"winner\",\"time\",\"user\",\"doc\"}.\n\n"
	    "Example:\n"
	    "  qosid conflicts person:42\n",
    .run = run,
};
