/*
 * The roster: who is a member, with which keys and roles, and under which epochs the space encrypts.
 *
 * Here it is pure: signed operations of several stewards in, states out. Where operations are kept
 * (refs/heads/roster/<steward>, one commit each) is exchange's business, and so is checking commit signatures and
 * chains; the roster decides which key must have signed, and what an operation does.
 *
 * Every operation names the operations that its steward had seen, so operations form a graph. A set of operations that
 * holds, with each, all that it had seen has one state, whoever computes it and in whatever order the operations
 * arrived: they take effect in one total order (causal order first; among concurrent ones what takes away before what
 * gives, then the steward admitted earlier, then the digest), and one that cannot take effect where it stands in that
 * order is void. A state is named by its heads: the operations in it that no other one in it had seen. Change sets name
 * the state that their office acted under, and all states stay known, so that an old change set is judged by its own.
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

/* ---- roles (roles.c) ---- */

/* "writer,reader" <-> bits. Parsing refuses unknown and empty words, and combinations that contradict themselves
 * (witness with a role that decrypts; auditor with writer). */
int roster_parse_roles(unsigned *out, const char *text, struct qosid_errbuf *err);
int roster_format_roles(unsigned roles, struct qosid_buf *out, struct qosid_errbuf *err);

/* Whether a member with these roles is given the epochs' keys, and so reads. */
bool roster_is_entitled(unsigned roles);

/* A member as one state has it. Who has been removed stays in it without roles: its log and its keys go on to be known.
 */
struct roster_member {
	char office[LIMIT_SLUG_BYTES + 1];
	uint8_t signing_public[SIGNING_PUBLIC_BYTES];
	char recipient[AGE_RECIPIENT_SIZE];
	unsigned roles;      /* 0: removed */
	int64_t since;       /* when it was admitted, as the operation says (Unix milliseconds) */
	int64_t ended;       /* when it was removed; 0: it was not */
	int64_t until;       /* the last change set of a removed office that the steward knew */
	int64_t first_epoch; /* it is entitled to this one and those after it */
	int64_t revoked;     /* change sets from this one on are quarantined when they do not know of it; 0: none */
};

struct roster_epoch {
	int64_t number; /* from 1, in the order of the state; two states may number the same epoch differently */
	char recipient[AGE_RECIPIENT_SIZE];
	uint8_t file_digest[DIGEST_BYTES]; /* of epochs/<number>.age in the commit; only in operations */
};

enum roster_kind {
	ROSTER_CREATE,    /* a new space */
	ROSTER_ADD,       /* admit a member */
	ROSTER_SET_ROLES, /* promote or demote */
	ROSTER_REMOVE,
	ROSTER_ROTATE,    /* start an epoch */
	ROSTER_ROLL_KEY,  /* new keys for a member */
	ROSTER_THRESHOLD, /* how many stewards it takes */
	ROSTER_ENDORSE,   /* of another steward's operation */
	ROSTER_REVOKE,    /* quarantine what an office published */
};

struct roster;

int roster_create(struct roster **out, struct qosid_errbuf *err);
void roster_free(struct roster *roster); /* accepts NULL */

/* ---- operations (roster.c) ---- */

/* Add an operation whose commit carries a good signature by signer. It is judged by the state that its steward had
 * seen: form, space, steward and key, sequence, and whether the operation could take effect there. QOSID_ERR_WAITING:
 * it has seen an operation that has not arrived. QOSID_ERR_REFUSED, _INVALID and _LIMIT leave the roster as it was. One
 * that is in already changes nothing. Another operation under a sequence that is taken is the steward's fork: it comes
 * in as well, and in every state that holds both, that steward's operations from there on are void. */
int roster_add_operation(struct roster *roster, const char *steward, int64_t sequence,
    const uint8_t signer[SIGNING_PUBLIC_BYTES], const void *operation, size_t len, struct qosid_errbuf *err);

/* The key that must have signed the commit of this operation: that of its steward in the state it had seen; for the
 * very first one, the key it names itself. */
