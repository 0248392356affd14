/* Calling functions of design documents; see design.h. */
#include "daemon/api/design.h"

#include <stdio.h>
#include <string.h>

#include "daemon/api/render.h"
#include "daemon/api/scripts.h"
#include "sync/replica/replica_query.h"

#define TRIES 2 /* a process may have forgotten, or have been ended by the request before */

/* ---- the design document ---- */

/* What it is by id and revision. */
static int format_key(struct api_database *database, const char *id, struct qosid_buf *key, struct qosid_errbuf *err)
{
	struct replica_record head = {0};
	char rev[REVISION_TEXT_SIZE];
	int rc = replica_read_head(database->replica, id, &head, err);

	if (rc == 0 && head.deleted)
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "%s: deleted", id);
	if (rc == 0) {
		revision_format(rev, &head.rev);
		rc = qosid_buf_append_format(key, err, "%s@%s", id, rev);
	}
	replica_record_free(&head);
	return rc;
}

/* ["ddoc","new",id,document] */
static int format_design(
    struct api_database *database, const char *id, struct qosid_buf *request, struct qosid_errbuf *err)
{
	struct replica_record record = {0};
	struct render render = {0};
	struct writer writer = {.err = err};
	int rc = replica_read_document(database->replica, id, NULL, &record, err);

	if (rc == 0) {
		writer_text(&writer, "[\"ddoc\",\"new\",");
		writer_string(&writer, id);
		writer_text(&writer, ",");
		render_document(&writer, database, &record, &render);
		writer_text(&writer, "]");
		*request = writer.buf;
		rc = writer.rc;
	}
	replica_record_free(&record);
	return rc;
}

/* A document's line feeds, if it has any, are white space between its members. */
static void join_lines(struct qosid_buf *text)
{
	for (size_t i = 0; i < text->len; i++) {
		if (text->data[i] == '\n' || text->data[i] == '\r')
			text->data[i] = ' ';
	}
}

/* ---- answers ---- */

static int decode_into(struct json_slice string, char *out, size_t size)
{
	struct qosid_buf text = {0};
	int rc = 0;

	if (json_slice_kind(string) == JSON_STRING)
		rc = json_string_decode(string, &text, NULL);
	(void)snprintf(out, size, "%s", rc == 0 && text.data ? (const char *)text.data : "");
	qosid_buf_free(&text);
	return rc;
}

/* What ["error", name, reason] says, as an error; 0 for other answers. */
static int read_error(struct json_slice answer, struct qosid_errbuf *err)
{
	struct json_slice name, values[3];
	char word[128], reason[400];
	size_t position = 0, count = 0;

	if (json_slice_kind(answer) != JSON_ARRAY)
		return 0;
	while (count < 3 && json_next(answer, &position, &name, &values[count]))
		count++;
	if (count < 3 || !json_string_equal(values[0], "error"))
		return 0;
	if (decode_into(values[1], word, sizeof(word)) != 0 || decode_into(values[2], reason, sizeof(reason)) != 0)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	if (strcmp(word, "not_found") == 0)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "%s", reason);
	(void)qosid_error(err, QOSID_ERR_FAILED, "%s", reason);
	return qosid_error_within(err, "%s", word);
}

static int check_answer(struct qosid_buf *text, struct json_slice *answer, struct qosid_errbuf *err)
{
	if (json_check((const char *)text->data, text->len, NULL) != 0) {
		(void)qosid_error(err, QOSID_ERR_FAILED, "the function's answer is no JSON that can be stored");
		return qosid_error_within(err, "bad_answer");
	}
	*answer = (struct json_slice){(const char *)text->data, text->len};
	return read_error(*answer, err);
}

/* ---- calling ---- */

/* A process that cannot be had, or has been ended, is a failure of the function. */
static int call_process(
    struct scripts_loan *loan, const struct qosid_buf *request, struct qosid_buf *text, struct qosid_errbuf *err)
{
	struct qosid_errbuf reason = {0};
	int rc = script_call(scripts_script(loan), request->data, request->len, text, &reason);

	if (rc == 0)
		return 0;
	(void)qosid_error(err, QOSID_ERR_FAILED, "%s", reason.what);
	return qosid_error_within(err, "os_process_error");
}

