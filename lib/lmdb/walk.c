#include "lmdb/walk.h"

#include <string.h>

#include "base/err.h"
#include "dir/disk.h"

enum {
    LEVELS_MAX = 32, /* LMDB's */
    TREE_KEY_MAX = 511,
    STOP = 1, /* enough was read: of no interest to callers */
    PAGE_MAX = 1 << 15
};

enum kind { FREE_PAGES, NAMES, TABLE };

/* A page on the way down, and which of its nodes is next. */
struct level {
    struct sfi_page_head head;
    int next, count;
    unsigned char *bytes;
};

/* One tree.  A tree of names holds others: they are walked from its leaves, with levels of their own. */
struct way {
    enum kind kind;
    sf_bytes name;
    struct sfi_tree tree, met; /* what it says of itself; what was met */
    struct level levels[LEVELS_MAX];
    unsigned char *bytes; /* of all levels */
    int depth;
    int skips; /* something was passed over: the counts tell nothing */
    unsigned char last[TREE_KEY_MAX];
    size_t last_size;
    int has_last;
};

struct walk {
    const struct sfi_sys *sys;
    const struct sfi_page_file *file;
    const struct sfi_walk_options *options;
    unsigned char *seen; /* a bit for each page of the file */
    size_t read;         /* pages: of the names and all tables, or of the free pages */
    size_t highest;      /* page that is used, or named as free */
    unsigned char *value;
    size_t value_capacity;
};

static int damaged(size_t page)
{
    return sfi_page_damaged(page);
}

static int no_memory(void)
{
    return sfi_err(SF_ENOMEM, "out of memory");
}

/* What a failure means: of the file, then the listener may want to go on. */
static int report(struct walk *walk, struct way *way, int rc)
{
    const struct sfi_walk_listener *listener = &walk->options->listener;
    if (rc != SF_ECORRUPT)
        return rc;
    way->skips = 1;
    return listener->problem ? listener->problem(listener->ctx, way->name) : rc;
}

/* -- each page once --------------------------------------------------------------------------------- */

static int has_seen(const struct walk *walk, size_t page)
{
    return walk->seen[page / 8] >> page % 8 & 1;
}

static void note(struct walk *walk, size_t page)
{
    walk->highest = page > walk->highest ? page : walk->highest;
}

/* A reference to `count` pages. */
static int meet(struct walk *walk, size_t page, size_t count)
{
    const struct sfi_page_file *file = walk->file;
    if (page < SFI_METAS || page > file->last_page || count > file->last_page - page + 1)
        return damaged(page);
    if (page + count > file->file_pages)
        return sfi_page_missing(file, page + count - 1);
    note(walk, page + count - 1);
    for (size_t i = page; i < page + count; i++) {
        if (has_seen(walk, i))
            return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is damaged: page %zu is used twice", i);
        walk->seen[i / 8] |= (unsigned char)(1u << i % 8);
    }
    return 0;
}

static int may_read(struct walk *walk)
{
    size_t max = walk->options->pages_max;
    return max == 0 || walk->read++ < max;
}

/* -- the nodes of a page ---------------------------------------------------------------------------- */

/* What a node takes of its page. */
static size_t node_bytes(const struct level *level, const struct sfi_node *node)
{
    size_t data = 0;
    if (level->head.flags == SFI_PAGE_LEAF)
        data = node->flags & SFI_NODE_BIG ? sizeof(size_t) : sfi_node_size(node);
    return (SFI_NODE_HEAD + node->key.size + data + 1) & ~(size_t)1;
}

static size_t offset_of(const struct walk *walk, const struct sfi_node *node)
{
    return walk->file->page_size - node->room.size - node->key.size - SFI_NODE_HEAD;
}

/* Each node starts at another place and ends where one starts or the page ends; together they are as
 * long as their part of the page: so none overlaps another. */
