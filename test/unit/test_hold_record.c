/* test_hold_record.c - lib/actor/hold_record: the row of table held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "store/record.h"
#include "support/mail_rig.h"

static void a_row_of_held_that_is_cut_or_unknown_is_refused(void **state)
{
    struct mail *f = *state;
    struct sfi_held held;
    mail_pause(f, mail_whom(f, 0));
    const struct sfi_op *op = &mail_batch(f)->tables[SFI_HELD].ops[0];
    sf_bytes key = sfi_op_key(op), row = sfi_op_value(op);
    assert_int_equal(sfi_held_parse(key, row, &held), 0);
    assert_int_equal(held.reasons, SFI_HELD_PAUSED);
    assert_int_equal(held.text.size, 7);
    unsigned char copy[256];
    for (size_t size = SFI_RECORD_HEADER; size < row.size - held.text.size; size++) {
        memcpy(copy, row.data, size);
        sfi_record_finish(copy, size, SFI_RECORD_HELD, key);
        assert_int_equal(sfi_held_parse(key, SF_BYTES(copy, size), &held), SF_ECORRUPT);
    }
    memcpy(copy, row.data, row.size);
    copy[SFI_RECORD_HEADER] |= 1 << 5;
    sfi_record_finish(copy, row.size, SFI_RECORD_HELD, key);
    assert_int_equal(sfi_held_parse(key, SF_BYTES(copy, row.size), &held), SF_ENEWER);
    copy[SFI_RECORD_HEADER] = 0;
    sfi_record_finish(copy, row.size, SFI_RECORD_HELD, key);
    assert_int_equal(sfi_held_parse(key, SF_BYTES(copy, row.size), &held), SF_ECORRUPT);
}

/* -- the model --------------------------------------------------------------------------------- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        MAIL_TEST(a_row_of_held_that_is_cut_or_unknown_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
