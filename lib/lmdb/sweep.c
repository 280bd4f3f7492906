#include "lmdb/sweep.h"

#include "base/endian.h"
#include "base/err.h"
#include "base/expect.h"
#include "lmdb/log.h"
#include "lmdb/writer.h"

enum {
    COLLECTED_A_UNIT = 8,
    AHEAD = 8, /* entries */
    UNITS_MIN = 16,
    /* Twice the rows of an epoch: collecting and trimming are units too, and a sweep that does less than
     * an epoch adds never catches up. */
    UNITS_MAX = 1 << 17
};

/* Where a chunk is, as of one slice: LMDB may move it with the next. */
struct sfi_swept_chunk {
    const void *data;
    size_t size;
    uint64_t round;
};

void sfi_sweep_init(struct sfi_sweep *sweep, const struct sfi_sys *sys)
{
    *sweep = (struct sfi_sweep){.round = 1, .units_max = UNITS_MAX};
    sfi_key_order_init(&sweep->order, sys);
}

void sfi_sweep_reset(struct sfi_sweep *sweep)
{
    const struct sfi_sys *sys = sweep->order.sys;
    sfi_free(sys, sweep->chunks);
    sfi_key_order_fini(&sweep->order);
    sfi_sweep_init(sweep, sys);
}

static uint64_t to_trim(const struct sfi_generation *generation)
{
    return generation->end - generation->first;
}

uint64_t sfi_sweep_left(const struct sfi_sweep *sweep, const struct sfi_generation *generation)
{
    uint32_t uncollected = generation->index.count - sweep->collected;
    return uncollected / COLLECTED_A_UNIT + 1 + generation->index.count - sweep->order.next +
           to_trim(generation);
}

/* -- looking into chunks ----------------------------------------------------------------------------- */

/* One slice: what key_of() needs, and what it could not return. */
struct slice {
    struct sfi_sweep *sweep;
    const struct sfi_db *db;
    MDB_txn *txn;
    const struct sfi_generation *generation;
    int error; /* of a look-up: the order is worth nothing any more */
};

static int look_up(const struct slice *slice, uint32_t chunk, struct sfi_swept_chunk *out)
{
    sf_bytes bytes;
    int rc = sfi_log_chunk(slice->db, slice->txn, slice->generation->base + chunk, &bytes);
    if (rc <= 0)
        return rc < 0 ? rc : sfi_err(SF_ECORRUPT, "a chunk of the changelog is missing");
    *out = (struct sfi_swept_chunk){bytes.data, bytes.size, slice->sweep->round};
    return 0;
}

static int entry_of(const struct slice *slice, uint32_t item, struct sfi_log_entry *out)
{
    const struct sfi_log_place *place = &slice->generation->index.places[item];
    struct sfi_swept_chunk *chunk = &slice->sweep->chunks[place->chunk];
    int rc = chunk->round == slice->sweep->round ? 0 : look_up(slice, place->chunk, chunk);
    return rc < 0 ? rc : sfi_chunk_entry(SF_BYTES(chunk->data, chunk->size), place->offset, out);
}

/* Entries are spread over memory: asked for early, if it is known where they are. */
static void expect_entry(const struct slice *slice, uint32_t item)
{
    const struct sfi_log_place *place = &slice->generation->index.places[item];
    const struct sfi_swept_chunk *chunk = &slice->sweep->chunks[place->chunk];
    if (chunk->round == slice->sweep->round)
        sfi_expect((const char *)chunk->data + place->offset);
}

static sf_bytes key_of(void *ctx, uint32_t item)
{
    struct slice *slice = ctx;
    struct sfi_log_entry entry;
    int rc = entry_of(slice, item, &entry);
    if (rc == 0)
        return entry.key;
    slice->error = rc;
    slice->sweep->is_spoiled = 1;
    return SF_BYTES("", 0);
}

/* -- the three stages ---------------------------------------------------------------------------------- */

static int make_chunks(struct slice *slice)
{
    struct sfi_sweep *sweep = slice->sweep;
    uint64_t count = slice->generation->end - slice->generation->base;
    if (sweep->chunks)
        return 0;
    sweep->chunks = sfi_zalloc(slice->db->sys, count * sizeof *sweep->chunks);
    return sweep->chunks ? 0 : sfi_err(SF_ENOMEM, "out of memory");
}

