/*
 * Several stewards, case by case: what they do while apart, what takes thresholds, and what a rogue one can and cannot
 * do. The first steward is dushanbe; khujand and london were admitted after it, in this order.
 */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#define STEWARD (ROLE_STEWARD | ROLE_WRITER | ROLE_READER)

enum { DUSHANBE, KHUJAND, LONDON, STEWARDS };

/* A steward's own view of the roster. */
struct view {
	struct roster *roster;
	struct roster_member member;
	int64_t own; /* operations in its log */
};

struct scene {
	struct view views[STEWARDS];
	struct office khujand; /* whose secret keys are needed */
	struct qosid_buf operations[64];
	struct roster_member signers[64];
	int64_t sequences[64];
	size_t count;
};

static struct scene scene;

static int give(struct roster *roster, size_t index, struct qosid_errbuf *err)
{
	return roster_add_operation(roster, scene.signers[index].office, scene.sequences[index],
	    scene.signers[index].signing_public, scene.operations[index].data, scene.operations[index].len, err);
}

/* Everybody learns of everything, each in a different order. */
static void meet(void)
{
	for (size_t v = 0; v < STEWARDS; v++) {
		for (size_t round = 0; round < scene.count; round++) {
			for (size_t i = 0; i < scene.count; i++) {
				size_t next = v % 2 == 0 ? (i + v) % scene.count : scene.count - 1 - i;
				int rc = give(scene.views[v].roster, next, NULL);

				if (rc != 0 && rc != QOSID_ERR_WAITING)
					assert_done(give(scene.views[v].roster, next, E));
			}
		}
	}
}

static void record(const struct roster_member *signer, int64_t sequence, const struct qosid_buf *text)
{
	assert_true(scene.count < 64);
	scene.operations[scene.count] = *text;
	scene.signers[scene.count] = *signer;
	scene.sequences[scene.count++] = sequence;
}

/* An epoch of this number under a key of its own. */
static struct roster_epoch new_epoch(const struct roster *roster, int64_t ahead)
{
	struct roster_epoch epoch = {.number = roster_epoch_count(roster, -1) + ahead, .file_digest = {9}};
	struct roster_member keys;

	make_member(&keys, "x", ROLE_READER);
	memcpy(epoch.recipient, ahead > 0 ? keys.recipient : roster_epoch_recipient(roster, -1, epoch.number),
	    AGE_RECIPIENT_SIZE);
	return epoch;
}

/* A steward acts on what it knows, with the newest epoch (0), a new one (1) or none (-1). */
static int act(int who, struct roster_change change, int64_t ahead, struct qosid_errbuf *err)
{
	struct view *view = &scene.views[who];
	struct qosid_buf text = {0};
	struct roster_epoch epoch;
	int rc;

	if (ahead >= 0) {
		epoch = new_epoch(view->roster, ahead);
		change.epoch = &epoch;
	}
	assert_done(roster_format_change(&text, view->roster, view->member.office, view->own + 1, &change, TIME, E));
	rc = roster_add_operation(
	    view->roster, view->member.office, view->own + 1, view->member.signing_public, text.data, text.len, err);
	if (rc != 0) {
		qosid_buf_free(&text);
		return rc;
	}
	view->own++;
	record(&view->member, view->own, &text);
	return 0;
}

static struct roster_change about(enum roster_kind kind, const char *office, unsigned roles)
{
	struct roster_change change = {.kind = kind, .member = {.roles = roles}};

	(void)snprintf(change.member.office, sizeof(change.member.office), "%s", office);
	return change;
}

static struct roster_change admission(const char *office, unsigned roles)
{
	struct roster_change change = {.kind = ROSTER_ADD};

	make_member(&change.member, office, roles);
	return change;
}

static int setup(void **state)
{
	struct roster_epoch epoch = {.number = 1, .file_digest = {1}};
	struct roster_member keys;
	struct qosid_buf text = {0};

	(void)state;
	memset(&scene, 0, sizeof(scene));
	for (int i = 0; i < STEWARDS; i++)
		assert_done(roster_create(&scene.views[i].roster, E));
	make_member(&keys, "x", ROLE_READER);
	memcpy(epoch.recipient, keys.recipient, AGE_RECIPIENT_SIZE);
	make_member(&scene.views[DUSHANBE].member, "dushanbe", STEWARD);
	office_create(&scene.khujand, "khujand", STEWARD);
	scene.views[KHUJAND].member = scene.khujand.member;
	make_member(&scene.views[LONDON].member, "london", STEWARD);
	assert_done(roster_format_create(&text, SPACE, &scene.views[DUSHANBE].member, &epoch, TIME, E));
	record(&scene.views[DUSHANBE].member, 1, &text);
	meet();
	scene.views[DUSHANBE].own = 1;
	for (int i = KHUJAND; i < STEWARDS; i++)
		assert_done(
		    act(DUSHANBE, (struct roster_change){.kind = ROSTER_ADD, .member = scene.views[i].member}, 0, E));
	meet();
	return 0;
}

