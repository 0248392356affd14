/*
 * qosid status: how this office's replica stands: what waits, what it has heard, and what was refused; and with
 * --forget, that somebody has looked at what was refused.
 */
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"

enum { OPTION_FORGET = OPTION_OWN };

struct status {
	struct cli *cli;
	struct output_object object; /* with --json */
	cJSON *array;                /* the list being filled */
	size_t listed;
};

/* ---- logs ---- */

static int add_log(void *context, const struct space_log *log, struct qosid_errbuf *err)
{
	struct status *status = context;
	struct output_object entry;

	(void)err;
	output_begin(&entry);
	output_add_text(&entry, "log", log->name);
	output_add_bool(&entry, "own", log->own);
	output_add_number(&entry, "sequence", log->sequence);
	if (log->generation > 0)
		output_add_number(&entry, "generation", log->generation);
	output_add_time(&entry, "time", log->time * 1000);
	output_add_text(&entry, "commit", log->commit != NULL ? log->commit : "");
	output_end_into(&entry, &status->object, status->array);
	return 0;
}

static int print_log(void *context, const struct space_log *log, struct qosid_errbuf *err)
{
	struct status *status = context;
	char time[OUTPUT_TIME_SIZE];

	if (status->listed++ == 0)
		(void)printf("logs\n");
	output_format_time_short(time, log->time * 1000);
	(void)printf("  %-24s %6lld change set%s, the last %s%s", log->name, (long long)log->sequence,
	    output_plural((size_t)log->sequence), time, log->own ? "  (this office)" : "");
	if (log->generation > 1)
		(void)printf(", generation %lld since %lld", (long long)log->generation, (long long)log->begins);
	(void)putchar('\n');
	return output_check(err);
}

/* ---- findings ---- */

static int add_finding(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	struct status *status = context;
	struct output_object entry;

	(void)err;
	output_begin(&entry);
	output_add_text(&entry, "log", finding->log);
	output_add_number(&entry, "sequence", finding->sequence);
	output_add_text(&entry, "cause", finding->cause);
	output_add_text(&entry, "detail", finding->detail);
	output_add_text(&entry, "evidence", finding->evidence);
	output_add_time(&entry, "time", finding->time);
	output_add_bool(&entry, "stops", finding->stops);
	output_end_into(&entry, &status->object, status->array);
	return 0;
}

static int print_finding(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	struct status *status = context;

	if (status->listed++ == 0)
		(void)printf("problems\n");
	(void)printf("  %s", finding->log);
	if (finding->sequence > 0)
		(void)printf(", change set %lld", (long long)finding->sequence);
	(void)printf(": %s%s\n    ", finding->cause, finding->stops ? "; this log has stopped" : " (a warning)");
	output_text(stdout, finding->detail, strlen(finding->detail));
	if (finding->evidence[0] != '\0')
		(void)printf("\n    evidence: git object %s", finding->evidence);
	(void)putchar('\n');
	return output_check(err);
}

/* ---- remotes ---- */

static int add_remote(void *context, const char *name, const char *url, struct qosid_errbuf *err)
{
	struct status *status = context;
	struct output_object entry;

	(void)err;
	output_begin(&entry);
	output_add_text(&entry, "name", name);
	output_add_text(&entry, "url", url);
	output_end_into(&entry, &status->object, status->array);
	return 0;
}

/* ---- both forms ---- */

static int show_json(struct status *status, const struct replica_info *info, struct qosid_errbuf *err)
{
	struct space *space = status->cli->space;
	struct output_object *object = &status->object;
	int code;

	output_begin(object);
	output_add_text(object, "office", space_office(space));
	output_add_text(object, "space", space_id(space));
	output_add_text(object, "dir", space_dir(space));
	output_add_number(object, "sequence", info->sequence);
	output_add_number(object, "documents", info->documents);
	output_add_number(object, "deleted", info->deleted);
	output_add_number(object, "pending", info->pending);
	output_add_number(object, "conflicts", info->conflicts);
	output_add_number(object, "attachments", info->attachments);
	output_add_number(object, "bytes", info->bytes);
	status->array = output_add_array(object, "remotes");
	code = space_visit_remotes(space, add_remote, status, err);
	status->array = output_add_array(object, "logs");
	if (code == 0)
		code = space_visit_logs(space, add_log, status, err);
	status->array = output_add_array(object, "findings");
	if (code == 0)
		code = replica_visit_findings(space_replica(space), add_finding, status, err);
	if (code != 0) {
		cJSON_Delete(object->json);
		return code;
	}
	return output_end(object, err);
}

