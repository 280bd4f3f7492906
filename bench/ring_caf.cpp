/* ring_caf.cpp - the ring over CAF, the C++ Actor Framework, in memory on one scheduler thread.
 *
 * The same tokens go the same way as those of counters.c.  A message carries two numbers, where the
 * token goes and its hops; nothing is stored, so the clock stops when the last token is used up.
 * Then each actor is asked for its counter. */
#include <atomic>
#include <future>
#include <vector>

#include <caf/all.hpp>

#include "workload.h"

namespace
{

std::vector<caf::actor> actors;
std::atomic<uint64_t> tokens_left;
std::promise<void> all_used_up;

struct cell_state {
    uint64_t counter = 1; /* the fill */
};

caf::behavior cell(caf::stateful_actor<cell_state> *self)
{
    return {[=](uint64_t drawn, uint64_t hops) {
                struct workload_message msg;
                self->state.counter++;
                if (hops == 0) {
                    if (--tokens_left == 0)
                        all_used_up.set_value();
                    return;
                }
                msg.drawn = drawn;
                msg.hops = hops;
                workload_message_onward(&msg);
                self->send(actors[workload_target(actors.size(), &msg)], msg.drawn, msg.hops);
            },
            [=](caf::get_atom) { return self->state.counter; }};
}

void run(const struct workload *w, struct workload_clock *clock)
{
    uint64_t seed = WORKLOAD_SEED;

    tokens_left = w->messages / (w->hops + 1);
    workload_clock_start(clock, CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t i = 0; i < w->messages; i += w->hops + 1) {
        struct workload_message msg = workload_message_next(w, &seed);
        caf::anon_send(actors[workload_target(w->actors, &msg)], msg.drawn, msg.hops);
    }
    all_used_up.get_future().wait();
    workload_clock_stop(clock, w);
}

struct workload_sum ask_all(caf::actor_system &system)
{
    struct workload_sum sum = {0, 0};
    caf::scoped_actor self{system};

    for (uint64_t i = 0; i < actors.size(); i++)
        self->request(actors[i], caf::infinite, caf::get_atom::value)
            .receive([&](uint64_t counter) { workload_sum_add(&sum, i, counter); },
                     [&](const caf::error &) { workload_fail("an actor did not answer"); });
    return sum;
}

} // namespace

int main(int argc, char **argv)
{
    struct workload w = {};
    struct workload_clock clock;
    caf::actor_system_config config;

    w.name = "ring";
    w.messages = 5000000;
    w.hops = 4999;
    w.actors = 10000;
    w.state_size = sizeof(uint64_t);
    workload_options(&w, argc, argv);
    config.set("scheduler.max-threads", 1);
    caf::actor_system system{config};
    for (uint64_t i = 0; i < w.actors; i++)
        actors.push_back(system.spawn(cell));
    run(&w, &clock);
    workload_verify(&w, ask_all(system));
    workload_print(&w, "caf", 0, &clock);
    actors.clear(); /* they refer to the system */
    return 0;
}
