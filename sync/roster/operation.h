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

enum operation_kind { OPERATION_CREATE, OPERATION_ADD };

struct operation {
	enum operation_kind kind;
	char space[SPACE_ID_HEX + 1];
	char steward[LIMIT_SLUG_BYTES + 1];
	int64_t sequence;
	int64_t time;                /* Unix milliseconds */
	struct roster_member member; /* since is 0 */
	struct roster_epoch *epochs; /* owned; numbers 1, 2, 3, ... */
	size_t epoch_count;
	uint8_t seen[DIGEST_BYTES]; /* of OPERATION_ADD */
};

/* Take an operation apart: canonical JSON, exact members, every value well-formed. Whether it may be done is not
 * judged. operation_free() also after a failure. */
int operation_parse(struct operation *out, const void *data, size_t len, struct qosid_errbuf *err);
void operation_free(struct operation *operation);

/* Append {"encryption":..,"office":..,"roles":..,"signing":..} and {"file":..,"number":..,"recipient":..}, the forms
 * that operations and states share. */
int roster_format_member(struct qosid_buf *out, const struct roster_member *member, struct qosid_errbuf *err);
int roster_format_epochs(
    struct qosid_buf *out, const struct roster_epoch *epochs, size_t count, struct qosid_errbuf *err);

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

/* A whole number from 1 to 2^53 - 1. */
int fields_number(struct json_slice value, const char *name, int64_t *out, struct qosid_errbuf *err);

int fields_digest(struct json_slice value, const char *name, uint8_t out[DIGEST_BYTES], struct qosid_errbuf *err);
int fields_space(struct json_slice value, char out[SPACE_ID_HEX + 1], struct qosid_errbuf *err);
int fields_slug(struct json_slice value, const char *name, char out[LIMIT_SLUG_BYTES + 1], struct qosid_errbuf *err);
int fields_recipient(struct json_slice value, char out[AGE_RECIPIENT_SIZE], struct qosid_errbuf *err);

/* "ssh-ed25519 AAAA..." in its one form, without a comment. */
int fields_signing_key(struct json_slice value, uint8_t out[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err);

#endif
