/* walk.h - every page that a meta page leads to, without LMDB.
 *
 *     meta page -> free pages ---------------------------------> each list
 *               -> names -> each table -> branches -> leaves --> each row
 *
 * LMDB believes its pages: what is damaged in them are its wild reads and writes, its asserts, and walks
 * that never end.  A database that was walked whole without a word has none of that:
 *
 * (1) Each page is reached once, says its own number, and lies in the file.  Nodes fill their page without a gap.
 * (2) Keys rise through the whole of a tree, and lie where the branches above them say.
 * (3) What a tree's record says of itself (depth, pages, rows) is so.  Lists of free pages are in order
 *     and name no page in use.
 * (4) A value is no longer than the pages that it lies on.
 *
 * What is damaged inside of a value is not found here; records have checksums (store/record.h).
 *
 * A part of the walk may be left out: with `branches_only` the leaves of tables are not read, and rows of a
 * branch that is damaged are passed over when `problem` wants to go on.  The work is bounded by the pages of
 * the file in any case, and by `pages_max`. */
#ifndef SFI_LMDB_WALK_H
#define SFI_LMDB_WALK_H

#include "base/sys.h"
#include "lmdb/page.h"

struct sfi_walk_listener {
    void *ctx;
    /* A row of a table; lent during the call.  Negative: the walk ends with that.  NULL: nobody wants
     * rows, and values are not read. */
    int (*row)(void *ctx, sf_bytes table, sf_bytes key, sf_bytes value);
    /* The sentence is in sf_errmsg().  0: go on; negative: the walk ends with that.  NULL: it ends. */
    int (*problem)(void *ctx, sf_bytes table);
};

struct sfi_walk_options {
    int branches_only;
    size_t pages_max; /* to read; what is beyond is believed.  0: all */
    size_t *out_highest; /* the highest page that was met, or is named as free; NULL: nobody asks */
    struct sfi_walk_listener listener;
};

/* SF_ECORRUPT, SF_ENOMEM, what a disk's refusal means, or what the listener says. */
int sfi_walk(const struct sfi_sys *sys, const struct sfi_page_file *file,
             const struct sfi_meta *meta, const struct sfi_walk_options *options);

#endif
