/* The layouts, as read in mdb.c of LMDB 0.9.24 (data version 1; MDB_page, MDB_meta, MDB_db, MDB_node).
 * Everything is in the machine's own byte order and word size; W is 8 bytes on a 64-bit machine.
 *
 *   page     W number, u16 unused, u16 flags, then u16 lower and u16 upper, or the u32 count of a run of
 *            overflow pages; then u16 offsets of nodes, (lower - head) / 2 of them
 *   meta     a page 0 or 1 whose content is: u32 magic, u32 version, W address, W map size, two trees
 *            (free pages, then the main tree of names), W last page, W transaction.  The page size is
 *            the first tree's first field.  The greater transaction counts.
 *   tree     u32 unused, u16 flags, u16 depth, W branch pages, W leaf pages, W overflow pages,
 *            W entries, W root page (all ones: empty)
 *   node     u16 low, u16 high, u16 flags, u16 key size, key, data.  In a branch, low, high and (64-bit)
 *            flags are the child's page number; in a leaf, low and high are the data's size, and flags
 *            tell whether the data is the number of an overflow page (1) or a tree (2).
 *
 * Every page in use is referenced exactly once, so a walk that meets more references than there are
 * pages has met a loop. */
#include "lmdb/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "lmdb/disk.h"
#include "statefun.h"

#define MAGIC 0xBEEFC0DEu
#define NO_PAGE SIZE_MAX

enum { VERSION = 1, METAS = 2, FREE = 0, TREES = 2 };
enum {
    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    PAGE_OVERFLOW = 4,
    PAGE_META = 8,
    PAGE_KIND = 15,
    PAGE_LEAF2 = 32
};
enum { NODE_BIG = 1, NODE_TREE = 2, NODE_HEAD = 8 };

struct head {
    size_t number;
    uint16_t unused, flags, lower, upper;
};

struct tree {
    uint32_t page_size;
    uint16_t flags, depth;
    size_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

struct meta {
    uint32_t magic, version;
    void *address;
    size_t map_size;
    struct tree trees[TREES];
    size_t last_page, transaction;
};

struct walk {
    const struct sfi_sys *sys;
    int fd;
    size_t page_size, last_page, file_pages;
    size_t met;      /* pages referenced so far */
    size_t *waiting; /* pages to visit */
    size_t count, capacity;
    unsigned char *page;
};

static int damaged(size_t page)
{
    return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is damaged: page %zu makes no sense", page);
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

static int open_data(int dir_fd, int flags)
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

static int read_meta(int fd, uint64_t at, struct meta *meta)
{
    struct {
        struct head head;
        struct meta meta;
    } page;
    int rc = read_at(fd, &page, sizeof page, at);
    if (rc != 0)
        return rc < 0 ? rc : sfi_err(SF_EFOREIGN, SFI_DISK_DATA " is too short to be a database");
    *meta = page.meta;
    if (page.meta.magic != MAGIC || !(page.head.flags & PAGE_META))
        return sfi_err(SF_EFOREIGN, SFI_DISK_DATA " is not a database");
    if (page.meta.version > VERSION)
        return sfi_err(SF_ENEWER, SFI_DISK_DATA " was written by a newer LMDB (data version %u)",
                       page.meta.version);
    if (page.meta.version != VERSION)
        return sfi_err(SF_EFOREIGN, SFI_DISK_DATA " has the unknown data version %u",
                       page.meta.version);
    return 0;
}

/* LMDB wants both pages to be sound and takes the newer one. */
static int read_metas(int fd, struct meta *newest)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    struct meta first = {0}, second = {0};
    int rc = read_meta(fd, 0, &first);
    if (is_disk_code(rc) || rc == SF_ENEWER)
        return rc;
    if (rc == 0 && first.trees[FREE].page_size != page_size)
        return sfi_err(SF_EFOREIGN, SFI_DISK_DATA " has pages of %u bytes, this machine has %zu",
                       first.trees[FREE].page_size, page_size);
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
    if (newest->trees[FREE].page_size != page_size || newest->last_page < METAS - 1 ||
        newest->last_page >= (uint64_t)INT64_MAX / page_size)
        return sfi_err(SF_ECORRUPT,
                       SFI_DISK_DATA " is damaged: its newest meta page makes no sense");
    return 0;
}

static int check_file(int fd, uint64_t *out_size, struct meta *newest)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return sfi_disk_error(fd, errno, "look at " SFI_DISK_DATA);
    if (!S_ISREG(info.st_mode))
        return sfi_err(SF_EFOREIGN, SFI_DISK_DATA " is not a regular file");
    if (info.st_size == 0)
        return sfi_err(SF_EFOREIGN, SFI_DISK_DATA " is empty");
    *out_size = (uint64_t)info.st_size;
    int rc = read_metas(fd, newest);
    if (rc == 0 && *out_size < METAS * (uint64_t)newest->trees[FREE].page_size)
        return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is truncated in its second page");
    return rc;
}

