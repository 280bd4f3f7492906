/* test_store.c - the store's contract (store/store.h), the same for all backends.
 *
 * How it fails: test_store_failures.c.  What snapshots see: test_snapshot.c. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/err.h"
#include "support/store_rig.h"

enum { EPOCHS = 20 };

static void a_new_store_is_empty(struct store_rig *rig)
{
    assert_int_equal(rig->store->durable, 0);
    assert_int_equal(store_matches(rig->store, 0), 1);
}

static void what_was_settled_is_there_after_reopening(struct store_rig *rig)
{
    for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
        store_rig_settle_epoch(rig);
        assert_int_equal(rig->store->durable, epoch);
        assert_int_equal(store_matches(rig->store, epoch), 1);
        assert_int_equal(store_matches(rig->store, epoch - 1), 0); /* the comparison can fail */
        store_rig_close(rig);
        OK(store_rig_open(rig));
        assert_int_equal(rig->store->durable, epoch);
        assert_int_equal(store_matches(rig->store, epoch), 1);
    }
}

static void a_batch_under_way_is_not_seen(struct store_rig *rig)
{
    store_rig_settle_epoch(rig);
    OK(build_epoch(&rig->batch, 2));
    OK(sfi_store_submit(rig->store, &rig->batch));
    assert_int_equal(rig->store->durable, 1);
    assert_int_equal(store_matches(rig->store, 1), 1);
    assert_int_equal(store_rig_settle(rig), SFI_DURABLE);
    assert_int_equal(store_matches(rig->store, 2), 1);
}

static void a_batch_that_was_not_settled_is_gone_after_a_crash(struct store_rig *rig)
{
    store_rig_settle_epoch(rig);
    OK(build_epoch(&rig->batch, 2));
    OK(sfi_store_submit(rig->store, &rig->batch));
    store_rig_close(rig);
    OK(store_rig_open(rig));
    assert_int_equal(rig->store->durable, 1);
    assert_int_equal(store_matches(rig->store, 1), 1);
}

enum { KEYS = 24 };

/* What the table is to hold: of each key the epoch that put it last; 0: nothing. */
static void assert_holds(struct store_rig *rig, const uint64_t holds[KEYS])
{
    struct sfi_snapshot *snapshot;
    OK(sfi_snapshot_open(rig->store, &snapshot));
    for (uint64_t i = 0; i < KEYS; i++) {
        unsigned char key[8];
        sf_bytes value;
        sfi_be64_put(key, i);
        assert_int_equal(sfi_snapshot_get(snapshot, SFI_MAILBOX, SF_OF(key), &value), holds[i] != 0);
        if (holds[i])
            assert_int_equal(sfi_be64_get(value.data), holds[i]);
    }
    sfi_snapshot_close(snapshot);
}

static void change(struct store_rig *rig, uint64_t which, int is_delete, uint64_t to,
                   uint64_t holds[KEYS])
{
    unsigned char key[8];
    sfi_be64_put(key, which);
    holds[which] = is_delete ? 0 : to;
    if (is_delete) {
        OK(sfi_batch_delete(&rig->batch, SFI_MAILBOX, SF_OF(key)));
        return;
    }
    void *value = sfi_batch_put(&rig->batch, SFI_MAILBOX, SF_OF(key), 8);
    assert_non_null(value);
    sfi_be64_put((unsigned char *)value, to);
}

/* The keys of an epoch rise, and fall back to lower ones nowhere, in one place, or in more.  Of
 * several operations on a key the last counts, in whatever order they are applied. */
static void the_last_operation_on_a_key_counts_however_keys_rise_and_fall(struct store_rig *rig)
{
    enum { SHAPES = 48 };
    uint64_t holds[KEYS] = {0}, random = 1, to = 0;
    for (uint64_t epoch = 1; epoch <= SHAPES; epoch++) {
        sfi_batch_reset(&rig->batch);
        for (uint64_t stretch = 0; stretch <= epoch % 4; stretch++) {
            for (uint64_t key = 0; key < KEYS; key++) {
                random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
                if (random >> 62)
                    continue;
                change(rig, key, random >> 60 & 1, ++to, holds);
            }
        }
        sfi_batch_seal(&rig->batch, epoch);
        OK(sfi_store_submit(rig->store, &rig->batch));
        assert_int_equal(store_rig_settle(rig), SFI_DURABLE);
        assert_holds(rig, holds);
    }
}

