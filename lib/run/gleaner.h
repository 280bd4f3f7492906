/* gleaner.h - what has expired gives its space back, without anybody asking for it.
 *
 *      table state, row by row, round and round --> over by its row's time? --> a work without handler on that actor:
 *                                                                               over still? then it is dropped
 *
 * (1) It walks the table alone, without the changelog over it, which is in order at no cost.  So what it meets may
 *     be old; the work asks the actor, which is the truth.  Rows that lie in the changelog alone are met once they
 *     were moved.
 * (2) It passes four rows for each row that an epoch has put and that will expire, a few at a time between turns.  So
 *     beside what lives there is at most a third of it as garbage, however fast it is made, and no turn waits for
 *     long.
 * (3) Beside that it goes round in slices, one a step and a millisecond: when times were declared, when rows were
 *     put, when something that it met has come to its end, and now and then for what (1) kept from it.  Between
 *     rounds it rests a second, and 10 us for each row, which is a hundred times what that took.  sfi_is_idle() knows nothing of
 *     that, so nobody waits for it.
 * (4) A work that fails is undone and nothing is lost: the row is met again.  What cannot be read is left alone.
 * (5) While the clock is in doubt nothing is dropped (doubt.h).
 *
 * Where it is, is known in memory alone.  Engine thread only. */
#ifndef SFI_RUN_GLEANER_H
#define SFI_RUN_GLEANER_H

#include "actor/key.h"

enum { SFI_GLEAN_TURNS = 64 /* that share a slice */ };

struct sfi_gleaner {
    struct sfi_key at;    /* passed last; size 0: at the front */
    uint64_t owed;        /* rows to be passed, see (2) */
    uint64_t round;       /* rows passed since this round began, or */
    int is_through;       /* it is over */
    uint64_t next_end_ms; /* the first end that was met in it and lies ahead */
    uint64_t due_ns;      /* when to take a slice, or to begin a round; 0: not known */
    uint64_t rests_until_ns; /* after the last round: it took its time */
    uint32_t seen;        /* types->expirations */
    struct sfi_key untimed;  /* a row of the map whose entries without a time are deleted (map_time.h) */
};

/* Between turns: a slice, if one is owed.  Failures are its own business. */
void sfi_gleaner_pass(sf_runtime *rt);

#endif
