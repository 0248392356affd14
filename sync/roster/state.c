/*
 * States: what an operation may do, and what it makes of the state before.
 *
 * state_judge() decides whether an operation is let in at all, by the state that its steward had seen. state_apply()
 * runs in the total order and meets other states than that: there, what cannot be done is void, silently.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sshsig.h"
#include "sync/roster/roster_internal.h"

static int no_memory(struct qosid_errbuf *err)
{
	return qosid_error(err, QOSID_ERR_NOMEM, "no memory for a roster state");
}

void state_free(struct state *state)
{
	if (state == NULL)
		return;
	for (size_t i = 0; i < state->waiting_count; i++)
		free(state->waiting[i].stewards);
	free(state->waiting);
	free(state->cut.words);
	free(state->effective.words);
	free(state->members);
	free(state->epochs);
	free(state);
}

static int copy_waiting(const struct state *base, struct state *copy)
{
	copy->waiting = calloc(base->waiting_count + 1, sizeof(*copy->waiting));
	if (copy->waiting == NULL)
		return -1;
	for (size_t i = 0; i < base->waiting_count; i++) {
		struct waiting *to = &copy->waiting[i];
		const struct waiting *from = &base->waiting[i];

		to->stewards = calloc(from->count + 1, sizeof(*to->stewards));
		copy->waiting_count = i + 1;
		if (to->stewards == NULL)
			return -1;
		to->node = from->node;
		to->count = from->count;
		memcpy(to->stewards, from->stewards, from->count * sizeof(*to->stewards));
	}
	return 0;
}

int state_copy(const struct state *base, struct state **out, struct qosid_errbuf *err)
{
	static const struct state empty = {.threshold = 1};
	struct state *copy = calloc(1, sizeof(*copy));

	if (base == NULL)
		base = &empty;
	if (copy == NULL)
		return no_memory(err);
	copy->threshold = base->threshold;
	memcpy(copy->holders, base->holders, sizeof(copy->holders));
	copy->members = calloc(base->member_count + 1, sizeof(struct record *));
	copy->epochs = calloc(base->epoch_count + 1, sizeof(*copy->epochs));
	if (copy->members == NULL || copy->epochs == NULL || copy_waiting(base, copy) != 0) {
		state_free(copy);
		return no_memory(err);
	}
	copy->member_count = base->member_count;
	if (base->member_count > 0)
		memcpy(copy->members, base->members, base->member_count * sizeof(struct record *));
	copy->epoch_count = base->epoch_count;
	if (base->epoch_count > 0)
		memcpy(copy->epochs, base->epochs, base->epoch_count * sizeof(*copy->epochs));
	*out = copy;
	return 0;
}

/* ---- looking ---- */

