#include "actor/actor.h"

#include <string.h>

#include "actor/collection.h"
#include "actor/key.h"
#include "actor/list_head.h"
#include "actor/map_head.h"
#include "actor/state.h"
#include "actor/value_record.h"
#include "base/copy.h"
#include "base/err.h"
#include "base/expect.h"
#include "base/rare.h"
#include "store/record.h"

enum {
    PLACES_MIN = 64,
    DIRTY_MIN = 256,
    ROW_BYTES = 64, /* key, header and op of a row, roughly */
    SLOT_BYTES = sizeof(struct sfi_slot) + 16,
    HAND_RUN = SFI_LINE / sizeof(struct sfi_actor_place),
    HAND_PLACES = 128,      /* looked at in one turn */
    HAND_PLACES_FAR = 4096, /* likewise, when a turn brought in much */
    HAND_PLACES_BARREN = 4, /* likewise, when two rounds found nothing */
    FAR_BYTES = 64 * 1024,
    LINES_EXPECTED = 3,
    SLACK_PART = 8, /* of what actors take may lie idle beside them */
    KEEP_PART = 16, /* of the budget is kept in spare slabs */
    KEEP_MAX = 4 << 20
};

static int no_memory(void)
{
    return sfi_err(SF_ENOMEM, "out of memory");
}

void sfi_actors_init(struct sfi_actors *actors, const struct sfi_sys *sys, uint64_t bytes_max)
{
    *actors = (struct sfi_actors){.sys = sys, .bytes_max = bytes_max};
    actors->key.low = sys->random(sys->ctx);
    actors->key.high = sys->random(sys->ctx);
    sfi_pool_init(&actors->pool, sys, 32);
    actors->pool.keep_max = bytes_max / KEEP_PART < KEEP_MAX ? bytes_max / KEEP_PART : KEEP_MAX;
}

static size_t size_for(const struct sfi_type *type, size_t id_size, unsigned is_timed)
{
    return sfi_actor_state_at(id_size, is_timed) + type->desc.state_size;
}

static size_t actor_size(const struct sfi_actor *actor)
{
    return size_for(actor->type, actor->id_size, actor->is_timed);
}

/* With its part of what lies idle in slabs. */
static uint64_t actor_bytes(const struct sfi_actors *actors, const struct sfi_actor *actor)
{
    uint64_t bytes = sfi_pool_bytes(&actors->pool, actor_size(actor));
    return bytes + bytes / SLACK_PART;
}

static void count_actor(struct sfi_actors *actors, const struct sfi_actor *actor, int by)
{
    uint64_t bytes = actor_bytes(actors, actor);
    actors->bytes += (uint64_t)by * bytes;
    actors->actor_bytes += (uint64_t)by * bytes;
}

void sfi_actor_drop_slots(struct sfi_actors *actors, struct sfi_actor *actor,
                          const struct sfi_slot *upto)
{
    for (struct sfi_slot *slot; (slot = actor->slots) != upto;) {
        actor->slots = slot->next;
        actors->bytes -= SLOT_BYTES + sfi_slot_bytes(slot->data, slot->size);
        sfi_free(actors->sys, slot->data);
        sfi_free(actors->sys, slot);
    }
}

static void actor_free(struct sfi_actors *actors, struct sfi_actor *actor)
{
    sfi_actor_drop_slots(actors, actor, NULL);
    count_actor(actors, actor, -1);
    sfi_pool_free(&actors->pool, actor, actor_size(actor));
}

void sfi_actors_fini(struct sfi_actors *actors)
{
    for (size_t i = 0; i < actors->capacity; i++)
        if (actors->places[i].actor)
            actor_free(actors, actors->places[i].actor);
    sfi_pool_fini(&actors->pool);
    sfi_free(actors->sys, actors->places);
    sfi_free(actors->sys, actors->dirty);
    *actors = (struct sfi_actors){.sys = actors->sys};
}

/* -- the table
 * ----------------------------------------------------------------------------------- */

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
    actors->bytes += (capacity - actors->capacity) * sizeof *places;
    actors->places = places;
    actors->capacity = capacity;
    actors->hand = 0;
    actors->stride = (size_t)((double)(capacity / HAND_RUN) * 0.6180339887) | 1;
    return 0;
}

