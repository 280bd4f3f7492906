/* schedule.h - the timers of an actor, found by name: its hidden slot SFI_SLOT_TIMERS.
 *
 * (1) Few of them lie in the slot itself, packed: they come into memory with one read, are saved
 *     through the changelog, and an actor without any has no slot.
 * (2) Beyond SMALL_BYTES they become rows of table entry under a number of their own, and the slot
 *     has that number and their count; until there is none left, when the slot goes too.  So a
 *     million of them are no burden.
 * (3) All of it is the work's: undone with it.
 * (4) The type's record says whether an actor of it ever had any (`has_timers`): who uses none is
 *     never asked.
 * (5) Forgetting a schedule needs no search: timers that lie in the slot lose their rows; of a
 *     number a promise says that its entries are garbage.  What is still on its way then finds no
 *     name, and is void.
 * (6) The outside has a schedule without an actor: rows under SFI_OUTSIDE_NUMBER alone.
 *
 * Slot: form:1, then if that is 0 the timers: name size:2 record size:2 name record; if 1 number:8
 * count:8.
 *
 * Engine thread only. */
#ifndef SFI_RUN_SCHEDULE_H
#define SFI_RUN_SCHEDULE_H

#include "actor/rows.h"
#include "actor/timer.h"
#include "run/work.h"

/* Numbers of collections are given from 1 on. */
#define SFI_OUTSIDE_NUMBER UINT64_MAX

/* `actor` NULL: the outside.  `out` points into the work's memory or the slot, until that changes.
 * 1: there; 0; or negative, and the work is doomed. */
int sfi_schedule_get(struct sfi_work *work, struct sfi_actor *actor, sf_bytes name,
                     struct sfi_timer *out);
/* There is one of that name from now on; the one that is there is there no more.  0, or negative as
 * above. */
int sfi_schedule_put(struct sfi_work *work, struct sfi_actor *actor, sf_bytes name,
                     const struct sfi_timer *timer);
int sfi_schedule_delete(struct sfi_work *work, struct sfi_actor *actor, sf_bytes name);
/* For sf_verify(): the payload of a row of table entry; and all that a slot holds.  SF_ECORRUPT,
 * SF_ENEWER. */
int sfi_schedule_read_entry(sf_bytes payload, struct sfi_timer *out);
int sfi_schedule_check(sf_bytes slot);
/* (5); the slot itself is emptied by who clears the actor. */
int sfi_schedule_forget(struct sfi_work *work, struct sfi_actor *actor);

/* The rows of readable tables as the work sees them; what they lend lies in its memory. */
struct sfi_rows sfi_schedule_rows(struct sfi_work *work);

#endif
