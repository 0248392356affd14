/*
 * Time and rate of a link: see link_watch.h.
 */
#include "sync/exchange/link_watch.h"

#include <time.h>

#define BURST_DIVISOR 4u
#define BURST_MIN 512u /* bytes; less is all heads and no content */

int64_t link_clock(void)
{
	struct timespec now = {0};

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* fails for unknown clocks only */
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void link_watch_begin(struct link_watch *watch, const struct link_limits *limits)
{
	*watch = (struct link_watch){.limits = limits != NULL ? *limits : (struct link_limits){0}};
	if (watch->limits.idle_seconds == 0)
		watch->limits.idle_seconds = LINK_IDLE_SECONDS;
	if (watch->limits.total_seconds == 0)
		watch->limits.total_seconds = LINK_TOTAL_SECONDS;
	watch->begun = watch->heard = link_clock();
}

void link_watch_hear(struct link_watch *watch)
{
	watch->heard = link_clock();
}

int link_watch_check(const struct link_watch *watch, struct qosid_errbuf *err)
{
	const struct link_limits *limits = &watch->limits;
	int64_t now = link_clock();
	int rc = 0;

	if (limits->cancel != NULL && limits->cancel(limits->context))
		return qosid_error(err, QOSID_ERR_CANCELLED, "the exchange was asked to stop");
	if (now - watch->begun >= (int64_t)limits->total_seconds * 1000)
		rc = qosid_error(err, QOSID_ERR_OFFLINE, "the conversation lasted longer than the %u s that it may",
		    limits->total_seconds);
	else if (now - watch->heard >= (int64_t)limits->idle_seconds * 1000)
		rc = qosid_error(err, QOSID_ERR_OFFLINE, "the other side was silent for %u s", limits->idle_seconds);
	if (rc != 0)
		qosid_error_hint(err, "try later; what has arrived is kept");
	return rc;
}

static uint64_t burst(const struct link_bucket *bucket)
{
	uint64_t bytes = bucket->rate / BURST_DIVISOR;

	return (bytes > BURST_MIN ? bytes : BURST_MIN) * 1000;
}

void link_bucket_begin(struct link_bucket *bucket, uint64_t rate)
{
	/* Far above what any link carries the sums would overflow. */
	*bucket = (struct link_bucket){.rate = rate < (1ull << 40) ? rate : 0, .filled = link_clock()};
	bucket->tokens = burst(bucket);
}

size_t link_bucket_allow(struct link_bucket *bucket, size_t want)
{
	int64_t now = link_clock(), passed = now - bucket->filled;

	if (bucket->rate == 0)
		return want;
	if (passed > 60000)
		passed = 60000; /* it is full long before */
	bucket->tokens += (uint64_t)passed * bucket->rate;
	if (bucket->tokens > burst(bucket))
		bucket->tokens = burst(bucket);
	bucket->filled = now;
	return bucket->tokens / 1000 < want ? (size_t)(bucket->tokens / 1000) : want;
}

void link_bucket_take(struct link_bucket *bucket, size_t len)
{
	uint64_t tokens = (uint64_t)len * 1000;

	bucket->tokens -= tokens < bucket->tokens ? tokens : bucket->tokens;
}

int link_bucket_wait(const struct link_bucket *bucket)
{
	/* Until half a burst is there. */
	uint64_t ms = bucket->rate != 0 ? burst(bucket) / 2 / bucket->rate + 1 : 1;

	return ms < LINK_SLICE_MS ? (int)ms : LINK_SLICE_MS;
}
