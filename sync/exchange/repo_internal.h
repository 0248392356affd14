/*
 * What repo.c, repo_refs.c and repo_repack.c share.
 */
#ifndef QOSID_SYNC_EXCHANGE_REPO_INTERNAL_H
#define QOSID_SYNC_EXCHANGE_REPO_INTERNAL_H

#include "sync/exchange/oidmap.h"
#include "sync/exchange/repo.h"

/* An object that waits for repo_flush(); its bytes are at an offset into the repository's one buffer. */
struct repo_queued {
	git_object_t type;
	size_t offset, len;
};

struct repo {
	char *path;
	git_repository *git;
	git_odb *packs; /* for reading */
	git_odb *loose; /* for writing, and to see what is there */
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

/* Append the path of a file in the repository folder to out. */
int repo_file(const struct repo *repo, struct qosid_buf *out, const char *name, struct qosid_errbuf *err);

#endif
