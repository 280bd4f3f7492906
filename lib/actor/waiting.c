#include "actor/waiting.h"

#include "base/err.h"

enum {
    HELD_PART = 4, /* of the budget, for what waits behind holds in memory */
    SLICE_PART = 8 /* likewise, for what one of them brings back from disk */
};

/* -- whose hold -------------------------------------------------------------------------------- */

static uint64_t hash_of(const struct sfi_mailbox *mailbox, const struct sfi_message *message)
{
    return message->has_retry ? sfi_actors_hash(mailbox->actors, message->to_type,
                                                sfi_message_to(message), message->to_size)
                              : message->hash;
}

static struct sfi_whom whom_of(const struct sfi_mailbox *mailbox, const struct sfi_message *message)
{
    return (struct sfi_whom){.type = message->to_type,
                             .hash = hash_of(mailbox, message),
                             .id = sfi_message_to(message),
                             .id_size = message->to_size};
}

static struct sfi_hold *actor_hold(const struct sfi_mailbox *mailbox,
                                   const struct sfi_message *message)
{
    struct sfi_whom whom = whom_of(mailbox, message);
    return sfi_holds_find(&mailbox->holds, &whom);
}

/* What a hold let go is through; it may let go more. */
void sfi_waiting_came_through(struct sfi_mailbox *mailbox, struct sfi_message *message)
{
    struct sfi_hold *hold =
        message->let_go == SFI_BY_TYPE ? message->to_type->hold : actor_hold(mailbox, message);
    message->let_go = SFI_NOT_HELD;
    sfi_mailbox_lower(mailbox, &mailbox->let_go, 1);
    if (!hold || hold->out == 0) {
        mailbox->is_broken = 1;
        return;
    }
    if (--hold->out == 0)
        sfi_hold_is_ready(&mailbox->holds, hold);
}

/* The type's hold; of a type that is not registered there is always one, with that reason. */
static int type_hold(struct sfi_mailbox *mailbox, struct sfi_type *type, struct sfi_hold **out)
{
    *out = type->hold;
    if (type->registered)
        return 0;
    *out = sfi_holds_get(&mailbox->holds, &(struct sfi_whom){.type = type});
    if (!*out)
        return sfi_err(SF_ENOMEM, "out of memory");
    (*out)->reasons |= SFI_HELD_UNREGISTERED;
    return 0;
}

/* Is something parked that comes before it, or is it? */
static int is_past(const struct sfi_hold *hold, const struct sfi_message *message)
{
    return sfi_hold_has_parked(hold) && message->sequence >= hold->first;
}

static int type_stops(const struct sfi_hold *hold, const struct sfi_message *message)
{
    return message->let_go != SFI_BY_ACTOR && (sfi_hold_blocks(hold) || is_past(hold, message));
}

/* hold.h (8) */
static int passes(const struct sfi_hold *hold, const struct sfi_message *message)
{
    return hold->id_size && hold->reasons & SFI_HELD_OPERATION && message->has_parts &&
           sfi_message_is_awaited(message);
}

static int actor_stops(const struct sfi_hold *hold, const struct sfi_message *message)
{
    const struct sfi_hold *types = hold->type->hold;
    if (message->let_go == SFI_BY_ACTOR && types && sfi_hold_blocks(types))
        return 1;
    if (passes(hold, message))
        return sfi_hold_stops_answers(hold);
    return sfi_hold_blocks(hold) || hold->waiting.first || is_past(hold, message);
}

static int is_purged(const struct sfi_hold *hold, const struct sfi_message *message)
{
    return hold->why && message->sequence < hold->why->purged_before;
}

/* Behind which hold the message must wait; NULL: none. */
static int hold_before(struct sfi_mailbox *mailbox, struct sfi_message *message,
                       struct sfi_hold **out)
{
    struct sfi_hold *types, *actors = actor_hold(mailbox, message);
    *out = NULL;
    if (actors && is_purged(actors, message)) {
        message->purged = 1;
        if (is_past(actors, message)) /* its row, which goes with this epoch, may be read until then */
            actors->settles = sfi_mailbox_open_seal(mailbox);
        return 0;
    }
    int rc = type_hold(mailbox, message->to_type, &types);
    if (rc < 0)
        return rc;
    if (types && type_stops(types, message))
        *out = types;
    else if (actors && actor_stops(actors, message))
        *out = actors;
    return 0;
}

