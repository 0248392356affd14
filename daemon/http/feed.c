/*
 * Feeds: answers that go on. Between two pieces the connection is suspended and nobody works on it.
 *
 * A feed is with a worker (FEED_RUNNING), with the loop, which sends what the worker made (FEED_SENDING), or waits for
 * its topic (FEED_WAITING). A wake-up that comes while it is not waiting is remembered, so none is lost: a worker that
 * reads after the topic was woken sees what woke it.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/http/http_internal.h"

static unsigned bucket_of(const char *topic)
{
	unsigned hash = 2166136261u;
	for (; *topic; topic++)
		hash = (hash ^ (unsigned char)*topic) * 16777619u;
	return hash & (HTTP_TOPIC_BUCKETS - 1);
}

/* ---- from here on with feed_lock held ---- */

static void enlist(struct http_call *call)
{
	struct feed *feed = call->feed;
	struct http_call **bucket = &call->server->topics[bucket_of(feed->spec.topic)];
	feed->topic_next = *bucket;
	feed->topic_previous = bucket;
	if (*bucket)
		(*bucket)->feed->topic_previous = &feed->topic_next;
	*bucket = call;
	feed->listed = true;
	call->server->feed_count++;
}

static void delist(struct http_call *call)
{
	struct feed *feed = call->feed;
	if (!feed->listed)
		return;
	*feed->topic_previous = feed->topic_next;
	if (feed->topic_next)
		feed->topic_next->feed->topic_previous = feed->topic_previous;
	feed->listed = false;
	call->server->feed_count--;
}

static void resume(struct http_call *call)
{
	if (!call->feed->suspended)
		return;
	call->feed->suspended = false;
	MHD_resume_connection(call->connection);
}

static void run(struct http_call *call)
{
	call->feed->stage = FEED_RUNNING;
	call->feed->woken = false;
	atomic_fetch_add(&call->references, 1);
	queue_push_feed(&call->server->queue, call);
}

/* When the keeper has to look: the heartbeat overrides the time-out, as in CouchDB. */
static int64_t due_of(const struct feed *feed)
{
	if (feed->spec.heartbeat_ms > 0)
		return feed->last_sent + feed->spec.heartbeat_ms;
	if (feed->spec.timeout_ms > 0 && feed->stage == FEED_WAITING)
		return feed->wait_since + feed->spec.timeout_ms;
	return INT64_MAX;
}

static void wait_for_topic(struct http_call *call)
{
	call->feed->stage = FEED_WAITING;
	call->feed->wait_since = clock_now();
	keeper_set_due(call, due_of(call->feed));
}

/* What has been produced is sent, or nothing was: what next? */
static void go_on(struct http_call *call)
{
	if (call->feed->last == FEED_MORE || call->feed->woken)
		run(call);
	else
		wait_for_topic(call);
}

/* ---- and here without ---- */

int http_call_subscribe(struct http_call *call, const struct http_feed *spec, struct qosid_errbuf *err)
{
	struct http_server *server = call->server;
	struct feed *feed = call->feed ? NULL : calloc(1, sizeof *feed);
	if (!feed) {
		if (spec->free_context)
			spec->free_context(spec->context);
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for a feed");
	}
	feed->spec = *spec;
	feed->stage = FEED_RUNNING;
	feed->due = INT64_MAX;
	feed->last_sent = clock_now();
	call->feed = feed;
	(void)pthread_mutex_lock(&server->feed_lock);
	int failed = keeper_reserve(server);
	if (!failed)
		enlist(call);
	(void)pthread_mutex_unlock(&server->feed_lock);
	return failed ? qosid_error(err, QOSID_ERR_NOMEM, "no memory for a feed") : 0;
}

void http_server_wake(struct http_server *server, const char *topic)
{
	(void)pthread_mutex_lock(&server->feed_lock);
	for (struct http_call *call = server->topics[bucket_of(topic)]; call; call = call->feed->topic_next) {
		struct feed *feed = call->feed;
		if (strcmp(feed->spec.topic, topic) != 0)
			continue;
		if (feed->stage == FEED_WAITING && !feed->gone)
			run(call);
		else
			feed->woken = true;
	}
	(void)pthread_mutex_unlock(&server->feed_lock);
}

/* The context may hold much, so it does not wait for the last reference. */
static void free_context(struct feed *feed)
{
	if (feed->spec.free_context)
		feed->spec.free_context(feed->spec.context);
	feed->spec.free_context = NULL;
}

static enum http_feed_state produce(struct http_call *call, bool timed_out)
{
	return call->feed->spec.produce(call->feed->spec.context, call, &call->out, timed_out);
}

