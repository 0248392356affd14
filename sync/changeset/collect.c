/*
 * From the replica into a payload: which revisions, with which ancestry, with which attachments inside.
 *
 * Each line carries the revision's whole ancestry, as far as the replica keeps it (LIMIT_REVISIONS). A cut at the
 * parent would do once all logs are there, because paths join where they overlap; but until then, and for as long as
 * another office's log is late or stopped by a finding, a receiver would show conflicts that nobody made. Measured with
 * documents of 1 KB: an ancestor costs 35 bytes of plaintext, about 20 bytes in git on the first line of a document in
 * a change set, and about 2 on each line after it, which zstd finds repeated.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sink.h"
#include "sync/changeset/changeset.h"
#include "sync/limits.h"
#include "sync/replica/json.h"

#define STOP 1 /* from the visitor: the payload has grown to its target */
#define LINE_SPARE ((size_t)LIMIT_DOCUMENT_BYTES + (1u << 20)) /* of a line, for all that is not inline attachments */

struct collector {
	struct replica *replica;
	const struct changeset_header *header;
	const char *recipient;
	const struct changeset_packing *packing;
	struct changeset_batch *batch;
	struct changeset_encoder *encoder; /* NULL until there is something to write */
	const char *hashes[LIMIT_REVISIONS];
	char hash_text[LIMIT_REVISIONS][LIMIT_REVISION_HASH_BYTES + 1]; /* what hashes points to */
	size_t hash_count;
	size_t inline_bytes; /* in the line being made */
	struct qosid_buf attachments;
	struct qosid_buf content;
	struct qosid_buf doc;
};

static bool has_digest(uint8_t (*list)[DIGEST_BYTES], size_t count, const uint8_t digest[DIGEST_BYTES])
{
	for (size_t i = 0; i < count; i++) {
		if (memcmp(list[i], digest, DIGEST_BYTES) == 0)
			return true;
	}
	return false;
}

