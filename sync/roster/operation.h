/*
 * Inside the roster: an operation taken apart, and the small readers that its parts share.
 *
 * Control documents (operations, invitations, requests) have exactly the members that their format names, in the order
 * that it names; these readers refuse everything else.
 */
#ifndef QOSID_SYNC_ROSTER_OPERATION_H
#define QOSID_SYNC_ROSTER_OPERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/digest.h"
#include "crypto/error.h"
#include "sync/replica/json.h"
#include "sync/roster/roster.h"

#define ROSTER_FORMAT 1
#define ROSTER_PROOF_BYTES 1024 /* an armoured signature */

struct operation {
	enum roster_kind kind;
	char space[SPACE_ID_HEX + 1];
	char steward[LIMIT_SLUG_BYTES + 1];
	int64_t sequence;
	int64_t time; /* Unix milliseconds */
	uint8_t seen[LIMIT_ROSTER_HEADS][DIGEST_BYTES];
	size_t seen_count; /* none in ROSTER_CREATE only */
	struct roster_member
	    member;                /* what the kind says of it: all, office and roles, office and keys, or the office */
	struct roster_epoch epoch; /* number 0: none */
	uint8_t endorses[DIGEST_BYTES];
	int64_t threshold, since, until;
	char proof[ROSTER_PROOF_BYTES]; /* of ROSTER_ROLL_KEY; "" when the steward vouches */
};

/* Take an operation apart: canonical JSON, exact members, every value well-formed. Whether it may be done is not
 * judged. */
int operation_parse(struct operation *out, const void *data, size_t len, struct qosid_errbuf *err);

/* Append an operation, and read it back: nothing leaves here that another office would refuse as malformed. On failure
 * out is as it was. */
int operation_format(struct qosid_buf *out, const struct operation *operation, struct qosid_errbuf *err);

/* "add", "set-roles"... */
const char *operation_kind_name(enum roster_kind kind);

/* Append {"encryption":..,"office":..,"roles":..,"signing":..}. */
int roster_format_member(struct qosid_buf *out, const struct roster_member *member, struct qosid_errbuf *err);

/* Append the text that the old key of a member signs to name its new keys (namespace "file"). */
int roll_format_text(struct qosid_buf *out, const char *space, const char *office,
    const uint8_t signing_public[SIGNING_PUBLIC_BYTES], const char *recipient, struct qosid_errbuf *err);

/* What people tell slugs apart by: characters that most typefaces hardly distinguish become one, runs of hyphens one
 * hyphen, and those at the end none. Slugs with equal skeletons would be taken for each other. */
void slug_skeleton(char out[LIMIT_SLUG_BYTES + 1], const char *slug);

/* The same 32 lower-case hex digits that commits carry. */
int space_id_check(const char *text, struct qosid_errbuf *err);

/* ---- readers (fields.c) ---- */

/* object has exactly the named members in this order; values[i] is that of names[i]. what is put into the error. */
int fields_read(struct json_slice object, const char *what, const char *const *names, struct json_slice *values,
    size_t count, struct qosid_errbuf *err);

/* A string without control characters that fits into size bytes with its NUL. name is put into the error. */
int fields_text(struct json_slice value, const char *name, char *out, size_t size, struct qosid_errbuf *err);

/* The same, but line feeds are allowed: an armoured signature. */
int fields_armor(struct json_slice value, const char *name, char *out, size_t size, struct qosid_errbuf *err);

/* A whole number from 1 (or from 0) to 2^53 - 1. */
int fields_number(struct json_slice value, const char *name, int64_t *out, struct qosid_errbuf *err);
int fields_count(struct json_slice value, const char *name, int64_t *out, struct qosid_errbuf *err);

int fields_digest(struct json_slice value, const char *name, uint8_t out[DIGEST_BYTES], struct qosid_errbuf *err);
int fields_space(struct json_slice value, char out[SPACE_ID_HEX + 1], struct qosid_errbuf *err);
int fields_slug(struct json_slice value, const char *name, char out[LIMIT_SLUG_BYTES + 1], struct qosid_errbuf *err);
int fields_recipient(struct json_slice value, char out[AGE_RECIPIENT_SIZE], struct qosid_errbuf *err);

/* "ssh-ed25519 AAAA..." in its one form, without a comment. */
int fields_signing_key(struct json_slice value, uint8_t out[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err);

#endif
