#include "run/turn.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "run/drive.h"
#include "run/runtime.h"

enum { SCRATCH_BYTES = 64 * 1024 };

int sfi_turn_init(struct sf_turn *turn, sf_runtime *rt)
{
    *turn = (struct sf_turn){.rt = rt};
    sfi_arena_init(&turn->arena, rt->sys);
    return sfi_turn_scratch_reserve(turn, SCRATCH_BYTES);
}

void sfi_turn_fini(struct sf_turn *turn)
{
    sfi_arena_fini(&turn->arena);
    sfi_free(turn->rt->sys, turn->undo);
    sfi_free(turn->rt->sys, turn->scratch);
    turn->undo = NULL;
    turn->scratch = NULL;
}

void sfi_turn_doom(struct sf_turn *turn, enum sfi_verdict verdict, int code, const char *format,
                   ...)
{
    va_list args;
    if (turn->verdict != SFI_KEEP)
        return;
    turn->verdict = verdict;
    turn->code = code;
    va_start(args, format);
    vsnprintf(turn->reason, sizeof turn->reason, format, args);
    va_end(args);
}

static int trouble(struct sf_turn *turn, int code)
{
    sfi_turn_doom(turn, SFI_TROUBLE, code, "%s", sf_errmsg());
    return code;
}

static int no_memory(struct sf_turn *turn)
{
    return trouble(turn, sfi_err(SF_ENOMEM, "out of memory"));
}

/* -- what a turn does ----------------------------------------------------------------------------- */

static struct sfi_undo *push_undo(struct sf_turn *turn)
{
    if (turn->undo_count == turn->undo_capacity) {
        size_t capacity = turn->undo_capacity ? turn->undo_capacity * 2 : 16;
        void *undo = sfi_resize(turn->rt->sys, turn->undo, capacity * sizeof *turn->undo);
        if (!undo)
            return NULL;
        turn->undo = undo;
        turn->undo_capacity = capacity;
    }
    struct sfi_undo *entry = &turn->undo[turn->undo_count++];
    *entry = (struct sfi_undo){0};
    return entry;
}

static int has_undo(const struct sf_turn *turn, const struct sfi_actor *actor)
{
    for (size_t i = 0; i < turn->undo_count; i++)
        if (turn->undo[i].what == UNDO_STATE && turn->undo[i].actor == actor)
            return 1;
    return 0;
}

void *sfi_turn_scratch(struct sf_turn *turn, size_t size)
{
    void *memory = size <= turn->scratch_size ? turn->scratch : sfi_arena_alloc(&turn->arena, size);
    if (memory)
        memset(memory, 0, size);
    return memory;
}

int sfi_turn_scratch_reserve(struct sf_turn *turn, size_t size)
{
    if (size <= turn->scratch_size)
        return 0;
    void *scratch = sfi_resize(turn->rt->sys, turn->scratch, size);
    if (!scratch)
        return sfi_err(SF_ENOMEM, "out of memory");
    turn->scratch = scratch;
    turn->scratch_size = size;
    return 0;
}

static int load_state(struct sf_turn *turn, struct sfi_actor *actor)
{
    int rc = actor->state ? 0 : sfi_actor_load_state(&turn->rt->actors, turn->rt->store, actor);
    if (rc == SF_EFAILED) /* the application's own migration said no */
        sfi_turn_doom(turn, SFI_FAIL, rc, "%s", sf_errmsg());
    else if (rc < 0)
        trouble(turn, rc);
    return rc;
}

static int save_state(struct sf_turn *turn, struct sfi_actor *actor, size_t size)
{
    void *old = sfi_arena_alloc(&turn->arena, size);
    struct sfi_undo *undo = old ? push_undo(turn) : NULL;
    if (!undo)
        return no_memory(turn);
    memcpy(old, actor->state, size);
    *undo = (struct sfi_undo){.what = UNDO_STATE, .actor = actor, .old = old, .size = size};
    return 0;
}

void *sfi_turn_state(struct sf_turn *turn)
{
    struct sfi_actor *actor = turn->message->to;
    size_t size = actor->type->desc.state_size;
    if (size == 0)
        return NULL;
    if (has_undo(turn, actor))
        return actor->state;
    if (turn->verdict != SFI_KEEP || load_state(turn, actor) < 0 ||
        save_state(turn, actor, size) < 0)
        return sfi_turn_scratch(turn, size); /* written to in vain: the turn is undone */
    return actor->state;
}

struct sfi_slot *sfi_turn_slot(struct sf_turn *turn, const sf_value *value)
{
    struct sfi_actor *actor = turn->message->to;
    struct sfi_slot *slot;
    uint16_t number = sfi_type_slot(actor->type, value);
    if (number == 0) {
        sfi_turn_doom(turn, SFI_REJECT, SF_EINVAL, "type '%s' does not list value '%.100s'",
                      actor->type->name, value && value->name ? value->name : "(null)");
        return NULL;
    }
    int rc = sfi_actor_load_slot(&turn->rt->actors, turn->rt->store, actor, number, &slot);
    if (rc == 0)
        return slot;
    trouble(turn, rc);
    return NULL;
}

