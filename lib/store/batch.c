#include "store/batch.h"

#include <string.h>

enum { BLOCK_BYTES = 256 * 1024, OPS_MIN = 64, ROWS_MANY = 256 };

struct sfi_batch_block {
    struct sfi_batch_block *next;
    size_t size, used;
    _Alignas(16) unsigned char bytes[];
};

/* Before the key of each operation on a readable table. */
struct shadow {
    struct sfi_skipnode *row;
    uint32_t former; /* the operation before it on the same key, counted from 1; 0: none */
};

static void clear_rows(struct sfi_batch *batch)
{
    for (int i = 0; i < SFI_TABLES; i++) {
        sfi_skiplist_init(&batch->rows[i]);
        batch->settled[i] = 0;
    }
}

void sfi_batch_init(struct sfi_batch *batch, const struct sfi_sys *sys)
{
    *batch = (struct sfi_batch){.sys = sys};
    clear_rows(batch);
}

void sfi_batch_fini(struct sfi_batch *batch)
{
    for (struct sfi_batch_block *block = batch->blocks, *next; block; block = next) {
        next = block->next;
        sfi_free(batch->sys, block);
    }
    for (int i = 0; i < SFI_TABLES; i++)
        sfi_free(batch->sys, batch->tables[i].ops);
    sfi_free(batch->sys, batch->filter.bits);
    *batch = (struct sfi_batch){.sys = batch->sys};
}

/* Gives oversized blocks back, keeps the others. */
void sfi_batch_reset(struct sfi_batch *batch)
{
    for (struct sfi_batch_block **place = &batch->blocks, *block; (block = *place);) {
        if (block->size > BLOCK_BYTES) {
            *place = block->next;
            sfi_free(batch->sys, block);
        } else {
            block->used = 0;
            place = &block->next;
        }
    }
    batch->current = batch->blocks;
    for (int i = 0; i < SFI_TABLES; i++)
        batch->tables[i].count = 0;
    clear_rows(batch);
    sfi_filter_empty(&batch->filter);
    batch->row_count = 0;
    batch->op_count = 0;
    batch->epoch = 0;
    batch->bytes = 0;
}

static struct sfi_batch_block *insert_block(struct sfi_batch *batch, size_t size)
{
    size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    struct sfi_batch_block *block = sfi_alloc(batch->sys, sizeof *block + room);
    if (!block)
        return NULL;
    struct sfi_batch_block **place = batch->current ? &batch->current->next : &batch->blocks;
    *block = (struct sfi_batch_block){.next = *place, .size = room};
    *place = block;
    return block;
}

static unsigned char *take_bytes(struct sfi_batch *batch, size_t size)
{
    struct sfi_batch_block *block = batch->current;
    while (block && block->size - block->used < size)
        block = block->next;
    if (!block)
        block = insert_block(batch, size);
    if (!block)
        return NULL;
    batch->current = block;
    unsigned char *bytes = block->bytes + block->used;
    block->used += size;
    return bytes;
}

/* Room for one more operation. */
static int reserve_op(const struct sfi_batch *batch, struct sfi_op_list *list)
{
    if (list->count < list->capacity)
        return 0;
    void *ops = sfi_grow(batch->sys, list->ops, &list->capacity, (uint64_t)list->count + 1, OPS_MIN,
                         sizeof *list->ops);
    if (!ops)
        return SF_ENOMEM;
    list->ops = ops;
    return 0;
}

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

/* Appends an operation whose key and value lie in `room` bytes, `head` of them before the key. */
static struct sfi_op *append(struct sfi_batch *batch, enum sfi_table table, size_t head, size_t room,
                             sf_bytes key)
{
    struct sfi_op_list *list = &batch->tables[table];
    unsigned char *bytes = reserve_op(batch, list) == 0 ? take_bytes(batch, head + room) : NULL;
    if (!bytes)
        return NULL;
    memcpy(bytes + head, key.data, key.size);
    struct sfi_op *op = &list->ops[list->count++];
    *op = (struct sfi_op){.key = bytes + head, .key_size = (uint16_t)key.size};
    batch->op_count++;
    batch->bytes += head + room;
    return op;
}

