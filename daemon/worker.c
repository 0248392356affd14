/* One thread that keeps one space exchanged; see worker.h. */
#include "daemon/worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/passphrase.h"
#include "daemon/schedule.h"
#include "sync/space.h"

#define POLL_EVERY 2000
#define BUSY_TRIES 10 /* then it is worth a warning and, with once, given up */

/* A remote, or with name "" this office's own log, for a space that has no remote. */
struct remote {
	char *name;
	struct schedule_slot slot;
	int last; /* outcome of the latest exchange */
};

struct worker {
	struct config_space config;
	const struct journal *journal;
	int done_fd;
	bool once;
	pthread_t thread;
	int wake_fd, timer_fd;

	/* Between the threads. */
	atomic_uint requests;
	atomic_llong alive; /* the latest sign of progress; 0: waiting */
	atomic_bool ended;

	/* The worker's own; result is read after pthread_join(). */
	int result;
	struct space *space;
	struct stat stamp; /* of the space's config file when it was opened */
	struct schedule_slot opening;
	struct remote *remotes;
	size_t remote_count;
	struct schedule_change change;
	int64_t sequence;  /* of the replica when its changes were last acted on */
	int64_t published; /* position of the own logs when they were last exchanged */
	bool polling;
	int64_t version;    /* of the replica, when polling */
	uint64_t *findings; /* digests of those that have been logged */
	size_t finding_count;
};

static void note_progress(void *context, const char *stage, size_t done, size_t total)
{
	(void)stage, (void)done, (void)total;
	struct worker *worker = context;
	atomic_store(&worker->alive, clock_now());
}

static bool is_stopping(const struct worker *worker)
{
	return atomic_load(&worker->requests) & WORKER_STOP;
}

/* Asked every moment while a link waits for the other side, so it is a sign of life, too. */
static bool is_cancelled(void *context)
{
	struct worker *worker = context;
	atomic_store(&worker->alive, clock_now());
	return is_stopping(worker);
}

/* Failures of the worker's kind weigh more than a remote that is away, which weighs more than success. */
static void note_result(struct worker *worker, int rc)
{
	if (worker->result == 0 || (worker->result == QOSID_ERR_OFFLINE && rc != 0))
		worker->result = rc;
}

static void begin_line(struct journal_line *line, const struct worker *worker, int priority, const char *message)
{
	journal_begin(line, worker->journal, priority, message);
	journal_text(line, "space", worker->config.name);
}

static void log_failure(const struct worker *worker, int priority, const char *message, const struct qosid_errbuf *err)
{
	struct journal_line line;
	begin_line(&line, worker, priority, message);
	journal_error(&line, err);
	journal_end(&line);
}

/* ---- the space ---- */

/* The config file as it is now; all zero when there is none. A new one (a remote was added, the folder was replaced)
 * means opening the space anew. */
static struct stat read_stamp(const struct worker *worker)
{
	char path[PATH_MAX + 8];
	struct stat stamp;
	(void)snprintf(path, sizeof path, "%s/config", worker->config.path);
	if (stat(path, &stamp) < 0)
		memset(&stamp, 0, sizeof stamp);
	return stamp;
}

