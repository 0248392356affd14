/*
 * The folder of a repository: whether it may be used, and making one (repo_internal.h).
 *
 * A remote's folder may have been prepared by a stranger. Before anything in it is opened, what lies there must be
 * plain files and folders: a pipe is never at its end, and a symbolic link leads out of the repository, to what others
 * own. Its configuration is only looked at, never followed.
 *
 * Making one can be cut short and taken up again: HEAD, without which it is no repository, comes last.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/exchange/repo_internal.h"

#define CONFIG_BYTES_MAX (64u << 10)
#define HEAD_BYTES_MAX 4096u
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static const struct part {
	const char *name;
	bool is_folder, is_required;
	size_t limit; /* of a file */
} parts[] = {
    {.name = "HEAD", .is_required = true, .limit = HEAD_BYTES_MAX},
    {.name = "config", .limit = CONFIG_BYTES_MAX},
    {.name = "packed-refs", .limit = PACKED_REFS_BYTES_MAX},
    {.name = "objects", .is_folder = true, .is_required = true},
    {.name = "objects/pack", .is_folder = true},
    {.name = "refs", .is_folder = true, .is_required = true},
    {.name = "refs/heads", .is_folder = true},
};

static int not_plain(const char *folder, const char *name, bool is_folder, struct qosid_errbuf *err)
{
	int rc =
	    qosid_error(err, QOSID_ERR_INVALID, "%s/%s is no plain %s", folder, name, is_folder ? "folder" : "file");

	qosid_error_hint(
	    err, "somebody may have put it there to mislead other programs; make the remote anew, or remove it");
	return rc;
}

static int check_part(int dir, const char *folder, const struct part *part, struct qosid_errbuf *err)
{
	struct stat status;

	if (fstatat(dir, part->name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
		if (errno != ENOENT)
			return qosid_error_errno(err, errno, "cannot look at %s/%s", folder, part->name);
		return part->is_required ? QOSID_ERR_NOTFOUND : 0;
	}
	if (part->is_folder ? !S_ISDIR(status.st_mode) : !S_ISREG(status.st_mode))
		return not_plain(folder, part->name, part->is_folder, err);
	if (!part->is_folder && (uintmax_t)status.st_size > part->limit)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "%s/%s has more than the %zu bytes allowed", folder, part->name, part->limit);
	return 0;
}

/* What libgit2 opens in objects/pack. */
static int check_packs(int dir, const char *folder, struct qosid_errbuf *err)
{
	int fd = openat(dir, "objects/pack", FOLDER_FLAGS);
	DIR *packs = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	struct stat status;
	int rc = 0;

	if (packs == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return 0; /* not there: check_part() has looked */
	}
	while (rc == 0 && (entry = readdir(packs)) != NULL) {
		struct qosid_buf name = {0};

		if (entry->d_name[0] == '.' || fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
		    S_ISREG(status.st_mode))
			continue;
		rc = qosid_buf_append_format(&name, err, "objects/pack/%s", entry->d_name);
		if (rc == 0)
			rc = not_plain(folder, (const char *)name.data, false, err);
		qosid_buf_free(&name);
	}
	(void)closedir(packs);
	return rc;
}

/* Objects or refs that are kept in a way which is not read here would look like none at all. */
static int check_format(int dir, const char *folder, struct qosid_errbuf *err)
{
	char text[CONFIG_BYTES_MAX + 1];
	int fd = openat(dir, "config", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, text, CONFIG_BYTES_MAX) : 0;

	if (fd >= 0)
		(void)close(fd); /* opened for reading */
	text[len > 0 ? len : 0] = '\0';
	if (strcasestr(text, "[extensions") == NULL)
		return 0;
	for (size_t i = 0; i < 2; i++) {
		const char *kind = i == 0 ? "sha256" : "reftable";
		int rc;

		if (strcasestr(text, kind) == NULL)
			continue;
		rc = qosid_error(
		    err, QOSID_ERR_INVALID, "%s is a git repository of a kind (%s) that cannot be used", folder, kind);
		qosid_error_hint(err, "make one with `git init --bare` without special formats, or let Qosid make it");
		return rc;
	}
	return 0;
}

