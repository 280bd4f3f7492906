#include "support/weighed.h"

#include <stdlib.h>

/* In front of each block. */
struct front {
    size_t size;
    void *from; /* what free() is told */
};

_Static_assert(sizeof(struct front) == 16, "what follows is aligned for every type");

_Atomic uint64_t weighed_live, weighed_most;

void weighed_reset(void)
{
    weighed_live = weighed_most = 0;
}

static void weigh(uint64_t more)
{
    uint64_t live = atomic_fetch_add(&weighed_live, more) + more;
    weighed_most = live > weighed_most ? live : weighed_most; /* near enough */
}

/* A block that was aligned is never made larger. */
void *weighed_resize(void *ctx, void *old, size_t size)
{
    struct front *front = old ? (struct front *)old - 1 : NULL;
    (void)ctx;
    weigh(size - (front ? front->size : 0));
    if (size == 0) {
        free(front ? front->from : NULL);
        return NULL;
    }
    front = realloc(front, size + sizeof *front);
    if (!front)
        abort();
    *front = (struct front){size, front};
    return front + 1;
}

void *weighed_aligned(void *ctx, size_t alignment, size_t size)
{
    char *from = aligned_alloc(alignment, size + alignment);
    (void)ctx;
    if (!from)
        abort();
    weigh(size);
    ((struct front *)(from + alignment))[-1] = (struct front){size, from};
    return from + alignment;
}
