/*
 * The roster: who is a member, with which keys and roles, and under which epochs the space encrypts.
 *
 * Here it is pure: signed operations in, states out. Where operations are kept (refs/heads/roster/<steward>, one commit
 * each, the operation in the tree as operation.json, wrapped epoch keys as epochs/<n>.age) is exchange's business, and
 * so is checking commit signatures and chains; the roster decides which key must have signed and what the operation may
 * do. Every state has a digest, which change sets name; earlier states stay known, so that an old change set is judged
 * by the state it was made under.
 */
#ifndef QOSID_SYNC_ROSTER_ROSTER_H
#define QOSID_SYNC_ROSTER_ROSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/buf.h"
#include "crypto/digest.h"
#include "crypto/error.h"
#include "crypto/keys.h"
#include "sync/limits.h"

#define SPACE_ID_HEX 32
#define ROSTER_OPERATION_BYTES (64u << 10) /* the largest operation */

enum roster_role {
	ROLE_STEWARD = 1,  /* changes the roster */
	ROLE_WRITER = 2,   /* publishes change sets */
	ROLE_READER = 4,   /* decrypts */
	ROLE_AUDITOR = 8,  /* decrypts, never publishes */
	ROLE_WITNESS = 16, /* verifies ciphertext, never decrypts */
};

/* [a-z0-9][a-z0-9-]{0,62} */
int slug_check(const char *slug, struct qosid_errbuf *err);

/* "writer,reader" <-> bits. Parsing refuses unknown and empty words, and combinations that contradict themselves
 * (witness with a role that decrypts; auditor with writer). */
int roster_parse_roles(unsigned *out, const char *text, struct qosid_errbuf *err);
int roster_format_roles(unsigned roles, struct qosid_buf *out, struct qosid_errbuf *err);

/* Whether a member with these roles is given the epochs' keys, and so reads. */
bool roster_is_entitled(unsigned roles);

struct roster_member {
	char office[LIMIT_SLUG_BYTES + 1];
	uint8_t signing_public[SIGNING_PUBLIC_BYTES];
	char recipient[AGE_RECIPIENT_SIZE];
	unsigned roles;
	int64_t since; /* index of the state that admitted it */
};

struct roster;

int roster_create(struct roster **out, struct qosid_errbuf *err);
void roster_free(struct roster *roster); /* accepts NULL */

/* Add an operation whose commit carries a good signature by signer, in log order. The first must be a `create` signed
 * by the key it names. An operation is canonical JSON with exactly these members:
 * {"epochs":[{"file","number","recipient"}],"format":1,"member":{"encryption","office","roles","signing"},
 * "operation":"create" or "add","seen","sequence","space","steward","time"}; "seen", in "add" only, is the digest of
 * the state it was made on. Checks: form, space, steward = the steward of the state before, who is the one that created
 * the space; signer = that steward's key; sequence follows; seen = the state before; no second member with the same
 * slug, one that looks like it ("0" as "o", "1" and "i" as "l", hyphens doubled or at the end), or the same key; no
 * second steward; the epochs and their keys are those of the state before. QOSID_ERR_REFUSED, _INVALID and _LIMIT leave
 * the roster as it was. */
int roster_add_operation(struct roster *roster, const char *steward, int64_t sequence,
    const uint8_t signer[SIGNING_PUBLIC_BYTES], const void *operation, size_t len, struct qosid_errbuf *err);

/* The key that must have signed the next commit of this steward's log; for the very first one, the key the create
 * operation in data names. */
