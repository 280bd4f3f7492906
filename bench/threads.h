/* threads.h - many threads that each send one message, wait until it is durable, and again.
 *
 * `--senders` threads share `--messages` evenly; all messages come from outside.  The clock runs
 * from when all threads are ready until each has had its last answer. */
#ifndef BENCH_THREADS_H
#define BENCH_THREADS_H

#include <pthread.h>

#include "workload.h"

/* Returns once the message is durable. */
typedef void threads_send(const struct workload_message *msg);

struct threads {
    struct workload *w;
    threads_send *send;
    uint64_t each; /* messages a thread */
    struct workload_message *messages;
    pthread_barrier_t ready;
};

struct threads_one {
    struct threads *all;
    pthread_t thread;
    const struct workload_message *messages;
};

static inline void *threads_allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (!memory)
        workload_fail("out of memory");
    return memory;
}

static void *threads_run_one(void *arg)
{
    struct threads_one *one = (struct threads_one *)arg;

    pthread_barrier_wait(&one->all->ready);
    for (uint64_t i = 0; i < one->all->each; i++)
        one->all->send(&one->messages[i]);
    return NULL;
}

/* Makes the messages of `w` a multiple of its senders, and draws them. */
static inline void threads_draw(struct threads *all, struct workload *w)
{
    uint64_t seed = WORKLOAD_SEED;

    if (w->hops || w->senders < 1 || w->senders > 30000)
        workload_fail("--hops: none here; --senders: from 1 to 30000");
    all->w = w;
    all->each = (w->messages + w->senders - 1) / w->senders;
    w->messages = all->each * w->senders;
    all->messages = (struct workload_message *)threads_allocate(w->messages, sizeof *all->messages);
    for (uint64_t i = 0; i < w->messages; i++)
        all->messages[i] = workload_message_next(w, &seed);
}

static inline void threads_start(struct threads *all, struct threads_one *ones)
{
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 << 10);
    pthread_barrier_init(&all->ready, NULL, (unsigned)all->w->senders + 1);
    for (uint64_t i = 0; i < all->w->senders; i++) {
        ones[i].all = all;
        ones[i].messages = &all->messages[i * all->each];
        if (pthread_create(&ones[i].thread, &attr, threads_run_one, &ones[i]) != 0)
            workload_fail("cannot start %" PRIu64 " threads", all->w->senders);
    }
    pthread_attr_destroy(&attr);
}

static inline void threads_run(struct threads *all, struct workload_clock *clock)
{
    struct threads_one *ones =
        (struct threads_one *)threads_allocate(all->w->senders, sizeof *ones);

    threads_start(all, ones);
    pthread_barrier_wait(&all->ready);
    workload_clock_start(clock, CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t i = 0; i < all->w->senders; i++)
        pthread_join(ones[i].thread, NULL);
    workload_clock_stop(clock, all->w);
    pthread_barrier_destroy(&all->ready);
    free(all->messages);
    free(ones);
}

#endif
