/* maps.c - what maps and lists cost.
 *
 *   --loop cart      each turn counts in one of five lines, entries of a small map
 *   --loop struct    the same lines are an array in the actor's struct
 *   --loop random    one actor's map of --actors entries of --state bytes; each turn counts in
 *                    --records of them, drawn at random, as by_hand counts in actors
 *   --loop scan      that map, walked over again and again
 *   --loop append    a list; each turn appends --records elements of --state bytes
 *   --loop queue     a map: each turn takes out the first entry, all in one commit; the time of the
 *                    first thousand, and of a thousand after a hundred thousand
 *
 * Messages are entries counted, walked over, appended or taken out.  The clock stops when everything
 * is on disk; then it is added up. */
#include "ours.h"

struct bench_line {
    uint64_t count;
    unsigned char rest[32];
};

enum { LINES = 5, ENTRY_MAX = WORKLOAD_STATE_MAX };

struct cart {
    struct bench_line lines[LINES];
};

struct order {
    uint64_t seed, count;
};

static const char KEEPER[] = "bench/keeper", GO[] = "go", FILL[] = "fill", ALL[] = "all";
static sf_map lines = SF_MAP("lines", .struct_size = sizeof(struct bench_line));
static sf_map entries = SF_MAP("entries");
static sf_list list = SF_LIST("list");
static uint64_t keys, walked; /* of the map; by turns */

/* -- turns --------------------------------------------------------------------------------------- */

static int count_in_map(sf_turn *turn)
{
    const struct order *order = (const struct order *)sf_body(turn, sizeof *order);
    struct bench_line *line =
        (struct bench_line *)sf_map_entry(turn, &lines, SF_U64(order->seed % LINES));

    line->count++;
    return 0;
}

static int count_in_struct(sf_turn *turn)
{
    const struct order *order = (const struct order *)sf_body(turn, sizeof *order);
    struct cart *cart = (struct cart *)sf_state(turn);

    cart->lines[order->seed % LINES].count++;
    return 0;
}

static int count_at_random(sf_turn *turn)
{
    struct order order = *(const struct order *)sf_body(turn, sizeof order);
    unsigned char id[WORKLOAD_ID_SIZE];

    for (uint64_t i = 0; i < order.count; i++) {
        workload_id(workload_draw(&order.seed) % keys, id);
        ++*(uint64_t *)sf_map_entry(turn, &entries, SF_BYTES(id, sizeof id));
    }
    return 0;
}

static int fill(sf_turn *turn)
{
    struct order order = *(const struct order *)sf_body(turn, sizeof order);
    unsigned char id[WORKLOAD_ID_SIZE];

    for (uint64_t i = order.seed; i < order.seed + order.count; i++) {
        unsigned char bytes[ENTRY_MAX] = {1};
        workload_id(i, id);
        sf_map_put(turn, &entries, SF_BYTES(id, sizeof id),
                   SF_BYTES(bytes, entries.slot.struct_size));
    }
    return 0;
}

static int walk(sf_turn *turn)
{
    sf_cursor *cursor = sf_map_scan(turn, &entries, NULL);

    while (sf_next(cursor))
        walked++;
    return 0;
}

static int append(sf_turn *turn)
{
    static const unsigned char bytes[ENTRY_MAX] = {1};
    const struct order *order = (const struct order *)sf_body(turn, sizeof *order);

    for (uint64_t i = 0; i < order->count; i++)
        sf_list_append(turn, &list, SF_BYTES(bytes, order->seed));
    return 0;
}

static int take_first(sf_turn *turn)
{
    const sf_entry *entry = sf_next(sf_map_scan(turn, &entries, NULL));

    walked += entry != NULL;
    return entry ? sf_map_del(turn, &entries, entry->key) : 0;
}

/* -- driven ---------------------------------------------------------------------------------------- */

static void give(sf_runtime *rt, const char *id, const char *kind, struct order order)
{
    int64_t rc;

    while ((rc = sf_send(rt, sf_addr(KEEPER, id), kind, SF_OF(order))) == SF_EAGAIN)
        ours_check(sf_step(rt, 0), "step");
    ours_check(rc, "send");
}

