#include "run/turn.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "run/drive.h"
#include "run/runtime.h"

enum {
    SCRATCH_BYTES = 64 * 1024,
    HOLD_MIN_MS = 1000,
    HOLD_MAX_MS = 60000,
    HOLD_DOUBLINGS = 6
};

static int reserve(struct sf_turn *turn, struct sfi_scratch *scratch, size_t size)
{
    if (size <= scratch->size)
        return 0;
    void *memory = sfi_resize(turn->rt->sys, scratch->memory, size);
    if (!memory)
        return sfi_err(SF_ENOMEM, "out of memory");
    *scratch = (struct sfi_scratch){memory, size};
    return 0;
}

int sfi_turn_reserve_state(struct sf_turn *turn, size_t size)
{
    return reserve(turn, &turn->no_state, size);
}

/* NULL only above the reserved size. */
static void *zeroes(struct sf_turn *turn, const struct sfi_scratch *scratch, size_t size)
{
    void *memory = size <= scratch->size ? scratch->memory : sfi_arena_alloc(&turn->arena, size);
    if (memory)
        memset(memory, 0, size);
    return memory;
}

int sfi_turn_init(struct sf_turn *turn, sf_runtime *rt)
{
    *turn = (struct sf_turn){.rt = rt};
    sfi_arena_init(&turn->arena, rt->sys);
    int rc = reserve(turn, &turn->no_state, SCRATCH_BYTES);
    return rc < 0 ? rc : reserve(turn, &turn->no_body, SCRATCH_BYTES);
}

void sfi_turn_fini(struct sf_turn *turn)
{
    sfi_arena_fini(&turn->arena);
    sfi_free(turn->rt->sys, turn->undo);
    sfi_free(turn->rt->sys, turn->no_state.memory);
    sfi_free(turn->rt->sys, turn->no_body.memory);
    turn->undo = NULL;
    turn->no_state = turn->no_body = (struct sfi_scratch){NULL, 0};
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

int sfi_turn_error(const struct sf_turn *turn)
{
    return sfi_err(turn->code, "%s", turn->reason);
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
        void *undo = sfi_grow(turn->rt->sys, turn->undo, &turn->undo_capacity,
                              (uint64_t)turn->undo_count + 1, 16, sizeof *turn->undo);
        if (!undo)
            return NULL;
        turn->undo = undo;
    }
    struct sfi_undo *entry = &turn->undo[turn->undo_count++];
    *entry = (struct sfi_undo){0};
    return entry;
}

/* No snapshot is open meanwhile, and what is in memory belongs to the turn: so it may also be left. */
static int migrate(struct sf_turn *turn, struct sfi_actor *actor, const struct sfi_old_state *old)
{
    struct sfi_type *type = actor->type;
    turn->migrating = 1;
    int rc = sfi_state_migrate(type, old, sfi_actor_state(actor));
    turn->migrating = 0;
    actor->has_state = rc == 0;
    if (rc == 0)
        type->refused = 0;
    else
        sfi_turn_doom(turn, SFI_HOLD, rc, "%s", sf_errmsg());
    return rc;
}

static int load_state(struct sf_turn *turn, struct sfi_actor *actor)
{
    struct sfi_old_state old;
    if (actor->has_state)
        return 0;
    int rc = sfi_actor_load_state(turn->rt->store, &turn->arena, actor, &old);
    if (rc < 0)
        return trouble(turn, rc);
    return rc > 0 ? migrate(turn, actor, &old) : 0;
}

static int save_state(struct sf_turn *turn, struct sfi_actor *actor, size_t size)
{
    void *old = sfi_arena_alloc(&turn->arena, size);
    if (!old)
        return no_memory(turn);
    memcpy(old, sfi_actor_state(actor), size);
    turn->old_state = old;
    return 0;
}

const void *sfi_turn_no_body(struct sf_turn *turn, size_t size)
{
    return zeroes(turn, &turn->no_body, size);
}

