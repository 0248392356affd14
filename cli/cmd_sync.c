/*
 * qosid sync: meet the remotes: fetch, verify, apply, publish, push; and say in plain words what came of it.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"

/* A log's position before the exchange. */
struct position {
	char office[LIMIT_SLUG_BYTES + 1];
	int64_t sequence;
};

struct positions {
	struct position *all;
	size_t count;
	struct qosid_buf moved; /* names of the offices whose logs have moved since, joined by ", " */
};

struct sync {
	struct cli *cli;
	char **remotes;
	size_t count;
	bool stopped;  /* a finding stops a log */
	int first_bad; /* the code of the first remote that failed */
	struct qosid_errbuf *err;
};

static const char *office_of(const struct space_log *log)
{
	return strncmp(log->name, "office/", 7) == 0 && !log->own ? log->name + 7 : NULL;
}

static int remember_position(void *context, const struct space_log *log, struct qosid_errbuf *err)
{
	struct positions *positions = context;
	const char *office = office_of(log);
	struct position *all;

	if (office == NULL)
		return 0;
	all = reallocarray(positions->all, positions->count + 1, sizeof(*all));
	if (all == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	positions->all = all;
	(void)snprintf(all[positions->count].office, sizeof(all->office), "%s", office);
	all[positions->count++].sequence = log->sequence;
	return 0;
}

static int note_moved(void *context, const struct space_log *log, struct qosid_errbuf *err)
{
	struct positions *positions = context;
	const char *office = office_of(log);
	int64_t before = 0;

	if (office == NULL)
		return 0;
	for (size_t i = 0; i < positions->count; i++) {
		if (strcmp(positions->all[i].office, office) == 0)
			before = positions->all[i].sequence;
	}
	if (log->sequence <= before)
		return 0;
	return qosid_buf_append_format(&positions->moved, err, "%s%s", positions->moved.len > 0 ? ", " : "", office);
}

/* ---- reports ---- */

static void print_words(const char *remote, const struct exchange_report *report, const char *moved)
{
	const char *separator = "";

	(void)printf("%s: ", remote);
	if (report->sets_published > 0) {
		(void)printf("published %zu change%s in %zu set%s", report->revisions_published,
		    output_plural(report->revisions_published), report->sets_published,
		    output_plural(report->sets_published));
		separator = ", ";
	}
	if (report->sets_applied > 0) {
		(void)printf("%sreceived %zu change%s%s%s", separator, report->revisions_applied,
		    output_plural(report->revisions_applied), moved[0] != '\0' ? " from " : "", moved);
		separator = ", ";
	}
	if (separator[0] == '\0' && report->commits_pushed > 0)
		(void)printf("sent %zu commit%s that it did not have", report->commits_pushed,
		    output_plural(report->commits_pushed));
	else if (separator[0] == '\0' && report->commits_fetched > 0)
		(void)printf("received %zu commit%s", report->commits_fetched, output_plural(report->commits_fetched));
	else if (separator[0] == '\0')
		(void)fputs("nothing new", stdout);
	if (report->conflicts > 0)
		(void)printf("; %zu document%s now ha%s a conflict (qosid conflicts)", report->conflicts,
		    output_plural(report->conflicts), report->conflicts == 1 ? "s" : "ve");
	if (report->waiting > 0)
		(void)printf("; %zu log%s wait%s for something that has not arrived yet", report->waiting,
		    output_plural(report->waiting), report->waiting == 1 ? "s" : "");
	if (report->findings > 0)
		(void)printf("; %zu problem%s found (qosid status)", report->findings, output_plural(report->findings));
	(void)putchar('\n');
}

static int print_json(const char *remote, const struct exchange_report *report, const char *moved,
    const struct qosid_errbuf *failure, struct qosid_errbuf *err)
{
	struct output_object object;
	cJSON *from;

	output_begin(&object);
	output_add_text(&object, "remote", remote);
	output_add_bool(&object, "ok", failure == NULL);
	output_add_number(&object, "sets_published", (int64_t)report->sets_published);
	output_add_number(&object, "revisions_published", (int64_t)report->revisions_published);
	output_add_number(&object, "sets_applied", (int64_t)report->sets_applied);
	output_add_number(&object, "revisions_applied", (int64_t)report->revisions_applied);
	from = output_add_array(&object, "from");
	while (*moved != '\0') {
		char office[LIMIT_SLUG_BYTES + 1];
		size_t len = strcspn(moved, ",");

		(void)snprintf(office, sizeof(office), "%.*s", (int)len, moved);
		output_add_element(&object, from, cJSON_CreateString(office));
		moved += len + strspn(moved + len, ", ");
	}
	output_add_number(&object, "conflicts", (int64_t)report->conflicts);
	output_add_number(&object, "logs_pushed", (int64_t)report->logs_pushed);
	output_add_number(&object, "commits_pushed", (int64_t)report->commits_pushed);
	output_add_number(&object, "commits_fetched", (int64_t)report->commits_fetched);
	output_add_number(&object, "bytes_pushed", (int64_t)report->bytes_pushed);
	output_add_number(&object, "bytes_fetched", (int64_t)report->bytes_fetched);
	output_add_number(&object, "findings", (int64_t)report->findings);
	output_add_number(&object, "waiting", (int64_t)report->waiting);
	if (failure != NULL) {
		output_add_text(&object, "error", qosid_error_name(failure->code));
		output_add_text(&object, "reason", failure->what);
	}
	return output_end(&object, err);
}

/* ---- the work ---- */

/* Meet one remote. Its failure is printed and remembered, so that the others are met all the same; what is returned
 * stops everything. */
static int sync_one(struct sync *sync, const char *remote, struct qosid_errbuf *err)
{
	struct space *space = sync->cli->space;
	struct positions positions = {0};
	struct exchange_report report = {0};
	struct qosid_errbuf failure = {0};
	struct progress progress;
	struct exchange_progress drawn = progress_for_space(&progress);
	const char *moved;
	int code, met = 0;

	code = space_visit_logs(space, remember_position, &positions, err);
	if (code != 0)
		goto out;
	progress_begin(&progress, sync->cli);
	met = space_exchange(space, remote, &drawn, &report, &failure);
	progress_end(&progress);
	code = space_visit_logs(space, note_moved, &positions, err);
	if (code != 0)
		goto out;
	moved = positions.moved.data != NULL ? (const char *)positions.moved.data : "";
	if (sync->cli->json)
		code = print_json(remote, &report, moved, met != 0 ? &failure : NULL, err);
	else if (met == 0 && !sync->cli->quiet)
		print_words(remote, &report, moved);
	if (met != 0) {
		if (strncmp(failure.where, "remote ", 7) != 0)
			(void)qosid_error_within(&failure, "remote %s", remote);
		if (met == QOSID_ERR_OFFLINE)
			qosid_error_hint(&failure, "nothing is lost: changes wait here until the next qosid sync");
		(void)fflush(stdout);
		output_error(&failure);
		if (sync->first_bad == 0)
			sync->first_bad = met;
	}
out:
	free(positions.all);
	qosid_buf_free(&positions.moved);
	return code;
}

static int take_remote(void *context, const char *name, const char *url, struct qosid_errbuf *err)
{
	struct sync *sync = context;
	char **remotes = reallocarray(sync->remotes, sync->count + 1, sizeof(*remotes));

	(void)url;
	if (remotes == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	sync->remotes = remotes;
	remotes[sync->count] = strdup(name);
	if (remotes[sync->count] == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	sync->count++;
	return 0;
}

static int note_stop(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	struct sync *sync = context;

	(void)err;
	if (!finding->stops)
		return 0;
	sync->stopped = true;
	(void)fprintf(stderr, "qosid: the log %s has stopped", finding->log);
	if (finding->sequence > 0)
		(void)fprintf(stderr, " at change set %lld", (long long)finding->sequence);
	(void)fputs(": ", stderr);
	output_text(stderr, finding->detail, strlen(finding->detail));
	(void)fputs("\n", stderr);
	return 0;
}

static int sync_all(struct sync *sync, struct qosid_errbuf *err)
{
	int code = 0;

	for (size_t i = 0; code == 0 && i < sync->count; i++)
		code = sync_one(sync, sync->remotes[i], err);
	if (code == 0)
		code = replica_visit_findings(space_replica(sync->cli->space), note_stop, sync, err);
	if (code != 0)
		return code;
	qosid_error_clear(err); /* what there is to say has been said */
	if (sync->stopped) {
		(void)fprintf(stderr, "hint: qosid status shows the evidence; the other logs go on\n");
		return QOSID_ERR_REFUSED;
	}
	return sync->first_bad;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {OPTIONS_COMMON};
	struct sync sync = {.cli = cli};
	int code;

	code = options_next(cli, argc, argv, "", table, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code != 0)
		return code;
	for (int i = optind; code == 0 && i < argc; i++)
		code = take_remote(&sync, argv[i], "", err);
	if (code == 0 && optind == argc)
		code = space_visit_remotes(cli->space, take_remote, &sync, err);
	if (code == 0 && sync.count == 0) {
		code = qosid_error(err, QOSID_ERR_USAGE, "this space has no remote to meet");
		qosid_error_hint(err, "name a folder: qosid remote add origin /mnt/stick/records.git --create");
	}
	if (code == 0)
		code = sync_all(&sync, err);
	for (size_t i = 0; i < sync.count; i++)
		free(sync.remotes[i]);
	free(sync.remotes);
	return code;
}

const struct command cmd_sync = {
    .name = "sync",
    .group = "Meet the other offices",
    .synopsis = "[REMOTE...]",
    .summary = "exchange changes with the remotes (all of them by default)",
    .help = "Fetches what the others have published, verifies it, applies it, publishes this office's changes\n"
	    "and pushes them. May be interrupted and repeated at any time.\n\n"
	    "Exit status 6: a remote could not be reached, try later. Exit status 5: a log was refused and has\n"
	    "stopped; qosid status shows why. The other logs go on.\n\n"
	    "With --json, one object a remote: {\"remote\",\"ok\",\"sets_published\",\"revisions_published\",\n"
	    "\"sets_applied\",\"revisions_applied\",\"from\":[OFFICE,..],\"conflicts\",\"logs_pushed\",\n"
	    "\"commits_pushed\",\"commits_fetched\",\"bytes_pushed\",\"bytes_fetched\",\"findings\",\"waiting\"}, and\n"
	    "\"error\" and \"reason\" when ok is false.\n\n"
	    "Example:\n"
	    "  qosid sync stick\n",
    .run = run,
};
