/* test_deadly_turns.c - a message whose turn kills the process is set aside; all others count once.
 *
 * Children die in turns, and a parent starts them again until one comes to the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "support/storm.h"
#include "support/support.h"

enum { LEDGERS = 50, DEATHS_MOST = 20, KILLS = 25 };

/* What a run is like. */
struct plan {
    struct place *place;
    uint64_t messages, poison;
    const char *door; /* where the poison comes from: "outside", "turn", "call" */
    uint32_t crashes_max;
    int commit_inline, relaxed;
};

struct order {
    uint64_t number;
    uint64_t is_poison;
};

static sf_address ledger(uint64_t number)
{
    static char id[24];
    snprintf(id, sizeof id, "%llu", (unsigned long long)(number % LEDGERS));
    return sf_addr("test/ledger", id);
}

/* Adds the number; poison ends the process. */
static int run_ledger(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    const struct order *order = sf_body(turn, sizeof *order);
    self->messages++;
    self->total += order->number;
    if (order->is_poison)
        abort();
    return 0;
}

/* Passes an order on to a ledger, and counts it itself. */
static int run_clerk(sf_turn *turn)
{
    const struct plan *plan = sf_userdata(turn);
    struct counter *self = sf_state(turn);
    struct order order = *(const struct order *)sf_body(turn, sizeof order);
    self->messages++;
    order.is_poison = order.number == plan->poison;
    if (strcmp(plan->door, "call") != 0)
        return sf_tell(turn, ledger(order.number), "add", SF_OF(order));
    sf_call(turn, ledger(order.number), "add", SF_OF(order));
    return 0;
}

static const sf_type ledger_type =
    SF_TYPE("test/ledger", .handler = run_ledger, .state_size = sizeof(struct counter));
static const sf_type clerk_type =
    SF_TYPE("test/clerk", .handler = run_clerk, .state_size = sizeof(struct counter));

static sf_runtime *open_books(struct plan *plan)
{
    sf_options options = *defaults();
    options.commit_inline = plan->commit_inline;
    options.relaxed = plan->relaxed;
    options.crashes_max = plan->crashes_max;
    sf_runtime *rt = place_open_with(plan->place, &options);
    OK(sf_register(rt, &ledger_type, plan));
    OK(sf_register(rt, &clerk_type, plan));
    return rt;
}

/* There is no room now and then. */
static int advance(sf_runtime *rt, sf_source *source, uint64_t number)
{
    int rc;
    while ((rc = sf_source_advance(source, number)) == SF_EAGAIN)
        if ((rc = sf_step(rt, 0)) < 0)
            break;
    return rc;
}

/* Everything from where the source stands. */
static int feed_all(void *arg)
{
    struct plan *plan = arg;
    sf_runtime *rt = open_books(plan);
    sf_source *source = NULL;
    int from_outside = strcmp(plan->door, "outside") == 0;
    OK(sf_source_open(rt, "orders", 0, &source));
    for (uint64_t number = sf_source_position(source) + 1; number <= plan->messages; number++) {
        struct order order = {number, from_outside && number == plan->poison};
        OK(sf_source_send(source, from_outside ? ledger(number) : sf_addr("test/clerk", "c"), "add",
                          SF_OF(order)));
        OK(advance(rt, source, number));
        if (number % 100 == 0)
            OK(sf_step(rt, 0));
    }
    sf_source_close(source);
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));
    return 0;
}

/* So many processes died. */
static int run_to_the_end(struct plan *plan)
{
    int deaths = 0, status;
    while ((status = in_child(feed_all, plan)) == -SIGABRT && deaths < DEATHS_MOST)
        deaths++;
    assert_int_equal(status, 0);
    return deaths;
}

static struct counter sum_of(sf_runtime *rt, const char *type)
{
    struct counter sum = {0, 0};
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    sf_cursor *cursor = sf_view_actors(view, type);
    for (const sf_entry *entry; (entry = sf_next(cursor));) {
        const struct counter *one = entry->value.data;
        sum.total += one->total;
        sum.messages += one->messages;
    }
    OK(sf_cursor_error(cursor));
    sf_view_close(view);
    return sum;
}