static struct shadow *shadow_of(const struct sfi_op *op)
{
    return (struct shadow *)(uintptr_t)(op->key - sizeof(struct shadow));
}

static struct sfi_op *newest_of(const struct sfi_batch *batch, enum sfi_table table,
                                const struct sfi_skipnode *row)
{
    return row ? &batch->tables[table].ops[row->value - 1] : NULL;
}

/* They have become many: those that are listed go into the filter. */
static void begin_filter(struct sfi_batch *batch)
{
    sfi_filter_begin(&batch->filter, batch->sys);
    for (int i = 0; batch->filter.is_used && i < SFI_TABLES; i++)
        for (const struct sfi_skipnode *row = batch->rows[i].first[0]; row; row = row->next[0])
            sfi_filter_add(&batch->filter, i, row->key);
}

static void note_row(struct sfi_batch *batch, enum sfi_table table, sf_bytes key)
{
    if (batch->filter.is_used)
        sfi_filter_add(&batch->filter, table, key);
    else if (++batch->row_count % ROWS_MANY == 0)
        begin_filter(batch);
}

/* A key that had no operation yet: its node lies before its first one. */
static struct sfi_op *append_row(struct sfi_batch *batch, enum sfi_table table, size_t room,
                                 sf_bytes key)
{
    struct sfi_skiplist *rows = &batch->rows[table];
    uint32_t height = sfi_skiplist_height(rows);
    size_t head = padded(sfi_skipnode_bytes(height));
    struct sfi_op *op = append(batch, table, head + sizeof(struct shadow), room, key);
    if (!op)
        return NULL;
    struct shadow *shadow = shadow_of(op);
    *shadow = (struct shadow){.row = (struct sfi_skipnode *)((unsigned char *)shadow - head)};
    shadow->row->key = sfi_op_key(op);
    shadow->row->height = height;
    sfi_skiplist_link(rows, shadow->row);
    note_row(batch, table, shadow->row->key);
    return op;
}

static struct sfi_op *append_again(struct sfi_batch *batch, enum sfi_table table, size_t room,
                                   struct sfi_skipnode *row)
{
    struct sfi_op *op = append(batch, table, sizeof(struct shadow), room, row->key);
    if (op)
        *shadow_of(op) = (struct shadow){.row = row, .former = row->value};
    return op;
}

/* Nobody can go back to what was between this operation and the next one (2). */
static int can_be_replaced(const struct sfi_batch *batch, enum sfi_table table,
                           const struct sfi_skipnode *row, size_t value_size)
{
    const struct sfi_op *op = newest_of(batch, table, row);
    return row->value > batch->settled[table] && !op->is_delete && op->value_size == value_size;
}

static struct sfi_skipnode *find_row(const struct sfi_batch *batch, enum sfi_table table,
                                     sf_bytes key)
{
    return sfi_filter_may_have(&batch->filter, table, key)
               ? sfi_skiplist_find(&batch->rows[table], key)
               : NULL;
}

static struct sfi_op *readable_op(struct sfi_batch *batch, enum sfi_table table, sf_bytes key,
                                  size_t value_size, int is_delete)
{
    size_t room = padded(key.size) + padded(value_size);
    struct sfi_skipnode *row = find_row(batch, table, key);
    if (row && !is_delete && can_be_replaced(batch, table, row, value_size))
        return newest_of(batch, table, row);
    struct sfi_op *op = row ? append_again(batch, table, room, row)
                            : append_row(batch, table, room, key);
    if (op)
        shadow_of(op)->row->value = batch->tables[table].count;
    return op;
}

