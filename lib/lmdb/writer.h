/* writer.h - puts and deletes in one table, in rising order of keys, within one transaction.
 *
 * Beyond the table's last key all is appended, which fills pages where LMDB would halve them.  Fault
 * point: lmdb.put. */
#ifndef SFI_LMDB_WRITER_H
#define SFI_LMDB_WRITER_H

#include "lmdb/db.h"

struct sfi_writer {
    const struct sfi_db *db;
    MDB_cursor *cursor;
    int is_append; /* what comes now is greater than all that is there */
    MDB_val last;  /* in `bytes`, since LMDB's own moves with the next write */
    unsigned char bytes[SFI_KEY_MAX];
};

int sfi_writer_open(struct sfi_writer *writer, const struct sfi_db *db, MDB_txn *txn, int table);
void sfi_writer_close(struct sfi_writer *writer);
int sfi_writer_put(struct sfi_writer *writer, sf_bytes key, sf_bytes value);
/* A key that is not there is fine. */
int sfi_writer_delete(struct sfi_writer *writer, sf_bytes key);

#endif
