/*
 * New files and folders in a repository: they appear whole, on disk, and open to those whom the repository is open to.
 *
 * A file is made under a temporary name, which only its maker can read, and gets its mode before it gets its name. A
 * temporary file belongs to a living process as long as that holds an flock on it. The kernel drops the lock with the
 * process, so whoever can take the lock knows that the file is nobody's.
 */
#ifndef QOSID_SYNC_EXCHANGE_NEWFILE_H
#define QOSID_SYNC_EXCHANGE_NEWFILE_H

#include <stddef.h>
#include <sys/types.h>

#include "crypto/error.h"

#define NEWFILE_PREFIX "tmp_qosid_"

/* Who may use a repository: the mode and the group of its objects folder. What is made in the repository gets the same,
 * less the bits that its kind does not have, and whatever the umask. */
struct sharing {
	mode_t mode;
	gid_t gid;
};

#define SHARING_READ_ONLY 0444u /* packs and loose objects */
#define SHARING_FILE 0666u
#define SHARING_FOLDER 07777u

int sharing_read(struct sharing *out, const char *folder, struct qosid_errbuf *err);

/* Open a file or folder, known by its descriptor, to those; path is for the error. A file system without modes, such as
 * a FAT stick's, is left as it is. */
int sharing_apply(const struct sharing *sharing, int fd, unsigned kind, const char *path, struct qosid_errbuf *err);

/* The same for a file that has its name already. */
int sharing_apply_path(const struct sharing *sharing, const char *path, unsigned kind, struct qosid_errbuf *err);

/* Make a folder unless it is there; it is prepared in scratch, a folder on the same file system. */
int sharing_make_folder(const struct sharing *sharing, const char *scratch, const char *path, struct qosid_errbuf *err);

/* A file that has no name for others yet. */
struct newfile {
	int fd;
	char *path; /* NULL: not there, or renamed */
};

int newfile_create(struct newfile *file, const char *folder, struct qosid_errbuf *err);
int newfile_write(const struct newfile *file, const void *data, size_t len, struct qosid_errbuf *err);

/* Put the finished file on disk, under no name yet. */
int newfile_seal(const struct newfile *file, const struct sharing *sharing, unsigned kind, struct qosid_errbuf *err);

/* Give it its name; newfile_fsync_folder() makes that last. */
int newfile_rename(struct newfile *file, const char *path, struct qosid_errbuf *err);

/* End with it; one without a name is removed. A file of {.fd = -1} is left alone. */
void newfile_remove(struct newfile *file);

int newfile_fsync_folder(const char *folder, struct qosid_errbuf *err);

/* Remove the files that killed processes left in a folder. Best effort: it is only space. */
void newfile_clean(const char *folder);

#endif
