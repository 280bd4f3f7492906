#include "run/map.h"

#include <string.h>

#include "actor/key.h"
#include "actor/map_head.h"
#include "base/err.h"
#include "run/map_time.h"
#include "base/expect.h"
#include "run/runtime.h"

enum { ROW_BYTES = 64 /* of a row, beside key and entry, about */ };

/* -- what works do with rows ------------------------------------------------------------------- */

struct sfi_rows sfi_work_rows(struct sfi_work *work)
{
    struct sfi_epoch *epoch = &work->rt->epoch;
    return (struct sfi_rows){.store = work->rt->store,
                             .open = sfi_epoch_batch(epoch),
                             .sealed = &epoch->batches[!epoch->open],
                             .arena = &work->arena};
}

int sfi_work_count_row(struct sfi_work *work)
{
    if (work->rows++ < SFI_WORK_ROWS_MAX)
        return 0;
    sfi_work_doom(work, SFI_REJECT, SF_EINVAL, "one turn changed more than %d rows",
                  SFI_WORK_ROWS_MAX);
    return sfi_work_error(work);
}

void *sfi_work_lend(struct sfi_work *work, sf_bytes bytes)
{
    if (sfi_work_charge(work, bytes.size) < 0)
        return NULL;
    void *copy = sfi_arena_copy(&work->arena, bytes.data, bytes.size);
    if (!copy)
        sfi_work_no_memory(work);
    return copy;
}

/* -- the head ---------------------------------------------------------------------------------- */

/* A small head is walked from entry to entry: all of its lines are asked for at once. */
static void expect_head(const struct sfi_slot *slot)
{
    const char *data = slot->data;
    for (size_t at = 0; data && at < slot->size && at < SFI_MAP_SMALL_BYTES; at += SFI_LINE)
        sfi_expect(data + at);
}

int sfi_map_open(struct sfi_map *map, struct sfi_work *work, struct sfi_actor *actor,
                 uint16_t number)
{
    *map = (struct sfi_map){
        .work = work, .actor = actor, .expiry = *sfi_type_expiry(actor->type, number)};
    int rc = sfi_actor_load_slot(&work->rt->actors, work->rt->store, actor, number, &map->slot);
    if (rc < 0)
        return sfi_work_unreadable(work, rc);
    expect_head(map->slot);
    return 0;
}

static sf_bytes head_of(const struct sfi_map *map)
{
    return SF_BYTES(map->slot->data, map->slot->size);
}

static uint64_t count_of(const struct sfi_map *map)
{
    return sfi_map_head_count(map->slot->data);
}

uint64_t sfi_map_count(const struct sfi_map *map)
{
    return count_of(map) - sfi_map_count_over(map);
}

static uint64_t number_of(const struct sfi_map *map)
{
    return sfi_map_head_number(map->slot->data);
}

/* The head, with so many entries more or less and that number.  A map without entries has none. */
static int set_counts(const struct sfi_map *map, int change, uint64_t number)
{
    uint64_t count = count_of(map) + (uint64_t)(int64_t)change;
    if (count == 0)
        return sfi_work_set_slot(map->work, map->actor, map->slot, NULL, 0);
    unsigned char *head = sfi_work_edit_slot(map->work, map->actor, map->slot, map->slot->size);
    if (head)
        sfi_map_head_set(head, count, number);
    return head ? 0 : SF_ENOMEM;
}

/* -- small ------------------------------------------------------------------------------------- */

/* Puts an entry where another lies, or none. */
static int put_small(const struct sfi_map *map, const struct sfi_small_entry *old, int was_there,
                     sf_bytes key, const struct sfi_entry *entry)
{
    size_t size = map->slot->data ? map->slot->size : SFI_MAP_HEAD_BYTES;
    size_t packed = sfi_entry_size(entry), new_size = sfi_small_entry_size(key.size, packed);
    size_t old_size = was_there ? old->next - old->at : 0, at = old->at;
    unsigned char *head =
        sfi_work_edit_slot(map->work, map->actor, map->slot, size + new_size);
    if (!head)
        return SF_ENOMEM;
    sfi_map_head_set(head, sfi_map_head_count(head) + !was_there, 0);
    sfi_map_head_move(head, size, at, old_size, new_size);
    sfi_entry_write(entry, sfi_map_head_write(head, at, key, packed));
    sfi_work_size_slot(map->work, map->slot, size - old_size + new_size);
    return sfi_map_note_time(map, entry);
}

