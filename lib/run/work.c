#include "run/work.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "run/expire.h"
#include "run/await.h"
#include "run/lent.h"
#include "run/runtime.h"

enum { UNDO_MIN = 16 };

void sfi_work_init(struct sfi_work *work, sf_runtime *rt)
{
    *work = (struct sfi_work){.rt = rt, .bytes_max = sfi_ceiling_turn_bytes(&rt->ceiling)};
    sfi_arena_init(&work->arena, rt->sys);
}

void sfi_work_fini(struct sfi_work *work)
{
    sfi_arena_fini(&work->arena);
    sfi_free(work->rt->sys, work->undo);
    work->undo = NULL;
}

void sfi_work_doom(struct sfi_work *work, enum sfi_verdict verdict, int code, const char *format,
                   ...)
{
    va_list args;
    if (work->verdict != SFI_KEEP)
        return;
    work->verdict = verdict;
    work->code = code;
    va_start(args, format);
    vsnprintf(work->reason, sizeof work->reason, format, args);
    va_end(args);
}

int sfi_work_error(const struct sfi_work *work)
{
    return sfi_err(work->code, "%s", work->reason);
}

int sfi_work_trouble(struct sfi_work *work, int code)
{
    sfi_work_doom(work, SFI_TROUBLE, code, "%s", sf_errmsg());
    return code;
}

int sfi_work_unreadable(struct sfi_work *work, int code)
{
    if (code != SF_ECORRUPT)
        return sfi_work_trouble(work, code);
    sfi_work_doom(work, SFI_FENCE, code, "%s", sf_errmsg());
    return code;
}

int sfi_work_no_memory(struct sfi_work *work)
{
    return sfi_work_trouble(work, sfi_err(SF_ENOMEM, "out of memory"));
}

int sfi_work_too_much(struct sfi_work *work)
{
    sfi_work_doom(work, SFI_REJECT, SF_EINVAL, "one turn sent and stored more than %llu bytes",
                  (unsigned long long)work->bytes_max);
    return sfi_work_error(work);
}

static size_t state_size(const struct sfi_actor *actor)
{
    return actor->type->desc.state_size;
}

int sfi_work_copy(struct sfi_work *work, struct sfi_actor *actor)
{
    size_t size = state_size(actor);
    size_t more = SFI_RARE(actor->is_timed) ? SFI_COPY_TIME_BYTES : 0;
    struct sfi_copy *copy = sfi_arena_alloc(&work->arena, sizeof *copy + size + more);
    if (!copy)
        return sfi_work_no_memory(work);
    copy->next = work->copies;
    copy->actor = actor;
    memcpy(copy->bytes, sfi_actor_state(actor), size);
    actor->copied = 1;
    work->copies = copy;
    work->lent_bytes += size;
    if (SFI_RARE(actor->is_timed))
        sfi_expire_note(copy);
    return 0;
}

struct sfi_undo *sfi_work_push(struct sfi_work *work, int what)
{
    if (work->undo_count == work->undo_capacity) {
        void *undo = sfi_grow(work->rt->sys, work->undo, &work->undo_capacity,
                              (uint64_t)work->undo_count + 1, UNDO_MIN, sizeof *work->undo);
        if (!undo) {
            sfi_work_no_memory(work);
            return NULL;
        }
        work->undo = undo;
    }
    struct sfi_undo *entry = &work->undo[work->undo_count++];
    entry->what = what;
    return entry;
}

/* -- slots -------------------------------------------------------------------------------------------- */

int sfi_work_set_slot(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot,
                      void *data, size_t size)
{
    struct sfi_undo *undo = sfi_work_push(work, UNDO_SLOT);
    if (!undo) {
        sfi_free(work->rt->sys, data);
        return SF_ENOMEM;
    }
    undo->actor = actor;
    undo->slot = slot;
    undo->old = slot->data;
    undo->size = slot->size;
    slot->data = data;
    slot->size = size;
    slot->copied = 0;
    work->rt->actors.bytes += sfi_slot_bytes(data, size);
    return 0;
}

static int copy_slot(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot,
                     size_t room)
{
    unsigned char *data = sfi_alloc(work->rt->sys, room);
    if (!data)
        return sfi_work_no_memory(work);
    if (slot->size)
        memcpy(data, slot->data, slot->size);
    else
        memset(data, 0, room);
    int rc = sfi_work_set_slot(work, actor, slot, data, slot->size);
    slot->copied = rc == 0;
    slot->room = (uint32_t)room;
    return rc;
}

