/* test_careful.c - what a page says of the process before, and what is made of it.
 *
 * The page is written by hand between two openings, as if a process had died there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "run/runtime.h"
#include "support/support.h"

enum { TURNS_MAX = 4 };

static sf_runtime *open_careful(const struct place *place)
{
    sf_options options = *defaults();
    options.epoch_turns_max = TURNS_MAX;
    return place_open_with(place, &options);
}

static void send_so_many(sf_runtime *rt, int messages)
{
    for (int i = 0; i < messages; i++)
        counter_add(rt, "a", 1);
}

/* So many messages on disk, not handled: their numbers are 1, 2, ...  Then the page is as that process
 * left it. */
static void leave(const struct place *place, int messages, uint64_t died_in, uint64_t suspect,
                  uint64_t crashes)
{
    sf_runtime *rt = open_careful(place);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_pause(rt, sf_addr("test/counter", "a"), NULL));
    send_so_many(rt, messages);
    OK(sf_wait(rt, 0, 10000));
    OK(sf_resume(rt, sf_addr("test/counter", "a"))); /* taken in at close, which runs no turn */
    OK(sf_runtime_close(rt));
    rt = open_careful(place);
    struct sfi_turn_page *page = rt->careful.page;
    page->sequence = died_in;
    page->suspect = suspect;
    page->crashes = crashes;
    sfi_careful_close(&rt->careful);
    rt->careful.page = &rt->careful.own;
    OK(sf_runtime_close(rt));
}

static void says(const sf_runtime *rt, int careful, uint64_t suspect, uint64_t crashes)
{
    const struct sfi_turn_page *page = rt->careful.page;
    assert_int_equal(page->sequence, 0);
    assert_int_equal(page->suspect, suspect);
    assert_int_equal(page->crashes, crashes);
    assert_int_equal(sfi_careful_is_on(&rt->careful), careful);
}

static void opened_says(const struct place *place, int careful, uint64_t suspect, uint64_t crashes)
{
    sf_runtime *rt = open_careful(place);
    says(rt, careful, suspect, crashes);
    OK(sf_runtime_close(rt));
}

static void who_died_in_no_turn_is_not_careful(void **state)
{
    leave(*state, 3, 0, 0, 0);
    opened_says(*state, 0, 0, 0);
}

static void a_death_counts_for_the_message_in_whose_turn_it_was(void **state)
{
    leave(*state, 3, 2, 0, 0);
    opened_says(*state, 1, 2, 1);
    leave(*state, 0, 2, 2, 1);
    opened_says(*state, 1, 2, 2);
    leave(*state, 0, 0, 2, 2); /* killed elsewhere: it is as it was */
    opened_says(*state, 0, 2, 2);
    leave(*state, 0, 3, 2, 2); /* another one: not in a row any more */
    opened_says(*state, 1, 3, 1);
}

/* That number is given again, to another message. */
static void a_death_of_a_message_without_a_row_counts_for_nobody(void **state)
{
    leave(*state, 3, 4, 0, 0);
    opened_says(*state, 1, 0, 0);
    leave(*state, 0, 4, 4, 2);
    opened_says(*state, 1, 0, 0);
}

/* A backup was put in its place, say. */
static void a_page_that_knows_more_than_the_database_is_not_believed(void **state)
{
    leave(*state, 3, 0, 4, 3);
    opened_says(*state, 0, 0, 0);
    leave(*state, 0, 0, 3, 3); /* it was to be set aside when the process was killed */
    opened_says(*state, 1, 3, 3);
}

static void it_is_careful_for_as_many_turns_as_two_epochs_have(void **state)
{
    leave(*state, 1, 1, 0, 0);
    sf_runtime *rt = open_careful(*state);
    OK(sf_register(rt, &counter_type, NULL));
    send_so_many(rt, 2 * TURNS_MAX - 2);
    OK(sf_run_until_idle(rt));
    says(rt, 1, 1, 1);
    counter_add(rt, "a", 1);
    OK(sf_run_until_idle(rt));
    says(rt, 0, 1, 1);
    assert_int_equal(counter_stored(rt, "a").messages, 2 * TURNS_MAX);
    OK(sf_runtime_close(rt));
}

/* One that is not met in that time is not waited for: its number may be gone. */
static void who_is_not_met_is_forgotten(void **state)
{
    leave(*state, 1, 1, 1, 2);
    sf_runtime *rt = open_careful(*state);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_purge(rt, sf_addr("test/counter", "a")));
    OK(sf_run_until_idle(rt));
    for (int i = 0; i < 2 * TURNS_MAX; i++)
        counter_add(rt, "b", 1);
    OK(sf_run_until_idle(rt));
    says(rt, 0, 0, 0);
    assert_int_equal(stats_of(rt).dead_letters, 0); /* it was dropped, not set aside */
    OK(sf_runtime_close(rt));
}

static void the_message_is_a_dead_letter_and_the_page_forgets_it_when_that_is_on_disk(void **state)
{
    struct place *place = *state;
    leave(place, 3, 2, 2, 2);
    sf_runtime *rt = open_careful(place);
    OK(sf_register(rt, &counter_type, NULL));
    says(rt, 1, 2, 3);
    for (int i = 0; i < 1000 && rt->careful.page->suspect; i++)
        OK(sf_step(rt, 1));
    says(rt, 1, 0, 0);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view)); /* what is durable */
    assert_string_equal(sf_view_dead(view, 0)->reason, "the process died 3 times in its turn");
    sf_view_close(view);
    OK(sf_run_until_idle(rt));
    assert_int_equal(counter_stored(rt, "a").messages, 2);
    OK(sf_runtime_close(rt));
}

static int look_at_page(sf_turn *turn)
{
    const sf_runtime *rt = turn->rt;
    struct place *place = sf_userdata(turn);
    note(&place->notes, "%d ", (int)rt->careful.page->sequence);
    if (sf_is(sf_msg(turn), "call"))
        sf_call(turn, sf_addr("test/looks", "other"), "", SF_NONE);
    if (sf_is(sf_msg(turn), "fail"))
        return sf_fail(turn, "no");
    return 0;
}

static void the_page_says_which_turn_is_under_way_and_then_none(void **state)
{
    static const sf_type type = SF_TYPE("test/looks", .handler = look_at_page, .attempts_max = 2);
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &type, place));
    OK(sf_send(rt, sf_addr("test/looks", "a"), "call", SF_NONE));
    OK(sf_send(rt, sf_addr("test/looks", "a"), "fail", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "1 1 2 2 ");
    says(rt, 0, 0, 0);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_died_in_no_turn_is_not_careful),
        TEST(a_death_counts_for_the_message_in_whose_turn_it_was),
        TEST(a_death_of_a_message_without_a_row_counts_for_nobody),
        TEST(a_page_that_knows_more_than_the_database_is_not_believed),
        TEST(it_is_careful_for_as_many_turns_as_two_epochs_have),
        TEST(who_is_not_met_is_forgotten),
        TEST(the_message_is_a_dead_letter_and_the_page_forgets_it_when_that_is_on_disk),
        TEST(the_page_says_which_turn_is_under_way_and_then_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
