/* test_log.c - the changelog, so small that it is frozen and swept all the time: whatever fails on
 * the way, what memory knows of it and what the disk has stay the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "dir/dir.h"
#include "lmdb/log.h"
#include "lmdb/store.h"
#include "store/batch.h"
#include "support/machine.h"
#include "support/storm.h"
#include "support/support.h"

enum { KEYS = 40, EPOCHS = 24, TRIES = 5 };

/* How much an epoch changes at most, and how much the log holds. */
struct scale {
    uint32_t changes, log_records;
    uint64_t log_bytes;
};

static const struct scale small = {9, 16, 64 << 10};
static const struct scale large = {60, 400, 64 << 10}; /* a generation is swept in several slices */

struct rig {
    struct machine machine;
    char dir_name[300];
    struct scale scale;
    struct sfi_dir dir;
    struct sfi_store *store;
    struct sfi_batch batch;
    uint32_t now[KEYS], before[KEYS]; /* the epoch that put the key last; 0: absent */
    uint64_t epoch;
};

static int (*fault_of_machine)(void *ctx, const char *point);
static uint64_t one_in; /* any call fails that often; 0: never */
static struct {
    uint64_t freezes, sweeps, trims;
    uint64_t rows, most_rows; /* put in one transaction */
} seen;

static void notice(const char *point)
{
    seen.freezes += strcmp(point, "lmdb.freeze") == 0;
    seen.sweeps += strcmp(point, "lmdb.sweep") == 0;
    seen.trims += strcmp(point, "lmdb.trim") == 0;
    seen.rows = strcmp(point, "lmdb.begin") == 0 ? 0 : seen.rows + (strcmp(point, "lmdb.put") == 0);
    seen.most_rows = seen.rows > seen.most_rows ? seen.rows : seen.most_rows;
}

/* Reading is not what this is about. */
static int fault_at_writes(void *ctx, const char *point)
{
    struct machine *machine = ctx;
    if (strcmp(point, "lmdb.read") == 0)
        return 0;
    notice(point);
    if (one_in && machine->sys.random(ctx) % one_in == 0)
        return SF_EDISK;
    return fault_of_machine(ctx, point);
}

static void open_store(struct rig *rig)
{
    struct sfi_lmdb_options options = {.bytes_max = (64 << 20) + 16 * rig->scale.log_bytes,
                                       .log_bytes_max = rig->scale.log_bytes,
                                       .log_records_max = rig->scale.log_records,
                                       .commit_inline = 1};
    OK(sfi_dir_open(&rig->dir, rig->dir_name, 0, sfi_lmdb_judge));
    OK(sfi_lmdb_open(&rig->machine.sys, rig->dir_name, rig->dir.fd, &options, &rig->store));
}

static void close_store(struct rig *rig)
{
    sfi_store_close(rig->store);
    sfi_dir_close(&rig->dir);
}

/* -- one life: epochs of puts and deletes, one after the other, each tried until it is durable - */

static uint64_t draw(struct rig *rig, uint64_t below)
{
    return rig->machine.sys.random(rig->machine.sys.ctx) % below;
}

static void name_of(uint32_t index, unsigned char key[8])
{
    sfi_be64_put(key, (uint64_t)index << 20);
}

/* What a key is put to by an epoch. */
static void fill(unsigned char *value, uint32_t index, uint32_t epoch)
{
    sfi_le32_put(value, index);
    sfi_le32_put(value + 4, epoch);
}

static void change(struct rig *rig, uint32_t index, int is_delete)
{
    unsigned char key[8], *value;
    name_of(index, key);
    rig->now[index] = is_delete ? 0 : (uint32_t)rig->epoch;
    if (is_delete) {
        OK(sfi_batch_delete(&rig->batch, SFI_STATE, SF_OF(key)));
        return;
    }
    value = sfi_batch_put(&rig->batch, SFI_STATE, SF_OF(key), 8);
    assert_non_null(value);
    fill(value, index, (uint32_t)rig->epoch);
}

