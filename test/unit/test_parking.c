/* test_parking.c - lib/actor/parking: the rows of what waits behind holds, there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actor/key.h"
#include "support/mail_rig.h"

static void what_an_earlier_run_parked_comes_back_when_the_queue_is_empty(void **state)
{
    struct mail *f = *state;
    f->bytes_max = f->mailbox.bytes_max = 64 * 8; /* two in memory behind holds */
    mail_pause(f, mail_whom(f, 0));
    mail_pause(f, mail_whom(f, 1));
    mail_push(f, 1, 0);
    mail_push(f, 0, 0);
    mail_push(f, 0, 1);
    assert_true(mail_nothing_now(f));
    mail_resume(f, mail_whom(f, 0));
    mail_resume(f, mail_whom(f, 1));
    mail_commit(f);
    assert_int_equal(f->stored.parked, 1);
    mail_restart(f);
    mail_handle(f, 1, 0);
    mail_handle(f, 0, 0);
    mail_handle(f, 0, 1);
    assert_true(mail_nothing_now(f));
    assert_int_equal(f->mailbox.holds.count, 0);
}

static void a_row_that_came_back_for_its_type_is_read_once(void **state)
{
    struct mail *f = *state;
    int rc;
    mail_pause(f, mail_whom(f, 1));
    mail_push(f, 1, 0);
    assert_true(mail_nothing_now(f));
    mail_pause(f, mail_whole_type(f, 0));
    mail_push(f, 0, 0);
    assert_true(mail_nothing_now(f));
    mail_commit(f);
    mail_pause(f, mail_whom(f, 0));
    mail_resume(f, mail_whole_type(f, 0));
    assert_true(mail_nothing_now(f)); /* 0 waits in memory now, */
    mail_resume(f, mail_whom(f, 1));
    assert_int_equal(mail_actor_of(f, mail_head(f, &rc)), 1);
    mail_pause(f, mail_whole_type(f, 0)); /* and what is older and what is newer is parked for the type */
    mail_push(f, 2, 0);
    assert_true(mail_nothing_now(f));
    mail_commit(f);
    mail_resume(f, mail_whole_type(f, 0));
    mail_handle(f, 1, 0);
    mail_handle(f, 2, 0);
    assert_true(mail_nothing_now(f));
    mail_resume(f, mail_whom(f, 0));
    mail_handle(f, 0, 0);
    assert_int_equal(f->mailbox.count, 0);
}

static void no_memory_leaves_a_row_in_one_table(void **state)
{
    struct mail *f = *state;
    uint64_t refused = 0;
    for (uint64_t n = 0; n < 3000; n++)
        mail_push(f, 0, n);
    mail_commit(f);
    mail_pause(f, mail_whole_type(f, 0));
    for (int rc = 1; rc;) {
        f->machine.fail_allocation = f->machine.allocations + 1 + mail_draw(f, 2);
        sfi_mailbox_head(&f->mailbox, mail_batch(f), &rc);
        f->machine.fail_allocation = 0;
        refused += rc < 0;
        assert_int_equal(mail_batch(f)->tables[SFI_PARKED].count, mail_batch(f)->tables[SFI_MAILBOX].count);
        if (rc < 0)
            sfi_mailbox_head(&f->mailbox, mail_batch(f), &rc);
    }
    assert_true(refused > 3);
    assert_int_equal(f->mailbox.parking.rows, 3000);
}

static void parked_messages_come_back_while_others_never_stop(void **state)
{
    struct mail *f = *state;
    int rc;
    f->mailbox.bytes_max = 1;
    mail_pause(f, mail_whom(f, 0));
    mail_push(f, 0, 0);
    assert_true(mail_nothing_now(f));
    mail_resume(f, mail_whom(f, 0));
    for (uint64_t n = 0; n < 10; n++)
        mail_push(f, 1, n);
    assert_int_equal(mail_actor_of(f, mail_head(f, &rc)), 1); /* it is not durable yet */
    mail_commit(f);
    mail_handle(f, 0, 0);
    mail_handle(f, 1, 0);
}

