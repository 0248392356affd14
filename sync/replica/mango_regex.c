/*
 * $regex by PCRE2's DFA matcher, which follows all alternatives at once and so never backtracks.
 *
 * The search for a place to begin is part of the automaton too: the pattern is anchored behind a lazy "any text", so
 * one pass over the string decides. The number of simultaneous alternatives is bounded by the workspace, and
 * look-arounds, which start matches of their own, by a limit that shrinks as strings get longer; what goes over a limit
 * does not match. Back-references, which no automaton can follow, are refused when the pattern is compiled.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "sync/replica/json_internal.h"
#include "sync/replica/mango_internal.h"

#define WORKSPACE 1200       /* in ints: about 200 alternatives */
#define LOOK_WORK (1u << 24) /* bytes that look-arounds may scan for one string */
#define WORKSPACE_SHORT 6000 /* about 1,000, for short strings only: the work grows with the square of it */
#define SHORT_BYTES 4096u
#define HEAP_KIB 1024u
#define NESTING 32u

struct mango_regex {
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *context;
	int workspace[WORKSPACE_SHORT];
};

void mango_regex_free(struct mango_regex *regex)
{
	if (regex == NULL)
		return;
	pcre2_match_context_free(regex->context);
	pcre2_match_data_free(regex->data);
	pcre2_code_free(regex->code);
	free(regex);
}

/* Whether the automaton can follow everything in the pattern. */
static bool is_supported(struct mango_regex *regex)
{
	uint32_t references = 0;
	int rc = pcre2_dfa_match(
	    regex->code, (PCRE2_SPTR) "", 0, 0, 0, regex->data, regex->context, regex->workspace, WORKSPACE);

	if (pcre2_pattern_info(regex->code, PCRE2_INFO_BACKREFMAX, &references) != 0 || references > 0)
		return false;
	return rc != PCRE2_ERROR_DFA_UITEM && rc != PCRE2_ERROR_DFA_UCOND;
}

static pcre2_code *compile(const void *pattern, size_t len)
{
	PCRE2_SIZE offset;
	int code;

	return pcre2_compile(
	    pattern, len, PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_POSSESS, &code, &offset, NULL);
}

/* ---- repeats ---- */

/*
 * The matcher follows X+ of a single character once for each number of repeats so far, so a long text would fill the
 * workspace; (?:X)+ it follows once. Find the length of what may be such an X; 0: it is none; -1: the pattern uses
 * syntax that is better left alone.
 */
static int measure_escape(const char *at, size_t len)
{
	size_t size = 2;

	if (len < 2 || strchr("QEcNogkK0123456789", at[1]) != NULL)
		return -1;
	if (strchr("xpP", at[1]) != NULL && len > 2 && at[2] == '{') {
		const char *end = memchr(at, '}', len);

		return end != NULL ? (int)(end - at) + 1 : -1;
	}
	if (at[1] == 'x') {
		while (size < len && size < 4 && json_hex_digit(at[size]) >= 0)
			size++;
		return (int)size;
	}
	if (strchr("pP", at[1]) != NULL)
		return len > 2 ? 3 : -1;
	if (strchr("dDwWsShHvVRXnrtfea", at[1]) != NULL)
		return 2;
	return (at[1] | 0x20) >= 'a' && (at[1] | 0x20) <= 'z' ? 0 : 2;
}

static int measure_class(const char *at, size_t len)
{
	size_t i = len > 1 && at[1] == '^' ? 2 : 1;

	for (size_t first = i; i < len; i++) {
		if (at[i] == ']' && i > first)
			return (int)i + 1;
		if (at[i] == '\\') {
			i++;
		} else if (at[i] == '[' && i + 1 < len && at[i + 1] == ':') {
			const char *end = memchr(at + i + 2, ':', len - i - 2);

			if (end != NULL && end + 1 < at + len && end[1] == ']')
				i = (size_t)(end + 1 - at);
		}
	}
	return -1;
}

/* A verb, a comment, or options that make white space or comments mean nothing. */
static bool is_special_group(const char *at, size_t len)
{
	if (len > 1 && at[1] == '*')
		return true;
	if (len < 3 || at[1] != '?')
		return false;
	if (at[2] == '#')
		return true;
	for (size_t i = 2; i < len && ((at[i] >= 'a' && at[i] <= 'z') || at[i] == '-' || at[i] == '^'); i++) {
		if (at[i] == 'x')
			return true;
	}
	return false;
}

static int measure_atom(const char *at, size_t len)
{
	if (*at == '\\')
		return measure_escape(at, len);
	if (*at == '[')
		return measure_class(at, len);
	if (*at == '(' && is_special_group(at, len))
		return -1;
	if (strchr("()|^$*?+{}", *at) != NULL)
		return 0;
	return (int)json_utf8_step(at, at + len);
}