static bool stamp_equal(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void close_space(struct worker *worker)
{
	space_close(worker->space);
	worker->space = NULL;
}

static void forget_remotes(struct worker *worker)
{
	for (size_t i = 0; i < worker->remote_count; i++)
		free(worker->remotes[i].name);
	free(worker->remotes);
	worker->remotes = NULL;
	worker->remote_count = 0;
}

static int add_remote(void *context, const char *name, const char *url, struct qosid_errbuf *err)
{
	(void)url;
	struct worker *worker = context;
	struct remote *remotes = reallocarray(worker->remotes, worker->remote_count + 1, sizeof *remotes);
	if (!remotes)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for remote %s", name);
	worker->remotes = remotes;
	struct remote remote = {.name = strdup(name)};
	if (!remote.name)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for remote %s", name);
	remotes[worker->remote_count++] = remote;
	return 0;
}

static int open_space(struct worker *worker, struct qosid_errbuf *err)
{
	struct space_unlock unlock = {.ask = passphrase_ask, .context = &worker->config};
	worker->stamp = read_stamp(worker);
	int rc = space_open(&worker->space, worker->config.path, false, &unlock, err);
	if (rc == 0 && worker->remote_count == 0)
		rc = space_visit_remotes(worker->space, add_remote, worker, err);
	if (rc == 0 && worker->remote_count == 0)
		rc = add_remote(worker, "", "", err);
	if (rc == 0 && worker->polling)
		rc = replica_data_version(space_replica(worker->space), &worker->version, err);
	return rc;
}

/* Open when it is time. Remotes keep their slots as long as the config file is the same; new ones are due at once. */
static void try_open(struct worker *worker, int64_t now)
{
	struct qosid_errbuf err = {0};
	int rc = open_space(worker, &err);
	if (rc == 0) {
		struct journal_line line;
		begin_line(&line, worker, LOG_INFO, "opened");
		journal_text(&line, "path", worker->config.path);
		journal_text(&line, "office", space_office(worker->space));
		journal_number(&line, "remotes", worker->remotes[0].name[0] ? (int64_t)worker->remote_count : 0);
		journal_end(&line);
		worker->opening.failures = 0;
		return;
	}
	close_space(worker);
	forget_remotes(worker);
	note_result(worker, rc);
	log_failure(worker, worker->opening.failures == 0 ? LOG_ERR : LOG_INFO, "cannot open the space", &err);
	schedule_fail(&worker->opening, &worker->config.timing, now, randombytes_random());
}

/* ---- local changes ---- */

static int add_own_log(void *context, const struct space_log *log, struct qosid_errbuf *err)
{
	(void)err;
	if (log->own)
		*(int64_t *)context += log->sequence;
	return 0;
}

/* How far this office's own logs have grown. */
static int read_published(struct space *space, int64_t *out, struct qosid_errbuf *err)
{
	*out = 0;
	return space_visit_logs(space, add_own_log, out, err);
}

/* The same, with what other programs have done: published, or admitted a member. An open space keeps the roster that it
 * read last, so this is a fresh look; the identity stays locked. */
static int look_published(const struct worker *worker, int64_t *out, struct qosid_errbuf *err)
{
	struct space *space = NULL;
	int rc = space_open(&space, worker->config.path, false, NULL, err);
	if (rc == 0)
		rc = read_published(space, out, err);
	space_close(space);
	return rc;
}

/* After the debounce: exchange when there is something to bring. Exchanges change the folder too; then there is not. */
static void check_change(struct worker *worker, int64_t now)
{
	struct qosid_errbuf err = {0};
	struct replica_info info = {0};
	int64_t published = 0;
	worker->change.noted = false;
	int rc = replica_read_info(space_replica(worker->space), &info, &err);
	if (rc == 0)
		rc = look_published(worker, &published, &err);
	if (rc < 0) {
		log_failure(worker, LOG_WARNING, "cannot look for changes", &err);
		return; /* the interval will bring them */
	}
	/* The sequence, too: revisions may have to stay pending, while this office is not yet a writer. */
	if ((info.pending == 0 || info.sequence == worker->sequence) && published == worker->published)
		return;
	worker->sequence = info.sequence;
	worker->published = published;
	struct journal_line line;
	begin_line(&line, worker, LOG_DEBUG, "local changes");
	journal_number(&line, "pending", info.pending);
	journal_end(&line);
	for (size_t i = 0; i < worker->remote_count; i++)
		schedule_hasten(&worker->remotes[i].slot, now);
}

/* Without a watch: has another connection written to the replica? */
static void poll_replica(struct worker *worker, int64_t now)
{
	int64_t version;
	if (replica_data_version(space_replica(worker->space), &version, NULL) < 0)
		return; /* whatever it is, the next exchange meets it and says so */
	if (version != worker->version)
		schedule_note_change(&worker->change, now);
	worker->version = version;
}

/* ---- findings: said once, not with every exchange ---- */

struct findings {
	struct worker *worker;
	uint64_t *digests;
	size_t count;
};

static int visit_finding(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	struct findings *findings = context;
	struct worker *worker = findings->worker;
	char text[1024];
	uint64_t digest;
	int len = snprintf(text, sizeof text, "%s\n%lld\n%s\n%s\n%s", finding->log, (long long)finding->sequence,
	    finding->cause, finding->evidence, finding->detail);
	size_t used = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
	(void)crypto_generichash((unsigned char *)&digest, sizeof digest, (const unsigned char *)text, used, NULL, 0);

	uint64_t *digests = reallocarray(findings->digests, findings->count + 1, sizeof *digests);
	if (!digests)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for findings");
	findings->digests = digests;
	digests[findings->count++] = digest;
	for (size_t i = 0; i < worker->finding_count; i++) {
		if (worker->findings[i] == digest)
			return 0;
	}
	struct journal_line line;
	begin_line(&line, worker, finding->stops ? LOG_ERR : LOG_WARNING, "finding");
	journal_text(&line, "log", finding->log);
	journal_number(&line, "sequence", finding->sequence);
	journal_text(&line, "cause", finding->cause);
	journal_text(&line, "why", finding->detail);
	if (finding->evidence[0])
		journal_text(&line, "evidence", finding->evidence);
	journal_end(&line);
	return 0;
}

static void log_findings(struct worker *worker)
{
	struct qosid_errbuf err = {0};
	struct findings findings = {.worker = worker};
	if (replica_visit_findings(space_replica(worker->space), visit_finding, &findings, &err) < 0)
		log_failure(worker, LOG_WARNING, "cannot read the findings", &err);
	free(worker->findings);
	worker->findings = findings.digests;
	worker->finding_count = findings.count;
}

static int visit_stop(void *context, const struct replica_finding *finding, struct qosid_errbuf *err)
{
	(void)context, (void)err;
	return finding->stops ? QOSID_ERR_REFUSED : 0;
}

/* A log that has stopped is a failure, as it is for qosid sync, whichever exchange found it. */
static void note_stops(struct worker *worker)
{
	struct qosid_errbuf err = {0};
	int rc = replica_visit_findings(space_replica(worker->space), visit_stop, NULL, &err);
	if (rc < 0 && rc != QOSID_ERR_REFUSED)
		log_failure(worker, LOG_WARNING, "cannot read the findings", &err);
	note_result(worker, rc);
}

/* ---- exchanging ---- */

static void log_exchange(
    const struct worker *worker, const struct remote *remote, const struct exchange_report *report, int64_t took)
{
	struct journal_line line;
	begin_line(&line, worker, LOG_INFO, *remote->name ? "exchanged" : "published");
	if (*remote->name)
		journal_text(&line, "remote", remote->name);
	journal_number(&line, "published", (int64_t)report->revisions_published);
	if (*remote->name) {
		journal_number(&line, "applied", (int64_t)report->revisions_applied);
		journal_number(&line, "conflicts", (int64_t)report->conflicts);
		journal_number(&line, "fetched_commits", (int64_t)report->commits_fetched);
		journal_number(&line, "pushed_commits", (int64_t)report->commits_pushed);
		journal_number(&line, "fetched_bytes", (int64_t)report->bytes_fetched);
		journal_number(&line, "pushed_bytes", (int64_t)report->bytes_pushed);
		journal_number(&line, "findings", (int64_t)report->findings);
		journal_number(&line, "waiting", (int64_t)report->waiting);
	}
	if (remote->slot.failures > 0)
		journal_number(&line, "after_failures", remote->slot.failures);
	journal_number(&line, "ms", took);
	journal_end(&line);
}

static void exchange_succeeded(
    struct worker *worker, struct remote *remote, const struct exchange_report *report, int64_t now)
{
	schedule_succeed(&remote->slot, &worker->config.timing, now, randombytes_random());
	if (report->findings > 0 || worker->finding_count > 0)
		log_findings(worker);
	(void)read_published(worker->space, &worker->published, NULL); /* at worst one exchange more than needed */
	if (report->commits_fetched == 0 || worker->once)
		return;
	for (size_t i = 0; i < worker->remote_count; i++) { /* pass the news on */
		if (&worker->remotes[i] != remote)
			schedule_hasten(&worker->remotes[i].slot, now);
	}
}

static void exchange_failed(
    struct worker *worker, struct remote *remote, int rc, const struct qosid_errbuf *err, int64_t now)
{
	uint32_t random = randombytes_random();
	int priority = rc == QOSID_ERR_OFFLINE ? LOG_WARNING : LOG_ERR;
	if (rc == QOSID_ERR_BUSY) {
		schedule_yield(&remote->slot, now, random);
		priority = remote->slot.failures == BUSY_TRIES ? LOG_WARNING : LOG_DEBUG;
	} else {
		schedule_fail(&remote->slot, &worker->config.timing, now, random);
		if (rc == remote->last)
			priority = LOG_INFO;
	}
	struct journal_line line;
	begin_line(&line, worker, priority, rc == QOSID_ERR_OFFLINE ? "offline" : "exchange failed");
	if (*remote->name)
		journal_text(&line, "remote", remote->name);
	journal_error(&line, err);
	journal_number(&line, "failures", remote->slot.failures);
	journal_number(&line, "retry_in_ms", remote->slot.due - now);
	journal_end(&line);
}

static void exchange(struct worker *worker, struct remote *remote)
{
	struct qosid_errbuf err = {0};
	struct exchange_report report = {0};
	struct exchange_progress progress = {.report = note_progress, .cancel = is_cancelled, .context = worker};
	int64_t begun = clock_now();
	int rc = *remote->name ? space_exchange(worker->space, remote->name, &progress, &report, &err)
			       : space_publish(worker->space, &progress, &report, &err);
	int64_t now = clock_now();
	note_progress(worker, "", 0, 0);

	if (rc == QOSID_ERR_CANCELLED)
		return; /* the daemon stops; the next run goes on from here */
	if (rc == 0) {
		if (*remote->name || report.revisions_published > 0)
			log_exchange(worker, remote, &report, now - begun);
		exchange_succeeded(worker, remote, &report, now);
	} else {
		exchange_failed(worker, remote, rc, &err, now);
	}
	remote->last = rc;
	if (rc != 0 && rc != QOSID_ERR_OFFLINE && rc != QOSID_ERR_BUSY)
		close_space(worker); /* the next try begins afresh */
	if (worker->once && (rc != QOSID_ERR_BUSY || remote->slot.failures >= BUSY_TRIES)) {
		remote->slot.due = SCHEDULE_NEVER;
		note_result(worker, rc);
	}
}

/* Do all that is due. Returns when to come back; SCHEDULE_NEVER: there is nothing more to do. */
static int64_t work(struct worker *worker)
{
	const struct schedule_timing *timing = &worker->config.timing;
	int64_t now = clock_now();
	struct stat stamp = read_stamp(worker);
	if (!stamp_equal(&stamp, &worker->stamp)) {
		close_space(worker);
		forget_remotes(worker);
		worker->opening.due = now;
	}
	if (!worker->space && worker->opening.due <= now)
		try_open(worker, now);
	int64_t next = worker->polling ? now + POLL_EVERY : SCHEDULE_NEVER;
	if (!worker->space && worker->once)
		return SCHEDULE_NEVER;
	if (!worker->space)
		return worker->opening.due < next ? worker->opening.due : next;

	if (worker->polling)
		poll_replica(worker, now);
	if (!worker->once && schedule_change_due(&worker->change, timing) <= now)
		check_change(worker, now);
	for (size_t i = 0; i < worker->remote_count && worker->space && !is_stopping(worker); i++) {
		if (worker->remotes[i].slot.due <= now)
			exchange(worker, &worker->remotes[i]);
	}
	for (size_t i = 0; i < worker->remote_count; i++) {
		int64_t due = worker->remotes[i].slot.due;
		next = due < next ? due : next;
	}
	int64_t change = worker->once ? SCHEDULE_NEVER : schedule_change_due(&worker->change, timing);
	return change < next ? change : next;
}

/* Wait until due or a request. */
static void wait_until(struct worker *worker, int64_t due)
{
	struct pollfd fds[2] = {{.fd = worker->wake_fd, .events = POLLIN}, {.fd = worker->timer_fd, .events = POLLIN}};
	uint64_t count;
	atomic_store(&worker->alive, 0);
	if (clock_arm(worker->timer_fd, due) == 0)
		(void)poll(fds, 2, -1); /* woken for nothing is harmless */
	for (int i = 0; i < 2; i++) {   /* they do not block; what they were about is in requests and the clock */
		while (read(fds[i].fd, &count, sizeof count) > 0)
			;
	}
	note_progress(worker, "", 0, 0);
}

static void take_requests(struct worker *worker)
{
	unsigned requests = atomic_fetch_and(&worker->requests, (unsigned)WORKER_STOP);
	if (requests & (WORKER_CHANGE | WORKER_POLL | WORKER_WATCHED))
		schedule_note_change(&worker->change, clock_now());
	if (requests & WORKER_WATCHED)
		worker->polling = false;
	if (requests & WORKER_POLL)
		worker->polling = true;
}

static void *run(void *context)
{
	struct worker *worker = context;
	note_progress(worker, "", 0, 0);
	for (take_requests(worker); !is_stopping(worker); take_requests(worker)) {
		int64_t due = work(worker);
		if (due == SCHEDULE_NEVER)
			break;
		if (!is_stopping(worker))
			wait_until(worker, due);
	}
	if (worker->once && worker->space)
		note_stops(worker);
	close_space(worker);
	forget_remotes(worker);
	atomic_store(&worker->alive, 0);
	atomic_store(&worker->ended, true);
	(void)eventfd_write(worker->done_fd, 1); /* fails only when the counter is full, and then it is set */
	return NULL;
}

/* ---- for the event loop ---- */

static void free_worker(struct worker *worker)
{
	if (worker->wake_fd >= 0)
		(void)close(worker->wake_fd);
	if (worker->timer_fd >= 0)
		(void)close(worker->timer_fd);
	free(worker->findings);
	free(worker);
}

int worker_start(struct worker **out, const struct config_space *space, const struct journal *journal, int done_fd,
    bool once, struct qosid_errbuf *err)
{
	struct worker *worker = calloc(1, sizeof *worker);
	if (!worker)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for space %s", space->name);
	worker->config = *space;
	worker->journal = journal;
	worker->done_fd = done_fd;
	worker->once = once;
	worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->timer_fd = timerfd_create(CLOCK_DAEMON, TFD_CLOEXEC | TFD_NONBLOCK);
	int failed =
	    worker->wake_fd < 0 || worker->timer_fd < 0 ? errno : pthread_create(&worker->thread, NULL, run, worker);
	if (failed) {
		free_worker(worker);
		return qosid_error_errno(err, failed, "cannot start the worker of space %s", space->name);
	}
	*out = worker;
	return 0;
}

void worker_request(struct worker *worker, unsigned requests)
{
	atomic_fetch_or(&worker->requests, requests);
	(void)eventfd_write(worker->wake_fd, 1); /* fails only when the counter is full, and then it is set */
}

const struct config_space *worker_space(const struct worker *worker)
{
	return &worker->config;
}

bool worker_has_ended(const struct worker *worker)
{
	return atomic_load(&worker->ended);
}

int64_t worker_silence(const struct worker *worker, int64_t now)
{
	int64_t alive = atomic_load(&worker->alive);
	return alive == 0 || alive > now ? 0 : now - alive;
}

int worker_join(struct worker *worker)
{
	(void)pthread_join(worker->thread, NULL); /* only a wrong thread id fails */
	int result = worker->result;
	free_worker(worker);
	return result;
}
