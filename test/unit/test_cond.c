/* test_cond.c - waits that end by a clock which nobody can set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>

#include "base/cond.h"
#include "support/support.h"

static int64_t ms_of(struct timespec at)
{
    return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

static void a_deadline_is_so_many_milliseconds_from_now(void **state)
{
    static const int waits[] = {0, 1, 999, 1000, 1001, 1999, 60000, 86400000, INT32_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        int64_t before = (int64_t)mono_ms();
        struct timespec until = sfi_cond_deadline(waits[i]);
        int64_t after = (int64_t)mono_ms();
        assert_true(until.tv_nsec >= 0 && until.tv_nsec < 1000000000);
        assert_true(ms_of(until) >= before + waits[i] && ms_of(until) <= after + waits[i] + 1);
    }
}

/* The seconds are carried: whatever the fraction of a second is just now. */
static void a_deadline_is_a_valid_time_at_every_moment(void **state)
{
    (void)state;
    for (int wait_ms = 0; wait_ms < 3000; wait_ms++) {
        struct timespec until = sfi_cond_deadline(wait_ms);
        assert_true(until.tv_nsec >= 0 && until.tv_nsec < 1000000000);
    }
}

/* With the wrong clock the deadline is years away, or years ago. */
static void a_wait_ends_at_its_deadline(void **state)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    int rc = 0;
    (void)state;
    sfi_cond_init(&cond);
    pthread_mutex_lock(&lock);
    uint64_t start_ms = mono_ms();
    struct timespec until = sfi_cond_deadline(100);
    while (rc == 0) /* it may wake for no reason */
        rc = pthread_cond_timedwait(&cond, &lock, &until);
    pthread_mutex_unlock(&lock);
    assert_int_equal(rc, ETIMEDOUT);
    assert_true(mono_ms() - start_ms >= 99);
    assert_true(mono_ms() - start_ms < 20000);
    pthread_cond_destroy(&cond);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deadline_is_so_many_milliseconds_from_now),
        cmocka_unit_test(a_deadline_is_a_valid_time_at_every_moment),
        cmocka_unit_test(a_wait_ends_at_its_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
