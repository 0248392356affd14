/*
 * Selectors: from JSON to a normalised tree.
 *
 * As in CouchDB, an implicit "and" becomes $and, a bare value $eq, nested field names one dotted name at the leaf, and
 * negations are pushed down to the conditions, so that {"$not":{"a":5}} still wants the field a to be there. Depth is
 * bounded by LIMIT_JSON_DEPTH, as the text is checked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/replica/json_internal.h"
#include "sync/replica/mango_internal.h"

#define FIELD_MAX 1024  /* bytes of a field name */
#define NODES_MAX 10000 /* each holds its field name, so this bounds memory */

struct parser {
	struct qosid_errbuf *err;
	int count; /* of nodes */
};

static const char *const op_names[MANGO_OP_COUNT] = {
    [MANGO_EMPTY] = "",
    [MANGO_AND] = "$and",
    [MANGO_OR] = "$or",
    [MANGO_FIELD] = "",
    [MANGO_NOT] = "$not",
    [MANGO_LT] = "$lt",
    [MANGO_LTE] = "$lte",
    [MANGO_EQ] = "$eq",
    [MANGO_NE] = "$ne",
    [MANGO_GTE] = "$gte",
    [MANGO_GT] = "$gt",
    [MANGO_IN] = "$in",
    [MANGO_NIN] = "$nin",
    [MANGO_ALL] = "$all",
    [MANGO_EXISTS] = "$exists",
    [MANGO_TYPE] = "$type",
    [MANGO_SIZE] = "$size",
    [MANGO_MOD] = "$mod",
    [MANGO_REGEX] = "$regex",
    [MANGO_BEGINS_WITH] = "$beginsWith",
    [MANGO_ELEM_MATCH] = "$elemMatch",
    [MANGO_ALL_MATCH] = "$allMatch",
    [MANGO_KEY_MAP_MATCH] = "$keyMapMatch",
};

const char *mango_op_name(enum mango_op op)
{
	return op_names[op];
}

/* Nodes are freed by the child first; siblings in a loop, so that a wide selector takes no stack. */
static void free_nodes(struct mango_node *node)
{
	while (node != NULL) {
		struct mango_node *next = node->next;

		free_nodes(node->child);
		mango_path_free(&node->path);
		mango_regex_free(node->regex);
		free(node);
		node = next;
	}
}

static int create_node(struct mango_node **out, enum mango_op op, struct json_slice argument, struct parser *p)
{
	struct mango_node *node;

	*out = NULL;
	if (++p->count > NODES_MAX) {
		(void)mango_refuse(p->err, "invalid_selector", "The selector has more than %d conditions", NODES_MAX);
		return QOSID_ERR_INVALID;
	}
	node = calloc(1, sizeof(*node));
	*out = node;
	if (node == NULL) {
		(void)qosid_error(p->err, QOSID_ERR_NOMEM, "out of memory");
		return QOSID_ERR_NOMEM;
	}
	node->op = op;
	node->argument = argument;
	return 0;
}

static int bad_argument(struct parser *p, const char *op, struct json_slice argument)
{
	(void)mango_refuse_value(p->err, "bad_arg", argument, "Bad argument for operator %s: ", op);
	return QOSID_ERR_INVALID;
}

/* ---- conditions ---- */

/* An integer as CouchDB has them: no fraction, no exponent. */
static bool read_integer(struct json_slice value, int64_t *out)
{
	unsigned long long number;
	bool negative = value.len > 0 && value.text[0] == '-';
	struct json_slice digits = {value.text + negative, value.len - negative};

	if (json_slice_kind(value) != JSON_NUMBER || json_parse_unsigned(digits, INT64_MAX, &number, NULL) != 0)
		return false;
	*out = negative ? -(int64_t)number : (int64_t)number;
	return true;
}

static bool read_mod(struct mango_node *node)
{
	struct json_slice name;
	struct json_slice items[3];
	size_t count = 0;
	size_t position = 0;

	while (count < 3 && json_next(node->argument, &position, &name, &items[count]))
		count++;
	return count == 2 && read_integer(items[0], &node->divisor) && node->divisor != 0 &&
	       read_integer(items[1], &node->number);
}

static int check_regex(struct mango_node *node, bool *valid, struct parser *p)
{
	*valid = false;
	if (json_slice_kind(node->argument) != JSON_STRING)
		return 0;
	return mango_regex_compile(&node->regex, node->argument, valid, p->err);
}

