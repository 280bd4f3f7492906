/* failure.h - what becomes of a message whose work was undone.
 *
 *      verdict       attempts   the message
 *      SFI_FAIL      +1         again, at once or after the type's back-off; at last given up
 *      SFI_REJECT    +1         given up
 *      SFI_HOLD      as before  waits with its actor: its program is at fault, the next may mend it
 *      SFI_WAIT      as before  waits with its actor for room
 *      SFI_TROUBLE   as before  stays where it is; the step returns the code
 *
 * Given up, as its type says: a dead letter; or it stays before all others, and the actor is held
 * (SFI_HELD_POLICY); or it stays, and the engine stops: SF_EFAILED.  What stays is a first attempt
 * again.
 *
 * Everything that can fail comes first, so that a dead letter, its count and the asker's answer
 * are one step. */
#ifndef SFI_RUN_FAILURE_H
#define SFI_RUN_FAILURE_H

#include "run/work.h"

/* The head of the mailbox, as the undone work says.  0; SF_EFAILED: the engine is to stop; else
 * negative: nothing happened. */
int sfi_failure_settle(const struct sfi_work *work, struct sfi_message *message);
/* The head is a dead letter, and no more.  As above. */
int sfi_failure_bury(sf_runtime *rt, struct sfi_message *message, const char *reason);
/* The head stood for an operation whose answer is dead, and has no attempts left (await.h: 5).  Likewise. */
int sfi_failure_give_up(sf_runtime *rt, struct sfi_message *message);
/* How long to wait before the next attempt. */
uint64_t sfi_failure_pause_ms(const sf_runtime *rt, const struct sfi_type *type, uint32_t failed);
/* The head was sent before its actor was purged: dropped, which is a way to handle it. */
int sfi_failure_drop(sf_runtime *rt, const struct sfi_message *message);

#endif
