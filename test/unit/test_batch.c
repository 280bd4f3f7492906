/* test_batch.c - a batch keeps every operation, table by table, in the order in which they came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "store/batch.h"
#include "support/machine.h"

struct rig {
    struct machine machine;
    struct sfi_batch batch;
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    if (!rig)
        return -1;
    machine_init(&rig->machine);
    sfi_batch_init(&rig->batch, &rig->machine.sys);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    sfi_batch_fini(&rig->batch);
    int leaked = rig->machine.live != 0;
    free(rig);
    return leaked ? -1 : 0;
}

static void put(struct sfi_batch *batch, enum sfi_table table, const char *key, const char *value)
{
    void *room = sfi_batch_put(batch, table, sf_str(key), strlen(value));
    assert_non_null(room);
    memcpy(room, value, strlen(value));
}

static void drop(struct sfi_batch *batch, enum sfi_table table, const char *key)
{
    assert_int_equal(sfi_batch_delete(batch, table, sf_str(key)), 0);
}

/* value NULL: a delete. */
static void is_op(const struct sfi_batch *batch, enum sfi_table table, uint32_t i, const char *key,
                  const char *value)
{
    assert_in_range(i + 1, 1, batch->tables[table].count);
    const struct sfi_op *op = &batch->tables[table].ops[i];
    assert_int_equal(sfi_op_key(op).size, strlen(key));
    assert_memory_equal(sfi_op_key(op).data, key, strlen(key));
    assert_int_equal(op->is_delete, value == NULL);
    assert_int_equal(sfi_op_value(op).size, value ? strlen(value) : 0);
    if (value)
        assert_memory_equal(sfi_op_value(op).data, value, strlen(value));
}

static uint32_t count_of(const struct sfi_batch *batch, enum sfi_table table)
{
    return batch->tables[table].count;
}

static uint64_t draw(struct rig *rig, uint64_t below)
{
    return rig->machine.sys.random(rig->machine.sys.ctx) % below;
}

/* -- the lists --------------------------------------------------------------------------------- */

static void each_table_has_its_operations_in_the_order_they_came(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    put(batch, SFI_OUTBOX, "a", "5");
    put(batch, SFI_STATE, "b", "4");
    put(batch, SFI_STATE, "ab", "3");
    drop(batch, SFI_STATE, "a");
    put(batch, SFI_META, "z", "1");
    assert_int_equal(batch->op_count, 5);
    assert_int_equal(count_of(batch, SFI_META), 1);
    assert_int_equal(count_of(batch, SFI_STATE), 3);
    assert_int_equal(count_of(batch, SFI_MAILBOX), 0);
    assert_int_equal(count_of(batch, SFI_OUTBOX), 1);
    assert_int_equal(count_of(batch, SFI_DEAD), 0);
    is_op(batch, SFI_META, 0, "z", "1");
    is_op(batch, SFI_STATE, 0, "b", "4");
    is_op(batch, SFI_STATE, 1, "ab", "3");
    is_op(batch, SFI_STATE, 2, "a", NULL);
    is_op(batch, SFI_OUTBOX, 0, "a", "5");
}

/* Which of them counts is for the store to say: see test_key_order.c. */
static void every_operation_on_a_key_is_kept(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    put(batch, SFI_STATE, "k", "1");
    drop(batch, SFI_STATE, "k");
    put(batch, SFI_STATE, "k", "2");
    put(batch, SFI_DEAD, "k", "other table");
    sfi_batch_seal(batch, 1);
    assert_int_equal(batch->op_count, 4);
    is_op(batch, SFI_STATE, 0, "k", "1");
    is_op(batch, SFI_STATE, 1, "k", NULL);
    is_op(batch, SFI_STATE, 2, "k", "2");
    is_op(batch, SFI_DEAD, 0, "k", "other table");
}

static void sealing_says_the_epoch_and_changes_nothing_else(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    put(batch, SFI_STATE, "b", "1");
    put(batch, SFI_STATE, "a", "2");
    struct sfi_batch before;
    memcpy(&before, batch, sizeof before); /* padding too */
    sfi_batch_seal(batch, 7);
    assert_int_equal(batch->epoch, 7);
    before.epoch = 7;
    assert_memory_equal(batch, &before, sizeof before);
    is_op(batch, SFI_STATE, 0, "b", "1");
    is_op(batch, SFI_STATE, 1, "a", "2");
    sfi_batch_reset(batch);
    assert_int_equal(batch->epoch, 0);
    assert_int_equal(count_of(batch, SFI_STATE), 0);
}