static int collect(struct slice *slice, uint64_t *units)
{
    struct sfi_sweep *sweep = slice->sweep;
    uint64_t left = slice->generation->index.count - sweep->collected;
    uint64_t count = *units > left / COLLECTED_A_UNIT ? left : *units * COLLECTED_A_UNIT;
    int rc = make_chunks(slice);
    if (rc == 0)
        rc = sfi_key_order_reserve(&sweep->order, (uint32_t)count);
    if (rc < 0)
        return rc;
    for (uint64_t i = 0; i < count && !slice->error; i++, sweep->collected++) {
        if (i + AHEAD < count)
            expect_entry(slice, sweep->collected + AHEAD);
        sfi_key_order_add(&sweep->order, sweep->collected, key_of(slice, sweep->collected));
    }
    *units -= count / COLLECTED_A_UNIT;
    return slice->error;
}

static int move_one(const struct slice *slice, struct sfi_writer *writer, uint32_t item)
{
    struct sfi_log_entry entry;
    uint32_t later;
    if (sfi_key_order_guess(&slice->sweep->order, AHEAD, &later))
        expect_entry(slice, later);
    int rc = entry_of(slice, item, &entry);
    if (rc < 0)
        return rc;
    return entry.is_delete ? sfi_writer_delete(writer, entry.key)
                           : sfi_writer_put(writer, entry.key, entry.value);
}

static int move(struct slice *slice, uint64_t *units)
{
    struct sfi_key_order *order = &slice->sweep->order;
    struct sfi_writer writer;
    uint64_t until = order->next + *units;
    uint32_t item;
    int rc = sfi_writer_open(&writer, slice->db, slice->txn, SFI_STATE);
    if (rc < 0)
        return rc;
    while (rc == 0 && order->next < until && sfi_key_order_next(order, key_of, slice, &item))
        rc = slice->error ? slice->error : move_one(slice, &writer, item);
    if (rc == 0)
        rc = slice->error;
    sfi_writer_close(&writer);
    *units = order->next < until ? until - order->next : 0;
    return rc;
}

static int trim(struct slice *slice, struct sfi_generation *generation, uint64_t *units)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int error = mdb_cursor_open(slice->txn, slice->db->tables[SFI_DB_LOG], &cursor);
    if (error)
        return sfi_db_error(slice->db, error, "trim the changelog of");
    int rc = sfi_db_fault(slice->db->sys, "lmdb.trim");
    for (; rc == 0 && *units && to_trim(generation); --*units, generation->first++) {
        error = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        if (!error &&
            (key.mv_size != SFI_CHUNK_KEY || sfi_be64_get(key.mv_data) != generation->first))
            rc = sfi_err(SF_ECORRUPT, "the changelog does not start where it should");
        else if (!error)
            error = mdb_cursor_del(cursor, 0);
        if (error)
            rc = sfi_db_error(slice->db, error, "trim the changelog of");
        if (rc < 0)
            break;
    }
    mdb_cursor_close(cursor);
    return rc;
}

int sfi_sweep_run(struct sfi_sweep *sweep, const struct sfi_db *db, MDB_txn *txn,
                  struct sfi_generation *generation, uint64_t units)
{
    struct slice slice = {sweep, db, txn, generation, 0};
    int rc = sfi_db_fault(db->sys, "lmdb.sweep");
    units = units < sweep->units_max ? units : sweep->units_max;
    sweep->is_under_way = 1;
    sweep->round++;
    if (rc == 0 && sweep->collected < generation->index.count)
        rc = collect(&slice, &units);
    if (rc == 0 && units && sweep->collected == generation->index.count &&
        sweep->order.next < sweep->order.count)
        rc = move(&slice, &units);
    if (rc == 0 && units && sweep->order.next == generation->index.count)
        rc = trim(&slice, generation, &units);
    return rc;
}

void sfi_sweep_committed(struct sfi_sweep *sweep)
{
    if (sweep->is_under_way && sweep->units_max < UNITS_MAX)
        sweep->units_max *= 2;
    sweep->is_under_way = 0;
    sweep->next = sweep->order.next;
}

void sfi_sweep_aborted(struct sfi_sweep *sweep, int was_full)
{
    uint64_t units_max = sweep->units_max;
    if (sweep->is_under_way && was_full && units_max > UNITS_MIN)
        units_max /= 2;
    if (sweep->is_spoiled)
        sfi_sweep_reset(sweep);
    sfi_key_order_rewind(&sweep->order, sweep->next);
    sweep->units_max = units_max;
    sweep->is_under_way = 0;
}
