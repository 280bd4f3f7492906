#include "lmdb/page.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "dir/disk.h"

#define MAGIC 0xBEEFC0DEu

enum {
    VERSION = 1,
    CONTRADICTION = 1, /* between the two meta pages */
    TRIES_MAX = 100
};

int sfi_page_damaged(size_t page)
{
    return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is damaged: page %zu makes no sense", page);
}

int sfi_page_missing(const struct sfi_page_file *file, size_t page)
{
    return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is truncated: page %zu of %zu is missing", page,
                   file->last_page + 1);
}

static int is_disk_code(int rc)
{
    return rc == SF_EDISK || rc == SF_EACCESS;
}

/* 0, or 1 at the end of the file, or a negative code. */
static int read_at(int fd, void *to, size_t size, uint64_t at)
{
    unsigned char *out = to;
    while (size) {
        ssize_t got = pread(fd, out, size, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sfi_disk_error(fd, errno, "read " SFI_DISK_DATA);
        if (got == 0)
            return 1;
        out += got;
        at += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

/* -- the meta pages --------------------------------------------------------------------------------- */

int sfi_page_open(int dir_fd, int flags)
{
    int fd = openat(dir_fd, SFI_DISK_DATA, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (errno == ELOOP)
        return sfi_err(SF_EACCESS, SFI_DISK_DATA " is a symbolic link");
    if (errno == ENOENT)
        return sfi_err(SF_ENOTFOUND, "there is no " SFI_DISK_DATA);
    return sfi_disk_error(dir_fd, errno, "open " SFI_DISK_DATA);
}

struct meta_page {
    struct sfi_page_head head;
    struct sfi_meta meta;
};

static int read_meta(int fd, uint64_t at, struct sfi_meta *meta)
{
    struct meta_page page;
    int rc = read_at(fd, &page, sizeof page, at);
    if (rc != 0)
        return rc < 0 ? rc : sfi_err(SF_EFOREIGN, SFI_DISK_DATA " is too short to be a database");
    *meta = page.meta;
    if (page.meta.magic != MAGIC || !(page.head.flags & SFI_PAGE_META))
        return sfi_err(SF_EFOREIGN, SFI_DISK_DATA " is not a database");
    if (page.meta.version > VERSION)
        return sfi_err(SF_ENEWER, SFI_DISK_DATA " was written by a newer LMDB (data version %u)",
                       page.meta.version);
    if (page.meta.version != VERSION)
        return sfi_err(SF_EFOREIGN, SFI_DISK_DATA " has the unknown data version %u",
                       page.meta.version);
    return 0;
}

/* Transactions are written to the two pages by turns; a new file has 0 in both. */
static int are_neighbours(size_t first, size_t second)
{
    if (first == 0 && second == 0)
        return 1;
    return first % 2 == 0 && (second == first + 1 || first == second + 1);
}

/* LMDB wants both pages to be sound and takes the newer one. */
static int read_metas(int fd, struct sfi_meta *newest)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    struct sfi_meta first = {0}, second = {0};
    int rc = read_meta(fd, 0, &first);
    if (is_disk_code(rc) || rc == SF_ENEWER)
        return rc;
    if (rc == 0 && first.trees[SFI_TREE_FREE].page_size != page_size)
        return sfi_err(SF_EFOREIGN, SFI_DISK_DATA " has pages of %u bytes, this machine has %zu",
                       first.trees[SFI_TREE_FREE].page_size, page_size);
    int rc_second = read_meta(fd, page_size, &second);
    if (rc_second < 0 && rc == 0 && !is_disk_code(rc_second))
        return sfi_err(SF_ECORRUPT,
                       SFI_DISK_DATA " is damaged: its second meta page makes no sense");
    if (rc < 0 && rc_second == 0)
        return sfi_err(SF_ECORRUPT,
                       SFI_DISK_DATA " is damaged: its first meta page makes no sense");
    if (rc < 0 || rc_second < 0)
        return rc < 0 ? rc : rc_second;
    *newest = second.transaction > first.transaction ? second : first;
    if (!are_neighbours(first.transaction, second.transaction))
        return CONTRADICTION;
    if (newest->trees[SFI_TREE_FREE].page_size != page_size || newest->last_page < SFI_METAS - 1 ||
        newest->last_page >= (uint64_t)INT64_MAX / page_size ||
        newest->last_page >= newest->map_size / page_size)
        return sfi_err(SF_ECORRUPT,
                       SFI_DISK_DATA " is damaged: its newest meta page makes no sense");
    return 0;
}

/* Between the looks at the one and the other somebody may have committed: then they are looked at again. */
int sfi_page_metas(int fd, uint64_t *out_size, struct sfi_meta *newest)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return sfi_disk_error(fd, errno, "look at " SFI_DISK_DATA);
    if (!S_ISREG(info.st_mode))
        return sfi_err(SF_EFOREIGN, SFI_DISK_DATA " is not a regular file");
    if (info.st_size == 0)
        return sfi_err(SF_EFOREIGN, SFI_DISK_DATA " is empty");
    *out_size = (uint64_t)info.st_size;
    int rc = CONTRADICTION;
    for (int i = 0; i < TRIES_MAX && rc == CONTRADICTION; i++)
        rc = read_metas(fd, newest);
    if (rc == CONTRADICTION)
        return sfi_err(SF_ECORRUPT,
                       SFI_DISK_DATA " is damaged: its meta pages contradict each other");
    if (rc == 0 && *out_size < SFI_METAS * (uint64_t)newest->trees[SFI_TREE_FREE].page_size)
        return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is truncated in its second page");
    return rc;
}

int sfi_page_meta_of(int fd, size_t transaction, uint64_t *out_size, struct sfi_meta *out)
{
    int rc = sfi_page_metas(fd, out_size, out);
    if (rc < 0 || out->transaction == transaction)
        return rc;
    size_t page_size = out->trees[SFI_TREE_FREE].page_size;
    rc = read_meta(fd, transaction % 2 * page_size, out);
    if (rc < 0)
        return rc;
    return out->transaction == transaction
               ? 0
               : sfi_err(SF_EAGAIN, "others commit faster than can be looked at " SFI_DISK_DATA);
}

int sfi_page_set_last(int fd, const struct sfi_meta *meta)
{
    size_t page = meta->transaction % 2 * meta->trees[SFI_TREE_FREE].page_size;
    size_t at = page + offsetof(struct meta_page, meta) + offsetof(struct sfi_meta, last_page);
    errno = 0;
    if (pwrite(fd, &meta->last_page, sizeof meta->last_page, (off_t)at) ==
        (ssize_t)sizeof meta->last_page)
        return 0;
    return sfi_disk_error(fd, errno ? errno : EIO, "mend " SFI_DISK_DATA);
}

int sfi_page_take_back(int fd, size_t transaction)
{
    struct sfi_meta meta;
    uint64_t size;
    int rc = sfi_page_meta_of(fd, transaction, &size, &meta);
    if (rc < 0 || transaction == 0)
        return rc;
    size_t page = (transaction + 1) % 2 * meta.trees[SFI_TREE_FREE].page_size;
    meta.transaction = transaction - 1;
    errno = 0;
    if (pwrite(fd, &meta, sizeof meta, (off_t)(page + offsetof(struct meta_page, meta))) ==
        (ssize_t)sizeof meta)
        return 0;
    return sfi_disk_error(fd, errno ? errno : EIO, "mend " SFI_DISK_DATA);
}

int sfi_page_is_kept(int fd, const struct sfi_meta *meta)
{
    size_t page_size = meta->trees[SFI_TREE_FREE].page_size;
    struct meta_page page;
    for (uint64_t i = 0; i < SFI_METAS; i++)
        if (pread(fd, &page, sizeof page, (off_t)(i * page_size)) == (ssize_t)sizeof page &&
            memcmp(&page.meta, meta, sizeof page.meta) == 0)
            return 1;
    return 0;
}

struct sfi_page_file sfi_page_file(int fd, uint64_t size, const struct sfi_meta *meta)
{
    size_t page_size = meta->trees[SFI_TREE_FREE].page_size, pages = (size_t)(size / page_size);
    return (struct sfi_page_file){.fd = fd,
                                  .page_size = page_size,
                                  .last_page = meta->last_page,
                                  .file_pages =
                                      pages <= meta->last_page ? pages : meta->last_page + 1};
}

/* -- pages and nodes -------------------------------------------------------------------------------- */

int sfi_page_read(const struct sfi_page_file *file, void *to, size_t size, uint64_t at)
{
    int rc = read_at(file->fd, to, size, at);
    return rc > 0 ? sfi_page_missing(file, (size_t)(at / file->page_size)) : rc;
}

int sfi_page_load(const struct sfi_page_file *file, size_t page, unsigned char *buffer,
                  struct sfi_page_head *head)
{
    if (page < SFI_METAS || page > file->last_page)
        return sfi_page_damaged(page);
    int rc = sfi_page_read(file, buffer, file->page_size, (uint64_t)page * file->page_size);
    if (rc < 0)
        return rc;
    memcpy(head, buffer, sizeof *head);
    int is_tree = head->flags == SFI_PAGE_BRANCH || head->flags == SFI_PAGE_LEAF;
    return head->number != page || !is_tree ? sfi_page_damaged(page) : 0;
}

int sfi_page_count(const struct sfi_page_file *file, const struct sfi_page_head *head)
{
    size_t end = head->lower;
    if (end < sizeof *head || end > head->upper || head->upper > file->page_size || end % 2)
        return sfi_page_damaged(head->number);
    return (int)((end - sizeof *head) / 2);
}

int sfi_page_node(const struct sfi_page_file *file, const unsigned char *buffer,
                  const struct sfi_page_head *head, int index, struct sfi_node *out)
{
    uint16_t offset, fields[4]; /* low, high, flags, key size */
    memcpy(&offset, buffer + sizeof *head + 2 * (size_t)index, sizeof offset);
    if (offset < head->upper || offset % 2 || offset > file->page_size - SFI_NODE_HEAD)
        return sfi_page_damaged(head->number);
    memcpy(fields, buffer + offset, SFI_NODE_HEAD);
    const unsigned char *key = buffer + offset + SFI_NODE_HEAD;
    size_t room = file->page_size - offset - SFI_NODE_HEAD;
    if (fields[3] > room)
        return sfi_page_damaged(head->number);
    *out = (struct sfi_node){fields[0], fields[1], fields[2], SF_BYTES(key, fields[3]),
                             SF_BYTES(key + fields[3], room - fields[3])};
    return 0;
}

size_t sfi_node_child(const struct sfi_node *node)
{
    uint64_t child = node->low | (uint64_t)node->high << 16;
    if (sizeof(size_t) > 4)
        child |= (uint64_t)node->flags << 32;
    return (size_t)child;
}

size_t sfi_node_size(const struct sfi_node *node)
{
    return node->low | (size_t)node->high << 16;
}

int sfi_page_run(const struct sfi_page_file *file, size_t page, uint32_t *out_count)
{
    struct sfi_page_head head;
    int rc = sfi_page_read(file, &head, sizeof head, (uint64_t)page * file->page_size);
    if (rc < 0)
        return rc;
    memcpy(out_count, &head.lower, sizeof *out_count);
    return head.number != page || head.flags != SFI_PAGE_OVERFLOW || *out_count == 0
               ? sfi_page_damaged(page)
               : 0;
}
