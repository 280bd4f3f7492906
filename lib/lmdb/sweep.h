/* sweep.h - moves a frozen generation of the changelog into the table of states, a slice at a time.
 *
 *     collect the keys -> move them, in order, newest version of each -> trim the chunks, oldest first
 *
 * How far it is, is known in memory only: 16 bytes an entry, and where LMDB has each chunk.  A slice whose
 * transaction came to nothing is done again; a database that was opened anew means starting again.
 *
 * A full disk or map may have room for a small slice and none for a large one: slices are halved when
 * they do not fit, and doubled when they do.  Fault points: lmdb.sweep, lmdb.trim. */
#ifndef SFI_LMDB_SWEEP_H
#define SFI_LMDB_SWEEP_H

#include "lmdb/db.h"
#include "store/key_order.h"

struct sfi_generation;
struct sfi_swept_chunk;

struct sfi_sweep {
    struct sfi_key_order order;
    uint32_t collected; /* entries of the generation that are in `order` */
    struct sfi_swept_chunk *chunks;
    uint64_t round;       /* counts up; says which chunks were looked up in this transaction */
    uint64_t units_max;   /* of a slice */
    uint32_t next;        /* the newest transaction's order.next */
    uint8_t is_under_way; /* the transaction under way sweeps */
    uint8_t is_spoiled;   /* the order was made with keys that could not be read */
};

void sfi_sweep_init(struct sfi_sweep *sweep, const struct sfi_sys *sys);
void sfi_sweep_reset(struct sfi_sweep *sweep);

/* Units of work that the generation still needs: about one a row. */
uint64_t sfi_sweep_left(const struct sfi_sweep *sweep, const struct sfi_generation *generation);
/* Does so many units of it, or less.  Moves generation->first as chunks are trimmed. */
int sfi_sweep_run(struct sfi_sweep *sweep, const struct sfi_db *db, MDB_txn *txn,
                  struct sfi_generation *generation, uint64_t units);
/* What became of the transaction.  `was_full`: there was no room for all of it. */
void sfi_sweep_committed(struct sfi_sweep *sweep);
void sfi_sweep_aborted(struct sfi_sweep *sweep, int was_full);

#endif
