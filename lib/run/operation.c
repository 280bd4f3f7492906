#include "run/operation.h"

#include <string.h>

#include "actor/rows.h"
#include "base/err.h"
#include "run/command.h"
#include "run/inbox.h"
#include "run/part.h"
#include "run/runtime.h"
#include "store/record.h"

enum { SLICE_MAX = 1024, SLICE_BYTES = 1 << 20, LIMIT_RETRY_MS = 10 };

void sfi_operations_init(struct sfi_operations *operations, const struct sfi_sys *sys, uint64_t max,
                         uint32_t workers_max)
{
    *operations = (struct sfi_operations){.sys = sys, .next = 1, .max = max};
    sfi_lookup_init(&operations->by_id, sys);
    sfi_lookup_init(&operations->by_owner, sys);
    sfi_heap_init(&operations->limits, sys);
    sfi_workers_init(&operations->workers, sys, workers_max);
}

void sfi_operations_fini(struct sfi_operations *operations)
{
    sfi_workers_fini(&operations->workers);
    for (struct sfi_job *job; (job = sfi_jobs_pop(&operations->starts));)
        sfi_job_free(job);
    for (uint32_t i = 0; i < operations->by_id.capacity; i++)
        if (operations->by_id.places[i].thing)
            sfi_free(operations->sys, operations->by_id.places[i].thing);
    sfi_lookup_fini(&operations->by_id);
    sfi_lookup_fini(&operations->by_owner);
    sfi_heap_fini(&operations->limits);
}

/* -- the table --------------------------------------------------------------------------------- */

/* Numbers rise, and lie in no order so. */
static uint64_t hash_of(uint64_t id)
{
    return id * UINT64_C(0x9e3779b97f4a7c15) >> 16;
}

static struct sfi_operation *find(const struct sfi_operations *operations, uint64_t id)
{
    struct sfi_operation *entry;
    for (uint32_t at = 0; (entry = sfi_lookup_next(&operations->by_id, hash_of(id), &at));)
        if (entry->id == id)
            return entry;
    return NULL;
}

static int enter(struct sfi_operations *operations, struct sfi_operation *entry, uint64_t until_ns)
{
    if (sfi_lookup_reserve(&operations->by_id) < 0 ||
        sfi_lookup_reserve(&operations->by_owner) < 0 ||
        (until_ns && sfi_heap_push(&operations->limits, &entry->limit, until_ns) < 0))
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_lookup_add(&operations->by_id, hash_of(entry->id), entry);
    sfi_lookup_add(&operations->by_owner, entry->owner, entry);
    operations->count++;
    return 0;
}

int sfi_operations_enter(sf_runtime *rt, struct sfi_operation *entry, uint64_t until_ns)
{
    pthread_mutex_lock(&rt->lock);
    int rc = enter(&rt->operations, entry, until_ns);
    pthread_mutex_unlock(&rt->lock);
    return rc;
}

static void take_out(struct sfi_operations *operations, struct sfi_operation *entry)
{
    sfi_lookup_remove(&operations->by_id, hash_of(entry->id), entry);
    sfi_lookup_remove(&operations->by_owner, entry->owner, entry);
    sfi_heap_remove(&operations->limits, &entry->limit);
    operations->count--;
}

void sfi_operations_withdraw(sf_runtime *rt, struct sfi_operation *entry)
{
    pthread_mutex_lock(&rt->lock);
    take_out(&rt->operations, entry);
    pthread_mutex_unlock(&rt->lock);
}

/* It is over. */
static void leave(sf_runtime *rt, uint64_t id)
{
    pthread_mutex_lock(&rt->lock);
    struct sfi_operation *entry = find(&rt->operations, id);
    if (entry)
        take_out(&rt->operations, entry);
    pthread_mutex_unlock(&rt->lock);
    sfi_free(rt->sys, entry);
}

uint64_t sfi_operations_due_ns(const sf_runtime *rt, uint64_t time_ms)
{
    const uint64_t most_ms = UINT64_C(1) << 43; /* some centuries */
    uint64_t now_ns = rt->sys->mono_ns(rt->sys->ctx);
    return now_ns + (time_ms < most_ms ? time_ms : most_ms) * 1000000;
}

/* -- rows -------------------------------------------------------------------------------------- */

/* What they lend lies in the arena of delivery, which is idle meanwhile. */
static struct sfi_rows rows_now(sf_runtime *rt)
{
    sfi_arena_reset(&rt->delivery);
    return (struct sfi_rows){.store = rt->store,
                             .open = sfi_epoch_batch(&rt->epoch),
                             .sealed = &rt->epoch.batches[!rt->epoch.open],
                             .arena = &rt->delivery};
}

