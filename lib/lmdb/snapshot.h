/* snapshot.h - reading one epoch: LMDB's snapshot, with the changelog laid over the table of states.
 *
 * (1) A snapshot takes LMDB's transaction and the generations of the log in one stretch under the lock, so
 *     that what the one shows the other can find (log.h: 6).
 * (2) While a snapshot is open the environment stays open.  When the database is suspect none is opened
 *     (`is_shut`), and the environment waits until all are closed: park() says whether they are.
 * (3) One snapshot that was closed is kept as a spare, because beginning anew is dear.
 *
 * Fault point: lmdb.read. */
#ifndef SFI_LMDB_SNAPSHOT_H
#define SFI_LMDB_SNAPSHOT_H

#include "lmdb/log.h"

struct sfi_snapshots {
    struct sfi_store *store;
    const struct sfi_db *db;
    struct sfi_log *log;
    pthread_mutex_t lock; /* also of the log */
    size_t open;
    struct sfi_lmdb_snapshot *spare;
    int is_shut; /* what the file holds is not known: a write has failed */
};

void sfi_snapshots_init(struct sfi_snapshots *all, struct sfi_store *store, const struct sfi_db *db,
                        struct sfi_log *log);
void sfi_snapshots_fini(struct sfi_snapshots *all);

/* No more are opened until admit(). */
void sfi_snapshots_shut(struct sfi_snapshots *all);
void sfi_snapshots_admit(struct sfi_snapshots *all);
int sfi_snapshots_are_shut(struct sfi_snapshots *all);
/* 0: none is open, and none can be: the environment may be closed; SF_EDISK: some are. */
int sfi_snapshots_park(struct sfi_snapshots *all);

int sfi_lmdb_snapshot_open(struct sfi_snapshots *all, struct sfi_snapshot **out);
void sfi_lmdb_snapshot_close(struct sfi_snapshot *snapshot);
int sfi_lmdb_snapshot_get(struct sfi_snapshot *snapshot, enum sfi_table table, sf_bytes key,
                          sf_bytes *out);
int sfi_lmdb_snapshot_seek(struct sfi_snapshot *snapshot, enum sfi_table table, sf_bytes from,
                           int after, sf_bytes *out_key, sf_bytes *out_value);
int sfi_lmdb_snapshot_walk(struct sfi_snapshot *snapshot, sf_bytes from, int after,
                           sf_bytes *out_key, sf_bytes *out_value);
MDB_txn *sfi_lmdb_snapshot_txn(const struct sfi_snapshot *snapshot);
int sfi_lmdb_snapshot_seek_before(struct sfi_snapshot *snapshot, enum sfi_table table,
                                  sf_bytes before, sf_bytes *out_key, sf_bytes *out_value);

#endif
