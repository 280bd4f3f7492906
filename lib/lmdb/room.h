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

enum sfi_room_left {
    SFI_ROOM_ENOUGH,
    SFI_ROOM_SHORT, /* less than half of the ceiling: when idle the changelog is swept before it is full */
    SFI_ROOM_TIGHT /* less than a quarter: with every commit */
};

struct sfi_room {
    uint64_t free_bytes; /* inside the file, as of a transaction */
    size_t transaction;
};

static inline enum sfi_room_left sfi_room_left(uint64_t room, uint64_t bytes_max)
{
    return room >= bytes_max / 2   ? SFI_ROOM_ENOUGH
           : room >= bytes_max / 4 ? SFI_ROOM_SHORT
                                   : SFI_ROOM_TIGHT;
}

uint64_t sfi_room_measure(struct sfi_room *room, struct sfi_snapshots *snapshots, uint64_t owed);

#endif