static int grow_slot(struct sfi_work *work, struct sfi_slot *slot, size_t room)
{
    unsigned char *data = sfi_resize(work->rt->sys, slot->data, room);
    if (!data)
        return sfi_work_no_memory(work);
    slot->data = data;
    slot->room = (uint32_t)room;
    return 0;
}

unsigned char *sfi_work_edit_slot(struct sfi_work *work, struct sfi_actor *actor,
                                  struct sfi_slot *slot, size_t room)
{
    enum { STEP = 64 };
    room = (room + STEP - 1) & ~(size_t)(STEP - 1);
    int is_ours = slot->copied && slot->data, rc = 0;
    if (!is_ours)
        rc = copy_slot(work, actor, slot, room > slot->size ? room : slot->size);
    else if (room > slot->room)
        rc = grow_slot(work, slot, room);
    return rc < 0 ? NULL : slot->data;
}

void sfi_work_size_slot(struct sfi_work *work, struct sfi_slot *slot, size_t size)
{
    work->rt->actors.bytes -= sfi_slot_bytes(slot->data, slot->size);
    slot->size = size;
    work->rt->actors.bytes += sfi_slot_bytes(slot->data, size);
}

int sfi_work_note_struct(struct sfi_work *work, struct sfi_actor *actor,
                         const struct sfi_binding *binding)
{
    if (actor->type->slots[binding->number - 1].version == binding->desc.struct_version)
        return 0;
    struct sfi_undo *undo = sfi_work_push(work, UNDO_STRUCT);
    if (!undo)
        return SF_ENOMEM;
    undo->actor = actor;
    undo->binding = binding;
    return 0;
}

struct sfi_batch *sfi_work_batch(struct sfi_work *work)
{
    struct sfi_batch *batch = sfi_epoch_batch(&work->rt->epoch);
    if (!work->is_marked)
        work->mark = sfi_batch_mark(batch);
    work->is_marked = 1;
    return batch;
}

uint64_t sfi_work_now_us(struct sfi_work *work)
{
    if (!work->now_us)
        work->now_us = work->rt->sys->wall_us(work->rt->sys->ctx);
    return work->now_us;
}

/* -- undone ------------------------------------------------------------------------------------------- */

/* Past the undo of a clear, which does not know what was not read. */
static void undo_copies(struct sfi_work *work)
{
    for (const struct sfi_copy *copy = work->copies; copy; copy = copy->next) {
        memcpy(sfi_actor_state(copy->actor), copy->bytes, state_size(copy->actor));
        copy->actor->copied = 0;
        if (SFI_RARE(copy->actor->is_timed))
            sfi_expire_undo(copy);
    }
    work->copies = NULL;
}

static void undo_slot(struct sfi_actors *actors, const struct sfi_undo *undo)
{
    actors->bytes -= sfi_slot_bytes(undo->slot->data, undo->slot->size);
    sfi_free(actors->sys, undo->slot->data);
    undo->slot->data = undo->old;
    undo->slot->size = undo->size;
    undo->slot->copied = 0;
}

/* Slots made since say that nothing is there, but on disk there may be. */
static void undo_clear(struct sfi_actors *actors, const struct sfi_undo *undo)
{
    sfi_actor_drop_slots(actors, undo->actor, undo->slot);
    undo->actor->has_state = undo->had_state != 0;
    undo->actor->emptied = undo->was_emptied != 0;
}

static void undo_egress(const struct sfi_undo *undo)
{
    undo->egress->next = undo->sequence;
    undo->egress->bytes = undo->bytes;
}

static void undo_one(struct sfi_actors *actors, const struct sfi_undo *undo)
{
    switch (undo->what) {
    case UNDO_SLOT:
        undo_slot(actors, undo);
        break;
    case UNDO_TOUCH:
        undo->slot->touched = undo->touched;
        break;
    case UNDO_CLEAR:
        undo_clear(actors, undo);
        break;
    case UNDO_STRUCT:
        break;
    case UNDO_EGRESS:
        undo_egress(undo);
        break;
    }
}

void sfi_work_undo(struct sfi_work *work)
{
    if (work->starters || work->awaits || work->taken.first)
        sfi_await_undo(work);
    while (work->undo_count)
        undo_one(&work->rt->actors, &work->undo[--work->undo_count]);
    undo_copies(work);
    sfi_message_list_free(&work->rt->mailbox.pool, &work->sent);
    sfi_effects_drop(&work->effects);
    if (work->rows)
        sfi_fronts_forget(&work->rt->fronts);
    if (work->is_marked)
        sfi_batch_rollback(sfi_epoch_batch(&work->rt->epoch), work->mark);
}

/* -- kept --------------------------------------------------------------------------------------------- */

