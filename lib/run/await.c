#include "run/await.h"

#include <string.h>

#include "actor/backlog.h"
#include "actor/taking.h"
#include "base/err.h"
#include "run/failure.h"
#include "run/runtime.h"
#include "run/starting.h"

/* What one work changes of what one actor awaits. */
struct sfi_await_change {
    struct sfi_await_change *next;
    struct sfi_whom whom;
    uint32_t begun, ended; /* operations */
    uint64_t first;        /* of those begun */
    int clears;            /* it is cleared: all that it had under way is dropped */
    struct sfi_hold_change change;
};

static struct sfi_whom whom_of(const sf_runtime *rt, const struct sfi_actor *actor)
{
    return (struct sfi_whom){
        .type = actor->type,
        .hash = sfi_actors_hash(&rt->actors, actor->type, actor->id, actor->id_size),
        .id = actor->id,
        .id_size = actor->id_size};
}

static struct sfi_whom target_of(const sf_runtime *rt, const struct sfi_message *message)
{
    struct sfi_whom whom = {.type = message->to_type,
                            .id = sfi_message_to(message),
                            .id_size = message->to_size};
    whom.hash = sfi_actors_hash(&rt->actors, whom.type, whom.id, whom.id_size);
    return whom;
}

static struct sfi_holds *holds_of(sf_runtime *rt)
{
    return &rt->mailbox.holds;
}

/* -- taken ------------------------------------------------------------------------------------- */

/* The hold whose messages this turn may take; NULL: none. */
static struct sfi_hold *hold_to_take_from(struct sf_turn *turn)
{
    sf_runtime *rt = turn->rt;
    const struct sfi_message *message = rt->turns.message;
    if (turn->depth != 1 || message->attempts || !sfi_message_is_awaited(message) ||
        sfi_careful_is_on(&rt->careful)) /* so that who kills the process does so alone */
        return NULL;
    struct sfi_whom whom = target_of(rt, message);
    struct sfi_hold *hold = sfi_holds_find(holds_of(rt), &whom);
    return hold && hold->reasons & SFI_HELD_OPERATION ? hold : NULL;
}

static sf_message *show(struct sfi_work *work, const struct sfi_message *message)
{
    sf_message *view = sfi_arena_alloc(&work->arena, sizeof *view);
    if (view)
        *view = (sf_message){.to = sfi_message_target(message),
                             .from = sfi_message_sender(message),
                             .kind = sfi_message_kind(message),
                             .body = sfi_message_body(message),
                             .attempt = message->attempts + 1,
                             .reason = ""};
    return view;
}

const sf_message *sfi_await_take(struct sf_turn *turn)
{
    sf_runtime *rt = turn->rt;
    struct sfi_work *work = &rt->turns.work;
    struct sfi_hold *hold = hold_to_take_from(turn);
    int rc;
    if (!hold || work->taken_count == SFI_TAKE_MAX ||
        work->taken_bytes >= work->bytes_max / SFI_TAKE_PART)
        return NULL;
    struct sfi_message *message = sfi_taking_next(&rt->mailbox, hold, &rc);
    if (rc < 0)
        sfi_work_trouble(work, rc);
    if (!message)
        return NULL;
    sfi_list_push(&work->taken, message);
    work->taken_count++;
    work->taken_bytes += sfi_message_bytes(message);
    const sf_message *view = show(work, message);
    if (!view)
        sfi_work_no_memory(work);
    return view;
}

/* Back to where they were taken from: that hold is there still, since nothing else ran. */
static void undo_taken(struct sfi_work *work)
{
    sf_runtime *rt = work->rt;
    struct sfi_whom whom = target_of(rt, rt->turns.message);
    sfi_taking_undo(&rt->mailbox, sfi_holds_find(holds_of(rt), &whom), &work->taken);
}

/* -- finished ---------------------------------------------------------------------------------- */

/* NULL: no memory, and the work is doomed. */
static struct sfi_await_change *change_of(struct sfi_work *work, const struct sfi_actor *actor)
{
    struct sfi_await_change *change = work->awaits;
    struct sfi_whom whom = whom_of(work->rt, actor);
    while (change && (change->whom.type != whom.type || change->whom.id != whom.id))
        change = change->next;
    if (change)
        return change;
    change = sfi_arena_alloc(&work->arena, sizeof *change);
    if (!change) {
        sfi_work_no_memory(work);
        return NULL;
    }
    *change = (struct sfi_await_change){.next = work->awaits, .whom = whom};
    work->awaits = change;
    return change;
}

