/*
 * qosid fetch-file: bring the contents of large attachments that have been left where they are.
 */
#include <string.h>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"

enum { OPTION_REMOTE = OPTION_OWN };

struct fetch {
	struct cli *cli;
	const char *id, *remote; /* remote NULL: any */
	const char *attachment;  /* the one being fetched */
	uint8_t digest[DIGEST_BYTES];
	int64_t length;
	struct qosid_buf offices, remotes; /* names, each with its NUL */
	bool found;
	struct qosid_errbuf fault; /* of a remote that could not be asked */
};

static int add_office(void *context, const struct attachment_absence *absence, struct qosid_errbuf *err)
{
	struct fetch *fetch = context;

	if (strcmp(absence->office, space_office(fetch->cli->space)) == 0)
		return 0; /* what it carries, it has */
	return qosid_buf_append(&fetch->offices, absence->office, strlen(absence->office) + 1, err);
}

static int add_remote(void *context, const char *name, const char *url, struct qosid_errbuf *err)
{
	struct fetch *fetch = context;

	(void)url;
	if (fetch->remote != NULL && strcmp(fetch->remote, name) != 0)
		return 0;
	return qosid_buf_append(&fetch->remotes, name, strlen(name) + 1, err);
}

static const char *next_name(const struct qosid_buf *names, const char *name)
{
	const char *next = name == NULL ? (const char *)names->data : name + strlen(name) + 1;

	return names->len == 0 || next == (const char *)names->data + names->len ? NULL : next;
}

static int print(struct fetch *fetch, const char *office, const char *remote, uint64_t bytes, struct qosid_errbuf *err)
{
	struct output_object object;
	char log[LOG_NAME_SIZE] = "";

	if (office != NULL)
		(void)snprintf(log, sizeof(log), "files/%s", office);
	if (fetch->cli->json) {
		output_begin(&object);
		output_add_text(&object, "id", fetch->id);
		output_add_text(&object, "name", fetch->attachment);
		output_add_number(&object, "length", fetch->length);
		output_add_text(&object, "log", log);
		output_add_text(&object, "remote", remote);
		output_add_number(&object, "fetched", (int64_t)bytes);
		return output_end(&object, err);
	}
	if (fetch->cli->quiet)
		return 0;
	output_text(stdout, fetch->attachment, strlen(fetch->attachment));
	if (office == NULL)
		(void)printf(": %lld bytes, here already\n", (long long)fetch->length);
	else
		(void)printf(": %lld bytes; %llu bytes fetched of %s at %s\n", (long long)fetch->length,
		    (unsigned long long)bytes, log, remote);
	return output_check(err);
}

/* Ask one remote for one office's log. */
static int try_log(struct fetch *fetch, const char *office, const char *remote, struct qosid_errbuf *err)
{
	struct exchange_wanted wanted = {office, fetch->digest};
	struct exchange_report report = {0};
	struct qosid_errbuf fault = {0};
	struct progress progress;
	struct exchange_progress drawn = progress_for_space(&progress);
	int code;

	progress_begin(&progress, fetch->cli);
	code = space_fetch_file(fetch->cli->space, remote, &wanted, &drawn, &report, &fetch->found, &fault);
	progress_end(&progress);
	if (code == 0)
		return fetch->found ? print(fetch, office, remote, report.bytes_fetched, err) : 0;
	if (fetch->remote == NULL && (code == QOSID_ERR_OFFLINE || code == QOSID_ERR_REFUSED)) {
		fetch->fault = fault; /* another remote may do */
		return 0;
	}
	if (err != NULL)
		*err = fault;
	return code;
}

static int explain_absence(struct fetch *fetch, struct qosid_errbuf *err)
{
	const char *office = next_name(&fetch->offices, NULL);

	if (fetch->fault.code != 0) {
		if (err != NULL)
			*err = fetch->fault;
		return fetch->fault.code;
	}
	if (office == NULL)
		return qosid_error(err, QOSID_ERR_NOTFOUND,
		    "the content of %s is not here, and no log that was received says whose files log holds it",
		    fetch->attachment);
	(void)qosid_error(err, QOSID_ERR_NOTFOUND,
	    "the content of %s is in files/%s, and no remote that was asked has that much of it", fetch->attachment,
	    office);
	qosid_error_hint(err, "once %s has synced with a remote of yours, try again", office);
	return QOSID_ERR_NOTFOUND;
}

