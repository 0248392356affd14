/*
 * What is on its way between two ends: changes, documents, and attachments in an unlinked file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sync/couch/couch_internal.h"

#define DEFAULT_SCRATCH "/var/tmp"

int couch_append_slice(struct qosid_buf *out, struct json_slice slice, struct qosid_errbuf *err)
{
	return qosid_buf_append(out, slice.text, slice.len, err);
}

int64_t couch_now(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		return 0;
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Room for one more in an array that doubles; new places are zeroed. */
static int grow(void *array, size_t count, size_t *capacity, size_t size, struct qosid_errbuf *err)
{
	void **at = array;
	size_t wanted = *capacity != 0 ? *capacity * 2 : 16;
	void *grown;

	if (count < *capacity)
		return 0;
	grown = reallocarray(*at, wanted, size);
	if (grown == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	memset((char *)grown + *capacity * size, 0, (wanted - *capacity) * size);
	*at = grown;
	*capacity = wanted;
	return 0;
}

/* ---- changes ---- */

void couch_changes_reset(struct couch_changes *changes)
{
	qosid_buf_reset(&changes->text);
	qosid_buf_reset(&changes->last);
	changes->row_count = 0;
	changes->rev_count = 0;
	changes->more = false;
}

void couch_changes_free(struct couch_changes *changes)
{
	qosid_buf_free(&changes->text);
	qosid_buf_free(&changes->last);
	free(changes->rows);
	free(changes->revs);
	*changes = (struct couch_changes){0};
}

/* Append a string and its NUL; *offset is where. */
static int add_text(
    struct couch_changes *changes, const char *text, size_t len, size_t *offset, struct qosid_errbuf *err)
{
	int code;

	if (len > 0 && memchr(text, '\0', len) != NULL)
		return qosid_error(err, QOSID_ERR_INVALID, "a NUL character in the changes");
	*offset = changes->text.len;
	code = qosid_buf_append(&changes->text, text, len, err);
	return code != 0 ? code : qosid_buf_append_byte(&changes->text, '\0', err);
}

int couch_changes_add_row(struct couch_changes *changes, const char *id, size_t len, struct qosid_errbuf *err)
{
	struct couch_row row = {.first = changes->rev_count};
	int code = grow(&changes->rows, changes->row_count, &changes->row_capacity, sizeof(*changes->rows), err);

	if (code == 0)
		code = add_text(changes, id, len, &row.id, err);
	if (code == 0)
		changes->rows[changes->row_count++] = row;
	return code;
}

int couch_changes_add_rev(struct couch_changes *changes, const char *rev, size_t len, struct qosid_errbuf *err)
{
	struct couch_rev added = {.row = changes->row_count - 1};
	int code = grow(&changes->revs, changes->rev_count, &changes->rev_capacity, sizeof(*changes->revs), err);

	if (code == 0)
		code = add_text(changes, rev, len, &added.text, err);
	if (code != 0)
		return code;
	changes->revs[changes->rev_count++] = added;
	changes->rows[changes->row_count - 1].count++;
	return 0;
}

/* ---- spool ---- */

static int open_spool(struct couch_spool *spool, struct qosid_errbuf *err)
{
	const char *folder = spool->folder != NULL ? spool->folder : DEFAULT_SCRATCH;
	char path[4096];

	spool->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (spool->fd >= 0)
		return 0;
	/* Not every file system has nameless files. */
	if (snprintf(path, sizeof(path), "%s/.qosid-XXXXXX", folder) >= (int)sizeof(path))
		return qosid_error(err, QOSID_ERR_LIMIT, "the path of the folder %s is too long", folder);
	spool->fd = mkostemp(path, O_CLOEXEC);
	if (spool->fd < 0)
		return qosid_error_errno(err, errno, "cannot make a file for attachments in %s", folder);
	if (unlink(path) != 0)
		return qosid_error_errno(err, errno, "cannot unlink %s", path);
	return 0;
}

int couch_spool_write(struct couch_spool *spool, const void *data, size_t len, struct qosid_errbuf *err)
{
	const char *bytes = data;

	if (spool->fd < 0 && open_spool(spool, err) != 0)
		return err != NULL ? err->code : QOSID_ERR_IO;
	while (len > 0) {
		ssize_t n = pwrite(spool->fd, bytes, len, (off_t)spool->used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return qosid_error_errno(err, errno, "cannot keep an attachment on its way");
		spool->used += (uint64_t)n;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

int couch_spool_read(const struct couch_spool *spool, uint64_t offset, uint64_t len, const struct qosid_sink *sink,
    struct qosid_errbuf *err)
{
	char piece[16384];

	while (len > 0) {
		size_t wanted = len < sizeof(piece) ? (size_t)len : sizeof(piece);
		ssize_t n = pread(spool->fd, piece, wanted, (off_t)offset);
		int code;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return qosid_error_errno(err, errno, "cannot read an attachment on its way");
		if (n == 0)
			return qosid_error(err, QOSID_ERR_IO, "an attachment on its way has been cut off");
		code = sink->write(sink->context, piece, (size_t)n, err);
		if (code != 0)
			return code;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

int couch_spool_cut(struct couch_spool *spool, uint64_t used, struct qosid_errbuf *err)
{
	spool->used = used;
	if (spool->fd >= 0 && ftruncate(spool->fd, (off_t)used) != 0)
		return qosid_error_errno(err, errno, "cannot cut the file of attachments");
	return 0;
}

void couch_spool_close(struct couch_spool *spool)
{
	if (spool->fd >= 0)
		(void)close(spool->fd); /* it has no name: nothing is lost */
	spool->fd = -1;
}

/* ---- documents ---- */

static void free_document(struct couch_document *document)
{
	qosid_buf_wipe(&document->text);
	document_free(&document->parsed);
	free(document->attachments);
	*document = (struct couch_document){0};
}

/* A document's memory is kept for the next one, but not that of a large one. */
static void reset_document(struct couch_document *document)
{
	free(document->attachments);
	document->attachments = NULL;
	document->attachment_count = 0;
	if (document->text.cap > COUCH_INLINE_BYTES)
		free_document(document);
	else
		qosid_buf_reset(&document->text);
}

void couch_batch_reset(struct couch_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		reset_document(&batch->documents[i]);
	batch->count = 0;
	batch->bytes = 0;
}

void couch_batch_free(struct couch_batch *batch)
{
	for (size_t i = 0; i < batch->capacity; i++)
		free_document(&batch->documents[i]);
	free(batch->documents);
	*batch = (struct couch_batch){0};
}

static int take_number(
    struct json_slice object, const char *name, unsigned long long max, int64_t *out, struct qosid_errbuf *err)
{
	struct json_slice value;
	unsigned long long number;
	int code;

	if (!json_find(object, name, &value))
		return 0;
	code = json_parse_unsigned(value, max, &number, err);
	if (code != 0)
		return qosid_error_within(err, "attachment member \"%s\"", name), code;
	*out = (int64_t)number;
	return 0;
}

static int take_attachment(
    struct couch_attachment *out, struct json_slice name, struct json_slice object, struct qosid_errbuf *err)
{
	struct json_slice value;
	int code;

	*out = (struct couch_attachment){.name = name, .length = -1};
	if (json_slice_kind(object) != JSON_OBJECT)
		return qosid_error(err, QOSID_ERR_INVALID, "an attachment is not an object");
	if (json_find(object, "content_type", &value)) {
		if (json_slice_kind(value) != JSON_STRING)
			return qosid_error(err, QOSID_ERR_INVALID, "an attachment's content_type is not a string");
		out->content_type = value;
	}
	if (json_find(object, "data", &value)) {
		if (json_slice_kind(value) != JSON_STRING)
			return qosid_error(err, QOSID_ERR_INVALID, "an attachment's data is not a string");
		out->data = value;
	}
	code = take_number(object, "length", LIMIT_ATTACHMENT_BYTES, &out->length, err);
	if (code == 0)
		code = take_number(object, "revpos", UINT32_MAX, &out->revpos, err);
	return code;
}

static int take_attachments(struct couch_document *document, struct qosid_errbuf *err)
{
	struct json_slice list = document->parsed.attachments, name, object;
	size_t position = 0, count = 0;
	int code = 0;

	if (list.len == 0)
		return 0;
	if (json_slice_kind(list) != JSON_OBJECT)
		return qosid_error(err, QOSID_ERR_INVALID, "_attachments is not an object");
	while (json_next(list, &position, &name, &object))
		count++;
	if (count == 0)
		return 0;
	document->attachments = calloc(count, sizeof(*document->attachments));
	if (document->attachments == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	position = 0;
	while (code == 0 && json_next(list, &position, &name, &object))
		code = take_attachment(&document->attachments[document->attachment_count++], name, object, err);
	return code;
}

int couch_batch_add(struct couch_batch *batch, struct json_slice text, struct qosid_errbuf *err)
{
	struct couch_document *document;
	int code = grow(&batch->documents, batch->count, &batch->capacity, sizeof(*batch->documents), err);

	if (code != 0)
		return code;
	document = &batch->documents[batch->count];
	code = couch_append_slice(&document->text, text, err);
	if (code == 0)
		code = document_parse(&document->parsed, (const char *)document->text.data, document->text.len, err);
	if (code == 0 && (document->parsed.id.len == 0 || !document->parsed.has_rev))
		code = qosid_error(err, QOSID_ERR_INVALID, "a document without _id or _rev");
	if (code == 0 && strncmp((const char *)document->parsed.id.data, "_local/", 7) == 0)
		code = qosid_error(err, QOSID_ERR_INVALID, "a local document among those to replicate");
	if (code == 0)
		code = take_attachments(document, err);
	if (code != 0) {
		reset_document(document);
		return code;
	}
	batch->count++;
	batch->bytes += text.len;
	return 0;
}

const char *couch_document_id(const struct couch_document *document)
{
	return (const char *)document->parsed.id.data;
}

int couch_append_attachment_head(
    struct qosid_buf *out, const struct couch_attachment *attachment, struct qosid_errbuf *err)
{
	static const char unknown[] = "\"application/octet-stream\"";
	struct json_slice type = attachment->content_type;
	int code = couch_append_slice(out, attachment->name, err);

	if (type.len == 0)
		type = (struct json_slice){unknown, sizeof(unknown) - 1};
	if (code == 0)
		code = qosid_buf_append_text(out, ":{\"content_type\":", err);
	return code != 0 ? code : couch_append_slice(out, type, err);
}

int couch_render(const struct couch_document *document, const struct qosid_buf *attachments, struct qosid_buf *out,
    struct qosid_errbuf *err)
{
	const struct document *parsed = &document->parsed;
	struct document_head head = {
	    .id = couch_document_id(document),
	    .rev = &parsed->rev,
	    .deleted = parsed->deleted,
	    .attachments = couch_slice(attachments),
	};
	const char *const own[1] = {parsed->rev.hash};

	head.revisions = parsed->has_revisions ? parsed->revisions : own;
	head.revision_count = parsed->has_revisions ? parsed->revision_count : 1;
	return document_render(out, &head, couch_slice(&parsed->body), err);
}

int couch_read_content(struct couch_session *session, const struct couch_attachment *attachment, uint64_t offset,
    uint64_t len, const struct qosid_sink *sink, struct qosid_errbuf *err)
{
	if (attachment->place == CONTENT_IN_SPOOL)
		return couch_spool_read(&session->spool, attachment->offset + offset, len, sink, err);
	return session->source->read_attachment(session, attachment, offset, len, sink, err);
}
