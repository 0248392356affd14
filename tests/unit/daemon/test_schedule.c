/* When the daemon exchanges next: intervals, jitter, backoff, debounce. Time and randomness are the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/schedule.h"

#define MOST UINT32_MAX

static const struct schedule_timing timing = {
    .interval = 900000, .debounce = 2000, .backoff_max = 3600000, .jitter = 20};

static void success_waits_the_interval_with_jitter(void **state)
{
	(void)state;
	struct schedule_slot slot = {.due = 5, .failures = 3};
	schedule_succeed(&slot, &timing, 1000, 0);
	assert_int_equal(slot.due, 1000 + 720000);
	assert_int_equal(slot.failures, 0);
	schedule_succeed(&slot, &timing, 1000, MOST);
	assert_int_equal(slot.due, 1000 + 1080000);
	schedule_succeed(&slot, &timing, 1000, MOST / 2);
	assert_in_range(slot.due, 1000 + 899000, 1000 + 901000);
}

static void no_jitter_is_exact(void **state)
{
	(void)state;
	struct schedule_timing exact = timing;
	struct schedule_slot slot = {0};
	exact.jitter = 0;
	schedule_succeed(&slot, &exact, 7, 123456789);
	assert_int_equal(slot.due, 900007);
}

static void full_jitter_never_gets_negative(void **state)
{
	(void)state;
	struct schedule_timing wild = timing;
	struct schedule_slot slot = {0};
	wild.jitter = 100;
	schedule_succeed(&slot, &wild, 7, 0);
	assert_int_equal(slot.due, 7);
	schedule_succeed(&slot, &wild, 7, MOST);
	assert_int_equal(slot.due, 7 + 1800000);
}

static void failures_double_the_ceiling_up_to_the_most(void **state)
{
	(void)state;
	struct schedule_slot slot = {0};
	int64_t ceiling = 4000;
	for (unsigned i = 1; i <= 100; i++) {
		schedule_fail(&slot, &timing, 0, MOST);
		assert_int_equal(slot.due, ceiling);
		assert_int_equal(slot.failures, i);
		ceiling = ceiling * 2 < timing.backoff_max ? ceiling * 2 : timing.backoff_max;
	}
	assert_int_equal(slot.due, timing.backoff_max);
}

static void backoff_has_full_jitter_above_a_second(void **state)
{
	(void)state;
	struct schedule_slot slot = {.failures = 9};
	schedule_fail(&slot, &timing, 50, 0);
	assert_int_equal(slot.due, 50 + 1000);
	slot.failures = 9;
	schedule_fail(&slot, &timing, 0, MOST / 4);
	assert_in_range(slot.due, 500000, 530000);
}

static void small_backoff_limit_holds(void **state)
{
	(void)state;
	struct schedule_timing eager = timing;
	struct schedule_slot slot = {.failures = 40};
	eager.backoff_max = 1000;
	schedule_fail(&slot, &eager, 0, MOST);
	assert_int_equal(slot.due, 1000);
}

static void busy_is_retried_soon(void **state)
{
	(void)state;
	struct schedule_slot slot = {0};
	schedule_yield(&slot, 0, MOST);
	assert_int_equal(slot.due, 500);
	schedule_yield(&slot, 0, 0);
	assert_int_equal(slot.due, 250);
	for (int i = 0; i < 50; i++)
		schedule_yield(&slot, 0, MOST);
	assert_int_equal(slot.due, 16000);
}

static void hastening_brings_forward_but_not_through_a_backoff(void **state)
{
	(void)state;
	struct schedule_slot slot = {.due = 900};
	schedule_hasten(&slot, 100);
	assert_int_equal(slot.due, 100);
	schedule_hasten(&slot, 200);
	assert_int_equal(slot.due, 100);
	slot = (struct schedule_slot){.due = 900, .failures = 1};
	schedule_hasten(&slot, 100);
	assert_int_equal(slot.due, 900);
}

static void no_change_is_never_due(void **state)
{
	(void)state;
	struct schedule_change change = {0};
	assert_true(schedule_change_due(&change, &timing) == SCHEDULE_NEVER);
}

static void a_change_is_due_after_quiet(void **state)
{
	(void)state;
	struct schedule_change change = {0};
	schedule_note_change(&change, 100);
	assert_int_equal(schedule_change_due(&change, &timing), 2100);
	schedule_note_change(&change, 1500);
	assert_int_equal(schedule_change_due(&change, &timing), 3500);
}

static void constant_changes_are_due_at_ten_times_the_debounce(void **state)
{
	(void)state;
	struct schedule_change change = {0};
	int64_t now = 0;
	while (now < schedule_change_due(&change, &timing) && now < 1000000) {
		schedule_note_change(&change, now);
		now += 100;
	}
	assert_int_equal(now, 20000);
	change.noted = false;
	schedule_note_change(&change, 50000);
	assert_int_equal(schedule_change_due(&change, &timing), 52000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(success_waits_the_interval_with_jitter),
	    cmocka_unit_test(no_jitter_is_exact),
	    cmocka_unit_test(full_jitter_never_gets_negative),
	    cmocka_unit_test(failures_double_the_ceiling_up_to_the_most),
	    cmocka_unit_test(backoff_has_full_jitter_above_a_second),
	    cmocka_unit_test(small_backoff_limit_holds),
	    cmocka_unit_test(busy_is_retried_soon),
	    cmocka_unit_test(hastening_brings_forward_but_not_through_a_backoff),
	    cmocka_unit_test(no_change_is_never_due),
	    cmocka_unit_test(a_change_is_due_after_quiet),
	    cmocka_unit_test(constant_changes_are_due_at_ten_times_the_debounce),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
