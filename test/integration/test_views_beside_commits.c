/* test_views_beside_commits.c - views on other threads while commits and sweeps go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "support/speaker.h"

enum { PLAYERS = 40, ROUNDS = 200, LOOKERS = 3 };

struct round {
    uint64_t number;
};

static const char CONDUCTOR[] = "test/conductor", PLAYER[] = "test/player";

static const sf_value score = SF_VALUE("score");

static int conduct(sf_turn *turn)
{
    struct round *self = sf_state(turn);
    self->number++;
    for (int i = 0; i < PLAYERS; i++) {
        char id = (char)('0' + i);
        sf_tell(turn, (sf_address){PLAYER, SF_OF(id)}, "play", SF_OF(*self));
    }
    return 0;
}

static int play(sf_turn *turn)
{
    struct round *self = sf_state(turn);
    *self = *(const struct round *)sf_body(turn, sizeof *self);
    return sf_value_put(turn, &score, SF_OF(*self));
}

static const sf_type conductor_type =
    SF_TYPE(CONDUCTOR, .handler = conduct, .state_size = sizeof(struct round));
static const sf_type player_type =
    SF_TYPE(PLAYER, .handler = play, .state_size = sizeof(struct round), .values = {&score});

static uint64_t round_in(sf_bytes bytes)
{
    struct round round = {0};
    if (bytes.size == sizeof round)
        memcpy(&round, bytes.data, sizeof round);
    return round.number;
}

struct looker {
    sf_runtime *rt;
    _Atomic int *stop;
    uint64_t looks, wrong, sum_before;
    pthread_t thread;
};

/* Players play in order, so none is behind the next one, nor more than a round ahead of the last;
 * both of a player's rows are of the same turn; and a walk finds what single reads found. */
static uint64_t faults_in(sf_view *view, uint64_t *out_sum)
{
    uint64_t before = round_in(sf_view_state(view, sf_addr(CONDUCTOR, "c"))), first = 0;
    uint64_t wrong = 0, sum = 0, walked = 0;
    for (int i = 0; i < PLAYERS; i++) {
        char id = (char)('0' + i);
        sf_address player = {PLAYER, SF_OF(id)};
        uint64_t now = round_in(sf_view_state(view, player));
        wrong += now > before || now != round_in(sf_view_value(view, player, &score));
        first = i == 0 ? now : first;
        wrong += now + 1 < first;
        before = now;
        sum += now;
    }
    sf_cursor *cursor = sf_view_actors(view, PLAYER);
    for (const sf_entry *entry; (entry = sf_next(cursor));)
        walked += round_in(entry->value);
    *out_sum = sum;
    return wrong + (walked != sum) + (sf_cursor_error(cursor) < 0);
}

static void *look_on(void *arg)
{
    struct looker *looker = arg;
    while (!atomic_load(looker->stop)) {
        sf_view *view;
        uint64_t sum;
        if (sf_view_open(looker->rt, &view) < 0) {
            looker->wrong++;
            continue;
        }
        looker->wrong += faults_in(view, &sum);
        looker->wrong += sum < looker->sum_before;
        looker->sum_before = sum;
        looker->looks++;
        sf_view_close(view);
    }
    return NULL;
}

/* Few turns in an epoch and a small changelog: commits and sweeps all the time. */
static sf_runtime *open_players(struct place *place, int is_inline)
{
    sf_options options =
        SF_OPTIONS(.commit_inline = is_inline, .log_records_max = 50, .epoch_turns_max = 17);
    sf_runtime *rt = open_in(place, how(is_inline), &options);
    OK(sf_register(rt, &conductor_type, NULL));
    OK(sf_register(rt, &player_type, NULL));
    OK(sf_run_until_idle(rt));
    return rt;
}

static void views_see_one_epoch_each_while_commits_and_sweeps_go_on(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        sf_runtime *rt = open_players(*state, is_inline);
        struct looker lookers[LOOKERS];
        _Atomic int stop = 0;
        for (int i = 0; i < LOOKERS; i++) {
            lookers[i] = (struct looker){.rt = rt, .stop = &stop};
            assert_int_equal(pthread_create(&lookers[i].thread, NULL, look_on, &lookers[i]), 0);
        }
        for (int i = 0; i < ROUNDS; i++) {
            OK(sf_send(rt, sf_addr(CONDUCTOR, "c"), "go", SF_NONE));
            OK(i % 2 ? sf_step(rt, 0) : sf_run_until_idle(rt));
            if (i % 50 == 0)
                usleep(30000); /* for what is done in peace */
        }
        until_quiet(rt);
        atomic_store(&stop, 1);
        for (int i = 0; i < LOOKERS; i++) {
            pthread_join(lookers[i].thread, NULL);
            assert_int_equal(lookers[i].wrong, 0);
            assert_true(lookers[i].looks > 0);
        }
        assert_int_equal(lookers[0].sum_before <= PLAYERS * ROUNDS, 1);
        OK(sf_runtime_close(rt));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(views_see_one_epoch_each_while_commits_and_sweeps_go_on),
    };
    return cmocka_run_group_tests_name("views beside commits", tests, NULL, NULL);
}
