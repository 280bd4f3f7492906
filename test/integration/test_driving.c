/* test_driving.c - by a host's own loop, by hand, or by waiting. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "support/support.h"

static sf_runtime *open_counters(const struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &counter_type, NULL));
    return rt;
}

static int is_readable(sf_runtime *rt, int wait_ms)
{
    struct pollfd poller = {.fd = sf_fd(rt), .events = POLLIN};
    return poll(&poller, 1, wait_ms);
}

/* -- a host's own loop ------------------------------------------------------------------------- */

static void the_descriptor_is_readable_exactly_while_there_is_something_to_do(void **state)
{
    sf_runtime *rt = open_counters(*state);
    OK(sf_run_until_idle(rt));
    assert_true(sf_fd(rt) >= 0);
    assert_int_equal(is_readable(rt, 0), 0);
    assert_int_equal(sf_timeout_ms(rt), -1);
    for (int i = 0; i < 3; i++) {
        counter_add(rt, "a", 1);
        assert_int_equal(is_readable(rt, 0), 1);
        assert_int_equal(sf_timeout_ms(rt), 0);
        assert_int_equal(is_readable(rt, 0), 1); /* level-triggered: still */
        OK(sf_run_until_idle(rt));
        assert_int_equal(is_readable(rt, 0), 0);
        assert_int_equal(sf_timeout_ms(rt), -1);
    }
    OK(sf_runtime_close(rt));
}

static int fail_always(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    place->count++;
    return sf_fail(turn, "as always");
}

static const sf_type pausing = SF_TYPE("test/pausing", .handler = fail_always, .attempts_max = 2,
                                       .backoff_ms = 50);

static void a_due_pause_makes_the_descriptor_readable(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &pausing, place));
    OK(sf_send(rt, sf_addr("test/pausing", "a"), "x", SF_NONE));
    OK(sf_run_until_idle(rt));
    if (place->count == 1) { /* else the machine took 50 ms for that */
        assert_in_range(sf_timeout_ms(rt), 0, 56);
        assert_int_equal(is_readable(rt, 5000), 1);
        OK(sf_run_until_idle(rt));
    }
    assert_int_equal(place->count, 2);
    assert_int_equal(is_readable(rt, 0), 0);
    OK(sf_runtime_close(rt));
}

struct answers {
    int count, wrong;
};

static void count_answer(int result, const sf_message *reply, void *userdata)
{
    struct answers *answers = userdata;
    answers->count++;
    if (result < 0 || !sf_is(reply, "total"))
        answers->wrong++;
}

/* Beside a pipe of the host's, which keeps being served. */
static void a_host_embeds_it_in_an_epoll_loop(void **state)
{
    sf_runtime *rt = open_counters(*state);
    struct answers answers = {0};
    int pipes[2], served = 0, asked = 0;
    char byte = 'x';
    assert_int_equal(pipe(pipes), 0);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = sf_fd(rt)};
    assert_int_equal(epoll_ctl(loop, EPOLL_CTL_ADD, sf_fd(rt), &event), 0);
    event.data.fd = pipes[0];
    assert_int_equal(epoll_ctl(loop, EPOLL_CTL_ADD, pipes[0], &event), 0);
    assert_int_equal(write(pipes[1], &byte, 1), 1);
    while (answers.count < 100) {
        int n = epoll_wait(loop, &event, 1, 10000);
        assert_int_equal(n, 1); /* else it waits for ever */
        if (event.data.fd == sf_fd(rt)) {
            OK(sf_step(rt, 0));
            continue;
        }
        served++;
        assert_int_equal(read(pipes[0], &byte, 1), 1);
        if (asked++ < 100)
            OK(sf_ask_then(rt, sf_addr("test/counter", "a"), "get", SF_NONE, -1, count_answer, &answers));
        assert_int_equal(write(pipes[1], &byte, 1), 1);
    }
    assert_int_equal(answers.wrong, 0);
    assert_true(served >= 100);
    close(loop);
    close(pipes[0]);
    close(pipes[1]);
    OK(sf_runtime_close(rt));
}

