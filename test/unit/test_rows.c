/* test_rows.c - what is read of open batch, sealed batch and store together, against an array.
 *
 * On the store in memory and on LMDB: random turns put and delete, some are undone; epochs are sealed, and
 * settle some time later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "actor/rows.h"
#include "support/store_rig.h"
#include "support/support.h"

enum { KEYS = 60, STEPS = 6000 };

struct model {
    uint32_t value[KEYS]; /* 0: not there */
};

struct rig {
    struct sfi_store *store;
    struct sfi_batch batches[2];
    int open, is_sealed;
    struct sfi_arena arena;
    struct model model;
    uint64_t dice;
};

static uint32_t draw(struct rig *rig, uint32_t below)
{
    rig->dice = rig->dice * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(rig->dice >> 33) % below;
}

static struct sfi_batch *open_batch(struct rig *rig)
{
    return &rig->batches[rig->open];
}

static struct sfi_rows rows_of(struct rig *rig)
{
    return (struct sfi_rows){rig->store, &rig->batches[rig->open], &rig->batches[!rig->open],
                             &rig->arena};
}

static sf_bytes key_of(int i, char text[16])
{
    snprintf(text, 16, "k%02d", i);
    return sf_str(text);
}

static void change(struct rig *rig, int i)
{
    char text[16];
    uint32_t value = draw(rig, 3) ? 1 + draw(rig, 1000) : 0;
    rig->model.value[i] = value;
    if (!value) {
        OK(sfi_batch_delete(open_batch(rig), SFI_ENTRY, key_of(i, text)));
        return;
    }
    uint32_t *room = sfi_batch_put(open_batch(rig), SFI_ENTRY, key_of(i, text), sizeof value);
    assert_non_null(room);
    *room = value;
}

static void run_turn(struct rig *rig)
{
    struct model before = rig->model;
    struct sfi_batch_mark mark = sfi_batch_mark(open_batch(rig));
    for (uint32_t left = draw(rig, 5); left; left--)
        change(rig, (int)draw(rig, KEYS));
    if (draw(rig, 3))
        return;
    sfi_batch_rollback(open_batch(rig), mark);
    rig->model = before;
}

static void settle(struct rig *rig)
{
    if (!rig->is_sealed)
        return;
    assert_int_equal(OK(sfi_store_settle(rig->store, 1)), SFI_DURABLE);
    assert_int_equal(rig->store->durable, rig->batches[!rig->open].epoch);
    sfi_batch_reset(&rig->batches[!rig->open]);
    rig->is_sealed = 0;
}

static void seal(struct rig *rig)
{
    settle(rig);
    sfi_batch_seal(open_batch(rig), rig->store->durable + 1);
    rig->open = !rig->open;
    rig->is_sealed = 1;
    OK(sfi_store_submit(rig->store, &rig->batches[!rig->open]));
    if (draw(rig, 2)) /* on the store's thread, if it has one */
        rig->is_sealed = OK(sfi_store_settle(rig->store, 0)) != SFI_DURABLE;
    if (!rig->is_sealed)
        sfi_batch_reset(&rig->batches[!rig->open]);
}

static void is_value(struct rig *rig, sf_bytes value, int i)
{
    assert_int_equal(value.size, sizeof rig->model.value[i]);
    assert_memory_equal(value.data, &rig->model.value[i], value.size);
}

static void look_up(struct rig *rig, int i)
{
    struct sfi_rows rows = rows_of(rig);
    char text[16];
    sf_bytes value;
    int found = (int)OK(sfi_rows_get(&rows, SFI_ENTRY, key_of(i, text), &value));
    assert_int_equal(found, rig->model.value[i] != 0);
    if (found)
        is_value(rig, value, i);
}

/* The nearest key there is, from `i` on, in steps of +1 or -1; KEYS or -1: none. */
static int nearest(const struct rig *rig, int i, int step)
{
    while (i >= 0 && i < KEYS && !rig->model.value[i])
        i += step;
    return i;
}

static void is_found(struct rig *rig, int rc, sf_bytes key, sf_bytes value, int i)
{
    char text[16];
    sf_bytes expected = key_of(i, text);
    assert_int_equal(rc, i >= 0 && i < KEYS);
    if (rc == 0)
        return;
    assert_int_equal(key.size, expected.size);
    assert_memory_equal(key.data, expected.data, key.size);
    is_value(rig, value, i);
}

static void seek(struct rig *rig, int i)
{
    struct sfi_rows rows = rows_of(rig);
    char text[16];
    sf_bytes from = key_of(i, text), key = SF_NONE, value = SF_NONE;
    int after = (int)draw(rig, 2);
    int rc = (int)OK(sfi_rows_seek(&rows, SFI_ENTRY, from, after, &key, &value));
    is_found(rig, rc, key, value, nearest(rig, i + after, 1));
    rc = (int)OK(sfi_rows_seek_before(&rows, SFI_ENTRY, from, &key, &value));
    is_found(rig, rc, key, value, nearest(rig, i - 1, -1));
    rc = (int)OK(sfi_rows_seek_before(&rows, SFI_ENTRY, SF_NONE, &key, &value));
    is_found(rig, rc, key, value, nearest(rig, KEYS - 1, -1));
    sfi_arena_reset(&rig->arena);
}

static void walk_at_random(struct rig *rig)
{
    for (int step = 0; step < STEPS; step++) {
        switch (draw(rig, 8)) {
        case 0:
            seal(rig);
            break;
        case 1:
            settle(rig);
            break;
        case 2:
        case 3:
            run_turn(rig);
            break;
        default:
            look_up(rig, (int)draw(rig, KEYS));
            seek(rig, (int)draw(rig, KEYS));
        }
    }
}

static void run(struct rig *rig)
{
    sfi_batch_init(&rig->batches[0], sfi_sys_default());
    sfi_batch_init(&rig->batches[1], sfi_sys_default());
    sfi_arena_init(&rig->arena, sfi_sys_default());
    walk_at_random(rig);
    settle(rig);
    sfi_batch_fini(&rig->batches[0]);
    sfi_batch_fini(&rig->batches[1]);
    sfi_arena_fini(&rig->arena);
}

static void run_on(void **state, enum backend backend)
{
    struct store_rig *store = store_rig_new(*state, backend);
    struct rig rig = {.dice = 1 + backend};
    OK(store_rig_open(store));
    rig.store = store->store;
    run(&rig);
    store_rig_fini(store);
}

static void rows_of_batches_and_the_store_in_memory_read_as_one_table(void **state)
{
    run_on(state, MEMORY);
}

static void rows_of_batches_and_the_store_on_disk_read_as_one_table(void **state)
{
    run_on(state, DISK);
}

static void they_do_so_while_a_thread_commits(void **state)
{
    run_on(state, THREADED);
}

#define STORE_TEST(function) \
    cmocka_unit_test_setup_teardown(function, place_setup, store_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(rows_of_batches_and_the_store_in_memory_read_as_one_table),
        STORE_TEST(rows_of_batches_and_the_store_on_disk_read_as_one_table),
        STORE_TEST(they_do_so_while_a_thread_commits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
