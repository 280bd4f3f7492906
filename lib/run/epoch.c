#include "run/epoch.h"

#include <unistd.h>

#include "actor/key.h"
#include "actor/type_record.h"
#include "base/err.h"
#include "run/runtime.h"
#include "store/record.h"

enum {
    TIME_MAX_MS = 100,
    BYTES_MAX = 32 << 20, /* of rows */
    ROWS_MAX = 1 << 16,   /* each may dirty a page: 256 MiB of LMDB's dirty list at most */
    CLOCK_EVERY = 256,    /* turns between looks at the clock */
    COUNTERS_BYTES = SFI_RECORD_HEADER + 16
};

void sfi_epoch_init(struct sfi_epoch *epoch, const struct sfi_sys *sys)
{
    *epoch = (struct sfi_epoch){.next_dead = 1};
    sfi_batch_init(&epoch->batches[0], sys);
    sfi_batch_init(&epoch->batches[1], sys);
}

void sfi_epoch_fini(struct sfi_epoch *epoch)
{
    sfi_reply_list_free(&epoch->replies);
    sfi_reply_list_free(&epoch->sealed_replies);
    sfi_batch_fini(&epoch->batches[0]);
    sfi_batch_fini(&epoch->batches[1]);
}

int sfi_epoch_is_full(sf_runtime *rt)
{
    struct sfi_epoch *epoch = &rt->epoch;
    const struct sfi_batch *batch = sfi_epoch_batch(epoch);
    if (epoch->turns >= rt->epoch_turns_max || batch->bytes + rt->actors.dirty_bytes >= BYTES_MAX ||
        batch->op_count + rt->actors.dirty_count >= ROWS_MAX)
        return 1;
    if (epoch->turns % CLOCK_EVERY)
        return 0;
    uint64_t now_ns = rt->sys->mono_ns(rt->sys->ctx);
    if (epoch->turns == 0)
        epoch->started_ns = now_ns;
    return now_ns - epoch->started_ns >= TIME_MAX_MS * UINT64_C(1000000);
}

static int types_dirty(const struct sfi_types *types)
{
    for (uint32_t i = 0; i < types->count; i++)
        if (types->all[i]->dirty)
            return 1;
    return 0;
}

static int positions_dirty(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    int dirty = sfi_positions_dirty(&rt->positions);
    pthread_mutex_unlock(&rt->lock);
    return dirty;
}

/* Would a commit change anything on disk? */
static int rows_dirty(sf_runtime *rt)
{
    return sfi_epoch_batch(&rt->epoch)->op_count || rt->actors.dirty ||
           sfi_mailbox_dirty(&rt->mailbox) || sfi_egresses_dirty(&rt->egresses) ||
           types_dirty(&rt->types) || positions_dirty(rt);
}

int sfi_epoch_is_dirty(sf_runtime *rt)
{
    return rows_dirty(rt) || rt->epoch.replies.first ||
           rt->inbox.taken_ticket >
               atomic_load_explicit(&rt->tickets.durable, memory_order_relaxed);
}

/* -- seal ------------------------------------------------------------------------------------------- */

/* R14: next sequences are stored, never derived from what a table holds. */
static int save_counters(sf_runtime *rt, struct sfi_batch *batch)
{
    struct sfi_key key;
    sfi_key_meta(&key, SFI_META_COUNTERS, "");
    unsigned char *record = sfi_batch_put(batch, SFI_META, sfi_key_bytes(&key), COUNTERS_BYTES);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_le64_put(record + SFI_RECORD_HEADER, rt->mailbox.next_sequence);
    sfi_le64_put(record + SFI_RECORD_HEADER + 8, rt->epoch.next_dead);
    sfi_record_seal(record, COUNTERS_BYTES, SFI_RECORD_COUNTERS, sfi_key_bytes(&key));
    return 0;
}

int sfi_epoch_load(sf_runtime *rt, sf_bytes key, sf_bytes record)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_COUNTERS, &payload);
    if (rc < 0)
        return rc;
    if (payload.size != COUNTERS_BYTES - SFI_RECORD_HEADER)
        return sfi_err(SF_ECORRUPT, "the record of counters has %zu bytes", payload.size);
    rt->mailbox.next_sequence = sfi_le64_get(payload.data);
    rt->epoch.next_dead = sfi_le64_get((const unsigned char *)payload.data + 8);
    return 0;
}

