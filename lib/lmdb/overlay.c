#include "lmdb/overlay.h"

#include "base/endian.h"
#include "base/err.h"
#include "lmdb/value.h"
#include "store/key_order.h"

/* An entry, where LMDB lends it as long as the transaction lives. */
struct place {
    const unsigned char *chunk;
    uint32_t chunk_size, offset;
};

struct sfi_overlay {
    const struct sfi_sys *sys;
    struct place *places;
    uint32_t count, capacity;
    uint32_t *sorted; /* places in order of keys */
    uint32_t sorted_count;
    uint32_t at; /* what was found last */
    uint64_t chunk_end; /* past the newest chunk that was added */
};

void sfi_overlay_free(struct sfi_overlay *overlay)
{
    if (!overlay)
        return;
    sfi_free(overlay->sys, overlay->places);
    sfi_free(overlay->sys, overlay->sorted);
    sfi_free(overlay->sys, overlay);
}

static int no_memory(void)
{
    return sfi_err(SF_ENOMEM, "out of memory");
}

static int entry_at(const struct sfi_overlay *overlay, uint32_t item, struct sfi_log_entry *out)
{
    const struct place *place = &overlay->places[item];
    return sfi_chunk_entry(SF_BYTES(place->chunk, place->chunk_size), place->offset, out);
}

static sf_bytes key_of(void *ctx, uint32_t item)
{
    struct sfi_log_entry entry;
    return entry_at(ctx, item, &entry) == 0 ? entry.key : SF_BYTES("", 0);
}

static int reserve(struct sfi_overlay *overlay, uint32_t more)
{
    uint64_t need = (uint64_t)overlay->count + more;
    if (need <= overlay->capacity)
        return 0;
    void *places = sfi_grow(overlay->sys, overlay->places, &overlay->capacity, need, 0,
                            sizeof *overlay->places);
    if (!places)
        return no_memory();
    overlay->places = places;
    return 0;
}

/* Chunk by chunk: a table that leads in circles would never end. */
static int check_order(struct sfi_overlay *overlay, uint64_t chunk)
{
    if (overlay->chunk_end && chunk != overlay->chunk_end)
        return sfi_err(SF_ECORRUPT, "a chunk of the changelog is missing");
    overlay->chunk_end = chunk + 1;
    return 0;
}

/* Every entry is looked at once here, so that later looks cannot fail. */
static int add_chunk(struct sfi_overlay *overlay, sf_bytes key, sf_bytes chunk)
{
    struct sfi_log_entry entry = {.end = SFI_CHUNK_HEADER};
    uint32_t generation, count;
    int rc = sfi_chunk_open(chunk, key, &generation, &count);
    if (rc == 0)
        rc = check_order(overlay, sfi_be64_get(key.data));
    if (rc == 0)
        rc = reserve(overlay, count);
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        size_t offset = entry.end;
        rc = sfi_chunk_entry(chunk, offset, &entry);
        overlay->places[overlay->count] =
            (struct place){chunk.data, (uint32_t)chunk.size, (uint32_t)offset};
        overlay->count += rc == 0;
    }
    return rc;
}

static int add_row(struct sfi_overlay *overlay, const struct sfi_db *db, MDB_val key, MDB_val value)
{
    sf_bytes number, chunk;
    int rc = sfi_value_bytes(db, key, &number);
    if (rc == 0)
        rc = sfi_value_bytes(db, value, &chunk);
    return rc == 0 ? add_chunk(overlay, number, chunk) : rc;
}

static int add_all(struct sfi_overlay *overlay, const struct sfi_db *db, MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = 0, error = mdb_cursor_open(txn, db->tables[SFI_DB_LOG], &cursor);
    if (error)
        return sfi_db_error(db, error, "read the changelog of");
    while (rc == 0 && (error = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        rc = add_row(overlay, db, key, value);
    mdb_cursor_close(cursor);
    return rc == 0 && error != MDB_NOTFOUND ? sfi_db_error(db, error, "read the changelog of") : rc;
}

static int sort(struct sfi_overlay *overlay)
{
    struct sfi_key_order order;
    uint32_t item;
    sfi_key_order_init(&order, overlay->sys);
    int rc = sfi_key_order_reserve(&order, overlay->count);
    if (rc == 0) {
        overlay->sorted = sfi_alloc(overlay->sys, (size_t)overlay->count * sizeof *overlay->sorted);
        rc = overlay->sorted ? 0 : no_memory();
    }
    for (uint32_t i = 0; i < overlay->count && rc == 0; i++)
        sfi_key_order_add(&order, i, key_of(overlay, i));
    while (rc == 0 && sfi_key_order_next(&order, key_of, overlay, &item))
        overlay->sorted[overlay->sorted_count++] = item;
    sfi_key_order_fini(&order);
    return rc;
}

struct sfi_overlay *sfi_overlay_new(const struct sfi_db *db, MDB_txn *txn, int *rc)
{
    struct sfi_overlay *overlay = sfi_zalloc(db->sys, sizeof *overlay);
    if (!overlay) {
        *rc = no_memory();
        return NULL;
    }
    overlay->sys = db->sys;
    *rc = add_all(overlay, db, txn);
    if (*rc == 0)
        *rc = sort(overlay);
    if (*rc == 0)
        return overlay;
    sfi_overlay_free(overlay);
    return NULL;
}

static sf_bytes sorted_key(const struct sfi_overlay *overlay, uint32_t at)
{
    return key_of((void *)(uintptr_t)overlay, overlay->sorted[at]);
}

/* Not less than `key`, or if `after` greater. */
static int is_wanted(const struct sfi_overlay *overlay, uint32_t at, sf_bytes key, int after)
{
    return sfi_key_compare(sorted_key(overlay, at), key) >= (after != 0);
}

/* A walk asks for what was found last, or for what comes next. */
static uint32_t search(const struct sfi_overlay *overlay, sf_bytes from, int after)
{
    uint32_t low = 0, high = overlay->sorted_count;
    for (uint32_t at = overlay->at; at < high && at < overlay->at + 2; at++)
        if (is_wanted(overlay, at, from, after) &&
            (at == 0 || !is_wanted(overlay, at - 1, from, after)))
            return at;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (is_wanted(overlay, middle, from, after))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int sfi_overlay_seek(struct sfi_overlay *overlay, sf_bytes from, int after,
                     struct sfi_log_entry *out)
{
    overlay->at = search(overlay, from, after);
    if (overlay->at == overlay->sorted_count)
        return 0;
    int rc = entry_at(overlay, overlay->sorted[overlay->at], out);
    return rc < 0 ? rc : 1;
}
