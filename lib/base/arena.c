#include "base/arena.h"

#include <string.h>

enum { CHUNK_BYTES = 64 * 1024 };

struct sfi_arena_chunk {
    struct sfi_arena_chunk *older;
    size_t size;
    _Alignas(SFI_ARENA_ALIGN) unsigned char bytes[];
};

void sfi_arena_init(struct sfi_arena *arena, const struct sfi_sys *sys)
{
    *arena = (struct sfi_arena){.sys = sys};
}

/* That one is the newest now; NULL: there is none. */
static void set_chunk(struct sfi_arena *arena, struct sfi_arena_chunk *chunk)
{
    arena->chunk = chunk;
    arena->begin = arena->at = chunk ? chunk->bytes : NULL;
    arena->end = chunk ? chunk->bytes + chunk->size : NULL;
}

void sfi_arena_fini(struct sfi_arena *arena)
{
    sfi_arena_shrink(arena);
    sfi_free(arena->sys, arena->chunk);
    set_chunk(arena, NULL);
}

/* The oldest chunk stays if it is of the usual size. */
void sfi_arena_shrink(struct sfi_arena *arena)
{
    struct sfi_arena_chunk *chunk = arena->chunk;
    while (chunk && (chunk->older || chunk->size > CHUNK_BYTES)) {
        struct sfi_arena_chunk *older = chunk->older;
        sfi_free(arena->sys, chunk);
        chunk = older;
    }
    set_chunk(arena, chunk);
    arena->is_grown = 0;
}

/* A new chunk, and the allocation from it. */
void *sfi_arena_grow(struct sfi_arena *arena, size_t size)
{
    size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    struct sfi_arena_chunk *chunk = sfi_alloc(arena->sys, sizeof *chunk + room);
    if (!chunk)
        return NULL;
    *chunk = (struct sfi_arena_chunk){.older = arena->chunk, .size = room};
    arena->is_grown = chunk->older || room > CHUNK_BYTES;
    set_chunk(arena, chunk);
    arena->at += size;
    return chunk->bytes;
}

void *sfi_arena_copy(struct sfi_arena *arena, const void *data, size_t size)
{
    unsigned char *copy = sfi_arena_alloc(arena, size + 1);
    if (!copy)
        return NULL;
    if (size)
        memcpy(copy, data, size);
    copy[size] = 0;
    return copy;
}
