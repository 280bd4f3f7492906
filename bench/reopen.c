/* reopen.c - how long it takes to open after SIGKILL, with the changelog full.
 *
 * A child fills the actors and goes on with messages from outside to pseudo-random ones; all the
 * while it reports how many are durable.  After `--messages` of them, chosen to be more than the
 * changelog holds, the parent kills it in full run, opens the directory itself, and takes the time
 * until the open returned and until a first message was durable.  `--rounds` times over, each kill
 * a tenth of --messages later, since how full the changelog is depends on the moment.
 *
 * After each, what is there must be exactly a beginning of the child's messages, and no shorter
 * than what was reported durable.  The page cache is warm: a process was killed, not the
 * machine. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ours.h"

enum { REPORT_EVERY = 100000 };

static struct workload w = {.name = "open", .actors = 1000000, .state_size = 64, .rounds = 5};
static sf_options options;

/* Never returns. */
static void __attribute__((noreturn)) child(int report, uint64_t seed, int fresh)
{
    sf_runtime *rt = ours_open(&w, w.dir, &options);

    if (fresh)
        ours_fill(rt, &w);
    for (uint64_t sent = 1;; sent++) {
        struct workload_message msg = workload_message_next(&w, &seed);
        ours_send(rt, 0, &msg, workload_target(w.actors, &msg));
        if (sent % REPORT_EVERY)
            continue;
        ours_check(sf_wait(rt, 0, -1), "wait");
        if (write(report, &sent, sizeof sent) != sizeof sent)
            workload_fail("report: %s", strerror(errno));
    }
}

/* Kills a child once `goal` messages are durable; returns how many were reported. */
static uint64_t run_and_kill(uint64_t seed, uint64_t goal, int fresh)
{
    int ends[2], status;
    uint64_t durable = 0;
    pid_t pid;

    if (pipe(ends) != 0 || (pid = fork()) < 0)
        workload_fail("fork: %s", strerror(errno));
    if (pid == 0) {
        close(ends[0]);
        child(ends[1], seed, fresh);
    }
    close(ends[1]);
    while (durable < goal)
        if (read(ends[0], &durable, sizeof durable) != sizeof durable)
            workload_fail("the child ended too early");
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        workload_fail("the child was not killed");
    close(ends[0]);
    return durable;
}

/* `want` has what was there before this child, and becomes what is there now. */
static void verify(struct workload_sum *want, struct workload_sum got, uint64_t seed,
                   uint64_t durable)
{
    if (got.count < want->count + durable)
        workload_fail("%" PRIu64 " messages were durable, and are not there",
                      want->count + durable - got.count);
    while (want->count < got.count)
        workload_sum_message(want, &w, &seed);
    workload_sum_verify(*want, got);
}

static void print(uint64_t round, double open_seconds, double first_seconds)
{
    char label[64];

    w.round = round;
    snprintf(label, sizeof label, "ours, %" PRIu64 " actors", w.actors);
    workload_print_head(&w, label);
    printf(",\"open_ms\":%.1f,\"first_ms\":%.1f}\n", open_seconds * 1e3, first_seconds * 1e3);
    fflush(stdout); /* the next child has none of it to print again */
}

static void measure(uint64_t round, struct workload_sum *want)
{
    uint64_t seed = WORKLOAD_SEED + round;
    uint64_t goal = w.messages + w.messages * (round - 1) / 10;
    uint64_t durable = run_and_kill(seed, goal, round == 1);
    struct workload_message msg = {0};
    double start = workload_now(), opened, first;
    sf_runtime *rt = ours_open(&w, w.dir, &options);

    opened = workload_now();
    ours_check(sf_wait(rt, ours_send(rt, 0, &msg, 0), -1), "wait");
    first = workload_now();
    workload_sum_add(want, 0, 1);
    verify(want, ours_walk(rt), seed, durable);
    print(round, opened - start, first - start);
    ours_check(sf_runtime_close(rt), "close");
}

int main(int argc, char **argv)
{
    struct workload_sum want;

    w.messages = 3000000;
    workload_options(&w, argc, argv);
    if (w.hops)
        workload_fail("--hops: none here");
    options = ours_options(&w);
    want = workload_sum_filled(&w);
    for (uint64_t round = 1; round <= w.rounds; round++)
        measure(round, &want);
    return 0;
}
