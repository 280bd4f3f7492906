/* mailbox.h - all messages that wait for their turn.
 *
 * One run queue over all actors, in the order of sequence numbers, because one thread runs all
 * turns anyway: FIFO per sender and target follows from it.  Beside it, what waits behind a hold
 * (hold.h): of an actor that backs off or is paused, of a type that is paused or not registered.
 *
 *      queue  ->  [ backlog: on disk only ]  ->  tail
 *        |  ^
 *        v  | in front
 *      holds: in memory, then [ parked: on disk only ]
 *
 * The run queue may have one gap.  Above `bytes_max` the middle of it is dropped from memory:
 * about half the budget stays in `queue`, what is not durable yet in `tail`, the rest is the
 * backlog (backlog.h). When `queue` is empty the next slice is read; when the backlog is empty,
 * `tail` becomes `queue`.  At open everything is backlog, and is read after the types were
 * registered.
 *
 * (1) In the run queue, messages whose row is saved come before those whose row is not; `unsaved`
 *     is the first of the latter.  Sealing saves exactly these.  With a gap it is in `tail`.
 * (2) Messages behind a hold are saved when they get there.
 * (3) A message met at the head of the queue whose actor or type is held goes behind the hold: in
 *     memory, or to table parked (parking.h) once `held_bytes` is a quarter of the budget, or as
 *     much lies idle in slabs because of those that stay,
 *     something of its is parked before it, or the hold is a type's.  So the memory of what waits
 *     so is bounded.
 * (4) In the run queue, and from there through the hold's `waiting` to what is parked, the
 *     messages of one actor are in order of sequence.  For what a hold lets go is put in front of
 *     the queue: `waiting` whole; after that what is parked, in slices, each when the one before
 *     has left the queue, and until then what arrives is parked too.  And an actor's hold lets
 *     nothing go while its type has one.
 * (5) A handled message whose row is saved stays in `handled` until a seal has put its deletion
 *     into the batch.
 * (6) next_sequence, count and parking.rows are stored with every epoch, never derived from rows.
 *     A sealed epoch holds a row for each of the `count`, in table mailbox but for those in table
 *     parked.
 * (7) No counter sinks below zero: that is found out, and then nothing is sealed any more
 *     (SF_ECORRUPT).
 *
 * NOTHING IS READ BACK TWICE.  `passed` is the greatest sequence that ever left the run queue by
 * its head, or failed there; when the queue is empty, the greatest that was given.  Only messages
 * with a greater one are dropped, and only with one below `durable_next`, which was next_sequence
 * when the newest durable epoch was sealed.  Then, while there is a backlog:
 *   - Of those in the run queue, what is greater than `passed` is its end, and rises: messages
 *     come in at the end with rising sequences, and whatever is put in front has passed before.
 *   - So the dropped ones are a stretch of that end, and later ones join after `last`; in
 *     [first, last] lie no sequences but theirs and those of messages that have no row in table
 *     mailbox: handled before they were sealed, or parked.
 *   - A message behind a hold, or handled and not yet deleted, has passed: when the range was
 *     made, its sequence was below `first`; after that, only what was read back or lies in
 *     `queue` can pass, and `first` is beyond both.
 *   - All rows of the range are durable and nobody changes them, so any later snapshot has them.
 *
 * NOTHING PARKED OVERTAKES.  A parked row comes back only if (a) the queue has passed its
 * sequence: an earlier run may have left an older message in table mailbox, which is still to
 * come; and (b) it and all that the queue had passed by then is durable: `passed_durable` is what
 * `passed` was when the newest durable epoch was sealed, and all of it is, when nothing was
 * parked since.  What was parked although it had passed before, on its way from another hold, is
 * waited for apart (hold.settles).
 *
 * WHAT COUNTS AS OUTSIDE WORK  A message from outside, taken in by this process, takes room in
 * the inbox's quota until it is handled, in memory or not, or waits behind a hold: so senders are
 * held back by what is not handled, as sf_options.inbox_bytes_max says, not by where it waits,
 * and not by who must wait: else the senders of one held actor would stop all others.  Which ones
 * these are can be seen from a row: no sender's type, not sent later (then it was counted when it came),
 * and a sequence not below `first_sequence`.
 *
 * NOT BOUNDED HERE  Answers that an actor awaits, and that wait because it is paused or backs off too, stay in
 * memory; there are no more of them than operations (run/operation.h).  What one epoch sends stays in memory until it is durable: it is bounded by
 * the epoch.  A hold without messages takes some 200 bytes; there are as many as actors wait.
 *
 * Engine thread only. */
