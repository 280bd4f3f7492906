#include "run/drive.h"

#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "run/runtime.h"

static uintptr_t self(void)
{
    return (uintptr_t)pthread_self();
}

/* Does `frame` lie below `outer`, that is, was it called by what `outer` called? */
static int is_inside(uintptr_t frame, uintptr_t outer)
{
    return outer && frame < outer;
}

static int in_handler(const sf_runtime *rt, uintptr_t frame)
{
    return rt->owner == self() && rt->turn.active && is_inside(frame, rt->turn.frame);
}

int sfi_callback_check(const sf_runtime *rt, uintptr_t frame, const char *call)
{
    if (rt->owner == self() && is_inside(frame, rt->callback_frame))
        return sfi_err(SF_EBUSY, "%s called inside a callback", call);
    return 0;
}

void sfi_break(sf_runtime *rt, int code, const char *why)
{
    if (atomic_load(&rt->broken))
        return;
    snprintf(rt->broken_why, sizeof rt->broken_why, "%s", why);
    atomic_store(&rt->broken, code);
    pthread_mutex_lock(&rt->lock);
    struct sfi_waiter *taken = sfi_waiters_take(rt);
    pthread_mutex_unlock(&rt->lock);
    sfi_waiters_wake(taken);
}

static int forked(const char *call)
{
    return sfi_err(SF_EFORK, "%s: a runtime cannot be used after fork()", call);
}

int sfi_life_check(const sf_runtime *rt, const char *call)
{
    if (!rt)
        return sfi_err(SF_EINVAL, "%s: the runtime is NULL", call);
    return rt->has_dir && sfi_dir_forked(&rt->dir) ? forked(call) : 0;
}

int sfi_pid_check(const sf_runtime *rt, const char *call)
{
    return rt->has_dir && rt->dir.pid != getpid() ? forked(call) : 0;
}

/* In this process, and not inside a handler. */
static int check_outside(sf_runtime *rt, uintptr_t frame, const char *call, const char *instead)
{
    int rc = sfi_life_check(rt, call);
    if (rc < 0 || !in_handler(rt, frame))
        return rc;
    sfi_turn_doom(&rt->turn, SFI_FAIL, SF_ETURN, "%s called inside a handler%s%s", call,
                  instead ? ": use " : "", instead ? instead : "");
    return sfi_err(SF_ETURN, "%s", rt->turn.reason);
}

static int check_broken(sf_runtime *rt)
{
    int broken = atomic_load(&rt->broken);
    return broken ? sfi_err(broken, "%s", rt->broken_why) : 0;
}

int sfi_call_check(sf_runtime *rt, uintptr_t frame, const char *call, const char *instead)
{
    int rc = check_outside(rt, frame, call, instead);
    return rc < 0 ? rc : check_broken(rt);
}

/* Who it is comes before what state the engine is in: close goes on when it is broken, but never
 * inside a callback. */
static int check_driver(sf_runtime *rt, uintptr_t frame, const char *call)
{
    int rc = check_outside(rt, frame, call, NULL);
    if (rc < 0)
        return rc;
    uintptr_t background = atomic_load(&rt->background);
    if ((rc = sfi_pid_check(rt, call)) < 0 || (rc = sfi_callback_check(rt, frame, call)) < 0)
        return rc;
    if (background && background != self())
        return sfi_err(SF_EBUSY, "%s: the background thread drives", call);
    return check_broken(rt);
}

int sfi_drive_enter(sf_runtime *rt, uintptr_t frame, const char *call)
{
    uintptr_t nobody = 0, me = self();
    int rc = check_driver(rt, frame, call);
    if (rc < 0)
        return rc;
    if (rt->owner != me && !atomic_compare_exchange_strong(&rt->owner, &nobody, me))
        return sfi_err(SF_EBUSY, "%s: another thread is driving", call);
    atomic_store(&rt->driver, me);
    if (rt->turn.active || rt->callback_frame)
        sfi_ask_abandon(rt);
    rt->callback_frame = 0;
    rc = rt->turn.active ? sfi_turn_abandon(rt) : 0;
    if (rc < 0)
        sfi_drive_leave(rt);
    return rc;
}

void sfi_drive_leave(sf_runtime *rt)
{
    atomic_store(&rt->owner, 0);
}

int sfi_drive_is_mine(sf_runtime *rt)
{
    return atomic_load(&rt->background) == 0 && atomic_load(&rt->driver) == self();
}
