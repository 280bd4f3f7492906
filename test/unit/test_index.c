/* test_index.c - the index finds every entry of a hash, newest first, and forgets what is taken
 * back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lmdb/index.h"
#include "support/machine.h"

struct rig {
    struct machine machine;
    struct sfi_log_index index;
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    if (!rig)
        return -1;
    machine_init(&rig->machine);
    sfi_log_index_init(&rig->index, &rig->machine.sys);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    sfi_log_index_fini(&rig->index);
    int leaked = rig->machine.live != 0;
    free(rig);
    return leaked ? -1 : 0;
}

static uint64_t draw(struct rig *rig, uint64_t below)
{
    return rig->machine.sys.random(rig->machine.sys.ctx) % below;
}

static void add(struct rig *rig, uint32_t hash)
{
    uint32_t number = rig->index.count;
    assert_int_equal(sfi_log_index_reserve(&rig->index, 1), 0);
    sfi_log_index_add(&rig->index, hash, number / 7, number * 8);
    assert_int_equal(rig->index.count, number + 1);
}

static uint32_t find(const struct rig *rig, uint32_t hash)
{
    return sfi_log_index_find(&rig->index, hash, SFI_INDEX_NONE);
}

static uint32_t older(const struct rig *rig, uint32_t at)
{
    return sfi_log_index_find(&rig->index, rig->index.places[at].hash, at);
}

/* The entries of that hash are `numbers`, the last of them first, and no others. */
static void has(const struct rig *rig, uint32_t hash, const uint32_t *numbers, uint32_t count)
{
    uint32_t at = find(rig, hash);
    while (count > 0) {
        assert_int_equal(at, numbers[--count]);
        assert_int_equal(rig->index.places[at].hash, hash);
        assert_int_equal(rig->index.places[at].chunk, at / 7);
        assert_int_equal(rig->index.places[at].offset, at * 8);
        at = older(rig, at);
    }
    assert_int_equal(at, SFI_INDEX_NONE);
}