/* Turns began newest first; so the last one seen has the first number. */
static int note_begun(struct sfi_work *work)
{
    for (const struct sfi_starter *starter = work->starters; starter; starter = starter->next) {
        if (!starter->awaits)
            continue;
        struct sfi_await_change *change = change_of(work, starter->actor);
        if (!change)
            return SF_ENOMEM;
        change->begun += starter->count;
        change->first = starter->first->id;
    }
    return 0;
}

static int note_answer(struct sfi_work *work, const struct sfi_message *message)
{
    if (!sfi_message_is_awaited(message))
        return 0;
    struct sfi_await_change *change = change_of(work, work->rt->turns.all[0].actor);
    if (!change)
        return SF_ENOMEM;
    change->ended++;
    return 0;
}

int sfi_await_clear(struct sfi_work *work, const struct sfi_actor *actor)
{
    struct sfi_await_change *change = change_of(work, actor);
    if (change)
        change->clears = 1;
    return change ? 0 : SF_ENOMEM;
}

/* What a cleared actor had under way is dropped; what this work started is not. */
static int erase_cleared(struct sfi_work *work)
{
    uint32_t awaited;
    for (struct sfi_await_change *change = work->awaits; change; change = change->next) {
        if (!change->clears)
            continue;
        int rc = sfi_operations_erase(work->rt, &change->whom, sfi_work_batch(work), &awaited);
        if (rc < 0)
            return sfi_work_trouble(work, rc);
        change->ended += awaited;
    }
    return 0;
}

/* What the outermost turn handled and took stands behind what it awaits. */
static int save_kept(struct sfi_work *work, const struct sfi_message *message,
                     struct sfi_awaited *to)
{
    int rc = sfi_message_save_kept(message, to->operation, to->kept++, sfi_work_batch(work));
    for (const struct sfi_message *m = work->taken.first; m && rc == 0; m = m->next)
        rc = sfi_message_save_kept(m, to->operation, to->kept++, sfi_work_batch(work));
    return rc < 0 ? sfi_work_no_memory(work) : 0;
}

static int prepare(struct sfi_work *work, struct sfi_await_change *change,
                   const struct sfi_message *message)
{
    struct sfi_holds *holds = holds_of(work->rt);
    struct sfi_awaited old = sfi_hold_awaited(sfi_holds_find(holds, &change->whom)), to = old;
    if (!old.awaited && !change->begun)
        return 0;
    to.awaited -= change->ended < to.awaited ? change->ended : to.awaited;
    if (!to.awaited) {
        if (sfi_kept_erase(old.operation, old.kept, sfi_work_batch(work)) < 0)
            return sfi_work_no_memory(work);
        to = (struct sfi_awaited){.operation = change->first};
    }
    to.awaited += change->begun;
    if (change->begun && change->whom.id == work->rt->turns.all[0].actor->id &&
        save_kept(work, message, &to) < 0)
        return SF_ENOMEM;
    int rc = sfi_hold_prepare(holds, sfi_work_batch(work), &change->whom, &to, &change->change);
    return rc < 0 ? sfi_work_no_memory(work) : 0;
}

static int prepare_all(struct sfi_work *work, const struct sfi_message *message)
{
    int rc = 0;
    for (struct sfi_await_change *change = work->awaits; change && rc == 0; change = change->next)
        rc = prepare(work, change, message);
    return rc;
}

int sfi_await_finish(struct sfi_work *work, const struct sfi_message *message)
{
    int rc = note_begun(work);
    if (rc == 0)
        rc = note_answer(work, message);
    if (rc == 0)
        rc = erase_cleared(work);
    if (rc == 0)
        rc = sfi_starting_save(work);
    if (rc == 0)
        rc = prepare_all(work, message);
    return rc == 0 ? sfi_starting_enter(work) : rc;
}

static void forget(struct sfi_work *work)
{
    work->starters = NULL;
    work->awaits = NULL;
    work->started = work->taken_count = 0;
    work->taken_bytes = 0;
}