static sf_runtime *open_with(const struct workload *w, sf_handler *handler, size_t state_size)
{
    sf_options options = ours_options(w);
    sf_type type = SF_TYPE(KEEPER, .on = {{GO, handler}, {FILL, fill}, {ALL, walk}});
    sf_runtime *rt;

    options.epoch_turns_max = (uint32_t)w->batch;
    type.state_size = state_size;
    type.maps[0] = &lines;
    type.maps[1] = &entries;
    type.lists[0] = &list;
    ours_check(sf_runtime_open(w->dir, &options, &rt), "open");
    ours_check(sf_register(rt, &type, NULL), "register");
    return rt;
}

static void settle(sf_runtime *rt)
{
    ours_check(sf_run_until_idle(rt), "run until idle");
    ours_check(sf_wait(rt, 0, -1), "wait");
}

static void fill_map(sf_runtime *rt, uint64_t count)
{
    for (uint64_t i = 0; i < count; i += 1000)
        give(rt, "one", FILL, (struct order){i, count - i < 1000 ? count - i : 1000});
    settle(rt);
}

static void print(const struct workload *w, const char *label, sf_runtime *rt, uint64_t epochs,
                  struct workload_clock *clock)
{
    workload_clock_stop(clock, w);
    workload_print(w, label, ours_stats(rt).epochs - epochs, clock);
}

/* -- carts ------------------------------------------------------------------------------------------ */

static void check_carts(sf_runtime *rt, const struct workload *w, int is_struct)
{
    uint64_t sum = 0;
    char id[32];
    sf_view *view;

    ours_check(sf_view_open(rt, &view), "view");
    for (uint64_t i = 0; i < w->actors; i++) {
        snprintf(id, sizeof id, "%" PRIu64, i);
        sf_bytes state = sf_view_state(view, sf_addr(KEEPER, id));
        sf_cursor *cursor = sf_view_map(view, sf_addr(KEEPER, id), &lines, NULL);
        for (const sf_entry *entry; !is_struct && (entry = sf_next(cursor));)
            sum += ((const struct bench_line *)entry->value.data)->count;
        for (int j = 0; is_struct && state.data && j < LINES; j++)
            sum += ((const struct cart *)state.data)->lines[j].count;
    }
    sf_view_close(view);
    if (sum != w->messages + w->actors * LINES)
        workload_fail("the lines sum up to %" PRIu64, sum);
}

static void send_carts(sf_runtime *rt, const struct workload *w, uint64_t messages)
{
    uint64_t seed = WORKLOAD_SEED;
    char id[32];

    for (uint64_t i = 0; i < messages; i++) {
        uint64_t drawn = workload_draw(&seed);
        snprintf(id, sizeof id, "%" PRIu64, drawn % w->actors);
        give(rt, id, GO, (struct order){drawn >> 32, 1});
    }
    settle(rt);
}

static void run_carts(const struct workload *w, int is_struct)
{
    sf_runtime *rt =
        open_with(w, is_struct ? count_in_struct : count_in_map, is_struct ? sizeof(struct cart) : 0);
    struct workload_clock clock;
    char id[32];

    for (uint64_t i = 0; i < w->actors * LINES; i++) { /* each line is there before the clock starts */
        snprintf(id, sizeof id, "%" PRIu64, i / LINES);
        give(rt, id, GO, (struct order){i % LINES, 1});
    }
    settle(rt);
    uint64_t epochs = ours_stats(rt).epochs;
    workload_clock_start(&clock, CLOCK_THREAD_CPUTIME_ID);
    send_carts(rt, w, w->messages);
    print(w, is_struct ? "ours, struct" : "ours, small map", rt, epochs, &clock);
    check_carts(rt, w, is_struct);
    ours_check(sf_runtime_close(rt), "close");
}

/* -- one large map ------------------------------------------------------------------------------------ */

static void check_map(sf_runtime *rt, const struct workload *w)
{
    struct workload_sum want = workload_sum_filled(w), got = {0, 0};
    uint64_t seed = WORKLOAD_SEED;
    sf_view *view;

    for (uint64_t i = 0; i < w->messages; i++)
        workload_sum_add(&want, workload_draw(&seed) % keys, 1);
    ours_check(sf_view_open(rt, &view), "view");
    sf_cursor *cursor = sf_view_map(view, sf_addr(KEEPER, "one"), &entries, NULL);
    for (const sf_entry *entry; (entry = sf_next(cursor));)
        workload_sum_entry(&got, entry->key.data, entry->value.data);
    sf_view_close(view);
    workload_sum_verify(want, got);
}

