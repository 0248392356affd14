/*
 * qosid put: store a whole JSON document as a new revision.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/edit.h"
#include "cli/file.h"
#include "cli/options.h"

#define PUT_TEXT_MAX LIMIT_CHANGESET_BYTES /* room for attachments given inline */

enum { OPTION_REV = OPTION_OWN, OPTION_USER, OPTION_ATTACH };

struct put {
	const char *id, *path, *user;
	bool has_parent;
	struct revision parent;
	struct edit_attachment *attachments; /* as many as there are arguments at most */
	size_t attachment_count;
	struct document document;
	struct revision written;
};

static int read_options(struct cli *cli, int argc, char **argv, struct put *put, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"rev", required_argument, NULL, OPTION_REV},
	    {"user", required_argument, NULL, OPTION_USER}, {"attach", required_argument, NULL, OPTION_ATTACH},
	    OPTIONS_COMMON};
	int opt, code = 0;

	while (code == 0 && (opt = options_next(cli, argc, argv, "", table, err)) != 0) {
		switch (opt) {
		case OPTION_REV:
			put->has_parent = true;
			code = cli_parse_revision(&put->parent, optarg, err);
			break;
		case OPTION_USER:
			put->user = optarg;
			break;
		case OPTION_ATTACH:
			code = edit_parse_attachment(&put->attachments[put->attachment_count++], optarg, err);
			break;
		default:
			code = opt;
		}
	}
	if (code == 0)
		code = options_arguments(cli, argc, argv, 1, 2, err);
	if (code != 0)
		return code;
	put->id = argv[optind];
	put->path = optind + 1 < argc ? argv[optind + 1] : "-";
	code = cli_check_id(put->id, err);
	return code == 0 ? cli_user(put->user, &put->user, err) : code;
}

/* What the text says of itself must agree with the command line. */
static int check_document(struct put *put, struct qosid_errbuf *err)
{
	const struct document *document = &put->document;

	if (document->id.len > 0 && strcmp((const char *)document->id.data, put->id) != 0)
		return qosid_error(err, QOSID_ERR_USAGE, "the document says that its _id is %s, not %s",
		    (const char *)document->id.data, put->id);
	if (!document->has_rev)
		return 0;
	if (put->has_parent && revision_compare(&put->parent, &document->rev) != 0)
		return qosid_error(err, QOSID_ERR_USAGE, "the document's _rev is another than --rev");
	put->parent = document->rev;
	put->has_parent = true;
	return 0;
}

static int store(struct cli *cli, void *context, struct qosid_errbuf *err)
{
	struct put *put = context;
	struct replica *replica = space_replica(cli->space);
	struct qosid_buf attachments = {0};
	struct replica_edit edit = {
	    .id = put->id,
	    .parent = put->has_parent ? &put->parent : NULL,
	    .deleted = put->document.deleted,
	    .body = {(const char *)put->document.body.data, put->document.body.len},
	    .user = put->user,
	    .time = cli_now(),
	};
	int code;

	code = edit_store_attachments(
	    replica, put->document.attachments, put->attachments, put->attachment_count, &attachments, err);
	edit.attachments = (struct json_slice){(const char *)attachments.data, attachments.len};
	if (code == 0)
		code = replica_put_edit(replica, &edit, &put->written, err);
	if (code == QOSID_ERR_CONFLICT)
		qosid_error_hint(
		    err, "qosid get %s shows the current revision: make the change in it, and put that", put->id);
	qosid_buf_free(&attachments);
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct put put = {0};
	struct qosid_buf text = {0};
	int code;

	put.attachments = calloc((size_t)argc + 1, sizeof(*put.attachments));
	if (put.attachments == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	code = read_options(cli, argc, argv, &put, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code == 0)
		code = file_read(put.path, PUT_TEXT_MAX, &text, err);
	if (code != 0)
		goto out;
	code = document_parse(&put.document, (const char *)text.data, text.len, err);
	if (code == 0)
		code = check_document(&put, err);
	if (code != 0)
		(void)qosid_error_within(err, "%s", file_name(put.path));
	if (code == 0)
		code = edit_transaction(cli, store, &put, err);
	if (code == 0)
		code = edit_report(cli, "stored", put.id, &put.written, err);
out:
	document_free(&put.document);
	qosid_buf_wipe(&text);
	free(put.attachments);
	return code;
}

const struct command cmd_put = {
    .name = "put",
    .group = "Work with records",
    .synopsis = "ID [FILE] [options]",
    .summary = "store a JSON document as a new revision",
    .help = "FILE holds the whole document, a JSON object; without it, or with -, standard input. Bytes are\n"
	    "kept as written: numbers, escapes and the order of members come back as they went in. To\n"
	    "change a document, name the revision that the change is based on, with --rev or as the\n"
	    "member _rev: when it is no longer the current one, nothing is stored and the exit status is 4.\n"
	    "Attachments that the document does not list as stubs in _attachments are dropped.\n\n"
	    "  --rev REV               the revision that this one follows\n"
	    "  --user NAME             who makes the change (else $QOSID_USER, else the login name)\n"
	    "  --attach NAME=FILE[:TYPE]  attach a file; may be given many times\n\n"
	    "With --json: {\"ok\":true,\"id\",\"rev\"}.\n\n"
	    "Example:\n"
	    "  qosid get plan:7 | jq -c '.status = \"done\"' | qosid put plan:7\n",
    .run = run,
};
