/*
 * Whether a design document is one, before it is stored: the shapes of its members, and whether its map and reduce
 * functions compile. What comes by replication is stored as it is, and fails when it is used.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/api/design.h"
#include "daemon/api/views_internal.h"

/* err->where is CouchDB's word; a failure of the document, not of the server. */
static int fault(struct qosid_errbuf *err, const char *word)
{
	if (err) {
		err->code = QOSID_ERR_FAILED;
		err->where[0] = '\0';
		(void)qosid_error_within(err, "%s", word); /* its code is FAILED already */
	}
	return QOSID_ERR_FAILED;
}

static int refuse(struct qosid_errbuf *err, const char *member, const char *shape)
{
	(void)qosid_error(err, QOSID_ERR_FAILED, "`%s` parameter must be %s", member, shape);
	return fault(err, "invalid_design_doc");
}

/* Members that hold functions by name. "rewrites" may be one function, or a list. */
static int check_members(struct json_slice body, struct qosid_errbuf *err)
{
	static const char *const objects[] = {"options", "filters", "lists", "shows", "updates", "views"};
	static const char *const texts[] = {"language", "validate_doc_update"};
	struct json_slice member, name, value;

	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
		size_t position = 0;

		if (!json_find(body, objects[i], &member))
			continue;
		if (json_slice_kind(member) != JSON_OBJECT)
			return refuse(err, objects[i], "an object");
		while (i > 0 && i < 5 && json_next(member, &position, &name, &value)) {
			if (json_slice_kind(value) != JSON_STRING)
				return refuse(err, objects[i], "an object of strings");
		}
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (json_find(body, texts[i], &member) && json_slice_kind(member) != JSON_STRING)
			return refuse(err, texts[i], "a string");
	}
	return 0;
}

static int check_views(struct json_slice body, struct qosid_errbuf *err)
{
	static const char *const functions[] = {"map", "reduce"};
	struct json_slice views, name, view, value;
	size_t position = 0;

	if (!json_find(body, "views", &views))
		return 0;
	while (json_next(views, &position, &name, &view)) {
		if (json_slice_kind(view) != JSON_OBJECT)
			return refuse(err, "views", "an object of objects");
		if (json_string_equal(name, "lib"))
			continue;
		for (size_t i = 0; i < 2; i++) {
			if (json_find(view, functions[i], &value) && json_slice_kind(value) != JSON_STRING)
				return refuse(err, functions[i], "a string");
		}
	}
	return 0;
}

static int compile(struct api_database *database, struct json_slice body, struct qosid_errbuf *err)
{
	struct script_engine engine = {.database = database};
	struct view_group *group = NULL;
	int rc = view_group_parse(&group, body, err);

	if (rc == QOSID_ERR_INVALID)
		return fault(err, "invalid_design_doc");
	engine.group = group;
	if (rc == 0 && group->count > 0)
		rc = script_engine_compile(&engine, err);
	if (rc == QOSID_ERR_FAILED)
		rc = fault(err, "compilation_error");
	script_engine_end(&engine);
	view_group_free(group);
	return rc;
}

int design_check(struct api_database *database, struct json_slice body, struct qosid_errbuf *err)
{
	struct json_slice language;
	int rc;

	if (json_find(body, "language", &language) && json_slice_kind(language) == JSON_STRING &&
	    !json_string_equal(language, "javascript"))
		return 0;
	rc = check_members(body, err);
	if (rc == 0)
		rc = check_views(body, err);
	return rc == 0 && json_find(body, "views", &language) ? compile(database, body, err) : rc;
}
