#include "store/batch.h"

#include <assert.h>
#include <string.h>

#include "base/endian.h"

enum {
    CHUNK_BYTES = 256 * 1024,
    OPS_MIN = 256,
    FIRST_BYTES = 7, /* of the key, behind the table's number in the first prefix */
    PREFIX_BYTES = 8,
    SORT_FEW = 16,  /* sorted by insertion */
    SPLITS_MAX = 64 /* a bound for the stack too */
};

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
    sfi_free(batch->sys, batch->ops);
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

static struct sfi_op *add_op(struct sfi_batch *batch)
{
    if (batch->op_count == batch->op_capacity) {
        uint32_t capacity = batch->op_capacity ? batch->op_capacity * 2 : OPS_MIN;
        void *ops = sfi_resize(batch->sys, batch->ops, capacity * sizeof *batch->ops);
        if (!ops)
            return NULL;
        batch->ops = ops;
        batch->op_capacity = capacity;
    }
    return &batch->ops[batch->op_count];
}

/* `size` bytes of the key from `at`, as a number that sorts like them; missing ones count as zero. */
static uint64_t key_number(sf_bytes key, size_t at, size_t size)
{
    const unsigned char *bytes = key.data;
    uint64_t number = 0;
    if (size == PREFIX_BYTES && at + size <= key.size)
        return sfi_be64_get(bytes + at);
    for (size_t i = at; i < at + size; i++)
        number = number << 8 | (i < key.size ? bytes[i] : 0);
    return number;
}

static struct sfi_op *new_op(struct sfi_batch *batch, enum sfi_table table, sf_bytes key,
                             size_t value_size)
{
    size_t key_room = (key.size + 7) & ~(size_t)7,
           size = key_room + ((value_size + 7) & ~(size_t)7);
    assert(key.size > 0 && key.size <= SFI_KEY_MAX && value_size <= UINT32_MAX);
    struct sfi_op *op = add_op(batch);
    unsigned char *bytes = op ? take_bytes(batch, size) : NULL;
    if (!bytes)
        return NULL;
    memcpy(bytes, key.data, key.size);
    *op = (struct sfi_op){.prefix =
                              (uint64_t)table << 8 * FIRST_BYTES | key_number(key, 0, FIRST_BYTES),
                          .key = bytes,
                          .key_size = (uint16_t)key.size,
                          .value_size = (uint32_t)value_size,
                          .order = batch->op_count,
                          .table = (uint8_t)table};
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
    return (struct sfi_batch_mark){batch->op_count, batch->current,
                                   batch->current ? batch->current->used : 0, batch->bytes};
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
    batch->op_count = mark.op_count;
    batch->bytes = mark.bytes;
}

/* -- sort -------------------------------------------------------------------------------------------
 * Quicksort by eight bytes of the key at a time: those that are equal so far go on with the next eight.
 * Keys begin alike (a type's number, an id's first letters), so comparing whole keys would look at the
 * same bytes again and again; and the C library's qsort() allocates.  Few are sorted by insertion;
 * heapsort steps in when ids chosen by strangers defeat the choice of pivots. */

/* LMDB's order: bytes, then size. */
static int compare_keys(const struct sfi_op *a, const struct sfi_op *b)
{
    size_t size = a->key_size < b->key_size ? a->key_size : b->key_size;
    int order = memcmp(a->key, b->key, size);
    return order ? order : (int)a->key_size - (int)b->key_size;
}

/* A strict order, for operations whose prefixes were taken at the same place. */
static inline int comes_before(const struct sfi_op *a, const struct sfi_op *b)
{
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix;
    int order = compare_keys(a, b);
    return order ? order < 0 : a->order < b->order;
}

static inline void swap_ops(struct sfi_op *a, struct sfi_op *b)
{
    struct sfi_op kept = *a;
    *a = *b;
    *b = kept;
}

