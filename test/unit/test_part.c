/* test_part.c - lib/run/part: the table that the epoch, the step and recovery loop over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "run/part.h"
#include "run/runtime.h"
#include "support/rig.h"

static void a_row_that_no_part_knows_is_of_a_newer_library(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    REFUSED(sfi_parts_load(rig.rt, SF_BYTES("\xee", 1), SF_BYTES("12345678", 8)), SF_ENEWER);
    rig_close(&rig);
}

struct scale {
    sf_runtime *rt;
    struct sfi_weight first;
    int turns;
};

static int weigh(sf_turn *turn)
{
    struct scale *scale = sf_userdata(turn);
    if (scale->turns++ == 0)
        scale->first = sfi_parts_weight(scale->rt);
    return 0;
}

/* What was taken in and waits has no row yet: sealing would write it. */
static void messages_weigh_as_many_rows_and_bytes_as_sealing_writes(void **state)
{
    enum { MANY = 20, BODY = 1000 };
    static const sf_type weigher = SF_TYPE("test/weigher", .handler = weigh);
    static const char body[BODY];
    struct rig rig;
    struct scale scale = {0};
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.commit_inline = 1));
    scale.rt = rig.rt;
    OK(sf_register(rig.rt, &weigher, &scale));
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(sfi_parts_weight(rig.rt).rows, 0);
    for (int i = 0; i < MANY; i++)
        OK(sf_send(rig.rt, sf_addr("test/weigher", "w"), "", SF_BYTES(body, BODY)));
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(scale.turns, MANY);
    assert_in_range(scale.first.rows, MANY - 1, MANY + 4);
    assert_in_range(scale.first.bytes, (MANY - 1) * BODY, MANY * (BODY + 400));
    assert_int_equal(sfi_parts_weight(rig.rt).rows, 0);
    rig_close(&rig);
}

/* An ask's end, a back-off's: whatever comes first. */
static void what_is_due_first_counts(void **state)
{
    struct rig rig;
    struct notes *notes;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    notes = rig.notes;
    assert_int_equal(sfi_parts_due(rig.rt), 0);
    OK(sf_ask_then(rig.rt, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1}), 900,
                   note_answer, notes));
    OK(sf_ask_then(rig.rt, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1}), 300,
                   note_answer, notes));
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(sfi_parts_due(rig.rt), rig.machine.now_ns + UINT64_C(300) * 1000000);
    assert_false(sfi_parts_ready(rig.rt, rig.machine.now_ns));
    struct sfi_heap_node backoff = {.position = SFI_HEAP_OUT};
    struct sfi_heap *heap = &rig.rt->mailbox.holds.backoffs;
    for (uint64_t ms = 200; ms <= 400; ms += 200) { /* of another part, sooner and later */
        OK(sfi_heap_push(heap, &backoff, rig.machine.now_ns + ms * 1000000));
        assert_int_equal(sfi_parts_due(rig.rt),
                         rig.machine.now_ns + (ms < 300 ? ms : 300) * 1000000);
        sfi_heap_remove(heap, &backoff);
    }
    OK(sf_then_cancel(rig.rt, notes));
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_row_that_no_part_knows_is_of_a_newer_library),
        TEST(messages_weigh_as_many_rows_and_bytes_as_sealing_writes),
        TEST(what_is_due_first_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
