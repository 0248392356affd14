/*
 * A bare git repository as Qosid uses it (repo.h): opening, capped reads, the queue of writes.
 *
 * The repository may be another office's, on a stick, prepared by a stranger. Of libgit2 only the databases of objects
 * are used, so no hooks or programs run, and neither the folder's nor the user's settings change what is read or
 * written.
 */
#include "sync/exchange/repo.h"

#include <errno.h>
#include <git2/odb_backend.h>
#include <git2/sys/alloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sync/exchange/pack.h"
#include "sync/exchange/repo_internal.h"
#include "sync/limits.h"

#define REPO_QUEUE_BYTES ((size_t)8 << 20) /* more is flushed at once */
#define REPO_LOOSE_OBJECTS 8u              /* up to so many, and so large, go loose */
#define REPO_LOOSE_BYTES (1u << 20)

int repo_failure(struct qosid_errbuf *err, int code, const char *fmt, ...)
{
	const git_error *last = git_error_last();
	const char *why = last != NULL && last->message != NULL ? last->message : "no reason given";
	char what[320];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	/* libgit2 has no error code for this, only the text of errno. */
	if (strstr(why, strerror(ENOSPC)) != NULL || strstr(why, strerror(EDQUOT)) != NULL)
		code = QOSID_ERR_FULL;
	return qosid_error(err, code, "%s: %s", what, why);
}

int repo_file(const struct repo *repo, struct qosid_buf *out, const char *name, struct qosid_errbuf *err)
{
	return qosid_buf_append_format(out, err, "%s/%s", repo->folder, name);
}

/* ---- opening ---- */

/* A small object can be a delta on one of gigabytes, which libgit2 would inflate whole. It gets no more memory at once
 * than the largest object takes that may be read. */
#define ALLOCATION_MAX ((size_t)LIMIT_CHANGESET_BYTES + (1u << 20))

static void *capped_realloc(void *old, size_t len, const char *file, int line)
{
	void *made = NULL;

	(void)file;
	(void)line;
	if (len > ALLOCATION_MAX) {
		git_error_set_str(GIT_ERROR_NOMEMORY, "it takes more memory than an object may");
		return NULL;
	}
	made = realloc(old, len > 0 ? len : 1);
	if (made == NULL)
		git_error_set_oom();
	return made;
}

static void *capped_malloc(size_t len, const char *file, int line)
{
	return capped_realloc(NULL, len, file, line);
}

static void *capped_reallocarray(void *old, size_t count, size_t len, const char *file, int line)
{
	size_t bytes = len == 0 || count <= ALLOCATION_MAX / len ? count * len : SIZE_MAX;

	return capped_realloc(old, bytes, file, line);
}

static void *capped_mallocarray(size_t count, size_t len, const char *file, int line)
{
	return capped_reallocarray(NULL, count, len, file, line);
}

static void *capped_calloc(size_t count, size_t len, const char *file, int line)
{
	void *made = capped_mallocarray(count, len, file, line);

	return made != NULL ? memset(made, 0, count * len) : NULL;
}

static char *capped_substrdup(const char *text, size_t len, const char *file, int line)
{
	char *made = capped_malloc(len < SIZE_MAX ? len + 1 : len, file, line);

	if (made != NULL) {
		memcpy(made, text, len);
		made[len] = '\0';
	}
	return made;
}

static char *capped_strndup(const char *text, size_t len, const char *file, int line)
{
	return capped_substrdup(text, strnlen(text, len), file, line);
}

static char *capped_strdup(const char *text, const char *file, int line)
{
	return capped_substrdup(text, strlen(text), file, line);
}

