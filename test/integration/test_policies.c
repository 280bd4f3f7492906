/* test_policies.c - what becomes of a message that is given up: set aside, or its actor waits, or nobody goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "support/support.h"

static int is_mended; /* the program with the fault, or the one after it */

/* "work" (uint64_t) notes the number; 13 fails until the program is mended.  "no" is rejected until then. */
static int run_worker(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    const sf_message *msg = sf_msg(turn);
    struct counter *self = sf_state(turn);
    if (sf_is(msg, "no") && !is_mended)
        return sf_reject(turn, "rejected");
    const uint64_t *number = sf_body(turn, sizeof *number);
    self->messages++;
    self->total += *number;
    note(&place->notes, "%s%d.%d ", (const char *)sf_self(turn).id.data, (int)*number, (int)msg->attempt);
    if (*number == 13 && !is_mended)
        return sf_fail(turn, "13 is bad luck");
    return sf_reply(turn, "done", SF_NONE);
}

static sf_type worker_type(int policy)
{
    sf_type type = SF_TYPE("test/worker", .handler = run_worker, .attempts_max = 2,
                           .state_size = sizeof(struct counter));
    type.after_last_attempt = policy;
    return type;
}

static sf_runtime *open_workers(struct place *place, int policy)
{
    sf_type type = worker_type(policy);
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &type, place));
    return rt;
}

static void work(sf_runtime *rt, const char *id, uint64_t number)
{
    OK(sf_send(rt, sf_addr("test/worker", id), "work", SF_OF(number)));
}

static void an_actor_that_is_paused_by_its_policy_keeps_the_message_before_all_others(void **state)
{
    struct place *place = *state;
    is_mended = 0;
    sf_runtime *rt = open_workers(place, SF_PAUSE_ACTOR);
    work(rt, "a", 1);
    work(rt, "a", 13);
    work(rt, "a", 2);
    work(rt, "b", 3);
    OK(sf_run_until_idle(rt));
    work(rt, "a", 4);
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "a1.1 a13.1 a13.2 b3.1 ");
    assert_int_equal(stats_of(rt).held, 1);
    assert_int_equal(stats_of(rt).dead_letters, 0);
    assert_int_equal(stats_of(rt).messages_waiting, 3);
    notes_clear(&place->notes);
    OK(sf_runtime_close(rt));
    rt = open_workers(place, SF_PAUSE_ACTOR); /* it outlives the process */
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "");
    OK(sf_resume(rt, sf_addr("test/worker", "a"))); /* all its attempts again */
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "a13.1 a13.2 ");
    is_mended = 1;
    OK(sf_resume(rt, sf_addr("test/worker", "a")));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "a13.1 a13.2 a13.1 a2.1 a4.1 ");
    assert_int_equal(stats_of(rt).held, 0);
    OK(sf_runtime_close(rt));
}

static void a_rejected_message_pauses_at_once(void **state)
{
    struct place *place = *state;
    is_mended = 0;
    sf_runtime *rt = open_workers(place, SF_PAUSE_ACTOR);
    OK(sf_send(rt, sf_addr("test/worker", "a"), "no", SF_OF((uint64_t){1})));
    work(rt, "a", 2);
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).turns_failed, 1);
    assert_int_equal(stats_of(rt).messages_waiting, 2);
    assert_string_equal(noted(&place->notes), "");
    OK(sf_purge(rt, sf_addr("test/worker", "a"))); /* gives it up for good */
    work(rt, "a", 5);
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "a5.1 ");
    assert_int_equal(stats_of(rt).held, 0);
    OK(sf_runtime_close(rt));
}

static void note_result(int result, const sf_message *reply, void *userdata)
{
    struct place *place = userdata;
    note(&place->notes, "%s%s ", sf_errname(result), reply ? reply->kind : "");
}

static void who_asked_one_that_is_paused_waits_for_the_answer(void **state)
{
    struct place *place = *state;
    is_mended = 0;
    sf_runtime *rt = open_workers(place, SF_PAUSE_ACTOR);
    OK(sf_ask_then(rt, sf_addr("test/worker", "a"), "work", SF_OF((uint64_t){13}), -1, note_result,
                   place));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "a13.1 a13.2 ");
    is_mended = 1;
    OK(sf_resume(rt, sf_addr("test/worker", "a")));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "a13.1 a13.2 a13.1 successdone ");
    OK(sf_runtime_close(rt));
}

