/* test_step.c - one step: what it leaves to wait for, how long, and where it ends.
 *
 * On the store in memory and a clock that stands still, so that pauses are exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <string.h>

#include "run/runtime.h"
#include "support/rig.h"

static int fail_always(sf_turn *turn)
{
    return sf_fail(turn, "not yet");
}

static int emit_body(sf_turn *turn)
{
    return sf_emit(turn, "said", "number", sf_msg(turn)->body);
}

enum { RECORDS = 1000 };

static int emit_many(sf_turn *turn)
{
    for (uint64_t i = 0; i < RECORDS; i++)
        sf_emit(turn, "said", "number", SF_OF(i));
    return 0;
}

static void open_with(struct rig *rig, void **state, sf_type type)
{
    rig_open(rig, *state, (sf_options)SF_OPTIONS(.inbox_ms_max = HOUR_MS));
    OK(sf_register(rig->rt, &type, NULL));
    OK(sf_run_until_idle(rig->rt));
}

static int64_t send(struct rig *rig, const char *type)
{
    return OK(sf_send(rig->rt, sf_addr(type, "a"), "", SF_NONE));
}

/* -- what comes in -------------------------------------------------------------------------------- */

enum { EPOCH_TURNS = 64 };

static int pass_on(sf_turn *turn)
{
    return sf_tell(turn, sf_addr("test/last", "b"), "", SF_NONE);
}

static int spin_on(sf_turn *turn)
{
    return sf_tell(turn, sf_self(turn), "", SF_NONE);
}

static int do_nothing(sf_turn *turn)
{
    (void)turn;
    return 0;
}

/* What waits over the end of an epoch gets a row, and costs as much as four messages that do not. */
static void an_epoch_takes_in_about_what_it_can_run(void **state)
{
    struct rig rig;
    sf_type first = SF_TYPE("test/first", .handler = pass_on),
            last = SF_TYPE("test/last", .handler = do_nothing);
    rig_open(&rig, *state,
             (sf_options)SF_OPTIONS(.inbox_ms_max = HOUR_MS, .epoch_turns_max = EPOCH_TURNS));
    OK(sf_register(rig.rt, &first, NULL));
    OK(sf_register(rig.rt, &last, NULL));
    OK(sf_run_until_idle(rig.rt));
    for (int i = 0; i < 20 * EPOCH_TURNS; i++)
        send(&rig, i % 2 ? "test/first" : "test/last");
    for (int i = 0; i < 10; i++) {
        assert_int_equal(OK(sf_step(rig.rt, 0)), EPOCH_TURNS);
        assert_in_range(rig.rt->mailbox.queued, 0, EPOCH_TURNS / 4);
    }
    OK(sf_run_until_idle(rig.rt));
    rig_close(&rig);
}

/* Also when there is more than the epochs can run: or else it would wait for ever. */
static void who_sends_from_outside_gets_in_though_handlers_fill_every_epoch(void **state)
{
    struct rig rig;
    sf_type first = SF_TYPE("test/first", .handler = do_nothing), spin = SF_TYPE("test/spin");
    spin.handler = spin_on;
    rig_open(&rig, *state,
             (sf_options)SF_OPTIONS(.inbox_ms_max = HOUR_MS, .epoch_turns_max = EPOCH_TURNS));
    OK(sf_register(rig.rt, &first, NULL));
    OK(sf_register(rig.rt, &spin, NULL));
    OK(sf_run_until_idle(rig.rt));
    for (int i = 0; i < 4 * EPOCH_TURNS; i++)
        send(&rig, "test/spin");
    for (int i = 0; i < 10; i++)
        OK(sf_step(rig.rt, 0));
    assert_in_range(rig.rt->mailbox.queued, EPOCH_TURNS, 4 * EPOCH_TURNS);
    int64_t ticket = send(&rig, "test/first");
    for (int i = 0; i < 20 && sf_durable(rig.rt) < ticket; i++)
        OK(sf_step(rig.rt, 0));
    assert_in_range(sf_durable(rig.rt), ticket, ticket);
    rig_close(&rig);
}

/* -- pauses -------------------------------------------------------------------------------------- */

