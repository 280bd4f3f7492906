/* wait.h - blocking, from any thread.
 *
 * (1) Who waits drives, if nobody else does: step by step, until what is waited for is there.  When there is
 *     nothing to do it sleeps; of all who sleep one is on duty: it is woken when work comes in or is due, and
 *     drives on.  All others sleep until what they wait for is there, or the duty comes to them.
 * (2) Somebody is on duty, or drives, whenever somebody waits: the duty is handed on by whoever gives the right
 *     to drive back and by a waiter that goes.  With a thread of ours, or while a stepper wants to, nobody is.
 * (3) A thousand threads may sleep, so each is woken alone, and needs no lock when what it waits for is there:
 *     the driver takes out of the list who is to be woken, under the runtime's lock, and wakes them without it.
 *     Who was taken out is waited for by its sleeper, so that it may lie on a stack.
 * (4) Sleeping is where a waiting thread can be cancelled, with no lock held; it leaves nothing. */
#ifndef SFI_RUN_WAIT_H
#define SFI_RUN_WAIT_H

#include <stdint.h>

#include "base/latch.h"
#include "base/stack.h"
#include "run/ask.h"

/* What is waited for; called under the lock, also by the driver.  1: there; 0: not yet. */
typedef int sfi_condition(sf_runtime *rt, const void *what);

struct sfi_waiter {
    sf_runtime *rt;
    struct sfi_waiter *next, **link; /* link NULL: taken out */
    sfi_condition *met;
    const void *what;
    int outcome;     /* 0: it is woken to drive */
    uint64_t due_ns; /* on duty: what it counted on */
    struct sfi_latch woken;
};

struct sfi_waiters {
    struct sfi_waiter *first;
    struct sfi_waiter *on_duty; /* one of them, or NULL */
};

/* Driver, under the lock: takes out those whose wait is over. */
struct sfi_waiter *sfi_waiters_take(sf_runtime *rt);
/* Without it: wakes them. */
void sfi_waiters_wake(struct sfi_waiter *taken);
/* Under the lock: takes out who is to drive next; NULL: nobody need be woken. */
struct sfi_waiter *sfi_waiters_next_driver(sf_runtime *rt);
/* Under the lock: work came in. */
void sfi_waiters_call(sf_runtime *rt);

int sfi_wait_durable(sf_runtime *rt, struct sfi_frame here, int64_t ticket, int timeout_ms);
int sfi_wait_room(sf_runtime *rt, struct sfi_frame here, int timeout_ms);
/* Takes the ask over: in the heap, because the call may be left. */
int sfi_wait_answer(sf_runtime *rt, struct sfi_frame here, struct sfi_ask *ask, int timeout_ms,
                    sf_message **out);
/* With the right to drive: steps until nothing is left that could be done now. */
int sfi_wait_idle(sf_runtime *rt, int timeout_ms);

#endif