int roster_expected_signer(const struct roster *roster, const char *steward, const void *operation, size_t len,
    uint8_t out[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err);

/* States are numbered from 0, one an accepted operation. -1 below means the newest. A state's digest is BLAKE2b-256
 * over the canonical JSON of {"epochs":[..],"members":[.. sorted by office ..],"space":".."} with the same inner
 * objects as an operation's. */
int64_t roster_state_count(const struct roster *roster);
int roster_state_digest(
    const struct roster *roster, int64_t state, uint8_t out[DIGEST_BYTES], struct qosid_errbuf *err);
/* The state with this digest; QOSID_ERR_WAITING when it is not known (its operation may not have arrived yet). */
int roster_find_state(
    const struct roster *roster, const uint8_t digest[DIGEST_BYTES], int64_t *state, struct qosid_errbuf *err);

const char *roster_space(const struct roster *roster); /* 32 hex; "" before the first operation */

/* The member of that state, or NULL. Lives until the next roster_add_operation(). */
const struct roster_member *roster_find_member(const struct roster *roster, int64_t state, const char *office);
size_t roster_member_count(const struct roster *roster, int64_t state);
const struct roster_member *roster_member_at(
    const struct roster *roster, int64_t state, size_t index); /* sorted by office */

struct roster_epoch {
	int64_t number; /* from 1 */
	char recipient[AGE_RECIPIENT_SIZE];
	uint8_t file_digest[DIGEST_BYTES]; /* of the newest epochs/<n>.age */
};
size_t roster_epoch_count(const struct roster *roster, int64_t state);
const struct roster_epoch *roster_epoch_at(const struct roster *roster, int64_t state, size_t index);

/* ---- making operations (operation.c) ---- */

/* Append a `create` operation: a new space of this steward's, epoch 1. */
int roster_format_create(struct qosid_buf *out, const char *space, const struct roster_member *steward,
    const struct roster_epoch *epoch, int64_t time, struct qosid_errbuf *err);

/* Append an `add` operation: the member joins; each epoch's file is written anew for all entitled members. */
int roster_format_add(struct qosid_buf *out, const struct roster *roster, const char *steward, int64_t sequence,
    const struct roster_member *member, const struct roster_epoch *epochs, size_t epoch_count, int64_t time,
    struct qosid_errbuf *err);

/* ---- epochs (epoch.c) ---- */

/* Wrap an epoch's key for every member of state who decrypts, plus one joining (may be NULL): an age file whose
 * plaintext is an age identity file. */
int epoch_wrap(struct qosid_buf *out, const struct roster *roster, int64_t state, const struct roster_member *joining,
    int64_t number, const struct age_key *key, struct qosid_errbuf *err);

/* Open epochs/<n>.age with a member's key, and check that the key inside fits recipient. */
int epoch_unwrap(struct age_key **out, const void *data, size_t len, const struct age_key *member_key,
    const char *recipient, struct qosid_errbuf *err);

/* Append one allowed_signers line for each member that ever was one (its principal is the office's slug). */
int roster_format_allowed_signers(const struct roster *roster, struct qosid_buf *out, struct qosid_errbuf *err);

/* ---- enrolment (enrol.c) ---- */

/* The invitation a steward gives out: one line of JSON
 * {"qosid":"invitation","format":1,"space","steward","root","remote"}. root is the digest of the first roster commit,
 * which the joiner pins. remote may be "". */
struct roster_invitation {
	char space[SPACE_ID_HEX + 1];
	char steward[LIMIT_SLUG_BYTES + 1];
	uint8_t root[DIGEST_BYTES];
	char remote[1024];
};
int invitation_format(struct qosid_buf *out, const struct roster_invitation *invitation, struct qosid_errbuf *err);
int invitation_parse(struct roster_invitation *out, const char *text, size_t len, struct qosid_errbuf *err);

/* The joiner's answer: its office name and public keys, with an SSHSIG (namespace "file") by the key itself, so that
 * nobody can ask with another's key:
 * {"qosid":"request","format":1,"space","office","signing","encryption","signature"}. The signature covers the
 * canonical JSON of the object without "signature". roles in the member are 0. */
int request_format(struct qosid_buf *out, const char *space, const char *office, const struct identity *identity,
    struct qosid_errbuf *err);
int request_parse(struct roster_member *out, const char *space, const char *text, size_t len, struct qosid_errbuf *err);

#endif
