/* test_store.c - the store's contract (store/store.h), the same for both backends.
 *
 * A workload of epochs is computed from the epoch's number alone, and so is the model: what each table
 * holds after it.  Every test compares the whole store with the model of the epoch that the store
 * claims to have. */
#define _GNU_SOURCE /* unshare() */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/endian.h"
#include "dir/dir.h"
#include "lmdb/db.h"
#include "lmdb/store.h"
#include "store/mem_store.h"
#include "store/batch.h"
#include "store/record.h"
#include "support/machine.h"
#include "support/support.h"

enum { EPOCHS = 20, KEYS = 24, OPS = 12, TRIES = 9, KILL_EPOCHS = 5 };

/* -- the workload and its model --------------------------------------------------------------------- */

struct cell {
    uint32_t stamp; /* 0: absent */
    uint32_t size;
};

struct model {
    struct cell cells[SFI_TABLES][KEYS];
};

static uint64_t mix(uint64_t number)
{
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

/* Keys start alike, differ in size, and sort like their index. */
static size_t key_of(unsigned index, unsigned char key[64])
{
    memset(key, 7, 12);
    key[12] = (unsigned char)(index / 2 + 1);
    if (index % 2 == 0)
        return 13;
    memset(key + 13, 0, 1 + index);
    return 14 + index;
}

static void fill(unsigned char *value, uint32_t stamp, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        value[i] = (unsigned char)mix(stamp * UINT64_C(65599) + i / 8) >> i % 8;
}

struct change {
    unsigned table, index;
    struct cell cell;
};

/* Small values, empty ones, and some that need several pages. */
static struct change change_of(uint64_t epoch, unsigned i)
{
    uint64_t random = mix(epoch * 1000 + i);
    struct change change = {.table = random % SFI_TABLES, .index = (random >> 8) % KEYS};
    if ((random >> 16) % 3)
        change.cell = (struct cell){(uint32_t)(epoch * 1000 + i),
                                    (random >> 24) % 8 ? (random >> 32) % 60 : (random >> 32) % 20000};
    return change;
}

static struct model model_of(uint64_t epochs)
{
    struct model model = {0};
    for (uint64_t epoch = 1; epoch <= epochs; epoch++) {
        for (unsigned i = 0; i < OPS; i++) {
            struct change change = change_of(epoch, i);
            model.cells[change.table][change.index] = change.cell;
        }
    }
    return model;
}

static int build(struct sfi_batch *batch, uint64_t epoch)
{
    unsigned char key[64];
    sfi_batch_reset(batch);
    for (unsigned i = 0; i < OPS; i++) {
        struct change change = change_of(epoch, i);
        sf_bytes name = SF_BYTES(key, 0);
        name.size = key_of(change.index, key);
        /* The store's own key is left alone: ours have other bytes. */
        if (!change.cell.stamp) {
            if (sfi_batch_delete(batch, change.table, name) < 0)
                return SF_ENOMEM;
            continue;
        }
        unsigned char *value = sfi_batch_put(batch, change.table, name, change.cell.size);
        if (!value)
            return SF_ENOMEM;
        fill(value, change.cell.stamp, change.cell.size);
    }
    sfi_batch_seal(batch, epoch);
    return 0;
}

static int is_cell(const struct cell *cell, sf_bytes value)
{
    static unsigned char expected[20000];
    fill(expected, cell->stamp, cell->size);
    return value.size == cell->size && memcmp(value.data, expected, cell->size) == 0;
}

/* 1: the table is the model's, read by walking and by name.  0: it is not.  Negative: a code. */
static int table_matches(struct sfi_snapshot *snapshot, unsigned table, const struct cell cells[KEYS])
{
    unsigned char key[64], at[64] = {0};
    size_t at_size = 1; /* behind the store's own key */
    sf_bytes found, value;
    for (unsigned i = 0; i < KEYS; i++) {
        size_t size = key_of(i, key);
        int rc = sfi_snapshot_get(snapshot, table, SF_BYTES(key, size), &value);
        if (rc < 0)
            return rc;
        if (rc != (cells[i].stamp != 0) || (rc && !is_cell(&cells[i], value)))
            return 0;
        if (!rc)
            continue;
        rc = sfi_snapshot_seek(snapshot, table, SF_BYTES(at, at_size), 1, &found, &value);
        if (rc <= 0)
            return rc;
        if (found.size != size || memcmp(found.data, key, size) != 0 || !is_cell(&cells[i], value))
            return 0;
        memcpy(at, key, at_size = size);
    }
    int rc = sfi_snapshot_seek(snapshot, table, SF_BYTES(at, at_size), 1, &found, &value);
    return rc < 0 ? rc : !rc;
}

static int snapshot_matches(struct sfi_snapshot *snapshot, uint64_t epoch)
{
    struct model model = model_of(epoch);
    int rc = 1;
    for (unsigned table = 0; table < SFI_TABLES && rc > 0; table++)
        rc = table_matches(snapshot, table, model.cells[table]);
    return rc;
}

static int matches(struct sfi_store *store, uint64_t epoch)
{
    struct sfi_snapshot *snapshot;
    int rc = sfi_snapshot_open(store, &snapshot);
    if (rc < 0)
        return rc;
    rc = snapshot_matches(snapshot, epoch);
    sfi_snapshot_close(snapshot);
    return rc;
}

/* -- a rig: one backend, opened and crashed at will -------------------------------------------------- */

/* SWEEPING: LMDB with so small a changelog that every epoch sweeps and trims. */
/* In memory; on disk; with a changelog so small that every commit sweeps; and with a commit thread. */
enum backend { MEMORY, DISK, SWEEPING, BEHIND };

struct rig {
    enum backend backend;
    const struct place *place;
    struct machine machine;
    const struct sfi_sys *sys;
    struct sfi_mem_disk *disk;
    struct sfi_dir dir;
    struct sfi_store *store;
    struct sfi_batch batch;
    uint64_t bytes_max;
};

static int (*machine_fault)(void *ctx, const char *point);

/* Comparing reads so much that sweeping over all of it would find nothing new. */
static int fault_at_some_reads(void *ctx, const char *point)
{
    static unsigned reads;
    if (strstr(point, ".read") && ++reads % 97)
        return 0;
    return machine_fault(ctx, point);
}

static struct sfi_lmdb_options lmdb_options(const struct rig *rig)
{
    return (struct sfi_lmdb_options){.bytes_max = rig->bytes_max,
                                     .log_bytes_max = 256 << 20,
                                     .log_records_max = rig->backend >= SWEEPING ? 16 : 1 << 22,
                                     .commit_inline = rig->backend != BEHIND};
}

static int rig_open(struct rig *rig)
{
    if (!rig->backend)
        return sfi_mem_open(rig->sys, rig->disk, &rig->store);
    int rc = sfi_dir_open(&rig->dir, rig->place->db, 0, sfi_lmdb_judge);
    if (rc < 0)
        return rc;
    struct sfi_lmdb_options options = lmdb_options(rig);
    rc = sfi_lmdb_open(rig->sys, rig->place->db, rig->dir.fd, &options, &rig->store);
    if (rc < 0)
        sfi_dir_close(&rig->dir);
    return rc;
}

/* Without settling, this is a crash. */
static void rig_close(struct rig *rig)
{
    if (!rig->store)
        return;
    sfi_store_close(rig->store);
    rig->store = NULL;
    if (rig->backend)
        sfi_dir_close(&rig->dir);
}

static void rig_forget_disk(struct rig *rig)
{
    if (rig->backend) {
        char path[400];
        static const char *const names[] = {"data.mdb", "lock.mdb", "lock", "data.mdb.new", ""};
        for (int i = 0; i < 5; i++) {
            snprintf(path, sizeof path, "%s/%s", rig->place->db, names[i]);
            remove(path);
        }
    } else {
        sfi_mem_disk_free(rig->disk);
        rig->disk = sfi_mem_disk_new(rig->sys);
        assert_non_null(rig->disk);
    }
}

static void rig_init(struct rig *rig, const struct place *place, enum backend backend)
{
    *rig = (struct rig){.backend = backend, .place = place, .bytes_max = 64 << 20};
    machine_init(&rig->machine);
    machine_fault = rig->machine.sys.fault;
    rig->machine.sys.fault = fault_at_some_reads;
    rig->sys = &rig->machine.sys;
    rig_forget_disk(rig);
    sfi_batch_init(&rig->batch, rig->sys);
}

static void rig_fini(struct rig *rig)
{
    rig_close(rig);
    sfi_batch_fini(&rig->batch);
    sfi_mem_disk_free(rig->disk);
    assert_int_equal(rig->machine.live, 0);
}

/* What becomes of the batch; on the thread's hands if there is one. */
static int settle(struct rig *rig)
{
    int rc = rig->backend == BEHIND ? sfi_store_settle(rig->store, 0) : SFI_UNDER_WAY;
    return rc == SFI_UNDER_WAY ? sfi_store_settle(rig->store, 1) : rc;
}

static void settle_epoch(struct rig *rig)
{
    OK(build(&rig->batch, rig->store->durable + 1));
    OK(sfi_store_submit(rig->store, &rig->batch));
    assert_int_equal(settle(rig), SFI_DURABLE);
}

typedef void rig_test(struct rig *rig);

static void on_backend(void **state, enum backend backend, rig_test *test)
{
    struct rig rig;
    rig_init(&rig, *state, backend);
    OK(rig_open(&rig));
    test(&rig);
    rig_fini(&rig);
}

/* -- the contract ----------------------------------------------------------------------------------- */

static void a_new_store_is_empty(struct rig *rig)
{
    assert_int_equal(rig->store->durable, 0);
    assert_int_equal(matches(rig->store, 0), 1);
}

static void what_was_settled_is_there_after_reopening(struct rig *rig)
{
    for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
        settle_epoch(rig);
        assert_int_equal(rig->store->durable, epoch);
        assert_int_equal(matches(rig->store, epoch), 1);
        assert_int_equal(matches(rig->store, epoch - 1), 0); /* the comparison can fail */
        rig_close(rig);
        OK(rig_open(rig));
        assert_int_equal(rig->store->durable, epoch);
        assert_int_equal(matches(rig->store, epoch), 1);
    }
}