/* Append the pattern with every X+ as (?:X)+. */
static int wrap_repeats(const struct qosid_buf *pattern, struct qosid_buf *out, struct qosid_errbuf *err)
{
	const char *at = (const char *)pattern->data;
	const char *end = at + pattern->len;
	size_t before = out->len;
	int rc = 0;

	while (rc == 0 && at < end) {
		int size = measure_atom(at, (size_t)(end - at));
		size_t taken = size > 0 ? (size_t)size : 1;
		bool repeated = size > 0 && at + size < end && at[size] == '+';

		if (size < 0) {
			qosid_buf_cut(out, before);
			return qosid_buf_append(out, pattern->data, pattern->len, err);
		}
		if (size == 0 && *at == '\\')
			taken = 2;
		if (repeated)
			rc = qosid_buf_append_text(out, "(?:", err);
		if (rc == 0)
			rc = qosid_buf_append(out, at, taken, err);
		if (rc == 0 && repeated)
			rc = qosid_buf_append_byte(out, ')', err);
		at += taken;
	}
	return rc;
}

/* ---- compiling ---- */

/* Compile the pattern behind "any text". end closes its group: \E ends a quotation that is still open. */
static int compile_search(const struct qosid_buf *pattern, const char *end, pcre2_code **out, struct qosid_errbuf *err)
{
	struct qosid_buf search = {0};
	int rc = qosid_buf_append_text(&search, "\\A(?s:.)*?(?:", err);

	if (rc == 0)
		rc = wrap_repeats(pattern, &search, err);
	if (rc == 0)
		rc = qosid_buf_append_text(&search, end, err);
	*out = rc == 0 ? compile(search.data, search.len) : NULL;
	qosid_buf_free(&search);
	return rc;
}

static int create(struct mango_regex **out, const struct qosid_buf *pattern, struct qosid_errbuf *err)
{
	struct mango_regex *regex = calloc(1, sizeof(*regex));
	int rc;

	*out = regex;
	if (regex == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	rc = compile_search(pattern, "\\E)", &regex->code, err);
	if (rc == 0 && regex->code == NULL)
		rc = compile_search(
		    pattern, "\n\\E)", &regex->code, err); /* behind the comment of an extended pattern */
	if (rc != 0)
		return rc;
	regex->data = pcre2_match_data_create(1, NULL);
	regex->context = pcre2_match_context_create(NULL);
	if (regex->data == NULL || regex->context == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	(void)pcre2_set_depth_limit(regex->context, NESTING); /* these cannot fail */
	(void)pcre2_set_heap_limit(regex->context, HEAP_KIB);
	return 0;
}

int mango_regex_compile(struct mango_regex **out, struct json_slice pattern, bool *valid, struct qosid_errbuf *err)
{
	struct mango_regex *regex = NULL;
	struct qosid_buf text = {0};
	pcre2_code *alone = NULL;
	int rc = json_string_decode(pattern, &text, err);

	*out = NULL;
	*valid = false;
	if (rc != 0 || text.len > MANGO_REGEX_PATTERN_BYTES)
		goto out;
	/* By itself it must be valid too, or it could close the group it is put into. */
	alone = compile(text.data, text.len);
	if (alone == NULL)
		goto out;
	rc = create(&regex, &text, err);
	if (rc == 0 && regex->code != NULL && is_supported(regex)) {
		*valid = true;
		*out = regex;
		regex = NULL;
	}
out:
	mango_regex_free(regex);
	pcre2_code_free(alone);
	qosid_buf_free(&text);
	return rc;
}

static int match_with(struct mango_regex *regex, const char *text, size_t len, int size)
{
	uint32_t looks = (uint32_t)(LOOK_WORK / (len + 64)) + 1;

	(void)pcre2_set_match_limit(regex->context, looks); /* cannot fail */
	return pcre2_dfa_match(regex->code, (PCRE2_SPTR)text, len, 0, PCRE2_DFA_SHORTEST | PCRE2_NO_UTF_CHECK,
	    regex->data, regex->context, regex->workspace, (size_t)size);
}

bool mango_regex_match(struct mango_regex *regex, const char *text, size_t len)
{
	int rc;

	if (len > MANGO_REGEX_SUBJECT_BYTES)
		return false;
	rc = match_with(regex, text, len, WORKSPACE);
	if (rc == PCRE2_ERROR_DFA_WSSIZE && len <= SHORT_BYTES)
		rc = match_with(regex, text, len, WORKSPACE_SHORT);
	return rc >= 0;
}
