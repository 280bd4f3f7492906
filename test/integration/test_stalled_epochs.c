/* test_stalled_epochs.c - what two epochs are worth while the disk refuses the first one.
 *
 * On the store in memory; what a real disk refuses is in test_stalls.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

#include "support/rig.h"

/* Epoch 1 is sealed and stalls at `point`; epoch 2 has turns already. */
static int64_t stall(struct rig *rig, const char *point)
{
    struct tell *under_way = tell(rig, "mem.settle.under_way", ALWAYS);
    one_of_each(rig, 1);
    OK(sf_step(rig->rt, 0));
    int64_t ticket = one_of_each(rig, 2);
    assert_int_equal(OK(sf_step(rig->rt, 0)), 3);
    under_way->times = 0;
    tell(rig, point, ALWAYS);
    for (int i = 0; i < 3; i++) {
        ticket = say(rig->rt, 30 + (uint64_t)i); /* taken in later */
        REFUSED(sf_step(rig->rt, 0), SF_EDISK);
        SAYS(point);
    }
    REFUSED(sf_run_until_idle(rig->rt), SF_EDISK);
    assert_int_equal(stats_of(rig->rt).turns, 6); /* no turn runs */
    came(rig, "");
    assert_int_equal(sf_source_position(rig->source), 0);
    return ticket;
}

static void a_stall_keeps_both_epochs(void **state)
{
    static const char *const points[] = {"mem.settle.before", "mem.settle.after"};
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
        int64_t ticket = stall(&rig, points[i]);
        REFUSED(sf_wait(rig.rt, ticket, 10), SF_EDISK);
        SAYS(points[i]);
        tell(&rig, points[i], 0);
        machine_advance_ms(&rig.machine, 2000);
        OK(sf_run_until_idle(rig.rt));
        came(&rig, "done 3=0 done 6=0 answer 12 answer 22 egress 1=11 egress 2=12 egress 3=13 "
                   "egress 4=21 egress 5=22 egress 6=23 egress 7=30 egress 8=31 egress 9=32 ");
        assert_int_equal(sf_durable(rig.rt), ticket);
        assert_int_equal(sf_source_position(rig.source), 2);
        struct counter counter = stored_counter_of(rig.rt, sf_addr(SPEAKER, "a"));
        assert_int_equal(counter.messages, 9);
        assert_int_equal(counter.total, 11 + 12 + 13 + 21 + 22 + 23 + 30 + 31 + 32);
        rig_close(&rig);
    }
}

/* What was said to have failed may be on disk all the same: then all of it. */
static void after_a_crash_in_a_stall_an_epoch_is_there_or_not(void **state)
{
    static const char *const points[] = {"mem.settle.before", "mem.settle.after"};
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
        stall(&rig, points[i]);
        rig_crash(&rig);
        rig_start(&rig);
        OK(sf_run_until_idle(rig.rt));
        assert_int_equal(sf_source_position(rig.source), i);
        struct counter counter = stored_counter_of(rig.rt, sf_addr(SPEAKER, "a"));
        assert_int_equal(counter.messages, i * 3);
        came(&rig, i ? "egress 1=11 egress 2=12 egress 3=13 " : "");
        rig_close(&rig);
    }
}

struct sleeper {
    sf_runtime *rt;
    int64_t ticket;
    int rc;
    char why[200];
};

static void *wait_and_tell(void *arg)
{
    struct sleeper *sleeper = arg;
    sleeper->rc = sf_wait(sleeper->rt, sleeper->ticket, 60);
    snprintf(sleeper->why, sizeof sleeper->why, "%.199s", sf_errmsg());
    return NULL;
}

static void who_waits_elsewhere_with_a_limit_is_told_of_the_stall(void **state)
{
    struct rig rig;
    struct sleeper sleeper = {.rc = 1};
    pthread_t thread;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    rig.machine.sys.mono_ns = sfi_sys_default()->mono_ns;
    sleeper.ticket = stall(&rig, "mem.settle.before");
    sleeper.rt = rig.rt;
    assert_int_equal(pthread_create(&thread, NULL, wait_and_tell, &sleeper), 0);
    pthread_join(thread, NULL);
    assert_int_equal(sleeper.rc, SF_EDISK);
    HAS(sleeper.why, "mem.settle.before");
    tell(&rig, "mem.settle.before", 0);
    OK(sf_run_until_idle(rig.rt));
    OK(sf_wait(rig.rt, sleeper.ticket, 0));
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stall_keeps_both_epochs),
        TEST(after_a_crash_in_a_stall_an_epoch_is_there_or_not),
        TEST(who_waits_elsewhere_with_a_limit_is_told_of_the_stall),
    };
    return cmocka_run_group_tests_name("stalled epochs", tests, NULL, NULL);
}
