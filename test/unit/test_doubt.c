/* test_doubt.c - when the wall clock is not believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "run/doubt.h"
#include "support/machine.h"
#include "support/support.h"

#define HOUR_US (3600 * INT64_C(1000000))

struct stage {
    struct machine machine;
    struct sfi_doubt doubt;
};

static struct stage begun(void)
{
    struct stage stage;
    machine_init(&stage.machine);
    stage.machine.now_ns = UINT64_C(1) << 60; /* so that there is room to go back */
    stage.machine.sys.ctx = &stage.machine;
    sfi_doubt_begin(&stage.doubt, &stage.machine.sys);
    return stage;
}

static int is_on(struct stage *stage)
{
    stage->machine.sys.ctx = &stage->machine;
    return sfi_doubt_is_on(&stage->doubt, &stage->machine.sys);
}

/* The first minute is over. */
static struct stage settled(void)
{
    struct stage stage = begun();
    machine_advance_ms(&stage.machine, SF_MINUTE);
    return stage;
}

static void the_first_minute_is_one_of_doubt(void **state)
{
    (void)state;
    struct stage stage = begun();
    assert_int_equal(is_on(&stage), 1);
    machine_advance_ms(&stage.machine, SF_MINUTE - 1);
    assert_int_equal(is_on(&stage), 1);
    machine_advance_ms(&stage.machine, 1);
    assert_int_equal(is_on(&stage), 0);
}

static void a_jump_of_more_than_an_hour_begins_a_minute_of_doubt(void **state)
{
    (void)state;
    for (int way = -1; way <= 1; way += 2) {
        struct stage stage = settled();
        stage.machine.wall_ahead_us = way * HOUR_US;
        assert_int_equal(is_on(&stage), 0); /* an hour is not more */
        stage.machine.wall_ahead_us = way * (2 * HOUR_US + 1000);
        assert_int_equal(is_on(&stage), 1);
        machine_advance_ms(&stage.machine, SF_MINUTE - 1);
        assert_int_equal(is_on(&stage), 1);
        machine_advance_ms(&stage.machine, 1);
        assert_int_equal(is_on(&stage), 0);
    }
}

static void a_clock_that_drifts_is_believed(void **state)
{
    (void)state;
    struct stage stage = settled();
    for (int day = 0; day < 1000; day++) {
        machine_advance_ms(&stage.machine, SF_DAY);
        stage.machine.wall_ahead_us += 20 * INT64_C(1000000);
        assert_int_equal(is_on(&stage), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_minute_is_one_of_doubt),
        cmocka_unit_test(a_jump_of_more_than_an_hour_begins_a_minute_of_doubt),
        cmocka_unit_test(a_clock_that_drifts_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