#define HAS(rig, hash, ...)                         \
    has(rig, hash, (const uint32_t[]){__VA_ARGS__}, \
        sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* -- find -------------------------------------------------------------------------------------- */

static void nothing_is_found_where_nothing_is(void **state)
{
    struct rig *rig = *state;
    has(rig, 0, NULL, 0);
    has(rig, SFI_INDEX_NONE, NULL, 0);
    sfi_log_index_rollback(&rig->index, 0);
    assert_int_equal(sfi_log_index_reserve(&rig->index, 0), 0);
    has(rig, 0, NULL, 0);
    assert_int_equal(sfi_log_index_reserve(&rig->index, 10), 0);
    has(rig, 0, NULL, 0);
    sfi_log_index_rollback(&rig->index, 0);
}

static void entries_of_one_hash_come_newest_first(void **state)
{
    struct rig *rig = *state;
    add(rig, 1);
    add(rig, 2);
    add(rig, 1);
    add(rig, 1);
    HAS(rig, 1, 0, 2, 3);
    HAS(rig, 2, 1);
    has(rig, 3, NULL, 0);
}

/* They share a chain, as only the lower bits choose it. */
static void hashes_of_one_chain_are_told_apart(void **state)
{
    struct rig *rig = *state;
    add(rig, 5);
    add(rig, 5 | UINT32_C(1) << 31);
    add(rig, 5 | UINT32_C(1) << 20);
    add(rig, 5);
    add(rig, 5 | UINT32_C(1) << 31);
    HAS(rig, 5, 0, 3);
    HAS(rig, 5 | UINT32_C(1) << 31, 1, 4);
    HAS(rig, 5 | UINT32_C(1) << 20, 2);
    has(rig, 5 | UINT32_C(1) << 21, NULL, 0);
}

static void every_hash_may_be_one(void **state)
{
    struct rig *rig = *state;
    add(rig, 0);
    add(rig, SFI_INDEX_NONE);
    add(rig, 0);
    HAS(rig, 0, 0, 2);
    HAS(rig, SFI_INDEX_NONE, 1);
}

static void many_entries_of_one_hash_make_one_chain(void **state)
{
    enum { MANY = 5000 };
    struct rig *rig = *state;
    static uint32_t numbers[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        numbers[i] = i;
        add(rig, 77);
    }
    has(rig, 77, numbers, MANY);
}

/* -- growth ------------------------------------------------------------------------------------ */

static void chains_survive_growth(void **state)
{
    enum { MANY = 100000 };
    struct rig *rig = *state;
    for (uint32_t i = 0; i < MANY; i++)
        add(rig, i % (MANY / 2) * UINT32_C(2654435761));
    for (uint32_t i = 0; i < MANY / 2; i++)
        HAS(rig, i * UINT32_C(2654435761), i, i + MANY / 2);
    assert_true(rig->machine.allocations < 40);
}

/* 16 bytes an entry, and heads enough that a chain is short. */
static void heads_are_a_power_of_two_and_enough(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(sizeof(struct sfi_log_place), 16);
    for (uint32_t more = 1; more < 3000000; more = more * 3 + 1) {
        assert_int_equal(sfi_log_index_reserve(&rig->index, more), 0);
        uint32_t heads = rig->index.head_count;
        assert_int_equal(heads & (heads - 1), 0);
        assert_true(heads >= more / 2);
        assert_true(heads <= (more > 1024 ? more : 1024)); /* 4 bytes an entry at most */
        assert_true(rig->index.capacity >= more);
    }
}

static void what_was_reserved_needs_no_memory(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(sfi_log_index_reserve(&rig->index, 5000), 0);
    rig->machine.fail_allocation = 1;
    rig->machine.fail_for_good = 1;
    for (uint32_t i = 0; i < 5000; i++)
        sfi_log_index_add(&rig->index, i % 1000, i / 7, i * 8);
    HAS(rig, 999, 999, 1999, 2999, 3999, 4999);
}

/* -- rollback ---------------------------------------------------------------------------------- */

static void a_rollback_takes_the_newest_back(void **state)
{
    struct rig *rig = *state;
    add(rig, 1);
    add(rig, 2);
    add(rig, 1);
    add(rig, 3);
    sfi_log_index_rollback(&rig->index, 2);
    assert_int_equal(rig->index.count, 2);
    HAS(rig, 1, 0);
    HAS(rig, 2, 1);
    has(rig, 3, NULL, 0);
    add(rig, 2);
    HAS(rig, 2, 1, 2);
    sfi_log_index_rollback(&rig->index, 0);
    has(rig, 1, NULL, 0);
    has(rig, 2, NULL, 0);
}

static void a_rollback_to_what_there_is_changes_nothing(void **state)
{
    struct rig *rig = *state;
    add(rig, 1);
    add(rig, 1);
    sfi_log_index_rollback(&rig->index, 2);
    sfi_log_index_rollback(&rig->index, 1000);
    HAS(rig, 1, 0, 1);
}

/* Copies of the heads and of the places in use. */
struct picture {
    uint32_t *heads;
    struct sfi_log_place *places;
    uint32_t count, head_count;
};

static struct picture picture_of(const struct sfi_log_index *index)
{
    struct picture picture = {malloc(index->head_count * sizeof(uint32_t)),
                              malloc(index->count * sizeof(struct sfi_log_place)), index->count,
                              index->head_count};
    if (!picture.heads || !picture.places)
        abort();
    memcpy(picture.heads, index->heads, index->head_count * sizeof(uint32_t));
    memcpy(picture.places, index->places, index->count * sizeof(struct sfi_log_place));
    return picture;
}

static void is_as_pictured(const struct sfi_log_index *index, struct picture picture)
{
    assert_int_equal(index->count, picture.count);
    assert_int_equal(index->head_count, picture.head_count);
    assert_memory_equal(index->heads, picture.heads, picture.head_count * sizeof(uint32_t));
    assert_memory_equal(index->places, picture.places,
                        picture.count * sizeof(struct sfi_log_place));
    free(picture.heads);
    free(picture.places);
}

static void a_rollback_restores_every_chain(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(sfi_log_index_reserve(&rig->index, 20000), 0);
    for (int round = 0; round < 50; round++) {
        for (uint64_t i = draw(rig, 200); i > 0; i--)
            add(rig, (uint32_t)draw(rig, 300) << 12);
        struct picture picture = picture_of(&rig->index);
        for (uint64_t i = draw(rig, 500); i > 0; i--)
            add(rig, (uint32_t)draw(rig, 300) << 12);
        sfi_log_index_rollback(&rig->index, picture.count);
        is_as_pictured(&rig->index, picture);
    }
}

/* The chains were linked anew meanwhile. */
static void a_rollback_across_growth_restores_the_entries(void **state)
{
    struct rig *rig = *state;
    for (uint32_t i = 0; i < 3000; i++)
        add(rig, i % 1500);
    for (uint32_t i = 0; i < 50000; i++)
        add(rig, i);
    sfi_log_index_rollback(&rig->index, 3000);
    for (uint32_t i = 0; i < 1500; i++)
        HAS(rig, i, i, i + 1500);
    has(rig, 1500, NULL, 0);
}

/* -- no memory --------------------------------------------------------------------------------- */

static void a_failed_reserve_leaves_the_index_as_it_was(void **state)
{
    struct rig *rig = *state;
    for (uint32_t i = 0; i < 1000; i++)
        add(rig, i % 500);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        rig->machine.fail_allocation = rig->machine.allocations + nth;
        assert_int_equal(sfi_log_index_reserve(&rig->index, (uint32_t)nth * 10000), SF_ENOMEM);
        rig->machine.fail_allocation = 0;
        assert_int_equal(rig->index.count, 1000);
        for (uint32_t i = 0; i < 500; i++)
            HAS(rig, i, i, i + 500);
    }
    assert_int_equal(sfi_log_index_reserve(&rig->index, 10000), 0);
    add(rig, 3);
    HAS(rig, 3, 3, 503, 1000);
}

