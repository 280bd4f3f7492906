/* expire.h - a work meets what has expired (actor/expiry.h).
 *
 *      asked for: over?  --> zeroes, and absent (touched 0)     not over --> as it is
 *      kept:      changed --> touched now                       only read --> touched, where reading counts
 *
 * (1) One reading of the wall clock a work: what is there at its first look is there to its end.
 * (2) What was over when it was asked for is deleted with the turn that saw it, changed or not: so it does not come
 *     back when the times are changed.  Only while the clock is in doubt (doubt.h) it stays until it is written.
 * (3) An undone work leaves the time as it was, like the struct.
 *
 * What does not expire costs a look at its times. */
#ifndef SFI_RUN_EXPIRE_H
#define SFI_RUN_EXPIRE_H

#include "run/work.h"

/* Is the struct, of which at least the time was read, over? */
int sfi_expire_is_over(struct sfi_work *work, struct sfi_actor *actor);

/* Of a slot that was loaded: is its value over?  Then it is dropped.  1, 0; SF_ENOMEM, and the work is doomed. */
int sfi_expire_slot(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot);
/* It was read, or written.  0 or SF_ENOMEM. */
int sfi_expire_read(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot);
int sfi_expire_written(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot);

/* The time's part in the copy of a struct.  keep() says whether the struct is to be saved and is not listed for it
 * yet; clear(), that there was none before. */
enum { SFI_COPY_TIME_BYTES = sizeof(struct sfi_copy_time) + 8 };
void sfi_expire_note(struct sfi_copy *copy);
void sfi_expire_undo(const struct sfi_copy *copy);
int sfi_expire_keep(struct sfi_work *work, const struct sfi_copy *copy);
void sfi_expire_clear(struct sfi_copy *copy);

#endif
