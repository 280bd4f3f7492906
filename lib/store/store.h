/* store.h - the only door to what is durable.
 *
 * A store holds ordered tables of bytes and the number of the newest durable epoch (LMDB's file has one more,
 * the changelog, which is nobody's business here).  It knows nothing of actors; what the tables hold is in
 * actor/key.h.  Writing is one thing only: a sealed batch (store/batch.h) goes in whole, as epoch N+1 on top of
 * epoch N, or not at all.
 *
 * (1) At most one batch is submitted and not settled.  It is lent to the store until it is settled
 *     and must not change: a store may apply it unseen by the caller, on a thread of its own, or
 *     more than once.
 * (2) submit() takes the batch or fails without having taken it.  settle() starts what was not started yet,
 *     and says what became of it: durable, still under way, or stalled (the disk refuses; nothing is lost, the
 *     next settle() starts the same batch again).  A stall is never turned into "failed": whether an epoch that met
 *     an error is on disk is found out by reading the disk, not guessed.
 *     settle(wait 0) starts it on the store's thread, if there is one, and does not wait for the disk;
 *     settle(wait 1) waits for that thread, or, if it was not started there, commits on the caller's.
 * (3) Durable may mean less than safe: in relaxed mode a power cut can still take the newest durable
 *     epochs, but none up to `safe`, which follows by itself while the store is left in peace, and with
 *     make_safe().
 * (4) A store may have work of its own that is not urgent.  With a thread it does it by itself; without
 *     one tidy() does a slice of it.
 * (5) Reads see the newest settled epoch, or the one that is committed already and not settled yet, whole;
 *     the engine cannot tell these apart, since what the latter changed is still in its memory.  A snapshot
 *     keeps its epoch.
 *     After a stall opening one may fail with SF_EDISK until it is known what is on disk.
 * (6) What a snapshot hands out lies in the store's own memory: on any address, however odd, with
 *     nothing readable past it, and gone when the snapshot is closed.  Read it with base/endian.h or
 *     copy it.
 *
 * All functions are called by the engine thread, except snapshots: these may be opened, read and
 * closed by any one thread at a time each; one that another thread opens while settle() runs sees the
 * epoch before or the one after.  Every snapshot must be closed before the store is. */
#ifndef SFI_STORE_STORE_H
#define SFI_STORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/sys.h"
#include "statefun.h"

enum sfi_table {
    SFI_META,
    SFI_STATE,
    SFI_MAILBOX,
    SFI_OUTBOX,
    SFI_DEAD,
    SFI_ENTRY, /* from here on since format 3 */
    SFI_TIMER,
    SFI_ASYNC,
    SFI_HELD,
    SFI_PARKED,
    SFI_TABLES
};

enum { SFI_KEY_MAX = 480 }; /* bytes; LMDB's limit is 511 */

struct sfi_batch;
struct sfi_store;
struct sfi_snapshot;

enum sfi_settled { SFI_UNDER_WAY = 0, SFI_DURABLE = 1 }; /* else a negative SF_E*: stalled */

struct sfi_store_ops {
    int (*submit)(struct sfi_store *store, const struct sfi_batch *batch);
    /* wait 1: returns only when durable or stalled. */
    int (*settle)(struct sfi_store *store, int wait);
    /* Not while a batch is submitted.  1: there is more to do; 0: there is not; negative: as settle(). */
    int (*tidy)(struct sfi_store *store);
    /* Not while a batch is submitted.  0: all that is durable is safe; negative: as settle(). */
    int (*make_safe)(struct sfi_store *store);
    /* Bytes that can still be written before the store's own ceiling; a lower bound. */
    uint64_t (*room)(struct sfi_store *store);
    int (*snapshot_open)(struct sfi_store *store, struct sfi_snapshot **out);
    void (*snapshot_close)(struct sfi_snapshot *snapshot);
    /* 1: found, `*out` lent until the snapshot is closed; 0: absent; negative: SF_E*. */
    int (*snapshot_get)(struct sfi_snapshot *snapshot, enum sfi_table table, sf_bytes key,
                        sf_bytes *out);
    /* The first entry with a key >= `from` (strictly greater if `after`); as snapshot_get(). */
    int (*snapshot_seek)(struct sfi_snapshot *snapshot, enum sfi_table table, sf_bytes from,
                         int after, sf_bytes *out_key, sf_bytes *out_value);
    /* The last entry with a key < `before` (data NULL: of all).  Not of table SFI_STATE. */
    int (*snapshot_seek_before)(struct sfi_snapshot *snapshot, enum sfi_table table, sf_bytes before,
                                sf_bytes *out_key, sf_bytes *out_value);
    /* As snapshot_seek() in table SFI_STATE, but for what a store may keep beside it: newer rows may be missing,
     * and deleted ones be there.  In order at no cost, for who asks for a row again before he believes it. */
    int (*snapshot_walk)(struct sfi_snapshot *snapshot, sf_bytes from, int after, sf_bytes *out_key,
                         sf_bytes *out_value);
    void (*close)(struct sfi_store *store);
};

