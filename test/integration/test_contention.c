/* test_contention.c - every function that any thread may call, called by some at once while another thread steps,
 * registers and commits.
 *
 * Little is asserted: it is the thread sanitizer that sees whether what they share is guarded. */
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

enum { ROUNDS = 200, TYPES = 100 };

static int work(sf_turn *turn)
{
    const sf_message *message = sf_msg(turn);
    if (sf_is(message, "fail"))
        return sf_reject(turn, "never");
    if (sf_is(message, "emit"))
        sf_emit(turn, "out", "record", SF_BYTES("record", 6));
    return sf_reply(turn, "done", SF_NONE);
}

static const sf_type busy_type = SF_TYPE("test/busy", .handler = work, .waiting_max = 50);

static int take_later(const sf_message *const *records, size_t count, void *userdata)
{
    (void)records, (void)count, (void)userdata;
    return SF_LATER;
}

struct crowd {
    sf_runtime *rt;
    atomic_int running;
    atomic_int bad;
};

static void on_answer(int result, const sf_message *reply, void *userdata)
{
    (void)result, (void)reply, (void)userdata;
}

static void on_done(int result, int64_t ticket, void *userdata)
{
    (void)result, (void)ticket, (void)userdata;
}

/* Refused for want of room, or since there is no such thing yet: that is as good. */
static int64_t expected(struct crowd *crowd, int64_t rc)
{
    if (rc < 0 && rc != SF_EAGAIN && rc != SF_ENOTFOUND && rc != SF_EINVAL && rc != SF_EBUSY &&
        rc != SF_ETIMEOUT && rc != SF_EFAILED)
        atomic_fetch_add(&crowd->bad, 1);
    return rc;
}

/* -- one function each, again and again ----------------------------------------------------------- */

/* A thread that took the same lock for something else would be ordered by that, and a lock that is missing here would
 * not show: so each thread calls one function, and what that needs it has before. */
struct caller {
    struct crowd *crowd;
    sf_source *source;
    sf_view *view;
    void (*call)(struct caller *caller, int round);
};

static sf_address somebody(int round)
{
    static const char *const ids[] = {"a", "b", "c", "d"};
    return sf_addr("test/busy", ids[round % 4]);
}

static void send(struct caller *caller, int round)
{
    static const char *const kinds[] = {"say", "emit", "fail"};
    expected(caller->crowd, sf_send(caller->crowd->rt, somebody(round), kinds[round % 3], SF_NONE));
}

static void send_to_new(struct caller *caller, int round)
{
    char type[40];
    snprintf(type, sizeof type, "test/new%d", round % TYPES);
    expected(caller->crowd, sf_send(caller->crowd->rt, sf_addr(type, "a"), "say", SF_NONE));
}

static void ask_then(struct caller *caller, int round)
{
    expected(caller->crowd, sf_ask_then(caller->crowd->rt, somebody(round), "say", SF_NONE,
                                        round % 5, on_answer, caller));
}

static void ask(struct caller *caller, int round)
{
    sf_message *answer = NULL;
    if (expected(caller->crowd,
                 sf_ask(caller->crowd->rt, somebody(round), "say", SF_NONE, 2, &answer)) == 0)
        sf_message_free(answer);
}

static void then(struct caller *caller, int round)
{
    expected(caller->crowd, sf_then(caller->crowd->rt, 1 + round, on_done, caller));
}

static void wait_durable(struct caller *caller, int round)
{
    expected(caller->crowd, sf_wait(caller->crowd->rt, round % 2, 1));
}

static void wait_room(struct caller *caller, int round)
{
    (void)round;
    expected(caller->crowd, sf_wait_room(caller->crowd->rt, 1));
}

static void acknowledge(struct caller *caller, int round)
{
    expected(caller->crowd, sf_egress_ack(caller->crowd->rt, "out", (uint64_t)round / 8));
}

static void pause_and_resume(struct caller *caller, int round)
{
    sf_runtime *rt = caller->crowd->rt;
    expected(caller->crowd, round % 2 ? sf_resume(rt, somebody(round / 2))
                                      : sf_pause(rt, somebody(round / 2), "stop"));
}

static void purge(struct caller *caller, int round)
{
    expected(caller->crowd, sf_purge(caller->crowd->rt, somebody(round)));
}

