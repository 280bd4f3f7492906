/* key_order.h - many keys, handed out in order, without sorting more of them than are asked for.
 *
 *     add() them all -> next() -> next() -> ...
 *
 * Incremental quicksort (Paredes and Navarro, "Optimal Incremental Sorting", 2006): a stack holds the
 * ends of the parts that are still unsorted, and only the foremost part is partitioned further.  The
 * first of n keys costs about 2n comparisons, each later one little, so that a long list can be worked
 * off in slices without one long pause.  Keys are compared by eight bytes at a time (multikey quicksort,
 * Bentley and Sedgewick 1997), since they begin alike: a type's number, an id's first letters.  What all of
 * them begin with is known when they were added, and passed over: else the first of n keys would fetch n keys
 * again, one look into distant memory each, to find the bytes that differ.
 *
 * (1) Keys are named by a number, their item; `key_of` finds the bytes.  The same item must have the
 *     same bytes at every call, though not at the same address.
 * (2) Order is LMDB's: bytes, then size.  Of items with equal keys only the greatest, that is the
 *     newest, is handed out.
 * (3) refs[0, sorted) are in their final places; refs[0, next) were handed out or passed over.
 * (4) All keys begin with the first `common` bytes of the one that was added first.  Until next() each ref's
 *     prefix is what it was loaded as, at the `common` of that time, which only sinks; then all are moved to
 *     the last one, without a look at the keys, since what a ref lacks there is common to all before it.
 * (5) Ids chosen by strangers may defeat the choice of pivots: when the stack is full the foremost part
 *     is sorted by heapsort.
 *
 * next() allocates nothing. */
#ifndef SFI_STORE_KEY_ORDER_H
#define SFI_STORE_KEY_ORDER_H

#include "base/sys.h"
#include "statefun.h"
#include "store/store.h"

typedef sf_bytes sfi_key_of(void *ctx, uint32_t item);

struct sfi_key_ref {
    uint64_t prefix; /* bytes of the key as a number; which ones, the part says */
    uint32_t item;
    uint32_t is_older; /* a newer item with the same key lies before it; until next(): see (4) */
};

enum { SFI_ORDER_PARTS = 96 };

struct sfi_key_part {
    uint32_t end;
    uint16_t at;        /* the prefixes start at this byte of the key */
    uint16_t is_loaded; /* else at the part before it */
};

struct sfi_key_order {
    const struct sfi_sys *sys;
    struct sfi_key_ref *refs;
    uint32_t count, capacity, next, sorted;
    uint32_t common;
    int is_begun;                     /* next() was called */
    unsigned char first[SFI_KEY_MAX]; /* the key that was added first */
    int part_count;
    struct sfi_key_part parts[SFI_ORDER_PARTS]; /* the last one is foremost */
};

void sfi_key_order_init(struct sfi_key_order *order, const struct sfi_sys *sys);
void sfi_key_order_fini(struct sfi_key_order *order);
/* Empty again; the memory is kept. */
void sfi_key_order_reset(struct sfi_key_order *order);
/* Room for `more` items: add() cannot fail then.  0 or SF_ENOMEM. */
int sfi_key_order_reserve(struct sfi_key_order *order, uint32_t more);
/* Not after next(). */
void sfi_key_order_add(struct sfi_key_order *order, uint32_t item, sf_bytes key);
/* 1: the next key's newest item; 0: there are no more. */
int sfi_key_order_next(struct sfi_key_order *order, sfi_key_of *key_of, void *ctx,
                       uint32_t *out_item);

/* An item that next() will probably hand out before long, to be asked of memory early; 0: nobody knows. */
static inline int sfi_key_order_guess(const struct sfi_key_order *order, uint32_t ahead,
                                      uint32_t *out_item)
{
    if (order->next + ahead >= order->count)
        return 0;
    *out_item = order->refs[order->next + ahead].item;
    return 1;
}

/* Back to an earlier value of `next`: what was handed out since then comes again. */
static inline void sfi_key_order_rewind(struct sfi_key_order *order, uint32_t next)
{
    order->next = next;
}

/* LMDB's order: negative, 0 or positive. */
int sfi_key_compare(sf_bytes a, sf_bytes b);

#endif
