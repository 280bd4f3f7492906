/* test_purge.c - sf_purge(): an actor as if it had never been. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "statefun.h"
#include "support/support.h"

static sf_value extra = SF_VALUE("extra");

/* "keep" stores a value beside the total, "hoard" the body; "stop" fails and backs off for an hour; anything else
 * counts. */
static int count(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    struct counter *self = sf_state(turn);
    if (sf_is(sf_msg(turn), "stop"))
        return sf_fail(turn, "not now");
    if (sf_is(sf_msg(turn), "keep"))
        sf_value_put(turn, &extra, sf_str("something"));
    if (sf_is(sf_msg(turn), "hoard"))
        sf_value_put(turn, &extra, sf_msg(turn)->body);
    self->total++;
    place->count++;
    return sf_reply(turn, "total", SF_OF(self->total));
}

static const sf_type counting =
    SF_TYPE("test/purged", .handler = count, .state_size = sizeof(struct counter),
            .values = {&extra}, .attempts_max = 100, .backoff_ms = 3600000,
            .backoff_ms_max = 3600000);

static sf_runtime *open_counting(struct place *place, const sf_options *options)
{
    sf_runtime *rt = place_open_with(place, options);
    OK(sf_register(rt, &counting, place));
    return rt;
}

static sf_address who(void)
{
    return sf_addr("test/purged", "a");
}

static void is_gone(sf_runtime *rt)
{
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    assert_null(sf_view_state(view, who()).data);
    assert_null(sf_view_value(view, who(), &extra).data);
    assert_null(sf_next(sf_view_actors(view, "test/purged")));
    sf_view_close(view);
}

static void note_result(int result, const sf_message *reply, void *userdata)
{
    uint64_t total = 0;
    if (reply)
        memcpy(&total, reply->body.data, sizeof total);
    note(userdata, "%s %llu ", sf_errname(result), (unsigned long long)total);
}

static void a_purged_actor_has_no_row_and_starts_from_zeroes(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_counting(place, defaults());
    OK(sf_send(rt, who(), "keep", SF_NONE));
    OK(sf_run_until_idle(rt));
    OK(sf_wait(rt, sf_purge(rt, who()), 10000));
    is_gone(rt);
    OK(sf_runtime_close(rt));
    rt = open_counting(place, defaults());
    is_gone(rt);
    OK(sf_ask_then(rt, who(), "add", SF_NONE, -1, note_result, &place->notes));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "success 1 ");
    OK(sf_runtime_close(rt));
}

static void a_turn_in_the_same_epoch_finds_zeroes_too(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_counting(place, defaults());
    OK(sf_send(rt, who(), "keep", SF_NONE));
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));
    rt = open_counting(place, defaults()); /* it is on disk only */
    OK(sf_purge(rt, who()));
    OK(sf_ask_then(rt, who(), "add", SF_NONE, -1, note_result, &place->notes));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "success 1 ");
    OK(sf_runtime_close(rt));
}

