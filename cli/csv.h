/*
 * CSV as RFC 4180 defines it, read strictly and in a stream: UTF-8 (a byte order mark at the start is skipped), rows
 * end with LF or CRLF, a field may stand in double quotes, inside which a double quote is doubled, and every row has as
 * many fields as the first. Whatever else a file does is an error that names line, column and field; nothing is
 * guessed.
 *
 * Bytes are pushed in; whole rows come out. Memory: one row, of at most LIMIT_LINE_BYTES.
 */
#ifndef QOSID_CLI_CSV_H
#define QOSID_CLI_CSV_H

#include <stddef.h>

#include "crypto/error.h"

#define CSV_FIELDS_MAX 4096

struct csv_field {
	const char *text; /* unquoted; a NUL byte follows it */
	size_t len;
};

struct csv_row {
	size_t line; /* where it begins, from 1 */
	const struct csv_field *fields;
	size_t count;
};

/* Take a row; its texts are valid during the call. A failure stops the parser and is passed on. */
typedef int (*csv_row_fn)(void *context, const struct csv_row *row, struct qosid_errbuf *err);

struct csv_parser;

int csv_open(struct csv_parser **out, char delimiter, csv_row_fn take, void *context, struct qosid_errbuf *err);
int csv_write(struct csv_parser *parser, const void *data, size_t len, struct qosid_errbuf *err);
int csv_finish(struct csv_parser *parser, struct qosid_errbuf *err);
void csv_free(struct csv_parser *parser); /* accepts NULL */

#endif
