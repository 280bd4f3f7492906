/* test_key_order.c - keys come out in LMDB's order, each once and newest, and no sooner than asked
 * for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "store/key_order.h"
#include "store/store.h"
#include "support/machine.h"

struct key {
    unsigned char *bytes;
    size_t size;
};

enum { LENT = 2 }; /* a comparison needs two keys at a time, and no more */

struct rig {
    struct machine machine;
    struct sfi_key_order order;
    struct key *keys; /* by item */
    uint32_t count, capacity;
    uint64_t looks;      /* calls of key_of */
    uint64_t looks_most; /* more are too many */
    void *lent[LENT];    /* copies of the exact size, so that a sanitizer sees a read too far */
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    if (!rig)
        return -1;
    machine_init(&rig->machine);
    sfi_key_order_init(&rig->order, &rig->machine.sys);
    *state = rig;
    return 0;
}

static void forget_keys(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->count; i++)
        free(rig->keys[i].bytes);
    rig->count = 0;
    rig->looks = 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    sfi_key_order_fini(&rig->order);
    int leaked = rig->machine.live != 0;
    forget_keys(rig);
    free(rig->keys);
    for (int i = 0; i < LENT; i++)
        free(rig->lent[i]);
    free(rig);
    return leaked ? -1 : 0;
}

static uint64_t draw(struct rig *rig, uint64_t below)
{
    return rig->machine.sys.random(rig->machine.sys.ctx) % below;
}

static struct key copy_of(sf_bytes key)
{
    struct key copy = {malloc(key.size ? key.size : 1), key.size};
    if (!copy.bytes)
        abort();
    if (key.size)
        memcpy(copy.bytes, key.data, key.size);
    return copy;
}

/* The next item is the next number. */
static void add_key(struct rig *rig, sf_bytes key)
{
    if (rig->count == rig->capacity) {
        rig->capacity = rig->capacity ? rig->capacity * 2 : 1024;
        rig->keys = realloc(rig->keys, rig->capacity * sizeof *rig->keys);
        assert_non_null(rig->keys);
    }
    rig->keys[rig->count++] = copy_of(key);
}

static void add_text(struct rig *rig, const char *text)
{
    add_key(rig, sf_str(text));
}

static void add_number(struct rig *rig, uint64_t number)
{
    unsigned char key[8];
    sfi_be64_put(key, number);
    add_key(rig, SF_OF(key));
}

/* As state keys are: four bytes of a type, the size of the id, the id, a slot of two bytes. */
static void add_state_key(struct rig *rig, uint32_t type, uint64_t id, uint16_t slot)
{
    unsigned char key[4 + 1 + 12 + 2];
    sfi_be32_put(key, type);
    key[4] = 12;
    memset(key + 5, 'u', 4);
    sfi_be64_put(key + 9, id);
    key[17] = (unsigned char)(slot >> 8);
    key[18] = (unsigned char)slot;
    add_key(rig, SF_OF(key));
}

/* At another address each time; the copy before the last one is gone. */
static sf_bytes look(void *ctx, uint32_t item)
{
    struct rig *rig = ctx;
    void **lent = &rig->lent[rig->looks++ % LENT];
    if (rig->looks_most && rig->looks > rig->looks_most)
        fail_msg("more than %" PRIu64 " looks at a key", rig->looks_most);
    assert_in_range(item, 0, rig->count - 1);
    free(*lent);
    struct key copy = copy_of(SF_BYTES(rig->keys[item].bytes, rig->keys[item].size));
    *lent = copy.bytes;
    return SF_BYTES(copy.bytes, copy.size);
}

static void begin(struct rig *rig)
{
    sfi_key_order_reset(&rig->order);
    assert_int_equal(sfi_key_order_reserve(&rig->order, rig->count), 0);
    for (uint32_t i = 0; i < rig->count; i++)
        sfi_key_order_add(&rig->order, i, SF_BYTES(rig->keys[i].bytes, rig->keys[i].size));
    rig->looks = 0;
}

static uint32_t next(struct rig *rig)
{
    uint32_t item = UINT32_MAX;
    assert_int_equal(sfi_key_order_next(&rig->order, look, rig, &item), 1);
    return item;
}

static void is_over(struct rig *rig)
{
    uint32_t item = 4711;
    for (int i = 0; i < 3; i++)
        assert_int_equal(sfi_key_order_next(&rig->order, look, rig, &item), 0);
    assert_int_equal(item, 4711);
}