static void what_waited_never_runs_and_who_asked_is_told(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_counting(place, defaults());
    OK(sf_pause(rt, who(), "for the test"));
    OK(sf_ask_then(rt, who(), "add", SF_NONE, -1, note_result, &place->notes));
    OK(sf_send(rt, who(), "add", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).messages_waiting, 2);
    OK(sf_purge(rt, who()));
    OK(sf_run_until_idle(rt));
    assert_int_equal(place->count, 0);
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    assert_int_equal(stats_of(rt).held, 0); /* nor is it paused any more */
    assert_string_equal(noted(&place->notes), "SF_EFAILED 0 ");
    OK(sf_send(rt, who(), "add", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_int_equal(place->count, 1);
    OK(sf_runtime_close(rt));
}

/* It has passed the queue once, and is on its way through it again when the purge comes. */
static void what_a_hold_had_let_go_never_runs_either(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_counting(place, defaults());
    OK(sf_pause(rt, who(), "for now"));
    for (int i = 0; i < 3; i++)
        OK(sf_send(rt, who(), "count", SF_NONE));
    OK(sf_run_until_idle(rt));
    OK(sf_resume(rt, who()));
    OK(sf_step(rt, 1));
    assert_int_equal(place->count, 1);
    OK(sf_purge(rt, who()));
    OK(sf_run_until_idle(rt));
    assert_int_equal(place->count, 1);
    is_gone(rt);
    OK(sf_runtime_close(rt));
}

static void a_message_that_backs_off_is_dropped_and_the_next_one_runs(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_counting(place, defaults());
    OK(sf_send(rt, who(), "stop", SF_NONE));
    OK(sf_send(rt, who(), "add", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).messages_waiting, 2);
    OK(sf_purge(rt, who()));
    OK(sf_send(rt, who(), "add", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_int_equal(place->count, 1);
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    assert_int_equal(stats_of(rt).dead_letters, 0);
    OK(sf_runtime_close(rt));
}

/* Far more than may be in memory, so that most of it is parked; the process ends before it was all dropped. */
static void what_is_parked_never_runs_also_after_a_restart(void **state)
{
    enum { PARKED = 3000 };
    const sf_options small = SF_OPTIONS(.mailbox_bytes_max = 64 << 10, .inbox_ms_max = HOUR_MS,
                                        .store_bytes_max = UINT64_C(1) << 30);
    static const char body[1024];
    struct place *place = *state;
    sf_runtime *rt = open_counting(place, &small);
    OK(sf_pause(rt, who(), "for the test"));
    for (int i = 0; i < PARKED; i++) {
        OK(sf_send(rt, who(), "add", SF_OF(body)));
        if (i % 100 == 0)
            OK(sf_run_until_idle(rt));
    }
    OK(sf_run_until_idle(rt));
    OK(sf_wait(rt, sf_purge(rt, who()), 10000));
    assert_true(stats_of(rt).messages_waiting > 0); /* else this test shows nothing */
    OK(sf_runtime_close(rt));
    rt = open_counting(place, &small);
    OK(sf_send(rt, who(), "add", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_int_equal(place->count, 1);
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    assert_int_equal(stats_of(rt).held, 0);
    OK(sf_runtime_close(rt));
}

static void a_purge_comes_in_when_sends_are_refused_and_makes_room(void **state)
{
    enum { ACTORS_MAX = 2000, PIECE = 8 << 10 };
    const sf_options tiny = SF_OPTIONS(.store_bytes_max = 4 << 20, .inbox_ms_max = HOUR_MS);
    static const char piece[PIECE];
    struct place *place = *state;
    sf_runtime *rt = open_counting(place, &tiny);
    uint32_t sent = 0;
    int64_t rc;
    while ((rc = sf_send(rt, (sf_address){"test/purged", SF_OF(sent)}, "hoard", SF_OF(piece))) >
           0) {
        assert_true(++sent < ACTORS_MAX);
        OK(sf_run_until_idle(rt));
    }
    assert_int_equal(rc, SF_EDISK);
    for (uint32_t i = 0; i < sent; i++)
        OK(sf_purge(rt, (sf_address){"test/purged", SF_OF(i)}));
    uint64_t end = mono_ms() + 20000;
    while ((rc = sf_send(rt, who(), "add", SF_OF(piece))) == SF_EDISK && mono_ms() < end)
        (void)!sf_step(rt, 0); /* what was deleted can be used again a few commits later */
    OK(rc);
    OK(sf_run_until_idle(rt));
    assert_int_equal(place->count, sent + 1);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    sf_cursor *actors = sf_view_actors(view, "test/purged");
    assert_non_null(sf_next(actors));
    assert_null(sf_next(actors)); /* only the newest is left */
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static void what_cannot_be_purged_is_refused(void **state)
{
    sf_runtime *rt = open_counting(*state, defaults());
    REFUSED(sf_purge(NULL, who()), SF_EINVAL);
    REFUSED(sf_purge(rt, sf_addr(NULL, "a")), SF_EINVAL);
    REFUSED(sf_purge(rt, sf_addr("test/purged", "")), SF_EINVAL);
    REFUSED(sf_purge(rt, sf_addr("test/nobody", "a")), SF_ENOTFOUND);
    OK(sf_purge(rt, sf_addr("test/purged", "nobody there"))); /* no effect */
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_purged_actor_has_no_row_and_starts_from_zeroes),
        TEST(a_turn_in_the_same_epoch_finds_zeroes_too),
        TEST(what_waited_never_runs_and_who_asked_is_told),
        TEST(what_a_hold_had_let_go_never_runs_either),
        TEST(a_message_that_backs_off_is_dropped_and_the_next_one_runs),
        TEST(what_is_parked_never_runs_also_after_a_restart),
        TEST(a_purge_comes_in_when_sends_are_refused_and_makes_room),
        TEST(what_cannot_be_purged_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
