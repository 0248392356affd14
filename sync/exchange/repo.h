/*
 * A bare git repository as Qosid uses it: capped reads, batched writes, refs. Of libgit2 only the reading of packs
 * is used: its repositories follow settings and links that a stranger may have put into the folder.
 *
 * Reads check type and size before they inflate, and the id after (libgit2 hashes what it read). Writes are collected
 * and land together: a few small ones go loose, many or large ones go into one pack; refs move only after objects are
 * on disk. What is made gets the mode and the group of the repository's objects folder, whatever the umask: a
 * repository that several users share stays theirs, a private one private. The first repo_open() of a process sets
 * libgit2 up for all its repositories: no object cache, hashes checked, no more memory at once than the largest object
 * that may be read takes. Who owns the folder does not matter, as its settings and hooks are never used.
 */
#ifndef QOSID_SYNC_EXCHANGE_REPO_H
#define QOSID_SYNC_EXCHANGE_REPO_H

#include <git2.h>
#include <stdbool.h>

#include "crypto/buf.h"
#include "crypto/error.h"

struct repo;

/* git_libgit2_init() and shutdown are the program's (main); repo_open() expects them done. create makes a bare
 * repository (core.fsync objects and refs, gc.auto 0), as open as the umask says, in an absent or empty folder, also
 * where that was cut short before, and opens one that is there already. Without create a missing folder is
 * QOSID_ERR_OFFLINE (a stick that is not plugged in), one that is no repository QOSID_ERR_INVALID. So is one with
 * pipes, symbolic links and the like where git has plain files and folders: they would lead to what others own. */
int repo_open(struct repo **out, const char *path, bool create, struct qosid_errbuf *err);
void repo_free(struct repo *repo); /* drops what was not flushed; accepts NULL */
const char *repo_path(const struct repo *repo);

/* Append a whole object of this type; larger than limit is QOSID_ERR_LIMIT, another type QOSID_ERR_INVALID, absent
 * QOSID_ERR_NOTFOUND, damaged QOSID_ERR_CORRUPT. An object of a pack that cannot be opened at all counts as absent. */
int repo_read(struct repo *repo, const git_oid *id, git_object_t type, size_t limit, struct qosid_buf *out,
    struct qosid_errbuf *err);

/* Whether the object is here (also among those not flushed yet). */
bool repo_has(struct repo *repo, const git_oid *id);

/* The same without looking for what other programs added since the last flush or read: quick when most are absent. */
bool repo_has_known(struct repo *repo, const git_oid *id);

/* Queue an object; it is readable by repo_read() at once and on disk after repo_flush(). Several MiB are flushed by
 * themselves, in the order they came, so write an object after those it names. id may be NULL. */
int repo_write(
    struct repo *repo, git_object_t type, const void *data, size_t len, git_oid *id, struct qosid_errbuf *err);
int repo_flush(struct repo *repo, struct qosid_errbuf *err);

/* When there are more than threshold loose objects: put them all into one pack, then remove the loose files. A damaged
 * one stays and is reported as QOSID_ERR_CORRUPT after the others were packed. */
int repo_repack_loose(struct repo *repo, size_t threshold, struct qosid_errbuf *err);

/* Append the bytes of a git tree with these entries to out (sorted as git sorts; names are plain files, mode 100644, or
 * directories, mode 40000, when is_tree). */
struct repo_entry {
	const char *name;
	git_oid id;
	bool is_tree;
};
int repo_format_tree(struct qosid_buf *out, const struct repo_entry *entries, size_t count, struct qosid_errbuf *err);

/* Parse a raw tree strictly (at most LIMIT_TREE_ENTRIES; modes 100644 and 40000 only; sorted, no duplicates, no '/' in
 * names). entries[] has room for LIMIT_TREE_ENTRIES; names point into data. */
int repo_parse_tree(const struct qosid_buf *data, struct repo_entry *entries, size_t *count, struct qosid_errbuf *err);

/* Refs. Reading an absent one is QOSID_ERR_NOTFOUND. Updating compares with the old value (NULL: must not exist) and is
 * QOSID_ERR_CONFLICT when it is another. Moving flushes first and is fsync'd. */
int repo_read_ref(struct repo *repo, const char *name, git_oid *out, struct qosid_errbuf *err);
int repo_update_ref(
    struct repo *repo, const char *name, const git_oid *old_id, const git_oid *new_id, struct qosid_errbuf *err);

/* Remove a ref that has this value; QOSID_ERR_CONFLICT when it has another or is not there. */
int repo_delete_ref(struct repo *repo, const char *name, const git_oid *old_id, struct qosid_errbuf *err);

/* Visit refs below prefix ("refs/heads/office/") in name order; visit returns 0 to go on. */
int repo_visit_refs(struct repo *repo, const char *prefix,
    int (*visit)(void *context, const char *name, const git_oid *id, struct qosid_errbuf *err), void *context,
    struct qosid_errbuf *err);

#endif
