/* test_cron.c - times by the clock, against a calendar that counts every minute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "actor/cron.h"
#include "support/support.h"

#define MINUTE_MS UINT64_C(60000)

static uint64_t at(int year, int month, int day, int hour, int minute)
{
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute};
    return (uint64_t)timegm(&tm) * 1000;
}

static struct sfi_cron parsed(const char *text)
{
    struct sfi_cron cron;
    OK(sfi_cron_parse(sf_str(text), &cron));
    return cron;
}

static uint64_t next(const char *text, uint64_t after_ms)
{
    struct sfi_cron cron = parsed(text);
    return sfi_cron_next(&cron, after_ms);
}

#define IS(text, after, wanted) assert_int_equal(next(text, after), wanted)

static void every_minute_is_the_next_minute(void **state)
{
    uint64_t now = at(2026, 11, 21, 10, 30);
    (void)state;
    IS("* * * * *", now, now + MINUTE_MS);
    IS("* * * * *", now - 1, now);
    IS(" *\t* *  * * ", now + 59999, now + MINUTE_MS);
}

static void a_nightly_job_comes_at_its_hour_and_not_twice(void **state)
{
    (void)state;
    IS("30 2 * * *", at(2026, 11, 21, 2, 29), at(2026, 11, 21, 2, 30));
    IS("30 2 * * *", at(2026, 11, 21, 2, 30), at(2026, 11, 22, 2, 30));
    IS("30 2 * * *", at(2026, 12, 31, 23, 59), at(2027, 1, 1, 2, 30));
}

static void lists_ranges_and_steps_are_sets(void **state)
{
    uint64_t nine = at(2026, 11, 21, 9, 0);
    (void)state;
    IS("5,10-12,50 * * * *", nine, nine + 5 * MINUTE_MS);
    IS("5,10-12,50 * * * *", nine + 5 * MINUTE_MS, nine + 10 * MINUTE_MS);
    IS("5,10-12,50 * * * *", nine + 12 * MINUTE_MS, nine + 50 * MINUTE_MS);
    IS("*/20 * * * *", nine + 1, nine + 20 * MINUTE_MS);
    IS("10-40/15 * * * *", nine + 10 * MINUTE_MS, nine + 25 * MINUTE_MS);
    IS("10-40/15 * * * *", nine + 40 * MINUTE_MS, nine + 70 * MINUTE_MS);
}

static void day_and_weekday_both_given_either_matches(void **state)
{
    (void)state; /* 21 November 2026 is a Saturday */
    IS("0 0 25 * 1", at(2026, 11, 21, 0, 0), at(2026, 11, 23, 0, 0));
    IS("0 0 25 * 1", at(2026, 11, 23, 0, 0), at(2026, 11, 25, 0, 0));
    IS("0 0 * * 1", at(2026, 11, 23, 0, 0), at(2026, 11, 30, 0, 0));
    IS("0 0 25 * *", at(2026, 11, 23, 0, 0), at(2026, 11, 25, 0, 0));
    IS("0 0 */25 * 1", at(2026, 11, 21, 0, 0), at(2027, 2, 1, 0, 0)); /* begins with *: both */
}

static void sunday_is_0_and_7(void **state)
{
    (void)state;
    IS("0 0 * * 0", at(2026, 11, 21, 0, 0), at(2026, 11, 22, 0, 0));
    IS("0 0 * * 7", at(2026, 11, 21, 0, 0), at(2026, 11, 22, 0, 0));
    IS("0 0 * * 5-7", at(2026, 11, 21, 0, 0), at(2026, 11, 22, 0, 0));
}

static void a_leap_day_is_found_after_years(void **state)
{
    (void)state;
    IS("0 12 29 2 *", at(2024, 2, 29, 12, 0), at(2028, 2, 29, 12, 0));
    IS("0 12 29 2 *", at(2096, 2, 29, 12, 0), at(2104, 2, 29, 12, 0));
    /* a leap day in the first of seven days a week, which needs both: 40 years across 2100 */
    IS("0 0 29 2 */7", at(2088, 2, 29, 0, 0), at(2128, 2, 29, 0, 0));
}

static void what_is_no_time_is_refused_with_its_rule(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {{"", "minute is missing"},
               {"* * * *", "weekday is missing"},
               {"* * * * * *", "more than five"},
               {"60 * * * *", "minute is out of range (0 to 59)"},
               {"* 24 * * *", "hour is out of range"},
               {"* * 0 * *", "day is out of range (1 to 31)"},
               {"* * * 13 *", "month is out of range"},
               {"* * * * 8", "weekday is out of range"},
               {"10-5 * * * *", "out of range"},
               {"5- * * * *", "range without an end"},
               {"5/10 * * * *", "step after a single number"},
               {"*/0 * * * *", "step that is not 1 or more"},
               {"*/ * * * *", "step that is not 1 or more"},
               {"x * * * *", "not a number"},
               {"1, * * * *", "not a number"},
               {"-1 * * * *", "not a number"},
               {"1x * * * *", "does not belong"},
               {"* * * jan *", "not a number"},
               {"4294967297 * * * *", "out of range"},
               {"0 0 30 2 *", "'0 0 30 2 *' never comes"},
               {"0 0 31 4,6,9,11 *", "never comes"}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sfi_cron cron;
        REFUSED(sfi_cron_parse(sf_str(bad[i].text), &cron), SF_EINVAL);
        SAYS(bad[i].says);
    }
}

