#include "run/view.h"

#include <string.h>

#include "actor/key.h"
#include "actor/state.h"
#include "actor/value_record.h"
#include "base/err.h"
#include "run/drive.h"
#include "run/runtime.h"
#include "run/view_cursor.h"
#include "store/record.h"

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
    view->now_ms = rt->sys->wall_ms(rt->sys->ctx);
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
    for (struct sfi_view_cursor *cursor = view->cursors, *next; cursor; cursor = next) {
        next = cursor->next;
        if (cursor->end)
            cursor->end(cursor);
        sfi_arena_fini(&cursor->arena);
        sfi_free(rt->sys, cursor);
    }
    sfi_snapshot_close(view->snapshot);
    sfi_arena_fini(&view->arena);
    sfi_free(rt->sys, view);
    discount_view(rt);
}

int sfi_view_check(const sf_view *view, const char *call)
{
    return view ? sfi_life_check(view->rt, call) : sfi_err(SF_EINVAL, "%s: the view is NULL", call);
}

/* What readers need of it; what it was registered with changes when it is registered again. */
static void copy_type(const struct sfi_type *type, struct sfi_type *out)
{
    *out = (struct sfi_type){.name = type->name,
                             .number = type->number,
                             .desc = type->desc,
                             .state_expiry = type->state_expiry,
                             .layouts = type->layouts};
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

/* The same, and what it lists under a handle. */
int sfi_view_slot(sf_runtime *rt, const char *name, const sf_slot *handle, enum sfi_slot_kind kind,
                  struct sfi_type *type, struct sfi_look *out)
{
    int rc = find_type(rt, name, type);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&rt->lock);
    const struct sfi_type *now = sfi_types_number(&rt->types, type->number);
    const struct sfi_binding *binding = sfi_type_binding(now, handle, kind);
    if (binding)
        *out = (struct sfi_look){*binding, *sfi_type_expiry(now, binding->number),
                                 now->slots[binding->number - 1].layouts};
    pthread_mutex_unlock(&rt->lock);
    return binding ? 0
                   : sfi_err(SF_EINVAL, "type '%s' does not list that %s", type->name,
                             sfi_slot_kind_name(kind) + 2);
}

/* -- one row ----------------------------------------------------------------------------------------- */

int sfi_view_row(sf_view *view, const struct sfi_type *type, sf_address address, uint16_t slot,
                 struct sfi_key *key, sf_bytes *out)
{
    if (!address.id.data || address.id.size == 0 || address.id.size > SF_ID_MAX)
        return sfi_err(SF_EINVAL, "an id has 1 to %d bytes", SF_ID_MAX);
    sfi_key_state(key, type->number, address.id.data, address.id.size, slot);
    return sfi_snapshot_get(view->snapshot, SFI_STATE, sfi_key_bytes(key), out);
}

/* 1; 0: it is over; negative. */
static int decode_state(const sf_view *view, struct sfi_arena *arena, const struct sfi_type *type,
                        sf_bytes key, sf_bytes record, sf_bytes *out)
{
    size_t size = type->desc.state_size;
    unsigned char *state = sfi_arena_alloc(arena, size + 1);
    if (!state)
        return sfi_err(SF_ENOMEM, "out of memory");
    state[size] = 0;
    struct sfi_old_state old;
    int rc = sfi_state_decode(arena, type, key, record, state, &old);
    if (rc >= 0 && sfi_expiry_is_over(&type->state_expiry, old.touched, view->now_ms))
        return 0;
    if (rc > 0) /* the view's snapshot is the caller's, and open until it closes the view */
        rc = sfi_state_migrate(type, &old, state);
    if (rc < 0)
        return rc;
    *out = SF_BYTES(state, size);
    return 1;
}

