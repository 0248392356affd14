/*
 * The loop of a replication: changes, what is missing, documents, attachments, checkpoint; and for a continuous one,
 * patience.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/couch/couch_internal.h"

#define DEFAULT_CHANGES 500
#define DEFAULT_DOCUMENTS 100
#define CHANGES_MAX 10000
#define PATIENCE_MIN_MS 1000 /* between attempts of a continuous one */
#define PATIENCE_MAX_MS 300000
#define LISTEN_MIN_MS 1000 /* a peer that answers a longpoll at once with nothing */

void couch_report_free(struct couch_report *report)
{
	qosid_buf_free(&report->since);
	qosid_buf_free(&report->through);
	qosid_buf_free(&report->history);
	*report = (struct couch_report){0};
}

void couch_refuse(struct couch_session *session, const char *id, const char *rev, const struct qosid_errbuf *reason)
{
	const struct couch_listener *listener = &session->options->listener;

	session->report->failed++;
	if (listener->refused != NULL)
		listener->refused(listener->context, id, rev, reason);
}

/* ---- a batch ---- */

/* Bring what a document needs. *ready: it can be stored; otherwise it has been counted as refused or waiting. */
static int load_attachments(
    struct couch_session *session, struct couch_document *document, bool *ready, struct qosid_errbuf *err)
{
	uint64_t used = session->spool.used;
	struct qosid_errbuf reason = {0};
	char rev[REVISION_TEXT_SIZE];
	int code = 0;

	*ready = true;
	for (size_t i = 0; code == 0 && i < document->attachment_count; i++) {
		struct couch_attachment *attachment = &document->attachments[i];

		if (attachment->data.len > 0)
			continue;
		if (session->target->find_attachment != NULL)
			code = session->target->find_attachment(session, document, attachment, &reason);
		if (code == 0 && attachment->place == CONTENT_NOWHERE)
			code = session->source->load_attachment(session, document, attachment, &reason);
		if (code == 0 && attachment->place == CONTENT_NOWHERE) {
			*ready = false;
			session->report->waiting++;
			break;
		}
	}
	if (code == QOSID_ERR_INVALID || code == QOSID_ERR_LIMIT) {
		revision_format(rev, &document->parsed.rev);
		couch_refuse(session, couch_document_id(document), rev, &reason);
		*ready = false;
		code = 0;
	} else if (code != 0 && err != NULL) {
		*err = reason;
	}
	if (code == 0 && !*ready && session->spool.used != used)
		code = couch_spool_cut(&session->spool, used, err);
	return code;
}

static int flush(struct couch_session *session, size_t *ready, struct qosid_errbuf *err)
{
	int code = 0;

	if (*ready > 0)
		code = session->target->store(session, *ready, err);
	*ready = 0;
	if (code == 0 && session->spool.used > 0)
		code = couch_spool_cut(&session->spool, 0, err);
	return code;
}

/* Store the documents of session->batch, in as many steps as their attachments ask for. */
static int store_documents(struct couch_session *session, struct json_slice since, struct qosid_errbuf *err)
{
	struct couch_batch *batch = &session->batch;
	size_t ready = 0;
	int code = 0;

	for (size_t i = 0; code == 0 && i < batch->count; i++) {
		int64_t waiting = session->report->waiting;
		bool fit;

		if (couch_is_cancelled(session->options->cancel))
			return couch_cancelled_error(err);
		code = load_attachments(session, &batch->documents[i], &fit, err);
		if (code == 0 && session->report->waiting != waiting && session->held.len == 0)
			code = couch_append_slice(&session->held, since, err);
		if (code != 0 || !fit)
			continue;
		if (ready != i) {
			struct couch_document moved = batch->documents[ready];

			batch->documents[ready] = batch->documents[i];
			batch->documents[i] = moved;
		}
		ready++;
		if (session->spool.used >= COUCH_SPOOL_BYTES)
			code = flush(session, &ready, err);
	}
	return code != 0 ? code : flush(session, &ready, err);
}

/* Everything that session->changes says the target lacks. */
static int transfer(struct couch_session *session, struct json_slice since, struct qosid_errbuf *err)
{
	struct couch_report *report = session->report;
	const struct couch_changes *changes = &session->changes;
	const struct couch_listener *listener = &session->options->listener;
	size_t cursor = 0;
	int code = session->target->mark_wanted(session, err);

	report->checked += (int64_t)changes->rev_count;
	for (size_t i = 0; code == 0 && i < changes->rev_count; i++)
		report->missing += changes->revs[i].wanted;
	session->documents_at_once = session->options->documents_batch;
	while (code == 0 && cursor < changes->rev_count) {
		if (couch_is_cancelled(session->options->cancel))
			return couch_cancelled_error(err);
		couch_batch_reset(&session->batch);
		code = session->source->read_documents(session, &cursor, err);
		if (code == 0)
			code = store_documents(session, since, err);
		if (code == 0 && listener->progress != NULL)
			listener->progress(listener->context, report);
	}
	couch_batch_reset(&session->batch);
	return code;
}

