#include "run/failure.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "run/await.h"
#include "run/bounce.h"
#include "run/dead.h"
#include "run/runtime.h"
#include "run/timer.h"

enum {
    HOLD_MIN_MS = 1000,
    HOLD_MAX_MS = 60000,
    HOLD_DOUBLINGS = 6,
    FENCE_MS = 3600000,
    JITTER_PART = 8,
    WAIT_MIN_MS = 10,
    WAIT_MAX_MS = 1000
};

/* What an asker is told whose message is given up; NULL: nobody asked. */
static int refusal(sf_runtime *rt, const struct sfi_message *message, const char *reason,
                   struct sfi_reply **out)
{
    uint64_t ask = sfi_message_ask(message);
    *out = ask ? sfi_reply_new(rt->sys, ask, SF_EFAILED, NULL, "", SF_NONE, reason) : NULL;
    return ask && !*out ? sfi_err(SF_ENOMEM, "out of memory") : 0;
}

int sfi_failure_drop(sf_runtime *rt, const struct sfi_message *message)
{
    struct sfi_reply *reply;
    int rc = refusal(rt, message, "the actor was purged", &reply);
    if (rc < 0)
        return rc;
    if (reply)
        sfi_effects_push(&rt->gate.open, &reply->effect);
    sfi_crowd_done(rt);
    return 0;
}

/* With what ends because of it.  Negative: nothing happened. */
static int add_dead(sf_runtime *rt, struct sfi_message *message, const char *reason)
{
    struct sfi_batch *batch = sfi_epoch_batch(&rt->epoch);
    struct sfi_batch_mark mark = sfi_batch_mark(batch);
    struct sfi_await_end end;
    int rc = sfi_await_end_prepare(rt, message, &end);
    if (rc == 0 && (rc = sfi_dead_add(rt, message, reason)) < 0)
        sfi_await_end_cancel(rt, &end);
    if (rc == 0) {
        sfi_await_end(rt, &end);
        return 0;
    }
    sfi_batch_rollback(batch, mark);
    return rc;
}

static int bury(sf_runtime *rt, struct sfi_message *message, const char *reason)
{
    struct sfi_reply *reply;
    struct sfi_message *bounce = NULL;
    int rc = refusal(rt, message, reason, &reply);
    if (rc < 0)
        return rc;
    message->attempts++;
    rc = sfi_bounce_new(rt, message, reason, &bounce);
    if (rc == 0)
        rc = add_dead(rt, message, reason);
    if (rc < 0) {
        message->attempts--;
        sfi_reply_free(reply);
        sfi_message_free(&rt->mailbox.pool, bounce);
        return rc;
    }
    if (reply)
        sfi_effects_push(&rt->gate.open, &reply->effect);
    sfi_crowd_done(rt);
    if (bounce)
        sfi_mailbox_push(&rt->mailbox, bounce);
    return 0;
}

/* A tick of a timer is handled by it, so that the next one can come: its work was undone, and begins anew. */
static int bury_tick(sf_runtime *rt, struct sfi_message *message, const char *why)
{
    char reason[SFI_REASON_MAX];
    struct sfi_work *work = &rt->turns.work;
    struct sfi_actor *actor = sfi_actors_get(&rt->actors, message->to_type, message->hash,
                                             sfi_message_to(message), message->to_size);
    if (!actor)
        return sfi_err(SF_ENOMEM, "out of memory");
    snprintf(reason, sizeof reason, "%s", why); /* it may lie in the work */
    sfi_work_begin(work);
    sfi_work_batch(work); /* the letter goes with it too */
    int rc = sfi_timer_take(work, actor, message);
    if (rc >= 0)
        rc = bury(rt, message, reason);
    if (rc < 0)
        sfi_work_undo(work);
    else
        sfi_work_keep(work);
    return rc;
}

int sfi_failure_bury(sf_runtime *rt, struct sfi_message *message, const char *reason)
{
    return sfi_timer_is_tick(message) ? bury_tick(rt, message, reason) : bury(rt, message, reason);
}

/* The actor waits for sf_resume(), the message before all others. */
static int pause_actor(sf_runtime *rt, struct sfi_message *message, const char *reason)
{
    uint32_t attempts = message->attempts;
    message->attempts = 0;
    int rc = sfi_mailbox_hold(&rt->mailbox, sfi_epoch_batch(&rt->epoch), SFI_HELD_POLICY,
                              SF_BYTES(reason, strlen(reason)));
    if (rc < 0)
        message->attempts = attempts;
    return rc;
}

/* SF_EFAILED, and the message is at the head as a first attempt: the step stops for good. */
static int stop_engine(sf_runtime *rt, struct sfi_message *message, const char *reason)
{
    uint32_t attempts = message->attempts;
    message->attempts = 0;
    int rc = sfi_mailbox_again(&rt->mailbox, sfi_epoch_batch(&rt->epoch));
    if (rc == 0)
        return sfi_err(SF_EFAILED, "%s %.*s stopped the engine: %s", message->to_type->name,
                       (int)message->to_size, sfi_message_to(message), reason);
    message->attempts = attempts;
    return rc;
}

