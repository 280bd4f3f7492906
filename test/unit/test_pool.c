/* test_pool.c - objects come and go; memory that one size has given up serves the others, or goes
 * back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "support/machine.h"
#include "support/weighed.h"

static struct machine machine;

static struct sfi_pool new_pool(unsigned step)
{
    struct sfi_pool pool;
    machine_init(&machine);
    machine.sys.resize = weighed_resize;
    machine.sys.aligned = weighed_aligned;
    weighed_reset();
    sfi_pool_init(&pool, &machine.sys, step);
    return pool;
}

static void end_pool(struct sfi_pool *pool)
{
    assert_int_equal(pool->used, 0);
    sfi_pool_fini(pool);
    assert_int_equal(weighed_live, 0);
}

/* Each with its number in every byte, so that overlaps show. */
static void *marked(struct sfi_pool *pool, size_t size, int number)
{
    void *object = sfi_pool_alloc(pool, size);
    assert_non_null(object);
    memset(object, number & 0xff, size);
    return object;
}

static void check_and_free(struct sfi_pool *pool, void *object, size_t size, int number)
{
    for (size_t i = 0; i < size; i++)
        assert_int_equal(((unsigned char *)object)[i], number & 0xff);
    sfi_pool_free(pool, object, size);
}

/* 1 024 is the last size of slabs, 1 025 the first of its own. */
static void every_size_is_lent_and_comes_back(void **state)
{
    (void)state;
    for (unsigned step = 32; step <= 64; step *= 2) {
        struct sfi_pool pool = new_pool(step);
        for (size_t size = 1; size <= 3000; size++) {
            void *objects[40];
            for (int i = 0; i < 40; i++) {
                objects[i] = marked(&pool, size, (int)size + i);
                assert_int_equal((uintptr_t)objects[i] % (size <= SFI_POOL_MAX ? step : 16), 0);
            }
            for (int i = 0; i < 40; i++)
                check_and_free(&pool, objects[(i * 7) % 40], size, (int)size + i * 7 % 40);
        }
        pool.used -= (uint64_t)pool.classes * SFI_SLAB_BYTES; /* the current ones stay */
        end_pool(&pool);
    }
}

static void what_an_object_takes_is_known(void **state)
{
    struct sfi_pool pool = new_pool(32);
    (void)state;
    assert_int_equal(sfi_pool_bytes(&pool, 1), 32);
    assert_int_equal(sfi_pool_bytes(&pool, 32), 32);
    assert_int_equal(sfi_pool_bytes(&pool, 33), 64);
    assert_int_equal(sfi_pool_bytes(&pool, 1024), 1024);
    for (size_t size = 1025; size < 3 * SFI_LARGE_MAX; size += 1 + size / 100) {
        size_t bytes = sfi_pool_bytes(&pool, size);
        assert_true(bytes >= size && bytes <= size + size / 4);
        void *object = marked(&pool, size, 1);
        assert_int_equal(pool.used, bytes);
        sfi_pool_free(&pool, object, size);
        assert_int_equal(pool.used, 0);
    }
    assert_int_equal(sfi_pool_bytes(&pool, SFI_LARGE_MAX + 1), SFI_LARGE_MAX + 1);
    end_pool(&pool);
}

static uint64_t allocations;

static void *counted_resize(void *ctx, void *old, size_t size)
{
    allocations += size != 0;
    return weighed_resize(ctx, old, size);
}

static void a_steady_state_asks_the_system_for_nothing(void **state)
{
    static const size_t sizes[] = {100, 1000, 1024, 5000, 65536 + 100, SFI_LARGE_MAX};
    struct sfi_pool pool = new_pool(64);
    (void)state;
    machine.sys.resize = counted_resize;
    pool.keep_max = 32 << 20;
    for (int i = 0; i < 6; i++)
        for (int round = 0; round < 10; round++) {
            void *objects[50];
            for (int n = 0; n < 50; n++)
                objects[n] = sfi_pool_alloc(&pool, sizes[i]);
            for (int n = 0; n < 50; n++)
                sfi_pool_free(&pool, objects[n], sizes[i]);
            if (round > 0)
                assert_int_equal(allocations, 0);
            allocations = 0;
        }
    assert_true(pool.kept <= pool.keep_max);
    pool.used -= (uint64_t)pool.classes * SFI_SLAB_BYTES;
    end_pool(&pool);
}

