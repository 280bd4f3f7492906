/* test_bounds.c - actors and messages that do not fit into memory: the whole engine with small budgets.
 *
 * Tellers are told by a source how many numbers to send to which listeners; every listener checks that
 * each teller's numbers come in order and once.  Some of their turns fail and back off, some readers only
 * look, bystanders fill the cache.  Crashes in between.  In the end the sums must be those of the
 * source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "run/life.h"
#include "run/runtime.h"
#include "store/mem_store.h"
#include "support/machine.h"
#include "support/support.h"
#include "support/weighed.h"

enum { TELLERS = 3, LISTENERS = 6, BYSTANDERS = 400, RECORDS = 150, FAN_OUT = 25 };

static const char TELLER[] = "test/teller", LISTENER[] = "test/listener",
                  OTHER[] = "test/bystander";

struct teller {
    uint64_t told[LISTENERS];
};
struct listener {
    uint64_t next[TELLERS], broken;
};
struct bystander {
    uint64_t seen;
};
struct number {
    uint64_t teller, number;
};

static const sf_value last_number = SF_VALUE("last");

/* The same for the same number, in every run. */
static uint64_t mix(uint64_t n)
{
    n = (n ^ n >> 31) * UINT64_C(0x9e3779b97f4a7c15);
    return n ^ n >> 29;
}

static int teller_go(sf_turn *turn)
{
    struct teller *self = sf_state(turn);
    const uint64_t *record = sf_body(turn, sizeof *record);
    uint64_t me = (uint64_t)(*id_text(sf_self(turn)) - '0');
    for (uint64_t i = 0; i < FAN_OUT; i++) {
        uint64_t to = mix(*record * FAN_OUT + i) % LISTENERS;
        char listener[2] = {(char)('0' + to), 0};
        struct number number = {me, self->told[to]++};
        sf_tell(turn, sf_addr(LISTENER, listener), "number", SF_OF(number));
    }
    return 0;
}

static int listener_number(sf_turn *turn)
{
    struct listener *self = sf_state(turn);
    const struct number *n = sf_body(turn, sizeof *n);
    sf_bytes before = sf_value_get(turn, &last_number);
    self->broken += n->number != self->next[n->teller]++;
    self->broken += before.data && before.size != sizeof *n;
    sf_value_put(turn, &last_number, SF_OF(*n));
    uint64_t other = mix(n->number * TELLERS + n->teller) % BYSTANDERS;
    sf_tell(turn, (sf_address){OTHER, SF_OF(other)}, "see", SF_NONE);
    if (sf_msg(turn)->attempt == 1 && mix(n->number) % 16 == 0)
        return sf_fail(turn, "not at once");
    return 0;
}

static int bystander_see(sf_turn *turn)
{
    struct bystander *self = sf_state(turn);
    self->seen++;
    return 0;
}

static const sf_type teller_type =
    SF_TYPE(TELLER, .on = {{"go", teller_go}}, .state_size = sizeof(struct teller));
static const sf_type listener_type =
    SF_TYPE(LISTENER, .on = {{"number", listener_number}}, .state_size = sizeof(struct listener),
            .values = {&last_number}, .backoff_ms = 3);
static const sf_type other_type =
    SF_TYPE(OTHER, .on = {{"see", bystander_see}}, .state_size = sizeof(struct bystander));

struct world {
    struct machine machine;
    struct sfi_mem_disk *disk; /* NULL: in the directory */
    const char *dir;
    sf_options options;
    sf_runtime *rt;
    sf_source *source;
};

static void start(struct world *w)
{
    struct sfi_store *store;
    if (w->disk) {
        OK(sfi_mem_open(&w->machine.sys, w->disk, &store));
        OK(sfi_runtime_open_with(&w->machine.sys, store, &w->options, &w->rt));
    } else {
        OK(sfi_runtime_open(&w->machine.sys, w->dir, &w->options, &w->rt));
    }
    OK(sf_register(w->rt, &other_type, NULL));
    OK(sf_register(w->rt, &listener_type, NULL));
    if (mix(w->machine.random) % 2) /* messages for the tellers wait for their type */
        OK(sf_step(w->rt, 5));
    OK(sf_register(w->rt, &teller_type, NULL));
    OK(sf_source_open(w->rt, "records", 0, &w->source));
}