static int check_nodes(const struct walk *walk, const struct level *level)
{
    unsigned char starts[PAGE_MAX / 16 + 1] = {0};
    size_t page_size = walk->file->page_size, total = 0;
    struct sfi_node node = {0};
    for (int i = 0; i < level->count; i++) {
        int rc = sfi_page_node(walk->file, level->bytes, &level->head, i, &node);
        size_t at = rc == 0 ? offset_of(walk, &node) / 2 : 0;
        if (rc < 0 || node_bytes(level, &node) > page_size - 2 * at || starts[at / 8] >> at % 8 & 1)
            return damaged(level->head.number);
        starts[at / 8] |= (unsigned char)(1u << at % 8);
        total += node_bytes(level, &node);
    }
    starts[page_size / 16] |= 1;
    for (int i = 0; i < level->count; i++) {
        sfi_page_node(walk->file, level->bytes, &level->head, i, &node);
        size_t end = (offset_of(walk, &node) + node_bytes(level, &node)) / 2;
        if (!(starts[end / 8] >> end % 8 & 1))
            return damaged(level->head.number);
    }
    return total == page_size - level->head.upper ? 0 : damaged(level->head.number);
}

/* -- keys rise -------------------------------------------------------------------------------------- */

/* As LMDB orders keys when nobody asks for another order; those of free pages are numbers. */
static int compare(const struct way *way, sf_bytes a, sf_bytes b)
{
    size_t x, y, both = a.size < b.size ? a.size : b.size;
    if (way->kind == FREE_PAGES) {
        memcpy(&x, a.data, sizeof x);
        memcpy(&y, b.data, sizeof y);
        return (x > y) - (x < y);
    }
    int order = both ? memcmp(a.data, b.data, both) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int out_of_order(size_t page)
{
    return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is damaged: the keys of page %zu are not in order",
                   page);
}

/* A key that was met is above all before it; the one a branch has for a child may also be its first. */
static int check_key(struct way *way, const struct level *level, sf_bytes key, int is_row)
{
    if (key.size == 0 || key.size > TREE_KEY_MAX ||
        (way->kind == FREE_PAGES && key.size != sizeof(size_t)))
        return damaged(level->head.number);
    if (way->has_last) {
        int order = compare(way, SF_BYTES(way->last, way->last_size), key);
        if (order > 0 || (order == 0 && (!is_row || way->has_last == 1)))
            return out_of_order(level->head.number);
    }
    memcpy(way->last, key.data, key.size);
    way->last_size = key.size;
    way->has_last = is_row ? 1 : 2;
    return 0;
}

/* -- leaves ----------------------------------------------------------------------------------------- */

static int reserve_value(struct walk *walk, size_t size)
{
    if (size <= walk->value_capacity)
        return 0;
    void *value = sfi_resize(walk->sys, walk->value, size);
    if (!value)
        return no_memory();
    walk->value = value;
    walk->value_capacity = size;
    return 0;
}

/* A value on pages of its own; it is read when somebody wants to see it. */
static int find_big(struct walk *walk, struct way *way, const struct level *level,
                    const struct sfi_node *node, int is_wanted, sf_bytes *out)
{
    const struct sfi_page_file *file = walk->file;
    size_t page, size = sfi_node_size(node);
    uint32_t count = 0;
    memcpy(&page, node->room.data, sizeof page);
    if (page > file->last_page)
        return damaged(level->head.number);
    int rc = meet(walk, page, 1);
    if (rc == 0)
        rc = sfi_page_run(file, page, &count);
    if (rc == 0 && count > 1)
        rc = meet(walk, page + 1, count - 1);
    if (rc < 0)
        return rc;
    way->met.overflow_pages += count;
    if (size > (uint64_t)count * file->page_size - sizeof(struct sfi_page_head))
        return sfi_err(SF_ECORRUPT,
                       SFI_DISK_DATA " is damaged: a value of %zu bytes lies on %u pages", size,
                       count);
    rc = is_wanted ? reserve_value(walk, size) : 0;
    if (rc == 0 && is_wanted)
        rc = sfi_page_read(file, walk->value, size,
                           (uint64_t)page * file->page_size + sizeof(struct sfi_page_head));
    *out = SF_BYTES(walk->value, size);
    return rc;
}

static int read_value(struct walk *walk, struct way *way, const struct level *level,
                      const struct sfi_node *node, int is_wanted, sf_bytes *out)
{
    if (node->flags & SFI_NODE_BIG)
        return find_big(walk, way, level, node, is_wanted, out);
    *out = SF_BYTES(node->room.data, sfi_node_size(node));
    return 0;
}