static void expect_corruption(struct mail *f, uint64_t counted)
{
    int rc = 0;
    mail_pause(f, mail_whole_type(f, 0));
    mail_push(f, 0, 0);
    mail_push(f, 0, 1);
    assert_true(mail_nothing_now(f));
    mail_commit(f);
    f->stored.parked = counted;
    mail_restart(f);
    mail_resume(f, mail_whole_type(f, 0));
    while (rc == 0 && mail_head(f, &rc))
        sfi_mailbox_done(&f->mailbox);
    assert_int_equal(rc, SF_ECORRUPT);
}

static void a_parked_row_that_is_missing_is_corruption(void **state)
{
    expect_corruption(*state, 3);
}

static void a_parked_row_too_many_is_corruption(void **state)
{
    expect_corruption(*state, 1);
}

static void a_counter_that_would_sink_below_zero_stops_the_engine(void **state)
{
    struct mail *f = *state;
    uint64_t *counters[] = {&f->mailbox.bytes, &f->mailbox.count, &f->mailbox.queued,
                            &f->mailbox.counted_bytes, &f->mailbox.unsaved_bytes};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        mail_restart(f);
        mail_push(f, 0, 0);
        *counters[i] = 0;
        mail_handle(f, 0, 0);
        assert_int_equal(mail_seal(f), SF_ECORRUPT);
    }
}

/* What an earlier run parked is found at open; a row that cannot be one of its is damage. */
static void expect_refused_row(struct mail *f, sf_bytes key)
{
    assert_non_null(sfi_batch_put(mail_batch(f), SFI_PARKED, key, 16));
    mail_commit(f);
    mail_die(f);
    assert_int_equal(mail_try_to_live(f), SF_ECORRUPT);
}

static void a_parked_row_with_a_key_too_short_is_corruption(void **state)
{
    expect_refused_row(*state, SF_BYTES("\1\2\3\4\5\6\7", 7));
    assert_string_equal(sf_errmsg(), "a parked message has a key of 7 bytes");
}

static void a_parked_row_that_names_no_type_is_corruption(void **state)
{
    struct sfi_key key;
    sfi_key_parked(&key, MAIL_TYPES + 1, "x", 1, 1);
    expect_refused_row(*state, sfi_key_bytes(&key));
}

static void a_parked_row_with_a_sequence_that_nobody_gave_is_corruption(void **state)
{
    struct sfi_key key;
    sfi_key_parked(&key, 1, "x", 1, 1); /* the next one to be given */
    expect_refused_row(*state, sfi_key_bytes(&key));
}

/* However large its messages are, so much comes back at a time. */
static void a_slice_from_disk_is_bounded_in_bytes(void **state)
{
    struct mail *f = *state;
    int rc = 0;
    f->mailbox.bytes_max = 64 * 80; /* a slice is an eighth: 10 messages, and the one that crosses it */
    mail_pause(f, mail_whole_type(f, 0));
    for (uint64_t n = 0; n < 40; n++)
        mail_push(f, 0, n);
    assert_true(mail_nothing_now(f));
    mail_commit(f);
    assert_int_equal(f->mailbox.parking.unread, 40);
    mail_resume(f, mail_whole_type(f, 0));
    assert_non_null(mail_head(f, &rc));
    assert_int_equal(f->mailbox.parking.unread, 29);
    for (uint64_t n = 0; n < 40; n++)
        mail_handle(f, 0, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MAIL_TEST(what_an_earlier_run_parked_comes_back_when_the_queue_is_empty),
        MAIL_TEST(a_row_that_came_back_for_its_type_is_read_once),
        MAIL_TEST(no_memory_leaves_a_row_in_one_table),
        MAIL_TEST(parked_messages_come_back_while_others_never_stop),
        MAIL_TEST(a_parked_row_that_is_missing_is_corruption),
        MAIL_TEST(a_parked_row_too_many_is_corruption),
        MAIL_TEST(a_counter_that_would_sink_below_zero_stops_the_engine),
        MAIL_TEST(a_parked_row_with_a_key_too_short_is_corruption),
        MAIL_TEST(a_parked_row_that_names_no_type_is_corruption),
        MAIL_TEST(a_parked_row_with_a_sequence_that_nobody_gave_is_corruption),
        MAIL_TEST(a_slice_from_disk_is_bounded_in_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
