/* await.h - actors that wait for operations of theirs: sf_await(), sf_take(), and how it ends.
 *
 *      a turn awaits:    hold (SFI_HELD_OPERATION); what it handled and took becomes rows of table async
 *      each answer       passes the hold (hold.h: 8), and counts down when its turn is kept, or it is dead
 *      the last one      kept: those rows go.  Dead: they are messages again, each with one attempt more
 *
 * (1) What a work changes of that is prepared when its outermost handler has returned, where it can still fail:
 *     rows, the hold's row, entries of the table of operations.  Keeping it cannot fail.
 * (2) An actor waits as long as there is an operation that it awaits, or an answer of one that was not handled:
 *     as many as its hold says.  So whatever ends an operation ends the hold in the end.
 * (3) Only the outermost turn stands behind a message.  One that was called and awaits holds its actor, and nothing
 *     of it can fail later.
 * (4) A turn of an answer that awaits anew while others are to come goes on with the same hold; what stands
 *     behind it grows.
 * (5) What comes back has lost an attempt; who has none left is spent (message.h), and its type says what becomes
 *     of it when it is met.  An answer that comes back is an ordinary message. */
#ifndef SFI_RUN_AWAIT_H
#define SFI_RUN_AWAIT_H

#include "actor/hold.h"
#include "run/work.h"

struct sf_turn;

enum { SFI_TAKE_MAX = 1024, SFI_TAKE_PART = 4 /* of what a turn may have */ };

/* The next message that waits for the actor, or NULL. */
const sf_message *sfi_await_take(struct sf_turn *turn);

/* The actor was cleared: what it had under way before this work is dropped with it.  SF_ENOMEM. */
int sfi_await_clear(struct sfi_work *work, const struct sfi_actor *actor);

/* Is there anything to do for finish()? */
static inline int sfi_await_concerns(const struct sfi_work *work, const struct sfi_message *message)
{
    return work->starters || work->awaits || message->has_parts;
}

/* The outermost handler has returned.  0, or the work is doomed. */
int sfi_await_finish(struct sfi_work *work, const struct sfi_message *message);
void sfi_await_keep(struct sfi_work *work);
void sfi_await_undo(struct sfi_work *work);

/* The head of the mailbox is to be a dead letter: what that ends. */
struct sfi_await_end {
    struct sfi_hold_change change; /* hold NULL: it ends nothing */
    struct sfi_message_list back;
    struct sfi_hold *backs_off; /* NULL: it does not */
};

/* Puts rows into the open batch.  0; else negative, and the caller takes them back. */
int sfi_await_end_prepare(sf_runtime *rt, const struct sfi_message *message,
                          struct sfi_await_end *end);
void sfi_await_end(sf_runtime *rt, struct sfi_await_end *end);
void sfi_await_end_cancel(sf_runtime *rt, struct sfi_await_end *end);

#endif
