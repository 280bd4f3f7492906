/* test_store_failures.c - whatever fails once: nothing that was told is lost, the store goes on.
 *
 * Calls, allocations, writes of LMDB's; commits of which nobody knows what became; kills. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/store_rig.h"

enum { EPOCHS = 14, EPOCHS_ON_DISK = 10, TRIES = 9, KILL_EPOCHS = 5 };

/* -- every failure ----------------------------------------------------------------------------- */

/* Submits and settles, again and again if it must, never more than once each per try. */
static void insist(struct store_rig *rig, uint64_t epoch)
{
    int rc = SF_ENOMEM, submitted = 0;
    for (int i = 0; i < TRIES && rc < 0; i++)
        rc = build_epoch(&rig->batch, epoch);
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

/* The thread's own work may have failed meanwhile: settling finds out what is on disk. */
static int insist_matches(struct sfi_store *store, uint64_t epoch)
{
    int rc = SF_EDISK;
    for (int i = 0; i < TRIES && rc < 0; i++) {
        rc = store_matches(store, epoch);
        if (rc < 0)
            sfi_store_settle(store, 1);
    }
    return rc;
}

static void insist_open(struct store_rig *rig)
{
    int rc = store_rig_open(rig);
    for (int i = 0; i < TRIES && rc < 0; i++)
        rc = store_rig_open(rig);
    OK(rc);
}

/* The time goes with the square of it, and is spent in syncs. */
static uint64_t epochs_of(const struct store_rig *rig)
{
    return rig->backend == MEMORY ? EPOCHS : EPOCHS_ON_DISK;
}

/* Goes on after each failure, in the same life. */
static void live_on(struct store_rig *rig)
{
    uint64_t last = epochs_of(rig);
    insist_open(rig);
    for (uint64_t epoch = 1; epoch <= last; epoch++) {
        insist(rig, epoch);
        assert_int_equal(insist_matches(rig->store, epoch), 1);
    }
    store_rig_close(rig);
    insist_open(rig);
    assert_int_equal(rig->store->durable, last);
    assert_int_equal(insist_matches(rig->store, last), 1);
    store_rig_close(rig);
    if (rig->backend != MEMORY)
        counts_are_exact(rig->place);
}

/* Crashes at each failure and compares what the next life finds. */
static void crash_on(struct store_rig *rig)
{
    insist_open(rig);
    while (rig->store->durable < epochs_of(rig)) {
        uint64_t before = rig->store->durable;
        int rc = build_epoch(&rig->batch, before + 1);
        if (rc == 0)
            rc = sfi_store_submit(rig->store, &rig->batch);
        if (rc == 0)
            rc = store_rig_settle(rig);
        if (rc == SFI_DURABLE)
            rc = store_matches(rig->store, before + 1);
        if (rc >= 0) {
            assert_int_equal(rc, 1);
            continue;
        }
        store_rig_close(rig);
        insist_open(rig);
        assert_true(rig->store->durable == before || rig->store->durable == before + 1);
        assert_int_equal(insist_matches(rig->store, rig->store->durable), 1);
    }
    store_rig_close(rig);
    if (rig->backend != MEMORY)
        counts_are_exact(rig->place);
}

static void sweep(struct store_rig *rig, void (*live)(struct store_rig *),
                  _Atomic uint64_t *counter, uint64_t *fail, int step)
{
    uint64_t total;
    store_rig_close(rig);
    store_rig_forget_disk(rig);
    *counter = 0;
    live(rig);
    total = *counter;
    assert_true(total > 4);
    for (uint64_t i = 1; i <= total; i += (uint64_t)step) {
        store_rig_forget_disk(rig);
        sfi_batch_fini(&rig->batch);
        *counter = 0;
        *fail = i;
        live(rig);
        *fail = 0;
    }
}

static void any_store_call_may_fail_once(struct store_rig *rig)
{
    sweep(rig, live_on, &rig->machine.faults, &rig->machine.fail_fault, rig->backend ? 7 : 1);
}

static void any_store_call_may_fail_before_a_crash(struct store_rig *rig)
{
    sweep(rig, crash_on, &rig->machine.faults, &rig->machine.fail_fault, rig->backend ? 7 : 1);
}

static void any_allocation_may_fail_once(struct store_rig *rig)
{
    sweep(rig, live_on, &rig->machine.allocations, &rig->machine.fail_allocation, rig->backend ? 3 : 1);
}

/* -- every write of LMDB's ---------------------------------------------------------------------
 * These stand before the C library's, for LMDB too: a write or a sync that fails without effect,
 * with half of it, or with all of it. */

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
    int fails = io_fails();
    int rc = fails && io_damage == NOTHING_DONE ? 0 : (int)syscall(SYS_fdatasync, fd);
    return fails ? (int)io_failed() : rc;
}

