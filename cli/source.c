/*
 * Records from CSV and JSON Lines: see source.h.
 */
#include "cli/source.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "cli/csv.h"

#define RANDOM_ID_BYTES 16

struct column {
	struct qosid_buf name;
	struct qosid_buf quoted; /* the name as JSON, and a colon */
};

struct source {
	const struct source_rules *rules;
	source_record_fn take;
	void *context;
	size_t number; /* of the record, from 1 */
	struct qosid_buf id;
	struct qosid_buf body;

	struct column *columns; /* CSV */
	size_t column_count;
	size_t id_column; /* index; column_count when the id is made otherwise */
	bool has_type;    /* a column is called type */

	struct qosid_buf line; /* JSON Lines: the part of a line that has come so far */
	size_t line_number;
	struct document document;
};

/* ---- ids ---- */

/* Append the value of a column or member to the id. */
typedef int (*lookup_fn)(
    struct source *source, const void *record, const char *name, size_t len, struct qosid_errbuf *err);

static int expand_template(struct source *source, lookup_fn lookup, const void *record, struct qosid_errbuf *err)
{
	const char *at = source->rules->id_template;
	int code = 0;

	while (code == 0 && *at != '\0') {
		size_t plain = strcspn(at, "{");
		const char *name = at + plain + 1, *end;

		code = qosid_buf_append(&source->id, at, plain, err);
		if (code != 0 || at[plain] == '\0')
			break;
		end = strchr(name, '}');
		if (end == NULL)
			return qosid_error(err, QOSID_ERR_USAGE, "--id-template has a { without a }");
		if (end - name == 1 && *name == '#')
			code = qosid_buf_append_format(&source->id, err, "%zu", source->number);
		else
			code = lookup(source, record, name, (size_t)(end - name), err);
		at = end + 1;
	}
	return code;
}

static int random_id(struct qosid_buf *out, struct qosid_errbuf *err)
{
	unsigned char bytes[RANDOM_ID_BYTES];
	char text[2 * RANDOM_ID_BYTES + 1];

	randombytes_buf(bytes, sizeof(bytes));
	(void)sodium_bin2hex(text, sizeof(text), bytes, sizeof(bytes));
	return qosid_buf_append_text(out, text, err);
}

static int make_id(struct source *source, lookup_fn lookup, const void *record, struct qosid_errbuf *err)
{
	const struct source_rules *rules = source->rules;
	int code;

	if (rules->id_template != NULL)
		code = expand_template(source, lookup, record, err);
	else if (rules->id_column != NULL)
		code = lookup(source, record, rules->id_column, strlen(rules->id_column), err);
	else
		code = random_id(&source->id, err);
	return code;
}

static int hand_on(struct source *source, size_t line, struct json_slice attachments, struct qosid_errbuf *err)
{
	struct source_record record = {
	    .line = line,
	    .id = source->id.data != NULL ? (const char *)source->id.data : "",
	    .body = {(const char *)source->body.data, source->body.len},
	    .attachments = attachments,
	};
	int code = 0;

	if (strlen(record.id) != source->id.len)
		code = qosid_error(err, QOSID_ERR_INVALID, "the id has a NUL character");
	if (code == 0)
		code = source->take(source->context, &record, err);
	return code;
}

static int begin_body(struct source *source, bool has_type, struct qosid_errbuf *err)
{
	int code;

	qosid_buf_reset(&source->body);
	code = qosid_buf_append_byte(&source->body, '{', err);
	if (code != 0 || has_type || source->rules->type == NULL)
		return code;
	code = qosid_buf_append_text(&source->body, "\"type\":", err);
	return code == 0 ? json_string_encode(&source->body, source->rules->type, strlen(source->rules->type), err)
			 : code;
}

/* ---- CSV ---- */

static size_t find_column(const struct source *source, const char *name, size_t len)
{
	for (size_t i = 0; i < source->column_count; i++) {
		const struct qosid_buf *known = &source->columns[i].name;

		if (known->len == len && memcmp(known->data, name, len) == 0)
			return i;
	}
	return source->column_count;
}

static int lookup_field(
    struct source *source, const void *record, const char *name, size_t len, struct qosid_errbuf *err)
{
	const struct csv_row *row = record;
	size_t i = find_column(source, name, len);
	int code;

	if (i == source->column_count) {
		code =
		    qosid_error(err, QOSID_ERR_USAGE, "there is no column \"%.*s\" to make the id of", (int)len, name);
		qosid_error_hint(err, "the first column is %s; names must match exactly",
		    (const char *)source->columns[0].name.data);
		return code;
	}
	return qosid_buf_append(&source->id, row->fields[i].text, row->fields[i].len, err);
}

