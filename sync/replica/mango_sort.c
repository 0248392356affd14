/*
 * Lists of field names with a direction: "sort" of a query and "fields" of an index.
 */
#include <string.h>

#include "sync/replica/json_internal.h"
#include "sync/replica/mango_internal.h"

static int bad_field(struct qosid_errbuf *err, struct json_slice item)
{
	return mango_refuse_value(err, "invalid_sort_field", item, "Invalid sort field: ");
}

/* One name, or {name: direction}. direction: 1 ascending, -1 descending. */
static int parse_item(struct json_slice item, struct mango_path *path, int *direction, struct qosid_errbuf *err)
{
	struct json_slice name = item;
	struct json_slice value = {"\"asc\"", 5};
	struct json_slice more;
	size_t position = 0;

	if (json_slice_kind(item) == JSON_OBJECT) {
		if (!json_next(item, &position, &name, &value) || json_next(item, &position, &more, &more))
			return bad_field(err, item);
	} else if (json_slice_kind(item) != JSON_STRING) {
		return bad_field(err, item);
	}
	if (name.len <= 2)
		return bad_field(err, item);
	if (json_slice_kind(value) != JSON_STRING ||
	    (!json_string_equal(value, "asc") && !json_string_equal(value, "desc")))
		return mango_refuse_value(err, "invalid_sort_dir", item, "Invalid sort direction: ");
	*direction = json_string_equal(value, "asc") ? 1 : -1;
	return mango_path_parse(path, name, err);
}

int mango_sort_parse(
    struct json_slice value, struct mango_path *paths, size_t *count, bool *descending, struct qosid_errbuf *err)
{
	enum json_kind kind = json_slice_kind(value);
	struct json_slice name;
	struct json_slice item;
	size_t position = 0;
	int direction = 0;
	int rc = 0;

	*count = 0;
	*descending = false;
	if (kind != JSON_ARRAY)
		return mango_refuse_value(
		    err, "invalid_sort_json", value, "Sort must be an array of sort specs, not: ");
	while (rc == 0 && json_next(value, &position, &name, &item)) {
		int before = direction;

		if (*count == MANGO_INDEX_FIELDS) {
			rc =
			    mango_refuse(err, "invalid_sort_json", "There are more than %u fields", MANGO_INDEX_FIELDS);
			break;
		}
		rc = parse_item(item, &paths[*count], &direction, err);
		if (rc != 0)
			break;
		++*count;
		if (before != 0 && before != direction)
			rc = mango_refuse(err, "unsupported_mixed_sort",
			    "Sorts currently only support a single direction for all fields.");
	}
	if (rc != 0) {
		for (size_t i = 0; i < *count; i++)
			mango_path_free(&paths[i]);
		*count = 0;
	}
	*descending = direction < 0;
	return rc;
}

int mango_sort_render(
    const struct mango_path *paths, size_t count, bool descending, struct qosid_buf *out, struct qosid_errbuf *err)
{
	int rc = qosid_buf_append_byte(out, '{', err);

	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (i > 0)
			rc = qosid_buf_append_byte(out, ',', err);
		if (rc == 0)
			rc = json_string_encode(out, paths[i].text, strlen(paths[i].text), err);
		if (rc == 0)
			rc = qosid_buf_append_text(out, descending ? ":\"desc\"" : ":\"asc\"", err);
	}
	return rc != 0 ? rc : qosid_buf_append_byte(out, '}', err);
}
