/* The functions of views, run by the script process in CouchDB's query server protocol. */
#include <stdio.h>
#include <string.h>

#include "daemon/api/views_internal.h"

#define KEY_SIZE (VIEW_SIGNATURE_SIZE + 8)

static bool is_failure(struct json_slice answer, struct json_slice *word, struct json_slice *reason)
{
	struct json_slice name, first;
	size_t position = 0;

	return json_slice_kind(answer) == JSON_ARRAY && json_next(answer, &position, &name, &first) &&
	       json_slice_kind(first) == JSON_STRING && json_string_equal(first, "error") &&
	       json_next(answer, &position, &name, word) && json_next(answer, &position, &name, reason) &&
	       json_slice_kind(*word) == JSON_STRING && json_slice_kind(*reason) == JSON_STRING;
}

/* The function's own error: its word in err->where, its reason in err->what. */
static int report(struct json_slice word, struct json_slice reason, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	int rc = json_string_decode(reason, &text, err);

	if (rc == 0)
		rc =
		    qosid_error(err, QOSID_ERR_FAILED, "%.*s", (int)text.len, text.data ? (const char *)text.data : "");
	qosid_buf_reset(&text);
	if (json_string_decode(word, &text, NULL) == 0 && err)
		(void)qosid_error_within(err, "%.*s", (int)text.len, text.data ? (const char *)text.data : "");
	qosid_buf_free(&text);
	return rc;
}

/* Send engine->request, which must be a whole line's array; its answer is checked JSON in engine->answer. */
static int exchange(struct script_engine *engine, struct json_slice *answer, struct qosid_errbuf *err)
{
	int rc;

	qosid_buf_reset(&engine->answer);
	rc = script_call(scripts_script(engine->loan), engine->request.data, engine->request.len, &engine->answer, err);
	if (rc == QOSID_ERR_LIMIT && err)
		(void)qosid_error_within(err, "os_process_error");
	if (rc != 0)
		return rc;
	*answer = (struct json_slice){(const char *)engine->answer.data, engine->answer.len};
	return json_check(answer->text ? answer->text : "", answer->len, err);
}

