/* page.h - the pages of data.mdb, read with pread() and believed in nothing.
 *
 * The layouts, as read in mdb.c of LMDB 0.9.24 (data version 1; MDB_page, MDB_meta, MDB_db, MDB_node).
 * Everything is in the machine's own byte order and word size; W is 8 bytes on a 64-bit machine.
 *
 *   page     W number, u16 unused, u16 flags, then u16 lower and u16 upper, or the u32 count of a run of
 *            overflow pages; then u16 offsets of nodes, (lower - head) / 2 of them, in order of their keys.
 *            The nodes fill the page from `upper` to its end.
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
 * All functions return 0, or SF_ECORRUPT, SF_EFOREIGN, SF_ENEWER, or what a disk's refusal means, with
 * the sentence. */
#ifndef SFI_LMDB_PAGE_H
#define SFI_LMDB_PAGE_H

#include <stdint.h>

#include "statefun.h"

#define SFI_NO_PAGE SIZE_MAX

enum { SFI_METAS = 2, SFI_TREE_FREE = 0, SFI_TREE_MAIN = 1, SFI_TREES = 2 };
enum {
    SFI_PAGE_BRANCH = 1,
    SFI_PAGE_LEAF = 2,
    SFI_PAGE_OVERFLOW = 4,
    SFI_PAGE_META = 8
};
enum { SFI_NODE_BIG = 1, SFI_NODE_TREE = 2, SFI_NODE_HEAD = 8 };

struct sfi_page_head {
    size_t number;
    uint16_t unused, flags, lower, upper;
};

struct sfi_tree {
    uint32_t page_size;
    uint16_t flags, depth;
    size_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

struct sfi_meta {
    uint32_t magic, version;
    void *address;
    size_t map_size;
    struct sfi_tree trees[SFI_TREES];
    size_t last_page, transaction;
};

/* Lent by the page's buffer. */
struct sfi_node {
    uint16_t low, high, flags;
    sf_bytes key;
    sf_bytes room; /* from the key's end to the page's */
};

struct sfi_page_file {
    int fd;
    size_t page_size;
    size_t last_page;  /* as the meta page says */
    size_t file_pages; /* whole ones in the file, up to the last page */
};

/* data.mdb in the directory, not followed if it is a link.  A descriptor, or SF_ENOTFOUND, SF_EACCESS, ... */
int sfi_page_open(int dir_fd, int flags);
/* The newest meta page and the file's size.  LMDB wants both meta pages to be sound. */
int sfi_page_metas(int fd, uint64_t *out_size, struct sfi_meta *newest);
/* The meta page of that transaction.  SF_EAGAIN: it is gone already. */
int sfi_page_meta_of(int fd, size_t transaction, uint64_t *out_size, struct sfi_meta *out);
/* Writes into its meta page which page is the last one. */
int sfi_page_set_last(int fd, const struct sfi_meta *meta);
/* The meta page of that transaction becomes the newest: the other one is made what it is, two
 * transactions before the one that it was. */
int sfi_page_take_back(int fd, size_t transaction);
/* 1: the meta page is still in the file. */
int sfi_page_is_kept(int fd, const struct sfi_meta *meta);
struct sfi_page_file sfi_page_file(int fd, uint64_t size, const struct sfi_meta *meta);

int sfi_page_damaged(size_t page);
int sfi_page_missing(const struct sfi_page_file *file, size_t page);

/* A page of a tree, into a buffer of page_size bytes. */
int sfi_page_load(const struct sfi_page_file *file, size_t page, unsigned char *buffer,
                  struct sfi_page_head *head);
/* How many nodes it has, or negative. */
int sfi_page_count(const struct sfi_page_file *file, const struct sfi_page_head *head);
int sfi_page_node(const struct sfi_page_file *file, const unsigned char *buffer,
                  const struct sfi_page_head *head, int index, struct sfi_node *out);
size_t sfi_node_child(const struct sfi_node *node);
size_t sfi_node_size(const struct sfi_node *node);
/* The number of pages in the run of overflow pages that starts there. */
int sfi_page_run(const struct sfi_page_file *file, size_t page, uint32_t *out_count);
/* `size` bytes from there. */
int sfi_page_read(const struct sfi_page_file *file, void *to, size_t size, uint64_t at);

#endif
