/* test_backlog.c - lib/actor/backlog: messages on disk only come back in order, in slices, and what is
 * damaged or miscounted is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "actor/backlog.h"
#include "actor/key.h"
#include "store/record.h"
#include "support/mail_rig.h"

struct taken {
    struct mail *mail;
    uint64_t count, last;
};

static void take(void *taker, struct sfi_message *message)
{
    struct taken *taken = taker;
    assert_true(message->sequence > taken->last);
    taken->last = message->sequence;
    taken->count++;
    sfi_message_free(&taken->mail->mailbox.pool, message);
}

/* Of all that is in table mailbox, as if it were read at open. */
static struct sfi_backlog backlog_of(struct mail *f, uint64_t count)
{
    struct sfi_backlog backlog = f->mailbox.backlog;
    backlog.first = 1;
    backlog.last = f->mailbox.next_sequence - 1;
    backlog.count = count;
    backlog.damaged = 0;
    return backlog;
}

static void put_rows(struct mail *f, uint64_t count)
{
    for (uint64_t n = 0; n < count; n++)
        mail_push(f, 0, n);
    mail_commit(f);
}

static void put_row(struct mail *f, sf_bytes key, size_t size)
{
    unsigned char *record = sfi_batch_put(mail_batch(f), SFI_MAILBOX, key, size);
    assert_non_null(record);
    memset(record, 0, size);
    sfi_record_finish(record, size, SFI_RECORD_MESSAGE, key);
    mail_commit(f);
}

static void rows_come_back_in_order_and_in_slices(void **state)
{
    struct mail *f = *state;
    struct taken taken = {f, 0, 0};
    put_rows(f, SFI_SLICE_ROWS + 10);
    struct sfi_backlog backlog = backlog_of(f, SFI_SLICE_ROWS + 10);
    assert_int_equal(sfi_backlog_read(&backlog, take, &taken), 0);
    assert_int_equal(taken.count, SFI_SLICE_ROWS);
    assert_true(sfi_backlog_is_open(&backlog));
    assert_int_equal(sfi_backlog_read(&backlog, take, &taken), 0);
    assert_int_equal(taken.count, SFI_SLICE_ROWS + 10);
    assert_false(sfi_backlog_is_open(&backlog));
}

/* With none left to count one more look closes it, be the slice full or not. */
static void a_slice_that_has_the_last_row_closes_it(void **state)
{
    struct mail *f = *state;
    struct taken taken = {f, 0, 0};
    put_rows(f, SFI_SLICE_ROWS);
    struct sfi_backlog backlog = backlog_of(f, SFI_SLICE_ROWS);
    assert_int_equal(sfi_backlog_read(&backlog, take, &taken), 0);
    assert_int_equal(taken.count, SFI_SLICE_ROWS);
    assert_false(sfi_backlog_is_open(&backlog));
}

static void a_slice_is_bounded_in_bytes(void **state)
{
    struct mail *f = *state;
    struct taken taken = {f, 0, 0};
    static char body[SFI_SLICE_BYTES / 4];
    for (int i = 0; i < 10; i++) {
        struct sfi_letter letter = {.to_type = &f->type[0],
                                    .to_id = "x",
                                    .to_size = 1,
                                    .kind = "",
                                    .body = SF_BYTES(body, sizeof body)};
        sfi_mailbox_push(&f->mailbox, sfi_message_new(&f->mailbox.pool, &letter));
    }
    mail_commit(f);
    struct sfi_backlog backlog = backlog_of(f, 10);
    assert_int_equal(sfi_backlog_read(&backlog, take, &taken), 0);
    assert_int_equal(taken.count, 4);
}

static void a_row_too_many_or_too_few_is_damage(void **state)
{
    struct mail *f = *state;
    struct taken taken = {f, 0, 0};
    put_rows(f, 3);
    struct sfi_backlog backlog = backlog_of(f, 2);
    assert_int_equal(sfi_backlog_read(&backlog, take, &taken), SF_ECORRUPT);
    assert_int_equal(taken.count, 2); /* what is too much is not handed out */
    backlog = backlog_of(f, 4);
    taken.last = 0;
    assert_int_equal(sfi_backlog_read(&backlog, take, &taken), SF_ECORRUPT);
}

