/* disk.h - the files of a data directory, and what a disk's refusal means. */
#ifndef SFI_DIR_DISK_H
#define SFI_DIR_DISK_H

#define SFI_DISK_DATA "data.mdb"
#define SFI_DISK_DATA_NEW "data.mdb.new" /* becomes data.mdb when it is complete */
#define SFI_DISK_LOCK "lock"
#define SFI_DISK_TURN "turn" /* see turn_page.h */
#define SFI_DISK_READERS "lock.mdb" /* LMDB's table of readers */

/* The code and the sentence for an errno met while doing `what` on the file system of `fd`: a full disk
 * is called one, also where LMDB says EIO. */
int sfi_disk_error(int fd, int error, const char *what);

#endif