static void raise_ceiling(struct store_rig *rig)
{
    if (rig->backend) {
        store_rig_close(rig);
        rig->bytes_max = 64 << 20;
        OK(store_rig_open(rig));
        OK(sfi_store_submit(rig->store, &rig->batch));
    } else {
        sfi_mem_disk_limit(rig->disk, 0);
    }
}

/* R8: room() counts down to the ceiling, beyond it there is a stall, and nothing is lost. */
static void a_full_store_stalls_until_there_is_room(struct store_rig *rig)
{
    enum { BYTES = 30000, BYTES_MAX = 1 << 20 };
    unsigned char key[8];
    uint64_t room;
    int rc;
    store_rig_close(rig);
    store_rig_forget_disk(rig);
    rig->bytes_max = BYTES_MAX;
    OK(store_rig_open(rig));
    if (!rig->backend)
        sfi_mem_disk_limit(rig->disk, BYTES_MAX);
    do {
        room = sfi_store_room(rig->store);
        assert_true(room <= BYTES_MAX);
        sfi_batch_reset(&rig->batch);
        sfi_be64_put(key, rig->store->durable);
        assert_non_null(sfi_batch_put(&rig->batch, SFI_STATE, SF_OF(key), BYTES));
        sfi_batch_seal(&rig->batch, rig->store->durable + 1);
        OK(sfi_store_submit(rig->store, &rig->batch));
        rc = store_rig_settle(rig);
        if (rc == SF_EDISK) /* the second try leaves everything else for later */
            rc = store_rig_settle(rig);
        /* Room for what a small commit copies beside it, and for a slice of sweeping. */
        assert_true(rc == SFI_DURABLE || room < 3 * BYTES + 20 * 4096);
    } while (rc == SFI_DURABLE);
    REFUSED(rc, SF_EDISK);
    SAYS("store_bytes_max");
    REFUSED(store_rig_settle(rig), SF_EDISK);
    uint64_t epoch = rig->store->durable;
    assert_true(epoch > 20);
    raise_ceiling(rig);
    assert_int_equal(store_rig_settle(rig), SFI_DURABLE);
    assert_int_equal(rig->store->durable, epoch + 1);
}

/* What is freed counts as room again once it can be used. */
static void deleting_makes_room(struct store_rig *rig)
{
    enum { BYTES = 30000, BYTES_MAX = 1 << 20 };
    unsigned char key[8];
    store_rig_close(rig);
    store_rig_forget_disk(rig);
    rig->bytes_max = BYTES_MAX;
    OK(store_rig_open(rig));
    if (!rig->backend)
        sfi_mem_disk_limit(rig->disk, BYTES_MAX);
    for (uint64_t i = 0; i < 45; i++) {
        sfi_batch_reset(&rig->batch);
        sfi_be64_put(key, i % 29);
        if (i < 29)
            assert_non_null(sfi_batch_put(&rig->batch, SFI_OUTBOX, SF_OF(key), BYTES));
        else
            OK(sfi_batch_delete(&rig->batch, SFI_OUTBOX, SF_OF(key)));
        sfi_batch_seal(&rig->batch, i + 1);
        OK(sfi_store_submit(rig->store, &rig->batch));
        assert_int_equal(store_rig_settle(rig), SFI_DURABLE);
        if (i == 28)
            assert_true(sfi_store_room(rig->store) < BYTES_MAX / 3);
    }
    assert_true(sfi_store_room(rig->store) > BYTES_MAX / 3);
}

static void a_ceiling_without_sense_is_refused(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    rig->bytes_max = 4096;
    REFUSED(store_rig_open(rig), SF_EINVAL);
    SAYS("store_bytes_max");
    rig->bytes_max = UINT64_MAX;
    REFUSED(store_rig_open(rig), SF_EINVAL);
    rig->bytes_max = UINT64_C(1) << 60;
    REFUSED(store_rig_open(rig), SF_ENOMEM);
    SAYS("store_bytes_max");
    store_rig_fini(rig);
}

/* -- on disk ------------------------------------------------------------------------------------------ */

static void what_was_safe_when_it_was_opened_still_is(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    OK(store_rig_open(rig));
    store_rig_settle_epoch(rig);
    store_rig_close(rig);
    OK(store_rig_open(rig));
    assert_int_equal(rig->store->safe, 1);
    assert_int_equal(sfi_store_settle(rig->store, 1), SFI_DURABLE); /* of nothing */
    assert_int_equal(rig->store->safe, 1);
    store_rig_fini(rig);
}