static int delete_small(const struct sfi_map *map, const struct sfi_small_entry *old)
{
    size_t size = map->slot->size, old_size = old->next - old->at, at = old->at;
    int rc = set_counts(map, -1, 0);
    if (rc < 0 || !map->slot->data)
        return rc < 0 ? rc : 1;
    sfi_map_head_move(map->slot->data, size, at, old_size, 0);
    sfi_work_size_slot(map->work, map->slot, size - old_size);
    return 1;
}

static int fits(const struct sfi_map *map, const struct sfi_small_entry *old, int was_there,
                sf_bytes key, const struct sfi_entry *entry)
{
    size_t entries =
        map->slot->data ? map->slot->size - sfi_map_head_entries(map->slot->data) : 0;
    size_t old_size = was_there ? old->next - old->at : 0;
    return entry->bytes.size <= SFI_MAP_SMALL_ENTRY &&
           entries - old_size + sfi_small_entry_size(key.size, sfi_entry_size(entry)) <=
               SFI_MAP_SMALL_BYTES;
}

/* -- large ------------------------------------------------------------------------------------- */

static int put_row(const struct sfi_map *map, uint64_t number, sf_bytes key,
                   const struct sfi_entry *entry)
{
    struct sfi_key row;
    int rc = sfi_work_count_row(map->work);
    if (rc < 0)
        return rc;
    sfi_key_entry(&row, number, key);
    sfi_front_lower(&map->work->rt->fronts, number, key);
    if (sfi_entry_put(sfi_work_batch(map->work), sfi_key_bytes(&row), entry) < 0)
        return sfi_work_no_memory(map->work);
    return entry->form & SFI_ENTRY_TOUCHED ? sfi_map_put_time(map, number, key, entry->touched) : 0;
}

static int has_row(const struct sfi_map *map, uint64_t number, sf_bytes key)
{
    struct sfi_key row;
    struct sfi_rows rows = sfi_work_rows(map->work);
    sfi_key_entry(&row, number, key);
    int rc = sfi_rows_has(&rows, SFI_ENTRY, sfi_key_bytes(&row));
    return rc < 0 ? sfi_work_trouble(map->work, rc) : rc;
}

static int get_row(const struct sfi_map *map, uint64_t number, sf_bytes key, struct sfi_entry *out)
{
    struct sfi_key row;
    sf_bytes record;
    struct sfi_rows rows = sfi_work_rows(map->work);
    sfi_key_entry(&row, number, key);
    int rc = sfi_rows_get(&rows, SFI_ENTRY, sfi_key_bytes(&row), &record);
    if (rc > 0)
        rc = sfi_entry_open(sfi_key_bytes(&row), record, out) < 0 ? SF_ECORRUPT : 1;
    return rc < 0 ? sfi_work_unreadable(map->work, rc) : rc;
}

/* What is there already; of its bytes nobody asks.  If it may have a time, that too. */
static int find_old(const struct sfi_map *map, uint64_t number, sf_bytes key, struct sfi_entry *out)
{
    *out = (struct sfi_entry){.form = 0};
    return sfi_map_is_timed(map) ? get_row(map, number, key, out) : has_row(map, number, key);
}

static int drop_time(const struct sfi_map *map, uint64_t number, sf_bytes key,
                     const struct sfi_entry *old)
{
    return old->form & SFI_ENTRY_TOUCHED ? sfi_map_delete_time(map, number, key, old->touched) : 0;
}

/* All entries become rows of a number of their own. */
static int promote(const struct sfi_map *map)
{
    uint64_t number = map->work->rt->epoch.counters.next_number++;
    struct sfi_small_entry small;
    struct sfi_entry entry;
    sf_bytes head = head_of(map);
    size_t entries = sfi_map_head_entries(head.data);
    for (size_t at = entries; sfi_map_head_at(head, at, &small); at = small.next) {
        sfi_entry_read(small.packed, &entry);
        int rc = put_row(map, number, small.key, &entry);
        if (rc < 0)
            return rc;
    }
    unsigned char *bytes = sfi_work_edit_slot(map->work, map->actor, map->slot, entries);
    if (!bytes)
        return SF_ENOMEM;
    sfi_map_head_set(bytes, sfi_map_head_count(bytes), number);
    sfi_work_size_slot(map->work, map->slot, entries);
    return 0;
}

static int put_large(const struct sfi_map *map, sf_bytes key, const struct sfi_entry *entry)
{
    uint64_t number = number_of(map);
    struct sfi_entry old, stamped = *entry;
    int there = find_old(map, number, key, &old);
    if (there < 0)
        return there;
    sfi_map_stamp(map, &stamped, there ? &old : NULL);
    int rc = drop_time(map, number, key, &old);
    if (rc == 0)
        rc = put_row(map, number, key, &stamped);
    if (rc == 0 && !there)
        rc = set_counts(map, 1, number);
    if (rc == 0)
        rc = sfi_map_note_time(map, &stamped);
    return rc;
}

