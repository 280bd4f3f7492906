/* bounce.h - what comes back to an actor whose message became a dead letter: a message of kind
 * SF_DEAD.
 *
 * (1) It comes to senders whose type lists SF_DEAD, from whom it was for, as part of the epoch that
 *     buries the letter.
 * (2) What comes back does not come back again; nor does a tick or the answer of an operation,
 *     which nobody told.
 *
 * Engine thread only. */
#ifndef SFI_RUN_BOUNCE_H
#define SFI_RUN_BOUNCE_H

#include "actor/message.h"

/* What to send when the message is buried for that reason; NULL in *out: nothing.  0 or
 * SF_ENOMEM. */
int sfi_bounce_new(sf_runtime *rt, const struct sfi_message *message, const char *reason,
                   struct sfi_message **out);

#endif