/* Take a condition's argument in. */
static int check_argument(struct mango_node *node, struct parser *p)
{
	enum json_kind kind = json_slice_kind(node->argument);
	bool valid = true;
	int rc = 0;

	switch (node->op) {
	case MANGO_IN:
	case MANGO_NIN:
	case MANGO_ALL:
		valid = kind == JSON_ARRAY;
		break;
	case MANGO_EXISTS:
		valid = kind == JSON_TRUE || kind == JSON_FALSE;
		node->exists = kind == JSON_TRUE;
		break;
	case MANGO_TYPE:
	case MANGO_BEGINS_WITH:
		valid = kind == JSON_STRING;
		break;
	case MANGO_SIZE:
		valid = read_integer(node->argument, &node->number) && node->number >= 0;
		break;
	case MANGO_MOD:
		valid = kind == JSON_ARRAY && read_mod(node);
		break;
	case MANGO_REGEX:
		rc = check_regex(node, &valid, p);
		break;
	case MANGO_ELEM_MATCH:
	case MANGO_ALL_MATCH:
	case MANGO_KEY_MAP_MATCH:
		valid = kind == JSON_OBJECT;
		break;
	default:
		break;
	}
	if (rc == 0 && !valid)
		rc = bad_argument(p, op_names[node->op], node->argument);
	return rc;
}

/* ---- parsing ---- */

static int parse_value(struct mango_node **out, struct json_slice value, const char *path, struct parser *p);

static int create_field(struct mango_node **out, const char *path, struct mango_node *condition, struct parser *p)
{
	int rc = create_node(out, MANGO_FIELD, (struct json_slice){0}, p);

	if (rc != 0) {
		free_nodes(condition);
		return rc;
	}
	(*out)->child = condition;
	(*out)->raw = strcmp(path, "_id") == 0;
	return mango_path_parse_text(&(*out)->path, path, strlen(path), p->err);
}

static int parse_condition(
    struct mango_node **out, enum mango_op op, struct json_slice argument, const char *path, struct parser *p)
{
	struct mango_node *condition = NULL;
	int rc = create_node(&condition, op, argument, p);

	if (rc == 0)
		rc = check_argument(condition, p);
	if (rc == 0 && (op == MANGO_ELEM_MATCH || op == MANGO_ALL_MATCH || op == MANGO_KEY_MAP_MATCH))
		rc = parse_value(&condition->child, argument, "", p);
	if (rc != 0) {
		free_nodes(condition);
		return rc;
	}
	return create_field(out, path, condition, p);
}

/* Invert a normalised tree in place. */
static int negate(struct mango_node *node, struct parser *p)
{
	static const enum mango_op opposite[MANGO_OP_COUNT] = {
	    [MANGO_AND] = MANGO_OR,
	    [MANGO_OR] = MANGO_AND,
	    [MANGO_LT] = MANGO_GTE,
	    [MANGO_LTE] = MANGO_GT,
	    [MANGO_EQ] = MANGO_NE,
	    [MANGO_NE] = MANGO_EQ,
	    [MANGO_GTE] = MANGO_LT,
	    [MANGO_GT] = MANGO_LTE,
	    [MANGO_IN] = MANGO_NIN,
	    [MANGO_NIN] = MANGO_IN,
	};
	struct mango_node *inner;
	int rc = 0;

	switch (node->op) {
	case MANGO_EXISTS:
		node->exists = !node->exists;
		return 0;
	case MANGO_AND:
	case MANGO_OR:
		node->op = opposite[node->op];
		for (inner = node->child; rc == 0 && inner != NULL; inner = inner->next)
			rc = negate(inner, p);
		return rc;
	case MANGO_FIELD:
		return negate(node->child, p);
	case MANGO_NOT:
		inner = node->child;
		*node = *inner; /* conditions have no siblings */
		free(inner);
		return 0;
	default:
		break;
	}
	if (opposite[node->op] != MANGO_EMPTY) {
		node->op = opposite[node->op];
		return 0;
	}
	rc = create_node(&inner, node->op, node->argument, p);
	if (rc != 0)
		return rc;
	*inner = *node;
	*node = (struct mango_node){.op = MANGO_NOT, .child = inner};
	return 0;
}

/* $and, $or, $nor over an array. */
static int parse_list(
    struct mango_node **out, enum mango_op op, struct json_slice list, bool negated, const char *path, struct parser *p)
{
	struct mango_node **end;
	struct json_slice name;
	struct json_slice item;
	size_t position = 0;
	int rc = create_node(out, op, list, p);

	if (rc != 0)
		return rc;
	end = &(*out)->child;
	while (rc == 0 && json_next(list, &position, &name, &item)) {
		rc = parse_value(end, item, path, p);
		if (rc == 0 && negated)
			rc = negate(*end, p);
		if (rc == 0)
			end = &(*end)->next;
	}
	return rc;
}

static int parse_logic(
    struct mango_node **out, const char *op, struct json_slice argument, const char *path, struct parser *p)
{
	bool is_not = strcmp(op, "$not") == 0;
	int rc;

