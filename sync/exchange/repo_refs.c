/*
 * Refs of a repository (repo.h). Each has one writer, so a lock that stays is one that a killed writer left.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sync/exchange/repo_internal.h"

#define REFS_VISITED_MAX 65536u
#define REF_LOCK_POLLS 40
#define REF_LOCK_POLL_NANOSECONDS 50000000L

int repo_read_ref(struct repo *repo, const char *name, git_oid *out, struct qosid_errbuf *err)
{
	git_reference *ref = NULL;
	int rc = git_reference_lookup(&ref, repo->git, name);

	if (rc == GIT_ENOTFOUND)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "there is no ref %s in %s", name, repo->path);
	if (rc != 0)
		return repo_failure(err, QOSID_ERR_CORRUPT, "ref %s in %s cannot be read", name, repo->path);
	if (git_reference_type(ref) == GIT_REFERENCE_DIRECT)
		git_oid_cpy(out, git_reference_target(ref));
	else
		rc = qosid_error(
		    err, QOSID_ERR_INVALID, "ref %s in %s points to another ref, not to a commit", name, repo->path);
	git_reference_free(ref);
	return rc;
}

/* A ref is locked by the file <ref>.lock, which a killed process leaves behind. No one holds it for longer than it
 * takes to write 41 bytes, so one that stays the same for two seconds is such a leftover, and is removed. Returns 0
 * when it is worth trying again. */
static int clear_lock(const struct repo *repo, const char *name, struct qosid_errbuf *err)
{
	const struct timespec pause = {.tv_nsec = REF_LOCK_POLL_NANOSECONDS};
	struct qosid_buf path = {0};
	struct stat first, now;
	int rc = qosid_buf_append_format(&path, err, "%s%s.lock", git_repository_path(repo->git), name);

	if (rc != 0)
		return rc;
	if (stat((const char *)path.data, &first) != 0)
		goto out;
	for (int i = 0; i < REF_LOCK_POLLS; i++) {
		(void)nanosleep(&pause, NULL); /* cut short by a signal is no harm */
		if (stat((const char *)path.data, &now) != 0 || now.st_ino != first.st_ino ||
		    now.st_mtim.tv_sec != first.st_mtim.tv_sec || now.st_mtim.tv_nsec != first.st_mtim.tv_nsec)
			goto out;
	}
	if (unlink((const char *)path.data) != 0 && errno != ENOENT)
		rc = qosid_error_errno(err, errno, "cannot remove the abandoned lock %s", (const char *)path.data);
out:
	qosid_buf_free(&path);
	return rc;
}

int repo_update_ref(
    struct repo *repo, const char *name, const git_oid *old_id, const git_oid *new_id, struct qosid_errbuf *err)
{
	static const git_oid absent; /* all zeros: must not exist */
	git_reference *ref = NULL;
	int rc = repo_flush(repo, err);

	if (rc != 0)
		return rc;
	if (!repo_has(repo, new_id))
		return qosid_error(err, QOSID_ERR_NOTFOUND, "ref %s in %s cannot name object %s, which is not there",
		    name, repo->path, git_oid_tostr_s(new_id));
	for (int tries = 0;; tries++) {
		rc = git_reference_create_matching(
		    &ref, repo->git, name, new_id, 1, old_id != NULL ? old_id : &absent, NULL);
		if (rc != GIT_ELOCKED || tries == 3)
			break;
		rc = clear_lock(repo, name, err);
		if (rc != 0)
			return rc;
	}
	git_reference_free(ref);
	if (rc == 0)
		return 0;
	if (rc == GIT_EMODIFIED || rc == GIT_EEXISTS || (rc == GIT_ENOTFOUND && old_id != NULL))
		return qosid_error(err, QOSID_ERR_CONFLICT, "ref %s in %s was moved by someone else", name, repo->path);
	if (rc == GIT_ELOCKED)
		return qosid_error(err, QOSID_ERR_BUSY, "ref %s in %s is locked", name, repo->path);
	return repo_failure(err, QOSID_ERR_IO, "cannot move ref %s in %s", name, repo->path);
}

struct visited {
	char *name;
	git_oid id;
};

struct visited_list {
	struct visited *refs;
	size_t count, cap;
};

static int list_add(struct visited_list *list, const git_reference *ref, struct qosid_errbuf *err)
{
	struct visited *grown;

	if (list->count == REFS_VISITED_MAX)
		return qosid_error(err, QOSID_ERR_LIMIT, "more than %u refs", REFS_VISITED_MAX);
	if (list->count == list->cap) {
		size_t cap = list->cap == 0 ? 64 : list->cap * 2;

		grown = realloc(list->refs, cap * sizeof(*grown));
		if (grown == NULL)
			return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for %zu refs", cap);
		list->refs = grown;
		list->cap = cap;
	}
	list->refs[list->count].name = strdup(git_reference_name(ref));
	if (list->refs[list->count].name == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the name of a ref");
	git_oid_cpy(&list->refs[list->count++].id, git_reference_target(ref));
	return 0;
}

static int list_fill(struct visited_list *list, struct repo *repo, const char *prefix, struct qosid_errbuf *err)
{
	git_reference_iterator *iterator = NULL;
	git_reference *ref = NULL;
	struct qosid_buf glob = {0};
	int rc = qosid_buf_append_format(&glob, err, "%s*", prefix);
	int status;

	if (rc != 0)
		return rc;
	status = git_reference_iterator_glob_new(&iterator, repo->git, (const char *)glob.data);
	while (status == 0 && rc == 0 && (status = git_reference_next(&ref, iterator)) == 0) {
		/* Qosid writes no symbolic refs below its prefixes; one of a stranger has no meaning. */
		if (git_reference_type(ref) == GIT_REFERENCE_DIRECT)
			rc = list_add(list, ref, err);
		git_reference_free(ref);
	}
	if (rc == 0 && status != GIT_ITEROVER)
		rc = repo_failure(err, QOSID_ERR_CORRUPT, "cannot list the refs of %s", repo->path);
	git_reference_iterator_free(iterator);
	qosid_buf_free(&glob);
	return rc;
}

static int compare_names(const void *left, const void *right)
{
	return strcmp(((const struct visited *)left)->name, ((const struct visited *)right)->name);
}

int repo_visit_refs(struct repo *repo, const char *prefix,
    int (*visit)(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	struct visited_list list = {0};
	int rc = list_fill(&list, repo, prefix, err);

	if (rc == 0 && list.count > 1)
		qsort(list.refs, list.count, sizeof(*list.refs), compare_names);
	for (size_t i = 0; i < list.count && rc == 0; i++)
		rc = visit(context, list.refs[i].name, &list.refs[i].id, err);
	for (size_t i = 0; i < list.count; i++)
		free(list.refs[i].name);
	free(list.refs);
	return rc;
}