struct sfi_store {
    const struct sfi_store_ops *ops;
    const struct sfi_sys *sys;
    const char *name; /* what sentences call it; lent while it is open */
    uint64_t durable; /* newest settled epoch; 0: nothing yet */
    uint64_t safe;    /* newest one that no power cut can take; at most `durable` */
};

static inline int sfi_store_submit(struct sfi_store *store, const struct sfi_batch *batch)
{
    return store->ops->submit(store, batch);
}

static inline int sfi_store_settle(struct sfi_store *store, int wait)
{
    return store->ops->settle(store, wait);
}

static inline int sfi_store_tidy(struct sfi_store *store)
{
    return store->ops->tidy(store);
}

static inline int sfi_store_make_safe(struct sfi_store *store)
{
    return store->ops->make_safe(store);
}

static inline uint64_t sfi_store_room(struct sfi_store *store)
{
    return store->ops->room(store);
}

/* What room() says, by the part of the ceiling that is left. */
enum sfi_room_left {
    SFI_ROOM_ENOUGH,
    SFI_ROOM_SHORT, /* less than half: a store makes room early when it is idle */
    SFI_ROOM_TIGHT  /* less than a quarter: with every commit */
};

static inline enum sfi_room_left sfi_room_left(uint64_t room, uint64_t bytes_max)
{
    return room >= bytes_max / 2   ? SFI_ROOM_ENOUGH
           : room >= bytes_max / 4 ? SFI_ROOM_SHORT
                                   : SFI_ROOM_TIGHT;
}

static inline void sfi_store_close(struct sfi_store *store)
{
    if (store)
        store->ops->close(store);
}

static inline int sfi_snapshot_open(struct sfi_store *store, struct sfi_snapshot **out)
{
    return store->ops->snapshot_open(store, out);
}

/* Every implementation's snapshot starts with its store. */
struct sfi_snapshot {
    struct sfi_store *store;
};

static inline void sfi_snapshot_close(struct sfi_snapshot *snapshot)
{
    if (snapshot)
        snapshot->store->ops->snapshot_close(snapshot);
}

static inline int sfi_snapshot_get(struct sfi_snapshot *snapshot, enum sfi_table table,
                                   sf_bytes key, sf_bytes *out)
{
    return snapshot->store->ops->snapshot_get(snapshot, table, key, out);
}

static inline int sfi_snapshot_seek(struct sfi_snapshot *snapshot, enum sfi_table table,
                                    sf_bytes from, int after, sf_bytes *out_key,
                                    sf_bytes *out_value)
{
    return snapshot->store->ops->snapshot_seek(snapshot, table, from, after, out_key, out_value);
}

static inline int sfi_snapshot_seek_before(struct sfi_snapshot *snapshot, enum sfi_table table,
                                           sf_bytes before, sf_bytes *out_key, sf_bytes *out_value)
{
    return snapshot->store->ops->snapshot_seek_before(snapshot, table, before, out_key, out_value);
}

static inline int sfi_snapshot_walk(struct sfi_snapshot *snapshot, sf_bytes from, int after,
                                    sf_bytes *out_key, sf_bytes *out_value)
{
    return snapshot->store->ops->snapshot_walk(snapshot, from, after, out_key, out_value);
}

#endif
