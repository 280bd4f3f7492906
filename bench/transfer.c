/* transfer.c - money moves from one account to another, and all of it is there in the end.
 *
 *   --loop calls                      a teller calls both accounts: kept or undone together
 *   --loop messages                   a teller sends to both: in between it is on its way
 *   --loop direct | cached --rival R  by hand over a store (rivals/hand.h), --batch transfers a
 *                                     transaction; no teller, no message: a loop that draws and moves
 *
 * Each transfer is drawn from the same stream: from one account to another, one cent.  An account
 * counts the transfers that it took part in, and has a balance; afterwards each program walks over
 * what it stored, and the counts must be with the right accounts, and the balances sum to nothing.
 * The clock stops when everything is on disk. */
#include "ours.h"
#include "rivals/hand.h"

static const char TELLER[] = "bench/teller", MOVE[] = "move", TRANSFER[] = "transfer";
enum { TELLERS = 64 };

struct account {
    uint64_t transfers;
    int64_t cents;
};

struct order {
    uint64_t from, to;
};

/* The accounts of one drawn message: two different ones. */
static struct order order_of(uint64_t actors, const struct workload_message *msg)
{
    struct workload_message next = *msg;
    struct order order = {.from = workload_target(actors, msg)};

    workload_message_onward(&next);
    order.to = workload_target(actors, &next);
    if (order.to == order.from)
        order.to = (order.to + 1) % actors;
    return order;
}

static void verify(const struct workload *w, struct workload_sum got)
{
    struct workload_sum want = workload_sum_filled(w);
    uint64_t seed = WORKLOAD_SEED;

    for (uint64_t i = 0; i < w->messages; i++) {
        struct workload_message msg = workload_message_next(w, &seed);
        struct order order = order_of(w->actors, &msg);
        workload_sum_add(&want, order.from, 1);
        workload_sum_add(&want, order.to, 1);
    }
    workload_sum_verify(want, got);
}

/* -- ours -------------------------------------------------------------------------------------- */

static int move(sf_turn *turn)
{
    struct account *self = (struct account *)sf_state(turn);
    const int64_t *cents = (const int64_t *)sf_body(turn, sizeof *cents);

    self->transfers++;
    self->cents += *cents;
    return 0;
}

static int transfer_by_calls(sf_turn *turn)
{
    const struct order *order = (const struct order *)sf_body(turn, sizeof *order);
    unsigned char from[WORKLOAD_ID_SIZE], to[WORKLOAD_ID_SIZE];
    const int64_t minus = -1, plus = 1;

    sf_call(turn, ours_address(order->from, from), MOVE, SF_OF(minus));
    sf_call(turn, ours_address(order->to, to), MOVE, SF_OF(plus));
    return 0;
}

static int transfer_by_messages(sf_turn *turn)
{
    const struct order *order = (const struct order *)sf_body(turn, sizeof *order);
    unsigned char from[WORKLOAD_ID_SIZE], to[WORKLOAD_ID_SIZE];
    const int64_t minus = -1, plus = 1;

    sf_tell(turn, ours_address(order->from, from), MOVE, SF_OF(minus));
    sf_tell(turn, ours_address(order->to, to), MOVE, SF_OF(plus));
    return 0;
}

static void send_all(sf_runtime *rt, const struct workload *w, struct workload_clock *clock,
                     uint64_t turns_before, uint64_t turns_each)
{
    uint64_t seed = WORKLOAD_SEED;
    unsigned char id[WORKLOAD_ID_SIZE];

    for (uint64_t i = 0; i < w->messages; i++) {
        struct workload_message msg = workload_message_next(w, &seed);
        struct order order = order_of(w->actors, &msg);
        sf_address teller = {TELLER, {id, sizeof id}};
        int64_t rc;
        workload_id(i % TELLERS, id);
        while ((rc = sf_send(rt, teller, TRANSFER, SF_OF(order))) == SF_EAGAIN)
            ours_make_room(rt, w->thread);
        ours_check(rc, "send");
        if (i % 4096 == 0)
            workload_clock_at(clock, w, (ours_stats(rt).turns - turns_before) / turns_each);
    }
}

