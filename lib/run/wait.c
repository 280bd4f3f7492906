#include "run/wait.h"

#include <errno.h>
#include <time.h>

#include "base/err.h"
#include "run/drive.h"
#include "run/runtime.h"
#include "run/step.h"

enum { LOOK_AGAIN_MS = 1000 /* R12: never sleep longer at a time */ };

/* What is waited for; called under the lock.  1: there; 0: not yet; negative: never. */
typedef int condition(sf_runtime *rt, const void *what);

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

static int is_met(sf_runtime *rt, condition *met, const void *what)
{
    pthread_mutex_lock(&rt->lock);
    int rc = met(rt, what);
    pthread_mutex_unlock(&rt->lock);
    return rc;
}

/* This thread's job is to drive: steps until it is met. */
static int drive_until(sf_runtime *rt, uintptr_t frame, condition *met, const void *what,
                       struct deadline deadline)
{
    for (int rc;;) {
        if ((rc = is_met(rt, met, what)) != 0)
            return rc < 0 ? rc : 0;
        if ((rc = sfi_drive_enter(rt, frame, "waiting")) < 0)
            return rc;
        rc = sfi_step(rt, 0);
        int idle = sfi_is_idle(rt);
        sfi_drive_leave(rt);
        if (rc < 0)
            return is_met(rt, met, what) > 0 ? 0 : rc;
        if (is_met(rt, met, what) != 0)
            continue;
        int wait_ms = left_ms(rt, deadline);
        if (wait_ms == 0)
            return sfi_err(SF_ETIMEOUT, "not in time");
        if (idle)
            sfi_poll_wait(rt, wait_ms);
    }
}

static void sleep_on(sf_runtime *rt, int wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&rt->changed, &rt->lock, &until);
}

/* Another thread drives: sleeps until it is met. */
static int sleep_until(sf_runtime *rt, condition *met, const void *what, struct deadline deadline)
{
    int rc, wait_ms;
    pthread_mutex_lock(&rt->lock);
    while ((rc = met(rt, what)) == 0 && (rc = atomic_load(&rt->broken)) == 0 &&
           (wait_ms = left_ms(rt, deadline)) > 0)
        sleep_on(rt, wait_ms);
    int stalled = rt->stall_code;
    pthread_mutex_unlock(&rt->lock);
    if (rc > 0)
        return 0;
    if (rc < 0)
        return atomic_load(&rt->broken) ? sfi_err(rc, "%s", rt->broken_why) : rc;
    return stalled ? sfi_err(stalled, "%s", rt->stall_why)
                   : sfi_err(SF_ETIMEOUT, "not in time: does a thread drive?");
}

int sfi_wait_allowed(sf_runtime *rt, uintptr_t frame, const char *call)
{
    if (rt->owner == (uintptr_t)pthread_self() && rt->callback_frame && frame < rt->callback_frame)
        return sfi_err(SF_EBUSY, "%s called inside a callback", call);
    return 0;
}

static int wait_until(sf_runtime *rt, uintptr_t frame, condition *met, const void *what,
                      struct deadline deadline)
{
    int rc = sfi_wait_allowed(rt, frame, "waiting");
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

/* A quarter free, so that senders do not wake for every message handled. */
static int has_room(sf_runtime *rt, const void *nothing)
{
    (void)nothing;
    return sfi_inbox_has_room(&rt->inbox, rt->inbox.bytes_max / 4);
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
    pthread_mutex_lock(&rt->lock);
    sfi_ask_withdraw(rt, ask);
    pthread_mutex_unlock(&rt->lock);
    rc = take_answer(ask, rc, out);
    sfi_free(rt->sys, ask);
    return rc;
}