static void a_batch_under_way_is_not_seen(struct rig *rig)
{
    settle_epoch(rig);
    OK(build(&rig->batch, 2));
    OK(sfi_store_submit(rig->store, &rig->batch));
    assert_int_equal(rig->store->durable, 1);
    assert_int_equal(matches(rig->store, 1), 1);
    assert_int_equal(settle(rig), SFI_DURABLE);
    assert_int_equal(matches(rig->store, 2), 1);
}

static void a_batch_that_was_not_settled_is_gone_after_a_crash(struct rig *rig)
{
    settle_epoch(rig);
    OK(build(&rig->batch, 2));
    OK(sfi_store_submit(rig->store, &rig->batch));
    rig_close(rig);
    OK(rig_open(rig));
    assert_int_equal(rig->store->durable, 1);
    assert_int_equal(matches(rig->store, 1), 1);
}

static void a_snapshot_keeps_its_epoch(struct rig *rig)
{
    struct sfi_snapshot *old, *older;
    OK(sfi_snapshot_open(rig->store, &older));
    settle_epoch(rig);
    OK(sfi_snapshot_open(rig->store, &old));
    for (int i = 0; i < 5; i++)
        settle_epoch(rig);
    assert_int_equal(snapshot_matches(older, 0), 1);
    assert_int_equal(snapshot_matches(old, 1), 1);
    assert_int_equal(matches(rig->store, 6), 1);
    sfi_snapshot_close(older);
    assert_int_equal(snapshot_matches(old, 1), 1);
    assert_int_equal(matches(rig->store, 6), 1);
    sfi_snapshot_close(old);
}