/* -- the model: qsort, then the newest of each ------------------------------------------------- */

static const struct key *sorting;

/* Not the function under test. */
static int model_order(const struct key *a, const struct key *b)
{
    for (size_t i = 0; i < a->size && i < b->size; i++)
        if (a->bytes[i] != b->bytes[i])
            return a->bytes[i] < b->bytes[i] ? -1 : 1;
    return (a->size > b->size) - (a->size < b->size);
}

static int compare_items(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    int order = model_order(&sorting[left], &sorting[right]);
    return order ? order : (left < right) - (left > right);
}

/* The items that must come, to be freed. */
static uint32_t *expected(const struct rig *rig, uint32_t *out_count)
{
    uint32_t *items = malloc((rig->count + 1) * sizeof *items), count = 0;
    if (!items)
        abort();
    for (uint32_t i = 0; i < rig->count; i++)
        items[i] = i;
    sorting = rig->keys;
    qsort(items, rig->count, sizeof *items, compare_items);
    for (uint32_t i = 0; i < rig->count; i++)
        if (count == 0 || model_order(&sorting[items[count - 1]], &sorting[items[i]]) != 0)
            items[count++] = items[i];
    *out_count = count;
    return items;
}

/* The rest of what begin() began agrees with the model, after `taken` items were taken. */
static void goes_on_as_expected(struct rig *rig, uint32_t taken)
{
    uint32_t count, *items = expected(rig, &count);
    for (uint32_t i = taken; i < count; i++) {
        uint32_t item = next(rig);
        if (item != items[i])
            fail_msg("key %u of %u is item %u, expected %u", i, count, item, items[i]);
    }
    is_over(rig);
    free(items);
}

static void comes_out_as_expected(struct rig *rig)
{
    begin(rig);
    goes_on_as_expected(rig, 0);
}

/* -- order ------------------------------------------------------------------------------------- */

static void an_order_is_that_of_bytes_and_then_of_size(void **state)
{
    (void)state;
    const sf_bytes rising[] = {SF_BYTES("", 0),         SF_BYTES("\0", 1),   SF_BYTES("\0\0", 2),
                               SF_BYTES("\0\1", 2),     SF_BYTES("\1", 1),   SF_BYTES("a", 1),
                               SF_BYTES("a\0", 2),      SF_BYTES("a\0b", 3), SF_BYTES("ab", 2),
                               SF_BYTES("abcdefgh", 8), SF_BYTES("b", 1),    SF_BYTES("\x7f", 1),
                               SF_BYTES("\x80", 1),     SF_BYTES("\xff", 1), SF_BYTES("\xff\0", 2),
                               SF_BYTES("\xff\xff", 2)};
    int count = (int)(sizeof rising / sizeof *rising);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++) {
            int order = sfi_key_compare(rising[i], rising[j]);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    assert_int_equal(sfi_key_compare(SF_BYTES(NULL, 0), SF_BYTES(NULL, 0)), 0);
}

static void no_keys_give_none(void **state)
{
    struct rig *rig = *state;
    is_over(rig);
    begin(rig);
    is_over(rig);
}

static void one_key_comes_once(void **state)
{
    struct rig *rig = *state;
    add_text(rig, "alone");
    begin(rig);
    assert_int_equal(next(rig), 0);
    is_over(rig);
}

static void of_equal_keys_the_newest_comes_and_comes_once(void **state)
{
    struct rig *rig = *state;
    add_text(rig, "b");
    add_text(rig, "a");
    add_text(rig, "b");
    add_text(rig, "a");
    add_text(rig, "c");
    add_text(rig, "b");
    begin(rig);
    assert_int_equal(next(rig), 3);
    assert_int_equal(next(rig), 5);
    assert_int_equal(next(rig), 4);
    is_over(rig);
}

/* The number counts, not when it was added. */
static void newer_is_the_greater_item(void **state)
{
    struct rig *rig = *state;
    for (uint32_t i = 0; i < 200; i++)
        add_text(rig, i % 2 ? "odd" : "even");
    assert_int_equal(sfi_key_order_reserve(&rig->order, 200), 0);
    for (uint32_t i = 200; i > 0; i--)
        sfi_key_order_add(&rig->order, i - 1, sf_str((i - 1) % 2 ? "odd" : "even"));
    assert_int_equal(next(rig), 198);
    assert_int_equal(next(rig), 199);
    is_over(rig);
}

