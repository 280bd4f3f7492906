#include "actor/rows.h"

#include "base/err.h"
#include "store/key_order.h"

static int lend(const struct sfi_rows *rows, sf_bytes *bytes)
{
    void *copy = sfi_arena_copy(rows->arena, bytes->data, bytes->size);
    if (!copy)
        return sfi_err(SF_ENOMEM, "out of memory");
    bytes->data = copy;
    return 0;
}

static const struct sfi_op *find_op(const struct sfi_rows *rows, enum sfi_table table, sf_bytes key)
{
    const struct sfi_op *op = sfi_batch_find(rows->open, table, key);
    return op ? op : sfi_batch_find(rows->sealed, table, key);
}

static int get_durable(const struct sfi_rows *rows, enum sfi_table table, sf_bytes key,
                       sf_bytes *out)
{
    struct sfi_snapshot *snapshot;
    int rc = sfi_snapshot_open(rows->store, &snapshot);
    if (rc < 0)
        return rc;
    sf_bytes found;
    rc = sfi_snapshot_get(snapshot, table, key, &found);
    if (rc > 0 && lend(rows, &found) < 0)
        rc = SF_ENOMEM;
    sfi_snapshot_close(snapshot);
    if (rc > 0)
        *out = found;
    return rc;
}

int sfi_rows_get(const struct sfi_rows *rows, enum sfi_table table, sf_bytes key, sf_bytes *out)
{
    const struct sfi_op *op = find_op(rows, table, key);
    if (!op)
        return get_durable(rows, table, key, out);
    if (!op->is_delete)
        *out = sfi_op_value(op);
    return !op->is_delete;
}

int sfi_rows_has(const struct sfi_rows *rows, enum sfi_table table, sf_bytes key)
{
    struct sfi_snapshot *snapshot;
    sf_bytes found;
    const struct sfi_op *op = find_op(rows, table, key);
    if (op)
        return !op->is_delete;
    int rc = sfi_snapshot_open(rows->store, &snapshot);
    if (rc < 0)
        return rc;
    rc = sfi_snapshot_get(snapshot, table, key, &found);
    sfi_snapshot_close(snapshot);
    return rc;
}

/* -- walking ----------------------------------------------------------------------------------- */

enum { OPEN, SEALED, DURABLE, STREAMS };

/* One of the three, at its next row. */
struct stream {
    const struct sfi_batch *batch; /* NULL: the snapshot */
    const struct sfi_op *op;
    int has_row; /* else it is through */
    sf_bytes key, value;
};

struct merge {
    enum sfi_table table;
    int is_backward;
    struct stream streams[STREAMS]; /* newest first */
    struct sfi_snapshot *snapshot;
};

static void show_op(struct stream *stream, const struct sfi_op *op)
{
    stream->op = op;
    stream->has_row = op != NULL;
    if (op)
        stream->key = sfi_op_key(op);
}

static int seek_durable(const struct merge *merge, struct stream *stream, sf_bytes from,
                        int excludes)
{
    int rc = merge->is_backward ? sfi_snapshot_seek_before(merge->snapshot, merge->table, from,
                                                           &stream->key, &stream->value)
                                : sfi_snapshot_seek(merge->snapshot, merge->table, from, excludes,
                                                    &stream->key, &stream->value);
    stream->has_row = rc > 0;
    return rc < 0 ? rc : 0;
}

static int begin(struct merge *merge, const struct sfi_place *place)
{
    for (int i = OPEN; i < DURABLE; i++) {
        struct stream *stream = &merge->streams[i];
        show_op(stream,
                place->is_backward
                    ? sfi_batch_before(stream->batch, merge->table, place->key, 1)
                    : sfi_batch_after(stream->batch, merge->table, place->key, place->excludes));
    }
    return seek_durable(merge, &merge->streams[DURABLE], place->key, place->excludes);
}

