/* store.h - the store on disk: who commits, what became of it, and how much room is left.
 *
 *     submit -> settle -> commit.................. on the engine's thread, or handed over (committer.h)
 *                           begin, epoch = N-1?
 *                           changelog: sweep, append   log.h
 *                           the other tables, sorted   writer.h
 *                           epoch N, commit, sync
 *                  <- durable, or stalled
 *
 * A commit that fails before its last call was undone and can be tried again.  One that fails in it is
 * on disk or not, and LMDB's memory of it is worth nothing: the store is suspect.  From then on no
 * snapshot opens; the first settle() that finds none open closes the environment, opens it, syncs,
 * and reads the epoch: ours, then it is durable; the one before, then it is committed again; another,
 * then somebody else wrote here and it is over for good.  The changelog's index is read again too.
 *
 * In relaxed mode LMDB writes a commit's meta page without waiting for it; the next commit waits for
 * its data, and with it for that page.  So epoch N-1 is safe when N is durable, and N after a sync of its
 * own, which comes when nothing else does.
 *
 * Whoever commits holds the database (sfi_committer): the fields under "whoever commits" are his.  The
 * environment is closed and opened by the engine alone, holding it.
 *
 * Fault points: lmdb.begin, lmdb.put, lmdb.commit.before (indeterminate, in truth not committed),
 * lmdb.commit.after (indeterminate, in truth committed), lmdb.reopen, and those of the parts. */
#ifndef SFI_LMDB_STORE_H
#define SFI_LMDB_STORE_H

#include "store/store.h"

struct sfi_lmdb_options {
    uint64_t bytes_max;       /* ceiling of the file */
    uint64_t log_bytes_max;   /* of the changelog */
    uint32_t log_records_max; /* likewise */
    int relaxed;              /* commits wait for the disk once, and may be lost with the power */
    int commit_inline;        /* no thread is started */
    /* Called on the thread that commits: settle() has something to say; or NULL. */
    void (*wake)(void *ctx);
    void *wake_ctx;
};

/* Of a directory's contents, for sfi_dir_open(). */
int sfi_lmdb_judge(int dir_fd);
/* LMDB's number of the transaction that a snapshot sees. */
size_t sfi_lmdb_snapshot_id(const struct sfi_snapshot *snapshot);
/* SF_EINVAL: no database can have that ceiling. */
int sfi_lmdb_check_ceiling(uint64_t bytes_max);
/* In the locked directory `dir` (path) / `dir_fd`; created there if missing. */
int sfi_lmdb_open(const struct sfi_sys *sys, const char *dir, int dir_fd,
                  const struct sfi_lmdb_options *options, struct sfi_store **out);

#endif
