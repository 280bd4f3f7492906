/* position.h - how far each input that can be replayed was taken in: one per (name, partition).
 *
 * given >= reached >= sealed >= durable >= safe: given to the inbox; taken in by the open epoch;
 * in the sealed batch; on disk; there for good (store.h: 3).  Callers read `safe`: the input may
 * be forgotten up to there.
 *
 * A position is in the list of those that move from when it is reached until it is safe.  Sealing
 * and publishing walk that list, never all positions: these are looked up by a hash.
 *
 * The lookup, given, safe and is_open are under the runtime's lock; the others and the list are
 * the engine's. */
#ifndef SFI_RUN_POSITION_H
#define SFI_RUN_POSITION_H

#include "base/hash.h"
#include "base/lookup.h"
#include "store/batch.h"

struct sfi_position {
    struct sfi_position *next_moving;
    uint64_t given, reached, sealed, durable, safe;
    uint32_t partition;
    uint8_t is_open; /* a source holds it */
    uint8_t is_moving;
    uint8_t dirty; /* reached, and not sealed */
    char name[];
};

struct sfi_positions {
    const struct sfi_sys *sys;
    struct sfi_hash_key key;
    struct sfi_lookup all;
    struct sfi_position *first_moving;
    uint32_t dirty_count;
};

void sfi_positions_init(struct sfi_positions *positions, const struct sfi_sys *sys);
void sfi_positions_fini(struct sfi_positions *positions);
/* Found, or made at 0.  0, SF_ENOMEM, or SF_EINVAL: there are SF_PARTITIONS_MAX. */
int sfi_positions_get(struct sfi_positions *positions, const char *name, uint32_t partition,
                      struct sfi_position **out);
int sfi_position_load(struct sfi_positions *positions, sf_bytes key, sf_bytes record);

/* Engine: taken in up to there. */
void sfi_position_reached(struct sfi_positions *positions, struct sfi_position *position,
                          uint64_t reached);

/* Seal: the rows of those that were reached; saved() once the batch is whole. */
int sfi_positions_dirty(const struct sfi_positions *positions);
int sfi_positions_save(const struct sfi_positions *positions, struct sfi_batch *batch);
void sfi_positions_saved(struct sfi_positions *positions);
/* The epoch sealed last is durable; the one durable last is safe (under the lock). */
void sfi_positions_durable(struct sfi_positions *positions);
void sfi_positions_safe(struct sfi_positions *positions);

#endif
