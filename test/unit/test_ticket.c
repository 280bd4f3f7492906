/* test_ticket.c - callbacks for tickets: when theirs is durable and not before, in order, and never so many that
 * a step does not end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/rig.h"

struct calls {
    sf_runtime *rt;
    int64_t next; /* ticket that is to come */
    int count, wrong, rearms;
};

/* In order, each once, and each on disk. */
static void on_durable(int result, int64_t ticket, void *userdata)
{
    struct calls *calls = userdata;
    calls->count++;
    calls->wrong += result != 0 || ticket != calls->next++ || sf_durable(calls->rt) < ticket;
}

static void no_callback_comes_before_its_ticket_is_durable(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    struct calls calls = {.rt = rig.rt, .next = 1};
    struct tell *under_way = tell(&rig, "mem.settle.under_way", ALWAYS);
    for (int epoch = 0; epoch < 4; epoch++) {
        int64_t first = calls.next, last = 0;
        for (int i = 0; i < 3; i++)
            OK(sf_then(rig.rt, last = say(rig.rt, 1), on_durable, &calls));
        OK(sf_step(rig.rt, 0)); /* sealed, or in the next one while that is under way */
        int64_t waits = say(rig.rt, 1);
        OK(sf_then(rig.rt, waits, on_durable, &calls));
        for (int i = 0; i < 3; i++)
            OK(sf_step(rig.rt, 0));
        assert_int_equal(calls.next, first);
        under_way->pass = 1; /* the first of the two is done */
        OK(sf_step(rig.rt, 0));
        assert_int_equal(calls.next, last + 1);
        assert_int_equal(sf_durable(rig.rt), last);
        under_way->times = 0;
        OK(sf_run_until_idle(rig.rt));
        assert_int_equal(calls.next, waits + 1);
        under_way->times = ALWAYS;
    }
    assert_int_equal(calls.wrong, 0);
    assert_int_equal(calls.count, 16);
    under_way->times = 0;
    rig_close(&rig);
}

static void a_callback_for_a_durable_ticket_comes_with_the_next_step(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    struct calls calls = {.rt = rig.rt, .next = 1};
    say(rig.rt, 1);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(is_readable(rig.rt, 0), 0);
    OK(sf_then(rig.rt, 1, on_durable, &calls));
    assert_int_equal(calls.count, 0);
    assert_int_equal(is_readable(rig.rt, 0), 1);
    assert_int_equal(sf_timeout_ms(rig.rt), 0);
    OK(sf_step(rig.rt, 0));
    assert_int_equal(calls.count, 1);
    assert_int_equal(calls.wrong, 0);
    assert_int_equal(is_readable(rig.rt, 0), 0);
    rig_close(&rig);
}

static void on_durable_again(int result, int64_t ticket, void *userdata)
{
    struct calls *calls = userdata;
    calls->count++;
    calls->wrong += result != 0;
    if (calls->rearms)
        calls->wrong += sf_then(calls->rt, ticket, on_durable_again, calls) < 0;
}

static void a_callback_that_asks_to_be_called_again_lets_the_step_end(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    rig.machine.sys.mono_ns = sfi_sys_default()->mono_ns;
    struct calls calls = {.rt = rig.rt, .rearms = 1};
    say(rig.rt, 1);
    OK(sf_run_until_idle(rig.rt));
    for (int i = 0; i < 3; i++)
        OK(sf_then(rig.rt, 1, on_durable_again, &calls));
    for (int step = 1; step <= 10; step++) {
        OK(sf_step(rig.rt, 0));
        assert_int_equal(calls.count, 3 * step);
        assert_int_equal(is_readable(rig.rt, 0), 1); /* there is more */
    }
    REFUSED(sf_run_for(rig.rt, 50), SF_ETIMEOUT);
    calls.rearms = 0;
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(calls.wrong, 0);
    rig_close(&rig);
}

static void callbacks_that_are_due_can_be_cancelled_one_by_one(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    struct calls kept = {.rt = rig.rt, .next = 1}, cancelled = {.rt = rig.rt};
    for (int i = 0; i < 6; i++)
        say(rig.rt, 1);
    OK(sf_run_until_idle(rig.rt));
    int64_t later = say(rig.rt, 1);
    for (int64_t ticket = 1; ticket <= 6; ticket++) { /* due */
        OK(sf_then(rig.rt, ticket, on_durable, &cancelled));
        OK(sf_then(rig.rt, ticket, on_durable, &kept));
        OK(sf_then(rig.rt, ticket, on_durable, &cancelled));
    }
    OK(sf_then(rig.rt, later, on_durable, &cancelled)); /* and not yet */
    OK(sf_then(rig.rt, later, on_durable, &kept));
    OK(sf_then_cancel(rig.rt, &cancelled));
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(cancelled.count, 0);
    assert_int_equal(kept.count, 7);
    assert_int_equal(kept.wrong, 0);
    OK(sf_then(rig.rt, 1, on_durable_again, &cancelled)); /* the list is whole */
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(cancelled.count, 1);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_callback_comes_before_its_ticket_is_durable),
        TEST(a_callback_for_a_durable_ticket_comes_with_the_next_step),
        TEST(a_callback_that_asks_to_be_called_again_lets_the_step_end),
        TEST(callbacks_that_are_due_can_be_cancelled_one_by_one),
    };
    return cmocka_run_group_tests_name("ticket", tests, NULL, NULL);
}