/* -- behind it --------------------------------------------------------------------------------- */

/* mailbox.h (2): the row that the head needs when it waits in memory; `again`: its attempts
 * changed. */
static int save_row(struct sfi_mailbox *mailbox, struct sfi_message *message,
                    const struct sfi_hold *hold, int again, uint64_t retry_ms,
                    struct sfi_batch *batch)
{
    enum sfi_row row = message->row == SFI_ROW_NONE ? SFI_ROW_MAILBOX : message->row;
    int rc = 0;
    if (row == SFI_ROW_PARKED_TYPE)
        rc = sfi_parking_move(hold, message, retry_ms, batch);
    else if (again || message->row == SFI_ROW_NONE)
        rc = sfi_message_save(message, row, retry_ms, batch);
    if (rc < 0)
        return rc;
    if (message->row == SFI_ROW_NONE) {
        sfi_mailbox_not_unsaved(mailbox, message);
        message->row = row;
    }
    if (row != SFI_ROW_MAILBOX)
        mailbox->parked_in = sfi_mailbox_open_seal(mailbox);
    return 0;
}

/* The answer for an actor that awaits came back from its type's part: its row goes to table mailbox, since what is
 * in the actor's part comes back only when the actor awaits no more. */
static int unpark(struct sfi_mailbox *mailbox, struct sfi_message *message, uint64_t retry_ms,
                  struct sfi_batch *batch)
{
    struct sfi_batch_mark mark = sfi_batch_mark(batch);
    int rc = sfi_message_save(message, SFI_ROW_MAILBOX, retry_ms, batch);
    if (rc == 0)
        rc = sfi_message_erase(message, batch);
    if (rc < 0) {
        sfi_batch_rollback(batch, mark);
        return rc;
    }
    mailbox->is_broken |= !sfi_parking_less(&mailbox->parking, message);
    message->row = SFI_ROW_MAILBOX;
    return 0;
}

static int wait_in_memory(struct sfi_mailbox *mailbox, struct sfi_hold *hold, int again,
                          uint64_t retry_ms, struct sfi_batch *batch)
{
    struct sfi_message *message = mailbox->queue.first;
    int rc = passes(hold, message) && message->row == SFI_ROW_PARKED_TYPE
                 ? unpark(mailbox, message, retry_ms, batch)
                 : save_row(mailbox, message, hold, again, retry_ms, batch);
    if (rc < 0)
        return rc;
    sfi_mailbox_unlink_head(mailbox);
    sfi_mailbox_set_aside(mailbox, message);
    message->was_held = 1;
    mailbox->held_bytes += sfi_mailbox_memory(mailbox, message);
    if (passes(hold, message)) {
        sfi_list_push(&hold->answers, message);
        return 0;
    }
    sfi_list_push(&hold->waiting, message);
    hold->waiting_count++;
    hold->waiting_bytes += sfi_mailbox_memory(mailbox, message);
    return 0;
}

static int wait_on_disk(struct sfi_mailbox *mailbox, struct sfi_hold *hold, int again,
                        uint64_t retry_ms, struct sfi_batch *batch)
{
    struct sfi_message *message = mailbox->queue.first;
    int had_passed = message->sequence <= mailbox->passed;
    uint32_t operations = batch->op_count;
    int rc = sfi_parking_put(&mailbox->parking, hold, message, again, retry_ms, batch);
    if (rc < 0)
        return rc;
    if (batch->op_count != operations)
        mailbox->parked_in = sfi_mailbox_open_seal(mailbox);
    if (had_passed)
        hold->settles = mailbox->parked_in;
    if (message->row == SFI_ROW_NONE)
        sfi_mailbox_not_unsaved(mailbox, message);
    sfi_mailbox_unlink_head(mailbox);
    sfi_mailbox_set_aside(mailbox, message);
    sfi_mailbox_free(mailbox, message);
    return 0;
}

