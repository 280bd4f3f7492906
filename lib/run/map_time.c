#include "run/map_time.h"

#include <string.h>

#include "actor/key.h"
#include "actor/map_head.h"
#include "base/err.h"
#include "run/runtime.h"
#include "store/record.h"

enum { UNTIMED_ROWS = 4096, UNTIMED_MAX = 256 /* in one work */ };

int sfi_map_is_over(const struct sfi_map *map, const struct sfi_entry *entry)
{
    return map->expiry.after_ms &&
           sfi_expiry_is_over(&map->expiry, sfi_entry_touched(entry), sfi_work_now_ms(map->work));
}

/* -- the head ------------------------------------------------------------------------------------ */

static int has_oldest(const struct sfi_map *map)
{
    return map->slot->data && sfi_le32_get(map->slot->data) & SFI_MAP_HEAD_OLDEST;
}

static uint64_t oldest_of(const struct sfi_map *map)
{
    return has_oldest(map) ? sfi_le64_get((const unsigned char *)map->slot->data + SFI_MAP_HEAD_BYTES)
                           : SFI_TOUCHED_UNKNOWN;
}

static int set_oldest(const struct sfi_map *map, uint64_t oldest)
{
    if (oldest == oldest_of(map))
        return 0;
    unsigned char *head = sfi_work_edit_slot(map->work, map->actor, map->slot, map->slot->size);
    if (!head)
        return SF_ENOMEM;
    sfi_le64_put(head + SFI_MAP_HEAD_BYTES, oldest);
    return 0;
}

int sfi_map_is_timed(const struct sfi_map *map)
{
    return map->expiry.after_ms || has_oldest(map);
}

int sfi_map_begin_times(const struct sfi_map *map)
{
    size_t size = map->slot->data ? map->slot->size : SFI_MAP_HEAD_BYTES;
    uint64_t oldest = map->slot->data ? SFI_TOUCHED_UNKNOWN : UINT64_MAX;
    if (has_oldest(map))
        return 0;
    unsigned char *head =
        sfi_work_edit_slot(map->work, map->actor, map->slot, size + sizeof oldest);
    if (!head)
        return SF_ENOMEM;
    sfi_map_head_move(head, size, SFI_MAP_HEAD_BYTES, 0, sizeof oldest);
    sfi_le32_put(head, SFI_MAP_HEAD_OLDEST);
    sfi_le64_put(head + SFI_MAP_HEAD_BYTES, oldest);
    sfi_work_size_slot(map->work, map->slot, size + sizeof oldest);
    return 0;
}

void sfi_map_stamp(const struct sfi_map *map, struct sfi_entry *entry, const struct sfi_entry *old)
{
    entry->form = map->expiry.after_ms ? SFI_ENTRY_TOUCHED : 0;
    if (entry->form)
        entry->touched = sfi_expiry_touch(&map->expiry, old ? sfi_entry_touched(old) : 0,
                                          sfi_work_now_ms(map->work));
}

int sfi_map_note_time(const struct sfi_map *map, const struct sfi_entry *entry)
{
    return has_oldest(map) && sfi_entry_touched(entry) < oldest_of(map) ? set_oldest(map, sfi_entry_touched(entry))
                                                                 : 0;
}

/* -- rows in order of time ----------------------------------------------------------------------- */

int sfi_map_put_time(const struct sfi_map *map, uint64_t number, sf_bytes key, uint64_t touched)
{
    struct sfi_key row;
    int rc = sfi_work_count_row(map->work);
    if (rc < 0)
        return rc;
    sfi_key_entry_time(&row, number, touched, key);
    unsigned char *record = sfi_batch_put(sfi_work_batch(map->work), SFI_ENTRY, sfi_key_bytes(&row),
                                          SFI_RECORD_HEADER);
    if (!record)
        return sfi_work_no_memory(map->work);
    sfi_record_finish(record, SFI_RECORD_HEADER, SFI_RECORD_ENTRY, sfi_key_bytes(&row));
    return 0;
}

int sfi_map_delete_time(const struct sfi_map *map, uint64_t number, sf_bytes key, uint64_t touched)
{
    struct sfi_key row;
    int rc = sfi_work_count_row(map->work);
    if (rc < 0)
        return rc;
    sfi_key_entry_time(&row, number, touched, key);
    return sfi_batch_delete(sfi_work_batch(map->work), SFI_ENTRY, sfi_key_bytes(&row)) < 0
               ? sfi_work_no_memory(map->work)
               : 0;
}

