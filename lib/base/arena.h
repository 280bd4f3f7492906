/* arena.h - memory that dies all at once: what a turn lends, what a delivery hands out.
 *
 * Allocations are aligned for every type and live until reset.  The first chunk is kept, so that a
 * steady state allocates nothing. */
#ifndef SFI_BASE_ARENA_H
#define SFI_BASE_ARENA_H

#include "base/rare.h"
#include "base/sys.h"

enum { SFI_ARENA_ALIGN = 16 };

struct sfi_arena_chunk;

struct sfi_arena {
    const struct sfi_sys *sys;
    struct sfi_arena_chunk *chunk;  /* newest first */
    unsigned char *begin, *at, *end; /* of the newest: all of it, and what is free */
    int is_grown;                   /* there is more than the one chunk that is kept */
};

void sfi_arena_init(struct sfi_arena *arena, const struct sfi_sys *sys);
void sfi_arena_fini(struct sfi_arena *arena);
/* The slow ways of the functions below. */
void sfi_arena_shrink(struct sfi_arena *arena);
void *sfi_arena_grow(struct sfi_arena *arena, size_t size);

static inline void sfi_arena_reset(struct sfi_arena *arena)
{
    if (SFI_RARE(arena->is_grown))
        sfi_arena_shrink(arena);
    arena->at = arena->begin;
}

static inline void *sfi_arena_alloc(struct sfi_arena *arena, size_t size)
{
    size = (size + SFI_ARENA_ALIGN - 1) & ~(size_t)(SFI_ARENA_ALIGN - 1);
    if (SFI_RARE((size_t)(arena->end - arena->at) < size || !arena->at))
        return sfi_arena_grow(arena, size);
    void *memory = arena->at;
    arena->at += size;
    return memory;
}

/* A copy followed by a zero byte. */
void *sfi_arena_copy(struct sfi_arena *arena, const void *data, size_t size);

#endif