#pragma GCC visibility pop

static void sweep_io(struct store_rig *rig, void (*live)(struct store_rig *))
{
    store_rig_close(rig);
    store_rig_forget_disk(rig);
    io_fail = 0;
    atomic_store(&io_count, 0);
    live(rig);
    uint64_t total = atomic_load(&io_count);
    assert_true(total > EPOCHS * 3);
    for (uint64_t i = 1; i <= total; i += 2) {
        store_rig_forget_disk(rig);
        io_damage = (enum damage)(i / 2 % 3);
        io_fail = i;
        atomic_store(&io_count, 0);
        live(rig);
        io_fail = 0;
    }
}

static void any_write_may_fail_once(void **state)
{
    for (enum backend backend = DISK; backend <= THREADED; backend++) {
        struct store_rig *rig = store_rig_new(*state, backend);
        sweep_io(rig, live_on);
        sweep_io(rig, crash_on);
        store_rig_fini(rig);
    }
}

/* -- nobody knows what became of it ------------------------------------------------------------ */

static void reopens_after(struct store_rig *rig, const char *point, int is_on_disk)
{
    struct sfi_snapshot *snapshot;
    store_rig_close(rig);
    store_rig_forget_disk(rig);
    struct store_trap *trap = store_rig_trap(rig);
    OK(store_rig_open(rig));
    store_rig_settle_epoch(rig);
    OK(sfi_snapshot_open(rig->store, &snapshot));
    OK(build_epoch(&rig->batch, 2));
    OK(sfi_store_submit(rig->store, &rig->batch));
    trap->point = point;
    REFUSED(sfi_store_settle(rig->store, 1), SF_EDISK);
    /* Nobody knows yet what is on disk: nothing may be read, and the snapshot is in the way. */
    REFUSED(store_matches(rig->store, 1), SF_EDISK);
    REFUSED(sfi_store_settle(rig->store, 1), SF_EDISK);
    SAYS("waiting for open views");
    assert_int_equal(snapshot_matches(snapshot, 1), 1);
    sfi_snapshot_close(snapshot);
    trap->point = "lmdb.sync";
    REFUSED(sfi_store_settle(rig->store, 1), SF_EDISK);
    trap->point = is_on_disk ? "lmdb.begin" : NULL; /* what is found on disk is not applied again */
    assert_int_equal(sfi_store_settle(rig->store, 1), SFI_DURABLE);
    assert_int_equal(trap->point != NULL, is_on_disk);
    assert_int_equal(store_matches(rig->store, 2), 1);
    store_rig_close(rig);
}

/* Protocol step 7. */
static void an_indeterminate_commit_is_settled_by_reading_the_disk(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    OK(store_rig_open(rig));
    reopens_after(rig, "lmdb.commit.before", 0);
    reopens_after(rig, "lmdb.commit.after", 1);
    store_rig_fini(rig);
}

static void at_epoch_77(MDB_txn *txn, MDB_dbi meta)
{
    write_format(txn, meta, "SFDB", SFI_FORMAT, 77, 0);
}

static int write_epoch_77(void *place)
{
    with_lmdb(place, "meta", at_epoch_77);
    return 0;
}

/* `point`: with or without a commit that failed before. */
static void ends_after(void **state, const char *point)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct store_trap *trap = store_rig_trap(rig);
    OK(store_rig_open(rig));
    store_rig_settle_epoch(rig);
    OK(build_epoch(&rig->batch, 2));
    OK(sfi_store_submit(rig->store, &rig->batch));
    trap->point = point;
    if (point)
        REFUSED(sfi_store_settle(rig->store, 1), SF_EDISK);
    assert_int_equal(in_child(write_epoch_77, *state), 0);
    REFUSED(sfi_store_settle(rig->store, 1), SF_ECORRUPT);
    SAYS("epoch 77");
    REFUSED(sfi_store_settle(rig->store, 1), SF_ECORRUPT);
    store_rig_fini(rig);
}