static uint64_t on_eight(uint64_t size)
{
    return (size + 7) / 8 * 8;
}

static void the_bytes_are_those_of_all_keys_and_values(void **state)
{
    struct rig *rig = *state;
    uint64_t bytes = 0;
    for (size_t i = 0; i < 500; i++) {
        unsigned char key[SFI_KEY_MAX] = {1};
        size_t key_size = 1 + draw(rig, SFI_KEY_MAX), size = draw(rig, 3000);
        enum sfi_table table = (enum sfi_table)(i % SFI_TABLES);
        assert_non_null(sfi_batch_put(&rig->batch, table, SF_BYTES(key, key_size), size));
        assert_int_equal(sfi_batch_delete(&rig->batch, table, SF_BYTES(key, key_size)), 0);
        bytes += 2 * on_eight(key_size) + on_eight(size);
        if (sfi_table_is_readable(table)) /* and its place among the rows, once or twice */
            assert_in_range(rig->batch.bytes, bytes + 2 * 16, bytes + 2 * 16 + 32 + 8 * SFI_TOWER_MAX);
        else
            assert_int_equal(rig->batch.bytes, bytes);
        bytes = rig->batch.bytes;
    }
}

/* -- marks ------------------------------------------------------------------------------------- */

static void a_rollback_takes_back_what_came_after_the_mark(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    struct sfi_batch_mark empty = sfi_batch_mark(batch);
    put(batch, SFI_STATE, "a", "1");
    struct sfi_batch_mark mark = sfi_batch_mark(batch);
    uint64_t bytes = batch->bytes;
    put(batch, SFI_STATE, "a", "2");
    assert_non_null(sfi_batch_put(batch, SFI_STATE, sf_str("big"), 1 << 20));
    put(batch, SFI_STATE, "c", "3");
    sfi_batch_rollback(batch, mark);
    assert_int_equal(batch->bytes, bytes);
    put(batch, SFI_STATE, "d", "4");
    assert_int_equal(batch->op_count, 2);
    is_op(batch, SFI_STATE, 0, "a", "1");
    is_op(batch, SFI_STATE, 1, "d", "4");
    sfi_batch_rollback(batch, empty);
    assert_int_equal(batch->op_count, 0);
    assert_int_equal(count_of(batch, SFI_STATE), 0);
    assert_int_equal(batch->bytes, 0);
}

static void a_rollback_takes_back_from_every_table(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    for (int table = 0; table < SFI_TABLES; table++)
        for (int i = 0; i < table; i++) {
            sfi_batch_mark(batch); /* so that none takes the place of the former one */
            put(batch, (enum sfi_table)table, "kept", "1");
        }
    struct sfi_batch_mark mark = sfi_batch_mark(batch);
    for (int table = 0; table < SFI_TABLES; table++)
        for (int i = table; i < 100; i++)
            drop(batch, (enum sfi_table)table, "gone");
    sfi_batch_rollback(batch, mark);
    assert_int_equal(batch->op_count, SFI_TABLES * (SFI_TABLES - 1) / 2);
    for (int table = 0; table < SFI_TABLES; table++) {
        assert_int_equal(count_of(batch, (enum sfi_table)table), table);
        for (int i = 0; i < table; i++)
            is_op(batch, (enum sfi_table)table, (uint32_t)i, "kept", "1");
    }
}

static void a_rollback_of_nothing_changes_nothing(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    sfi_batch_rollback(batch, sfi_batch_mark(batch));
    put(batch, SFI_META, "a", "1");
    struct sfi_batch_mark mark = sfi_batch_mark(batch);
    struct sfi_batch before;
    memcpy(&before, batch, sizeof before); /* padding too */
    sfi_batch_rollback(batch, mark);
    assert_memory_equal(batch, &before, sizeof before);
}

/* One turn: up to three puts into tables at random. */
static void random_turn(struct rig *rig, uint32_t turn, uint32_t puts)
{
    for (uint32_t i = 0; i < puts; i++) {
        uint32_t key[2] = {turn, i}, size = draw(rig, 50) ? 40 : 300000;
        enum sfi_table table = (enum sfi_table)draw(rig, SFI_TABLES);
        unsigned char *value = sfi_batch_put(&rig->batch, table, SF_OF(key), size);
        assert_non_null(value);
        memset(value, (int)(turn % 251), size);
    }
}

