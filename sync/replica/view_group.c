/*
 * The views of a design document, and their signature.
 *
 * The signature covers what rows and reductions depend on: language, views with their library, and options. It is taken
 * of the canonical form, in which also the order of the views is fixed: a view's number is its place in it.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "sync/replica/view_internal.h"

#define SIGNATURE_BYTES 16
#define STORED_FORM "1\n" /* goes up when rows or reductions are stored otherwise */

static int refuse(struct qosid_errbuf *err, const char *word, const char *reason, struct json_slice value)
{
	(void)qosid_error(
	    err, QOSID_ERR_INVALID, "%s%.*s", reason, (int)(value.len > 100 ? 100 : value.len), value.text);
	if (err != NULL)
		(void)qosid_error_within(err, "%s", word); /* its code is INVALID already */
	return QOSID_ERR_INVALID;
}

void view_group_free(struct view_group *group)
{
	if (group == NULL)
		return;
	for (size_t i = 0; i < group->count; i++) {
		qosid_buf_free(&group->functions[i].name);
		qosid_buf_free(&group->functions[i].map);
		qosid_buf_free(&group->functions[i].reduce);
	}
	free(group->functions);
	qosid_buf_free(&group->lib);
	free(group);
}

int view_group_find(const struct view_group *group, const char *name)
{
	for (size_t i = 0; i < group->count; i++) {
		if (strcmp((const char *)group->functions[i].name.data, name) == 0)
			return (int)i;
	}
	return -1;
}

static int find_reducer(struct json_slice source, enum view_reducer *out, struct qosid_errbuf *err)
{
	static const struct {
		const char *name;
		enum view_reducer reducer;
	} known[] = {{"_sum", REDUCER_SUM}, {"_count", REDUCER_COUNT}, {"_stats", REDUCER_STATS},
	    {"_approx_count_distinct", REDUCER_DISTINCT}};

	*out = REDUCER_SCRIPT;
	if (source.len < 3 || source.text[1] != '_')
		return 0;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (json_string_equal(source, known[i].name)) {
			*out = known[i].reducer;
			return 0;
		}
	}
	return refuse(err, "invalid_design_doc", "there is no built-in reduce function ", source);
}

static int append_slice(struct qosid_buf *out, struct json_slice slice, struct qosid_errbuf *err)
{
	return qosid_buf_append(out, slice.text, slice.len, err);
}

/* A view without a map function is none; "lib" without one is the library. */
static int add_view(struct view_group *group, struct json_slice name, struct json_slice view, struct qosid_errbuf *err)
{
	struct view_function *function = &group->functions[group->count];
	struct json_slice map;
	struct json_slice reduce;
	int rc;

	if (json_slice_kind(view) != JSON_OBJECT || !json_find(view, "map", &map) ||
	    json_slice_kind(map) != JSON_STRING)
		return json_string_equal(name, "lib") ? append_slice(&group->lib, view, err) : 0;
	if (group->count == VIEW_FUNCTIONS_MAX)
		return refuse(err, "invalid_design_doc", "there are more than 1000 views", (struct json_slice){"", 0});
	group->count++;
	rc = json_string_decode(name, &function->name, err);
	if (rc == 0 && function->name.data == NULL)
		rc = qosid_buf_append_text(&function->name, "", err);
	if (rc == 0)
		rc = append_slice(&function->map, map, err);
	if (rc == 0 && json_find(view, "reduce", &reduce) && json_slice_kind(reduce) == JSON_STRING && reduce.len > 2) {
		rc = append_slice(&function->reduce, reduce, err);
		if (rc == 0)
			rc = find_reducer(reduce, &function->reducer, err);
	}
	return rc;
}

static bool is_true(struct json_slice options, const char *name)
{
	struct json_slice value;

	return options.len > 0 && json_find(options, name, &value) && json_slice_kind(value) == JSON_TRUE;
}

static int check_language(struct json_slice body, struct qosid_errbuf *err)
{
	struct json_slice language;

	if (!json_find(body, "language", &language) || json_string_equal(language, "javascript"))
		return 0;
	if (json_slice_kind(language) == JSON_STRING)
		language = (struct json_slice){language.text + 1, language.len - 2};
	return refuse(err, "unknown_query_language", "", language);
}

static int sign(struct view_group *group, struct qosid_buf *canonical, struct qosid_errbuf *err)
{
	uint8_t hash[SIGNATURE_BYTES];
	int rc =
	    qosid_buf_append_format(canonical, err, "\n" STORED_FORM "%d%d", group->include_design, group->local_seq);

	if (rc != 0)
		return rc;
	(void)crypto_generichash(hash, sizeof(hash), canonical->data, canonical->len, NULL, 0); /* fits */
	(void)sodium_bin2hex(group->signature, sizeof(group->signature), hash, sizeof(hash));
	return 0;
}

int view_group_parse(struct view_group **out, struct json_slice body, struct qosid_errbuf *err)
{
	struct view_group *group = calloc(1, sizeof(*group));
	struct qosid_buf canonical = {0};
	struct json_slice views = {"{}", 2};
	struct json_slice options = {0};
	struct json_slice name;
	struct json_slice view;
	size_t position = 0;
	int rc;

	*out = NULL;
	if (group != NULL)
		group->functions = calloc(VIEW_FUNCTIONS_MAX, sizeof(*group->functions));
	if (group == NULL || group->functions == NULL) {
		free(group);
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	}
	rc = check_language(body, err);
	if (rc == 0 && json_find(body, "views", &views) && json_slice_kind(views) != JSON_OBJECT)
		rc = refuse(
		    err, "invalid_design_doc", "`views` parameter must be an object", (struct json_slice){"", 0});
	if (json_find(body, "options", &options) && json_slice_kind(options) != JSON_OBJECT)
		options.len = 0;
	group->include_design = is_true(options, "include_design");
	group->local_seq = is_true(options, "local_seq");
	if (rc == 0)
		rc = json_canonicalize(views, &canonical, err);
	views = (struct json_slice){(const char *)canonical.data, canonical.len};
	while (rc == 0 && json_next(views, &position, &name, &view))
		rc = add_view(group, name, view, err);
	if (rc == 0)
		rc = sign(group, &canonical, err);
	qosid_buf_free(&canonical);
	if (rc != 0) {
		view_group_free(group);
		return rc;
	}
	*out = group;
	return 0;
}