int sfi_turn_set(struct sf_turn *turn, struct sfi_slot *slot, sf_bytes bytes)
{
    unsigned char *data = NULL;
    if (bytes.data) {
        data = sfi_alloc(turn->rt->sys, bytes.size + 1);
        if (!data)
            return no_memory(turn);
        memcpy(data, bytes.data, bytes.size);
        data[bytes.size] = 0;
    }
    struct sfi_undo *undo = push_undo(turn);
    if (!undo) {
        sfi_free(turn->rt->sys, data);
        return no_memory(turn);
    }
    *undo = (struct sfi_undo){.what = UNDO_SLOT,
                              .actor = turn->message->to,
                              .slot = slot,
                              .old = slot->data,
                              .size = slot->size};
    slot->data = data;
    slot->size = bytes.data ? bytes.size : 0;
    return 0;
}

/* R10: what one turn stages is bounded, so that an epoch is. */
static int charge(struct sf_turn *turn, size_t bytes)
{
    turn->bytes += bytes;
    if (turn->bytes <= SFI_TURN_BYTES_MAX)
        return 0;
    sfi_turn_doom(turn, SFI_REJECT, SF_EINVAL, "one turn sent more than %d bytes",
                  SFI_TURN_BYTES_MAX);
    return SF_EINVAL;
}

int sfi_turn_send(struct sf_turn *turn, struct sfi_type *type, sf_address to, const char *kind,
                  size_t kind_size, sf_bytes body)
{
    sf_runtime *rt = turn->rt;
    struct sfi_actor *actor = sfi_actors_get(&rt->actors, type, to.id, to.id_size);
    struct sfi_message *message =
        actor ? sfi_message_new(&rt->mailbox.pool, kind, kind_size, body) : NULL;
    if (!message)
        return no_memory(turn);
    message->to = actor;
    message->from = turn->message->to;
    sfi_list_push(&turn->sent, message);
    return charge(turn, sfi_message_bytes(message));
}

int sfi_turn_answer(struct sf_turn *turn, uint64_t ask, const char *kind, sf_bytes body)
{
    struct sfi_reply *reply =
        sfi_reply_new(turn->rt->sys, ask, 0, turn->message->to, kind, body, "");
    if (!reply)
        return no_memory(turn);
    sfi_reply_push(&turn->replies, reply);
    return charge(turn, sizeof *reply + body.size);
}

int sfi_turn_emit(struct sf_turn *turn, struct sfi_egress *egress, const char *kind,
                  size_t kind_size, sf_bytes body)
{
    struct sfi_undo *undo = push_undo(turn);
    if (!undo)
        return no_memory(turn);
    *undo = (struct sfi_undo){.what = UNDO_EGRESS, .egress = egress, .sequence = egress->next};
    int rc = sfi_egress_put(egress, sfi_epoch_batch(&turn->rt->epoch), turn->message->to, kind,
                            kind_size, body);
    if (rc < 0)
        return no_memory(turn);
    egress->next++;
    return charge(turn, body.size + 64);
}

/* -- kept or undone --------------------------------------------------------------------------------- */

static void undo_one(struct sf_turn *turn, const struct sfi_undo *undo)
{
    switch (undo->what) {
    case UNDO_STATE:
        memcpy(undo->actor->state, undo->old, undo->size);
        break;
    case UNDO_SLOT:
        sfi_free(turn->rt->sys, undo->slot->data);
        undo->slot->data = undo->old;
        undo->slot->size = undo->size;
        break;
    case UNDO_EGRESS:
        undo->egress->next = undo->sequence;
        break;
    }
}

static void keep_one(struct sf_turn *turn, const struct sfi_undo *undo)
{
    struct sfi_actors *actors = &turn->rt->actors;
    switch (undo->what) {
    case UNDO_STATE:
        if (memcmp(undo->actor->state, undo->old, undo->size) == 0)
            break;
        sfi_actor_touch(actors, undo->actor, undo->actor->state_dirty ? 0 : undo->size);
        undo->actor->state_dirty = 1;
        break;
    case UNDO_SLOT:
        sfi_actor_touch(actors, undo->actor, undo->slot->size);
        undo->slot->dirty = 1;
        sfi_free(turn->rt->sys, undo->old);
        break;
    case UNDO_EGRESS:
        undo->egress->dirty = 1;
        break;
    }
}

static void undo_turn(struct sf_turn *turn)
{
    while (turn->undo_count)
        undo_one(turn, &turn->undo[--turn->undo_count]);
    sfi_message_list_free(&turn->rt->mailbox.pool, &turn->sent);
    sfi_reply_list_free(&turn->replies);
    sfi_batch_rollback(sfi_epoch_batch(&turn->rt->epoch), turn->mark);
    turn->active = 0;
}

