#include "store/batch.h"

#include <string.h>

enum { BLOCK_BYTES = 256 * 1024, OPS_MIN = 64 };

struct sfi_batch_block {
    struct sfi_batch_block *next;
    size_t size, used;
    _Alignas(16) unsigned char bytes[];
};

void sfi_batch_init(struct sfi_batch *batch, const struct sfi_sys *sys)
{
    *batch = (struct sfi_batch){.sys = sys};
}

void sfi_batch_fini(struct sfi_batch *batch)
{
    for (struct sfi_batch_block *block = batch->blocks, *next; block; block = next) {
        next = block->next;
        sfi_free(batch->sys, block);
    }
    for (int i = 0; i < SFI_TABLES; i++)
        sfi_free(batch->sys, batch->tables[i].ops);
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

static struct sfi_op *new_op(struct sfi_batch *batch, enum sfi_table table, sf_bytes key,
                             size_t value_size)
{
    struct sfi_op_list *list = &batch->tables[table];
    size_t key_room = (key.size + 7) & ~(size_t)7,
           size = key_room + ((value_size + 7) & ~(size_t)7);
    if (key.size == 0 || key.size > SFI_KEY_MAX || value_size > UINT32_MAX)
        return NULL; /* none of ours is */
    unsigned char *bytes = reserve_op(batch, list) == 0 ? take_bytes(batch, size) : NULL;
    if (!bytes)
        return NULL;
    memcpy(bytes, key.data, key.size);
    struct sfi_op *op = &list->ops[list->count++];
    *op = (struct sfi_op){
        .key = bytes, .key_size = (uint16_t)key.size, .value_size = (uint32_t)value_size};
    batch->op_count++;
    batch->bytes += size;
    return op;
}

void *sfi_batch_put(struct sfi_batch *batch, enum sfi_table table, sf_bytes key, size_t value_size)
{
    struct sfi_op *op = new_op(batch, table, key, value_size);
    return op ? (void *)sfi_op_value(op).data : NULL;
}

int sfi_batch_delete(struct sfi_batch *batch, enum sfi_table table, sf_bytes key)
{
    struct sfi_op *op = new_op(batch, table, key, 0);
    if (!op)
        return SF_ENOMEM;
    op->is_delete = 1;
    return 0;
}

struct sfi_batch_mark sfi_batch_mark(const struct sfi_batch *batch)
{
    struct sfi_batch_mark mark = {.op_count = batch->op_count,
                                  .current = batch->current,
                                  .used = batch->current ? batch->current->used : 0,
                                  .bytes = batch->bytes};
    for (int i = 0; i < SFI_TABLES; i++)
        mark.counts[i] = batch->tables[i].count;
    return mark;
}

/* Blocks behind the current one are empty, so undoing means emptying all behind the marked one. */
void sfi_batch_rollback(struct sfi_batch *batch, struct sfi_batch_mark mark)
{
    if (batch->op_count == mark.op_count)
        return;
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