void *sfi_turn_state(struct sf_turn *turn)
{
    struct sfi_actor *actor = turn->actor;
    size_t size = actor->type->desc.state_size;
    if (size == 0)
        return NULL;
    if (turn->old_state)
        return sfi_actor_state(actor);
    if (turn->verdict != SFI_KEEP || load_state(turn, actor) < 0 ||
        save_state(turn, actor, size) < 0)
        return zeroes(turn, &turn->no_state, size); /* written to in vain: the turn is undone */
    return sfi_actor_state(actor);
}

struct sfi_slot *sfi_turn_slot(struct sf_turn *turn, const sf_value *value)
{
    struct sfi_actor *actor = turn->actor;
    struct sfi_slot *slot;
    uint16_t number = sfi_type_slot(actor->type, value);
    if (number == 0) {
        sfi_turn_doom(turn, SFI_REJECT, SF_EINVAL, "type '%s' does not list value '%.100s'",
                      actor->type->name, value && value->name ? value->name : "(null)");
        sfi_turn_error(turn);
        return NULL;
    }
    int rc = sfi_actor_load_slot(&turn->rt->actors, turn->rt->store, actor, number, &slot);
    if (rc == 0)
        return slot;
    trouble(turn, rc);
    return NULL;
}

/* What one turn changes and sends is bounded, so that an epoch is. */
static int charge(struct sf_turn *turn, size_t bytes)
{
    uint64_t max = turn->rt->turn_bytes_max;
    turn->bytes += bytes;
    if (turn->bytes <= max)
        return 0;
    sfi_turn_doom(turn, SFI_REJECT, SF_EINVAL, "one turn sent and stored more than %llu bytes",
                  (unsigned long long)max);
    return sfi_turn_error(turn);
}

int sfi_turn_set(struct sf_turn *turn, struct sfi_slot *slot, sf_bytes bytes)
{
    unsigned char *data = NULL;
    int rc = charge(turn, bytes.size);
    if (rc < 0)
        return rc;
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
    *undo =
        (struct sfi_undo){.what = UNDO_SLOT, .slot = slot, .old = slot->data, .size = slot->size};
    slot->data = data;
    slot->size = bytes.data ? bytes.size : 0;
    turn->rt->actors.bytes += sfi_slot_bytes(slot->data, slot->size);
    return 0;
}

/* The struct need not be read for it; what stands for it until the turn is undone is zeroes then. */
static int clear_state(struct sf_turn *turn, struct sfi_actor *actor)
{
    size_t size = actor->type->desc.state_size;
    void *state = sfi_actor_state(actor);
    int rc = 0;
    if (size == 0)
        return 0;
    if (!actor->has_state)
        memset(state, 0, size);
    actor->has_state = 1;
    if (!turn->old_state)
        rc = save_state(turn, actor, size);
    memset(state, 0, size);
    return rc;
}

int sfi_turn_clear(struct sf_turn *turn)
{
    struct sfi_actor *actor = turn->actor;
    if (!turn->cleared) {
        turn->had_state = actor->has_state;
        turn->was_emptied = actor->emptied;
        turn->had_slots = actor->slots;
    }
    turn->cleared = 1;
    actor->emptied = 1; /* what was not read yet is not there */
    int rc = clear_state(turn, actor);
    for (struct sfi_slot *slot = actor->slots; slot && rc == 0; slot = slot->next)
        if (slot->data)
            rc = sfi_turn_set(turn, slot, SF_NONE);
    return rc;
}

int sfi_turn_send(struct sf_turn *turn, struct sfi_type *type, sf_address to, const char *kind,
                  size_t kind_size, sf_bytes body)
{
    sf_runtime *rt = turn->rt;
    struct sfi_letter letter = {.to_type = type,
                                .from_type = turn->actor->type,
                                .hash = sfi_actors_hash(&rt->actors, type, to.id, to.id_size),
                                .to_id = to.id,
                                .to_size = to.id_size,
                                .from_id = turn->actor->id,
                                .from_size = turn->actor->id_size,
                                .kind = kind,
                                .kind_size = kind_size,
                                .body = body};
    struct sfi_message *message = sfi_message_new(&rt->mailbox.pool, &letter);
    if (!message)
        return no_memory(turn);
    sfi_list_push(&turn->sent, message);
    return charge(turn, sfi_message_bytes(message));
}

