/* waiting.h - who must wait, and who may go on: the side of the mailbox that looks at holds.
 *
 * Everything here works on a struct sfi_mailbox and under its rules (mailbox.h); nobody but
 * mailbox.c calls it.
 *
 * Engine thread only. */
#ifndef SFI_ACTOR_WAITING_H
#define SFI_ACTOR_WAITING_H

#include "actor/mailbox.h"

/* Can nothing stand in the way of this message? */
static inline int sfi_waiting_is_free(const struct sfi_mailbox *mailbox,
                                      const struct sfi_message *message)
{
    return !mailbox->holds.count && message->to_type->registered && !message->has_retry;
}
/* The head of the queue.  1: it is to be handled; 0: it went behind a hold; negative: neither. */
int sfi_waiting_meet(struct sfi_mailbox *mailbox, struct sfi_batch *batch);
/* How the head backs off: its row says `retry_ms`, by the wall clock, 0: nothing. */
struct sfi_delay {
    uint64_t ms, retry_ms;
    int again;             /* its attempts changed */
    struct sfi_room *room; /* or until there is some; NULL */
    sf_bytes why;          /* SFI_HELD_UNREADABLE with that text; SF_NONE: no */
};

/* The head backs off.  SF_ENOMEM, and it is at the head as before. */
int sfi_waiting_hold_back(struct sfi_mailbox *mailbox, const struct sfi_delay *delay,
                          struct sfi_batch *batch);
/* The head waits until a reason that outlives the process is gone.  SF_ENOMEM, likewise. */
int sfi_waiting_hold_for(struct sfi_mailbox *mailbox, enum sfi_reason reason, sf_bytes text,
                         struct sfi_batch *batch);
/* A message that a hold let go leaves the queue. */
void sfi_waiting_came_through(struct sfi_mailbox *mailbox, struct sfi_message *message);
/* The first of the holds that are ready lets go what it may.  How many rows came back, or
 * negative; then it is the first still. */
int sfi_waiting_let_go(struct sfi_mailbox *mailbox, struct sfi_batch *batch);

/* What waits for the hold on disk comes into memory, to it: the next slice, if nothing of its is there. */
int sfi_waiting_fetch(struct sfi_mailbox *mailbox, struct sfi_hold *hold);

/* Is something that was parked not durable yet? */
static inline int sfi_waiting_is_pending(const struct sfi_mailbox *mailbox)
{
    return mailbox->parked_in > mailbox->published;
}

/* What waited for the queue to pass may come, when nothing that was parked is on its way to the
 * disk. */
static inline int sfi_waiting_has_later(const struct sfi_mailbox *mailbox)
{
    return mailbox->holds.later.first && !sfi_waiting_is_pending(mailbox);
}

/* Holds may put more in front of the queue, unless memory is short: then one at a time. */
static inline int sfi_waiting_may_let_go(const struct sfi_mailbox *mailbox)
{
    return mailbox->holds.ready.first &&
           (mailbox->bytes <= mailbox->bytes_max || mailbox->let_go == 0);
}

/* -- of the mailbox ---------------------------------------------------------------------------- */

/* The number of the open epoch, as `parked_in` and holds have it. */
static inline uint64_t sfi_mailbox_open_seal(const struct sfi_mailbox *mailbox)
{
    return mailbox->seals + 1;
}

static inline size_t sfi_mailbox_memory(const struct sfi_mailbox *mailbox,
                                        const struct sfi_message *message)
{
    return sfi_pool_bytes(&mailbox->pool, sfi_message_bytes(message));
}

/* mailbox.h (7) */
static inline void sfi_mailbox_lower(struct sfi_mailbox *mailbox, uint64_t *counter, uint64_t by)
{
    mailbox->is_broken |= *counter < by;
    *counter -= by;
}

/* The head leaves the queue; it has no room in the inbox's quota, because it is handled or goes behind a hold; sealing need not give it a row;
 * it is freed. */
struct sfi_message *sfi_mailbox_unlink_head(struct sfi_mailbox *mailbox);
void sfi_mailbox_set_aside(struct sfi_mailbox *mailbox, const struct sfi_message *message);
void sfi_mailbox_not_unsaved(struct sfi_mailbox *mailbox, const struct sfi_message *message);
void sfi_mailbox_free(struct sfi_mailbox *mailbox, struct sfi_message *message);

#endif
