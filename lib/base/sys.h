/* sys.h - everything the library takes from the machine, as one table.
 *
 * Clock, random numbers, memory, threads and fault points come only through here, so that a test can
 * own time and make any of them fail; only how long a thread sleeps (cond.h, latch.h) is the machine's.
 * The table is borrowed for the life of whatever was opened with it.  sfi_sys_default() is the real
 * machine.
 *
 * A fault point is a named place where the process may be killed or an operation pretended to fail:
 * `fault` returns 0 to go on, or a negative SF_E* which the caller treats as the failure of the
 * operation that follows.  In production it costs one indirect call at each store operation. */
#ifndef SFI_BASE_SYS_H
#define SFI_BASE_SYS_H

#include <stddef.h>
#include <stdint.h>

struct sfi_sys {
    void *ctx;
    void *(*resize)(void *ctx, void *old, size_t size); /* size 0 frees; old NULL allocates */
    /* At a multiple of `alignment`, a power of two of which `size` is a multiple; resize() frees it. */
    void *(*aligned)(void *ctx, size_t alignment, size_t size);
    uint64_t (*wall_ms)(void *ctx);
    uint64_t (*wall_us)(void *ctx); /* the same clock, for what must not be early by part of a millisecond */
    uint64_t (*mono_ns)(void *ctx);
    uint64_t (*coarse_ns)(void *ctx); /* the same clock, some milliseconds late, for a tenth of the price */
    uint64_t (*random)(void *ctx); /* 0, but for chance: there are no random numbers */
    /* The name, up to 15 characters, is what debuggers and profilers show. */
    int (*thread_start)(void *ctx, const char *name, void *(*run)(void *), void *arg,
                        uintptr_t *out_thread);
    void (*thread_join)(void *ctx, uintptr_t thread);
    int (*fault)(void *ctx, const char *point);
};

const struct sfi_sys *sfi_sys_default(void);

static inline void *sfi_alloc(const struct sfi_sys *sys, size_t size)
{
    return sys->resize(sys->ctx, NULL, size ? size : 1);
}

static inline void *sfi_alloc_aligned(const struct sfi_sys *sys, size_t alignment, size_t size)
{
    return sys->aligned(sys->ctx, alignment, size);
}

static inline void *sfi_resize(const struct sfi_sys *sys, void *old, size_t size)
{
    return sys->resize(sys->ctx, old, size ? size : 1);
}

static inline void sfi_free(const struct sfi_sys *sys, void *old)
{
    if (old)
        sys->resize(sys->ctx, old, 0);
}

void *sfi_zalloc(const struct sfi_sys *sys, size_t size);

/* Room for `need` items, more than `*capacity`, of `size` bytes in an array that grows by half, and to
 * `least` at first.  The array, moved perhaps; NULL: no memory, and it is as it was. */
void *sfi_grow(const struct sfi_sys *sys, void *items, uint32_t *capacity, uint64_t need,
               uint32_t least, size_t size);

static inline int sfi_fault(const struct sfi_sys *sys, const char *point)
{
    return sys->fault(sys->ctx, point);
}

#endif
