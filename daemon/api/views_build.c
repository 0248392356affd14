/*
 * Who builds which index: requests take turns, as views.h says, and _active_tasks shows it.
 *
 * A build is listed from its first turn to its last. Between turns nobody holds it, so that any request that waits for
 * the index can go on with it: no build stops because a client has gone.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/api/views_internal.h"
#include "sync/replica/replica_query.h"

#define TURN_MS 100 /* of building, or of waiting for who builds, before the worker is given back */

struct build {
	struct build *next;
	char *dir;
	char *database;
	char *design;
	char signature[VIEW_SIGNATURE_SIZE];
	bool held;
	int64_t started, updated; /* Unix seconds */
	int64_t total, done;      /* changes */
};

struct api_views {
	pthread_mutex_t mutex;
	pthread_cond_t given_up;
	struct build *builds;
};

int api_views_create(struct api *api, struct qosid_errbuf *err)
{
	pthread_condattr_t attributes;

	api->views = calloc(1, sizeof(*api->views));
	if (!api->views)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	(void)pthread_mutex_init(&api->views->mutex, NULL); /* these cannot fail on Linux */
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&api->views->given_up, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	return 0;
}

static void free_build(struct build *build)
{
	free(build->dir);
	free(build->database);
	free(build->design);
	free(build);
}

void api_views_free(struct api *api)
{
	struct api_views *all = api->views;

	if (!all)
		return;
	while (all->builds) {
		struct build *build = all->builds;

		all->builds = build->next;
		free_build(build);
	}
	(void)pthread_cond_destroy(&all->given_up);
	(void)pthread_mutex_destroy(&all->mutex);
	free(all);
	api->views = NULL;
}

/* ---- turns ---- */

static struct build *find_build(struct api_views *all, const char *dir, const char *signature)
{
	for (struct build *build = all->builds; build; build = build->next) {
		if (strcmp(build->dir, dir) == 0 && strcmp(build->signature, signature) == 0)
			return build;
	}
	return NULL;
}

static struct build *add_build(
    struct api_views *all, struct api_database *database, const struct view_group *group, const char *design)
{
	struct build *build = calloc(1, sizeof(*build));

	if (!build)
		return NULL;
	build->dir = strdup(database->dir);
	build->database = strdup(database->name);
	build->design = strdup(design);
	if (!build->dir || !build->database || !build->design) {
		free_build(build);
		return NULL;
	}
	memcpy(build->signature, group->signature, sizeof(build->signature));
	build->started = build->updated = api_now() / 1000;
	build->next = all->builds;
	all->builds = build;
	return build;
}

static int64_t milliseconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* this clock is always there */
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* *out NULL: another one has had it all the time. */
static int take_build(struct api_database *database, const struct view_group *group, const char *design,
    struct build **out, struct qosid_errbuf *err)
{
	struct api_views *all = database->api->views;
	int64_t until = milliseconds() + TURN_MS;
	struct timespec time = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
	struct build *build;
	int rc = 0, waited = 0;

	*out = NULL;
	(void)pthread_mutex_lock(&all->mutex); /* cannot fail for this kind */
	while ((build = find_build(all, database->dir, group->signature)) && build->held && waited != ETIMEDOUT)
		waited = pthread_cond_timedwait(&all->given_up, &all->mutex, &time);
	if (!build && !(build = add_build(all, database, group, design)))
		rc = qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	if (build && !build->held) {
		build->held = true;
		*out = build;
	}
	(void)pthread_mutex_unlock(&all->mutex);
	return rc;
}

static void give_build(struct api_views *all, struct build *build, bool ended)
{
	(void)pthread_mutex_lock(&all->mutex);
	build->held = false;
	for (struct build **at = &all->builds; ended && *at; at = &(*at)->next) {
		if (*at == build) {
			*at = build->next;
			free_build(build);
			break;
		}
	}
	(void)pthread_cond_broadcast(&all->given_up);
	(void)pthread_mutex_unlock(&all->mutex);
}

