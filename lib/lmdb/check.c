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

/* The meta page may say too little, and be mended when the database is opened (check.h). */
static size_t last_page_to_look_at(const struct sfi_page_file *file, uint64_t size)
{
    size_t pages = (size_t)(size / file->page_size);
    return pages > file->last_page ? pages - 1 : file->last_page;
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
        look.file.last_page = last_page_to_look_at(&look.file, size);
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

/* 1: yes; 0: it is long enough. */
static int is_short(const struct sfi_meta *meta, uint64_t size)
{
    return size < ((uint64_t)meta->last_page + 1) * meta->trees[SFI_TREE_FREE].page_size;
}

/* A short file is walked whole, however large: a page that is missing would be a signal. */
static int walk(const struct sfi_sys *sys, int fd, uint64_t size, const struct sfi_meta *meta)
{
    struct sfi_page_file file = sfi_page_file(fd, size, meta);
    struct sfi_walk_options options = {0};
    if (!is_short(meta, size) && meta->last_page >= WALK_PAGES_MAX)
        options = (struct sfi_walk_options){.branches_only = 1, .pages_max = WALK_PAGES_MAX};
    return sfi_walk(sys, &file, meta, &options);
}

/* The number of the last page, as all that lies in the file would have it; or as the meta page says, where
 * that is no less, or something else is wrong. */
static size_t last_page_by_walk(const struct sfi_sys *sys, int fd, uint64_t size,
                                const struct sfi_meta *meta)
{
    struct sfi_meta wide = *meta;
    size_t highest = 0;
    wide.last_page = meta->map_size / meta->trees[SFI_TREE_FREE].page_size - 1;
    struct sfi_page_file file = sfi_page_file(fd, size, &wide);
    struct sfi_walk_options options = {.out_highest = &highest};
    int rc = sfi_walk(sys, &file, &wide, &options);
    return rc == 0 && highest > meta->last_page ? highest : meta->last_page;
}

/* Damage, or a commit that LMDB was taking back when the power went (check.h). */
static int walk_or_correct(const struct sfi_sys *sys, int fd, uint64_t size, struct sfi_meta *meta)
{
    int rc = walk(sys, fd, size, meta);
    size_t last = rc == SF_ECORRUPT ? last_page_by_walk(sys, fd, size, meta) : meta->last_page;
    if (last == meta->last_page) /* the sentence may be that of the other walk */
        return rc == SF_ECORRUPT ? walk(sys, fd, size, meta) : rc;
    meta->last_page = last;
    return 0;
}

static int make_fit(int fd, uint64_t size, const struct sfi_meta *meta, size_t last_page)
{
    int rc = 0;
    if (meta->last_page != last_page)
        rc = sfi_page_set_last(fd, meta);
    uint64_t end = ((uint64_t)meta->last_page + 1) * meta->trees[SFI_TREE_FREE].page_size;
    if (rc == 0 && size < end && ftruncate(fd, (off_t)end) < 0)
        rc = sfi_disk_error(fd, errno, "extend " SFI_DISK_DATA);
    return rc;
}

static int check(const struct sfi_sys *sys, int dir_fd, int fd)
{
    struct sfi_meta meta = {0};
    uint64_t size;
    int rc = sfi_page_metas(fd, &size, &meta);
    size_t last_page = meta.last_page;
    if (rc == 0)
        rc = walk_or_correct(sys, fd, size, &meta);
    if (rc < 0 || (meta.last_page == last_page && !is_short(&meta, size)))
        return rc;
    int writable = sfi_page_open(dir_fd, O_RDWR);
    if (writable < 0)
        return writable;
    rc = make_fit(writable, size, &meta, last_page);
    close(writable);
    return rc;
}

int sfi_lmdb_check(const struct sfi_sys *sys, int dir_fd)
{
    int fd = sfi_page_open(dir_fd, O_RDONLY);
    if (fd < 0)
        return fd;
    int rc = check(sys, dir_fd, fd);
    close(fd);
    return rc;
}
