/*
 * Progress bars: see progress.h.
 */
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_WIDTH 30
#define REDRAW_MILLISECONDS 100

static int64_t monotonic_now(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) != 0)
		return 0;
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void progress_begin(struct progress *progress, const struct cli *cli)
{
	*progress = (struct progress){.shown = !cli->quiet && isatty(STDERR_FILENO) == 1};
}

void progress_report(struct progress *progress, const char *stage, uint64_t done, uint64_t total)
{
	static const char full[BAR_WIDTH + 1] = "##############################";
	int64_t now;

	if (!progress->shown)
		return;
	now = monotonic_now();
	if (progress->drawn && now - progress->drawn_time < REDRAW_MILLISECONDS && done != total)
		return;
	if (total > 0) {
		uint64_t part = done < total ? done : total;
		int filled = (int)(part * BAR_WIDTH / total);

		(void)fprintf(stderr, "\r%-8s [%.*s%*s] %3d%%", stage, filled, full, BAR_WIDTH - filled, "",
		    (int)(part * 100 / total));
	} else {
		(void)fprintf(stderr, "\r%-8s %llu", stage, (unsigned long long)done);
	}
	(void)fputs("\033[K", stderr);
	(void)fflush(stderr);
	progress->drawn = true;
	progress->drawn_time = now;
}

void progress_end(struct progress *progress)
{
	if (progress->drawn)
		(void)fputs("\r\033[K", stderr);
	progress->drawn = false;
}

static void report_space(void *context, const char *stage, size_t done, size_t total)
{
	progress_report(context, stage, done, total);
}

struct exchange_progress progress_for_space(struct progress *progress)
{
	return (struct exchange_progress){.report = report_space, .context = progress};
}
