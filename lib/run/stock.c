#include "run/stock.h"

#include <string.h>

#include "actor/key.h"
#include "actor/list_head.h"
#include "actor/map_head.h"
#include "base/err.h"
#include "base/hash.h"
#include "run/keys.h"
#include "store/record.h"

/* A schedule whose timers are rows: form:1 number:8 count:8. */
enum { IN_ROWS = 1, TIMERS_BYTES = 17 };

struct sfi_stock_slot {
    struct sfi_stock_slot *next;
    sf_bytes key;
    int is_logged;
    int is_list;
    uint64_t number, count; /* 0: it has no rows */
    struct sfi_list_head list;
};

struct sfi_stock_number {
    struct sfi_stock_number *next;
    uint64_t number, rows;
    uint64_t first, end;    /* of elements of a list: the last that are without a gap */
    uint64_t timed, times;  /* sums over entries with a time, and over rows in order of time */
    uint64_t promised;      /* what is promised to go; 0: nothing is */
    const struct sfi_stock_slot *named; /* by whom */
};

void sfi_stock_init(struct sfi_stock *stock, const struct sfi_sys *sys,
                    struct sfi_problems *problems)
{
    *stock = (struct sfi_stock){.sys = sys, .problems = problems};
    sfi_arena_init(&stock->arena, sys);
    sfi_lookup_init(&stock->slots, sys);
    sfi_lookup_init(&stock->numbers, sys);
}

void sfi_stock_fini(struct sfi_stock *stock)
{
    sfi_lookup_fini(&stock->slots);
    sfi_lookup_fini(&stock->numbers);
    sfi_arena_fini(&stock->arena);
}

static int no_memory(void)
{
    return sfi_err(SF_ENOMEM, "out of memory");
}

/* Nobody chooses what is in a database that he has verified. */
static uint64_t hash_of(sf_bytes key)
{
    static const struct sfi_hash_key seed = {0, 0};
    return sfi_hash(&seed, 0, key.data, key.size);
}

static void *add(struct sfi_stock *stock, struct sfi_lookup *lookup, uint64_t hash, size_t size)
{
    void *thing = sfi_lookup_reserve(lookup) < 0 ? NULL : sfi_arena_alloc(&stock->arena, size);
    if (!thing)
        return NULL;
    memset(thing, 0, size);
    sfi_lookup_add(lookup, hash, thing);
    return thing;
}

/* -- slots ------------------------------------------------------------------------------------- */

static struct sfi_stock_slot *slot_at(struct sfi_stock *stock, sf_bytes key)
{
    uint64_t hash = hash_of(key);
    struct sfi_stock_slot *slot;
    for (uint32_t at = 0; (slot = sfi_lookup_next(&stock->slots, hash, &at));)
        if (slot->key.size == key.size && memcmp(slot->key.data, key.data, key.size) == 0)
            return slot;
    void *copy = sfi_arena_copy(&stock->arena, key.data, key.size);
    slot = copy ? add(stock, &stock->slots, hash, sizeof *slot) : NULL;
    if (!slot)
        return NULL;
    slot->key = SF_BYTES(copy, key.size);
    slot->next = stock->first_slot;
    stock->first_slot = slot;
    return slot;
}

static int read_map(sf_bytes payload, struct sfi_stock_slot *out)
{
    int rc = sfi_map_head_check(payload);
    if (rc < 0)
        return rc;
    out->number = sfi_map_head_number(payload.data);
    out->count = sfi_map_head_count(payload.data);
    return 0;
}

static int read_list(sf_bytes payload, struct sfi_stock_slot *out)
{
    int rc = sfi_list_head_check(payload);
    if (rc < 0)
        return rc;
    sfi_list_head_get(payload.data, &out->list);
    out->number = out->list.number;
    out->is_list = 1;
    return 0;
}

static int is_timers(sf_bytes key)
{
    const unsigned char *end = (const unsigned char *)key.data + key.size;
    return end[-2] == 0xFF && end[-1] == 0xFF;
}

/* What a record says of rows. */
static int read_slot(sf_bytes key, sf_bytes value, struct sfi_stock_slot *out)
{
    enum sfi_record_kind kind = sfi_record_kind(value);
    sf_bytes payload;
    out->number = out->count = 0;
    out->is_list = 0;
    if (kind != SFI_RECORD_MAP && kind != SFI_RECORD_LIST && !is_timers(key))
        return 0;
    int rc = sfi_record_open(value, key, kind, &payload);
    if (rc < 0 || kind == SFI_RECORD_MAP)
        return rc < 0 ? rc : read_map(payload, out);
    if (kind == SFI_RECORD_LIST)
        return read_list(payload, out);
    const unsigned char *bytes = payload.data;
    if (payload.size == TIMERS_BYTES && bytes[0] == IN_ROWS) {
        out->number = sfi_le64_get(bytes + 1);
        out->count = sfi_le64_get(bytes + 9);
    }
    return 0;
}

int sfi_stock_slot(struct sfi_stock *stock, sf_bytes key, sf_bytes value, int is_logged)
{
    const unsigned char *bytes = key.data;
    if (key.size < 8 || (value.data && value.size < SFI_RECORD_HEADER) ||
        (bytes[key.size - 2] == 0 && bytes[key.size - 1] == 0))
        return 0; /* a struct, or nothing of ours */
    struct sfi_stock_slot *slot = slot_at(stock, key);
    if (!slot)
        return no_memory();
    if (slot->is_logged && !is_logged)
        return 0;
    slot->is_logged = is_logged;
    if (value.data)
        return read_slot(key, value, slot);
    slot->number = 0;
    return 0;
}

/* -- rows -------------------------------------------------------------------------------------- */