int roster_expected_signer(const struct roster *roster, const char *steward, const void *operation, size_t len,
    uint8_t out[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err);

/* The epoch whose key an operation's commit must carry; number 0: none. */
int roster_parse_epoch(struct roster_epoch *out, const void *operation, size_t len, struct qosid_errbuf *err);

size_t roster_operation_count(const struct roster *roster);
const char *roster_space(const struct roster *roster); /* 32 hex; "" before the first operation */

/* Operations in the order they arrived. */
struct roster_entry {
	enum roster_kind kind;
	const char *steward;
	int64_t sequence;
	int64_t time;
	uint8_t digest[DIGEST_BYTES];  /* BLAKE2b-256 of the operation: Qosid-Content of its commit */
	const char *office;            /* whom it is about; "" for nobody */
	unsigned roles;                /* of create, add and set-roles */
	const uint8_t *signing_public; /* of create, add and roll-key; else NULL */
	struct roster_epoch epoch;     /* number 0: its commit carries no key */
	int64_t since, threshold;
};
void roster_read_entry(const struct roster *roster, size_t index, struct roster_entry *out);

/* The first fork known of a steward's log: false when there is none. */
bool roster_find_fork(const struct roster *roster, const char *steward, int64_t *sequence);

/* What an operation shall do; kind says which of the others count. */
struct roster_change {
	enum roster_kind kind;
	struct roster_member
	    member; /* add: all; set-roles: office, roles; roll-key: office, keys; remove, revoke: office */
	const struct roster_epoch *epoch; /* the key that the commit carries, or NULL */
	uint8_t endorses[DIGEST_BYTES];
	int64_t threshold, since, until;
	const char *proof; /* of roll-key; NULL: the steward vouches */
};

/* Append a `create` operation: a new space of this steward's, epoch 1. */
int roster_format_create(struct qosid_buf *out, const char *space, const struct roster_member *steward,
    const struct roster_epoch *epoch, int64_t time, struct qosid_errbuf *err);

/* Append an operation made on the newest state. Whether it may be done is only judged by roster_add_operation(). */
int roster_format_change(struct qosid_buf *out, const struct roster *roster, const char *steward, int64_t sequence,
    const struct roster_change *change, int64_t time, struct qosid_errbuf *err);

/* ---- states (roster.c); -1 below means the newest, of all operations that have arrived ---- */

/* The state of these heads (sorted, none of which has seen another): QOSID_ERR_WAITING when one has not arrived. */
int roster_find_state(const struct roster *roster, const uint8_t (*heads)[DIGEST_BYTES], size_t count, int64_t *state,
    struct qosid_errbuf *err);

/* The heads of a state, sorted; at most LIMIT_ROSTER_HEADS (QOSID_ERR_LIMIT). */
int roster_list_heads(const struct roster *roster, int64_t state, uint8_t heads[LIMIT_ROSTER_HEADS][DIGEST_BYTES],
    size_t *count, struct qosid_errbuf *err);

/* Whether every operation of the older state is in the newer one. */
bool roster_state_covers(const struct roster *roster, int64_t newer, int64_t older);

/* BLAKE2b-256 over the state's text (docs/format.md, section 6): two offices with the same one agree about everything.
 */
int roster_state_digest(
    const struct roster *roster, int64_t state, uint8_t out[DIGEST_BYTES], struct qosid_errbuf *err);

/* A member of a state, removed ones included, or NULL. Lives as long as the roster. */
const struct roster_member *roster_find_member(const struct roster *roster, int64_t state, const char *office);
size_t roster_member_count(const struct roster *roster, int64_t state);
const struct roster_member *roster_member_at(
    const struct roster *roster, int64_t state, size_t index); /* sorted by office */

int64_t roster_epoch_count(const struct roster *roster, int64_t state);
/* The public half of an epoch's key, or NULL. */
const char *roster_epoch_recipient(const struct roster *roster, int64_t state, int64_t number);

/* Who holds the newest epoch's key without being entitled to it any more, and who is entitled and has not been given it
 * (one of each, or ""): both come of stewards who act at once, and a rotation mends them. false: all is as it should
 * be.
 */
bool roster_epoch_is_unfit(const struct roster *roster, int64_t state, const char **too_many, const char **missing);

int64_t roster_threshold(const struct roster *roster, int64_t state);
size_t roster_steward_count(const struct roster *roster, int64_t state);

/* Operations of a state that wait for endorsements. */
struct roster_pending {
	struct roster_entry entry;
	size_t endorsed; /* by stewards of this state, its author included */
	int64_t needed;
};
size_t roster_pending_count(const struct roster *roster, int64_t state);
bool roster_pending_at(const struct roster *roster, int64_t state, size_t index, struct roster_pending *out);
/* Whether this steward has endorsed it, or made it. */
bool roster_has_endorsed(
    const struct roster *roster, int64_t state, const uint8_t operation[DIGEST_BYTES], const char *steward);

/* ---- epochs (epoch.c) ---- */

/* Wrap keys for members: an age file whose plaintext is an age identity file with each of the keys, newest first, which
 * stock age takes as it is. */
int epoch_wrap(struct qosid_buf *out, const char *const *recipients, size_t recipient_count,
    const struct age_key *const *keys, size_t key_count, int64_t newest, struct qosid_errbuf *err);

/* The recipients of an epoch that starts after state: all members entitled there. member, when not NULL, stands for the
 * member of its name, or joins (roles 0: leaves). Returns their number; recipients has room for LIMIT_MEMBERS + 1. */
size_t epoch_list_recipients(
    const struct roster *roster, int64_t state, const struct roster_member *member, const char **recipients);

/* Open an epoch file with a member's key, and take out the key that fits recipient. */
int epoch_unwrap(struct age_key **out, const void *data, size_t len, const struct age_key *member_key,
    const char *recipient, struct qosid_errbuf *err);

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

/* A member's new keys: signed by the new key, as a request is, and by the old one, which is the proof that stewards
 * pass on: {"qosid":"roll","format":1,"space","office","signing","encryption","signature","proof"}. */
int roll_format(struct qosid_buf *out, const char *space, const char *office, const struct identity *identity,
    const struct identity *old, struct qosid_errbuf *err);

/* Read one, into office and keys of out and the proof, an armoured signature. That the proof holds is judged by
 * roster_add_operation(). */
int roll_parse(struct roster_member *out, struct qosid_buf *proof, const char *space, const char *text, size_t len,
    struct qosid_errbuf *err);

#endif
