#include "run/epoch.h"

#include "run/drive.h"
#include "run/part.h"
#include "run/runtime.h"

enum {
    TIME_MAX_MS = 100,
    ROWS_MAX = 1 << 16,   /* each may dirty a page: 256 MiB of LMDB's dirty list at most */
    WEIGH_EVERY = 32,     /* turns that share one weighing, */
    HEAVY_PART = 1024,    /* unless one took, sent or stored such a part of what an epoch may */
    SMALL_ROWS = 64,
    SMALL_BYTES = 64 << 10
};

void sfi_epoch_init(struct sfi_epoch *epoch, const struct sfi_sys *sys, uint64_t bytes_max)
{
    *epoch = (struct sfi_epoch){.open = 0};
    epoch->heavy_bytes = bytes_max / HEAVY_PART;
    sfi_counters_init(&epoch->counters);
    sfi_batch_init(&epoch->batches[0], sys);
    sfi_batch_init(&epoch->batches[1], sys);
}

void sfi_epoch_fini(struct sfi_epoch *epoch)
{
    sfi_batch_fini(&epoch->batches[0]);
    sfi_batch_fini(&epoch->batches[1]);
}

/* Would a commit change anything on disk? */
static int is_row_dirty(sf_runtime *rt)
{
    return sfi_epoch_batch(&rt->epoch)->op_count || sfi_parts_dirty(rt);
}

static __attribute__((noinline)) int weighs_enough(sf_runtime *rt)
{
    const struct sfi_batch *batch = sfi_epoch_batch(&rt->epoch);
    struct sfi_weight weight = sfi_parts_weight(rt);
    weight.bytes += batch->bytes + rt->gate.open.bytes;
    weight.rows += batch->op_count;
    return weight.full || weight.rows >= ROWS_MAX ||
           weight.bytes >= sfi_ceiling_epoch_bytes(&rt->ceiling);
}

/* The clock is looked at before every turn, since nobody knows how long a handler takes; the coarse one, because
 * a reading of the other costs a tenth of a turn.  Weighing costs more still, so light turns share one. */
int sfi_epoch_is_full(sf_runtime *rt)
{
    struct sfi_epoch *epoch = &rt->epoch;
    uint64_t now_ns = rt->sys->coarse_ns(rt->sys->ctx);
    if (epoch->turns == 0)
        epoch->started_ns = now_ns;
    if (epoch->turns >= rt->epoch_turns_max ||
        now_ns - epoch->started_ns >= TIME_MAX_MS * UINT64_C(1000000))
        return 1;
    const struct sfi_work *work = &rt->turns.work;
    size_t bytes = work->bytes + work->lent_bytes + rt->turns.message_bytes;
    return (epoch->turns % WEIGH_EVERY == 0 || bytes >= epoch->heavy_bytes) && weighs_enough(rt);
}

/* Rounded up, so that the epoch is weighed next. */
void sfi_epoch_moved(struct sfi_epoch *epoch, int moves)
{
    epoch->turns += (uint32_t)moves + WEIGH_EVERY - 1;
    epoch->turns -= epoch->turns % WEIGH_EVERY;
}

int sfi_epoch_is_dirty(sf_runtime *rt)
{
    return is_row_dirty(rt) || rt->gate.open.first ||
           rt->inbox.taken_ticket >
               atomic_load_explicit(&rt->tickets.durable, memory_order_relaxed);
}

/* -- seal ------------------------------------------------------------------------------------------- */

/* What the gate will let out goes from the open epoch to the sealed one. */
static void hand_over(sf_runtime *rt)
{
    struct sfi_epoch *epoch = &rt->epoch;
    sfi_gate_seal(&rt->gate);
    epoch->sealed_ticket = rt->inbox.taken_ticket;
    epoch->sealed_bytes = rt->inbox.taken_bytes;
    epoch->turns = 0;
}

/* -- publish ---------------------------------------------------------------------------------------- */

