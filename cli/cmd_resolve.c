/*
 * qosid resolve: settle a conflict. The chosen body becomes the current revision and every other live version gets a
 * tombstone, all in one transaction.
 */
#include <string.h>

#include "cli/edit.h"
#include "cli/file.h"
#include "cli/options.h"

enum { OPTION_KEEP = OPTION_OWN, OPTION_WITH, OPTION_USER };

struct resolve {
	const char *id, *path, *user;
	bool has_keep;
	struct revision keep;
	struct document document; /* of --with */
	struct revision written;  /* the current revision afterwards */
	size_t settled;           /* versions that were put aside */
};

static int read_options(struct cli *cli, int argc, char **argv, struct resolve *resolve, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"keep", required_argument, NULL, OPTION_KEEP},
	    {"with", required_argument, NULL, OPTION_WITH}, {"user", required_argument, NULL, OPTION_USER},
	    OPTIONS_COMMON};
	int opt, code = 0;

	while (code == 0 && (opt = options_next(cli, argc, argv, "", table, err)) != 0) {
		switch (opt) {
		case OPTION_KEEP:
			resolve->has_keep = true;
			code = cli_parse_revision(&resolve->keep, optarg, err);
			break;
		case OPTION_WITH:
			resolve->path = optarg;
			break;
		case OPTION_USER:
			resolve->user = optarg;
			break;
		default:
			code = opt;
		}
	}
	if (code == 0)
		code = options_arguments(cli, argc, argv, 1, 1, err);
	if (code == 0 && resolve->has_keep == (resolve->path != NULL))
		code = options_wrong(cli, err, "give either --keep REV or --with FILE");
	if (code != 0)
		return code;
	resolve->id = argv[optind];
	code = cli_check_id(resolve->id, err);
	return code == 0 ? cli_user(resolve->user, &resolve->user, err) : code;
}

static int read_chosen(struct resolve *resolve, struct qosid_buf *text, struct qosid_errbuf *err)
{
	struct document *document = &resolve->document;
	int code;

	code = file_read(resolve->path, LIMIT_CHANGESET_BYTES, text, err);
	if (code != 0)
		return code;
	code = document_parse(document, (const char *)text->data, text->len, err);
	if (code == 0 && document->id.len > 0 && strcmp((const char *)document->id.data, resolve->id) != 0)
		code = qosid_error(err, QOSID_ERR_USAGE, "the document says that its _id is %s, not %s",
		    (const char *)document->id.data, resolve->id);
	if (code == 0 && document->deleted)
		code = qosid_error(
		    err, QOSID_ERR_USAGE, "the document is marked as deleted: delete versions with qosid rm");
	if (code != 0)
		(void)qosid_error_within(err, "%s", file_name(resolve->path));
	return code;
}

/* Store a revision on a leaf: the chosen body, or a tombstone when body is NULL. */
static int extend_leaf(struct cli *cli, const struct resolve *resolve, const struct revision *leaf,
    const struct json_slice *body, struct json_slice attachments, struct revision *written, struct qosid_errbuf *err)
{
	struct replica_edit edit = {
	    .id = resolve->id,
	    .parent = leaf,
	    .deleted = body == NULL,
	    .body = body != NULL ? *body : (struct json_slice){"{}", 2},
	    .attachments = attachments,
	    .user = resolve->user,
	    .time = cli_now(),
	};

	return replica_put_edit(space_replica(cli->space), &edit, written, err);
}

static int check_kept(const struct resolve *resolve, const struct revtree *tree, struct qosid_errbuf *err)
{
	struct revtree_leaf leaf;
	int code;

	for (size_t i = 0; revtree_leaf_at(tree, i, &leaf) && !leaf.deleted; i++) {
		if (revision_compare(&leaf.revision, &resolve->keep) == 0)
			return 0;
	}
	code = qosid_error(err, QOSID_ERR_NOTFOUND, "%s has no current version with that revision", resolve->id);
	qosid_error_hint(err, "qosid conflicts %s lists its versions", resolve->id);
	return code;
}

/* Put the chosen body on the winner. Nothing to write when the winner itself is kept. */
static int write_chosen(
    struct cli *cli, struct resolve *resolve, const struct replica_record *winner, struct qosid_errbuf *err)
{
	struct replica_record kept = {0};
	const struct replica_record *source = winner;
	struct qosid_buf stubs = {0};
	struct json_slice body = {(const char *)resolve->document.body.data, resolve->document.body.len};
	struct json_slice attachments = resolve->document.attachments;
	int code = 0;