static void crash(struct world *w)
{
    sf_source_close(w->source);
    sfi_runtime_drop(w->rt);
}

static void feed(struct world *w, uint64_t record)
{
    char teller[2] = {(char)('0' + record % TELLERS), 0};
    do {
        sf_source_send(w->source, sf_addr(TELLER, teller), "go", SF_OF(record));
    } while (sf_source_advance(w->source, record) == SF_EAGAIN && sf_step(w->rt, 0) >= 0);
}

static uint64_t chance(struct world *w, uint64_t below)
{
    return w->machine.sys.random(&w->machine) % below;
}

static void check(struct world *w)
{
    struct teller tellers[TELLERS];
    uint64_t sum = 0, seen = 0;
    sf_view *view;
    OK(sf_view_open(w->rt, &view));
    for (uint64_t t = 0; t < TELLERS; t++) {
        char id[2] = {(char)('0' + t), 0};
        sf_bytes state = sf_view_state(view, sf_addr(TELLER, id));
        assert_int_equal(state.size, sizeof tellers[t]);
        memcpy(&tellers[t], state.data, state.size);
    }
    for (uint64_t l = 0; l < LISTENERS; l++) {
        char id[2] = {(char)('0' + l), 0};
        struct listener listener;
        sf_bytes state = sf_view_state(view, sf_addr(LISTENER, id));
        assert_int_equal(state.size, sizeof listener);
        memcpy(&listener, state.data, state.size);
        assert_int_equal(listener.broken, 0);
        for (uint64_t t = 0; t < TELLERS; t++) {
            assert_int_equal(listener.next[t], tellers[t].told[l]);
            sum += listener.next[t];
        }
    }
    for (uint64_t other = 0; other < BYSTANDERS; other++) {
        sf_bytes state = sf_view_state(view, (sf_address){OTHER, SF_OF(other)});
        struct bystander bystander = {0};
        if (state.data)
            memcpy(&bystander, state.data, sizeof bystander);
        seen += bystander.seen;
    }
    assert_null(sf_view_dead(view, 0));
    sf_view_close(view);
    assert_int_equal(sum, RECORDS * FAN_OUT);
    assert_int_equal(seen, sum);
}

/* When everybody has left, nothing but the table is left of the budget. */
static void check_budget(struct sf_runtime *rt)
{
    struct sfi_actors *actors = &rt->actors;
    actors->bytes_max = 0;
    for (int i = 0; i < 100000 && actors->count; i++)
        sfi_actors_trim(actors, rt->store->durable, NULL);
    assert_int_equal(actors->count, 0);
    assert_int_equal(actors->bytes, actors->capacity * sizeof *actors->places);
    assert_int_equal(rt->mailbox.bytes, 0);
    assert_int_equal(rt->mailbox.counted_bytes, 0);
    assert_int_equal(rt->mailbox.unsaved_bytes, 0);
}

/* Feeds faster than is handled, crashes now and then, and ends when all is quiet. */
static void run(struct world *w, int crashes)
{
    uint64_t record = 0, quiet = 0;
    start(w);
    while (quiet < 20) {
        if (record < RECORDS && chance(w, 3))
            feed(w, ++record);
        if (chance(w, 2))
            OK(sf_step(w->rt, (int)(1 + chance(w, 40))));
        if (chance(w, 4) == 0)
            machine_advance_ms(&w->machine, chance(w, 4));
        if (crashes && chance(w, 60) == 0) {
            crash(w);
            start(w);
            record = sf_source_position(w->source);
        }
        quiet = record == RECORDS && stats_of(w->rt).messages_waiting == 0 ? quiet + 1 : 0;
    }
    OK(sf_run_until_idle(w->rt));
    check(w);
    check_budget(w->rt);
    sf_source_close(w->source);
    OK(sf_runtime_close(w->rt));
    assert_int_equal(w->machine.live, 0);
}

