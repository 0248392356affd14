/*
 * Reading a pack as it comes over the wire, into memory, with every size known before it is inflated.
 *
 * Nothing of a pack is trusted: type, size and count are judged before memory is taken, each object is hashed, the
 * pack's own checksum is compared at the end. Deltas are resolved at once against objects that came before (git sends
 * bases first), so there are no chains to follow and none to loop. Bases outside the pack are not asked for.
 */
#ifndef QOSID_SYNC_EXCHANGE_WIRE_UNPACK_H
#define QOSID_SYNC_EXCHANGE_WIRE_UNPACK_H

#include <git2.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "sync/exchange/oidmap.h"
#include "sync/exchange/wire_pkt.h"

/* All objects of one pack together take at most this: the largest payload and a batch of others. */
#define WIRE_OBJECTS_BYTES_MAX ((size_t)LIMIT_CHANGESET_BYTES + (8u << 20))
#define WIRE_OBJECTS_MAX 262144u

/* Objects in memory. Starts as {0}. */
struct wire_object {
	git_object_t type;
	uint64_t offset; /* in the pack */
	size_t at, len;  /* in bytes */
};
struct wire_objects {
	struct oidmap ids;
	struct wire_object *items; /* by index in ids: in the order they came */
	size_t cap;
	struct qosid_buf bytes;
};
void wire_objects_free(struct wire_objects *objects);

/* Append an object; QOSID_ERR_NOTFOUND, or as repo_read() when it is another type or larger than limit. */
int wire_objects_read(const struct wire_objects *objects, const git_oid *id, git_object_t type, size_t limit,
    struct qosid_buf *out, struct qosid_errbuf *err);

struct wire_unpack;

/* Read the head of a pack that comes on sideband 1. *count is how many objects it says it has. */
int wire_unpack_open(struct wire_unpack **out, struct wire *wire, struct wire_objects *objects, uint32_t *count,
    struct qosid_errbuf *err);
void wire_unpack_close(struct wire_unpack *unpack); /* accepts NULL */

/* What comes next: 1 and the object's kind and size as the pack has it (of a delta: the delta's; type GIT_OBJECT_ANY),
 * 0 after the last one. When 0 is returned the checksum was right and the answer has been read to its flush. */
int wire_unpack_peek(struct wire_unpack *unpack, git_object_t *type, size_t *size, struct qosid_errbuf *err);

/* Take in the object that was looked at. */
int wire_unpack_take(struct wire_unpack *unpack, struct qosid_errbuf *err);

#endif
