/* lmdb_store.c - the store on disk; the only file that knows LMDB.
 *
 *     DIR/data.mdb   LMDB's file: five named tables.  `meta` holds the format and the epoch under the
 *                    key 00, written by every commit together with what it commits.
 *     DIR/lock.mdb   LMDB's own; never opened by us, since closing it would drop LMDB's locks
 *
 * (1) A name is never a half-made database: it is made complete in data.mdb.new, synced, renamed.
 * (2) Nothing read after open leaves this file before a forced sync succeeded: what the page cache
 *     holds may be an epoch whose commit was reported as failed.
 * (3) LMDB's defaults are kept: every commit is synced before it returns.  MDB_NOTLS alone is added, so
 *     that a snapshot belongs to no thread.
 *
 * A commit that fails before its last call was undone and can be tried again.  One that fails in it is
 * on disk or not, and LMDB's memory of it is worth nothing: the store is suspect.  The next settle()
 * closes the environment, opens it, syncs, and reads the epoch: ours, then it is durable; the one
 * before, then it is committed again; another, then somebody else wrote here and it is over for good.
 * No snapshot opens while the store is suspect, and it is not reopened while one is open.
 *
 * The struct database is what a commit needs and could be lent to a thread of its own; the struct
 * lmdb_store is the caller's side.  The store's lock guards what snapshots of other threads touch.
 *
 * LMDB's own memory does not come from the sfi_sys.  Fault points: lmdb.create, lmdb.rename,
 * lmdb.begin, lmdb.put, lmdb.commit.before (indeterminate, in truth not committed), lmdb.commit.after
 * (indeterminate, in truth committed), lmdb.reopen, lmdb.sync, lmdb.read. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/err.h"
#include "store/backends.h"
#include "store/batch.h"
#include "store/disk.h"
#include "store/lmdb_check.h"
#include "store/record.h"

enum {
    TABLES_MAX = 8,
    READERS_MAX = 126,
    READER_CHECK_EVERY = 64, /* commits */
    BYTES_MIN = 1 << 20,     /* the least store_bytes_max that is of use */
    FORMAT = 1,
    FORMAT_BYTES = SFI_RECORD_HEADER + 16 /* magic:4 format:4 epoch:8 */
};

static const char *const table_names[SFI_TABLES] = {"meta", "state", "mailbox", "outbox", "dead"};
static const char format_magic[4] = {'S', 'F', 'D', 'B'};
static const unsigned char format_key[1] = {0};

struct database {
    const struct sfi_sys *sys;
    char *path; /* of the directory */
    int dir_fd;
    uint64_t bytes_max;
    uint64_t commits;
    MDB_env *env; /* NULL: closed */
    MDB_dbi tables[SFI_TABLES];
};

struct lmdb_snapshot {
    struct sfi_snapshot base;
    MDB_txn *txn;
    MDB_cursor *cursors[SFI_TABLES]; /* made when first needed */
    unsigned renewed;                /* bit i: cursor i belongs to the transaction's current life */
};

struct lmdb_store {
    struct sfi_store base;
    struct database db;
    const struct sfi_batch *batch; /* submitted and not settled, or NULL */
    int broken;                    /* a code: over for good */
    size_t page_size;
    uint64_t free_bytes, free_bytes_txn; /* reusable inside the file, as of that transaction */
    pthread_mutex_t lock;                /* guards the rest, and the environment's being open */
    size_t snapshots;
    struct lmdb_snapshot *spare; /* one that was closed, kept because opening anew is dear */
    int suspect;
};

/* -- errors ----------------------------------------------------------------------------------------- */

static int fail_at(const struct sfi_sys *sys, const char *point)
{
    int rc = sfi_fault(sys, point);
    return rc < 0 ? sfi_err(rc, "%s: failed as a test asked", point) : 0;
}

static int no_memory(void)
{
    return sfi_err(SF_ENOMEM, "out of memory");
}

