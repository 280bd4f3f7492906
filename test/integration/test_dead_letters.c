/* test_dead_letters.c - what could not be handled is kept, with the reason. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "support/support.h"

static int forward_bad(sf_turn *turn)
{
    return sf_tell(turn, sf_addr("test/counter", "victim"), "reject", sf_str("from an actor"));
}

static const sf_type forwarder = SF_TYPE("test/forwarder", .handler = forward_bad);

static sf_runtime *open_both(const struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_register(rt, &forwarder, NULL));
    return rt;
}

static void a_dead_letter_is_the_message_and_the_reason(void **state)
{
    sf_runtime *rt = open_both(*state);
    OK(sf_send(rt, sf_addr("test/counter", "a"), "fail", sf_str("the bank is down")));
    OK(sf_send(rt, sf_addr("test/forwarder", "f"), "go", SF_NONE));
    drive_until_quiet(rt);
    for (int run = 0; run < 2; run++) { /* and after a restart */
        sf_view *view = NULL;
        OK(sf_view_open(rt, &view));
        const sf_message *dead = sf_view_dead(view, 0);
        assert_non_null(dead);
        assert_int_equal(dead->sequence, 1);
        assert_string_equal(dead->to.type, "test/counter");
        assert_int_equal(dead->to.id.size, 1);
        assert_string_equal(id_text(dead->to), "a");
        assert_null(dead->from.type); /* the outside */
        assert_string_equal(dead->kind, "fail");
        assert_int_equal(dead->body.size, 16);
        assert_string_equal(dead->body.data, "the bank is down");
        HAS(dead->reason, "the bank is down");
        assert_int_equal(dead->attempt, 3);
        dead = sf_view_dead(view, 1);
        assert_non_null(dead);
        assert_int_equal(dead->sequence, 2);
        assert_string_equal(id_text(dead->to), "victim");
        assert_string_equal(dead->from.type, "test/forwarder");
        assert_string_equal(id_text(dead->from), "f");
        HAS(dead->reason, "from an actor");
        assert_int_equal(dead->attempt, 1);
        assert_null(sf_view_dead(view, 2));
        assert_null(sf_view_dead(view, UINT64_MAX));
        sf_view_close(view);
        OK(sf_runtime_close(rt));
        rt = open_both(*state);
    }
    OK(sf_runtime_close(rt));
}

static void they_are_numbered_without_holes_over_restarts(void **state)
{
    for (int run = 0; run < 3; run++) {
        sf_runtime *rt = open_both(*state);
        for (int i = 0; i < 20; i++) {
            counter_add(rt, "a", 1);
            OK(sf_send(rt, sf_addr("test/counter", "a"), i % 2 ? "fail" : "reject", sf_str("no")));
        }
        drive_until_quiet(rt);
        assert_int_equal(stats_of(rt).dead_letters, 20);
        OK(sf_runtime_close(rt));
    }
    sf_runtime *rt = open_both(*state);
    sf_view *view = NULL;
    uint64_t count = 0;
    OK(sf_view_open(rt, &view));
    for (const sf_message *dead; (dead = sf_view_dead(view, count)); count++) {
        assert_int_equal(dead->sequence, count + 1);
        assert_string_equal(dead->kind, count % 2 ? "fail" : "reject");
    }
    assert_int_equal(count, 60);
    assert_int_equal(counter_stored(rt, "a").total, 60);
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static void a_kind_that_nobody_handles_is_one_with_a_reason_naming_it(void **state)
{
    sf_runtime *rt = open_both(*state);
    OK(sf_send(rt, sf_addr("test/counter", "a"), "multiply", SF_NONE));
    drive_until_quiet(rt);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    const sf_message *dead = sf_view_dead(view, 0);
    assert_non_null(dead);
    HAS(dead->reason, "multiply");
    HAS(dead->reason, "test/counter");
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static int reject_at_length(sf_turn *turn)
{
    static char text[20000];
    memset(text, 'r', sizeof text - 1);
    return sf_reject(turn, "long %s", text);
}

static void a_very_long_reason_is_cut_not_refused(void **state)
{
    static const sf_type type = SF_TYPE("test/wordy", .handler = reject_at_length);
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &type, NULL));
    OK(sf_send(rt, sf_addr("test/wordy", "w"), "x", SF_NONE));
    drive_until_quiet(rt);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    const sf_message *dead = sf_view_dead(view, 0);
    assert_non_null(dead);
    HAS(dead->reason, "long rrrrrrrr");
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

/* Ids and bodies of any bytes. */
static void a_dead_letter_keeps_binary_bytes(void **state)
{
    sf_runtime *rt = open_both(*state);
    const sf_address to = {"test/counter", {"a\0b", 3}};
    OK(sf_send(rt, to, "reject", SF_BYTES("\0\xff\0", 3)));
    drive_until_quiet(rt);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    const sf_message *dead = sf_view_dead(view, 0);
    assert_non_null(dead);
    assert_int_equal(dead->to.id.size, 3);
    assert_memory_equal(dead->to.id.data, "a\0b", 3);
    assert_int_equal(dead->body.size, 3);
    assert_memory_equal(dead->body.data, "\0\xff\0", 3);
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static int fail_always(sf_turn *turn)
{
    return sf_fail(turn, "never");
}

/* Twice as many failures as an epoch has turns, and nothing else to write. */
static void a_message_that_fails_for_epochs_on_end_stops_nobody(void **state)
{
    static const sf_type type =
        SF_TYPE("test/never", .handler = fail_always, .attempts_max = 20);
    for (uint32_t turns = 1; turns <= 3; turns++)
        for (int is_inline = 0; is_inline < 2; is_inline++) {
            struct place *place = *state;
            sf_options options =
                SF_OPTIONS(.epoch_turns_max = turns, .commit_inline = is_inline);
            snprintf(place->db, sizeof place->db, "%.200s/%u%d", place->dir, turns, is_inline);
            sf_runtime *rt = place_open_with(place, &options);
            OK(sf_register(rt, &counter_type, NULL));
            OK(sf_register(rt, &type, NULL));
            OK(sf_send(rt, sf_addr("test/never", "n"), "go", SF_NONE));
            for (uint64_t end = mono_ms() + 10000; stats_of(rt).dead_letters == 0;) {
                assert_true(mono_ms() < end);
                OK(sf_step(rt, 0));
            }
            OK(sf_wait(rt, counter_add(rt, "a", 1), 10000));
            assert_int_equal(stats_of(rt).turns_failed, 20);
            OK(sf_runtime_close(rt));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_dead_letter_is_the_message_and_the_reason),
        TEST(they_are_numbered_without_holes_over_restarts),
        TEST(a_kind_that_nobody_handles_is_one_with_a_reason_naming_it),
        TEST(a_very_long_reason_is_cut_not_refused),
        TEST(a_dead_letter_keeps_binary_bytes),
        TEST(a_message_that_fails_for_epochs_on_end_stops_nobody),
    };
    return cmocka_run_group_tests_name("dead letters", tests, NULL, NULL);
}
