/* test_committer.c - the thread that commits: one job at a time, its outcome kept, work of its own when it is
 * left in peace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "lmdb/committer.h"
#include "support/support.h"

enum { LONG_MS = 5000 }; /* far more than anything here takes */

struct rig {
    struct sfi_committer committer;
    atomic_int commits, tidies, wakes;
    atomic_int result;        /* of the next job */
    atomic_int is_held;       /* a job waits until it is let go */
    atomic_int is_inside;     /* somebody uses the database */
    atomic_int clashes;       /* two at a time */
    atomic_int tidies_wanted; /* slices until nothing is left */
    atomic_int tells;
};

static struct rig rig;

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){0, ms * 1000000}, NULL);
}

static int until(atomic_int *what, int least)
{
    for (uint64_t end = mono_ms() + LONG_MS; atomic_load(what) < least;) {
        if (mono_ms() > end)
            return 0;
        pause_ms(1);
    }
    return 1;
}

static void enter(void)
{
    if (atomic_exchange(&rig.is_inside, 1))
        atomic_fetch_add(&rig.clashes, 1);
}

static void leave(void)
{
    atomic_store(&rig.is_inside, 0);
}

static int commit(void *ctx)
{
    enter();
    while (atomic_load(&rig.is_held))
        pause_ms(1);
    leave();
    atomic_fetch_add(&rig.commits, 1);
    int result = atomic_load(&((struct rig *)ctx)->result);
    return result < 0 ? sfi_err(result, "it broke") : result;
}

static int tidy(void *ctx, int *tells)
{
    (void)ctx;
    enter();
    pause_ms(1);
    leave();
    *tells = atomic_load(&rig.tells);
    return atomic_fetch_add(&rig.tidies, 1) + 1 < atomic_load(&rig.tidies_wanted);
}

/* With no lock held: else this would wait for ever. */
static void wake(void *ctx)
{
    struct rig *r = ctx;
    sfi_committer_has_job(&r->committer);
    atomic_fetch_add(&r->wakes, 1);
}

static int setup(void **state)
{
    static const struct sfi_committer_job job = {commit, tidy, &rig, wake, &rig};
    (void)state;
    memset(&rig, 0, sizeof rig);
    atomic_store(&rig.result, 1);
    sfi_committer_init(&rig.committer, sfi_sys_default(), &job);
    return sfi_committer_start(&rig.committer);
}

static int teardown(void **state)
{
    (void)state;
    atomic_store(&rig.is_held, 0);
    sfi_committer_fini(&rig.committer);
    return atomic_load(&rig.clashes) ? -1 : 0;
}

static void a_job_is_done_and_its_outcome_fetched_once(void **state)
{
    (void)state;
    assert_int_equal(sfi_committer_has_job(&rig.committer), 0);
    sfi_committer_hand_over(&rig.committer);
    assert_int_equal(sfi_committer_has_job(&rig.committer), 1);
    assert_int_equal(sfi_committer_fetch(&rig.committer, 1), 1);
    assert_int_equal(sfi_committer_has_job(&rig.committer), 0);
    assert_int_equal(sfi_committer_fetch(&rig.committer, 0), 0);
    assert_int_equal(atomic_load(&rig.commits), 1);
}

static void a_job_under_way_has_no_outcome_yet(void **state)
{
    (void)state;
    atomic_store(&rig.is_held, 1);
    sfi_committer_hand_over(&rig.committer);
    assert_true(until(&rig.is_inside, 1));
    assert_int_equal(sfi_committer_fetch(&rig.committer, 0), 0);
    assert_int_equal(sfi_committer_has_job(&rig.committer), 1);
    assert_int_equal(atomic_load(&rig.wakes), 0);
    atomic_store(&rig.is_held, 0);
    assert_true(until(&rig.wakes, 1));
    assert_int_equal(sfi_committer_fetch(&rig.committer, 0), 1);
}

static void a_failure_keeps_its_sentence_until_it_is_fetched(void **state)
{
    (void)state;
    atomic_store(&rig.result, SF_EDISK);
    sfi_committer_hand_over(&rig.committer);
    assert_true(until(&rig.wakes, 1));
    sfi_err(SF_EINVAL, "something else");
    REFUSED(sfi_committer_fetch(&rig.committer, 0), SF_EDISK);
    SAYS("it broke");
}

/* Slice after slice, to the end, and then not again before the next job. */
static void what_an_earlier_run_left_is_tidied_when_it_is_quiet(void **state)
{
    (void)state;
    atomic_store(&rig.tidies_wanted, 5);
    assert_true(until(&rig.tidies, 5));
    int tidies = atomic_load(&rig.tidies);
    pause_ms(50);
    assert_int_equal(atomic_load(&rig.tidies), tidies);
    assert_int_equal(atomic_load(&rig.wakes), 0);
    sfi_committer_hand_over(&rig.committer);
    assert_int_equal(sfi_committer_fetch(&rig.committer, 1), 1);
    assert_true(until(&rig.tidies, tidies + 1));
}

/* It waits once to see whether it is left in peace, not before each slice. */
static void once_it_is_quiet_slice_follows_slice(void **state)
{
    (void)state;
    atomic_store(&rig.tidies_wanted, 800); /* with a wait for each: 8 seconds and more */
    assert_true(until(&rig.tidies, 800));
}

