/* samples.h - durations, and their percentiles. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include "workload.h"

struct samples {
    double *seconds;
    size_t count, room;
};

static inline void samples_open(struct samples *samples, size_t room)
{
    samples->count = 0;
    samples->room = room;
    samples->seconds = (double *)calloc(room, sizeof *samples->seconds);
    if (!samples->seconds)
        workload_fail("out of memory");
}

static inline void samples_close(struct samples *samples)
{
    free(samples->seconds);
}

static inline void samples_add(struct samples *samples, double seconds)
{
    if (samples->count == samples->room)
        workload_fail("more samples than expected");
    samples->seconds[samples->count++] = seconds;
}

static inline int samples_order(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static inline double samples_at(const struct samples *samples, double part)
{
    size_t at = (size_t)((double)samples->count * part);

    return samples->seconds[at < samples->count ? at : samples->count - 1] * 1e6;
}

static inline double samples_sum(const struct samples *samples)
{
    double sum = 0;

    for (size_t i = 0; i < samples->count; i++)
        sum += samples->seconds[i];
    return sum;
}

/* Ends the line of JSON. */
static inline void samples_print(struct samples *samples)
{
    if (samples->count == 0)
        workload_fail("nothing was measured");
    qsort(samples->seconds, samples->count, sizeof *samples->seconds, samples_order);
    printf(",\"samples\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f}\n",
           samples->count, samples_at(samples, 0.5), samples_at(samples, 0.99),
           samples_at(samples, 0.999), samples_at(samples, 1));
}

#endif
