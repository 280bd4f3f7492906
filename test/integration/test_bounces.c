/* test_bounces.c - SF_DEAD: what an actor told and became a dead letter comes back to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "support/support.h"

static struct place *place_of(sf_turn *turn)
{
    return sf_userdata(turn);
}

static int fail_it(sf_turn *turn)
{
    return sf_fail(turn, "not today");
}

/* Tells its own kind and body on, to one that fails. */
static int tell_on(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    sf_tell(turn, sf_addr("test/failing", "f"), "first", SF_NONE);
    return sf_tell(turn, sf_addr("test/failing", "f"), msg->kind, msg->body);
}

static int hear_of_it(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    struct counter *self = sf_state(turn);
    self->messages++;
    note(&place_of(turn)->notes, "%s %s %s: %.*s '%s' %s %s %d; ", msg->kind, msg->from.type,
         (const char *)msg->from.id.data, (int)msg->body.size, (const char *)msg->body.data,
         msg->request.data ? (const char *)msg->request.data : "none",
         msg->reason, sf_errname(msg->result), (int)msg->attempt);
    return place_of(turn)->count ? sf_fail(turn, "nor this") : 0;
}

static const sf_type failing = SF_TYPE("test/failing", .handler = fail_it, .attempts_max = 2);
static const sf_type listening = SF_TYPE("test/listening", .on = {{SF_DEAD, hear_of_it}},
                                         .handler = tell_on, .attempts_max = 2,
                                         .state_size = sizeof(struct counter));
static const sf_type deaf = SF_TYPE("test/deaf", .handler = tell_on);

static sf_runtime *open_all(struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &failing, place));
    OK(sf_register(rt, &listening, place));
    OK(sf_register(rt, &deaf, place));
    return rt;
}

#define HEARD_FIRST ".dead test/failing f: first 'none' not today SF_EFAILED 1; "
#define HEARD_GREET ".dead test/failing f: greet 'hello' not today SF_EFAILED 1; "

static void what_is_dead_comes_back_to_who_told_it(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_all(place);
    OK(sf_send(rt, sf_addr("test/listening", "l"), "greet", sf_str("hello")));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), HEARD_FIRST HEARD_GREET);
    assert_int_equal(stats_of(rt).dead_letters, 2); /* the letters are there as well */
    OK(sf_runtime_close(rt));
}

static void who_does_not_list_it_hears_nothing(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_all(place);
    OK(sf_send(rt, sf_addr("test/deaf", "d"), "greet", sf_str("hello"))); /* its handler takes all kinds */
    OK(sf_send(rt, sf_addr("test/failing", "f"), "greet", SF_NONE));      /* from outside */
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_letters, 3);
    assert_int_equal(stats_of(rt).turns, 1);
    OK(sf_runtime_close(rt));
}

static void one_that_fails_itself_does_not_come_back(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_all(place);
    place->count = 1;
    OK(sf_send(rt, sf_addr("test/listening", "l"), "greet", sf_str("hello")));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_letters, 4);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    const sf_message *letter = sf_view_dead(view, 3);
    assert_string_equal(letter->kind, SF_DEAD);
    assert_string_equal(letter->to.type, "test/listening");
    assert_string_equal(letter->from.type, "test/failing");
    assert_string_equal(letter->reason, "nor this");
    sf_view_close(view);
    REFUSED(sf_dead_resend(rt, 4), SF_EINVAL); /* nobody but the library sends it */
    SAYS("private");
    OK(sf_runtime_close(rt));
}

static int tell_oneself(sf_turn *turn)
{
    return sf_tell(turn, sf_self(turn), "fail", SF_NONE);
}

static void a_message_to_oneself_comes_back_too(void **state)
{
    static const sf_type self =
        SF_TYPE("test/self", .on = {{SF_DEAD, hear_of_it}, {"go", tell_oneself}}, .handler = fail_it,
                .attempts_max = 1, .state_size = sizeof(struct counter));
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &self, place));
    OK(sf_send(rt, sf_addr("test/self", "s"), "go", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), ".dead test/self s: fail 'none' not today SF_EFAILED 1; ");
    OK(sf_runtime_close(rt));
}

/* It is one epoch: whatever is on disk after a crash, both are there or neither. */
static void it_is_committed_with_the_burial_and_outlives_the_process(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_all(place);
    OK(sf_send(rt, sf_addr("test/listening", "l"), "greet", sf_str("hello")));
    OK(sf_pause(rt, sf_addr("test/failing", NULL), NULL));
    OK(sf_run_until_idle(rt));
    OK(sf_pause(rt, sf_addr("test/listening", NULL), NULL));
    OK(sf_resume(rt, sf_addr("test/failing", NULL)));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_letters, 2);
    assert_int_equal(stats_of(rt).messages_waiting, 2);
    OK(sf_runtime_close(rt));
    rt = open_all(place);
    assert_string_equal(noted(&place->notes), "");
    OK(sf_resume(rt, sf_addr("test/listening", NULL)));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), HEARD_FIRST HEARD_GREET);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_dead_comes_back_to_who_told_it),
        TEST(who_does_not_list_it_hears_nothing),
        TEST(one_that_fails_itself_does_not_come_back),
        TEST(a_message_to_oneself_comes_back_too),
        TEST(it_is_committed_with_the_burial_and_outlives_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
