#include "lmdb/index.h"

#include "base/err.h"

enum { CAPACITY_MIN = 1024, HEADS_MIN = 1024 };

void sfi_log_index_init(struct sfi_log_index *index, const struct sfi_sys *sys)
{
    *index = (struct sfi_log_index){.sys = sys};
}

void sfi_log_index_fini(struct sfi_log_index *index)
{
    sfi_free(index->sys, index->places);
    sfi_free(index->sys, index->heads);
    sfi_log_index_init(index, index->sys);
}

static uint32_t *head_of(const struct sfi_log_index *index, uint32_t hash)
{
    return &index->heads[hash & (index->head_count - 1)];
}

static void link_entry(struct sfi_log_index *index, uint32_t at)
{
    uint32_t *head = head_of(index, index->places[at].hash);
    index->places[at].older = *head;
    *head = at;
}

/* All chains anew, oldest entry first, so that each runs from newer to older again. */
static int more_heads(struct sfi_log_index *index, uint32_t need)
{
    uint32_t count = index->head_count ? index->head_count : HEADS_MIN;
    while (count < need)
        count *= 2;
    if (count == index->head_count)
        return 0;
    uint32_t *heads = sfi_alloc(index->sys, count * sizeof *heads);
    if (!heads)
        return SF_ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        heads[i] = SFI_INDEX_NONE;
    sfi_free(index->sys, index->heads);
    index->heads = heads;
    index->head_count = count;
    for (uint32_t i = 0; i < index->count; i++)
        link_entry(index, i);
    return 0;
}

static int more_places(struct sfi_log_index *index, uint32_t need)
{
    if (need <= index->capacity)
        return 0;
    void *places = sfi_grow(index->sys, index->places, &index->capacity, need, CAPACITY_MIN,
                            sizeof *index->places);
    if (!places)
        return SF_ENOMEM;
    index->places = places;
    return 0;
}

int sfi_log_index_reserve(struct sfi_log_index *index, uint32_t more)
{
    uint64_t need = (uint64_t)index->count + more;
    if (need >= SFI_INDEX_NONE / 2 || more_places(index, (uint32_t)need) < 0 ||
        more_heads(index, (uint32_t)need / 2) < 0)
        return sfi_err(SF_ENOMEM, "out of memory");
    return 0;
}

int sfi_log_index_resemble(struct sfi_log_index *index, const struct sfi_log_index *other)
{
    if (more_heads(index, other->head_count) < 0)
        return sfi_err(SF_ENOMEM, "out of memory");
    return 0;
}

void sfi_log_index_add(struct sfi_log_index *index, uint32_t hash, uint32_t chunk, uint32_t offset)
{
    index->places[index->count] =
        (struct sfi_log_place){.hash = hash, .chunk = chunk, .offset = offset};
    link_entry(index, index->count++);
}

void sfi_log_index_rollback(struct sfi_log_index *index, uint32_t count)
{
    while (index->count > count) {
        const struct sfi_log_place *place = &index->places[--index->count];
        *head_of(index, place->hash) = place->older;
    }
}

/* Where to begin: past `before`, if that is still an entry of this chain. */
static uint32_t start_of(const struct sfi_log_index *index, uint32_t hash, uint32_t before)
{
    if (before < index->count && index->places[before].hash == hash)
        return index->places[before].older;
    return index->head_count ? *head_of(index, hash) : SFI_INDEX_NONE;
}

uint32_t sfi_log_index_find(const struct sfi_log_index *index, uint32_t hash, uint32_t before)
{
    uint32_t at = start_of(index, hash, before);
    while (at != SFI_INDEX_NONE && (at >= before || index->places[at].hash != hash))
        at = index->places[at].older;
    return at;
}
