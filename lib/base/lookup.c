#include "base/lookup.h"

#include "statefun.h"

enum { PLACES_MIN = 16 };

void sfi_lookup_init(struct sfi_lookup *lookup, const struct sfi_sys *sys)
{
    *lookup = (struct sfi_lookup){.sys = sys};
}

void sfi_lookup_fini(struct sfi_lookup *lookup)
{
    sfi_free(lookup->sys, lookup->places);
    *lookup = (struct sfi_lookup){.sys = lookup->sys};
}

static void place(struct sfi_lookup *lookup, struct sfi_lookup_place filled)
{
    uint32_t mask = lookup->capacity - 1, at = (uint32_t)filled.hash & mask;
    while (lookup->places[at].thing)
        at = (at + 1) & mask;
    lookup->places[at] = filled;
}

int sfi_lookup_reserve(struct sfi_lookup *lookup)
{
    struct sfi_lookup old = *lookup;
    if ((uint64_t)old.count * 4 < (uint64_t)old.capacity * 3)
        return 0;
    if (old.capacity > UINT32_MAX / 2)
        return SF_ENOMEM;
    uint32_t capacity = old.capacity ? old.capacity * 2 : PLACES_MIN;
    struct sfi_lookup_place *places = sfi_zalloc(old.sys, capacity * sizeof *places);
    if (!places)
        return SF_ENOMEM;
    lookup->places = places;
    lookup->capacity = capacity;
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.places[i].thing)
            place(lookup, old.places[i]);
    sfi_free(old.sys, old.places);
    return 0;
}

void sfi_lookup_add(struct sfi_lookup *lookup, uint64_t hash, void *thing)
{
    place(lookup, (struct sfi_lookup_place){thing, hash});
    lookup->count++;
}

/* Algorithm R: what was pushed past the place that becomes free moves back into it, so that no
 * search ends too early. */
static void empty_place(struct sfi_lookup *lookup, uint32_t free_at)
{
    struct sfi_lookup_place *places = lookup->places;
    uint32_t mask = lookup->capacity - 1;
    for (uint32_t at = (free_at + 1) & mask; places[at].thing; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)places[at].hash & mask;
        if (((at - home) & mask) < ((at - free_at) & mask))
            continue; /* its home lies past the free place */
        places[free_at] = places[at];
        free_at = at;
    }
    places[free_at] = (struct sfi_lookup_place){NULL, 0};
    lookup->count--;
}

void sfi_lookup_remove(struct sfi_lookup *lookup, uint64_t hash, const void *thing)
{
    void *met;
    for (uint32_t at = 0; (met = sfi_lookup_next(lookup, hash, &at));) {
        if (met != thing)
            continue;
        empty_place(lookup, (uint32_t)(hash + at - 1) & (lookup->capacity - 1));
        return;
    }
}
