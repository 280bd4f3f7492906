#include "lmdb/log.h"

#include "base/endian.h"
#include "base/err.h"
#include "lmdb/value.h"

enum {
    SLICE_MIN = 64,    /* units of sweeping in a commit, if there are so many */
    INDEX_RUN = 64     /* entries added while the lock is held */
};

/* -- generations ------------------------------------------------------------------------------------- */

static struct sfi_generation *generation_new(const struct sfi_sys *sys, uint32_t number,
                                             uint64_t base)
{
    struct sfi_generation *generation = sfi_zalloc(sys, sizeof *generation);
    if (!generation) {
        sfi_err(SF_ENOMEM, "out of memory");
        return NULL;
    }
    *generation = (struct sfi_generation){
        .sys = sys, .refs = 1, .number = number, .base = base, .first = base, .end = base};
    sfi_log_index_init(&generation->index, sys);
    return generation;
}

static void generation_drop(struct sfi_generation *generation)
{
    if (!generation || --generation->refs)
        return;
    sfi_log_index_fini(&generation->index);
    sfi_free(generation->sys, generation);
}

int sfi_log_init(struct sfi_log *log, struct sfi_db *db, pthread_mutex_t *lock, uint64_t bytes_max,
                 uint32_t records_max)
{
    const struct sfi_sys *sys = db->sys;
    *log = (struct sfi_log){.db = db,
                            .lock = lock,
                            .bytes_max = bytes_max / SFI_GENERATIONS,
                            .records_max = records_max / SFI_GENERATIONS};
    log->hash_key.low = sys->random(sys->ctx);
    log->hash_key.high = sys->random(sys->ctx);
    sfi_sweep_init(&log->sweep, sys);
    log->active = generation_new(sys, 1, 1);
    return log->active ? 0 : SF_ENOMEM;
}

static void drop_all(struct sfi_log *log)
{
    pthread_mutex_lock(log->lock);
    generation_drop(log->active);
    generation_drop(log->frozen);
    log->active = log->frozen = NULL;
    pthread_mutex_unlock(log->lock);
    sfi_sweep_reset(&log->sweep);
}

void sfi_log_fini(struct sfi_log *log)
{
    if (log->lock)
        drop_all(log);
}

static void remember(struct sfi_log *log)
{
    log->kept.count = log->active->index.count;
    log->kept.end = log->active->end;
    log->kept.bytes = log->active->bytes;
    log->kept.first = log->frozen ? log->frozen->first : 0;
}

/* The active generation is frozen; what comes goes into a new one.  A fact in memory alone: on disk it shows
 * with the first chunk of the new one. */
static int freeze(struct sfi_log *log)
{
    const struct sfi_generation *active = log->active;
    int rc = sfi_db_fault(log->db->sys, "lmdb.freeze");
    struct sfi_generation *next =
        rc == 0 ? generation_new(log->db->sys, active->number + 1, active->end) : NULL;
    if (!next)
        return rc < 0 ? rc : SF_ENOMEM;
    rc = sfi_log_index_resemble(&next->index, &active->index);
    if (rc < 0) {
        generation_drop(next);
        return rc;
    }
    pthread_mutex_lock(log->lock);
    log->frozen = log->active;
    log->active = next;
    pthread_mutex_unlock(log->lock);
    remember(log);
    return 0;
}

static int is_full(const struct sfi_log *log)
{
    const struct sfi_generation *active = log->active;
    return active->index.count &&
           (active->bytes >= log->bytes_max || active->index.count >= log->records_max);
}

/* Where room is short, rows that were deleted make some only once they are swept. */
static int wants_freeze(const struct sfi_log *log, enum sfi_room_left least)
{
    return !log->frozen &&
           (is_full(log) || (log->room_left >= (int)least && log->active->index.count));
}

/* -- load -------------------------------------------------------------------------------------------- */

static void add_to_index(struct sfi_log *log, struct sfi_generation *generation, sf_bytes key,
                         uint64_t chunk, size_t offset)
{
    uint64_t hash = sfi_hash(&log->hash_key, 0, key.data, key.size);
    sfi_log_index_add(&generation->index, (uint32_t)hash, (uint32_t)(chunk - generation->base),
                      (uint32_t)offset);
}

