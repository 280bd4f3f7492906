#include "lmdb/format.h"

#include <string.h>

#include "base/endian.h"
#include "base/err.h"
#include "lmdb/value.h"
#include "store/record.h"

enum { NUMBERS_BYTES = 16 /* magic:4 format:4 epoch:8 */ };

static const char magic[4] = {'S', 'F', 'D', 'B'};
static const unsigned char key_bytes[1] = {0};

sf_bytes sfi_format_key(void)
{
    return SF_BYTES(key_bytes, sizeof key_bytes);
}

/* -- the record ------------------------------------------------------------------------------------- */

static size_t record_size(uint32_t format)
{
    return SFI_RECORD_HEADER + NUMBERS_BYTES + (format < 3 ? 0 : 8 * (size_t)SFI_DB_TABLES);
}

static int check_number(uint32_t format)
{
    if (format > SFI_FORMAT)
        return sfi_err(SF_ENEWER, "the database has format %u, this library knows up to %d", format,
                       SFI_FORMAT);
    if (format < SFI_FORMAT_OLDEST)
        return sfi_err(SF_EFOREIGN,
                       "the database has format %u, from before the first release; "
                       "this library reads %d to %d",
                       format, SFI_FORMAT_OLDEST, SFI_FORMAT);
    return 0;
}

int sfi_format_parse(sf_bytes record, struct sfi_format *out)
{
    const unsigned char *at = (const unsigned char *)record.data + SFI_RECORD_HEADER;
    sf_bytes payload;
    if (record.size < SFI_RECORD_HEADER + NUMBERS_BYTES || memcmp(at, magic, sizeof magic) != 0)
        return sfi_err(SF_EFOREIGN, "the database was not made by this library");
    int rc = sfi_record_open(record, sfi_format_key(), SFI_RECORD_FORMAT, &payload);
    if (rc < 0)
        return sfi_err_in(rc, "the record of the database's format");
    *out = (struct sfi_format){.number = sfi_le32_get(at + 4), .epoch = sfi_le64_get(at + 8)};
    rc = check_number(out->number);
    if (rc < 0)
        return rc;
    if (record.size != record_size(out->number))
        return sfi_err(SF_ECORRUPT, "the record of the database's format makes no sense");
    for (int i = 0; out->number >= 3 && i < SFI_DB_TABLES; i++)
        out->rows[i] = sfi_le64_get(at + NUMBERS_BYTES + 8 * i);
    return 0;
}

int sfi_format_read(const struct sfi_db *db, MDB_txn *txn, struct sfi_format *out)
{
    MDB_val key = sfi_val(sfi_format_key()), value;
    sf_bytes record;
    int error = mdb_get(txn, db->tables[SFI_META], &key, &value);
    if (error == MDB_NOTFOUND)
        return sfi_err(SF_EFOREIGN, "the database was not made by this library");
    if (error)
        return sfi_db_error(db, error, "read the epoch of");
    int rc = sfi_value_bytes(db, value, &record);
    return rc == 0 ? sfi_format_parse(record, out) : rc;
}

int sfi_format_write(const struct sfi_db *db, MDB_txn *txn, const struct sfi_format *format)
{
    unsigned char record[SFI_FORMAT_BYTES_MAX], *at = record + SFI_RECORD_HEADER;
    MDB_val key = sfi_val(sfi_format_key()), value = {record_size(SFI_FORMAT), record};
    memcpy(at, magic, sizeof magic);
    sfi_le32_put(at + 4, SFI_FORMAT);
    sfi_le64_put(at + 8, format->epoch);
    for (int i = 0; i < SFI_DB_TABLES; i++)
        sfi_le64_put(at + NUMBERS_BYTES + 8 * i, format->rows[i]);
    sfi_record_finish(record, value.mv_size, SFI_RECORD_FORMAT, sfi_format_key());
    return mdb_put(txn, db->tables[SFI_META], &key, &value, 0);
}

/* -- rows ------------------------------------------------------------------------------------------- */

int sfi_format_count(const struct sfi_db *db, MDB_txn *txn, int table, struct sfi_format *format)
{
    MDB_stat stat;
    int error = mdb_stat(txn, db->tables[table], &stat);
    if (!error)
        format->rows[table] = stat.ms_entries;
    return error;
}

int sfi_format_check(const struct sfi_db *db, MDB_txn *txn, const struct sfi_format *format)
{
    struct sfi_format found = *format;
    for (int i = 0; i < SFI_DB_TABLES; i++) {
        int error = sfi_format_count(db, txn, i, &found);
        if (error)
            return sfi_db_error(db, error, "count the rows of");
        if (found.rows[i] < format->rows[i])
            return sfi_err(SF_ECORRUPT, "the table '%s' has %llu rows where %llu were counted",
                           sfi_db_table_name(i), (unsigned long long)found.rows[i],
                           (unsigned long long)format->rows[i]);
    }
    return 0;
}