/* Note how far it has come, unless something before it still waits. */
static int note(struct couch_session *session, struct json_slice since, struct qosid_errbuf *err)
{
	struct qosid_buf *through = &session->report->through;
	int code = 0;

	if (session->held.len > 0)
		since = couch_slice(&session->held);
	if (through->len == since.len && memcmp(through->data, since.text, since.len) == 0)
		return 0;
	if (session->target->commit != NULL && session->report->written > 0)
		code = session->target->commit(session, err);
	qosid_buf_reset(through);
	if (code == 0)
		code = couch_append_slice(through, since, err);
	if (code == 0)
		code = couch_checkpoint_write(session, err);
	if (code == 0)
		session->report->changed = true;
	return code;
}

/* ---- a run, as long as the connection holds ---- */

static int begin(struct couch_session *session, struct qosid_buf *since, struct qosid_errbuf *err)
{
	const struct couch_options *options = session->options;
	struct couch_report *report = session->report;
	uint8_t random[16];
	int code = 0;

	if (session->source_http != NULL)
		code = couch_remote_prepare(session, session->source_http, false, err);
	if (code == 0 && session->target_http != NULL)
		code = couch_remote_prepare(session, session->target_http, options->create_target, err);
	if (code == 0)
		code = couch_identify(session, err);
	if (code != 0)
		return code;
	randombytes_buf(random, sizeof(random));
	(void)sodium_bin2hex(report->session, sizeof(report->session), random, sizeof(random));
	qosid_buf_reset(since);
	if (!options->no_checkpoints)
		code = couch_checkpoint_read(session, since, err);
	if (code == 0 && options->since_seq != NULL) {
		qosid_buf_reset(since);
		code = qosid_buf_append_text(since, options->since_seq, err);
	} else if (code == 0 && since->len == 0) {
		code = qosid_buf_append_text(since, "0", err);
	}
	qosid_buf_reset(&report->since);
	qosid_buf_reset(&report->through);
	if (code == 0)
		code = couch_append_slice(&report->since, couch_slice(since), err);
	if (code == 0)
		code = couch_append_slice(&report->through, couch_slice(since), err);
	return code;
}

/* The next changes, waiting for them when a continuous replication has found none. */
static int listen(struct couch_session *session, struct json_slice since, bool wait, struct qosid_errbuf *err)
{
	int64_t begun = couch_now();
	int code = session->source->read_changes(session, since, wait, err);

	if (code == 0 && wait && session->changes.row_count == 0 && couch_now() - begun < LISTEN_MIN_MS)
		(void)couch_wait(session->options->cancel, LISTEN_MIN_MS); /* a cancel is noticed by the caller */
	return code;
}

static int run(struct couch_session *session, bool *connected, struct qosid_errbuf *err)
{
	const struct couch_options *options = session->options;
	struct qosid_buf since = {0};
	bool wait = false;
	int code = begin(session, &since, err);

	while (code == 0) {
		if (couch_is_cancelled(options->cancel)) {
			code = couch_cancelled_error(err);
			break;
		}
		code = listen(session, couch_slice(&since), wait, err);
		if (code == 0 && options->listener.offline != NULL && !*connected)
			options->listener.offline(options->listener.context, NULL, 0);
		*connected = *connected || code == 0;
		if (code == 0)
			code = transfer(session, couch_slice(&since), err);
		if (code == 0)
			code = note(session, couch_slice(&session->changes.last), err);
		if (code != 0)
			break;
		if (options->listener.progress != NULL)
			options->listener.progress(options->listener.context, session->report);
		qosid_buf_reset(&since);
		code = couch_append_slice(&since, couch_slice(&session->changes.last), err);
		if (session->changes.more)
			continue;
		if (!options->continuous)
			break;
		wait = !wait || session->changes.row_count > 0;
	}
	qosid_buf_free(&since);
	return code;
}

/* ---- the whole ---- */

