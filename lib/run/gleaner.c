#include "run/gleaner.h"

#include "actor/list_head.h"
#include "actor/map_head.h"
#include "actor/state.h"
#include "actor/value_record.h"
#include "base/err.h"
#include "run/expire.h"
#include "run/list_time.h"
#include "run/map_time.h"
#include "run/part.h"
#include "run/runtime.h"
#include "store/record.h"

enum {
    ROWS_FOR_EACH = 4,
    ROWS_A_TURN = ROWS_FOR_EACH, /* a turn puts a row or so: who puts more leaves the rest to steps */
    ROWS_A_SLICE = 1024,
    FOUND_MAX = 16 /* works in one go */
};
#define OWED_MAX (UINT64_C(1) << 24)
#define SLICE_NS (UINT64_C(1) * 1000000)
#define RETRY_NS (UINT64_C(1000) * 1000000)
#define ROUND_MIN_NS (UINT64_C(1000) * 1000000) /* between rounds, */
#define ROUND_ROW_NS UINT64_C(10000)            /* and so much for each row of the one before */
#define ROUND_MAX_NS (UINT64_C(600) * 1000000000)

/* -- a row --------------------------------------------------------------------------------------------- */

/* Whose row it is.  NULL: of none that expires. */
static struct sfi_type *type_of(sf_runtime *rt, sf_bytes key, uint16_t *slot)
{
    const unsigned char *bytes = key.data;
    if (key.size < 8 || key.size != 7u + bytes[4])
        return NULL;
    struct sfi_type *type = sfi_types_number(&rt->types, sfi_be32_get(bytes));
    *slot = (uint16_t)(bytes[key.size - 2] << 8 | bytes[key.size - 1]);
    return type && type->registered && type->expires ? type : NULL;
}

/* Of a map; no entry was touched before. */
static uint64_t oldest_of(sf_bytes record)
{
    const unsigned char *head = (const unsigned char *)record.data + SFI_RECORD_HEADER;
    if (record.size < SFI_RECORD_HEADER + SFI_MAP_HEAD_BYTES)
        return 0;
    if (!(sfi_le32_get(head) & SFI_MAP_HEAD_OLDEST))
        return SFI_TOUCHED_UNKNOWN;
    return record.size < SFI_RECORD_HEADER + SFI_MAP_HEAD_BYTES + 8
               ? 0
               : sfi_le64_get(head + SFI_MAP_HEAD_BYTES);
}

/* Of a list.  If its first element lies in a row, only the actor knows. */
static uint64_t first_of(sf_bytes record)
{
    sf_bytes head = SF_BYTES((const unsigned char *)record.data + SFI_RECORD_HEADER,
                             record.size - SFI_RECORD_HEADER);
    struct sfi_entry entry;
    if (sfi_list_head_check(head) < 0)
        return 0;
    struct sfi_elements elements = sfi_list_head_elements(head);
    if (sfi_list_head_number(head.data) || elements.first == elements.end)
        return SFI_TOUCHED_UNKNOWN;
    sfi_elements_get(&elements, elements.first, &entry);
    return sfi_entry_touched(&entry);
}

/* When it was touched, as its record says; nobody believes it yet.  0: that is no such record. */
static uint64_t touched_of(sf_bytes record)
{
    unsigned kind = sfi_record_kind(record);
    if (kind == SFI_RECORD_STATE || kind == SFI_RECORD_VALUE)
        return SFI_TOUCHED_UNKNOWN;
    if (kind == SFI_RECORD_MAP)
        return oldest_of(record);
    if (kind == SFI_RECORD_LIST)
        return first_of(record);
    if ((kind != SFI_RECORD_STATE_AT && kind != SFI_RECORD_VALUE_AT) ||
        record.size < SFI_RECORD_HEADER + 8)
        return 0;
    return sfi_le64_get((const unsigned char *)record.data + SFI_RECORD_HEADER);
}

static void note_end(struct sfi_gleaner *gleaner, const struct sfi_expiry *expiry, uint64_t touched)
{
    uint64_t from = touched > expiry->since ? touched : expiry->since, end = from + expiry->after_ms;
    if (end > from && (!gleaner->next_end_ms || end < gleaner->next_end_ms))
        gleaner->next_end_ms = end;
}