static void what_is_given_back_untidy_is_tidied(void **state)
{
    (void)state;
    assert_true(until(&rig.tidies, 1)); /* what an earlier run left: nothing */
    pause_ms(30);                       /* and the thread sleeps */
    sfi_committer_take(&rig.committer);
    sfi_committer_give(&rig.committer, 1);
    assert_true(until(&rig.tidies, 2));
}

/* Tidies while the engine comes every 2 ms; -1: it came late, and nothing can be said. */
static int tidies_beside_a_busy_engine(void)
{
    int before = atomic_load(&rig.tidies), jobs = 40, late = 0;
    uint64_t last = mono_ms();
    for (int i = 0; i < jobs; i++) {
        sfi_committer_hand_over(&rig.committer);
        assert_int_equal(sfi_committer_fetch(&rig.committer, 1), 1);
        pause_ms(2);
        uint64_t now = mono_ms();
        late += now - last > 7;
        last = now;
    }
    return late > jobs / 4 ? -1 : atomic_load(&rig.tidies) - before;
}

/* An engine that commits without a pause has the database for itself. */
static void a_busy_engine_is_not_disturbed(void **state)
{
    int tidies = -1;
    (void)state;
    for (int i = 0; i < 20 && tidies < 0; i++)
        tidies = tidies_beside_a_busy_engine();
    if (tidies < 0)
        SKIP("this machine is too busy to tell");
    assert_true(tidies < 20);
}

static void a_slice_that_tells_wakes_the_engine(void **state)
{
    (void)state;
    assert_true(until(&rig.tidies, 1));
    pause_ms(20);
    assert_int_equal(atomic_load(&rig.wakes), 0);
    atomic_store(&rig.tells, 1);
    sfi_committer_rouse(&rig.committer);
    assert_true(until(&rig.wakes, 1));
}

static void roused_it_tidies_again(void **state)
{
    (void)state;
    assert_true(until(&rig.tidies, 1));
    pause_ms(20);
    int tidies = atomic_load(&rig.tidies);
    sfi_committer_rouse(&rig.committer);
    assert_true(until(&rig.tidies, tidies + 1));
}

/* And who takes it waits for a slice, no more. */
static void while_it_is_taken_the_thread_leaves_it_alone(void **state)
{
    (void)state;
    atomic_store(&rig.tidies_wanted, 1000000);
    assert_true(until(&rig.tidies, 1));
    for (int i = 0; i < 20; i++) {
        sfi_committer_take(&rig.committer);
        enter();
        int tidies = atomic_load(&rig.tidies);
        pause_ms(i == 0 ? 40 : 1);
        assert_int_equal(atomic_load(&rig.tidies), tidies);
        leave();
        sfi_committer_give(&rig.committer, 1);
    }
    int tidies = atomic_load(&rig.tidies);
    assert_true(until(&rig.tidies, tidies + 1)); /* it goes on when it is left in peace */
}

static void a_job_handed_over_while_it_is_taken_comes_after(void **state)
{
    (void)state;
    sfi_committer_take(&rig.committer);
    sfi_committer_hand_over(&rig.committer);
    pause_ms(20);
    assert_int_equal(atomic_load(&rig.commits), 0);
    sfi_committer_give(&rig.committer, 0);
    assert_int_equal(sfi_committer_fetch(&rig.committer, 1), 1);
}

/* As a process that dies: what runs ends, what waits does not begin. */
static void the_end_waits_for_what_runs(void **state)
{
    (void)state;
    sfi_committer_hand_over(&rig.committer);
    assert_true(until(&rig.commits, 1));
    sfi_committer_fini(&rig.committer);
    assert_int_equal(atomic_load(&rig.commits), 1);
    assert_int_equal(atomic_load(&rig.is_inside), 0);
    assert_int_equal(setup(state), 0);
}

static int no_thread(void *ctx, const char *name, void *(*body)(void *), void *arg,
                     uintptr_t *out)
{
    (void)ctx, (void)name, (void)body, (void)arg, (void)out;
    return -1;
}

static void without_a_thread_it_says_so(void **state)
{
    struct sfi_sys sys = *sfi_sys_default();
    struct sfi_committer other;
    struct sfi_committer_job job = {commit, tidy, &rig, NULL, NULL};
    (void)state;
    sys.thread_start = no_thread;
    sfi_committer_init(&other, &sys, &job);
    REFUSED(sfi_committer_start(&other), SF_ENOMEM);
    sfi_committer_fini(&other);
}

#define HERE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(a_job_is_done_and_its_outcome_fetched_once),
        HERE(a_job_under_way_has_no_outcome_yet),
        HERE(a_failure_keeps_its_sentence_until_it_is_fetched),
        HERE(what_an_earlier_run_left_is_tidied_when_it_is_quiet),
        HERE(once_it_is_quiet_slice_follows_slice),
        HERE(what_is_given_back_untidy_is_tidied),
        HERE(a_busy_engine_is_not_disturbed),
        HERE(a_slice_that_tells_wakes_the_engine),
        HERE(roused_it_tidies_again),
        HERE(while_it_is_taken_the_thread_leaves_it_alone),
        HERE(a_job_handed_over_while_it_is_taken_comes_after),
        HERE(the_end_waits_for_what_runs),
        HERE(without_a_thread_it_says_so),
    };
    return cmocka_run_group_tests_name("committer", tests, NULL, NULL);
}
