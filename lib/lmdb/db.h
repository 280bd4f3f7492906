/* db.h - LMDB's file: made, opened, synced, closed; and what LMDB's codes mean.
 *
 *     DIR/data.mdb   the named tables of store.h and the changelog.  `meta` holds the format
 *                    and the epoch, written by every commit with what it commits (format.h).
 *     DIR/lock.mdb   LMDB's own; opened by us only while no environment is, since closing it would drop
 *                    LMDB's locks
 *
 * (1) A name is never a half-made database: it is made complete in data.mdb.new, synced, renamed.
 * (2) Nothing read after open leaves this room before the meta pages were written back and a forced sync
 *     succeeded: what the page cache holds may be an epoch whose commit was reported as failed.
 * (3) LMDB's defaults are kept: every commit is synced before it returns.  MDB_NOTLS is added, so that a
 *     snapshot belongs to no thread; in relaxed mode MDB_NOMETASYNC, so that a commit waits for the disk
 *     once and not twice: the newest epoch may be lost with the power, the file stays sound.
 * (4) What is not ours is not opened by LMDB and not written to, however LMDB is asked to open it: its
 *     owner may be committing, and a meta page that is written back would undo a commit.
 *
 * (5) Before anything is read a write transaction was begun and given up: what LMDB reads is then the newest
 *     commit also where its owner was killed beside another process that has the environment open.
 *
 * (6) Of one open the file stays one and the same, also when it is opened anew (same_file.h).
 *
 * LMDB's own memory does not come from the sfi_sys.  Fault points here: lmdb.create, lmdb.rename,
 * lmdb.metas, lmdb.sync. */
#ifndef SFI_LMDB_DB_H
#define SFI_LMDB_DB_H

#include <lmdb.h>

#include "lmdb/same_file.h"
#include "store/store.h"

enum { SFI_DB_LOG = SFI_TABLES, SFI_DB_TABLES };

struct sfi_db {
    const struct sfi_sys *sys;
    char *name; /* of the directory, as the user called it; ours */
    char *path; /* the same, for as long as it is open; ours */
    int dir_fd;
    int relaxed;
    uint64_t bytes_max;
    struct sfi_same_file file;
    MDB_env *env; /* NULL: closed */
    MDB_dbi tables[SFI_DB_TABLES];
};

/* Is there a database of this library and this format?  Reads only, and others may be writing.
 * SF_EFOREIGN, SF_ENEWER, SF_ECORRUPT, SF_ENOTFOUND, SF_EACCESS, SF_EDISK, SF_ELOCKED. */
int sfi_db_judge(int dir_fd);

/* Opens the database in the directory, made if missing, carried over if it is of an older format, and reads its
 * epoch.  `db` has `sys`, `dir_fd`,
 * `relaxed` and `bytes_max` set; fini() is due in any case. */
int sfi_db_init(struct sfi_db *db, const char *dir, uint64_t *out_epoch);
void sfi_db_fini(struct sfi_db *db);

/* Again, after sfi_db_close(). */
int sfi_db_open(struct sfi_db *db, uint64_t *out_epoch);
void sfi_db_close(struct sfi_db *db);
int sfi_db_sync(const struct sfi_db *db);
/* Is it still the file at its name?  0, SF_ECORRUPT, or why that cannot be said. */
int sfi_db_is_there(struct sfi_db *db);

const char *sfi_db_table_name(int table); /* below SFI_DB_TABLES */

/* Within a transaction; `is_made`: if it is missing.  SF_EFOREIGN: there is none, or none of ours. */
int sfi_db_open_table(struct sfi_db *db, MDB_txn *txn, int table, int is_made);

/* The number of the table with that name; -1: none of ours. */
int sfi_db_table(sf_bytes name);

/* The code and the sentence for one of LMDB's codes met while doing `what`, a text that the directory's
 * name completes: "commit to". */
int sfi_db_error(const struct sfi_db *db, int error, const char *what);
int sfi_db_fault(const struct sfi_sys *sys, const char *point);

static inline MDB_val sfi_val(sf_bytes bytes)
{
    return (MDB_val){bytes.size, (void *)(uintptr_t)bytes.data};
}

static inline sf_bytes sfi_val_bytes(MDB_val val)
{
    return SF_BYTES(val.mv_data, val.mv_size);
}

#endif