/* LMDB's codes end here. */
static int db_error(const struct database *db, int error, const char *what)
{
    switch (error) {
    case MDB_MAP_FULL:
        return sfi_err(SF_EDISK, "the database has reached store_bytes_max (%llu bytes)",
                       (unsigned long long)db->bytes_max);
    case MDB_TXN_FULL:
        return sfi_err(SF_EDISK, "%s: one commit changes too many pages", what);
    case MDB_READERS_FULL:
        return sfi_err(SF_EAGAIN, "%d views are open, no more are possible", READERS_MAX);
    case MDB_INVALID:
    case MDB_INCOMPATIBLE:
        return sfi_err(SF_EFOREIGN, "%s: it is not a database of ours", what);
    case MDB_VERSION_MISMATCH:
        return sfi_err(SF_EFOREIGN, "%s: it belongs to another version of LMDB", what);
    default:
        break;
    }
    if (error > 0)
        return sfi_disk_error(db->dir_fd, error, what);
    return sfi_err(SF_ECORRUPT, "%s: %s", what, mdb_strerror(error));
}

/* -- the format record ------------------------------------------------------------------------------ */

static void format_write(unsigned char record[FORMAT_BYTES], uint64_t epoch)
{
    unsigned char *payload = record + SFI_RECORD_HEADER;
    memcpy(payload, format_magic, sizeof format_magic);
    sfi_le32_put(payload + 4, FORMAT);
    sfi_le64_put(payload + 8, epoch);
    sfi_record_seal(record, FORMAT_BYTES, SFI_RECORD_FORMAT,
                    SF_BYTES(format_key, sizeof format_key));
}

static int format_read(sf_bytes record, uint64_t *out_epoch)
{
    const unsigned char *payload = (const unsigned char *)record.data + SFI_RECORD_HEADER;
    sf_bytes checked;
    if (record.size < FORMAT_BYTES || memcmp(payload, format_magic, sizeof format_magic) != 0)
        return sfi_err(SF_EFOREIGN, "the database was not made by this library");
    int rc = sfi_record_open(record, SF_BYTES(format_key, sizeof format_key), SFI_RECORD_FORMAT,
                             &checked);
    if (rc < 0)
        return sfi_err_in(rc, "the record of the database's format");
    uint32_t format = sfi_le32_get(payload + 4);
    if (format > FORMAT)
        return sfi_err(SF_ENEWER, "the database has format %u, this library knows up to %d", format,
                       FORMAT);
    if (format != FORMAT || record.size != FORMAT_BYTES)
        return sfi_err(SF_ECORRUPT, "the record of the database's format makes no sense");
    *out_epoch = sfi_le64_get(payload + 8);
    return 0;
}

static MDB_val as_val(sf_bytes bytes)
{
    return (MDB_val){bytes.size, (void *)(uintptr_t)bytes.data};
}

static sf_bytes as_bytes(MDB_val val)
{
    return SF_BYTES(val.mv_data, val.mv_size);
}

static int put_format(MDB_txn *txn, MDB_dbi meta, uint64_t epoch)
{
    unsigned char record[FORMAT_BYTES];
    MDB_val key = as_val(SF_BYTES(format_key, sizeof format_key)), value = {sizeof record, record};
    format_write(record, epoch);
    return mdb_put(txn, meta, &key, &value, 0);
}

static int get_format(const struct database *db, MDB_txn *txn, uint64_t *out_epoch)
{
    MDB_val key = as_val(SF_BYTES(format_key, sizeof format_key)), value;
    int error = mdb_get(txn, db->tables[SFI_META], &key, &value);
    if (error == MDB_NOTFOUND)
        return sfi_err(SF_EFOREIGN, "the database was not made by this library");
    return error ? db_error(db, error, "read the epoch") : format_read(as_bytes(value), out_epoch);
}

/* -- make a database -------------------------------------------------------------------------------- */

static int fill_new(MDB_env *env)
{
    MDB_txn *txn;
    MDB_dbi tables[SFI_TABLES];
    int error = mdb_txn_begin(env, NULL, 0, &txn);
    if (error)
        return error;
    for (int i = 0; i < SFI_TABLES && !error; i++)
        error = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &tables[i]);
    if (!error)
        error = put_format(txn, tables[SFI_META], 0);
    if (!error)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return error;
}