static int dirty_grow(struct sfi_actors *actors, uint64_t need)
{
    void *dirty = sfi_grow(actors->sys, actors->dirty, &actors->dirty_capacity, need, DIRTY_MIN,
                           sizeof *actors->dirty);
    if (!dirty)
        return SF_ENOMEM;
    actors->dirty = dirty;
    return 0;
}

int sfi_actors_reserve(struct sfi_actors *actors, uint32_t count)
{
    uint64_t need = (uint64_t)actors->dirty_count + count + 1;
    return need > actors->dirty_capacity ? dirty_grow(actors, need) : 0;
}

/* The struct is not zeroed: loading does that. */
static struct sfi_actor *actor_new(struct sfi_actors *actors, struct sfi_type *type, const void *id,
                                   size_t id_size)
{
    unsigned is_timed = type->is_timed;
    struct sfi_actor *actor = sfi_pool_alloc(&actors->pool, size_for(type, id_size, is_timed));
    if (!actor)
        return NULL;
    *actor = (struct sfi_actor){
        .type = type, .is_timed = is_timed & 1, .id_size = (uint8_t)id_size};
    memcpy(actor->id, id, id_size);
    actor->id[id_size] = 0;
    count_actor(actors, actor, 1);
    return actor;
}

static inline int is_at(const struct sfi_actor *actor, const struct sfi_type *type, const void *id,
                 size_t id_size)
{
    return actor->type == type && actor->id_size == id_size && sfi_same(actor->id, id, id_size);
}

struct sfi_actor *sfi_actors_find(const struct sfi_actors *actors, const struct sfi_type *type,
                                  uint64_t hash, const void *id, size_t id_size)
{
    const struct sfi_actor_place *places = actors->places;
    size_t mask = actors->capacity - 1;
    if (!actors->capacity)
        return NULL;
    for (size_t at = hash & mask; places[at].actor; at = (at + 1) & mask)
        if (places[at].hash == hash && is_at(places[at].actor, type, id, id_size))
            return places[at].actor;
    return NULL;
}

/* One that is not in memory. */
static struct sfi_actor *bring_in(struct sfi_actors *actors, struct sfi_type *type, uint64_t hash,
                                  const void *id, size_t id_size)
{
    if (actors->count * 4 >= actors->capacity * 3 && actors_grow(actors) < 0)
        return NULL;
    struct sfi_actor *actor = actor_new(actors, type, id, id_size);
    if (!actor)
        return NULL;
    actors->places[free_place(actors->places, actors->capacity, hash)] =
        (struct sfi_actor_place){actor, hash};
    actors->count++;
    return actor;
}

static __attribute__((noinline)) struct sfi_actor *
get_slowly(struct sfi_actors *actors, struct sfi_type *type, uint64_t hash, const void *id,
           size_t id_size)
{
    if (actors->dirty_count == actors->dirty_capacity &&
        dirty_grow(actors, (uint64_t)actors->dirty_count + 1) < 0)
        return NULL;
    struct sfi_actor *actor = sfi_actors_find(actors, type, hash, id, id_size);
    if (!actor)
        return bring_in(actors, type, hash, id, id_size);
    actor->used = 1;
    return actor;
}

/* The first one with that hash is the right one, nearly always, and has a short id, often.  With nothing to call
 * on that way, no register is to be saved. */
struct sfi_actor *sfi_actors_get(struct sfi_actors *actors, struct sfi_type *type, uint64_t hash,
                                 const void *id, size_t id_size)
{
    const struct sfi_actor_place *places = actors->places;
    size_t mask = actors->capacity - 1, at = hash & mask;
    if (SFI_RARE(!places || actors->dirty_count == actors->dirty_capacity))
        return get_slowly(actors, type, hash, id, id_size);
    while (places[at].actor && places[at].hash != hash)
        at = (at + 1) & mask;
    struct sfi_actor *actor = places[at].actor;
    if (!actor || actor->type != type || actor->id_size != id_size ||
        !sfi_same_few(actor->id, id, id_size))
        return get_slowly(actors, type, hash, id, id_size);
    if (!actor->used)
        actor->used = 1;
    return actor;
}

