#include "run/delivery.h"

#include "actor/key.h"
#include "base/err.h"
#include "run/callback.h"
#include "run/drive.h"
#include "run/part.h"

enum {
    RECORDS_MAX = 256,   /* in one call */
    BYTES_MAX = 1 << 20, /* likewise */
    ROUNDS_MAX = 64,     /* calls of one egress in one step */
    PAUSE_MIN_MS = 100,
    PAUSE_DOUBLINGS_MAX = 7
};

int sfi_delivery_request_ack(sf_runtime *rt, struct sfi_egress *egress, uint64_t sequence)
{
    if (sequence > egress->safe)
        return sfi_err(SF_EINVAL, "egress '%s': record %llu does not exist; the newest is %llu",
                       egress->name, (unsigned long long)sequence,
                       (unsigned long long)egress->safe);
    if (sequence > egress->ack_request) {
        egress->ack_request = sequence;
        sfi_poll_signal(rt);
    }
    return 0;
}

static void acknowledge(struct sfi_egress *egress, uint64_t sequence)
{
    if (sequence > egress->acked) {
        egress->acked = sequence;
        egress->dirty = 1;
    }
    if (egress->delivered < egress->acked)
        egress->delivered = egress->acked;
}

/* Takes over what was requested. */
static void acknowledge_all(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    for (struct sfi_egress *egress = rt->egresses.first; egress; egress = egress->next_egress)
        acknowledge(egress, egress->ack_request);
    pthread_mutex_unlock(&rt->lock);
}

static int has_acknowledgements(sf_runtime *rt)
{
    int has = 0;
    pthread_mutex_lock(&rt->lock);
    for (struct sfi_egress *egress = rt->egresses.first; egress; egress = egress->next_egress)
        has |= egress->ack_request > egress->acked;
    pthread_mutex_unlock(&rt->lock);
    return has;
}

static int is_ready(const struct sfi_egress *egress, uint64_t now_ns)
{
    return egress->callback && egress->delivered < egress->safe && egress->retry_ns <= now_ns;
}

/* Copies the records behind `delivered` into the arena.  Their number, or what the store says. */
static int collect(sf_runtime *rt, const struct sfi_egress *egress, sf_message *records)
{
    struct sfi_snapshot *snapshot;
    struct sfi_key key;
    sf_bytes found, record;
    int count = 0, rc = sfi_snapshot_open(rt->store, &snapshot);
    size_t bytes = 0;
    if (rc < 0)
        return rc;
    for (uint64_t s = egress->delivered + 1;
         s <= egress->safe && count < RECORDS_MAX && bytes < BYTES_MAX; s++) {
        sfi_key_outbox(&key, egress->number, s);
        found = sfi_key_bytes(&key);
        rc = sfi_snapshot_get(snapshot, SFI_OUTBOX, found, &record);
        if (rc == 0)
            rc = sfi_err(SF_ECORRUPT, "egress '%s': record %llu is missing", egress->name,
                         (unsigned long long)s);
        if (rc > 0)
            rc = sfi_egress_read(egress, found, record, &rt->types, &rt->delivery, &records[count]);
        if (rc < 0)
            break;
        bytes += record.size;
        count++;
    }
    sfi_snapshot_close(snapshot);
    return rc < 0 && count == 0 ? rc : count;
}

static void after_call(sf_runtime *rt, struct sfi_egress *egress, int done, int count)
{
    if (done < 0 || done > count) {
        uint32_t doublings =
            egress->failures < PAUSE_DOUBLINGS_MAX ? egress->failures++ : PAUSE_DOUBLINGS_MAX;
        egress->retry_ns =
            rt->sys->mono_ns(rt->sys->ctx) + ((uint64_t)PAUSE_MIN_MS << doublings) * 1000000;
        return;
    }
    egress->failures = 0;
    egress->retry_ns = 0;
    if (done == 0) {
        egress->delivered += (uint64_t)count;
        return;
    }
    acknowledge(egress, egress->delivered + (uint64_t)done);
}

/* One call.  1: there may be more; 0: not now; negative: what the store says. */
static int deliver(sf_runtime *rt, struct sfi_egress *egress)
{
    sf_message records[RECORDS_MAX];
    const sf_message *pointers[RECORDS_MAX];
    if (!is_ready(egress, rt->sys->mono_ns(rt->sys->ctx)))
        return 0;
    sfi_arena_reset(&rt->delivery);
    int count = collect(rt, egress, records);
    if (count < 0)
        return count;
    for (int i = 0; i < count; i++)
        pointers[i] = &records[i];
    sfi_callback_begin(rt);
    int done = egress->callback(pointers, (size_t)count, egress->userdata);
    sfi_callback_end(rt);
    if (sfi_life_check(rt, "a callback") < 0)
        return SF_EFORK;
    after_call(rt, egress, done, count);
    return 1;
}

int sfi_delivery_run(sf_runtime *rt)
{
    int rc = 0;
    for (struct sfi_egress *egress = rt->egresses.first; egress && rc >= 0;
         egress = egress->next_egress)
        for (int round = 0; round < ROUNDS_MAX && (rc = deliver(rt, egress)) > 0; round++)
            ;
    return rc < 0 ? rc : 0;
}

/* -- as a part of the runtime, with the egresses ------------------------------------------------------ */

static int part_dirty(sf_runtime *rt)
{
    return sfi_egresses_dirty(&rt->egresses);
}

static int part_save(sf_runtime *rt, struct sfi_batch *batch)
{
    return sfi_egresses_save(&rt->egresses, batch);
}

static void part_saved(sf_runtime *rt, uint64_t epoch)
{
    (void)epoch;
    sfi_egresses_saved(&rt->egresses);
}

static void part_durable(sf_runtime *rt)
{
    for (struct sfi_egress *egress = rt->egresses.first; egress; egress = egress->next_egress)
        egress->durable = egress->sealed;
}

static void part_safe(sf_runtime *rt)
{
    for (struct sfi_egress *egress = rt->egresses.first; egress; egress = egress->next_egress)
        egress->safe = egress->durable;
}

/* When a pause ends. */
static uint64_t part_due(sf_runtime *rt)
{
    uint64_t due_ns = 0;
    for (const struct sfi_egress *egress = rt->egresses.first; egress; egress = egress->next_egress)
        if (egress->callback && egress->delivered < egress->safe && egress->retry_ns &&
            (due_ns == 0 || egress->retry_ns < due_ns))
            due_ns = egress->retry_ns;
    return due_ns;
}

static void part_wake(sf_runtime *rt, uint64_t now_ns)
{
    (void)now_ns;
    acknowledge_all(rt);
}

static int part_ready(sf_runtime *rt, uint64_t now_ns)
{
    for (const struct sfi_egress *egress = rt->egresses.first; egress; egress = egress->next_egress)
        if (is_ready(egress, now_ns))
            return 1;
    return has_acknowledgements(rt);
}

static int part_load(sf_runtime *rt, sf_bytes key, sf_bytes record)
{
    return sfi_egress_load(&rt->egresses, key, record);
}

const struct sfi_part sfi_part_delivery = {.name = "egresses",
                                           .dirty = part_dirty,
                                           .save = part_save,
                                           .saved = part_saved,
                                           .durable = part_durable,
                                           .safe = part_safe,
                                           .due = part_due,
                                           .wake = part_wake,
                                           .ready = part_ready,
                                           .meta = SFI_META_EGRESS,
                                           .load = part_load};