/* Where this office is, or would be. */
static size_t find_place(const struct state *state, const char *office)
{
	size_t low = 0, high = state->member_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(state->members[middle]->member.office, office) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct record *state_find(const struct state *state, const char *office)
{
	size_t place = find_place(state, office);

	if (place == state->member_count || strcmp(state->members[place]->member.office, office) != 0)
		return NULL;
	return state->members[place];
}

bool state_is_steward(const struct state *state, const char *office)
{
	const struct record *record = state_find(state, office);

	return record != NULL && (record->member.roles & ROLE_STEWARD) != 0;
}

size_t state_steward_count(const struct state *state)
{
	size_t count = 0;

	for (size_t i = 0; i < state->member_count; i++)
		count += (state->members[i]->member.roles & ROLE_STEWARD) != 0;
	return count;
}

static const struct record *find_admitted(const struct state *state, size_t node)
{
	for (size_t i = 0; i < state->member_count; i++) {
		if (state->members[i]->admitted == node)
			return state->members[i];
	}
	return NULL;
}

static struct waiting *find_waiting(const struct state *state, const struct roster *roster, const uint8_t *digest)
{
	for (size_t i = 0; i < state->waiting_count; i++) {
		if (memcmp(roster->nodes[state->waiting[i].node]->digest, digest, DIGEST_BYTES) == 0)
			return &state->waiting[i];
	}
	return NULL;
}

/* ---- what may be done ---- */

/* A key belongs to one member for ever, also after it has been replaced. */
static int check_keys(const struct state *state, const struct roster_member *wanted, struct qosid_errbuf *err)
{
	for (size_t i = 0; i < state->member_count; i++) {
		for (const struct record *record = state->members[i]; record != NULL; record = record->former) {
			const struct roster_member *member = &record->member;

			if (memcmp(member->signing_public, wanted->signing_public, SIGNING_PUBLIC_BYTES) == 0)
				return qosid_error(err, QOSID_ERR_REFUSED, "%s has the signing key of the member %s",
				    wanted->office, member->office);
			if (strcmp(member->recipient, wanted->recipient) == 0)
				return qosid_error(err, QOSID_ERR_REFUSED, "%s has the encryption key of the member %s",
				    wanted->office, member->office);
		}
	}
	return 0;
}

static int check_stewards(const struct state *state, int change, const char *office, struct qosid_errbuf *err)
{
	int64_t stewards = (int64_t)state_steward_count(state) + change;

	if (change > 0 && stewards > LIMIT_STEWARDS)
		return qosid_error(
		    err, QOSID_ERR_LIMIT, "the space has %u stewards, which is the most", LIMIT_STEWARDS);
	if (change < 0 && stewards < state->threshold) {
		(void)qosid_error(err, QOSID_ERR_REFUSED,
		    "without %s there would be %" PRId64 " stewards where %" PRId64 " must agree", office, stewards,
		    state->threshold);
		qosid_error_hint(err, "make another office a steward first");
		return QOSID_ERR_REFUSED;
	}
	return 0;
}

static int check_add(const struct state *state, const struct roster_member *newcomer, struct qosid_errbuf *err)
{
	char skeleton[LIMIT_SLUG_BYTES + 1];

	if (state->member_count >= LIMIT_MEMBERS)
		return qosid_error(err, QOSID_ERR_LIMIT, "the space has %u members, which is the most", LIMIT_MEMBERS);
	slug_skeleton(skeleton, newcomer->office);
	for (size_t i = 0; i < state->member_count; i++) {
		const struct roster_member *member = &state->members[i]->member;

		if (strcmp(member->office, newcomer->office) == 0)
			return qosid_error(err, QOSID_ERR_REFUSED, "%s %s", newcomer->office,
			    member->roles != 0 ? "is a member already"
					       : "was a member and has been removed, and the name stays its own");
		if (strcmp(state->members[i]->skeleton, skeleton) == 0)
			return qosid_error(err, QOSID_ERR_REFUSED,
			    "the name %s looks like that of the member %s and would be taken for it", newcomer->office,
			    member->office);
	}
	if ((newcomer->roles & ROLE_STEWARD) != 0 && check_stewards(state, 1, newcomer->office, err) != 0)
		return QOSID_ERR_LIMIT;
	return check_keys(state, newcomer, err);
}

/* The member that an operation is about. */
static int find_target(
    const struct state *state, const char *office, const struct record **out, struct qosid_errbuf *err)
{
	*out = state_find(state, office);
	if (*out == NULL)
		return qosid_error(err, QOSID_ERR_REFUSED, "%s is not a member of the space", office);
	if ((*out)->member.roles == 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "%s has been removed", office);
	return 0;
}

static int check_roles_change(
    const struct state *state, const struct operation *operation, unsigned roles, struct qosid_errbuf *err)
{
	const struct record *target;
	int rc = find_target(state, operation->member.office, &target, err);
	int change;

	if (rc != 0)
		return rc;
	if (target->member.roles == roles)
		return qosid_error(err, QOSID_ERR_REFUSED, "%s has these roles already", target->member.office);
	change = ((roles & ROLE_STEWARD) != 0) - ((target->member.roles & ROLE_STEWARD) != 0);
	return change != 0 ? check_stewards(state, change, target->member.office, err) : 0;
}

static int check_endorse(
    const struct roster *roster, const struct state *state, const struct operation *operation, struct qosid_errbuf *err)
{
	const struct waiting *waiting = find_waiting(state, roster, operation->endorses);
	const struct record *author = state_find(state, operation->steward);

	if (waiting == NULL)
		return qosid_error(err, QOSID_ERR_REFUSED, "no operation of this digest waits for endorsement");
	for (size_t i = 0; author != NULL && i < waiting->count; i++) {
		if (waiting->stewards[i] == author->admitted)
			return qosid_error(
			    err, QOSID_ERR_REFUSED, "%s has endorsed this operation already", operation->steward);
	}
	return 0;
}

static int check_threshold(const struct state *state, int64_t threshold, struct qosid_errbuf *err)
{
	size_t stewards = state_steward_count(state);

	if (threshold > (int64_t)stewards)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "%" PRId64 " stewards cannot be asked to agree: there are %zu", threshold, stewards);
	if (threshold == state->threshold)
		return qosid_error(err, QOSID_ERR_REFUSED, "the threshold is %" PRId64 " already", threshold);
	return 0;
}