void sfi_actors_expect(const struct sfi_actors *actors, uint64_t hash)
{
    const struct sfi_actor_place *places = actors->places;
    size_t mask = actors->capacity - 1, at = hash & mask;
    if (!actors->capacity)
        return;
    while (places[at].actor && places[at].hash != hash)
        at = (at + 1) & mask;
    const char *actor = (const char *)places[at].actor;
    for (int i = 0; actor && i < LINES_EXPECTED; i++)
        sfi_expect(actor + i * SFI_LINE);
}

/* -- what leaves
 * ---------------------------------------------------------------------------------- */

/* Knuth, "The Art of Computer Programming" 3, 6.4, algorithm R: what was pushed past the place that
 * becomes free moves back into it, so that no search ends too early. */
static void empty_place(struct sfi_actors *actors, size_t free_at)
{
    struct sfi_actor_place *places = actors->places;
    size_t mask = actors->capacity - 1;
    for (size_t at = (free_at + 1) & mask; places[at].actor; at = (at + 1) & mask) {
        size_t home = places[at].hash & mask;
        if (((at - home) & mask) < ((at - free_at) & mask))
            continue; /* its home lies past the free place */
        places[free_at] = places[at];
        free_at = at;
    }
    places[free_at] = (struct sfi_actor_place){NULL, 0};
}

/* The place that the hand comes to after so many others: the rest of a line of the cache, then one
 * far away.  The stride is odd, so it comes to each; and near the golden ratio of the table, so it
 * comes to all parts evenly (Knuth, 6.4). */
static size_t under_hand(const struct sfi_actors *actors, size_t later)
{
    size_t at = actors->hand + later, run = at / HAND_RUN * actors->stride;
    return (run * HAND_RUN + at % HAND_RUN) & (actors->capacity - 1);
}

/* Places and actors are spread over memory: those that the hand comes to next are asked for
 * early. */
static void expect_under_hand(const struct sfi_actors *actors)
{
    enum { AHEAD = 16, PLACES_AHEAD = 32 };
    sfi_expect(&actors->places[under_hand(actors, PLACES_AHEAD)]);
    const void *actor = actors->places[under_hand(actors, AHEAD)].actor;
    if (actor)
        sfi_expect(actor);
}

/* Looks at the place under the hand, and moves on unless that was emptied: another may be there
 * now. */
static void move_hand(struct sfi_actors *actors, const struct sfi_actor *kept)
{
    size_t at = under_hand(actors, 0);
    struct sfi_actor *actor = actors->places[at].actor;
    expect_under_hand(actors);
    if (actor && !actor->used && !actor->dirty && actor->sealed <= actors->durable &&
        actor != kept) {
        empty_place(actors, at);
        actor_free(actors, actor);
        actors->count--;
        actors->barren = 0;
        return;
    }
    if (actor)
        actor->used = 0;
    actors->hand++;
    actors->barren++;
}

/* Two rounds without success, and nothing became durable since: then the hand creeps, so that a
 * cache full of dirty actors does not cost every turn a walk. */
static int places_to_pass(const struct sfi_actors *actors)
{
    if (actors->barren >= 2 * actors->capacity)
        return HAND_PLACES_BARREN;
    return actors->bytes - actors->bytes_max > FAR_BYTES ? HAND_PLACES_FAR : HAND_PLACES;
}

/* -- what moves
 * ----------------------------------------------------------------------------------- */

static struct sfi_actor_place *place_of(const struct sfi_actors *actors,
                                        const struct sfi_actor *actor)
{
    size_t mask = actors->capacity - 1;
    size_t at = sfi_actors_hash(actors, actor->type, actor->id, actor->id_size) & mask;
    while (actors->places[at].actor != actor)
        at = (at + 1) & mask;
    return &actors->places[at];
}

/* To another slab, unless somebody has a pointer to it (4). */
static int move_actor(struct sfi_actors *actors, struct sfi_actor *actor,
                      const struct sfi_actor *kept)
{
    size_t size = actor_size(actor);
    if (actor == kept || actor->dirty)
        return 0;
    struct sfi_actor *moved = sfi_pool_alloc(&actors->pool, size);
    if (!moved)
        return 0;
    memcpy(moved, actor, size);
    place_of(actors, actor)->actor = moved;
    sfi_pool_free(&actors->pool, actor, size);
    return 1;
}