static int read_state(sf_view *view, sf_address address, sf_bytes *out)
{
    struct sfi_key key;
    struct sfi_type type;
    sf_bytes record;
    int rc = find_type(view->rt, address.type, &type);
    if (rc < 0 || type.desc.state_size == 0)
        return rc;
    sfi_arena_reset(&view->arena);
    rc = sfi_view_row(view, &type, address, 0, &key, &record);
    if (rc > 0)
        rc = decode_state(view, &view->arena, &type, sfi_key_bytes(&key), record, out);
    return rc < 0 ? rc : 0;
}

sf_bytes sf_view_state(sf_view *view, sf_address address)
{
    sf_bytes state = SF_NONE;
    if (sfi_view_check(view, "sf_view_state()") == 0)
        view->error = read_state(view, address, &state);
    return state;
}

static int lend(struct sfi_arena *arena, sf_bytes bytes, sf_bytes *out)
{
    void *copy = sfi_arena_copy(arena, bytes.data, bytes.size);
    if (!copy)
        return sfi_err(SF_ENOMEM, "out of memory");
    *out = SF_BYTES(copy, bytes.size);
    return 0;
}

static int read_value(sf_view *view, sf_address address, const sf_value *value, sf_bytes *out)
{
    struct sfi_key key;
    struct sfi_type type;
    sf_bytes record, payload;
    struct sfi_look look = {.expiry = {0}};
    uint64_t touched;
    int rc = sfi_view_slot(view->rt, address.type, (const sf_slot *)value, SFI_SLOT_VALUE, &type,
                       &look);
    if (rc < 0)
        return rc;
    sfi_arena_reset(&view->arena);
    rc = sfi_view_row(view, &type, address, look.binding.number, &key, &record);
    if (rc <= 0)
        return rc;
    rc = sfi_value_open(sfi_key_bytes(&key), record, &touched, &payload);
    if (rc < 0 || sfi_expiry_is_over(&look.expiry, touched, view->now_ms))
        return rc;
    return lend(&view->arena, payload, out);
}

sf_bytes sf_view_value(sf_view *view, sf_address address, const sf_value *value)
{
    sf_bytes bytes = SF_NONE;
    if (sfi_view_check(view, "sf_view_value()") == 0)
        view->error = read_value(view, address, value, &bytes);
    return bytes;
}

int sf_view_error(const sf_view *view)
{
    int rc = sfi_view_check(view, "sf_view_error()");
    return rc < 0 ? rc : view->error;
}

/* -- actors ------------------------------------------------------------------------------------------- */

struct sfi_view_cursor *sfi_view_cursor_new(sf_view *view, const struct sfi_cursor_kind *kind)
{
    struct sfi_view_cursor *cursor = sfi_zalloc(view->rt->sys, sizeof *cursor);
    if (!cursor) {
        sfi_err(SF_ENOMEM, "out of memory");
        return NULL;
    }
    cursor->cursor.kind = kind;
    cursor->view = view;
    cursor->next = view->cursors;
    view->cursors = cursor;
    sfi_arena_init(&cursor->arena, view->rt->sys);
    return cursor;
}

int sfi_view_cursor_error(const sf_cursor *base)
{
    const struct sfi_view_cursor *cursor = (const struct sfi_view_cursor *)base;
    int rc = sfi_life_check(cursor->view->rt, "sf_cursor_error()");
    return rc < 0 ? rc : base->error;
}

/* What a cursor walks over: rows of one type in one table. */
struct sfi_view_rows {
    enum sfi_table table;
    int (*is_one)(const struct sfi_type *type, sf_bytes key);
    int (*read)(struct sfi_view_cursor *cursor, sf_bytes key, sf_bytes record); /* 1; 0: it is over; negative */
};

static int is_state_of(const struct sfi_type *type, sf_bytes key)
{
    const unsigned char *bytes = key.data;
    return key.size >= 8 && sfi_be32_get(bytes) == type->number && key.size == 7u + bytes[4] &&
           bytes[key.size - 2] == 0 && bytes[key.size - 1] == 0;
}

