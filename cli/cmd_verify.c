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

static int report(struct verify *verify, size_t sets, bool decrypt, struct qosid_errbuf *err)
{
	struct output_object object;

	if (verify->cli->json) {
		output_begin(&object);
		output_add_bool(&object, "ok", verify->stops == 0);
		output_add_number(&object, "commits", (int64_t)sets);
		output_add_number(&object, "findings", (int64_t)verify->findings);
		output_add_bool(&object, "decrypted", decrypt);
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
	return 0;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"no-decrypt", no_argument, NULL, OPTION_NO_DECRYPT}, OPTIONS_COMMON};
	struct verify verify = {.cli = cli};
	struct exchange_progress drawn = progress_for_space(&verify.progress);
	bool decrypt = true;
	size_t sets = 0;
	int opt, code;

	while ((opt = options_next(cli, argc, argv, "", table, err)) > 0)
		decrypt = false;
	code = opt < 0 ? opt : options_arguments(cli, argc, argv, 0, 0, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code != 0)
		return code;
	progress_begin(&verify.progress, cli);
	code = space_verify(cli->space, decrypt, &drawn, print_finding, &verify, &sets, err);
	progress_end(&verify.progress);
	if (code == 0)
		code = report(&verify, sets, decrypt, err);
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
	"Exit status 5: something does not hold; each problem is printed with the git object that proves it.\n\n"
	"  --no-decrypt            check the commits only, as a witness without keys can\n\n"
	"With --json, one object a problem: {\"log\",\"sequence\",\"cause\",\"detail\",\"evidence\",\"stops\"}, then\n"
	"{\"ok\",\"commits\",\"findings\",\"decrypted\"}.\n\n"
	"Example:\n"
	"  qosid verify\n",
    .run = run,
};
