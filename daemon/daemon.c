/* The daemon's event loop; see daemon.h. */
#include "daemon/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/service.h"
#include "daemon/watch.h"
#include "daemon/worker.h"

#define STOP_WITHIN 8000      /* then workers are left behind; below the 10 s that are promised */
#define SILENCE_MOST 600000ll /* a worker without any progress for so long is stuck */
#define WATCH_PAUSE 100       /* under constant writes, look this often and not a thousand times a second */
#define WATCH_RETRY 10000

struct served {
	struct worker *worker;
	int watch; /* handle, or -1: the worker polls */
};

struct daemon {
	const struct daemon_options *options;
	const struct journal *journal;
	struct config config; /* what is wanted */
	struct served *served;
	size_t count;
	struct service *service; /* NULL: no HTTP */
	int epoll_fd, signal_fd, timer_fd, done_fd, watch_fd;
	int64_t watchdog_every; /* ms; 0: nobody asks */
	int64_t watchdog_due, watch_due, retry_due, stop_due;
	bool stopping, stuck;
	int result;
};

static void log_simple(const struct daemon *daemon, int priority, const char *message, const char *space)
{
	struct journal_line line;
	journal_begin(&line, daemon->journal, priority, message);
	if (space)
		journal_text(&line, "space", space);
	journal_end(&line);
}

/* ---- workers as the configuration wants them ---- */

/* Watch a space's folder, or have its worker poll until that works. */
static void watch_space(struct daemon *daemon, struct served *served)
{
	if (served->watch >= 0 || daemon->options->once)
		return;
	served->watch = watch_add(daemon->watch_fd, worker_space(served->worker)->path);
	worker_request(served->worker, served->watch >= 0 ? WORKER_WATCHED : WORKER_POLL);
	if (served->watch < 0 && daemon->watch_fd >= 0)
		daemon->retry_due = clock_now() + WATCH_RETRY;
}

static int start_worker(struct daemon *daemon, const struct config_space *space, struct qosid_errbuf *err)
{
	struct served *all = reallocarray(daemon->served, daemon->count + 1, sizeof *all);
	if (!all)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for space %s", space->name);
	daemon->served = all;
	struct served *served = &all[daemon->count];
	*served = (struct served){.watch = -1};
	int rc = worker_start(&served->worker, space, daemon->journal, daemon->done_fd, daemon->options->once, err);
	if (rc < 0)
		return rc;
	daemon->count++;
	watch_space(daemon, served);
	return 0;
}

static struct served *find_served(const struct daemon *daemon, const char *name)
{
	for (size_t i = 0; i < daemon->count; i++) {
		if (strcmp(worker_space(daemon->served[i].worker)->name, name) == 0)
			return &daemon->served[i];
	}
	return NULL;
}

/* Something is worse than a remote that is away, which is worse than nothing. */
static void note_result(struct daemon *daemon, int rc)
{
	if (daemon->result == 0 || (daemon->result == QOSID_ERR_OFFLINE && rc != 0))
		daemon->result = rc;
}

/* Ask workers to stop that are not wanted, or not with these settings; start those that are missing. A space that
 * changed is started again when its old worker has ended. */
static void reconcile(struct daemon *daemon)
{
	for (size_t i = 0; i < daemon->count; i++) {
		const struct config_space *now = worker_space(daemon->served[i].worker);
		const struct config_space *wanted = config_find(&daemon->config, now->name);
		if (daemon->stopping || !wanted || !config_space_equal(now, wanted))
			worker_request(daemon->served[i].worker, WORKER_STOP);
	}
	for (size_t i = 0; i < daemon->config.count && !daemon->stopping; i++) {
		const struct config_space *space = &daemon->config.spaces[i];
		struct qosid_errbuf err = {0};
		if (find_served(daemon, space->name) || start_worker(daemon, space, &err) == 0)
			continue;
		note_result(daemon, err.code);
		struct journal_line line;
		journal_begin(&line, daemon->journal, LOG_ERR, "cannot serve a space");
		journal_text(&line, "space", space->name);
		journal_error(&line, &err);
		journal_end(&line);
	}
}

static void collect_ended(struct daemon *daemon)
{
	for (size_t i = 0; i < daemon->count;) {
		struct served *served = &daemon->served[i];
		if (!worker_has_ended(served->worker)) {
			i++;
			continue;
		}
		watch_remove(daemon->watch_fd, served->watch);
		if (!daemon->options->once)
			log_simple(daemon, LOG_INFO, "closed", worker_space(served->worker)->name);
		int rc = worker_join(served->worker);
		if (daemon->options->once)
			note_result(daemon, rc);
		*served = daemon->served[--daemon->count];
	}
	if (!daemon->options->once)
		reconcile(daemon);
}

/* ---- events ---- */

/* Make a timerfd or eventfd quiet again; what it was about is looked up elsewhere. */
static void drain(int fd)
{
	uint64_t count;
	while (read(fd, &count, sizeof count) > 0)
		;
}

