/* counters.c - the workload "counters" over libstatefun, through its public header.
 *
 * The main thread sends.  By default it also drives: it sends until there is no room, then steps, or
 * with `--batch N` so many that they make N turns.  With `--thread` the library's own thread drives and
 * the main thread waits for room.  Every option is at its default: each epoch is synced.
 *
 * The clock stops when all turns have run and are durable; then a view is walked to check them. */
#include "statefun.h"
#include "workload.h"

static const char TYPE[] = "bench/counter", KIND[] = "count";
static uint64_t actors; /* for the handler, which picks the next one; set before it runs */

static void fail(const char *what)
{
    workload_fail("%s: %s", what, sf_errmsg());
}

static sf_address address(uint64_t actor, unsigned char id[WORKLOAD_ID_SIZE])
{
    workload_id(actor, id);
    return (sf_address){TYPE, (const char *)id, WORKLOAD_ID_SIZE};
}

static int count(sf_turn *turn)
{
    uint64_t *counter = sf_state(turn);
    const struct workload_message *msg = sf_body(turn, sizeof *msg);
    struct workload_message onward;
    unsigned char id[WORKLOAD_ID_SIZE];

    ++*counter;
    if (msg->hops == 0)
        return 0;
    onward = *msg;
    onward.hops--;
    return sf_tell(turn, address(workload_target(actors, &onward), id), KIND, SF_OF(onward));
}

static sf_type counter_type = SF_TYPE(TYPE, .on = {{KIND, count}});

static void make_room(sf_runtime *rt, const struct workload *w)
{
    if ((w->thread ? sf_wait_room(rt, -1) : sf_step(rt, 0)) < 0)
        fail("make room");
}

static void send_one(sf_runtime *rt, const struct workload *w, const struct workload_message *msg,
                     uint64_t actor)
{
    unsigned char id[WORKLOAD_ID_SIZE];
    sf_address to = address(actor, id);
    int64_t ticket;

    while ((ticket = sf_send(rt, to, KIND, SF_OF(*msg))) == SF_EAGAIN)
        make_room(rt, w);
    if (ticket < 0)
        fail("send");
}

/* Durable is what was sent; idle is when what the handlers sent on has been handled as well.  Returns
 * the commits since open. */
static uint64_t settle(sf_runtime *rt, const struct workload *w)
{
    sf_stats stats = {.size = sizeof stats};

    if (sf_wait(rt, 0, -1) < 0)
        fail("wait");
    if (w->thread && sf_runtime_stop(rt) < 0)
        fail("stop");
    if (sf_run_until_idle(rt) < 0 || sf_wait(rt, 0, -1) < 0)
        fail("run until idle");
    if (sf_stats_get(rt, &stats) < 0)
        fail("stats");
    if (stats.messages_waiting || stats.turns_failed || stats.dead_letters)
        workload_fail("some messages were not handled");
    return stats.epochs;
}

/* Returns the commits it took. */
static uint64_t fill(sf_runtime *rt, const struct workload *w)
{
    struct workload driven_here = *w;

    driven_here.thread = 0;
    for (uint64_t i = 0; i < w->actors; i++) {
        struct workload_message msg = {.drawn = 0, .hops = 0};
        send_one(rt, &driven_here, &msg, i);
    }
    return settle(rt, &driven_here);
}

/* Returns the commits since open. */
static uint64_t run(sf_runtime *rt, const struct workload *w, double *out_seconds)
{
    uint64_t seed = WORKLOAD_SEED, unstepped = 0; /* turns that the next step will run */
    uint64_t commits;
    double start;

    if (w->thread && sf_runtime_start(rt) < 0)
        fail("start");
    start = workload_now();
    for (uint64_t i = 0; i < w->messages; i += 2) {
        struct workload_message msg = workload_message_next(&seed);
        send_one(rt, w, &msg, workload_target(w->actors, &msg));
        if (w->batch && !w->thread && (unstepped += 2) >= w->batch) {
            make_room(rt, w);
            unstepped = 0;
        }
    }
    commits = settle(rt, w);
    *out_seconds = workload_now() - start;
    return commits;
}

static struct workload_sum walk(sf_runtime *rt)
{
    struct workload_sum sum = {0, 0};
    sf_view *view;
    sf_cursor *cursor;
    const sf_entry *entry;

    if (sf_view_open(rt, &view) < 0)
        fail("view");
    cursor = sf_view_actors(view, TYPE);
    while ((entry = sf_next(cursor)) != NULL)
        workload_sum_entry(&sum, entry->key.data, entry->value.data);
    if (sf_cursor_error(cursor) < 0)
        fail("walk");
    sf_view_close(view);
    return sum;
}

int main(int argc, char **argv)
{
    struct workload w = {.name = "counters", .actors = 10000, .state_size = 64};
    sf_runtime *rt;
    uint64_t commits;
    double seconds;

    w.messages = 3000000;
    workload_options(&w, argc, argv);
    actors = w.actors;
    counter_type.state_size = w.state_size;
    if (sf_runtime_open(w.dir, NULL, &rt) < 0)
        fail("open");
    if (sf_register(rt, &counter_type, NULL) < 0)
        fail("register");
    commits = fill(rt, &w);
    commits = run(rt, &w, &seconds) - commits;
    workload_verify(&w, walk(rt));
    workload_print(&w, w.thread ? "ours --thread" : "ours", commits, seconds);
    if (sf_runtime_close(rt) < 0)
        fail("close");
    return 0;
}
