/* test_recover.c - what is opened: every row of table meta is believed or refused, and nothing is forgotten.
 *
 * On the store in memory, in which the test puts a row that should not be there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "actor/key.h"
#include "run/part.h"
#include "run/runtime.h"
#include "store/record.h"
#include "support/rig.h"

static void put(struct rig *rig, enum sfi_table table, sf_bytes key, enum sfi_record_kind kind,
                size_t size)
{
    struct sfi_batch batch;
    sfi_batch_init(&batch, &rig->machine.sys);
    unsigned char *record = sfi_batch_put(&batch, table, key, SFI_RECORD_HEADER + size);
    memset(record, 0, SFI_RECORD_HEADER + size);
    sfi_record_finish(record, SFI_RECORD_HEADER + size, kind, key);
    sfi_batch_seal(&batch, rig->rt->store->durable + 1);
    assert_int_equal(sfi_store_submit(rig->rt->store, &batch), 0);
    assert_int_equal(sfi_store_settle(rig->rt->store, 1), SFI_DURABLE);
    sfi_batch_fini(&batch);
}

/* Opens anew with a row more. */
static void is_refused(void **state, enum sfi_table table, sf_bytes key, enum sfi_record_kind kind,
                       size_t size, int code, const char *why)
{
    struct rig rig;
    struct sfi_store *store;
    sf_runtime *rt = NULL;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    feed(&rig, 1, 1);
    OK(sf_run_until_idle(rig.rt));
    put(&rig, table, key, kind, size);
    rig_crash(&rig);
    OK(sfi_mem_open(&rig.machine.sys, rig.disk, &store));
    REFUSED(sfi_runtime_open_with(&rig.machine.sys, store, &rig.options, &rt), code);
    SAYS(why);
    assert_null(rt);
    sfi_mem_disk_free(rig.disk);
    assert_int_equal(rig.machine.live, 0);
}

static void a_row_that_says_nothing_true_is_refused_whatever_comes_after_it(void **state)
{
    is_refused(state, SFI_META, SF_BYTES("\1", 1), SFI_RECORD_COUNTERS, 9, SF_ECORRUPT, "counters");
    is_refused(state, SFI_META, SF_BYTES("\2!", 2), SFI_RECORD_TYPE, 9, SF_ECORRUPT, "type");
    is_refused(state, SFI_META, SF_BYTES("\3\0\0\0\0a", 6), SFI_RECORD_SOURCE, 9, SF_ECORRUPT,
               "source");
    is_refused(state, SFI_META, SF_BYTES("\4a", 2), SFI_RECORD_EGRESS, 9, SF_ECORRUPT, "egress");
    is_refused(state, SFI_META, SF_BYTES("\2!", 2), SFI_RECORD_SOURCE, 8, SF_ECORRUPT, "kind");
}

static void a_row_of_a_newer_library_is_refused_as_such(void **state)
{
    is_refused(state, SFI_META, SF_BYTES("\5name", 5), SFI_RECORD_SOURCE, 8, SF_ENEWER,
               "records that this library does not know");
}

static void rows_of_holds_that_name_nobody_are_refused(void **state)
{
    is_refused(state, SFI_HELD, SF_BYTES("\0\0\0\1", 4), SFI_RECORD_HELD, 36, SF_ECORRUPT, "no reason");
    is_refused(state, SFI_PARKED, SF_BYTES("\0\0\0\1", 4), SFI_RECORD_MESSAGE, 40, SF_ECORRUPT,
               "key of 4 bytes");
    is_refused(state, SFI_PARKED, SF_BYTES("\0\0\0\x9\1a\0\0\0\0\0\0\0\1", 14), SFI_RECORD_MESSAGE, 40,
               SF_ECORRUPT, "type that does not exist");
    is_refused(state, SFI_PARKED, SF_BYTES("\0\0\0\1\1a\0\0\0\0\1\0\0\0", 14), SFI_RECORD_MESSAGE, 40,
               SF_ECORRUPT, "sequence that was never given");
}

/* -- what is remembered -------------------------------------------------------------------------- */

static int reject(sf_turn *turn)
{
    return sf_reject(turn, "never");
}

static const sf_type poison = SF_TYPE("test/poison", .handler = reject);

static void the_marks_of_dead_letters_are_those_of_before(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.dead_max = 3));
    OK(sf_register(rig.rt, &poison, NULL));
    for (int i = 0; i < 10; i++)
        OK(sf_send(rig.rt, sf_addr("test/poison", "a"), "", SF_NONE));
    OK(sf_run_until_idle(rig.rt));
    struct sfi_dead before = rig.rt->dead;
    assert_int_equal(before.count, 3);
    assert_int_equal(before.first, 8);
    assert_int_equal(stats_of(rig.rt).dead_evicted, 7);
    rig_crash(&rig);
    rig_start(&rig);
    assert_int_equal(rig.rt->dead.first, before.first);
    assert_int_equal(rig.rt->dead.next, before.next);
    assert_int_equal(rig.rt->dead.count, before.count);
    assert_int_equal(rig.rt->dead.bytes, before.bytes);
    rig_close(&rig);
}

/* A format before this one counted no dead letters: all that were ever numbered are taken for there. */
static void counters_of_version_1_know_how_many_letters_there_can_be(void **state)
{
    unsigned char record[SFI_RECORD_HEADER + 24] = {0};
    struct rig rig;
    struct sfi_key key;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    struct sfi_dead before = rig.rt->dead;
    struct sfi_counters counters = rig.rt->epoch.counters;
    sfi_key_meta(&key, SFI_META_COUNTERS, "");
    sfi_le64_put(record + SFI_RECORD_HEADER, rig.rt->mailbox.next_sequence);
    sfi_le64_put(record + SFI_RECORD_HEADER + 8, 5);
    sfi_record_finish_as(record, sizeof record, SFI_RECORD_COUNTERS, 1, 0, sfi_key_bytes(&key));
    OK(sfi_part_counters.load(rig.rt, sfi_key_bytes(&key), SF_BYTES(record, sizeof record)));
    assert_int_equal(rig.rt->dead.first, 1);
    assert_int_equal(rig.rt->dead.next, 5);
    assert_int_equal(rig.rt->dead.count, 4);
    rig.rt->dead = before;
    rig.rt->epoch.counters = counters;
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_row_that_says_nothing_true_is_refused_whatever_comes_after_it),
        TEST(a_row_of_a_newer_library_is_refused_as_such),
        TEST(rows_of_holds_that_name_nobody_are_refused),
        TEST(the_marks_of_dead_letters_are_those_of_before),
        TEST(counters_of_version_1_know_how_many_letters_there_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
