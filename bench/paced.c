/* paced.c - how long from send to durable at a part of the largest rate, while sweeps run.
 *
 * The library's own thread drives.  First `--messages` are sent as fast as there is room, which
 * gives the largest rate; then for `--ms` as many as `--percent` of that rate, in an open loop
 * (pace.h).  Every SAMPLE_EVERY-th of them is watched with sf_then(), from when it was due until it
 * is durable.  The actors are so many that the changelog has been swept once before that and is
 * swept again.  All come from outside. */
#include "ours.h"
#include "pace.h"
#include "samples.h"

enum { SAMPLE_EVERY = 16 };

struct watched {
    struct samples *samples; /* the driving thread adds to it */
    double due;
};

static void durable(int result, int64_t ticket, void *userdata)
{
    struct watched *watched = userdata;

    (void)ticket;
    ours_check(result, "then");
    samples_add(watched->samples, workload_now() - watched->due);
}

static int64_t send_next(sf_runtime *rt, const struct workload *w, uint64_t *seed)
{
    struct workload_message msg = workload_message_next(w, seed);

    return ours_send(rt, 1, &msg, workload_target(w->actors, &msg));
}

static double largest_rate(sf_runtime *rt, const struct workload *w, uint64_t *seed)
{
    double start = workload_now();
    int64_t ticket = 0;

    for (uint64_t i = 0; i < w->messages; i++)
        ticket = send_next(rt, w, seed);
    ours_check(sf_wait(rt, ticket, -1), "wait");
    return (double)w->messages / (workload_now() - start);
}

static void send_paced(sf_runtime *rt, const struct workload *w, uint64_t *seed, double rate,
                       uint64_t count, struct watched *watched)
{
    struct pace pace = pace_start(rate);

    for (uint64_t i = 0; i < count; i++) {
        double due = pace_wait(&pace, i);
        int64_t ticket = send_next(rt, w, seed);
        if (i % SAMPLE_EVERY)
            continue;
        watched[i / SAMPLE_EVERY].due = due;
        ours_check(sf_then(rt, ticket, durable, &watched[i / SAMPLE_EVERY]), "then");
    }
}

/* Returns how many were sent. */
static uint64_t measure(sf_runtime *rt, const struct workload *w, uint64_t *seed, double rate,
                        struct samples *samples)
{
    uint64_t count = (uint64_t)(rate * (double)w->ms / 1000), room = count / SAMPLE_EVERY + 1;
    struct watched *watched = calloc(room, sizeof *watched);

    if (!watched)
        workload_fail("out of memory");
    samples_open(samples, room);
    for (uint64_t i = 0; i < room; i++)
        watched[i].samples = samples;
    send_paced(rt, w, seed, rate, count, watched);
    ours_settle(rt, 1);
    free(watched);
    return count;
}

int main(int argc, char **argv)
{
    struct workload w = {.name = "paced", .actors = 1000000, .state_size = 64, .percent = 10};
    struct samples samples;
    sf_options options;
    sf_runtime *rt;
    uint64_t seed = WORKLOAD_SEED;
    double rate;
    char label[64];

    w.messages = 3000000;
    w.ms = 6000;
    workload_options(&w, argc, argv);
    if (w.hops || w.percent < 1 || w.ms < 1)
        workload_fail("--hops: none here; --percent, --ms: at least 1");
    options = ours_options(&w);
    rt = ours_open(&w, w.dir, &options);
    ours_fill(rt, &w);
    ours_check(sf_runtime_start(rt), "start");
    rate = largest_rate(rt, &w, &seed) * (double)w.percent / 100;
    w.messages += measure(rt, &w, &seed, rate, &samples);
    workload_verify(&w, ours_walk(rt));
    snprintf(label, sizeof label, "ours, at %" PRIu64 " %% load", w.percent);
    workload_print_head(&w, label);
    printf(",\"load\":%.0f", rate);
    samples_print(&samples);
    samples_close(&samples);
    ours_check(sf_runtime_close(rt), "close");
    return 0;
}
