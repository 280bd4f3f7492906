/* crowd.h - how many messages from outside wait for one actor, for types that bound it
 * (waiting_max).
 *
 * (1) Counted from the moment that one is accepted until it is handled, wherever it waits; by the
 *     hash of the address, which is keyed, so that strangers cannot make two actors share a
 *     count.
 * (2) What was accepted in an earlier run, or before its type set a bound, or comes back from the
 *     dead letters, is not counted; handled, it may lower the count of those that are.
 * (3) Senders raise it under the lock.  The engine keeps the hashes of what it handled, and
 *     lowers their counts under the lock in one go a step, or when SFI_LEFT_MAX have gathered.
 * (4) Types without a bound touch nothing of this, but for what ceiling.h says of who is held: that
 *     is asked of the engine's own holds (hold.h: 7), and only while what is parked is too much.
 * (5) Who was turned away waits for that actor, and nobody else does: what was refused is kept by
 *     thread. Two threads that share a place only try once more. */
#ifndef SFI_RUN_CROWD_H
#define SFI_RUN_CROWD_H

#include "actor/hold.h"

enum { SFI_LEFT_MAX = 256, SFI_REFUSALS = 16 };

/* Who was turned away, and from whom. */
struct sfi_refusal {
    uintptr_t thread;
    uint64_t hash;
    uint32_t max;                /* 0: not by (1) */
    const struct sfi_type *held; /* of an actor that was held; NULL: none was */
};

struct sfi_crowd {
    const struct sfi_sys *sys;
    /* Under the lock. */
    struct sfi_crowd_place {
        uint64_t hash;
        uint64_t count; /* 0: the place is free */
    } *places;          /* open addressing, linear probing */
    uint32_t count, capacity;
    struct sfi_refusal refusals[SFI_REFUSALS];
    /* The engine's. */
    uint64_t left[SFI_LEFT_MAX];
    uint32_t left_count;
};

void sfi_crowd_init(struct sfi_crowd *crowd, const struct sfi_sys *sys);
void sfi_crowd_fini(struct sfi_crowd *crowd);

/* Under the lock.  Is there room for one more, and memory for so many others?  SF_EAGAIN names
 * the actor. */
int sfi_crowd_check(struct sfi_crowd *crowd, const struct sfi_type *type, uint64_t hash,
                    const char *id, size_t id_size, uint32_t others);
/* Likewise: does what is parked leave room, if the actor is held?  SF_EAGAIN names it. */
int sfi_crowd_check_hold(sf_runtime *rt, const struct sfi_whom *whom);
/* Is it so still that it does not? */
int sfi_crowd_is_held(sf_runtime *rt, const struct sfi_refusal *refusal);
/* One was accepted; check() has made sure of the memory. */
void sfi_crowd_raise(struct sfi_crowd *crowd, uint64_t hash);
uint64_t sfi_crowd_count(const struct sfi_crowd *crowd, uint64_t hash);
/* What this thread was refused last; forget(): something else. */
struct sfi_refusal sfi_crowd_refusal(struct sfi_crowd *crowd);
void sfi_crowd_forget(struct sfi_crowd *crowd);
/* Has that actor a quarter of its bound free? */
int sfi_crowd_has_room(const struct sfi_crowd *crowd, const struct sfi_refusal *refusal);

/* The engine: what was counted for that actor was not to come in. */
void sfi_crowd_left(sf_runtime *rt, const struct sfi_type *type, uint64_t hash);
/* The engine: the mailbox's head is handled, or dead, or dropped, and leaves it. */
void sfi_crowd_done(sf_runtime *rt);
/* The same of a message that an answer's turn took. */
void sfi_crowd_taken(sf_runtime *rt, struct sfi_message *message);
/* Under the lock: lowers the counts. */
void sfi_crowd_account(struct sfi_crowd *crowd);

#endif
