/* delivery.h - bringing egress records to their callbacks.
 *
 * Reads durable rows of the outbox in sequence order, a bounded number at a time, copies them so
 * that no snapshot is held across a callback, and calls.  What the callback says done is
 * acknowledged; what is not done comes again after a pause that doubles while nothing is.
 *
 * A step delivers what became safe since the last one and a share of what waits besides, over all
 * egresses that are ready, a call each in turn: so a sink that keeps up with its calls keeps up
 * with those who emit, and one egress does not hold up the others. */
#ifndef SFI_RUN_DELIVERY_H
#define SFI_RUN_DELIVERY_H

#include <stdint.h>

#include "statefun.h"

/* Any thread, under the lock: notes an acknowledgement.  SF_EINVAL beyond the newest safe record.
 */
struct sfi_egress;
int sfi_delivery_request_ack(sf_runtime *rt, struct sfi_egress *egress, uint64_t sequence);

/* Engine. */
int sfi_delivery_run(sf_runtime *rt); /* 0, or what the store says */

#endif