/* Nothing more is written, since nobody knows what that would do. */
static void a_store_that_broke_its_rules_stays_as_it_is(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct store_trap *trap = store_rig_trap(rig);
    rig->relaxed = 1;
    OK(store_rig_open(rig));
    store_rig_settle_epoch(rig);
    assert_int_equal(rig->store->safe, 0);
    OK(build_epoch(&rig->batch, 2));
    OK(sfi_store_submit(rig->store, &rig->batch));
    *trap = (struct store_trap){.sys = trap->sys, .point = "lmdb.put", .code = SF_ECORRUPT};
    REFUSED(sfi_store_settle(rig->store, 1), SF_ECORRUPT);
    REFUSED(sfi_store_settle(rig->store, 1), SF_ECORRUPT);
    SAYS("broke its own rules");
    assert_int_equal(sfi_store_tidy(rig->store), 0);
    assert_int_equal(rig->store->safe, 0);
    sfi_err(SF_EINVAL, "another");
    REFUSED(sfi_store_make_safe(rig->store), SF_ECORRUPT);
    SAYS("broke its own rules");
    store_rig_fini(rig);
}

static int set_epoch_9(void *place)
{
    struct edit {
        MDB_env *env;
        MDB_txn *txn;
        MDB_dbi meta;
    } edit;
    const struct place *at = place;
    struct sfi_format format = {.epoch = 9};
    struct sfi_db db = {0};
    if (mdb_env_create(&edit.env) || mdb_env_set_maxdbs(edit.env, SFI_DB_TABLES) ||
        mdb_env_open(edit.env, at->db, 0, 0600) || mdb_txn_begin(edit.env, NULL, 0, &edit.txn) ||
        mdb_dbi_open(edit.txn, "meta", 0, &edit.meta))
        return 1;
    db.tables[SFI_META] = edit.meta;
    return sfi_format_write(&db, edit.txn, &format) || mdb_txn_commit(edit.txn);
}

/* Somebody else wrote to the file, whatever the locks say. */
static void an_epoch_that_nobody_wrote_here_is_damage(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    OK(store_rig_open(rig));
    store_rig_settle_epoch(rig);
    assert_int_equal(in_child(set_epoch_9, *state), 0);
    OK(build_epoch(&rig->batch, 2));
    OK(sfi_store_submit(rig->store, &rig->batch));
    REFUSED(sfi_store_settle(rig->store, 1), SF_ECORRUPT);
    SAYS("epoch 2 cannot follow epoch 9 on disk");
    store_rig_fini(rig);
}

static void an_epoch_that_is_found_where_another_was_written_is_damage(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct store_trap *trap = store_rig_trap(rig);
    OK(store_rig_open(rig));
    store_rig_settle_epoch(rig);
    OK(build_epoch(&rig->batch, 2));
    OK(sfi_store_submit(rig->store, &rig->batch));
    trap->point = "lmdb.commit.after";
    REFUSED(sfi_store_settle(rig->store, 1), SF_EDISK);
    assert_int_equal(in_child(set_epoch_9, *state), 0);
    REFUSED(sfi_store_settle(rig->store, 1), SF_ECORRUPT);
    SAYS("epoch 9 is on disk where epoch 2 was being written");
    store_rig_fini(rig);
}

/* A sync that failed may have lost what it was to write: nobody reads on as if it had not. */
static void after_a_sync_that_failed_the_file_is_read_again(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct store_trap *trap = store_rig_trap(rig);
    struct sfi_snapshot *snapshot;
    rig->relaxed = 1;
    OK(store_rig_open(rig));
    store_rig_settle_epoch(rig);
    trap->point = "lmdb.sync";
    REFUSED(sfi_store_make_safe(rig->store), SF_EDISK);
    assert_int_equal(rig->store->safe, 0);
    REFUSED(sfi_snapshot_open(rig->store, &snapshot), SF_EDISK);
    SAYS("opened anew");
    OK(sfi_store_make_safe(rig->store));
    assert_int_equal(rig->store->safe, 1);
    OK(sfi_snapshot_open(rig->store, &snapshot));
    sfi_snapshot_close(snapshot);
    store_rig_fini(rig);
}

