/* log.h - the changelog: where the states that an epoch changed are written first.
 *
 *     commit -> appended to the active generation
 *                        | full, and no generation is frozen
 *                        v
 *               the frozen generation -- swept, key by key in order --> the table of states
 *                        | all of it moved
 *                        v
 *               trimmed, chunk by chunk from the front
 *
 * A put into a big table copies a page of 4 KiB for each state; a sequential append does not, and by the
 * time a generation is swept many states have changed more than once and share pages.  After Flink's
 * changelog state backend, folded into LMDB's one file, so that one transaction still commits
 * everything.  Only the table of states goes this way.
 *
 * (1) What a state is: its newest entry in the active generation, else in the frozen one, else its row
 *     in the table.  An entry that deletes counts.
 * (2) The frozen generation never grows.  All that the sweep writes comes from it, never from memory:
 *     the newest version within that generation, which (1) hides as long as it is not the newest.
 * (3) The sweep keeps nothing on disk but what it wrote.  Nothing is trimmed before everything was
 *     moved; after a crash, or a transaction that failed, it starts again with what is left, and
 *     writes the same rows again or newer ones.
 * (4) Each commit sweeps a share that finishes the frozen generation before the active one is full; so
 *     the log is bounded.  A transaction sweeps no more than SFI_SWEEP_MAX, since each row may dirty a page; what is
 *     more of the share goes ahead of the commit in transactions of its own.
 * (5) Each chunk names its generation, so that opening finds the two again.  Opening reads the log and
 *     nothing else: its cost is bounded by the log's bounds, not by the states.
 * (6) Chunk numbers rise without gaps.  The index is only a way to find entries: a chunk that a snapshot
 *     has not got is newer than it, or was trimmed after its entries had been moved to the table.
 *     So a snapshot reads its own epoch, whatever happened since, as long as it holds the generations
 *     that were there when it was opened.
 *
 * The thread that commits calls everything here but sfi_log_hold(), _release() and _get().  `lock`
 * guards the indexes, which generations there are, and their references.
 *
 * Fault point: lmdb.freeze. */
#ifndef SFI_LMDB_LOG_H
#define SFI_LMDB_LOG_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "lmdb/chunk.h"
#include "lmdb/db.h"
#include "lmdb/index.h"
#include "lmdb/sweep.h"

struct sfi_generation {
    const struct sfi_sys *sys;
    unsigned refs; /* the log's own, and one for each snapshot */
    uint32_t number;
    uint64_t base;       /* the index counts chunks from here */
    uint64_t first, end; /* the chunks that are left: [first, end) */
    uint64_t bytes;
    struct sfi_log_index index;
};

enum { SFI_GENERATIONS = 2, SFI_SWEEP_MAX = 8192 /* rows: 32 MiB of dirty pages at most */ };

struct sfi_log {
    struct sfi_db *db;
    pthread_mutex_t *lock;
    struct sfi_hash_key hash_key;
    uint64_t bytes_max;                     /* of one generation */
    uint32_t records_max;                   /* likewise */
    atomic_int room_left;                   /* enum sfi_room_left */
    struct sfi_generation *active, *frozen; /* frozen: or NULL */
    struct sfi_sweep sweep;
    /* What the newest transaction left, if the one under way comes to nothing. */
    struct {
        uint32_t count;
        uint64_t end, bytes, first;
    } kept;
};

/* The bounds hold for both generations together. */
int sfi_log_init(struct sfi_log *log, struct sfi_db *db, pthread_mutex_t *lock, uint64_t bytes_max,
                 uint32_t records_max);
void sfi_log_fini(struct sfi_log *log);
/* Reads it from the database, which was just opened.  SF_ECORRUPT, SF_ENEWER, SF_ENOMEM. */
int sfi_log_load(struct sfi_log *log);

/* Within a transaction, before all else: sweeps its share, if `sweeps`, and appends the operations, in chunks
 * of one page if `small`, for which any free page will do.  Then the outcome, if it is known; if it is not,
 * sfi_log_load() again. */
int sfi_log_append(struct sfi_log *log, MDB_txn *txn, const struct sfi_op_list *changes, int sweeps,
                   int small);
/* So many units of the share that these changes ask for are more than one transaction may do: they go ahead, with
 * sfi_log_tidy(). */
uint64_t sfi_log_ahead(const struct sfi_log *log, const struct sfi_op_list *changes);
/* Sweeps alone: so many units. */
int sfi_log_tidy(struct sfi_log *log, MDB_txn *txn, uint64_t units);
void sfi_log_committed(struct sfi_log *log);
void sfi_log_aborted(struct sfi_log *log, int was_full);

/* Is there anything to sweep? */
int sfi_log_is_untidy(const struct sfi_log *log);
/* Bytes that the sweep is still to write, at most. */
uint64_t sfi_log_bytes(const struct sfi_log *log);

/* For a snapshot: with the lock held, in the same stretch in which its transaction begins. */
int sfi_log_hold(struct sfi_log *log, struct sfi_generation *held[SFI_GENERATIONS]);
void sfi_log_release(struct sfi_generation *const held[], int count);
/* 1: the log has that key, as the transaction sees it; 0: it has not; negative. */
int sfi_log_get(struct sfi_log *log, struct sfi_generation *const held[], int count, MDB_txn *txn,
                sf_bytes key, struct sfi_log_entry *out);

/* 1: a chunk, lent as long as LMDB lends it; 0: the transaction does not see it; negative. */
int sfi_log_chunk(const struct sfi_db *db, MDB_txn *txn, uint64_t number, sf_bytes *out);

#endif
