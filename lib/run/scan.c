#include "run/scan.h"

#include <string.h>

#include "actor/key.h"
#include "base/copy.h"
#include "base/err.h"
#include "run/drive.h"
#include "run/runtime.h"
#include "store/key_order.h"

enum {
    AHEAD_FACTOR = 4,
    AHEAD_MAX = 256,          /* entries read in one go, */
    AHEAD_BYTES = 16 * 1024,  /* of so many bytes, but for the first */
    ALIGN = 16,
    SCAN_BYTES = 1024 /* of memory, about */
};

/* An entry that was read ahead; its key and its bytes follow, each with a zero byte, aligned. */
struct ahead {
    _Alignas(ALIGN) size_t key_size;
    struct sfi_entry entry;
};

struct sfi_scan {
    struct sf_cursor cursor;
    struct sfi_scan *next_scan; /* in a list */
    struct sf_turn *turn;
    uint64_t serial; /* of that turn */
    struct sfi_map map; /* or list, which is the same */
    const struct sfi_binding *binding;
    int is_list, is_backward, is_over;
    sf_bytes lower, upper, prefix; /* data NULL: no bound */
    int excludes_lower;
    unsigned char *at; /* the key that was handed out last, SF_KEY_MAX bytes of the arena */
    size_t at_size;
    int is_begun;
    unsigned char *buffer; /* the arena's */
    size_t used, size, next;
    uint32_t count, most; /* entries in it; to be read in one go */
    uint32_t changes;     /* of the slot, when it was filled */
};

static void push(struct sfi_scan_list *list, struct sfi_scan *scan)
{
    scan->next_scan = NULL;
    if (list->last)
        list->last->next_scan = scan;
    else
        list->first = scan;
    list->last = scan;
    list->count++;
}

static struct sfi_scan *pop(struct sfi_scan_list *list)
{
    struct sfi_scan *scan = list->first;
    if (!scan)
        return NULL;
    list->first = scan->next_scan;
    list->last = list->first ? list->last : NULL;
    list->count--;
    return scan;
}

void sfi_scans_fini(struct sfi_scans *scans, const struct sfi_sys *sys)
{
    for (struct sfi_scan *scan; (scan = pop(&scans->used));)
        sfi_free(sys, scan);
    for (struct sfi_scan *scan; (scan = pop(&scans->idle));)
        sfi_free(sys, scan);
}

static uint32_t *changes_of(struct sfi_work *work, const struct sfi_slot *slot)
{
    return &work->changes[((uintptr_t)slot >> 5) % SFI_WORK_CHANGES];
}

void sfi_scans_note(struct sfi_work *work, const struct sfi_slot *slot)
{
    ++*changes_of(work, slot);
}

void sfi_scans_end(struct sfi_work *work, const struct sfi_actor *actor,
                   const struct sfi_slot *slot)
{
    struct sfi_scan *scan = work->scans ? work->rt->turns.scans.used.first : NULL;
    for (; scan; scan = scan->next_scan)
        scan->is_over |= slot ? scan->map.slot == slot : scan->map.actor == actor;
}

/* -- what is read ahead ------------------------------------------------------------------------ */