/* For loops without descriptors: timeout and step are enough. */
static void timeout_and_step_alone_are_enough(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_counters(place);
    uint64_t end = mono_ms() + 10000;
    OK(sf_register(rt, &pausing, place));
    OK(sf_send(rt, sf_addr("test/pausing", "a"), "x", SF_NONE));
    counter_add(rt, "a", 1);
    for (int due_ms; (due_ms = sf_timeout_ms(rt)) >= 0 && mono_ms() < end;) {
        if (due_ms > 0)
            usleep((useconds_t)due_ms * 1000);
        OK(sf_step(rt, 0));
    }
    assert_int_equal(place->count, 2);
    assert_int_equal(counter_stored(rt, "a").total, 1);
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    OK(sf_runtime_close(rt));
}

/* -- by hand ----------------------------------------------------------------------------------- */

static void a_step_runs_at_most_so_many_turns(void **state)
{
    sf_runtime *rt = open_counters(*state);
    for (int i = 0; i < 25; i++)
        counter_add(rt, "a", 1);
    int turns = 0, steps = 0;
    while (turns < 25) {
        int ran = (int)OK(sf_step(rt, 10));
        assert_in_range(ran, 0, 10);
        turns += ran;
        assert_true(++steps < 100);
    }
    assert_int_equal(turns, 25);
    drive_until_quiet(rt);
    assert_int_equal(OK(sf_step(rt, 0)), 0);
    assert_int_equal(counter_stored(rt, "a").total, 25);
    assert_true(sf_step(rt, -1) == SF_EINVAL || sf_step(rt, -1) == 0);
    OK(sf_runtime_close(rt));
}

static void an_idle_runtime_commits_nothing(void **state)
{
    sf_runtime *rt = open_counters(*state);
    counter_add(rt, "a", 1);
    drive_until_quiet(rt);
    uint64_t epochs = stats_of(rt).epochs;
    assert_true(epochs >= 1);
    for (int i = 0; i < 50; i++)
        OK(sf_step(rt, 0));
    assert_int_equal(stats_of(rt).epochs, epochs);
    OK(sf_runtime_close(rt));
}

/* Group commit: many messages, few epochs. */
static void what_waits_together_commits_together(void **state)
{
    sf_runtime *rt = open_counters(*state);
    for (int i = 0; i < 10000; i++)
        counter_add(rt, i % 2 ? "a" : "b", 1);
    drive_until_quiet(rt);
    assert_int_equal(stats_of(rt).turns, 10000);
    assert_true(stats_of(rt).epochs < 20);
    OK(sf_runtime_close(rt));
}

static void stats_count_what_happened(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_stats none = stats_of(rt);
    assert_int_equal(none.turns + none.turns_failed + none.dead_letters + none.messages_waiting, 0);
    counter_add(rt, "a", 1);
    counter_add(rt, "b", 1);
    OK(sf_send(rt, sf_addr("test/counter", "c"), "fail", sf_str("three times")));
    OK(sf_send(rt, sf_addr("test/counter", "c"), "reject", sf_str("once")));
    drive_until_quiet(rt);
    sf_stats stats = stats_of(rt);
    assert_int_equal(stats.turns, 2);
    assert_int_equal(stats.turns_failed, 4);
    assert_int_equal(stats.dead_letters, 2);
    assert_int_equal(stats.messages_waiting, 0);
    assert_in_range(stats.actors, 0, 3);
    assert_true(stats.epochs >= 1);
    OK(sf_runtime_close(rt));

    struct { /* a caller of an older version, with a shorter struct */
        size_t size;
        uint64_t epochs, turns, canary;
    } older = {.size = sizeof(size_t) + 16, .canary = 42};
    rt = open_counters(*state);
    counter_add(rt, "a", 1);
    drive_until_quiet(rt);
    int rc = sf_stats_get(rt, (sf_stats *)&older);
    assert_true(rc == 0 || rc == SF_EINVAL);
    if (rc == 0)
        assert_int_equal(older.turns, 1);
    assert_int_equal(older.canary, 42);
    none.size = 0;
    REFUSED(sf_stats_get(rt, &none), SF_EINVAL);
    OK(sf_runtime_close(rt));
}

