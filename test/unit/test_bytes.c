/* test_bytes.c - bytes, keys, addresses and kinds: what needs no runtime. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "statefun.h"
#include "support/support.h"

static void a_text_is_its_characters_without_the_zero_byte(void **state)
{
    (void)state;
    static const char text[] = "Ada";
    sf_bytes bytes = sf_str(text);
    assert_ptr_equal(bytes.data, text);
    assert_int_equal(bytes.size, 3);
    assert_non_null(sf_str("").data);
    assert_null(sf_str(NULL).data);
}

static void an_address_is_a_type_and_bytes(void **state)
{
    (void)state;
    uint32_t number = 7;
    sf_address text = sf_addr("test/a", "id"), bytes = {"test/a", SF_OF(number)};
    assert_memory_equal(text.id.data, "id", 3);
    assert_int_equal(text.id.size, 2);
    assert_ptr_equal(bytes.id.data, &number);
    assert_int_equal(sizeof(sf_address), 3 * sizeof(void *)); /* no hole to compare or copy */
}

static void bytes_of_another_size_are_no_such_struct(void **state)
{
    (void)state;
    uint64_t number = 1;
    assert_ptr_equal(sf_struct(SF_OF(number), sizeof number), &number);
    assert_null(sf_struct(SF_OF(number), sizeof number + 1));
    assert_null(sf_struct(SF_OF(number), sizeof number - 1));
    assert_null(sf_struct(SF_NONE, 0));
}

static void keys_of_numbers_sort_like_the_numbers_and_come_back(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0,         1, 255, 256, 65535, 1u << 31, UINT64_C(1) << 40,
                                       UINT64_MAX};
    enum { COUNT = sizeof numbers / sizeof *numbers };
    for (size_t i = 0; i < COUNT; i++) {
        sf_bytes key = SF_U64(numbers[i]);
        assert_int_equal(key.size, 8);
        assert_true(sf_u64_of(key) == numbers[i]);
        if (i)
            assert_true(memcmp(SF_U64(numbers[i - 1]).data, key.data, 8) < 0);
    }
}

static void two_keys_of_one_statement_are_two(void **state)
{
    (void)state;
    assert_true(sf_u64_of(SF_U64(1)) + 1 == sf_u64_of(SF_U64(2)));
    sf_bytes first = SF_U64(3), second = SF_U64(4);
    assert_true(sf_u64_of(first) == 3 && sf_u64_of(second) == 4);
}

static void what_is_no_key_of_a_number_is_0(void **state)
{
    (void)state;
    assert_true(sf_u64_of(SF_NONE) == 0);
    assert_true(sf_u64_of(SF_BYTES("1234567", 7)) == 0);
    assert_true(sf_u64_of(SF_BYTES("123456789", 9)) == 0);
    assert_true(sf_u64_of(SF_BYTES(NULL, 8)) == 0);
    assert_null(sf_u64(1, NULL).data);
}

static void a_kind_is_itself_and_no_prefix(void **state)
{
    (void)state;
    sf_message msg = {.kind = "add"};
    assert_true(sf_is(&msg, "add"));
    assert_false(sf_is(&msg, "ad"));
    assert_false(sf_is(&msg, "adds"));
    assert_false(sf_is(&msg, NULL));
    assert_false(sf_is(NULL, "add"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_its_characters_without_the_zero_byte),
        cmocka_unit_test(an_address_is_a_type_and_bytes),
        cmocka_unit_test(bytes_of_another_size_are_no_such_struct),
        cmocka_unit_test(keys_of_numbers_sort_like_the_numbers_and_come_back),
        cmocka_unit_test(two_keys_of_one_statement_are_two),
        cmocka_unit_test(what_is_no_key_of_a_number_is_0),
        cmocka_unit_test(a_kind_is_itself_and_no_prefix),
    };
    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