static struct sfi_op *new_op(struct sfi_batch *batch, enum sfi_table table, sf_bytes key,
                             size_t value_size, int is_delete)
{
    if (key.size == 0 || key.size > SFI_KEY_MAX || value_size > UINT32_MAX)
        return NULL; /* none of ours is */
    struct sfi_op *op =
        sfi_table_is_readable(table)
            ? readable_op(batch, table, key, value_size, is_delete)
            : append(batch, table, 0, padded(key.size) + padded(value_size), key);
    if (!op)
        return NULL;
    op->value_size = (uint32_t)value_size;
    op->is_delete = (uint16_t)is_delete;
    return op;
}

void *sfi_batch_put(struct sfi_batch *batch, enum sfi_table table, sf_bytes key, size_t value_size)
{
    struct sfi_op *op = new_op(batch, table, key, value_size, 0);
    return op ? (void *)sfi_op_value(op).data : NULL;
}

int sfi_batch_delete(struct sfi_batch *batch, enum sfi_table table, sf_bytes key)
{
    return new_op(batch, table, key, 0, 1) ? 0 : SF_ENOMEM;
}

/* -- reading ------------------------------------------------------------------------------------------ */

const struct sfi_op *sfi_batch_find(const struct sfi_batch *batch, enum sfi_table table,
                                    sf_bytes key)
{
    return newest_of(batch, table, find_row(batch, table, key));
}

const struct sfi_op *sfi_batch_after(const struct sfi_batch *batch, enum sfi_table table,
                                     sf_bytes key, int greater)
{
    return newest_of(batch, table, sfi_skiplist_after(&batch->rows[table], key, greater));
}

const struct sfi_op *sfi_batch_before(const struct sfi_batch *batch, enum sfi_table table,
                                      sf_bytes key, int less)
{
    return newest_of(batch, table, sfi_skiplist_before(&batch->rows[table], key, less));
}

const struct sfi_op *sfi_batch_next(const struct sfi_batch *batch, enum sfi_table table,
                                    const struct sfi_op *op)
{
    return newest_of(batch, table,
                     op ? shadow_of(op)->row->next[0] : batch->rows[table].first[0]);
}

/* -- marks -------------------------------------------------------------------------------------------- */

struct sfi_batch_mark sfi_batch_mark(struct sfi_batch *batch)
{
    struct sfi_batch_mark mark = {.op_count = batch->op_count,
                                  .current = batch->current,
                                  .used = batch->current ? batch->current->used : 0,
                                  .bytes = batch->bytes};
    for (int i = 0; i < SFI_TABLES; i++)
        mark.counts[i] = batch->settled[i] = batch->tables[i].count;
    return mark;
}

/* Newest first, since each operation gives its row back to the one before it. */
static void take_back_rows(struct sfi_batch *batch, enum sfi_table table, uint32_t count)
{
    for (uint32_t i = batch->tables[table].count; i > count; i--) {
        const struct shadow *shadow = shadow_of(&batch->tables[table].ops[i - 1]);
        shadow->row->value = shadow->former;
        if (shadow->former == 0)
            sfi_skiplist_unlink(&batch->rows[table], shadow->row);
    }
}

/* Blocks after the current one are empty, so undoing means emptying all after the marked one. */
void sfi_batch_rollback(struct sfi_batch *batch, struct sfi_batch_mark mark)
{
    if (batch->op_count == mark.op_count)
        return;
    for (int i = 0; i < SFI_TABLES; i++)
        if (sfi_table_is_readable(i))
            take_back_rows(batch, i, mark.counts[i]);
    struct sfi_batch_block *block = mark.current ? mark.current->next : batch->blocks;
    for (; block; block = block->next)
        block->used = 0;
    if (mark.current)
        mark.current->used = mark.used;
    batch->current = mark.current ? mark.current : batch->blocks;
    for (int i = 0; i < SFI_TABLES; i++)
        batch->tables[i].count = mark.counts[i];
    batch->op_count = mark.op_count;
    batch->bytes = mark.bytes;
}
