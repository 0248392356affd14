/*
 * qosid export: write documents as JSON Lines or CSV.
 *
 * CSV needs to know all columns before its first row, so documents are visited twice; when another program brings a new
 * member in between, the export fails rather than leave it out.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/file.h"
#include "cli/options.h"
#include "cli/output.h"

enum { OPTION_FORMAT = OPTION_OWN, OPTION_FROM, OPTION_TO, OPTION_TYPE, OPTION_ATTACHMENTS, OPTION_SAFE };

struct export
{
	struct cli *cli;
	const char *format, *path, *prefix, *type;
	struct replica_range range;
	unsigned render;
	bool safe;

	struct file_output output;
	struct qosid_buf line, text;
	struct qosid_buf *columns; /* CSV: unescaped names of members, in the order in which they were met */
	size_t column_count, column_capacity;
	struct json_slice *values; /* of one document, by column */
	size_t exported;
};

/* ---- options ---- */

static int take_option(struct export *export, int opt)
{
	switch (opt) {
	case OPTION_FORMAT:
		export->format = optarg;
		return 0;
	case OPTION_FROM:
		export->range.from = optarg;
		return 0;
	case OPTION_TO:
		export->range.to = optarg;
		return 0;
	case OPTION_TYPE:
		export->type = optarg;
		return 0;
	case OPTION_ATTACHMENTS:
		export->render = RENDER_ATTACHMENTS;
		return 0;
	case OPTION_SAFE:
		export->safe = true;
		return 0;
	case 'o':
		export->path = optarg;
		return 0;
	default:
		return opt;
	}
}

static int read_options(struct cli *cli, int argc, char **argv, struct export *export, struct qosid_errbuf *err)
{
	static const struct option table[] = {{"format", required_argument, NULL, OPTION_FORMAT},
	    {"from", required_argument, NULL, OPTION_FROM}, {"to", required_argument, NULL, OPTION_TO},
	    {"type", required_argument, NULL, OPTION_TYPE}, {"attachments", no_argument, NULL, OPTION_ATTACHMENTS},
	    {"safe", no_argument, NULL, OPTION_SAFE}, {"output", required_argument, NULL, 'o'}, OPTIONS_COMMON};
	int opt, code = 0;
	size_t len;

	while (code == 0 && (opt = options_next(cli, argc, argv, "o:", table, err)) != 0)
		code = take_option(export, opt);
	if (code == 0)
		code = options_arguments(cli, argc, argv, 0, 1, err);
	if (code != 0)
		return code;
	export->prefix = optind < argc ? argv[optind] : "";
	if (export->range.from == NULL || strcmp(export->range.from, export->prefix) < 0)
		export->range.from = export->prefix;
	len = export->path != NULL ? strlen(export->path) : 0;
	if (export->format == NULL)
		export->format = len > 4 && strcasecmp(export->path + len - 4, ".csv") == 0 ? "csv" : "jsonl";
	if (strcmp(export->format, "csv") != 0 && strcmp(export->format, "jsonl") != 0)
		return options_wrong(cli, err, "--format knows csv and jsonl, not %s", export->format);
	if (export->safe && strcmp(export->format, "csv") != 0)
		return options_wrong(cli, err, "--safe is for CSV");
	if (export->render != 0 && strcmp(export->format, "jsonl") != 0)
		return options_wrong(cli, err, "--attachments is for JSON Lines");
	return 0;
}

/* ---- what is exported ---- */

static struct json_slice body_of(const struct replica_record *record)
{
	return (struct json_slice){(const char *)record->body.data, record->body.len};
}

/* 0: not wanted; 1: wanted; CLI_DONE: past the last. */
static int is_wanted(const struct export *export, const struct replica_record *record)
{
	struct json_slice value;

	if (strncmp((const char *)record->id.data, export->prefix, strlen(export->prefix)) != 0)
		return CLI_DONE;
	if (export->type == NULL)
		return 1;
	return json_find(body_of(record), "type", &value) && json_slice_kind(value) == JSON_STRING &&
	       json_string_equal(value, export->type);
}

/* ---- JSON Lines ---- */

