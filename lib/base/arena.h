/* arena.h - memory that dies all at once: what a turn lends, what a delivery hands out.
 *
 * Allocations are aligned for every type and live until reset.  The first chunk is kept, so that a
 * steady state allocates nothing. */
#ifndef SFI_BASE_ARENA_H
#define SFI_BASE_ARENA_H

#include "base/sys.h"

struct sfi_arena_chunk;

struct sfi_arena {
    const struct sfi_sys *sys;
    struct sfi_arena_chunk *chunk; /* newest first */
};

void sfi_arena_init(struct sfi_arena *arena, const struct sfi_sys *sys);
void sfi_arena_fini(struct sfi_arena *arena);
void sfi_arena_reset(struct sfi_arena *arena);
void *sfi_arena_alloc(struct sfi_arena *arena, size_t size);
/* A copy followed by a zero byte. */
void *sfi_arena_copy(struct sfi_arena *arena, const void *data, size_t size);

#endif
