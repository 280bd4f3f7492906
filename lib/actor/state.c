#include "actor/state.h"

#include <string.h>

#include "actor/key.h"
#include "base/err.h"
#include "store/record.h"

static int no_memory(void)
{
    return sfi_err(SF_ENOMEM, "out of memory");
}

void sfi_state_forget(struct sfi_actor *actor)
{
    memset(sfi_actor_state(actor), 0, actor->type->desc.state_size);
    if (actor->is_timed)
        *sfi_actor_touched(actor) = 0;
}

/* Copied: what we lend is aligned, with a zero after it, and the page they lie in is not; and
 * migrating is the application's code, which may take its time, or never return, so no snapshot
 * is open then. */
static int copy_old_state(struct sfi_arena *arena, uint32_t version, sf_bytes bytes,
                          struct sfi_old_state *out)
{
    void *copy = sfi_arena_copy(arena, bytes.data, bytes.size);
    if (!copy)
        return no_memory();
    out->version = version;
    out->bytes = SF_BYTES(copy, bytes.size);
    return 1;
}

static int carry(const struct sfi_type *type, const struct sfi_old_state *old, void *state)
{
    char who[SFI_WHO_MAX];
    struct sfi_shape shape = sfi_type_shape(&type->desc, who);
    return sfi_layouts_carry(&type->layouts, &shape, old->version, old->bytes, state);
}

/* `rest`: version and struct. */
static int open_state(const struct sfi_type *type, sf_bytes key, sf_bytes record,
                      uint64_t *touched, sf_bytes *rest)
{
    int is_at = sfi_record_kind(record) == SFI_RECORD_STATE_AT;
    size_t front = is_at ? 8 : 0;
    sf_bytes payload;
    int rc = sfi_record_open(record, key, is_at ? SFI_RECORD_STATE_AT : SFI_RECORD_STATE, &payload);
    if (rc < 0)
        return rc;
    if (payload.size < front + 4)
        return sfi_err(SF_ECORRUPT, "a struct of type '%s' is cut short", type->name);
    *touched = is_at ? sfi_le64_get(payload.data) : 0;
    if (*touched == 0)
        *touched = SFI_TOUCHED_UNKNOWN;
    *rest = SF_BYTES((const unsigned char *)payload.data + front, payload.size - front);
    return 0;
}

int sfi_state_decode(struct sfi_arena *arena, const struct sfi_type *type, sf_bytes key,
                     sf_bytes record, void *state, struct sfi_old_state *old)
{
    sf_bytes payload = SF_NONE;
    int rc = open_state(type, key, record, &old->touched, &payload);
    if (rc < 0)
        return rc;
    uint32_t version = sfi_le32_get(payload.data), today = type->desc.state_version;
    sf_bytes bytes = SF_BYTES((const unsigned char *)payload.data + 4, payload.size - 4);
    if (version > today)
        return sfi_err(SF_ENEWER, "a struct of type '%s' has version %u, this is %u", type->name,
                       version, today);
    if (version < today && type->desc.state_size)
        return copy_old_state(arena, version, bytes, old);
    if (bytes.size != type->desc.state_size)
        return sfi_err(SF_ECORRUPT, "a struct of type '%s' has %zu bytes in version %u", type->name,
                       bytes.size, version);
    memcpy(state, bytes.data, bytes.size);
    return 0;
}

int sfi_state_migrate(const struct sfi_type *type, const struct sfi_old_state *old, void *state)
{
    memset(state, 0, type->desc.state_size);
    if (!type->desc.state_migrate)
        return carry(type, old, state);
    if (type->desc.state_migrate(old->version, old->bytes, state))
        return sfi_err(SF_EFAILED, "type '%s': state_migrate refused version %u", type->name,
                       old->version);
    return 0;
}

int sfi_state_load(struct sfi_store *store, struct sfi_arena *arena, struct sfi_actor *actor,
                   struct sfi_old_state *old)
{
    struct sfi_snapshot *snapshot;
    struct sfi_key key;
    sf_bytes record;
    void *state = sfi_actor_state(actor);
    int rc = sfi_snapshot_open(store, &snapshot);
    if (rc < 0)
        return rc;
    sfi_key_state(&key, actor->type->number, actor->id, actor->id_size, 0);
    rc = sfi_snapshot_get(snapshot, SFI_STATE, sfi_key_bytes(&key), &record);
    int is_there = rc > 0;
    if (is_there)
        rc = sfi_state_decode(arena, actor->type, sfi_key_bytes(&key), record, state, old);
    sfi_snapshot_close(snapshot);
    if (!is_there && rc == 0)
        sfi_state_forget(actor);
    else if (rc >= 0 && actor->is_timed)
        *sfi_actor_touched(actor) = old->touched;
    actor->has_state = rc == 0;
    return rc;
}

int sfi_state_load_time(struct sfi_store *store, struct sfi_actor *actor)
{
    struct sfi_snapshot *snapshot;
    struct sfi_key key;
    sf_bytes record, rest;
    int rc = sfi_snapshot_open(store, &snapshot);
    if (rc < 0)
        return rc;
    sfi_key_state(&key, actor->type->number, actor->id, actor->id_size, 0);
    rc = sfi_snapshot_get(snapshot, SFI_STATE, sfi_key_bytes(&key), &record);
    if (rc > 0)
        rc = open_state(actor->type, sfi_key_bytes(&key), record, sfi_actor_touched(actor), &rest) < 0
                 ? SF_ECORRUPT
                 : 1;
    sfi_snapshot_close(snapshot);
    return rc;
}

int sfi_state_save(struct sfi_actor *actor, struct sfi_batch *batch)
{
    struct sfi_key key;
    int is_at = actor->is_timed && actor->type->state_expiry.after_ms;
    size_t front = is_at ? 8 : 0;
    size_t size = SFI_RECORD_HEADER + front + 4 + actor->type->desc.state_size;
    sfi_key_state(&key, actor->type->number, actor->id, actor->id_size, 0);
    if (sfi_actor_is_absent(actor))
        return sfi_batch_delete(batch, SFI_STATE, sfi_key_bytes(&key)) < 0 ? no_memory() : 0;
    unsigned char *record = sfi_batch_put(batch, SFI_STATE, sfi_key_bytes(&key), size);
    if (!record)
        return no_memory();
    unsigned char *at = record + SFI_RECORD_HEADER;
    if (is_at)
        sfi_le64_put(at, *sfi_actor_touched(actor));
    sfi_le32_put(at + front, actor->type->desc.state_version);
    memcpy(at + front + 4, sfi_actor_state(actor), actor->type->desc.state_size);
    sfi_record_finish(record, size, is_at ? SFI_RECORD_STATE_AT : SFI_RECORD_STATE,
                      sfi_key_bytes(&key));
    return 0;
}