/* -- small --------------------------------------------------------------------------------------- */

/* The first entry from a place on that is over; the least time of those passed. */
static int find_over(const struct sfi_map *map, size_t at, struct sfi_small_entry *out,
                     uint64_t *oldest)
{
    struct sfi_entry entry;
    sf_bytes head = SF_BYTES(map->slot->data, map->slot->size);
    for (; sfi_map_head_at(head, at, out); at = out->next) {
        sfi_entry_read(out->packed, &entry);
        if (sfi_map_is_over(map, &entry))
            return 1;
        if (sfi_entry_touched(&entry) < *oldest)
            *oldest = sfi_entry_touched(&entry);
    }
    return 0;
}

uint64_t sfi_map_count_over(const struct sfi_map *map)
{
    struct sfi_small_entry small;
    uint64_t count = 0, unused = 0;
    if (!map->slot->data || !map->expiry.after_ms || sfi_map_head_number(map->slot->data))
        return 0;
    for (size_t at = sfi_map_head_entries(map->slot->data); find_over(map, at, &small, &unused);
         at = small.next)
        count++;
    return count;
}

static int reclaim_small(const struct sfi_map *map)
{
    struct sfi_small_entry small;
    uint64_t oldest = UINT64_MAX;
    size_t at = sfi_map_head_entries(map->slot->data);
    while (map->slot->data && find_over(map, at, &small, &oldest)) {
        char key[SF_KEY_MAX]; /* the entry moves */
        memcpy(key, small.key.data, small.key.size);
        at = small.at;
        int rc = sfi_map_delete(map, SF_BYTES(key, small.key.size));
        if (rc < 0)
            return rc;
    }
    return map->slot->data && has_oldest(map) ? set_oldest(map, oldest) : 0;
}

/* -- large --------------------------------------------------------------------------------------- */

/* Rows that are to be deleted, and what comes after them. */
struct finds {
    const struct sfi_map *map;
    uint64_t number, next; /* touched; UINT64_MAX: there is none */
    sf_bytes keys[SFI_MAP_GLEAN];
    uint32_t count, most, passed;
};

static struct finds *finds_new(const struct sfi_map *map, uint32_t most)
{
    struct finds *finds = sfi_arena_alloc(&map->work->arena, sizeof *finds);
    if (!finds) {
        sfi_work_no_memory(map->work);
        return NULL;
    }
    finds->map = map;
    finds->number = sfi_map_head_number(map->slot->data);
    finds->next = UINT64_MAX;
    finds->most = most;
    finds->count = finds->passed = 0;
    return finds;
}

static int keep_key(struct finds *finds, sf_bytes key)
{
    void *copy = sfi_arena_copy(&finds->map->work->arena, key.data, key.size);
    if (!copy)
        return sfi_err(SF_ENOMEM, "out of memory");
    finds->keys[finds->count++] = SF_BYTES(copy, key.size);
    return 1;
}

static int is_row(const struct finds *finds, sf_bytes row, enum sfi_entry_order order)
{
    const unsigned char *bytes = row.data;
    return row.size >= 9 && sfi_be64_get(bytes) == finds->number && bytes[8] == order;
}

static int take_time(void *ctx, sf_bytes row, sf_bytes record)
{
    struct finds *finds = ctx;
    (void)record;
    if (row.size < 17 || !is_row(finds, row, SFI_ENTRY_BY_TIME))
        return 0;
    const unsigned char *bytes = row.data;
    finds->next = sfi_be64_get(bytes + 9);
    if (finds->count == finds->most ||
        !sfi_expiry_is_over(&finds->map->expiry, finds->next, sfi_work_now_ms(finds->map->work)))
        return 0;
    int rc = keep_key(finds, SF_BYTES(bytes + 17, row.size - 17));
    finds->next = UINT64_MAX;
    return rc;
}

static int walk(struct finds *finds, sf_bytes from, int excludes, sfi_take *take)
{
    struct sfi_rows rows = sfi_work_rows(finds->map->work);
    struct sfi_place place = {from, 0, excludes};
    int rc = sfi_rows_walk(&rows, SFI_ENTRY, &place, take, finds);
    return rc < 0 ? sfi_work_unreadable(finds->map->work, rc) : 0;
}

static int delete_all(const struct finds *finds)
{
    int rc = 0;
    for (uint32_t i = 0; i < finds->count && rc >= 0; i++)
        rc = sfi_map_delete(finds->map, finds->keys[i]);
    return rc < 0 ? rc : 0;
}

