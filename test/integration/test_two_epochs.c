/* test_two_epochs.c - one epoch on its way to the disk, the next one open: nothing leaves early.
 *
 * On the store in memory, where the test decides when a commit is done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "support/rig.h"

/* -- two epochs at a time ---------------------------------------------------------------------- */

static void turns_run_while_a_commit_is_under_way_and_nothing_leaves_early(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    uint64_t epochs = stats_of(rig.rt).epochs;
    struct tell *under_way = tell(&rig, "mem.settle.under_way", ALWAYS);
    int64_t first = one_of_each(&rig, 1);
    assert_int_equal(OK(sf_step(rig.rt, 0)), 3);
    int64_t second = one_of_each(&rig, 2);
    assert_int_equal(OK(sf_step(rig.rt, 0)), 3); /* in the next epoch */
    for (int i = 0; i < 5; i++)
        assert_int_equal(OK(sf_step(rig.rt, 0)), 0);
    came(&rig, "");
    assert_true(sf_durable(rig.rt) < first - 2);
    assert_int_equal(sf_source_position(rig.source), 0);
    assert_int_equal(counter_stored(rig.rt, "a").messages, 0);

    under_way->pass = 1; /* the first is done, the second is under way */
    OK(sf_step(rig.rt, 0));
    came(&rig, "done 3=0 answer 12 egress 1=11 egress 2=12 egress 3=13 ");
    assert_int_equal(sf_durable(rig.rt), first);
    assert_int_equal(sf_source_position(rig.source), 1);
    assert_int_equal(stored_counter_of(rig.rt, sf_addr(SPEAKER, "a")).messages, 3);
    assert_int_equal(stats_of(rig.rt).epochs, epochs + 1);

    under_way->times = 0;
    OK(sf_run_until_idle(rig.rt));
    came(&rig, "done 6=0 answer 22 egress 4=21 egress 5=22 egress 6=23 ");
    assert_int_equal(sf_durable(rig.rt), second);
    assert_int_equal(sf_source_position(rig.source), 2);
    rig_close(&rig);
}

/* A reply that changed nothing on disk is not held back by its own epoch, but by those before
 * it. */
static void an_answer_waits_for_the_epochs_before_its_own(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    struct tell *under_way = tell(&rig, "mem.settle.under_way", ALWAYS);
    counter_add(rig.rt, "b", 7);
    OK(sf_step(rig.rt, 0));
    OK(sf_ask_then(rig.rt, sf_addr("test/counter", "b"), "get", SF_NONE, -1, note_answer,
                   rig.notes));
    for (int i = 0; i < 3; i++)
        OK(sf_step(rig.rt, 0));
    assert_int_equal(stats_of(rig.rt).turns, 2);
    came(&rig, "");
    assert_int_equal(sf_durable(rig.rt), 0);
    under_way->times = 0;
    OK(sf_step(rig.rt, 0));
    came(&rig, "answer 7 ");
    assert_int_equal(sf_durable(rig.rt), 2);
    rig_close(&rig);
}

static void a_full_epoch_waits_for_the_one_under_way(void **state)
{
    struct rig rig;
    enum { EPOCH = 4, SENT = 40 };
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.epoch_turns_max = EPOCH));
    tell(&rig, "mem.settle.under_way", ALWAYS); /* done only when it is waited for */
    for (int i = 0; i < SENT; i++)
        say(rig.rt, 1);
    for (int steps = 1; steps <= SENT / EPOCH; steps++) {
        assert_int_equal(OK(sf_step(rig.rt, 0)), EPOCH);
        assert_int_equal(stored_counter_of(rig.rt, sf_addr(SPEAKER, "a")).messages,
                         (steps - 1) * EPOCH);
        assert_int_equal(stats_of(rig.rt).turns, steps * EPOCH);
    }
    tell(&rig, "mem.settle.under_way", 0);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(stored_counter_of(rig.rt, sf_addr(SPEAKER, "a")).messages, SENT);
    rig_close(&rig);
}

