#include "run/drive.h"

#include <errno.h>
#include <stdio.h>

#include "base/cond.h"
#include "base/err.h"
#include "run/runtime.h"

/* A stepper waits so long for a waiter's step. */
enum { LOOK_AGAIN_MS = 1000, LOOKS_MAX = 10 };

static uintptr_t self(void)
{
    return (uintptr_t)pthread_self();
}

void sfi_drive_init(struct sfi_drive *drive)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&drive->right, &attributes);
    pthread_mutexattr_destroy(&attributes);
    sfi_cond_init(&drive->given_back);
}

void sfi_drive_fini(struct sfi_drive *drive)
{
    pthread_cond_destroy(&drive->given_back);
    pthread_mutex_destroy(&drive->right);
}

/* -- the right, under the lock ----------------------------------------------------------------------- */

/* Free, or its holder's thread has ended. */
static int try_right(struct sfi_drive *drive)
{
    int error = pthread_mutex_trylock(&drive->right);
    if (error == EOWNERDEAD)
        error = pthread_mutex_consistent(&drive->right);
    return error == 0;
}

static void hold_right(struct sfi_drive *drive, struct sfi_frame here, enum sfi_drive_kind kind)
{
    atomic_store(&drive->guard.thread, self());
    drive->guard.frame = here;
    drive->guard.handlers = drive->guard.callbacks = 0;
    drive->gives_way = kind == SFI_WAITS;
}

static void give_right(sf_runtime *rt)
{
    struct sfi_drive *drive = &rt->drive;
    atomic_store(&drive->guard.thread, 0);
    drive->guard.handlers = drive->guard.callbacks = 0;
    pthread_mutex_unlock(&drive->right);
    if (drive->wanted)
        pthread_cond_broadcast(&drive->given_back);
}

int sfi_drive_is_free(const sf_runtime *rt)
{
    return !atomic_load(&rt->drive.guard.thread) && !rt->drive.wanted &&
           !atomic_load(&rt->background);
}

static int busy(const sf_runtime *rt, const char *call)
{
    return rt->drive.gives_way
               ? sfi_err(SF_EBUSY,
                         "%s: a thread that waits has been driving for %d seconds: does its handler "
                         "block, or was it left by longjmp?",
                         call, LOOKS_MAX)
               : sfi_err(SF_EBUSY, "%s: another thread is driving", call);
}

static int take_right(sf_runtime *rt, const char *call, enum sfi_drive_kind kind)
{
    struct sfi_drive *drive = &rt->drive;
    if (kind == SFI_WAITS && drive->wanted)
        return 1;
    for (int looks = 0; !try_right(drive);) {
        if (kind == SFI_WAITS)
            return 1;
        if (!drive->gives_way || looks == LOOKS_MAX)
            return busy(rt, call);
        struct timespec until = sfi_cond_deadline(LOOK_AGAIN_MS);
        drive->wanted++;
        looks += pthread_cond_timedwait(&drive->given_back, &rt->lock, &until) == ETIMEDOUT;
        drive->wanted--;
    }
    return 0;
}

/* -- checks ------------------------------------------------------------------------------------------ */

/* The call in which this thread drove was left: what it left half done is undone by who drives next. */
static void settle_left(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    give_right(rt);
    struct sfi_waiter *next = sfi_waiters_next_driver(rt);
    pthread_mutex_unlock(&rt->lock);
    sfi_waiters_wake(next);
}

/* Did a thread that has ended have the right, and the same name as this one?  Then this one has it now. */
static int has_ended(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    int ended = try_right(&rt->drive);
    pthread_mutex_unlock(&rt->lock);
    return ended;
}

/* Is the application's code under way on this thread, so deep?  If it was left, that is settled here. */
static int is_inside(sf_runtime *rt, const int *depth, struct sfi_frame here)
{
    const struct sfi_guard *guard = &rt->drive.guard;
    if (!sfi_guard_is_mine(guard) || !*depth)
        return 0;
    if (!has_ended(rt)) {
        if (!sfi_guard_was_left(guard, here))
            return 1;
        pthread_setcancelstate(rt->drive.cancel_before, NULL);
    }
    settle_left(rt);
    return 0;
}

int sfi_callback_check(sf_runtime *rt, struct sfi_frame here, const char *call)
{
    if (is_inside(rt, &rt->drive.guard.callbacks, here))
        return sfi_err(SF_EBUSY, "%s called inside a callback", call);
    return 0;
}

