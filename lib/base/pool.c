#include "base/pool.h"

#include <string.h>

enum {
    CHUNK_PART = 16, /* of what is used is asked for at a time, */
    CHUNK_SLABS_MAX = 64,
    KEEP_DEFAULT = 256 * 1024,
    FULL_ENOUGH = 8, /* a slab that has given up less than this part of its objects is left alone */
    SLABS_LOOKED_AT = 16
};

struct sfi_chunk {
    struct sfi_chunk *next, *previous;
    char *slabs;
    uint32_t count, spare;
};

_Static_assert(sizeof(struct sfi_slab) <= SFI_LINE, "the first object lies on the next line");

/* Lent to every pool: nothing is ever taken from it, nor written to it. */
static const struct sfi_slab none = {.live = 1};

void sfi_pool_init(struct sfi_pool *pool, const struct sfi_sys *sys, unsigned step)
{
    *pool = (struct sfi_pool){
        .sys = sys, .shift = step == 32 ? 5 : 6, .keep_max = KEEP_DEFAULT, .none = (void *)&none};
    for (int i = 0; i < SFI_POOL_CLASSES; i++)
        pool->current[i] = pool->none;
}

static void free_large_class(struct sfi_pool *pool, uint32_t class)
{
    for (void *object; (object = pool->large[class]);) {
        pool->large[class] = *(void **)object;
        sfi_free(pool->sys, object);
    }
}

void sfi_pool_fini(struct sfi_pool *pool)
{
    for (struct sfi_chunk *chunk = pool->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        sfi_free(pool->sys, chunk->slabs);
        sfi_free(pool->sys, chunk);
    }
    for (uint32_t class = 0; class < SFI_LARGE_CLASSES; class++)
        free_large_class(pool, class);
    sfi_pool_init(pool, pool->sys, 1u << pool->shift);
}

/* -- lists
 * ---------------------------------------------------------------------------------------- */

static void list_push(struct sfi_slab_list *list, struct sfi_slab *slab)
{
    slab->next = NULL;
    slab->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = slab;
    list->last = slab;
}

static void list_remove(struct sfi_slab_list *list, struct sfi_slab *slab)
{
    *(slab->previous ? &slab->previous->next : &list->first) = slab->next;
    *(slab->next ? &slab->next->previous : &list->last) = slab->previous;
}

static void partial_push(struct sfi_pool *pool, struct sfi_slab *slab)
{
    slab->is_partial = 1;
    list_push(&pool->partial[slab->class], slab);
}

static void partial_remove(struct sfi_pool *pool, struct sfi_slab *slab)
{
    slab->is_partial = 0;
    list_remove(&pool->partial[slab->class], slab);
}

/* -- chunks
 * --------------------------------------------------------------------------------------- */

static struct sfi_slab *slab_of_chunk(struct sfi_chunk *chunk, uint32_t i)
{
    return (struct sfi_slab *)(chunk->slabs + (size_t)i * SFI_SLAB_BYTES);
}

static void spare_push(struct sfi_pool *pool, struct sfi_slab *slab)
{
    slab->chunk->spare++;
    pool->kept += SFI_SLAB_BYTES;
    list_push(&pool->spare, slab);
}

static void spare_remove(struct sfi_pool *pool, struct sfi_slab *slab)
{
    slab->chunk->spare--;
    pool->kept -= SFI_SLAB_BYTES;
    list_remove(&pool->spare, slab);
}

static int add_chunk(struct sfi_pool *pool)
{
    uint64_t slabs = pool->used / CHUNK_PART / SFI_SLAB_BYTES;
    slabs = slabs < 1 ? 1 : slabs > CHUNK_SLABS_MAX ? CHUNK_SLABS_MAX : slabs;
    struct sfi_chunk *chunk = sfi_alloc(pool->sys, sizeof *chunk);
    void *memory = chunk ? sfi_alloc_aligned(pool->sys, SFI_SLAB_BYTES, slabs * SFI_SLAB_BYTES) : NULL;
    if (!memory) {
        sfi_free(pool->sys, chunk);
        return 0;
    }
    *chunk = (struct sfi_chunk){.next = pool->chunks, .slabs = memory, .count = (uint32_t)slabs};
    if (pool->chunks)
        pool->chunks->previous = chunk;
    pool->chunks = chunk;
    for (uint32_t i = 0; i < chunk->count; i++) {
        struct sfi_slab *slab = slab_of_chunk(chunk, i);
        *slab = (struct sfi_slab){.chunk = chunk};
        spare_push(pool, slab);
    }
    return 1;
}

