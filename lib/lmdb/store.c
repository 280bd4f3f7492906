#include "lmdb/store.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "lmdb/committer.h"
#include "lmdb/format.h"
#include "lmdb/log.h"
#include "lmdb/room.h"
#include "lmdb/snapshot.h"
#include "lmdb/writer.h"
#include "store/batch.h"
#include "store/key_order.h"

enum {
    TIDY_SLICE = 1024, /* units of tidying: nobody waits longer for it than for a commit */
    READER_CHECK_EVERY = 64, /* commits */
    BYTES_MIN = 1 << 20,     /* the least store_bytes_max that is of use */
    LOG_PART = 16            /* the log takes no more than this part of the store's ceiling */
};

struct lmdb_store {
    struct sfi_store base;
    struct sfi_db db;
    struct sfi_snapshots snapshots;
    struct sfi_committer committer;
    const struct sfi_batch *batch; /* submitted and not settled, or NULL */
    int commit_inline;
    int broken; /* a code: over for good */
    struct sfi_room room;
    _Atomic uint64_t safe; /* what settle() and tidy() show as base.safe */
    _Atomic uint64_t log_bytes;

    /* Whoever commits. */
    struct sfi_log log;
    struct sfi_key_order order; /* of one table at a time */
    uint64_t committed;         /* newest epoch that a commit returned */
    uint64_t commits;
    uint64_t full_disks; /* in a row */
    int holds_pages;     /* what the newest transaction freed can be used only after another one */
};

static int fail_at(const struct lmdb_store *store, const char *point)
{
    return sfi_db_fault(store->base.sys, point);
}

/* -- commit: on either thread, holding the database --------------------------------------------------- */

static sf_bytes key_of(void *ctx, uint32_t item)
{
    const struct sfi_op_list *list = ctx;
    return sfi_op_key(&list->ops[item]);
}

static int sort_table(struct sfi_key_order *order, const struct sfi_op_list *list)
{
    sfi_key_order_reset(order);
    int rc = sfi_key_order_reserve(order, list->count);
    for (uint32_t i = 0; i < list->count && rc == 0; i++)
        sfi_key_order_add(order, i, sfi_op_key(&list->ops[i]));
    return rc;
}

static int apply_op(struct sfi_writer *writer, const struct sfi_op *op)
{
    return op->is_delete ? sfi_writer_delete(writer, sfi_op_key(op))
                         : sfi_writer_put(writer, sfi_op_key(op), sfi_op_value(op));
}

/* Where the keys stop rising that do from `from` on. */
static uint32_t rises_until(const struct sfi_op_list *list, uint32_t from)
{
    uint32_t at = from;
    while (++at < list->count &&
           sfi_key_compare(sfi_op_key(&list->ops[at - 1]), sfi_op_key(&list->ops[at])) < 0)
        ;
    return at < list->count ? at : list->count;
}

/* Two rising stretches, the second from `middle` on, merged; on a key that both have it is newer. */
static int apply_merged(struct sfi_writer *writer, const struct sfi_op_list *list, uint32_t middle)
{
    const struct sfi_op *older = list->ops, *newer = list->ops + middle;
    const struct sfi_op *older_end = newer, *newer_end = list->ops + list->count;
    int rc = 0;
    while (rc == 0 && (older < older_end || newer < newer_end)) {
        int order = older == older_end   ? 1
                    : newer == newer_end ? -1
                                         : sfi_key_compare(sfi_op_key(older), sfi_op_key(newer));
        rc = apply_op(writer, order < 0 ? older : newer);
        older += order <= 0;
        newer += order >= 0;
    }
    return rc;
}

/* Most lists are in order, or become so by one merge: of table mailbox, rows are put as their
 * sequences rise, and then handled ones deleted as theirs do. */
static int apply_sorted(struct lmdb_store *store, struct sfi_writer *writer,
                        const struct sfi_op_list *list)
{
    uint32_t item, middle = rises_until(list, 0);
    if (middle == list->count || rises_until(list, middle) == list->count)
        return apply_merged(writer, list, middle);
    int rc = sort_table(&store->order, list);
    while (rc == 0 && sfi_key_order_next(&store->order, key_of, (void *)(uintptr_t)list, &item))
        rc = apply_op(writer, &list->ops[item]);
    return rc;
}

/* A readable table is in order already. */
static int apply_rows(struct sfi_writer *writer, const struct sfi_batch *batch, int table)
{
    int rc = 0;
    for (const struct sfi_op *op = NULL; rc == 0 && (op = sfi_batch_next(batch, table, op));)
        rc = apply_op(writer, op);
    return rc;
}

