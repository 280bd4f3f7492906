/* test_counters.c - the record of next numbers: old ones are read, longer ones too, damaged ones refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "actor/key.h"
#include "run/counters.h"
#include "store/record.h"
#include "support/machine.h"
#include "support/support.h"

enum { FIELDS = 15, SIZE = SFI_RECORD_HEADER + 8 * FIELDS };

static const struct sfi_counters some = {.next_message = 11,
                                         .next_dead = 12,
                                         .waiting = 13,
                                         .next_type = 14,
                                         .next_egress = 15,
                                         .next_number = 16,
                                         .next_timer = 17,
                                         .next_async = 18,
                                         .parked = 19,
                                         .dead_first = 20,
                                         .dead_count = 21,
                                         .dead_bytes = 22,
                                         .parked_bytes = 23,
                                         .waiting_bytes = 24,
                                         .database = 25};

/* A record with so many fields, 11, 12 and so on. */
static int load(size_t size, unsigned version, struct sfi_counters *out)
{
    unsigned char record[SIZE + 64] = {0};
    struct sfi_key key;
    sfi_key_meta(&key, SFI_META_COUNTERS, "");
    for (size_t i = 0; 8 * i + 8 + SFI_RECORD_HEADER <= sizeof record; i++)
        sfi_le64_put(record + SFI_RECORD_HEADER + 8 * i, 11 + i);
    sfi_record_finish_as(record, size, SFI_RECORD_COUNTERS, version, 0, sfi_key_bytes(&key));
    return sfi_counters_load(out, sfi_key_bytes(&key), SF_BYTES(record, size));
}

static void counters_come_back_as_they_were_saved(void **state)
{
    (void)state;
    struct machine machine;
    struct sfi_batch batch;
    struct sfi_counters out;
    machine_init(&machine);
    sfi_batch_init(&batch, &machine.sys);
    assert_int_equal(sfi_counters_save(&some, &batch), 0);
    assert_int_equal(batch.tables[SFI_META].count, 1);
    const struct sfi_op *op = &batch.tables[SFI_META].ops[0];
    assert_int_equal(sfi_counters_load(&out, sfi_op_key(op), sfi_op_value(op)), 0);
    assert_memory_equal(&out, &some, sizeof out);
    sfi_batch_fini(&batch);
    assert_int_equal(machine.live, 0);
}

/* Their order on disk is for ever. */
static void each_field_has_its_place(void **state)
{
    (void)state;
    struct sfi_counters out;
    assert_int_equal(load(SIZE, 2, &out), 0);
    assert_memory_equal(&out, &some, sizeof out);
}

static void a_record_of_format_2_has_three_fields(void **state)
{
    (void)state;
    struct sfi_counters out;
    assert_int_equal(load(SFI_RECORD_HEADER + 24, 1, &out), 0);
    const struct sfi_counters expected = {.next_message = 11,
                                          .next_dead = 12,
                                          .waiting = 13,
                                          .next_number = 1,
                                          .next_timer = 1,
                                          .next_async = 1};
    assert_memory_equal(&out, &expected, sizeof out);
    REFUSED(load(SFI_RECORD_HEADER + 32, 1, &out), SF_ECORRUPT);
}

static void what_a_shorter_record_lacks_has_its_first_value(void **state)
{
    (void)state;
    struct sfi_counters out;
    assert_int_equal(load(SFI_RECORD_HEADER + 8 * 4, 2, &out), 0);
    assert_int_equal(out.next_type, 14);
    assert_int_equal(out.next_egress, 1);
    assert_int_equal(out.next_async, 1);
    assert_int_equal(out.parked, 0);
    assert_int_equal(out.dead_first, 0); /* nobody knows */
}

static void what_a_longer_record_has_beyond_is_passed_over(void **state)
{
    (void)state;
    struct sfi_counters out;
    assert_int_equal(load(SIZE + 16, 2, &out), 0);
    assert_memory_equal(&out, &some, sizeof out);
    REFUSED(load(SIZE + 16, 3, &out), SF_ENEWER);
}

static void a_record_of_another_size_is_refused(void **state)
{
    (void)state;
    struct sfi_counters out;
    for (size_t size = SFI_RECORD_HEADER; size <= SIZE + 64; size++)
        if (size % 8 || size < SFI_RECORD_HEADER + 24)
            REFUSED(load(size, 2, &out), SF_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_come_back_as_they_were_saved),
        cmocka_unit_test(each_field_has_its_place),
        cmocka_unit_test(a_record_of_format_2_has_three_fields),
        cmocka_unit_test(what_a_shorter_record_lacks_has_its_first_value),
        cmocka_unit_test(what_a_longer_record_has_beyond_is_passed_over),
        cmocka_unit_test(a_record_of_another_size_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
