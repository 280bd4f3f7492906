/* test_holds.c - who must wait, and that nobody else does: actors that back off, paused actors
 * and types, and types that are not registered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "statefun.h"
#include "support/support.h"

static int fail_today(sf_turn *turn)
{
    return sf_fail(turn, "not today");
}

static int run_note(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    place->count++;
    note(&place->notes, "%s%s ", id_text(sf_self(turn)), sf_msg(turn)->kind);
    return 0;
}

static int run_count(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    uint64_t number;
    memcpy(&number, sf_msg(turn)->body.data, sizeof number);
    if (number != place->count)
        note(&place->notes, "%llu where %llu was due; ", (unsigned long long)number,
             (unsigned long long)place->count);
    place->count++;
    return 0;
}

static const sf_type bad = SF_TYPE("test/bad", .handler = fail_today, .attempts_max = 100,
                                   .backoff_ms = 3600000, .backoff_ms_max = 3600000);
static const sf_type good = SF_TYPE("test/good", .handler = run_note);
static const sf_type counting = SF_TYPE("test/bad", .handler = run_count);
static const sf_options small =
    SF_OPTIONS(.inbox_bytes_max = 64 << 10, .mailbox_bytes_max = 64 << 10,
               .store_bytes_max = UINT64_C(1) << 30);

/* Numbered from `from`, each 1 KiB; as soon as there is no room, the engine gets time. */
static void send_numbers(sf_runtime *rt, const char *type, uint64_t from, uint64_t count)
{
    uint64_t body[128] = {0};
    for (uint64_t i = 0; i < count;) {
        body[0] = from + i;
        int64_t ticket = sf_send(rt, sf_addr(type, "x"), "", SF_OF(body));
        assert_true(ticket > 0 || ticket == SF_EAGAIN);
        i += ticket > 0;
        if (ticket < 0)
            OK(sf_run_until_idle(rt));
    }
    OK(sf_run_until_idle(rt));
}

/* R15: fifty times the inbox waits for one actor; nobody else meets it. */
static void senders_of_an_actor_that_backs_off_stop_nobody(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = place_open_with(place, &small);
    OK(sf_register(rt, &bad, place));
    OK(sf_register(rt, &good, place));
    send_numbers(rt, "test/bad", 0, 3000);
    assert_int_equal(stats_of(rt).messages_waiting, 3000);
    assert_int_equal(stats_of(rt).held, 1);
    OK(sf_send(rt, sf_addr("test/good", "y"), "1", SF_NONE));
    OK(sf_wait_room(rt, 10000));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "y1 ");
    assert_int_equal(stats_of(rt).dead_letters, 0);
    OK(sf_runtime_close(rt));

    /* And all of it comes in order, when the handler is better. */
    static const sf_type mended = SF_TYPE("test/bad", .handler = run_count, .backoff_ms_max = 1);
    place->count = 0;
    notes_clear(&place->notes);
    rt = place_open_with(place, &small);
    assert_int_equal(stats_of(rt).messages_waiting, 3000);
    OK(sf_register(rt, &mended, place));
    OK(sf_register(rt, &good, place));
    send_numbers(rt, "test/bad", 3000, 10);
    drive_until_quiet(rt);
    assert_int_equal(place->count, 3010);
    assert_string_equal(noted(&place->notes), "");
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    assert_int_equal(stats_of(rt).held, 0);
    OK(sf_runtime_close(rt));
}

/* -- pause and resume -------------------------------------------------------------------------- */