/* Whether the operation can take effect in this state, whoever made it. */
static int check_effect(
    const struct roster *roster, const struct state *state, const struct operation *operation, struct qosid_errbuf *err)
{
	const struct record *target;
	int rc;

	switch (operation->kind) {
	case ROSTER_CREATE:
		return state->member_count == 0
			   ? 0
			   : qosid_error(err, QOSID_ERR_REFUSED, "the space has been created already");
	case ROSTER_ADD:
		return check_add(state, &operation->member, err);
	case ROSTER_SET_ROLES:
		return check_roles_change(state, operation, operation->member.roles, err);
	case ROSTER_REMOVE:
		return check_roles_change(state, operation, 0, err);
	case ROSTER_ROLL_KEY:
		rc = find_target(state, operation->member.office, &target, err);
		return rc != 0 ? rc : check_keys(state, &operation->member, err);
	case ROSTER_THRESHOLD:
		return check_threshold(state, operation->threshold, err);
	case ROSTER_ENDORSE:
		return check_endorse(roster, state, operation, err);
	case ROSTER_REVOKE:
		return state_find(state, operation->member.office) != NULL
			   ? 0
			   : qosid_error(
				 err, QOSID_ERR_REFUSED, "%s is not a member of the space", operation->member.office);
	default: /* an epoch can always be started */
		return 0;
	}
}

/* ---- judging what comes in ---- */

static unsigned roles_before(const struct state *state, const struct operation *operation)
{
	const struct record *target = state_find(state, operation->member.office);

	return target == NULL ? 0 : target->member.roles;
}

static unsigned roles_after(const struct state *state, const struct operation *operation)
{
	switch (operation->kind) {
	case ROSTER_CREATE:
	case ROSTER_ADD:
	case ROSTER_SET_ROLES:
		return operation->member.roles;
	case ROSTER_REMOVE:
		return 0;
	default:
		return roles_before(state, operation);
	}
}

/* What the operation says of an epoch must be what it needs: a new one when somebody loses the right to read, the key
 * of one (new or newest) for who gains it, and nothing otherwise. */
static int check_epoch(const struct state *state, struct node *node, struct qosid_errbuf *err)
{
	const struct operation *operation = &node->operation;
	const struct roster_epoch *epoch = &operation->epoch;
	bool before = roster_is_entitled(roles_before(state, operation));
	bool after = roster_is_entitled(roles_after(state, operation));
	bool loses = operation->kind == ROSTER_ROTATE || operation->kind == ROSTER_CREATE || (before && !after);
	bool gains = (after && !before) || (operation->kind == ROSTER_ROLL_KEY && after);

	if (operation->kind == ROSTER_THRESHOLD || operation->kind == ROSTER_ENDORSE ||
	    operation->kind == ROSTER_REVOKE)
		return 0;
	if (epoch->number == 0)
		return loses || gains ? qosid_error(err, QOSID_ERR_REFUSED, "the operation names no epoch and has to")
				      : 0;
	if (!loses && !gains)
		return qosid_error(err, QOSID_ERR_REFUSED, "the operation names an epoch and has no use for it");
	node->opens = epoch->number == (int64_t)state->epoch_count + 1;
	if (!node->opens && (loses || epoch->number != (int64_t)state->epoch_count))
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "the operation names epoch %" PRId64 " where %s%zu must follow", epoch->number,
		    loses ? "" : "the newest or ", state->epoch_count + 1);
	if (!node->opens && strcmp(state->epochs[state->epoch_count - 1], epoch->recipient) != 0)
		return qosid_error(
		    err, QOSID_ERR_REFUSED, "the operation changes the key of epoch %" PRId64, epoch->number);
	for (size_t i = 0; node->opens && i < state->epoch_count; i++) {
		if (strcmp(state->epochs[i], epoch->recipient) == 0)
			return qosid_error(err, QOSID_ERR_REFUSED, "the new epoch has the key of epoch %zu", i + 1);
	}
	return 0;
}

