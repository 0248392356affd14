/*
 * Where imported records come from: a CSV or JSON Lines file, read in a stream and turned into documents.
 *
 * Values keep their bytes: a JSON line's members stay as written, and a CSV field becomes a string, or with `numbers` a
 * number written with the same digits. Errors name the line, and column or field.
 */
#ifndef QOSID_CLI_SOURCE_H
#define QOSID_CLI_SOURCE_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/progress.h"
#include "sync/replica/document.h"

struct source_rules {
	bool csv; /* else JSON Lines */
	char delimiter;
	bool numbers;            /* CSV: fields that are JSON numbers become numbers */
	const char *id_template; /* "iom:{Country}:{Year}"; {#} is the record's number; NULL: none */
	const char *id_column;   /* the column or member whose value is the id; NULL: none */
	const char *type;        /* a member "type" for documents that have none; NULL: none */
};

struct source_record {
	size_t line;
	const char *id;
	struct json_slice body;        /* as document.h makes it */
	struct json_slice attachments; /* the line's own _attachments; len 0: none */
};

/* Take a record; its texts are valid during the call. */
typedef int (*source_record_fn)(void *context, const struct source_record *record, struct qosid_errbuf *err);

/* Read the whole of file (from where it stands). stage names the work in the progress bar; size 0 when not known. */
int source_read(const struct source_rules *rules, FILE *file, uint64_t size, const char *stage,
    struct progress *progress, source_record_fn take, void *context, struct qosid_errbuf *err);

#endif