static void a_paused_actor_waits_until_it_is_resumed_also_over_a_restart(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = place_open_with(place, &small);
    OK(sf_register(rt, &counting, place));
    OK(sf_register(rt, &good, place));
    OK(sf_wait(rt, sf_pause(rt, sf_addr("test/bad", "x"), "looked into"), -1));
    assert_int_equal(stats_of(rt).held, 1);
    send_numbers(rt, "test/bad", 0, 2000);
    OK(sf_send(rt, sf_addr("test/good", "y"), "1", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "y1 ");
    assert_int_equal(stats_of(rt).messages_waiting, 2000);
    OK(sf_runtime_close(rt));

    rt = place_open_with(place, &small);
    OK(sf_register(rt, &counting, place));
    OK(sf_register(rt, &good, place));
    send_numbers(rt, "test/bad", 2000, 100);
    assert_int_equal(stats_of(rt).messages_waiting, 2100);
    place->count = 0;
    notes_clear(&place->notes);
    OK(sf_resume(rt, sf_addr("test/bad", "x")));
    drive_until_quiet(rt);
    assert_int_equal(place->count, 2100);
    assert_string_equal(noted(&place->notes), "");
    assert_int_equal(stats_of(rt).held, 0);
    OK(sf_runtime_close(rt));

    rt = place_open_with(place, &small);
    assert_int_equal(stats_of(rt).held, 0);
    OK(sf_runtime_close(rt));
}

static void a_pause_comes_before_what_was_sent_and_waits(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &good, place));
    OK(sf_send(rt, sf_addr("test/good", "a"), "1", SF_NONE));
    OK(sf_pause(rt, sf_addr("test/good", "a"), NULL));
    OK(sf_send(rt, sf_addr("test/good", "b"), "1", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "b1 ");
    OK(sf_resume(rt, sf_addr("test/good", "a")));
    OK(sf_resume(rt, sf_addr("test/good", "b"))); /* not paused: no effect */
    OK(sf_send(rt, sf_addr("test/good", "a"), "2", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "b1 a1 a2 ");
    OK(sf_runtime_close(rt));
}

static void a_paused_type_waits_and_others_go_on(void **state)
{
    static const sf_type other = SF_TYPE("test/other", .handler = run_note);
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &good, place));
    OK(sf_register(rt, &other, place));
    OK(sf_pause(rt, (sf_address){"test/good", SF_NONE}, "all of them"));
    OK(sf_send(rt, sf_addr("test/good", "a"), "1", SF_NONE));
    OK(sf_send(rt, sf_addr("test/other", "o"), "1", SF_NONE));
    OK(sf_send(rt, sf_addr("test/good", "b"), "1", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "o1 ");
    OK(sf_runtime_close(rt));
    rt = place_open(place);
    OK(sf_register(rt, &good, place));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "o1 ");
    OK(sf_resume(rt, (sf_address){"test/good", SF_NONE}));
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "o1 a1 b1 ");
    OK(sf_runtime_close(rt));
}

static int pause_oneself(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    sf_runtime *rt = *(sf_runtime **)place->notes.text; /* lent by the test */
    place->count = (uint64_t)-sf_pause(rt, sf_self(turn), NULL);
    return 0;
}

static void what_cannot_be_paused_is_refused(void **state)
{
    char long_reason[300];
    memset(long_reason, 'x', sizeof long_reason - 1);
    long_reason[sizeof long_reason - 1] = 0;
    static const sf_type from_inside = SF_TYPE("test/inside", .handler = pause_oneself);
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    struct place lent = {.notes = {(char *)&rt, sizeof rt, sizeof rt}};
    OK(sf_register(rt, &good, place));
    OK(sf_register(rt, &from_inside, &lent));
    REFUSED(sf_pause(rt, sf_addr("test/nobody", "a"), NULL), SF_ENOTFOUND);
    SAYS("test/nobody");
    REFUSED(sf_resume(rt, sf_addr("test/nobody", "a")), SF_ENOTFOUND);
    REFUSED(sf_pause(rt, (sf_address){NULL, {"a", 1}}, NULL), SF_EINVAL);
    REFUSED(sf_pause(rt, (sf_address){"test/good", {"a", 256}}, NULL), SF_EINVAL);
    REFUSED(sf_pause(rt, (sf_address){"test/good", {NULL, 1}}, NULL), SF_EINVAL);
    REFUSED(sf_pause(rt, sf_addr("test/good", "a"), long_reason), SF_EINVAL);
    REFUSED(sf_pause(NULL, sf_addr("test/good", "a"), NULL), SF_EINVAL);
    OK(sf_send(rt, sf_addr("test/inside", "a"), "", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_int_equal(-(int64_t)lent.count, SF_ETURN);
    OK(sf_runtime_close(rt));
}

/* An asker waits like everybody, and hears when the actor goes on. */
static void a_question_to_a_paused_actor_is_answered_when_it_goes_on(void **state)
{
    sf_runtime *rt = place_open(*state);
    sf_message *reply = NULL;
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_pause(rt, sf_addr("test/counter", "c"), NULL));
    REFUSED(sf_ask(rt, sf_addr("test/counter", "c"), "get", SF_NONE, 20, &reply), SF_ETIMEOUT);
    OK(sf_resume(rt, sf_addr("test/counter", "c")));
    OK(sf_ask(rt, sf_addr("test/counter", "c"), "get", SF_NONE, 10000, &reply));
    sf_message_free(reply);
    OK(sf_runtime_close(rt));
}

/* -- types that are not registered ------------------------------------------------------------- */

static void messages_for_a_type_that_comes_late_take_no_memory_and_come_in_order(void **state)
{
    struct place *place = *state;
    uint64_t body[32] = {0};
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &counting, place));
    for (; body[0] < 5000; body[0]++)
        OK(sf_send(rt, sf_addr("test/bad", "x"), "", SF_OF(body)));
    OK(sf_runtime_close(rt));

    sf_options few = small;
    few.epoch_turns_max = 256;
    rt = place_open_with(place, &few);
    OK(sf_register(rt, &good, place));
    OK(sf_run_until_idle(rt));
    assert_true(stats_of(rt).epochs >= 10); /* no step moved all of them */
    assert_int_equal(stats_of(rt).messages_waiting, 5000);
    assert_true(stats_of(rt).held >= 1);
    OK(sf_send(rt, sf_addr("test/good", "y"), "1", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "y1 ");
    place->count = 0;
    notes_clear(&place->notes);
    OK(sf_register(rt, &counting, place));
    drive_until_quiet(rt);
    assert_int_equal(place->count, 5000);
    assert_string_equal(noted(&place->notes), "");
    OK(sf_runtime_close(rt));
}

