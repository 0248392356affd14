/*
 * When to exchange next: pure arithmetic, no clock and no randomness of its own.
 *
 * All times are milliseconds of one clock that never goes back; random is 32 uniform bits. A slot is anything that is
 * tried again and again: an exchange with one remote, or opening a space.
 */
#ifndef QOSID_DAEMON_SCHEDULE_H
#define QOSID_DAEMON_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#define SCHEDULE_NEVER INT64_MAX

struct schedule_timing {
	int64_t interval;    /* between exchanges that went well */
	int64_t debounce;    /* quiet time wanted after a local change */
	int64_t backoff_max; /* longest wait after a failure */
	unsigned jitter;     /* interval varies by up to this many percent, either way */
};

struct schedule_slot {
	int64_t due;
	unsigned failures; /* in a row */
};

/* Local changes not yet acted on. Starts as {0}. */
struct schedule_change {
	int64_t first, last;
	bool noted;
};

/* It went well: due again after the interval, with jitter. */
void schedule_succeed(struct schedule_slot *slot, const struct schedule_timing *timing, int64_t now, uint32_t random);

/* The other end is away, or something is wrong: exponential backoff with full jitter, 1 s to backoff_max. */
void schedule_fail(struct schedule_slot *slot, const struct schedule_timing *timing, int64_t now, uint32_t random);

/* Another process holds the lock: soon again, 0.25 s to at most 16 s. */
void schedule_yield(struct schedule_slot *slot, int64_t now, uint32_t random);

/* There is something to bring: due now, unless it waits because of failures. */
void schedule_hasten(struct schedule_slot *slot, int64_t now);

/* A change was seen; when to act on what was seen: after the debounce, but no later than ten times it after the first
 * change, however many follow. SCHEDULE_NEVER when there is none. */
void schedule_note_change(struct schedule_change *change, int64_t now);
int64_t schedule_change_due(const struct schedule_change *change, const struct schedule_timing *timing);

#endif
