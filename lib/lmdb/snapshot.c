#include "lmdb/snapshot.h"

#include "base/err.h"
#include "lmdb/overlay.h"
#include "lmdb/store.h"
#include "lmdb/value.h"
#include "store/key_order.h"

struct sfi_lmdb_snapshot {
    struct sfi_snapshot base;
    struct sfi_snapshots *all;
    MDB_txn *txn;
    MDB_cursor *cursors[SFI_TABLES]; /* made when first needed */
    unsigned renewed;                /* bit i: cursor i belongs to the transaction's current life */
    const void *at[SFI_TABLES];      /* the key that cursor i was last seen at, in its page; NULL: unknown */
    struct sfi_generation *held[SFI_GENERATIONS];
    int held_count;
    struct sfi_overlay *overlay; /* likewise */
};

void sfi_snapshots_init(struct sfi_snapshots *all, struct sfi_store *store, const struct sfi_db *db,
                        struct sfi_log *log)
{
    *all = (struct sfi_snapshots){.store = store, .db = db, .log = log};
    pthread_mutex_init(&all->lock, NULL);
}

static void snapshot_free(const struct sfi_sys *sys, struct sfi_lmdb_snapshot *snapshot)
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

void sfi_snapshots_fini(struct sfi_snapshots *all)
{
    snapshot_free(all->db->sys, all->spare);
    pthread_mutex_destroy(&all->lock);
}

static void set_shut(struct sfi_snapshots *all, int is_shut)
{
    pthread_mutex_lock(&all->lock);
    all->is_shut = is_shut;
    pthread_mutex_unlock(&all->lock);
}

void sfi_snapshots_shut(struct sfi_snapshots *all)
{
    set_shut(all, 1);
}

void sfi_snapshots_admit(struct sfi_snapshots *all)
{
    set_shut(all, 0);
}

int sfi_snapshots_are_shut(struct sfi_snapshots *all)
{
    pthread_mutex_lock(&all->lock);
    int is_shut = all->is_shut;
    pthread_mutex_unlock(&all->lock);
    return is_shut;
}

int sfi_snapshots_park(struct sfi_snapshots *all)
{
    int rc = 0;
    pthread_mutex_lock(&all->lock);
    if (all->open) {
        rc = sfi_err(SF_EDISK,
                     "waiting for open views to close before the database can be reopened");
    } else {
        snapshot_free(all->db->sys, all->spare);
        all->spare = NULL;
    }
    pthread_mutex_unlock(&all->lock);
    return rc;
}

/* -- open and close ---------------------------------------------------------------------------------- */

static struct sfi_lmdb_snapshot *snapshot_new(struct sfi_snapshots *all)
{
    struct sfi_lmdb_snapshot *snapshot = sfi_zalloc(all->db->sys, sizeof *snapshot);
    if (!snapshot)
        return NULL;
    snapshot->base.store = all->store;
    snapshot->all = all;
    return snapshot;
}

static int begin(struct sfi_lmdb_snapshot *snapshot)
{
    if (snapshot->txn)
        return mdb_txn_renew(snapshot->txn);
    int error = mdb_txn_begin(snapshot->all->db->env, NULL, MDB_RDONLY, &snapshot->txn);
    if (error)
        snapshot->txn = NULL;
    return error;
}

/* With the lock held; see (1). */
static int begin_locked(struct sfi_snapshots *all, struct sfi_snapshot **out)
{
    if (all->is_shut)
        return sfi_err(SF_EDISK, "open a view of '%.200s': it is being opened anew after a failed write",
                       all->db->name);
    struct sfi_lmdb_snapshot *snapshot = all->spare ? all->spare : snapshot_new(all);
    if (!snapshot)
        return sfi_err(SF_ENOMEM, "out of memory");
    all->spare = NULL;
    int error = begin(snapshot);
    if (error) {
        snapshot_free(all->db->sys, snapshot);
        return sfi_db_error(all->db, error, "open a view of");
    }
    snapshot->renewed = 0;
    snapshot->held_count = sfi_log_hold(all->log, snapshot->held);
    all->open++;
    *out = &snapshot->base;
    return 0;
}

int sfi_lmdb_snapshot_open(struct sfi_snapshots *all, struct sfi_snapshot **out)
{
    pthread_mutex_lock(&all->lock);
    int rc = begin_locked(all, out);
    pthread_mutex_unlock(&all->lock);
    return rc;
}

void sfi_lmdb_snapshot_close(struct sfi_snapshot *base)
{
    struct sfi_lmdb_snapshot *snapshot = (struct sfi_lmdb_snapshot *)base;
    struct sfi_snapshots *all = snapshot->all;
    sfi_overlay_free(snapshot->overlay);
    snapshot->overlay = NULL;
    mdb_txn_reset(snapshot->txn);
    pthread_mutex_lock(&all->lock);
    sfi_log_release(snapshot->held, snapshot->held_count);
    if (all->spare)
        snapshot_free(all->db->sys, snapshot);
    else
        all->spare = snapshot;
    all->open--;
    pthread_mutex_unlock(&all->lock);
}