static void make_world(struct world *w, uint64_t mailbox, uint64_t cache)
{
    *w = (struct world){.options =
                            SF_OPTIONS(.mailbox_bytes_max = mailbox, .cache_bytes_max = cache)};
    machine_init(&w->machine);
    w->machine.random += mailbox * 31 + cache;
}

static void small_budgets_keep_order_and_lose_nothing(void **state)
{
    (void)state;
    for (uint64_t mailbox = 1; mailbox <= 1 << 16; mailbox *= 16)
        for (uint64_t cache = 1; cache <= 1 << 18; cache *= 64)
            for (int crashes = 0; crashes < 2; crashes++) {
                struct world w;
                make_world(&w, mailbox, cache);
                w.disk = sfi_mem_disk_new(sfi_sys_default());
                run(&w, crashes);
                sfi_mem_disk_free(w.disk);
            }
}

static void small_budgets_do_the_same_on_a_disk(void **state)
{
    struct place *place = *state;
    for (int crashes = 0; crashes < 2; crashes++) {
        struct world w;
        make_world(&w, 4096, 8192);
        w.dir = place_path(place, crashes ? "crashes" : "calm");
        w.options.store_bytes_max = 1 << 28;
        w.options.commit_inline = 1; /* the machine is for one thread */
        run(&w, crashes);
    }
}

/* -- how much memory ------------------------------------------------------------------------------------- */

enum { BIG_TURNS = 1000, BIG_FAN_OUT = 100, BIG_BODY = 400 };

static int spread_go(sf_turn *turn)
{
    char body[BIG_BODY] = {0};
    const uint64_t *record = sf_body(turn, sizeof *record);
    for (uint64_t i = 0; i < BIG_FAN_OUT; i++) {
        uint64_t to = mix(*record * BIG_FAN_OUT + i);
        sf_tell(turn, (sf_address){OTHER, SF_OF(to)}, "see", SF_OF(body));
    }
    return 0;
}

static const sf_type spread_type = SF_TYPE("test/spread", .on = {{"go", spread_go}});

static void memory_is_bounded_while_the_backlog_is_not(void **state)
{
    struct place *place = *state;
    struct sfi_sys sys = *sfi_sys_default();
    sf_options options = SF_OPTIONS(.mailbox_bytes_max = 1 << 20, .cache_bytes_max = 1 << 20,
                                    .store_bytes_max = UINT64_C(1) << 30);
    sf_runtime *rt;
    uint64_t most_waiting = 0;
    weighed_reset();
    sys.resize = weighed_resize;
    sys.aligned = weighed_aligned;
    OK(sfi_runtime_open(&sys, place->db, &options, &rt));
    OK(sf_register(rt, &spread_type, NULL));
    OK(sf_register(rt, &other_type, NULL));
    for (uint64_t record = 0; record < BIG_TURNS; record++)
        OK(sf_send(rt, sf_addr("test/spread", "x"), "go", SF_OF(record)));
    do {
        OK(sf_step(rt, 500));
        if (stats_of(rt).messages_waiting > most_waiting)
            most_waiting = stats_of(rt).messages_waiting;
    } while (stats_of(rt).messages_waiting);
    print_message("%" PRIu64 " messages waited at most, %" PRIu64 " KiB at most\n", most_waiting,
                  weighed_most / 1024);
    assert_true(most_waiting > BIG_TURNS * BIG_FAN_OUT / 2);
    assert_true(weighed_most < 16 << 20); /* the messages alone would be more than 40 */
    assert_int_equal(stats_of(rt).turns, BIG_TURNS + BIG_TURNS * BIG_FAN_OUT);
    OK(sf_runtime_close(rt));
    assert_int_equal(weighed_live, 0);
}

/* -- sizes that follow each other ------------------------------------------------------------------------- */

enum { SIZED_TURNS = 150, SIZED_FAN_OUT = 100, SIZED_BUDGET = 2 << 20 };

/* Many messages of a size, one in some dozens to somebody who backs off for long. */
static int fan_out(sf_turn *turn)
{
    static const char body[1024];
    const uint64_t *size = sf_body(turn, sizeof *size);
    for (uint64_t i = 0; i < SIZED_FAN_OUT; i++) {
        uint64_t to = sf_random(turn) % 1000;
        sf_tell(turn, (sf_address){to % 40 ? "test/taker" : "test/failing", SF_OF(to)}, "x",
                SF_BYTES(body, *size));
    }
    return 0;
}

