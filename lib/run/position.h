/* position.h - how far each input that can be replayed was taken in: one per (name, partition).
 *
 * given >= reached >= sealed >= durable >= safe: given to the inbox; taken in by the open epoch; in the
 * sealed batch; on disk; there for good (store.h: 3).  Callers read `safe`: the input may be forgotten
 * up to there.
 *
 * The list, given and safe are under the runtime's lock, is_open too; the others and dirty are the
 * engine's, which takes the lock to walk the list. */
#ifndef SFI_RUN_POSITION_H
#define SFI_RUN_POSITION_H

#include "store/batch.h"

struct sfi_position {
    struct sfi_position *next;
    uint64_t given, reached, sealed, durable, safe;
    uint32_t partition;
    uint8_t is_open, dirty; /* is_open: a source holds it */
    char name[];
};

struct sfi_positions {
    struct sfi_position *first;
};

void sfi_positions_fini(struct sfi_positions *positions, const struct sfi_sys *sys);
/* Found, or made at 0.  NULL: no memory. */
struct sfi_position *sfi_positions_get(struct sfi_positions *positions, const struct sfi_sys *sys,
                                       const char *name, uint32_t partition);
int sfi_position_load(struct sfi_positions *positions, const struct sfi_sys *sys, sf_bytes key,
                      sf_bytes record);

static inline void sfi_position_reached(struct sfi_position *position, uint64_t reached)
{
    position->reached = reached;
    position->dirty = 1;
}

int sfi_positions_dirty(const struct sfi_positions *positions);
int sfi_positions_save(const struct sfi_positions *positions, struct sfi_batch *batch);
void sfi_positions_saved(struct sfi_positions *positions);
void sfi_positions_durable(struct sfi_positions *positions);
void sfi_positions_safe(struct sfi_positions *positions);

#endif
