/*
 * What a git server says first, and which refs it has: protocol v2, and v0 and v1 for servers that know no better.
 *
 * Only refs that can be logs are kept. Names are checked before they are kept; a server that lists too much is refused
 * (QOSID_ERR_LIMIT), one that speaks something else as well (QOSID_ERR_FAILED).
 */
#include <stdlib.h>
#include <string.h>

#include "sync/exchange/log.h"
#include "sync/exchange/peer_wire.h"

#define HEX ((size_t)GIT_OID_HEXSZ)

static int unexpected(const char *text, struct qosid_errbuf *err)
{
	char words[WIRE_QUOTE_SIZE];

	wire_quote(words, text, strlen(text));
	return qosid_error(err, QOSID_ERR_FAILED, "the remote does not speak git's protocol: it says \"%.80s\"", words);
}

/* ---- refs ---- */

void wire_refs_free(struct wire_refs *refs)
{
	for (size_t i = 0; i < refs->count; i++)
		free(refs->items[i].name);
	free(refs->items);
	*refs = (struct wire_refs){0};
}

static bool may_be_log(const char *name)
{
	static const char heads[] = "refs/heads/";
	struct log log;

	return strncmp(name, heads, sizeof(heads) - 1) == 0 && log_parse(&log, name + sizeof(heads) - 1, NULL) == 0;
}

/* Keep a ref from a line "<id> <name>", perhaps followed by attributes, when it can be a log. */
static int refs_add(struct wire_refs *refs, const char *line, struct qosid_errbuf *err)
{
	char name[WIRE_REF_NAME_MAX + 1];
	size_t len;
	git_oid id;

	if (strlen(line) < HEX + 2 || line[HEX] != ' ' || git_oid_fromstrn(&id, line, HEX) != 0)
		return unexpected(line, err);
	len = strcspn(line + HEX + 1, " ");
	if (len > WIRE_REF_NAME_MAX)
		return 0;
	memcpy(name, line + HEX + 1, len);
	name[len] = '\0';
	if (!may_be_log(name) || git_oid_is_zero(&id))
		return 0;
	if (refs->count == WIRE_REFS_MAX)
		return qosid_error(err, QOSID_ERR_LIMIT, "the remote has more than %u logs", WIRE_REFS_MAX);
	if (refs->count == refs->cap) {
		size_t cap = refs->cap == 0 ? 64 : refs->cap * 2;
		struct wire_ref *items = realloc(refs->items, cap * sizeof(*items));

		if (items == NULL)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the remote's refs");
		refs->items = items;
		refs->cap = cap;
	}
	refs->items[refs->count] = (struct wire_ref){.id = id, .name = strdup(name)};
	if (refs->items[refs->count].name == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the remote's refs");
	refs->count++;
	return 0;
}

static int compare_refs(const void *left, const void *right)
{
	return strcmp(((const struct wire_ref *)left)->name, ((const struct wire_ref *)right)->name);
}

/* By name, each once. */
static void refs_sort(struct wire_refs *refs)
{
	size_t kept = 0;

	if (refs->count > 1)
		qsort(refs->items, refs->count, sizeof(*refs->items), compare_refs);
	for (size_t i = 0; i < refs->count; i++) {
		if (kept > 0 && strcmp(refs->items[kept - 1].name, refs->items[i].name) == 0)
			free(refs->items[i].name);
		else
			refs->items[kept++] = refs->items[i];
	}
	refs->count = kept;
}

const struct wire_ref *wire_find_ref(const struct wire_refs *refs, const char *name)
{
	size_t low = 0, high = refs->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(refs->items[middle].name, name);

		if (order == 0)
			return &refs->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* ---- features ---- */

/* Whether a word is in a list of them, alone or before a '='. *value is what follows. */
static bool has_word(const char *list, const char *word, const char **value)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)) != NULL; at += len) {
		if ((at == list || at[-1] == ' ') && (at[len] == '\0' || at[len] == ' ' || at[len] == '=')) {
			if (value != NULL)
				*value = at[len] == '=' ? at + len + 1 : at + len;
			return true;
		}
	}
	return false;
}

static int check_object_format(const char *format, struct qosid_errbuf *err)
{
	if (strcspn(format, " ") == 4 && strncmp(format, "sha1", 4) == 0)
		return 0;
	return qosid_error(
	    err, QOSID_ERR_INVALID, "the remote is a git repository of a kind (%.10s) that cannot be used", format);
}

/* One line of a v2 greeting. */
static int take_capability(const char *line, struct wire_features *out, struct qosid_errbuf *err)
{
	if (strncmp(line, "fetch=", 6) == 0) {
		out->has_filter = has_word(line + 6, "filter", NULL);
		out->has_shallow = has_word(line + 6, "shallow", NULL);
	} else if (strncmp(line, "object-format=", 14) == 0) {
		out->names_format = true;
		return check_object_format(line + 14, err);
	}
	return 0;
}

