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

/* One call that waits. */
struct wait {
    sf_runtime *rt; /* NULL: it is over */
    struct sfi_frame here;
    sfi_condition *met;
    const void *what;
    struct sfi_ask *ask; /* ours, until it is taken; or NULL */
    struct deadline deadline;
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

static int sooner_ms(int wait_ms, int due_ms)
{
    return due_ms >= 0 && due_ms < wait_ms ? due_ms : wait_ms;
}

/* -- the list, under the lock ------------------------------------------------------------------------- */

static void insert(struct sfi_waiters *waiters, struct sfi_waiter *waiter)
{
    waiter->next = waiters->first;
    waiter->link = &waiters->first;
    if (waiter->next)
        waiter->next->link = &waiter->next;
    waiters->first = waiter;
}

static void take_out(struct sfi_waiters *waiters, struct sfi_waiter *waiter)
{
    *waiter->link = waiter->next;
    if (waiter->next)
        waiter->next->link = waiter->link;
    waiter->link = NULL;
    if (waiters->on_duty == waiter)
        waiters->on_duty = NULL;
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
        take_out(&rt->waiters, waiter);
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

/* Is there something to do that who is on duty does not know of? */
static int counts_on_less(const sf_runtime *rt)
{
    uint64_t due_ns = rt->poll.due_ns, counted_on_ns = rt->waiters.on_duty->due_ns;
    return rt->poll.signalled || (due_ns && (!counted_on_ns || due_ns < counted_on_ns));
}

struct sfi_waiter *sfi_waiters_next_driver(sf_runtime *rt)
{
    struct sfi_waiters *waiters = &rt->waiters;
    struct sfi_waiter *next = waiters->on_duty ? waiters->on_duty : waiters->first;
    if (!next || !sfi_drive_is_free(rt) || (waiters->on_duty && !counts_on_less(rt)))
        return NULL;
    take_out(waiters, next);
    next->outcome = 0;
    next->next = NULL;
    return next;
}

void sfi_waiters_call(sf_runtime *rt)
{
    if (rt->waiters.on_duty)
        sfi_waiters_wake(sfi_waiters_next_driver(rt));
}

/* -- a waiting thread ---------------------------------------------------------------------------------- */

/* Not woken in time, or cancelled: out of the list, unless somebody has taken it out already and is about to
 * wake it. */
static void leave(struct sfi_waiter *waiter)
{
    pthread_mutex_lock(&waiter->rt->lock);
    int is_taken = waiter->link == NULL;
    if (!is_taken)
        take_out(&waiter->rt->waiters, waiter);
    pthread_mutex_unlock(&waiter->rt->lock);
    while (is_taken && !sfi_latch_wait(&waiter->woken, LOOK_AGAIN_MS))
        ;
}

/* At its end, also when this thread is cancelled. */
static void wake_up(struct sfi_waiter **waiter)
{
    if (!sfi_latch_wait(&(*waiter)->woken, 0))
        leave(*waiter);
}

static int sleep_in_list(struct sfi_waiter *waiter, int wait_ms)
{
    struct sfi_waiter *asleep __attribute__((cleanup(wake_up))) = waiter;
    return sfi_latch_wait(&asleep->woken, wait_ms) ? asleep->outcome : 0;
}

/* Under the lock: into the list, on duty if nobody else is.  How long to sleep; 0: there is something to do. */
static int lie_down(sf_runtime *rt, struct sfi_waiter *waiter, int wait_ms)
{
    int takes_duty = sfi_drive_is_free(rt) && (!rt->waiters.on_duty || counts_on_less(rt));
    if (takes_duty)
        wait_ms = sooner_ms(wait_ms, sfi_timeout_locked(rt));
    if (wait_ms == 0)
        return 0;
    insert(&rt->waiters, waiter);
    waiter->due_ns = rt->poll.due_ns;
    if (takes_duty)
        rt->waiters.on_duty = waiter;
    return wait_ms;
}

/* Under the lock: why it is over; 0: it goes on. */
static int why_over(sf_runtime *rt, int wait_ms)
{
    int broken = atomic_load(&rt->broken);
    if (broken)
        return sfi_err(broken, "%s", rt->broken_why);
    if (wait_ms > 0)
        return 0;
    return rt->stall_code ? sfi_err(rt->stall_code, "%s", rt->stall_why)
                          : sfi_err(SF_ETIMEOUT, "not in time");
}

/* 1: what is waited for is there; 0: look again; negative: it is over. */
static int rest(struct wait *wait, int has_work)
{
    sf_runtime *rt = wait->rt;
    struct sfi_waiter waiter = {.rt = rt, .met = wait->met, .what = wait->what};
    int wait_ms = left_ms(rt, wait->deadline);
    pthread_mutex_lock(&rt->lock);
    int rc = wait->met(rt, wait->what);
    if (rc == 0)
        rc = why_over(rt, wait_ms);
    wait_ms = rc == 0 && !has_work ? lie_down(rt, &waiter, wait_ms) : 0;
    pthread_mutex_unlock(&rt->lock);
    return wait_ms ? sleep_in_list(&waiter, wait_ms) : rc;
}

/* 1: there is more to do; 0: not now, or not by this thread. */
static int drive_once(struct wait *wait)
{
    struct sfi_session session SFI_DRIVES = {0};
    int rc = sfi_drive_begin(&session, wait->rt, wait->here, "waiting", SFI_WAITS);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    wait->rt->drive.ask = wait->ask;
    rc = sfi_step(wait->rt, 0, 1);
    return rc < 0 ? rc : sfi_has_work(wait->rt);
}

static int is_met(const struct wait *wait)
{
    pthread_mutex_lock(&wait->rt->lock);
    int rc = wait->met(wait->rt, wait->what);
    pthread_mutex_unlock(&wait->rt->lock);
    return rc;
}

static int wait_until(struct wait *wait)
{
    int rc = sfi_callback_check(wait->rt, wait->here, "waiting");
    if (rc < 0 || is_met(wait))
        return rc;
    for (;;) {
        int has_work = drive_once(wait);
        if (has_work == SF_EFORK) { /* this is a handler's child, where the lock may be held for ever */
            wait->rt = NULL;
            return SF_EFORK;
        }
        if (has_work < 0)
            return is_met(wait) ? 0 : has_work;
        rc = rest(wait, has_work);
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
}

/* However the call ends: the duty goes to another, the question is forgotten. */
static void end_wait(struct wait *wait)
{
    sf_runtime *rt = wait->rt;
    if (!rt)
        return;
    pthread_mutex_lock(&rt->lock);
    if (wait->ask)
        sfi_ask_withdraw(rt, wait->ask);
    struct sfi_waiter *next = sfi_waiters_next_driver(rt);
    pthread_mutex_unlock(&rt->lock);
    sfi_waiters_wake(next);
    if (wait->ask)
        sfi_ask_free(rt, wait->ask);
}

#define WAITS __attribute__((cleanup(end_wait)))

/* -- what for -------------------------------------------------------------------------------------------- */

static int is_durable(sf_runtime *rt, const void *ticket)
{
    return rt->tickets.durable >= *(const int64_t *)ticket;
}

int sfi_wait_durable(sf_runtime *rt, struct sfi_frame here, int64_t ticket, int timeout_ms)
{
    pthread_mutex_lock(&rt->lock);
    int64_t last = rt->inbox.last_ticket;
    pthread_mutex_unlock(&rt->lock);
    if (ticket > last)
        return sfi_err(SF_EINVAL, "no ticket %lld was given yet", (long long)ticket);
    if (ticket == 0)
        ticket = last;
    struct wait wait WAITS = {rt, here, is_durable, &ticket, NULL, deadline_in(rt, timeout_ms)};
    return wait_until(&wait);
}

static int has_room(sf_runtime *rt, const void *refusal)
{
    return sfi_inbox_has_room(&rt->inbox) && sfi_crowd_has_room(&rt->crowd, refusal) &&
           !sfi_crowd_is_held(rt, refusal);
}

int sfi_wait_room(sf_runtime *rt, struct sfi_frame here, int timeout_ms)
{
    pthread_mutex_lock(&rt->lock);
    struct sfi_refusal refusal = sfi_crowd_refusal(&rt->crowd);
    pthread_mutex_unlock(&rt->lock);
    struct wait wait WAITS = {rt, here, has_room, &refusal, NULL, deadline_in(rt, timeout_ms)};
    return wait_until(&wait);
}

static int is_answered(sf_runtime *rt, const void *ask)
{
    (void)rt;
    return ((const struct sfi_ask *)ask)->answered;
}

int sfi_wait_answer(sf_runtime *rt, struct sfi_frame here, struct sfi_ask *ask, int timeout_ms,
                    sf_message **out)
{
    struct wait wait WAITS = {rt, here, is_answered, ask, ask, deadline_in(rt, timeout_ms)};
    int rc = wait_until(&wait);
    if (rc == SF_EFORK)
        return rc;
    pthread_mutex_lock(&rt->lock);
    sfi_ask_withdraw(rt, ask); /* nobody answers it from here on */
    pthread_mutex_unlock(&rt->lock);
    if (!ask->answered)
        return rc;
    if (ask->result < 0)
        return sfi_ask_explain(rt, ask);
    *out = &ask->reply->message;
    ask->reply = NULL;
    return 0;
}

int sfi_wait_idle(sf_runtime *rt, int timeout_ms)
{
    struct deadline deadline = deadline_in(rt, timeout_ms);
    for (;;) {
        int rc = sfi_step(rt, 0, 1);
        if (rc < 0 || sfi_is_idle(rt))
            return rc < 0 ? rc : 0;
        int wait_ms = left_ms(rt, deadline);
        if (wait_ms == 0)
            return sfi_err(SF_ETIMEOUT, "not idle in time");
        if (!sfi_has_work(rt)) /* for the commit thread */
            sfi_poll_wait(rt, sooner_ms(wait_ms, sfi_timeout(rt)));
    }
}
