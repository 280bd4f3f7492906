#include "run/lent.h"

#include <string.h>

#include "base/err.h"
#include "base/hash.h"
#include "run/runtime.h"

enum { FEW = 8, BUCKETS_MIN = 64 };

/* Few are looked through one by one. */
struct sfi_lents {
    struct sfi_lent **buckets; /* of more than a few */
    struct sfi_lent *all;
    uint32_t count, capacity; /* a power of two; 0: no buckets yet */
};

/* -- found again ------------------------------------------------------------------------------- */

static uint64_t hash_of(const struct sfi_work *work, const struct sfi_slot *slot, sf_bytes key)
{
    return sfi_hash(&work->rt->types.key, (uint32_t)((uintptr_t)slot >> 4), key.data, key.size);
}

static int is_of(const struct sfi_lent *lent, const struct sfi_slot *slot, sf_bytes key)
{
    return lent->map.slot == slot && !lent->is_cut && lent->key.size == key.size &&
           memcmp(lent->key.data, key.data, key.size) == 0;
}

struct sfi_lent *sfi_lent_find(const struct sfi_work *work, const struct sfi_slot *slot,
                               sf_bytes key)
{
    const struct sfi_lents *lents = work->lents;
    struct sfi_lent *lent = lents ? lents->all : NULL;
    if (!lents || lents->capacity == 0) {
        while (lent && !is_of(lent, slot, key))
            lent = lent->next_of_all;
        return lent;
    }
    lent = lents->buckets[hash_of(work, slot, key) & (lents->capacity - 1)];
    while (lent && !is_of(lent, slot, key))
        lent = lent->next;
    return lent;
}

static void link_in(struct sfi_lents *lents, struct sfi_lent *lent)
{
    uint64_t hash = hash_of(lent->map.work, lent->map.slot, lent->key);
    struct sfi_lent **bucket = &lents->buckets[hash & (lents->capacity - 1)];
    lent->next = *bucket;
    *bucket = lent;
}

/* Buckets for twice as many; the former ones stay in the arena, half as large. */
static int grow(struct sfi_work *work, struct sfi_lents *lents)
{
    uint32_t capacity = lents->capacity ? lents->capacity * 2 : BUCKETS_MIN;
    size_t size = capacity * sizeof *lents->buckets;
    struct sfi_lent **buckets = sfi_arena_alloc(&work->arena, size);
    if (!buckets)
        return sfi_work_no_memory(work);
    memset(buckets, 0, size);
    lents->buckets = buckets;
    lents->capacity = capacity;
    for (struct sfi_lent *lent = lents->all; lent; lent = lent->next_of_all)
        link_in(lents, lent);
    return sfi_work_charge(work, size);
}

static struct sfi_lents *lents_of(struct sfi_work *work)
{
    if (work->lents)
        return work->lents;
    struct sfi_lents *lents = sfi_arena_alloc(&work->arena, sizeof *lents);
    if (!lents) {
        sfi_work_no_memory(work);
        return NULL;
    }
    *lents = (struct sfi_lents){.count = 0};
    return work->lents = lents;
}

/* -- lent -------------------------------------------------------------------------------------- */

static struct sfi_lent *lend(const struct sfi_map *map, const struct sfi_binding *binding,
                             sf_bytes key, sf_bytes bytes)
{
    struct sfi_work *work = map->work;
    struct sfi_lents *lents = lents_of(work);
    if (!lents || (lents->count >= FEW && lents->count >= lents->capacity && grow(work, lents) < 0))
        return NULL;
    struct sfi_lent *lent = sfi_arena_alloc(&work->arena, sizeof *lent);
    void *name = sfi_work_lend(work, key), *old = sfi_work_lend(work, bytes);
    if (!lent || !name || !old) {
        sfi_work_no_memory(work);
        return NULL;
    }
    *lent = (struct sfi_lent){.next_of_all = lents->all,
                              .map = *map,
                              .binding = binding,
                              .key = SF_BYTES(name, key.size),
                              .bytes = (void *)(uintptr_t)bytes.data,
                              .old = old};
    lents->all = lent;
    lents->count++;
    if (lents->capacity)
        link_in(lents, lent);
    return lent;
}

/* No snapshot is open, and the struct lies in the arena: so the application may also be left. */
static int migrate(const struct sfi_map *map, const struct sfi_binding *binding,
                   const struct sfi_layouts *layouts, const struct sfi_entry *entry, void *fresh)
{
    struct sfi_turns *turns = &map->work->rt->turns;
    struct sfi_type *type = map->actor->type;
    turns->migrating = 1;
    int rc = sfi_entry_migrate(type->name, binding, layouts, entry, fresh);
    turns->migrating = 0;
    if (rc == 0)
        type->refused = 0;
    else
        sfi_work_doom(map->work, SFI_HOLD, rc, "%s", sf_errmsg());
    return rc;
}

