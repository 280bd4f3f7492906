/* store_rig.h - a store on any backend, opened and crashed at will, and a workload with its model.
 *
 * A workload of epochs is computed from the epoch's number alone, and so is the model: what each
 * table holds after it.  A test compares the whole store with the model of the epoch that the store
 * claims to have.
 *
 * There is one rig at a time, and it does not lie on a test's stack: a test that fails is left by
 * longjmp() while a commit thread may be using it.  store_rig_teardown() closes what was left open.
 * Include after support.h. */
#ifndef TEST_STORE_RIG_H
#define TEST_STORE_RIG_H

#include <lmdb.h>

#include "dir/dir.h"
#include "lmdb/format.h"
#include "lmdb/store.h"
#include "store/batch.h"
#include "store/mem_store.h"
#include "support/machine.h"
#include "support/support.h"

enum { STORE_KEYS = 24 }; /* of the workload, in each table */

/* In memory; on disk; with a changelog so small that every commit sweeps and trims; with a commit
 * thread besides. */
enum backend { MEMORY, DISK, SWEEPING, THREADED };

/* Fails at the next passing of one point, if that is set. */
struct store_trap {
    struct sfi_sys sys;
    const char *point;
    int code;
};

struct store_rig {
    enum backend backend;
    const struct place *place;
    struct machine machine;
    const struct sfi_sys *sys; /* the machine's, unless a test says otherwise */
    struct store_trap trap;
    struct sfi_mem_disk *disk;
    struct sfi_dir dir;
    struct sfi_store *store;
    struct sfi_batch batch;
    uint64_t bytes_max;
    int relaxed;
};

/* Nothing is there yet, and it is not open. */
struct store_rig *store_rig_new(const struct place *place, enum backend backend);
/* Closes it; all memory came back. */
void store_rig_fini(struct store_rig *rig);
int store_rig_teardown(void **state);
int store_rig_open(struct store_rig *rig);
struct sfi_lmdb_options store_rig_options(const struct store_rig *rig);
/* Without settling, this is a crash. */
void store_rig_close(struct store_rig *rig);
void store_rig_forget_disk(struct store_rig *rig);
/* From now on the rig's machine is the default one with this trap. */
struct store_trap *store_rig_trap(struct store_rig *rig);

/* What becomes of the batch; on the thread's hands if there is one. */
int store_rig_settle(struct store_rig *rig);
/* The next epoch of the workload. */
void store_rig_settle_epoch(struct store_rig *rig);
/* The batch as the test filled it. */
void store_rig_settle_batch(struct store_rig *rig);

/* Sorts like its index; the size. */
size_t store_key(unsigned index, unsigned char key[64]);
int build_epoch(struct sfi_batch *batch, uint64_t epoch);
/* 1: it is what the model says after that epoch; 0: it is not; negative: a code. */
int snapshot_matches(struct sfi_snapshot *snapshot, uint64_t epoch);
int store_matches(struct sfi_store *store, uint64_t epoch);
void put_text(struct store_rig *rig, enum sfi_table table, const char *key, const char *value);

typedef void store_rig_test(struct store_rig *rig);
void on_backend(void **state, enum backend backend, store_rig_test *test);

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, store_rig_teardown)

#define ON_ALL(name)                                                                               \
    static void name##_in_memory(void **state)                                                     \
    {                                                                                              \
        on_backend(state, MEMORY, name);                                                           \
    }                                                                                              \
    static void name##_on_disk(void **state)                                                       \
    {                                                                                              \
        on_backend(state, DISK, name);                                                             \
    }                                                                                              \
    static void name##_while_sweeping(void **state)                                                \
    {                                                                                              \
        on_backend(state, SWEEPING, name);                                                         \
    }                                                                                              \
    static void name##_with_a_thread(void **state)                                                 \
    {                                                                                              \
        on_backend(state, THREADED, name);                                                         \
    }

#define RIG_TESTS(name)                                                                            \
    RIG_TEST(name##_in_memory), RIG_TEST(name##_on_disk), RIG_TEST(name##_while_sweeping),         \
        RIG_TEST(name##_with_a_thread)

/* Changes a database that is closed by hand; `table` is made if missing. */
typedef void lmdb_edit(MDB_txn *txn, MDB_dbi table);
void with_lmdb(const struct place *place, const char *table, lmdb_edit *change);
/* As db.c has it, with the checksum made anew; `is_damaged`: but for one bit. */
void write_format(MDB_txn *txn, MDB_dbi meta, const char *magic, uint32_t format, uint64_t epoch,
                  int is_damaged);
/* Of a database that is closed: the rows that its record says are those that a walk finds. */
void counts_are_exact(const struct place *place);

#endif