/* Every third epoch changes no state, as when only a counter does. */
static void build(struct rig *rig)
{
    sfi_batch_reset(&rig->batch);
    memcpy(rig->before, rig->now, sizeof rig->now);
    rig->epoch++;
    for (uint64_t i = rig->epoch % 3 ? 1 + draw(rig, rig->scale.changes) : 0; i > 0; i--)
        change(rig, (uint32_t)draw(rig, KEYS), draw(rig, 4) == 0);
    assert_non_null(sfi_batch_put(&rig->batch, SFI_META, sf_str("\1counters"), 8));
    sfi_batch_seal(&rig->batch, rig->epoch);
}

/* Nothing fails while a test looks. */
struct arms {
    uint64_t fail_fault, fail_allocation, allocations, one_in;
};

static struct arms calm(struct rig *rig)
{
    struct arms arms = {rig->machine.fail_fault, rig->machine.fail_allocation,
                        rig->machine.allocations, one_in};
    rig->machine.fail_fault = rig->machine.fail_allocation = one_in = 0;
    return arms;
}

static void arm(struct rig *rig, struct arms arms)
{
    rig->machine.fail_fault = arms.fail_fault;
    rig->machine.fail_allocation = arms.fail_allocation;
    rig->machine.allocations = arms.allocations;
    one_in = arms.one_in;
}

static void is_value(uint32_t index, uint32_t epoch, sf_bytes value)
{
    unsigned char expected[8];
    fill(expected, index, epoch);
    if (value.size != sizeof expected || memcmp(value.data, expected, sizeof expected) != 0)
        fail_msg("key %u has another version than that of epoch %u", index, epoch);
}

static void walk_matches(struct sfi_snapshot *snapshot, const uint32_t model[KEYS])
{
    unsigned char from[8] = {0}, key[8];
    sf_bytes found, value;
    int after = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        if (!model[i])
            continue;
        name_of(i, key);
        assert_int_equal(sfi_snapshot_seek(snapshot, SFI_STATE, SF_OF(from), after, &found, &value),
                         1);
        assert_int_equal(found.size, sizeof key);
        assert_memory_equal(found.data, key, sizeof key);
        is_value(i, model[i], value);
        memcpy(from, key, sizeof key);
        after = 1;
    }
    assert_int_equal(sfi_snapshot_seek(snapshot, SFI_STATE, SF_OF(from), after, &found, &value), 0);
}

static void snapshot_matches(struct sfi_snapshot *snapshot, const uint32_t model[KEYS])
{
    unsigned char key[8];
    sf_bytes value;
    for (uint32_t i = 0; i < KEYS; i++) {
        name_of(i, key);
        int rc = sfi_snapshot_get(snapshot, SFI_STATE, SF_OF(key), &value);
        if (rc != (model[i] != 0))
            fail_msg("key %u: %d, expected that of epoch %u", i, rc, model[i]);
        if (rc)
            is_value(i, model[i], value);
    }
    walk_matches(snapshot, model);
}

static void store_matches(struct rig *rig)
{
    struct sfi_snapshot *snapshot;
    struct arms arms = calm(rig);
    OK(sfi_snapshot_open(rig->store, &snapshot));
    snapshot_matches(snapshot, rig->now);
    sfi_snapshot_close(snapshot);
    arm(rig, arms);
}

/* One try, with a snapshot open that must keep its epoch through it. */
static int settle_once(struct rig *rig)
{
    struct sfi_snapshot *snapshot = NULL;
    struct arms arms = calm(rig);
    int is_open = sfi_snapshot_open(rig->store, &snapshot) == 0;
    arm(rig, arms);
    int rc = sfi_store_settle(rig->store, 1);
    arms = calm(rig);
    if (is_open)
        snapshot_matches(snapshot, rig->before);
    sfi_snapshot_close(snapshot);
    arm(rig, arms);
    return rc;
}

