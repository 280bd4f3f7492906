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
 *            tell whether the data is the number of an overflow page (1) or a tree (2).  A branch's
 *            first key is empty.
 *
 * A commit writes new pages only, then the meta page that is the older one.  Pages go back into use two
 * commits after the one that freed them, so what a meta page leads to is whole for as long as the meta
 * page itself stays what it is.
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
#include "dir/disk.h"
#include "statefun.h"

#define MAGIC 0xBEEFC0DEu
#define NO_PAGE SIZE_MAX

enum { VERSION = 1, METAS = 2, FREE = 0, MAIN = 1, TREES = 2 };
enum {
    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    PAGE_OVERFLOW = 4,
    PAGE_META = 8,
    PAGE_KIND = 15,
    PAGE_LEAF2 = 32
};
enum { NODE_BIG = 1, NODE_TREE = 2, NODE_HEAD = 8 };
enum { LEVELS_MAX = 32, TRIES_MAX = 1000 };

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

struct node {
    uint16_t low, high, flags;
    sf_bytes key;
    sf_bytes room; /* from the key's end to the page's */
};

struct walk {
    const struct sfi_sys *sys;
    int fd;
    size_t page_size, last_page, file_pages;
    size_t met;      /* pages referenced so far */
    size_t *waiting; /* pages to visit */
    uint32_t count, capacity;
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

struct meta_page {
    struct head head;
    struct meta meta;
};

static int read_meta(int fd, uint64_t at, struct meta *meta)
{
    struct meta_page page;
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
        void *waiting = sfi_grow(walk->sys, walk->waiting, &walk->capacity,
                                 (uint64_t)walk->count + 1, 1024, sizeof *walk->waiting);
        if (!waiting)
            return sfi_err(SF_ENOMEM, "out of memory");
        walk->waiting = waiting;
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

/* The page into the buffer. */
static int load(struct walk *walk, size_t page, struct head *head)
{
    int rc = read_at(walk->fd, walk->page, walk->page_size, (uint64_t)page * walk->page_size);
    if (rc != 0)
        return rc < 0 ? rc : missing(walk, page);
    memcpy(head, walk->page, sizeof *head);
    int kind = head->flags & PAGE_KIND;
    return head->number != page || (kind != PAGE_BRANCH && kind != PAGE_LEAF) ? damaged(page) : 0;
}

/* How many nodes the page in the buffer has. */
static int count_nodes(const struct walk *walk, const struct head *head)
{
    size_t end = head->lower;
    if (end < sizeof *head || end > walk->page_size || end % 2)
        return damaged(head->number);
    return (int)((end - sizeof *head) / 2);
}

static int read_node(const struct walk *walk, const struct head *head, int index, struct node *node)
{
    uint16_t offset, fields[4]; /* low, high, flags, key size */
    memcpy(&offset, walk->page + sizeof *head + 2 * (size_t)index, sizeof offset);
    if (offset < head->lower || offset > walk->page_size - NODE_HEAD)
        return damaged(head->number);
    memcpy(fields, walk->page + offset, NODE_HEAD);
    const unsigned char *key = walk->page + offset + NODE_HEAD;
    size_t room = walk->page_size - offset - NODE_HEAD;
    if (fields[3] > room)
        return damaged(head->number);
    *node = (struct node){fields[0], fields[1], fields[2], SF_BYTES(key, fields[3]),
                          SF_BYTES(key + fields[3], room - fields[3])};
    return 0;
}

static int visit_leaf_node(struct walk *walk, size_t page, const struct node *node)
{
    struct tree tree;
    size_t overflow;
    if (node->flags & NODE_TREE) {
        if (node->room.size < sizeof tree)
            return damaged(page);
        memcpy(&tree, node->room.data, sizeof tree);
        return meet_tree(walk, &tree);
    }
    if (!(node->flags & NODE_BIG))
        return 0;
    if (node->room.size < sizeof overflow)
        return damaged(page);
    memcpy(&overflow, node->room.data, sizeof overflow);
    return meet_overflow(walk, overflow);
}

static size_t child_of(const struct node *node)
{
    uint64_t child = node->low | (uint64_t)node->high << 16;
    if (sizeof(size_t) > 4)
        child |= (uint64_t)node->flags << 32;
    return (size_t)child;
}

static int visit_branch_node(struct walk *walk, const struct node *node)
{
    int rc = meet(walk, child_of(node), 1);
    return rc < 0 ? rc : visit_later(walk, child_of(node));
}

static int visit(struct walk *walk, size_t page)
{
    struct head head;
    struct node node = {0};
    int rc = load(walk, page, &head);
    if (rc < 0 || head.flags & PAGE_LEAF2) /* fixed-size values without nodes; none of ours */
        return rc;
    int count = count_nodes(walk, &head);
    rc = count < 0 ? count : 0;
    for (int i = 0; i < count && rc == 0; i++) {
        rc = read_node(walk, &head, i, &node);
        if (rc == 0)
            rc = (head.flags & PAGE_LEAF) ? visit_leaf_node(walk, page, &node)
                                          : visit_branch_node(walk, &node);
    }
    return rc;
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

/* -- one value -------------------------------------------------------------------------------------- */

/* As LMDB orders keys when nobody asks for another order. */
static int compare(sf_bytes a, sf_bytes b)
{
    size_t both = a.size < b.size ? a.size : b.size;
    int order = both ? memcmp(a.data, b.data, both) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* The last of `count` nodes whose key is not above `key`; a branch's first is below them all. */
static int choose_child(const struct walk *walk, const struct head *head, int count, sf_bytes key,
                        size_t *out_page)
{
    struct node node = {0};
    for (int i = 0; i < count; i++) {
        int rc = read_node(walk, head, i, &node);
        if (rc < 0)
            return rc;
        if (i > 0 && compare(key, node.key) < 0)
            break;
        *out_page = child_of(&node);
    }
    return count ? 0 : damaged(head->number);
}

/* 1: found; `*node` points into the buffer. */
static int find_in_leaf(const struct walk *walk, const struct head *head, int count, sf_bytes key,
                        struct node *node)
{
    for (int i = 0; i < count; i++) {
        int rc = read_node(walk, head, i, node);
        if (rc < 0)
            return rc;
        if (compare(key, node->key) == 0)
            return 1;
    }
    return 0;
}

static int find(struct walk *walk, const struct tree *tree, sf_bytes key, struct node *node)
{
    struct head head;
    size_t page = tree->root;
    for (int level = 0; page != NO_PAGE && level < LEVELS_MAX; level++) {
        if (page < METAS || page > walk->last_page)
            return damaged(page);
        int rc = load(walk, page, &head);
        int count = rc == 0 ? count_nodes(walk, &head) : rc;
        if (count < 0)
            return count;
        if (head.flags & PAGE_LEAF)
            return find_in_leaf(walk, &head, count, key, node);
        rc = choose_child(walk, &head, count, key, &page);
        if (rc < 0)
            return rc;
    }
    return page == NO_PAGE ? 0 : damaged(page);
}

/* Flags of a tree are other orders and several values for one key: none of ours. */
static int find_table(struct walk *walk, const struct tree *names, const char *table,
                      struct tree *out)
{
    struct node node;
    int rc = names->flags ? 0 : find(walk, names, SF_BYTES(table, strlen(table)), &node);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return sfi_err(SF_EFOREIGN,
                       "the database has no table '%s': it was not made by this library", table);
    if (node.flags == NODE_TREE && node.room.size < sizeof *out)
        return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is damaged: the table '%s' makes no sense",
                       table);
    if (node.flags == NODE_TREE)
        memcpy(out, node.room.data, sizeof *out);
    return node.flags != NODE_TREE || out->flags
               ? sfi_err(SF_EFOREIGN, "the table '%s' is not one of ours", table)
               : 0;
}

static int find_value(struct walk *walk, const struct meta *meta, const char *table, sf_bytes key,
                      sf_bytes *out_value)
{
    struct tree tree = {.root = NO_PAGE};
    struct node node;
    int rc = find_table(walk, &meta->trees[MAIN], table, &tree);
    if (rc == 0)
        rc = find(walk, &tree, key, &node);
    if (rc < 0)
        return rc;
    if (rc == 0 || node.flags) /* a value that needs pages of its own is none of ours */
        return sfi_err(SF_EFOREIGN, "the database was not made by this library");
    size_t size = node.low | (size_t)node.high << 16;
    if (size > node.room.size)
        return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is damaged: a value in '%s' makes no sense",
                       table);
    *out_value = SF_BYTES(node.room.data, size);
    return 0;
}

static int is_kept(int fd, const struct meta *meta)
{
    size_t page_size = meta->trees[FREE].page_size;
    struct meta_page page;
    for (uint64_t i = 0; i < METAS; i++)
        if (pread(fd, &page, sizeof page, (off_t)(i * page_size)) == (ssize_t)sizeof page &&
            memcmp(&page.meta, meta, sizeof page.meta) == 0)
            return 1;
    return 0;
}

/* What was found under a meta page that is gone by now may be anything: look again.  A look is a few
 * microseconds and two commits take longer, so the end of the tries is hardly ever seen. */
static int look_until_calm(int fd, unsigned char *buffer, const char *table, sf_bytes key,
                           sf_bytes *out_value)
{
    struct meta meta;
    uint64_t size;
    for (int i = 0; i < TRIES_MAX; i++) {
        int rc = check_file(fd, &size, &meta);
        if (rc < 0)
            return rc;
        struct walk walk = {.fd = fd,
                            .page_size = meta.trees[FREE].page_size,
                            .last_page = meta.last_page,
                            .page = buffer};
        if (walk.page_size > SFI_LMDB_PAGE_MAX)
            return sfi_err(SF_EFOREIGN, SFI_DISK_DATA " has pages of %zu bytes", walk.page_size);
        rc = find_value(&walk, &meta, table, key, out_value);
        if (is_disk_code(rc) || is_kept(fd, &meta))
            return rc;
    }
    return sfi_err(SF_ELOCKED, "another process is writing to " SFI_DISK_DATA);
}

int sfi_lmdb_look(int dir_fd, const char *table, sf_bytes key,
                  unsigned char buffer[SFI_LMDB_PAGE_MAX], sf_bytes *out_value)
{
    int fd = open_data(dir_fd, O_RDONLY);
    if (fd < 0)
        return fd;
    int rc = look_until_calm(fd, buffer, table, key, out_value);
    close(fd);
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