/* One attachment: from wherever it can be had. */
static int fetch_one(struct fetch *fetch, struct qosid_errbuf *err)
{
	struct replica *replica = space_replica(fetch->cli->space);
	int code = attachment_find(replica, fetch->digest, &fetch->found, NULL, err);

	if (code != 0)
		return code;
	if (fetch->found)
		return print(fetch, NULL, "", 0, err);
	qosid_buf_reset(&fetch->offices);
	if ((code = attachment_visit_absent(replica, fetch->digest, add_office, fetch, err)) != 0)
		return code;
	for (const char *remote = NULL; code == 0 && !fetch->found;) {
		if ((remote = next_name(&fetch->remotes, remote)) == NULL)
			break;
		for (const char *office = NULL; code == 0 && !fetch->found;) {
			if ((office = next_name(&fetch->offices, office)) == NULL)
				break;
			code = try_log(fetch, office, remote, err);
		}
	}
	return code != 0 || fetch->found ? code : explain_absence(fetch, err);
}

static int take_entry(struct fetch *fetch, struct json_slice entry, struct qosid_errbuf *err)
{
	unsigned long long length = 0;
	struct json_slice value;

	if (!json_find(entry, "digest", &value) || value.len < 2)
		return qosid_error(err, QOSID_ERR_CORRUPT, "the stored attachment %s has no digest", fetch->attachment);
	if (json_find(entry, "length", &value))
		(void)json_parse_unsigned(value, INT64_MAX, &length, NULL); /* only to be shown */
	fetch->length = (int64_t)length;
	(void)json_find(entry, "digest", &value); /* it is there */
	return digest_parse(fetch->digest, value.text + 1, value.len - 2, err);
}

/* All attachments of the document, or the one of this name. */
static int fetch_all(
    struct fetch *fetch, const struct replica_record *record, const char *wanted, struct qosid_errbuf *err)
{
	struct json_slice all = {(const char *)record->attachments.data, record->attachments.len}, name, entry;
	struct qosid_buf text = {0};
	size_t position = 0, count = 0;
	int code = 0;

	while (code == 0 && all.len > 0 && json_next(all, &position, &name, &entry)) {
		if (wanted != NULL && !json_string_equal(name, wanted))
			continue;
		count++;
		qosid_buf_reset(&text);
		if ((code = json_string_decode(name, &text, err)) != 0)
			break;
		fetch->attachment = (const char *)text.data;
		if ((code = take_entry(fetch, entry, err)) == 0)
			code = fetch_one(fetch, err);
	}
	if (code == 0 && count == 0)
		code = qosid_error(err, QOSID_ERR_NOTFOUND, "%s has no attachment%s%s", fetch->id,
		    wanted != NULL ? " " : "", wanted != NULL ? wanted : "");
	qosid_buf_free(&text);
	return code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"remote", required_argument, NULL, OPTION_REMOTE}, OPTIONS_COMMON};
	struct fetch fetch = {.cli = cli};
	struct replica_record record = {0};
	int opt, code;

	while ((opt = options_next(cli, argc, argv, "", table, err)) > 0)
		fetch.remote = optarg;
	code = opt < 0 ? opt : options_arguments(cli, argc, argv, 1, 2, err);
	if (code != 0)
		return code;
	fetch.id = argv[optind];
	if ((code = cli_check_id(fetch.id, err)) != 0 || (code = cli_open_space(cli, err)) != 0)
		return code;
	code = replica_read_document(space_replica(cli->space), fetch.id, NULL, &record, err);
	if (code == 0)
		code = space_visit_remotes(cli->space, add_remote, &fetch, err);
	if (code == 0 && fetch.remotes.len == 0)
		code = qosid_error(err, QOSID_ERR_NOTFOUND, "there is no remote%s%s", fetch.remote != NULL ? " " : "",
		    fetch.remote != NULL ? fetch.remote : "");
	if (code == 0)
		code = fetch_all(&fetch, &record, optind + 1 < argc ? argv[optind + 1] : NULL, err);
	qosid_buf_free(&fetch.offices);
	qosid_buf_free(&fetch.remotes);
	replica_record_free(&record);
	return code;
}

const struct command cmd_fetch_file = {
    .name = "fetch-file",
    .group = "Meet the other offices",
    .synopsis = "ID [NAME] [--remote NAME]",
    .summary = "bring the contents of a document's large attachments that are not here",
    .help = "Fetches the files log of the office that published them, from the first remote that has it, no further\n"
	    "than needed: what that office published earlier comes along, because a log is verified from its\n"
	    "beginning.\n\n"
	    "  --remote NAME           ask this remote only\n\n"
	    "With --json, one object an attachment: {\"id\",\"name\",\"length\",\"log\",\"remote\",\"fetched\"}; "
	    "fetched is\n"
	    "in bytes, 0 when it was here. Exit status 3: there is no such attachment, or nobody who was asked has\n"
	    "its content; 6: no remote that may have it can be reached.\n\n"
	    "Example:\n"
	    "  qosid fetch-file person:42 scan.pdf --remote origin\n",
    .run = run,
};