/* A member that rolls its keys vouches for them with the old one. */
static int check_proof(const struct state *state, struct node *node, const char *space, struct qosid_errbuf *err)
{
	const struct operation *operation = &node->operation;
	const struct record *target;
	struct qosid_buf text = {0};
	int rc = find_target(state, operation->member.office, &target, err);

	if (rc != 0)
		return rc;
	node->proved = strcmp(operation->steward, operation->member.office) == 0;
	if (operation->proof[0] == '\0')
		return 0;
	rc = roll_format_text(
	    &text, space, operation->member.office, operation->member.signing_public, operation->member.recipient, err);
	if (rc == 0)
		rc = sshsig_verify(operation->proof, strlen(operation->proof), SSHSIG_NAMESPACE_FILE, text.data,
		    text.len, target->member.signing_public, err);
	qosid_buf_free(&text);
	if (rc != 0)
		return qosid_error_within(err, "the proof by the old key of %s", operation->member.office);
	node->proved = true;
	return 0;
}

static void fill_holders(const struct roster *roster, const struct state *state, struct node *node)
{
	const struct operation *operation = &node->operation;
	bool joins = operation->kind == ROSTER_CREATE || operation->kind == ROSTER_ADD;
	size_t self = roster->node_count; /* the number it is about to get */

	for (size_t i = 0; i < state->member_count; i++) {
		const struct record *record = state->members[i];
		bool target = strcmp(record->member.office, operation->member.office) == 0;
		unsigned roles = target ? roles_after(state, operation) : record->member.roles;

		if (roster_is_entitled(roles))
			node->holders[record->admitted / 64] |= UINT64_C(1) << (record->admitted % 64);
	}
	if (joins)
		node->holders[self / 64] |= UINT64_C(1) << (self % 64);
}

static bool takes_away(const struct roster *roster, const struct state *state, const struct operation *operation)
{
	const struct waiting *waiting;

	switch (operation->kind) {
	case ROSTER_REMOVE:
	case ROSTER_REVOKE:
	case ROSTER_ROLL_KEY:
		return true;
	case ROSTER_SET_ROLES:
		return (roles_before(state, operation) & ~operation->member.roles) != 0;
	case ROSTER_ENDORSE:
		waiting = find_waiting(state, roster, operation->endorses);
		return waiting != NULL && roster->nodes[waiting->node]->takes;
	default:
		return false;
	}
}

static int judge_first(const struct node *node, struct qosid_errbuf *err)
{
	const struct operation *operation = &node->operation;

	if (strcmp(operation->member.office, operation->steward) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "the space is created by %s for %s", operation->steward,
		    operation->member.office);
	if ((operation->member.roles & ROLE_STEWARD) == 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "who creates the space must be its steward");
	if (memcmp(node->signer, operation->member.signing_public, SIGNING_PUBLIC_BYTES) != 0)
		return qosid_error(
		    err, QOSID_ERR_REFUSED, "the first roster operation is not signed by the key it names");
	return 0;
}

