/* test_record.c - the eight bytes in front of a value: what is damaged, what is newer, what is
 * older. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "store/record.h"
#include "support/support.h"

enum { SIZE = SFI_RECORD_HEADER + 11 };

static const unsigned char name[] = {4, 'k', 'e', 'y'};

static void fill(unsigned char record[SIZE])
{
    for (int i = SFI_RECORD_HEADER; i < SIZE; i++)
        record[i] = (unsigned char)(i * 7);
}

static int opens(const unsigned char record[SIZE], enum sfi_record_kind kind)
{
    sf_bytes payload = SF_NONE;
    int rc = sfi_record_open(SF_BYTES(record, SIZE), SF_OF(name), kind, &payload);
    if (rc == 0) {
        assert_ptr_equal(payload.data, record + SFI_RECORD_HEADER);
        assert_int_equal(payload.size, SIZE - SFI_RECORD_HEADER);
    }
    return rc;
}

static void what_was_finished_opens(void **state)
{
    (void)state;
    unsigned char record[SIZE];
    for (int kind = 1; kind < SFI_RECORD_KINDS; kind++) {
        if (sfi_record_newest((enum sfi_record_kind)kind) == 0)
            continue;
        fill(record);
        sfi_record_finish(record, SIZE, (enum sfi_record_kind)kind, SF_OF(name));
        assert_int_equal(opens(record, (enum sfi_record_kind)kind), 0);
        assert_int_equal(sfi_record_version(SF_OF(record)),
                         sfi_record_newest((enum sfi_record_kind)kind));
    }
}

static void any_flipped_bit_is_damage(void **state)
{
    (void)state;
    unsigned char record[SIZE];
    fill(record);
    sfi_record_finish(record, SIZE, SFI_RECORD_VALUE, SF_OF(name));
    for (int bit = 0; bit < SIZE * 8; bit++) {
        record[bit / 8] ^= (unsigned char)(1 << bit % 8);
        REFUSED(opens(record, SFI_RECORD_VALUE), SF_ECORRUPT);
        SAYS("checksum");
        record[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_int_equal(opens(record, SFI_RECORD_VALUE), 0);
}

static void a_record_cut_short_is_damage(void **state)
{
    (void)state;
    unsigned char record[SIZE];
    sf_bytes payload;
    fill(record);
    sfi_record_finish(record, SIZE, SFI_RECORD_VALUE, SF_OF(name));
    for (size_t size = 0; size < SIZE; size++)
        REFUSED(sfi_record_open(SF_BYTES(record, size), SF_OF(name), SFI_RECORD_VALUE, &payload),
                SF_ECORRUPT);
}

static void a_record_under_another_key_is_damage(void **state)
{
    (void)state;
    unsigned char record[SIZE];
    sf_bytes payload;
    fill(record);
    sfi_record_finish(record, SIZE, SFI_RECORD_VALUE, SF_OF(name));
    REFUSED(sfi_record_open(SF_OF(record), SF_BYTES(name, 3), SFI_RECORD_VALUE, &payload),
            SF_ECORRUPT);
    REFUSED(sfi_record_open(SF_OF(record), SF_OF("\4kex"), SFI_RECORD_VALUE, &payload),
            SF_ECORRUPT);
}

/* Its own: what one kind's newest is says nothing about another's. */
static void each_kind_has_versions_of_its_own(void **state)
{
    (void)state;
    unsigned char record[SIZE];
    for (int k = 1; k < SFI_RECORD_KINDS; k++) {
        enum sfi_record_kind kind = (enum sfi_record_kind)k;
        unsigned newest = sfi_record_newest(kind);
        for (unsigned version = 0; version < 256 && newest; version++) {
            fill(record);
            sfi_record_finish_as(record, SIZE, kind, version, 0, SF_OF(name));
            assert_int_equal(opens(record, kind), version == 0        ? SF_ECORRUPT
                                                  : version <= newest ? 0
                                                                      : SF_ENEWER);
        }
    }
    assert_int_equal(sfi_record_newest(SFI_RECORD_STATE), 1);
    assert_int_equal(sfi_record_newest(SFI_RECORD_MESSAGE), 2);
}

static void a_flag_that_nobody_knows_was_set_by_a_newer_library(void **state)
{
    (void)state;
    unsigned char record[SIZE];
    for (unsigned bit = 0; bit < 16; bit++) {
        fill(record);
        sfi_record_finish_as(record, SIZE, SFI_RECORD_VALUE, 1, 1u << bit, SF_OF(name));
        REFUSED(opens(record, SFI_RECORD_VALUE), SF_ENEWER);
        SAYS("flags");
    }
}

static void a_kind_that_nobody_knows_was_written_by_a_newer_library(void **state)
{
    (void)state;
    unsigned char record[SIZE];
    for (int kind = 0; kind < 256; kind++) {
        int is_known = kind == 0 || sfi_record_newest((enum sfi_record_kind)kind);
        fill(record);
        sfi_record_finish_as(record, SIZE, (enum sfi_record_kind)kind, 1, 0, SF_OF(name));
        assert_int_equal(opens(record, SFI_RECORD_STATE), kind == SFI_RECORD_STATE ? 0
                                                          : is_known ? SF_ECORRUPT
                                                                     : SF_ENEWER);
    }
}

/* What lies in databases: a version that is raised by mistake locks older libraries out of them. */
static void each_kind_is_written_in_its_newest_version(void **state)
{
    static const unsigned versions[SFI_RECORD_KINDS] = {0, 1, 1, 1, 2, 2, 1, 1, 2, 2, 2, 1, 1,
                                                      [SFI_RECORD_TIMER] = 1,
                                                         [SFI_RECORD_STATE_AT] = 1,
                                                      [SFI_RECORD_VALUE_AT] = 1,
                                                      [SFI_RECORD_ENTRY] = 1,
                                                      [SFI_RECORD_PROMISE] = 1,
                                                      [SFI_RECORD_MAP] = 1,
                                                      [SFI_RECORD_LIST] = 1,
                                                      [SFI_RECORD_OPERATION] = 1,
                                                      [SFI_RECORD_KEPT] = 1};
    (void)state;
    for (int kind = 0; kind < SFI_RECORD_KINDS; kind++)
        assert_int_equal(sfi_record_newest((enum sfi_record_kind)kind), versions[kind]);
    assert_int_equal(sfi_record_newest(SFI_RECORD_KINDS), 0);
    assert_int_equal(sfi_record_newest((enum sfi_record_kind)-1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_finished_opens),
        cmocka_unit_test(any_flipped_bit_is_damage),
        cmocka_unit_test(a_record_cut_short_is_damage),
        cmocka_unit_test(a_record_under_another_key_is_damage),
        cmocka_unit_test(each_kind_has_versions_of_its_own),
        cmocka_unit_test(each_kind_is_written_in_its_newest_version),
        cmocka_unit_test(a_flag_that_nobody_knows_was_set_by_a_newer_library),
        cmocka_unit_test(a_kind_that_nobody_knows_was_written_by_a_newer_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
