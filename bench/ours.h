/* ours.h - the workload over libstatefun, through its public header: what its programs share.
 *
 * One type; its handler counts and sends on.  Options not named on the command line are at their
 * defaults: each epoch is synced.  One runtime's messages at a time: the handler reads
 * ours_actors. */
#ifndef BENCH_OURS_H
#define BENCH_OURS_H

#include <pthread.h>

#include "statefun.h"
#include "workload.h"

static const char OURS_TYPE[] = "bench/counter", OURS_KIND[] = "count", OURS_CLOCK[] = "clock";
static uint64_t ours_actors; /* for the handler, which picks the next one; set by ours_open() */

static inline int64_t ours_check(int64_t rc, const char *what)
{
    if (rc < 0)
        workload_fail("%s: %s", what, sf_errmsg());
    return rc;
}

static inline sf_address ours_address(uint64_t actor, unsigned char id[WORKLOAD_ID_SIZE])
{
    sf_address address = {OURS_TYPE, {id, WORKLOAD_ID_SIZE}};

    workload_id(actor, id);
    return address;
}

static inline int ours_count(sf_turn *turn)
{
    uint64_t *counter = (uint64_t *)sf_state(turn);
    const struct workload_message *msg =
        (const struct workload_message *)sf_body(turn, sizeof *msg);
    struct workload_message onward;
    unsigned char id[WORKLOAD_ID_SIZE];

    ++*counter;
    if (msg->hops == 0)
        return 0;
    onward = *msg;
    workload_message_onward(&onward);
    return sf_tell(turn, ours_address(workload_target(ours_actors, &onward), id), OURS_KIND,
                   SF_OF(onward));
}

/* Answers with the clock of the thread that runs it. */
static inline int ours_tell_clock(sf_turn *turn)
{
    clockid_t clock;

    if (pthread_getcpuclockid(pthread_self(), &clock) != 0)
        return sf_fail(turn, "no clock of this thread");
    return sf_reply(turn, OURS_CLOCK, SF_OF(clock));
}

static sf_type ours_type =
    SF_TYPE(OURS_TYPE, .on = {{OURS_KIND, ours_count}, {OURS_CLOCK, ours_tell_clock}});

static inline sf_options ours_options(const struct workload *w)
{
    sf_options options =
        SF_OPTIONS(.log_bytes_max = w->log_bytes, .cache_bytes_max = w->cache_bytes);

    return options;
}

static inline sf_runtime *ours_open(const struct workload *w, const char *dir,
                                    const sf_options *options)
{
    sf_runtime *rt;

    ours_actors = w->actors;
    ours_type.state_size = w->state_size;
    ours_check(sf_runtime_open(dir, options, &rt), "open");
    ours_check(sf_register(rt, &ours_type, NULL), "register");
    return rt;
}

/* `thread`: ours drives, so wait for it; else drive. */
static inline void ours_make_room(sf_runtime *rt, uint64_t thread)
{
    ours_check(thread ? sf_wait_room(rt, -1) : sf_step(rt, 0), "make room");
}

/* Returns the ticket. */
static inline int64_t ours_send(sf_runtime *rt, uint64_t thread, const struct workload_message *msg,
                                uint64_t actor)
{
    unsigned char id[WORKLOAD_ID_SIZE];
    sf_address to = ours_address(actor, id);
    int64_t ticket;

    while ((ticket = sf_send(rt, to, OURS_KIND, SF_OF(*msg))) == SF_EAGAIN)
        ours_make_room(rt, thread);
    return ours_check(ticket, "send");
}

static inline sf_stats ours_stats(sf_runtime *rt)
{
    sf_stats stats = {.size = sizeof stats};

    ours_check(sf_stats_get(rt, &stats), "stats");
    return stats;
}

/* Durable is what was sent; idle is when what the handlers sent on has been handled as well; then
 * that has to be durable, too.  Afterwards this thread drives. */
static inline sf_stats ours_settle(sf_runtime *rt, uint64_t thread)
{
    sf_stats stats;

    if (thread) {
        ours_check(sf_wait(rt, 0, -1), "wait");
        ours_check(sf_runtime_stop(rt), "stop");
    }
    ours_check(sf_run_until_idle(rt), "run until idle");
    ours_check(sf_wait(rt, 0, -1), "wait");
    stats = ours_stats(rt);
    if (stats.messages_waiting || stats.turns_failed || stats.dead_letters)
        workload_fail("some messages were not handled");
    return stats;
}

/* The processor time of the thread that drives. */
static inline clockid_t ours_engine_clock(sf_runtime *rt)
{
    unsigned char id[WORKLOAD_ID_SIZE];
    sf_message *answer;
    clockid_t clock;

    ours_check(sf_ask(rt, ours_address(0, id), OURS_CLOCK, SF_NONE, -1, &answer), "clock");
    memcpy(&clock, answer->body.data, sizeof clock);
    sf_message_free(answer);
    return clock;
}

/* Gives each actor a count of one. */
static inline sf_stats ours_fill(sf_runtime *rt, const struct workload *w)
{
    struct workload_message msg = {0};

    for (uint64_t i = 0; i < w->actors; i++)
        ours_send(rt, 0, &msg, i);
    return ours_settle(rt, 0);
}

static inline struct workload_sum ours_walk(sf_runtime *rt)
{
    struct workload_sum sum = {0, 0};
    sf_view *view;
    sf_cursor *cursor;
    const sf_entry *entry;

    ours_check(sf_view_open(rt, &view), "view");
    cursor = sf_view_actors(view, OURS_TYPE);
    while ((entry = sf_next(cursor)) != NULL)
        workload_sum_entry(&sum, entry->key.data, entry->value.data);
    ours_check(sf_cursor_error(cursor), "walk");
    sf_view_close(view);
    return sum;
}

#endif
