/* test_poll.c - the descriptor: readable while there is something to do, also when a step never came to its
 * end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>

#include "run/runtime.h"
#include "support/rig.h"
#include "support/unwind.h"

struct looker {
    sf_runtime *rt;
    struct catcher catcher;
    int throws, seen, looks;
};

static int look(sf_turn *turn)
{
    struct looker *looker = sf_userdata(turn);
    looker->looks++;
    looker->seen += is_readable(looker->rt, 0);
    if (looker->throws && looker->throws--)
        throw_to(&looker->catcher);
    return 0;
}

static const sf_type looking = SF_TYPE("test/looker", .handler = look);

static sf_runtime *open_looker(struct place *place, struct looker *looker)
{
    *looker = (struct looker){.rt = place_open(place)};
    OK(sf_register(looker->rt, &looking, looker));
    OK(sf_run_until_idle(looker->rt));
    assert_int_equal(is_readable(looker->rt, 0), 0);
    return looker->rt;
}

static void the_descriptor_stays_readable_while_a_step_runs(void **state)
{
    struct looker looker;
    sf_runtime *rt = open_looker(*state, &looker);
    for (int i = 0; i < 5; i++) {
        OK(sf_send(rt, sf_addr("test/looker", "l"), "x", SF_NONE));
        OK(sf_run_until_idle(rt));
        assert_int_equal(is_readable(rt, 0), 0);
    }
    assert_int_equal(looker.looks, 5);
    assert_int_equal(looker.seen, 5);
    OK(sf_runtime_close(rt));
}

static void after_a_step_that_was_left_it_is_readable_still(void **state)
{
    struct looker looker;
    sf_runtime *rt = open_looker(*state, &looker);
    looker.throws = 1;
    OK(sf_send(rt, sf_addr("test/looker", "l"), "x", SF_NONE));
    if (CAUGHT(&looker.catcher) == 0)
        (void)!sf_run_until_idle(rt);
    assert_int_equal(looker.looks, 1);
    assert_int_equal(is_readable(rt, 0), 1);
    assert_int_equal(sf_timeout_ms(rt), 0);
    OK(sf_run_until_idle(rt));
    assert_int_equal(looker.looks, 2);
    assert_int_equal(is_readable(rt, 0), 0);
    OK(sf_runtime_close(rt));
}

static void on_answer(int result, const sf_message *reply, void *userdata)
{
    (void)reply;
    *(int *)userdata = result;
}

/* The engine's clock is a test's; the timer is the machine's. */
static void what_is_due_makes_it_readable_in_time(void **state)
{
    struct rig rig;
    int result = 0;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    OK(sf_ask_then(rig.rt, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1}), 150,
                   on_answer, &result));
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(is_readable(rig.rt, 0), 0);
    assert_int_equal(sf_timeout_ms(rig.rt), 150);
    uint64_t begun_ms = mono_ms();
    assert_int_equal(is_readable(rig.rt, 20000), 1);
    assert_in_range(mono_ms() - begun_ms, 50, 15000);
    machine_advance_ms(&rig.machine, 149);
    OK(sf_step(rig.rt, 0));
    assert_int_equal(result, 0);
    assert_int_equal(sf_timeout_ms(rig.rt), 1);
    machine_advance_ms(&rig.machine, 1);
    OK(sf_step(rig.rt, 0));
    assert_int_equal(result, SF_ETIMEOUT);
    assert_int_equal(sf_timeout_ms(rig.rt), -1);
    assert_int_equal(is_readable(rig.rt, 0), 0);
    rig_close(&rig);
}

/* A timer that is set to nothing never comes. */
static void what_is_due_now_or_was_makes_it_readable(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    for (uint64_t ago = 0; ago < 2; ago++) {
        OK(sf_run_until_idle(rig.rt));
        assert_int_equal(is_readable(rig.rt, 0), 0);
        uint64_t now_ns = rig.machine.now_ns + 1000;
        sfi_poll_set_due(rig.rt, now_ns - ago, now_ns);
        assert_int_equal(is_readable(rig.rt, 5000), 1);
        sfi_poll_set_due(rig.rt, 0, now_ns);
        assert_int_equal(is_readable(rig.rt, 0), 0);
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_descriptor_stays_readable_while_a_step_runs),
        TEST(after_a_step_that_was_left_it_is_readable_still),
        TEST(what_is_due_makes_it_readable_in_time),
        TEST(what_is_due_now_or_was_makes_it_readable),
    };
    return cmocka_run_group_tests_name("poll", tests, NULL, NULL);
}