/* Whatever its first eight bytes would say. */
static void a_key_of_another_size_is_damage(void **state)
{
    for (size_t size = 7; size <= 9; size += 2) {
        struct mail *f = *state;
        struct taken taken = {f, 0, 0};
        unsigned char key[9];
        memset(key, 0xff, sizeof key);
        put_row(f, SF_BYTES(key, size), 64);
        struct sfi_backlog backlog = backlog_of(f, 1);
        backlog.first = UINT64_MAX - 255; /* that row is the next from there */
        backlog.last = UINT64_MAX;
        assert_int_equal(sfi_backlog_read(&backlog, take, &taken), SF_ECORRUPT);
        assert_int_equal(backlog.damaged, 0);
        mail_teardown(state);
        mail_setup(state);
    }
}

static void a_damaged_row_is_passed_over_and_counted(void **state)
{
    struct mail *f = *state;
    struct taken taken = {f, 0, 0};
    struct sfi_key key;
    put_rows(f, 2);
    sfi_key_sequence(&key, 3);
    put_row(f, sfi_key_bytes(&key), 20); /* no envelope has so few bytes */
    f->mailbox.next_sequence = 4;
    mail_push(f, 0, 3);
    mail_commit(f);
    struct sfi_backlog backlog = backlog_of(f, 4);
    assert_int_equal(sfi_backlog_read(&backlog, take, &taken), 0);
    assert_int_equal(taken.count, 3);
    assert_int_equal(taken.last, 4);
    assert_int_equal(backlog.damaged, 1);
    assert_false(sfi_backlog_is_open(&backlog));
}

static void a_failure_loses_no_row(void **state)
{
    struct mail *f = *state;
    struct taken taken = {f, 0, 0};
    put_rows(f, 300);
    mail_restart(f); /* no room is left over */
    struct sfi_backlog backlog = backlog_of(f, 300);
    int refused = 0, rc = 0;
    for (uint64_t i = 1; sfi_backlog_is_open(&backlog) && i < 1000; i++) {
        f->machine.fail_allocation = f->machine.allocations + i;
        rc = sfi_backlog_read(&backlog, take, &taken);
        f->machine.fail_allocation = 0;
        assert_true(rc == 0 || rc == SF_ENOMEM);
        refused += rc < 0;
    }
    assert_int_equal(taken.count, 300);
    assert_true(refused > 0);
}

/* A row by hand: from the outside to "x", without a body, with a kind of so many bytes. */
static void put_kind(struct mail *f, uint64_t sequence, size_t kind_size)
{
    enum { TO = 6, FROM = 5, NUMBERS = 4 + 8 + 8, SIZES = 2 + 1 };
    size_t size = SFI_RECORD_HEADER + TO + FROM + NUMBERS + SIZES + kind_size;
    struct sfi_key key;
    sfi_key_sequence(&key, sequence);
    unsigned char *record = sfi_batch_put(mail_batch(f), SFI_MAILBOX, sfi_key_bytes(&key), size);
    assert_non_null(record);
    memset(record, 0, size);
    sfi_le32_put(record + SFI_RECORD_HEADER + FROM, 1);
    memcpy(record + SFI_RECORD_HEADER + FROM + 4, "\1x", 2);
    sfi_le16_put(record + SFI_RECORD_HEADER + TO + FROM + NUMBERS, (uint16_t)kind_size);
    memset(record + size - kind_size, 'k', kind_size);
    sfi_record_finish(record, size, SFI_RECORD_MESSAGE, sfi_key_bytes(&key));
    mail_commit(f);
}

/* The longest kind that can be sent comes back; none is longer. */
static void a_kind_may_have_255_bytes_and_no_more(void **state)
{
    struct mail *f = *state;
    for (size_t size = SF_KIND_MAX; size <= SF_KIND_MAX + 1; size++) {
        struct taken taken = {f, 0, 0};
        put_kind(f, size, size);
        struct sfi_backlog backlog = backlog_of(f, 1);
        backlog.first = backlog.last = size;
        assert_int_equal(sfi_backlog_read(&backlog, take, &taken), 0);
        assert_int_equal(taken.count, size == SF_KIND_MAX);
        assert_int_equal(backlog.damaged, size != SF_KIND_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MAIL_TEST(rows_come_back_in_order_and_in_slices),
        MAIL_TEST(a_slice_that_has_the_last_row_closes_it),
        MAIL_TEST(a_slice_is_bounded_in_bytes),
        MAIL_TEST(a_row_too_many_or_too_few_is_damage),
        MAIL_TEST(a_key_of_another_size_is_damage),
        MAIL_TEST(a_damaged_row_is_passed_over_and_counted),
        MAIL_TEST(a_failure_loses_no_row),
        MAIL_TEST(a_kind_may_have_255_bytes_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