static int apply_table(struct lmdb_store *store, MDB_txn *txn, int table,
                       const struct sfi_batch *batch, struct sfi_format *format)
{
    struct sfi_writer writer;
    int rc = sfi_writer_open(&writer, &store->db, txn, table);
    if (rc < 0)
        return rc;
    rc = sfi_table_is_readable(table) ? apply_rows(&writer, batch, table)
                                      : apply_sorted(store, &writer, &batch->tables[table]);
    sfi_writer_close(&writer);
    int error = rc == 0 ? sfi_format_count(&store->db, txn, table, format) : 0;
    return error ? sfi_db_error(&store->db, error, "commit to") : rc;
}

/* A disk or a map that is full may have room for the epoch and none for the sweep. */
static int may_sweep(const struct lmdb_store *store)
{
    return store->full_disks % 2 == 0;
}

/* The changelog and what the sweep writes are counted here, the other tables where they are written.
 * LMDB's code. */
static int write_format(struct lmdb_store *store, MDB_txn *txn, struct sfi_format *format)
{
    int error = sfi_format_count(&store->db, txn, SFI_STATE, format);
    if (!error)
        error = sfi_format_count(&store->db, txn, SFI_DB_LOG, format);
    return error ? error : sfi_format_write(&store->db, txn, format);
}

/* Nothing of an epoch: a slice of sweeping, or just another transaction. */
static int apply_tidying(struct lmdb_store *store, MDB_txn *txn, uint64_t units)
{
    struct sfi_format format;
    int rc = sfi_format_read(&store->db, txn, &format);
    if (rc == 0 && sfi_log_is_untidy(&store->log))
        rc = sfi_log_tidy(&store->log, txn, units);
    int error = rc == 0 ? write_format(store, txn, &format) : 0;
    return error ? sfi_db_error(&store->db, error, "tidy") : rc;
}

static int apply_batch(struct lmdb_store *store, MDB_txn *txn, const struct sfi_batch *batch)
{
    struct sfi_format format;
    int rc = sfi_format_read(&store->db, txn, &format);
    if (rc == 0 && format.epoch + 1 != batch->epoch)
        return sfi_err(SF_ECORRUPT, "epoch %llu cannot follow epoch %llu on disk",
                       (unsigned long long)batch->epoch, (unsigned long long)format.epoch);
    if (rc == 0)
        rc = sfi_log_append(&store->log, txn, &batch->tables[SFI_STATE], may_sweep(store),
                            store->full_disks > 0);
    for (int i = 0; i < SFI_TABLES && rc == 0; i++)
        if (i != SFI_STATE && batch->tables[i].count)
            rc = apply_table(store, txn, i, batch, &format);
    format.epoch = batch->epoch;
    int error = rc == 0 ? write_format(store, txn, &format) : 0;
    return error ? sfi_db_error(&store->db, error, "commit to") : rc;
}

