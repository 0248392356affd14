/*
 * The roster's one promise: a set of operations has one state.
 *
 * Random histories of up to five stewards who act apart, meet at random, remove, promote, endorse, and now and then
 * sign two operations of one sequence. Each history is then read in several orders of arrival, and random parts of it
 * that are closed under causality are read alone: the state must be the one that it has within the whole.
 */
#include "fixture.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/bech32.h"
#include "sync/roster/roster_internal.h"

#define OFFICES 7 /* of which five can be stewards at once */
#define HISTORIES 1000
#define STEPS 26
#define OPERATIONS_MAX 160
#define KEYS 400

/* Taken apart once: checking the keys in it again and again would take most of the time. */
struct made {
	struct operation operation;
	uint8_t digest[DIGEST_BYTES];
	uint8_t signer[SIGNING_PUBLIC_BYTES];
};

struct view {
	struct roster *roster;
	int64_t own; /* operations of this office's log */
	struct roster_member keys;
};

struct world {
	struct made made[OPERATIONS_MAX];
	size_t count;
	struct view views[OFFICES];
	size_t next_key;
};

static struct {
	uint8_t signing[SIGNING_PUBLIC_BYTES];
	char recipient[AGE_RECIPIENT_SIZE];
} pool[KEYS];

static uint64_t seed;

static unsigned pick(unsigned below)
{
	seed ^= seed << 13; /* xorshift64 */
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 11) % below;
}

static void make_pool(void)
{
	for (size_t i = 0; i < KEYS; i++) {
		uint8_t key_seed[32] = {8, (uint8_t)i, (uint8_t)(i >> 8), 7}, secret[64], point[32];
		char text[BECH32_TEXT_MAX + 1];

		assert_int_equal(crypto_sign_seed_keypair(pool[i].signing, secret, key_seed), 0);
		assert_int_equal(crypto_scalarmult_base(point, key_seed), 0);
		assert_int_equal(bech32_encode(text, "age", point, sizeof(point)), 0);
		memcpy(pool[i].recipient, text, AGE_RECIPIENT_SIZE);
	}
}

static void take_keys(struct world *world, struct roster_member *member)
{
	assert_true(world->next_key < KEYS);
	memcpy(member->signing_public, pool[world->next_key].signing, SIGNING_PUBLIC_BYTES);
	memcpy(member->recipient, pool[world->next_key++].recipient, AGE_RECIPIENT_SIZE);
}

static void name_office(char out[LIMIT_SLUG_BYTES + 1], unsigned number)
{
	static const char *const names[OFFICES] = {"aa", "bb", "cc", "dd", "ee", "ff", "gg"};

	(void)snprintf(out, LIMIT_SLUG_BYTES + 1, "%s", names[number]);
}

static int give(struct roster *roster, const struct made *made, struct qosid_errbuf *err)
{
	return roster_take_operation(roster, &made->operation, made->digest, made->signer, err);
}

static void read_made(struct made *made, const struct qosid_buf *text, const uint8_t signer[SIGNING_PUBLIC_BYTES])
{
	assert_done(operation_parse(&made->operation, text->data, text->len, E));
	digest_compute(made->digest, text->data, text->len);
	memcpy(made->signer, signer, SIGNING_PUBLIC_BYTES);
}

static void world_create(struct world *world)
{
	struct roster_member member = {.roles = ROLE_STEWARD | ROLE_WRITER | ROLE_READER};
	struct roster_epoch epoch = {.number = 1};
	struct made *first = &world->made[0];
	struct qosid_buf text = {0};

	*world = (struct world){0};
	for (unsigned i = 0; i < OFFICES; i++) {
		name_office(world->views[i].keys.office, i);
		take_keys(world, &world->views[i].keys);
		assert_done(roster_create(&world->views[i].roster, E));
	}
	name_office(member.office, 0);
	memcpy(member.signing_public, world->views[0].keys.signing_public, SIGNING_PUBLIC_BYTES);
	memcpy(member.recipient, world->views[0].keys.recipient, AGE_RECIPIENT_SIZE);
	memcpy(epoch.recipient, pool[world->next_key++].recipient, AGE_RECIPIENT_SIZE);
	assert_done(roster_format_create(&text, SPACE, &member, &epoch, TIME, E));
	read_made(first, &text, member.signing_public);
	qosid_buf_free(&text);
	world->count = 1;
	world->views[0].own = 1;
	for (unsigned i = 0; i < OFFICES; i++)
		assert_done(give(world->views[i].roster, first, E));
}

static void world_free(const struct world *world)
{
	for (unsigned i = 0; i < OFFICES; i++)
		roster_free(world->views[i].roster);
}

static unsigned pick_roles(void)
{
	static const unsigned roles[] = {ROLE_STEWARD | ROLE_WRITER | ROLE_READER, ROLE_STEWARD | ROLE_READER,
	    ROLE_STEWARD | ROLE_READER, ROLE_STEWARD | ROLE_WRITER, ROLE_WRITER | ROLE_READER, ROLE_READER,
	    ROLE_AUDITOR, ROLE_WITNESS};

	return roles[pick(sizeof(roles) / sizeof(roles[0]))];
}