int sfi_operations_get(sf_runtime *rt, const struct sfi_key *key, sf_bytes *record)
{
    struct sfi_rows rows = rows_now(rt);
    return sfi_rows_get(&rows, SFI_ASYNC, sfi_key_bytes(key), record);
}

static int get_row(sf_runtime *rt, uint64_t id, struct sfi_operation_row *row)
{
    struct sfi_key key;
    sf_bytes record;
    sfi_key_async(&key, id);
    int rc = sfi_operations_get(rt, &key, &record);
    if (rc > 0 && sfi_operation_parse(sfi_key_bytes(&key), record, row) < 0)
        return 0; /* nobody can say any more whose it was; sf_verify() tells of it */
    return rc;
}

static int is_of(const struct sfi_operation_row *row, const struct sfi_whom *whom)
{
    return row->owner_type == whom->type->number && row->owner_id.size == whom->id_size &&
           memcmp(row->owner_id.data, whom->id, whom->id_size) == 0;
}

/* -- all of an actor --------------------------------------------------------------------------- */

static struct sfi_operation *next_of(sf_runtime *rt, uint64_t hash, uint32_t *at)
{
    pthread_mutex_lock(&rt->lock);
    struct sfi_operation *entry = sfi_lookup_next(&rt->operations.by_owner, hash, at);
    pthread_mutex_unlock(&rt->lock);
    return entry;
}

void sfi_operations_keep(sf_runtime *rt, const struct sfi_whom *whom)
{
    struct sfi_operation *entry;
    for (uint32_t at = 0; (entry = next_of(rt, whom->hash, &at));)
        entry->is_leaving = 0;
}

int sfi_operations_erase(sf_runtime *rt, const struct sfi_whom *whom, struct sfi_batch *batch,
                         uint32_t *awaited)
{
    struct sfi_operation *entry;
    struct sfi_operation_row row;
    int rc = 0;
    *awaited = 0;
    for (uint32_t at = 0; rc >= 0 && (entry = next_of(rt, whom->hash, &at));) {
        rc = entry->is_leaving ? 0 : get_row(rt, entry->id, &row);
        if (rc <= 0 || !is_of(&row, whom))
            continue;
        *awaited += row.is_awaited != 0;
        rc = sfi_operation_erase(entry->id, batch);
        entry->is_leaving = rc == 0;
    }
    if (rc < 0)
        sfi_operations_keep(rt, whom);
    return rc < 0 ? rc : 0;
}

static struct sfi_operation *next_leaving(sf_runtime *rt, uint64_t hash)
{
    struct sfi_operation *entry;
    uint32_t at = 0;
    while ((entry = next_of(rt, hash, &at)) && !entry->is_leaving)
        ;
    return entry;
}

void sfi_operations_drop(sf_runtime *rt, const struct sfi_whom *whom)
{
    for (struct sfi_operation *entry; (entry = next_leaving(rt, whom->hash));)
        leave(rt, entry->id);
}

/* -- answered ---------------------------------------------------------------------------------- */

static struct sfi_message *make_message(sf_runtime *rt, uint64_t id,
                                        const struct sfi_operation_row *row, int result,
                                        sf_bytes body, const char *reason)
{
    struct sfi_type *to = sfi_types_number(&rt->types, row->owner_type);
    struct sfi_type *from = sfi_types_number(&rt->types, row->from_type);
    struct sfi_answer answer = {id, result, row->is_awaited, row->request, sf_str(reason)};
    size_t size = sfi_answer_size(&answer);
    unsigned char *part = sfi_alloc(rt->sys, size);
    if (!part)
        return NULL;
    sfi_answer_put(part, &answer);
    struct sfi_letter letter = {
        .to_type = to,
        .from_type = from,
        .hash = sfi_actors_hash(&rt->actors, to, row->owner_id.data, row->owner_id.size),
        .to_id = row->owner_id.data,
        .to_size = row->owner_id.size,
        .from_id = from ? row->from_id.data : (const char *)&row->ask,
        .from_size = from ? row->from_id.size : row->ask ? sizeof row->ask : 0,
        .kind = row->kind.data,
        .kind_size = row->kind.size,
        .body = body,
        .parts = {.has = SFI_PART_ANSWER, .answer = SF_BYTES(part, size)}};
    struct sfi_message *message = sfi_message_new(&rt->mailbox.pool, &letter);
    sfi_free(rt->sys, part);
    return message;
}

