/* step.h - one step of the engine: take in, run turns, commit, call back.
 *
 *   1  what is due: pauses end, asks time out, acknowledgements are taken over
 *   2  a batch that is still sealed is settled; while the disk refuses, no turn runs
 *   3  turns, until the bound, a full epoch or an empty mailbox
 *   4  the epoch is sealed and settled
 *   5  callbacks and egress records whose epoch is durable
 *   6  the descriptor is left readable if there is more to do, the timer set to what is due
 *
 * With the right to drive (drive.h). */
#ifndef SFI_RUN_STEP_H
#define SFI_RUN_STEP_H

#include "statefun.h"

/* Turns run, or a negative code. */
int sfi_step(sf_runtime *rt, int turns_max);
/* Nothing to do now? */
int sfi_is_idle(sf_runtime *rt);
/* How long a loop may wait before the next step; -1: for ever. */
int sfi_timeout(sf_runtime *rt);

#endif
