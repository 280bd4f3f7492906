/* check.h - is data.mdb ours, and fit to be mapped?
 *
 * LMDB believes its file: one that is shorter than its pages say kills the process with SIGBUS at the
 * first touch.  So we read it with pread() first.
 *
 * A file may be shorter than its last page number and sound: pages at its end that are free need never
 * have been written.  A short file is therefore only suspect: all pages in use are visited (walk.h), and
 * only a missing one is damage.  A sound short file is extended, so that no page lies past the end.
 *
 * A meta page's last page number may be too small and all else sound.  LMDB takes a meta page back whose write
 * has failed: it writes it again, with the trees of the new transaction, and the last page and the number of the
 * transaction that was there before, in this order.  If the power goes meanwhile, and the disk holds the new
 * meta page and only the former of the two, LMDB would use pages that are in use, or abort.  Nobody was
 * told that the transaction is there, and its pages are, since they are synced first: so the number is mended, to
 * that of the last page that is used or free, if the whole file is sound by that.
 *
 * LMDB believes its pages, too.  A database of up to 16 MiB is walked whole before it is mapped, so that no
 * damage in its structure reaches LMDB; of a larger one the branches are, up to as many pages, which costs
 * no more.  The rest is for whoever asks (sf_verify()), and what is damaged inside of values for their
 * checksums (store/record.h).  To walk all of a large one takes a second for each GiB that lies in
 * memory, and a read at a random place for each page that does not; and to look at a leaf that LMDB has come to
 * is too late, since it has believed what the leaf says by then.
 *
 * Whose file it is must be known before LMDB opens it, since opening writes: into the file, its lock
 * file and the directory.  And it must be known while another program commits to it. */
#ifndef SFI_LMDB_CHECK_H
#define SFI_LMDB_CHECK_H

#include "base/sys.h"
#include "statefun.h"

enum { SFI_LMDB_PAGE_MAX = 1 << 15 }; /* LMDB makes none larger */

/* Reads one value without LMDB and without any change to the directory; others may be writing.  The
 * value lies in `buffer`.  SF_EFOREIGN if the table or the key is not there or not made as ours are;
 * SF_ENOTFOUND, SF_ENEWER, SF_ECORRUPT, SF_EACCESS, SF_EDISK; SF_ELOCKED if others write so fast that
 * nothing can be said. */
int sfi_lmdb_look(int dir_fd, const char *table, sf_bytes key,
                  unsigned char buffer[SFI_LMDB_PAGE_MAX], sf_bytes *out_value);

/* May it be mapped?  Nobody else writes, and the file is ours: it may be extended.  All of the above
 * but SF_ELOCKED, and SF_ENOMEM. */
int sfi_lmdb_check(const struct sfi_sys *sys, int dir_fd);

#endif
