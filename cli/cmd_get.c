/*
 * qosid get: print a document, or one of its attachments.
 */
#include <string.h>

#include "cli/file.h"
#include "cli/options.h"
#include "cli/output.h"

enum { OPTION_REV = OPTION_OWN, OPTION_REVS, OPTION_CONFLICTS, OPTION_ATTACHMENTS, OPTION_ATTACHMENT };

struct get {
	const char *id, *attachment, *path;
	bool has_rev;
	struct revision rev;
	unsigned render;
};

static int read_options(struct cli *cli, int argc, char **argv, struct get *get, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"rev", required_argument, NULL, OPTION_REV},
	    {"revs", no_argument, NULL, OPTION_REVS}, {"conflicts", no_argument, NULL, OPTION_CONFLICTS},
	    {"attachments", no_argument, NULL, OPTION_ATTACHMENTS},
	    {"attachment", required_argument, NULL, OPTION_ATTACHMENT}, {"output", required_argument, NULL, 'o'},
	    OPTIONS_COMMON};
	int opt, code = 0;

	while (code == 0 && (opt = options_next(cli, argc, argv, "o:", table, err)) != 0) {
		switch (opt) {
		case OPTION_REV:
			get->has_rev = true;
			code = cli_parse_revision(&get->rev, optarg, err);
			break;
		case OPTION_REVS:
			get->render |= RENDER_REVISIONS;
			break;
		case OPTION_CONFLICTS:
			get->render |= RENDER_CONFLICTS;
			break;
		case OPTION_ATTACHMENTS:
			get->render |= RENDER_ATTACHMENTS;
			break;
		case OPTION_ATTACHMENT:
			get->attachment = optarg;
			break;
		case 'o':
			get->path = optarg;
			break;
		default:
			code = opt;
		}
	}
	if (code == 0)
		code = options_arguments(cli, argc, argv, 1, 1, err);
	if (code != 0)
		return code;
	get->id = argv[optind];
	return cli_check_id(get->id, err);
}

static int find_attachment(
    const struct replica_record *record, const char *name, uint8_t digest[DIGEST_BYTES], struct qosid_errbuf *err)
{
	struct json_slice all = {(const char *)record->attachments.data, record->attachments.len};
	struct json_slice entry, value;
	struct qosid_buf text = {0};
	int code;

	if (all.len == 0 || !json_find(all, name, &entry)) {
		code = qosid_error(
		    err, QOSID_ERR_NOTFOUND, "%s has no attachment %s", (const char *)record->id.data, name);
		qosid_error_hint(
		    err, "qosid get %s lists the attachments in _attachments", (const char *)record->id.data);
		return code;
	}
	if (!json_find(entry, "digest", &value))
		return qosid_error(err, QOSID_ERR_CORRUPT, "the stored attachment %s has no digest", name);
	code = json_string_decode(value, &text, err);
	if (code == 0)
		code = digest_parse(digest, (const char *)text.data, text.len, err);
	qosid_buf_free(&text);
	return code;
}

static int write_attachment(struct replica *replica, const struct replica_record *record, struct file_output *output,
    const char *name, struct qosid_errbuf *err)
{
	struct qosid_sink sink = file_output_sink(output);
	uint8_t digest[DIGEST_BYTES];
	int code;

	code = find_attachment(record, name, digest, err);
	if (code != 0)
		return code;
	code = attachment_read(replica, digest, 0, -1, &sink, err);
	if (code == QOSID_ERR_NOTFOUND)
		qosid_error_hint(
		    err, "bring it with qosid fetch-file %.150s %.100s", (const char *)record->id.data, name);
	return code;
}

static int write_document(struct replica *replica, const struct replica_record *record, struct file_output *output,
    unsigned render, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int code;

	code = replica_render_record(replica, record, render, &text, err);
	if (code == 0)
		code = qosid_buf_append_byte(&text, '\n', err);
	if (code == 0)
		code = file_output_write(output, text.data, text.len, err);
	qosid_buf_wipe(&text);
	return code;
}

static void tell_origin(const struct replica_record *record)
{
	char time[OUTPUT_TIME_SIZE];

	output_format_time_short(time, record->time);
	(void)fprintf(stderr, "changed %s by ", time);
	if (record->user.len == 0)
		(void)fputs("an unknown user", stderr);
	output_text(stderr, (const char *)record->user.data, record->user.len);
	(void)putc('\n', stderr);
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct get get = {0};
	struct replica_record record = {0};
	struct file_output output = {0};
	struct replica *replica;
	int code;

	code = read_options(cli, argc, argv, &get, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code != 0)
		return code;
	replica = space_replica(cli->space);
	code = replica_read_document(replica, get.id, get.has_rev ? &get.rev : NULL, &record, err);
	if (code != 0) {
		if (code == QOSID_ERR_NOTFOUND)
			qosid_error_hint(err, "qosid ls lists the documents that are here");
		goto out;
	}
	code = file_output_open(&output, get.path, err);
	if (code == 0 && get.attachment != NULL)
		code = write_attachment(replica, &record, &output, get.attachment, err);
	else if (code == 0)
		code = write_document(replica, &record, &output, get.render, err);
	if (code == 0)
		code = file_output_commit(&output, err);
	if (code == 0 && cli->verbose > 0)
		tell_origin(&record);
out:
	file_output_close(&output);
	replica_record_free(&record);
	return code;
}

const struct command cmd_get = {
    .name = "get",
    .group = "Work with records",
    .synopsis = "ID [options]",
    .summary = "print a document, or one of its attachments",
    .help = "Prints the document as JSON with its _id and _rev, everything else as it was stored.\n\n"
	    "  --rev REV               that revision instead of the current one\n"
	    "  --revs                  with the ids of the revisions before it, in _revisions\n"
	    "  --conflicts             with the ids of the versions in conflict with it, in _conflicts\n"
	    "  --attachments           with the contents of its attachments, in base64\n"
	    "  --attachment NAME       the content of that attachment instead of the document\n"
	    "  -o, --output FILE       write to FILE\n\n"
	    "With -v, says on stderr who made the revision and when. Exit status 3: there is no such\n"
	    "document, revision or attachment.\n\n"
	    "Example:\n"
	    "  qosid get person:42 --attachment photo.jpg -o photo.jpg\n",
    .run = run,
};