static int sync_new(MDB_env *env)
{
    mdb_filehandle_t fd;
    int error = mdb_env_sync(env, 1);
    if (!error)
        error = mdb_env_get_fd(env, &fd);
    if (!error && fsync(fd) < 0)
        error = errno;
    return error;
}

/* Our own lock is held and nobody else can reach the file yet: LMDB's lock file is not needed. */
static int write_new(const char *path)
{
    MDB_env *env;
    int error = mdb_env_create(&env);
    if (error)
        return error;
    mdb_env_set_maxdbs(env, TABLES_MAX);
    error = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS, 0600);
    if (!error)
        error = fill_new(env);
    if (!error)
        error = sync_new(env);
    mdb_env_close(env);
    return error;
}

static int remove_new(const struct database *db)
{
    static const char *const names[] = {SFI_DISK_DATA_NEW, SFI_DISK_DATA_NEW "-lock"};
    for (int i = 0; i < 2; i++)
        if (unlinkat(db->dir_fd, names[i], 0) < 0 && errno != ENOENT)
            return sfi_disk_error(db->dir_fd, errno, "remove what an earlier attempt left");
    return 0;
}

static int publish_new(const struct database *db)
{
    int rc = fail_at(db->sys, "lmdb.rename");
    if (rc < 0)
        return rc;
    if (renameat(db->dir_fd, SFI_DISK_DATA_NEW, db->dir_fd, SFI_DISK_DATA) < 0 ||
        fsync(db->dir_fd) < 0)
        return sfi_disk_error(db->dir_fd, errno, "make the database");
    return 0;
}

static int db_make(const struct database *db)
{
    char path[PATH_MAX];
    int rc = fail_at(db->sys, "lmdb.create");
    if (rc < 0)
        return rc;
    if ((size_t)snprintf(path, sizeof path, "%s/" SFI_DISK_DATA_NEW, db->path) >= sizeof path)
        return sfi_err(SF_EINVAL, "the directory's name is too long");
    rc = remove_new(db);
    if (rc < 0)
        return rc;
    int error = write_new(path);
    rc = error ? db_error(db, error, "make the database") : publish_new(db);
    if (rc < 0)
        unlinkat(db->dir_fd, SFI_DISK_DATA_NEW, 0);
    return rc;
}

/* -- open and close a database ---------------------------------------------------------------------- */

static int open_table(struct database *db, MDB_txn *txn, int table)
{
    unsigned flags = 0;
    int error = mdb_dbi_open(txn, table_names[table], 0, &db->tables[table]);
    if (error == MDB_NOTFOUND)
        return sfi_err(SF_EFOREIGN,
                       "the database has no table '%s': it was not made by this library",
                       table_names[table]);
    if (!error)
        error = mdb_dbi_flags(txn, db->tables[table], &flags);
    if (error)
        return db_error(db, error, "open the tables");
    return flags ? sfi_err(SF_EFOREIGN, "the table '%s' is not one of ours", table_names[table])
                 : 0;
}