static int add_column(struct source *source, const struct csv_field *field, struct qosid_errbuf *err)
{
	struct column *column = &source->columns[source->column_count];
	int code;

	if (field->len == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "column %zu has no name", source->column_count + 1);
	if (find_column(source, field->text, field->len) != source->column_count)
		return qosid_error(err, QOSID_ERR_INVALID, "two columns are called \"%s\"", field->text);
	if (field->text[0] == '_' && strcmp(field->text, "_id") != 0) {
		code = qosid_error(err, QOSID_ERR_INVALID,
		    "column \"%s\" begins with an underscore, as only Qosid's own members do", field->text);
		qosid_error_hint(err, "rename the column, or leave it out");
		return code;
	}
	source->column_count++;
	code = qosid_buf_append(&column->name, field->text, field->len, err);
	if (code == 0)
		code = json_string_encode(&column->quoted, field->text, field->len, err);
	return code == 0 ? qosid_buf_append_byte(&column->quoted, ':', err) : code;
}

static int take_header(struct source *source, const struct csv_row *row, struct qosid_errbuf *err)
{
	int code = 0;

	source->columns = calloc(row->count, sizeof(*source->columns));
	if (source->columns == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	for (size_t i = 0; code == 0 && i < row->count; i++)
		code = add_column(source, &row->fields[i], err);
	if (code != 0)
		return qosid_error_within(err, "line %zu", row->line);
	source->id_column = find_column(source, "_id", 3);
	source->has_type = find_column(source, "type", 4) != source->column_count;
	qosid_buf_reset(&source->id);
	return make_id(source, lookup_field, row, err); /* whether its columns exist */
}

static bool is_number(const struct csv_field *field)
{
	const char *digits = "0123456789";

	/* Of JSON values, only numbers end in a digit; white space around them would not be theirs. */
	if (field->len == 0 || (field->text[0] != '-' && strchr(digits, field->text[0]) == NULL))
		return false;
	return strchr(digits, field->text[field->len - 1]) != NULL && json_check(field->text, field->len, NULL) == 0;
}

static int append_field(struct source *source, size_t index, const struct csv_field *field, struct qosid_errbuf *err)
{
	const struct qosid_buf *quoted = &source->columns[index].quoted;
	int code = 0;

	if (source->body.len > 1)
		code = qosid_buf_append_byte(&source->body, ',', err);
	if (code == 0)
		code = qosid_buf_append(&source->body, quoted->data, quoted->len, err);
	if (code != 0)
		return code;
	if (source->rules->numbers && is_number(field))
		return qosid_buf_append(&source->body, field->text, field->len, err);
	return json_string_encode(&source->body, field->text, field->len, err);
}

static int take_row(void *context, const struct csv_row *row, struct qosid_errbuf *err)
{
	struct source *source = context;
	bool own_id = source->rules->id_template == NULL && source->rules->id_column == NULL;
	int code;

	if (source->columns == NULL)
		return take_header(source, row, err);
	source->number++;
	qosid_buf_reset(&source->id);
	if (own_id && source->id_column < source->column_count)
		code = lookup_field(source, row, "_id", 3, err);
	else
		code = make_id(source, lookup_field, row, err);
	if (code == 0)
		code = begin_body(source, source->has_type, err);
	for (size_t i = 0; code == 0 && i < row->count; i++) {
		if (i != source->id_column)
			code = append_field(source, i, &row->fields[i], err);
	}
	if (code == 0)
		code = qosid_buf_append_byte(&source->body, '}', err);
	if (code == 0)
		code = hand_on(source, row->line, (struct json_slice){0}, err);
	return code == 0 ? 0 : qosid_error_within(err, "line %zu", row->line);
}

/* ---- JSON Lines ---- */

static int lookup_member(
    struct source *source, const void *record, const char *name, size_t len, struct qosid_errbuf *err)
{
	const struct document *document = record;
	struct json_slice body = {(const char *)document->body.data, document->body.len}, value;
	char *key = strndup(name, len);
	bool found;

	if (key == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	found = json_find(body, key, &value);
	free(key);
	if (!found)
		return qosid_error(
		    err, QOSID_ERR_INVALID, "there is no member \"%.*s\" to make the id of", (int)len, name);
	switch (json_slice_kind(value)) {
	case JSON_STRING:
		return json_string_decode(value, &source->id, err);
	case JSON_NUMBER:
	case JSON_TRUE:
	case JSON_FALSE:
		return qosid_buf_append(&source->id, value.text, value.len, err);
	default:
		return qosid_error(
		    err, QOSID_ERR_INVALID, "the member \"%.*s\" is neither text nor a number", (int)len, name);
	}
}

static int build_document(struct source *source, struct qosid_errbuf *err)
{
	struct document *document = &source->document;
	struct json_slice body = {(const char *)document->body.data, document->body.len}, value;
	int code;

	source->number++;
	if (document->deleted)
		return qosid_error(err, QOSID_ERR_INVALID, "the document is marked as deleted");
	qosid_buf_reset(&source->id);
	if (document->id.len > 0)
		code = qosid_buf_append(&source->id, document->id.data, document->id.len, err);
	else
		code = make_id(source, lookup_member, document, err);
	if (code == 0)
		code = begin_body(source, json_find(body, "type", &value), err);
	if (code == 0 && source->body.len > 1 && body.len > 2)
		code = qosid_buf_append_byte(&source->body, ',', err);
	return code == 0 ? qosid_buf_append(&source->body, body.text + 1, body.len - 1, err) : code;
}

static bool is_blank(const struct qosid_buf *line)
{
	for (size_t i = 0; i < line->len; i++) {
		if (line->data[i] != ' ' && line->data[i] != '\t' && line->data[i] != '\r')
			return false;
	}
	return true;
}

/* document_parse() saw a line alone, so it says "line 1": put the true place there. */
static void correct_place(const struct source *source, size_t skip, struct qosid_errbuf *err)
{
	static const char prefix[] = "line 1, column ";
	unsigned long column = 0;

	if (err != NULL && strncmp(err->where, prefix, sizeof(prefix) - 1) == 0)
		column = strtoul(err->where + sizeof(prefix) - 1, NULL, 10);
	if (column > 0)
		(void)snprintf(err->where, sizeof(err->where), "line %zu, column %lu", source->line_number,
		    column + (unsigned long)skip);
	else
		(void)qosid_error_within(err, "line %zu", source->line_number);
}

static int take_line(struct source *source, struct qosid_errbuf *err)
{
	struct qosid_buf *line = &source->line;
	const char *text = (const char *)line->data;
	size_t len = line->len, skip = 0;
	int code;

	source->line_number++;
	if (source->line_number == 1 && len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		skip = 3;
	if (is_blank(line))
		return 0;
	code = document_parse(&source->document, text + skip, len - skip, err);
	if (code != 0) {
		correct_place(source, skip, err);
		return code;
	}
	code = build_document(source, err);
	if (code == 0)
		code = hand_on(source, source->line_number, source->document.attachments, err);
	return code == 0 ? 0 : qosid_error_within(err, "line %zu", source->line_number);
}

static int write_lines(struct source *source, const char *data, size_t len, struct qosid_errbuf *err)
{
	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t part = end != NULL ? (size_t)(end - data) : len;
		int code;

		if (part > LIMIT_LINE_BYTES || source->line.len > LIMIT_LINE_BYTES - part) {
			code =
			    qosid_error(err, QOSID_ERR_LIMIT, "the line is longer than %u MiB", LIMIT_LINE_BYTES >> 20);
			(void)qosid_error_within(err, "line %zu", source->line_number + 1);
			return code;
		}
		code = qosid_buf_append(&source->line, data, part, err);
		if (code != 0 || end == NULL)
			return code;
		code = take_line(source, err);
		if (code != 0)
			return code;
		qosid_buf_reset(&source->line);
		data += part + 1;
		len -= part + 1;
	}
	return 0;
}

/* ---- the file ---- */

static int read_file(struct source *source, struct csv_parser *parser, FILE *file, uint64_t size, const char *stage,
    struct progress *progress, struct qosid_errbuf *err)
{
	char chunk[65536];
	uint64_t done = 0;
	size_t got;
	int code = 0;

	while (code == 0 && (got = fread(chunk, 1, sizeof(chunk), file)) > 0) {
		code = parser != NULL ? csv_write(parser, chunk, got, err) : write_lines(source, chunk, got, err);
		done += got;
		progress_report(progress, stage, done, size);
	}
	if (code == 0 && ferror(file))
		code = qosid_error_errno(err, errno, "cannot read the file");
	if (code == 0 && parser != NULL)
		code = csv_finish(parser, err);
	else if (code == 0 && source->line.len > 0)
		code = take_line(source, err);
	if (code == 0 && parser != NULL && source->columns == NULL) {
		code = qosid_error(err, QOSID_ERR_INVALID, "the file is empty");
		qosid_error_hint(err, "the first row of a CSV file must name the columns");
	}
	return code;
}

int source_read(const struct source_rules *rules, FILE *file, uint64_t size, const char *stage,
    struct progress *progress, source_record_fn take, void *context, struct qosid_errbuf *err)
{
	struct source source = {.rules = rules, .take = take, .context = context};
	struct csv_parser *parser = NULL;
	int code = 0;

	if (rules->csv)
		code = csv_open(&parser, rules->delimiter, take_row, &source, err);
	if (code == 0)
		code = read_file(&source, parser, file, size, stage, progress, err);
	progress_end(progress);
	csv_free(parser);
	for (size_t i = 0; i < source.column_count; i++) {
		qosid_buf_free(&source.columns[i].name);
		qosid_buf_free(&source.columns[i].quoted);
	}
	free(source.columns);
	qosid_buf_free(&source.id);
	qosid_buf_wipe(&source.body);
	qosid_buf_wipe(&source.line);
	document_free(&source.document);
	return code;
}
