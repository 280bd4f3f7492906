/* test_abi.c - structs of programs that were compiled against another header: shorter ones work, longer ones
 * unless they set what is not known.
 *
 * Each lies at the end of a page that cannot be read past. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/abi.h"
#include "support/support.h"

enum { PAGE = 4096, MORE = 24 };

static char *pages;

/* `size` bytes that end where nothing can be read, filled from `from` and then zeroes. */
static void *at_the_edge(const void *from, size_t from_size, size_t size)
{
    if (!pages) {
        pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(pages != MAP_FAILED);
        assert_int_equal(mprotect(pages + PAGE, PAGE, PROT_NONE), 0);
    }
    char *place = pages + PAGE - size;
    memset(pages, 0, PAGE);
    memcpy(place, from, size < from_size ? size : from_size);
    memcpy(place, &size, sizeof size);
    return place;
}

/* -- options ------------------------------------------------------------------------------------ */

static int open_with(struct place *place, const void *options)
{
    sf_runtime *rt = NULL;
    int rc = sf_runtime_open(place->db, options, &rt);
    return rc < 0 ? rc : sf_runtime_close(rt);
}

static const sf_options today = SF_OPTIONS(.payload_max = 1000, .store_bytes_max = 1 << 28);

static void options_cut_short_at_any_field_are_those_with_zeroes(void **state)
{
    for (size_t size = sizeof(size_t); size <= sizeof today; size += 4)
        OK(open_with(*state, at_the_edge(&today, sizeof today, size)));
    sf_runtime *rt = NULL; /* what is there counts */
    size_t size = offsetof(sf_options, payload_max) + sizeof today.payload_max;
    OK(sf_runtime_open(((struct place *)*state)->db, at_the_edge(&today, sizeof today, size), &rt));
    OK(sf_register(rt, &counter_type, NULL));
    static char body[1001];
    REFUSED(sf_send(rt, sf_addr("test/counter", "a"), "x", SF_OF(body)), SF_EINVAL);
    SAYS("payload_max");
    OK(sf_runtime_close(rt));
}

static void longer_options_work_unless_they_set_what_is_not_known(void **state)
{
    char *longer = at_the_edge(&today, sizeof today, sizeof today + MORE);
    OK(open_with(*state, longer));
    for (int i = 0; i < MORE; i++) {
        longer[sizeof today + (size_t)i] = 1;
        REFUSED(open_with(*state, longer), SF_EINVAL);
        SAYS("sf_options");
        longer[sizeof today + (size_t)i] = 0;
    }
    OK(open_with(*state, longer));
}

static void sizes_that_were_never_set_are_refused(void **state)
{
    static const size_t sizes[] = {0, 1, sizeof(size_t) - 1, (size_t)1 << 20, SIZE_MAX};
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sf_options options = {.size = sizes[i]};
        sf_type type = counter_type;
        sf_stats stats = {.size = sizes[i]};
        type.size = sizes[i];
        REFUSED(sf_runtime_open(place_path(place, "other"), &options, &rt), SF_EINVAL);
        SAYS("SF_OPTIONS");
        REFUSED(sf_register(rt, &type, NULL), SF_EINVAL);
        SAYS("SF_TYPE");
        REFUSED(sf_stats_get(rt, &stats), SF_EINVAL);
        SAYS("sf_stats");
    }
    REFUSED(sf_register(rt, NULL, NULL), SF_EINVAL);
    SAYS("sf_type");
    OK(sf_runtime_close(rt));
}

static void the_least_and_the_greatest_size_are_still_sizes(void **state)
{
    static const struct sfi_abi abi = {"sf_thing", "SF_THING", 16, 24};
    static union {
        size_t size;
        char bytes[(1 << 16) + 1];
    } theirs;
    (void)state;
    theirs.size = 16;
    OK(sfi_abi_check(&abi, &theirs));
    theirs.size = 15;
    REFUSED(sfi_abi_check(&abi, &theirs), SF_EINVAL);
    theirs.size = 1 << 16;
    OK(sfi_abi_check(&abi, &theirs));
    theirs.size = (1 << 16) + 1;
    REFUSED(sfi_abi_check(&abi, &theirs), SF_EINVAL);
    SAYS("sf_thing.size is 65537: use SF_THING()");
}

/* -- types and their values ----------------------------------------------------------------------- */

static const sf_value one = SF_VALUE("one"), two = SF_VALUE("two");

static int put_both(sf_turn *turn)
{
    uint64_t *runs = sf_userdata(turn);
    ++*runs;
    sf_value_put(turn, &one, sf_str("1"));
    sf_value_put(turn, &two, sf_str("2"));
    return *runs < 3 ? sf_fail(turn, "again") : 0;
}

static const sf_type putter = SF_TYPE("test/putter", .on = {{"put", put_both}},
                                      .values = {&one, &two}, .attempts_max = 5);