/* Both reasons stand for themselves, but one command ends them. */
static void an_operators_pause_of_one_that_is_paused_is_lifted_with_it(void **state)
{
    struct place *place = *state;
    is_mended = 0;
    sf_runtime *rt = open_workers(place, SF_PAUSE_ACTOR);
    work(rt, "a", 13);
    OK(sf_run_until_idle(rt));
    OK(sf_pause(rt, sf_addr("test/worker", "a"), "by hand"));
    OK(sf_run_until_idle(rt));
    is_mended = 1;
    OK(sf_resume(rt, sf_addr("test/worker", "a")));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "a13.1 a13.2 a13.1 ");
    OK(sf_runtime_close(rt));
}

static void a_type_may_stop_the_engine_and_a_restart_goes_on(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        struct place *place = *state;
        sf_options options = *defaults();
        sf_type type = worker_type(SF_STOP_ENGINE);
        options.commit_inline = is_inline;
        notes_clear(&place->notes);
        is_mended = 0;
        sf_runtime *rt = place_open_with(place, &options);
        OK(sf_register(rt, &type, place));
        OK(sf_ask_then(rt, sf_addr("test/worker", "a"), "work", SF_OF((uint64_t){1}), -1, note_result,
                       place)); /* kept, and published */
        OK(sf_ask_then(rt, sf_addr("test/worker", "a"), "work", SF_OF((uint64_t){13}), -1, note_result,
                       place));
        int64_t last = OK(sf_send(rt, sf_addr("test/worker", "b"), "work", SF_OF((uint64_t){2})));
        REFUSED(sf_run_until_idle(rt), SF_EFAILED);
        SAYS("test/worker a stopped the engine: 13 is bad luck");
        assert_string_equal(noted(&place->notes), "a1.1 a13.1 a13.2 successdone SF_EFAILED ");
        REFUSED(sf_step(rt, 0), SF_EFAILED);
        SAYS("13 is bad luck");
        REFUSED(sf_send(rt, sf_addr("test/worker", "b"), "work", SF_NONE), SF_EFAILED);
        assert_true(sf_durable(rt) >= last); /* accepted, and waits */
        OK(sf_runtime_close(rt));
        notes_clear(&place->notes);
        rt = place_open_with(place, &options);
        OK(sf_register(rt, &type, place));
        REFUSED(sf_run_until_idle(rt), SF_EFAILED); /* not mended: again, with all its attempts */
        OK(sf_runtime_close(rt));
        is_mended = 1;
        rt = place_open_with(place, &options);
        OK(sf_register(rt, &type, place));
        OK(sf_run_until_idle(rt));
        assert_string_equal(noted(&place->notes), "a13.1 a13.2 a13.1 b2.1 ");
        assert_int_equal(stats_of(rt).dead_letters, 0);
        OK(sf_purge(rt, sf_addr("test/worker", "a")));
        OK(sf_runtime_close(rt));
    }
}

static void who_waits_for_an_answer_hears_that_the_engine_stopped(void **state)
{
    struct place *place = *state;
    is_mended = 0;
    sf_runtime *rt = open_workers(place, SF_STOP_ENGINE);
    sf_message *reply = NULL;
    REFUSED(sf_ask(rt, sf_addr("test/worker", "a"), "no", SF_OF((uint64_t){1}), 60000, &reply),
            SF_EFAILED);
    SAYS("stopped the engine: rejected");
    OK(sf_runtime_close(rt));
    rt = open_workers(place, SF_STOP_ENGINE);
    OK(sf_runtime_start(rt)); /* on our thread, likewise */
    REFUSED(sf_ask(rt, sf_addr("test/worker", "b"), "no", SF_OF((uint64_t){1}), 60000, &reply),
            SF_EFAILED);
    OK(sf_runtime_close(rt));
}

static void a_policy_that_does_not_exist_is_refused(void **state)
{
    sf_runtime *rt = place_open(*state);
    for (int policy = -1; policy < 5; policy += 4) {
        sf_type type = worker_type(policy);
        REFUSED(sf_register(rt, &type, NULL), SF_EINVAL);
        SAYS("test/worker");
        SAYS("after_last_attempt");
    }
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_actor_that_is_paused_by_its_policy_keeps_the_message_before_all_others),
        TEST(a_rejected_message_pauses_at_once),
        TEST(who_asked_one_that_is_paused_waits_for_the_answer),
        TEST(an_operators_pause_of_one_that_is_paused_is_lifted_with_it),
        TEST(a_type_may_stop_the_engine_and_a_restart_goes_on),
        TEST(who_waits_for_an_answer_hears_that_the_engine_stopped),
        TEST(a_policy_that_does_not_exist_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
