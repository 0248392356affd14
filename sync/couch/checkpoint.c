/*
 * Checkpoints: how far a replication has come, as a _local document on both ends, in the form that CouchDB's replicator
 * writes.
 *
 * A session has a random id. What one of them has recorded counts only when both ends know of it: an end that was
 * restored from an old backup, or made anew under the same name, knows less, and the replication begins at what both
 * still have in common, or at the start. The document's name is a hash over what is replicated between whom, so either
 * side finds it again.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sync/couch/couch_internal.h"

#define HISTORY_MAX 50
#define REPLICA_NAME "_couch/replica" /* a local document that HTTP does not show: this replica's random id */
#define ID_BYTES 16

/* ---- who and what ---- */

/* A replica is known by a random id that it keeps. */
static int name_replica(struct replica *replica, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct qosid_buf stored = {0};
	struct json_slice id;
	uint8_t random[ID_BYTES];
	char hex[2 * ID_BYTES + 1], body[64];
	int code = replica_read_local(replica, REPLICA_NAME, &stored, err);

	if (code == 0 && json_check((const char *)stored.data, stored.len, NULL) == 0 &&
	    json_slice_kind(couch_slice(&stored)) == JSON_OBJECT && json_find(couch_slice(&stored), "id", &id) &&
	    json_slice_kind(id) == JSON_STRING) {
		code = json_string_decode(id, out, err);
		goto out;
	}
	if (code != 0 && code != QOSID_ERR_NOTFOUND)
		goto out;
	randombytes_buf(random, sizeof(random));
	(void)sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
	(void)snprintf(body, sizeof(body), "{\"id\":\"%s\"}", hex);
	code = replica_begin(replica, err);
	if (code == 0) {
		code = replica_put_local(replica, REPLICA_NAME, (struct json_slice){body, strlen(body)}, err);
		if (code == 0)
			code = replica_commit(replica, err);
		else
			replica_rollback(replica);
	}
	if (code == 0)
		code = qosid_buf_append_text(out, hex, err);
out:
	qosid_buf_free(&stored);
	return code;
}

/* A peer is known by its uuid, so that it may move, or else by its address. */
static int name_peer(
    struct couch_session *session, struct couch_http *http, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct couch_request request = {.method = "GET", .path = "", .server = true};
	struct couch_response response;
	struct json_slice answer, uuid, welcome;
	int code = couch_http_json(http, &request, &response, &session->answer, err);

	if (code == QOSID_ERR_INVALID || code == QOSID_ERR_LIMIT)
		response.status = 0; /* something else than CouchDB lives there: the database may all the same */
	else if (code != 0)
		return code;
	answer = couch_slice(&session->answer);
	if (response.status == 200 && json_slice_kind(answer) == JSON_OBJECT) {
		if (http == session->target_http)
			session->no_multipart = !json_find(answer, "couchdb", &welcome);
		if (json_find(answer, "uuid", &uuid) && json_slice_kind(uuid) == JSON_STRING && uuid.len < 256) {
			code = couch_append_slice(out, uuid, err);
			return code != 0 ? code : qosid_buf_append_format(out, err, "/%s", couch_http_database(http));
		}
	} else if (http == session->target_http) {
		session->no_multipart = true;
	}
	return qosid_buf_append_format(out, err, "%s%s", couch_http_address(http), couch_http_database(http));
}

/* One line of what the id covers: its length first, so that lines cannot be mistaken for each other. */
static void hash_line(crypto_generichash_state *state, const void *data, size_t len)
{
	char length[32];
	int n = snprintf(length, sizeof(length), "%zu:", len);

	crypto_generichash_update(state, (const uint8_t *)length, (size_t)n);
	if (len > 0)
		crypto_generichash_update(state, data, len);
}

static void hash_text(crypto_generichash_state *state, const char *text)
{
	hash_line(state, text, text != NULL ? strlen(text) : 0);
}

