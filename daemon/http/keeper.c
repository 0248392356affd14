/*
 * The keeper: one thread that does what nobody else is awake for. It sends heartbeats, lets feeds time out, notices
 * that the client of a resting feed has gone (libmicrohttpd does not look at suspended connections), and closes
 * connections that take too long over a request.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/http/http_internal.h"

#define SWEEP_EVERY 1000 /* ms */
#define EVENTS_AT_ONCE 64

/* ---- the heap; feed_lock held ---- */

static void place(struct feed_heap *heap, size_t slot, struct http_call *call)
{
	heap->slots[slot] = call;
	call->feed->slot = slot;
}

static void sift(struct feed_heap *heap, size_t slot)
{
	struct http_call *call = heap->slots[slot];
	for (; slot > 1 && heap->slots[slot / 2]->feed->due > call->feed->due; slot /= 2)
		place(heap, slot, heap->slots[slot / 2]);
	for (size_t child; (child = slot * 2) <= heap->count; slot = child) {
		if (child < heap->count && heap->slots[child + 1]->feed->due < heap->slots[child]->feed->due)
			child++;
		if (heap->slots[child]->feed->due >= call->feed->due)
			break;
		place(heap, slot, heap->slots[child]);
	}
	place(heap, slot, call);
}

static void unplace(struct feed_heap *heap, struct http_call *call)
{
	size_t slot = call->feed->slot;
	if (slot == 0)
		return;
	call->feed->slot = 0;
	struct http_call *last = heap->slots[heap->count--];
	if (last == call)
		return;
	place(heap, slot, last);
	sift(heap, slot);
}

int keeper_reserve(struct http_server *server)
{
	struct feed_heap *heap = &server->heap;
	if (heap->capacity > (size_t)server->feed_count + 1)
		return 0;
	size_t capacity = heap->capacity ? heap->capacity * 2 : 64;
	struct http_call **slots = reallocarray(heap->slots, capacity, sizeof(struct http_call *));
	if (!slots)
		return -1;
	heap->slots = slots;
	heap->capacity = capacity;
	return 0;
}

void keeper_set_due(struct http_call *call, int64_t due)
{
	struct http_server *server = call->server;
	struct feed *feed = call->feed;
	feed->due = due;
	if (due == INT64_MAX || feed->over) {
		unplace(&server->heap, call);
		return;
	}
	if (feed->slot == 0)
		place(&server->heap, ++server->heap.count, call);
	sift(&server->heap, feed->slot);
	if (due < server->keeper_until) {
		server->keeper_until = due;
		(void)eventfd_write(server->keeper_event, 1); /* fails only when it is set */
	}
}

/* ---- clients that go ---- */

void keeper_watch(struct http_call *call)
{
	struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = call};
	if (!call->socket || epoll_ctl(call->server->keeper_epoll, EPOLL_CTL_ADD, call->socket->fd, &event) < 0)
		return; /* then the next heartbeat notices */
	call->feed->watched = true;
	atomic_fetch_add(&call->references, 1);
}

void keeper_forget(struct http_call *call)
{
	struct http_server *server = call->server;
	struct feed *feed = call->feed;
	unplace(&server->heap, call);
	if (!feed->watched)
		return;
	(void)epoll_ctl(server->keeper_epoll, EPOLL_CTL_DEL, call->socket->fd, NULL); /* was added above */
	feed->watched = false;
	feed->grave_next = server->graves; /* an event of it may be in the keeper's hand */
	server->graves = call;
}

static void bury(struct http_call *graves)
{
	while (graves) {
		struct http_call *next = graves->feed->grave_next;
		call_unref(graves);
		graves = next;
	}
}

/* ---- connections that are too slow ---- */

static void sweep(struct http_server *server, int64_t now)
{
	int64_t most = (int64_t)server->options.idle_timeout_s * 1000;
	(void)pthread_mutex_lock(&server->connection_lock);
	for (struct http_connection *c = server->connections; c; c = c->next) {
		if (!c->busy && now - c->since > most)
			(void)shutdown(c->fd, SHUT_RDWR); /* the loop sees the end and cleans up */
	}
	(void)pthread_mutex_unlock(&server->connection_lock);
}

/* ---- the thread ---- */

/* Do what is due; returns for how long to sleep. */
static int tick(struct http_server *server, int64_t now, int64_t next_sweep)
{
	(void)pthread_mutex_lock(&server->feed_lock);
	struct http_call *graves = server->graves;
	server->graves = NULL;
	while (server->heap.count > 0 && server->heap.slots[1]->feed->due <= now)
		feed_tick(server->heap.slots[1], now);
	int64_t until = next_sweep;
	if (server->heap.count > 0 && server->heap.slots[1]->feed->due < until)
		until = server->heap.slots[1]->feed->due;
	server->keeper_until = until;
	(void)pthread_mutex_unlock(&server->feed_lock);
	bury(graves);
	return until > now ? (int)(until - now) : 0;
}

static void *keep(void *context)
{
	struct http_server *server = context;
	struct epoll_event events[EVENTS_AT_ONCE];
	int64_t next_sweep = 0;
	while (!atomic_load(&server->closing)) {
		int64_t now = clock_now();
		if (now >= next_sweep) {
			sweep(server, now);
			next_sweep = now + SWEEP_EVERY;
		}
		int n = epoll_wait(server->keeper_epoll, events, EVENTS_AT_ONCE, tick(server, now, next_sweep));
		(void)pthread_mutex_lock(&server->feed_lock);
		for (int i = 0; i < n; i++) {
			eventfd_t count;
			struct http_call *call = events[i].data.ptr;
			if (!call)
				(void)eventfd_read(server->keeper_event, &count);
			else if (!call->feed->over)
				feed_leave(call);
		}
		(void)pthread_mutex_unlock(&server->feed_lock);
	}
	return NULL;
}

int keeper_start(struct http_server *server, struct qosid_errbuf *err)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	server->keeper_epoll = epoll_create1(EPOLL_CLOEXEC);
	server->keeper_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->keeper_epoll < 0 || server->keeper_event < 0 ||
	    epoll_ctl(server->keeper_epoll, EPOLL_CTL_ADD, server->keeper_event, &event) < 0)
		return qosid_error_errno(err, errno, "cannot set up the HTTP server");
	int failed = pthread_create(&server->keeper, NULL, keep, server);
	if (failed)
		return qosid_error_errno(err, failed, "cannot start a thread");
	server->keeper_running = true;
	return 0;
}

/* closing is set already. */
void keeper_stop(struct http_server *server)
{
	if (server->keeper_running) {
		(void)eventfd_write(server->keeper_event, 1);
		(void)pthread_join(server->keeper, NULL);
		server->keeper_running = false;
	}
}

void keeper_free(struct http_server *server)
{
	bury(server->graves);
	free(server->heap.slots);
	if (server->keeper_epoll >= 0)
		(void)close(server->keeper_epoll);
	if (server->keeper_event >= 0)
		(void)close(server->keeper_event);
}
