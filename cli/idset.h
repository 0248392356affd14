/*
 * A set of document ids that remembers the line where each was first seen: 24 bytes an id, whatever its length (ids are
 * kept as 128-bit BLAKE2b hashes).
 */
#ifndef QOSID_CLI_IDSET_H
#define QOSID_CLI_IDSET_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/error.h"

#define IDSET_KEY_BYTES 16

struct idset_slot {
	uint8_t key[IDSET_KEY_BYTES];
	size_t line; /* 0: free */
};

/* Starts as {0}; ended by idset_free(). */
struct idset {
	struct idset_slot *slots;
	size_t capacity; /* a power of two */
	size_t count;
};

/* Add id at line (from 1). *earlier is the line where it stood before, 0 when it is new. */
int idset_add(struct idset *set, const char *id, size_t line, size_t *earlier, struct qosid_errbuf *err);
void idset_free(struct idset *set);

#endif
