/*
 * The roster: operations as they come in, and the states that can be asked for.
 *
 * What an operation had seen is always in before it, and is never changed again. So the state that an operation leaves,
 * counted over its own past alone, is computed once, from the state of what it had seen. States of several heads are
 * computed when somebody names them, from the newest operation that all others are before or after, and kept.
 */
#include "sync/roster/roster.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sshsig.h"
#include "sync/roster/roster_internal.h"

int roster_create(struct roster **out, struct qosid_errbuf *err)
{
	struct roster *roster = calloc(1, sizeof(*roster));

	*out = NULL;
	if (roster != NULL)
		roster->cache = calloc(1, sizeof(*roster->cache));
	if (roster == NULL || roster->cache == NULL) {
		free(roster);
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for the roster");
	}
	*out = roster;
	return 0;
}

static void node_free(struct node *node)
{
	if (node == NULL)
		return;
	free(node->past.words);
	free(node);
}

void roster_free(struct roster *roster)
{
	struct record *record, *next;

	if (roster == NULL)
		return;
	for (size_t i = 0; i < roster->node_count; i++)
		node_free(roster->nodes[i]);
	for (size_t i = 0; i < roster->cache->state_count; i++)
		state_free(roster->cache->states[i]);
	for (record = roster->cache->records; record != NULL; record = next) {
		next = record->next;
		free(record);
	}
	free(roster->cache->states);
	free(roster->cache);
	free(roster->nodes);
	free(roster->forks);
	free(roster);
}

/* SIZE_MAX when it has not arrived. The newest are asked for most. */
static size_t find_node(const struct roster *roster, const uint8_t digest[DIGEST_BYTES])
{
	for (size_t i = roster->node_count; i-- > 0;) {
		if (memcmp(roster->nodes[i]->digest, digest, DIGEST_BYTES) == 0)
			return i;
	}
	return SIZE_MAX;
}

/* ---- states ---- */

/* Whether a steward's operation is void in this cut because the steward has signed two of one sequence. */
static bool is_forked(const struct roster *roster, const struct set *cut, const struct node *node)
{
	for (size_t i = 0; i < roster->fork_count; i++) {
		const struct fork *fork = &roster->forks[i];

		if (node->operation.sequence >= fork->sequence && set_has(cut, fork->first) &&
		    set_has(cut, fork->second) &&
		    strcmp(roster->nodes[fork->first]->operation.steward, node->operation.steward) == 0)
			return true;
	}
	return false;
}

/* Keep a state, which the cache owns from here on, also on failure. */
static int keep_state(const struct roster *roster, struct state *state, size_t *out, struct qosid_errbuf *err)
{
	struct cache *cache = roster->cache;

	if (cache->state_count == cache->state_room) {
		size_t room = cache->state_room * 2 + 16;
		void *grown = reallocarray(cache->states, room, sizeof(struct state *));

		if (grown == NULL) {
			state_free(state);
			return qosid_error(err, QOSID_ERR_NOMEM, "no memory for %zu roster states", room);
		}
		cache->states = grown;
		cache->state_room = room;
	}
	*out = cache->state_count;
	cache->states[cache->state_count++] = state;
	return 0;
}

/* A copy of base whose cut is cut (copied). */
static int begin_state(
    const struct state *base, const struct set *cut, size_t bits, struct state **out, struct qosid_errbuf *err)
{
	int rc = state_copy(base, out, err);

	if (rc != 0)
		return rc;
	if ((rc = set_create(&(*out)->cut, bits, err)) != 0 || (rc = set_create(&(*out)->effective, bits, err)) != 0) {
		state_free(*out);
		return rc;
	}
	for (size_t i = 0; i < cut->count && i < (*out)->cut.count; i++)
		(*out)->cut.words[i] = cut->words[i];
	for (size_t i = 0; base != NULL && i < base->effective.count && i < (*out)->effective.count; i++)
		(*out)->effective.words[i] = base->effective.words[i];
	return 0;
}

/* Whether every operation of the cut is before or after this one of it. */
static bool is_waist(const struct roster *roster, const struct set *cut, size_t candidate)
{
	const struct set *past = &roster->nodes[candidate]->past;

	for (size_t w = 0; w < cut->count; w++) {
		uint64_t rest = cut->words[w] & ~(w < past->count ? past->words[w] : 0);

		for (; rest != 0; rest &= rest - 1) {
			size_t node = w * 64 + (size_t)__builtin_ctzll(rest);

			if (!set_has(&roster->nodes[node]->past, candidate))
				return false;
		}
	}
	return true;
}

