/* test_hash.c - a hash that strangers cannot foresee, and that spreads what is alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/hash.h"

static void a_hash_depends_on_key_seed_size_and_every_byte(void **state)
{
    struct sfi_hash_key a = {1, 2}, b = {1, 3};
    char bytes[] = "stateful functions in one process";
    uint64_t all = sfi_hash(&a, 7, bytes, sizeof bytes);
    (void)state;
    assert_true(all == sfi_hash(&a, 7, bytes, sizeof bytes));
    assert_true(all != sfi_hash(&b, 7, bytes, sizeof bytes));
    assert_true(all != sfi_hash(&a, 8, bytes, sizeof bytes));
    assert_true(all != sfi_hash(&a, 7, bytes, sizeof bytes - 1));
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 1;
        assert_true(all != sfi_hash(&a, 7, bytes, sizeof bytes));
        bytes[i] ^= 1;
    }
}

static void ids_that_differ_little_fall_all_over_a_table(void **state)
{
    enum { IDS = 64 * 1024, PLACES = 1024 };
    static uint32_t places[2][PLACES];
    struct sfi_hash_key key = {3, 4};
    (void)state;
    memset(places, 0, sizeof places);
    for (uint64_t id = 0; id < IDS; id++) {
        uint64_t hash = sfi_hash(&key, 1, &id, sizeof id);
        places[0][hash % PLACES]++;
        places[1][hash >> 54]++;
    }
    for (int i = 0; i < PLACES; i++) { /* 64 each; twice or half of that is nine standard deviations away */
        assert_true(places[0][i] > 20 && places[0][i] < 140);
        assert_true(places[1][i] > 20 && places[1][i] < 140);
    }
}

static void zero_bytes_at_the_end_count(void **state)
{
    static const char zeroes[40];
    struct sfi_hash_key key = {5, 6};
    (void)state;
    for (size_t a = 0; a <= sizeof zeroes; a++)
        for (size_t b = 0; b < a; b++)
            assert_true(sfi_hash(&key, 0, zeroes, a) != sfi_hash(&key, 0, zeroes, b));
}

static void both_halves_of_the_key_count(void **state)
{
    (void)state;
    for (int bit = 0; bit < 64; bit++) {
        struct sfi_hash_key none = {0, 0}, low = {UINT64_C(1) << bit, 0},
                            high = {0, UINT64_C(1) << bit};
        assert_true(sfi_hash(&none, 0, "x", 1) != sfi_hash(&low, 0, "x", 1));
        assert_true(sfi_hash(&none, 0, "x", 1) != sfi_hash(&high, 0, "x", 1));
    }
}

static void where_the_bytes_lie_does_not_count(void **state)
{
    struct sfi_hash_key key = {7, 8};
    char bytes[64] = {0};
    (void)state;
    for (size_t at = 0; at < 16; at++) {
        memcpy(bytes + at, "an id of some length", 20);
        assert_true(sfi_hash(&key, 0, bytes + at, 20) == sfi_hash(&key, 0, "an id of some length", 20));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_depends_on_key_seed_size_and_every_byte),
        cmocka_unit_test(ids_that_differ_little_fall_all_over_a_table),
        cmocka_unit_test(zero_bytes_at_the_end_count),
        cmocka_unit_test(both_halves_of_the_key_count),
        cmocka_unit_test(where_the_bytes_lie_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
