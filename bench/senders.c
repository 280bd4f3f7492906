/* senders.c - many threads that each send one message, wait until it is durable, and again.
 *
 * The library's own thread drives.  `--senders` threads share `--messages` evenly; all come from
 * outside.  The clock runs from when all threads are ready until each has had its last answer. */
#include <pthread.h>

#include "ours.h"

static sf_runtime *rt;
static struct workload w = {.name = "senders", .actors = 10000, .state_size = 64, .senders = 1024};
static uint64_t per_sender;
static struct workload_message *messages;
static pthread_barrier_t ready;

static void *sender(void *arg)
{
    const struct workload_message *mine = arg;

    pthread_barrier_wait(&ready);
    for (uint64_t i = 0; i < per_sender; i++) {
        int64_t ticket = ours_send(rt, 1, &mine[i], workload_target(w.actors, &mine[i]));
        ours_check(sf_wait(rt, ticket, -1), "wait");
    }
    return NULL;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (!memory)
        workload_fail("out of memory");
    return memory;
}

static void draw_messages(void)
{
    uint64_t seed = WORKLOAD_SEED;

    messages = allocate(w.messages, sizeof *messages);
    for (uint64_t i = 0; i < w.messages; i++)
        messages[i] = workload_message_next(&w, &seed);
}

static void run(struct workload_clock *clock)
{
    pthread_t *threads = allocate(w.senders, sizeof *threads);
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 << 10);
    pthread_barrier_init(&ready, NULL, (unsigned)w.senders + 1);
    for (uint64_t i = 0; i < w.senders; i++)
        if (pthread_create(&threads[i], &attr, sender, &messages[i * per_sender]) != 0)
            workload_fail("cannot start %" PRIu64 " threads", w.senders);
    pthread_barrier_wait(&ready);
    workload_clock_start(clock);
    for (uint64_t i = 0; i < w.senders; i++)
        pthread_join(threads[i], NULL);
    workload_clock_stop(clock, &w);
    pthread_barrier_destroy(&ready);
    pthread_attr_destroy(&attr);
    free(threads);
}

int main(int argc, char **argv)
{
    struct workload_clock clock;
    sf_options options;
    sf_stats before, after;
    char label[64];

    w.messages = 204800;
    workload_options(&w, argc, argv);
    if (w.hops || w.senders < 1 || w.senders > 30000)
        workload_fail("--hops: none here; --senders: from 1 to 30000");
    per_sender = (w.messages + w.senders - 1) / w.senders;
    w.messages = per_sender * w.senders;
    draw_messages();
    options = ours_options(&w);
    rt = ours_open(&w, w.dir, &options);
    before = ours_fill(rt, &w);
    ours_check(sf_runtime_start(rt), "start");
    run(&clock);
    after = ours_settle(rt, 1);
    workload_verify(&w, ours_walk(rt));
    snprintf(label, sizeof label, "ours, %" PRIu64 " senders", w.senders);
    workload_print(&w, label, after.epochs - before.epochs, &clock);
    ours_check(sf_runtime_close(rt), "close");
    free(messages);
    return 0;
}
