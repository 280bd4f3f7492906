/* test_sys.c - what the library takes from the machine: units, promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "support/machine.h"
#include "support/support.h"

static void an_array_grows_by_half_or_as_needed_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct machine machine;
    uint32_t capacity = 0;
    machine_init(&machine);
    uint64_t *items = sfi_grow(&machine.sys, NULL, &capacity, 1, 4, sizeof *items);
    assert_non_null(items);
    assert_int_equal(capacity, 4);
    for (uint64_t i = 0; i < 4; i++)
        items[i] = i;
    machine.fail_allocation = machine.allocations + 1;
    assert_null(sfi_grow(&machine.sys, items, &capacity, 5, 4, sizeof *items));
    assert_null(sfi_grow(&machine.sys, items, &capacity, UINT64_C(1) << 32, 4, sizeof *items));
    assert_int_equal(capacity, 4);
    items = sfi_grow(&machine.sys, items, &capacity, 5, 4, sizeof *items);
    assert_int_equal(capacity, 6);
    items = sfi_grow(&machine.sys, items, &capacity, 100, 4, sizeof *items);
    assert_int_equal(capacity, 100);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(items[i], i);
    sfi_free(&machine.sys, items);
    assert_int_equal(machine.live, 0);
}

static void *never_fails(void *ctx, void *old, size_t size)
{
    (void)ctx, (void)size;
    return old;
}

/* A capacity that does not fit its number would be taken for a small one. */
static void an_array_never_grows_past_what_its_capacity_can_say(void **state)
{
    char items[1];
    struct sfi_sys sys = {.resize = never_fails};
    uint32_t capacity = UINT32_MAX - 1;
    (void)state;
    assert_null(sfi_grow(&sys, items, &capacity, UINT64_C(1) << 32, 4, 1));
    assert_int_equal(capacity, UINT32_MAX - 1);
    capacity = 4;
    assert_non_null(sfi_grow(&sys, items, &capacity, UINT32_MAX, 4, 1));
    assert_int_equal(capacity, UINT32_MAX);
}

static void what_is_asked_for_is_there_zeroed_or_aligned_as_promised(void **state)
{
    const struct sfi_sys *sys = sfi_sys_default();
    (void)state;
    void *nothing = sfi_alloc(sys, 0); /* a place of its own, like any other */
    assert_non_null(nothing);
    sfi_free(sys, nothing);
    sfi_free(sys, NULL);
    unsigned char *zeroes = sfi_zalloc(sys, 5000);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(zeroes[i], 0);
    sfi_free(sys, zeroes);
    for (size_t alignment = 64; alignment <= 65536; alignment *= 4) {
        void *block = sfi_alloc_aligned(sys, alignment, 2 * alignment);
        assert_int_equal((uintptr_t)block % alignment, 0);
        memset(block, 1, 2 * alignment);
        sfi_free(sys, block);
    }
}

static void the_wall_clock_counts_milliseconds_since_1970(void **state)
{
    const struct sfi_sys *sys = sfi_sys_default();
    (void)state;
    uint64_t before = (uint64_t)time(NULL), now_ms = sys->wall_ms(sys->ctx);
    assert_true(now_ms / 1000 >= before && now_ms / 1000 <= before + 60);
}

/* By a second clock of the machine, and with all the time in the world for a loaded one. */
static void the_other_clock_counts_nanoseconds_and_never_goes_back(void **state)
{
    const struct sfi_sys *sys = sfi_sys_default();
    struct timespec pause = {0, 30 * 1000000};
    (void)state;
    uint64_t start = sys->mono_ns(sys->ctx), last = start, wall_ms = sys->wall_ms(sys->ctx);
    for (int i = 0; i < 10000; i++) {
        uint64_t now = sys->mono_ns(sys->ctx);
        assert_true(now >= last);
        last = now;
    }
    nanosleep(&pause, NULL);
    uint64_t passed = sys->mono_ns(sys->ctx) - start;
    assert_true(passed >= UINT64_C(30) * 1000000);
    wall_ms = sys->wall_ms(sys->ctx) - wall_ms;
    assert_true(passed / 1000000 < wall_ms + 10000);
}

static void the_coarse_clock_is_the_same_one_a_little_late(void **state)
{
    const struct sfi_sys *sys = sfi_sys_default();
    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t coarse = sys->coarse_ns(sys->ctx), fine = sys->mono_ns(sys->ctx);
        assert_true(coarse <= fine && fine - coarse < UINT64_C(10000) * 1000000);
    }
}

static void random_numbers_use_all_their_bits(void **state)
{
    const struct sfi_sys *sys = sfi_sys_default();
    uint64_t ones = 0, zeroes = 0, last = 0;
    (void)state;
    for (int i = 0; i < 100; i++) {
        uint64_t number = sys->random(sys->ctx);
        assert_true(number != last);
        last = number;
        ones |= number;
        zeroes |= ~number;
    }
    assert_true(ones == UINT64_MAX && zeroes == UINT64_MAX);
}

struct seen {
    char name[16];
    int blocked, ran;
};

static void *look_around(void *arg)
{
    struct seen *seen = arg;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    seen->blocked = sigismember(&mask, SIGTERM) && sigismember(&mask, SIGINT) &&
                    sigismember(&mask, SIGALRM) && sigismember(&mask, SIGUSR1);
    for (int i = 0; i < 1000 && strcmp(seen->name, "a name") != 0; i++) { /* given from outside */
        prctl(PR_GET_NAME, seen->name);
        usleep(1000);
    }
    seen->ran = 1;
    return NULL;
}

static void a_thread_of_ours_has_a_name_and_takes_no_signals(void **state)
{
    const struct sfi_sys *sys = sfi_sys_default();
    struct seen seen = {0};
    uintptr_t thread;
    sigset_t before, after;
    (void)state;
    NEEDS_PROC(); /* by which another thread is named */
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(sys->thread_start(sys->ctx, "a name", look_around, &seen, &thread), 0);
    sys->thread_join(sys->ctx, thread);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_true(seen.ran && seen.blocked);
    assert_string_equal(seen.name, "a name");
    assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM)); /* the host's */
}

static void nothing_fails_on_purpose_in_production(void **state)
{
    (void)state;
    assert_int_equal(sfi_fault(sfi_sys_default(), "any point"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_grows_by_half_or_as_needed_and_keeps_what_it_has),
        cmocka_unit_test(an_array_never_grows_past_what_its_capacity_can_say),
        cmocka_unit_test(what_is_asked_for_is_there_zeroed_or_aligned_as_promised),
        cmocka_unit_test(the_wall_clock_counts_milliseconds_since_1970),
        cmocka_unit_test(the_other_clock_counts_nanoseconds_and_never_goes_back),
        cmocka_unit_test(the_coarse_clock_is_the_same_one_a_little_late),
        cmocka_unit_test(random_numbers_use_all_their_bits),
        cmocka_unit_test(a_thread_of_ours_has_a_name_and_takes_no_signals),
        cmocka_unit_test(nothing_fails_on_purpose_in_production),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