static void free_chunk(struct sfi_pool *pool, struct sfi_chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->count; i++)
        spare_remove(pool, slab_of_chunk(chunk, i));
    *(chunk->previous ? &chunk->previous->next : &pool->chunks) = chunk->next;
    if (chunk->next)
        chunk->next->previous = chunk->previous;
    sfi_free(pool->sys, chunk->slabs);
    sfi_free(pool->sys, chunk);
}

/* -- slabs
 * ---------------------------------------------------------------------------------------- */

/* One that was of this class before has all its objects linked already. */
static void carve(const struct sfi_pool *pool, struct sfi_slab *slab, uint16_t class)
{
    size_t size = ((size_t)class + 1) << pool->shift;
    if (slab->capacity && slab->class == class)
        return;
    slab->class = class;
    slab->capacity = (uint32_t)((SFI_SLAB_BYTES - SFI_LINE) / size);
    slab->free = NULL;
    for (uint32_t i = slab->capacity; i-- > 0;) {
        void *object = (char *)slab + SFI_LINE + i * size;
        *(void **)object = slab->free;
        slab->free = object;
    }
}

static struct sfi_slab *take_spare(struct sfi_pool *pool, uint16_t class)
{
    if (!pool->spare.last && !add_chunk(pool))
        return NULL;
    struct sfi_slab *slab = pool->spare.last;
    spare_remove(pool, slab);
    pool->used += SFI_SLAB_BYTES;
    carve(pool, slab, class);
    return slab;
}

/* The fullest of the partial ones, probably: it is the one that had none left latest. */
static struct sfi_slab *take_partial(struct sfi_pool *pool, uint16_t class)
{
    struct sfi_slab *slab = pool->partial[class].last;
    if (slab)
        partial_remove(pool, slab);
    return slab;
}

void *sfi_pool_refill(struct sfi_pool *pool, size_t size)
{
    uint16_t class = (uint16_t)sfi_pool_class(pool, size);
    struct sfi_slab *full = pool->current[class], *slab = take_partial(pool, class);
    if (!slab)
        slab = take_spare(pool, class);
    if (!slab)
        return NULL;
    if (full == pool->none)
        pool->classes++;
    else
        full->live--; /* all its objects are out, so they are more than none */
    pool->current[class] = slab;
    slab->live++;
    return sfi_pool_alloc(pool, size);
}

/* It had none left, or all of them are back; the current one may stay as it is. */
void sfi_pool_returned(struct sfi_pool *pool, struct sfi_slab *slab)
{
    if (slab == pool->current[slab->class])
        return;
    if (slab->live) {
        partial_push(pool, slab);
        return;
    }
    if (slab->is_partial)
        partial_remove(pool, slab);
    pool->used -= SFI_SLAB_BYTES;
    spare_push(pool, slab);
    if (pool->kept > pool->keep_max && slab->chunk->spare == slab->chunk->count)
        free_chunk(pool, slab->chunk);
}

/* -- slabs with few objects
 * ----------------------------------------------------------------------- */

static int is_sparse(const struct sfi_slab *slab)
{
    return slab->capacity - slab->live >= slab->capacity / FULL_ENOUGH &&
           slab->capacity != slab->live;
}

/* Do its objects find room in others of its class? */
static int can_be_emptied(const struct sfi_pool *pool, const struct sfi_slab *slab)
{
    const struct sfi_slab *current = pool->current[slab->class];
    const struct sfi_slab *other = pool->partial[slab->class].last;
    uint32_t room = current->capacity + 1 - current->live;
    for (int i = 0; i < SLABS_LOOKED_AT && other && room < slab->live; i++, other = other->previous)
        if (other != slab)
            room += other->capacity - other->live;
    return room >= slab->live;
}