int couch_identify(struct couch_session *session, struct qosid_errbuf *err)
{
	const struct couch_options *options = session->options;
	crypto_generichash_state state;
	uint8_t digest[ID_BYTES];
	int code;

	qosid_buf_reset(&session->source_name);
	qosid_buf_reset(&session->target_name);
	if (session->source_http != NULL)
		code = name_peer(session, session->source_http, &session->source_name, err);
	else
		code = name_replica(options->source.replica, &session->source_name, err);
	if (code == 0 && session->target_http != NULL)
		code = name_peer(session, session->target_http, &session->target_name, err);
	else if (code == 0)
		code = name_replica(options->target.replica, &session->target_name, err);
	if (code != 0)
		return code;
	(void)crypto_generichash_init(&state, NULL, 0, sizeof(digest)); /* fails on a bad length only */
	hash_text(&state, "qosid-replication-1");
	hash_line(&state, session->source_name.data, session->source_name.len);
	hash_line(&state, session->target_name.data, session->target_name.len);
	hash_text(&state, options->selector);
	hash_text(&state, options->filter);
	hash_text(&state, options->query_params);
	hash_text(&state, options->winning_revs_only ? "winners" : "all");
	for (size_t i = 0; options->doc_ids != NULL && options->doc_ids[i] != NULL; i++)
		hash_text(&state, options->doc_ids[i]);
	(void)crypto_generichash_final(&state, digest, sizeof(digest)); /* as above */
	(void)sodium_bin2hex(session->report->id, sizeof(session->report->id), digest, sizeof(digest));
	return 0;
}

/* ---- one end's document ---- */

static void local_name(const struct couch_session *session, char out[80])
{
	(void)snprintf(out, 80, "_local/%s", session->report->id);
}

static int read_remote(
    struct couch_session *session, struct couch_http *http, struct qosid_buf *out, struct qosid_errbuf *err)
{
	char path[80];
	struct couch_request request = {.method = "GET", .path = path, .limit = COUCH_CHECKPOINT_BYTES};
	struct couch_response response;
	int code;

	local_name(session, path);
	code = couch_http_json(http, &request, &response, out, err);
	if (code == QOSID_ERR_INVALID || code == QOSID_ERR_LIMIT)
		return QOSID_ERR_NOTFOUND; /* what cannot be read does not count */
	if (code != 0)
		return code;
	if (response.status == 401 || response.status == 403 || response.status == 404)
		return QOSID_ERR_NOTFOUND;
	return response.status == 200 ? 0 : couch_http_unexpected(http, &response, "reading the checkpoint", err);
}

/* The document of one end, or QOSID_ERR_NOTFOUND; its _rev is remembered. */
static int read_end(struct couch_session *session, bool source, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct couch_http *http = source ? session->source_http : session->target_http;
	char *rev = source ? session->source_rev : session->target_rev;
	char name[80];
	struct json_slice value;
	int code;

	rev[0] = '\0';
	if (http != NULL) {
		code = read_remote(session, http, out, err);
	} else {
		local_name(session, name);
		code = replica_read_local(
		    source ? session->options->source.replica : session->options->target.replica, name, out, NULL);
		if (code == 0 && json_check((const char *)out->data, out->len, NULL) != 0)
			code = QOSID_ERR_NOTFOUND;
	}
	if (code == 0 && json_slice_kind(couch_slice(out)) != JSON_OBJECT)
		code = QOSID_ERR_NOTFOUND;
	if (code == 0 && json_find(couch_slice(out), "_rev", &value) && json_slice_kind(value) == JSON_STRING &&
	    value.len > 2 && value.len - 2 < sizeof(session->source_rev) && memchr(value.text, '\\', value.len) == NULL)
		(void)snprintf(rev, sizeof(session->source_rev), "%.*s", (int)(value.len - 2), value.text + 1);
	return code;
}

/* ---- what both know ---- */

