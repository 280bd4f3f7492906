/* test_workers.c - threads of ours for functions that block: as many as there are jobs, never more than may be, and
 * none that a machine refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "run/workers.h"
#include "support/machine.h"

static atomic_int done, inside, most, gate_is_open;

/* Until the test lets them go. */
static void work(sf_async op, sf_bytes request, void *userdata)
{
    int now = atomic_fetch_add(&inside, 1) + 1, before = atomic_load(&most);
    (void)op, (void)userdata;
    while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
        ;
    while (!atomic_load(&gate_is_open))
        usleep(100);
    atomic_fetch_sub(&inside, 1);
    atomic_fetch_add(&done, request.size == 3 && memcmp(request.data, "abc", 4) == 0 ? 1 : 1000);
}

static atomic_int refusals;
static const struct sfi_sys *real;

static int start_or_refuse(void *ctx, const char *name, void *(*run)(void *), void *arg, uintptr_t *out)
{
    if (atomic_load(&refusals) > 0) {
        atomic_fetch_sub(&refusals, 1);
        return SF_ENOMEM;
    }
    return real->thread_start(ctx, name, run, arg, out);
}

static struct sfi_sys sys;
static struct sfi_workers workers;

static void push(int count)
{
    for (int i = 0; i < count; i++) {
        struct sfi_job *job = sfi_job_new(&sys, SF_BYTES("abc", 3));
        assert_non_null(job);
        job->function = work;
        sfi_workers_push(&workers, job);
    }
}

static void reached(atomic_int *what, int count)
{
    for (int i = 0; i < 20000 && atomic_load(what) < count; i++)
        usleep(1000);
    assert_int_equal(atomic_load(what), count);
}

static int setup(void **state)
{
    (void)state;
    real = sfi_sys_default();
    sys = *real;
    sys.thread_start = start_or_refuse;
    atomic_store(&done, 0);
    atomic_store(&inside, 0);
    atomic_store(&most, 0);
    atomic_store(&refusals, 0);
    atomic_store(&gate_is_open, 0);
    sfi_workers_init(&workers, &sys, 3);
    return 0;
}

static void there_are_as_many_threads_as_jobs_and_never_more_than_may_be(void **state)
{
    (void)state;
    sfi_workers_staff(&workers, 1);
    assert_null(workers.threads);
    push(1);
    sfi_workers_staff(&workers, 1);
    reached(&inside, 1);
    sfi_workers_staff(&workers, 1);
    assert_int_equal(workers.running, 1);
    push(9);
    sfi_workers_staff(&workers, 1);
    sfi_workers_staff(&workers, 1);
    reached(&inside, 3);
    atomic_store(&gate_is_open, 1);
    reached(&done, 10);
    assert_int_equal(atomic_load(&most), 3);
    sfi_workers_fini(&workers);
}

static void a_thread_that_cannot_be_started_is_tried_again_later(void **state)
{
    (void)state;
    atomic_store(&refusals, 2);
    atomic_store(&gate_is_open, 1);
    push(2);
    sfi_workers_staff(&workers, 1000);
    assert_int_equal(workers.running, 0);
    uint64_t retry_ns = workers.retry_ns;
    assert_true(retry_ns > 1000);
    sfi_workers_staff(&workers, retry_ns);
    assert_true(workers.retry_ns > retry_ns);
    sfi_workers_staff(&workers, workers.retry_ns);
    assert_int_equal(workers.retry_ns, 0);
    reached(&done, 2);
    sfi_workers_fini(&workers);
}

static void stopping_waits_for_what_runs_and_begins_nothing(void **state)
{
    (void)state;
    push(8);
    sfi_workers_staff(&workers, 1);
    reached(&inside, 3);
    atomic_store(&gate_is_open, 1);
    sfi_workers_stop(&workers);
    int ran = atomic_load(&done);
    assert_int_equal(atomic_load(&inside), 0);
    assert_int_equal(workers.running, 0);
    sfi_workers_staff(&workers, 1);
    assert_int_equal(workers.running, 0);
    assert_int_equal(atomic_load(&done), ran);
    sfi_workers_go_on(&workers);
    sfi_workers_staff(&workers, 1);
    reached(&done, 8);
    sfi_workers_fini(&workers);
}

static void what_none_has_begun_is_freed_in_the_end(void **state)
{
    (void)state;
    push(5); /* the sanitizers would tell */
    sfi_workers_fini(&workers);
    assert_int_equal(atomic_load(&done), 0);
}

int main(void)
{
#define WORKERS_TEST(function) cmocka_unit_test_setup(function, setup)
    const struct CMUnitTest tests[] = {
        WORKERS_TEST(there_are_as_many_threads_as_jobs_and_never_more_than_may_be),
        WORKERS_TEST(a_thread_that_cannot_be_started_is_tried_again_later),
        WORKERS_TEST(stopping_waits_for_what_runs_and_begins_nothing),
        WORKERS_TEST(what_none_has_begun_is_freed_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
