/* The options of a view query, from the URL and from bodies, and which of them go together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/views_internal.h"

static int parse_error(struct view_options *options, const char *reason)
{
	return reply_error(options->call, 400, "query_parse_error", reason);
}

static int bad_value(struct view_options *options, const char *what, struct json_slice value)
{
	char reason[300];
	bool string = value.len > 1 && value.text[0] == '"';

	(void)snprintf(reason, sizeof(reason), "%s: %s%.*s%s", what, string ? "" : "\"",
	    (int)(value.len > 200 ? 200 : value.len), value.text, string ? "" : "\"");
	return parse_error(options, reason);
}

void view_options_init(struct view_options *options, struct http_call *call, bool has_reduce)
{
	*options = (struct view_options){.call = call,
	    .has_reduce = has_reduce,
	    .range = {.limit = -1},
	    .reduce = -1,
	    .group = -1,
	    .group_level = -1,
	    .conflicts = -1};
}

void view_options_free(struct view_options *options)
{
	qosid_buf_free(&options->start_id);
	qosid_buf_free(&options->end_id);
}

/* ---- values: as JSON, or as the text of a URL that is no JSON ---- */

static bool is_word(struct json_slice value, const char *word)
{
	size_t len = strlen(word);

	if (value.len == len + 2 && value.text[0] == '"')
		value = (struct json_slice){value.text + 1, len};
	return value.len == len && memcmp(value.text, word, len) == 0;
}

static int set_flag(struct view_options *options, struct json_slice value, bool *out)
{
	if (!is_word(value, "true") && !is_word(value, "false"))
		return bad_value(options, "Invalid boolean parameter", value);
	*out = is_word(value, "true");
	return 0;
}

static int set_choice(struct view_options *options, struct json_slice value, int *out)
{
	bool flag = false;
	int rc = set_flag(options, value, &flag);

	*out = flag;
	return rc;
}

static int set_number(struct view_options *options, struct json_slice value, int64_t *out)
{
	char text[24], *end;

	if (value.len > 2 && value.text[0] == '"')
		value = (struct json_slice){value.text + 1, value.len - 2};
	if (value.len == 0 || value.len > 18)
		return bad_value(options, "Invalid value for integer", value);
	memcpy(text, value.text, value.len);
	text[value.len] = '\0';
	*out = strtoll(text, &end, 10);
	if (*end != '\0' || (text[0] != '-' && (text[0] < '0' || text[0] > '9')))
		return bad_value(options, "Invalid value for integer", value);
	return *out < 0 ? bad_value(options, "Invalid value for positive integer", value) : 0;
}

static int set_id(struct json_slice value, bool json, struct qosid_buf *buf, const char **out, struct qosid_errbuf *err)
{
	int rc;

	qosid_buf_reset(buf);
	rc = qosid_buf_append_text(buf, "", err); /* so that an empty id is a text */
	if (rc == 0 && json && json_slice_kind(value) == JSON_STRING)
		rc = json_string_decode(value, buf, err);
	else if (rc == 0)
		rc = qosid_buf_append(buf, value.text, value.len, err);
	*out = (const char *)buf->data;
	return rc;
}

static int set_freshness(struct view_options *options, const char *name, struct json_slice value)
{
	bool stale = strcmp(name, "stale") == 0;

	if (stale ? is_word(value, "ok") : is_word(value, "false"))
		options->freshness = VIEW_NO_UPDATE;
	else if (stale ? is_word(value, "update_after") : is_word(value, "lazy"))
		options->freshness = VIEW_LAZY;
	else if (!stale && is_word(value, "true"))
		options->freshness = VIEW_UPDATE;
	else
		return parse_error(options, stale ? "Invalid value for `stale`." : "Invalid value for `update`.");
	return 0;
}

/* Keys, which are JSON wherever they stand. *known false: the name is none of these. */
static int set_key(struct view_options *options, const char *name, struct json_slice value, bool *known)
{
	struct view_range *range = &options->range;

	*known = true;
	if (strcmp(name, "key") == 0)
		range->start = range->end = value;
	else if (strcmp(name, "keys") == 0)
		options->keys = value;
	else if (strcmp(name, "startkey") == 0 || strcmp(name, "start_key") == 0)
		range->start = value;
	else if (strcmp(name, "endkey") == 0 || strcmp(name, "end_key") == 0)
		range->end = value;
	else
		*known = false;
	if (strcmp(name, "keys") == 0 && json_slice_kind(value) != JSON_ARRAY)
		return reply_error(options->call, 400, "bad_request", "`keys` member must be an array.");
	return 0;
}

