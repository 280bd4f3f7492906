#include "run/expire.h"

#include <string.h>

#include "run/runtime.h"

static uint64_t now_ms(struct sfi_work *work, const struct sfi_expiry *expiry)
{
    return expiry->after_ms ? sfi_work_now_ms(work) : 0;
}

int sfi_expire_is_over(struct sfi_work *work, struct sfi_actor *actor)
{
    const struct sfi_expiry *expiry = &actor->type->state_expiry;
    return actor->is_timed && expiry->after_ms && *sfi_actor_touched(actor) &&
           sfi_expiry_is_over(expiry, *sfi_actor_touched(actor), sfi_work_now_ms(work));
}

/* Past the struct, on a multiple of 8. */
static struct sfi_copy_time *time_of(const struct sfi_copy *copy)
{
    size_t size = (copy->actor->type->desc.state_size + 7) & ~(size_t)7;
    return (struct sfi_copy_time *)(uintptr_t)(copy->bytes + size);
}

void sfi_expire_note(struct sfi_copy *copy)
{
    struct sfi_actor *actor = copy->actor;
    *time_of(copy) = (struct sfi_copy_time){*sfi_actor_touched(actor), !actor->has_state};
    actor->has_state = 1;
}

void sfi_expire_undo(const struct sfi_copy *copy)
{
    *sfi_actor_touched(copy->actor) = time_of(copy)->touched;
    if (time_of(copy)->is_unread)
        copy->actor->has_state = 0;
}

void sfi_expire_clear(struct sfi_copy *copy)
{
    time_of(copy)->touched = 0;
}

static int is_zero(const char *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Absent, it is written as soon as it is not zeroes. */
static int is_written(const struct sfi_copy *copy, uint64_t touched)
{
    const char *state = sfi_actor_state(copy->actor);
    size_t size = copy->actor->type->desc.state_size;
    return touched ? memcmp(state, copy->bytes, size) != 0 : !is_zero(state, size);
}

/* It was over, it was not written, and the clock may be wrong. */
static int is_spared(struct sfi_work *work, const struct sfi_copy *copy)
{
    return sfi_actor_is_absent(copy->actor) && time_of(copy)->touched &&
           sfi_doubt_is_on(&work->rt->doubt, work->rt->sys);
}

int sfi_expire_keep(struct sfi_work *work, const struct sfi_copy *copy)
{
    struct sfi_actor *actor = copy->actor;
    const struct sfi_expiry *expiry = &actor->type->state_expiry;
    uint64_t *touched = sfi_actor_touched(actor);
    int written = is_written(copy, *touched);
    if (!written && is_spared(work, copy)) {
        memcpy(sfi_actor_state(actor), copy->bytes, actor->type->desc.state_size);
        sfi_expire_undo(copy);
        return 0;
    }
    if (written || (*touched && expiry->on_access))
        *touched = sfi_expiry_touch(expiry, *touched, now_ms(work, expiry));
    return !actor->state_dirty && (written || *touched != time_of(copy)->touched);
}

/* -- slots ------------------------------------------------------------------------------------- */

int sfi_expire_slot(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot)
{
    const struct sfi_expiry *expiry = sfi_type_expiry(actor->type, slot->number);
    if (!expiry->after_ms || !slot->data ||
        !sfi_expiry_is_over(expiry, slot->touched, sfi_work_now_ms(work)))
        return 0;
    if (sfi_doubt_is_on(&work->rt->doubt, work->rt->sys))
        return 1;
    int rc = sfi_work_set_slot(work, actor, slot, NULL, 0);
    return rc < 0 ? rc : 1;
}

static int touch(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot,
                 const struct sfi_expiry *expiry)
{
    uint64_t touched = sfi_expiry_touch(expiry, slot->touched, sfi_work_now_ms(work));
    if (touched == slot->touched)
        return 0;
    struct sfi_undo *undo = sfi_work_push(work, UNDO_TOUCH);
    if (!undo)
        return SF_ENOMEM;
    undo->actor = actor;
    undo->slot = slot;
    undo->touched = slot->touched;
    slot->touched = touched;
    return 0;
}

int sfi_expire_read(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot)
{
    const struct sfi_expiry *expiry = sfi_type_expiry(actor->type, slot->number);
    return expiry->after_ms && expiry->on_access ? touch(work, actor, slot, expiry) : 0;
}

int sfi_expire_written(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot)
{
    const struct sfi_expiry *expiry = sfi_type_expiry(actor->type, slot->number);
    return expiry->after_ms && slot->data ? touch(work, actor, slot, expiry) : 0;
}
