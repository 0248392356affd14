/*
 * qosid import: store the records of a CSV or JSON Lines file.
 *
 * Two passes. The first reads the whole file and checks everything that a file can get wrong; when anything is, nothing
 * is stored. The second stores, in transactions of --batch documents each.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/file.h"
#include "cli/idset.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/source.h"
#include "crypto/base64.h"

#define BATCH_DEFAULT 1000
#define BATCH_MAX 1000000

enum {
	OPTION_FORMAT = OPTION_OWN,
	OPTION_DELIMITER,
	OPTION_ID_TEMPLATE,
	OPTION_ID_COLUMN,
	OPTION_TYPE,
	OPTION_NUMBERS,
	OPTION_BATCH,
	OPTION_UPDATE,
	OPTION_SKIP_EXISTING,
	OPTION_DRY_RUN,
	OPTION_USER
};

struct import {
	struct cli *cli;
	struct replica *replica;
	struct source_rules rules;
	const char *path, *format, *user;
	bool update, skip_existing, dry_run;
	int64_t batch;

	FILE *file;
	uint64_t size;
	struct progress progress;
	struct idset ids;
	bool may_exist; /* the space has documents */

	int64_t in_batch; /* stored or passed over since the last commit */
	size_t checked, created, updated, unchanged, skipped;
	size_t safe; /* records whose transactions are committed */
	struct replica_record record;
	struct qosid_buf stubs, canonical[2];
};

/* ---- options ---- */

static int take_delimiter(struct cli *cli, struct import *import, const char *text, struct qosid_errbuf *err)
{
	if (strcmp(text, "tab") == 0 || strcmp(text, "\\t") == 0)
		text = "\t";
	if (text[0] == '\0' || text[1] != '\0' || strchr("\"\r\n", text[0]) != NULL || (unsigned char)text[0] > 0x7E)
		return options_wrong(cli, err, "--delimiter needs one character, or the word tab");
	import->rules.delimiter = text[0];
	return 0;
}

static int take_option(struct cli *cli, struct import *import, int opt, struct qosid_errbuf *err)
{
	switch (opt) {
	case OPTION_FORMAT:
		import->format = optarg;
		return 0;
	case OPTION_DELIMITER:
		return take_delimiter(cli, import, optarg, err);
	case OPTION_ID_TEMPLATE:
		import->rules.id_template = optarg;
		return 0;
	case OPTION_ID_COLUMN:
		import->rules.id_column = optarg;
		return 0;
	case OPTION_TYPE:
		import->rules.type = optarg;
		return 0;
	case OPTION_NUMBERS:
		import->rules.numbers = true;
		return 0;
	case OPTION_BATCH:
		return options_number(&import->batch, "--batch", optarg, BATCH_MAX, err);
	case OPTION_UPDATE:
		import->update = true;
		return 0;
	case OPTION_SKIP_EXISTING:
		import->skip_existing = true;
		return 0;
	case OPTION_DRY_RUN:
		import->dry_run = true;
		return 0;
	case OPTION_USER:
		import->user = optarg;
		return 0;
	default:
		return opt;
	}
}

static bool has_ending(const char *path, const char *ending)
{
	size_t len = strlen(path), n = strlen(ending);

	return len > n && strcasecmp(path + len - n, ending) == 0;
}

static int choose_format(struct cli *cli, struct import *import, struct qosid_errbuf *err)
{
	const char *format = import->format, *path = import->path;

	if (format == NULL && (has_ending(path, ".csv") || has_ending(path, ".tsv")))
		format = "csv";
	else if (format == NULL && (has_ending(path, ".jsonl") || has_ending(path, ".ndjson")))
		format = "jsonl";
	else if (format == NULL)
		return options_wrong(
		    cli, err, "the name of %s does not tell its format: give --format csv or jsonl", file_name(path));
	if (strcmp(format, "csv") != 0 && strcmp(format, "jsonl") != 0)
		return options_wrong(cli, err, "--format knows csv and jsonl, not %s", format);
	import->rules.csv = strcmp(format, "csv") == 0;
	if (!import->rules.csv && (import->rules.numbers || import->rules.delimiter != '\0'))
		return options_wrong(cli, err, "--numbers and --delimiter are for CSV");
	if (import->rules.delimiter == '\0')
		import->rules.delimiter = has_ending(path, ".tsv") ? '\t' : ',';
	return 0;
}