static int delete_large(const struct sfi_map *map, sf_bytes key)
{
    uint64_t number = number_of(map);
    struct sfi_key row;
    struct sfi_entry old;
    int rc = find_old(map, number, key, &old);
    if (rc > 0 && (rc = sfi_work_count_row(map->work)) == 0 &&
        (rc = drop_time(map, number, key, &old)) == 0) {
        sfi_key_entry(&row, number, key);
        rc = sfi_batch_delete(sfi_work_batch(map->work), SFI_ENTRY, sfi_key_bytes(&row)) < 0
                 ? sfi_work_no_memory(map->work)
                 : set_counts(map, -1, number);
        return rc < 0 ? rc : 1;
    }
    return rc;
}

/* -- both -------------------------------------------------------------------------------------- */

static int lend_entry(const struct sfi_map *map, struct sfi_entry *entry)
{
    void *copy = sfi_work_lend(map->work, entry->bytes);
    entry->bytes.data = copy;
    return copy ? 1 : map->work->code;
}

/* Reading is to write, where it counts. */
static int touch(const struct sfi_map *map, sf_bytes key, const struct sfi_entry *entry)
{
    struct sfi_entry touched = *entry;
    sfi_map_stamp(map, &touched, entry);
    if ((entry->form & SFI_ENTRY_TOUCHED) && touched.touched == entry->touched)
        return 1;
    int rc = sfi_map_put(map, key, entry);
    return rc < 0 ? rc : 1;
}

int sfi_map_get(const struct sfi_map *map, sf_bytes key, struct sfi_entry *out)
{
    struct sfi_small_entry small;
    int rc;
    if (number_of(map))
        rc = get_row(map, number_of(map), key, out);
    else if ((rc = sfi_map_head_find(head_of(map), key, &small)))
        sfi_entry_read(small.packed, out);
    if (rc > 0 && sfi_map_is_over(map, out))
        return 0;
    if (rc > 0)
        rc = lend_entry(map, out);
    return rc > 0 && map->expiry.on_access && map->expiry.after_ms ? touch(map, key, out) : rc;
}

int sfi_map_put(const struct sfi_map *map, sf_bytes key, const struct sfi_entry *entry)
{
    struct sfi_small_entry old;
    int rc = sfi_work_charge(map->work, key.size + sfi_entry_size(entry) + ROW_BYTES);
    if (rc < 0)
        return rc;
    sfi_scans_note(map->work, map->slot);
    if (map->expiry.after_ms && (rc = sfi_map_begin_times(map)) < 0)
        return rc;
    if (!number_of(map)) {
        struct sfi_entry before, stamped = *entry;
        int was_there = sfi_map_head_find(head_of(map), key, &old);
        if (was_there)
            sfi_entry_read(old.packed, &before);
        sfi_map_stamp(map, &stamped, was_there ? &before : NULL);
        if (fits(map, &old, was_there, key, &stamped))
            return put_small(map, &old, was_there, key, &stamped);
        rc = promote(map);
    }
    if (rc == 0)
        rc = put_large(map, key, entry);
    if (rc == 0 && map->expiry.after_ms)
        rc = sfi_map_reclaim(map, SFI_MAP_RECLAIM);
    return rc < 0 ? rc : 0;
}

int sfi_map_replace(const struct sfi_map *map, sf_bytes key, const struct sfi_entry *entry)
{
    if (!number_of(map) || map->expiry.after_ms)
        return sfi_map_put(map, key, entry);
    int rc = sfi_work_charge(map->work, key.size + sfi_entry_size(entry) + ROW_BYTES);
    sfi_scans_note(map->work, map->slot);
    return rc < 0 ? rc : put_row(map, number_of(map), key, entry);
}

int sfi_map_delete(const struct sfi_map *map, sf_bytes key)
{
    struct sfi_small_entry small;
    int rc = sfi_work_charge(map->work, key.size + ROW_BYTES);
    if (rc < 0)
        return rc;
    sfi_scans_note(map->work, map->slot);
    if (number_of(map))
        return delete_large(map, key);
    return sfi_map_head_find(head_of(map), key, &small) ? delete_small(map, &small) : 0;
}