/* mailbox.h (3): the head goes behind the hold. */
static int put_behind(struct sfi_mailbox *mailbox, struct sfi_hold *hold, int again,
                      uint64_t retry_ms, struct sfi_batch *batch)
{
    const struct sfi_message *message = mailbox->queue.first;
    uint64_t part = mailbox->bytes_max / HELD_PART;
    if (passes(hold, message))
        return wait_in_memory(mailbox, hold, again, retry_ms, batch);
    if (hold->id_size && !is_past(hold, message) && sfi_mailbox_idle(mailbox) <= part &&
        mailbox->held_bytes + sfi_mailbox_memory(mailbox, message) <= part)
        return wait_in_memory(mailbox, hold, again, retry_ms, batch);
    return wait_on_disk(mailbox, hold, again, retry_ms, batch);
}

/* -- back-off ---------------------------------------------------------------------------------- */

/* The hold comes first: a row with one attempt more must not be written in vain. */
/* Its row may be put in vain: then it goes when the hold has nothing else to hold. */
static int note_unreadable(struct sfi_mailbox *mailbox, const struct sfi_whom *whom, sf_bytes why,
                           struct sfi_batch *batch)
{
    return why.data ? sfi_holds_pause(&mailbox->holds, batch, whom, SFI_HELD_UNREADABLE, why) : 0;
}

int sfi_waiting_hold_back(struct sfi_mailbox *mailbox, const struct sfi_delay *delay,
                          struct sfi_batch *batch)
{
    struct sfi_whom whom = whom_of(mailbox, mailbox->queue.first);
    int rc = note_unreadable(mailbox, &whom, delay->why, batch);
    struct sfi_hold *hold = rc < 0 ? NULL : sfi_holds_get(&mailbox->holds, &whom);
    if (!hold)
        return sfi_err(SF_ENOMEM, "out of memory");
    uint64_t due_ns = mailbox->sys->mono_ns(mailbox->sys->ctx) + delay->ms * 1000000;
    rc = sfi_hold_back_off(&mailbox->holds, hold, due_ns);
    if (rc == 0)
        rc = put_behind(mailbox, hold, delay->again, delay->retry_ms, batch);
    if (rc < 0) {
        sfi_hold_no_back_off(&mailbox->holds, hold);
        return rc;
    }
    hold->heeds_retry = 0;
    if (delay->room)
        sfi_hold_await_room(hold, delay->room);
    return 0;
}

int sfi_waiting_hold_for(struct sfi_mailbox *mailbox, enum sfi_reason reason, sf_bytes text,
                         struct sfi_batch *batch)
{
    struct sfi_whom whom = whom_of(mailbox, mailbox->queue.first);
    struct sfi_batch_mark mark = sfi_batch_mark(batch);
    int rc = sfi_holds_pause(&mailbox->holds, batch, &whom, reason, text);
    if (rc < 0)
        return rc;
    rc = put_behind(mailbox, sfi_holds_find(&mailbox->holds, &whom), 1, 0, batch);
    if (rc < 0) {
        sfi_batch_rollback(batch, mark);
        sfi_holds_no_pause(&mailbox->holds, &whom, reason);
    }
    return rc;
}

/* What is left of a pause from before the restart.  A clock that was set back delays it by no more
 * than a pause can last. */
static uint64_t pause_left_ms(const struct sfi_mailbox *mailbox, const struct sfi_message *message)
{
    uint64_t now_ms = mailbox->sys->wall_ms(mailbox->sys->ctx);
    uint64_t left = message->retry_ms > now_ms ? message->retry_ms - now_ms : 0;
    uint64_t most = message->to_type->backoff_ms_max;
    most += most / 8; /* it may have been so much longer */
    return left < most ? left : most;
}

static void forget_retry(const struct sfi_mailbox *mailbox, struct sfi_message *message)
{
    uint64_t hash = hash_of(mailbox, message);
    message->has_retry = 0;
    message->hash = hash;
}

/* The head failed in an earlier run.  1: it may be tried; 0: the pause goes on; negative. */
static int go_on_pausing(struct sfi_mailbox *mailbox, struct sfi_batch *batch)
{
    struct sfi_message *message = mailbox->queue.first;
    uint64_t left_ms = pause_left_ms(mailbox, message), retry_ms = message->retry_ms;
    forget_retry(mailbox, message);
    if (left_ms == 0)
        return 1;
    int rc = sfi_waiting_hold_back(
        mailbox, &(struct sfi_delay){.ms = left_ms, .retry_ms = retry_ms}, batch);
    if (rc < 0) {
        message->has_retry = 1;
        message->retry_ms = retry_ms;
    }
    return rc;
}

