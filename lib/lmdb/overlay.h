/* overlay.h - the changelog in order of keys, as one transaction sees it: for walking over states.
 *
 * Made from the chunks themselves, so it needs no lock; newest version of each key, deletions included.
 * Some 20 bytes for each entry of the log, and 16 more while it is made; so it is made only when somebody
 * walks, and at once, since a walk wants all of it. */
#ifndef SFI_LMDB_OVERLAY_H
#define SFI_LMDB_OVERLAY_H

#include "lmdb/chunk.h"
#include "lmdb/db.h"

struct sfi_overlay;

/* NULL: no memory, or the sentence says what else; `*rc` has the code. */
struct sfi_overlay *sfi_overlay_new(const struct sfi_db *db, MDB_txn *txn, int *rc);
void sfi_overlay_free(struct sfi_overlay *overlay);

/* The first entry with a key >= `from` (strictly greater if `after`).  1, 0, SF_ECORRUPT. */
int sfi_overlay_seek(struct sfi_overlay *overlay, sf_bytes from, int after,
                     struct sfi_log_entry *out);

#endif
