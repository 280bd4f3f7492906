/* lookup.h - finds things by a hash of their name, in a time that does not grow with their
 * number.
 *
 * Holds pointers beside their hashes and owns nothing: the caller computes the hash and says
 * which of the things under it is meant, since different names may share one.  Open addressing
 * with linear probing (Knuth, "The Art of Computer Programming" 3, 6.4), at most three quarters
 * full.
 *
 *      struct thing *thing;
 *      for (uint32_t at = 0; (thing = sfi_lookup_next(lookup, hash, &at));)
 *          if (strcmp(thing->name, name) == 0)
 *              return thing;
 *
 * Readers may run side by side; whoever changes it must be alone. */
#ifndef SFI_BASE_LOOKUP_H
#define SFI_BASE_LOOKUP_H

#include "base/sys.h"

struct sfi_lookup {
    const struct sfi_sys *sys;
    struct sfi_lookup_place {
        void *thing; /* NULL: free */
        uint64_t hash;
    } *places;
    uint32_t count, capacity; /* a power of two */
};

void sfi_lookup_init(struct sfi_lookup *lookup, const struct sfi_sys *sys);
void sfi_lookup_fini(struct sfi_lookup *lookup);

/* Room for one more, so that the next add cannot fail.  0 or SF_ENOMEM. */
int sfi_lookup_reserve(struct sfi_lookup *lookup);
void sfi_lookup_add(struct sfi_lookup *lookup, uint64_t hash, void *thing);
/* Not in it: no effect. */
void sfi_lookup_remove(struct sfi_lookup *lookup, uint64_t hash, const void *thing);

/* The things under a hash, one a call: `*at` is 0 at first.  NULL: there are no more. */
static inline void *sfi_lookup_next(const struct sfi_lookup *lookup, uint64_t hash, uint32_t *at)
{
    uint32_t mask = lookup->capacity - 1;
    while (lookup->capacity) {
        const struct sfi_lookup_place *place = &lookup->places[(hash + (*at)++) & mask];
        if (!place->thing || place->hash == hash)
            return place->thing;
    }
    return NULL;
}

#endif