static int show_words(struct status *status, const struct replica_info *info, struct qosid_errbuf *err)
{
	struct space *space = status->cli->space;
	int code;

	(void)printf("office      %s\nspace       %s\nfolder      ", space_office(space), space_id(space));
	output_text(stdout, space_dir(space), strlen(space_dir(space)));
	(void)printf("\ndocuments   %lld", (long long)info->documents);
	if (info->deleted > 0)
		(void)printf(", and %lld deleted", (long long)info->deleted);
	(void)printf("\nsequence    %lld\npending     ", (long long)info->sequence);
	if (info->pending == 0)
		(void)printf("nothing waits to be published\n");
	else
		(void)printf("%lld change%s to publish (qosid sync)\n", (long long)info->pending,
		    output_plural((size_t)info->pending));
	if (info->conflicts > 0)
		(void)printf("conflicts   %lld document%s (qosid conflicts)\n", (long long)info->conflicts,
		    output_plural((size_t)info->conflicts));
	else
		(void)printf("conflicts   none\n");
	if (roster_find_member(space_roster(space), -1, space_office(space)) == NULL)
		(void)printf("member      not yet: the steward has to admit this office, then qosid sync\n");
	status->listed = 0;
	code = space_visit_logs(space, print_log, status, err);
	status->listed = 0;
	if (code == 0)
		code = replica_visit_findings(space_replica(space), print_finding, status, err);
	return code;
}

/* ---- forgetting ---- */

struct forget {
	const char *log; /* NULL: what stops no log, of all logs */
	size_t count;
};

static int count_forgotten(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	struct forget *forget = context;

	(void)err;
	if (forget->log != NULL ? strcmp(finding->log, forget->log) == 0 : !finding->stops)
		forget->count++;
	return 0;
}

static int forget(struct cli *cli, const char *log, struct qosid_errbuf *err)
{
	struct forget forget = {.log = strcmp(log, "all") != 0 ? log : NULL};
	struct output_object object;
	int code;

	code = replica_visit_findings(space_replica(cli->space), count_forgotten, &forget, err);
	if (code == 0)
		code = space_forget_warnings(cli->space, forget.log, err);
	if (code == QOSID_ERR_NOTFOUND)
		qosid_error_hint(err, "qosid status lists the problems, each after the name of its log");
	if (code != 0)
		return code;
	if (cli->json) {
		output_begin(&object);
		output_add_bool(&object, "ok", true);
		output_add_number(&object, "forgotten", (int64_t)forget.count);
		return output_end(&object, err);
	}
	if (!cli->quiet)
		(void)printf("forgot %zu problem%s\n", forget.count, output_plural(forget.count));
	return output_check(err);
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"forget", required_argument, NULL, OPTION_FORGET}, OPTIONS_COMMON};
	struct status status = {.cli = cli};
	const char *log = NULL;
	struct replica_info info;
	int opt, code;

	while ((opt = options_next(cli, argc, argv, "", table, err)) > 0) {
		if (log != NULL)
			return options_wrong(cli, err, "--forget takes one log at a time, or all");
		log = optarg;
	}
	code = opt < 0 ? opt : options_arguments(cli, argc, argv, 0, 0, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code == 0 && log != NULL)
		return forget(cli, log, err);
	if (code == 0)
		code = replica_read_info(space_replica(cli->space), &info, err);
	if (code != 0)
		return code;
	return cli->json ? show_json(&status, &info, err) : show_words(&status, &info, err);
}

const struct command cmd_status = {
    .name = "status",
    .group = "Meet the other offices",
    .synopsis = "[--forget LOG]",
    .summary = "show what waits, what was heard from whom, conflicts and problems",
    .help =
	"A problem is listed with the place, the cause and the git object that proves it.\n\n"
	"  --forget LOG            take the problems with LOG, such as office/khujand or office/khujand@origin,\n"
	"                          off the list, once somebody has looked at them; all: those of every log\n"
	"                          that do not stop it. What still does not hold is found again.\n\n"
	"With --json, one object: {\"office\",\"space\",\"dir\",\"sequence\",\"documents\",\"deleted\",\"pending\",\n"
	"\"conflicts\",\"attachments\",\"bytes\",\"remotes\":[{\"name\",\"url\"}],\n"
	"\"logs\":[{\"log\",\"own\",\"sequence\",\"generation\",\"time\",\"commit\"}],\n"
	"\"findings\":[{\"log\",\"sequence\",\"cause\",\"detail\",\"evidence\",\"time\",\"stops\"}]}.\n"
	"With --forget: {\"ok\":true,\"forgotten\"}, the number of problems.\n\n"
	"Example:\n"
	"  qosid status --json | jq .pending\n",
    .run = run,
};
