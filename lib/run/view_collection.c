/* view_collection.c - maps and lists as a view sees them: the head, copied, and rows of the view's
 * snapshot.
 *
 * The head says all: entries that lie in it, or the number of the rows.  Both are of one epoch,
 * so nothing is to be merged; each step finds the entry past the one that was handed out last. */
#include <string.h>

#include "actor/collection.h"
#include "actor/list_head.h"
#include "actor/map_head.h"
#include "base/err.h"
#include "run/guard.h"
#include "run/runtime.h"
#include "run/view_cursor.h"
#include "store/key_order.h"
#include "store/record.h"

struct sfi_view_collection {
    struct sfi_look look;
    struct sfi_arena kept; /* for as long as the walk: the head, and what bounds it */
    sf_bytes head;         /* data NULL: empty */
    sf_bytes lower, upper, prefix;
    int excludes_lower, is_backward, is_begun;
    unsigned char at[SF_KEY_MAX]; /* the key that was handed out last */
    size_t at_size;
};

/* -- a map ------------------------------------------------------------------------------------- */

static int next_small(const struct sfi_view_collection *map, sf_bytes from, int excludes,
                      sf_bytes *key,
                      struct sfi_entry *entry)
{
    struct sfi_small_entry small;
    int found;
    if (map->is_backward) {
        found = sfi_map_head_before(map->head, from, &small);
    } else {
        found = sfi_map_head_find(map->head, from.data ? from : SF_BYTES("", 0), &small);
        size_t at = found && from.data && excludes ? small.next : small.at;
        found = sfi_map_head_at(map->head, at, &small);
    }
    if (!found)
        return 0;
    *key = small.key;
    int rc = sfi_entry_read(small.packed, entry);
    return rc < 0 ? rc : 1;
}

static int seek_row(const struct sfi_view_cursor *cursor, uint64_t number, sf_bytes from,
                    int excludes,
                    sf_bytes *row, sf_bytes *record)
{
    struct sfi_snapshot *snapshot = cursor->view->snapshot;
    struct sfi_key key;
    sfi_key_entry(&key, number, from.data ? from : SF_BYTES("", 0));
    if (!from.data && cursor->collection->is_backward)
        key.bytes[8] = SFI_ENTRY_BY_KEY + 1;
    int rc = cursor->collection->is_backward
                 ? sfi_snapshot_seek_before(snapshot, SFI_ENTRY, sfi_key_bytes(&key), row, record)
                 : sfi_snapshot_seek(snapshot, SFI_ENTRY, sfi_key_bytes(&key),
                                     from.data ? excludes : 0, row, record);
    const unsigned char *bytes = rc > 0 ? row->data : NULL;
    if (rc <= 0 || row->size < 9 || sfi_be64_get(bytes) != number || bytes[8] != SFI_ENTRY_BY_KEY)
        return rc < 0 ? rc : 0;
    return 1;
}

static int next_large(const struct sfi_view_cursor *cursor, sf_bytes from, int excludes,
                      sf_bytes *key,
                      struct sfi_entry *entry)
{
    sf_bytes row, record;
    uint64_t number = sfi_map_head_number(cursor->collection->head.data);
    int rc = seek_row(cursor, number, from, excludes, &row, &record);
    if (rc <= 0)
        return rc;
    *key = SF_BYTES((const unsigned char *)row.data + 9, row.size - 9);
    rc = sfi_entry_open(row, record, entry);
    return rc < 0 ? rc : 1;
}

static int is_beyond(const struct sfi_view_collection *map, sf_bytes key)
{
    if (map->prefix.size && (key.size < map->prefix.size ||
                             memcmp(key.data, map->prefix.data, map->prefix.size) != 0))
        return 1;
    if (!map->is_backward)
        return map->upper.data && sfi_key_compare(key, map->upper) >= 0;
    return map->lower.data && sfi_key_compare(key, map->lower) < (map->excludes_lower != 0);
}

static int next_of_map(struct sfi_view_cursor *cursor, sf_bytes *key, struct sfi_entry *entry)
{
    struct sfi_view_collection *map = cursor->collection;
    sf_bytes from = map->is_begun ? SF_BYTES(map->at, map->at_size)
                                  : map->is_backward ? map->upper : map->lower;
    int excludes = map->is_begun || map->excludes_lower;
    int rc = sfi_map_head_number(map->head.data) ? next_large(cursor, from, excludes, key, entry)
                                                 : next_small(map, from, excludes, key, entry);
    return rc > 0 && is_beyond(map, *key) ? 0 : rc;
}

/* -- a list ------------------------------------------------------------------------------------ */

