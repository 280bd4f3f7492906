/* senders.c - the threads of threads.h over the library, whose own thread drives. */
#include "ours.h"
#include "threads.h"

static sf_runtime *rt;

static void send_one(const struct workload_message *msg)
{
    int64_t ticket = ours_send(rt, 1, msg, workload_target(ours_actors, msg));

    ours_check(sf_wait(rt, ticket, -1), "wait");
}

int main(int argc, char **argv)
{
    struct workload w = {.name = "senders", .actors = 10000, .state_size = 64, .senders = 1024};
    struct threads all = {.send = send_one};
    struct workload_clock clock;
    sf_options options;
    sf_stats before, after;

    w.messages = 204800;
    workload_options(&w, argc, argv);
    threads_draw(&all, &w);
    options = ours_options(&w);
    rt = ours_open(&w, w.dir, &options);
    before = ours_fill(rt, &w);
    ours_check(sf_runtime_start(rt), "start");
    threads_run(&all, &clock);
    after = ours_settle(rt, 1);
    workload_verify(&w, ours_walk(rt));
    workload_print(&w, "ours", after.epochs - before.epochs, &clock);
    ours_check(sf_runtime_close(rt), "close");
    return 0;
}