/* The changelog takes a sixteenth of the ceiling: what is more is swept. */
static void the_changelog_keeps_to_its_part_of_the_ceiling(void **state)
{
    enum { BYTES = 100000 };
    struct store_rig *rig = store_rig_new(*state, DISK);
    unsigned char key[8] = {1};
    rig->bytes_max = 4 << 20; /* so 128 KiB for each generation */
    OK(store_rig_open(rig));
    for (int i = 0; i < 2; i++) {
        sfi_batch_reset(&rig->batch);
        memset(sfi_batch_put(&rig->batch, SFI_STATE, SF_OF(key), BYTES), 1, BYTES);
        store_rig_settle_batch(rig);
        assert_int_equal(sfi_store_tidy(rig->store), 0);
        key[0]++;
    }
    store_rig_close(rig);
    struct sfi_format format = {0};
    MDB_env *env;
    MDB_txn *txn;
    struct sfi_db db = {0};
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, SFI_DB_TABLES);
    assert_int_equal(mdb_env_open(env, rig->place->db, MDB_RDONLY, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", 0, &db.tables[SFI_META]), 0);
    OK(sfi_format_read(&db, txn, &format));
    mdb_txn_abort(txn);
    mdb_env_close(env);
    assert_int_equal(format.rows[SFI_STATE], 2);
    assert_int_equal(format.rows[SFI_DB_LOG], 0);
    store_rig_fini(rig);
}

/* By the thread, once it is left in peace; also after a commit that was not made there. */
static void a_thread_makes_safe_what_was_committed_without_it(void **state)
{
    struct store_rig *rig = store_rig_new(*state, THREADED);
    rig->relaxed = 1;
    OK(store_rig_open(rig));
    OK(build_epoch(&rig->batch, 1));
    OK(sfi_store_submit(rig->store, &rig->batch));
    assert_int_equal(sfi_store_settle(rig->store, 1), SFI_DURABLE);
    for (uint64_t end = mono_ms() + 5000; rig->store->safe < 1 && mono_ms() < end;) {
        usleep(1000);
        assert_int_equal(sfi_store_settle(rig->store, 0), SFI_DURABLE);
    }
    assert_int_equal(rig->store->safe, 1);
    store_rig_fini(rig);
}

/* Not by the thread, which must not touch the suspect. */
static void a_suspect_database_is_opened_anew_without_waiting(void **state)
{
    struct store_rig *rig = store_rig_new(*state, THREADED);
    struct store_trap *trap = store_rig_trap(rig);
    int rc = SFI_UNDER_WAY;
    OK(store_rig_open(rig));
    OK(build_epoch(&rig->batch, 1));
    OK(sfi_store_submit(rig->store, &rig->batch));
    trap->point = "lmdb.commit.after";
    for (uint64_t end = mono_ms() + 5000; rc == SFI_UNDER_WAY && mono_ms() < end; usleep(1000))
        rc = sfi_store_settle(rig->store, 0);
    assert_int_equal(rc, SF_EDISK);
    assert_int_equal(sfi_store_settle(rig->store, 0), SFI_DURABLE);
    assert_int_equal(store_matches(rig->store, 1), 1);
    store_rig_fini(rig);
}

static void one_batch_is_lent_at_a_time(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    OK(store_rig_open(rig));
    OK(build_epoch(&rig->batch, 2));
    REFUSED(sfi_store_submit(rig->store, &rig->batch), SF_ECORRUPT);
    SAYS("epoch 2 was sealed where epoch 1 was to come");
    OK(build_epoch(&rig->batch, 1));
    OK(sfi_store_submit(rig->store, &rig->batch));
    REFUSED(sfi_store_submit(rig->store, &rig->batch), SF_ECORRUPT);
    assert_int_equal(sfi_store_settle(rig->store, 1), SFI_DURABLE);
    store_rig_fini(rig);
}

/* Opening anew has synced it. */
static void what_is_found_after_a_doubt_is_safe(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct store_trap *trap = store_rig_trap(rig);
    rig->relaxed = 1;
    OK(store_rig_open(rig));
    OK(build_epoch(&rig->batch, 1));
    OK(sfi_store_submit(rig->store, &rig->batch));
    trap->point = "lmdb.commit.after";
    REFUSED(sfi_store_settle(rig->store, 1), SF_EDISK);
    assert_int_equal(sfi_store_settle(rig->store, 1), SFI_DURABLE);
    assert_int_equal(rig->store->safe, 1);
    store_rig_fini(rig);
}

static void what_is_gone_is_not_made_safe(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    rig->relaxed = 1;
    OK(store_rig_open(rig));
    store_rig_settle_epoch(rig);
    assert_int_equal(unlink(place_path(*state, "db/data.mdb")), 0);
    REFUSED(sfi_store_make_safe(rig->store), SF_ECORRUPT);
    SAYS("removed or renamed");
    assert_int_equal(rig->store->safe, 0);
    store_rig_fini(rig);
}

/* Nobody waits for tidying longer than for a commit. */
static void tidying_comes_in_slices(void **state)
{
    struct store_rig *rig = store_rig_new(*state, SWEEPING);
    unsigned char key[8];
    int slices = 1;
    OK(store_rig_open(rig));
    for (uint64_t i = 0; i < 5000; i++) {
        sfi_be64_put(key, i);
        assert_non_null(sfi_batch_put(&rig->batch, SFI_STATE, SF_OF(key), 8));
    }
    store_rig_settle_batch(rig);
    while (OK(sfi_store_tidy(rig->store)) > 0)
        slices++;
    assert_in_range(slices, 4, 12); /* of 1024 units */
    store_rig_fini(rig);
}

static atomic_int wakes;

static void wake(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&wakes, 1);
}

