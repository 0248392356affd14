/*
 * validate_doc_update: may this be written? Every design document that has such a function is asked, and one that
 * throws {forbidden} or {unauthorized} keeps the document out. So does one that fails: what cannot be judged is not let
 * in.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/api/design.h"
#include "daemon/api/render.h"
#include "daemon/api/store.h"
#include "sync/replica/replica_query.h"

void validation_free(struct validation *validation)
{
	qosid_buf_free(&validation->ids);
	qosid_buf_free(&validation->context);
	*validation = (struct validation){0};
}

/* ---- which there are ---- */

struct listing {
	struct validation *validation;
};

static int note_design(void *context, const struct replica_record *record, struct qosid_errbuf *err)
{
	struct listing *listing = context;
	struct json_slice body = {(const char *)record->body.data, record->body.len}, value;

	if (body.len == 0 || !json_find(body, "validate_doc_update", &value) || json_slice_kind(value) != JSON_STRING)
		return 0;
	listing->validation->count++;
	/* With its NUL. */
	return qosid_buf_append(&listing->validation->ids, record->id.data, record->id.len + 1, err);
}

/* Read as the transaction sees them, so what this transaction writes is judged by what was there before it. */
static int load(
    struct validation *validation, struct http_call *call, struct api_database *database, struct qosid_errbuf *err)
{
	struct replica_page page = {.from = "_design/", .to = "_design0", .to_exclusive = true, .limit = -1};
	struct listing listing = {validation};
	struct qosid_buf security = {0};
	struct writer writer = {.err = err};
	int rc = replica_visit_page(database->replica, &page, note_design, &listing, err);

	if (rc == 0 && validation->count > 0) {
		rc = api_read_security(database, &security, err);
		writer_text(&writer, ",");
		design_write_user(&writer, call, database);
		writer_text(&writer, ",");
		writer_bytes(&writer, security.data, security.len);
		writer_text(&writer, "]");
		validation->context = writer.buf;
		if (rc == 0)
			rc = writer.rc;
	}
	qosid_buf_free(&security);
	validation->loaded = rc == 0;
	return rc;
}

/* ---- asking ---- */

static int refuse(struct json_slice answer, struct qosid_errbuf *err)
{
	static const char *const words[] = {"forbidden", "unauthorized"};
	struct qosid_buf text = {0};
	struct json_slice value;
	int rc = 0;

	for (size_t i = 0; i < 2 && json_slice_kind(answer) == JSON_OBJECT; i++) {
		if (!json_find(answer, words[i], &value))
			continue;
		if (json_slice_kind(value) == JSON_STRING)
			rc = json_string_decode(value, &text, err);
		else
			rc = qosid_buf_append(&text, value.text, value.len, err);
		if (rc == 0) {
			(void)qosid_error(err, QOSID_ERR_REFUSED, "%s", text.data ? (const char *)text.data : "");
			rc = qosid_error_within(err, "%s", words[i]);
		}
		qosid_buf_free(&text);
		return rc;
	}
	(void)qosid_error(err, QOSID_ERR_FAILED, "%.*s", answer.len > 400 ? 400 : (int)answer.len, answer.text);
	return qosid_error_within(err, "unknown_error");
}

/* Attachments without their contents, as functions see them. */
static void write_stubs(struct writer *writer, struct json_slice all)
{
	static const char *const members[] = {"content_type", "digest", "length", "revpos"};
	struct json_slice name, object, value;
	size_t position = 0, count = 0;

	writer_text(writer, "{");
	while (json_next(all, &position, &name, &object)) {
		writer_text(writer, count++ > 0 ? "," : "");
		writer_slice(writer, name);
		writer_text(writer, ":{\"stub\":true");
		for (size_t i = 0; json_slice_kind(object) == JSON_OBJECT && i < 4; i++) {
			if (!json_find(object, members[i], &value))
				continue;
			writer_format(writer, ",\"%s\":", members[i]);
			writer_slice(writer, value);
		}
		writer_text(writer, "}");
	}
	writer_text(writer, "}");
}

/* The document that is about to be written, with the revision it was sent with. */
static int format_new(const struct store *store, const struct revision *parent, bool replicated, struct qosid_buf *out,
    struct qosid_errbuf *err)
{
	const struct document *document = &store->document;
	const struct revision *rev = replicated ? &document->rev : parent;
	const char *own[1] = {rev ? rev->hash : NULL};
	struct writer attachments = {.err = err};
	struct document_head head = {
	    .id = (const char *)document->id.data,
	    .rev = rev,
	    .deleted = document->deleted,
	    .revisions = rev ? own : NULL,
	    .revision_count = rev ? 1 : 0,
	};
	int rc;

	if (replicated && document->has_revisions) {
		head.revisions = document->revisions;
		head.revision_count = document->revision_count;
	}
	if (document->attachments.len > 0) {
		write_stubs(&attachments, document->attachments);
		head.attachments = (struct json_slice){(const char *)attachments.buf.data, attachments.buf.len};
	}
	rc = attachments.rc;
	if (rc == 0)
		rc = document_render(
		    out, &head, (struct json_slice){(const char *)document->body.data, document->body.len}, err);
	qosid_buf_free(&attachments.buf);
	return rc;
}