static struct sfi_stock_number *number_at(struct sfi_stock *stock, uint64_t number, int make)
{
    uint64_t hash = hash_of(SF_BYTES(&number, sizeof number));
    struct sfi_stock_number *found;
    for (uint32_t at = 0; (found = sfi_lookup_next(&stock->numbers, hash, &at));)
        if (found->number == number)
            return found;
    found = make ? add(stock, &stock->numbers, hash, sizeof *found) : NULL;
    if (!found)
        return NULL;
    found->number = number;
    found->next = stock->first_number;
    stock->first_number = found;
    return found;
}

static int take_promise(struct sfi_stock *stock, sf_bytes key, sf_bytes value)
{
    struct sfi_promise promise;
    int rc = sfi_promise_open(key, value, &promise);
    if (rc < 0)
        return rc;
    struct sfi_stock_number *number = number_at(stock, promise.number, 1);
    if (!number)
        return no_memory();
    number->promised = promise.before;
    return 0;
}

/* If it is one of a list, its elements follow those of the row before, or there is a gap. */
static void take_elements(struct sfi_stock_number *number, sf_bytes key, sf_bytes value)
{
    struct sfi_elements elements;
    if (key.size != 17 || sfi_list_row_open(key, value, &elements) < 0)
        return;
    if (elements.first != number->end)
        number->first = elements.first;
    number->end = elements.end;
}

/* Sums do not depend on the order.  What is no entry of a map has no time here. */
static void take_time(struct sfi_stock_number *number, sf_bytes key, sf_bytes value)
{
    const unsigned char *bytes = key.data;
    static const struct sfi_hash_key seed = {0, 0};
    struct sfi_entry entry;
    if (bytes[8] == SFI_ENTRY_BY_TIME && key.size >= 17) {
        uint64_t touched = sfi_be64_get(bytes + 9);
        number->times += sfi_hash(&seed, (uint32_t)(touched ^ touched >> 32), bytes + 17,
                                  key.size - 17);
    } else if (bytes[8] == SFI_ENTRY_BY_KEY && sfi_entry_open(key, value, &entry) == 0 &&
               entry.form & SFI_ENTRY_TOUCHED) {
        number->timed += sfi_hash(&seed, (uint32_t)(entry.touched ^ entry.touched >> 32), bytes + 9,
                                  key.size - 9);
    }
}

int sfi_stock_row(struct sfi_stock *stock, sf_bytes key, sf_bytes value)
{
    const unsigned char *bytes = key.data;
    if (key.size < 9)
        return sfi_err(SF_ECORRUPT, "no row of this table has such a key of %zu bytes", key.size);
    if (sfi_be64_get(bytes) == 0)
        return take_promise(stock, key, value);
    struct sfi_stock_number *number = number_at(stock, sfi_be64_get(bytes), 1);
    if (!number)
        return no_memory();
    take_time(number, key, value);
    if (bytes[8] == SFI_ENTRY_BY_KEY) {
        number->rows++;
        take_elements(number, key, value);
    }
    return 0;
}

/* -- compared ---------------------------------------------------------------------------------- */

static int tell(struct sfi_stock *stock, sf_bytes key)
{
    return sfi_problems_add(stock->problems, sf_str(key.data ? "state" : "entry"), key);
}

static int compare_slot(struct sfi_stock *stock, const struct sfi_stock_slot *slot)
{
    struct sfi_stock_number *number = number_at(stock, slot->number, 0);
    uint64_t rows = number ? number->rows : 0;
    if (number && number->named)
        sfi_err(SF_ECORRUPT, "rows of number %llu are named by two",
                (unsigned long long)slot->number);
    else if (number && number->promised == SFI_PROMISE_ALL)
        sfi_err(SF_ECORRUPT, "rows of number %llu are in use, and promised to go",
                (unsigned long long)slot->number);
    else if (slot->is_list && (!number || number->first > slot->list.row ||
                               number->end != slot->list.rows_end))
        sfi_err(SF_ECORRUPT, "elements %llu to %llu are not all there",
                (unsigned long long)slot->list.row, (unsigned long long)slot->list.rows_end - 1);
    else if (!slot->is_list && rows != slot->count)
        sfi_err(SF_ECORRUPT, "%llu entries are counted, %llu are there",
                (unsigned long long)slot->count, (unsigned long long)rows);
    else if (!slot->is_list && number && number->timed != number->times)
        sfi_err(SF_ECORRUPT, "its entries, and the same in order of time, differ");
    else {
        number->named = slot;
        return 0;
    }
    if (number)
        number->named = slot;
    return tell(stock, slot->key);
}

static int compare_number(struct sfi_stock *stock, const struct sfi_stock_number *number,
                          uint64_t next_number)
{
    if (number->number >= SFI_KEYS_NUMBER) /* of the outside */
        return 0;
    if (number->number >= next_number)
        sfi_err(SF_ECORRUPT, "rows have number %llu, which was never given",
                (unsigned long long)number->number);
    else if (!number->named && number->promised != SFI_PROMISE_ALL)
        sfi_err(SF_ECORRUPT, "%llu rows of number %llu are named by nobody",
                (unsigned long long)number->rows, (unsigned long long)number->number);
    else
        return 0;
    return tell(stock, SF_NONE);
}

int sfi_stock_compare(struct sfi_stock *stock, uint64_t next_number)
{
    int rc = 0;
    for (const struct sfi_stock_slot *slot = stock->first_slot; slot && rc == 0; slot = slot->next)
        if (slot->number)
            rc = compare_slot(stock, slot);
    for (const struct sfi_stock_number *n = stock->first_number; n && rc == 0; n = n->next)
        rc = compare_number(stock, n, next_number);
    return rc;
}
