#include "store/key_order.h"

#include <string.h>

#include "base/endian.h"
#include "base/err.h"

enum {
    PREFIX_BYTES = 8,
    CAPACITY_MIN = 256,
    FEW = 16 /* sorted by insertion */
};

/* What comparing needs besides the refs. */
struct keys {
    sfi_key_of *of;
    void *ctx;
    size_t at; /* the keys are known to be equal before this byte */
};

void sfi_key_order_init(struct sfi_key_order *order, const struct sfi_sys *sys)
{
    order->sys = sys;
    order->refs = NULL;
    order->capacity = 0;
    sfi_key_order_reset(order);
}

void sfi_key_order_fini(struct sfi_key_order *order)
{
    sfi_free(order->sys, order->refs);
    sfi_key_order_init(order, order->sys);
}

void sfi_key_order_reset(struct sfi_key_order *order)
{
    order->count = order->next = order->sorted = 0;
    order->common = 0;
    order->is_begun = 0;
    order->part_count = 1;
    order->parts[0] = (struct sfi_key_part){.end = 0, .at = 0, .is_loaded = 1};
}

int sfi_key_order_reserve(struct sfi_key_order *order, uint32_t more)
{
    uint64_t need = (uint64_t)order->count + more;
    if (need <= order->capacity)
        return 0;
    void *refs = sfi_grow(order->sys, order->refs, &order->capacity, need, CAPACITY_MIN,
                          sizeof *order->refs);
    if (!refs)
        return sfi_err(SF_ENOMEM, "out of memory");
    order->refs = refs;
    return 0;
}

/* Eight bytes of the key from `at`, as a number that sorts like them; missing ones count as zero. */
static uint64_t key_number(sf_bytes key, size_t at)
{
    const unsigned char *bytes = key.data;
    uint64_t number = 0;
    if (at + PREFIX_BYTES <= key.size)
        return sfi_be64_get(bytes + at);
    for (size_t i = at; i < at + PREFIX_BYTES; i++)
        number = number << 8 | (i < key.size ? bytes[i] : 0);
    return number;
}

/* How many of the bytes that all have this one has too. */
static uint32_t common_bytes(const struct sfi_key_order *order, sf_bytes key)
{
    const unsigned char *bytes = key.data;
    uint32_t most = order->common < key.size ? order->common : (uint32_t)key.size, same = 0;
    if (memcmp(order->first, bytes, most) == 0)
        return most;
    while (order->first[same] == bytes[same])
        same++;
    return same;
}

void sfi_key_order_add(struct sfi_key_order *order, uint32_t item, sf_bytes key)
{
    if (order->count == 0) {
        order->common = key.size < SFI_KEY_MAX ? (uint32_t)key.size : SFI_KEY_MAX;
        memcpy(order->first, key.data, order->common);
    }
    order->common = common_bytes(order, key);
    order->refs[order->count++] =
        (struct sfi_key_ref){key_number(key, order->common), item, order->common};
}

int sfi_key_compare(sf_bytes a, sf_bytes b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp(a.data, b.data, size) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* -- few, or hopeless: compare whole keys ------------------------------------------------------------ */

static sf_bytes key_rest(const struct keys *keys, sf_bytes key)
{
    size_t at = keys->at < key.size ? keys->at : key.size;
    return SF_BYTES((const unsigned char *)key.data + at, key.size - at);
}

/* Before `at` the keys are equal but for zeroes at their end, which count as missing bytes do: then the
 * size decides. */
static int compare_refs(const struct keys *keys, const struct sfi_key_ref *a,
                        const struct sfi_key_ref *b)
{
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    sf_bytes left = keys->of(keys->ctx, a->item), right = keys->of(keys->ctx, b->item);
    int order = sfi_key_compare(key_rest(keys, left), key_rest(keys, right));
    return order ? order : (left.size > right.size) - (left.size < right.size);
}

/* A strict order: the newest of equal keys comes first. */
static int comes_before(const struct keys *keys, const struct sfi_key_ref *a,
                        const struct sfi_key_ref *b)
{
    int order = compare_refs(keys, a, b);
    return order ? order < 0 : a->item > b->item;
}

static inline void swap_refs(struct sfi_key_ref *a, struct sfi_key_ref *b)
{
    struct sfi_key_ref kept = *a;
    *a = *b;
    *b = kept;
}

static void insertion_sort(const struct keys *keys, struct sfi_key_ref *refs, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct sfi_key_ref ref = refs[i];
        size_t at = i;
        for (; at > 0 && comes_before(keys, &ref, &refs[at - 1]); at--)
            refs[at] = refs[at - 1];
        refs[at] = ref;
    }
}

static void sink(const struct keys *keys, struct sfi_key_ref *refs, size_t at, size_t count)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && comes_before(keys, &refs[child], &refs[child + 1]))
            child++;
        if (!comes_before(keys, &refs[at], &refs[child]))
            return;
        swap_refs(&refs[at], &refs[child]);
    }
}

static void heap_sort(const struct keys *keys, struct sfi_key_ref *refs, size_t count)
{
    for (size_t i = count / 2; i > 0; i--)
        sink(keys, refs, i - 1, count);
    for (size_t left = count; left > 1; left--) {
        swap_refs(&refs[0], &refs[left - 1]);
        sink(keys, refs, 0, left - 1);
    }
}