static void check_balances(sf_runtime *rt)
{
    sf_view *view;
    int64_t cents = 0;

    ours_check(sf_view_open(rt, &view), "view");
    sf_cursor *cursor = sf_view_actors(view, OURS_TYPE);
    for (const sf_entry *entry; (entry = sf_next(cursor));)
        cents += ((const struct account *)entry->value.data)->cents;
    ours_check(sf_cursor_error(cursor), "walk");
    sf_view_close(view);
    if (cents)
        workload_fail("%" PRId64 " cents are missing", -cents);
}

static void run_ours(struct workload *w)
{
    int calls = !strcmp(w->loop, "calls");
    sf_type teller = SF_TYPE(TELLER, .handler = calls ? transfer_by_calls : transfer_by_messages);
    sf_options options = ours_options(w);
    struct workload_clock clock;
    sf_stats before, after;
    sf_runtime *rt;
    char label[64];

    options.epoch_turns_max = (uint32_t)w->batch;
    ours_type.on[2] = (sf_on){MOVE, move};
    rt = ours_open(w, w->dir, &options);
    ours_check(sf_register(rt, &teller, NULL), "register");
    before = ours_fill(rt, w);
    if (w->thread)
        ours_check(sf_runtime_start(rt), "start");
    workload_clock_start(&clock, ours_engine_clock(rt));
    send_all(rt, w, &clock, before.turns, calls ? 1 : 3);
    if (w->thread) {
        ours_check(sf_wait(rt, 0, -1), "wait");
        workload_clock_engine_ends(&clock);
    }
    after = ours_settle(rt, w->thread);
    workload_clock_stop(&clock, w);
    verify(w, ours_walk(rt));
    check_balances(rt);
    snprintf(label, sizeof label, "ours, %s%s", w->loop, w->thread ? " --thread" : "");
    workload_print(w, label, after.epochs - before.epochs, &clock);
    ours_check(sf_runtime_close(rt), "close");
}

/* -- by hand ----------------------------------------------------------------------------------- */

static void run_by_hand(struct workload *w)
{
    struct hand hand;
    struct workload_clock clock;
    struct workload_sum sum = {0, 0};
    uint64_t seed = WORKLOAD_SEED, done = 0, commits = 0;
    char label[64];

    hand_open(&hand, w);
    workload_clock_start(&clock, CLOCK_THREAD_CPUTIME_ID);
    for (; done < w->messages; commits++) {
        hand.rival->begin();
        for (uint64_t end = done + w->batch; done < end && done < w->messages; done++) {
            struct workload_message msg = workload_message_next(w, &seed);
            struct order order = order_of(w->actors, &msg);
            hand_move(&hand, order.from, -1);
            hand_move(&hand, order.to, 1);
        }
        hand_commit(&hand);
        workload_clock_at(&clock, w, done);
    }
    workload_clock_stop(&clock, w);
    hand.rival->walk(&sum);
    verify(w, sum);
    snprintf(label, sizeof label, "%s %s", w->rival, w->loop);
    workload_print(w, label, commits, &clock);
    hand_close(&hand);
}

int main(int argc, char **argv)
{
    struct workload w = {.name = "transfer", .actors = 10000, .state_size = 64};

    w.loop = "calls";
    w.messages = 1000000;
    workload_options(&w, argc, argv);
    if (w.state_size < sizeof(struct account) || w.hops || w.actors < 2)
        workload_fail("--state: at least 16; --actors: at least 2; --hops: none here");
    if (!strcmp(w.loop, "calls") || !strcmp(w.loop, "messages"))
        run_ours(&w);
    else if ((!strcmp(w.loop, "direct") || !strcmp(w.loop, "cached")) && w.rival && w.batch)
        run_by_hand(&w);
    else
        workload_fail("--loop: calls, messages; or direct, cached, with --rival and --batch");
    return 0;
}
