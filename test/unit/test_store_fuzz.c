/* test_store_fuzz.c - the store on disk under everything at once, by chance: failing calls, failing
 * memory, a disk that refuses, restarts in the middle of a commit, threads that read; against a
 * model of its history.
 *
 * What each epoch must hold is known from the moment its batch is built, so every snapshot, on
 * whichever thread, can be compared row by row with the epoch that it claims to show.  Which epochs
 * it may show is bounded on both sides: not older than the newest that was durable before it was
 * opened, not newer than the newest that was submitted.
 *
 * The seeds are fixed; SEED=n chooses others, ROUNDS=n makes it n times as long.  With threads in
 * it a seed does not repeat every step. */
#define _GNU_SOURCE /* syscall() */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lmdb/store.h"
#include "store/mem_store.h"
#include "store/batch.h"
#include "support/support.h"

enum { KEYS = 40, TABLES = 2, EPOCHS = 600, READERS = 2, OPS_MAX = 12, VALUE_MIN = 8 };

static const enum sfi_table tables[TABLES] = {SFI_STATE, SFI_OUTBOX};

/* -- chance ------------------------------------------------------------------------------------ */

static uint32_t next_random(uint32_t number)
{
    number ^= number << 13;
    number ^= number >> 17;
    return number ^ number << 5;
}

/* What fails is drawn by every thread; `odds` of 4096. */
static _Atomic uint32_t fault_random = 1;
static atomic_int odds, hits;

static uint32_t draw(void)
{
    uint32_t before = atomic_load(&fault_random);
    while (!atomic_compare_exchange_weak(&fault_random, &before, next_random(before)))
        ;
    return next_random(before);
}

static int fails(void)
{
    int now = atomic_load(&odds);
    if (now == 0 || (int)(draw() % 4096) >= now)
        return 0;
    atomic_fetch_add(&hits, 1);
    return 1;
}

static int fault(void *ctx, const char *point)
{
    (void)ctx, (void)point;
    return !fails() ? 0 : draw() % 3 ? SF_EDISK : SF_ENOMEM;
}

static void *resize(void *ctx, void *old, size_t size)
{
    (void)ctx;
    if (size)
        return fails() ? NULL : realloc(old, size);
    free(old);
    return NULL;
}

/* -- a disk that refuses: LMDB's own calls, done or not, and said to have failed --------------- */

static int is_done(int is_failing)
{
    return !is_failing || draw() % 2;
}

static int refuse(void)
{
    errno = draw() % 2 ? EIO : ENOSPC;
    return -1;
}

#pragma GCC visibility push(default) /* or the shared libraries would not see them */

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    int failing = fails();
    ssize_t done = is_done(failing) ? syscall(SYS_pwrite64, fd, bytes, size, at) : 0;
    return failing ? refuse() : done;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    int failing = fails();
    ssize_t done = is_done(failing) ? syscall(SYS_writev, fd, parts, count) : 0;
    return failing ? refuse() : done;
}

int fdatasync(int fd)
{
    int failing = fails();
    int rc = is_done(failing) ? (int)syscall(SYS_fdatasync, fd) : 0;
    return failing ? refuse() : rc;
}

#pragma GCC visibility pop

/* -- the history ------------------------------------------------------------------------------- */

/* A row: which epoch wrote it, 0: it is absent. */
struct cell {
    uint32_t epoch, size;
};

struct world {
    struct cell cells[TABLES][KEYS];
};

enum plant { NOTHING, PUT_DROPPED, DELETE_DROPPED, BYTE_CHANGED, EPOCH_SKIPPED };

struct fuzz {
    struct sfi_sys sys;
    struct sfi_lmdb_options options;
    int is_mixed; /* each life has other options */
    enum plant plant;
    int planted; /* the newest epoch that was spoiled */
    uint32_t random;
    const char *dir;
    int dir_fd, epochs;
    struct world *worlds; /* worlds[n]: after epoch n */
    struct sfi_batch batch;
    struct sfi_store *store;
    atomic_int low, high, stop;
    atomic_int opens, stalls, reads;
    pthread_mutex_t lock; /* of `failure` */
    char failure[300];
};