MDB_txn *sfi_lmdb_snapshot_txn(const struct sfi_snapshot *base)
{
    return ((const struct sfi_lmdb_snapshot *)base)->txn;
}

size_t sfi_lmdb_snapshot_id(const struct sfi_snapshot *base)
{
    return mdb_txn_id(sfi_lmdb_snapshot_txn(base));
}

/* -- get --------------------------------------------------------------------------------------------- */

/* 1: found; 0: absent; negative: a code. */
static int read_result(const struct sfi_db *db, int error)
{
    if (error == MDB_NOTFOUND)
        return 0;
    return error ? sfi_db_error(db, error, "read") : 1;
}

/* 1: the log decides, `*out_found` tells how. */
static int get_from_log(const struct sfi_lmdb_snapshot *snapshot, sf_bytes key, sf_bytes *out,
                        int *out_found)
{
    struct sfi_log_entry entry;
    int rc = sfi_log_get(snapshot->all->log, snapshot->held, snapshot->held_count, snapshot->txn,
                         key, &entry);
    if (rc > 0) {
        *out = entry.value;
        *out_found = !entry.is_delete;
    }
    return rc;
}

int sfi_lmdb_snapshot_get(struct sfi_snapshot *base, enum sfi_table table, sf_bytes key,
                          sf_bytes *out)
{
    const struct sfi_lmdb_snapshot *snapshot = (struct sfi_lmdb_snapshot *)base;
    const struct sfi_db *db = snapshot->all->db;
    MDB_val at = sfi_val(key), value;
    int found;
    int rc = sfi_db_fault(db->sys, "lmdb.read");
    if (rc == 0 && table == SFI_STATE && (rc = get_from_log(snapshot, key, out, &found)) > 0)
        return found;
    if (rc == 0)
        rc = read_result(db, mdb_get(snapshot->txn, db->tables[table], &at, &value));
    return rc > 0 && sfi_value_bytes(db, value, out) < 0 ? SF_ECORRUPT : rc;
}

/* -- seek -------------------------------------------------------------------------------------------- */

static int snapshot_cursor(struct sfi_lmdb_snapshot *snapshot, enum sfi_table table,
                           MDB_cursor **out)
{
    MDB_cursor **cursor = &snapshot->cursors[table];
    int error = 0;
    if (!*cursor)
        error = mdb_cursor_open(snapshot->txn, snapshot->all->db->tables[table], cursor);
    else if (!(snapshot->renewed & 1u << table))
        error = mdb_cursor_renew(snapshot->txn, *cursor);
    if (error)
        return error;
    if (!(snapshot->renewed & 1u << table))
        snapshot->at[table] = NULL;
    snapshot->renewed |= 1u << table;
    *out = *cursor;
    return 0;
}

/* Who goes on from the key that he was lent finds the cursor there. */
static int seek_cursor(MDB_cursor *cursor, const void *at, sf_bytes from, int after, MDB_val *key,
                       MDB_val *value)
{
    if (after && at && from.data == at)
        return mdb_cursor_get(cursor, key, value, MDB_NEXT);
    if (from.size == 0)
        return mdb_cursor_get(cursor, key, value, MDB_FIRST);
    *key = sfi_val(from);
    int error = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    if (error || !after || sfi_key_compare(sfi_val_bytes(*key), from) != 0)
        return error;
    return mdb_cursor_get(cursor, key, value, MDB_NEXT);
}

/* LMDB takes longer keys than ours, and callers keep a key in SFI_KEY_MAX bytes.  Callers walk from key to
 * key: a key that is not where it was looked for would lead them in circles. */
static int check_key(sf_bytes key, sf_bytes from, int after)
{
    if (key.size == 0 || key.size > SFI_KEY_MAX)
        return sfi_err(SF_ECORRUPT, "a key of %zu bytes in the database is not one of ours",
                       key.size);
    if (from.size && sfi_key_compare(key, from) < (after != 0))
        return sfi_err(SF_ECORRUPT, "the database is damaged: its keys are not in order");
    return 0;
}

static int check_row(const struct sfi_db *db, sf_bytes from, int after, MDB_val key, MDB_val value,
                     sf_bytes *out_key, sf_bytes *out_value)
{
    sf_bytes found = SF_NONE;
    int rc = sfi_value_bytes(db, key, &found);
    if (rc == 0)
        rc = check_key(found, from, after);
    if (rc == 0)
        rc = sfi_value_bytes(db, value, out_value);
    if (rc == 0)
        *out_key = found;
    return rc;
}

