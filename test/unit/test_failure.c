/* test_failure.c - what becomes of a message whose work was undone: how long it waits, how often it is tried, what is
 * counted.
 *
 * On a clock that stands still, so that pauses are exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "actor/key.h"
#include "run/runtime.h"
#include "store/record.h"
#include "support/rig.h"

static uint32_t newest_attempt;

static int fail_always(sf_turn *turn)
{
    newest_attempt = sf_msg(turn)->attempt;
    return sf_fail(turn, "not yet");
}

static void send(struct rig *rig, const char *type, const char *id)
{
    OK(sf_send(rig->rt, sf_addr(type, id), "", SF_NONE));
}

/* The same of a back-off, give or take an eighth. */
static int pauses_for_about(struct rig *rig, int ms)
{
    OK(sf_run_until_idle(rig->rt));
    int pause_ms = sf_timeout_ms(rig->rt);
    assert_in_range(pause_ms, ms - ms / 8, ms + ms / 8);
    machine_advance_ms(&rig->machine, (uint64_t)pause_ms);
    return pause_ms;
}

/* Steps, and the next thing that is due is due in so many ms; then it is. */
static void pauses_for(struct rig *rig, int ms)
{
    OK(sf_run_until_idle(rig->rt));
    assert_int_equal(sf_timeout_ms(rig->rt), ms);
    machine_advance_ms(&rig->machine, (uint64_t)(ms > 0 ? ms : 0));
}

/* -- failed, and tried again --------------------------------------------------------------------- */

static void a_pause_doubles_up_to_its_bound(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    sf_type type = SF_TYPE("test/fails", .handler = fail_always, .backoff_ms = 10,
                           .backoff_ms_max = 35, .attempts_max = 6);
    OK(sf_register(rig.rt, &type, NULL));
    send(&rig, "test/fails", "a");
    static const int pauses[] = {10, 20, 35, 35, 35};
    for (int i = 0; i < 5; i++)
        pauses_for_about(&rig, pauses[i]);
    pauses_for(&rig, -1);
    assert_int_equal(newest_attempt, 6);
    assert_int_equal(stats_of(rig.rt).turns_failed, 6);
    assert_int_equal(stats_of(rig.rt).dead_letters, 1);
    rig_close(&rig);
}

/* So that those who failed together do not come back together; and so that a test comes out the same each time. */
static void a_pause_is_drawn_from_the_machines_random_numbers(void **state)
{
    int drawn[3][40], differ = 0;
    for (int run = 0; run < 3; run++) {
        struct rig rig;
        rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
        sf_type type = SF_TYPE("test/fails", .handler = fail_always, .backoff_ms = 8000,
                               .backoff_ms_max = 8000, .attempts_max = 41);
        OK(sf_register(rig.rt, &type, NULL));
        send(&rig, "test/fails", "a");
        rig.machine.random = run < 2 ? 77 : 78;
        int least = 9000, most = 0;
        for (int i = 0; i < 40; i++) {
            int pause_ms = drawn[run][i] = pauses_for_about(&rig, 8000);
            least = pause_ms < least ? pause_ms : least;
            most = pause_ms > most ? pause_ms : most;
        }
        assert_in_range(least, 7000, 7300); /* over the whole eighth, either way */
        assert_in_range(most, 8700, 9000);
        rig_close(&rig);
    }
    assert_memory_equal(drawn[0], drawn[1], sizeof drawn[0]);
    for (int i = 0; i < 40; i++)
        differ += drawn[0][i] != drawn[2][i];
    assert_true(differ > 20);
}

/* Each allocation fails once, anywhere on the way to the dead letter. */
static void what_the_machine_refuses_counts_no_attempt(void **state)
{
    char expected[40];
    struct rig rig;
    snprintf(expected, sizeof expected, "answer %d ", SF_EFAILED);
    for (uint64_t n = 1, failed = 1; failed; n++) {
        for (uint32_t backoff_ms = 0; backoff_ms < 2; backoff_ms++) {
            rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
            sf_type type = SF_TYPE("test/fails", .handler = fail_always, .attempts_max = 3,
                                   .backoff_ms = backoff_ms);
            OK(sf_register(rig.rt, &type, NULL));
            OK(sf_run_until_idle(rig.rt));
            OK(sf_ask_then(rig.rt, sf_addr("test/fails", "a"), "", SF_NONE, -1, note_answer,
                           rig.notes));
            uint64_t before = rig.machine.allocations;
            rig.machine.fail_allocation = before + n;
            for (int i = 0; i < 40; i++) {
                (void)!sf_step(rig.rt, 0);
                machine_advance_ms(&rig.machine, 20);
            }
            failed = rig.machine.allocations >= before + n;
            rig.machine.fail_allocation = 0;
            assert_int_equal(newest_attempt, 3);
            assert_int_equal(stats_of(rig.rt).turns_failed, 3);
            sf_view *view = NULL;
            OK(sf_view_open(rig.rt, &view));
            const sf_message *letter = sf_view_dead(view, 0);
            assert_non_null(letter);
            assert_int_equal(letter->attempt, 3);
            assert_string_equal(letter->reason, "not yet");
            assert_null(sf_view_dead(view, letter->sequence));
            sf_view_close(view);
            came(&rig, expected);
            rig_close(&rig);
        }
    }
}

