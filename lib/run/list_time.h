/* list_time.h - the times of a list whose elements expire (actor/expiry.h).
 *
 * (1) Times do not sink from one element to the next: one that is appended by a clock that was set back gets the time
 *     of the one before.  So what is over is the beginning of the list.
 * (2) Looking for where it ends passes what is over; so that goes: some with an append, when that makes a row or all
 *     elements lie in the head, else by the gleaner.  Not while the clock is in doubt (doubt.h).
 * (3) Nothing but an append counts as access: elements are only ever walked over. */
#ifndef SFI_RUN_LIST_TIME_H
#define SFI_RUN_LIST_TIME_H

#include "run/list.h"

enum { SFI_LIST_RECLAIM = 64 /* elements looked at by who appends */, SFI_LIST_GLEAN = 4096 };

int sfi_list_is_over(const struct sfi_list *list, const struct sfi_entry *entry);
/* The first element that is not over; `next` of the list if all are. */
int sfi_list_find_living(const struct sfi_list *list, uint32_t most, uint64_t *out);
/* When the first element was touched; 0: there is none.  0 or negative. */
int sfi_list_first_touched(const struct sfi_list *list, uint64_t *out);
/* Gives an element that is appended its time. */
int sfi_list_stamp(const struct sfi_list *list, struct sfi_entry *entry);
/* Drops what is over among so many.  1: there may be more; 0; negative. */
int sfi_list_reclaim(const struct sfi_list *list, uint32_t most);

#endif