/* A megabyte of each, one after the other: all of it once, not once for each size. */
static void memory_that_one_size_gave_up_serves_the_others(void **state)
{
    enum { BYTES = 1 << 20, COUNT_MAX = BYTES / 32 };
    struct sfi_pool pool = new_pool(32);
    void **objects = calloc(COUNT_MAX, sizeof *objects);
    (void)state;
    for (size_t size = 32; size <= 4096; size += size < 1024 ? 32 : 512) {
        int count = (int)(BYTES / size);
        for (int i = 0; i < count; i++)
            objects[i] = marked(&pool, size, i);
        for (int i = 0; i < count; i++)
            check_and_free(&pool, objects[i], size, i);
    }
    assert_true(weighed_most < 2 * BYTES + 33 * 2 * SFI_SLAB_BYTES);
    free(objects);
    pool.used -= (uint64_t)pool.classes * SFI_SLAB_BYTES;
    end_pool(&pool);
}

static void what_nobody_needs_any_more_goes_back(void **state)
{
    enum { COUNT = 100000 };
    struct sfi_pool pool = new_pool(64);
    void **objects = calloc(COUNT, sizeof *objects);
    (void)state;
    for (int i = 0; i < COUNT; i++)
        objects[i] = marked(&pool, i % 100 ? 128 : 2000, i);
    assert_true(weighed_live > COUNT * UINT64_C(128));
    for (int i = 0; i < COUNT; i++)
        check_and_free(&pool, objects[i], i % 100 ? 128 : 2000, i);
    assert_true(weighed_live < (1 << 20) + 2 * pool.keep_max); /* the current slab's chunk, and what is kept */
    free(objects);
    pool.used -= (uint64_t)pool.classes * SFI_SLAB_BYTES;
    end_pool(&pool);
}

static void large_ones_of_a_size_that_is_gone_make_room_for_others(void **state)
{
    enum { COUNT = 64 };
    struct sfi_pool pool = new_pool(64);
    void *objects[COUNT];
    (void)state;
    pool.keep_max = COUNT * 4096;
    for (int round = 0; round < 100; round++) {
        size_t size = round < 50 ? 4096 : 3000;
        for (int i = 0; i < COUNT; i++)
            objects[i] = marked(&pool, size, i);
        for (int i = 0; i < COUNT; i++)
            check_and_free(&pool, objects[i], size, i);
        assert_true(pool.kept <= pool.keep_max);
    }
    machine.sys.resize = counted_resize;
    allocations = 0;
    for (int i = 0; i < COUNT; i++)
        objects[i] = marked(&pool, 3000, i);
    assert_int_equal(allocations, 0); /* all of 4 096 bytes made room */
    for (int i = 0; i < COUNT; i++)
        check_and_free(&pool, objects[i], 3000, i);
    end_pool(&pool);
}

/* -- slabs with few objects
 * ------------------------------------------------------------------------------- */

enum { MANY = 5000, SIZE = 128 };

struct owner {
    struct sfi_pool pool;
    void *objects[MANY]; /* NULL: gone */
};

static void move_all(struct owner *o, void **in_slab, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (int n = 0; n < MANY; n++)
            if (o->objects[n] == in_slab[i]) {
                o->objects[n] = marked(&o->pool, SIZE, n);
                check_and_free(&o->pool, in_slab[i], SIZE, n);
                in_slab[i] = NULL;
                break;
            }
    for (uint32_t i = 0; i < count; i++)
        assert_null(in_slab[i]); /* listed: the owner's, each once */
}

static void slabs_with_few_objects_can_be_emptied(void **state)
{
    static struct owner o;
    void *in_slab[SFI_SLAB_OBJECTS];
    struct sfi_slab *slab;
    uint32_t count;
    uint64_t live = 0;
    (void)state;
    o.pool = new_pool(32);
    for (int n = 0; n < MANY; n++)
        o.objects[n] = marked(&o.pool, SIZE, n);
    assert_null(sfi_pool_sparse(&o.pool, in_slab, &count)); /* they are full */
    for (int n = 0; n < MANY; n++)
        if (machine.sys.random(&machine) % 10) {
            check_and_free(&o.pool, o.objects[n], SIZE, n);
            o.objects[n] = NULL;
        } else {
            live += SIZE;
        }
    assert_true(o.pool.used > 8 * live);
    for (int i = 0; i < 1000 && (slab = sfi_pool_sparse(&o.pool, in_slab, &count)); i++)
        move_all(&o, in_slab, count);
    assert_true(o.pool.used <= live + live / 4 + 2 * SFI_SLAB_BYTES);
    for (int n = 0; n < MANY; n++)
        if (o.objects[n])
            check_and_free(&o.pool, o.objects[n], SIZE, n);
    o.pool.used -= SFI_SLAB_BYTES;
    end_pool(&o.pool);
}