static void live_one_epoch(struct rig *rig)
{
    struct arms arms = calm(rig);
    build(rig);
    arm(rig, arms);
    OK(sfi_store_submit(rig->store, &rig->batch));
    int rc = settle_once(rig);
    for (int tries = 0; rc < 0 && tries < TRIES; tries++)
        rc = settle_once(rig);
    if (rc != SFI_DURABLE)
        fail_msg("epoch %" PRIu64 " stays stalled: %s", rig->epoch, sf_errmsg());
    store_matches(rig);
    if (rig->epoch % 4 == 0)
        sfi_store_tidy(rig->store); /* may fail: the next settle() finds out */
}

static void reopen(struct rig *rig)
{
    struct arms arms = calm(rig);
    close_store(rig);
    open_store(rig);
    arm(rig, arms);
    assert_int_equal(rig->store->durable, rig->epoch);
    store_matches(rig);
}

/* A database of its own; the same dice each time. */
static void born(struct rig *rig, const struct place *place, uint64_t number, struct scale scale)
{
    memset(rig, 0, sizeof *rig);
    rig->scale = scale;
    machine_init(&rig->machine);
    fault_of_machine = rig->machine.sys.fault;
    rig->machine.sys.fault = fault_at_writes;
    snprintf(rig->dir_name, sizeof rig->dir_name, "%s/log-%" PRIu64, place->dir, number);
    sfi_batch_init(&rig->batch, &rig->machine.sys);
    open_store(rig);
    rig->machine.faults = rig->machine.allocations = 0;
}

static void dies(struct rig *rig)
{
    close_store(rig);
    sfi_batch_fini(&rig->batch);
    assert_int_equal(rig->machine.live, 0);
}

static void live(struct rig *rig, const struct place *place, uint64_t number, uint64_t fail_fault,
                 uint64_t fail_allocation)
{
    born(rig, place, number, small);
    rig->machine.fail_fault = fail_fault;
    rig->machine.fail_allocation = fail_allocation;
    while (rig->epoch < EPOCHS)
        live_one_epoch(rig);
    reopen(rig);
    dies(rig);
}

/* -- tests ------------------------------------------------------------------------------------- */

static void an_undisturbed_log_loses_nothing(void **state)
{
    struct rig rig;
    memset(&seen, 0, sizeof seen);
    live(&rig, *state, 0, 0, 0);
    assert_in_range(seen.freezes, 4, EPOCHS);
    assert_in_range(seen.trims, 4, EPOCHS);
}

static void a_generation_swept_in_slices_loses_nothing(void **state)
{
    struct rig rig;
    memset(&seen, 0, sizeof seen);
    born(&rig, *state, 0, large);
    while (rig.epoch < 4 * EPOCHS)
        live_one_epoch(&rig);
    reopen(&rig);
    dies(&rig);
    assert_in_range(seen.freezes, 4, 4 * EPOCHS);
    assert_true(seen.sweeps >= 2 * seen.freezes);
}

static void a_log_that_is_read_again_each_time_loses_nothing(void **state)
{
    struct rig rig;
    born(&rig, *state, 0, small);
    while (rig.epoch < 2 * EPOCHS) {
        live_one_epoch(&rig);
        reopen(&rig);
    }
    dies(&rig);
}

static void any_call_may_fail_once(void **state)
{
    struct rig rig;
    live(&rig, *state, 0, 0, 0);
    uint64_t total = rig.machine.faults;
    for (uint64_t n = 1; n <= total; n++)
        live(&rig, *state, n, n, 0);
    print_message("%" PRIu64 " calls\n", total);
}

static void any_allocation_may_fail_once(void **state)
{
    struct rig rig;
    live(&rig, *state, 0, 0, 0);
    uint64_t total = rig.machine.allocations;
    assert_true(total > 10);
    for (uint64_t n = 1; n <= total; n++)
        live(&rig, *state, n, 0, n);
    print_message("%" PRIu64 " allocations\n", total);
}

/* Closed without settling.  1: the epoch turned out to be on disk. */
static int crash(struct rig *rig)
{
    struct arms arms = calm(rig);
    close_store(rig);
    open_store(rig);
    int is_there = rig->store->durable == rig->epoch;
    if (!is_there) {
        assert_int_equal(rig->store->durable, rig->epoch - 1);
        OK(sfi_store_submit(rig->store, &rig->batch));
    }
    arm(rig, arms);
    return is_there;
}