int sfi_turn_answer(struct sf_turn *turn, uint64_t ask, const char *kind, sf_bytes body)
{
    struct sfi_reply *reply = sfi_reply_new(turn->rt->sys, ask, 0, turn->actor, kind, body, "");
    if (!reply)
        return no_memory(turn);
    sfi_effects_push(&turn->effects, &reply->effect);
    return charge(turn, sizeof *reply + body.size);
}

int sfi_turn_emit(struct sf_turn *turn, struct sfi_egress *egress, const char *kind,
                  size_t kind_size, sf_bytes body)
{
    int rc = sfi_egress_check(&turn->rt->egresses, egress);
    if (rc < 0) {
        turn->full = egress;
        sfi_turn_doom(turn, SFI_WAIT, rc, "%s", sf_errmsg());
        return rc;
    }
    struct sfi_undo *undo = push_undo(turn);
    if (!undo)
        return no_memory(turn);
    *undo = (struct sfi_undo){.what = UNDO_EGRESS,
                              .egress = egress,
                              .sequence = egress->next,
                              .bytes = egress->bytes};
    struct sfi_batch *batch = sfi_epoch_batch(&turn->rt->epoch);
    if (!turn->emitted)
        turn->mark = sfi_batch_mark(batch);
    turn->emitted = 1;
    rc = sfi_egress_put(egress, batch, turn->actor, kind, kind_size, body);
    return rc < 0 ? no_memory(turn) : charge(turn, body.size + SFI_EGRESS_RECORD_BYTES);
}

/* -- kept or undone --------------------------------------------------------------------------------- */

static void undo_one(struct sf_turn *turn, const struct sfi_undo *undo)
{
    switch (undo->what) {
    case UNDO_SLOT:
        turn->rt->actors.bytes -= sfi_slot_bytes(undo->slot->data, undo->slot->size);
        sfi_free(turn->rt->sys, undo->slot->data);
        undo->slot->data = undo->old;
        undo->slot->size = undo->size;
        break;
    case UNDO_EGRESS:
        undo->egress->next = undo->sequence;
        undo->egress->bytes = undo->bytes;
        break;
    }
}

static void keep_one(struct sf_turn *turn, const struct sfi_undo *undo)
{
    struct sfi_actors *actors = &turn->rt->actors;
    switch (undo->what) {
    case UNDO_SLOT:
        sfi_actor_touch(actors, turn->actor, undo->slot->size);
        undo->slot->dirty = 1;
        actors->bytes -= sfi_slot_bytes(undo->old, undo->size);
        sfi_free(turn->rt->sys, undo->old);
        break;
    case UNDO_EGRESS:
        sfi_egress_keep(&turn->rt->egresses, undo->egress);
        break;
    }
}

static size_t state_size(const struct sf_turn *turn)
{
    return turn->actor->type->desc.state_size;
}

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

/* The struct was handed out; whether it was changed is seen by looking, unless it is to be saved anyhow. */
static void keep_state(struct sf_turn *turn)
{
    struct sfi_actor *actor = turn->actor;
    if (actor->state_dirty || !differs(sfi_actor_state(actor), turn->old_state, state_size(turn)))
        return;
    sfi_actor_touch(&turn->rt->actors, actor, state_size(turn));
    actor->state_dirty = 1;
    if (!sfi_type_is_raised(actor->type))
        sfi_type_raise(&turn->rt->types, actor->type);
}

/* What was there before goes; what the handler has written since is new. */
static void keep_clear(struct sf_turn *turn)
{
    sfi_actor_clear(&turn->rt->actors, turn->actor);
    if (turn->old_state)
        memset(turn->old_state, 0, state_size(turn));
}

