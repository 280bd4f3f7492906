#include "actor/actor.h"

#include <string.h>

#include "actor/key.h"
#include "base/err.h"
#include "store/record.h"

/* The hash lies beside the pointer, so that probing touches no actor but the right one. */
struct sfi_actor_place {
    struct sfi_actor *actor;
    uint64_t hash;
};

enum { PLACES_MIN = 64, ROW_BYTES = 64 /* key, header and op of a row, roughly */ };

static int no_memory(void)
{
    return sfi_err(SF_ENOMEM, "out of memory");
}

void sfi_actors_init(struct sfi_actors *actors, const struct sfi_sys *sys)
{
    *actors = (struct sfi_actors){.sys = sys};
    actors->key.low = sys->random(sys->ctx);
    actors->key.high = sys->random(sys->ctx);
}

static void actor_free(const struct sfi_sys *sys, struct sfi_actor *actor)
{
    for (struct sfi_slot *slot = actor->slots, *next; slot; slot = next) {
        next = slot->next;
        sfi_free(sys, slot->data);
        sfi_free(sys, slot);
    }
    sfi_free(sys, actor->state);
    sfi_free(sys, actor);
}

void sfi_actors_fini(struct sfi_actors *actors)
{
    for (size_t i = 0; i < actors->capacity; i++)
        if (actors->places[i].actor)
            actor_free(actors->sys, actors->places[i].actor);
    sfi_free(actors->sys, actors->places);
    *actors = (struct sfi_actors){.sys = actors->sys};
}

/* -- the table ----------------------------------------------------------------------------------- */

static size_t free_place(const struct sfi_actor_place *places, size_t capacity, uint64_t hash)
{
    size_t at = hash & (capacity - 1);
    while (places[at].actor)
        at = (at + 1) & (capacity - 1);
    return at;
}

static int actors_grow(struct sfi_actors *actors)
{
    size_t capacity = actors->capacity ? actors->capacity * 2 : PLACES_MIN;
    struct sfi_actor_place *places = sfi_zalloc(actors->sys, capacity * sizeof *places);
    if (!places)
        return SF_ENOMEM;
    for (size_t i = 0; i < actors->capacity; i++)
        if (actors->places[i].actor)
            places[free_place(places, capacity, actors->places[i].hash)] = actors->places[i];
    sfi_free(actors->sys, actors->places);
    actors->places = places;
    actors->capacity = capacity;
    return 0;
}

static struct sfi_actor *actor_new(const struct sfi_sys *sys, struct sfi_type *type, const void *id,
                                   size_t id_size)
{
    struct sfi_actor *actor = sfi_zalloc(sys, sizeof *actor + id_size + 1);
    if (!actor)
        return NULL;
    actor->type = type;
    actor->id_size = (uint8_t)id_size;
    memcpy(actor->id, id, id_size);
    return actor;
}

static int is_at(const struct sfi_actor *actor, const struct sfi_type *type, const void *id,
                 size_t id_size)
{
    return actor->type == type && actor->id_size == id_size && memcmp(actor->id, id, id_size) == 0;
}

struct sfi_actor *sfi_actors_get(struct sfi_actors *actors, struct sfi_type *type, const void *id,
                                 size_t id_size)
{
    uint64_t hash = sfi_hash(&actors->key, type->number, id, id_size);
    size_t mask = actors->capacity - 1;
    if (actors->capacity)
        for (size_t at = hash & mask; actors->places[at].actor; at = (at + 1) & mask)
            if (actors->places[at].hash == hash &&
                is_at(actors->places[at].actor, type, id, id_size))
                return actors->places[at].actor;
    if (actors->count * 4 >= actors->capacity * 3 && actors_grow(actors) < 0)
        return NULL;
    struct sfi_actor *actor = actor_new(actors->sys, type, id, id_size);
    if (!actor)
        return NULL;
    actors->places[free_place(actors->places, actors->capacity, hash)] =
        (struct sfi_actor_place){actor, hash};
    actors->count++;
    return actor;
}

/* -- loading ------------------------------------------------------------------------------------- */

/* The old bytes are copied: what we lend is aligned, the page they lie in is not. */
static int migrate(const struct sfi_sys *sys, const struct sfi_type *type, uint32_t version,
                   sf_bytes old, void *state)
{
    void *copy = sfi_alloc(sys, old.size);
    if (!copy)
        return no_memory();
    memcpy(copy, old.data, old.size);
    int refused = type->desc.state_migrate(version, SF_BYTES(copy, old.size), state);
    sfi_free(sys, copy);
    if (refused)
        return sfi_err(SF_EFAILED, "type '%s': state_migrate refused version %u", type->name,
                       version);
    return 0;
}

int sfi_state_decode(const struct sfi_sys *sys, const struct sfi_type *type, sf_bytes key,
                     sf_bytes record, void *state)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_STATE, &payload);
    if (rc < 0)
        return rc;
    if (payload.size < 4)
        return sfi_err(SF_ECORRUPT, "a struct of type '%s' is cut short", type->name);
    uint32_t version = sfi_le32_get(payload.data), today = type->desc.state_version;
    sf_bytes bytes = SF_BYTES((const unsigned char *)payload.data + 4, payload.size - 4);
    if (version > today)
        return sfi_err(SF_ENEWER, "a struct of type '%s' has version %u, this is %u", type->name,
                       version, today);
    if (version < today && type->desc.state_migrate)
        return migrate(sys, type, version, bytes, state);
    if (version < today || bytes.size != type->desc.state_size)
        return sfi_err(SF_ECORRUPT, "a struct of type '%s' has %zu bytes in version %u", type->name,
                       bytes.size, version);
    memcpy(state, bytes.data, bytes.size);
    return 0;
}