static int read_options(struct cli *cli, int argc, char **argv, struct import *import, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"format", required_argument, NULL, OPTION_FORMAT},
	    {"delimiter", required_argument, NULL, OPTION_DELIMITER},
	    {"id-template", required_argument, NULL, OPTION_ID_TEMPLATE},
	    {"id-column", required_argument, NULL, OPTION_ID_COLUMN}, {"type", required_argument, NULL, OPTION_TYPE},
	    {"numbers", no_argument, NULL, OPTION_NUMBERS}, {"batch", required_argument, NULL, OPTION_BATCH},
	    {"update", no_argument, NULL, OPTION_UPDATE}, {"skip-existing", no_argument, NULL, OPTION_SKIP_EXISTING},
	    {"dry-run", no_argument, NULL, OPTION_DRY_RUN}, {"user", required_argument, NULL, OPTION_USER},
	    OPTIONS_COMMON};
	int opt, code = 0;

	while (code == 0 && (opt = options_next(cli, argc, argv, "", table, err)) != 0)
		code = take_option(cli, import, opt, err);
	if (code == 0)
		code = options_arguments(cli, argc, argv, 1, 1, err);
	if (code == 0 && import->rules.id_template != NULL && import->rules.id_column != NULL)
		code = options_wrong(cli, err, "--id-template and --id-column exclude each other");
	if (code == 0 && import->update && import->skip_existing)
		code = options_wrong(cli, err, "--update and --skip-existing exclude each other");
	if (code == 0 && import->batch == 0)
		code = options_wrong(cli, err, "--batch needs at least 1");
	if (code != 0)
		return code;
	import->path = argv[optind];
	code = choose_format(cli, import, err);
	return code == 0 ? cli_user(import->user, &import->user, err) : code;
}

/* ---- the file, which must be read twice ---- */

/* Copy what cannot be read twice into a file without a name beside the replica. */
static int spool(struct import *import, FILE *from, struct qosid_errbuf *err)
{
	char chunk[65536], *path;
	size_t got;
	int fd, code = 0;

	if (asprintf(&path, "%s/import.XXXXXX", space_dir(import->cli->space)) < 0)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0 || unlink(path) != 0)
		code = qosid_error_errno(err, errno, "cannot make the file %s", path);
	free(path);
	if (code == 0 && (import->file = fdopen(fd, "w+")) == NULL)
		code = qosid_error_errno(err, errno, "cannot keep a copy of the input");
	if (code != 0) {
		if (fd >= 0)
			(void)close(fd);
		return code;
	}
	while ((got = fread(chunk, 1, sizeof(chunk), from)) > 0) {
		if (fwrite(chunk, 1, got, import->file) != got)
			return qosid_error_errno(err, errno, "cannot keep a copy of the input");
		import->size += got;
	}
	if (ferror(from))
		return qosid_error_errno(err, errno, "cannot read %s", file_name(import->path));
	if (fflush(import->file) != 0)
		return qosid_error_errno(err, errno, "cannot keep a copy of the input");
	return 0;
}

static int open_file(struct import *import, struct qosid_errbuf *err)
{
	bool standard = strcmp(import->path, "-") == 0;
	FILE *file = standard ? stdin : fopen(import->path, "re");
	struct stat st;
	int code = 0;

	if (file == NULL)
		return qosid_error_errno(err, errno, "cannot open %s", import->path);
	if (fstat(fileno(file), &st) != 0)
		code = qosid_error_errno(err, errno, "cannot read %s", import->path);
	else if (S_ISDIR(st.st_mode))
		code = qosid_error_errno(err, EISDIR, "cannot read %s", import->path);
	if (code == 0 && !standard && S_ISREG(st.st_mode)) {
		import->file = file;
		import->size = (uint64_t)st.st_size;
		return 0;
	}
	if (code == 0)
		code = spool(import, file, err);
	if (!standard)
		(void)fclose(file); /* it was only read */
	return code;
}

