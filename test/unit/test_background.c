/* test_background.c - driving on the library's thread: it starts, stops, and nobody else drives meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "support/rig.h"

static sf_runtime *open_counters(const struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &counter_type, NULL));
    return rt;
}

static void the_background_thread_drives_and_stops(void **state)
{
    sf_runtime *rt = open_counters(*state);
    OK(sf_runtime_start(rt));
    REFUSED(sf_runtime_start(rt), SF_EBUSY);
    for (int i = 0; i < 100; i++)
        OK(sf_wait(rt, counter_add(rt, "a", 1), 10000));
    REFUSED(sf_step(rt, 0), SF_EBUSY);
    REFUSED(sf_run_until_idle(rt), SF_EBUSY);
    sf_message *reply = NULL;
    OK(sf_ask(rt, sf_addr("test/counter", "a"), "get", SF_NONE, 10000, &reply));
    assert_int_equal(((const struct counter *)reply->body.data)->total, 100);
    sf_message_free(reply);
    OK(sf_runtime_stop(rt));
    counter_add(rt, "a", 1);
    OK(sf_run_until_idle(rt)); /* ours again */
    assert_int_equal(counter_stored(rt, "a").total, 101);
    OK(sf_runtime_start(rt));
    OK(sf_wait(rt, counter_add(rt, "a", 1), 10000));
    OK(sf_runtime_close(rt)); /* stops it, too */
    rt = open_counters(*state);
    assert_int_equal(counter_stored(rt, "a").total, 102);
    OK(sf_runtime_close(rt));
}

static void stopping_what_does_not_run_is_harmless(void **state)
{
    sf_runtime *rt = open_counters(*state);
    (void)sf_runtime_stop(rt);
    counter_add(rt, "a", 1);
    OK(sf_run_until_idle(rt));
    for (int i = 0; i < 20; i++) {
        OK(sf_runtime_start(rt));
        OK(sf_runtime_stop(rt));
    }
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));
}

static int no_thread(void *ctx, const char *name, void *(*run)(void *), void *arg,
                     uintptr_t *out_thread)
{
    (void)ctx, (void)name, (void)run, (void)arg, (void)out_thread;
    return -1;
}

static void without_a_thread_the_caller_still_drives(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    rig.machine.sys.thread_start = no_thread;
    REFUSED(sf_runtime_start(rig.rt), SF_ENOMEM);
    SAYS("thread");
    say(rig.rt, 1);
    OK(sf_run_until_idle(rig.rt));
    OK(sf_wait(rig.rt, say(rig.rt, 1), 10000));
    OK(sf_runtime_stop(rig.rt));
    rig.machine.sys.thread_start = sfi_sys_default()->thread_start;
    OK(sf_runtime_start(rig.rt));
    OK(sf_wait(rig.rt, say(rig.rt, 1), 10000));
    OK(sf_runtime_stop(rig.rt));
    rig_close(&rig);
}

struct seen {
    pthread_t thread;
    int count;
};

static int see_thread(sf_turn *turn)
{
    struct seen *seen = sf_userdata(turn);
    seen->thread = pthread_self();
    seen->count++;
    return sf_reply(turn, "seen", SF_NONE);
}

static const sf_type seer = SF_TYPE("test/seer", .handler = see_thread);

/* Waiting threads do not drive meanwhile. */
static void while_it_runs_all_handlers_run_there(void **state)
{
    struct seen seen = {.count = 0};
    sf_runtime *rt = open_counters(*state);
    OK(sf_register(rt, &seer, &seen));
    OK(sf_runtime_start(rt));
    for (int i = 1; i <= 50; i++) {
        sf_message *reply = NULL;
        OK(sf_ask(rt, sf_addr("test/seer", "s"), "x", SF_NONE, 10000, &reply));
        sf_message_free(reply);
        assert_int_equal(seen.count, i);
        assert_false(pthread_equal(seen.thread, pthread_self()));
    }
    OK(sf_runtime_stop(rt));
    OK(sf_wait(rt, OK(sf_send(rt, sf_addr("test/seer", "s"), "x", SF_NONE)), 10000));
    assert_true(pthread_equal(seen.thread, pthread_self()));
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_background_thread_drives_and_stops),
        TEST(stopping_what_does_not_run_is_harmless),
        TEST(without_a_thread_the_caller_still_drives),
        TEST(while_it_runs_all_handlers_run_there),
    };
    return cmocka_run_group_tests_name("background", tests, NULL, NULL);
}