/* The words behind the first ref of an old greeting. */
static int take_words(const char *words, struct wire_features *out, struct qosid_errbuf *err)
{
	const char *format;

	out->has_filter = has_word(words, "filter", NULL);
	out->has_shallow = has_word(words, "shallow", NULL);
	out->takes_any_want =
	    has_word(words, "allow-reachable-sha1-in-want", NULL) || has_word(words, "allow-any-sha1-in-want", NULL);
	out->has_sideband = has_word(words, "side-band-64k", NULL);
	out->has_status = has_word(words, "report-status", NULL);
	out->has_ofs_delta = has_word(words, "ofs-delta", NULL);
	out->names_format = has_word(words, "object-format", &format);
	return out->names_format ? check_object_format(format, err) : 0;
}

/* The refs of an old greeting, from the first line on. */
static int greet_refs(struct wire *wire, const char *line, size_t len, struct wire_features *out,
    struct wire_refs *refs, struct qosid_errbuf *err)
{
	enum wire_kind kind = WIRE_DATA;
	bool is_first = true;
	int rc = 0;

	while (rc == 0 && kind == WIRE_DATA) {
		size_t name_len = strlen(line);

		if (is_first && name_len < len)
			rc = take_words(line + name_len + 1, out, err);
		if (rc == 0 && strncmp(line, "shallow ", 8) != 0 && refs != NULL)
			rc = refs_add(refs, line, err);
		is_first = false;
		if (rc == 0)
			rc = wire_read_line(wire, &kind, &line, &len, err);
	}
	if (rc == 0 && kind != WIRE_FLUSH)
		rc = unexpected("0001", err);
	if (rc == 0 && refs != NULL)
		refs_sort(refs);
	return rc;
}

int wire_greet(struct wire *wire, struct wire_features *out, struct wire_refs *refs, struct qosid_errbuf *err)
{
	enum wire_kind kind;
	const char *line;
	size_t len;
	int rc;

	*out = (struct wire_features){0};
	wire_allow(wire, WIRE_GREETING_BYTES_MAX);
	if ((rc = wire_read_line(wire, &kind, &line, &len, err)) != 0)
		return rc;
	if (kind == WIRE_DATA && strncmp(line, "# service=", 10) == 0) { /* over https */
		if ((rc = wire_read_line(wire, &kind, &line, &len, err)) != 0)
			return rc;
		if (kind != WIRE_FLUSH)
			return unexpected(line, err);
		if ((rc = wire_read_line(wire, &kind, &line, &len, err)) != 0)
			return rc;
	}
	if (kind == WIRE_DATA && strcmp(line, "version 2") == 0) {
		out->version = 2;
		out->takes_any_want = true;
		out->has_sideband = true;
		out->has_ofs_delta = true;
		while ((rc = wire_read_line(wire, &kind, &line, &len, err)) == 0 && kind == WIRE_DATA) {
			if ((rc = take_capability(line, out, err)) != 0)
				return rc;
		}
		if (rc == 0 && kind != WIRE_FLUSH)
			rc = unexpected("0001", err);
	} else {
		if (kind == WIRE_DATA && strcmp(line, "version 1") == 0) {
			out->version = 1;
			rc = wire_read_line(wire, &kind, &line, &len, err);
		}
		if (rc == 0 && kind == WIRE_DATA)
			rc = greet_refs(wire, line, len, out, refs, err);
		else if (rc == 0 && kind != WIRE_FLUSH)
			rc = unexpected("0001", err);
		else /* an empty repository may say nothing at all */
			out->has_sideband = true;
	}
	return rc == 0 ? wire_read_end(wire, err) : rc;
}

int wire_list_refs(
    struct wire *wire, const struct wire_features *features, struct wire_refs *refs, struct qosid_errbuf *err)
{
	enum wire_kind kind;
	const char *line;
	size_t len;
	int rc = wire_write_line(wire, err, "command=ls-refs");

	if (rc == 0 && features->names_format)
		rc = wire_write_line(wire, err, "object-format=sha1");
	if (rc == 0)
		rc = wire_write_mark(wire, WIRE_DELIM, err);
	for (int kinds = 0; kinds < LOG_KINDS && rc == 0; kinds++)
		rc = wire_write_line(wire, err, "ref-prefix refs/heads/%s/", log_kind_name((enum log_kind)kinds));
	if (rc == 0)
		rc = wire_write_mark(wire, WIRE_FLUSH, err);
	if (rc == 0)
		rc = wire_ask(wire, err);
	wire_allow(wire, WIRE_GREETING_BYTES_MAX);
	while (rc == 0 && (rc = wire_read_line(wire, &kind, &line, &len, err)) == 0 && kind == WIRE_DATA)
		rc = strncmp(line, "unborn ", 7) == 0 ? 0 : refs_add(refs, line, err);
	if (rc == 0 && kind != WIRE_FLUSH)
		rc = unexpected("0001", err);
	if (rc == 0)
		refs_sort(refs);
	return rc == 0 ? wire_read_end(wire, err) : rc;
}