static int read_pass(struct import *import, const char *stage, source_record_fn take, struct qosid_errbuf *err)
{
	int code;

	if (fseeko(import->file, 0, SEEK_SET) != 0)
		return qosid_error_errno(err, errno, "cannot read %s", file_name(import->path));
	code = source_read(&import->rules, import->file, import->size, stage, &import->progress, take, import, err);
	if (code < 0 && code != QOSID_ERR_USAGE)
		(void)qosid_error_within(err, "%s", file_name(import->path));
	return code;
}

/* ---- first pass ---- */

static int check_base64(struct json_slice data, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	uint8_t *bytes = NULL;
	size_t len;
	int code;

	code = json_string_decode(data, &text, err);
	if (code != 0 || text.len == 0)
		goto out;
	bytes = malloc(text.len);
	if (bytes == NULL)
		code = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	else if (base64_decode(bytes, text.len, &len, BASE64_PADDED, (const char *)text.data, text.len) != 0)
		code = qosid_error(err, QOSID_ERR_INVALID, "the data of an attachment is not base64");
out:
	free(bytes);
	qosid_buf_wipe(&text);
	return code;
}

static int check_attachments(struct json_slice attachments, struct qosid_errbuf *err)
{
	struct json_slice name, value, data;
	size_t position = 0;
	int code = 0;

	if (attachments.len == 0)
		return 0;
	while (code == 0 && json_next(attachments, &position, &name, &value)) {
		if (json_slice_kind(value) == JSON_OBJECT && json_find(value, "data", &data) &&
		    json_slice_kind(data) == JSON_STRING) {
			code = check_base64(data, err);
			continue;
		}
		code = qosid_error(
		    err, QOSID_ERR_INVALID, "the attachment %.*s comes without its data", (int)name.len, name.text);
		qosid_error_hint(err, "export with --attachments, or take _attachments out");
	}
	return code;
}

static int check_new(struct import *import, const char *id, struct qosid_errbuf *err)
{
	struct qosid_errbuf local = {0};
	int code;

	if (import->update || import->skip_existing || !import->may_exist)
		return 0;
	code = replica_read_document(import->replica, id, NULL, &import->record, &local);
	if (code == QOSID_ERR_NOTFOUND)
		return 0;
	if (code != 0) {
		if (err != NULL)
			*err = local;
		return code;
	}
	code = qosid_error(err, QOSID_ERR_EXISTS, "the document %s is already in the space", id);
	qosid_error_hint(
	    err, "--update stores new revisions of documents that differ; --skip-existing leaves them alone");
	return code;
}

static int check_record(void *context, const struct source_record *record, struct qosid_errbuf *err)
{
	struct import *import = context;
	size_t earlier;
	int code;

	import->checked++;
	code = cli_check_id(record->id, err);
	if (code == 0 && record->body.len > LIMIT_DOCUMENT_BYTES)
		code =
		    qosid_error(err, QOSID_ERR_LIMIT, "the document is larger than %u MiB", LIMIT_DOCUMENT_BYTES >> 20);
	if (code == 0)
		code = check_attachments(record->attachments, err);
	if (code == 0)
		code = idset_add(&import->ids, record->id, record->line, &earlier, err);
	if (code == 0 && earlier != 0 && !import->update) {
		code = qosid_error(err, QOSID_ERR_INVALID, "the id %s stands in line %zu already", record->id, earlier);
		qosid_error_hint(err,
		    "make ids unique, for example with {#} in --id-template, or use --update to let the "
		    "later one win");
	}
	return code == 0 ? check_new(import, record->id, err) : code;
}

/* ---- second pass ---- */