/* Is it over, by what the row says? */
static int looks_over(struct sfi_gleaner *gleaner, const struct sfi_type *type, uint16_t slot,
                      sf_bytes record, uint64_t now_ms)
{
    const struct sfi_expiry *expiry = sfi_type_expiry(type, slot);
    uint64_t touched = touched_of(record);
    if (!expiry->after_ms || !touched)
        return 0;
    if (sfi_expiry_is_over(expiry, touched, now_ms))
        return 1;
    note_end(gleaner, expiry, touched);
    return 0;
}

/* -- the work ------------------------------------------------------------------------------------------ */

static int drop_state(struct sfi_work *work, struct sfi_actor *actor)
{
    int rc = actor->has_state ? 1 : sfi_state_load_time(work->rt->store, actor);
    if (rc < 0)
        return sfi_work_unreadable(work, rc);
    if (rc == 0 || !sfi_expire_is_over(work, actor))
        return 0;
    rc = sfi_work_copy(work, actor);
    if (rc == 0)
        sfi_state_forget(actor);
    return rc;
}

static int drop_slot(struct sfi_work *work, struct sfi_actor *actor, uint16_t number)
{
    struct sfi_slot *slot;
    int rc = sfi_actor_load_slot(&work->rt->actors, work->rt->store, actor, number, &slot);
    rc = rc < 0 ? sfi_work_unreadable(work, rc) : sfi_expire_slot(work, actor, slot);
    return rc < 0 ? rc : 0;
}

/* 1: there is more to be done. */
static int drop_entries(struct sfi_work *work, struct sfi_actor *actor, uint16_t number)
{
    struct sfi_map map;
    int rc = sfi_map_open(&map, work, actor, number);
    return rc < 0 ? rc : sfi_map_glean(&map, &work->rt->gleaner);
}

static int drop_elements(struct sfi_work *work, struct sfi_actor *actor, uint16_t number)
{
    struct sfi_list list;
    int rc = sfi_list_open(&list, work, actor, number);
    uint64_t touched = 0;
    if (rc == 0)
        rc = sfi_list_reclaim(&list, SFI_LIST_GLEAN);
    if (rc == 0)
        rc = sfi_list_first_touched(&list, &touched);
    if (rc == 0 && touched) /* what its head did not say */
        note_end(&work->rt->gleaner, &list.expiry, touched);
    return rc;
}

static int drop_what_is_over(struct sfi_work *work, struct sfi_actor *actor, uint16_t slot)
{
    if (slot == 0)
        return drop_state(work, actor);
    switch (sfi_slot_kind_of(actor->type, slot)) {
    case SFI_SLOT_MAP:
        return drop_entries(work, actor, slot);
    case SFI_SLOT_LIST:
        return drop_elements(work, actor, slot);
    default:
        return drop_slot(work, actor, slot);
    }
}

static struct sfi_actor *find_actor(sf_runtime *rt, struct sfi_type *type, sf_bytes key)
{
    const unsigned char *id = (const unsigned char *)key.data + 5;
    size_t size = key.size - 7;
    struct sfi_actor *actor =
        sfi_actors_get(&rt->actors, type, sfi_actors_hash(&rt->actors, type, id, size), id, size);
    if (actor)
        sfi_actors_trim(&rt->actors, rt->store->durable, actor);
    return actor;
}

/* 0, also if it was not over after all, or cannot be read; 1: there is more of it; or what the machine refuses. */
static int drop(sf_runtime *rt, sf_bytes key)
{
    struct sfi_work *work = &rt->turns.work;
    uint16_t slot;
    struct sfi_type *type = type_of(rt, key, &slot);
    struct sfi_actor *actor = find_actor(rt, type, key);
    if (!actor)
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_work_begin(work);
    int rc = drop_what_is_over(work, actor, slot);
    if (rc >= 0) {
        sfi_work_keep(work);
        return rc;
    }
    sfi_work_undo(work);
    rt->gleaner.untimed.size = 0; /* what it passed is there again */
    return rc == SF_ECORRUPT ? 0 : rc;
}

/* -- a slice ------------------------------------------------------------------------------------------- */

struct found {
    struct sfi_key keys[FOUND_MAX];
    uint32_t count;
};

static void end_round(struct sfi_gleaner *gleaner)
{
    gleaner->at.size = 0;
    gleaner->is_through = 1;
}