static void one_key_again_and_again_comes_once(void **state)
{
    struct rig *rig = *state;
    for (uint32_t count = 1; count <= 5000; count = count * 3 / 2 + 1) {
        for (size_t size = 1; size <= 40; size += 13) {
            unsigned char key[40];
            memset(key, 'k', sizeof key);
            forget_keys(rig);
            for (uint32_t i = 0; i < count; i++)
                add_key(rig, SF_BYTES(key, size));
            begin(rig);
            assert_int_equal(next(rig), count - 1);
            is_over(rig);
        }
    }
}

static void sorted_keys_stay_so(void **state)
{
    struct rig *rig = *state;
    for (uint64_t i = 0; i < 20000; i++)
        add_number(rig, i * i);
    comes_out_as_expected(rig);
}

static void reversed_keys_are_turned_round(void **state)
{
    struct rig *rig = *state;
    for (uint64_t i = 20000; i > 0; i--)
        add_number(rig, i << 20);
    comes_out_as_expected(rig);
}

/* Keys of up to 480 bytes that differ in their last byte, or in their size, alone. */
static void keys_that_begin_alike_come_out_in_order(void **state)
{
    struct rig *rig = *state;
    unsigned char key[SFI_KEY_MAX];
    memset(key, 'a', sizeof key);
    for (uint32_t i = 0; i < 1000; i++) {
        key[sizeof key - 1] = (unsigned char)draw(rig, 256);
        add_key(rig, SF_OF(key));
        key[sizeof key - 1] = 'a';
        add_key(rig, SF_BYTES(key, 1 + draw(rig, sizeof key)));
    }
    comes_out_as_expected(rig);
}

static void keys_that_are_the_start_of_others_come_first(void **state)
{
    struct rig *rig = *state;
    const char text[] = "abcdefghijklmnopqrstuvwxyz";
    for (int round = 0; round < 3; round++)
        for (size_t size = sizeof text - 1; size > 0; size--)
            add_key(rig, SF_BYTES(text, size));
    begin(rig);
    for (uint32_t size = 1; size < sizeof text; size++)
        assert_int_equal(rig->keys[next(rig)].size, size);
    is_over(rig);
}

/* Missing bytes are no zeroes. */
static void keys_that_differ_in_zeroes_at_their_end_are_told_apart(void **state)
{
    struct rig *rig = *state;
    for (uint32_t others = 0; others < 100; others++) {
        for (size_t size = 1; size <= 8; size++)
            add_key(rig, SF_BYTES("a\0\0\0\0\0\0\0", size));
        for (uint64_t i = 0; i < others; i++)
            add_number(rig, draw(rig, UINT64_MAX));
        comes_out_as_expected(rig);
        forget_keys(rig);
    }
}

static void zeroes_after_a_long_start_are_told_apart_too(void **state)
{
    struct rig *rig = *state;
    unsigned char key[64] = "0123456789abcdefghijklmnopqrstuv";
    for (int round = 0; round < 50; round++)
        for (size_t size = 20; size <= sizeof key; size++)
            add_key(rig, SF_BYTES(key, size));
    comes_out_as_expected(rig);
}

static void bytes_are_numbers_without_sign(void **state)
{
    struct rig *rig = *state;
    for (int round = 0; round < 2; round++)
        for (int byte = 255; byte >= 0; byte--) {
            unsigned char key[] = {(unsigned char)byte, (unsigned char)(255 - byte)};
            add_key(rig, SF_OF(key));
        }
    begin(rig);
    for (int byte = 0; byte < 256; byte++)
        assert_int_equal(rig->keys[next(rig)].bytes[0], byte);
    is_over(rig);
}

/* -- a little at a time ------------------------------------------------------------------------ */

/* Shuffled state keys of one type, so that the first 8 bytes tell nothing and the second 8 much. */
static void add_states(struct rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        add_state_key(rig, 7, draw(rig, count * UINT64_C(4)), (uint16_t)draw(rig, 2));
}

/* Eight bytes past those that all have are taken when a key is added: what is after the first one is
 * neither looked at nor put in its place. */
static void the_first_of_many_costs_a_few_looks(void **state)
{
    enum { MANY = 100000 };
    struct rig *rig = *state;
    add_states(rig, MANY);
    begin(rig);
    assert_int_equal(rig->looks, 0);
    rig->looks_most = 1000;
    next(rig);
    assert_true(rig->order.sorted < 1000);
}

