#include "run/turn.h"

#include <stdio.h>
#include <string.h>

#include "actor/named.h"
#include "actor/state.h"
#include "base/err.h"
#include "run/await.h"
#include "run/drive.h"
#include "run/expire.h"
#include "run/failure.h"
#include "run/lent.h"
#include "run/runtime.h"
#include "run/schedule.h"
#include "run/timer.h"

enum { SCRATCH_BYTES = 64 * 1024 };

static int reserve(const struct sfi_sys *sys, struct sfi_scratch *scratch, size_t size)
{
    if (size <= scratch->size)
        return 0;
    void *memory = sfi_resize(sys, scratch->memory, size);
    if (!memory)
        return sfi_err(SF_ENOMEM, "out of memory");
    *scratch = (struct sfi_scratch){memory, size};
    return 0;
}

int sfi_turns_reserve_state(struct sfi_turns *turns, size_t size)
{
    return reserve(turns->work.rt->sys, &turns->no_state, size);
}

/* NULL only above the reserved size. */
static void *zeroes(struct sf_turn *turn, const struct sfi_scratch *scratch, size_t size)
{
    void *memory = size <= scratch->size ? scratch->memory
                                         : sfi_arena_alloc(&turn->rt->turns.work.arena, size);
    if (memory)
        memset(memory, 0, size);
    return memory;
}

int sfi_turns_init(struct sfi_turns *turns, sf_runtime *rt)
{
    sfi_work_init(&turns->work, rt);
    for (int i = 0; i < SFI_DEPTH_MAX; i++)
        turns->all[i].rt = rt;
    int rc = reserve(rt->sys, &turns->no_state, SCRATCH_BYTES);
    return rc < 0 ? rc : reserve(rt->sys, &turns->no_body, SCRATCH_BYTES);
}

void sfi_turns_fini(struct sfi_turns *turns)
{
    const struct sfi_sys *sys = turns->work.rt->sys;
    sfi_work_fini(&turns->work);
    sfi_scans_fini(&turns->scans, sys);
    sfi_free(sys, turns->no_state.memory);
    sfi_free(sys, turns->no_body.memory);
    turns->no_state = turns->no_body = (struct sfi_scratch){NULL, 0};
}

static struct sfi_work *work_of(struct sf_turn *turn)
{
    return &turn->rt->turns.work;
}

/* -- what a turn does ----------------------------------------------------------------------------- */

/* No snapshot is open meanwhile, and what is in memory belongs to the turn: so it may also be left. */
static int migrate(struct sf_turn *turn, struct sfi_actor *actor, const struct sfi_old_state *old)
{
    struct sfi_type *type = actor->type;
    turn->rt->turns.migrating = 1;
    int rc = sfi_state_migrate(type, old, sfi_actor_state(actor));
    turn->rt->turns.migrating = 0;
    actor->has_state = rc == 0;
    if (rc == 0)
        type->refused = 0;
    else
        sfi_work_doom(work_of(turn), SFI_HOLD, rc, "%s", sf_errmsg());
    return rc;
}

static __attribute__((noinline)) int load_state(struct sf_turn *turn, struct sfi_actor *actor)
{
    struct sfi_old_state old;
    int rc = sfi_state_load(turn->rt->store, &work_of(turn)->arena, actor, &old);
    if (rc < 0)
        return sfi_work_unreadable(work_of(turn), rc);
    if (rc > 0 && sfi_expire_is_over(work_of(turn), actor)) /* what is over needs no migration */
        return 0;
    return rc > 0 ? migrate(turn, actor, &old) : 0;
}

void *sfi_turn_no_struct(struct sf_turn *turn, size_t size)
{
    return zeroes(turn, &turn->rt->turns.no_state, size);
}

const void *sfi_turn_no_body(struct sf_turn *turn, size_t size)
{
    return zeroes(turn, &turn->rt->turns.no_body, size);
}

/* Written to in vain: it is undone. */
static __attribute__((noinline, cold)) void *no_state(struct sf_turn *turn)
{
    return zeroes(turn, &turn->rt->turns.no_state, turn->actor->type->desc.state_size);
}