static void settle_somehow(struct rig *rig)
{
    for (int tries = 0; tries < 1000; tries++) {
        rig->machine.fail_allocation = rig->machine.allocations + 1 + draw(rig, 12);
        int rc = draw(rig, 10) ? settle_once(rig) : crash(rig);
        rig->machine.fail_allocation = 0;
        if (rc > 0)
            return;
        if (draw(rig, 8) == 0)
            sfi_store_tidy(rig->store);
    }
    fail_msg("epoch %" PRIu64 " stays stalled: %s", rig->epoch, sf_errmsg());
}

/* Calls and allocations fail all the time, and now and then the process dies. */
static void any_run_of_failures_loses_nothing(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig rig;
        born(&rig, *state, seed, seed % 2 ? small : large);
        rig.machine.random ^= seed << 32;
        one_in = 8 + seed * 2;
        while (rig.epoch < 2 * EPOCHS) {
            struct arms arms = calm(&rig);
            build(&rig);
            OK(sfi_store_submit(rig.store, &rig.batch));
            arm(&rig, arms);
            settle_somehow(&rig);
            store_matches(&rig);
        }
        one_in = 0;
        reopen(&rig);
        dies(&rig);
    }
}

/* -- at full speed ----------------------------------------------------------------------------- */

enum { FULL_ROWS = 60000, FULL_KEYS = 200000, FULL_EPOCHS = 40, FULL_RECORDS = 400000 };

/* Each epoch as large as one gets, and the next at once. */
static void commit_full_epoch(struct rig *rig)
{
    sfi_batch_reset(&rig->batch);
    sfi_batch_seal(&rig->batch, ++rig->epoch);
    for (uint64_t i = 0; i < FULL_ROWS; i++) {
        unsigned char key[8];
        sfi_be64_put(key, mix64(rig->epoch * FULL_ROWS + i) % FULL_KEYS);
        void *value = sfi_batch_put(&rig->batch, SFI_STATE, SF_OF(key), 16);
        assert_non_null(value);
        memset(value, 0, 16);
    }
    OK(sfi_store_submit(rig->store, &rig->batch));
    assert_int_equal(sfi_store_settle(rig->store, 1), SFI_DURABLE);
}

/* A generation is frozen when it is full, which an epoch may overshoot, and never later, because
 * the one before is swept by then. */
static void the_sweep_keeps_up_with_the_largest_epochs(void **state)
{
    static struct rig rig;
    uint64_t frozen_at = 1, most = 0; /* before that epoch was appended */
    born(&rig, *state, 0, (struct scale){0, FULL_RECORDS, 64 << 20});
    memset(&seen, 0, sizeof seen);
    for (uint64_t epoch = 1; epoch <= FULL_EPOCHS; epoch++) {
        uint64_t freezes = seen.freezes;
        commit_full_epoch(&rig);
        if (seen.freezes == freezes)
            continue;
        most = epoch - frozen_at > most ? epoch - frozen_at : most;
        frozen_at = epoch;
    }
    print_message("%" PRIu64 " generations, %" PRIu64 " rows in one at most\n", seen.freezes,
                  most * FULL_ROWS);
    assert_true(seen.freezes > 5);
    assert_in_range(most * FULL_ROWS, 1, FULL_RECORDS / 2 + FULL_ROWS);
    /* R10: each row may dirty a page, and the log's own chunks some */
    assert_in_range(seen.most_rows, SFI_SWEEP_MAX / 2, SFI_SWEEP_MAX + 200);
    dies(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_undisturbed_log_loses_nothing),
        TEST(a_generation_swept_in_slices_loses_nothing),
        TEST(a_log_that_is_read_again_each_time_loses_nothing),
        TEST(any_call_may_fail_once),
        TEST(any_allocation_may_fail_once),
        TEST(any_run_of_failures_loses_nothing),
        TEST(the_sweep_keeps_up_with_the_largest_epochs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
