/* test_lookup.c - whatever was added is found, whatever else comes and goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/lookup.h"
#include "support/machine.h"
#include "statefun.h"

static int has(const struct sfi_lookup *lookup, uint64_t hash, const void *thing)
{
    const void *met;
    int times = 0;
    for (uint32_t at = 0; (met = sfi_lookup_next(lookup, hash, &at));)
        times += met == thing;
    return times;
}

static void an_empty_one_finds_nothing(void **state)
{
    struct machine machine;
    struct sfi_lookup lookup;
    (void)state;
    machine_init(&machine);
    sfi_lookup_init(&lookup, &machine.sys);
    assert_int_equal(has(&lookup, 7, &machine), 0);
    sfi_lookup_remove(&lookup, 7, &machine);
    sfi_lookup_fini(&lookup);
    assert_int_equal(machine.live, 0);
}

/* Few different hashes, and neighbours, so that searches run into each other and around the end. */
static void what_comes_and_goes_hides_nothing_else(void **state)
{
    enum { THINGS = 600, TURNS = 20000 };
    static char things[THINGS], is_in[THINGS];
    struct machine machine;
    struct sfi_lookup lookup;
    uint32_t count = 0;
    (void)state;
    machine_init(&machine);
    sfi_lookup_init(&lookup, &machine.sys);
    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t i = machine.sys.random(&machine) % THINGS, hash = i % 50 + UINT64_MAX - 25;
        if (is_in[i]) {
            sfi_lookup_remove(&lookup, hash, &things[i]);
        } else {
            assert_int_equal(sfi_lookup_reserve(&lookup), 0);
            sfi_lookup_add(&lookup, hash, &things[i]);
        }
        is_in[i] = !is_in[i];
        count += is_in[i] ? 1 : UINT32_MAX;
        assert_int_equal(lookup.count, count);
        if (turn % 100 == 0)
            for (uint64_t n = 0; n < THINGS; n++)
                assert_int_equal(has(&lookup, n % 50 + UINT64_MAX - 25, &things[n]), is_in[n]);
    }
    sfi_lookup_fini(&lookup);
    assert_int_equal(machine.live, 0);
}

static void without_memory_it_stays_as_it_was(void **state)
{
    struct machine machine;
    struct sfi_lookup lookup;
    static char things[100];
    uint64_t refused = 0;
    (void)state;
    machine_init(&machine);
    sfi_lookup_init(&lookup, &machine.sys);
    for (uint64_t i = 0; i < sizeof things; i++) {
        machine.fail_allocation = machine.allocations + 1;
        if (sfi_lookup_reserve(&lookup) < 0) {
            refused++;
            for (uint64_t n = 0; n < i; n++)
                assert_int_equal(has(&lookup, n, &things[n]), 1);
            machine.fail_allocation = 0;
            assert_int_equal(sfi_lookup_reserve(&lookup), 0);
        }
        sfi_lookup_add(&lookup, i, &things[i]);
    }
    assert_true(refused >= 3);
    sfi_lookup_fini(&lookup);
    assert_int_equal(machine.live, 0);
}

static void a_table_as_large_as_can_be_grows_no_more(void **state)
{
    struct sfi_lookup lookup;
    (void)state;
    sfi_lookup_init(&lookup, sfi_sys_default());
    lookup.capacity = UINT32_C(1) << 31;
    lookup.count = UINT32_C(3) << 29;
    assert_int_equal(sfi_lookup_reserve(&lookup), SF_ENOMEM);
    assert_int_equal(lookup.capacity, UINT32_C(1) << 31);
    lookup.count--;
    assert_int_equal(sfi_lookup_reserve(&lookup), 0); /* three quarters may be full */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_finds_nothing),
        cmocka_unit_test(what_comes_and_goes_hides_nothing_else),
        cmocka_unit_test(without_memory_it_stays_as_it_was),
        cmocka_unit_test(a_table_as_large_as_can_be_grows_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