/* To the first row of the next type. */
static void pass_type(struct sfi_gleaner *gleaner, sf_bytes key)
{
    uint32_t number = key.size < 4 ? UINT32_MAX : sfi_be32_get(key.data);
    if (number == UINT32_MAX) {
        end_round(gleaner);
        return;
    }
    sfi_be32_put(gleaner->at.bytes, number + 1);
    gleaner->at.size = 4; /* no row has that key */
}

static void move_to(struct sfi_gleaner *gleaner, sf_bytes key)
{
    memcpy(gleaner->at.bytes, key.data, key.size);
    gleaner->at.size = key.size;
}

/* Passes so many rows, or until the round is over, or enough was found.  Rows passed; negative. */
static int look(sf_runtime *rt, struct sfi_snapshot *snapshot, int rows, uint64_t now_ms,
                struct found *found)
{
    struct sfi_gleaner *gleaner = &rt->gleaner;
    int passed = 0;
    while (passed < rows && found->count < FOUND_MAX) {
        sf_bytes key, record;
        uint16_t slot;
        int rc = sfi_snapshot_walk(snapshot, sfi_key_bytes(&gleaner->at), gleaner->at.size != 0, &key,
                                   &record);
        if (rc <= 0) {
            end_round(gleaner);
            return rc < 0 ? rc : passed;
        }
        passed++;
        const struct sfi_type *type = type_of(rt, key, &slot);
        if (!type) {
            pass_type(gleaner, key);
            continue;
        }
        move_to(gleaner, key);
        if (looks_over(gleaner, type, slot, record, now_ms))
            found->keys[found->count++] = gleaner->at;
    }
    return passed;
}

/* Before the row with that key, so that it is the next one again. */
static void go_back(struct sfi_gleaner *gleaner, const struct sfi_key *key)
{
    gleaner->at = *key;
    if (--gleaner->at.bytes[key->size - 1] == 255 && --gleaner->at.bytes[key->size - 2] == 255)
        gleaner->at.size -= 2; /* slot 0: its actor's rows begin with it */
    gleaner->is_through = 0;
}

/* Rows passed, 0 at the end of a round too; negative: the machine refuses. */
static int take_slice(sf_runtime *rt, int rows)
{
    struct sfi_gleaner *gleaner = &rt->gleaner;
    struct sfi_snapshot *snapshot;
    struct found found = {.count = 0};
    int rc = sfi_snapshot_open(rt->store, &snapshot);
    if (rc < 0)
        return rc;
    int passed = look(rt, snapshot, rows, rt->sys->wall_ms(rt->sys->ctx), &found);
    sfi_snapshot_close(snapshot);
    for (uint32_t i = 0; i < found.count; i++) {
        rc = drop(rt, sfi_key_bytes(&found.keys[i]));
        if (rc != 0) {
            go_back(gleaner, &found.keys[i]);
            return rc < 0 ? rc : passed > 0 ? passed : 1;
        }
    }
    if (passed > 0)
        gleaner->round += (uint64_t)passed;
    return passed;
}

/* As many rows, in as many goes as that takes.  0 or negative. */
static int pass_rows(sf_runtime *rt, int rows)
{
    struct sfi_gleaner *gleaner = &rt->gleaner;
    while (rows > 0) {
        int passed = take_slice(rt, rows);
        if (passed < 0)
            return passed;
        gleaner->owed -= gleaner->owed < (uint64_t)passed ? gleaner->owed : (uint64_t)passed;
        rows -= passed;
        if (gleaner->is_through)
            rows = 0;
    }
    if (gleaner->is_through) /* all that there is was met meanwhile */
        gleaner->owed = 0;
    return 0;
}

/* -- rounds -------------------------------------------------------------------------------------------- */

static void begin_round(struct sfi_gleaner *gleaner)
{
    gleaner->at.size = 0;
    gleaner->round = gleaner->next_end_ms = 0;
    gleaner->is_through = 0;
}

/* Until something that was met comes to its end. */
static uint64_t pause_ns(sf_runtime *rt)
{
    uint64_t now_ms = rt->sys->wall_ms(rt->sys->ctx), end_ms = rt->gleaner.next_end_ms;
    if (!end_ms)
        return ROUND_MAX_NS;
    uint64_t pause_ms = end_ms > now_ms ? end_ms - now_ms : 0;
    return pause_ms < ROUND_MAX_NS / 1000000 ? pause_ms * 1000000 : ROUND_MAX_NS;
}