/* The next `count` draws, which the turn draws again. */
static struct order draw_order(uint64_t *seed, uint64_t count)
{
    struct order order = {*seed, count};

    for (uint64_t i = 0; i < count; i++)
        workload_draw(seed);
    return order;
}

static void run_random(struct workload *w)
{
    sf_runtime *rt = open_with(w, count_at_random, 0);
    struct workload_clock clock;
    uint64_t seed = WORKLOAD_SEED;

    fill_map(rt, keys);
    uint64_t epochs = ours_stats(rt).epochs;
    workload_clock_start(&clock, CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t i = 0; i < w->messages; i += w->records)
        give(rt, "one", GO,
             draw_order(&seed, w->messages - i < w->records ? w->messages - i : w->records));
    settle(rt);
    print(w, "ours, large map", rt, epochs, &clock);
    check_map(rt, w);
    ours_check(sf_runtime_close(rt), "close");
}

static void run_scan(struct workload *w)
{
    sf_runtime *rt = open_with(w, walk, 0);
    struct workload_clock clock;

    fill_map(rt, keys);
    walked = 0;
    uint64_t rounds = (w->messages + keys - 1) / keys;
    w->messages = rounds * keys;
    workload_clock_start(&clock, CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t i = 0; i < rounds; i++)
        give(rt, "one", ALL, (struct order){0, 0});
    settle(rt);
    if (walked != w->messages)
        workload_fail("%" PRIu64 " entries were walked over", walked);
    print(w, "ours, walk", rt, ours_stats(rt).epochs, &clock);
    ours_check(sf_runtime_close(rt), "close");
}

/* -- a list, a queue ---------------------------------------------------------------------------------- */

static void run_append(const struct workload *w)
{
    sf_runtime *rt = open_with(w, append, 0);
    struct workload_clock clock;
    uint64_t count = 0;
    sf_view *view;

    workload_clock_start(&clock, CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t i = 0; i < w->messages; i += w->records)
        give(rt, "one", GO,
             (struct order){w->state_size,
                            w->messages - i < w->records ? w->messages - i : w->records});
    settle(rt);
    print(w, "ours, list", rt, 0, &clock);
    ours_check(sf_view_open(rt, &view), "view");
    sf_cursor *cursor = sf_view_list(view, sf_addr(KEEPER, "one"), &list, 0);
    while (sf_next(cursor))
        count++;
    sf_view_close(view);
    if (count != w->messages)
        workload_fail("%" PRIu64 " elements are there", count);
    ours_check(sf_runtime_close(rt), "close");
}

static void take(sf_runtime *rt, uint64_t count)
{
    uint64_t end = walked + count;

    for (uint64_t i = 0; i < count; i++)
        give(rt, "one", GO, (struct order){0, 0});
    while (walked < end)
        ours_check(sf_step(rt, 0), "step");
}

static void run_queue(struct workload *w)
{
    const uint64_t at[] = {100, keys - 2000};
    struct workload_clock clock;
    sf_runtime *rt = open_with(w, take_first, 0);

    fill_map(rt, keys);
    walked = 0;
    w->messages = 1000;
    for (int i = 0; i < 2; i++) {
        char label[64];
        take(rt, at[i] - walked);
        workload_clock_start(&clock, CLOCK_THREAD_CPUTIME_ID);
        take(rt, w->messages);
        snprintf(label, sizeof label, "ours, after %" PRIu64, at[i]);
        print(w, label, rt, ours_stats(rt).epochs, &clock);
    }
    ours_check(sf_runtime_close(rt), "close");
}

int main(int argc, char **argv)
{
    struct workload w = {.name = "map", .actors = 10000, .state_size = 104, .records = 64};

    w.loop = "cart";
    w.messages = 1000000;
    workload_options(&w, argc, argv);
    keys = w.actors;
    entries.slot.struct_size = w.state_size;
    if (!strcmp(w.loop, "cart") || !strcmp(w.loop, "struct"))
        run_carts(&w, w.loop[0] == 's');
    else if (!strcmp(w.loop, "random"))
        run_random(&w);
    else if (!strcmp(w.loop, "scan"))
        run_scan(&w);
    else if (!strcmp(w.loop, "append"))
        run_append(&w);
    else if (!strcmp(w.loop, "queue") && keys > 3000)
        run_queue(&w);
    else
        workload_fail("--loop: cart, struct, random, scan, append; or queue, with --actors");
    return 0;
}
