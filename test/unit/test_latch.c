/* test_latch.c - a door that is opened once: seen, woken, let go in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/latch.h"
#include "support/support.h"

struct visit {
    struct sfi_latch *latch; /* on the other thread's stack */
    uint64_t told;
};

static void *open_it(void *arg)
{
    struct visit *visit = arg;
    visit->told = 7;
    sfi_latch_open(visit->latch);
    return NULL;
}

static void a_latch_shows_its_sleeper_all_that_the_opener_did(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++) {
        struct sfi_latch latch = {0};
        struct visit visit = {.latch = &latch};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, open_it, &visit), 0);
        while (!sfi_latch_wait(&latch, 1000))
            ;
        memset(&latch, 0xA5, sizeof latch); /* it is the sleeper's again */
        assert_int_equal(visit.told, 7);
        pthread_join(thread, NULL);
        assert_int_equal(latch.is_open, 0xA5A5A5A5);
    }
}

static void a_latch_that_nobody_opens_lets_go_in_time(void **state)
{
    (void)state;
    struct sfi_latch latch = {0};
    uint64_t start_ms = mono_ms();
    while (mono_ms() - start_ms < 20)
        assert_int_equal(sfi_latch_wait(&latch, 5), 0);
    assert_int_equal(sfi_latch_wait(&latch, 0), 0);
    sfi_latch_open(&latch);
    assert_int_equal(sfi_latch_wait(&latch, 0), 1);
    assert_int_equal(sfi_latch_wait(&latch, 1000), 1);
}

static void *open_a_little_later(void *arg)
{
    usleep(50000);
    sfi_latch_open(arg);
    return NULL;
}

/* Long before it would have looked again by itself. */
static void opening_wakes_the_sleeper(void **state)
{
    (void)state;
    struct sfi_latch latch = {0};
    pthread_t thread;
    uint64_t start_ms = mono_ms();
    assert_int_equal(pthread_create(&thread, NULL, open_a_little_later, &latch), 0);
    assert_int_equal(sfi_latch_wait(&latch, 60000), 1);
    assert_true(mono_ms() - start_ms < 20000);
    pthread_join(thread, NULL);
}

/* How long it takes to wait that long in vain; a signal may end a wait early, but not many. */
static uint64_t waited_ms(int wait_ms, int *waits)
{
    struct sfi_latch latch = {0};
    uint64_t start_ms = mono_ms();
    *waits = 0;
    do {
        assert_int_equal(sfi_latch_wait(&latch, wait_ms), 0);
        ++*waits;
    } while (mono_ms() - start_ms + 5 < (uint64_t)wait_ms);
    return mono_ms() - start_ms;
}

static void how_long_to_wait_is_in_milliseconds(void **state)
{
    static const int waits_ms[] = {50, 300, 1000, 1300};
    int waits;
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_true(waited_ms(waits_ms[i], &waits) < 8000);
        assert_true(waits < 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_latch_shows_its_sleeper_all_that_the_opener_did),
        cmocka_unit_test(a_latch_that_nobody_opens_lets_go_in_time),
        cmocka_unit_test(opening_wakes_the_sleeper),
        cmocka_unit_test(how_long_to_wait_is_in_milliseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
