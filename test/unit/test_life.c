/* test_life.c - what a runtime is opened with, what closing it leaves, and what stands in a half-made one's way.
 *
 * On the store in memory; the bounds are read from the parts that keep them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "run/options.h"
#include "run/runtime.h"
#include "support/rig.h"

#define MIB (UINT64_C(1) << 20)

static void bounds_that_are_not_given_are_those_of_the_header(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    rig_crash(&rig);
    rig.options.inbox_ms_max = 0; /* which the rig sets, since few tests want it */
    rig_start(&rig);
    assert_int_equal(rig.rt->payload_max, MIB);
    assert_int_equal(rig.rt->epoch_turns_max, 65536);
    assert_int_equal(rig.rt->inbox.bytes_max, 16 * MIB);
    assert_int_equal(rig.rt->inbox.wait_ms_max, 100);
    assert_int_equal(rig.rt->mailbox.bytes_max, 64 * MIB);
    assert_int_equal(rig.rt->actors.bytes_max, 256 * MIB);
    assert_int_equal(rig.rt->ceiling.bytes_max, 32 * 1024 * MIB);
    assert_int_equal(rig.rt->egresses.records_max, 1 << 22);
    assert_int_equal(rig.rt->egresses.bytes_max, 4096 * MIB);
    assert_int_equal(rig.rt->dead.count_max, 65536);
    assert_int_equal(rig.rt->dead.bytes_max, 64 * MIB);
    assert_int_equal(rig.rt->turns.work.bytes_max, 64 * MIB);
    rig_close(&rig);
}

/* So much is split; what is given beside it stays, and takes nothing from the others. */
static void what_memory_max_allows_is_split_between_four_bounds(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.memory_max = 64 * MIB));
    assert_int_equal(rig.rt->actors.bytes_max, 32 * MIB);
    assert_int_equal(rig.rt->mailbox.bytes_max, 8 * MIB);
    assert_int_equal(rig.rt->inbox.bytes_max, 2 * MIB);
    rig_crash(&rig);
    rig.options.mailbox_bytes_max = 3 * MIB;
    rig_start(&rig);
    assert_int_equal(rig.rt->actors.bytes_max, 32 * MIB);
    assert_int_equal(rig.rt->mailbox.bytes_max, 3 * MIB);
    assert_int_equal(rig.rt->inbox.bytes_max, 2 * MIB);
    rig_close(&rig);
}

static void the_changelog_has_its_part_of_memory_max(void **state)
{
    (void)state;
    sf_options given = SF_OPTIONS(.memory_max = 64 * MIB), out;
    OK(sfi_options_take(&given, &out));
    assert_int_equal(out.log_records_max, 16 * MIB / 32);
    given.memory_max = UINT64_MAX;
    OK(sfi_options_take(&given, &out));
    assert_int_equal(out.log_records_max, 1 << 30);
    given.log_records_max = 7;
    OK(sfi_options_take(&given, &out));
    assert_int_equal(out.log_records_max, 7);
    OK(sfi_options_take(NULL, &out));
    assert_int_equal(out.log_records_max, 1 << 22);
    given.memory_max = MIB - 1;
    REFUSED(sfi_options_take(&given, &out), SF_EINVAL);
    SAYS("memory_max");
}

static void a_small_database_bounds_what_lies_in_it(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.store_bytes_max = 64 * MIB));
    assert_int_equal(rig.rt->egresses.bytes_max, 8 * MIB);
    assert_int_equal(rig.rt->dead.bytes_max, 4 * MIB);
    assert_int_equal(rig.rt->turns.work.bytes_max, 4 * MIB);
    rig_close(&rig);
}

static void a_runtime_that_gets_no_memory_closes_its_store(void **state)
{
    (void)state;
    struct machine machine;
    struct sfi_store *store;
    sf_options options = SF_OPTIONS(.relaxed = 0);
    machine_init(&machine);
    struct sfi_mem_disk *disk = sfi_mem_disk_new(&machine.sys);
    for (uint64_t n = 1, rc = 1; rc; n++) {
        sf_runtime *rt = NULL;
        OK(sfi_mem_open(&machine.sys, disk, &store));
        machine.fail_allocation = machine.allocations + n;
        rc = sfi_runtime_open_with(&machine.sys, store, &options, &rt) != 0;
        machine.fail_allocation = 0;
        if (rc)
            SAYS("out of memory");
        else
            OK(sf_runtime_close(rt));
    }
    sfi_mem_disk_free(disk);
    assert_int_equal(machine.live, 0);
}

