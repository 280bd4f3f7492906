/* check.h - is data.mdb fit to be mapped?
 *
 * LMDB believes its file: one that is shorter than its pages say kills the process with SIGBUS at the
 * first touch.  So we read it with pread() first.
 *
 * A file may be shorter than its last page number and sound: pages at its end that are free need never
 * have been written.  A short file is therefore only suspect: all pages in use are visited, and only a
 * missing one is damage.  A sound short file is extended, so that no page lies past the end.
 *
 * What is damaged inside whole pages is not found here; records have checksums (store/record.h). */
#ifndef SFI_LMDB_CHECK_H
#define SFI_LMDB_CHECK_H

#include "base/sys.h"

/* The two meta pages only; writes nothing.  SF_EFOREIGN, SF_ENEWER, SF_ECORRUPT, SF_EACCESS, SF_EDISK. */
int sfi_lmdb_check_meta(int dir_fd);

/* All of the above, and SF_ENOMEM. */
int sfi_lmdb_check(const struct sfi_sys *sys, int dir_fd);

#endif