/* Empties one slab with few actors.  If that is not possible now, the next epoch may be of help. */
static void empty_slab(struct sfi_actors *actors, const struct sfi_actor *kept)
{
    void *objects[SFI_SLAB_OBJECTS];
    uint32_t count, moved = 0;
    struct sfi_slab *slab = sfi_pool_sparse(&actors->pool, objects, &count);
    for (uint32_t i = 0; slab && i < count; i++)
        moved += (uint32_t)move_actor(actors, objects[i], kept);
    if (slab && moved < count)
        sfi_pool_unsparse(&actors->pool, slab);
    actors->is_stuck = !slab || moved < count;
}

/* Evicting leaves gaps in slabs, which are of use to actors of that size only.  More than their
 * part of the budget they do not get: an eighth, and a slab of each size. */
static int has_slack(const struct sfi_actors *actors)
{
    const struct sfi_pool *pool = &actors->pool;
    uint64_t others = actors->bytes - actors->actor_bytes;
    return !actors->is_stuck && others + pool->used > actors->bytes_max &&
           pool->used > actors->actor_bytes + (uint64_t)pool->classes * SFI_SLAB_BYTES;
}

static void note_durable(struct sfi_actors *actors, uint64_t durable)
{
    if (actors->durable == durable)
        return;
    actors->durable = durable;
    actors->barren = 0;
    actors->is_stuck = 0;
}

void sfi_actors_trim(struct sfi_actors *actors, uint64_t durable, const struct sfi_actor *kept)
{
    if (!sfi_actors_exceed(actors) || actors->capacity == 0)
        return;
    note_durable(actors, durable);
    if (actors->bytes > actors->bytes_max)
        for (int i = places_to_pass(actors); i > 0 && actors->bytes > actors->bytes_max; i--)
            move_hand(actors, kept);
    if (has_slack(actors))
        empty_slab(actors, kept);
}

/* -- what gets room for a time
 * ---------------------------------------------------------------------- */

static struct sfi_actor *widen(struct sfi_actors *actors, struct sfi_actor *actor)
{
    size_t id_size = actor->id_size, state_size = actor->type->desc.state_size;
    struct sfi_actor *wide = sfi_pool_alloc(&actors->pool, size_for(actor->type, id_size, 1));
    if (!wide)
        return NULL;
    memcpy(wide, actor, sizeof *actor + id_size + 1);
    wide->is_timed = 1;
    if (state_size)
        memcpy(sfi_actor_state(wide), sfi_actor_state(actor), state_size);
    *sfi_actor_touched(wide) = SFI_TOUCHED_UNKNOWN;
    place_of(actors, actor)->actor = wide;
    count_actor(actors, actor, -1);
    count_actor(actors, wide, 1);
    sfi_pool_free(&actors->pool, actor, actor_size(actor));
    return wide;
}

static int is_narrow(const struct sfi_actor *actor, const struct sfi_type *type)
{
    return actor && actor->type == type && !actor->is_timed;
}

/* Those in the dirty list first: it is the other place that has their address (4). */
int sfi_actors_widen(struct sfi_actors *actors, const struct sfi_type *type)
{
    for (uint32_t i = 0; i < actors->dirty_count; i++)
        if (is_narrow(actors->dirty[i], type)) {
            struct sfi_actor *wide = widen(actors, actors->dirty[i]);
            if (!wide)
                return no_memory();
            actors->dirty[i] = wide;
        }
    for (size_t i = 0; i < actors->capacity; i++)
        if (is_narrow(actors->places[i].actor, type) && !widen(actors, actors->places[i].actor))
            return no_memory();
    return 0;
}

/* -- loading
 * ------------------------------------------------------------------------------------- */

/* Of a head. */
static enum sfi_record_kind record_kind(const struct sfi_slot *slot)
{
    return slot->kind == SFI_SLOT_MAP ? SFI_RECORD_MAP : SFI_RECORD_LIST;
}

