#include "run/view.h"

#include <string.h>

#include "actor/key.h"
#include "base/err.h"
#include "run/drive.h"
#include "run/runtime.h"
#include "store/record.h"

struct sf_view {
    sf_runtime *rt;
    struct sfi_snapshot *snapshot;
    struct sfi_arena arena; /* of the last value lent */
    sf_message dead;
    sf_cursor *cursors;
};

struct sf_cursor {
    sf_cursor *next;
    sf_view *view;
    struct sfi_type type; /* see copy_type() */
    struct sfi_key at;
    struct sfi_arena arena;
    sf_entry entry;
    int error;
};

/* The engine reads through the same slots of LMDB, of which there are a few more. */
static int count_view(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    int rc = rt->views < SF_VIEWS_MAX
                 ? 0
                 : sfi_err(SF_EBUSY, "%d views are open, close one", SF_VIEWS_MAX);
    rt->views += rc == 0;
    rt->handles += rc == 0;
    pthread_mutex_unlock(&rt->lock);
    return rc;
}

static void discount_view(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    rt->views--;
    rt->handles--;
    pthread_mutex_unlock(&rt->lock);
}

/* The view is counted already. */
static int open_counted(sf_runtime *rt, sf_view **out)
{
    sf_view *view = sfi_zalloc(rt->sys, sizeof *view);
    if (!view)
        return sfi_err(SF_ENOMEM, "out of memory");
    view->rt = rt;
    sfi_arena_init(&view->arena, rt->sys);
    int rc = sfi_snapshot_open(rt->store, &view->snapshot);
    if (rc < 0)
        sfi_free(rt->sys, view);
    else
        *out = view;
    return rc;
}

int sfi_view_open(sf_runtime *rt, sf_view **out)
{
    int rc = count_view(rt);
    if (rc < 0)
        return rc;
    rc = open_counted(rt, out);
    if (rc < 0)
        discount_view(rt);
    return rc;
}

void sfi_view_close(sf_view *view)
{
    sf_runtime *rt = view->rt;
    /* After fork() it is the parent's, and so is its slot among LMDB's readers. */
    if (sfi_life_check(rt, "sf_view_close()") < 0)
        return;
    for (sf_cursor *cursor = view->cursors, *next; cursor; cursor = next) {
        next = cursor->next;
        sfi_arena_fini(&cursor->arena);
        sfi_free(rt->sys, cursor);
    }
    sfi_snapshot_close(view->snapshot);
    sfi_arena_fini(&view->arena);
    sfi_free(rt->sys, view);
    discount_view(rt);
}

/* What readers need of it; what it was registered with changes when it is registered again. */
static void copy_type(const struct sfi_type *type, struct sfi_type *out)
{
    *out = (struct sfi_type){.name = type->name,
                             .number = type->number,
                             .desc = type->desc,
                             .value_count = type->value_count};
    memcpy(out->value_slots, type->value_slots, sizeof out->value_slots);
}

/* Lends nothing: `*out` may be used without the lock. */
static int find_type(sf_runtime *rt, const char *name, struct sfi_type *out)
{
    pthread_mutex_lock(&rt->lock);
    const struct sfi_type *type = name ? sfi_types_find(&rt->types, name) : NULL;
    int found = type && type->registered;
    if (found)
        copy_type(type, out);
    pthread_mutex_unlock(&rt->lock);
    return found ? 0
                 : sfi_err(SF_ENOTFOUND, "type '%.200s' is not registered", name ? name : "(null)");
}

/* -- one row ----------------------------------------------------------------------------------------- */

/* 1: found and valid; 0: absent; negative. */
static int get_row(sf_view *view, const struct sfi_type *type, sf_address address, uint16_t slot,
                   struct sfi_key *key, sf_bytes *out)
{
    if (!address.id || address.id_size == 0 || address.id_size > SFI_ID_MAX)
        return sfi_err(SF_EINVAL, "an id has 1 to %d bytes", SFI_ID_MAX);
    sfi_key_state(key, type->number, address.id, address.id_size, slot);
    return sfi_snapshot_get(view->snapshot, SFI_STATE, sfi_key_bytes(key), out);
}

static int decode_state(struct sfi_arena *arena, const struct sfi_type *type, sf_bytes key,
                        sf_bytes record, sf_bytes *out)
{
    size_t size = type->desc.state_size;
    unsigned char *state = sfi_arena_alloc(arena, size + 1);
    if (!state)
        return sfi_err(SF_ENOMEM, "out of memory");
    memset(state, 0, size + 1);
    int rc = sfi_state_decode(arena->sys, type, key, record, state);
    if (rc == 0)
        *out = SF_BYTES(state, size);
    return rc;
}

sf_bytes sf_view_state(sf_view *view, sf_address address)
{
    struct sfi_key key;
    struct sfi_type type;
    sf_bytes record, state = SF_NONE;
    if (!view || find_type(view->rt, address.type, &type) < 0 || type.desc.state_size == 0)
        return SF_NONE;
    sfi_arena_reset(&view->arena);
    if (get_row(view, &type, address, 0, &key, &record) > 0)
        decode_state(&view->arena, &type, sfi_key_bytes(&key), record, &state);
    return state;
}