/* These settings are the process's, not a repository's. */
static void set_options(void)
{
	/* What was allocated before is the C library's too, so the two mix. libgit2 keeps the structure's contents. */
	git_allocator capped = {.gmalloc = capped_malloc,
	    .gcalloc = capped_calloc,
	    .gstrdup = capped_strdup,
	    .gstrndup = capped_strndup,
	    .gsubstrdup = capped_substrdup,
	    .grealloc = capped_realloc,
	    .greallocarray = capped_reallocarray,
	    .gmallocarray = capped_mallocarray,
	    .gfree = free};

	(void)git_libgit2_opts(GIT_OPT_SET_ALLOCATOR, &capped);
	/* The default, but everything rests on it. */
	(void)git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 1);
	/* Each object is read about once, and damage must show each time. */
	(void)git_libgit2_opts(GIT_OPT_ENABLE_CACHING, 0);
}

static int fsync_folder(const struct repo *repo, const char *name, struct qosid_errbuf *err)
{
	struct qosid_buf path = {0};
	int rc = repo_file(repo, &path, name, err);

	if (rc == 0)
		rc = newfile_fsync_folder((const char *)path.data, err);
	qosid_buf_free(&path);
	return rc;
}

/* Packs and loose objects apart, and no objects that info/alternates names elsewhere. */
static int repo_attach_objects(struct repo *repo, struct qosid_errbuf *err)
{
	struct qosid_buf path = {0};
	git_odb_backend *backend = NULL;
	int rc = repo_file(repo, &path, "objects", err);
	int status;

	if (rc != 0)
		return rc;
	rc = sharing_read(&repo->sharing, (const char *)path.data, err);
	if (rc != 0) {
		qosid_buf_free(&path);
		return rc;
	}
	status = git_odb_new(&repo->packs);
	if (status == 0)
		status = git_odb_new(&repo->loose);
	if (status == 0)
		status = git_odb_backend_pack(&backend, (const char *)path.data);
	if (status == 0)
		status = git_odb_add_backend(repo->packs, backend, 1);
	if (status == 0)
		status = git_odb_backend_loose(&backend, (const char *)path.data, -1, 1, 0, 0);
	if (status == 0)
		status = git_odb_add_backend(repo->loose, backend, 1);
	qosid_buf_free(&path);
	return status == 0 ? 0 : repo_failure(err, QOSID_ERR_IO, "cannot open the objects of %s", repo->path);
}

static int repo_attach(struct repo *repo, bool create, struct qosid_errbuf *err)
{
	struct stat status;
	int rc;

	if (!create && stat(repo->path, &status) != 0) {
		rc = qosid_error_errno(err, errno, "cannot reach the repository %s", repo->path);
		return rc == QOSID_ERR_NOMEM ? rc
					     : qosid_error(err, QOSID_ERR_OFFLINE, "the repository %s is not there: %s",
						   repo->path, strerror(errno));
	}
	rc = repo_check_folder(repo->path, err);
	if (rc == QOSID_ERR_NOTFOUND && create) {
		rc = repo_create_folder(repo->path, err);
	} else if (rc == QOSID_ERR_NOTFOUND) {
		rc = qosid_error(err, QOSID_ERR_INVALID, "%s is not a bare git repository", repo->path);
		qosid_error_hint(
		    err, "Give the folder that `git init --bare` or Qosid made, not one with a work tree.");
	}
	if (rc != 0)
		return rc;
	repo->folder = realpath(repo->path, NULL);
	if (repo->folder == NULL)
		return qosid_error_errno(err, errno, "cannot open the repository %s", repo->path);
	return repo_attach_objects(repo, err);
}

int repo_open(struct repo **out, const char *path, bool create, struct qosid_errbuf *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct repo *repo;
	int rc;

	*out = NULL;
	if (pthread_once(&once, set_options) != 0)
		return qosid_error(err, QOSID_ERR_FAILED, "cannot set up libgit2");
	repo = calloc(1, sizeof(*repo));
	if (repo == NULL || (repo->path = strdup(path)) == NULL) {
		free(repo);
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a repository");
	}
	rc = repo_attach(repo, create, err);
	if (rc != 0) {
		repo_free(repo);
		return rc;
	}
	*out = repo;
	return 0;
}

