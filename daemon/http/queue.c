/* The work queue: requests, whose number is bounded, and feeds that have something to produce, in turns. */
#include "daemon/http/http_internal.h"

void queue_init(struct queue *queue, unsigned most)
{
	*queue = (struct queue){.most = most};
	queue->requests.tail = &queue->requests.head;
	queue->feeds.tail = &queue->feeds.head;
	(void)pthread_mutex_init(&queue->lock, NULL); /* default attributes: cannot fail on Linux */
	(void)pthread_cond_init(&queue->filled, NULL);
}

void queue_destroy(struct queue *queue)
{
	(void)pthread_mutex_destroy(&queue->lock);
	(void)pthread_cond_destroy(&queue->filled);
}

static void append(struct queue_list *list, struct http_call *call)
{
	call->next = NULL;
	*list->tail = call;
	list->tail = &call->next;
}

static struct http_call *take(struct queue_list *list)
{
	struct http_call *call = list->head;
	list->head = call->next;
	if (!list->head)
		list->tail = &list->head;
	call->next = NULL;
	return call;
}

bool queue_reserve(struct queue *queue)
{
	(void)pthread_mutex_lock(&queue->lock);
	bool room = !queue->closed && queue->length < queue->most;
	if (room) {
		queue->length++;
		queue->promised++;
	}
	(void)pthread_mutex_unlock(&queue->lock);
	return room;
}

void queue_push(struct queue *queue, struct http_call *call)
{
	(void)pthread_mutex_lock(&queue->lock);
	append(&queue->requests, call);
	queue->promised--;
	(void)pthread_cond_signal(&queue->filled);
	(void)pthread_mutex_unlock(&queue->lock);
}

bool queue_push_again(struct queue *queue, struct http_call *call)
{
	(void)pthread_mutex_lock(&queue->lock);
	bool open = !queue->closed;
	if (open) {
		append(&queue->requests, call);
		queue->length++;
		(void)pthread_cond_signal(&queue->filled);
	}
	(void)pthread_mutex_unlock(&queue->lock);
	return open;
}

void queue_push_feed(struct queue *queue, struct http_call *call)
{
	(void)pthread_mutex_lock(&queue->lock);
	append(&queue->feeds, call);
	(void)pthread_cond_signal(&queue->filled);
	(void)pthread_mutex_unlock(&queue->lock);
}

struct http_call *queue_pop(struct queue *queue, bool *feed)
{
	struct http_call *call = NULL;
	(void)pthread_mutex_lock(&queue->lock);
	while (!queue->requests.head && !queue->feeds.head && (!queue->closed || queue->promised > 0))
		(void)pthread_cond_wait(&queue->filled, &queue->lock);
	*feed = queue->feeds.head && (queue->feeds_turn || !queue->requests.head);
	queue->feeds_turn = !*feed;
	if (*feed) {
		call = take(&queue->feeds);
	} else if (queue->requests.head) {
		call = take(&queue->requests);
		queue->length--;
	}
	if (!call)
		(void)pthread_cond_broadcast(&queue->filled); /* the others are to see the end, too */
	(void)pthread_mutex_unlock(&queue->lock);
	return call;
}

void queue_close(struct queue *queue)
{
	(void)pthread_mutex_lock(&queue->lock);
	queue->closed = true;
	(void)pthread_cond_broadcast(&queue->filled);
	(void)pthread_mutex_unlock(&queue->lock);
}
