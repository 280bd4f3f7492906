#include "lmdb/upgrade.h"

#include "lmdb/format.h"

static const char what[] = "carry over to a newer format";

static int open_tables(struct sfi_db *db, MDB_txn *txn)
{
    int rc = 0;
    for (int i = 0; i < SFI_DB_TABLES && rc == 0; i++)
        rc = sfi_db_open_table(db, txn, i, i >= SFI_ENTRY && i < SFI_TABLES);
    return rc;
}

static int write_format(struct sfi_db *db, MDB_txn *txn)
{
    struct sfi_format format;
    int error = 0, rc = sfi_format_read(db, txn, &format);
    for (int i = 0; i < SFI_DB_TABLES && !error && rc == 0; i++)
        error = sfi_format_count(db, txn, i, &format);
    if (!error && rc == 0)
        error = sfi_format_write(db, txn, &format);
    return error ? sfi_db_error(db, error, what) : rc;
}

static int commit(struct sfi_db *db, MDB_txn *txn)
{
    int rc = sfi_db_fault(db->sys, "lmdb.upgrade.before");
    if (rc < 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    int error = mdb_txn_commit(txn);
    return error ? sfi_db_error(db, error, what) : sfi_db_fault(db->sys, "lmdb.upgrade.after");
}

int sfi_upgrade(struct sfi_db *db)
{
    MDB_txn *txn;
    int rc = sfi_db_fault(db->sys, "lmdb.upgrade");
    if (rc < 0)
        return rc;
    int error = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (error)
        return sfi_db_error(db, error, what);
    rc = open_tables(db, txn);
    if (rc == 0)
        rc = write_format(db, txn);
    if (rc == 0)
        return commit(db, txn);
    mdb_txn_abort(txn);
    return rc;
}