static int fail_and_count(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    place->count = sf_msg(turn)->attempt;
    return sf_fail(turn, "again");
}

/* A message that is tried again at once uses up its attempts, whenever the process ends. */
static void attempts_without_back_off_are_not_forgotten_at_a_restart(void **state)
{
    static const sf_type type =
        SF_TYPE("test/stubborn", .handler = fail_and_count, .attempts_max = 1000);
    struct place *place = *state;
    const sf_options options =
        SF_OPTIONS(.epoch_turns_max = 10, .store_bytes_max = UINT64_C(1) << 30);
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &type, place));
    OK(sf_send(rt, sf_addr("test/stubborn", "s"), "", SF_NONE));
    for (int i = 0; i < 5; i++)
        OK(sf_step(rt, 10));
    uint64_t before = place->count;
    assert_true(before >= 20);
    OK(sf_runtime_close(rt));
    rt = place_open_with(place, &options);
    OK(sf_register(rt, &type, place));
    OK(sf_step(rt, 1));
    assert_int_equal(place->count, before + 1);
    OK(sf_runtime_close(rt));
}

/* -- waiting_max ------------------------------------------------------------------------------------------- */

static const sf_type bounded = SF_TYPE("test/bounded", .handler = run_note, .waiting_max = 8);

static int64_t fill(sf_runtime *rt, const char *id, int count)
{
    int64_t ticket = 0;
    for (int i = 0; i < count && ticket >= 0; i++)
        ticket = sf_send(rt, sf_addr("test/bounded", id), "", SF_NONE);
    return ticket;
}

static void what_waits_for_one_actor_is_bounded_and_others_are_not_refused(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &bounded, place));
    OK(sf_register(rt, &good, place));
    OK(sf_pause(rt, sf_addr("test/bounded", "a"), NULL));
    OK(fill(rt, "a", 8));
    REFUSED(fill(rt, "a", 1), SF_EAGAIN);
    SAYS("'a' of type 'test/bounded'");
    OK(sf_run_until_idle(rt)); /* they wait behind the hold: still there */
    REFUSED(fill(rt, "a", 1), SF_EAGAIN);
    sf_message *reply;
    REFUSED(sf_ask(rt, sf_addr("test/bounded", "a"), "", SF_NONE, 1, &reply), SF_EAGAIN);
    REFUSED(sf_wait_room(rt, 20), SF_ETIMEOUT);
    OK(fill(rt, "b", 8));
    OK(sf_send(rt, sf_addr("test/good", "g"), "", SF_NONE));
    OK(sf_resume(rt, sf_addr("test/bounded", "a")));
    OK(sf_wait_room(rt, 10000));
    OK(fill(rt, "a", 2));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    OK(fill(rt, "a", 8)); /* all of it is free again, */
    REFUSED(fill(rt, "a", 1), SF_EAGAIN);
    OK(sf_runtime_close(rt));
    rt = place_open(place);
    OK(sf_register(rt, &bounded, place));
    OK(fill(rt, "a", 8)); /* and what an earlier run accepted is not counted */
    REFUSED(fill(rt, "a", 1), SF_EAGAIN);
    OK(sf_runtime_close(rt));
}