static void put_text(struct rig *rig, enum sfi_table table, const char *key, const char *value)
{
    void *room = sfi_batch_put(&rig->batch, table, sf_str(key), strlen(value));
    assert_non_null(room);
    memcpy(room, value, strlen(value));
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
    assert_memory_equal(value.data, expected, key.size); /* the values are the keys in these tests */
}

static void a_seek_finds_the_first_key_from_there_on(struct rig *rig)
{
    static const char *const keys[] = {"b", "ba", "bb", "d"};
    struct sfi_snapshot *snapshot;
    for (int i = 0; i < 4; i++)
        put_text(rig, SFI_DEAD, keys[i], keys[i]);
    put_text(rig, SFI_OUTBOX, "e", "another table");
    sfi_batch_seal(&rig->batch, 1);
    OK(sfi_store_submit(rig->store, &rig->batch));
    assert_int_equal(settle(rig), SFI_DURABLE);
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

/* LMDB appends beyond the last key only; the others go between. */
static void keys_may_come_in_any_order_over_the_epochs(struct rig *rig)
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
        assert_int_equal(settle(rig), SFI_DURABLE);
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

static void raise_ceiling(struct rig *rig)
{
    if (rig->backend) {
        rig_close(rig);
        rig->bytes_max = 64 << 20;
        OK(rig_open(rig));
        OK(sfi_store_submit(rig->store, &rig->batch));
    } else {
        sfi_mem_disk_limit(rig->disk, 0);
    }
}

/* R8: room() counts down to the ceiling, beyond it there is a stall, and nothing is lost. */
static void a_full_store_stalls_until_there_is_room(struct rig *rig)
{
    enum { BYTES = 30000, BYTES_MAX = 1 << 20 };
    unsigned char key[8];
    uint64_t room;
    int rc;
    rig_close(rig);
    rig_forget_disk(rig);
    rig->bytes_max = BYTES_MAX;
    OK(rig_open(rig));
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
        rc = settle(rig);
        if (rc == SF_EDISK) /* the second try leaves everything else for later */
            rc = settle(rig);
        /* Room for what a small commit copies beside it, and for a slice of sweeping. */
        assert_true(rc == SFI_DURABLE || room < 3 * BYTES + 20 * 4096);
    } while (rc == SFI_DURABLE);
    REFUSED(rc, SF_EDISK);
    SAYS("store_bytes_max");
    REFUSED(settle(rig), SF_EDISK);
    uint64_t epoch = rig->store->durable;
    assert_true(epoch > 20);
    raise_ceiling(rig);
    assert_int_equal(settle(rig), SFI_DURABLE);
    assert_int_equal(rig->store->durable, epoch + 1);
}

/* What is freed counts as room again once it can be used. */
static void deleting_makes_room(struct rig *rig)
{
    enum { BYTES = 30000, BYTES_MAX = 1 << 20 };
    unsigned char key[8];
    rig_close(rig);
    rig_forget_disk(rig);
    rig->bytes_max = BYTES_MAX;
    OK(rig_open(rig));
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
        assert_int_equal(settle(rig), SFI_DURABLE);
        if (i == 28)
            assert_true(sfi_store_room(rig->store) < BYTES_MAX / 3);
    }
    assert_true(sfi_store_room(rig->store) > BYTES_MAX / 3);
}

/* -- every failure ---------------------------------------------------------------------------------- */

