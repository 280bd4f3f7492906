/* pool.h - memory for many objects of a few sizes.
 *
 * Freed objects are kept by size class and handed out again, so that a steady state allocates
 * nothing.  A pool has its own step between classes: 64 bytes keep every object on lines of its own, 32
 * waste less.  Objects above SFI_POOL_MAX come from the system.  One thread.
 *
 * Slabs start on a line of the cache and go back to the system only with the pool: memory that one class
 * has given up serves that class alone. */
#ifndef SFI_BASE_POOL_H
#define SFI_BASE_POOL_H

#include "base/sys.h"

enum { SFI_POOL_MAX = 1024, SFI_POOL_CLASSES = SFI_POOL_MAX / 32, SFI_LINE = 64 };

struct sfi_pool {
    const struct sfi_sys *sys;
    unsigned shift;               /* classes are 1 << shift bytes apart */
    void *free[SFI_POOL_CLASSES]; /* linked through their first word */
    void *slabs;                  /* likewise; freed only with the pool */
};

/* `step`: 32 or 64. */
void sfi_pool_init(struct sfi_pool *pool, const struct sfi_sys *sys, unsigned step);
void sfi_pool_fini(struct sfi_pool *pool);
void *sfi_pool_refill(struct sfi_pool *pool, size_t size);

static inline size_t sfi_pool_class(const struct sfi_pool *pool, size_t size)
{
    return (size - 1) >> pool->shift;
}

/* The bytes that an object of this size really takes. */
static inline size_t sfi_pool_bytes(const struct sfi_pool *pool, size_t size)
{
    return (sfi_pool_class(pool, size) + 1) << pool->shift;
}

static inline void *sfi_pool_alloc(struct sfi_pool *pool, size_t size)
{
    if (size <= SFI_POOL_MAX) {
        void **head = &pool->free[sfi_pool_class(pool, size)], *object = *head;
        if (object) {
            *head = *(void **)object;
            return object;
        }
    }
    return sfi_pool_refill(pool, size);
}

static inline void sfi_pool_free(struct sfi_pool *pool, void *object, size_t size)
{
    if (size > SFI_POOL_MAX) {
        sfi_free(pool->sys, object);
        return;
    }
    void **head = &pool->free[sfi_pool_class(pool, size)];
    *(void **)object = *head;
    *head = object;
}

#endif