static uint32_t chance(struct fuzz *fuzz, uint32_t below)
{
    fuzz->random = next_random(fuzz->random);
    return fuzz->random % below;
}

/* The first one counts. */
static void failed(struct fuzz *fuzz, const char *what, int epoch, int table, int key)
{
    pthread_mutex_lock(&fuzz->lock);
    if (!fuzz->failure[0])
        snprintf(fuzz->failure, sizeof fuzz->failure, "%s: epoch %d, table %d, key %d (%.150s)",
                 what, epoch, table, key, sf_errmsg());
    pthread_mutex_unlock(&fuzz->lock);
    atomic_store(&fuzz->stop, 1);
}

static int has_failed(struct fuzz *fuzz)
{
    pthread_mutex_lock(&fuzz->lock);
    int has = fuzz->failure[0] != 0;
    pthread_mutex_unlock(&fuzz->lock);
    return has;
}

/* Of several lengths, and not in the order of their numbers. */
static sf_bytes key_of(int table, int key, char text[64])
{
    int size = snprintf(text, 64, "t%d-%0*d", table, 3 + key % 9 * 3, key * 7 % KEYS);
    return SF_BYTES(text, (size_t)size);
}

static void fill(unsigned char *value, struct cell cell, uint32_t key)
{
    memset(value, (int)(cell.epoch * 31 + key) & 255, cell.size);
    memcpy(value, &cell.epoch, 4);
    memcpy(value + 4, &key, 4);
}

static int is_value(sf_bytes value, struct cell cell, uint32_t key)
{
    const unsigned char *bytes = value.data;
    if (value.size != cell.size || memcmp(bytes, &cell.epoch, 4) || memcmp(bytes + 4, &key, 4))
        return 0;
    for (uint32_t i = VALUE_MIN; i < cell.size; i++)
        if (bytes[i] != ((cell.epoch * 31 + key) & 255))
            return 0;
    return 1;
}

/* Mostly small, some of a few pages, a few larger than a chunk of the changelog. */
static uint32_t any_size(struct fuzz *fuzz)
{
    uint32_t kind = chance(fuzz, 40);
    uint32_t most = kind == 0 ? 70000 : kind < 4 ? 5000 : 200;
    return VALUE_MIN + chance(fuzz, most);
}

/* Is this the operation that the negative control spoils?  One of each epoch, after some that are
 * sound. */
static int is_spoiled(struct fuzz *fuzz, enum plant plant, int epoch)
{
    if (fuzz->plant != plant || fuzz->planted == epoch || epoch < fuzz->epochs / 4)
        return 0;
    fuzz->planted = epoch;
    return 1;
}

static void put(struct fuzz *fuzz, int epoch, int table, int key)
{
    char text[64];
    struct cell cell = {(uint32_t)epoch, any_size(fuzz)};
    fuzz->worlds[epoch].cells[table][key] = cell;
    if (is_spoiled(fuzz, PUT_DROPPED, epoch))
        return;
    unsigned char *value =
        sfi_batch_put(&fuzz->batch, tables[table], key_of(table, key, text), cell.size);
    assert_non_null(value);
    fill(value, cell, (uint32_t)key);
    if (cell.size > VALUE_MIN && is_spoiled(fuzz, BYTE_CHANGED, epoch))
        value[cell.size - 1] ^= 1;
}

static void erase(struct fuzz *fuzz, int epoch, int table, int key)
{
    char text[64];
    struct cell *cell = &fuzz->worlds[epoch].cells[table][key];
    int was_there = cell->epoch != 0;
    *cell = (struct cell){0, 0};
    if (!was_there || !is_spoiled(fuzz, DELETE_DROPPED, epoch))
        OK(sfi_batch_delete(&fuzz->batch, tables[table], key_of(table, key, text)));
}

