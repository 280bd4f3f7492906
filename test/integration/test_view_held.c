/* test_view_held.c - who is held, and why; and a type that is held is reached by nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "support/support.h"

static int run_worker(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    place->count++;
    return sf_is(sf_msg(turn), "bad") ? sf_reject(turn, "bad news") : sf_reply(turn, "done", SF_NONE);
}

static int run_caller(sf_turn *turn)
{
    return sf_reply(turn, sf_call(turn, sf_addr("test/worker", "w"), "work", SF_NONE)->kind, SF_NONE);
}

static const sf_type worker_type =
    SF_TYPE("test/worker", .handler = run_worker, .after_last_attempt = SF_PAUSE_ACTOR);
static const sf_type caller_type = SF_TYPE("test/caller", .handler = run_caller, .attempts_max = 1);

static sf_runtime *open_workers(struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &worker_type, place));
    OK(sf_register(rt, &caller_type, place));
    return rt;
}

/* "id: why; " of each. */
static void held_are(sf_runtime *rt, struct place *place, const char *expected)
{
    sf_view *view = NULL;
    OK(sf_run_until_idle(rt));
    OK(sf_view_open(rt, &view));
    notes_clear(&place->notes);
    sf_cursor *cursor = sf_view_held(view, "test/worker");
    for (const sf_entry *entry; (entry = sf_next(cursor));)
        note(&place->notes, "%s: %s; ", (const char *)entry->key.data, (const char *)entry->value.data);
    OK(sf_cursor_error(cursor));
    assert_string_equal(noted(&place->notes), expected);
    sf_view_close(view);
}

static void those_held_are_listed_with_their_reason(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_workers(place);
    held_are(rt, place, "");
    OK(sf_send(rt, sf_addr("test/worker", "b"), "bad", SF_NONE));
    OK(sf_pause(rt, sf_addr("test/worker", "aa"), "by hand"));
    OK(sf_pause(rt, sf_addr("test/worker", "c"), NULL));
    OK(sf_pause(rt, sf_addr("test/caller", "a"), "another type"));
    OK(sf_purge(rt, sf_addr("test/worker", "gone"))); /* waits for nothing */
    held_are(rt, place, "b: bad news; c: paused; aa: by hand; ");
    OK(sf_pause(rt, sf_addr("test/worker", NULL), "all of them"));
    held_are(rt, place, ": all of them; b: bad news; c: paused; aa: by hand; ");
    OK(sf_runtime_close(rt));
    rt = open_workers(place);
    held_are(rt, place, ": all of them; b: bad news; c: paused; aa: by hand; ");
    OK(sf_resume(rt, sf_addr("test/worker", NULL)));
    OK(sf_resume(rt, sf_addr("test/worker", "c")));
    held_are(rt, place, "b: bad news; aa: by hand; ");
    OK(sf_runtime_close(rt));
}

static void a_view_shows_who_was_held_when_it_was_opened(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_workers(place);
    sf_view *view = NULL;
    OK(sf_pause(rt, sf_addr("test/worker", "a"), "then"));
    OK(sf_wait(rt, 0, 10000));
    OK(sf_view_open(rt, &view));
    OK(sf_resume(rt, sf_addr("test/worker", "a")));
    OK(sf_run_until_idle(rt));
    const sf_entry *entry = sf_next(sf_view_held(view, "test/worker"));
    assert_non_null(entry);
    assert_string_equal(entry->value.data, "then");
    assert_null(sf_next(sf_view_held(view, "test/nobody")));
    assert_int_equal(sf_cursor_error(sf_view_held(view, "test/nobody")), SF_ENOTFOUND);
    assert_int_equal(sf_cursor_error(sf_view_held(NULL, "test/worker")), SF_EINVAL);
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static void note_result(int result, const sf_message *reply, void *userdata)
{
    struct place *place = userdata;
    note(&place->notes, "%s %s ", sf_errname(result), reply ? reply->kind : "");
}

/* Not by what was sent before, nor after, nor by a call, before a restart and after it. */
static void a_type_that_is_paused_is_reached_by_nothing(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_workers(place);
    OK(sf_send(rt, sf_addr("test/worker", "w"), "before", SF_NONE));
    OK(sf_pause(rt, sf_addr("test/worker", NULL), "all of them"));
    OK(sf_send(rt, sf_addr("test/worker", "w"), "after", SF_NONE));
    OK(sf_send(rt, sf_addr("test/caller", "c"), "call", SF_NONE));
    for (int run = 0; run < 2; run++) {
        for (uint64_t end = mono_ms() + 100; mono_ms() < end;)
            OK(sf_run_until_idle(rt));
        assert_int_equal(place->count, 0);
        assert_true(stats_of(rt).turns_failed > 0); /* the caller tries, */
        assert_int_equal(stats_of(rt).dead_letters, 0); /* and no attempt is counted */
        OK(sf_runtime_close(rt));
        rt = open_workers(place);
    }
    notes_clear(&place->notes);
    OK(sf_ask_then(rt, sf_addr("test/caller", "c"), "call", SF_NONE, -1, note_result, place));
    OK(sf_resume(rt, sf_addr("test/worker", NULL)));
    drive_until_quiet(rt);
    assert_int_equal(place->count, 4); /* two messages, two calls */
    assert_string_equal(noted(&place->notes), "success done ");
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(those_held_are_listed_with_their_reason),
        TEST(a_view_shows_who_was_held_when_it_was_opened),
        TEST(a_type_that_is_paused_is_reached_by_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