static const struct node *find_waist(const struct roster *roster, const struct set *cut)
{
	for (size_t i = roster->node_count; i-- > 0;) {
		if (set_has(cut, i) && is_waist(roster, cut, i))
			return roster->nodes[i];
	}
	return NULL;
}

/* Compute the state of a cut that is closed under causality. */
static int compute_state(const struct roster *roster, const struct set *cut, size_t *out, struct qosid_errbuf *err)
{
	const struct node *waist = find_waist(roster, cut);
	const struct state *base = waist != NULL ? roster->cache->states[waist->state] : NULL;
	struct state *state = NULL;
	size_t *order = calloc(roster->node_count + 1, sizeof(*order)), count = 0;
	int rc;

	if (order == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for a roster state");
	rc = begin_state(base, cut, roster->node_count, &state, err);
	if (rc == 0)
		rc = order_list(roster, cut, waist != NULL ? &waist->past : NULL, order, &count, err);
	for (size_t i = 0; i < count && rc == 0; i++) {
		if (!is_forked(roster, cut, roster->nodes[order[i]]))
			rc = state_apply(roster, state, order[i], err);
	}
	free(order);
	if (rc != 0) {
		state_free(state);
		return rc;
	}
	return keep_state(roster, state, out, err);
}

/* The state of a cut, known or to be computed. */
static int find_cut(const struct roster *roster, const struct set *cut, size_t *out, struct qosid_errbuf *err)
{
	struct cache *cache = roster->cache;

	if (cache->last < cache->state_count && set_equal(&cache->states[cache->last]->cut, cut)) {
		*out = cache->last;
		return 0;
	}
	for (size_t i = cache->state_count; i-- > 0;) {
		if (set_equal(&cache->states[i]->cut, cut)) {
			*out = cache->last = i;
			return 0;
		}
	}
	int rc = compute_state(roster, cut, out, err);
	if (rc == 0)
		cache->last = *out;
	return rc;
}

static void set_add(struct set *set, const struct set *other)
{
	for (size_t i = 0; i < other->count && i < set->count; i++)
		set->words[i] |= other->words[i];
}

static int find_newest(const struct roster *roster, size_t *out, struct qosid_errbuf *err)
{
	struct set all;
	int rc;

	if (roster->cache->newest > 0) {
		*out = roster->cache->newest - 1;
		return 0;
	}
	if (roster->node_count == 0)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "the roster has no state yet");
	if ((rc = set_create(&all, roster->node_count, err)) != 0)
		return rc;
	for (size_t i = 0; i < roster->node_count; i++)
		all.words[i / 64] |= UINT64_C(1) << (i % 64);
	rc = find_cut(roster, &all, out, err);
	free(all.words);
	if (rc == 0)
		roster->cache->newest = *out + 1;
	return rc;
}

static const struct state *get_state(const struct roster *roster, int64_t state)
{
	size_t index = (size_t)state;

	if (state < -1 || (state == -1 && find_newest(roster, &index, NULL) != 0) ||
	    index >= roster->cache->state_count)
		return NULL;
	return roster->cache->states[index];
}

int roster_find_state(const struct roster *roster, const uint8_t (*heads)[DIGEST_BYTES], size_t count, int64_t *state,
    struct qosid_errbuf *err)
{
	struct set cut;
	size_t found = 0, node;
	int rc;

	if (count == 0)
		return qosid_error(err, QOSID_ERR_INVALID, "no roster state is named");
	if ((rc = set_create(&cut, roster->node_count, err)) != 0)
		return rc;
	for (size_t i = 0; i < count && rc == 0; i++) {
		node = find_node(roster, heads[i]);
		if (node == SIZE_MAX)
			rc = qosid_error(err, QOSID_ERR_WAITING, "the roster state that it names has not arrived");
		else if (set_has(&cut, node))
			rc = qosid_error(
			    err, QOSID_ERR_REFUSED, "it names an operation that another one it names had seen");
		else {
			for (size_t j = 0; j < i; j++) {
				if (rc == 0 && set_has(&roster->nodes[node]->past, find_node(roster, heads[j])))
					rc = qosid_error(err, QOSID_ERR_REFUSED,
					    "it names an operation that another one it names had seen");
			}
			set_add(&cut, &roster->nodes[node]->past);
			found = roster->nodes[node]->state;
		}
	}
	if (rc == 0 && count > 1)
		rc = find_cut(roster, &cut, &found, err);
	free(cut.words);
	if (rc == 0)
		*state = (int64_t)found;
	return rc;
}

