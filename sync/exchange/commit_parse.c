/*
 * Reading a commit (commit.h). A cursor goes over the bytes once; what is not exactly as commit_format() writes it is
 * refused, so there is one spelling of each commit and no field that git and Qosid could read differently.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sshsig.h"
#include "sync/exchange/commit.h"
#include "sync/exchange/commit_internal.h"

struct cursor {
	const char *at, *end;
};

/* A piece of a line; not NUL-terminated. */
struct slice {
	const char *text;
	size_t len;
};

/* Take the next line when it starts with prefix: *value is what follows it, without the newline. */
static bool take_line(struct cursor *cursor, const char *prefix, struct slice *value)
{
	size_t left = (size_t)(cursor->end - cursor->at), prefix_len = strlen(prefix);
	const char *newline = memchr(cursor->at, '\n', left);

	if (newline == NULL || (size_t)(newline - cursor->at) < prefix_len ||
	    memcmp(cursor->at, prefix, prefix_len) != 0)
		return false;
	value->text = cursor->at + prefix_len;
	value->len = (size_t)(newline - value->text);
	cursor->at = newline + 1;
	return true;
}

static int missing(struct qosid_errbuf *err, const char *what)
{
	return qosid_error(err, QOSID_ERR_INVALID, "%s is missing, in the wrong place, or malformed", what);
}

static bool parse_oid(git_oid *out, const struct slice *value)
{
	if (value->len != GIT_OID_HEXSZ)
		return false;
	for (size_t i = 0; i < value->len; i++) {
		if (strchr("0123456789abcdef", value->text[i]) == NULL || value->text[i] == '\0')
			return false;
	}
	return git_oid_fromstrn(out, value->text, value->len) == 0;
}

