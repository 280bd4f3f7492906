/* mailbox.h - all messages that wait for their turn.
 *
 * One run queue over all actors, in the order of sequence numbers, because one thread runs all turns
 * anyway: FIFO per sender and target follows from it.  Beside it, per actor, what waits behind a
 * message that backs off (a pause).
 *
 * (1) In the run queue, messages whose row is saved come before those whose row is not; `unsaved`
 *     is the first of the latter.  Sealing saves exactly these.
 * (2) Messages in a pause are saved when they get there, and so are those of unregistered types.
 * (3) While an actor has a pause, every later message to it goes behind it; a pause that is due goes
 *     back in front of the run queue, whole, so order per actor holds.
 * (4) A handled message whose row is saved stays in `handled` until a seal has put its deletion into
 *     the batch.
 * (5) next_sequence is stored with every epoch, never derived from rows.
 *
 * Engine thread only. */
#ifndef SFI_ACTOR_MAILBOX_H
#define SFI_ACTOR_MAILBOX_H

#include "actor/message.h"
#include "base/heap.h"

struct sfi_pause {
    struct sfi_heap_node due; /* by the monotonic clock, in ns */
    struct sfi_actor *actor;
    struct sfi_message_list waiting; /* the failed one first */
};

struct sfi_mailbox {
    const struct sfi_sys *sys;
    struct sfi_pool pool; /* of all messages */
    struct sfi_message_list queue;
    struct sfi_message *unsaved; /* in queue; NULL: all saved */
    struct sfi_message_list handled;
    struct sfi_heap pauses;
    uint64_t next_sequence;
    uint64_t count;         /* queued, paused, waiting for a type */
    uint64_t queued;        /* in queue */
    uint64_t counted_bytes; /* of the messages marked `counted` */
};

void sfi_mailbox_init(struct sfi_mailbox *mailbox, const struct sfi_sys *sys);
void sfi_mailbox_fini(struct sfi_mailbox *mailbox); /* not the messages waiting for types */

/* Appends a message and gives it its sequence.  Cannot fail. */
void sfi_mailbox_push(struct sfi_mailbox *mailbox, struct sfi_message *message);
/* A message read back from disk: to the queue, or to its type if that is not registered. */
void sfi_mailbox_restore(struct sfi_mailbox *mailbox, struct sfi_message *message);
/* The type is registered now: what waited for it goes in front of the queue; a pause that an earlier run
 * began goes on. */
void sfi_mailbox_admit(struct sfi_mailbox *mailbox, struct sfi_type *type);

/* The next message to handle, which stays at the head until done() or pause(); NULL: none now.
 * Messages of paused actors met on the way go behind their pause; SF_ENOMEM in *rc stops that. */
struct sfi_message *sfi_mailbox_head(struct sfi_mailbox *mailbox, struct sfi_batch *batch, int *rc);
/* The head is handled, or dead. */
void sfi_mailbox_done(struct sfi_mailbox *mailbox);
/* The head failed and is due again after a pause; its row is (re)written with its attempts and due time. */
int sfi_mailbox_pause(struct sfi_mailbox *mailbox, struct sfi_batch *batch, uint64_t pause_ms);
/* Brings back the pauses that are due. */
void sfi_mailbox_wake(struct sfi_mailbox *mailbox, uint64_t now_ns);

/* Seal: rows of unsaved messages, deletions of handled ones; then saved() once the batch is whole. */
int sfi_mailbox_save(const struct sfi_mailbox *mailbox, struct sfi_batch *batch);
void sfi_mailbox_saved(struct sfi_mailbox *mailbox);

static inline int sfi_mailbox_dirty(const struct sfi_mailbox *mailbox)
{
    return mailbox->unsaved || mailbox->handled.first;
}

#endif
