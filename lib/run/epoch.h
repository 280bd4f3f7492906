/* epoch.h - turns that become durable together.
 *
 *      open -- seal --> sealed -- durable --> published -- safe --> all of it
 *        ^                |
 *        +---- next ------+  (stalled: stays sealed, tried again)
 *
 * (1) One open epoch, at most one sealed.  Sealing copies what is dirty into the batch, which then does
 *     not change; turns go on in the next epoch while it is made durable, until that one is full.
 * (2) Sealing fails whole or succeeds whole: nothing is marked saved before the batch is complete.
 * (3) Publishing is the gate: only then do tickets and replies of that epoch become visible, and source
 *     positions and egress records once it is safe (store.h: 3), which is the same but in relaxed mode.
 * (4) An epoch in which nothing changed on disk is published without a commit, once those before it
 *     are durable.
 *
 * Engine thread only. */
#ifndef SFI_RUN_EPOCH_H
#define SFI_RUN_EPOCH_H

#include "run/ask.h"
#include "run/counters.h"
#include "store/batch.h"

struct sfi_epoch {
    struct sfi_batch batches[2];
    int open; /* index of the open one; the other is sealed or empty */
    int is_sealed, is_submitted;
    struct sfi_counters counters; /* as stored last */
    int64_t sealed_ticket;
    uint64_t sealed_bytes; /* taken in until then */
    uint32_t turns;        /* in the open epoch */
    uint64_t heavy_bytes;  /* a turn of so many is weighed at once */
    uint64_t started_ns;   /* of its first turn */
    uint64_t durable;      /* the epoch whose positions and egress records are marked durable, */
    uint64_t safe;         /* and the one whose are safe, and visible */
    uint64_t failures;     /* in a row, of the sealed batch */
    sf_stats stats;        /* the engine's own; copied out by the step */
};

/* `bytes_max`: of one epoch's rows. */
void sfi_epoch_init(struct sfi_epoch *epoch, const struct sfi_sys *sys, uint64_t bytes_max);
void sfi_epoch_fini(struct sfi_epoch *epoch);

static inline struct sfi_batch *sfi_epoch_batch(struct sfi_epoch *epoch)
{
    return &epoch->batches[epoch->open];
}

/* Has the open epoch reached one of its bounds? */
int sfi_epoch_is_full(sf_runtime *rt);
/* So many messages were moved without a turn; that counts against the bounds as turns do. */
void sfi_epoch_moved(struct sfi_epoch *epoch, int moves);
/* Is there anything that a commit would write, or a publish would let out? */
int sfi_epoch_is_dirty(sf_runtime *rt);

/* Seals the open epoch, unless one is sealed already; one that changed nothing on disk is published (4).  0,
 * or SF_ENOMEM with the epoch still open. */
int sfi_epoch_seal(sf_runtime *rt);
/* Few rows in the sealed epoch: writing them takes no longer than waking a thread. */
int sfi_epoch_is_small(const sf_runtime *rt);
/* Submits the sealed epoch, finds out what became of it, publishes it.  `wait` 0: it is committed behind the
 * engine's back, if the store has a thread; 1: here and now.  1: published, or nothing was sealed; 0: under way;
 * negative: stalled. */
int sfi_epoch_settle(sf_runtime *rt, int wait);
/* Here and now until all that was kept is published.  0, or negative: stalled. */
int sfi_epoch_flush(sf_runtime *rt);

#endif