static void build(struct fuzz *fuzz, int epoch)
{
    uint32_t number = (uint32_t)epoch - (is_spoiled(fuzz, EPOCH_SKIPPED, epoch) ? 1 : 0);
    sfi_batch_reset(&fuzz->batch);
    fuzz->worlds[epoch] = fuzz->worlds[epoch - 1];
    void *value = sfi_batch_put(&fuzz->batch, SFI_META, SF_BYTES("epoch", 5), sizeof number);
    assert_non_null(value);
    memcpy(value, &number, sizeof number);
    for (uint32_t ops = chance(fuzz, OPS_MAX); ops; ops--) {
        int table = chance(fuzz, 3) == 0, key = (int)chance(fuzz, KEYS);
        if (chance(fuzz, 4) == 0)
            erase(fuzz, epoch, table, key);
        else
            put(fuzz, epoch, table, key);
    }
    sfi_batch_seal(&fuzz->batch, (uint64_t)epoch);
}

/* -- comparing --------------------------------------------------------------------------------- */

/* Each of these returns 0; 1 if the model was violated; negative if the store could not be read. */

static int unreadable(struct fuzz *fuzz, int rc, const char *call)
{
    if (rc != SF_EDISK && rc != SF_ENOMEM)
        failed(fuzz, call, rc, -1, -1);
    return rc;
}

static int compare_gets(struct fuzz *fuzz, struct sfi_snapshot *snapshot, int epoch, int table)
{
    const struct cell *cells = fuzz->worlds[epoch].cells[table];
    for (int key = 0; key < KEYS; key++) {
        char text[64];
        sf_bytes value;
        int rc = sfi_snapshot_get(snapshot, tables[table], key_of(table, key, text), &value);
        if (rc < 0)
            return unreadable(fuzz, rc, "get");
        if (rc != (cells[key].epoch != 0))
            failed(fuzz, rc ? "a row that was deleted is there" : "a row is missing", epoch, table,
                   key);
        else if (rc && !is_value(value, cells[key], (uint32_t)key))
            failed(fuzz, "a row has another value", epoch, table, key);
    }
    return 0;
}

static int is_row(sf_bytes key, sf_bytes value, const struct cell *cells, int table)
{
    uint32_t number;
    char text[64];
    if (value.size < VALUE_MIN)
        return 0;
    memcpy(&number, (const char *)value.data + 4, sizeof number);
    if (number >= KEYS || !cells[number].epoch || !is_value(value, cells[number], number))
        return 0;
    sf_bytes expected = key_of(table, (int)number, text);
    return key.size == expected.size && memcmp(key.data, expected.data, key.size) == 0;
}

static int compare_walk(struct fuzz *fuzz, struct sfi_snapshot *snapshot, int epoch, int table)
{
    const struct cell *cells = fuzz->worlds[epoch].cells[table];
    char last[64] = "";
    sf_bytes from = SF_BYTES(last, 0), key, value;
    int rc, live = 0;
    for (int i = 0; i < KEYS; i++)
        live += cells[i].epoch != 0;
    while ((rc = sfi_snapshot_seek(snapshot, tables[table], from, 1, &key, &value)) > 0) {
        if (key.size > sizeof last || !is_row(key, value, cells, table) || live-- == 0) {
            failed(fuzz, "a walk found what is not there", epoch, table, live);
            return 1;
        }
        memcpy(last, key.data, key.size);
        from.size = key.size;
    }
    if (rc < 0)
        return unreadable(fuzz, rc, "seek");
    if (live)
        failed(fuzz, "a walk missed rows", epoch, table, live);
    return 0;
}

static int epoch_of(struct fuzz *fuzz, struct sfi_snapshot *snapshot, int low, int *out)
{
    sf_bytes value;
    uint32_t epoch = 0;
    int rc = sfi_snapshot_get(snapshot, SFI_META, SF_BYTES("epoch", 5), &value);
    if (rc < 0)
        return unreadable(fuzz, rc, "get");
    if (rc > 0)
        memcpy(&epoch, value.data, sizeof epoch);
    *out = (int)epoch;
    if (*out >= low && *out <= atomic_load(&fuzz->high))
        return 0;
    failed(fuzz, "a snapshot of another time", *out, low, atomic_load(&fuzz->high));
    return 1;
}

