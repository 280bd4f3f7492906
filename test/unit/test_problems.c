/* test_problems.c - lib/run/problems: sentences that say where something was met, in order, so many of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "run/problems.h"
#include "support/machine.h"
#include "support/support.h"

static void note_sentence(const char *sentence, void *userdata)
{
    note(userdata, "%s\n", sentence);
}

static void count_sentence(const char *sentence, void *userdata)
{
    (void)sentence;
    ++*(uint64_t *)userdata;
}

static void each_says_its_table_and_its_key(void **state)
{
    struct place *place = *state;
    struct sfi_problems problems;
    sfi_problems_init(&problems, sfi_sys_default());
    sfi_err(SF_ECORRUPT, "it is cut");
    OK(sfi_problems_add(&problems, sf_str("mailbox"), SF_BYTES("a \\\0~\x7f\xff", 7)));
    OK(sfi_problems_add(&problems, sf_str("state"), SF_NONE));
    OK(sfi_problems_add(&problems, sf_str("0123456789012345678901234567890123456789x"), SF_NONE));
    assert_int_equal(problems.count, 3);
    sfi_problems_tell(&problems, note_sentence, &place->notes);
    assert_string_equal(noted(&place->notes),
                        "table 'mailbox', key a\\x20\\x5c\\x00~\\x7f\\xff: it is cut\n"
                        "table 'state': it is cut\n"
                        "table '0123456789012345678901234567890123456789': it is cut\n");
    sfi_problems_fini(&problems);
}

/* Of a long one its beginning is shown, and that there is more. */
static void of_a_key_64_bytes_are_shown(void **state)
{
    struct place *place = *state;
    struct sfi_problems problems;
    char key[66], shown[300];
    memset(key, 'k', sizeof key);
    sfi_problems_init(&problems, sfi_sys_default());
    sfi_err(SF_ECORRUPT, "bad");
    OK(sfi_problems_add(&problems, sf_str("t"), SF_BYTES(key, 64)));
    OK(sfi_problems_add(&problems, sf_str("t"), SF_BYTES(key, 65)));
    sfi_problems_tell(&problems, note_sentence, &place->notes);
    snprintf(shown, sizeof shown, "table 't', key %.64s: bad\ntable 't', key %.64s...: bad\n", key,
             key);
    assert_string_equal(noted(&place->notes), shown);
    sfi_problems_fini(&problems);
}

static void all_are_counted_and_ten_thousand_told(void **state)
{
    struct sfi_problems problems;
    uint64_t told = 0;
    (void)state;
    sfi_problems_init(&problems, sfi_sys_default());
    sfi_err(SF_ECORRUPT, "bad");
    for (int i = 0; i < SFI_PROBLEMS_MAX + 5; i++)
        OK(sfi_problems_add(&problems, sf_str("t"), SF_BYTES(&i, sizeof i)));
    sfi_problems_tell(&problems, count_sentence, &told);
    assert_int_equal(told, 10000);
    assert_int_equal(problems.count, 10005);
    sfi_problems_fini(&problems);
}

static void without_memory_it_says_so_and_keeps_the_others(void **state)
{
    struct place *place = *state;
    struct sfi_problems problems;
    struct machine machine;
    machine_init(&machine);
    sfi_problems_init(&problems, &machine.sys);
    sfi_err(SF_ECORRUPT, "first");
    OK(sfi_problems_add(&problems, sf_str("t"), SF_NONE));
    machine.fail_allocation = machine.allocations + 1;
    machine.fail_for_good = 1;
    int rc = 0;
    for (int i = 0; i < 5000 && rc == 0; i++)
        rc = sfi_problems_add(&problems, sf_str("t"), SF_NONE);
    REFUSED(rc, SF_ENOMEM);
    sfi_problems_tell(&problems, note_sentence, &place->notes);
    HAS(noted(&place->notes), "table 't': first\n");
    sfi_problems_fini(&problems);
    assert_int_equal(machine.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_says_its_table_and_its_key),
        TEST(of_a_key_64_bytes_are_shown),
        TEST(all_are_counted_and_ten_thousand_told),
        TEST(without_memory_it_says_so_and_keeps_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
