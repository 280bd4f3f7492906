/* upgrade.h - a database of an older format becomes one of this library's, in one transaction.
 *
 *     2 -> 3   tables entry, timer, async, held, parked, empty; the number of rows of each table
 *
 * (1) Before anything else is read from it, and whole or not at all: until the commit succeeded the
 *     library that wrote the database opens it as before, and from then on that one refuses it as newer.
 * (2) No row is written anew.  Rows of older versions are read for ever (store/record.h), and become newer
 *     ones when they change.
 * (3) It changes no epoch, so in relaxed mode it may be lost with the power, and is done again.
 *
 * Fault points: lmdb.upgrade (nothing is written), lmdb.upgrade.before and .after (the commit). */
#ifndef SFI_LMDB_UPGRADE_H
#define SFI_LMDB_UPGRADE_H

#include "lmdb/db.h"

/* The environment is open and no table is.  SF_EDISK: there is no room for it, or the disk refuses. */
int sfi_upgrade(struct sfi_db *db);

#endif