/* From `oldest` on: what was deleted before it need not be passed again. */
static int reclaim_large(const struct sfi_map *map, uint32_t most)
{
    struct sfi_key from;
    struct finds *finds = finds_new(map, most);
    uint64_t oldest = oldest_of(map);
    if (!finds)
        return SF_ENOMEM;
    sfi_key_entry_time(&from, finds->number, oldest, SF_BYTES("", 0));
    int rc = walk(finds, sfi_key_bytes(&from), 0, take_time);
    if (rc == 0)
        rc = delete_all(finds);
    if (rc == 0 && map->slot->data && oldest != SFI_TOUCHED_UNKNOWN)
        rc = set_oldest(map, finds->next);
    return rc < 0 ? rc : finds->count == most;
}

int sfi_map_reclaim(const struct sfi_map *map, uint32_t most)
{
    if (!map->slot->data || !map->expiry.after_ms ||
        !sfi_expiry_is_over(&map->expiry, oldest_of(map), sfi_work_now_ms(map->work)) ||
        sfi_doubt_is_on(&map->work->rt->doubt, map->work->rt->sys))
        return 0;
    return sfi_map_head_number(map->slot->data) ? reclaim_large(map, most) : reclaim_small(map);
}

/* -- entries without a time ---------------------------------------------------------------------- */

static int take_untimed(void *ctx, sf_bytes row, sf_bytes record)
{
    struct finds *finds = ctx;
    struct sfi_gleaner *gleaner = &finds->map->work->rt->gleaner;
    struct sfi_entry entry;
    if (!is_row(finds, row, SFI_ENTRY_BY_KEY))
        return 0;
    if (finds->passed == UNTIMED_ROWS || finds->count == UNTIMED_MAX) {
        finds->next = 0; /* there are more */
        return 0;
    }
    finds->passed++;
    memcpy(gleaner->untimed.bytes, row.data, row.size);
    gleaner->untimed.size = row.size;
    int rc = sfi_entry_open(row, record, &entry);
    if (rc < 0)
        return rc == SF_ENOMEM ? rc : 1; /* what is damaged is left alone */
    if (entry.form & SFI_ENTRY_TOUCHED)
        return 1;
    return keep_key(finds, SF_BYTES((const unsigned char *)row.data + 9, row.size - 9));
}

/* The first time of a map that has no others any more. */
static int end_untimed(const struct sfi_map *map)
{
    struct sfi_key from;
    struct finds *finds = finds_new(map, 0);
    if (!finds)
        return SF_ENOMEM;
    sfi_key_entry_time(&from, finds->number, 0, SF_BYTES("", 0));
    int rc = walk(finds, sfi_key_bytes(&from), 0, take_time);
    if (rc == 0)
        rc = sfi_map_begin_times(map);
    return rc == 0 ? set_oldest(map, finds->next) : rc;
}

static int glean_untimed(const struct sfi_map *map, struct sfi_gleaner *gleaner)
{
    struct finds *finds = finds_new(map, UNTIMED_MAX);
    struct sfi_key before = gleaner->untimed;
    if (!finds)
        return SF_ENOMEM;
    int goes_on = before.size >= 9 && sfi_be64_get(before.bytes) == finds->number;
    if (!goes_on)
        sfi_key_entry(&before, finds->number, SF_BYTES("", 0));
    int rc = walk(finds, sfi_key_bytes(&before), goes_on, take_untimed);
    if (rc == 0)
        rc = delete_all(finds);
    if (rc == 0 && finds->next == 0)
        return 1;
    gleaner->untimed.size = 0;
    return rc == 0 && map->slot->data ? end_untimed(map) : rc;
}

int sfi_map_glean(const struct sfi_map *map, struct sfi_gleaner *gleaner)
{
    int rc = sfi_map_reclaim(map, SFI_MAP_GLEAN);
    if (rc != 0 || !map->slot->data || !sfi_map_head_number(map->slot->data) ||
        oldest_of(map) != SFI_TOUCHED_UNKNOWN ||
        !sfi_expiry_is_over(&map->expiry, SFI_TOUCHED_UNKNOWN, sfi_work_now_ms(map->work)) ||
        sfi_doubt_is_on(&map->work->rt->doubt, map->work->rt->sys))
        return rc;
    return glean_untimed(map, gleaner);
}
