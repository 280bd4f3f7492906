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

static struct sfi_held newest_row(struct mail *f)
{
    const struct sfi_op_list *rows = &mail_batch(f)->tables[SFI_HELD];
    const struct sfi_op *op = &rows->ops[rows->count - 1];
    struct sfi_held held;
    assert_int_equal(sfi_held_parse(sfi_op_key(op), sfi_op_value(op), &held), 0);
    return held;
}

/* A longer one would not be read again. */
static void of_a_reason_255_bytes_are_kept(void **state)
{
    struct mail *f = *state;
    char text[SFI_WHY_MAX + 1];
    struct sfi_whom who = mail_whom(f, 0);
    memset(text, 'y', sizeof text);
    for (size_t size = SFI_WHY_MAX - 1; size <= SFI_WHY_MAX + 1; size++) {
        assert_int_equal(sfi_holds_pause(&f->mailbox.holds, mail_batch(f), &who, SFI_HELD_PAUSED,
                                         SF_BYTES(text, size)), 0);
        assert_int_equal(newest_row(f).text.size, size < SFI_WHY_MAX ? size : SFI_WHY_MAX);
        mail_commit(f);
        mail_restart(f);
        who = mail_whom(f, 0);
        const struct sfi_hold *hold = sfi_holds_find(&f->mailbox.holds, &who);
        assert_non_null(hold);
        assert_int_equal(hold->why->size, size < SFI_WHY_MAX ? size : SFI_WHY_MAX);
        assert_memory_equal(hold->why->text, text, hold->why->size);
    }
}

static void a_row_with_more_text_than_can_be_is_damage(void **state)
{
    enum { NUMBERS = 4 + 8 + 8 + 8 + 4 + 4, HEAD = SFI_RECORD_HEADER + NUMBERS };
    static unsigned char record[HEAD + SFI_WHY_MAX + 1];
    struct mail *f = *state;
    struct sfi_held held;
    sf_bytes key = SF_BYTES("12345678", 8);
    (void)f;
    record[SFI_RECORD_HEADER] = SFI_HELD_PAUSED;
    sfi_record_finish(record, sizeof record - 1, SFI_RECORD_HELD, key);
    assert_int_equal(sfi_held_parse(key, SF_BYTES(record, sizeof record - 1), &held), 0);
    assert_int_equal(held.text.size, SFI_WHY_MAX);
    sfi_record_finish(record, sizeof record, SFI_RECORD_HELD, key);
    assert_int_equal(sfi_held_parse(key, SF_BYTES(record, sizeof record), &held), SF_ECORRUPT);
}

static void a_row_says_since_when_and_why_and_the_newest_counts(void **state)
{
    struct mail *f = *state;
    struct sfi_whom who = mail_whom(f, 0);
    mail_pause(f, who);
    uint64_t since_ms = newest_row(f).since_ms;
    assert_int_equal(since_ms, f->machine.sys.wall_ms(f->machine.sys.ctx));
    machine_advance_ms(&f->machine, 5000);
    assert_int_equal(sfi_holds_pause(&f->mailbox.holds, mail_batch(f), &who, SFI_HELD_POLICY,
                                     sf_str("another")), 0);
    assert_int_equal(newest_row(f).since_ms, since_ms + 5000);
    assert_int_equal(newest_row(f).reasons, SFI_HELD_PAUSED | SFI_HELD_POLICY);
    assert_memory_equal(newest_row(f).text.data, "another", 7);
    assert_int_equal(sfi_holds_resume(&f->mailbox.holds, mail_batch(f), &who, SFI_HELD_POLICY), 0);
    assert_int_equal(newest_row(f).reasons, SFI_HELD_PAUSED);
    mail_resume(f, who);
    const struct sfi_op_list *rows = &mail_batch(f)->tables[SFI_HELD];
    assert_true(rows->ops[rows->count - 1].is_delete);
}

static void without_memory_nothing_changed(void **state)
{
    struct mail *f = *state;
    struct sfi_whom who = mail_whom(f, 0);
    int refused = 0, rc = SF_ENOMEM;
    for (uint64_t i = 1; rc; i++, refused++) {
        f->machine.fail_allocation = f->machine.allocations + i;
        rc = sfi_holds_pause(&f->mailbox.holds, mail_batch(f), &who, SFI_HELD_PAUSED, SF_NONE);
        f->machine.fail_allocation = 0;
        assert_int_equal(sfi_holds_find(&f->mailbox.holds, &who) != NULL, rc == 0);
        assert_int_equal(mail_batch(f)->tables[SFI_HELD].count, rc == 0);
    }
    assert_true(refused > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MAIL_TEST(a_row_of_held_that_is_cut_or_unknown_is_refused),
        MAIL_TEST(of_a_reason_255_bytes_are_kept),
        MAIL_TEST(a_row_with_more_text_than_can_be_is_damage),
        MAIL_TEST(a_row_says_since_when_and_why_and_the_newest_counts),
        MAIL_TEST(without_memory_nothing_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
