/*
 * qosid rm: delete a document, which stores a tombstone; its history stays.
 */
#include "cli/edit.h"
#include "cli/options.h"

enum { OPTION_REV = OPTION_OWN, OPTION_USER };

struct rm {
	const char *id, *user;
	bool has_parent;
	struct revision parent;
	struct revision written;
};

static int read_options(struct cli *cli, int argc, char **argv, struct rm *rm, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"rev", required_argument, NULL, OPTION_REV},
	    {"user", required_argument, NULL, OPTION_USER}, OPTIONS_COMMON};
	int opt, code = 0;

	while (code == 0 && (opt = options_next(cli, argc, argv, "", table, err)) != 0) {
		switch (opt) {
		case OPTION_REV:
			rm->has_parent = true;
			code = cli_parse_revision(&rm->parent, optarg, err);
			break;
		case OPTION_USER:
			rm->user = optarg;
			break;
		default:
			code = opt;
		}
	}
	if (code == 0)
		code = options_arguments(cli, argc, argv, 1, 1, err);
	if (code != 0)
		return code;
	rm->id = argv[optind];
	code = cli_check_id(rm->id, err);
	return code == 0 ? cli_user(rm->user, &rm->user, err) : code;
}

/* Without --rev it must be clear what is deleted: the one live version. */
static int find_parent(struct cli *cli, struct rm *rm, struct qosid_errbuf *err)
{
	struct replica_record record = {0};
	struct revtree_leaf second;
	int code;

	code = replica_read_document(space_replica(cli->space), rm->id, NULL, &record, err);
	if (code == 0 && revtree_leaf_at(record.tree, 1, &second) && !second.deleted) {
		code = qosid_error(err, QOSID_ERR_CONFLICT, "%s has versions in conflict", rm->id);
		qosid_error_hint(err,
		    "qosid conflicts %s shows them; delete one with --rev, or settle it with qosid resolve", rm->id);
	}
	rm->parent = record.rev;
	replica_record_free(&record);
	return code;
}

static int store(struct cli *cli, void *context, struct qosid_errbuf *err)
{
	struct rm *rm = context;
	struct replica_edit edit = {
	    .id = rm->id,
	    .parent = &rm->parent,
	    .deleted = true,
	    .body = {"{}", 2},
	    .user = rm->user,
	    .time = cli_now(),
	};
	int code = 0;

	if (!rm->has_parent)
		code = find_parent(cli, rm, err);
	if (code == 0)
		code = replica_put_edit(space_replica(cli->space), &edit, &rm->written, err);
	if (code == QOSID_ERR_CONFLICT)
		qosid_error_hint(err, "qosid get %s shows the current revision", rm->id);
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct rm rm = {0};
	int code;

	code = read_options(cli, argc, argv, &rm, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code == 0)
		code = edit_transaction(cli, store, &rm, err);
	return code == 0 ? edit_report(cli, "deleted", rm.id, &rm.written, err) : code;
}

const struct command cmd_rm = {
    .name = "rm",
    .group = "Work with records",
    .synopsis = "ID [--rev REV]",
    .summary = "delete a document; its history stays",
    .help = "Without --rev the current revision is deleted, unless the document has versions in conflict.\n"
	    "With --rev nothing is deleted when that revision is no longer current (exit status 4).\n\n"
	    "  --rev REV               the revision that is deleted\n"
	    "  --user NAME             who makes the change (else $QOSID_USER, else the login name)\n\n"
	    "With --json: {\"ok\":true,\"id\",\"rev\"}, where rev is that of the tombstone.\n\n"
	    "Example:\n"
	    "  qosid rm plan:7\n",
    .run = run,
};