static void notify(const struct daemon *daemon, const char *state)
{
	if (sd_notify(0, state) < 0)
		log_simple(daemon, LOG_WARNING, "cannot notify systemd", NULL);
}

static void notify_ready(const struct daemon *daemon)
{
	char state[80];
	(void)snprintf(state, sizeof state, "READY=1\nSTATUS=Spaces: %zu", daemon->config.count);
	notify(daemon, state);
}

static void begin_stop(struct daemon *daemon)
{
	notify(daemon, "STOPPING=1");
	log_simple(daemon, LOG_INFO, "stopping", NULL);
	daemon->stopping = true;
	daemon->stop_due = clock_now() + STOP_WITHIN;
	reconcile(daemon);
	service_stop(daemon->service);
	daemon->service = NULL;
}

/* The HTTP API as the configuration wants it. */
static int reconcile_service(struct daemon *daemon, struct qosid_errbuf *err)
{
	if (daemon->options->once || service_fits(daemon->service, &daemon->config))
		return 0;
	service_stop(daemon->service);
	daemon->service = NULL;
	return service_start(&daemon->service, &daemon->config, daemon->journal, err);
}

static void reload(struct daemon *daemon)
{
	struct qosid_errbuf err = {0};
	struct config config = {0};
	struct timespec now = {0};
	char state[80];
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	(void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	notify(daemon, state);

	struct journal_line line;
	if (config_load(&config, daemon->options->config_path, &err) == 0) {
		config_free(&daemon->config);
		daemon->config = config;
		journal_begin(&line, daemon->journal, LOG_INFO, "reloaded");
		journal_number(&line, "spaces", (int64_t)config.count);
		reconcile(daemon);
		if (reconcile_service(daemon, &err) < 0) {
			journal_end(&line);
			journal_begin(&line, daemon->journal, LOG_ERR, "HTTP is not served");
			journal_error(&line, &err);
		}
	} else {
		journal_begin(&line, daemon->journal, LOG_ERR, "not reloaded, the old configuration stays");
		journal_error(&line, &err);
	}
	journal_end(&line);
	notify_ready(daemon);
}

static void on_signal(struct daemon *daemon)
{
	struct signalfd_siginfo info;
	while (read(daemon->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGHUP && !daemon->stopping && !daemon->options->once)
			reload(daemon);
		else if (info.ssi_signo != SIGHUP && daemon->stopping)
			daemon->stop_due = 0; /* asked twice: at once */
		else if (info.ssi_signo != SIGHUP)
			begin_stop(daemon);
	}
}

static void on_watch(void *context, int handle, bool gone)
{
	struct daemon *daemon = context;
	for (size_t i = 0; i < daemon->count; i++) {
		struct served *served = &daemon->served[i];
		if (handle != WATCH_ALL && served->watch != handle)
			continue;
		worker_request(served->worker, WORKER_CHANGE);
		service_wake(daemon->service, worker_space(served->worker)->name);
		if (gone) {
			served->watch = -1;
			watch_space(daemon, served);
		}
	}
}

/* The watch is read, then rests for a moment; the kernel keeps and merges what happens meanwhile. */
static void rest_watch(struct daemon *daemon, bool rest)
{
	struct epoll_event event = {.events = rest ? 0 : EPOLLIN, .data.fd = daemon->watch_fd};
	daemon->watch_due = rest ? clock_now() + WATCH_PAUSE : SCHEDULE_NEVER;
	(void)epoll_ctl(daemon->epoll_fd, EPOLL_CTL_MOD, daemon->watch_fd, &event); /* at worst no rest */
}

/* Tell systemd that all is well, unless a worker is stuck: then it may restart the daemon, which loses nothing. */
static void ping_watchdog(struct daemon *daemon, int64_t now)
{
	daemon->watchdog_due = now + daemon->watchdog_every;
	for (size_t i = 0; i < daemon->count; i++) {
		if (worker_silence(daemon->served[i].worker, now) <= SILENCE_MOST)
			continue;
		if (!daemon->stuck)
			log_simple(daemon, LOG_ERR, "an exchange is stuck, no more watchdog signs",
			    worker_space(daemon->served[i].worker)->name);
		daemon->stuck = true;
		return;
	}
	daemon->stuck = false;
	notify(daemon, "WATCHDOG=1");
}

static void on_timer(struct daemon *daemon)
{
	int64_t now = clock_now();
	drain(daemon->timer_fd);
	if (daemon->watchdog_due <= now)
		ping_watchdog(daemon, now);
	if (daemon->watch_due <= now)
		rest_watch(daemon, false);
	if (daemon->retry_due <= now) {
		daemon->retry_due = SCHEDULE_NEVER;
		for (size_t i = 0; i < daemon->count; i++)
			watch_space(daemon, &daemon->served[i]);
	}
}

static int64_t next_due(const struct daemon *daemon)
{
	const int64_t dues[] = {daemon->watchdog_due, daemon->watch_due, daemon->retry_due, daemon->stop_due};
	int64_t due = SCHEDULE_NEVER;
	for (size_t i = 0; i < sizeof dues / sizeof dues[0]; i++)
		due = dues[i] < due ? dues[i] : due;
	return due;
}

static int handle_events(struct daemon *daemon, struct qosid_errbuf *err)
{
	struct epoll_event events[8];
	if (clock_arm(daemon->timer_fd, next_due(daemon)) < 0)
		return qosid_error_errno(err, errno, "cannot set the timer");
	int n = epoll_wait(daemon->epoll_fd, events, sizeof events / sizeof events[0], -1);
	if (n < 0 && errno != EINTR)
		return qosid_error_errno(err, errno, "cannot wait for events");
	for (int i = 0; i < n; i++) {
		int fd = events[i].data.fd;
		if (fd == daemon->signal_fd) {
			on_signal(daemon);
		} else if (fd == daemon->timer_fd) {
			on_timer(daemon);
		} else if (fd == daemon->done_fd) {
			drain(fd);
			collect_ended(daemon);
		} else {
			watch_read(fd, on_watch, daemon);
			rest_watch(daemon, true);
		}
	}
	return 0;
}

/* ---- life ---- */

static int listen_to(struct daemon *daemon, int fd, struct qosid_errbuf *err)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	if (fd < 0 || epoll_ctl(daemon->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return qosid_error_errno(err, errno, "cannot set up the event loop");
	return 0;
}

static int set_up(struct daemon *daemon, struct qosid_errbuf *err)
{
	uint64_t usec = 0;
	int rc;
	daemon->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (daemon->epoll_fd < 0)
		return qosid_error_errno(err, errno, "cannot set up the event loop");
	daemon->signal_fd = signalfd(-1, &daemon->options->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if ((rc = listen_to(daemon, daemon->signal_fd, err)) < 0)
		return rc;
	daemon->timer_fd = timerfd_create(CLOCK_DAEMON, TFD_CLOEXEC | TFD_NONBLOCK);
	if ((rc = listen_to(daemon, daemon->timer_fd, err)) < 0)
		return rc;
	daemon->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if ((rc = listen_to(daemon, daemon->done_fd, err)) < 0)
		return rc;
	if (!daemon->options->once) {
		daemon->watch_fd = watch_open();
		if (daemon->watch_fd < 0)
			log_simple(daemon, LOG_WARNING, "no inotify, looking for changes every 2 s", NULL);
		else if ((rc = listen_to(daemon, daemon->watch_fd, err)) < 0)
			return rc;
	}
	if (sd_watchdog_enabled(0, &usec) > 0) {
		daemon->watchdog_every = (int64_t)(usec / 2000);
		daemon->watchdog_due = clock_now();
	}
	return 0;
}

static void tear_down(struct daemon *daemon)
{
	const int fds[] = {daemon->watch_fd, daemon->done_fd, daemon->timer_fd, daemon->signal_fd, daemon->epoll_fd};
	for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	free(daemon->served);
	config_free(&daemon->config);
}

int daemon_run(const struct daemon_options *options, struct config *config, bool *abandoned, struct qosid_errbuf *err)
{
	struct daemon daemon = {
	    .options = options,
	    .journal = options->journal,
	    .config = *config,
	    .epoll_fd = -1,
	    .signal_fd = -1,
	    .timer_fd = -1,
	    .done_fd = -1,
	    .watch_fd = -1,
	    .watchdog_due = SCHEDULE_NEVER,
	    .watch_due = SCHEDULE_NEVER,
	    .retry_due = SCHEDULE_NEVER,
	    .stop_due = SCHEDULE_NEVER,
	};
	*config = (struct config){0};
	*abandoned = false;
	int rc = set_up(&daemon, err);
	if (rc < 0)
		goto out;
	struct journal_line line;
	bool serves = daemon.config.count > 0 || daemon.config.http.enabled;
	journal_begin(&line, daemon.journal, serves ? LOG_INFO : LOG_WARNING, "started");
	journal_text(&line, "version", QOSID_VERSION);
	journal_text(&line, "config", options->config_path);
	journal_number(&line, "spaces", (int64_t)daemon.config.count);
	journal_end(&line);
	rc = reconcile_service(&daemon, err);
	if (rc < 0)
		goto out;
	reconcile(&daemon);
	notify_ready(&daemon);

	while (rc == 0 && (daemon.count > 0 || !(daemon.stopping || options->once)) && !*abandoned) {
		rc = handle_events(&daemon, err);
		*abandoned = (rc < 0 || daemon.stop_due <= clock_now()) && daemon.count > 0;
	}
	if (*abandoned)
		log_simple(&daemon, LOG_WARNING, "left an exchange unfinished; the next run takes it up", NULL);
	else if (!options->once)
		log_simple(&daemon, LOG_INFO, "stopped", NULL);
	if (rc == 0 && options->once)
		rc = daemon.stopping ? QOSID_ERR_FAILED : daemon.result;
out:
	service_stop(daemon.service);
	if (!*abandoned)
		tear_down(&daemon);
	return rc;
}
