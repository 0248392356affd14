/*
 * Field names with dots, and the values they lead to.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/replica/json_internal.h"
#include "sync/replica/mango_internal.h"

static int bad_name(struct qosid_errbuf *err, const char *field)
{
	return mango_refuse(err, "invalid_field_name", "Invalid field name: %s", field);
}

/* Write the segments into path->parts, each with its NUL. A backslash hides a dot and is dropped itself. */
static void split(struct mango_path *path, size_t len)
{
	char *to = path->parts;

	path->segments[path->count++] = to;
	for (size_t i = 0; i < len; i++) {
		bool hidden = i > 0 && path->text[i - 1] == '\\';

		if (path->text[i] == '\\')
			continue;
		if (path->text[i] != '.' || hidden) {
			*to++ = path->text[i];
			continue;
		}
		*to++ = '\0';
		path->segments[path->count++] = to;
	}
	*to = '\0';
}

int mango_path_parse_text(struct mango_path *path, const char *field, size_t len, struct qosid_errbuf *err)
{
	size_t dots = 0;

	*path = (struct mango_path){0};
	path->text = malloc(len + 1);
	path->parts = malloc(len + 1);
	for (size_t i = 0; i < len; i++)
		dots += field[i] == '.';
	path->segments = calloc(dots + 1, sizeof(*path->segments));
	if (path->text == NULL || path->parts == NULL || path->segments == NULL) {
		mango_path_free(path);
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	}
	memcpy(path->text, field, len);
	path->text[len] = '\0';
	if (len == 0)
		return 0;
	split(path, len);
	for (size_t i = 0; i < path->count; i++) {
		if (path->segments[i][0] == '\0' || memchr(field, '\0', len) != NULL) {
			int rc = bad_name(err, path->text);

			mango_path_free(path);
			return rc;
		}
	}
	return 0;
}

int mango_path_parse(struct mango_path *path, struct json_slice field, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int rc = json_string_decode(field, &text, err);

	*path = (struct mango_path){0};
	if (rc == 0)
		rc = mango_path_parse_text(path, (const char *)text.data, text.len, err);
	qosid_buf_free(&text);
	return rc;
}

void mango_path_free(struct mango_path *path)
{
	free(path->text);
	free(path->parts);
	free(path->segments);
	*path = (struct mango_path){0};
}

/* The element of an array at a position written as text. */
static bool find_element(struct json_slice array, const char *text, struct json_slice *found)
{
	struct json_slice name;
	size_t position = 0;
	unsigned long long index = 0;

	if (*text == '+')
		text++;
	if (*text == '\0' || strlen(text) > 9)
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		index = index * 10 + (unsigned long long)(*text - '0');
	}
	do {
		if (!json_next(array, &position, &name, found))
			return false;
	} while (index-- > 0);
	return true;
}

bool mango_path_follow(const struct mango_path *path, size_t first, struct json_slice value, struct json_slice *found)
{
	for (size_t i = first; i < path->count; i++) {
		enum json_kind kind = json_slice_kind(value);

		if (kind == JSON_OBJECT) {
			if (!json_find(value, path->segments[i], &value))
				return false;
		} else if (kind != JSON_ARRAY || !find_element(value, path->segments[i], &value)) {
			return false;
		}
	}
	*found = value;
	return true;
}

static int read_special(const char *name, const struct mango_subject *subject, struct qosid_buf *scratch, bool *found,
    struct json_slice *value, struct qosid_errbuf *err)
{
	char text[REVISION_TEXT_SIZE];
	const char *string = NULL;
	int rc = 0;

	*found = true;
	if (strcmp(name, "_attachments") == 0 && subject->attachments.len > 0) {
		*value = subject->attachments;
		return 0;
	}
	if (strcmp(name, "_deleted") == 0 && subject->deleted) {
		*value = (struct json_slice){"true", 4};
		return 0;
	}
	if (strcmp(name, "_id") == 0) {
		string = subject->id;
	} else if (strcmp(name, "_rev") == 0 && subject->rev != NULL) {
		revision_format(text, subject->rev);
		string = text;
	}
	*found = string != NULL;
	if (string == NULL)
		return 0;
	qosid_buf_reset(scratch);
	rc = json_string_encode(scratch, string, strlen(string), err);
	*value = (struct json_slice){(const char *)scratch->data, scratch->len};
	return rc;
}

int mango_path_read(const struct mango_path *path, const struct mango_subject *subject, struct qosid_buf *scratch,
    bool *found, struct json_slice *value, struct qosid_errbuf *err)
{
	int rc;

	*found = false;
	if (path->count == 0)
		return 0;
	if (path->segments[0][0] != '_') {
		*found = mango_path_follow(path, 0, subject->body, value);
		return 0;
	}
	rc = read_special(path->segments[0], subject, scratch, found, value, err);
	if (rc == 0 && *found)
		*found = mango_path_follow(path, 1, *value, value);
	return rc;
}

struct mango_subject mango_subject_of(const struct replica_record *record)
{
	return (struct mango_subject){
	    .id = (const char *)record->id.data,
	    .rev = &record->rev,
	    .deleted = record->deleted,
	    .attachments = {(const char *)record->attachments.data, record->attachments.len},
	    .body = {(const char *)record->body.data, record->body.len},
	};
}