	resolve->written = winner->rev;
	if (resolve->has_keep && revision_compare(&resolve->keep, &winner->rev) == 0)
		return 0;
	if (resolve->has_keep) {
		code = replica_read_document(space_replica(cli->space), resolve->id, &resolve->keep, &kept, err);
		body = (struct json_slice){(const char *)kept.body.data, kept.body.len};
		source = &kept;
	}
	if (code == 0 && attachments.len == 0) {
		code = cli_stub_attachments(
		    (struct json_slice){(const char *)source->attachments.data, source->attachments.len}, &stubs, err);
		attachments = (struct json_slice){(const char *)stubs.data, stubs.len};
	}
	if (code == 0)
		code = extend_leaf(cli, resolve, &winner->rev, &body, attachments, &resolve->written, err);
	qosid_buf_free(&stubs);
	replica_record_free(&kept);
	return code;
}

static int settle(struct cli *cli, void *context, struct qosid_errbuf *err)
{
	struct resolve *resolve = context;
	struct replica_record winner = {0};
	struct revision tombstone;
	struct revtree_leaf leaf;
	int code;

	code = replica_read_document(space_replica(cli->space), resolve->id, NULL, &winner, err);
	if (code == 0 && (!revtree_leaf_at(winner.tree, 1, &leaf) || leaf.deleted)) {
		code = qosid_error(err, QOSID_ERR_NOTFOUND, "%s has no versions in conflict", resolve->id);
		qosid_error_hint(err, "qosid conflicts lists the documents that have");
	}
	if (code == 0 && resolve->has_keep)
		code = check_kept(resolve, winner.tree, err);
	if (code == 0)
		code = write_chosen(cli, resolve, &winner, err);
	for (size_t i = 1; code == 0 && revtree_leaf_at(winner.tree, i, &leaf) && !leaf.deleted; i++) {
		code = extend_leaf(cli, resolve, &leaf.revision, NULL, (struct json_slice){0}, &tombstone, err);
		resolve->settled++;
	}
	replica_record_free(&winner);
	return code;
}

static int report(struct cli *cli, const struct resolve *resolve, struct qosid_errbuf *err)
{
	char rev[REVISION_TEXT_SIZE];
	struct output_object object;

	revision_format(rev, &resolve->written);
	if (cli->json) {
		output_begin(&object);
		output_add_bool(&object, "ok", true);
		output_add_text(&object, "id", resolve->id);
		output_add_text(&object, "rev", rev);
		output_add_number(&object, "settled", (int64_t)resolve->settled);
		return output_end(&object, err);
	}
	if (cli->quiet)
		return 0;
	output_text(stdout, resolve->id, strlen(resolve->id));
	(void)printf(" is settled as %s; %zu other version%s put aside\n", rev, resolve->settled,
	    output_plural(resolve->settled));
	return 0;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct resolve resolve = {0};
	struct qosid_buf text = {0};
	int code;

	code = read_options(cli, argc, argv, &resolve, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code == 0 && resolve.path != NULL)
		code = read_chosen(&resolve, &text, err);
	if (code == 0)
		code = edit_transaction(cli, settle, &resolve, err);
	if (code == 0)
		code = report(cli, &resolve, err);
	document_free(&resolve.document);
	qosid_buf_wipe(&text);
	return code;
}

const struct command cmd_resolve = {
    .name = "resolve",
    .group = "Work with records",
    .synopsis = "ID --keep REV | --with FILE",
    .summary = "settle a conflict: choose one version, or give a merged one",
    .help = "The chosen version becomes current, and the others are closed, in one step. All of them stay\n"
	    "in the history.\n\n"
	    "  --keep REV              keep this version (qosid conflicts ID lists them)\n"
	    "  --with FILE             store this document instead; - is standard input. It keeps the\n"
	    "                          attachments of the current version unless it lists its own\n"
	    "  --user NAME             who decides (else $QOSID_USER, else the login name)\n\n"
	    "With --json: {\"ok\":true,\"id\",\"rev\",\"settled\"}; settled counts the versions put aside.\n\n"
	    "Example:\n"
	    "  qosid resolve person:42 --keep 3-91b0c77e\n",
    .run = run,
};
