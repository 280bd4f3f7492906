/* test_epochs.c - when an epoch ends.
 *
 * On the store in memory and a clock that stands still, so that time is what the handlers take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "run/runtime.h"
#include "support/rig.h"

enum { EPOCH_MS = 100, MANY = 1000 };

/* What the handler of "test/slow" does: from turn `slow_from` on it takes `slow_ms`; in turn
 * `settles` the commit under way comes to its end. */
static struct {
    struct rig *rig;
    uint64_t turns, slow_from, slow_ms, settles;
    struct tell *under_way;
} plan;

static int work(sf_turn *turn)
{
    (void)turn;
    plan.turns++;
    if (plan.turns >= plan.slow_from)
        machine_advance_ms(&plan.rig->machine, plan.slow_ms);
    if (plan.turns == plan.settles) {
        plan.under_way->times = 0;
        sfi_poll_settled(plan.rig->rt);
    }
    return 0;
}

static const sf_type slow_type = SF_TYPE("test/slow", .handler = work);

static void open_slow(struct rig *rig, void **state)
{
    rig_open(rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    OK(sf_register(rig->rt, &slow_type, NULL));
    plan.rig = rig;
    plan.turns = plan.settles = 0;
    plan.slow_from = UINT64_MAX;
}

static int64_t send_many(sf_runtime *rt, int count)
{
    int64_t ticket = 0;
    for (int i = 0; i < count; i++)
        ticket = OK(sf_send(rt, sf_addr("test/slow", "a"), "", SF_NONE));
    return ticket;
}

static void an_epoch_ends_within_its_time_whatever_handlers_take(void **state)
{
    struct rig rig;
    open_slow(&rig, state);
    plan.slow_from = 1;
    plan.slow_ms = 5;
    send_many(rig.rt, MANY);
    assert_int_equal(OK(sf_step(rig.rt, 0)), EPOCH_MS / 5);
    assert_int_equal(sf_durable(rig.rt), MANY); /* taken in by that epoch */
    rig_close(&rig);
}

static void handlers_that_become_slow_in_the_middle_lengthen_it_by_one_turn_at_most(void **state)
{
    struct rig rig;
    for (uint64_t fast = 1; fast < 300; fast += 37) {
        open_slow(&rig, state);
        plan.slow_from = fast + 1;
        plan.slow_ms = 60;
        send_many(rig.rt, MANY);
        assert_int_equal(OK(sf_step(rig.rt, 0)), fast + 2);
        rig_close(&rig);
    }
}

/* Turns of the second epoch when a commit of the first ends in its turn `settles`. */
static int second_epoch(struct rig *rig, uint64_t settles, int asks)
{
    plan.under_way = tell(rig, "mem.settle.under_way", ALWAYS);
    send_many(rig->rt, 1);
    assert_int_equal(OK(sf_step(rig->rt, 0)), 1);
    assert_int_equal(sf_durable(rig->rt), 0);
    plan.settles = settles + 1;
    if (asks)
        OK(sf_ask_then(rig->rt, sf_addr("test/slow", "b"), "", SF_NONE, -1, note_answer,
                       rig->notes));
    send_many(rig->rt, MANY);
    return (int)OK(sf_step(rig->rt, 0));
}

static void a_finished_commit_is_published_while_turns_run_when_somebody_waits(void **state)
{
    struct rig rig;
    open_slow(&rig, state);
    assert_int_equal(second_epoch(&rig, 10, 1), 10);
    assert_true(sf_durable(rig.rt) >= 1);
    rig_close(&rig);
}

static void a_finished_commit_ends_no_epoch_when_nobody_waits(void **state)
{
    struct rig rig;
    open_slow(&rig, state);
    assert_int_equal(second_epoch(&rig, 10, 0), MANY);
    rig_close(&rig);
}

/* Crashes, and counts what the next run handles. */
static uint64_t handled_after_a_crash(struct rig *rig)
{
    rig_crash(rig);
    rig_start(rig);
    OK(sf_register(rig->rt, &slow_type, NULL));
    OK(sf_run_until_idle(rig->rt));
    return plan.turns;
}

static void durable_is_said_only_of_what_was_taken_in_while_more_waits_in_the_inbox(void **state)
{
    struct rig rig;
    open_slow(&rig, state);
    int64_t last = send_many(rig.rt, 5 * MANY);
    OK(sf_step(rig.rt, 1));
    int64_t durable = sf_durable(rig.rt);
    assert_true(durable > 0 && durable < last);
    assert_int_equal(handled_after_a_crash(&rig), durable);
    rig_close(&rig);
}

static void a_position_is_said_only_of_records_taken_in_while_more_wait_in_the_inbox(void **state)
{
    struct rig rig;
    open_slow(&rig, state);
    for (uint64_t position = 1; position <= 5 * MANY; position++) {
        OK(sf_source_send(rig.source, sf_addr("test/slow", "a"), "", SF_NONE));
        OK(sf_source_advance(rig.source, position));
    }
    OK(sf_step(rig.rt, 1));
    uint64_t position = sf_source_position(rig.source);
    assert_in_range(position, 1, 5 * MANY - 1);
    assert_int_equal(handled_after_a_crash(&rig), position);
    rig_close(&rig);
}

/* Sends until the inbox is full. */
static uint64_t fill(sf_runtime *rt)
{
    uint64_t sent = 0;
    while (sf_send(rt, sf_addr("test/slow", "a"), "", SF_NONE) > 0)
        sent++;
    SAYS("inbox is full");
    return sent;
}

static void what_waits_from_outside_is_bounded_in_time(void **state)
{
    struct rig rig;
    enum { HANDLER_MS = 2, WAIT_MS = 1000, BYTES_MAX = 256 << 10 };
    rig_open(&rig, *state,
             (sf_options)SF_OPTIONS(.inbox_bytes_max = BYTES_MAX, .inbox_ms_max = WAIT_MS));
    OK(sf_register(rig.rt, &slow_type, NULL));
    plan.rig = &rig;
    plan.turns = 0, plan.slow_from = 1, plan.slow_ms = HANDLER_MS, plan.settles = 0;
    uint64_t at_first = fill(rig.rt);
    /* nothing is known yet: bytes alone bound it */
    assert_true(at_first > 2 * WAIT_MS / HANDLER_MS);
    OK(sf_run_until_idle(rig.rt));
    for (int i = 0; i < 20; i++) { /* overload: refilled after each step */
        fill(rig.rt);
        OK(sf_step(rig.rt, 0));
    }
    fill(rig.rt);
    assert_in_range(stats_of(rig.rt).messages_waiting, 1, 2 * WAIT_MS / HANDLER_MS);
    plan.turns = 0;
    OK(sf_run_until_idle(rig.rt));
    assert_in_range(plan.turns, WAIT_MS / HANDLER_MS / 2, 2 * WAIT_MS / HANDLER_MS);

    plan.slow_from = UINT64_MAX; /* handlers are fast again */
    for (int i = 0; i < 20; i++) {
        fill(rig.rt);
        OK(sf_run_until_idle(rig.rt));
    }
    assert_int_equal(fill(rig.rt), at_first);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_epoch_ends_within_its_time_whatever_handlers_take),
        TEST(handlers_that_become_slow_in_the_middle_lengthen_it_by_one_turn_at_most),
        TEST(a_finished_commit_is_published_while_turns_run_when_somebody_waits),
        TEST(a_finished_commit_ends_no_epoch_when_nobody_waits),
        TEST(what_waits_from_outside_is_bounded_in_time),
        TEST(durable_is_said_only_of_what_was_taken_in_while_more_waits_in_the_inbox),
        TEST(a_position_is_said_only_of_records_taken_in_while_more_wait_in_the_inbox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
