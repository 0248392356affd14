/*
 * Matching a document's text against a compiled selector.
 *
 * The rules are CouchDB's: a field that is missing matches nothing but {"$exists":false}, not even $ne; values of
 * different types compare by the collation; $in looks at the elements of an array, the other comparisons at the array
 * itself; $all compares exactly (1 is not 1.0).
 */
#include <string.h>

#include "sync/replica/json_internal.h"
#include "sync/replica/mango_internal.h"

struct matching {
	struct mango_selector *selector;
	const struct mango_subject *subject;
	struct qosid_errbuf *err;
};

/* ---- exact equality ---- */

static bool is_integer(struct json_slice number)
{
	for (size_t i = 0; i < number.len; i++) {
		if (number.text[i] == '.' || number.text[i] == 'e' || number.text[i] == 'E')
			return false;
	}
	return true;
}

static bool is_same(struct json_slice a, struct json_slice b)
{
	enum json_kind kind = json_slice_kind(a);
	struct json_slice name_a;
	struct json_slice name_b;
	struct json_slice value_a;
	struct json_slice value_b;
	size_t at_a = 0;
	size_t at_b = 0;

	if (kind != json_slice_kind(b))
		return false;
	if (kind == JSON_STRING)
		return json_string_compare(a, b) == 0;
	if (kind == JSON_NUMBER)
		return is_integer(a) == is_integer(b) && collate_numbers(a, b) == 0;
	if (kind != JSON_ARRAY && kind != JSON_OBJECT)
		return true;
	for (;;) {
		bool more = json_next(a, &at_a, &name_a, &value_a);

		if (json_next(b, &at_b, &name_b, &value_b) != more)
			return false;
		if (!more)
			return true;
		if (name_a.len > 0 && json_string_compare(name_a, name_b) != 0)
			return false;
		if (!is_same(value_a, value_b))
			return false;
	}
}

static bool holds(struct json_slice array, struct json_slice wanted)
{
	struct json_slice name;
	struct json_slice item;
	size_t position = 0;

	while (json_next(array, &position, &name, &item)) {
		if (is_same(item, wanted))
			return true;
	}
	return false;
}

static bool match_all(struct json_slice arguments, struct json_slice value)
{
	struct json_slice name;
	struct json_slice argument;
	struct json_slice only = {0};
	size_t position = 0;
	size_t count = 0;
	bool all = true;

	if (json_slice_kind(value) != JSON_ARRAY)
		return false;
	while (json_next(arguments, &position, &name, &argument)) {
		only = argument;
		count++;
		all = all && holds(value, argument);
	}
	if (count == 0)
		return false;
	return all || (count == 1 && json_slice_kind(only) == JSON_ARRAY && is_same(only, value));
}

/* ---- conditions ---- */

static int match_value(
    struct matching *m, const struct mango_node *node, struct json_slice value, bool raw, bool *matches);

/* Whether value equals one of the arguments; of an array, whether one of its elements does. */
static int match_in(struct matching *m, struct json_slice arguments, struct json_slice value, bool raw, bool *matches)
{
	bool array = json_slice_kind(value) == JSON_ARRAY;
	struct json_slice name;
	struct json_slice item = value;
	size_t position = 0;
	int rc = 0;

	*matches = false;
	while (rc == 0 && !*matches && (!array || json_next(value, &position, &name, &item))) {
		struct json_slice argument;
		size_t at = 0;
		int order = 1;

		while (rc == 0 && order != 0 && json_next(arguments, &at, &name, &argument))
			rc = collate_compare(m->selector->collator, item, argument, raw, &order, m->err);
		*matches = order == 0;
		if (!array)
			break;
	}
	return rc;
}

static int match_elements(struct matching *m, const struct mango_node *node, struct json_slice value, bool *matches)
{
	bool keys = node->op == MANGO_KEY_MAP_MATCH;
	bool all = node->op == MANGO_ALL_MATCH;
	struct json_slice name;
	struct json_slice item;
	size_t position = 0;
	bool any = false;
	int rc = 0;

	*matches = false;
	if (json_slice_kind(value) != (keys ? JSON_OBJECT : JSON_ARRAY))
		return 0;
	while (rc == 0 && json_next(value, &position, &name, &item)) {
		any = true;
		rc = match_value(m, node->child, keys ? name : item, false, matches);
		if (rc != 0 || *matches != all)
			return rc;
	}
	*matches = all && any;
	return rc;
}

static bool match_type(const struct mango_node *node, struct json_slice value)
{
	static const char *const names[] = {
	    [JSON_OBJECT] = "object",
	    [JSON_ARRAY] = "array",
	    [JSON_STRING] = "string",
	    [JSON_NUMBER] = "number",
	    [JSON_TRUE] = "boolean",
	    [JSON_FALSE] = "boolean",
	    [JSON_NULL] = "null",
	};

	return json_string_equal(node->argument, names[json_slice_kind(value)]);
}

static bool match_size(const struct mango_node *node, struct json_slice value)
{
	struct json_slice name;
	struct json_slice item;
	size_t position = 0;
	int64_t count = 0;

	if (json_slice_kind(value) != JSON_ARRAY)
		return false;
	while (count <= node->number && json_next(value, &position, &name, &item))
		count++;
	return count == node->number;
}

