#include "run/delivery.h"

#include <string.h>

#include "actor/key.h"
#include "base/err.h"
#include "run/part.h"
#include "run/runtime.h"

enum {
    RECORDS_MAX = 256,   /* in one call */
    BYTES_MAX = 1 << 20, /* likewise */
    SHARE_PART = 8,      /* of what waits, in one step, */
    SHARE_MIN = 1024,    /* at least */
    SHARE_MAX = 1 << 14, /* and at most */
    PAUSE_MIN_MS = 100,
    PAUSE_DOUBLINGS_MAX = 7
};

/* -- acknowledgements -------------------------------------------------------------------------- */

int sfi_delivery_request_ack(sf_runtime *rt, struct sfi_egress *egress, uint64_t sequence)
{
    if (sequence > egress->safe)
        return sfi_err(SF_EINVAL, "egress '%s': record %llu does not exist; the newest is %llu",
                       egress->name, (unsigned long long)sequence,
                       (unsigned long long)egress->safe);
    if (sequence > egress->ack_request) {
        egress->ack_request = sequence;
        sfi_egress_push(&rt->egresses, SFI_EGRESS_ACKS, egress);
        sfi_poll_signal(rt);
    }
    return 0;
}

static struct sfi_egress *take_request(sf_runtime *rt, uint64_t *sequence)
{
    pthread_mutex_lock(&rt->lock);
    struct sfi_egress *egress = sfi_egress_pop(&rt->egresses, SFI_EGRESS_ACKS);
    *sequence = egress ? egress->ack_request : 0;
    pthread_mutex_unlock(&rt->lock);
    return egress;
}

/* The bytes emitted with a record, from its row; 0: not to be had. */
static uint64_t written_with(sf_runtime *rt, const struct sfi_egress *egress, uint64_t sequence)
{
    struct sfi_snapshot *snapshot;
    struct sfi_key key;
    sf_bytes record;
    uint64_t written = 0;
    sfi_key_outbox(&key, egress->number, sequence);
    if (sfi_snapshot_open(rt->store, &snapshot) < 0)
        return 0;
    if (sfi_snapshot_get(snapshot, SFI_OUTBOX, sfi_key_bytes(&key), &record) > 0)
        written = sfi_egress_written(egress, sfi_key_bytes(&key), record);
    sfi_snapshot_close(snapshot);
    return written;
}

/* One record less lets one of those in who wait for room. */
static void acknowledge(sf_runtime *rt, struct sfi_egress *egress, uint64_t sequence,
                        uint64_t written)
{
    uint64_t before = egress->acked;
    sfi_egress_acknowledge(&rt->egresses, egress, sequence, written);
    sfi_room_made(&rt->mailbox.holds, &egress->room, egress->acked - before);
}

/* Takes over what was requested. */
static void acknowledge_all(sf_runtime *rt)
{
    struct sfi_egress *egress;
    uint64_t sequence;
    while ((egress = take_request(rt, &sequence)))
        if (sequence > egress->acked)
            acknowledge(rt, egress, sequence, written_with(rt, egress, sequence));
}

/* -- records for one call ---------------------------------------------------------------------- */

struct call {
    sf_message records[RECORDS_MAX];
    uint64_t written[RECORDS_MAX];
    int count;
    size_t bytes;
};

/* Moves `at` to the record with that sequence, which must be the next row.  1 or negative. */
static int next_row(struct sfi_snapshot *snapshot, const struct sfi_egress *egress,
                    uint64_t sequence, struct sfi_key *at, sf_bytes *record)
{
    sf_bytes found;
    struct sfi_key wanted;
    int rc = sfi_snapshot_seek(snapshot, SFI_OUTBOX, sfi_key_bytes(at), 1, &found, record);
    sfi_key_outbox(&wanted, egress->number, sequence);
    if (rc < 0)
        return rc;
    if (rc == 0 || found.size != wanted.size || memcmp(found.data, wanted.bytes, found.size) != 0)
        return sfi_err(SF_ECORRUPT, "egress '%s': record %llu is missing", egress->name,
                       (unsigned long long)sequence);
    *at = wanted;
    return 1;
}

