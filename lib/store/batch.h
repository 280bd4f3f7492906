/* batch.h - what one epoch changes on disk: a redo record in memory.
 *
 * An open batch is an append-only list of puts and deletes for each table; a later operation on a key
 * replaces an earlier one.  A turn that fails takes its operations back with mark and rollback.
 * Sealing gives the batch its epoch number; from then on it does not change, and applying it twice
 * gives the same result as once.  In which order the keys are written is the store's business, and
 * its thread's (store/key_order.h).
 *
 * The bytes live in blocks owned by the batch, so operations stay where they are until reset.
 *
 * READABLE TABLES  Some tables are read while what was written to them is not durable yet (entries, timers,
 * operations, dead letters).  Of these the batch keeps the keys in order, each with its newest operation:
 * (1) A key is listed as long as there is an operation on it.  Each operation names the one before it on its key,
 *     so that rolling back gives the list back as it was, byte for byte.
 * (2) Within one mark a put on the same key and of the same size takes the place of the former one: nobody can
 *     go back to what was between them.
 * (3) A sealed batch does not change, so both threads read it without a lock.
 * (4) Most keys that are looked for are not listed: when more than a few are, a filter is asked first. */
#ifndef SFI_STORE_BATCH_H
#define SFI_STORE_BATCH_H

#include "store/filter.h"
#include "store/skiplist.h"
#include "store/store.h"

struct sfi_op {
    const unsigned char *key;
    uint32_t value_size; /* the value lies after the key, on a multiple of 8 */
    uint16_t key_size;
    uint16_t is_delete;
};

/* The operations on one table, oldest first. */
struct sfi_op_list {
    struct sfi_op *ops;
    uint32_t count, capacity;
};

struct sfi_batch_block;

struct sfi_batch {
    const struct sfi_sys *sys;
    uint64_t epoch; /* set by seal */
    struct sfi_op_list tables[SFI_TABLES];
    struct sfi_skiplist rows[SFI_TABLES]; /* of readable tables: the keys in order */
    uint32_t settled[SFI_TABLES];         /* operations before the newest mark: those stay */
    uint32_t op_count;                        /* of all tables */
    struct sfi_batch_block *blocks, *current; /* kept for the next epoch */
    uint64_t bytes;
    uint32_t row_count;       /* listed so far, those taken back too */
    struct sfi_filter filter; /* of the keys that are listed, once they are many */
};

struct sfi_batch_mark {
    uint32_t counts[SFI_TABLES];
    uint32_t op_count;
    struct sfi_batch_block *current;
    size_t used;
    uint64_t bytes;
};

void sfi_batch_init(struct sfi_batch *batch, const struct sfi_sys *sys);
void sfi_batch_fini(struct sfi_batch *batch);
void sfi_batch_reset(struct sfi_batch *batch);

/* Room for a value that the caller fills in before anything else is called on the batch; NULL: no
 * memory.  The key is copied. */
void *sfi_batch_put(struct sfi_batch *batch, enum sfi_table table, sf_bytes key, size_t value_size);
int sfi_batch_delete(struct sfi_batch *batch, enum sfi_table table, sf_bytes key);

struct sfi_batch_mark sfi_batch_mark(struct sfi_batch *batch);
void sfi_batch_rollback(struct sfi_batch *batch, struct sfi_batch_mark mark);

static inline int sfi_table_is_readable(enum sfi_table table)
{
    return table == SFI_DEAD || table == SFI_ENTRY || table == SFI_TIMER || table == SFI_ASYNC;
}

/* The newest operation on a key of a readable table; NULL: none. */
const struct sfi_op *sfi_batch_find(const struct sfi_batch *batch, enum sfi_table table,
                                    sf_bytes key);
/* The same for the nearest key: `after` and `before` as in skiplist.h. */
const struct sfi_op *sfi_batch_after(const struct sfi_batch *batch, enum sfi_table table,
                                     sf_bytes key, int greater);
const struct sfi_op *sfi_batch_before(const struct sfi_batch *batch, enum sfi_table table,
                                      sf_bytes key, int less);
/* All of them in order: begin with NULL. */
const struct sfi_op *sfi_batch_next(const struct sfi_batch *batch, enum sfi_table table,
                                    const struct sfi_op *op);

static inline void sfi_batch_seal(struct sfi_batch *batch, uint64_t epoch)
{
    batch->epoch = epoch;
}

static inline sf_bytes sfi_op_key(const struct sfi_op *op)
{
    return SF_BYTES(op->key, op->key_size);
}

static inline sf_bytes sfi_op_value(const struct sfi_op *op)
{
    return SF_BYTES(op->key + (((size_t)op->key_size + 7) & ~(size_t)7), op->value_size);
}

#endif
