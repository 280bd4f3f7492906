/* test_err.c - a sentence for each code, and what was being done in front of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "support/support.h"

static void every_error_code_of_the_header_has_its_name(void **state)
{
    const char *source = getenv("SOURCE");
    char path[300], line[200], name[64];
    int code, count = 0;
    (void)state;
    snprintf(path, sizeof path, "%.200s/include/statefun.h", source ? source : ".");
    FILE *header = fopen(path, "r");
    assert_non_null(header);
    while (fgets(line, sizeof line, header)) {
        if (sscanf(line, " %63[SF_A-Z] = %d", name, &code) != 2 || strncmp(name, "SF_E", 4) != 0)
            continue;
        count++;
        assert_int_equal(code, -count);
        assert_string_equal(sf_errname(code), name);
    }
    fclose(header);
    assert_true(count >= 16);
    assert_string_equal(sf_errname(-count - 1), "unknown");
    assert_string_equal(sf_errname(INT_MIN), "unknown");
    assert_string_equal(sf_errname(0), "success");
    assert_string_equal(sf_errname(INT_MAX), "success");
}

static void a_sentence_is_wrapped_on_its_way_out(void **state)
{
    (void)state;
    assert_int_equal(sfi_err(SF_EDISK, "page %d", 7), SF_EDISK);
    assert_int_equal(sfi_err_in(SF_EDISK, "open '%s'", "data"), SF_EDISK);
    assert_string_equal(sf_errmsg(), "open 'data': page 7");
    char endless[2000];
    memset(endless, 'x', sizeof endless - 1);
    endless[sizeof endless - 1] = 0;
    sfi_err(SF_EINVAL, "%s", endless);
    sfi_err_in(SF_EINVAL, "%s", endless);
    assert_true(strlen(sf_errmsg()) < sizeof endless);
}

static void a_sentence_is_kept_up_to_its_bound(void **state)
{
    char long_one[600];
    (void)state;
    memset(long_one, 'x', sizeof long_one - 1);
    long_one[511] = 0;
    sfi_err(SF_EINVAL, "%s", long_one);
    assert_string_equal(sf_errmsg(), long_one);
    long_one[511] = 'x';
    long_one[512] = 0;
    sfi_err(SF_EINVAL, "%s", long_one);
    assert_int_equal(strlen(sf_errmsg()), 511);
    long_one[255] = 0; /* what was being done leaves room for why it failed */
    sfi_err(SF_EINVAL, "why");
    sfi_err_in(SF_EINVAL, "%s", long_one);
    assert_int_equal(strlen(sf_errmsg()), 255 + strlen(": why"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_code_of_the_header_has_its_name),
        cmocka_unit_test(a_sentence_is_wrapped_on_its_way_out),
        cmocka_unit_test(a_sentence_is_kept_up_to_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