static void operate_dead(struct caller *caller, int round)
{
    sf_runtime *rt = caller->crowd->rt;
    expected(caller->crowd, round % 2 ? sf_dead_drop(rt, (uint64_t)round / 2 + 1)
                                      : sf_dead_resend(rt, (uint64_t)round / 2 + 1));
}

static void get_stats(struct caller *caller, int round)
{
    sf_stats stats = {.size = sizeof stats};
    (void)round;
    expected(caller->crowd, sf_stats_get(caller->crowd->rt, &stats));
}

static void get_timeout(struct caller *caller, int round)
{
    (void)round;
    (void)sf_timeout_ms(caller->crowd->rt);
    expected(caller->crowd, sf_durable(caller->crowd->rt));
}

static void open_view(struct caller *caller, int round)
{
    sf_view *view = NULL;
    (void)round;
    if (expected(caller->crowd, sf_view_open(caller->crowd->rt, &view)) == 0)
        sf_view_close(view);
}

static void read_state(struct caller *caller, int round)
{
    (void)sf_view_state(caller->view, round % 2 ? somebody(round) : sf_addr("test/new30", "a"));
}

static void read_dead(struct caller *caller, int round)
{
    (void)sf_view_dead(caller->view, (uint64_t)round / 10);
}

static void open_source(struct caller *caller, int round)
{
    sf_source *source = NULL;
    if (expected(caller->crowd, sf_source_open(caller->crowd->rt, "new", (uint32_t)round, &source)) == 0)
        sf_source_close(source);
}

static void stage(struct caller *caller, int round)
{
    expected(caller->crowd, sf_source_send(caller->source, somebody(round), "say", SF_NONE));
}

static void advance(struct caller *caller, int round)
{
    expected(caller->crowd, sf_source_advance(caller->source, (uint64_t)round + 1));
}

/* It rises while this thread only looks. */
static void get_position(struct caller *caller, int round)
{
    if (round % 20 == 0)
        advance(caller, round);
    (void)sf_source_position(caller->source);
}

static void (*const calls[])(struct caller *caller, int round) = {
    send, send_to_new, ask_then, ask, then, wait_durable, wait_room, acknowledge, pause_and_resume,
    purge, operate_dead, get_stats, get_timeout, open_view, read_state, read_dead, open_source,
    stage, advance, get_position};

static void *run_one(void *arg)
{
    struct caller *caller = arg;
    for (int round = 0; round < ROUNDS; round++) {
        caller->call(caller, round);
        usleep(50);
    }
    atomic_fetch_sub(&caller->crowd->running, 1);
    return NULL;
}

/* What only the thread that drives may do, meanwhile. */
static void drive(struct crowd *crowd)
{
    static sf_type types[TYPES];
    static char names[TYPES][40];
    for (int step = 0; atomic_load(&crowd->running); step++) {
        int rc = sf_step(crowd->rt, 20);
        expected(crowd, rc);
        if (step % 2 || step / 2 >= TYPES)
            continue;
        snprintf(names[step / 2], sizeof names[0], "test/new%d", step / 2);
        types[step / 2] = (sf_type)SF_TYPE(names[step / 2], .handler = work);
        expected(crowd, sf_register(crowd->rt, &types[step / 2], NULL));
        expected(crowd, sf_egress_register(crowd->rt, names[step / 2], take_later, NULL));
    }
}

enum { CALLS = sizeof calls / sizeof *calls };

static void whatever_threads_share_is_guarded(void **state)
{
    pthread_t threads[CALLS];
    struct caller callers[CALLS];
    struct crowd crowd = {.rt = place_open(*state), .running = CALLS};
    OK(sf_register(crowd.rt, &busy_type, NULL));
    OK(sf_egress_register(crowd.rt, "out", take_later, NULL));
    for (uint32_t i = 0; i < CALLS; i++) {
        callers[i] = (struct caller){.crowd = &crowd, .call = calls[i]};
        OK(sf_source_open(crowd.rt, "input", i, &callers[i].source));
        OK(sf_view_open(crowd.rt, &callers[i].view));
    }
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_one, &callers[i]), 0);
    drive(&crowd);
    for (int i = 0; i < CALLS; i++) {
        pthread_join(threads[i], NULL);
        sf_source_close(callers[i].source);
        sf_view_close(callers[i].view);
    }
    assert_int_equal(atomic_load(&crowd.bad), 0);
    OK(sf_run_until_idle(crowd.rt));
    OK(sf_runtime_close(crowd.rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(whatever_threads_share_is_guarded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