static void finish(const struct keys *keys, struct sfi_key_ref *refs, size_t count)
{
    if (count > FEW)
        heap_sort(keys, refs, count);
    else
        insertion_sort(keys, refs, count);
    for (size_t i = 1; i < count; i++)
        refs[i].is_older = compare_refs(keys, &refs[i - 1], &refs[i]) == 0;
}

/* -- many: partition --------------------------------------------------------------------------------- */

static uint64_t median(uint64_t a, uint64_t b, uint64_t c)
{
    if (a < b)
        return b < c ? b : a < c ? c : a;
    return a < c ? a : b < c ? c : b;
}

static uint64_t choose_pivot(const struct sfi_key_ref *refs, size_t count)
{
    size_t step = count / 9;
    uint64_t thirds[3];
    for (size_t i = 0; i < 3; i++, refs += 3 * step)
        thirds[i] = median(refs[0].prefix, refs[step].prefix, refs[2 * step].prefix);
    return median(thirds[0], thirds[1], thirds[2]);
}

/* Smaller ones to the left of `*low`, greater ones from `*high` on, equal ones between. */
static void partition(struct sfi_key_ref *refs, uint32_t count, uint32_t *low, uint32_t *high)
{
    uint64_t pivot = choose_pivot(refs, count);
    uint32_t at = 0;
    *low = 0;
    *high = count;
    while (at < *high) {
        if (refs[at].prefix == pivot)
            at++;
        else if (refs[at].prefix > pivot)
            swap_refs(&refs[at], &refs[--*high]);
        else if (at++ != (*low)++)
            swap_refs(&refs[at - 1], &refs[*low - 1]);
    }
}

/* Keys that have all ended are told apart by their sizes. */
static void load_sizes(const struct keys *keys, struct sfi_key_ref *refs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        refs[i].prefix = keys->of(keys->ctx, refs[i].item).size;
}

/* 0: all of them are one and the same key.  `*out_newest`: which is the greatest item. */
static int load_prefixes(const struct keys *keys, struct sfi_key_ref *refs, uint32_t count,
                         uint32_t *out_newest)
{
    size_t least = SIZE_MAX, most = 0;
    *out_newest = 0;
    for (uint32_t i = 0; i < count; i++) {
        sf_bytes key = keys->of(keys->ctx, refs[i].item);
        refs[i].prefix = key_number(key, keys->at);
        least = key.size < least ? key.size : least;
        most = key.size > most ? key.size : most;
        if (refs[i].item > refs[*out_newest].item)
            *out_newest = i;
    }
    if (most <= keys->at && least < most)
        load_sizes(keys, refs, count);
    return most > keys->at || least < most;
}

static void push_part(struct sfi_key_order *order, uint32_t end, size_t at, int is_loaded)
{
    order->parts[order->part_count++] =
        (struct sfi_key_part){end, (uint16_t)at, (uint16_t)is_loaded};
}

/* Versions of one key: the newest to the front. */
static void finish_versions(struct sfi_key_ref *refs, uint32_t count, uint32_t newest)
{
    swap_refs(&refs[0], &refs[newest]);
    for (uint32_t i = 1; i < count; i++)
        refs[i].is_older = 1;
}

/* Finishes the foremost part, or replaces it by three smaller ones. */
static void work_on_part(struct sfi_key_order *order, struct keys *keys)
{
    struct sfi_key_part part = order->parts[--order->part_count];
    struct sfi_key_ref *refs = order->refs + order->sorted;
    uint32_t first = order->sorted, count = part.end - first, newest, low, high;
    keys->at = part.at;
    if (count == 0)
        return;
    if (!part.is_loaded && !load_prefixes(keys, refs, count, &newest)) {
        finish_versions(refs, count, newest);
        order->sorted = part.end;
        return;
    }
    if (count <= FEW || order->part_count + 3 > SFI_ORDER_PARTS) {
        finish(keys, refs, count);
        order->sorted = part.end;
        return;
    }
    partition(refs, count, &low, &high);
    push_part(order, part.end, part.at, 1);
    push_part(order, first + high, part.at + PREFIX_BYTES, 0);
    push_part(order, first + low, part.at, 1);
}

/* The prefix of a key from `by` bytes before where it was loaded; these are as in `first`. */
static uint64_t move_prefix(uint64_t prefix, uint32_t by, uint64_t first)
{
    if (by == 0)
        return prefix;
    if (by >= PREFIX_BYTES)
        return first;
    return prefix >> 8 * by | (first & ~(~UINT64_C(0) >> 8 * by));
}

/* See (4). */
static void begin(struct sfi_key_order *order)
{
    uint64_t first = key_number(SF_BYTES(order->first, SFI_KEY_MAX), order->common);
    for (uint32_t i = 0; i < order->count; i++) {
        struct sfi_key_ref *ref = &order->refs[i];
        ref->prefix = move_prefix(ref->prefix, ref->is_older - order->common, first);
        ref->is_older = 0;
    }
    order->parts[0] = (struct sfi_key_part){order->count, (uint16_t)order->common, 1};
    order->is_begun = 1;
}

int sfi_key_order_next(struct sfi_key_order *order, sfi_key_of *key_of, void *ctx,
                       uint32_t *out_item)
{
    struct keys keys = {key_of, ctx, 0};
    if (!order->is_begun)
        begin(order);
    for (;;) {
        while (order->next == order->sorted && order->part_count)
            work_on_part(order, &keys);
        if (order->next == order->sorted)
            return 0;
        const struct sfi_key_ref *ref = &order->refs[order->next++];
        if (!ref->is_older) {
            *out_item = ref->item;
            return 1;
        }
    }
}
