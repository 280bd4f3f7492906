/* pool.h - memory for many objects of a few sizes, which goes back when it is not needed.
 *
 *      system -- chunk --> slabs of 16 KiB -- of one size class each --> objects
 *
 * (1) A pool has its own step between classes: 64 bytes keep every object on lines of its own, 32
 *     waste less. Of each class one slab is `current`: objects come from it until it has none
 *     left.  Then one of the `partial` slabs takes its place, which got objects back meanwhile;
 *     else a spare one; else a new chunk is asked for.  A slab begins at a multiple of its size,
 *     so an object's address says which one it is in.
 * (2) A slab whose last object came back is spare: any class may have it.  A chunk whose slabs
 *     are all spare goes back to the system once more than `keep_max` is kept.  So memory that
 *     one class has given up serves the others.
 * (3) Objects above SFI_POOL_MAX come from the system in sizes at most a quarter too large, and
 *     are kept when they come back, within `keep_max` too: a steady state asks the system for
 *     nothing.
 * (4) `used` is what slabs in use and large objects take.  It can be far more than what lives in
 *     it when few objects are left in many slabs.  An owner who can move its objects empties such
 *     slabs: sfi_pool_sparse().
 *
 * One thread. */
#ifndef SFI_BASE_POOL_H
#define SFI_BASE_POOL_H

#include "base/sys.h"

enum {
    SFI_POOL_MAX = 1024,
    SFI_POOL_CLASSES = SFI_POOL_MAX / 32,
    SFI_LINE = 64,
    SFI_SLAB_BYTES = 16 * 1024,
    SFI_SLAB_OBJECTS = SFI_SLAB_BYTES / 32, /* at most */
    SFI_LARGE_MAX = 256 * 1024,             /* larger ones are not kept */
    SFI_LARGE_CLASSES = 32                  /* four for each doubling above SFI_POOL_MAX */
};

struct sfi_chunk;

/* In front of its objects. */
struct sfi_slab {
    struct sfi_slab *next, *previous; /* among partial or spare ones */
    struct sfi_chunk *chunk;
    void *free;    /* linked through their first word */
    uint32_t live; /* objects that are out, and one more while it is current */
    uint32_t capacity;
    uint16_t class;
    uint8_t is_partial;
};

struct sfi_slab_list {
    struct sfi_slab *first, *last;
};

struct sfi_pool {
    const struct sfi_sys *sys;
    unsigned shift; /* classes are 1 << shift bytes apart */
    uint32_t classes; /* that have a slab */
    struct sfi_slab *current[SFI_POOL_CLASSES]; /* `none` at first, which is always empty */
    struct sfi_slab_list partial[SFI_POOL_CLASSES];
    struct sfi_slab_list spare;
    struct sfi_chunk *chunks;
    void *large[SFI_LARGE_CLASSES]; /* kept ones, linked through their first word */
    uint64_t used, kept, keep_max;  /* bytes */
    uint32_t dropped, looked;       /* where to go on */
    struct sfi_slab *none;
};

/* `step`: 32 or 64. */
void sfi_pool_init(struct sfi_pool *pool, const struct sfi_sys *sys, unsigned step);
void sfi_pool_fini(struct sfi_pool *pool);

/* A slab that has given up an eighth of its objects or more, whose others find room elsewhere in
 * the pool; NULL: none was found.  It takes part in nothing until it is empty, or given back with
 * sfi_pool_unsparse(). The objects in it are listed in `objects`, SFI_SLAB_OBJECTS places, and
 * counted in `*count`: the owner allocates others for them, and frees them. */
struct sfi_slab *sfi_pool_sparse(struct sfi_pool *pool, void **objects, uint32_t *count);
void sfi_pool_unsparse(struct sfi_pool *pool, struct sfi_slab *slab);

/* The slow ways of the functions below. */
void *sfi_pool_refill(struct sfi_pool *pool, size_t size);
void sfi_pool_returned(struct sfi_pool *pool, struct sfi_slab *slab);
void *sfi_pool_alloc_large(struct sfi_pool *pool, size_t size);
void sfi_pool_free_large(struct sfi_pool *pool, void *object, size_t size);

static inline size_t sfi_pool_class(const struct sfi_pool *pool, size_t size)
{
    return (size - 1) >> pool->shift;
}

/* Rounded up to the next of four steps between powers of two. */
static inline size_t sfi_pool_large_bytes(size_t size)
{
    unsigned highest = 63 - (unsigned)__builtin_clzll(size - 1);
    size_t step = (size_t)1 << (highest - 2);
    return size <= SFI_LARGE_MAX ? (size + step - 1) & ~(step - 1) : size;
}

/* The bytes that an object of this size really takes. */
static inline size_t sfi_pool_bytes(const struct sfi_pool *pool, size_t size)
{
    return size <= SFI_POOL_MAX ? (sfi_pool_class(pool, size) + 1) << pool->shift
                                : sfi_pool_large_bytes(size);
}

static inline struct sfi_slab *sfi_slab_of(void *object)
{
    return (struct sfi_slab *)((char *)object - ((uintptr_t)object & (SFI_SLAB_BYTES - 1)));
}

static inline void *sfi_pool_alloc(struct sfi_pool *pool, size_t size)
{
    if (size > SFI_POOL_MAX)
        return sfi_pool_alloc_large(pool, size);
    struct sfi_slab *slab = pool->current[sfi_pool_class(pool, size)];
    void *object = slab->free;
    if (!object)
        return sfi_pool_refill(pool, size);
    slab->free = *(void **)object;
    slab->live++;
    return object;
}

static inline void sfi_pool_free(struct sfi_pool *pool, void *object, size_t size)
{
    if (size > SFI_POOL_MAX) {
        sfi_pool_free_large(pool, object, size);
        return;
    }
    struct sfi_slab *slab = sfi_slab_of(object);
    void *others = slab->free;
    *(void **)object = others;
    slab->free = object;
    if (--slab->live == 0 || !others)
        sfi_pool_returned(pool, slab);
}

#endif
