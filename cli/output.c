/*
 * Printing: see output.h.
 */
#include "cli/output.h"

#include <errno.h>
#include <string.h>
#include <time.h>

void output_text(FILE *file, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		/* C1 controls are U+0080 to U+009F: in UTF-8, 0xC2 and one of these bytes. */
		bool c1 = c == 0xC2 && i + 1 < len && (unsigned char)text[i + 1] < 0xA0;

		if (c < 0x20 || c == 0x7F || c1)
			(void)fprintf(file, "\\x%02x", c);
		else
			(void)putc(c, file);
		if (c1)
			(void)fprintf(file, "\\x%02x", (unsigned char)text[++i]);
	}
}

void output_help(const struct command *command)
{
	if (command == NULL) {
		output_command_list(stdout);
		return;
	}
	(void)printf("usage: qosid %s %s\n\n%s.\n", command->name, command->synopsis, command->summary);
	(void)printf("\n%s\nOptions of every command:\n"
		     "  -C DIR                  run as if started in DIR\n"
		     "  --json                  print JSON, one object a line\n"
		     "  -q, --quiet             print results and errors only\n"
		     "  -v, --verbose           say more\n"
		     "  --passphrase-file FILE  the identity's passphrase is the first line of FILE\n"
		     "  -h, --help              show this\n",
	    command->help);
}

void output_command_list(FILE *file)
{
	const char *group = "";

	(void)fprintf(file, "usage: qosid [-C DIR] [--json] [-q] [-v] COMMAND ...\n");
	for (const struct command *const *entry = command_table(); *entry != NULL; entry++) {
		if (strcmp(group, (*entry)->group) != 0)
			(void)fprintf(file, "\n%s\n", (*entry)->group);
		group = (*entry)->group;
		(void)fprintf(file, "  %-11s %s\n", (*entry)->name, (*entry)->summary);
	}
	(void)fprintf(file, "\nqosid COMMAND --help explains a command; man qosid tells the rest.\n");
}

void output_error(const struct qosid_errbuf *err)
{
	if (err->what[0] == '\0')
		return;
	(void)fputs("qosid: ", stderr);
	output_text(stderr, err->what, strlen(err->what));
	if (err->where[0] != '\0') {
		(void)fputs(" (", stderr);
		output_text(stderr, err->where, strlen(err->where));
		(void)putc(')', stderr);
	}
	(void)putc('\n', stderr);
	if (err->hint[0] != '\0') {
		(void)fputs("hint: ", stderr);
		output_text(stderr, err->hint, strlen(err->hint));
		(void)putc('\n', stderr);
	}
}

static int output_failed(struct qosid_errbuf *err)
{
	if (errno == EPIPE) {
		qosid_error_clear(err);
		return CLI_PIPE;
	}
	return qosid_error_errno(err, errno != 0 ? errno : EIO, "cannot write the output");
}

int output_check(struct qosid_errbuf *err)
{
	return ferror(stdout) ? output_failed(err) : 0;
}

int output_finish(struct qosid_errbuf *err)
{
	errno = 0;
	if (fflush(stdout) != 0 || ferror(stdout))
		return output_failed(err);
	return 0;
}

void output_format_time(char out[OUTPUT_TIME_SIZE], int64_t milliseconds)
{
	time_t seconds = (time_t)(milliseconds / 1000);
	struct tm tm;
	size_t used;

	out[0] = '\0';
	if (milliseconds < 0 || gmtime_r(&seconds, &tm) == NULL)
		return;
	used = strftime(out, OUTPUT_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + used, OUTPUT_TIME_SIZE - used, ".%03dZ", (int)(milliseconds % 1000));
}

void output_format_time_short(char out[OUTPUT_TIME_SIZE], int64_t milliseconds)
{
	time_t seconds = (time_t)(milliseconds / 1000);
	struct tm tm;

	if (milliseconds <= 0 || gmtime_r(&seconds, &tm) == NULL)
		(void)snprintf(out, OUTPUT_TIME_SIZE, "never");
	else if (strftime(out, OUTPUT_TIME_SIZE, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		out[0] = '\0';
}

const char *output_plural(size_t count)
{
	return count == 1 ? "" : "s";
}

void output_begin(struct output_object *object)
{
	object->json = cJSON_CreateObject();
	object->failed = object->json == NULL;
}

void output_add_text(struct output_object *object, const char *name, const char *value)
{
	object->failed |= cJSON_AddStringToObject(object->json, name, value) == NULL;
}

void output_add_number(struct output_object *object, const char *name, int64_t value)
{
	object->failed |= cJSON_AddNumberToObject(object->json, name, (double)value) == NULL;
}

void output_add_bool(struct output_object *object, const char *name, bool value)
{
	object->failed |= cJSON_AddBoolToObject(object->json, name, value) == NULL;
}

void output_add_time(struct output_object *object, const char *name, int64_t milliseconds)
{
	char text[OUTPUT_TIME_SIZE];

	if (milliseconds <= 0) {
		object->failed |= cJSON_AddNullToObject(object->json, name) == NULL;
		return;
	}
	output_format_time(text, milliseconds);
	output_add_text(object, name, text);
}

void output_add_raw(struct output_object *object, const char *name, const char *json)
{
	object->failed |= cJSON_AddRawToObject(object->json, name, json) == NULL;
}

cJSON *output_add_array(struct output_object *object, const char *name)
{
	cJSON *array = cJSON_AddArrayToObject(object->json, name);

	object->failed |= array == NULL;
	return array;
}

void output_add_element(struct output_object *object, cJSON *array, cJSON *element)
{
	if (element != NULL && cJSON_AddItemToArray(array, element))
		return;
	cJSON_Delete(element);
	object->failed = true;
}

int output_end(struct output_object *object, struct qosid_errbuf *err)
{
	char *text = object->failed ? NULL : cJSON_PrintUnformatted(object->json);

	cJSON_Delete(object->json);
	object->json = NULL;
	if (text == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	(void)puts(text);
	cJSON_free(text);
	return output_check(err);
}

void output_end_into(struct output_object *object, struct output_object *parent, cJSON *array)
{
	parent->failed |= object->failed;
	output_add_element(parent, array, object->json);
	object->json = NULL;
}