int state_judge(const struct roster *roster, const struct state *state, struct node *node, struct qosid_errbuf *err)
{
	const struct operation *operation = &node->operation;
	const struct record *author = state_find(state, operation->steward);
	int rc;

	if (state->member_count == 0) {
		rc = judge_first(node, err);
	} else if (author == NULL || (author->member.roles & ROLE_STEWARD) == 0) {
		rc = qosid_error(err, QOSID_ERR_REFUSED, "%.63s is not a steward of the space", operation->steward);
	} else if (strcmp(operation->space, roster->space) != 0) {
		rc = qosid_error(err, QOSID_ERR_REFUSED, "the roster operation belongs to another space");
	} else if (memcmp(node->signer, author->member.signing_public, SIGNING_PUBLIC_BYTES) != 0) {
		rc = qosid_error(
		    err, QOSID_ERR_REFUSED, "the roster operation is not signed by the steward %s", operation->steward);
	} else {
		node->rank = roster->nodes[author->admitted]->depth;
		memcpy(node->rank_digest, roster->nodes[author->admitted]->digest, DIGEST_BYTES);
		rc = operation->kind == ROSTER_ROLL_KEY ? check_proof(state, node, roster->space, err) : 0;
	}
	if (rc == 0)
		rc = check_effect(roster, state, operation, err);
	if (rc == 0)
		rc = check_epoch(state, node, err);
	if (rc != 0)
		return rc;
	node->takes = takes_away(roster, state, operation);
	if (node->opens)
		fill_holders(roster, state, node);
	return 0;
}

/* ---- taking effect ---- */

static struct record *make_record(const struct roster *roster, const struct record *from, struct qosid_errbuf *err)
{
	struct record *record = calloc(1, sizeof(*record));

	if (record == NULL) {
		(void)no_memory(err);
		return NULL;
	}
	if (from != NULL)
		*record = *from;
	record->next = roster->cache->records;
	roster->cache->records = record;
	return record;
}

static int admit(const struct roster *roster, struct state *state, size_t node, struct qosid_errbuf *err)
{
	const struct operation *operation = &roster->nodes[node]->operation;
	size_t place = find_place(state, operation->member.office);
	struct record *record = make_record(roster, NULL, err);

	if (record == NULL)
		return QOSID_ERR_NOMEM;
	record->member = operation->member;
	record->member.since = operation->time;
	record->member.first_epoch = roster->nodes[node]->opens ? (int64_t)state->epoch_count : 1;
	record->admitted = node;
	slug_skeleton(record->skeleton, record->member.office);
	memmove(&state->members[place + 1], &state->members[place],
	    (state->member_count - place) * sizeof(struct record *));
	state->members[place] = record;
	state->member_count++;
	return 0;
}

/* Change the member that the operation is about. */
static int change_member(const struct roster *roster, struct state *state, size_t node, struct qosid_errbuf *err)
{
	const struct operation *operation = &roster->nodes[node]->operation;
	size_t place = find_place(state, operation->member.office);
	const struct record *before = state->members[place];
	struct record *record = make_record(roster, before, err);
	struct roster_member *member;

	if (record == NULL)
		return QOSID_ERR_NOMEM;
	member = &record->member;
	switch (operation->kind) {
	case ROSTER_SET_ROLES:
		if (!roster_is_entitled(member->roles) && roster_is_entitled(operation->member.roles))
			member->first_epoch = roster->nodes[node]->opens ? (int64_t)state->epoch_count : 1;
		member->roles = operation->member.roles;
		break;
	case ROSTER_REMOVE:
		member->roles = 0;
		member->ended = operation->time;
		member->until = operation->until;
		break;
	case ROSTER_REVOKE:
		member->revoked = operation->since;
		break;
	default: /* ROSTER_ROLL_KEY */
		memcpy(member->signing_public, operation->member.signing_public, SIGNING_PUBLIC_BYTES);
		memcpy(member->recipient, operation->member.recipient, AGE_RECIPIENT_SIZE);
		record->former = before;
		break;
	}
	state->members[place] = record;
	return 0;
}