static int teardown(void **state)
{
	uint8_t first[DIGEST_BYTES], digest[DIGEST_BYTES];

	(void)state;
	meet();
	for (int i = 0; i < STEWARDS; i++)
		assert_int_equal(roster_operation_count(scene.views[i].roster), scene.count);
	for (int i = 0; i < STEWARDS; i++) { /* whatever happened, all agree */
		assert_done(roster_state_digest(scene.views[i].roster, -1, i == 0 ? first : digest, E));
		if (i > 0)
			assert_memory_equal(first, digest, DIGEST_BYTES);
	}
	for (int i = 0; i < STEWARDS; i++)
		roster_free(scene.views[i].roster);
	for (size_t i = 0; i < scene.count; i++)
		qosid_buf_free(&scene.operations[i]);
	office_free(&scene.khujand);
	return 0;
}

static unsigned roles_of(const char *office)
{
	const struct roster_member *member = roster_find_member(scene.views[DUSHANBE].roster, -1, office);

	return member == NULL ? 0 : member->roles;
}

static void test_remove_each_other(void **state)
{
	(void)state;
	assert_done(act(LONDON, about(ROSTER_REMOVE, "khujand", 0), 1, E));
	assert_done(act(KHUJAND, about(ROSTER_REMOVE, "london", 0), 1, E));
	meet();
	assert_int_equal(roles_of("khujand"), STEWARD); /* admitted earlier */
	assert_int_equal(roles_of("london"), 0);
}

/* A removed steward's friends, let in while it did not know, are not in. */
static void test_removal_before_addition(void **state)
{
	(void)state;
	assert_done(act(KHUJAND, admission("friend", STEWARD), 0, E));
	assert_done(act(KHUJAND, admission("other", ROLE_READER), 0, E));
	assert_done(act(LONDON, about(ROSTER_REMOVE, "khujand", 0), 1, E)); /* though it was admitted later */
	meet();
	assert_int_equal(roles_of("khujand"), 0);
	assert_null(roster_find_member(scene.views[LONDON].roster, -1, "friend"));
	assert_null(roster_find_member(scene.views[LONDON].roster, -1, "other"));
	assert_refused(
	    QOSID_ERR_REFUSED, "khujand is not a steward", act(KHUJAND, admission("late", ROLE_READER), 0, E));
}

static void test_same_name_twice(void **state)
{
	(void)state;
	struct roster_change first = admission("khorog", ROLE_READER), second = admission("khorog", ROLE_WRITER);

	assert_done(act(LONDON, second, 0, E));
	assert_done(act(KHUJAND, first, 0, E));
	meet();
	assert_int_equal(roles_of("khorog"), ROLE_READER);
	assert_memory_equal(roster_find_member(scene.views[LONDON].roster, -1, "khorog")->signing_public,
	    first.member.signing_public, SIGNING_PUBLIC_BYTES);
}

static void test_two_rotations(void **state)
{
	(void)state;
	const char *too_many, *missing;

	assert_done(act(LONDON, about(ROSTER_ROTATE, "", 0), 1, E));
	assert_done(act(KHUJAND, about(ROSTER_ROTATE, "", 0), 1, E));
	meet();
	assert_int_equal(roster_epoch_count(scene.views[DUSHANBE].roster, -1), 3);
	assert_false(roster_epoch_is_unfit(scene.views[DUSHANBE].roster, -1, &too_many, &missing));
}

/* Two removals at once leave the newest epoch with somebody who must not have it; a rotation mends that. */
static void test_unfit_epoch(void **state)
{
	(void)state;
	const char *too_many, *missing;

	assert_done(act(DUSHANBE, admission("one", ROLE_READER), 0, E));
	assert_done(act(DUSHANBE, admission("two", ROLE_READER), 0, E));
	meet();
	assert_done(act(LONDON, about(ROSTER_REMOVE, "one", 0), 1, E));
	assert_done(act(KHUJAND, about(ROSTER_REMOVE, "two", 0), 1, E));
	assert_done(act(DUSHANBE, admission("three", ROLE_READER), 0, E));
	meet();
	assert_true(roster_epoch_is_unfit(scene.views[DUSHANBE].roster, -1, &too_many, &missing));
	assert_string_equal(too_many, "two"); /* holds london's, which comes last */
	assert_string_equal(missing, "three");
	assert_done(act(LONDON, about(ROSTER_ROTATE, "", 0), 1, E));
	assert_false(roster_epoch_is_unfit(scene.views[LONDON].roster, -1, &too_many, &missing));
}