/* The epoch first: a newer format may have other tables. */
static int open_tables(struct database *db, uint64_t *out_epoch)
{
    MDB_txn *txn;
    int error = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (error)
        return db_error(db, error, "open the tables");
    int rc = open_table(db, txn, SFI_META);
    if (rc == 0)
        rc = get_format(db, txn, out_epoch);
    for (int i = SFI_META + 1; i < SFI_TABLES && rc == 0; i++)
        rc = open_table(db, txn, i);
    if (rc < 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    error = mdb_txn_commit(txn); /* keeps the handles */
    return error ? db_error(db, error, "open the tables") : 0;
}

static int close_on_exec(MDB_env *env)
{
    mdb_filehandle_t fd;
    int error = mdb_env_get_fd(env, &fd);
    return !error && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? errno : error;
}

static int open_env(struct database *db)
{
    int error = mdb_env_create(&db->env);
    if (error)
        return db_error(db, error, "open the database");
    error = mdb_env_set_mapsize(db->env, (size_t)db->bytes_max);
    if (!error)
        error = mdb_env_set_maxdbs(db->env, TABLES_MAX);
    if (!error)
        error = mdb_env_set_maxreaders(db->env, READERS_MAX);
    if (!error)
        error = mdb_env_open(db->env, db->path, MDB_NOTLS, 0600);
    if (!error)
        error = close_on_exec(db->env);
    if (!error)
        error = mdb_reader_check(db->env, NULL);
    if (error == ENOMEM || error == EINVAL) /* what mmap() says */
        return sfi_err(SF_ENOMEM,
                       "out of memory, or of address space for store_bytes_max (%llu bytes)",
                       (unsigned long long)db->bytes_max);
    return error ? db_error(db, error, "open the database") : 0;
}

static int sync_env(struct database *db)
{
    int rc = fail_at(db->sys, "lmdb.sync");
    if (rc < 0)
        return rc;
    int error = mdb_env_sync(db->env, 1);
    return error ? db_error(db, error, "sync the database") : 0;
}

static void db_close(struct database *db)
{
    if (db->env)
        mdb_env_close(db->env);
    db->env = NULL;
}

static int db_open(struct database *db, uint64_t *out_epoch)
{
    int rc = sfi_lmdb_check(db->sys, db->dir_fd);
    if (rc == 0)
        rc = open_env(db);
    if (rc == 0)
        rc = sync_env(db);
    if (rc == 0)
        rc = open_tables(db, out_epoch);
    if (rc < 0)
        db_close(db);
    return rc;
}

/* -- commit ----------------------------------------------------------------------------------------- */

static int compare(MDB_val a, sf_bytes b)
{
    int order = memcmp(a.mv_data, b.data, a.mv_size < b.size ? a.mv_size : b.size);
    return order ? order : (a.mv_size > b.size) - (a.mv_size < b.size);
}

static int apply_delete(MDB_cursor *cursor, const struct sfi_op *op)
{
    MDB_val key = as_val(sfi_op_key(op)), value;
    int error = mdb_cursor_get(cursor, &key, &value, MDB_SET);
    if (error == MDB_NOTFOUND)
        return 0;
    return error ? error : mdb_cursor_del(cursor, 0);
}

static int apply_put(MDB_cursor *cursor, const struct sfi_op *op, int append)
{
    MDB_val key = as_val(sfi_op_key(op)), value = as_val(sfi_op_value(op));
    return mdb_cursor_put(cursor, &key, &value, append ? MDB_APPEND : 0);
}

/* The sorted operations of one table.  Beyond the last key all is appended, which fills pages. */
static int apply_run(struct database *db, MDB_cursor *cursor, const struct sfi_op *op,
                     const struct sfi_op *end)
{
    unsigned char bytes[SFI_KEY_MAX];
    MDB_val last, value;
    int error = mdb_cursor_get(cursor, &last, &value, MDB_LAST);
    int append = error == MDB_NOTFOUND;
    if (error && !append)
        return db_error(db, error, "commit");
    if (!append) {
        if (last.mv_size > sizeof bytes)
            return sfi_err(SF_ECORRUPT, "commit: a key on disk has %zu bytes", last.mv_size);
        memcpy(bytes, last.mv_data, last.mv_size); /* LMDB's own moves with the next write */
        last.mv_data = bytes;
    }
    for (; op < end; op++) {
        int rc = fail_at(db->sys, "lmdb.put");
        if (rc < 0)
            return rc;
        append = append || compare(last, sfi_op_key(op)) < 0;
        if (!op->is_delete)
            error = apply_put(cursor, op, append);
        else
            error = append ? 0 : apply_delete(cursor, op);
        if (error)
            return db_error(db, error, "commit");
    }
    return 0;
}

static int apply_table(struct database *db, MDB_txn *txn, const struct sfi_op *op,
                       const struct sfi_op *end)
{
    MDB_cursor *cursor;
    int error = mdb_cursor_open(txn, db->tables[op->table], &cursor);
    if (error)
        return db_error(db, error, "commit");
    int rc = apply_run(db, cursor, op, end);
    mdb_cursor_close(cursor);
    return rc;
}

static int apply_batch(struct database *db, MDB_txn *txn, const struct sfi_batch *batch)
{
    const struct sfi_op *op = batch->ops, *end = batch->ops + batch->op_count;
    uint64_t epoch;
    int rc = get_format(db, txn, &epoch);
    if (rc == 0 && epoch + 1 != batch->epoch)
        return sfi_err(SF_ECORRUPT, "epoch %llu cannot follow epoch %llu on disk",
                       (unsigned long long)batch->epoch, (unsigned long long)epoch);
    while (rc == 0 && op < end) {
        const struct sfi_op *first = op;
        while (op < end && op->table == first->table)
            op++;
        rc = apply_table(db, txn, first, op);
    }
    int error = rc == 0 ? put_format(txn, db->tables[SFI_META], batch->epoch) : 0;
    return error ? db_error(db, error, "commit") : rc;
}

/* A full map is noticed before anything is written; every other failure may have come too late. */
static int commit_txn(struct database *db, MDB_txn *txn, int *out_unknown)
{
    int rc = fail_at(db->sys, "lmdb.commit.before");
    *out_unknown = 1;
    if (rc < 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    int error = mdb_txn_commit(txn);
    if (error) {
        *out_unknown = error != MDB_MAP_FULL;
        return db_error(db, error, "commit");
    }
    rc = fail_at(db->sys, "lmdb.commit.after");
    *out_unknown = rc < 0;
    return rc;
}

/* Negative: not committed, or, with `*out_unknown`, nobody knows. */
static int db_commit(struct database *db, const struct sfi_batch *batch, int *out_unknown)
{
    MDB_txn *txn;
    int rc = fail_at(db->sys, "lmdb.begin");
    *out_unknown = 0;
    if (rc < 0)
        return rc;
    if (++db->commits % READER_CHECK_EVERY == 0)
        mdb_reader_check(db->env, NULL);
    int error = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (error == MDB_PANIC) {
        *out_unknown = 1;
        return sfi_err(SF_EDISK, "commit: the database must be opened anew after a failed write");
    }
    if (error)
        return db_error(db, error, "commit");
    rc = apply_batch(db, txn, batch);
    if (rc < 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return commit_txn(db, txn, out_unknown);
}

/* -- snapshots -------------------------------------------------------------------------------------- */

static void snapshot_free(const struct sfi_sys *sys, struct lmdb_snapshot *snapshot)
{
    if (!snapshot)
        return;
    for (int i = 0; i < SFI_TABLES; i++)
        if (snapshot->cursors[i])
            mdb_cursor_close(snapshot->cursors[i]);
    if (snapshot->txn)
        mdb_txn_abort(snapshot->txn);
    sfi_free(sys, snapshot);
}

static int enter(struct lmdb_store *store, struct lmdb_snapshot **out_spare)
{
    int rc = 0;
    pthread_mutex_lock(&store->lock);
    if (store->suspect) {
        rc = sfi_err(SF_EDISK, "the database is being opened anew after a failed write");
    } else {
        store->snapshots++;
        *out_spare = store->spare;
        store->spare = NULL;
    }
    pthread_mutex_unlock(&store->lock);
    return rc;
}

static void leave(struct lmdb_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->snapshots--;
    pthread_mutex_unlock(&store->lock);
}

static int begin_read(struct lmdb_store *store, struct lmdb_snapshot **inout)
{
    struct lmdb_snapshot *snapshot = *inout;
    int error;
    if (snapshot) {
        error = mdb_txn_renew(snapshot->txn);
    } else {
        snapshot = sfi_zalloc(store->base.sys, sizeof *snapshot);
        if (!snapshot)
            return no_memory();
        snapshot->base.store = &store->base;
        error = mdb_txn_begin(store->db.env, NULL, MDB_RDONLY, &snapshot->txn);
        if (error)
            snapshot->txn = NULL;
    }
    snapshot->renewed = 0;
    *inout = snapshot;
    return error ? db_error(&store->db, error, "open a view") : 0;
}

/* While the store counts us its environment stays open, so LMDB is called without the lock. */
static int lmdb_snapshot_open(struct sfi_store *base, struct sfi_snapshot **out)
{
    struct lmdb_store *store = (struct lmdb_store *)base;
    struct lmdb_snapshot *snapshot = NULL;
    int rc = enter(store, &snapshot);
    if (rc < 0)
        return rc;
    rc = begin_read(store, &snapshot);
    if (rc < 0) {
        snapshot_free(base->sys, snapshot);
        leave(store);
        return rc;
    }
    *out = &snapshot->base;
    return 0;
}

static void lmdb_snapshot_close(struct sfi_snapshot *base)
{
    struct lmdb_snapshot *snapshot = (struct lmdb_snapshot *)base, *excess = snapshot;
    struct lmdb_store *store = (struct lmdb_store *)base->store;
    mdb_txn_reset(snapshot->txn);
    pthread_mutex_lock(&store->lock);
    if (!store->spare) {
        store->spare = snapshot;
        store->snapshots--;
        excess = NULL;
    }
    pthread_mutex_unlock(&store->lock);
    if (!excess)
        return;
    snapshot_free(store->base.sys, excess);
    leave(store);
}

static int snapshot_cursor(struct lmdb_snapshot *snapshot, enum sfi_table table, MDB_cursor **out)
{
    const struct database *db = &((struct lmdb_store *)snapshot->base.store)->db;
    MDB_cursor **cursor = &snapshot->cursors[table];
    int error = 0;
    if (!*cursor)
        error = mdb_cursor_open(snapshot->txn, db->tables[table], cursor);
    else if (!(snapshot->renewed & 1u << table))
        error = mdb_cursor_renew(snapshot->txn, *cursor);
    if (error)
        return error;
    snapshot->renewed |= 1u << table;
    *out = *cursor;
    return 0;
}

/* 1: found; 0: absent; negative: a code. */
static int read_result(const struct sfi_snapshot *base, int error)
{
    if (error == MDB_NOTFOUND)
        return 0;
    return error ? db_error(&((struct lmdb_store *)base->store)->db, error, "read") : 1;
}

static int lmdb_snapshot_get(struct sfi_snapshot *base, enum sfi_table table, sf_bytes key,
                             sf_bytes *out)
{
    const struct lmdb_store *store = (struct lmdb_store *)base->store;
    MDB_val at = as_val(key), value;
    assert(key.size > 0 && key.size <= SFI_KEY_MAX);
    int rc = fail_at(base->store->sys, "lmdb.read");
    if (rc < 0)
        return rc;
    MDB_txn *txn = ((struct lmdb_snapshot *)base)->txn;
    rc = read_result(base, mdb_get(txn, store->db.tables[table], &at, &value));
    if (rc > 0)
        *out = as_bytes(value);
    return rc;
}

static int seek(MDB_cursor *cursor, sf_bytes from, int after, MDB_val *key, MDB_val *value)
{
    if (from.size == 0)
        return mdb_cursor_get(cursor, key, value, MDB_FIRST);
    *key = as_val(from);
    int error = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    if (error || !after || compare(*key, from) != 0)
        return error;
    return mdb_cursor_get(cursor, key, value, MDB_NEXT);
}

static int lmdb_snapshot_seek(struct sfi_snapshot *base, enum sfi_table table, sf_bytes from,
                              int after, sf_bytes *out_key, sf_bytes *out_value)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    assert(from.size <= SFI_KEY_MAX);
    int rc = fail_at(base->store->sys, "lmdb.read");
    if (rc < 0)
        return rc;
    int error = snapshot_cursor((struct lmdb_snapshot *)base, table, &cursor);
    if (!error)
        error = seek(cursor, from, after, &key, &value);
    rc = read_result(base, error);
    if (rc > 0) {
        *out_key = as_bytes(key);
        *out_value = as_bytes(value);
    }
    return rc;
}

/* -- submit and settle ------------------------------------------------------------------------------ */

static int lmdb_submit(struct sfi_store *base, const struct sfi_batch *batch)
{
    struct lmdb_store *store = (struct lmdb_store *)base;
    assert(!store->batch && batch->epoch == base->durable + 1);
    store->batch = batch;
    return 0;
}

static void set_suspect(struct lmdb_store *store, int suspect)
{
    pthread_mutex_lock(&store->lock);
    store->suspect = suspect;
    pthread_mutex_unlock(&store->lock);
}

/* Closes the environment, which no snapshot may outlive. */
static int park(struct lmdb_store *store)
{
    int rc = 0;
    pthread_mutex_lock(&store->lock);
    if (store->snapshots) {
        rc = sfi_err(SF_EDISK,
                     "waiting for open views to close before the database can be reopened");
    } else {
        snapshot_free(store->base.sys, store->spare);
        store->spare = NULL;
        db_close(&store->db);
    }
    pthread_mutex_unlock(&store->lock);
    return rc;
}

/* What became of the batch?  1: it is on disk; 0: it is not, and the store can be used again. */
static int find_out(struct lmdb_store *store)
{
    uint64_t epoch = 0;
    int rc = park(store);
    if (rc == 0)
        rc = fail_at(store->base.sys, "lmdb.reopen");
    if (rc == 0)
        rc = db_open(&store->db, &epoch);
    if (rc < 0)
        return rc;
    if (epoch != store->batch->epoch && epoch + 1 != store->batch->epoch)
        return sfi_err(SF_ECORRUPT, "epoch %llu is on disk where epoch %llu was being written",
                       (unsigned long long)epoch, (unsigned long long)store->batch->epoch);
    set_suspect(store, 0);
    return epoch == store->batch->epoch;
}

/* One attempt.  1: durable. */
static int try_batch(struct lmdb_store *store)
{
    int unknown, rc = store->suspect ? find_out(store) : 0;
    if (rc != 0)
        return rc;
    rc = db_commit(&store->db, store->batch, &unknown);
    if (unknown)
        set_suspect(store, 1);
    return rc < 0 ? rc : 1;
}

/* Commits here and now, so it always waits. */
static int lmdb_settle(struct sfi_store *base, int wait)
{
    struct lmdb_store *store = (struct lmdb_store *)base;
    (void)wait;
    if (store->broken)
        return sfi_err(store->broken, "the database broke its own rules earlier");
    if (!store->batch)
        return SFI_DURABLE;
    int rc = try_batch(store);
    if (rc == SF_ECORRUPT)
        store->broken = rc;
    if (rc < 0)
        return rc;
    base->durable = store->batch->epoch;
    store->batch = NULL;
    return SFI_DURABLE;
}

/* -- room ------------------------------------------------------------------------------------------- */

/* The free pages that the next commit may take: each entry is the number of pages that a transaction
 * gave back, followed by those pages.  What the newest one gave back is not to be had yet. */
static uint64_t count_free(struct lmdb_store *store, MDB_txn *txn, size_t newest)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t pages = 0;
    size_t by, count;
    if (mdb_cursor_open(txn, 0, &cursor))
        return 0;
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        if (key.mv_size != sizeof by || value.mv_size < sizeof count)
            break;
        memcpy(&by, key.mv_data, sizeof by);
        memcpy(&count, value.mv_data, sizeof count);
        if (by >= newest)
            break;
        pages += count;
    }
    mdb_cursor_close(cursor);
    return pages * store->page_size;
}

