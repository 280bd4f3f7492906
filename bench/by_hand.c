/* by_hand.c - the workload as a C programmer would write it over a store, as well as it can be
 * done.
 *
 *   --rival lmdb | lmdb-writemap | sqlite | rocksdb     the store (rivals/)
 *   --loop mailbox | direct | cached                    the loop (rivals/hand.h)
 *   --batch N                                           messages a transaction
 *
 * Each commit is synced before the next transaction begins.  To see it:
 *
 *   strace -fce trace=fsync,fdatasync,msync build/bench/by_hand --rival lmdb --loop direct \
 *       --batch 1000 --messages 100000 --dir /tmp/new
 *
 * For each 100 transactions more it counts 100 fdatasync with lmdb, whose meta page goes through a
 * descriptor with O_DSYNC besides; 200 msync with lmdb-writemap; 100 fdatasync with rocksdb; and
 * with sqlite 100 and those of its checkpoints.
 *
 * The mailbox is never empty while the clock runs: `--waiting` messages, 1 by default, are always
 * kept.  An emptied tree costs LMDB a new page with the next message, and each is written by the
 * commit. */
#include "rivals/hand.h"

struct by_hand {
    struct hand hand;
    uint64_t seed, drawn; /* messages from outside so far */
    uint64_t head, tail;  /* of the mailbox */
};

/* -- the loops: each handles at least one message, and returns how many ------------------------ */

static int is_drawn(const struct by_hand *by)
{
    return by->drawn * (by->hand.w->hops + 1) == by->hand.w->messages;
}

static struct workload_message draw(struct by_hand *by)
{
    by->drawn++;
    return workload_message_next(by->hand.w, &by->seed);
}

/* What is kept waiting is kept until there is nothing more to draw. */
static uint64_t handle_mailbox(struct by_hand *by)
{
    const struct rival *rival = by->hand.rival;
    struct workload_message msg;

    while (by->tail - by->head <= by->hand.w->waiting && !is_drawn(by)) {
        msg = draw(by);
        rival->push(by->tail++, &msg);
    }
    rival->pop(by->head++, &msg);
    hand_count(&by->hand, workload_target(by->hand.w->actors, &msg));
    if (msg.hops) {
        workload_message_onward(&msg);
        rival->push(by->tail++, &msg);
    }
    return 1;
}

/* With all that it sends on, so that nothing is left over when the transaction ends. */
static uint64_t handle_direct(struct by_hand *by)
{
    struct workload_message msg = draw(by);
    uint64_t handled = 1;

    hand_count(&by->hand, workload_target(by->hand.w->actors, &msg));
    for (; msg.hops; handled++) {
        workload_message_onward(&msg);
        hand_count(&by->hand, workload_target(by->hand.w->actors, &msg));
    }
    return handled;
}

/* -- around them ------------------------------------------------------------------------------- */

/* bench/instructions counts what runs within it. */
static __attribute__((noinline)) uint64_t by_hand_run(struct by_hand *by, struct workload_clock *clock)
{
    const struct workload *w = by->hand.w;
    int mailbox = !strcmp(w->loop, "mailbox");
    uint64_t done = 0, commits = 0;

    while (done < w->messages) {
        uint64_t end = done + w->batch < w->messages ? done + w->batch : w->messages;
        by->hand.rival->begin();
        while (done < end)
            done += mailbox ? handle_mailbox(by) : handle_direct(by);
        hand_commit(&by->hand);
        commits++;
        workload_clock_at(clock, w, done);
    }
    return commits;
}

static void check_options(const struct workload *w)
{
    if (strcmp(w->loop, "mailbox") && strcmp(w->loop, "direct") && strcmp(w->loop, "cached"))
        workload_fail("--loop: mailbox, direct or cached");
    if (strcmp(w->loop, "cached") && !rival_find(w->rival)->replace)
        workload_fail("--loop: %s has the cached one alone", w->rival);
    if (w->batch == 0)
        workload_fail("--batch: at least 1");
}

int main(int argc, char **argv)
{
    struct workload w = {.name = "counters", .hops = 1, .actors = 10000, .state_size = 64};
    struct by_hand by = {.seed = WORKLOAD_SEED};
    struct workload_clock clock;
    uint64_t commits;

    w.rival = "lmdb";
    w.loop = "mailbox";
    w.messages = 200000;
    w.batch = 1000;
    w.waiting = 1;
    workload_options(&w, argc, argv);
    check_options(&w);
    hand_open(&by.hand, &w);
    workload_clock_start(&clock, CLOCK_THREAD_CPUTIME_ID);
    commits = by_hand_run(&by, &clock);
    workload_clock_stop(&clock, &w);
    hand_finish(&by.hand, commits, &clock);
    hand_close(&by.hand);
    return 0;
}