static uint64_t runs_of(struct place *place, const sf_type *type, int64_t *dead)
{
    uint64_t runs = 0;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, type, &runs));
    OK(sf_send(rt, sf_addr("test/putter", "p"), "put", SF_NONE));
    drive_until_quiet(rt);
    *dead = (int64_t)stats_of(rt).dead_letters;
    OK(sf_runtime_close(rt));
    return runs;
}

static void a_type_cut_short_behind_its_values_has_the_defaults(void **state)
{
    int64_t dead;
    size_t size = offsetof(sf_type, attempts_max);
    assert_int_equal(runs_of(*state, at_the_edge(&putter, sizeof putter, size), &dead), 3);
    assert_int_equal(dead, 0); /* three attempts are the default, too */
    size += sizeof putter.attempts_max;
    assert_int_equal(runs_of(*state, at_the_edge(&putter, sizeof putter, size), &dead), 3);
    size = offsetof(sf_type, values) + sizeof putter.values[0]; /* it lists one value only */
    assert_int_equal(runs_of(*state, at_the_edge(&putter, sizeof putter, size), &dead), 1);
    assert_int_equal(dead, 1);
}

static void a_type_cut_short_anywhere_is_registered_or_refused(void **state)
{
    sf_runtime *rt = place_open(*state);
    for (size_t size = 0; size < sizeof putter; size += 8) {
        int rc = sf_register(rt, at_the_edge(&putter, sizeof putter, size > 8 ? size : 8), NULL);
        if (rc < 0)
            REFUSED(rc, SF_EINVAL);
        assert_int_equal(rc < 0, size < offsetof(sf_type, on) + sizeof(sf_on));
    }
    OK(sf_runtime_close(rt));
}

static void a_longer_type_works_unless_it_sets_what_is_not_known(void **state)
{
    sf_runtime *rt = place_open(*state);
    char *longer = at_the_edge(&putter, sizeof putter, sizeof putter + MORE);
    OK(sf_register(rt, (const sf_type *)longer, NULL));
    longer[sizeof putter + MORE - 1] = 1;
    REFUSED(sf_register(rt, (const sf_type *)longer, NULL), SF_EINVAL);
    SAYS("sf_type");
    OK(sf_runtime_close(rt));
}

static void a_longer_value_works_unless_it_sets_what_is_not_known(void **state)
{
    sf_runtime *rt = place_open(*state);
    sf_value *longer = at_the_edge(&one, sizeof one, sizeof one + MORE);
    sf_type type = putter;
    type.values[0] = longer;
    OK(sf_register(rt, &type, NULL));
    ((char *)longer)[sizeof one] = 1;
    REFUSED(sf_register(rt, &type, NULL), SF_EINVAL);
    SAYS("sf_value");
    SAYS("test/putter");
    longer->slot.size = sizeof(size_t);
    REFUSED(sf_register(rt, &type, NULL), SF_EINVAL);
    SAYS("SF_VALUE");
    OK(sf_runtime_close(rt));
}

/* -- statistics ----------------------------------------------------------------------------------- */

static void statistics_are_as_long_as_the_program_knows_them(void **state)
{
    sf_runtime *rt = place_open(*state);
    sf_stats none = {0};
    OK(sf_register(rt, &counter_type, NULL));
    counter_add(rt, "a", 1);
    drive_until_quiet(rt);
    for (size_t size = sizeof(size_t); size <= sizeof none + MORE; size += 8) {
        sf_stats *stats = at_the_edge(&none, sizeof none, size);
        memset((char *)stats + sizeof size, 0xAA, size - sizeof size);
        char *before = (char *)stats - 1;
        *before = 0x55;
        OK(sf_stats_get(rt, stats));
        assert_int_equal(*before, 0x55);
        assert_int_equal(stats->size, size);
        if (size >= offsetof(sf_stats, turns) + 8)
            assert_int_equal(stats->turns, 1);
        for (size_t at = sizeof none; at < size; at++) /* not counted: 0 */
            assert_int_equal(((char *)stats)[at], 0);
    }
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_and_the_greatest_size_are_still_sizes),
        TEST(options_cut_short_at_any_field_are_those_with_zeroes),
        TEST(longer_options_work_unless_they_set_what_is_not_known),
        TEST(sizes_that_were_never_set_are_refused),
        TEST(a_type_cut_short_behind_its_values_has_the_defaults),
        TEST(a_type_cut_short_anywhere_is_registered_or_refused),
        TEST(a_longer_type_works_unless_it_sets_what_is_not_known),
        TEST(a_longer_value_works_unless_it_sets_what_is_not_known),
        TEST(statistics_are_as_long_as_the_program_knows_them),
    };
    return cmocka_run_group_tests_name("abi", tests, NULL, NULL);
}
