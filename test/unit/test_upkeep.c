/* test_upkeep.c - the store's own work, where it has no thread: when it is done, how much at a time, and when again.
 *
 * On the store in memory, whose work is what the test says, and a clock that stands still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "run/part.h"
#include "run/runtime.h"
#include "support/rig.h"

static struct {
    int calls, says; /* 1: there is more; 0: there is not; negative: it failed */
} work;

static int tidy(struct sfi_store *store)
{
    (void)store;
    work.calls++;
    return work.says;
}

/* The store's functions, but that one. */
static void open_rig(struct rig *rig, void **state, struct sfi_store_ops *ops, int commit_inline)
{
    rig_open(rig, *state, (sf_options)SF_OPTIONS(.commit_inline = commit_inline));
    machine_advance_ms(&rig->machine, 1000);
    OK(sf_run_until_idle(rig->rt));
    *ops = *rig->rt->store->ops;
    ops->tidy = tidy;
    rig->rt->store->ops = ops;
    work.calls = work.says = 0;
}

static void it_waits_until_nothing_was_committed_for_10_ms(void **state)
{
    struct rig rig;
    struct sfi_store_ops ops;
    open_rig(&rig, state, &ops, 1);
    assert_int_equal(sf_timeout_ms(rig.rt), -1);
    for (int i = 0; i < 3; i++) {
        say(rig.rt, 1);
        OK(sf_run_until_idle(rig.rt));
        assert_int_equal(sf_timeout_ms(rig.rt), 10);
        machine_advance_ms(&rig.machine, 9);
        OK(sf_run_until_idle(rig.rt));
        assert_int_equal(work.calls, 0);
    }
    assert_int_equal(sf_timeout_ms(rig.rt), 1);
    machine_advance_ms(&rig.machine, 1);
    OK(sf_step(rig.rt, 0));
    assert_int_equal(work.calls, 1);
    assert_int_equal(sf_timeout_ms(rig.rt), -1);
    rig_close(&rig);
}

static void it_goes_on_a_slice_a_step_and_tries_again_after_a_second(void **state)
{
    struct rig rig;
    struct sfi_store_ops ops;
    open_rig(&rig, state, &ops, 1);
    say(rig.rt, 1);
    OK(sf_run_until_idle(rig.rt));
    machine_advance_ms(&rig.machine, 10);
    work.says = 1;
    for (int i = 1; i <= 5; i++) {
        OK(sf_step(rig.rt, 0));
        assert_int_equal(work.calls, i);
        assert_int_equal(sf_timeout_ms(rig.rt), 0);
    }
    work.says = SF_EDISK;
    OK(sf_step(rig.rt, 0)); /* nobody's business */
    assert_int_equal(work.calls, 6);
    assert_int_equal(sf_timeout_ms(rig.rt), 1000);
    machine_advance_ms(&rig.machine, 999);
    OK(sf_step(rig.rt, 0));
    assert_int_equal(work.calls, 6);
    machine_advance_ms(&rig.machine, 1);
    work.says = 0;
    OK(sf_step(rig.rt, 0));
    assert_int_equal(work.calls, 7);
    assert_int_equal(sf_timeout_ms(rig.rt), -1);
    rig_close(&rig);
}

static void it_is_not_done_while_a_commit_is_under_way(void **state)
{
    struct rig rig;
    struct sfi_store_ops ops;
    open_rig(&rig, state, &ops, 1);
    say(rig.rt, 1);
    OK(sf_run_until_idle(rig.rt));
    tell(&rig, "mem.settle.before", ALWAYS);
    say(rig.rt, 2);
    REFUSED(sf_step(rig.rt, 0), SF_EDISK);
    assert_int_equal(sfi_part_upkeep.due(rig.rt), 0);
    machine_advance_ms(&rig.machine, 100);
    REFUSED(sf_step(rig.rt, 0), SF_EDISK);
    assert_int_equal(work.calls, 0);
    rig_close(&rig);
}

static void a_store_with_a_thread_does_it_itself(void **state)
{
    struct rig rig;
    struct sfi_store_ops ops;
    open_rig(&rig, state, &ops, 0);
    say(rig.rt, 1);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(sf_timeout_ms(rig.rt), -1);
    machine_advance_ms(&rig.machine, 1000);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(work.calls, 0);
    rig_close(&rig);
}

/* What an earlier run left. */
static void it_is_looked_for_when_the_database_is_opened(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.commit_inline = 1));
    rig_crash(&rig);
    struct sfi_store *store;
    OK(sfi_mem_open(&rig.machine.sys, rig.disk, &store));
    struct sfi_store_ops ops = *store->ops;
    ops.tidy = tidy;
    store->ops = &ops;
    work.calls = work.says = 0;
    OK(sfi_runtime_open_with(&rig.machine.sys, store, &rig.options, &rig.rt));
    OK(sf_step(rig.rt, 0));
    assert_int_equal(work.calls, 1);
    OK(sf_source_open(rig.rt, "input", 0, &rig.source));
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_waits_until_nothing_was_committed_for_10_ms),
        TEST(it_goes_on_a_slice_a_step_and_tries_again_after_a_second),
        TEST(it_is_not_done_while_a_commit_is_under_way),
        TEST(a_store_with_a_thread_does_it_itself),
        TEST(it_is_looked_for_when_the_database_is_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
