/*
 * qosid digest: one line that is equal in two offices exactly when their records are.
 */
#include "cli/options.h"
#include "cli/output.h"

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {OPTIONS_COMMON};
	uint8_t digest[DIGEST_BYTES];
	char text[DIGEST_TEXT_SIZE];
	struct output_object object;
	struct replica_info info;
	int code;

	code = options_next(cli, argc, argv, "", table, err);
	if (code == 0)
		code = options_arguments(cli, argc, argv, 0, 0, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code == 0)
		code = replica_compute_digest(space_replica(cli->space), digest, err);
	if (code == 0)
		code = replica_read_info(space_replica(cli->space), &info, err);
	if (code != 0)
		return code;
	digest_format(text, digest);
	if (!cli->json) {
		(void)printf("%s\n", text);
		return 0;
	}
	output_begin(&object);
	output_add_text(&object, "digest", text);
	output_add_number(&object, "documents", info.documents);
	output_add_number(&object, "deleted", info.deleted);
	return output_end(&object, err);
}

const struct command cmd_digest = {
    .name = "digest",
    .group = "Prove what happened",
    .synopsis = "",
    .summary = "print a digest of all records: equal digests mean equal replicas",
    .help = "Covers every current version of every document, versions in conflict and tombstones included.\n\n"
	    "With --json: {\"digest\",\"documents\",\"deleted\"}.\n\n"
	    "Example:\n"
	    "  qosid digest\n",
    .run = run,
};
