#include "base/arena.h"

#include <string.h>

enum { ALIGN = 16, CHUNK_BYTES = 64 * 1024 };

struct sfi_arena_chunk {
    struct sfi_arena_chunk *older;
    size_t size, used;
    _Alignas(ALIGN) unsigned char bytes[];
};

void sfi_arena_init(struct sfi_arena *arena, const struct sfi_sys *sys)
{
    arena->sys = sys;
    arena->chunk = NULL;
}

void sfi_arena_fini(struct sfi_arena *arena)
{
    sfi_arena_reset(arena);
    sfi_free(arena->sys, arena->chunk);
    arena->chunk = NULL;
}

void sfi_arena_reset(struct sfi_arena *arena)
{
    struct sfi_arena_chunk *chunk = arena->chunk;
    if (!chunk)
        return;
    /* The oldest chunk stays if it is of the usual size. */
    while (chunk->older) {
        struct sfi_arena_chunk *older = chunk->older;
        sfi_free(arena->sys, chunk);
        chunk = older;
    }
    if (chunk->size > CHUNK_BYTES) {
        sfi_free(arena->sys, chunk);
        chunk = NULL;
    } else {
        chunk->used = 0;
    }
    arena->chunk = chunk;
}

static struct sfi_arena_chunk *add_chunk(struct sfi_arena *arena, size_t size)
{
    size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    struct sfi_arena_chunk *chunk = sfi_alloc(arena->sys, sizeof *chunk + room);
    if (!chunk)
        return NULL;
    *chunk = (struct sfi_arena_chunk){.older = arena->chunk, .size = room};
    arena->chunk = chunk;
    return chunk;
}

void *sfi_arena_alloc(struct sfi_arena *arena, size_t size)
{
    struct sfi_arena_chunk *chunk = arena->chunk;
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!chunk || chunk->size - chunk->used < size) {
        chunk = add_chunk(arena, size);
        if (!chunk)
            return NULL;
    }
    void *memory = chunk->bytes + chunk->used;
    chunk->used += size;
    return memory;
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