static void pick_change(struct world *world, const struct view *view, struct roster_change *change)
{
	static const enum roster_kind kinds[] = {ROSTER_ADD, ROSTER_ADD, ROSTER_ADD, ROSTER_ADD, ROSTER_ADD,
	    ROSTER_SET_ROLES, ROSTER_SET_ROLES, ROSTER_REMOVE, ROSTER_ROTATE, ROSTER_ROLL_KEY, ROSTER_THRESHOLD,
	    ROSTER_ENDORSE, ROSTER_ENDORSE, ROSTER_ENDORSE, ROSTER_REVOKE};
	unsigned office = pick(OFFICES);
	struct roster_pending pending;
	size_t waiting = roster_pending_count(view->roster, -1);

	*change = (struct roster_change){.kind = kinds[pick(sizeof(kinds) / sizeof(kinds[0]))]};
	change->member = world->views[office].keys;
	change->member.roles = pick_roles();
	change->threshold = 1 + pick(3);
	change->since = 1 + pick(9);
	if (change->kind == ROSTER_ROLL_KEY)
		take_keys(world, &change->member);
	if (change->kind == ROSTER_ENDORSE && waiting > 0) {
		assert_true(roster_pending_at(view->roster, -1, pick((unsigned)waiting), &pending));
		memcpy(change->endorses, pending.entry.digest, DIGEST_BYTES);
	}
}

/* Make an operation on what roster knows, with whichever epoch it needs. */
static bool make_operation(struct world *world, struct roster *roster, struct view *view, int64_t sequence)
{
	struct roster_change change;
	const struct roster_member *self = roster_find_member(roster, -1, view->keys.office);
	int64_t epochs = roster_epoch_count(roster, -1);
	struct made *made = &world->made[world->count];
	struct roster_epoch newest = {.number = epochs}, opened = {.number = epochs + 1};
	const struct roster_epoch *const choices[] = {NULL, &newest, &opened};
	struct qosid_buf text = {0};
	unsigned first;
	bool done = false;

	if (self == NULL || world->count == OPERATIONS_MAX)
		return false;
	pick_change(world, view, &change);
	memcpy(newest.recipient, roster_epoch_recipient(roster, -1, epochs), AGE_RECIPIENT_SIZE);
	memcpy(opened.recipient, pool[world->next_key++].recipient, AGE_RECIPIENT_SIZE);
	first = change.kind >= ROSTER_THRESHOLD ? 0 : 1 + pick(2);
	for (unsigned i = 0; i < 3 && !done; i++) {
		change.epoch = choices[(first + i) % 3];
		qosid_buf_reset(&text);
		if (roster_format_change(
			&text, roster, view->keys.office, sequence, &change, TIME + (int64_t)world->count, NULL) == 0) {
			read_made(made, &text, self->signing_public);
			done = give(roster, made, NULL) == 0;
		}
	}
	world->count += done;
	qosid_buf_free(&text);
	return done;
}

/* Everything that one has and the other does not, in an order of its own. */
static void meet(const struct world *world, struct roster *to, const struct roster *from)
{
	struct roster_entry entry;

	for (size_t i = 0; i < roster_operation_count(from); i++) {
		roster_read_entry(from, i, &entry);
		for (size_t j = 0; j < world->count; j++) {
			if (memcmp(world->made[j].digest, entry.digest, DIGEST_BYTES) == 0)
				assert_done(give(to, &world->made[j], E));
		}
	}
}

/* The steward works on with a restored copy of its log, from before its last operation. */
static bool fork_log(struct world *world, struct view *view)
{
	struct roster *copy;
	bool forked;

	if (view->own < 2)
		return false;
	assert_done(roster_create(&copy, E));
	for (size_t i = 0; i < world->count; i++) {
		const struct made *made = &world->made[i];

		if (strcmp(made->operation.steward, view->keys.office) != 0 || made->operation.sequence < view->own)
			(void)give(copy, made, NULL); /* what had seen the lost ones waits */
	}
	forked = make_operation(world, copy, view, view->own);
	roster_free(copy);
	return forked;
}

static size_t forks;

static void make_history(struct world *world, bool with_forks)
{
	for (int i = 0; i < STEPS; i++) {
		unsigned office = pick(OFFICES);
		struct view *view = &world->views[office];
		const struct roster_member *self;

		while (i > 1 && pick(8) != 0 && /* mostly those who can do something */
		       ((self = roster_find_member(view->roster, -1, view->keys.office)) == NULL ||
			   (self->roles & ROLE_STEWARD) == 0)) {
			office = pick(OFFICES);
			view = &world->views[office];
		}
		if (pick(3) == 0)
			meet(world, view->roster, world->views[pick(OFFICES)].roster);
		else if (with_forks && pick(12) == 0)
			forks += fork_log(world, view);
		else if (make_operation(world, view->roster, view, view->own + 1))
			view->own++;
	}
}

static void read_digest(const struct roster *roster, int64_t state, uint8_t out[DIGEST_BYTES])
{
	assert_done(roster_state_digest(roster, state, out, E));
}