void sfi_await_keep(struct sfi_work *work)
{
    sf_runtime *rt = work->rt;
    for (struct sfi_await_change *change = work->awaits; change; change = change->next) {
        if (change->clears)
            sfi_operations_drop(rt, &change->whom);
        sfi_hold_change(holds_of(rt), &change->change);
    }
    for (struct sfi_message *message; (message = sfi_list_pop(&work->taken));)
        sfi_crowd_taken(rt, message);
    forget(work);
}

void sfi_await_undo(struct sfi_work *work)
{
    sf_runtime *rt = work->rt;
    if (work->taken.first)
        undo_taken(work);
    for (struct sfi_await_change *change = work->awaits; change; change = change->next) {
        if (change->clears)
            sfi_operations_keep(rt, &change->whom);
        sfi_hold_cancel(holds_of(rt), &change->change);
    }
    sfi_starting_undo(work);
    forget(work);
}

/* -- dead -------------------------------------------------------------------------------------- */

/* 1: it is in the list; 0: it cannot be read, and stays where it is; negative. */
static int bring_back(sf_runtime *rt, const struct sfi_awaited *awaited, uint32_t index,
                      const struct sfi_hold *hold, struct sfi_message_list *back)
{
    struct sfi_key key;
    sf_bytes record;
    struct sfi_message *message;
    sfi_key_kept(&key, awaited->operation, index);
    int rc = sfi_operations_get(rt, &key, &record);
    if (rc > 0)
        rc = sfi_backlog_open_kept(&rt->mailbox.backlog, sfi_key_bytes(&key), record, &message);
    if (rc < 0)
        return rc == SF_ECORRUPT ? 0 : rc;
    sfi_list_push(back, message);
    rc = sfi_taking_save(hold, message, sfi_epoch_batch(&rt->epoch));
    if (rc == 0 && sfi_batch_delete(sfi_epoch_batch(&rt->epoch), SFI_ASYNC, sfi_key_bytes(&key)) < 0)
        rc = sfi_err(SF_ENOMEM, "out of memory");
    return rc;
}

/* All come back at once, so the longest of their pauses is that of the actor. */
static int back_off(sf_runtime *rt, struct sfi_hold *hold, struct sfi_await_end *end)
{
    uint32_t most = 0;
    for (const struct sfi_message *m = end->back.first; m; m = m->next)
        most = m->attempts > most ? m->attempts : most;
    uint64_t pause_ms = most ? sfi_failure_pause_ms(rt, hold->type, most) : 0;
    if (!pause_ms)
        return 0;
    int rc = sfi_hold_back_off(holds_of(rt), hold,
                               rt->sys->mono_ns(rt->sys->ctx) + pause_ms * 1000000);
    end->backs_off = rc == 0 ? hold : NULL;
    return rc;
}

int sfi_await_end_prepare(sf_runtime *rt, const struct sfi_message *message,
                          struct sfi_await_end *end)
{
    *end = (struct sfi_await_end){.backs_off = NULL};
    if (!sfi_message_is_awaited(message))
        return 0;
    struct sfi_whom whom = target_of(rt, message);
    struct sfi_hold *hold = sfi_holds_find(holds_of(rt), &whom);
    struct sfi_awaited to = sfi_hold_awaited(hold);
    if (!to.awaited)
        return 0;
    int rc = 0;
    to.awaited--;
    for (uint32_t i = 0; i < to.kept && !to.awaited && rc >= 0; i++)
        rc = bring_back(rt, &to, i, hold, &end->back);
    if (rc >= 0)
        rc = back_off(rt, hold, end);
    if (rc >= 0)
        rc = sfi_hold_prepare(holds_of(rt), sfi_epoch_batch(&rt->epoch), &whom, &to, &end->change);
    if (rc < 0)
        sfi_await_end_cancel(rt, end);
    return rc < 0 ? rc : 0;
}

void sfi_await_end(sf_runtime *rt, struct sfi_await_end *end)
{
    struct sfi_hold *hold = end->change.hold;
    if (!hold)
        return;
    for (struct sfi_message *message; (message = sfi_list_pop(&end->back));)
        sfi_taking_return(&rt->mailbox, hold, message);
    sfi_hold_change(holds_of(rt), &end->change);
}

void sfi_await_end_cancel(sf_runtime *rt, struct sfi_await_end *end)
{
    sfi_message_list_free(&rt->mailbox.pool, &end->back);
    sfi_hold_cancel(holds_of(rt), &end->change);
    if (end->backs_off)
        sfi_hold_no_back_off(holds_of(rt), end->backs_off);
}
