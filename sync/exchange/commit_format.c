/*
 * Writing a commit (commit.h). The bytes depend on the commit and the key alone: Ed25519 signatures are deterministic.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sshsig.h"
#include "sync/exchange/commit.h"
#include "sync/exchange/commit_internal.h"

void commit_free(struct commit *commit)
{
	free(commit->subject);
	free(commit->seen);
	*commit = (struct commit){0};
}

static int format_digest(
    struct qosid_buf *out, const char *name, const uint8_t digest[DIGEST_BYTES], struct qosid_errbuf *err)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(text, digest);
	return qosid_buf_append_format(out, err, "%s: %s\n", name, text);
}

static int format_number(struct qosid_buf *out, const char *name, int64_t number, struct qosid_errbuf *err)
{
	return qosid_buf_append_format(out, err, "%s: %" PRId64 "\n", name, number);
}

static int format_seen(struct qosid_buf *out, const struct commit *commit, struct qosid_errbuf *err)
{
	int rc = 0;

	for (size_t i = 0; i < commit->seen_count && rc == 0; i++) {
		const struct commit_seen *seen = &commit->seen[i];
		char hex[GIT_OID_HEXSZ + 1];

		git_oid_tostr(hex, sizeof(hex), &seen->commit);
		rc = qosid_buf_append_format(
		    out, err, "Qosid-Seen: %s@%" PRId64 ":%s\n", seen->office, seen->sequence, hex);
	}
	return rc;
}

/* Nothing in the first generation, so that its commits are as they always were. */
static int format_generation(struct qosid_buf *out, const struct commit *commit, struct qosid_errbuf *err)
{
	char hex[GIT_OID_HEXSZ + 1];
	int rc;

	if (commit->generation < 2)
		return 0;
	rc = format_number(out, "Qosid-Generation", commit->generation, err);
	if (rc == 0 && commit->snapshot != SNAPSHOT_NONE)
		rc = qosid_buf_append_format(out, err, "Qosid-Snapshot: %s\n", commit_snapshot_name(commit->snapshot));
	if (rc == 0 && commit_begins(commit)) {
		git_oid_tostr(hex, sizeof(hex), &commit->archive);
		rc = qosid_buf_append_format(out, err, "Qosid-Archive: %s\n", hex);
	}
	return rc;
}

static int format_trailers(struct qosid_buf *out, const struct commit *commit, struct qosid_errbuf *err)
{
	int rc = format_number(out, "Qosid-Format", COMMIT_FORMAT, err);

	if (rc == 0)
		rc = qosid_buf_append_format(
		    out, err, "Qosid-Space: %s\nQosid-Office: %s\n", commit->space, commit->office);
	if (rc == 0)
		rc = format_number(out, "Qosid-Sequence", commit->sequence, err);
	if (rc == 0)
		rc = format_generation(out, commit, err);
	if (rc == 0 && commit->epoch > 0)
		rc = format_number(out, "Qosid-Epoch", commit->epoch, err);
	for (size_t i = 0; i < commit->roster_count && rc == 0; i++)
		rc = format_digest(out, "Qosid-Roster", commit->roster[i], err);
	if (rc == 0)
		rc = format_digest(out, "Qosid-Content", commit->content, err);
	if (rc == 0 && commit->has_dictionary)
		rc = format_digest(out, "Qosid-Dictionary", commit->dictionary, err);
	if (rc == 0 && commit->brings_dictionary)
		rc = format_digest(out, "Qosid-Dictionary-Content", commit->dictionary_content, err);
	if (rc == 0 && commit->file_digest[0] != '\0')
		rc = qosid_buf_append_format(out, err, "Qosid-File: %s\nQosid-Part: %" PRId64 "/%" PRId64 "\n",
		    commit->file_digest, commit->file_part, commit->file_parts);
	if (rc == 0 && commit->sequence > 1)
		rc = format_digest(out, "Qosid-Previous", commit->previous, err);
	return rc == 0 ? format_seen(out, commit, err) : rc;
}

/* Everything up to where gpgsig goes. */
static int format_headers(struct qosid_buf *out, const struct commit *commit, struct qosid_errbuf *err)
{
	char hex[GIT_OID_HEXSZ + 1], person[COMMIT_PERSON_SIZE];
	int rc;

	git_oid_tostr(hex, sizeof(hex), &commit->tree);
	rc = qosid_buf_append_format(out, err, "tree %s\n", hex);
	if (rc == 0 && commit->has_parent) {
		git_oid_tostr(hex, sizeof(hex), &commit->parent);
		rc = qosid_buf_append_format(out, err, "parent %s\n", hex);
	}
	commit_format_person(person, commit);
	if (rc == 0)
		rc = qosid_buf_append_format(out, err, "author %s\ncommitter %s\n", person, person);
	return rc;
}

/* A header of several lines: each further one starts with a space. */
static int format_signature(struct qosid_buf *out, const struct qosid_buf *armor, struct qosid_errbuf *err)
{
	int rc = qosid_buf_append_text(out, "gpgsig", err);
	const char *line = (const char *)armor->data;

	while (rc == 0 && *line != '\0') {
		size_t len = strcspn(line, "\n");

		rc = qosid_buf_append_format(out, err, " %.*s\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
	return rc;
}

int commit_format(
    struct qosid_buf *out, const struct commit *commit, const struct identity *identity, struct qosid_errbuf *err)
{
	struct qosid_buf payload = {0}, armor = {0};
	size_t headers, start = out->len;
	int rc = commit_check(commit, err);

	if (rc == 0)
		rc = format_headers(&payload, commit, err);
	headers = payload.len;
	if (rc == 0)
		rc = qosid_buf_append_format(&payload, err, "\n%s\n\n", commit->subject);
	if (rc == 0)
		rc = format_trailers(&payload, commit, err);
	if (rc == 0 && payload.len - headers - 1 > LIMIT_MESSAGE_BYTES)
		rc = qosid_error(err, QOSID_ERR_LIMIT, "a commit message of %zu bytes, more than the %u allowed",
		    payload.len - headers - 1, LIMIT_MESSAGE_BYTES);
	if (rc == 0)
		rc = sshsig_sign(&armor, identity, SSHSIG_NAMESPACE_GIT, payload.data, payload.len, err);
	if (rc == 0)
		rc = qosid_buf_append(out, payload.data, headers, err);
	if (rc == 0)
		rc = format_signature(out, &armor, err);
	if (rc == 0)
		rc = qosid_buf_append(out, payload.data + headers, payload.len - headers, err);
	if (rc != 0 && out->data != NULL) {
		out->len = start;
		out->data[start] = '\0';
	}
	qosid_buf_free(&payload);
	qosid_buf_free(&armor);
	return rc;
}
