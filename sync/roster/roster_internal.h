/*
 * Inside the roster: the graph of operations, states, and the memory that both share.
 *
 * Operations are numbered in the order they arrived; what an operation had seen arrived before it, so that order is one
 * of the causal ones, but nothing may depend on it. Sets of operations are bit sets over these numbers. States, members
 * and epochs are never changed once made: a state is a few arrays of pointers to records that live as long as the
 * roster.
 */
#ifndef QOSID_SYNC_ROSTER_ROSTER_INTERNAL_H
#define QOSID_SYNC_ROSTER_ROSTER_INTERNAL_H

#include "sync/roster/operation.h"
#include "sync/roster/roster.h"

#define SET_WORDS (LIMIT_ROSTER_OPERATIONS / 64)

struct set {
	uint64_t *words; /* bits past the end are 0 */
	size_t count;    /* of words */
};

static inline bool set_has(const struct set *set, size_t bit)
{
	return bit / 64 < set->count && (set->words[bit / 64] >> (bit % 64) & 1) != 0;
}

/* A member, and what the roster must not forget about it. */
struct record {
	struct roster_member member;
	char skeleton[LIMIT_SLUG_BYTES + 1];
	size_t admitted;             /* the operation that admitted it */
	const struct record *former; /* with the keys it had before, or NULL */
	struct record *next;         /* all records, to be freed */
};

/* An operation that waits for endorsements. */
struct waiting {
	size_t node;
	size_t *stewards; /* nodes that admitted those who endorsed it */
	size_t count;
};

struct state {
	struct set cut;                /* its operations */
	const struct record **members; /* sorted by office, removed ones included */
	size_t member_count;
	char (*epochs)[AGE_RECIPIENT_SIZE];
	size_t epoch_count;
	uint64_t holders[SET_WORDS]; /* of the newest epoch's key: nodes that admitted them */
	struct waiting *waiting;
	size_t waiting_count;
	int64_t threshold;
	struct set effective; /* operations that did what they say */
};

struct node {
	struct operation operation;
	uint8_t digest[DIGEST_BYTES];
	uint8_t signer[SIGNING_PUBLIC_BYTES];
	struct set past;                   /* itself included */
	uint32_t depth;                    /* the longest way from the first operation */
	uint32_t rank;                     /* the depth of the operation that admitted its steward, */
	uint8_t rank_digest[DIGEST_BYTES]; /* and its digest */
	bool takes;                        /* takes something away: comes before what is concurrent and gives */
	bool opens;                        /* starts an epoch */
	bool proved;                       /* a member's own word, which needs no endorsement */
	uint64_t holders[SET_WORDS];       /* of that epoch's key, as its steward wrapped it */
	size_t state;                      /* of its past */
};

/* Two operations of one steward under one sequence. */
struct fork {
	size_t first, second;
	int64_t sequence;
};

struct cache {
	struct state **states;
	size_t state_count, state_room;
	size_t newest; /* plus one; 0: to be found */
	size_t last;   /* found last among those of several heads */
	struct record *records;
};

struct roster {
	char space[SPACE_ID_HEX + 1];
	struct node **nodes;
	size_t node_count;
	struct fork *forks;
	size_t fork_count;
	struct cache *cache; /* grows while the roster is only read */
};

/* ---- roster.c ---- */

/* roster_add_operation() with an operation that has been taken apart already. */
int roster_take_operation(struct roster *roster, const struct operation *operation, const uint8_t digest[DIGEST_BYTES],
    const uint8_t signer[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err);

/* ---- order.c ---- */

int set_create(struct set *set, size_t bits, struct qosid_errbuf *err);
bool set_contains(const struct set *outer, const struct set *inner);
bool set_equal(const struct set *a, const struct set *b);

/* The operations of cut in the order they take effect, after those in done (or NULL), which all others have seen. out
 * has room for all nodes. */
int order_list(const struct roster *roster, const struct set *cut, const struct set *done, size_t *out, size_t *count,
    struct qosid_errbuf *err);

/* ---- state.c ---- */

void state_free(struct state *state);

/* A copy of base (NULL: empty) to be changed, with room for one more of everything. */
int state_copy(const struct state *base, struct state **out, struct qosid_errbuf *err);

/* Let a node take effect. One that cannot is void: that is no error. */
int state_apply(const struct roster *roster, struct state *state, size_t node, struct qosid_errbuf *err);

/* Whether an operation signed by signer could take effect in this state, and whether what it says of epochs fits. Also
 * fills what is fixed about the node when it is made: takes, opens, proved, rank, holders. */
int state_judge(const struct roster *roster, const struct state *state, struct node *node, struct qosid_errbuf *err);

const struct record *state_find(const struct state *state, const char *office);
bool state_is_steward(const struct state *state, const char *office);
size_t state_steward_count(const struct state *state);

/* Append the text that the state's digest covers. */
int state_format(
    const struct roster *roster, const struct state *state, struct qosid_buf *out, struct qosid_errbuf *err);

#endif