static void test_below_threshold(void **state)
{
	(void)state;
	struct roster_change threshold = {.kind = ROSTER_THRESHOLD, .threshold = 4};

	assert_refused(QOSID_ERR_REFUSED, "there are 3", act(DUSHANBE, threshold, -1, E));
	threshold.threshold = 3;
	assert_done(act(DUSHANBE, threshold, -1, E));
	meet();
	assert_refused(QOSID_ERR_REFUSED, "3 must agree", act(KHUJAND, about(ROSTER_REMOVE, "london", 0), 1, E));
	assert_refused(
	    QOSID_ERR_REFUSED, "3 must agree", act(KHUJAND, about(ROSTER_SET_ROLES, "london", ROLE_READER), -1, E));
}

static void test_threshold(void **state)
{
	(void)state;
	const struct roster_change change = {.kind = ROSTER_THRESHOLD, .threshold = 2};
	struct roster_change endorsement = {.kind = ROSTER_ENDORSE};
	struct roster_pending pending;

	assert_done(act(DUSHANBE, change, -1, E));
	meet();
	assert_done(act(KHUJAND, about(ROSTER_REMOVE, "dushanbe", 0), 1, E));
	meet();
	assert_int_equal(roles_of("dushanbe"), STEWARD);
	assert_int_equal(roster_epoch_count(scene.views[DUSHANBE].roster, -1), 1);
	assert_true(roster_pending_at(scene.views[DUSHANBE].roster, -1, 0, &pending));
	assert_true(roster_has_endorsed(scene.views[DUSHANBE].roster, -1, pending.entry.digest, "khujand"));
	assert_false(roster_has_endorsed(scene.views[DUSHANBE].roster, -1, pending.entry.digest, "london"));
	memcpy(endorsement.endorses, pending.entry.digest, DIGEST_BYTES);
	assert_done(act(LONDON, endorsement, -1, E));
	meet();
	assert_int_equal(roles_of("dushanbe"), 0);
	assert_int_equal(roster_epoch_count(scene.views[DUSHANBE].roster, -1), 2);
	assert_int_equal(roster_pending_count(scene.views[DUSHANBE].roster, -1), 0);
}

/* A steward who has gone meanwhile does not count. */
static void test_endorsement_of_removed(void **state)
{
	(void)state;
	const struct roster_change change = {.kind = ROSTER_THRESHOLD, .threshold = 2};

	assert_done(act(DUSHANBE, admission("fourth", STEWARD), 0, E));
	assert_done(act(DUSHANBE, change, -1, E));
	meet();
	assert_done(act(KHUJAND, admission("friend", ROLE_READER), 0, E)); /* waits */
	assert_done(act(DUSHANBE, about(ROSTER_REMOVE, "khujand", 0), 1, E));
	meet();
	for (size_t i = 0; i < 2; i++) {
		struct roster_change endorsement = {.kind = ROSTER_ENDORSE};
		struct roster_pending pending;

		for (size_t p = 0; roster_pending_at(scene.views[LONDON].roster, -1, p, &pending); p++) {
			if ((pending.entry.kind == ROSTER_REMOVE) == (i == 0))
				memcpy(endorsement.endorses, pending.entry.digest, DIGEST_BYTES);
		}
		assert_done(act(LONDON, endorsement, -1, E));
		meet();
	}
	assert_int_equal(roles_of("khujand"), 0);
	assert_int_equal(roles_of("friend"), 0); /* london alone has endorsed it */
	assert_int_equal(roster_pending_count(scene.views[DUSHANBE].roster, -1), 1);
}

/* Two operations of one sequence: with both, that log has no effect from there on; the others have. */
static void test_fork(void **state)
{
	(void)state;
	struct view *rogue = &scene.views[KHUJAND];
	struct qosid_buf text = {0};
	struct roster_change change = admission("second", ROLE_READER);
	struct roster_epoch epoch = new_epoch(scene.views[LONDON].roster, 0);
	int64_t sequence = 0;

	assert_done(act(KHUJAND, admission("first", ROLE_READER), 0, E));
	assert_false(roster_find_fork(rogue->roster, "khujand", &sequence));
	change.epoch = &epoch;
	assert_done(roster_format_change(&text, scene.views[LONDON].roster, "khujand", 1, &change, TIME, E));
	record(&rogue->member, 1, &text);
	assert_done(act(LONDON, admission("third", ROLE_READER), 0, E));
	meet();
	for (int i = 0; i < STEWARDS; i++) {
		assert_true(roster_find_fork(scene.views[i].roster, "khujand", &sequence));
		assert_int_equal(sequence, 1);
		assert_null(roster_find_member(scene.views[i].roster, -1, "first"));
		assert_null(roster_find_member(scene.views[i].roster, -1, "second"));
		assert_non_null(roster_find_member(scene.views[i].roster, -1, "third"));
	}
	assert_refused(QOSID_ERR_REFUSED, "stops there", act(KHUJAND, admission("fourth", ROLE_READER), 0, E));
	assert_done(act(LONDON, about(ROSTER_REMOVE, "khujand", 0), 1, E)); /* which is how people settle it */
}

