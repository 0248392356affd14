/*
 * qosid verify: check the whole history again, from the pinned root of the roster on.
 */
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"

enum { OPTION_NO_DECRYPT = OPTION_OWN };

struct verify {
	struct cli *cli;
	struct progress progress;
	size_t findings, stops;
	size_t absent; /* attachments whose content is not here */
	int64_t absent_bytes;
	uint8_t last[DIGEST_BYTES];
	struct qosid_buf where; /* logs, joined by commas */
};

static int print_finding(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	struct verify *verify = context;
	struct output_object object;

	verify->findings++;
	verify->stops += finding->stops ? 1 : 0;
	progress_end(&verify->progress);
	if (verify->cli->json) {
		output_begin(&object);
		output_add_text(&object, "log", finding->log);
		output_add_number(&object, "sequence", finding->sequence);
		output_add_text(&object, "cause", finding->cause);
		output_add_text(&object, "detail", finding->detail);
		output_add_text(&object, "evidence", finding->evidence);
		output_add_bool(&object, "stops", finding->stops);
		return output_end(&object, err);
	}
	(void)printf("%s", finding->log);
	if (finding->sequence > 0)
		(void)printf(", change set %lld", (long long)finding->sequence);
	(void)printf(": %s: ", finding->cause);
	output_text(stdout, finding->detail, strlen(finding->detail));
	if (finding->evidence[0] != '\0')
		(void)printf(" (git object %s)", finding->evidence);
	(void)putchar('\n');
	return output_check(err);
}

/* Left in files logs that were not fetched: not here, and not missing. */
static int count_absent(void *context, const struct attachment_absence *absence, struct qosid_errbuf *err)
{
	struct verify *verify = context;
	char log[LOG_NAME_SIZE + 2];

	if (verify->absent == 0 || memcmp(verify->last, absence->digest, DIGEST_BYTES) != 0) {
		verify->absent++;
		verify->absent_bytes += absence->length;
		memcpy(verify->last, absence->digest, DIGEST_BYTES);
	}
	(void)snprintf(log, sizeof(log), " files/%s,", absence->office);
	if (verify->where.len > 0 && strstr((const char *)verify->where.data, log) != NULL)
		return 0;
	return qosid_buf_append_text(&verify->where, log, err);
}

/* What of the history it was. */
static const char *name_scope(const struct exchange_proof *proof)
{
	return proof->partial > 0 ? "current generations" : "full history";
}

static int report(struct verify *verify, const struct exchange_proof *proof, bool decrypt, struct qosid_errbuf *err)
{
	struct output_object object;
	size_t sets = proof->sets;

	if (verify->cli->json) {
		output_begin(&object);
		output_add_bool(&object, "ok", verify->stops == 0);
		output_add_number(&object, "commits", (int64_t)sets);
		output_add_number(&object, "findings", (int64_t)verify->findings);
		output_add_bool(&object, "decrypted", decrypt);
		output_add_number(&object, "attachments_not_here", (int64_t)verify->absent);
		output_add_text(&object, "proved", name_scope(proof));
		return output_end(&object, err);
	}
	if (verify->cli->quiet)
		return 0;
	if (verify->findings > 0)
		(void)printf("verified %zu commit%s: %zu problem%s\n", sets, output_plural(sets), verify->findings,
		    output_plural(verify->findings));
	else
		(void)printf("verified %zu commit%s: every signature, chain and right holds%s\n", sets,
		    output_plural(sets), decrypt ? ", and every record is here as it was published" : "");
	if (verify->absent > 0)
		(void)printf("%zu attachment%s (%lld bytes) %s not here, but in%.*s: qosid fetch-file brings %s\n",
		    verify->absent, output_plural(verify->absent), (long long)verify->absent_bytes,
		    verify->absent == 1 ? "is" : "are", (int)verify->where.len - 1, (const char *)verify->where.data,
		    verify->absent == 1 ? "it" : "them");
	if (proof->partial > 0)
		(void)printf("proved: current generations; of %zu log%s what came before is not here\n", proof->partial,
		    output_plural(proof->partial));
	else
		(void)printf("proved: full history\n");
	return 0;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"no-decrypt", no_argument, NULL, OPTION_NO_DECRYPT}, OPTIONS_COMMON};
	struct verify verify = {.cli = cli};
	struct exchange_progress drawn = progress_for_space(&verify.progress);
	bool decrypt = true;
	struct exchange_proof proof;
	int opt, code;

	while ((opt = options_next(cli, argc, argv, "", table, err)) > 0)
		decrypt = false;
	code = opt < 0 ? opt : options_arguments(cli, argc, argv, 0, 0, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code != 0)
		return code;
	progress_begin(&verify.progress, cli);
	code = space_verify(cli->space, decrypt, &drawn, print_finding, &verify, &proof, err);
	progress_end(&verify.progress);
	if (code == 0)
		code = attachment_visit_absent(space_replica(cli->space), NULL, count_absent, &verify, err);
	if (code == 0)
		code = report(&verify, &proof, decrypt, err);
	qosid_buf_free(&verify.where);
	if (code != 0 || verify.stops == 0)
		return code;
	qosid_error_clear(err); /* what there is to say has been said */
	return QOSID_ERR_REFUSED;
}

const struct command cmd_verify = {
    .name = "verify",
    .group = "Prove what happened",
    .synopsis = "[--no-decrypt]",
    .summary = "check every signature, chain, right and record of the history again",
    .help =
	"It says which of the two was proved: the full history, or current generations, when logs were restarted and "
	"their\n"
	"archives are not here (`qosid help generation`).\n\n"
	"Exit status 5: something does not hold; each problem is printed with the git object that proves it.\n\n"
	"  --no-decrypt            check the commits only, as a witness without keys can\n\n"
	"With --json, one object a problem: {\"log\",\"sequence\",\"cause\",\"detail\",\"evidence\",\"stops\"}, then\n"
	"{\"ok\",\"commits\",\"findings\",\"decrypted\",\"attachments_not_here\",\"proved\"}.\n\n"
	"Example:\n"
	"  qosid verify\n",
    .run = run,
};
