/* The daemon's clock: milliseconds that never go back and count on while the machine sleeps, so that a laptop that
 * wakes up exchanges at once when it has missed its time. */
#ifndef QOSID_DAEMON_CLOCK_H
#define QOSID_DAEMON_CLOCK_H

#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>

#define CLOCK_DAEMON CLOCK_BOOTTIME

static inline int64_t clock_now(void)
{
	struct timespec now = {0};
	(void)clock_gettime(CLOCK_DAEMON, &now); /* cannot fail for a clock that the kernel knows */
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Set a timerfd of CLOCK_DAEMON to fire at due; a time in the past fires at once. */
static inline int clock_arm(int timer_fd, int64_t due)
{
	if (due < 1)
		due = 1; /* 0 would disarm it */
	struct itimerspec when = {.it_value = {.tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000}};
	return timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

#endif