static void test_roll_key(void **state)
{
	(void)state;
	struct roster_change change = {.kind = ROSTER_ROLL_KEY}, threshold = {.kind = ROSTER_THRESHOLD, .threshold = 2};
	struct qosid_buf roll = {0}, proof = {0};
	struct office fresh;

	assert_done(act(DUSHANBE, threshold, -1, E));
	meet();
	office_create(&fresh, "khujand", 0);
	assert_done(roll_format(&roll, SPACE, "khujand", fresh.identity, scene.khujand.identity, E));
	assert_done(roll_parse(&change.member, &proof, SPACE, (char *)roll.data, roll.len, E));
	change.proof = (char *)proof.data;
	assert_done(act(LONDON, change, 0, E)); /* needs no second steward: the member vouches itself */
	assert_memory_equal(roster_find_member(scene.views[LONDON].roster, -1, "khujand")->signing_public,
	    fresh.member.signing_public, SIGNING_PUBLIC_BYTES);
	/* What the old key signs at the same time is void, and the keys stay taken. */
	assert_done(act(KHUJAND, admission("friend", ROLE_READER), 0, E));
	meet();
	assert_int_equal(roster_pending_count(scene.views[DUSHANBE].roster, -1), 0);
	change.kind = ROSTER_ADD;
	change.member = scene.khujand.member;
	(void)snprintf(change.member.office, sizeof(change.member.office), "thief");
	assert_refused(QOSID_ERR_REFUSED, "signing key of the member khujand", act(DUSHANBE, change, 0, E));
	office_free(&fresh);
	qosid_buf_free(&roll);
	qosid_buf_free(&proof);
}

static void test_forged_proof(void **state)
{
	(void)state;
	struct roster_change change = {.kind = ROSTER_ROLL_KEY};
	struct qosid_buf roll = {0}, proof = {0};
	struct office fresh, stranger;

	office_create(&fresh, "khujand", 0);
	office_create(&stranger, "stranger", 0);
	assert_done(roll_format(&roll, SPACE, "khujand", fresh.identity, stranger.identity, E));
	assert_done(roll_parse(&change.member, &proof, SPACE, (char *)roll.data, roll.len, E));
	change.proof = (char *)proof.data;
	assert_refused(QOSID_ERR_REFUSED, "", act(LONDON, change, 0, E));
	office_free(&fresh);
	office_free(&stranger);
	qosid_buf_free(&roll);
	qosid_buf_free(&proof);
}

static void test_after_removal(void **state)
{
	(void)state;
	assert_done(act(DUSHANBE, admission("khorog", ROLE_READER), 0, E));
	assert_done(act(DUSHANBE, about(ROSTER_REMOVE, "khorog", 0), 1, E));
	assert_refused(QOSID_ERR_REFUSED, "has been removed", act(DUSHANBE, about(ROSTER_REMOVE, "khorog", 0), 1, E));
	assert_refused(
	    QOSID_ERR_REFUSED, "has been removed", act(DUSHANBE, about(ROSTER_SET_ROLES, "khorog", ROLE_READER), 0, E));
	assert_refused(QOSID_ERR_REFUSED, "stays its own", act(DUSHANBE, admission("khorog", ROLE_READER), 0, E));
	assert_refused(QOSID_ERR_REFUSED, "not a member", act(DUSHANBE, about(ROSTER_REMOVE, "nobody", 0), 1, E));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    CASE(test_remove_each_other),
	    CASE(test_removal_before_addition),
	    CASE(test_same_name_twice),
	    CASE(test_two_rotations),
	    CASE(test_unfit_epoch),
	    CASE(test_below_threshold),
	    CASE(test_threshold),
	    CASE(test_endorsement_of_removed),
	    CASE(test_fork),
	    CASE(test_roll_key),
	    CASE(test_forged_proof),
	    CASE(test_after_removal),
	};

	return cmocka_run_group_tests_name("stewards", tests, NULL, NULL);
}
