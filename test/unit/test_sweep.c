/* test_sweep.c - every allocation failing, every store call failing, a crash at every one of them.
 *
 * The scenario (support/scenario.h) runs on a disk in memory that outlives the runtimes: once to
 * count, then once for each call that can fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>

#include "run/life.h"
#include "store/mem_store.h"
#include "support/scenario.h"

struct fixture {
    struct machine machine;
    struct scenario_sink sink;
    struct scenario scenario;
};

/* What the scenario is opened with: NULL, or budgets that keep next to nothing in memory. */
static const sf_options *budgets;
static const sf_options tiny = SF_OPTIONS(.mailbox_bytes_max = 1, .cache_bytes_max = 1);

static int open_memory(struct scenario *s, sf_runtime **out)
{
    struct sfi_store *store;
    int rc = sfi_mem_open(&s->machine->sys, s->disk, &store);
    return rc < 0 ? rc : sfi_runtime_open_with(&s->machine->sys, store, budgets, out);
}

static void setup(struct fixture *f)
{
    *f = (struct fixture){.scenario = {.open = open_memory}};
    machine_init(&f->machine);
    f->scenario.machine = &f->machine;
    f->scenario.sink = &f->sink;
    f->scenario.disk = sfi_mem_disk_new(sfi_sys_default());
    assert_non_null(f->scenario.disk);
}

static void teardown(struct fixture *f)
{
    sfi_mem_disk_free(f->scenario.disk);
    assert_int_equal(f->machine.live, 0);
}

static void count(uint64_t *allocations, uint64_t *faults)
{
    struct fixture f;
    setup(&f);
    scenario_run(&f.scenario);
    assert_string_equal(f.scenario.violation, "");
    *allocations = f.machine.allocations;
    *faults = f.machine.faults;
    teardown(&f);
}

static void every_allocation(int crashes, int for_good)
{
    uint64_t allocations, faults;
    count(&allocations, &faults);
    for (uint64_t n = 1; n <= allocations; n++) {
        struct fixture f;
        setup(&f);
        f.scenario.crashes = crashes;
        f.machine.fail_allocation = n;
        f.machine.fail_for_good = for_good;
        scenario_run(&f.scenario);
        if (f.scenario.violation[0])
            fail_msg("allocation %" PRIu64 " of %" PRIu64 ": %s", n, allocations,
                     f.scenario.violation);
        teardown(&f);
    }
    print_message("%" PRIu64 " allocations\n", allocations);
}

static void every_fault(int crashes)
{
    uint64_t allocations, faults;
    count(&allocations, &faults);
    assert_true(faults > 20);
    for (uint64_t n = 1; n <= faults; n++) {
        struct fixture f;
        setup(&f);
        f.scenario.crashes = crashes;
        f.machine.fail_fault = n;
        scenario_run(&f.scenario);
        if (f.scenario.violation[0])
            fail_msg("store call %" PRIu64 " of %" PRIu64 ": %s", n, faults, f.scenario.violation);
        teardown(&f);
    }
    print_message("%" PRIu64 " store calls\n", faults);
}

static void an_allocation_that_fails_once_loses_nothing(void **state)
{
    (void)state;
    every_allocation(0, 0);
}

static void an_allocation_that_fails_before_a_crash_loses_nothing(void **state)
{
    (void)state;
    every_allocation(1, 0);
}

static void memory_that_is_gone_until_a_restart_loses_nothing(void **state)
{
    (void)state;
    every_allocation(1, 1);
}

static void a_store_call_that_fails_once_loses_nothing(void **state)
{
    (void)state;
    every_fault(0);
}

static void a_crash_at_any_store_call_loses_nothing(void **state)
{
    (void)state;
    every_fault(1);
}

static void it_is_so_with_next_to_nothing_in_memory(void **state)
{
    (void)state;
    budgets = &tiny;
    every_allocation(0, 0);
    every_allocation(1, 0);
    every_allocation(1, 1);
    every_fault(0);
    every_fault(1);
    budgets = NULL;
}

/* If this passes, the sweep above could not see a sink that gets records twice. */
static void the_sweep_sees_a_sink_that_forgets(void **state)
{
    uint64_t allocations, faults, seen = 0;
    (void)state;
    count(&allocations, &faults);
    for (uint64_t n = 1; n <= faults; n++) {
        struct fixture f;
        setup(&f);
        f.scenario.crashes = 1;
        f.sink.forgets = 1;
        f.machine.fail_fault = n;
        scenario_run(&f.scenario);
        seen += f.scenario.violation[0] != 0;
        teardown(&f);
    }
    assert_true(seen > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocation_that_fails_once_loses_nothing),
        cmocka_unit_test(an_allocation_that_fails_before_a_crash_loses_nothing),
        cmocka_unit_test(memory_that_is_gone_until_a_restart_loses_nothing),
        cmocka_unit_test(a_store_call_that_fails_once_loses_nothing),
        cmocka_unit_test(a_crash_at_any_store_call_loses_nothing),
        cmocka_unit_test(it_is_so_with_next_to_nothing_in_memory),
        cmocka_unit_test(the_sweep_sees_a_sink_that_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