static void a_disk_that_refuses_is_left_alone_longer_each_time_up_to_a_second(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    tell(&rig, "mem.settle.before", ALWAYS);
    say(rig.rt, 1);
    static const int pauses_ms[] = {10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000};
    for (size_t i = 0; i < sizeof pauses_ms / sizeof *pauses_ms; i++) {
        REFUSED(sf_step(rig.rt, 0), SF_EDISK);
        assert_int_equal(sf_timeout_ms(rig.rt), pauses_ms[i]);
        assert_int_equal(is_readable(rig.rt, 0), 0);
        machine_advance_ms(&rig.machine, (uint64_t)pauses_ms[i]);
        assert_int_equal(sf_timeout_ms(rig.rt), 0);
        machine_advance_ms(&rig.machine, 3);
        assert_int_equal(sf_timeout_ms(rig.rt), 0); /* and stays due */
    }
    tell(&rig, "mem.settle.before", 0);
    OK(sf_run_until_idle(rig.rt));
    tell(&rig, "mem.settle.before", 1);
    say(rig.rt, 2);
    REFUSED(sf_step(rig.rt, 0), SF_EDISK);
    assert_int_equal(sf_timeout_ms(rig.rt), 10); /* from the beginning */
    rig_close(&rig);
}

static void what_is_due_sooner_than_the_next_try_is_waited_for(void **state)
{
    struct rig rig;
    open_with(&rig, state, (sf_type)SF_TYPE("test/slow", .handler = fail_always, .backoff_ms = 4));
    tell(&rig, "mem.settle.before", ALWAYS);
    send(&rig, "test/slow");
    REFUSED(sf_step(rig.rt, 0), SF_EDISK);
    assert_int_equal(sf_timeout_ms(rig.rt), 4);
    machine_advance_ms(&rig.machine, 4);
    REFUSED(sf_step(rig.rt, 0), SF_EDISK);
    assert_int_equal(sf_timeout_ms(rig.rt), 20);
    rig_close(&rig);
}

static void a_timeout_is_rounded_up_and_fits_into_an_int(void **state)
{
    struct rig rig;
    open_with(&rig, state, (sf_type)SF_TYPE("test/slow", .handler = fail_always, .backoff_ms = 7,
                                            .attempts_max = 3));
    send(&rig, "test/slow");
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(sf_timeout_ms(rig.rt), 7);
    rig.machine.now_ns += 5500000;
    assert_int_equal(sf_timeout_ms(rig.rt), 2);
    rig.machine.now_ns += 500001;
    assert_int_equal(sf_timeout_ms(rig.rt), 1);
    rig_close(&rig);
    open_with(&rig, state, (sf_type)SF_TYPE("test/slow", .handler = fail_always,
                                            .backoff_ms = 4000000000u,
                                            .backoff_ms_max = 4000000000u));
    send(&rig, "test/slow");
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(sf_timeout_ms(rig.rt), INT_MAX);
    rig_close(&rig);
}

static void while_it_is_tried_again_who_waits_hears_why_it_stalled(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    tell(&rig, "mem.settle.before", 1);
    int64_t ticket = say(rig.rt, 1);
    REFUSED(sf_step(rig.rt, 0), SF_EDISK);
    tell(&rig, "mem.settle.under_way", ALWAYS);
    assert_int_equal(OK(sf_step(rig.rt, 0)), 0);
    REFUSED(sf_wait(rig.rt, ticket, 0), SF_EDISK);
    SAYS("mem.settle.before");
    rig.tells[1].times = 0;
    OK(sf_run_until_idle(rig.rt));
    OK(sf_wait(rig.rt, ticket, 0));
    rig_close(&rig);
}

/* -- where an epoch ends ------------------------------------------------------------------------- */

static void who_waits_commits_a_small_epoch_itself_and_leaves_a_large_one_to_the_thread(void **state)
{
    static const char bytes[65 << 10];
    struct rig rig;
    open_with(&rig, state, (sf_type)SF_TYPE("test/loud", .handler = emit_body));
    struct tell *under_way = tell(&rig, "mem.settle.under_way", ALWAYS); /* unless waited for */
    int64_t small = OK(sf_send(rig.rt, sf_addr("test/loud", "a"), "", SF_BYTES(bytes, 63 << 10)));
    OK(sf_wait(rig.rt, small, 0));
    int64_t large = OK(sf_send(rig.rt, sf_addr("test/loud", "a"), "", SF_BYTES(bytes, 65 << 10)));
    REFUSED(sf_wait(rig.rt, large, 0), SF_ETIMEOUT);
    under_way->times = 0;
    OK(sf_wait(rig.rt, large, 0));
    rig_close(&rig);
}

