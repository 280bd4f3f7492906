/* test_snapshot.c - what a snapshot sees: one epoch, whole, in order of keys, from any thread. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/endian.h"
#include "support/store_rig.h"

static void a_snapshot_keeps_its_epoch(struct store_rig *rig)
{
    struct sfi_snapshot *old, *older;
    OK(sfi_snapshot_open(rig->store, &older));
    store_rig_settle_epoch(rig);
    OK(sfi_snapshot_open(rig->store, &old));
    for (int i = 0; i < 5; i++)
        store_rig_settle_epoch(rig);
    assert_int_equal(snapshot_matches(older, 0), 1);
    assert_int_equal(snapshot_matches(old, 1), 1);
    assert_int_equal(store_matches(rig->store, 6), 1);
    sfi_snapshot_close(older);
    assert_int_equal(snapshot_matches(old, 1), 1);
    assert_int_equal(store_matches(rig->store, 6), 1);
    sfi_snapshot_close(old);
}

static void seeks(struct sfi_snapshot *snapshot, const char *from, int after, const char *expected)
{
    sf_bytes key, value;
    int rc = (int)OK(sfi_snapshot_seek(snapshot, SFI_DEAD, sf_str(from), after, &key, &value));
    assert_int_equal(rc, expected != NULL);
    if (!expected)
        return;
    assert_int_equal(key.size, strlen(expected));
    assert_memory_equal(key.data, expected, key.size);
    assert_memory_equal(value.data, expected, key.size); /* in these tests the key is the value */
}

static void a_seek_finds_the_first_key_from_there_on(struct store_rig *rig)
{
    static const char *const keys[] = {"b", "ba", "bb", "d"};
    struct sfi_snapshot *snapshot;
    for (int i = 0; i < 4; i++)
        put_text(rig, SFI_DEAD, keys[i], keys[i]);
    put_text(rig, SFI_OUTBOX, "e", "another table");
    sfi_batch_seal(&rig->batch, 1);
    OK(sfi_store_submit(rig->store, &rig->batch));
    assert_int_equal(store_rig_settle(rig), SFI_DURABLE);
    OK(sfi_snapshot_open(rig->store, &snapshot));
    seeks(snapshot, "", 0, "b");
    seeks(snapshot, "", 1, "b");
    seeks(snapshot, "a", 0, "b");
    seeks(snapshot, "b", 0, "b");
    seeks(snapshot, "b", 1, "ba");
    seeks(snapshot, "baa", 1, "bb");
    seeks(snapshot, "c", 0, "d");
    seeks(snapshot, "d", 1, NULL);
    seeks(snapshot, "e", 0, NULL);
    sfi_snapshot_close(snapshot);
}

static void comes_before(struct sfi_snapshot *snapshot, sf_bytes before, const char *expected)
{
    sf_bytes key, value;
    int rc = (int)OK(sfi_snapshot_seek_before(snapshot, SFI_TIMER, before, &key, &value));
    assert_int_equal(rc, expected != NULL);
    if (!expected)
        return;
    assert_int_equal(key.size, strlen(expected));
    assert_memory_equal(key.data, expected, key.size);
    assert_memory_equal(value.data, expected, key.size);
}

static void a_seek_backwards_finds_the_last_key_before(struct store_rig *rig)
{
    static const char *const keys[] = {"b", "ba", "bb", "d"};
    struct sfi_snapshot *snapshot;
    OK(sfi_snapshot_open(rig->store, &snapshot));
    comes_before(snapshot, SF_NONE, NULL);
    comes_before(snapshot, sf_str("z"), NULL);
    sfi_snapshot_close(snapshot);
    for (int i = 0; i < 4; i++)
        put_text(rig, SFI_TIMER, keys[i], keys[i]);
    store_rig_settle_batch(rig);
    OK(sfi_snapshot_open(rig->store, &snapshot));
    comes_before(snapshot, SF_NONE, "d");
    comes_before(snapshot, sf_str("e"), "d");
    comes_before(snapshot, sf_str("d"), "bb");
    comes_before(snapshot, sf_str("c"), "bb");
    comes_before(snapshot, sf_str("ba"), "b");
    comes_before(snapshot, sf_str("b"), NULL);
    comes_before(snapshot, sf_str("a"), NULL);
    sfi_snapshot_close(snapshot);
}