static int write_json(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct export *export = context;
	int code = is_wanted(export, record);

	if (code != 1)
		return code;
	qosid_buf_reset(&export->line);
	code = replica_render_record(space_replica(export->cli->space), record, export->render, &export->line, err);
	if (code != 0)
		return code;
	for (size_t i = 0; i < export->line.len; i++) {
		/* A line break in a body can only be white space between its tokens. */
		if (export->line.data[i] == '\n' || export->line.data[i] == '\r')
			export->line.data[i] = ' ';
	}
	code = qosid_buf_append_byte(&export->line, '\n', err);
	export->exported++;
	return code == 0 ? file_output_write(&export->output, export->line.data, export->line.len, err) : code;
}

/* ---- CSV ---- */

static size_t find_column(const struct export *export, struct json_slice name)
{
	size_t i = 0;

	while (i < export->column_count && !json_string_equal(name, (const char *)export->columns[i].data))
		i++;
	return i;
}

static int add_column(struct export *export, struct json_slice name, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int code;

	if (export->column_count == export->column_capacity) {
		size_t capacity = export->column_capacity == 0 ? 32 : export->column_capacity * 2;
		struct qosid_buf *columns = reallocarray(export->columns, capacity, sizeof(*columns));

		if (columns == NULL)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
		export->columns = columns;
		export->column_capacity = capacity;
	}
	code = json_string_decode(name, &text, err);
	if (code == 0)
		code = qosid_buf_reserve(&text, 1, err); /* an empty name is still a C string */
	if (code == 0 && text.len == 0)
		text.data[0] = '\0';
	if (code == 0 && strlen((const char *)text.data) != text.len)
		code =
		    qosid_error(err, QOSID_ERR_INVALID, "a member's name has a NUL character, which CSV cannot hold");
	if (code == 0)
		export->columns[export->column_count++] = text;
	else
		qosid_buf_free(&text);
	return code;
}

static int collect_columns(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct export *export = context;
	struct json_slice name, value;
	size_t position = 0;
	int code = is_wanted(export, record);

	if (code != 1)
		return code;
	code = 0;
	while (code == 0 && json_next(body_of(record), &position, &name, &value)) {
		if (find_column(export, name) == export->column_count)
			code = add_column(export, name, err);
	}
	return code == 0 ? 0 : qosid_error_within(err, "document %s", (const char *)record->id.data);
}

/* Whether text has one of these characters. */
static bool has_any(const char *text, size_t len, const char *wanted)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] != '\0' && strchr(wanted, text[i]) != NULL)
			return true;
	}
	return false;
}

/* Append a field in quotes where RFC 4180 asks for them. guard: text that a spreadsheet would run gets an apostrophe.
 */
static int append_field(struct qosid_buf *line, const char *text, size_t len, bool guard, struct qosid_errbuf *err)
{
	bool risky = guard && len > 0 && has_any(text, 1, "=+-@\t\r");
	bool quote = has_any(text, len, "\",\r\n");
	int code = 0;

	if (quote)
		code = qosid_buf_append_byte(line, '"', err);
	if (code == 0 && risky)
		code = qosid_buf_append_byte(line, '\'', err);
	for (size_t i = 0; code == 0 && i < len; i++) {
		if (text[i] == '"')
			code = qosid_buf_append_byte(line, '"', err);
		if (code == 0)
			code = qosid_buf_append_byte(line, (uint8_t)text[i], err);
	}
	if (code == 0 && quote)
		code = qosid_buf_append_byte(line, '"', err);
	return code;
}

/* Text as it is, numbers and nested values as JSON, null and what is absent as nothing. */
static int append_value(struct export *export, struct json_slice value, struct qosid_errbuf *err)
{
	int code;

	if (value.len == 0 || json_slice_kind(value) == JSON_NULL)
		return 0;
	if (json_slice_kind(value) != JSON_STRING)
		return append_field(&export->line, value.text, value.len, false, err);
	qosid_buf_reset(&export->text);
	code = json_string_decode(value, &export->text, err);
	return code == 0
		   ? append_field(&export->line, (const char *)export->text.data, export->text.len, export->safe, err)
		   : code;
}

static int end_row(struct export *export, struct qosid_errbuf *err)
{
	int code = qosid_buf_append_text(&export->line, "\r\n", err);

	return code == 0 ? file_output_write(&export->output, export->line.data, export->line.len, err) : code;
}

