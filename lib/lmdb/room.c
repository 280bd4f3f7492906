#include "lmdb/room.h"

#include <string.h>
#include <unistd.h>

/* Each entry of LMDB's free list is the number of pages that a transaction gave back, followed by those
 * pages.  What the newest one gave back is not to be had yet. */
static uint64_t count_pages(MDB_txn *txn, size_t newest)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t pages = 0;
    size_t by, count, before = 0;
    if (mdb_cursor_open(txn, 0, &cursor))
        return 0;
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        if (key.mv_size != sizeof by || value.mv_size < sizeof count)
            break;
        memcpy(&by, key.mv_data, sizeof by);
        memcpy(&count, value.mv_data, sizeof count);
        if (by >= newest || by <= before) /* what is not in order might never end */
            break;
        before = by;
        pages += count;
    }
    mdb_cursor_close(cursor);
    return pages;
}

static uint64_t free_bytes(struct sfi_room *room, struct sfi_snapshots *snapshots, size_t newest,
                           size_t page_size)
{
    struct sfi_snapshot *snapshot;
    if (room->transaction == newest)
        return room->free_bytes;
    if (sfi_lmdb_snapshot_open(snapshots, &snapshot) < 0)
        return 0;
    room->free_bytes = count_pages(sfi_lmdb_snapshot_txn(snapshot), newest) * page_size;
    room->transaction = newest;
    sfi_lmdb_snapshot_close(snapshot);
    return room->free_bytes;
}

/* LMDB leaves the map's last page unused. */
uint64_t sfi_room_measure(struct sfi_room *room, struct sfi_snapshots *snapshots, uint64_t owed)
{
    const struct sfi_db *db = snapshots->db;
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    MDB_envinfo info;
    if (sfi_snapshots_are_shut(snapshots) || mdb_env_info(db->env, &info))
        return 0;
    uint64_t used = ((uint64_t)info.me_last_pgno + 2) * page_size;
    uint64_t left = used < db->bytes_max ? db->bytes_max - used : 0;
    if (sfi_room_left(left, db->bytes_max) != SFI_ROOM_ENOUGH)
        left += free_bytes(room, snapshots, info.me_last_txnid, page_size);
    return left > owed ? left - owed : 0;
}