/* However long: "user-0000012345" and so on, under one type's number. */
static void keys_that_begin_alike_are_not_fetched_for_it(void **state)
{
    enum { MANY = 20000, ALIKE = 60 };
    struct rig *rig = *state;
    for (size_t alike = 0; alike <= ALIKE; alike++) {
        sfi_key_order_reset(&rig->order);
        forget_keys(rig);
        for (uint32_t i = 0; i < MANY; i++) {
            unsigned char key[ALIKE + 8];
            memset(key, 'u', alike);
            sfi_be64_put(key + alike, draw(rig, UINT64_MAX));
            add_key(rig, SF_BYTES(key, alike + 8));
        }
        begin(rig);
        rig->looks_most = 100;
        next(rig);
        assert_true(rig->order.sorted < 100);
    }
}

/* What they have in common becomes less and less with each that comes. */
static void the_start_that_all_have_may_sink(void **state)
{
    enum { MANY = 300 };
    struct rig *rig = *state;
    for (uint32_t sink = 1; sink <= 24; sink++) {
        sfi_key_order_reset(&rig->order);
        forget_keys(rig);
        for (uint32_t i = 0; i < MANY; i++) {
            unsigned char key[80];
            size_t same = sizeof key > i / 4 * sink ? sizeof key - i / 4 * sink : 0;
            memset(key, 7, sizeof key);
            for (size_t at = same; at < sizeof key; at++)
                key[at] = (unsigned char)draw(rig, 3) + 6;
            add_key(rig, SF_BYTES(key, sizeof key - draw(rig, 3)));
        }
        rig->looks_most = UINT64_MAX;
        comes_out_as_expected(rig);
    }
}

static void each_later_one_costs_little(void **state)
{
    enum { MANY = 100000, TAKEN = 1000 };
    struct rig *rig = *state;
    add_states(rig, MANY);
    begin(rig);
    next(rig);
    uint64_t first = rig->looks;
    for (int i = 1; i < TAKEN; i++)
        next(rig);
    assert_true(rig->looks - first < TAKEN * 30);
    assert_true(rig->order.sorted < TAKEN * 4);
}

/* Keys whose first bytes differ are not looked at but where neighbours are compared. */
static void keys_that_differ_early_are_hardly_looked_at(void **state)
{
    enum { MANY = 100000 };
    struct rig *rig = *state;
    for (uint32_t i = 0; i < MANY; i++)
        add_number(rig, draw(rig, UINT64_MAX));
    rig->looks_most = MANY;
    comes_out_as_expected(rig);
}

static void all_of_them_cost_a_few_looks_each(void **state)
{
    enum { MANY = 100000 };
    struct rig *rig = *state;
    add_states(rig, MANY);
    rig->looks_most = MANY * UINT64_C(12);
    comes_out_as_expected(rig);
}

/* One look for each eight bytes that they share, not one for each of the stack's parts. */
static void a_few_keys_in_many_versions_cost_a_few_looks_each(void **state)
{
    enum { VERSIONS = 20000 };
    struct rig *rig = *state;
    for (int i = 0; i < VERSIONS; i++)
        add_text(rig, i % 3 ? "0123456789" : "0123456789abcdef");
    rig->looks_most = VERSIONS * UINT64_C(10);
    comes_out_as_expected(rig);
}

static void versions_of_keys_that_end_in_zeroes_cost_a_few_looks_each(void **state)
{
    enum { VERSIONS = 20000 };
    struct rig *rig = *state;
    for (int i = 0; i < VERSIONS; i++)
        add_key(rig, SF_BYTES("a\0", 1 + (size_t)i % 2));
    rig->looks_most = VERSIONS * UINT64_C(40);
    comes_out_as_expected(rig);
}

static void taking_some_and_then_the_rest_gives_all(void **state)
{
    struct rig *rig = *state;
    for (uint32_t taken = 0; taken < 3000; taken += 1 + taken / 2) {
        uint32_t count;
        forget_keys(rig);
        add_states(rig, 3000);
        uint32_t *items = expected(rig, &count);
        begin(rig);
        for (uint32_t i = 0; i < taken && i < count; i++)
            assert_int_equal(next(rig), items[i]);
        goes_on_as_expected(rig, taken);
        free(items);
    }
}

