/* counters.c - the workload over libstatefun, driven as fast as it goes.
 *
 * The main thread sends.  By default it also drives: it sends until there is no room, then steps.
 * With `--thread` the library's own thread drives and the main thread waits for room.  `--batch N`:
 * no more than N turns in one commit.  Few messages with many hops make a ring of tokens.
 *
 * The clock stops when all turns have run and are durable; then a view is walked to check them.
 * How far it is in between is counted in turns that have run; at most the open epochs of them are
 * not durable yet. */
#include "ours.h"

/* Sends all, and returns once they are durable.  bench/instructions counts what runs within it. */
static __attribute__((noinline)) sf_stats
counters_run(sf_runtime *rt, const struct workload *w, struct workload_clock *clock,
                    uint64_t turns_before)
{
    uint64_t seed = WORKLOAD_SEED;
    sf_stats after;

    if (w->thread)
        ours_check(sf_runtime_start(rt), "start");
    workload_clock_start(clock, ours_engine_clock(rt));
    for (uint64_t i = 0, sent = 0; i < w->messages; i += w->hops + 1, sent++) {
        struct workload_message msg = workload_message_next(w, &seed);
        ours_send(rt, w->thread, &msg, workload_target(w->actors, &msg));
        if (sent % 4096 == 0)
            workload_clock_at(clock, w, ours_stats(rt).turns - turns_before);
    }
    if (w->thread) {
        ours_check(sf_wait(rt, 0, -1), "wait");
        workload_clock_engine_ends(clock);
    }
    after = ours_settle(rt, w->thread);
    workload_clock_stop(clock, w);
    return after;
}

static const char *label(const struct workload *w)
{
    static char text[64];

    snprintf(text, sizeof text, "ours%s", w->thread ? " --thread" : "");
    if (w->log_bytes)
        snprintf(text + strlen(text), sizeof text - strlen(text), ", log %" PRIu64 " MiB",
                 w->log_bytes >> 20);
    return text;
}

int main(int argc, char **argv)
{
    struct workload w = {.name = "counters", .hops = 1, .actors = 10000, .state_size = 64};
    struct workload_clock clock;
    sf_options options;
    sf_runtime *rt;
    sf_stats before, after;

    w.messages = 3000000;
    workload_options(&w, argc, argv);
    options = ours_options(&w);
    options.epoch_turns_max = (uint32_t)w.batch;
    rt = ours_open(&w, w.dir, &options);
    before = ours_fill(rt, &w);
    after = counters_run(rt, &w, &clock, before.turns);
    workload_verify(&w, ours_walk(rt));
    workload_print(&w, label(&w), after.epochs - before.epochs, &clock);
    ours_check(sf_runtime_close(rt), "close");
    return 0;
}
