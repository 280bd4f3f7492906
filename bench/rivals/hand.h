/* hand.h - a hand-written loop over a rival: how it counts a message, and how it commits.
 *
 *   mailbox   every message is a row of the mailbox, put and taken; a turn reads and writes a state
 *   direct    a message is handled in the transaction that takes it, and has no row
 *   cached    as direct, and states stay in memory: written once a transaction, in key order
 *
 * The mailbox itself is by_hand.c's, the only program with a loop that has one. */
#ifndef BENCH_HAND_H
#define BENCH_HAND_H

#include "cache.h"

struct hand {
    const struct workload *w;
    const struct rival *rival;
    struct cache *cache; /* loop cached, else NULL */
};

/* Opens the rival and gives each actor a count of one, durably. */
void hand_open(struct hand *hand, const struct workload *w);
void hand_close(struct hand *hand);

void hand_commit(struct hand *hand); /* the rival's begin() begins */

/* One turn: the actor counts one message. */
void hand_count(struct hand *hand, uint64_t actor);

/* The same, and so many cents come to its balance, which lies past the counter. */
void hand_move(struct hand *hand, uint64_t actor, int64_t cents);

/* Checks what is stored, prints the result. */
void hand_finish(struct hand *hand, uint64_t commits, const struct workload_clock *clock);

#endif