static int load_generation(struct sfi_log *log, uint32_t number, uint64_t chunk)
{
    struct sfi_generation *newest = log->active;
    if (newest && newest->number == number)
        return 0;
    if (log->frozen || (newest && number != newest->number + 1))
        return sfi_err(SF_ECORRUPT, "the changelog has generations that make no sense");
    struct sfi_generation *generation = generation_new(log->db->sys, number, chunk);
    if (!generation)
        return SF_ENOMEM;
    log->frozen = newest;
    log->active = generation;
    return 0;
}

static int load_chunk(struct sfi_log *log, sf_bytes key, sf_bytes chunk)
{
    uint32_t number, count;
    struct sfi_log_entry entry = {.end = SFI_CHUNK_HEADER};
    int rc = sfi_chunk_open(chunk, key, &number, &count);
    uint64_t at = rc == 0 ? sfi_be64_get(key.data) : 0;
    if (rc == 0 && log->active && at != log->active->end)
        rc = sfi_err(SF_ECORRUPT, "a chunk of the changelog is missing");
    if (rc == 0)
        rc = load_generation(log, number, at);
    if (rc == 0)
        rc = sfi_log_index_reserve(&log->active->index, count);
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        size_t offset = entry.end;
        rc = sfi_chunk_entry(chunk, offset, &entry);
        if (rc == 0)
            add_to_index(log, log->active, entry.key, at, offset);
    }
    if (rc == 0) {
        log->active->end = at + 1;
        log->active->bytes += chunk.size;
    }
    return rc;
}

static int load_row(struct sfi_log *log, MDB_val key, MDB_val value)
{
    sf_bytes number, chunk;
    int rc = sfi_value_bytes(log->db, key, &number);
    if (rc == 0)
        rc = sfi_value_bytes(log->db, value, &chunk);
    return rc == 0 ? load_chunk(log, number, chunk) : rc;
}