int roster_list_heads(const struct roster *roster, int64_t state, uint8_t heads[LIMIT_ROSTER_HEADS][DIGEST_BYTES],
    size_t *count, struct qosid_errbuf *err)
{
	const struct state *found = get_state(roster, state);
	struct set covered;
	int rc;

	*count = 0;
	if (found == NULL)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "the roster has no state %" PRId64, state);
	if ((rc = set_create(&covered, roster->node_count, err)) != 0)
		return rc;
	for (size_t i = roster->node_count; i-- > 0 && rc == 0;) {
		size_t place = *count;

		if (!set_has(&found->cut, i) || set_has(&covered, i))
			continue;
		set_add(&covered, &roster->nodes[i]->past);
		if (*count == LIMIT_ROSTER_HEADS) {
			rc = qosid_error(err, QOSID_ERR_LIMIT, "more than %u stewards act at once", LIMIT_ROSTER_HEADS);
			break;
		}
		for (; place > 0 && memcmp(heads[place - 1], roster->nodes[i]->digest, DIGEST_BYTES) > 0; place--)
			memcpy(heads[place], heads[place - 1], DIGEST_BYTES);
		memcpy(heads[place], roster->nodes[i]->digest, DIGEST_BYTES);
		(*count)++;
	}
	free(covered.words);
	return rc;
}

bool roster_state_covers(const struct roster *roster, int64_t newer, int64_t older)
{
	const struct state *a = get_state(roster, newer), *b = get_state(roster, older);

	return a != NULL && b != NULL && set_contains(&a->cut, &b->cut);
}

int roster_state_digest(const struct roster *roster, int64_t state, uint8_t out[DIGEST_BYTES], struct qosid_errbuf *err)
{
	const struct state *found = get_state(roster, state);
	struct qosid_buf text = {0};
	int rc;

	if (found == NULL)
		return qosid_error(err, QOSID_ERR_NOTFOUND, "the roster has no state %" PRId64, state);
	rc = state_format(roster, found, &text, err);
	if (rc == 0)
		digest_compute(out, text.data, text.len);
	qosid_buf_free(&text);
	return rc;
}

/* ---- operations ---- */

/* The state that an operation had seen, all of whose past is here; own[] are the steward's operations in it. */
static int find_seen(
    const struct roster *roster, const struct operation *operation, const struct state **out, struct qosid_errbuf *err)
{
	int64_t state = -1;
	int rc = roster_find_state(roster, operation->seen, operation->seen_count, &state, err);

	*out = rc == 0 ? get_state(roster, state) : NULL;
	return rc;
}

/* The steward's log within what the operation had seen must be all of it so far, and one. */
static int check_sequence(
    const struct roster *roster, const struct state *seen, const struct operation *operation, struct qosid_errbuf *err)
{
	int64_t count = 0, newest = 0;

	for (size_t i = 0; seen != NULL && i < roster->node_count; i++) {
		if (!set_has(&seen->cut, i) || strcmp(roster->nodes[i]->operation.steward, operation->steward) != 0)
			continue;
		count++;
		if (roster->nodes[i]->operation.sequence > newest)
			newest = roster->nodes[i]->operation.sequence;
	}
	if (count != newest)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "%s has signed two operations of one sequence, and stops there", operation->steward);
	if (operation->sequence != newest + 1)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "the roster operation has sequence %" PRId64 ", expected is %" PRId64, operation->sequence,
		    newest + 1);
	return 0;
}

static int fill_past(struct roster *roster, struct node *node, const struct state *seen, struct qosid_errbuf *err)
{
	size_t self = roster->node_count;
	int rc = set_create(&node->past, self, err);

	if (rc != 0)
		return rc;
	if (seen != NULL)
		set_add(&node->past, &seen->cut);
	node->past.words[self / 64] |= UINT64_C(1) << (self % 64);
	for (size_t i = 0; i < node->operation.seen_count; i++) {
		const struct node *before = roster->nodes[find_node(roster, node->operation.seen[i])];

		if (node->depth <= before->depth)
			node->depth = before->depth + 1;
	}
	return 0;
}

/* Visit the steward's other operations under the sequence of node, the one that is about to come in. */
static size_t list_forks(const struct roster *roster, const struct node *node, struct fork *out)
{
	size_t count = 0;

	for (size_t i = 0; i < roster->node_count; i++) {
		const struct operation *other = &roster->nodes[i]->operation;

		if (other->sequence != node->operation.sequence || strcmp(other->steward, node->operation.steward) != 0)
			continue;
		if (out != NULL)
			out[count] = (struct fork){i, roster->node_count, other->sequence};
		count++;
	}
	return count;
}