static int write_header(struct export *export, struct qosid_errbuf *err)
{
	int code;

	qosid_buf_reset(&export->line);
	code = qosid_buf_append_text(&export->line, "_id", err);
	for (size_t i = 0; code == 0 && i < export->column_count; i++) {
		code = qosid_buf_append_byte(&export->line, ',', err);
		if (code == 0)
			code = append_field(&export->line, (const char *)export->columns[i].data,
			    export->columns[i].len, export->safe, err);
	}
	return code == 0 ? end_row(export, err) : code;
}

static int write_row(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct export *export = context;
	struct json_slice name, value;
	size_t position = 0;
	int code = is_wanted(export, record);

	if (code != 1)
		return code;
	for (size_t i = 0; i < export->column_count; i++)
		export->values[i] = (struct json_slice){0};
	while (json_next(body_of(record), &position, &name, &value)) {
		size_t i = find_column(export, name);

		if (i == export->column_count) {
			code = qosid_error(err, QOSID_ERR_BUSY, "the records changed during the export");
			qosid_error_hint(err, "try again");
			return code;
		}
		export->values[i] = value;
	}
	qosid_buf_reset(&export->line);
	code = append_field(&export->line, (const char *)record->id.data, record->id.len, export->safe, err);
	for (size_t i = 0; code == 0 && i < export->column_count; i++) {
		code = qosid_buf_append_byte(&export->line, ',', err);
		if (code == 0)
			code = append_value(export, export->values[i], err);
	}
	export->exported++;
	return code == 0 ? end_row(export, err) : code;
}

static int visit(struct export *export, replica_visit_fn fn, struct qosid_errbuf *err)
{
	int code = replica_visit_documents(space_replica(export->cli->space), &export->range, fn, export, err);

	return code == CLI_DONE ? 0 : code;
}

static int write_csv(struct export *export, struct qosid_errbuf *err)
{
	int code = visit(export, collect_columns, err);

	if (code == 0 && (export->values = calloc(export->column_count + 1, sizeof(*export->values))) == NULL)
		code = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	if (code == 0)
		code = write_header(export, err);
	return code == 0 ? visit(export, write_row, err) : code;
}

static int run(struct cli *cli, int argc, char **argv, struct qosid_errbuf *err)
{
	struct export export = {.cli = cli};
	int code;

	code = read_options(cli, argc, argv, &export, err);
	if (code == 0)
		code = cli_open_space(cli, err);
	if (code == 0)
		code = file_output_open(&export.output, export.path, err);
	if (code == 0)
		code = strcmp(export.format, "csv") == 0 ? write_csv(&export, err) : visit(&export, write_json, err);
	if (code == 0)
		code = file_output_commit(&export.output, err);
	if (code == 0 && export.path != NULL && !cli->quiet)
		(void)fprintf(stderr, "exported %zu document%s to %s\n", export.exported,
		    output_plural(export.exported), export.path);
	file_output_close(&export.output);
	for (size_t i = 0; i < export.column_count; i++)
		qosid_buf_free(&export.columns[i]);
	free(export.columns);
	free(export.values);
	qosid_buf_wipe(&export.line);
	qosid_buf_wipe(&export.text);
	return code;
}

const struct command cmd_export = {
    .name = "export",
    .group = "Many records at once",
    .synopsis = "[PREFIX] [options]",
    .summary = "write documents as JSON Lines or CSV",
    .help = "PREFIX exports only documents whose ids begin with it. JSON Lines keeps everything as it was\n"
	    "stored, and qosid import reads it back. CSV has a column _id and one for each member that any of\n"
	    "the documents has; nested values are written as JSON, and what kind a value had is lost.\n\n"
	    "  --format jsonl|csv      the format (jsonl, or csv when FILE ends in .csv)\n"
	    "  -o, --output FILE       write to FILE, which is replaced in one step at the end\n"
	    "  --type NAME             only documents whose member \"type\" is NAME\n"
	    "  --from ID, --to ID      only from the one to the other, both included\n"
	    "  --attachments           JSON Lines: with the contents of attachments, in base64\n"
	    "  --safe                  CSV: put an apostrophe before text that a spreadsheet could take for a\n"
	    "                          formula (= + - @); such a file is for reading, not for import\n\n"
	    "Example:\n"
	    "  qosid export --type person --format csv -o people.csv\n",
    .run = run,
};
