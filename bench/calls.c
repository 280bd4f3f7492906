/* calls.c - what a call inside a turn adds to a question from outside.
 *
 * One client asks, waits for the answer, and asks again: in blocks in turn, of actors that answer
 * themselves, and of actors that call another one first and answer what that one said.  The waiting
 * thread drives; an answer leaves when its turn is on disk.  Prints one line of JSON for each, with
 * the median and the 99th percentile.  --messages: of each. */
#include "ours.h"
#include "samples.h"

enum { BLOCK = 50 };

static const char ANSWER[] = "answer", PLAIN[] = "plain", INSIDE[] = "inside";

static int count_and_answer(sf_turn *turn)
{
    uint64_t *counter = (uint64_t *)sf_state(turn);

    ++*counter;
    return sf_reply(turn, ANSWER, SF_OF(*counter));
}

static int call_and_answer(sf_turn *turn)
{
    const uint64_t *other = (const uint64_t *)sf_body(turn, sizeof *other);
    uint64_t *counter = (uint64_t *)sf_state(turn);
    unsigned char id[WORKLOAD_ID_SIZE];
    const sf_message *answer = sf_call(turn, ours_address(*other, id), PLAIN, SF_NONE);

    ++*counter;
    return sf_reply(turn, ANSWER, answer->body);
}

static void ask(sf_runtime *rt, uint64_t actors, uint64_t *seed, const char *kind,
                struct samples *samples)
{
    unsigned char id[WORKLOAD_ID_SIZE];
    uint64_t actor = workload_draw(seed) % actors, other = (actor + 1) % actors;
    double started = workload_now();
    sf_message *answer;

    ours_check(sf_ask(rt, ours_address(actor, id), kind, SF_OF(other), -1, &answer), "ask");
    samples_add(samples, workload_now() - started);
    sf_message_free(answer);
}

static void print(const struct workload *w, const char *label, struct samples *samples)
{
    workload_print_head(w, label);
    samples_print(samples);
    samples_close(samples);
}

int main(int argc, char **argv)
{
    struct workload w = {.name = "inside", .actors = 10000, .state_size = 64};
    struct samples plain, inside;
    uint64_t seed = WORKLOAD_SEED, count;
    sf_options options;
    sf_runtime *rt;

    w.messages = 1000;
    workload_options(&w, argc, argv);
    if (w.actors < 2)
        workload_fail("--actors: at least 2");
    ours_type.on[2] = (sf_on){PLAIN, count_and_answer};
    ours_type.on[3] = (sf_on){INSIDE, call_and_answer};
    options = ours_options(&w);
    rt = ours_open(&w, w.dir, &options);
    ours_fill(rt, &w);
    samples_open(&plain, w.messages);
    samples_open(&inside, w.messages);
    for (uint64_t i = 0; i < w.messages; i++) {
        const struct {
            const char *kind;
            struct samples *to;
        } each[] = {{PLAIN, &plain}, {INSIDE, &inside}};
        int first = (i / BLOCK) % 2; /* who goes first changes, too */
        ask(rt, w.actors, &seed, each[first].kind, each[first].to);
        ask(rt, w.actors, &seed, each[!first].kind, each[!first].to);
    }
    count = ours_walk(rt).count;
    if (count != w.actors + 3 * w.messages)
        workload_fail("counters add up to %" PRIu64, count);
    print(&w, "ours, none", &plain);
    print(&w, "ours, a call inside", &inside);
    ours_check(sf_runtime_close(rt), "close");
    return 0;
}