static int tell(struct script_engine *engine, const char *command, struct json_slice argument, struct qosid_errbuf *err)
{
	struct json_slice answer, word, reason;
	int rc;

	qosid_buf_reset(&engine->request);
	rc = qosid_buf_append_format(&engine->request, err, "[\"%s\"%s", command, argument.len > 0 ? "," : "");
	if (rc == 0)
		rc = qosid_buf_append(&engine->request, argument.text, argument.len, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(&engine->request, ']', err);
	if (rc == 0)
		rc = exchange(engine, &answer, err);
	if (rc == 0 && is_failure(answer, &word, &reason))
		rc = report(word, reason, err);
	return rc == QOSID_ERR_INVALID ? QOSID_ERR_FAILED : rc;
}

static struct json_slice slice_of(const struct qosid_buf *buf)
{
	return (struct json_slice){buf->data ? (const char *)buf->data : "", buf->len};
}

/* Have a process that knows the group's map functions. */
static int prepare(struct script_engine *engine, struct qosid_errbuf *err)
{
	const struct view_group *group = engine->group;
	struct api_database *database = engine->database;
	char key[KEY_SIZE];
	int rc = 0;

	(void)snprintf(key, sizeof(key), "view-%s", group->signature);
	if (!engine->loan)
		rc = scripts_borrow(database->api->scripts, database->name, key, &engine->loan, err);
	if (rc != 0 || scripts_is_told(engine->loan, key))
		return rc;
	rc = scripts_note_told(engine->loan, "view", err); /* whatever it knew of views, it is about to forget */
	if (rc == 0)
		rc = tell(engine, "reset", (struct json_slice){"", 0}, err);
	if (rc == 0 && group->lib.len > 0)
		rc = tell(engine, "add_lib", slice_of(&group->lib), err);
	for (size_t i = 0; rc == 0 && i < group->count; i++)
		rc = tell(engine, "add_fun", slice_of(&group->functions[i].map), err);
	return rc != 0 ? rc : scripts_note_told(engine->loan, key, err);
}

static int map(void *context, const struct view_group *group, const struct replica_record *record,
    struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct script_engine *engine = context;
	struct render render = {.conflicts = true, .deleted_conflicts = true, .local_seq = group->local_seq};
	struct writer writer = writer_begin(NULL, err);
	struct json_slice answer, word, reason;
	int rc = prepare(engine, err);

	if (rc != 0)
		return rc;
	qosid_buf_reset(&engine->request);
	writer.buf = engine->request;
	writer_text(&writer, "[\"map_doc\",");
	render_document(&writer, engine->database, record, &render);
	writer_text(&writer, "]");
	engine->request = writer.buf;
	rc = writer.rc != 0 ? writer.rc : exchange(engine, &answer, err);
	if (rc == 0 && is_failure(answer, &word, &reason))
		rc = report(word, reason, err);
	return rc != 0 ? rc : qosid_buf_append(out, answer.text, answer.len, err);
}

/* An overflow is a value, as in CouchDB: it is stored, and shown. */
static int append_overflow(struct json_slice reason, struct qosid_buf *out, struct qosid_errbuf *err)
{
	return qosid_buf_append_format(out, err, "{\"reduce_overflow_error\":%.*s}", (int)reason.len, reason.text);
}

static int run_reduce(struct script_engine *engine, const char *command, struct json_slice source,
    struct json_slice list, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_slice answer, word, reason, name, item, value;
	size_t position = 0, at = 0;
	int rc = prepare(engine, err);

	if (rc != 0)
		return rc;
	qosid_buf_reset(&engine->request);
	rc = qosid_buf_append_format(&engine->request, err, "[\"%s\",[", command);
	if (rc == 0)
		rc = qosid_buf_append(&engine->request, source.text, source.len, err);
	if (rc == 0)
		rc = qosid_buf_append_text(&engine->request, "],", err);
	if (rc == 0)
		rc = qosid_buf_append(&engine->request, list.text, list.len, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(&engine->request, ']', err);
	if (rc == 0)
		rc = exchange(engine, &answer, err);
	if (rc != 0)
		return rc;
	if (is_failure(answer, &word, &reason))
		return json_string_equal(word, "reduce_overflow_error") ? append_overflow(reason, out, err)
									: report(word, reason, err);
	if (json_slice_kind(answer) != JSON_ARRAY || !json_next(answer, &position, &name, &item) ||
	    !json_next(answer, &position, &name, &item) || json_slice_kind(item) != JSON_ARRAY ||
	    !json_next(item, &at, &name, &value))
		return qosid_error(err, QOSID_ERR_FAILED, "a reduce function's answer cannot be understood");
	return qosid_buf_append(out, value.text, value.len, err);
}

static int reduce(
    void *context, struct json_slice source, struct json_slice rows, struct qosid_buf *out, struct qosid_errbuf *err)
{
	return run_reduce(context, "reduce", source, rows, out, err);
}

static int rereduce(
    void *context, struct json_slice source, struct json_slice values, struct qosid_buf *out, struct qosid_errbuf *err)
{
	return run_reduce(context, "rereduce", source, values, out, err);
}

struct view_engine script_engine_bind(struct script_engine *engine)
{
	return (struct view_engine){engine, map, reduce, rereduce};
}

/* A reduce function is compiled when it is called: with nothing to reduce, any other failure is not its syntax. */
static int try_reduce(struct script_engine *engine, const struct view_function *function, struct qosid_errbuf *err)
{
	struct qosid_errbuf failure = {0};
	struct qosid_buf out = {0};
	int rc =
	    run_reduce(engine, "reduce", slice_of(&function->reduce), (struct json_slice){"[]", 2}, &out, &failure);

	qosid_buf_free(&out);
	if (rc != QOSID_ERR_FAILED || strcmp(failure.where, "compilation_error") != 0)
		return 0;
	if (err)
		*err = failure;
	return rc;
}

int script_engine_compile(struct script_engine *engine, struct qosid_errbuf *err)
{
	int rc = prepare(engine, err);

	for (size_t i = 0; rc == 0 && i < engine->group->count; i++) {
		if (engine->group->functions[i].reduce.len > 0 && engine->group->functions[i].reducer == REDUCER_SCRIPT)
			rc = try_reduce(engine, &engine->group->functions[i], err);
	}
	return rc;
}

void script_engine_end(struct script_engine *engine)
{
	scripts_return(engine->database->api->scripts, engine->loan);
	engine->loan = NULL;
	qosid_buf_wipe(&engine->request);
	qosid_buf_wipe(&engine->answer);
}