/* Who walks the table alone meets rows once they were moved there; in memory there is no changelog. */
static void a_walk_passes_the_rows_of_the_table_in_order(struct store_rig *rig)
{
    static const char *const keys[] = {"b", "ba", "d"};
    struct sfi_snapshot *snapshot;
    sf_bytes key = sf_str(""), value;
    for (int i = 0; i < 3; i++)
        put_text(rig, SFI_STATE, keys[i], keys[i]);
    store_rig_settle_batch(rig);
    for (int i = 0; i < 3; i++) /* while sweeping each of these moves some */
        store_rig_settle_epoch(rig);
    OK(sfi_snapshot_open(rig->store, &snapshot));
    int found = 0;
    for (int after = 0; OK(sfi_snapshot_walk(snapshot, key, after, &key, &value)) > 0; after = 1)
        for (int i = 0; i < 3; i++)
            if (key.size == strlen(keys[i]) && memcmp(key.data, keys[i], key.size) == 0) {
                assert_memory_equal(value.data, keys[i], value.size);
                assert_int_equal(i, found++);
            }
    assert_int_equal(found, rig->backend == DISK ? 0 : 3);
    sfi_snapshot_close(snapshot);
}

/* -- snapshots on another thread --------------------------------------------------------------- */

struct reader {
    struct sfi_store *store;
    atomic_int stop, torn, failed;
    atomic_uint seen;
};

/* Every epoch writes its number under all keys, so a snapshot holds one number only. */
static int is_torn(struct sfi_snapshot *snapshot)
{
    unsigned char key[64];
    sf_bytes value;
    uint64_t first = 0;
    for (unsigned i = 0; i < STORE_KEYS; i++) {
        size_t size = store_key(i, key);
        int rc = sfi_snapshot_get(snapshot, SFI_STATE, SF_BYTES(key, size), &value);
        uint64_t number = rc > 0 ? sfi_le64_get(value.data) : 0;
        if (i == 0)
            first = number;
        if (rc < 0 || number != first)
            return 1;
    }
    return 0;
}

static void *read_on(void *arg)
{
    struct reader *reader = arg;
    struct sfi_snapshot *snapshot;
    while (!atomic_load(&reader->stop)) {
        if (sfi_snapshot_open(reader->store, &snapshot) < 0) {
            atomic_store(&reader->failed, 1);
            return NULL;
        }
        if (is_torn(snapshot))
            atomic_store(&reader->torn, 1);
        sfi_snapshot_close(snapshot);
        atomic_fetch_add(&reader->seen, 1);
    }
    return NULL;
}

static void snapshots_of_other_threads_see_whole_epochs(struct store_rig *rig)
{
    unsigned char key[64];
    pthread_t threads[2];
    store_rig_close(rig);
    sfi_mem_disk_free(rig->disk);
    sfi_batch_fini(&rig->batch);
    rig->sys = sfi_sys_default(); /* the machine of tests is for one thread */
    sfi_batch_init(&rig->batch, rig->sys);
    rig->disk = rig->backend ? NULL : sfi_mem_disk_new(rig->sys);
    OK(store_rig_open(rig));
    struct reader reader = {.store = rig->store};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &reader), 0);
    for (uint64_t epoch = 1; epoch <= 100 || atomic_load(&reader.seen) < 100; epoch++) {
        sfi_batch_reset(&rig->batch);
        for (unsigned i = 0; i < STORE_KEYS; i++) {
            size_t size = store_key(i, key);
            sfi_le64_put(sfi_batch_put(&rig->batch, SFI_STATE, SF_BYTES(key, size), 8), epoch);
        }
        sfi_batch_seal(&rig->batch, epoch);
        sfi_store_submit(rig->store, &rig->batch);
        if (store_rig_settle(rig) != SFI_DURABLE || atomic_load(&reader.failed))
            break;
    }
    atomic_store(&reader.stop, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_false(reader.torn);
    assert_false(reader.failed);
    assert_true(rig->store->durable >= 100);
}

/* -- keys that are not ours -------------------------------------------------------------------- */

/* Longer than any of ours, where LMDB takes it. */
static void with_a_long_key(MDB_txn *txn, MDB_dbi table)
{
    unsigned char name[511], value = 1;
    MDB_val key = {sizeof name, name}, data = {sizeof value, &value};
    memset(name, 0xff, sizeof name);
    assert_int_equal(mdb_put(txn, table, &key, &data, 0), 0);
}

/* Whoever seeks keeps the key in SFI_KEY_MAX bytes. */
static void a_key_longer_than_ours_is_damage(void **state)
{
    static const char *const names[SFI_TABLES] = {"meta", "state", "mailbox", "outbox", "dead",
                                                  "entry", "timer", "async", "held", "parked"};
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct sfi_snapshot *snapshot;
    sf_bytes key, value;
    OK(store_rig_open(rig));
    store_rig_settle_epoch(rig);
    store_rig_close(rig);
    for (int i = 0; i < SFI_TABLES; i++)
        with_lmdb(*state, names[i], with_a_long_key);
    OK(store_rig_open(rig));
    OK(sfi_snapshot_open(rig->store, &snapshot));
    for (unsigned table = 0; table < SFI_TABLES; table++) {
        REFUSED(sfi_snapshot_seek(snapshot, table, SF_OF((char){'\x7f'}), 0, &key, &value),
                SF_ECORRUPT);
        SAYS("511 bytes");
    }
    /* Those before it are fine. */
    OK(sfi_snapshot_seek(snapshot, SFI_META, SF_BYTES("", 0), 0, &key, &value));
    sfi_snapshot_close(snapshot);
    store_rig_fini(rig);
}