static void the_first_reserve_may_fail(void **state)
{
    struct rig *rig = *state;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        rig->machine.fail_allocation = rig->machine.allocations + nth;
        assert_int_equal(sfi_log_index_reserve(&rig->index, 1), SF_ENOMEM);
        rig->machine.fail_allocation = 0;
        has(rig, 0, NULL, 0);
        sfi_log_index_rollback(&rig->index, 0);
    }
    add(rig, 9);
    HAS(rig, 9, 0);
}

static void more_entries_than_numbers_do_not_fit(void **state)
{
    struct rig *rig = *state;
    add(rig, 1);
    uint64_t allocations = rig->machine.allocations;
    assert_int_equal(sfi_log_index_reserve(&rig->index, UINT32_MAX), SF_ENOMEM);
    assert_int_equal(sfi_log_index_reserve(&rig->index, SFI_INDEX_NONE / 2), SF_ENOMEM);
    assert_int_equal(rig->machine.allocations, allocations);
    HAS(rig, 1, 0);
}

static void the_end_gives_the_memory_back(void **state)
{
    struct rig *rig = *state;
    add(rig, 1);
    sfi_log_index_fini(&rig->index);
    assert_int_equal(rig->machine.live, 0);
    has(rig, 1, NULL, 0);
    add(rig, 2); /* as new */
    HAS(rig, 2, 0);
}

static void a_reader_goes_on_when_the_entry_it_stands_on_was_taken_back(void **state)
{
    struct rig *rig = *state;
    add(rig, 5);
    add(rig, 6);
    add(rig, 5);
    add(rig, 5);
    uint32_t at = find(rig, 5);
    assert_int_equal(at, 3);
    sfi_log_index_rollback(&rig->index, 2);
    assert_int_equal(sfi_log_index_find(&rig->index, 5, at), 0);
    add(rig, 6);
    add(rig, 6); /* another has its number now */
    assert_int_equal(sfi_log_index_find(&rig->index, 5, at), 0);
    add(rig, 5);
    assert_int_equal(sfi_log_index_find(&rig->index, 5, at), 0);
    assert_int_equal(sfi_log_index_find(&rig->index, 5, 0), SFI_INDEX_NONE);
}

