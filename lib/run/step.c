#include "run/step.h"

#include <limits.h>
#include <stdio.h>

#include "base/err.h"
#include "base/rare.h"
#include "run/delivery.h"
#include "run/drive.h"
#include "run/part.h"
#include "run/runtime.h"

enum { TAKE_MAX = 1024, QUEUE_SHORT = 256, RETRY_MIN_MS = 10, RETRY_MAX_MS = 1000 };

/* Half of what the epoch has turns left for, as handlers send too: what waits over its end gets a row, and costs
 * as much as four messages that do not. */
static int take_max(const sf_runtime *rt)
{
    uint64_t left = rt->epoch_turns_max - rt->epoch.turns, half = (left + 1) / 2;
    uint64_t queued = rt->epoch.turns ? rt->mailbox.queued : 0; /* some in any case */
    uint64_t more = half > queued ? half - queued : 0;
    return more < TAKE_MAX ? (int)more : TAKE_MAX;
}

/* Outside work comes in at the start of an epoch, and again when the queue runs dry: neither can a
 * message that sends to itself for ever keep it out, nor does it pile up behind what is being run. */
static int take_in(sf_runtime *rt, int ceiling)
{
    if (rt->epoch.turns != 0 && rt->mailbox.queued > QUEUE_SHORT)
        return 0;
    if (sfi_fire_is_due(&rt->fire) && ceiling >= 0) {
        int rc = sfi_fire_some(rt);
        if (rc < 0)
            return rc;
    }
    return sfi_inbox_take(rt, take_max(rt));
}

/* The commit under way came to its end, and somebody waits for what it let out, or for what this epoch
 * does: then the epoch ends early. */
static int is_awaited(sf_runtime *rt)
{
    if (!rt->epoch.is_sealed || !sfi_poll_has_settled(rt))
        return 0;
    pthread_mutex_lock(&rt->lock);
    int awaited = rt->waiters.first || rt->asks.count || rt->tickets.first;
    pthread_mutex_unlock(&rt->lock);
    return awaited;
}

/* Runs turns until the bound, a full or awaited epoch or an empty mailbox.  Turns run; *rc has what stopped it.
 * Near the ceiling what was accepted comes in and no turn runs: among it may be what makes room
 * (ceiling.h: 1). */
static int run_turns(sf_runtime *rt, int turns_max, int *rc)
{
    int turns = 0, ceiling = sfi_ceiling_check(&rt->ceiling, SFI_TURNS, 0);
    *rc = 0;
    while (*rc >= 0 && turns < turns_max && !sfi_epoch_is_full(rt) && !is_awaited(rt)) {
        if (SFI_RARE(rt->gleaner.owed) && rt->epoch.turns % SFI_GLEAN_TURNS == 0)
            sfi_gleaner_pass(rt);
        *rc = take_in(rt, ceiling);
        if (*rc >= 0 && ceiling < 0 && (rt->mailbox.queued || sfi_fire_is_due(&rt->fire)))
            *rc = ceiling;
        struct sfi_message *message =
            *rc < 0 ? NULL : sfi_mailbox_head(&rt->mailbox, sfi_epoch_batch(&rt->epoch), rc);
        if (!message && *rc > 0) { /* they went behind holds, or came from there */
            sfi_epoch_moved(&rt->epoch, *rc);
            continue;
        }
        if (!message)
            break;
        if (sfi_careful_is_on(&rt->careful) && (*rc = sfi_careful_meet(rt, message)) <= 0)
            continue;
        *rc = sfi_turn_run(rt, message);
        rt->epoch.turns++;
        turns += *rc >= 0;
    }
    return turns;
}

/* One whose turns have all failed is closed too, though there is nothing to write: its turns count against
 * its bound. */
static int is_begun(sf_runtime *rt)
{
    return rt->epoch.turns || sfi_epoch_is_dirty(rt);
}

/* 0, or negative: out of memory, or stalled.  `epochs`: when the step began.  Who waits for one that was
 * published since is not to wait for the next one too. */
static int commit(sf_runtime *rt, int waits, uint64_t epochs)
{
    int rc = sfi_epoch_settle(rt, sfi_epoch_is_full(rt));
    if (rc > 0 && is_begun(rt) && (rc = sfi_epoch_seal(rt)) == 0)
        rc = sfi_epoch_settle(rt,
                              waits && sfi_epoch_is_small(rt) && epochs == rt->epoch.stats.epochs);
    return rc < 0 ? rc : 0;
}

/* Is there something that comes to an end by itself, unless the disk refuses? */
static int is_under_way(const sf_runtime *rt)
{
    return rt->epoch.is_sealed || rt->epoch.safe != rt->epoch.durable;
}

/* Others learn from here how far the engine is, and why it is not further. */
static void account(sf_runtime *rt, int stalled)
{
    struct sfi_epoch *epoch = &rt->epoch;
    sfi_inbox_account(rt);
    sfi_inbox_measure(rt, rt->sys->mono_ns(rt->sys->ctx));
    epoch->stats.messages_waiting = rt->mailbox.count;
    epoch->stats.held = rt->mailbox.holds.count;
    epoch->stats.damaged = rt->mailbox.backlog.damaged + rt->fire.damaged;
    epoch->stats.operations = rt->operations.count;
    epoch->stats.actors = rt->actors.count;
    epoch->stats.dead_kept = rt->dead.count;
    epoch->stats.egresses_damaged = rt->egresses.fenced;
    epoch->stats.egress_lag = rt->egresses.lag;
    epoch->stats.egress_stalled_ms = sfi_egresses_stalled_ns(&rt->egresses) / 1000000;
    pthread_mutex_lock(&rt->lock);
    rt->stats = epoch->stats;
    rt->is_under_way = stalled >= 0 && is_under_way(rt);
    if (stalled < 0)
        snprintf(rt->stall_why, sizeof rt->stall_why, "%.255s", sf_errmsg());
    if (stalled < 0 || !epoch->failures) /* while it is tried again, what was said stands */
        rt->stall_code = stalled < 0 ? stalled : 0;
    sfi_crowd_account(&rt->crowd);
    rt->ceiling.parked = sfi_mailbox_held_room(&rt->mailbox);
    struct sfi_waiter *taken = sfi_waiters_take(rt);
    pthread_mutex_unlock(&rt->lock);
    sfi_waiters_wake(taken);
}