/* One call, and what is needed for it. */
struct request {
	struct api_database *database;
	const char *id;
	struct qosid_buf key, line;
	struct scripts_loan *loan;
};

static int tell(struct request *request, struct qosid_buf *text, struct qosid_errbuf *err)
{
	struct scripts_loan *loan = request->loan;
	const char *key = (const char *)request->key.data;
	struct qosid_buf design = {0};
	struct json_slice answer;
	int rc;

	if (scripts_is_told(loan, key))
		return 0;
	qosid_buf_reset(text);
	rc = format_design(request->database, request->id, &design, err);
	join_lines(&design);
	if (rc == 0)
		rc = call_process(loan, &design, text, err);
	if (rc == 0)
		rc = check_answer(text, &answer, err);
	qosid_buf_free(&design);
	return rc == 0 ? scripts_note_told(loan, key, err) : rc;
}

static int call_told(struct request *request, struct qosid_buf *text, struct qosid_errbuf *err)
{
	static const char forgotten[] = "[\"error\",\"uncached_ddoc\"";
	int rc = 0;

	for (int i = 0; i < TRIES && rc == 0; i++) {
		rc = tell(request, text, err);
		qosid_buf_reset(text);
		if (rc == 0)
			rc = call_process(request->loan, &request->line, text, err);
		if (rc == 0 &&
		    (text->len < sizeof(forgotten) || memcmp(text->data, forgotten, sizeof(forgotten) - 1) != 0))
			break;
		if (rc == 0)
			script_end(scripts_script(request->loan)); /* what it knows is not what we think */
	}
	return rc;
}

int design_call(struct api_database *database, const char *id, const char *path, struct json_slice arguments,
    struct qosid_buf *text, struct json_slice *answer, struct qosid_errbuf *err)
{
	struct scripts *scripts = database->api->scripts;
	struct request request = {.database = database, .id = id};
	struct writer writer = {.err = err};
	int rc = format_key(database, id, &request.key, err);

	if (rc != 0)
		goto out;
	writer_text(&writer, "[\"ddoc\",");
	writer_string(&writer, id);
	writer_text(&writer, ",");
	writer_text(&writer, path);
	writer_text(&writer, ",");
	writer_slice(&writer, arguments);
	writer_text(&writer, "]");
	join_lines(&writer.buf);
	request.line = writer.buf;
	rc = writer.rc;
	if (rc == 0)
		rc = scripts_borrow(scripts, database->instance, (const char *)request.key.data, &request.loan, err);
	if (rc == 0)
		rc = call_told(&request, text, err);
	scripts_return(scripts, request.loan);
	if (rc == 0)
		rc = check_answer(text, answer, err);
out:
	qosid_buf_wipe(&request.line);
	qosid_buf_free(&request.key);
	return rc;
}

int design_reply_failure(struct http_call *call, int rc, const struct qosid_errbuf *err)
{
	switch (rc < 0 && err ? err->code : 0) {
	case QOSID_ERR_NOTFOUND:
		return reply_missing(call, strncmp(err->what, "missing ", 8) == 0 ? err->what : "missing");
	case QOSID_ERR_FAILED:
		return reply_error(call, 500, *err->where ? err->where : "os_process_error", err->what);
	case QOSID_ERR_REFUSED:
		return strcmp(err->where, "unauthorized") == 0 ? reply_error(call, 401, "unauthorized", err->what)
							       : reply_error(call, 403, "forbidden", err->what);
	default:
		return rc;
	}
}

/* ---- what functions are given ---- */

void design_write_user(struct writer *writer, struct http_call *call, const struct api_database *database)
{
	const struct http_principal *principal = http_call_principal(call);

	writer_text(writer, "{\"db\":");
	writer_string(writer, database->name);
	writer_text(writer, ",\"name\":");
	if (principal->name[0])
		writer_string(writer, principal->name);
	else
		writer_text(writer, "null");
	writer_text(writer, ",\"roles\":[");
	for (size_t i = 0; i < principal->role_count; i++) {
		writer_text(writer, i ? "," : "");
		writer_string(writer, principal->roles[i]);
	}
	writer_text(writer, "]}");
}
