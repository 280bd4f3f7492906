/* filter.h - is a key surely not in a set?  Asked before the set is searched, where most keys are
 * not in it.
 *
 * A bit for each hash (Bloom, "Space/time trade-offs in hash coding with allowable errors", 1970,
 * with one function): what was added is always found; of the others one in SFI_FILTER_BITS / size
 * is taken for one.  Nothing is taken out but all of it.
 *
 * (1) Its memory is asked for when it is first used, and kept; without memory it says "perhaps" to
 *     all.
 * (2) Emptying it costs nothing if nothing was added. */
#ifndef SFI_STORE_FILTER_H
#define SFI_STORE_FILTER_H

#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "base/sys.h"
#include "statefun.h"

enum { SFI_FILTER_BITS = 1 << 20 };

struct sfi_filter {
    uint64_t *bits; /* ours */
    int is_used;    /* else it knows nothing, and says so */
};

static inline uint64_t sfi_filter_hash(int table, sf_bytes key)
{
    const struct sfi_hash_key seed = {0, 0};
    return sfi_hash(&seed, (uint64_t)table, key.data, key.size) & (SFI_FILTER_BITS - 1);
}

static inline int sfi_filter_may_have(const struct sfi_filter *filter, int table, sf_bytes key)
{
    if (!filter->is_used)
        return 1;
    uint64_t hash = sfi_filter_hash(table, key);
    return filter->bits[hash / 64] >> hash % 64 & 1;
}

static inline void sfi_filter_add(struct sfi_filter *filter, int table, sf_bytes key)
{
    uint64_t hash = sfi_filter_hash(table, key);
    filter->bits[hash / 64] |= UINT64_C(1) << hash % 64;
}

/* From now on it is asked: all that is in the set is to be added. */
static inline void sfi_filter_begin(struct sfi_filter *filter, const struct sfi_sys *sys)
{
    if (!filter->bits)
        filter->bits = sfi_zalloc(sys, SFI_FILTER_BITS / 8);
    filter->is_used = filter->bits != NULL;
}

static inline void sfi_filter_empty(struct sfi_filter *filter)
{
    if (filter->is_used)
        memset(filter->bits, 0, SFI_FILTER_BITS / 8);
    filter->is_used = 0;
}

#endif