/* What else is done with a head relies on what is checked here. */
static int open_head(sf_bytes key, sf_bytes record, const struct sfi_slot *slot, sf_bytes *payload)
{
    int rc = sfi_record_open(record, key, record_kind(slot), payload);
    if (rc < 0)
        return rc;
    return slot->kind == SFI_SLOT_MAP ? sfi_map_head_check(*payload)
                                      : sfi_list_head_check(*payload);
}

static int copy_value(const struct sfi_sys *sys, sf_bytes key, sf_bytes record,
                      struct sfi_slot *slot)
{
    sf_bytes payload;
    int rc = slot->kind == SFI_SLOT_VALUE ? sfi_value_open(key, record, &slot->touched, &payload)
                                          : open_head(key, record, slot, &payload);
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

static int read_value(const struct sfi_sys *sys, struct sfi_store *store,
                      const struct sfi_actor *actor, struct sfi_slot *slot)
{
    struct sfi_snapshot *snapshot;
    struct sfi_key key;
    sf_bytes record;
    int rc = sfi_snapshot_open(store, &snapshot);
    if (rc < 0)
        return rc;
    sfi_key_state(&key, actor->type->number, actor->id, actor->id_size, slot->number);
    rc = sfi_snapshot_get(snapshot, SFI_STATE, sfi_key_bytes(&key), &record);
    if (rc > 0)
        rc = copy_value(sys, sfi_key_bytes(&key), record, slot);
    sfi_snapshot_close(snapshot);
    return rc;
}

int sfi_actor_load_slot(struct sfi_actors *actors, struct sfi_store *store, struct sfi_actor *actor,
                        uint16_t number, struct sfi_slot **out)
{
    for (struct sfi_slot *slot = actor->slots; slot; slot = slot->next)
        if (slot->number == number) {
            *out = slot;
            return 0;
        }
    struct sfi_slot *slot = sfi_zalloc(actors->sys, sizeof *slot);
    if (!slot)
        return no_memory();
    slot->number = number;
    slot->kind = (uint8_t)sfi_slot_kind_of(actor->type, number) & 127;
    int rc = actor->emptied ? 0 : read_value(actors->sys, store, actor, slot);
    if (rc < 0) {
        sfi_free(actors->sys, slot);
        return rc;
    }
    slot->next = actor->slots;
    actor->slots = slot;
    actors->bytes += SLOT_BYTES + sfi_slot_bytes(slot->data, slot->size);
    *out = slot;
    return 0;
}

/* -- saving
 * -------------------------------------------------------------------------------------- */

void sfi_actor_touch(struct sfi_actors *actors, struct sfi_actor *actor, size_t bytes)
{
    actors->dirty_bytes += bytes + ROW_BYTES;
    if (actor->dirty)
        return;
    actor->dirty = 1;
    actors->dirty[actors->dirty_count++] = actor; /* sfi_actors_get() made room */
}

void sfi_actor_clear(struct sfi_actors *actors, struct sfi_actor *actor)
{
    uint32_t rows = actor->type->slot_count + 1 + actor->type->has_timers;
    sfi_actor_touch(actors, actor, rows * (size_t)ROW_BYTES);
    actors->dirty_rows += rows;
    actor->emptied = actor->to_clear = 1;
    actor->state_dirty = 0;
    for (struct sfi_slot *slot = actor->slots; slot; slot = slot->next)
        if (!slot->data)
            slot->dirty = 0;
}

void sfi_actor_purge(struct sfi_actors *actors, struct sfi_actor *actor)
{
    for (struct sfi_slot *slot = actor->slots; slot; slot = slot->next) {
        actors->bytes -= sfi_slot_bytes(slot->data, slot->size);
        sfi_free(actors->sys, slot->data);
        slot->data = NULL;
        slot->size = 0;
    }
    sfi_state_forget(actor);
    actor->has_state = 1;
    sfi_actor_clear(actors, actor);
}

static int delete_row(const struct sfi_type *type, const void *id, size_t id_size, uint16_t slot,
                      struct sfi_batch *batch)
{
    struct sfi_key key;
    sfi_key_state(&key, type->number, id, id_size, slot);
    return sfi_batch_delete(batch, SFI_STATE, sfi_key_bytes(&key)) < 0 ? no_memory() : 0;
}

int sfi_actor_delete_rows(const struct sfi_type *type, const void *id, size_t id_size,
                          struct sfi_batch *batch)
{
    int rc = 0;
    for (uint32_t slot = 0; slot <= type->slot_count && rc == 0; slot++)
        rc = delete_row(type, id, id_size, (uint16_t)slot, batch);
    return rc == 0 && type->has_timers ? delete_row(type, id, id_size, SFI_SLOT_TIMERS, batch) : rc;
}

static int save_head(const struct sfi_slot *slot, sf_bytes key, struct sfi_batch *batch)
{
    size_t size = SFI_RECORD_HEADER + slot->size;
    unsigned char *record = sfi_batch_put(batch, SFI_STATE, key, size);
    if (!record)
        return no_memory();
    memcpy(record + SFI_RECORD_HEADER, slot->data, slot->size);
    sfi_record_finish(record, size, record_kind(slot), key);
    return 0;
}

static int save_slot(const struct sfi_actor *actor, const struct sfi_slot *slot,
                     struct sfi_batch *batch)
{
    struct sfi_key key;
    sfi_key_state(&key, actor->type->number, actor->id, actor->id_size, slot->number);
    if (!slot->data)
        return delete_row(actor->type, actor->id, actor->id_size, slot->number, batch);
    if (slot->kind != SFI_SLOT_VALUE)
        return save_head(slot, sfi_key_bytes(&key), batch);
    int is_at = sfi_type_expiry(actor->type, slot->number)->after_ms != 0;
    return sfi_value_put(batch, sfi_key_bytes(&key), is_at ? &slot->touched : NULL,
                         SF_BYTES(slot->data, slot->size));
}

/* The dirty ones are spread over memory: those ahead are asked for early. */
static void expect_dirty(const struct sfi_actors *actors, uint32_t at)
{
    enum { AHEAD = 8 };
    if (at + AHEAD >= actors->dirty_count)
        return;
    const char *actor = (const char *)actors->dirty[at + AHEAD];
    sfi_expect(actor);
    sfi_expect(actor + SFI_LINE);
}

static int save_actor(struct sfi_actor *actor, struct sfi_batch *batch)
{
    int rc = actor->to_clear
                 ? sfi_actor_delete_rows(actor->type, actor->id, actor->id_size, batch)
                 : 0;
    if (rc == 0 && actor->state_dirty)
        rc = sfi_state_save(actor, batch);
    for (struct sfi_slot *slot = actor->slots; slot && rc == 0; slot = slot->next)
        if (slot->dirty)
            rc = save_slot(actor, slot, batch);
    return rc;
}

int sfi_actors_save(const struct sfi_actors *actors, struct sfi_batch *batch)
{
    int rc = 0;
    for (uint32_t i = 0; i < actors->dirty_count && rc == 0; i++) {
        expect_dirty(actors, i);
        rc = save_actor(actors->dirty[i], batch);
    }
    return rc;
}

static uint64_t count_expiring(struct sfi_actor *actor)
{
    uint64_t count = actor->state_dirty && actor->type->state_expiry.after_ms &&
                     !sfi_actor_is_absent(actor);
    for (const struct sfi_slot *slot = actor->slots; slot; slot = slot->next)
        count += slot->dirty && slot->data && sfi_type_expiry(actor->type, slot->number)->after_ms;
    return count;
}

void sfi_actors_cleaned(struct sfi_actors *actors, uint64_t epoch)
{
    for (uint32_t i = 0; i < actors->dirty_count; i++) {
        struct sfi_actor *actor = actors->dirty[i];
        expect_dirty(actors, i);
        actor->sealed = epoch;
        if (SFI_RARE(actor->type->expires))
            actors->expiring += count_expiring(actor);
        actor->dirty = actor->state_dirty = actor->to_clear = 0;
        for (struct sfi_slot *slot = actor->slots; slot; slot = slot->next)
            slot->dirty = 0;
    }
    actors->dirty_count = 0;
    actors->dirty_rows = actors->dirty_bytes = 0;
}
