/* mailbox.h - all messages that wait for their turn.
 *
 * One run queue over all actors, in the order of sequence numbers, because one thread runs all turns
 * anyway: FIFO per sender and target follows from it.  Beside it, per actor, what waits behind a
 * message that backs off (a pause).
 *
 *      queue  ->  [ backlog: on disk only ]  ->  tail
 *
 * The run queue may have one gap.  Above `bytes_max` the middle of it is dropped from memory: about half
 * the budget stays in `queue`, what is not durable yet in `tail`, the rest is the backlog (backlog.h).
 * When `queue` is empty the next slice is read; when the backlog is empty, `tail` becomes `queue`.  At open
 * everything is backlog, and is read after the types were registered.
 *
 * (1) In the run queue, messages whose row is saved come before those whose row is not; `unsaved` is the
 *     first of the latter.  Sealing saves exactly these.  With a gap it is in `tail`.
 * (2) Messages in a pause are saved when they get there, and so are those of unregistered types.
 * (3) While an actor has a pause, every later message to it goes behind it; a pause that is due goes
 *     back in front of the run queue, whole, so order per actor holds.
 * (4) A handled message whose row is saved stays in `handled` until a seal has put its deletion into
 *     the batch.
 * (5) next_sequence and count are stored with every epoch, never derived from rows.  A sealed epoch
 *     holds a row for each of the `count`.
 *
 * NOTHING IS READ BACK TWICE.  `passed` is the greatest sequence that ever left the run queue by its head,
 * failed there, or was read back to somewhere else (a pause, an unregistered type).  Only messages with a greater one are
 * dropped, and only with one below `durable_next`, which was next_sequence when the newest durable epoch
 * was sealed.  Then, while there is a backlog:
 *   - Of those in the run queue, what is greater than `passed` is its end, and rises: messages come in
 *     at the end with rising sequences, and whatever is put in front has passed before.
 *   - So the dropped ones are a stretch of that end, and later ones join behind `last`; in [first, last]
 *     lie no sequences but theirs and those of messages that never had a row or will never have one:
 *     handled before they were sealed.
 *   - A message that pauses, waits for a type, or is handled and not yet deleted has passed: when the range
 *     was made, its sequence was below `first`; after that, only what was read back or lies in `queue` can
 *     pass, and `first` is beyond both.
 *   - All rows of the range are durable and nobody changes them, so any later snapshot has them.
 *
 * WHAT COUNTS AS OUTSIDE WORK  A message from outside, taken in by this process, takes room in the inbox's
 * quota until it is handled, in memory or not: so senders are held back by what is not handled, as
 * sf_options.inbox_bytes_max says, and not by where it waits.  Which ones these are can be seen from a row:
 * no sender's type, and a sequence not below `first_sequence`.
 *
 * NOT BOUNDED  What waits behind pauses and for unregistered types stays in memory and counts in `bytes`;
 * beyond the budget, all else then goes through the disk.  So does what one epoch sends: it is bounded
 * by the epoch.
 *
 * Engine thread only. */
#ifndef SFI_ACTOR_MAILBOX_H
#define SFI_ACTOR_MAILBOX_H

#include "actor/backlog.h"
#include "base/heap.h"

struct sfi_pause {
    struct sfi_heap_node due; /* by the monotonic clock, in ns */
    struct sfi_actor *actor;
    struct sfi_message_list waiting; /* the failed one first */
};

struct sfi_mailbox {
    const struct sfi_sys *sys;
    struct sfi_actors *actors;
    struct sfi_pool pool; /* of all messages */
    struct sfi_message_list queue, tail;
    struct sfi_backlog backlog;
    struct sfi_message *unsaved; /* in queue or tail; NULL: all saved */
    struct sfi_message_list handled;
    struct sfi_heap pauses;
    uint64_t next_sequence, first_sequence; /* first: the first one given by this process */
    uint64_t passed, sealed_next, durable_next;
    uint64_t count;            /* queued, paused, waiting for a type */
    uint64_t queued;           /* in queue, backlog and tail */
    uint64_t bytes, bytes_max; /* of messages in memory, handled ones included */
    uint64_t counted_bytes;    /* of outside work */
    uint64_t unsaved_bytes;    /* what sealing will write */
    uint64_t handled_bytes;    /* what it will let go */
    uint32_t unsaved_count, handled_count;
    uint32_t looked_ahead; /* turns until the next look */
};

void sfi_mailbox_init(struct sfi_mailbox *mailbox, const struct sfi_sys *sys,
                      struct sfi_actors *actors, struct sfi_types *types, uint64_t bytes_max);
void sfi_mailbox_fini(struct sfi_mailbox *mailbox); /* not the messages waiting for types */

/* What the stored counters say: `count` messages with sequences below `next_sequence` are on disk, where
 * head() will read them. */
void sfi_mailbox_recover(struct sfi_mailbox *mailbox, struct sfi_store *store,
                         uint64_t next_sequence, uint64_t count);

/* Appends a message and gives it its sequence.  Cannot fail. */
void sfi_mailbox_push(struct sfi_mailbox *mailbox, struct sfi_message *message);
/* The type is registered now: what waited for it goes in front of the queue; a pause that an earlier run
 * began goes on. */
void sfi_mailbox_admit(struct sfi_mailbox *mailbox, struct sfi_type *type);

/* The next message to handle, which stays at the head until done() or pause(); NULL: none now.
 * Messages of paused actors met on the way go behind their pause; SF_ENOMEM in *rc stops that, and what
 * the store says stops reading the backlog. */
struct sfi_message *sfi_mailbox_head(struct sfi_mailbox *mailbox, struct sfi_batch *batch, int *rc);
/* The head is handled, or dead. */
void sfi_mailbox_done(struct sfi_mailbox *mailbox);
/* The head, a message to `actor`, failed and is due again after a pause; its row is (re)written with its
 * attempts and due time. */
int sfi_mailbox_pause(struct sfi_mailbox *mailbox, struct sfi_actor *actor, struct sfi_batch *batch,
                      uint64_t pause_ms);
/* The head, a message to `actor`, cannot be handled by this program; it is tried again after a pause, or when
 * the database is opened anew. */
int sfi_mailbox_hold(struct sfi_mailbox *mailbox, struct sfi_actor *actor, struct sfi_batch *batch,
                     uint64_t pause_ms);
/* The head failed and is tried again at once.  Its attempts are known in memory only, so there it stays,
 * also when something is put in front of it. */
void sfi_mailbox_again(struct sfi_mailbox *mailbox);
/* Brings back the pauses that are due. */
void sfi_mailbox_wake(struct sfi_mailbox *mailbox, uint64_t now_ns);

/* Seal: rows of unsaved messages, deletions of handled ones; then saved() once the batch is whole. */
int sfi_mailbox_save(const struct sfi_mailbox *mailbox, struct sfi_batch *batch);
void sfi_mailbox_saved(struct sfi_mailbox *mailbox);
/* The epoch sealed last is durable: what is over budget leaves memory.  Before the next seal. */
void sfi_mailbox_published(struct sfi_mailbox *mailbox);

static inline int sfi_mailbox_dirty(const struct sfi_mailbox *mailbox)
{
    return mailbox->unsaved || mailbox->handled.first;
}

/* Over budget, and the open epoch holds too much of it: only a commit makes room. */
static inline int sfi_mailbox_is_full(const struct sfi_mailbox *mailbox)
{
    return mailbox->bytes > mailbox->bytes_max &&
           (mailbox->unsaved_bytes + mailbox->handled_bytes) * 2 >= mailbox->bytes_max;
}

#endif
