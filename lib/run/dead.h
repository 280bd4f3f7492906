/* dead.h - dead letters: messages that could not be handled; kept, bounded, sent again.
 *
 * (1) Letters are numbered 1, 2, 3, ... and kept in that order.  They go when they are dropped,
 *     sent again, or evicted: the oldest first, when there are more than `count_max` or `bytes_max`
 *     says.  So they never stand in anybody's way.  The newest one stays whatever its size.
 * (2) They are evicted in slices, a step each, at least as many as were buried in the step before:
 *     so beyond the bound there is what one step buries, and a database with far too many is worked
 *     off beside everything else.
 * (3) first, next, count and bytes are stored with every epoch (counters.h).  A letter buried by
 *     format 2 counts no bytes.
 * (4) Whether a letter is there is asked where also the open and the sealed epoch are known
 *     (actor/rows.h): so what is taken away twice is taken away once.
 *
 * Engine thread only, except sfi_dead_find(). */
#ifndef SFI_RUN_DEAD_H
#define SFI_RUN_DEAD_H

#include "actor/message.h"

enum { SFI_DEAD_RECORD_BYTES = 64 /* what a letter counts beside its row */ };

struct sfi_dead {
    uint64_t first, next; /* sequences of the oldest that may be there, and of the next */
    uint64_t count, bytes;
    uint64_t count_max, bytes_max;
    uint64_t buried; /* since the last eviction */
};

void sfi_dead_init(struct sfi_dead *dead, uint64_t count_max, uint64_t bytes_max);
/* What the stored counters say.  SF_ECORRUPT: that cannot be. */
int sfi_dead_recover(struct sfi_dead *dead, uint64_t first, uint64_t next, uint64_t count,
                     uint64_t bytes);

/* A letter in the open epoch.  0 or SF_ENOMEM. */
int sfi_dead_add(sf_runtime *rt, const struct sfi_message *message, const char *reason);
/* Away with it; or back, as a first attempt, to the end of its actor's mailbox.  Not there: no
 * effect.  0, SF_ENOMEM, or what the store says, and nothing happened. */
int sfi_dead_drop(sf_runtime *rt, uint64_t sequence);
int sfi_dead_resend(sf_runtime *rt, uint64_t sequence);

/* Any thread: 0 if it is on disk and, if it is to be sent, can be read and its type is registered;
 * else SF_ENOTFOUND, SF_ECORRUPT, SF_EDISK and the like. */
int sfi_dead_find(sf_runtime *rt, uint64_t sequence, int to_send);

#endif