static void a_text_is_bounded_and_not_NULL(void **state)
{
    char text[SFI_CRON_TEXT_MAX + 2];
    struct sfi_cron cron;
    (void)state;
    memset(text, ' ', sizeof text);
    memcpy(text, "* * * * *", 9);
    OK(sfi_cron_parse(SF_BYTES(text, SFI_CRON_TEXT_MAX), &cron));
    REFUSED(sfi_cron_parse(SF_BYTES(text, SFI_CRON_TEXT_MAX + 1), &cron), SF_EINVAL);
    REFUSED(sfi_cron_parse(SF_NONE, &cron), SF_EINVAL);
    memset(text, '0', sizeof text); /* zeroes in front are no number of their own */
    memcpy(text + 100, "5 * * * *", 9);
    OK(sfi_cron_parse(SF_BYTES(text, 109), &cron));
}

/* -- against a calendar that counts ------------------------------------------------------------ */

static int matches_day(const struct sfi_cron *cron, const struct tm *tm)
{
    int day = cron->days >> tm->tm_mday & 1, weekday = cron->weekdays >> tm->tm_wday & 1;
    if (!(cron->months >> (tm->tm_mon + 1) & 1))
        return 0;
    return cron->is_any_day || cron->is_any_weekday ? day && weekday : day || weekday;
}

/* Every minute of so many days, each looked at for itself. */
static void compare_with_counting(const char *text, uint64_t from_ms, int days)
{
    struct sfi_cron cron = parsed(text);
    uint64_t expected = sfi_cron_next(&cron, from_ms - 1);
    for (int day = 0; day < days; day++) {
        time_t midnight = (time_t)(from_ms / 1000) + (time_t)day * 86400;
        struct tm tm;
        gmtime_r(&midnight, &tm);
        if (!matches_day(&cron, &tm))
            continue;
        for (int minute = 0; minute < 1440; minute++) {
            if (!(cron.hours >> minute / 60 & 1) || !(cron.minutes >> minute % 60 & 1))
                continue;
            uint64_t now = ((uint64_t)midnight + (uint64_t)minute * 60) * 1000;
            if (now != expected)
                fail_msg("'%s': %llu was expected, %llu came", text, (unsigned long long)expected,
                         (unsigned long long)now);
            expected = sfi_cron_next(&cron, now);
        }
    }
    assert_true(expected >= from_ms + (uint64_t)days * 86400000);
}

static void it_agrees_with_counting_minutes_for_thirty_years(void **state)
{
    static const char *const texts[] = {"0 3 * * *",      "*/7 */5 1-7 * 1",  "30 2 29 2 *",
                                        "59 23 31 * *",   "0 0 13 * 5",       "15 6,18 */3 2-11/3 *",
                                        "0 12 1 1 *",     "5-50/9 0-4 * 6 */2"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        compare_with_counting(texts[i], at(1990 + (int)i * 14, 1, 1, 0, 0), 30 * 365 + 7);
}

static unsigned drawn(uint64_t *random, unsigned below)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return (unsigned)(*random >> 20) % below;
}

static void draw_field(uint64_t *random, char *out, size_t size, unsigned first, unsigned last)
{
    unsigned a = first + drawn(random, last - first + 1), b = a + drawn(random, last - a + 1);
    switch (drawn(random, 5)) {
    case 0:
        snprintf(out, size, "%u", a);
        break;
    case 1:
        snprintf(out, size, "%u-%u", a, b);
        break;
    case 2:
        snprintf(out, size, "%u-%u/%u,%u", a, b, 1 + drawn(random, 9), first);
        break;
    case 3:
        snprintf(out, size, "*/%u", 1 + drawn(random, 9));
        break;
    default:
        snprintf(out, size, "*");
    }
}

static void it_agrees_with_counting_for_times_drawn_at_random(void **state)
{
    uint64_t random = 88172645463325252u;
    int compared = 0;
    (void)state;
    for (int i = 0; i < 200; i++) {
        char field[5][48], text[256];
        struct sfi_cron cron;
        draw_field(&random, field[0], sizeof field[0], 0, 59);
        draw_field(&random, field[1], sizeof field[1], 0, 23);
        draw_field(&random, field[2], sizeof field[2], 1, 31);
        draw_field(&random, field[3], sizeof field[3], 1, 12);
        draw_field(&random, field[4], sizeof field[4], 0, 7);
        snprintf(text, sizeof text, "%s %s %s %s %s", field[0], field[1], field[2], field[3],
                 field[4]);
        if (sfi_cron_parse(sf_str(text), &cron) < 0)
            continue; /* it never comes */
        compare_with_counting(text, at(2000 + i, 1 + i % 12, 1 + i % 28, 0, 0), 400);
        compared++;
    }
    assert_true(compared > 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_minute_is_the_next_minute),
        cmocka_unit_test(a_nightly_job_comes_at_its_hour_and_not_twice),
        cmocka_unit_test(lists_ranges_and_steps_are_sets),
        cmocka_unit_test(day_and_weekday_both_given_either_matches),
        cmocka_unit_test(sunday_is_0_and_7),
        cmocka_unit_test(a_leap_day_is_found_after_years),
        cmocka_unit_test(what_is_no_time_is_refused_with_its_rule),
        cmocka_unit_test(a_text_is_bounded_and_not_NULL),
        cmocka_unit_test(it_agrees_with_counting_minutes_for_thirty_years),
        cmocka_unit_test(it_agrees_with_counting_for_times_drawn_at_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
