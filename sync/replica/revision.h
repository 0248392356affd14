/*
 * Revision ids: "<generation>-<hash>".
 *
 * Qosid's own hash is 32 lower-case hex digits of BLAKE2b-128 over a canonical encoding of the edit, so that the same
 * edit of the same parent made in two offices is the same revision. Revisions from CouchDB and PouchDB peers keep their
 * ids, whose hash may be any printable ASCII without spaces up to LIMIT_REVISION_HASH_BYTES.
 */
#ifndef QOSID_SYNC_REPLICA_REVISION_H
#define QOSID_SYNC_REPLICA_REVISION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/error.h"
#include "sync/limits.h"
#include "sync/replica/json.h"

#define REVISION_HASH_HEX 32 /* of Qosid's own ids */
#define REVISION_TEXT_SIZE (LIMIT_REVISION_HASH_BYTES + 12)

struct revision {
	uint32_t generation; /* from 1 */
	char hash[LIMIT_REVISION_HASH_BYTES + 1];
};

/* Read "N-hash" of exactly len bytes. QOSID_ERR_INVALID otherwise. */
int revision_parse(struct revision *out, const char *text, size_t len, struct qosid_errbuf *err);

void revision_format(char out[REVISION_TEXT_SIZE], const struct revision *revision);

/* Order by generation, then hash by bytes: <0, 0, >0. */
int revision_compare(const struct revision *a, const struct revision *b);

/* The id of an edit: generation is parent's + 1 (1 without parent). body is the checked body object (no underscore
 * members), attachments the canonical JSON object of the edit's attachments
 * {"name":{"content_type":..,"digest":..,"length":..}}, or empty (hashed as {}). Hashed bytes: "qosid-revision-1\n",
 * then the canonical JSON of
 * {"attachments":{..},"body":{..},"deleted":bool,"parent":"N-hash" or null}. */
int revision_compute(struct revision *out, const struct revision *parent, bool deleted, struct json_slice body,
    struct json_slice attachments, struct qosid_errbuf *err);

#endif