static uint32_t turn_of(const struct sfi_op *op)
{
    uint32_t key[2];
    memcpy(key, op->key, sizeof key);
    return key[0];
}

static void is_whole(const struct sfi_op *op)
{
    sf_bytes value = sfi_op_value(op);
    for (size_t at = 0; at < value.size; at++)
        if (((const unsigned char *)value.data)[at] != turn_of(op) % 251)
            fail_msg("the value of turn %u was overwritten", turn_of(op));
}

/* Random turns, some of which fail, against a list of the ones that did not. */
static void any_nesting_of_turns_and_failures_leaves_the_kept_ones(void **state)
{
    enum { TURNS = 3000 };
    struct rig *rig = *state;
    struct sfi_batch *batch = &rig->batch;
    uint32_t kept[TURNS + 1] = {0}, total = 0;
    for (uint32_t turn = 1; turn <= TURNS; turn++) {
        struct sfi_batch_mark mark = sfi_batch_mark(batch);
        uint32_t puts = (uint32_t)draw(rig, 4);
        random_turn(rig, turn, puts);
        if (draw(rig, 3) == 0) {
            sfi_batch_rollback(batch, mark);
        } else {
            kept[turn] = puts;
            total += puts;
        }
        assert_int_equal(batch->op_count, total);
    }
    for (int table = 0; table < SFI_TABLES; table++) {
        const struct sfi_op_list *list = &batch->tables[table];
        for (uint32_t i = 0; i < list->count; i++) {
            is_whole(&list->ops[i]);
            assert_true(kept[turn_of(&list->ops[i])]-- > 0);
            assert_true(i == 0 || turn_of(&list->ops[i - 1]) <= turn_of(&list->ops[i]));
            total--;
        }
    }
    assert_int_equal(total, 0);
}

/* -- memory ------------------------------------------------------------------------------------ */

static void values_are_aligned_and_stay_where_they_are(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    unsigned char *first = sfi_batch_put(batch, SFI_STATE, sf_str("k"), 3);
    memcpy(first, "abc", 3);
    for (size_t size = 0; size < 2000; size++) {
        char key[17] = "0123456789abcdef";
        enum sfi_table table = (enum sfi_table)(size % SFI_TABLES);
        void *value = sfi_batch_put(batch, table, SF_BYTES(key, 1 + size % 16), size);
        const struct sfi_op_list *list = &batch->tables[table];
        assert_non_null(value);
        assert_int_equal((uintptr_t)value % 8, 0);
        assert_ptr_equal(value, sfi_op_value(&list->ops[list->count - 1]).data);
        memset(value, 0xff, size);
        assert_memory_equal(list->ops[list->count - 1].key, key, 1 + size % 16);
    }
    assert_memory_equal(first, "abc", 3);
    assert_ptr_equal(first, sfi_op_value(&batch->tables[SFI_STATE].ops[0]).data);
}

static void the_largest_values_and_keys_fit(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    unsigned char key[SFI_KEY_MAX];
    memset(key, 3, sizeof key);
    unsigned char *value = sfi_batch_put(batch, SFI_STATE, SF_OF(key), (16 << 20) + 100);
    assert_non_null(value);
    memset(value, 1, (16 << 20) + 100);
    const struct sfi_op *op = &batch->tables[SFI_STATE].ops[0];
    assert_int_equal(sfi_op_value(op).size, (16 << 20) + 100);
    assert_memory_equal(op->key, key, sizeof key);
}

static void a_batch_used_again_allocates_nothing(void **state)
{
    struct rig *rig = *state;
    uint64_t allocations = 0;
    for (int round = 0; round < 5; round++) {
        sfi_batch_reset(&rig->batch);
        assert_int_equal(rig->batch.op_count, 0);
        assert_int_equal(rig->batch.bytes, 0);
        for (uint32_t i = 0; i < 5000; i++) {
            enum sfi_table table = (enum sfi_table)(i % SFI_TABLES);
            assert_non_null(sfi_batch_put(&rig->batch, table, SF_OF(i), 200));
        }
        sfi_batch_seal(&rig->batch, (uint64_t)round + 1);
        if (round > 0)
            assert_int_equal(rig->machine.allocations, allocations);
        allocations = rig->machine.allocations;
    }
}

