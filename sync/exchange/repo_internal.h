/*
 * What repo.c, repo_guard.c, repo_loose.c, repo_refs.c and repo_repack.c share.
 */
#ifndef QOSID_SYNC_EXCHANGE_REPO_INTERNAL_H
#define QOSID_SYNC_EXCHANGE_REPO_INTERNAL_H

#include <sys/stat.h>

#include "sync/exchange/newfile.h"
#include "sync/exchange/oidmap.h"
#include "sync/exchange/repo.h"

/* An object that waits for repo_flush(); its bytes are at an offset into the repository's one buffer. */
struct repo_queued {
	git_object_t type;
	size_t offset, len;
};

#define PACKED_REFS_BYTES_MAX (16u << 20)

struct repo {
	char *path;             /* as it was given */
	char *folder;           /* the same from the root on, without links */
	git_odb *packs;         /* for reading */
	git_odb *loose;         /* only to see what is there: repo_loose.c reads and writes them */
	struct sharing sharing; /* what is made here is for those whom objects/ is for */
	struct oidmap queue_ids;
	struct repo_queued *queue; /* by index in queue_ids */
	size_t queue_cap;
	struct qosid_buf queue_bytes;
};

/* As qosid_error(), with what libgit2 said last behind it; a full disk becomes QOSID_ERR_FULL. */
int repo_failure(struct qosid_errbuf *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Whether an object that is of this type and size may be read as wanted (GIT_OBJECT_ANY: whatever it is). */
int repo_check_object(const struct repo *repo, const git_oid *id, git_object_t is, git_object_t wanted, size_t len,
    size_t limit, struct qosid_errbuf *err);

/* As repo_read() from loose objects alone; *type says what it is. An absent one is QOSID_ERR_NOTFOUND without a text.
 */
int repo_read_loose(struct repo *repo, const git_oid *id, git_object_t wanted, size_t limit, git_object_t *type,
    struct qosid_buf *out, struct qosid_errbuf *err);

/* Write a loose object; on disk when it returns 0, but for the entry of a new folder in objects/. */
int repo_write_loose(
    struct repo *repo, const git_oid *id, git_object_t type, const void *data, size_t len, struct qosid_errbuf *err);

/* Whether the folder is a repository whose parts are what they should be, so that libgit2 and this layer may open them.
 * QOSID_ERR_NOTFOUND without a text: it is none. */
int repo_check_folder(const char *folder, struct qosid_errbuf *err);

/* Make a repository in an absent or empty folder, or go on with one that was being made. */
int repo_create_folder(const char *folder, struct qosid_errbuf *err);

/* Open objects/<first byte>, which must be a real folder; -1 and errno otherwise. */
int repo_open_loose_folder(const struct repo *repo, unsigned first);

/* Remove a lock file in a folder, judged abandoned, and open as fd (-1: could not be opened), unless a living process
 * holds it (QOSID_ERR_BUSY) or another file has taken its name. */
int repo_break_lock(int folder, const char *name, int fd, const struct stat *judged, struct qosid_errbuf *err);

/* Append the path of a file in the repository folder to out. */
int repo_file(const struct repo *repo, struct qosid_buf *out, const char *name, struct qosid_errbuf *err);

#endif
