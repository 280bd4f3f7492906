/* test_writer.c - puts and deletes in rising order of keys, wherever the table has keys already. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "base/endian.h"
#include "support/store_rig.h"

/* LMDB appends beyond the last key only; the others go between. */
static void keys_may_come_in_any_order_over_the_epochs(struct store_rig *rig)
{
    static const int order[] = {5, 9, 1, 7, 3, 8, 2, 6, 4, 0};
    unsigned char key[8];
    sf_bytes found, value, from = SF_BYTES("", 0);
    struct sfi_snapshot *snapshot;
    for (int i = 0; i < 10; i++) {
        sfi_batch_reset(&rig->batch);
        for (uint64_t j = 0; j < 50; j++) {
            sfi_be64_put(key, (uint64_t)order[i] * 50 + j);
            assert_non_null(sfi_batch_put(&rig->batch, SFI_MAILBOX, SF_OF(key), 0));
        }
        sfi_batch_seal(&rig->batch, rig->store->durable + 1);
        OK(sfi_store_submit(rig->store, &rig->batch));
        assert_int_equal(store_rig_settle(rig), SFI_DURABLE);
    }
    OK(sfi_snapshot_open(rig->store, &snapshot));
    for (uint64_t i = 0; i < 500; i++) {
        assert_int_equal(sfi_snapshot_seek(snapshot, SFI_MAILBOX, from, 1, &found, &value), 1);
        assert_int_equal(sfi_be64_get(found.data), i);
        from = found;
    }
    assert_int_equal(sfi_snapshot_seek(snapshot, SFI_MAILBOX, from, 1, &found, &value), 0);
    sfi_snapshot_close(snapshot);
}

ON_ALL(keys_may_come_in_any_order_over_the_epochs)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TESTS(keys_may_come_in_any_order_over_the_epochs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