/* The row becomes a message.  1; 0: there is none; negative: SF_ENOMEM, or what the store says, and nothing
 * happened. */
static int answer(sf_runtime *rt, uint64_t id, int result, sf_bytes body, const char *reason)
{
    struct sfi_operation_row row;
    int rc = get_row(rt, id, &row);
    if (rc <= 0 || !sfi_types_number(&rt->types, row.owner_type))
        return rc < 0 ? rc : 0;
    struct sfi_message *message = make_message(rt, id, &row, result, body, reason);
    if (!message)
        return sfi_err(SF_ENOMEM, "out of memory");
    rc = sfi_operation_erase(id, sfi_epoch_batch(&rt->epoch));
    if (rc < 0) {
        sfi_message_free(&rt->mailbox.pool, message);
        return rc;
    }
    sfi_mailbox_push(&rt->mailbox, message);
    return 1;
}

static int is_under_way(sf_runtime *rt, uint64_t id)
{
    pthread_mutex_lock(&rt->lock);
    int is = find(&rt->operations, id) != NULL;
    pthread_mutex_unlock(&rt->lock);
    return is;
}

/* The text is the answer, or why it failed, with a zero byte. */
static int execute(sf_runtime *rt, const struct sfi_command *command)
{
    int failed = command->result < 0;
    if (!is_under_way(rt, command->number))
        return 0; /* purged meanwhile */
    int rc = answer(rt, command->number, command->result, failed ? SF_NONE : command->text,
                    failed ? command->text.data : "");
    if (rc < 0)
        return rc;
    leave(rt, command->number);
    return 0;
}

const struct sfi_verb sfi_verb_answer = {"answer", SFI_ANSWERS, execute};

static int give(sf_runtime *rt, struct sfi_operation *entry, int result, sf_bytes bytes)
{
    struct sfi_parcel parcel = {.verb = SFI_ANSWER,
                                .id = "",
                                .kind = "",
                                .body = bytes,
                                .number = entry->id,
                                .result = result};
    int64_t ticket = sfi_inbox_send(rt, &parcel);
    if (ticket < 0)
        return (int)ticket;
    entry->is_answered = 1;
    sfi_heap_remove(&rt->operations.limits, &entry->limit);
    sfi_poll_signal(rt);
    return 0;
}

int sfi_operation_complete(sf_runtime *rt, uint64_t id, int result, sf_bytes bytes)
{
    pthread_mutex_lock(&rt->lock);
    struct sfi_operation *entry = find(&rt->operations, id);
    int rc = entry && !entry->is_answered
                 ? give(rt, entry, result, bytes)
                 : sfi_err(SF_ENOTFOUND, "operation %llu is over", (unsigned long long)id);
    pthread_mutex_unlock(&rt->lock);
    return rc;
}

/* -- functions --------------------------------------------------------------------------------- */

/* What was purged meanwhile, or is over by its limit, is not begun. */
static void job_out(sf_runtime *rt, struct sfi_effect *effect)
{
    struct sfi_job *job = (struct sfi_job *)effect;
    const struct sfi_operation *entry = find(&rt->operations, job->op.id);
    if (!entry || entry->is_answered)
        sfi_job_free(job);
    else if (job->is_work)
        sfi_workers_push(&rt->operations.workers, job);
    else
        sfi_jobs_push(&rt->operations.starts, job);
}

static void job_drop(struct sfi_effect *effect)
{
    sfi_job_free((struct sfi_job *)effect);
}

const struct sfi_effect_kind sfi_job_effect = {
    .waits_for_safe = 1, .out = job_out, .drop = job_drop};

int sfi_operations_start_count(const sf_runtime *rt)
{
    int count = 0;
    for (const struct sfi_job *job = rt->operations.starts.first; job && count < SLICE_MAX;
         job = (const struct sfi_job *)job->effect.next)
        count++;
    return count;
}

int sfi_operation_call(sf_runtime *rt)
{
    struct sfi_job *job = sfi_jobs_pop(&rt->operations.starts);
    if (!job)
        return 0;
    SFI_INSIDE(rt->drive.guard.callbacks);
    sfi_job_run(job);
    return 1;
}

/* -- limits ------------------------------------------------------------------------------------ */

static struct sfi_operation *of_limit(struct sfi_heap_node *node)
{
    return (struct sfi_operation *)((char *)node - offsetof(struct sfi_operation, limit));
}

