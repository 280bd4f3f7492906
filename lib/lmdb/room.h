/* room.h - how much more may be written before the file meets its ceiling.
 *
 * What was never used, and, when that is little, the pages that LMDB can use again; less what the
 * changelog still owes to the tables.  A view that stays open may pin pages that count as free here: then a
 * commit meets the ceiling first, and stalls until the view is closed.
 *
 * Engine thread only. */
#ifndef SFI_LMDB_ROOM_H
#define SFI_LMDB_ROOM_H

#include "lmdb/snapshot.h"

struct sfi_room {
    uint64_t free_bytes; /* inside the file, as of a transaction */
    size_t transaction;
};

uint64_t sfi_room_measure(struct sfi_room *room, struct sfi_snapshots *snapshots, uint64_t owed);

#endif