/* -- wakes --------------------------------------------------------------------------------------- */

static int nothing(sf_turn *turn)
{
    (void)turn;
    return 0;
}

static const sf_type idle_type = SF_TYPE("test/idle", .handler = nothing);

static void what_is_registered_wakes_who_drives(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    assert_int_equal(is_readable(rig.rt, 0), 0);
    OK(sf_register(rig.rt, &idle_type, NULL));
    assert_int_equal(is_readable(rig.rt, 0), 1);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(is_readable(rig.rt, 0), 0);
    OK(sf_egress_register(rig.rt, "other", note_records, rig.notes));
    assert_int_equal(is_readable(rig.rt, 0), 1);
    OK(sf_run_until_idle(rig.rt));
    rig_close(&rig);
}

static void what_comes_from_outside_wakes_who_drives(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    for (int what = 0; what < 5; what++) {
        OK(sf_run_until_idle(rig.rt));
        assert_int_equal(is_readable(rig.rt, 0), 0);
        if (what == 0)
            say(rig.rt, 1);
        else if (what == 1)
            feed(&rig, 1, 1);
        else if (what == 2)
            OK(sf_pause(rig.rt, sf_addr(SPEAKER, "b"), "stop"));
        else if (what == 3)
            OK(sf_then(rig.rt, 1, note_done, rig.notes)); /* durable already */
        else
            OK(sf_ask_then(rig.rt, sf_addr("test/counter", "b"), "get", SF_NONE, 5, note_answer,
                           rig.notes));
        assert_int_equal(is_readable(rig.rt, 0), 1);
        assert_int_equal(sf_timeout_ms(rig.rt), 0);
    }
    OK(sf_run_until_idle(rig.rt));
    rig_close(&rig);
}

/* -- the end ------------------------------------------------------------------------------------- */

static void closing_on_a_disk_that_refuses_tells_all_who_wait_and_says_why(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    int64_t ticket = say(rig.rt, 1);
    OK(sf_then(rig.rt, ticket, note_done, rig.notes));
    OK(sf_ask_then(rig.rt, sf_addr(SPEAKER, "a"), "say", SF_OF((uint64_t){2}), -1, note_answer,
                   rig.notes));
    sf_source_close(rig.source);
    tell(&rig, "mem.settle.before", ALWAYS);
    REFUSED(sf_runtime_close(rig.rt), SF_EDISK);
    SAYS("mem.settle.before");
    char expected[60];
    snprintf(expected, sizeof expected, "done 1=%d answer %d ", SF_ECLOSED, SF_ECLOSED);
    came(&rig, expected);
    sfi_mem_disk_free(rig.disk);
    assert_int_equal(rig.machine.live, 0);
}

static void closing_tries_once_more_what_had_stalled(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    int64_t ticket = say(rig.rt, 1);
    OK(sf_then(rig.rt, ticket, note_done, rig.notes));
    tell(&rig, "mem.settle.before", 2);
    REFUSED(sf_step(rig.rt, 0), SF_EDISK);
    sf_source_close(rig.source);
    OK(sf_runtime_close(rig.rt));
    came(&rig, "done 1=0 ");
    sfi_mem_disk_free(rig.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bounds_that_are_not_given_are_those_of_the_header),
        TEST(what_memory_max_allows_is_split_between_four_bounds),
        TEST(the_changelog_has_its_part_of_memory_max),
        TEST(a_small_database_bounds_what_lies_in_it),
        TEST(a_runtime_that_gets_no_memory_closes_its_store),
        TEST(what_is_registered_wakes_who_drives),
        TEST(what_comes_from_outside_wakes_who_drives),
        TEST(closing_on_a_disk_that_refuses_tells_all_who_wait_and_says_why),
        TEST(closing_tries_once_more_what_had_stalled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