static void who_waited_for_one_epoch_does_not_wait_for_the_next_one_too(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    struct tell *under_way = tell(&rig, "mem.settle.under_way", ALWAYS);
    int64_t first = say(rig.rt, 1);
    OK(sf_step(rig.rt, 0));
    say(rig.rt, 2);
    under_way->pass = 1; /* the first is done, the second is under way */
    OK(sf_wait(rig.rt, first, 0));
    assert_int_equal(sf_durable(rig.rt), first);
    under_way->times = 0;
    rig_close(&rig);
}

static void an_epoch_ends_when_it_has_many_rows(void **state)
{
    enum { SENT = 100, ROWS_MAX = 1 << 16, WEIGHED_EVERY = 8 };
    struct rig rig;
    open_with(&rig, state, (sf_type)SF_TYPE("test/loud", .handler = emit_many));
    for (int i = 0; i < SENT; i++)
        send(&rig, "test/loud");
    assert_in_range(OK(sf_step(rig.rt, 0)), 1, ROWS_MAX / RECORDS + WEIGHED_EVERY);
    rig_close(&rig);
}

static void messages_that_go_behind_a_hold_count_against_the_epoch_as_turns_do(void **state)
{
    enum { SENT = 2000, EPOCH = 512 };
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.epoch_turns_max = EPOCH,
                                                  .inbox_ms_max = HOUR_MS));
    OK(sf_pause(rig.rt, sf_addr(SPEAKER, ""), "stop"));
    for (int i = 0; i < SENT; i++)
        say(rig.rt, 1);
    OK(sf_step(rig.rt, 0));
    assert_in_range(rig.rt->mailbox.parking.rows, 1, EPOCH);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(rig.rt->mailbox.parking.rows, SENT);
    rig_close(&rig);
}

/* -- a sink that says what cannot be ------------------------------------------------------------- */

static int odd_answer;

static int answer_oddly(const sf_message *const *records, size_t count, void *userdata)
{
    return odd_answer ? odd_answer : note_records(records, count, userdata);
}

static void a_sink_that_did_more_than_it_got_or_less_than_nothing_did_nothing(void **state)
{
    static const int odd[] = {2, 1000, -1, -1000, INT_MIN, INT_MAX};
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    OK(sf_egress_register(rig.rt, "said", answer_oddly, rig.notes));
    OK(sf_run_until_idle(rig.rt));
    say(rig.rt, 7);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        odd_answer = odd[i] == SF_LATER ? 2 : odd[i];
        OK(sf_run_until_idle(rig.rt));
        assert_int_equal(stats_of(rig.rt).egress_lag, 1);
        assert_true(sf_timeout_ms(rig.rt) > 0);
        machine_advance_ms(&rig.machine, (uint64_t)sf_timeout_ms(rig.rt));
    }
    odd_answer = 0;
    OK(sf_run_until_idle(rig.rt));
    came(&rig, "egress 1=7 ");
    assert_int_equal(stats_of(rig.rt).egress_lag, 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_epoch_takes_in_about_what_it_can_run),
        TEST(who_sends_from_outside_gets_in_though_handlers_fill_every_epoch),
        TEST(a_disk_that_refuses_is_left_alone_longer_each_time_up_to_a_second),
        TEST(what_is_due_sooner_than_the_next_try_is_waited_for),
        TEST(a_timeout_is_rounded_up_and_fits_into_an_int),
        TEST(while_it_is_tried_again_who_waits_hears_why_it_stalled),
        TEST(who_waits_commits_a_small_epoch_itself_and_leaves_a_large_one_to_the_thread),
        TEST(who_waited_for_one_epoch_does_not_wait_for_the_next_one_too),
        TEST(an_epoch_ends_when_it_has_many_rows),
        TEST(messages_that_go_behind_a_hold_count_against_the_epoch_as_turns_do),
        TEST(a_sink_that_did_more_than_it_got_or_less_than_nothing_did_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
