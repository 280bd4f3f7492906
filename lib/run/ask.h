/* ask.h - questions from outside and their answers.
 *
 * (1) An ask has a number that no other ask has, also after a restart (the boot's random number plus a
 *     count).  The number travels with the message as the address of the asker, so any later turn may
 *     answer; a number that nobody waits for any more is dropped.
 * (2) A reply is made inside its turn, whole, as the block the asker will get: so the gate only hands
 *     it over and cannot fail.
 * (3) The first reply counts.  An ask is answered once: reply, failure, timeout or close.
 *
 * Under the runtime's lock, except that a reply belongs to the turn, then the gate, then the asker. */
#ifndef SFI_RUN_ASK_H
#define SFI_RUN_ASK_H

#include "actor/message.h"
#include "base/heap.h"
#include "run/gate.h"

struct sfi_reply {
    struct sfi_effect effect;
    const struct sfi_sys *sys;
    uint64_t ask;
    int result;
    sf_message message; /* its strings lie after it; with a negative result `reason` says why */
};

struct sfi_ask {
    struct sfi_ask *next; /* in its bucket, or in the answered list */
    struct sfi_heap_node deadline;
    uint64_t number;
    struct sfi_reply *reply; /* NULL: none yet, or a failure without one */
    int result;
    int answered;
    sf_answer *answer; /* NULL: a thread waits in sf_ask() and owns this */
    void *userdata;
};

struct sfi_asks {
    struct sfi_ask **buckets;
    size_t capacity, count;
    uint64_t next_number;
    struct sfi_heap deadlines;
    struct sfi_ask *answered, **answered_tail; /* callbacks to make */
};

void sfi_asks_init(struct sfi_asks *asks, const struct sfi_sys *sys);
void sfi_asks_fini(struct sfi_asks *asks, const struct sfi_sys *sys);

/* A reply from an actor, or (from NULL) the failure of a message with its reason.  NULL: no memory. */
struct sfi_reply *sfi_reply_new(const struct sfi_sys *sys, uint64_t ask, int result,
                                const struct sfi_actor *from, const char *kind, sf_bytes body,
                                const char *reason);
void sfi_reply_free(struct sfi_reply *reply);

/* Callers.  Under the lock: gives the ask its number and waits for it from now on. */
int sfi_ask_add(sf_runtime *rt, struct sfi_ask *ask, int timeout_ms);
void sfi_ask_withdraw(sf_runtime *rt, struct sfi_ask *ask);
void sfi_ask_free(sf_runtime *rt, struct sfi_ask *ask); /* with its reply; out of the table */
/* sf_ask() was left by longjmp while it drove: nobody waits any more. */
void sfi_ask_abandon(sf_runtime *rt);
void sfi_ask_forget(sf_runtime *rt, void *userdata); /* takes the lock */

/* Puts the sentence for a negative result, and returns it. */
int sfi_ask_explain(const sf_runtime *rt, const struct sfi_ask *ask);

/* The engine has stopped: everything still waiting gets that code. */
void sfi_asks_end(sf_runtime *rt, int code);
/* Callbacks to make; makes one; 0: there is none. */
size_t sfi_asks_answered(sf_runtime *rt);
int sfi_ask_call(sf_runtime *rt);

#endif