/* A full map is noticed before anything is written; every other failure may have come too late. */
static int commit_txn(struct lmdb_store *store, MDB_txn *txn, int *out_unknown)
{
    int rc = fail_at(store, "lmdb.commit.before");
    *out_unknown = 1;
    if (rc < 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    int error = mdb_txn_commit(txn);
    if (error) {
        *out_unknown = error != MDB_MAP_FULL;
        return sfi_db_error(&store->db, error, "commit to");
    }
    rc = fail_at(store, "lmdb.commit.after");
    if (rc == 0)
        rc = sfi_db_is_there(&store->db);
    *out_unknown = rc < 0;
    return rc;
}

/* One transaction: the batch, or with NULL a slice of tidying.  Negative: not committed, or, with
 * `*out_unknown`, nobody knows. */
static int try_txn(struct lmdb_store *store, const struct sfi_batch *batch, uint64_t units,
                   int *out_unknown)
{
    MDB_txn *txn;
    int rc = sfi_db_is_there(&store->db);
    *out_unknown = rc < 0;
    if (rc == 0)
        rc = fail_at(store, "lmdb.begin");
    if (rc < 0)
        return rc;
    if (++store->commits % READER_CHECK_EVERY == 0)
        mdb_reader_check(store->db.env, NULL);
    int error = mdb_txn_begin(store->db.env, NULL, 0, &txn);
    *out_unknown = error == MDB_PANIC;
    if (error)
        return sfi_db_error(&store->db, error, "commit to");
    rc = batch ? apply_batch(store, txn, batch) : apply_tidying(store, txn, units);
    if (rc == 0)
        return commit_txn(store, txn, out_unknown);
    mdb_txn_abort(txn);
    return rc;
}

/* What memory says of the changelog follows what became of the transaction. */
static int commit_or_undo(struct lmdb_store *store, const struct sfi_batch *batch, uint64_t units)
{
    int sweeps = sfi_log_is_untidy(&store->log);
    int unknown, rc = try_txn(store, batch, units, &unknown);
    if (rc == 0) {
        sfi_log_committed(&store->log);
        store->holds_pages = batch || sweeps;
    } else if (unknown)
        sfi_snapshots_shut(&store->snapshots);
    else
        sfi_log_aborted(&store->log, rc == SF_EDISK);
    atomic_store(&store->log_bytes, sfi_log_bytes(&store->log));
    return rc;
}

static void reached(struct lmdb_store *store, uint64_t epoch)
{
    store->committed = epoch;
    atomic_store(&store->safe, store->db.relaxed && epoch ? epoch - 1 : epoch);
}

/* Of the sweep what is too much for the commit's own transaction (log.h: 4). */
static int sweep_ahead(struct lmdb_store *store, const struct sfi_op_list *changes)
{
    uint64_t units = may_sweep(store) ? sfi_log_ahead(&store->log, changes) : 0;
    int rc = 0;
    while (rc == 0 && units) {
        uint64_t slice = units < SFI_SWEEP_MAX ? units : SFI_SWEEP_MAX;
        rc = commit_or_undo(store, NULL, slice);
        units -= slice;
    }
    return rc;
}

static int commit(void *ctx)
{
    struct lmdb_store *store = ctx;
    if (sfi_snapshots_are_shut(&store->snapshots)) /* tidying has failed meanwhile */
        return sfi_err(SF_EDISK, "commit to '%.200s': it must be opened anew after a failed write",
                       store->db.name);
    int rc = sweep_ahead(store, &store->batch->tables[SFI_STATE]);
    if (rc == 0)
        rc = commit_or_undo(store, store->batch, 0);
    store->full_disks = rc == SF_EDISK ? store->full_disks + 1 : 0;
    if (rc == 0)
        reached(store, store->batch->epoch);
    return rc == 0 ? 1 : rc;
}

static int is_log_untidy(const struct lmdb_store *store)
{
    return sfi_log_is_untidy(&store->log) ||
           (atomic_load(&store->log.room_left) != SFI_ROOM_ENOUGH && store->holds_pages);
}

static int is_untidy(const struct lmdb_store *store)
{
    return is_log_untidy(store) || atomic_load(&store->safe) < store->committed;
}

/* A sync that fails may have lost what it was to write: then the file must be read again. */
static int make_safe(struct lmdb_store *store)
{
    int rc = sfi_db_sync(&store->db);
    if (rc == 0)
        rc = sfi_db_is_there(&store->db);
    if (rc < 0)
        sfi_snapshots_shut(&store->snapshots);
    else
        atomic_store(&store->safe, store->committed);
    return rc;
}

/* Tells when an epoch became safe, and at the end: there may be room, or something to find out. */
static int tidy(void *ctx, int *tells)
{
    struct lmdb_store *store = ctx;
    int rc = 0;
    *tells = 0;
    if (sfi_snapshots_are_shut(&store->snapshots))
        return 0;
    if (atomic_load(&store->safe) < store->committed) {
        rc = make_safe(store);
        *tells = 1;
    } else if (is_log_untidy(store)) {
        rc = commit_or_undo(store, NULL, TIDY_SLICE);
        *tells = rc < 0 || !is_untidy(store);
    }
    return rc < 0 ? rc : is_untidy(store);
}

/* -- suspect: the engine's thread, holding the database ------------------------------------------------ */

static int reopen(struct lmdb_store *store, uint64_t *out_epoch)
{
    int rc = sfi_snapshots_park(&store->snapshots);
    if (rc < 0)
        return rc;
    sfi_db_close(&store->db);
    rc = fail_at(store, "lmdb.reopen");
    if (rc == 0)
        rc = sfi_db_open(&store->db, out_epoch);
    return rc == 0 ? sfi_log_load(&store->log) : rc;
}

/* What became of the batch, if there is one?  1: it is on disk; 0: it is not, and the store can be used
 * again. */
static int find_out(struct lmdb_store *store)
{
    uint64_t epoch = 0, next = store->base.durable + 1;
    int rc = reopen(store, &epoch);
    if (rc < 0)
        return sfi_err_in(rc, "open '%.200s' anew", store->db.name);
    if (epoch + 1 != next && !(store->batch && epoch == next))
        return sfi_err(SF_ECORRUPT, "epoch %llu is on disk where epoch %llu was being written",
                       (unsigned long long)epoch, (unsigned long long)next);
    reached(store, epoch);
    atomic_store(&store->safe, epoch); /* opening has synced */
    sfi_snapshots_admit(&store->snapshots);
    return epoch == next;
}

/* -- submit and settle ------------------------------------------------------------------------------ */

static int lmdb_submit(struct sfi_store *base, const struct sfi_batch *batch)
{
    struct lmdb_store *store = (struct lmdb_store *)base;
    if (store->batch || batch->epoch != base->durable + 1)
        return sfi_err(SF_ECORRUPT, "epoch %llu was sealed where epoch %llu was to come",
                       (unsigned long long)batch->epoch, (unsigned long long)base->durable + 1);
    store->batch = batch;
    return 0;
}

static void give_back(struct lmdb_store *store)
{
    sfi_committer_give(&store->committer,
                       !sfi_snapshots_are_shut(&store->snapshots) && is_untidy(store));
}

/* Takes the database, and leaves nothing in doubt about it: as find_out().  To be given back in any case. */
static int take_sound(struct lmdb_store *store)
{
    sfi_committer_take(&store->committer);
    return sfi_snapshots_are_shut(&store->snapshots) ? find_out(store) : 0;
}

/* Here and now. */
static int commit_here(struct lmdb_store *store)
{
    int rc = take_sound(store);
    if (rc == 0 && store->batch)
        rc = commit(store);
    give_back(store);
    return rc;
}

/* 1: durable; 0: under way; negative: stalled. */
static int settle_batch(struct lmdb_store *store, int wait)
{
    if (!store->commit_inline) {
        if (sfi_committer_has_job(&store->committer))
            return sfi_committer_fetch(&store->committer, wait);
        if (!wait && store->batch && !sfi_snapshots_are_shut(&store->snapshots)) {
            sfi_committer_hand_over(&store->committer);
            return SFI_UNDER_WAY;
        }
    }
    if (!store->batch && !sfi_snapshots_are_shut(&store->snapshots))
        return SFI_DURABLE;
    int rc = commit_here(store);
    return rc == 0 ? SFI_DURABLE : rc;
}

/* The thread may be an epoch ahead of what was fetched from it. */
static void show_safe(struct lmdb_store *store)
{
    uint64_t safe = atomic_load(&store->safe), durable = store->base.durable;
    store->base.safe = safe < durable ? safe : durable;
}

static int says_broken(const struct lmdb_store *store)
{
    return sfi_err(store->broken, "the database broke its own rules earlier");
}

static int lmdb_settle(struct sfi_store *base, int wait)
{
    struct lmdb_store *store = (struct lmdb_store *)base;
    if (store->broken)
        return says_broken(store);
    int rc = settle_batch(store, wait);
    if (rc == SF_ECORRUPT)
        store->broken = rc;
    if (rc > 0 && store->batch) {
        base->durable = store->batch->epoch;
        store->batch = NULL;
    }
    show_safe(store);
    return rc;
}

static int lmdb_tidy(struct sfi_store *base)
{
    struct lmdb_store *store = (struct lmdb_store *)base;
    int rc = 0, tells;
    if (store->commit_inline && !store->broken) {
        sfi_committer_take(&store->committer);
        rc = tidy(store, &tells);
        sfi_committer_give(&store->committer, 0);
    }
    show_safe(store);
    return rc;
}

static int lmdb_make_safe(struct sfi_store *base)
{
    struct lmdb_store *store = (struct lmdb_store *)base;
    if (store->broken)
        return says_broken(store);
    int rc = take_sound(store);
    if (rc >= 0 && atomic_load(&store->safe) < store->committed)
        rc = make_safe(store);
    give_back(store);
    show_safe(store);
    return rc < 0 ? rc : 0;
}

static uint64_t lmdb_room(struct sfi_store *base)
{
    struct lmdb_store *store = (struct lmdb_store *)base;
    uint64_t room =
        sfi_room_measure(&store->room, &store->snapshots, atomic_load(&store->log_bytes));
    int left = (int)sfi_room_left(room, store->db.bytes_max);
    if (atomic_exchange(&store->log.room_left, left) < left)
        sfi_committer_rouse(&store->committer);
    return room;
}

/* -- snapshots ---------------------------------------------------------------------------------------- */

static int lmdb_snapshot_open(struct sfi_store *base, struct sfi_snapshot **out)
{
    return sfi_lmdb_snapshot_open(&((struct lmdb_store *)base)->snapshots, out);
}

/* -- open and close --------------------------------------------------------------------------------- */

static void lmdb_close(struct sfi_store *base)
{
    struct lmdb_store *store = (struct lmdb_store *)base;
    sfi_committer_fini(&store->committer);
    sfi_log_fini(&store->log);
    sfi_snapshots_fini(&store->snapshots);
    sfi_key_order_fini(&store->order);
    sfi_db_fini(&store->db);
    sfi_free(base->sys, store);
}

static const struct sfi_store_ops lmdb_ops = {
    .submit = lmdb_submit,
    .settle = lmdb_settle,
    .tidy = lmdb_tidy,
    .make_safe = lmdb_make_safe,
    .room = lmdb_room,
    .snapshot_open = lmdb_snapshot_open,
    .snapshot_close = sfi_lmdb_snapshot_close,
    .snapshot_get = sfi_lmdb_snapshot_get,
    .snapshot_seek = sfi_lmdb_snapshot_seek,
    .snapshot_seek_before = sfi_lmdb_snapshot_seek_before,
    .snapshot_walk = sfi_lmdb_snapshot_walk,
    .close = lmdb_close,
};

int sfi_lmdb_judge(int dir_fd)
{
    return sfi_db_judge(dir_fd);
}

int sfi_lmdb_check_ceiling(uint64_t bytes_max)
{
    if (bytes_max < BYTES_MIN)
        return sfi_err(SF_EINVAL, "store_bytes_max: %llu bytes, at least %d",
                       (unsigned long long)bytes_max, BYTES_MIN);
    if (bytes_max > SIZE_MAX / 2)
        return sfi_err(SF_EINVAL, "store_bytes_max: %llu bytes, at most %llu",
                       (unsigned long long)bytes_max, (unsigned long long)(SIZE_MAX / 2));
    return 0;
}

static struct lmdb_store *store_new(const struct sfi_sys *sys, int dir_fd,
                                    const struct sfi_lmdb_options *options)
{
    struct lmdb_store *store = sfi_zalloc(sys, sizeof *store);
    if (!store)
        return NULL;
    struct sfi_committer_job job = {commit, tidy, store, options->wake, options->wake_ctx};
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    store->commit_inline = options->commit_inline;
    store->base = (struct sfi_store){.ops = &lmdb_ops, .sys = sys};
    store->db = (struct sfi_db){.sys = sys,
                                .dir_fd = dir_fd,
                                .relaxed = options->relaxed,
                                .bytes_max = options->bytes_max & ~(uint64_t)(page_size - 1)};
    sfi_key_order_init(&store->order, sys);
    sfi_snapshots_init(&store->snapshots, &store->base, &store->db, &store->log);
    sfi_committer_init(&store->committer, sys, &job);
    return store;
}

static int bring_up(struct lmdb_store *store, const char *dir,
                    const struct sfi_lmdb_options *options)
{
    uint64_t log_bytes = store->db.bytes_max / LOG_PART;
    log_bytes = options->log_bytes_max < log_bytes ? options->log_bytes_max : log_bytes;
    int rc = sfi_db_init(&store->db, dir, &store->base.durable);
    store->base.name = store->db.name;
    if (rc == 0)
        rc = sfi_log_init(&store->log, &store->db, &store->snapshots.lock, log_bytes,
                          options->log_records_max);
    if (rc == 0)
        rc = sfi_log_load(&store->log);
    if (rc < 0)
        return rc;
    store->committed = store->base.safe = store->base.durable;
    atomic_store(&store->safe, store->committed);
    atomic_store(&store->log_bytes, sfi_log_bytes(&store->log));
    return store->commit_inline ? 0 : sfi_committer_start(&store->committer);
}

int sfi_lmdb_open(const struct sfi_sys *sys, const char *dir, int dir_fd,
                  const struct sfi_lmdb_options *options, struct sfi_store **out)
{
    int rc = sfi_lmdb_check_ceiling(options->bytes_max);
    struct lmdb_store *store = rc == 0 ? store_new(sys, dir_fd, options) : NULL;
    if (!store)
        return rc < 0 ? rc : sfi_err(SF_ENOMEM, "out of memory");
    rc = bring_up(store, dir, options);
    if (rc < 0) {
        lmdb_close(&store->base);
        return rc;
    }
    *out = &store->base;
    return 0;
}
