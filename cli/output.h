/*
 * What commands print on stdout: plain text that no record can garble, and JSON objects, one a line.
 */
#ifndef QOSID_CLI_OUTPUT_H
#define QOSID_CLI_OUTPUT_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "cli/cli.h"

/* Print text that comes from records or peers: control characters (which could drive a terminal) as \xNN. */
void output_text(FILE *file, const char *text, size_t len);

/* The help of one command, and the list of all (to stdout, or to stderr after a wrong call). */
void output_help(const struct command *command);
void output_command_list(FILE *file);

/* Print "qosid: what (where)" and "hint: ..." on stderr. Nothing when err->what is empty. */
void output_error(const struct qosid_errbuf *err);

/* After printing: QOSID_ERR_IO or _FULL when stdout has failed, CLI_PIPE when its reader has gone. Loops call
 * output_check() once a line; main calls output_finish() at the end. */
int output_check(struct qosid_errbuf *err);
int output_finish(struct qosid_errbuf *err);

/* "2026-11-25T08:00:00.123Z" from Unix milliseconds; "2026-11-25 08:00 UTC" for people, "never" for 0. */
#define OUTPUT_TIME_SIZE 40
void output_format_time(char out[OUTPUT_TIME_SIZE], int64_t milliseconds);
void output_format_time_short(char out[OUTPUT_TIME_SIZE], int64_t milliseconds);

/* "1 change", "3 changes": the plural's s. */
const char *output_plural(size_t count);

/* A JSON object in the making. Starts by output_begin(); a failure to allocate is remembered and told by output_end().
 */
struct output_object {
	cJSON *json;
	bool failed;
};
void output_begin(struct output_object *object);
void output_add_text(struct output_object *object, const char *name, const char *value);
void output_add_number(struct output_object *object, const char *name, int64_t value);
void output_add_bool(struct output_object *object, const char *name, bool value);
void output_add_time(struct output_object *object, const char *name, int64_t milliseconds);
void output_add_raw(
    struct output_object *object, const char *name, const char *json);               /* text passed through as it is */
cJSON *output_add_array(struct output_object *object, const char *name);             /* NULL when out of memory */
void output_add_element(struct output_object *object, cJSON *array, cJSON *element); /* takes element, even NULL */

/* Print as one line, or pass into an array of another; both end the object. */
int output_end(struct output_object *object, struct qosid_errbuf *err);
void output_end_into(struct output_object *object, struct output_object *parent, cJSON *array);

#endif
