/* test_endian.c - numbers as bytes: which byte lies where, on any address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/endian.h"

static void the_low_byte_comes_first_in_values(void **state)
{
    unsigned char bytes[8];
    (void)state;
    sfi_le16_put(bytes, 0x0201);
    assert_memory_equal(bytes, "\1\2", 2);
    sfi_le32_put(bytes, 0x04030201);
    assert_memory_equal(bytes, "\1\2\3\4", 4);
    sfi_le64_put(bytes, UINT64_C(0x0807060504030201));
    assert_memory_equal(bytes, "\1\2\3\4\5\6\7\10", 8);
    assert_int_equal(sfi_le16_get(bytes), 0x0201);
    assert_int_equal(sfi_le32_get(bytes), 0x04030201);
    assert_true(sfi_le64_get(bytes) == UINT64_C(0x0807060504030201));
}

static void the_high_byte_comes_first_in_keys(void **state)
{
    unsigned char bytes[8];
    (void)state;
    sfi_be32_put(bytes, 0x01020304);
    assert_memory_equal(bytes, "\1\2\3\4", 4);
    sfi_be64_put(bytes, UINT64_C(0x0102030405060708));
    assert_memory_equal(bytes, "\1\2\3\4\5\6\7\10", 8);
    assert_int_equal(sfi_be32_get(bytes), 0x01020304);
    assert_true(sfi_be64_get(bytes) == UINT64_C(0x0102030405060708));
}

static void every_bit_comes_back_from_every_address(void **state)
{
    unsigned char bytes[24];
    (void)state;
    for (size_t at = 0; at < 16; at++)
        for (int bit = 0; bit < 64; bit++) {
            uint64_t one = UINT64_C(1) << bit;
            sfi_le64_put(bytes + at, one);
            assert_true(sfi_le64_get(bytes + at) == one);
            sfi_be64_put(bytes + at, one);
            assert_true(sfi_be64_get(bytes + at) == one);
            sfi_le32_put(bytes + at, (uint32_t)one);
            assert_int_equal(sfi_le32_get(bytes + at), (uint32_t)one);
            sfi_be32_put(bytes + at, (uint32_t)one);
            assert_int_equal(sfi_be32_get(bytes + at), (uint32_t)one);
            sfi_le16_put(bytes + at, (uint16_t)one);
            assert_int_equal(sfi_le16_get(bytes + at), (uint16_t)one);
        }
}

static void nothing_is_written_beside_a_number(void **state)
{
    unsigned char bytes[10];
    (void)state;
    memset(bytes, 0xee, sizeof bytes);
    sfi_le16_put(bytes + 1, 0);
    assert_int_equal(bytes[3], 0xee);
    sfi_le32_put(bytes + 1, 0);
    assert_int_equal(bytes[5], 0xee);
    sfi_be32_put(bytes + 1, UINT32_MAX);
    assert_int_equal(bytes[5], 0xee);
    sfi_le64_put(bytes + 1, 0);
    sfi_be64_put(bytes + 1, UINT64_MAX);
    assert_int_equal(bytes[9], 0xee);
    assert_int_equal(bytes[0], 0xee);
}

static void keys_are_in_the_order_of_their_numbers(void **state)
{
    static const uint64_t numbers[] = {0, 1, 255, 256, 65535, 65536, UINT32_MAX,
                                       UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX};
    unsigned char a[8], b[8];
    (void)state;
    for (size_t i = 1; i < sizeof numbers / sizeof *numbers; i++) {
        sfi_be64_put(a, numbers[i - 1]);
        sfi_be64_put(b, numbers[i]);
        assert_true(memcmp(a, b, 8) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_low_byte_comes_first_in_values),
        cmocka_unit_test(the_high_byte_comes_first_in_keys),
        cmocka_unit_test(every_bit_comes_back_from_every_address),
        cmocka_unit_test(nothing_is_written_beside_a_number),
        cmocka_unit_test(keys_are_in_the_order_of_their_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
