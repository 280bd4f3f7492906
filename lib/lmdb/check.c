#include "lmdb/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "dir/disk.h"
#include "lmdb/page.h"
#include "lmdb/walk.h"

enum {
    LEVELS_MAX = 32,
    TRIES_MAX = 1000,
    WALK_PAGES_MAX = 4096 /* of a larger database no more than that is read at open */
};

struct look {
    struct sfi_page_file file;
    unsigned char *page;
};

static int is_disk_code(int rc)
{
    return rc == SF_EDISK || rc == SF_EACCESS;
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
static int choose_child(const struct look *look, const struct sfi_page_head *head, int count,
                        sf_bytes key, size_t *out_page)
{
    struct sfi_node node = {0};
    for (int i = 0; i < count; i++) {
        int rc = sfi_page_node(&look->file, look->page, head, i, &node);
        if (rc < 0)
            return rc;
        if (i > 0 && compare(key, node.key) < 0)
            break;
        *out_page = sfi_node_child(&node);
    }
    return count ? 0 : sfi_page_damaged(head->number);
}

/* 1: found; `*node` points into the buffer. */
static int find_in_leaf(const struct look *look, const struct sfi_page_head *head, int count,
                        sf_bytes key, struct sfi_node *node)
{
    for (int i = 0; i < count; i++) {
        int rc = sfi_page_node(&look->file, look->page, head, i, node);
        if (rc < 0)
            return rc;
        if (compare(key, node->key) == 0)
            return 1;
    }
    return 0;
}

static int find(struct look *look, const struct sfi_tree *tree, sf_bytes key, struct sfi_node *node)
{
    struct sfi_page_head head;
    size_t page = tree->root;
    for (int level = 0; page != SFI_NO_PAGE && level < LEVELS_MAX; level++) {
        int rc = sfi_page_load(&look->file, page, look->page, &head);
        int count = rc == 0 ? sfi_page_count(&look->file, &head) : rc;
        if (count < 0)
            return count;
        if (head.flags & SFI_PAGE_LEAF)
            return find_in_leaf(look, &head, count, key, node);
        rc = choose_child(look, &head, count, key, &page);
        if (rc < 0)
            return rc;
    }
    return page == SFI_NO_PAGE ? 0 : sfi_page_damaged(page);
}

/* Flags of a tree are other orders and several values for one key: none of ours. */
static int find_table(struct look *look, const struct sfi_tree *names, const char *table,
                      struct sfi_tree *out)
{
    struct sfi_node node;
    int rc = names->flags ? 0 : find(look, names, SF_BYTES(table, strlen(table)), &node);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return sfi_err(SF_EFOREIGN,
                       "the database has no table '%s': it was not made by this library", table);
    if (node.flags == SFI_NODE_TREE && node.room.size < sizeof *out)
        return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is damaged: the table '%s' makes no sense",
                       table);
    if (node.flags == SFI_NODE_TREE)
        memcpy(out, node.room.data, sizeof *out);
    return node.flags != SFI_NODE_TREE || out->flags
               ? sfi_err(SF_EFOREIGN, "the table '%s' is not one of ours", table)
               : 0;
}

static int find_value(struct look *look, const struct sfi_meta *meta, const char *table,
                      sf_bytes key, sf_bytes *out_value)
{
    struct sfi_tree tree = {.root = SFI_NO_PAGE};
    struct sfi_node node;
    int rc = find_table(look, &meta->trees[SFI_TREE_MAIN], table, &tree);
    if (rc == 0)
        rc = find(look, &tree, key, &node);
    if (rc < 0)
        return rc;
    if (rc == 0 || node.flags) /* a value that needs pages of its own is none of ours */
        return sfi_err(SF_EFOREIGN, "the database was not made by this library");
    size_t size = sfi_node_size(&node);
    if (size > node.room.size)
        return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is damaged: a value in '%s' makes no sense",
                       table);
    *out_value = SF_BYTES(node.room.data, size);
    return 0;
}

/* What was found under a meta page that is gone by now may be anything: look again.  A look is a few
 * microseconds and two commits take longer, so the end of the tries is hardly ever seen. */
static int look_until_calm(int fd, unsigned char *buffer, const char *table, sf_bytes key,
                           sf_bytes *out_value)
{
    struct sfi_meta meta;
    uint64_t size;
    for (int i = 0; i < TRIES_MAX; i++) {
        int rc = sfi_page_metas(fd, &size, &meta);
        if (rc < 0)
            return rc;
        struct look look = {sfi_page_file(fd, size, &meta), buffer};
        if (look.file.page_size > SFI_LMDB_PAGE_MAX)
            return sfi_err(SF_EFOREIGN, SFI_DISK_DATA " has pages of %zu bytes",
                           look.file.page_size);
        rc = find_value(&look, &meta, table, key, out_value);
        if (is_disk_code(rc) || sfi_page_is_kept(fd, &meta))
            return rc;
    }
    return sfi_err(SF_ELOCKED, "another process is writing to " SFI_DISK_DATA);
}

int sfi_lmdb_look(int dir_fd, const char *table, sf_bytes key,
                  unsigned char buffer[SFI_LMDB_PAGE_MAX], sf_bytes *out_value)
{
    int fd = sfi_page_open(dir_fd, O_RDONLY);
    if (fd < 0)
        return fd;
    int rc = look_until_calm(fd, buffer, table, key, out_value);
    close(fd);
    return rc;
}

/* -- the whole -------------------------------------------------------------------------------------- */

static int extend(int dir_fd, uint64_t size)
{
    int fd = sfi_page_open(dir_fd, O_RDWR);
    if (fd < 0)
        return fd;
    int rc =
        ftruncate(fd, (off_t)size) < 0 ? sfi_disk_error(dir_fd, errno, "extend " SFI_DISK_DATA) : 0;
    close(fd);
    return rc;
}

/* A short file is walked whole, however large: a page that is missing would be a signal. */
static int walk(const struct sfi_sys *sys, int fd, uint64_t size, const struct sfi_meta *meta,
                int is_short)
{
    struct sfi_page_file file = sfi_page_file(fd, size, meta);
    struct sfi_walk_options options = {0};
    if (!is_short && meta->last_page >= WALK_PAGES_MAX)
        options = (struct sfi_walk_options){.branches_only = 1, .pages_max = WALK_PAGES_MAX};
    return sfi_walk(sys, &file, meta, &options);
}

int sfi_lmdb_check(const struct sfi_sys *sys, int dir_fd)
{
    struct sfi_meta meta;
    uint64_t size, needed = 0;
    int fd = sfi_page_open(dir_fd, O_RDONLY);
    if (fd < 0)
        return fd;
    int rc = sfi_page_metas(fd, &size, &meta);
    if (rc == 0)
        needed = ((uint64_t)meta.last_page + 1) * meta.trees[SFI_TREE_FREE].page_size;
    int is_short = rc == 0 && size < needed;
    if (rc == 0)
        rc = walk(sys, fd, size, &meta, is_short);
    close(fd);
    return rc == 0 && is_short ? extend(dir_fd, needed) : rc;
}
