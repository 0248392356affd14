/*
 * Refs of a repository (repo.h), as git keeps them: a file each below refs/, and packed-refs for those that have none.
 *
 * They are read and written here and not by libgit2, which opens whatever lies under a name, so that a pipe holds it up
 * for ever, and follows symbolic links to what others own. Here only plain files in plain folders are opened.
 *
 * A ref is written as its lock file, <ref>.lock, which then takes the ref's name; all programs that use git
 * repositories respect it. Each ref of Qosid has one writer, so a lock that stays is one that a killed writer left.
 * Ours hold an flock on theirs as well, which ends with the process: a lock of a living one is never removed.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "sync/exchange/repo_internal.h"

#define REFS_VISITED_MAX 65536u
#define REF_DEPTH_MAX 8
#define HEX_BYTES ((size_t)GIT_OID_HEXSZ)
#define REF_FILE_BYTES 256
#define REF_LOCK_POLLS 40
#define REF_LOCK_POLL_NANOSECONDS 50000000L
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define FILE_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

/* ---- folders ---- */

static const char *leaf_of(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash != NULL ? slash + 1 : name;
}

/* Make the folder that is the first len bytes of name, in the open folder parent. */
static int make_folder(const struct repo *repo, int parent, const char *name, int len, struct qosid_errbuf *err)
{
	struct qosid_buf objects = {0}, path = {0};
	int rc = repo_file(repo, &objects, "objects", err);

	if (rc == 0)
		rc = qosid_buf_append_format(&path, err, "%s/%.*s", repo->folder, len, name);
	if (rc == 0)
		rc = sharing_make_folder(&repo->sharing, (const char *)objects.data, (const char *)path.data, err);
	if (rc == 0 && fsync(parent) != 0 && errno != EINVAL)
		rc = qosid_error_errno(err, errno, "cannot flush the folder of %s to disk", (const char *)path.data);
	qosid_buf_free(&path);
	qosid_buf_free(&objects);
	return rc;
}

/* Open the folder that a ref is in: name up to its last '/'. One that is missing is made, or QOSID_ERR_NOTFOUND without
 * a text. */