/* 0: none is due. */
static uint64_t next_over(sf_runtime *rt, uint64_t now_ns)
{
    uint64_t id = 0;
    pthread_mutex_lock(&rt->lock);
    struct sfi_heap_node *first = sfi_heap_first(&rt->operations.limits);
    if (first && first->due <= now_ns) {
        sfi_heap_remove(&rt->operations.limits, first);
        of_limit(first)->is_answered = 1;
        id = of_limit(first)->id;
    }
    pthread_mutex_unlock(&rt->lock);
    return id;
}

/* Without memory, or a disk: a little later.  The heap has its room still. */
static void put_off(sf_runtime *rt, uint64_t id, uint64_t now_ns)
{
    pthread_mutex_lock(&rt->lock);
    struct sfi_operation *entry = find(&rt->operations, id);
    entry->is_answered = 0;
    (void)sfi_heap_push(&rt->operations.limits, &entry->limit,
                        now_ns + LIMIT_RETRY_MS * UINT64_C(1000000));
    pthread_mutex_unlock(&rt->lock);
}

static void end_limits(sf_runtime *rt, uint64_t now_ns)
{
    uint64_t id;
    for (int i = 0; i < SLICE_MAX && (id = next_over(rt, now_ns)); i++) {
        if (answer(rt, id, SF_ETIMEOUT, SF_NONE, "nobody answered in time") < 0) {
            put_off(rt, id, now_ns);
            return;
        }
        leave(rt, id);
    }
}

/* -- at open ----------------------------------------------------------------------------------- */

static uint64_t left_ns(const sf_runtime *rt, uint64_t until_ms)
{
    uint64_t now_ms = rt->sys->wall_ms(rt->sys->ctx);
    if (!until_ms)
        return 0;
    return sfi_operations_due_ns(rt, until_ms > now_ms ? until_ms - now_ms : 0);
}

static int load_row(sf_runtime *rt, uint64_t id, const struct sfi_operation_row *row)
{
    struct sfi_operations *operations = &rt->operations;
    const struct sfi_type *type = sfi_types_number(&rt->types, row->owner_type);
    if (id >= operations->next || !type)
        return sfi_err(SF_ECORRUPT, "operation %llu on disk cannot be", (unsigned long long)id);
    struct sfi_operation *entry = sfi_zalloc(rt->sys, sizeof *entry);
    if (!entry)
        return sfi_err(SF_ENOMEM, "out of memory");
    entry->id = id;
    entry->owner = sfi_actors_hash(&rt->actors, type, row->owner_id.data, row->owner_id.size);
    entry->is_lost = entry->is_answered = !row->is_promise;
    int rc = enter(operations, entry, row->is_promise ? left_ns(rt, row->until_ms) : 0);
    if (rc < 0)
        sfi_free(rt->sys, entry);
    return rc;
}