/* Sends to ever new actors until the inbox is full. */
static void fill(struct rig *rig, uint64_t *next)
{
    int64_t rc;
    do {
        uint64_t id = *next;
        rc = sf_send(rig->rt, (sf_address){SPEAKER, SF_OF(id)}, "say", SF_OF((uint64_t){1}));
        *next += rc > 0;
    } while (rc > 0);
    assert_int_equal(rc, SF_EAGAIN);
}

/* Blocks that were not freed, at most. */
static uint64_t most_live(struct rig *rig, uint64_t *next, int steps)
{
    uint64_t most = 0;
    for (int i = 0; i < steps; i++) {
        fill(rig, next);
        OK(sf_step(rig->rt, 0));
        assert_in_range(stats_of(rig->rt).actors, 0, 3 * 8);
        most = rig->machine.live > most ? rig->machine.live : most;
    }
    return most;
}

static void memory_stays_bounded_on_a_slow_disk(void **state)
{
    struct rig rig;
    uint64_t next = 1;
    rig_open(&rig, *state,
             (sf_options)SF_OPTIONS(.epoch_turns_max = 8, .cache_bytes_max = 1,
                                    .inbox_bytes_max = 4096, .mailbox_bytes_max = 4096));
    tell(&rig, "mem.settle.under_way", ALWAYS);
    uint64_t at_first = most_live(&rig, &next, 100), later = most_live(&rig, &next, 1000);
    assert_true(next > 1000);
    assert_in_range(later, 1, at_first + 4);
    tell(&rig, "mem.settle.under_way", 0);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(stats_of(rig.rt).turns, next - 1);
    rig_close(&rig);
}

/* -- who waits for it -------------------------------------------------------------------------- */

static void only_a_commit_under_way_is_looked_for_each_millisecond(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    assert_int_equal(sf_timeout_ms(rig.rt), -1);
    struct tell *under_way = tell(&rig, "mem.settle.under_way", ALWAYS);
    say(rig.rt, 1);
    assert_int_equal(sf_timeout_ms(rig.rt), 0);
    OK(sf_step(rig.rt, 0));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sf_timeout_ms(rig.rt), 1);
        OK(sf_step(rig.rt, 0));
    }
    say(rig.rt, 2);
    assert_int_equal(sf_timeout_ms(rig.rt), 0); /* there is more than that */
    OK(sf_step(rig.rt, 0));
    under_way->times = 0;
    OK(sf_step(rig.rt, 0));
    OK(sf_step(rig.rt, 0));
    assert_int_equal(sf_timeout_ms(rig.rt), -1);
    rig_close(&rig);
}

static void running_until_idle_and_waiting_end_when_the_commit_does(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    for (int round = 0; round < 2; round++) {
        struct tell *under_way = tell(&rig, "mem.settle.under_way", 20);
        for (int i = 0; i < 200; i++) /* too many for a commit that is waited for */
            say(rig.rt, 1);
        OK(round ? sf_wait(rig.rt, 0, 10000) : sf_run_until_idle(rig.rt));
        assert_int_equal(under_way->times, 0);
        assert_int_equal(sf_durable(rig.rt), (round + 1) * 200);
    }
    OK(sf_run_until_idle(rig.rt));
    tell(&rig, "mem.settle.under_way", ALWAYS);
    OK(sf_wait(rig.rt, say(rig.rt, 1), 0)); /* a small one, which the caller commits itself */
    OK(sf_step(rig.rt, 0));
    for (int i = 0; i < 200; i++)
        say(rig.rt, 1);
    rig.machine.sys.mono_ns = sfi_sys_default()->mono_ns; /* time passes */
    REFUSED(sf_wait(rig.rt, 0, 20), SF_ETIMEOUT);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(turns_run_while_a_commit_is_under_way_and_nothing_leaves_early),
        TEST(an_answer_waits_for_the_epochs_before_its_own),
        TEST(a_full_epoch_waits_for_the_one_under_way),
        TEST(memory_stays_bounded_on_a_slow_disk),
        TEST(only_a_commit_under_way_is_looked_for_each_millisecond),
        TEST(running_until_idle_and_waiting_end_when_the_commit_does),
    };
    return cmocka_run_group_tests_name("two epochs", tests, NULL, NULL);
}