/* The first time on the worker that ran the handler; the answer has not begun. */
void feed_begin(struct http_call *call)
{
	struct feed *feed = call->feed;
	enum http_feed_state state = produce(call, false);
	(void)pthread_mutex_lock(&call->server->feed_lock);
	feed->last = state;
	feed->stage = FEED_SENDING;
	keeper_watch(call);
	keeper_set_due(call, due_of(feed));
	(void)pthread_mutex_unlock(&call->server->feed_lock);
}

void feed_continue(struct http_call *call)
{
	struct feed *feed = call->feed;
	struct http_server *server = call->server;
	(void)pthread_mutex_lock(&server->feed_lock);
	bool timed_out = feed->timed_out, dead = feed->over || feed->gone;
	feed->timed_out = false;
	(void)pthread_mutex_unlock(&server->feed_lock);

	enum http_feed_state state = dead ? FEED_END : produce(call, timed_out);

	(void)pthread_mutex_lock(&server->feed_lock);
	bool over = feed->over;
	if (!over) {
		feed->last = state;
		if (state == FEED_END || spool_length(&call->out) > 0) {
			feed->stage = FEED_SENDING;
			resume(call);
		} else {
			go_on(call);
		}
	}
	(void)pthread_mutex_unlock(&server->feed_lock);
	if (over)
		free_context(feed);
	call_unref(call);
}

/* Send a piece of what is there, a heartbeat, or rest. */
ssize_t feed_read(void *context, uint64_t position, char *buffer, size_t size)
{
	struct http_call *call = context;
	struct feed *feed = call->feed;
	struct http_server *server = call->server;
	size_t got = 0;
	ssize_t result = 0;
	(void)position;
	(void)pthread_mutex_lock(&server->feed_lock);
	if (feed->gone || atomic_load(&server->closing)) {
		result = MHD_CONTENT_READER_END_WITH_ERROR;
		goto out;
	}
	if (feed->stage == FEED_SENDING) {
		if (spool_read(&call->out, feed->sent, buffer, size, &got, NULL) < 0) {
			result = MHD_CONTENT_READER_END_WITH_ERROR;
			goto out;
		}
		if (got == 0) {
			spool_reset(&call->out);
			feed->sent = 0;
			if (feed->last == FEED_END) {
				result = MHD_CONTENT_READER_END_OF_STREAM;
				goto out;
			}
			go_on(call);
		}
		feed->sent += got;
	}
	if (got == 0 && feed->beat) {
		got = strlen(feed->spec.heartbeat_text);
		got = got < size ? got : size;
		memcpy(buffer, feed->spec.heartbeat_text, got);
		feed->beat = false;
	}
	if (got > 0) {
		feed->last_sent = clock_now();
		atomic_fetch_add(&server->bytes_out, got);
		result = (ssize_t)got;
	} else {
		feed->suspended = true;
		MHD_suspend_connection(call->connection);
	}
out:
	(void)pthread_mutex_unlock(&server->feed_lock);
	return result;
}

/* The keeper's part: something is due. */
void feed_tick(struct http_call *call, int64_t now)
{
	struct feed *feed = call->feed;
	int64_t due = due_of(feed);
	if (due <= now && feed->spec.heartbeat_ms > 0) {
		if (feed->stage != FEED_SENDING) { /* else a slow reader has something to read */
			feed->beat = true;
			resume(call);
		}
		due = now + feed->spec.heartbeat_ms;
	} else if (due <= now) {
		feed->timed_out = true;
		run(call);
		due = INT64_MAX;
	}
	keeper_set_due(call, due);
}

/* The keeper's part: the client has closed its end. One that only said that it will not send any more, and would still
 * read, is taken for gone too: there is no telling them apart. */
void feed_leave(struct http_call *call)
{
	call->feed->gone = true;
	resume(call);
}

void feed_end(struct http_call *call)
{
	(void)pthread_mutex_lock(&call->server->feed_lock);
	bool with_worker = call->feed->stage == FEED_RUNNING;
	call->feed->over = true;
	delist(call);
	keeper_forget(call);
	(void)pthread_mutex_unlock(&call->server->feed_lock);
	if (!with_worker)
		free_context(call->feed);
}

void feed_drop(struct http_call *call)
{
	(void)pthread_mutex_lock(&call->server->feed_lock);
	delist(call);
	(void)pthread_mutex_unlock(&call->server->feed_lock);
	free_context(call->feed);
	free(call->feed);
	call->feed = NULL;
}

void feed_close_all(struct http_server *server)
{
	(void)pthread_mutex_lock(&server->feed_lock);
	for (unsigned i = 0; i < HTTP_TOPIC_BUCKETS; i++) {
		for (struct http_call *call = server->topics[i]; call; call = call->feed->topic_next)
			resume(call);
	}
	(void)pthread_mutex_unlock(&server->feed_lock);
}