/* How long to leave a machine alone that just refused. */
static uint64_t retry_pause_ns(const sf_runtime *rt)
{
    uint64_t doublings = rt->epoch.failures ? rt->epoch.failures - 1 : 0;
    uint64_t pause_ms = (uint64_t)RETRY_MIN_MS << (doublings < 8 ? doublings : 8);
    return (pause_ms < RETRY_MAX_MS ? pause_ms : RETRY_MAX_MS) * 1000000;
}

int sfi_has_work(sf_runtime *rt)
{
    return sfi_parts_ready(rt, rt->sys->mono_ns(rt->sys->ctx)) ||
           (!rt->epoch.is_sealed && sfi_epoch_is_dirty(rt));
}

int sfi_is_idle(sf_runtime *rt)
{
    return !rt->epoch.is_sealed && !sfi_has_work(rt);
}

/* Leaves the descriptor readable if there is more to do, and the timer set to what is due; after a
 * failure everything waits for the next try. */
static void set_alarm(sf_runtime *rt, int failed)
{
    uint64_t now_ns = rt->sys->mono_ns(rt->sys->ctx), due_ns = sfi_parts_due(rt);
    if (failed) {
        uint64_t retry_ns = now_ns + retry_pause_ns(rt);
        due_ns = due_ns > now_ns && due_ns < retry_ns ? due_ns : retry_ns;
    }
    sfi_poll_set_due(rt, due_ns, now_ns);
    int settled = sfi_poll_clear(rt);
    if (failed || (!settled && !sfi_has_work(rt)))
        return;
    pthread_mutex_lock(&rt->lock);
    sfi_poll_signal(rt);
    pthread_mutex_unlock(&rt->lock);
}

/* Those that are due by now: what they ask for comes with the next step. */
static void make_callbacks(sf_runtime *rt)
{
    size_t tickets = sfi_tickets_due(rt), asks = sfi_asks_answered(rt);
    int starts = sfi_operations_start_count(rt);
    while (tickets-- && sfi_life_check(rt, "a callback") == 0 && sfi_ticket_call(rt))
        ;
    while (starts-- && sfi_life_check(rt, "a callback") == 0 && sfi_operation_call(rt))
        ;
    while (asks-- && sfi_life_check(rt, "a callback") == 0 && sfi_ask_call(rt))
        ;
}

/* A message was given up whose type stops the engine then.  What was kept before is published first; what the disk
 * refuses just now is committed at close. */
static int stop(sf_runtime *rt)
{
    char why[sizeof rt->stall_why];
    snprintf(why, sizeof why, "%.255s", sf_errmsg());
    sfi_epoch_flush(rt);
    return sfi_err(SF_EFAILED, "%s", why);
}

/* For good. */
static void halt(sf_runtime *rt, int code)
{
    sfi_break(rt, code, sf_errmsg());
    if (code != SF_EFAILED)
        return;
    sfi_asks_end(rt, code);
    make_callbacks(rt);
    sfi_err(code, "%s", rt->broken_why);
}

int sfi_step(sf_runtime *rt, int turns_max, int waits)
{
    int rc = 0, turns = 0;
    uint64_t epochs = rt->epoch.stats.epochs;
    sfi_poll_begin(rt);
    sfi_parts_wake(rt, rt->sys->mono_ns(rt->sys->ctx));
    int stalled = sfi_epoch_settle(rt, 0);
    if (stalled >= 0) {
        turns = run_turns(rt, turns_max > 0 ? turns_max : INT_MAX, &rc);
        if (sfi_life_check(rt, "a step") < 0)
            return SF_EFORK;
        stalled = rc == SF_EFAILED ? stop(rt) : commit(rt, waits, epochs);
    }
    stalled = stalled < 0 ? stalled : rc;
    account(rt, stalled);
    make_callbacks(rt);
    rc = sfi_life_check(rt, "a step") < 0 ? SF_EFORK : sfi_delivery_run(rt);
    if (rc == SF_EFORK)
        return rc;
    if (stalled < 0) /* the callbacks' own failures have left other sentences */
        rc = sfi_err(stalled, "%s", rt->stall_why);
    set_alarm(rt, rc < 0);
    if (rc == SF_ECORRUPT || rc == SF_ENEWER || stalled == SF_EFAILED)
        halt(rt, rc);
    return rc < 0 ? rc : turns;
}

int sfi_timeout(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    int timeout_ms = sfi_timeout_locked(rt);
    pthread_mutex_unlock(&rt->lock);
    return timeout_ms;
}

int sfi_timeout_locked(sf_runtime *rt)
{
    uint64_t due_ns = rt->poll.due_ns, now_ns = rt->sys->mono_ns(rt->sys->ctx);
    if (rt->poll.signalled || (due_ns && due_ns <= now_ns))
        return 0;
    if (rt->is_under_way)
        return 1;
    if (!due_ns)
        return -1;
    uint64_t in_ms = (due_ns - now_ns + 999999) / 1000000;
    return in_ms > INT_MAX ? INT_MAX : (int)in_ms;
}
