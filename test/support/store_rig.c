#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/endian.h"
#include "store/record.h"
#include "support/store_rig.h"

enum { OPS = 12 }; /* of an epoch */

/* -- the workload and its model ---------------------------------------------------------------- */

struct cell {
    uint32_t stamp; /* 0: absent */
    uint32_t size;
};

struct model {
    struct cell cells[SFI_TABLES][STORE_KEYS];
};

static uint64_t mix(uint64_t number)
{
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

/* Keys start alike, differ in size, and sort like their index. */
size_t store_key(unsigned index, unsigned char key[64])
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
    struct change change = {.table = random % SFI_TABLES, .index = (random >> 8) % STORE_KEYS};
    if ((random >> 16) % 3)
        change.cell = (struct cell){(uint32_t)(epoch * 1000 + i),
                                    (random >> 32) % ((random >> 24) % 8 ? 60 : 20000)};
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

int build_epoch(struct sfi_batch *batch, uint64_t epoch)
{
    unsigned char key[64];
    sfi_batch_reset(batch);
    for (unsigned i = 0; i < OPS; i++) {
        struct change change = change_of(epoch, i);
        sf_bytes name = SF_BYTES(key, 0);
        name.size = store_key(change.index, key);
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
static int table_matches(struct sfi_snapshot *snapshot, unsigned table,
                         const struct cell cells[STORE_KEYS])
{
    unsigned char key[64], at[64] = {0};
    size_t at_size = 1; /* behind the store's own key */
    sf_bytes found, value;
    for (unsigned i = 0; i < STORE_KEYS; i++) {
        size_t size = store_key(i, key);
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

int snapshot_matches(struct sfi_snapshot *snapshot, uint64_t epoch)
{
    struct model model = model_of(epoch);
    int rc = 1;
    for (unsigned table = 0; table < SFI_TABLES && rc > 0; table++)
        rc = table_matches(snapshot, table, model.cells[table]);
    return rc;
}

int store_matches(struct sfi_store *store, uint64_t epoch)
{
    struct sfi_snapshot *snapshot;
    int rc = sfi_snapshot_open(store, &snapshot);
    if (rc < 0)
        return rc;
    rc = snapshot_matches(snapshot, epoch);
    sfi_snapshot_close(snapshot);
    return rc;
}

/* -- the rig ----------------------------------------------------------------------------------- */

static struct store_rig the_rig;
static int (*machine_fault)(void *ctx, const char *point);

/* Comparing reads so much that sweeping over all of it would find nothing new. */
static int fault_at_some_reads(void *ctx, const char *point)
{
    static unsigned reads;
    if (strstr(point, ".read") && ++reads % 97)
        return 0;
    return machine_fault(ctx, point);
}

struct sfi_lmdb_options store_rig_options(const struct store_rig *rig)
{
    return (struct sfi_lmdb_options){.bytes_max = rig->bytes_max,
                                     .log_bytes_max = 256 << 20,
                                     .log_records_max = rig->backend >= SWEEPING ? 16 : 1 << 22,
                                     .relaxed = rig->relaxed,
                                     .commit_inline = rig->backend != THREADED};
}

int store_rig_open(struct store_rig *rig)
{
    if (rig->backend == MEMORY)
        return sfi_mem_open(rig->sys, rig->disk, &rig->store);
    int rc = sfi_dir_open(&rig->dir, rig->place->db, 0, sfi_lmdb_judge);
    if (rc < 0)
        return rc;
    struct sfi_lmdb_options options = store_rig_options(rig);
    rc = sfi_lmdb_open(rig->sys, rig->place->db, rig->dir.fd, &options, &rig->store);
    if (rc < 0)
        sfi_dir_close(&rig->dir);
    return rc;
}

void store_rig_close(struct store_rig *rig)
{
    if (!rig->store)
        return;
    sfi_store_close(rig->store);
    rig->store = NULL;
    if (rig->backend)
        sfi_dir_close(&rig->dir);
}

void store_rig_forget_disk(struct store_rig *rig)
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

struct store_rig *store_rig_new(const struct place *place, enum backend backend)
{
    struct store_rig *rig = &the_rig;
    *rig = (struct store_rig){.backend = backend, .place = place, .bytes_max = 64 << 20};
    machine_init(&rig->machine);
    machine_fault = rig->machine.sys.fault;
    rig->machine.sys.fault = fault_at_some_reads;
    rig->sys = &rig->machine.sys;
    store_rig_forget_disk(rig);
    sfi_batch_init(&rig->batch, rig->sys);
    return rig;
}

void store_rig_fini(struct store_rig *rig)
{
    store_rig_close(rig);
    sfi_batch_fini(&rig->batch);
    sfi_mem_disk_free(rig->disk);
    assert_int_equal(rig->machine.live, 0);
}

int store_rig_teardown(void **state)
{
    store_rig_close(&the_rig);
    return place_teardown(state);
}

static int trap_fault(void *ctx, const char *point)
{
    struct store_trap *trap = ctx;
    if (!trap->point || strcmp(point, trap->point) != 0)
        return 0;
    trap->point = NULL;
    return trap->code;
}

struct store_trap *store_rig_trap(struct store_rig *rig)
{
    struct store_trap *trap = &rig->trap;
    *trap = (struct store_trap){.sys = *sfi_sys_default(), .code = SF_EDISK};
    trap->sys.ctx = trap;
    trap->sys.fault = trap_fault;
    rig->sys = &trap->sys;
    return trap;
}

int store_rig_settle(struct store_rig *rig)
{
    int rc = rig->backend == THREADED ? sfi_store_settle(rig->store, 0) : SFI_UNDER_WAY;
    return rc == SFI_UNDER_WAY ? sfi_store_settle(rig->store, 1) : rc;
}

void store_rig_settle_epoch(struct store_rig *rig)
{
    OK(build_epoch(&rig->batch, rig->store->durable + 1));
    OK(sfi_store_submit(rig->store, &rig->batch));
    assert_int_equal(store_rig_settle(rig), SFI_DURABLE);
}

void store_rig_settle_batch(struct store_rig *rig)
{
    sfi_batch_seal(&rig->batch, rig->store->durable + 1);
    OK(sfi_store_submit(rig->store, &rig->batch));
    assert_int_equal(store_rig_settle(rig), SFI_DURABLE);
}

void put_text(struct store_rig *rig, enum sfi_table table, const char *key, const char *value)
{
    void *room = sfi_batch_put(&rig->batch, table, sf_str(key), strlen(value));
    assert_non_null(room);
    memcpy(room, value, strlen(value));
}

void on_backend(void **state, enum backend backend, store_rig_test *test)
{
    struct store_rig *rig = store_rig_new(*state, backend);
    OK(store_rig_open(rig));
    test(rig);
    store_rig_fini(rig);
}

/* -- by hand ----------------------------------------------------------------------------------- */

void with_lmdb(const struct place *place, const char *table, lmdb_edit *change)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    mkdir(place->db, 0700);
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, SFI_DB_TABLES);
    assert_int_equal(mdb_env_open(env, place->db, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, table, MDB_CREATE, &dbi), 0);
    if (change)
        change(txn, dbi);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

void write_format(MDB_txn *txn, MDB_dbi meta, const char *magic, uint32_t format, uint64_t epoch,
                  int is_damaged)
{
    unsigned char name = 0, record[SFI_FORMAT_BYTES_MAX] = {0};
    MDB_val key = {1, &name}, value = {sizeof record, record};
    memcpy(record + SFI_RECORD_HEADER, magic, 4);
    sfi_le32_put(record + SFI_RECORD_HEADER + 4, format);
    sfi_le64_put(record + SFI_RECORD_HEADER + 8, epoch);
    sfi_record_finish(record, sizeof record, SFI_RECORD_FORMAT, SF_OF(name));
    record[20] ^= (unsigned char)is_damaged;
    mdb_put(txn, meta, &key, &value, 0);
}

static uint64_t walked_rows(MDB_txn *txn, MDB_dbi table)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t rows = 0;
    assert_int_equal(mdb_cursor_open(txn, table, &cursor), 0);
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0)
        rows++;
    mdb_cursor_close(cursor);
    return rows;
}

void counts_are_exact(const struct place *place)
{
    MDB_env *env;
    MDB_txn *txn;
    struct sfi_format format;
    MDB_val key = sfi_val(sfi_format_key()), value;
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, SFI_DB_TABLES);
    assert_int_equal(mdb_env_open(env, place->db, MDB_RDONLY, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    for (int i = 0; i < SFI_DB_TABLES; i++) {
        MDB_dbi table;
        assert_int_equal(mdb_dbi_open(txn, sfi_db_table_name(i), 0, &table), 0);
        if (i == SFI_META) {
            assert_int_equal(mdb_get(txn, table, &key, &value), 0);
            OK(sfi_format_parse(sfi_val_bytes(value), &format));
        }
        assert_int_equal(walked_rows(txn, table), format.rows[i]);
    }
    mdb_txn_abort(txn);
    mdb_env_close(env);
}