/* Dead letters leave like all others, more than are told at once. */
static void what_fails_for_good_makes_room_too(void **state)
{
    static const sf_type fails =
        SF_TYPE("test/bounded", .handler = fail_today, .attempts_max = 1, .waiting_max = 300);
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &fails, NULL));
    for (int round = 0; round < 3; round++) {
        OK(fill(rt, "a", 300));
        REFUSED(fill(rt, "a", 1), SF_EAGAIN);
        OK(sf_run_until_idle(rt));
    }
    OK(sf_runtime_close(rt));
}

static void a_sources_group_comes_in_whole_while_there_is_room_for_one(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    sf_source *source;
    OK(sf_register(rt, &bounded, place));
    OK(sf_source_open(rt, "input", 0, &source));
    for (int i = 0; i < 20; i++)
        OK(sf_source_send(source, sf_addr("test/bounded", "a"), "", SF_NONE));
    OK(sf_source_advance(source, 1));
    OK(sf_source_send(source, sf_addr("test/bounded", "b"), "", SF_NONE));
    OK(sf_source_send(source, sf_addr("test/bounded", "a"), "", SF_NONE));
    REFUSED(sf_source_advance(source, 2), SF_EAGAIN);
    OK(fill(rt, "b", 8)); /* nothing of it was counted */
    REFUSED(sf_source_advance(source, 2), SF_EAGAIN);
    OK(sf_wait_room(rt, 10000));
    OK(sf_source_advance(source, 2));
    OK(sf_run_until_idle(rt));
    assert_int_equal(place->count, 30);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

/* -- what waits for those who are held has a quarter of the database --------------------------- */

static const sf_options tiny = SF_OPTIONS(.inbox_bytes_max = 256 << 10, .mailbox_bytes_max = 64 << 10,
                                          .store_bytes_max = UINT64_C(16) << 20);

/* Until it is refused; numbered from `from`.  Where it ends. */
static uint64_t flood(sf_runtime *rt, const char *type, uint64_t from)
{
    uint64_t body[128] = {from};
    for (int refused = 0; !refused;) {
        int64_t ticket = sf_send(rt, sf_addr(type, "x"), "", SF_OF(body));
        assert_true(ticket > 0 || ticket == SF_EAGAIN);
        body[0] += ticket > 0;
        refused = ticket < 0 && strstr(sf_errmsg(), "is held") != NULL;
        if (ticket < 0 && !refused)
            OK(sf_run_until_idle(rt));
        assert_true(body[0] < 100000);
    }
    return body[0];
}

static void others_go_on(sf_runtime *rt)
{
    sf_message *reply = NULL;
    sf_source *source;
    counter_add(rt, "c", 1);
    OK(sf_ask(rt, sf_addr("test/counter", "c"), "get", SF_NONE, 10000, &reply));
    sf_message_free(reply);
    OK(sf_source_open(rt, "input", 0, &source));
    OK(sf_source_send(source, sf_addr("test/counter", "c"), "get", SF_NONE));
    OK(sf_source_advance(source, sf_source_position(source) + 1));
    sf_source_close(source);
}

static void never_answered(int result, const sf_message *reply, void *userdata)
{
    fail_msg("%d %p %p", result, (const void *)reply, userdata);
}

static void all_are_refused_who_send_to(sf_runtime *rt, const char *type)
{
    sf_message *reply = NULL;
    sf_source *source;
    REFUSED(sf_ask(rt, sf_addr(type, "x"), "", SF_NONE, 1, &reply), SF_EAGAIN);
    SAYS("actor 'x' of type 'test/bad' is held");
    REFUSED(sf_ask_then(rt, sf_addr(type, "x"), "", SF_NONE, 1, never_answered, NULL), SF_EAGAIN);
    OK(sf_source_open(rt, "held", 0, &source));
    OK(sf_source_send(source, sf_addr(type, "x"), "", SF_NONE));
    REFUSED(sf_source_advance(source, 1), SF_EAGAIN);
    SAYS("takes a quarter of the database");
    sf_source_close(source);
    REFUSED(sf_wait_room(rt, 20), SF_ETIMEOUT);
}

static sf_runtime *open_tiny(struct place *place, const sf_type *type)
{
    sf_runtime *rt = place_open_with(place, &tiny);
    OK(sf_register(rt, type, place));
    OK(sf_register(rt, &counter_type, NULL));
    return rt;
}

static void who_floods_a_paused_actor_is_refused_and_nobody_else(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_tiny(place, &counting);
    OK(sf_pause(rt, sf_addr("test/bad", "x"), NULL));
    uint64_t count = flood(rt, "test/bad", 0);
    assert_true(count > 1000 && count < 6000); /* a quarter of 16 MiB, and what was under way */
    all_are_refused_who_send_to(rt, "test/bad");
    others_go_on(rt);
    OK(sf_send(rt, sf_addr("test/bad", "y"), "", SF_OF(count))); /* of the same type, not held */
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));

    rt = open_tiny(place, &counting);
    OK(sf_run_until_idle(rt)); /* so that those that waited in memory do again */
    REFUSED(sf_send(rt, sf_addr("test/bad", "x"), "", SF_NONE), SF_EAGAIN);
    all_are_refused_who_send_to(rt, "test/bad");
    others_go_on(rt);
    place->count = 0;
    notes_clear(&place->notes);
    OK(sf_resume(rt, sf_addr("test/bad", "x")));
    REFUSED(sf_send(rt, sf_addr("test/bad", "x"), "", SF_NONE), SF_EAGAIN);
    OK(sf_wait_room(rt, 60000));
    OK(sf_send(rt, sf_addr("test/bad", "x"), "", SF_OF(count)));
    OK(sf_run_until_idle(rt));
    assert_int_equal(place->count, count + 1);
    assert_string_equal(noted(&place->notes), "");
    OK(sf_wait(rt, sf_pause(rt, sf_addr("test/bad", "x"), NULL), -1)); /* nothing waits any more: */
    OK(sf_send(rt, sf_addr("test/bad", "x"), "", SF_OF(count)));
    OK(sf_runtime_close(rt));
}

