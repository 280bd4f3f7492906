/* batch.h - what one epoch changes on disk: a redo record in memory.
 *
 * An open batch is an append-only list of puts and deletes for each table; a later operation on a key
 * replaces an earlier one.  A turn that fails takes its operations back with mark and rollback.
 * Sealing gives the batch its epoch number; from then on it does not change, and applying it twice
 * gives the same result as once.  In which order the keys are written is the store's business, and
 * its thread's (store/key_order.h).
 *
 * The bytes live in blocks owned by the batch, so operations stay where they are until reset. */
#ifndef SFI_STORE_BATCH_H
#define SFI_STORE_BATCH_H

#include "store/store.h"

struct sfi_op {
    const unsigned char *key;
    uint32_t value_size; /* the value lies behind the key, on a multiple of 8 */
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
    uint32_t op_count;                        /* of all tables */
    struct sfi_batch_block *blocks, *current; /* kept for the next epoch */
    uint64_t bytes;
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

struct sfi_batch_mark sfi_batch_mark(const struct sfi_batch *batch);
void sfi_batch_rollback(struct sfi_batch *batch, struct sfi_batch_mark mark);

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