/* Each allocation fails once, anywhere on the way: the attempts are the same, and then all wait. */
static void who_is_paused_or_stops_the_engine_is_so_whatever_the_machine_refuses(void **state)
{
    struct rig rig;
    for (uint64_t n = 1, failed = 1; failed; n++) {
        for (int policy = SF_PAUSE_ACTOR; policy <= SF_STOP_ENGINE; policy++) {
            int rc = 0;
            rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
            sf_type type = SF_TYPE("test/fails", .handler = fail_always, .attempts_max = 2,
                                   .after_last_attempt = policy);
            OK(sf_register(rig.rt, &type, NULL));
            OK(sf_run_until_idle(rig.rt));
            send(&rig, "test/fails", "a");
            send(&rig, "test/fails", "a");
            uint64_t before = rig.machine.allocations;
            rig.machine.fail_allocation = before + n;
            for (int i = 0; i < 40 && rc != SF_EFAILED; i++)
                rc = sf_step(rig.rt, 0);
            failed = rig.machine.allocations >= before + n;
            rig.machine.fail_allocation = 0;
            assert_int_equal(newest_attempt, 2);
            assert_int_equal(rc == SF_EFAILED, policy == SF_STOP_ENGINE);
            assert_int_equal(stats_of(rig.rt).turns_failed, 2);
            assert_int_equal(stats_of(rig.rt).held, policy == SF_PAUSE_ACTOR);
            sf_source_close(rig.source);
            OK(sf_runtime_close(rig.rt)); /* and what the disk had not */
            rig_start(&rig);
            OK(sf_register(rig.rt, &type, NULL));
            newest_attempt = 0;
            rc = sf_run_until_idle(rig.rt);
            assert_int_equal(rc, policy == SF_STOP_ENGINE ? SF_EFAILED : 0);
            assert_int_equal(newest_attempt, policy == SF_STOP_ENGINE ? 2 : 0);
            assert_int_equal(stats_of(rig.rt).messages_waiting, 2);
            rig_crash(&rig);
            rig_start(&rig);
            rig_close(&rig);
        }
    }
}

static int tell_to_fail(sf_turn *turn)
{
    return sf_tell(turn, sf_addr("test/fails", "a"), "told", sf_str("body"));
}

static int hear(sf_turn *turn)
{
    uint64_t *heard = sf_userdata(turn);
    ++*heard;
    return 0;
}

/* Each allocation fails once, anywhere on the way: buried once, and heard of once. */
static void what_comes_back_does_so_once_whatever_the_machine_refuses(void **state)
{
    static const sf_type fails = SF_TYPE("test/fails", .handler = fail_always, .attempts_max = 1);
    static const sf_type tells =
        SF_TYPE("test/tells", .on = {{"tell", tell_to_fail}, {SF_DEAD, hear}});
    struct rig rig;
    for (uint64_t n = 1, failed = 1; failed; n++) {
        uint64_t heard = 0;
        rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
        OK(sf_register(rig.rt, &fails, NULL));
        OK(sf_register(rig.rt, &tells, &heard));
        OK(sf_run_until_idle(rig.rt));
        OK(sf_send(rig.rt, sf_addr("test/tells", "t"), "tell", SF_NONE));
        uint64_t before = rig.machine.allocations;
        rig.machine.fail_allocation = before + n;
        for (int i = 0; i < 20; i++)
            (void)!sf_step(rig.rt, 0);
        failed = rig.machine.allocations >= before + n;
        rig.machine.fail_allocation = 0;
        assert_int_equal(heard, 1);
        assert_int_equal(stats_of(rig.rt).dead_letters, 1);
        assert_int_equal(stats_of(rig.rt).messages_waiting, 0);
        rig_close(&rig);
    }
}

/* -- held ---------------------------------------------------------------------------------------- */

static int migrates; /* what state_migrate says */

static int migrate(uint32_t from, sf_bytes old, void *state)
{
    (void)from, (void)old, (void)state;
    return migrates;
}

static int look(sf_turn *turn)
{
    uint64_t *state = sf_state(turn);
    ++*state;
    return 0;
}

static void who_cannot_be_migrated_waits_longer_each_time_up_to_a_minute(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    sf_type old = SF_TYPE("test/grows", .handler = look, .state_size = 8);
    sf_type new = SF_TYPE("test/grows", .handler = look, .state_size = 16, .state_version = 2,
                          .state_migrate = migrate);
    OK(sf_register(rig.rt, &old, NULL));
    send(&rig, "test/grows", "a");
    send(&rig, "test/grows", "b");
    OK(sf_run_until_idle(rig.rt));
    rig_crash(&rig);
    rig_start(&rig);
    OK(sf_register(rig.rt, &new, NULL));
    migrates = -1;
    send(&rig, "test/grows", "a");
    static const int pauses[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        pauses_for(&rig, pauses[i]);
        assert_int_equal(stats_of(rig.rt).turns_held, i + 1);
        assert_int_equal(stats_of(rig.rt).turns_failed, i + 1);
    }
    migrates = 0;
    pauses_for(&rig, -1);
    migrates = -1;
    send(&rig, "test/grows", "b");
    pauses_for(&rig, 1000); /* from the beginning */
    migrates = 0;
    pauses_for(&rig, -1);
    assert_int_equal(stats_of(rig.rt).dead_letters, 0);
    rig_close(&rig);
}