/* For the first time in this work. */
static void *lend_state(struct sf_turn *turn, struct sfi_actor *actor)
{
    struct sfi_work *work = work_of(turn);
    if (SFI_RARE(work->verdict != SFI_KEEP || (!actor->has_state && load_state(turn, actor) < 0) ||
                 sfi_work_copy(work, actor) < 0))
        return no_state(turn);
    if (SFI_RARE(actor->is_timed) && sfi_expire_is_over(work, actor))
        sfi_state_forget(actor);
    return sfi_actor_state(actor);
}

void *sfi_turn_state(struct sf_turn *turn)
{
    struct sfi_actor *actor = turn->actor;
    if (actor->copied)
        return sfi_actor_state(actor);
    return actor->type->desc.state_size ? lend_state(turn, actor) : NULL;
}

/* Other threads may be looking at the type. */
static int make_named(struct sf_turn *turn, const struct sfi_naming *naming, const sf_value **out)
{
    sf_runtime *rt = turn->rt;
    pthread_mutex_lock(&rt->lock);
    int rc = sfi_named_make(&rt->types, turn->actor->type, naming, out);
    pthread_mutex_unlock(&rt->lock);
    return rc;
}

const sf_value *sfi_turn_named(struct sf_turn *turn, const struct sfi_naming *naming)
{
    const sf_value *value = sfi_named_find(turn->actor->type, naming);
    int rc = value ? 0 : make_named(turn, naming, &value);
    if (rc == SF_ENOMEM)
        sfi_work_trouble(work_of(turn), rc);
    else if (rc < 0)
        sfi_work_doom(work_of(turn), SFI_REJECT, rc, "%s", sf_errmsg());
    return rc < 0 ? NULL : value;
}

struct sfi_slot *sfi_turn_slot(struct sf_turn *turn, const sf_value *value)
{
    struct sfi_actor *actor = turn->actor;
    struct sfi_slot *slot;
    const struct sfi_binding *binding =
        value ? sfi_type_binding(actor->type, &value->slot, SFI_SLOT_VALUE) : NULL;
    if (!binding) {
        sfi_work_doom(work_of(turn), SFI_REJECT, SF_EINVAL, "type '%s' does not list value '%.100s'",
                      actor->type->name, value && value->slot.name ? value->slot.name : "(null)");
        sfi_work_error(work_of(turn));
        return NULL;
    }
    uint64_t bytes = turn->rt->actors.bytes;
    int rc = sfi_actor_load_slot(&turn->rt->actors, turn->rt->store, actor, binding->number, &slot);
    if (rc == 0 && SFI_RARE(turn->depth > 1)) /* call.h: 4 */
        sfi_work_charge(work_of(turn), turn->rt->actors.bytes - bytes);
    if (rc == 0)
        return slot;
    sfi_work_unreadable(work_of(turn), rc);
    return NULL;
}

sf_bytes sfi_turn_get(struct sf_turn *turn, struct sfi_slot *slot)
{
    int rc = sfi_expire_slot(work_of(turn), turn->actor, slot);
    if (rc == 0 && slot->data)
        rc = sfi_expire_read(work_of(turn), turn->actor, slot);
    return rc == 0 && slot->data ? SF_BYTES(slot->data, slot->size) : SF_NONE;
}

int sfi_turn_set(struct sf_turn *turn, struct sfi_slot *slot, sf_bytes bytes)
{
    struct sfi_work *work = work_of(turn);
    unsigned char *data = NULL;
    int rc = sfi_work_charge(work, bytes.size);
    if (rc < 0)
        return rc;
    if (bytes.data) {
        data = sfi_alloc(work->rt->sys, bytes.size + 1);
        if (!data)
            return sfi_work_no_memory(work);
        memcpy(data, bytes.data, bytes.size);
        data[bytes.size] = 0;
    }
    rc = sfi_work_set_slot(work, turn->actor, slot, data, bytes.data ? bytes.size : 0);
    return rc < 0 ? rc : sfi_expire_written(work, turn->actor, slot);
}

/* The struct need not be read for it; what stands for it until the turn is undone is zeroes then. */
static int clear_state(struct sf_turn *turn, struct sfi_actor *actor)
{
    if (actor->type->desc.state_size == 0)
        return 0;
    if (!actor->has_state)
        sfi_state_forget(actor);
    actor->has_state = 1;
    int rc = actor->copied ? 0 : sfi_work_copy(work_of(turn), actor);
    sfi_state_forget(actor);
    return rc;
}