/* -- keys that somebody chose to make it slow -------------------------------------------------- */

static void organ_pipes_come_out_in_order(void **state)
{
    enum { MANY = 20000 };
    struct rig *rig = *state;
    for (uint64_t i = 0; i < MANY / 2; i++)
        add_number(rig, i);
    for (uint64_t i = MANY / 2; i > 0; i--)
        add_number(rig, i - 1);
    comes_out_as_expected(rig);
    forget_keys(rig);
    for (uint64_t i = 0; i < MANY; i++) /* saw teeth */
        add_number(rig, i % 37);
    comes_out_as_expected(rig);
}

/* After McIlroy, "A Killer Adversary for Quicksort" (1999): plays the partition beforehand, with
 * keys that have no value yet, and gives the greatest ones that are left to four of the nine that
 * are looked at, so that the pivot is the fourth greatest each time.  `values[i]`: the key of item
 * i. */
struct killer {
    uint64_t *values;
    uint32_t *at; /* which item lies where */
    uint64_t greatest;
};

static void give(struct killer *killer, size_t place)
{
    killer->values[killer->at[place]] = killer->greatest--;
}

static void swap_places(struct killer *killer, size_t a, size_t b)
{
    uint32_t kept = killer->at[a];
    killer->at[a] = killer->at[b];
    killer->at[b] = kept;
}

/* As key_order.c does it; how many end up before the pivot. */
static uint32_t play_partition(struct killer *killer, uint32_t count)
{
    uint32_t low = 0, high = count, step = count / 9;
    give(killer, 0);
    give(killer, step);
    give(killer, 3 * step);
    give(killer, 4 * step);
    uint64_t pivot = killer->greatest + 1;
    for (uint32_t at = 0; at < high;) {
        uint64_t value = killer->values[killer->at[at]];
        if (value == pivot)
            at++;
        else if (value > pivot)
            swap_places(killer, at, --high);
        else if (at++ != low++)
            swap_places(killer, at - 1, low - 1);
    }
    return low;
}

/* The keys' values by item, to be freed.  0: any that is less than `*out_least`. */
static uint64_t *killer_values(uint32_t count, uint64_t *out_least)
{
    struct killer killer = {calloc(count, sizeof(uint64_t)), calloc(count, sizeof(uint32_t)),
                            count};
    assert_true(killer.values && killer.at);
    for (uint32_t i = 0; i < count; i++)
        killer.at[i] = i;
    for (uint32_t left = count, rounds = 0; left > 32 && rounds < SFI_ORDER_PARTS; rounds++)
        left = play_partition(&killer, left);
    *out_least = killer.greatest + 1;
    free(killer.at);
    return killer.values;
}

static void add_killer_keys(struct rig *rig, uint32_t count)
{
    uint64_t least, *values = killer_values(count, &least);
    for (uint32_t i = 0; i < count; i++)
        add_number(rig, values[i] ? values[i] : draw(rig, least));
    free(values);
}

/* If this fails at the first assertion, the pivots are chosen otherwise now: play_partition() must
 * follow. */
static void keys_that_defeat_the_pivots_come_out_in_order(void **state)
{
    enum { MANY = 20000 };
    struct rig *rig = *state;
    add_killer_keys(rig, MANY);
    begin(rig);
    next(rig);
    assert_true(rig->order.sorted >
                MANY / 2); /* the stack was full, and the heapsort did the rest */
    assert_in_range(rig->order.part_count, SFI_ORDER_PARTS - 6, SFI_ORDER_PARTS);
    goes_on_as_expected(rig, 1);
}

/* Those that the heapsort gets are equal in their first eight bytes, so that each comparison is
 * seen. */
static void keys_that_defeat_the_pivots_do_not_cost_their_square(void **state)
{
    enum { MANY = 20000 };
    struct rig *rig = *state;
    uint64_t least, *values = killer_values(MANY, &least);
    for (uint32_t i = 0; i < MANY; i++) {
        unsigned char key[16];
        sfi_be64_put(key, values[i] * (UINT64_MAX / MANY)); /* not alike in any byte */
        sfi_be64_put(key + 8, draw(rig, UINT64_MAX));
        add_key(rig, SF_OF(key));
    }
    free(values);
    rig->looks_most =
        MANY * UINT64_C(15 * 2 * 2 * 2); /* log2, keys, comparisons a step, and twice */
    comes_out_as_expected(rig);
    assert_true(rig->looks > MANY * UINT64_C(15)); /* it was the heapsort */
}