static void insertion_sort(struct sfi_op *ops, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct sfi_op op = ops[i];
        size_t at = i;
        for (; at > 0 && comes_before(&op, &ops[at - 1]); at--)
            ops[at] = ops[at - 1];
        ops[at] = op;
    }
}

static void sink(struct sfi_op *ops, size_t at, size_t count)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && comes_before(&ops[child], &ops[child + 1]))
            child++;
        if (!comes_before(&ops[at], &ops[child]))
            return;
        swap_ops(&ops[at], &ops[child]);
    }
}

static void heap_sort(struct sfi_op *ops, size_t count)
{
    for (size_t i = count / 2; i > 0; i--)
        sink(ops, i - 1, count);
    for (size_t left = count; left > 1; left--) {
        swap_ops(&ops[0], &ops[left - 1]);
        sink(ops, 0, left - 1);
    }
}

static uint64_t median(uint64_t a, uint64_t b, uint64_t c)
{
    if (a < b)
        return b < c ? b : a < c ? c : a;
    return a < c ? a : b < c ? c : b;
}

static uint64_t choose_pivot(const struct sfi_op *ops, size_t count)
{
    size_t step = count / 9;
    uint64_t thirds[3];
    for (size_t i = 0; i < 3; i++, ops += 3 * step)
        thirds[i] = median(ops[0].prefix, ops[step].prefix, ops[2 * step].prefix);
    return median(thirds[0], thirds[1], thirds[2]);
}

/* Smaller ones to the left of `*low`, greater ones from `*high` on, equal ones between. */
static void partition(struct sfi_op *ops, size_t count, size_t *low, size_t *high)
{
    uint64_t pivot = choose_pivot(ops, count);
    size_t at = 0;
    *low = 0;
    *high = count;
    while (at < *high) {
        if (ops[at].prefix == pivot)
            at++;
        else if (ops[at].prefix > pivot)
            swap_ops(&ops[at], &ops[--*high]);
        else if (at++ != (*low)++)
            swap_ops(&ops[at - 1], &ops[*low - 1]);
    }
}

/* 0: all keys have ended before. */
static int load_prefixes(struct sfi_op *ops, size_t count, size_t at)
{
    int more = 0;
    for (size_t i = 0; i < count; i++) {
        ops[i].prefix = key_number(sfi_op_key(&ops[i]), at, PREFIX_BYTES);
        more |= ops[i].key_size > at;
    }
    return more;
}

/* `at`: the first byte of the key that is not in the prefixes. */
static void sort_ops(struct sfi_op *ops, size_t count, size_t at, int splits_max)
{
    size_t low, high;
    for (; count > SORT_FEW && splits_max-- > 0; at += PREFIX_BYTES) {
        partition(ops, count, &low, &high);
        sort_ops(ops, low, at, splits_max);
        sort_ops(ops + high, count - high, at, splits_max);
        ops += low;
        count = high - low;
        if (!load_prefixes(ops, count, at))
            break;
    }
    if (count > SORT_FEW)
        heap_sort(ops, count);
    else
        insertion_sort(ops, count);
}

/* -- seal ------------------------------------------------------------------------------------------- */

static int same_row(const struct sfi_op *a, const struct sfi_op *b)
{
    return a->table == b->table && a->key_size == b->key_size &&
           memcmp(a->key, b->key, a->key_size) == 0;
}

void sfi_batch_seal(struct sfi_batch *batch, uint64_t epoch)
{
    uint32_t kept = 0;
    sort_ops(batch->ops, batch->op_count, FIRST_BYTES, SPLITS_MAX);
    for (uint32_t i = 0; i < batch->op_count; i++) {
        if (i + 1 < batch->op_count && same_row(&batch->ops[i], &batch->ops[i + 1]))
            continue; /* replaced by a later one */
        batch->ops[kept++] = batch->ops[i];
    }
    batch->op_count = kept;
    batch->epoch = epoch;
}