static int note_progress(
    struct api_database *database, const struct view_group *group, struct build *build, struct qosid_errbuf *err)
{
	int64_t sequence, left;
	int rc = views_read_sequence(database->views, group, &sequence, err);

	if (rc == 0)
		rc = replica_count_changes(database->replica, sequence, &left, err);
	if (rc != 0)
		return rc;
	(void)pthread_mutex_lock(&database->api->views->mutex);
	if (build->total < left)
		build->total = left;
	build->done = build->total - left;
	build->updated = api_now() / 1000;
	(void)pthread_mutex_unlock(&database->api->views->mutex);
	return 0;
}

static int build_turn(struct api_database *database, const struct view_group *group, int view, struct build *build,
    bool *ready, struct qosid_errbuf *err)
{
	struct script_engine script = {.database = database, .group = group};
	struct view_engine engine = script_engine_bind(&script);
	int64_t until = milliseconds() + TURN_MS;
	bool updated = false, folded = view < 0;
	int rc = note_progress(database, group, build, err);

	while (rc == 0 && !updated) {
		rc = views_update(database->views, database->replica, group, &engine, &updated, err);
		if (milliseconds() > until)
			break;
	}
	while (rc == 0 && updated && !folded) {
		rc = views_fold(database->views, group, (size_t)view, &engine, &folded, err);
		if (milliseconds() > until)
			break;
	}
	if (rc == 0)
		rc = note_progress(database, group, build, err);
	*ready = rc == 0 && updated && folded;
	script_engine_end(&script);
	return rc;
}

int view_build_turn(struct api_database *database, const struct view_group *group, int view, const char *design,
    bool *ready, struct qosid_errbuf *err)
{
	struct replica_info info;
	struct build *build;
	int64_t sequence;
	bool open = false;
	int rc = replica_read_info(database->replica, &info, err);

	*ready = false;
	if (rc == 0)
		rc = views_read_sequence(database->views, group, &sequence, err);
	if (rc == 0 && view >= 0)
		rc = views_has_open(database->views, group, (size_t)view, &open, err);
	if (rc == 0 && sequence == info.sequence && !open)
		*ready = true;
	if (rc != 0 || *ready)
		return rc;
	rc = take_build(database, group, design, &build, err);
	if (rc != 0 || !build)
		return rc;
	rc = build_turn(database, group, view, build, ready, err);
	give_build(database->api->views, build, rc != 0 || *ready);
	return rc;
}

bool view_build_runs(struct api_database *database, const struct view_group *group)
{
	struct api_views *all = database->api->views;
	bool runs;

	(void)pthread_mutex_lock(&all->mutex);
	runs = find_build(all, database->dir, group->signature) != NULL;
	(void)pthread_mutex_unlock(&all->mutex);
	return runs;
}

size_t api_view_write_tasks(struct api *api, bool first, struct writer *writer)
{
	size_t count = 0;

	(void)pthread_mutex_lock(&api->views->mutex);
	for (const struct build *build = api->views->builds; build; build = build->next, count++) {
		writer_text(writer, first && count == 0 ? "" : ",");
		writer_text(writer, "{\"type\":\"indexer\",\"node\":\"_local\",\"database\":");
		writer_string(writer, build->database);
		writer_text(writer, ",\"design_document\":");
		writer_string(writer, build->design);
		writer_format(writer,
		    ",\"changes_done\":%" PRId64 ",\"total_changes\":%" PRId64 ",\"progress\":%" PRId64
		    ",\"started_on\":%" PRId64 ",\"updated_on\":%" PRId64 ",\"pid\":\"<view-%.8s>\"}",
		    build->done, build->total, build->total > 0 ? build->done * 100 / build->total : 0, build->started,
		    build->updated, build->signature);
	}
	(void)pthread_mutex_unlock(&api->views->mutex);
	return count;
}