static void schedule_round(sf_runtime *rt, uint64_t now_ns)
{
    struct sfi_gleaner *gleaner = &rt->gleaner;
    gleaner->rests_until_ns = now_ns + ROUND_MIN_NS + gleaner->round * ROUND_ROW_NS;
    gleaner->due_ns = now_ns + pause_ns(rt);
    if (gleaner->due_ns < gleaner->rests_until_ns)
        gleaner->due_ns = gleaner->rests_until_ns;
}

static void schedule(sf_runtime *rt, int rc, uint64_t now_ns)
{
    struct sfi_gleaner *gleaner = &rt->gleaner;
    if (rc == 0 && gleaner->is_through)
        schedule_round(rt, now_ns);
    else
        gleaner->due_ns = now_ns + (rc < 0 ? RETRY_NS : SLICE_NS);
}

/* Until then nothing may be dropped; after that all is looked at. */
static int wait_for_clock(sf_runtime *rt)
{
    struct sfi_gleaner *gleaner = &rt->gleaner;
    if (!sfi_doubt_is_on(&rt->doubt, rt->sys))
        return 0;
    gleaner->owed = 0;
    gleaner->is_through = 1;
    gleaner->due_ns = rt->doubt.until_ns;
    return 1;
}

void sfi_gleaner_pass(sf_runtime *rt)
{
    struct sfi_gleaner *gleaner = &rt->gleaner;
    enum { ROWS = SFI_GLEAN_TURNS * ROWS_A_TURN };
    if (wait_for_clock(rt))
        return;
    if (gleaner->is_through)
        begin_round(gleaner);
    uint64_t rows = gleaner->owed < ROWS ? gleaner->owed : ROWS;
    int rc = pass_rows(rt, (int)rows);
    if (rc < 0)
        gleaner->owed = 0; /* the machine has other worries */
    if (rc < 0 || gleaner->is_through)
        schedule(rt, rc, rt->sys->mono_ns(rt->sys->ctx));
}

/* -- as a part of the runtime -------------------------------------------------------------------------- */

static int expires(const sf_runtime *rt)
{
    return rt->types.expirations != 0;
}

static void saved(sf_runtime *rt, uint64_t epoch)
{
    (void)epoch;
    struct sfi_gleaner *gleaner = &rt->gleaner;
    gleaner->owed += rt->actors.expiring * ROWS_FOR_EACH;
    if (gleaner->owed > OWED_MAX)
        gleaner->owed = OWED_MAX;
    if (rt->actors.expiring && gleaner->is_through && gleaner->due_ns > gleaner->rests_until_ns)
        gleaner->due_ns = gleaner->rests_until_ns; /* its end is not known yet */
    rt->actors.expiring = 0;
}

static uint64_t due(sf_runtime *rt)
{
    return expires(rt) && !rt->epoch.is_submitted ? rt->gleaner.due_ns : 0;
}

static void take_idle_slice(sf_runtime *rt, uint64_t now_ns)
{
    struct sfi_gleaner *gleaner = &rt->gleaner;
    if (wait_for_clock(rt))
        return;
    if (gleaner->is_through)
        begin_round(gleaner);
    schedule(rt, pass_rows(rt, ROWS_A_SLICE), now_ns);
}

static void wake(sf_runtime *rt, uint64_t now_ns)
{
    struct sfi_gleaner *gleaner = &rt->gleaner;
    if (!expires(rt) || !now_ns)
        return;
    if (gleaner->seen != rt->types.expirations || !gleaner->due_ns) {
        gleaner->seen = rt->types.expirations;
        begin_round(gleaner);
        gleaner->due_ns = now_ns + SLICE_NS;
    }
    if (gleaner->due_ns <= now_ns && !rt->epoch.is_submitted)
        take_idle_slice(rt, now_ns);
    else if (gleaner->owed)
        sfi_gleaner_pass(rt);
}

static int loaded(sf_runtime *rt)
{
    sfi_doubt_begin(&rt->doubt, rt->sys);
    return 0;
}

const struct sfi_part sfi_part_gleaner = {
    .name = "gleaner", .saved = saved, .due = due, .wake = wake, .loaded = loaded};
