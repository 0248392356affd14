/*
 * A replica as one end of a replication: as the source it is read by its changes feed, as the target it takes what it
 * lacks, one short transaction a batch.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/couch/couch_internal.h"
#include "sync/replica/replica_query.h"

#define LISTEN_MS 500 /* how often a continuous push looks whether something was written */
#define LISTEN_MAX_MS 30000

/* ---- source ---- */

/* What a walk over the feed collects. */
struct collect {
	struct couch_session *session;
	int64_t sequence;
	int64_t seen;
};

static bool is_listed(const char *const *ids, const char *id)
{
	for (; *ids != NULL; ids++) {
		if (strcmp(*ids, id) == 0)
			return true;
	}
	return false;
}

/* Whether the options let this document pass: 1, 0 or an error. */
static int passes(struct couch_session *session, const struct replica_record *record, struct qosid_errbuf *err)
{
	const struct couch_options *options = session->options;
	struct mango_subject subject;
	bool matches = true;
	int code = 0;

	if (options->doc_ids != NULL && !is_listed(options->doc_ids, (const char *)record->id.data))
		return 0;
	if (session->selector != NULL) {
		subject = mango_subject_of(record);
		code = mango_match(session->selector, &subject, &matches, err);
	}
	return code != 0 ? code : matches;
}

static int collect_row(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct collect *collect = context;
	const struct couch_options *options = collect->session->options;
	struct couch_changes *changes = &collect->session->changes;
	char text[REVISION_TEXT_SIZE];
	struct revtree_leaf leaf;
	int code = passes(collect->session, record, err);

	collect->sequence = record->sequence;
	collect->seen++;
	if (code <= 0)
		return code;
	code = couch_changes_add_row(changes, (const char *)record->id.data, record->id.len, err);
	for (size_t i = 0; code == 0 && revtree_leaf_at(record->tree, i, &leaf); i++) {
		if (i > 0 && options->winning_revs_only)
			break;
		revision_format(text, &leaf.revision);
		code = couch_changes_add_rev(changes, text, strlen(text), err);
	}
	return code;
}

/* The sequence in a JSON number, or in a string that begins with one. */
static int read_sequence(struct json_slice since, int64_t *out, struct qosid_errbuf *err)
{
	char *end;
	long long number;
	char text[32];
	size_t skip = since.len > 0 && since.text[0] == '"' ? 1 : 0;

	(void)snprintf(text, sizeof(text), "%.*s", (int)(since.len - skip), since.text + skip);
	number = strtoll(text, &end, 10);
	if (end == text || number < 0)
		return qosid_error(err, QOSID_ERR_INVALID, "not a sequence of this replica: %s", text);
	*out = number;
	return 0;
}

static int look(struct couch_session *session, struct collect *collect, int64_t since, struct qosid_errbuf *err)
{
	unsigned limit = session->options->changes_batch;
	int code;

	couch_changes_reset(&session->changes);
	collect->seen = 0;
	collect->sequence = since;
	code = replica_visit_changes(session->options->source.replica, since, limit, collect_row, collect, err);
	session->changes.more = collect->seen == (int64_t)limit;
	return code;
}

static int local_read_changes(
    struct couch_session *session, struct json_slice since, bool wait, struct qosid_errbuf *err)
{
	struct collect collect = {.session = session};
	struct replica *replica = session->options->source.replica;
	int64_t from = 0, version = 0, now = 0;
	int code = read_sequence(since, &from, err);

	if (code == 0)
		code = replica_data_version(replica, &version, err);
	if (code == 0)
		code = look(session, &collect, from, err);
	for (int64_t waited = 0; code == 0 && wait && collect.seen == 0 && waited < LISTEN_MAX_MS;
	     waited += LISTEN_MS) {
		if (!couch_wait(session->options->cancel, LISTEN_MS))
			return couch_cancelled_error(err);
		code = replica_data_version(replica, &now, err);
		if (code == 0 && now != version) {
			version = now;
			code = look(session, &collect, from, err);
		}
	}
	if (code == 0)
		code = qosid_buf_append_format(&session->changes.last, err, "%lld", (long long)collect.sequence);
	return code;
}

static int add_document(struct couch_session *session, const char *id, const char *rev, struct replica_record *record,
    struct qosid_errbuf *err)
{
	struct replica *replica = session->options->source.replica;
	struct revision revision;
	int code = revision_parse(&revision, rev, strlen(rev), err);

	if (code == 0)
		code = replica_read_document(replica, id, &revision, record, err);
	qosid_buf_reset(&session->request);
	if (code == 0)
		code = replica_render_record(replica, record, RENDER_REVISIONS, &session->request, err);
	if (code == 0)
		code = couch_batch_add(&session->batch, couch_slice(&session->request), err);
	return code;
}