#ifndef SFI_ACTOR_MAILBOX_H
#define SFI_ACTOR_MAILBOX_H

#include "actor/parking.h"

struct sfi_mailbox {
    const struct sfi_sys *sys;
    struct sfi_actors *actors;
    struct sfi_pool pool; /* of all messages */
    struct sfi_message_list queue, tail;
    struct sfi_backlog backlog;
    struct sfi_holds holds;
    struct sfi_parking parking;
    struct sfi_message *unsaved; /* in queue or tail; NULL: all saved */
    struct sfi_message_list handled;
    uint64_t next_sequence, first_sequence; /* first: the first one given by this process */
    uint64_t passed, passed_sealed, passed_durable;
    uint64_t sealed_next, durable_next;
    uint64_t seals, published; /* seals so far, and those that are durable; one is open beyond them */
    uint64_t parked_in;        /* the seal that something was parked in last */
    uint64_t count;            /* queued and behind holds */
    uint64_t queued;           /* in queue, backlog and tail */
    uint64_t let_go;           /* of these, what holds let go that had more */
    uint64_t bytes, bytes_max; /* of messages in memory, handled ones included */
    uint64_t held_bytes;       /* of these, behind holds */
    uint64_t backlog_bytes;    /* of messages in the backlog, as they were in memory */
    uint64_t counted_bytes;    /* of outside work */
    uint64_t aside_bytes;      /* of outside work, ever gone behind holds instead of handled */
    uint64_t unsaved_bytes;    /* what sealing will write */
    uint64_t handled_bytes;    /* what it will let go */
    uint64_t handled_count;
    uint32_t looked_ahead; /* turns until the next look */
    int is_broken;         /* a counter would have sunk below zero */
};

void sfi_mailbox_init(struct sfi_mailbox *mailbox, const struct sfi_sys *sys,
                      struct sfi_actors *actors, struct sfi_types *types, uint64_t bytes_max);
void sfi_mailbox_fini(struct sfi_mailbox *mailbox); /* before the types */

/* What the stored counters say: `waiting` messages with sequences below `next_sequence` are in
 * table mailbox, where head() will read them, and `parked` in table parked. */
void sfi_mailbox_recover(struct sfi_mailbox *mailbox, struct sfi_store *store,
                         uint64_t next_sequence, uint64_t waiting, uint64_t parked);
/* Then, when the types are known: tables held and parked become holds. */
int sfi_mailbox_load_holds(struct sfi_mailbox *mailbox);

/* Appends a message and gives it its sequence.  Cannot fail. */
void sfi_mailbox_push(struct sfi_mailbox *mailbox, struct sfi_message *message);
/* The type is registered now: what waited for it may come in. */
void sfi_mailbox_admit(struct sfi_mailbox *mailbox, struct sfi_type *type);

/* The next message to handle, which stays at the head until done(), back_off() or again(); if it
 * is `purged`, it is to be dropped.  NULL: none now, and *rc is 0; so many were moved that the
 * caller is to look at the epoch's bounds, and *rc is their number; or *rc is negative:
 * SF_ENOMEM, or what the store says. */
struct sfi_message *sfi_mailbox_head(struct sfi_mailbox *mailbox, struct sfi_batch *batch, int *rc);
/* The head is handled, or dead. */
void sfi_mailbox_done(struct sfi_mailbox *mailbox);
/* The same of one that was taken, and has a row (taking.h). */
void sfi_mailbox_finish(struct sfi_mailbox *mailbox, struct sfi_message *message);
/* The head failed and is due again after a pause; its row is (re)written with its attempts and
 * due time. SF_ENOMEM, and it is at the head as before. */
