/* asks.c - how long an ask takes while others send.
 *
 * The library's own thread drives.  First `--messages` are sent as fast as there is room, which
 * gives the largest rate.  Then, for `--ms` each, the main thread asks ASKS_RATE times a second
 * while others send: nobody, one thread at 10, 50 and 80 % of the largest rate, and `--senders`
 * threads that never stop.  Asks and the paced senders are open loops (pace.h): an ask counts from
 * when it was due until its answer, which comes once the turn that gave it is on disk.  An ask for
 * which there is no room waits for room, as those of all users must, and that counts too.
 *
 * An ask counts as a message of its actor, so the sums tell whether each had its one turn. */
#include "ours.h"
#include "pace.h"
#include "samples.h"

enum { ASKS_RATE = 1000, ANSWERS_LATE_SECONDS = 60 };

static const char ASK_KIND[] = "ask";
static sf_runtime *rt;
static struct workload w = {.name = "asks", .actors = 10000, .state_size = 64, .senders = 2};

/* A thread that sends. */
struct sender {
    pthread_t thread;
    uint64_t first_seed, seed, sent; /* its own part of the messages, for the sum */
    double rate;                     /* 0: as fast as there is room */
    int stop;                        /* asks are done */
};

static int count_and_answer(sf_turn *turn)
{
    uint64_t *counter = sf_state(turn);

    ++*counter;
    return sf_reply(turn, ASK_KIND, SF_NONE);
}

/* -- those who send ---------------------------------------------------------------------------- */

static void send_next(struct sender *sender)
{
    struct workload_message msg = workload_message_next(&w, &sender->seed);

    ours_send(rt, 1, &msg, workload_target(w.actors, &msg));
    sender->sent++;
}

static void *send_until_stop(void *arg)
{
    struct sender *sender = arg;
    struct pace pace = pace_start(sender->rate ? sender->rate : 1);

    for (uint64_t i = 0; !__atomic_load_n(&sender->stop, __ATOMIC_RELAXED); i++) {
        if (sender->rate)
            pace_wait(&pace, i);
        send_next(sender);
    }
    return NULL;
}

static void start(struct sender *senders, uint64_t count, double rate)
{
    for (uint64_t i = 0; i < count; i++) {
        senders[i].rate = rate;
        senders[i].stop = 0;
        if (pthread_create(&senders[i].thread, NULL, send_until_stop, &senders[i]) != 0)
            workload_fail("cannot start a thread");
    }
}

static void stop(struct sender *senders, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        __atomic_store_n(&senders[i].stop, 1, __ATOMIC_RELAXED);
    for (uint64_t i = 0; i < count; i++)
        pthread_join(senders[i].thread, NULL);
}

static double largest_rate(struct sender *sender)
{
    double started = workload_now();

    while (sender->sent < w.messages)
        send_next(sender);
    ours_check(sf_wait(rt, 0, -1), "wait");
    return (double)w.messages / (workload_now() - started);
}

/* -- who asks ---------------------------------------------------------------------------------- */

struct question {
    double due, seconds; /* the driving thread sets `seconds`, then counts it in `answered` */
};

static uint64_t answered;

static void answer(int result, const sf_message *reply, void *userdata)
{
    struct question *question = userdata;

    (void)reply;
    ours_check(result, "answer");
    question->seconds = workload_now() - question->due;
    __atomic_add_fetch(&answered, 1, __ATOMIC_RELEASE);
}

static void ask_next(struct sender *asker, struct question *question)
{
    struct workload_message msg = workload_message_next(&w, &asker->seed);
    unsigned char id[WORKLOAD_ID_SIZE];
    sf_address to = ours_address(workload_target(w.actors, &msg), id);
    int64_t rc;

    asker->sent++;
    while ((rc = sf_ask_then(rt, to, ASK_KIND, SF_OF(msg), -1, answer, question)) == SF_EAGAIN)
        ours_make_room(rt, 1);
    ours_check(rc, "ask");
}

static void ask_all(struct sender *asker, struct samples *samples)
{
    struct pace pace = pace_start(ASKS_RATE);
    uint64_t count = w.ms * ASKS_RATE / 1000;
    struct question *questions = calloc(count, sizeof *questions);

    if (!questions)
        workload_fail("out of memory");
    answered = 0;
    for (uint64_t i = 0; i < count; i++) {
        questions[i].due = pace_wait(&pace, i);
        ask_next(asker, &questions[i]);
    }
    while (__atomic_load_n(&answered, __ATOMIC_ACQUIRE) < count) {
        if (workload_now() > pace_due(&pace, count) + ANSWERS_LATE_SECONDS)
            workload_fail("some asks were not answered");
        clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, 1000000}, NULL);
    }
    for (uint64_t i = 0; i < count; i++)
        samples_add(samples, questions[i].seconds);
    free(questions);
}

/* -- around them ------------------------------------------------------------------------------- */

/* `rate`: of each of the senders; 0: they never stop. */
static void measure(const char *label, struct sender *asker, struct sender *senders,
                    uint64_t count, double rate)
{
    struct samples samples;
    uint64_t before = 0, after = 0;
    double started = workload_now(), seconds;

    samples_open(&samples, w.ms * ASKS_RATE / 1000);
    for (uint64_t i = 0; i < count; i++)
        before += senders[i].sent;
    start(senders, count, rate);
    ask_all(asker, &samples);
    stop(senders, count);
    seconds = workload_now() - started;
    for (uint64_t i = 0; i < count; i++)
        after += senders[i].sent;
    ours_check(sf_wait(rt, 0, -1), "wait");
    workload_print_head(&w, label);
    printf(",\"load\":%.0f", (double)(after - before) / seconds);
    samples_print(&samples);
    samples_close(&samples);
}

static void verify(const struct sender *asker, const struct sender *senders)
{
    struct workload_sum want = workload_sum_filled(&w);

    for (uint64_t i = 0; i <= w.senders; i++) {
        const struct sender *sender = i < w.senders ? &senders[i] : asker;
        uint64_t seed = sender->first_seed;
        for (uint64_t sent = 0; sent < sender->sent; sent++)
            workload_sum_message(&want, &w, &seed);
    }
    workload_sum_verify(want, ours_walk(rt));
}

int main(int argc, char **argv)
{
    static struct sender asker, senders[64];
    sf_options options;
    double rate;

    w.messages = 2000000;
    w.ms = 1000;
    workload_options(&w, argc, argv);
    if (w.hops || w.ms < 1 || w.senders < 1 || w.senders > 64)
        workload_fail("--hops: none here; --ms: at least 1; --senders: from 1 to 64");
    for (uint64_t i = 0; i < w.senders; i++)
        senders[i].first_seed = senders[i].seed = WORKLOAD_SEED + i;
    asker.first_seed = asker.seed = WORKLOAD_SEED + w.senders;
    ours_type.on[2] = (sf_on){ASK_KIND, count_and_answer};
    options = ours_options(&w);
    rt = ours_open(&w, w.dir, &options);
    ours_fill(rt, &w);
    ours_check(sf_runtime_start(rt), "start");
    rate = largest_rate(&senders[0]);
    measure("nobody sends", &asker, senders, 0, 0);
    measure("at 10 % of the largest rate", &asker, senders, 1, rate * 0.1);
    measure("at 50 %", &asker, senders, 1, rate * 0.5);
    measure("at 80 %", &asker, senders, 1, rate * 0.8);
    measure("senders that never stop", &asker, senders, w.senders, 0);
    ours_settle(rt, 1);
    verify(&asker, senders);
    ours_check(sf_runtime_close(rt), "close");
    return 0;
}