int sfi_lent_upgrade(const struct sfi_map *map, const struct sfi_binding *binding,
                     const struct sfi_entry *entry, sf_bytes *out)
{
    const struct sfi_type *type = map->actor->type;
    const struct sfi_layouts *layouts = &type->slots[binding->number - 1].layouts;
    size_t size = binding->desc.struct_size;
    *out = entry->bytes;
    int rc = sfi_entry_check(type->name, binding, layouts, entry);
    if (rc <= 0)
        return rc < 0 ? sfi_work_unreadable(map->work, rc) : 0;
    unsigned char *fresh = sfi_arena_alloc(&map->work->arena, size + 1);
    if (!fresh)
        return sfi_work_no_memory(map->work);
    memset(fresh, 0, size + 1);
    *out = SF_BYTES(fresh, size);
    return migrate(map, binding, layouts, entry, fresh);
}

/* 1: there, as a struct of today, or as bytes; 0; negative. */
static int get_today(const struct sfi_map *map, const struct sfi_binding *binding, sf_bytes key,
                     sf_bytes *out, uint32_t *form)
{
    struct sfi_entry entry;
    int rc = sfi_map_get(map, key, &entry);
    if (rc <= 0)
        return rc;
    *form = entry.form;
    rc = sfi_lent_upgrade(map, binding, &entry, out);
    return rc < 0 ? rc : 1;
}

int sfi_lent_get(const struct sfi_map *map, const struct sfi_binding *binding, sf_bytes key,
                 sf_bytes *out)
{
    const struct sfi_lent *lent = sfi_lent_find(map->work, map->slot, key);
    uint32_t form;
    if (!lent)
        return get_today(map, binding, key, out, &form);
    *out = SF_BYTES(lent->bytes, binding->desc.struct_size);
    return 1;
}

/* -- written ----------------------------------------------------------------------------------- */

static int store(const struct sfi_map *map, const struct sfi_binding *binding, sf_bytes key,
                 sf_bytes bytes)
{
    struct sfi_entry entry = {.version = binding->desc.struct_version, .bytes = bytes};
    int rc = sfi_work_note_struct(map->work, map->actor, binding);
    return rc < 0 ? rc : sfi_map_put(map, key, &entry);
}

static int make_entry(const struct sfi_map *map, const struct sfi_binding *binding, sf_bytes key,
                      sf_bytes *out)
{
    size_t size = binding->desc.struct_size;
    void *zeroes = sfi_arena_alloc(&map->work->arena, size + 1);
    if (!zeroes)
        return sfi_work_no_memory(map->work);
    memset(zeroes, 0, size + 1);
    *out = SF_BYTES(zeroes, size);
    return store(map, binding, key, *out);
}

void *sfi_lent_entry(const struct sfi_map *map, const struct sfi_binding *binding, sf_bytes key,
                     int make)
{
    sf_bytes bytes;
    struct sfi_lent *lent = sfi_lent_find(map->work, map->slot, key);
    if (lent)
        return lent->bytes;
    uint32_t form = 0;
    int rc = get_today(map, binding, key, &bytes, &form);
    if (rc == 0 && make)
        rc = make_entry(map, binding, key, &bytes) < 0 ? -1 : 1;
    lent = rc > 0 ? lend(map, binding, key, bytes) : NULL;
    if (!lent)
        return NULL;
    lent->form = form;
    return lent->bytes;
}

int sfi_lent_put(const struct sfi_map *map, const struct sfi_binding *binding, sf_bytes key,
                 sf_bytes bytes)
{
    struct sfi_lent *lent = sfi_lent_find(map->work, map->slot, key);
    if (lent) { /* `bytes` may be what was lent */
        memmove(lent->bytes, bytes.data, bytes.size);
        memcpy(lent->old, lent->bytes, bytes.size);
        bytes.data = lent->bytes;
    }
    return store(map, binding, key, bytes);
}

int sfi_lent_delete(const struct sfi_map *map, sf_bytes key)
{
    struct sfi_lent *lent = sfi_lent_find(map->work, map->slot, key);
    if (lent)
        lent->is_cut = 1;
    return sfi_map_delete(map, key);
}

void sfi_lents_cut(struct sfi_work *work, const struct sfi_actor *actor,
                   const struct sfi_slot *slot)
{
    struct sfi_lent *lent = work->lents ? work->lents->all : NULL;
    for (; lent; lent = lent->next_of_all)
        lent->is_cut |= slot ? lent->map.slot == slot : lent->map.actor == actor;
}

/* It is there, so it need not be looked for, unless it has a time. */
static int write_lent(const struct sfi_lent *lent)
{
    const struct sfi_map *map = &lent->map;
    size_t size = lent->binding->desc.struct_size;
    struct sfi_entry entry = {.version = lent->binding->desc.struct_version,
                              .bytes = SF_BYTES(lent->bytes, size)};
    if (lent->is_cut || memcmp(lent->bytes, lent->old, size) == 0)
        return 0;
    int rc = sfi_work_note_struct(map->work, map->actor, lent->binding);
    if (rc < 0)
        return rc;
    return lent->form & SFI_ENTRY_TOUCHED ? sfi_map_put(map, lent->key, &entry)
                                          : sfi_map_replace(map, lent->key, &entry);
}

int sfi_lents_write(struct sfi_work *work)
{
    int rc = 0;
    for (const struct sfi_lent *lent = work->lents->all; lent && rc == 0; lent = lent->next_of_all)
        rc = write_lent(lent);
    return rc;
}