/* The elements among which that one is. */
static int elements_with(const struct sfi_view_cursor *cursor, const struct sfi_list_head *head,
                         uint64_t number, struct sfi_elements *out)
{
    struct sfi_key key;
    unsigned char name[8];
    sf_bytes row, record;
    *out = sfi_list_head_elements(cursor->collection->head);
    if (number >= head->rows_end)
        return 0;
    sfi_be64_put(name, number + 1);
    sfi_key_entry(&key, head->number, SF_BYTES(name, sizeof name));
    int rc = sfi_snapshot_seek_before(cursor->view->snapshot, SFI_ENTRY, sfi_key_bytes(&key), &row,
                                      &record);
    if (rc > 0)
        rc = sfi_list_row_open(row, record, out);
    else if (rc == 0)
        rc = SF_ECORRUPT;
    if (rc == 0 && (memcmp(row.data, key.bytes,
                           9) != 0 || number < out->first || number >= out->end))
        rc = SF_ECORRUPT;
    return rc == SF_ECORRUPT ? sfi_err(rc, "a row of a list is missing") : rc;
}

static int next_of_list(struct sfi_view_cursor *cursor, sf_bytes *key, struct sfi_entry *entry)
{
    struct sfi_view_collection *list = cursor->collection;
    struct sfi_list_head head;
    struct sfi_elements elements;
    sfi_list_head_get(list->head.data, &head);
    uint64_t number = list->is_backward ? head.next - 1 : head.first;
    if (list->is_begun)
        number = sfi_be64_get(list->at) + (list->is_backward ? UINT64_MAX : 1);
    if (number < head.first || number >= head.next)
        return 0;
    int rc = elements_with(cursor, &head, number, &elements);
    if (rc < 0)
        return rc;
    sfi_elements_get(&elements, number, entry);
    sfi_be64_put(list->at, number);
    *key = SF_BYTES(list->at, 8);
    return 1;
}

/* -- steps ------------------------------------------------------------------------------------- */

static int lend(struct sfi_arena *arena, sf_bytes *bytes)
{
    bytes->data = sfi_arena_copy(arena, bytes->data, bytes->size);
    return bytes->data ? 0 : sfi_err(SF_ENOMEM, "out of memory");
}

/* The next that is not over.  1, 0 or negative. */
static int next_of(struct sfi_view_cursor *cursor, sf_bytes *key, struct sfi_entry *entry)
{
    struct sfi_view_collection *collection = cursor->collection;
    int is_map = collection->look.binding.kind == SFI_SLOT_MAP;
    int rc = 0;
    while (collection->head.data) {
        rc = is_map ? next_of_map(cursor, key, entry) : next_of_list(cursor, key, entry);
        if (rc <= 0)
            break;
        if (is_map)
            memcpy(collection->at, key->data, key->size);
        collection->at_size = key->size;
        collection->is_begun = 1;
        if (!sfi_expiry_is_over(&collection->look.expiry, sfi_entry_touched(entry),
                                cursor->view->now_ms))
            break;
    }
    return rc;
}

/* The struct of today, in the cursor's memory. */
static int lend_value(struct sfi_view_cursor *cursor, struct sfi_entry *entry, sf_bytes *out)
{
    const struct sfi_look *look = &cursor->collection->look;
    size_t size = look->binding.desc.struct_size;
    int rc = sfi_entry_check(cursor->type.name, &look->binding, &look->layouts, entry);
    if (rc >= 0 && lend(&cursor->arena, &entry->bytes) < 0)
        return SF_ENOMEM;
    *out = entry->bytes;
    if (rc <= 0)
        return rc;
    unsigned char *fresh = sfi_arena_alloc(&cursor->arena, size + 1);
    if (!fresh)
        return sfi_err(SF_ENOMEM, "out of memory");
    memset(fresh, 0, size + 1);
    *out = SF_BYTES(fresh, size);
    return sfi_entry_migrate(cursor->type.name, &look->binding, &look->layouts, entry, fresh);
}

static int step(struct sfi_view_cursor *cursor)
{
    sf_entry *shown = &cursor->cursor.entry;
    struct sfi_entry entry;
    sf_bytes key;
    sfi_arena_reset(&cursor->arena);
    int rc = next_of(cursor, &key, &entry);
    if (rc <= 0)
        return rc;
    shown->key = key;
    rc = lend(&cursor->arena, &shown->key);
    if (rc == 0)
        rc = lend_value(cursor, &entry, &shown->value);
    return rc < 0 ? rc : 1;
}

static const sf_entry *next_entry(sf_cursor *base)
{
    struct sfi_view_cursor *cursor = (struct sfi_view_cursor *)base;
    if (base->error || !cursor->collection || sfi_life_check(cursor->view->rt, "sf_next()") < 0)
        return NULL;
    int rc = step(cursor);
    if (rc < 0)
        base->error = rc;
    return rc > 0 ? &base->entry : NULL;
}

static const struct sfi_cursor_kind walk = {next_entry, sfi_view_cursor_error};

/* -- begun ------------------------------------------------------------------------------------- */