/* A decimal number from least on, as it would be written: no sign, no leading zero. */
static bool parse_number(int64_t *out, const struct slice *value, int64_t least)
{
	int64_t number = 0;

	if (value->len == 0 || (value->text[0] == '0' && value->len > 1))
		return false;
	for (size_t i = 0; i < value->len; i++) {
		int digit = value->text[i] - '0';

		if (digit < 0 || digit > 9 || number > (INT64_MAX - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*out = number;
	return number >= least;
}

/* A text into an array with room for size bytes; false when it does not fit or has a NUL in it. */
static bool parse_text(char *out, size_t size, const struct slice *value)
{
	if (value->len >= size || memchr(value->text, '\0', value->len) != NULL)
		return false;
	memcpy(out, value->text, value->len);
	out[value->len] = '\0';
	return true;
}

/* Cut value at the first separator: head is what is before it, value keeps what is behind. */
static bool split(struct slice *value, char separator, struct slice *head)
{
	const char *at = memchr(value->text, separator, value->len);

	if (at == NULL)
		return false;
	*head = (struct slice){value->text, (size_t)(at - value->text)};
	value->len -= head->len + 1;
	value->text = at + 1;
	return true;
}

static int take_digest(
    struct cursor *cursor, const char *prefix, uint8_t digest[DIGEST_BYTES], bool *found, struct qosid_errbuf *err)
{
	struct slice value;
	int rc = 0;

	*found = take_line(cursor, prefix, &value);
	if (*found)
		rc = digest_parse(digest, value.text, value.len, err);
	if (rc != 0)
		(void)qosid_error_within(err, "trailer %.*s", (int)strlen(prefix) - 2, prefix);
	return rc;
}

/* ---- headers ---- */

/* The time out of "slug <slug@...> TIME +0000"; all the rest is compared once slug and space are known. */
static bool parse_person(struct commit *out, const struct slice *person)
{
	static const char zone[] = " +0000";
	struct slice rest = *person, skipped;

	if (rest.len <= strlen(zone) || memcmp(rest.text + rest.len - strlen(zone), zone, strlen(zone)) != 0)
		return false;
	rest.len -= strlen(zone);
	return split(&rest, '>', &skipped) && rest.len > 0 && rest.text[0] == ' ' &&
	       parse_number(&out->time, &(struct slice){rest.text + 1, rest.len - 1}, 0);
}

static int parse_headers(struct commit *out, struct cursor *cursor, struct slice *person, struct qosid_errbuf *err)
{
	struct slice value, committer;

	if (!take_line(cursor, "tree ", &value) || !parse_oid(&out->tree, &value))
		return missing(err, "header tree");
	out->has_parent = take_line(cursor, "parent ", &value);
	if (out->has_parent && !parse_oid(&out->parent, &value))
		return missing(err, "header parent");
	if (!take_line(cursor, "author ", person) || !parse_person(out, person))
		return missing(err, "header author");
	if (!take_line(cursor, "committer ", &committer))
		return missing(err, "header committer");
	if (committer.len != person->len || memcmp(committer.text, person->text, person->len) != 0)
		return qosid_error(err, QOSID_ERR_INVALID, "header committer differs from header author");
	return 0;
}

/* Take gpgsig and its further lines, which start with a space each. */
static int parse_signature(struct cursor *cursor, struct qosid_buf *signature, struct qosid_errbuf *err)
{
	struct slice line;
	size_t start = signature->len;
	int rc;

	if (!take_line(cursor, "gpgsig ", &line))
		return missing(err, "header gpgsig");
	do {
		if (signature->len - start + line.len + 1 > SSHSIG_ARMOR_MAX)
			return qosid_error(
			    err, QOSID_ERR_LIMIT, "header gpgsig has more than %d bytes", SSHSIG_ARMOR_MAX);
		rc = qosid_buf_append(signature, line.text, line.len, err);
		if (rc == 0)
			rc = qosid_buf_append_byte(signature, '\n', err);
		if (rc != 0)
			return rc;
	} while (take_line(cursor, " ", &line));
	return 0;
}

/* ---- message ---- */

static int parse_seen(struct commit *out, struct cursor *cursor, struct qosid_errbuf *err)
{
	struct slice value, head;
	size_t cap = 0;

	while (take_line(cursor, "Qosid-Seen: ", &value)) {
		struct commit_seen *seen;

		if (out->seen_count == LIMIT_MEMBERS)
			return qosid_error(err, QOSID_ERR_LIMIT, "more than %u trailers Qosid-Seen", LIMIT_MEMBERS);
		if (out->seen_count == cap) {
			cap = cap == 0 ? 8 : cap * 2;
			seen = realloc(out->seen, cap * sizeof(*seen));
			if (seen == NULL)
				return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a commit");
			out->seen = seen;
		}
		seen = &out->seen[out->seen_count++];
		*seen = (struct commit_seen){0};
		if (!split(&value, '@', &head) || !parse_text(seen->office, sizeof(seen->office), &head) ||
		    !split(&value, ':', &head) || !parse_number(&seen->sequence, &head, 1) ||
		    !parse_oid(&seen->commit, &value))
			return missing(err, "trailer Qosid-Seen");
	}
	return 0;
}

static int parse_generation(struct commit *out, struct cursor *cursor, struct qosid_errbuf *err)
{
	struct slice value;
	bool known = false;

	out->generation = 1;
	if (!take_line(cursor, "Qosid-Generation: ", &value))
		return 0;
	if (!parse_number(&out->generation, &value, 2))
		return missing(err, "trailer Qosid-Generation");
	if (!take_line(cursor, "Qosid-Snapshot: ", &value))
		return 0;
	for (int i = SNAPSHOT_FIRST; i <= SNAPSHOT_WHOLE; i++) {
		const char *name = commit_snapshot_name((enum commit_snapshot)i);

		if (value.len != strlen(name) || memcmp(value.text, name, value.len) != 0)
			continue;
		out->snapshot = (enum commit_snapshot)i;
		known = true;
	}
	if (!known)
		return missing(err, "trailer Qosid-Snapshot");
	if (commit_begins(out) && (!take_line(cursor, "Qosid-Archive: ", &value) || !parse_oid(&out->archive, &value)))
		return missing(err, "trailer Qosid-Archive");
	return 0;
}

static int parse_identity(struct commit *out, struct cursor *cursor, struct qosid_errbuf *err)
{
	struct slice value;
	int64_t format;

	if (!take_line(cursor, "Qosid-Format: ", &value) || !parse_number(&format, &value, 1))
		return missing(err, "trailer Qosid-Format");
	if (format != COMMIT_FORMAT) {
		(void)qosid_error(err, QOSID_ERR_INVALID, "trailer Qosid-Format says %" PRId64 ", only %d is known",
		    format, COMMIT_FORMAT);
		qosid_error_hint(err, "A newer Qosid may be needed to read this.");
		return QOSID_ERR_INVALID;
	}
	if (!take_line(cursor, "Qosid-Space: ", &value) || !parse_text(out->space, sizeof(out->space), &value))
		return missing(err, "trailer Qosid-Space");
	if (!take_line(cursor, "Qosid-Office: ", &value) || !parse_text(out->office, sizeof(out->office), &value))
		return missing(err, "trailer Qosid-Office");
	if (!take_line(cursor, "Qosid-Sequence: ", &value) || !parse_number(&out->sequence, &value, 1))
		return missing(err, "trailer Qosid-Sequence");
	int rc = parse_generation(out, cursor, err);

	if (rc != 0)
		return rc;
	if (take_line(cursor, "Qosid-Epoch: ", &value) && !parse_number(&out->epoch, &value, 1))
		return missing(err, "trailer Qosid-Epoch");
	return 0;
}

/* Any number of heads; commit_check() says how many and in which order. */
static int take_roster(struct commit *out, struct cursor *cursor, struct qosid_errbuf *err)
{
	uint8_t digest[DIGEST_BYTES];
	bool found;
	int rc;

	while ((rc = take_digest(cursor, "Qosid-Roster: ", digest, &found, err)) == 0 && found) {
		if (out->roster_count == LIMIT_ROSTER_HEADS)
			return qosid_error(
			    err, QOSID_ERR_LIMIT, "more than %u trailers Qosid-Roster", LIMIT_ROSTER_HEADS);
		memcpy(out->roster[out->roster_count++], digest, DIGEST_BYTES);
	}
	return rc;
}

static int parse_content(struct commit *out, struct cursor *cursor, struct qosid_errbuf *err)
{
	struct slice value, head;
	bool found = false;
	int rc = take_roster(out, cursor, err);

	if (rc == 0)
		rc = take_digest(cursor, "Qosid-Content: ", out->content, &found, err);
	if (rc != 0)
		return rc;
	if (!found)
		return missing(err, "trailer Qosid-Content");
	if ((rc = take_digest(cursor, "Qosid-Dictionary: ", out->dictionary, &out->has_dictionary, err)) != 0 ||
	    (rc = take_digest(
		 cursor, "Qosid-Dictionary-Content: ", out->dictionary_content, &out->brings_dictionary, err)) != 0)
		return rc;
	if (take_line(cursor, "Qosid-File: ", &value)) {
		if (value.len == 0 || !parse_text(out->file_digest, sizeof(out->file_digest), &value))
			return missing(err, "trailer Qosid-File");
		if (!take_line(cursor, "Qosid-Part: ", &value) || !split(&value, '/', &head) ||
		    !parse_number(&out->file_part, &head, 1) || !parse_number(&out->file_parts, &value, 1))
			return missing(err, "trailer Qosid-Part");
	}
	rc = take_digest(cursor, "Qosid-Previous: ", out->previous, &found, err);
	if (rc == 0 && found != (out->sequence > 1))
		rc = missing(err, "trailer Qosid-Previous");
	return rc;
}

static int parse_message(struct commit *out, struct cursor *cursor, struct qosid_errbuf *err)
{
	struct slice value;
	int rc;

	if ((size_t)(cursor->end - cursor->at) > LIMIT_MESSAGE_BYTES)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "the commit message has more than %u bytes", LIMIT_MESSAGE_BYTES);
	if (!take_line(cursor, "", &value) || memchr(value.text, '\0', value.len) != NULL)
		return missing(err, "the first line of the commit message");
	out->subject = strndup(value.text, value.len);
	if (out->subject == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a commit");
	if (!take_line(cursor, "", &value) || value.len != 0)
		return missing(err, "the blank line after the first line of the commit message");
	rc = parse_identity(out, cursor, err);
	if (rc == 0)
		rc = parse_content(out, cursor, err);
	if (rc == 0)
		rc = parse_seen(out, cursor, err);
	if (rc == 0 && cursor->at != cursor->end)
		rc = qosid_error(
		    err, QOSID_ERR_INVALID, "an unknown, repeated or misplaced trailer in the commit message");
	return rc;
}

static int parse_whole(struct commit *out, const char *data, size_t len, struct qosid_buf *signature,
    struct qosid_buf *payload, struct qosid_errbuf *err)
{
	struct cursor cursor = {data, data + len};
	char expected[COMMIT_PERSON_SIZE];
	struct slice person = {"", 0}, blank;
	const char *headers_end;
	int rc = parse_headers(out, &cursor, &person, err);

	headers_end = cursor.at;
	if (rc == 0)
		rc = parse_signature(&cursor, signature, err);
	if (rc == 0)
		rc = qosid_buf_append(payload, data, (size_t)(headers_end - data), err);
	if (rc == 0)
		rc = qosid_buf_append(payload, cursor.at, (size_t)(cursor.end - cursor.at), err);
	if (rc == 0 && (!take_line(&cursor, "", &blank) || blank.len != 0))
		rc = qosid_error(err, QOSID_ERR_INVALID, "an unknown or repeated header after gpgsig");
	if (rc == 0)
		rc = parse_message(out, &cursor, err);
	if (rc == 0)
		rc = commit_check(out, err);
	if (rc != 0)
		return rc;
	commit_format_person(expected, out);
	if (strlen(expected) != person.len || memcmp(expected, person.text, person.len) != 0)
		return qosid_error(
		    err, QOSID_ERR_INVALID, "header author is not \"%s\", as the trailers say", expected);
	return 0;
}

int commit_parse(struct commit *out, const void *data, size_t len, struct qosid_buf *signature,
    struct qosid_buf *payload, struct qosid_errbuf *err)
{
	int rc;

	*out = (struct commit){0};
	if (len == 0)
		return missing(err, "header tree");
	if (len > LIMIT_COMMIT_BYTES)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "a commit of %zu bytes, more than the %u allowed", len, LIMIT_COMMIT_BYTES);
	rc = parse_whole(out, data, len, signature, payload, err);
	if (rc != 0)
		commit_free(out);
	return rc;
}

int commit_verify(struct commit *out, const void *data, size_t len, const uint8_t signer[SIGNING_PUBLIC_BYTES],
    struct qosid_errbuf *err)
{
	struct qosid_buf signature = {0}, payload = {0};
	int rc = commit_parse(out, data, len, &signature, &payload, err);

	if (rc == 0) {
		rc = sshsig_verify((const char *)signature.data, signature.len, SSHSIG_NAMESPACE_GIT, payload.data,
		    payload.len, signer, err);
		if (rc != 0) {
			commit_free(out);
			(void)qosid_error_within(err, "header gpgsig");
		}
	}
	qosid_buf_free(&signature);
	qosid_buf_free(&payload);
	return rc;
}
