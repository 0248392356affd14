/*
 * Time and rate of a link: when silence or the whole has lasted too long, whether somebody wants to stop, and how many
 * bytes may go now.
 *
 * Every wait of a link is made of slices of at most LINK_SLICE_MS, with link_watch_check() between them; that is what
 * keeps the promises of link.h.
 */
#ifndef QOSID_SYNC_EXCHANGE_LINK_WATCH_H
#define QOSID_SYNC_EXCHANGE_LINK_WATCH_H

#include "sync/exchange/link.h"

#define LINK_SLICE_MS 200

struct link_watch {
	struct link_limits limits; /* no zeros for the seconds */
	int64_t begun;             /* monotonic milliseconds */
	int64_t heard;             /* the other side's latest sign of life, or when the wait for one began */
};

int64_t link_clock(void); /* monotonic milliseconds */

void link_watch_begin(struct link_watch *watch, const struct link_limits *limits);

/* Something came or went, or a wait begins: what the caller did meanwhile is no silence of the other side. */
void link_watch_hear(struct link_watch *watch);

/* 0, QOSID_ERR_CANCELLED, or QOSID_ERR_OFFLINE: it has lasted too long. */
int link_watch_check(const struct link_watch *watch, struct qosid_errbuf *err);

/* A token bucket; rate 0 lets everything through. It holds a quarter of a second's bytes, so that a link is neither
 * bursty nor woken for single bytes. */
struct link_bucket {
	uint64_t rate;
	uint64_t tokens; /* thousandths of bytes */
	int64_t filled;
};
void link_bucket_begin(struct link_bucket *bucket, uint64_t rate);

/* How many of these bytes may go now (0: wait link_bucket_wait() milliseconds), and that so many went. */
size_t link_bucket_allow(struct link_bucket *bucket, size_t want);
void link_bucket_take(struct link_bucket *bucket, size_t len);
int link_bucket_wait(const struct link_bucket *bucket); /* at most LINK_SLICE_MS */

#endif