/* Rows that its maps and lists have will be deleted. */
static int drop_collections(struct sf_turn *turn)
{
    struct sfi_work *work = work_of(turn);
    if (turn->actor->type->slot_count == 0)
        return 0;
    int rc = sfi_collections_drop(&turn->rt->actors, turn->rt->store, turn->actor,
                                  sfi_work_batch(work));
    return rc < 0 ? sfi_work_trouble(work, rc) : 0;
}

int sfi_turn_clear(struct sf_turn *turn)
{
    struct sfi_actor *actor = turn->actor;
    int rc = drop_collections(turn);
    if (rc == 0)
        rc = sfi_schedule_forget(work_of(turn), actor);
    struct sfi_undo *undo = rc < 0 ? NULL : sfi_work_push(work_of(turn), UNDO_CLEAR);
    if (!undo)
        return rc < 0 ? rc : SF_ENOMEM;
    sfi_lents_cut(work_of(turn), actor, NULL);
    sfi_scans_end(work_of(turn), actor, NULL);
    undo->actor = actor;
    undo->slot = actor->slots;
    undo->had_state = actor->has_state;
    undo->was_emptied = actor->emptied;
    actor->emptied = 1; /* what was not read yet is not there */
    rc = clear_state(turn, actor);
    for (struct sfi_slot *slot = actor->slots; slot && rc == 0; slot = slot->next)
        if (slot->data)
            rc = sfi_turn_set(turn, slot, SF_NONE);
    return rc == 0 && turn->rt->operations.count ? sfi_await_clear(work_of(turn), actor) : rc;
}

int sfi_turn_send(struct sf_turn *turn, struct sfi_type *type, sf_address to, const char *kind,
                  size_t kind_size, sf_bytes body)
{
    sf_runtime *rt = turn->rt;
    struct sfi_work *work = work_of(turn);
    struct sfi_letter letter; /* an initializer would clear all of it first */
    letter.to_type = type;
    letter.from_type = turn->actor->type;
    letter.hash = sfi_actors_hash(&rt->actors, type, to.id.data, to.id.size);
    letter.to_id = to.id.data;
    letter.to_size = to.id.size;
    letter.from_id = turn->actor->id;
    letter.from_size = turn->actor->id_size;
    letter.kind = kind;
    letter.kind_size = kind_size;
    letter.body = body;
    letter.parts.has = 0;
    struct sfi_message *message = sfi_message_new(&rt->mailbox.pool, &letter);
    if (SFI_RARE(!message))
        return sfi_work_no_memory(work);
    size_t bytes = sfi_message_bytes(message);
    work->sent_bytes += bytes;
    sfi_list_push(&work->sent, message);
    return sfi_work_charge(work, bytes);
}

int sfi_turn_answer(struct sf_turn *turn, uint64_t ask, const char *kind, sf_bytes body)
{
    struct sfi_reply *reply = sfi_reply_new(turn->rt->sys, ask, 0, turn->actor, kind, body, "");
    if (!reply)
        return sfi_work_no_memory(work_of(turn));
    sfi_effects_push(&work_of(turn)->effects, &reply->effect);
    return sfi_work_charge(work_of(turn), sizeof *reply + body.size);
}

int sfi_turn_emit(struct sf_turn *turn, struct sfi_egress *egress, const char *kind,
                  size_t kind_size, sf_bytes body)
{
    struct sfi_work *work = work_of(turn);
    int rc = sfi_egress_check(&work->rt->egresses, egress);
    if (rc < 0) {
        work->full = egress;
        sfi_work_doom(work, SFI_WAIT, rc, "%s", sf_errmsg());
        return rc;
    }
    struct sfi_undo *undo = sfi_work_push(work, UNDO_EGRESS);
    if (!undo)
        return SF_ENOMEM;
    undo->egress = egress;
    undo->sequence = egress->next;
    undo->bytes = egress->bytes;
    rc = sfi_egress_put(egress, sfi_work_batch(work), turn->actor, kind, kind_size, body);
    return rc < 0 ? sfi_work_no_memory(work)
                  : sfi_work_charge(work, body.size + SFI_EGRESS_RECORD_BYTES);
}