sf_bytes sf_view_value(sf_view *view, sf_address address, const sf_value *value)
{
    struct sfi_key key;
    struct sfi_type type;
    sf_bytes record, payload;
    if (!view || find_type(view->rt, address.type, &type) < 0)
        return SF_NONE;
    uint16_t slot = value ? sfi_type_slot(&type, value) : 0;
    if (!slot)
        sfi_err(SF_EINVAL, "type '%s' does not list that value", type.name);
    if (slot == 0 || get_row(view, &type, address, slot, &key, &record) <= 0 ||
        sfi_record_open(record, sfi_key_bytes(&key), SFI_RECORD_VALUE, &payload) < 0)
        return SF_NONE;
    sfi_arena_reset(&view->arena);
    void *data = sfi_arena_copy(&view->arena, payload.data, payload.size);
    return data ? SF_BYTES(data, payload.size) : SF_NONE;
}

/* -- actors ------------------------------------------------------------------------------------------- */

/* Returned when there is no memory for a cursor, so that the caller need not check. */
static sf_cursor no_cursor = {.error = SF_ENOMEM};

sf_cursor *sf_view_actors(sf_view *view, const char *name)
{
    sf_cursor *cursor = view ? sfi_zalloc(view->rt->sys, sizeof *cursor) : NULL;
    if (!cursor)
        return &no_cursor;
    cursor->view = view;
    cursor->next = view->cursors;
    view->cursors = cursor;
    sfi_arena_init(&cursor->arena, view->rt->sys);
    cursor->error = find_type(view->rt, name, &cursor->type);
    if (cursor->error == 0)
        sfi_key_state(&cursor->at, cursor->type.number, "", 0, 0);
    return cursor;
}

static int is_state_of(const struct sfi_type *type, sf_bytes key)
{
    const unsigned char *bytes = key.data;
    return key.size >= 8 && sfi_be32_get(bytes) == type->number && key.size == 7u + bytes[4] &&
           bytes[key.size - 2] == 0 && bytes[key.size - 1] == 0;
}

/* Moves to the next row of this type that is a struct.  1, 0 or negative. */
static int next_row(sf_cursor *cursor, sf_bytes *key, sf_bytes *record)
{
    int rc;
    do {
        rc = sfi_snapshot_seek(cursor->view->snapshot, SFI_STATE, sfi_key_bytes(&cursor->at), 1,
                               key, record);
        if (rc <= 0 || key->size < 4 || sfi_be32_get(key->data) != cursor->type.number)
            return rc < 0 ? rc : 0;
        memcpy(cursor->at.bytes, key->data, key->size);
        cursor->at.size = key->size;
    } while (!is_state_of(&cursor->type, *key));
    return 1;
}

static int read_entry(sf_cursor *cursor, sf_bytes key, sf_bytes record)
{
    size_t id_size = key.size - 7;
    sfi_arena_reset(&cursor->arena);
    void *id = sfi_arena_copy(&cursor->arena, (const unsigned char *)key.data + 5, id_size);
    if (!id)
        return sfi_err(SF_ENOMEM, "out of memory");
    cursor->entry.key = SF_BYTES(id, id_size);
    return decode_state(&cursor->arena, &cursor->type, key, record, &cursor->entry.value);
}

const sf_entry *sf_next(sf_cursor *cursor)
{
    sf_bytes key, record;
    if (!cursor || cursor->error)
        return NULL;
    int rc = next_row(cursor, &key, &record);
    if (rc > 0)
        rc = read_entry(cursor, key, record) < 0 ? SF_ECORRUPT : 1;
    if (rc < 0)
        cursor->error = rc;
    return rc > 0 ? &cursor->entry : NULL;
}

int sf_cursor_error(const sf_cursor *cursor)
{
    return cursor ? cursor->error : SF_EINVAL;
}

/* -- dead letters ---------------------------------------------------------------------------------------- */

static int lend_address(sf_view *view, uint32_t number, sf_bytes id, sf_address *out)
{
    pthread_mutex_lock(&view->rt->lock);
    struct sfi_type *type = number ? sfi_types_number(&view->rt->types, number) : NULL;
    pthread_mutex_unlock(&view->rt->lock);
    char *copy = sfi_arena_copy(&view->arena, id.data, id.size);
    if (!copy)
        return sfi_err(SF_ENOMEM, "out of memory");
    *out = (sf_address){type ? type->name : NULL, copy, id.size};
    return 0;
}

static char *lend_text(sf_view *view, sf_bytes text)
{
    return sfi_arena_copy(&view->arena, text.data, text.size);
}

static int lend_dead(sf_view *view, sf_bytes key, const struct sfi_envelope *envelope)
{
    sf_message *dead = &view->dead;
    *dead = (sf_message){.attempt = envelope->attempts, .sequence = sfi_be64_get(key.data)};
    dead->kind = lend_text(view, envelope->kind);
    dead->reason = lend_text(view, envelope->reason);
    char *body = lend_text(view, envelope->body);
    if (!dead->kind || !dead->reason || !body ||
        lend_address(view, envelope->to_type, envelope->to_id, &dead->to) < 0 ||
        lend_address(view, envelope->from_type, envelope->from_id, &dead->from) < 0)
        return SF_ENOMEM;
    dead->body = envelope->body_absent ? SF_NONE : SF_BYTES(body, envelope->body.size);
    return 0;
}

const sf_message *sf_view_dead(sf_view *view, uint64_t after_sequence)
{
    struct sfi_key from;
    struct sfi_envelope envelope;
    sf_bytes key, record;
    if (!view)
        return NULL;
    sfi_arena_reset(&view->arena);
    sfi_key_sequence(&from, after_sequence);
    if (sfi_snapshot_seek(view->snapshot, SFI_DEAD, sfi_key_bytes(&from), 1, &key, &record) <= 0 ||
        sfi_envelope_parse(key, record, 1, &envelope) < 0)
        return NULL;
    return lend_dead(view, key, &envelope) < 0 ? NULL : &view->dead;
}
