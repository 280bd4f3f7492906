/* test_base.c - arena, heap, hash, latch: what everything else stands on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/latch.h"
#include "support/machine.h"
#include "support/support.h"
#include "statefun.h"

/* So that a code that is added gets its name: the header is read like a user reads it. */
static void every_error_code_of_the_header_has_its_name(void **state)
{
    const char *source = getenv("SOURCE");
    char path[300], line[200], name[64];
    int code, count = 0;
    (void)state;
    snprintf(path, sizeof path, "%.200s/include/statefun.h", source ? source : ".");
    FILE *header = fopen(path, "r");
    assert_non_null(header);
    while (fgets(line, sizeof line, header)) {
        if (sscanf(line, " %63[SF_A-Z] = %d", name, &code) != 2 || strncmp(name, "SF_E", 4) != 0)
            continue;
        count++;
        assert_int_equal(code, -count);
        assert_string_equal(sf_errname(code), name);
    }
    fclose(header);
    assert_true(count >= 16);
    assert_string_equal(sf_errname(-count - 1), "unknown");
    assert_string_equal(sf_errname(INT_MIN), "unknown");
    assert_string_equal(sf_errname(0), "success");
    assert_string_equal(sf_errname(INT_MAX), "success");
}

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

static void a_heap_gives_the_earliest_first_and_ties_in_order(void **state)
{
    enum { COUNT = 500 };
    struct machine machine;
    struct sfi_heap heap;
    static struct sfi_heap_node nodes[COUNT];
    (void)state;
    machine_init(&machine);
    sfi_heap_init(&heap, &machine.sys);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(sfi_heap_push(&heap, &nodes[i], machine.sys.random(&machine) % 50), 0);
    for (int i = 0; i < COUNT; i += 3)
        sfi_heap_remove(&heap, &nodes[i]);
    sfi_heap_remove(&heap, &nodes[0]); /* already out: no effect */
    uint64_t due = 0, order = 0;
    int left = 0;
    for (struct sfi_heap_node *node; (node = sfi_heap_first(&heap)); left++) {
        assert_true(node->due > due || (node->due == due && node->order >= order));
        due = node->due;
        order = node->order;
        assert_int_not_equal((node - nodes) % 3, 0);
        sfi_heap_remove(&heap, node);
    }
    assert_int_equal(left, COUNT - (COUNT + 2) / 3);
    sfi_heap_fini(&heap);
}

static void a_hash_depends_on_key_seed_size_and_every_byte(void **state)
{
    struct sfi_hash_key a = {1, 2}, b = {1, 3};
    char bytes[] = "stateful functions in one process";
    uint64_t all = sfi_hash(&a, 7, bytes, sizeof bytes);
    (void)state;
    assert_true(all == sfi_hash(&a, 7, bytes, sizeof bytes));
    assert_true(all != sfi_hash(&b, 7, bytes, sizeof bytes));
    assert_true(all != sfi_hash(&a, 8, bytes, sizeof bytes));
    assert_true(all != sfi_hash(&a, 7, bytes, sizeof bytes - 1));
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 1;
        assert_true(all != sfi_hash(&a, 7, bytes, sizeof bytes));
        bytes[i] ^= 1;
    }
}

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

static void a_sentence_is_wrapped_on_its_way_out(void **state)
{
    (void)state;
    assert_int_equal(sfi_err(SF_EDISK, "page %d", 7), SF_EDISK);
    assert_int_equal(sfi_err_in(SF_EDISK, "open '%s'", "data"), SF_EDISK);
    assert_string_equal(sf_errmsg(), "open 'data': page 7");
    char endless[2000];
    memset(endless, 'x', sizeof endless - 1);
    endless[sizeof endless - 1] = 0;
    sfi_err(SF_EINVAL, "%s", endless);
    sfi_err_in(SF_EINVAL, "%s", endless);
    assert_true(strlen(sf_errmsg()) < sizeof endless);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_code_of_the_header_has_its_name),
        cmocka_unit_test(an_arena_lends_aligned_zero_ended_copies),
        cmocka_unit_test(an_arena_in_a_steady_state_allocates_nothing),
        cmocka_unit_test(an_arena_gives_back_what_was_more_than_usual),
        cmocka_unit_test(a_heap_gives_the_earliest_first_and_ties_in_order),
        cmocka_unit_test(a_hash_depends_on_key_seed_size_and_every_byte),
        cmocka_unit_test(an_array_grows_by_half_or_as_needed_and_keeps_what_it_has),
        cmocka_unit_test(a_latch_shows_its_sleeper_all_that_the_opener_did),
        cmocka_unit_test(a_latch_that_nobody_opens_lets_go_in_time),
        cmocka_unit_test(a_sentence_is_wrapped_on_its_way_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
