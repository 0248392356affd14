/*
 * From rows and reductions to one reduction, in bounded memory.
 *
 * Rows are gathered until they are many, then reduced to a value; values likewise, then rereduced to one. A reduce
 * function that does not make its input smaller would grow without end: as in CouchDB, its result is then an object
 * that says so.
 */
#include <stdio.h>
#include <string.h>

#include "sync/replica/view_internal.h"

#define OVERFLOW_BYTES 4096 /* a result up to this long is never refused */
#define SHOWN_BYTES 100

void view_fold_free(struct view_fold *fold)
{
	qosid_buf_wipe(&fold->rows);
	qosid_buf_wipe(&fold->values);
}

static struct json_slice source_of(const struct view_fold *fold)
{
	return (struct json_slice){(const char *)fold->function->reduce.data, fold->function->reduce.len};
}

/* Close the list that buf holds, so that it is a JSON array. */
static int close_list(struct qosid_buf *buf, struct json_slice *list, struct qosid_errbuf *err)
{
	int rc = qosid_buf_append_byte(buf, ']', err);

	*list = (struct json_slice){(const char *)buf->data, buf->len};
	return rc;
}

static int check_result(struct qosid_buf *out, size_t start, size_t input, struct qosid_errbuf *err)
{
	struct qosid_buf text = {0};
	size_t len = out->len - start;
	int rc = json_check((const char *)out->data + start, len, err);

	if (rc != 0)
		return rc == QOSID_ERR_NOMEM
			   ? rc
			   : qosid_error(err, QOSID_ERR_INVALID, "a reduce function's answer is not JSON");
	if (len <= OVERFLOW_BYTES || len * 2 <= input)
		return 0;
	/* Its first bytes may end within a character, so they are shown as far as they are plain. */
	for (len = 0; len < SHOWN_BYTES && out->data[start + len] >= ' ' && out->data[start + len] < 0x7f;)
		len++;
	rc = qosid_buf_append_format(&text, err,
	    "Reduce output must shrink more rapidly: Current output: '%.*s'... (first %zu of %zu bytes)", (int)len,
	    (const char *)out->data + start, len, out->len - start);
	qosid_buf_cut(out, start);
	if (rc == 0)
		rc = qosid_buf_append_text(out, "{\"reduce_overflow_error\":", err);
	if (rc == 0)
		rc = json_string_encode(out, (const char *)text.data, text.len, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(out, '}', err);
	qosid_buf_free(&text);
	return rc;
}

/* What has overflown once stays so: a reduce function would make nonsense of it. */
static bool find_overflow(struct json_slice list, struct json_slice *value)
{
	static const char prefix[] = "{\"reduce_overflow_error\":";
	struct json_slice name;
	size_t position = 0;

	while (json_next(list, &position, &name, value)) {
		if (value->len >= sizeof(prefix) - 1 && memcmp(value->text, prefix, sizeof(prefix) - 1) == 0)
			return true;
	}
	return false;
}

/* ---- the two steps ---- */

static int rereduce(struct view_fold *fold, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_slice list;
	struct json_slice overflow;
	size_t start = out->len;
	int rc = close_list(&fold->values, &list, err);

	if (rc == 0 && fold->value_count == 1) {
		rc = qosid_buf_append(out, list.text + 1, list.len - 2, err);
	} else if (rc == 0 && fold->function->reducer != REDUCER_SCRIPT) {
		rc = view_builtin_rereduce(fold->function->reducer, list, out, err);
	} else if (rc == 0 && find_overflow(list, &overflow)) {
		rc = qosid_buf_append(out, overflow.text, overflow.len, err);
	} else if (rc == 0) {
		rc = fold->engine->rereduce(fold->engine->context, source_of(fold), list, out, err);
		if (rc == 0)
			rc = check_result(out, start, list.len, err);
	}
	qosid_buf_reset(&fold->values);
	fold->value_count = 0;
	return rc;
}

static int reduce(struct view_fold *fold, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct json_slice list;
	size_t start = out->len;
	int rc = close_list(&fold->rows, &list, err);

	if (rc == 0 && fold->function->reducer != REDUCER_SCRIPT) {
		rc = view_builtin_reduce(fold->function->reducer, fold->collator, list, fold->row_count, out, err);
	} else if (rc == 0) {
		rc = fold->engine->reduce(fold->engine->context, source_of(fold), list, out, err);
		if (rc == 0)
			rc = check_result(out, start, list.len, err);
	}
	qosid_buf_reset(&fold->rows);
	fold->row_count = 0;
	return rc;
}

static int append_value(struct view_fold *fold, struct json_slice value, struct qosid_errbuf *err)
{
	int rc = qosid_buf_append_byte(&fold->values, fold->value_count > 0 ? ',' : '[', err);

	if (rc == 0)
		rc = qosid_buf_append(&fold->values, value.text, value.len, err);
	fold->value_count++;
	return rc;
}

static int reduce_rows(struct view_fold *fold, struct qosid_errbuf *err)
{
	struct qosid_buf out = {0};
	int rc = reduce(fold, &out, err);

	if (rc == 0)
		rc = view_fold_value(fold, (struct json_slice){(const char *)out.data, out.len}, err);
	qosid_buf_wipe(&out);
	return rc;
}

int view_fold_value(struct view_fold *fold, struct json_slice value, struct qosid_errbuf *err)
{
	struct qosid_buf out = {0};
	int rc = append_value(fold, value, err);

	if (rc != 0 || fold->value_count < 2 ||
	    (fold->value_count < VIEW_REDUCE_VALUES && fold->values.len < VIEW_REDUCE_BYTES))
		return rc;
	rc = rereduce(fold, &out, err);
	if (rc == 0)
		rc = append_value(fold, (struct json_slice){(const char *)out.data, out.len}, err);
	qosid_buf_wipe(&out);
	return rc;
}

static int append_row(struct view_fold *fold, const struct view_row *row, struct qosid_errbuf *err)
{
	struct qosid_buf *out = &fold->rows;
	struct json_slice text = fold->function->reducer == REDUCER_DISTINCT ? row->key : row->value;
	int rc = qosid_buf_append_byte(out, fold->row_count > 0 ? ',' : '[', err);

	if (rc != 0 || fold->function->reducer != REDUCER_SCRIPT)
		return rc != 0 ? rc : qosid_buf_append(out, text.text, text.len, err);
	rc = qosid_buf_append_text(out, "[[", err);
	if (rc == 0)
		rc = qosid_buf_append(out, row->key.text, row->key.len, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(out, ',', err);
	if (rc == 0)
		rc = json_string_encode(out, row->id, strlen(row->id), err);
	if (rc == 0)
		rc = qosid_buf_append_text(out, "],", err);
	if (rc == 0)
		rc = qosid_buf_append(out, row->value.text, row->value.len, err);
	return rc != 0 ? rc : qosid_buf_append_byte(out, ']', err);
}

int view_fold_row(struct view_fold *fold, const struct view_row *row, struct qosid_errbuf *err)
{
	int rc = fold->function->reducer == REDUCER_COUNT ? 0 : append_row(fold, row, err);

	fold->row_count++;
	if (rc == 0 && (fold->row_count >= VIEW_REDUCE_VALUES || fold->rows.len >= VIEW_REDUCE_BYTES) &&
	    fold->function->reducer != REDUCER_COUNT)
		rc = reduce_rows(fold, err);
	return rc;
}

int view_fold_end(struct view_fold *fold, bool final, bool *any, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct qosid_buf value = {0};
	int rc = 0;

	*any = fold->row_count > 0 || fold->value_count > 0;
	if (!*any)
		return 0;
	if (fold->row_count > 0)
		rc = reduce_rows(fold, err);
	if (rc == 0)
		rc = rereduce(fold, &value, err);
	if (rc == 0 && final && fold->function->reducer != REDUCER_SCRIPT)
		rc = view_builtin_finish(
		    fold->function->reducer, (struct json_slice){(const char *)value.data, value.len}, out, err);
	else if (rc == 0)
		rc = qosid_buf_append(out, value.data, value.len, err);
	qosid_buf_wipe(&value);
	return rc;
}