/* -- random ------------------------------------------------------------------------------------ */

enum { MODEL_STEPS = 20000, MODEL_ENTRIES = 60000, MODEL_HASHES = 64 };

struct model {
    uint32_t hashes[MODEL_ENTRIES];
    uint32_t count;
};

static void agrees(const struct rig *rig, const struct model *model, uint32_t hash)
{
    uint32_t at = find(rig, hash);
    for (uint32_t i = model->count; i > 0; i--) {
        if (model->hashes[i - 1] != hash)
            continue;
        assert_int_equal(at, i - 1);
        assert_int_equal(rig->index.places[at].chunk, at / 7);
        at = older(rig, at);
    }
    assert_int_equal(at, SFI_INDEX_NONE);
}

static uint32_t draw_hash(struct rig *rig)
{
    return (uint32_t)draw(rig, MODEL_HASHES) * UINT32_C(0x10000401);
}

/* A reserve may fail before it succeeds. */
static void model_append(struct rig *rig, struct model *model)
{
    uint32_t more = (uint32_t)draw(rig, draw(rig, 50) ? 10 : 3000);
    if (model->count + more > MODEL_ENTRIES)
        return;
    if (draw(rig, 4) == 0) {
        rig->machine.fail_allocation = rig->machine.allocations + 1 + draw(rig, 2);
        sfi_log_index_reserve(&rig->index, more);
        rig->machine.fail_allocation = 0;
    }
    assert_int_equal(sfi_log_index_reserve(&rig->index, more), 0);
    for (; more > 0; more--) {
        uint32_t hash = draw_hash(rig);
        sfi_log_index_add(&rig->index, hash, model->count / 7, model->count * 8);
        model->hashes[model->count++] = hash;
    }
}

static void model_rollback(struct rig *rig, struct model *model)
{
    uint64_t most = draw(rig, 20) ? 20 : model->count + 1;
    uint32_t back = (uint32_t)draw(rig, most);
    model->count -= back < model->count ? back : model->count;
    sfi_log_index_rollback(&rig->index, model->count);
    assert_int_equal(rig->index.count, model->count);
}

static void any_run_of_appends_and_rollbacks_agrees_with_a_list(void **state)
{
    struct rig *rig = *state;
    static struct model model;
    uint32_t most = 0;
    model.count = 0;
    for (int step = 0; step < MODEL_STEPS; step++) {
        if (draw(rig, 4))
            model_append(rig, &model);
        else
            model_rollback(rig, &model);
        most = model.count > most ? model.count : most;
        if (step % 16 == 0)
            agrees(rig, &model, draw_hash(rig));
    }
    assert_true(most > 5000);
    for (uint32_t i = 0; i < MODEL_HASHES; i++)
        agrees(rig, &model, i * UINT32_C(0x10000401));
}

#define HERE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(nothing_is_found_where_nothing_is),
        HERE(entries_of_one_hash_come_newest_first),
        HERE(hashes_of_one_chain_are_told_apart),
        HERE(every_hash_may_be_one),
        HERE(many_entries_of_one_hash_make_one_chain),
        HERE(chains_survive_growth),
        HERE(heads_are_a_power_of_two_and_enough),
        HERE(what_was_reserved_needs_no_memory),
        HERE(a_rollback_takes_the_newest_back),
        HERE(a_rollback_to_what_there_is_changes_nothing),
        HERE(a_rollback_restores_every_chain),
        HERE(a_rollback_across_growth_restores_the_entries),
        HERE(a_failed_reserve_leaves_the_index_as_it_was),
        HERE(the_first_reserve_may_fail),
        HERE(more_entries_than_numbers_do_not_fit),
        HERE(a_reader_goes_on_when_the_entry_it_stands_on_was_taken_back),
        HERE(the_end_gives_the_memory_back),
        HERE(any_run_of_appends_and_rollbacks_agrees_with_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