static int load_all(sf_runtime *rt, struct sfi_snapshot *snapshot)
{
    struct sfi_key at = {.bytes = {0}, .size = 1};
    struct sfi_operation_row row;
    sf_bytes key, record;
    int rc;
    while ((rc = sfi_snapshot_seek(snapshot, SFI_ASYNC, sfi_key_bytes(&at), 1, &key, &record)) >
           0) {
        memcpy(at.bytes, key.data, key.size);
        at.size = key.size;
        if (key.size != 8 || sfi_operation_parse(key, record, &row) < 0)
            continue; /* a message that waits (run/await.h), or damaged */
        rc = load_row(rt, sfi_be64_get(key.data), &row);
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int part_loaded(sf_runtime *rt)
{
    struct sfi_operations *operations = &rt->operations;
    struct sfi_snapshot *snapshot;
    const struct sfi_counters *counters = &rt->epoch.counters;
    operations->next = counters->next_async;
    operations->database = counters->database ? counters->database
                                              : rt->sys->random(rt->sys->ctx) | 1;
    int rc = sfi_snapshot_open(rt->store, &snapshot);
    if (rc < 0)
        return rc;
    rc = load_all(rt, snapshot);
    sfi_snapshot_close(snapshot);
    operations->lost = 1;
    operations->lost_end = operations->count ? operations->next : 1;
    return rc;
}

/* The first row from `lost` on: its number, whatever kind of row it is.  0: there is none. */
static int64_t next_row(sf_runtime *rt)
{
    struct sfi_rows rows = rows_now(rt);
    struct sfi_key from;
    sf_bytes key, record;
    sfi_key_async(&from, rt->operations.lost);
    int rc = sfi_rows_seek(&rows, SFI_ASYNC, sfi_key_bytes(&from), 0, &key, &record);
    if (rc <= 0)
        return rc;
    return key.size < 8 ? (int64_t)rt->operations.lost_end : (int64_t)sfi_be64_get(key.data);
}

static int is_lost(sf_runtime *rt, uint64_t id)
{
    pthread_mutex_lock(&rt->lock);
    const struct sfi_operation *entry = find(&rt->operations, id);
    int is = entry && entry->is_lost;
    pthread_mutex_unlock(&rt->lock);
    return is;
}

static void answer_lost(sf_runtime *rt)
{
    struct sfi_operations *operations = &rt->operations;
    uint64_t from_bytes = rt->mailbox.unsaved_bytes;
    for (int i = 0; i < SLICE_MAX && operations->lost < operations->lost_end &&
                    rt->mailbox.unsaved_bytes - from_bytes < SLICE_BYTES;
         i++) {
        int64_t id = next_row(rt);
        if (id < 0)
            return;
        if (id == 0 || (uint64_t)id >= operations->lost_end) {
            operations->lost = operations->lost_end;
            return;
        }
        if (is_lost(rt, (uint64_t)id)) {
            if (answer(rt, (uint64_t)id, SF_EUNKNOWN, SF_NONE, "the process ended meanwhile") < 0)
                return;
            leave(rt, (uint64_t)id);
        }
        operations->lost = (uint64_t)id + 1;
    }
}

/* -- workers ----------------------------------------------------------------------------------- */

void sfi_operations_wake(void *runtime)
{
    sf_runtime *rt = runtime;
    pthread_mutex_lock(&rt->lock);
    sfi_poll_signal(rt);
    pthread_mutex_unlock(&rt->lock);
}

/* -- the part ---------------------------------------------------------------------------------- */

static uint64_t part_due(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    const struct sfi_heap_node *first = sfi_heap_first(&rt->operations.limits);
    uint64_t due_ns = first ? first->due : 0, retry_ns = rt->operations.workers.retry_ns;
    pthread_mutex_unlock(&rt->lock);
    return due_ns && (!retry_ns || due_ns < retry_ns) ? due_ns : retry_ns;
}

static void part_wake(sf_runtime *rt, uint64_t now_ns)
{
    struct sfi_workers *workers = &rt->operations.workers;
    answer_lost(rt);
    end_limits(rt, now_ns);
    if (workers->retry_ns ? workers->retry_ns <= now_ns
                          : workers->threads && sfi_workers_are_short(workers))
        sfi_workers_staff(workers, now_ns);
}

static int part_ready(sf_runtime *rt, uint64_t now_ns)
{
    uint64_t due_ns = part_due(rt);
    return rt->operations.starts.first || rt->operations.lost < rt->operations.lost_end ||
           (due_ns && due_ns <= now_ns);
}

static void part_published(sf_runtime *rt)
{
    struct sfi_workers *workers = &rt->operations.workers;
    if (!workers->retry_ns && sfi_workers_are_short(workers))
        sfi_workers_staff(workers, rt->sys->mono_ns(rt->sys->ctx));
}

const struct sfi_part sfi_part_operations = {.name = "operations",
                                             .published = part_published,
                                             .due = part_due,
                                             .wake = part_wake,
                                             .ready = part_ready,
                                             .loaded = part_loaded};

/* -- names ------------------------------------------------------------------------------------- */

void sfi_operation_save_name(const sf_runtime *rt, uint64_t id,
                             unsigned char out[SFI_OPERATION_NAME_BYTES])
{
    sfi_le64_put(out + SFI_RECORD_HEADER, id);
    sfi_le64_put(out + SFI_RECORD_HEADER + 8, rt->operations.database);
    sfi_record_finish(out, SFI_OPERATION_NAME_BYTES, SFI_RECORD_OPERATION, SF_BYTES("name", 4));
}

int sfi_operation_load_name(const sf_runtime *rt, sf_bytes saved, uint64_t *id)
{
    sf_bytes payload;
    if (!saved.data || saved.size != SFI_OPERATION_NAME_BYTES)
        return sfi_err(SF_EINVAL, "these are no bytes of sf_async_save()");
    int rc = sfi_record_open(saved, SF_BYTES("name", 4), SFI_RECORD_OPERATION, &payload);
    if (rc < 0)
        return rc == SF_ENEWER ? rc : sfi_err(SF_EINVAL, "these are no bytes of sf_async_save()");
    if (sfi_le64_get((const unsigned char *)payload.data + 8) != rt->operations.database)
        return sfi_err(SF_EINVAL, "this operation was saved from another database");
    *id = sfi_le64_get(payload.data);
    return 0;
}
