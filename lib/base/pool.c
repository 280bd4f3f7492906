#include "base/pool.h"

enum { SLAB_BYTES = 64 * 1024, SLAB_HEAD = 64 };

void sfi_pool_init(struct sfi_pool *pool, const struct sfi_sys *sys)
{
    *pool = (struct sfi_pool){.sys = sys};
}

void sfi_pool_fini(struct sfi_pool *pool)
{
    for (void *slab = pool->slabs, *next; slab; slab = next) {
        next = *(void **)slab;
        sfi_free(pool->sys, slab);
    }
    *pool = (struct sfi_pool){.sys = pool->sys};
}

void *sfi_pool_refill(struct sfi_pool *pool, size_t size)
{
    if (size > SFI_POOL_MAX)
        return sfi_alloc(pool->sys, size);
    size_t step = (sfi_pool_class(size) + 1) * SFI_POOL_STEP;
    unsigned char *slab = sfi_alloc(pool->sys, SLAB_BYTES);
    if (!slab)
        return NULL;
    *(void **)slab = pool->slabs;
    pool->slabs = slab;
    for (size_t at = SLAB_HEAD; at + step <= SLAB_BYTES; at += step)
        sfi_pool_free(pool, slab + at, step);
    return sfi_pool_alloc(pool, size);
}