/* The number of pages, then the pages, greatest first. */
static int check_free_pages(struct walk *walk, const struct level *level, sf_bytes value)
{
    size_t count = 0, page, above = SIZE_MAX;
    if (value.size >= sizeof count)
        memcpy(&count, value.data, sizeof count);
    if (value.size % sizeof page || value.size / sizeof page < 1 ||
        count > value.size / sizeof page - 1)
        return damaged(level->head.number);
    for (size_t i = 1; i <= count; i++, above = page) {
        memcpy(&page, (const unsigned char *)value.data + i * sizeof page, sizeof page);
        if (page < SFI_METAS || page >= above || page > walk->file->last_page)
            return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is damaged: its free pages make no sense");
        note(walk, page);
        if (page < walk->file->file_pages) {
            if (has_seen(walk, page))
                return sfi_err(SF_ECORRUPT,
                               SFI_DISK_DATA " is damaged: page %zu is used and free", page);
            walk->seen[page / 8] |= (unsigned char)(1u << page % 8);
        }
    }
    return 0;
}

static int walk_tree(struct walk *walk, struct way *way);

static int walk_table(struct walk *walk, const struct level *level, const struct sfi_node *node)
{
    struct way *way = sfi_zalloc(walk->sys, sizeof *way);
    if (!way)
        return no_memory();
    way->kind = TABLE;
    way->name = node->key;
    memcpy(&way->tree, node->room.data, sizeof way->tree);
    int rc = way->tree.flags ? damaged(level->head.number) : walk_tree(walk, way);
    sfi_free(walk->sys, way);
    return rc;
}

/* What the three kinds of tree may have in their leaves. */
static int visit_row(struct walk *walk, struct way *way, const struct level *level,
                     const struct sfi_node *node)
{
    const struct sfi_walk_listener *listener = &walk->options->listener;
    sf_bytes value;
    int is_tree = way->kind == NAMES && node->flags == SFI_NODE_TREE;
    if (is_tree ? sfi_node_size(node) != sizeof way->tree : (node->flags & ~SFI_NODE_BIG) != 0)
        return damaged(level->head.number);
    if (is_tree)
        return walk_table(walk, level, node);
    int is_wanted = way->kind == FREE_PAGES || (way->kind == TABLE && listener->row);
    int rc = read_value(walk, way, level, node, is_wanted, &value);
    if (rc == 0 && way->kind == FREE_PAGES)
        return check_free_pages(walk, level, value);
    return rc == 0 && is_wanted ? listener->row(listener->ctx, way->name, node->key, value) : rc;
}

static int visit_leaf(struct walk *walk, struct way *way, const struct level *level)
{
    struct sfi_node node = {0};
    int rc = 0;
    for (int i = 0; i < level->count && rc == 0; i++) {
        rc = sfi_page_node(walk->file, level->bytes, &level->head, i, &node);
        if (rc == 0)
            rc = check_key(way, level, node.key, 1);
        if (rc == 0)
            rc = visit_row(walk, way, level, &node);
        rc = report(walk, way, rc);
        way->met.entries++;
    }
    return rc;
}

/* -- down and up ------------------------------------------------------------------------------------ */

static int open_page(struct walk *walk, struct way *way, size_t page)
{
    struct level *level = &way->levels[way->depth];
    level->bytes = way->bytes + (size_t)way->depth * walk->file->page_size;
    level->next = 0;
    int is_leaf = way->depth + 1 == way->tree.depth;
    int rc = sfi_page_load(walk->file, page, level->bytes, &level->head);
    if (rc == 0)
        rc = level->count = sfi_page_count(walk->file, &level->head);
    if (rc < 0)
        return rc;
    if (level->head.flags != (is_leaf ? SFI_PAGE_LEAF : SFI_PAGE_BRANCH) ||
        level->count < (is_leaf || way->kind == FREE_PAGES ? 1 : 2))
        return damaged(page);
    if (is_leaf)
        way->met.leaf_pages++;
    else
        way->met.branch_pages++;
    return check_nodes(walk, level);
}

static int is_passed_over(const struct walk *walk, const struct way *way)
{
    return walk->options->branches_only && way->kind == TABLE && way->depth + 1 == way->tree.depth;
}

