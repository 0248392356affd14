/*
 * A set of object ids that remembers the order of arrival: id -> 0, 1, 2, ... Callers keep what belongs to an id in an
 * array of their own under the same index. 28 to 36 bytes an id.
 */
#ifndef QOSID_SYNC_EXCHANGE_OIDMAP_H
#define QOSID_SYNC_EXCHANGE_OIDMAP_H

#include <git2.h>
#include <stdbool.h>
#include <stdint.h>

#include "crypto/error.h"

/* Starts as {0}; ended by oidmap_free(). */
struct oidmap {
	git_oid *ids;
	uint32_t count, cap;
	uint32_t *slots; /* index + 1; 0 is empty */
	uint32_t slot_count;
};

/* Find or add id. *added tells which; *index is its place in ids. */
int oidmap_add(struct oidmap *map, const git_oid *id, uint32_t *index, bool *added, struct qosid_errbuf *err);

/* index may be NULL. */
bool oidmap_find(const struct oidmap *map, const git_oid *id, uint32_t *index);

/* Forget the ids and keep the memory. */
void oidmap_reset(struct oidmap *map);
void oidmap_free(struct oidmap *map);

#endif