/* One snapshot, opened after `low` was durable. */
static int look(struct fuzz *fuzz, int low)
{
    struct sfi_snapshot *snapshot;
    int epoch = 0, rc = sfi_snapshot_open(fuzz->store, &snapshot);
    if (rc < 0)
        return unreadable(fuzz, rc, "open a snapshot");
    rc = epoch_of(fuzz, snapshot, low, &epoch);
    for (int table = 0; table < TABLES && rc == 0; table++) {
        rc = compare_gets(fuzz, snapshot, epoch, table);
        rc = rc ? rc : compare_walk(fuzz, snapshot, epoch, table);
    }
    sfi_snapshot_close(snapshot);
    atomic_fetch_add(&fuzz->reads, rc == 0);
    return rc;
}

static void *read_on(void *arg)
{
    struct fuzz *fuzz = arg;
    while (!atomic_load(&fuzz->stop))
        if (look(fuzz, atomic_load(&fuzz->low)) < 0)
            usleep(100);
    return NULL;
}

/* -- a life ------------------------------------------------------------------------------------ */

enum { ODDS = 8, PATIENCE = 300, DESPAIR = 3000 };

static void mix_options(struct fuzz *fuzz)
{
    fuzz->options.log_bytes_max = UINT64_C(1) << (12 + chance(fuzz, 8));
    fuzz->options.log_records_max = 2 + chance(fuzz, 80);
    if (!fuzz->is_mixed)
        return;
    fuzz->options.relaxed = (int)chance(fuzz, 2);
    fuzz->options.commit_inline = (int)chance(fuzz, 2);
}

/* Until it opens.  What was submitted last may be on disk, or not: the epoch. */
static int open_store(struct fuzz *fuzz)
{
    int rc;
    mix_options(fuzz);
    atomic_store(&odds, chance(fuzz, 2) ? ODDS : 0);
    while ((rc = sfi_lmdb_open(&fuzz->sys, fuzz->dir, fuzz->dir_fd, &fuzz->options, &fuzz->store)) <
           0) {
        atomic_fetch_add(&fuzz->stalls, 1);
        if (rc != SF_EDISK && rc != SF_ENOMEM) {
            failed(fuzz, "cannot be opened", rc, -1, -1);
            return rc;
        }
    }
    atomic_store(&odds, 0);
    atomic_fetch_add(&fuzz->opens, 1);
    int durable = (int)fuzz->store->durable;
    if (durable < atomic_load(&fuzz->low) || durable > atomic_load(&fuzz->high))
        failed(fuzz, "an epoch was lost or is from elsewhere", durable, -1, -1);
    atomic_store(&fuzz->low, durable);
    atomic_store(&fuzz->high, durable);
    if (!has_failed(fuzz) && look(fuzz, durable) < 0)
        failed(fuzz, "cannot be read with nothing failing", durable, -1, -1);
    return 0;
}

/* Until it is durable; after a while nothing fails any more, and then it must be. */
static void settle(struct fuzz *fuzz, int epoch)
{
    int refused = 0;
    for (int rc; (rc = sfi_store_settle(fuzz->store, chance(fuzz, 4) == 0)) <= 0;) {
        if (rc == 0 && chance(fuzz, 50) == 0)
            usleep(20);
        if (rc == 0)
            continue;
        atomic_fetch_add(&fuzz->stalls, 1);
        if ((rc != SF_EDISK && rc != SF_ENOMEM) || ++refused > DESPAIR) {
            failed(fuzz, "cannot be settled", epoch, -1, -1);
            return;
        }
        if (refused > PATIENCE)
            atomic_store(&odds, 0);
        if (refused > 3) /* readers must let go before the database can be opened anew */
            usleep(refused > PATIENCE ? 500 : 50);
    }
}

