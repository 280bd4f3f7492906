/* pool.h - memory for many short-lived objects of a few sizes.
 *
 * Freed objects are kept by size class and handed out again, so that a steady state allocates
 * nothing.  Objects above the largest class come from the system.  One thread. */
#ifndef SFI_BASE_POOL_H
#define SFI_BASE_POOL_H

#include "base/sys.h"

enum { SFI_POOL_CLASSES = 16, SFI_POOL_STEP = 64, SFI_POOL_MAX = SFI_POOL_CLASSES * SFI_POOL_STEP };

struct sfi_pool {
    const struct sfi_sys *sys;
    void *free[SFI_POOL_CLASSES]; /* linked through their first word */
    void *slabs;                  /* likewise; freed only with the pool */
};

void sfi_pool_init(struct sfi_pool *pool, const struct sfi_sys *sys);
void sfi_pool_fini(struct sfi_pool *pool);
void *sfi_pool_refill(struct sfi_pool *pool, size_t size);

static inline size_t sfi_pool_class(size_t size)
{
    return (size - 1) / SFI_POOL_STEP;
}

static inline void *sfi_pool_alloc(struct sfi_pool *pool, size_t size)
{
    if (size <= SFI_POOL_MAX) {
        void **head = &pool->free[sfi_pool_class(size)], *object = *head;
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
    void **head = &pool->free[sfi_pool_class(size)];
    *(void **)object = *head;
    *head = object;
}

#endif
