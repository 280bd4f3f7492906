/* test_timer.c - names and records of timers, and when a recurring one comes next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "actor/timer.h"
#include "support/support.h"

static void names_of_timers_and_tokens_never_meet(void **state)
{
    unsigned char a[SFI_TIMER_NAME_MAX], b[SFI_TIMER_NAME_MAX];
    static const char *const pairs[][2] = {{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}};
    (void)state;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            sf_bytes left = sfi_timer_name(a, sf_str(pairs[i][0]), sf_str(pairs[i][1]));
            sf_bytes right = sfi_timer_name(b, sf_str(pairs[j][0]), sf_str(pairs[j][1]));
            int same = left.size == right.size && memcmp(left.data, right.data, left.size) == 0;
            assert_int_equal(same, i == j);
        }
    sf_bytes token = sfi_token_name(a, sf_str("abc"));
    sf_bytes timer = sfi_timer_name(b, sf_str(""), sf_str("ab"));
    assert_int_equal(token.size, timer.size);
    assert_memory_not_equal(token.data, timer.data, token.size);
}

static struct sfi_timer some(enum sfi_timer_form form, int moved)
{
    struct sfi_timer timer = {.form = form, .due_ms = 1000, .sequence = 7, .row_due_ms = 1000,
                              .row_sequence = 7};
    if (moved) {
        timer.row_due_ms = 900;
        timer.row_sequence = 3;
    }
    if (form == SFI_EVERY)
        timer.period_ms = UINT64_C(0x1122334455667788);
    if (form == SFI_CRON)
        timer.cron = sf_str("* * * * *");
    return timer;
}

static void a_record_comes_back_as_it_was_written_and_cut_it_is_refused(void **state)
{
    (void)state;
    for (enum sfi_timer_form form = SFI_TELL; form <= SFI_CRON; form++)
        for (int moved = 0; moved < 2; moved++) {
            unsigned char bytes[SFI_TIMER_RECORD_MAX];
            struct sfi_timer timer = some(form, moved), back;
            sf_bytes record = sfi_timer_encode(&timer, bytes);
            OK(sfi_timer_decode(record, &back));
            assert_int_equal(back.form, form);
            assert_int_equal(back.due_ms, 1000);
            assert_int_equal(back.sequence, 7);
            assert_int_equal(back.row_due_ms, timer.row_due_ms);
            assert_int_equal(back.row_sequence, timer.row_sequence);
            assert_int_equal(back.period_ms, timer.period_ms);
            assert_int_equal(back.cron.size, timer.cron.size);
            size_t text = form == SFI_CRON ? timer.cron.size : 1;
            for (size_t size = 0; size + text <= record.size; size++)
                REFUSED(sfi_timer_decode(SF_BYTES(bytes, size), &back), SF_ECORRUPT);
        }
}

static void a_form_that_nobody_knows_was_written_by_a_newer_library(void **state)
{
    unsigned char bytes[SFI_TIMER_RECORD_MAX];
    struct sfi_timer timer = some(SFI_AFTER, 0), back;
    sf_bytes record = sfi_timer_encode(&timer, bytes);
    (void)state;
    bytes[0] = SFI_CRON + 1;
    REFUSED(sfi_timer_decode(record, &back), SF_ENEWER);
    bytes[0] = 0;
    REFUSED(sfi_timer_decode(record, &back), SF_ECORRUPT);
}

static void a_period_keeps_its_beat_however_late(void **state)
{
    struct sfi_timer timer = some(SFI_EVERY, 0);
    (void)state;
    timer.period_ms = 10;
    assert_int_equal(sfi_timer_next(&timer, 990), 1010); /* the clock was set back */
    assert_int_equal(sfi_timer_next(&timer, 1000), 1010);
    assert_int_equal(sfi_timer_next(&timer, 1009), 1010);
    assert_int_equal(sfi_timer_next(&timer, 1010), 1020);
    assert_int_equal(sfi_timer_next(&timer, 98765), 98770);
    timer.period_ms = SFI_DUE_MAX_MS; /* it ends past the end of time */
    assert_int_equal(sfi_timer_next(&timer, 1000), 0);
    timer = some(SFI_AFTER, 0);
    assert_int_equal(sfi_timer_next(&timer, 1000), 0);
}

static void only_the_same_time_goes_on(void **state)
{
    struct sfi_timer every = some(SFI_EVERY, 0), cron = some(SFI_CRON, 0), other;
    (void)state;
    assert_true(sfi_timer_goes_on(&every, &every) && sfi_timer_goes_on(&cron, &cron));
    other = every;
    other.period_ms++;
    assert_false(sfi_timer_goes_on(&every, &other));
    other = cron;
    other.cron = sf_str("1 * * * *");
    assert_false(sfi_timer_goes_on(&cron, &other) || sfi_timer_goes_on(&cron, &every));
    other = some(SFI_AFTER, 0);
    assert_false(sfi_timer_goes_on(&other, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_timers_and_tokens_never_meet),
        cmocka_unit_test(a_record_comes_back_as_it_was_written_and_cut_it_is_refused),
        cmocka_unit_test(a_form_that_nobody_knows_was_written_by_a_newer_library),
        cmocka_unit_test(a_period_keeps_its_beat_however_late),
        cmocka_unit_test(only_the_same_time_goes_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