static int check_options(const struct couch_options *options, struct qosid_errbuf *err)
{
	const struct couch_end *source = &options->source, *target = &options->target;
	struct json_slice value;
	int code = 0;

	if ((source->replica == NULL) == (source->peer == NULL) || (target->replica == NULL) == (target->peer == NULL))
		return qosid_error(err, QOSID_ERR_USAGE, "a replication needs one source and one target");
	if (source->replica != NULL && source->replica == target->replica)
		return qosid_error(err, QOSID_ERR_USAGE, "source and target are the same");
	if (source->replica != NULL && options->filter != NULL)
		return qosid_error(err, QOSID_ERR_USAGE, "a filter function of this replica cannot be run here");
	if ((options->doc_ids != NULL) + (options->selector != NULL) + (options->filter != NULL) > 1)
		return qosid_error(err, QOSID_ERR_USAGE, "of doc_ids, filter and selector only one can be used");
	if (options->selector != NULL)
		code = json_check_object(options->selector, strlen(options->selector), &value, err);
	if (code == 0 && options->query_params != NULL)
		code = json_check_object(options->query_params, strlen(options->query_params), &value, err);
	if (code == 0 && options->since_seq != NULL)
		code = json_check(options->since_seq, strlen(options->since_seq), err);
	return code;
}

static int open_session(struct couch_session *session, struct qosid_buf *user, struct qosid_errbuf *err)
{
	const struct couch_options *options = session->options;
	int code = 0;

	session->source = options->source.peer != NULL ? &couch_remote_source : &couch_local_source;
	session->target = options->target.peer != NULL ? &couch_remote_target : &couch_local_target;
	if (options->source.peer != NULL)
		code = couch_http_open(&session->source_http, options->source.peer, options->cancel, err);
	if (code == 0 && options->target.peer != NULL)
		code = couch_http_open(&session->target_http, options->target.peer, options->cancel, err);
	if (code == 0 && session->source_http != NULL)
		code = qosid_buf_append_format(user, err, "couchdb:%s", couch_http_name(session->source_http));
	if (code == 0 && options->source.replica != NULL && options->selector != NULL)
		code = mango_selector_parse(
		    &session->selector, (struct json_slice){options->selector, strlen(options->selector)}, err);
	session->user = user->data != NULL ? (const char *)user->data : "";
	return code;
}

static void close_session(struct couch_session *session)
{
	couch_http_close(session->source_http);
	couch_http_close(session->target_http);
	couch_spool_close(&session->spool);
	couch_changes_free(&session->changes);
	couch_batch_free(&session->batch);
	qosid_buf_wipe(&session->answer);
	qosid_buf_wipe(&session->request);
	qosid_buf_free(&session->held);
	qosid_buf_free(&session->source_name);
	qosid_buf_free(&session->target_name);
	qosid_buf_free(&session->history);
	mango_selector_free(session->selector);
}

/* Failures that time may cure. */
static bool may_pass(int code)
{
	return code == QOSID_ERR_OFFLINE || code == QOSID_ERR_BUSY || code == QOSID_ERR_FULL;
}

static int run_on(struct couch_session *session, struct qosid_errbuf *err)
{
	const struct couch_options *options = session->options;
	const struct couch_listener *listener = &options->listener;
	struct qosid_errbuf failure = {0};
	int64_t patience = PATIENCE_MIN_MS;
	bool connected = false;
	int code;

	for (;;) {
		code = run(session, &connected, &failure);
		if (!options->continuous || !may_pass(code) || couch_is_cancelled(options->cancel))
			break;
		if (connected)
			patience = PATIENCE_MIN_MS;
		connected = false;
		if (listener->offline != NULL)
			listener->offline(listener->context, &failure, patience);
		if (!couch_wait(options->cancel, patience))
			break;
		patience = patience * 2 < PATIENCE_MAX_MS ? patience * 2 : PATIENCE_MAX_MS;
		qosid_buf_reset(&session->held);
		failure = (struct qosid_errbuf){0};
	}
	if (code != 0 && err != NULL)
		*err = failure;
	return code;
}

int couch_replicate(const struct couch_options *options, struct couch_report *report, struct qosid_errbuf *err)
{
	struct couch_options filled = *options;
	struct couch_session session = {.options = &filled, .report = report, .spool = {.fd = -1}};
	struct qosid_buf user = {0};
	int code = check_options(options, err);

	if (code != 0)
		return code;
	if (filled.changes_batch == 0)
		filled.changes_batch = DEFAULT_CHANGES;
	if (filled.changes_batch > CHANGES_MAX)
		filled.changes_batch = CHANGES_MAX;
	if (filled.documents_batch == 0)
		filled.documents_batch = DEFAULT_DOCUMENTS;
	session.spool.folder = options->scratch;
	report->start_time = couch_now();
	code = open_session(&session, &user, err);
	if (code == 0)
		code = run_on(&session, err);
	report->end_time = couch_now();
	if (code == 0 && report->history.len == 0 && session.history.len > 0) /* nothing was new */
		code = qosid_buf_append_format(&report->history, err, "[%s]", (const char *)session.history.data);
	close_session(&session);
	qosid_buf_free(&user);
	if (couch_is_cancelled(options->cancel)) {
		report->cancelled = true;
		qosid_error_clear(err);
		return 0;
	}
	return code;
}