/* Submits and settles, again and again if it must, never more than once each per try. */
static void insist(struct rig *rig, uint64_t epoch)
{
    int rc = SF_ENOMEM, submitted = 0;
    for (int i = 0; i < TRIES && rc < 0; i++)
        rc = build(&rig->batch, epoch);
    assert_int_equal(rc, 0);
    for (int i = 0; i < TRIES && rig->store->durable < epoch; i++) {
        if (!submitted)
            submitted = sfi_store_submit(rig->store, &rig->batch) == 0;
        if (submitted) {
            rc = sfi_store_settle(rig->store, i % 2);
            assert_int_equal(rc == SFI_DURABLE, rig->store->durable == epoch);
        }
    }
    assert_int_equal(rig->store->durable, epoch);
}

static int insist_matches(struct sfi_store *store, uint64_t epoch)
{
    int rc = SF_EDISK;
    for (int i = 0; i < TRIES && rc < 0; i++)
        rc = matches(store, epoch);
    return rc;
}

static void insist_open(struct rig *rig)
{
    int rc = rig_open(rig);
    for (int i = 0; i < TRIES && rc < 0; i++)
        rc = rig_open(rig);
    OK(rc);
}

/* Goes on after each failure, in the same life. */
static void live_on(struct rig *rig)
{
    insist_open(rig);
    for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
        insist(rig, epoch);
        assert_int_equal(insist_matches(rig->store, epoch), 1);
    }
    rig_close(rig);
    insist_open(rig);
    assert_int_equal(rig->store->durable, EPOCHS);
    assert_int_equal(insist_matches(rig->store, EPOCHS), 1);
    rig_close(rig);
}

/* Crashes at each failure and compares what the next life finds. */
static void crash_on(struct rig *rig)
{
    insist_open(rig);
    while (rig->store->durable < EPOCHS) {
        uint64_t before = rig->store->durable;
        int rc = build(&rig->batch, before + 1);
        if (rc == 0)
            rc = sfi_store_submit(rig->store, &rig->batch);
        if (rc == 0)
            rc = settle(rig);
        if (rc == SFI_DURABLE)
            rc = matches(rig->store, before + 1);
        if (rc >= 0) {
            assert_int_equal(rc, 1);
            continue;
        }
        rig_close(rig);
        insist_open(rig);
        assert_true(rig->store->durable == before || rig->store->durable == before + 1);
        assert_int_equal(insist_matches(rig->store, rig->store->durable), 1);
    }
    rig_close(rig);
}

static void sweep(struct rig *rig, void (*live)(struct rig *), _Atomic uint64_t *counter, uint64_t *fail, int step)
{
    uint64_t total;
    rig_close(rig);
    rig_forget_disk(rig);
    *counter = 0;
    live(rig);
    total = *counter;
    assert_true(total > 4);
    for (uint64_t i = 1; i <= total; i += (uint64_t)step) {
        rig_forget_disk(rig);
        sfi_batch_fini(&rig->batch);
        *counter = 0;
        *fail = i;
        live(rig);
        *fail = 0;
    }
}

static void any_store_call_may_fail_once(struct rig *rig)
{
    sweep(rig, live_on, &rig->machine.faults, &rig->machine.fail_fault, rig->backend ? 7 : 1);
}

static void any_store_call_may_fail_before_a_crash(struct rig *rig)
{
    sweep(rig, crash_on, &rig->machine.faults, &rig->machine.fail_fault, rig->backend ? 7 : 1);
}

static void any_allocation_may_fail_once(struct rig *rig)
{
    sweep(rig, live_on, &rig->machine.allocations, &rig->machine.fail_allocation, 1);
}

/* -- every write of LMDB's ---------------------------------------------------------------------------
 * These stand before the C library's, for LMDB too: a write or a sync that fails without effect, with
 * half of it, or with all of it. */

enum damage { NOTHING_DONE, HALF_DONE, ALL_DONE };

static _Atomic uint64_t io_count;
static uint64_t io_fail; /* this one fails; 0: none */
static enum damage io_damage;

static int io_fails(void)
{
    return atomic_fetch_add(&io_count, 1) + 1 == io_fail;
}

static ssize_t io_failed(void)
{
    errno = EIO;
    return -1;
}

#pragma GCC visibility push(default) /* or the shared libraries would not see them */

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    int fails = io_fails();
    if (fails && io_damage != ALL_DONE)
        size = io_damage == HALF_DONE ? size / 2 : 0;
    ssize_t done = size ? syscall(SYS_pwrite64, fd, bytes, size, at) : 0;
    return fails ? io_failed() : done;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    int fails = io_fails();
    if (fails && io_damage != ALL_DONE)
        count = io_damage == HALF_DONE ? count / 2 : 0;
    ssize_t done = count ? syscall(SYS_writev, fd, parts, count) : 0;
    return fails ? io_failed() : done;
}

int fdatasync(int fd)
{
    int fails = io_fails(), rc = fails && io_damage == NOTHING_DONE ? 0 : (int)syscall(SYS_fdatasync, fd);
    return fails ? (int)io_failed() : rc;
}

#pragma GCC visibility pop

static void sweep_io(struct rig *rig, void (*live)(struct rig *))
{
    rig_close(rig);
    rig_forget_disk(rig);
    io_fail = 0;
    atomic_store(&io_count, 0);
    live(rig);
    uint64_t total = atomic_load(&io_count);
    assert_true(total > EPOCHS * 3);
    for (uint64_t i = 1; i <= total; i += 2) {
        rig_forget_disk(rig);
        io_damage = (enum damage)(i / 2 % 3);
        io_fail = i;
        atomic_store(&io_count, 0);
        live(rig);
        io_fail = 0;
    }
}

