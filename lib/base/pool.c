#include "base/pool.h"

enum { SLAB_BYTES = 64 * 1024 };

void sfi_pool_init(struct sfi_pool *pool, const struct sfi_sys *sys, unsigned step)
{
    *pool = (struct sfi_pool){.sys = sys, .shift = step == 32 ? 5 : 6};
}

void sfi_pool_fini(struct sfi_pool *pool)
{
    for (void *slab = pool->slabs, *next; slab; slab = next) {
        next = *(void **)slab;
        sfi_free(pool->sys, slab);
    }
    *pool = (struct sfi_pool){.sys = pool->sys, .shift = pool->shift};
}

void *sfi_pool_refill(struct sfi_pool *pool, size_t size)
{
    if (size > SFI_POOL_MAX)
        return sfi_alloc(pool->sys, size);
    size_t step = sfi_pool_bytes(pool, size);
    unsigned char *slab = sfi_alloc(pool->sys, SLAB_BYTES), *end = slab + SLAB_BYTES;
    if (!slab)
        return NULL;
    *(void **)slab = pool->slabs;
    pool->slabs = slab;
    unsigned char *at = slab + SFI_LINE - (uintptr_t)slab % SFI_LINE;
    for (; (size_t)(end - at) >= step; at += step)
        sfi_pool_free(pool, at, step);
    return sfi_pool_alloc(pool, size);
}