static bool same_text(struct json_slice a, struct json_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
}

/* Whether two bodies say the same: byte for byte, or but for white space and the order of members. */
static int compare_bodies(
    struct import *import, struct json_slice a, struct json_slice b, bool *same, struct qosid_errbuf *err)
{
	struct qosid_buf *canonical = import->canonical;
	int code;

	*same = same_text(a, b);
	if (*same)
		return 0;
	qosid_buf_reset(&canonical[0]);
	qosid_buf_reset(&canonical[1]);
	code = json_canonicalize(a, &canonical[0], err);
	if (code == 0)
		code = json_canonicalize(b, &canonical[1], err);
	if (code == 0)
		*same = same_text((struct json_slice){(const char *)canonical[0].data, canonical[0].len},
		    (struct json_slice){(const char *)canonical[1].data, canonical[1].len});
	return code;
}

static int put_record(struct import *import, const struct source_record *record, const struct revision *parent,
    struct json_slice attachments, struct qosid_errbuf *err)
{
	struct revision written;
	struct replica_edit edit = {
	    .id = record->id,
	    .parent = parent,
	    .body = record->body,
	    .attachments = attachments,
	    .user = import->user,
	    .time = cli_now(),
	};
	int code = replica_put_edit(import->replica, &edit, &written, err);

	if (code == 0)
		*(parent != NULL ? &import->updated : &import->created) += 1;
	return code;
}

/* The document is there already. */
static int update_record(struct import *import, const struct source_record *record, struct qosid_errbuf *err)
{
	const struct replica_record *old = &import->record;
	struct json_slice attachments = record->attachments;
	bool same = false;
	int code = 0;

	if (import->skip_existing) {
		import->skipped++;
		return 0;
	}
	if (attachments.len == 0) {
		code = compare_bodies(
		    import, record->body, (struct json_slice){(const char *)old->body.data, old->body.len}, &same, err);
		qosid_buf_reset(&import->stubs);
		if (code == 0 && !same)
			code = cli_stub_attachments(
			    (struct json_slice){(const char *)old->attachments.data, old->attachments.len},
			    &import->stubs, err);
		attachments = (struct json_slice){(const char *)import->stubs.data, import->stubs.len};
	}
	if (code == 0 && same)
		import->unchanged++;
	else if (code == 0)
		code = put_record(import, record, &old->rev, attachments, err);
	return code;
}

static int commit_batch(struct import *import, struct qosid_errbuf *err)
{
	int code = import->in_batch > 0 ? replica_commit(import->replica, err) : 0;

	if (code == 0) {
		import->safe += (size_t)import->in_batch;
		import->in_batch = 0;
	}
	return code;
}

static int store_record(void *context, const struct source_record *record, struct qosid_errbuf *err)
{
	struct import *import = context;
	struct qosid_errbuf local = {0};
	int code = 0;

	if (import->in_batch == 0)
		code = replica_begin(import->replica, err);
	if (code != 0)
		return code;
	import->in_batch++;
	code = QOSID_ERR_NOTFOUND;
	if (import->update || import->skip_existing)
		code = replica_read_document(import->replica, record->id, NULL, &import->record, &local);
	if (code == 0)
		code = update_record(import, record, err);
	else if (code == QOSID_ERR_NOTFOUND)
		code = put_record(import, record, NULL, record->attachments, err);
	else if (err != NULL)
		*err = local;
	if (code == 0 && import->in_batch == import->batch)
		code = commit_batch(import, err);
	return code;
}

static int store_all(struct import *import, struct qosid_errbuf *err)
{
	int code;

	code = read_pass(import, "storing", store_record, err);
	if (code == 0)
		code = commit_batch(import, err);
	if (code == 0)
		return 0;
	replica_rollback(import->replica);
	if (import->safe > 0)
		qosid_error_hint(err, "the first %zu records are stored; go on with --skip-existing", import->safe);
	return code;
}