/* Room for node and the forks that it makes, so that taking it in cannot fail half way. */
static int make_room(struct roster *roster, const struct node *node, struct qosid_errbuf *err)
{
	void *grown = reallocarray(roster->nodes, roster->node_count + 1, sizeof(struct node *));

	if (grown != NULL) {
		roster->nodes = grown;
		grown = reallocarray(
		    roster->forks, roster->fork_count + list_forks(roster, node, NULL) + 1, sizeof(*roster->forks));
	}
	if (grown == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for %zu roster operations", roster->node_count);
	roster->forks = grown;
	return 0;
}

/* Take in a node that has been judged by what it had seen. */
static int take_in(struct roster *roster, struct node *node, const struct state *seen, struct qosid_errbuf *err)
{
	struct state *state;
	size_t self = roster->node_count;
	int rc = make_room(roster, node, err);

	if (rc == 0)
		rc = fill_past(roster, node, seen, err);
	if (rc == 0)
		rc = begin_state(seen, &node->past, self, &state, err);
	if (rc != 0)
		return rc;
	if (self == 0)
		memcpy(roster->space, node->operation.space, sizeof(roster->space));
	roster->nodes[self] = node;
	rc = state_apply(roster, state, self, err);
	if (rc != 0)
		state_free(state);
	else
		rc = keep_state(roster, state, &node->state, err);
	if (rc != 0) {
		if (self == 0)
			roster->space[0] = '\0';
		return rc;
	}
	roster->fork_count += list_forks(roster, node, roster->forks + roster->fork_count);
	roster->node_count++;
	roster->cache->newest =
	    seen != NULL && roster->cache->newest > 0 && roster->cache->states[roster->cache->newest - 1] == seen
		? node->state + 1
		: 0;
	return 0;
}

static int check_place(
    const struct operation *operation, const char *steward, int64_t sequence, struct qosid_errbuf *err)
{
	if (strcmp(operation->steward, steward) != 0)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "the roster operation is by %s, but stands in the log of %.63s", operation->steward, steward);
	if (operation->sequence != sequence)
		return qosid_error(err, QOSID_ERR_REFUSED,
		    "the roster operation has sequence %" PRId64 ", its commit %" PRId64, operation->sequence,
		    sequence);
	return 0;
}

