/* test_call.c - lib/run/call: what the inner turn sees, what the outer one gets, and what it costs.
 * test/integration/test_calls.c has what is kept and undone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "run/call.h"
#include "run/runtime.h"
#include "support/support.h"

static const char CALLER[] = "test/caller", CALLEE[] = "test/callee";

static int call_once(sf_turn *turn)
{
    struct notes *notes = sf_userdata(turn);
    sf_address callee = sf_addr(CALLEE, "b");
    const sf_message *answer = sf_call(turn, callee, "what", SF_BYTES("body", 5));
    note(notes, "[%s %.*s from %s to %s]", answer->kind, (int)answer->body.size,
         answer->body.data ? (const char *)answer->body.data : "",
         answer->from.type ? id_text(answer->from) : "-",
         answer->to.type ? id_text(answer->to) : "-");
    return sf_msg(turn)->attempt < 3 ? sf_fail(turn, "again") : 0;
}

/* The body's size in the body. */
static int call_with_much(sf_turn *turn)
{
    static const char much[1 << 20];
    const uint32_t *count = sf_body(turn, sizeof *count);
    for (uint32_t i = 0; i < *count; i++)
        sf_call(turn, sf_addr(CALLEE, "b"), "take", SF_OF(much));
    return 0;
}

static int show(sf_turn *turn)
{
    struct notes *notes = sf_userdata(turn);
    const sf_message *msg = sf_msg(turn);
    note(notes, "%s>%s %s %s #%u ", id_text(msg->from), id_text(msg->to), msg->kind,
         (const char *)msg->body.data, msg->attempt);
    sf_reply(turn, "first", SF_BYTES("yes", 3));
    return sf_reply(turn, "second", SF_BYTES("no", 2));
}

static int take(sf_turn *turn)
{
    (void)turn;
    return 0;
}

static int refuse(sf_turn *turn)
{
    return sf_reject(turn, "no way");
}

static int call_who_fails(sf_turn *turn)
{
    sf_call(turn, sf_addr(CALLEE, "b"), "fail", SF_NONE);
    return 0;
}

static const sf_type caller_type =
    SF_TYPE(CALLER, .on = {{"once", call_once}, {"much", call_with_much}, {"fails", call_who_fails}},
            .attempts_max = 5);
static const sf_type callee_type =
    SF_TYPE(CALLEE, .on = {{"what", show}, {"take", take}, {"fail", refuse}});

static sf_runtime *open_callers(struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &caller_type, &place->notes));
    OK(sf_register(rt, &callee_type, &place->notes));
    return rt;
}

/* Its attempt is that of the message which began it: what fails the first time only can be told. */
static void the_inner_turn_sees_who_calls_and_the_attempt(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_callers(place);
    OK(sf_send(rt, sf_addr(CALLER, "a"), "once", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "a>b what body #1 [first yes from b to a]"
                                              "a>b what body #2 [first yes from b to a]"
                                              "a>b what body #3 [first yes from b to a]");
    OK(sf_runtime_close(rt));
}

static void a_call_counts_against_what_one_turn_may_do(void **state)
{
    sf_runtime *rt = open_callers(*state);
    rt->turns.work.bytes_max = 10 << 20;
    OK(sf_send(rt, sf_addr(CALLER, "a"), "much", SF_OF((uint32_t){9})));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_letters, 0);
    OK(sf_send(rt, sf_addr(CALLER, "a"), "much", SF_OF((uint32_t){11})));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_letters, 1);
    OK(sf_runtime_close(rt));
}

static void the_reason_names_whose_fault_it_was(void **state)
{
    sf_runtime *rt = open_callers(*state);
    sf_message *reply;
    REFUSED(sf_ask(rt, sf_addr(CALLER, "a"), "fails", SF_NONE, -1, &reply), SF_EFAILED);
    SAYS("test/callee b: no way");
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_inner_turn_sees_who_calls_and_the_attempt),
        TEST(a_call_counts_against_what_one_turn_may_do),
        TEST(the_reason_names_whose_fault_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
