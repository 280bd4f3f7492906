/* timers.c - timers that are set and fire: how many a second, and what those to come take of
 * memory.
 *
 *   --loop tell      each turn sends its next message later, DELAY_MS, to the next pseudo-random
 *   actor --loop own       each turn sets its actor's own timer again --loop beside    as tell, and
 *   each turn sends a message on at once, too; only what was late counts --loop due       so many
 *   delayed sends become due while nobody drives; from the open until all are handled --loop
 *   pending   so many delayed sends, due next year: what the process has grown by
 *
 * All have the same delay.  The first three keep `--actors` of them under way; the clock runs until
 * `--messages` have fired, and everything is durable. */
#include <unistd.h>

#include "ours.h"

enum { DELAY_MS = 100 };

static struct workload w = {.name = "timers", .loop = "tell", .actors = 200000, .state_size = 64};
static const char TICK[] = "tick", PLAIN[] = "plain";
static uint64_t left; /* to be set */
static uint64_t fired;

static int is_loop(const char *name)
{
    return strcmp(w.loop, name) == 0;
}

static int set_next(sf_turn *turn, const struct workload_message *msg, uint64_t delay_ms)
{
    unsigned char id[WORKLOAD_ID_SIZE];
    sf_address to;

    if (left == 0)
        return 0;
    left--;
    if (is_loop("own"))
        return sf_timer_after(turn, TICK, SF_NONE, delay_ms);
    to = ours_address(workload_target(w.actors, msg), id);
    return sf_tell_after(turn, SF_NONE, delay_ms, to, TICK, SF_OF(*msg));
}

static int tick(sf_turn *turn)
{
    uint64_t *counter = sf_state(turn);
    struct workload_message msg = {0};
    unsigned char id[WORKLOAD_ID_SIZE];

    ++*counter;
    fired++;
    if (sf_msg(turn)->body.size == sizeof msg)
        memcpy(&msg, sf_msg(turn)->body.data, sizeof msg);
    workload_message_onward(&msg);
    if (is_loop("beside"))
        sf_tell(turn, ours_address(workload_target(w.actors, &msg), id), PLAIN, SF_OF(msg));
    return set_next(turn, &msg, DELAY_MS);
}

static int plain(sf_turn *turn)
{
    uint64_t *counter = sf_state(turn);

    *counter += UINT64_C(1) << 40;
    return 0;
}

/* As long as it takes to set them, and more. */
static uint64_t down_ms(void)
{
    return 1000 + w.messages / 200;
}

/* The first one of each chain. */
static int begin(sf_turn *turn)
{
    uint64_t delay_ms = is_loop("due") ? down_ms() : is_loop("pending") ? 365 * SF_DAY : DELAY_MS;

    return set_next(turn, sf_body(turn, sizeof(struct workload_message)), delay_ms);
}

static const sf_type timed =
    SF_TYPE("bench/counter", .on = {{"tick", tick}, {"count", begin}, {"plain", plain}},
            .state_size = 64);

static sf_runtime *open_timed(void)
{
    sf_options options = ours_options(&w);
    sf_runtime *rt;

    ours_check(sf_runtime_open(w.dir, &options, &rt), "open");
    ours_check(sf_register(rt, &timed, NULL), "register");
    return rt;
}

static void begin_all(sf_runtime *rt, uint64_t chains)
{
    uint64_t seed = WORKLOAD_SEED;

    for (uint64_t i = 0; i < chains; i++) {
        struct workload_message msg = workload_message_next(&w, &seed);
        ours_send(rt, 0, &msg, i % w.actors);
    }
}

/* Until so many have fired and are durable. */
static void drive(sf_runtime *rt, struct workload_clock *clock)
{
    while (fired < w.messages) {
        ours_check(sf_step(rt, 0), "step");
        workload_clock_at(clock, &w, fired);
        if (sf_timeout_ms(rt) > 0)
            usleep(200);
    }
    ours_check(sf_run_until_idle(rt), "run until idle");
}

static void verify(sf_runtime *rt)
{
    struct workload_sum sum = ours_walk(rt);
    uint64_t ticks = sum.count & ((UINT64_C(1) << 40) - 1);

    if (ticks != w.messages)
        workload_fail("%" PRIu64 " timers fired, not %" PRIu64, ticks, w.messages);
}

static void print(sf_runtime *rt, struct workload_clock *clock)
{
    char label[64];

    snprintf(label, sizeof label, "ours, %s", w.loop);
    workload_print(&w, label, ours_stats(rt).epochs, clock);
}

static void measure_rate(void)
{
    struct workload_clock clock;
    sf_runtime *rt = open_timed();

    left = w.messages;
    workload_clock_start(&clock, CLOCK_THREAD_CPUTIME_ID);
    begin_all(rt, w.actors < w.messages ? w.actors : w.messages);
    drive(rt, &clock);
    workload_clock_stop(&clock, &w);
    verify(rt);
    print(rt, &clock);
    ours_check(sf_runtime_close(rt), "close");
}

static void measure_due(void)
{
    struct workload_clock clock;
    uint64_t early;
    sf_runtime *rt = open_timed();

    left = w.messages;
    begin_all(rt, w.messages);
    ours_check(sf_run_until_idle(rt), "run until idle");
    ours_check(sf_runtime_close(rt), "close");
    early = fired; /* on a machine that was slow to set them */
    usleep((useconds_t)(down_ms() * 1000));
    workload_clock_start(&clock, CLOCK_THREAD_CPUTIME_ID);
    rt = open_timed();
    drive(rt, &clock);
    workload_clock_stop(&clock, &w);
    verify(rt);
    w.messages -= early;
    print(rt, &clock);
    ours_check(sf_runtime_close(rt), "close");
}

static void measure_pending(void)
{
    uint64_t first = w.messages / 10, before, after;
    sf_runtime *rt = open_timed();

    left = w.messages;
    begin_all(rt, first); /* whatever grows with the load has grown then */
    ours_check(sf_run_until_idle(rt), "run until idle");
    before = workload_rss();
    begin_all(rt, w.messages - first);
    ours_check(sf_run_until_idle(rt), "run until idle");
    after = workload_rss();
    workload_print_head(&w, "ours, pending");
    printf(",\"rss_before\":%" PRIu64 ",\"rss_after\":%" PRIu64 ",\"bytes_each\":%.3f}\n", before,
           after, (double)((int64_t)after - (int64_t)before) / (double)(w.messages - first));
    ours_check(sf_runtime_close(rt), "close");
}

int main(int argc, char **argv)
{
    w.messages = 3000000;
    workload_options(&w, argc, argv);
    ours_actors = w.actors;
    if (is_loop("pending"))
        measure_pending();
    else if (is_loop("due"))
        measure_due();
    else if (is_loop("tell") || is_loop("own") || is_loop("beside"))
        measure_rate();
    else
        workload_fail("--loop tell, own, beside, due or pending");
    return 0;
}
