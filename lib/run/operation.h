/* operation.h - operations: work outside that actors asked for, answered once.
 *
 *      turn: staged (starting.h) -- kept --> a row in table async, an entry here, a job at the gate
 *                                  safe --> the function is called: by the driver, or by a worker (workers.h)
 *      any thread: sf_async_done() --> inbox --.
 *      its time limit, or the next open -------+--> [engine] the row goes, the answer is a message
 *
 * (1) An operation has a row from the epoch of its turn to the epoch in which its answer became a message, or its
 *     actor was purged or cleared; and, in memory, an entry for as long.  What has no entry is over.
 * (2) Who answers first sets `is_answered`, under the lock, and only he answers.
 * (3) A function is called after its row is safe, at most once; it is never stored.  So at open whatever has a
 *     row and is no promise was lost: it is answered with SF_EUNKNOWN, in slices, a step each.
 * (4) Numbers rise for ever: `next` is stored (counters.h).  What sf_async_save() gives out names the database
 *     too, so that what was saved from another one is told from what is over.
 * (5) There are at most `max` of them; an answer is at most payload_max, and takes room in the inbox, where it
 *     is never refused, so that what waits for it can go on.
 *
 * Under the runtime's lock: entries and limits.  The rest is the engine's. */
#ifndef SFI_RUN_OPERATION_H
#define SFI_RUN_OPERATION_H

#include "actor/hold.h"
#include "actor/operation_record.h"
#include "base/arena.h"
#include "base/heap.h"
#include "base/lookup.h"
#include "run/workers.h"

struct sfi_operation {
    struct sfi_heap_node limit; /* by the monotonic clock, in ns */
    uint64_t id;
    uint64_t owner; /* hash of the actor's address */
    uint8_t is_answered;
    uint8_t is_lost;    /* an earlier run started it, and no promise */
    uint8_t is_leaving; /* its actor is purged or cleared, as soon as that is certain */
};

struct sfi_operations {
    const struct sfi_sys *sys;
    struct sfi_lookup by_id, by_owner;
    struct sfi_heap limits;
    struct sfi_jobs starts; /* functions that the driver is to call */
    struct sfi_workers workers;
    uint64_t next;
    uint64_t count, max;
    uint64_t lost, lost_end; /* those of an earlier run that are not answered lie there */
    uint64_t database;       /* its number, by chance */
};

void sfi_operations_init(struct sfi_operations *operations, const struct sfi_sys *sys, uint64_t max,
                         uint32_t workers_max);
void sfi_operations_fini(struct sfi_operations *operations);

/* It is under way from here on; the entry is the table's now.  `until_ns` 0: without limit.  SF_ENOMEM. */
int sfi_operations_enter(sf_runtime *rt, struct sfi_operation *entry, uint64_t until_ns);
/* The newest that was entered never was: the caller's again. */
void sfi_operations_withdraw(sf_runtime *rt, struct sfi_operation *entry);
/* When something is due that many ms from now. */
uint64_t sfi_operations_due_ns(const sf_runtime *rt, uint64_t time_ms);

/* All of an actor are to go: their rows do, in the batch, and `*awaited` of them were awaited.  Then drop() once
 * that is certain, or keep() if it came to nothing.  0, or what the store says. */
int sfi_operations_erase(sf_runtime *rt, const struct sfi_whom *whom, struct sfi_batch *batch,
                         uint32_t *awaited);
void sfi_operations_drop(sf_runtime *rt, const struct sfi_whom *whom);
void sfi_operations_keep(sf_runtime *rt, const struct sfi_whom *whom);

/* A row of table async as of now, lent until the next call.  1; 0: there is none; negative. */
int sfi_operations_get(sf_runtime *rt, const struct sfi_key *key, sf_bytes *record);

/* Any thread.  0, or SF_ENOTFOUND: it is over; SF_ENOMEM, SF_EINVAL: it is under way still. */
int sfi_operation_complete(sf_runtime *rt, uint64_t id, int result, sf_bytes bytes);

/* Functions to call, a bounded number; calls one.  0: there is none. */
int sfi_operations_start_count(const sf_runtime *rt);
int sfi_operation_call(sf_runtime *rt);

/* What sf_async_save() gives out.  load(): SF_EINVAL, SF_ENEWER. */
enum { SFI_OPERATION_NAME_BYTES = 24 };
void sfi_operation_save_name(const sf_runtime *rt, uint64_t id,
                             unsigned char out[SFI_OPERATION_NAME_BYTES]);
int sfi_operation_load_name(const sf_runtime *rt, sf_bytes saved, uint64_t *id);

/* Of a worker that ended by itself: a step is wanted. */
void sfi_operations_wake(void *runtime);

extern const struct sfi_effect_kind sfi_job_effect;

#endif
