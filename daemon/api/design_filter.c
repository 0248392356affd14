/* Filter functions of _changes: filter=design/name, and filter=_view with a map that emits for what is wanted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/design.h"
#include "daemon/api/render.h"

struct design_filter {
	char *design;     /* "_design/name" */
	const char *name; /* of the function, in the call's query */
	struct qosid_buf path;
	struct qosid_buf request; /* ",req]" or "]": the end of the arguments */
};

void design_filter_free(struct design_filter *filter)
{
	if (!filter)
		return;
	qosid_buf_free(&filter->path);
	qosid_buf_free(&filter->request);
	free(filter->design);
	free(filter);
}

/* "design/name", with what comes before and after the name in the path. */
static int take_name(
    struct design_filter *filter, const char *text, const char *before, const char *after, struct qosid_errbuf *err)
{
	const char *slash = strchr(text, '/');
	struct writer writer = {.err = err};

	if (asprintf(&filter->design, "_design/%.*s", (int)(slash - text), text) < 0) {
		filter->design = NULL;
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	}
	filter->name = slash + 1;
	writer_text(&writer, before);
	writer_string(&writer, slash + 1);
	writer_text(&writer, after);
	filter->path = writer.buf;
	return writer.rc;
}

/* Call it once with nothing to filter: a filter that is not there is told before the feed begins. */
static int try_out(
    struct design_filter *filter, struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct qosid_buf arguments = {0}, text = {0};
	struct json_slice answer;
	char reason[160];
	int rc = qosid_buf_append_text(&arguments, "[[]", err);

	if (rc == 0)
		rc = qosid_buf_append(&arguments, filter->request.data, filter->request.len, err);
	if (rc == 0)
		rc = design_call(database, filter->design, (const char *)filter->path.data,
		    (struct json_slice){(const char *)arguments.data, arguments.len}, &text, &answer, err);
	qosid_buf_free(&arguments);
	qosid_buf_free(&text);
	if (rc == QOSID_ERR_NOTFOUND && err && strstr(err->what, " function ")) {
		(void)snprintf(reason, sizeof(reason), "missing json key: %.120s", filter->name);
		return reply_missing(call, reason);
	}
	return rc < 0 ? design_reply_failure(call, rc, err) : rc;
}

int design_filter_open(struct design_filter **out, struct http_call *call, struct api_database *database,
    const char *name, struct qosid_errbuf *err)
{
	bool view = strcmp(name, "_view") == 0;
	const char *text = view ? http_call_query(call, "view") : name;
	struct design_filter *filter;
	struct writer request = {.err = err};
	int rc;

	if (!text || !strchr(text, '/'))
		return reply_error(call, 400, "bad_request",
		    view ? "`view` filter parameter is not provided."
			 : "filter must be of the form `designname/filtername`");
	filter = calloc(1, sizeof(*filter));
	if (!filter)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	rc = take_name(filter, text, view ? "[\"views\"," : "[\"filters\",", view ? ",\"map\"]" : "]", err);
	if (!view) {
		writer_text(&request, ",");
		if (rc == 0)
			rc = design_write_request(&request, call, database, NULL);
	}
	writer_text(&request, "]");
	filter->request = request.buf;
	if (rc == 0)
		rc = request.rc;
	if (rc == 0)
		rc = try_out(filter, call, database, err);
	if (rc != 0) {
		design_filter_free(filter);
		return rc;
	}
	*out = filter;
	return 0;
}

int design_filter_match(struct design_filter *filter, struct api_database *database,
    const struct replica_record *record, bool *match, struct qosid_errbuf *err)
{
	static const char yes[] = "[true,[true]]";
	struct writer arguments = {.err = err};
	struct render render = {.revs = true};
	struct qosid_buf text = {0};
	struct json_slice answer;
	int rc;

	writer_text(&arguments, "[[");
	render_document(&arguments, database, record, &render);
	writer_text(&arguments, "]");
	writer_bytes(&arguments, filter->request.data, filter->request.len);
	rc = arguments.rc;
	if (rc == 0)
		rc = design_call(database, filter->design, (const char *)filter->path.data,
		    (struct json_slice){(const char *)arguments.buf.data, arguments.buf.len}, &text, &answer, err);
	*match = rc == 0 && answer.len == sizeof(yes) - 1 && memcmp(answer.text, yes, answer.len) == 0;
	qosid_buf_free(&arguments.buf);
	qosid_buf_free(&text);
	return rc;
}