static void one_epoch(struct fuzz *fuzz, int epoch)
{
    build(fuzz, epoch);
    atomic_store(&fuzz->high, epoch);
    atomic_store(&odds, ODDS << chance(fuzz, 5));
    OK(sfi_store_submit(fuzz->store, &fuzz->batch));
    settle(fuzz, epoch);
    if (has_failed(fuzz))
        return;
    atomic_store(&fuzz->low, epoch);
    if (chance(fuzz, 3) == 0)
        (void)sfi_store_tidy(fuzz->store);
    (void)sfi_store_room(fuzz->store);
    if (fuzz->store->safe > fuzz->store->durable || fuzz->store->durable != (uint64_t)epoch)
        failed(fuzz, "safe or durable is wrong", epoch, (int)fuzz->store->safe, -1);
    if (chance(fuzz, 8) == 0)
        (void)look(fuzz, epoch);
    if (chance(fuzz, 40) == 0)
        usleep(15000); /* in peace the thread tidies */
}

/* The process ends, perhaps in the middle of the next commit. */
static void end_life(struct fuzz *fuzz, int epoch)
{
    if (!has_failed(fuzz) && epoch < fuzz->epochs && chance(fuzz, 2)) {
        build(fuzz, epoch + 1);
        atomic_store(&fuzz->high, epoch + 1);
        OK(sfi_store_submit(fuzz->store, &fuzz->batch));
        for (uint32_t tries = 1 + chance(fuzz, 3); tries; tries--)
            if (sfi_store_settle(fuzz->store, 0) > 0)
                break;
    }
    atomic_store(&odds, 0);
    sfi_store_close(fuzz->store);
}

static int live(struct fuzz *fuzz)
{
    pthread_t readers[READERS];
    if (open_store(fuzz) < 0)
        return fuzz->epochs;
    int epoch = atomic_load(&fuzz->low);
    atomic_store(&fuzz->stop, has_failed(fuzz));
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, fuzz), 0);
    for (uint32_t left = 1 + chance(fuzz, 60); left && epoch < fuzz->epochs && !has_failed(fuzz);
         left--)
        one_epoch(fuzz, ++epoch);
    atomic_store(&fuzz->stop, 1);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    end_life(fuzz, epoch);
    return epoch;
}

/* -- runs -------------------------------------------------------------------------------------- */

