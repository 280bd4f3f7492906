#include "run/reclaim.h"

#include <string.h>

#include "base/err.h"
#include "run/part.h"
#include "run/runtime.h"
#include "store/key_order.h"

enum { RECLAIM_ROWS = 1024, RECLAIM_ROWS_IDLE = 8192 };

#define QUIET_NS (UINT64_C(10) * 1000000)
#define RETRY_NS (UINT64_C(1000) * 1000000)

/* One slice of it. */
struct slice {
    sf_runtime *rt;
    struct sfi_snapshot *snapshot;
    struct sfi_batch *open;
    uint64_t left; /* rows */
};

static int drop_row(const struct slice *slice, sf_bytes key)
{
    return sfi_batch_delete(slice->open, SFI_ENTRY, key) < 0
               ? sfi_err(SF_ENOMEM, "out of memory")
               : 0;
}

/* What an epoch that is not durable yet says of a row; NULL: nothing. */
static const struct sfi_op *newer(const struct slice *slice, sf_bytes key)
{
    const struct sfi_epoch *epoch = &slice->rt->epoch;
    const struct sfi_op *op = sfi_batch_find(slice->open, SFI_ENTRY, key);
    return op ? op : sfi_batch_find(&epoch->batches[!epoch->open], SFI_ENTRY, key);
}

/* -- rows of one number ------------------------------------------------------------------------ */

/* Is that row garbage, as the promise says? */
static int is_promised(const struct sfi_promise *promise, sf_bytes row)
{
    struct sfi_key end;
    unsigned char name[8];
    if (row.size < 9 || sfi_be64_get(row.data) != promise->number)
        return 0;
    if (promise->before == SFI_PROMISE_ALL)
        return 1;
    sfi_be64_put(name, promise->before);
    sfi_key_entry(&end, promise->number, SF_BYTES(name, sizeof name));
    return sfi_key_compare(row, sfi_key_bytes(&end)) < 0;
}

static void remember(struct sfi_reclaim *reclaim, uint64_t number, sf_bytes key)
{
    reclaim->number = number;
    memcpy(reclaim->at.bytes, key.data, key.size);
    reclaim->at.size = key.size;
}

/* 1: none is left; 0: the slice is full; negative. */
static int drop_rows(struct slice *slice, const struct sfi_promise *promise)
{
    struct sfi_reclaim *reclaim = &slice->rt->reclaim;
    struct sfi_key from;
    sf_bytes key, value;
    int goes_on = reclaim->number == promise->number && reclaim->at.size;
    sfi_key_sequence(&from, promise->number);
    if (goes_on)
        from = reclaim->at;
    for (key = sfi_key_bytes(&from); slice->left; slice->left--) {
        int rc = sfi_snapshot_seek(slice->snapshot, SFI_ENTRY, key, goes_on, &key, &value);
        if (rc <= 0 || !is_promised(promise, key))
            return rc < 0 ? rc : 1;
        rc = drop_row(slice, key);
        if (rc < 0)
            return rc;
        remember(reclaim, promise->number, key);
        goes_on = 1;
    }
    return 0;
}

/* -- promises ---------------------------------------------------------------------------------- */

/* The first from that number on; 1, 0 or negative. */
static int next_promise(const struct slice *slice, uint64_t number, struct sfi_promise *out)
{
    struct sfi_key from;
    sf_bytes key, record;
    sfi_key_promise(&from, number);
    int rc = sfi_snapshot_seek(slice->snapshot, SFI_ENTRY, sfi_key_bytes(&from), 0, &key, &record);
    if (rc <= 0 || key.size != 16 || sfi_be64_get(key.data) != 0)
        return rc < 0 ? rc : 0;
    rc = sfi_promise_open(key, record, out);
    return rc < 0 ? rc : 1;
}

/* Its rows, and when none is left the promise.  1: on to the next; 0: the slice is full;
 * negative. */
static int keep_promise(struct slice *slice, const struct sfi_promise *promise)
{
    struct sfi_key key;
    sfi_key_promise(&key, promise->number);
    const struct sfi_op *op = newer(slice, sfi_key_bytes(&key));
    if (op && op->is_delete)
        return 1;
    int rc = drop_rows(slice, promise);
    if (rc > 0 && !op && drop_row(slice, sfi_key_bytes(&key)) < 0)
        rc = SF_ENOMEM;
    return rc;
}