static int local_read_documents(struct couch_session *session, size_t *cursor, struct qosid_errbuf *err)
{
	const struct couch_changes *changes = &session->changes;
	struct replica_record record = {0};
	size_t at_once = session->options->documents_batch;
	int code = 0;

	for (; code == 0 && *cursor < changes->rev_count && session->batch.count < at_once &&
	       session->batch.bytes < COUCH_BATCH_BYTES;
	     (*cursor)++) {
		const struct couch_rev *rev = &changes->revs[*cursor];

		if (!rev->wanted)
			continue;
		code = add_document(
		    session, couch_change_id(changes, rev->row), couch_change_rev(changes, *cursor), &record, err);
		if (code == 0)
			session->report->read++;
		else if (code == QOSID_ERR_NOTFOUND)
			code = 0; /* it has been changed since, and comes again with a later sequence */
	}
	replica_record_free(&record);
	return code;
}

/* A stub of this replica's own says the digest. */
static int local_load_attachment(struct couch_session *session, const struct couch_document *document,
    struct couch_attachment *attachment, struct qosid_errbuf *err)
{
	struct json_slice list = document->parsed.attachments, name, object, value;
	size_t position = 0;
	bool found = false;
	int code = 0;

	while (json_next(list, &position, &name, &object)) {
		if (name.text != attachment->name.text)
			continue;
		if (!json_find(object, "digest", &value) || value.len < 2)
			return qosid_error(err, QOSID_ERR_CORRUPT, "a stored attachment has no digest");
		code = digest_parse(attachment->digest, value.text + 1, value.len - 2, err);
		if (code == 0)
			code = attachment_find(
			    session->options->source.replica, attachment->digest, &found, &attachment->length, err);
	}
	attachment->place = found ? CONTENT_IN_SOURCE : CONTENT_NOWHERE;
	return code;
}

static int local_read_attachment(struct couch_session *session, const struct couch_attachment *attachment,
    uint64_t offset, uint64_t len, const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	return attachment_read(
	    session->options->source.replica, attachment->digest, (int64_t)offset, (int64_t)len, sink, err);
}

const struct couch_source couch_local_source = {
    .read_changes = local_read_changes,
    .read_documents = local_read_documents,
    .load_attachment = local_load_attachment,
    .read_attachment = local_read_attachment,
};

/* ---- target ---- */

static int mark_row(struct couch_session *session, struct replica_record *record, size_t row, struct qosid_errbuf *err)
{
	struct couch_changes *changes = &session->changes;
	const struct couch_row *about = &changes->rows[row];
	struct replica *replica = session->options->target.replica;
	int code = replica_read_head(replica, couch_change_id(changes, row), record, err);
	bool here = code == 0;

	if (code != 0 && code != QOSID_ERR_NOTFOUND)
		return code;
	for (size_t i = about->first; i < about->first + about->count; i++) {
		struct revision revision;
		const char *text = couch_change_rev(changes, i);

		if (revision_parse(&revision, text, strlen(text), NULL) != 0) {
			struct qosid_errbuf reason = {0};

			(void)qosid_error(&reason, QOSID_ERR_INVALID, "the revision's name breaks the rules");
			couch_refuse(session, couch_change_id(changes, row), text, &reason);
			continue;
		}
		changes->revs[i].wanted = !here || revtree_find(record->tree, &revision, NULL) == REVTREE_ABSENT;
	}
	return 0;
}

static int local_mark_wanted(struct couch_session *session, struct qosid_errbuf *err)
{
	struct replica_record record = {0};
	int code = 0;

	for (size_t i = 0; code == 0 && i < session->changes.row_count; i++)
		code = mark_row(session, &record, i, err);
	replica_record_free(&record);
	return code;
}

/* Whether rev is an ancestor of the document, by the path that came with it. */
static bool is_ancestor(const struct couch_document *document, const struct revision *rev)
{
	const struct document *parsed = &document->parsed;
	size_t back;

	if (!parsed->has_revisions || rev->generation > parsed->revisions_start)
		return false;
	back = parsed->revisions_start - rev->generation;
	return back < parsed->revision_count && strcmp(parsed->revisions[back], rev->hash) == 0;
}

/* The same attachment of an ancestor that is here: it has not changed since when its revpos is not later. */
static int local_find_attachment(struct couch_session *session, const struct couch_document *document,
    struct couch_attachment *attachment, struct qosid_errbuf *err)
{
	struct replica *replica = session->options->target.replica;
	struct replica_record record = {0};
	struct qosid_buf name = {0};
	struct json_slice object, digest;
	int64_t length = 0;
	bool found = false;
	int code = replica_read_document(replica, couch_document_id(document), NULL, &record, NULL);

	if (code != 0 || record.attachments.len == 0 || attachment->revpos == 0 || attachment->length < 0 ||
	    attachment->revpos > record.rev.generation || !is_ancestor(document, &record.rev)) {
		replica_record_free(&record);
		return 0;
	}
	code = json_string_decode(attachment->name, &name, err);
	if (code == 0 && memchr(name.data, '\0', name.len) == NULL &&
	    json_find(couch_slice(&record.attachments), (const char *)name.data, &object) &&
	    json_find(object, "digest", &digest) && digest.len > 2 &&
	    digest_parse(attachment->digest, digest.text + 1, digest.len - 2, NULL) == 0)
		code = attachment_find(replica, attachment->digest, &found, &length, err);
	if (code == 0 && found && length == attachment->length)
		attachment->place = CONTENT_IN_TARGET;
	qosid_buf_free(&name);
	replica_record_free(&record);
	return code;
}