static int seek_table(struct sfi_lmdb_snapshot *snapshot, enum sfi_table table, sf_bytes from,
                      int after, sf_bytes *out_key, sf_bytes *out_value)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int error = snapshot_cursor(snapshot, table, &cursor);
    if (!error)
        error = seek_cursor(cursor, snapshot->at[table], from, after, &key, &value);
    snapshot->at[table] = error ? NULL : key.mv_data;
    int rc = read_result(snapshot->all->db, error);
    if (rc > 0 &&
        check_row(snapshot->all->db, from, after, key, value, out_key, out_value) < 0)
        return SF_ECORRUPT;
    return rc;
}

/* The lesser of what the table and the log have next; where both have it, the log's. */
static int seek_merged(struct sfi_lmdb_snapshot *snapshot, sf_bytes from, int after,
                       sf_bytes *out_key, sf_bytes *out_value, int *out_deleted)
{
    struct sfi_log_entry entry;
    int in_table = seek_table(snapshot, SFI_STATE, from, after, out_key, out_value);
    int in_log = in_table < 0 ? 0 : sfi_overlay_seek(snapshot->overlay, from, after, &entry);
    *out_deleted = 0;
    if (in_table < 0 || in_log < 0)
        return in_table < 0 ? in_table : in_log;
    if (in_log && (!in_table || sfi_key_compare(entry.key, *out_key) <= 0)) {
        *out_key = entry.key;
        *out_value = entry.value;
        *out_deleted = entry.is_delete;
    }
    return in_table || in_log;
}

static int seek_state(struct sfi_lmdb_snapshot *snapshot, sf_bytes from, int after,
                      sf_bytes *out_key, sf_bytes *out_value)
{
    int deleted, rc = 0;
    if (!snapshot->overlay)
        snapshot->overlay = sfi_overlay_new(snapshot->all->db, snapshot->txn, &rc);
    if (!snapshot->overlay)
        return rc;
    while ((rc = seek_merged(snapshot, from, after, out_key, out_value, &deleted)) > 0 && deleted) {
        from = *out_key;
        after = 1;
    }
    return rc;
}

int sfi_lmdb_snapshot_seek(struct sfi_snapshot *base, enum sfi_table table, sf_bytes from,
                           int after, sf_bytes *out_key, sf_bytes *out_value)
{
    struct sfi_lmdb_snapshot *snapshot = (struct sfi_lmdb_snapshot *)base;
    int rc = sfi_db_fault(base->store->sys, "lmdb.read");
    if (rc < 0)
        return rc;
    return table == SFI_STATE ? seek_state(snapshot, from, after, out_key, out_value)
                              : seek_table(snapshot, table, from, after, out_key, out_value);
}

int sfi_lmdb_snapshot_walk(struct sfi_snapshot *base, sf_bytes from, int after, sf_bytes *out_key,
                           sf_bytes *out_value)
{
    int rc = sfi_db_fault(base->store->sys, "lmdb.read");
    return rc < 0 ? rc
                  : seek_table((struct sfi_lmdb_snapshot *)base, SFI_STATE, from, after, out_key,
                               out_value);
}

/* The cursor goes to the first key that is not less, and one back; beyond the last, to the last. */
static int seek_cursor_before(MDB_cursor *cursor, const void *at, sf_bytes before, MDB_val *key,
                              MDB_val *value)
{
    if (at && before.data == at)
        return mdb_cursor_get(cursor, key, value, MDB_PREV);
    *key = sfi_val(before);
    int error = before.data ? mdb_cursor_get(cursor, key, value, MDB_SET_RANGE) : MDB_NOTFOUND;
    if (error && error != MDB_NOTFOUND)
        return error;
    return mdb_cursor_get(cursor, key, value, error ? MDB_LAST : MDB_PREV);
}

int sfi_lmdb_snapshot_seek_before(struct sfi_snapshot *base, enum sfi_table table, sf_bytes before,
                                  sf_bytes *out_key, sf_bytes *out_value)
{
    struct sfi_lmdb_snapshot *snapshot = (struct sfi_lmdb_snapshot *)base;
    const struct sfi_db *db = snapshot->all->db;
    MDB_cursor *cursor;
    MDB_val key, value;
    sf_bytes found;
    int rc = sfi_db_fault(base->store->sys, "lmdb.read");
    if (rc < 0)
        return rc;
    int error = snapshot_cursor(snapshot, table, &cursor);
    if (!error)
        error = seek_cursor_before(cursor, snapshot->at[table], before, &key, &value);
    snapshot->at[table] = error ? NULL : key.mv_data;
    rc = read_result(db, error);
    if (rc <= 0)
        return rc;
    if (sfi_value_bytes(db, key, &found) < 0 || check_key(found, SF_NONE, 0) < 0 ||
        sfi_value_bytes(db, value, out_value) < 0)
        return SF_ECORRUPT;
    if (before.data && sfi_key_compare(found, before) >= 0)
        return sfi_err(SF_ECORRUPT, "the database is damaged: its keys are not in order");
    *out_key = found;
    return 1;
}
