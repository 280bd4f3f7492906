/* step.h - one step of the engine: take in, run turns, commit, call back.
 *
 *   1  what is due: pauses end, asks time out, acknowledgements are taken over
 *   2  what became of the sealed epoch; when the disk has just refused it, no turn runs
 *   3  turns, until the bound, a full epoch or an empty mailbox
 *   4  if nothing is under way, the epoch is sealed and handed over; if something is and the epoch is
 *      full, this is where turns wait for the disk
 *   5  callbacks and egress records whose epoch is durable
 *   6  the descriptor is left readable if there is more to do, the timer set to what is due
 *
 * The commit thread signals the descriptor when it is done.  Our own loops, which would only wait for
 * it, commit a small epoch themselves: that saves waking two threads.
 *
 * With the right to drive (drive.h). */
#ifndef SFI_RUN_STEP_H
#define SFI_RUN_STEP_H

#include "statefun.h"

/* Turns run, or a negative code.  `waits`: the caller has nothing else to do. */
int sfi_step(sf_runtime *rt, int turns_max, int waits);
/* Is there something that a step could do now? */
int sfi_has_work(sf_runtime *rt);
/* No work, and nothing on its way to the disk. */
int sfi_is_idle(sf_runtime *rt);
/* How long a loop may wait before the next step; -1: for ever. */
int sfi_timeout(sf_runtime *rt);
int sfi_timeout_locked(sf_runtime *rt); /* the lock is held */

#endif