static uint64_t free_bytes(struct lmdb_store *store, size_t newest)
{
    struct sfi_snapshot *snapshot;
    if (store->free_bytes_txn == newest)
        return store->free_bytes;
    if (lmdb_snapshot_open(&store->base, &snapshot) < 0)
        return 0;
    store->free_bytes = count_free(store, ((struct lmdb_snapshot *)snapshot)->txn, newest);
    store->free_bytes_txn = newest;
    lmdb_snapshot_close(snapshot);
    return store->free_bytes;
}

/* LMDB leaves the map's last page unused. */
static uint64_t lmdb_room(struct sfi_store *base)
{
    struct lmdb_store *store = (struct lmdb_store *)base;
    MDB_envinfo info;
    if (store->suspect || mdb_env_info(store->db.env, &info))
        return 0;
    uint64_t used = ((uint64_t)info.me_last_pgno + 2) * store->page_size, max = store->db.bytes_max;
    uint64_t room = used < max ? max - used : 0;
    return used > max / 8 * 7 ? room + free_bytes(store, info.me_last_txnid) : room;
}

/* -- open and close --------------------------------------------------------------------------------- */

static void lmdb_close(struct sfi_store *base)
{
    struct lmdb_store *store = (struct lmdb_store *)base;
    assert(store->snapshots == 0);
    snapshot_free(base->sys, store->spare);
    db_close(&store->db);
    pthread_mutex_destroy(&store->lock);
    sfi_free(base->sys, store->db.path);
    sfi_free(base->sys, store);
}