static int open_folder(const struct repo *repo, const char *name, bool make, int *out, struct qosid_errbuf *err)
{
	struct qosid_buf part = {0};
	int fd = open(repo->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	*out = -1;
	if (fd < 0)
		return qosid_error_errno(err, errno, "cannot open the repository %s", repo->path);
	for (const char *at = name, *end; rc == 0 && (end = strchr(at, '/')) != NULL; at = end + 1) {
		int next;

		qosid_buf_reset(&part);
		rc = qosid_buf_append_format(&part, err, "%.*s", (int)(end - at), at);
		if (rc != 0)
			break;
		next = openat(fd, (const char *)part.data, FOLDER_FLAGS);
		if (next < 0 && errno == ENOENT && make) {
			rc = make_folder(repo, fd, name, (int)(end - name), err);
			if (rc != 0)
				break;
			next = openat(fd, (const char *)part.data, FOLDER_FLAGS);
		}
		if (next < 0 && errno == ENOENT)
			rc = QOSID_ERR_NOTFOUND;
		else if (next < 0 && (errno == ENOTDIR || errno == ELOOP))
			rc = qosid_error(
			    err, QOSID_ERR_INVALID, "%s/%.*s is no plain folder", repo->path, (int)(end - name), name);
		else if (next < 0)
			rc = qosid_error_errno(
			    err, errno, "cannot open the folder %s/%.*s", repo->path, (int)(end - name), name);
		(void)close(fd);
		fd = next;
	}
	qosid_buf_free(&part);
	if (rc != 0 && fd >= 0)
		(void)close(fd);
	else
		*out = fd;
	return rc;
}

/* ---- reading ---- */

/* What a ref's file says. Without a text: QOSID_ERR_NOTFOUND no such file (or an empty folder, as git may leave one),
 * QOSID_ERR_CORRUPT no id in it or no plain file, QOSID_ERR_INVALID another ref's name, QOSID_ERR_IO with errno. */
static int read_file(int folder, const char *leaf, git_oid *out)
{
	char text[REF_FILE_BYTES] = {0};
	struct stat status;
	ssize_t len;
	int fd = openat(folder, leaf, FILE_FLAGS);

	if (fd < 0 && errno == ENOENT)
		return QOSID_ERR_NOTFOUND;
	if (fd < 0)
		return errno == ELOOP || errno == ENXIO ? QOSID_ERR_CORRUPT : QOSID_ERR_IO;
	len = fstat(fd, &status);
	if (len == 0 && !S_ISREG(status.st_mode)) {
		(void)close(fd);
		return S_ISDIR(status.st_mode) ? QOSID_ERR_NOTFOUND : QOSID_ERR_CORRUPT;
	}
	if (len == 0)
		len = read(fd, text, sizeof(text) - 1);
	(void)close(fd); /* opened for reading */
	if (len < 0)
		return QOSID_ERR_IO;
	if (strncmp(text, "ref:", 4) == 0)
		return QOSID_ERR_INVALID;
	if ((size_t)len < HEX_BYTES || (text[HEX_BYTES] != '\0' && !isspace((unsigned char)text[HEX_BYTES])))
		return QOSID_ERR_CORRUPT;
	return git_oid_fromstrn(out, text, HEX_BYTES) == 0 ? 0 : QOSID_ERR_CORRUPT;
}

/* Append packed-refs to out; nothing when there is none. */
static int read_packed(const struct repo *repo, struct qosid_buf *out, struct qosid_errbuf *err)
{
	struct qosid_buf path = {0};
	struct stat status;
	int rc = repo_file(repo, &path, "packed-refs", err), fd;
	ssize_t got = 1;

	if (rc != 0)
		return rc;
	fd = open((const char *)path.data, FILE_FLAGS);
	if (fd < 0) {
		rc = errno == ENOENT ? 0 : qosid_error_errno(err, errno, "cannot open %s", (const char *)path.data);
		goto out;
	}
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
		rc = qosid_error(err, QOSID_ERR_INVALID, "%s is no plain file", (const char *)path.data);
	else if (status.st_size > (off_t)PACKED_REFS_BYTES_MAX)
		rc = qosid_error(err, QOSID_ERR_LIMIT, "%s has more than the %u bytes allowed", (const char *)path.data,
		    PACKED_REFS_BYTES_MAX);
	else
		rc = qosid_buf_reserve(out, (size_t)status.st_size, err);
	while (rc == 0 && got > 0 && out->len < (size_t)status.st_size) {
		got = read(fd, out->data + out->len, (size_t)status.st_size - out->len);
		if (got < 0)
			rc = qosid_error_errno(err, errno, "cannot read %s", (const char *)path.data);
		else
			out->len += (size_t)got;
	}
	(void)close(fd); /* opened for reading */
out:
	qosid_buf_free(&path);
	return rc;
}

/* A line of packed-refs. */
struct packed {
	const char *start, *end; /* of the line, with its line feed */
	const char *name;        /* NULL: it is no ref */
	size_t name_len;
	git_oid id;
};

/* Take the line at *at; false at the end. */
static bool packed_next(const struct qosid_buf *file, size_t *at, struct packed *line)
{
	const char *start, *feed;

	if (file->data == NULL || *at >= file->len)
		return false;
	start = (const char *)file->data + *at;
	feed = memchr(start, '\n', file->len - *at);
	*line = (struct packed){.start = start, .end = feed != NULL ? feed + 1 : start + (file->len - *at)};
	*at += (size_t)(line->end - start);
	if (feed == NULL || (size_t)(feed - start) <= HEX_BYTES + 1 || start[HEX_BYTES] != ' ' || *start == '#' ||
	    git_oid_fromstrn(&line->id, start, HEX_BYTES) != 0)
		return true;
	line->name = start + HEX_BYTES + 1;
	line->name_len = (size_t)(feed - line->name);
	if (line->name[line->name_len - 1] == '\r')
		line->name_len--;
	return true;
}

static bool packed_is(const struct packed *line, const char *name, size_t len)
{
	return line->name != NULL && line->name_len == len && memcmp(line->name, name, len) == 0;
}

static int find_packed(const struct repo *repo, const char *name, git_oid *out, struct qosid_errbuf *err)
{
	struct qosid_buf file = {0};
	struct packed line;
	size_t at = 0, len = strlen(name);
	int rc = read_packed(repo, &file, err);
	bool found = false;

	while (rc == 0 && !found && packed_next(&file, &at, &line)) {
		found = packed_is(&line, name, len);
		if (found)
			git_oid_cpy(out, &line.id);
	}
	qosid_buf_free(&file);
	return rc == 0 && !found ? QOSID_ERR_NOTFOUND : rc;
}

static int check_name(const char *name, struct qosid_errbuf *err)
{
	int valid = 0;

	if (git_reference_name_is_valid(&valid, name) != 0 || !valid)
		return qosid_error(err, QOSID_ERR_INVALID, "%s is no name for a ref", name);
	return 0;
}

int repo_read_ref(struct repo *repo, const char *name, git_oid *out, struct qosid_errbuf *err)
{
	int folder, rc = check_name(name, err);

	if (rc != 0)
		return rc;
	rc = open_folder(repo, name, false, &folder, err);
	if (rc == 0) {
		rc = read_file(folder, leaf_of(name), out);
		if (rc == QOSID_ERR_IO)
			rc = qosid_error_errno(err, errno, "ref %s in %s cannot be read", name, repo->path);
		else if (rc == QOSID_ERR_CORRUPT)
			rc = qosid_error(err, rc, "ref %s in %s is damaged", name, repo->path);
		else if (rc == QOSID_ERR_INVALID)
			rc = qosid_error(
			    err, rc, "ref %s in %s points to another ref, not to a commit", name, repo->path);
		(void)close(folder);
	}
	if (rc != QOSID_ERR_NOTFOUND)
		return rc;
	rc = find_packed(repo, name, out, err);
	return rc == QOSID_ERR_NOTFOUND ? qosid_error(err, rc, "there is no ref %s in %s", name, repo->path) : rc;
}

/* ---- locks ---- */

struct lock {
	int folder, fd;
	const char *leaf;
	char *name; /* leaf.lock */
};

static void lock_release(struct lock *lock)
{
	if (lock->fd >= 0 && lock->name != NULL) {
		(void)unlinkat(lock->folder, lock->name, 0); /* one that stays counts as abandoned */
		(void)close(lock->fd);
	}
	if (lock->folder >= 0)
		(void)close(lock->folder);
	free(lock->name);
	*lock = (struct lock){.folder = -1, .fd = -1};
}

int repo_break_lock(int folder, const char *name, int fd, const struct stat *judged, struct qosid_errbuf *err)
{
	struct stat now;

	/* Whoever removes one holds it, and looks again: of two who found the same file abandoned, the second must not
	 * remove the lock that the first has made since. Where files cannot be locked, the look is all there is. */
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
		return qosid_error(err, QOSID_ERR_BUSY, "%s is held by another process", name);
	if (fstatat(folder, name, &now, AT_SYMLINK_NOFOLLOW) != 0 || now.st_ino != judged->st_ino ||
	    now.st_dev != judged->st_dev || now.st_mtim.tv_sec != judged->st_mtim.tv_sec ||
	    now.st_mtim.tv_nsec != judged->st_mtim.tv_nsec)
		return 0;
	if (unlinkat(folder, name, 0) != 0 && errno != ENOENT)
		return qosid_error_errno(err, errno, "cannot remove the abandoned lock %s", name);
	return 0;
}

/* No one holds a lock for longer than it takes to write 41 bytes, so a file that stays the same for two seconds is a
 * leftover, and is removed. Returns 0 when it is worth trying again. */
static int clear_lock(const struct lock *lock, struct qosid_errbuf *err)
{
	const struct timespec pause = {.tv_nsec = REF_LOCK_POLL_NANOSECONDS};
	int fd = openat(lock->folder, lock->name, FILE_FLAGS); /* kept open, so that no other file gets its number */
	struct stat first, now;
	int rc = 0;

	if (fstatat(lock->folder, lock->name, &first, AT_SYMLINK_NOFOLLOW) != 0)
		goto out;
	for (int i = 0; i < REF_LOCK_POLLS; i++) {
		(void)nanosleep(&pause, NULL); /* cut short by a signal is no harm */
		if (fstatat(lock->folder, lock->name, &now, AT_SYMLINK_NOFOLLOW) != 0 || now.st_ino != first.st_ino ||
		    now.st_mtim.tv_sec != first.st_mtim.tv_sec || now.st_mtim.tv_nsec != first.st_mtim.tv_nsec)
			goto out;
	}
	rc = repo_break_lock(lock->folder, lock->name, fd, &first, err);
out:
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

/* Take a lock that is free: 0, QOSID_ERR_BUSY without a text, or a failure. */
static int lock_try(struct lock *lock, struct qosid_errbuf *err)
{
	struct stat own, named;
	int fd = openat(lock->folder, lock->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno == EEXIST ? QOSID_ERR_BUSY : qosid_error_errno(err, errno, "cannot make %s", lock->name);
	(void)flock(fd, LOCK_EX); /* where that is not possible, the file alone must do */
	/* Another process may have taken it for abandoned before it was held. */
	if (fstat(fd, &own) != 0 || fstatat(lock->folder, lock->name, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
	    own.st_ino != named.st_ino) {
		(void)close(fd);
		return QOSID_ERR_BUSY;
	}
	lock->fd = fd;
	return 0;
}

/* Lock a ref, or packed-refs. The caller releases it, whatever this returns. */
static int lock_take(struct lock *lock, const struct repo *repo, const char *name, bool make, struct qosid_errbuf *err)
{
	int rc;

	*lock = (struct lock){.folder = -1, .fd = -1, .leaf = leaf_of(name)};
	if (asprintf(&lock->name, "%s.lock", lock->leaf) < 0) {
		lock->name = NULL;
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a file name");
	}
	rc = open_folder(repo, name, make, &lock->folder, err);
	if (rc != 0)
		return rc;
	for (int tries = 0; (rc = lock_try(lock, err)) == QOSID_ERR_BUSY && tries < 3; tries++) {
		rc = clear_lock(lock, err);
		if (rc != 0)
			break;
	}
	if (rc == QOSID_ERR_BUSY)
		return qosid_error(err, rc, "ref %s in %s is locked", name, repo->path);
	if (rc != 0)
		(void)qosid_error_within(err, "ref %s in %s", name, repo->path);
	return rc;
}

/* Write the new contents, and give the lock file the name of what it locks. */
static int lock_commit(
    struct lock *lock, const struct repo *repo, const void *data, size_t len, struct qosid_errbuf *err)
{
	const struct newfile file = {.fd = lock->fd, .path = lock->name};
	int rc = newfile_write(&file, data, len, err);

	if (rc == 0)
		rc = newfile_seal(&file, &repo->sharing, SHARING_FILE, err);
	if (rc != 0)
		return rc;
	if (renameat(lock->folder, lock->name, lock->folder, lock->leaf) != 0 &&
	    /* in the way may be an empty folder, as git leaves it of refs that are gone */
	    (errno != EISDIR || unlinkat(lock->folder, lock->leaf, AT_REMOVEDIR) != 0 ||
		renameat(lock->folder, lock->name, lock->folder, lock->leaf) != 0))
		return qosid_error_errno(err, errno, "cannot rename %s", lock->name);
	(void)close(lock->fd); /* it has been fsync'd */
	lock->fd = -1;
	if (fsync(lock->folder) != 0 && errno != EINVAL)
		return qosid_error_errno(err, errno, "cannot flush the folder of %s to disk", lock->leaf);
	return 0;
}

/* ---- moving and removing ---- */

/* With the lock held: compare with the old value (NULL: must not exist). */
static int compare_ref(struct repo *repo, const char *name, const git_oid *old_id, struct qosid_errbuf *err)
{
	git_oid now;
	int rc = repo_read_ref(repo, name, &now, err);

	if (rc != 0 && rc != QOSID_ERR_NOTFOUND)
		return rc;
	if (rc == 0 ? old_id != NULL && git_oid_equal(&now, old_id) : old_id == NULL) {
		qosid_error_clear(err);
		return 0;
	}
	return qosid_error(err, QOSID_ERR_CONFLICT, "ref %s in %s was moved by someone else", name, repo->path);
}

int repo_update_ref(
    struct repo *repo, const char *name, const git_oid *old_id, const git_oid *new_id, struct qosid_errbuf *err)
{
	char text[HEX_BYTES + 2];
	struct lock lock;
	int rc = repo_flush(repo, err);

	if (rc == 0)
		rc = check_name(name, err);
	if (rc != 0)
		return rc;
	if (!repo_has(repo, new_id))
		return qosid_error(err, QOSID_ERR_NOTFOUND, "ref %s in %s cannot name object %s, which is not there",
		    name, repo->path, git_oid_tostr_s(new_id));
	git_oid_tostr(text, HEX_BYTES + 1, new_id);
	text[HEX_BYTES] = '\n';
	if ((rc = lock_take(&lock, repo, name, true, err)) == 0 && (rc = compare_ref(repo, name, old_id, err)) == 0 &&
	    (rc = lock_commit(&lock, repo, text, HEX_BYTES + 1, err)) != 0)
		(void)qosid_error_within(err, "ref %s in %s", name, repo->path);
	lock_release(&lock);
	return rc;
}

/* Write packed-refs without this ref, when it is in there. */
static int remove_packed(const struct repo *repo, const char *name, struct qosid_errbuf *err)
{
	struct qosid_buf file = {0}, kept = {0};
	struct packed line;
	struct lock lock = {.folder = -1, .fd = -1};
	bool dropped = false, dropping = false;
	size_t at = 0;
	git_oid id;
	int rc = find_packed(repo, name, &id, err);

	if (rc != 0)
		return rc == QOSID_ERR_NOTFOUND ? 0 : rc;
	if ((rc = lock_take(&lock, repo, "packed-refs", false, err)) == 0)
		rc = read_packed(repo, &file, err);
	while (rc == 0 && packed_next(&file, &at, &line)) {
		/* The line behind a ref may say, after a '^', to which commit its tag leads. */
		dropping = packed_is(&line, name, strlen(name)) || (dropping && *line.start == '^');
		dropped = dropped || dropping;
		if (!dropping)
			rc = qosid_buf_append(&kept, line.start, (size_t)(line.end - line.start), err);
	}
	if (rc == 0 && dropped)
		rc = lock_commit(&lock, repo, kept.data, kept.len, err);
	lock_release(&lock);
	qosid_buf_free(&kept);
	qosid_buf_free(&file);
	return rc;
}

int repo_delete_ref(struct repo *repo, const char *name, const git_oid *old_id, struct qosid_errbuf *err)
{
	struct lock lock;
	int rc = check_name(name, err);

	if (rc != 0)
		return rc;
	rc = lock_take(&lock, repo, name, true, err);
	/* The packed value first: it is the older one, and would come to light again. */
	if (rc == 0 && (rc = compare_ref(repo, name, old_id, err)) == 0 && (rc = remove_packed(repo, name, err)) == 0) {
		if (unlinkat(lock.folder, lock.leaf, 0) != 0 && errno != ENOENT && errno != EISDIR)
			rc = qosid_error_errno(err, errno, "cannot remove ref %s of %s", name, repo->path);
		else if (fsync(lock.folder) != 0 && errno != EINVAL)
			rc = qosid_error_errno(err, errno, "cannot flush the folder of ref %s to disk", name);
	}
	lock_release(&lock);
	return rc;
}

/* ---- visiting ---- */

struct visited {
	char *name;
	git_oid id;
	int status;     /* of reading it */
	bool is_packed; /* only counts when there is no other of the name */
};

struct visited_list {
	struct visited *refs;
	size_t count, cap;
};

static int list_add(
    struct visited_list *list, const char *name, size_t len, struct visited ref, struct qosid_errbuf *err)
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
	ref.name = strndup(name, len);
	if (ref.name == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for the name of a ref");
	if (check_name(ref.name, NULL) == 0)
		list->refs[list->count++] = ref;
	else
		free(ref.name); /* a lock, for example */
	return 0;
}

static int list_folder(struct visited_list *list, int folder, const char *prefix, int depth, struct qosid_errbuf *err);

static int list_entry(struct visited_list *list, int folder, const struct dirent *entry, const char *prefix, int depth,
    struct qosid_errbuf *err)
{
	struct qosid_buf name = {0};
	struct visited ref = {0};
	struct stat status;
	int rc, below;

	if (fstatat(folder, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return 0; /* gone again */
	rc = qosid_buf_append_format(&name, err, "%s%s", prefix, entry->d_name);
	if (rc == 0 && S_ISDIR(status.st_mode) && depth < REF_DEPTH_MAX) {
		rc = qosid_buf_append_byte(&name, '/', err);
		below = rc == 0 ? openat(folder, entry->d_name, FOLDER_FLAGS) : -1;
		if (below >= 0)
			rc = list_folder(list, below, (const char *)name.data, depth + 1, err);
	} else if (rc == 0 && S_ISREG(status.st_mode)) {
		ref.status = read_file(folder, entry->d_name, &ref.id);
		if (ref.status == QOSID_ERR_IO)
			rc = qosid_error_errno(err, errno, "ref %s cannot be read", (const char *)name.data);
		else
			rc = list_add(list, (const char *)name.data, name.len, ref, err);
	}
	qosid_buf_free(&name);
	return rc;
}

/* Add the refs that are files in an open folder, and close it. */
static int list_folder(struct visited_list *list, int folder, const char *prefix, int depth, struct qosid_errbuf *err)
{
	DIR *dir = fdopendir(folder);
	const struct dirent *entry;
	int rc = 0;

	if (dir == NULL) {
		rc = qosid_error_errno(err, errno, "cannot list %s", prefix);
		(void)close(folder);
		return rc;
	}
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			rc = list_entry(list, folder, entry, prefix, depth, err);
	}
	(void)closedir(dir);
	return rc;
}

static int list_packed(struct visited_list *list, const struct repo *repo, const char *prefix, struct qosid_errbuf *err)
{
	struct qosid_buf file = {0};
	struct packed line;
	size_t at = 0, len = strlen(prefix);
	int rc = read_packed(repo, &file, err);

	while (rc == 0 && packed_next(&file, &at, &line)) {
		if (line.name != NULL && line.name_len > len && memcmp(line.name, prefix, len) == 0)
			rc = list_add(
			    list, line.name, line.name_len, (struct visited){.id = line.id, .is_packed = true}, err);
	}
	qosid_buf_free(&file);
	return rc;
}

static int compare_visited(const void *left, const void *right)
{
	const struct visited *a = left, *b = right;
	int order = strcmp(a->name, b->name);

	return order != 0 ? order : (int)a->is_packed - (int)b->is_packed;
}

int repo_visit_refs(struct repo *repo, const char *prefix,
    int (*visit)(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err)
{
	struct visited_list list = {0};
	int folder, rc = open_folder(repo, prefix, false, &folder, err);

	if (rc == 0)
		rc = list_folder(&list, folder, prefix, 0, err);
	if (rc == 0 || rc == QOSID_ERR_NOTFOUND)
		rc = list_packed(&list, repo, prefix, err);
	if (rc == 0 && list.count > 1)
		qsort(list.refs, list.count, sizeof(*list.refs), compare_visited);
	for (size_t i = 0; i < list.count && rc == 0; i++) {
		bool is_older = i > 0 && strcmp(list.refs[i].name, list.refs[i - 1].name) == 0;

		/* Damaged ones, and a stranger's that name other refs, have no meaning. */
		if (!is_older && list.refs[i].status == 0)
			rc = visit(context, list.refs[i].name, &list.refs[i].id, err);
	}
	for (size_t i = 0; i < list.count; i++)
		free(list.refs[i].name);
	free(list.refs);
	return rc;
}