static void woken_by(struct store_rig *rig, int records_max)
{
    struct sfi_lmdb_options options = store_rig_options(rig);
    options.wake = wake;
    options.log_records_max = (uint32_t)records_max;
    OK(sfi_dir_open(&rig->dir, rig->place->db, 0, sfi_lmdb_judge));
    OK(sfi_lmdb_open(rig->sys, rig->place->db, rig->dir.fd, &options, &rig->store));
    usleep(50000); /* what an earlier run left: nothing */
    atomic_store(&wakes, 0);
    sfi_batch_reset(&rig->batch);
    put_text(rig, SFI_STATE, "key", "value");
    sfi_batch_seal(&rig->batch, rig->store->durable + 1);
    OK(sfi_store_submit(rig->store, &rig->batch));
    assert_int_equal(sfi_store_settle(rig->store, 1), SFI_DURABLE); /* here, so nobody is woken for it */
    for (uint64_t end = mono_ms() + 5000; atomic_load(&wakes) == 0 && mono_ms() < end;)
        usleep(1000);
    assert_true(atomic_load(&wakes) > 0);
    store_rig_close(rig);
}

static void the_thread_tells_that_it_made_an_epoch_safe_or_room(void **state)
{
    struct store_rig *rig = store_rig_new(*state, THREADED);
    rig->relaxed = 1;
    woken_by(rig, 1 << 20);
    rig->relaxed = 0;
    woken_by(rig, 2); /* so the one entry fills a generation */
    store_rig_fini(rig);
}

ON_ALL(a_new_store_is_empty)
ON_ALL(what_was_settled_is_there_after_reopening)
ON_ALL(a_batch_under_way_is_not_seen)
ON_ALL(the_last_operation_on_a_key_counts_however_keys_rise_and_fall)
ON_ALL(a_batch_that_was_not_settled_is_gone_after_a_crash)
ON_ALL(a_full_store_stalls_until_there_is_room)
ON_ALL(deleting_makes_room)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TESTS(a_new_store_is_empty),
        RIG_TESTS(what_was_settled_is_there_after_reopening),
        RIG_TESTS(a_batch_under_way_is_not_seen),
        RIG_TESTS(the_last_operation_on_a_key_counts_however_keys_rise_and_fall),
        RIG_TESTS(a_batch_that_was_not_settled_is_gone_after_a_crash),
        RIG_TESTS(a_full_store_stalls_until_there_is_room),
        RIG_TESTS(deleting_makes_room),
        RIG_TEST(a_ceiling_without_sense_is_refused),
        RIG_TEST(one_batch_is_lent_at_a_time),
        RIG_TEST(what_is_found_after_a_doubt_is_safe),
        RIG_TEST(what_is_gone_is_not_made_safe),
        RIG_TEST(tidying_comes_in_slices),
        RIG_TEST(the_thread_tells_that_it_made_an_epoch_safe_or_room),
        RIG_TEST(what_was_safe_when_it_was_opened_still_is),
        RIG_TEST(a_store_that_broke_its_rules_stays_as_it_is),
        RIG_TEST(an_epoch_that_nobody_wrote_here_is_damage),
        RIG_TEST(an_epoch_that_is_found_where_another_was_written_is_damage),
        RIG_TEST(after_a_sync_that_failed_the_file_is_read_again),
        RIG_TEST(the_changelog_keeps_to_its_part_of_the_ceiling),
        RIG_TEST(a_thread_makes_safe_what_was_committed_without_it),
        RIG_TEST(a_suspect_database_is_opened_anew_without_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
