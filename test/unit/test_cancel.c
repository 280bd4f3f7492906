/* test_cancel.c - threads that are cancelled inside the library, at many moments: nobody hangs, nothing is
 * lost.  In children with a time limit, since a lock that died would hang the test. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "support/support.h"

enum { MOMENTS = 25, LIMIT_S = 100, SOON_MS = 600 };

static int answer(sf_turn *turn)
{
    return sf_is(sf_msg(turn), "silence") ? 0 : sf_reply(turn, "here", SF_NONE);
}

static const sf_type answerer = SF_TYPE("test/answerer", .handler = answer);

static sf_address to_answerer(void)
{
    return sf_addr("test/answerer", "a");
}

static void nothing_done(int result, int64_t ticket, void *userdata)
{
    (void)result, (void)ticket, (void)userdata;
}

static void nothing_answered(int result, const sf_message *reply, void *userdata)
{
    (void)result, (void)reply, (void)userdata;
}

static void call_send(sf_runtime *rt)
{
    (void)!sf_send(rt, to_answerer(), "x", SF_NONE);
}

static void call_wait(sf_runtime *rt)
{
    (void)!sf_wait(rt, sf_send(rt, to_answerer(), "x", SF_NONE), -1);
}

static void call_ask(sf_runtime *rt)
{
    sf_message *reply = NULL;
    if (sf_ask(rt, to_answerer(), "x", SF_NONE, -1, &reply) == 0)
        sf_message_free(reply);
}

static void call_ask_in_vain(sf_runtime *rt)
{
    sf_message *reply = NULL;
    (void)!sf_ask(rt, to_answerer(), "silence", SF_NONE, -1, &reply);
}

static void call_wait_room(sf_runtime *rt)
{
    (void)!sf_wait_room(rt, -1);
}

static void call_step(sf_runtime *rt)
{
    (void)!sf_send(rt, to_answerer(), "x", SF_NONE);
    (void)!sf_step(rt, 0);
}

static void call_run(sf_runtime *rt)
{
    (void)!sf_send(rt, to_answerer(), "x", SF_NONE);
    (void)!sf_run_for(rt, 10000);
}

static void call_then(sf_runtime *rt)
{
    (void)!sf_then(rt, sf_send(rt, to_answerer(), "x", SF_NONE), nothing_done, rt);
    (void)!sf_ask_then(rt, to_answerer(), "x", SF_NONE, 10, nothing_answered, rt);
}

static void call_view(sf_runtime *rt)
{
    sf_view *view = NULL;
    if (sf_view_open(rt, &view) == 0)
        sf_view_close(view);
}

static void (*const calls[])(sf_runtime *) = {
    call_send, call_wait, call_ask,  call_ask_in_vain, call_wait_room,
    call_step, call_run,  call_then, call_view};

enum { CALLS = sizeof calls / sizeof calls[0] };

struct victim {
    sf_runtime *rt;
    int call;
    int is_cancelled_before; /* it is pending when the call begins */
    pthread_t thread;
};

static void *call_again_and_again(void *arg)
{
    struct victim *victim = arg;
    if (victim->is_cancelled_before)
        pthread_cancel(pthread_self());
    for (;;) {
        calls[victim->call](victim->rt);
        pthread_testcancel();
    }
    return NULL;
}

/* Everybody else goes on. */
static int still_works(sf_runtime *rt)
{
    sf_message *reply = NULL;
    int rc = sf_ask(rt, to_answerer(), "x", SF_NONE, 20000, &reply);
    sf_message_free(reply);
    return rc < 0 ? rc : sf_wait(rt, 0, 20000);
}

static int cancel_at(sf_runtime *rt, int call, int moment)
{
    struct victim victim = {.rt = rt, .call = call, .is_cancelled_before = moment == 0};
    void *result = NULL;
    if (pthread_create(&victim.thread, NULL, call_again_and_again, &victim) != 0)
        return 1;
    if (moment) {
        usleep((useconds_t)((moment * 37) % 1500));
        pthread_cancel(victim.thread);
    }
    pthread_join(victim.thread, &result);
    return result == PTHREAD_CANCELED ? 0 : 2;
}

struct course {
    struct place *place;
    int has_thread;
};

