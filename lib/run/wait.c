#include "run/wait.h"

#include "base/err.h"
#include "run/drive.h"
#include "run/runtime.h"
#include "run/step.h"

enum { LOOK_AGAIN_MS = 1000 /* never sleep longer at a time */ };

struct deadline {
    uint64_t at_ns;
    int is_set;
};

static struct deadline deadline_in(sf_runtime *rt, int timeout_ms)
{
    uint64_t now_ns = rt->sys->mono_ns(rt->sys->ctx);
    return (struct deadline){now_ns + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000,
                             timeout_ms >= 0};
}

static int left_ms(sf_runtime *rt, struct deadline deadline)
{
    uint64_t now_ns = rt->sys->mono_ns(rt->sys->ctx);
    if (!deadline.is_set)
        return LOOK_AGAIN_MS;
    if (deadline.at_ns <= now_ns)
        return 0;
    uint64_t left = (deadline.at_ns - now_ns + 999999) / 1000000;
    return left < LOOK_AGAIN_MS ? (int)left : LOOK_AGAIN_MS;
}

static int is_met(sf_runtime *rt, sfi_condition *met, const void *what)
{
    pthread_mutex_lock(&rt->lock);
    int rc = met(rt, what);
    pthread_mutex_unlock(&rt->lock);
    return rc;
}

/* This thread's job is to drive: steps until it is met. */
static int drive_until(sf_runtime *rt, uintptr_t frame, sfi_condition *met, const void *what,
                       struct deadline deadline)
{
    for (int rc;;) {
        if (is_met(rt, met, what))
            return 0;
        if ((rc = sfi_drive_enter(rt, frame, "waiting")) < 0)
            return rc;
        rc = sfi_step(rt, 0, 1);
        if (rc == SF_EFORK) /* this is a handler's child, where the lock may be held for ever */
            return rc;
        int rests = !sfi_has_work(rt);
        sfi_drive_leave(rt);
        if (rc < 0)
            return is_met(rt, met, what) ? 0 : rc;
        if (is_met(rt, met, what))
            continue;
        int wait_ms = left_ms(rt, deadline);
        if (wait_ms == 0)
            return sfi_err(SF_ETIMEOUT, "not in time");
        if (!rests)
            continue;
        int due_ms = sfi_timeout(rt);
        sfi_poll_wait(rt, due_ms >= 0 && due_ms < wait_ms ? due_ms : wait_ms);
    }
}

static void insert(sf_runtime *rt, struct sfi_waiter *waiter)
{
    waiter->next = rt->waiters.first;
    waiter->link = &rt->waiters.first;
    if (waiter->next)
        waiter->next->link = &waiter->next;
    rt->waiters.first = waiter;
}

static void take_out(struct sfi_waiter *waiter)
{
    *waiter->link = waiter->next;
    if (waiter->next)
        waiter->next->link = waiter->link;
    waiter->link = NULL;
}

struct sfi_waiter *sfi_waiters_take(sf_runtime *rt)
{
    struct sfi_waiter *taken = NULL;
    int broken = atomic_load(&rt->broken);
    for (struct sfi_waiter *waiter = rt->waiters.first, *next; waiter; waiter = next) {
        next = waiter->next;
        waiter->outcome = waiter->met(rt, waiter->what);
        if (!broken && waiter->outcome == 0)
            continue;
        take_out(waiter);
        waiter->next = taken;
        taken = waiter;
    }
    return taken;
}

void sfi_waiters_wake(struct sfi_waiter *taken)
{
    for (struct sfi_waiter *waiter = taken, *next; waiter; waiter = next) {
        next = waiter->next; /* the waiter is gone as soon as it wakes */
        sfi_latch_open(&waiter->woken);
    }
}

/* Not woken in time: out of the list, unless the driver has taken it out already and is about to wake it. */
static void leave(sf_runtime *rt, struct sfi_waiter *waiter)
{
    pthread_mutex_lock(&rt->lock);
    int is_taken = waiter->link == NULL;
    if (!is_taken)
        take_out(waiter);
    pthread_mutex_unlock(&rt->lock);
    while (is_taken && !sfi_latch_wait(&waiter->woken, LOOK_AGAIN_MS))
        ;
}

/* What the condition says now, or when somebody sees it met. */
static int sleep_once(sf_runtime *rt, sfi_condition *met, const void *what, int wait_ms)
{
    struct sfi_waiter waiter = {.met = met, .what = what};
    pthread_mutex_lock(&rt->lock);
    waiter.outcome = met(rt, what);
    int sleeps = waiter.outcome == 0 && wait_ms > 0 && !atomic_load(&rt->broken);
    if (sleeps)
        insert(rt, &waiter);
    pthread_mutex_unlock(&rt->lock);
    if (sleeps && !sfi_latch_wait(&waiter.woken, wait_ms))
        leave(rt, &waiter);
    return waiter.outcome;
}