static int read_rows(sf_runtime *rt, struct sfi_snapshot *snapshot, const struct sfi_egress *egress,
                     struct call *call)
{
    struct sfi_key at;
    sf_bytes record;
    int rc = 0;
    sfi_key_outbox(&at, egress->number, egress->delivered);
    for (uint64_t s = egress->delivered + 1;
         s <= egress->safe && call->count < RECORDS_MAX && call->bytes < BYTES_MAX; s++) {
        rc = next_row(snapshot, egress, s, &at, &record);
        if (rc > 0)
            rc = sfi_egress_read(egress, sfi_key_bytes(&at), record, &rt->types, &rt->delivery,
                                 &call->records[call->count], &call->written[call->count]);
        if (rc < 0)
            return rc;
        call->bytes += record.size;
        call->count++;
    }
    return 0;
}

/* Copies the records past `delivered` into the arena.  0, or what the store says if there is not
 * even one. */
static int collect(sf_runtime *rt, const struct sfi_egress *egress, struct call *call)
{
    struct sfi_snapshot *snapshot;
    sfi_arena_reset(&rt->delivery);
    call->count = 0;
    call->bytes = 0;
    int rc = sfi_snapshot_open(rt->store, &snapshot);
    if (rc < 0)
        return rc;
    rc = read_rows(rt, snapshot, egress, call);
    sfi_snapshot_close(snapshot);
    return rc < 0 && call->count == 0 ? rc : 0;
}

/* -- calls ------------------------------------------------------------------------------------- */

static int make_call(sf_runtime *rt, struct sfi_egress *egress, const struct call *call)
{
    const sf_message *pointers[RECORDS_MAX];
    for (int i = 0; i < call->count; i++)
        pointers[i] = &call->records[i];
    SFI_INSIDE(rt->drive.guard.callbacks);
    return egress->callback(pointers, (size_t)call->count, egress->userdata);
}

static void pause_delivery(sf_runtime *rt, struct sfi_egress *egress)
{
    uint32_t doublings =
        egress->failures < PAUSE_DOUBLINGS_MAX ? egress->failures++ : PAUSE_DOUBLINGS_MAX;
    sfi_egress_pause(&rt->egresses, egress,
                     rt->sys->mono_ns(rt->sys->ctx) +
                         ((uint64_t)PAUSE_MIN_MS << doublings) * 1000000);
}

static void after_call(sf_runtime *rt, struct sfi_egress *egress, const struct call *call, int done)
{
    struct sfi_egresses *egresses = &rt->egresses;
    uint64_t shown = egress->delivered + (uint64_t)call->count;
    if (done > call->count || (done < 0 && done != SF_LATER))
        done = 0;
    if (done)
        egress->failures = 0;
    if (done == SF_LATER)
        sfi_egress_delivered(egresses, egress, shown);
    else if (done)
        acknowledge(rt, egress, egress->delivered + (uint64_t)done, call->written[done - 1]);
    if (egress->delivered < shown)
        pause_delivery(rt, egress);
}

/* One call, if there is something to deliver.  0, or what the store says. */
static int deliver(sf_runtime *rt, struct sfi_egress *egress, uint64_t *budget)
{
    struct call call;
    if (egress->is_fenced || egress->delivered >= egress->safe ||
        egress->pause.position != SFI_HEAP_OUT)
        return 0;
    int rc = collect(rt, egress, &call);
    if (rc == SF_ECORRUPT) {
        sfi_egress_fence(&rt->egresses, egress);
        return 0;
    }
    if (rc < 0)
        return rc;
    int done = make_call(rt, egress, &call);
    if (sfi_life_check(rt, "a callback") < 0)
        return SF_EFORK;
    after_call(rt, egress, &call, done);
    *budget -= *budget < (uint64_t)call.count ? *budget : (uint64_t)call.count;
    return 0;
}

