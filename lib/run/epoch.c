#include "run/epoch.h"

#include "actor/key.h"
#include "actor/type_record.h"
#include "base/err.h"
#include "run/drive.h"
#include "run/runtime.h"
#include "store/record.h"

enum {
    TIME_MAX_MS = 100,
    ROWS_MAX = 1 << 16,   /* each may dirty a page: 256 MiB of LMDB's dirty list at most */
    CLOCK_EVERY = 256,    /* turns between looks at the clock */
    SMALL_ROWS = 64,
    SMALL_BYTES = 64 << 10,
    QUIET_MS = 10, /* before the store's own work is done */
    COUNTERS_BYTES = SFI_RECORD_HEADER + 24
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
    const struct sfi_mailbox *mailbox = &rt->mailbox;
    uint64_t bytes =
        batch->bytes + rt->actors.dirty_bytes + mailbox->unsaved_bytes + epoch->replies.bytes;
    if (epoch->turns >= rt->epoch_turns_max || bytes >= sfi_ceiling_epoch_bytes(&rt->ceiling) ||
        batch->op_count + rt->actors.dirty_count + mailbox->unsaved_count +
                mailbox->handled_count >=
            ROWS_MAX ||
        sfi_actors_are_full(&rt->actors) || sfi_mailbox_is_full(mailbox))
        return 1;
    if (epoch->turns % CLOCK_EVERY)
        return 0;
    uint64_t now_ns = rt->sys->mono_ns(rt->sys->ctx);
    if (epoch->turns == 0)
        epoch->started_ns = now_ns;
    return now_ns - epoch->started_ns >= TIME_MAX_MS * UINT64_C(1000000);
}

/* Would a commit change anything on disk? */
static int rows_dirty(sf_runtime *rt)
{
    return sfi_epoch_batch(&rt->epoch)->op_count || rt->actors.dirty_count ||
           sfi_mailbox_dirty(&rt->mailbox) || sfi_egresses_dirty(&rt->egresses) ||
           sfi_types_dirty(&rt->types) || sfi_positions_dirty(&rt->positions);
}

int sfi_epoch_is_dirty(sf_runtime *rt)
{
    return rows_dirty(rt) || rt->epoch.replies.first ||
           rt->inbox.taken_ticket >
               atomic_load_explicit(&rt->tickets.durable, memory_order_relaxed);
}

/* -- seal ------------------------------------------------------------------------------------------- */

/* Next sequences and counts are stored, never derived from what a table holds.  After sealing every
 * message has its row, so `count` is the number of rows. */
static int save_counters(sf_runtime *rt, struct sfi_batch *batch)
{
    struct sfi_key key;
    sfi_key_meta(&key, SFI_META_COUNTERS, "");
    unsigned char *record = sfi_batch_put(batch, SFI_META, sfi_key_bytes(&key), COUNTERS_BYTES);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_le64_put(record + SFI_RECORD_HEADER, rt->mailbox.next_sequence);
    sfi_le64_put(record + SFI_RECORD_HEADER + 8, rt->epoch.next_dead);
    sfi_le64_put(record + SFI_RECORD_HEADER + 16, rt->mailbox.count);
    sfi_record_finish(record, COUNTERS_BYTES, SFI_RECORD_COUNTERS, sfi_key_bytes(&key));
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
    const unsigned char *at = payload.data;
    sfi_mailbox_recover(&rt->mailbox, rt->store, sfi_le64_get(at), sfi_le64_get(at + 16));
    rt->epoch.next_dead = sfi_le64_get(at + 8);
    return 0;
}

static int save_all(sf_runtime *rt, struct sfi_batch *batch)
{
    int rc = sfi_types_save(&rt->types, batch);
    if (rc == 0)
        rc = sfi_actors_save(&rt->actors, batch);
    if (rc == 0)
        rc = sfi_mailbox_save(&rt->mailbox, batch);
    if (rc == 0)
        rc = sfi_egresses_save(&rt->egresses, batch);
    if (rc == 0)
        rc = sfi_positions_save(&rt->positions, batch);
    if (rc == 0)
        rc = save_counters(rt, batch);
    return rc;
}

static void all_saved(sf_runtime *rt, uint64_t number)
{
    sfi_types_saved(&rt->types);
    sfi_actors_cleaned(&rt->actors, number);
    sfi_mailbox_saved(&rt->mailbox);
    sfi_egresses_saved(&rt->egresses);
    sfi_positions_saved(&rt->positions);
}

/* What the gate will let out goes from the open epoch to the sealed one. */
static void hand_over(sf_runtime *rt)
{
    struct sfi_epoch *epoch = &rt->epoch;
    epoch->sealed_replies = epoch->replies;
    epoch->replies = (struct sfi_reply_list){NULL, NULL, 0};
    epoch->sealed_ticket = rt->inbox.taken_ticket;
    epoch->sealed_bytes = rt->inbox.taken_bytes;
    epoch->turns = 0;
}

/* -- publish ---------------------------------------------------------------------------------------- */

static void mark_durable(sf_runtime *rt)
{
    for (struct sfi_egress *egress = rt->egresses.first; egress; egress = egress->next_egress)
        egress->durable = egress->sealed;
    sfi_positions_durable(&rt->positions);
    rt->epoch.durable = rt->store->durable;
}

/* Under the lock. */
static void show_safe(sf_runtime *rt)
{
    struct sfi_epoch *epoch = &rt->epoch;
    if (epoch->safe == epoch->durable || rt->store->safe < epoch->durable)
        return;
    for (struct sfi_egress *egress = rt->egresses.first; egress; egress = egress->next_egress)
        egress->safe = egress->durable;
    sfi_positions_safe(&rt->positions);
    epoch->safe = epoch->durable;
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
    mark_durable(rt);
    show_safe(rt);
    sfi_asks_publish(rt, &rt->epoch.sealed_replies);
    sfi_ticket_publish(rt, rt->epoch.sealed_ticket);
    measure_room(rt);
    pthread_mutex_unlock(&rt->lock);
    sfi_mailbox_published(&rt->mailbox);
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
    uint64_t number = rt->store->durable + 1;
    all_saved(rt, number);
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
    if (rt->commit_inline)
        rt->tidy_ns = rt->sys->mono_ns(rt->sys->ctx) + QUIET_MS * UINT64_C(1000000);
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