/* Start the epoch that the operation carries, or note who has been given the newest one's key. */
static int take_epoch(const struct roster *roster, struct state *state, size_t node, struct qosid_errbuf *err)
{
	const struct node *from = roster->nodes[node];
	void *grown;

	if (!from->opens)
		return 0;
	grown = reallocarray(state->epochs, state->epoch_count + 1, sizeof(*state->epochs));
	if (grown == NULL)
		return no_memory(err);
	state->epochs = grown;
	memcpy(state->epochs[state->epoch_count++], from->operation.epoch.recipient, AGE_RECIPIENT_SIZE);
	memcpy(state->holders, from->holders, sizeof(state->holders));
	return 0;
}

static void note_holder(const struct roster *roster, struct state *state, size_t node)
{
	const struct node *from = roster->nodes[node];
	const struct record *record;

	if (from->opens || from->operation.epoch.number == 0 || state->epoch_count == 0 ||
	    strcmp(state->epochs[state->epoch_count - 1], from->operation.epoch.recipient) != 0)
		return;
	record = state_find(state, from->operation.member.office);
	if (record != NULL)
		state->holders[record->admitted / 64] |= UINT64_C(1) << (record->admitted % 64);
}

/* Room for one member more: an endorsement can let several wait and one in. */
static int make_room(struct state *state, struct qosid_errbuf *err)
{
	void *grown = reallocarray(state->members, state->member_count + 1, sizeof(struct record *));

	if (grown == NULL)
		return no_memory(err);
	state->members = grown;
	return 0;
}

static int take_effect(const struct roster *roster, struct state *state, size_t node, struct qosid_errbuf *err)
{
	const struct operation *operation = &roster->nodes[node]->operation;
	int rc;

	if (check_effect(roster, state, operation, NULL) != 0)
		return 0; /* void */
	rc = take_epoch(roster, state, node, err);
	if (rc != 0)
		return rc;
	switch (operation->kind) {
	case ROSTER_CREATE:
	case ROSTER_ADD:
		rc = make_room(state, err);
		if (rc == 0)
			rc = admit(roster, state, node, err);
		break;
	case ROSTER_THRESHOLD:
		state->threshold = operation->threshold;
		break;
	case ROSTER_ROTATE:
	case ROSTER_ENDORSE:
		break;
	default:
		rc = change_member(roster, state, node, err);
	}
	if (rc == 0)
		note_holder(roster, state, node);
	if (rc == 0)
		state->effective.words[node / 64] |= UINT64_C(1) << (node % 64);
	return rc;
}

static int wait_for_others(struct state *state, size_t node, size_t steward, struct qosid_errbuf *err)
{
	struct waiting *grown = reallocarray(state->waiting, state->waiting_count + 1, sizeof(*grown));

	if (grown == NULL)
		return no_memory(err);
	state->waiting = grown;
	grown[state->waiting_count] = (struct waiting){.node = node};
	grown[state->waiting_count].stewards = calloc(1, sizeof(size_t));
	if (grown[state->waiting_count].stewards == NULL)
		return no_memory(err);
	grown[state->waiting_count].stewards[0] = steward;
	grown[state->waiting_count++].count = 1;
	return 0;
}

static int64_t count_endorsed(const struct state *state, const struct waiting *waiting)
{
	int64_t count = 0;

	for (size_t i = 0; i < waiting->count; i++) {
		const struct record *record = find_admitted(state, waiting->stewards[i]);

		count += record != NULL && (record->member.roles & ROLE_STEWARD) != 0;
	}
	return count;
}

static int endorse(
    const struct roster *roster, struct state *state, size_t node, size_t steward, struct qosid_errbuf *err)
{
	const struct operation *operation = &roster->nodes[node]->operation;
	struct waiting *waiting = find_waiting(state, roster, operation->endorses);
	size_t target, *grown;

	if (check_endorse(roster, state, operation, NULL) != 0)
		return 0; /* it has taken effect, or has been endorsed by the same steward */
	grown = reallocarray(waiting->stewards, waiting->count + 1, sizeof(*grown));
	if (grown == NULL)
		return no_memory(err);
	waiting->stewards = grown;
	grown[waiting->count++] = steward;
	state->effective.words[node / 64] |= UINT64_C(1) << (node % 64);
	if (count_endorsed(state, waiting) < state->threshold)
		return 0;
	target = waiting->node;
	free(waiting->stewards);
	state->waiting_count--;
	memmove(waiting, waiting + 1, (size_t)(state->waiting + state->waiting_count - waiting) * sizeof(*waiting));
	return take_effect(roster, state, target, err);
}