/* Slots made since say that nothing is there, but on disk there may be. */
static void undo_clear(struct sf_turn *turn)
{
    struct sfi_actor *actor = turn->actor;
    sfi_actor_drop_slots(&turn->rt->actors, actor, turn->had_slots);
    actor->has_state = turn->had_state != 0;
    actor->emptied = turn->was_emptied != 0;
}

static void undo_turn(struct sf_turn *turn)
{
    if (turn->old_state)
        memcpy(sfi_actor_state(turn->actor), turn->old_state, state_size(turn));
    while (turn->undo_count)
        undo_one(turn, &turn->undo[--turn->undo_count]);
    if (turn->cleared)
        undo_clear(turn);
    sfi_message_list_free(&turn->rt->mailbox.pool, &turn->sent);
    sfi_effects_drop(&turn->effects);
    if (turn->emitted)
        sfi_batch_rollback(sfi_epoch_batch(&turn->rt->epoch), turn->mark);
    turn->active = 0;
}

static void keep_turn(struct sf_turn *turn)
{
    sf_runtime *rt = turn->rt;
    for (size_t i = 0; i < turn->undo_count; i++)
        keep_one(turn, &turn->undo[i]);
    turn->undo_count = 0;
    if (turn->cleared)
        keep_clear(turn);
    if (turn->old_state)
        keep_state(turn);
    for (struct sfi_message *message; (message = sfi_list_pop(&turn->sent));)
        sfi_mailbox_push(&rt->mailbox, message);
    sfi_effects_move(&rt->gate.open, &turn->effects);
    sfi_mailbox_done(&rt->mailbox);
    turn->active = 0;
}

/* -- what becomes of a failed message --------------------------------------------------------------- */

/* What an asker is told whose message is given up; NULL: nobody asked. */
static int refusal(sf_runtime *rt, const struct sfi_message *message, const char *reason,
                   struct sfi_reply **out)
{
    uint64_t ask = sfi_message_ask(message);
    *out = ask ? sfi_reply_new(rt->sys, ask, SF_EFAILED, NULL, "", SF_NONE, reason) : NULL;
    return ask && !*out ? sfi_err(SF_ENOMEM, "out of memory") : 0;
}

/* What was sent before its actor was purged is dropped, which is a way to handle it. */
static int drop_purged(sf_runtime *rt, const struct sfi_message *message)
{
    struct sfi_reply *reply;
    int rc = refusal(rt, message, "the actor was purged", &reply);
    if (rc < 0)
        return rc;
    if (reply)
        sfi_effects_push(&rt->gate.open, &reply->effect);
    sfi_mailbox_done(&rt->mailbox);
    return 0;
}

/* Everything that can fail comes first, so that a dead letter, its count and the asker's answer are
 * one step. */
static int bury(sf_runtime *rt, struct sfi_message *message, const char *reason)
{
    struct sfi_reply *reply;
    int rc = refusal(rt, message, reason, &reply);
    if (rc < 0)
        return rc;
    message->attempts++;
    rc = sfi_dead_add(rt, message, reason);
    if (rc < 0) {
        message->attempts--;
        sfi_reply_free(reply);
        return rc;
    }
    if (reply)
        sfi_effects_push(&rt->gate.open, &reply->effect);
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
    const struct sfi_type *type = message->to_type;
    int rc = 0;
    if (reject || message->attempts + 1 >= type->attempts_max) {
        rc = bury(rt, message, reason);
    } else {
        message->attempts++;
        if (type->backoff_ms)
            rc = sfi_mailbox_back_off(&rt->mailbox, sfi_epoch_batch(&rt->epoch),
                                      backoff_ms(type, message->attempts));
        else
            rc = sfi_mailbox_again(&rt->mailbox, sfi_epoch_batch(&rt->epoch));
        if (rc < 0)
            message->attempts--;
    }
    if (rc == 0)
        rt->epoch.stats.turns_failed++;
    return rc;
}