static int tell_oneself(sf_turn *turn)
{
    return sf_tell(turn, sf_self(turn), "again", SF_NONE);
}

static const sf_type restless = SF_TYPE("test/restless", .handler = tell_oneself);

static void running_until_idle_ends_in_time_when_messages_beget_messages(void **state)
{
    sf_runtime *rt = open_counters(*state);
    OK(sf_register(rt, &restless, NULL));
    OK(sf_run_for(rt, 10000));
    OK(sf_send(rt, sf_addr("test/restless", "r"), "again", SF_NONE));
    uint64_t begun = mono_ms();
    REFUSED(sf_run_for(rt, 0), SF_ETIMEOUT);
    REFUSED(sf_run_for(rt, 100), SF_ETIMEOUT);
    SAYS("idle");
    assert_in_range(mono_ms() - begun, 100, 20000);
    assert_true(stats_of(rt).turns > 2);
    OK(sf_runtime_close(rt));
}

/* -- by waiting ------------------------------------------------------------------------------- */

struct asked {
    sf_runtime *rt;
    int rc;
    uint64_t total;
    _Atomic int finished;
};

static void *ask_elsewhere(void *arg)
{
    struct asked *asked = arg;
    sf_message *reply = NULL;
    asked->rc = sf_ask(asked->rt, sf_addr("test/counter", "a"), "get", SF_NONE, 10000, &reply);
    if (asked->rc == 0)
        asked->total = ((const struct counter *)reply->body.data)->total;
    sf_message_free(reply);
    atomic_store(&asked->finished, 1);
    return NULL;
}

/* The thread that waits is not the one that drives: it sleeps, and the driver's steps answer it. */
static void another_thread_waits_while_this_one_drives(void **state)
{
    sf_runtime *rt = open_counters(*state);
    struct asked asked = {.rt = rt, .rc = 1};
    pthread_t thread;
    uint64_t end = mono_ms() + 10000;
    counter_add(rt, "a", 7);
    OK(sf_step(rt, 0));
    assert_int_equal(pthread_create(&thread, NULL, ask_elsewhere, &asked), 0);
    while (!atomic_load(&asked.finished) && mono_ms() < end) {
        is_readable(rt, 100);
        OK(sf_run_until_idle(rt));
    }
    pthread_join(thread, NULL);
    assert_int_equal(asked.rc, 0);
    assert_int_equal(asked.total, 7);
    OK(sf_runtime_close(rt));
}

static void *wait_for_one(void *arg)
{
    struct asked *asked = arg;
    int64_t ticket = sf_send(asked->rt, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1}));
    asked->rc = sf_wait(asked->rt, ticket, 10000);
    return NULL;
}

static void who_waits_drives_when_nobody_else_does(void **state)
{
    sf_runtime *rt = open_counters(*state);
    struct asked asked = {.rt = rt, .rc = 1};
    pthread_t thread;
    OK(sf_step(rt, 0)); /* this thread drives, and then does not */
    assert_int_equal(pthread_create(&thread, NULL, wait_for_one, &asked), 0);
    pthread_join(thread, NULL);
    assert_int_equal(asked.rc, 0);
    assert_int_equal(counter_stored(rt, "a").total, 1);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_descriptor_is_readable_exactly_while_there_is_something_to_do),
        TEST(a_due_pause_makes_the_descriptor_readable),
        TEST(a_host_embeds_it_in_an_epoll_loop),
        TEST(timeout_and_step_alone_are_enough),
        TEST(a_step_runs_at_most_so_many_turns),
        TEST(an_idle_runtime_commits_nothing),
        TEST(what_waits_together_commits_together),
        TEST(stats_count_what_happened),
        TEST(running_until_idle_ends_in_time_when_messages_beget_messages),
        TEST(another_thread_waits_while_this_one_drives),
        TEST(who_waits_drives_when_nobody_else_does),
    };
    return cmocka_run_group_tests_name("driving", tests, NULL, NULL);
}