/* Under the lock. */
static void show_safe(sf_runtime *rt)
{
    struct sfi_epoch *epoch = &rt->epoch;
    if (epoch->safe == epoch->durable || rt->store->safe < epoch->durable)
        return;
    sfi_parts_safe(rt);
    sfi_gate_safe(rt);
    epoch->safe = epoch->durable;
}

/* Likewise. */
static void show_durable(sf_runtime *rt)
{
    sfi_parts_durable(rt);
    sfi_gate_durable(rt);
    rt->epoch.durable = rt->store->durable;
}

/* Under the lock: the room that outside work may use. */
static void measure_room(sf_runtime *rt)
{
    rt->ceiling.room = sfi_store_room(rt->store);
    rt->inbox.stored_bytes = rt->epoch.sealed_bytes;
}

/* What the epoch before left durable is safe now at the latest, and its marks are about to go. */
static void publish(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    show_safe(rt);
    show_durable(rt);
    show_safe(rt);
    measure_room(rt);
    pthread_mutex_unlock(&rt->lock);
    sfi_parts_published(rt);
}

int sfi_epoch_seal(sf_runtime *rt)
{
    struct sfi_epoch *epoch = &rt->epoch;
    struct sfi_batch *batch = sfi_epoch_batch(epoch);
    if (epoch->is_sealed)
        return 0;
    if (!is_row_dirty(rt)) {
        hand_over(rt);
        publish(rt);
        return 0;
    }
    struct sfi_batch_mark mark = sfi_batch_mark(batch);
    int rc = sfi_parts_save(rt, batch);
    if (rc < 0) {
        sfi_batch_rollback(batch, mark);
        return rc;
    }
    uint64_t number = rt->store->durable + 1;
    sfi_parts_saved(rt, number);
    hand_over(rt);
    sfi_batch_seal(batch, number);
    epoch->is_sealed = 1;
    epoch->open = !epoch->open;
    return 0;
}

int sfi_epoch_is_small(const sf_runtime *rt)
{
    const struct sfi_batch *sealed = &rt->epoch.batches[!rt->epoch.open];
    return sealed->op_count <= SMALL_ROWS && sealed->bytes <= SMALL_BYTES;
}

static int submit(sf_runtime *rt)
{
    struct sfi_epoch *epoch = &rt->epoch;
    if (!epoch->is_sealed || epoch->is_submitted)
        return 0;
    int rc = sfi_store_submit(rt->store, &epoch->batches[!epoch->open]);
    epoch->is_submitted = rc == 0;
    return rc;
}

static void became_durable(sf_runtime *rt)
{
    struct sfi_epoch *epoch = &rt->epoch;
    epoch->is_sealed = epoch->is_submitted = 0;
    epoch->stats.epochs++;
    sfi_batch_reset(&epoch->batches[!epoch->open]);
    publish(rt);
}

int sfi_epoch_settle(sf_runtime *rt, int wait)
{
    struct sfi_epoch *epoch = &rt->epoch;
    int rc = sfi_pid_check(rt, "a commit");
    if (rc == 0)
        rc = submit(rt);
    if (rc == 0)
        rc = sfi_store_settle(rt->store, wait);
    if (rc <= 0) {
        epoch->failures += rc < 0;
        return rc;
    }
    epoch->failures = 0;
    if (epoch->is_sealed) {
        became_durable(rt);
        return 1;
    }
    if (epoch->safe != epoch->durable || sfi_ceiling_is_near(&rt->ceiling)) {
        pthread_mutex_lock(&rt->lock); /* the store's own work may have changed both */
        show_safe(rt);
        measure_room(rt);
        pthread_mutex_unlock(&rt->lock);
    }
    return 1;
}

int sfi_epoch_flush(sf_runtime *rt)
{
    int rc = 0;
    for (int again = 1; rc == 0 && again;) {
        rc = sfi_epoch_settle(rt, 1);
        rc = rc < 0 ? sfi_epoch_settle(rt, 1) : rc; /* that may have been an old failure */
        again = rc > 0 && sfi_epoch_is_dirty(rt);
        rc = again ? sfi_epoch_seal(rt) : rc;
        rc = rc > 0 ? 0 : rc;
    }
    return rc;
}