static int give_up(sf_runtime *rt, struct sfi_message *message, const char *reason)
{
    switch (message->to_type->desc.after_last_attempt) {
    case SF_PAUSE_ACTOR:
        return pause_actor(rt, message, reason);
    case SF_STOP_ENGINE:
        return stop_engine(rt, message, reason);
    default:
        return sfi_failure_bury(rt, message, reason);
    }
}

/* Give or take an eighth, so that those who failed together do not come back together. */
uint64_t sfi_failure_pause_ms(const sf_runtime *rt, const struct sfi_type *type, uint32_t failed)
{
    uint64_t pause_ms = type->backoff_ms;
    while (--failed && pause_ms < type->backoff_ms_max)
        pause_ms *= 2;
    pause_ms = pause_ms < type->backoff_ms_max ? pause_ms : type->backoff_ms_max;
    uint64_t eighth = pause_ms / JITTER_PART;
    return eighth ? pause_ms - eighth + rt->sys->random(rt->sys->ctx) % (2 * eighth + 1) : pause_ms;
}

static int try_again(sf_runtime *rt, struct sfi_message *message)
{
    const struct sfi_type *type = message->to_type;
    struct sfi_batch *batch = sfi_epoch_batch(&rt->epoch);
    message->attempts++;
    int rc = type->backoff_ms ? sfi_mailbox_back_off(&rt->mailbox, batch,
                                                     sfi_failure_pause_ms(rt, type, message->attempts))
                              : sfi_mailbox_again(&rt->mailbox, batch);
    if (rc < 0)
        message->attempts--;
    return rc;
}

static int fail_message(sf_runtime *rt, struct sfi_message *message, int reject, const char *reason)
{
    int rc = reject || message->attempts + 1 >= message->to_type->attempts_max
                 ? give_up(rt, message, reason)
                 : try_again(rt, message);
    if (rc == 0 || rc == SF_EFAILED)
        rt->epoch.stats.turns_failed++;
    return rc;
}

int sfi_failure_give_up(sf_runtime *rt, struct sfi_message *message)
{
    sfi_message_start_over(message);
    message->attempts--; /* the last one is counted here */
    int rc = fail_message(rt, message, 1, "the answer that it waited for became a dead letter");
    if (rc < 0 && rc != SF_EFAILED) {
        message->attempts++;
        sfi_message_spend(message);
    }
    return rc;
}

/* The program cannot read what the actor is.  Its row says nothing of the pause: a restart may bring a program
 * that can. */
static int hold_message(sf_runtime *rt, struct sfi_message *message, const char *reason)
{
    struct sfi_type *type = message->to_type;
    uint64_t pause_ms = type->refused < HOLD_DOUBLINGS ? (uint64_t)HOLD_MIN_MS << type->refused
                                                       : HOLD_MAX_MS;
    int rc = sfi_mailbox_put_off(&rt->mailbox, sfi_epoch_batch(&rt->epoch), pause_ms,
                                 sf_str(reason));
    if (rc < 0)
        return rc;
    type->refused++;
    rt->epoch.stats.turns_failed++;
    rt->epoch.stats.turns_held++;
    return 0;
}

/* A row that it needs is damaged.  Its row in table held says so, and stops nobody: the directory may be opened anew
 * after a repair, or with a program, that can read it. */
static int fence_message(sf_runtime *rt, const char *reason)
{
    int rc = sfi_mailbox_put_off(&rt->mailbox, sfi_epoch_batch(&rt->epoch), FENCE_MS,
                                 sf_str(reason));
    if (rc < 0)
        return rc;
    rt->epoch.stats.turns_failed++;
    rt->epoch.stats.fenced++;
    return 0;
}

/* What the actor emits to is full, or whom it calls is held: its messages wait, and no attempt is counted. */
static int wait_for_room(sf_runtime *rt, struct sfi_egress *full, uint64_t wait_ms)
{
    wait_ms = wait_ms < WAIT_MIN_MS ? WAIT_MIN_MS : wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS;
    struct sfi_batch *batch = sfi_epoch_batch(&rt->epoch);
    int rc = full ? sfi_mailbox_await_room(&rt->mailbox, batch, &full->room,
                                           sfi_egress_retry_ms(&rt->egresses, full))
                  : sfi_mailbox_put_off(&rt->mailbox, batch, wait_ms, SF_NONE);
    if (rc == 0)
        rt->epoch.stats.turns_failed++;
    return rc;
}

int sfi_failure_settle(const struct sfi_work *work, struct sfi_message *message)
{
    switch (work->verdict) {
    case SFI_HOLD:
        return hold_message(work->rt, message, work->reason);
    case SFI_FENCE:
        return fence_message(work->rt, work->reason);
    case SFI_WAIT:
        return wait_for_room(work->rt, work->full, work->wait_ms);
    case SFI_FAIL:
    case SFI_REJECT:
        return fail_message(work->rt, message, work->verdict == SFI_REJECT, work->reason);
    case SFI_TROUBLE:
    case SFI_KEEP:
        break;
    }
    return sfi_work_error(work);
}