/* Moves to the next row of this type that the cursor walks over.  1, 0 or negative. */
static int next_row(struct sfi_view_cursor *cursor, sf_bytes *key, sf_bytes *record)
{
    int rc;
    do {
        rc = sfi_snapshot_seek(cursor->view->snapshot, cursor->rows->table,
                               sfi_key_bytes(&cursor->at), 1, key, record);
        if (rc <= 0 || key->size < 4 || sfi_be32_get(key->data) != cursor->type.number)
            return rc < 0 ? rc : 0;
        memcpy(cursor->at.bytes, key->data, key->size);
        cursor->at.size = key->size;
    } while (!cursor->rows->is_one(&cursor->type, *key));
    return 1;
}

static int read_state_row(struct sfi_view_cursor *cursor, sf_bytes key, sf_bytes record)
{
    sf_bytes id = SF_BYTES((const unsigned char *)key.data + 5, key.size - 7);
    sfi_arena_reset(&cursor->arena);
    int rc = lend(&cursor->arena, id, &cursor->cursor.entry.key);
    return rc < 0 ? rc
                  : decode_state(cursor->view, &cursor->arena, &cursor->type, key, record,
                                 &cursor->cursor.entry.value);
}

static int is_held_of(const struct sfi_type *type, sf_bytes key)
{
    const unsigned char *bytes = key.data;
    return key.size >= 5 && sfi_be32_get(bytes) == type->number && key.size == 5u + bytes[4];
}

static sf_bytes why_held(const struct sfi_held *held)
{
    if (held->text.size)
        return held->text;
    return sf_str(held->reasons & SFI_HELD_OPERATION ? "awaits operations"
                  : held->reasons & SFI_HELD_UNREADABLE ? "cannot be read"
                                                        : "paused");
}

/* What was purged waits for nothing. */
static int read_held_row(struct sfi_view_cursor *cursor, sf_bytes key, sf_bytes record)
{
    struct sfi_held held;
    sf_bytes id = SF_BYTES((const unsigned char *)key.data + 5, key.size - 5);
    int rc = sfi_held_parse(key, record, &held);
    if (rc < 0 || !(held.reasons & SFI_HELD_SHOWN))
        return rc;
    sfi_arena_reset(&cursor->arena);
    rc = lend(&cursor->arena, id, &cursor->cursor.entry.key);
    if (rc == 0)
        rc = lend(&cursor->arena, why_held(&held), &cursor->cursor.entry.value);
    return rc < 0 ? rc : 1;
}

static const sf_entry *next_entry(sf_cursor *base)
{
    struct sfi_view_cursor *cursor = (struct sfi_view_cursor *)base;
    sf_bytes key, record;
    if (base->error || sfi_life_check(cursor->view->rt, "sf_next()") < 0)
        return NULL;
    int rc, has_row;
    do {
        rc = has_row = next_row(cursor, &key, &record);
        if (rc > 0)
            rc = cursor->rows->read(cursor, key, record);
    } while (has_row > 0 && rc == 0);
    if (rc < 0)
        base->error = rc;
    return rc > 0 ? &base->entry : NULL;
}

static const struct sfi_cursor_kind walks_over_rows = {next_entry, sfi_view_cursor_error};

/* Before the first row of that type. */
static sf_cursor *cursor_new(sf_view *view, const char *call, const char *name,
                             const struct sfi_view_rows *rows)
{
    int rc = sfi_view_check(view, call);
    struct sfi_view_cursor *cursor = rc < 0 ? NULL : sfi_view_cursor_new(view, &walks_over_rows);
    if (!cursor)
        return sfi_no_cursor(rc < 0 ? rc : SF_ENOMEM);
    cursor->rows = rows;
    cursor->cursor.error = find_type(view->rt, name, &cursor->type);
    sfi_be32_put(cursor->at.bytes, cursor->type.number);
    cursor->at.size = 4;
    return &cursor->cursor;
}

