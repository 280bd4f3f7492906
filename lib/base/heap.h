/* heap.h - a binary heap of things that are due, earliest first.
 *
 * Intrusive: the node lies in the thing.  Ties come out in the order they went in, by `order`. */
#ifndef SFI_BASE_HEAP_H
#define SFI_BASE_HEAP_H

#include "base/sys.h"

enum { SFI_HEAP_OUT = 0 }; /* position of a node that is in no heap */

struct sfi_heap_node {
    uint64_t due, order;
    size_t position; /* 1-based */
};

struct sfi_heap {
    const struct sfi_sys *sys;
    struct sfi_heap_node **nodes; /* nodes[1] is the earliest */
    uint32_t count, capacity;
    uint64_t pushed;
};

void sfi_heap_init(struct sfi_heap *heap, const struct sfi_sys *sys);
void sfi_heap_fini(struct sfi_heap *heap);
/* Room for so many nodes, so that pushing them cannot fail.  0 or SF_ENOMEM. */
int sfi_heap_reserve(struct sfi_heap *heap, uint32_t count);
int sfi_heap_push(struct sfi_heap *heap, struct sfi_heap_node *node, uint64_t due);
void sfi_heap_remove(struct sfi_heap *heap, struct sfi_heap_node *node); /* not in it: no effect */

static inline struct sfi_heap_node *sfi_heap_first(const struct sfi_heap *heap)
{
    return heap->count ? heap->nodes[1] : NULL;
}

#endif