static int advance(const struct merge *merge, struct stream *stream)
{
    if (!stream->batch)
        return seek_durable(merge, stream, stream->key, 1);
    show_op(stream, merge->is_backward
                        ? sfi_batch_before(stream->batch, merge->table, stream->key, 1)
                        : sfi_batch_next(stream->batch, merge->table, stream->op));
    return 0;
}

/* The stream whose row comes next; where several have the key, the newest.  NULL: all are
 * through. */
static const struct stream *nearest(const struct merge *merge)
{
    const struct stream *best = NULL;
    for (int i = 0; i < STREAMS; i++) {
        const struct stream *stream = &merge->streams[i];
        int order = best && stream->has_row ? sfi_key_compare(stream->key, best->key) : -1;
        if (stream->has_row && (!best || (merge->is_backward ? order > 0 : order < 0)))
            best = stream;
    }
    return best;
}

/* All that have this key go on. */
static int pass(struct merge *merge, sf_bytes key)
{
    int rc = 0;
    for (int i = 0; i < STREAMS && rc == 0; i++) {
        struct stream *stream = &merge->streams[i];
        if (stream->has_row &&
            (stream->key.data == key.data || sfi_key_compare(stream->key, key) == 0))
            rc = advance(merge, stream);
    }
    return rc;
}

static int walk(struct merge *merge, sfi_take *take, void *ctx)
{
    const struct stream *stream;
    int rc = 1;
    while (rc > 0 && (stream = nearest(merge))) {
        sf_bytes key = stream->key;
        if (!stream->op)
            rc = take(ctx, key, stream->value);
        else if (!stream->op->is_delete)
            rc = take(ctx, key, sfi_op_value(stream->op));
        if (rc > 0) {
            int passed = pass(merge, key);
            rc = passed < 0 ? passed : rc;
        }
    }
    return rc < 0 ? rc : 0;
}

int sfi_rows_walk(const struct sfi_rows *rows, enum sfi_table table, const struct sfi_place *place,
                  sfi_take *take, void *ctx)
{
    struct merge merge = {.table = table, .is_backward = place->is_backward};
    int rc = sfi_snapshot_open(rows->store, &merge.snapshot);
    if (rc < 0)
        return rc;
    merge.streams[OPEN].batch = rows->open;
    merge.streams[SEALED].batch = rows->sealed;
    rc = begin(&merge, place);
    if (rc == 0)
        rc = walk(&merge, take, ctx);
    sfi_snapshot_close(merge.snapshot);
    return rc;
}

/* -- seeking: a walk of one step --------------------------------------------------------------- */

struct one {
    const struct sfi_rows *rows;
    int found;
    sf_bytes key, value;
};

static int take_one(void *ctx, sf_bytes key, sf_bytes value)
{
    struct one *one = ctx;
    one->key = key;
    one->value = value;
    one->found = lend(one->rows, &one->key) == 0 && lend(one->rows, &one->value) == 0;
    return one->found ? 0 : SF_ENOMEM;
}

static int seek(const struct sfi_rows *rows, enum sfi_table table, struct sfi_place place,
                sf_bytes *out_key, sf_bytes *out_value)
{
    struct one one = {.rows = rows};
    int rc = sfi_rows_walk(rows, table, &place, take_one, &one);
    if (rc == 0 && one.found) {
        *out_key = one.key;
        *out_value = one.value;
    }
    return rc < 0 ? rc : one.found;
}

int sfi_rows_seek(const struct sfi_rows *rows, enum sfi_table table, sf_bytes from, int after,
                  sf_bytes *out_key, sf_bytes *out_value)
{
    return seek(rows, table, (struct sfi_place){from, 0, after}, out_key, out_value);
}

int sfi_rows_seek_before(const struct sfi_rows *rows, enum sfi_table table, sf_bytes before,
                         sf_bytes *out_key, sf_bytes *out_value)
{
    return seek(rows, table, (struct sfi_place){before, 1, 1}, out_key, out_value);
}