/* Exactly one letter, the one that kills. */
static void only_the_poison_is_dead(sf_runtime *rt, const struct plan *plan)
{
    char reason[100];
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    const sf_message *letter = sf_view_dead(view, 0);
    assert_non_null(letter);
    snprintf(reason, sizeof reason, "the process died %u times in its turn",
             plan->crashes_max ? plan->crashes_max : 3);
    assert_string_equal(letter->reason, reason);
    assert_int_equal(((const struct order *)letter->body.data)->number, plan->poison);
    assert_null(sf_view_dead(view, letter->sequence));
    sf_view_close(view);
}

static void storm(struct plan plan)
{
    remove_tree(plan.place->db);
    uint32_t most = plan.crashes_max ? plan.crashes_max : 3;
    int is_call = strcmp(plan.door, "call") == 0;
    int deaths = run_to_the_end(&plan);
    assert_in_range(deaths, most, most + 1);
    sf_runtime *rt = open_books(&plan);
    uint64_t all = plan.messages * (plan.messages + 1) / 2;
    struct counter sum = sum_of(rt, "test/ledger");
    assert_int_equal(sum.messages, plan.messages - 1);
    assert_int_equal(sum.total, all - plan.poison);
    if (strcmp(plan.door, "outside") != 0)
        assert_int_equal(sum_of(rt, "test/clerk").messages, plan.messages - (uint64_t)is_call);
    only_the_poison_is_dead(rt, &plan);
    OK(sf_runtime_close(rt));
}

static void a_message_that_kills_the_process_is_set_aside_and_no_other(void **state)
{
    struct plan plan = {.place = *state, .messages = 3000, .door = "outside"};
    static const uint64_t poisons[] = {1, 1500, 3000};
    for (size_t i = 0; i < sizeof poisons / sizeof *poisons; i++) {
        plan.poison = poisons[i];
        plan.commit_inline = i == 1;
        plan.relaxed = i == 2;
        storm(plan);
    }
}

/* It has no row when the process dies first: nobody knows its number. */
static void one_that_a_turn_sends_is_found_as_well(void **state)
{
    struct plan plan = {.place = *state, .messages = 3000, .poison = 1234, .door = "turn"};
    storm(plan);
    plan.commit_inline = 1;
    storm(plan);
}

static void a_turn_inside_another_dies_under_the_outer_ones_name(void **state)
{
    struct plan plan = {.place = *state, .messages = 500, .poison = 77, .door = "call"};
    storm(plan);
}

static void how_often_it_may_kill_is_an_option(void **state)
{
    struct plan plan = {
        .place = *state, .messages = 300, .poison = 77, .door = "outside", .crashes_max = 1};
    storm(plan);
    plan.crashes_max = 6;
    storm(plan);
}

/* -- killed from outside ----------------------------------------------------------------------- */

static void kills_from_outside_set_nothing_aside(void **state)
{
    struct plan plan = {.place = *state, .messages = 150000, .door = "turn"};
    struct dice dice = {20251121};
    int kills = 0, ended = 0;
    storm_init();
    for (; !ended; kills++) {
        struct child child;
        assert_int_equal(child_fork(&child, feed_all, &plan), 0);
        if (kills < KILLS)
            child_kill_after(&child, 1000 + dice_below(&dice, 60000));
        else
            assert_int_equal(child_wait(&child, 120000), 0);
        ended = child_succeeded(&child);
        assert_true(ended || child.was_killed);
    }
    sf_runtime *rt = open_books(&plan);
    struct counter sum = sum_of(rt, "test/ledger");
    assert_int_equal(sum.messages, plan.messages);
    assert_int_equal(sum.total, plan.messages * (plan.messages + 1) / 2);
    assert_int_equal(stats_of(rt).dead_kept, 0);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    const struct CMUnitTest tests[] = {
        TEST(a_message_that_kills_the_process_is_set_aside_and_no_other),
        TEST(one_that_a_turn_sends_is_found_as_well),
        TEST(a_turn_inside_another_dies_under_the_outer_ones_name),
        TEST(how_often_it_may_kill_is_an_option),
        TEST(kills_from_outside_set_nothing_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
