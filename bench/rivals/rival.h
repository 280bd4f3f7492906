/* rival.h - what a hand-written loop needs of a store, and who offers it.
 *
 * A rival keeps two tables: the mailbox, keyed by a sequence that rises, and the states, keyed as
 * by workload_key().  Everything between begin() and commit() becomes durable together: commit()
 * returns once the disk has it.  One transaction at a time, and one thread at a time within it;
 * another thread may make the next one.  A rival that fails ends the program.
 *
 * A new rival: one file here, and one row in rivals.c. */
#ifndef BENCH_RIVAL_H
#define BENCH_RIVAL_H

#include "../workload.h"

struct rival {
    const char *name;
    void (*open)(const struct workload *w); /* in w->dir, which is empty */
    void (*close)(void);
    void (*begin)(void);
    void (*commit)(void);
    /* states; each has w->state_size bytes */
    void (*append)(const unsigned char *key, const void *state); /* after all keys there are */
    void (*get)(const unsigned char *key, void *state);          /* it must be there */
    void (*put)(const unsigned char *key, const void *state);
    void (*replace)(const unsigned char *key, const void *state); /* that which was got last;
                                                                   * NULL: cached loop only */
    /* the mailbox */
    void (*push)(uint64_t sequence, const struct workload_message *msg); /* above all others */
    void (*pop)(uint64_t sequence, struct workload_message *msg);        /* the lowest one */
    /* afterwards */
    void (*walk)(struct workload_sum *sum); /* adds up all states, as they are stored */
};

/* Ends the program, with this status, where `name` is not known or was not built. */
enum { RIVAL_ABSENT = 77 };
const struct rival *rival_find(const char *name);

/* Counted from 0; NULL after the last. */
const struct rival *rival_at(size_t index);

#endif
