/* test_arena.c - memory that dies all at once, and how much of it is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/arena.h"
#include "support/machine.h"

static void an_arena_lends_aligned_zero_ended_copies(void **state)
{
    struct machine machine;
    struct sfi_arena arena;
    (void)state;
    machine_init(&machine);
    sfi_arena_init(&arena, &machine.sys);
    for (size_t size = 0; size < 300; size++) {
        char bytes[300];
        memset(bytes, 'x', sizeof bytes);
        char *copy = sfi_arena_copy(&arena, bytes, size);
        assert_int_equal((uintptr_t)copy % 16, 0);
        assert_int_equal(copy[size], 0);
        assert_memory_equal(copy, bytes, size);
    }
    assert_non_null(sfi_arena_alloc(&arena, 10 << 20));
    sfi_arena_fini(&arena);
    assert_int_equal(machine.live, 0);
}

/* To the last byte, which may be another one's of before. */
static void an_arena_is_filled_before_it_asks_for_more(void **state)
{
    struct machine machine;
    struct sfi_arena arena;
    (void)state;
    machine_init(&machine);
    sfi_arena_init(&arena, &machine.sys);
    for (int round = 0; round < 2; round++) {
        void *first = sfi_arena_alloc(&arena, 1024);
        memset(first, 'y', 1024);
        sfi_arena_reset(&arena);
        char *copy = sfi_arena_copy(&arena, "four", 4);
        assert_ptr_equal(copy, first);
        assert_string_equal(copy, "four");
        for (int i = 16; i < 64 * 1024; i += 16)
            assert_non_null(sfi_arena_alloc(&arena, 16));
        assert_int_equal(machine.allocations, 1);
        sfi_arena_reset(&arena);
    }
    sfi_arena_fini(&arena);
}

static void an_arena_in_a_steady_state_allocates_nothing(void **state)
{
    struct machine machine;
    struct sfi_arena arena;
    (void)state;
    machine_init(&machine);
    sfi_arena_init(&arena, &machine.sys);
    assert_non_null(sfi_arena_alloc(&arena, 1000));
    uint64_t before = machine.allocations;
    for (int i = 0; i < 1000; i++) {
        sfi_arena_reset(&arena);
        assert_non_null(sfi_arena_alloc(&arena, 1000));
    }
    assert_int_equal(machine.allocations, before);
    sfi_arena_fini(&arena);
}

static void an_arena_gives_back_what_was_more_than_usual(void **state)
{
    struct machine machine;
    struct sfi_arena arena;
    (void)state;
    machine_init(&machine);
    sfi_arena_init(&arena, &machine.sys);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            assert_non_null(sfi_arena_alloc(&arena, 30000));
        assert_true(machine.live > 40);
        sfi_arena_reset(&arena);
        assert_int_equal(machine.live, 1);
    }
    sfi_arena_fini(&arena);
    assert_non_null(sfi_arena_alloc(&arena, 1 << 20)); /* nor does a large first one stay */
    sfi_arena_reset(&arena);
    assert_int_equal(machine.live, 0);
    sfi_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_arena_lends_aligned_zero_ended_copies),
        cmocka_unit_test(an_arena_is_filled_before_it_asks_for_more),
        cmocka_unit_test(an_arena_in_a_steady_state_allocates_nothing),
        cmocka_unit_test(an_arena_gives_back_what_was_more_than_usual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
