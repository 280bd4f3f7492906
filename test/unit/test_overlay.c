/* test_overlay.c - states that lie in the changelog, walked in order of keys: from anywhere, again and again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/endian.h"
#include "support/store_rig.h"

enum { STATES = 50, SEEKS = 4000 };

static void key_of(uint32_t number, unsigned char key[4])
{
    sfi_be32_put(key, number);
}

static void put(struct store_rig *rig, uint32_t number, uint32_t value)
{
    unsigned char key[4];
    key_of(number, key);
    sfi_le32_put(sfi_batch_put(&rig->batch, SFI_STATE, SF_OF(key), 4), value);
}

/* All of them are in the log: nothing sweeps. */
static void all_in_the_log(struct store_rig *rig)
{
    for (uint32_t i = 0; i < STATES; i++)
        put(rig, 2 * i, i);
    store_rig_settle_batch(rig);
}

/* The key that a seek finds, or UINT32_MAX. */
static uint32_t seek(struct sfi_snapshot *snapshot, uint32_t from, int after)
{
    unsigned char key[4];
    sf_bytes found, value;
    key_of(from, key);
    int rc = (int)OK(sfi_snapshot_seek(snapshot, SFI_STATE, SF_OF(key), after, &found, &value));
    return rc ? sfi_be32_get(found.data) : UINT32_MAX;
}

static uint32_t walk(struct sfi_snapshot *snapshot, uint32_t most)
{
    uint32_t count = 0;
    for (uint32_t at = seek(snapshot, 0, 0); at != UINT32_MAX && count < most; count++)
        at = seek(snapshot, at, 1);
    return count;
}

static void a_second_walk_sees_what_the_first_saw(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct sfi_snapshot *snapshot;
    OK(store_rig_open(rig));
    all_in_the_log(rig);
    OK(sfi_snapshot_open(rig->store, &snapshot));
    for (uint32_t first = 0; first <= STATES; first++) {
        assert_int_equal(walk(snapshot, first), first);
        assert_int_equal(walk(snapshot, STATES + 1), STATES);
    }
    sfi_snapshot_close(snapshot);
    store_rig_fini(rig);
}

static void a_seek_finds_its_key_wherever_the_one_before_ended(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct sfi_snapshot *snapshot;
    OK(store_rig_open(rig));
    all_in_the_log(rig);
    OK(sfi_snapshot_open(rig->store, &snapshot));
    for (int i = 0; i < SEEKS; i++) {
        uint32_t from = (uint32_t)(rig->sys->random(rig->sys->ctx) % (2 * STATES));
        int after = i % 2;
        uint32_t next = from % 2 ? from + 1 : after ? from + 2 : from;
        assert_int_equal(seek(snapshot, from, after), next < 2 * STATES ? next : UINT32_MAX);
    }
    sfi_snapshot_close(snapshot);
    store_rig_fini(rig);
}

/* What was deleted is passed over, what was written again comes once. */
static void the_newest_version_of_each_key_counts(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct sfi_snapshot *snapshot;
    unsigned char key[4];
    OK(store_rig_open(rig));
    all_in_the_log(rig);
    sfi_batch_reset(&rig->batch);
    for (uint32_t i = 0; i < STATES; i++) {
        key_of(2 * i, key);
        if (i % 3 == 0)
            OK(sfi_batch_delete(&rig->batch, SFI_STATE, SF_OF(key)));
        if (i % 3 == 1)
            put(rig, 2 * i, 1000 + i);
    }
    store_rig_settle_batch(rig);
    OK(sfi_snapshot_open(rig->store, &snapshot));
    uint32_t at = seek(snapshot, 0, 0);
    for (uint32_t i = 0; i < STATES; i++) {
        sf_bytes value;
        if (i % 3 == 0)
            continue;
        assert_int_equal(at, 2 * i);
        key_of(at, key);
        assert_int_equal(sfi_snapshot_get(snapshot, SFI_STATE, SF_OF(key), &value), 1);
        assert_int_equal(sfi_le32_get(value.data), i % 3 == 1 ? 1000 + i : i);
        at = seek(snapshot, at, 1);
    }
    assert_int_equal(at, UINT32_MAX);
    sfi_snapshot_close(snapshot);
    store_rig_fini(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_second_walk_sees_what_the_first_saw),
        RIG_TEST(a_seek_finds_its_key_wherever_the_one_before_ended),
        RIG_TEST(the_newest_version_of_each_key_counts),
    };
    return cmocka_run_group_tests_name("overlay", tests, NULL, NULL);
}
