/* test_formats.c - a database that the library of format 2 wrote opens, with every row of it.
 *
 * test/data/format-2.c says how it was made: 200 carts, the first 20 of them changed later, so that their
 * newest states lie in the changelog; three messages for a type that is not registered; one that failed
 * and waits an hour, and one that waits for it; four dead letters; a source; two egresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "support/support.h"

enum { CARTS = 200, CHANGED = 20, EMITTED = 30, ACKED = 12, POSITION = 41 };

struct cart {
    uint64_t total, orders;
};

static const sf_value note_value = SF_VALUE("note");

static int cart(sf_turn *turn)
{
    struct cart *cart = sf_state(turn);
    const uint64_t *number = sf_body(turn, sizeof *number);
    if (!cart || !number)
        return -1;
    cart->orders++;
    cart->total += *number;
    return 0;
}

static int gone(sf_turn *turn)
{
    struct notes *notes = sf_userdata(turn);
    const uint64_t *number = sf_body(turn, sizeof *number);
    note(notes, "%s %d;", sf_msg(turn)->kind, number ? (int)*number : -1);
    return 0;
}

static const sf_type cart_type =
    SF_TYPE("shop/cart", .handler = cart, .state_version = 3, .state_size = sizeof(struct cart),
            .values = {&note_value}, .backoff_ms = 3600000, .backoff_ms_max = 3600000);
static const sf_type gone_type = SF_TYPE("shop/gone", .handler = gone);
static const sf_type new_type =
    SF_TYPE("shop/new", .handler = cart, .state_size = sizeof(struct cart));

static sf_runtime *open_old(struct place *place)
{
    place_copy(place, "format-2");
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &cart_type, NULL));
    return rt;
}

static struct cart stored(sf_view *view, const char *type, const char *id)
{
    struct cart cart = {0, 0};
    sf_bytes bytes = sf_view_state(view, sf_addr(type, id));
    if (bytes.size == sizeof cart)
        memcpy(&cart, bytes.data, sizeof cart);
    return cart;
}

static void has(sf_view *view, const char *id, uint64_t total, uint64_t orders)
{
    struct cart cart = stored(view, "shop/cart", id);
    assert_int_equal(cart.total, total);
    assert_int_equal(cart.orders, orders);
}

static void every_state_and_value_is_there(void **state)
{
    sf_runtime *rt = open_old(*state);
    sf_view *view;
    int actors = 0;
    OK(sf_view_open(rt, &view));
    for (uint64_t i = 0; i < CARTS; i++) {
        char id[8];
        snprintf(id, sizeof id, "%03d", (int)i);
        has(view, id, i < CHANGED ? i + 1000 : i, i < CHANGED ? 2 : 1);
        sf_bytes note = sf_view_value(view, sf_addr("shop/cart", id), &note_value);
        assert_int_equal(note.size, sizeof "noted");
        assert_memory_equal(note.data, "noted", sizeof "noted");
    }
    has(view, "emitter", EMITTED * (EMITTED + 1) / 2, EMITTED);
    has(view, "teller", 6, 3);
    has(view, "sourced", 5, 1);
    sf_cursor *cursor = sf_view_actors(view, "shop/cart");
    while (sf_next(cursor))
        actors++;
    OK(sf_cursor_error(cursor));
    assert_int_equal(actors, CARTS + 3);
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static void every_dead_letter_is_there(void **state)
{
    sf_runtime *rt = open_old(*state);
    sf_view *view;
    OK(sf_view_open(rt, &view));
    for (uint64_t i = 1; i <= 4; i++) {
        const sf_message *letter = sf_view_dead(view, i - 1);
        char reason[64];
        assert_non_null(letter);
        snprintf(reason, sizeof reason, "cart judge takes no %d", (int)i);
        assert_string_equal(letter->reason, reason);
        assert_string_equal(letter->kind, "bad");
        assert_string_equal(letter->to.id.data, "judge");
        assert_int_equal(letter->sequence, i);
        assert_memory_equal(letter->body.data, &i, sizeof i);
    }
    assert_null(sf_view_dead(view, 4));
    OK(sf_view_error(view));
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static void every_waiting_message_is_there(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_old(place);
    sf_view *view;
    OK(sf_step(rt, 1));
    OK(sf_run_until_idle(rt));
    /* The two of "slow" wait for an hour that may be over: they run in order, or not at all. */
    assert_true(stats_of(rt).messages_waiting == 5 || stats_of(rt).messages_waiting == 3);
    OK(sf_register(rt, &gone_type, &place->notes));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "hello 1;hello 2;hello 3;");
    uint64_t waiting = stats_of(rt).messages_waiting;
    OK(sf_view_open(rt, &view));
    has(view, "slow", waiting ? 0 : 7 + 8, waiting ? 0 : 2);
    assert_true(waiting == 2 || waiting == 0);
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static int collect(const sf_message *const *records, size_t count, void *userdata)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t number;
        memcpy(&number, records[i]->body.data, sizeof number);
        note(userdata, "%d=%d;", (int)records[i]->sequence, (int)number);
    }
    return (int)count;
}