int repo_check_folder(const char *folder, struct qosid_errbuf *err)
{
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;

	if (dir < 0 && (errno == ENOENT || errno == ENOTDIR))
		return QOSID_ERR_NOTFOUND;
	if (dir < 0)
		return qosid_error_errno(err, errno, "cannot open the repository %s", folder);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && rc == 0; i++)
		rc = check_part(dir, folder, &parts[i], err);
	if (rc == 0)
		rc = check_packs(dir, folder, err);
	if (rc == 0)
		rc = check_format(dir, folder, err);
	(void)close(dir);
	return rc;
}

/* ---- making one ---- */

/* Whether nothing but a repository that was being made is in the folder. */
static bool folder_is_free(const char *folder)
{
	static const char *const made[] = {
	    ".", "..", "HEAD", "config", "config.lock", "description", "hooks", "info", "objects", "refs"};
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	bool is_free = true;

	if (dir == NULL)
		return true;
	while (is_free && (entry = readdir(dir)) != NULL) {
		is_free = strncmp(entry->d_name, NEWFILE_PREFIX, strlen(NEWFILE_PREFIX)) == 0;
		for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
			is_free = is_free || strcmp(entry->d_name, made[i]) == 0;
	}
	(void)closedir(dir);
	return is_free;
}

/* As open as the umask says; one that is there is left as it is. */
static int make_folder(const char *path, struct qosid_errbuf *err)
{
	struct stat status;

	if (mkdir(path, 0777) == 0 || (errno == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode)))
		return 0;
	return qosid_error_errno(err, errno, "cannot make the folder %s", path);
}

/* The folder and those that it is in. */
static int make_path(const char *folder, struct qosid_errbuf *err)
{
	char *path = strdup(folder);
	int rc = 0;

	if (path == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "out of memory for a file name");
	for (char *end = strchr(path + 1, '/'); rc == 0 && end != NULL; end = strchr(end + 1, '/')) {
		*end = '\0';
		rc = make_folder(path, err);
		*end = '/';
	}
	if (rc == 0)
		rc = make_folder(path, err);
	free(path);
	return rc;
}

static int make_file(
    const char *folder, const char *name, const char *text, const struct sharing *sharing, struct qosid_errbuf *err)
{
	struct newfile file = {.fd = -1};
	struct qosid_buf path = {0};
	int rc = qosid_buf_append_format(&path, err, "%s/%s", folder, name);

	if (rc == 0)
		rc = newfile_create(&file, folder, err);
	if (rc == 0)
		rc = newfile_write(&file, text, strlen(text), err);
	if (rc == 0)
		rc = newfile_seal(&file, sharing, SHARING_FILE, err);
	if (rc == 0)
		rc = newfile_rename(&file, (const char *)path.data, err);
	if (rc == 0)
		rc = newfile_fsync_folder(folder, err);
	newfile_remove(&file);
	qosid_buf_free(&path);
	return rc;
}

int repo_create_folder(const char *folder, struct qosid_errbuf *err)
{
	static const char *const folders[] = {
	    "refs/tags", "refs/heads", "refs", "objects/info", "objects/pack", "objects"};
	static const char config[] = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
				     "\tfsync = objects,reference\n[gc]\n\tauto = 0\n";
	struct qosid_buf path = {0};
	struct sharing sharing;
	int rc = 0;

	if (!folder_is_free(folder))
		return qosid_error(err, QOSID_ERR_INVALID, "%s has files in it and is no git repository", folder);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && rc == 0; i++) {
		qosid_buf_reset(&path);
		if ((rc = qosid_buf_append_format(&path, err, "%s/%s", folder, folders[i])) == 0 &&
		    (rc = make_path((const char *)path.data, err)) == 0)
			rc = newfile_fsync_folder((const char *)path.data, err);
	}
	if (rc == 0)
		rc = sharing_read(&sharing, (const char *)path.data, err); /* of objects, the last */
	if (rc != 0)
		goto out;
	newfile_clean(folder);
	qosid_buf_reset(&path);
	if ((rc = qosid_buf_append_format(&path, err, "%s/config.lock", folder)) != 0)
		goto out;
	(void)unlink((const char *)path.data); /* another program's, cut short; mostly not there */
	if ((rc = make_file(folder, "config", config, &sharing, err)) != 0 ||
	    (rc = make_file(folder, "HEAD", "ref: refs/heads/main\n", &sharing, err)) != 0)
		goto out;
	qosid_buf_reset(&path);
	if ((rc = qosid_buf_append_format(&path, err, "%s/..", folder)) == 0)
		rc = newfile_fsync_folder((const char *)path.data, err);
out:
	qosid_buf_free(&path);
	return rc;
}