static const struct sfi_store_ops lmdb_ops = {
    .submit = lmdb_submit,
    .settle = lmdb_settle,
    .room = lmdb_room,
    .snapshot_open = lmdb_snapshot_open,
    .snapshot_close = lmdb_snapshot_close,
    .snapshot_get = lmdb_snapshot_get,
    .snapshot_seek = lmdb_snapshot_seek,
    .close = lmdb_close,
};

static int is_same_dir(const char *path, int dir_fd)
{
    struct stat by_path, by_fd;
    return stat(path, &by_path) == 0 && fstat(dir_fd, &by_fd) == 0 &&
           by_path.st_dev == by_fd.st_dev && by_path.st_ino == by_fd.st_ino;
}

/* A name that still means the same directory when the process has changed its own or the directory was
 * moved: the database is opened by it again after a failed write. */
static char *lasting_path(const struct sfi_sys *sys, const char *dir, int dir_fd)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "/proc/self/fd/%d", dir_fd);
    if (!is_same_dir(path, dir_fd) && (!realpath(dir, path) || !is_same_dir(path, dir_fd)))
        snprintf(path, sizeof path, "%s", dir);
    size_t size = strlen(path) + 1;
    char *copy = sfi_alloc(sys, size);
    return copy ? memcpy(copy, path, size) : NULL;
}

