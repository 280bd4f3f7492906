/* test_expiry.c - when something is over, by any clock and any times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actor/expiry.h"
#include "support/support.h"

static void it_is_over_from_its_millisecond_on(void **state)
{
    (void)state;
    struct sfi_expiry expiry = {.after_ms = 10, .since = 5};
    assert_int_equal(sfi_expiry_is_over(&expiry, 100, 109), 0);
    assert_int_equal(sfi_expiry_is_over(&expiry, 100, 110), 1);
    assert_int_equal(sfi_expiry_is_over(&expiry, 100, UINT64_MAX), 1);
    assert_int_equal(sfi_expiry_is_over(&expiry, 100, 0), 0); /* a clock set back */
    assert_int_equal(sfi_expiry_is_over(&expiry, SFI_TOUCHED_UNKNOWN, 14), 0);
    assert_int_equal(sfi_expiry_is_over(&expiry, SFI_TOUCHED_UNKNOWN, 15), 1);
}

static void at_the_end_of_time_nothing_wraps_around(void **state)
{
    (void)state;
    struct sfi_expiry expiry = {.after_ms = UINT64_MAX, .since = 1};
    assert_int_equal(sfi_expiry_is_over(&expiry, UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(sfi_expiry_is_over(&expiry, UINT64_MAX - 1, UINT64_MAX), 0);
    assert_int_equal(sfi_expiry_is_over(&expiry, 1, UINT64_MAX), 0);
    expiry.after_ms = 1;
    assert_int_equal(sfi_expiry_is_over(&expiry, UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(sfi_expiry_is_over(&expiry, UINT64_MAX - 1, UINT64_MAX), 1);
}

static void without_times_nothing_is_ever_over(void **state)
{
    (void)state;
    struct sfi_expiry expiry = {.after_ms = 0};
    assert_int_equal(sfi_expiry_is_over(&expiry, 1, UINT64_MAX), 0);
}

static void touched_only_rises_and_is_never_nothing(void **state)
{
    (void)state;
    struct sfi_expiry expiry = {.after_ms = 10}, never = {.after_ms = 0};
    assert_int_equal(sfi_expiry_touch(&expiry, 100, 120), 120);
    assert_int_equal(sfi_expiry_touch(&expiry, 100, 80), 100);
    assert_int_equal(sfi_expiry_touch(&expiry, 0, 0), SFI_TOUCHED_UNKNOWN);
    assert_int_equal(sfi_expiry_touch(&never, 0, 120), SFI_TOUCHED_UNKNOWN);
    assert_int_equal(sfi_expiry_touch(&never, 100, 120), 100);
}

static void the_first_time_that_is_declared_begins_the_count(void **state)
{
    (void)state;
    struct sfi_expiry expiry = {.after_ms = 0};
    assert_int_equal(sfi_expiry_declare(&expiry, 0, 0, 50), 0);
    assert_int_equal(sfi_expiry_declare(&expiry, 10, 0, 60), 1);
    assert_int_equal(expiry.since, 60);
    assert_int_equal(expiry.on_access, 0);
    assert_int_equal(sfi_expiry_declare(&expiry, 0, 20, 70), 0);
    assert_int_equal(expiry.since, 60);
    assert_int_equal(expiry.after_ms, 20);
    assert_int_equal(expiry.on_access, 1);
    assert_int_equal(sfi_expiry_declare(&expiry, 0, 0, 80), 1);
    assert_int_equal(expiry.since, 0);
    assert_int_equal(sfi_expiry_declare(&expiry, 1, 0, 0), 1); /* a clock that stands at nothing */
    assert_int_not_equal(expiry.since, 0);
}

static void two_times_or_an_absurd_one_are_refused(void **state)
{
    (void)state;
    const uint64_t most = 1000 * UINT64_C(366) * SF_DAY;
    assert_int_equal(sfi_expiry_check("value", "v", 0, 0), 0);
    assert_int_equal(sfi_expiry_check("value", "v", most, 0), 0);
    assert_int_equal(sfi_expiry_check("value", "v", 0, most), 0);
    REFUSED(sfi_expiry_check("value", "v", 1, 1), SF_EINVAL);
    SAYS("value 'v' expires after write and after access: set one of them");
    REFUSED(sfi_expiry_check("value", "v", most + 1, 0), SF_EINVAL);
    SAYS("more than a thousand years");
    REFUSED(sfi_expiry_check("value", "v", 0, (uint64_t)-1), SF_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_over_from_its_millisecond_on),
        cmocka_unit_test(at_the_end_of_time_nothing_wraps_around),
        cmocka_unit_test(without_times_nothing_is_ever_over),
        cmocka_unit_test(touched_only_rises_and_is_never_nothing),
        cmocka_unit_test(the_first_time_that_is_declared_begins_the_count),
        cmocka_unit_test(two_times_or_an_absurd_one_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