static void keep_turn(struct sf_turn *turn)
{
    sf_runtime *rt = turn->rt;
    for (size_t i = 0; i < turn->undo_count; i++)
        keep_one(turn, &turn->undo[i]);
    turn->undo_count = 0;
    for (struct sfi_message *message; (message = sfi_list_pop(&turn->sent));)
        sfi_mailbox_push(&rt->mailbox, message);
    for (struct sfi_reply *reply; (reply = turn->replies.first);) {
        turn->replies.first = reply->next;
        sfi_reply_push(&rt->epoch.replies, reply);
    }
    turn->replies.last = NULL;
    sfi_mailbox_done(&rt->mailbox);
    turn->active = 0;
}

/* -- what becomes of a failed message --------------------------------------------------------------- */

/* Everything that can fail comes first, so that a dead letter, its count and the asker's answer are
 * one step. */
static int bury(sf_runtime *rt, struct sfi_message *message, const char *reason)
{
    struct sfi_reply *reply = NULL;
    if (message->ask) {
        reply = sfi_reply_new(rt->sys, message->ask, SF_EFAILED, NULL, "", SF_NONE, reason);
        if (!reply)
            return sfi_err(SF_ENOMEM, "out of memory");
    }
    message->attempts++;
    int rc =
        sfi_message_save_dead(message, rt->epoch.next_dead, reason, sfi_epoch_batch(&rt->epoch));
    if (rc < 0) {
        message->attempts--;
        sfi_reply_free(reply);
        return rc;
    }
    rt->epoch.next_dead++;
    rt->epoch.stats.dead_letters++;
    if (reply)
        sfi_reply_push(&rt->epoch.replies, reply);
    sfi_mailbox_done(&rt->mailbox);
    return 0;
}

static uint64_t backoff_ms(const struct sfi_type *type, uint32_t failed)
{
    uint64_t pause_ms = type->backoff_ms;
    while (--failed && pause_ms < type->backoff_ms_max)
        pause_ms *= 2;
    return pause_ms < type->backoff_ms_max ? pause_ms : type->backoff_ms_max;
}

static int fail_message(sf_runtime *rt, struct sfi_message *message, int reject, const char *reason)
{
    const struct sfi_type *type = message->to->type;
    int rc = 0;
    if (reject || message->attempts + 1 >= type->attempts_max) {
        rc = bury(rt, message, reason);
    } else {
        message->attempts++;
        if (type->backoff_ms)
            rc = sfi_mailbox_pause(&rt->mailbox, sfi_epoch_batch(&rt->epoch),
                                   backoff_ms(type, message->attempts));
        if (rc < 0)
            message->attempts--;
    }
    if (rc == 0)
        rt->epoch.stats.turns_failed++;
    return rc;
}

/* -- the call --------------------------------------------------------------------------------------- */

static void begin_turn(struct sf_turn *turn, struct sfi_message *message, uintptr_t frame)
{
    sfi_arena_reset(&turn->arena);
    turn->message = message;
    turn->verdict = SFI_KEEP;
    turn->code = 0;
    turn->reason[0] = 0;
    turn->bytes = 0;
    turn->now_ms = 0;
    turn->undo_count = 0;
    turn->mark = sfi_batch_mark(sfi_epoch_batch(&turn->rt->epoch));
    turn->view = (sf_message){.to = sfi_actor_address(message->to),
                              .from = sfi_message_sender(message),
                              .kind = message->text,
                              .body = sfi_message_body(message),
                              .attempt = message->attempts + 1,
                              .reason = ""};
    turn->frame = frame;
    turn->active = 1;
}

static void call_handler(struct sf_turn *turn)
{
    const struct sfi_type *type = turn->message->to->type;
    sf_handler *handler = sfi_type_handler(type, turn->view.kind);
    if (!handler) {
        sfi_turn_doom(turn, SFI_REJECT, SF_EINVAL, "%s does not understand '%s'", type->name,
                      turn->view.kind);
        return;
    }
    int rc = handler(turn);
    if (sfi_life_check(turn->rt, "a turn") < 0) /* the handler forked, and this is the child */
        trouble(turn, SF_EFORK);
    else if (rc)
        sfi_turn_doom(turn, SFI_FAIL, SF_EFAILED, "the handler returned %d", rc);
}

static int end_turn(sf_runtime *rt)
{
    struct sf_turn *turn = &rt->turn;
    if (turn->verdict == SFI_KEEP) {
        keep_turn(turn);
        rt->epoch.stats.turns++;
        return 1;
    }
    undo_turn(turn);
    if (turn->verdict == SFI_TROUBLE)
        return sfi_err(turn->code, "%s", turn->reason);
    return fail_message(rt, turn->message, turn->verdict == SFI_REJECT, turn->reason);
}

int sfi_turn_run(sf_runtime *rt, struct sfi_message *message)
{
    begin_turn(&rt->turn, message, (uintptr_t)__builtin_frame_address(0));
    call_handler(&rt->turn);
    return end_turn(rt);
}

int sfi_turn_abandon(sf_runtime *rt)
{
    sfi_turn_doom(&rt->turn, SFI_FAIL, SF_EFAILED,
                  "the handler was left by longjmp or an exception");
    int rc = end_turn(rt);
    return rc < 0 ? rc : 0;
}