static void every_egress_record_is_there(void **state)
{
    struct place *place = *state;
    char expected[512] = "";
    sf_runtime *rt = open_old(place);
    OK(sf_egress_register(rt, "mail", collect, &place->notes));
    OK(sf_run_until_idle(rt));
    for (int i = ACKED + 1; i <= EMITTED / 2; i++)
        snprintf(expected + strlen(expected), 32, "%d=%d;", i, 2 * i - 1);
    assert_string_equal(noted(&place->notes), expected);
    notes_clear(&place->notes);
    *expected = 0;
    OK(sf_egress_register(rt, "alarm", collect, &place->notes));
    OK(sf_run_until_idle(rt));
    for (int i = 1; i <= EMITTED / 2; i++)
        snprintf(expected + strlen(expected), 32, "%d=%d;", i, 2 * i);
    assert_string_equal(noted(&place->notes), expected);
    OK(sf_runtime_close(rt));
}

static void the_source_goes_on_where_it_was(void **state)
{
    sf_runtime *rt = open_old(*state);
    sf_source *source;
    OK(sf_source_open(rt, "orders", 3, &source));
    assert_int_equal(sf_source_position(source), POSITION);
    assert_int_equal(sf_source_advance(source, POSITION), 1);
    assert_int_equal(sf_source_advance(source, POSITION + 1), 0);
    OK(sf_run_until_idle(rt));
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

/* Numbers that format 2 gave are not given again, though it did not say how many those were. */
static void what_is_new_gets_numbers_of_its_own(void **state)
{
    struct place *place = *state;
    uint64_t one = 1;
    sf_runtime *rt = open_old(place);
    for (int life = 1; life <= 3; life++) {
        sf_view *view;
        OK(sf_register(rt, &new_type, NULL));
        OK(sf_send(rt, sf_addr("shop/new", "100"), "add", SF_OF(one)));
        OK(sf_send(rt, sf_addr("shop/cart", "100"), "add", SF_OF(one)));
        OK(sf_run_until_idle(rt));
        OK(sf_view_open(rt, &view));
        has(view, "100", 100 + (uint64_t)life, 1 + (uint64_t)life);
        assert_int_equal(stored(view, "shop/new", "100").total, life);
        sf_view_close(view);
        OK(sf_runtime_close(rt));
        rt = place_open(place);
        OK(sf_register(rt, &cart_type, NULL));
    }
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_state_and_value_is_there),
        TEST(every_dead_letter_is_there),
        TEST(every_waiting_message_is_there),
        TEST(every_egress_record_is_there),
        TEST(the_source_goes_on_where_it_was),
        TEST(what_is_new_gets_numbers_of_its_own),
    };
    return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}