static void any_write_may_fail_once(void **state)
{
    for (enum backend backend = DISK; backend <= BEHIND; backend++) {
        struct rig rig;
        rig_init(&rig, *state, backend);
        sweep_io(&rig, live_on);
        sweep_io(&rig, crash_on);
        rig_fini(&rig);
    }
}

/* -- snapshots on another thread ---------------------------------------------------------------------- */

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
    for (unsigned i = 0; i < KEYS; i++) {
        size_t size = key_of(i, key);
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

static void snapshots_of_other_threads_see_whole_epochs(struct rig *rig)
{
    unsigned char key[64];
    pthread_t threads[2];
    rig_close(rig);
    sfi_mem_disk_free(rig->disk);
    sfi_batch_fini(&rig->batch);
    rig->sys = sfi_sys_default(); /* the machine of tests is for one thread */
    sfi_batch_init(&rig->batch, rig->sys);
    rig->disk = rig->backend ? NULL : sfi_mem_disk_new(rig->sys);
    OK(rig_open(rig));
    struct reader reader = {.store = rig->store};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &reader), 0);
    for (uint64_t epoch = 1; epoch <= 100 || atomic_load(&reader.seen) < 100; epoch++) {
        sfi_batch_reset(&rig->batch);
        for (unsigned i = 0; i < KEYS; i++) {
            size_t size = key_of(i, key);
            sfi_le64_put(sfi_batch_put(&rig->batch, SFI_STATE, SF_BYTES(key, size), 8), epoch);
        }
        sfi_batch_seal(&rig->batch, epoch);
        sfi_store_submit(rig->store, &rig->batch);
        if (settle(rig) != SFI_DURABLE || atomic_load(&reader.failed))
            break;
    }
    atomic_store(&reader.stop, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_false(reader.torn);
    assert_false(reader.failed);
    assert_true(rig->store->durable >= 100);
}

/* -- LMDB alone ------------------------------------------------------------------------------------- */

/* Fails at the next passing of one point. */
struct trap {
    struct sfi_sys sys;
    const char *point;
    int code;
};

static int trap_fault(void *ctx, const char *point)
{
    struct trap *trap = ctx;
    if (!trap->point || strcmp(point, trap->point) != 0)
        return 0;
    trap->point = NULL;
    return trap->code;
}

static void trap_init(struct trap *trap)
{
    *trap = (struct trap){.sys = *sfi_sys_default(), .code = SF_EDISK};
    trap->sys.ctx = trap;
    trap->sys.fault = trap_fault;
}

static void reopens_after(struct rig *rig, const char *point, int is_on_disk)
{
    struct trap trap;
    struct sfi_snapshot *snapshot;
    rig_close(rig);
    rig_forget_disk(rig);
    trap_init(&trap);
    rig->sys = &trap.sys;
    OK(rig_open(rig));
    settle_epoch(rig);
    OK(sfi_snapshot_open(rig->store, &snapshot));
    OK(build(&rig->batch, 2));
    OK(sfi_store_submit(rig->store, &rig->batch));
    trap.point = point;
    REFUSED(sfi_store_settle(rig->store, 1), SF_EDISK);
    /* Nobody knows yet what is on disk, so nothing may be read, and the open snapshot is in the way. */
    REFUSED(matches(rig->store, 1), SF_EDISK);
    REFUSED(sfi_store_settle(rig->store, 1), SF_EDISK);
    SAYS("waiting for open views");
    assert_int_equal(snapshot_matches(snapshot, 1), 1);
    sfi_snapshot_close(snapshot);
    trap.point = "lmdb.sync";
    REFUSED(sfi_store_settle(rig->store, 1), SF_EDISK);
    trap.point = is_on_disk ? "lmdb.begin" : NULL; /* what is found on disk is not applied again */
    assert_int_equal(sfi_store_settle(rig->store, 1), SFI_DURABLE);
    assert_int_equal(trap.point != NULL, is_on_disk);
    assert_int_equal(matches(rig->store, 2), 1);
    rig_close(rig);
}

/* Protocol step 7. */
static void an_indeterminate_commit_is_settled_by_reading_the_disk(void **state)
{
    struct rig rig;
    rig_init(&rig, *state, DISK);
    OK(rig_open(&rig));
    reopens_after(&rig, "lmdb.commit.before", 0);
    reopens_after(&rig, "lmdb.commit.after", 1);
    rig_fini(&rig);
}

/* Runs in a child, which the machine kills at one of the fault points: tells the epochs it was told. */
struct killed {
    struct rig *rig;
    int pipe[2];
};

static int live_until_killed(void *arg)
{
    struct killed *killed = arg;
    struct rig *rig = killed->rig;
    rig->machine.faults = 0;
    if (rig_open(rig) < 0)
        return 1;
    while (rig->store->durable < KILL_EPOCHS) {
        unsigned char epoch = (unsigned char)(rig->store->durable + 1);
        if (build(&rig->batch, epoch) < 0 || sfi_store_submit(rig->store, &rig->batch) < 0 ||
            sfi_store_settle(rig->store, 1) != SFI_DURABLE || write(killed->pipe[1], &epoch, 1) != 1)
            return 2;
    }
    return 0;
}

