/* test_pace.c - how fast work is handled, and how much may wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "run/pace.h"
#include "run/runtime.h"
#include "support/support.h"

#define MS UINT64_C(1000000)

static void nothing_is_known_at_first(void **state)
{
    struct sfi_pace pace = {0, 0, 0};
    (void)state;
    assert_int_equal(sfi_pace_bytes(&pace, 100), UINT64_MAX);
    sfi_pace_note(&pace, 1 * MS, 1000, 1, 0);
    sfi_pace_note(&pace, 15 * MS, 2000, 1, 0); /* too short a span */
    assert_int_equal(sfi_pace_bytes(&pace, 100), UINT64_MAX);
}

/* In seconds, milliseconds and bytes: off by a thousand anywhere shows. */
static void what_is_handled_in_a_time_may_wait_for_that_time(void **state)
{
    struct sfi_pace pace = {0, 0, 0};
    (void)state;
    sfi_pace_note(&pace, 1 * MS, 0, 1, 0);
    sfi_pace_note(&pace, 51 * MS, 500000, 1, 0); /* 10 MB a second */
    assert_int_equal(sfi_pace_bytes(&pace, 100), 1000000);
    assert_int_equal(sfi_pace_bytes(&pace, 1), 10000);
    assert_int_equal(sfi_pace_bytes(&pace, 5000), 50000000);
}

static void rest_says_nothing_of_the_speed(void **state)
{
    struct sfi_pace pace = {0, 0, 0};
    (void)state;
    sfi_pace_note(&pace, 1 * MS, 0, 1, 0);
    sfi_pace_note(&pace, 51 * MS, 500000, 0, 0);
    sfi_pace_note(&pace, 9000 * MS, 500000, 1, 0); /* work again, after nine seconds */
    sfi_pace_note(&pace, 9050 * MS, 1000000, 1, 0);
    assert_int_equal(sfi_pace_bytes(&pace, 100), 1000000);
}

static void a_span_without_work_done_goes_on_for_a_second_at_most(void **state)
{
    struct sfi_pace pace = {0, 0, 0};
    (void)state;
    sfi_pace_note(&pace, 1 * MS, 0, 1, 0);
    sfi_pace_note(&pace, 501 * MS, 0, 1, 0);
    assert_int_equal(sfi_pace_bytes(&pace, 1000), UINT64_MAX);
    sfi_pace_note(&pace, 601 * MS, 600, 1, 0); /* 1 000 bytes a second */
    assert_int_equal(sfi_pace_bytes(&pace, 1000), 1000);
    sfi_pace_note(&pace, 602 * MS, 600, 1, 0);
    sfi_pace_note(&pace, 1700 * MS, 600, 1, 0);
    assert_in_range(sfi_pace_bytes(&pace, 1000), 750, 751);
}

static void a_change_is_known_after_a_few_spans(void **state)
{
    struct sfi_pace pace = {0, 0, 0};
    uint64_t now = 1 * MS, bytes = 0;
    (void)state;
    sfi_pace_note(&pace, now, bytes, 1, 0);
    sfi_pace_note(&pace, now += 50 * MS, bytes += 500000, 1, 0);
    for (int i = 0; i < 10; i++)
        sfi_pace_note(&pace, now += 50 * MS, bytes += 500, 1, 0);
    assert_in_range(sfi_pace_bytes(&pace, 100), 1000, 1000000 / 10);
}

static void a_bound_too_small_to_measure_by_is_doubled(void **state)
{
    struct sfi_pace pace = {0, 0, 0};
    (void)state;
    sfi_pace_note(&pace, 1 * MS, 0, 1, 0);
    sfi_pace_note(&pace, 101 * MS, 10, 0, 0); /* 100 bytes a second */
    for (int i = 0; i < 5; i++)
        sfi_pace_note(&pace, (102 + (uint64_t)i) * MS, 10, 0, 1);
    assert_int_equal(sfi_pace_bytes(&pace, 1000), 3200);
    sfi_pace_note(&pace, 200 * MS, 10, 0, 0); /* nobody was turned away */
    assert_int_equal(sfi_pace_bytes(&pace, 1000), 3200);
}

static void extreme_numbers_neither_divide_by_zero_nor_overflow(void **state)
{
    struct sfi_pace pace = {0, 0, 0};
    (void)state;
    sfi_pace_note(&pace, 1, 0, 1, 1);
    sfi_pace_note(&pace, UINT64_MAX / 2, UINT64_MAX / 2, 1, 1);
    assert_true(sfi_pace_bytes(&pace, 100) > 0);
    sfi_pace_note(&pace, UINT64_MAX - 1, UINT64_MAX, 1, 1);
    assert_true(sfi_pace_bytes(&pace, 100) > 0);
    pace = (struct sfi_pace){0, 0, 0};
    sfi_pace_note(&pace, 1, 0, 1, 0);
    sfi_pace_note(&pace, 1 + 1000 * MS, UINT64_C(1) << 50, 1, 0);
    assert_in_range(sfi_pace_bytes(&pace, 1000), (UINT64_C(1) << 50) - 1000000, UINT64_C(1) << 50);
}

/* Senders of an actor that is held must not make the others seem fast. */
static void what_goes_behind_a_hold_was_not_handled(void **state)
{
    sf_runtime *rt = place_open(*state);
    uint64_t from_ns = rt->sys->mono_ns(rt->sys->ctx) + 10000 * MS;
    rt->mailbox.counted_bytes = 1000; /* nobody else uses it now */
    rt->inbox.message_bytes = 1000;
    sfi_inbox_measure(rt, from_ns);
    rt->inbox.message_bytes += 1000000;
    rt->mailbox.aside_bytes += 900000;
    sfi_inbox_measure(rt, from_ns + 100 * MS);
    assert_int_equal(sfi_pace_bytes(&rt->inbox.pace, 100), 100000);
    rt->mailbox.counted_bytes = rt->mailbox.aside_bytes = 0;
    rt->inbox.message_bytes = 0;
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_at_first),
        cmocka_unit_test(what_is_handled_in_a_time_may_wait_for_that_time),
        cmocka_unit_test(rest_says_nothing_of_the_speed),
        cmocka_unit_test(a_span_without_work_done_goes_on_for_a_second_at_most),
        cmocka_unit_test(a_change_is_known_after_a_few_spans),
        cmocka_unit_test(a_bound_too_small_to_measure_by_is_doubled),
        cmocka_unit_test(extreme_numbers_neither_divide_by_zero_nor_overflow),
        TEST(what_goes_behind_a_hold_was_not_handled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