static int cancel_everywhere(void *arg)
{
    struct course *course = arg;
    sf_options options = SF_OPTIONS(.inbox_ms_max = HOUR_MS, .relaxed = 1,
                                    .store_bytes_max = 1 << 28); /* many commits */
    sf_runtime *rt = NULL;
    alarm(LIMIT_S);
    if (sf_runtime_open(course->place->db, &options, &rt) < 0 ||
        sf_register(rt, &answerer, NULL) < 0 || (course->has_thread && sf_runtime_start(rt) < 0))
        return 10;
    for (int moment = 0; moment < MOMENTS; moment++)
        for (int call = 0; call < CALLS; call++)
            if (cancel_at(rt, call, moment) != 0 || still_works(rt) < 0) {
                fprintf(stderr, "call %d, moment %d: %s\n", call, moment, sf_errmsg());
                return 11;
            }
    return sf_runtime_close(rt) < 0 ? 12 : 0;
}

static void a_thread_cancelled_at_any_moment_hangs_nobody(void **state)
{
    struct course course = {.place = *state};
    assert_int_equal(in_child(cancel_everywhere, &course), 0);
}

static void nor_beside_a_thread_of_ours(void **state)
{
    struct course course = {.place = *state, .has_thread = 1};
    assert_int_equal(in_child(cancel_everywhere, &course), 0);
}

static int cancel_a_sleeper(void *arg)
{
    struct course *course = arg;
    sf_runtime *rt = NULL;
    alarm(LIMIT_S);
    if (sf_runtime_open(course->place->db, defaults(), &rt) < 0 ||
        sf_register(rt, &answerer, NULL) < 0 || (course->has_thread && sf_runtime_start(rt) < 0))
        return 10;
    for (int i = 0; i < 10; i++) {
        struct victim victim = {.rt = rt, .call = 3};
        if (pthread_create(&victim.thread, NULL, call_again_and_again, &victim) != 0)
            return 11;
        usleep(20000);
        uint64_t cancelled_ms = mono_ms();
        pthread_cancel(victim.thread);
        pthread_join(victim.thread, NULL);
        if (mono_ms() - cancelled_ms > SOON_MS || still_works(rt) < 0)
            return 12;
    }
    return sf_runtime_close(rt) < 0 ? 13 : 0;
}

/* Not when the fallback comes: see test_wait.c. */
static void a_thread_that_sleeps_is_cancelled_at_once(void **state)
{
    for (int has_thread = 0; has_thread < 2; has_thread++) {
        struct course course = {.place = *state, .has_thread = has_thread};
        assert_int_equal(in_child(cancel_a_sleeper, &course), 0);
    }
}

/* One on duty that is cancelled hands the duty on. */
static int cancel_who_is_on_duty(void *arg)
{
    struct course *course = arg;
    sf_runtime *rt = NULL;
    alarm(LIMIT_S);
    if (sf_runtime_open(course->place->db, defaults(), &rt) < 0 ||
        sf_register(rt, &answerer, NULL) < 0)
        return 10;
    struct victim on_duty = {.rt = rt, .call = 3}, other = {.rt = rt, .call = 3};
    if (pthread_create(&on_duty.thread, NULL, call_again_and_again, &on_duty) != 0)
        return 11;
    usleep(20000);
    if (pthread_create(&other.thread, NULL, call_again_and_again, &other) != 0)
        return 12;
    usleep(50000);
    pthread_cancel(on_duty.thread);
    pthread_join(on_duty.thread, NULL);
    int64_t ticket = sf_send(rt, to_answerer(), "x", SF_NONE);
    uint64_t sent_ms = mono_ms();
    while (sf_durable(rt) < ticket && mono_ms() - sent_ms < SOON_MS)
        usleep(1000);
    int late = sf_durable(rt) < ticket;
    pthread_cancel(other.thread);
    pthread_join(other.thread, NULL);
    return late ? 13 : sf_runtime_close(rt) < 0 ? 14 : 0;
}

static void who_is_cancelled_on_duty_hands_it_on(void **state)
{
    struct course course = {.place = *state};
    assert_int_equal(in_child(cancel_who_is_on_duty, &course), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_thread_cancelled_at_any_moment_hangs_nobody),
        TEST(nor_beside_a_thread_of_ours),
        TEST(a_thread_that_sleeps_is_cancelled_at_once),
        TEST(who_is_cancelled_on_duty_hands_it_on),
    };
    return cmocka_run_group_tests_name("cancel", tests, NULL, NULL);
}