static bool same_value(struct json_slice a, struct json_slice b)
{
	return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

static bool find_history(struct json_slice document, struct json_slice *history)
{
	return json_find(document, "history", history) && json_slice_kind(*history) == JSON_ARRAY;
}

/* The newest session of `mine` that the other knows too: *recorded is what mine says of it. */
static bool find_common(struct json_slice mine, struct json_slice other, struct json_slice *recorded)
{
	struct json_slice my_list, other_list, name, entry, theirs, session, their_session;
	size_t position = 0;

	if (json_find(mine, "session_id", &session) && json_find(other, "session_id", &their_session) &&
	    same_value(session, their_session) && json_find(mine, "source_last_seq", recorded))
		return true;
	if (!find_history(mine, &my_list) || !find_history(other, &other_list))
		return false;
	for (int n = 0; n < HISTORY_MAX && json_next(my_list, &position, &name, &entry); n++) {
		size_t at = 0;

		if (json_slice_kind(entry) != JSON_OBJECT || !json_find(entry, "session_id", &session))
			continue;
		for (int m = 0; m < HISTORY_MAX && json_next(other_list, &at, &name, &theirs); m++) {
			if (json_slice_kind(theirs) == JSON_OBJECT && json_find(theirs, "session_id", &their_session) &&
			    same_value(session, their_session) && json_find(entry, "recorded_seq", recorded))
				return true;
		}
	}
	return false;
}

/* Keep the entries of a document's history for the next one. */
static int keep_history(struct couch_session *session, struct json_slice document, struct qosid_errbuf *err)
{
	struct json_slice list, name, entry;
	size_t position = 0;
	int code = 0;

	qosid_buf_reset(&session->history);
	if (!find_history(document, &list))
		return 0;
	for (int n = 1; code == 0 && n < HISTORY_MAX && json_next(list, &position, &name, &entry); n++) {
		if (n > 1)
			code = qosid_buf_append_byte(&session->history, ',', err);
		if (code == 0)
			code = couch_append_slice(&session->history, entry, err);
	}
	return code;
}

int couch_checkpoint_read(struct couch_session *session, struct qosid_buf *since, struct qosid_errbuf *err)
{
	struct qosid_buf at_source = {0}, at_target = {0};
	struct json_slice mine, other, recorded, alone;
	int source_code, target_code, code = 0;
	bool trust_target = session->target_http == NULL; /* rather than the peer's word */
	bool found;

	qosid_buf_reset(since);
	target_code = read_end(session, false, &at_target, err);
	source_code = read_end(session, true, &at_source, err);
	if (target_code != 0 && target_code != QOSID_ERR_NOTFOUND)
		code = target_code;
	else if (source_code != 0 && source_code != QOSID_ERR_NOTFOUND)
		code = source_code;
	if (code != 0)
		goto out;
	mine = couch_slice(trust_target ? &at_target : &at_source);
	other = couch_slice(trust_target ? &at_source : &at_target);
	found = source_code == 0 && target_code == 0 && find_common(mine, other, &recorded);
	if (!found && target_code == 0 && trust_target)
		found = json_find(mine, "source_read_only", &alone) && json_slice_kind(alone) == JSON_TRUE &&
			json_find(mine, "source_last_seq", &recorded);
	if (found && recorded.len <= COUCH_SEQ_BYTES)
		code = couch_append_slice(since, recorded, err);
	if (code == 0 && (trust_target ? target_code : source_code) == 0)
		code = keep_history(session, mine, err);
out:
	qosid_buf_free(&at_source);
	qosid_buf_free(&at_target);
	return code;
}

/* ---- noting ---- */

static void format_date(int64_t milliseconds, char out[64])
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {
	    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = (time_t)(milliseconds / 1000);
	struct tm tm;

	out[0] = '\0';
	if (gmtime_r(&seconds, &tm) != NULL)
		(void)snprintf(out, 64, "%s, %02d %s %d %02d:%02d:%02d GMT", days[tm.tm_wday % 7], tm.tm_mday,
		    months[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static int format_history(struct couch_session *session, struct qosid_errbuf *err)
{
	struct couch_report *report = session->report;
	struct qosid_buf *out = &report->history;
	char begun[64], ended[64];
	int code;

	format_date(report->start_time, begun);
	format_date(couch_now(), ended);
	qosid_buf_reset(out);
	code = qosid_buf_append_format(out, err,
	    "[{\"session_id\":\"%s\",\"start_time\":\"%s\",\"end_time\":\"%s\",\"start_last_seq\":%s,"
	    "\"end_last_seq\":%s,\"recorded_seq\":%s,\"missing_checked\":%lld,\"missing_found\":%lld,"
	    "\"docs_read\":%lld,\"docs_written\":%lld,\"doc_write_failures\":%lld}",
	    report->session, begun, ended, (const char *)report->since.data, (const char *)report->through.data,
	    (const char *)report->through.data, (long long)report->checked, (long long)report->missing,
	    (long long)report->read, (long long)report->written, (long long)report->failed);
	if (code == 0 && session->history.len > 0)
		code = qosid_buf_append_byte(out, ',', err);
	if (code == 0 && session->history.len > 0)
		code = couch_append_slice(out, couch_slice(&session->history), err);
	return code != 0 ? code : qosid_buf_append_byte(out, ']', err);
}

static int build_checkpoint(
    struct couch_session *session, const char *rev, struct qosid_buf *out, struct qosid_errbuf *err)
{
	const struct couch_report *report = session->report;
	int code;

	qosid_buf_reset(out);
	code = qosid_buf_append_format(out, err, "{\"_id\":\"_local/%s\",", report->id);
	if (code == 0 && rev[0] != '\0')
		code = qosid_buf_append_format(out, err, "\"_rev\":\"%s\",", rev);
	if (code == 0 && session->no_source_checkpoint)
		code = qosid_buf_append_text(out, "\"source_read_only\":true,", err);
	if (code == 0)
		code = qosid_buf_append_format(out, err,
		    "\"session_id\":\"%s\",\"source_last_seq\":%s,\"replication_id_version\":4,\"history\":",
		    report->session, (const char *)report->through.data);
	if (code == 0)
		code = couch_append_slice(out, couch_slice(&report->history), err);
	return code != 0 ? code : qosid_buf_append_byte(out, '}', err);
}

static int write_local(struct couch_session *session, struct replica *replica, char *rev, struct qosid_errbuf *err)
{
	unsigned long number = strncmp(rev, "0-", 2) == 0 ? strtoul(rev + 2, NULL, 10) : 0;
	char name[80];
	int code;

	(void)snprintf(rev, sizeof(session->source_rev), "0-%lu", number + 1);
	local_name(session, name);
	code = build_checkpoint(session, rev, &session->request, err);
	if (code == 0)
		code = replica_begin(replica, err);
	if (code != 0)
		return code;
	code = replica_put_local(replica, name, couch_slice(&session->request), err);
	if (code == 0)
		return replica_commit(replica, err);
	replica_rollback(replica);
	return code;
}

/* *status: what the peer has answered. */
static int put_remote(
    struct couch_session *session, struct couch_http *http, char *rev, long *status, struct qosid_errbuf *err)
{
	char path[80];
	struct couch_segment segment = {0};
	struct couch_request request = {.method = "PUT", .path = path, .body = &segment, .body_count = 1};
	struct couch_response response;
	struct json_slice value;
	int code = build_checkpoint(session, rev, &session->request, err);

	local_name(session, path);
	segment.data = session->request.data;
	segment.len = session->request.len;
	if (code == 0)
		code = couch_http_json(http, &request, &response, &session->answer, err);
	if (code != 0)
		return code;
	*status = response.status;
	if (response.status != 200 && response.status != 201 && response.status != 202)
		return couch_http_unexpected(http, &response, "noting the checkpoint", err);
	if (json_slice_kind(couch_slice(&session->answer)) == JSON_OBJECT &&
	    json_find(couch_slice(&session->answer), "rev", &value) && json_slice_kind(value) == JSON_STRING &&
	    value.len > 2 && value.len - 2 < sizeof(session->source_rev) && memchr(value.text, '\\', value.len) == NULL)
		(void)snprintf(rev, sizeof(session->source_rev), "%.*s", (int)(value.len - 2), value.text + 1);
	return 0;
}

static int write_remote(struct couch_session *session, bool source, struct qosid_errbuf *err)
{
	struct couch_http *http = source ? session->source_http : session->target_http;
	char *rev = source ? session->source_rev : session->target_rev;
	long status = 0;
	int code = put_remote(session, http, rev, &status, err);

	if (code != 0 && status == 409) { /* another replicator of the same two was here */
		struct qosid_buf other = {0};

		code = read_end(session, source, &other, err);
		qosid_buf_free(&other);
		if (code == 0 || code == QOSID_ERR_NOTFOUND)
			code = put_remote(session, http, rev, &status, err);
	}
	if (code != 0 && source && status >= 400 && status < 500 && status != 408 && status != 429) {
		session->no_source_checkpoint = true; /* it may only be read, which is enough */
		return 0;
	}
	return code;
}

int couch_checkpoint_write(struct couch_session *session, struct qosid_errbuf *err)
{
	const struct couch_options *options = session->options;
	bool told = session->no_source_checkpoint;
	int code = format_history(session, err);

	if (code != 0 || options->no_checkpoints)
		return code;
	if (session->target_http != NULL)
		code = write_remote(session, false, err);
	else
		code = write_local(session, options->target.replica, session->target_rev, err);
	if (code == 0 && session->source_http != NULL && !session->no_source_checkpoint)
		code = write_remote(session, true, err);
	else if (code == 0 && session->source_http == NULL)
		code = write_local(session, options->source.replica, session->source_rev, err);
	/* From now on the target's word alone counts. */
	if (code == 0 && session->no_source_checkpoint && !told && session->target_http == NULL)
		code = write_local(session, options->target.replica, session->target_rev, err);
	return code;
}