static int save_types(sf_runtime *rt, struct sfi_batch *batch)
{
    int rc = 0;
    for (uint32_t i = 0; i < rt->types.count && rc == 0; i++)
        if (rt->types.all[i]->dirty)
            rc = sfi_type_save(rt->types.all[i], batch);
    return rc;
}

static int save_positions(sf_runtime *rt, struct sfi_batch *batch)
{
    pthread_mutex_lock(&rt->lock);
    int rc = sfi_positions_save(&rt->positions, batch);
    pthread_mutex_unlock(&rt->lock);
    return rc;
}

static int save_all(sf_runtime *rt, struct sfi_batch *batch)
{
    int rc = save_types(rt, batch);
    if (rc == 0)
        rc = sfi_actors_save(&rt->actors, batch);
    if (rc == 0)
        rc = sfi_mailbox_save(&rt->mailbox, batch);
    if (rc == 0)
        rc = sfi_egresses_save(&rt->egresses, batch);
    if (rc == 0)
        rc = save_positions(rt, batch);
    if (rc == 0)
        rc = save_counters(rt, batch);
    return rc;
}

static void all_saved(sf_runtime *rt)
{
    for (uint32_t i = 0; i < rt->types.count; i++)
        rt->types.all[i]->dirty = 0;
    sfi_actors_cleaned(&rt->actors);
    sfi_mailbox_saved(&rt->mailbox);
    sfi_egresses_saved(&rt->egresses);
    pthread_mutex_lock(&rt->lock);
    sfi_positions_saved(&rt->positions);
    pthread_mutex_unlock(&rt->lock);
}

/* What the gate will let out goes from the open epoch to the sealed one. */
static void hand_over(sf_runtime *rt)
{
    struct sfi_epoch *epoch = &rt->epoch;
    epoch->sealed_replies = epoch->replies;
    epoch->replies = (struct sfi_reply_list){NULL, NULL};
    epoch->sealed_ticket = rt->inbox.taken_ticket;
    epoch->turns = 0;
}

/* -- publish ---------------------------------------------------------------------------------------- */

static void publish_egresses(sf_runtime *rt)
{
    for (struct sfi_egress *egress = rt->egresses.first; egress; egress = egress->next_egress)
        egress->durable = egress->sealed;
}

static void publish(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    publish_egresses(rt);
    sfi_positions_published(&rt->positions);
    sfi_asks_publish(rt, &rt->epoch.sealed_replies);
    sfi_ticket_publish(rt, rt->epoch.sealed_ticket);
    rt->store_room = sfi_store_room(rt->store);
    pthread_mutex_unlock(&rt->lock);
}

int sfi_epoch_seal(sf_runtime *rt)
{
    struct sfi_epoch *epoch = &rt->epoch;
    struct sfi_batch *batch = sfi_epoch_batch(epoch);
    if (epoch->is_sealed)
        return 0;
    if (!rows_dirty(rt)) {
        hand_over(rt);
        publish(rt);
        return 0;
    }
    struct sfi_batch_mark mark = sfi_batch_mark(batch);
    int rc = save_all(rt, batch);
    if (rc < 0) {
        sfi_batch_rollback(batch, mark);
        return rc;
    }
    all_saved(rt);
    hand_over(rt);
    sfi_batch_seal(batch, rt->store->durable + 1);
    epoch->is_sealed = 1;
    epoch->open = !epoch->open;
    return 0;
}

int sfi_epoch_settle(sf_runtime *rt, int wait)
{
    struct sfi_epoch *epoch = &rt->epoch;
    if (!epoch->is_sealed)
        return 1;
    struct sfi_batch *batch = &epoch->batches[!epoch->open];
    if (rt->has_dir && rt->dir.pid != getpid()) /* R5: forked around the C library */
        return sfi_err(SF_EFORK, "a runtime cannot commit after fork()");
    if (!epoch->is_submitted) {
        int rc = sfi_store_submit(rt->store, batch);
        if (rc < 0)
            return rc;
        epoch->is_submitted = 1;
    }
    int rc = sfi_store_settle(rt->store, wait);
    if (rc <= 0) {
        epoch->failures += rc < 0;
        return rc;
    }
    epoch->is_sealed = epoch->is_submitted = 0;
    epoch->failures = 0;
    epoch->stats.epochs++;
    sfi_batch_reset(batch);
    publish(rt);
    return 1;
}