/* The nearest ancestor that is stored, of a revision made elsewhere. */
static int find_ancestor(struct store *store, struct replica_record *old, bool *found, struct qosid_errbuf *err)
{
	const struct document *document = &store->document;
	struct revision rev;
	int rc = 0;

	*found = false;
	for (size_t i = 1; rc == 0 && !*found && document->has_revisions && i < document->revision_count; i++) {
		rev = (struct revision){.generation = document->revisions_start - (uint32_t)i};
		(void)snprintf(rev.hash, sizeof(rev.hash), "%s", document->revisions[i]);
		rc = replica_read_document(store->database->replica, (const char *)document->id.data, &rev, old, err);
		*found = rc == 0;
		if (rc == QOSID_ERR_NOTFOUND)
			rc = 0;
	}
	return rc;
}

/* What the write replaces. *wanted: whether there is anything to ask; what is here already, or will be a conflict, is
 * not judged. */
static int find_old(struct store *store, const struct revision *parent, bool replicated, struct replica_record *old,
    bool *found, bool *wanted, struct qosid_errbuf *err)
{
	struct replica *replica = store->database->replica;
	const char *id = (const char *)store->document.id.data;
	struct replica_record head = {0};
	enum revtree_presence status;
	int rc = replica_read_head(replica, id, &head, err);

	*found = false;
	*wanted = true;
	if (rc == QOSID_ERR_NOTFOUND) {
		qosid_error_clear(err);
		return 0;
	}
	if (rc == 0 && replicated) {
		*wanted = revtree_find(head.tree, &store->document.rev, NULL) == REVTREE_ABSENT;
		if (*wanted)
			rc = find_ancestor(store, old, found, err);
	} else if (rc == 0) {
		status = parent ? revtree_find(head.tree, parent, NULL) : REVTREE_LEAF;
		*wanted = parent ? status == REVTREE_LEAF : head.deleted;
		if (*wanted)
			rc = replica_read_document(replica, id, parent ? parent : &head.rev, old, err);
		*found = *wanted && rc == 0;
		if (rc == QOSID_ERR_NOTFOUND)
			rc = 0;
	}
	replica_record_free(&head);
	return rc;
}

/* Ask every design document that validates. */
static int ask(struct validation *validation, struct api_database *database, struct json_slice object,
    const struct replica_record *old, struct qosid_errbuf *err)
{
	struct render render = {.revs = true};
	struct writer arguments = {.err = err};
	struct qosid_buf text = {0};
	struct json_slice answer;
	int rc;

	writer_text(&arguments, "[");
	writer_slice(&arguments, object);
	writer_text(&arguments, ",");
	if (old)
		render_document(&arguments, database, old, &render);
	else
		writer_text(&arguments, "null");
	writer_bytes(&arguments, validation->context.data, validation->context.len);
	rc = arguments.rc;
	for (const char *at = (const char *)validation->ids.data;
	     rc == 0 && at < (const char *)validation->ids.data + validation->ids.len; at += strlen(at) + 1) {
		qosid_buf_reset(&text);
		rc = design_call(database, at, "[\"validate_doc_update\"]",
		    (struct json_slice){(const char *)arguments.buf.data, arguments.buf.len}, &text, &answer, err);
		/* A design document that this transaction has deleted. */
		if (rc == QOSID_ERR_NOTFOUND)
			rc = 0;
		else if (rc == 0 && !(answer.len == 1 && answer.text[0] == '1'))
			rc = refuse(answer, err);
	}
	qosid_buf_wipe(&arguments.buf);
	qosid_buf_wipe(&text);
	return rc;
}

int design_validate(struct store *store, const struct revision *parent, bool replicated, struct qosid_errbuf *err)
{
	const char *id = (const char *)store->document.id.data;
	struct replica_record old = {0};
	struct qosid_buf text = {0};
	bool found, wanted;
	int rc = 0;

	if (id[0] == '_') {
		const struct qosid_buf *body = &store->document.body;

		return strncmp(id, "_design/", 8) != 0 || replicated || store->document.deleted
			   ? 0
			   : design_check(
				 store->database, (struct json_slice){(const char *)body->data, body->len}, err);
	}
	if (!store->validation.loaded)
		rc = load(&store->validation, store->call, store->database, err);
	if (rc != 0 || store->validation.count == 0)
		return rc;
	rc = find_old(store, parent, replicated, &old, &found, &wanted, err);
	if (rc == 0 && wanted)
		rc = format_new(store, parent, replicated, &text, err);
	if (rc == 0 && wanted)
		rc = ask(&store->validation, store->database, (struct json_slice){(const char *)text.data, text.len},
		    found ? &old : NULL, err);
	replica_record_free(&old);
	qosid_buf_wipe(&text);
	return rc;
}