/* -- the pages in use ------------------------------------------------------------------------------- */

static int missing(const struct walk *walk, size_t page)
{
    return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is truncated: page %zu of %zu is missing", page,
                   walk->last_page + 1);
}

/* A reference to `count` pages. */
static int meet(struct walk *walk, size_t page, size_t count)
{
    if (page < METAS || page > walk->last_page || count == 0 || count > walk->last_page - page + 1)
        return damaged(page);
    walk->met += count;
    if (walk->met > walk->last_page + 1)
        return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is damaged: a page is used twice");
    return page + count > walk->file_pages ? missing(walk, page + count - 1) : 0;
}

static int visit_later(struct walk *walk, size_t page)
{
    if (walk->count == walk->capacity) {
        size_t capacity = walk->capacity ? walk->capacity * 2 : 1024;
        size_t *waiting = sfi_resize(walk->sys, walk->waiting, capacity * sizeof *waiting);
        if (!waiting)
            return sfi_err(SF_ENOMEM, "out of memory");
        walk->waiting = waiting;
        walk->capacity = capacity;
    }
    walk->waiting[walk->count++] = page;
    return 0;
}

static int meet_tree(struct walk *walk, const struct tree *tree)
{
    if (tree->root == NO_PAGE)
        return 0;
    int rc = meet(walk, tree->root, 1);
    return rc < 0 ? rc : visit_later(walk, tree->root);
}

static int meet_overflow(struct walk *walk, size_t page)
{
    struct head head;
    uint32_t count;
    int rc = meet(walk, page, 1);
    if (rc == 0)
        rc = read_at(walk->fd, &head, sizeof head, (uint64_t)page * walk->page_size);
    if (rc != 0)
        return rc < 0 ? rc : missing(walk, page);
    memcpy(&count, &head.lower, sizeof count);
    if (head.number != page || (head.flags & PAGE_KIND) != PAGE_OVERFLOW || count == 0)
        return damaged(page);
    return count == 1 ? 0 : meet(walk, page + 1, count - 1);
}

static int visit_leaf_node(struct walk *walk, size_t page, const unsigned char *node, size_t room)
{
    uint16_t fields[4]; /* low, high, flags, key size */
    struct tree tree;
    size_t overflow;
    memcpy(fields, node, NODE_HEAD);
    size_t key_end = NODE_HEAD + (size_t)fields[3];
    if (fields[2] & NODE_TREE) {
        if (room < key_end + sizeof tree)
            return damaged(page);
        memcpy(&tree, node + key_end, sizeof tree);
        return meet_tree(walk, &tree);
    }
    if (!(fields[2] & NODE_BIG))
        return 0;
    if (room < key_end + sizeof overflow)
        return damaged(page);
    memcpy(&overflow, node + key_end, sizeof overflow);
    return meet_overflow(walk, overflow);
}

