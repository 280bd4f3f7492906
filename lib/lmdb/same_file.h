/* same_file.h - is the file at the database's name still the one that is open?
 *
 * A file that was removed, renamed or replaced goes on working for whoever has it open, and all that is
 * written to it is lost with the last close.  So before a commit, and once more before its end is told to
 * anybody, the name is looked at: one system call.  A file that has become shorter was cut short by somebody,
 * since LMDB never does that; what is mapped past its end would be a signal.
 *
 * Whoever commits calls these. */
#ifndef SFI_LMDB_SAME_FILE_H
#define SFI_LMDB_SAME_FILE_H

#include <stdint.h>

struct sfi_same_file {
    uint64_t device, inode; /* 0: not known yet */
    uint64_t size;          /* the greatest that was seen */
};

/* The file of that descriptor is the one; if it is known already, it must be the same. */
int sfi_same_file_know(struct sfi_same_file *file, int fd);
/* 0, also if it is not known yet; SF_ECORRUPT: it is gone, another one, or cut short; or why it cannot be
 * looked at. */
int sfi_same_file_check(struct sfi_same_file *file, int dir_fd);

#endif