static int report(struct import *import, struct qosid_errbuf *err)
{
	struct output_object object;

	if (import->cli->json) {
		output_begin(&object);
		output_add_bool(&object, "ok", true);
		output_add_bool(&object, "dry_run", import->dry_run);
		output_add_number(&object, "records", (int64_t)import->checked);
		output_add_number(&object, "created", (int64_t)import->created);
		output_add_number(&object, "updated", (int64_t)import->updated);
		output_add_number(&object, "unchanged", (int64_t)import->unchanged);
		output_add_number(&object, "skipped", (int64_t)import->skipped);
		return output_end(&object, err);
	}
	if (import->cli->quiet)
		return 0;
	if (import->dry_run) {
		(void)printf("checked %zu record%s: nothing is wrong; nothing was stored\n", import->checked,
		    output_plural(import->checked));
		return 0;
	}
	(void)printf(
	    "imported %zu record%s: %zu new", import->checked, output_plural(import->checked), import->created);
	if (import->update)
		(void)printf(", %zu changed, %zu as they were", import->updated, import->unchanged);
	if (import->skip_existing)
		(void)printf(", %zu skipped", import->skipped);
	(void)putchar('\n');
	return 0;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct import import = {.cli = cli, .batch = BATCH_DEFAULT};
	struct replica_info info;
	int code;

	code = read_options(cli, argc, argv, &import, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code == 0)
		code = open_file(&import, err);
	if (code != 0)
		goto out;
	import.replica = space_replica(cli->space);
	code = replica_read_info(import.replica, &info, err);
	import.may_exist = code == 0 && info.documents > 0;
	progress_begin(&import.progress, cli);
	if (code == 0)
		code = read_pass(&import, "checking", check_record, err);
	if (code == 0 && !import.dry_run)
		code = store_all(&import, err);
	if (code == 0)
		code = report(&import, err);
out:
	if (import.file != NULL)
		(void)fclose(import.file); /* it was only read */
	idset_free(&import.ids);
	replica_record_free(&import.record);
	qosid_buf_free(&import.stubs);
	qosid_buf_wipe(&import.canonical[0]);
	qosid_buf_wipe(&import.canonical[1]);
	return code;
}

const struct command cmd_import = {
    .name = "import",
    .group = "Many records at once",
    .synopsis = "FILE [options]",
    .summary = "store the records of a CSV or JSON Lines file",
    .help = "FILE ends in .csv, .tsv, .jsonl or .ndjson, or --format tells; - is standard input. The whole file\n"
	    "is checked first: when a single row is bad, nothing is stored and the error names its line.\n"
	    "CSV is RFC 4180 in UTF-8 with a header row; each column becomes a member with text, byte for byte.\n"
	    "JSON Lines has one document a line; its _id is the id, its _rev is ignored. The id of a row is its\n"
	    "column _id unless an option below says otherwise; rows without any get random ids.\n\n"
	    "  --format csv|jsonl      the format, when the file's name does not tell\n"
	    "  --delimiter C           CSV: what separates fields (a comma; in .tsv a tab; the word tab)\n"
	    "  --numbers               CSV: fields that are JSON numbers become numbers, digits as written\n"
	    "  --id-column NAME        the id is the value of this column or member\n"
	    "  --id-template TEXT      the id is TEXT with {NAME} replaced by that column, {#} by the row's number\n"
	    "  --type NAME             add the member \"type\":\"NAME\" to documents that have none\n"
	    "  --update                store a new revision of documents that are there and differ\n"
	    "  --skip-existing         leave documents that are there alone\n"
	    "  --batch N               documents in one transaction (1000)\n"
	    "  --dry-run               check only\n"
	    "  --user NAME             who makes the change (else $QOSID_USER, else the login name)\n\n"
	    "With --json: {\"ok\":true,\"dry_run\",\"records\",\"created\",\"updated\",\"unchanged\",\"skipped\"}.\n\n"
	    "Example:\n"
	    "  qosid import figures.csv --type migration --numbers --id-template 'iom:{Country}:{Year}:{Sex}:{Age}'\n",
    .run = run,
};