/* Read the operations whose flags are set in a random order that causality allows. */
static struct roster *read_shuffled(const struct world *world, const bool *chosen)
{
	size_t order[OPERATIONS_MAX], count = 0, left;
	struct roster *roster;

	for (size_t i = 0; i < world->count; i++) {
		if (chosen == NULL || chosen[i])
			order[count++] = i;
	}
	for (size_t i = count; i > 1; i--) {
		size_t other = pick((unsigned)i), swap = order[i - 1];

		order[i - 1] = order[other];
		order[other] = swap;
	}
	assert_done(roster_create(&roster, E));
	for (left = count; left > 0;) {
		size_t still = 0;

		for (size_t i = 0; i < left; i++) {
			struct qosid_errbuf err = {0};
			int rc = give(roster, &world->made[order[i]], &err);

			if (rc == QOSID_ERR_WAITING)
				order[still++] = order[i];
			else if (rc != 0)
				fail_msg("operation %zu is refused: %s", order[i], err.what);
			else if (pick(4) == 0) /* a state asked for in between changes nothing */
				(void)roster_member_count(roster, -1);
		}
		if (still == left)
			fail_msg("%zu operations wait for each other", still);
		left = still;
	}
	return roster;
}

/* A part of the history with, for each operation, all that it had seen: what one roster of somebody apart holds. */
static void choose_closed(const struct world *world, bool *chosen)
{
	size_t count = world->count;
	struct roster *part;

	assert_done(roster_create(&part, E));
	memset(chosen, 0, OPERATIONS_MAX * sizeof(bool));
	for (size_t i = 0; i < count; i++)
		chosen[i] = (i == 0 || pick(5) != 0) && give(part, &world->made[i], NULL) == 0;
	roster_free(part);
}

static void check_invariants(const struct roster *roster)
{
	size_t members = roster_member_count(roster, -1);

	assert_true(roster_threshold(roster, -1) >= 1);
	assert_true((int64_t)roster_steward_count(roster, -1) >= roster_threshold(roster, -1));
	for (size_t i = 0; i < members; i++) {
		const struct roster_member *member = roster_member_at(roster, -1, i);

		assert_true(member->first_epoch <= roster_epoch_count(roster, -1));
		for (size_t j = 0; j < i; j++) {
			const struct roster_member *other = roster_member_at(roster, -1, j);

			assert_true(strcmp(member->office, other->office) > 0);
			assert_memory_not_equal(member->signing_public, other->signing_public, SIGNING_PUBLIC_BYTES);
			assert_string_not_equal(member->recipient, other->recipient);
		}
	}
}

static void check_history(const struct world *world)
{
	uint8_t whole_digest[DIGEST_BYTES], digest[DIGEST_BYTES], heads[LIMIT_ROSTER_HEADS][DIGEST_BYTES];
	struct roster *whole = read_shuffled(world, NULL), *again;
	bool chosen[OPERATIONS_MAX];
	int64_t state;
	size_t count;

	read_digest(whole, -1, whole_digest);
	check_invariants(whole);
	for (int i = 0; i < 2; i++) {
		again = read_shuffled(world, NULL);
		read_digest(again, -1, digest);
		assert_memory_equal(digest, whole_digest, DIGEST_BYTES);
		roster_free(again);

		choose_closed(world, chosen);
		again = read_shuffled(world, chosen);
		check_invariants(again);
		read_digest(again, -1, whole_digest);
		assert_done(roster_list_heads(again, -1, heads, &count, E));
		assert_done(roster_find_state(whole, heads, count, &state, E));
		read_digest(whole, state, digest);
		assert_memory_equal(digest, whole_digest, DIGEST_BYTES);
		assert_true(roster_state_covers(whole, -1, state));
		read_digest(whole, -1, whole_digest);
		roster_free(again);
	}
	roster_free(whole);
}

static void run_histories(uint64_t first, bool with_forks)
{
	size_t operations = 0, most = 0;
	struct world world;

	for (unsigned i = 0; i < HISTORIES; i++) {
		seed = first + i * UINT64_C(0x9e3779b97f4a7c15);
		world_create(&world);
		make_history(&world, with_forks);
		check_history(&world);
		operations += world.count;
		most = world.count > most ? world.count : most;
		world_free(&world);
	}
	print_message("# seed %llu: %u histories, %zu operations, at most %zu in one, %zu forks\n",
	    (unsigned long long)first, HISTORIES, operations, most, forks);
	assert_true(operations > (size_t)HISTORIES * 4);
}

static void test_any_order(void **state)
{
	(void)state;
	run_histories(20261125, false);
}

static void test_any_order_with_forks(void **state)
{
	(void)state;
	run_histories(42, true);
	assert_true(forks > HISTORIES / 20);
}

static int start(void **state)
{
	(void)state;
	if (sodium_init() < 0)
		return -1;
	make_pool();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_any_order),
	    cmocka_unit_test(test_any_order_with_forks),
	};
	return cmocka_run_group_tests_name("roster properties", tests, start, NULL);
}