static int read_head(struct sfi_view_cursor *cursor, sf_address address)
{
    struct sfi_view_collection *collection = cursor->collection;
    const struct sfi_binding *binding = &collection->look.binding;
    int is_map = binding->kind == SFI_SLOT_MAP;
    struct sfi_key key;
    sf_bytes record, head;
    int rc = sfi_view_row(cursor->view, &cursor->type, address, binding->number, &key, &record);
    if (rc <= 0)
        return rc;
    rc = sfi_record_open(record, sfi_key_bytes(&key), is_map ? SFI_RECORD_MAP : SFI_RECORD_LIST,
                         &head);
    if (rc == 0)
        rc = is_map ? sfi_map_head_check(head) : sfi_list_head_check(head);
    if (rc == 0 && lend(&collection->kept, &head) < 0)
        rc = SF_ENOMEM;
    if (rc == 0)
        collection->head = head;
    return rc;
}

static int keep(struct sfi_view_collection *map, sf_bytes from, sf_bytes *out)
{
    if (!from.data)
        return 0;
    if (from.size > SF_KEY_MAX)
        return sfi_err(SF_EINVAL, "a key has at most %d bytes, this one %zu", SF_KEY_MAX,
                       from.size);
    *out = from;
    return lend(&map->kept, out);
}

/* The first key past all that begin with the prefix; absent: there is none. */
static void end_of_prefix(struct sfi_view_collection *map, sf_bytes *out)
{
    size_t size = map->prefix.size;
    const unsigned char *prefix = map->prefix.data;
    while (size && prefix[size - 1] == 0xFF)
        size--;
    unsigned char *end = size ? sfi_arena_copy(&map->kept, prefix, size) : NULL;
    if (!end)
        return;
    end[size - 1]++;
    *out = SF_BYTES(end, size);
}

static int set_range(struct sfi_view_collection *map, const sf_range *range)
{
    sf_bytes from = SF_NONE, after = SF_NONE, end = SF_NONE;
    map->is_backward = range->backwards != 0;
    if (keep(map, range->prefix, &map->prefix) < 0 || keep(map, range->from, &from) < 0 ||
        keep(map, range->after, &after) < 0 || keep(map, range->before, &map->upper) < 0)
        return range->prefix.size > SF_KEY_MAX ? SF_EINVAL : SF_ENOMEM;
    map->lower = map->prefix;
    if (from.data && (!map->lower.data || sfi_key_compare(from, map->lower) > 0))
        map->lower = from;
    map->excludes_lower = after.data && (!map->lower.data || sfi_key_compare(after,
                                                                             map->lower) >= 0);
    if (map->excludes_lower)
        map->lower = after;
    end_of_prefix(map, &end);
    if (end.data && (!map->upper.data || sfi_key_compare(end, map->upper) < 0))
        map->upper = end;
    return 0;
}

static void end_collection(struct sfi_view_cursor *cursor)
{
    sfi_arena_fini(&cursor->collection->kept);
    sfi_free(cursor->view->rt->sys, cursor->collection);
}

static struct sfi_view_cursor *cursor_new(sf_view *view)
{
    const struct sfi_sys *sys = view->rt->sys;
    struct sfi_view_collection *collection = sfi_zalloc(sys, sizeof *collection);
    struct sfi_view_cursor *cursor = collection ? sfi_view_cursor_new(view, &walk) : NULL;
    if (!cursor) {
        sfi_free(sys, collection);
        sfi_err(SF_ENOMEM, "out of memory");
        return NULL;
    }
    sfi_arena_init(&collection->kept, sys);
    cursor->collection = collection;
    cursor->end = end_collection;
    return cursor;
}

static sf_cursor *begin(sf_view *view, const char *call, sf_address address, const sf_slot *handle,
                        enum sfi_slot_kind kind, const sf_range *range)
{
    int rc = sfi_view_check(view, call);
    struct sfi_view_cursor *cursor = rc < 0 ? NULL : cursor_new(view);
    if (!cursor)
        return sfi_no_cursor(rc < 0 ? rc : SF_ENOMEM);
    rc = sfi_view_slot(view->rt, address.type, handle, kind, &cursor->type,
                       &cursor->collection->look);
    if (rc == 0 && range)
        rc = set_range(cursor->collection, range);
    if (rc == 0)
        rc = read_head(cursor, address);
    cursor->cursor.error = rc < 0 ? rc : 0;
    return &cursor->cursor;
}

sf_cursor *sf_view_map(sf_view *view, sf_address address, const sf_map *map, const sf_range *range)
{
    return begin(view, "sf_view_map()", address, (const sf_slot *)map, SFI_SLOT_MAP, range);
}

sf_cursor *sf_view_list(sf_view *view, sf_address address, const sf_list *list, int backwards)
{
    sf_range range = {.backwards = backwards};
    return begin(view, "sf_view_list()", address, (const sf_slot *)list, SFI_SLOT_LIST, &range);
}