int state_apply(const struct roster *roster, struct state *state, size_t node, struct qosid_errbuf *err)
{
	const struct node *from = roster->nodes[node];
	const struct record *author = state_find(state, from->operation.steward);

	if (from->operation.kind == ROSTER_CREATE)
		return take_effect(roster, state, node, err);
	if (author == NULL || (author->member.roles & ROLE_STEWARD) == 0 ||
	    memcmp(author->member.signing_public, from->signer, SIGNING_PUBLIC_BYTES) != 0)
		return 0; /* void */
	if (from->operation.kind == ROSTER_ENDORSE)
		return endorse(roster, state, node, author->admitted, err);
	if (state->threshold > 1 && !from->proved)
		return wait_for_others(state, node, author->admitted, err);
	return take_effect(roster, state, node, err);
}

/* ---- as text ---- */

static int format_member(struct qosid_buf *out, const struct roster_member *member, struct qosid_errbuf *err)
{
	char signing[SSH_PUBLIC_SIZE];
	int rc;

	sshkey_format_public(signing, member->signing_public);
	rc = qosid_buf_append_format(out, err,
	    "{\"encryption\":\"%s\",\"first\":%" PRId64 ",\"office\":\"%s\",\"revoked\":%" PRId64 ",\"roles\":\"",
	    member->recipient, member->first_epoch, member->office, member->revoked);
	if (rc == 0 && member->roles != 0)
		rc = roster_format_roles(member->roles, out, err);
	return rc != 0 ? rc : qosid_buf_append_format(out, err, "\",\"signing\":\"%s\"}", signing);
}

static int format_waiting(
    const struct roster *roster, const struct state *state, struct qosid_buf *out, struct qosid_errbuf *err)
{
	char digest[DIGEST_TEXT_SIZE];
	int rc = 0;

	for (size_t i = 0; i < state->waiting_count && rc == 0; i++) {
		const struct waiting *waiting = &state->waiting[i];

		digest_format(digest, roster->nodes[waiting->node]->digest);
		rc = qosid_buf_append_format(out, err, "%s{\"endorsed\":[", i == 0 ? "" : ",");
		for (size_t j = 0; j < waiting->count && rc == 0; j++)
			rc = qosid_buf_append_format(out, err, "%s\"%s\"", j == 0 ? "" : ",",
			    roster->nodes[waiting->stewards[j]]->operation.member.office);
		if (rc == 0)
			rc = qosid_buf_append_format(out, err, "],\"operation\":\"%s\"}", digest);
	}
	return rc;
}

int state_format(
    const struct roster *roster, const struct state *state, struct qosid_buf *out, struct qosid_errbuf *err)
{
	int rc = qosid_buf_append_text(out, "{\"epochs\":[", err);

	for (size_t i = 0; i < state->epoch_count && rc == 0; i++)
		rc = qosid_buf_append_format(out, err, "%s\"%s\"", i == 0 ? "" : ",", state->epochs[i]);
	if (rc == 0)
		rc = qosid_buf_append_text(out, "],\"members\":[", err);
	for (size_t i = 0; i < state->member_count && rc == 0; i++) {
		if (i > 0)
			rc = qosid_buf_append_byte(out, ',', err);
		if (rc == 0)
			rc = format_member(out, &state->members[i]->member, err);
	}
	if (rc == 0)
		rc = qosid_buf_append_format(out, err, "],\"space\":\"%s\",\"threshold\":%" PRId64 ",\"waiting\":[",
		    roster->space, state->threshold);
	if (rc == 0)
		rc = format_waiting(roster, state, out, err);
	return rc != 0 ? rc : qosid_buf_append_text(out, "]}", err);
}