static int has_database(int dir_fd)
{
    struct stat info;
    return fstatat(dir_fd, SFI_DISK_DATA, &info, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

static int check_bytes_max(uint64_t bytes_max)
{
    if (bytes_max < BYTES_MIN)
        return sfi_err(SF_EINVAL, "store_bytes_max: %llu bytes, at least %d",
                       (unsigned long long)bytes_max, BYTES_MIN);
    if (bytes_max > SIZE_MAX / 2)
        return sfi_err(SF_EINVAL, "store_bytes_max: %llu bytes, at most %llu",
                       (unsigned long long)bytes_max, (unsigned long long)(SIZE_MAX / 2));
    return 0;
}

int sfi_lmdb_open(const struct sfi_sys *sys, const char *dir, int dir_fd, uint64_t bytes_max,
                  struct sfi_store **out)
{
    int rc = check_bytes_max(bytes_max);
    struct lmdb_store *store = rc == 0 ? sfi_zalloc(sys, sizeof *store) : NULL;
    if (!store)
        return rc < 0 ? rc : no_memory();
    store->page_size = (size_t)sysconf(_SC_PAGESIZE);
    bytes_max &= ~(uint64_t)(store->page_size - 1);
    store->base = (struct sfi_store){.ops = &lmdb_ops, .sys = sys};
    store->db = (struct database){.sys = sys, .dir_fd = dir_fd, .bytes_max = bytes_max};
    pthread_mutex_init(&store->lock, NULL);
    store->db.path = lasting_path(sys, dir, dir_fd);
    rc = store->db.path ? 0 : no_memory();
    if (rc == 0 && !has_database(dir_fd))
        rc = db_make(&store->db);
    if (rc == 0)
        rc = db_open(&store->db, &store->base.durable);
    if (rc < 0) {
        lmdb_close(&store->base);
        return rc;
    }
    *out = &store->base;
    return 0;
}