static uint64_t step_budget(const struct sfi_egresses *egresses)
{
    uint64_t share = egresses->undelivered / SHARE_PART;
    share = share < SHARE_MIN ? SHARE_MIN : share > SHARE_MAX ? SHARE_MAX : share;
    return egresses->fresh + share;
}

int sfi_delivery_run(sf_runtime *rt)
{
    uint64_t budget = step_budget(&rt->egresses);
    struct sfi_egress *egress;
    int rc = 0;
    rt->egresses.fresh = 0;
    while (budget && rc == 0 && (egress = sfi_egress_pop(&rt->egresses, SFI_EGRESS_READY))) {
        sfi_egress_ready(&rt->egresses, egress); /* before the call, which may be left by longjmp */
        rc = deliver(rt, egress, &budget);
    }
    return rc;
}

/* -- as a part of the runtime, with the egresses ----------------------------------------------- */

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
    sfi_egresses_durable(&rt->egresses);
}

static void part_safe(sf_runtime *rt)
{
    sfi_egresses_safe(&rt->egresses);
}

/* When a pause ends. */
static uint64_t part_due(sf_runtime *rt)
{
    const struct sfi_heap_node *pause = sfi_heap_first(&rt->egresses.pauses);
    return pause ? pause->due : 0;
}

static void part_wake(sf_runtime *rt, uint64_t now_ns)
{
    sfi_egresses_wake(&rt->egresses, now_ns);
    acknowledge_all(rt);
}

static int has_acknowledgements(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    int has = rt->egresses.lists[SFI_EGRESS_ACKS].first != NULL;
    pthread_mutex_unlock(&rt->lock);
    return has;
}

static int part_ready(sf_runtime *rt, uint64_t now_ns)
{
    uint64_t due_ns = part_due(rt);
    return rt->egresses.lists[SFI_EGRESS_READY].first || (due_ns && due_ns <= now_ns) ||
           has_acknowledgements(rt);
}

static int part_load(sf_runtime *rt, sf_bytes key, sf_bytes record)
{
    return sfi_egress_load(&rt->egresses, key, record);
}

/* Counters say which rows there are; if they were believed with none there, delivery and deletion
 * would go through numbers without end.  The first and the last row, and none past it: what is
 * missing between them is noticed when it is read. */
static int check_rows(struct sfi_snapshot *snapshot, const struct sfi_egress *egress)
{
    struct sfi_key at;
    sf_bytes found, record;
    uint64_t first = egress->trimmed + 1, last = egress->next - 1;
    int rc = 1;
    sfi_key_outbox(&at, egress->number, egress->trimmed);
    if (first <= last)
        rc = next_row(snapshot, egress, first, &at, &record);
    sfi_key_outbox(&at, egress->number, last - 1);
    if (rc > 0 && first < last)
        rc = next_row(snapshot, egress, last, &at, &record);
    sfi_key_outbox(&at, egress->number, last);
    if (rc > 0)
        rc = sfi_snapshot_seek(snapshot, SFI_OUTBOX, sfi_key_bytes(&at), 1, &found, &record);
    if (rc > 0 && memcmp(found.data, at.bytes, 4) == 0)
        return sfi_err(SF_ECORRUPT, "egress '%s': there are records past %llu, its newest",
                       egress->name, (unsigned long long)last);
    return rc < 0 ? rc : 0;
}

static int part_loaded(sf_runtime *rt)
{
    struct sfi_snapshot *snapshot;
    int rc = rt->egresses.first ? sfi_snapshot_open(rt->store, &snapshot) : 0;
    if (rc < 0 || !rt->egresses.first)
        return rc;
    for (const struct sfi_egress *e = rt->egresses.first; e && rc == 0; e = e->next_egress)
        rc = check_rows(snapshot, e);
    sfi_snapshot_close(snapshot);
    return rc;
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
                                           .load = part_load,
                                           .loaded = part_loaded};
