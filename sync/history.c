/*
 * Looking at logs: where each one stands, and what it says, newest first.
 */
#include <stdlib.h>
#include <string.h>

#include "sync/space_internal.h"

/* An archive that is kept of a generation. */
static bool find_archive(struct space *space, const struct log *log, int64_t generation)
{
	char ref[ARCHIVE_REF_SIZE];
	git_oid id;

	archive_format(ref, &space->exchange, log, generation);
	return repo_read_ref(space->exchange.repo, ref, &id, NULL) == 0;
}

/* A log that cannot be read is told of by verify; here it is shown without. */
static void find_generation(
    struct space *space, const struct log *log, struct log_point *point, struct space_log *entry)
{
	struct commit commit = {0};
	git_oid begin;

	if (log_read_generation(space->exchange.repo, point, NULL) != 0)
		return;
	entry->generation = point->generation;
	entry->begins = 1;
	if (generation_read_begin(&space->exchange, log, &begin, NULL) == 0 &&
	    log_read_commit(space->exchange.repo, &begin, &commit, NULL) == 0)
		entry->begins = commit.sequence;
	commit_free(&commit);
	while ((int64_t)entry->archives + 1 < point->generation &&
	       find_archive(space, log, point->generation - 1 - (int64_t)entry->archives))
		entry->archives++;
}

static int visit_log(struct space *space, enum log_kind kind, const char *office,
    int (*visit)(void *context, const struct space_log *log, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	char commit[GIT_OID_HEXSZ + 1] = "";
	struct log_point point;
	struct log log;
	struct space_log entry;
	int rc;

	log_init(&log, kind, office);
	if (kind == LOG_ROSTER)
		roster_log_read_point(&space->exchange, office, &point);
	else if ((rc = log_read_point(space->exchange.replica, &log, &point, err)) != 0)
		return rc;
	if (point.sequence == 0 &&
	    (kind == LOG_FILES || (kind == LOG_ROSTER && strcmp(office, space->config.steward) != 0)))
		return 0;
	if (point.sequence > 0)
		git_oid_tostr(commit, sizeof(commit), &point.commit);
	entry = (struct space_log){.name = log.name,
	    .sequence = point.sequence,
	    .time = point.time,
	    .commit = commit,
	    .own = strcmp(office, space->config.office) == 0};
	if (kind == LOG_OFFICE && point.sequence > 0)
		find_generation(space, &log, &point, &entry);
	return visit(context, &entry, err);
}

int space_visit_logs(struct space *space,
    int (*visit)(void *context, const struct space_log *log, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	const struct roster *roster = space->exchange.roster;
	int rc;

	if ((rc = visit_log(space, LOG_ROSTER, space->config.steward, visit, context, err)) != 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < roster_member_count(roster, -1); i++) {
		const char *office = roster_member_at(roster, -1, i)->office;

		if (strcmp(office, space->config.steward) != 0 && roster_log_is_expected(&space->exchange, office))
			rc = visit_log(space, LOG_ROSTER, office, visit, context, err);
	}
	for (size_t i = 0; rc == 0 && i < roster_member_count(roster, -1); i++) {
		const struct roster_member *member = roster_member_at(roster, -1, i);

		struct log_point point;
		struct log log;

		log_init(&log, LOG_OFFICE, member->office);
		if ((rc = log_read_point(space->exchange.replica, &log, &point, err)) != 0)
			break;
		if ((member->roles & ROLE_WRITER) == 0 && point.sequence == 0)
			continue;
		if ((rc = visit_log(space, LOG_OFFICE, member->office, visit, context, err)) == 0)
			rc = visit_log(space, LOG_FILES, member->office, visit, context, err);
	}
	return rc;
}

/* A log being read backwards. */
struct cursor {
	struct log log;
	git_oid id;
	struct commit commit; /* at id */
	bool done;
};

static int read_cursor(struct space *space, struct cursor *cursor, struct qosid_errbuf *err)
{
	struct qosid_buf raw = {0}, signature = {0}, payload = {0};
	int rc;

	commit_free(&cursor->commit);
	cursor->commit = (struct commit){0};
	if ((rc = repo_read(space->exchange.repo, &cursor->id, GIT_OBJECT_COMMIT, LIMIT_COMMIT_BYTES, &raw, err)) == 0)
		rc = commit_parse(&cursor->commit, raw.data, raw.len, &signature, &payload, err);
	qosid_buf_free(&raw);
	qosid_buf_free(&signature);
	qosid_buf_free(&payload);
	return rc != 0 ? qosid_error_within(err, "%s", cursor->log.name) : 0;
}

static int open_cursors(
    struct space *space, const char *office, struct cursor *cursors, size_t *count, struct qosid_errbuf *err)
{
	const struct roster *roster = space->exchange.roster;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < roster_member_count(roster, -1); i++) {
		const struct roster_member *member = roster_member_at(roster, -1, i);
		struct cursor *cursor = &cursors[*count];
		struct log_point point;

		if (office != NULL && strcmp(office, member->office) != 0)
			continue;
		log_init(&cursor->log, LOG_OFFICE, member->office);
		if ((rc = log_read_point(space->exchange.replica, &cursor->log, &point, err)) != 0)
			break;
		if (point.sequence == 0)
			continue;
		cursor->id = point.commit;
		rc = read_cursor(space, cursor, err);
		(*count)++;
	}
	return rc;
}

static struct cursor *find_newest(struct cursor *cursors, size_t count)
{
	struct cursor *newest = NULL;

	for (size_t i = 0; i < count; i++) {
		if (!cursors[i].done && (newest == NULL || cursors[i].commit.time > newest->commit.time))
			newest = &cursors[i];
	}
	return newest;
}

int space_visit_history(struct space *space, const char *office, size_t limit,
    int (*visit)(void *context, const struct space_entry *entry, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	size_t count = 0, members = roster_member_count(space->exchange.roster, -1);
	struct cursor *cursors = calloc(members + 1, sizeof(*cursors)), *newest;
	char id[GIT_OID_HEXSZ + 1];
	int rc = 0;

	if (cursors == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory");
	if (office != NULL && roster_find_member(space->exchange.roster, -1, office) == NULL)
		rc = qosid_error(err, QOSID_ERR_NOTFOUND, "there is no office %s in this space", office);
	else
		rc = open_cursors(space, office, cursors, &count, err);
	for (size_t n = 0; rc == 0 && (limit == 0 || n < limit); n++) {
		newest = find_newest(cursors, count);
		if (newest == NULL)
			break;
		git_oid_tostr(id, sizeof(id), &newest->id);
		rc = visit(context,
		    &(struct space_entry){.log = newest->log.name,
			.office = newest->log.office,
			.sequence = newest->commit.sequence,
			.generation = newest->commit.generation,
			.time = newest->commit.time,
			.commit = id,
			.subject = newest->commit.subject},
		    err);
		if (commit_begins(&newest->commit)) {
			newest->done = !find_archive(space, &newest->log, newest->commit.generation - 1);
			newest->id = newest->commit.archive;
		} else {
			newest->done = !newest->commit.has_parent;
			newest->id = newest->commit.parent;
		}
		if (rc == 0 && !newest->done)
			rc = read_cursor(space, newest, err);
	}
	for (size_t i = 0; i < count; i++)
		commit_free(&cursors[i].commit);
	free(cursors);
	return rc;
}