static uint64_t last_told(const struct killed *killed)
{
    unsigned char epoch = 0;
    close(killed->pipe[1]);
    while (read(killed->pipe[0], &epoch, 1) == 1)
        ;
    close(killed->pipe[0]);
    return epoch;
}

static void a_kill_at_any_point_loses_nothing_that_was_told(void **state)
{
    struct rig rig;
    int result = -1;
    uint64_t kills = 0;
    for (uint64_t at = 1; result != 0; at++) {
        rig_init(&rig, *state, DISK);
        struct killed killed = {.rig = &rig};
        assert_int_equal(pipe(killed.pipe), 0);
        rig.machine.kill_fault = at;
        result = in_child(live_until_killed, &killed);
        uint64_t told = last_told(&killed);
        assert_true(result == 0 || result == -9);
        rig.machine.kill_fault = 0;
        OK(rig_open(&rig));
        assert_true(rig.store->durable == told || rig.store->durable == told + 1);
        assert_int_equal(matches(rig.store, rig.store->durable), 1);
        settle_epoch(&rig);
        rig_fini(&rig);
        kills += result != 0;
    }
    assert_true(kills > KILL_EPOCHS * 5);
}

/* -- databases that are not ours to open -------------------------------------------------------------- */

typedef void edit(MDB_txn *txn, MDB_dbi meta);

static void with_lmdb(const struct place *place, const char *table, edit *change)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi meta;
    mkdir(place->db, 0700);
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, SFI_DB_TABLES);
    assert_int_equal(mdb_env_open(env, place->db, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, table, MDB_CREATE, &meta), 0);
    if (change)
        change(txn, meta);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void write_format(MDB_txn *txn, MDB_dbi meta, const char *magic, uint32_t format,
                         uint64_t epoch, int is_damaged)
{
    unsigned char name = 0, record[SFI_RECORD_HEADER + 16] = {0};
    MDB_val key = {1, &name}, value = {sizeof record, record};
    memcpy(record + SFI_RECORD_HEADER, magic, 4);
    sfi_le32_put(record + SFI_RECORD_HEADER + 4, format);
    sfi_le64_put(record + SFI_RECORD_HEADER + 8, epoch);
    sfi_record_finish(record, sizeof record, SFI_RECORD_FORMAT, SF_OF(name));
    record[20] ^= (unsigned char)is_damaged;
    mdb_put(txn, meta, &key, &value, 0);
}

static void at_epoch_77(MDB_txn *txn, MDB_dbi meta)
{
    write_format(txn, meta, "SFDB", SFI_DB_FORMAT, 77, 0);
}

static int write_epoch_77(void *place)
{
    with_lmdb(place, "meta", at_epoch_77);
    return 0;
}

/* `point`: with or without a commit that failed before. */
static void ends_after(void **state, const char *point)
{
    struct rig rig;
    struct trap trap;
    rig_init(&rig, *state, DISK);
    trap_init(&trap);
    rig.sys = &trap.sys;
    OK(rig_open(&rig));
    settle_epoch(&rig);
    OK(build(&rig.batch, 2));
    OK(sfi_store_submit(rig.store, &rig.batch));
    trap.point = point;
    if (point)
        REFUSED(sfi_store_settle(rig.store, 1), SF_EDISK);
    assert_int_equal(in_child(write_epoch_77, *state), 0);
    REFUSED(sfi_store_settle(rig.store, 1), SF_ECORRUPT);
    SAYS("epoch 77");
    REFUSED(sfi_store_settle(rig.store, 1), SF_ECORRUPT);
    rig_fini(&rig);
}

static void an_epoch_from_elsewhere_ends_it(void **state)
{
    ends_after(state, NULL);
}

static void an_epoch_from_elsewhere_after_a_failed_commit_ends_it(void **state)
{
    ends_after(state, "lmdb.commit.before");
}

static void newer(MDB_txn *txn, MDB_dbi meta)
{
    write_format(txn, meta, "SFDB", SFI_DB_FORMAT + 1, 0, 0);
}

static void of_another(MDB_txn *txn, MDB_dbi meta)
{
    write_format(txn, meta, "XFDB", SFI_DB_FORMAT, 0, 0);
}

static void bitten(MDB_txn *txn, MDB_dbi meta)
{
    write_format(txn, meta, "SFDB", SFI_DB_FORMAT, 0, 4);
}

static void without_tables(MDB_txn *txn, MDB_dbi meta)
{
    write_format(txn, meta, "SFDB", SFI_DB_FORMAT, 0, 0);
}

static void older(MDB_txn *txn, MDB_dbi meta)
{
    write_format(txn, meta, "SFDB", 1, 0, 0);
}

static void refuses(void **state, const char *table, edit *change, int code)
{
    struct rig rig;
    rig_init(&rig, *state, DISK);
    with_lmdb(rig.place, table, change);
    REFUSED(rig_open(&rig), code);
    rig_fini(&rig);
}

static void a_database_of_a_newer_format_is_refused(void **state)
{
    refuses(state, "meta", newer, SF_ENEWER);
    SAYS("format 4");
}