/* -- turns begin and end ---------------------------------------------------------------------------- */

static inline struct sf_turn *enter(struct sfi_turns *turns, struct sfi_actor *actor)
{
    struct sf_turn *turn = &turns->all[turns->depth++];
    turn->depth = turns->depth;
    turn->serial = ++turns->serial;
    turn->actor = actor;
    turn->answer = NULL;
    turn->starter = NULL;
    actor->busy = 1;
    return turn;
}

struct sf_turn *sfi_turn_enter(struct sfi_turns *turns, struct sfi_actor *actor)
{
    return enter(turns, actor);
}

static inline void leave_last(struct sfi_turns *turns)
{
    struct sf_turn *turn = &turns->all[--turns->depth];
    turn->depth = 0;
    turn->actor->busy = 0;
}

void sfi_turn_leave(struct sfi_turns *turns, int depth)
{
    while (turns->depth > depth)
        leave_last(turns);
}

/* An inner handler was left by longjmp into this one, or this is the child of a fork. */
static __attribute__((noinline, cold)) void settle_handler(struct sf_turn *turn)
{
    struct sfi_turns *turns = &turn->rt->turns;
    if (turns->depth > turn->depth) {
        sfi_work_doom(&turns->work, SFI_FAIL, SF_EFAILED,
                      "the handler of a call was left by longjmp");
        sfi_turn_leave(turns, turn->depth);
    }
    if (sfi_is_forked(turn->rt))
        sfi_work_trouble(&turns->work, sfi_life_check(turn->rt, "a turn"));
}

static __attribute__((noinline, cold)) void not_understood(struct sf_turn *turn)
{
    sfi_work_doom(work_of(turn), SFI_REJECT, SF_EINVAL, "%s does not understand '%s'",
                  turn->actor->type->name, turn->view.kind);
}

static inline __attribute__((always_inline)) void call_handler(struct sf_turn *turn)
{
    sf_runtime *rt = turn->rt;
    int depth = turn->depth;
    sf_handler *handler = sfi_type_handler(turn->actor->type, turn->view.kind, turn->kind_size);
    if (SFI_RARE(!handler)) {
        not_understood(turn);
        return;
    }
    SFI_INSIDE(rt->drive.guard.handlers);
    int rc = handler(turn);
    if (SFI_RARE(rt->turns.depth > depth || sfi_is_forked(rt)))
        settle_handler(turn);
    if (SFI_RARE(rc))
        sfi_work_doom(&rt->turns.work, SFI_FAIL, SF_EFAILED, "the handler returned %d", rc);
}

void sfi_turn_call_handler(struct sf_turn *turn)
{
    call_handler(turn);
}

/* While much waits, who sends more than he took waits for those who do not (ceiling.h: 4). */
static void check_flood(sf_runtime *rt)
{
    struct sfi_work *work = &rt->turns.work;
    if (work->sent_bytes == 0 || work->verdict != SFI_KEEP ||
        work->sent_bytes <= rt->turns.message_bytes)
        return;
    if (!sfi_ceiling_has_flood(&rt->ceiling, sfi_mailbox_waiting_bytes(&rt->mailbox))) {
        rt->ceiling.flood_ns = 0;
        return;
    }
    work->full = NULL;
    work->wait_ms = sfi_ceiling_flood_ms(&rt->ceiling, rt->epoch.stats.turns,
                                         rt->sys->mono_ns(rt->sys->ctx));
    if (work->wait_ms)
        sfi_work_doom(work, SFI_WAIT, SF_EDISK,
                      "the turn sends more than it took, and what waits takes too much of the "
                      "database");
}

/* 1: kept; 0: undone and dealt with; negative: trouble. */
static int end_work(sf_runtime *rt)
{
    struct sfi_turns *turns = &rt->turns;
    sfi_careful_end(&rt->careful);
    if (SFI_RARE(turns->depth > 1))
        sfi_turn_leave(turns, 1);
    leave_last(turns);
    if (turns->work.verdict == SFI_KEEP)
        sfi_work_finish(&turns->work);
    check_flood(rt);
    if (SFI_RARE(sfi_await_concerns(&turns->work, turns->message)) && turns->work.verdict == SFI_KEEP)
        sfi_await_finish(&turns->work, turns->message);
    if (turns->work.verdict == SFI_KEEP) {
        sfi_work_keep(&turns->work);
        sfi_crowd_done(rt);
        rt->epoch.stats.turns++;
        return 1;
    }
    sfi_work_undo(&turns->work);
    return sfi_failure_settle(&turns->work, turns->message);
}

