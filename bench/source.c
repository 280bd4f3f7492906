/* source.c - the workload from an input that can be replayed.
 *
 * `--records` messages share one advance of the position.  All come from outside; the main thread
 * reads and drives.  Afterwards the durable position must be the last one. */
#include "ours.h"

static void advance(sf_runtime *rt, sf_source *source, uint64_t position)
{
    int rc;

    while ((rc = sf_source_advance(source, position)) == SF_EAGAIN)
        ours_make_room(rt, 0);
    if (ours_check(rc, "advance") != 0)
        workload_fail("the position was passed already");
}

static void run(sf_runtime *rt, sf_source *source, const struct workload *w,
                struct workload_clock *clock)
{
    uint64_t seed = WORKLOAD_SEED;

    for (uint64_t i = 1; i <= w->messages; i++) {
        struct workload_message msg = workload_message_next(w, &seed);
        unsigned char id[WORKLOAD_ID_SIZE];
        sf_address to = ours_address(workload_target(w->actors, &msg), id);
        ours_check(sf_source_send(source, to, OURS_KIND, SF_OF(msg)), "source send");
        if (i % w->records == 0 || i == w->messages)
            advance(rt, source, i);
        if (i % 4096 == 0)
            workload_clock_at(clock, w, i);
    }
}

int main(int argc, char **argv)
{
    struct workload w = {.name = "source", .actors = 10000, .state_size = 64, .records = 1};
    struct workload_clock clock;
    sf_options options;
    sf_runtime *rt;
    sf_source *source;
    sf_stats before, after;
    char label[64];

    w.messages = 2000000;
    workload_options(&w, argc, argv);
    if (w.hops || w.records < 1)
        workload_fail("--hops: none here; --records: at least 1");
    options = ours_options(&w);
    rt = ours_open(&w, w.dir, &options);
    before = ours_fill(rt, &w);
    ours_check(sf_source_open(rt, "bench", 0, &source), "source open");
    workload_clock_start(&clock, CLOCK_THREAD_CPUTIME_ID);
    run(rt, source, &w, &clock);
    after = ours_settle(rt, 0);
    workload_clock_stop(&clock, &w);
    if (sf_source_position(source) != w.messages)
        workload_fail("the source is at %" PRIu64, sf_source_position(source));
    workload_verify(&w, ours_walk(rt));
    snprintf(label, sizeof label, "ours, %" PRIu64 " an advance", w.records);
    workload_print(&w, label, after.epochs - before.epochs, &clock);
    sf_source_close(source);
    ours_check(sf_runtime_close(rt), "close");
    return 0;
}