/* The program cannot read what the actor is.  Its row says nothing of the pause: a restart may bring a program
 * that can. */
static int hold_message(sf_runtime *rt, struct sfi_message *message)
{
    struct sfi_type *type = message->to_type;
    uint64_t pause_ms = type->refused < HOLD_DOUBLINGS ? (uint64_t)HOLD_MIN_MS << type->refused
                                                       : HOLD_MAX_MS;
    int rc = sfi_mailbox_put_off(&rt->mailbox, sfi_epoch_batch(&rt->epoch), pause_ms);
    if (rc < 0)
        return rc;
    type->refused++;
    rt->epoch.stats.turns_failed++;
    rt->epoch.stats.turns_held++;
    return 0;
}

/* What the actor emits to is full: its messages wait, and no attempt is counted. */
static int wait_for_room(sf_runtime *rt)
{
    uint64_t wait_ms = sfi_egress_retry_ms(&rt->egresses, rt->turn.full);
    int rc = sfi_mailbox_put_off(&rt->mailbox, sfi_epoch_batch(&rt->epoch), wait_ms);
    if (rc == 0)
        rt->epoch.stats.turns_failed++;
    return rc;
}

/* -- the call --------------------------------------------------------------------------------------- */

static void begin_turn(struct sf_turn *turn, struct sfi_message *message)
{
    sfi_arena_reset(&turn->arena);
    turn->message = message;
    turn->verdict = SFI_KEEP;
    turn->code = 0;
    turn->reason[0] = 0;
    turn->bytes = 0;
    turn->now_ms = 0;
    turn->undo_count = 0;
    turn->old_state = NULL;
    turn->cleared = 0;
    turn->emitted = 0;
    turn->view = (sf_message){.to = sfi_message_target(message),
                              .from = sfi_message_sender(message),
                              .kind = sfi_message_kind(message),
                              .body = sfi_message_body(message),
                              .attempt = message->attempts + 1,
                              .reason = ""};
    turn->active = 1;
}

static void call_handler(struct sf_turn *turn)
{
    const struct sfi_type *type = turn->actor->type;
    sf_handler *handler = sfi_type_handler(type, turn->view.kind);
    if (!handler) {
        sfi_turn_doom(turn, SFI_REJECT, SF_EINVAL, "%s does not understand '%s'", type->name,
                      turn->view.kind);
        return;
    }
    SFI_INSIDE(turn->rt->drive.guard.handlers);
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
    if (turn->verdict == SFI_HOLD)
        return hold_message(rt, turn->message);
    if (turn->verdict == SFI_WAIT)
        return wait_for_room(rt);
    return fail_message(rt, turn->message, turn->verdict == SFI_REJECT, turn->reason);
}

/* The target, brought into memory; others may have to leave for it. */
static int find_actor(sf_runtime *rt, const struct sfi_message *message)
{
    struct sfi_actor *actor = sfi_actors_get(&rt->actors, message->to_type, message->hash,
                                             sfi_message_to(message), message->to_size);
    if (!actor)
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_actors_trim(&rt->actors, rt->store->durable, actor);
    rt->turn.actor = actor;
    return 0;
}

int sfi_turn_run(sf_runtime *rt, struct sfi_message *message)
{
    if (message->purged)
        return drop_purged(rt, message);
    int rc = find_actor(rt, message);
    if (rc < 0)
        return rc;
    begin_turn(&rt->turn, message);
    call_handler(&rt->turn);
    return end_turn(rt);
}

int sfi_turn_abandon(sf_runtime *rt)
{
    int migrating = rt->turn.migrating;
    rt->turn.migrating = 0;
    sfi_turn_doom(&rt->turn, migrating ? SFI_HOLD : SFI_FAIL, SF_EFAILED,
                  "%s was left by longjmp or an exception",
                  migrating ? "state_migrate" : "the handler");
    int rc = end_turn(rt);
    return rc < 0 ? rc : 0;
}
