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

/* -- seeking ------------------------------------------------------------------------------------------ */

/* Where a walk stands, and which way it goes. */
struct place {
    sf_bytes key;
    int is_backward, excludes; /* forward: past `key`; backward it never includes it */
};

static const struct sfi_op *nearest_op(const struct sfi_batch *batch, enum sfi_table table,
                                       const struct place *place)
{
    return place->is_backward ? sfi_batch_before(batch, table, place->key, 1)
                              : sfi_batch_after(batch, table, place->key, place->excludes);
}

/* Of two rows the one that comes first; the newer one where both have the key. */
static const struct sfi_op *sooner(const struct sfi_op *newer, const struct sfi_op *older,
                                   int is_backward)
{
    if (!newer || !older)
        return newer ? newer : older;
    int order = sfi_key_compare(sfi_op_key(newer), sfi_op_key(older));
    return order == 0 || (order < 0) != is_backward ? newer : older;
}

static int nearest_durable(struct sfi_snapshot *snapshot, enum sfi_table table,
                           const struct place *place, sf_bytes *key, sf_bytes *value)
{
    return place->is_backward
               ? sfi_snapshot_seek_before(snapshot, table, place->key, key, value)
               : sfi_snapshot_seek(snapshot, table, place->key, place->excludes, key, value);
}

/* The nearest row of all three, deleted or not.  1, 0 or negative; *deleted. */
static int step(const struct sfi_rows *rows, struct sfi_snapshot *snapshot, enum sfi_table table,
                const struct place *place, sf_bytes *key, sf_bytes *value, int *deleted)
{
    const struct sfi_op *op =
        sooner(nearest_op(rows->open, table, place), nearest_op(rows->sealed, table, place),
               place->is_backward);
    int rc = nearest_durable(snapshot, table, place, key, value);
    *deleted = 0;
    if (rc < 0 || !op)
        return rc;
    int order = rc == 0 ? 0 : sfi_key_compare(sfi_op_key(op), *key);
    if (order != 0 && (order < 0) == place->is_backward)
        return rc; /* the durable one comes first */
    *key = sfi_op_key(op);
    *value = sfi_op_value(op);
    *deleted = op->is_delete;
    return 1;
}

static int lend_both(const struct sfi_rows *rows, sf_bytes *key, sf_bytes *value)
{
    int rc = lend(rows, key);
    return rc < 0 ? rc : lend(rows, value);
}

static int walk(const struct sfi_rows *rows, enum sfi_table table, struct place place,
                sf_bytes *out_key, sf_bytes *out_value)
{
    struct sfi_snapshot *snapshot;
    sf_bytes key, value;
    int deleted, rc = sfi_snapshot_open(rows->store, &snapshot);
    if (rc < 0)
        return rc;
    while ((rc = step(rows, snapshot, table, &place, &key, &value, &deleted)) > 0 && deleted) {
        place.key = key;
        place.excludes = 1;
    }
    if (rc > 0 && lend_both(rows, &key, &value) < 0)
        rc = SF_ENOMEM;
    sfi_snapshot_close(snapshot);
    if (rc > 0) {
        *out_key = key;
        *out_value = value;
    }
    return rc;
}

int sfi_rows_seek(const struct sfi_rows *rows, enum sfi_table table, sf_bytes from, int after,
                  sf_bytes *out_key, sf_bytes *out_value)
{
    return walk(rows, table, (struct place){from, 0, after}, out_key, out_value);
}

int sfi_rows_seek_before(const struct sfi_rows *rows, enum sfi_table table, sf_bytes before,
                         sf_bytes *out_key, sf_bytes *out_value)
{
    return walk(rows, table, (struct place){before, 1, 1}, out_key, out_value);
}