/* -- while commits fail --------------------------------------------------------------------------- */

static atomic_int fails, reads_on; /* 1: before anything is unknown; 2: with the outcome unknown */

static int fail_now(void *ctx, const char *point)
{
    int expected = strcmp(point, "lmdb.put") == 0 ? 1 : strcmp(point, "lmdb.commit.after") == 0 ? 2 : -1;
    (void)ctx;
    return atomic_compare_exchange_strong(&fails, &expected, 0) ? SF_EDISK : 0;
}

/* Views are refused while nobody knows what is on disk; else they read. */
static void *read_beside(void *arg)
{
    struct store_rig *rig = arg;
    struct sfi_snapshot *snapshot;
    unsigned char key[64];
    sf_bytes value;
    intptr_t wrong = 0;
    while (atomic_load(&reads_on)) {
        int rc = sfi_snapshot_open(rig->store, &snapshot);
        wrong += rc < 0 && rc != SF_EDISK;
        if (rc < 0)
            continue;
        for (unsigned i = 0; i < STORE_KEYS; i++)
            wrong += sfi_snapshot_get(snapshot, SFI_STATE, SF_BYTES(key, store_key(i, key)), &value) < 0;
        sfi_snapshot_close(snapshot);
    }
    return (void *)wrong;
}

static void views_are_read_while_commits_fail(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct store_trap *trap = store_rig_trap(rig);
    pthread_t reader;
    void *wrong;
    trap->sys.fault = fail_now;
    OK(store_rig_open(rig));
    atomic_store(&reads_on, 1);
    assert_int_equal(pthread_create(&reader, NULL, read_beside, rig), 0);
    for (uint64_t epoch = 1; epoch <= 40; epoch++) {
        int rc = build_epoch(&rig->batch, epoch);
        rc = rc == 0 ? sfi_store_submit(rig->store, &rig->batch) : rc;
        atomic_store(&fails, 1 + (int)(epoch % 2));
        for (int i = 0; rc >= 0 && i < 10000 && sfi_store_settle(rig->store, 1) != SFI_DURABLE; i++)
            usleep(100); /* until the views are closed that keep it from being opened anew */
    }
    atomic_store(&reads_on, 0);
    pthread_join(reader, &wrong);
    assert_null(wrong);
    assert_int_equal(rig->store->durable, 40);
    assert_int_equal(store_matches(rig->store, 40), 1);
    store_rig_fini(rig);
}

/* Each way of reading has its point. */
static void a_read_that_fails_says_so(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct store_trap *trap = store_rig_trap(rig);
    struct sfi_snapshot *snapshot;
    sf_bytes key = sf_str("key"), found, value;
    OK(store_rig_open(rig));
    OK(sfi_snapshot_open(rig->store, &snapshot));
    trap->point = "lmdb.read";
    REFUSED(sfi_snapshot_get(snapshot, SFI_HELD, key, &value), SF_EDISK);
    trap->point = "lmdb.read";
    REFUSED(sfi_snapshot_seek(snapshot, SFI_HELD, key, 0, &found, &value), SF_EDISK);
    trap->point = "lmdb.read";
    REFUSED(sfi_snapshot_seek_before(snapshot, SFI_HELD, key, &found, &value), SF_EDISK);
    assert_int_equal(sfi_snapshot_get(snapshot, SFI_HELD, key, &value), 0);
    sfi_snapshot_close(snapshot);
    store_rig_fini(rig);
}

ON_ALL(a_snapshot_keeps_its_epoch)
ON_ALL(a_seek_finds_the_first_key_from_there_on)
ON_ALL(a_seek_backwards_finds_the_last_key_before)
ON_ALL(a_walk_passes_the_rows_of_the_table_in_order)
ON_ALL(snapshots_of_other_threads_see_whole_epochs)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TESTS(a_snapshot_keeps_its_epoch),
        RIG_TESTS(a_seek_finds_the_first_key_from_there_on),
        RIG_TESTS(a_seek_backwards_finds_the_last_key_before),
        RIG_TESTS(a_walk_passes_the_rows_of_the_table_in_order),
        RIG_TESTS(snapshots_of_other_threads_see_whole_epochs),
        RIG_TEST(a_key_longer_than_ours_is_damage),
        RIG_TEST(views_are_read_while_commits_fail),
        RIG_TEST(a_read_that_fails_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