static size_t padded(size_t size)
{
    return (size + 1 + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* The arena keeps what was too small until the work ends; each is at least twice the one before. */
static int make_room(struct sfi_scan *scan, size_t need)
{
    size_t most = scan->most > 1 && need < AHEAD_BYTES ? AHEAD_BYTES : need;
    if (scan->size >= most)
        return 0;
    size_t size = scan->size * 2 > most ? scan->size * 2 : most;
    scan->buffer = sfi_arena_alloc(&scan->map.work->arena, size);
    scan->size = scan->buffer ? size : 0;
    return scan->buffer ? 0 : sfi_work_no_memory(scan->map.work);
}

static unsigned char *append(unsigned char *to, sf_bytes bytes)
{
    sfi_copy(to, bytes.data, bytes.size);
    to[bytes.size] = 0;
    return to + padded(bytes.size);
}

/* 1: there is room for more; 0: there is not; negative. */
static int keep_entry(struct sfi_scan *scan, sf_bytes key, const struct sfi_entry *entry)
{
    size_t need = sizeof(struct ahead) + padded(key.size) + padded(entry->bytes.size);
    if (scan->count == 0 && make_room(scan, need) < 0)
        return SF_ENOMEM;
    if (scan->size - scan->used < need)
        return 0;
    struct ahead *ahead = (struct ahead *)(scan->buffer + scan->used);
    *ahead = (struct ahead){.key_size = key.size, .entry = *entry};
    append(append((unsigned char *)(ahead + 1), key), entry->bytes);
    scan->used += need;
    return ++scan->count < scan->most;
}

static int is_beyond(const struct sfi_scan *scan, sf_bytes key)
{
    if (scan->prefix.size &&
        (key.size < scan->prefix.size ||
         memcmp(key.data, scan->prefix.data, scan->prefix.size) != 0))
        return 1;
    if (!scan->is_backward)
        return scan->upper.data && sfi_key_compare(key, scan->upper) >= 0;
    return scan->lower.data && sfi_key_compare(key, scan->lower) < (scan->excludes_lower != 0);
}

static int take_entry(void *ctx, sf_bytes key, const struct sfi_entry *entry)
{
    return is_beyond(ctx, key) ? 0 : keep_entry(ctx, key, entry);
}

static int take_element(void *ctx, uint64_t number, const struct sfi_entry *entry)
{
    unsigned char key[8];
    sfi_be64_put(key, number);
    return keep_entry(ctx, SF_BYTES(key, sizeof key), entry);
}

/* Where the next piece begins: past what was handed out last. */
static struct sfi_map_place place_of(const struct sfi_scan *scan)
{
    sf_bytes at = SF_BYTES(scan->at, scan->at_size);
    if (scan->is_backward)
        return (struct sfi_map_place){scan->is_begun ? at : scan->upper, 1, 1};
    return scan->is_begun ? (struct sfi_map_place){at, 0, 1}
                          : (struct sfi_map_place){scan->lower, 0, scan->excludes_lower};
}

static int read_list(struct sfi_scan *scan)
{
    struct sfi_list list = {scan->map.work, scan->map.actor, scan->map.slot, scan->map.expiry};
    uint64_t at = scan->is_backward ? UINT64_MAX : 0;
    if (scan->is_begun)
        at = sfi_be64_get(scan->at) + (scan->is_backward ? UINT64_MAX : 1);
    return sfi_list_walk(&list, at, scan->is_backward, take_element, scan);
}

static int read_ahead(struct sfi_scan *scan)
{
    struct sfi_map_place place = place_of(scan);
    int is_same = scan->changes == *changes_of(scan->map.work, scan->map.slot);
    scan->most = !is_same || !scan->is_begun       ? 1
                 : scan->most < AHEAD_MAX ? scan->most * AHEAD_FACTOR
                                          : AHEAD_MAX;
    scan->changes = *changes_of(scan->map.work, scan->map.slot);
    scan->count = 0;
    scan->used = scan->next = 0;
    int rc = scan->is_list ? read_list(scan)
                           : sfi_map_walk(&scan->map, &place, take_entry, scan);
    return rc < 0 ? rc : scan->count > 0;
}

/* -- steps ------------------------------------------------------------------------------------- */

/* Shows the next one that was read, as it is now.  1 or negative. */
static int show(struct sfi_scan *scan)
{
    const struct ahead *ahead = (const struct ahead *)(scan->buffer + scan->next);
    unsigned char *key = (unsigned char *)(uintptr_t)(ahead + 1);
    struct sfi_entry entry = ahead->entry;
    entry.bytes.data = key + padded(ahead->key_size);
    scan->next += sizeof *ahead + padded(ahead->key_size) + padded(entry.bytes.size);
    memcpy(scan->at, key, ahead->key_size);
    scan->at_size = ahead->key_size;
    scan->is_begun = 1;
    scan->cursor.entry.key = SF_BYTES(key, ahead->key_size);
    const struct sfi_lent *lent =
        scan->map.work->lents ? sfi_lent_find(scan->map.work, scan->map.slot,
                                              scan->cursor.entry.key)
                              : NULL;
    if (lent) {
        scan->cursor.entry.value = SF_BYTES(lent->bytes, scan->binding->desc.struct_size);
        return 1;
    }
    int rc = sfi_lent_upgrade(&scan->map, scan->binding, &entry, &scan->cursor.entry.value);
    return rc < 0 ? rc : 1;
}

static int step(struct sfi_scan *scan)
{
    int rc = 1;
    if (scan->next == scan->used ||
        scan->changes != *changes_of(scan->map.work, scan->map.slot))
        rc = read_ahead(scan);
    if (rc > 0)
        rc = show(scan);
    scan->is_over |= rc <= 0;
    return rc;
}

/* Of the innermost turn, and that one is the one it was made in. */
static int is_usable(const struct sfi_scan *scan)
{
    const struct sf_turn *turn = scan->turn;
    struct sfi_turns *turns = &turn->rt->turns;
    if (turn->depth && turn->depth == turns->depth && turn->serial == scan->serial)
        return 1;
    if (turns->depth)
        sfi_work_doom(&turns->work, SFI_REJECT, SF_EINVAL, "a cursor was used after its turn, or "
                                                           "while a turn that it called runs");
    sfi_err(SF_EINVAL, "a cursor was used after its turn, or while a turn that it called runs");
    return 0;
}

static const sf_entry *scan_next(sf_cursor *cursor)
{
    struct sfi_scan *scan = (struct sfi_scan *)cursor;
    if (sfi_is_forked(scan->turn->rt) || !is_usable(scan) || scan->is_over ||
        scan->map.work->verdict != SFI_KEEP)
        return NULL;
    int rc = step(scan);
    if (rc < 0)
        cursor->error = rc;
    return rc > 0 ? &cursor->entry : NULL;
}

static int scan_error(const sf_cursor *cursor)
{
    const struct sfi_scan *scan = (const struct sfi_scan *)cursor;
    return is_usable(scan) ? cursor->error : SF_EINVAL;
}

static const struct sfi_cursor_kind kind = {scan_next, scan_error};

/* -- begun ------------------------------------------------------------------------------------- */

/* The oldest, if there are enough; those of the work before are idle now. */
static struct sfi_scan *another(struct sfi_work *work)
{
    struct sfi_scans *scans = &work->rt->turns.scans;
    for (struct sfi_scan *scan; work->scans == 0 && (scan = pop(&scans->used));)
        push(&scans->idle, scan);
    struct sfi_scan *scan = scans->idle.count >= SFI_SCANS_IDLE
                                ? pop(&scans->idle)
                                : sfi_alloc(work->rt->sys, sizeof *scan);
    if (!scan)
        return NULL;
    *scan = (struct sfi_scan){.cursor = {.kind = &kind}};
    push(&scans->used, scan);
    work->scans++;
    return scan;
}

static struct sfi_scan *scan_new(struct sf_turn *turn, struct sfi_map map,
                                 const struct sfi_binding *binding)
{
    struct sfi_work *work = map.work;
    if (work->scans == SFI_SCANS_MAX) {
        sfi_work_doom(work, SFI_REJECT, SF_EINVAL, "one turn began more than %d walks",
                      SFI_SCANS_MAX);
        return NULL;
    }
    unsigned char *at = sfi_arena_alloc(&work->arena, SF_KEY_MAX);
    struct sfi_scan *scan = at ? another(work) : NULL;
    if (!scan) {
        sfi_work_no_memory(work);
        return NULL;
    }
    scan->turn = turn;
    scan->serial = turn->serial;
    scan->map = map;
    scan->binding = binding;
    scan->at = at;
    return sfi_work_charge(work, SCAN_BYTES) < 0 ? NULL : scan;
}

/* Raises the lower bound. */
static void begin_from(struct sfi_scan *scan, sf_bytes from, int excludes)
{
    int order = !from.data ? -1 : scan->lower.data ? sfi_key_compare(from, scan->lower) : 1;
    if (order > 0 || (order == 0 && excludes)) {
        scan->lower = from;
        scan->excludes_lower = excludes;
    }
}

/* The first key past all that begin with the prefix; absent: there is none. */
static void end_of_prefix(sf_bytes prefix, unsigned char *bytes, sf_bytes *out)
{
    size_t size = prefix.size;
    memcpy(bytes, prefix.data, size);
    while (size && bytes[size - 1] == 0xFF)
        size--;
    if (size == 0)
        return;
    bytes[size - 1]++;
    *out = SF_BYTES(bytes, size);
}

static int set_upper(struct sfi_scan *scan, const sf_range *range)
{
    unsigned char bytes[SF_KEY_MAX];
    sf_bytes end = SF_NONE;
    if (range->prefix.size)
        end_of_prefix(range->prefix, bytes, &end);
    sf_bytes upper = range->before;
    if (end.data && (!upper.data || sfi_key_compare(end, upper) < 0))
        upper = end;
    if (upper.data)
        upper.data = sfi_work_lend(scan->map.work, upper);
    scan->upper = upper;
    return scan->map.work->code;
}

static int set_range(struct sfi_scan *scan, const sf_range *range)
{
    struct sfi_work *work = scan->map.work;
    scan->is_backward = range->backwards != 0;
    begin_from(scan, range->prefix, 0);
    begin_from(scan, range->from, 0);
    begin_from(scan, range->after, 1);
    if (scan->lower.data)
        scan->lower.data = sfi_work_lend(work, scan->lower);
    scan->prefix = range->prefix;
    if (scan->prefix.data)
        scan->prefix.data = sfi_work_lend(work, scan->prefix);
    return work->code < 0 ? work->code : set_upper(scan, range);
}

sf_cursor *sfi_scan_map(struct sf_turn *turn, const struct sfi_map *map,
                        const struct sfi_binding *binding, const sf_range *range)
{
    struct sfi_scan *scan = scan_new(turn, *map, binding);
    return scan && (!range || set_range(scan, range) == 0) ? &scan->cursor : NULL;
}

sf_cursor *sfi_scan_list(struct sf_turn *turn, const struct sfi_list *list,
                         const struct sfi_binding *binding, int is_backward)
{
    struct sfi_map slot = {list->work, list->actor, list->slot, list->expiry};
    struct sfi_scan *scan = scan_new(turn, slot, binding);
    if (!scan)
        return NULL;
    scan->is_list = 1;
    scan->is_backward = is_backward != 0;
    return &scan->cursor;
}
