/* reclaim.h - rows of collections that are garbage go, bit by bit.
 *
 *      clear, trim, purge --> a promise: rows of that number are garbage   (actor/collection.h)
 *      here: promises and rows of a snapshot --> deletions in the open batch --> the promise, too
 *
 * (1) Only what is durable is looked at.  So a promise that is met has all that was ever put under
 *     its number, and no row is put there any more.
 * (2) It goes in proportion to what is put: a slice of as many rows as epochs have put into table
 *     entry since the last one, at least RECLAIM_ROWS of them.  So garbage goes as fast as it can
 *     be made.  What is left goes when nothing was committed for a while, in slices;
 *     sf_run_until_idle() does not wait for that.
 * (3) A promise is deleted with the last of its rows or later, and not if the batches say something
 *     newer of it.
 * (4) How far it is, is known in memory alone: after a crash it begins again at what is left.
 * (5) A slice is put whole, or taken back: what fails is tried again later.
 *
 * Engine thread only. */
#ifndef SFI_RUN_RECLAIM_H
#define SFI_RUN_RECLAIM_H

#include "actor/collection.h"
#include "actor/key.h"

struct sfi_reclaim {
    int is_pending;         /* there may be promises */
    uint64_t pending_epoch; /* the newest that put rows into table entry */
    uint64_t debt;          /* so many since the last slice */
    uint64_t due_ns;        /* if nothing is committed until then; 0: after the next commit */
    uint64_t number;        /* whose rows go; 0: look from the first promise on */
    struct sfi_key at;      /* the row of it that went last; size 0: none did */
};

#endif
