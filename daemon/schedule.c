/* When to exchange next; see schedule.h. */
#include "daemon/schedule.h"

#define BACKOFF_FIRST 4000 /* ms: the ceiling after one failure; it doubles with each further one */
#define BACKOFF_LEAST 1000
#define YIELD_FIRST 500
#define YIELD_LEAST 250
#define YIELD_MOST 16000
#define DEBOUNCE_CAP 10

/* A value from least to most, evenly. */
static int64_t spread(int64_t least, int64_t most, uint32_t random)
{
	if (most <= least)
		return least;
	return least + (int64_t)((double)(most - least) * ((double)random / (double)UINT32_MAX));
}

/* first doubled times times, at most most. */
static int64_t grow(int64_t first, unsigned times, int64_t most)
{
	int64_t value = first;
	while (times-- > 0 && value < most)
		value *= 2;
	return value < most ? value : most;
}

void schedule_succeed(struct schedule_slot *slot, const struct schedule_timing *timing, int64_t now, uint32_t random)
{
	int64_t sway = timing->interval / 100 * timing->jitter;
	slot->failures = 0;
	slot->due = now + spread(timing->interval - sway, timing->interval + sway, random);
}

void schedule_fail(struct schedule_slot *slot, const struct schedule_timing *timing, int64_t now, uint32_t random)
{
	int64_t ceiling = grow(BACKOFF_FIRST, slot->failures, timing->backoff_max);
	slot->failures++;
	slot->due = now + spread(BACKOFF_LEAST, ceiling, random);
}

void schedule_yield(struct schedule_slot *slot, int64_t now, uint32_t random)
{
	int64_t ceiling = grow(YIELD_FIRST, slot->failures, YIELD_MOST);
	slot->failures++;
	slot->due = now + spread(YIELD_LEAST, ceiling, random);
}

void schedule_hasten(struct schedule_slot *slot, int64_t now)
{
	if (slot->failures == 0 && slot->due > now)
		slot->due = now;
}

void schedule_note_change(struct schedule_change *change, int64_t now)
{
	if (!change->noted)
		change->first = now;
	change->last = now;
	change->noted = true;
}

int64_t schedule_change_due(const struct schedule_change *change, const struct schedule_timing *timing)
{
	if (!change->noted)
		return SCHEDULE_NEVER;
	int64_t quiet = change->last + timing->debounce;
	int64_t cap = change->first + DEBOUNCE_CAP * timing->debounce;
	return quiet < cap ? quiet : cap;
}
