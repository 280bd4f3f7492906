/* pace.h - an open loop: things are due at fixed times, whatever became of those before.
 *
 * Latency counts from when something was due, not from when it was done: a stall then counts for
 * all that should have happened during it, and not once (no coordinated omission). */
#ifndef BENCH_PACE_H
#define BENCH_PACE_H

#include <sys/prctl.h>

#include "workload.h"

struct pace {
    double start, interval; /* seconds */
};

/* For this thread: sleeps end as exactly as they can. */
static inline struct pace pace_start(double rate)
{
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    return (struct pace){workload_now(), 1 / rate};
}

static inline double pace_due(const struct pace *pace, uint64_t i)
{
    return pace->start + (double)i * pace->interval;
}

/* Until `i` is due; at once when it was due already.  Returns when it was due. */
static inline double pace_wait(const struct pace *pace, uint64_t i)
{
    double due = pace_due(pace, i);
    struct timespec at = {(time_t)due, (long)((due - (double)(time_t)due) * 1e9)};

    if (workload_now() < due)
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    return due;
}

#endif