static void an_epoch_from_elsewhere_ends_it(void **state)
{
    ends_after(state, NULL);
}

static void an_epoch_from_elsewhere_after_a_failed_commit_ends_it(void **state)
{
    ends_after(state, "lmdb.commit.before");
}

/* It may have lost what it was to write, so the next one may succeed and mean nothing. */
static void a_sync_that_fails_makes_the_database_suspect(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct store_trap *trap = store_rig_trap(rig);
    struct sfi_snapshot *snapshot;
    rig->relaxed = 1;
    OK(store_rig_open(rig));
    store_rig_settle_epoch(rig);
    store_rig_settle_epoch(rig);
    assert_int_equal(rig->store->safe, 1);
    trap->point = "lmdb.sync";
    REFUSED(sfi_store_make_safe(rig->store), SF_EDISK);
    assert_int_equal(rig->store->safe, 1);
    REFUSED(sfi_snapshot_open(rig->store, &snapshot), SF_EDISK);
    trap->point = "lmdb.reopen"; /* it is opened anew before anything else */
    REFUSED(sfi_store_make_safe(rig->store), SF_EDISK);
    assert_null(trap->point);
    OK(sfi_store_make_safe(rig->store));
    assert_int_equal(rig->store->safe, 2);
    assert_int_equal(store_matches(rig->store, 2), 1);
    store_rig_fini(rig);
}

/* -- kills ------------------------------------------------------------------------------------- */

/* Runs in a child, which the machine kills at a fault point: tells the epochs it was told. */
struct killed {
    struct store_rig *rig;
    int pipe[2];
};

static int live_until_killed(void *arg)
{
    struct killed *killed = arg;
    struct store_rig *rig = killed->rig;
    rig->machine.faults = 0;
    if (store_rig_open(rig) < 0)
        return 1;
    while (rig->store->durable < KILL_EPOCHS) {
        unsigned char epoch = (unsigned char)(rig->store->durable + 1);
        if (build_epoch(&rig->batch, epoch) < 0 || sfi_store_submit(rig->store, &rig->batch) < 0 ||
            sfi_store_settle(rig->store, 1) != SFI_DURABLE ||
            write(killed->pipe[1], &epoch, 1) != 1)
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
    int result = -1;
    uint64_t kills = 0;
    for (uint64_t at = 1; result != 0; at++) {
        struct store_rig *rig = store_rig_new(*state, DISK);
        struct killed killed = {.rig = rig};
        assert_int_equal(pipe(killed.pipe), 0);
        rig->machine.kill_fault = at;
        result = in_child(live_until_killed, &killed);
        uint64_t told = last_told(&killed);
        assert_true(result == 0 || result == -9);
        rig->machine.kill_fault = 0;
        OK(store_rig_open(rig));
        assert_true(rig->store->durable == told || rig->store->durable == told + 1);
        assert_int_equal(store_matches(rig->store, rig->store->durable), 1);
        store_rig_settle_epoch(rig);
        store_rig_close(rig);
        counts_are_exact(*state);
        store_rig_fini(rig);
        kills += result != 0;
    }
    assert_true(kills > KILL_EPOCHS * 5);
}

ON_ALL(any_store_call_may_fail_once)
ON_ALL(any_store_call_may_fail_before_a_crash)
ON_ALL(any_allocation_may_fail_once)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TESTS(any_store_call_may_fail_once),
        RIG_TESTS(any_store_call_may_fail_before_a_crash),
        RIG_TESTS(any_allocation_may_fail_once),
        RIG_TEST(any_write_may_fail_once),
        RIG_TEST(an_indeterminate_commit_is_settled_by_reading_the_disk),
        RIG_TEST(a_sync_that_fails_makes_the_database_suspect),
        RIG_TEST(an_epoch_from_elsewhere_ends_it),
        RIG_TEST(an_epoch_from_elsewhere_after_a_failed_commit_ends_it),
        RIG_TEST(a_kill_at_any_point_loses_nothing_that_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
