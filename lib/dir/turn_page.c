#include "dir/turn_page.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dir/disk.h"

#define MAGIC UINT64_C(0x31306e7275746673) /* "sfturn01" */

/* 1: the file has a page; 0: it cannot be given one. */
static int has_page(int fd)
{
    static const unsigned char zeroes[SFI_TURN_PAGE_BYTES];
    struct stat info;
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
        return 0;
    return info.st_size >= SFI_TURN_PAGE_BYTES ||
           pwrite(fd, zeroes, sizeof zeroes, 0) == (ssize_t)sizeof zeroes;
}

static struct sfi_turn_page *map(int dir_fd)
{
    enum { FLAGS = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };
    int fd = openat(dir_fd, SFI_DISK_TURN, FLAGS, 0600);
    if (fd < 0)
        return NULL;
    void *page = MAP_FAILED;
    if (has_page(fd))
        page = mmap(NULL, SFI_TURN_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return page == MAP_FAILED ? NULL : page;
}

struct sfi_turn_page *sfi_turn_page_open(int dir_fd, struct sfi_turn_page *own)
{
    struct sfi_turn_page *page = dir_fd < 0 ? NULL : map(dir_fd);
    if (!page) {
        page = own;
        page->magic = 0;
    }
    if (page->magic != MAGIC) {
        memset(page, 0, sizeof *page);
        page->magic = MAGIC;
    }
    return page;
}

void sfi_turn_page_close(struct sfi_turn_page *page, const struct sfi_turn_page *own)
{
    if (page && page != own)
        munmap(page, SFI_TURN_PAGE_BYTES);
}