int sfi_actor_load_state(struct sfi_actors *actors, struct sfi_store *store,
                         struct sfi_actor *actor)
{
    struct sfi_snapshot *snapshot;
    struct sfi_key key;
    sf_bytes record;
    void *state = sfi_zalloc(actors->sys, actor->type->desc.state_size);
    if (!state)
        return no_memory();
    int rc = sfi_snapshot_open(store, &snapshot);
    if (rc < 0)
        goto free_state;
    sfi_key_state(&key, actor->type->number, actor->id, actor->id_size, 0);
    rc = sfi_snapshot_get(snapshot, SFI_STATE, sfi_key_bytes(&key), &record);
    if (rc > 0)
        rc = sfi_state_decode(actors->sys, actor->type, sfi_key_bytes(&key), record, state);
    sfi_snapshot_close(snapshot);
    if (rc < 0)
        goto free_state;
    actor->state = state;
    return 0;
free_state:
    sfi_free(actors->sys, state);
    return rc;
}

static int copy_value(const struct sfi_sys *sys, sf_bytes key, sf_bytes record,
                      struct sfi_slot *slot)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_VALUE, &payload);
    if (rc < 0)
        return rc;
    unsigned char *data = sfi_alloc(sys, payload.size + 1);
    if (!data)
        return no_memory();
    memcpy(data, payload.data, payload.size);
    data[payload.size] = 0;
    slot->data = data;
    slot->size = payload.size;
    return 0;
}

int sfi_actor_load_slot(struct sfi_actors *actors, struct sfi_store *store, struct sfi_actor *actor,
                        uint16_t number, struct sfi_slot **out)
{
    struct sfi_snapshot *snapshot;
    struct sfi_key key;
    sf_bytes record;
    for (struct sfi_slot *slot = actor->slots; slot; slot = slot->next)
        if (slot->number == number) {
            *out = slot;
            return 0;
        }
    struct sfi_slot *slot = sfi_zalloc(actors->sys, sizeof *slot);
    if (!slot)
        return no_memory();
    slot->number = number;
    int rc = sfi_snapshot_open(store, &snapshot);
    if (rc < 0)
        goto free_slot;
    sfi_key_state(&key, actor->type->number, actor->id, actor->id_size, number);
    rc = sfi_snapshot_get(snapshot, SFI_STATE, sfi_key_bytes(&key), &record);
    if (rc > 0)
        rc = copy_value(actors->sys, sfi_key_bytes(&key), record, slot);
    sfi_snapshot_close(snapshot);
    if (rc < 0)
        goto free_slot;
    slot->next = actor->slots;
    actor->slots = slot;
    *out = slot;
    return 0;
free_slot:
    sfi_free(actors->sys, slot);
    return rc;
}

/* -- saving -------------------------------------------------------------------------------------- */

void sfi_actor_touch(struct sfi_actors *actors, struct sfi_actor *actor, size_t bytes)
{
    actors->dirty_bytes += bytes + ROW_BYTES;
    if (actor->dirty)
        return;
    actor->dirty = 1;
    actor->dirty_next = actors->dirty;
    actors->dirty = actor;
    actors->dirty_count++;
}

static int save_state(const struct sfi_actor *actor, struct sfi_batch *batch)
{
    struct sfi_key key;
    size_t size = SFI_RECORD_HEADER + 4 + actor->type->desc.state_size;
    sfi_key_state(&key, actor->type->number, actor->id, actor->id_size, 0);
    unsigned char *record = sfi_batch_put(batch, SFI_STATE, sfi_key_bytes(&key), size);
    if (!record)
        return no_memory();
    sfi_le32_put(record + SFI_RECORD_HEADER, actor->type->desc.state_version);
    memcpy(record + SFI_RECORD_HEADER + 4, actor->state, actor->type->desc.state_size);
    sfi_record_seal(record, size, SFI_RECORD_STATE, sfi_key_bytes(&key));
    return 0;
}

static int save_slot(const struct sfi_actor *actor, const struct sfi_slot *slot,
                     struct sfi_batch *batch)
{
    struct sfi_key key;
    size_t size = SFI_RECORD_HEADER + slot->size;
    sfi_key_state(&key, actor->type->number, actor->id, actor->id_size, slot->number);
    if (!slot->data)
        return sfi_batch_delete(batch, SFI_STATE, sfi_key_bytes(&key)) < 0 ? no_memory() : 0;
    unsigned char *record = sfi_batch_put(batch, SFI_STATE, sfi_key_bytes(&key), size);
    if (!record)
        return no_memory();
    memcpy(record + SFI_RECORD_HEADER, slot->data, slot->size);
    sfi_record_seal(record, size, SFI_RECORD_VALUE, sfi_key_bytes(&key));
    return 0;
}

int sfi_actors_save(const struct sfi_actors *actors, struct sfi_batch *batch)
{
    int rc = 0;
    for (struct sfi_actor *actor = actors->dirty; actor && rc == 0; actor = actor->dirty_next) {
        if (actor->state_dirty)
            rc = save_state(actor, batch);
        for (struct sfi_slot *slot = actor->slots; slot && rc == 0; slot = slot->next)
            if (slot->dirty)
                rc = save_slot(actor, slot, batch);
    }
    return rc;
}

void sfi_actors_cleaned(struct sfi_actors *actors)
{
    for (struct sfi_actor *actor = actors->dirty, *next; actor; actor = next) {
        next = actor->dirty_next;
        actor->dirty = actor->state_dirty = 0;
        actor->dirty_next = NULL;
        for (struct sfi_slot *slot = actor->slots; slot; slot = slot->next)
            slot->dirty = 0;
    }
    actors->dirty = NULL;
    actors->dirty_count = 0;
    actors->dirty_bytes = 0;
}
