/* timer.h - timers and delayed sends, as turns and the engine use them; actor/timer.h says what
 * they are.
 *
 *      set, tell --> row of table timer --> due: a message (fire.h) --> its turn: take
 *
 * (1) An actor's own timer is in its schedule until its message is handled: take() looks it up
 *     before the handler runs, as part of the same work.  If it was cancelled or replaced the
 *     message is dropped; if it was put off it becomes a row again; else it is over, or, if it
 *     recurs, the next row is put.  So it is handled once, however often its turn is tried; and a
 *     handler that sets or cancels it finds it as it will be.
 * (2) A message that becomes a dead letter is handled too: the same work takes it and buries it.
 * (3) A delayed send with a token is in the schedule of who sends it until it is sent (fire.h), so
 *     cancelling knows whether it came in time.  One without a token is nobody's any more: it is
 *     sent whatever becomes of the sender.
 *
 * All doom the work when they fail.  Engine thread only. */
#ifndef SFI_RUN_TIMER_H
#define SFI_RUN_TIMER_H

#include "actor/timer.h"
#include "run/work.h"

/* When it is due after so long.  0: SF_EINVAL. */
uint64_t sfi_timer_due(uint64_t now_us, uint64_t delay_ms);

/* Sets the actor's own timer `kind`, `key`, whose form, due time, period and text are given. */
int sfi_timer_set(struct sfi_work *work, struct sfi_actor *actor, sf_bytes kind, sf_bytes key,
                  const struct sfi_timer *wanted);
int sfi_timer_cancel(struct sfi_work *work, struct sfi_actor *actor, sf_bytes kind, sf_bytes key);

/* Sends it at that time; `token` data NULL: it cannot be cancelled.  `actor` NULL: the outside. */
int sfi_timer_tell(struct sfi_work *work, struct sfi_actor *actor, sf_bytes token, uint64_t due_ms,
                   const struct sfi_letter *letter);
/* 1: it will not be sent; 0: no such token is pending. */
int sfi_timer_tell_cancel(struct sfi_work *work, struct sfi_actor *actor, sf_bytes token);

static inline int sfi_timer_is_tick(const struct sfi_message *message)
{
    return sfi_message_has(message, SFI_PART_TIMER) != 0;
}
/* Its row is due: 1: it is to be sent; 0: it was cancelled or replaced meanwhile, or put off, and
 * has another row. */
int sfi_timer_meet(struct sfi_work *work, struct sfi_actor *actor, sf_bytes kind, sf_bytes key,
                   uint64_t sequence);
/* Its message is at the head: 1: it is to be handled; 0: dropped. */
int sfi_timer_take(struct sfi_work *work, struct sfi_actor *actor,
                   const struct sfi_message *message);

#endif