/* In this process, and not inside a handler. */
static int check_outside(sf_runtime *rt, struct sfi_frame here, const char *call,
                         const char *instead)
{
    int rc = sfi_life_check(rt, call);
    if (rc < 0 || !is_inside(rt, &rt->drive.guard.handlers, here))
        return rc;
    sfi_work_doom(&rt->turns.work, SFI_FAIL, SF_ETURN, "%s called inside a handler%s%s", call,
                  instead ? ": use " : "", instead ? instead : "");
    return sfi_err(SF_ETURN, "%s", rt->turns.work.reason);
}

static int check_broken(sf_runtime *rt)
{
    int broken = atomic_load(&rt->broken);
    return broken ? sfi_err(broken, "%s", rt->broken_why) : 0;
}

/* Is there nothing to look into?  So it is for nearly all calls. */
static inline int is_usual(const sf_runtime *rt)
{
    const struct sfi_guard *guard = &rt->drive.guard;
    return !sfi_is_forked(rt) && !atomic_load_explicit(&rt->broken, memory_order_acquire) &&
           !(sfi_guard_is_mine(guard) && guard->handlers);
}

int sfi_call_check(sf_runtime *rt, struct sfi_frame here, const char *call, const char *instead)
{
    if (rt && is_usual(rt))
        return 0;
    int rc = check_outside(rt, here, call, instead);
    return rc < 0 ? rc : check_broken(rt);
}

/* Who it is comes before what state the engine is in: close goes on when it is broken, but never
 * inside a callback. */
static int check_driver(sf_runtime *rt, struct sfi_frame here, const char *call,
                        enum sfi_drive_kind kind)
{
    int rc = check_outside(rt, here, call, NULL);
    if (rc == 0)
        rc = sfi_pid_check(rt, call);
    if (rc == 0)
        rc = sfi_callback_check(rt, here, call);
    if (rc < 0)
        return rc;
    uintptr_t background = atomic_load(&rt->background);
    if (background && background != self())
        return kind == SFI_WAITS ? 1
                                 : sfi_err(SF_EBUSY, "%s: the background thread drives", call);
    return kind == SFI_CLOSES ? 0 : check_broken(rt);
}

/* -- a session ----------------------------------------------------------------------------------------- */

/* What a call that was left did not finish. */
static int undo_left(sf_runtime *rt, enum sfi_drive_kind kind)
{
    if (rt->drive.ask)
        sfi_ask_abandon(rt);
    int rc = rt->turns.depth ? sfi_turn_abandon(rt) : 0;
    if (rc == SF_EFAILED)
        sfi_break(rt, rc, sf_errmsg());
    return kind == SFI_CLOSES ? 0 : rc;
}

int sfi_drive_begin(struct sfi_session *session, sf_runtime *rt, struct sfi_frame here,
                    const char *call, enum sfi_drive_kind kind)
{
    int rc = check_driver(rt, here, call, kind);
    if (rc != 0)
        return rc;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &session->cancel_before);
    session->is_uncancelled = 1;
    pthread_mutex_lock(&rt->lock);
    rc = take_right(rt, call, kind);
    if (rc == 0)
        hold_right(&rt->drive, here, kind);
    struct sfi_waiter *next = rc < 0 ? sfi_waiters_next_driver(rt) : NULL;
    pthread_mutex_unlock(&rt->lock);
    sfi_waiters_wake(next);
    if (rc == 0) {
        session->rt = rt;
        rt->drive.cancel_before = session->cancel_before;
        rc = undo_left(rt, kind);
    }
    return rc;
}

void sfi_drive_end(struct sfi_session *session)
{
    sf_runtime *rt = session->rt;
    if (rt && sfi_life_check(rt, "driving") == 0) { /* in a handler's child the lock may be held for ever */
        pthread_mutex_lock(&rt->lock);
        rt->drive.ask = NULL;
        give_right(rt);
        /* One that waits goes on duty itself, or hands it on at its end. */
        struct sfi_waiter *next = rt->drive.gives_way ? NULL : sfi_waiters_next_driver(rt);
        pthread_mutex_unlock(&rt->lock);
        sfi_waiters_wake(next);
    }
    session->rt = NULL;
    if (session->is_uncancelled)
        pthread_setcancelstate(session->cancel_before, NULL);
    session->is_uncancelled = 0;
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
