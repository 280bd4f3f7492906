#include "store/batch.h"

#include <assert.h>
#include <string.h>

enum { CHUNK_BYTES = 256 * 1024, OPS_MIN = 64 };

struct sfi_chunk {
    struct sfi_chunk *next;
    size_t size, used;
    _Alignas(16) unsigned char bytes[];
};

void sfi_batch_init(struct sfi_batch *batch, const struct sfi_sys *sys)
{
    *batch = (struct sfi_batch){.sys = sys};
}

void sfi_batch_fini(struct sfi_batch *batch)
{
    for (struct sfi_chunk *chunk = batch->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        sfi_free(batch->sys, chunk);
    }
    for (int i = 0; i < SFI_TABLES; i++)
        sfi_free(batch->sys, batch->tables[i].ops);
    *batch = (struct sfi_batch){.sys = batch->sys};
}

/* Gives oversized chunks back, keeps the others. */
void sfi_batch_reset(struct sfi_batch *batch)
{
    for (struct sfi_chunk **place = &batch->chunks, *chunk; (chunk = *place);) {
        if (chunk->size > CHUNK_BYTES) {
            *place = chunk->next;
            sfi_free(batch->sys, chunk);
        } else {
            chunk->used = 0;
            place = &chunk->next;
        }
    }
    batch->current = batch->chunks;
    for (int i = 0; i < SFI_TABLES; i++)
        batch->tables[i].count = 0;
    batch->op_count = 0;
    batch->epoch = 0;
    batch->bytes = 0;
}

static struct sfi_chunk *insert_chunk(struct sfi_batch *batch, size_t size)
{
    size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    struct sfi_chunk *chunk = sfi_alloc(batch->sys, sizeof *chunk + room);
    if (!chunk)
        return NULL;
    struct sfi_chunk **place = batch->current ? &batch->current->next : &batch->chunks;
    *chunk = (struct sfi_chunk){.next = *place, .size = room};
    *place = chunk;
    return chunk;
}

static unsigned char *take_bytes(struct sfi_batch *batch, size_t size)
{
    struct sfi_chunk *chunk = batch->current;
    while (chunk && chunk->size - chunk->used < size)
        chunk = chunk->next;
    if (!chunk)
        chunk = insert_chunk(batch, size);
    if (!chunk)
        return NULL;
    batch->current = chunk;
    unsigned char *bytes = chunk->bytes + chunk->used;
    chunk->used += size;
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
    assert(key.size > 0 && key.size <= SFI_KEY_MAX && value_size <= UINT32_MAX);
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

/* Chunks behind the current one are empty, so undoing means emptying all behind the marked one. */
void sfi_batch_rollback(struct sfi_batch *batch, struct sfi_batch_mark mark)
{
    if (batch->op_count == mark.op_count)
        return;
    struct sfi_chunk *chunk = mark.current ? mark.current->next : batch->chunks;
    for (; chunk; chunk = chunk->next)
        chunk->used = 0;
    if (mark.current)
        mark.current->used = mark.used;
    batch->current = mark.current ? mark.current : batch->chunks;
    for (int i = 0; i < SFI_TABLES; i++)
        batch->tables[i].count = mark.counts[i];
    batch->op_count = mark.op_count;
    batch->bytes = mark.bytes;
}