static int set_switch(struct view_options *options, const char *name, struct json_slice value, bool *known)
{
	bool flag = false;
	int rc = 0;

	*known = true;
	if (strcmp(name, "descending") == 0)
		return set_flag(options, value, &options->range.descending);
	if (strcmp(name, "include_docs") == 0)
		return set_flag(options, value, &options->include_docs);
	if (strcmp(name, "update_seq") == 0)
		return set_flag(options, value, &options->update_seq);
	if (strcmp(name, "reduce") == 0)
		return set_choice(options, value, &options->reduce);
	if (strcmp(name, "conflicts") == 0)
		return set_choice(options, value, &options->conflicts);
	if (strcmp(name, "att_encoding_info") == 0)
		return set_flag(options, value, &options->render.encoding);
	if (strcmp(name, "stable") == 0)
		return set_flag(options, value, &flag); /* there is one copy of the index */
	if (strcmp(name, "inclusive_end") == 0) {
		rc = set_flag(options, value, &flag);
		options->range.exclusive_end = !flag;
	} else if (strcmp(name, "sorted") == 0) {
		rc = set_flag(options, value, &flag);
		options->unsorted = !flag;
	} else if (strcmp(name, "attachments") == 0) {
		rc = set_flag(options, value, &flag);
		options->render.attachments = flag ? ATTACHMENTS_INLINE : ATTACHMENTS_STUBS;
	} else if (strcmp(name, "group") == 0) {
		rc = set_choice(options, value, &options->group);
	} else {
		*known = false;
	}
	return rc;
}

/* What is no option is passed over, as CouchDB does. */
static int set_option(
    struct view_options *options, const char *name, struct json_slice value, bool json, struct qosid_errbuf *err)
{
	bool known;
	int rc = set_switch(options, name, value, &known);

	if (rc != 0 || known)
		return rc;
	if (strcmp(name, "startkey_docid") == 0 || strcmp(name, "start_key_doc_id") == 0)
		return set_id(value, json, &options->start_id, &options->range.start_id, err);
	if (strcmp(name, "endkey_docid") == 0 || strcmp(name, "end_key_doc_id") == 0)
		return set_id(value, json, &options->end_id, &options->range.end_id, err);
	if (strcmp(name, "limit") == 0)
		return set_number(options, value, &options->range.limit);
	if (strcmp(name, "skip") == 0)
		return set_number(options, value, &options->range.skip);
	if (strcmp(name, "group_level") == 0)
		return set_number(options, value, &options->group_level);
	if (strcmp(name, "stale") == 0 || strcmp(name, "update") == 0)
		return set_freshness(options, name, value);
	rc = set_key(options, name, value, &known);
	return rc;
}

static bool is_key(const char *name)
{
	static const char *const names[] = {"key", "keys", "startkey", "start_key", "endkey", "end_key"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

static int visit_query(void *context, const char *name, const char *value, struct qosid_errbuf *err)
{
	struct view_options *options = context;
	struct json_slice slice = {value, strlen(value)};

	if (is_key(name) && json_check(value, slice.len, NULL) != 0)
		return reply_error(options->call, 400, "bad_request", "invalid UTF-8 JSON");
	return set_option(options, name, slice, false, err);
}

int view_options_read_query(struct view_options *options, struct qosid_errbuf *err)
{
	return http_call_visit_query(options->call, visit_query, options, err);
}

int view_options_read_object(struct view_options *options, struct json_slice object, struct qosid_errbuf *err)
{
	struct json_slice name, value;
	struct qosid_buf text = {0};
	size_t position = 0;
	int rc = 0;

	if (json_slice_kind(object) != JSON_OBJECT)
		return reply_error(options->call, 400, "bad_request", "Request body must be a JSON object");
	while (rc == 0 && json_next(object, &position, &name, &value)) {
		qosid_buf_reset(&text);
		rc = json_string_decode(name, &text, err);
		if (rc == 0 && text.len > 0)
			rc = set_option(options, (const char *)text.data, value, true, err);
	}
	qosid_buf_free(&text);
	return rc;
}

/* ---- which go together ---- */

static int check_reduce(struct view_options *options)
{
	if (options->group == 0 && options->group_level > 0)
		return parse_error(options, "Can't specify group=false and group_level>0 at the same time");
	if (!options->has_reduce && options->reduce == 1)
		return parse_error(options, "Reduce is invalid for map-only views.");
	if (!view_options_reduces(options))
		return view_options_level(options) != VIEW_GROUP_NONE
			   ? parse_error(options, "Invalid use of grouping on a map view.")
			   : 0;
	if (options->keys.len > 0 && view_options_level(options) != VIEW_GROUP_EXACT)
		return parse_error(options, "Multi-key fetches for reduce views must use `group=true`");
	if (options->include_docs)
		return parse_error(options, "`include_docs` is invalid for reduce");
	if (options->conflicts >= 0)
		return parse_error(options, "`conflicts` is invalid for reduce views.");
	return 0;
}

int view_options_check(struct view_options *options, struct views *views, struct qosid_errbuf *err)
{
	struct json_slice name, first;
	size_t position = 0;
	bool possible = true;
	int rc = check_reduce(options);

	if (rc != 0)
		return rc;
	if (options->keys.len > 0 && json_next(options->keys, &position, &name, &first) &&
	    (options->range.start.len > 0 || options->range.end.len > 0))
		return parse_error(options, "`keys` is incompatible with `key`, `start_key` and `end_key`");
	options->render.conflicts = options->conflicts > 0;
	rc = views_check_range(views, &options->range, &possible, err);
	if (rc != 0 || possible)
		return rc;
	return parse_error(options,
	    options->range.descending
		? "No rows can match your key range, reverse your start_key and end_key or set {descending:false}"
		: "No rows can match your key range, reverse your start_key and end_key or set {descending:true}");
}
