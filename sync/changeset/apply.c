/*
 * From a payload into the replica: each line is merged as it comes, in the caller's transaction.
 */
#include <sodium.h>
#include <string.h>

#include "sync/changeset/changeset.h"
#include "sync/limits.h"
#include "sync/replica/json.h"

struct application {
	struct replica *replica;
	bool own;
	const char *office;
	struct changeset_counts counts;
	struct replica_record record; /* for counting conflicts */
};

/* What came inline has been carried by this office's own log, and need not go again; what did not, and is not here, is
 * remembered with whose log names it. */
static int note_attachment(struct application *application, struct json_slice attachment, struct qosid_errbuf *err)
{
	struct json_slice data, text, number;
	uint8_t digest[DIGEST_BYTES];
	unsigned long long length = 0;
	bool is_inline = json_find(attachment, "data", &data), found;
	int rc;

	if (is_inline && !application->own)
		return 0;
	if (!json_find(attachment, "digest", &text) || text.len < 2 ||
	    digest_parse(digest, text.text + 1, text.len - 2, NULL) != 0)
		return is_inline ? qosid_error(err, QOSID_ERR_INVALID, "an inline attachment has no digest") : 0;
	if (is_inline)
		return attachment_set_published(application->replica, digest, err);
	if ((rc = attachment_find(application->replica, digest, &found, NULL, err)) != 0 || found)
		return rc;
	if (json_find(attachment, "length", &number))
		(void)json_parse_unsigned(number, LIMIT_ATTACHMENT_BYTES, &length, NULL); /* only for people */
	return attachment_note_carrier(application->replica, digest, application->office, (int64_t)length, err);
}

static int note_attachments(struct application *application, struct json_slice attachments, struct qosid_errbuf *err)
{
	struct json_slice name, value;
	size_t position = 0;
	int rc = 0;

	if (attachments.len == 0)
		return 0;
	while (rc == 0 && json_next(attachments, &position, &name, &value))
		rc = note_attachment(application, value, err);
	return rc;
}

/* A revision that branches makes a conflict if more than one leaf is live. */
static int count_conflict(struct application *application, const char *id, bool deleted, struct qosid_errbuf *err)
{
	struct revtree_leaf leaf;
	size_t live = 0;
	int rc;

	if (deleted)
		return 0;
	rc = replica_read_document(application->replica, id, NULL, &application->record, err);
	if (rc != 0)
		return rc;
	for (size_t i = 0; live < 2 && revtree_leaf_at(application->record.tree, i, &leaf) && !leaf.deleted; i++)
		live++;
	application->counts.conflicts += live > 1;
	return 0;
}

static int apply_line(void *context, const struct changeset_line *line, struct qosid_errbuf *err)
{
	struct application *application = context;
	const struct document *document = line->document;
	struct replica_revision revision = {
	    .id = (const char *)document->id.data,
	    .path = {.generation = document->revisions_start,
		.hashes = document->revisions,
		.count = document->revision_count,
		.deleted = document->deleted},
	    .body = {(const char *)document->body.data, document->body.len},
	    .attachments = document->attachments,
	    .user = line->user,
	    .time = line->time,
	};
	enum revtree_outcome outcome;
	int rc = replica_put_revision(application->replica, &revision, &outcome, err);

	if (rc == 0)
		rc = note_attachments(application, document->attachments, err);
	if (rc == 0 && application->own)
		rc = replica_clear_pending(application->replica, revision.id, &document->rev, err);
	if (rc == 0 && outcome == REVTREE_BRANCHES)
		rc = count_conflict(application, revision.id, document->deleted, err);
	if (rc != 0)
		return rc;
	application->counts.revisions++;
	application->counts.news += outcome != REVTREE_KNOWN && outcome != REVTREE_INNER;
	return 0;
}

int changeset_apply(struct replica *replica, const void *data, size_t len, const struct changeset_header *expected,
    const struct changeset_opening *opening, bool own, struct changeset_counts *counts, struct qosid_errbuf *err)
{
	struct application application = {.replica = replica, .own = own, .office = expected->office};
	int rc = changeset_decode(data, len, expected, opening, apply_line, &application, err);

	if (rc == 0)
		*counts = application.counts;
	replica_record_free(&application.record);
	return rc;
}

static int add_line(void *context, const struct changeset_line *line, struct qosid_errbuf *err)
{
	return replica_carried_add(context, (const char *)line->document->id.data, &line->document->rev, err);
}

int changeset_add_carried(struct replica *replica, const void *data, size_t len,
    const struct changeset_header *expected, const struct changeset_opening *opening, struct qosid_errbuf *err)
{
	return changeset_decode(data, len, expected, opening, add_line, replica, err);
}
