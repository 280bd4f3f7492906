#include "lmdb/writer.h"

#include <string.h>

#include "base/err.h"
#include "store/key_order.h"

static int find_last(struct sfi_writer *writer)
{
    MDB_val value;
    int error = mdb_cursor_get(writer->cursor, &writer->last, &value, MDB_LAST);
    writer->is_append = error == MDB_NOTFOUND;
    if (error)
        return writer->is_append ? 0 : sfi_db_error(writer->db, error, "commit to");
    if (writer->last.mv_size > sizeof writer->bytes)
        return sfi_err(SF_ECORRUPT, "commit: a key on disk has %zu bytes", writer->last.mv_size);
    memcpy(writer->bytes, writer->last.mv_data, writer->last.mv_size);
    writer->last.mv_data = writer->bytes;
    return 0;
}

int sfi_writer_open(struct sfi_writer *writer, const struct sfi_db *db, MDB_txn *txn, int table)
{
    writer->db = db;
    int error = mdb_cursor_open(txn, db->tables[table], &writer->cursor);
    if (error)
        return sfi_db_error(db, error, "commit to");
    int rc = find_last(writer);
    if (rc < 0)
        sfi_writer_close(writer);
    return rc;
}

void sfi_writer_close(struct sfi_writer *writer)
{
    mdb_cursor_close(writer->cursor);
}

static int is_beyond(struct sfi_writer *writer, sf_bytes key)
{
    writer->is_append = writer->is_append || sfi_key_compare(sfi_val_bytes(writer->last), key) < 0;
    return writer->is_append;
}

int sfi_writer_put(struct sfi_writer *writer, sf_bytes key, sf_bytes value)
{
    MDB_val at = sfi_val(key), data = sfi_val(value);
    int rc = sfi_db_fault(writer->db->sys, "lmdb.put");
    if (rc < 0)
        return rc;
    int error = mdb_cursor_put(writer->cursor, &at, &data, is_beyond(writer, key) ? MDB_APPEND : 0);
    return error ? sfi_db_error(writer->db, error, "commit to") : 0;
}

int sfi_writer_delete(struct sfi_writer *writer, sf_bytes key)
{
    MDB_val at = sfi_val(key), value;
    int rc = sfi_db_fault(writer->db->sys, "lmdb.put");
    if (rc < 0 || is_beyond(writer, key))
        return rc;
    int error = mdb_cursor_get(writer->cursor, &at, &value, MDB_SET);
    if (!error)
        error = mdb_cursor_del(writer->cursor, 0);
    return error && error != MDB_NOTFOUND ? sfi_db_error(writer->db, error, "commit to") : 0;
}
