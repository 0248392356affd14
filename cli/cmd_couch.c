/*
 * qosid couch: replicate with a CouchDB or whatever speaks its protocol, in either direction.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "sync/couch/couch.h"

enum {
	OPTION_CONTINUOUS = OPTION_OWN,
	OPTION_CREATE_TARGET,
	OPTION_USER_FILE,
	OPTION_CA,
	OPTION_PROXY,
	OPTION_SELECTOR,
	OPTION_FILTER,
};

/* What a signal handler can reach: SIGINT and SIGTERM end a replication in good order. */
static atomic_bool ended;

static void end_replication(int signal)
{
	(void)signal;
	atomic_store(&ended, true);
}

static int catch_signals(struct qosid_errbuf *err)
{
	struct sigaction action = {.sa_handler = end_replication, .sa_flags = (int)SA_RESETHAND};

	if (sigaction(SIGINT, &action, NULL) != 0 || sigaction(SIGTERM, &action, NULL) != 0)
		return qosid_error_errno(err, errno, "cannot catch signals");
	return 0;
}

struct couch {
	struct cli *cli;
	struct couch_peer peer;
	struct couch_options options;
	struct progress progress;
	const char *user_file;
	bool push;
	bool away; /* the peer was offline */
};

static void show_progress(void *context, const struct couch_report *report)
{
	struct couch *couch = context;

	progress_report(&couch->progress, couch->push ? "sending" : "receiving",
	    (uint64_t)(report->written + report->failed), (uint64_t)report->missing);
}

static void tell_refused(void *context, const char *id, const char *rev, const struct qosid_errbuf *reason)
{
	struct couch *couch = context;

	progress_end(&couch->progress);
	(void)fputs("qosid: left out: ", stderr);
	output_text(stderr, id, strlen(id));
	(void)fputs(" ", stderr);
	output_text(stderr, rev, strlen(rev));
	(void)fputs(": ", stderr);
	output_text(stderr, reason->what, strlen(reason->what));
	(void)fputs("\n", stderr);
}

static void tell_offline(void *context, const struct qosid_errbuf *reason, int64_t wait_ms)
{
	struct couch *couch = context;

	if (couch->cli->quiet || (reason == NULL && !couch->away))
		return;
	progress_end(&couch->progress);
	if (reason != NULL) {
		(void)fputs("qosid: ", stderr);
		output_text(stderr, reason->what, strlen(reason->what));
		(void)fprintf(stderr, "; trying again in %lld s\n", (long long)(wait_ms + 999) / 1000);
	} else {
		(void)fputs("qosid: the other end is back\n", stderr);
	}
	couch->away = reason != NULL;
}

/* ---- reports ---- */

static void print_words(const struct couch *couch, const struct couch_report *report)
{
	struct qosid_buf address = {0};

	if (couch_format_address(couch->peer.url, &address, NULL) == 0)
		output_text(stdout, (const char *)address.data, address.len);
	qosid_buf_free(&address);
	if (report->missing == 0 && report->failed == 0)
		(void)fputs(": nothing new", stdout);
	else
		(void)printf(": %s %lld change%s", couch->push ? "sent" : "received", (long long)report->written,
		    output_plural((size_t)report->written));
	if (report->attachments > 0)
		(void)printf(
		    ", %lld attachment%s", (long long)report->attachments, output_plural((size_t)report->attachments));
	if (report->denied > 0)
		(void)printf("; %lld denied by the other end", (long long)report->denied);
	if (report->failed > report->denied)
		(void)printf("; %lld left out", (long long)(report->failed - report->denied));
	if (report->waiting > 0)
		(void)printf("; %lld wait%s for an attachment that has not arrived here yet",
		    (long long)report->waiting, report->waiting == 1 ? "s" : "");
	(void)fputs(
	    report->cancelled && !couch->options.continuous ? "; ended before it was complete\n" : "\n", stdout);
}

static int print_json(const struct couch *couch, const struct couch_report *report, struct qosid_errbuf *err)
{
	struct output_object object;
	struct qosid_buf address = {0};

	output_begin(&object);
	if (couch_format_address(couch->peer.url, &address, NULL) == 0)
		output_add_text(&object, couch->push ? "target" : "source", (const char *)address.data);
	qosid_buf_free(&address);
	output_add_text(&object, "replication_id", report->id);
	output_add_text(&object, "session_id", report->session);
	output_add_number(&object, "revisions_checked", report->checked);
	output_add_number(&object, "missing_revisions_found", report->missing);
	output_add_number(&object, "docs_read", report->read);
	output_add_number(&object, "docs_written", report->written);
	output_add_number(&object, "doc_write_failures", report->failed);
	output_add_number(&object, "denied", report->denied);
	output_add_number(&object, "waiting", report->waiting);
	output_add_number(&object, "attachments", report->attachments);
	output_add_bool(&object, "cancelled", report->cancelled);
	if (report->through.len > 0)
		output_add_raw(&object, "source_last_seq", (const char *)report->through.data);
	return output_end(&object, err);
}

/* ---- the work ---- */

