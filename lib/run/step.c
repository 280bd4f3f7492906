#include "run/step.h"

#include <limits.h>
#include <stdio.h>

#include "base/err.h"
#include "run/delivery.h"
#include "run/drive.h"
#include "run/runtime.h"

enum { TAKE_MAX = 1024, QUEUE_SHORT = 256, RETRY_MIN_MS = 10, RETRY_MAX_MS = 1000 };

/* Outside work comes in at the start of an epoch, and again when the queue runs dry: neither can a
 * message that sends to itself for ever keep it out, nor does it pile up behind what is being run. */
static int take_in(sf_runtime *rt)
{
    if (rt->epoch.turns != 0 && rt->mailbox.queued > QUEUE_SHORT)
        return 0;
    return sfi_inbox_take(rt, TAKE_MAX);
}

/* Runs turns until the bound, a full epoch or an empty mailbox.  Turns run; *rc has what stopped it. */
static int run_turns(sf_runtime *rt, int turns_max, int *rc)
{
    int turns = 0;
    while (*rc >= 0 && turns < turns_max && !sfi_epoch_is_full(rt)) {
        *rc = take_in(rt);
        struct sfi_message *message =
            *rc < 0 ? NULL : sfi_mailbox_head(&rt->mailbox, sfi_epoch_batch(&rt->epoch), rc);
        if (!message)
            break;
        *rc = sfi_turn_run(rt, message);
        rt->epoch.turns++;
        turns += *rc >= 0;
    }
    return turns;
}

/* 0, or negative: out of memory, or stalled. */
static int commit(sf_runtime *rt)
{
    int rc = sfi_epoch_settle(rt, 1);
    if (rc > 0 && sfi_epoch_is_dirty(rt) && (rc = sfi_epoch_seal(rt)) == 0)
        rc = sfi_epoch_settle(rt, 1);
    return rc < 0 ? rc : 0;
}

/* Others learn from here how far the engine is, and why it is not further. */
static void account(sf_runtime *rt, int stalled)
{
    struct sfi_epoch *epoch = &rt->epoch;
    sfi_inbox_account(rt);
    epoch->stats.messages_waiting = rt->mailbox.count;
    epoch->stats.actors = rt->actors.count;
    pthread_mutex_lock(&rt->lock);
    rt->stats = epoch->stats;
    rt->stall_code = stalled < 0 ? stalled : 0;
    if (stalled < 0)
        snprintf(rt->stall_why, sizeof rt->stall_why, "%.255s", sf_errmsg());
    pthread_cond_broadcast(&rt->changed); /* there may be room */
    pthread_mutex_unlock(&rt->lock);
}

/* How long to leave a machine alone that just refused. */
static uint64_t retry_pause_ns(const sf_runtime *rt)
{
    uint64_t failures = rt->epoch.failures < 8 ? rt->epoch.failures : 8;
    uint64_t pause_ms = (uint64_t)RETRY_MIN_MS << failures;
    return (pause_ms < RETRY_MAX_MS ? pause_ms : RETRY_MAX_MS) * 1000000;
}

static void sooner(uint64_t *due_ns, uint64_t other_ns)
{
    if (other_ns && (*due_ns == 0 || other_ns < *due_ns))
        *due_ns = other_ns;
}

/* When something is due that nobody will signal. */
static uint64_t next_due(sf_runtime *rt)
{
    uint64_t due_ns = 0;
    const struct sfi_heap_node *pause = sfi_heap_first(&rt->mailbox.pauses);
    sooner(&due_ns, pause ? pause->due : 0);
    sooner(&due_ns, sfi_delivery_due(rt));
    pthread_mutex_lock(&rt->lock);
    const struct sfi_heap_node *deadline = sfi_heap_first(&rt->asks.deadlines);
    sooner(&due_ns, deadline ? deadline->due : 0);
    pthread_mutex_unlock(&rt->lock);
    return due_ns;
}

static int callbacks_waiting(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    int waiting = rt->asks.answered ||
                  (rt->tickets.first && rt->tickets.first->ticket <= rt->tickets.durable);
    pthread_mutex_unlock(&rt->lock);
    return waiting;
}

int sfi_is_idle(sf_runtime *rt)
{
    uint64_t now_ns = rt->sys->mono_ns(rt->sys->ctx);
    const struct sfi_heap_node *pause = sfi_heap_first(&rt->mailbox.pauses);
    return rt->mailbox.queued == 0 && !sfi_delivery_has_acks(rt) &&
           !(pause && pause->due <= now_ns) && !rt->epoch.is_sealed && sfi_inbox_is_empty(rt) &&
           !sfi_epoch_is_dirty(rt) && !sfi_delivery_ready(rt, now_ns) && !callbacks_waiting(rt);
}

/* Leaves the descriptor readable if there is more to do, and the timer set to what is due; after a
 * failure everything waits for the next try. */
static void set_alarm(sf_runtime *rt, int failed)
{
    uint64_t now_ns = rt->sys->mono_ns(rt->sys->ctx), due_ns = next_due(rt);
    if (failed)
        sooner(&due_ns, now_ns + retry_pause_ns(rt));
    sfi_poll_set_due(rt, due_ns, now_ns);
    if (failed || sfi_is_idle(rt))
        return;
    pthread_mutex_lock(&rt->lock);
    sfi_poll_signal(rt);
    pthread_mutex_unlock(&rt->lock);
}

static void make_callbacks(sf_runtime *rt)
{
    while (sfi_life_check(rt, "a callback") == 0 && (sfi_ticket_call(rt, 0) || sfi_ask_call(rt)))
        ;
}

static void expire(sf_runtime *rt)
{
    uint64_t now_ns = rt->sys->mono_ns(rt->sys->ctx);
    sfi_mailbox_wake(&rt->mailbox, now_ns);
    pthread_mutex_lock(&rt->lock);
    sfi_asks_expire(rt, now_ns);
    pthread_mutex_unlock(&rt->lock);
}

int sfi_step(sf_runtime *rt, int turns_max)
{
    int rc = 0, turns = 0;
    sfi_poll_clear(rt);
    expire(rt);
    sfi_delivery_acknowledge(rt);
    int stalled = sfi_epoch_settle(rt, 1);
    if (stalled > 0) {
        turns = run_turns(rt, turns_max > 0 ? turns_max : INT_MAX, &rc);
        if (sfi_life_check(rt, "a step") < 0)
            return SF_EFORK;
        stalled = commit(rt);
    }
    account(rt, stalled);
    make_callbacks(rt);
    int delivered = sfi_delivery_run(rt);
    rc = stalled < 0 ? stalled : rc < 0 ? rc : delivered;
    set_alarm(rt, rc < 0);
    if (rc == SF_ECORRUPT || rc == SF_ENEWER)
        sfi_break(rt, rc, sf_errmsg());
    return rc < 0 ? rc : turns;
}

int sfi_timeout(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    int signalled = rt->poll.signalled;
    uint64_t due_ns = rt->poll.due_ns;
    pthread_mutex_unlock(&rt->lock);
    uint64_t now_ns = rt->sys->mono_ns(rt->sys->ctx);
    if (signalled || (due_ns && due_ns <= now_ns))
        return 0;
    if (!due_ns)
        return -1;
    uint64_t in_ms = (due_ns - now_ns + 999999) / 1000000;
    return in_ms > INT_MAX ? INT_MAX : (int)in_ms;
}