static int take_it(sf_turn *turn)
{
    (void)turn;
    return 0;
}

static int fail_it(sf_turn *turn)
{
    return sf_fail(turn, "not now");
}

/* Those who wait hold a place in nearly every slab, and other sizes have no use for the rest of it. */
static void memory_is_bounded_whatever_sizes_of_messages_follow_each_other(void **state)
{
    static const sf_type fan = SF_TYPE("test/fan", .handler = fan_out),
                         taker = SF_TYPE("test/taker", .handler = take_it),
                         failing = SF_TYPE("test/failing", .handler = fail_it, .attempts_max = 9,
                                           .backoff_ms = 3600000, .backoff_ms_max = 3600000);
    struct place *place = *state;
    struct sfi_sys sys = *sfi_sys_default();
    sf_options options = SF_OPTIONS(.mailbox_bytes_max = SIZED_BUDGET, .cache_bytes_max = 1 << 20,
                                    .commit_inline = 1, .store_bytes_max = UINT64_C(1) << 30);
    uint64_t first = 0;
    sf_runtime *rt;
    weighed_reset();
    sys.resize = weighed_resize;
    sys.aligned = weighed_aligned;
    OK(sfi_runtime_open(&sys, place->db, &options, &rt));
    OK(sf_register(rt, &fan, NULL));
    OK(sf_register(rt, &taker, NULL));
    OK(sf_register(rt, &failing, NULL));
    for (uint64_t size = 900; size > 60; size -= 64) {
        weighed_most = weighed_live;
        for (uint64_t i = 0; i < SIZED_TURNS; i++)
            OK(sf_send(rt, sf_addr("test/fan", "f"), "go", SF_OF(size)));
        OK(sf_run_until_idle(rt));
        first = first ? first : weighed_most;
        print_message("%" PRIu64 " bytes: %" PRIu64 " KiB at most, %" PRIu64 " KiB left\n", size,
                      weighed_most / 1024, weighed_live / 1024);
        assert_true(weighed_most < first + SIZED_BUDGET);
    }
    OK(sf_runtime_close(rt));
    assert_int_equal(weighed_live, 0);
}

/* -- large bodies ------------------------------------------------------------------------------------------ */

static uint64_t large_blocks;

static void *count_large(void *ctx, void *old, size_t size)
{
    (void)ctx;
    large_blocks += size >= 32 << 10;
    if (size)
        return realloc(old, size);
    free(old);
    return NULL;
}

/* A large block is mapped, and its pages cleared, each time it is asked for. */
static void large_bodies_do_not_ask_for_memory_each_time(void **state)
{
    enum { ROUNDS = 5, MESSAGES = 100 };
    static const sf_type taker = SF_TYPE("test/taker", .handler = take_it);
    static char body[64 << 10];
    struct place *place = *state;
    struct sfi_sys sys = *sfi_sys_default();
    sf_options options = SF_OPTIONS(.commit_inline = 1, .store_bytes_max = UINT64_C(1) << 30);
    sf_runtime *rt;
    sys.resize = count_large;
    OK(sfi_runtime_open(&sys, place->db, &options, &rt));
    OK(sf_register(rt, &taker, NULL));
    for (int round = 0; round < ROUNDS; round++) {
        large_blocks = 0;
        for (int i = 0; i < MESSAGES; i++)
            OK(sf_send(rt, sf_addr("test/taker", "t"), "", SF_OF(body)));
        OK(sf_run_until_idle(rt));
    }
    print_message("%d messages, %" PRIu64 " large blocks\n", MESSAGES, large_blocks);
    assert_true(large_blocks < MESSAGES / 5);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(small_budgets_keep_order_and_lose_nothing),
        TEST(small_budgets_do_the_same_on_a_disk),
        TEST(memory_is_bounded_while_the_backlog_is_not),
        TEST(large_bodies_do_not_ask_for_memory_each_time),
        TEST(memory_is_bounded_whatever_sizes_of_messages_follow_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
