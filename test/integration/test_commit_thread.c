/* test_commit_thread.c - commits on a thread of the library, or inline: who is told, and what
 * threads there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "support/speaker.h"

static void the_descriptor_says_when_a_commit_is_done(void **state)
{
    sf_runtime *rt = open_in(*state, "db", NULL);
    until_quiet(rt);
    for (int i = 0; i < 50; i++) {
        int64_t ticket = counter_add(rt, "a", 1);
        OK(sf_step(rt, 0)); /* handed over */
        while (sf_durable(rt) < ticket) {
            assert_int_equal(is_readable(rt, 10000), 1);
            OK(sf_step(rt, 0));
        }
        assert_int_equal(counter_stored(rt, "a").total, i + 1);
    }
    OK(sf_runtime_close(rt));
}

static int threads_now(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *task; (task = readdir(tasks));)
        count += task->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* A thread that was joined is listed a moment longer. */
static void there_are_threads(int count)
{
    uint64_t end = mono_ms() + 5000;
    while (threads_now() != count && mono_ms() < end)
        usleep(1000);
    assert_int_equal(threads_now(), count);
}

static void commits_have_one_thread_or_none(void **state)
{
    NEEDS_PROC();
    int before = threads_now();
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        sf_options options = SF_OPTIONS(.commit_inline = is_inline, .log_records_max = 8);
        sf_runtime *rt = open_in(*state, how(is_inline), &options);
        there_are_threads(before + !is_inline);
        for (int i = 0; i < 100; i++) {
            char id[8];
            snprintf(id, sizeof id, "%d", i % 10);
            counter_add(rt, id, 1);
            OK(i % 3 ? sf_step(rt, 0) : sf_wait(rt, 0, 10000));
        }
        there_are_threads(before + !is_inline);
        OK(sf_runtime_start(rt));
        there_are_threads(before + !is_inline + 1);
        OK(sf_wait(rt, counter_add(rt, "3", 1), 10000));
        OK(sf_runtime_stop(rt));
        OK(sf_run_until_idle(rt));
        assert_int_equal(counter_stored(rt, "3").total, 11);
        OK(sf_runtime_close(rt));
        there_are_threads(before);
    }
}

static volatile sig_atomic_t signals_taken;

static void take_signal(int number)
{
    (void)number;
    signals_taken++;
}

/* Blocked by the host's only thread, it stays pending until the host takes it. */
static void no_thread_of_the_library_takes_the_hosts_signals(void **state)
{
    struct sigaction action = {.sa_handler = take_signal}, before;
    struct timespec now = {0, 0};
    sigset_t mask, kept, pending;
    sigaction(SIGUSR1, &action, &before);
    sf_runtime *rt = open_in(*state, "db", NULL);
    OK(sf_runtime_start(rt));
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &mask, &kept);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    for (int i = 0; i < 20; i++)
        OK(sf_wait(rt, counter_add(rt, "a", 1), 10000));
    usleep(50000);
    sigpending(&pending);
    assert_int_equal(signals_taken, 0);
    assert_int_equal(sigismember(&pending, SIGUSR1), 1);
    assert_int_equal(sigtimedwait(&mask, NULL, &now), SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &kept, NULL);
    sigaction(SIGUSR1, &before, NULL);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_descriptor_says_when_a_commit_is_done),
        TEST(commits_have_one_thread_or_none),
        TEST(no_thread_of_the_library_takes_the_hosts_signals),
    };
    return cmocka_run_group_tests_name("commit thread", tests, NULL, NULL);
}
