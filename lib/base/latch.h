/* latch.h - a door that is opened once: one thread sleeps at it, another opens it.
 *
 * It may lie on the sleeper's stack and is gone as soon as the sleeper has seen it open, even while
 * sfi_latch_open() is on its way back: that touches nothing after its one store, and only names the
 * address to the kernel.  A mutex with a condition can promise that only if the lock is held while
 * signalling, and the thread that wakes stops at that lock at once.  See futex(2), and on waking an address
 * that may be gone: Drepper, "Futexes Are Tricky", 2011. */
#ifndef SFI_BASE_LATCH_H
#define SFI_BASE_LATCH_H

#include <stdatomic.h>
#include <stdint.h>

/* All zeroes: closed. */
struct sfi_latch {
    _Atomic uint32_t is_open;
};

/* All that the opener did before is seen by the sleeper afterwards. */
void sfi_latch_open(struct sfi_latch *latch);
/* 1: open; 0: not after `wait_ms`, or a signal came before.  A thread that sleeps here can be cancelled. */
int sfi_latch_wait(struct sfi_latch *latch, int wait_ms);

#endif