/* The one that is partial for longest: it has lost most, probably. */
static struct sfi_slab *sparse_of_class(struct sfi_pool *pool, uint32_t class)
{
    struct sfi_slab_list *list = &pool->partial[class];
    for (int i = 0; i < SLABS_LOOKED_AT && list->first; i++) {
        struct sfi_slab *slab = list->first;
        if (is_sparse(slab) && can_be_emptied(pool, slab))
            return slab;
        partial_remove(pool, slab);
        partial_push(pool, slab);
    }
    return NULL;
}

static size_t index_of(const struct sfi_pool *pool, const struct sfi_slab *slab, const void *object)
{
    size_t size = ((size_t)slab->class + 1) << pool->shift;
    return (size_t)((const char *)object - (const char *)slab - SFI_LINE) / size;
}

/* All objects but the free ones. */
static uint32_t list_objects(const struct sfi_pool *pool, struct sfi_slab *slab, void **objects)
{
    uint8_t is_free[SFI_SLAB_OBJECTS] = {0};
    size_t size = ((size_t)slab->class + 1) << pool->shift;
    uint32_t count = 0;
    for (const void *object = slab->free; object; object = *(void *const *)object)
        is_free[index_of(pool, slab, object)] = 1;
    for (uint32_t i = 0; i < slab->capacity; i++)
        if (!is_free[i])
            objects[count++] = (char *)slab + SFI_LINE + i * size;
    return count;
}

struct sfi_slab *sfi_pool_sparse(struct sfi_pool *pool, void **objects, uint32_t *count)
{
    for (int i = 0; i < SFI_POOL_CLASSES; i++) {
        uint32_t class = (pool->looked + (uint32_t)i) % SFI_POOL_CLASSES;
        struct sfi_slab *slab = sparse_of_class(pool, class);
        if (!slab)
            continue;
        pool->looked = class;
        partial_remove(pool, slab);
        *count = list_objects(pool, slab, objects);
        return slab;
    }
    return NULL;
}

void sfi_pool_unsparse(struct sfi_pool *pool, struct sfi_slab *slab)
{
    partial_push(pool, slab);
}

/* -- large objects
 * -------------------------------------------------------------------------------- */

/* The class of a size above SFI_POOL_MAX: its highest bit and the two below it, of size - 1.  Above
 * SFI_LARGE_MAX: SFI_LARGE_CLASSES. */
static uint32_t large_class(size_t size)
{
    unsigned highest = 63 - (unsigned)__builtin_clzll(size - 1);
    uint32_t part = (uint32_t)((size - 1) >> (highest - 2)); /* 4 to 7 */
    return size <= SFI_LARGE_MAX ? (highest - 10) * 4 + part - 4 : SFI_LARGE_CLASSES;
}

/* Of another class, which may have been needed long ago. */
static void drop_one(struct sfi_pool *pool)
{
    for (int i = 0; i < SFI_LARGE_CLASSES; i++) {
        uint32_t class = pool->dropped++ % SFI_LARGE_CLASSES;
        void *object = pool->large[class];
        if (!object)
            continue;
        pool->large[class] = *(void **)object;
        pool->kept -= (size_t)(class % 4 + 5) << (class / 4 + 8);
        sfi_free(pool->sys, object);
        return;
    }
}

void *sfi_pool_alloc_large(struct sfi_pool *pool, size_t size)
{
    size_t bytes = sfi_pool_large_bytes(size);
    uint32_t class = large_class(size);
    void *object = class < SFI_LARGE_CLASSES ? pool->large[class] : NULL;
    if (object) {
        pool->large[class] = *(void **)object;
        pool->kept -= bytes;
    } else {
        drop_one(pool);
        object = sfi_alloc(pool->sys, bytes);
    }
    pool->used += object ? bytes : 0;
    return object;
}

void sfi_pool_free_large(struct sfi_pool *pool, void *object, size_t size)
{
    size_t bytes = sfi_pool_large_bytes(size);
    uint32_t class = large_class(size);
    pool->used -= bytes;
    if (class == SFI_LARGE_CLASSES || pool->kept + bytes > pool->keep_max) {
        sfi_free(pool->sys, object);
        return;
    }
    *(void **)object = pool->large[class];
    pool->large[class] = object;
    pool->kept += bytes;
}
