/* dir.h - the data directory: made, judged, locked.
 *
 * (1) A directory is open once: a lock on the directory itself and one on the file "lock" in it keep other
 *     processes out, also when somebody removes that file or the file system locks no directories; a list of
 *     what this process has open keeps the process itself out, whatever the file system makes of
 *     locks.
 * (2) A directory that is refused is left as it was: "lock" is made when its contents have been judged.
 *     One that is there already is locked before that, so that nobody's open database is judged.
 * (3) After fork() the child holds neither the lock nor a usable directory: its `forked` is 1.  The
 *     child may live on without keeping the parent's directory locked after the parent's death.
 *
 * The list is the one global that threads share: both rules are about the process, not about a runtime.
 * The struct must not move while it is open. */
#ifndef SFI_DIR_DIR_H
#define SFI_DIR_DIR_H

#include <stdint.h>
#include <sys/types.h>

struct sfi_dir {
    int fd, lock_fd;
    uint64_t device, inode;
    pid_t pid;
    int forked;
    int inspects; /* is only looked into */
    struct sfi_dir *next; /* in the list of open directories */
};

/* Is what lies in the directory a database of ours?  Reads only, and others may be writing.  SF_EFOREIGN,
 * SF_ENEWER, SF_ECORRUPT, SF_ENOTFOUND, SF_EACCESS, SF_EDISK, SF_ELOCKED. */
typedef int sfi_dir_judge(int dir_fd);

/* `must_exist`: nothing is made, and there must be a database.  SF_EINVAL, SF_ENOTFOUND, SF_ELOCKED,
 * SF_EACCESS, SF_EFOREIGN, SF_ENEWER, SF_ECORRUPT, SF_EDISK, SF_ENOMEM; then `dir` needs no close. */
int sfi_dir_open(struct sfi_dir *dir, const char *path, int must_exist, sfi_dir_judge *judge);
/* To look into a database without opening it, whoever has it open.
 *   0  nobody has, and nobody can until `dir` is closed; or it is open in this process: `*here` is what it
 *      was opened with, and NULL else
 *   1  another process has it open
 * Else as sfi_dir_open(); then `dir` needs no close.  Nothing is judged, and nothing made. */
int sfi_dir_inspect(struct sfi_dir *dir, const char *path, const struct sfi_dir **here);
void sfi_dir_close(struct sfi_dir *dir); /* also in a forked child, and again */

static inline int sfi_dir_forked(const struct sfi_dir *dir)
{
    return dir->forked;
}

#endif
