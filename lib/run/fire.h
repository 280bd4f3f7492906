/* fire.h - what is due becomes messages.
 *
 *      table timer, in due order -- first row due? --> mailbox, in one work with the end of its row
 *
 * (1) A row and its message are never both there, nor both gone: the row is deleted in the epoch
 *     that has the message.  So what is due is sent once, whenever the process died, and after
 *     however long.
 * (2) No timer takes memory.  What is known is a key before which there is no row: lowered by each
 *     put, raised by each look past what was fired, since at the front of the table lie rows whose
 *     end is not durable yet. A put that is undone, or a cancel, leaves it too low, which costs one
 *     look.
 * (3) They come in where work from outside does and under the same rule (step.c): at most
 *     SFI_FIRE_ROWS or SFI_FIRE_BYTES at a time, so a million that are due after a downtime stay
 *     rows until there are turns for them, and neither they nor senders keep the other out.
 * (4) By the wall clock, which may be set: so nobody sleeps for longer than SFI_LOOK_MS before it
 *     is looked at again.  Set back, timers come later, and none is lost.
 * (5) The schedule of whose timer it is, or of who sends with a token, is asked: if it knows
 *     nothing of this row, that actor was cleared or purged since, and the row is void.  While its
 *     type is not registered nobody can say: then it is sent, and its own timer is asked for when
 *     its turn comes (timer.h).
 * (6) A row that is damaged stays where it is, is counted, and passed over until the next open.
 *
 * Engine thread only. */
#ifndef SFI_RUN_FIRE_H
#define SFI_RUN_FIRE_H

#include "statefun.h"

enum { SFI_FIRE_ROWS = 1024, SFI_FIRE_BYTES = 1 << 20, SFI_LOOK_MS = 1000 };

struct sfi_fire {
    int is_any;                    /* there may be a row, */
    int is_stale;                  /* that one was cancelled: who rests looks for the first one */
    uint64_t due_ms, sequence;     /* not before this one */
    uint64_t look_ns;              /* when to look at the wall clock, by the monotonic one */
    uint64_t now_ms;               /* what it said last; what is due by then fires */
    uint64_t damaged;
};

/* There is a row of that key now; it is there no more. */
void sfi_fire_expect(sf_runtime *rt, uint64_t due_ms, uint64_t sequence);
void sfi_fire_forget(sf_runtime *rt, uint64_t due_ms, uint64_t sequence);

static inline int sfi_fire_is_due(const struct sfi_fire *fire)
{
    return fire->is_any && fire->due_ms <= fire->now_ms;
}

/* Sends what is due, up to the bounds (3).  How many rows; SF_ENOMEM, or what the store says. */
int sfi_fire_some(sf_runtime *rt);

#endif