int sfi_map_clear(const struct sfi_map *map)
{
    struct sfi_promise promise = {number_of(map), SFI_PROMISE_ALL};
    if (!map->slot->data)
        return 0;
    if (promise.number && sfi_promise_put(sfi_work_batch(map->work), &promise) < 0)
        return sfi_work_no_memory(map->work);
    sfi_lents_cut(map->work, map->actor, map->slot);
    sfi_scans_end(map->work, map->actor, map->slot);
    return sfi_work_set_slot(map->work, map->actor, map->slot, NULL, 0);
}

/* -- walks ------------------------------------------------------------------------------------- */

struct row_walk {
    const struct sfi_map *map;
    sfi_map_take *take;
    void *ctx;
    uint64_t number;
    struct sfi_fronts *fronts; /* NULL: this walk does not show where the map begins */
};

/* 0 past the last row of this number. */
static int take_row(void *ctx, sf_bytes row, sf_bytes record)
{
    struct row_walk *walk = ctx;
    const unsigned char *bytes = row.data;
    struct sfi_entry entry;
    if (row.size < 9 || sfi_be64_get(bytes) != walk->number || bytes[8] != SFI_ENTRY_BY_KEY)
        return 0;
    sf_bytes key = SF_BYTES(bytes + 9, row.size - 9);
    if (walk->fronts)
        sfi_front_set(walk->fronts, walk->number, key);
    walk->fronts = NULL;
    int rc = sfi_entry_open(row, record, &entry);
    if (rc == 0 && sfi_map_is_over(walk->map, &entry))
        return 1;
    return rc < 0 ? rc : walk->take(walk->ctx, key, &entry);
}

/* Of the first row that can be meant. */
static void begin_at(const struct row_walk *walk, const struct sfi_map_place *place,
                     struct sfi_key *out)
{
    sf_bytes key = place->key;
    if (!key.data && !place->is_backward && walk->fronts)
        key = sfi_front_get(walk->fronts, walk->number);
    sfi_key_entry(out, walk->number, key.data ? key : SF_BYTES("", 0));
    if (!place->key.data && place->is_backward)
        out->bytes[8] = SFI_ENTRY_BY_KEY + 1;
}

static int walk_large(const struct sfi_map *map, const struct sfi_map_place *place,
                      sfi_map_take *take, void *ctx)
{
    struct sfi_key from;
    int is_whole = !place->key.data && !place->is_backward;
    struct row_walk walk = {map, take, ctx, number_of(map),
                            is_whole ? &map->work->rt->fronts : NULL};
    struct sfi_rows rows = sfi_work_rows(map->work);
    begin_at(&walk, place, &from);
    struct sfi_place at = {sfi_key_bytes(&from), place->is_backward,
                           place->key.data ? place->excludes : 0};
    int rc = sfi_rows_walk(&rows, SFI_ENTRY, &at, take_row, &walk);
    return rc < 0 ? sfi_work_unreadable(map->work, rc) : 0;
}

static int take_small(const struct sfi_map *map, const struct sfi_small_entry *small,
                      sfi_map_take *take, void *ctx)
{
    struct sfi_entry entry;
    sfi_entry_read(small->packed, &entry);
    return sfi_map_is_over(map, &entry) ? 1 : take(ctx, small->key, &entry);
}

static int walk_small_back(const struct sfi_map *map, sf_bytes before, sfi_map_take *take,
                           void *ctx)
{
    struct sfi_small_entry small;
    sf_bytes head = head_of(map);
    int rc = 1;
    for (; rc > 0 && sfi_map_head_before(head, before, &small); before = small.key)
        rc = take_small(map, &small, take, ctx);
    return rc < 0 ? rc : 0;
}

static int walk_small(const struct sfi_map *map, const struct sfi_map_place *place,
                      sfi_map_take *take, void *ctx)
{
    struct sfi_small_entry small;
    sf_bytes head = head_of(map);
    int rc = 1, found = sfi_map_head_find(head, place->key.data ? place->key : SF_BYTES("", 0),
                                          &small);
    size_t at = found && place->key.data && place->excludes ? small.next : small.at;
    for (; rc > 0 && sfi_map_head_at(head, at, &small); at = small.next)
        rc = take_small(map, &small, take, ctx);
    return rc < 0 ? rc : 0;
}

int sfi_map_walk(const struct sfi_map *map, const struct sfi_map_place *place, sfi_map_take *take,
                 void *ctx)
{
    if (number_of(map))
        return walk_large(map, place, take, ctx);
    return place->is_backward ? walk_small_back(map, place->key, take, ctx)
                              : walk_small(map, place, take, ctx);
}
