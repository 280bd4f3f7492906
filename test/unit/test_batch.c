/* test_batch.c - a batch keeps the last operation on each key, in LMDB's order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

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
static void is_op(const struct sfi_batch *batch, uint32_t i, enum sfi_table table, const char *key,
                  const char *value)
{
    assert_in_range(i + 1, 1, batch->op_count);
    const struct sfi_op *op = &batch->ops[i];
    assert_int_equal(op->table, table);
    assert_int_equal(sfi_op_key(op).size, strlen(key));
    assert_memory_equal(sfi_op_key(op).data, key, strlen(key));
    assert_int_equal(op->is_delete, value == NULL);
    assert_int_equal(sfi_op_value(op).size, value ? strlen(value) : 0);
    if (value)
        assert_memory_equal(sfi_op_value(op).data, value, strlen(value));
}

/* -- order ------------------------------------------------------------------------------------------ */

static void a_sealed_batch_is_sorted_by_table_and_key(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    put(batch, SFI_OUTBOX, "a", "5");
    put(batch, SFI_STATE, "b", "4");
    put(batch, SFI_STATE, "ab", "3");
    drop(batch, SFI_STATE, "a");
    put(batch, SFI_META, "z", "1");
    sfi_batch_seal(batch, 7);
    assert_int_equal(batch->epoch, 7);
    assert_int_equal(batch->op_count, 5);
    is_op(batch, 0, SFI_META, "z", "1");
    is_op(batch, 1, SFI_STATE, "a", NULL);
    is_op(batch, 2, SFI_STATE, "ab", "3");
    is_op(batch, 3, SFI_STATE, "b", "4");
    is_op(batch, 4, SFI_OUTBOX, "a", "5");
}

static void the_last_operation_on_a_key_wins(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    put(batch, SFI_STATE, "k", "1");
    drop(batch, SFI_STATE, "k");
    put(batch, SFI_STATE, "k", "2");
    put(batch, SFI_STATE, "l", "1");
    drop(batch, SFI_STATE, "l");
    put(batch, SFI_DEAD, "k", "other table");
    sfi_batch_seal(batch, 1);
    assert_int_equal(batch->op_count, 3);
    is_op(batch, 0, SFI_STATE, "k", "2");
    is_op(batch, 1, SFI_STATE, "l", NULL);
    is_op(batch, 2, SFI_DEAD, "k", "other table");
}

static int compare_keys(const struct sfi_op *a, const struct sfi_op *b)
{
    size_t size = a->key_size < b->key_size ? a->key_size : b->key_size;
    int order = memcmp(a->key, b->key, size);
    return order ? order : (int)a->key_size - (int)b->key_size;
}

/* Few different bytes, zeroes among them, and keys that are the start of others: all that a prefix
 * comparison could get wrong. */
static void any_keys_come_out_in_order_with_their_newest_value(void **state)
{
    enum { OPS = 20000, KEYS = 3000 };
    struct rig *rig = *state;
    struct sfi_batch *batch = &rig->batch;
    static uint32_t newest[KEYS];
    uint32_t distinct = 0;
    memset(newest, 0, sizeof newest);
    for (uint32_t i = 1; i <= OPS; i++) {
        uint32_t which = (uint32_t)(rig->machine.sys.random(rig->machine.sys.ctx) % KEYS);
        unsigned char key[24] = {0, 0, 0, 1, 9};
        size_t size = 5;
        for (uint32_t rest = which; rest; rest /= 3)
            key[size++] = (unsigned char)(rest % 3 * 127);
        key[size++] = (unsigned char)(which >> 8); /* so that each number is another key */
        key[size++] = (unsigned char)which;
        distinct += newest[which] == 0;
        newest[which] = i;
        uint32_t *value = sfi_batch_put(batch, SFI_STATE, SF_BYTES(key, size), sizeof *value);
        assert_non_null(value);
        *value = i;
    }
    sfi_batch_seal(batch, 1);
    assert_int_equal(batch->op_count, distinct);
    for (uint32_t i = 0; i < batch->op_count; i++) {
        const struct sfi_op *op = &batch->ops[i];
        uint32_t which = (uint32_t)op->key[op->key_size - 2] << 8 | op->key[op->key_size - 1], value;
        memcpy(&value, sfi_op_value(op).data, sizeof value);
        assert_int_equal(value, newest[which]);
        if (i)
            assert_true(compare_keys(op - 1, op) < 0);
    }
}

/* Keys that share all their bytes but the last, in falling order, and one key again and again. */
static void keys_that_are_hard_to_tell_apart_come_out_in_order(void **state)
{
    enum { LONG = 400, AGAIN = 1000 };
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    unsigned char key[LONG];
    memset(key, 'a', sizeof key);
    for (uint32_t i = 0; i < AGAIN; i++) {
        uint32_t *value = sfi_batch_put(batch, SFI_STATE, SF_BYTES(key, LONG), sizeof *value);
        assert_non_null(value);
        *value = i;
        assert_int_equal(sfi_batch_delete(batch, SFI_STATE, SF_BYTES(key, LONG - 1 - i % (LONG - 1))), 0);
    }
    sfi_batch_seal(batch, 1);
    assert_int_equal(batch->op_count, LONG);
    for (uint32_t i = 0; i < LONG; i++)
        assert_int_equal(batch->ops[i].key_size, i + 1);
    uint32_t value;
    memcpy(&value, sfi_op_value(&batch->ops[LONG - 1]).data, sizeof value);
    assert_int_equal(value, AGAIN - 1);
}