	if (json_slice_kind(argument) != (is_not ? JSON_OBJECT : JSON_ARRAY))
		return bad_argument(p, op, argument);
	if (!is_not)
		return parse_list(
		    out, strcmp(op, "$or") == 0 ? MANGO_OR : MANGO_AND, argument, strcmp(op, "$nor") == 0, path, p);
	rc = parse_value(out, argument, path, p);
	return rc != 0 ? rc : negate(*out, p);
}

static int parse_operator(
    struct mango_node **out, const char *op, struct json_slice argument, const char *path, struct parser *p)
{
	static const char *const logic[] = {"$and", "$or", "$nor", "$not"};
	static const char *const unsupported[] = {
	    "$where", "$geoWithin", "$geoIntersects", "$near", "$nearSphere", "$text", "$default"};

	for (size_t i = 0; i < sizeof(logic) / sizeof(*logic); i++) {
		if (strcmp(op, logic[i]) == 0)
			return parse_logic(out, op, argument, path, p);
	}
	for (int i = MANGO_LT; i < MANGO_OP_COUNT; i++) {
		if (strcmp(op, op_names[i]) == 0)
			return parse_condition(out, (enum mango_op)i, argument, path, p);
	}
	for (size_t i = 0; i < sizeof(unsupported) / sizeof(*unsupported); i++) {
		if (strcmp(op, unsupported[i]) == 0) {
			(void)mango_refuse(p->err, "not_supported", "Unsupported operator: %s", op);
			return QOSID_ERR_INVALID;
		}
	}
	(void)mango_refuse(p->err, "invalid_operator", "Invalid operator: %s", op);
	return QOSID_ERR_INVALID;
}

/* A field inside a field. */
static int parse_nested(
    struct mango_node **out, struct json_slice value, const char *path, const char *field, struct parser *p)
{
	char nested[FIELD_MAX + 2];

	(void)snprintf(nested, sizeof(nested), path[0] != '\0' ? "%s.%s" : "%s%s", path, field); /* it fits */
	return parse_value(out, value, nested, p);
}

static int parse_member(
    struct mango_node **out, struct json_slice name, struct json_slice value, const char *path, struct parser *p)
{
	struct qosid_buf field = {0};
	int rc = json_string_decode(name, &field, p->err);

	if (rc != 0)
		goto out;
	if (memchr(field.data, '\0', field.len) != NULL || field.len + strlen(path) > FIELD_MAX) {
		(void)mango_refuse_value(p->err, "bad_field", name, "Invalid field normalization on selector: ");
		rc = QOSID_ERR_INVALID;
	} else if (field.data[0] == '$') {
		rc = parse_operator(out, (const char *)field.data, value, path, p);
	} else {
		rc = parse_nested(out, value, path, (const char *)field.data, p);
	}
out:
	qosid_buf_free(&field);
	return rc;
}

/* A selector or a condition. *out is set also on failure, to what there is to free. */
static int parse_value(struct mango_node **out, struct json_slice value, const char *path, struct parser *p)
{
	struct mango_node **end;
	struct json_slice name;
	struct json_slice item;
	size_t position = 0;
	int rc;

	*out = NULL;
	if (json_slice_kind(value) != JSON_OBJECT || !json_next(value, &position, &name, &item))
		return parse_condition(out, MANGO_EQ, value, path, p);
	if (!json_next(value, &position, &name, &item)) {
		position = 0;
		(void)json_next(value, &position, &name, &item); /* there is one */
		return parse_member(out, name, item, path, p);
	}
	rc = create_node(out, MANGO_AND, value, p);
	if (rc != 0)
		return rc;
	end = &(*out)->child;
	position = 0;
	while (rc == 0 && json_next(value, &position, &name, &item)) {
		rc = parse_member(end, name, item, path, p);
		if (rc == 0)
			end = &(*end)->next;
	}
	return rc;
}

/* Whether a condition would apply to the document as a whole, which has no meaning. */
static bool lacks_field(const struct mango_node *node)
{
	if (node->op == MANGO_FIELD)
		return node->path.count == 0;
	if (node->op != MANGO_AND && node->op != MANGO_OR)
		return false;
	for (node = node->child; node != NULL; node = node->next) {
		if (lacks_field(node))
			return true;
	}
	return false;
}