void repo_free(struct repo *repo)
{
	if (repo == NULL)
		return;
	git_odb_free(repo->packs);
	git_odb_free(repo->loose);
	oidmap_free(&repo->queue_ids);
	qosid_buf_free(&repo->queue_bytes);
	free(repo->queue);
	free(repo->folder);
	free(repo->path);
	free(repo);
}

const char *repo_path(const struct repo *repo)
{
	return repo->path;
}

/* ---- reading ---- */

int repo_check_object(const struct repo *repo, const git_oid *id, git_object_t is, git_object_t wanted, size_t len,
    size_t limit, struct qosid_errbuf *err)
{
	char hex[GIT_OID_HEXSZ + 1];

	git_oid_tostr(hex, sizeof(hex), id);
	if (wanted != GIT_OBJECT_ANY && is != wanted)
		return qosid_error(err, QOSID_ERR_INVALID, "object %s in %s is a %s where a %s belongs", hex,
		    repo->path, git_object_type2string(is), git_object_type2string(wanted));
	if (len > limit)
		return qosid_error(err, QOSID_ERR_LIMIT, "object %s in %s has %zu bytes, more than the %zu allowed",
		    hex, repo->path, len, limit);
	return 0;
}

static int read_failure(const struct repo *repo, const git_oid *id, int status, struct qosid_errbuf *err)
{
	char hex[GIT_OID_HEXSZ + 1];

	git_oid_tostr(hex, sizeof(hex), id);
	if (status == GIT_ENOTFOUND)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "object %s is not in %s", hex, repo->path);
	return repo_failure(err, QOSID_ERR_CORRUPT, "object %s in %s is damaged", hex, repo->path);
}

int repo_read(struct repo *repo, const git_oid *id, git_object_t type, size_t limit, struct qosid_buf *out,
    struct qosid_errbuf *err)
{
	git_odb_object *object = NULL;
	git_object_t is;
	uint32_t index;
	size_t len;
	int rc;

	if (oidmap_find(&repo->queue_ids, id, &index)) {
		const struct repo_queued *queued = &repo->queue[index];

		rc = repo_check_object(repo, id, queued->type, type, queued->len, limit, err);
		return rc != 0 ? rc : qosid_buf_append(out, repo->queue_bytes.data + queued->offset, queued->len, err);
	}
	rc = repo_read_loose(repo, id, type, limit, &is, out, err);
	if (rc != QOSID_ERR_NOTFOUND)
		return rc;
	rc = git_odb_read_header(&len, &is, repo->packs, id);
	if (rc != 0)
		return read_failure(repo, id, rc, err);
	rc = repo_check_object(repo, id, is, type, len, limit, err);
	if (rc != 0)
		return rc;
	rc = git_odb_read(&object, repo->packs, id);
	if (rc != 0)
		return read_failure(repo, id, rc, err);
	/* Once more: the file may have been replaced in between. */
	rc = repo_check_object(repo, id, git_odb_object_type(object), type, git_odb_object_size(object), limit, err);
	if (rc == 0)
		rc = qosid_buf_append(out, git_odb_object_data(object), git_odb_object_size(object), err);
	git_odb_object_free(object);
	return rc;
}

bool repo_has(struct repo *repo, const git_oid *id)
{
	return oidmap_find(&repo->queue_ids, id, NULL) || git_odb_exists(repo->packs, id) == 1 ||
	       git_odb_exists(repo->loose, id) == 1;
}

bool repo_has_known(struct repo *repo, const git_oid *id)
{
	return oidmap_find(&repo->queue_ids, id, NULL) ||
	       git_odb_exists_ext(repo->packs, id, GIT_ODB_LOOKUP_NO_REFRESH) == 1 ||
	       git_odb_exists_ext(repo->loose, id, GIT_ODB_LOOKUP_NO_REFRESH) == 1;
}

/* ---- writing ---- */

