/* test_private_kinds.c - a kind that begins with a dot is the actor's own: nobody else can send it. */
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

/* What it does to itself is allowed; what it says to others is not. */
static int run_owner(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    note(&place_of(turn)->notes, "%s ", msg->kind);
    if (sf_is(msg, "self"))
        return sf_tell(turn, sf_self(turn), ".mine", SF_NONE);
    if (sf_is(msg, "timer"))
        return sf_timer_after(turn, ".mine", SF_NONE, 1) ||
               sf_tell_after(turn, SF_NONE, 2, sf_self(turn), ".later", SF_NONE);
    if (sf_is(msg, "break"))
        return sf_tell(turn, sf_self(turn), ".broken", SF_NONE);
    if (sf_is(msg, "say"))
        return sf_reply(turn, ".said", SF_NONE);
    return sf_is(msg, ".broken") && place_of(turn)->count ? sf_reject(turn, "broken") : 0;
}

static int run_stranger(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    sf_address owner = sf_addr("test/owner", "o");
    if (sf_is(msg, "tell"))
        return sf_tell(turn, owner, ".mine", SF_NONE);
    if (sf_is(msg, "same id"))
        return sf_tell(turn, sf_addr("test/owner", "s"), ".mine", SF_NONE);
    if (sf_is(msg, "later"))
        return sf_tell_after(turn, SF_NONE, 10, owner, ".mine", SF_NONE);
    if (sf_is(msg, "dot"))
        return sf_tell(turn, owner, ".", SF_NONE);
    if (sf_is(msg, "call"))
        return (void)sf_call(turn, owner, ".mine", SF_NONE), 0;
    if (sf_is(msg, "hear"))
        return (void)sf_call(turn, owner, "say", SF_NONE), 0;
    return sf_reply(turn, ".mine", SF_NONE);
}

static const sf_type owner_type = SF_TYPE("test/owner", .handler = run_owner);
static const sf_type stranger_type = SF_TYPE("test/stranger", .handler = run_stranger);

static sf_runtime *open_owner(struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &owner_type, place));
    OK(sf_register(rt, &stranger_type, place));
    return rt;
}

static void never_answered(int result, const sf_message *reply, void *userdata)
{
    (void)result, (void)reply, (void)userdata;
}

static void nobody_outside_can_send_it(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_owner(place);
    sf_address owner = sf_addr("test/owner", "o");
    sf_message *reply = NULL;
    sf_source *source = NULL;
    REFUSED(sf_send(rt, owner, ".mine", SF_NONE), SF_EINVAL);
    SAYS("kind '.mine' is private");
    REFUSED(sf_send(rt, owner, ".", SF_NONE), SF_EINVAL);
    REFUSED(sf_ask(rt, owner, ".mine", SF_NONE, 1000, &reply), SF_EINVAL);
    REFUSED(sf_ask_then(rt, owner, ".mine", SF_NONE, 1000, never_answered, NULL), SF_EINVAL);
    REFUSED(sf_send_after(rt, SF_NONE, 10, owner, ".mine", SF_NONE), SF_EINVAL);
    SAYS("private");
    OK(sf_source_open(rt, "input", 0, &source));
    REFUSED(sf_source_send(source, owner, ".mine", SF_NONE), SF_EINVAL);
    SAYS("private");
    REFUSED(sf_source_advance(source, 1), SF_EINVAL);
    sf_source_close(source);
    OK(sf_send(rt, owner, "mine.", SF_NONE)); /* a dot elsewhere says nothing */
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "mine. ");
    OK(sf_runtime_close(rt));
}

static void no_other_actor_can_send_it(void **state)
{
    static const char *const doors[] = {"tell", "same id", "later", "dot",
                                        "call", "reply",   "hear"};
    struct place *place = *state;
    sf_runtime *rt = open_owner(place);
    sf_message *reply = NULL;
    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
        REFUSED(sf_ask(rt, sf_addr("test/stranger", "s"), doors[i], SF_NONE, 10000, &reply),
                SF_EFAILED);
        SAYS("is private");
        assert_int_equal(stats_of(rt).dead_letters, i + 1); /* at once: it would break the rule again */
    }
    assert_string_equal(noted(&place->notes), "say ");
    OK(sf_runtime_close(rt));
}

static void the_actor_itself_can(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_owner(place);
    OK(sf_send(rt, sf_addr("test/owner", "o"), "self", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "self .mine ");
    OK(sf_send(rt, sf_addr("test/owner", "o"), "timer", SF_NONE));
    for (uint64_t end = mono_ms() + 10000; !strstr(noted(&place->notes), ".later");) {
        OK(sf_run_until_idle(rt));
        assert_true(mono_ms() < end);
    }
    assert_string_equal(noted(&place->notes), "self .mine timer .mine .later ");
    assert_int_equal(stats_of(rt).dead_letters, 0);
    OK(sf_runtime_close(rt));
}

/* It is sent again as who sent it first. */
static void a_dead_letter_of_its_own_may_be_sent_again(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_owner(place);
    place->count = 1;
    OK(sf_send(rt, sf_addr("test/owner", "o"), "break", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_kept, 1);
    place->count = 0;
    OK(sf_dead_resend(rt, 1));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "break .broken .broken ");
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nobody_outside_can_send_it),
        TEST(no_other_actor_can_send_it),
        TEST(the_actor_itself_can),
        TEST(a_dead_letter_of_its_own_may_be_sent_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
