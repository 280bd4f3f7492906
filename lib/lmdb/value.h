/* value.h - is what LMDB hands out as long as it says?
 *
 * LMDB takes a value's size from the page that has the value, without a look at where it ends.  Of a damaged
 * page the size may be anything, and whoever reads that much dies by a signal.  So every value that
 * comes from LMDB passes here before a byte of it is read:
 *
 * (1) A value inside of a tree's page ends with that page.
 * (2) A value on pages of its own starts past the head of the first one, and that says how many there
 *     are.  They end before the database does, and the file is never shorter (check.h).
 *
 * For values read from the map: by a snapshot, or in a transaction before it writes to their table. */
#ifndef SFI_LMDB_VALUE_H
#define SFI_LMDB_VALUE_H

#include "lmdb/db.h"

/* 0 with `*out`, or SF_ECORRUPT. */
int sfi_value_bytes(const struct sfi_db *db, MDB_val value, sf_bytes *out);

#endif
