/* part.h - what the runtime consists of, as the epoch, the step and recovery see it.
 *
 * A part is a noun that has rows on disk, or is due at some time, or has work for a step.  It says so in one
 * row, `struct sfi_part`, which stands in its own file (parts of the room `actor`, which know no runtime, in
 * part.c); the table in part.c names them all.  The epoch, the step and recovery loop over that table and
 * know no part by name, so a new capability is one file and one line there.
 *
 * One epoch, as a part lives it:
 *
 *      load  loaded           at open, once
 *      wake  ready  due       in each step
 *      dirty weigh            while turns run
 *      save  saved            when the epoch is sealed: save may fail and changes nothing but the batch;
 *                             saved cannot, and is told the epoch's number
 *      durable  safe          under the runtime's lock, when the epoch is on disk, and when no power cut
 *                             can take it any more; they only publish
 *      published              without the lock, afterwards: what is over budget may leave memory
 *
 * Every entry may be NULL.  All run on the engine's thread. */
#ifndef SFI_RUN_PART_H
#define SFI_RUN_PART_H

#include "store/batch.h"

/* What sealing will add to the batch. */
struct sfi_weight {
    uint64_t rows, bytes;
    int full; /* a part's own budget is used up by what only a commit lets go */
};

struct sfi_part {
    const char *name;
    int (*dirty)(sf_runtime *rt); /* would a commit write a row of it? */
    void (*weigh)(const sf_runtime *rt, struct sfi_weight *weight);
    int (*save)(sf_runtime *rt, struct sfi_batch *batch);
    void (*saved)(sf_runtime *rt, uint64_t epoch);
    void (*durable)(sf_runtime *rt);
    void (*safe)(sf_runtime *rt);
    void (*published)(sf_runtime *rt);
    uint64_t (*due)(sf_runtime *rt);                 /* by the monotonic clock, in ns; 0: never */
    void (*wake)(sf_runtime *rt, uint64_t now_ns);   /* takes up what is due */
    int (*ready)(sf_runtime *rt, uint64_t now_ns);   /* is there something that a step could do now? */
    int meta;                                        /* first byte of its keys in table meta; 0: none */
    int (*load)(sf_runtime *rt, sf_bytes key, sf_bytes record);
    int (*loaded)(sf_runtime *rt);
};

/* Each loops over the table, in its order. */
int sfi_parts_dirty(sf_runtime *rt);
struct sfi_weight sfi_parts_weight(const sf_runtime *rt);
int sfi_parts_save(sf_runtime *rt, struct sfi_batch *batch);
void sfi_parts_saved(sf_runtime *rt, uint64_t epoch);
void sfi_parts_durable(sf_runtime *rt); /* under the lock */
void sfi_parts_safe(sf_runtime *rt);    /* likewise */
void sfi_parts_published(sf_runtime *rt);
uint64_t sfi_parts_due(sf_runtime *rt); /* the earliest; 0: nothing is */
void sfi_parts_wake(sf_runtime *rt, uint64_t now_ns);
int sfi_parts_ready(sf_runtime *rt, uint64_t now_ns);
/* A row of table meta.  SF_ENEWER: no part knows it. */
int sfi_parts_load(sf_runtime *rt, sf_bytes key, sf_bytes record);
int sfi_parts_loaded(sf_runtime *rt);

extern const struct sfi_part sfi_part_positions, sfi_part_delivery, sfi_part_inbox, sfi_part_tickets,
    sfi_part_asks, sfi_part_upkeep, sfi_part_dead, sfi_part_fire, sfi_part_keys, sfi_part_gleaner,
    sfi_part_reclaim, sfi_part_operations,
    sfi_part_counters;

#endif