/* -- what holds let go ------------------------------------------------------------------------- */

/* The hold stays as long as it has more; until then it is told who is through. */
static void mark_let_go(struct sfi_mailbox *mailbox, struct sfi_hold *hold,
                        struct sfi_message_list *list, uint64_t count)
{
    for (struct sfi_message *message = list->first; message; message = message->next)
        message->let_go = hold->id_size ? SFI_BY_ACTOR : SFI_BY_TYPE;
    hold->out += (uint32_t)count;
    mailbox->let_go += count;
}

/* In front of all others; nobody else goes with them while the actor awaits. */
static void let_go_answers(struct sfi_mailbox *mailbox, struct sfi_hold *hold)
{
    for (const struct sfi_message *message = hold->answers.first; message; message = message->next) {
        mailbox->queued++;
        sfi_mailbox_lower(mailbox, &mailbox->held_bytes, sfi_mailbox_memory(mailbox, message));
    }
    sfi_list_prepend(&mailbox->queue, &hold->answers);
}

/* Who awaits no more has been purged: they are to be dropped with the others. */
static void join_answers(struct sfi_mailbox *mailbox, struct sfi_hold *hold)
{
    for (const struct sfi_message *message = hold->answers.first; message; message = message->next) {
        hold->waiting_count++;
        hold->waiting_bytes += sfi_mailbox_memory(mailbox, message);
    }
    sfi_list_prepend(&hold->waiting, &hold->answers);
}

/* All that waits in memory.  The hold has to know when it came through, if more is parked, or if what came is to be
 * dropped where it is met. */
static void let_go_waiting(struct sfi_mailbox *mailbox, struct sfi_hold *hold)
{
    join_answers(mailbox, hold);
    uint64_t count = hold->waiting_count;
    if (sfi_hold_has_parked(hold) || (hold->reasons & SFI_HELD_PURGED))
        mark_let_go(mailbox, hold, &hold->waiting, count);
    mailbox->queued += count;
    sfi_mailbox_lower(mailbox, &mailbox->held_bytes, hold->waiting_bytes);
    hold->waiting_bytes = hold->waiting_count = 0;
    sfi_list_prepend(&mailbox->queue, &hold->waiting);
}

struct slice {
    struct sfi_mailbox *mailbox;
    const struct sfi_hold *hold;
    struct sfi_message_list list;
    uint64_t count;
};

static void take_parked(void *taker, struct sfi_message *message)
{
    struct slice *slice = taker;
    message->was_held = 1;
    if (message->has_retry && slice->hold->id_size && !slice->hold->heeds_retry)
        forget_retry(slice->mailbox, message); /* it was waited for */
    slice->mailbox->bytes += sfi_mailbox_memory(slice->mailbox, message);
    slice->count++;
    sfi_list_push(&slice->list, message);
}

static uint64_t slice_bytes(const struct sfi_mailbox *mailbox)
{
    uint64_t part = mailbox->bytes_max / SLICE_PART;
    return part < SFI_SLICE_BYTES ? part + 1 : SFI_SLICE_BYTES;
}

/* The next slice from disk, if it may come by now. */
static int read_slice(struct slice *slice, struct sfi_hold *hold)
{
    struct sfi_mailbox *mailbox = slice->mailbox;
    uint64_t limit = sfi_waiting_is_pending(mailbox) ? mailbox->passed_durable : mailbox->passed;
    if (hold->settles > mailbox->published || hold->first > limit)
        return 0;
    int rc =
        sfi_parking_read(&mailbox->parking, hold, limit, slice_bytes(mailbox), take_parked, slice);
    if (rc == 0)
        hold->heeds_retry = 0;
    return rc;
}

static int let_go_slice(struct sfi_mailbox *mailbox, struct sfi_hold *hold)
{
    struct slice slice = {.mailbox = mailbox, .hold = hold};
    int rc = read_slice(&slice, hold);
    mark_let_go(mailbox, hold, &slice.list, slice.count);
    mailbox->queued += slice.count;
    sfi_list_prepend(&mailbox->queue, &slice.list);
    return rc < 0 ? rc : (int)slice.count;
}