/* The same with equal keys among them, and with a start that they share, so that whole keys must be
 * compared. */
static void so_do_versions_of_them(void **state)
{
    enum { MANY = 3000 };
    struct rig *rig = *state;
    add_killer_keys(rig, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        struct key *key = &rig->keys[i];
        unsigned char longer[24] = "the same";
        memcpy(longer + 8, key->bytes, 8);
        longer[16 + draw(rig, 2)] = (unsigned char)draw(rig, 2);
        free(key->bytes);
        *key = copy_of(SF_BYTES(longer, 16 + draw(rig, 8)));
    }
    comes_out_as_expected(rig);
    for (uint32_t i = 0; i < MANY; i++) /* the newest differ from the oldest in one bit */
        rig->keys[i].bytes[15] &= 0xfe;
    comes_out_as_expected(rig);
}

/* Each eight bytes split off a few keys, so that every level leaves parts on the stack. */
static void keys_that_fill_the_stack_level_by_level_come_out_in_order(void **state)
{
    struct rig *rig = *state;
    unsigned char key[SFI_KEY_MAX];
    for (size_t level = 0; level < sizeof key / 8; level++)
        for (int round = 0; round < 40; round++) {
            memset(key, 'm', sizeof key);
            key[level * 8 + draw(rig, 8)] = (unsigned char)('m' + draw(rig, 5) - 2);
            add_key(rig, SF_OF(key));
        }
    comes_out_as_expected(rig);
}

/* -- random ------------------------------------------------------------------------------------ */

struct shape {
    const char *letters;
    size_t letter_count, size_least, size_most;
};

/* Few letters make keys alike, zeroes make them hard to tell from the ends of others. */
static const struct shape shapes[] = {
    {"\0\1", 2, 1, 3},   {"\0\1", 2, 1, 12},     {"\0\xff", 2, 7, 10},  {"ab", 2, 1, 20},
    {"a", 1, 1, 40},     {"\0", 1, 1, 20},       {"\0a\xff", 3, 0, 30}, {"abcdefgh", 8, 8, 8},
    {"ab\0", 3, 16, 18}, {"\x7f\x80", 2, 8, 25}, {"a\0", 2, 470, 480},
};

static void add_random(struct rig *rig, const struct shape *shape, uint32_t count)
{
    unsigned char key[SFI_KEY_MAX];
    for (uint32_t i = 0; i < count; i++) {
        size_t size = shape->size_least + draw(rig, shape->size_most - shape->size_least + 1);
        for (size_t at = 0; at < size; at++)
            key[at] = (unsigned char)shape->letters[draw(rig, shape->letter_count)];
        add_key(rig, SF_BYTES(key, size));
    }
}

static void any_keys_come_out_as_qsort_has_them(void **state)
{
    enum { ROUNDS = 6000 };
    struct rig *rig = *state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const struct shape *shape = &shapes[round % (sizeof shapes / sizeof *shapes)];
        forget_keys(rig);
        add_random(rig, shape, (uint32_t)draw(rig, round % 8 ? 40 : 300));
        comes_out_as_expected(rig);
    }
}

static void many_keys_come_out_as_qsort_has_them(void **state)
{
    enum { MANY = 200000 };
    struct rig *rig = *state;
    for (uint32_t i = 0; i < MANY / 4; i++) {
        add_state_key(rig, (uint32_t)draw(rig, 3), draw(rig, MANY / 8), (uint16_t)draw(rig, 3));
        add_number(rig, draw(rig, MANY));
    }
    add_random(rig, &(struct shape){"0123456789", 10, 1, 30}, MANY / 4);
    add_random(rig, &(struct shape){"\0ab", 3, 1, 20}, MANY / 4);
    assert_int_equal(rig->count, MANY);
    comes_out_as_expected(rig);
}

/* -- memory ------------------------------------------------------------------------------------ */

static void an_order_used_again_allocates_nothing(void **state)
{
    struct rig *rig = *state;
    add_states(rig, 5000);
    comes_out_as_expected(rig);
    uint64_t allocations = rig->machine.allocations;
    comes_out_as_expected(rig);
    forget_keys(rig);
    add_states(rig, 4000);
    begin(rig);
    next(rig); /* left half way */
    comes_out_as_expected(rig);
    assert_int_equal(rig->machine.allocations, allocations);
}