static void a_slab_that_was_not_emptied_is_used_again(void **state)
{
    static struct owner o;
    void *in_slab[SFI_SLAB_OBJECTS];
    uint32_t count;
    (void)state;
    o.pool = new_pool(32);
    for (int n = 0; n < MANY; n++)
        o.objects[n] = marked(&o.pool, SIZE, n);
    for (int n = 0; n < MANY; n += 2)
        check_and_free(&o.pool, o.objects[n], SIZE, n);
    struct sfi_slab *slab = sfi_pool_sparse(&o.pool, in_slab, &count);
    assert_non_null(slab);
    sfi_pool_unsparse(&o.pool, slab);
    uint64_t used = o.pool.used;
    for (int n = 0; n < MANY; n += 2)
        o.objects[n] = marked(&o.pool, SIZE, n);
    assert_int_equal(o.pool.used, used);
    for (int n = 0; n < MANY; n++)
        check_and_free(&o.pool, o.objects[n], SIZE, n);
    o.pool.used -= SFI_SLAB_BYTES;
    end_pool(&o.pool);
}

/* -- anything
 * ---------------------------------------------------------------------------------------------- */

static void any_order_of_any_sizes_keeps_every_object_whole(void **state)
{
    enum { OBJECTS = 2000, STEPS = 200000 };
    static struct { void *object; size_t size; } all[OBJECTS];
    struct sfi_pool pool = new_pool(64);
    (void)state;
    memset(all, 0, sizeof all);
    for (int step = 0; step < STEPS; step++) {
        uint64_t dice = machine.sys.random(&machine);
        int n = (int)(dice % OBJECTS);
        if (all[n].object) {
            check_and_free(&pool, all[n].object, all[n].size, n);
            all[n].object = NULL;
        } else {
            all[n].size = 1 + (dice >> 20) % (step % 20000 < 18000 ? 300 : 20000);
            all[n].object = marked(&pool, all[n].size, n);
        }
    }
    for (int n = 0; n < OBJECTS; n++)
        if (all[n].object)
            check_and_free(&pool, all[n].object, all[n].size, n);
    pool.used -= (uint64_t)pool.classes * SFI_SLAB_BYTES;
    end_pool(&pool);
}

static void without_memory_nothing_is_lent_and_nothing_lost(void **state)
{
    struct sfi_pool pool;
    (void)state;
    machine_init(&machine);
    sfi_pool_init(&pool, &machine.sys, 64);
    for (size_t size = 1; size < 5000; size += 500) {
        machine.fail_allocation = machine.allocations + 1;
        assert_null(sfi_pool_alloc(&pool, size));
        machine.fail_allocation = 0;
        void *object = sfi_pool_alloc(&pool, size);
        assert_non_null(object);
        sfi_pool_free(&pool, object, size);
    }
    sfi_pool_fini(&pool);
    assert_int_equal(machine.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_is_lent_and_comes_back),
        cmocka_unit_test(what_an_object_takes_is_known),
        cmocka_unit_test(a_steady_state_asks_the_system_for_nothing),
        cmocka_unit_test(memory_that_one_size_gave_up_serves_the_others),
        cmocka_unit_test(what_nobody_needs_any_more_goes_back),
        cmocka_unit_test(large_ones_of_a_size_that_is_gone_make_room_for_others),
        cmocka_unit_test(slabs_with_few_objects_can_be_emptied),
        cmocka_unit_test(a_slab_that_was_not_emptied_is_used_again),
        cmocka_unit_test(any_order_of_any_sizes_keeps_every_object_whole),
        cmocka_unit_test(without_memory_nothing_is_lent_and_nothing_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