static int load_all(struct sfi_log *log, MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = 0, error = mdb_cursor_open(txn, log->db->tables[SFI_DB_LOG], &cursor);
    if (error)
        return sfi_db_error(log->db, error, "read the changelog of");
    while (rc == 0 && (error = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        rc = load_row(log, key, value);
    mdb_cursor_close(cursor);
    if (rc == 0 && error != MDB_NOTFOUND)
        rc = sfi_db_error(log->db, error, "read the changelog of");
    if (rc == 0 && !log->active)
        log->active = generation_new(log->db->sys, 1, 1);
    return rc == 0 && !log->active ? SF_ENOMEM : rc;
}

int sfi_log_load(struct sfi_log *log)
{
    MDB_txn *txn;
    int error = mdb_txn_begin(log->db->env, NULL, MDB_RDONLY, &txn);
    if (error)
        return sfi_db_error(log->db, error, "read the changelog of");
    drop_all(log);
    int rc = load_all(log, txn);
    mdb_txn_abort(txn);
    if (rc == 0)
        remember(log);
    return rc;
}

/* -- append ------------------------------------------------------------------------------------------ */

/* What goes into one chunk: `count` operations, `size` bytes with the header. */
static uint32_t fit(const struct sfi_op *ops, uint32_t count, size_t size_max, size_t *size)
{
    uint32_t fits = 0;
    *size = SFI_CHUNK_HEADER;
    while (fits < count && (fits == 0 || *size + sfi_log_entry_size(&ops[fits]) <= size_max))
        *size += sfi_log_entry_size(&ops[fits++]);
    return fits;
}

/* Entries of a transaction that is not committed yet are in chunks that no snapshot has: see (6). */
static void write_entries(struct sfi_log *log, unsigned char *chunk, const struct sfi_op *ops,
                          uint32_t count)
{
    struct sfi_generation *active = log->active;
    size_t at = SFI_CHUNK_HEADER;
    for (uint32_t i = 0; i < count;) {
        uint32_t until = count - i > INDEX_RUN ? i + INDEX_RUN : count;
        pthread_mutex_lock(log->lock);
        for (; i < until; i++) {
            add_to_index(log, active, sfi_op_key(&ops[i]), active->end, at);
            at = sfi_chunk_put(chunk, at, &ops[i]);
        }
        pthread_mutex_unlock(log->lock);
    }
}

static int write_chunk(struct sfi_log *log, MDB_cursor *cursor, const struct sfi_op *ops,
                       uint32_t count, size_t size)
{
    unsigned char key[SFI_CHUNK_KEY];
    MDB_val at = {sizeof key, key}, value = {size, NULL};
    int rc = sfi_db_fault(log->db->sys, "lmdb.put");
    if (rc < 0)
        return rc;
    sfi_be64_put(key, log->active->end);
    int error = mdb_cursor_put(cursor, &at, &value, MDB_APPEND | MDB_RESERVE);
    if (error)
        return sfi_db_error(log->db, error, "append to the changelog of");
    write_entries(log, value.mv_data, ops, count);
    sfi_chunk_finish(value.mv_data, size, log->active->number, count, key);
    log->active->end++;
    log->active->bytes += size;
    return 0;
}

static int append(struct sfi_log *log, MDB_txn *txn, const struct sfi_op_list *changes,
                  size_t size_max)
{
    MDB_cursor *cursor;
    size_t size;
    if (changes->count == 0)
        return 0;
    pthread_mutex_lock(log->lock);
    int rc = sfi_log_index_reserve(&log->active->index, changes->count);
    pthread_mutex_unlock(log->lock);
    int error = rc == 0 ? mdb_cursor_open(txn, log->db->tables[SFI_DB_LOG], &cursor) : 0;
    if (rc < 0 || error)
        return rc < 0 ? rc : sfi_db_error(log->db, error, "append to the changelog of");
    for (uint32_t i = 0, count; i < changes->count && rc == 0; i += count) {
        count = fit(changes->ops + i, changes->count - i, size_max, &size);
        rc = write_chunk(log, cursor, changes->ops + i, count, size);
    }
    mdb_cursor_close(cursor);
    return rc;
}

/* -- sweep ------------------------------------------------------------------------------------------- */

static uint64_t share_of(uint64_t left, uint64_t taken, uint64_t used, uint64_t max)
{
    uint64_t room = used < max ? max - used : 0;
    return taken >= room ? left : (uint64_t)((double)left * (double)taken / (double)room);
}

/* (4): as much of the sweep as these changes take of what room is left in the active generation, and a
 * little more. */
static uint64_t sweep_share(const struct sfi_log *log, const struct sfi_op_list *changes)
{
    const struct sfi_generation *active = log->active;
    uint64_t left = sfi_sweep_left(&log->sweep, log->frozen), bytes = 0;
    for (uint32_t i = 0; i < changes->count; i++)
        bytes += sfi_log_entry_size(&changes->ops[i]);
    uint64_t by_bytes = share_of(left, bytes, active->bytes, log->bytes_max);
    uint64_t by_records = share_of(left, changes->count, active->index.count, log->records_max);
    uint64_t share = by_bytes > by_records ? by_bytes : by_records;
    return share + share / 8 + SLICE_MIN;
}

uint64_t sfi_log_ahead(const struct sfi_log *log, const struct sfi_op_list *changes)
{
    uint64_t share = log->frozen ? sweep_share(log, changes) : 0;
    return share > SFI_SWEEP_MAX ? share - SFI_SWEEP_MAX : 0;
}

static uint64_t sweep_now(const struct sfi_log *log, const struct sfi_op_list *changes)
{
    uint64_t share = sweep_share(log, changes);
    return share < SFI_SWEEP_MAX ? share : SFI_SWEEP_MAX;
}

/* The sweep reads chunks where LMDB has them, so it comes before anything is written to their table. */
int sfi_log_append(struct sfi_log *log, MDB_txn *txn, const struct sfi_op_list *changes, int sweeps,
                   int small)
{
    int rc = wants_freeze(log, SFI_ROOM_TIGHT) ? freeze(log) : 0;
    if (rc == 0 && log->frozen && sweeps)
        rc = sfi_sweep_run(&log->sweep, log->db, txn, log->frozen, sweep_now(log, changes));
    int is_small = small || atomic_load(&log->room_left) == SFI_ROOM_TIGHT;
    size_t size_max = is_small ? SFI_CHUNK_SMALL_BYTES : SFI_CHUNK_BYTES;
    return rc == 0 ? append(log, txn, changes, size_max) : rc;
}

int sfi_log_tidy(struct sfi_log *log, MDB_txn *txn, uint64_t units)
{
    int rc = wants_freeze(log, SFI_ROOM_SHORT) ? freeze(log) : 0;
    if (rc < 0 || !log->frozen)
        return rc;
    return sfi_sweep_run(&log->sweep, log->db, txn, log->frozen, units);
}

static void drop_frozen(struct sfi_log *log)
{
    sfi_sweep_reset(&log->sweep);
    pthread_mutex_lock(log->lock);
    generation_drop(log->frozen);
    log->frozen = NULL;
    pthread_mutex_unlock(log->lock);
}

void sfi_log_committed(struct sfi_log *log)
{
    sfi_sweep_committed(&log->sweep);
    if (log->frozen && log->frozen->first == log->frozen->end)
        drop_frozen(log);
    remember(log);
}

void sfi_log_aborted(struct sfi_log *log, int was_full)
{
    pthread_mutex_lock(log->lock);
    sfi_log_index_rollback(&log->active->index, log->kept.count);
    pthread_mutex_unlock(log->lock);
    log->active->end = log->kept.end;
    log->active->bytes = log->kept.bytes;
    if (log->frozen)
        log->frozen->first = log->kept.first;
    sfi_sweep_aborted(&log->sweep, was_full);
}

int sfi_log_is_untidy(const struct sfi_log *log)
{
    return log->frozen || wants_freeze(log, SFI_ROOM_SHORT);
}

uint64_t sfi_log_bytes(const struct sfi_log *log)
{
    return log->active->bytes + (log->frozen ? log->frozen->bytes : 0);
}

/* -- read -------------------------------------------------------------------------------------------- */

int sfi_log_hold(struct sfi_log *log, struct sfi_generation *held[SFI_GENERATIONS])
{
    int count = 0;
    held[count++] = log->active;
    if (log->frozen)
        held[count++] = log->frozen;
    for (int i = 0; i < count; i++)
        held[i]->refs++;
    return count;
}

void sfi_log_release(struct sfi_generation *const held[], int count)
{
    for (int i = 0; i < count; i++)
        generation_drop(held[i]);
}

int sfi_log_chunk(const struct sfi_db *db, MDB_txn *txn, uint64_t number, sf_bytes *out)
{
    unsigned char key[SFI_CHUNK_KEY];
    MDB_val at = {sizeof key, key}, value;
    sfi_be64_put(key, number);
    int error = mdb_get(txn, db->tables[SFI_DB_LOG], &at, &value);
    if (error)
        return error == MDB_NOTFOUND ? 0 : sfi_db_error(db, error, "read the changelog of");
    return sfi_value_bytes(db, value, out) < 0 ? SF_ECORRUPT : 1;
}

/* 1: the entry is in the snapshot and has that key. */
static int get_at(const struct sfi_db *db, MDB_txn *txn, uint64_t chunk, size_t offset,
                  sf_bytes key, struct sfi_log_entry *out)
{
    sf_bytes bytes;
    int rc = sfi_log_chunk(db, txn, chunk, &bytes);
    if (rc > 0)
        rc = sfi_chunk_entry(bytes, offset, out) < 0 ? SF_ECORRUPT : 1;
    return rc > 0 ? sfi_key_compare(out->key, key) == 0 : rc;
}

/* The lock guards the index, not the disk: it is not held while a chunk is looked into.  Meanwhile entries may
 * be taken back and their numbers given to others, but never those that the snapshot has. */
static int get_in(struct sfi_log *log, const struct sfi_generation *generation, MDB_txn *txn,
                  sf_bytes key, uint32_t hash, struct sfi_log_entry *out)
{
    struct sfi_log_place place;
    int rc = 0;
    for (uint32_t at = SFI_INDEX_NONE; rc == 0;) {
        pthread_mutex_lock(log->lock);
        at = sfi_log_index_find(&generation->index, hash, at);
        if (at != SFI_INDEX_NONE)
            place = generation->index.places[at];
        pthread_mutex_unlock(log->lock);
        if (at == SFI_INDEX_NONE)
            break;
        rc = get_at(log->db, txn, generation->base + place.chunk, place.offset, key, out);
    }
    return rc;
}

int sfi_log_get(struct sfi_log *log, struct sfi_generation *const held[], int count, MDB_txn *txn,
                sf_bytes key, struct sfi_log_entry *out)
{
    uint32_t hash = (uint32_t)sfi_hash(&log->hash_key, 0, key.data, key.size);
    int rc = 0;
    for (int i = 0; i < count && rc == 0; i++)
        rc = get_in(log, held[i], txn, key, hash, out);
    return rc;
}
