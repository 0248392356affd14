/*
 * The rules that hold for the fields of a commit, whether it is about to be written or was just parsed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sync/exchange/commit_internal.h"
#include "sync/roster/roster.h"

void commit_format_person(char out[COMMIT_PERSON_SIZE], const struct commit *commit)
{
	(void)snprintf(out, COMMIT_PERSON_SIZE, "%s <%s@%.8s.qosid> %" PRId64 " +0000", commit->office, commit->office,
	    commit->space, commit->time);
}

/* Pass on a failure of a field, with the field's name in front. */
static int within(int rc, const char *trailer, struct qosid_errbuf *err)
{
	if (rc != 0)
		(void)qosid_error_within(err, "trailer %s", trailer);
	return rc;
}

/* The length of the UTF-8 sequence at text and its code point; 0 when there is none. */
static size_t decode_utf8(const unsigned char *text, uint32_t *point)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len;

	if (text[0] < 0x80) {
		*point = text[0];
		return 1;
	}
	len = (text[0] & 0xe0) == 0xc0 ? 2 : (text[0] & 0xf0) == 0xe0 ? 3 : (text[0] & 0xf8) == 0xf0 ? 4 : 0;
	*point = text[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		*point = *point << 6 | (text[i] & 0x3f);
	}
	if (len == 0 || *point < least[len] || *point > 0x10ffff || (*point >= 0xd800 && *point <= 0xdfff))
		return 0;
	return len;
}

static int check_subject(const char *subject, struct qosid_errbuf *err)
{
	size_t len = subject == NULL ? 0 : strlen(subject);

	if (len == 0 || subject[0] == ' ' || subject[len - 1] == ' ')
		return qosid_error(err, QOSID_ERR_INVALID, "the first line of the commit message is empty or padded");
	if (len > COMMIT_SUBJECT_BYTES)
		return qosid_error(err, QOSID_ERR_LIMIT,
		    "the first line of the commit message has %zu bytes, more than the %u allowed", len,
		    COMMIT_SUBJECT_BYTES);
	for (size_t at = 0; at < len;) {
		uint32_t point;
		size_t step = decode_utf8((const unsigned char *)subject + at, &point);

		if (step == 0)
			return qosid_error(
			    err, QOSID_ERR_INVALID, "the first line of the commit message is not valid UTF-8");
		if (point < 0x20 || (point >= 0x7f && point < 0xa0))
			return qosid_error(
			    err, QOSID_ERR_INVALID, "the first line of the commit message has a control character");
		at += step;
	}
	return 0;
}

static int check_file(const struct commit *commit, struct qosid_errbuf *err)
{
	uint8_t digest[DIGEST_BYTES];
	int rc;

	if (commit->file_digest[0] == '\0') {
		if (commit->file_part != 0 || commit->file_parts != 0)
			return qosid_error(err, QOSID_ERR_INVALID, "trailer Qosid-Part has no Qosid-File");
		return 0;
	}
	rc = within(digest_parse(digest, commit->file_digest, strlen(commit->file_digest), err), "Qosid-File", err);
	if (rc != 0)
		return rc;
	if (commit->file_part < 1 || commit->file_part > commit->file_parts)
		return qosid_error(err, QOSID_ERR_INVALID, "trailer Qosid-Part says part %" PRId64 " of %" PRId64,
		    commit->file_part, commit->file_parts);
	return 0;
}

static int check_seen(const struct commit *commit, struct qosid_errbuf *err)
{
	if (commit->seen_count > LIMIT_MEMBERS)
		return qosid_error(err, QOSID_ERR_LIMIT, "%zu trailers Qosid-Seen, more than the %u allowed",
		    commit->seen_count, LIMIT_MEMBERS);
	for (size_t i = 0; i < commit->seen_count; i++) {
		const struct commit_seen *seen = &commit->seen[i];

		int rc = within(slug_check(seen->office, err), "Qosid-Seen", err);

		if (rc != 0)
			return rc;
		if (seen->sequence < 1)
			return qosid_error(
			    err, QOSID_ERR_INVALID, "trailer Qosid-Seen of %s has no sequence", seen->office);
		if (i > 0 && strcmp(commit->seen[i - 1].office, seen->office) >= 0)
			return qosid_error(err, QOSID_ERR_INVALID,
			    "trailers Qosid-Seen are not sorted by office, each once, at %s", seen->office);
	}
	return 0;
}

const char *commit_snapshot_name(enum commit_snapshot snapshot)
{
	static const char *const names[] = {[SNAPSHOT_NONE] = NULL,
	    [SNAPSHOT_FIRST] = "first",
	    [SNAPSHOT_PART] = "part",
	    [SNAPSHOT_LAST] = "last",
	    [SNAPSHOT_WHOLE] = "whole"};

	return names[snapshot];
}

static int check_generation(const struct commit *commit, struct qosid_errbuf *err)
{
	if (commit->generation < 0)
		return qosid_error(err, QOSID_ERR_INVALID, "trailer Qosid-Generation is negative");
	if (commit->generation > commit->sequence)
		return qosid_error(err, QOSID_ERR_INVALID,
		    "trailer Qosid-Generation says %" PRId64 ", more than the sequence", commit->generation);
	if (commit->snapshot != SNAPSHOT_NONE && commit->generation < 2)
		return qosid_error(err, QOSID_ERR_INVALID, "trailer Qosid-Snapshot in the first generation");
	if (commit->has_parent != (commit->sequence > 1 && !commit_begins(commit)))
		return qosid_error(err, QOSID_ERR_INVALID, "the commit has %s parent but sequence %" PRId64 "%s",
		    commit->has_parent ? "a" : "no", commit->sequence,
		    commit_begins(commit) ? ", where a generation begins" : "");
	return 0;
}

int commit_check(const struct commit *commit, struct qosid_errbuf *err)
{
	int rc = within(slug_check(commit->office, err), "Qosid-Office", err);

	if (rc != 0)
		return rc;
	if (strlen(commit->space) != 32 || strspn(commit->space, "0123456789abcdef") != 32)
		return qosid_error(err, QOSID_ERR_INVALID, "trailer Qosid-Space is not 32 hexadecimal digits");
	if (commit->time < 0 || commit->time > COMMIT_TIME_MAX)
		return qosid_error(err, QOSID_ERR_INVALID, "the time of the commit is not between 1970 and 9999");
	if (commit->sequence < 1)
		return qosid_error(err, QOSID_ERR_INVALID, "trailer Qosid-Sequence is not positive");
	for (size_t i = 1; i < commit->roster_count; i++) {
		if (memcmp(commit->roster[i - 1], commit->roster[i], DIGEST_BYTES) >= 0)
			return qosid_error(err, QOSID_ERR_INVALID, "trailers Qosid-Roster are not sorted, each once");
	}
	if (commit->epoch < 0)
		return qosid_error(err, QOSID_ERR_INVALID, "trailer Qosid-Epoch is negative");
	if (commit->brings_dictionary && !commit->has_dictionary)
		return qosid_error(err, QOSID_ERR_INVALID, "trailer Qosid-Dictionary-Content has no Qosid-Dictionary");
	rc = check_generation(commit, err);
	if (rc == 0)
		rc = check_subject(commit->subject, err);
	if (rc == 0)
		rc = check_file(commit, err);
	return rc == 0 ? check_seen(commit, err) : rc;
}