/* 1: all promises that there are were met, and there are some; 0: there is none, or the slice is
 * full; negative. */
static int run(struct slice *slice)
{
    struct sfi_reclaim *reclaim = &slice->rt->reclaim;
    struct sfi_promise promise;
    uint64_t durable = slice->rt->store->durable, first = reclaim->number, met = 0;
    int rc;
    while ((rc = next_promise(slice, reclaim->number, &promise)) > 0) {
        met++;
        rc = keep_promise(slice, &promise);
        if (rc <= 0)
            return rc;
        remember(reclaim, promise.number + 1, SF_BYTES("", 0));
    }
    remember(reclaim, 0, SF_BYTES("", 0));
    if (rc == 0 && !met && first == 0 && durable >= reclaim->pending_epoch)
        reclaim->is_pending = 0;
    return rc;
}

static int reclaim_slice(sf_runtime *rt, uint64_t rows)
{
    struct slice slice = {.rt = rt, .open = sfi_epoch_batch(&rt->epoch), .left = rows};
    struct sfi_reclaim before = rt->reclaim;
    int rc = sfi_snapshot_open(rt->store, &slice.snapshot);
    if (rc < 0)
        return rc;
    struct sfi_batch_mark mark = sfi_batch_mark(slice.open);
    rc = run(&slice);
    if (rc < 0) {
        sfi_batch_rollback(slice.open, mark);
        rt->reclaim = before;
    }
    sfi_snapshot_close(slice.snapshot);
    return rc;
}

/* -- as a part of the runtime ------------------------------------------------------------------ */

static void saved(sf_runtime *rt, uint64_t epoch)
{
    uint32_t rows = sfi_epoch_batch(&rt->epoch)->tables[SFI_ENTRY].count;
    if (rows == 0)
        return;
    rt->reclaim.is_pending = 1;
    rt->reclaim.pending_epoch = epoch;
    rt->reclaim.debt += rows;
}

/* What an earlier run left is taken up when this one is idle. */
static int loaded(sf_runtime *rt)
{
    struct slice slice = {.rt = rt};
    struct sfi_promise promise;
    int rc = sfi_snapshot_open(rt->store, &slice.snapshot);
    if (rc < 0)
        return rc;
    rc = next_promise(&slice, 0, &promise);
    sfi_snapshot_close(slice.snapshot);
    rt->reclaim.is_pending = rc > 0;
    rt->reclaim.due_ns = rc > 0;
    return rc == SF_ENOMEM || rc == SF_EDISK ? rc : 0;
}

static void published(sf_runtime *rt)
{
    if (rt->reclaim.is_pending)
        rt->reclaim.due_ns = rt->sys->mono_ns(rt->sys->ctx) + QUIET_NS;
}

static uint64_t due(sf_runtime *rt)
{
    return rt->reclaim.is_pending && !rt->epoch.is_sealed ? rt->reclaim.due_ns : 0;
}

/* What is damaged stays, until the next open looks again. */
static void failed(struct sfi_reclaim *reclaim, int rc, uint64_t now_ns)
{
    if (rc == SF_ENOMEM || rc == SF_EDISK)
        reclaim->due_ns = now_ns + RETRY_NS;
    else
        reclaim->is_pending = 0;
}

static void wake(sf_runtime *rt, uint64_t now_ns)
{
    struct sfi_reclaim *reclaim = &rt->reclaim;
    int is_idle = reclaim->due_ns && now_ns >= reclaim->due_ns && !rt->epoch.is_sealed;
    if (!reclaim->is_pending || (reclaim->debt < RECLAIM_ROWS && !is_idle))
        return;
    uint64_t rows = is_idle ? RECLAIM_ROWS_IDLE : RECLAIM_ROWS;
    int rc = reclaim_slice(rt, reclaim->debt > rows ? reclaim->debt : rows);
    reclaim->debt = 0;
    reclaim->due_ns = 0; /* the commit of it, or of something else, sets it again */
    if (rc < 0)
        failed(reclaim, rc, now_ns);
    else if (reclaim->is_pending && !sfi_epoch_batch(&rt->epoch)->op_count && !rt->epoch.is_sealed)
        reclaim->due_ns = now_ns + QUIET_NS;
}

const struct sfi_part sfi_part_reclaim = {
    .name = "reclaiming", .loaded = loaded, .saved = saved, .published = published, .due = due,
    .wake = wake};
