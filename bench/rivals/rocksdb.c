/* rocksdb.c - RocksDB: one WriteBatch a transaction, its log synced by fdatasync() at each commit.
 *
 * For the cached loop alone, which reads nothing that it wrote in the same transaction.  Others
 * would need a batch with an index, and with that each turn takes 8 to 18 microseconds.  Written to
 * be fast: a block cache as large as our cache, a bloom filter, no compression, log files that are
 * used again (a sync need not write the file's new length), and flushes and compactions on threads
 * of its own. */
#include <rocksdb/c.h>

#include "rival.h"

static rocksdb_t *db;
static rocksdb_options_t *options;
static rocksdb_writeoptions_t *synced;
static rocksdb_readoptions_t *reading;
static rocksdb_writebatch_t *batch;
static size_t state_size;

static void check(char *error, const char *what)
{
    if (error)
        workload_fail("rocksdb: %s: %s", what, error);
}

static void table_options(uint64_t cache_bytes)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();

    rocksdb_block_based_options_set_block_cache(table, rocksdb_cache_create_lru(cache_bytes));
    rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom(10));
    rocksdb_options_set_block_based_table_factory(options, table);
}

static void open_db(const struct workload *w)
{
    char *error = NULL;

    state_size = w->state_size;
    options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_options_set_recycle_log_file_num(options, 4);
    rocksdb_options_increase_parallelism(options, 2);
    table_options(w->cache_bytes ? w->cache_bytes : (uint64_t)256 << 20);
    synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(synced, 1);
    reading = rocksdb_readoptions_create();
    batch = rocksdb_writebatch_create();
    db = rocksdb_open(options, w->dir, &error);
    check(error, "open");
}

static void close_db(void)
{
    rocksdb_close(db);
    rocksdb_writebatch_destroy(batch);
    rocksdb_readoptions_destroy(reading);
    rocksdb_writeoptions_destroy(synced);
    rocksdb_options_destroy(options);
}

static void begin(void)
{
    rocksdb_writebatch_clear(batch);
}

static void commit(void)
{
    char *error = NULL;

    rocksdb_write(db, synced, batch, &error);
    check(error, "commit");
}

static void put(const unsigned char *key, const void *state)
{
    rocksdb_writebatch_put(batch, (const char *)key, WORKLOAD_KEY_SIZE, state, state_size);
}

static void get(const unsigned char *key, void *state)
{
    char *error = NULL, *value;
    size_t size;

    value = rocksdb_get(db, reading, (const char *)key, WORKLOAD_KEY_SIZE, &size, &error);
    check(error, "read");
    if (!value || size != state_size)
        workload_fail("rocksdb: a state is missing");
    memcpy(state, value, size);
    rocksdb_free(value);
}

static void walk(struct workload_sum *sum)
{
    rocksdb_iterator_t *all = rocksdb_create_iterator(db, reading);
    size_t size;

    rocksdb_iter_seek_to_first(all);
    for (; rocksdb_iter_valid(all); rocksdb_iter_next(all)) {
        const char *key = rocksdb_iter_key(all, &size);
        workload_sum_entry(sum, key + 4, rocksdb_iter_value(all, &size));
    }
    rocksdb_iter_destroy(all);
}

const struct rival rival_rocksdb = {
    .name = "rocksdb",
    .open = open_db,
    .close = close_db,
    .begin = begin,
    .commit = commit,
    .append = put,
    .get = get,
    .put = put,
    .walk = walk,
};
