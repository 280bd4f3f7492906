/* test_mem_store.c - lib/store/mem_store, the twin: it must be as honest as the store on disk, or tests lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "store/batch.h"
#include "store/mem_store.h"
#include "support/machine.h"
#include "support/support.h"

struct twin {
    struct machine machine;
    struct sfi_mem_disk *disk;
    struct sfi_store *store;
    struct sfi_batch batch;
};

static void twin_open(struct twin *twin)
{
    memset(twin, 0, sizeof *twin);
    machine_init(&twin->machine);
    twin->disk = sfi_mem_disk_new(&twin->machine.sys);
    OK(sfi_mem_open(&twin->machine.sys, twin->disk, &twin->store));
    sfi_batch_init(&twin->batch, &twin->machine.sys);
}

static void twin_close(struct twin *twin)
{
    sfi_store_close(twin->store);
    sfi_batch_fini(&twin->batch);
    sfi_mem_disk_free(twin->disk);
    assert_int_equal(twin->machine.live, 0);
}

static void submit(struct twin *twin, const char *key, char value)
{
    unsigned char *to = sfi_batch_put(&twin->batch, SFI_OUTBOX, sf_str(key), 1);
    assert_non_null(to);
    *to = (unsigned char)value;
    sfi_batch_seal(&twin->batch, twin->store->durable + 1);
    OK(sfi_store_submit(twin->store, &twin->batch));
}

static void commit(struct twin *twin, const char *key, char value)
{
    submit(twin, key, value);
    assert_int_equal(sfi_store_settle(twin->store, 1), SFI_DURABLE);
    sfi_batch_reset(&twin->batch);
}

/* 0: it is not there. */
static char look(struct twin *twin, struct sfi_snapshot *snapshot, const char *key)
{
    struct sfi_snapshot *own = NULL;
    sf_bytes value;
    if (!snapshot)
        OK(sfi_snapshot_open(twin->store, &own));
    int64_t found = OK(sfi_snapshot_get(snapshot ? snapshot : own, SFI_OUTBOX, sf_str(key), &value));
    char byte = 0;
    if (found)
        memcpy(&byte, value.data, 1);
    if (own)
        sfi_snapshot_close(own);
    return byte;
}

static void what_was_not_settled_is_lost_with_the_store_and_the_rest_stays(void **state)
{
    struct twin twin;
    (void)state;
    twin_open(&twin);
    commit(&twin, "a", '1');
    submit(&twin, "a", '2');
    sfi_store_close(twin.store); /* a crash */
    OK(sfi_mem_open(&twin.machine.sys, twin.disk, &twin.store));
    assert_int_equal(twin.store->durable, 1);
    assert_int_equal(look(&twin, NULL, "a"), '1');
    twin_close(&twin);
}

static void a_snapshot_sees_its_epoch_for_as_long_as_it_is_open(void **state)
{
    struct twin twin;
    struct sfi_snapshot *snapshot;
    (void)state;
    twin_open(&twin);
    commit(&twin, "a", '1');
    OK(sfi_snapshot_open(twin.store, &snapshot));
    commit(&twin, "a", '2');
    commit(&twin, "b", '3');
    assert_int_equal(look(&twin, snapshot, "a"), '1');
    assert_int_equal(look(&twin, snapshot, "b"), 0);
    assert_int_equal(look(&twin, NULL, "a"), '2');
    sfi_snapshot_close(snapshot);
    twin_close(&twin);
}

static void one_store_at_a_time_has_the_disk(void **state)
{
    struct twin twin;
    struct sfi_store *other;
    (void)state;
    twin_open(&twin);
    REFUSED(sfi_mem_open(&twin.machine.sys, twin.disk, &other), SF_ELOCKED);
    twin_close(&twin);
}

static void a_failed_allocation_leaves_the_disk_as_it_was(void **state)
{
    struct twin twin;
    int refused = 0, rc = -1;
    (void)state;
    twin_open(&twin);
    commit(&twin, "a", '1');
    submit(&twin, "a", '2');
    for (uint64_t i = 1; rc < 0; i++) {
        twin.machine.fail_allocation = twin.machine.allocations + i;
        rc = sfi_store_settle(twin.store, 1);
        twin.machine.fail_allocation = 0;
        refused += rc < 0;
        assert_int_equal(twin.store->durable, rc < 0 ? 1 : 2);
        assert_int_equal(look(&twin, NULL, "a"), rc < 0 ? '1' : '2');
    }
    assert_true(refused > 0);
    twin_close(&twin);
}

static void room_counts_down_from_the_limit(void **state)
{
    struct twin twin;
    (void)state;
    twin_open(&twin);
    sfi_mem_disk_limit(twin.disk, 4096);
    uint64_t before = sfi_store_room(twin.store);
    commit(&twin, "a", '1');
    assert_true(sfi_store_room(twin.store) < before);
    sfi_mem_disk_limit(twin.disk, 1);
    assert_int_equal(sfi_store_room(twin.store), 0);
    sfi_mem_disk_limit(twin.disk, 0);
    assert_true(sfi_store_room(twin.store) > before);
    twin_close(&twin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_settled_is_lost_with_the_store_and_the_rest_stays),
        cmocka_unit_test(a_snapshot_sees_its_epoch_for_as_long_as_it_is_open),
        cmocka_unit_test(one_store_at_a_time_has_the_disk),
        cmocka_unit_test(a_failed_allocation_leaves_the_disk_as_it_was),
        cmocka_unit_test(room_counts_down_from_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