static void next_allocates_nothing(void **state)
{
    struct rig *rig = *state;
    add_killer_keys(rig, 3000);
    begin(rig);
    rig->machine.fail_allocation = 1;
    rig->machine.fail_for_good = 1;
    goes_on_as_expected(rig, 0);
}

static void room_may_be_asked_for_bit_by_bit(void **state)
{
    struct rig *rig = *state;
    add_states(rig, 5000);
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(sfi_key_order_reserve(&rig->order, 1 + (uint32_t)draw(rig, 5)), 0);
        sfi_key_order_add(&rig->order, i, SF_BYTES(rig->keys[i].bytes, rig->keys[i].size));
    }
    goes_on_as_expected(rig, 0);
    assert_true(rig->machine.allocations < 20);
}

static void no_memory_leaves_what_was_added(void **state)
{
    struct rig *rig = *state;
    for (uint64_t i = 0; i < 1000; i++)
        add_number(rig, draw(rig, UINT64_MAX));
    begin(rig);
    rig->machine.fail_allocation = rig->machine.allocations + 1;
    rig->machine.fail_for_good = 1;
    assert_int_equal(sfi_key_order_reserve(&rig->order, 1000000), SF_ENOMEM);
    assert_int_equal(sfi_key_order_reserve(&rig->order, UINT32_MAX), SF_ENOMEM);
    assert_int_equal(sfi_key_order_reserve(&rig->order, 0), 0);
    goes_on_as_expected(rig, 0);
}

static void more_items_than_there_are_numbers_do_not_fit(void **state)
{
    struct rig *rig = *state;
    add_text(rig, "a");
    begin(rig);
    assert_int_equal(sfi_key_order_reserve(&rig->order, UINT32_MAX), SF_ENOMEM);
    assert_int_equal(next(rig), 0);
    is_over(rig);
}

static void the_end_gives_the_memory_back(void **state)
{
    struct rig *rig = *state;
    add_states(rig, 1000);
    begin(rig);
    next(rig);
    sfi_key_order_fini(&rig->order);
    assert_int_equal(rig->machine.live, 0);
    is_over(rig);
    comes_out_as_expected(rig); /* as new */
}

#define HERE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(an_order_is_that_of_bytes_and_then_of_size),
        HERE(no_keys_give_none),
        HERE(one_key_comes_once),
        HERE(of_equal_keys_the_newest_comes_and_comes_once),
        HERE(newer_is_the_greater_item),
        HERE(one_key_again_and_again_comes_once),
        HERE(sorted_keys_stay_so),
        HERE(reversed_keys_are_turned_round),
        HERE(keys_that_begin_alike_come_out_in_order),
        HERE(keys_that_are_the_start_of_others_come_first),
        HERE(keys_that_differ_in_zeroes_at_their_end_are_told_apart),
        HERE(zeroes_after_a_long_start_are_told_apart_too),
        HERE(bytes_are_numbers_without_sign),
        HERE(the_first_of_many_costs_a_few_looks),
        HERE(keys_that_begin_alike_are_not_fetched_for_it),
        HERE(the_start_that_all_have_may_sink),
        HERE(each_later_one_costs_little),
        HERE(keys_that_differ_early_are_hardly_looked_at),
        HERE(all_of_them_cost_a_few_looks_each),
        HERE(a_few_keys_in_many_versions_cost_a_few_looks_each),
        HERE(versions_of_keys_that_end_in_zeroes_cost_a_few_looks_each),
        HERE(taking_some_and_then_the_rest_gives_all),
        HERE(organ_pipes_come_out_in_order),
        HERE(keys_that_defeat_the_pivots_come_out_in_order),
        HERE(keys_that_defeat_the_pivots_do_not_cost_their_square),
        HERE(so_do_versions_of_them),
        HERE(keys_that_fill_the_stack_level_by_level_come_out_in_order),
        HERE(any_keys_come_out_as_qsort_has_them),
        HERE(many_keys_come_out_as_qsort_has_them),
        HERE(an_order_used_again_allocates_nothing),
        HERE(next_allocates_nothing),
        HERE(room_may_be_asked_for_bit_by_bit),
        HERE(no_memory_leaves_what_was_added),
        HERE(more_items_than_there_are_numbers_do_not_fit),
        HERE(the_end_gives_the_memory_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