static int write_piece(void *context, const void *data, size_t len, struct qosid_errbuf *err)
{
	return attachment_writer_write(context, data, len, err);
}

/* Store what lies in the spool or in another replica; the digest becomes known. */
static int store_content(struct couch_session *session, struct couch_attachment *attachment, struct qosid_errbuf *err)
{
	struct attachment_writer *writer = NULL;
	struct qosid_sink sink = {.write = write_piece};
	int code;

	if (attachment->place != CONTENT_IN_SPOOL && attachment->place != CONTENT_IN_SOURCE)
		return 0;
	code = attachment_writer_open(&writer, session->options->target.replica, err);
	sink.context = writer;
	if (code == 0)
		code = couch_read_content(session, attachment, 0, (uint64_t)attachment->length, &sink, err);
	if (code == 0)
		code = attachment_writer_finish(writer, attachment->digest, &attachment->length, err);
	attachment_writer_free(writer);
	if (code == 0)
		session->report->attachments++;
	return code;
}

/* An attachment as replica_put_revision() wants it. */
static int append_attachment(struct qosid_buf *out, const struct couch_document *document,
    const struct couch_attachment *attachment, struct qosid_errbuf *err)
{
	char digest[DIGEST_TEXT_SIZE];
	uint32_t generation = document->parsed.rev.generation;
	int64_t revpos = attachment->revpos;
	int code = couch_append_attachment_head(out, attachment, err);

	if (code != 0)
		return code;
	if (attachment->data.len > 0) {
		code = qosid_buf_append_text(out, ",\"data\":", err);
		if (code == 0)
			code = couch_append_slice(out, attachment->data, err);
		return code != 0 ? code : qosid_buf_append_byte(out, '}', err);
	}
	if (revpos < 1 || revpos > generation)
		revpos = generation;
	digest_format(digest, attachment->digest);
	return qosid_buf_append_format(out, err, ",\"digest\":\"%s\",\"length\":%lld,\"revpos\":%lld}", digest,
	    (long long)attachment->length, (long long)revpos);
}

static int format_attachments(const struct couch_document *document, struct qosid_buf *out, struct qosid_errbuf *err)
{
	int code = 0;

	for (size_t i = 0; code == 0 && i < document->attachment_count; i++) {
		code = qosid_buf_append_byte(out, i == 0 ? '{' : ',', err);
		if (code == 0)
			code = append_attachment(out, document, &document->attachments[i], err);
	}
	if (code == 0 && document->attachment_count > 0)
		code = qosid_buf_append_byte(out, '}', err);
	return code;
}

static int put_document(struct couch_session *session, struct couch_document *document, struct qosid_errbuf *err)
{
	const struct document *parsed = &document->parsed;
	const char *own[1] = {parsed->rev.hash};
	struct replica_revision revision = {
	    .id = couch_document_id(document),
	    .path = {.generation = parsed->rev.generation,
		.hashes = parsed->has_revisions ? parsed->revisions : own,
		.count = parsed->has_revisions ? parsed->revision_count : 1,
		.deleted = parsed->deleted},
	    .body = couch_slice(&parsed->body),
	    .user = session->user,
	    .time = couch_now(),
	    .pending = true,
	};
	int code = 0;

	for (size_t i = 0; code == 0 && i < document->attachment_count; i++)
		code = store_content(session, &document->attachments[i], err);
	qosid_buf_reset(&session->request);
	if (code == 0)
		code = format_attachments(document, &session->request, err);
	revision.attachments = couch_slice(&session->request);
	return code != 0 ? code : replica_put_revision(session->options->target.replica, &revision, NULL, err);
}

static bool breaks_a_rule(int code)
{
	return code == QOSID_ERR_INVALID || code == QOSID_ERR_LIMIT || code == QOSID_ERR_USAGE;
}

static int local_store(struct couch_session *session, size_t count, struct qosid_errbuf *err)
{
	struct replica *replica = session->options->target.replica;
	int64_t written = 0;
	int code = replica_begin(replica, err);

	if (code != 0)
		return code;
	for (size_t i = 0; code == 0 && i < count; i++) {
		struct couch_document *document = &session->batch.documents[i];
		struct qosid_errbuf reason = {0};

		code = put_document(session, document, &reason);
		if (code == 0) {
			written++;
		} else if (breaks_a_rule(code)) {
			char rev[REVISION_TEXT_SIZE];

			revision_format(rev, &document->parsed.rev);
			couch_refuse(session, couch_document_id(document), rev, &reason);
			code = 0;
		} else if (err != NULL) {
			*err = reason;
		}
	}
	if (code != 0) {
		replica_rollback(replica);
		return code;
	}
	code = replica_commit(replica, err);
	if (code == 0) {
		session->report->written += written;
		if (session->options->listener.committed != NULL)
			session->options->listener.committed(session->options->listener.context);
	}
	return code;
}

const struct couch_target couch_local_target = {
    .mark_wanted = local_mark_wanted,
    .find_attachment = local_find_attachment,
    .store = local_store,
};