static void a_reset_gives_back_what_one_large_value_took(void **state)
{
    struct rig *rig = *state;
    put(&rig->batch, SFI_STATE, "small", "1");
    uint64_t live = rig->machine.live;
    for (int i = 0; i < 3; i++)
        assert_non_null(sfi_batch_put(&rig->batch, SFI_STATE, sf_str("large"), 1 << 20));
    assert_int_equal(rig->machine.live, live + 3);
    sfi_batch_reset(&rig->batch);
    assert_int_equal(rig->machine.live, live);
    put(&rig->batch, SFI_STATE, "next", "2");
    is_op(&rig->batch, SFI_STATE, 0, "next", "2");
}

static void what_was_rolled_back_is_used_again(void **state)
{
    struct rig *rig = *state;
    uint64_t live = 0;
    put(&rig->batch, SFI_STATE, "kept", "1");
    struct sfi_batch_mark mark = sfi_batch_mark(&rig->batch);
    for (int round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < 5000; i++)
            assert_non_null(sfi_batch_put(&rig->batch, SFI_STATE, SF_OF(i), 200));
        sfi_batch_rollback(&rig->batch, mark);
        if (round > 0)
            assert_int_equal(rig->machine.live, live);
        live = rig->machine.live;
    }
}

static size_t size_of(uint32_t i)
{
    return i % 500 ? 300 : 400000;
}

/* Puts and deletes in turn; NULL or SF_ENOMEM must leave no trace. */
static int try_op(struct sfi_batch *batch, uint32_t i)
{
    enum sfi_table table = (enum sfi_table)(i % SFI_TABLES);
    uint32_t *value, count = batch->op_count, in_table = batch->tables[table].count;
    uint64_t bytes = batch->bytes;
    int rc = 0;
    if (i % 3 == 0)
        rc = sfi_batch_delete(batch, table, SF_OF(i));
    else if ((value = sfi_batch_put(batch, table, SF_OF(i), size_of(i))))
        *value = i;
    else
        rc = SF_ENOMEM;
    if (rc == 0)
        return 1;
    assert_int_equal(rc, SF_ENOMEM);
    assert_int_equal(batch->op_count, count);
    assert_int_equal(batch->tables[table].count, in_table);
    assert_int_equal(batch->bytes, bytes);
    return 0;
}

/* Tries each operation again after a failure, as a turn does that is run again. */
static void fill_despite_failures(struct sfi_batch *batch)
{
    for (uint32_t i = 0; i < 1500; i++)
        assert_true(try_op(batch, i) || try_op(batch, i));
    assert_int_equal(batch->op_count, 1500);
    for (uint32_t i = 0; i < 1500; i++) {
        const struct sfi_op *op = &batch->tables[i % SFI_TABLES].ops[i / SFI_TABLES];
        uint32_t key, value = 0;
        memcpy(&key, op->key, sizeof key);
        assert_int_equal(key, i);
        assert_int_equal(op->is_delete, i % 3 == 0);
        assert_int_equal(op->value_size, op->is_delete ? 0 : size_of(i));
        if (op->is_delete)
            continue;
        memcpy(&value, sfi_op_value(op).data, sizeof value);
        assert_int_equal(value, i);
    }
}