sf_cursor *sf_view_actors(sf_view *view, const char *type)
{
    static const struct sfi_view_rows actors = {SFI_STATE, is_state_of, read_state_row};
    return cursor_new(view, "sf_view_actors()", type, &actors);
}

sf_cursor *sf_view_held(sf_view *view, const char *type)
{
    static const struct sfi_view_rows held = {SFI_HELD, is_held_of, read_held_row};
    return cursor_new(view, "sf_view_held()", type, &held);
}

/* -- dead letters ---------------------------------------------------------------------------------------- */

static int lend_address(sf_view *view, uint32_t number, sf_bytes id, sf_address *out)
{
    pthread_mutex_lock(&view->rt->lock);
    struct sfi_type *type = number ? sfi_types_number(&view->rt->types, number) : NULL;
    pthread_mutex_unlock(&view->rt->lock);
    char *copy = sfi_arena_copy(&view->arena, id.data, id.size);
    if (!copy)
        return SF_ENOMEM;
    *out = (sf_address){type ? type->name : NULL, {copy, id.size}};
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
    char *request = lend_text(view, envelope->answer.request);
    if (!dead->kind || !dead->reason || !body || !request ||
        lend_address(view, envelope->to_type, envelope->to_id, &dead->to) < 0 ||
        lend_address(view, envelope->from_type, envelope->from_id, &dead->from) < 0)
        return sfi_err(SF_ENOMEM, "out of memory");
    dead->body = envelope->body_absent ? SF_NONE : SF_BYTES(body, envelope->body.size);
    dead->result = envelope->answer.result;
    if (envelope->answer.request.data)
        dead->request = SF_BYTES(request, envelope->answer.request.size);
    return 0;
}

/* 1 with the next one; 0: none; negative.  `*at` is its number also when it cannot be read. */
static int next_dead(sf_view *view, uint64_t *at)
{
    struct sfi_key from;
    struct sfi_envelope envelope;
    sf_bytes key, record;
    sfi_arena_reset(&view->arena);
    sfi_key_sequence(&from, *at);
    int rc = sfi_snapshot_seek(view->snapshot, SFI_DEAD, sfi_key_bytes(&from), 1, &key, &record);
    if (rc <= 0)
        return rc;
    if (key.size != 8)
        return sfi_err(SF_ECORRUPT, "a dead letter on disk has a key of %zu bytes", key.size);
    *at = sfi_be64_get(key.data);
    rc = sfi_envelope_parse(key, record, SFI_RECORD_DEAD, &envelope);
    if (rc == 0)
        rc = lend_dead(view, key, &envelope);
    return rc < 0 ? rc : 1;
}

int sfi_view_dead(sf_view *view, uint64_t sequence, const sf_message **out)
{
    uint64_t at = sequence - 1;
    int rc = next_dead(view, &at);
    if (rc > 0)
        *out = &view->dead;
    return at != sequence && (rc > 0 || rc == SF_ECORRUPT) ? 0 : rc;
}

/* What cannot be read is passed over; if nothing comes after it, that is why nothing is lent. */
static int read_dead(sf_view *view, uint64_t after_sequence, const sf_message **out)
{
    uint64_t at = after_sequence, before;
    int rc, damaged = 0;
    do {
        before = at;
        rc = next_dead(view, &at);
        damaged |= rc == SF_ECORRUPT;
    } while (rc == SF_ECORRUPT && at != before);
    if (rc > 0)
        *out = &view->dead;
    return rc == 0 && damaged ? SF_ECORRUPT : rc < 0 ? rc : 0;
}

const sf_message *sf_view_dead(sf_view *view, uint64_t after_sequence)
{
    const sf_message *dead = NULL;
    if (sfi_view_check(view, "sf_view_dead()") == 0)
        view->error = read_dead(view, after_sequence, &dead);
    return dead;
}