/* -- marks ------------------------------------------------------------------------------------------ */

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
    sfi_batch_seal(batch, 1);
    assert_int_equal(batch->op_count, 2);
    is_op(batch, 0, SFI_STATE, "a", "1");
    is_op(batch, 1, SFI_STATE, "d", "4");
    sfi_batch_rollback(batch, empty);
    assert_int_equal(batch->op_count, 0);
    assert_int_equal(batch->bytes, 0);
}

/* Random turns, some of which fail, against a list of the ones that did not. */
static void any_nesting_of_turns_and_failures_leaves_the_kept_ones(void **state)
{
    enum { TURNS = 3000 };
    struct rig *rig = *state;
    struct sfi_batch *batch = &rig->batch;
    uint32_t kept = 0;
    for (uint32_t turn = 1; turn <= TURNS; turn++) {
        struct sfi_batch_mark mark = sfi_batch_mark(batch);
        uint64_t random = rig->machine.sys.random(rig->machine.sys.ctx);
        for (uint32_t i = 0; i < random % 4; i++) {
            uint32_t key[2] = {turn, i}, size = (random >> 8) % 50 ? 40 : 300000;
            unsigned char *value = sfi_batch_put(batch, SFI_STATE, SF_OF(key), size);
            assert_non_null(value);
            memset(value, (int)(turn % 251), size);
        }
        if ((random >> 16) % 3 == 0)
            sfi_batch_rollback(batch, mark);
        else
            kept += random % 4;
    }
    sfi_batch_seal(batch, 1);
    assert_int_equal(batch->op_count, kept);
    for (uint32_t i = 0; i < batch->op_count; i++) {
        sf_bytes value = sfi_op_value(&batch->ops[i]);
        uint32_t key[2];
        memcpy(key, batch->ops[i].key, sizeof key);
        for (size_t at = 0; at < value.size; at++)
            if (((const unsigned char *)value.data)[at] != key[0] % 251)
                fail_msg("the value of turn %u was overwritten", key[0]);
    }
}

/* -- memory ----------------------------------------------------------------------------------------- */

static void values_are_aligned_and_stay_where_they_are(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    unsigned char *first = sfi_batch_put(batch, SFI_STATE, sf_str("k"), 3);
    memcpy(first, "abc", 3);
    for (size_t size = 0; size < 2000; size++) {
        char key[17] = "0123456789abcdef";
        void *value = sfi_batch_put(batch, SFI_STATE, SF_BYTES(key, 1 + size % 16), size);
        assert_non_null(value);
        assert_int_equal((uintptr_t)value % 8, 0);
        memset(value, 0xff, size);
    }
    assert_memory_equal(first, "abc", 3);
}

static void the_largest_values_and_keys_fit(void **state)
{
    struct sfi_batch *batch = &((struct rig *)*state)->batch;
    unsigned char key[SFI_KEY_MAX];
    memset(key, 3, sizeof key);
    unsigned char *value = sfi_batch_put(batch, SFI_STATE, SF_OF(key), (16 << 20) + 100);
    assert_non_null(value);
    memset(value, 1, (16 << 20) + 100);
    sfi_batch_seal(batch, 1);
    assert_int_equal(sfi_op_value(&batch->ops[0]).size, (16 << 20) + 100);
    assert_memory_equal(batch->ops[0].key, key, sizeof key);
}

static void a_batch_used_again_allocates_nothing(void **state)
{
    struct rig *rig = *state;
    uint64_t allocations = 0;
    for (int round = 0; round < 5; round++) {
        sfi_batch_reset(&rig->batch);
        assert_int_equal(rig->batch.op_count, 0);
        assert_int_equal(rig->batch.bytes, 0);
        for (uint32_t i = 0; i < 5000; i++)
            assert_non_null(sfi_batch_put(&rig->batch, SFI_STATE, SF_OF(i), 200));
        sfi_batch_seal(&rig->batch, (uint64_t)round + 1);
        if (round > 0)
            assert_int_equal(rig->machine.allocations, allocations);
        allocations = rig->machine.allocations;
    }
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

/* Tries each operation again after a failure, as a turn does that is run again. */
static void fill_despite_failures(struct sfi_batch *batch)
{
    for (uint32_t i = 0; i < 1500; i++) {
        uint32_t count = batch->op_count;
        uint64_t bytes = batch->bytes;
        size_t size = i % 500 ? 300 : 400000;
        uint32_t *value = sfi_batch_put(batch, SFI_STATE, SF_OF(i), size);
        if (!value) {
            assert_int_equal(batch->op_count, count);
            assert_int_equal(batch->bytes, bytes);
            value = sfi_batch_put(batch, SFI_STATE, SF_OF(i), size);
        }
        assert_non_null(value);
        *value = i;
    }
    assert_int_equal(batch->op_count, 1500);
    for (uint32_t i = 0; i < 1500; i++) {
        uint32_t value;
        memcpy(&value, sfi_op_value(&batch->ops[i]).data, sizeof value);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sealed_batch_is_sorted_by_table_and_key),
        TEST(the_last_operation_on_a_key_wins),
        TEST(any_keys_come_out_in_order_with_their_newest_value),
        TEST(keys_that_are_hard_to_tell_apart_come_out_in_order),
        TEST(a_rollback_takes_back_what_came_after_the_mark),
        TEST(any_nesting_of_turns_and_failures_leaves_the_kept_ones),
        TEST(values_are_aligned_and_stay_where_they_are),
        TEST(the_largest_values_and_keys_fit),
        TEST(a_batch_used_again_allocates_nothing),
        TEST(what_was_rolled_back_is_used_again),
        TEST(a_failed_allocation_leaves_the_batch_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
