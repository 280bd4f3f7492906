/* format.h - the record that says what a database is: row 00 of table meta.
 *
 *     8  "SFDB", format:4, epoch:8, then since format 3 rows:8 of each table of db.h, in order
 *
 * (1) Written by every transaction that writes anything, so the epoch and the rows are those of one
 *     moment.
 * (2) The rows of a table are those that LMDB counts, which follow what a transaction puts and deletes: a
 *     transaction reads the record, counts the tables that it changed, writes the record.  Nothing of it
 *     is kept in memory, so retries, sweeps, trims and the upgrade cannot make it wrong.
 * (3) LMDB's own count stands in a page without a checksum.  Opening compares the two: a table with fewer
 *     rows than were counted has lost some (upgrade.h opens what has no counts).  One with more has lost
 *     nothing.  That the count of a table is that of its leaves, lmdb/walk.h finds out.
 * (4) Rows of table state are counted as they lie in the table, not as a reader sees them through the
 *     changelog: what an epoch puts into the log, nobody knows to be new without reading the table, which is
 *     what the log is there to avoid.  Not counted by type for the same reason, and since it would be a
 *     counter for each of many thousand types in every commit.  So table and log are each exact, and a
 *     lost row of either is missed. */
#ifndef SFI_LMDB_FORMAT_H
#define SFI_LMDB_FORMAT_H

#include "lmdb/db.h"

enum {
    SFI_FORMAT = 3,        /* what this library writes, */
    SFI_FORMAT_OLDEST = 2, /* and the oldest that it carries over */
    SFI_FORMAT_BYTES_MAX = 8 + 16 + 8 * SFI_DB_TABLES
};

struct sfi_format {
    uint32_t number;
    uint64_t epoch;
    uint64_t rows[SFI_DB_TABLES]; /* 0 before format 3 */
};

/* The key of the record. */
sf_bytes sfi_format_key(void);
/* SF_EFOREIGN: not ours, or older than any that can be read; SF_ENEWER, SF_ECORRUPT. */
int sfi_format_parse(sf_bytes record, struct sfi_format *out);

/* Both within a transaction; db->tables[SFI_META] is open.  Reading: as parse(). */
int sfi_format_read(const struct sfi_db *db, MDB_txn *txn, struct sfi_format *out);
/* Returns LMDB's code.  Writes `format->number` as SFI_FORMAT. */
int sfi_format_write(const struct sfi_db *db, MDB_txn *txn, const struct sfi_format *format);

/* Counts a table that the transaction may have changed.  Returns LMDB's code. */
int sfi_format_count(const struct sfi_db *db, MDB_txn *txn, int table, struct sfi_format *format);
/* Has every table all of its rows?  SF_ECORRUPT. */
int sfi_format_check(const struct sfi_db *db, MDB_txn *txn, const struct sfi_format *format);

#endif
