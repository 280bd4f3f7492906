/* memory.c - what an actor in memory takes beyond its state.
 *
 * From before the runtime is opened until each actor has had one message and all is durable; so all
 * the library holds is counted, divided by the actors, as if it were theirs.  To keep the part
 * small that does not grow with actors, the inbox and the epochs are; the cache has room for all of
 * them. */
#include "ours.h"

int main(int argc, char **argv)
{
    struct workload w = {.name = "memory", .actors = 1000000, .state_size = 64};
    sf_options options;
    sf_runtime *rt;
    sf_stats stats;
    uint64_t before, after;

    w.messages = 2; /* none, beside the fill */
    w.cache_bytes = UINT64_C(8) << 30;
    workload_options(&w, argc, argv);
    w.messages = 0;
    options = ours_options(&w);
    options.inbox_bytes_max = 1 << 20;
    options.epoch_turns_max = 4096;
    before = workload_rss();
    rt = ours_open(&w, w.dir, &options);
    stats = ours_fill(rt, &w);
    after = workload_rss();
    if (stats.actors != w.actors)
        workload_fail("%" PRIu64 " actors are in memory, not %" PRIu64, stats.actors, w.actors);
    workload_verify(&w, ours_walk(rt));
    workload_print_head(&w, "ours");
    printf(",\"rss_before\":%" PRIu64 ",\"rss_after\":%" PRIu64 ",\"bytes_each\":%.1f}\n", before,
           after, (double)(after - before) / (double)w.actors - (double)w.state_size);
    ours_check(sf_runtime_close(rt), "close");
    return 0;
}
