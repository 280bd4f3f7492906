/* wait.h - blocking, from any thread.
 *
 * The thread whose job it is to drive drives while it waits; every other thread sleeps until the
 * driver wakes it.
 *
 * A thousand threads may sleep, so each is woken alone, when what it waits for is there, and needs no lock
 * then: the driver takes out of the list who is to be woken, under the runtime's lock, and wakes them
 * without it.  Who was taken out is waited for by its sleeper, so that it may lie on a stack. */
#ifndef SFI_RUN_WAIT_H
#define SFI_RUN_WAIT_H

#include <stdint.h>

#include "base/latch.h"
#include "run/ask.h"

/* What is waited for; called under the lock, also by the driver.  1: there; 0: not yet. */
typedef int sfi_condition(sf_runtime *rt, const void *what);

struct sfi_waiter {
    struct sfi_waiter *next, **link; /* link NULL: taken out */
    sfi_condition *met;
    const void *what;
    int outcome;
    struct sfi_latch woken;
};

struct sfi_waiters {
    struct sfi_waiter *first;
};

/* Driver, under the lock: takes out those whose wait is over. */
struct sfi_waiter *sfi_waiters_take(sf_runtime *rt);
/* Without it: wakes them. */
void sfi_waiters_wake(struct sfi_waiter *taken);

int sfi_wait_durable(sf_runtime *rt, uintptr_t frame, int64_t ticket, int timeout_ms);
int sfi_wait_room(sf_runtime *rt, uintptr_t frame, int timeout_ms);
/* Takes the ask over: in the heap, because an exception may leave this call. */
int sfi_wait_answer(sf_runtime *rt, uintptr_t frame, struct sfi_ask *ask, int timeout_ms,
                    sf_message **out);
/* With the right to drive: steps until nothing is left that could be done now. */
int sfi_wait_idle(sf_runtime *rt, int timeout_ms);

#endif
