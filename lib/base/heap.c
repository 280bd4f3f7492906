#include "base/heap.h"

#include "statefun.h"

void sfi_heap_init(struct sfi_heap *heap, const struct sfi_sys *sys)
{
    *heap = (struct sfi_heap){.sys = sys};
}

void sfi_heap_fini(struct sfi_heap *heap)
{
    sfi_free(heap->sys, heap->nodes);
    *heap = (struct sfi_heap){.sys = heap->sys};
}

static int earlier(const struct sfi_heap_node *a, const struct sfi_heap_node *b)
{
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void place(struct sfi_heap *heap, size_t position, struct sfi_heap_node *node)
{
    heap->nodes[position] = node;
    node->position = position;
}

static void sift_up(struct sfi_heap *heap, size_t position, struct sfi_heap_node *node)
{
    for (; position > 1 && earlier(node, heap->nodes[position / 2]); position /= 2)
        place(heap, position, heap->nodes[position / 2]);
    place(heap, position, node);
}

static void sift_down(struct sfi_heap *heap, size_t position, struct sfi_heap_node *node)
{
    for (size_t child; (child = 2 * position) <= heap->count; position = child) {
        if (child < heap->count && earlier(heap->nodes[child + 1], heap->nodes[child]))
            child++;
        if (!earlier(heap->nodes[child], node))
            break;
        place(heap, position, heap->nodes[child]);
    }
    place(heap, position, node);
}

int sfi_heap_reserve(struct sfi_heap *heap, uint32_t count)
{
    if ((uint64_t)count + 1 <= heap->capacity)
        return 0;
    void *nodes = sfi_grow(heap->sys, heap->nodes, &heap->capacity, (uint64_t)count + 1, 16,
                           sizeof *heap->nodes);
    if (!nodes)
        return SF_ENOMEM;
    heap->nodes = nodes;
    return 0;
}

int sfi_heap_push(struct sfi_heap *heap, struct sfi_heap_node *node, uint64_t due)
{
    if (sfi_heap_reserve(heap, heap->count + 1) < 0)
        return SF_ENOMEM;
    node->due = due;
    node->order = heap->pushed++;
    sift_up(heap, ++heap->count, node);
    return 0;
}

void sfi_heap_remove(struct sfi_heap *heap, struct sfi_heap_node *node)
{
    size_t position = node->position;
    if (position == SFI_HEAP_OUT)
        return;
    struct sfi_heap_node *last = heap->nodes[heap->count--];
    node->position = SFI_HEAP_OUT;
    if (last == node)
        return;
    if (position > 1 && earlier(last, heap->nodes[position / 2]))
        sift_up(heap, position, last);
    else
        sift_down(heap, position, last);
}
