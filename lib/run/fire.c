#include "run/fire.h"

#include "actor/key.h"
#include "actor/rows.h"
#include "base/err.h"
#include "run/part.h"
#include "run/runtime.h"
#include "run/schedule.h"
#include "run/timer.h"

/* -- when -------------------------------------------------------------------------------------- */

/* Looks at the wall clock, and says when to look again. */
static void look(sf_runtime *rt, uint64_t now_ns)
{
    struct sfi_fire *fire = &rt->fire;
    uint64_t now_us = rt->sys->wall_us(rt->sys->ctx), due_us = fire->due_ms * 1000;
    uint64_t longest_us = SFI_LOOK_MS * UINT64_C(1000);
    uint64_t in_us = due_us > now_us ? due_us - now_us : 0;
    fire->now_ms = now_us / 1000;
    fire->look_ns = now_ns + (in_us < longest_us ? in_us : longest_us) * 1000;
}

void sfi_fire_expect(sf_runtime *rt, uint64_t due_ms, uint64_t sequence)
{
    struct sfi_fire *fire = &rt->fire;
    if (fire->is_any &&
        (due_ms > fire->due_ms || (due_ms == fire->due_ms && sequence >= fire->sequence)))
        return;
    fire->is_any = 1;
    fire->due_ms = due_ms;
    fire->sequence = sequence;
    look(rt, rt->sys->mono_ns(rt->sys->ctx));
}

void sfi_fire_forget(sf_runtime *rt, uint64_t due_ms, uint64_t sequence)
{
    struct sfi_fire *fire = &rt->fire;
    fire->is_stale |= fire->is_any && due_ms == fire->due_ms && sequence == fire->sequence;
}

/* -- one row ----------------------------------------------------------------------------------- */

struct row {
    sf_bytes key;
    uint64_t due_ms, sequence;
    struct sfi_envelope envelope;
    struct sfi_type *to, *from; /* from NULL: the outside, or the actor's own */
};

static int open_row(sf_runtime *rt, sf_bytes record, struct row *row)
{
    struct sfi_envelope *envelope = &row->envelope;
    int rc = sfi_envelope_parse(row->key, record, SFI_RECORD_TIMER, envelope);
    if (rc < 0)
        return rc;
    row->to = sfi_types_number(&rt->types, envelope->to_type);
    row->from = sfi_types_number(&rt->types, envelope->from_type);
    if (!row->to || (envelope->from_type && !row->from) || envelope->kind.size > SF_KIND_MAX)
        return sfi_err(SF_ECORRUPT, "a timer on disk names a type that does not exist");
    return 0;
}

static struct sfi_message *make_message(sf_runtime *rt, const struct row *row)
{
    const struct sfi_envelope *envelope = &row->envelope;
    int is_own = (envelope->parts.has & SFI_PART_TIMER) != 0;
    sf_bytes from = is_own ? envelope->to_id : row->from ? envelope->from_id : SF_BYTES("", 0);
    struct sfi_letter letter = {
        .to_type = row->to,
        .from_type = is_own ? row->to : row->from,
        .hash = sfi_actors_hash(&rt->actors, row->to, envelope->to_id.data, envelope->to_id.size),
        .to_id = envelope->to_id.data,
        .to_size = envelope->to_id.size,
        .from_id = from.data,
        .from_size = from.size,
        .kind = envelope->kind.data,
        .kind_size = envelope->kind.size,
        .body = envelope->body_absent ? SF_NONE : envelope->body,
        .parts = envelope->parts};
    letter.parts.has |= SFI_PART_DUE;
    letter.parts.due_ms = row->due_ms;
    return sfi_message_new(&rt->mailbox.pool, &letter);
}

/* Whose schedule knows of it; *out NULL: the outside's.  0: nobody can say, since the type is not
 * registered. */
static int find_owner(sf_runtime *rt, struct sfi_type *type, sf_bytes id, struct sfi_actor **out)
{
    *out = NULL;
    if (!type)
        return 1;
    if (!type->registered)
        return 0;
    uint64_t hash = sfi_actors_hash(&rt->actors, type, id.data, id.size);
    *out = sfi_actors_get(&rt->actors, type, hash, id.data, id.size);
    if (!*out)
        return sfi_work_no_memory(&rt->turns.work);
    if (sfi_actors_exceed(&rt->actors))
        sfi_actors_trim(&rt->actors, rt->store->durable, *out);
    return 1;
}

/* 1: it is still to be sent, and not pending any more; 0: it is void. */
static int take_token(sf_runtime *rt, const struct row *row)
{
    struct sfi_work *work = &rt->turns.work;
    unsigned char buffer[SFI_TIMER_NAME_MAX];
    sf_bytes name = sfi_token_name(buffer, row->envelope.token);
    struct sfi_actor *sender;
    struct sfi_timer timer;
    int rc = find_owner(rt, row->from, row->envelope.from_id, &sender);
    if (rc <= 0)
        return rc < 0 ? rc : 1;
    rc = sfi_schedule_get(work, sender, name, &timer);
    if (rc <= 0 || timer.sequence != row->sequence)
        return rc < 0 ? rc : 0;
    rc = sfi_schedule_delete(work, sender, name);
    return rc < 0 ? rc : 1;
}

static int meet_own(sf_runtime *rt, const struct row *row)
{
    const struct sfi_envelope *envelope = &row->envelope;
    struct sfi_actor *actor;
    int rc = find_owner(rt, row->to, envelope->to_id, &actor);
    if (rc <= 0)
        return rc < 0 ? rc : 1;
    return sfi_timer_meet(&rt->turns.work, actor, envelope->kind, envelope->body,
                          envelope->parts.timer);
}