static int visit_branch_node(struct walk *walk, const unsigned char *node)
{
    uint16_t fields[3]; /* low, high, flags */
    memcpy(fields, node, sizeof fields);
    uint64_t child = fields[0] | (uint64_t)fields[1] << 16;
    if (sizeof(size_t) > 4)
        child |= (uint64_t)fields[2] << 32;
    int rc = meet(walk, (size_t)child, 1);
    return rc < 0 ? rc : visit_later(walk, (size_t)child);
}

static int visit_nodes(struct walk *walk, size_t page, const struct head *head)
{
    size_t end = head->lower;
    if (end < sizeof *head || end > walk->page_size || end % 2)
        return damaged(page);
    for (size_t at = sizeof *head; at < end; at += 2) {
        uint16_t offset;
        memcpy(&offset, walk->page + at, sizeof offset);
        if (offset < end || offset > walk->page_size - NODE_HEAD)
            return damaged(page);
        const unsigned char *node = walk->page + offset;
        int rc = (head->flags & PAGE_LEAF)
                     ? visit_leaf_node(walk, page, node, walk->page_size - offset)
                     : visit_branch_node(walk, node);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int visit(struct walk *walk, size_t page)
{
    struct head head;
    int rc = read_at(walk->fd, walk->page, walk->page_size, (uint64_t)page * walk->page_size);
    if (rc != 0)
        return rc < 0 ? rc : missing(walk, page);
    memcpy(&head, walk->page, sizeof head);
    int kind = head.flags & PAGE_KIND;
    if (head.number != page || (kind != PAGE_BRANCH && kind != PAGE_LEAF))
        return damaged(page);
    if (head.flags & PAGE_LEAF2) /* fixed-size values without nodes; none of ours */
        return 0;
    return visit_nodes(walk, page, &head);
}

static int walk_all(struct walk *walk, const struct meta *meta)
{
    int rc = 0;
    walk->met = METAS;
    walk->page = sfi_alloc(walk->sys, walk->page_size);
    if (!walk->page)
        return sfi_err(SF_ENOMEM, "out of memory");
    for (int i = 0; i < TREES && rc == 0; i++)
        rc = meet_tree(walk, &meta->trees[i]);
    while (rc == 0 && walk->count)
        rc = visit(walk, walk->waiting[--walk->count]);
    sfi_free(walk->sys, walk->waiting);
    sfi_free(walk->sys, walk->page);
    return rc;
}

/* -- the whole -------------------------------------------------------------------------------------- */

static int extend(int dir_fd, uint64_t size)
{
    int fd = open_data(dir_fd, O_RDWR);
    if (fd < 0)
        return fd;
    int rc =
        ftruncate(fd, (off_t)size) < 0 ? sfi_disk_error(dir_fd, errno, "extend " SFI_DISK_DATA) : 0;
    close(fd);
    return rc;
}

int sfi_lmdb_check_meta(int dir_fd)
{
    struct meta meta;
    uint64_t size;
    int fd = open_data(dir_fd, O_RDONLY);
    if (fd < 0)
        return fd;
    int rc = check_file(fd, &size, &meta);
    close(fd);
    return rc;
}

int sfi_lmdb_check(const struct sfi_sys *sys, int dir_fd)
{
    struct meta meta;
    uint64_t size, needed = 0;
    int fd = open_data(dir_fd, O_RDONLY);
    if (fd < 0)
        return fd;
    int rc = check_file(fd, &size, &meta);
    if (rc == 0)
        needed = ((uint64_t)meta.last_page + 1) * meta.trees[FREE].page_size;
    int is_short = rc == 0 && size < needed;
    if (is_short) {
        struct walk walk = {.sys = sys,
                            .fd = fd,
                            .page_size = meta.trees[FREE].page_size,
                            .last_page = meta.last_page,
                            .file_pages = (size_t)(size / meta.trees[FREE].page_size)};
        rc = walk_all(&walk, &meta);
    }
    close(fd);
    return rc == 0 && is_short ? extend(dir_fd, needed) : rc;
}
