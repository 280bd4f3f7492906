#include "dir/disk.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/err.h"
#include "statefun.h"

enum { FULL_BYTES = 1 << 20 }; /* with less than this free, a disk that fails is a full disk */

static int disk_is_full(int fd)
{
    struct statvfs disk;
    return fstatvfs(fd, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < FULL_BYTES;
}

int sfi_disk_error(int fd, int error, const char *what)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
        return sfi_err(SF_ENOMEM, "%s: out of file descriptors", what);
    case ENOMEM:
        return sfi_err(SF_ENOMEM, "%s: out of memory", what);
    case EACCES:
    case EPERM:
    case EROFS:
        return sfi_err(SF_EACCESS, "%s: %s", what, strerror(error));
    case ENOSPC:
    case EDQUOT:
        return sfi_err(SF_EDISK, "%s: the disk is full", what);
    case EIO: /* a write cut short by a full disk is reported by LMDB like this */
        if (disk_is_full(fd))
            return sfi_err(SF_EDISK, "%s: the disk is full", what);
        break;
    default:
        break;
    }
    return sfi_err(SF_EDISK, "%s: %s", what, strerror(error));
}
