/* test_kill_points.c - kill -9 at every store call on a real database, and every store call
 * failing.
 *
 * The scenario (support/scenario.h) runs in a child that is killed at the n-th fault point, for
 * every n; a second child then lives to the end and checks.  The sink lies in shared memory: it is
 * the outside and survives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run/life.h"
#include "support/scenario.h"
#include "support/support.h"

/* Shared by the test and its children. */
struct outside {
    struct scenario_sink sink;
    uint64_t faults;
    char violation[200];
};

/* A changelog so small that it is always swept; and commits on the engine's thread, so that the
 * n-th call is the same one each time, or on their own, where it is another one now and then. */
static sf_options how = SF_OPTIONS(.log_records_max = 12);

static int open_directory(struct scenario *s, sf_runtime **out)
{
    return sfi_runtime_open(&s->machine->sys, s->disk, &how, out);
}

static struct outside *outside_new(void)
{
    struct outside *outside =
        mmap(NULL, sizeof *outside, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(outside != MAP_FAILED);
    return outside;
}

/* In the child: the life that is cut short, or lived with one failure. */
static void live(struct outside *outside, const char *dir, uint64_t kill_fault, uint64_t fail_fault)
{
    struct machine machine;
    struct scenario s = {
        .machine = &machine, .sink = &outside->sink, .open = open_directory, .disk = (void *)dir};
    machine_init(&machine);
    machine.kill_fault = kill_fault;
    machine.fail_fault = fail_fault;
    scenario_run(&s);
    outside->faults = machine.faults;
    memcpy(outside->violation, s.violation, sizeof outside->violation);
    _exit(0);
}

static int run_child(struct outside *outside, const char *dir, uint64_t kill_fault,
                     uint64_t fail_fault)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        live(outside, dir, kill_fault, fail_fault);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* A fresh database for one n. */
static const char *database(struct place *place, uint64_t n, const char *what)
{
    char name[40];
    snprintf(name, sizeof name, "%s-%" PRIu64, what, n);
    return place_path(place, name);
}

static uint64_t count_faults(struct place *place)
{
    struct outside *outside = outside_new();
    assert_int_equal(run_child(outside, database(place, 0, "count"), 0, 0), 0);
    assert_string_equal(outside->violation, "");
    uint64_t faults = outside->faults;
    munmap(outside, sizeof *outside);
    assert_true(faults > 50);
    return faults;
}

/* Killed at n, then lived to the end.  1: the end is as it must be. */
static int survives(struct place *place, uint64_t n, int forgets)
{
    struct outside *outside = outside_new();
    const char *dir = database(place, n, forgets ? "forgets" : "kill");
    outside->sink.forgets = forgets;
    int status = run_child(outside, dir, n, 0);
    int was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    /* this time there were fewer calls */
    assert_true(was_killed || (!how.commit_inline && status == 0));
    assert_int_equal(run_child(outside, dir, 0, 0), 0);
    int whole = outside->violation[0] == 0;
    if (!whole && !forgets)
        print_message("kill at store call %" PRIu64 ": %s\n", n, outside->violation);
    munmap(outside, sizeof *outside);
    return whole;
}

static void a_kill_at_any_store_call_loses_nothing(void **state)
{
    uint64_t faults = count_faults(*state);
    for (uint64_t n = 1; n <= faults; n++)
        assert_true(survives(*state, n, 0));
    print_message("%" PRIu64 " kill points\n", faults);
}

/* If this passes, the test above could not see records that come twice. */
static void the_kill_points_see_a_sink_that_forgets(void **state)
{
    uint64_t faults = count_faults(*state), seen = 0;
    for (uint64_t n = 1; n <= faults && !seen; n++)
        seen += !survives(*state, n, 1);
    assert_true(seen > 0);
}

static void any_store_call_may_fail_once(void **state)
{
    uint64_t faults = count_faults(*state);
    for (uint64_t n = 1; n <= faults; n++) {
        struct outside *outside = outside_new();
        assert_int_equal(run_child(outside, database(*state, n, "fail"), 0, n), 0);
        if (outside->violation[0])
            fail_msg("store call %" PRIu64 " of %" PRIu64 ": %s", n, faults, outside->violation);
        munmap(outside, sizeof *outside);
    }
}

#define BOTH(name)                                     \
    static void name##_inline(void **state)            \
    {                                                  \
        how.commit_inline = 1;                         \
        name(state);                                   \
    }                                                  \
    static void name##_on_the_commit_thread(void **state) \
    {                                                  \
        how.commit_inline = 0;                         \
        name(state);                                   \
    }

BOTH(a_kill_at_any_store_call_loses_nothing)
BOTH(the_kill_points_see_a_sink_that_forgets)
BOTH(any_store_call_may_fail_once)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_kill_at_any_store_call_loses_nothing_inline),
        TEST(a_kill_at_any_store_call_loses_nothing_on_the_commit_thread),
        TEST(the_kill_points_see_a_sink_that_forgets_inline),
        TEST(the_kill_points_see_a_sink_that_forgets_on_the_commit_thread),
        TEST(any_store_call_may_fail_once_inline),
        TEST(any_store_call_may_fail_once_on_the_commit_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