/* What waits for a type is in its way as well; and a type that comes late is held until all came in. */
static void who_floods_a_paused_type_is_refused_and_nobody_else(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_tiny(place, &counting);
    OK(sf_pause(rt, sf_addr("test/bad", NULL), NULL));
    uint64_t count = flood(rt, "test/bad", 0);
    all_are_refused_who_send_to(rt, "test/bad");
    others_go_on(rt);
    OK(sf_resume(rt, sf_addr("test/bad", NULL)));
    OK(sf_runtime_close(rt));

    rt = place_open_with(place, &tiny);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_run_until_idle(rt)); /* they wait for their type now */
    place->count = 0;
    notes_clear(&place->notes);
    others_go_on(rt);
    OK(sf_register(rt, &counting, place));
    REFUSED(sf_send(rt, sf_addr("test/bad", "x"), "", SF_NONE), SF_EAGAIN);
    OK(sf_wait_room(rt, 60000));
    OK(sf_send(rt, sf_addr("test/bad", "x"), "", SF_OF(count)));
    OK(sf_run_until_idle(rt));
    assert_int_equal(place->count, count + 1);
    assert_string_equal(noted(&place->notes), "");
    OK(sf_runtime_close(rt));
}

static void who_floods_an_actor_that_backs_off_is_refused_and_nobody_else(void **state)
{
    sf_runtime *rt = open_tiny(*state, &bad);
    flood(rt, "test/bad", 0);
    all_are_refused_who_send_to(rt, "test/bad");
    others_go_on(rt);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(senders_of_an_actor_that_backs_off_stop_nobody),
        TEST(a_paused_actor_waits_until_it_is_resumed_also_over_a_restart),
        TEST(a_pause_comes_before_what_was_sent_and_waits),
        TEST(a_paused_type_waits_and_others_go_on),
        TEST(what_cannot_be_paused_is_refused),
        TEST(a_question_to_a_paused_actor_is_answered_when_it_goes_on),
        TEST(messages_for_a_type_that_comes_late_take_no_memory_and_come_in_order),
        TEST(attempts_without_back_off_are_not_forgotten_at_a_restart),
        TEST(what_waits_for_one_actor_is_bounded_and_others_are_not_refused),
        TEST(what_fails_for_good_makes_room_too),
        TEST(a_sources_group_comes_in_whole_while_there_is_room_for_one),
        TEST(who_floods_a_paused_actor_is_refused_and_nobody_else),
        TEST(who_floods_a_paused_type_is_refused_and_nobody_else),
        TEST(who_floods_an_actor_that_backs_off_is_refused_and_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