int roster_take_operation(struct roster *roster, const struct operation *operation, const uint8_t digest[DIGEST_BYTES],
    const uint8_t signer[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err)
{
	static const struct state nothing = {.threshold = 1};
	const struct state *seen = NULL;
	struct node *node;
	int rc = 0;

	if (find_node(roster, digest) != SIZE_MAX)
		return 0;
	node = calloc(1, sizeof(*node));
	if (node == NULL)
		return qosid_error(err, QOSID_ERR_NOMEM, "no memory for a roster operation");
	node->operation = *operation;
	memcpy(node->digest, digest, DIGEST_BYTES);
	memcpy(node->signer, signer, SIGNING_PUBLIC_BYTES);
	if (roster->node_count >= LIMIT_ROSTER_OPERATIONS)
		rc = qosid_error(
		    err, QOSID_ERR_LIMIT, "the roster has %u operations, which is the most", LIMIT_ROSTER_OPERATIONS);
	else if (operation->kind == ROSTER_CREATE && roster->node_count > 0)
		rc = qosid_error(err, QOSID_ERR_REFUSED, "the space has been created already");
	else if (operation->kind != ROSTER_CREATE)
		rc = find_seen(roster, operation, &seen, err);
	if (rc == 0)
		rc = state_judge(roster, seen != NULL ? seen : &nothing, node, err);
	if (rc == 0)
		rc = check_sequence(roster, seen, operation, err);
	if (rc == 0)
		rc = take_in(roster, node, seen, err);
	if (rc != 0)
		node_free(node);
	return rc;
}

int roster_add_operation(struct roster *roster, const char *steward, int64_t sequence,
    const uint8_t signer[SIGNING_PUBLIC_BYTES], const void *operation, size_t len, struct qosid_errbuf *err)
{
	uint8_t digest[DIGEST_BYTES];
	struct operation parsed;
	int rc = operation_parse(&parsed, operation, len, err);

	if (rc == 0)
		rc = check_place(&parsed, steward, sequence, err);
	if (rc != 0)
		return rc;
	digest_compute(digest, operation, len);
	return roster_take_operation(roster, &parsed, digest, signer, err);
}

int roster_expected_signer(const struct roster *roster, const char *steward, const void *operation, size_t len,
    uint8_t out[SIGNING_PUBLIC_BYTES], struct qosid_errbuf *err)
{
	const struct state *seen = NULL;
	const struct record *author;
	struct operation parsed;
	int rc = operation_parse(&parsed, operation, len, err);

	if (rc == 0)
		rc = check_place(&parsed, steward, parsed.sequence, err);
	if (rc != 0)
		return rc;
	if (parsed.kind == ROSTER_CREATE) {
		/* It vouches for itself; what makes it the right one is the root that a joiner pins. A second one is
		 * only worth anything from who made the first. */
		const struct operation *first = roster->node_count > 0 ? &roster->nodes[0]->operation : &parsed;

		if (strcmp(first->steward, steward) != 0)
			return qosid_error(err, QOSID_ERR_REFUSED, "the space has been created already");
		memcpy(out, first->member.signing_public, SIGNING_PUBLIC_BYTES);
		return 0;
	}
	if ((rc = find_seen(roster, &parsed, &seen, err)) != 0)
		return rc;
	author = state_find(seen, steward);
	if (author == NULL || (author->member.roles & ROLE_STEWARD) == 0)
		return qosid_error(err, QOSID_ERR_REFUSED, "%.63s is not a steward of the space", steward);
	memcpy(out, author->member.signing_public, SIGNING_PUBLIC_BYTES);
	return 0;
}

int roster_parse_epoch(struct roster_epoch *out, const void *operation, size_t len, struct qosid_errbuf *err)
{
	struct operation parsed;
	int rc = operation_parse(&parsed, operation, len, err);

	if (rc == 0)
		*out = parsed.epoch;
	return rc;
}

/* ---- making operations ---- */

int roster_format_create(struct qosid_buf *out, const char *space, const struct roster_member *steward,
    const struct roster_epoch *epoch, int64_t time, struct qosid_errbuf *err)
{
	struct operation operation = {.kind = ROSTER_CREATE, .sequence = 1, .time = time, .member = *steward};
	int rc = space_id_check(space, err);

	if (rc == 0)
		rc = slug_check(steward->office, err);
	if (rc == 0)
		rc = age_recipient_check(steward->recipient, err);
	if (rc != 0)
		return rc;
	operation.epoch = *epoch;
	memcpy(operation.space, space, sizeof(operation.space));
	memcpy(operation.steward, steward->office, sizeof(operation.steward));
	return operation_format(out, &operation, err);
}

int roster_format_change(struct qosid_buf *out, const struct roster *roster, const char *steward, int64_t sequence,
    const struct roster_change *change, int64_t time, struct qosid_errbuf *err)
{
	struct operation operation = {.kind = change->kind,
	    .sequence = sequence,
	    .time = time,
	    .member = change->member,
	    .threshold = change->threshold,
	    .since = change->since,
	    .until = change->until};
	int rc = roster_list_heads(roster, -1, operation.seen, &operation.seen_count, err);

	if (rc == 0)
		rc = slug_check(steward, err);
	if (rc == 0 && change->proof != NULL && strlen(change->proof) >= sizeof(operation.proof))
		rc = qosid_error(err, QOSID_ERR_INVALID, "the proof by the old key is too long");
	if (rc != 0)
		return rc;
	if (change->epoch != NULL)
		operation.epoch = *change->epoch;
	if (change->proof != NULL)
		memcpy(operation.proof, change->proof, strlen(change->proof) + 1);
	memcpy(operation.endorses, change->endorses, DIGEST_BYTES);
	memcpy(operation.space, roster->space, sizeof(operation.space));
	memcpy(operation.steward, steward, strlen(steward) + 1);
	return operation_format(out, &operation, err);
}

/* ---- reading ---- */

size_t roster_operation_count(const struct roster *roster)
{
	return roster->node_count;
}

const char *roster_space(const struct roster *roster)
{
	return roster->space;
}

void roster_read_entry(const struct roster *roster, size_t index, struct roster_entry *out)
{
	const struct node *node = roster->nodes[index];
	const struct operation *operation = &node->operation;
	bool has_key =
	    operation->kind == ROSTER_CREATE || operation->kind == ROSTER_ADD || operation->kind == ROSTER_ROLL_KEY;

	*out = (struct roster_entry){.kind = operation->kind,
	    .steward = operation->steward,
	    .sequence = operation->sequence,
	    .time = operation->time,
	    .office = operation->member.office,
	    .roles = operation->member.roles,
	    .signing_public = has_key ? operation->member.signing_public : NULL,
	    .epoch = operation->epoch,
	    .since = operation->since,
	    .threshold = operation->threshold};
	memcpy(out->digest, node->digest, DIGEST_BYTES);
}

bool roster_find_fork(const struct roster *roster, const char *steward, int64_t *sequence)
{
	bool found = false;

	for (size_t i = 0; i < roster->fork_count; i++) {
		const struct fork *fork = &roster->forks[i];

		if (strcmp(roster->nodes[fork->first]->operation.steward, steward) == 0 &&
		    (!found || fork->sequence < *sequence)) {
			*sequence = fork->sequence;
			found = true;
		}
	}
	return found;
}

const struct roster_member *roster_find_member(const struct roster *roster, int64_t state, const char *office)
{
	const struct state *found = get_state(roster, state);
	const struct record *record = found != NULL ? state_find(found, office) : NULL;

	return record != NULL ? &record->member : NULL;
}

size_t roster_member_count(const struct roster *roster, int64_t state)
{
	const struct state *found = get_state(roster, state);

	return found == NULL ? 0 : found->member_count;
}

const struct roster_member *roster_member_at(const struct roster *roster, int64_t state, size_t index)
{
	const struct state *found = get_state(roster, state);

	return found == NULL || index >= found->member_count ? NULL : &found->members[index]->member;
}

int64_t roster_epoch_count(const struct roster *roster, int64_t state)
{
	const struct state *found = get_state(roster, state);

	return found == NULL ? 0 : (int64_t)found->epoch_count;
}

const char *roster_epoch_recipient(const struct roster *roster, int64_t state, int64_t number)
{
	const struct state *found = get_state(roster, state);

	return found == NULL || number < 1 || number > (int64_t)found->epoch_count ? NULL : found->epochs[number - 1];
}

bool roster_epoch_is_unfit(const struct roster *roster, int64_t state, const char **too_many, const char **missing)
{
	const struct state *found = get_state(roster, state);

	*too_many = *missing = "";
	for (size_t i = 0; found != NULL && i < found->member_count; i++) {
		const struct record *record = found->members[i];
		bool holds = (found->holders[record->admitted / 64] >> (record->admitted % 64) & 1) != 0;

		if (holds && !roster_is_entitled(record->member.roles))
			*too_many = record->member.office;
		else if (!holds && roster_is_entitled(record->member.roles))
			*missing = record->member.office;
	}
	return **too_many != '\0' || **missing != '\0';
}

int64_t roster_threshold(const struct roster *roster, int64_t state)
{
	const struct state *found = get_state(roster, state);

	return found == NULL ? 1 : found->threshold;
}

size_t roster_steward_count(const struct roster *roster, int64_t state)
{
	const struct state *found = get_state(roster, state);

	return found == NULL ? 0 : state_steward_count(found);
}

size_t roster_pending_count(const struct roster *roster, int64_t state)
{
	const struct state *found = get_state(roster, state);

	return found == NULL ? 0 : found->waiting_count;
}

bool roster_pending_at(const struct roster *roster, int64_t state, size_t index, struct roster_pending *out)
{
	const struct state *found = get_state(roster, state);

	*out = (struct roster_pending){0};
	if (found == NULL || index >= found->waiting_count)
		return false;
	roster_read_entry(roster, found->waiting[index].node, &out->entry);
	for (size_t i = 0; i < found->waiting[index].count; i++) {
		const char *office = roster->nodes[found->waiting[index].stewards[i]]->operation.member.office;

		out->endorsed += state_is_steward(found, office);
	}
	out->needed = found->threshold;
	return true;
}

bool roster_has_endorsed(
    const struct roster *roster, int64_t state, const uint8_t operation[DIGEST_BYTES], const char *steward)
{
	const struct state *found = get_state(roster, state);

	for (size_t i = 0; found != NULL && i < found->waiting_count; i++) {
		const struct waiting *waiting = &found->waiting[i];

		if (memcmp(roster->nodes[waiting->node]->digest, operation, DIGEST_BYTES) != 0)
			continue;
		for (size_t j = 0; j < waiting->count; j++) {
			if (strcmp(roster->nodes[waiting->stewards[j]]->operation.member.office, steward) == 0)
				return true;
		}
	}
	return false;
}