/* In words first: a wide load over a word that the handler has just written would wait for it. */
static int differs(const char *a, const char *b, size_t size)
{
    enum { WORD = 8, WORDS_MAX = 8 };
    for (int i = 0; i < WORDS_MAX && size >= WORD; i++, a += WORD, b += WORD, size -= WORD) {
        uint64_t x, y;
        memcpy(&x, a, WORD);
        memcpy(&y, b, WORD);
        if (x != y)
            return 1;
    }
    return size && memcmp(a, b, size) != 0;
}

/* The struct was handed out, and is not to be saved anyhow: whether it was changed is seen by looking. */
static __attribute__((noinline)) void keep_copy(struct sfi_work *work, const struct sfi_copy *copy)
{
    sf_runtime *rt = work->rt;
    struct sfi_actor *actor = copy->actor;
    size_t size = state_size(actor);
    if (SFI_RARE(actor->is_timed) ? !sfi_expire_keep(work, copy)
                                  : !differs(sfi_actor_state(actor), (const char *)copy->bytes, size))
        return;
    sfi_actor_touch(&rt->actors, actor, size);
    actor->state_dirty = 1;
    if (SFI_RARE(!sfi_type_is_raised(actor->type)) && !sfi_actor_is_absent(actor)) {
        pthread_mutex_lock(&rt->lock); /* views copy what fields its versions have */
        sfi_type_raise(&rt->types, actor->type);
        pthread_mutex_unlock(&rt->lock);
    }
}

static void keep_slot(struct sfi_actors *actors, const struct sfi_undo *undo)
{
    sfi_actor_touch(actors, undo->actor, undo->slot->size);
    undo->slot->dirty = 1;
    undo->slot->copied = 0;
    actors->bytes -= sfi_slot_bytes(undo->old, undo->size);
    sfi_free(actors->sys, undo->old);
}

/* Views copy what fields its versions have, under the lock. */
static void raise_slot(sf_runtime *rt, struct sfi_type *type, const struct sfi_binding *binding)
{
    if (sfi_type_slot_is_raised(type, binding))
        return;
    pthread_mutex_lock(&rt->lock);
    sfi_type_raise_slot(&rt->types, type, binding);
    pthread_mutex_unlock(&rt->lock);
}

static void keep_one(sf_runtime *rt, const struct sfi_undo *undo)
{
    switch (undo->what) {
    case UNDO_SLOT:
        keep_slot(&rt->actors, undo);
        break;
    case UNDO_TOUCH:
        sfi_actor_touch(&rt->actors, undo->actor, undo->slot->size);
        undo->slot->dirty = 1;
        break;
    case UNDO_CLEAR:
        break; /* keep_clear() */
    case UNDO_STRUCT:
        raise_slot(rt, undo->actor->type, undo->binding);
        break;
    case UNDO_EGRESS:
        sfi_egress_keep(&rt->egresses, undo->egress);
        break;
    }
}

/* What was there before goes; what handlers have written since is new, and so is a struct that is not zeroes. */
static void keep_clear(struct sfi_work *work, struct sfi_actor *actor)
{
    sfi_actor_clear(&work->rt->actors, actor);
    for (struct sfi_copy *copy = work->copies; copy; copy = copy->next)
        if (copy->actor == actor) {
            memset(copy->bytes, 0, state_size(actor));
            if (actor->is_timed)
                sfi_expire_clear(copy);
        }
}

/* Values before clears before structs: each needs what the one before it has done. */
static void keep_undo(struct sfi_work *work)
{
    for (uint32_t i = 0; i < work->undo_count; i++)
        keep_one(work->rt, &work->undo[i]);
    for (uint32_t i = 0; i < work->undo_count; i++)
        if (work->undo[i].what == UNDO_CLEAR)
            keep_clear(work, work->undo[i].actor);
    work->undo_count = 0;
}

void sfi_work_keep(struct sfi_work *work)
{
    sf_runtime *rt = work->rt;
    if (SFI_RARE(work->starters || work->awaits || work->taken.first))
        sfi_await_keep(work);
    if (work->undo_count)
        keep_undo(work);
    for (const struct sfi_copy *copy = work->copies; copy; copy = copy->next) {
        copy->actor->copied = 0;
        if (!copy->actor->state_dirty || copy->actor->is_timed)
            keep_copy(work, copy);
    }
    for (struct sfi_message *message; (message = sfi_list_pop(&work->sent));)
        sfi_mailbox_push(&rt->mailbox, message);
    if (work->effects.first)
        sfi_effects_move(&rt->gate.open, &work->effects);
}