/* What was let go before is still on its way here, perhaps. */
int sfi_waiting_fetch(struct sfi_mailbox *mailbox, struct sfi_hold *hold)
{
    struct slice slice = {.mailbox = mailbox, .hold = hold};
    if (hold->out || hold->waiting.first || !sfi_hold_has_parked(hold))
        return 0;
    int rc = read_slice(&slice, hold);
    for (const struct sfi_message *message = slice.list.first; message; message = message->next) {
        uint64_t bytes = sfi_mailbox_memory(mailbox, message);
        hold->waiting_count++;
        hold->waiting_bytes += bytes;
        mailbox->held_bytes += bytes;
    }
    sfi_list_prepend(&hold->waiting, &slice.list);
    return rc;
}

/* All that is older than the purge is gone.  1: it is, and the hold has that reason no more; 0:
 * not yet.  What has passed once may be in front of the queue again, let go by a hold before the purge: it is
 * through when something younger than the purge has passed, or the queue is empty. */
static int end_purge(struct sfi_mailbox *mailbox, struct sfi_hold *hold, struct sfi_batch *batch)
{
    struct sfi_whom whom = {hold->type, hold->hash, hold->id, hold->id_size};
    uint64_t passed = mailbox->queued ? mailbox->passed : mailbox->passed + 1;
    if (passed < hold->why->purged_before)
        return 0;
    int rc = sfi_holds_resume(&mailbox->holds, batch, &whom, SFI_HELD_PURGED);
    return rc < 0 ? rc : 1;
}

/* What could not be read is tried again. */
static int end_unreadable(struct sfi_mailbox *mailbox, const struct sfi_hold *hold,
                          struct sfi_batch *batch)
{
    struct sfi_whom whom = {hold->type, hold->hash, hold->id, hold->id_size};
    return hold->reasons & SFI_HELD_UNREADABLE
               ? sfi_holds_resume(&mailbox->holds, batch, &whom, SFI_HELD_UNREADABLE)
               : 0;
}

/* What a hold that nothing stops does next.  Rows that came back, or negative; then it stays in
 * the list. */
static int let_go(struct sfi_mailbox *mailbox, struct sfi_hold *hold, struct sfi_batch *batch)
{
    struct sfi_hold_list *ready = &mailbox->holds.ready;
    int rc = end_unreadable(mailbox, hold, batch);
    if (rc < 0)
        return rc;
    let_go_waiting(mailbox, hold);
    rc = sfi_hold_has_parked(hold) && !hold->out ? let_go_slice(mailbox, hold) : 0;
    int rows = rc;
    if (rc >= 0 && !hold->out && !sfi_hold_has_parked(hold) && hold->reasons)
        rc = end_purge(mailbox, hold, batch);
    if (rc < 0)
        return rc;
    sfi_hold_list_pop(ready);
    if (!hold->out && (sfi_hold_has_parked(hold) || hold->reasons))
        sfi_hold_list_push(&mailbox->holds.later, hold);
    sfi_hold_tidy(&mailbox->holds, hold);
    return rows;
}

int sfi_waiting_let_go(struct sfi_mailbox *mailbox, struct sfi_batch *batch)
{
    struct sfi_hold_list *ready = &mailbox->holds.ready;
    struct sfi_hold *hold = ready->first, *types;
    int rc = type_hold(mailbox, hold->type, &types);
    if (rc < 0)
        return rc;
    int is_frozen = types && types != hold;
    if (!sfi_hold_blocks(hold) && !is_frozen)
        return let_go(mailbox, hold, batch);
    sfi_hold_list_pop(ready);
    if (is_frozen && sfi_hold_may_let_go(hold))
        sfi_hold_list_push(&hold->type->frozen, hold);
    else if (sfi_hold_may_let_go(hold))
        let_go_answers(mailbox, hold);
    return 0;
}

/* -- the head ---------------------------------------------------------------------------------- */

int sfi_waiting_meet(struct sfi_mailbox *mailbox, struct sfi_batch *batch)
{
    struct sfi_message *message = mailbox->queue.first;
    struct sfi_hold *hold;
    if (sfi_waiting_is_free(mailbox, message))
        return 1;
    int rc = hold_before(mailbox, message, &hold);
    if (rc < 0)
        return rc;
    if (hold)
        return put_behind(mailbox, hold, 0, message->has_retry ? message->retry_ms : 0, batch);
    if (message->has_retry && !message->purged)
        return go_on_pausing(mailbox, batch);
    return 1;
}