int sfi_mailbox_back_off(struct sfi_mailbox *mailbox, struct sfi_batch *batch, uint64_t pause_ms);
/* The head cannot be handled now; it is tried again after a pause, or when the database is opened
 * anew.  `why`: who looks at table held sees it meanwhile; SF_NONE: nobody does.  As above. */
int sfi_mailbox_put_off(struct sfi_mailbox *mailbox, struct sfi_batch *batch, uint64_t pause_ms,
                        sf_bytes why);
/* The same, or as soon as sfi_room_made() says so. */
int sfi_mailbox_await_room(struct sfi_mailbox *mailbox, struct sfi_batch *batch,
                           struct sfi_room *room, uint64_t pause_ms);
/* The head failed, and its actor waits for that reason, with the head before all others; its row is (re)written
 * with its attempts.  As above. */
int sfi_mailbox_hold(struct sfi_mailbox *mailbox, struct sfi_batch *batch, enum sfi_reason reason,
                     sf_bytes text);
/* The head failed and is tried again at once.  If it has a row, that is rewritten with its
 * attempts.  SF_ENOMEM, and nothing changed. */
int sfi_mailbox_again(struct sfi_mailbox *mailbox, struct sfi_batch *batch);
/* Ends back-offs that are due. */
void sfi_mailbox_wake(struct sfi_mailbox *mailbox, uint64_t now_ns);
/* May head() have something? */
int sfi_mailbox_is_ready(const struct sfi_mailbox *mailbox);

/* Seal: rows of unsaved messages, deletions of handled ones; then saved() once the batch is
 * whole. */
int sfi_mailbox_save(const struct sfi_mailbox *mailbox, struct sfi_batch *batch);
void sfi_mailbox_saved(struct sfi_mailbox *mailbox);
/* All that was sealed is durable: what is over budget leaves memory.  Before the next seal. */
void sfi_mailbox_published(struct sfi_mailbox *mailbox);

/* So many: sequences rise without a gap from the first one that is not saved, since only the head leaves. */
static inline uint64_t sfi_mailbox_unsaved_count(const struct sfi_mailbox *mailbox)
{
    return mailbox->unsaved ? mailbox->next_sequence - mailbox->unsaved->sequence : 0;
}

static inline int sfi_mailbox_dirty(const struct sfi_mailbox *mailbox)
{
    return mailbox->unsaved || mailbox->handled.first;
}

/* The room on disk that may be taken by what is behind holds, in memory too (parking.h: 3). */
static inline uint64_t sfi_mailbox_held_room(const struct sfi_mailbox *mailbox)
{
    return mailbox->parking.bytes + 2 * mailbox->held_bytes;
}

/* Of all messages that wait, in memory or not. */
static inline uint64_t sfi_mailbox_waiting_bytes(const struct sfi_mailbox *mailbox)
{
    return mailbox->bytes + mailbox->backlog_bytes + mailbox->parking.bytes;
}

/* What lies idle in slabs beside messages, but for a slab of each size: those who stay behind hold a place in
 * each of many slabs, and other sizes have no use for the rest of it. */
static inline uint64_t sfi_mailbox_idle(const struct sfi_mailbox *mailbox)
{
    uint64_t needed = mailbox->bytes + (uint64_t)mailbox->pool.classes * SFI_SLAB_BYTES;
    return mailbox->pool.used > needed ? mailbox->pool.used - needed : 0;
}

/* Idle memory is memory too; but half of the budget is for messages at least. */
static inline uint64_t sfi_mailbox_budget(const struct sfi_mailbox *mailbox)
{
    uint64_t idle = sfi_mailbox_idle(mailbox), half = mailbox->bytes_max / 2;
    return mailbox->bytes_max - (idle < half ? idle : half);
}

/* Over budget, and the open epoch holds too much of it: only a commit makes room. */
static inline int sfi_mailbox_is_full(const struct sfi_mailbox *mailbox)
{
    return mailbox->bytes > mailbox->bytes_max &&
           (mailbox->unsaved_bytes + mailbox->handled_bytes) * 2 >= mailbox->bytes_max;
}

#endif