/* The target, brought into memory; others may have to leave for it. */
static struct sfi_actor *find_actor(sf_runtime *rt, const struct sfi_message *message)
{
    struct sfi_actor *actor = sfi_actors_get(&rt->actors, message->to_type, message->hash,
                                             sfi_message_to(message), message->to_size);
    if (actor && sfi_actors_exceed(&rt->actors))
        sfi_actors_trim(&rt->actors, rt->store->durable, actor);
    return actor;
}

/* What was asked is lent aligned, as everything is. */
static __attribute__((noinline)) void show_parts(struct sf_turn *turn, const struct sfi_message *message)
{
    struct sfi_answer answer;
    sf_message *view = &turn->view;
    struct sfi_message_parts parts = sfi_message_parts(message);
    sf_bytes part = parts.answer;
    view->due_ms = parts.due_ms;
    if (!part.data || sfi_answer_parse(part, &answer) < 0)
        return; /* it was made here, or parsed when it was read */
    view->reason = answer.reason.data;
    view->result = answer.result;
    if (!answer.request.data)
        return;
    char *request = sfi_arena_copy(&work_of(turn)->arena, answer.request.data, answer.request.size);
    view->request = SF_BYTES(request, request ? answer.request.size : 0);
    if (!request)
        sfi_work_no_memory(work_of(turn));
}

/* In place: a view made elsewhere would be copied in steps wider than those it was written in, and wait for each. */
static inline void show(struct sf_turn *turn, const struct sfi_message *message)
{
    sf_message *view = &turn->view;
    view->to = sfi_message_target(message);
    view->from = sfi_message_sender(message);
    view->kind = sfi_message_kind(message);
    turn->kind_size = message->kind_size;
    view->body = sfi_message_body(message);
    view->attempt = message->attempts + 1;
    view->sequence = 0;
    view->reason = "";
    view->result = 0;
    view->request = SF_NONE;
    view->due_ms = 0;
    if (SFI_RARE(message->has_parts))
        show_parts(turn, message);
}

/* The message of a timer that is not handled: it was cancelled or put off meanwhile, or that could not be found
 * out. */
static int end_tick(sf_runtime *rt, int failed)
{
    if (failed) {
        sfi_work_undo(&rt->turns.work);
        return sfi_failure_settle(&rt->turns.work, rt->turns.message);
    }
    sfi_work_keep(&rt->turns.work);
    sfi_crowd_done(rt);
    return 0;
}

int sfi_turn_run(sf_runtime *rt, struct sfi_message *message)
{
    if (SFI_RARE(message->purged))
        return sfi_failure_drop(rt, message);
    if (SFI_RARE(message->has_parts) && sfi_message_is_spent(message))
        return sfi_failure_give_up(rt, message);
    struct sfi_actor *actor = find_actor(rt, message);
    if (SFI_RARE(!actor))
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_work_begin(&rt->turns.work);
    rt->turns.message = message;
    rt->turns.message_bytes = sfi_message_bytes(message);
    rt->turns.met = 1;
    if (SFI_RARE(message->has_parts) && sfi_timer_is_tick(message)) {
        int is_due = sfi_timer_take(&rt->turns.work, actor, message);
        if (is_due <= 0)
            return end_tick(rt, is_due < 0);
    }
    struct sf_turn *turn = enter(&rt->turns, actor);
    show(turn, message);
    sfi_careful_begin(&rt->careful, message->sequence);
    if (rt->turns.work.verdict == SFI_KEEP)
        call_handler(turn);
    return end_work(rt);
}

int sfi_turn_abandon(sf_runtime *rt)
{
    int migrating = rt->turns.migrating;
    rt->turns.migrating = 0;
    sfi_work_doom(&rt->turns.work, migrating ? SFI_HOLD : SFI_FAIL, SF_EFAILED,
                  "%s was left by longjmp or an exception",
                  migrating ? "state_migrate" : "the handler");
    int rc = end_work(rt);
    return rc < 0 ? rc : 0;
}
