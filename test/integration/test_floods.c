/* test_floods.c - handlers that send more than they take, and what that does to others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "statefun.h"
#include "support/support.h"

enum { CEILING = 8 << 20, PIECE = 2048, ACTORS = 64 };

struct flood {
    uint64_t turns;
    int is_over;
};

/* Each message begets two, to whoever is next. */
static int beget(sf_turn *turn)
{
    static char piece[PIECE];
    struct flood *flood = sf_userdata(turn);
    flood->turns++;
    for (int i = 0; i < 2 && !flood->is_over; i++) {
        unsigned char id = (unsigned char)((*id_text(sf_self(turn)) * 2 + i) % ACTORS + 1);
        sf_tell(turn, (sf_address){"test/flood", SF_OF(id)}, "", SF_OF(piece));
    }
    return 0;
}

static int say_hello(sf_turn *turn)
{
    return sf_reply(turn, "hello", SF_NONE);
}

static const sf_type flood_type = SF_TYPE("test/flood", .handler = beget);
static const sf_type calm_type = SF_TYPE("test/calm", .handler = say_hello);

static sf_runtime *open_flood(struct place *place, struct flood *flood)
{
    const sf_options options = SF_OPTIONS(.store_bytes_max = CEILING, .mailbox_bytes_max = 256 << 10,
                                          .epoch_turns_max = 256);
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &flood_type, flood));
    OK(sf_register(rt, &calm_type, NULL));
    OK(sf_send(rt, sf_addr("test/flood", "a"), "", SF_NONE));
    return rt;
}

static void a_chain_reaction_neither_fills_the_database_nor_stops_the_others(void **state)
{
    struct flood flood = {0, 0};
    sf_runtime *rt = open_flood(*state, &flood);
    for (int i = 0; i < 300; i++)
        OK(sf_step(rt, 0)); /* no SF_EDISK: turns do not wait for room */
    assert_true(stats_of(rt).turns_failed > 0); /* else the bound was never met */
    assert_int_equal(stats_of(rt).dead_letters, 0);
    sf_message *reply = NULL;
    OK(sf_ask(rt, sf_addr("test/calm", "c"), "", SF_NONE, 20000, &reply));
    assert_string_equal(reply->kind, "hello");
    sf_message_free(reply);
    flood.is_over = 1;
    for (uint64_t end = mono_ms() + 30000; stats_of(rt).messages_waiting && mono_ms() < end;)
        OK(sf_step(rt, 0));
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    OK(sf_runtime_close(rt));
}

/* Each answer is a little longer than its question: with nobody else there the chain goes on. */
static void a_flood_that_is_alone_goes_on_slowly(void **state)
{
    struct flood flood = {0, 0};
    sf_runtime *rt = open_flood(*state, &flood);
    while (stats_of(rt).turns_failed == 0)
        OK(sf_step(rt, 0));
    uint64_t turns = stats_of(rt).turns;
    for (uint64_t end = mono_ms() + 10000; stats_of(rt).turns == turns && mono_ms() < end;)
        OK(sf_step(rt, 0));
    assert_true(stats_of(rt).turns > turns);
    flood.is_over = 1;
    OK(sf_runtime_close(rt));
}

/* -- what fills the database otherwise ----------------------------------------------------------- */

enum { HOARD = 100 << 10 };
static sf_value hoard = SF_VALUE("hoard");

static int keep(sf_turn *turn)
{
    static char bytes[HOARD];
    return sf_value_put(turn, &hoard, SF_OF(bytes));
}

/* One tells ten, and they tell nobody. */
static int fan_out(sf_turn *turn)
{
    for (int i = 0; i < 10 && !sf_is(sf_msg(turn), "leaf"); i++)
        sf_tell(turn, sf_addr("test/fan", "g"), "leaf", SF_NONE);
    return 0;
}

/* Only messages that wait are held against who sends more of them. */
static void in_a_database_full_of_states_turns_may_send_more_than_they_took(void **state)
{
    static const sf_type hoarder = SF_TYPE("test/hoarder", .handler = keep, .values = {&hoard});
    static const sf_type fan = SF_TYPE("test/fan", .handler = fan_out);
    const sf_options options = SF_OPTIONS(.store_bytes_max = CEILING);
    sf_runtime *rt = place_open_with(*state, &options);
    OK(sf_register(rt, &hoarder, NULL));
    OK(sf_register(rt, &fan, NULL));
    for (unsigned char id = 1; id <= 44; id++) { /* more than half of it */
        OK(sf_send(rt, (sf_address){"test/hoarder", SF_OF(id)}, "", SF_NONE));
        OK(sf_run_until_idle(rt));
    }
    for (int i = 0; i < 100; i++)
        OK(sf_send(rt, sf_addr("test/fan", "f"), "", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).turns_failed, 0);
    assert_int_equal(stats_of(rt).turns, 44 + 100 + 1000);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_chain_reaction_neither_fills_the_database_nor_stops_the_others),
        TEST(a_flood_that_is_alone_goes_on_slowly),
        TEST(in_a_database_full_of_states_turns_may_send_more_than_they_took),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