static int why_not(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    int rc = rt->stall_code ? sfi_err(rt->stall_code, "%s", rt->stall_why)
                            : sfi_err(SF_ETIMEOUT, "not in time: does a thread drive?");
    pthread_mutex_unlock(&rt->lock);
    return rc;
}

/* Another thread drives: sleeps until it is met. */
static int sleep_until(sf_runtime *rt, sfi_condition *met, const void *what,
                       struct deadline deadline)
{
    int rc, wait_ms, broken = 0;
    do {
        wait_ms = left_ms(rt, deadline);
        rc = sleep_once(rt, met, what, wait_ms);
    } while (rc == 0 && wait_ms > 0 && !(broken = atomic_load(&rt->broken)));
    if (rc == 0 && broken)
        return sfi_err(broken, "%s", rt->broken_why);
    return rc ? 0 : why_not(rt);
}

static int wait_until(sf_runtime *rt, uintptr_t frame, sfi_condition *met, const void *what,
                      struct deadline deadline)
{
    int rc = sfi_callback_check(rt, frame, "waiting");
    if (rc < 0)
        return rc;
    return sfi_drive_is_mine(rt) ? drive_until(rt, frame, met, what, deadline)
                                 : sleep_until(rt, met, what, deadline);
}

static int is_durable(sf_runtime *rt, const void *ticket)
{
    return rt->tickets.durable >= *(const int64_t *)ticket;
}

int sfi_wait_durable(sf_runtime *rt, uintptr_t frame, int64_t ticket, int timeout_ms)
{
    pthread_mutex_lock(&rt->lock);
    int64_t last = rt->inbox.last_ticket;
    pthread_mutex_unlock(&rt->lock);
    if (ticket > last)
        return sfi_err(SF_EINVAL, "no ticket %lld was given yet", (long long)ticket);
    if (ticket == 0)
        ticket = last;
    return wait_until(rt, frame, is_durable, &ticket, deadline_in(rt, timeout_ms));
}

static int has_room(sf_runtime *rt, const void *nothing)
{
    (void)nothing;
    return sfi_inbox_has_room(&rt->inbox);
}

int sfi_wait_room(sf_runtime *rt, uintptr_t frame, int timeout_ms)
{
    return wait_until(rt, frame, has_room, NULL, deadline_in(rt, timeout_ms));
}

static int is_answered(sf_runtime *rt, const void *ask)
{
    (void)rt;
    return ((const struct sfi_ask *)ask)->answered;
}

/* The answer, once it was waited for; the ask is out of the table. */
static int take_answer(struct sfi_ask *ask, int waited, sf_message **out)
{
    if (!ask->answered)
        return waited < 0 ? waited : sfi_err(SF_ETIMEOUT, "no answer in time");
    if (ask->result < 0) {
        int rc = sfi_ask_explain(ask);
        sfi_reply_free(ask->reply);
        return rc;
    }
    *out = &ask->reply->message;
    return 0;
}

int sfi_wait_answer(sf_runtime *rt, uintptr_t frame, struct sfi_ask *ask, int timeout_ms,
                    sf_message **out)
{
    int drives = sfi_drive_is_mine(rt);
    if (drives)
        rt->driver_ask = ask;
    int rc = wait_until(rt, frame, is_answered, ask, deadline_in(rt, timeout_ms));
    if (drives)
        rt->driver_ask = NULL;
    if (rc == SF_EFORK)
        return rc;
    pthread_mutex_lock(&rt->lock);
    sfi_ask_withdraw(rt, ask);
    pthread_mutex_unlock(&rt->lock);
    rc = take_answer(ask, rc, out);
    sfi_free(rt->sys, ask);
    return rc;
}

int sfi_wait_idle(sf_runtime *rt, int timeout_ms)
{
    struct deadline deadline = deadline_in(rt, timeout_ms);
    for (;;) {
        int rc = sfi_step(rt, 0, 1);
        if (rc < 0 || sfi_is_idle(rt))
            return rc < 0 ? rc : 0;
        int wait_ms = left_ms(rt, deadline), due_ms = sfi_timeout(rt);
        if (wait_ms == 0)
            return sfi_err(SF_ETIMEOUT, "not idle in time");
        if (!sfi_has_work(rt)) /* for the commit thread */
            sfi_poll_wait(rt, due_ms >= 0 && due_ms < wait_ms ? due_ms : wait_ms);
    }
}
