/*
 * New files and folders of a repository: see newfile.h.
 */
#include "sync/exchange/newfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int no_memory(struct qosid_errbuf *err)
{
	return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a file name");
}

/* ---- modes ---- */

int sharing_read(struct sharing *out, const char *folder, struct qosid_errbuf *err)
{
	struct stat status;

	if (stat(folder, &status) != 0)
		return qosid_error_errno(err, errno, "cannot look at the folder %s", folder);
	*out = (struct sharing){.mode = status.st_mode & SHARING_FOLDER, .gid = status.st_gid};
	return 0;
}

int sharing_apply(const struct sharing *sharing, int fd, unsigned kind, const char *path, struct qosid_errbuf *err)
{
	mode_t mode = sharing->mode & kind;
	struct stat status;

	if (fstat(fd, &status) != 0)
		return qosid_error_errno(err, errno, "cannot look at %s", path);
	/* The group before the mode, as a change of it may take bits away. Not to be in that group is no failure, but
	 * then the bits meant for it would be another group's. */
	if (status.st_gid != sharing->gid && fchown(fd, (uid_t)-1, sharing->gid) != 0)
		mode &= ~(mode_t)(S_IRWXG | S_ISGID);
	if ((status.st_mode & 07777) != mode && fchmod(fd, mode) != 0 && errno != EPERM && errno != ENOTSUP)
		return qosid_error_errno(err, errno, "cannot set the mode of %s", path);
	return 0;
}

int sharing_apply_path(const struct sharing *sharing, const char *path, unsigned kind, struct qosid_errbuf *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int rc;

	if (fd < 0)
		return qosid_error_errno(err, errno, "cannot open %s", path);
	rc = sharing_apply(sharing, fd, kind, path, err);
	(void)close(fd); /* opened for reading */
	return rc;
}

int sharing_make_folder(const struct sharing *sharing, const char *scratch, const char *path, struct qosid_errbuf *err)
{
	struct stat status;
	char *made;
	int rc;

	if (lstat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return 0;
	if (asprintf(&made, "%s/" NEWFILE_PREFIX "XXXXXX", scratch) < 0)
		return no_memory(err);
	if (mkdtemp(made) == NULL) {
		rc = qosid_error_errno(err, errno, "cannot make a folder in %s", scratch);
		free(made);
		return rc;
	}
	rc = sharing_apply_path(sharing, made, SHARING_FOLDER, err);
	if (rc == 0 && rename(made, path) != 0 && errno != ENOTEMPTY && errno != EEXIST) /* somebody else was quicker */
		rc = qosid_error_errno(err, errno, "cannot make the folder %s", path);
	(void)rmdir(made); /* not there when all went well */
	free(made);
	return rc;
}

/* ---- files ---- */

void newfile_remove(struct newfile *file)
{
	if (file->path != NULL) {
		(void)unlink(file->path); /* newfile_clean() removes it otherwise */
		free(file->path);
		file->path = NULL;
	}
	if (file->fd >= 0)
		(void)close(file->fd); /* what matters was fsync'd before */
	file->fd = -1;
}

int newfile_create(struct newfile *file, const char *folder, struct qosid_errbuf *err)
{
	struct stat status;
	int rc = 0;

	*file = (struct newfile){.fd = -1};
	/* Between creation and lock another process may take the file for abandoned and unlink it; then once more. */
	do {
		newfile_remove(file);
		if (asprintf(&file->path, "%s/" NEWFILE_PREFIX "XXXXXX", folder) < 0) {
			file->path = NULL;
			return no_memory(err);
		}
		file->fd = mkostemp(file->path, O_CLOEXEC);
		if (file->fd < 0) {
			rc = qosid_error_errno(err, errno, "cannot create a file in %s", folder);
			free(file->path);
			file->path = NULL;
			return rc;
		}
		/* A file system without locks has no abandoned files removed either: the same call fails there. */
		(void)flock(file->fd, LOCK_EX);
		if (fstat(file->fd, &status) != 0) {
			rc = qosid_error_errno(err, errno, "cannot look at %s", file->path);
			newfile_remove(file);
			return rc;
		}
	} while (status.st_nlink == 0);
	return 0;
}

int newfile_write(const struct newfile *file, const void *data, size_t len, struct qosid_errbuf *err)
{
	const uint8_t *at = data;

	while (len > 0) {
		ssize_t written = write(file->fd, at, len);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return qosid_error_errno(err, errno, "cannot write %s", file->path);
		at += written;
		len -= (size_t)written;
	}
	return 0;
}

int newfile_seal(const struct newfile *file, const struct sharing *sharing, unsigned kind, struct qosid_errbuf *err)
{
	int rc = sharing_apply(sharing, file->fd, kind, file->path, err);

	if (rc == 0 && fsync(file->fd) != 0)
		rc = qosid_error_errno(err, errno, "cannot flush %s to disk", file->path);
	return rc;
}

int newfile_rename(struct newfile *file, const char *path, struct qosid_errbuf *err)
{
	if (rename(file->path, path) != 0)
		return qosid_error_errno(err, errno, "cannot rename %s to %s", file->path, path);
	free(file->path);
	file->path = NULL;
	return 0;
}

int newfile_fsync_folder(const char *folder, struct qosid_errbuf *err)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return qosid_error_errno(err, errno, "cannot open folder %s", folder);
	if (fsync(fd) != 0 && errno != EINVAL) /* EINVAL: a file system that cannot, such as some network shares */
		rc = qosid_error_errno(err, errno, "cannot flush folder %s to disk", folder);
	(void)close(fd); /* opened for reading */
	return rc;
}

void newfile_clean(const char *folder)
{
	int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = folder_fd >= 0 ? fdopendir(folder_fd) : NULL;
	const struct dirent *entry;

	if (dir == NULL) {
		if (folder_fd >= 0)
			(void)close(folder_fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		int fd;

		if (strncmp(entry->d_name, NEWFILE_PREFIX, strlen(NEWFILE_PREFIX)) != 0)
			continue;
		fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
		if (fd < 0)
			continue;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
		(void)close(fd);
	}
	(void)closedir(dir);
}
