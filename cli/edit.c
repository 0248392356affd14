/*
 * Shared by the commands that edit: see edit.h.
 */
#include "cli/edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/utf8.h"

int edit_transaction(struct cli *cli, int (*work)(struct cli *cli, void *context, struct qosid_errbuf *err),
    void *context, struct qosid_errbuf *err)
{
	struct replica *replica = space_replica(cli->space);
	int code;

	code = replica_begin(replica, err);
	if (code != 0)
		return code;
	code = work(cli, context, err);
	if (code == 0)
		code = replica_commit(replica, err);
	if (code != 0)
		replica_rollback(replica);
	return code;
}

static const char *guess_type(const char *path, size_t len)
{
	static const struct {
		const char *ending, *type;
	} known[] = {
	    {".pdf", "application/pdf"},
	    {".json", "application/json"},
	    {".txt", "text/plain"},
	    {".csv", "text/csv"},
	    {".html", "text/html"},
	    {".jpg", "image/jpeg"},
	    {".jpeg", "image/jpeg"},
	    {".png", "image/png"},
	    {".tif", "image/tiff"},
	    {".tiff", "image/tiff"},
	    {".zip", "application/zip"},
	    {".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	    {".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
	    {".odt", "application/vnd.oasis.opendocument.text"},
	    {".ods", "application/vnd.oasis.opendocument.spreadsheet"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t n = strlen(known[i].ending);

		if (len > n && strncasecmp(path + len - n, known[i].ending, n) == 0)
			return known[i].type;
	}
	return "application/octet-stream";
}

/* "type/subtype" as RFC 6838 names them, maybe with parameters: printable, and no white space before a ';'. */
static bool looks_like_type(const char *text)
{
	const char *slash = strchr(text, '/');

	if (slash == NULL || slash == text || slash[1] == '\0' || text[0] == '.' || text[0] == '/')
		return false;
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7E || *text == '\\')
			return false;
	}
	return true;
}

int edit_parse_attachment(struct edit_attachment *out, const char *argument, struct qosid_errbuf *err)
{
	const char *equals = strchr(argument, '=');
	const char *colon;

	if (equals == NULL || equals == argument || equals[1] == '\0')
		return qosid_error(
		    err, QOSID_ERR_USAGE, "--attach needs NAME=FILE or NAME=FILE:TYPE, not \"%s\"", argument);
	out->name = argument;
	out->name_len = (size_t)(equals - argument);
	out->path = equals + 1;
	out->path_len = strlen(out->path);
	out->type = NULL;
	if (!utf8_valid(out->name, out->name_len, NULL))
		return qosid_error(err, QOSID_ERR_USAGE, "the attachment's name is not valid UTF-8");
	if (out->name[0] == '_')
		return qosid_error(err, QOSID_ERR_USAGE, "an attachment's name cannot begin with an underscore");
	colon = strrchr(out->path, ':');
	if (colon != NULL && colon != out->path && looks_like_type(colon + 1) && access(out->path, F_OK) != 0) {
		out->type = colon + 1;
		out->path_len = (size_t)(colon - out->path);
	}
	if (out->type == NULL)
		out->type = guess_type(out->path, out->path_len);
	return 0;
}

static int store_content(
    struct replica *replica, const char *path, uint8_t digest[DIGEST_BYTES], int64_t *length, struct qosid_errbuf *err)
{
	struct attachment_writer *writer = NULL;
	char chunk[65536];
	size_t got;
	FILE *stream;
	int code;

	stream = fopen(path, "re");
	if (stream == NULL)
		return qosid_error_errno(err, errno, "cannot open %s", path);
	code = attachment_writer_open(&writer, replica, err);
	while (code == 0 && (got = fread(chunk, 1, sizeof(chunk), stream)) > 0)
		code = attachment_writer_write(writer, chunk, got, err);
	if (code == 0 && ferror(stream))
		code = qosid_error_errno(err, errno, "cannot read %s", path);
	if (code == 0)
		code = attachment_writer_finish(writer, digest, length, err);
	else if (code == QOSID_ERR_LIMIT)
		code = qosid_error_within(err, "%s", path);
	attachment_writer_free(writer);
	(void)fclose(stream); /* it was only read */
	return code;
}

/* Append `"name":{stub}` for a file. */
static int append_file(
    struct replica *replica, const struct edit_attachment *attachment, struct qosid_buf *out, struct qosid_errbuf *err)
{
	uint8_t digest[DIGEST_BYTES];
	char text[DIGEST_TEXT_SIZE];
	char *path = strndup(attachment->path, attachment->path_len);
	int64_t length = 0;
	int code;

	if (path == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	code = store_content(replica, path, digest, &length, err);
	free(path);
	if (code != 0)
		return code;
	digest_format(text, digest);
	code = json_string_encode(out, attachment->name, attachment->name_len, err);
	if (code == 0)
		code = qosid_buf_append_text(out, ":{\"stub\":true,\"content_type\":", err);
	if (code == 0)
		code = json_string_encode(out, attachment->type, strlen(attachment->type), err);
	if (code == 0)
		code =
		    qosid_buf_append_format(out, err, ",\"digest\":\"%s\",\"length\":%lld}", text, (long long)length);
	return code;
}

static bool is_replaced(struct json_slice name, const struct edit_attachment *given, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *copy = strndup(given[i].name, given[i].name_len);
		bool same = copy != NULL && json_string_equal(name, copy);

		free(copy);
		if (same)
			return true;
	}
	return false;
}

int edit_store_attachments(struct replica *replica, struct json_slice kept, const struct edit_attachment *given,
    size_t count, struct qosid_buf *out, struct qosid_errbuf *err)
{
	size_t position = 0;
	struct json_slice name, value;
	const char *separator = "{";
	int code = 0;

	if (kept.len == 0 && count == 0)
		return 0;
	while (code == 0 && kept.len > 0 && json_next(kept, &position, &name, &value)) {
		if (is_replaced(name, given, count))
			continue;
		code = qosid_buf_append_text(out, separator, err);
		if (code == 0)
			code = qosid_buf_append(out, name.text, name.len, err);
		if (code == 0)
			code = qosid_buf_append_byte(out, ':', err);
		if (code == 0)
			code = qosid_buf_append(out, value.text, value.len, err);
		separator = ",";
	}
	for (size_t i = 0; code == 0 && i < count; i++) {
		code = qosid_buf_append_text(out, separator, err);
		if (code == 0)
			code = append_file(replica, &given[i], out, err);
		separator = ",";
	}
	if (code == 0)
		code = qosid_buf_append_text(out, separator[0] == '{' ? "{}" : "}", err);
	return code;
}

int edit_report(struct cli *cli, const char *verb, const char *id, const struct revision *rev, struct qosid_errbuf *err)
{
	char text[REVISION_TEXT_SIZE];
	struct output_object object;

	revision_format(text, rev);
	if (cli->json) {
		output_begin(&object);
		output_add_bool(&object, "ok", true);
		output_add_text(&object, "id", id);
		output_add_text(&object, "rev", text);
		return output_end(&object, err);
	}
	if (cli->quiet)
		return 0;
	(void)printf("%s ", verb);
	output_text(stdout, id, strlen(id));
	(void)printf(" as %s\n", text);
	return 0;
}