static void a_failed_allocation_leaves_the_batch_as_it_was(void **state)
{
    struct rig *rig = *state;
    fill_despite_failures(&rig->batch);
    uint64_t total = rig->machine.allocations;
    assert_true(total > 5);
    for (uint64_t i = 1; i <= total; i++) {
        sfi_batch_fini(&rig->batch);
        rig->machine.allocations = 0;
        rig->machine.fail_allocation = i;
        fill_despite_failures(&rig->batch);
    }
    rig->machine.fail_allocation = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* -- readable tables ---------------------------------------------------------------------------------- */

enum { ROW_KEYS = 40, ROW_SIZES = 3 };

/* What a reader must find: the size of each key's value, -1 after a delete, 0 without any operation. */
struct rows_model {
    int size[ROW_KEYS], fill[ROW_KEYS];
};

static sf_bytes row_key(int i, char text[16])
{
    snprintf(text, 16, "k%02d", i);
    return sf_str(text);
}

static void is_row(const struct sfi_op *op, const struct rows_model *model, int i)
{
    char text[16];
    sf_bytes key = row_key(i, text);
    if (model->size[i] == 0) {
        assert_null(op);
        return;
    }
    assert_non_null(op);
    assert_int_equal(op->key_size, key.size);
    assert_memory_equal(op->key, key.data, key.size);
    assert_int_equal(op->is_delete, model->size[i] < 0);
    for (size_t at = 0; at < sfi_op_value(op).size; at++)
        assert_int_equal(((const unsigned char *)sfi_op_value(op).data)[at], model->fill[i]);
}

static void rows_are(const struct sfi_batch *batch, const struct rows_model *model)
{
    const struct sfi_op *op = NULL;
    char text[16];
    for (int i = 0; i < ROW_KEYS; i++) {
        is_row(sfi_batch_find(batch, SFI_ENTRY, row_key(i, text)), model, i);
        if (model->size[i])
            is_row(op = sfi_batch_next(batch, SFI_ENTRY, op), model, i);
    }
    assert_null(sfi_batch_next(batch, SFI_ENTRY, op));
}

static void change_row(struct rig *rig, struct rows_model *model, int i)
{
    char text[16];
    int size = (int)draw(rig, ROW_SIZES + 1), fill = (int)draw(rig, 250);
    model->size[i] = size ? size * 5 : -1;
    model->fill[i] = fill;
    if (!size) {
        assert_int_equal(sfi_batch_delete(&rig->batch, SFI_ENTRY, row_key(i, text)), 0);
        return;
    }
    void *value = sfi_batch_put(&rig->batch, SFI_ENTRY, row_key(i, text), (size_t)size * 5);
    assert_non_null(value);
    memset(value, fill, (size_t)size * 5);
}

static void a_readable_table_shows_the_newest_of_each_key_through_turns_that_fail(void **state)
{
    struct rig *rig = *state;
    struct rows_model model = {{0}, {0}};
    for (int turn = 0; turn < 3000; turn++) {
        struct rows_model before = model;
        struct sfi_batch_mark mark = sfi_batch_mark(&rig->batch);
        uint64_t bytes = rig->batch.bytes;
        for (uint64_t left = draw(rig, 6); left; left--)
            change_row(rig, &model, (int)draw(rig, ROW_KEYS));
        if (draw(rig, 2)) {
            sfi_batch_rollback(&rig->batch, mark);
            model = before;
            assert_int_equal(rig->batch.bytes, bytes);
        }
        rows_are(&rig->batch, &model);
        if (turn % 500 == 499) {
            sfi_batch_reset(&rig->batch);
            model = (struct rows_model){{0}, {0}};
            rows_are(&rig->batch, &model);
        }
    }
}

static void a_row_written_again_in_one_turn_takes_no_more_room(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    sfi_batch_mark(batch);
    put(batch, SFI_ENTRY, "k", "first");
    uint64_t bytes = batch->bytes;
    for (int i = 0; i < 1000; i++)
        put(batch, SFI_ENTRY, "k", "again");
    assert_int_equal(batch->bytes, bytes);
    assert_int_equal(batch->tables[SFI_ENTRY].count, 1);
    sfi_batch_mark(batch); /* another turn: the former bytes may be needed again */
    put(batch, SFI_ENTRY, "k", "third");
    assert_int_equal(batch->tables[SFI_ENTRY].count, 2);
}

static void the_nearest_rows_are_found_both_ways(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    put(batch, SFI_TIMER, "b", "1");
    put(batch, SFI_TIMER, "d", "2");
    drop(batch, SFI_TIMER, "f");
    assert_memory_equal(sfi_batch_after(batch, SFI_TIMER, sf_str("b"), 0)->key, "b", 1);
    assert_memory_equal(sfi_batch_after(batch, SFI_TIMER, sf_str("b"), 1)->key, "d", 1);
    assert_true(sfi_batch_after(batch, SFI_TIMER, sf_str("e"), 0)->is_delete);
    assert_null(sfi_batch_after(batch, SFI_TIMER, sf_str("f"), 1));
    assert_memory_equal(sfi_batch_before(batch, SFI_TIMER, sf_str("d"), 1)->key, "b", 1);
    assert_memory_equal(sfi_batch_before(batch, SFI_TIMER, sf_str("d"), 0)->key, "d", 1);
    assert_null(sfi_batch_before(batch, SFI_TIMER, sf_str("b"), 1));
    assert_null(sfi_batch_find(batch, SFI_ENTRY, sf_str("b"))); /* another table */
}

static void a_batch_used_again_knows_nothing_of_former_marks(void **state)
{
    struct sfi_batch batch;
    (void)state;
    sfi_batch_init(&batch, sfi_sys_default());
    for (int i = 0; i < 4; i++)
        assert_non_null(sfi_batch_put(&batch, SFI_DEAD, SF_OF(((char[]){'k', (char)i})), 8));
    (void)sfi_batch_mark(&batch);
    sfi_batch_reset(&batch);
    for (int i = 0; i < 4; i++) /* one row, written again */
        assert_non_null(sfi_batch_put(&batch, SFI_DEAD, sf_str("k"), 8));
    assert_int_equal(batch.op_count, 1);
    sfi_batch_fini(&batch);
}

static void a_key_that_is_none_of_ours_is_not_taken(void **state)
{
    static const char longest[SFI_KEY_MAX + 1];
    struct sfi_batch batch;
    (void)state;
    sfi_batch_init(&batch, sfi_sys_default());
    assert_null(sfi_batch_put(&batch, SFI_HELD, SF_BYTES("", 0), 8));
    assert_null(sfi_batch_put(&batch, SFI_HELD, SF_BYTES(longest, SFI_KEY_MAX + 1), 8));
    assert_null(sfi_batch_put(&batch, SFI_HELD, sf_str("k"), (size_t)UINT32_MAX + 1));
    assert_true(sfi_batch_delete(&batch, SFI_HELD, SF_BYTES("", 0)) < 0);
    assert_int_equal(batch.op_count, 0);
    assert_non_null(sfi_batch_put(&batch, SFI_HELD, SF_BYTES(longest, SFI_KEY_MAX), 8));
    sfi_batch_fini(&batch);
}

/* A filter is asked first then. */
static void of_many_rows_each_is_found_and_no_other(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    enum { ROWS = 2000 };
    for (int life = 0; life < 2; life++) { /* the second has only what it puts */
        struct sfi_batch_mark mark = {.op_count = 0};
        for (uint64_t i = 0; i < ROWS; i++) {
            unsigned char key[8];
            if (i == ROWS / 2)
                mark = sfi_batch_mark(batch);
            sfi_be64_put(key, i * 2 + (uint64_t)life);
            assert_non_null(sfi_batch_put(batch, SFI_ENTRY, SF_BYTES(key, 8), 4));
        }
        for (uint64_t i = 0; i < 2 * ROWS; i++) {
            unsigned char key[8];
            sfi_be64_put(key, i);
            const struct sfi_op *op = sfi_batch_find(batch, SFI_ENTRY, SF_BYTES(key, 8));
            assert_int_equal(op != NULL, i % 2 == (uint64_t)life);
            assert_null(sfi_batch_find(batch, SFI_TIMER, SF_BYTES(key, 8)));
        }
        sfi_batch_rollback(batch, mark);
        for (uint64_t i = 0; i < ROWS; i++) {
            unsigned char key[8];
            sfi_be64_put(key, i * 2 + (uint64_t)life);
            const struct sfi_op *op = sfi_batch_find(batch, SFI_ENTRY, SF_BYTES(key, 8));
            assert_int_equal(op != NULL, i < ROWS / 2);
        }
        sfi_batch_reset(batch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_table_has_its_operations_in_the_order_they_came),
        TEST(every_operation_on_a_key_is_kept),
        TEST(sealing_says_the_epoch_and_changes_nothing_else),
        TEST(the_bytes_are_those_of_all_keys_and_values),
        TEST(a_rollback_takes_back_what_came_after_the_mark),
        TEST(a_rollback_takes_back_from_every_table),
        TEST(a_rollback_of_nothing_changes_nothing),
        TEST(any_nesting_of_turns_and_failures_leaves_the_kept_ones),
        TEST(values_are_aligned_and_stay_where_they_are),
        TEST(of_many_rows_each_is_found_and_no_other),
        TEST(the_largest_values_and_keys_fit),
        TEST(a_batch_used_again_allocates_nothing),
        TEST(a_reset_gives_back_what_one_large_value_took),
        TEST(what_was_rolled_back_is_used_again),
        TEST(a_failed_allocation_leaves_the_batch_as_it_was),
        TEST(a_readable_table_shows_the_newest_of_each_key_through_turns_that_fail),
        TEST(a_row_written_again_in_one_turn_takes_no_more_room),
        TEST(the_nearest_rows_are_found_both_ways),
        cmocka_unit_test(a_batch_used_again_knows_nothing_of_former_marks),
        cmocka_unit_test(a_key_that_is_none_of_ours_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