static int queue_reserve(struct repo *repo, size_t len, struct qosid_errbuf *err)
{
	size_t cap = repo->queue_cap == 0 ? 64 : repo->queue_cap * 2;
	struct repo_queued *queue;
	int rc = qosid_buf_reserve(&repo->queue_bytes, len, err);

	if (rc != 0 || repo->queue_ids.count < repo->queue_cap)
		return rc;
	queue = realloc(repo->queue, cap * sizeof(*queue));
	if (queue == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for %zu git objects", cap);
	repo->queue = queue;
	repo->queue_cap = cap;
	return 0;
}

int repo_write(
    struct repo *repo, git_object_t type, const void *data, size_t len, git_oid *id, struct qosid_errbuf *err)
{
	uint32_t index;
	git_oid computed;
	bool added;
	int rc = pack_object_id(&computed, type, data, len, err);

	if (rc != 0)
		return rc;
	if (id != NULL)
		git_oid_cpy(id, &computed);
	if (repo_has_known(repo, &computed))
		return 0;
	rc = queue_reserve(repo, len, err);
	if (rc == 0)
		rc = oidmap_add(&repo->queue_ids, &computed, &index, &added, err);
	if (rc != 0)
		return rc;
	repo->queue[index] = (struct repo_queued){.type = type, .offset = repo->queue_bytes.len, .len = len};
	rc = qosid_buf_append(&repo->queue_bytes, data, len, err); /* there is room */
	if (rc == 0 && repo->queue_bytes.len > REPO_QUEUE_BYTES)
		rc = repo_flush(repo, err);
	return rc;
}

static int flush_loose(struct repo *repo, struct qosid_errbuf *err)
{
	for (uint32_t i = 0; i < repo->queue_ids.count; i++) {
		const struct repo_queued *queued = &repo->queue[i];
		int rc = repo_write_loose(repo, &repo->queue_ids.ids[i], queued->type,
		    repo->queue_bytes.data + queued->offset, queued->len, err);

		if (rc != 0)
			return rc;
	}
	return fsync_folder(repo, "objects", err); /* folders in it may be new */
}

static int flush_pack(struct repo *repo, struct qosid_errbuf *err)
{
	struct pack_writer *writer = NULL;
	struct qosid_buf directory = {0};
	int rc = repo_file(repo, &directory, "objects/pack", err);

	if (rc == 0)
		rc = pack_writer_open(&writer, (const char *)directory.data, &repo->sharing, err);
	for (uint32_t i = 0; i < repo->queue_ids.count && rc == 0; i++) {
		const struct repo_queued *queued = &repo->queue[i];

		rc = pack_writer_add(
		    writer, queued->type, repo->queue_bytes.data + queued->offset, queued->len, NULL, err);
	}
	if (rc == 0)
		rc = pack_writer_finish(writer, err);
	if (rc == 0 && git_odb_refresh(repo->packs) != 0)
		rc = repo_failure(err, QOSID_ERR_IO, "cannot see the new pack in %s", repo->path);
	pack_writer_free(writer);
	qosid_buf_free(&directory);
	return rc;
}

int repo_flush(struct repo *repo, struct qosid_errbuf *err)
{
	uint32_t count = repo->queue_ids.count;
	int rc;

	if (count == 0)
		return 0;
	if (count <= REPO_LOOSE_OBJECTS && repo->queue_bytes.len <= REPO_LOOSE_BYTES)
		rc = flush_loose(repo, err);
	else
		rc = flush_pack(repo, err);
	if (rc != 0)
		return rc; /* the queue stays: what is in it is still readable, and can be flushed again */
	oidmap_reset(&repo->queue_ids);
	if (repo->queue_bytes.cap > 2 * REPO_QUEUE_BYTES)
		qosid_buf_free(&repo->queue_bytes); /* grown for one large object */
	qosid_buf_reset(&repo->queue_bytes);
	return 0;
}