static void a_database_from_before_the_first_release_is_refused(void **state)
{
    refuses(state, "meta", older, SF_EFOREIGN);
    SAYS("format 1");
}

static void a_database_of_another_program_is_refused(void **state)
{
    refuses(state, "theirs", NULL, SF_EFOREIGN);
    refuses(state, "meta", NULL, SF_EFOREIGN);
    refuses(state, "meta", of_another, SF_EFOREIGN);
    refuses(state, "meta", without_tables, SF_EFOREIGN);
}

static void a_damaged_format_record_is_refused(void **state)
{
    refuses(state, "meta", bitten, SF_ECORRUPT);
}

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
    struct rig rig;
    struct sfi_snapshot *snapshot;
    sf_bytes key = SF_NONE, value;
    rig_init(&rig, *state, DISK);
    OK(rig_open(&rig));
    settle_epoch(&rig);
    rig_close(&rig);
    for (int i = 0; i < SFI_TABLES; i++)
        with_lmdb(*state, names[i], with_a_long_key);
    OK(rig_open(&rig));
    OK(sfi_snapshot_open(rig.store, &snapshot));
    for (unsigned table = 0; table < SFI_TABLES; table++) {
        REFUSED(sfi_snapshot_seek(snapshot, table, SF_OF((char){'\x7f'}), 0, &key, &value), SF_ECORRUPT);
        SAYS("511 bytes");
        assert_null(key.data);
    }
    OK(sfi_snapshot_seek(snapshot, SFI_META, SF_BYTES("", 0), 0, &key, &value)); /* those before it are fine */
    sfi_snapshot_close(snapshot);
    rig_fini(&rig);
}

static void a_half_made_database_is_made_again(void **state)
{
    struct rig rig;
    struct trap trap;
    char path[400];
    rig_init(&rig, *state, DISK);
    trap_init(&trap);
    trap.point = "lmdb.rename";
    rig.sys = &trap.sys;
    snprintf(path, sizeof path, "%s/data.mdb", rig.place->db);
    REFUSED(rig_open(&rig), SF_EDISK);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/data.mdb.new", rig.place->db);
    write_file(path, "half", 4);
    OK(rig_open(&rig));
    assert_int_equal(matches(rig.store, 0), 1);
    assert_int_equal(access(path, F_OK), -1);
    rig_fini(&rig);
}

static void the_database_is_found_again_from_another_directory(void **state)
{
    struct rig rig;
    struct trap trap;
    char before[4096];
    rig_init(&rig, *state, DISK);
    trap_init(&trap);
    rig.sys = &trap.sys;
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(rig.place->dir), 0);
    OK(sfi_dir_open(&rig.dir, "db", 0, sfi_lmdb_judge));
    struct sfi_lmdb_options options = lmdb_options(&rig);
    OK(sfi_lmdb_open(rig.sys, "db", rig.dir.fd, &options, &rig.store));
    assert_int_equal(chdir(before), 0);
    OK(build(&rig.batch, 1));
    OK(sfi_store_submit(rig.store, &rig.batch));
    trap.point = "lmdb.commit.after";
    REFUSED(sfi_store_settle(rig.store, 1), SF_EDISK);
    assert_int_equal(sfi_store_settle(rig.store, 1), SFI_DURABLE);
    assert_int_equal(matches(rig.store, 1), 1);
    rig_fini(&rig);
}

static void nothing_of_the_database_survives_an_exec(void **state)
{
    struct rig rig;
    int ours = 0;
    NEEDS_PROC();
    rig_init(&rig, *state, DISK);
    OK(rig_open(&rig));
    settle_epoch(&rig);
    for (int fd = 0; fd < 100; fd++) {
        char link[40], path[400];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, path, sizeof path - 1);
        path[size < 0 ? 0 : size] = 0;
        if (!strstr(path, rig.place->db))
            continue;
        ours++;
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    }
    assert_true(ours >= 5); /* directory, lock, data, synced data, LMDB's lock */
    rig_fini(&rig);
}

/* What the child found, as its exit status. */
enum { FULL_FINE, FULL_NEVER, FULL_CODE, FULL_SENTENCE, FULL_NOT_AFTER, FULL_LOST, FULL_SKIPPED = 77 };