/* One page lower; a leaf is visited at once. */
static int descend(struct walk *walk, struct way *way, size_t page)
{
    int rc = meet(walk, page, 1);
    if (rc < 0)
        return rc;
    if (is_passed_over(walk, way)) {
        way->skips = 1;
        return 0;
    }
    if (!may_read(walk))
        return STOP;
    rc = open_page(walk, way, page);
    if (rc < 0)
        return rc;
    if (way->levels[way->depth].head.flags == SFI_PAGE_LEAF)
        return visit_leaf(walk, way, &way->levels[way->depth]);
    way->depth++;
    return 0;
}

/* A branch's first key is never looked at: the branch above says where it starts. */
static int next_child(struct walk *walk, struct way *way, struct level *level)
{
    struct sfi_node node = {0};
    int index = level->next++;
    int rc = sfi_page_node(walk->file, level->bytes, &level->head, index, &node);
    if (rc == 0 && index > 0)
        rc = check_key(way, level, node.key, 0);
    return rc == 0 ? descend(walk, way, sfi_node_child(&node)) : rc;
}

static int visit_all(struct walk *walk, struct way *way)
{
    int rc = report(walk, way, descend(walk, way, way->tree.root));
    while (rc == 0 && way->depth) {
        struct level *level = &way->levels[way->depth - 1];
        if (level->next == level->count)
            way->depth--;
        else
            rc = report(walk, way, next_child(walk, way, level));
    }
    return rc;
}

static int check_counts(const struct way *way)
{
    const struct sfi_tree *says = &way->tree, *met = &way->met;
    if (way->skips ||
        (says->branch_pages == met->branch_pages && says->leaf_pages == met->leaf_pages &&
         says->overflow_pages == met->overflow_pages && says->entries == met->entries))
        return 0;
    return sfi_err(SF_ECORRUPT, SFI_DISK_DATA " is damaged: a table of %zu rows has %zu",
                   says->entries, met->entries);
}

static int walk_tree(struct walk *walk, struct way *way)
{
    if (way->tree.root == SFI_NO_PAGE)
        return report(walk, way, check_counts(way));
    if (way->tree.depth < 1 || way->tree.depth > LEVELS_MAX)
        return report(walk, way, damaged(way->tree.root));
    way->bytes = sfi_alloc(walk->sys, way->tree.depth * walk->file->page_size);
    if (!way->bytes)
        return no_memory();
    int rc = visit_all(walk, way);
    sfi_free(walk->sys, way->bytes);
    return rc == 0 ? report(walk, way, check_counts(way)) : rc;
}

/* The free pages last: they are those that nobody has used. */
static int walk_trees(struct walk *walk, const struct sfi_meta *meta)
{
    static const char *const names[SFI_TREES] = {"free pages", "names of tables"};
    static const enum kind kinds[SFI_TREES] = {FREE_PAGES, NAMES};
    int rc = 0;
    for (int i = SFI_TREES - 1; i >= 0 && rc == 0; i--) {
        struct way *way = sfi_zalloc(walk->sys, sizeof *way);
        if (!way)
            return no_memory();
        way->kind = kinds[i];
        way->name = SF_BYTES(names[i], strlen(names[i]));
        way->tree = meta->trees[i];
        walk->read = 0;
        rc = walk_tree(walk, way);
        rc = rc == STOP ? 0 : rc;
        sfi_free(walk->sys, way);
    }
    return rc;
}

int sfi_walk(const struct sfi_sys *sys, const struct sfi_page_file *file,
             const struct sfi_meta *meta, const struct sfi_walk_options *options)
{
    struct walk walk = {.sys = sys, .file = file, .options = options};
    if (file->page_size > PAGE_MAX)
        return sfi_err(SF_EFOREIGN, SFI_DISK_DATA " has pages of %zu bytes", file->page_size);
    walk.seen = sfi_zalloc(sys, file->file_pages / 8 + 1);
    if (!walk.seen)
        return no_memory();
    int rc = walk_trees(&walk, meta);
    if (rc == 0 && options->out_highest)
        *options->out_highest = walk.highest;
    sfi_free(sys, walk.value);
    sfi_free(sys, walk.seen);
    return rc;
}
