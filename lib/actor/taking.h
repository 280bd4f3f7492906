/* taking.h - what waits for an actor that awaits, and is made part of an answer's turn; and what comes back.
 *
 *      hold's waiting (or, if that is empty, the next slice of what is parked)  -> taken -> handled
 *                                            ^                                       |
 *                                            '---------- the turn was undone --------'
 *
 * (1) What was taken is in no list of the mailbox, and counted there still, until it is handled or goes back to
 *     the front of `waiting`, in order.
 * (2) A message that was handled and comes back (run/await.h) keeps its sequence, so it goes where that belongs:
 *     into `waiting`, or to table parked.  It has passed before, so it is nowhere else (mailbox.h).
 *
 * Engine thread only. */
#ifndef SFI_ACTOR_TAKING_H
#define SFI_ACTOR_TAKING_H

#include "actor/mailbox.h"

/* The next one, unless it has failed before, or is a tick of a timer: those are handled alone.  NULL: none now, or *rc is negative and has
 * what the store says. */
struct sfi_message *sfi_taking_next(struct sfi_mailbox *mailbox, struct sfi_hold *hold, int *rc);
/* All back. */
void sfi_taking_undo(struct sfi_mailbox *mailbox, struct sfi_hold *hold,
                     struct sfi_message_list *taken);

/* The row that a message needs which comes back.  SF_ENOMEM. */
int sfi_taking_save(const struct sfi_hold *hold, const struct sfi_message *message,
                    struct sfi_batch *batch);
/* Then, with the message in no list and its row saved.  Cannot fail. */
void sfi_taking_return(struct sfi_mailbox *mailbox, struct sfi_hold *hold,
                       struct sfi_message *message);

#endif