/* -- fenced -------------------------------------------------------------------------------------- */

static void put_junk(struct rig *rig, sf_bytes key)
{
    struct sfi_batch batch;
    sfi_batch_init(&batch, &rig->machine.sys);
    memset(sfi_batch_put(&batch, SFI_STATE, key, 20), 'x', 20);
    sfi_batch_seal(&batch, rig->rt->store->durable + 1);
    assert_int_equal(sfi_store_submit(rig->rt->store, &batch), 0);
    assert_int_equal(sfi_store_settle(rig->rt->store, 1), SFI_DURABLE);
    sfi_batch_fini(&batch);
}

static void who_cannot_be_read_waits_for_an_hour(void **state)
{
    struct rig rig;
    struct sfi_key key;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    sf_type type = SF_TYPE("test/looks", .handler = look, .state_size = 8);
    OK(sf_register(rig.rt, &type, NULL));
    OK(sf_run_until_idle(rig.rt));
    sfi_key_state(&key, sfi_types_find(&rig.rt->types, "test/looks")->number, "a", 1, 0);
    put_junk(&rig, sfi_key_bytes(&key));
    send(&rig, "test/looks", "a");
    for (int i = 0; i < 3; i++) {
        pauses_for(&rig, HOUR_MS);
        assert_int_equal(stats_of(rig.rt).fenced, i + 1);
        assert_int_equal(stats_of(rig.rt).turns_failed, i + 1);
    }
    assert_int_equal(stats_of(rig.rt).dead_letters, 0);
    rig_close(&rig);
}

/* -- waiting for another ------------------------------------------------------------------------- */

static int call_other(sf_turn *turn)
{
    sf_call(turn, sf_addr(SPEAKER, "b"), "say", SF_OF((uint64_t){1}));
    return 0;
}

static void who_calls_one_that_is_held_tries_again_soon(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    sf_type type = SF_TYPE("test/calls", .handler = call_other);
    OK(sf_register(rig.rt, &type, NULL));
    OK(sf_pause(rig.rt, sf_addr(SPEAKER, "b"), "stop"));
    send(&rig, "test/calls", "a");
    /* As long as the other has been held, within bounds. */
    static const int pauses[] = {10, 10, 20, 40, 80, 160, 320, 640, 1000, 1000};
    for (int i = 0; i < 10; i++) {
        pauses_for(&rig, pauses[i]);
        assert_int_equal(stats_of(rig.rt).turns_failed, i + 1);
    }
    OK(sf_resume(rig.rt, sf_addr(SPEAKER, "b")));
    pauses_for(&rig, -1);
    assert_int_equal(stats_of(rig.rt).dead_letters, 0); /* no attempt was counted */
    came(&rig, "egress 1=1 ");
    rig_close(&rig);
}

/* -- what a dead letter shows -------------------------------------------------------------------- */

static void a_letter_without_a_body_is_told_from_one_with_an_empty_body(void **state)
{
    struct rig rig;
    sf_view *view = NULL;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    sf_type type = SF_TYPE("test/fails", .handler = fail_always, .attempts_max = 1);
    OK(sf_register(rig.rt, &type, NULL));
    OK(sf_send(rig.rt, sf_addr("test/fails", "a"), "", SF_NONE));
    OK(sf_send(rig.rt, sf_addr("test/fails", "a"), "", SF_BYTES("", 0)));
    OK(sf_run_until_idle(rig.rt));
    OK(sf_view_open(rig.rt, &view));
    const sf_message *letter = sf_view_dead(view, 0);
    assert_non_null(letter);
    assert_null(letter->body.data);
    letter = sf_view_dead(view, letter->sequence);
    assert_non_null(letter);
    assert_non_null(letter->body.data);
    assert_int_equal(letter->body.size, 0);
    assert_null(sf_view_dead(view, letter->sequence));
    sf_view_close(view);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pause_doubles_up_to_its_bound),
        TEST(a_pause_is_drawn_from_the_machines_random_numbers),
        TEST(what_comes_back_does_so_once_whatever_the_machine_refuses),
        TEST(who_is_paused_or_stops_the_engine_is_so_whatever_the_machine_refuses),
        TEST(what_the_machine_refuses_counts_no_attempt),
        TEST(who_cannot_be_migrated_waits_longer_each_time_up_to_a_minute),
        TEST(who_cannot_be_read_waits_for_an_hour),
        TEST(who_calls_one_that_is_held_tries_again_soon),
        TEST(a_letter_without_a_body_is_told_from_one_with_an_empty_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
