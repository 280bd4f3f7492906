#include "lmdb/same_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/err.h"
#include "dir/disk.h"
#include "statefun.h"

static int replaced(void)
{
    return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " was replaced by another file while it was open; "
                                "what was acknowledged is in the one that is gone");
}

static int compare(struct sfi_same_file *file, const struct stat *info)
{
    if (file->device != info->st_dev || file->inode != info->st_ino)
        return replaced();
    if ((uint64_t)info->st_size < file->size)
        return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " was cut short while it was open, to %lld bytes",
                       (long long)info->st_size);
    file->size = (uint64_t)info->st_size;
    return 0;
}

int sfi_same_file_know(struct sfi_same_file *file, int fd)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return sfi_disk_error(fd, errno, "look at " SFI_DISK_DATA);
    if (file->inode)
        return compare(file, &info);
    *file = (struct sfi_same_file){info.st_dev, info.st_ino, (uint64_t)info.st_size};
    return 0;
}

int sfi_same_file_check(struct sfi_same_file *file, int dir_fd)
{
    struct stat info;
    if (!file->inode)
        return 0;
    if (fstatat(dir_fd, SFI_DISK_DATA, &info, AT_SYMLINK_NOFOLLOW) == 0)
        return compare(file, &info);
    if (errno == ENOENT)
        return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " was removed or renamed while it was open");
    return sfi_disk_error(dir_fd, errno, "look at " SFI_DISK_DATA);
}