static uint32_t from_environment(const char *name, uint32_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

static void fuzz_init(struct fuzz *fuzz, const struct place *place, uint32_t seed, int epochs)
{
    *fuzz = (struct fuzz){.sys = *sfi_sys_default(),
                          .options = {.bytes_max = 64 << 20},
                          .random = seed * 2654435761u + 1,
                          .dir = place->db,
                          .epochs = epochs};
    fuzz->sys.fault = fault;
    fuzz->sys.resize = resize;
    pthread_mutex_init(&fuzz->lock, NULL);
    sfi_batch_init(&fuzz->batch, sfi_sys_default());
    fuzz->worlds = calloc((size_t)epochs + 1, sizeof *fuzz->worlds);
    assert_non_null(fuzz->worlds);
    mkdir(place->db, 0700);
    fuzz->dir_fd = open(place->db, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    assert_true(fuzz->dir_fd >= 0);
    atomic_store(&fault_random, seed * 40503u + 7);
    atomic_store(&hits, 0);
}

static void fuzz_fini(struct fuzz *fuzz)
{
    close(fuzz->dir_fd);
    free(fuzz->worlds);
    sfi_batch_fini(&fuzz->batch);
    pthread_mutex_destroy(&fuzz->lock);
}

static void fuzz_run(struct fuzz *fuzz)
{
    while (!has_failed(fuzz) && live(fuzz) < fuzz->epochs)
        ;
}

/* A directory for each seed, since each has its own history. */
static void run_seed(struct place *place, const struct sfi_lmdb_options *options, uint32_t seed)
{
    struct fuzz fuzz;
    snprintf(place->db, sizeof place->db, "%.200s/%u", place->dir, (unsigned)seed);
    fuzz_init(&fuzz, place, seed, EPOCHS);
    fuzz.is_mixed = options == NULL;
    if (options)
        fuzz.options = *options;
    fuzz_run(&fuzz);
    if (fuzz.failure[0])
        fail_msg("seed %u: %s", (unsigned)seed, fuzz.failure);
    print_message("seed %u: %d opens, %d stalls, %d failures, %d reads\n", (unsigned)seed,
                  fuzz.opens, fuzz.stalls, hits, fuzz.reads);
    assert_true(hits > 0 && fuzz.stalls > 0 && fuzz.opens > 1 && fuzz.reads > 0);
    fuzz_fini(&fuzz);
}

static void run_seeds(void **state, const struct sfi_lmdb_options *options, uint32_t count)
{
    uint32_t first = from_environment("SEED", 1);
    count *= from_environment("ROUNDS", 1);
    for (uint32_t i = 0; i < count; i++)
        run_seed(*state, options, first + i);
}

static void any_history_on_a_thread_of_its_own(void **state)
{
    run_seeds(state, &(struct sfi_lmdb_options){.bytes_max = 64 << 20}, 2);
}

static void any_history_inline(void **state)
{
    run_seeds(state, &(struct sfi_lmdb_options){.bytes_max = 64 << 20, .commit_inline = 1}, 2);
}

static void any_history_relaxed_on_a_thread_of_its_own(void **state)
{
    run_seeds(state, &(struct sfi_lmdb_options){.bytes_max = 64 << 20, .relaxed = 1}, 2);
}

static void any_history_relaxed_and_inline(void **state)
{
    run_seeds(state,
              &(struct sfi_lmdb_options){.bytes_max = 64 << 20, .relaxed = 1, .commit_inline = 1},
              2);
}

static void any_history_in_a_small_file(void **state)
{
    run_seeds(state, &(struct sfi_lmdb_options){.bytes_max = 2 << 20}, 2);
}

static void any_history_with_another_way_of_committing_each_time(void **state)
{
    run_seeds(state, NULL, 4);
}

/* -- negative control: does it find anything? -------------------------------------------------- */

static void finds(void **state, enum plant plant, const char *what)
{
    struct place *place = *state;
    struct fuzz fuzz;
    fuzz_init(&fuzz, place, 1, 100);
    fuzz.plant = plant;
    fuzz.is_mixed = 1;
    fuzz_run(&fuzz);
    assert_int_equal(fuzz.planted != 0, plant != NOTHING);
    HAS(fuzz.failure, what);
    fuzz_fini(&fuzz);
}

static void a_put_that_got_lost_is_found(void **state)
{
    finds(state, PUT_DROPPED, ": epoch ");
}

static void a_delete_that_got_lost_is_found(void **state)
{
    finds(state, DELETE_DROPPED, ": epoch ");
}

static void a_single_bit_is_found(void **state)
{
    finds(state, BYTE_CHANGED, ": epoch ");
}

static void an_epoch_that_says_it_is_another_is_found(void **state)
{
    finds(state, EPOCH_SKIPPED, ": epoch ");
}

static void nothing_is_found_where_nothing_is(void **state)
{
    finds(state, NOTHING, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(any_history_on_a_thread_of_its_own),
        TEST(any_history_inline),
        TEST(any_history_relaxed_on_a_thread_of_its_own),
        TEST(any_history_relaxed_and_inline),
        TEST(any_history_in_a_small_file),
        TEST(any_history_with_another_way_of_committing_each_time),
        TEST(a_put_that_got_lost_is_found),
        TEST(a_delete_that_got_lost_is_found),
        TEST(a_single_bit_is_found),
        TEST(an_epoch_that_says_it_is_another_is_found),
        TEST(nothing_is_found_where_nothing_is),
    };
    return cmocka_run_group_tests_name("store, by chance", tests, NULL, NULL);
}
