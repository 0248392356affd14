/*
 * The CSV parser: see csv.h. One state machine over bytes; fields of a row lie behind each other, each ended by a NUL.
 */
#include "cli/csv.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/utf8.h"
#include "crypto/buf.h"
#include "sync/limits.h"

enum state {
	ROW_START,
	FIELD_START,
	UNQUOTED,
	QUOTED,
	QUOTE_SEEN, /* inside a quoted field: its end, or the first of a doubled one */
	CR_SEEN,    /* LF must follow */
};

struct csv_parser {
	char delimiter;
	csv_row_fn take;
	void *context;
	enum state state;
	size_t line, column;         /* of the next byte */
	size_t row_line, field_line; /* where the row, and the field, began */
	size_t columns;              /* fields of the first row; 0 before it is whole */
	struct qosid_buf text;
	size_t field_offset; /* in text */
	size_t field_count;
	size_t offsets[CSV_FIELDS_MAX + 1]; /* of the fields in text; the last is its length */
	struct csv_field fields[CSV_FIELDS_MAX];
	unsigned char mark[3]; /* the first bytes, until it is clear whether they are a byte order mark */
	size_t marked;
	bool mark_done;
};

int csv_open(struct csv_parser **out, char delimiter, csv_row_fn take, void *context, struct qosid_errbuf *err)
{
	struct csv_parser *parser = calloc(1, sizeof(*parser));

	if (parser == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	parser->delimiter = delimiter;
	parser->take = take;
	parser->context = context;
	parser->state = ROW_START;
	parser->line = parser->column = 1;
	*out = parser;
	return 0;
}

void csv_free(struct csv_parser *parser)
{
	if (parser == NULL)
		return;
	qosid_buf_wipe(&parser->text);
	free(parser);
}

/* An error at the current byte. */
static int wrong(const struct csv_parser *parser, struct qosid_errbuf *err, const char *what)
{
	int code = qosid_error(err, QOSID_ERR_INVALID, "%s", what);

	(void)qosid_error_within(
	    err, "line %zu, column %zu, field %zu", parser->line, parser->column, parser->field_count + 1);
	return code;
}

static int append(struct csv_parser *parser, unsigned char byte, struct qosid_errbuf *err)
{
	if (byte == '\0')
		return wrong(parser, err, "a NUL byte is not text");
	if (parser->text.len >= LIMIT_LINE_BYTES) {
		int code = qosid_error(err, QOSID_ERR_LIMIT, "the row is longer than %u MiB", LIMIT_LINE_BYTES >> 20);

		qosid_error_hint(err, "look for a double quote that is never closed");
		(void)qosid_error_within(err, "line %zu", parser->row_line);
		return code;
	}
	return qosid_buf_append_byte(&parser->text, byte, err);
}

static int end_field(struct csv_parser *parser, struct qosid_errbuf *err)
{
	size_t len = parser->text.len - parser->field_offset;
	const char *text = (const char *)parser->text.data + parser->field_offset;
	size_t bad;

	if (parser->field_count == CSV_FIELDS_MAX)
		return wrong(parser, err, "the row has more than 4096 fields");
	if (len > 0 && !utf8_valid(text, len, &bad)) {
		int code = qosid_error(err, QOSID_ERR_INVALID,
		    "the text is not UTF-8: byte 0x%02x at byte %zu of the field", (unsigned char)text[bad], bad + 1);

		qosid_error_hint(err, "save the table as CSV UTF-8, or convert it with iconv");
		(void)qosid_error_within(err, "line %zu, field %zu", parser->field_line, parser->field_count + 1);
		return code;
	}
	parser->offsets[parser->field_count++] = parser->field_offset;
	parser->field_offset = parser->text.len + 1;
	parser->offsets[parser->field_count] = parser->field_offset;
	return qosid_buf_append_byte(&parser->text, '\0', err);
}

static int end_row(struct csv_parser *parser, struct qosid_errbuf *err)
{
	struct csv_row row = {.line = parser->row_line, .fields = parser->fields};
	int code;

	code = end_field(parser, err);
	if (code != 0)
		return code;
	if (parser->columns == 0)
		parser->columns = parser->field_count;
	if (parser->field_count != parser->columns) {
		code = qosid_error(err, QOSID_ERR_INVALID, "the row has %zu field%s, the header has %zu",
		    parser->field_count, parser->field_count == 1 ? "" : "s", parser->columns);
		(void)qosid_error_within(err, "line %zu", parser->row_line);
		return code;
	}
	for (size_t i = 0; i < parser->field_count; i++) {
		parser->fields[i].text = (const char *)parser->text.data + parser->offsets[i];
		parser->fields[i].len = parser->offsets[i + 1] - parser->offsets[i] - 1;
	}
	row.count = parser->field_count;
	code = parser->take(parser->context, &row, err);
	parser->field_count = parser->field_offset = 0;
	qosid_buf_reset(&parser->text);
	parser->state = ROW_START;
	return code;
}

/* A byte that ends a field or begins, in a field's first place or in an unquoted one. */
static int take_outside(struct csv_parser *parser, unsigned char byte, struct qosid_errbuf *err)
{
	int code = 0;

	if (parser->state == ROW_START)
		parser->row_line = parser->line;
	if (parser->state == ROW_START || parser->state == FIELD_START)
		parser->field_line = parser->line;
	if (byte == (unsigned char)parser->delimiter) {
		code = end_field(parser, err);
		parser->state = FIELD_START;
	} else if (byte == '\n') {
		code = end_row(parser, err);
	} else if (byte == '\r') {
		parser->state = CR_SEEN;
	} else if (byte == '"' && parser->state == UNQUOTED) {
		code = wrong(parser, err, "a double quote inside a field that does not begin with one");
		qosid_error_hint(err, "put the whole field into double quotes, and double those inside it");
	} else if (byte == '"') {
		parser->state = QUOTED;
	} else {
		code = append(parser, byte, err);
		parser->state = UNQUOTED;
	}
	return code;
}

static int take_byte(struct csv_parser *parser, unsigned char byte, struct qosid_errbuf *err)
{
	switch (parser->state) {
	case QUOTED:
		if (byte != '"')
			return append(parser, byte, err);
		parser->state = QUOTE_SEEN;
		return 0;
	case QUOTE_SEEN:
		if (byte == '"') {
			parser->state = QUOTED;
			return append(parser, byte, err);
		}
		if (byte != (unsigned char)parser->delimiter && byte != '\n' && byte != '\r')
			return wrong(parser, err, "text after the closing double quote of a field");
		return take_outside(parser, byte, err);
	case CR_SEEN:
		if (byte != '\n')
			return wrong(parser, err, "a carriage return that no line feed follows");
		return end_row(parser, err);
	default:
		return take_outside(parser, byte, err);
	}
}

static int take_bytes(struct csv_parser *parser, const unsigned char *bytes, size_t len, struct qosid_errbuf *err)
{
	for (size_t i = 0; i < len; i++) {
		int code = take_byte(parser, bytes[i], err);

		if (code != 0)
			return code;
		parser->column++;
		if (bytes[i] == '\n') {
			parser->line++;
			parser->column = 1;
		}
	}
	return 0;
}

/* Hold the first bytes back until they are a byte order mark, which is dropped, or are not. */
static int take_mark(struct csv_parser *parser, struct qosid_errbuf *err)
{
	static const unsigned char mark[3] = {0xEF, 0xBB, 0xBF};

	if (parser->marked < sizeof(mark) && memcmp(parser->mark, mark, parser->marked) == 0)
		return 0;
	parser->mark_done = true;
	if (memcmp(parser->mark, mark, sizeof(mark)) == 0)
		return 0;
	return take_bytes(parser, parser->mark, parser->marked, err);
}

int csv_write(struct csv_parser *parser, const void *data, size_t len, struct qosid_errbuf *err)
{
	const unsigned char *bytes = data;
	int code;

	for (; !parser->mark_done && len > 0; bytes++, len--) {
		parser->mark[parser->marked++] = *bytes;
		code = take_mark(parser, err);
		if (code != 0)
			return code;
	}
	return take_bytes(parser, bytes, len, err);
}

int csv_finish(struct csv_parser *parser, struct qosid_errbuf *err)
{
	int code = 0;

	if (!parser->mark_done) {
		parser->mark_done = true;
		code = take_bytes(parser, parser->mark, parser->marked, err);
	}
	if (code != 0 || parser->state == ROW_START)
		return code;
	if (parser->state == QUOTED) {
		code = qosid_error(err, QOSID_ERR_INVALID, "a double quote is opened and never closed");
		(void)qosid_error_within(err, "line %zu, field %zu", parser->field_line, parser->field_count + 1);
		return code;
	}
	if (parser->state == CR_SEEN)
		return wrong(parser, err, "a carriage return that no line feed follows");
	return end_row(parser, err);
}
