/*
 * Git packs written directly: undeltified objects and their index (gitformat-pack v2), fsync'd, atomically named.
 *
 * Why not libgit2's packbuilder: it searches deltas between encrypted blobs, which have none (docs/performance.md).
 * Objects come in any order; an object given twice is written once. Memory: 64 bytes an object. The pack appears in the
 * repository only at pack_writer_finish(); before that, and after kill -9, there is at most a tmp_* file that the next
 * writer removes.
 */
#ifndef QOSID_SYNC_EXCHANGE_PACK_H
#define QOSID_SYNC_EXCHANGE_PACK_H

#include <git2.h>

#include "crypto/error.h"
#include "sync/exchange/newfile.h"

struct pack_writer;

/* directory is the repository's objects/pack. The files will be open for reading to those of sharing. */
int pack_writer_open(
    struct pack_writer **out, const char *directory, const struct sharing *sharing, struct qosid_errbuf *err);

/* Add an object; *id (may be NULL) is its SHA-1. Blobs are stored uncompressed inside zlib when they do not shrink. */
int pack_writer_add(
    struct pack_writer *writer, git_object_t type, const void *data, size_t len, git_oid *id, struct qosid_errbuf *err);

size_t pack_writer_count(const struct pack_writer *writer);

/* Finish pack and index, fsync both and the directory. Without objects nothing is written. */
int pack_writer_finish(struct pack_writer *writer, struct qosid_errbuf *err);
void pack_writer_free(struct pack_writer *writer); /* accepts NULL; without finish: removes its temporary files */

/* The SHA-1 that names an object. */
int pack_object_id(git_oid *id, git_object_t type, const void *data, size_t len, struct qosid_errbuf *err);

#endif