/* The remainder has the sign of the value, which may be an integer of any length. */
static bool match_mod(const struct mango_node *node, struct json_slice value)
{
	uint64_t divisor = node->divisor < 0 ? (uint64_t)-node->divisor : (uint64_t)node->divisor;
	uint64_t rest = 0;
	bool negative = value.text[0] == '-';

	if (json_slice_kind(value) != JSON_NUMBER || !is_integer(value))
		return false;
	for (size_t i = negative; i < value.len; i++) {
		unsigned __int128 next = (unsigned __int128)rest * 10 + (unsigned)(value.text[i] - '0');

		rest = (uint64_t)(next % divisor);
	}
	return (negative ? -(int64_t)rest : (int64_t)rest) == node->number;
}

static bool match_prefix(const struct mango_node *node, struct json_slice value)
{
	struct json_points prefix = json_points_of(node->argument);
	struct json_points points;
	uint32_t wanted;
	uint32_t point;

	if (json_slice_kind(value) != JSON_STRING)
		return false;
	points = json_points_of(value);
	while (json_points_next(&prefix, &wanted)) {
		if (!json_points_next(&points, &point) || point != wanted)
			return false;
	}
	return true;
}

static int match_regex(struct matching *m, const struct mango_node *node, struct json_slice value, bool *matches)
{
	struct qosid_buf *text = &m->selector->string;
	int rc;

	*matches = false;
	if (json_slice_kind(value) != JSON_STRING)
		return 0;
	if (!json_string_escaped(value)) {
		*matches = mango_regex_match(node->regex, value.text + 1, value.len - 2);
		return 0;
	}
	qosid_buf_reset(text);
	rc = json_string_decode(value, text, m->err);
	if (rc == 0)
		*matches = mango_regex_match(node->regex, (const char *)text->data, text->len);
	return rc;
}

static int match_comparison(
    struct matching *m, const struct mango_node *node, struct json_slice value, bool raw, bool *matches)
{
	int order;
	int rc = collate_compare(m->selector->collator, value, node->argument, raw, &order, m->err);

	switch (node->op) {
	case MANGO_LT:
		*matches = order < 0;
		break;
	case MANGO_LTE:
		*matches = order <= 0;
		break;
	case MANGO_EQ:
		*matches = order == 0;
		break;
	case MANGO_NE:
		*matches = order != 0;
		break;
	case MANGO_GTE:
		*matches = order >= 0;
		break;
	default:
		*matches = order > 0;
	}
	return rc;
}

static int match_condition(
    struct matching *m, const struct mango_node *node, struct json_slice value, bool raw, bool *matches)
{
	int rc = 0;

	switch (node->op) {
	case MANGO_NOT:
		rc = match_condition(m, node->child, value, raw, matches);
		*matches = !*matches;
		return rc;
	case MANGO_IN:
	case MANGO_NIN:
		rc = match_in(m, node->argument, value, raw, matches);
		*matches = *matches == (node->op == MANGO_IN);
		return rc;
	case MANGO_ALL:
		*matches = match_all(node->argument, value);
		return 0;
	case MANGO_EXISTS:
		*matches = node->exists;
		return 0;
	case MANGO_TYPE:
		*matches = match_type(node, value);
		return 0;
	case MANGO_SIZE:
		*matches = match_size(node, value);
		return 0;
	case MANGO_MOD:
		*matches = match_mod(node, value);
		return 0;
	case MANGO_BEGINS_WITH:
		*matches = match_prefix(node, value);
		return 0;
	case MANGO_REGEX:
		return match_regex(m, node, value, matches);
	case MANGO_ELEM_MATCH:
	case MANGO_ALL_MATCH:
	case MANGO_KEY_MAP_MATCH:
		return match_elements(m, node, value, matches);
	default:
		return match_comparison(m, node, value, raw, matches);
	}
}

/* ---- the tree ---- */

static int match_field(
    struct matching *m, const struct mango_node *node, bool found, struct json_slice value, bool raw, bool *matches)
{
	if (!found) {
		*matches = node->child->op == MANGO_EXISTS && !node->child->exists;
		return 0;
	}
	return match_condition(m, node->child, value, raw || node->raw, matches);
}

/* A node over a value: the whole document when value.text is NULL. */
static int match_value(
    struct matching *m, const struct mango_node *node, struct json_slice value, bool raw, bool *matches)
{
	struct json_slice found_value = {0};
	bool found;
	int rc = 0;

	*matches = true;
	switch (node->op) {
	case MANGO_EMPTY:
		return 0;
	case MANGO_AND:
	case MANGO_OR:
		/* No condition at all is true, in $or too. */
		for (const struct mango_node *child = node->child; rc == 0 && child != NULL; child = child->next) {
			rc = match_value(m, child, value, raw, matches);
			if (*matches == (node->op == MANGO_OR))
				break;
		}
		return rc;
	default:
		break;
	}
	if (value.text != NULL)
		found = mango_path_follow(&node->path, 0, value, &found_value);
	else
		rc = mango_path_read(&node->path, m->subject, &m->selector->field, &found, &found_value, m->err);
	return rc != 0 ? rc : match_field(m, node, found, found_value, raw, matches);
}

int mango_match(
    struct mango_selector *selector, const struct mango_subject *subject, bool *matches, struct qosid_errbuf *err)
{
	struct matching m = {selector, subject, err};

	return match_value(&m, selector->root, (struct json_slice){0}, false, matches);
}