static int add_digest(
    uint8_t (**list)[DIGEST_BYTES], size_t *count, const uint8_t digest[DIGEST_BYTES], struct qosid_errbuf *err)
{
	uint8_t(*grown)[DIGEST_BYTES] = reallocarray(*list, *count + 1, DIGEST_BYTES);

	if (grown == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for %zu attachments", *count + 1);
	memcpy(grown[*count], digest, DIGEST_BYTES);
	*list = grown;
	(*count)++;
	return 0;
}

/* ---- attachments ---- */

enum carriage { AS_STUB, AS_DATA, AS_FILE };

static int choose_carriage(
    struct collector *collector, const uint8_t digest[DIGEST_BYTES], enum carriage *carriage, struct qosid_errbuf *err)
{
	struct changeset_batch *batch = collector->batch;
	bool published, found;
	int64_t length = 0;
	int rc = attachment_is_published(collector->replica, digest, &published, err);

	if (rc == 0)
		rc = attachment_find(collector->replica, digest, &found, &length, err);
	if (rc != 0)
		return rc;
	*carriage = AS_STUB;
	if (published || !found || has_digest(batch->inlined, batch->inlined_count, digest) ||
	    has_digest(batch->files, batch->file_count, digest))
		return 0;
	*carriage = AS_FILE;
	/* What is empty has no part in a files log. */
	if (length <= LIMIT_ATTACHMENT_INLINE_BYTES &&
	    (length == 0 || collector->packing == NULL || collector->packing->inline_max == 0 ||
		length <= (int64_t)collector->packing->inline_max)) {
		size_t encoded = sodium_base64_ENCODED_LEN((size_t)length, sodium_base64_VARIANT_ORIGINAL);
		if (collector->inline_bytes + encoded <= LIMIT_LINE_BYTES - LINE_SPARE)
			*carriage = AS_DATA;
	}
	return 0;
}

/* Append ,"data":"<base64>". */
static int append_data(struct collector *collector, const uint8_t digest[DIGEST_BYTES], struct qosid_errbuf *err)
{
	struct qosid_buf *out = &collector->attachments, *content = &collector->content;
	struct qosid_buf_sink target = {content, LIMIT_ATTACHMENT_INLINE_BYTES};
	struct qosid_sink sink = qosid_sink_to_buf(&target);
	size_t encoded;
	int rc;

	qosid_buf_reset(content);
	rc = attachment_read(collector->replica, digest, 0, -1, &sink, err);
	if (rc == 0)
		rc = qosid_buf_append_text(out, ",\"data\":\"", err);
	encoded = sodium_base64_ENCODED_LEN(content->len, sodium_base64_VARIANT_ORIGINAL);
	if (rc == 0)
		rc = qosid_buf_reserve(out, encoded, err);
	if (rc != 0)
		return rc;
	if (content->len > 0)
		(void)sodium_bin2base64((char *)out->data + out->len, encoded, content->data, content->len,
		    sodium_base64_VARIANT_ORIGINAL); /* returns its first argument */
	out->len += encoded - 1;                     /* encoded counts the NUL */
	collector->inline_bytes += encoded;
	return qosid_buf_append_byte(out, '"', err);
}

/* Append "name":{stored members,"stub":true} or "name":{stored members,"data":".."}. */
static int append_attachment(
    struct collector *collector, struct json_slice name, struct json_slice stored, struct qosid_errbuf *err)
{
	struct changeset_batch *batch = collector->batch;
	struct qosid_buf *out = &collector->attachments;
	uint8_t digest[DIGEST_BYTES];
	enum carriage carriage;
	struct json_slice text;
	int rc;

	if (!json_find(stored, "digest", &text) || text.len < 2 ||
	    digest_parse(digest, text.text + 1, text.len - 2, NULL) != 0)
		return qosid_error(err, QOSID_ERR_CORRUPT, "an attachment has no digest");
	rc = choose_carriage(collector, digest, &carriage, err);
	if (rc == 0 && out->len > 1)
		rc = qosid_buf_append_byte(out, ',', err);
	if (rc == 0)
		rc = qosid_buf_append(out, name.text, name.len, err);
	if (rc == 0)
		rc = qosid_buf_append_byte(out, ':', err);
	if (rc == 0)
		rc = qosid_buf_append(out, stored.text, stored.len - 1, err);
	if (rc == 0 && carriage == AS_DATA)
		rc = append_data(collector, digest, err);
	else if (rc == 0)
		rc = qosid_buf_append_text(out, ",\"stub\":true", err);
	if (rc == 0)
		rc = qosid_buf_append_byte(out, '}', err);
	if (rc == 0 && carriage == AS_DATA)
		rc = add_digest(&batch->inlined, &batch->inlined_count, digest, err);
	if (rc == 0 && carriage == AS_FILE)
		rc = add_digest(&batch->files, &batch->file_count, digest, err);
	return rc;
}

static int append_attachments(
    struct collector *collector, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct json_slice stored = {(const char *)record->attachments.data, record->attachments.len};
	struct json_slice name, value;
	size_t position = 0;
	int rc;

	qosid_buf_reset(&collector->attachments);
	collector->inline_bytes = 0;
	if (stored.len == 0)
		return 0;
	rc = qosid_buf_append_byte(&collector->attachments, '{', err);
	while (rc == 0 && json_next(stored, &position, &name, &value))
		rc = append_attachment(collector, name, value, err);
	return rc != 0 ? rc : qosid_buf_append_byte(&collector->attachments, '}', err);
}

/* ---- revisions ---- */

static bool take_hash(void *context, uint32_t generation, const char *hash)
{
	struct collector *collector = context;

	(void)generation; /* they come in order, each one less than the one before */
	(void)snprintf(collector->hash_text[collector->hash_count], sizeof(collector->hash_text[0]), "%s", hash);
	collector->hashes[collector->hash_count] = collector->hash_text[collector->hash_count];
	collector->hash_count++;
	return collector->hash_count < LIMIT_REVISIONS;
}

static int note_published(struct changeset_batch *batch, const struct replica_record *record, struct qosid_errbuf *err)
{
	char rev[REVISION_TEXT_SIZE];
	int rc;

	revision_format(rev, &record->rev);
	rc = qosid_buf_append(&batch->published, rev, strlen(rev) + 1, err);
	if (rc == 0)
		rc = qosid_buf_append(&batch->published, record->id.data, record->id.len + 1, err);
	if (rc == 0)
		batch->revisions++;
	return rc;
}

static int add_record(struct collector *collector, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct document_head head = {
	    .id = (const char *)record->id.data, .rev = &record->rev, .deleted = record->deleted};
	struct json_slice body = {(const char *)record->body.data, record->body.len};
	int rc = append_attachments(collector, record, err);

	if (rc != 0)
		return rc;
	collector->hash_count = 0;
	if (revtree_walk_path(record->tree, &record->rev, take_hash, collector) == 0)
		return qosid_error(err, QOSID_ERR_CORRUPT, "a pending revision is not in its document's tree");
	head.revisions = collector->hashes;
	head.revision_count = collector->hash_count;
	head.attachments = (struct json_slice){(const char *)collector->attachments.data, collector->attachments.len};
	qosid_buf_reset(&collector->doc);
	rc = document_render(&collector->doc, &head, body, err);
	if (rc == 0)
		rc = changeset_encoder_add(collector->encoder, record->time,
		    record->user.len == 0 ? "" : (const char *)record->user.data, collector->doc.data,
		    collector->doc.len, err);
	return rc != 0 ? rc : note_published(collector->batch, record, err);
}

static int begin_payload(struct collector *collector, struct qosid_errbuf *err)
{
	return changeset_encoder_open(&collector->encoder, collector->header, collector->recipient, collector->packing,
	    &collector->batch->payload, err);
}

static int collect_record(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct collector *collector = context;
	int rc = 0;

	if (collector->encoder == NULL)
		rc = begin_payload(collector, err);
	else if (changeset_encoder_bytes(collector->encoder) >= LIMIT_CHANGESET_TARGET_BYTES ||
		 changeset_encoder_lines(collector->encoder) >= LIMIT_CHANGESET_TARGET_LINES)
		return STOP;
	if (rc == 0)
		rc = add_record(collector, record, err);
	if (rc != 0)
		(void)qosid_error_within(err, "document %.200s", (const char *)record->id.data);
	return rc;
}

/* ---- the published list: rev NUL id NUL, again and again ---- */

static bool next_published(const struct qosid_buf *list, size_t *position, const char **rev, const char **id)
{
	if (*position >= list->len)
		return false;
	*rev = (const char *)list->data + *position;
	*id = *rev + strlen(*rev) + 1;
	*position = (size_t)(*id + strlen(*id) + 1 - (const char *)list->data);
	return true;
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int count_documents(struct changeset_batch *batch, struct qosid_errbuf *err)
{
	const char **ids = calloc(batch->revisions + 1, sizeof(*ids));
	size_t position = 0, count = 0;
	const char *rev;

	if (ids == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for %zu ids", batch->revisions);
	while (count < batch->revisions && next_published(&batch->published, &position, &rev, &ids[count]))
		count++;
	qsort(ids, count, sizeof(*ids), compare_ids);
	batch->documents = 0;
	for (size_t i = 0; i < count; i++)
		batch->documents += i == 0 || strcmp(ids[i], ids[i - 1]) != 0;
	free(ids);
	return 0;
}

void changeset_batch_free(struct changeset_batch *batch)
{
	qosid_buf_free(&batch->payload);
	qosid_buf_free(&batch->published);
	free(batch->files);
	free(batch->inlined);
	*batch = (struct changeset_batch){0};
}

/* Run a visit of the replica into a batch: of what is carried when after is given, else of what is pending. */
static int collect(struct replica *replica, const struct changeset_header *header, const char *recipient,
    const struct changeset_packing *packing, struct replica_carried *after, struct changeset_batch *batch,
    struct qosid_errbuf *err)
{
	struct collector *collector = calloc(1, sizeof(*collector));
	int rc = 0;

	if (collector == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory to collect changes");
	changeset_batch_free(batch);
	*collector = (struct collector){
	    .replica = replica, .header = header, .recipient = recipient, .packing = packing, .batch = batch};
	if (after != NULL && (rc = begin_payload(collector, err)) == 0)
		rc = replica_visit_carried(replica, after, collect_record, collector, err);
	else if (after == NULL)
		rc = replica_visit_pending(replica, collect_record, collector, err);
	if (rc == STOP)
		rc = 0;
	if (rc == 0 && collector->encoder != NULL)
		rc = changeset_encoder_finish(collector->encoder, err);
	if (rc == 0)
		rc = count_documents(batch, err);
	if (rc != 0)
		changeset_batch_free(batch);
	changeset_encoder_free(collector->encoder);
	qosid_buf_wipe(&collector->attachments);
	qosid_buf_wipe(&collector->content);
	qosid_buf_wipe(&collector->doc);
	free(collector);
	return rc;
}

int changeset_collect(struct replica *replica, const struct changeset_header *header, const char *recipient,
    const struct changeset_packing *packing, struct changeset_batch *batch, struct qosid_errbuf *err)
{
	return collect(replica, header, recipient, packing, NULL, batch, err);
}

int changeset_collect_snapshot(struct replica *replica, const struct changeset_header *header, const char *recipient,
    const struct changeset_packing *packing, struct replica_carried *after, struct changeset_batch *batch,
    struct qosid_errbuf *err)
{
	return collect(replica, header, recipient, packing, after, batch, err);
}

int changeset_mark_published(struct replica *replica, const struct changeset_batch *batch, struct qosid_errbuf *err)
{
	struct revision revision;
	const char *rev, *id;
	size_t position = 0;
	int rc = 0;

	while (rc == 0 && next_published(&batch->published, &position, &rev, &id)) {
		rc = revision_parse(&revision, rev, strlen(rev), err);
		if (rc == 0)
			rc = replica_clear_pending(replica, id, &revision, err);
	}
	for (size_t i = 0; rc == 0 && i < batch->inlined_count; i++)
		rc = attachment_set_published(replica, batch->inlined[i], err);
	for (size_t i = 0; rc == 0 && i < batch->file_count; i++)
		rc = attachment_set_filed(replica, batch->files[i], err);
	return rc;
}