static int replicate(struct couch *couch, struct qosid_errbuf *err)
{
	struct couch_end here = {.replica = space_replica(couch->cli->space)}, there = {.peer = &couch->peer};
	struct couch_report report = {0};
	struct qosid_buf credentials = {0};
	int code = 0;

	couch->options.source = couch->push ? here : there;
	couch->options.target = couch->push ? there : here;
	couch->options.scratch = space_dir(couch->cli->space);
	couch->options.listener = (struct couch_listener){
	    .progress = show_progress, .refused = tell_refused, .offline = tell_offline, .context = couch};
	if (couch->user_file != NULL)
		code = couch_read_credentials(
		    couch->user_file, &credentials, &couch->peer.user, &couch->peer.password, err);
	if (code == 0)
		code = catch_signals(err);
	if (code == 0) {
		couch->options.cancel = &ended;
		progress_begin(&couch->progress, couch->cli);
		code = couch_replicate(&couch->options, &report, err);
		progress_end(&couch->progress);
	}
	qosid_buf_wipe(&credentials);
	if (code == 0 && couch->cli->json)
		code = print_json(couch, &report, err);
	else if (code == 0 && !couch->cli->quiet)
		print_words(couch, &report);
	if (code == QOSID_ERR_OFFLINE)
		qosid_error_hint(err, "nothing is lost: repeat it later, it goes on where it was");
	couch_report_free(&report);
	return code;
}

static int take_options(struct couch *couch, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {
	    {"continuous", no_argument, NULL, OPTION_CONTINUOUS},
	    {"create-target", no_argument, NULL, OPTION_CREATE_TARGET},
	    {"user-file", required_argument, NULL, OPTION_USER_FILE},
	    {"ca", required_argument, NULL, OPTION_CA},
	    {"proxy", required_argument, NULL, OPTION_PROXY},
	    {"selector", required_argument, NULL, OPTION_SELECTOR},
	    {"filter", required_argument, NULL, OPTION_FILTER},
	    OPTIONS_COMMON,
	};
	int opt;

	while ((opt = options_next(couch->cli, argc, argv, "", table, err)) > 0) {
		switch (opt) {
		case OPTION_CONTINUOUS:
			couch->options.continuous = true;
			break;
		case OPTION_CREATE_TARGET:
			couch->options.create_target = true;
			break;
		case OPTION_USER_FILE:
			couch->user_file = optarg;
			break;
		case OPTION_CA:
			couch->peer.ca_file = optarg;
			break;
		case OPTION_PROXY:
			couch->peer.proxy = optarg;
			break;
		case OPTION_SELECTOR:
			couch->options.selector = optarg;
			break;
		default:
			couch->options.filter = optarg;
			break;
		}
	}
	return opt;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct couch couch = {.cli = cli};
	const char *direction;
	int code = take_options(&couch, argc, argv, err);

	if (code == 0)
		code = options_arguments(cli, argc, argv, 2, 2, err);
	if (code != 0)
		return code;
	direction = argv[optind];
	couch.push = strcmp(direction, "push") == 0;
	couch.peer.url = argv[optind + 1];
	if (!couch.push && strcmp(direction, "pull") != 0)
		return options_wrong(cli, err, "couch knows pull and push, not %s", direction);
	if (!couch.push && couch.options.create_target)
		return options_wrong(cli, err, "--create-target goes with push");
	if (couch.push && couch.options.filter != NULL)
		return options_wrong(cli, err, "--filter goes with pull: the other end evaluates it");
	code = cli_open_space(cli, err);
	return code != 0 ? code : replicate(&couch, err);
}

const struct command cmd_couch = {
    .name = "couch",
    .group = "Meet the other offices",
    .synopsis = "pull|push URL [--continuous] [--create-target] [--user-file FILE] [--ca FILE]",
    .summary = "replicate with a CouchDB or PouchDB server",
    .help = "pull brings here what the database at URL has, push brings there what is here: all current\n"
	    "versions, those in conflict and deletions included. Interrupted anywhere, it goes on where it was.\n"
	    "What is pulled is published to the other offices at the next qosid sync, with the peer's name.\n\n"
	    "  --continuous       go on with later changes, also after times without connection, until ended (Ctrl-C)\n"
	    "  --create-target    push: make the database when it is not there\n"
	    "  --user-file FILE   its first line is user:password; only its owner may be able to read it\n"
	    "  --ca FILE          PEM certificates to trust instead of the system's\n"
	    "  --proxy URL        go through this proxy; \"\" for none\n"
	    "  --selector JSON    only documents that this Mango selector matches\n"
	    "  --filter NAME      pull: only what the other end's filter function DESIGN/NAME lets pass\n\n"
	    "With --json: {\"source\" or \"target\",\"replication_id\",\"session_id\",\"revisions_checked\",\n"
	    "\"missing_revisions_found\",\"docs_read\",\"docs_written\",\"doc_write_failures\",\"denied\",\n"
	    "\"waiting\",\"attachments\",\"cancelled\",\"source_last_seq\"}.\n\n"
	    "Example:\n"
	    "  qosid couch push https://couch.example.org/register --create-target --user-file ~/.couch\n",
    .run = run,
};