int mango_selector_parse(struct mango_selector **out, struct json_slice selector, struct qosid_errbuf *err)
{
	struct mango_selector *made;
	struct json_slice text;
	struct json_slice name;
	struct json_slice value;
	struct parser p = {.err = err};
	size_t position = 0;
	int rc;

	*out = NULL;
	if (json_slice_kind(selector) != JSON_OBJECT)
		return mango_refuse_value(
		    err, "invalid_selector_json", selector, "Selector must be a JSON object, not: ");
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	rc = qosid_buf_append(&made->text, selector.text, selector.len, err);
	if (rc == 0)
		rc = collator_open(&made->collator, err);
	text = (struct json_slice){(const char *)made->text.data, made->text.len};
	if (rc == 0 && !json_next(text, &position, &name, &value))
		rc = create_node(&made->root, MANGO_EMPTY, text, &p);
	else if (rc == 0)
		rc = parse_value(&made->root, text, "", &p);
	if (rc == 0 && lacks_field(made->root))
		rc = mango_refuse_value(err, "bad_field", text, "Invalid field normalization on selector: ");
	if (rc != 0) {
		mango_selector_free(made);
		return rc;
	}
	*out = made;
	return 0;
}

void mango_selector_free(struct mango_selector *selector)
{
	if (selector == NULL)
		return;
	free_nodes(selector->root);
	collator_close(selector->collator);
	qosid_buf_wipe(&selector->text);
	qosid_buf_wipe(&selector->field);
	qosid_buf_wipe(&selector->string);
	free(selector);
}

/* ---- rendering ---- */

static int render_node(const struct mango_node *node, struct qosid_buf *out, struct qosid_errbuf *err);

static int render_list(const struct mango_node *node, struct qosid_buf *out, struct qosid_errbuf *err)
{
	int rc = qosid_buf_append_format(out, err, "\"%s\":[", op_names[node->op]);

	for (const struct mango_node *child = node->child; rc == 0 && child != NULL; child = child->next) {
		if (child != node->child)
			rc = qosid_buf_append_byte(out, ',', err);
		if (rc == 0)
			rc = render_node(child, out, err);
	}
	return rc != 0 ? rc : qosid_buf_append_byte(out, ']', err);
}

static int render_node(const struct mango_node *node, struct qosid_buf *out, struct qosid_errbuf *err)
{
	/* Inside $elemMatch and its like, a condition on the element itself has no name around it. */
	if (node->op == MANGO_FIELD && node->path.count == 0)
		return render_node(node->child, out, err);
	int rc = qosid_buf_append_byte(out, '{', err);

	if (rc != 0)
		return rc;
	switch (node->op) {
	case MANGO_EMPTY:
		break;
	case MANGO_AND:
	case MANGO_OR:
		rc = render_list(node, out, err);
		break;
	case MANGO_FIELD:
		rc = json_string_encode(out, node->path.text, strlen(node->path.text), err);
		if (rc == 0)
			rc = qosid_buf_append_byte(out, ':', err);
		if (rc == 0)
			rc = render_node(node->child, out, err);
		break;
	case MANGO_EXISTS:
		rc = qosid_buf_append_format(out, err, "\"$exists\":%s", node->exists ? "true" : "false");
		break;
	default:
		rc = qosid_buf_append_format(out, err, "\"%s\":", op_names[node->op]);
		if (rc == 0 && node->child != NULL)
			rc = render_node(node->child, out, err);
		else if (rc == 0)
			rc = qosid_buf_append(out, node->argument.text, node->argument.len, err);
	}
	return rc != 0 ? rc : qosid_buf_append_byte(out, '}', err);
}

int mango_selector_render(const struct mango_selector *selector, struct qosid_buf *out, struct qosid_errbuf *err)
{
	return render_node(selector->root, out, err);
}

/* ---- what the planner asks ---- */

bool mango_requires_field(const struct mango_node *node, const char *field)
{
	const struct mango_node *child;

	switch (node->op) {
	case MANGO_FIELD:
		return strcmp(node->path.text, field) == 0 && (node->child->op != MANGO_EXISTS || node->child->exists);
	case MANGO_AND:
		for (child = node->child; child != NULL; child = child->next) {
			if (mango_requires_field(child, field))
				return true;
		}
		return false;
	case MANGO_OR:
		for (child = node->child; child != NULL; child = child->next) {
			if (!mango_requires_field(child, field))
				return false;
		}
		return node->child != NULL;
	default:
		return false;
	}
}

bool mango_is_constant(const struct mango_node *node, const char *field)
{
	if (node->op == MANGO_FIELD)
		return node->child->op == MANGO_EQ && strcmp(node->path.text, field) == 0;
	if (node->op != MANGO_AND)
		return false;
	for (const struct mango_node *child = node->child; child != NULL; child = child->next) {
		if (mango_is_constant(child, field))
			return true;
	}
	return false;
}

bool mango_looks_at(const struct mango_node *node, const char *member)
{
	if (node->op == MANGO_FIELD)
		return node->path.count > 0 && strcmp(node->path.segments[0], member) == 0;
	if (node->op != MANGO_AND && node->op != MANGO_OR)
		return false;
	for (const struct mango_node *child = node->child; child != NULL; child = child->next) {
		if (mango_looks_at(child, member))
			return true;
	}
	return false;
}
