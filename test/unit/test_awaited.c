/* test_awaited.c - sf_verify(): whoever awaits something gets it, and what stands behind it is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/endian.h"
#include "run/awaited.h"
#include "support/machine.h"
#include "support/support.h"

static struct machine machine;
static struct sfi_awaited_notes notes;

static int setup(void **state)
{
    (void)state;
    machine_init(&machine);
    sfi_awaited_init(&notes, &machine.sys);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sfi_awaited_fini(&notes);
    return machine.live == 0 ? 0 : -1;
}

/* Type 7, id "x" or "y". */
static void held(const char *id, uint32_t awaited, uint32_t kept, uint64_t purged_before)
{
    unsigned char key[6] = {0, 0, 0, 7, 1, (unsigned char)id[0]};
    struct sfi_held row = {.reasons = SFI_HELD_OPERATION,
                           .purged_before = purged_before,
                           .awaited = {40, awaited, kept}};
    OK(sfi_awaited_held(&notes, SF_BYTES(key, sizeof key), &row));
}

static void operation(const char *id)
{
    OK(sfi_awaited_operation(&notes, 7, sf_str(id)));
}

static void answer(const char *id, uint64_t sequence)
{
    OK(sfi_awaited_answer(&notes, 7, sf_str(id), sequence));
}

static void who_awaits_has_as_many_operations_and_answers(void **state)
{
    (void)state;
    assert_int_equal(sfi_awaited_compare(&notes), 0);
    operation("x");
    held("x", 3, 0, 0);
    answer("x", 9);
    operation("x");
    held("y", 1, 0, 0);
    operation("y");
    assert_int_equal(sfi_awaited_compare(&notes), 0);
}

static void an_answer_that_is_missing_is_found(void **state)
{
    (void)state;
    held("x", 2, 0, 0);
    operation("x");
    held("y", 1, 0, 0);
    operation("y");
    assert_int_equal(sfi_awaited_compare(&notes), 1);
}

static void an_operation_that_nobody_awaits_is_found(void **state)
{
    (void)state;
    operation("x");
    answer("y", 9);
    assert_int_equal(sfi_awaited_compare(&notes), 2);
}

/* It is dropped where it is met. */
static void an_answer_from_before_a_purge_is_awaited_by_nobody(void **state)
{
    (void)state;
    held("x", 0, 0, 10);
    answer("x", 9);
    assert_int_equal(sfi_awaited_compare(&notes), 0);
    answer("x", 10);
    assert_int_equal(sfi_awaited_compare(&notes), 1);
}

static void what_stands_behind_is_counted(void **state)
{
    (void)state;
    held("x", 1, 2, 0);
    operation("x");
    OK(sfi_awaited_kept(&notes, 40));
    assert_int_equal(sfi_awaited_compare(&notes), 1);
    OK(sfi_awaited_kept(&notes, 40));
    assert_int_equal(sfi_awaited_compare(&notes), 0);
    OK(sfi_awaited_kept(&notes, 41));
    assert_int_equal(sfi_awaited_compare(&notes), 1);
}

static void without_memory_nothing_is_noted(void **state)
{
    (void)state;
    machine.fail_allocation = machine.allocations + 1;
    REFUSED(sfi_awaited_kept(&notes, 40), SF_ENOMEM);
    assert_int_equal(sfi_awaited_compare(&notes), 0);
}

int main(void)
{
#define AWAITED_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        AWAITED_TEST(who_awaits_has_as_many_operations_and_answers),
        AWAITED_TEST(an_answer_that_is_missing_is_found),
        AWAITED_TEST(an_operation_that_nobody_awaits_is_found),
        AWAITED_TEST(an_answer_from_before_a_purge_is_awaited_by_nobody),
        AWAITED_TEST(what_stands_behind_is_counted),
        AWAITED_TEST(without_memory_nothing_is_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