/* 1: it is to be sent; 0: it is not. */
static int meet(sf_runtime *rt, const struct row *row)
{
    if (row->envelope.parts.has & SFI_PART_TIMER)
        return meet_own(rt, row);
    return row->envelope.token.size ? take_token(rt, row) : 1;
}

static int fire_in_work(sf_runtime *rt, const struct row *row)
{
    struct sfi_work *work = &rt->turns.work;
    int rc = meet(rt, row);
    if (rc < 0)
        return rc;
    struct sfi_message *message = rc ? make_message(rt, row) : NULL;
    if (rc && !message)
        return sfi_work_no_memory(work);
    if (message)
        sfi_list_push(&work->sent, message);
    if (sfi_batch_delete(sfi_work_batch(work), SFI_TIMER, row->key) < 0)
        return sfi_work_no_memory(work);
    return 0;
}

/* 0, or negative, and nothing happened. */
static int fire_row(sf_runtime *rt, const struct row *row)
{
    struct sfi_work *work = &rt->turns.work;
    sfi_work_begin(work);
    int rc = fire_in_work(rt, row);
    if (rc < 0)
        sfi_work_undo(work);
    else
        sfi_work_keep(work);
    return rc;
}

/* -- all that are due -------------------------------------------------------------------------- */

/* The first row that may be there; its bytes lie in the arena of delivery, which is idle meanwhile.
 * */
static int seek(sf_runtime *rt, struct row *row, sf_bytes *record)
{
    struct sfi_epoch *epoch = &rt->epoch;
    struct sfi_rows rows = {.store = rt->store,
                            .open = sfi_epoch_batch(epoch),
                            .sealed = &epoch->batches[!epoch->open],
                            .arena = &rt->delivery};
    struct sfi_key from;
    sfi_arena_reset(&rt->delivery);
    sfi_key_timer(&from, rt->fire.due_ms, rt->fire.sequence);
    int rc = sfi_rows_seek(&rows, SFI_TIMER, sfi_key_bytes(&from), 0, &row->key, record);
    if (rc > 0 && row->key.size != 16)
        return sfi_err(SF_ECORRUPT, "a timer on disk has a key of %zu bytes", row->key.size);
    if (rc > 0) {
        row->due_ms = sfi_be64_get(row->key.data);
        row->sequence = sfi_be64_get((const char *)row->key.data + 8);
    }
    return rc;
}

/* There is none before this one. */
static void stand_at(struct sfi_fire *fire, uint64_t due_ms, uint64_t sequence)
{
    fire->due_ms = due_ms;
    fire->sequence = sequence;
}

/* 1: there may be more that are due; 0: not now; negative. */
static int fire_next(sf_runtime *rt, size_t *bytes)
{
    struct sfi_fire *fire = &rt->fire;
    struct row row;
    sf_bytes record;
    int rc = seek(rt, &row, &record);
    if (rc <= 0) {
        fire->is_any = rc < 0;
        return rc;
    }
    stand_at(fire, row.due_ms, row.sequence);
    if (!sfi_fire_is_due(fire))
        return 0;
    rc = open_row(rt, record, &row);
    if (rc == 0)
        rc = fire_row(rt, &row);
    if (rc < 0 && rc != SF_ECORRUPT)
        return rc;
    fire->damaged += rc < 0;
    *bytes += record.size;
    stand_at(fire, row.due_ms, row.sequence + 1);
    return 1;
}

int sfi_fire_some(sf_runtime *rt)
{
    size_t bytes = 0;
    int rows = 0, rc = 1;
    while (rc > 0 && rows < SFI_FIRE_ROWS && bytes < SFI_FIRE_BYTES) {
        rc = fire_next(rt, &bytes);
        rows += rc > 0;
    }
    if (rc == 0 && rt->fire.is_any)
        look(rt, rt->sys->mono_ns(rt->sys->ctx));
    return rc < 0 ? rc : rows;
}

/* -- the part ---------------------------------------------------------------------------------- */

/* The first row was cancelled: who rests is to know of the next one.  What cannot be read is looked
 * at later. */
static void refresh(sf_runtime *rt)
{
    struct sfi_fire *fire = &rt->fire;
    struct row row;
    sf_bytes record;
    int rc = seek(rt, &row, &record);
    if (rc < 0)
        return;
    fire->is_stale = 0;
    fire->is_any = rc;
    if (!rc)
        return;
    stand_at(fire, row.due_ms, row.sequence);
    look(rt, rt->sys->mono_ns(rt->sys->ctx));
}

static uint64_t due(sf_runtime *rt)
{
    if (rt->fire.is_stale)
        refresh(rt);
    return rt->fire.is_any ? rt->fire.look_ns : 0;
}

static void wake(sf_runtime *rt, uint64_t now_ns)
{
    if (rt->fire.is_any && rt->fire.look_ns <= now_ns)
        look(rt, now_ns);
}

static int ready(sf_runtime *rt, uint64_t now_ns)
{
    return rt->fire.is_any && (rt->fire.look_ns <= now_ns || sfi_fire_is_due(&rt->fire));
}

/* Those of former runs. */
static int loaded(sf_runtime *rt)
{
    struct row row;
    sf_bytes record;
    int rc = seek(rt, &row, &record);
    if (rc > 0)
        sfi_fire_expect(rt, row.due_ms, row.sequence);
    return rc < 0 ? rc : 0;
}

const struct sfi_part sfi_part_fire = {
    .name = "timers", .due = due, .wake = wake, .ready = ready, .loaded = loaded};