static int write_ballast(const char *path, size_t bytes)
{
    static const char zeroes[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (size_t done = 0; fd >= 0 && done < bytes; done += sizeof zeroes)
        if (write(fd, zeroes, sizeof zeroes) <= 0)
            break;
    return fd < 0 ? -1 : close(fd);
}

static int fill_the_disk(void *arg)
{
    struct rig *rig = arg;
    const char *ballast = place_path(rig->place, "db/ballast");
    int rc = SFI_DURABLE;
    mkdir(rig->place->db, 0700);
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", rig->place->db, "tmpfs", 0, "size=2m,mode=0700"))
        return FULL_SKIPPED;
    if (rig_open(rig) < 0 || write_ballast(ballast, (2 << 20) - (150 << 10)) < 0)
        return FULL_NEVER;
    while (rc == SFI_DURABLE && rig->store->durable < 1000) {
        if (build(&rig->batch, rig->store->durable + 1) < 0 ||
            sfi_store_submit(rig->store, &rig->batch) < 0)
            return FULL_NEVER;
        rc = sfi_store_settle(rig->store, 1);
    }
    if (rc != SF_EDISK)
        return rc < 0 ? FULL_CODE : FULL_NEVER;
    if (!strstr(sf_errmsg(), "the disk is full"))
        return FULL_SENTENCE;
    if (sfi_store_settle(rig->store, 1) != SF_EDISK || sfi_store_settle(rig->store, 1) != SF_EDISK)
        return FULL_CODE;
    unlink(ballast);
    uint64_t epoch = rig->batch.epoch;
    if (sfi_store_settle(rig->store, 1) != SFI_DURABLE || rig->store->durable != epoch)
        return FULL_NOT_AFTER;
    if (matches(rig->store, epoch) != 1)
        return FULL_LOST;
    rig_close(rig);
    return rig_open(rig) == 0 && matches(rig->store, epoch) == 1 ? FULL_FINE : FULL_LOST;
}

/* R8, on a real file system of 2 MiB. */
static void a_full_disk_stalls_until_there_is_room(void **state)
{
    struct rig rig;
    rig_init(&rig, *state, DISK);
    int result = in_child(fill_the_disk, &rig);
    if (result == FULL_SKIPPED)
        SKIP("not allowed to mount here");
    assert_int_equal(result, FULL_FINE);
    rig_fini(&rig);
}

static void a_ceiling_without_sense_is_refused(void **state)
{
    struct rig rig;
    rig_init(&rig, *state, DISK);
    rig.bytes_max = 4096;
    REFUSED(rig_open(&rig), SF_EINVAL);
    SAYS("store_bytes_max");
    rig.bytes_max = UINT64_MAX;
    REFUSED(rig_open(&rig), SF_EINVAL);
    rig.bytes_max = UINT64_C(1) << 60;
    REFUSED(rig_open(&rig), SF_ENOMEM);
    SAYS("store_bytes_max");
    rig_fini(&rig);
}

/* -- the list ------------------------------------------------------------------------------------------ */

#define ALL(name)                                                                                         \
    static void name##_in_memory(void **state)                                                             \
    {                                                                                                      \
        on_backend(state, MEMORY, name);                                                                     \
    }                                                                                                      \
    static void name##_on_disk(void **state)                                                               \
    {                                                                                                      \
        on_backend(state, DISK, name);                                                                     \
    }                                                                                                      \
    static void name##_while_sweeping(void **state)                                                        \
    {                                                                                                      \
        on_backend(state, SWEEPING, name);                                                                 \
    }                                                                                                      \
    static void name##_behind_the_engine(void **state)                                                     \
    {                                                                                                      \
        on_backend(state, BEHIND, name);                                                                   \
    }

ALL(a_new_store_is_empty)
ALL(what_was_settled_is_there_after_reopening)
ALL(a_batch_under_way_is_not_seen)
ALL(a_batch_that_was_not_settled_is_gone_after_a_crash)
ALL(a_snapshot_keeps_its_epoch)
ALL(a_seek_finds_the_first_key_from_there_on)
ALL(keys_may_come_in_any_order_over_the_epochs)
ALL(a_full_store_stalls_until_there_is_room)
ALL(deleting_makes_room)
ALL(any_store_call_may_fail_once)
ALL(any_store_call_may_fail_before_a_crash)
ALL(any_allocation_may_fail_once)
ALL(snapshots_of_other_threads_see_whole_epochs)

int main(void)
{
#define TESTS(name) TEST(name##_in_memory), TEST(name##_on_disk), TEST(name##_while_sweeping), TEST(name##_behind_the_engine)
    const struct CMUnitTest tests[] = {
        TESTS(a_new_store_is_empty),
        TESTS(what_was_settled_is_there_after_reopening),
        TESTS(a_batch_under_way_is_not_seen),
        TESTS(a_batch_that_was_not_settled_is_gone_after_a_crash),
        TESTS(a_snapshot_keeps_its_epoch),
        TESTS(a_seek_finds_the_first_key_from_there_on),
        TESTS(keys_may_come_in_any_order_over_the_epochs),
        TESTS(a_full_store_stalls_until_there_is_room),
        TESTS(deleting_makes_room),
        TESTS(any_store_call_may_fail_once),
        TESTS(any_store_call_may_fail_before_a_crash),
        TESTS(any_allocation_may_fail_once),
        TESTS(snapshots_of_other_threads_see_whole_epochs),
        TEST(any_write_may_fail_once),
        TEST(an_indeterminate_commit_is_settled_by_reading_the_disk),
        TEST(an_epoch_from_elsewhere_ends_it),
        TEST(an_epoch_from_elsewhere_after_a_failed_commit_ends_it),
        TEST(a_kill_at_any_point_loses_nothing_that_was_told),
        TEST(a_database_of_a_newer_format_is_refused),
        TEST(a_database_from_before_the_first_release_is_refused),
        TEST(a_database_of_another_program_is_refused),
        TEST(a_damaged_format_record_is_refused),
        TEST(a_key_longer_than_ours_is_damage),
        TEST(a_half_made_database_is_made_again),
        TEST(the_database_is_found_again_from_another_directory),
        TEST(nothing_of_the_database_survives_an_exec),
        TEST(a_full_disk_stalls_until_there_is_room),
        TEST(a_ceiling_without_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
