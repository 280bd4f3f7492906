/* test_ask.c - questions from outside: answered once, also when they waited on disk; nothing is left behind when
 * memory fails; one that begets the next keeps no step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "support/rig.h"

struct asked {
    sf_runtime *rt;
    int answered, failed, wrong, again;
};

static void on_answer(int result, const sf_message *reply, void *userdata)
{
    struct asked *asked = userdata;
    asked->answered += result == 0;
    asked->failed += result == SF_EFAILED;
    asked->wrong += (result == 0) != (reply != NULL);
}

/* -- what waits on disk ------------------------------------------------------------------------------ */

/* Far more than fits in memory, with questions in between. */
static void questions_that_waited_on_disk_are_answered(void **state)
{
    enum { ASKS = 40, BETWEEN = 50, BODY = 1000 };
    static char body[BODY];
    struct place *place = *state;
    sf_options options = SF_OPTIONS(.mailbox_bytes_max = 1, .epoch_turns_max = 16,
                                    .inbox_ms_max = UINT32_MAX);
    sf_runtime *rt = place_open_with(place, &options);
    struct asked asked = {.rt = rt};
    OK(sf_register(rt, &speaker_type, NULL));
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_egress_register(rt, "said", note_records, &place->notes));
    for (int i = 0; i < ASKS; i++) {
        for (int k = 0; k < BETWEEN; k++) {
            memcpy(body, &k, sizeof k);
            (void)!sf_send(rt, sf_addr("test/counter", "a"), "add", SF_OF(body));
        }
        OK(sf_ask_then(rt, sf_addr(SPEAKER, "a"), "say", SF_OF((uint64_t){1}), -1, on_answer,
                       &asked));
    }
    OK(sf_step(rt, 1)); /* all of it is taken in, in pieces */
    sf_message *reply = NULL;
    OK(sf_ask(rt, sf_addr(SPEAKER, "a"), "say", SF_OF((uint64_t){1}), 20000, &reply));
    assert_string_equal(reply->kind, "heard");
    assert_string_equal(reply->from.type, SPEAKER);
    sf_message_free(reply);
    OK(sf_run_until_idle(rt));
    assert_int_equal(asked.answered, ASKS);
    assert_int_equal(asked.wrong, 0);
    OK(sf_runtime_close(rt));
}

/* -- memory fails -------------------------------------------------------------------------------------- */

/* Asks one that rejects, with one allocation failing after the question was sent.  1: it came to that. */
static int reject_with(struct place *place, uint64_t nth)
{
    static char reason[300 * 1024]; /* so that the dead letter needs room in the batch */
    struct rig rig;
    memset(reason, 'r', sizeof reason - 1);
    rig_open(&rig, place, (sf_options)SF_OPTIONS(.relaxed = 0));
    struct asked asked = {.rt = rig.rt};
    for (int i = 0; i < 3; i++)
        OK(sf_ask_then(rig.rt, sf_addr("test/counter", "a"), "reject",
                       SF_BYTES(reason, sizeof reason), -1, on_answer, &asked));
    rig.machine.fail_allocation = rig.machine.allocations + nth;
    int rc, tries = 0;
    while ((rc = sf_run_until_idle(rig.rt)) == SF_ENOMEM && tries++ < 10)
        ;
    OK(rc);
    int failed = rig.machine.allocations >= rig.machine.fail_allocation;
    rig.machine.fail_allocation = 0;
    assert_int_equal(asked.failed, 3); /* each once */
    assert_int_equal(asked.wrong, 0);
    assert_int_equal(stats_of(rig.rt).dead_letters, 3);
    rig_close(&rig); /* nothing leaks */
    return failed;
}

static void a_rejection_that_finds_no_memory_is_made_once_and_leaks_nothing(void **state)
{
    uint64_t nth = 1;
    while (reject_with(*state, nth))
        nth++;
    assert_true(nth > 5);
}

/* -- a question that begets the next ------------------------------------------------------------------ */

static void ask_again(int result, const sf_message *reply, void *userdata)
{
    struct asked *asked = userdata;
    on_answer(result, reply, userdata);
    if (asked->again)
        asked->wrong += sf_ask_then(asked->rt, sf_addr("test/counter", "a"), "get", SF_NONE, -1,
                                    ask_again, asked) < 0;
}

static void an_answer_that_asks_again_lets_the_step_end(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    rig.machine.sys.mono_ns = sfi_sys_default()->mono_ns;
    struct asked asked = {.rt = rig.rt, .again = 1};
    OK(sf_ask_then(rig.rt, sf_addr("test/counter", "a"), "get", SF_NONE, -1, ask_again, &asked));
    for (int step = 1; step <= 20; step++) {
        OK(sf_step(rig.rt, 0));
        assert_in_range(asked.answered, 0, step);
    }
    assert_true(asked.answered >= 5);
    REFUSED(sf_run_for(rig.rt, 50), SF_ETIMEOUT);
    asked.again = 0;
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(asked.wrong, 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(questions_that_waited_on_disk_are_answered),
        TEST(a_rejection_that_finds_no_memory_is_made_once_and_leaks_nothing),
        TEST(an_answer_that_asks_again_lets_the_step_end),
    };
    return cmocka_run_group_tests_name("ask", tests, NULL, NULL);
}
